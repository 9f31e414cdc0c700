//! The public view: how many findings per rule, severity and county, and nothing below that. Small cells are
//! withheld, and no totals are printed from which a withheld cell could be taken by subtraction.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mingcha_rules::{Diagnostic, Severity};

use super::Job;
use super::list::{Cell, Column, Show, Sum, Table};
use super::sheaf::Sheaf;
use crate::words::{self, say};

/// Cells with fewer findings show `<3` and no money.
pub(super) const LEAST: u64 = 3;

/// One count.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) rule_id: String,
    pub(super) severity: Severity,
    /// First six digits of the area code; empty where unknown.
    pub(super) county: String,
    /// Number and fen; none where withheld.
    pub(super) sum: Option<(u64, i64)>,
}

/// All cells that are not empty, by rule, severity (gravest first) and county.
pub(super) fn cells(sheaf: &Sheaf) -> Result<Vec<Count>, Diagnostic> {
    let mut sums: BTreeMap<(String, Reverse<Severity>, String), Sum> = BTreeMap::new();
    for finding in sheaf.heads() {
        let finding = finding?;
        let county = finding.area_code.as_deref().unwrap_or("").trim().chars().take(6).collect();
        let sum = sums.entry((finding.rule_id.clone(), Reverse(finding.severity), county)).or_default();
        sum.add(&finding)?;
    }
    let cell = |((rule_id, severity, county), sum): ((String, Reverse<Severity>, String), Sum)| Count {
        rule_id,
        severity: severity.0,
        county,
        sum: (sum.findings >= LEAST).then_some((sum.findings, sum.fen)),
    };
    Ok(sums.into_iter().map(cell).collect())
}

/// The counts as a list.
pub(super) fn table<'t>(job: &'t Job<'_>, cells: &'t [Count]) -> Table<'t> {
    let lang = job.lang();
    let column =
        |zh: &str, en: &str, width, show| Column { title: say(lang, zh, en).to_owned(), width, show };
    let columns = vec![
        column("规则", "Rule", 12, Show::Centred),
        column("疑点", "What is suspected", 36, Show::Wrapped),
        column("严重程度", "Severity", 12, Show::Severity),
        column("县（市、区）", "County", 28, Show::Wrapped),
        column("线索数", "Findings", 12, Show::Count),
        column("涉及金额（元）", "Amount (yuan)", 20, Show::Money),
    ];
    let rows = cells.iter().map(move |count| {
        let (findings, money) = match count.sum {
            Some((findings, fen)) => (Cell::Count(findings), Cell::Money(fen)),
            None => (Cell::Text(format!("<{LEAST}")), Cell::Blank),
        };
        vec![
            Cell::Text(count.rule_id.clone()),
            Cell::Text(job.rule_title(&count.rule_id).get(lang).to_owned()),
            Cell::Text(words::severity(count.severity, lang).to_owned()),
            Cell::Text(job.area_label(&count.county)),
            findings,
            money,
        ]
    });
    Table::new(columns, rows)
}

/// How each rule ended, without figures: a rule that was not evaluated must not look clean.
pub(super) fn outcomes<'t>(job: &'t Job<'_>) -> Table<'t> {
    let lang = job.lang();
    let column =
        |zh: &str, en: &str, width, show| Column { title: say(lang, zh, en).to_owned(), width, show };
    let columns = vec![
        column("规则", "Rule", 12, Show::Centred),
        column("疑点", "What is suspected", 36, Show::Wrapped),
        column("执行结果", "Outcome", 16, Show::Centred),
        column("说明", "Remark", 60, Show::Wrapped),
    ];
    let rows = job.outcomes.iter().map(move |outcome| {
        vec![
            Cell::Text(outcome.rule_id.clone()),
            Cell::Text(outcome.title.get(lang).to_owned()),
            Cell::Text(words::outcome(outcome.outcome, lang).to_owned()),
            outcome.reason.as_ref().map_or(Cell::Blank, |r| Cell::Text(r.get(lang).to_owned())),
        ]
    });
    Table::new(columns, rows)
}
