//! The ledger from outside: what is written, tampered with, exported, masked and explained.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod book;
mod explaining;
mod fixture;
mod flat_files;
mod lives;
mod masking;
mod nights;
mod proof;
mod retention;
mod run_folder;
mod waivers;
mod workbook;
