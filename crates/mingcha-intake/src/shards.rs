//! The second pass: runs to the files of the store. Gives every row its person, splits by person, sorts by
//! (`pid`, `src`) and writes Parquet with its hash. Holds no more rows at once than the budget allows; what does
//! not fit is read from the runs again, group of shards by group of shards.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, UInt64Type};
use mingcha_files::private;
use mingcha_rules::{Contract, Diagnostic, PersonKey};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::fault;
use crate::identity::Identity;
use crate::manifest::{ShardEntry, StoreFile};
use crate::progress::Progress;
use crate::runs::Run;
use crate::schema::{CODE, IS_LATEST, KEY, PID, SRC, builtin_schema, file_schema, plain_schema, run_schema};
use crate::store::hex;

/// Rows of a row group.
const ROW_GROUP: usize = 128 * 1024;
/// A row on its way: person, batch, row, locator.
const REF_BYTES: u64 = 24;
/// Distance between the samples of the index.
const STRIDE: usize = 64;

/// The person index: every number has a person. In a fresh index the place of a number among all is its `pid`; in
/// one that has grown, numbers that came later have later persons.
pub(crate) struct Index {
    /// All numbers, sorted.
    codes: Vec<u64>,
    samples: Vec<u64>,
    /// An index that has grown: the person of each of `codes`, and the number of each person.
    grown: Option<(Vec<i32>, Vec<u64>)>,
}

impl Index {
    /// From numbers in any order, with repetitions.
    pub(crate) fn new(mut codes: Vec<u64>) -> Self {
        codes.par_sort_unstable();
        codes.dedup();
        codes.shrink_to_fit();
        Self::of(codes, None)
    }

    /// From the number of each person, in order of person.
    pub(crate) fn of_persons(numbers: Vec<u64>) -> Self {
        if numbers.is_sorted() {
            return Self::of(numbers, None);
        }
        let mut pairs: Vec<(u64, i32)> = numbers.iter().copied().zip(0..).collect();
        pairs.par_sort_unstable();
        let (codes, pids) = pairs.into_iter().unzip();
        Self::of(codes, Some((pids, numbers)))
    }

    fn of(codes: Vec<u64>, grown: Option<(Vec<i32>, Vec<u64>)>) -> Self {
        let samples = codes.iter().step_by(STRIDE).copied().collect();
        Self { codes, samples, grown }
    }

    /// The numbers, in order of person.
    pub(crate) fn numbers(&self) -> &[u64] {
        self.grown.as_ref().map_or(&self.codes, |(_, numbers)| numbers)
    }

    /// Persons.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The person with this number.
    pub(crate) fn pid(&self, code: u64) -> Option<i32> {
        let block = self.samples.partition_point(|s| *s <= code).checked_sub(1)?;
        let from = block * STRIDE;
        let to = (from + STRIDE).min(self.codes.len());
        let place = from + self.codes[from..to].binary_search(&code).ok()?;
        match &self.grown {
            Some((pids, _)) => pids.get(place).copied(),
            None => i32::try_from(place).ok(),
        }
    }

    /// The number of a person.
    pub(crate) fn number(&self, pid: usize) -> Option<String> {
        Identity::from_code(*self.numbers().get(pid)?).map(|id| id.as_str().to_owned())
    }

    /// Equal ranges of persons.
    pub(crate) fn ranges(&self, shards: usize) -> Vec<ShardEntry> {
        let n = self.len() as u64;
        let shards = shards.max(1) as u64;
        let bound = |i: u64| u32::try_from(i * n / shards).unwrap_or(u32::MAX);
        (0..shards).map(|i| ShardEntry { pid_from: bound(i), pid_to: bound(i + 1) }).collect()
    }

    /// The rows of `persons` for a range.
    pub(crate) fn persons(&self, range: &ShardEntry) -> Result<RecordBatch, arrow::error::ArrowError> {
        let ids: Vec<Identity> = self.numbers()[range.pid_from as usize..range.pid_to as usize]
            .iter()
            .filter_map(|code| Identity::from_code(*code))
            .collect();
        let text = |of: &dyn Fn(&Identity) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(ids.iter().map(of)))
        };
        let from = range.pid_from as i32;
        let schema = builtin_schema("persons")
            .map(|s| plain_schema(&s))
            .unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
        RecordBatch::try_new(
            schema,
            vec![
                Arc::new(Int32Array::from_iter_values(from..from + ids.len() as i32)),
                text(&|id| id.as_str().to_owned()),
                text(&|id| id.kind().as_str().to_owned()),
                Arc::new(Date32Array::from_iter_values(ids.iter().map(|id| id.birth_date().to_epoch_days()))),
                text(&|id| id.sex().to_owned()),
                text(&|id| id.area_code().to_owned()),
            ],
        )
    }
}

/// What a dataset needs to find its persons and its newest versions.
pub(crate) struct Helpers<'a> {
    /// Numbers.
    pub(crate) index: &'a Index,
    /// For datasets whose person another dataset knows: key text to number.
    pub(crate) links: Option<&'a Links>,
    /// For datasets with versions: document to greatest version.
    pub(crate) newest: Option<&'a Newest>,
}

/// Key text to number; `None`: two persons claim it.
pub(crate) type Links = HashMap<String, Option<u64>>;

/// Document to greatest version.
pub(crate) type Newest = HashMap<String, i64>;

/// One dataset between the passes.
pub(crate) struct Spilled<'a> {
    /// Contract.
    pub(crate) contract: &'a Contract,
    /// Runs, in order of `src`.
    pub(crate) runs: Vec<Run>,
}

impl Spilled<'_> {
    /// Rows.
    pub(crate) fn rows(&self) -> u64 {
        self.runs.iter().map(|r| r.rows).sum()
    }

    /// What its rows take in memory while they are split.
    pub(crate) fn weight(&self) -> u64 {
        self.runs.iter().map(|r| r.bytes + r.rows * REF_BYTES).sum()
    }
}

/// What was written for one dataset.
#[derive(Default)]
pub(crate) struct Written {
    /// Shards, or the whole.
    pub(crate) files: Vec<StoreFile>,
    /// Rows without a person.
    pub(crate) unassigned: Option<StoreFile>,
    /// Rows that repeat the key of an earlier row.
    pub(crate) duplicates: Vec<i64>,
}

struct Ref {
    pid: i32,
    batch: u32,
    row: u32,
    src: i64,
}

/// Writes one dataset.
///
/// # Errors
/// When a file cannot be written or a run cannot be read.
pub(crate) fn write_dataset(
    store: &Path,
    spilled: &Spilled<'_>,
    helpers: &Helpers<'_>,
    ranges: &[ShardEntry],
    budget: u64,
    progress: &dyn Progress,
) -> Result<Written, Diagnostic> {
    let contract = spilled.contract;
    let folder = store.join(&contract.name);
    private::folders(&folder).map_err(|e| fault::cannot_write(&folder, &e))?;
    let mut out = Written::default();
    if contract.person.is_none() {
        out.files.push(stream(store, "whole", spilled, &spilled.runs, helpers, progress)?);
    } else {
        let groups = (spilled.weight().div_ceil(budget.max(1)) as usize).clamp(1, ranges.len());
        let mut lost = false;
        for group in ranges.chunks(ranges.len().div_ceil(groups)) {
            let first = out.files.len();
            let Loaded { batches, refs, lost: some_lost } = load(spilled, helpers, group)?;
            lost |= some_lost;
            let done: Result<Vec<_>, Diagnostic> = refs
                .into_par_iter()
                .enumerate()
                .map(|(i, refs)| {
                    let path = file_name(contract, first + i);
                    write_shard(store, &path, contract, helpers, &batches, refs, progress)
                })
                .collect();
            for (file, duplicates) in done? {
                out.files.push(file);
                out.duplicates.extend(duplicates);
            }
        }
        // Most datasets have no such row, and then the runs need not be read again.
        let runs = if lost { spilled.runs.as_slice() } else { &[] };
        out.unassigned = Some(stream(store, "unassigned", spilled, runs, helpers, progress)?);
    }
    if !contract.key.is_empty() && !key_holds_person(contract) {
        out.duplicates = repeated(spilled)?;
    }
    out.duplicates.sort_unstable();
    Ok(out)
}

/// The name of a file of a dataset: one for each shard, or the whole.
pub(crate) fn file_name(contract: &Contract, shard: usize) -> String {
    match contract.person {
        Some(_) => format!("{}/{shard:04}.parquet", contract.name),
        None => format!("{}/whole.parquet", contract.name),
    }
}

/// Whether rows with the same key are rows of the same person, and so lie side by side.
fn key_holds_person(contract: &Contract) -> bool {
    contract.id_field().is_some_and(|id| id.required && contract.key.contains(&id.name))
}

/// The rows of a group of shards.
#[derive(Default)]
struct Loaded {
    batches: Vec<RecordBatch>,
    /// For each shard of the group, where its rows are.
    refs: Vec<Vec<Ref>>,
    /// Whether some rows of the dataset lead to no person at all.
    lost: bool,
}

/// The rows of one run that belong to a group of shards.
struct Inside {
    parts: Vec<(RecordBatch, Vec<i32>)>,
    lost: bool,
}

fn load(spilled: &Spilled<'_>, helpers: &Helpers<'_>, group: &[ShardEntry]) -> Result<Loaded, Diagnostic> {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(Loaded::default()) };
    let range = first.pid_from as i32..last.pid_to as i32;
    let inside: Result<Vec<Inside>, Diagnostic> =
        spilled.runs.par_iter().map(|run| inside(run, spilled.contract, helpers, &range)).collect();
    let mut out = Loaded { refs: group.iter().map(|_| Vec::new()).collect(), ..Loaded::default() };
    for run in inside? {
        out.lost |= run.lost;
        for (batch, pids) in run.parts {
            let number = out.batches.len() as u32;
            let srcs = src_values(&batch);
            for (row, pid) in pids.into_iter().enumerate() {
                let shard = group.partition_point(|s| s.pid_to as i32 <= pid);
                out.refs[shard].push(Ref { pid, batch: number, row: row as u32, src: srcs[row] });
            }
            out.batches.push(batch);
        }
    }
    Ok(out)
}

fn inside(
    run: &Run,
    contract: &Contract,
    helpers: &Helpers<'_>,
    range: &Range<i32>,
) -> Result<Inside, Diagnostic> {
    let mut out = Inside { parts: Vec::new(), lost: false };
    run.each(None, |batch| {
        let pids = pids(contract, &batch, helpers);
        let (mut rows, mut kept) = (Vec::with_capacity(pids.len()), Vec::with_capacity(pids.len()));
        for (row, pid) in (0u32..).zip(&pids) {
            match pid {
                Some(pid) if range.contains(pid) => {
                    rows.push(row);
                    kept.push(*pid);
                }
                Some(_) => {}
                None => out.lost = true,
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let batch = if rows.len() == batch.num_rows() {
            batch
        } else {
            take_record_batch(&batch, &UInt32Array::from(rows)).map_err(|e| fault::damaged(run.path(), &e))?
        };
        out.parts.push((batch, kept));
        Ok(())
    })?;
    Ok(out)
}

fn src_values(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name(SRC).map(|c| c.as_primitive::<Int64Type>().values().to_vec()).unwrap_or_default()
}

/// The person of each row of a batch.
pub(crate) fn pids(contract: &Contract, batch: &RecordBatch, helpers: &Helpers<'_>) -> Vec<Option<i32>> {
    match &contract.person {
        Some(PersonKey::Field(_)) => {
            let Some(codes) = batch.column_by_name(CODE) else { return vec![None; batch.num_rows()] };
            let mut last: (u64, Option<i32>) = (0, None);
            codes
                .as_primitive::<UInt64Type>()
                .iter()
                .map(|code| {
                    let code = code?;
                    if code != last.0 {
                        last = (code, helpers.index.pid(code));
                    }
                    last.1
                })
                .collect()
        }
        Some(PersonKey::Via(via)) => {
            let (Some(links), Some(keys)) = (helpers.links, batch.column_by_name(&via.on)) else {
                return vec![None; batch.num_rows()];
            };
            let text = |key: Option<&str>| helpers.index.pid((*links.get(key?)?)?);
            keys.as_string::<i32>().iter().map(text).collect()
        }
        None => vec![None; batch.num_rows()],
    }
}

/// Sorts and writes one shard; also says which rows repeat a key.
fn write_shard(
    store: &Path,
    path: &str,
    contract: &Contract,
    helpers: &Helpers<'_>,
    batches: &[RecordBatch],
    mut refs: Vec<Ref>,
    progress: &dyn Progress,
) -> Result<(StoreFile, Vec<i64>), Diagnostic> {
    refs.sort_unstable_by_key(|r| (r.pid, r.src));
    let duplicates = if contract.key.is_empty() || !key_holds_person(contract) {
        Vec::new()
    } else {
        repeated_in_shard(batches, &refs)
    };
    let schema = file_schema(contract);
    let mut out = StoreWriter::create(store, path, &schema)?;
    let run_schema = run_schema(contract);
    for chunk in refs.chunks(ROW_GROUP) {
        let places: Vec<(usize, usize)> = chunk.iter().map(|r| (r.batch as usize, r.row as usize)).collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                PID => Arc::new(Int32Array::from_iter_values(chunk.iter().map(|r| r.pid))),
                SRC => Arc::new(Int64Array::from_iter_values(chunk.iter().map(|r| r.src))),
                IS_LATEST => latest(contract, helpers, &columns, &schema, chunk.len()),
                name => {
                    let place = run_schema.index_of(name).map_err(|e| out.failed(&e))?;
                    let arrays: Vec<&dyn Array> = batches.iter().map(|b| b.column(place).as_ref()).collect();
                    interleave(&arrays, &places).map_err(|e| out.failed(&e))?
                }
            });
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| out.failed(&e))?;
        out.write(&batch)?;
        progress.advance(chunk.len() as u64);
    }
    Ok((out.finish()?, duplicates))
}

/// Writes rows in the order of the files: a dataset without persons, or the rows that lead to none.
fn stream(
    store: &Path,
    stem: &str,
    spilled: &Spilled<'_>,
    runs: &[Run],
    helpers: &Helpers<'_>,
    progress: &dyn Progress,
) -> Result<StoreFile, Diagnostic> {
    let contract = spilled.contract;
    let schema = file_schema(contract);
    let mut out = StoreWriter::create(store, &format!("{}/{stem}.parquet", contract.name), &schema)?;
    for run in runs {
        run.each(None, |mut batch| {
            if contract.person.is_some() {
                let pids = pids(contract, &batch, helpers);
                let rows: Vec<u32> =
                    (0..).zip(&pids).filter(|(_, pid)| pid.is_none()).map(|(row, _)| row).collect();
                if rows.is_empty() {
                    return Ok(());
                }
                batch = take_record_batch(&batch, &UInt32Array::from(rows)).map_err(|e| out.failed(&e))?;
            }
            let rows = batch.num_rows();
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
            for field in schema.fields() {
                columns.push(match field.name().as_str() {
                    PID => Arc::new(Int32Array::new_null(rows)),
                    IS_LATEST => latest(contract, helpers, &columns, &schema, rows),
                    name => Arc::clone(batch.column_by_name(name).ok_or_else(|| out.failed(&"column"))?),
                });
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| out.failed(&e))?;
            out.write(&batch)?;
            progress.advance(rows as u64);
            Ok(())
        })?;
    }
    out.finish()
}

/// Whether each row is the newest version of its document, from the columns that are finished already.
fn latest(
    contract: &Contract,
    helpers: &Helpers<'_>,
    columns: &[ArrayRef],
    schema: &SchemaRef,
    rows: usize,
) -> ArrayRef {
    let column = |name: &str| schema.index_of(name).ok().and_then(|i| columns.get(i));
    if let (Some(versions), Some(newest)) = (&contract.versions, helpers.newest)
        && let (Some(keys), Some(by)) = (column(&versions.key), column(&versions.by))
    {
        return latest_of(keys, by, newest);
    }
    Arc::new(BooleanArray::from(vec![true; rows]))
}

/// Whether each row is the newest version of its document. A row without a document stands alone.
pub(crate) fn latest_of(keys: &ArrayRef, by: &ArrayRef, newest: &Newest) -> ArrayRef {
    let (keys, by) = (keys.as_string::<i32>(), by.as_primitive::<Int64Type>());
    let is_latest = |row: usize| {
        keys.is_null(row) || newest.get(keys.value(row)).is_none_or(|greatest| *greatest == version(by, row))
    };
    Arc::new((0..keys.len()).map(|row| Some(is_latest(row))).collect::<BooleanArray>())
}

/// An absent version counts as 0.
fn version(by: &Int64Array, row: usize) -> i64 {
    if by.is_null(row) { 0 } else { by.value(row) }
}

/// The greatest version of every document of a dataset.
pub(crate) fn newest(spilled: &Spilled<'_>) -> Result<Option<Newest>, Diagnostic> {
    if spilled.contract.versions.is_none() {
        return Ok(None);
    }
    let mut out = Newest::new();
    for run in &spilled.runs {
        run.each(None, |batch| {
            note_newest(spilled.contract, &batch, &mut out);
            Ok(())
        })?;
    }
    Ok(Some(out))
}

/// Notes the greatest version of the documents of one batch.
pub(crate) fn note_newest(contract: &Contract, batch: &RecordBatch, out: &mut Newest) {
    let Some(versions) = &contract.versions else { return };
    let (Some(keys), Some(by)) = (batch.column_by_name(&versions.key), batch.column_by_name(&versions.by))
    else {
        return;
    };
    let by = by.as_primitive::<Int64Type>();
    for (row, key) in keys.as_string::<i32>().iter().enumerate() {
        let Some(key) = key else { continue };
        let version = version(by, row);
        match out.get_mut(key) {
            Some(greatest) => *greatest = version.max(*greatest),
            None => {
                out.insert(key.to_owned(), version);
            }
        }
    }
}

/// The numbers that the rows of a dataset give to the values of one of its fields, and the rows that
/// contradict an earlier one.
pub(crate) fn links(spilled: &Spilled<'_>, on: &str) -> Result<(Links, Vec<i64>), Diagnostic> {
    let (mut out, mut contradicting) = (Links::new(), Vec::new());
    for run in &spilled.runs {
        run.each(None, |batch| {
            contradicting.extend(note_links(&batch, on, &mut out));
            Ok(())
        })?;
    }
    Ok((out, contradicting))
}

/// Notes the numbers of one batch; gives the rows that contradict. A value that two persons claim has none.
pub(crate) fn note_links(batch: &RecordBatch, on: &str, out: &mut Links) -> Vec<i64> {
    let mut contradicting = Vec::new();
    let (Some(keys), Some(codes)) = (batch.column_by_name(on), batch.column_by_name(CODE)) else {
        return contradicting;
    };
    let srcs = src_values(batch);
    let codes = codes.as_primitive::<UInt64Type>();
    for (row, key) in keys.as_string::<i32>().iter().enumerate() {
        let Some(key) = key.filter(|_| codes.is_valid(row)) else { continue };
        let code = codes.value(row);
        match out.get_mut(key) {
            Some(Some(known)) if *known == code => {}
            Some(slot @ Some(_)) => {
                *slot = None;
                contradicting.push(srcs[row]);
            }
            Some(None) => {}
            None => {
                out.insert(key.to_owned(), Some(code));
            }
        }
    }
    contradicting
}

/// Rows that repeat the key of an earlier row of the same person.
fn repeated_in_shard(batches: &[RecordBatch], refs: &[Ref]) -> Vec<i64> {
    let keys: Vec<_> =
        batches.iter().map(|b| b.column_by_name(KEY).map(|k| k.as_primitive::<UInt64Type>())).collect();
    let key = |r: &Ref| keys[r.batch as usize].map_or(0, |k| k.value(r.row as usize));
    let mut out = Vec::new();
    let mut seen: Vec<(u64, i64)> = Vec::new();
    for person in refs.chunk_by(|a, b| a.pid == b.pid).filter(|p| p.len() > 1) {
        seen.clear();
        seen.extend(person.iter().map(|r| (key(r), r.src)));
        seen.sort_unstable();
        out.extend(seen.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[1].1));
    }
    out
}

/// Rows that repeat the key of an earlier row of the dataset.
fn repeated(spilled: &Spilled<'_>) -> Result<Vec<i64>, Diagnostic> {
    let schema = run_schema(spilled.contract);
    let (Ok(src), Ok(key)) = (schema.index_of(SRC), schema.index_of(KEY)) else { return Ok(Vec::new()) };
    let mut seen: Vec<(u64, i64)> = Vec::with_capacity(usize::try_from(spilled.rows()).unwrap_or(0));
    for run in &spilled.runs {
        run.each(Some(vec![src, key]), |batch| {
            let (Some(srcs), Some(keys)) = (batch.column_by_name(SRC), batch.column_by_name(KEY)) else {
                return Ok(());
            };
            let srcs = srcs.as_primitive::<Int64Type>().values();
            seen.extend(keys.as_primitive::<UInt64Type>().values().iter().copied().zip(srcs.iter().copied()));
            Ok(())
        })?;
    }
    seen.par_sort_unstable();
    Ok(seen.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[1].1).collect())
}

/// Writes one file of the store and its hash.
pub(crate) struct StoreWriter {
    path: PathBuf,
    name: String,
    writer: ArrowWriter<Hashing>,
    rows: u64,
}

/// A file that is hashed while it is written.
pub(crate) struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    /// Begins a file.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 18, private::file(path)?);
        Ok(Self { file, hash: Sha256::new(), bytes: 0 })
    }

    /// Ends the file and waits until it is on the disk; its length and hash.
    pub(crate) fn finish(self) -> std::io::Result<(u64, String)> {
        let Self { mut file, hash, bytes } = self;
        file.flush().and_then(|()| file.get_ref().sync_all())?;
        Ok((bytes, hex(&hash.finalize())))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl StoreWriter {
    /// Begins a file; `name` is relative to the store.
    pub(crate) fn create(store: &Path, name: &str, schema: &SchemaRef) -> Result<Self, Diagnostic> {
        let path = store.join(name);
        let sink = Hashing::create(&path).map_err(|e| fault::cannot_write(&path, &e))?;
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties(schema)))
            .map_err(|e| fault::cannot_write(&path, &e))?;
        Ok(Self { path, name: name.to_owned(), writer, rows: 0 })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| fault::cannot_write(&self.path, &e))
    }

    /// Ends the file and waits until it is on the disk.
    pub(crate) fn finish(self) -> Result<StoreFile, Diagnostic> {
        let path = self.path;
        let sink = self.writer.into_inner().map_err(|e| fault::cannot_write(&path, &e))?;
        let (bytes, sha256) = sink.finish().map_err(|e| fault::cannot_write(&path, &e))?;
        Ok(StoreFile { path: self.name, rows: self.rows, bytes, sha256 })
    }

    fn failed(&self, cause: &dyn std::fmt::Display) -> Diagnostic {
        fault::cannot_write(&self.path, cause)
    }
}

/// `pid` and `src` only grow, so their differences are written; everything else may have a dictionary.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut out = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page);
    for name in [PID, SRC] {
        if schema.index_of(name).is_ok() {
            out = out
                .set_column_dictionary_enabled(ColumnPath::from(name), false)
                .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
        }
    }
    out.build()
}
