//! What goes into a run and what comes out of it. Findings are plain structs of `mingcha_rules`; nothing here
//! knows where they will be kept.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use mingcha_rules::rule::Scalar;
use mingcha_rules::{Diagnostic, Excused, Finding, Outcome};

use crate::carry::Carried;

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The day on which the data is judged.
    pub as_of: NaiveDate,
    /// Rules to run; empty: all that are `trial`, `active` or `deprecated`.
    pub only: Vec<String>,
    /// Shards worked on at a time.
    pub threads: usize,
    /// Bytes for the whole process; absent: no limit on what plans reserve.
    pub memory: Option<u64>,
    /// Folder for spills; absent: the system's temporary folder.
    pub spill_dir: Option<std::path::PathBuf>,
    /// Run DataFusion's plans as they are, without the operators of `person.rs`: slower, the same findings.
    pub plain_plans: bool,
    /// Parameters that differ from their defaults: rule id -> name -> value.
    pub params: BTreeMap<String, BTreeMap<String, Scalar>>,
    /// Where finished parts of the walk are kept until they are gathered; absent: in memory.
    pub parts: Option<PartsFolder>,
}

/// A folder for the results of finished parts, so that they need not wait in memory and an interrupted run can be
/// continued. It is made when the first part is finished; whoever names it takes it away when the run is complete, and
/// sees to it that no other run uses it.
#[derive(Debug, Clone)]
pub struct PartsFolder {
    /// The folder; its parent exists.
    pub folder: std::path::PathBuf,
    /// What the tables hold, in a word: the same word, the same rows.
    pub tables: String,
    /// Use what an interrupted run left there. Whatever does not follow from the same code, tables, rules, parameters
    /// and day is not used.
    pub resume: bool,
}

impl RunOptions {
    /// One thread, no limits, default parameters.
    pub fn new(as_of: NaiveDate) -> Self {
        Self {
            as_of,
            only: Vec::new(),
            threads: 1,
            memory: None,
            spill_dir: None,
            plain_plans: false,
            params: BTreeMap::new(),
            parts: None,
        }
    }
}

/// What came out of a run.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Leads, ordered by rule, subject and id.
    pub findings: Vec<Finding>,
    /// Subjects that were looked at and excused, ordered by rule, subject and code.
    pub excused: Vec<Excused>,
    /// One outcome per rule, ordered by rule.
    pub outcomes: Vec<Outcome>,
    /// Whether the run was cancelled; then nothing of it may be published.
    pub cancelled: bool,
}

impl Sink for RunReport {
    fn begin(&mut self, _rules: &[Outcome]) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn rule(
        &mut self,
        findings: Vec<Finding>,
        excused: &mut dyn Iterator<Item = Excused>,
    ) -> Result<(), Diagnostic> {
        self.findings.extend(findings);
        self.excused.extend(excused);
        Ok(())
    }
}

/// Takes what a run finds, rule by rule, so that not everything need be in memory at once. What it refuses stops
/// the run.
pub trait Sink: Send {
    /// The rules of the run, ordered by id, before any of them has run: of each outcome only what the rule is
    /// counts. Called once, first.
    ///
    /// # Errors
    /// What makes the run pointless.
    fn begin(&mut self, rules: &[Outcome]) -> Result<(), Diagnostic>;

    /// What one rule found, in order of rule: findings ordered by subject and id, excused subjects by subject and
    /// code. Rules that failed, were held or not evaluated are passed over. Called from several threads, one at a
    /// time.
    ///
    /// # Errors
    /// What makes the run pointless.
    fn rule(
        &mut self,
        findings: Vec<Finding>,
        excused: &mut dyn Iterator<Item = Excused>,
    ) -> Result<(), Diagnostic>;
}

/// How a run ended whose findings went to a [`Sink`].
#[derive(Debug, Clone, Default)]
pub struct RunEnd {
    /// One outcome per rule, ordered by rule.
    pub outcomes: Vec<Outcome>,
    /// For each rule that ran, how much of the earlier run it took over; empty without an earlier run.
    pub carried: BTreeMap<String, Carried>,
    /// Parts of the walk that an interrupted run had finished, and all parts. `None`: there were none to be had.
    pub resumed: Option<(usize, usize)>,
    /// Whether the run was cancelled; then nothing of it may be published.
    pub cancelled: bool,
}

/// Told about the run as it goes. Called from several threads.
pub trait RunProgress: Sync {
    /// Work begins: so many units, each about as much to read as the others.
    fn begin(&self, units: u64);
    /// Units done since the last call.
    fn advance(&self, units: u64);
    /// So many parts, and units, are done already: an interrupted run did them.
    fn resumed(&self, _parts: usize, _of: usize, _units: u64) {}
    /// Something to know about the run, which goes on.
    fn remark(&self, _remark: &Diagnostic) {}
    /// A rule is done.
    fn rule_done(&self, outcome: &Outcome);
    /// Asked between steps; `true` stops the run.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl RunProgress for Silent {
    fn begin(&self, _units: u64) {}
    fn advance(&self, _units: u64) {}
    fn rule_done(&self, _outcome: &Outcome) {}
}
