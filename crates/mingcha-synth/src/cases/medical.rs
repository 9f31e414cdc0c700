//! MED-01 and MED-02: the fund pays for the dead, and one person lies in two hospitals.

use chrono::NaiveDateTime;

use super::scene::{Actor, Scene};
use super::{Case, each};
use crate::calendar::{after, moment};
use crate::places;
use crate::records::{Fen, Stay};

/// All kinds of this family.
pub(crate) const CASES: &[Case] = &[
    each("a pharmacy purchase two months after a certificate", pharmacy_after_death),
    each("a pharmacy purchase two days after a certificate", pharmacy_on_second_day),
    each("a pharmacy purchase after a cremation", pharmacy_after_cremation),
    each("a pharmacy purchase after a registered death", pharmacy_after_registered_death),
    each("the fund paid a stay after a certificate", stay_after_death),
    each("the fund paid a clinic after a registered death", clinic_after_death),
    each("a purchase on the day after the death", pharmacy_on_next_day),
    each("a purchase after the death, nothing from the fund", own_money),
    each("a purchase after a death under another name", pharmacy_other_name),
    each("stay, desk and purchase after a registered death", pharmacy_but_alive),
    each("a purchase after a death that only a hospital tells", pharmacy_after_hospital_death),
    each("a purchase before a cancellation without a day of death", pharmacy_before_cancellation),
    each("two hospitals for three days", two_hospitals),
    each("two hospitals for exactly 24 hours", two_hospitals_one_day),
    each("one stay inside another elsewhere", stay_within_stay),
    each("moved to another hospital, but 72 hours in both", transfer_too_long),
    each("two hospitals for 23 hours", overlap_23_hours),
    each("two hospitals back to back", back_to_back),
    each("moved to another hospital, 30 hours in both", transfer),
    each("moved to a community hospital, 40 hours in both", transfer_to_community),
    each("one discharge is missing", open_stay),
    each("a home bed during a stay", home_bed),
    each("day surgery elsewhere during a stay", day_surgery),
    each("the newborn under the mother's number", newborn),
    each("another name in the second hospital", second_hospital_other_name),
    each("two stays in one hospital at once", same_hospital),
    each("two people of one name in two hospitals", namesakes_in_hospital),
];

// --- MED-01 ---

/// Somebody without a pension, dead by certificate.
fn certified_dead(s: &mut Scene<'_>) -> Actor {
    let actor = s.person();
    let died = s.day(-8, 10);
    s.certificate(&actor, died);
    actor
}

/// The same, with a pharmacy purchase so many days later. A purchase is a weak sign: PEN-07 stays silent.
fn pharmacy_after(s: &mut Scene<'_>, days: u64, fund: i64) -> Actor {
    let actor = certified_dead(s);
    let day = after(s.day(-8, 10), days);
    s.visit(&actor, day, "pharmacy", fund);
    actor
}

fn pharmacy_after_death(s: &mut Scene<'_>) {
    let actor = pharmacy_after(s, 60, 4_000);
    s.hit("MED-01", &actor);
}

fn pharmacy_on_second_day(s: &mut Scene<'_>) {
    let actor = pharmacy_after(s, 2, 4_000);
    s.hit("MED-01", &actor);
}

fn pharmacy_on_next_day(s: &mut Scene<'_>) {
    let actor = pharmacy_after(s, 1, 4_000);
    s.near_miss("MED-01", &actor);
}

fn own_money(s: &mut Scene<'_>) {
    let actor = pharmacy_after(s, 60, 0);
    s.near_miss("MED-01", &actor);
}

fn pharmacy_after_cremation(s: &mut Scene<'_>) {
    let actor = s.person();
    let (cremated, bought) = (s.day(-8, 10), s.day(-5, 10));
    s.cremation(&actor, cremated);
    s.visit(&actor, bought, "pharmacy", 4_000);
    s.hit("MED-01", &actor);
}

fn pharmacy_after_registered_death(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, bought) = (s.day(-8, 10), s.day(-5, 10));
    s.cancel(&actor, "1", after(died, 9), Some(died));
    s.visit(&actor, bought, "pharmacy", 4_000);
    s.hit("MED-01", &actor);
}

/// One strong source only, so PEN-07 and MED-01 both ask.
fn stay_after_death(s: &mut Scene<'_>) {
    let actor = certified_dead(s);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 12));
    s.stay(&actor, admitted, left);
    s.hit("MED-01", &actor);
    s.hit("PEN-07", &actor);
}

fn clinic_after_death(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, seen) = (s.day(-8, 10), s.day(-5, 10));
    s.cancel(&actor, "1", after(died, 9), Some(died));
    s.visit(&actor, seen, "clinic", 4_000);
    s.hit("MED-01", &actor);
    s.hit("PEN-07", &actor);
}

fn pharmacy_other_name(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let (died, bought) = (s.day(-8, 10), s.day(-5, 10));
    let name = s.strange_name(&actor);
    s.certificate(&actor, died).name = name.into();
    s.visit(&actor, bought, "pharmacy", 4_000);
    s.excused("MED-01", "X-IDCONF", &actor);
    s.excused("PEN-03", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// Two strong sources: the death is in doubt, not the bill.
fn pharmacy_but_alive(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -8);
    s.paused(&actor, -7);
    let (died, bought) = (s.day(-8, 10), s.day(-5, 10));
    s.cancel(&actor, "1", after(died, 9), Some(died));
    s.visit(&actor, bought, "pharmacy", 4_000);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 12));
    s.stay(&actor, admitted, left);
    s.certified(&actor, Some(-1), "01");
    s.excused("MED-01", "X-ALIVE", &actor);
    s.hit("PEN-07", &actor);
}

/// A discharge is no grade A evidence.
fn pharmacy_after_hospital_death(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, bought) = (s.day(-8, 10), s.day(-5, 10));
    s.hospital_death(&actor, died);
    s.visit(&actor, bought, "pharmacy", 4_000);
    s.near_miss("MED-01", &actor);
}

fn pharmacy_before_cancellation(s: &mut Scene<'_>) {
    let actor = s.person();
    let (bought, cancelled) = (s.day(-5, 10), s.day(-4, 10));
    s.visit(&actor, bought, "pharmacy", 4_000);
    s.cancel(&actor, "1", cancelled, None);
    s.near_miss("MED-01", &actor);
}

// --- MED-02 ---

/// A stay of six days in the first hospital of the county, and one elsewhere that begins so many hours
/// before its end and lasts six days too. Lends the two rows to be changed.
fn overlapping(s: &mut Scene<'_>, hours: u32) -> (Actor, usize) {
    let actor = s.person();
    let first = s.rows.stays.len();
    let (admitted, left) = (s.day(-5, 3), s.day(-5, 9));
    s.stay(&actor, admitted, left);
    let ends = moment(left, 15 * 60);
    let begins = ends - chrono::Duration::hours(i64::from(hours));
    let row = s.stay(&actor, admitted, left);
    row.hospital_code = places::hospital(actor.county, 1).into();
    row.admit_time = Some(begins);
    row.discharge_time = Some(begins + chrono::Duration::hours(24 * 6));
    (actor, first)
}

fn row<'s>(s: &'s mut Scene<'_>, index: usize) -> &'s mut Stay {
    &mut s.rows.stays[index]
}

fn two_hospitals(s: &mut Scene<'_>) {
    let (actor, _) = overlapping(s, 72);
    s.hit("MED-02", &actor);
}

fn two_hospitals_one_day(s: &mut Scene<'_>) {
    let (actor, _) = overlapping(s, 24);
    s.hit("MED-02", &actor);
}

fn stay_within_stay(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 96);
    let end: Option<NaiveDateTime> = row(s, first).discharge_time;
    let stay = row(s, first + 1);
    stay.discharge_time = end.map(|e| e - chrono::Duration::hours(40));
    s.hit("MED-02", &actor);
}

fn transfer_too_long(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    row(s, first).discharge_mode = "2".into();
    s.hit("MED-02", &actor);
}

fn overlap_23_hours(s: &mut Scene<'_>) {
    let (actor, _) = overlapping(s, 23);
    s.excused("MED-02", "X-SHORT", &actor);
}

fn back_to_back(s: &mut Scene<'_>) {
    let (actor, _) = overlapping(s, 0);
    s.near_miss("MED-02", &actor);
}

fn transfer(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 30);
    row(s, first).discharge_mode = "2".into();
    s.excused("MED-02", "X-TRANSFER", &actor);
}

fn transfer_to_community(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 40);
    row(s, first).discharge_mode = "3".into();
    s.excused("MED-02", "X-TRANSFER", &actor);
}

fn open_stay(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    row(s, first).discharge_time = None;
    s.excused("MED-02", "X-OPEN", &actor);
}

fn home_bed(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    row(s, first).ward_type = "home_bed".into();
    s.excused("MED-02", "X-WARD", &actor);
}

fn day_surgery(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    row(s, first + 1).ward_type = "day_surgery".into();
    s.excused("MED-02", "X-WARD", &actor);
}

/// The child's bed is booked on the mother: another person, but a known custom and no confusion of numbers.
fn newborn(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    let stay = row(s, first + 1);
    stay.name = format!("{}之子", actor.name).into();
    stay.diagnosis = "新生儿黄疸".into();
    s.excused("MED-02", "X-NEWBORN", &actor);
    s.excused("ID-02", "X-NEWBORN", &actor);
}

fn second_hospital_other_name(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    let name = s.strange_name(&actor);
    row(s, first + 1).name = name.into();
    s.excused("MED-02", "X-NEWBORN", &actor);
    s.hit("ID-02", &actor);
}

fn same_hospital(s: &mut Scene<'_>) {
    let (actor, first) = overlapping(s, 72);
    let hospital = row(s, first).hospital_code.clone();
    let stay = row(s, first + 1);
    stay.hospital_code = hospital;
    stay.fund_paid = Some(Fen(90_000));
    s.near_miss("MED-02", &actor);
}

fn namesakes_in_hospital(s: &mut Scene<'_>) {
    let actor = s.person();
    let other = s.namesake_elsewhere(&actor);
    let (admitted, left) = (s.day(-5, 3), s.day(-5, 9));
    s.stay(&actor, admitted, left);
    s.stay(&other, admitted, left).hospital_code = places::hospital(actor.county, 1).into();
    s.near_miss("MED-02", &actor);
}
