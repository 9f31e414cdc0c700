//! What a reader of prepared data may ask: the one interface that rules are run over, whether the data lies
//! in a store on disk or in the few rows of an example. Knows no file format and no rule.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use mingcha_rules::{Contract, Diagnostic};

/// Bits of a `src` that hold the row; the file stands above them.
const ROW_BITS: u32 = 40;
/// Of the bits above, those that count the files of one dataset; the dataset stands above them.
const FILE_BITS: u32 = 14;
/// Files that a dataset may have, numbered from 1.
pub(crate) const MOST_FILES: usize = (1 << FILE_BITS) - 1;
/// Contracts that may be numbered, from 0: what is left of 63 bits.
pub(crate) const MOST_DATASETS: usize = 1 << (63 - ROW_BITS - FILE_BITS);

/// Prepared datasets, split by person.
pub trait Tables: Send + Sync {
    /// The contracts the data was typed by, in order of name.
    fn contracts(&self) -> &[Contract];

    /// Persons in the index; `pid` runs from 0 to this, exclusive.
    fn n_persons(&self) -> u64;

    /// Shards; at least 1.
    fn n_shards(&self) -> usize;

    /// Rows of a dataset, or of `persons` and `rejects`. `None`: the dataset was not delivered.
    fn rows(&self, dataset: &str) -> Option<u64>;

    /// The persons of a shard, from and to (exclusive). `None`: no such shard.
    fn shard_persons(&self, shard: usize) -> Option<(i32, i32)>;

    /// Rows of a person dataset, or of `persons`, in one shard. `None`: the dataset was not delivered, holds no
    /// persons, or there is no such shard.
    fn part_rows(&self, dataset: &str, shard: usize) -> Option<u64>;

    /// SHA-256 (hexadecimal) of the file behind a part: the same digest, the same rows. `None`: there is no such
    /// part, or it is no file of its own (a [`Part::Slice`], or data in memory).
    fn part_digest(&self, dataset: &str, part: Part) -> Option<String>;

    /// One part of a dataset, with the columns of [`sql_schema`](crate::schema::sql_schema) (or
    /// [`builtin_schema`](crate::schema::builtin_schema)) that are asked for, in the order asked. Persons come
    /// in shards; `rejects` and datasets without persons are [`Part::Whole`]. Always at least one batch.
    ///
    /// # Errors
    /// When the dataset was not delivered, a column is unknown, the part does not fit the dataset, or the
    /// file is damaged.
    fn read(&self, dataset: &str, part: Part, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic>;

    /// [`Tables::read`] of a shard, but only the rows of `persons` (ascending).
    ///
    /// # Errors
    /// As [`Tables::read`].
    fn read_persons(
        &self,
        dataset: &str,
        shard: usize,
        columns: &[&str],
        persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic>;

    /// The dataset, file and row that a `src` means.
    fn locate(&self, src: i64) -> Option<RowLocator>;

    /// The identity number of a person. `None`: no such person.
    ///
    /// # Errors
    /// When the index is damaged.
    fn id_number(&self, pid: i32) -> Result<Option<String>, Diagnostic>;

    /// Columns of the contract that at least one delivered file of the dataset lacks; sorted.
    fn absent_columns(&self, _dataset: &str) -> Vec<String> {
        Vec::new()
    }

    /// The day the dataset was extracted, where the sender said so.
    fn extract_date(&self, dataset: &str) -> Option<NaiveDate>;
}

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The rows of the persons of one shard, sorted by `pid`, `src`.
    Shard(usize),
    /// The rows of the persons `from..to` of one shard, sorted like the shard: for shards too large to be held.
    Slice {
        /// The shard that all of these persons are in.
        shard: usize,
        /// First person.
        from: i32,
        /// One past the last person.
        to: i32,
    },
    /// The rows of a person dataset that lead to no person, sorted by `src`.
    Unassigned,
    /// A dataset without persons, sorted by `src`; or `rejects`, in order of file.
    Whole,
}

/// Where a row came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowLocator {
    /// Dataset.
    pub dataset: String,
    /// File, relative to the extracts folder.
    pub file: String,
    /// Data row, from 1; the heading is not counted.
    pub row: u64,
}

/// The number of a file: the place of its dataset among the contracts, from 0, and its own in the dataset, from 1.
pub(crate) fn file_id(dataset: usize, file: usize) -> u32 {
    ((dataset as u32) << FILE_BITS) | file as u32
}

/// The row locator of a row: file number above, row below.
pub(crate) fn src_of(file: u32, row: u64) -> i64 {
    (i64::from(file) << ROW_BITS) | (row as i64)
}

/// File number and row of a row locator.
pub(crate) fn file_and_row(src: i64) -> (u32, u64) {
    let row = src & ((1 << ROW_BITS) - 1);
    (u32::try_from(src >> ROW_BITS).unwrap_or(0), row.unsigned_abs())
}

/// Tables of which only some persons are seen: a shard holds their rows and no others. Everything that is no shard is
/// seen whole.
pub struct OfPersons {
    tables: Arc<dyn Tables>,
    persons: Vec<i32>,
}

impl OfPersons {
    /// The tables, with the rows of `persons` (ascending).
    pub fn new(tables: Arc<dyn Tables>, persons: Vec<i32>) -> Self {
        Self { tables, persons }
    }

    /// Those of the persons who are in a shard.
    pub fn in_shard(&self, shard: usize) -> &[i32] {
        let Some((from, to)) = self.tables.shard_persons(shard) else { return &[] };
        let first = self.persons.partition_point(|pid| *pid < from);
        let last = self.persons.partition_point(|pid| *pid < to);
        &self.persons[first..last]
    }
}

impl Tables for OfPersons {
    fn contracts(&self) -> &[Contract] {
        self.tables.contracts()
    }

    fn n_persons(&self) -> u64 {
        self.tables.n_persons()
    }

    fn n_shards(&self) -> usize {
        self.tables.n_shards()
    }

    fn rows(&self, dataset: &str) -> Option<u64> {
        self.tables.rows(dataset)
    }

    fn shard_persons(&self, shard: usize) -> Option<(i32, i32)> {
        self.tables.shard_persons(shard)
    }

    fn part_rows(&self, dataset: &str, shard: usize) -> Option<u64> {
        if self.in_shard(shard).is_empty() {
            return self.tables.part_rows(dataset, shard).map(|_| 0);
        }
        self.tables.part_rows(dataset, shard)
    }

    fn part_digest(&self, _dataset: &str, _part: Part) -> Option<String> {
        None
    }

    fn read(&self, dataset: &str, part: Part, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic> {
        let (shard, range) = match part {
            Part::Shard(shard) => (shard, i32::MIN..i32::MAX),
            Part::Slice { shard, from, to } => (shard, from..to),
            _ => return self.tables.read(dataset, part, columns),
        };
        let persons: Vec<i32> =
            self.in_shard(shard).iter().copied().filter(|pid| range.contains(pid)).collect();
        self.tables.read_persons(dataset, shard, columns, &persons)
    }

    fn read_persons(
        &self,
        dataset: &str,
        shard: usize,
        columns: &[&str],
        persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        let seen = self.in_shard(shard);
        let both: Vec<i32> = persons.iter().copied().filter(|pid| seen.binary_search(pid).is_ok()).collect();
        self.tables.read_persons(dataset, shard, columns, &both)
    }

    fn locate(&self, src: i64) -> Option<RowLocator> {
        self.tables.locate(src)
    }

    fn id_number(&self, pid: i32) -> Result<Option<String>, Diagnostic> {
        self.tables.id_number(pid)
    }

    fn absent_columns(&self, dataset: &str) -> Vec<String> {
        self.tables.absent_columns(dataset)
    }

    fn extract_date(&self, dataset: &str) -> Option<NaiveDate> {
        self.tables.extract_date(dataset)
    }
}
