//! The ledger from outside: what is written, tampered with, exported, masked and explained.

mod explaining;
mod fixture;
mod flat_files;
mod masking;
mod run_folder;
mod workbook;
