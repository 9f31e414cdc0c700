//! The ledger from outside: what is written, tampered with, exported, masked and explained.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod explaining;
mod fixture;
mod flat_files;
mod masking;
mod run_folder;
mod workbook;
