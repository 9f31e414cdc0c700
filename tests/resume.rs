//! A run that was stopped at any moment, or killed, and then continued ends like one that nobody disturbed: the same
//! findings, excused subjects and outcomes; what was finished is not done again; what follows from something else is
//! not used; and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its city has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mingcha_engine::{PartsFolder, RunOptions, RunProgress, RunReport};
use mingcha_intake::{Store, Tables};
use mingcha_ledger::RunFolder;
use mingcha_rules::rule::Scalar;
use mingcha_rules::{Diagnostic, Library, Outcome, Sources};
use mingcha_synth::{CityFormat, CityOptions, write_city};

const DAY: &str = "2026-06-30";
const LATER: &str = "2026-07-20";
const SHARDS: usize = 9;

/// A folder with a store of one city and an undisturbed run over it, made once.
fn world() -> &'static Path {
    static WORLD: OnceLock<PathBuf> = OnceLock::new();
    WORLD.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("resume");
        let _ = fs::remove_dir_all(&dir);
        let options = CityOptions {
            persons: 3_000,
            seed: 11,
            as_of: DAY.parse().unwrap(),
            format: CityFormat::CsvUtf8,
            dirt: true,
            threads: 2,
        };
        write_city(&options, &dir.join("in"), &|_, _, _| {}).unwrap();
        let shards = SHARDS.to_string();
        well(&dir, &["prepare", "--data", "in", "--store", "store", "--shards", &shards]);
        well(&dir, &["run", "--store", "store", "--as-of", DAY, "--out", "undisturbed"]);
        dir
    })
}

/// A store of a larger city in two shards, which little memory has to cut into slices.
fn wide() -> &'static Path {
    static WIDE: OnceLock<PathBuf> = OnceLock::new();
    WIDE.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("resume-wide");
        let _ = fs::remove_dir_all(&dir);
        let options = CityOptions {
            persons: 20_000,
            seed: 11,
            as_of: DAY.parse().unwrap(),
            format: CityFormat::Parquet,
            dirt: true,
            threads: 2,
        };
        write_city(&options, &dir.join("in"), &|_, _, _| {}).unwrap();
        well(&dir, &["prepare", "--data", "in", "--store", "store", "--shards", "2"]);
        dir.join("store")
    })
}

fn mingcha(at: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mingcha"));
    command.args(args).current_dir(at).env_clear().env("LANG", "C").env("NO_COLOR", "1");
    command
}

/// What a command said on stderr, having ended well. 4: a rule was not evaluated for want of an input.
#[track_caller]
fn well(at: &Path, args: &[&str]) -> String {
    said_well(mingcha(at, args).output().unwrap())
}

#[track_caller]
fn said_well(told: Output) -> String {
    let (out, err) = (String::from_utf8(told.stdout).unwrap(), String::from_utf8(told.stderr).unwrap());
    assert!(matches!(told.status.code(), Some(0 | 4)), "{out}\n{err}");
    err
}

/// Everything that a run says of the data.
fn answers(folder: &Path) -> (Vec<String>, Vec<String>, Vec<String>) {
    let run = RunFolder::open(folder).unwrap();
    let outcomes = run.outcomes().unwrap().into_iter().map(bare).collect();
    let findings = run.findings().unwrap().iter().map(|f| format!("{f:?}")).collect();
    (findings, run.excused().unwrap().iter().map(|e| format!("{e:?}")).collect(), outcomes)
}

fn bare(outcome: Outcome) -> String {
    format!("{:?}", Outcome { seconds: 0.0, peak_memory: 0, ..outcome })
}

#[track_caller]
fn same_answers(a: &Path, b: &Path) {
    let (a, b) = (answers(a), answers(b));
    assert!(!b.0.is_empty() && !b.1.is_empty());
    for (a, b) in [(&a.0, &b.0), (&a.1, &b.1), (&a.2, &b.2)] {
        for (a, b) in a.iter().zip(b.iter()) {
            assert_eq!(a, b);
        }
        assert_eq!(a.len(), b.len());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Finished parts that lie in a folder for parts.
fn parts_in(folder: &Path) -> usize {
    let walks = ["all", "changed"].map(|walk| names(&folder.join(walk)));
    walks.iter().flatten().filter(|name| name.starts_with("part-")).count()
}

fn resumed(run: &Path) -> Option<String> {
    RunFolder::open(run).unwrap().manifest().environment.get("resumed").cloned()
}

/// Stops a run when so many parts are finished, and remembers what it was told.
struct Watch {
    folder: PathBuf,
    stop_at: usize,
    resumed: Mutex<Option<(usize, usize)>>,
    remarks: Mutex<Vec<String>>,
    units: Mutex<(u64, u64)>,
}

impl Watch {
    fn new(folder: &Path, stop_at: usize) -> Self {
        let folder = folder.to_path_buf();
        Self {
            folder,
            stop_at,
            resumed: Mutex::default(),
            remarks: Mutex::default(),
            units: Mutex::default(),
        }
    }
}

impl RunProgress for Watch {
    fn begin(&self, units: u64) {
        self.units.lock().unwrap().0 = units;
    }
    fn advance(&self, units: u64) {
        self.units.lock().unwrap().1 += units;
    }
    fn resumed(&self, parts: usize, of: usize, units: u64) {
        *self.resumed.lock().unwrap() = Some((parts, of));
        self.units.lock().unwrap().1 += units;
    }
    fn remark(&self, remark: &Diagnostic) {
        self.remarks.lock().unwrap().push(format!("{} {}", remark.code, remark.message.en));
    }
    fn rule_done(&self, _outcome: &Outcome) {}
    fn cancelled(&self) -> bool {
        parts_in(&self.folder) >= self.stop_at
    }
}

/// The shipped rules, with `from` in their texts replaced.
fn library(from: &str, to: &str) -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let copy = tempfile::tempdir().unwrap();
    let mut folders = vec![root.join("rules")];
    while let Some(folder) = folders.pop() {
        for name in names(&folder) {
            let path = folder.join(name);
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let to_path = copy.path().join(path.strip_prefix(&root).unwrap());
            fs::create_dir_all(to_path.parent().unwrap()).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            fs::write(to_path, if from.is_empty() { text } else { text.replace(from, to) }).unwrap();
        }
    }
    let sources = Sources::from_dirs(Some(&copy.path().join("rules")), Some(&root.join("datasets")));
    let (library, faults) = mingcha_rules::load(&sources);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

fn options(parts: Option<(&Path, bool)>) -> RunOptions {
    let mut options = RunOptions::new(DAY.parse().unwrap());
    options.parts = parts.map(|(folder, resume)| PartsFolder {
        folder: folder.to_path_buf(),
        tables: "the city".to_owned(),
        resume,
    });
    options
}

fn run(library: &Library, options: &RunOptions, watch: &Watch) -> RunReport {
    run_on(&world().join("store"), library, options, watch)
}

fn run_on(store: &Path, library: &Library, options: &RunOptions, watch: &Watch) -> RunReport {
    let tables: Arc<dyn Tables> = Arc::new(Store::open(store).unwrap());
    mingcha_engine::run(&tables, library, options, watch).unwrap()
}

#[track_caller]
fn same_report(a: &RunReport, b: &RunReport) {
    assert!(!a.cancelled && !b.findings.is_empty() && !b.excused.is_empty());
    assert_eq!(a.findings, b.findings);
    assert_eq!(a.excused, b.excused);
    let bare = |report: &RunReport| report.outcomes.iter().cloned().map(bare).collect::<Vec<_>>();
    assert_eq!(bare(a), bare(b));
}

/// Stops a run of `first` after so many parts and continues it as `then`: threads, memory. All parts there were.
fn stop_and_go_on(
    (store, library): (&Path, &Library),
    stop_at: usize,
    [first, then]: [(usize, Option<u64>); 2],
    undisturbed: &RunReport,
) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("parts");
    let of = |(threads, memory), resume| RunOptions { threads, memory, ..options(Some((&folder, resume))) };
    assert!(run_on(store, library, &of(first, false), &Watch::new(&folder, stop_at)).cancelled);
    let had = parts_in(&folder);
    assert!(had >= stop_at, "{had} parts of {stop_at}");
    let watch = Watch::new(&folder, usize::MAX);
    let report = run_on(store, library, &of(then, true), &watch);
    same_report(&report, undisturbed);
    let (done, all) = watch.resumed.lock().unwrap().unwrap();
    assert_eq!(done, had);
    assert_eq!(all, parts_in(&folder), "every other part was made once");
    assert!(watch.remarks.lock().unwrap().is_empty());
    let (units, advanced) = *watch.units.lock().unwrap();
    assert!(advanced <= units && advanced * 100 >= units * 95, "{advanced} of {units}");
    all
}

#[test]
fn a_run_stopped_after_any_part_goes_on_with_other_threads() {
    let library = library("", "");
    let undisturbed = run(&library, &options(None), &Watch::new(Path::new(""), usize::MAX));
    let store = world().join("store");
    for (stop_at, threads) in [(1, 2), (4, 1), (8, 2), (SHARDS + 1, 1)] {
        let ways = [(3 - threads, None), (threads, None)];
        let all = stop_and_go_on((&store, &library), stop_at, ways, &undisturbed);
        assert_eq!(all, SHARDS + 1);
    }
}

#[test]
fn a_run_stopped_between_slices_goes_on_with_other_slices() {
    let library = library("", "");
    let undisturbed = run_on(wide(), &library, &options(None), &Watch::new(Path::new(""), usize::MAX));
    let (little, less) = (Some(128 << 20), Some(96 << 20));
    let sliced = [
        stop_and_go_on((wide(), &library), 1, [(2, little), (1, None)], &undisturbed),
        stop_and_go_on((wide(), &library), 1, [(1, None), (2, little)], &undisturbed),
        stop_and_go_on((wide(), &library), 2, [(2, little), (2, less)], &undisturbed),
    ];
    assert!(sliced.iter().all(|parts| *parts > 3), "no shard was cut: {sliced:?}");
}

#[test]
fn what_follows_from_something_else_is_not_used() {
    let shipped = library("", "");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("parts");
    let begin = || {
        let _ = fs::remove_dir_all(&folder);
        assert!(run(&shipped, &options(Some((&folder, false))), &Watch::new(&folder, 4)).cancelled);
        assert!(parts_in(&folder) >= 4);
    };
    let again = |library: &Library, options: RunOptions, what: &str| {
        begin();
        let watch = Watch::new(&folder, usize::MAX);
        let report = run(library, &options, &watch);
        assert_eq!(*watch.resumed.lock().unwrap(), None, "{what}");
        let remarks = watch.remarks.lock().unwrap().clone();
        assert!(remarks.len() == 1 && remarks[0].contains(what), "{what}: {remarks:?}");
        let fresh = RunOptions { parts: None, ..options };
        same_report(&report, &run(library, &fresh, &Watch::new(&folder, usize::MAX)));
    };
    let resume = || options(Some((&folder, true)));
    again(&shipped, RunOptions { as_of: LATER.parse().unwrap(), ..resume() }, "the day");
    let mut other = resume();
    other.parts.as_mut().unwrap().tables = "another city".to_owned();
    again(&shipped, other, "the store");
    again(&shipped, RunOptions { plain_plans: true, ..resume() }, "--plain-plans");
    again(&shipped, RunOptions { only: vec!["PEN-01".to_owned()], ..resume() }, "rules");
    let rule = shipped.rule("PEN-01").unwrap();
    let (name, _) = rule.rule.params.iter().find(|(_, p)| matches!(p.default, Scalar::Int(_))).unwrap();
    let params = BTreeMap::from([(name.clone(), Scalar::Int(400))]);
    let set = BTreeMap::from([("PEN-01".to_owned(), params)]);
    again(&shipped, RunOptions { params: set, ..resume() }, "parameters: PEN-01");
    let line = rule.sql.lines().next().unwrap().trim().to_owned();
    let changed = library(&line, &format!("{line} /* as before */"));
    assert_ne!(changed.rule("PEN-01").unwrap().hash, rule.hash);
    again(&changed, resume(), "PEN-01");
}

#[test]
fn a_file_that_was_altered_is_noticed_and_its_part_done_again() {
    let library = library("", "");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("parts");
    let undisturbed = run(&library, &options(None), &Watch::new(&folder, usize::MAX));
    assert!(run(&library, &options(Some((&folder, false))), &Watch::new(&folder, 3)).cancelled);
    let had = parts_in(&folder);
    let all = folder.join("all");
    let part = names(&all).into_iter().find(|name| name.starts_with("part-")).unwrap();
    let mut bytes = fs::read(all.join(&part)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(all.join(&part), bytes).unwrap();
    let watch = Watch::new(&folder, usize::MAX);
    let report = run(&library, &options(Some((&folder, true))), &watch);
    same_report(&report, &undisturbed);
    assert_eq!(watch.resumed.lock().unwrap().unwrap().0, had - 1);
    assert!(watch.remarks.lock().unwrap()[0].starts_with("MC710"));
}

/// A number below `below`, another each time and in each process.
fn any(below: u64) -> u64 {
    static STATE: Mutex<u64> = Mutex::new(0);
    let mut state = STATE.lock().unwrap();
    *state = (*state ^ u64::from(std::process::id())).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*state >> 33) % below
}

/// Starts a run and kills it a moment after it has finished another part; whether it could be killed.
fn killed(at: &Path, args: &[&str], parts: &Path) -> bool {
    let had = parts_in(parts);
    let mut child: Child = mingcha(at, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while parts_in(parts) <= had && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(any(6)));
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

#[test]
fn a_killed_run_is_continued_and_leaves_nothing_but_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let (out, parts) = (dir.path().join("run"), dir.path().join(".run.parts"));
    let store = world().join("store");
    let args = ["run", "--store", store.to_str().unwrap(), "--as-of", DAY, "--out", "run", "--resume"];
    let with = |more: &[&'static str]| [&args[..], more].concat();
    let kills = (0..3).filter(|_| killed(dir.path(), &with(&["--threads", "1"]), &parts)).count();
    assert!(kills >= 2, "killed {kills} times");
    assert!(!out.exists() && parts_in(&parts) >= 2);
    well(dir.path(), &with(&["--threads", "2", "--memory", "90MB"]));
    assert_eq!(names(dir.path()), ["run"]);
    let told = resumed(&out).unwrap();
    assert!(told.ends_with(" parts") && !told.starts_with("0 "), "{told}");
    same_answers(&out, &world().join("undisturbed"));
    well(dir.path(), &args);
    assert_eq!(resumed(&out), None, "there was nothing to continue");
}

#[test]
fn a_killed_run_upon_another_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::create_dir(at.join("in")).unwrap();
    for name in names(&world().join("in")) {
        fs::copy(world().join("in").join(&name), at.join("in").join(&name)).unwrap();
    }
    let prepare = ["prepare", "--data", "in", "--store", "store", "--shards", "9"];
    let run = ["run", "--store", "store", "--as-of", DAY, "--threads", "1", "--out"];
    well(at, &prepare);
    well(at, &[&run[..], &["last"]].concat());
    // The data of some persons change, so that there is a second walk, over these.
    let file = at.join("in/hospital_admissions.csv");
    let text = fs::read_to_string(&file).unwrap();
    let fewer: Vec<&str> =
        text.lines().enumerate().filter(|(i, _)| *i == 0 || i % 9 != 0).map(|(_, line)| line).collect();
    fs::write(&file, fewer.join("\n") + "\n").unwrap();
    well(at, &prepare);
    well(at, &[&run[..], &["full"]].concat());
    let next = [&run[..], &["next", "--since", "last", "--resume"]].concat();
    let parts = at.join(".next.parts");
    let (mut kills, mut begun) = (0, false);
    for _ in 0..40 {
        kills += usize::from(killed(at, &next, &parts));
        begun = names(&parts.join("changed")).iter().any(|name| name.starts_with("part-"));
        if begun {
            break;
        }
    }
    assert!(kills > 0 && begun, "killed {kills} times, never in the second walk");
    let had = parts_in(&parts);
    well(at, &next);
    assert!(resumed(&at.join("next")).unwrap().starts_with(&format!("{had} of ")));
    same_answers(&at.join("next"), &at.join("full"));
    assert_eq!(names(at), ["full", "in", "last", "next", "store"]);
}

#[test]
fn whoever_does_not_continue_is_told_that_it_was_possible_and_why_it_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let parts = dir.path().join(".run.parts");
    let store = world().join("store");
    let args = ["run", "--store", store.to_str().unwrap(), "--threads", "1", "--out", "run", "--as-of"];
    let today = [&args[..], &[DAY]].concat();
    while !killed(dir.path(), &today, &parts) {}
    let err = well(dir.path(), &today);
    assert!(err.contains("MC712") && err.contains("--resume"), "{err}");
    assert_eq!(names(dir.path()), ["run"]);
    while !killed(dir.path(), &today, &parts) {}
    let err = well(dir.path(), &[&args[..], &[LATER, "--resume"]].concat());
    assert!(err.contains("MC713") && err.contains("the day (--as-of)"), "{err}");
    assert_eq!(names(dir.path()), ["run"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on_and_can() {
    let dir = tempfile::tempdir().unwrap();
    let parts = dir.path().join(".run.parts");
    let store = world().join("store");
    let args = ["run", "--store", store.to_str().unwrap(), "--as-of", DAY, "--threads", "1", "--out", "run"];
    let child = mingcha(dir.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while parts_in(&parts) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let told = child.wait_with_output().unwrap();
    let err = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(130), "{err}");
    assert!(err.contains("--resume"), "{err}");
    assert_eq!(names(dir.path()), [".run.parts"], "no half-written run, no lock");
    well(dir.path(), &[&args[..], &["--resume"]].concat());
    same_answers(&dir.path().join("run"), &world().join("undisturbed"));
    assert_eq!(names(dir.path()), ["run"]);
}
