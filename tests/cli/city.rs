//! A small synthetic city from the raw extracts to the lists, held against the truth about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use insta::assert_snapshot;
use mingcha_synth::{TruthRow, read_truth};
use serde_json::Value;

use crate::harness::{command, files, mingcha, names};

/// Extracts, store and run of one city, made once for all tests.
pub(crate) fn city() -> &'static Path {
    static CITY: OnceLock<PathBuf> = OnceLock::new();
    CITY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("city");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(&dir).unwrap();
        mingcha(&dir, &["synth", "--persons", "2000", "--seed", "7", "--out", "extracts"]).well();
        mingcha(&dir, &["prepare", "--data", "extracts", "--store", "store"]).well();
        mingcha(&dir, &["run", "--store", "store", "--as-of", "2026-10-31", "--out", "run"]).well();
        dir
    })
}

fn truth() -> Vec<TruthRow> {
    read_truth(&city().join("extracts/truth.parquet")).unwrap()
}

/// The findings of a run, unmasked.
fn findings(at: &Path, run: &str) -> Vec<Value> {
    let args =
        ["findings", "list", "--run", run, "--format", "json", "--limit", "0", "--profile", "investigator"];
    mingcha(at, &args).well().json().as_array().unwrap().clone()
}

/// The first planted case that `wanted` holds for.
fn planted(wanted: impl Fn(&TruthRow) -> bool) -> TruthRow {
    truth().into_iter().find(wanted).unwrap()
}

#[test]
fn exactly_those_are_flagged_who_were_planted() {
    let pair =
        |f: &Value| (f["rule_id"].as_str().unwrap().to_owned(), f["subject_id"].as_str().unwrap().to_owned());
    let found: BTreeSet<_> = findings(city(), "run").iter().map(pair).collect();
    let expected: BTreeSet<_> =
        truth().into_iter().filter(|t| t.expected).map(|t| (t.rule_id, t.subject_id)).collect();
    let missed: Vec<_> = expected.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&expected).collect();
    assert!(missed.is_empty() && wrong.is_empty(), "missed {missed:?}\nwrongly flagged {wrong:?}");
}

#[test]
fn explain_names_the_exclusion_that_was_planted() {
    let mut cases: BTreeMap<(String, String), String> = BTreeMap::new();
    for row in truth() {
        if let Some(code) = row.exclusion {
            cases.entry((row.rule_id, code)).or_insert(row.subject_id);
        }
    }
    assert!(cases.len() > 50, "only {} exclusions were planted", cases.len());
    for ((rule, code), subject) in cases {
        let told = mingcha(city(), &["findings", "explain", &subject, "--run", "run", "--format", "json"])
            .well()
            .json();
        let answer =
            told["rules"].as_array().unwrap().iter().find(|a| a["rule_id"] == rule.as_str()).unwrap().clone();
        let codes: Vec<&str> =
            answer["excused"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
        assert_eq!(answer["verdict"], "excused", "{rule} {code}");
        assert!(codes.contains(&code.as_str()), "{rule}: wanted {code}, got {codes:?}");
    }
}

#[test]
fn explain_says_why_a_person_is_flagged_and_hides_who_it_is() {
    let case = planted(|t| t.rule_id == "PEN-01" && t.expected);
    let zh = mingcha(city(), &["findings", "explain", &case.subject_id, "--run", "run", "--lang", "zh"])
        .well()
        .out;
    assert!(zh.contains("PEN-01 户籍因死亡注销后仍发放养老待遇") && zh.contains("X-LAG"), "{zh}");
    assert!(!zh.contains(&case.subject_id), "the number is shown");
    let args = ["findings", "explain", &case.subject_id, "--run", "run", "--profile", "investigator"];
    let en = mingcha(city(), &args).well().out;
    assert!(en.contains(&case.subject_id) && en.contains("household_registry"), "{en}");
}

#[test]
fn explain_says_why_a_person_is_not_flagged() {
    let case = planted(|t| t.rule_id == "PEN-01" && t.exclusion.as_deref() == Some("X-LAG"));
    let told = |lang: &str| {
        let out = mingcha(city(), &["findings", "explain", &case.subject_id, "--run", "run", "--lang", lang])
            .well()
            .out;
        out.lines()
            .skip_while(|l| !l.starts_with("PEN-01"))
            .take_while(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (lang, words) in [("zh", "X-LAG"), ("en", "X-LAG")] {
        let text = told(lang);
        assert!(text.contains(words), "{lang}: {text}");
    }
}

#[test]
fn a_number_is_found_in_any_spelling() {
    let case = planted(|t| t.rule_id == "PEN-01" && t.expected);
    let wide: String = case.subject_id.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
    let plain = mingcha(city(), &["findings", "explain", &case.subject_id, "--run", "run"]).well().out;
    assert_eq!(mingcha(city(), &["findings", "explain", &wide, "--run", "run"]).well().out, plain);
}

#[test]
fn a_finding_is_shown_by_the_beginning_of_its_id() {
    let all = findings(city(), "run");
    let id = all[0]["finding_id"].as_str().unwrap();
    let show = |id: &str, more: &[&str]| {
        let args = [&["findings", "show", id, "--run", "run", "--format", "json"], more].concat();
        mingcha(city(), &args).well().json()["finding"]["finding_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(show(&id[..12], &["--profile", "investigator"]), id);
    // Masked, it has another name, by which it is found as well.
    let named = show(&id[..12], &[]);
    assert_ne!(named, id);
    assert_eq!(show(&named[..12], &["--profile", "investigator"]), id);
    assert_snapshot!(mingcha(city(), &["findings", "show", "000000", "--run", "run", "--lang", "zh"]).all(), @r"
    exit 2
    错误[MC086]: 没有编号以所给 6 位开头的线索
    建议: 用 `mingcha findings list` 查看编号；查人用 `mingcha findings explain`
    ");
}

#[test]
fn lists_that_leave_are_masked_unless_asked_otherwise() {
    let numbers: BTreeSet<String> = truth()
        .into_iter()
        .filter(|t| t.expected && t.subject_id.len() == 18)
        .map(|t| t.subject_id)
        .collect();
    let holds_numbers = |folder: &Path| {
        let texts: Vec<String> = files(folder).iter().map(|f| fs::read_to_string(f).unwrap()).collect();
        assert!(!texts.is_empty());
        numbers.iter().any(|n| texts.iter().any(|t| t.contains(n.as_str())))
    };
    let dir = tempfile::tempdir().unwrap();
    let run = city().join("run");
    let export = |out: &str, more: &[&str]| {
        let args =
            [&["export", "--run", run.to_str().unwrap(), "--out", out, "--format", "csv"], more].concat();
        mingcha(dir.path(), &args).well();
        holds_numbers(&dir.path().join(out))
    };
    assert!(!export("masked", &["--by-area"]), "masked lists hold identity numbers");
    assert!(
        export("full", &["--profile", "investigator", "--by-area"]),
        "full lists hold no identity numbers"
    );
    assert!(!export("counts", &["--profile", "public"]), "public counts hold identity numbers");
    let listed = mingcha(city(), &["findings", "list", "--run", "run", "--limit", "0"]).well().out;
    assert!(!numbers.iter().any(|n| listed.contains(n.as_str())), "the list on the screen is not masked");
}

#[test]
fn an_export_does_not_replace_lists_that_may_be_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let run = city().join("run");
    let export = |more: &[&str]| {
        mingcha(
            dir.path(),
            &[&["export", "--run", run.to_str().unwrap(), "--out", "lists", "--format", "ndjson"], more]
                .concat(),
        )
    };
    export(&[]).well();
    assert_eq!(export(&[]).code, Some(2));
    export(&["--replace"]).well();
}

#[test]
fn a_run_over_extracts_finds_the_same_and_leaves_only_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = city().join("extracts");
    mingcha(
        dir.path(),
        &[
            "run",
            "--data",
            data.to_str().unwrap(),
            "--as-of",
            "2026-10-31",
            "--out",
            "here/run",
            "--threads",
            "1",
        ],
    )
    .well();
    assert_eq!(findings(dir.path(), "here/run"), findings(city(), "run"));
    assert_eq!(names(&dir.path().join("here")), ["run"]);
    assert_eq!(
        names(&dir.path().join("here/run")),
        ["excused.parquet", "findings.parquet", "manifest.json", "names.key", "rules.parquet"]
    );
}

#[test]
fn exit_codes_tell_a_threshold_from_stale_inputs_and_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let store = city().join("store");
    let run = |more: &[&str]| {
        mingcha(
            dir.path(),
            &[
                &[
                    "run",
                    "--store",
                    store.to_str().unwrap(),
                    "--out",
                    "run",
                    "--only",
                    "PEN-01",
                    "--format",
                    "json",
                ],
                more,
            ]
            .concat(),
        )
    };
    assert_eq!(run(&["--as-of", "2026-10-31", "--fail-on", "critical"]).code, Some(1));
    let stale = run(&["--as-of", "2027-10-31"]);
    assert_eq!((stale.code, stale.json()["rules"][0]["outcome"].clone()), (Some(4), "not_evaluated".into()));
    assert_eq!(run(&[]).code, Some(2), "the day must be given");
    assert_eq!(run(&["--as-of", "2026-10-31", "--memory", "lots"]).code, Some(2));
}

#[test]
fn two_runs_into_one_folder_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let lock = fs::File::create(dir.path().join(".run.lock")).unwrap();
    lock.lock().unwrap();
    let store = city().join("store");
    let args =
        ["run", "--store", store.to_str().unwrap(), "--as-of", "2026-10-31", "--out", "run", "--lang", "zh"];
    assert_snapshot!(mingcha(dir.path(), &args).all(), @r"
    exit 6
    错误[MC085]: 需要独占 `run`，但另一个 mingcha 正在写它
    建议: 请等它结束，或换一个目录
    ");
    lock.unlock().unwrap();
    assert_eq!(mingcha(dir.path(), &args).code, Some(0));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = city().join("extracts");
    let args = [
        "run",
        "--data",
        data.to_str().unwrap(),
        "--as-of",
        "2026-10-31",
        "--out",
        "runs/tonight",
        "--lang",
        "zh",
    ];
    let child = command(dir.path(), &args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let runs = dir.path().join("runs");
    // The temporary store appears when the work has begun.
    while !(runs.is_dir() && names(&runs).iter().any(|n| n.starts_with(".mingcha-store-"))) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let told = crate::harness::told(child.wait_with_output().unwrap());
    assert_eq!(told.code, Some(130), "{}", told.all());
    assert!(told.err.contains("已中断"), "{}", told.err);
    assert_eq!(names(&runs), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_no_run_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("mine")).unwrap();
    fs::write(dir.path().join("mine/letter.txt"), "x").unwrap();
    let store = city().join("store");
    let told = mingcha(
        dir.path(),
        &["run", "--store", store.to_str().unwrap(), "--as-of", "2026-10-31", "--out", "mine"],
    );
    assert_eq!(told.code, Some(2), "{}", told.all());
    assert_eq!(names(&dir.path().join("mine")), ["letter.txt"]);
}

#[test]
fn verify_sees_a_single_changed_byte() {
    let dir = tempfile::tempdir().unwrap();
    for name in names(&city().join("run")) {
        fs::copy(city().join("run").join(&name), dir.path().join(&name)).unwrap();
    }
    let verify = || mingcha(dir.path(), &["verify", "--run", "."]);
    verify().well();
    let file = dir.path().join("findings.parquet");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let told = verify();
    assert_eq!(told.code, Some(4));
    assert!(told.err.contains("findings.parquet"), "{}", told.err);
}

#[test]
fn plan_says_what_would_run_and_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = city().join("store");
    let plan = |day: &str| {
        mingcha(
            dir.path(),
            &[
                "plan",
                "--store",
                store.to_str().unwrap(),
                "--as-of",
                day,
                "--only",
                "PEN-01,PEN-22",
                "--format",
                "json",
            ],
        )
    };
    let now = plan("2026-10-31").well().json();
    assert_eq!((now[0]["runs"].clone(), now[0]["shard_local"].clone()), (true.into(), true.into()));
    assert_eq!((now[1]["runs"].clone(), now[1]["shard_local"].clone()), (true.into(), false.into()));
    let late = plan("2027-10-31");
    assert_eq!((late.code, late.json()[0]["runs"].clone()), (Some(4), false.into()));
}

#[test]
fn the_demonstration_agrees_with_the_truth_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let told = mingcha(
        dir.path(),
        &["demo", "--persons", "500", "--seed", "3", "--dir", "demo", "--format", "json"],
    )
    .well()
    .json();
    assert_eq!(told["agrees"], true);
    let again =
        mingcha(dir.path(), &["demo", "--persons", "500", "--seed", "3", "--dir", "demo", "--lang", "zh"])
            .well();
    assert!(again.out.contains("与真值完全一致"), "{}", again.out);
    fs::create_dir(dir.path().join("mine")).unwrap();
    fs::write(dir.path().join("mine/letter.txt"), "x").unwrap();
    assert_eq!(mingcha(dir.path(), &["demo", "--persons", "500", "--dir", "mine"]).code, Some(2));
}

#[test]
fn a_demonstration_takes_only_what_the_last_one_made() {
    let dir = tempfile::tempdir().unwrap();
    let demo = || mingcha(dir.path(), &["demo", "--persons", "500", "--seed", "3", "--dir", "demo"]);
    let at = |name: &str| dir.path().join("demo").join(name);
    demo().well();
    // Beside its folders somebody may keep what he likes.
    fs::write(at("my-notes.txt"), "mine").unwrap();
    for name in ["city/mine.txt", "store/mine.txt", "run/mine.txt", "export/my-notes.txt"] {
        fs::write(at(name), "mine").unwrap();
        let before = files(&at(""));
        let told = demo();
        assert_eq!(files(&at("")), before, "{name}: something was taken away");
        let own = Path::new(name).file_name().unwrap().to_str().unwrap();
        assert_eq!(told.code, Some(2), "{name}: {}", told.err);
        assert!(told.err.contains("MC946") && told.err.contains(own), "{name}: {}", told.err);
        fs::remove_file(at(name)).unwrap();
    }
    // A list that was filled in is somebody's work.
    let list = files(&at("export")).remove(0);
    let was = fs::read(&list).unwrap();
    fs::write(&list, "filled in").unwrap();
    let told = demo();
    assert!(told.code == Some(2) && told.err.contains("MC946"), "{}", told.err);
    assert_eq!(fs::read_to_string(&list).unwrap(), "filled in");
    fs::write(&list, was).unwrap();
    // What a killed demonstration leaves is no hindrance: unfinished work, and stages that were not reached.
    let killed =
        [".city.partial-9-0", ".run.partial-9-0", ".store.replaced-9-0", "export/.export.partial-9-0"];
    for name in killed {
        fs::create_dir_all(at(name).join("half")).unwrap();
        fs::write(at(name).join(".mingcha-unfinished"), "mingcha unfinished 1\n").unwrap();
        fs::write(at(name).join("half/a.txt"), "half").unwrap();
    }
    fs::remove_dir_all(at("run")).unwrap();
    fs::create_dir(at("export/empty")).unwrap();
    demo().well();
    for name in killed {
        assert!(!at(name).exists(), "{name}");
    }
    assert_eq!(fs::read_to_string(at("my-notes.txt")).unwrap(), "mine");
}

/// The system refuses to write more than 32 KB into a file, as a full disk would.
#[cfg(unix)]
#[test]
fn a_workbook_that_the_disk_has_no_room_for_is_told_as_such_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = city().join("run");
    let line =
        format!("trap '' XFSZ; ulimit -f 64; exec \"$0\" export --run '{}' --out lists", run.display());
    let output = std::process::Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_mingcha")])
        .current_dir(dir.path())
        .env("MINGCHA_LANG", "en")
        .output()
        .unwrap();
    let told = crate::harness::told(output);
    assert_eq!(told.code, Some(70), "{}", told.err);
    assert!(told.err.contains("MC811") && told.err.contains("free space"), "{}", told.err);
    assert!(!told.err.contains("MC099"), "{}", told.err);
    assert!(names(&dir.path().join("lists")).is_empty());
}
