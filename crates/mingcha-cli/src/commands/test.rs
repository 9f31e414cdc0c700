//! `mingcha test`: the examples inside the rules. A failed example is shown under its lines in the rule.

use std::collections::BTreeMap;

use mingcha_engine::ExampleResult;
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::rule::CaseKind;
use mingcha_rules::text::Lang;
use serde_json::json;

use super::Context;
use crate::args::{Format, Test};
use crate::exit::{Exit, Outcome};
use crate::packs::{Named, Shelf};
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Test) -> Outcome {
    let named = Named::find(&args.paths)?;
    let mut shelf = Shelf::over(context, &args.packs, named.sources.clone());
    shelf.settle();
    let mut ids: Vec<String> =
        shelf.library.rules.iter().filter(|r| named.holds(&r.file)).map(|r| r.rule.id.clone()).collect();
    let only = shelf.only(&args.only)?.unwrap_or_default();
    ids.retain(|id| only.is_empty() || only.contains(id));
    let results =
        if ids.is_empty() { Vec::new() } else { mingcha_engine::test_examples(&shelf.library, &ids) };
    context.interrupt.check()?;
    let mut faults = shelf.faults_of(&only);
    faults.retain(|f| f.place.file.as_deref().is_none_or(|file| named.holds(file)));
    faults.extend(failures(&shelf, &results));
    let failed = results.iter().filter(|r| !r.passed()).count();
    show(context, &results, &faults, args.shape.format);
    let broken = faults.iter().any(|f| f.level == mingcha_rules::Level::Error);
    Ok(if failed > 0 || broken { Exit::Rules } else { Exit::Done })
}

/// One diagnostic for each example that did not come out as written.
fn failures(shelf: &Shelf, results: &[ExampleResult]) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for result in results {
        let number = numbers.entry(&result.rule_id).or_default();
        let case = *number;
        *number += 1;
        let Some(rule) = shelf.library.rule(&result.rule_id) else { continue };
        for fault in &result.faults {
            let mut diagnostic = Diagnostic::error(
                "MC490",
                format!("{} 的示例“{}”：{}", result.rule_id, result.name.zh, fault.zh),
                format!("example \"{}\" of {}: {}", result.name.en, result.rule_id, fault.en),
            );
            diagnostic.place = rule.place(&format!("examples.cases[{case}].name"));
            diagnostic.place.file.get_or_insert_with(|| rule.file.clone());
            out.push(diagnostic);
        }
    }
    out
}

fn show(context: &Context, results: &[ExampleResult], faults: &[Diagnostic], format: Format) {
    let screen = &context.screen;
    if format == Format::Json {
        let cases: Vec<_> = results
            .iter()
            .map(|r| json!({"rule_id": r.rule_id, "name": r.name, "kind": r.kind, "passed": r.passed(), "faults": r.faults}))
            .collect();
        screen.json(&json!({"cases": cases, "diagnostics": faults}));
        return;
    }
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("#命中", "#hits"),
        screen.say("#近似", "#near misses"),
        screen.say("#排除", "#exclusions"),
        screen.say("#未通过", "#failed"),
    ]);
    let mut rules: Vec<&str> = results.iter().map(|r| r.rule_id.as_str()).collect();
    rules.dedup();
    for rule in rules {
        let of = |kind: CaseKind| {
            results.iter().filter(|r| r.rule_id == rule && r.kind == kind).count().to_string()
        };
        let failed = results.iter().filter(|r| r.rule_id == rule && !r.passed()).count();
        table.row([
            rule.to_owned(),
            of(CaseKind::Hit),
            of(CaseKind::NearMiss),
            of(CaseKind::Excluded),
            failed.to_string(),
        ]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
    screen.diagnostics(faults);
    let passed = count(results.iter().filter(|r| r.passed()).count() as u64);
    let all = count(results.len() as u64);
    screen.line(match screen.lang {
        Lang::Zh => format!("示例共 {all} 个，通过 {passed} 个"),
        Lang::En => format!("{passed} of {all} examples passed"),
    });
}
