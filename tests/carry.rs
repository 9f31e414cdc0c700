//! A run that builds upon an earlier one answers like a run in full: the same findings, excused subjects and outcomes
//! in all columns but those that tell of the run itself, whatever changed in between; and it looks at few persons.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its city has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mingcha_ledger::RunFolder;
use mingcha_rules::Outcome;
use mingcha_synth::{CityFormat, CityOptions, write_city};
use tempfile::TempDir;

const DAY: &str = "2026-06-30";

struct World {
    dir: TempDir,
    nights: usize,
    as_of: String,
}

/// How much each rule took over.
type Carried = BTreeMap<String, String>;

impl World {
    fn new(persons: u64, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = CityOptions {
            persons,
            seed,
            as_of: DAY.parse().unwrap(),
            format: CityFormat::CsvUtf8,
            dirt: true,
            threads: 2,
        };
        write_city(&options, &dir.path().join("in"), &|_, _, _| {}).unwrap();
        let world = Self { dir, nights: 0, as_of: DAY.to_owned() };
        world.write_config("");
        world.mingcha(&["prepare", "--data", "in", "--store", "store", "--shards", "5"]);
        world.run("night-0", None);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_config(&self, text: &str) {
        fs::write(self.path("mingcha.toml"), text).unwrap();
    }

    fn mingcha(&self, args: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mingcha"));
        command.args(args).current_dir(self.dir.path()).env_clear().env("LANG", "C");
        let told = command.output().unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        // 4: a rule was not evaluated for want of an input.
        assert!(
            matches!(told.status.code(), Some(0 | 4)),
            "{args:?}\n{}\n{}",
            text(&told.stdout),
            text(&told.stderr)
        );
    }

    fn run(&self, out: &str, since: Option<&str>) {
        let mut args =
            vec!["run", "--store", "store", "--as-of", &self.as_of, "--out", out, "--threads", "2"];
        if let Some(since) = since {
            args.extend(["--since", since]);
        }
        self.mingcha(&args);
    }

    fn folder(&self, name: &str) -> RunFolder {
        RunFolder::open(&self.path(name)).unwrap()
    }

    /// Rows of an extract, the heading first.
    fn rows(&self, dataset: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("in/{dataset}.csv"))).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn write_rows(&self, dataset: &str, rows: &[String]) {
        fs::write(self.path(&format!("in/{dataset}.csv")), rows.join("\n") + "\n").unwrap();
    }

    /// Prepares what changed and runs upon the last night and in full; both must answer alike.
    fn night(&mut self, what: &str) -> Carried {
        self.mingcha(&["prepare", "--data", "in", "--store", "store", "--shards", "5"]);
        let last = format!("night-{}", self.nights);
        self.nights += 1;
        let next = format!("night-{}", self.nights);
        self.run(&next, Some(&last));
        self.run("full", None);
        let (mine, full) = (self.folder(&next), self.folder("full"));
        assert_eq!(mine.manifest().run_id, full.manifest().run_id, "{what}");
        assert_eq!(mine.manifest().counts, full.manifest().counts, "{what}");
        let (a, b) = (mine.findings().unwrap(), full.findings().unwrap());
        assert!(!b.is_empty());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a, b, "{what}");
        }
        assert_eq!(a.len(), b.len(), "{what}");
        let (a, b) = (mine.excused().unwrap(), full.excused().unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a, b, "{what}");
        }
        assert_eq!(a.len(), b.len(), "{what}");
        let bare = |folder: &RunFolder| -> Vec<String> {
            let bare = |o: Outcome| Outcome { seconds: 0.0, peak_memory: 0, ..o };
            folder.outcomes().unwrap().into_iter().map(|o| format!("{:#?}", bare(o))).collect()
        };
        for (a, b) in bare(&mine).iter().zip(&bare(&full)) {
            assert_eq!(a, b, "{what}");
        }
        let environment = &mine.manifest().environment;
        environment
            .iter()
            .filter_map(|(k, v)| Some((k.strip_prefix("since.")?.to_owned(), v.clone())))
            .collect()
    }
}

fn is_partial(carried: &Carried, rule: &str) -> bool {
    carried[rule].starts_with("kept but for ")
}

/// The subject of some finding of a rule.
fn subject(world: &World, rule: &str, nth: usize) -> String {
    let folder = world.folder(&format!("night-{}", world.nights));
    folder.findings().unwrap().into_iter().filter(|f| f.rule_id == rule).nth(nth).unwrap().subject_id
}

#[test]
fn a_night_upon_another_answers_like_a_night_in_full() {
    let mut world = World::new(3_000, 5);
    let carried = world.night("nothing changed");
    assert!(carried.values().all(|c| c == "kept"), "{carried:?}");

    let mut rows = world.rows("pension_payments");
    for row in rows.iter_mut().skip(1).step_by(100) {
        let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
        // Amounts of a thousand and more are quoted, with a comma inside.
        if cells.len() == 9 {
            cells[5] = "501.25".to_owned();
        }
        *row = cells.join(",");
    }
    world.write_rows("pension_payments", &rows);
    let carried = world.night("one payment in a hundred changed");
    for rule in ["PEN-01", "PEN-02", "PEN-03", "PEN-04", "PEN-10", "PEN-17"] {
        assert!(is_partial(&carried, rule), "{rule}: {carried:?}");
    }
    // It reads payments, but not what they amount to.
    for rule in ["ID-01", "ID-02", "ID-03", "ID-04", "MED-02"] {
        assert_eq!(carried[rule], "kept", "{rule}");
    }

    let (dead, living) = (subject(&world, "PEN-01", 0), subject(&world, "PEN-03", 1));
    let mut rows = world.rows("pension_payments");
    rows.push(format!("{dead},110,basic,202605,2026-05-12,900.00,1,,6217880000000000003"));
    rows.push(format!("{living},110,basic,202606,2026-06-12,900.00,1,,6217880000000000003"));
    rows.push("880101195001010019,110,basic,202606,2026-06-12,900.00,1,,".to_owned());
    world.write_rows("pension_payments", &rows);
    let carried = world.night("rows were added at the end");
    assert!(is_partial(&carried, "PEN-01"), "{carried:?}");

    let paid = rows[40].split(',').next().unwrap().to_owned();
    let mut rows = world.rows("death_certificates");
    rows.push(format!("C889999999999,1,有效,{paid},某人,2025-01-03 01:17:00,望川区人民医院,2025-01-03,"));
    world.write_rows("death_certificates", &rows);
    world.night("somebody who is paid has died");
    rows.pop();
    world.write_rows("death_certificates", &rows);
    world.night("the certificate was taken back");

    let gone = subject(&world, "PEN-01", 2);
    for dataset in
        ["pension_payments", "pension_payees", "household_registry", "outpatient_visits", "cremations"]
    {
        let kept: Vec<String> = world.rows(dataset).into_iter().filter(|row| !row.contains(&gone)).collect();
        world.write_rows(dataset, &kept);
    }
    world.night("a person is gone");

    let corrected = subject(&world, "PEN-01", 1);
    let mut rows = world.rows("household_registry");
    for row in rows.iter_mut().filter(|row| row.starts_with(&corrected)) {
        *row = format!("{},某人,1,19500101,880103,880000000000,02,正常,,,", corrected);
    }
    world.write_rows("household_registry", &rows);
    let carried = world.night("an entry of the registry was corrected");
    assert!(is_partial(&carried, "PEN-01"), "{carried:?}");

    let mut rows = world.rows("hospital_admissions");
    rows.truncate(rows.len() - 3);
    world.write_rows("hospital_admissions", &rows);
    world.night("stays are gone, which a view over everybody counts");

    let mut rows = world.rows("coverage");
    rows.remove(5);
    world.write_rows("coverage", &rows);
    world.night("reference data changed");

    let (first, rest) = {
        let rows = world.rows("pension_payments");
        let half = rows.len() / 2;
        let rest: Vec<String> = rows[..1].iter().chain(&rows[half..]).cloned().collect();
        (rows[..half].to_vec(), rest)
    };
    world.write_rows("pension_payments", &first);
    world.write_rows("pension_payments-2", &rest);
    world.night("the second half of a file is another file");
    fs::rename(world.path("in/pension_payments-2.csv"), world.path("in/pension_payments-9.csv")).unwrap();
    world.night("a file has another name");
    fs::remove_file(world.path("in/pension_refunds.csv")).unwrap();
    world.night("a dataset is no longer delivered");

    world.write_config("[params.PEN-01]\ngrace_months = 2\n");
    let carried = world.night("a parameter changed");
    assert!(carried["PEN-01"].starts_with("not kept"), "{carried:?}");
    assert_eq!(carried["PEN-02"], "kept");

    world.as_of = "2026-07-01".to_owned();
    let carried = world.night("another day");
    for rule in ["PEN-03", "PEN-04", "PEN-06", "PEN-12", "MED-01", "ID-02"] {
        assert!(carried[rule].starts_with("kept"), "{rule}: {carried:?}");
    }
    for rule in ["PEN-07", "PEN-08", "PEN-09"] {
        assert!(carried[rule].starts_with("not kept"), "{rule}: {carried:?}");
    }
    world.as_of = "2026-06-30".to_owned();
    world.night("the day before, upon the day after");
    world.as_of = "2026-06-15".to_owned();
    world.night("an earlier day");
}

/// Takes what is known of the changes of a dataset out of a store.
fn forget_changes(store: &std::path::Path, dataset: &str) {
    let path = store.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let last = manifest["changes"].as_array_mut().unwrap().last_mut().unwrap();
    assert!(last["datasets"].as_object_mut().unwrap().remove(dataset).is_some());
    fs::write(&path, manifest.to_string()).unwrap();
}

#[test]
fn a_person_whose_change_is_not_told_is_missed_and_the_comparison_sees_it() {
    let world = World::new(1_000, 3);
    let dead = subject(&world, "PEN-01", 0);
    let mut rows = world.rows("pension_payments");
    rows.retain(|row| !row.starts_with(&dead));
    world.write_rows("pension_payments", &rows);
    world.mingcha(&["prepare", "--data", "in", "--store", "store", "--shards", "5"]);
    world.run("told", Some("night-0"));
    world.run("full", None);
    forget_changes(&world.path("store"), "pension_payments");
    world.run("untold", Some("night-0"));
    let findings = |name: &str| world.folder(name).findings().unwrap();
    assert_eq!(findings("told"), findings("full"));
    assert_ne!(findings("untold"), findings("full"));
    assert!(findings("untold").iter().any(|f| f.rule_id == "PEN-01" && f.subject_id == dead));
}

#[test]
fn changes_of_several_preparations_add_up() {
    let mut world = World::new(1_000, 9);
    for n in 0..3 {
        let mut rows = world.rows("pension_payments");
        let payee = rows[7 + n * 900].split(',').next().unwrap().to_owned();
        rows.push(format!("{payee},110,basic,20260{},2026-06-12,{}.00,1,,", n + 1, 900 + n));
        world.write_rows("pension_payments", &rows);
        if n < 2 {
            world.mingcha(&["prepare", "--data", "in", "--store", "store", "--shards", "5"]);
        }
    }
    let carried = world.night("three preparations");
    assert!(is_partial(&carried, "PEN-12"), "{carried:?}");
    world.mingcha(&["prepare", "--data", "in", "--store", "store", "--shards", "5", "--full"]);
    let carried = world.night("prepared in full");
    // A preparation in full and then another one: nothing is known of the store before.
    assert!(carried.values().all(|c| c.starts_with("not kept")), "{carried:?}");
}
