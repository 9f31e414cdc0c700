//! Preparation: extracts to store, in two passes. The first reads every file once, types it and lays the rows
//! down; the person index is made from the numbers it met; the second splits the rows by person and writes the
//! store beside its final name, which it gets only when it is whole. Everything that can be refused before a row
//! is read is refused together, so that one round of corrections is enough.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use mingcha_rules::{Contract, Diagnostic, FieldType, Lang, Level, PersonKey, Text};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::discover::{self, Dates, Discovery, Found};
use crate::fault;
use crate::manifest::{
    DatasetEntry, InputFile, Manifest, STORE_FORMAT, STORE_VERSION, ShardEntry, StoreFile,
};
use crate::options::PrepareOptions;
use crate::progress::Progress;
use crate::quality::{DatasetQuality, FileQuality, QualityReport, Tally};
use crate::read::{self, How, Opened, Unit};
use crate::rejects::{self, KEPT, Reject, RejectsCsv};
use crate::runs::{Run, RunWriter};
use crate::schema::CODE;
use crate::shards::{self, Helpers, Index, Links, Spilled, StoreWriter, Written};
use crate::store::{Store, equation_broken, hex, is_store};
use crate::tables::file_and_row;
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
}

/// Makes a store of the extracts in a folder.
///
/// The store is written into a folder beside its final name, synced, checked and renamed; a store that is there
/// already is replaced as a whole. After an error or a cancellation nothing is left.
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
    let work = Work::begin(options, &discovery, opened, progress).map_err(one)?;
    let read = work.first_pass()?;
    let (manifest, quality) = work.second_pass(read)?;
    work.publish(&manifest, &quality)?;
    let warnings = quality.notes.clone();
    Ok(Prepared { manifest, quality, warnings })
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
    files: Vec<Opened>,
    partial: TempDir,
}

/// What the first pass made of one file.
struct FileRead {
    runs: Vec<Run>,
    rejects: Vec<Run>,
    remarks: Vec<Run>,
    tally: Tally,
    codes: Vec<u64>,
    notes: Vec<Diagnostic>,
}

/// What the first pass made of one part of a file.
struct UnitRead {
    run: Run,
    rejects: Run,
    remarks: Run,
    tally: Tally,
    codes: Vec<u64>,
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
        let name = options.store.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = tempfile::Builder::new()
            .prefix(&format!("{name}.partial-"))
            .tempdir_in(&parent)
            .map_err(|e| fault::cannot_write(&parent, &e))?;
        for folder in ["runs", "persons"] {
            let path = partial.path().join(folder);
            fs::create_dir(&path).map_err(|e| fault::cannot_write(&path, &e))?;
        }
        let mut notes = discovery.notes.clone();
        notes.extend(files.iter().flat_map(|f| f.notes.clone()));
        notes.extend(files.iter().flat_map(near_misses));
        let dates = dates_of(&files, discovery, options);
        Ok(Self { options, progress, dates, notes, files, partial })
    }

    /// Reads every file.
    fn first_pass(&self) -> Result<Vec<FileRead>, Vec<Diagnostic>> {
        let total: Option<u64> = self.files.iter().map(|f| f.rows).sum();
        self.progress.begin(stage("读取数据", "reading the extracts"), total);
        let results: Vec<_> =
            (0..self.files.len()).into_par_iter().map(|file| self.read_file(file)).collect();
        self.progress.end();
        let (mut read, mut faults) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(file) => read.push(file),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(faults) }
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
            tally: Tally::default(),
            codes: Vec::new(),
            notes: Vec::new(),
        };
        for unit in units? {
            out.tally.add(&unit.tally);
            out.runs.push(unit.run);
            out.rejects.push(unit.rejects);
            out.remarks.push(unit.remarks);
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
        let id = file_id(file);
        let place = |kind: &str| self.partial.path().join("runs").join(format!("{id:05}-{number:05}.{kind}"));
        let mut run = RunWriter::create(place("rows"), typer.schema())?;
        let mut rejected = RunWriter::create(place("rejects"), &rejects::schema())?;
        let mut remarks = RunWriter::create(place("remarks"), &rejects::schema())?;
        let mut tally = Tally::default();
        let mut codes = Codes::default();
        read::read(opened, unit, &mut |raw| {
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
            tally,
            codes: codes.finish(),
        })
    }

    /// Splits and writes everything.
    fn second_pass(&self, mut read: Vec<FileRead>) -> Result<(Manifest, QualityReport), Vec<Diagnostic>> {
        let mut codes = Vec::new();
        for file in &mut read {
            codes.append(&mut file.codes);
        }
        let index = Index::new(codes);
        if i32::try_from(index.len()).is_err() {
            return Err(one(Diagnostic::error(
                "MC645",
                "人数超出上限",
                "more persons than a store can hold",
            )));
        }
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for (file, read) in self.files.iter().zip(&read) {
            tallies.entry(&file.found.dataset).or_default().add(&read.tally);
        }
        let mut spilled: Vec<Spilled<'_>> = self
            .options
            .contracts
            .iter()
            .filter(|c| tallies.contains_key(c.name.as_str()))
            .map(|contract| Spilled { contract, runs: self.runs_of(&contract.name, &read) })
            .collect();
        spilled.sort_by(|a, b| a.contract.name.cmp(&b.contract.name));
        let ranges = index.ranges(self.shard_count(&spilled));
        let mut remarks = Vec::new();
        let mut written: BTreeMap<String, Written> = BTreeMap::new();
        let total = spilled.iter().map(Spilled::rows).sum();
        self.progress.begin(stage("写入数据仓", "writing the store"), Some(total));
        for dataset in &spilled {
            if self.progress.cancelled() {
                return Err(one(fault::cancelled()));
            }
            let (done, contradictions) = self.write_one(dataset, &spilled, &index, &ranges).map_err(one)?;
            remarks.extend(contradictions);
            remarks.extend(self.duplicate_remarks(dataset.contract, &done.duplicates));
            written.insert(dataset.contract.name.clone(), done);
        }
        let person_files = self.write_persons(&index, &ranges).map_err(one)?;
        let (rejects, rejects_csv) = self.write_rejects(&read, &remarks).map_err(one)?;
        self.progress.end();
        for (dataset, remark) in &remarks {
            if let Some(tally) = tallies.get_mut(dataset.as_str())
                && remark.reason != "duplicate_key"
            {
                tally.count(remark.reason, 1);
            }
        }
        for (dataset, done) in &written {
            if let Some(tally) = tallies.get_mut(dataset.as_str()) {
                tally.count("duplicate_key", done.duplicates.len() as u64);
            }
        }
        let manifest =
            self.manifest(&read, &tallies, written, index.len() as u64, ranges, person_files, rejects)?;
        let manifest = Manifest { rejects_csv: Some(rejects_csv), ..manifest };
        let quality = self.quality(&read, &tallies, &manifest);
        Ok((manifest, quality))
    }

    fn runs_of(&self, dataset: &str, read: &[FileRead]) -> Vec<Run> {
        self.files
            .iter()
            .zip(read)
            .filter(|(f, _)| f.found.dataset == dataset)
            .flat_map(|(_, r)| r.runs.clone())
            .collect()
    }

    /// One shard for each million rows; more where one would not fit into the memory granted.
    fn shard_count(&self, spilled: &[Spilled<'_>]) -> usize {
        if let Some(asked) = self.options.shards {
            return asked.clamp(1, MOST_SHARDS);
        }
        let persons = || spilled.iter().filter(|s| s.contract.person.is_some());
        let rows: u64 = persons().map(Spilled::rows).sum();
        let heaviest = persons().map(Spilled::weight).max().unwrap_or(0);
        let needed = rows.div_ceil(SHARD_ROWS).max(heaviest.div_ceil((self.options.memory_bytes / 2).max(1)));
        usize::try_from(needed).unwrap_or(MOST_SHARDS).clamp(1, MOST_SHARDS)
    }

    /// Writes one dataset; also gives the remarks on rows of the dataset that its persons are known from.
    fn write_one(
        &self,
        dataset: &Spilled<'_>,
        all: &[Spilled<'_>],
        index: &Index,
        ranges: &[ShardEntry],
    ) -> Result<(Written, Vec<(String, Reject)>), Diagnostic> {
        let mut remarks = Vec::new();
        let mut known: Option<Links> = None;
        if let Some(PersonKey::Via(via)) = &dataset.contract.person
            && let Some(source) = all.iter().find(|s| s.contract.name == via.dataset)
        {
            let (links, contradicting) = shards::links(source, &via.on)?;
            known = Some(links);
            remarks = contradicting
                .into_iter()
                .map(|src| (via.dataset.clone(), remark(src, &via.on, "ambiguous_link")))
                .collect();
        }
        let newest = shards::newest(dataset)?;
        let helpers = Helpers { index, links: known.as_ref(), newest: newest.as_ref() };
        let budget = self.options.memory_bytes;
        let written =
            shards::write_dataset(self.partial.path(), dataset, &helpers, ranges, budget, self.progress)?;
        Ok((written, remarks))
    }

    fn duplicate_remarks(&self, contract: &Contract, duplicates: &[i64]) -> Vec<(String, Reject)> {
        let key = contract.key.join("+");
        duplicates
            .iter()
            .take(LISTED_DUPLICATES)
            .map(|src| (contract.name.clone(), remark(*src, &key, "duplicate_key")))
            .collect()
    }

    fn write_persons(&self, index: &Index, ranges: &[ShardEntry]) -> Result<Vec<StoreFile>, Diagnostic> {
        ranges
            .par_iter()
            .enumerate()
            .map(|(shard, range)| {
                let name = format!("persons/{shard:04}.parquet");
                let batch = index.persons(range).map_err(|e| fault::cannot_write(Path::new(&name), &e))?;
                let mut out = StoreWriter::create(self.partial.path(), &name, &batch.schema())?;
                out.write(&batch)?;
                out.finish()
            })
            .collect()
    }

    /// All entries, in order of file; then the remarks that only the second pass could make.
    fn write_rejects(
        &self,
        read: &[FileRead],
        remarks: &[(String, Reject)],
    ) -> Result<(StoreFile, StoreFile), Diagnostic> {
        let mut table = StoreWriter::create(self.partial.path(), "rejects.parquet", &rejects::schema())?;
        let mut sheet = RejectsCsv::create(self.partial.path())?;
        let mut write =
            |batch: &arrow::array::RecordBatch| table.write(batch).and_then(|()| sheet.write(batch));
        for file in read {
            for run in file.rejects.iter().chain(&file.remarks) {
                run.each(None, |batch| write(&batch))?;
            }
        }
        for (dataset, remark) in remarks {
            let file = (file_and_row(remark.src).0 as usize).checked_sub(1).and_then(|i| self.files.get(i));
            let name = file.map_or("", |f| f.found.name.as_str());
            let batch = rejects::to_batch(dataset, name, std::slice::from_ref(remark))
                .map_err(|e| fault::cannot_write(self.partial.path(), &e))?;
            write(&batch)?;
        }
        Ok((table.finish()?, sheet.finish()?))
    }

    fn manifest(
        &self,
        read: &[FileRead],
        tallies: &BTreeMap<&str, Tally>,
        mut written: BTreeMap<String, Written>,
        persons: u64,
        shards: Vec<ShardEntry>,
        person_files: Vec<StoreFile>,
        rejects: StoreFile,
    ) -> Result<Manifest, Vec<Diagnostic>> {
        let mut contracts: Vec<&Contract> = self.options.contracts.iter().collect();
        contracts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut values = Vec::with_capacity(contracts.len());
        let mut contract_hashes = BTreeMap::new();
        for contract in contracts {
            let value = serde_json::to_value(contract)
                .map_err(|e| one(fault::bad_contract(&contract.name, &e.to_string(), &e.to_string())))?;
            // The fields of a struct have one order; those of a JSON value may have another in another build.
            let text = serde_json::to_string(contract).unwrap_or_default();
            contract_hashes.insert(contract.name.clone(), hex(&Sha256::digest(text.as_bytes())));
            values.push(value);
        }
        let mut datasets = BTreeMap::new();
        for (name, tally) in tallies {
            let done = written.remove(*name).unwrap_or_default();
            let dates = self.dates.get(*name).copied().unwrap_or_default();
            let entry = entry(tally, dates, done);
            if entry.rows_in != entry.rows_stored + entry.rows_rejected
                || stored_rows(&entry) != entry.rows_stored
            {
                return Err(one(equation_broken(name)));
            }
            datasets.insert((*name).to_owned(), entry);
        }
        Ok(Manifest {
            format: STORE_FORMAT.to_owned(),
            version: STORE_VERSION,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            persons,
            contracts: values,
            contract_hashes,
            files: self
                .files
                .iter()
                .zip(read)
                .enumerate()
                .map(|(i, (file, read))| input_file(i, file, read))
                .collect(),
            datasets,
            shards,
            person_files,
            rejects,
            rejects_csv: None,
        })
    }

    fn quality(
        &self,
        read: &[FileRead],
        tallies: &BTreeMap<&str, Tally>,
        manifest: &Manifest,
    ) -> QualityReport {
        let mut notes = self.notes.clone();
        notes.extend(read.iter().flat_map(|r| r.notes.clone()));
        let mut contracts: Vec<&Contract> = self.options.contracts.iter().collect();
        contracts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut out = QualityReport { datasets: Vec::new(), not_delivered: Vec::new(), notes };
        for contract in contracts {
            match (tallies.get(contract.name.as_str()), manifest.datasets.get(&contract.name)) {
                (Some(tally), Some(entry)) => {
                    out.datasets.push(self.dataset_quality(contract, tally, entry, read))
                }
                _ => out.not_delivered.push(contract.name.clone()),
            }
        }
        out
    }

    fn dataset_quality(
        &self,
        contract: &Contract,
        tally: &Tally,
        entry: &DatasetEntry,
        read: &[FileRead],
    ) -> DatasetQuality {
        let id = contract.id_field().map(|f| f.name.as_str());
        let files = self.files.iter().zip(read).filter(|(f, _)| f.found.dataset == contract.name);
        DatasetQuality {
            dataset: contract.name.clone(),
            title: contract.title.clone(),
            files: files.map(|(file, read)| file_quality(file, read)).collect(),
            rows_in: tally.rows,
            rows_stored: tally.stored,
            rows_rejected: tally.rejected,
            rows_blank: tally.blank,
            rows_unassigned: entry.rows_unassigned,
            reasons: tally.reasons.clone(),
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
        let text = format!("{}\n\n{}", quality.text(Lang::Zh), quality.text(Lang::En));
        write_synced(&root.join("quality.txt"), text.as_bytes()).map_err(one)?;
        write_json(&root.join("quality.json"), quality).map_err(one)?;
        write_json(&root.join("manifest.json"), manifest).map_err(one)?;
        let faults = Store::open(root).map_err(one)?.verify();
        if !faults.is_empty() {
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
        put_in_place(self.partial, target).map_err(one)
    }
}

/// Moves the finished folder to its name; what was there goes only after that.
fn put_in_place(partial: TempDir, target: &Path) -> Result<(), Diagnostic> {
    let failed = |e: std::io::Error| fault::cannot_write(target, &e);
    let parent = parent_of(target);
    let mut old: Option<TempDir> = None;
    if target.exists() {
        let aside = tempfile::Builder::new().prefix(".mingcha-old-").tempdir_in(&parent).map_err(failed)?;
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
    fs::write(path, bytes).map_err(failed)?;
    File::open(path).and_then(|f| f.sync_all()).map_err(failed)
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

fn file_id(file: usize) -> u32 {
    u32::try_from(file + 1).unwrap_or(u32::MAX)
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
    let (means_zh, means_en) = rejects::meaning(reason).unwrap_or((reason, reason));
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

fn input_file(index: usize, file: &Opened, read: &FileRead) -> InputFile {
    InputFile {
        id: file_id(index),
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

fn entry(tally: &Tally, dates: Dates, done: Written) -> DatasetEntry {
    DatasetEntry {
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

fn stored_rows(entry: &DatasetEntry) -> u64 {
    entry.files.iter().chain(&entry.unassigned).map(|f| f.rows).sum()
}

/// The target is free, empty, or a store.
fn check_target(target: &Path) -> Result<(), Diagnostic> {
    let Ok(metadata) = fs::metadata(target) else { return Ok(()) };
    let empty = metadata.is_dir() && fs::read_dir(target).is_ok_and(|mut d| d.next().is_none());
    if empty || is_store(target) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "MC703",
        "目标应为空目录或已有的 mingcha 数据仓，实际为别的内容，不会覆盖",
        "wanted an empty folder or a mingcha store, got something else, which is not overwritten",
    )
    .in_file(target.display())
    .with_help("换一个位置", "choose another place"))
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
        if matches!(contract.name.as_str(), "persons" | "rejects" | "runs" | "")
            || !contract.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            fault(
                "名称应为小写字母、数字和下划线，且不能是 persons、rejects、runs",
                "the name is of lower-case letters, digits and _, and none of persons, rejects, runs",
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
