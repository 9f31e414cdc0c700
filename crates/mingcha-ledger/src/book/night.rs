//! A night: one run against what the ledger knows. Says of every lead whether it is new, continuing, changed,
//! resolved, reopened or withdrawn by its source. Knows run folders and leads; what is written goes through the pen.
//!
//! A lead that continues costs nothing: that it was seen tonight follows from its being live and its rule having been
//! evaluated tonight. So a night writes what changed, and not a row per lead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mingcha_rules::{Diagnostic, EvidenceRow, Finding, OutcomeKind};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{self, By, Entry, Pen, Register};
use super::lead::{Lead, Mark, Presence, changes, fresh};
use super::policy::Policy;
use super::schema::broken;
use super::waiver::Waiver;
use super::{each, entries, life};
use crate::record::{Fields, Manifest};
use crate::run::RunFolder;

/// What a run made of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Night {
    /// Follows from the run's id, the outcomes of its rules, its findings and its excused.
    pub night: String,
    /// The run.
    pub run_id: String,
    /// The day for which the rules were asked.
    pub as_of: String,
    /// Its place among the nights, from 1.
    pub number: u64,
    /// The run folder, relative to the ledger's where it lies below.
    pub folder: String,
    /// Seal of the run's manifest: who has it can prove that the folder is the one.
    pub seal: String,
    /// Datasets that were delivered.
    pub datasets: BTreeSet<String>,
    /// Leads by mark.
    pub marks: BTreeMap<String, u64>,
    /// What changed, by name: a lead counts once per name.
    pub changes: BTreeMap<String, u64>,
    /// Live leads that a waiver covers; they have their marks besides.
    pub waived: u64,
    /// Live leads that were cleared or closed and stay so.
    pub settled: u64,
    /// Leads not found tonight that stay as they are, because a dataset that they stand on was not delivered.
    pub held_over: u64,
    /// Rules that gave no answer, and how they ended: their leads stay as they are.
    pub not_evaluated: BTreeMap<String, String>,
}

impl Night {
    /// Leads that got `mark`.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.marks.get(mark.as_str()).copied().unwrap_or(0)
    }
}

/// Tonight's extracts, as far as the caller can look into them.
pub trait Extracts {
    /// Said before the questions about the leads of one rule: about which subjects, in which datasets. Whoever reads
    /// from a disk reads once for all of them.
    fn expect(&self, _subjects: &BTreeSet<&str>, _datasets: &BTreeSet<&str>) {}

    /// Whether a row of this content about this subject is still there; `None` where that cannot be known.
    fn holds(&self, subject_id: &str, row: &EvidenceRow) -> Option<bool>;
}

/// What a rule's register says of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct KnownRule {
    last_run: String,
    as_of: String,
    rule_version: u32,
    rule_hash: String,
}

/// What the night follows from: the same twice changes nothing.
pub(super) fn name(manifest: &Manifest) -> String {
    let mut fields = Fields::new("mingcha night 1");
    fields.add(&manifest.run_id);
    for rule in &manifest.rules {
        fields.add(&rule.rule_id);
        fields.add(rule.outcome.as_str());
    }
    for (file, seal) in manifest.files.iter().filter(|(file, _)| *file != "rules.parquet") {
        fields.add(file);
        fields.add(&seal.sha256);
    }
    fields.finish()[..32].to_owned()
}

/// Everything that a night is judged by.
pub(super) struct Dusk<'a> {
    pub(super) conn: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) run: &'a RunFolder,
    pub(super) policy: &'a Policy,
    pub(super) extracts: Option<&'a dyn Extracts>,
    pub(super) by: By<'a>,
    /// Nights so far, in order.
    pub(super) nights: &'a [Night],
}

impl Dusk<'_> {
    /// Writes the night.
    pub(super) fn fall(&self, pen: &mut Pen<'_>) -> Result<Night, Diagnostic> {
        let manifest = self.run.manifest();
        if let Some(last) = self.nights.last().filter(|last| manifest.as_of < last.as_of) {
            return Err(too_late(&manifest.as_of, &last.as_of));
        }
        let number = self.nights.len() as u64 + 1;
        let mut name = name(manifest);
        if self.nights.iter().any(|n| n.night == name) {
            // The same run again, after another one: what it says holds again.
            name = format!("{name}-{number}");
        }
        let mut night = Night {
            night: name,
            run_id: manifest.run_id.clone(),
            as_of: manifest.as_of.clone(),
            number,
            folder: relative(self.run.path(), self.path),
            seal: manifest.seal.clone(),
            datasets: manifest.inputs.iter().map(|input| input.dataset.clone()).collect(),
            ..Night::default()
        };
        let known = known_rules(self.conn, self.path)?;
        let waivers: Vec<Waiver> = entries(self.conn, self.path, Register::Waivers, "1 = 1", &[])?
            .into_iter()
            .map(|(_, waiver, _)| waiver)
            .filter(|waiver: &Waiver| waiver.holds(&self.by.day()))
            .collect();
        for rule in &manifest.rules {
            match rule.outcome {
                OutcomeKind::Found | OutcomeKind::Clean => {}
                other => {
                    night.not_evaluated.insert(rule.rule_id.clone(), other.as_str().to_owned());
                    continue;
                }
            }
            let was = known.get(&rule.rule_id);
            let last = was.and_then(|(was, _)| self.nights.iter().find(|n| n.night == was.last_run));
            let mut watch =
                Watch { dusk: self, rule: &rule.rule_id, hash: &rule.rule_hash, last, waivers: &waivers };
            watch.keep(&mut night, pen)?;
            let now = KnownRule {
                last_run: night.night.clone(),
                as_of: night.as_of.clone(),
                rule_version: rule.rule_version,
                rule_hash: rule.rule_hash.clone(),
            };
            pen.write(&Entry {
                what: "evaluated",
                register: Register::Rules,
                key: &rule.rule_id,
                run: &night.night,
                old: was.map(|(_, body)| body),
                new: Some(&chain::body(&now)),
                why: Value::Null,
            })?;
        }
        pen.write(&Entry {
            what: "absorbed",
            register: Register::Runs,
            key: &night.night,
            run: &night.night,
            old: None,
            new: Some(&chain::body(&night)),
            why: Value::Null,
        })?;
        Ok(night)
    }
}

fn known_rules(conn: &Connection, path: &Path) -> Result<BTreeMap<String, (KnownRule, Value)>, Diagnostic> {
    let rows = entries(conn, path, Register::Rules, "1 = 1", &[])?;
    Ok(rows.into_iter().map(|(key, rule, body)| (key, (rule, body))).collect())
}

/// The last night that evaluated each rule.
pub(super) fn last_nights(conn: &Connection, path: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    Ok(known_rules(conn, path)?.into_iter().map(|(key, (rule, _))| (key, rule.last_run)).collect())
}

/// One rule of a night.
struct Watch<'a> {
    dusk: &'a Dusk<'a>,
    rule: &'a str,
    hash: &'a str,
    /// The last night that evaluated the rule.
    last: Option<&'a Night>,
    waivers: &'a [Waiver],
}

impl Watch<'_> {
    fn keep(&mut self, night: &mut Night, pen: &mut Pen<'_>) -> Result<(), Diagnostic> {
        let (conn, path) = (self.dusk.conn, self.dusk.path);
        let mut known: BTreeMap<String, Lead> = BTreeMap::new();
        each(conn, path, Register::Leads, "rule = ?1", &[self.rule], |key, lead| {
            drop(known.insert(key, lead))
        })?;
        for finding in self.dusk.run.findings_of(self.rule)? {
            match known.remove(&finding.finding_id) {
                None => {
                    let lead = Lead::found(&finding, self.hash, &night.night, self.dusk.by);
                    self.count(night, &lead, Mark::New);
                    self.write(pen, night, ("new", None, &lead, Value::Null))?;
                }
                Some(was) => self.again(night, pen, &finding, &was)?,
            }
        }
        known.retain(|_, lead| lead.presence == Presence::Live);
        if known.is_empty() { Ok(()) } else { self.gone(night, pen, known) }
    }

    /// A finding that is known.
    fn again(
        &self,
        night: &mut Night,
        pen: &mut Pen<'_>,
        finding: &Finding,
        was: &Lead,
    ) -> Result<(), Diagnostic> {
        let mut now = was.clone();
        now.take(finding, self.hash);
        let names = changes(was, &now, &night.as_of);
        let judged_on = was.judged_on.as_ref().unwrap_or(&was.evidence);
        let judged_under = was.judged_under.as_ref().unwrap_or(&was.rule_hash);
        let fresh = fresh(judged_on, &now.evidence, judged_under == self.hash);
        let back = was.presence != Presence::Live;
        (now.presence, now.gone_because) = (Presence::Live, None);
        let (what, mark, why) = match () {
            () if was.is_judged() && !fresh.is_empty() => {
                life::restart(&mut now, self.dusk.by);
                ("reopened", Mark::Reopened, json!({"new_evidence": fresh, "was": was.stage}))
            }
            // What a person has judged stays judged, on the same evidence, also when it was away for a while.
            () if was.is_judged() && back => ("returned", Mark::Continuing, Value::Null),
            () if back => {
                now.reopened += 1;
                now.opened = self.dusk.by.day().into();
                ("reopened", Mark::Reopened, json!({"was": was.presence}))
            }
            () if !names.is_empty() => ("changed", Mark::Changed, json!({"changed": names})),
            () if now.handlers != was.handlers => {
                // No fact of the matter: nothing to look at again, but somebody more who must not judge it.
                let now = Lead { handlers: now.handlers, ..was.clone() };
                self.count(night, was, Mark::Continuing);
                return self.write(pen, night, ("handled", Some(was), &now, Value::Null));
            }
            () => {
                self.count(night, was, Mark::Continuing);
                return Ok(());
            }
        };
        for name in names {
            *night.changes.entry(name.to_owned()).or_default() += 1;
        }
        now.mark = mark;
        now.marked_in.clone_from(&night.night);
        self.count(night, &now, mark);
        self.write(pen, night, (what, Some(was), &now, why))
    }

    /// Leads that the rule no longer finds.
    fn gone(
        &self,
        night: &mut Night,
        pen: &mut Pen<'_>,
        leads: BTreeMap<String, Lead>,
    ) -> Result<(), Diagnostic> {
        let mut excused: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.dusk.run.excused_by(self.rule)? {
            let codes = excused.entry(entry.subject_id).or_default();
            codes.push(entry.code);
            codes.extend(entry.also);
        }
        let rows = self.earlier_rows();
        self.announce(&leads, &rows);
        for (id, was) in leads {
            let was_there =
                |dataset: &&String| self.last.is_some_and(|last| last.datasets.contains(*dataset));
            let absent = was.evidence.keys().filter(was_there).any(|d| !night.datasets.contains(d));
            if absent {
                night.held_over += 1;
                continue;
            }
            let codes = excused.get(&was.subject_id).map_or(&[] as &[String], Vec::as_slice);
            let withdrawn = codes.iter().find(|code| self.dusk.policy.withdrawn_codes.contains(*code));
            let (presence, because) = match (withdrawn, codes.first()) {
                (Some(code), _) => (Presence::Withdrawn, format!("excused:{code}")),
                (None, Some(code)) => (Presence::Resolved, format!("excused:{code}")),
                (None, None) => match self.taken_back(&was, rows.get(&id)) {
                    Some(dataset) => (Presence::Withdrawn, format!("row_withdrawn:{dataset}")),
                    None => (Presence::Resolved, "no_longer_found".to_owned()),
                },
            };
            let (what, mark) = match presence {
                Presence::Withdrawn => ("withdrawn", Mark::Withdrawn),
                _ => ("resolved", Mark::Resolved),
            };
            let why = json!({"because": because});
            let now = Lead {
                presence,
                gone_because: Some(because),
                mark,
                marked_in: night.night.clone(),
                ..was.clone()
            };
            self.count(night, &now, mark);
            self.write(pen, night, (what, Some(&was), &now, why))?;
        }
        Ok(())
    }

    /// Rows that the leads stood on in the last night, where its folder is still there and somebody can look.
    fn earlier_rows(&self) -> BTreeMap<String, Vec<EvidenceRow>> {
        let (Some(_), Some(last)) = (self.dusk.extracts, self.last) else { return BTreeMap::new() };
        let folder = super::seal::parent(self.dusk.path).join(&last.folder);
        let run = RunFolder::open(&folder).ok().filter(|run| run.manifest().seal == last.seal);
        let findings = run.and_then(|run| run.findings_of(self.rule).ok()).unwrap_or_default();
        findings.into_iter().map(|f| (f.finding_id, f.evidence)).collect()
    }

    /// Tells whoever can look into the extracts what will be asked.
    fn announce(&self, leads: &BTreeMap<String, Lead>, rows: &BTreeMap<String, Vec<EvidenceRow>>) {
        let Some(extracts) = self.dusk.extracts else { return };
        let (mut subjects, mut datasets) = (BTreeSet::new(), BTreeSet::new());
        for (id, lead) in leads {
            let grounds = rows.get(id).into_iter().flatten().map(|row| row.dataset.as_str());
            let mut grounds = grounds.filter(|d| self.dusk.policy.grounds.contains(*d)).peekable();
            if grounds.peek().is_some() {
                subjects.insert(lead.subject_id.as_str());
                datasets.extend(grounds);
            }
        }
        if !subjects.is_empty() {
            extracts.expect(&subjects, &datasets);
        }
    }

    /// The dataset that took back the row that a lead stood on.
    fn taken_back(&self, lead: &Lead, rows: Option<&Vec<EvidenceRow>>) -> Option<String> {
        let extracts = self.dusk.extracts?;
        let grounds = rows?.iter().filter(|row| self.dusk.policy.grounds.contains(&row.dataset));
        grounds
            .filter(|row| extracts.holds(&lead.subject_id, row) == Some(false))
            .map(|row| row.dataset.clone())
            .next()
    }

    fn count(&self, night: &mut Night, lead: &Lead, mark: Mark) {
        *night.marks.entry(mark.as_str().to_owned()).or_default() += 1;
        if lead.presence == Presence::Live {
            night.settled += u64::from(lead.is_judged());
            night.waived += u64::from(self.waivers.iter().any(|waiver| waiver.covers(lead)));
        }
    }

    fn write(
        &self,
        pen: &mut Pen<'_>,
        night: &Night,
        (what, old, lead, why): (&str, Option<&Lead>, &Lead, Value),
    ) -> Result<(), Diagnostic> {
        let old = old.map(chain::body);
        pen.write(&Entry {
            what,
            register: Register::Leads,
            key: &lead.finding_id,
            run: &night.night,
            old: old.as_ref(),
            new: Some(&chain::body(lead)),
            why,
        })
        .map(drop)
    }
}

/// All nights, in order.
pub(super) fn all(conn: &Connection, path: &Path) -> Result<Vec<Night>, Diagnostic> {
    let mut nights: Vec<Night> =
        entries(conn, path, Register::Runs, "1 = 1", &[])?.into_iter().map(|(_, night, _)| night).collect();
    nights.sort_by_key(|night| night.number);
    Ok(nights)
}

/// A ledger that is moved together with its runs still finds them.
fn relative(run: &Path, ledger: &Path) -> String {
    let real = |path: &Path| path.canonicalize().map_err(|e| broken(path, e));
    let folder = real(run).unwrap_or_else(|_| run.to_path_buf());
    match real(super::seal::parent(ledger)) {
        Ok(home) => folder.strip_prefix(&home).unwrap_or(&folder).display().to_string(),
        Err(_) => folder.display().to_string(),
    }
}

fn too_late(as_of: &str, last: &str) -> Diagnostic {
    Diagnostic::error(
        "MC851",
        format!("台账已记到 {last}，不能再记入 {as_of} 的运行"),
        format!("the ledger stands at {last}, so a run as of {as_of} comes too late"),
    )
    .with_help(
        "按日期先后记入；重看过去的一天请用另一个台账",
        "absorb runs in order of their day; to look at a day gone by, use another ledger",
    )
}
