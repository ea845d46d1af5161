//! Who pays what.

use crate::bill::Dish;

/// How a bill is divided.
pub struct Split<'a> {
    dishes: &'a [Dish],
    open: char,
}

impl<'a> Split<'a> {
    pub fn new(dishes: &'a [Dish]) -> Self {
        Split { dishes, open: '{' }
    }

    /// Cents that each of `guests` pays; the first ones pay what is left over.
    pub fn shares(&self, guests: u64) -> Vec<u64> {
        let sum: u64 = self.dishes.iter().map(|dish| dish.cents).sum();
        let each = sum / guests;
        let left = sum - each * guests;
        (0..guests).map(|guest| each + u64::from(guest < left)).collect()
    }

    /// The bill, in brackets.
    pub fn printed(&self) -> String {
        format!("{}{}{}", self.open, self.dishes.len(), r#"} "}"#)
    }
}
