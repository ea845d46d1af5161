//! Whole-program tests: the built program, real sockets, real files; stand-ins only for Slack and Fluent Bit.
//! One binary, linked once. Each module says what belongs in it.

mod world;
