//! PEN-05, PEN-06 and PEN-07: stopped too late, sources that disagree about the day of a death, and life
//! after a death.

use super::death::Source;
use super::scene::{Actor, Scene};
use super::{Case, each};
use crate::calendar::after;

/// All kinds of this family.
pub(crate) const CASES: &[Case] = &[
    each("stopped three months late", stopped_late),
    each("paused three months late", paused_late),
    each("stopped three months late, one of them recovered", stopped_late_partly_recovered),
    each("cremated, stopped three months late", stopped_late_after_cremation),
    each("stopped with the month of death", stopped_in_time),
    each("paused with the month after the death", paused_in_time),
    each("paused long before the death", paused_before_death),
    each("stopped one month late", stopped_with_lag),
    each("stopped three months late, everything recovered", stopped_late_recovered),
    each("stopped late after a death under another name", stopped_late_other_name),
    each("paused after a death, then in hospital", paused_but_alive),
    each("stopped late after a death, and certified at the desk since", stopped_late_certified),
    each("stopped without a month on record", stopped_without_month),
    each("stopped for joining another scheme, no death", stopped_without_death),
    each("stopped late after a death that only a hospital tells", stopped_late_hospital_only),
    each("certificate and registry four months apart", four_months_apart),
    each("certificate and registry four months apart, paid in between", four_months_apart_paid),
    each("cremated 45 days after the certificate", cremated_late),
    each("certificate and registry 32 days apart", thirty_two_days_apart),
    each("certificate and registry 31 days apart", thirty_one_days_apart),
    each("certificate and registry ten days apart", ten_days_apart),
    each("the registry gives the day of cancellation as day of death", registration_date),
    each("the certificate four months apart bears another name", certificate_other_name),
    each("the hospital tells another month than the certificate", hospital_differs),
    each("the hospital tells a day five days before the certificate's", hospital_near),
    each("the registry has no day of death", registry_without_day),
    each("the reissued certificate agrees with the registry", reissue_agrees),
    each("two strong signs of different sources after a registered death", wrongly_registered),
    each("a stay in hospital after a certificate", stay_after_certificate),
    each("a clinic visit after a certificate", clinic_after_certificate),
    each("a clinic visit four days after a certificate", clinic_on_fourth_day),
    each("a card renewed in person after a cremation", renewal_after_cremation),
    each("a clinic visit after a death in hospital", clinic_after_hospital_death),
    each("a certification by telephone after a registered death", telephone_after_death),
    each("a clinic visit three days after a certificate", clinic_on_third_day),
    each("a pharmacy, a bus and an online renewal after a death", weak_signs),
    each("a clinic visit after a death under another name", clinic_other_name),
    each("all signs lie before the death", signs_before_death),
    each("signs after moving away", signs_after_moving),
];

/// A pensioner paid until `last`, dead in `died` by the source.
fn dead(s: &mut Scene<'_>, source: Source, died: i32, last: i32) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, last);
    let died = s.day(died, 14);
    source.tell(s, &actor, died);
    actor
}

// --- PEN-05 ---

fn stopped_late(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -3);
    s.stopped(&actor, -3);
    s.hit("PEN-05", &actor);
    s.hit("PEN-01", &actor);
}

fn paused_late(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Certificate, -6, -3);
    s.paused(&actor, -2);
    s.hit("PEN-05", &actor);
    s.hit("PEN-03", &actor);
}

fn stopped_late_partly_recovered(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -3);
    s.stopped(&actor, -3);
    s.refunded(&actor, -5, -5);
    s.hit("PEN-05", &actor);
    s.hit("PEN-01", &actor);
}

fn stopped_late_after_cremation(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Cremation, -6, -3);
    s.stopped(&actor, -3);
    s.hit("PEN-05", &actor);
    s.hit("PEN-02", &actor);
}

fn stopped_in_time(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -6);
    s.stopped(&actor, -6);
    s.excused("PEN-05", "X-STOPPED", &actor);
}

fn paused_in_time(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Certificate, -6, -6);
    s.paused(&actor, -5);
    s.excused("PEN-05", "X-STOPPED", &actor);
}

fn paused_before_death(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -3, -7);
    s.paused(&actor, -6);
    s.excused("PEN-05", "X-STOPPED", &actor);
}

fn stopped_with_lag(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -5);
    s.stopped(&actor, -5);
    s.excused("PEN-05", "X-LAG", &actor);
    s.excused("PEN-01", "X-LAG", &actor);
}

fn stopped_late_recovered(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -3);
    s.stopped(&actor, -3);
    s.refunded(&actor, -5, -3);
    s.excused("PEN-05", "X-CLAWED", &actor);
    s.excused("PEN-01", "X-CLAWED", &actor);
}

fn stopped_late_other_name(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Certificate, -6, -3);
    s.stopped(&actor, -3);
    let name = s.strange_name(&actor);
    if let Some(row) = s.rows.certificates.last_mut() {
        row.name = name.into();
    }
    s.excused("PEN-05", "X-IDCONF", &actor);
    s.excused("PEN-03", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// A hospital had the person after the registered death, two months ago.
fn paused_but_alive(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -9, -6);
    s.paused(&actor, -5);
    let (admitted, left) = (s.day(-2, 5), s.day(-2, 11));
    s.own_stay(&actor, admitted, left);
    s.excused("PEN-05", "X-ALIVE", &actor);
    s.excused("PEN-01", "X-ALIVE", &actor);
    s.hit("PEN-07", &actor);
}

/// A certification alone, at the desk too, proves nothing.
fn stopped_late_certified(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -9, -6);
    s.paused(&actor, -5);
    s.certified(&actor, Some(-2), "01");
    s.hit("PEN-05", &actor);
    s.hit("PEN-01", &actor);
    s.hit("PEN-07", &actor);
}

fn stopped_without_month(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -6);
    s.payee(&actor).status = "3".into();
    s.near_miss("PEN-05", &actor);
}

fn stopped_without_death(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -3);
    s.stopped(&actor, -3);
    s.payee(&actor).stop_reason = "1407".into();
    s.near_miss("PEN-05", &actor);
}

/// A discharge is no grade A evidence: PEN-04 speaks, PEN-05 does not.
fn stopped_late_hospital_only(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Hospital, -6, -3);
    s.stopped(&actor, -3);
    s.near_miss("PEN-05", &actor);
    s.hit("PEN-04", &actor);
}

// --- PEN-06 ---

/// Somebody without a pension, certified dead on a day and dead by the registry some days later.
fn apart(s: &mut Scene<'_>, days: u64) -> Actor {
    let actor = s.person();
    let died = s.day(-6, 10);
    s.certificate(&actor, died);
    let registered = after(died, days);
    s.cancel(&actor, "1", after(registered, 9), Some(registered));
    actor
}

fn four_months_apart(s: &mut Scene<'_>) {
    let actor = apart(s, 121);
    s.hit("PEN-06", &actor);
}

/// Stopped by the registry's day: four months too many by the certificate (PEN-03, PEN-05).
fn four_months_apart_paid(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -2);
    s.stopped(&actor, -2);
    let (died, registered) = (s.day(-6, 10), s.day(-2, 8));
    s.certificate(&actor, died);
    s.cancel(&actor, "1", after(registered, 9), Some(registered));
    s.hit("PEN-06", &actor);
    s.hit("PEN-05", &actor);
    s.hit("PEN-03", &actor);
}

fn cremated_late(s: &mut Scene<'_>) {
    let actor = s.person();
    let died = s.day(-6, 10);
    s.certificate(&actor, died);
    s.cremation(&actor, after(died, 45));
    s.hit("PEN-06", &actor);
}

fn thirty_two_days_apart(s: &mut Scene<'_>) {
    let actor = apart(s, 32);
    s.hit("PEN-06", &actor);
}

fn thirty_one_days_apart(s: &mut Scene<'_>) {
    let actor = apart(s, 31);
    s.near_miss("PEN-06", &actor);
}

fn ten_days_apart(s: &mut Scene<'_>) {
    let actor = apart(s, 10);
    s.near_miss("PEN-06", &actor);
}

/// Certificate and crematorium agree; the registry's day of death is the day it was told.
fn registration_date(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, cancelled) = (s.day(-6, 10), s.day(-2, 8));
    s.certificate(&actor, died);
    s.cremation(&actor, after(died, 3));
    s.cancel(&actor, "1", cancelled, Some(cancelled));
    s.excused("PEN-06", "X-REGDATE", &actor);
}

fn certificate_other_name(s: &mut Scene<'_>) {
    let actor = apart(s, 121);
    let name = s.strange_name(&actor);
    if let Some(row) = s.rows.certificates.last_mut() {
        row.name = name.into();
    }
    s.excused("PEN-06", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// A hospital's discharge as died is the earliest witness there is.
fn hospital_differs(s: &mut Scene<'_>) {
    let actor = s.person();
    let (discharged, died) = (s.day(-6, 10), s.day(-3, 10));
    s.hospital_death(&actor, discharged);
    s.certificate(&actor, died);
    s.hit("PEN-06", &actor);
}

fn hospital_near(s: &mut Scene<'_>) {
    let actor = s.person();
    let discharged = s.day(-6, 10);
    s.hospital_death(&actor, discharged);
    s.certificate(&actor, after(discharged, 5));
    s.near_miss("PEN-06", &actor);
}

fn registry_without_day(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, cancelled) = (s.day(-6, 10), s.day(-2, 10));
    s.certificate(&actor, died);
    s.cancel(&actor, "1", cancelled, None);
    s.near_miss("PEN-06", &actor);
}

fn reissue_agrees(s: &mut Scene<'_>) {
    let actor = s.person();
    let (wrong, died) = (s.day(-6, 10), s.day(-2, 10));
    s.certificate(&actor, wrong);
    s.certificate(&actor, died).version = Some(2);
    s.cancel(&actor, "1", after(died, 9), Some(died));
    s.near_miss("PEN-06", &actor);
}

// --- PEN-07 ---

/// Hospital and desk saw the person: restore the pension. The fund paid the stay, and MED-01 stays silent too.
fn wrongly_registered(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -9, -9);
    s.paused(&actor, -8);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 12));
    s.stay(&actor, admitted, left);
    s.certified(&actor, Some(-2), "01");
    s.hit("PEN-07", &actor);
    s.excused("MED-01", "X-ALIVE", &actor);
}

fn stay_after_certificate(s: &mut Scene<'_>) {
    let actor = s.person();
    let died = s.day(-8, 10);
    s.certificate(&actor, died);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 12));
    s.own_stay(&actor, admitted, left);
    s.hit("PEN-07", &actor);
}

/// Somebody without a pension, dead by certificate, at a clinic so many days later at the own expense.
fn clinic_after(s: &mut Scene<'_>, days: u64) -> Actor {
    let actor = s.person();
    let died = s.day(-8, 10);
    s.certificate(&actor, died);
    s.visit(&actor, after(died, days), "clinic", 0);
    actor
}

fn clinic_after_certificate(s: &mut Scene<'_>) {
    let actor = clinic_after(s, 60);
    s.hit("PEN-07", &actor);
}

fn clinic_on_fourth_day(s: &mut Scene<'_>) {
    let actor = clinic_after(s, 4);
    s.hit("PEN-07", &actor);
}

fn clinic_on_third_day(s: &mut Scene<'_>) {
    let actor = clinic_after(s, 3);
    s.near_miss("PEN-07", &actor);
}

fn renewal_after_cremation(s: &mut Scene<'_>) {
    let actor = s.person();
    let (cremated, renewed) = (s.day(-8, 10), s.day(-3, 10));
    s.cremation(&actor, cremated);
    s.renewal(&actor, renewed, "in_person");
    s.hit("PEN-07", &actor);
}

fn clinic_after_hospital_death(s: &mut Scene<'_>) {
    let actor = s.person();
    let (died, seen) = (s.day(-8, 10), s.day(-3, 10));
    s.hospital_death(&actor, died);
    s.visit(&actor, seen, "clinic", 0);
    s.hit("PEN-07", &actor);
}

/// A telephone is a medium sign: PEN-07 asks, and nothing was paid too much.
fn telephone_after_death(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, -6);
    s.paused(&actor, -5);
    s.certified(&actor, Some(-3), "02");
    s.hit("PEN-07", &actor);
}

/// A relative may use a card: weak signs alone say nothing about life.
fn weak_signs(s: &mut Scene<'_>) {
    let actor = s.person();
    let died = s.day(-8, 10);
    s.certificate(&actor, died);
    let (bought, renewed, tapped) = (s.day(-5, 10), s.day(-4, 10), s.day(-3, 10));
    s.visit(&actor, bought, "pharmacy", 0);
    s.renewal(&actor, renewed, "online");
    s.ride(&actor, tapped);
    s.excused("PEN-07", "X-WEAK", &actor);
}

fn clinic_other_name(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let (died, seen) = (s.day(-8, 10), s.day(-3, 10));
    let name = s.strange_name(&actor);
    s.certificate(&actor, died).name = name.into();
    s.visit(&actor, seen, "clinic", 0);
    s.excused("PEN-07", "X-IDCONF", &actor);
    s.excused("PEN-03", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

fn signs_before_death(s: &mut Scene<'_>) {
    let actor = s.person();
    let died = s.day(-4, 20);
    let (admitted, left, seen) = (s.day(-6, 5), s.day(-6, 12), s.day(-4, 19));
    s.stay(&actor, admitted, left);
    s.visit(&actor, seen, "clinic", 4_000);
    s.certificate(&actor, died);
    s.near_miss("PEN-07", &actor);
}

fn signs_after_moving(s: &mut Scene<'_>) {
    let actor = s.person();
    let (moved, admitted, left) = (s.day(-8, 10), s.day(-3, 10), s.day(-3, 14));
    s.cancel(&actor, "3", moved, None);
    s.stay(&actor, admitted, left);
    s.near_miss("PEN-07", &actor);
}
