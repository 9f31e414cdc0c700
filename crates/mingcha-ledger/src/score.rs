//! What rules are worth, learned from what people found: per rule and version how many leads, how many were checked,
//! confirmed and cleared, with what precision, at what money, in how many days; and a proposal to keep, tune or retire.
//! A proposal is for a person to decide on; nothing here switches a rule off. Reads the courses of leads and prints
//! nothing.
//!
//! **What is counted.** A lead has one life, or several: new evidence after a judgement, or a person who takes it up
//! again, begins another. A life is judged once, by its last judgement: confirmed, and cleared afterwards, is cleared.
//! It counts for the version of the rule that the lead carried when it was judged; if nobody judged it, for the one that
//! it carries. A lead whose lives fall under two versions is in both; a rule's total counts every lead once, so that the
//! totals of all rules are the ledger's.
//!
//! **Precision** is confirmed ÷ (confirmed + cleared), with Wilson's interval at 95 %, which stays honest near 0 and 1.
//! Below [`LEAST`] judged lives no share is told: at 10 the interval is up to 53 points wide already, and below that a
//! single case moves the share by more than ten points. What has no number yet is not "0 %".
//!
//! **Proposals** look at the interval and never at the bare share, so that few cases cannot condemn a rule:
//! - *retire*: the upper bound is below [`RETIRE_BELOW`] (0.10). Even at best nine of ten visits go to people about whom
//!   there is nothing to find; checks known to be that poor ended at 0.4 to 0.6 % (`domain/background.md` b6: staff were
//!   drawn off, and other matches waited).
//! - *tune*: the upper bound is below [`TUNE_BELOW`] (0.50): more visits are in vain than not. Or one reason of clearing
//!   takes, with its lower bound, at least [`ONE_REASON`] (0.20) of what was judged: then one change of the rule (an
//!   exclusion, a stricter match) or of one source would spare every fifth visit.
//! - *keep*: everything else. *Too few to tell*: fewer than [`LEAST`] judged.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Diagnostic, Text};
use serde::Serialize;

use crate::book::{Act, Book, Clearance, Control, Course, Deed, Moment, Presence};
use crate::record::add_fen;
use crate::sharing::{Sharing, Subjects};

/// Judged lives below which no share is told.
pub const LEAST: u64 = 10;
/// A rule whose precision is certainly below this is proposed to be retired.
pub const RETIRE_BELOW: f64 = 0.10;
/// A rule whose precision is certainly below this is proposed to be tuned.
pub const TUNE_BELOW: f64 = 0.50;
/// One reason that certainly takes this share of what was judged is worth a change.
pub const ONE_REASON: f64 = 0.20;
/// Of the normal distribution: 95 % lie within.
const Z: f64 = 1.959_963_984_540_054;

/// So many out of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// That are so.
    pub hits: u64,
    /// Out of.
    pub of: u64,
}

impl Share {
    /// The share itself; none where there are too few to tell.
    #[must_use]
    pub fn point(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of leads fit into the 53 bits of a double")]
        (self.of >= LEAST).then(|| self.hits as f64 / self.of as f64)
    }

    /// Wilson's interval at 95 %; 0 to 1 where nothing is known.
    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of leads fit into the 53 bits of a double")]
        let (hits, of) = (self.hits as f64, self.of as f64);
        let (share, z2) = (hits / of, Z * Z);
        let middle = share + z2 / (2.0 * of);
        let spread = Z * (share * (1.0 - share) / of + z2 / (4.0 * of * of)).sqrt();
        let whole = 1.0 + z2 / of;
        // At the ends the formula is exact, its arithmetic is not.
        let low = if self.hits == 0 { 0.0 } else { (middle - spread) / whole };
        let high = if self.hits == self.of { 1.0 } else { (middle + spread) / whole };
        (low, high)
    }

    /// `75.0 % (53.1–88.8 %)`, or that there are too few to tell.
    #[must_use]
    pub fn words(self) -> Text {
        let Some(point) = self.point() else {
            let Self { hits, of } = self;
            if of == 0 {
                return Text { zh: "尚无认定".to_owned(), en: "none judged yet".to_owned() };
            }
            return Text {
                zh: format!("太少，尚难判断（{hits}/{of}）"),
                en: format!("too few to tell ({hits} of {of})"),
            };
        };
        let (low, high) = self.interval();
        let words = format!("{}% ({}–{}%)", percent(point), percent(low), percent(high));
        Text { zh: words.replace(" (", "（").replace(')', "）"), en: words }
    }
}

/// `0.7531` -> `75.3`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// What people's work says of some leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Leads.
    pub findings: u64,
    /// Fen at risk over all of them.
    pub at_risk_fen: i64,
    /// Lives that a person checked or judged.
    pub checked: u64,
    /// Lives confirmed.
    pub confirmed: u64,
    /// Fen at risk in these, when they were confirmed.
    pub confirmed_fen: i64,
    /// Lives cleared, by reason.
    pub cleared: BTreeMap<Clearance, u64>,
    /// Lives with money back.
    pub recovered: u64,
    /// Fen that came back.
    pub recovered_fen: i64,
    /// Lives that nobody has judged and that the data still show.
    pub unjudged: u64,
    /// Lives that nobody has judged and that are gone from the data, or were closed for that.
    pub gone: u64,
    /// Half of the judged lives were judged within so many days of being found.
    pub median_days: Option<i64>,
    #[serde(skip)]
    days: Vec<i64>,
}

impl Score {
    /// Lives that a person judged.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.confirmed + self.cleared.values().sum::<u64>()
    }

    /// Confirmed out of judged.
    #[must_use]
    pub fn precision(&self) -> Share {
        Share { hits: self.confirmed, of: self.judged() }
    }

    /// What should become of the rule, and why.
    #[must_use]
    pub fn proposal(&self) -> (Proposal, Text) {
        let precision = self.precision();
        let words = precision.words();
        if precision.of < LEAST {
            let zh = format!("已认定 {} 条，不足 {LEAST} 条，尚难判断", precision.of);
            let en = format!("{} judged, fewer than {LEAST}: too few to tell", precision.of);
            return (Proposal::TooFew, Text { zh, en });
        }
        let (_, high) = precision.interval();
        let worst = self.cleared.iter().max_by_key(|(reason, n)| (**n, std::cmp::Reverse(**reason)));
        let remedy = worst.map(|(reason, n)| remedy(*reason, *n)).unwrap_or_default();
        let one_reason =
            worst.is_some_and(|(_, n)| Share { hits: *n, of: precision.of }.interval().0 >= ONE_REASON);
        let because = |zh: &str, en: &str| Text {
            zh: format!("属实率 {}，{zh}", words.zh),
            en: format!("precision {}, {en}", words.en),
        };
        match () {
            () if high < RETIRE_BELOW => (
                Proposal::Retire,
                because(
                    &format!("上限低于 {}%：十次核查九次以上落空；{}", percent(RETIRE_BELOW), remedy.zh),
                    &format!(
                        "at best below {} %: more than nine of ten visits are in vain; {}",
                        percent(RETIRE_BELOW),
                        remedy.en
                    ),
                ),
            ),
            () if high < TUNE_BELOW => (
                Proposal::Tune,
                because(
                    &format!("上限低于 {}%：落空的核查多于属实的；{}", percent(TUNE_BELOW), remedy.zh),
                    &format!(
                        "at best below {} %: more visits are in vain than not; {}",
                        percent(TUNE_BELOW),
                        remedy.en
                    ),
                ),
            ),
            () if one_reason => (
                Proposal::Tune,
                because(
                    &format!("但同一原因至少占 {}%；{}", percent(ONE_REASON), remedy.zh),
                    &format!("but one reason takes at least {} %; {}", percent(ONE_REASON), remedy.en),
                ),
            ),
            () => (Proposal::Keep, because("继续使用", "worth its visits")),
        }
    }

    /// Takes a life in.
    fn add(&mut self, life: &Life) -> Result<(), Diagnostic> {
        self.checked += u64::from(life.checked);
        match life.verdict {
            Some(Verdict { cleared: None, fen, .. }) => {
                self.confirmed += 1;
                self.confirmed_fen = add_fen(self.confirmed_fen, fen.unwrap_or(0))?;
            }
            Some(Verdict { cleared: Some(reason), .. }) => *self.cleared.entry(reason).or_default() += 1,
            None if life.gone => self.gone += 1,
            None => self.unjudged += 1,
        }
        self.days.extend(life.days());
        self.recovered += u64::from(life.recovered_fen > 0);
        self.recovered_fen = add_fen(self.recovered_fen, life.recovered_fen)?;
        Ok(())
    }

    fn add_lead(&mut self, fen: Option<i64>) -> Result<(), Diagnostic> {
        self.findings += 1;
        self.at_risk_fen = add_fen(self.at_risk_fen, fen.unwrap_or(0))?;
        Ok(())
    }

    /// The lower of the two middle ones, so that it is a number of days that did occur.
    fn settle(&mut self) {
        self.days.sort_unstable();
        self.median_days = self.days.get(self.days.len().saturating_sub(1) / 2).copied();
        self.days = Vec::new();
    }
}

fn remedy(reason: Clearance, n: u64) -> Text {
    let (zh, en) = match reason {
        Clearance::Legitimate => ("考虑增加排除条件", "consider an exclusion"),
        Clearance::WrongData => {
            ("请提供单位更正数据，或降低该来源的等级", "have the source corrected, or grade it lower")
        }
        Clearance::WrongMatch => ("收紧身份匹配条件", "make the match of identities stricter"),
    };
    let title = reason.title();
    Text { zh: format!("{} {n} 条，{zh}", title.zh), en: format!("{}: {n}, {en}", title.en) }
}

/// What should become of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// Worth its visits.
    Keep,
    /// Worth a change.
    Tune,
    /// Not worth its visits.
    Retire,
    /// Nobody can know yet.
    TooFew,
}

impl Proposal {
    /// For a reader.
    #[must_use]
    pub fn title(self) -> Text {
        let (zh, en) = match self {
            Self::Keep => ("保留", "keep"),
            Self::Tune => ("调整", "tune"),
            Self::Retire => ("停用", "retire"),
            Self::TooFew => ("尚难判断", "too few to tell"),
        };
        Text { zh: zh.to_owned(), en: en.to_owned() }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleScore {
    /// The rule.
    pub rule_id: String,
    /// Over all versions; every lead once.
    pub total: Score,
    /// By version.
    pub versions: BTreeMap<u32, Score>,
    /// What should become of it: as its latest version with enough judged lives says; without one, too few to tell.
    pub proposal: Proposal,
    /// Why.
    pub because: Text,
}

/// All rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scorecard {
    /// By id.
    pub rules: Vec<RuleScore>,
    /// Over all rules; every lead once.
    pub all: Score,
    /// Persons whom at least one lead is about.
    pub persons: u64,
    /// How far the leads are about the same subjects.
    #[serde(flatten)]
    pub about: Sharing,
    /// Leads whose content was destroyed: in no figure.
    pub destroyed: u64,
}

impl Scorecard {
    /// What the ledger says at `until`; of all rules, or of those that are named.
    ///
    /// # Errors
    /// `MC842` where the database refuses, `MC807` where a sum of money does not fit.
    pub fn of(book: &Book, until: Moment<'_>, rules: &[String]) -> Result<Self, Diagnostic> {
        let mut tally = Tally::default();
        let mut fault = None;
        let destroyed = book.courses(until, |course| {
            if rules.is_empty() || rules.contains(&course.lead.rule_id) {
                fault = fault.take().or(tally.add(&course).err());
            }
        })?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(tally.finish(destroyed)),
        }
    }
}

/// A scorecard in the making.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rules: BTreeMap<String, (Score, BTreeMap<u32, Score>)>,
    all: Score,
    persons: BTreeSet<String>,
    about: Subjects,
}

impl Tally {
    pub(crate) fn add(&mut self, course: &Course) -> Result<(), Diagnostic> {
        let lead = &course.lead;
        self.about.add(lead);
        if lead.subject_type == SubjectType::Person {
            self.persons.insert(lead.subject_id.clone());
        }
        let (total, versions) = self.rules.entry(lead.rule_id.clone()).or_default();
        let mut counted: Vec<u32> = Vec::new();
        for life in lives(course) {
            self.all.add(&life)?;
            total.add(&life)?;
            let version = versions.entry(life.version).or_default();
            version.add(&life)?;
            if !counted.contains(&life.version) {
                counted.push(life.version);
                version.add_lead(life.fen)?;
            }
        }
        total.add_lead(lead.amount_fen)?;
        self.all.add_lead(lead.amount_fen)
    }

    pub(crate) fn finish(mut self, destroyed: u64) -> Scorecard {
        self.all.settle();
        let rule = |(rule_id, (mut total, mut versions)): (String, (Score, BTreeMap<u32, Score>))| {
            total.settle();
            versions.values_mut().for_each(Score::settle);
            let told = versions.values().rev().find(|score| score.judged() >= LEAST);
            let (proposal, because) = match told.or(versions.values().next_back()) {
                Some(score) => score.proposal(),
                None => total.proposal(),
            };
            RuleScore { rule_id, total, versions, proposal, because }
        };
        Scorecard {
            rules: self.rules.into_iter().map(rule).collect(),
            all: self.all,
            persons: self.persons.len() as u64,
            about: self.about.sharing(),
            destroyed,
        }
    }
}

/// How a life was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why cleared; none where confirmed.
    pub(crate) cleared: Option<Clearance>,
    /// When.
    pub(crate) day: String,
    /// Fen at risk then.
    pub(crate) fen: Option<i64>,
}

/// From being found, or found anew, to the end of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    /// First day.
    pub(crate) opened: String,
    /// Version of the rule: when judged, else at last.
    pub(crate) version: u32,
    /// Fen at risk at last.
    pub(crate) fen: Option<i64>,
    /// Whether a person checked or judged it.
    pub(crate) checked: bool,
    /// The last judgement.
    pub(crate) verdict: Option<Verdict>,
    /// Fen that came back.
    pub(crate) recovered_fen: i64,
    /// The last day on which some did.
    pub(crate) recovered_on: Option<String>,
    /// The day on which it was closed.
    pub(crate) closed: Option<String>,
    /// Gone from the data, or closed for that, at the end.
    pub(crate) gone: bool,
}

impl Life {
    fn begin(act: &Act) -> Self {
        Self {
            opened: act.day.clone(),
            version: act.rule_version,
            fen: act.amount_fen,
            checked: false,
            verdict: None,
            recovered_fen: 0,
            recovered_on: None,
            closed: None,
            gone: false,
        }
    }

    /// Days from the beginning to the judgement.
    fn days(&self) -> Option<i64> {
        days_between(&self.opened, &self.verdict.as_ref()?.day)
    }
}

/// Days from one day to another.
pub(crate) fn days_between(from: &str, to: &str) -> Option<i64> {
    let parse = |day: &str| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").ok();
    Some((parse(to)? - parse(from)?).num_days())
}

/// The lives of a lead, in order; at least one.
pub(crate) fn lives(course: &Course) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for act in &course.acts {
        let anew = matches!(act.deed, Deed::Reopened { anew: true } | Deed::ReopenedByHand);
        if lives.is_empty() || anew {
            lives.push(Life::begin(act));
        }
        let Some(life) = lives.last_mut() else { continue };
        life.fen = act.amount_fen;
        if life.verdict.is_none() {
            life.version = act.rule_version;
        }
        match &act.deed {
            Deed::Checked => life.checked = true,
            Deed::Confirmed | Deed::Cleared(_) => {
                let cleared = if let Deed::Cleared(reason) = act.deed { Some(reason) } else { None };
                life.checked = true;
                life.version = act.rule_version;
                life.verdict = Some(Verdict { cleared, day: act.day.clone(), fen: act.amount_fen });
            }
            // A sum that does not fit is refused where lives are added up.
            Deed::Recovered(fen) => {
                life.recovered_fen = life.recovered_fen.saturating_add(*fen);
                life.recovered_on = Some(act.day.clone());
            }
            Deed::Closed => life.closed = Some(act.day.clone()),
            _ => {}
        }
    }
    let last = lives.len().saturating_sub(1);
    for (at, life) in lives.iter_mut().enumerate() {
        let away = at == last && course.lead.presence != Presence::Live;
        life.gone = life.verdict.is_none() && (away || life.closed.is_some());
    }
    lives
}

/// A sample of persons whom no rule flagged, and what people found when they looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ControlSample {
    /// Persons whom no rule flagged, for whom the sample stands.
    pub unflagged: u64,
    /// Persons of the sample about whom an answer came back.
    pub answered: u64,
    /// Of these, persons with a case that a rule should have found.
    pub missed: u64,
}

/// How much of what there is to find the rules find.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recall {
    /// The estimate; none where it cannot be told.
    pub point: Option<f64>,
    /// Not below this.
    pub low: f64,
    /// Not above this.
    pub high: f64,
}

/// Digits of an area code that name the county.
const COUNTY: usize = 6;

impl ControlSample {
    /// What the control samples of all exports came to: `None` while nobody has answered. Dead or in custody is what a
    /// rule should have found. Answers of all exports are pooled, each person once, the last answer counts; exports
    /// about the same counties stand for the same persons, so that the last of them says how many these are. Exact
    /// where areas are sampled alike.
    #[must_use]
    pub fn of(controls: &[Control]) -> Option<Self> {
        // As they come from the ledger: in order of time.
        let mut order: BTreeMap<&str, usize> = BTreeMap::new();
        let mut exports: BTreeMap<usize, (BTreeSet<&str>, u64)> = BTreeMap::new();
        let mut answers: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
        for control in controls {
            let next = order.len();
            let nth = *order.entry(&control.handout).or_insert(next);
            let export = exports.entry(nth).or_default();
            export.0.insert(control.area.get(..COUNTY).unwrap_or(&control.area));
            export.1 = control.population;
            let Some(answer) = control.answer.as_ref().filter(|_| control.is_settled()) else { continue };
            let known = answers.entry(&control.person).or_insert((&answer.on, false));
            if answer.on.as_str() >= known.0 {
                *known = (&answer.on, answer.state != "alive");
            }
        }
        // In order of time: the last export about these counties.
        let populations: BTreeMap<BTreeSet<&str>, u64> = exports.into_values().collect();
        (!answers.is_empty()).then(|| Self {
            unflagged: populations.values().sum(),
            answered: answers.len() as u64,
            missed: answers.values().filter(|(_, missed)| *missed).count() as u64,
        })
    }

    /// Recall, when `flagged` persons were flagged and leads are confirmed with `precision`. Found is `flagged ×
    /// precision`, missed is `unflagged × missed ÷ answered`; the bounds take both intervals at their worst together,
    /// so they are rather too wide than too narrow. No point is told below [`LEAST`] judged leads or answers.
    #[must_use]
    pub fn recall(self, flagged: u64, precision: Share) -> Recall {
        #[expect(clippy::cast_precision_loss, reason = "counts of persons fit into the 53 bits of a double")]
        let (flagged, unflagged) = (flagged as f64, self.unflagged as f64);
        let answers = Share { hits: self.missed, of: self.answered };
        let recall = |precision: f64, missed: f64| {
            let (found, missed) = (flagged * precision, unflagged * missed);
            if found + missed > 0.0 { found / (found + missed) } else { 1.0 }
        };
        let ((p_low, p_high), (m_low, m_high)) = (precision.interval(), answers.interval());
        let point = precision.point().zip(answers.point()).map(|(p, m)| recall(p, m));
        Recall { point, low: recall(p_low, m_high), high: recall(p_high, m_low) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Answer;

    fn score(confirmed: u64, legitimate: u64, wrong_data: u64, wrong_match: u64) -> Score {
        let cleared = [
            (Clearance::Legitimate, legitimate),
            (Clearance::WrongData, wrong_data),
            (Clearance::WrongMatch, wrong_match),
        ];
        let cleared = cleared.into_iter().filter(|(_, n)| *n > 0).collect();
        Score { confirmed, cleared, ..Score::default() }
    }

    #[test]
    fn the_sample_is_pooled_over_exports_and_each_person_counts_once() {
        let control = |handout: &str, at: &str, person: &str, population, state: Option<&str>| Control {
            handout: handout.to_owned(),
            at: format!("{at}T08:00:00Z").parse().unwrap(),
            person: person.to_owned(),
            area: "880101001".to_owned(),
            population,
            drawn: 2,
            answer: state.map(|state| Answer {
                state: state.to_owned(),
                on: at.to_owned(),
                ..Answer::default()
            }),
        };
        assert_eq!(ControlSample::of(&[control("E1", "2026-10-01", "a", 900, None)]), None);
        let mut all = vec![
            control("E1", "2026-10-01", "a", 900, Some("alive")),
            control("E1", "2026-10-01", "b", 900, Some("away")),
            control("E2", "2026-11-01", "a", 1000, Some("dead")),
            control("E2", "2026-11-01", "c", 1000, Some("alive")),
        ];
        let pooled = ControlSample { unflagged: 1000, answered: 2, missed: 1 };
        assert_eq!(ControlSample::of(&all), Some(pooled));
        all.push(Control {
            area: "880102001".to_owned(),
            ..control("E3", "2026-11-02", "d", 50, Some("alive"))
        });
        assert_eq!(ControlSample::of(&all), Some(ControlSample { unflagged: 1050, answered: 3, missed: 1 }));
    }

    #[test]
    fn wilson_gives_the_published_bounds() {
        // Newcombe 1998, table I, method 3.
        for (hits, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let (l, h) = Share { hits, of }.interval();
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{hits}/{of}: {l} {h}");
        }
        assert_eq!(Share { hits: 12, of: 12 }.interval().1, 1.0);
        assert_eq!(Share::default().interval(), (0.0, 1.0));
    }

    #[test]
    fn a_share_of_few_is_not_told() {
        assert_eq!(Share { hits: 9, of: 9 }.point(), None);
        assert_eq!(Share { hits: 9, of: 9 }.words().en, "too few to tell (9 of 9)");
        assert_eq!(Share::default().words().en, "none judged yet");
        assert_eq!(Share { hits: 0, of: 9 }.words().zh, "太少，尚难判断（0/9）");
        assert_eq!(Share { hits: 15, of: 20 }.words().en, "75.0% (53.1–88.8%)");
        assert_eq!(Share { hits: 15, of: 20 }.words().zh, "75.0%（53.1–88.8%）");
    }

    #[test]
    fn proposals_follow_the_interval_and_not_the_bare_share() {
        let said = |score: Score| score.proposal().0;
        // 0 of 9 would be 0 %; nobody can know.
        assert_eq!(said(score(0, 9, 0, 0)), Proposal::TooFew);
        // 0 of 30: at best 11 %. 0 of 40: at best 8.8 %.
        assert_eq!(said(score(0, 10, 10, 10)), Proposal::Tune);
        assert_eq!(said(score(0, 14, 13, 13)), Proposal::Retire);
        // 3 of 20: at best 36 %; 8 of 20: at best 61 %, of which one reason takes at least 20 % or not.
        assert_eq!(said(score(3, 6, 6, 5)), Proposal::Tune);
        assert_eq!(said(score(8, 4, 4, 4)), Proposal::Keep);
        assert_eq!(said(score(8, 12, 0, 0)), Proposal::Tune);
        assert_eq!(said(score(12, 8, 0, 0)), Proposal::Tune);
        assert_eq!(said(score(14, 6, 0, 0)), Proposal::Keep);
        assert_eq!(said(score(40, 0, 0, 0)), Proposal::Keep);
        assert!(score(8, 12, 0, 0).proposal().1.en.contains("consider an exclusion"));
        assert!(score(8, 0, 0, 12).proposal().1.zh.contains("收紧身份匹配"));
    }

    #[test]
    fn recall_follows_from_precision_and_from_the_sample() {
        // 1,000 flagged at 50 %: 500 found. 100,000 others, 4 of 400 missed: 1,000 missed. A third is found.
        let sample = ControlSample { unflagged: 100_000, answered: 400, missed: 4 };
        let recall = sample.recall(1_000, Share { hits: 50, of: 100 });
        assert!((recall.point.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!(recall.low < 1.0 / 3.0 && 1.0 / 3.0 < recall.high, "{recall:?}");
        // By hand: 500 × (0.4038, 0.5962) and 100,000 × (0.00389, 0.02541).
        assert!((recall.low - 403.8 / (403.8 + 2541.0)).abs() < 1e-3, "{recall:?}");
        assert!((recall.high - 596.2 / (596.2 + 389.0)).abs() < 2e-3, "{recall:?}");
        // Nothing missed among 300 does not mean that nothing is missed.
        let none = ControlSample { unflagged: 100_000, answered: 300, missed: 0 };
        let recall = none.recall(1_000, Share { hits: 50, of: 100 });
        assert_eq!((recall.point, recall.high), (Some(1.0), 1.0));
        assert!(recall.low < 0.5, "{recall:?}");
        assert_eq!(
            ControlSample { answered: 5, ..none }.recall(1_000, Share { hits: 50, of: 100 }).point,
            None
        );
    }
}
