//! The ways to break it, and what cures each.

/// What is broken. At most one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every connection of the pool was taken and never given back. A restart makes a new pool.
    PoolLeaked,
    /// The database refuses connections until somebody calls the shop's own hook, `POST /chaos/resolve`.
    DatabaseRefused,
    /// What it pays through is down. Nothing here cures that.
    DependencyDown,
    /// Revision 42 runs, which has a bug. A restart starts the same revision.
    BadDeploy,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::PoolLeaked, Mode::DatabaseRefused, Mode::DependencyDown, Mode::BadDeploy];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::PoolLeaked => "pool_leaked",
            Mode::DatabaseRefused => "database_refused",
            Mode::DependencyDown => "dependency_down",
            Mode::BadDeploy => "bad_deploy",
        }
    }

    pub fn parse(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}
