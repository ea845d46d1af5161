//! A place where the tests may have the process die: between commit and answer.
//!
//! Off unless the environment names it (`EMBERWATCH_FAILPOINT=committed:N` dies at the N-th commit). Dying
//! is an abort: nothing is flushed and no destructor runs, as with `kill -9`.

#[derive(Clone, Copy, Debug, Default)]
pub struct Failpoint {
    /// Passes left before the process dies; `None`: never.
    left: Option<u64>,
}

impl Failpoint {
    /// `committed:N`, N from 1. `None` for anything else.
    pub fn parse(text: &str) -> Option<Failpoint> {
        let passes: u64 = text.strip_prefix("committed:")?.parse().ok()?;
        (passes > 0).then_some(Failpoint { left: Some(passes) })
    }

    pub fn hit(&mut self) {
        let Some(left) = &mut self.left else { return };
        *left -= 1;
        if *left == 0 {
            std::process::abort();
        }
    }
}
