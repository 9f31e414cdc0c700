//! What the ledger learns from outcomes, against a small office whose every figure was computed by hand: the scorecard by
//! version, the queue, and the look-back.

use std::collections::BTreeSet;

use mingcha_ledger::book::{
    Action, Book, Check, Clearance, Deed, Filter, Handout, Moment, Policy, Presence, Stage, Waiver,
};
use mingcha_ledger::lookback::{Account, Sum, look_back};
use mingcha_ledger::queue::{EXPLORE, queue};
use mingcha_ledger::score::{Proposal, Scorecard, Share};
use mingcha_rules::Finding;

use crate::book::{Desk, RULE, Tonight, by, findings, of, with_payment};
use crate::fixture::plain;

/// The day of looking.
pub(crate) const TODAY: &str = "2026-11-25";

fn check(day: &str, document: Option<&str>) -> Check {
    Check {
        by: "li".to_owned(),
        on: day.to_owned(),
        how: "visit".to_owned(),
        document: document.map(str::to_owned),
    }
}

pub(crate) fn id(n: u32) -> String {
    format!("{:032x}", 0x1000 + n)
}

/// A step for each lead of `which`.
pub(crate) fn each(desk: &Desk, day: &str, which: impl IntoIterator<Item = u32>, action: &Action) {
    let ids: Vec<String> = which.into_iter().map(id).collect();
    let filter = Filter { ids, ..Filter::default() };
    desk.open().act(&filter, action, &desk.policy, by(day)).unwrap();
}

pub(crate) fn assign() -> Action {
    Action::Assign { to: Some("li".to_owned()) }
}

pub(crate) fn visit(day: &str) -> Action {
    Action::Check { check: check(day, None), text: String::new() }
}

pub(crate) fn confirm(day: &str) -> Action {
    Action::Confirm { verification: check(day, Some("2026-7")) }
}

pub(crate) fn clear(reason: Clearance) -> Action {
    Action::Clear { reason, text: "as found".to_owned() }
}

pub(crate) fn recover(fen: i64) -> Action {
    Action::Recover { amount_fen: fen, document: format!("R-{fen}"), more_than_owed: None }
}

pub(crate) fn close() -> Action {
    Action::Close { text: "done".to_owned() }
}

pub(crate) fn transfer() -> Action {
    Action::Transfer { to: "police".to_owned(), document: "T-1".to_owned() }
}

/// Forty leads of October: 0 to 11 confirmed, 12 to 17 lawful, 18 and 19 wrong matches, 20 and 21 visited, 22 and 23
/// assigned. Lead n stands for n × 1.01 yuan; every third is of medium severity, the others low.
pub(crate) fn october() -> Desk {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-10-05", findings(40)));
    each(&desk, "2026-10-06", 0..24, &assign());
    each(&desk, "2026-10-10", 0..12, &visit("2026-10-10"));
    each(&desk, "2026-10-10", 20..22, &visit("2026-10-10"));
    each(&desk, "2026-10-15", 0..12, &confirm("2026-10-15"));
    each(&desk, "2026-10-20", 12..20, &visit("2026-10-20"));
    each(&desk, "2026-10-20", 12..18, &clear(Clearance::Legitimate));
    each(&desk, "2026-10-20", 18..20, &clear(Clearance::WrongMatch));
    each(&desk, "2026-10-21", [4], &transfer());
    each(&desk, "2026-10-22", [5], &transfer());
    each(&desk, "2026-10-25", [1], &recover(101));
    each(&desk, "2026-10-25", [2], &recover(100));
    each(&desk, "2026-10-28", [3, 6, 7], &close());
    desk
}

fn about(finding: &mut Finding, from: &str, to: &str) {
    finding.period_from = Some(from.to_owned());
    finding.period_to = Some(to.to_owned());
}

/// November: 1 and 24 are gone; 6, 7 and 12 stand on more, 6 also on something that happened after it was closed; 25
/// grew; 40 is about the subject of 3, 41 about old matters, 42 about new ones of somebody nobody worked on.
pub(crate) fn november(desk: &Desk) {
    let mut all = findings(42);
    all.push(plain(43).remove(42));
    for n in [6, 7, 12] {
        all[n] = with_payment(&all[n], "202511");
    }
    about(&mut all[6], "2025-04-01", "2026-11-01");
    all[25].amount_fen = Some(25 * 101 + 1000);
    all[40].subject_id = all[3].subject_id.clone();
    about(&mut all[40], "2026-11-01", "2026-11-01");
    about(&mut all[42], "2026-11-01", "2026-11-01");
    all.retain(|f| ![id(1), id(24)].contains(&f.finding_id));
    desk.absorb(&Tonight::new("2026-11-02", all));
    each(desk, "2026-11-03", [4], &recover(404));
    let handout = Handout {
        id: "H-1".to_owned(),
        recipient: "office".to_owned(),
        at: "2026-11-05T08:00:00Z".parse().unwrap(),
        expires: "2026-12-05".to_owned(),
        leads: [22, 23, 30].map(id).into(),
        ..Handout::default()
    };
    desk.open().hand_out(&handout, by("2026-11-05")).unwrap();
    each(desk, "2026-11-06", [22], &visit("2026-11-06"));
}

fn read(desk: &Desk) -> Book {
    Book::read(&desk.path()).unwrap()
}

#[test]
fn the_scorecard_is_what_was_planted() {
    let desk = october();
    november(&desk);
    let card = Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap();
    assert_eq!(card.rules.len(), 1);
    let score = &card.rules[0].total;
    assert_eq!(score, &card.all);
    assert_eq!((score.findings, score.at_risk_fen), (43, 101 * 903 + 1000));
    assert_eq!((score.checked, score.confirmed, score.confirmed_fen), (23, 12, 101 * 66));
    assert_eq!(
        score.cleared.clone().into_iter().collect::<Vec<_>>(),
        [(Clearance::Legitimate, 6), (Clearance::WrongMatch, 2)]
    );
    assert_eq!((score.recovered, score.recovered_fen), (3, 101 + 100 + 404));
    // 43 leads and three that began anew are 46 lives: 20 judged, one gone before anybody looked.
    assert_eq!((score.unjudged, score.gone), (25, 1));
    assert_eq!(score.median_days, Some(10));
    assert_eq!(score.precision(), Share { hits: 12, of: 20 });
    assert_eq!(score.precision().words().en, "60.0% (38.7–78.1%)");
    assert_eq!(card.rules[0].proposal, Proposal::Keep);
    // 40 is about the person of 3.
    assert_eq!((card.persons, card.destroyed), (42, 0));
    // The money of the scorecard is the money of the ledger.
    let leads = desk.leads(&Filter::default(), TODAY);
    let ledger: i64 = leads.iter().filter_map(|l| l.lead.amount_fen).sum();
    assert_eq!((leads.len(), ledger), (43, score.at_risk_fen));
    let other = Scorecard::of(&read(&desk), Moment::Now, &["PEN-03".to_owned()]).unwrap();
    assert_eq!(other, Scorecard::default());
}

#[test]
fn a_month_gone_by_is_told_as_it_was_then() {
    let desk = october();
    let then = Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap();
    let mut leads_then = Vec::new();
    read(&desk).courses(Moment::Now, |course| leads_then.push(course)).unwrap();
    november(&desk);
    assert_ne!(Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap(), then);
    let day = Moment::Day("2026-10-31");
    assert_eq!(Scorecard::of(&read(&desk), day, &[]).unwrap(), then);
    let mut leads_now = Vec::new();
    read(&desk).courses(day, |course| leads_now.push(course)).unwrap();
    assert_eq!(leads_now, leads_then, "every field of every lead");
    let mut none = 0;
    read(&desk).courses(Moment::Day("2026-10-04"), |_| none += 1).unwrap();
    assert_eq!(none, 0);
    let (end, day) = read(&desk).end_of(&read(&desk).nights().unwrap()[0].night).unwrap();
    assert_eq!(day, "2026-10-05");
    let mut stages = BTreeSet::new();
    read(&desk)
        .courses(Moment::Event(end), |c| {
            stages.insert((c.lead.stage, c.acts.len()));
        })
        .unwrap();
    assert_eq!(stages, BTreeSet::from([(Stage::New, 1)]));
}

#[test]
fn an_act_entered_late_counts_on_the_day_of_the_act_that_it_follows() {
    let desk = october();
    let fine = Action::Recover {
        amount_fen: 1,
        document: "R-1".to_owned(),
        more_than_owed: Some("a fine".to_owned()),
    };
    each(&desk, "2026-11-10", [0], &fine);
    each(&desk, "2026-10-11", [0], &Action::Note { text: "an old day".to_owned() });
    let mut acts = Vec::new();
    read(&desk)
        .courses(Moment::Now, |c| {
            if c.lead.finding_id == id(0) {
                acts = c.acts
            }
        })
        .unwrap();
    let last = acts.last().unwrap();
    assert_eq!((last.day.as_str(), &last.deed), ("2026-11-10", &Deed::Other("noted".to_owned())));
    assert_eq!(acts[0].deed, Deed::Found);
    assert_eq!((acts[0].day.as_str(), acts[0].amount_fen, acts[0].rule_version), ("2026-10-05", Some(0), 1));
}

#[test]
fn an_outcome_belongs_to_the_version_that_it_judged() {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-10-05", findings(30)));
    each(&desk, "2026-10-06", 0..20, &assign());
    each(&desk, "2026-10-07", 0..12, &visit("2026-10-07"));
    each(&desk, "2026-10-07", 0..12, &clear(Clearance::Legitimate));
    // The next version still finds some of them, has changed one that was judged, and finds others.
    let mut second = findings(40);
    second.retain(|f| (0..6).chain(20..40).map(id).any(|id| id == f.finding_id));
    for finding in &mut second {
        finding.rule_version = 2;
        finding.amount_fen = finding.amount_fen.map(|fen| fen + 100);
    }
    desk.absorb(&Tonight { hash: "text 2".to_owned(), ..Tonight::new("2026-10-20", second) });
    each(&desk, "2026-10-21", 20..40, &assign());
    each(&desk, "2026-10-22", 20..33, &visit("2026-10-22"));
    each(&desk, "2026-10-23", 20..33, &confirm("2026-10-23"));
    // Confirmed, and then not so: the last judgement counts.
    each(&desk, "2026-10-24", [32], &clear(Clearance::WrongData));
    let card = Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap();
    let rule = &card.rules[0];
    let (first, second) = (&rule.versions[&1], &rule.versions[&2]);
    assert_eq!(
        (first.precision(), second.precision()),
        (Share { hits: 0, of: 12 }, Share { hits: 12, of: 13 })
    );
    // 12 judged under the first version and 8 assigned ones that it found and the second does not.
    assert_eq!((first.findings, second.findings, rule.total.findings), (20, 20, 40));
    assert_eq!((first.gone, second.cleared[&Clearance::WrongData]), (8, 1));
    assert_eq!((first.proposal().0, rule.proposal), (Proposal::Tune, Proposal::Keep));
    let words = &rule.because.en;
    assert!(words.starts_with("precision 92.3% (66.7–98.6%)"), "{words}");
    assert!(first.proposal().1.en.contains("legitimate: 12, consider an exclusion"));
}

#[test]
fn what_was_destroyed_is_in_no_figure_and_is_told() {
    let desk = october();
    let destroyed: Vec<String> = [0, 3, 39].map(id).into();
    desk.open().purge(&destroyed, "chief", by("2026-11-01")).unwrap();
    let card = Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap();
    assert_eq!((card.destroyed, card.all.findings, card.all.confirmed), (3, 37, 10));
    // A later night finds one of them again: for the ledger it is new.
    desk.absorb(&Tonight::new("2026-11-02", findings(40)));
    let card = Scorecard::of(&read(&desk), Moment::Now, &[]).unwrap();
    assert_eq!((card.destroyed, card.all.findings, card.all.confirmed), (0, 40, 10));
    let mut acts = Vec::new();
    read(&desk)
        .courses(Moment::Now, |c| {
            if c.lead.finding_id == id(3) {
                acts = c.acts
            }
        })
        .unwrap();
    assert_eq!(acts.len(), 1);
}

#[test]
fn the_look_back_puts_every_lead_into_the_class_that_was_planted() {
    let desk = october();
    november(&desk);
    let look = look_back(&read(&desk), &desk.policy, Moment::Now, TODAY).unwrap();
    let sum = |leads, of: &[u32]| Sum { leads, fen: of.iter().map(|n| i64::from(*n) * 101).sum() };
    // Medium leads that nobody judged in thirty days; and 7, closed, of which more of the old matter came to light.
    assert_eq!(look.classes[&Account::Unfinished], sum(7, &[7, 21, 27, 30, 33, 36, 39]));
    assert_eq!(look.classes[&Account::StillFound], sum(1, &[3]));
    assert_eq!(look.classes[&Account::Stuck], Sum::default());
    assert_eq!(look.classes[&Account::Repeated], sum(2, &[6, 40]));
    assert_eq!(look.done, sum(5, &[1, 3, 4, 6, 7]));
    assert_eq!(look.verified, sum(1, &[1]));
    assert_eq!(look.not_evaluated, sum(1, &[4]));
    assert_eq!(look.squared, Sum::default());
    assert_eq!(look.cleared_and_back, sum(1, &[12]));
    assert_eq!(look.leads[&id(40)], Account::Repeated);
    assert_eq!(look.by_rule[&(Account::Repeated, RULE.to_owned())].leads, 2);
    // Before November nothing newer had been looked at: nothing can be said of what was done.
    let before = look_back(&read(&desk), &desk.policy, Moment::Day("2026-10-31"), "2026-10-31").unwrap();
    assert!(before.classes.values().all(|sum| *sum == Sum::default()), "{before:?}");
    assert_eq!((before.done.leads, before.not_evaluated.leads), (4, 4));
}

#[test]
fn near_misses_of_the_look_back_are_in_no_class() {
    let desk = october();
    // Paid back in full, and the rows of the old payments are still there.
    each(&desk, "2026-10-29", [8], &recover(808));
    each(&desk, "2026-10-29", [8], &close());
    let again = Tonight::new("2026-11-02", findings(40));
    desk.absorb(&again);
    // A waiver covers an overdue one; a rule of another version finds something about a subject that was done.
    let waiver = Waiver {
        rule: Some(RULE.to_owned()),
        subject: Some(desk.lead(&id(39)).subject_id),
        reason: "court pending".to_owned(),
        requester: "zhang".to_owned(),
        approver: "wang".to_owned(),
        from: "2026-11-03".to_owned(),
        expires: "2026-12-31".to_owned(),
        ..Waiver::default()
    };
    desk.open().waive(&waiver, &desk.policy, by("2026-11-03")).unwrap();
    let mut later = findings(41);
    later[40].rule_version = 2;
    later[40].subject_id = later[3].subject_id.clone();
    about(&mut later[40], "2026-11-04", "2026-11-04");
    desk.absorb(&Tonight { hash: "text 2".to_owned(), ..Tonight::new("2026-11-05", later) });
    // A night without an answer proves nothing about what was done after the last one that answered.
    each(&desk, "2026-11-10", [9], &close());
    let silent = Tonight {
        outcome: mingcha_rules::OutcomeKind::NotEvaluated,
        ..Tonight::new("2026-11-12", Vec::new())
    };
    desk.absorb(&silent);
    let look = look_back(&read(&desk), &desk.policy, Moment::Now, TODAY).unwrap();
    assert_eq!((look.squared.leads, look.not_evaluated.leads, look.other_version), (2, 1, 1));
    assert!(!look.leads.contains_key(&id(39)) && look.leads.contains_key(&id(36)));
    assert!(![1, 8, 9, 40].iter().any(|n| look.leads.contains_key(&id(*n))), "{:?}", look.leads);
    assert_eq!(desk.lead(&id(9)).presence, Presence::Live);
}

#[test]
fn what_nobody_moves_is_stuck_and_what_takes_too_long_is_unfinished() {
    let desk = october();
    let look = |day: &str| look_back(&read(&desk), &desk.policy, Moment::Now, day).unwrap();
    // 180 days after 2026-10-05 is 2027-04-03.
    let stuck = |day: &str| look(day).classes[&Account::Stuck].leads;
    assert_eq!(stuck("2027-04-03"), 0);
    // 40, without 8 cleared, 3 closed, and 1, which is paid back in full and so declared done.
    assert_eq!(stuck("2027-04-04"), 28);
    each(&desk, "2027-03-30", [0, 22], &Action::Note { text: "went there".to_owned() });
    let after = look("2027-04-04");
    assert_eq!(after.classes[&Account::Stuck].leads, 26);
    // Somebody moves them; 0 was confirmed more than ninety days ago, 22 is past its deadline.
    assert_eq!(after.leads[&id(0)], Account::Unfinished);
    assert_eq!(after.leads[&id(22)], Account::Unfinished);
    let slow = |day: &str| look(day).leads.get(&id(10)).copied();
    assert_eq!((slow("2027-01-13"), slow("2027-01-14")), (None, Some(Account::Unfinished)));
}

#[test]
fn the_queue_holds_what_is_to_be_checked_and_says_why() {
    let desk = october();
    november(&desk);
    let filter = Filter { open: true, ..Filter::default() };
    let queue = queue(&read(&desk), &filter, &Policy::default(), TODAY).unwrap();
    // 20 to 23 and the 15 of 25 to 39 and 40 to 42, and 6, 7 and 12 again; 24 is gone.
    assert_eq!(queue.len(), 4 + 15 + 3 + 3);
    assert!(
        queue.iter().all(|q| matches!(q.listed.lead.stage, Stage::New | Stage::Assigned | Stage::Checked))
    );
    let explored: Vec<usize> = queue.iter().filter(|q| q.explored).map(|q| q.place).collect();
    assert_eq!(explored, [EXPLORE, 2 * EXPLORE]);
    // All of one rule and grade: 12 of 20. Even leads lie in 880101 (6 of 10), odd ones in 880102 (6 of 10), so that
    // the chance is the same and the greatest amount leads. (12+1)/22, then (12+5p)/25 twice, then (6+5p)/15.
    let mut p = 13.0 / 22.0;
    p = (12.0 + 5.0 * p) / 25.0;
    p = (12.0 + 5.0 * p) / 25.0;
    p = (6.0 + 5.0 * p) / 15.0;
    assert!((queue[0].chance - p).abs() < 1e-12, "{} {p}", queue[0].chance);
    assert_eq!(queue[0].listed.lead.finding_id, id(42));
    assert_eq!(queue[0].expected_fen, Some((4242.0 * p).round() as i64));
    let why = &queue[0].why;
    assert_eq!(
        why.en,
        "25.45 yuan to be expected = 42.42 yuan not yet back × 60.0 % chance of being confirmed (PEN-13 grade A in 880101: 6 of 10 confirmed; PEN-13 grade A: 12 of 20 confirmed)"
    );
    assert!(why.zh.starts_with("预计可追回 25.45 元＝未追回 42.42 元 × 属实可能 60.0%"), "{}", why.zh);
    assert_eq!(queue, queue_again(&desk, &filter), "the lot falls the same");
    let one = queue_again(&desk, &of(&id(30)));
    assert_eq!((one.len(), one[0].place), (1, 1));
    assert!(queue_again(&desk, &of(&id(0))).is_empty(), "confirmed ones need no check");
}

fn queue_again(desk: &Desk, filter: &Filter) -> Vec<mingcha_ledger::queue::Queued> {
    queue(&read(desk), filter, &Policy::default(), TODAY).unwrap()
}
