use bill_split::bill::read;
use bill_split::split::Split;

fn settle(text: &str, guests: u64) -> usize {
    let dishes = read(text);
    Split::new(&dishes).shares(guests).len()
}

fn main() {
    println!("{}", settle("soup 450\nfish 1700", 2));
    println!("{}", settle("soup 450", 0));
}
