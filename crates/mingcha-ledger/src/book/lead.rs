//! A lead as it stands, and the words for where it stands. Plain data; knows no table and no run folder.
//!
//! Two things are kept apart: `presence` is what the data say (the rule still finds it, no longer finds it, its
//! source took it back), `stage` is what people did. Neither moves the other, save that new evidence takes a
//! cleared or closed lead back to the beginning.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::handler::names_handler;
use mingcha_rules::rule::{Severity, SubjectType};
use mingcha_rules::{EvidenceRow, Finding, Text};
use serde::{Deserialize, Serialize};

use super::chain::By;
use super::handled::{handlers, names_handlers_only};
use crate::record::Fields;
use crate::time::Instant;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident $word:literal $zh:literal $en:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$inner])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in files and tables.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What the word means.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
            }

            /// For a reader.
            #[must_use]
            pub fn title(self) -> Text {
                let (zh, en) = match self { $(Self::$variant => ($zh, $en)),+ };
                Text { zh: zh.to_owned(), en: en.to_owned() }
            }
        }
    };
}

words! {
    /// What a night says of a lead.
    Mark {
        /// Not known before.
        New "new" "新增" "new",
        /// Known, and as it was.
        Continuing "continuing" "延续" "continuing",
        /// Known, and something weighs differently.
        Changed "changed" "变化" "changed",
        /// Its rule was evaluated and no longer finds it.
        Resolved "resolved" "消除" "resolved",
        /// It was resolved, withdrawn, cleared or closed, and is a lead again.
        Reopened "reopened" "重现" "reopened",
        /// Its source took back what it stood on.
        Withdrawn "withdrawn" "来源撤回" "withdrawn by source",
    }
}

words! {
    /// What the data say.
    Presence {
        /// The rule finds it.
        Live "live" "仍存在" "live",
        /// The rule was evaluated and does not find it.
        Resolved "resolved" "已消除" "resolved",
        /// Its source took back what it stood on.
        Withdrawn "withdrawn" "来源撤回" "withdrawn by source",
    }
}

words! {
    /// What people did.
    Stage {
        /// Nobody works on it.
        New "new" "待分派" "new",
        /// Somebody is to check it.
        Assigned "assigned" "已分派" "assigned",
        /// Somebody visited or checked.
        Checked "checked" "已核查" "checked",
        /// It is so: with a record of who verified it, when, how, on which paper.
        Confirmed "confirmed" "属实" "confirmed",
        /// It is not so, or lawful.
        Cleared "cleared" "排除" "cleared",
        /// Another body has it.
        Transferred "transferred" "已移送" "transferred",
        /// Money came back.
        Recovered "recovered" "已追回" "recovered",
        /// Done.
        Closed "closed" "已办结" "closed",
    }
}

words! {
    /// Why a lead was cleared.
    Clearance {
        /// What was found is lawful.
        Legitimate "legitimate" "情况合法" "legitimate",
        /// A source is wrong.
        WrongData "wrong_data" "源数据有误" "wrong data at source",
        /// Two people, or two facts, were taken for one.
        WrongMatch "wrong_match" "匹配有误" "wrong match",
    }
}

words! {
    /// How a deadline stands.
    Light {
        /// Time enough.
        Green "green" "绿" "green",
        /// Soon.
        Yellow "yellow" "黄" "yellow",
        /// Overdue.
        Red "red" "红" "red",
    }
}

/// A check: a visit, a telephone call, a look into papers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Who checked.
    pub by: String,
    /// The day, YYYY-MM-DD.
    pub on: String,
    /// How: visit, telephone, papers.
    pub how: String,
    /// Number of the paper that shows it; a confirmation must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

/// Digests of the rows that a lead stands on: by dataset, in order, with a blank between. Of content only: files and
/// row numbers move every night. One text and not a set, because a hundred thousand leads are read to list fifty.
pub type Evidence = BTreeMap<String, String>;

/// A lead as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Depends on rule, subject and matter only.
    pub finding_id: String,
    /// The rule.
    pub rule_id: String,
    /// Its version when the lead last changed.
    pub rule_version: u32,
    /// Hash of its text when the lead last changed.
    pub rule_hash: String,
    /// How grave.
    pub severity: Severity,
    /// `A` strong, `B` medium, `C` weak.
    pub grade: String,
    /// `I1`..`I5`.
    pub identity: String,
    /// Kind of subject.
    pub subject_type: SubjectType,
    /// Its number.
    pub subject_id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_name: Option<String>,
    /// Area that will handle it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_code: Option<String>,
    /// First day concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_from: Option<String>,
    /// Last day concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_to: Option<String>,
    /// Fen at risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_fen: Option<i64>,
    /// The sentence, as when the lead last changed.
    pub message: Text,
    /// What it stands on.
    pub evidence: Evidence,
    /// Digest over the rows against it.
    pub counter_evidence: String,
    /// Who handled the payment, as the evidence of any night said.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handlers: BTreeSet<String>,
    /// What the data say.
    pub presence: Presence,
    /// Why it is not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_because: Option<String>,
    /// What the last night that changed anything said.
    pub mark: Mark,
    /// That night.
    pub marked_in: String,
    /// The night that first found it.
    pub first_run: String,
    /// Day from which its deadline counts: found, or reopened.
    pub opened: String,
    /// What people did.
    pub stage: Stage,
    /// Since when.
    pub stage_since: Instant,
    /// Who is to check it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// The check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The verification, where confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Check>,
    /// Why it was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clearance: Option<Clearance>,
    /// What it stood on when it was cleared or closed: only evidence beyond this reopens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_on: Option<Evidence>,
    /// Hash of the rule's text under which that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_under: Option<String>,
    /// Who has it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred_to: Option<String>,
    /// Fen that came back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recovered_fen: i64,
    /// How often it was reopened.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reopened: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Lead {
    /// A lead that nobody has seen before.
    pub(super) fn found(finding: &Finding, rule_hash: &str, night: &str, by: By<'_>) -> Self {
        let mut lead = Self {
            finding_id: finding.finding_id.clone(),
            rule_id: finding.rule_id.clone(),
            rule_version: 0,
            rule_hash: String::new(),
            severity: finding.severity,
            grade: String::new(),
            identity: String::new(),
            subject_type: finding.subject_type,
            subject_id: finding.subject_id.clone(),
            subject_name: None,
            area_code: None,
            period_from: None,
            period_to: None,
            amount_fen: None,
            message: Text::default(),
            evidence: Evidence::new(),
            counter_evidence: String::new(),
            handlers: BTreeSet::new(),
            presence: Presence::Live,
            gone_because: None,
            mark: Mark::New,
            marked_in: night.to_owned(),
            first_run: night.to_owned(),
            opened: by.day().into(),
            stage: Stage::New,
            stage_since: by.at.clone(),
            assignee: None,
            check: None,
            verification: None,
            clearance: None,
            judged_on: None,
            judged_under: None,
            transferred_to: None,
            recovered_fen: 0,
            reopened: 0,
        };
        lead.take(finding, rule_hash);
        lead
    }

    /// Takes over what tonight's finding says.
    pub(super) fn take(&mut self, finding: &Finding, rule_hash: &str) {
        self.rule_version = finding.rule_version;
        rule_hash.clone_into(&mut self.rule_hash);
        self.severity = finding.severity;
        self.grade.clone_from(&finding.grade);
        self.identity.clone_from(&finding.identity);
        self.subject_name.clone_from(&finding.subject_name);
        self.area_code.clone_from(&finding.area_code);
        self.period_from.clone_from(&finding.period_from);
        self.period_to.clone_from(&finding.period_to);
        self.amount_fen = finding.amount_fen;
        self.message.clone_from(&finding.message);
        self.evidence = evidence(&finding.evidence);
        self.counter_evidence = counter(&finding.counter_evidence);
        // Who once was named had a hand in it, also where tonight's rows do not show it: whoever can write in the source
        // cannot write themselves off.
        self.handlers.extend(handlers(finding));
    }

    /// Whether people still have to do something about it (a waiver aside).
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.stage {
            Stage::New => self.presence == Presence::Live,
            Stage::Assigned | Stage::Checked => true,
            Stage::Confirmed | Stage::Transferred | Stage::Recovered => true,
            Stage::Cleared | Stage::Closed => false,
        }
    }

    /// As much of a finding as the ledger itself remembers, which is what masking needs: no rows, no measures.
    #[must_use]
    pub fn without_rows(&self) -> Finding {
        Finding {
            finding_id: self.finding_id.clone(),
            rule_id: self.rule_id.clone(),
            rule_version: self.rule_version,
            severity: self.severity,
            grade: self.grade.clone(),
            identity: self.identity.clone(),
            subject_type: self.subject_type,
            subject_id: self.subject_id.clone(),
            subject_name: self.subject_name.clone(),
            area_code: self.area_code.clone(),
            period_from: self.period_from.clone(),
            period_to: self.period_to.clone(),
            amount_fen: self.amount_fen,
            message: self.message.clone(),
            measures: BTreeMap::new(),
            candidates: 0,
            evidence: Vec::new(),
            counter_evidence: Vec::new(),
            exclusions_checked: Vec::new(),
        }
    }

    /// Keeps what it stands on now, as that on which it was judged.
    pub(super) fn judge(&mut self) {
        self.judged_on = Some(self.evidence.clone());
        self.judged_under = Some(self.rule_hash.clone());
    }

    /// Whether a person has judged it.
    pub(super) fn is_judged(&self) -> bool {
        matches!(self.stage, Stage::Cleared | Stage::Closed)
    }
}

/// What weighs differently in `now` than in `was`, by name. Wording, places of rows and the version of the rule do
/// not weigh; nor does a period that ends on the day of the night, because it moves on with every night.
pub(super) fn changes(was: &Lead, now: &Lead, as_of: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut say = |differs: bool, name| {
        if differs {
            names.push(name);
        }
    };
    say(was.severity != now.severity, "severity");
    say(was.grade != now.grade, "grade");
    say(was.identity != now.identity, "identity");
    say(was.area_code != now.area_code, "area");
    let goes_on = now.period_to.as_deref() == Some(as_of);
    say(!goes_on && was.period_from != now.period_from, "period_from");
    say(!goes_on && was.period_to != now.period_to, "period_to");
    say(was.amount_fen != now.amount_fen, "amount");
    // Another text of the rule may show other columns of the same rows: then only their number tells.
    let same_text = was.rule_hash == now.rule_hash;
    let weight = |e: &Evidence| {
        e.iter().map(|(d, rows)| (d.clone(), digests(rows).count())).collect::<BTreeMap<_, _>>()
    };
    say(
        if same_text { was.evidence != now.evidence } else { weight(&was.evidence) != weight(&now.evidence) },
        "evidence",
    );
    say(same_text && was.counter_evidence != now.counter_evidence, "counter_evidence");
    names
}

/// How many rows of `now` were not there in `was`, by dataset.
pub(super) fn fresh(was: &Evidence, now: &Evidence, same_text: bool) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for (dataset, rows) in now {
        let before = was.get(dataset).map_or("", String::as_str);
        if before == rows {
            continue;
        }
        let known: BTreeSet<&str> = digests(before).collect();
        let unknown = digests(rows).filter(|row| !known.contains(row)).count();
        let more = digests(rows).count().saturating_sub(known.len());
        let fresh = if same_text { unknown } else { unknown.min(more) };
        if fresh > 0 {
            out.insert(dataset.clone(), fresh);
        }
    }
    out
}

fn digests(rows: &str) -> impl Iterator<Item = &str> {
    rows.split(' ').filter(|row| !row.is_empty())
}

/// Equal rows are told apart by counting them: a third equal payment is new evidence. A row that says nothing but who
/// handled it is none.
pub(super) fn evidence(rows: &[EvidenceRow]) -> Evidence {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut sets: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !names_handlers_only(row)) {
        let digest = content(row);
        let nth = seen.entry(digest.clone()).or_default();
        *nth += 1;
        let name = if *nth == 1 { digest } else { format!("{digest}#{nth}") };
        sets.entry(&row.dataset).or_default().insert(name);
    }
    let joined = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
    sets.into_iter().map(|(dataset, set)| (dataset.to_owned(), joined(set))).collect()
}

fn counter(rows: &[EvidenceRow]) -> String {
    let mut digests: Vec<String> = rows.iter().map(content).collect();
    digests.sort();
    let mut fields = Fields::new("mingcha counter-evidence 1");
    digests.iter().for_each(|d| fields.add(d));
    fields.finish().chars().take(DIGITS).collect()
}

/// 48 bits: they tell the rows of one lead apart, a few hundred at most, and stand in the ledger twice per row.
const DIGITS: usize = 12;

/// Dataset and columns of a row, never its place. Who handled it is no fact of the matter: another clerk is no news.
fn content(row: &EvidenceRow) -> String {
    let mut fields = Fields::new("mingcha evidence 1");
    fields.add(&row.dataset);
    for (column, value) in row.columns.iter().filter(|(column, _)| !names_handler(column)) {
        fields.add(column);
        fields.add(value);
    }
    fields.finish().chars().take(DIGITS).collect()
}
