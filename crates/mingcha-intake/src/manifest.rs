//! The manifest of a store: what it was made of and what it holds, to the byte. A plain record; it is written
//! last, so a folder with a manifest is a whole store.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};

/// The version of the store's layout that this build writes and reads.
pub const STORE_VERSION: u32 = 3;

/// The word that tells a store from any other folder with a `manifest.json`.
pub(crate) const STORE_FORMAT: &str = "mingcha-store";

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `mingcha-store`.
    pub format: String,
    /// Version of the layout.
    pub version: u32,
    /// Version of the build that wrote it.
    pub written_by: String,
    /// Hash of the code that wrote it: only the same code builds upon a store.
    pub build: String,
    /// Persons in the index.
    pub persons: u64,
    /// First person of every run of ascending identity numbers, from 0. A store that was built upon has one run
    /// more for each time that persons were added.
    pub person_runs: Vec<u32>,
    /// Persons that a shard was meant to have when the persons were last cut into shards.
    pub shard_persons: u64,
    /// Number of shards that was asked for.
    pub shards_asked: Option<usize>,
    /// The contracts, as they were.
    pub contracts: Vec<serde_json::Value>,
    /// SHA-256 of each contract, by dataset.
    pub contract_hashes: BTreeMap<String, String>,
    /// Every input file, in order of its number.
    pub files: Vec<InputFile>,
    /// Every delivered dataset, by name.
    pub datasets: BTreeMap<String, DatasetEntry>,
    /// The shards, in order.
    pub shards: Vec<ShardEntry>,
    /// The person index, one file per shard.
    pub person_files: Vec<StoreFile>,
    /// The rejects.
    pub rejects: StoreFile,
    /// The rejects as text, for a spreadsheet.
    pub rejects_csv: StoreFile,
    /// What differs from the stores that this one was built upon, the newest last: each from the one before the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangesEntry>,
}

/// What one preparation changed in the store that it built upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesEntry {
    /// SHA-256 of the manifest of that store.
    pub since: String,
    /// Persons that it had.
    pub persons: u64,
    /// The datasets (and `rejects`) in which something differs.
    pub datasets: BTreeMap<String, DatasetChanges>,
}

/// What differs in one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatasetChanges {
    /// Everything may differ: it came, went, has another contract, or holds no persons.
    pub whole: bool,
    /// Rows without a person differ.
    pub unassigned: bool,
    /// The persons whose rows differ.
    pub persons: Option<StoreFile>,
    /// The columns in which they differ. Absent: rows came, went, or are in another place.
    #[serde(default)]
    pub columns: Option<BTreeSet<String>>,
}

/// One input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Number, the upper bits of `src`: the place of the dataset among the contracts, then that of the file in the
    /// dataset. So a dataset keeps its numbers whatever comes and goes beside it.
    pub id: u32,
    /// Dataset it belongs to.
    pub dataset: String,
    /// Path relative to the extracts folder, with `/`.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// `parquet`, `csv`, `tsv`, `xlsx` or `xls`.
    pub format: String,
    /// Encoding, for text files.
    pub encoding: Option<String>,
    /// Sheet, for workbooks.
    pub sheet: Option<String>,
    /// Data rows, blank ones not counted: always `rows_stored + rows_rejected`.
    pub rows: u64,
    /// Rows stored.
    pub rows_stored: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Rows without any value.
    pub rows_blank: u64,
    /// Columns of the contract that the file lacks.
    pub missing_columns: Vec<String>,
    /// What was said about it when it was read.
    pub notes: Vec<Diagnostic>,
    /// Extract date of this file, where it carries one.
    pub as_of: Option<NaiveDate>,
    /// First day it covers, where it says so.
    pub covers_from: Option<NaiveDate>,
    /// Last day it covers, where it says so.
    pub covers_to: Option<NaiveDate>,
}

/// One dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetEntry {
    /// SHA-256 of everything that its rows follow from: files, contract, days, options. The same recipe in the
    /// same build gives the same rows.
    pub recipe: String,
    /// What its rows take in memory while they are split.
    pub weight: u64,
    /// Rows of all files, blank ones not counted: always `rows_stored + rows_rejected`.
    pub rows_in: u64,
    /// Rows stored.
    pub rows_stored: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Of those stored, rows that lead to no person (person datasets).
    pub rows_unassigned: u64,
    /// Entries of the rejects table by reason, remarks included.
    pub reasons: BTreeMap<String, u64>,
    /// Extract date: the oldest of its files.
    pub as_of: Option<NaiveDate>,
    /// First day covered.
    pub covers_from: Option<NaiveDate>,
    /// Last day covered.
    pub covers_to: Option<NaiveDate>,
    /// The files of the store: one per shard, or the whole.
    pub files: Vec<StoreFile>,
    /// The rows without a person (person datasets).
    pub unassigned: Option<StoreFile>,
}

/// One shard: the persons `pid_from..pid_to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// First person.
    pub pid_from: u32,
    /// One past the last person.
    pub pid_to: u32,
}

/// One file of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreFile {
    /// Path relative to the store, with `/`.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}
