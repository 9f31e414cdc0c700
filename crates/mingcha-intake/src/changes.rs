//! What differs between a store and the one that it was built upon, person by person, so that whoever has worked on
//! the earlier store need look at those persons only. Every row is compared in all its columns, its locator included:
//! whatever leads from a row to an extract is part of the answer. Knows no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use arrow::row::{RowConverter, Rows, SortField};
use mingcha_files::private;
use mingcha_rules::Diagnostic;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;

use crate::earlier::{Earlier, whole_again};
use crate::fault;
use crate::manifest::{ChangesEntry, DatasetChanges, DatasetEntry, Manifest, StoreFile};
use crate::schema::{PID, SRC};
use crate::shards::StoreWriter;
use crate::store::Store;
use crate::tables::file_and_row;

/// Folder of the lists of persons.
pub(crate) const FOLDER: &str = "changes";
/// Of how many earlier stores it is known what differs.
const MOST_STEPS: usize = 14;
/// Rows compared at a time.
const BATCH_ROWS: usize = 1 << 14;

/// What differs between a store and an earlier one.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Persons that the earlier store had: those from here on are new.
    persons_then: Option<i32>,
    persons_now: i32,
    datasets: BTreeMap<String, Changed>,
}

#[derive(Debug, Clone, Default)]
struct Changed {
    whole: bool,
    elsewhere: bool,
    persons: Vec<i32>,
    /// Columns that differ, where only some do.
    columns: BTreeSet<String>,
    every_column: bool,
}

impl Changes {
    /// Nothing differs.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// What the steps from one store to another say together.
    pub(crate) fn add(&mut self, store: &Store, entry: &ChangesEntry) -> Result<(), Diagnostic> {
        let number = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        self.persons_now = number(store.manifest().persons);
        let then = number(entry.persons);
        self.persons_then = Some(self.persons_then.map_or(then, |known| known.min(then)));
        for (name, changes) in &entry.datasets {
            let changed = self.datasets.entry(name.clone()).or_default();
            changed.whole |= changes.whole;
            changed.elsewhere |= changes.unassigned;
            match &changes.columns {
                Some(columns) => changed.columns.extend(columns.iter().cloned()),
                None => changed.every_column = true,
            }
            if let Some(file) = &changes.persons {
                store.each(file, &[PID], &mut |batch| {
                    changed.persons.extend(batch.column(0).as_primitive::<Int32Type>().values());
                })?;
                changed.persons.sort_unstable();
                changed.persons.dedup();
            }
        }
        Ok(())
    }

    fn new_persons(&self) -> std::ops::Range<i32> {
        self.persons_then.unwrap_or(self.persons_now)..self.persons_now
    }

    /// The persons any of whose rows in `datasets` were added, removed or differ, and all new persons; ascending.
    pub fn persons<'a>(&self, datasets: impl IntoIterator<Item = &'a str>) -> Vec<i32> {
        let mut out: Vec<i32> = self.new_persons().collect();
        for name in datasets {
            out.extend(self.datasets.get(name).into_iter().flat_map(|c| &c.persons));
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Whether a dataset must count as changed for everybody: it came, went, has another contract, or holds no persons
    /// and differs.
    pub fn whole(&self, dataset: &str) -> bool {
        self.datasets.get(dataset).is_some_and(|c| c.whole)
    }

    /// Whether anything differs in some columns of a dataset, rows without a person included. Rows that came or went
    /// differ in every column.
    pub fn touched(&self, dataset: &str, columns: &BTreeSet<String>) -> bool {
        if dataset == "persons" {
            return !self.new_persons().is_empty();
        }
        self.datasets.get(dataset).is_some_and(|c| {
            let differs = c.every_column || !c.columns.is_disjoint(columns);
            c.whole || c.elsewhere || (differs && !c.persons.is_empty())
        })
    }
}

/// Compares a store that was just written below `root` with the one that it was built upon. Gives the steps that the
/// earlier store knew, and this one.
pub(crate) fn since(
    earlier: &Earlier,
    manifest: &Manifest,
    root: &Path,
) -> Result<Vec<ChangesEntry>, Diagnostic> {
    let store = earlier.store();
    let then = store.manifest();
    let mut steps: Vec<ChangesEntry> = then.changes.clone();
    steps.drain(..steps.len().saturating_sub(MOST_STEPS - 1));
    for file in steps.iter().flat_map(|s| s.datasets.values()).filter_map(|d| d.persons.as_ref()) {
        make_folder(root)?;
        earlier.carry(root, file)?;
    }
    let mut datasets = BTreeMap::new();
    let names: BTreeSet<&String> = then.datasets.keys().chain(manifest.datasets.keys()).collect();
    for name in names {
        if earlier.keeps(name) {
            continue;
        }
        let changes = match (then.datasets.get(name), manifest.datasets.get(name)) {
            (Some(old), Some(new))
                if then.contract_hashes.get(name) == manifest.contract_hashes.get(name) =>
            {
                let both = Both { store, root, moved: moved(name, then, manifest) };
                let label =
                    format!("{FOLDER}/{name}-{}.parquet", store.digest().get(..16).unwrap_or_default());
                both.compare(old, new, &label)?
            }
            _ => DatasetChanges { whole: true, ..DatasetChanges::default() },
        };
        if changes != DatasetChanges::default() {
            datasets.insert(name.clone(), changes);
        }
    }
    if then.rejects.sha256 != manifest.rejects.sha256 {
        let whole = DatasetChanges { whole: true, ..DatasetChanges::default() };
        datasets.insert("rejects".to_owned(), whole);
    }
    let since = store.digest().to_owned();
    steps.push(ChangesEntry { since, persons: then.persons, datasets });
    Ok(steps)
}

/// The folder of the lists, with the first of them: a store has no empty folder.
fn make_folder(root: &Path) -> Result<(), Diagnostic> {
    let folder = root.join(FOLDER);
    private::folders(&folder).map_err(|e| fault::cannot_write(&folder, &e))
}

/// The numbers of files that mean another file now: a row that is said to be in one of them is in another place.
fn moved(dataset: &str, then: &Manifest, now: &Manifest) -> BTreeSet<u32> {
    let paths = |m: &Manifest| -> BTreeMap<u32, String> {
        m.files.iter().filter(|f| f.dataset == dataset).map(|f| (f.id, f.path.clone())).collect()
    };
    let (then, now) = (paths(then), paths(now));
    then.keys().chain(now.keys()).filter(|id| then.get(id) != now.get(id)).copied().collect()
}

/// The same dataset in both stores.
struct Both<'a> {
    store: &'a Store,
    root: &'a Path,
    moved: BTreeSet<u32>,
}

impl Both<'_> {
    fn compare(
        &self,
        old: &DatasetEntry,
        new: &DatasetEntry,
        label: &str,
    ) -> Result<DatasetChanges, Diagnostic> {
        let same = |a: Option<&StoreFile>, b: Option<&StoreFile>| {
            // Where a file has moved, equal rows may still be in another place.
            self.moved.is_empty() && a.map(|f| &f.sha256) == b.map(|f| &f.sha256)
        };
        let (Some(unassigned), Some(was)) = (&new.unassigned, &old.unassigned) else {
            let whole = !same(old.files.first(), new.files.first())
                || old.unassigned.is_some() != new.unassigned.is_some();
            return Ok(DatasetChanges { whole, ..DatasetChanges::default() });
        };
        let shards: Vec<_> = (0..old.files.len().max(new.files.len()))
            .map(|i| (old.files.get(i), new.files.get(i)))
            .filter(|(a, b)| !same(*a, *b))
            .collect();
        let found: Vec<(Vec<i32>, Option<BTreeSet<String>>)> =
            shards.into_par_iter().map(|(a, b)| self.shard(a, b)).collect::<Result<_, _>>()?;
        let columns = found.iter().try_fold(BTreeSet::new(), |mut all, (_, columns)| {
            all.extend(columns.as_ref()?.iter().cloned());
            Some(all)
        });
        // Shards come in order of person.
        let mut persons: Vec<i32> = found.into_iter().flat_map(|(persons, _)| persons).collect();
        persons.sort_unstable();
        persons.dedup();
        let persons = if persons.is_empty() { None } else { Some(self.write(label, persons)?) };
        let empty = was.rows == 0 && unassigned.rows == 0;
        let unassigned = !empty && !same(Some(was), Some(unassigned));
        if persons.is_none() && !unassigned {
            return Ok(DatasetChanges::default());
        }
        Ok(DatasetChanges { whole: false, unassigned, persons, columns })
    }

    fn write(&self, label: &str, persons: Vec<i32>) -> Result<StoreFile, Diagnostic> {
        let schema = Arc::new(Schema::new(vec![Field::new(PID, DataType::Int32, false)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from(persons))])
            .map_err(|e| fault::cannot_write(Path::new(label), &e))?;
        make_folder(self.root)?;
        let mut out = StoreWriter::create(self.root, label, &schema)?;
        out.write(&batch)?;
        out.finish()
    }

    /// The persons whose rows differ, and in which columns; both files are sorted by person and row.
    fn shard(
        &self,
        old: Option<&StoreFile>,
        new: Option<&StoreFile>,
    ) -> Result<(Vec<i32>, Option<BTreeSet<String>>), Diagnostic> {
        if let Some(old) = old {
            self.store.trust(old).map_err(whole_again)?;
        }
        let mut a = Cursor::open(self.store.path(), old)?;
        let mut b = Cursor::open(self.root, new)?;
        let mut out: Vec<i32> = Vec::new();
        let mut columns = Some(BTreeSet::new());
        let mut note = |pid: i32| {
            if out.last() != Some(&pid) {
                out.push(pid);
            }
        };
        loop {
            match (a.key()?, b.key()?) {
                (None, None) => return Ok((out, columns)),
                (Some(left), Some(right)) if left == right => {
                    if self.moved.contains(&file_and_row(left.1).0) {
                        note(left.0);
                        columns = None;
                    } else if a.row() != b.row() {
                        note(left.0);
                        columns.iter_mut().for_each(|columns| a.differing(&b, columns));
                    }
                    a.at += 1;
                    b.at += 1;
                }
                (Some(left), right) if right.is_none_or(|right| left < right) => {
                    note(left.0);
                    columns = None;
                    a.at += 1;
                }
                (_, Some(right)) => {
                    note(right.0);
                    columns = None;
                    b.at += 1;
                }
                (Some(left), None) => {
                    note(left.0);
                    columns = None;
                    a.at += 1;
                }
            }
        }
    }
}

/// A walk over the rows of a file, piece by piece.
struct Cursor {
    reader: Option<ParquetRecordBatchReader>,
    path: std::path::PathBuf,
    converter: Option<RowConverter>,
    keys: Vec<(i32, i64)>,
    rows: Option<Rows>,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Cursor {
    fn open(root: &Path, file: Option<&StoreFile>) -> Result<Self, Diagnostic> {
        let path = file.map(|f| root.join(&f.path)).unwrap_or_default();
        let open = |_: &StoreFile| {
            let damaged = |e: &dyn std::fmt::Display| fault::damaged(&path, e);
            let reader = File::open(&path).map_err(|e| damaged(&e))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(reader).map_err(|e| damaged(&e))?;
            builder.with_batch_size(BATCH_ROWS).build().map_err(|e| damaged(&e))
        };
        let reader = file.map(open).transpose()?;
        Ok(Self { reader, path, converter: None, keys: Vec::new(), rows: None, batch: None, at: 0 })
    }

    /// Person and locator of the row that the walk stands at.
    fn key(&mut self) -> Result<Option<(i32, i64)>, Diagnostic> {
        while self.at == self.keys.len() {
            let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else { return Ok(None) };
            let batch = batch.map_err(|e| fault::damaged(&self.path, &e))?;
            self.take(&batch)?;
        }
        Ok(self.keys.get(self.at).copied())
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        let damaged = |e: &dyn std::fmt::Display| fault::damaged(&self.path, e);
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| damaged(&name));
        let pids = column(PID)?.as_primitive::<Int32Type>().values();
        let srcs = column(SRC)?.as_primitive::<Int64Type>().values();
        self.keys = pids.iter().copied().zip(srcs.iter().copied()).collect();
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let fields =
                    batch.schema().fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
                none.insert(RowConverter::new(fields).map_err(|e| damaged(&e))?)
            }
        };
        self.rows = Some(converter.convert_columns(batch.columns()).map_err(|e| damaged(&e))?);
        self.batch = Some(batch.clone());
        self.at = 0;
        Ok(())
    }

    /// Adds the columns in which two rows differ.
    fn differing(&self, other: &Self, out: &mut BTreeSet<String>) {
        let (Some(mine), Some(theirs)) = (&self.batch, &other.batch) else { return };
        let columns = mine
            .schema()
            .fields()
            .iter()
            .zip(mine.columns())
            .zip(theirs.columns())
            .filter_map(|((field, a), b)| {
                let same = a.slice(self.at, 1).as_ref() == b.slice(other.at, 1).as_ref();
                (!same && !out.contains(field.name())).then(|| field.name().clone())
            })
            .collect::<Vec<_>>();
        out.extend(columns);
    }

    /// All values of the row that the walk stands at. Rows of two converters of the same columns compare by bytes.
    fn row(&self) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(self.at).data())
    }
}
