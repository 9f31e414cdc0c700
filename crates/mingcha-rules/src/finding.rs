//! What a rule hands over: findings, excused candidates and the outcome of the rule, as plain structs.
//! Findings are few and rows are many, so no Arrow is needed here. Knows neither engine nor ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rule::{Severity, SubjectType};
use crate::text::Text;

/// A lead: never a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable across nights: depends on rule, subject and matter only.
    pub finding_id: String,
    /// The rule.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// How grave.
    pub severity: Severity,
    /// `A` strong, `B` medium, `C` weak.
    pub grade: String,
    /// `I1`..`I5`: how sure the person is the same in all sources.
    pub identity: String,
    /// Kind of subject.
    pub subject_type: SubjectType,
    /// Normalised identity number, account number, ...
    pub subject_id: String,
    /// Name, where a source gives one.
    pub subject_name: Option<String>,
    /// Area that will handle it.
    pub area_code: Option<String>,
    /// First day concerned, YYYY-MM-DD.
    pub period_from: Option<String>,
    /// Last day concerned, YYYY-MM-DD.
    pub period_to: Option<String>,
    /// Yuan at risk, in fen (1/100 yuan).
    pub amount_fen: Option<i64>,
    /// The sentence, in both languages.
    pub message: Text,
    /// Figures of the finding, as text.
    pub measures: BTreeMap<String, String>,
    /// Candidates that it was made of; with those excused they are all that the rule looked at.
    #[serde(default)]
    pub candidates: u64,
    /// Rows for it.
    pub evidence: Vec<EvidenceRow>,
    /// Rows against it.
    pub counter_evidence: Vec<EvidenceRow>,
    /// Every exclusion of the rule and how many candidates of this subject it excused.
    pub exclusions_checked: Vec<ExclusionChecked>,
}

/// One source row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// Dataset.
    pub dataset: String,
    /// File, relative to the extracts folder.
    pub file: String,
    /// Row in the file: 1 is the first data row. For spreadsheets and CSV the heading is not counted.
    pub row: u64,
    /// The columns that matter, as text.
    pub columns: BTreeMap<String, String>,
    /// For counter-evidence: what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Text>,
}

/// An exclusion of the rule, and what it did for this subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExclusionChecked {
    /// Code.
    pub code: String,
    /// Candidates of this subject that it excused.
    pub excused: u64,
}

/// A subject that was looked at and not flagged (or flagged for less), and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excused {
    /// The rule.
    pub rule_id: String,
    /// Kind of subject.
    pub subject_type: SubjectType,
    /// Normalised identity number, account number, ...
    pub subject_id: String,
    /// Exclusion that applied first.
    pub code: String,
    /// Further exclusions that held as well.
    pub also: Vec<String>,
    /// Candidates excused.
    pub candidates: u64,
    /// First of the rows concerned.
    pub evidence: Vec<EvidenceRow>,
}

/// How a rule ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Findings.
    Found,
    /// None, and everything it needs was there.
    Clean,
    /// It broke; the others ran.
    Failed,
    /// It was stopped by its limits; findings are kept aside.
    Held,
    /// An input was missing or stale.
    NotEvaluated,
}

impl OutcomeKind {
    /// The word in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Clean => "clean",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::NotEvaluated => "not_evaluated",
        }
    }
}

/// The outcome of one rule in one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The rule.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// Its title.
    pub title: Text,
    /// SHA-256 of the rule's text (and of its SQL file and views).
    pub rule_hash: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Why, where that needs saying.
    pub reason: Option<Text>,
    /// Inputs that were absent, stale or undated and did not stop it.
    pub warnings: Vec<Text>,
    /// Candidates before exclusions.
    pub candidates: u64,
    /// Candidates excused, by code.
    pub excluded: BTreeMap<String, u64>,
    /// Findings.
    pub findings: u64,
    /// Yuan at risk, in fen.
    pub amount_fen: i64,
    /// Rows of the inputs.
    pub rows_read: u64,
    /// Seconds of work.
    pub seconds: f64,
    /// Greatest memory reserved, bytes; 0 where not measured.
    pub peak_memory: u64,
    /// Whether it ran shard by shard, and if not, why.
    pub shard_local: bool,
    /// What made it not local.
    pub not_local_because: Option<String>,
}
