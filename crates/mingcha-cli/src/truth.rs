//! A run held against the truth about a synthetic city: what was planted, found, missed, wrongly flagged, and
//! whether everybody who was to be spared was spared for the reason that was planted. Knows no data and no
//! terminal.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::finding::{Excused, Finding};
use mingcha_synth::TruthRow;
use serde::Serialize;

/// How one rule did. Subjects are counted once, however many findings name them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Score {
    /// Subjects that the rule must flag.
    pub(crate) planted: u64,
    /// Of those, flagged.
    pub(crate) found: u64,
    /// Of those, not flagged.
    pub(crate) missed: u64,
    /// Subjects that were flagged and must not be.
    pub(crate) wrong: u64,
    /// Subjects planted as near misses.
    pub(crate) near: u64,
    /// Of those, not flagged.
    pub(crate) near_kept: u64,
    /// Subjects planted for an exclusion.
    pub(crate) excluded: u64,
    /// Of those, not flagged.
    pub(crate) excluded_kept: u64,
    /// Of those, recorded as excused under the code that was planted.
    pub(crate) excluded_named: u64,
}

impl Score {
    /// Whether nothing was missed, wrongly flagged or excused for another reason.
    pub(crate) fn is_perfect(&self) -> bool {
        self.missed == 0
            && self.wrong == 0
            && self.near == self.near_kept
            && self.excluded == self.excluded_kept
            && self.excluded == self.excluded_named
    }
}

/// The score of every rule that the truth or the run names.
pub(crate) fn compare(
    truth: &[TruthRow],
    findings: &[Finding],
    excused: &[Excused],
) -> BTreeMap<String, Score> {
    let expected: BTreeSet<(&str, &str)> =
        truth.iter().filter(|t| t.expected).map(|t| (t.rule_id.as_str(), t.subject_id.as_str())).collect();
    let flagged: BTreeSet<(&str, &str)> =
        findings.iter().map(|f| (f.rule_id.as_str(), f.subject_id.as_str())).collect();
    let codes: BTreeSet<(&str, &str, &str)> =
        excused.iter().map(|e| (e.rule_id.as_str(), e.subject_id.as_str(), e.code.as_str())).collect();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for &(rule, subject) in &expected {
        let score = scores.entry(rule.to_owned()).or_default();
        score.planted += 1;
        if flagged.contains(&(rule, subject)) { score.found += 1 } else { score.missed += 1 }
    }
    for &(rule, _) in flagged.difference(&expected) {
        scores.entry(rule.to_owned()).or_default().wrong += 1;
    }
    let spared: BTreeSet<(&str, &str, Option<&str>)> = truth
        .iter()
        .filter(|t| !t.expected)
        .map(|t| (t.rule_id.as_str(), t.subject_id.as_str(), t.exclusion.as_deref()))
        .collect();
    for (rule, subject, exclusion) in spared {
        let score = scores.entry(rule.to_owned()).or_default();
        // Somebody may be spared for one matter and rightly flagged for another.
        let kept = expected.contains(&(rule, subject)) || !flagged.contains(&(rule, subject));
        match exclusion {
            None => {
                score.near += 1;
                score.near_kept += u64::from(kept);
            }
            Some(code) => {
                score.excluded += 1;
                score.excluded_kept += u64::from(kept);
                score.excluded_named += u64::from(codes.contains(&(rule, subject, code)));
            }
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use mingcha_rules::rule::{Severity, SubjectType};
    use mingcha_rules::text::Text;

    use super::*;

    fn truth(subject: &str, expected: bool, exclusion: Option<&str>) -> TruthRow {
        TruthRow {
            kind: exclusion.unwrap_or(if expected { "hit" } else { "near_miss" }).to_owned(),
            id_number: subject.to_owned(),
            rule_id: "PEN-01".to_owned(),
            expected,
            exclusion: exclusion.map(str::to_owned),
            subject_id: subject.to_owned(),
            note: String::new(),
        }
    }

    fn finding(subject: &str) -> Finding {
        Finding {
            finding_id: subject.to_owned(),
            rule_id: "PEN-01".to_owned(),
            rule_version: 1,
            severity: Severity::High,
            grade: "A".to_owned(),
            identity: "I1".to_owned(),
            subject_type: SubjectType::Person,
            subject_id: subject.to_owned(),
            subject_name: None,
            area_code: None,
            period_from: None,
            period_to: None,
            amount_fen: None,
            message: Text::default(),
            measures: BTreeMap::new(),
            candidates: 1,
            evidence: Vec::new(),
            counter_evidence: Vec::new(),
            exclusions_checked: Vec::new(),
        }
    }

    fn excused(subject: &str, code: &str) -> Excused {
        Excused {
            rule_id: "PEN-01".to_owned(),
            subject_type: SubjectType::Person,
            subject_id: subject.to_owned(),
            code: code.to_owned(),
            also: Vec::new(),
            candidates: 1,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn misses_false_alarms_and_wrong_reasons_are_told_apart() {
        let truth = [
            truth("a", true, None),
            truth("b", true, None),
            truth("c", false, None),
            truth("d", false, Some("X-LAG")),
            truth("e", false, Some("X-LAG")),
        ];
        let scores = compare(
            &truth,
            &[finding("a"), finding("c"), finding("z")],
            &[excused("d", "X-LAG"), excused("e", "X-ALIVE")],
        );
        let score = &scores["PEN-01"];
        assert_eq!((score.planted, score.found, score.missed, score.wrong), (2, 1, 1, 2));
        assert_eq!((score.near, score.near_kept), (1, 0));
        assert_eq!((score.excluded, score.excluded_kept, score.excluded_named), (2, 2, 1));
        assert!(!score.is_perfect());
    }

    #[test]
    fn a_run_that_agrees_with_the_truth_is_perfect() {
        let truth = [truth("a", true, None), truth("b", false, None), truth("c", false, Some("X-LAG"))];
        let scores = compare(&truth, &[finding("a")], &[excused("c", "X-LAG")]);
        assert!(scores["PEN-01"].is_perfect());
    }
}
