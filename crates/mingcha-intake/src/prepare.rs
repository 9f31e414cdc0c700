//! Preparation: extracts to store, in two passes. The first reads every file once, types it and lays the rows
//! down; the person index is made from the numbers it met; the second splits the rows by person and writes the
//! store beside its final name, which it gets only when it is whole. Everything that can be refused before a row
//! is read is refused together, so that one round of corrections is enough. Datasets that would come out as the
//! store that is there already has them are not read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use mingcha_files::{private, unfinished};
use mingcha_rules::handler::heads_handler;
use mingcha_rules::{Contract, Diagnostic, FieldType, Level, PersonKey, Text};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::changes;
use crate::discover::{self, Dates, Discovery, Found};
use crate::dropped;
use crate::earlier::{self, BUILD, Earlier, LateRemarks, People};
use crate::fault;
use crate::manifest::{DatasetEntry, InputFile, Manifest, STORE_FORMAT, STORE_VERSION, StoreFile};
use crate::options::PrepareOptions;
use crate::overlap::{self, FileRows, Hashes};
use crate::progress::Progress;
use crate::quality::{DatasetQuality, FileQuality, QualityReport, Tally};
use crate::read::{self, How, Opened, Unit};
use crate::record;
use crate::rejects::{self, AMBIGUOUS_LINK, DUPLICATE_KEY, KEPT, Reject, RejectsCsv};
use crate::runs::{Run, RunWriter};
use crate::schema::CODE;
use crate::shards::{self, Helpers, Index, Links, Spilled, StoreWriter, Written};
use crate::store::{Store, equation_broken, hex, is_store};
use crate::tables::{MOST_DATASETS, MOST_FILES, file_and_row, file_id};
use crate::typing::{IdTally, Typer};

/// Rows of one shard, unless told otherwise.
const SHARD_ROWS: u64 = 1_000_000;
const MOST_SHARDS: usize = 1024;
/// Files below this many rows are not judged by shares.
const JUDGED_ROWS: u64 = 1_000;
/// Fewer rejected rows than this never refuse a file by their share.
const FEW_ROWS: u64 = 10;
/// Above these shares, in tenths of a percent, a file is refused or a remark is made once.
const INVALID_LIMIT: u64 = 20;
const TAIL_LIMIT: u64 = 5;
/// Above this share it no longer matters whether the bad numbers differ: the column is destroyed.
const PLAIN_LIMIT: u64 = 200;
const UNKNOWN_AREA_LIMIT: u64 = 20;
/// Remarks on repeated keys that are listed for one dataset; all are counted.
const LISTED_DUPLICATES: usize = 1_000;
/// Numbers gathered before they are sorted and thinned out.
const CODES_AT_ONCE: usize = 1 << 21;

/// What a preparation made.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The manifest, as it stands in the store.
    pub manifest: Manifest,
    /// The quality report, as it stands in the store.
    pub quality: QualityReport,
    /// What did not stop it and should be known.
    pub warnings: Vec<Diagnostic>,
    /// Datasets that were taken over from the store that was there, unread.
    pub unchanged: BTreeSet<String>,
    /// Why nothing was taken over from the store that was there. `None`: something could be, or there was none.
    pub full_because: Option<Text>,
}

/// Makes a store of the extracts in a folder.
///
/// The store is written into a folder beside its final name, synced, checked and renamed; a store that is there
/// already is replaced as a whole, and what has not changed since is taken over from it. After an error or a
/// cancellation nothing is left.
///
/// # Errors
/// Everything that speaks against the extracts, the contracts or the target, as far as it was found.
pub fn prepare(options: &PrepareOptions, progress: &dyn Progress) -> Result<Prepared, Vec<Diagnostic>> {
    let threads = options.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| {
        vec![Diagnostic::error("MC645", format!("无法启动线程：{e}"), format!("cannot start threads: {e}"))]
    })?;
    pool.install(|| prepared(options, progress))
}

fn prepared(options: &PrepareOptions, progress: &dyn Progress) -> Result<Prepared, Vec<Diagnostic>> {
    check_contracts(&options.contracts)?;
    check_target(&options.store).map_err(one)?;
    check_apart(options).map_err(one)?;
    let discovery = discover::discover(options)?;
    let opened = open_all(&discovery, options, progress)?;
    let mut work = Work::begin(options, &discovery, opened, progress).map_err(one)?;
    let mut read = BTreeMap::new();
    work.first_pass(&mut read)?;
    let people = match work.grown_people(&read).map_err(one)? {
        Some(people) => people,
        None => {
            // What stayed so far is read as well.
            work.first_pass(&mut read)?;
            work.fresh_people(&mut read)
        }
    };
    if i32::try_from(people.index.len()).is_err() {
        return Err(one(too_many("人数超出上限", "more persons than a store can hold")));
    }
    let (manifest, quality) = work.second_pass(&read, people)?;
    let unchanged = work.earlier.as_ref().map(|e| e.kept().clone()).unwrap_or_default();
    let full_because = work.full_because.take();
    work.publish(&manifest, &quality)?;
    let warnings = quality.notes.clone();
    Ok(Prepared { manifest, quality, warnings, unchanged, full_because })
}

fn too_many(zh: &str, en: &str) -> Diagnostic {
    Diagnostic::error("MC645", zh, en)
}

fn one(fault: Diagnostic) -> Vec<Diagnostic> {
    vec![fault]
}

/// Opens every file; all that is wrong with any of them is said together.
fn open_all(
    discovery: &Discovery,
    options: &PrepareOptions,
    progress: &dyn Progress,
) -> Result<Vec<Opened>, Vec<Diagnostic>> {
    progress.begin(stage("检查文件", "checking the files"), Some(discovery.files.len() as u64));
    let results: Vec<_> = discovery
        .files
        .par_iter()
        .map(|found| {
            let contract = contract_of(&options.contracts, &found.dataset).map_err(one)?;
            let opened = read::open(found, contract, options.encoding.as_deref());
            progress.advance(1);
            opened
        })
        .collect();
    progress.end();
    let mut opened: Vec<Opened> = Vec::with_capacity(results.len());
    let mut faults = Vec::new();
    for result in results {
        match result {
            Ok(file) => {
                if let Some(twin) =
                    opened.iter().find(|o| o.found.dataset == file.found.dataset && o.sha256 == file.sha256)
                {
                    faults.push(same_content(&twin.found.name, &file.found.name));
                }
                opened.push(file);
            }
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(opened) } else { Err(faults) }
}

/// A preparation under way.
struct Work<'a> {
    options: &'a PrepareOptions,
    progress: &'a dyn Progress,
    dates: BTreeMap<String, Dates>,
    notes: Vec<Diagnostic>,
    /// In order of number.
    files: Vec<Opened>,
    /// The number of each file.
    ids: Vec<u32>,
    /// By delivered dataset.
    recipes: BTreeMap<String, String>,
    /// What the store that is there lends to this one.
    earlier: Option<Earlier>,
    full_because: Option<Text>,
    partial: TempDir,
}

/// What the first pass made of the files, by their place; those of datasets that stay are not there.
type Read = BTreeMap<usize, FileRead>;

/// What becomes of the datasets in the second pass.
struct Outcome {
    entries: BTreeMap<String, DatasetEntry>,
    rejects: StoreFile,
    rejects_csv: StoreFile,
    person_files: Vec<StoreFile>,
}

/// What the first pass made of one file.
struct FileRead {
    runs: Vec<Run>,
    rejects: Vec<Run>,
    remarks: Vec<Run>,
    /// Hashes of the rows, where they are compared with those of other files.
    hashes: Vec<Run>,
    tally: Tally,
    codes: Vec<u64>,
    notes: Vec<Diagnostic>,
}

/// What the first pass made of one part of a file.
struct UnitRead {
    run: Run,
    rejects: Run,
    remarks: Run,
    hashes: Option<Run>,
    tally: Tally,
    codes: Vec<u64>,
    notes: Vec<Diagnostic>,
}

impl<'a> Work<'a> {
    fn begin(
        options: &'a PrepareOptions,
        discovery: &Discovery,
        files: Vec<Opened>,
        progress: &'a dyn Progress,
    ) -> Result<Self, Diagnostic> {
        let parent = parent_of(&options.store);
        fs::create_dir_all(&parent).map_err(|e| fault::cannot_write(&parent, &e))?;
        let partial = private::temporary(&prefix(&options.store), &parent)
            .and_then(|partial| unfinished::mark(partial.path()).map(|()| partial))
            .map_err(|e| fault::cannot_write(&parent, &e))?;
        for folder in ["runs", "persons"] {
            let path = partial.path().join(folder);
            private::folders(&path).map_err(|e| fault::cannot_write(&path, &e))?;
        }
        let mut notes = discovery.notes.clone();
        notes.extend(files.iter().flat_map(|f| f.notes.clone()));
        notes.extend(files.iter().flat_map(near_misses));
        notes.extend(files.iter().flat_map(handlers_unread));
        let dates = dates_of(&files, discovery, options);
        let ids = numbered(&options.contracts, &files)?;
        let recipes = earlier::recipes(options, &files, &dates)?;
        let (earlier, full_because) = match Earlier::find(options, &recipes) {
            Ok(earlier) => (earlier, None),
            Err(why) => (None, Some(why)),
        };
        Ok(Self { options, progress, dates, notes, files, ids, recipes, earlier, full_because, partial })
    }

    /// Whether a dataset is taken over from the store that is there.
    fn keeps(&self, dataset: &str) -> bool {
        self.earlier.as_ref().is_some_and(|e| e.keeps(dataset))
    }

    /// Reads every file that is to be read and was not.
    fn first_pass(&self, read: &mut Read) -> Result<(), Vec<Diagnostic>> {
        let wanted: Vec<usize> = (0..self.files.len())
            .filter(|file| !read.contains_key(file) && !self.keeps(&self.files[*file].found.dataset))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let total: Option<u64> = wanted.iter().map(|file| self.files[*file].rows).sum();
        self.progress.begin(stage("读取数据", "reading the extracts"), total);
        let results: Vec<_> = wanted.into_par_iter().map(|file| (file, self.read_file(file))).collect();
        self.progress.end();
        let mut faults = Vec::new();
        for (file, result) in results {
            match result {
                Ok(done) => {
                    read.insert(file, done);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { self.compare_files(read) } else { Err(faults) }
    }

    /// Looks for rows that stand in two files of a dataset.
    fn compare_files(&self, read: &mut Read) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        for dataset in self.recipes.keys() {
            let several = |(file, read): (&usize, &FileRead)| {
                (self.files[*file].found.dataset == *dataset && !read.hashes.is_empty()).then_some(*file)
            };
            let files: Vec<usize> = read.iter().filter_map(several).collect();
            let rows = |file: &usize| {
                let (opened, done) = (&self.files[*file], read.get(file)?);
                let hashes = done.hashes.iter().collect();
                Some(FileRows { id: self.ids[*file], opened, stored: done.tally.stored, hashes })
            };
            let compared: Vec<FileRows<'_>> = files.iter().filter_map(rows).collect();
            let contract = contract_of(&self.options.contracts, dataset).map_err(one)?;
            let memory = self.options.memory_bytes;
            let said = overlap::compare(&compared, contract, memory, self.progress).map_err(one)?;
            for (id, fault) in said {
                let place = files.iter().find(|file| self.ids[**file] == id);
                match place.and_then(|file| read.get_mut(file)) {
                    Some(done) if fault.level != Level::Error => done.notes.push(fault),
                    _ => faults.push(fault),
                }
            }
            for file in &files {
                read.entry(*file).and_modify(|done| done.hashes.clear());
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn read_file(&self, file: usize) -> Result<FileRead, Diagnostic> {
        let mut read = self.judged_ids(file)?;
        let opened = &self.files[file];
        let lenient = self.options.accept_damaged_ids;
        if let Some(fault) = share_gate(&opened.found.name, &read.tally, lenient) {
            if fault.level == Level::Error {
                return Err(fault);
            }
            read.notes.push(fault);
        }
        let contract = contract_of(&self.options.contracts, &opened.found.dataset)?;
        read.notes.extend(dropped::remarks(contract, &opened.found.name, &read.tally, lenient)?);
        read.notes.extend(unknown_codes(contract, &opened.found.name, &read.tally));
        Ok(read)
    }

    /// Reads a file and judges its identity numbers as a whole.
    fn judged_ids(&self, file: usize) -> Result<FileRead, Diagnostic> {
        let read = self.read_units(file, false)?;
        let found = &self.files[file].found;
        if fs::metadata(&found.path).map_or(0, |m| m.len()) != self.files[file].bytes {
            return Err(changed_meanwhile(&found.name));
        }
        let suspicious = tails_suspicious(&read.tally.ids);
        if let Some(fault) = id_gate(&found.name, &read.tally.ids) {
            if !self.options.accept_damaged_ids {
                return Err(fault);
            }
            let mut read = if suspicious { self.read_units(file, true)? } else { read };
            read.notes.push(Diagnostic { level: Level::Warning, ..fault });
            return Ok(read);
        }
        Ok(read)
    }

    fn read_units(&self, file: usize, reject_tails: bool) -> Result<FileRead, Diagnostic> {
        let opened = &self.files[file];
        let contract = contract_of(&self.options.contracts, &opened.found.dataset)?;
        // Nobody is born after the extract; of a dataset in several files each file has its own day.
        let as_of = opened
            .found
            .mapping
            .as_of
            .or(opened.dates.as_of)
            .or_else(|| self.dates.get(&contract.name).and_then(|d| d.as_of));
        let typer = Typer::new(contract, as_of, reject_tails);
        let units: Result<Vec<UnitRead>, Diagnostic> = opened
            .units
            .par_iter()
            .enumerate()
            .map(|(number, unit)| self.read_unit(file, number, unit, &typer))
            .collect();
        let mut out = FileRead {
            runs: Vec::new(),
            rejects: Vec::new(),
            remarks: Vec::new(),
            hashes: Vec::new(),
            tally: Tally::default(),
            codes: Vec::new(),
            notes: Vec::new(),
        };
        for unit in units? {
            out.tally.add(&unit.tally);
            out.runs.push(unit.run);
            out.rejects.push(unit.rejects);
            out.remarks.push(unit.remarks);
            out.hashes.extend(unit.hashes);
            out.notes.extend(unit.notes);
            out.codes.extend(unit.codes);
        }
        thin_out(&mut out.codes);
        settle_remarks(&mut out, &opened.found);
        if out.tally.rows != out.tally.stored + out.tally.rejected {
            return Err(equation_broken(&contract.name).in_file(&opened.found.name));
        }
        Ok(out)
    }

    fn read_unit(
        &self,
        file: usize,
        number: usize,
        unit: &Unit,
        typer: &Typer,
    ) -> Result<UnitRead, Diagnostic> {
        let opened = &self.files[file];
        let dataset = opened.found.dataset.as_str();
        let id = self.ids[file];
        let place = |kind: &str| self.partial.path().join("runs").join(format!("{id:05}-{number:05}.{kind}"));
        let mut run = RunWriter::create(place("rows"), typer.schema())?;
        let mut rejected = RunWriter::create(place("rejects"), &rejects::schema())?;
        let mut remarks = RunWriter::create(place("remarks"), &rejects::schema())?;
        let contract = contract_of(&self.options.contracts, dataset)?;
        let mut hashes = Hashes::begin(place("hashes"), contract, opened, &self.files)?;
        let mut tally = Tally::default();
        let mut codes = Codes::default();
        let notes = read::read(opened, unit, &mut |raw| {
            if self.progress.cancelled() {
                return Err(fault::cancelled());
            }
            let typed = typer.type_batch(&raw, id).map_err(|e| {
                fault::cannot_read(&opened.found.name, ("可入库的列", "columns that can be stored"), &e)
            })?;
            tally.rows += typed.rows;
            tally.stored += typed.batch.num_rows() as u64;
            tally.rejected += typed.rejected;
            tally.blank += typed.blank;
            tally.ids.add(typed.ids);
            tally.see(&typed.batch);
            tally.blame(&typed.rejects, &opened.found.name);
            tally.notes.add(&typed.notes);
            codes.see(&typed.batch);
            if let Some(hashes) = &mut hashes {
                hashes.see(&typed.batch)?;
            }
            run.write(&typed.batch)?;
            write_rejects(&mut rejected, dataset, &typed.rejects, &opened.found)?;
            write_rejects(&mut remarks, dataset, &typed.area_remarks, &opened.found)?;
            self.progress.advance(raw.rows as u64);
            Ok(())
        })?;
        if id_column_is_numeric(&tally.ids) && !self.options.accept_damaged_ids {
            return Err(ids_stored_as_numbers(&opened.found.name));
        }
        Ok(UnitRead {
            run: run.finish()?,
            rejects: rejected.finish()?,
            remarks: remarks.finish()?,
            hashes: hashes.map(Hashes::finish).transpose()?,
            tally,
            codes: codes.finish(),
            notes,
        })
    }

    /// The persons of the store that is there, and those that are new. `None`: they are to be numbered anew, and
    /// nothing of that store can stay.
    fn grown_people(&mut self, read: &Read) -> Result<Option<People>, Diagnostic> {
        let Some(earlier) = &self.earlier else { return Ok(None) };
        let met: Vec<&[u64]> = read.values().map(|r| r.codes.as_slice()).collect();
        let grown = earlier.grow(&self.options.contracts, &met, MOST_SHARDS)?;
        let why = match grown {
            Err(why) => why,
            // Shards that were cut for less would no longer fit into memory.
            Ok(people)
                if self.options.shards.is_none() && self.shard_count(read) * 2 > people.ranges.len() * 3 =>
            {
                stage(
                    "数据比分片时多了一半以上，全部重新读取",
                    "the data has outgrown its shards; everything was read again",
                )
            }
            Ok(people) => return Ok(Some(people)),
        };
        self.earlier = None;
        self.full_because = Some(why);
        Ok(None)
    }

    /// All persons, numbered in order of their identity numbers.
    fn fresh_people(&self, read: &mut Read) -> People {
        let mut codes = Vec::new();
        for file in read.values_mut() {
            codes.append(&mut file.codes);
        }
        let index = Index::new(codes);
        let shards = self.shard_count(read);
        let (persons, rows) = (index.len() as u64, self.sizes(read).map(|s| s.0).sum::<u64>());
        let shard_persons = if shards == 1 && self.options.shards.is_none() {
            // One that is not full may grow until it is.
            persons.saturating_mul(SHARD_ROWS) / rows.max(1)
        } else {
            persons.div_ceil(shards as u64)
        };
        People { ranges: index.ranges(shards), index, runs: vec![0], shard_persons }
    }

    /// Splits and writes everything that does not stay.
    fn second_pass(&self, read: &Read, people: People) -> Result<(Manifest, QualityReport), Vec<Diagnostic>> {
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for (file, read) in read {
            tallies.entry(&self.files[*file].found.dataset).or_default().add(&read.tally);
        }
        let delivered: Vec<&Contract> =
            self.contracts().into_iter().filter(|c| self.recipes.contains_key(&c.name)).collect();
        let spilled: Vec<Spilled<'_>> = delivered
            .iter()
            .filter(|c| !self.keeps(&c.name))
            .map(|contract| Spilled { contract, runs: self.runs_of(&contract.name, read) })
            .collect();
        let (kept_rejects, late) = match &self.earlier {
            Some(earlier) => earlier.rejects(&self.partial.path().join("runs")).map_err(one)?,
            None => Default::default(),
        };
        let mut remarks = Vec::new();
        let mut entries = BTreeMap::new();
        let total = spilled.iter().map(Spilled::rows).sum();
        self.progress.begin(stage("写入数据仓", "writing the store"), Some(total));
        for contract in &delivered {
            if self.progress.cancelled() {
                return Err(one(fault::cancelled()));
            }
            let name = contract.name.as_str();
            let entry = match spilled.iter().find(|s| s.contract.name == name) {
                Some(dataset) => {
                    let (done, contradictions) = self.write_one(dataset, &spilled, &people).map_err(one)?;
                    remarks.extend(contradictions);
                    remarks.extend(self.duplicate_remarks(contract, &done.duplicates));
                    let tally = tallies.entry(name).or_default();
                    tally.count(DUPLICATE_KEY, done.duplicates.len() as u64);
                    self.entry(name, tally, dataset.weight(), done)
                }
                None => {
                    remarks.extend(self.kept_remarks(contract, &late));
                    self.kept_entry(contract, people.ranges.len()).map_err(one)?
                }
            };
            entries.insert(name.to_owned(), entry);
        }
        let person_files = self.write_persons(&people).map_err(one)?;
        let (rejects, rejects_csv) =
            self.write_rejects(&delivered, read, &kept_rejects, &remarks).map_err(one)?;
        self.progress.end();
        for (dataset, remark) in &remarks {
            if let Some(entry) = entries.get_mut(dataset)
                && remark.reason == AMBIGUOUS_LINK
            {
                *entry.reasons.entry(AMBIGUOUS_LINK.to_owned()).or_default() += 1;
            }
        }
        for (name, entry) in &entries {
            if entry.rows_in != entry.rows_stored + entry.rows_rejected
                || stored_rows(entry) != entry.rows_stored
            {
                return Err(one(equation_broken(name)));
            }
        }
        let quality = self.quality(read, &tallies, &entries);
        let outcome = Outcome { entries, rejects, rejects_csv, person_files };
        let mut manifest = self.manifest(read, people, outcome)?;
        if let Some(earlier) = &self.earlier {
            manifest.changes = changes::since(earlier, &manifest, self.partial.path()).map_err(one)?;
        }
        Ok((manifest, quality))
    }

    /// In order of name.
    fn contracts(&self) -> Vec<&Contract> {
        let mut out: Vec<&Contract> = self.options.contracts.iter().collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    fn runs_of(&self, dataset: &str, read: &Read) -> Vec<Run> {
        let mine = read.iter().filter(|(file, _)| self.files[**file].found.dataset == dataset);
        mine.flat_map(|(_, r)| r.runs.clone()).collect()
    }

    /// Rows and weight of every delivered person dataset.
    fn sizes(&self, read: &Read) -> impl Iterator<Item = (u64, u64)> {
        let of = |contract: &Contract| match self.earlier.as_ref().and_then(|e| e.entry(&contract.name)) {
            Some(entry) => (entry.rows_stored, entry.weight),
            None => {
                let spilled = Spilled { contract, runs: self.runs_of(&contract.name, read) };
                (spilled.rows(), spilled.weight())
            }
        };
        let persons = self.options.contracts.iter().filter(|c| c.person.is_some());
        persons.map(of).collect::<Vec<_>>().into_iter()
    }

    /// What is said of the rows of a dataset that stays; of whose persons, likewise.
    fn kept_remarks(&self, contract: &Contract, late: &LateRemarks) -> Vec<(String, Reject)> {
        let mut out = Vec::new();
        if let Some(PersonKey::Via(via)) = &contract.person
            && self.recipes.contains_key(&via.dataset)
        {
            let rows = late.contradictions(&via.dataset, &via.on);
            out.extend(
                rows.into_iter().map(|src| (via.dataset.clone(), remark(src, &via.on, AMBIGUOUS_LINK))),
            );
        }
        out.extend(self.duplicate_remarks(contract, late.duplicates(&contract.name)));
        out
    }

    fn kept_entry(&self, contract: &Contract, shards: usize) -> Result<DatasetEntry, Diagnostic> {
        let Some((earlier, entry)) = self.earlier.as_ref().and_then(|e| Some((e, e.entry(&contract.name)?)))
        else {
            return Err(equation_broken(&contract.name));
        };
        let Written { files, unassigned, .. } =
            earlier.carry_dataset(self.partial.path(), contract, shards)?;
        let mut entry = DatasetEntry { files, unassigned, ..entry.clone() };
        // Counted anew: another dataset may have come or gone that finds its persons here.
        entry.reasons.remove(AMBIGUOUS_LINK);
        Ok(entry)
    }

    /// One shard for each million rows; more where one would not fit into the memory granted.
    fn shard_count(&self, read: &Read) -> usize {
        if let Some(asked) = self.options.shards {
            return asked.clamp(1, MOST_SHARDS);
        }
        let (rows, heaviest) =
            self.sizes(read).fold((0, 0), |(rows, heaviest), (n, weight)| (rows + n, weight.max(heaviest)));
        let needed = rows.div_ceil(SHARD_ROWS).max(heaviest.div_ceil((self.options.memory_bytes / 2).max(1)));
        usize::try_from(needed).unwrap_or(MOST_SHARDS).clamp(1, MOST_SHARDS)
    }

    /// Writes one dataset; also gives the remarks on rows of the dataset that its persons are known from.
    fn write_one(
        &self,
        dataset: &Spilled<'_>,
        all: &[Spilled<'_>],
        people: &People,
    ) -> Result<(Written, Vec<(String, Reject)>), Diagnostic> {
        let mut remarks = Vec::new();
        let mut known: Option<Links> = None;
        if let Some(PersonKey::Via(via)) = &dataset.contract.person
            && self.recipes.contains_key(&via.dataset)
        {
            let source = all.iter().find(|s| s.contract.name == via.dataset);
            let (links, contradicting) = match (source, &self.earlier) {
                (Some(source), _) => shards::links(source, &via.on)?,
                (None, Some(earlier)) => earlier.links(&via.dataset, &via.on, &people.index)?,
                (None, None) => Default::default(),
            };
            known = Some(links);
            remarks = contradicting
                .into_iter()
                .map(|src| (via.dataset.clone(), remark(src, &via.on, AMBIGUOUS_LINK)))
                .collect();
        }
        let newest = shards::newest(dataset)?;
        let helpers = Helpers { index: &people.index, links: known.as_ref(), newest: newest.as_ref() };
        let budget = self.options.memory_bytes;
        let (root, ranges) = (self.partial.path(), &people.ranges);
        let written = shards::write_dataset(root, dataset, &helpers, ranges, budget, self.progress)?;
        Ok((written, remarks))
    }

    fn duplicate_remarks(&self, contract: &Contract, duplicates: &[i64]) -> Vec<(String, Reject)> {
        let key = contract.key.join("+");
        duplicates
            .iter()
            .take(LISTED_DUPLICATES)
            .map(|src| (contract.name.clone(), remark(*src, &key, DUPLICATE_KEY)))
            .collect()
    }

    fn write_persons(&self, people: &People) -> Result<Vec<StoreFile>, Diagnostic> {
        let root = self.partial.path();
        people
            .ranges
            .par_iter()
            .enumerate()
            .map(|(shard, range)| {
                if let Some(earlier) = &self.earlier
                    && let Some(file) = earlier.carry_persons(root, shard, range)?
                {
                    return Ok(file);
                }
                let name = format!("persons/{shard:04}.parquet");
                let batch =
                    people.index.persons(range).map_err(|e| fault::cannot_write(Path::new(&name), &e))?;
                let mut out = StoreWriter::create(root, &name, &batch.schema())?;
                out.write(&batch)?;
                out.finish()
            })
            .collect()
    }

    /// All entries, in order of file; then the remarks that only the second pass could make.
    fn write_rejects(
        &self,
        delivered: &[&Contract],
        read: &Read,
        kept: &BTreeMap<String, Run>,
        remarks: &[(String, Reject)],
    ) -> Result<(StoreFile, StoreFile), Diagnostic> {
        let mut table = StoreWriter::create(self.partial.path(), "rejects.parquet", &rejects::schema())?;
        let mut sheet = RejectsCsv::create(self.partial.path())?;
        let mut write =
            |batch: &arrow::array::RecordBatch| table.write(batch).and_then(|()| sheet.write(batch));
        for contract in delivered {
            let mine = read.iter().filter(|(file, _)| self.files[**file].found.dataset == contract.name);
            let runs =
                mine.flat_map(|(_, r)| r.rejects.iter().chain(&r.remarks)).chain(kept.get(&contract.name));
            for run in runs {
                run.each(None, |batch| write(&batch))?;
            }
        }
        for (dataset, remark) in remarks {
            let place = self.ids.binary_search(&file_and_row(remark.src).0);
            let name = place.map_or("", |file| self.files[file].found.name.as_str());
            let batch = rejects::to_batch(dataset, name, std::slice::from_ref(remark))
                .map_err(|e| fault::cannot_write(self.partial.path(), &e))?;
            write(&batch)?;
        }
        Ok((table.finish()?, sheet.finish()?))
    }

    fn entry(&self, name: &str, tally: &Tally, weight: u64, done: Written) -> DatasetEntry {
        let dates = self.dates.get(name).copied().unwrap_or_default();
        DatasetEntry {
            recipe: self.recipes.get(name).cloned().unwrap_or_default(),
            weight,
            rows_in: tally.rows,
            rows_stored: tally.stored,
            rows_rejected: tally.rejected,
            rows_unassigned: done.unassigned.as_ref().map_or(0, |f| f.rows),
            reasons: tally.reasons.clone(),
            as_of: dates.as_of,
            covers_from: dates.covers_from,
            covers_to: dates.covers_to,
            files: done.files,
            unassigned: done.unassigned,
        }
    }

    /// What is to be said of each file: as it was read now, or as it was read for the store that is there.
    fn input_files(&self, read: &Read) -> Vec<InputFile> {
        let told = |place: usize| match read.get(&place) {
            Some(done) => Some(input_file(self.ids[place], &self.files[place], done)),
            None => self.earlier.as_ref().and_then(|e| e.file(self.ids[place])).cloned(),
        };
        (0..self.files.len()).filter_map(told).collect()
    }

    fn manifest(&self, read: &Read, people: People, outcome: Outcome) -> Result<Manifest, Vec<Diagnostic>> {
        let mut contracts = Vec::with_capacity(self.options.contracts.len());
        let mut contract_hashes = BTreeMap::new();
        for contract in self.contracts() {
            let value = serde_json::to_value(contract)
                .map_err(|e| one(fault::bad_contract(&contract.name, &e.to_string(), &e.to_string())))?;
            // The fields of a struct have one order; those of a JSON value may have another in another build.
            let text = serde_json::to_string(contract).unwrap_or_default();
            contract_hashes.insert(contract.name.clone(), hex(&Sha256::digest(text.as_bytes())));
            contracts.push(value);
        }
        Ok(Manifest {
            format: STORE_FORMAT.to_owned(),
            version: STORE_VERSION,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            build: BUILD.to_owned(),
            persons: people.index.len() as u64,
            person_runs: people.runs,
            shard_persons: people.shard_persons,
            shards_asked: self.options.shards,
            contracts,
            contract_hashes,
            files: self.input_files(read),
            datasets: outcome.entries,
            shards: people.ranges,
            person_files: outcome.person_files,
            rejects: outcome.rejects,
            rejects_csv: outcome.rejects_csv,
            changes: Vec::new(),
        })
    }

    fn quality(
        &self,
        read: &Read,
        tallies: &BTreeMap<&str, Tally>,
        entries: &BTreeMap<String, DatasetEntry>,
    ) -> QualityReport {
        let mut notes = self.notes.clone();
        notes.extend(self.input_files(read).into_iter().flat_map(|f| f.notes));
        let mut out = QualityReport { datasets: Vec::new(), not_delivered: Vec::new(), notes };
        for contract in self.contracts() {
            let name = contract.name.as_str();
            let kept = self.earlier.as_ref().and_then(|e| e.quality(name));
            match (entries.get(name), tallies.get(name), kept) {
                (Some(entry), Some(tally), _) => {
                    out.datasets.push(self.dataset_quality(contract, tally, entry, read))
                }
                (Some(entry), None, Some(kept)) => {
                    let kept = kept.clone().taken_over();
                    out.datasets.push(DatasetQuality { reasons: entry.reasons.clone(), ..kept })
                }
                _ => out.not_delivered.push(name.to_owned()),
            }
        }
        out
    }

    fn dataset_quality(
        &self,
        contract: &Contract,
        tally: &Tally,
        entry: &DatasetEntry,
        read: &Read,
    ) -> DatasetQuality {
        let id = contract.id_field().map(|f| f.name.as_str());
        let files = read.iter().map(|(file, read)| (&self.files[*file], read));
        let files = files.filter(|(f, _)| f.found.dataset == contract.name);
        DatasetQuality {
            dataset: contract.name.clone(),
            title: contract.title.clone(),
            files: files.map(|(file, read)| file_quality(file, read)).collect(),
            rows_in: tally.rows,
            rows_stored: tally.stored,
            rows_rejected: tally.rejected,
            rows_blank: tally.blank,
            rows_unassigned: entry.rows_unassigned,
            reasons: entry.reasons.clone(),
            rejected_places: tally.places.clone(),
            ids_given: tally.ids.given,
            ids_invalid: tally.ids.invalid,
            ids_ending_000: tally.ids.tails,
            as_of: entry.as_of,
            fields: contract
                .fields
                .iter()
                .map(|f| tally.field(&f.name, if id == Some(f.name.as_str()) { CODE } else { &f.name }))
                .collect(),
        }
    }

    /// Writes the manifest last, checks the whole, and gives the folder its name.
    fn publish(self, manifest: &Manifest, quality: &QualityReport) -> Result<(), Vec<Diagnostic>> {
        let root = self.partial.path();
        let runs = root.join("runs");
        fs::remove_dir_all(&runs).map_err(|e| one(fault::cannot_write(&runs, &e)))?;
        let text = record::quality_text(quality);
        write_synced(&root.join("quality.txt"), text.as_bytes()).map_err(one)?;
        write_json(&root.join("quality.json"), quality).map_err(one)?;
        write_json(&root.join("manifest.json"), manifest).map_err(one)?;
        let mut faults = Store::open(root).map_err(one)?.verify();
        if !faults.is_empty() {
            if self.earlier.is_some() {
                faults = faults.into_iter().map(earlier::whole_again).collect();
            }
            return Err(faults);
        }
        for folder in
            fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir())
        {
            sync_folder(&folder);
        }
        sync_folder(root);
        let target = &self.options.store;
        // A store that appeared meanwhile is still only replaced when it is one.
        check_target(target).map_err(one)?;
        put_in_place(self.partial, target).map_err(one)?;
        unfinished::finish(target).map_err(|e| one(fault::cannot_write(target, &e)))
    }
}

/// How the folder of `store` in the making begins.
fn prefix(store: &Path) -> String {
    let name = store.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{name}.partial-")
}

/// Takes away what killed preparations of `store` had begun to write: it names people. Only for who knows that no other
/// preparation of it is going on. Gives what has such a name and not the mark: that is left alone.
///
/// # Errors
/// Where the disk refuses.
pub fn sweep(store: &Path) -> std::io::Result<Vec<PathBuf>> {
    unfinished::sweep_named(&parent_of(store), &prefix(store))
}

/// Moves the finished folder to its name; what was there goes only after that.
fn put_in_place(partial: TempDir, target: &Path) -> Result<(), Diagnostic> {
    let failed = |e: std::io::Error| fault::cannot_write(target, &e);
    let parent = parent_of(target);
    let mut old: Option<TempDir> = None;
    if target.exists() {
        let aside = private::temporary(".mingcha-old-", &parent).map_err(failed)?;
        fs::rename(target, aside.path().join("store")).map_err(failed)?;
        old = Some(aside);
    }
    if let Err(e) = fs::rename(partial.path(), target) {
        if let Some(aside) = old
            && fs::rename(aside.path().join("store"), target).is_err()
        {
            // The earlier store must survive its own replacement.
            let kept = aside.keep().join("store");
            return Err(failed(e).with_help(
                format!("原有的数据仓保留在 {}", kept.display()),
                format!("the earlier store is kept at {}", kept.display()),
            ));
        }
        return Err(failed(e));
    }
    // The folder has another name now; its guard must not look for it.
    let _ = partial.keep();
    sync_folder(&parent);
    Ok(())
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Diagnostic> {
    let text = serde_json::to_string_pretty(value).map_err(|e| fault::cannot_write(path, &e))?;
    write_synced(path, text.as_bytes())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let failed = |e: std::io::Error| fault::cannot_write(path, &e);
    let mut file = private::file(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Not every file system can sync a folder; where it cannot, the rename is all there is.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

fn stage(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

/// The numbers of the files, which are in order of dataset and name.
fn numbered(contracts: &[Contract], files: &[Opened]) -> Result<Vec<u32>, Diagnostic> {
    let mut names: Vec<&str> = contracts.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    if names.len() > MOST_DATASETS {
        let n = MOST_DATASETS;
        return Err(too_many(&format!("数据约定多于 {n} 个"), &format!("more than {n} contracts")));
    }
    let mut out = Vec::with_capacity(files.len());
    let mut last: (&str, usize) = ("", 0);
    for file in files {
        let dataset = file.found.dataset.as_str();
        last = (dataset, if last.0 == dataset { last.1 + 1 } else { 1 });
        if last.1 > MOST_FILES {
            let n = MOST_FILES;
            let fault = too_many(
                &format!("一个数据集的文件多于 {n} 个"),
                &format!("more than {n} files of one dataset"),
            );
            return Err(fault.in_file(dataset).with_help("合并文件", "put files together"));
        }
        let place = names.binary_search(&dataset).unwrap_or_default();
        out.push(file_id(place, last.1));
    }
    Ok(out)
}

fn contract_of<'a>(contracts: &'a [Contract], name: &str) -> Result<&'a Contract, Diagnostic> {
    contracts
        .iter()
        .find(|c| c.name == name)
        .ok_or_else(|| fault::bad_contract(name, "没有约定", "there is none"))
}

/// Numbers met in one part of a file, thinned out as they come.
#[derive(Default)]
struct Codes {
    all: Vec<u64>,
    thinned: usize,
}

impl Codes {
    fn see(&mut self, batch: &arrow::array::RecordBatch) {
        use arrow::array::AsArray;
        let Some(codes) = batch.column_by_name(CODE) else { return };
        for code in codes.as_primitive::<arrow::datatypes::UInt64Type>().iter().flatten() {
            if self.all.last() != Some(&code) {
                self.all.push(code);
            }
        }
        if self.all.len() > CODES_AT_ONCE.max(self.thinned * 2) {
            thin_out(&mut self.all);
            self.thinned = self.all.len();
        }
    }

    fn finish(mut self) -> Vec<u64> {
        thin_out(&mut self.all);
        self.all
    }
}

fn thin_out(codes: &mut Vec<u64>) {
    codes.sort_unstable();
    codes.dedup();
}

fn write_rejects(
    run: &mut RunWriter,
    dataset: &str,
    entries: &[Reject],
    found: &Found,
) -> Result<(), Diagnostic> {
    if entries.is_empty() {
        return Ok(());
    }
    let batch = rejects::to_batch(dataset, &found.name, entries)
        .map_err(|e| fault::cannot_read(&found.name, ("可入库的列", "columns that can be stored"), &e))?;
    run.write(&batch)
}

fn remark(src: i64, field: &str, reason: &'static str) -> Reject {
    Reject {
        src,
        field: Some(field.to_owned()),
        reason,
        outcome: KEPT,
        value: None,
        id_number: None,
        name: None,
        area_code: None,
        handlers: None,
    }
}

/// Whether `part` is more than `limit` tenths of a percent of `whole`, in a file large enough to judge.
fn above(part: u64, whole: u64, limit: u64) -> bool {
    whole >= JUDGED_ROWS && part.saturating_mul(1_000) > whole.saturating_mul(limit)
}

/// Many counties outside the list speak against the list: one note for the file instead of one for each row.
fn settle_remarks(read: &mut FileRead, found: &Found) {
    let unknown: u64 = read.remarks.iter().map(|r| r.rows).sum();
    if above(unknown, read.tally.ids.given, UNKNOWN_AREA_LIMIT) {
        read.remarks.clear();
        read.notes.push(
            Diagnostic::warning(
                "MC643",
                format!("有 {unknown} 个号码的县级区划不在历史代码表中，应是代码表不全，不逐行备注"),
                format!("{unknown} numbers have a county outside the historical list; the list is in doubt, so the rows are not remarked one by one"),
            )
            .in_file(&found.name),
        );
    } else {
        read.tally.count("id_area_unknown", unknown);
    }
}

/// Whether so many different numbers end in 000 that a spreadsheet has probably cut them.
fn tails_suspicious(ids: &IdTally) -> bool {
    above(ids.tails, ids.given, TAIL_LIMIT) && ids.tail_kinds.is_reached()
}

fn id_gate(file: &str, ids: &IdTally) -> Option<Diagnostic> {
    let percent = |n: u64| n as f64 * 100.0 / ids.given.max(1) as f64;
    let help = (
        "请发送方把证件号码列按文本重新导出；确认无误后可加 --accept-damaged-ids 逐行退回",
        "have the column exported again as text; `--accept-damaged-ids` takes the file and rejects such rows one by one",
    );
    if above(ids.invalid, ids.given, INVALID_LIMIT)
        && (ids.invalid_kinds.is_reached() || above(ids.invalid, ids.given, PLAIN_LIMIT))
    {
        let share = percent(ids.invalid);
        return Some(
            Diagnostic::error(
                "MC640",
                format!("无效证件号码应不超过 2 %，实际为 {share:.1} %"),
                format!("wanted at most 2 % invalid identity numbers, got {share:.1} %"),
            )
            .in_file(file)
            .with_help(help.0, help.1),
        );
    }
    if tails_suspicious(ids) {
        let share = percent(ids.tails);
        return Some(
            Diagnostic::error(
                "MC641",
                format!("末三位为 000 的证件号码应不超过 0.5 %，实际为 {share:.1} %：号码可能被电子表格截成了 15 位"),
                format!("wanted at most 0.5 % of the identity numbers to end in 000, got {share:.1} %: a spreadsheet has probably cut them to 15 digits"),
            )
            .in_file(file)
            .with_help(help.0, help.1),
        );
    }
    None
}

/// Many rejected rows speak against the file, whatever its length: it is refused, or at least remarked.
/// `lenient`: rows that are rejected for their identity number alone do not refuse it.
fn share_gate(file: &str, tally: &Tally, lenient: bool) -> Option<Diagnostic> {
    let counted = if lenient { tally.rejected_otherwise } else { tally.rejected };
    let refused = counted >= FEW_ROWS && counted * 2 > tally.rows;
    if !refused && tally.rejected.saturating_mul(10) <= tally.rows {
        return None;
    }
    let (reason, field, blame) = tally.commonest(refused && lenient)?;
    let (means_zh, means_en) = mingcha_rules::reject::meaning(reason).unwrap_or((reason, reason));
    let share = tally.rejected as f64 * 100.0 / tally.rows.max(1) as f64;
    let (n, row) = (blame.count, blame.row);
    let (wanted_zh, wanted_en) = if refused {
        ("退回的行应不超过一半", "wanted at most half of the rows rejected")
    } else {
        ("退回的行超过 10 %", "more than 10 % of the rows are rejected")
    };
    let zh = format!(
        "{wanted_zh}，实际为 {share:.1} %；最多的原因是 {reason}（{means_zh}），{n} 处，如第 {row} 行"
    );
    let en = format!(
        "{wanted_en}, got {share:.1} %; mostly {reason} ({means_en}), {n} times, as in data row {row}"
    );
    let out = if refused { Diagnostic::error("MC638", zh, en) } else { Diagnostic::warning("MC638", zh, en) };
    let out = match field {
        Some(field) => out.in_file(file).at_column(field),
        None => out.in_file(file),
    };
    Some(if refused {
        out.with_help(
            "打开文件核对该列和该行：改正后请发送方重新导出；列名对错了则改列名，或在 mingcha.toml 中写映射",
            "look at that column and row: have it mended and exported again; where the heading is on the wrong column, rename it or say it in mingcha.toml",
        )
    } else {
        out.with_help("逐行原因见数据仓中的 rejects.csv", "rejects.csv in the store says why, row by row")
    })
}

/// Open code fields whose values mostly are not in their table.
fn unknown_codes(contract: &Contract, file: &str, tally: &Tally) -> Vec<Diagnostic> {
    let strange = |name: &str| {
        let note = tally.notes.of(name)?;
        (note.unknown * 5 > note.values).then_some(note)
    };
    let open = contract.fields.iter().filter(|f| f.ty == FieldType::Code && f.open_codes);
    open.filter_map(|field| {
        let note = strange(&field.name)?;
        let share = note.unknown as f64 * 100.0 / note.values.max(1) as f64;
        let listed = note.listed().iter().map(|(code, n)| format!("{code} ({n})")).collect::<Vec<_>>().join(", ");
        Some(
            Diagnostic::warning(
                "MC634",
                format!("不在代码表中的值占 {share:.1} %：{listed}"),
                format!("{share:.1} % of the values are not in the code table: {listed}"),
            )
            .in_file(file)
            .at_column(&field.name)
            .with_help(
                "这些值原样保留，但规则不认识；在约定的 codes 中写明它们的含义或别名",
                "they are kept as they are, but rules do not know them; say what they mean in the contract's codes",
            ),
        )
    })
    .collect()
}

fn id_column_is_numeric(ids: &IdTally) -> bool {
    ids.numeric * 2 > ids.given
}

fn ids_stored_as_numbers(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC642",
        "证件号码应为文本，实际过半存为数字；18 位号码存成数字会丢失末三位",
        "wanted the identity numbers as text, got more than half of them as numbers: a spreadsheet keeps only 15 digits",
    )
    .in_file(file)
    .with_help(
        "从源系统重新导出：先把该列设为文本格式再粘贴或导出；在现有文件里改格式找不回丢失的数字",
        "export from the source again with the column set to text first; formatting this file cannot bring the digits back",
    )
}

fn changed_meanwhile(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC628",
        "文件应保持不变，实际在读取过程中变了",
        "wanted a file that stays as it is, got one that changed while it was read",
    )
    .in_file(file)
    .with_help("等传输完成后再运行", "wait until the transfer is finished and start again")
}

fn same_content(first: &str, second: &str) -> Diagnostic {
    Diagnostic::error(
        "MC607",
        format!("同一数据集的文件应各不相同，实际与 {first} 内容完全一样"),
        format!("wanted files of one dataset to differ, got the same content as {first}"),
    )
    .in_file(second)
    .with_help("删除重复的一个，否则每一行都会算两次", "delete one of them: every row would count twice")
}

/// Columns that no field claims but that come near to one.
fn near_misses(file: &Opened) -> Vec<Diagnostic> {
    let note = |heading: &str, near: &str| {
        Diagnostic::warning(
            "MC633",
            format!("列「{heading}」未使用，与缺少的列「{near}」相近"),
            format!("the column `{heading}` is not used; it comes near to the missing column `{near}`"),
        )
        .in_file(&file.found.name)
        .at_column(heading)
        .with_help(
            format!("如果就是 {near}，改列名，或在约定的 aliases 中加上它"),
            format!("if it is {near}, rename it, or add it to the aliases of the contract"),
        )
    };
    file.matched.ignored.iter().filter_map(|(h, near)| near.as_ref().map(|n| note(h, n))).collect()
}

/// Columns that name somebody who handled a row and that no field claims: nobody would be kept from judging by them.
fn handlers_unread(file: &Opened) -> Vec<Diagnostic> {
    let note = |heading: &str| {
        Diagnostic::warning(
            "MC672",
            format!("经办、审核等人员的列应写入约定，实际列「{heading}」未使用：该列所列的人也能核查与自己经手的业务有关的线索"),
            format!("wanted columns that name who handled a row in the contract, got `{heading}`, which is not used: those whom it names may judge leads about what they handled themselves"),
        )
        .in_file(&file.found.name)
        .at_column(heading)
        .with_help(
            format!("在数据约定 {} 中加一个字段（如 operator、reviewer、approver），把「{heading}」写入其 aliases，再重新运行 prepare", file.found.dataset),
            format!("add a field (`operator`, `reviewer`, `approver`) with the alias `{heading}` to the contract {}, and prepare again", file.found.dataset),
        )
    };
    let headings = file.matched.ignored.iter().map(|(heading, _)| heading.as_str());
    headings.filter(|heading| heads_handler(heading)).map(note).collect()
}

/// The days of each dataset: what a mapping says, else the delivery note, else the files, else the options.
fn dates_of(files: &[Opened], discovery: &Discovery, options: &PrepareOptions) -> BTreeMap<String, Dates> {
    let mut out: BTreeMap<String, Dates> = BTreeMap::new();
    for file in files {
        let noted = discovery.dates.get(&file.found.dataset).copied().unwrap_or_default();
        let as_of = file.found.mapping.as_of.or(noted.as_of).or(file.dates.as_of).or(options.as_of);
        let dates = out.entry(file.found.dataset.clone()).or_default();
        dates.as_of = earlier(dates.as_of, as_of);
        dates.covers_from = earlier(dates.covers_from, noted.covers_from.or(file.dates.covers_from));
        dates.covers_to = dates.covers_to.max(noted.covers_to.or(file.dates.covers_to));
    }
    out
}

fn earlier(a: Option<NaiveDate>, b: Option<NaiveDate>) -> Option<NaiveDate> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn input_file(id: u32, file: &Opened, read: &FileRead) -> InputFile {
    InputFile {
        id,
        dataset: file.found.dataset.clone(),
        path: file.found.name.clone(),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
        format: file.how.format().to_owned(),
        encoding: encoding_of(file),
        sheet: match &file.how {
            How::Sheet(facts) => Some(facts.sheet.clone()),
            _ => None,
        },
        rows: read.tally.rows,
        rows_stored: read.tally.stored,
        rows_rejected: read.tally.rejected,
        rows_blank: read.tally.blank,
        missing_columns: file.matched.missing.clone(),
        notes: read.notes.clone(),
        as_of: file.dates.as_of,
        covers_from: file.dates.covers_from,
        covers_to: file.dates.covers_to,
    }
}

fn encoding_of(file: &Opened) -> Option<String> {
    match &file.how {
        How::Text(facts) => Some(facts.encoding.name().to_lowercase()),
        _ => None,
    }
}

fn file_quality(file: &Opened, read: &FileRead) -> FileQuality {
    FileQuality {
        path: file.found.name.clone(),
        format: file.how.format().to_owned(),
        encoding: encoding_of(file),
        rows: read.tally.rows,
        missing_columns: file.matched.missing.clone(),
        ignored_columns: file.matched.ignored.clone(),
    }
}

fn stored_rows(entry: &DatasetEntry) -> u64 {
    entry.files.iter().chain(&entry.unassigned).map(|f| f.rows).sum()
}

/// The target is free, empty, or a store.
fn check_target(target: &Path) -> Result<(), Diagnostic> {
    let Ok(metadata) = fs::metadata(target) else { return Ok(()) };
    let empty = metadata.is_dir() && fs::read_dir(target).is_ok_and(|mut d| d.next().is_none());
    let stranger = record::stranger(target);
    if empty || (is_store(target) && stranger.is_none()) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "MC703",
        "目标应为空目录或已有的 mingcha 数据仓，实际为别的内容，不会覆盖",
        "wanted an empty folder or a mingcha store, got something else, which is not overwritten",
    )
    .in_file(target.join(stranger.unwrap_or_default()).display())
    .with_help(
        "换一个位置；数据仓中别人的文件请先移走",
        "choose another place; move away what somebody else put into the store",
    ))
}

/// The store does not lie among the extracts, where its own files would be taken for deliveries.
fn check_apart(options: &PrepareOptions) -> Result<(), Diagnostic> {
    let Ok(data) = fs::canonicalize(&options.data) else { return Ok(()) };
    let parent = parent_of(&options.store);
    let Some(known) = parent.ancestors().find_map(|p| fs::canonicalize(p).ok()) else { return Ok(()) };
    if !known.starts_with(&data) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "MC703",
        "数据仓应在原始数据目录之外，实际在其中",
        "wanted the store outside the extracts folder, got a place inside it",
    )
    .in_file(options.store.display())
    .with_help("换一个位置", "choose another place"))
}

/// What the passes rely on in the contracts.
fn check_contracts(contracts: &[Contract]) -> Result<(), Vec<Diagnostic>> {
    let mut faults = Vec::new();
    for (i, contract) in contracts.iter().enumerate() {
        let mut fault = |zh: &str, en: &str| faults.push(fault::bad_contract(&contract.name, zh, en));
        if contracts[..i].iter().any(|c| c.name == contract.name) {
            fault("名称重复", "the name is taken twice");
        }
        if matches!(contract.name.as_str(), "persons" | "rejects" | "runs" | changes::FOLDER | "")
            || !contract.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            fault(
                "名称应为小写字母、数字和下划线，且不能是 persons、rejects、runs、changes",
                "the name is of lower-case letters, digits and _, and none of persons, rejects, runs, changes",
            );
        }
        match &contract.person {
            Some(PersonKey::Field(name)) if contract.field(name).is_none_or(|f| f.ty != FieldType::Id) => {
                fault("person 应为一个类型为 id 的字段", "`person` names a field of type id");
            }
            Some(PersonKey::Via(via)) => {
                let source = contracts.iter().find(|c| c.name == via.dataset);
                let shared =
                    |c: &Contract| c.field(&via.on).is_some_and(|f| is_text(f.ty)) && c.name != contract.name;
                if !contract.field(&via.on).is_some_and(|f| is_text(f.ty))
                    || source.is_none_or(|s| !shared(s) || s.id_field().is_none())
                {
                    fault(
                        "person 所指的数据集应另有证件号码，且双方都有该文本字段",
                        "`person` names a dataset that holds identity numbers and shares the text field `on`",
                    );
                }
            }
            _ => {}
        }
        if contract.key.iter().any(|k| contract.field(k).is_none()) {
            fault("key 中有未知字段", "`key` names a field that is not there");
        }
        if let Some(versions) = &contract.versions {
            let key = contract.field(&versions.key).is_some_and(|f| is_text(f.ty))
                && contract.id_field().is_none_or(|id| id.name != versions.key);
            if !key || contract.field(&versions.by).is_none_or(|f| f.ty != FieldType::Int) {
                fault(
                    "versions 的 key 应为文本字段，by 应为整数字段",
                    "`versions` names a text field as key and an int field as by",
                );
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn is_text(ty: FieldType) -> bool {
    matches!(ty, FieldType::Text | FieldType::Code | FieldType::Area | FieldType::Id)
}
