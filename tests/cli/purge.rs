//! What a purge takes and what it leaves, in offices of odd shapes: every file is listed before and after. Also what is
//! swept in passing: only what bears a mark of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mingcha_ledger::Book;
use serde_json::Value;

use crate::city::city;
#[cfg(unix)]
use crate::harness::command;
use crate::harness::{Told, files, mingcha, names};

const AGREED: [&str; 4] = ["--authority", "档案 2026-7", "--approver", "wang"];

/// A workspace with extracts of its own.
struct Office {
    dir: tempfile::TempDir,
}

impl Office {
    fn new(more: &str) -> Self {
        let office = Self { dir: tempfile::tempdir().unwrap() };
        copy(&city().join("extracts"), &office.path("in"));
        office.settings("lists", more);
        office
    }

    fn settings(&self, export: &str, more: &str) {
        let text = format!(
            "[paths]\ndata = 'in'\nstore = 'store'\nexport = '{export}'\n[export]\nformat = 'csv'\n[ledger]\npath = 'ledger.sqlite'\nas = 'nightly'\n[nightly]\nfolder = 'nights'\nschedule = '30 2 * * *'\nrules = 'PEN-13'\nsettle_seconds = 0\n{more}"
        );
        fs::write(self.path("mingcha.toml"), text).unwrap();
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn night(&self, day: &str) -> Told {
        mingcha(self.home(), &["nightly", "--at", &format!("{day}T03:00:00+08:00")])
    }

    fn purge(&self, at: &str, more: &[&str]) -> Told {
        let args = ["purge", "--at", at, "--as", "li", "--format", "json"];
        mingcha(self.home(), &[&args[..], more].concat())
    }

    /// The files that a dry run names.
    fn named(&self, told: &Value) -> BTreeSet<PathBuf> {
        let all = told["due"].as_array().unwrap().iter().flat_map(|due| due["files"].as_array().unwrap());
        all.map(|file| self.path(file.as_str().unwrap())).collect()
    }

    /// Every file and link, the ledger's own aside.
    fn tree(&self) -> BTreeSet<PathBuf> {
        let all = tree(self.home()).into_iter();
        all.filter(|path| !path.to_string_lossy().contains("ledger.sqlite")).collect()
    }
}

fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut out = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            out.extend(tree(&path));
        } else {
            out.insert(path);
        }
    }
    out
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(file, place).unwrap();
    }
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "dear all").unwrap();
}

fn left(told: &Value) -> Vec<String> {
    let all = told["left"].as_array().unwrap().iter();
    all.map(|left| format!("{} {}", left["path"].as_str().unwrap(), left["why"]["en"].as_str().unwrap()))
        .collect()
}

/// What stays, by its place in the workspace, and a part of the reason.
#[track_caller]
fn leaves(told: &Value, path: &str, why: &str) {
    let all = left(told);
    let so = |left: &String| left.starts_with(&format!("{path} ")) && left.contains(why);
    assert!(all.iter().any(so), "{path}: {why}\n{all:#?}");
}

#[test]
fn lists_in_the_workspace_itself_are_refused_and_nothing_goes() {
    let office = Office::new("[retention]\nexports = 20\n");
    office.night("2026-10-31").well();
    for export in [".", "in", "store", "nights", "nights/runs", "./lists/.."] {
        office.settings(export, "[retention]\nexports = 20\nextracts = 20\nruns = 20\nstores = 20\n");
        let before = tree(office.home());
        let told = office.purge("2028-01-01", &AGREED);
        assert_eq!(tree(office.home()), before, "a purge with export = '{export}' destroyed something");
        assert!(told.code == Some(2) && told.err.contains("MC943"), "{export}: {}", told.err);
        assert!(told.err.contains("mingcha.toml"), "{}", told.err);
    }
}

#[cfg(unix)]
#[test]
fn only_what_is_on_record_goes_and_everything_else_is_named() {
    use std::os::unix::fs::symlink;
    let office = Office::new("[retention]\nexports = 30\nruns = 30\nextracts = 30\n");
    for day in ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"] {
        office.night(day).well();
    }
    let outside = tempfile::tempdir().unwrap();
    let beyond = |name: &str| outside.path().join(name);
    put(&beyond("letters/a.txt"));
    put(&beyond("b.txt"));
    // Somebody's own, in every folder; and links out of every folder.
    let own = [
        "lists/letter.txt",
        "lists/2026-10-30/note.txt",
        "lists/2020-01-01/scan.pdf",
        "in/readme.txt",
        "nights/runs/2026-10-30/mine.txt",
        "nights/runs/2020-01-01/manifest.json",
        "nights/runs/notes.txt",
    ];
    own.iter().for_each(|name| put(&office.path(name)));
    symlink(beyond("letters"), office.path("lists/2020-02-02")).unwrap();
    symlink(beyond("letters"), office.path("nights/runs/2020-02-02")).unwrap();
    symlink(beyond("b.txt"), office.path("lists/2026-10-31/b.txt")).unwrap();
    symlink(beyond("letters"), office.path("in/more")).unwrap();
    // A list that was filled in, an extract that was changed, one that has another name.
    let list = files(&office.path("lists/2026-11-01"))
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "csv"));
    let list = list.unwrap();
    fs::write(&list, "filled in").unwrap();
    let extracts = files(&office.path("in"));
    let extracts: Vec<&PathBuf> =
        extracts.iter().filter(|f| f.extension().is_some_and(|e| e != "txt")).collect();
    let (changed, doubled) = (extracts[0], extracts[1]);
    fs::write(changed, "something else").unwrap();
    fs::hard_link(doubled, beyond("doubled")).unwrap();
    let before = office.tree();
    let dry = office.purge("2028-01-01", &["--dry-run"]).well().json();
    assert_eq!(office.tree(), before, "a dry run destroyed something");
    let done = office.purge("2028-01-01", &AGREED).well().json();
    let gone: BTreeSet<PathBuf> = before.difference(&office.tree()).cloned().collect();
    assert_eq!(gone, office.named(&dry), "the dry run and the run speak of other files");
    assert_eq!(left(&dry), left(&done));
    // What went: the lists of all nights but for what is somebody's own among them, two runs, and the extracts that the
    // runs had read.
    assert_eq!(names(&office.path("lists/2026-10-30")), ["note.txt"]);
    assert_eq!(names(&office.path("lists/2026-10-31")), ["b.txt"]);
    assert_eq!(files(&office.path("lists/2026-11-01")), std::slice::from_ref(&list));
    assert!(!office.path("lists/2026-11-02").exists() && !office.path("nights/runs/2026-10-31").exists());
    assert_eq!(
        names(&office.path("nights/runs")),
        ["2020-01-01", "2020-02-02", "2026-10-30", "2026-11-02", "notes.txt"]
    );
    assert_eq!(
        (&done["destroyed"]["runs"], &done["destroyed"]["exports"]),
        (&Value::from(2), &Value::from(4))
    );
    assert!(!extracts[2].exists() && changed.exists() && doubled.exists());
    // What stayed: all of it is named.
    for name in own {
        assert!(office.path(name).exists(), "{name}");
        let depth = match () {
            () if name.starts_with("nights") => 3,
            // Of a night's lists each file is judged for itself.
            () if name.starts_with("lists/2026") => 3,
            () => 2,
        };
        let thing: PathBuf = Path::new(name).components().take(depth).collect();
        leaves(&done, &thing.display().to_string(), "not on record");
    }
    for link in ["lists/2020-02-02", "nights/runs/2020-02-02", "lists/2026-10-31/b.txt", "in/more"] {
        leaves(&done, link, "a link");
    }
    let place = |path: &Path| path.strip_prefix(office.home()).unwrap().display().to_string();
    leaves(&done, &place(&list), "not as it is on record");
    leaves(&done, &place(changed), "not as it is on record");
    leaves(&done, &place(doubled), "another name");
    leaves(&done, "nights/runs/2026-11-02", "the next one builds");
    assert!(beyond("letters/a.txt").exists() && beyond("b.txt").exists());
    // Each file is in the certificate.
    let book = Book::read(&office.path("ledger.sqlite")).unwrap();
    let certificates = serde_json::to_value(book.destroyed().unwrap()).unwrap();
    let items = certificates.as_array().unwrap().iter().flat_map(|c| c["items"].as_array().unwrap());
    let files: usize = items.map(|item| item["files"].as_array().map_or(1, Vec::len)).sum();
    assert_eq!(files, gone.len());
    assert!(book.condemned().unwrap().is_empty());
    mingcha(office.home(), &["verify", "--ledger", "ledger.sqlite"]).well();
}

#[test]
fn what_somebody_holds_stays_until_it_is_let_go() {
    let office = Office::new("[retention]\nruns = 10\nstores = 30\n");
    for day in ["2026-10-30", "2026-10-31", "2026-11-01"] {
        office.night(day).well();
    }
    // A run that is being written again, and a store that somebody reads.
    let lock = fs::File::create(office.path("nights/runs/.2026-10-30.lock")).unwrap();
    lock.lock().unwrap();
    let reader = fs::File::open(office.path("store")).unwrap();
    reader.lock_shared().unwrap();
    let told = office.purge("2028-01-01", &AGREED).well().json();
    assert!(office.path("nights/runs/2026-10-30").exists(), "a run that is held was destroyed");
    assert!(office.path("store/manifest.json").exists(), "a store that is read was destroyed");
    assert_eq!(told["destroyed"]["runs"], 1);
    leaves(&told, "nights/runs/2026-10-30", "using it");
    leaves(&told, "store", "using it");
    drop((lock, reader));
    // Something of somebody's own in the store.
    put(&office.path("store/persons/letter.txt"));
    let told = office.purge("2028-01-01", &AGREED).well().json();
    leaves(&told, "store", "not on record");
    assert_eq!(told["destroyed"]["runs"], 1);
    let refused = mingcha(office.home(), &["prepare"]);
    assert!(refused.code != Some(0) && office.path("store/persons/letter.txt").exists(), "{}", refused.err);
    fs::remove_file(office.path("store/persons/letter.txt")).unwrap();
    let dry = office.purge("2028-01-01", &["--dry-run"]).well().json();
    let before = office.tree();
    let told = office.purge("2028-01-01", &AGREED).well().json();
    assert_eq!(told["destroyed"]["stores"], 1);
    assert!(!office.path("store").exists());
    assert_eq!(before.difference(&office.tree()).cloned().collect::<BTreeSet<_>>(), office.named(&dry));
}

#[test]
fn nothing_is_swept_for_its_name() {
    let office = Office::new("");
    let own = [
        "store.partial-letters/a.txt",
        "nights/runs/.2026-10-31.partial-letters/a.txt",
        "nights/runs/.2026-10-31.parts/a.txt",
        "lists/.2026-10-31.partial/a.txt",
        "lists/.2026-10-31.lists-letters/a.txt",
    ];
    own.iter().for_each(|name| put(&office.path(name)));
    let told = office.night("2026-10-31").well();
    for name in own {
        assert!(office.path(name).exists(), "{name} was taken for ours");
    }
    assert!(told.err.contains("MC945"), "{}", told.err);
    assert!(office.path("lists/2026-10-31").exists());
}

/// 10 November in Greenwich, the 11th in the office: the tenth day after the night of the 1st.
#[test]
fn what_is_due_today_is_due_on_the_day_of_the_office() {
    let office = Office::new("[retention]\nruns = 10\n");
    for day in ["2026-11-01", "2026-11-02"] {
        office.night(day).well();
    }
    let due = |at: &str| office.purge(at, &["--dry-run"]).well().json()["due"].as_array().unwrap().len();
    assert_eq!(due("2026-11-10T15:30:00Z"), 0);
    assert_eq!(due("2026-11-10T16:30:00Z"), 1, "it is the 11th");
}

/// A folder as a killed process leaves it: with the mark of unfinished work.
fn unfinished(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join(".mingcha-unfinished"), "mingcha unfinished 1\n").unwrap();
}

#[test]
fn what_killed_processes_left_is_due_like_any_thing_and_other_hidden_things_are_named() {
    let office = Office::new("[retention]\nexports = 30\nruns = 30\n");
    for day in ["2026-10-30", "2026-10-31"] {
        office.night(day).well();
    }
    let gone = [
        "nights/runs/.2026-10-20.partial-9-0",
        "nights/runs/.2026-10-30.replaced-9-0",
        "lists/.2026-10-30.lists-9-0",
        "lists/.export.partial-9-0",
    ];
    gone.iter().for_each(|name| unfinished(&office.path(name)));
    put(&office.path("nights/runs/.2026-10-20.partial-9-0/findings.parquet"));
    copy(&office.path("nights/runs/2026-10-30"), &office.path("nights/runs/.2026-10-30.replaced-9-0/run"));
    put(&office.path("lists/.2026-10-30.lists-9-0/areas/1.csv"));
    put(&office.path("lists/.export.partial-9-0/000000"));
    // Somebody is at it; it bears no mark; it leads elsewhere.
    unfinished(&office.path("nights/runs/.2026-10-21.partial-9-0"));
    let lock = fs::File::create(office.path("nights/runs/.2026-10-21.lock")).unwrap();
    lock.lock().unwrap();
    let own = ["nights/runs/.letters/a.txt", "nights/runs/.2026-10-22.partial-9-0/a.txt", "lists/.notes.txt"];
    own.iter().for_each(|name| put(&office.path(name)));
    #[cfg(unix)]
    {
        unfinished(&office.path("lists/.2026-10-20.lists-9-0"));
        std::os::unix::fs::symlink(office.path("in"), office.path("lists/.2026-10-20.lists-9-0/in")).unwrap();
    }
    let before = office.tree();
    let dry = office.purge("2028-01-01", &["--dry-run"]).well().json();
    let done = office.purge("2028-01-01", &AGREED).well().json();
    let went: BTreeSet<PathBuf> = before.difference(&office.tree()).cloned().collect();
    assert_eq!(went, office.named(&dry), "the dry run and the run speak of other files");
    for name in gone {
        assert!(!office.path(name).exists(), "{name} stays for ever, and nobody is told");
    }
    for name in own {
        assert!(office.path(name).exists(), "{name} is somebody's own");
    }
    leaves(&done, "nights/runs/.letters", "not on record");
    leaves(&done, "nights/runs/.2026-10-22.partial-9-0", "not on record");
    leaves(&done, "lists/.notes.txt", "not on record");
    leaves(&done, "nights/runs/.2026-10-21.partial-9-0", "using it");
    #[cfg(unix)]
    leaves(&done, "lists/.2026-10-20.lists-9-0", "a link");
    assert!(!left(&done).iter().any(|left| left.contains(".lock ")), "{:#?}", left(&done));
    drop(lock);
    office.purge("2028-01-01", &AGREED).well();
    assert!(!office.path("nights/runs/.2026-10-21.partial-9-0").exists());
}

#[test]
fn one_foreign_file_does_not_keep_the_lists_beside_it() {
    let office = Office::new("[retention]\nexports = 30\n");
    office.night("2026-10-30").well();
    let night = office.path("lists/2026-10-30");
    let lists = files(&night);
    assert!(!lists.is_empty());
    let own = ["lists/2026-10-30/~$E0002-findings.xlsx", "lists/2026-10-30/Thumbs.db"];
    own.iter().for_each(|name| put(&office.path(name)));
    let before = office.tree();
    let dry = office.purge("2028-01-01", &["--dry-run"]).well().json();
    let done = office.purge("2028-01-01", &AGREED).well().json();
    let went: BTreeSet<PathBuf> = before.difference(&office.tree()).cloned().collect();
    // The record of a folder that is empty now goes with it; that of the night stays with what stays.
    let is_list = |path: &&PathBuf| !path.ends_with(".mingcha-lists.json");
    let gone: BTreeSet<PathBuf> = went.iter().filter(is_list).cloned().collect();
    assert_eq!(gone, lists.into_iter().collect(), "full lists stay for the sake of a foreign file");
    assert_eq!(went, office.named(&dry), "the dry run and the run speak of other files");
    for name in own {
        assert!(office.path(name).exists(), "{name} is somebody's own");
        leaves(&done, name, "not on record");
        leaves(&dry, name, "not on record");
    }
    // The certificate names what went, and nothing else.
    let book = Book::read(&office.path("ledger.sqlite")).unwrap();
    let certificates = serde_json::to_value(book.destroyed().unwrap()).unwrap();
    let items = certificates.as_array().unwrap().iter().flat_map(|c| c["items"].as_array().unwrap());
    let certified: BTreeSet<PathBuf> = items
        .flat_map(|item| item["files"].as_array().unwrap())
        .map(|file| night.join(file["name"].as_str().unwrap()))
        .collect();
    assert_eq!(certified, went);
    drop(book);
    // Once more: nothing is due, both are still named. When they are gone, so is the folder.
    let again = office.purge("2028-01-01", &AGREED).well().json();
    assert_eq!((again["due"].as_array().unwrap().len(), again["left"].as_array().unwrap().len()), (0, 2));
    own.iter().for_each(|name| fs::remove_file(office.path(name)).unwrap());
    office.purge("2028-01-01", &AGREED).well();
    assert!(!night.exists());
}

#[test]
fn of_a_run_all_that_is_foreign_is_named() {
    let office = Office::new("[retention]\nruns = 30\n");
    for day in ["2026-10-30", "2026-10-31"] {
        office.night(day).well();
    }
    let run = "nights/runs/2026-10-30";
    (1..=7).for_each(|n| put(&office.path(&format!("{run}/mine-{n}.txt"))));
    let before = office.tree();
    let done = office.purge("2028-01-01", &AGREED).well().json();
    assert_eq!(office.tree(), before, "a run goes as a whole or not at all");
    for n in 1..=5 {
        leaves(&done, run, &format!("mine-{n}.txt"));
    }
    leaves(&done, run, "and 2 more");
}

#[test]
fn a_store_in_which_nothing_changed_is_destroyed_as_well() {
    let office = Office::new("[retention]\nstores = 30\n");
    office.night("2026-10-30").well();
    for _ in 0..2 {
        mingcha(office.home(), &["prepare"]).well();
        let changes = office.path("store/changes");
        assert!(!changes.exists() || !names(&changes).is_empty(), "a folder was made for nothing");
    }
    // Earlier builds made it for nothing.
    fs::create_dir_all(office.path("store/changes")).unwrap();
    let done = office.purge("2028-01-01", &AGREED).well().json();
    assert_eq!(done["destroyed"]["stores"], 1, "{:#?}", left(&done));
    assert!(!office.path("store").exists());
}

/// `findings list` writes more than a pipe holds, and nobody reads it: so it stays at the run.
#[cfg(unix)]
#[test]
fn a_run_that_somebody_reads_stays() {
    use std::io::Read;
    let office = Office::new("[retention]\nruns = 30\n");
    office.night("2026-10-31").well();
    let run = "nights/runs/2020-01-02";
    copy(&city().join("run"), &office.path(run));
    let args =
        ["findings", "list", "--run", run, "--format", "json", "--limit", "0", "--profile", "investigator"];
    let mut reader = command(office.home(), &args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = reader.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    let told = office.purge("2028-01-01", &AGREED).well().json();
    let stays = office.path(run).join("manifest.json").exists();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert!(reader.wait().unwrap().success());
    assert!(rest.len() > 1 << 16, "the list fits into a pipe: nothing is proven ({} bytes)", rest.len());
    assert!(stays, "a run was destroyed under its reader");
    leaves(&told, run, "using it");
    office.purge("2028-01-01", &AGREED).well();
    assert!(!office.path(run).exists());
}
