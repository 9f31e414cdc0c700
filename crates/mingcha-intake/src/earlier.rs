//! The store that is there already, and what of it can stay. A dataset stays when everything its rows follow from
//! is the same (its recipe); its files are linked into the new store, its rejects and its part of the quality
//! report are taken over. Persons keep their number: those that are new come after all others. Changes nothing in
//! the store that is there, so that a preparation that is killed leaves it as it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::Path;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use mingcha_files::private;
use mingcha_rules::{Contract, Diagnostic, PersonKey, Text};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::discover::Dates;
use crate::fault;
use crate::identity;
use crate::manifest::{DatasetEntry, InputFile, Manifest, ShardEntry, StoreFile};
use crate::options::PrepareOptions;
use crate::quality::{DatasetQuality, QualityReport};
use crate::read::Opened;
use crate::rejects::{self, AMBIGUOUS_LINK, DUPLICATE_KEY};
use crate::runs::{Run, RunWriter};
use crate::schema::{ID_NUMBER, PID, SRC, file_schema};
use crate::shards::{Index, Links, StoreWriter, Written};
use crate::store::{Store, hex};
use crate::tables::{Part, Tables};

/// The hash of the code that is running.
pub(crate) const BUILD: &str = env!("MINGCHA_INTAKE_BUILD");

/// Of all persons, the part that may be without any row before the index is made anew: one in this many.
const FORGOTTEN_PART: u64 = 5;

/// The store that is there, as far as it can be built upon.
pub(crate) struct Earlier {
    store: Store,
    quality: QualityReport,
    /// Datasets that stay as they are.
    kept: BTreeSet<String>,
}

/// The remarks that only the second pass could make, as they stand in a store.
#[derive(Default)]
pub(crate) struct LateRemarks {
    /// By dataset: rows that repeat a key.
    duplicates: BTreeMap<String, Vec<i64>>,
    /// By dataset and field: rows that contradict an earlier one.
    contradictions: BTreeMap<(String, String), BTreeSet<i64>>,
}

/// The persons of the new store.
pub(crate) struct People {
    /// Their numbers.
    pub(crate) index: Index,
    /// The shards.
    pub(crate) ranges: Vec<ShardEntry>,
    /// First person of every run of ascending numbers.
    pub(crate) runs: Vec<u32>,
    /// Persons that a shard is meant to have.
    pub(crate) shard_persons: u64,
}

impl Earlier {
    /// Looks at the store that is there. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// Why nothing of it can stay.
    pub(crate) fn find(
        options: &PrepareOptions,
        recipes: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, Text> {
        if !crate::store::is_store(&options.store) {
            return Ok(None);
        }
        if options.full {
            return Err(said("按要求全部重新读取", "everything was read again, as asked"));
        }
        let store = Store::open(&options.store).map_err(|d| {
            let Text { zh, en } = d.message;
            said(
                &format!("原有的数据仓不能沿用（{zh}），全部重新读取"),
                &format!("the earlier store cannot be built upon ({en}); everything was read again"),
            )
        })?;
        let manifest = store.manifest();
        if manifest.build != BUILD {
            return Err(said(
                "原有的数据仓由另一版程序写成，全部重新读取",
                "the earlier store was written by another build; everything was read again",
            ));
        }
        if manifest.shards_asked != options.shards {
            return Err(said(
                "分片数的要求变了，全部重新读取",
                "another number of shards is asked for; everything was read again",
            ));
        }
        let quality = fs::read_to_string(options.store.join("quality.json"))
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()))
            .map_err(|e| {
                said(
                    &format!("原有数据仓的质量报告无法读取（{e}），全部重新读取"),
                    &format!("the quality report of the earlier store cannot be read ({e}); everything was read again"),
                )
            })?;
        let same = |(name, recipe): &(&String, &String)| {
            manifest.datasets.get(*name).is_some_and(|entry| entry.recipe == **recipe)
        };
        let kept = recipes.iter().filter(same).map(|(name, _)| name.clone()).collect();
        Ok(Some(Self { store, quality, kept }))
    }

    /// Whether a dataset stays.
    pub(crate) fn keeps(&self, dataset: &str) -> bool {
        self.kept.contains(dataset)
    }

    /// The datasets that stay.
    pub(crate) fn kept(&self) -> &BTreeSet<String> {
        &self.kept
    }

    /// What the manifest says of a dataset that stays.
    pub(crate) fn entry(&self, dataset: &str) -> Option<&DatasetEntry> {
        self.manifest().datasets.get(dataset).filter(|_| self.keeps(dataset))
    }

    /// What the quality report says of a dataset that stays.
    pub(crate) fn quality(&self, dataset: &str) -> Option<&DatasetQuality> {
        self.quality.datasets.iter().find(|q| q.dataset == dataset && self.keeps(dataset))
    }

    /// What the manifest says of a file of a dataset that stays.
    pub(crate) fn file(&self, id: u32) -> Option<&InputFile> {
        self.manifest().files.iter().find(|f| f.id == id && self.keeps(&f.dataset))
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn manifest(&self) -> &Manifest {
        self.store.manifest()
    }

    /// The persons with those of `met` that are new; `met` are the numbers of all datasets that were read.
    ///
    /// # Errors
    /// When the store is damaged. Inside: why the persons should be numbered anew.
    pub(crate) fn grow(
        &self,
        contracts: &[Contract],
        met: &[&[u64]],
        most_shards: usize,
    ) -> Result<Result<People, Text>, Diagnostic> {
        let index = Index::of_persons(self.numbers()?);
        let mut mentioned = vec![false; index.len()];
        for contract in contracts.iter().filter(|c| c.id_field().is_some()) {
            for file in self.entry(&contract.name).iter().flat_map(|e| &e.files) {
                self.store
                    .each(file, &[PID], &mut |batch| {
                        for pid in batch.column(0).as_primitive::<Int32Type>().values() {
                            if let Some(place) = usize::try_from(*pid).ok().and_then(|p| mentioned.get_mut(p))
                            {
                                *place = true;
                            }
                        }
                    })
                    .map_err(whole_again)?;
            }
        }
        let mut fresh = Vec::new();
        for code in met.iter().flat_map(|codes| codes.iter()) {
            match index.pid(*code).and_then(|pid| mentioned.get_mut(pid as usize)) {
                Some(place) => *place = true,
                None => fresh.push(*code),
            }
        }
        fresh.sort_unstable();
        fresh.dedup();
        let known = index.len() as u64;
        let forgotten = mentioned.iter().filter(|m| !**m).count() as u64;
        if forgotten * FORGOTTEN_PART > known + fresh.len() as u64 {
            return Ok(Err(said(
                &format!("{forgotten} 人不再出现在任何数据中，超过索引的五分之一，全部重新读取"),
                &format!(
                    "{forgotten} persons are in no dataset any more, over a fifth of the index; everything was read again"
                ),
            )));
        }
        let manifest = self.manifest();
        let target = manifest.shard_persons;
        let Some(ranges) = grown_ranges(&manifest.shards, fresh.len() as u64, target, most_shards) else {
            return Ok(Err(said(
                "新增的人太多，全部重新读取",
                "too many persons are new; everything was read again",
            )));
        };
        let mut runs = manifest.person_runs.clone();
        let index = if fresh.is_empty() {
            index
        } else {
            let mut numbers = index.numbers().to_vec();
            // A first run without persons is no run.
            runs.retain(|first| u64::from(*first) < known);
            runs.push(known as u32);
            numbers.extend(fresh);
            Index::of_persons(numbers)
        };
        Ok(Ok(People { index, ranges, runs, shard_persons: target }))
    }

    /// The number of each person.
    fn numbers(&self) -> Result<Vec<u64>, Diagnostic> {
        let mut out = Vec::with_capacity(usize::try_from(self.manifest().persons).unwrap_or(0));
        for file in &self.manifest().person_files {
            let mut wrong = false;
            self.store
                .each(file, &[ID_NUMBER], &mut |batch| {
                    for number in batch.column(0).as_string_view().iter().flatten() {
                        match identity::normalise(number) {
                            Ok(id) => out.push(id.code()),
                            Err(_) => wrong = true,
                        }
                    }
                })
                .map_err(whole_again)?;
            if wrong {
                return Err(whole_again(fault::damaged(&self.store.path().join(&file.path), &ID_NUMBER)));
            }
        }
        Ok(out)
    }

    /// Takes over the persons of a shard, where they are the same.
    pub(crate) fn carry_persons(
        &self,
        to: &Path,
        shard: usize,
        range: &ShardEntry,
    ) -> Result<Option<StoreFile>, Diagnostic> {
        let manifest = self.manifest();
        match manifest.person_files.get(shard) {
            Some(file) if manifest.shards.get(shard) == Some(range) => self.carry(to, file).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes over the files of a dataset that stays; shards that are new have no rows of it.
    pub(crate) fn carry_dataset(
        &self,
        to: &Path,
        contract: &Contract,
        shards: usize,
    ) -> Result<Written, Diagnostic> {
        let mut out = Written::default();
        let Some(entry) = self.entry(&contract.name) else { return Ok(out) };
        let folder = to.join(&contract.name);
        private::folders(&folder).map_err(|e| fault::cannot_write(&folder, &e))?;
        for file in &entry.files {
            out.files.push(self.carry(to, file)?);
        }
        out.unassigned = entry.unassigned.as_ref().map(|file| self.carry(to, file)).transpose()?;
        let wanted = if contract.person.is_some() { shards } else { 1 };
        for shard in out.files.len()..wanted {
            let name = crate::shards::file_name(contract, shard);
            out.files.push(StoreWriter::create(to, &name, &file_schema(contract))?.finish()?);
        }
        Ok(out)
    }

    /// The same file under the same name: linked, or copied where the file system cannot link. Its hash is compared
    /// with the rest of the store.
    pub(crate) fn carry(&self, to: &Path, file: &StoreFile) -> Result<StoreFile, Diagnostic> {
        let (from, to) = (self.store.path().join(&file.path), to.join(&file.path));
        if fs::hard_link(&from, &to).is_err() {
            File::open(&from)
                .and_then(|mut from| {
                    let mut to = private::file(&to)?;
                    std::io::copy(&mut from, &mut to)?;
                    to.sync_all()
                })
                .map_err(|e| whole_again(fault::damaged(&from, &e)))?;
        }
        Ok(file.clone())
    }

    /// The rejects of the datasets that stay: what the first pass rejected, laid down as a run for each, and what
    /// the second pass remarked.
    pub(crate) fn rejects(&self, runs: &Path) -> Result<(BTreeMap<String, Run>, LateRemarks), Diagnostic> {
        let mut late = LateRemarks::default();
        let mut writers = BTreeMap::new();
        for dataset in &self.kept {
            let path = runs.join(format!("{dataset}.kept"));
            writers.insert(dataset.as_str(), RunWriter::create(path, &rejects::schema())?);
        }
        let schema = rejects::schema();
        let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let file = &self.manifest().rejects;
        let mut done = Ok(());
        let mut take = |batch: RecordBatch| -> Result<(), Diagnostic> {
            let failed = |e| fault::damaged(&self.store.path().join(&file.path), &e);
            let arrays: Result<Vec<_>, _> =
                schema.fields().iter().zip(batch.columns()).map(|(f, c)| cast(c, f.data_type())).collect();
            let batch = RecordBatch::try_new(schema.clone(), arrays.map_err(failed)?).map_err(failed)?;
            late.note(&batch);
            for (dataset, writer) in &mut writers {
                let mine = early_rows_of(&batch, dataset);
                writer.write(&filter_record_batch(&batch, &mine).map_err(failed)?)?;
            }
            Ok(())
        };
        self.store
            .each(file, &columns, &mut |batch| {
                if done.is_ok() {
                    done = take(batch);
                }
            })
            .map_err(whole_again)?;
        done?;
        let mut out = BTreeMap::new();
        for (dataset, writer) in writers {
            out.insert(dataset.to_owned(), writer.finish()?);
        }
        Ok((out, late))
    }

    /// What [`shards::links`](crate::shards::links) gives, of a dataset that stays. Its rows come in order of person
    /// here: the first row of a key is the one with the lowest `src`, and so is the first that contradicts it.
    pub(crate) fn links(
        &self,
        source: &str,
        on: &str,
        index: &Index,
    ) -> Result<(Links, Vec<i64>), Diagnostic> {
        let mut first: HashMap<String, (i64, i32)> = HashMap::new();
        self.each_link(source, on, &mut |key, src, pid| match first.get_mut(key) {
            Some(known) => *known = (*known).min((src, pid)),
            None => {
                first.insert(key.to_owned(), (src, pid));
            }
        })?;
        let mut against: BTreeMap<String, i64> = BTreeMap::new();
        self.each_link(source, on, &mut |key, src, pid| {
            if first.get(key).is_some_and(|known| known.1 != pid) {
                match against.get_mut(key) {
                    Some(known) => *known = src.min(*known),
                    None => {
                        against.insert(key.to_owned(), src);
                    }
                }
            }
        })?;
        let number = |pid: i32| index.numbers().get(usize::try_from(pid).ok()?).copied();
        let links = first
            .into_iter()
            .map(|(key, (_, pid))| {
                let code = if against.contains_key(&key) { None } else { number(pid) };
                (key, code)
            })
            .collect();
        let mut contradicting: Vec<i64> = against.into_values().collect();
        contradicting.sort_unstable();
        Ok((links, contradicting))
    }

    fn each_link(
        &self,
        source: &str,
        on: &str,
        each: &mut dyn FnMut(&str, i64, i32),
    ) -> Result<(), Diagnostic> {
        for shard in 0..self.store.n_shards() {
            for batch in self.store.read(source, Part::Shard(shard), &[PID, SRC, on]).map_err(whole_again)? {
                let pids = batch.column(0).as_primitive::<Int32Type>().values();
                let srcs = batch.column(1).as_primitive::<Int64Type>().values();
                for (row, key) in batch.column(2).as_string_view().iter().enumerate() {
                    if let Some(key) = key {
                        each(key, srcs[row], pids[row]);
                    }
                }
            }
        }
        Ok(())
    }
}

impl LateRemarks {
    fn note(&mut self, batch: &RecordBatch) {
        let text = |name: &str| batch.column_by_name(name).map(|c| c.as_string::<i32>());
        let srcs = batch.column_by_name(SRC).map(|c| c.as_primitive::<Int64Type>());
        let (Some(srcs), Some(datasets), Some(fields), Some(reasons)) =
            (srcs, text("dataset"), text("field"), text("reason"))
        else {
            return;
        };
        for row in 0..batch.num_rows() {
            let (src, dataset) = (srcs.value(row), datasets.value(row));
            match reasons.value(row) {
                DUPLICATE_KEY => self.duplicates.entry(dataset.to_owned()).or_default().push(src),
                AMBIGUOUS_LINK => {
                    let place = (dataset.to_owned(), fields.value(row).to_owned());
                    self.contradictions.entry(place).or_default().insert(src);
                }
                _ => {}
            }
        }
    }

    /// The rows of a dataset that were listed because they repeat a key.
    pub(crate) fn duplicates(&self, dataset: &str) -> &[i64] {
        self.duplicates.get(dataset).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rows of a dataset that contradict another one about a field.
    pub(crate) fn contradictions(&self, dataset: &str, on: &str) -> Vec<i64> {
        let place = (dataset.to_owned(), on.to_owned());
        self.contradictions.get(&place).into_iter().flatten().copied().collect()
    }
}

/// The entries of a dataset that the first pass made.
fn early_rows_of(batch: &RecordBatch, dataset: &str) -> BooleanArray {
    let text = |name: &str| batch.column_by_name(name).map(|c| c.as_string::<i32>());
    let (Some(datasets), Some(reasons)) = (text("dataset"), text("reason")) else {
        return BooleanArray::from(vec![false; batch.num_rows()]);
    };
    let mine = |row: usize| {
        datasets.value(row) == dataset && !matches!(reasons.value(row), DUPLICATE_KEY | AMBIGUOUS_LINK)
    };
    (0..batch.num_rows()).map(|row| Some(mine(row))).collect()
}

/// The shards with `fresh` persons more: in the last one while it stays below one and a half of the size meant,
/// else in new ones. `None`: there would be too many.
fn grown_ranges(
    shards: &[ShardEntry],
    fresh: u64,
    target: u64,
    most_shards: usize,
) -> Option<Vec<ShardEntry>> {
    let mut out = shards.to_vec();
    let last = out.last_mut()?;
    let end = last.pid_to;
    let grown = u32::try_from(u64::from(end) + fresh).ok()?;
    if u64::from(grown - last.pid_from) * 2 <= target * 3 {
        last.pid_to = grown;
        return Some(out);
    }
    // A store without persons does not tell how many a shard should have.
    let pieces = fresh.checked_div(target)?.max(1);
    if out.len() as u64 + pieces > most_shards as u64 {
        return None;
    }
    let bound = |i: u64| u32::try_from(u64::from(end) + i * fresh / pieces).unwrap_or(grown);
    out.extend((0..pieces).map(|i| ShardEntry { pid_from: bound(i), pid_to: bound(i + 1) }));
    Some(out)
}

/// What the rows of one dataset follow from.
#[derive(Serialize)]
struct Recipe<'a> {
    place: usize,
    contract: &'a Contract,
    dates: Dates,
    encoding: Option<&'a str>,
    accept_damaged_ids: bool,
    /// Path, SHA-256, and what the options say of the file.
    files: Vec<(&'a str, &'a str, String)>,
    /// The recipe of the dataset that knows its persons.
    source: Option<String>,
}

/// The recipes of all delivered datasets.
///
/// # Errors
/// When a contract cannot be written down.
pub(crate) fn recipes(
    options: &PrepareOptions,
    files: &[Opened],
    dates: &BTreeMap<String, Dates>,
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let mut contracts: Vec<&Contract> = options.contracts.iter().collect();
    contracts.sort_by(|a, b| a.name.cmp(&b.name));
    // A dataset that others find their persons in never finds its own in another one.
    let (via, own): (Vec<_>, Vec<_>) = contracts
        .into_iter()
        .enumerate()
        .filter(|(_, c)| files.iter().any(|f| f.found.dataset == c.name))
        .partition(|(_, c)| matches!(c.person, Some(PersonKey::Via(_))));
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for (place, contract) in own.into_iter().chain(via) {
        let mine = files.iter().filter(|f| f.found.dataset == contract.name);
        let source = match &contract.person {
            Some(PersonKey::Via(via)) => out.get(&via.dataset).cloned(),
            _ => None,
        };
        let recipe = Recipe {
            place,
            contract,
            dates: dates.get(&contract.name).copied().unwrap_or_default(),
            encoding: options.encoding.as_deref(),
            accept_damaged_ids: options.accept_damaged_ids,
            files: mine
                .map(|f| (f.found.name.as_str(), f.sha256.as_str(), format!("{:?}", f.found.mapping)))
                .collect(),
            source,
        };
        let text = serde_json::to_string(&recipe)
            .map_err(|e| fault::bad_contract(&contract.name, &e.to_string(), &e.to_string()))?;
        out.insert(contract.name.clone(), hex(&Sha256::digest(text.as_bytes())));
    }
    Ok(out)
}

/// A fault of the earlier store, with the way out of it.
pub(crate) fn whole_again(fault: Diagnostic) -> Diagnostic {
    fault.with_help(
        "原有的数据仓已损坏：加 --full 全部重新读取",
        "the earlier store is damaged: `--full` reads everything again",
    )
}

fn said(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(bounds: &[u32]) -> Vec<ShardEntry> {
        bounds.windows(2).map(|w| ShardEntry { pid_from: w[0], pid_to: w[1] }).collect()
    }

    #[test]
    fn new_persons_fill_the_last_shard_to_one_and_a_half_and_then_begin_others() {
        let old = shards(&[0, 10, 20]);
        for (fresh, wanted) in [
            (0, &[0, 10, 20][..]),
            (5, &[0, 10, 25][..]),
            (6, &[0, 10, 20, 26][..]),
            (19, &[0, 10, 20, 39][..]),
            (20, &[0, 10, 20, 30, 40][..]),
        ] {
            assert_eq!(grown_ranges(&old, fresh, 10, 100), Some(shards(wanted)), "{fresh}");
        }
        assert_eq!(grown_ranges(&old, 20, 10, 3), None);
        assert_eq!(grown_ranges(&old, u64::from(u32::MAX), 10, 3), None);
        assert_eq!(grown_ranges(&shards(&[0, 0]), 3, 0, 100), None);
        assert_eq!(grown_ranges(&shards(&[0, 0]), 0, 0, 100), Some(shards(&[0, 0])));
    }
}
