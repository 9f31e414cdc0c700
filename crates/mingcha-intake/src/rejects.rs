//! The rejects: every value that could not be taken, with its row, its reason and what became of the row.
//! Knows how an entry looks; who is to blame is not known here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use mingcha_rules::Diagnostic;

use crate::fault;
use crate::manifest::StoreFile;

use crate::schema::{builtin_schema, plain_schema};
use crate::shards::Hashing;
use crate::tables::file_and_row;

/// The row was not stored.
pub(crate) const ROW_REJECTED: &str = "row_rejected";
/// The row was stored without the value.
pub(crate) const VALUE_DROPPED: &str = "value_dropped";
/// The row was stored as it is; a remark.
pub(crate) const KEPT: &str = "kept";

/// The row repeats the key of an earlier one. Only the second pass can say so.
pub(crate) const DUPLICATE_KEY: &str = "duplicate_key";
/// The row gives another person to a key than an earlier one. Only the second pass can say so.
pub(crate) const AMBIGUOUS_LINK: &str = "ambiguous_link";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Row locator.
    pub(crate) src: i64,
    /// Field; `None` for the row as a whole.
    pub(crate) field: Option<String>,
    /// Reason code.
    pub(crate) reason: &'static str,
    /// [`ROW_REJECTED`], [`VALUE_DROPPED`] or [`KEPT`].
    pub(crate) outcome: &'static str,
    /// The raw value.
    pub(crate) value: Option<String>,
    /// The raw identity number of the row.
    pub(crate) id_number: Option<String>,
    /// The raw name of the row.
    pub(crate) name: Option<String>,
    /// The raw area code of the row.
    pub(crate) area_code: Option<String>,
    /// Who handled the row: `field=name`, one a line.
    pub(crate) handlers: Option<String>,
}

impl Reject {
    /// Data row of the file, from 1.
    pub(crate) fn row(&self) -> u64 {
        file_and_row(self.src).1
    }

    /// Whether what is wrong is the identity number.
    pub(crate) fn is_of_id(&self) -> bool {
        self.reason.starts_with("id_")
    }
}

/// Entries of one file as a batch of the `rejects` table, with plain text.
///
/// # Errors
/// Never for entries made here; Arrow checks lengths.
pub(crate) fn to_batch(dataset: &str, file: &str, entries: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&Reject) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(entries.iter().map(|e| e.src))),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(file, entries.len()))),
        Arc::new(Int64Array::from_iter_values(entries.iter().map(|e| e.row() as i64))),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(dataset, entries.len()))),
        text(|e| e.field.as_deref()),
        text(|e| Some(e.reason)),
        text(|e| Some(e.outcome)),
        text(|e| e.value.as_deref()),
        text(|e| e.id_number.as_deref()),
        text(|e| e.name.as_deref()),
        text(|e| e.area_code.as_deref()),
        text(|e| e.handlers.as_deref()),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// The schema of the rejects file.
pub(crate) fn schema() -> arrow::datatypes::SchemaRef {
    builtin_schema("rejects")
        .map(|s| plain_schema(&s))
        .unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()))
}

/// The rejects for people with a spreadsheet: UTF-8 with a byte-order mark, the columns of the table, and
/// nothing that a spreadsheet would run as a formula or round as a number.
pub(crate) struct RejectsCsv {
    writer: csv::Writer<Hashing>,
    path: PathBuf,
    rows: u64,
}

/// Its name in the store.
const CSV_NAME: &str = "rejects.csv";

impl RejectsCsv {
    /// Begins the file, with its headings.
    pub(crate) fn create(store: &Path) -> Result<Self, Diagnostic> {
        let path = store.join(CSV_NAME);
        let mut sink = Hashing::create(&path).map_err(|e| fault::cannot_write(&path, &e))?;
        sink.write_all("\u{feff}".as_bytes()).map_err(|e| fault::cannot_write(&path, &e))?;
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(sink);
        writer
            .write_record(schema().fields().iter().map(|f| f.name().as_str()))
            .map_err(|e| fault::cannot_write(&path, &e))?;
        Ok(Self { writer, path, rows: 0 })
    }

    /// Adds a batch of the table.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        let failed = |e: &dyn std::fmt::Display| fault::cannot_write(&self.path, e);
        for row in 0..batch.num_rows() {
            for column in batch.columns() {
                let cell = match column.data_type() {
                    DataType::Int64 => guarded(&column.as_primitive::<Int64Type>().value(row).to_string()),
                    _ if column.is_null(row) => String::new(),
                    _ => guarded(column.as_string::<i32>().value(row)),
                };
                self.writer.write_field(cell).map_err(|e| failed(&e))?;
            }
            self.writer.write_record(None::<&[u8]>).map_err(|e| failed(&e))?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the file and waits until it is on the disk.
    pub(crate) fn finish(self) -> Result<StoreFile, Diagnostic> {
        let Self { writer, path, rows } = self;
        let sink = writer.into_inner().map_err(|e| fault::cannot_write(&path, &e.error()))?;
        let (bytes, sha256) = sink.finish().map_err(|e| fault::cannot_write(&path, &e))?;
        Ok(StoreFile { path: CSV_NAME.to_owned(), rows, bytes, sha256 })
    }
}

/// Text that a spreadsheet would run as a formula, or long digits that it would round, get an apostrophe.
fn guarded(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(|c: char| c.is_control());
    let rounded = text.len() > 11 && text.bytes().all(|b| b.is_ascii_digit());
    if formula || rounded { format!("'{text}") } else { text.to_owned() }
}
