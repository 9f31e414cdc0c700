//! Which views are made when: before the shards, beside them, or kept from them for what comes after. Each follows
//! what it reads, and what that reads, to the end. Knows plans only by the tables that they read.

use std::collections::BTreeSet;

use crate::program::{Place, Program, RulePlan, ViewPlan};

/// The views over everything that the shards need, directly or through other views, made before them; and those that
/// can be made beside them: read by nothing in the shards, and reading no other view.
pub(crate) fn before_views(program: &Program) -> (Vec<&ViewPlan>, Vec<&ViewPlan>) {
    let in_shards = program.views.iter().filter(|v| v.place == Place::Local).map(|v| &v.compiled);
    let rules = program.rules.iter().filter(|r| r.place == Place::Local);
    let rules = rules.flat_map(|r| std::iter::once(&r.candidates).chain(&r.counters));
    let mut needed: BTreeSet<&str> =
        in_shards.chain(rules).flat_map(|c| c.columns.keys().map(String::as_str)).collect();
    let views: Vec<&ViewPlan> = program.views.iter().filter(|v| v.place == Place::Before).collect();
    // Views stand in order: those that a view reads come before it. So what is needed is known when a view is asked.
    for view in views.iter().rev() {
        if needed.contains(view.name.as_str()) {
            needed.extend(view.compiled.columns.keys().map(String::as_str));
        }
    }
    let reads_view = |v: &ViewPlan| v.compiled.columns.keys().any(|name| program.view(name).is_some());
    let (needed, others): (Vec<_>, Vec<_>) =
        views.into_iter().partition(|v| needed.contains(v.name.as_str()));
    (needed, others.into_iter().filter(|v| !reads_view(v)).collect())
}

/// Local views whose rows are needed again once all shards are done.
pub(crate) fn views_kept_for(program: &Program, later: &[&RulePlan]) -> BTreeSet<String> {
    let late_views = program.views.iter().filter(|v| matches!(v.place, Place::After(_)));
    let readers = later
        .iter()
        .map(|r| &r.candidates)
        .chain(later.iter().flat_map(|r| &r.counters))
        .chain(late_views.map(|v| &v.compiled));
    let read: BTreeSet<&String> = readers.flat_map(|c| c.columns.keys()).collect();
    program
        .views
        .iter()
        .filter(|v| v.place == Place::Local && read.contains(&v.name))
        .map(|v| v.name.clone())
        .collect()
}
