//! A store that is built upon answers like one made from nothing: same rows of the same places, same rejects,
//! same quality, same findings; what has not changed is neither read nor written again, and nobody's number moves.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its city has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::NaiveDate;
use mingcha_engine::{RunOptions, Silent};
use mingcha_intake::{
    DatasetEntry, Manifest, Part, PrepareOptions, Prepared, Progress, Quiet, Store, Tables, identity, prepare,
};
use mingcha_rules::{Contract, Diagnostic, Library, Sources, Text};
use mingcha_synth::{CityFormat, CityOptions, write_city};
use tempfile::TempDir;

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 6, 30).unwrap()
}

fn library() -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let sources = Sources::from_dirs(Some(&root.join("rules")), Some(&root.join("datasets")));
    let (library, faults) = mingcha_rules::load(&sources);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

fn city(persons: u64, seed: u64, out: &Path) {
    let format = CityFormat::Mixed;
    let options = CityOptions { persons, seed, as_of: as_of(), format, dirt: true, threads: 2 };
    write_city(&options, out, &|_, _, _| {}).unwrap();
}

/// A person of an invented county.
fn person(n: u16) -> String {
    identity::make("880101", NaiveDate::from_ymd_opt(1950, 1, 1 + u32::from(n % 28)).unwrap(), n)
}

/// Which stages there were and how many rows were read.
#[derive(Default)]
struct Watch {
    reading: AtomicBool,
    read: AtomicU64,
    stages: Mutex<Vec<String>>,
    /// Stop when this stage begins.
    stop_at: Option<&'static str>,
    stopped: AtomicBool,
}

impl Progress for Watch {
    fn begin(&self, stage: Text, _total: Option<u64>) {
        self.reading.store(stage.en == "reading the extracts", Ordering::SeqCst);
        self.stopped.fetch_or(self.stop_at == Some(stage.en.as_str()), Ordering::SeqCst);
        self.stages.lock().unwrap().push(stage.en);
    }
    fn advance(&self, n: u64) {
        if self.reading.load(Ordering::SeqCst) {
            self.read.fetch_add(n, Ordering::SeqCst);
        }
    }
    fn end(&self) {}
    fn cancelled(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

struct World {
    dir: TempDir,
    contracts: Vec<Contract>,
    shards: Option<usize>,
}

impl World {
    fn new(shards: Option<usize>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self { dir, contracts: library().contracts, shards }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn options(&self, store: &str) -> PrepareOptions {
        let store = self.dir.path().join(store);
        let options = PrepareOptions::new(self.data(""), store, self.contracts.clone());
        PrepareOptions { threads: Some(2), shards: self.shards, ..options }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.data(name), text).unwrap();
    }

    fn prepare(&self) -> Prepared {
        prepare(&self.options("store"), &Quiet).unwrap()
    }

    /// Prepares upon the store that is there and from nothing; both must answer alike. `read`: the datasets that may
    /// be read again.
    fn step(&self, what: &str, read: &[&str]) -> Prepared {
        let before = Store::open(self.store()).unwrap();
        let files = stamps(&self.store(), before.manifest());
        let number = |store: &Store, pid: i32| store.id_number(pid).unwrap().unwrap();
        let known: Vec<String> = (0..before.n_persons() as i32).map(|pid| number(&before, pid)).collect();
        let watch = Watch::default();
        let done = prepare(&self.options("store"), &watch).unwrap();
        assert_eq!(done.full_because, None, "{what}");
        let _ = fs::remove_dir_all(self.dir.path().join("fresh"));
        let fresh = prepare(&self.options("fresh"), &Quiet).unwrap();
        assert_eq!((fresh.unchanged.len(), fresh.full_because), (0, None), "{what}");
        let delivered: BTreeSet<String> = fresh.manifest.datasets.keys().cloned().collect();
        let unchanged: BTreeSet<String> =
            delivered.iter().filter(|d| !read.contains(&d.as_str())).cloned().collect();
        assert_eq!(done.unchanged, unchanged, "{what}");
        let rows = |m: &Manifest, d: &&String| m.datasets[*d].rows_in;
        let wanted: u64 = delivered.difference(&unchanged).map(|d| rows(&fresh.manifest, &d)).sum();
        assert_eq!(watch.read.load(Ordering::SeqCst), wanted, "{what}: rows read");
        let after = Store::open(self.store()).unwrap();
        assert_eq!(after.verify(), [], "{what}");
        for (pid, known) in (0..).zip(&known) {
            assert_eq!(number(&after, pid), *known, "{what}: person {pid}");
        }
        let now = stamps(&self.store(), after.manifest());
        for (path, stamp) in files.iter().filter(|(p, _)| unchanged.contains(p.split('/').next().unwrap())) {
            assert_eq!(now.get(path), Some(stamp), "{what}: {path} was written again");
        }
        same_answers(what, &after, &Store::open(self.dir.path().join("fresh")).unwrap());
        for name in ["quality.json", "quality.txt", "rejects.csv"] {
            let text = |store: &str| fs::read_to_string(self.dir.path().join(store).join(name)).unwrap();
            assert_eq!(text("store"), text("fresh"), "{what}: {name}");
        }
        assert_eq!(done.quality, fresh.quality, "{what}");
        assert_eq!(done.warnings, fresh.warnings, "{what}");
        let mut left: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["fresh", "in", "store"], "{what}");
        done
    }
}

/// Number and hash of every file of the datasets.
fn stamps(store: &Path, manifest: &Manifest) -> BTreeMap<String, (u64, String)> {
    let files = |d: &DatasetEntry| d.files.iter().chain(&d.unassigned).cloned().collect::<Vec<_>>();
    let all = manifest.datasets.values().flat_map(files);
    all.map(|f| (f.path.clone(), (fs::metadata(store.join(&f.path)).unwrap().ino(), f.sha256))).collect()
}

/// The rows of a dataset by locator: which kind of part they are in, and their values but for `pid`.
fn rows(store: &Store, dataset: &str) -> BTreeMap<i64, (bool, Vec<String>)> {
    let contract = store.contracts().iter().find(|c| c.name == dataset).unwrap();
    let schema = mingcha_intake::sql_schema(contract);
    let mut columns = vec!["src"];
    columns
        .extend(schema.fields().iter().map(|f| f.name().as_str()).filter(|n| !matches!(*n, "pid" | "src")));
    let parts: Vec<Part> = if contract.person.is_some() {
        (0..store.n_shards()).map(Part::Shard).chain([Part::Unassigned]).collect()
    } else {
        vec![Part::Whole]
    };
    let mut out = BTreeMap::new();
    for part in parts {
        for batch in store.read(dataset, part, &columns).unwrap() {
            let srcs = batch.column(0).to_data();
            for (row, src) in srcs.buffers()[0].typed_data::<i64>()[srcs.offset()..].iter().enumerate() {
                let cells = batch.columns().iter().map(|c| format!("{:?}", c.slice(row, 1))).collect();
                let twice = out.insert(*src, (part == Part::Unassigned, cells));
                assert!(twice.is_none(), "{dataset}: {src} stands twice");
            }
        }
    }
    out
}

fn same_answers(what: &str, built: &Store, fresh: &Store) {
    let (a, b) = (built.manifest(), fresh.manifest());
    assert_eq!(a.files, b.files, "{what}");
    assert_eq!(a.contract_hashes, b.contract_hashes, "{what}");
    let said = |m: &Manifest| -> Vec<_> {
        let bare = |(name, entry): (&String, &DatasetEntry)| {
            (name.clone(), DatasetEntry { files: Vec::new(), unassigned: None, ..entry.clone() })
        };
        m.datasets.iter().map(bare).collect()
    };
    assert_eq!(said(a), said(b), "{what}");
    for name in b.datasets.keys() {
        let (mine, theirs) = (rows(built, name), rows(fresh, name));
        assert_eq!(mine.len(), theirs.len(), "{what}: {name}");
        for (src, row) in theirs {
            assert_eq!(mine.get(&src), Some(&row), "{what}: {name} {:?}", fresh.locate(src));
            assert_eq!(built.locate(src), fresh.locate(src), "{what}");
        }
    }
    let columns: Vec<String> = mingcha_intake::builtin_schema("rejects")
        .unwrap()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rejects = |store: &Store| -> Vec<Vec<String>> {
        let batches = store.read("rejects", Part::Whole, &columns).unwrap();
        let cells = |b: usize, row: usize| -> Vec<String> {
            batches[b].columns().iter().map(|c| format!("{:?}", c.slice(row, 1))).collect()
        };
        (0..batches.len())
            .flat_map(|b| (0..batches[b].num_rows()).map(move |row| (b, row)))
            .map(|(b, row)| cells(b, row))
            .collect()
    };
    assert_eq!(rejects(built), rejects(fresh), "{what}");
}

#[test]
fn a_city_that_changes_day_by_day_is_answered_as_if_it_were_read_whole() {
    for shards in [None, Some(5)] {
        let mut world = World::new(shards);
        city(1_000, 5, &world.data(""));
        let first = world.prepare();
        assert_eq!((first.unchanged.len(), first.full_because), (0, None));
        world.step("nothing has changed", &[]);

        // Rows changed, among them one that is rejected and one of a person nobody knows.
        let cremations = fs::read(world.data("cremations.csv")).unwrap();
        let mut lines: Vec<&[u8]> = cremations.split_inclusive(|b| *b == b'\n').collect();
        lines.pop();
        let more = format!("880101194201210018,X,20250506,,\r\n{},Y,2025-05-06,,\r\n", person(1));
        lines.push(more.as_bytes());
        fs::write(world.data("cremations.csv"), lines.concat()).unwrap();
        let grown = world.step("rows of one dataset changed", &["cremations"]);
        assert_eq!(grown.manifest.person_runs.len(), 2);
        assert!(grown.manifest.datasets["cremations"].rows_rejected > 0);

        // A card of two persons, and a card of one.
        world.write(
            "transit_renewals-2.csv",
            &format!(
                "card_no,id_number,renewal_date\nT-1,{},2026-01-01\nT-1,{},2026-01-02\nT-1,{},2026-01-03\nT-2,{},2026-01-03\n",
                person(3), person(2), person(4), person(2)
            ),
        );
        let both = ["transit_renewals", "transit_rides"];
        let done = world.step("a file of the dataset that others find their persons in was added", &both);
        assert_eq!(done.manifest.datasets["transit_renewals"].reasons["ambiguous_link"], 1);
        world.write(
            "transit_rides-2.csv",
            "card_no,tap_time\nT-1,2026-02-01 08:00:00\nT-2,2026-02-01 08:00:00\n",
        );
        world.step("persons are found in a dataset that stays", &["transit_rides"]);

        fs::remove_file(world.data("pension_payments/part-2.parquet")).unwrap();
        world.step("a file was removed from between two others", &["pension_payments"]);

        // Many persons more: they need shards of their own.
        let other = World::new(None);
        city(1_500, 6, &other.data(""));
        fs::copy(other.data("household_registry.parquet"), world.data("household_registry-2.parquet"))
            .unwrap();
        let done = world.step("many new persons", &["household_registry"]);
        if shards.is_some() {
            assert!(done.manifest.shards.len() > 5, "new shards were begun");
        }
        fs::copy(other.data("prison_custody.xlsx"), world.data("prison_custody-2.xlsx")).unwrap();
        world.step("rows of the new persons", &["prison_custody"]);

        let contract = world.contracts.iter_mut().find(|c| c.name == "hospital_admissions").unwrap();
        contract.key = vec!["id_number".to_owned()];
        let done = world.step("a contract changed", &["hospital_admissions"]);
        assert!(done.manifest.datasets["hospital_admissions"].reasons["duplicate_key"] > 0);

        let delivery = fs::read_to_string(world.data("delivery.json")).unwrap();
        let mut delivery: serde_json::Value = serde_json::from_str(&delivery).unwrap();
        delivery["datasets"]["pension_refunds"]["as_of"] = "2026-06-29".into();
        world.write("delivery.json", &delivery.to_string());
        world.step("only the extract date of a dataset changed", &["pension_refunds"]);

        let report = |store: &str| {
            let tables: Arc<dyn Tables> = Arc::new(Store::open(world.dir.path().join(store)).unwrap());
            mingcha_engine::run(&tables, &library(), &RunOptions::new(as_of()), &Silent).unwrap()
        };
        let (built, fresh) = (report("store"), report("fresh"));
        assert!(!built.findings.is_empty());
        assert_eq!(built.findings, fresh.findings);
        assert_eq!(built.excused, fresh.excused);

        // Only the persons of this file are forgotten now, and they are few.
        fs::remove_file(world.data("transit_renewals-2.csv")).unwrap();
        world.step("the card of two persons is gone", &both);
        for name in ["transit_renewals.parquet", "prison_custody.xlsx", "prison_custody-2.xlsx"] {
            fs::remove_file(world.data(name)).unwrap();
        }
        let done = world.step("datasets are no longer delivered", &["transit_rides"]);
        let rides = &done.manifest.datasets["transit_rides"];
        assert_eq!(rides.rows_unassigned, rides.rows_stored);
    }
}

fn cremated(people: impl IntoIterator<Item = u16>) -> String {
    let rows = people.into_iter().map(|n| format!("{},2026-01-01\n", person(n)));
    format!("id_number,cremation_date\n{}", rows.collect::<String>())
}

#[test]
fn persons_whom_nothing_mentions_stay_until_they_are_a_fifth() {
    let world = World::new(None);
    world.write("cremations.csv", &cremated(0..10));
    world.prepare();
    world.write("cremations.csv", &cremated(2..10));
    let done = world.step("two of ten are gone", &["cremations"]);
    assert_eq!(done.manifest.persons, 10);
    world.write("cremations.csv", &cremated(0..10));
    assert_eq!(world.step("they are back", &["cremations"]).manifest.persons, 10);
    world.write("cremations.csv", &cremated(3..10));
    let done = world.prepare();
    assert_eq!(done.manifest.persons, 7);
    assert!(done.full_because.unwrap().en.starts_with("3 persons are in no dataset any more"));
    assert!(done.unchanged.is_empty());
}

#[test]
fn what_cannot_be_built_upon_is_made_anew_and_it_is_said_why() {
    let world = World::new(None);
    world.write("cremations.csv", &cremated(0..10));
    let first = world.prepare();
    let path = world.store().join("manifest.json");
    let spoil = |what: &str, by: &str| {
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(what, by)).unwrap();
    };
    let made_anew = |options: &PrepareOptions, why: &str| {
        let done = prepare(options, &Quiet).unwrap();
        let said = done.full_because.unwrap().en;
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!((done.unchanged.len(), done.manifest.person_runs), (0, vec![0]));
    };
    let options = PrepareOptions { shards: Some(2), ..world.options("store") };
    made_anew(&PrepareOptions { full: true, ..world.options("store") }, "as asked");
    made_anew(&options, "another number of shards");
    spoil(&first.manifest.build, "0");
    made_anew(&options, "another build");
    spoil("\"version\": 3", "\"version\": 1");
    made_anew(&options, "version 1");
}

/// Every file under a folder, with what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(contents(&path));
        } else {
            out.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    out
}

#[test]
fn a_preparation_that_is_stopped_or_refused_leaves_the_store_as_it_was() {
    let world = World::new(None);
    world.write("cremations.csv", &cremated(0..10));
    world.write("prison_custody.csv", &format!("id_number,custody_start\n{},2026-01-01\n", person(30)));
    let started = prepare(&world.options("store"), &Quiet);
    assert!(started.is_ok(), "{started:?}");
    let before = contents(&world.store());
    world.write("cremations.csv", &cremated(0..12));
    let watch = Watch { stop_at: Some("writing the store"), ..Watch::default() };
    let stopped: Vec<Diagnostic> = prepare(&world.options("store"), &watch).unwrap_err();
    assert_eq!(stopped[0].code, "MC646");
    assert_eq!(contents(&world.store()), before);
    // A file of a dataset that stays is damaged: it is not taken over, and the way out is told.
    let path = world.store().join("prison_custody/0000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let before = contents(&world.store());
    let refused = prepare(&world.options("store"), &Quiet).unwrap_err();
    assert_eq!(refused[0].code, "MC705");
    assert!(refused[0].help.as_ref().unwrap().en.contains("--full"));
    assert_eq!(contents(&world.store()), before);
    let left = fs::read_dir(world.dir.path()).unwrap().count();
    assert_eq!(left, 2, "something was left behind");
    prepare(&PrepareOptions { full: true, ..world.options("store") }, &Quiet).unwrap();
    assert_eq!(Store::open(world.store()).unwrap().verify(), []);
}

#[test]
fn runs_of_persons_must_ascend() {
    let world = World::new(None);
    world.write("cremations.csv", &cremated(5..15));
    world.prepare();
    world.write("cremations-2.csv", &cremated(0..8));
    let done = world.step("five new persons", &["cremations"]);
    assert_eq!((done.manifest.persons, done.manifest.person_runs), (15, vec![0, 10]));
    let path = world.store().join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for runs in [
        serde_json::json!([0]),
        serde_json::json!([0, 9]),
        serde_json::json!([10]),
        serde_json::json!([0, 10, 10]),
    ] {
        manifest["person_runs"] = runs;
        fs::write(&path, manifest.to_string()).unwrap();
        let faults = Store::open(world.store()).unwrap().verify();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].code, "MC706");
    }
}
