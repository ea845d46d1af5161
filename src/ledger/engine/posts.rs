//! Handing out what is to be told, and taking back what became of it and of investigations.

use super::super::FIRST_DAY_NOTE;
use super::{Draft, Engine, Now};
use crate::escalation::investigation::Investigation;
use crate::escalation::outbox::Take;
use crate::escalation::{Escalation, Post};
use crate::ledger::Rows;
use crate::notify::deliver::{Leased, Message, Settled};
use crate::notify::digest::Digest;
use crate::notify::first_day::FirstDay;
use crate::notify::notice::{Notice, NoticeKind, Told};

impl Engine {
    /// What a destination is to be told next, marked as attempted; else when to ask again.
    pub fn lease(&mut self, destination: &str, now: Now) -> Result<(Draft, Leased), Option<i64>> {
        let (id, message) = match self.outbox.next(destination, now.ms) {
            Take::Nothing(due_ms) => return Err(due_ms),
            Take::One(id) => {
                let id = self.in_order_of_onset(id, destination, now);
                let mut notice = self.as_of_now(id).ok_or(None)?;
                if notice.kind == NoticeKind::Opened && self.outbox.is_read_live(destination) {
                    notice.broadcast = self.desk.is_gravest(notice.escalation, destination);
                }
                let row = self.outbox.lease(id, notice, now.ms).ok_or(None)?;
                (id, Message::One(Box::new(row.notice.clone())))
            }
            Take::Many(why, rows) => {
                let mut notices = Vec::new();
                for id in &rows {
                    let notice = self.as_of_now(*id).ok_or(None)?;
                    notices.extend(self.outbox.lease(*id, notice, now.ms).map(|row| row.notice.clone()));
                }
                self.outbox.tie(&rows);
                let first = rows.first().copied().ok_or(None)?;
                (first, Message::Many(Box::new(Digest::new(why, notices.into_iter()))))
            }
        };
        let row = self.outbox.get(id).ok_or(None)?;
        let thread = match &message {
            Message::One(_) if self.outbox.is_read_live(destination) => {
                self.desk.thread_of(row.escalation, destination)
            }
            _ => None,
        };
        let leased = Leased {
            row: id,
            attempt: row.attempts,
            first_attempt_ms: row.first_attempt_ms.unwrap_or(now.ms),
            message,
            thread,
        };
        Ok((Draft::default(), leased))
    }

    /// Of first messages of one incident the one that began first goes first: under it stand the others.
    fn in_order_of_onset(&self, id: u64, destination: &str, now: Now) -> u64 {
        match self.outbox.get(id) {
            Some(row) if row.notice.kind == NoticeKind::Opened && self.outbox.is_read_live(destination) => {
                let waiting = self.outbox.first_messages(destination, now.ms);
                self.desk.first_of_incident((row.escalation, id), waiting)
            }
            _ => id,
        }
    }

    /// What a row tells when it leaves now: a first message and a reminder tell the count of that moment, the others what
    /// they were posted for.
    fn as_of_now(&mut self, id: u64) -> Option<Notice> {
        let row = self.outbox.get(id)?;
        // What may have arrived is told again as it was.
        let fresh = row.attempts == 0 || !row.notice.in_doubt;
        let (mut notice, about) = (row.notice.clone(), row.escalation);
        let opened = notice.kind == NoticeKind::Opened;
        if fresh
            && (opened || notice.kind == NoticeKind::Reminder)
            && let Some(escalation) = self.desk.get(about)
        {
            let told_before = notice.told_before;
            notice = Notice { told_before, ..escalation.notice(notice.kind, notice.at_ms) };
            self.desk.told(about, notice.count);
        }
        if opened {
            let has = |e: &&Escalation| matches!(e.investigation, Some(Investigation::Wanted | Investigation::Written));
            notice.dossier = self.desk.get(about).filter(has).and_then(|e| self.settings.dossiers.of(e.id));
        }
        Some(notice)
    }

    /// Posts the first look; its mark goes in the same commit.
    pub fn first_day(&mut self, report: FirstDay, now: Now) -> Draft {
        let notice = Notice::first_day(report, now.ms);
        self.outbox.post(&Post { escalation: notice.escalation, due_ms: now.ms, notice });
        Draft { notes: vec![(FIRST_DAY_NOTE.to_owned(), None)], ..self.draft(now) }
    }

    /// What became of an investigation; and whether anybody still waited for it.
    pub fn investigated(&mut self, id: u64, became: Investigation, rows: Rows, now: Now) -> (Draft, bool) {
        let waited = self.desk.investigated(id, became);
        (Draft { case_rows: if waited { rows } else { Rows::new() }, ..self.draft(now) }, waited)
    }

    /// How far an investigation has come, and what is told of it.
    pub fn keep_case(&mut self, rows: Rows, told: Option<(u64, Told)>, now: Now) -> Draft {
        if let Some((id, report)) = told
            && let Some(mut post) = self.desk.reported(id, report, now.ms)
        {
            post.notice.dossier = self.settings.dossiers.report_of(id);
            self.outbox.post(&post);
        }
        Draft { case_rows: rows, ..self.draft(now) }
    }

    pub fn settle(&mut self, row: u64, outcome: &Settled, now: Now) -> Draft {
        let destination = self.outbox.get(row).map(|r| r.destination.clone());
        let told = self.outbox.settle(row, outcome, now.ms);
        if let (Some(destination), Settled::Done { thread: Some(thread) }) = (destination, outcome) {
            for (escalation, _) in told.iter().filter(|(_, kind)| *kind == NoticeKind::Opened) {
                self.desk.thread(*escalation, &destination, thread.clone());
            }
        }
        Draft::default()
    }

    /// Sends what was given up again: one row, or all. Answers how many.
    pub fn resend(&mut self, row: Option<u64>, now: Now) -> (Draft, usize) {
        let sent = self.outbox.resend(row, now.ms);
        (Draft::default(), sent)
    }

    pub fn hurry(&mut self, now: Now) -> usize {
        self.outbox.hurry(now.ms);
        self.outbox.waiting().0
    }
}
