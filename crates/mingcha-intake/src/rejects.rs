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

/// What a reason means and what to do about it, in both languages. `None`: a reason of a newer build.
pub(crate) fn meaning(reason: &str) -> Option<(&'static str, &'static str)> {
    Some(match reason {
        "missing_required" => ("必填的值为空，请发送方补齐", "a required value is empty: have it filled in"),
        "id_length" => ("证件号码不是 15 或 18 位", "the identity number has neither 15 nor 18 characters"),
        "id_characters" => ("证件号码含有不应有的字符", "the identity number holds characters it must not"),
        "id_birth_date" => (
            "证件号码中的出生日期不存在或晚于提取日",
            "the birth date in the identity number is none, or after the extract",
        ),
        "id_check_digit" => ("证件号码的校验位不符", "the check digit of the identity number is wrong"),
        "id_tail_000" => (
            "证件号码末三位为 000，多半被电子表格截断，请按文本重新导出",
            "the identity number ends in 000, probably cut by a spreadsheet: have it exported as text",
        ),
        "id_scientific" => (
            "证件号码成了科学计数法，请按文本重新导出",
            "the identity number became scientific notation: have it exported as text",
        ),
        "id_stored_as_number" => (
            "证件号码存成了数字，请按文本重新导出",
            "the identity number is stored as a number: have it exported as text",
        ),
        "id_area_unknown" => {
            ("县级区划不在历史代码表中，仅备注", "the county is not in the historical list; a remark only")
        }
        "bad_date" => ("不是日期，应如 2026-01-31", "no day; wanted 2026-01-31"),
        "bad_datetime" => ("不是时间，应如 2026-01-31 08:05:00", "no moment; wanted 2026-01-31 08:05:00"),
        "bad_month" => ("不是年月，应如 202601", "no month; wanted 202601"),
        "bad_money" => ("不是精确到分的金额，应如 1234.50", "no amount in whole cents; wanted 1234.50"),
        "bad_int" => ("不是整数", "no whole number"),
        "bad_decimal" => ("不是至多四位小数的数", "no number of at most four decimals"),
        "bad_bool" => ("不是“是/否”", "neither yes nor no"),
        "bad_area" => ("行政区划不是 6 至 12 位数字", "the area code is not 6 to 12 digits"),
        "bad_text" => {
            ("文本中有空字符，或单元格有错误", "the text holds a NUL character, or the cell an error")
        }
        "stored_as_number" => (
            "账号存成了数字，请按文本重新导出",
            "the account is stored as a number: have it exported as text",
        ),
        "unknown_code" => (
            "代码不在代码表中；确为新代码时加入约定的 codes",
            "the code is not in the table; add it to the contract's codes where it is a new one",
        ),
        "ragged_row" => ("列数与表头不符", "the row has not as many columns as the headings"),
        "undecodable_bytes" => ("有不合文件编码的字节", "some bytes do not fit the encoding of the file"),
        DUPLICATE_KEY => ("与前面的行键相同，仅备注", "repeats the key of an earlier row; a remark only"),
        AMBIGUOUS_LINK => {
            ("同一键对应多人，不归于任何人", "the key belongs to several persons, so it leads to nobody")
        }
        _ => return None,
    })
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
