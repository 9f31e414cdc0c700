//! Rules: checked, tested, listed, explained, begun.

use std::fs;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::harness::mingcha;

/// A workspace, and its rule file called `name`, with `from` replaced by `to`.
fn with_change(name: &str, from: &str, to: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    mingcha(dir.path(), &["init", "ws"]).well();
    let ws = dir.path().join("ws");
    let file = ws.join(name);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{name} does not hold {from}");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
    (dir, ws)
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn the_shipped_packs_pass_check() {
    let en = mingcha(here(), &["check"]).well();
    assert!(en.out.ends_with("contracts: 0 errors, 0 warnings\n"), "{}", en.out);
    assert_eq!(en.err, "");
    let zh = mingcha(here(), &["check", "--lang", "zh"]).well();
    assert!(zh.out.ends_with("错误 0 处，警告 0 处\n"), "{}", zh.out);
}

#[test]
fn the_examples_of_a_shipped_rule_pass() {
    let told = mingcha(here(), &["test", "--only", "PEN-01", "--format", "json"]).well().json();
    let cases = told["cases"].as_array().unwrap();
    for kind in ["hit", "near_miss", "excluded"] {
        assert!(cases.iter().any(|c| c["kind"] == kind), "no example of {kind}");
    }
    assert!(cases.iter().all(|c| c["passed"] == true), "{cases:?}");
}

#[test]
fn a_misspelt_key_of_a_rule_is_shown_under_its_line() {
    let (_dir, ws) = with_change("rules/medical/MED-02-two-hospitals-at-once.yaml", "\ntitle:", "\ntitel:");
    let all = mingcha(&ws, &["check", "rules/medical", "--lang", "zh"]).all();
    assert_snapshot!(all, @r"
    exit 3
    已检查规则 2 条、共享视图 0 个、数据契约 0 个：错误 1 处，警告 0 处
    错误[MC002]: 未知的键 `titel`
     --> rules/medical/MED-02-two-hospitals-at-once.yaml:2:1
      |
    2 | titel: {zh: 同一时间两家医院住院, en: In two hospitals at the same time}
      | ^^^^^
      |
    建议: 是否想写 `title`？
    ");
    let all = mingcha(&ws, &["check", "rules/medical", "--lang", "en"]).all();
    assert_snapshot!(all, @r"
    exit 3
    checked 2 rules, 0 shared views, 0 contracts: 1 error, 0 warnings
    error[MC002]: unknown key `titel`
     --> rules/medical/MED-02-two-hospitals-at-once.yaml:2:1
      |
    2 | titel: {zh: 同一时间两家医院住院, en: In two hospitals at the same time}
      | ^^^^^
      |
    help: did you mean `title`?
    ");
}

#[test]
fn a_column_that_does_not_exist_is_shown_in_the_sql() {
    let rule = "rules/identity/ID-04-birth-or-sex-disagrees.yaml";
    let (_dir, ws) = with_change(rule, "archive_birth", "archive_brith");
    let told = mingcha(&ws, &["check", rule, "--lang", "en"]);
    assert_eq!(told.code, Some(3));
    assert!(told.err.contains(&format!("--> {rule}:")) && told.err.contains("archive_brith"), "{}", told.err);
    assert!(told.err.contains("| ") && told.err.contains(" ^"), "no caret:\n{}", told.err);
}

#[test]
fn an_example_that_no_longer_holds_fails_test() {
    let rule = "rules/pension/PEN-09-implausible-age.yaml";
    let (_dir, ws) = with_change(rule, "kind: hit", "kind: near_miss");
    let told = mingcha(&ws, &["test", rule]);
    assert_eq!(told.code, Some(3), "{}", told.all());
}

#[test]
fn a_rule_that_the_workspace_breaks_is_failed_and_the_others_still_run() {
    let (_dir, ws) = with_change("rules/medical/MED-02-two-hospitals-at-once.yaml", "\ntitle:", "\ntitel:");
    let city = crate::city::city();
    let store = city.join("store");
    let told = mingcha(
        &ws,
        &[
            "run",
            "--store",
            store.to_str().unwrap(),
            "--as-of",
            "2026-10-31",
            "--only",
            "MED-01,MED-02",
            "--format",
            "json",
        ],
    );
    assert_eq!(told.code, Some(3), "{}", told.all());
    let rules = told.json();
    let outcome = |id: &str| {
        rules["rules"].as_array().unwrap().iter().find(|r| r["rule_id"] == id).unwrap()["outcome"].clone()
    };
    assert_eq!((outcome("MED-01"), outcome("MED-02")), ("found".into(), "failed".into()));
}

#[test]
fn a_rule_outside_a_pack_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("OWN-01-x.yaml"), "id: OWN-01\n").unwrap();
    assert_snapshot!(mingcha(dir.path(), &["check", "OWN-01-x.yaml", "--lang", "zh"]).all(), @r"
    exit 3
    错误[MC098]: 规则 `OWN-01-x.yaml` 需要放在规则包目录里（目录中有 pack.yaml）
    ");
    assert_snapshot!(mingcha(dir.path(), &["check", "nowhere.yaml"]).all(), @r"
    exit 2
    error[MC097]: wanted a file or folder of rules or contracts, but `nowhere.yaml` does not exist
    ");
}

#[test]
fn files_are_found_from_inside_their_pack_too() {
    let dir = tempfile::tempdir().unwrap();
    mingcha(dir.path(), &["init", "ws"]).well();
    let pack = dir.path().join("ws/rules/medical");
    let alone = mingcha(&pack, &["check", "MED-01-claim-after-death.yaml"]).well();
    assert!(alone.out.starts_with("checked 1 rule, 0 shared views, 0 contracts"), "{}", alone.out);
    let folder = mingcha(&pack, &["check", "."]).well();
    assert!(folder.out.starts_with("checked 2 rules"), "{}", folder.out);
}

#[test]
fn the_page_of_a_rule_is_in_both_languages() {
    let en = mingcha(here(), &["rules", "explain", "PEN-01"]).well().out;
    assert!(en.contains("PEN-01") && en.contains("X-LAG") && en.contains("grace_months"), "{en}");
    let zh = mingcha(here(), &["rules", "explain", "PEN-01", "--lang", "zh"]).well().out;
    assert!(zh.contains("户籍因死亡注销后仍发放养老待遇") && zh.contains("X-LAG"), "{zh}");
    assert_snapshot!(mingcha(here(), &["rules", "explain", "PEN-1", "--lang", "zh"]).all(), @r"
    exit 2
    错误[MC096]: 没有规则 `PEN-1`
    建议: 是不是 `PEN-01`？全部规则见 `mingcha rules list`
    ");
}

#[test]
fn a_new_rule_checks_and_passes_its_examples_but_for_its_blanks() {
    let dir = tempfile::tempdir().unwrap();
    mingcha(dir.path(), &["init", "ws"]).well();
    let ws = dir.path().join("ws");
    mingcha(&ws, &["rules", "new", "PEN-90", "--pack", "rules/pension", "--title-en", "Try"]).well();
    let checked = mingcha(&ws, &["check", "rules/pension/PEN-90-new.yaml", "--format", "json"]).well().json();
    assert_eq!(checked["errors"], 0);
    let codes: Vec<_> =
        checked["diagnostics"].as_array().unwrap().iter().map(|d| d["code"].clone()).collect();
    assert!(!codes.is_empty() && codes.iter().all(|c| c == "MC130"), "{codes:?}");
    mingcha(&ws, &["test", "--only", "PEN-90"]).well();
    let again = mingcha(&ws, &["rules", "new", "PEN-90", "--pack", "rules/pension"]);
    assert_eq!(again.code, Some(2), "an id was given out twice");
}
