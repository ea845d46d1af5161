//! Splits a bill among guests.

pub mod bill;
pub mod split;
