//! `mingcha test`: the examples inside the rules. Each case is a small world of its own, typed by the same code
//! as real extracts and run by the same engine; what comes out is compared with what the case expects, all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate};
use mingcha_intake::{MemoryTables, Tables, identity};
use mingcha_rules::rule::{CaseKind, ExampleCase, ExampleSex, Examples, ExpectedFinding, Scalar};
use mingcha_rules::{Contract, FieldType, Finding, Library, LoadedRule, OutcomeKind, Text};
use rayon::prelude::*;

use crate::report::{RunOptions, RunReport, Silent};

/// Area of made-up persons: in the range that is never issued.
const AREA: &str = "880101";
/// Longest list of rows that a range of months may stand for.
const MAX_RANGE: usize = 600;

/// How one example went.
#[derive(Debug, Clone)]
pub struct ExampleResult {
    /// The rule.
    pub rule_id: String,
    /// The case.
    pub name: Text,
    /// What the case shows.
    pub kind: CaseKind,
    /// What differs from what was expected; empty when the case passed.
    pub faults: Vec<Text>,
}

impl ExampleResult {
    /// Whether the case passed.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Runs the examples of all rules, or of those that `only` names. Ordered by rule and case.
pub fn test_examples(library: &Library, only: &[String]) -> Vec<ExampleResult> {
    // Cases are small worlds of their own: what takes time is planning, so they run side by side.
    let chosen = library.rules.iter().filter(|r| only.is_empty() || only.contains(&r.rule.id));
    let cases: Vec<_> =
        chosen.flat_map(|r| r.rule.examples.cases.iter().map(move |case| (r, case))).collect();
    cases
        .into_par_iter()
        .map(|(loaded, case)| ExampleResult {
            rule_id: loaded.rule.id.clone(),
            name: case.name.clone(),
            kind: case.kind,
            faults: run_case(library, loaded, case).err().unwrap_or_default(),
        })
        .collect()
}

fn run_case(library: &Library, loaded: &LoadedRule, case: &ExampleCase) -> Result<(), Vec<Text>> {
    let examples = &loaded.rule.examples;
    let one = |zh: String, en: String| vec![Text { zh, en }];
    let as_of: NaiveDate = examples.as_of.parse().map_err(|_| {
        one(format!("as_of 不是日期：{}", examples.as_of), format!("as_of is not a date: {}", examples.as_of))
    })?;
    let world = World::build(library, loaded, case)?;
    let mut options = RunOptions::new(as_of);
    options.only = vec![loaded.rule.id.clone()];
    options.params.insert(loaded.rule.id.clone(), case.params.clone());
    let tables: Arc<dyn Tables> = Arc::new(world.tables);
    let report = crate::run::run(&tables, library, &options, &Silent)
        .map_err(|faults| faults.into_iter().map(|d| d.message).collect::<Vec<_>>())?;
    if let Some(outcome) =
        report.outcomes.iter().find(|o| !matches!(o.outcome, OutcomeKind::Found | OutcomeKind::Clean))
    {
        return Err(vec![outcome.reason.clone().unwrap_or_else(|| Text {
            zh: "规则没有运行".to_owned(),
            en: "the rule did not run".to_owned(),
        })]);
    }
    let faults = compare(case, &world.numbers, &report);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The rows of a case, prepared, and the numbers of its made-up persons.
struct World {
    tables: MemoryTables,
    numbers: BTreeMap<String, String>,
}

impl World {
    fn build(library: &Library, loaded: &LoadedRule, case: &ExampleCase) -> Result<Self, Vec<Text>> {
        let examples = &loaded.rule.examples;
        let mut numbers = BTreeMap::new();
        let mut rows: BTreeMap<String, Vec<BTreeMap<String, String>>> =
            library.needed_datasets(loaded).into_iter().map(|name| (name, Vec::new())).collect();
        for (dataset, given) in &case.given {
            let Some(contract) = library.contract(dataset) else {
                return Err(vec![Text {
                    zh: format!("没有数据合约 `{dataset}`"),
                    en: format!("there is no contract `{dataset}`"),
                }]);
            };
            let defaults = examples.defaults.get(dataset);
            for row in given {
                let mut full: BTreeMap<&String, &Scalar> = defaults.into_iter().flatten().collect();
                full.extend(row.iter());
                let texts = full
                    .into_iter()
                    .map(|(field, value)| {
                        (field.clone(), person_or_text(examples, contract, field, value, &mut numbers))
                    })
                    .collect();
                rows.entry(dataset.clone()).or_default().extend(expand(contract, texts)?);
            }
        }
        let tables = MemoryTables::build(&library.contracts, &rows)
            .map_err(|faults| faults.into_iter().map(|d| d.message).collect::<Vec<_>>())?;
        Ok(Self { tables, numbers })
    }
}

/// A token in an identity field is a made-up person; anything else is raw text.
fn person_or_text(
    examples: &Examples,
    contract: &Contract,
    field: &str,
    value: &Scalar,
    numbers: &mut BTreeMap<String, String>,
) -> String {
    let text = match value {
        Scalar::Bool(b) => b.to_string(),
        Scalar::Int(n) => n.to_string(),
        Scalar::Text(t) => t.clone(),
    };
    let is_id = contract.field(field).is_some_and(|f| f.ty == FieldType::Id);
    if is_id && is_token(&text) {
        numbers.entry(text.clone()).or_insert_with(|| number_of(examples, &text)).clone()
    } else {
        text
    }
}

fn is_token(text: &str) -> bool {
    text.strip_prefix('P').is_some_and(|digits| {
        !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The number of token `P7`: born in 1950 unless the example says otherwise. Sequence numbers lie far apart, so
/// that two made-up persons never look like twins by accident.
fn number_of(examples: &Examples, token: &str) -> String {
    let n: u16 = token.trim_start_matches('P').parse().unwrap_or(0);
    let listed = examples.persons.get(token);
    let born = listed
        .and_then(|p| p.born.parse().ok())
        .or_else(|| NaiveDate::from_ymd_opt(1950, 3, 1)?.checked_add_days(Days::new(u64::from(n))));
    let female = listed.is_some_and(|p| p.sex == ExampleSex::Female);
    let sequence = n * 8 + if female { 2 } else { 1 };
    identity::make(AREA, born.unwrap_or_default(), sequence)
}

/// `202601..202605` in a month field stands for five rows.
fn expand(
    contract: &Contract,
    row: BTreeMap<String, String>,
) -> Result<Vec<BTreeMap<String, String>>, Vec<Text>> {
    let range = row.iter().find_map(|(field, value)| {
        let is_month = contract.field(field).is_some_and(|f| f.ty == FieldType::Month);
        let (from, to) = value.split_once("..").filter(|_| is_month)?;
        Some((field.clone(), month(from)?, month(to)?))
    });
    let Some((field, from, to)) = range else { return Ok(vec![row]) };
    let months: Vec<u32> = (from..=to).take(MAX_RANGE).collect();
    if months.is_empty() {
        return Err(vec![Text {
            zh: format!("`{field}` 的月份范围是空的"),
            en: format!("the range of months in `{field}` is empty"),
        }]);
    }
    Ok(months
        .into_iter()
        .map(|m| {
            let mut row = row.clone();
            row.insert(field.clone(), format!("{:04}{:02}", m / 12, m % 12 + 1));
            row
        })
        .collect())
}

/// Months since year 0 of `202601`.
fn month(text: &str) -> Option<u32> {
    let date = NaiveDate::parse_from_str(&format!("{}01", text.trim()), "%Y%m%d").ok()?;
    Some(u32::try_from(date.year()).ok()? * 12 + date.month0())
}

fn compare(case: &ExampleCase, numbers: &BTreeMap<String, String>, report: &RunReport) -> Vec<Text> {
    let resolve = |token: &str| numbers.get(token).cloned().unwrap_or_else(|| token.to_owned());
    let token = |number: &str| {
        numbers.iter().find(|(_, n)| *n == number).map_or_else(|| number.to_owned(), |(t, _)| t.clone())
    };
    let mut faults = Vec::new();
    let mut left: Vec<&Finding> = report.findings.iter().collect();
    for want in &case.expect.findings {
        let subject = resolve(&want.subject);
        let near = left.iter().position(|f| f.subject_id == subject && differences(want, f).is_empty());
        match near.or_else(|| left.iter().position(|f| f.subject_id == subject)) {
            Some(at) => faults.extend(differences(want, left.remove(at)).into_iter().map(|(zh, en)| Text {
                zh: format!("{}：{zh}", want.subject),
                en: format!("{}: {en}", want.subject),
            })),
            None => faults.push(Text {
                zh: format!("漏报 {}", want.subject),
                en: format!("{} was not flagged", want.subject),
            }),
        }
    }
    for extra in left {
        let subject = token(&extra.subject_id);
        faults.push(Text {
            zh: format!("误报 {subject}：{}", extra.message.zh),
            en: format!("{subject} was flagged: {}", extra.message.en),
        });
    }
    for want in &case.expect.excluded {
        let subject = resolve(&want.subject);
        let codes: Vec<&str> =
            report.excused.iter().filter(|e| e.subject_id == subject).map(|e| e.code.as_str()).collect();
        if !codes.contains(&want.code.as_str()) {
            let got = if codes.is_empty() { "—".to_owned() } else { codes.join(", ") };
            faults.push(Text {
                zh: format!("{} 应由 {} 排除，实际为 {got}", want.subject, want.code),
                en: format!("{} should be excused by {}, got {got}", want.subject, want.code),
            });
        }
    }
    faults
}

/// What differs, of what the case says.
fn differences(want: &ExpectedFinding, got: &Finding) -> Vec<(String, String)> {
    let amount = got.amount_fen.map(|fen| {
        format!(
            "{}{}.{:02}",
            if fen < 0 { "-" } else { "" },
            fen.unsigned_abs() / 100,
            fen.unsigned_abs() % 100
        )
    });
    let rows = |n: usize| Some(n.to_string());
    let plain = [
        ("severity", want.severity.map(|s| s.as_str().to_owned()), Some(got.severity.as_str().to_owned())),
        ("grade", want.grade.clone(), Some(got.grade.clone())),
        ("identity", want.identity.clone(), Some(got.identity.clone())),
        ("amount", want.amount.clone(), amount),
        ("evidence_rows", want.evidence_rows.map(|n| n.to_string()), rows(got.evidence.len())),
        ("counter_rows", want.counter_rows.map(|n| n.to_string()), rows(got.counter_evidence.len())),
    ];
    let measures = want
        .measures
        .iter()
        .map(|(name, value)| (name.as_str(), Some(value.clone()), got.measures.get(name).cloned()));
    plain
        .into_iter()
        .chain(measures)
        .filter(|(_, want, got)| want.is_some() && want != got)
        .map(|(name, want, got)| {
            let (want, got) = (want.unwrap_or_default(), got.unwrap_or_else(|| "—".to_owned()));
            (format!("{name} 应为 {want}，实际为 {got}"), format!("wanted {name} {want}, got {got}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_a_letter_and_a_number() {
        assert!(is_token("P1") && is_token("P12"));
        assert!(!is_token("P") && !is_token("PA") && !is_token("880101195003020011") && !is_token("P123"));
    }

    #[test]
    fn months_count_on_over_the_year() {
        assert_eq!(month("202601").unwrap() - month("202512").unwrap(), 1);
        assert_eq!(month("202613"), None);
    }
}
