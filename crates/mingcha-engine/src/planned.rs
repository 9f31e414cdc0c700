//! What a run would do, without doing it: inputs and their state, where each rule would run and why.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::physical_plan::displayable;
use mingcha_intake::Tables;
use mingcha_rules::{Diagnostic, Library, Text};

use crate::plan::Compiled;
use crate::program::{Order, Place, Program, RulePlan};
use crate::report::RunOptions;
use crate::run::{Judgement, judge_input};

/// One rule as it would run.
#[derive(Debug, Clone)]
pub struct PlannedRule {
    /// The rule.
    pub rule_id: String,
    /// Its title.
    pub title: Text,
    /// Its inputs, with rows (absent: not delivered) and what is wrong with them.
    pub inputs: Vec<PlannedInput>,
    /// Whether it would run at all.
    pub runs: bool,
    /// Whether it would run shard by shard.
    pub shard_local: bool,
    /// What makes it not local.
    pub not_local_because: Option<String>,
    /// Keys other than the person by which parts of it are made.
    pub by_key: Vec<String>,
    /// The plan of its candidates as it would be executed; `by person`: read through the person index.
    pub plan: String,
    /// Faults in its SQL.
    pub faults: Vec<Text>,
}

/// One input of a rule.
#[derive(Debug, Clone)]
pub struct PlannedInput {
    /// Dataset.
    pub dataset: String,
    /// Rows; absent: not delivered.
    pub rows: Option<u64>,
    /// Extract date, where known.
    pub extracted: Option<chrono::NaiveDate>,
    /// What is wrong with it.
    pub trouble: Option<Text>,
}

/// What `run` would do with these tables.
///
/// # Errors
/// When a session cannot be opened.
pub fn plan(
    tables: &Arc<dyn Tables>,
    library: &Library,
    options: &RunOptions,
) -> Result<Vec<PlannedRule>, Vec<Diagnostic>> {
    let chosen = |id: &String| options.only.is_empty() || options.only.contains(id);
    let rules: BTreeSet<String> = library.rules.iter().map(|r| r.rule.id.clone()).filter(chosen).collect();
    let order = Order {
        library,
        rules: &rules,
        tables: Some(tables.as_ref()),
        as_of: options.as_of,
        params: &options.params,
        plain_plans: options.plain_plans,
    };
    let program = Program::new(&order).map_err(|e| {
        vec![Diagnostic::error(
            "MC701",
            format!("引擎无法启动：{e}"),
            format!("the engine cannot start: {e}"),
        )]
    })?;
    let mut planned = Vec::new();
    for loaded in library.rules.iter().filter(|r| rules.contains(&r.rule.id)) {
        let mut blocked = false;
        let inputs = library
            .needed_datasets(loaded)
            .into_iter()
            .map(|dataset| {
                let judged = judge_input(
                    tables.as_ref(),
                    library.contract(&dataset),
                    loaded.rule.inputs.get(&dataset),
                    &dataset,
                    options,
                );
                let trouble = match judged {
                    Judgement::Fine => None,
                    Judgement::Warn(text) => Some(text),
                    Judgement::Block(text) => {
                        blocked = true;
                        Some(text)
                    }
                };
                PlannedInput {
                    rows: tables.rows(&dataset),
                    extracted: tables.extract_date(&dataset),
                    dataset,
                    trouble,
                }
            })
            .collect();
        let compiled = program.rules.iter().find(|r| r.id == loaded.rule.id);
        planned.push(PlannedRule {
            rule_id: loaded.rule.id.clone(),
            title: loaded.rule.title.clone(),
            inputs,
            runs: !blocked && compiled.is_some(),
            shard_local: compiled.is_some_and(|r| r.place == Place::Local),
            not_local_because: compiled.and_then(RulePlan::not_local_because),
            by_key: compiled.map(|r| keys(&program, r)).unwrap_or_default(),
            plan: compiled.map(|r| displayed(&program, r)).unwrap_or_default(),
            faults: program
                .broken
                .get(&loaded.rule.id)
                .into_iter()
                .flatten()
                .map(|f| Text { zh: f.fault.zh.clone(), en: f.fault.en.clone() })
                .collect(),
        });
    }
    Ok(planned)
}

/// The keys by which parts of a rule and of its views are made.
fn keys(program: &Program, rule: &RulePlan) -> Vec<String> {
    let parts = rule.views.iter().chain(&rule.pieces).filter_map(|name| program.view(name));
    let keys: BTreeSet<String> = parts
        .filter_map(|v| match &v.place {
            Place::ByKey(key) => Some(key.clone()),
            _ => None,
        })
        .collect();
    keys.into_iter().collect()
}

/// The plan of the candidates, and below it those of the parts that are made by another key.
fn displayed(program: &Program, rule: &RulePlan) -> String {
    let shown = |compiled: &Compiled| displayable(compiled.physical.as_ref()).indent(false).to_string();
    let mut text = shown(&rule.candidates);
    for piece in rule.pieces.iter().filter_map(|name| program.view(name)) {
        text.push_str(&format!("{}:\n{}", piece.name, shown(&piece.compiled)));
    }
    text
}
