//! Extracts that are wrong without looking so: rows that are delivered twice, noughts that look like days, numbers that a
//! spreadsheet has destroyed, formulas without values, merged cells, columns that nobody reads. Each must be read rightly
//! or refused with its true cause; none may pass in silence. By the contracts that Mingcha brings; all people are
//! invented (reserved area codes).
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod book;
mod cells;
mod files;
mod handlers;
mod numbers;
mod overlap;
#[cfg(unix)]
mod private;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use chrono::NaiveDate;
use mingcha_intake::{Part, PrepareOptions, Prepared, Quiet, Store, Tables, identity, prepare};
use mingcha_rules::{Contract, Diagnostic, Lang, Sources};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

fn contracts() -> Vec<Contract> {
    let datasets = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../datasets");
    let (library, faults) = mingcha_rules::load(&Sources::from_dirs(None, Some(&datasets)));
    assert!(faults.is_empty(), "{faults:?}");
    library.contracts
}

/// A person of an invented county.
fn person(n: u16) -> String {
    let born = NaiveDate::from_ymd_opt(1950, 1 + u32::from(n / 28 % 12), 1 + u32::from(n % 28)).unwrap();
    identity::make("880101", born, n)
}

/// A folder of extracts.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self { dir }
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn options(&self) -> PrepareOptions {
        let options = PrepareOptions::new(self.dir.path().join("in"), self.store(), contracts());
        PrepareOptions { threads: Some(2), ..options }
    }

    fn run(&self) -> Result<Prepared, Vec<Diagnostic>> {
        prepare(&self.options(), &Quiet)
    }

    /// What is said against the extracts; they must be refused.
    fn refused(&self) -> String {
        let faults = self.run().err();
        let faults = faults.unwrap_or_else(|| fail("the extracts were stored"));
        assert!(!self.store().exists(), "a store was left behind");
        told(&faults)
    }

    /// What is remarked on extracts that are stored.
    fn remarked(&self) -> String {
        let done = self.run().unwrap_or_else(|faults| fail(&told(&faults)));
        assert!(Store::open(self.store()).unwrap().verify().is_empty());
        told(&done.warnings)
    }

    /// Columns of a dataset, in order of person and row.
    fn rows(&self, dataset: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let store = Store::open(self.store()).unwrap();
        let parts = (0..store.n_shards()).map(Part::Shard);
        let parts: Vec<Part> = if dataset == "rejects" { vec![Part::Whole] } else { parts.collect() };
        let mut out = Vec::new();
        for batch in parts.into_iter().flat_map(|part| store.read(dataset, part, columns).unwrap()) {
            let texts: Vec<ArrayRef> =
                batch.columns().iter().map(|c| cast(c, &DataType::Utf8).unwrap()).collect();
            let cell = |c: &ArrayRef, row| match c.is_valid(row) {
                true => c.as_string::<i32>().value(row).to_owned(),
                false => "-".to_owned(),
            };
            out.extend((0..batch.num_rows()).map(|row| texts.iter().map(|c| cell(c, row)).collect()));
        }
        out
    }

    /// One column of a dataset.
    fn column(&self, dataset: &str, column: &str) -> Vec<String> {
        self.rows(dataset, &[column]).concat()
    }
}

#[expect(clippy::panic, reason = "a test that fails")]
fn fail(what: &str) -> ! {
    panic!("{what}")
}

/// Both languages of what is said, with its files and columns.
fn told(diagnostics: &[Diagnostic]) -> String {
    let line = |d: &Diagnostic| {
        let help = d.help.as_ref().map(|h| format!("{} / {}", h.zh, h.en)).unwrap_or_default();
        format!("{}\n{}\n{help}", d.line(Lang::Zh), d.line(Lang::En))
    };
    diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Fails unless `said` holds all of `wanted`.
fn says(said: &str, wanted: &[&str]) {
    for word in wanted {
        assert!(said.contains(word), "`{word}` is missing in:\n{said}");
    }
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let fields: Vec<_> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, a)| a).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    out
}
