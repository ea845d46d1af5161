//! Triage without a loop: for who has a clock of his own, asks no model, and wants each run to be the same.

use super::*;

/// Questions that one turn may lead to: a bound, should an answer never settle what was asked.
const QUESTIONS_MAX: usize = 1_000;

/// The worker, stepped.
pub struct ByHand {
    worker: Worker,
    inbox: mpsc::Receiver<Vec<Novel>>,
}

impl ByHand {
    pub fn new(mut parts: Parts) -> ByHand {
        let worker = Worker::new(&mut parts);
        ByHand { worker, inbox: parts.inbox }
    }

    /// Takes in what was handed over, and has judged what is due.
    pub async fn turn(&mut self) {
        while let Ok(batch) = self.inbox.try_recv() {
            self.worker.take(batch);
        }
        self.worker.lift().await;
        self.worker.ask().await;
        for _ in 0..QUESTIONS_MAX {
            if self.worker.asking.is_none() {
                break;
            }
            let answer = answered(&mut self.worker.asking).await;
            self.worker.answered(answer).await;
            self.worker.lift().await;
            self.worker.ask().await;
        }
    }

    /// Lets time pass.
    pub async fn tick(&mut self) {
        self.worker.tick().await;
        self.turn().await;
    }

    /// Every kind there is, counted up to now.
    pub fn kinds(&mut self) -> &Kinds {
        self.worker.sweep();
        &self.worker.kinds
    }
}
