//! `mingcha check`: everything wrong with rules and contracts, at once and without data.

use std::collections::BTreeSet;

use mingcha_rules::diagnostic::{Diagnostic, Level};
use mingcha_rules::text::Lang;
use serde_json::json;

use super::Context;
use crate::args::{Check, Format};
use crate::exit::{Exit, Outcome};
use crate::packs::{Named, Shelf};
use crate::render::{count, many};

pub(super) fn run(context: &Context, args: &Check) -> Outcome {
    let named = Named::find(&args.paths)?;
    let mut shelf = Shelf::over(context, &args.packs, named.sources.clone());
    // Planned before the checks that need no data drop anything: all faults at once.
    let planned = mingcha_engine::check_sql(&shelf.library);
    shelf.settle();
    let library = &shelf.library;
    let n = |files: &mut dyn Iterator<Item = String>| files.filter(|file| named.holds(file)).count() as u64;
    let rules = n(&mut library
        .rules
        .iter()
        .map(|r| r.file.clone())
        .chain(library.left_out.iter().map(|r| r.file.clone())));
    let views = n(&mut library.views.iter().map(|v| v.file.clone()));
    let contracts =
        n(&mut library.contracts.iter().filter_map(|c| library.contract_place(&c.name, "name").file));
    let mut faults: Vec<Diagnostic> = shelf.faults.clone();
    let known: BTreeSet<_> = shelf.faults.iter().map(|f| (f.place.file.clone(), f.place.line)).collect();
    // What is already said about a line is not said again in other words.
    faults.extend(planned.into_iter().filter(|f| !known.contains(&(f.place.file.clone(), f.place.line))));
    faults.retain(|f| f.place.file.as_deref().is_none_or(|file| named.holds(file)));
    faults.dedup();
    let errors = faults.iter().filter(|f| f.level == Level::Error).count() as u64;
    let warnings = faults.len() as u64 - errors;
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(&json!({"rules": rules, "views": views, "contracts": contracts, "errors": errors, "warnings": warnings, "diagnostics": faults}));
    } else {
        screen.diagnostics(&faults);
        screen.line(match screen.lang {
            Lang::Zh => format!(
                "已检查规则 {} 条、共享视图 {} 个、数据契约 {} 个：错误 {} 处，警告 {} 处",
                count(rules),
                count(views),
                count(contracts),
                count(errors),
                count(warnings)
            ),
            Lang::En => format!(
                "checked {}, {}, {}: {}, {}",
                many(rules, "rule"),
                many(views, "shared view"),
                many(contracts, "contract"),
                many(errors, "error"),
                many(warnings, "warning")
            ),
        });
    }
    Ok(if errors > 0 { Exit::Rules } else { Exit::Done })
}
