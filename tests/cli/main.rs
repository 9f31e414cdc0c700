//! The command line from outside: the binary is started as a user would start it, and what it prints, writes
//! and answers is looked at. Nothing here knows the inside of any crate; the truth about the synthetic city is
//! the only thing read through a library.
//!
//! `acts` who may act, receipts, a full disk · `back` lists that leave on record and come back · `city` a small city held
//! against its truth · `days` the day of the office · `handled` who handled what a lead rests on · `help` what it says of
//! itself · `intake` bad extracts · `learning` scorecard, queue and reports · `ledger` leads from night to night, and what
//! people do about them · `lists` what must not be seen in them, and filters that would show more than was asked · `money`
//! what is said beside sums of money · `night` nights, messages, retention · `post` messages over TLS · `purge` what goes
//! and what stays · `rules` checking and explaining rules · `workspace` a folder of one's own and its settings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acts;
mod back;
mod city;
mod days;
mod handled;
mod harness;
mod help;
mod intake;
mod learning;
mod ledger;
mod lists;
mod money;
mod night;
mod post;
mod purge;
mod rules;
mod workspace;
