//! `mingcha plan`: what a run would do, without doing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mingcha_engine::{PlannedInput, PlannedRule};
use mingcha_intake::{Store, Tables};
use mingcha_rules::diagnostic::{Diagnostic, Level};
use serde_json::json;

use super::Context;
use super::run::{Job, Source};
use crate::args::{Format, Plan};
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::progress::Bars;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Plan) -> Outcome {
    let scope = &args.scope;
    let as_of = config::as_of(&context.config, scope.as_of.as_deref())?;
    let mut shelf = Shelf::open(context, &scope.packs);
    shelf.settle();
    let only = shelf.only(&scope.only)?.unwrap_or_default();
    let faults = shelf.faults_of(&only);
    let bars = Bars::new(context, context.shows_progress(scope.shape.format));
    let source = Source::open(context, scope, &shelf, std::env::temp_dir(), &bars)?;
    let options = Job {
        shelf: &shelf,
        as_of,
        only,
        power: &scope.power,
        plain_plans: scope.plain_plans,
        since: None,
        parts: None,
    }
    .options(context)?;
    let tables: Arc<dyn Tables> = Arc::<Store>::clone(&source.store);
    let planned = mingcha_engine::plan(&tables, &shelf.library, &options)
        .map_err(|diagnostics| Failure { exit: Exit::Internal, diagnostics })?;
    show(context, &faults, &planned, args);
    let broken =
        faults.iter().any(|f| f.level == Level::Error) || planned.iter().any(|r| !r.faults.is_empty());
    let blocked = planned.iter().any(|r| !r.runs && r.faults.is_empty());
    Ok(Exit::first([broken.then_some(Exit::Rules), blocked.then_some(Exit::Inputs)].into_iter().flatten()))
}

fn show(context: &Context, faults: &[Diagnostic], planned: &[PlannedRule], args: &Plan) {
    let screen = &context.screen;
    if args.scope.shape.format == Format::Json {
        let rules: Vec<_> = planned
            .iter()
            .map(|r| {
                let inputs: Vec<_> =
                    r.inputs.iter().map(|i| json!({"dataset": i.dataset, "rows": i.rows, "extracted": i.extracted, "trouble": i.trouble})).collect();
                json!({"rule_id": r.rule_id, "title": r.title, "runs": r.runs, "shard_local": r.shard_local,
                    "not_local_because": r.not_local_because, "by_key": r.by_key, "inputs": inputs, "faults": r.faults, "plan": r.plan})
            })
            .collect();
        screen.json(&rules);
        return;
    }
    screen.diagnostics(faults);
    screen.table(&inputs(context, planned));
    screen.line("");
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("名称", "title"),
        screen.say("运行", "runs"),
        screen.say("执行方式", "how"),
        screen.say("#读入行", "#rows"),
    ]);
    for rule in planned {
        let runs = if rule.runs { screen.say("是", "yes") } else { screen.say("否", "no") };
        let how = match (&rule.not_local_because, rule.shard_local) {
            (_, true) => screen.say("按分片", "shard by shard").to_owned(),
            (Some(why), false) if rule.by_key.is_empty() => {
                format!("{}{why}", screen.say("整体：", "at once: "))
            }
            (Some(why), false) => {
                let keys = rule.by_key.join(", ");
                screen.say(&format!("按 {keys} 分桶：{why}"), &format!("by {keys}: {why}")).to_owned()
            }
            (None, false) => screen.say("整体", "at once").to_owned(),
        };
        let rows = rule.inputs.iter().filter_map(|i| i.rows).sum();
        table.row([
            rule.rule_id.clone(),
            screen.text(&rule.title).to_owned(),
            runs.to_owned(),
            how,
            count(rows),
        ]);
    }
    screen.table(&table);
    for rule in planned {
        for fault in &rule.faults {
            screen.line(format!("{} {}", rule.rule_id, screen.text(fault)));
        }
    }
    if args.plans {
        for rule in planned.iter().filter(|r| !r.plan.is_empty()) {
            screen.line(format!("\n{}\n{}", rule.rule_id, rule.plan.trim_end()));
        }
    }
}

/// Each dataset once, with its state and the rules that need it.
fn inputs(context: &Context, planned: &[PlannedRule]) -> Table {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("数据集", "dataset"),
        screen.say("#行数", "#rows"),
        screen.say("提取日期", "extracted"),
        screen.say("问题", "trouble"),
    ]);
    let mut all: BTreeMap<&str, (&PlannedInput, Vec<&str>)> = BTreeMap::new();
    for rule in planned {
        for input in &rule.inputs {
            let (_, troubles) = all.entry(&input.dataset).or_insert((input, Vec::new()));
            if let Some(trouble) = input.trouble.as_ref().map(|t| screen.text(t))
                && !troubles.contains(&trouble)
            {
                troubles.push(trouble);
            }
        }
    }
    for (dataset, (input, troubles)) in all {
        table.row([
            dataset.to_owned(),
            input.rows.map_or_else(|| screen.say("未提供", "not delivered").to_owned(), count),
            input.extracted.map_or_else(|| screen.say("未注明", "not given").to_owned(), |d| d.to_string()),
            troubles.join(screen.say("；", "; ")),
        ]);
    }
    table
}
