//! Findings, excused candidates and outcomes as Parquet, and back. The column names, types and order of
//! `findings.parquet` are an outside contract. Knows no folder layout and no export profile.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Diagnostic, Excused, Finding, Outcome, OutcomeKind, Severity, Text};
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy};
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::fault;
use crate::record::{Seal, hex};

/// Rows turned into Arrow at a time: bounds the memory that evidence takes twice.
const CHUNK: usize = 1_024;
/// Rows of a row group: a group is in memory until it is full.
const GROUP: usize = 1 << 16;

/// A row type that has a table.
pub(crate) trait Tabled: Sized {
    fn schema() -> SchemaRef;
    fn batch(rows: &[&Self], run_id: &str) -> Result<RecordBatch, Diagnostic>;
    fn row(columns: &Columns<'_>, row: usize) -> Result<Self, String>;
}

/// A table being written. Equal rows and metadata give equal bytes, however the rows were handed over.
///
/// Parquet 59 cannot write page checksums; the seal (SHA-256 over the file) takes their place.
struct Sheet {
    path: PathBuf,
    writer: ArrowWriter<Hashing<File>>,
    rows: u64,
}

impl Sheet {
    fn create<T: Tabled>(path: &Path, metadata: &[(&str, &str)]) -> Result<Self, Diagnostic> {
        let file = File::create_new(path)
            .map_err(|e| fault::disk("MC801", ("写文件", "write the file"), path, &e))?;
        let marks = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP))
            .set_key_value_metadata(Some(marks))
            .build();
        let writer = ArrowWriter::try_new(Hashing::new(file), T::schema(), Some(properties))
            .map_err(|e| fault::unwritable(path, e))?;
        Ok(Self { path: path.to_path_buf(), writer, rows: 0 })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| fault::unwritable(&self.path, e))
    }

    fn seal(self) -> Result<Seal, Diagnostic> {
        let path = &self.path;
        let sink = self.writer.into_inner().map_err(|e| fault::unwritable(path, e))?;
        sink.file.sync_all().map_err(|e| fault::disk("MC801", ("保存文件", "save the file"), path, &e))?;
        Ok(Seal { bytes: sink.bytes, rows: self.rows, sha256: hex(&sink.hash.finalize()) })
    }
}

/// Writes `rows` in the order in which they come.
pub(crate) fn write<T: Tabled, R: Borrow<T>>(
    path: &Path,
    rows: impl IntoIterator<Item = Result<R, Diagnostic>>,
    run_id: &str,
    metadata: &[(&str, &str)],
) -> Result<Seal, Diagnostic> {
    let mut sheet = Sheet::create::<T>(path, metadata)?;
    let mut rows = rows.into_iter();
    loop {
        let chunk = rows.by_ref().take(CHUNK).collect::<Result<Vec<R>, _>>()?;
        if chunk.is_empty() {
            return sheet.seal();
        }
        sheet.add(&T::batch(&chunk.iter().map(Borrow::borrow).collect::<Vec<_>>(), run_id)?)?;
    }
}

/// Writes a table row by row; a thread of its own does the packing. The rows themselves stay on the thread that
/// made them: memory that another thread frees is slow to be had again.
#[derive(Debug)]
pub(crate) struct Scribe<T> {
    run_id: String,
    /// Rows that are not yet a chunk.
    open: Vec<T>,
    chunks: Option<SyncSender<RecordBatch>>,
    thread: Option<JoinHandle<Result<Seal, Diagnostic>>>,
}

impl<T: Tabled> Scribe<T> {
    pub(crate) fn create(path: &Path, run_id: &str, metadata: &[(&str, &str)]) -> Result<Self, Diagnostic> {
        let mut sheet = Sheet::create::<T>(path, metadata)?;
        let (sender, chunks) = sync_channel::<RecordBatch>(4);
        let write = move || {
            for chunk in chunks {
                sheet.add(&chunk)?;
            }
            sheet.seal()
        };
        let thread = std::thread::Builder::new().spawn(write);
        let thread = thread.map_err(|e| fault::unwritable(path, e))?;
        Ok(Self { run_id: run_id.to_owned(), open: Vec::new(), chunks: Some(sender), thread: Some(thread) })
    }

    /// Adds a row. Chunks do not depend on who handed over how much at a time.
    pub(crate) fn add(&mut self, row: T) -> Result<(), Diagnostic> {
        self.open.push(row);
        if self.open.len() < CHUNK { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Diagnostic> {
        let chunk = T::batch(&self.open.iter().collect::<Vec<_>>(), &self.run_id)?;
        self.open.clear();
        match &self.chunks {
            Some(chunks) if chunks.send(chunk).is_ok() => Ok(()),
            // The thread has stopped, and knows why.
            _ => self.end().and(Err(broken("no more rows are taken"))),
        }
    }

    /// The end of the table.
    pub(crate) fn seal(mut self) -> Result<Seal, Diagnostic> {
        if !self.open.is_empty() {
            self.send()?;
        }
        self.end()
    }

    fn end(&mut self) -> Result<Seal, Diagnostic> {
        self.chunks = None;
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.unwrap_or_else(|| Err(broken("the table could not be written")))
    }
}

impl<T> Drop for Scribe<T> {
    fn drop(&mut self) {
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            // Nobody waits for the table any more; its folder can be taken away once nothing writes there.
            let _ = thread.join();
        }
    }
}

/// Of a table, only the rows whose text in a column is one of these.
pub(crate) type Only = Option<(&'static str, HashSet<String>)>;

/// Reads rows as they lie in the file. Of the rows that are not wanted no more is unpacked than that one column.
pub(crate) fn batches(
    path: &Path,
    only: Only,
) -> Result<impl Iterator<Item = Result<RecordBatch, Diagnostic>> + use<>, Diagnostic> {
    let failed = |e: ParquetError| fault::unreadable(path, e);
    let file = File::open(path).map_err(|e| fault::disk("MC803", ("打开文件", "open the file"), path, &e))?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(failed)?
        .with_batch_size(CHUNK);
    if let Some((column, wanted)) = only {
        let mask = ProjectionMask::columns(reader.parquet_schema(), [column]);
        let is_wanted = move |batch: RecordBatch| {
            let texts =
                Columns(&batch).array::<StringArray>(column).map_err(ArrowError::SchemaError)?.clone();
            Ok(texts.iter().map(|text| Some(text.is_some_and(|text| wanted.contains(text)))).collect())
        };
        reader =
            reader.with_row_filter(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, is_wanted))]));
    }
    let path = path.to_path_buf();
    Ok(reader.build().map_err(failed)?.map(move |batch| batch.map_err(|e| fault::unreadable(&path, e))))
}

/// Reads rows.
pub(crate) fn read<T: Tabled>(path: &Path, only: Only) -> Result<Vec<T>, Diagnostic> {
    let mut rows = Vec::new();
    for batch in batches(path, only)? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            rows.push(T::row(&Columns(&batch), row).map_err(|e| fault::unreadable(path, e))?);
        }
    }
    Ok(rows)
}

/// SHA-256 of a file, in hexadecimal, and its size.
pub(crate) fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut sink = Hashing::new(io::sink());
    io::copy(&mut File::open(path)?, &mut sink)?;
    Ok((hex(&sink.hash.finalize()), sink.bytes))
}

struct Hashing<W> {
    file: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashing<W> {
    fn new(file: W) -> Self {
        Self { file, hash: Sha256::new(), bytes: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Tabled for Finding {
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("finding_id"),
            text("rule_id"),
            Field::new("rule_version", DataType::Int32, false),
            text("severity"),
            text("grade"),
            text("identity"),
            text("subject_type"),
            text("subject_id"),
            maybe("subject_name"),
            maybe("area_code"),
            Field::new("period_from", DataType::Date32, true),
            Field::new("period_to", DataType::Date32, true),
            Field::new("amount", DataType::Decimal128(14, 2), true),
            text("message_zh"),
            text("message_en"),
            text("evidence"),
            text("counter_evidence"),
            text("exclusions_checked"),
            text("run_id"),
            text("measures"),
            Field::new("candidates", DataType::Int64, false),
        ]))
    }

    fn batch(rows: &[&Self], run_id: &str) -> Result<RecordBatch, Diagnostic> {
        let amounts = rows.iter().map(|f| fen(f)).collect::<Result<Vec<_>, _>>()?;
        let from = rows.iter().map(|f| day(f, f.period_from.as_deref())).collect::<Result<Vec<_>, _>>()?;
        let to = rows.iter().map(|f| day(f, f.period_to.as_deref())).collect::<Result<Vec<_>, _>>()?;
        let versions =
            rows.iter().map(|f| version(&f.rule_id, f.rule_version)).collect::<Result<Vec<_>, _>>()?;
        record(
            Self::schema(),
            vec![
                texts(rows, |f| &f.finding_id),
                texts(rows, |f| &f.rule_id),
                Arc::new(Int32Array::from(versions)),
                texts(rows, |f| f.severity.as_str()),
                texts(rows, |f| &f.grade),
                texts(rows, |f| &f.identity),
                texts(rows, |f| f.subject_type.as_str()),
                texts(rows, |f| &f.subject_id),
                maybes(rows, |f| f.subject_name.as_deref()),
                maybes(rows, |f| f.area_code.as_deref()),
                Arc::new(Date32Array::from(from)),
                Arc::new(Date32Array::from(to)),
                money(amounts, 14)?,
                texts(rows, |f| &f.message.zh),
                texts(rows, |f| &f.message.en),
                jsons(rows, |f| &f.evidence)?,
                jsons(rows, |f| &f.counter_evidence)?,
                jsons(rows, |f| &f.exclusions_checked)?,
                texts(rows, |_| run_id),
                jsons(rows, |f| &f.measures)?,
                counts(rows, |f| f.candidates)?,
            ],
        )
    }

    fn row(c: &Columns<'_>, i: usize) -> Result<Self, String> {
        Ok(Self {
            evidence: c.json("evidence", i)?,
            counter_evidence: c.json("counter_evidence", i)?,
            exclusions_checked: c.json("exclusions_checked", i)?,
            ..head(c, i)?
        })
    }
}

/// A finding without the rows it stands on, and without what was checked: these are the greatest part of it.
pub(crate) fn head(c: &Columns<'_>, i: usize) -> Result<Finding, String> {
    Ok(Finding {
        finding_id: c.text("finding_id", i)?,
        rule_id: c.text("rule_id", i)?,
        rule_version: c.version(i)?,
        severity: Severity::parse(&c.text("severity", i)?).ok_or("unknown severity")?,
        grade: c.text("grade", i)?,
        identity: c.text("identity", i)?,
        subject_type: c.word::<SubjectType>("subject_type", i)?,
        subject_id: c.text("subject_id", i)?,
        subject_name: c.maybe("subject_name", i)?,
        area_code: c.maybe("area_code", i)?,
        period_from: c.date("period_from", i)?,
        period_to: c.date("period_to", i)?,
        amount_fen: c.fen("amount", i)?,
        message: Text { zh: c.text("message_zh", i)?, en: c.text("message_en", i)? },
        measures: c.json("measures", i)?,
        // Runs of earlier builds do not have it.
        candidates: c.count("candidates", i).unwrap_or_default(),
        evidence: Vec::new(),
        counter_evidence: Vec::new(),
        exclusions_checked: Vec::new(),
    })
}

impl Tabled for Excused {
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("rule_id"),
            text("subject_type"),
            text("subject_id"),
            text("code"),
            text("also"),
            Field::new("candidates", DataType::Int64, false),
            text("evidence"),
            text("run_id"),
        ]))
    }

    fn batch(rows: &[&Self], run_id: &str) -> Result<RecordBatch, Diagnostic> {
        record(
            Self::schema(),
            vec![
                texts(rows, |e| &e.rule_id),
                texts(rows, |e| e.subject_type.as_str()),
                texts(rows, |e| &e.subject_id),
                texts(rows, |e| &e.code),
                jsons(rows, |e| &e.also)?,
                counts(rows, |e| e.candidates)?,
                jsons(rows, |e| &e.evidence)?,
                texts(rows, |_| run_id),
            ],
        )
    }

    fn row(c: &Columns<'_>, i: usize) -> Result<Self, String> {
        Ok(Self {
            rule_id: c.text("rule_id", i)?,
            subject_type: c.word("subject_type", i)?,
            subject_id: c.text("subject_id", i)?,
            code: c.text("code", i)?,
            also: c.json("also", i)?,
            candidates: c.count("candidates", i)?,
            evidence: c.json("evidence", i)?,
        })
    }
}

impl Tabled for Outcome {
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("rule_id"),
            Field::new("rule_version", DataType::Int32, false),
            text("title_zh"),
            text("title_en"),
            text("outcome"),
            maybe("reason_zh"),
            maybe("reason_en"),
            Field::new("candidates", DataType::Int64, false),
            text("excluded"),
            Field::new("findings", DataType::Int64, false),
            // Wider than a finding's amount: it is a sum.
            Field::new("amount", DataType::Decimal128(18, 2), false),
            Field::new("rows_read", DataType::Int64, false),
            Field::new("seconds", DataType::Float64, false),
            Field::new("peak_memory", DataType::Int64, false),
            text("rule_hash"),
            text("warnings"),
            Field::new("shard_local", DataType::Boolean, false),
            maybe("not_local_because"),
            text("run_id"),
        ]))
    }

    fn batch(rows: &[&Self], run_id: &str) -> Result<RecordBatch, Diagnostic> {
        let versions =
            rows.iter().map(|o| version(&o.rule_id, o.rule_version)).collect::<Result<Vec<_>, _>>()?;
        record(
            Self::schema(),
            vec![
                texts(rows, |o| &o.rule_id),
                Arc::new(Int32Array::from(versions)),
                texts(rows, |o| &o.title.zh),
                texts(rows, |o| &o.title.en),
                texts(rows, |o| o.outcome.as_str()),
                maybes(rows, |o| o.reason.as_ref().map(|r| r.zh.as_str())),
                maybes(rows, |o| o.reason.as_ref().map(|r| r.en.as_str())),
                counts(rows, |o| o.candidates)?,
                jsons(rows, |o| &o.excluded)?,
                counts(rows, |o| o.findings)?,
                money(rows.iter().map(|o| Some(i128::from(o.amount_fen))).collect(), 18)?,
                counts(rows, |o| o.rows_read)?,
                Arc::new(rows.iter().map(|o| Some(o.seconds)).collect::<Float64Array>()),
                counts(rows, |o| o.peak_memory)?,
                texts(rows, |o| &o.rule_hash),
                jsons(rows, |o| &o.warnings)?,
                Arc::new(rows.iter().map(|o| Some(o.shard_local)).collect::<BooleanArray>()),
                maybes(rows, |o| o.not_local_because.as_deref()),
                texts(rows, |_| run_id),
            ],
        )
    }

    fn row(c: &Columns<'_>, i: usize) -> Result<Self, String> {
        let reason = match (c.maybe("reason_zh", i)?, c.maybe("reason_en", i)?) {
            (None, None) => None,
            (zh, en) => Some(Text { zh: zh.unwrap_or_default(), en: en.unwrap_or_default() }),
        };
        Ok(Self {
            rule_id: c.text("rule_id", i)?,
            rule_version: c.version(i)?,
            title: Text { zh: c.text("title_zh", i)?, en: c.text("title_en", i)? },
            rule_hash: c.text("rule_hash", i)?,
            outcome: c.word::<OutcomeKind>("outcome", i)?,
            reason,
            warnings: c.json("warnings", i)?,
            candidates: c.count("candidates", i)?,
            excluded: c.json("excluded", i)?,
            findings: c.count("findings", i)?,
            amount_fen: c.fen("amount", i)?.ok_or("amount is null")?,
            rows_read: c.count("rows_read", i)?,
            seconds: c.array::<Float64Array>("seconds")?.value(i),
            peak_memory: c.count("peak_memory", i)?,
            shard_local: c.array::<BooleanArray>("shard_local")?.value(i),
            not_local_because: c.maybe("not_local_because", i)?,
        })
    }
}

/// The columns of a batch that was read, by name.
pub(crate) struct Columns<'a>(pub(crate) &'a RecordBatch);

impl Columns<'_> {
    fn array<T: 'static>(&self, name: &str) -> Result<&T, String> {
        self.0
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref())
            .ok_or_else(|| format!("column {name} is missing or of another type"))
    }

    fn maybe(&self, name: &str, row: usize) -> Result<Option<String>, String> {
        let array = self.array::<StringArray>(name)?;
        Ok((!array.is_null(row)).then(|| array.value(row).to_owned()))
    }

    fn text(&self, name: &str, row: usize) -> Result<String, String> {
        self.maybe(name, row)?.ok_or_else(|| format!("column {name} is null in row {}", row + 1))
    }

    fn word<T: DeserializeOwned>(&self, name: &str, row: usize) -> Result<T, String> {
        let word = serde_json::Value::String(self.text(name, row)?);
        serde_json::from_value(word)
            .map_err(|_| format!("column {name} holds an unknown word in row {}", row + 1))
    }

    fn json<T: DeserializeOwned>(&self, name: &str, row: usize) -> Result<T, String> {
        // The parser's message would quote the value.
        serde_json::from_str(&self.text(name, row)?)
            .map_err(|_| format!("column {name} holds broken JSON in row {}", row + 1))
    }

    fn count(&self, name: &str, row: usize) -> Result<u64, String> {
        u64::try_from(self.array::<Int64Array>(name)?.value(row))
            .map_err(|_| format!("column {name} is negative"))
    }

    fn version(&self, row: usize) -> Result<u32, String> {
        u32::try_from(self.array::<Int32Array>("rule_version")?.value(row))
            .map_err(|_| "rule_version is negative".to_owned())
    }

    fn fen(&self, name: &str, row: usize) -> Result<Option<i64>, String> {
        let array = self.array::<Decimal128Array>(name)?;
        if array.is_null(row) {
            return Ok(None);
        }
        i64::try_from(array.value(row)).map(Some).map_err(|_| format!("column {name} is out of range"))
    }

    fn date(&self, name: &str, row: usize) -> Result<Option<String>, String> {
        let array = self.array::<Date32Array>(name)?;
        if array.is_null(row) {
            return Ok(None);
        }
        let date = array.value_as_date(row).ok_or_else(|| format!("column {name} is out of range"))?;
        Ok(Some(date.format("%Y-%m-%d").to_string()))
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn maybe(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn texts<'a, T>(rows: &[&'a T], value: impl Fn(&'a T) -> &'a str) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
}

fn maybes<'a, T>(rows: &[&'a T], value: impl Fn(&'a T) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(|row| value(row)).collect::<StringArray>())
}

fn jsons<'a, T, V: Serialize + 'a>(
    rows: &[&'a T],
    value: impl Fn(&'a T) -> &'a V,
) -> Result<ArrayRef, Diagnostic> {
    let texts = rows.iter().map(|row| serde_json::to_string(value(row)).map(Some));
    Ok(Arc::new(texts.collect::<Result<StringArray, _>>().map_err(|e| broken(&format!("JSON: {e}")))?))
}

fn counts<T>(rows: &[&T], value: impl Fn(&T) -> u64) -> Result<ArrayRef, Diagnostic> {
    let numbers = rows.iter().map(|row| i64::try_from(value(row)));
    let numbers = numbers.collect::<Result<Vec<_>, _>>().map_err(|_| broken("a count beyond 64 bits"))?;
    Ok(Arc::new(Int64Array::from(numbers)))
}

fn money(fen: Vec<Option<i128>>, precision: u8) -> Result<ArrayRef, Diagnostic> {
    let array = Decimal128Array::from(fen)
        .with_precision_and_scale(precision, 2)
        .map_err(|e| broken(&e.to_string()))?;
    array.validate_decimal_precision(precision).map_err(|_| broken("an amount with too many digits"))?;
    Ok(Arc::new(array))
}

fn record(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Diagnostic> {
    RecordBatch::try_new(schema, columns).map_err(|e| broken(&e.to_string()))
}

fn fen(finding: &Finding) -> Result<Option<i128>, Diagnostic> {
    const LIMIT: i64 = 100_000_000_000_000;
    match finding.amount_fen {
        Some(fen) if fen <= -LIMIT || fen >= LIMIT => Err(Diagnostic::error(
            "MC807",
            format!("规则 {} 有线索的金额应在 12 位整数以内，实际超出", finding.rule_id),
            format!(
                "wanted amounts of at most 12 integer digits in the findings of rule {}, got a longer one",
                finding.rule_id
            ),
        )),
        fen => Ok(fen.map(i128::from)),
    }
}

fn day(finding: &Finding, text: Option<&str>) -> Result<Option<i32>, Diagnostic> {
    let Some(text) = text else { return Ok(None) };
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| {
        Diagnostic::error(
            "MC807",
            format!("规则 {} 有线索的起止日期应为 YYYY-MM-DD，实际不是", finding.rule_id),
            format!(
                "wanted YYYY-MM-DD as the periods of the findings of rule {}, got another text",
                finding.rule_id
            ),
        )
    })?;
    // Days of any date that chrono knows fit into 32 bits.
    Ok(i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok())
}

fn version(rule_id: &str, version: u32) -> Result<i32, Diagnostic> {
    i32::try_from(version).map_err(|_| broken(&format!("the version of rule {rule_id}")))
}

fn broken(what: &str) -> Diagnostic {
    Diagnostic::error(
        "MC807",
        format!("结果无法写成表：{what}"),
        format!("the results do not fit their table: {what}"),
    )
}
