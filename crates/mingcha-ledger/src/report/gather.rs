//! One walk over the courses of leads that counts everything that reports tell: the funnel, what came and went, both
//! ledgers of clues, rules, areas, months. Every figure of a report comes from here, so that figures of one report agree
//! with each other and with the ledger. Knows no words.
//!
//! Amounts are those at risk at the end of the period; what came back is counted as it came. Every lead counts once in a
//! figure, however often the same thing was done to it in the period.

use std::collections::{BTreeMap, BTreeSet};

use mingcha_rules::{Diagnostic, Severity};

use super::parts::gravest;
use crate::book::{Act, Book, Course, Deed, Lead, Light, Moment, Policy, Presence, Stage, same_person};
use crate::lookback::{LookBack, Sum, Waived, Work};
use crate::score::{Scorecard, Tally, days_between, lives};
use crate::sharing::Subjects;

/// Days after which a transferred clue should have an answer (REC-05).
pub(super) const ANSWER_DAYS: i64 = 30;
/// Months that a trend shows.
const MONTHS: usize = 12;

/// The steps of the funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Found,
    Handed,
    Checked,
    Confirmed,
    Recovered,
}

impl Step {
    pub(super) const ALL: [Self; 5] =
        [Self::Found, Self::Handed, Self::Checked, Self::Confirmed, Self::Recovered];
}

/// How many leads came how far.
pub(super) type Funnel = BTreeMap<Step, Sum>;

/// What happened to some leads in the period, and how many are open at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) steps: Funnel,
    pub(super) cleared: Sum,
    pub(super) open: Sum,
}

impl Row {
    pub(super) fn step(&self, step: Step) -> Sum {
        self.steps.get(&step).copied().unwrap_or_default()
    }
}

/// One partner of a two-way ledger: carried + sent − answered = outstanding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) carried: u64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) outstanding: u64,
    pub(super) overdue: u64,
}

/// What is to be counted.
pub(super) struct Scope<'a> {
    /// First day of the period.
    pub(super) from: &'a str,
    /// Its last day.
    pub(super) to: &'a str,
    /// How much of the ledger is looked at.
    pub(super) until: Moment<'a>,
    pub(super) policy: &'a Policy,
    pub(super) wanted: &'a dyn Fn(&Lead) -> bool,
    /// Digits of an area code that make an area.
    pub(super) area_digits: usize,
    /// The most leads that are kept for a list.
    pub(super) keep: usize,
}

/// Everything counted.
#[derive(Default)]
pub(super) struct Gathered {
    /// Leads of the scope.
    pub(super) all: Sum,
    /// What happened in the period.
    pub(super) flow: Funnel,
    pub(super) cleared: Sum,
    /// How far the leads found in the period came by its end.
    pub(super) cohort: Funnel,
    pub(super) opening: Sum,
    pub(super) entered: Sum,
    pub(super) left: Sum,
    pub(super) closing: Sum,
    /// Whom the leads are about that were confirmed in the period, and those that are open at its end.
    pub(super) confirmed_about: Subjects,
    pub(super) open_about: Subjects,
    /// Opened and settled again within the period: neither entered nor left.
    pub(super) within: u64,
    pub(super) trend: BTreeMap<String, Funnel>,
    pub(super) by_rule: BTreeMap<String, Row>,
    pub(super) by_area: BTreeMap<String, Row>,
    /// Open leads.
    pub(super) by_severity: BTreeMap<Severity, Sum>,
    pub(super) by_stage: BTreeMap<Stage, Sum>,
    pub(super) by_light: BTreeMap<Option<Light>, Sum>,
    pub(super) waived: Sum,
    /// Clues to other bodies, and back.
    pub(super) bodies: BTreeMap<String, Traffic>,
    /// Lists to those who check, and back.
    pub(super) recipients: BTreeMap<String, Traffic>,
    pub(super) score: Scorecard,
    pub(super) look: LookBack,
    /// Leads of the scope, gravest and dearest first, as many as were to be kept.
    pub(super) kept: Vec<Lead>,
}

impl Gathered {
    pub(super) fn new(book: &Book, scope: &Scope<'_>) -> Result<Self, Diagnostic> {
        let mut work = Counting {
            out: Self { trend: months(scope.to), ..Self::default() },
            scope,
            lists: Lists::of(book, scope.to)?,
            waived: Box::new(book.waived(scope.to)?),
            tally: Tally::default(),
            look: Work::new(book, scope.until, scope.to)?,
        };
        let mut fault = None;
        let destroyed = book.courses(scope.until, |course| {
            if fault.is_none() && (scope.wanted)(&course.lead) {
                fault = work.add(course).err();
            }
        })?;
        fault.map_or(Ok(()), Err)?;
        let mut out = work.out;
        out.score = work.tally.finish(destroyed);
        out.look = work.look.finish()?;
        gravest(&mut out.kept, scope.keep);
        Ok(out)
    }
}

struct Counting<'a> {
    out: Gathered,
    scope: &'a Scope<'a>,
    lists: Lists,
    waived: Waived,
    tally: Tally,
    look: Work,
}

impl Counting<'_> {
    fn add(&mut self, course: Course) -> Result<(), Diagnostic> {
        let (lead, scope) = (&course.lead, self.scope);
        let fen = lead.amount_fen;
        self.out.all.add(fen)?;
        self.tally.add(&course)?;
        self.look.first(&course, scope.policy)?;
        let handed = self.lists.days_of(&lead.finding_id);
        let facts = Facts::of(&course, handed);
        let mut row = Row::default();
        for (step, month, money) in facts.monthly() {
            if let Some(funnel) = self.out.trend.get_mut(&month) {
                funnel.entry(step).or_default().add(money.or(fen))?;
            }
        }
        for (step, money) in facts.between(scope.from, scope.to) {
            self.out.flow.entry(step).or_default().add(money.or(fen))?;
            if step == Step::Confirmed {
                self.out.confirmed_about.add(lead);
            }
            row.steps.entry(step).or_default().add(money.or(fen))?;
        }
        if facts.cleared.iter().any(|day| within(day, scope)) {
            self.out.cleared.add(fen)?;
            row.cleared.add(fen)?;
        }
        for (step, money) in cohort(&course.acts, handed, scope) {
            self.out.cohort.entry(step).or_default().add(money.or(fen))?;
        }
        self.balance(&course)?;
        traffic(&mut self.out.bodies, &transfers(&course.acts), scope);
        self.lists.answers(&course, &mut self.out.recipients, scope);
        let waived = (self.waived)(lead).is_some();
        if lead.is_open() && waived {
            self.out.waived.add(fen)?;
        }
        if lead.is_open() {
            row.open.add(fen)?;
            self.out.by_severity.entry(lead.severity).or_default().add(fen)?;
            self.out.by_stage.entry(lead.stage).or_default().add(fen)?;
            let light = if waived { None } else { scope.policy.light(lead, scope.to) };
            self.out.by_light.entry(light).or_default().add(fen)?;
        }
        let area = lead.area_code.as_deref().unwrap_or("").trim().chars().take(scope.area_digits).collect();
        merge(self.out.by_rule.entry(lead.rule_id.clone()).or_default(), &row)?;
        merge(self.out.by_area.entry(area).or_default(), &row)?;
        if scope.keep > 0 {
            self.out.kept.push(course.lead);
            if self.out.kept.len() >= scope.keep.saturating_mul(4).max(1000) {
                gravest(&mut self.out.kept, scope.keep);
            }
        }
        Ok(())
    }

    /// What was open before, what is open after.
    fn balance(&mut self, course: &Course) -> Result<(), Diagnostic> {
        let fen = course.lead.amount_fen;
        let before = course.acts.iter().take_while(|act| act.day.as_str() < self.scope.from).count();
        let (was, is) = (is_open(&course.acts[..before]), course.lead.is_open());
        if was {
            self.out.opening.add(fen)?;
        }
        if is {
            self.out.closing.add(fen)?;
            self.out.open_about.add(&course.lead);
        }
        match (was, is) {
            (false, true) => self.out.entered.add(fen)?,
            (true, false) => self.out.left.add(fen)?,
            (false, false) => {
                let acts = &course.acts;
                let opened = (before + 1..=acts.len()).any(|n| is_open(&acts[..n]));
                self.out.within += u64::from(opened);
            }
            (true, true) => {}
        }
        Ok(())
    }
}

fn merge(into: &mut Row, row: &Row) -> Result<(), Diagnostic> {
    let add = |into: &mut Sum, sum: Sum| -> Result<(), Diagnostic> {
        into.leads += sum.leads;
        into.fen = crate::record::add_fen(into.fen, sum.fen)?;
        Ok(())
    };
    for (step, sum) in &row.steps {
        add(into.steps.entry(*step).or_default(), *sum)?;
    }
    add(&mut into.cleared, row.cleared)?;
    add(&mut into.open, row.open)
}

fn within(day: &str, scope: &Scope<'_>) -> bool {
    scope.from <= day && day <= scope.to
}

/// Whether a lead was open after `acts`.
fn is_open(acts: &[Act]) -> bool {
    let (mut live, mut new, mut done) = (false, true, false);
    for act in acts {
        match act.deed {
            Deed::Found | Deed::ReopenedByHand | Deed::Reopened { anew: true } => {
                live = live || !matches!(act.deed, Deed::ReopenedByHand);
                (new, done) = (true, false);
            }
            Deed::Reopened { anew: false } | Deed::Returned | Deed::Changed(_) => live = true,
            Deed::Resolved | Deed::Withdrawn => live = false,
            Deed::Assigned(_)
            | Deed::Checked
            | Deed::Confirmed
            | Deed::Transferred(_)
            | Deed::Recovered(_) => {
                (new, done) = (false, false);
            }
            Deed::Cleared(_) | Deed::Closed => (new, done) = (false, true),
            Deed::Handled | Deed::Other(_) => {}
        }
    }
    !acts.is_empty() && if new { live } else { !done }
}

/// The days on which a lead took the steps of the funnel.
struct Facts {
    days: BTreeSet<(Step, String)>,
    recovered: BTreeMap<String, i64>,
    cleared: Vec<String>,
}

impl Facts {
    fn of(course: &Course, handed: &[String]) -> Self {
        let mut days: BTreeSet<(Step, String)> =
            handed.iter().map(|day| (Step::Handed, day.clone())).collect();
        let mut recovered: BTreeMap<String, i64> = BTreeMap::new();
        for act in &course.acts {
            let step = match &act.deed {
                Deed::Found | Deed::Reopened { .. } | Deed::ReopenedByHand => Step::Found,
                Deed::Assigned(_) => Step::Handed,
                Deed::Checked | Deed::Cleared(_) | Deed::Confirmed => Step::Checked,
                Deed::Recovered(fen) => {
                    let day = recovered.entry(act.day.clone()).or_default();
                    // Beyond all money: the ledger itself refuses such a sum.
                    *day = day.saturating_add(*fen);
                    Step::Recovered
                }
                _ => continue,
            };
            days.insert((step, act.day.clone()));
        }
        let mut cleared = Vec::new();
        for verdict in lives(course).into_iter().filter_map(|life| life.verdict) {
            if verdict.cleared.is_none() {
                days.insert((Step::Confirmed, verdict.day));
            } else {
                cleared.push(verdict.day);
            }
        }
        Self { days, recovered, cleared }
    }

    /// Each step once per month, with the money that came back.
    fn monthly(&self) -> BTreeSet<(Step, String, Option<i64>)> {
        let month = |day: &str| day.get(..7).unwrap_or(day).to_owned();
        let steps: BTreeSet<(Step, String)> =
            self.days.iter().map(|(step, day)| (*step, month(day))).collect();
        let money = |step: Step, of: &str| {
            (step == Step::Recovered)
                .then(|| self.recovered.iter().filter(|(day, _)| month(day) == of).map(|(_, fen)| *fen).sum())
        };
        steps.into_iter().map(|(step, month)| (step, month.clone(), money(step, &month))).collect()
    }

    /// Each step once, if it was taken between two days.
    fn between(&self, from: &str, to: &str) -> BTreeMap<Step, Option<i64>> {
        let inside = |day: &str| from <= day && day <= to;
        let steps: BTreeSet<Step> =
            self.days.iter().filter(|(_, day)| inside(day)).map(|(step, _)| *step).collect();
        let money: i64 = self.recovered.iter().filter(|(day, _)| inside(day)).map(|(_, fen)| *fen).sum();
        steps.into_iter().map(|step| (step, (step == Step::Recovered).then_some(money))).collect()
    }
}

/// How far a lead that was found in the period came by its end, counted from when it was found.
fn cohort(acts: &[Act], handed: &[String], scope: &Scope<'_>) -> BTreeMap<Step, Option<i64>> {
    let found = |act: &Act| matches!(act.deed, Deed::Found | Deed::Reopened { .. } | Deed::ReopenedByHand);
    let Some(start) = acts.iter().rposition(|act| found(act) && within(&act.day, scope)) else {
        return BTreeMap::new();
    };
    let mut steps = BTreeMap::from([(Step::Found, None)]);
    let (mut confirmed, mut back) = (false, 0_i64);
    for act in &acts[start..] {
        match &act.deed {
            Deed::Assigned(_) => drop(steps.insert(Step::Handed, None)),
            Deed::Checked => drop(steps.insert(Step::Checked, None)),
            Deed::Confirmed | Deed::Cleared(_) => {
                confirmed = act.deed == Deed::Confirmed;
                steps.insert(Step::Checked, None);
            }
            Deed::Recovered(fen) => {
                back = back.saturating_add(*fen);
                steps.insert(Step::Recovered, Some(back));
            }
            _ => {}
        }
    }
    if handed.iter().any(|day| *day >= acts[start].day && day.as_str() <= scope.to) {
        steps.insert(Step::Handed, None);
    }
    if confirmed {
        steps.insert(Step::Confirmed, None);
    }
    steps
}

/// Something sent: to whom, when, and when the answer came.
struct Sent {
    to: String,
    on: String,
    answered: Option<String>,
}

/// Clues that went to other bodies. A result is an answer, and so is that it was handed on to another body.
fn transfers(acts: &[Act]) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    for act in acts {
        let answers = matches!(
            act.deed,
            Deed::Cleared(_)
                | Deed::Recovered(_)
                | Deed::Closed
                | Deed::Transferred(_)
                | Deed::ReopenedByHand
        );
        if let Some(open) = sent.last_mut().filter(|last| answers && last.answered.is_none()) {
            open.answered = Some(act.day.clone());
        }
        if let Deed::Transferred(to) = &act.deed {
            sent.push(Sent { to: to.clone(), on: act.day.clone(), answered: None });
        }
    }
    sent
}

fn traffic(ledger: &mut BTreeMap<String, Traffic>, sent: &[Sent], scope: &Scope<'_>) {
    for Sent { to, on, answered } in sent.iter().filter(|sent| sent.on.as_str() <= scope.to) {
        let answered = answered.as_ref().filter(|day| day.as_str() <= scope.to);
        if answered.is_some_and(|day| day.as_str() < scope.from) {
            continue;
        }
        let line = ledger.entry(to.clone()).or_default();
        line.carried += u64::from(on.as_str() < scope.from);
        line.sent += u64::from(on.as_str() >= scope.from);
        line.answered += u64::from(answered.is_some());
        line.outstanding += u64::from(answered.is_none());
        let old = days_between(on, scope.to).is_some_and(|days| days > ANSWER_DAYS);
        line.overdue += u64::from(answered.is_none() && old);
    }
}

/// The lists that left the house, by lead.
struct Lists {
    /// Lead -> recipient, first day, day on which a later list took it back.
    of: BTreeMap<String, Vec<(String, String, Option<String>)>>,
    days: BTreeMap<String, Vec<String>>,
}

impl Lists {
    fn of(book: &Book, to: &str) -> Result<Self, Diagnostic> {
        let mut lists = Self { of: BTreeMap::new(), days: BTreeMap::new() };
        for handout in book.handouts()? {
            let day = String::from(book.zone().day(&handout.at));
            if day.as_str() > to {
                continue;
            }
            for lead in &handout.cancels {
                let held = lists.of.get_mut(lead).into_iter().flatten();
                held.filter(|held| same_person(&held.0, &handout.recipient) && held.2.is_none())
                    .for_each(|held| held.2 = Some(day.clone()));
            }
            for lead in &handout.leads {
                lists.days.entry(lead.clone()).or_default().push(day.clone());
                let held = lists.of.entry(lead.clone()).or_default();
                if !held.iter().any(|held| same_person(&held.0, &handout.recipient) && held.2.is_none()) {
                    held.push((handout.recipient.clone(), day.clone(), None));
                }
            }
        }
        Ok(lists)
    }

    fn days_of(&self, lead: &str) -> &[String] {
        self.days.get(lead).map_or(&[], Vec::as_slice)
    }

    /// A result entered after the list went out is the answer; so is that a later list took it back.
    fn answers(&self, course: &Course, ledger: &mut BTreeMap<String, Traffic>, scope: &Scope<'_>) {
        let held = self.of.get(&course.lead.finding_id).into_iter().flatten();
        let sent: Vec<Sent> = held
            .map(|(recipient, on, back)| {
                let result = |act: &&Act| {
                    matches!(act.deed, Deed::Checked | Deed::Confirmed | Deed::Cleared(_) | Deed::Closed)
                        && act.day >= *on
                };
                let result = course.acts.iter().find(result).map(|act| act.day.clone());
                let answered = match (result, back.clone()) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                Sent { to: recipient.clone(), on: on.clone(), answered }
            })
            .collect();
        traffic(ledger, &sent, scope);
    }
}

/// The months that end with the month of `to`.
fn months(to: &str) -> BTreeMap<String, Funnel> {
    let part = |range: std::ops::Range<usize>| to.get(range).and_then(|text| text.parse::<usize>().ok());
    let (Some(year), Some(month)) = (part(0..4), part(5..7)) else { return BTreeMap::new() };
    let last = year * 12 + month - 1;
    (0..MONTHS.min(last))
        .map(|back| last - back)
        .map(|n| (format!("{:04}-{:02}", n / 12, n % 12 + 1), Funnel::new()))
        .collect()
}

/// Whether a lead is in the data.
pub(super) fn is_live(lead: &Lead) -> bool {
    lead.presence == Presence::Live
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_ends_with_its_month_and_crosses_the_year() {
        let names: Vec<String> = months("2026-03-31").into_keys().collect();
        assert_eq!((names.len(), names[0].as_str(), names[11].as_str()), (12, "2025-04", "2026-03"));
        assert_eq!(months("nonsense").len(), 0);
    }
}
