//! Emberwatch receives what Fluent Bit's `http` output sends, watches every line, and tells a person only
//! what counters have confirmed.
//!
//! The journey of a line, and the modules in the order it passes them:
//!
//! 1. [`server`] accepts the connection and asks who is there;
//! 2. [`ingest`] pulls the body frame by frame, cuts it into lines and stages what they add up to;
//! 3. [`record`] sees in each line where it came from, when, how bad, and what it says;
//! 4. [`watch`] decides which rules it concerns;
//! 5. [`triage`] has what is new among the lines judged, by a model or without one, and proposes watches;
//! 6. [`ledger`] counts the batch once, durably, and finds the windows that crossed their threshold;
//! 7. [`escalation`] decides what of that a human should read, and when;
//! 8. [`investigate`] writes down what is at hand about those that are to be looked into;
//! 9. [`notify`] delivers it.
//!
//! [`state`] keeps the small part of what is stored somewhere else, too.
//! [`app`] wires them, from what [`config`] has read; [`replay`] does so for files, on their own time. Imports run down
//! this list; the rest are leaves: [`store`], [`redact`], [`registry`], [`metrics`], [`moment`], [`fault`], [`secret`],
//! [`tls`], [`alarm`], [`failpoint`]; and beside the river [`fluent_bit`], which advises on the configuration of who
//! sends, [`ping`], and [`demo`], which shows all of it at work.

pub mod app;
pub mod config;
pub mod demo;
pub mod replay;
pub mod server;
pub mod state;

pub mod ingest;
pub mod record;
pub mod watch;

pub mod triage;

pub mod ledger;

pub mod escalation;
pub mod investigate;
pub mod notify;

pub mod alarm;
pub mod failpoint;
pub mod fault;
pub mod fluent_bit;
pub mod metrics;
pub mod moment;
pub mod ping;
pub mod redact;
pub mod registry;
pub mod secret;
pub mod store;
pub mod tls;
