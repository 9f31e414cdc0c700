//! What a person means by an abbreviated id, a masked name or a masked number: one lead, one subject, or nothing is done
//! and the candidates are named. Knows the register of leads; names nobody in full.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::Diagnostic;

use super::keys::Keys;
use super::lead::Lead;
use super::schema::broken;
use super::{Book, Filter, given};
use crate::mask::{Masker, Profile};

/// Digits of a lead's name that are shown.
const SHOWN: usize = 12;
/// Candidates that are named before "and more".
const MOST: usize = 5;

impl Keys {
    /// What a lead is called in an answer that anybody may read; `findings show` understands it.
    pub(crate) fn called(&self, finding_id: &str) -> String {
        self.alias(finding_id).chars().take(SHOWN).collect()
    }
}

impl Book {
    /// The lead that a masked list calls `wanted`; the first digits will do.
    ///
    /// # Errors
    /// `MC856` where several are called so, `MC842` where the database refuses.
    pub fn by_alias(&self, wanted: &str) -> Result<Option<String>, Diagnostic> {
        let mut found = self.all_by_alias(wanted)?;
        match found.len() {
            0 | 1 => Ok(found.pop_first()),
            _ => Err(self.several(&found)?),
        }
    }

    fn all_by_alias(&self, wanted: &str) -> Result<BTreeSet<String>, Diagnostic> {
        let keys = self.keys()?;
        let read = || -> rusqlite::Result<BTreeSet<String>> {
            let mut statement = self.conn.prepare("SELECT key FROM leads")?;
            let mut rows = statement.query([])?;
            let mut found = BTreeSet::new();
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                if keys.alias(&key).starts_with(wanted) {
                    found.insert(key);
                }
            }
            Ok(found)
        };
        read().map_err(|e| broken(&self.path, e))
    }

    fn all_by_id(&self, wanted: &str) -> Result<BTreeSet<String>, Diagnostic> {
        // `g` follows `f`: the range of everything that begins so.
        let sql = "SELECT key FROM leads WHERE key >= ?1 AND key < ?1 || 'g'";
        let read = || -> rusqlite::Result<BTreeSet<String>> {
            let mut statement = self.conn.prepare_cached(sql)?;
            let rows = statement.query_map([wanted], |row| row.get(0))?;
            rows.collect()
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// The id that begins so, or that a masked list calls so. Where the beginning of an id is that of another lead's masked
    /// name, nobody can know which of the two is meant.
    pub(super) fn whole_id(&self, id: &str) -> Result<String, Diagnostic> {
        let id = given::number(id).to_ascii_lowercase();
        let mut found = BTreeSet::new();
        if (6..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            found = self.all_by_id(&id)?;
            if found.is_empty() || id.len() < 32 {
                found.extend(self.all_by_alias(&id)?);
            }
        }
        if found.len() > 1 {
            return Err(self.several(&found)?);
        }
        found.pop_first().ok_or_else(|| {
            Diagnostic::error(
                "MC855",
                "台账中没有以所给编号开头的线索",
                "no lead of the ledger begins with the id that was given",
            )
            .with_help(
                "用 `mingcha findings list --ledger` 查看编号，至少给出前六位",
                "`mingcha findings list --ledger` shows the ids; give six digits or more",
            )
        })
    }

    /// The subject that a number means: itself, or, where it is masked, the only one that it fits.
    ///
    /// # Errors
    /// `MC855` where a masked number fits nobody of whom there is a lead, `MC865` where it fits several.
    pub(super) fn subject_called(&self, given: &str) -> Result<String, Diagnostic> {
        let wanted = given::number(given);
        if !wanted.contains('*') {
            for number in spellings(given) {
                if self.is_subject(&number)? {
                    return Ok(number);
                }
            }
            return Ok(wanted);
        }
        let mut leads: BTreeMap<String, Lead> = BTreeMap::new();
        let known = self.subjects()?;
        let matching = subjects_called(given, known.iter().map(String::as_str));
        match matching.len() {
            1 => matching.into_iter().next().ok_or_else(super::nothing_meant),
            0 => Err(super::nothing_meant()),
            n => {
                for subject in matching.iter().take(MOST) {
                    let filter = Filter { subject: Some(subject.clone()), ..Filter::default() };
                    let of_subject = self.leads(&filter, &super::Policy::default(), "")?.into_iter().next();
                    leads.extend(of_subject.map(|listed| (subject.clone(), listed.lead)));
                }
                let told = self.candidates(leads.values(), n)?;
                Err(several_subjects(n, &told))
            }
        }
    }

    fn is_subject(&self, number: &str) -> Result<bool, Diagnostic> {
        let read = || self.conn.prepare_cached("SELECT 1 FROM leads WHERE subject = ?1")?.exists([number]);
        read().map_err(|e| broken(&self.path, e))
    }

    /// How the name of whoever is called `name` is spelled where leads are assigned to them.
    pub(crate) fn assignees_called(&self, name: &str) -> Result<Vec<String>, Diagnostic> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self
                .conn
                .prepare("SELECT DISTINCT assignee FROM leads WHERE assignee IS NOT NULL ORDER BY 1")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.filter(|row| row.as_ref().map_or(true, |known| given::same_person(known, name))).collect()
        };
        read().map_err(|e| broken(&self.path, e))
    }

    /// Several leads are meant by one name.
    fn several(&self, found: &BTreeSet<String>) -> Result<Diagnostic, Diagnostic> {
        let first = found.iter().take(MOST).cloned().collect();
        let told = self.candidates(self.leads_of(&first)?.values(), found.len())?;
        let n = found.len();
        Ok(Diagnostic::error(
            "MC856",
            format!("有 {n} 条线索符合所给的编号：{told}"),
            format!("{n} leads are called like this: {told}"),
        )
        .with_help("用以上任一编号，或多写几位", "use one of these names, or give more digits of your own"))
    }

    /// The first of `all` leads, each by what tells it from others, as anybody may read it.
    fn candidates<'a>(
        &self,
        leads: impl Iterator<Item = &'a Lead>,
        all: usize,
    ) -> Result<String, Diagnostic> {
        let keys = self.keys()?;
        let masker = Masker::new(Profile::Supervisor, &[]);
        let told = leads.map(|lead| {
            let seen = masker.finding(&lead.without_rows());
            let county: String = seen.area_code.unwrap_or_default().chars().take(6).collect();
            let from = lead.period_from.as_deref().unwrap_or("");
            let parts = [
                keys.called(&lead.finding_id),
                lead.rule_id.clone(),
                seen.subject_id,
                county,
                from.to_owned(),
            ];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        });
        let mut told: Vec<String> = told.collect();
        if all > told.len() {
            told.push(format!("… (+{})", all - told.len()));
        }
        Ok(told.join("; "))
    }
}

/// How a number may be spelled where it is on record: as it was given, else in capitals, else as numbers are compared.
fn spellings(given: &str) -> [String; 3] {
    [given.trim().to_owned(), given.trim().to_uppercase(), given::number(given)]
}

/// Which of `subjects` a number means, in whatever width, case and spacing it is given: itself, or, where it is masked, all
/// that it fits. Several: it is not known who is meant ([`several_subjects`]).
#[must_use]
pub fn subjects_called<'s>(given: &str, subjects: impl IntoIterator<Item = &'s str>) -> BTreeSet<String> {
    let wanted = given::number(given);
    let subjects = subjects.into_iter();
    if wanted.contains('*') {
        return subjects.filter(|subject| fits(&wanted, subject)).map(str::to_owned).collect();
    }
    let spelled = spellings(given);
    let place = |subject: &str| spelled.iter().position(|number| number == subject);
    let first = subjects.filter_map(|subject| Some((place(subject)?, subject))).min();
    first.map(|(_, subject)| subject.to_owned()).into_iter().collect()
}

/// `MC865`: a masked number fits `n` subjects. `told`: what there is of them, as whoever asked may read it; empty where
/// they may read nothing of the kind.
#[must_use]
pub fn several_subjects(n: usize, told: &str) -> Diagnostic {
    let (zh, en) = if told.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("，各有线索：{told}"), format!(", of whom there are these leads: {told}"))
    };
    Diagnostic::error(
        "MC865",
        format!("遮盖的号码对应 {n} 个对象{zh}"),
        format!("the masked number fits {n} subjects{en}"),
    )
    .with_help("改用线索编号", "use the id of a lead instead")
}

/// Whether a masked number may be that of `subject`: what it shows at either end is there, and the hidden part is not less.
fn fits(masked: &str, subject: &str) -> bool {
    let (first, rest) = masked.split_once('*').unwrap_or((masked, ""));
    let last = rest.trim_start_matches('*');
    subject.len() >= first.len() + last.len() && subject.starts_with(first) && subject.ends_with(last)
}
