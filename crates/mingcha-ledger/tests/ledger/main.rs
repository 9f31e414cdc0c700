//! The ledger from outside: what is written, tampered with, exported, masked and explained.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod back;
mod bars;
mod book;
mod bounds;
mod explaining;
mod filled;
mod fixture;
mod flat_files;
mod learning;
mod lives;
mod masking;
mod naming;
mod nights;
mod out;
mod proof;
mod receipts;
mod reports;
mod retention;
mod run_folder;
mod run_names;
mod unmasking;
mod waiting;
mod waivers;
mod workbook;
mod zone;
