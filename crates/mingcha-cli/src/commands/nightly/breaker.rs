//! What holds a rule's lists back: more findings, more subjects or a greater change than the office said is plausible.
//! The result stands in the run and in the ledger; only the lists wait for somebody who looks. Knows counts only.

use std::collections::BTreeMap;

use crate::config::Breaker;

/// What is known of one rule tonight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tonight {
    /// Findings.
    pub(super) findings: u64,
    /// Different subjects among them.
    pub(super) subjects: u64,
    /// Persons of the store.
    pub(super) persons: u64,
    /// Findings of the last night that evaluated the rule.
    pub(super) before: Option<u64>,
}

/// Changes by fewer findings are none, where the office does not say otherwise.
const LEAST: u64 = 20;

/// What holds for `rule`: its own numbers, and those for all where it has none.
pub(super) fn of(breakers: &BTreeMap<String, Breaker>, rule: &str) -> Breaker {
    let (own, all) = (breakers.get(rule), breakers.get("all"));
    let pick = |field: fn(&Breaker) -> Option<u64>| own.and_then(field).or_else(|| all.and_then(field));
    Breaker {
        rows: pick(|b| b.rows),
        per_mille: pick(|b| b.per_mille),
        change_percent: pick(|b| b.change_percent),
        change_least: pick(|b| b.change_least),
    }
}

/// Why the lists of a rule are held back; empty: they are not. In the words of numbers: what, got, wanted.
pub(super) fn trips(breaker: &Breaker, tonight: &Tonight) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(most) = breaker.rows.filter(|most| tonight.findings > *most) {
        why.push(format!("rows {} > {most}", tonight.findings));
    }
    // Compared as products, so that nothing is rounded away.
    let beyond =
        |most: &u64| u128::from(tonight.subjects) * 1000 > u128::from(*most) * u128::from(tonight.persons);
    if let Some(most) = breaker.per_mille.filter(|most| tonight.subjects > 0 && beyond(most)) {
        why.push(format!("subjects {} of {} > {most} per mille", tonight.subjects, tonight.persons));
    }
    if let (Some(most), Some(before)) = (breaker.change_percent, tonight.before) {
        let change = tonight.findings.abs_diff(before);
        let great = u128::from(change) * 100 > u128::from(most) * u128::from(before);
        if great && change >= breaker.change_least.unwrap_or(LEAST) {
            why.push(format!("change {before} -> {} > {most} %", tonight.findings));
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tonight(findings: u64, before: Option<u64>) -> Tonight {
        Tonight { findings, subjects: findings, persons: 1_000, before }
    }

    #[test]
    fn a_rule_trips_above_its_numbers_and_not_at_them() {
        let rows = Breaker { rows: Some(100), ..Breaker::default() };
        assert!(trips(&rows, &tonight(100, None)).is_empty());
        assert_eq!(trips(&rows, &tonight(101, None)), ["rows 101 > 100"]);
        let share = Breaker { per_mille: Some(50), ..Breaker::default() };
        assert!(trips(&share, &tonight(50, None)).is_empty());
        assert_eq!(trips(&share, &tonight(51, None)).len(), 1);
        assert!(trips(&share, &Tonight { persons: 0, ..tonight(0, None) }).is_empty());
        assert_eq!(trips(&share, &Tonight { persons: 0, ..tonight(1, None) }).len(), 1);
    }

    #[test]
    fn a_change_counts_both_ways_and_few_findings_are_no_change() {
        let change = Breaker { change_percent: Some(50), ..Breaker::default() };
        for (findings, before, trips_) in [
            (150, Some(100), false),
            (151, Some(100), true),
            (49, Some(100), true),
            (50, Some(100), false),
            (3, Some(1), false),
            (19, Some(0), false),
            (20, Some(0), true),
            (9_999, None, false),
        ] {
            assert_eq!(
                !trips(&change, &tonight(findings, before)).is_empty(),
                trips_,
                "{before:?} {findings}"
            );
        }
        let touchy = Breaker { change_least: Some(1), ..change };
        assert_eq!(trips(&touchy, &tonight(3, Some(1))), ["change 1 -> 3 > 50 %"]);
    }

    #[test]
    fn a_rules_own_number_stands_before_that_of_all() {
        let all = Breaker { rows: Some(10), per_mille: Some(5), ..Breaker::default() };
        let own = Breaker { rows: Some(1_000), ..Breaker::default() };
        let breakers = BTreeMap::from([("all".to_owned(), all.clone()), ("PEN-08".to_owned(), own)]);
        assert_eq!(of(&breakers, "PEN-01"), all);
        assert_eq!((of(&breakers, "PEN-08").rows, of(&breakers, "PEN-08").per_mille), (Some(1_000), Some(5)));
    }
}
