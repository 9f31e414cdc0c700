//! The command line from outside: the binary is started as a user would start it, and what it prints, writes
//! and answers is looked at. Nothing here knows the inside of any crate; the truth about the synthetic city is
//! the only thing read through a library.
//!
//! `help` what it says of itself · `rules` checking and explaining rules · `intake` bad extracts · `city` a
//! small city held against its truth · `back` lists that leave on record and come back · `ledger` leads from night to night, and what people do about them · `learning`
//! scorecard, queue and reports · `night` nights, messages,
//! retention · `workspace` a folder of one's own and its settings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod back;
mod city;
mod harness;
mod help;
mod intake;
mod learning;
mod ledger;
mod night;
mod post;
mod rules;
mod workspace;
