//! Named places where the tests may have the process die: before and after each step that must survive it.
//!
//! Off unless the environment names one (`EMBERWATCH_FAILPOINT=committed:3` dies at the third passing). Dying
//! is an abort: nothing is flushed and no destructor runs, as with `kill -9`. Unarmed, a place costs one look
//! at a word that never changes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// In the order in which a line and what is told of it pass them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A piece of a body has come.
    Reading,
    /// The whole body has been read; nothing is handed over.
    Read,
    /// The batch is staged and is handed to the writer next.
    Staged,
    /// A transaction that counts something begins next.
    Committing,
    /// It is on the disk; nobody has heard of it.
    Committed,
    /// The new counts are shown; nobody has been answered.
    Applied,
    /// The answer goes out next.
    Answering,
    /// The next request has shown that an answer was heard; that is in memory only.
    Heard,
    /// A message is about to be marked as under way.
    Leasing,
    /// It is marked, durably.
    Leased,
    /// It is about to leave.
    Sending,
    /// Its attempt has ended; that is in memory only.
    Sent,
    /// Its end is about to be stored.
    Marking,
    /// It is stored.
    Marked,
    /// A snapshot is about to take the journal's place.
    Snapshotting,
    /// It has.
    Snapshotted,
    /// A dossier is stored as written, and with it that its case begins.
    CaseBegun,
    /// It is stored that the model is asked, and paid for.
    Asking,
    /// It has answered; that is in memory only.
    Asked,
    /// The answer is stored.
    Checking,
    /// What stands of it is known; that is in memory only.
    Checked,
    /// It is stored that a patch is tried.
    Proving,
    /// It was tried; that is in memory only.
    Proved,
    /// It is stored that it is proposed.
    Proposing,
    /// It was; that is in memory only.
    Proposed,
    /// Whether a remedy may be called is asked next.
    Deciding,
    /// It is stored that it is called; it is not yet.
    Calling,
    /// It was called; that is in memory only.
    Called,
    /// It is stored what became of that; the watch is looked at.
    Observing,
    /// The end of a case is about to be stored, with what is told of it.
    Closing,
    /// It is.
    Closed,
    /// Triage takes a batch in: not the process dies here but its thread, by a panic.
    Triage,
}

struct Armed {
    at: Failpoint,
    /// Passings left before the process dies.
    left: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

impl Failpoint {
    pub const ALL: [Failpoint; 32] = [
        Failpoint::Reading,
        Failpoint::Read,
        Failpoint::Staged,
        Failpoint::Committing,
        Failpoint::Committed,
        Failpoint::Applied,
        Failpoint::Answering,
        Failpoint::Heard,
        Failpoint::Leasing,
        Failpoint::Leased,
        Failpoint::Sending,
        Failpoint::Sent,
        Failpoint::Marking,
        Failpoint::Marked,
        Failpoint::Snapshotting,
        Failpoint::Snapshotted,
        Failpoint::CaseBegun,
        Failpoint::Asking,
        Failpoint::Asked,
        Failpoint::Checking,
        Failpoint::Checked,
        Failpoint::Proving,
        Failpoint::Proved,
        Failpoint::Proposing,
        Failpoint::Proposed,
        Failpoint::Deciding,
        Failpoint::Calling,
        Failpoint::Called,
        Failpoint::Observing,
        Failpoint::Closing,
        Failpoint::Closed,
        Failpoint::Triage,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Failpoint::Reading => "reading",
            Failpoint::Read => "read",
            Failpoint::Staged => "staged",
            Failpoint::Committing => "committing",
            Failpoint::Committed => "committed",
            Failpoint::Applied => "applied",
            Failpoint::Answering => "answering",
            Failpoint::Heard => "heard",
            Failpoint::Leasing => "leasing",
            Failpoint::Leased => "leased",
            Failpoint::Sending => "sending",
            Failpoint::Sent => "sent",
            Failpoint::Marking => "marking",
            Failpoint::Marked => "marked",
            Failpoint::Snapshotting => "snapshotting",
            Failpoint::Snapshotted => "snapshotted",
            Failpoint::CaseBegun => "case_begun",
            Failpoint::Asking => "asking",
            Failpoint::Asked => "asked",
            Failpoint::Checking => "checking",
            Failpoint::Checked => "checked",
            Failpoint::Proving => "proving",
            Failpoint::Proved => "proved",
            Failpoint::Proposing => "proposing",
            Failpoint::Proposed => "proposed",
            Failpoint::Deciding => "deciding",
            Failpoint::Calling => "calling",
            Failpoint::Called => "called",
            Failpoint::Observing => "observing",
            Failpoint::Closing => "closing",
            Failpoint::Closed => "closed",
            Failpoint::Triage => "triage",
        }
    }

    /// `name:N`, N from 1. `None` for anything else.
    pub fn parse(text: &str) -> Option<(Failpoint, u64)> {
        let (name, passings) = text.split_once(':')?;
        let passings: u64 = passings.parse().ok()?;
        let at = Failpoint::ALL.into_iter().find(|at| at.name() == name)?;
        (passings > 0).then_some((at, passings))
    }

    /// For good, and once in a process.
    pub fn arm(self, passings: u64) {
        ARMED.get_or_init(|| Armed { at: self, left: AtomicU64::new(passings) });
    }

    pub fn pass(self) {
        if self.is_last() {
            std::process::abort();
        }
    }

    /// Whether this passing is the one that was asked for.
    pub fn is_last(self) -> bool {
        ARMED.get().is_some_and(|armed| armed.at == self && armed.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_named_once_and_found_by_its_name_and_nothing_else_is_one() {
        for at in Failpoint::ALL {
            assert_eq!(Failpoint::parse(&format!("{}:7", at.name())), Some((at, 7)));
        }
        for none in ["", "committed", "committed:", "committed:0", "committed:-1", "committed:x", "commit:1", ":1"] {
            assert_eq!(Failpoint::parse(none), None, "{none}");
        }
    }
}
