//! What is known of one run: begun with a [`RunRecord`], kept as [`Manifest`]. Plain data and two hashes;
//! knows neither disk nor Parquet.

use std::collections::BTreeMap;

use mingcha_rules::{Diagnostic, Finding, Outcome, OutcomeKind, Text};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Mark of our run folders, in `manifest.json`.
pub(crate) const FORMAT: &str = "mingcha-run";
/// Rises when a reader of the earlier layout would misread the new one.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// One extract file that the run has read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Dataset.
    pub dataset: String,
    /// Path relative to the extracts folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Data rows.
    pub rows: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// What is known of a run before its rules have run.
#[derive(Debug, Clone, Default)]
pub struct RunRecord {
    /// Build of the engine: version and, where known, commit.
    pub engine: String,
    /// The day for which the rules were asked, YYYY-MM-DD.
    pub as_of: String,
    /// When the run began, RFC 3339; read from the clock by the caller.
    pub started: String,
    /// Parameter values in force: rule -> parameter -> value.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// The extracts.
    pub inputs: Vec<InputFile>,
    /// How it was run (threads, memory limit, ...): kept for the reader, without weight for the run's identity.
    pub environment: BTreeMap<String, String>,
}

/// `manifest.json` of a run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `mingcha-run`.
    pub format: String,
    /// Version of the folder's layout.
    pub format_version: u32,
    /// Follows from engine build, rules, parameters, inputs and `as_of`: the same inputs give the same id.
    pub run_id: String,
    /// Build of the engine.
    pub engine: String,
    /// The day for which the rules were asked.
    pub as_of: String,
    /// When the run began.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// Hash over the hashes of all rules of the run.
    pub rule_pack_hash: String,
    /// The rules and how each ended.
    pub rules: Vec<ManifestRule>,
    /// Parameter values in force.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// The extracts.
    pub inputs: Vec<InputFile>,
    /// How it was run.
    pub environment: BTreeMap<String, String>,
    /// Totals.
    pub counts: Counts,
    /// The other files of the folder: name -> seal.
    pub files: BTreeMap<String, Seal>,
    /// SHA-256 of this manifest with this field empty.
    pub seal: String,
}

/// One rule of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRule {
    /// The rule.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// SHA-256 of its text.
    pub rule_hash: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Why, where that needs saying.
    pub reason: Option<Text>,
    /// Findings.
    pub findings: u64,
}

/// Totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Findings.
    pub findings: u64,
    /// Findings by severity.
    pub by_severity: BTreeMap<String, u64>,
    /// Yuan at risk over all findings, in fen.
    pub amount_fen: i64,
    /// Entries of `excused.parquet`.
    pub excused: u64,
    /// Rules by outcome.
    pub rules_by_outcome: BTreeMap<String, u64>,
    /// Rows of all inputs.
    pub input_rows: u64,
}

/// What proves that a file is the one that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Size in bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of a run that begins: with its id, still without what comes of it. `rules`: what was asked for;
    /// how each ended is not looked at.
    pub(crate) fn begin(record: &RunRecord, rules: &[Outcome]) -> Self {
        let rules = manifest_rules(rules);
        let mut inputs = record.inputs.clone();
        inputs.sort();
        let mut manifest = Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            run_id: String::new(),
            engine: record.engine.clone(),
            as_of: record.as_of.clone(),
            started: record.started.clone(),
            ended: String::new(),
            rule_pack_hash: rule_pack_hash(&rules),
            rules,
            parameters: record.parameters.clone(),
            counts: Counts { input_rows: inputs.iter().map(|i| i.rows).sum(), ..Counts::default() },
            inputs,
            environment: record.environment.clone(),
            files: BTreeMap::new(),
            seal: String::new(),
        };
        manifest.run_id = manifest.derive_run_id();
        manifest
    }

    /// Enters how the rules ended. They must be the rules that the run began with: its id depends on them.
    pub(crate) fn end(&mut self, outcomes: &[Outcome], ended: &str) -> Result<(), Diagnostic> {
        self.rules = manifest_rules(outcomes);
        if rule_pack_hash(&self.rules) != self.rule_pack_hash {
            return Err(Diagnostic::error(
                "MC807",
                "运行结束时的规则应与开始时相同，实际不同",
                "wanted the outcomes of the rules that the run began with, got others",
            ));
        }
        ended.clone_into(&mut self.ended);
        for outcome in outcomes {
            *self.counts.rules_by_outcome.entry(outcome.outcome.as_str().to_owned()).or_default() += 1;
        }
        Ok(())
    }

    /// The run's identity. Left out on purpose: clocks, machine, outcomes (they follow from what is in).
    fn derive_run_id(&self) -> String {
        let mut hash = Fields::new("mingcha run 1");
        hash.add(&self.engine);
        hash.add(&self.as_of);
        hash.add(&self.rule_pack_hash);
        for (rule, values) in &self.parameters {
            for (name, value) in values {
                hash.add(rule);
                hash.add(name);
                hash.add(value);
            }
        }
        hash.add("inputs");
        for input in &self.inputs {
            hash.add(&input.dataset);
            hash.add(&input.path);
            hash.add(&input.rows.to_string());
            hash.add(&input.sha256);
        }
        hash.finish()[..32].to_owned()
    }
}

fn rule_pack_hash(rules: &[ManifestRule]) -> String {
    let mut hash = Fields::new("mingcha rules 1");
    for rule in rules {
        hash.add(&rule.rule_id);
        hash.add(&rule.rule_version.to_string());
        hash.add(&rule.rule_hash);
    }
    hash.finish()
}

fn manifest_rules(outcomes: &[Outcome]) -> Vec<ManifestRule> {
    let rule = |o: &Outcome| ManifestRule {
        rule_id: o.rule_id.clone(),
        rule_version: o.rule_version,
        rule_hash: o.rule_hash.clone(),
        outcome: o.outcome,
        reason: o.reason.clone(),
        findings: o.findings,
    };
    let mut rules: Vec<ManifestRule> = outcomes.iter().map(rule).collect();
    rules.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
    rules
}

impl Counts {
    /// Counts a finding.
    pub(crate) fn add(&mut self, finding: &Finding) -> Result<(), Diagnostic> {
        self.findings += 1;
        match self.by_severity.get_mut(finding.severity.as_str()) {
            Some(count) => *count += 1,
            None => drop(self.by_severity.insert(finding.severity.as_str().to_owned(), 1)),
        }
        self.amount_fen = add_fen(self.amount_fen, finding.amount_fen.unwrap_or(0))?;
        Ok(())
    }
}

/// A sum of money that would not fit is an error, never a wrong sum.
pub(crate) fn add_fen(sum: i64, fen: i64) -> Result<i64, Diagnostic> {
    sum.checked_add(fen).ok_or_else(|| {
        Diagnostic::error(
            "MC807",
            "金额合计应在可表示范围内，实际超出",
            "wanted a sum of money that can be represented, got one beyond the limit",
        )
        .with_help(
            "检查金额最大的线索：很可能是单位错误",
            "look at the findings with the greatest amounts: most likely a wrong unit",
        )
    })
}

/// SHA-256 over a list of texts; lengths are hashed too, so that no two lists run together.
pub(crate) struct Fields(Sha256);

impl Fields {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.add(purpose);
        fields
    }

    pub(crate) fn add(&mut self, text: &str) {
        self.add_bytes(text.as_bytes());
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.finish_bytes())
    }

    pub(crate) fn finish_bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
