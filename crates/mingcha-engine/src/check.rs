//! Checks that need an engine but no data: every piece of SQL of every rule and view is planned against the
//! contracts, and the columns that a rule names elsewhere are looked for in what its SQL gives.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use mingcha_rules::{Diagnostic, Library, LoadedRule, Place};

use crate::columns;
use crate::gather;
use crate::plan::Catalog;
use crate::program::{Order, PieceFault, Program};
use crate::sql::SqlFault;

/// A date to plan with; no plan depends on which.
const ANY_DAY: NaiveDate = NaiveDate::MIN;

/// Plans every rule and view of `library`. All faults, ordered by file and place.
pub fn check_sql(library: &Library) -> Vec<Diagnostic> {
    let rules: BTreeSet<String> = library.rules.iter().map(|r| r.rule.id.clone()).collect();
    let none = BTreeMap::new();
    let day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or(ANY_DAY);
    let order = Order { library, rules: &rules, tables: None, as_of: day, params: &none, plain_plans: false };
    let program = match Program::new(&order) {
        Ok(program) => program,
        Err(e) => {
            return vec![Diagnostic::error(
                "MC701",
                format!("引擎无法启动：{e}"),
                format!("the engine cannot start: {e}"),
            )];
        }
    };
    let mut faults = Vec::new();
    for view in &library.views {
        for found in program.broken_views.get(&view.view.name).into_iter().flatten() {
            let place = match found.fault.at {
                Some((line, column)) => view.sql_place(size(line), size(column)),
                None => view.place("sql"),
            };
            faults.push(diagnostic(&found.fault, place, &view.file));
        }
    }
    for loaded in &library.rules {
        for found in rule_faults(loaded, &program, day) {
            let place = place_of(loaded, &found);
            faults.push(diagnostic(&found.fault, place, &loaded.file));
        }
    }
    faults.sort_by(|a, b| {
        (&a.place.file, a.place.line, &a.place.column, &a.code).cmp(&(
            &b.place.file,
            b.place.line,
            &b.place.column,
            &b.code,
        ))
    });
    faults.dedup();
    faults
}

fn rule_faults(loaded: &LoadedRule, program: &Program, day: NaiveDate) -> Vec<PieceFault> {
    if let Some(faults) = program.broken.get(&loaded.rule.id) {
        return faults.clone();
    }
    let Some(plan) = program.rules.iter().find(|r| r.id == loaded.rule.id) else { return Vec::new() };
    let counters: Vec<_> = plan.counters.iter().map(|c| std::sync::Arc::clone(&c.schema)).collect();
    let faults = columns::faults(loaded, &plan.schema, &counters);
    if !faults.is_empty() {
        return faults;
    }
    let grouping = Catalog::new(&[], None)
        .map_err(|e| vec![PieceFault { path: "measures".to_owned(), fault: crate::plan::planning_fault(&e) }])
        .and_then(|mut catalog| gather::compile_grouping(&mut catalog, loaded, &plan.schema, day, None));
    match grouping {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    }
}

fn place_of(loaded: &LoadedRule, found: &PieceFault) -> Place {
    match found.fault.at {
        Some((line, column)) if found.path == "sql" => loaded.sql_place(size(line), size(column)),
        Some((line, column)) => loaded.place_in(&found.path, size(line), size(column)),
        None => loaded.place(&found.path),
    }
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn diagnostic(fault: &SqlFault, mut place: Place, file: &str) -> Diagnostic {
    place.file.get_or_insert_with(|| file.to_owned());
    let mut out = Diagnostic::error(fault.code, fault.zh.clone(), fault.en.clone());
    out.place = place;
    if let Some((zh, en)) = &fault.help {
        out = out.with_help(zh.clone(), en.clone());
    }
    out
}
