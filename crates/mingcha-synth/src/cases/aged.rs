//! PEN-08 and PEN-09: long silence, and an age that is hard to believe.

use super::scene::{Actor, Scene};
use super::{Case, each};
use crate::calendar::{after, age};
use crate::places;

/// All kinds of this family.
pub(crate) const CASES: &[Case] = &[
    each("silent at 92 for more than 24 months", silent_92),
    each("silent at 84 for more than 36 months", silent_84),
    each("silent at 74, never certified", silent_74),
    each("silent at 84 in a county that two feeds cover", silent_partly_seen),
    each("silent at 84 but for old weak signs", silent_old_weak_signs),
    each("at 84, a desk certification 30 months ago", strong_sign_at_84),
    each("at 84, a stay in hospital 33 months ago", stay_at_84),
    each("at 92, a desk certification 20 months ago", strong_sign_at_92),
    each("at 84, a pharmacy every month", pharmacy_every_month),
    each("at 74, certified by telephone in time", telephone_in_time),
    each("silent at 69", silent_69),
    each("silent at 84, but already paused", silent_paused),
    each("silent at 84, and died last month", silent_dead),
    each("silent at 84, registered elsewhere now", silent_moved),
    each("silent at 84, lives elsewhere", silent_elsewhere),
    each("silent at 84, lives abroad", silent_abroad),
    each("silent at 84, lives in a care home", silent_care),
    each("silent at 74, in prison", silent_prison),
    each("silent at 84 where only one feed came", silent_unseen),
    each("silent at 84 without a card and never certified", silent_unknown),
    each("103 years old, seen at clinics only", aged_103),
    each("101 years old, at the desk 14 months ago", aged_101_certified_long_ago),
    each("117 years old", aged_117),
    each("116 years old, and at the desk this year", aged_116_certified),
    each("104 years old and silent", aged_104_silent),
    each("102 years old, at the desk five months ago", aged_102_certified),
    each("103 years old, in hospital this year", aged_103_stay),
    each("104 by the number, 74 by the registry", aged_typo),
    each("105 by the number, 75 by the payer's file", aged_typo_payee),
    each("not quite 100 years old", aged_99),
    each("103 years old, but stopped", aged_stopped),
    each("103 years old, but paused", aged_paused),
];

/// A pensioner of this age in payment, without any sign of life.
fn silent(s: &mut Scene<'_>, years: u32) -> Actor {
    let mut actor = s.aged(years);
    enter(s, &mut actor);
    actor
}

fn silent_in(s: &mut Scene<'_>, years: u32, county: usize) -> Actor {
    let mut actor = s.aged_in(years, county);
    enter(s, &mut actor);
    actor
}

fn enter(s: &mut Scene<'_>, actor: &mut Actor) {
    s.enrol(actor);
    s.certified(actor, None, "");
    s.paid(actor, -11, 0);
}

/// The same with signs of the medium kind in each of the last six months: alive enough for PEN-08.
fn seen_at_clinics(s: &mut Scene<'_>, years: u32) -> Actor {
    let actor = silent(s, years);
    for month in -6..=-1 {
        let day = s.day(month, 9);
        s.visit(&actor, day, "clinic", 3_000);
    }
    actor
}

// --- PEN-08 ---

fn silent_92(s: &mut Scene<'_>) {
    let actor = silent(s, 92);
    s.certified(&actor, Some(-27), "01");
    s.hit("PEN-08", &actor);
}

fn silent_84(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.certified(&actor, Some(-40), "01");
    s.hit("PEN-08", &actor);
}

/// Two lineages must be able to see somebody: here the medical feed, and a card that is never used.
fn with_card(s: &mut Scene<'_>, actor: &Actor) {
    let renewed = s.day(-60, 9);
    s.renewal(actor, renewed, "in_person");
}

fn silent_74(s: &mut Scene<'_>) {
    let actor = silent(s, 74);
    with_card(s, &actor);
    s.hit("PEN-08", &actor);
}

/// Two of 24 months are missing, which is less than a fifth; the two medical feeds are one source, and the
/// certifications that were once made are the other.
fn silent_partly_seen(s: &mut Scene<'_>) {
    let actor = silent_in(s, 84, places::PARTLY_SEEN);
    s.certified(&actor, Some(-40), "01");
    s.hit("PEN-08", &actor);
}

fn silent_old_weak_signs(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    let (renewed, tapped) = (s.day(-31, 9), s.day(-30, 9));
    s.renewal(&actor, renewed, "online");
    s.ride(&actor, tapped);
    s.hit("PEN-08", &actor);
}

fn strong_sign_at_84(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.certified(&actor, Some(-30), "01");
    s.near_miss("PEN-08", &actor);
}

fn stay_at_84(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    let (admitted, left) = (s.day(-33, 5), s.day(-33, 12));
    s.stay(&actor, admitted, left);
    s.near_miss("PEN-08", &actor);
}

fn strong_sign_at_92(s: &mut Scene<'_>) {
    let actor = silent(s, 92);
    s.certified(&actor, Some(-20), "01");
    s.near_miss("PEN-08", &actor);
}

/// Weak signs add up: 0.2 in each of twelve months is far above 0.3.
fn pharmacy_every_month(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    for month in -12..=-1 {
        let day = s.day(month, 9);
        s.visit(&actor, day, "pharmacy", 1_500);
    }
    s.near_miss("PEN-08", &actor);
}

/// At 70 to 79 an overdue certification is part of the silence.
fn telephone_in_time(s: &mut Scene<'_>) {
    let actor = silent(s, 74);
    s.certified(&actor, Some(-10), "02");
    s.near_miss("PEN-08", &actor);
}

fn silent_69(s: &mut Scene<'_>) {
    let actor = silent(s, 69);
    s.near_miss("PEN-08", &actor);
}

fn silent_paused(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.paused(&actor, 1);
    s.near_miss("PEN-08", &actor);
}

/// Paid for one month after the death: the ordinary lag.
fn silent_dead(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    let died = s.day(-1, 14);
    s.certificate(&actor, died);
    s.excused("PEN-08", "X-DEAD", &actor);
    s.excused("PEN-03", "X-LAG", &actor);
}

fn silent_moved(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    let moved = s.day(-20, 9);
    s.cancel(&actor, "3", moved, None);
    s.excused("PEN-08", "X-AWAY", &actor);
}

fn silent_elsewhere(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.payee(&actor).residence = "2".into();
    s.excused("PEN-08", "X-AWAY", &actor);
}

fn silent_abroad(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.payee(&actor).residence = "3".into();
    s.excused("PEN-08", "X-AWAY", &actor);
}

fn silent_care(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.payee(&actor).residence = "4".into();
    s.excused("PEN-08", "X-CARE", &actor);
}

/// Imprisoned last month, so that PEN-10 has at most the month that is being paid (its lag).
fn silent_prison(s: &mut Scene<'_>) {
    let actor = silent(s, 74);
    let start = s.day(-1, 9);
    s.custody(&actor, "imprisonment", start, None);
    s.excused("PEN-08", "X-CUSTODY", &actor);
}

fn silent_unseen(s: &mut Scene<'_>) {
    let actor = silent_in(s, 84, places::UNSEEN);
    s.excused("PEN-08", "X-COVERAGE", &actor);
}

/// Hospital and clinic are one feed, and no other knew the person.
fn silent_unknown(s: &mut Scene<'_>) {
    let actor = silent(s, 84);
    s.excused("PEN-08", "X-COVERAGE", &actor);
}

// --- PEN-09 ---

fn aged_103(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 103);
    s.hit("PEN-09", &actor);
}

/// A year has passed, but not the 24 months of PEN-08.
fn aged_101_certified_long_ago(s: &mut Scene<'_>) {
    let actor = silent(s, 101);
    s.certified(&actor, Some(-14), "01");
    s.hit("PEN-09", &actor);
}

fn aged_117(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 117);
    s.hit("PEN-09", &actor);
}

/// From 115 on the record is in doubt whoever was at the desk.
fn aged_116_certified(s: &mut Scene<'_>) {
    let actor = silent(s, 116);
    s.certified(&actor, Some(-3), "01");
    s.hit("PEN-09", &actor);
}

fn aged_104_silent(s: &mut Scene<'_>) {
    let actor = silent(s, 104);
    with_card(s, &actor);
    s.hit("PEN-09", &actor);
    s.hit("PEN-08", &actor);
}

fn aged_102_certified(s: &mut Scene<'_>) {
    let actor = silent(s, 102);
    s.certified(&actor, Some(-5), "01");
    s.excused("PEN-09", "X-ALIVE", &actor);
}

fn aged_103_stay(s: &mut Scene<'_>) {
    let actor = silent(s, 103);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 12));
    s.stay(&actor, admitted, left);
    s.excused("PEN-09", "X-ALIVE", &actor);
}

/// The number may be wrong, not the age; ID-04 says that the two disagree.
fn aged_typo(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 104);
    s.registry(&actor).birth_date = Some(after(actor.identity.birth, 10_957));
    s.excused("PEN-09", "X-TYPO", &actor);
    s.hit("ID-04", &actor);
}

fn aged_typo_payee(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 105);
    s.payee(&actor).birth_date = Some(after(actor.identity.birth, 10_957));
    s.excused("PEN-09", "X-TYPO", &actor);
    s.hit("ID-04", &actor);
}

fn aged_99(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 99);
    debug_assert_eq!(age(actor.identity.birth, s.clock.as_of), 99);
    s.near_miss("PEN-09", &actor);
}

fn aged_stopped(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 103);
    s.stopped(&actor, 0);
    s.near_miss("PEN-09", &actor);
}

fn aged_paused(s: &mut Scene<'_>) {
    let actor = seen_at_clinics(s, 103);
    s.paused(&actor, 1);
    s.near_miss("PEN-09", &actor);
}
