//! Checks of the examples inside rules: that they show what they should, and speak of things that exist.
//! Whether they come true is for the engine to try.

use std::collections::BTreeSet;

use super::Found;
use super::rule::{bad_date, unknown_dataset};
use crate::contract::FieldType;
use crate::library::{BUILTIN_TABLES, Library, LoadedRule};
use crate::rule::{CaseKind, ExampleCase, Param, Scalar};
use crate::value::{day_number, param_value};
use crate::yaml;

const GRADES: [&str; 3] = ["A", "B", "C"];
const IDENTITIES: [&str; 5] = ["I1", "I2", "I3", "I4", "I5"];

/// The cases with the path of each.
fn cases(rule: &LoadedRule) -> impl Iterator<Item = (String, &ExampleCase)> {
    rule.rule.examples.cases.iter().enumerate().map(|(n, case)| (format!("examples.cases[{n}]"), case))
}

fn has_kind(rule: &LoadedRule, kind: CaseKind) -> bool {
    rule.rule.examples.cases.iter().any(|case| case.kind == kind)
}

pub(super) fn a_hit(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if has_kind(rule, CaseKind::Hit) {
        return Vec::new();
    }
    vec![
        Found::new(
            rule.place("examples.cases"),
            "至少要有一个命中的例子",
            "at least one example must be a hit",
        )
        .help("加一个 `kind: hit` 的例子", "add a case with `kind: hit`"),
    ]
}

pub(super) fn a_near_miss(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    if has_kind(rule, CaseKind::NearMiss) {
        return Vec::new();
    }
    vec![
        Found::new(
            rule.place("examples.cases"),
            "至少要有一个相似而不应命中的例子",
            "at least one example must be a near miss",
        )
        .help("加一个 `kind: near_miss` 的例子", "add a case with `kind: near_miss`"),
    ]
}

pub(super) fn every_exclusion(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let shown: BTreeSet<&str> = rule
        .rule
        .examples
        .cases
        .iter()
        .filter(|case| case.kind == CaseKind::Excluded)
        .flat_map(|case| case.expect.excluded.iter().map(|e| e.code.as_str()))
        .collect();
    let mut told = BTreeSet::new();
    let exclusions = rule.rule.exclusions.iter().enumerate();
    exclusions
        .filter(|(_, e)| !shown.contains(e.code.as_str()) && told.insert(e.code.as_str()))
        .map(|(n, e)| {
            Found::new(
                rule.place(&format!("exclusions[{n}].code")),
                format!("没有例子表明 `{}` 会排除谁", e.code),
                format!("no example shows whom `{}` excuses", e.code),
            )
            .help(
                format!("加一个 `kind: excluded`、期望 `{}` 的例子", e.code),
                format!("add a case with `kind: excluded` that expects `{}`", e.code),
            )
        })
        .collect()
}

pub(super) fn datasets_known(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut named: Vec<(String, &str)> = Vec::new();
    named.extend(rule.rule.examples.defaults.keys().map(|d| (format!("examples.defaults.{d}"), d.as_str())));
    for (path, case) in cases(rule) {
        named.extend(case.given.keys().map(|d| (format!("{path}.given.{d}"), d.as_str())));
    }
    let mut out = Vec::new();
    for (path, dataset) in named {
        if BUILTIN_TABLES.contains(&dataset) {
            out.push(
                Found::new(
                    rule.place(&path),
                    format!("内置表 `{dataset}` 不能在例子里给出"),
                    format!("the built-in table `{dataset}` cannot be given in an example"),
                )
                .help("给出它所来自的数据集的行", "give rows of the datasets that it comes from"),
            );
        }
        out.extend(unknown_dataset(library, dataset, rule.place(&path)));
    }
    out
}

/// Every (path, dataset, field) that the examples fill in.
fn filled(rule: &LoadedRule) -> Vec<(String, &str, &str, &Scalar)> {
    let mut out: Vec<(String, &str, &str, &Scalar)> = Vec::new();
    for (dataset, fields) in &rule.rule.examples.defaults {
        for (field, value) in fields {
            out.push((format!("examples.defaults.{dataset}.{field}"), dataset, field, value));
        }
    }
    for (path, case) in cases(rule) {
        for (dataset, rows) in &case.given {
            for (n, row) in rows.iter().enumerate() {
                for (field, value) in row {
                    out.push((format!("{path}.given.{dataset}[{n}].{field}"), dataset, field, value));
                }
            }
        }
    }
    out
}

pub(super) fn fields_known(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for (path, dataset, field, _) in filled(rule) {
        let Some(contract) = library.contract(dataset) else { continue };
        if contract.field(field).is_none() {
            let found = Found::new(
                rule.place(&path),
                format!("数据集 `{dataset}` 没有字段 `{field}`"),
                format!("dataset `{dataset}` has no field `{field}`"),
            );
            out.push(found.nearest(field, contract.fields.iter().map(|f| f.name.as_str())));
        }
    }
    out
}

/// A rule that reads the rejects sees rows of any dataset through them.
pub(super) fn datasets_are_inputs(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let inputs = &rule.rule.inputs;
    let views = library.needed_views(rule);
    if inputs.contains_key("rejects") || views.iter().any(|v| v.view.inputs.iter().any(|d| d == "rejects")) {
        return Vec::new();
    }
    let given = cases(rule).flat_map(|(path, case)| {
        case.given.keys().map(move |dataset| (format!("{path}.given.{dataset}"), dataset))
    });
    let defaults =
        rule.rule.examples.defaults.keys().map(|dataset| (format!("examples.defaults.{dataset}"), dataset));
    defaults
        .chain(given)
        .filter(|(_, dataset)| !inputs.contains_key(*dataset) && library.contract(dataset).is_some())
        .map(|(path, dataset)| {
            Found::new(
                rule.place(&path),
                format!("`{dataset}` 不在规则的 inputs 里"),
                format!("`{dataset}` is not among the rule's inputs"),
            )
            .help("删去这些行，或加进 inputs", "drop these rows, or add it to `inputs`")
        })
        .collect()
}

pub(super) fn dates(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let examples = &rule.rule.examples;
    let mut out: Vec<Found> =
        bad_date(&examples.as_of, || rule.place("examples.as_of")).into_iter().collect();
    for (token, person) in &examples.persons {
        let path = format!("examples.persons.{token}.born");
        out.extend(bad_date(&person.born, || rule.place(&path)));
        let (Some(born), Some(as_of)) = (day_number(&person.born), day_number(&examples.as_of)) else {
            continue;
        };
        if born > as_of {
            out.push(Found::new(
                rule.place(&path),
                "出生日期晚于 examples.as_of",
                "born after `examples.as_of`",
            ));
        }
    }
    out
}

pub(super) fn measures_known(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for (path, case) in cases(rule) {
        for (n, finding) in case.expect.findings.iter().enumerate() {
            for name in finding.measures.keys().filter(|name| !rule.rule.measures.contains_key(*name)) {
                let found = Found::new(
                    rule.place(&format!("{path}.expect.findings[{n}].measures.{name}")),
                    format!("`{name}` 不是本规则的度量"),
                    format!("`{name}` is not a measure of this rule"),
                );
                out.push(found.nearest(name, rule.rule.measures.keys().map(String::as_str)));
            }
        }
    }
    out
}

/// A hit expects findings, a near miss none, an excluded case an exclusion of the rule.
pub(super) fn kinds_hold(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let codes: BTreeSet<&str> = rule.rule.exclusions.iter().map(|e| e.code.as_str()).collect();
    let mut out = Vec::new();
    for (path, case) in cases(rule) {
        let n_findings = case.expect.findings.len();
        let wrong = match case.kind {
            CaseKind::Hit if n_findings == 0 => {
                Some(("命中的例子应写出期望的线索", "a hit must expect at least one finding"))
            }
            CaseKind::NearMiss if n_findings > 0 => {
                Some(("相似而不命中的例子不能期望线索", "a near miss cannot expect findings"))
            }
            CaseKind::Excluded if case.expect.excluded.is_empty() => {
                Some(("排除的例子应写出期望的排除代码", "an excluded case must expect an exclusion"))
            }
            _ => None,
        };
        if let Some((zh, en)) = wrong {
            out.push(Found::new(rule.place(&format!("{path}.expect")), zh, en));
        }
        for (n, expected) in case.expect.excluded.iter().enumerate() {
            if !codes.contains(expected.code.as_str()) {
                let found = Found::new(
                    rule.place(&format!("{path}.expect.excluded[{n}].code")),
                    format!("本规则没有排除代码 `{}`", expected.code),
                    format!("this rule has no exclusion `{}`", expected.code),
                );
                out.push(found.nearest(&expected.code, codes.iter().copied()));
            }
        }
    }
    out
}

pub(super) fn params_known(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let views = library.needed_views(rule);
    let declared = |name: &str| -> Option<&Param> {
        rule.rule.params.get(name).or_else(|| views.iter().find_map(|v| v.view.params.get(name)))
    };
    let mut out = Vec::new();
    for (path, case) in cases(rule) {
        for (name, value) in &case.params {
            let place = rule.place(&format!("{path}.params.{name}"));
            match declared(name).map(|param| param_value(param, value)) {
                Some(Ok(_)) => {}
                Some(Err(why)) => out.push(Found::new(place, why.zh, why.en)),
                None => {
                    let found = Found::new(
                        place,
                        format!("规则和它的视图都没有参数 `{name}`"),
                        format!("neither the rule nor its views have a parameter `{name}`"),
                    );
                    out.push(found.nearest(name, rule.rule.params.keys().map(String::as_str)));
                }
            }
        }
    }
    out
}

/// `P1`, `P2`, ...
fn is_token(text: &str) -> bool {
    text.strip_prefix('P').is_some_and(|n| {
        !n.is_empty() && n.len() <= 4 && !n.starts_with('0') && n.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Tokens are well formed and expected subjects were given.
pub(super) fn persons(library: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut out = Vec::new();
    for token in rule.rule.examples.persons.keys().filter(|token| !is_token(token)) {
        out.push(Found::new(
            rule.place(&format!("examples.persons.{token}")),
            format!("应为 P1、P2 这样的代号，实际为 `{token}`"),
            format!("wanted a token such as P1, P2, got `{token}`"),
        ));
    }
    for (path, case) in cases(rule) {
        let mut given: BTreeSet<&str> = BTreeSet::new();
        for (dataset, rows) in &case.given {
            let Some(contract) = library.contract(dataset) else { continue };
            for (field, value) in rows.iter().flatten() {
                let is_id = contract.field(field).is_some_and(|f| f.ty == FieldType::Id);
                if let (true, Scalar::Text(text)) = (is_id, value) {
                    given.insert(text);
                }
            }
        }
        let findings = case.expect.findings.iter().enumerate();
        let findings =
            findings.map(|(n, f)| (format!("{path}.expect.findings[{n}].subject"), f.subject.as_str()));
        let excluded = case.expect.excluded.iter().enumerate();
        let excluded =
            excluded.map(|(n, e)| (format!("{path}.expect.excluded[{n}].subject"), e.subject.as_str()));
        for (at, subject) in findings.chain(excluded).filter(|(_, s)| is_token(s) && !given.contains(s)) {
            let found = Found::new(
                rule.place(&at),
                format!("这个例子里没有给出 `{subject}` 的任何行"),
                format!("no row of this case is about `{subject}`"),
            );
            out.push(match yaml::nearest(subject, given.iter().copied().filter(|t| is_token(t))) {
                Some(word) => {
                    let (zh, en) = yaml::did_you_mean(&word);
                    found.help(zh, en)
                }
                None => found,
            });
        }
    }
    out
}

pub(super) fn expected_values(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let is_yuan = |text: &str| {
        text.split_once('.').is_some_and(|(whole, fen)| {
            let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
            digits(whole) && digits(fen) && fen.len() == 2
        })
    };
    let mut out = Vec::new();
    for (path, case) in cases(rule) {
        for (n, finding) in case.expect.findings.iter().enumerate() {
            let mut wrong = |key: &str, zh: &str, en: &str| {
                let place = rule.place(&format!("{path}.expect.findings[{n}].{key}"));
                out.push(Found::new(place, format!("应为{zh}"), format!("wanted {en}")));
            };
            if finding.grade.as_ref().is_some_and(|g| !GRADES.contains(&g.as_str())) {
                wrong("grade", " A、B、C 之一", "one of A, B, C");
            }
            if finding.identity.as_ref().is_some_and(|i| !IDENTITIES.contains(&i.as_str())) {
                wrong("identity", " I1 至 I5 之一", "one of I1 to I5");
            }
            if finding.amount.as_ref().is_some_and(|a| !is_yuan(a)) {
                wrong("amount", "两位小数的元，如 \"100.00\"", "yuan with two decimals, such as \"100.00\"");
            }
            if finding.amount.is_some() && rule.rule.amount.is_none() {
                wrong("amount", "空：规则没有写 amount", "nothing: the rule has no `amount`");
            }
        }
    }
    out
}

pub(super) fn names_once(_: &Library, rule: &LoadedRule) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    cases(rule)
        .filter(|(_, case)| !seen.insert(case.name.en.trim()))
        .map(|(path, _)| {
            Found::new(
                rule.place(&format!("{path}.name")),
                "两个例子不能同名",
                "two cases cannot have the same name",
            )
        })
        .collect()
}
