//! Rules and shared views as their YAML files spell them. The shape of the language is here and
//! nowhere else; what the SQL means is the engine's business.
//!
//! A rule works in three steps, each visible to a reader of the file:
//! 1. `sql` gathers *candidates*: one row per suspicious fact, before anything is excused;
//! 2. each of `exclusions` excuses candidates (`when`) or whole subjects (`having`), and is counted;
//! 3. what is left is grouped by subject (and `matter`) into findings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// One rule: a whole YAML file. Field order here is the order in the file.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Identifier from the catalogue (`PEN-01`); never reused.
    pub id: String,
    /// Names the fault.
    pub title: Text,
    /// Rises with every change of what the rule finds.
    pub version: u32,
    /// Where the rule stands in its life.
    pub status: Status,
    /// Day of the last change of status, YYYY-MM-DD.
    pub since: String,
    /// How grave a finding is.
    pub severity: SeverityRule,
    /// The author's expectation, until outcomes measure it.
    pub confidence: Confidence,
    /// Who answers for the rule.
    pub owner: Text,
    /// The law or procedure behind it.
    pub legal: Vec<Legal>,
    /// What is flagged, in plain words.
    pub description: Text,
    /// Why that is a fault.
    pub rationale: Text,
    /// Innocent explanations.
    pub false_positives: Vec<Text>,
    /// What an investigator does, in order.
    pub verify: Vec<Text>,
    /// Datasets that the rule (or a view it uses) reads.
    pub inputs: BTreeMap<String, Input>,
    /// Shared views that the SQL reads.
    #[serde(default)]
    pub views: Vec<String>,
    /// Named parameters, `$name` in SQL.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// The candidates: a read-only SELECT. Either this or `sql_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// File beside the rule that holds the SELECT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_file: Option<String>,
    /// Named reasons not to flag, in order of precedence.
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
    /// Whom a finding is about.
    pub subject: Subject,
    /// Candidate columns that tell one matter from another of the same subject; part of the finding's identity.
    #[serde(default)]
    pub matter: Vec<String>,
    /// Figures that look across subjects, joined back to each candidate by `by`.
    #[serde(default)]
    pub across: BTreeMap<String, Across>,
    /// Figures of one finding: name -> SQL aggregate over its candidates.
    #[serde(default)]
    pub measures: BTreeMap<String, String>,
    /// Aggregate expressions (or measures) for the first and last day concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// Aggregate expression for the yuan at risk; absent where money is not the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Aggregate expression that yields the identity grade `I1`..`I5`.
    pub identity: String,
    /// SQL over measures that yields `A`, `B` or `C`.
    pub grade: String,
    /// Source rows that speak for the finding.
    pub evidence: Vec<Evidence>,
    /// Source rows that speak against it.
    #[serde(default)]
    pub counter_evidence: Vec<CounterEvidence>,
    /// The sentence of a finding; `{measure}`, `{period_from}`, `{period_to}`, `{amount}` and `{subject_name}` are filled in.
    pub message: Text,
    /// Where the breaker trips.
    #[serde(default)]
    pub limits: Limits,
    /// Where the rule and its figures come from.
    #[serde(default)]
    pub references: Vec<String>,
    /// Given rows and expected findings.
    pub examples: Examples,
}

/// A relation that several rules share, materialised once per shard.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Name in SQL.
    pub name: String,
    /// What one row is.
    pub description: Text,
    /// Datasets that the SQL reads.
    pub inputs: Vec<String>,
    /// Other views that the SQL reads.
    #[serde(default)]
    pub views: Vec<String>,
    /// Named parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// A read-only SELECT.
    pub sql: String,
}

/// A pack: one folder of rules with one owner (`rules/<pack>/pack.yaml`).
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackHeader {
    /// Folder name.
    pub id: String,
    /// Title for people.
    pub title: Text,
    /// What the pack is for.
    pub description: Text,
}

/// Life of a rule. Only `trial` and `active` rules run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being written; does not run.
    Draft,
    /// Runs; its findings are marked as trial.
    Trial,
    /// Runs.
    Active,
    /// Still runs, for comparison.
    Deprecated,
    /// Does not run; the id stays taken.
    Retired,
}

/// How grave a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data repair.
    Info,
    /// Small or in transit.
    Low,
    /// Needs a desk check.
    Medium,
    /// Needs a field check.
    High,
    /// Long-running, large, or touches an official.
    Critical,
}

impl Severity {
    /// The word in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// Default severity and the bands that replace it.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeverityRule {
    /// Where no band applies.
    pub default: Severity,
    /// First band whose `when` holds wins.
    #[serde(default)]
    pub bands: Vec<Band>,
    /// SQL over measures (integer): levels to add (or, negative, to take) after the bands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<String>,
}

/// One severity band.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The severity.
    pub level: Severity,
    /// SQL over measures.
    pub when: String,
}

/// The author's expectation of how often a finding is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Rarely.
    Low,
    /// Often.
    Medium,
    /// Nearly always.
    High,
}

/// A legal instrument and what it says.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Legal {
    /// Name of the law, regulation or procedure.
    pub instrument: Text,
    /// Article, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub article: Option<String>,
    /// What it says on this matter, in our words.
    pub says: Text,
}

/// What a rule asks of an input.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whether the rule can be evaluated without it (then it counts as empty, and the run says so).
    #[serde(default)]
    pub optional: bool,
    /// Columns without which silence would mean nothing: where an extract lacks one, the rule is not evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Days after which it is stale for this rule; absent: the contract's figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// Time grain of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grain: Option<Grain>,
    /// What must be covered for the rule's silence to mean anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Text>,
}

/// Time grain of a dataset's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grain {
    /// Events with a moment.
    Event,
    /// One row per day.
    Day,
    /// One row per month.
    Month,
    /// One row per year.
    Year,
    /// State at the extract date.
    Snapshot,
}

/// A named parameter.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Type.
    #[serde(rename = "type")]
    pub ty: ParamType,
    /// Value where the workspace sets none. Written as text for money and dates.
    pub default: Scalar,
    /// Least value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Scalar>,
    /// Greatest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Scalar>,
    /// What it means.
    pub title: Text,
    /// Where the default comes from.
    pub source: String,
}

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// 64-bit integer.
    Int,
    /// Decimal(18, 4), written as text.
    Decimal,
    /// Date, written YYYY-MM-DD.
    Date,
    /// Text.
    Text,
    /// True or false.
    Bool,
}

/// A plain value in YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// true, false
    Bool(bool),
    /// 12
    Int(i64),
    /// "text"
    Text(String),
}

/// Exclusions that a rule may have: which of them hold for a candidate is kept in the bits of one number.
pub const MOST_EXCLUSIONS: usize = u64::BITS as usize;

/// A named reason not to flag.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Code (`X-LAG`), unique in the rule.
    pub code: String,
    /// The reason, for people.
    pub title: Text,
    /// SQL over candidate columns: excuses single candidates. Either this or `having`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// SQL over measures: excuses the whole subject (matter).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub having: Option<String>,
    /// Rule that takes the case over, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// Whom a finding is about.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Kind of subject.
    #[serde(rename = "type")]
    pub ty: SubjectType,
    /// Candidate column: `pid` for persons in the index, else a text column.
    pub key: String,
    /// Candidate column with the subject's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Candidate column with the area that will handle the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
}

/// Kind of subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// A natural person, by identity number.
    Person,
    /// A household, by number.
    Household,
    /// A bank account.
    Account,
    /// A firm or institution.
    Organisation,
    /// A project or lot.
    Project,
}

impl SubjectType {
    /// The word in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Household => "household",
            Self::Account => "account",
            Self::Organisation => "organisation",
            Self::Project => "project",
        }
    }
}

/// A figure across subjects: `expr` over all unexcused candidates that share `by`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Across {
    /// Candidate column to group by.
    pub by: String,
    /// SQL aggregate.
    pub expr: String,
}

/// First and last day concerned.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// SQL aggregate that yields a date.
    pub from: String,
    /// SQL aggregate that yields a date.
    pub to: String,
}

/// Source rows behind a finding. The dataset, file and row follow from the locator.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Candidate column that holds a row locator (`src` of a dataset).
    pub src: String,
    /// Candidate columns to show.
    pub columns: Vec<String>,
}

/// Source rows that speak against a finding.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CounterEvidence {
    /// What they are.
    pub title: Text,
    /// SELECT over the table `candidates` and the views: `pid`, a locator `src`, and columns to show.
    pub sql: String,
}

/// Where the breaker trips: findings are computed but held.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most findings in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_findings: Option<u64>,
    /// Most findings per 1,000 persons of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_mille: Option<u64>,
}

/// Given rows and expected findings.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// The run date of all cases, YYYY-MM-DD.
    pub as_of: String,
    /// Values for fields that a row does not give: dataset -> field -> value.
    #[serde(default)]
    pub defaults: BTreeMap<String, BTreeMap<String, Scalar>>,
    /// Made-up persons: token -> birth date and sex, from which an identity number of a reserved area is made.
    #[serde(default)]
    pub persons: BTreeMap<String, ExamplePerson>,
    /// The cases.
    pub cases: Vec<ExampleCase>,
}

/// A made-up person. A token that is used but not listed gets a birth date in 1950.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExamplePerson {
    /// YYYY-MM-DD.
    pub born: String,
    /// Sex; decides the parity of the sequence number.
    #[serde(default)]
    pub sex: ExampleSex,
}

/// Sex of a made-up person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExampleSex {
    /// Odd sequence number.
    #[default]
    Male,
    /// Even sequence number.
    Female,
}

/// One case: its own small world.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExampleCase {
    /// A sentence.
    pub name: Text,
    /// What the case shows.
    pub kind: CaseKind,
    /// Parameters that differ from their defaults.
    #[serde(default)]
    pub params: BTreeMap<String, Scalar>,
    /// Rows: dataset -> rows; a row maps fields to values. `P1` in an identity field is a made-up person;
    /// `202601..202605` in a month field stands for five rows.
    pub given: BTreeMap<String, Vec<BTreeMap<String, Scalar>>>,
    /// What must come out; nothing else may.
    #[serde(default)]
    pub expect: Expect,
}

/// What a case shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// Must be flagged.
    Hit,
    /// Looks like a hit and must not be flagged; no candidate at all, or one that is excused.
    NearMiss,
    /// Must be excused by a named exclusion.
    Excluded,
}

/// What must come out of a case.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The findings, all of them.
    #[serde(default)]
    pub findings: Vec<ExpectedFinding>,
    /// Exclusions that must have applied.
    #[serde(default)]
    pub excluded: Vec<ExpectedExclusion>,
}

/// One expected finding; only the fields given are compared.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFinding {
    /// Token or key of the subject.
    pub subject: String,
    /// Severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Identity grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Yuan, two decimals, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Rows of evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_rows: Option<u64>,
    /// Rows of counter-evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter_rows: Option<u64>,
    /// Measures: name -> value as text.
    #[serde(default)]
    pub measures: BTreeMap<String, String>,
}

/// One expected exclusion.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedExclusion {
    /// Token or key of the subject.
    pub subject: String,
    /// Code.
    pub code: String,
}
