//! The ledger from outside: what is written, tampered with, exported, masked and explained.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod back;
mod book;
mod explaining;
mod filled;
mod fixture;
mod flat_files;
mod learning;
mod lives;
mod masking;
mod nights;
mod out;
mod proof;
mod reports;
mod retention;
mod run_folder;
mod waivers;
mod workbook;
