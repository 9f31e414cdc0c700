//! The store, read back. The only reader of a store's files; knows nothing of how they came to be.
//!
//! Parquet pages carry no checksum here: parquet 59 can check page checksums (and does, the `crc` feature is on)
//! but cannot write them. Instead the SHA-256 of every file stands in the manifest, and a file is compared with
//! it before its first row is handed out, so that no damaged byte ever reaches a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use arrow::array::{Array, AsArray, Int32Array, RecordBatch, RecordBatchOptions, StringViewBuilder};
use arrow::datatypes::{Int32Type, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use chrono::NaiveDate;
use mingcha_rules::{Contract, Diagnostic};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::changes::Changes;
use crate::fault;
use crate::identity;
use crate::manifest::{Manifest, STORE_FORMAT, STORE_VERSION, StoreFile};
use crate::schema::{ID_NUMBER, PID, SRC, builtin_schema, sql_schema};
use crate::tables::{Part, RowLocator, Tables, file_and_row};

/// Shards whose numbers are kept in memory.
const KEPT_NUMBERS: usize = 4;

/// Rows of a batch where a file is read piece by piece.
const BATCH_ROWS: usize = 1 << 16;

/// Rows between two persons that are remembered of a shard that is read slice by slice.
const SAMPLE_ROWS: usize = 4096;

/// A prepared store on disk. Cheap to share; files are read when asked for.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    manifest: Manifest,
    /// SHA-256 of the manifest.
    digest: String,
    contracts: Vec<Contract>,
    schemas: BTreeMap<String, SchemaRef>,
    /// Files whose hash has been compared already.
    trusted: Mutex<BTreeSet<String>>,
    /// The numbers of the shards asked for last, the newest first.
    numbers: Mutex<Vec<(usize, Arc<Numbers>)>>,
    /// Of files read slice by slice: the person of every [`SAMPLE_ROWS`]th row.
    samples: Mutex<BTreeMap<String, Arc<Vec<i32>>>>,
}

/// The identity numbers of one shard, in order of person.
#[derive(Debug)]
struct Numbers {
    from: i32,
    batches: Vec<RecordBatch>,
}

impl Store {
    /// Opens a store. Only the manifest is read.
    ///
    /// # Errors
    /// When the folder is no store, or a store that another version wrote.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Diagnostic> {
        let path = path.as_ref().to_path_buf();
        let (manifest, digest) = read_manifest(&path)?;
        let mut contracts = Vec::with_capacity(manifest.contracts.len());
        for value in &manifest.contracts {
            let contract: Contract = serde_json::from_value(value.clone())
                .map_err(|e| not_a_store(&path, &format!("contract: {e}")))?;
            contracts.push(contract);
        }
        let mut schemas: BTreeMap<_, _> = contracts.iter().map(|c| (c.name.clone(), sql_schema(c))).collect();
        for name in ["persons", "rejects"] {
            schemas.extend(builtin_schema(name).map(|s| (name.to_owned(), s)));
        }
        Ok(Self {
            path,
            manifest,
            digest,
            contracts,
            schemas,
            trusted: Mutex::default(),
            numbers: Mutex::default(),
            samples: Mutex::default(),
        })
    }

    /// What the store holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest, hexadecimal: the same digest, the same store.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What differs from the store with this digest. `None`: this store was not built upon that one, or too long ago.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn changes_since(&self, digest: &str) -> Result<Option<Changes>, Diagnostic> {
        if digest == self.digest {
            return Ok(Some(Changes::none()));
        }
        let Some(first) = self.manifest.changes.iter().position(|step| step.since == digest) else {
            return Ok(None);
        };
        let mut changes = Changes::none();
        for step in &self.manifest.changes[first..] {
            changes.add(self, step)?;
        }
        Ok(Some(changes))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads everything and compares: the hash and the rows of every file, the person range and the order of
    /// every shard, the equation rows in = stored + rejected. Empty: the store is whole.
    pub fn verify(&self) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        let mut files: Vec<(&StoreFile, Option<(i32, i32)>)> = Vec::new();
        for (name, entry) in &self.manifest.datasets {
            if entry.rows_in != entry.rows_stored + entry.rows_rejected {
                out.push(equation_broken(name));
            }
            let sorted_by_person = self.contract(name).is_some_and(|c| c.person.is_some());
            for (shard, file) in entry.files.iter().enumerate() {
                files.push((file, if sorted_by_person { self.range(shard) } else { None }));
            }
            files.extend(entry.unassigned.iter().map(|file| (file, None)));
        }
        let checked: Vec<_> =
            files.into_par_iter().filter_map(|(file, range)| self.check(file, range).err()).collect();
        out.extend(checked);
        out.extend(self.check_persons().err());
        let steps = self.manifest.changes.iter().flat_map(|step| step.datasets.values());
        out.extend(steps.filter_map(|d| d.persons.as_ref()).filter_map(|file| self.trust(file).err()));
        out.extend(self.trust(&self.manifest.rejects).err());
        out.extend(self.trust(&self.manifest.rejects_csv).err());
        out
    }

    fn contract(&self, name: &str) -> Option<&Contract> {
        self.contracts.iter().find(|c| c.name == name)
    }

    fn range(&self, shard: usize) -> Option<(i32, i32)> {
        let entry = self.manifest.shards.get(shard)?;
        Some((i32::try_from(entry.pid_from).ok()?, i32::try_from(entry.pid_to).ok()?))
    }

    fn is_trusted(&self, file: &StoreFile) -> bool {
        self.trusted.lock().is_ok_and(|t| t.contains(&file.path))
    }

    fn compare(&self, file: &StoreFile, digest: &[u8]) -> Result<(), Diagnostic> {
        if hex(digest) != file.sha256 {
            return Err(fault::damaged(&self.path.join(&file.path), &"SHA-256"));
        }
        if let Ok(mut trusted) = self.trusted.lock() {
            trusted.insert(file.path.clone());
        }
        Ok(())
    }

    /// Compares a file with the manifest, without holding more than a buffer of it.
    pub(crate) fn trust(&self, file: &StoreFile) -> Result<(), Diagnostic> {
        if self.is_trusted(file) {
            return Ok(());
        }
        let path = self.path.join(&file.path);
        let digest = digest_of(&path).map_err(|e| fault::damaged(&path, &e))?;
        self.compare(file, &digest)
    }

    /// Compares a file with the manifest, and gives its bytes where that was needed.
    fn trusted_bytes(&self, file: &StoreFile) -> Result<Option<Bytes>, Diagnostic> {
        if self.is_trusted(file) {
            return Ok(None);
        }
        let path = self.path.join(&file.path);
        let bytes = fs::read(&path).map_err(|e| fault::damaged(&path, &e))?;
        self.compare(file, &Sha256::digest(&bytes))?;
        Ok(Some(Bytes::from(bytes)))
    }

    fn check(&self, file: &StoreFile, range: Option<(i32, i32)>) -> Result<(), Diagnostic> {
        let columns: &[&str] = if range.is_some() { &[PID, SRC] } else { &[SRC] };
        let batches = self.decode(file, columns)?;
        let path = self.path.join(&file.path);
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows as u64 != file.rows {
            return Err(fault::damaged(&path, &format!("{rows} rows, the manifest says {}", file.rows)));
        }
        match range {
            Some(range) => check_order(&batches, range, &path),
            None => check_src_order(&batches, &path),
        }
    }

    /// Every person stands in its place, the numbers ascend in every run, and no number stands twice: neither in a
    /// run, where it could not ascend, nor in two of them.
    fn check_persons(&self) -> Result<(), Diagnostic> {
        let manifest = &self.manifest;
        let runs = &manifest.person_runs;
        if runs.first() != Some(&0) || !runs.is_sorted_by(|a, b| a < b) {
            return Err(out_of_range(&self.path.join("manifest.json")));
        }
        let mut codes: Vec<u64> = Vec::new();
        let (mut next, mut last) = (0u32, String::new());
        for (shard, file) in manifest.person_files.iter().enumerate() {
            let path = self.path.join(&file.path);
            let wrong = || out_of_range(&path);
            let range = manifest.shards.get(shard).ok_or_else(wrong)?;
            if range.pid_from != next {
                return Err(wrong());
            }
            for batch in self.decode(file, &[PID, ID_NUMBER])? {
                let numbers = batch.column(1).as_string_view();
                for (row, pid) in batch.column(0).as_primitive::<Int32Type>().values().iter().enumerate() {
                    let number = numbers.value(row);
                    if runs.binary_search(&next).is_ok() {
                        last.clear();
                    }
                    if u32::try_from(*pid) != Ok(next) || number <= last.as_str() {
                        return Err(wrong());
                    }
                    number.clone_into(&mut last);
                    next += 1;
                    if runs.len() > 1 {
                        codes.push(identity::normalise(number).map_err(|_| wrong())?.code());
                    }
                }
            }
            if next != range.pid_to {
                return Err(wrong());
            }
        }
        codes.par_sort_unstable();
        let twice = codes.windows(2).any(|w| w[0] == w[1]);
        if twice
            || u64::from(next) != manifest.persons
            || manifest.person_files.len() != manifest.shards.len()
        {
            return Err(out_of_range(&self.path.join("persons")));
        }
        Ok(())
    }

    /// Decodes columns of one file, in the file's order of columns.
    fn decode(&self, file: &StoreFile, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic> {
        let path = self.path.join(&file.path);
        let damaged = |e: &dyn std::fmt::Display| fault::damaged(&path, e);
        let mut out = Vec::new();
        fault::guarded(&file.path, || {
            let mut keep = |batch| out.push(batch);
            match self.trusted_bytes(file)? {
                Some(bytes) => decode(bytes, columns, None, &mut keep).map_err(|e| damaged(&e)),
                None => {
                    let file = File::open(&path).map_err(|e| damaged(&e))?;
                    decode(file, columns, None, &mut keep).map_err(|e| damaged(&e))
                }
            }
        })?;
        Ok(out)
    }

    /// Hands out columns of all rows of one file, batch by batch.
    pub(crate) fn each(
        &self,
        file: &StoreFile,
        columns: &[&str],
        each: &mut dyn FnMut(RecordBatch),
    ) -> Result<(), Diagnostic> {
        self.decode_rows(file, columns, 0..usize::try_from(file.rows).unwrap_or(usize::MAX), each)
    }

    /// Decodes columns of some rows of one file, batch by batch; nothing else of it is held.
    fn decode_rows(
        &self,
        file: &StoreFile,
        columns: &[&str],
        rows: Range<usize>,
        each: &mut dyn FnMut(RecordBatch),
    ) -> Result<(), Diagnostic> {
        let path = self.path.join(&file.path);
        let damaged = |e: &dyn std::fmt::Display| fault::damaged(&path, e);
        fault::guarded(&file.path, || {
            self.trust(file)?;
            let reader = File::open(&path).map_err(|e| damaged(&e))?;
            let some = Chosen { ranges: &[rows], at_a_time: BATCH_ROWS };
            decode(reader, columns, Some(some), each).map_err(|e| damaged(&e))
        })
    }

    /// The person of every [`SAMPLE_ROWS`]th row of a file that is sorted by person.
    fn samples(&self, file: &StoreFile) -> Result<Arc<Vec<i32>>, Diagnostic> {
        if let Ok(known) = self.samples.lock()
            && let Some(found) = known.get(&file.path)
        {
            return Ok(Arc::clone(found));
        }
        let (mut out, mut next) = (Vec::new(), 0usize);
        self.each(file, &[PID], &mut |batch| {
            let pids = batch.column(0).as_primitive::<Int32Type>().values();
            out.extend(pids.iter().skip(next).step_by(SAMPLE_ROWS));
            let taken = pids.len().saturating_sub(next).div_ceil(SAMPLE_ROWS);
            next = next + taken * SAMPLE_ROWS - pids.len();
        })?;
        let out = Arc::new(out);
        if let Ok(mut known) = self.samples.lock() {
            known.insert(file.path.clone(), Arc::clone(&out));
        }
        Ok(out)
    }

    /// The rows of some persons: of the whole shard, without holding more of it than these and a few rows more.
    fn decode_slice(
        &self,
        file: &StoreFile,
        columns: &[&str],
        persons: &Range<i32>,
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        let samples = self.samples(file)?;
        let all = usize::try_from(file.rows).unwrap_or(usize::MAX);
        // The rows of a person may begin up to one sample before the first sample of that person.
        let first = samples.partition_point(|pid| *pid < persons.start).saturating_sub(1) * SAMPLE_ROWS;
        let last = (samples.partition_point(|pid| *pid < persons.end) * SAMPLE_ROWS).min(all);
        let mut out = Vec::new();
        if persons.is_empty() || first >= last {
            return Ok(out);
        }
        self.decode_rows(file, columns, first..last, &mut |batch| out.extend(of_persons(&batch, persons)))?;
        Ok(out)
    }

    fn file(&self, dataset: &str, part: Part) -> Result<&StoreFile, Diagnostic> {
        let m = &self.manifest;
        let found = match (dataset, part) {
            ("persons", Part::Shard(i)) => m.person_files.get(i),
            ("rejects", Part::Whole) => Some(&m.rejects),
            (_, Part::Slice { shard, from, to }) => {
                let inside = self.range(shard).is_some_and(|r| r.0 <= from && from <= to && to <= r.1);
                return if inside {
                    self.file(dataset, Part::Shard(shard))
                } else {
                    Err(no_such_part(dataset, part))
                };
            }
            (_, Part::Unassigned) => m.datasets.get(dataset).and_then(|d| d.unassigned.as_ref()),
            (_, part) => {
                let whole = self.contract(dataset).is_some_and(|c| c.person.is_none());
                let files = m.datasets.get(dataset).map(|d| d.files.as_slice()).unwrap_or_default();
                match part {
                    Part::Shard(i) if !whole => files.get(i),
                    Part::Whole if whole => files.first(),
                    _ => None,
                }
            }
        };
        found.ok_or_else(|| no_such_part(dataset, part))
    }

    /// The numbers of the persons of a shard; a few shards are kept, because questions come in bunches.
    fn numbers(&self, shard: usize) -> Result<Arc<Numbers>, Diagnostic> {
        if let Ok(mut kept) = self.numbers.lock()
            && let Some(place) = kept.iter().position(|(s, _)| *s == shard)
        {
            let found = kept.remove(place);
            let numbers = Arc::clone(&found.1);
            kept.insert(0, found);
            return Ok(numbers);
        }
        let from = self.range(shard).map_or(0, |r| r.0);
        let file = self.file("persons", Part::Shard(shard))?;
        let numbers = Arc::new(Numbers { from, batches: self.decode(file, &[ID_NUMBER])? });
        if let Ok(mut kept) = self.numbers.lock() {
            kept.insert(0, (shard, Arc::clone(&numbers)));
            kept.truncate(KEPT_NUMBERS);
        }
        Ok(numbers)
    }

    /// Columns of a part; of a shard, only the rows of `persons` where they are named.
    fn rows_of(
        &self,
        dataset: &str,
        part: Part,
        columns: &[&str],
        persons: Option<&[i32]>,
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        let schema = self.schemas.get(dataset).ok_or_else(|| no_such_part(dataset, part))?;
        let file = self.file(dataset, part)?;
        let wanted = pick(dataset, schema, columns)?;
        let with_number = dataset != "persons" && columns.contains(&ID_NUMBER) && is_person_table(schema);
        let mut physical: Vec<&str> =
            columns.iter().copied().filter(|c| !(with_number && *c == ID_NUMBER)).collect();
        if with_number && !physical.contains(&PID) {
            physical.push(PID);
        }
        let batches = match (part, persons) {
            (_, Some(persons)) => self.decode_persons(file, &physical, persons)?,
            (Part::Slice { from, to, .. }, _) => {
                if !physical.contains(&PID) {
                    physical.push(PID);
                }
                self.decode_slice(file, &physical, &(from..to))?
            }
            _ => self.decode(file, &physical)?,
        };
        let numbers = match (with_number, part) {
            (true, Part::Shard(shard)) => Some(self.numbers(shard)?),
            (true, Part::Slice { from, to, .. }) => {
                let persons = self.file("persons", part)?;
                // As many as the persons of the slice; they are not kept.
                let batches = self.decode_slice(persons, &[PID, ID_NUMBER], &(from..to))?;
                let number = |b: &RecordBatch| b.project(&[1]).map_err(|e| fault::damaged(&self.path, &e));
                let batches = batches.iter().map(number).collect::<Result<_, _>>()?;
                Some(Arc::new(Numbers { from, batches }))
            }
            _ => None,
        };
        let path = self.path.join(&file.path);
        let mut out = Vec::with_capacity(batches.len().max(1));
        for batch in &batches {
            out.push(
                arrange(batch, &wanted, with_number, numbers.as_deref())
                    .map_err(|e| fault::damaged(&path, &e))?,
            );
        }
        if out.is_empty() {
            out.push(RecordBatch::new_empty(wanted));
        }
        Ok(out)
    }

    /// The rows of some persons of a file that is sorted by person.
    fn decode_persons(
        &self,
        file: &StoreFile,
        columns: &[&str],
        persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        let mut out = Vec::new();
        if persons.is_empty() || file.rows == 0 {
            return Ok(out);
        }
        let path = self.path.join(&file.path);
        let damaged = |e: &dyn std::fmt::Display| fault::damaged(&path, e);
        fault::guarded(&file.path, || {
            let bytes = match self.trusted_bytes(file)? {
                Some(bytes) => bytes,
                None => Bytes::from(fs::read(&path).map_err(|e| damaged(&e))?),
            };
            let mut ranges = Vec::new();
            let (mut before, mut next) = (0, 0);
            let mut find = |batch: RecordBatch| {
                let pids = batch.column(0).as_primitive::<Int32Type>().values();
                next = rows_of_persons(pids, before, &persons[next..], &mut ranges) + next;
                before += pids.len();
            };
            decode(bytes.clone(), &[PID], None, &mut find).map_err(|e| damaged(&e))?;
            let rows: usize = ranges.iter().map(Range::len).sum();
            if rows > 0 {
                let some = Chosen { ranges: &ranges, at_a_time: rows };
                decode(bytes, columns, Some(some), &mut |batch| out.push(batch)).map_err(|e| damaged(&e))?;
            }
            Ok(())
        })?;
        Ok(out)
    }
}

impl Numbers {
    fn of(&self, pid: i32) -> Option<&str> {
        let mut index = usize::try_from(pid.checked_sub(self.from)?).ok()?;
        for batch in &self.batches {
            if index < batch.num_rows() {
                return Some(batch.column(0).as_string_view().value(index));
            }
            index -= batch.num_rows();
        }
        None
    }
}

impl Tables for Store {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn n_persons(&self) -> u64 {
        self.manifest.persons
    }

    fn n_shards(&self) -> usize {
        self.manifest.shards.len()
    }

    fn rows(&self, dataset: &str) -> Option<u64> {
        match dataset {
            "persons" => Some(self.manifest.persons),
            "rejects" => Some(self.manifest.rejects.rows),
            _ => self.manifest.datasets.get(dataset).map(|d| d.rows_stored),
        }
    }

    fn shard_persons(&self, shard: usize) -> Option<(i32, i32)> {
        self.range(shard)
    }

    fn part_rows(&self, dataset: &str, shard: usize) -> Option<u64> {
        self.file(dataset, Part::Shard(shard)).ok().map(|f| f.rows)
    }

    fn part_digest(&self, dataset: &str, part: Part) -> Option<String> {
        match part {
            Part::Slice { .. } => None,
            part => self.file(dataset, part).ok().map(|f| f.sha256.clone()),
        }
    }

    fn read(&self, dataset: &str, part: Part, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic> {
        self.rows_of(dataset, part, columns, None)
    }

    fn read_persons(
        &self,
        dataset: &str,
        shard: usize,
        columns: &[&str],
        persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        self.rows_of(dataset, Part::Shard(shard), columns, Some(persons))
    }

    fn locate(&self, src: i64) -> Option<RowLocator> {
        let (file, row) = file_and_row(src);
        let place = self.manifest.files.binary_search_by_key(&file, |f| f.id).ok()?;
        let file = &self.manifest.files[place];
        Some(RowLocator { dataset: file.dataset.clone(), file: file.path.clone(), row })
    }

    fn id_number(&self, pid: i32) -> Result<Option<String>, Diagnostic> {
        let Some(shard) = u32::try_from(pid)
            .ok()
            .and_then(|pid| self.manifest.shards.iter().position(|s| (s.pid_from..s.pid_to).contains(&pid)))
        else {
            return Ok(None);
        };
        Ok(self.numbers(shard)?.of(pid).map(str::to_owned))
    }

    fn absent_columns(&self, dataset: &str) -> Vec<String> {
        let files = self.manifest.files.iter().filter(|f| f.dataset == dataset);
        let mut absent: Vec<String> = files.flat_map(|f| f.missing_columns.iter().cloned()).collect();
        absent.sort();
        absent.dedup();
        absent
    }

    fn extract_date(&self, dataset: &str) -> Option<NaiveDate> {
        self.manifest.datasets.get(dataset)?.as_of
    }
}

/// The columns asked for, as a schema.
pub(crate) fn pick(dataset: &str, schema: &Schema, columns: &[&str]) -> Result<SchemaRef, Diagnostic> {
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        let (_, field) = schema.fields().find(column).ok_or_else(|| {
            Diagnostic::error(
                "MC708",
                format!("数据集 {dataset} 没有列 {column}"),
                format!("dataset {dataset} has no column {column}"),
            )
        })?;
        fields.push(Arc::clone(field));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Whether the identity number of a table is the virtual one.
pub(crate) fn is_person_table(schema: &Schema) -> bool {
    schema.fields().find(PID).is_some()
}

/// The part does not exist.
pub(crate) fn no_such_part(dataset: &str, part: Part) -> Diagnostic {
    Diagnostic::error(
        "MC708",
        format!("数据集 {dataset} 未提供，或没有 {part:?} 这一部分"),
        format!("dataset {dataset} was not delivered, or has no part {part:?}"),
    )
}

/// Puts the decoded columns into the order asked, and the number beside them.
fn arrange(
    batch: &RecordBatch,
    wanted: &SchemaRef,
    with_number: bool,
    numbers: Option<&Numbers>,
) -> Result<RecordBatch, String> {
    let mut columns = Vec::with_capacity(wanted.fields().len());
    for field in wanted.fields() {
        if with_number && field.name() == ID_NUMBER {
            let pids = batch.column_by_name(PID).ok_or("no pid")?.as_primitive::<Int32Type>();
            columns.push(Arc::new(number_column(pids, numbers)) as _);
        } else {
            columns.push(Arc::clone(batch.column_by_name(field.name()).ok_or("a column is missing")?));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &options).map_err(|e| e.to_string())
}

fn number_column(pids: &Int32Array, numbers: Option<&Numbers>) -> arrow::array::StringViewArray {
    let mut out = StringViewBuilder::with_capacity(pids.len());
    for pid in pids {
        out.append_option(numbers.zip(pid).and_then(|(numbers, pid)| numbers.of(pid)));
    }
    out.finish()
}

/// Some rows of a file, in order.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    ranges: &'a [Range<usize>],
    /// Rows of a batch.
    at_a_time: usize,
}

/// Decodes columns of all rows or of some, with text as string views.
fn decode(
    reader: impl ChunkReader + 'static,
    columns: &[&str],
    rows: Option<Chosen<'_>>,
    each: &mut dyn FnMut(RecordBatch),
) -> Result<(), String> {
    // Pages that hold none of the rows are not even read; for all rows the index would be read in vain.
    let pages = if rows.is_some() { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let plain = ArrowReaderMetadata::load(&reader, ArrowReaderOptions::new().with_page_index_policy(pages))
        .map_err(|e| e.to_string())?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(viewed_schema(plain.schema())));
    let metadata =
        ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(|e| e.to_string())?;
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata);
    let mut leaves = Vec::with_capacity(columns.len());
    for column in columns {
        let (index, _) =
            builder.schema().fields().find(column).ok_or_else(|| format!("no column {column}"))?;
        leaves.push(index);
    }
    let all = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    // A shard that is wanted whole comes in one piece, so that nobody has to put it together again.
    let mut batch_rows = all.max(1);
    if let Some(some) = rows {
        batch_rows = some.at_a_time;
        let ranges = some.ranges.iter().map(|r| r.start.min(all)..r.end.min(all));
        builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(ranges, all));
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), leaves);
    let reader =
        builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(|e| e.to_string())?;
    for batch in reader {
        each(batch.map_err(|e| e.to_string())?);
    }
    Ok(())
}

/// The rows of some persons of a batch that is sorted by person; `None`: there are none.
pub(crate) fn of_persons(batch: &RecordBatch, persons: &Range<i32>) -> Option<RecordBatch> {
    let pids = batch.column_by_name(PID)?.as_primitive::<Int32Type>().values();
    let first = pids.partition_point(|pid| *pid < persons.start);
    let last = pids.partition_point(|pid| *pid < persons.end);
    (first < last).then(|| batch.slice(first, last - first))
}

/// Where the rows of `persons` are among `pids`, both ascending; rows are counted from `before`. Gives how many of the
/// persons are done with: the rows of the last one may go on in the next batch.
fn rows_of_persons(pids: &[i32], before: usize, persons: &[i32], out: &mut Vec<Range<usize>>) -> usize {
    let (mut at, mut done) = (0, 0);
    for pid in persons {
        let first = at + pids[at..].partition_point(|p| p < pid);
        if first == pids.len() {
            break;
        }
        at = first + pids[first..].partition_point(|p| p == pid);
        if first < at {
            match out.last_mut() {
                Some(last) if last.end == before + first => last.end = before + at,
                _ => out.push(before + first..before + at),
            }
        }
        if at == pids.len() {
            break;
        }
        done += 1;
    }
    done
}

/// SHA-256 of a file, streamed.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&buffer[..n]);
    }
}

fn viewed_schema(schema: &Schema) -> Schema {
    use arrow::datatypes::DataType;
    Schema::new(
        schema
            .fields()
            .iter()
            .map(|f| match f.data_type() {
                DataType::Utf8 => f.as_ref().clone().with_data_type(DataType::Utf8View),
                _ => f.as_ref().clone(),
            })
            .collect::<Vec<_>>(),
    )
}

/// Whether the persons stay inside the range and the rows are sorted by person, then by `src`.
pub(crate) fn check_order(
    batches: &[RecordBatch],
    (from, to): (i32, i32),
    path: &Path,
) -> Result<(), Diagnostic> {
    let mut last = (from, i64::MIN);
    for batch in batches {
        let pids = batch.column(0).as_primitive::<Int32Type>();
        let srcs = batch.column(1).as_primitive::<Int64Type>();
        if pids.null_count() > 0 {
            return Err(out_of_range(path));
        }
        for (pid, src) in pids.values().iter().zip(srcs.values()) {
            if *pid >= to || (*pid, *src) <= last {
                return Err(out_of_range(path));
            }
            last = (*pid, *src);
        }
    }
    Ok(())
}

fn check_src_order(batches: &[RecordBatch], path: &Path) -> Result<(), Diagnostic> {
    let mut last = i64::MIN;
    for batch in batches {
        for src in batch.column(0).as_primitive::<Int64Type>().values() {
            if *src <= last {
                return Err(out_of_range(path));
            }
            last = *src;
        }
    }
    Ok(())
}

fn out_of_range(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC706",
        "分片中的人员超出声明的范围，或排序不对",
        "wanted persons inside the declared range, sorted by person and row; got others",
    )
    .in_file(path.display())
    .with_help("重新执行 mingcha prepare", "run `mingcha prepare` again")
}

/// The equation of a dataset does not hold.
pub(crate) fn equation_broken(dataset: &str) -> Diagnostic {
    Diagnostic::error(
        "MC645",
        format!("数据集 {dataset}：读入行数应等于入库行数加退回行数，实际不等"),
        format!("dataset {dataset}: wanted rows in = stored + rejected, got something else"),
    )
}

/// The manifest of a store, with the version checked before anything else is understood.
fn read_manifest(path: &Path) -> Result<(Manifest, String), Diagnostic> {
    let file = path.join("manifest.json");
    let text = fs::read_to_string(&file).map_err(|e| not_a_store(path, &e.to_string()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| not_a_store(path, &e.to_string()))?;
    if value.get("format").and_then(|v| v.as_str()) != Some(STORE_FORMAT) {
        return Err(not_a_store(path, "manifest.json"));
    }
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(STORE_VERSION)) {
        let got = version.map_or_else(|| "?".to_owned(), |v| v.to_string());
        return Err(Diagnostic::error(
            "MC702",
            format!("需要版本 {STORE_VERSION} 的数据仓，实际为版本 {got}"),
            format!("wanted a store of version {STORE_VERSION}, got version {got}"),
        )
        .in_file(path.display())
        .with_help("用本程序重新执行 mingcha prepare", "run `mingcha prepare` again with this program"));
    }
    let manifest = serde_json::from_value(value).map_err(|e| not_a_store(path, &e.to_string()))?;
    Ok((manifest, hex(&Sha256::digest(text.as_bytes()))))
}

/// Whether a folder is a store of any version.
pub(crate) fn is_store(path: &Path) -> bool {
    fs::read_to_string(path.join("manifest.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|v| v.get("format").and_then(|f| f.as_str()) == Some(STORE_FORMAT))
}

fn not_a_store(path: &Path, cause: &str) -> Diagnostic {
    Diagnostic::error(
        "MC701",
        format!("需要一个 mingcha 数据仓，实际无法识别：{cause}"),
        format!("wanted a mingcha store, got something else: {cause}"),
    )
    .in_file(path.display())
    .with_help("先执行 mingcha prepare", "run `mingcha prepare` first")
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}
