//! A good library, and one way to break it for every check.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::{Lang, Sources, codes, load, scaffold};

const PAYMENTS: &str = "\
name: payments
title: {zh: 发放, en: Payments}
description: {zh: 一行一笔, en: One row per payment}
person: id_number
key: [serial]
versions: {key: serial, by: edition}
max_age_days: 35
fields:
  - {name: id_number, title: {zh: 身份证号, en: Identity number}, type: id, required: true, pii: direct_id}
  - {name: serial, title: {zh: 流水号, en: Serial}, type: text, aliases: [单号]}
  - {name: edition, title: {zh: 版次, en: Edition}, type: int}
  - {name: amount, title: {zh: 金额, en: Amount}, type: money}
  - name: state
    title: {zh: 状态, en: State}
    type: code
    codes:
      '1': {zh: 已付, en: paid}
      '2': {zh: 失败, en: failed}
  - {name: card_no, title: {zh: 卡号, en: Card}, type: text}
";

const RIDES: &str = "\
name: rides
title: {zh: 刷卡, en: Rides}
description: {zh: 一行一次, en: One row per ride}
person: {dataset: payments, on: card_no}
max_age_days: 10
fields:
  - {name: card_no, title: {zh: 卡号, en: Card}, type: text, required: true}
  - {name: day, title: {zh: 日期, en: Day}, type: date}
";

const VIEW: &str = "\
name: riders
description: {zh: 每人最近一次刷卡, en: The last ride of each person}
inputs: [rides]
params:
  horizon: {type: date, default: '2020-01-01', title: {zh: 起始日, en: first day}, source: '-'}
sql: |
  SELECT r.pid, max(r.day) AS day
  FROM rides r
  WHERE r.day >= $horizon
  GROUP BY r.pid
";

const RULE: &str = "\
id: PEN-01
title: {zh: 付了又付, en: Paid and paid again}
version: 1
status: active
since: 2026-07-01
severity:
  default: low
  bands:
    - {level: high, when: n >= 4}
    - {level: medium, when: n >= 2}
  shift: CASE WHEN n > 100 THEN 1 ELSE 0 END
confidence: high
owner: {zh: 监督室, en: Supervision}
legal:
  - {instrument: {zh: 条例, en: Regulation}, article: 22, says: {zh: 多领应退, en: Overpaid money is returned}}
description: {zh: 付了多次, en: Paid several times}
rationale: {zh: 只应付一次, en: Once is enough}
false_positives:
  - {zh: 补发, en: Back-pay}
verify:
  - {zh: 查账, en: Look at the books}
inputs:
  payments: {grain: month}
  rides: {optional: true}
views: [riders]
params:
  floor: {type: int, default: 2, min: 1, max: 12, title: {zh: 最少笔数, en: fewest payments}, source: '-'}
sql: |
  SELECT p.pid, p.src AS pay_src, p.amount, r.day
  FROM payments p
  LEFT JOIN riders r ON r.pid = p.pid
  WHERE p.amount > $floor AND p.amount < 9 AND p.state <> '$not_read' -- $nor_this
exclusions:
  - {code: X-LATE, title: {zh: 较晚, en: Late}, when: day > $as_of}
  - {code: X-FEW, title: {zh: 太少, en: Few}, having: n < $floor, instead: PEN-07}
subject: {type: person, key: pid}
matter: [day]
across:
  crowd: {by: day, expr: count(pay_src)}
measures:
  n: count(pay_src)
period: {from: min(day), to: max(day)}
amount: sum(amount)
identity: min('I1')
grade: \"'A'\"
evidence:
  - {src: pay_src, columns: [amount, day]}
counter_evidence:
  - title: {zh: 刷卡, en: Rides}
    sql: SELECT c.pid, c.pay_src AS src FROM candidates c
message: {zh: '{n} 笔共 {amount} 元', en: '{n} payments, {amount} yuan'}
limits: {max_findings: 10}
references: [规程]
examples:
  as_of: 2026-06-30
  defaults:
    payments: {state: '1', amount: '5.00'}
  persons:
    P1: {born: 1950-01-01}
  cases:
    - name: {zh: 两笔, en: two payments}
      kind: hit
      params: {floor: 2}
      given:
        payments: [{id_number: P1, serial: a}, {id_number: P1, serial: b}]
      expect:
        findings: [{subject: P1, grade: A, identity: I1, amount: '10.00', measures: {n: '2'}}]
    - name: {zh: 没有, en: nothing}
      kind: near_miss
      given: {payments: []}
    - name: {zh: 较晚, en: late}
      kind: excluded
      given:
        payments: [{id_number: P1}]
        rides: [{card_no: c, day: 2027-01-01}]
      expect: {excluded: [{subject: P1, code: X-LATE}]}
    - name: {zh: 太少, en: few}
      kind: excluded
      given: {payments: [{id_number: P1}]}
      expect: {excluded: [{subject: P1, code: X-FEW}]}
";

const PACK: &str =
    "id: pension\ntitle: {zh: 养老, en: Pension}\ndescription: {zh: 养老规则, en: Pension rules}\n";

const GOOD: [(&str, &str); 5] = [
    ("datasets/payments.yaml", PAYMENTS),
    ("datasets/rides.yaml", RIDES),
    ("rules/pension/pack.yaml", PACK),
    ("rules/pension/views/riders.yaml", VIEW),
    ("rules/pension/PEN-01-paid-again.yaml", RULE),
];

/// The good library with one edit, and all that is wrong with it then.
fn broken(find: &str, put: &str) -> Vec<Diagnostic> {
    let n_hits: usize = GOOD.iter().map(|(_, text)| text.matches(find).count()).sum();
    assert_eq!(n_hits, 1, "`{find}` must stand exactly once in the good files");
    let texts: Vec<(&str, String)> =
        GOOD.iter().map(|(path, text)| (*path, text.replace(find, put))).collect();
    let (library, mut faults) = load(&Sources::from_embedded(texts.iter().map(|(p, t)| (*p, t.as_str()))));
    faults.extend(check(&library));
    faults
}

/// (code, what to find, what to put in its place, the text under the caret)
const BREAKS: &[(&str, &str, &str, &str)] = &[
    ("MC102", "id: pension\n", "id: health\n", "health"),
    (
        "MC104",
        "Paid and paid again",
        "A title that goes on and on and on and on far beyond what fits in a table of findings and still further",
        "A title",
    ),
    ("MC105", "zh: 付了多次", "zh: ''", "''"),
    ("MC105", "en: Pension rules", "en: ' '", "' '"),
    ("MC106", "since: 2026-07-01", "since: 2026-02-30", "2026-02-30"),
    (
        "MC107",
        "  - {instrument: {zh: 条例, en: Regulation}, article: 22, says: {zh: 多领应退, en: Overpaid money is returned}}\n",
        "  []\n",
        "legal",
    ),
    ("MC108", "  - {zh: 补发, en: Back-pay}\n", "  []\n", "false_positives"),
    ("MC109", "  - {zh: 查账, en: Look at the books}\n", "  []\n", "verify"),
    ("MC110", "  payments: {grain: month}\n", "  payments: {grain: month}\n  payment: {}\n", "payment"),
    ("MC110", "inputs: [rides]", "inputs: [rides, tides]", "tides"),
    ("MC112", "  rides: {optional: true}\n", "", "inputs"),
    ("MC113", "default: 2,", "default: 13,", "13"),
    ("MC113", "default: 2,", "default: two,", "two"),
    ("MC113", "max: 12,", "max: twelve,", "twelve"),
    ("MC113", "default: '2020-01-01'", "default: '2020-13-01'", "'2020-13-01'"),
    ("MC114", "p.amount > $floor", "p.amount > $flor", "$flor"),
    ("MC114", "having: n < $floor", "having: n < $flo", "$flo"),
    ("MC114", "r.day >= $horizon", "r.day >= $horizont", "$horizont"),
    (
        "MC115",
        "params:\n  floor:",
        "params:\n  idle: {type: bool, default: true, title: {zh: 无, en: none}, source: '-'}\n  floor:",
        "idle",
    ),
    (
        "MC115",
        "params:\n  horizon:",
        "params:\n  as_of: {type: date, default: '2020-01-01', title: {zh: 无, en: none}, source: '-'}\n  horizon:",
        "as_of",
    ),
    ("MC116", "- {code: X-LATE, title", "- {code: LATE, title", "LATE"),
    (
        "MC116",
        "- {code: X-FEW, title: {zh: 太少, en: Few}, having",
        "- {code: X-LATE, title: {zh: 太少, en: Few}, when: n > 1}\n  - {code: X-FEW, title: {zh: 太少, en: Few}, having",
        "X-LATE",
    ),
    ("MC117", "when: day > $as_of", "when: day > $as_of, having: n > 1", "X-LATE"),
    ("MC117", ", when: day > $as_of", "", "X-LATE"),
    ("MC118", "instead: PEN-07", "instead: seven", "seven"),
    ("MC119", "    - {level: medium, when: n >= 2}\n", "    - {level: medium, when: n >= 4}\n", "n >= 4"),
    ("MC119", "    - {level: medium, when: n >= 2}\n", "    - {level: critical, when: n >= 12}\n", "n >= 12"),
    ("MC120", "  - {src: pay_src, columns: [amount, day]}\n", "  []\n", "evidence"),
    ("MC120", "columns: [amount, day]", "columns: []", "columns"),
    ("MC121", "{n} payments", "{m} payments", "'{m} payments, {amount} yuan'"),
    ("MC121", "{n} 笔", "{subject_name} 笔", "'{subject_name} 笔共 {amount} 元'"),
    ("MC121", "{n} 笔", "{n 笔", "'{n 笔共 {amount} 元'"),
    ("MC122", "{amount} yuan", "some yuan", "message"),
    ("MC123", "version: 1", "version: 0", "0"),
    ("MC125", "name: riders", "name: rides", ""),
    ("MC127", "  n: count(pay_src)", "  n: count(pay_src)\n  N2: count(pay_src)", "count(pay_src)"),
    ("MC127", "  n: count(pay_src)", "  n: count(pay_src)\n  amount: count(pay_src)", "count(pay_src)"),
    (
        "MC128",
        "params:\n  floor:",
        "params:\n  horizon: {type: date, default: '2021-01-01', title: {zh: 无, en: none}, source: '-'}\n  floor:",
        "'2021-01-01'",
    ),
    ("MC129", "amount: sum(amount)", "amount: ' '", "' '"),
    (
        "MC129",
        "sql: |\n  SELECT r.pid, max(r.day) AS day\n  FROM rides r\n  WHERE r.day >= $horizon\n  GROUP BY r.pid\n",
        "sql: ''\n",
        "''",
    ),
    ("MC130", "Look at the books", "<first step>", "<first step>"),
    ("MC130", "FROM payments p\n", "FROM payments p -- <say which>\n", "<say which>"),
    ("MC131", "matter: [day]", "matter: [day, day]", "day"),
    ("MC290", "{zh: 流水号, en: Serial}", "{zh: 经办人, en: Serial}", "serial"),
    ("MC301", "references: [规程]", "references: ['11010519491231002X']", "11010519491231002X"),
    ("MC302", ", pii: direct_id", "", "id_number"),
    ("MC401", "kind: hit", "kind: excluded", "cases"),
    ("MC402", "kind: near_miss", "kind: hit", "cases"),
    (
        "MC403",
        "    - name: {zh: 较晚, en: late}\n      kind: excluded",
        "    - name: {zh: 较晚, en: late}\n      kind: near_miss",
        "X-LATE",
    ),
    (
        "MC404",
        "        rides: [{card_no: c, day: 2027-01-01}]",
        "        trips: [{card_no: c, day: 2027-01-01}]",
        "trips",
    ),
    ("MC404", "        rides: [{card_no: c, day: 2027-01-01}]", "        rejects: [{reason: c}]", "rejects"),
    ("MC405", "card_no: c, day: 2027", "card: c, day: 2027", "c"),
    ("MC405", "payments: {state: '1',", "payments: {stat: '1',", "'1'"),
    ("MC406", "  rides: {optional: true}\nviews: [riders]\n", "", "rides"),
    ("MC407", "as_of: 2026-06-30", "as_of: 30/06/2026", "30/06/2026"),
    ("MC407", "born: 1950-01-01", "born: 2030-01-01", "2030-01-01"),
    ("MC408", "measures: {n: '2'}", "measures: {m: '2'}", "'2'"),
    (
        "MC409",
        "        findings: [{subject: P1, grade: A, identity: I1, amount: '10.00', measures: {n: '2'}}]\n",
        "        findings: []\n",
        "expect",
    ),
    (
        "MC409",
        "expect: {excluded: [{subject: P1, code: X-LATE}]}",
        "expect: {excluded: [{subject: P1, code: X-LATER}]}",
        "X-LATER",
    ),
    ("MC410", "params: {floor: 2}", "params: {floor: 99}", "99"),
    ("MC410", "params: {floor: 2}", "params: {flor: 2}", "2"),
    ("MC411", "P1: {born", "Q1: {born", "Q1"),
    ("MC411", "findings: [{subject: P1,", "findings: [{subject: P9,", "P9"),
    ("MC412", "grade: A,", "grade: D,", "D"),
    ("MC412", "identity: I1,", "identity: I9,", "I9"),
    ("MC412", "amount: '10.00'", "amount: '10'", "'10'"),
    ("MC413", "en: few}\n      kind", "en: late}\n      kind", "name"),
    ("MC651", "name: payments\n", "name: persons\n", "persons"),
    ("MC652", "  - {name: edition, title: {zh: 版次", "  - {name: serial, title: {zh: 版次", "serial"),
    ("MC652", "  - {name: edition, title: {zh: 版次", "  - {name: pid, title: {zh: 版次", "pid"),
    ("MC653", "key: [serial]", "key: [serials]", "serials"),
    ("MC654", "person: id_number", "person: id_nummer", "id_nummer"),
    ("MC654", "person: id_number", "person: serial", "serial"),
    ("MC655", "{dataset: payments, on: card_no}", "{dataset: payment, on: card_no}", "payment"),
    ("MC655", "{dataset: payments, on: card_no}", "{dataset: payments, on: day}", "day"),
    ("MC656", "{key: serial, by: edition}", "{key: serial, by: amount}", "amount"),
    ("MC657", "aliases: [单号]", "aliases: [金额]", "金额"),
    ("MC658", "zh: 失败, en: failed", "zh: 已付, en: failed", "'2'"),
    ("MC658", "type: text, aliases: [单号]", "type: code, aliases: [单号]", "code"),
    ("MC659", "max_age_days: 35", "max_age_days: 0", "0"),
];

/// Breaks that need the file to move with its name.
fn renamed(code: &str) -> Option<Vec<Diagnostic>> {
    let moved: Vec<(String, String)> = GOOD
        .iter()
        .map(|(path, text)| match code {
            "MC102" => (path.replace("pension", "health"), text.replace("id: pension", "id: health")),
            "MC125" => (path.replace("riders", "candidates"), text.replace("riders", "candidates")),
            "MC651" => (path.replace("payments", "persons"), text.replace("name: payments", "name: persons")),
            _ => (path.to_string(), text.to_string()),
        })
        .collect();
    if moved.iter().zip(GOOD).all(|(new, old)| new.0 == old.0) {
        return None;
    }
    let (library, mut faults) =
        load(&Sources::from_embedded(moved.iter().map(|(p, t)| (p.as_str(), t.as_str()))));
    faults.extend(check(&library));
    Some(faults)
}

fn lines(faults: &[Diagnostic]) -> String {
    faults.iter().map(|f| f.line(Lang::En)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_good_library_passes() {
    let (library, faults) = load(&Sources::from_embedded(GOOD));
    assert!(faults.is_empty(), "{}", lines(&faults));
    let faults = check(&library);
    assert!(faults.is_empty(), "{}", lines(&faults));
}

#[test]
fn every_check_refuses_what_it_is_for_at_the_right_place() {
    let mut misses = Vec::new();
    for (code, find, put, under) in BREAKS {
        let moved = renamed(code);
        let faults = moved.clone().unwrap_or_else(|| broken(find, put));
        let hits: Vec<&Diagnostic> = faults.iter().filter(|f| f.code == *code).collect();
        if hits.is_empty() {
            misses.push(format!("{code} was not raised by `{put}`:\n{}", lines(&faults)));
        }
        if moved.is_some() {
            continue;
        }
        let caret = |hit: &Diagnostic| {
            let (_, text) =
                GOOD.iter().find(|(p, _)| hit.place.file == Some(format!("built-in:{p}"))).unwrap();
            text.replace(find, put)[hit.place.span.clone().unwrap()].to_owned()
        };
        let carets: Vec<String> = hits.into_iter().map(caret).collect();
        if !carets.iter().any(|c| c.starts_with(under)) {
            misses.push(format!("{code}: carets under {carets:?}, wanted `{under}`"));
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn every_check_is_broken_by_a_test_and_explained_in_the_catalogue() {
    let checked: BTreeSet<&str> = CHECKS.iter().map(|(code, _)| *code).collect();
    let tried: BTreeSet<&str> = BREAKS.iter().map(|(code, ..)| *code).collect();
    assert_eq!(checked, tried);
    for code in checked {
        assert!(codes::meaning(code, Lang::Zh).is_some(), "{code} has no line in codes.rs");
    }
}

#[test]
fn a_message_never_repeats_an_identity_number() {
    let faults = broken("references: [规程]", "references: ['11010519491231002X']");
    assert!(!lines(&faults).contains("11010519491231002X"), "{}", lines(&faults));
}

#[test]
fn only_numbers_with_a_right_check_digit_outside_the_reserved_areas_look_real() {
    assert!(is_real_looking_id("11010519491231002X"));
    assert!(is_real_looking_id("11010519491231002x"));
    assert!(!is_real_looking_id("110105194912310021"));
    assert!(!is_real_looking_id("1101051949123100"));
    assert!(!is_real_looking_id("11010519491231００"));
    // every number of a reserved area, whatever its check digit
    for check in "0123456789X".chars() {
        assert!(!is_real_looking_id(&format!("88010519491231002{check}")));
    }
}

#[test]
fn a_rule_with_an_error_is_left_out_and_named_and_the_others_stay() {
    let broken = RULE.replace("PEN-01", "PEN-02").replace("default: 2,", "default: 13,");
    let mut files = GOOD.to_vec();
    files.push(("rules/pension/PEN-02-other.yaml", &broken));
    let (library, faults) = load(&Sources::from_embedded(files));
    assert!(faults.is_empty(), "{}", lines(&faults));
    let (library, faults) = settle(library);
    assert_eq!(faults.len(), 1, "{}", lines(&faults));
    assert_eq!(library.rules.iter().map(|r| r.rule.id.as_str()).collect::<Vec<_>>(), ["PEN-01"]);
    assert_eq!(library.left_out.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["PEN-02"]);
}

#[test]
fn a_rule_falls_with_the_view_and_the_contract_it_stands_on() {
    for (find, put) in
        [("inputs: [rides]", "inputs: [rides, tides]"), ("max_age_days: 10", "max_age_days: 0")]
    {
        let texts: Vec<(&str, String)> = GOOD.iter().map(|(p, t)| (*p, t.replace(find, put))).collect();
        let (library, _) = load(&Sources::from_embedded(texts.iter().map(|(p, t)| (*p, t.as_str()))));
        let (library, _) = settle(library);
        assert!(library.rules.is_empty() && library.views.is_empty(), "{put}");
        assert_eq!(library.left_out.len(), 1, "{put}");
    }
}

#[test]
fn a_rule_has_no_more_exclusions_than_can_be_told_apart() {
    for (n, wrong) in [(62, false), (63, true)] {
        let more: String = (0..n)
            .map(|i| format!("  - {{code: X-M{i}, title: {{zh: 例, en: One}}, when: day > $as_of}}\n"))
            .collect();
        let put = |text: &str| text.replace("exclusions:\n", &format!("exclusions:\n{more}"));
        let texts: Vec<(&str, String)> = GOOD.iter().map(|(path, text)| (*path, put(text))).collect();
        let (library, faults) =
            load(&Sources::from_embedded(texts.iter().map(|(path, text)| (*path, text.as_str()))));
        assert!(faults.is_empty(), "{}", lines(&faults));
        let faults = check(&library);
        assert_eq!(faults.iter().any(|f| f.message.en.contains("at most 64")), wrong, "{}", lines(&faults));
    }
}

#[test]
fn blanks_are_a_warning_in_a_draft_and_an_error_afterwards() {
    for (status, level) in [("draft", Level::Warning), ("trial", Level::Error)] {
        let text = scaffold::new_rule("PEN-99", "多付", "Paid twice", "pension")
            .replace("status: draft", &format!("status: {status}"));
        let files = [("rules/pension/PEN-99-new.yaml", text.as_str())];
        let (library, _) = load(&Sources::from_embedded(files));
        let faults: Vec<Diagnostic> = check(&library).into_iter().filter(|f| f.code == "MC130").collect();
        assert!(!faults.is_empty() && faults.iter().all(|f| f.level == level), "{status}");
    }
}

#[test]
fn the_scaffold_has_no_fault_but_the_blanks_it_names() {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let shipped = Sources::from_dirs(None, Some(&root.join("datasets")));
    for (zh, en, n_titles) in [("多付", "Paid \"twice\"", 0), ("", "", 2)] {
        let text = scaffold::new_rule("PEN-99", zh, en, "pension");
        let files = [("rules/pension/pack.yaml", PACK), ("rules/pension/PEN-99-new.yaml", text.as_str())];
        let (library, faults) = load(&Sources::layered(Sources::from_embedded(files), shipped.clone()));
        assert!(faults.is_empty(), "{}", lines(&faults));
        assert!(library.rule("PEN-99").is_some());
        let faults: Vec<Diagnostic> = check(&library)
            .into_iter()
            .filter(|f| f.place.file.as_deref() == Some("built-in:rules/pension/PEN-99-new.yaml"))
            .collect();
        let others: Vec<&Diagnostic> = faults.iter().filter(|f| f.code != "MC130").collect();
        assert!(others.is_empty(), "{others:?}");
        let n_blanks =
            text.lines().filter(|l| !l.starts_with('#')).map(|l| l.matches('<').count()).sum::<usize>();
        // the two comparisons of the SQL are no blanks
        assert_eq!(faults.len(), n_blanks - 2, "{}", lines(&faults));
        assert_eq!(n_titles, faults.iter().filter(|f| f.message.en.starts_with("`title.")).count());
    }
}

#[test]
fn the_shipped_rules_and_contracts_pass() {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let (library, mut faults) =
        load(&Sources::from_dirs(Some(&root.join("rules")), Some(&root.join("datasets"))));
    faults.extend(check(&library));
    assert!(faults.is_empty(), "{}", lines(&faults));
    assert!(library.contracts.len() >= 12);
}
