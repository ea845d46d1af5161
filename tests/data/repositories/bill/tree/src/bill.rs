//! What was eaten.

/// One dish, in cents.
#[derive(Debug, Clone)]
pub struct Dish {
    pub name: String,
    pub cents: u64,
}

/// Reads `soup 450`, a dish a line.
pub fn read(text: &str) -> Vec<Dish> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            Dish { name, cents: words.next().and_then(|cents| cents.parse().ok()).unwrap_or(0) }
        })
        .collect()
}
