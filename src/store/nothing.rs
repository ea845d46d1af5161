//! No store: what was counted lives as long as the process. For trying things out, and for measuring what
//! durability costs.

use super::{Store, StoreError, Transaction};

pub struct Nothing;

impl Store for Nothing {
    fn write(&mut self, _: &Transaction) -> Result<(), StoreError> {
        Ok(())
    }

    fn snapshot(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}
