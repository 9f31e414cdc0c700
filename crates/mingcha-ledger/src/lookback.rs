//! The look-back (回头看): what was declared done, against what the same rules find on newer data. Four classes of account
//! come out of inspections (S:004, the Jilin look-back of 2021, `domain/background.md` a2): 欠账 unfinished, 假账 falsely
//! reported, 呆账 stuck, 新账 repeated. They are computed, never declared; a class says what to look at again, and
//! nothing about anybody's intent.
//!
//! **Declared done** is a lead that a person confirmed and then closed, or whose money came back in full, on the day of
//! that last step. **Newer data** is a night whose `as_of` is later than that day and which evaluated the lead's rule; a
//! night without an answer proves nothing, and the lead counts as *not evaluated since*. Each lead is in one class at
//! most, the first that fits:
//!
//! | class | a lead is in it when | from |
//! |---|---|---|
//! | 新账 repeated | it was declared done, and newer data brought new evidence of a matter after that day; or another lead of the same rule and version about the same subject, or handled by the same operator, was found after that day about a period after it | REC-04: same rule × same unit or operator, event date after the closure; a widened rule and events loaded late are excluded |
//! | 假账 declared done, still found | it was declared done, newer data still show it, and the money has not come back in full | REC-02: re-run still positive. Where the money is back the rows of past payments stay in the data; that is *squared*, no class |
//! | 呆账 stuck | open for more than [`STUCK_DAYS`] days, and nobody did anything for [`SILENT_DAYS`] | REC-03 |
//! | 欠账 unfinished | open and past its deadline; or confirmed for more than [`RECTIFY_DAYS`] days and not done; or closed because it had gone, and found again; or declared done, and newer data brought evidence from before that day | REC-01: past due, or the same finding on newer data |
//!
//! What is declared done and not found on newer data is *verified*. What was cleared (排除) claims no correction, so it is
//! in no class; cleared leads that came back on new evidence are counted beside them. Extensions, owners that no longer
//! exist, papers and bank credits (the rest of REC-01..04) are not in the ledger: those checks are not made here. What a
//! waiver covers is neither stuck nor unfinished.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::{Diagnostic, Text};
use serde::Serialize;

use crate::book::{Book, Course, Lead, Light, Moment, Night, Policy, Presence, Stage};
use crate::record::add_fen;
use crate::score::{Life, days_between, lives};

/// A confirmed lead that is not done after so many days is unfinished: inspections give three months to put right what
/// they found.
pub const RECTIFY_DAYS: i64 = 90;
/// An open lead this old is stuck, when nobody does anything (REC-03).
pub const STUCK_DAYS: i64 = 180;
/// Nobody did anything for so long (REC-03).
pub const SILENT_DAYS: i64 = 60;

/// A class of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// 欠账: not finished.
    Unfinished,
    /// 假账: declared done, still found.
    StillFound,
    /// 呆账: nobody moves it.
    Stuck,
    /// 新账: after it was declared done, again.
    Repeated,
}

impl Account {
    /// In the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Unfinished, Self::StillFound, Self::Stuck, Self::Repeated];

    /// For a reader.
    #[must_use]
    pub fn title(self) -> Text {
        let (zh, en) = match self {
            Self::Unfinished => ("欠账（未完成）", "unfinished (欠账)"),
            Self::StillFound => ("假账（报完成、重跑仍查出）", "declared done, still found (假账)"),
            Self::Stuck => ("呆账（长期不动）", "stuck (呆账)"),
            Self::Repeated => ("新账（完成后再现）", "again after it was done (新账)"),
        };
        Text { zh: zh.to_owned(), en: en.to_owned() }
    }
}

/// Number of leads and fen at risk in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Leads.
    pub leads: u64,
    /// Fen.
    pub fen: i64,
}

impl Sum {
    /// Counts one more.
    pub(crate) fn add(&mut self, fen: Option<i64>) -> Result<(), Diagnostic> {
        self.leads += 1;
        self.fen = add_fen(self.fen, fen.unwrap_or(0))?;
        Ok(())
    }
}

/// What a look-back found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LookBack {
    /// By class.
    pub classes: BTreeMap<Account, Sum>,
    /// By class and rule.
    #[serde(skip)]
    pub by_rule: BTreeMap<(Account, String), Sum>,
    /// Class of each lead that is in one.
    #[serde(skip)]
    pub leads: BTreeMap<String, Account>,
    /// Declared done.
    pub done: Sum,
    /// Of these: not found on newer data.
    pub verified: Sum,
    /// Of these: still found, and the money is back in full.
    pub squared: Sum,
    /// Of these: their rule has not been evaluated on newer data.
    pub not_evaluated: Sum,
    /// Cleared, and back on new evidence: in no class.
    pub cleared_and_back: Sum,
    /// Found after a lead about the same subject or operator was done, under another version of the rule: cannot be
    /// compared, in no class.
    pub other_version: u64,
}

/// Looks back from the day `today`, over what the ledger knew at `until`.
///
/// # Errors
/// `MC842` where the database refuses, `MC807` where a sum of money does not fit.
pub fn look_back(
    book: &Book,
    policy: &Policy,
    until: Moment<'_>,
    today: &str,
) -> Result<LookBack, Diagnostic> {
    let mut work = Work::new(book, until, today)?;
    let mut fault = None;
    book.courses(until, |course| {
        fault = fault.take().or(work.first(&course, policy).err());
    })?;
    fault.map_or(Ok(()), Err)?;
    work.finish()
}

/// Which waiver covers a lead.
pub(crate) type Waived = Box<dyn Fn(&Lead) -> Option<String>>;

/// Who or what ties two leads together: rule, and subject or operator.
type Tie = (String, String);

/// A look-back in the making.
pub(crate) struct Work {
    today: String,
    nights: Vec<Night>,
    evaluations: BTreeMap<String, BTreeSet<u64>>,
    waived: Waived,
    found: LookBack,
    /// When something tied so was declared done, with the version of the rule and the lead.
    done: BTreeMap<Tie, Vec<(String, u32, String)>>,
    later: Vec<Candidate>,
}

/// A lead that may repeat another.
struct Candidate {
    /// Its class, if it repeats none.
    class: Option<Account>,
    ties: Vec<Tie>,
    found_on: String,
    period_from: String,
    version: u32,
    id: String,
    fen: Option<i64>,
}

impl Work {
    pub(crate) fn new(book: &Book, until: Moment<'_>, today: &str) -> Result<Self, Diagnostic> {
        let mut nights = book.nights()?;
        if until != Moment::Now {
            let mut kept = Vec::with_capacity(nights.len());
            for night in nights {
                let (seq, day) = book.end_of(&night.night)?;
                let within = match until {
                    Moment::Now => true,
                    Moment::Day(last) => day.as_str() <= last,
                    Moment::Event(last) => seq <= last,
                };
                if within {
                    kept.push(night);
                }
            }
            nights = kept;
        }
        let found = LookBack {
            classes: Account::ALL.iter().map(|class| (*class, Sum::default())).collect(),
            ..LookBack::default()
        };
        Ok(Self {
            today: today.to_owned(),
            nights,
            evaluations: book.evaluations()?,
            waived: Box::new(book.waived(today)?),
            found,
            done: BTreeMap::new(),
            later: Vec::new(),
        })
    }

    /// Whether a night with data later than `day` evaluated the rule.
    fn evaluated_after(&self, rule: &str, day: &str) -> bool {
        let of_rule = self.evaluations.get(rule);
        let newer = |night: &&Night| night.as_of.as_str() > day;
        self.nights.iter().rev().take_while(newer).any(|n| of_rule.is_some_and(|r| r.contains(&n.number)))
    }

    /// What a lead says by itself.
    pub(crate) fn first(&mut self, course: &Course, policy: &Policy) -> Result<(), Diagnostic> {
        let lead = &course.lead;
        let lives = lives(course);
        let Some((last, earlier)) = lives.split_last() else { return Ok(()) };
        if let Some(day) = earlier.iter().chain([last]).find_map(|life| done_on(life, life.fen)) {
            for tie in ties(lead) {
                let entry = (day.clone(), last.version, lead.finding_id.clone());
                self.done.entry(tie).or_default().push(entry);
            }
        }
        let class = self.class(course, earlier, last, policy)?;
        let fresh = last.verdict.is_none() && lead.presence == Presence::Live && lead.is_open();
        if fresh && earlier.is_empty() {
            // Whether it repeats another is known when all are known.
            self.later.push(Candidate {
                class,
                ties: ties(lead),
                found_on: last.opened.clone(),
                period_from: lead.period_from.clone().unwrap_or_default(),
                version: lead.rule_version,
                id: lead.finding_id.clone(),
                fen: lead.amount_fen,
            });
            return Ok(());
        }
        match class {
            Some(class) => self.put(class, &lead.rule_id, &lead.finding_id, lead.amount_fen),
            None => Ok(()),
        }
    }

    fn class(
        &mut self,
        course: &Course,
        earlier: &[Life],
        last: &Life,
        policy: &Policy,
    ) -> Result<Option<Account>, Diagnostic> {
        let lead = &course.lead;
        let (fen, live) = (lead.amount_fen, lead.presence == Presence::Live);
        // A life that began anew on new evidence says something about the one before.
        if let (Some(before), true) = (earlier.last(), live && lead.is_open()) {
            if before.verdict.as_ref().is_some_and(|verdict| verdict.cleared.is_some()) {
                self.found.cleared_and_back.add(fen)?;
            } else if let Some(day) = done_on(before, before.fen) {
                self.found.done.add(fen)?;
                let after = lead.period_to.as_ref().is_some_and(|to| *to > day);
                return Ok(Some(if after { Account::Repeated } else { Account::Unfinished }));
            }
        }
        if let Some(day) = done_on(last, fen) {
            self.found.done.add(fen)?;
            if !self.evaluated_after(&lead.rule_id, &day) {
                self.found.not_evaluated.add(fen)?;
            } else if !live {
                self.found.verified.add(fen)?;
            } else if paid_back(last, fen) {
                self.found.squared.add(fen)?;
            } else {
                return Ok(Some(Account::StillFound));
            }
            return Ok(None);
        }
        if lead.stage == Stage::Closed && last.verdict.is_none() && live {
            return Ok(Some(Account::Unfinished));
        }
        if !lead.is_open() || (self.waived)(lead).is_some() {
            return Ok(None);
        }
        let age = days_between(&last.opened, &self.today).unwrap_or(0);
        let touched = course.acts.iter().rev().find(|act| act.deed.is_a_persons()).map(|act| &act.day);
        let silent = touched.and_then(|day| days_between(day, &self.today)).unwrap_or(age);
        if age > STUCK_DAYS && silent >= SILENT_DAYS {
            return Ok(Some(Account::Stuck));
        }
        let confirmed = last.verdict.as_ref().filter(|verdict| verdict.cleared.is_none());
        let slow = confirmed
            .and_then(|verdict| days_between(&verdict.day, &self.today))
            .is_some_and(|days| days > RECTIFY_DAYS);
        let overdue = policy.light(lead, &self.today) == Some(Light::Red);
        Ok((slow || overdue).then_some(Account::Unfinished))
    }

    fn put(&mut self, class: Account, rule: &str, id: &str, fen: Option<i64>) -> Result<(), Diagnostic> {
        self.found.classes.entry(class).or_default().add(fen)?;
        self.found.by_rule.entry((class, rule.to_owned())).or_default().add(fen)?;
        self.found.leads.insert(id.to_owned(), class);
        Ok(())
    }

    /// What leads say of each other.
    pub(crate) fn finish(mut self) -> Result<LookBack, Diagnostic> {
        for candidate in std::mem::take(&mut self.later) {
            let (mut repeated, mut other_version) = (false, false);
            for (day, version, id) in candidate.ties.iter().filter_map(|tie| self.done.get(tie)).flatten() {
                if *id == candidate.id || candidate.found_on <= *day || candidate.period_from <= *day {
                    continue;
                }
                if *version == candidate.version {
                    repeated = true;
                } else {
                    other_version = true;
                }
            }
            self.found.other_version += u64::from(other_version && !repeated);
            if let Some(class) = if repeated { Some(Account::Repeated) } else { candidate.class } {
                let rule = candidate.ties.first().map(|(rule, _)| rule.clone()).unwrap_or_default();
                self.put(class, &rule, &candidate.id, candidate.fen)?;
            }
        }
        Ok(self.found)
    }
}

/// The day on which a life was declared done, if it was: confirmed, and then closed or its money back in full.
fn done_on(life: &Life, fen: Option<i64>) -> Option<String> {
    life.verdict.as_ref().filter(|verdict| verdict.cleared.is_none())?;
    match &life.closed {
        Some(day) => Some(day.clone()),
        None if paid_back(life, fen) => life.recovered_on.clone(),
        None => None,
    }
}

/// Whether all the money at risk came back.
fn paid_back(life: &Life, fen: Option<i64>) -> bool {
    life.recovered_fen > 0 && fen.is_some_and(|fen| life.recovered_fen >= fen)
}

fn ties(lead: &Lead) -> Vec<Tie> {
    let of = |name: &str| (lead.rule_id.clone(), name.to_owned());
    std::iter::once(of(&format!("subject {}", lead.subject_id)))
        .chain(lead.handlers.iter().map(|handler| of(&format!("operator {handler}"))))
        .collect()
}
