//! What leaves by the screen and by files, seen by somebody who should not learn who is meant: plain ids, escape sequences
//! in names, rights of files, and filters that would show more than was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mingcha_ledger::{RunFolder, RunRecord, RunWriter};
use serde_json::Value;

use crate::city::city;
use crate::harness::{BINARY, Told, files, mingcha};

fn run() -> String {
    city().join("run").display().to_string()
}

/// The findings of the city, unmasked.
fn open() -> Vec<Value> {
    let run = run();
    let args =
        ["findings", "list", "--run", &run, "--format", "json", "--limit", "0", "--profile", "investigator"];
    mingcha(city(), &args).well().json().as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// What in `told` gives somebody away who was flagged: a plain id or its beginning, a number, what its mask hides, an area
/// more exact than a county.
fn given_away(told: &str, open: &[Value]) -> Vec<String> {
    let runs: BTreeSet<&str> =
        told.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= 6).collect();
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for finding in open {
        ids.insert(&text(finding, "finding_id")[..8], text(finding, "finding_id"));
    }
    let mut found = Vec::new();
    for run in runs {
        let plain = run.get(..8).and_then(|begin| ids.get(begin));
        let whole = plain.is_some_and(|id| id.starts_with(&run[..run.len().min(32)]));
        found.extend(whole.then(|| format!("the plain id {run}")));
    }
    for finding in open.iter().filter(|f| f["subject_type"] == "person") {
        let number = text(finding, "subject_id");
        if number.len() == 18 {
            found
                .extend([number, &number[4..14]].into_iter().filter(|n| told.contains(n)).map(str::to_owned));
        }
        let area = text(finding, "area_code");
        if area.len() > 6 && told.contains(area) {
            found.push(format!("{area}, where {number} lives"));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn nothing_that_is_shown_masked_can_be_unmasked() {
    let (open, run) = (open(), run());
    assert!(open.len() > 300);
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let ledger = "ledger.sqlite";
    let list = ["findings", "list", "--limit", "0"];
    let mut shown: Vec<(String, Told)> = Vec::new();
    let mut show = |args: &[&str]| {
        let told = mingcha(at, args).well();
        shown.push((args.join(" "), told));
        shown.last().unwrap().1.out.clone()
    };
    show(&[&list[..], &["--run", &run]].concat());
    show(&[&list[..], &["--run", &run, "--lang", "zh", "--profile", "supervisor"]].concat());
    show(&[&list[..], &["--run", &run, "--profile", "public", "--format", "json"]].concat());
    let masked = show(&[&list[..], &["--run", &run, "--format", "json"]].concat());
    let masked: Vec<Value> = serde_json::from_str(&masked).unwrap();
    assert_eq!(masked.len(), open.len());
    for finding in masked.iter().step_by(40) {
        let id = text(finding, "finding_id");
        assert_eq!(id.len(), 32);
        show(&["findings", "show", id, "--run", &run]);
        show(&["findings", "show", &id[..12], "--run", &run, "--format", "json"]);
        show(&["findings", "explain", id, "--run", &run, "--format", "json"]);
    }
    // Into a ledger, and once more from there.
    mingcha(at, &["ledger", "absorb", &run, "--ledger", ledger, "--as", "nightly", "--at", "2026-11-01"])
        .well();
    let of_ledger = ["--ledger", ledger, "--at", "2026-11-02"];
    show(&[&list[..], &of_ledger].concat());
    let leads = show(&[&list[..], &of_ledger, &["--format", "json"]].concat());
    show(&[&list[..], &of_ledger, &["--order", "queue", "--format", "json"]].concat());
    let leads: Vec<Value> = serde_json::from_str(&leads).unwrap();
    let id = text(&leads[0], "finding_id");
    show(&[&["findings", "show", id][..], &of_ledger, &["--format", "json"]].concat());
    show(
        &[&["findings", "assign", id, "--to", "li", "--as", "chief", "--format", "json"][..], &of_ledger]
            .concat(),
    );
    for (what, told) in &shown {
        let found = given_away(&format!("{}{}", told.out, told.err), &open);
        assert!(found.is_empty(), "`{what}` gives away: {found:?}");
    }
    // The run in an office with a ledger: one lead has one name.
    let told =
        mingcha(at, &[&list[..], &["--run", &run, "--ledger", ledger, "--format", "json"]].concat()).well();
    let names = |all: &[Value]| all.iter().map(|f| text(f, "finding_id").to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(told.json().as_array().unwrap()), names(&leads));
}

#[test]
fn no_masked_file_can_be_unmasked_and_its_ids_lead_back_for_whoever_has_the_run() {
    let (open, run) = (open(), run());
    let dir = tempfile::tempdir().unwrap();
    for format in ["csv", "ndjson"] {
        let out = format!("lists-{format}");
        mingcha(dir.path(), &["export", "--run", &run, "--out", &out, "--format", format, "--by-area"])
            .well();
        for file in files(&dir.path().join(&out)) {
            let told = format!("{}\n{}", file.display(), fs::read_to_string(&file).unwrap());
            let found = given_away(told.strip_prefix(dir.path().to_str().unwrap()).unwrap(), &open);
            assert!(found.is_empty(), "{} gives away: {found:?}", file.display());
        }
    }
    let list = fs::read_to_string(dir.path().join("lists-ndjson/findings.ndjson")).unwrap();
    let ids: BTreeSet<&str> = open.iter().map(|f| text(f, "finding_id")).collect();
    for line in list.lines().step_by(60) {
        let masked: Value = serde_json::from_str(line).unwrap();
        let args = [
            "findings",
            "show",
            text(&masked, "finding_id"),
            "--run",
            &run,
            "--profile",
            "investigator",
            "--format",
            "json",
        ];
        let full = mingcha(dir.path(), &args).well().json();
        assert!(ids.contains(text(&full["finding"], "finding_id")));
        assert_eq!(full["finding"]["rule_id"], masked["rule_id"]);
        assert!(text(&full["finding"], "area_code").starts_with(text(&masked, "area_code")));
    }
}

/// A run as the city's, of which everybody has a name that would act on a terminal.
fn evil(at: &Path) -> String {
    const NAME: &str = "王\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}明\u{2066}\u{200b}\u{8}\n第二行\t\u{85}";
    let of_city = RunFolder::open(&city().join("run")).unwrap();
    let manifest = of_city.manifest();
    let record = RunRecord {
        engine: manifest.engine.clone(),
        as_of: manifest.as_of.clone(),
        started: manifest.started.clone(),
        ..RunRecord::default()
    };
    let mut findings = of_city.findings().unwrap();
    for finding in &mut findings {
        finding.subject_name = Some(NAME.to_owned());
        finding.message.en = format!("{NAME}: {}", finding.message.en);
        finding.evidence.truncate(1);
        finding
            .evidence
            .iter_mut()
            .for_each(|row| drop(row.columns.insert("name".to_owned(), NAME.to_owned())));
    }
    let outcomes = of_city.outcomes().unwrap();
    let mut writer = RunWriter::create(&at.join("evil")).unwrap();
    writer.begin(&record, &outcomes).unwrap();
    writer.add(findings, []).unwrap();
    writer.finish(&outcomes, &manifest.ended).unwrap();
    writer.commit().unwrap();
    "evil".to_owned()
}

#[track_caller]
fn quiet(told: &Told) {
    let turns = ['\u{200b}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}'];
    let acts = |c: char| c != '\n' && (c.is_control() || turns.contains(&c));
    for (stream, text) in [("stdout", &told.out), ("stderr", &told.err)] {
        let line = text.lines().find(|line| line.contains(acts));
        assert!(line.is_none(), "on {stream}: {line:?}");
    }
}

#[test]
fn a_name_does_nothing_to_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = evil(at);
    let list = ["findings", "list", "--run", &run, "--limit", "5"];
    for profile in ["investigator", "supervisor"] {
        let told = mingcha(at, &[&list[..], &["--profile", profile]].concat()).well();
        quiet(&told);
        assert_eq!(told.out.lines().count(), 2 + 5 + 1, "a row of a table is a line: {}", told.out);
        let json = mingcha(at, &[&list[..], &["--profile", profile, "--format", "json"]].concat()).well();
        quiet(&json);
        let all = json.json();
        if profile == "investigator" {
            assert!(text(&all[0], "subject_name").contains('\u{1b}'), "for machines it is what it is");
        }
        let id = text(&all[0], "finding_id");
        quiet(&mingcha(at, &["findings", "show", id, "--run", &run, "--profile", profile]).well());
    }
    mingcha(at, &["ledger", "absorb", &run, "--ledger", "l", "--as", "nightly", "--at", "2026-11-01"]).well();
    let of_ledger = ["--ledger", "l", "--at", "2026-11-02", "--profile", "investigator"];
    let list = [&["findings", "list", "--limit", "5"][..], &of_ledger].concat();
    quiet(&mingcha(at, &list).well());
    quiet(&mingcha(at, &[&list[..], &["--order", "queue"]].concat()).well());
    let leads = mingcha(at, &[&list[..], &["--format", "json"]].concat()).well().json();
    let id = text(&leads[0], "finding_id");
    let to = "li\u{1b}[31m\u{202e}";
    let assign =
        ["findings", "assign", id, "--to", to, "--as", "chief", "--ledger", "l", "--at", "2026-11-02"];
    quiet(&mingcha(at, &assign).well());
    quiet(&mingcha(at, &list).well());
    quiet(&mingcha(at, &["findings", "list", "--run", "no\u{1b}[2Jsuch\u{202e}"]));
    quiet(&mingcha(at, &["findings", "lost\u{1b}[2J\u{9b}"]));
}

/// The answer of a command under a system that would give everybody everything.
#[cfg(unix)]
fn openhanded(at: &Path, args: &[&str]) -> Told {
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg("umask 000; exec \"$0\" \"$@\"").arg(BINARY).args(args);
    shell.current_dir(at).env_clear().env("NO_COLOR", "1").env("LANG", "C");
    if let Some(folder) = std::env::var_os("TMPDIR") {
        shell.env("TMPDIR", folder);
    }
    crate::harness::told(shell.output().unwrap())
}

#[cfg(unix)]
#[test]
fn what_names_people_in_full_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let store = city().join("store").display().to_string();
    openhanded(at, &["run", "--store", &store, "--as-of", "2026-10-31", "--out", "run", "--only", "PEN-01"])
        .well();
    let full = ["--profile", "investigator"];
    for format in ["xlsx", "csv", "parquet", "ndjson"] {
        let out = format!("lists/{format}");
        let args = ["export", "--run", "run", "--out", &out, "--format", format, "--by-area"];
        openhanded(at, &[&args[..], &full].concat()).well();
    }
    let absorb = ["ledger", "absorb", "run", "--ledger", "book/l", "--as", "nightly", "--at", "2026-11-01"];
    openhanded(at, &absorb).well();
    let report = ["report", "night", "--ledger", "book/l", "--at", "2026-11-02", "--out", "reports"];
    openhanded(at, &[&report[..], &full].concat()).well();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in ["run", "lists", "lists/csv", "lists/csv/areas", "reports"] {
        assert_eq!(mode(&at.join(folder)), 0o700, "{folder}");
    }
    let all = ["run", "lists", "reports"].map(|folder| files(&at.join(folder))).concat();
    assert!(all.len() > 12, "{all:?}");
    for file in all {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&at.join("book/l")), 0o600);
}

#[test]
fn a_waiver_shows_its_subject_to_whoever_may_see_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = run();
    mingcha(at, &["ledger", "absorb", &run, "--ledger", "l", "--as", "nightly", "--at", "2026-11-01"]).well();
    let number = open().iter().map(|f| text(f, "subject_id").to_owned()).find(|n| n.len() == 18).unwrap();
    let reason = format!("known, see {number}");
    let waive = [
        "findings",
        "waive",
        "--subject",
        &number,
        "--reason",
        &reason,
        "--approver",
        "chief",
        "--expires",
        "2026-12-01",
        "--ledger",
        "l",
        "--as",
        "li",
        "--at",
        "2026-11-02",
        "--format",
        "json",
    ];
    let told = mingcha(at, &waive).well();
    assert!(!told.out.contains(&number), "{}", told.out);
    let waivers = ["findings", "waivers", "--ledger", "l", "--at", "2026-11-02"];
    for format in ["human", "json"] {
        let told = mingcha(at, &[&waivers[..], &["--format", format]].concat()).well();
        assert!(!told.out.contains(&number) && !told.out.contains(&number[4..14]), "{}", told.out);
    }
    let told =
        mingcha(at, &[&waivers[..], &["--format", "json", "--profile", "investigator"]].concat()).well();
    assert_eq!(told.json()[0]["waiver"]["subject"], number.as_str());
}

#[test]
fn an_empty_filter_is_refused_and_not_taken_for_everything() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = run();
    mingcha(at, &["ledger", "absorb", &run, "--ledger", "l", "--as", "nightly", "--at", "2026-11-01"]).well();
    let list = ["findings", "list", "--run", &run];
    let export = ["export", "--ledger", "l", "--as", "li", "--out", "lists", "--profile", "investigator"];
    for blank in ["", " ", "\u{3000}"] {
        for args in [
            [&export[..], &["--for", blank]].concat(),
            [&export[..], &["--recipient", blank]].concat(),
            [&list[..], &["--area", blank]].concat(),
            [&list[..], &["--subject", blank]].concat(),
            [&list[..], &["--rule", blank]].concat(),
            vec!["findings", "list", "--run", blank],
            vec!["findings", "show", blank, "--run", &run],
            vec!["findings", "assign", "--area", blank, "--to", "li", "--ledger", "l", "--as", "chief"],
            vec!["report", "area", blank, "--ledger", "l", "--out", "reports"],
        ] {
            let told = mingcha(at, &args);
            assert_eq!(told.code, Some(2), "{args:?}\n{}{}", told.out, told.err);
        }
    }
    assert!(!at.join("lists").exists() && !at.join("reports").exists());
    for (name, value) in [("MINGCHA_RUN", ""), ("MINGCHA_LEDGER", " "), ("MINGCHA_EXPORT", "")] {
        let told =
            crate::harness::told(crate::harness::command(at, &list).env(name, value).output().unwrap());
        assert!(told.code == Some(2) && told.err.contains(name), "{}", told.err);
    }
    for settings in [
        "[paths]\nrun = ' '\n",
        "[ledger]\nas = ' '\n",
        "[[ledger.people]]\nname = 'li'\nareas = ['']\n",
        "[[ledger.handlers]]\nname = 'wang'\narea = ' '\n",
        "[[sources]]\npath = 'a.csv'\ndataset = ' '\n",
    ] {
        fs::write(at.join("mingcha.toml"), settings).unwrap();
        let told = mingcha(at, &list);
        assert!(told.code == Some(2) && told.err.contains("MC092"), "{settings}{}{}", told.out, told.err);
    }
}

#[test]
fn a_filter_that_cannot_apply_is_refused_and_says_what_does() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let (run, store) = (run(), city().join("store").display().to_string());
    mingcha(at, &["ledger", "absorb", &run, "--ledger", "l", "--as", "nightly", "--at", "2026-11-01"]).well();
    let list = ["findings", "list", "--run", &run];
    let export = ["export", "--run", &run, "--out", "lists"];
    let of_ledger = ["export", "--ledger", "l", "--as", "li", "--out", "lists"];
    let idle: [(Vec<&str>, &str); 16] = [
        ([&list[..], &["--stage", "new"]].concat(), "--stage"),
        ([&list[..], &["--mark", "new"]].concat(), "--mark"),
        ([&list[..], &["--light", "red"]].concat(), "--light"),
        ([&list[..], &["--assignee", "li"]].concat(), "--assignee"),
        ([&list[..], &["--all"]].concat(), "--all"),
        ([&export[..], &["--expires", "2099-01-01"]].concat(), "--expires"),
        ([&export[..], &["--controls", "3"]].concat(), "--controls"),
        ([&export[..], &["--store", &store]].concat(), "--store"),
        ([&export[..], &["--as", "li"]].concat(), "--as"),
        ([&export[..], &["--encoding", "gb18030"]].concat(), "--encoding"),
        ([&export[..], &["--profile", "public", "--by-area"]].concat(), "--by-area"),
        ([&of_ledger[..], &["--run", &run, "--controls", "3"]].concat(), "--controls"),
        ([&of_ledger[..], &["--for", "88", "--format", "csv", "--store", &store]].concat(), "--store"),
        (
            vec!["run", "--store", &store, "--as-of", "2026-10-31", "--out", "run", "--shards", "2"],
            "--shards",
        ),
        (vec!["run", "--store", &store, "--as-of", "2026-10-31", "--out", "run", "--as", "li"], "--as"),
        (vec!["plan", "--store", &store, "--as-of", "2026-10-31", "--encoding", "gbk"], "--encoding"),
    ];
    for (args, flag) in idle {
        let told = mingcha(at, &args);
        assert_eq!(told.code, Some(2), "{args:?}\n{}{}", told.out, told.err);
        assert!(
            told.err.contains("MC825") && told.err.contains(&format!("`{flag}`")),
            "{args:?}\n{}",
            told.err
        );
        assert!(told.err.contains("help: "), "{args:?} says not what to do instead\n{}", told.err);
    }
    assert!(!at.join("lists").exists() && !at.join("run").exists());
    for args in [
        [&list[..], &["--rule", "PEN-999"]].concat(),
        vec!["findings", "list", "--ledger", "l", "--rule", "PEN-999"],
        vec!["scorecard", "--ledger", "l", "--rule", "PEN-999"],
        vec!["run", "--store", &store, "--as-of", "2026-10-31", "--out", "run", "--only", "PEN-999"],
    ] {
        let told = mingcha(at, &args);
        assert!(told.code == Some(2) && told.err.contains("PEN-999"), "{args:?}\n{}{}", told.out, told.err);
    }
    for args in
        [[&list[..], &["--area", "77"]].concat(), vec!["findings", "list", "--ledger", "l", "--area", "77"]]
    {
        let told = mingcha(at, &args).well();
        assert!(told.err.contains("an area whose code begins with 77"), "{args:?}\n{}", told.err);
    }
    // Whose number is known can be asked for in a run, too.
    let all = open();
    let number = text(&all[0], "subject_id");
    let args = [&list[..], &["--subject", number, "--limit", "0", "--format", "json"]].concat();
    let theirs = mingcha(at, &args).well().json().as_array().unwrap().len();
    assert_eq!(theirs, all.iter().filter(|f| text(f, "subject_id") == number).count());
}

#[test]
fn a_run_is_asked_about_a_subject_by_any_spelling_of_the_number_and_never_about_several() {
    let (all, run) = (open(), run());
    let dir = tempfile::tempdir().unwrap();
    let numbers: BTreeSet<&str> =
        all.iter().map(|f| text(f, "subject_id")).filter(|n| n.len() == 18).collect();
    let masked = |number: &str| format!("{}{}{}", &number[..4], "*".repeat(10), &number[14..]);
    let alone = |number: &&&str| numbers.iter().filter(|n| masked(n) == masked(number)).count() == 1;
    let number = *numbers.iter().find(alone).unwrap();
    let about = |subject: &str, more: &[&str]| {
        let list = ["findings", "list", "--run", &run, "--subject", subject, "--limit", "0"];
        mingcha(dir.path(), &[&list[..], more].concat())
    };
    let theirs = all.iter().filter(|f| text(f, "subject_id") == number).count();
    let wide: String = number.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    let blanks = format!(" {} {} ", &number[..6], &number[6..]);
    for spelled in [number.to_owned(), number.to_lowercase(), wide, blanks, masked(number)] {
        let told = about(&spelled, &["--format", "json"]).well();
        assert_eq!(told.json().as_array().unwrap().len(), theirs, "{spelled}\n{}", told.err);
        assert!(!told.err.contains("no finding about"), "{spelled}\n{}", told.err);
    }
    // Several are meant: nothing is answered, and nobody is named in full.
    for more in [&[][..], &["--profile", "public"], &["--profile", "investigator"]] {
        let told = about("88****************", more);
        assert!(told.code == Some(2) && told.err.contains("MC865"), "{more:?}\n{}{}", told.out, told.err);
        assert!(told.out.is_empty(), "{more:?}\n{}", told.out);
        assert_eq!(given_away(&told.err, &all), Vec::<String>::new(), "{more:?}");
        assert_eq!(told.err.contains("these leads"), more != ["--profile", "public"], "{}", told.err);
    }
    // Nobody is: an empty list says so.
    for nobody in ["880101190001010000", "9901**************"] {
        let told = about(nobody, &["--format", "json"]).well();
        assert_eq!(told.json(), serde_json::json!([]));
        assert!(told.err.contains("no finding about the number"), "{}", told.err);
        assert!(!told.err.contains(nobody), "{}", told.err);
    }
}
