//! `just soak`: the ledger under a thousand kills, or as many as are asked for. Ends by itself; its exit code is 1 if
//! a line was lost or counted twice, or if the run proves nothing.
//!
//! `--kills N` (1000), `--seed N` (1), `--program PATH`: another build of the program, such as the released one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command: it speaks to a terminal")]

mod soak;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut kills, mut seed) = (1000, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match name.as_str() {
            "--kills" => kills = value().parse().expect("--kills: a number"),
            "--seed" => seed = value().parse().expect("--seed: a number"),
            "--program" => world::program::run_instead(value().into()),
            // What cargo adds.
            "--bench" => {}
            other => {
                eprintln!("{other} is unknown; there are --kills, --seed and --program");
                return ExitCode::from(64);
            }
        }
    }
    let progress = |kill: u64, tally: &soak::Tally| {
        if kill.is_multiple_of(25) {
            eprintln!("{kill} kills, {} between sync and answer, {} repeats", tally.between(), tally.repeats);
        }
    };
    let tally = soak::run(&soak::Plan { kills, seed, progress });
    println!("{tally}");
    let exact = tally.lost + tally.doubled == 0;
    // A run in which nothing came again shows nothing.
    let tried = kills < 200 || tally.between() >= 50 && tally.repeats >= 50;
    if exact && tried { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
