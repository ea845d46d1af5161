//! Whole-program tests: the built program, real sockets, real files; stand-ins only for Slack, a model and Fluent Bit.
//! One binary, linked once. Each module says what belongs in it.

mod advice;
mod answers;
mod captures;
mod cases;
mod control;
mod crashes;
mod crowd;
mod demo;
mod doors;
mod faults;
mod first_day;
mod framing;
mod injections;
mod investigations;
mod investigator;
mod joins;
mod kills;
mod mends;
mod model;
mod operation;
mod prometheus;
mod quarantine;
mod real;
mod recipes;
mod records;
mod refusals;
mod rehearsal;
mod secrets;
mod slack;
mod soak;
mod sources;
mod state;
mod story;
mod triage;
mod world;
