//! Handing out what is to be told, and taking back what became of it and of investigations.

use super::{Draft, Engine, Now};
use crate::escalation::Escalation;
use crate::escalation::investigation::Investigation;
use crate::notify::deliver::{Leased, Settled};
use crate::notify::notice::NoticeKind;

impl Engine {
    /// The next row of a destination, marked as attempted; else when to ask again.
    pub fn lease(&mut self, destination: &str, now: Now) -> Result<(Draft, Leased), Option<i64>> {
        let id = self.outbox.next(destination, now.ms)?;
        let row = self.outbox.get(id).ok_or(None)?;
        let escalation = self.desk.get(row.escalation);
        let mut notice = row.notice.clone();
        // The first message tells the count of the moment it leaves; the others, what they were posted for.
        if notice.kind == NoticeKind::Opened
            && row.attempts == 0
            && let Some(escalation) = escalation
        {
            notice = escalation.notice(NoticeKind::Opened, notice.at_ms);
        }
        if notice.kind == NoticeKind::Opened {
            let has = |e: &Escalation| matches!(e.investigation, Some(Investigation::Wanted | Investigation::Written));
            notice.dossier = escalation.filter(|e| has(e)).and_then(|e| self.settings.dossiers.of(e.id));
        }
        // An attempt that failed clearly did not arrive; `in_doubt` stays as restored.
        let thread = escalation.and_then(|e| e.threads.get(destination).cloned());
        let row = self.outbox.lease(id, notice, now.ms).ok_or(None)?;
        let leased = Leased {
            row: id,
            attempt: row.attempts,
            first_attempt_ms: row.first_attempt_ms.unwrap_or(now.ms),
            notice: row.notice.clone(),
            thread,
        };
        Ok((Draft::default(), leased))
    }

    /// What became of an investigation; and whether anybody still waited for it.
    pub fn investigated(&mut self, id: u64, became: Investigation) -> (Draft, bool) {
        let waited = self.desk.investigated(id, became);
        (Draft::default(), waited)
    }

    pub fn settle(&mut self, row: u64, outcome: &Settled) -> Draft {
        if let (Some(held), Settled::Done { thread: Some(thread) }) = (self.outbox.get(row), outcome)
            && held.notice.kind == NoticeKind::Opened
        {
            let (escalation, destination) = (held.escalation, held.destination.clone());
            self.desk.thread(escalation, &destination, thread.clone());
        }
        self.outbox.settle(row, outcome);
        Draft::default()
    }

    pub fn hurry(&mut self, now: Now) -> usize {
        self.outbox.hurry(now.ms);
        self.outbox.waiting().0
    }
}
