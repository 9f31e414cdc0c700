//! Lists that left the house and what came back of them: numbers, who holds which leads, the control sample that rode
//! along, and every file that was taken in. Knows the register, and neither sheets nor cells.
//!
//! A list is the entry `E0007` of the register, each file that came back of it an entry `E0007/1`, `E0007/2` beside it:
//! so a file that comes back writes what it said, and not again what came before.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::{Diagnostic, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{self, Entry, Register};
use super::keys::Keys;
use super::schema::broken;
use super::{Action, Book, By, Handout, Lead, Policy, entries, given};
use crate::time::Instant;

/// Persons without a lead that ride along on a visit list, so that what the rules miss can be estimated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Payees of the area about whom the ledger knew no lead: out of so many was drawn.
    pub population: u64,
    /// Who was drawn, by a name that only the ledger can make, with the area. Who they are stands in the workbook alone.
    pub drawn: BTreeMap<String, String>,
}

/// A file that came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// Number of the export.
    pub handout: String,
    /// Name of the file, without its folder.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// When it was taken in.
    pub at: Instant,
    /// What it said of each lead, by finding id, and of each person, by `person:` and the name on the visit sheet.
    pub rows: BTreeMap<String, Said>,
    /// What it said of the control sample.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub controls: BTreeMap<String, Answer>,
}

/// What a row of a file said, as digests that only the ledger can make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The answers, by question.
    pub facts: BTreeMap<String, String>,
    /// Whether they settle the matter; "being checked" does not.
    pub settled: bool,
}

/// What a visitor said of a person of the control sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `alive`, `dead`, `custody`, `away`, `unknown`, `other`.
    pub state: String,
    /// Day of death, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<String>,
    /// Who holds the card: `self`, `family`, `guardian`, `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Day of the visit, YYYY-MM-DD.
    pub on: String,
    /// In the visitor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// A person of a control sample, for whoever estimates what the rules miss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Number of the export.
    pub handout: String,
    /// When it left.
    pub at: Instant,
    /// The name on the visit sheet: the same person has the same name in every export of this ledger.
    pub person: String,
    /// Where they live, as an area code.
    pub area: String,
    /// Out of how many persons without a lead the sample of this export was drawn, and how many were drawn.
    pub population: u64,
    /// How many were drawn.
    pub drawn: u64,
    /// What the last file said that settles it, else the last that said anything; none while nobody has answered.
    pub answer: Option<Answer>,
}

impl Control {
    /// Whether the visitors have an answer to count: seen alive, or known to be dead or in custody.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| settles(&answer.state))
    }
}

/// Whether a visitor's word for a person's state settles the matter.
pub(crate) fn settles(state: &str) -> bool {
    matches!(state, "alive" | "dead" | "custody")
}

/// The register's condition for the lists themselves.
pub(super) const LISTS: &str = "instr(key, '/') = 0";

/// By recipient and lead, the lists by which somebody holds it: but for what a later list took back. A recipient is called
/// as on the first list.
pub(crate) fn holdings(handouts: &[Handout]) -> BTreeMap<(String, String), Vec<String>> {
    let mut held: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for handout in handouts {
        let name =
            names.entry(given::person(&handout.recipient)).or_insert_with(|| handout.recipient.clone());
        for lead in &handout.cancels {
            held.remove(&(name.clone(), lead.clone()));
        }
        for lead in &handout.leads {
            held.entry((name.clone(), lead.clone())).or_default().push(handout.id.clone());
        }
    }
    held
}

impl Book {
    pub(crate) fn keys(&self) -> Result<Keys, Diagnostic> {
        Ok(Keys::new(self.secret()?))
    }

    /// The ledger's name: says which ledger a workbook belongs to, and nothing else.
    pub(crate) fn name(&self) -> Result<String, Diagnostic> {
        let sql = "SELECT value FROM ledger WHERE key = 'name'";
        self.conn.query_row(sql, [], |row| row.get(0)).map_err(|e| broken(&self.path, e))
    }

    /// The number that the next list gets.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn next_number(&self) -> Result<String, Diagnostic> {
        let read = || -> rusqlite::Result<u64> {
            let sql = "SELECT max(CAST(substr(key, 2) AS INTEGER)) FROM handouts WHERE key GLOB 'E[0-9]*' AND instr(key, '/') = 0";
            let last: Option<i64> = self.conn.query_row(sql, [], |row| row.get(0))?;
            Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
        };
        let last = read().map_err(|e| broken(&self.path, e))?;
        Ok(format!("E{:04}", last + 1))
    }

    /// Number of the last event; with `run`, of the last one that the nights up to that run brought.
    pub(crate) fn last_event(&self, run: Option<&str>) -> Result<i64, Diagnostic> {
        let Some(run) = run else { return Ok(chain::head(&self.conn, &self.path)?.0) };
        let nights = self.nights()?;
        let Some(night) = nights.iter().rfind(|night| night.run_id == run) else { return Ok(0) };
        let mut last = 0;
        for night in nights.iter().filter(|other| other.number <= night.number) {
            let sql = "SELECT coalesce(max(seq), 0) FROM events WHERE run = ?1";
            let of_night = self.conn.query_row(sql, [&night.night], |row| row.get(0));
            last = last.max(of_night.map_err(|e| broken(&self.path, e))?);
        }
        Ok(last)
    }

    /// Leads of which the data or somebody said anything new after the event `seq`, with the last event that did.
    pub(crate) fn news_since(&self, seq: i64) -> Result<BTreeMap<String, i64>, Diagnostic> {
        let read = || -> rusqlite::Result<BTreeMap<String, i64>> {
            let mut statement = self.conn.prepare(
                "SELECT key, max(seq) FROM events WHERE seq > ?1 AND register = 'leads' AND what IN ('new', 'changed', 'reopened', 'reopened_by_hand') GROUP BY key",
            )?;
            let rows = statement.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// Every file that came back, in order.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn returned(&self) -> Result<Vec<Returned>, Diagnostic> {
        let found =
            entries::<Returned>(&self.conn, &self.path, Register::Handouts, "instr(key, '/') > 0", &[])?;
        let mut all: Vec<(u64, Returned)> = found
            .into_iter()
            .map(|(key, returned, _)| {
                let nth = key.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                (nth, returned)
            })
            .collect();
        all.sort_by_key(|(nth, file)| (self.zone.moment(&file.at), file.handout.clone(), *nth));
        Ok(all.into_iter().map(|(_, returned)| returned).collect())
    }

    /// The control samples of all visit lists, with what came back: from them follows what the rules miss. A person
    /// drawn for several lists stands here once for each.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn controls(&self) -> Result<Vec<Control>, Diagnostic> {
        let mut answers: BTreeMap<(String, String), Answer> = BTreeMap::new();
        for file in self.returned()? {
            for (person, answer) in file.controls {
                let known = answers.entry((file.handout.clone(), person)).or_default();
                if settles(&answer.state) || !settles(&known.state) {
                    *known = answer;
                }
            }
        }
        let mut controls = Vec::new();
        for handout in self.handouts()? {
            let Some(sample) = handout.sample else { continue };
            for (person, area) in &sample.drawn {
                controls.push(Control {
                    answer: answers.remove(&(handout.id.clone(), person.clone())),
                    handout: handout.id.clone(),
                    at: handout.at.clone(),
                    person: person.clone(),
                    area: area.clone(),
                    population: sample.population,
                    drawn: sample.drawn.len() as u64,
                });
            }
        }
        Ok(controls)
    }

    /// Numbers of everybody about whom the ledger knows a lead, whatever became of it.
    pub(crate) fn subjects(&self) -> Result<BTreeSet<String>, Diagnostic> {
        let read = || -> rusqlite::Result<BTreeSet<String>> {
            let mut statement = self.conn.prepare("SELECT DISTINCT subject FROM leads")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// How many of these ids the ledger does not know.
    pub(crate) fn lacking(&self, ids: &BTreeSet<String>) -> Result<usize, Diagnostic> {
        let read = || -> rusqlite::Result<usize> {
            let mut statement = self.conn.prepare("SELECT 1 FROM leads WHERE key = ?1")?;
            let mut lacking = 0;
            for id in ids {
                lacking += usize::from(!statement.exists([id])?);
            }
            Ok(lacking)
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// The leads of these ids, as far as the ledger still has them.
    pub(crate) fn leads_of(&self, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Lead>, Diagnostic> {
        let mut leads = BTreeMap::new();
        for id in ids {
            let found = entries::<Lead>(&self.conn, &self.path, Register::Leads, "key = ?1", &[id])?;
            leads.extend(found.into_iter().map(|(key, lead, _)| (key, lead)));
        }
        Ok(leads)
    }

    /// Takes in what a file said: all its steps, in order, and the file itself, or nothing.
    pub(crate) fn take_back(
        &mut self,
        file: &Returned,
        steps: &[(String, Vec<Action>)],
        policy: &Policy,
        by: By<'_>,
    ) -> Result<(), Diagnostic> {
        let nth = self.returned()?.iter().filter(|known| known.handout == file.handout).count() + 1;
        let mut leads = self.leads_of(&steps.iter().map(|(id, _)| id.clone()).collect())?;
        let (keys, mut receipts) = (self.keys()?, self.receipts()?);
        self.write(by, |conn, path, pen| {
            for (id, actions) in steps {
                let called = keys.called(id);
                for action in actions {
                    let Some(was) = leads.get(id) else { continue };
                    let now = action.take(was, &called, &by, policy)?;
                    receipts.admit(conn, path, was, &called, action)?;
                    pen.step(action, was, &now, from_list(action.why(), &file.handout))?;
                    leads.insert(id.clone(), now);
                }
            }
            pen.write(&Entry {
                what: "returned",
                register: Register::Handouts,
                key: &format!("{}/{nth}", file.handout),
                run: "",
                old: None,
                new: Some(&chain::body(file)),
                why: Value::Null,
            })
        })
        .map(drop)
    }
}

/// The step also remembers by which list it came.
fn from_list(why: Value, number: &str) -> Value {
    let mut why = if why.is_object() { why } else { json!({}) };
    why["export"] = json!(number);
    why
}

impl Action {
    /// For a reader who decides whether it shall be taken. Names nobody but officials.
    #[must_use]
    pub fn title(&self) -> Text {
        let (zh, en) = match self {
            Self::Assign { to } => {
                let to = to.as_deref().unwrap_or("-");
                (format!("分派给 {to}"), format!("assign to {to}"))
            }
            Self::Note { .. } => ("记录备注".to_owned(), "note the remark".to_owned()),
            Self::Check { check, .. } => (
                format!("核查（{}，{}）", check.by, check.on),
                format!("checked ({}, {})", check.by, check.on),
            ),
            Self::Confirm { verification } => {
                let paper = verification.document.as_deref().unwrap_or("-");
                (format!("属实（{paper}）"), format!("confirm ({paper})"))
            }
            Self::Clear { reason, .. } => {
                let reason = reason.title();
                (format!("排除（{}）", reason.zh), format!("clear ({})", reason.en))
            }
            Self::Transfer { to, .. } => (format!("移送 {to}"), format!("transfer to {to}")),
            Self::Recover { amount_fen, .. } => {
                let yuan = crate::words::yuan(*amount_fen);
                (format!("追回 {yuan} 元"), format!("recovered {yuan} yuan"))
            }
            Self::Close { .. } => ("办结".to_owned(), "close".to_owned()),
            Self::Reopen { .. } => ("重新打开".to_owned(), "reopen".to_owned()),
        };
        Text { zh, en }
    }
}
