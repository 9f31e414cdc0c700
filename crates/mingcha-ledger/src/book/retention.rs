//! What has to go: leads whose time is over, and things outside the ledger (exports, runs, extracts) that somebody
//! destroys and the chain has to certify. Knows no disk and deletes no file: whoever does first enters what is about to
//! go, then deletes, then certifies, so that a death in between leaves a list of what is still to be deleted and never a
//! deletion that nobody wrote down.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Days;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::{By, Entry, Register};
use super::lead::Presence;
use super::policy::parse;
use super::{Book, Filter, Policy};

/// The words of the chain.
const BEGUN: &str = "condemned";
const DONE: &str = "destroyed";

/// What is destroyed outside the ledger, and on whose authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What kind of thing: `exports`, `runs`, `extracts`, `stores`.
    pub kind: String,
    /// The rule or order by which.
    pub authority: String,
    /// The things.
    pub items: Vec<Destroyed>,
}

/// A certificate and the number of the event that announced it.
pub type Announced = (i64, Certificate);

/// One thing that is destroyed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destroyed {
    /// Its place.
    pub name: String,
    /// What it was: the seal of a run, SHA-256 of a file or over the files of a folder.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The day from which its clock ran, YYYY-MM-DD.
    pub since: String,
    /// Of a folder, every file in it; a certificate of an earlier build has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<DestroyedFile>,
}

/// One file of a folder that is destroyed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyedFile {
    /// Its place below the folder, with `/`.
    pub name: String,
    /// SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// What was announced, and of those that were certified, by number, what was left all the same.
type Certificates = (Vec<Announced>, BTreeMap<i64, BTreeSet<String>>);

impl Book {
    /// Leads whose content is due on the day `today`: gone from the data, nobody's business any more, and untouched for
    /// `days` days. A lead that the rules still find stays, or it would be new tonight and a person who was cleared
    /// accused again; so does one whose holder was not told yet that it stands no more.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn due(&self, days: u32, today: &str) -> Result<Vec<String>, Diagnostic> {
        let held: BTreeSet<String> = self.cancellations()?.into_iter().map(|c| c.finding_id).collect();
        let nights = self.nights()?;
        let over = |day: &str| {
            parse(day)
                .and_then(|day| day.checked_add_days(Days::new(u64::from(days))))
                .zip(parse(today))
                .is_some_and(|(end, today)| end <= today)
        };
        let leads = self.leads(&Filter::default(), &Policy::default(), today)?;
        let due = leads.into_iter().map(|listed| listed.lead).filter(|lead| {
            let touched = self.zone.day(&lead.stage_since);
            let gone = nights.iter().find(|n| n.night == lead.marked_in).map_or("", |n| n.as_of.as_str());
            lead.presence != Presence::Live
                && !lead.is_open()
                && !held.contains(&lead.finding_id)
                && over(gone.max(&touched))
        });
        let mut ids: Vec<String> = due.map(|lead| lead.finding_id).collect();
        ids.sort();
        Ok(ids)
    }

    /// Enters what is about to be destroyed; the number is for [`Book::certify`].
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn condemn(&mut self, certificate: &Certificate, by: By<'_>) -> Result<i64, Diagnostic> {
        let why = serde_json::to_value(certificate).unwrap_or_default();
        self.note(BEGUN, &certificate.kind, why, by)
    }

    /// Certifies that what the event `condemned` named is destroyed, but for what had to be left: `spared` are the places of
    /// these things or files.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn certify(&mut self, condemned: i64, spared: &[String], by: By<'_>) -> Result<i64, Diagnostic> {
        let kind = self.condemned()?.into_iter().find(|(seq, _)| *seq == condemned);
        let kind = kind.map_or_else(String::new, |(_, certificate)| certificate.kind);
        let mut why = serde_json::json!({"condemned": condemned});
        if !spared.is_empty() {
            why["spared"] = serde_json::json!(spared);
        }
        self.note(DONE, &kind, why, by)
    }

    /// What was about to be destroyed and is not certified: somebody was interrupted.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn condemned(&self) -> Result<Vec<Announced>, Diagnostic> {
        let (begun, done) = self.certificates()?;
        Ok(begun.into_iter().filter(|(seq, _)| !done.contains_key(seq)).collect())
    }

    /// Everything outside the ledger that was destroyed with a certificate.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn destroyed(&self) -> Result<Vec<Certificate>, Diagnostic> {
        let (begun, done) = self.certificates()?;
        let certified = begun.into_iter().filter_map(|(seq, mut certificate)| {
            let spared = done.get(&seq)?;
            certificate.items.retain(|item| !spared.contains(&item.name));
            for item in &mut certificate.items {
                let whole = std::path::PathBuf::from(&item.name);
                item.files.retain(|file| !spared.contains(&whole.join(&file.name).display().to_string()));
            }
            Some(certificate)
        });
        Ok(certified.collect())
    }

    /// What was announced, and the numbers of those that were certified.
    fn certificates(&self) -> Result<Certificates, Diagnostic> {
        let events = self.events("register = 'ledger' AND what IN (?1, ?2)", &[BEGUN, DONE])?;
        let (mut begun, mut done) = (Vec::new(), BTreeMap::new());
        for event in events {
            if event.what == BEGUN {
                begun.extend(Certificate::deserialize(&event.why).ok().map(|c| (event.seq, c)));
            } else {
                let spared = event.why["spared"].as_array().into_iter().flatten();
                let spared = spared.filter_map(|name| name.as_str().map(str::to_owned)).collect();
                done.extend(event.why["condemned"].as_i64().map(|seq| (seq, spared)));
            }
        }
        Ok((begun, done))
    }

    /// Notes that somebody let the lists of `rules` go that the night of `as_of` held back.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn release(&mut self, as_of: &str, rules: &[String], by: By<'_>) -> Result<(), Diagnostic> {
        self.note("released", as_of, serde_json::json!({"rules": rules}), by).map(drop)
    }

    /// An event that changes no entry.
    fn note(&mut self, what: &str, key: &str, why: Value, by: By<'_>) -> Result<i64, Diagnostic> {
        let entry = Entry { what, register: Register::Ledger, key, run: "", old: None, new: None, why };
        self.write(by, |_, _, pen| pen.write(&entry))
    }
}
