//! PEN-10, PEN-12, PEN-13, PEN-17 and PEN-22: paid in prison, by two schemes, twice for a month, after one's
//! own funeral grant, and into one account for several people.

use super::scene::{Actor, Scene};
use super::{Case, each};
use crate::calendar::after;
use crate::records::Fen;

/// All kinds of this family.
pub(crate) const CASES: &[Case] = &[
    each("imprisoned ten months ago, paid all the time", imprisoned),
    each("imprisoned and released, paid for six months inside", imprisoned_and_released),
    each("in short detention for four months", detained),
    each("a term that runs on, and seen at the desk since", released_early),
    each("held and not charged", not_charged),
    each("imprisoned under the old number of 15 digits", imprisoned_old_number),
    each("suspended sentence", suspended),
    each("under public surveillance", under_control),
    each("on parole", on_parole),
    each("sentence served outside prison", served_outside),
    each("imprisoned under another name", imprisoned_other_name),
    each("back-pay for months in prison", imprisoned_backpay),
    each("months in prison refunded", imprisoned_refunded),
    each("one month inside a short sentence", imprisoned_one_month),
    each("only the first and the last month of a sentence paid", imprisoned_edges),
    each("paused for the time in prison", imprisoned_paused),
    each("residents' and employees' pension for four months", two_schemes),
    each("residents' and public bodies' pension for eight months", two_schemes_public),
    each("two schemes under two names", two_schemes_other_name),
    each("two schemes, one of them as back-pay", two_schemes_backpay),
    each("two schemes, the residents' money refunded", two_schemes_refunded),
    each("a survivor benefit beside a pension", two_schemes_survivor),
    each("changed schemes with one month in both", scheme_changed_overlap),
    each("changed schemes without a month in both", scheme_changed),
    each("employees' and public bodies' pension together", two_schemes_without_residents),
    each("two payments for one month", paid_twice),
    each("two payments for each of three months", paid_twice_for_three_months),
    each("two people of one name, one account, one day, one sum", paid_twice_to_namesake),
    each("a payment failed and was repeated", retry_after_failure),
    each("a payment was reversed and repeated", retry_after_reversal),
    each("a second payment was set off by a negative entry", set_off),
    each("back-pay for a month already paid", raise_paid_later),
    each("two items for one month", two_items),
    each("one payment sent, one still waiting", one_waiting),
    each("a grant for the living, and the pension goes on", grant_then_pension),
    each("a grant thirteen months ago, and the pension goes on", grant_long_ago),
    each("a grant, and then in hospital", grant_but_alive),
    each("the grant for a relative was booked to the applicant", grant_for_relative),
    each("only back-pay after the grant", grant_then_backpay),
    each("the months after the grant were refunded", grant_then_refunded),
    each("one month after the grant", grant_then_one_month),
    each("the grant last month, and this month's pension", grant_in_transit),
    each("no pension after the grant", grant_at_the_end),
    each("the grant failed at the bank", grant_failed),
    each("two strangers share an account", strangers_share),
    each("three people share an account", three_share),
    each("father and son share an account", father_and_son_share),
    each("a couple shares an account", couple_shares),
    each("a care home manages one account", care_home_shares),
    each("one of two holders has been stopped", stopped_holder),
    each("one person, two schemes, one account", own_account_twice),
    each("two accounts that differ in one digit", neighbouring_accounts),
];

/// A pensioner paid for the last year.
fn paid(s: &mut Scene<'_>) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    actor
}

// --- PEN-10 ---

fn imprisoned(s: &mut Scene<'_>) {
    let actor = paid(s);
    let start = s.day(-10, 10);
    s.custody(&actor, "imprisonment", start, None);
    s.hit("PEN-10", &actor);
}

fn imprisoned_and_released(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-9, 10), s.day(-2, 5));
    s.custody(&actor, "imprisonment", start, Some(end));
    s.hit("PEN-10", &actor);
}

fn imprisoned_old_number(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-9, 10), s.day(-5, 5));
    s.custody(&actor, "imprisonment", start, Some(end)).id_number = actor.old_number().into();
    s.hit("PEN-10", &actor);
}

/// Short detention stops the pension like any other imprisonment.
fn detained(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-7, 10), s.day(-2, 5));
    s.custody(&actor, "detention", start, Some(end));
    s.hit("PEN-10", &actor);
}

/// The end of a term is computed and no release. Whoever was at the desk is free.
fn released_early(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -5, 0);
    s.certified(&actor, Some(-5), "01");
    let (start, end) = (s.day(-40, 10), s.day(12, 9));
    s.custody(&actor, "imprisonment", start, None).term_end = Some(end);
    s.excused("PEN-10", "X-RELEASED", &actor);
}

/// What is withheld from somebody who is not charged is due.
fn not_charged(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-7, 10), s.day(-2, 5));
    s.custody(&actor, "pretrial", start, Some(end)).release_type = "无罪".into();
    s.excused("PEN-10", "X-ACQUIT", &actor);
}

/// Sentences not served in prison keep the pension.
fn outside(s: &mut Scene<'_>, kind: &'static str) {
    let actor = paid(s);
    let start = s.day(-9, 10);
    s.custody(&actor, kind, start, None);
    s.excused("PEN-10", "X-OUTSIDE", &actor);
}

fn suspended(s: &mut Scene<'_>) {
    outside(s, "suspended");
}

fn under_control(s: &mut Scene<'_>) {
    outside(s, "control");
}

fn on_parole(s: &mut Scene<'_>) {
    outside(s, "parole");
}

fn served_outside(s: &mut Scene<'_>) {
    outside(s, "outside");
}

fn imprisoned_other_name(s: &mut Scene<'_>) {
    let actor = paid(s);
    let start = s.day(-9, 10);
    let name = s.strange_name(&actor);
    s.custody(&actor, "imprisonment", start, None).name = name.into();
    s.excused("PEN-10", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// The pension was rightly paused, and then months inside were made up, which they are not to be.
fn imprisoned_backpay(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -9);
    s.paused(&actor, -8);
    let (start, paid) = (s.day(-9, 10), s.day(-1, 20));
    s.custody(&actor, "imprisonment", start, None);
    for month in -7..=-5 {
        let row = s.payment(&actor, actor.scheme, "basic", month);
        row.adjust_type = "13".into();
        row.paid_date = Some(paid);
    }
    s.hit("PEN-10", &actor);
}

fn imprisoned_refunded(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-6, 10), s.day(-2, 5));
    s.custody(&actor, "imprisonment", start, Some(end));
    s.refunded(&actor, -5, -3);
    s.excused("PEN-10", "X-CLAWED", &actor);
}

fn imprisoned_one_month(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-3, 10), s.day(-1, 20));
    s.custody(&actor, "imprisonment", start, Some(end));
    s.excused("PEN-10", "X-LAG", &actor);
}

fn imprisoned_edges(s: &mut Scene<'_>) {
    let actor = paid(s);
    let (start, end) = (s.day(-2, 10), s.day(-1, 20));
    s.custody(&actor, "imprisonment", start, Some(end));
    s.near_miss("PEN-10", &actor);
}

fn imprisoned_paused(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -8);
    s.paused(&actor, -7);
    let start = s.day(-8, 10);
    s.custody(&actor, "imprisonment", start, None);
    s.near_miss("PEN-10", &actor);
}

// --- PEN-12 ---

/// Somebody whom the residents' scheme and another one know, each paying from its first to its last month.
fn in_two(s: &mut Scene<'_>, residents: (i32, i32), other: &'static str, others: (i32, i32)) -> Actor {
    let actor = s.person();
    s.enrol_in(&actor, "170");
    s.enrol_in(&actor, other);
    s.paid_in(&actor, "170", residents.0, residents.1);
    s.paid_in(&actor, other, others.0, others.1);
    actor
}

fn two_schemes(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, 0), "110", (-3, 0));
    s.hit("PEN-12", &actor);
}

fn two_schemes_public(s: &mut Scene<'_>) {
    let actor = in_two(s, (-7, 0), "120", (-11, 0));
    s.hit("PEN-12", &actor);
}

fn two_schemes_other_name(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, 0), "110", (-3, 0));
    let name = s.strange_name(&actor);
    if let Some(row) = s.rows.payees.last_mut() {
        row.name = name.into();
    }
    s.excused("PEN-12", "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// What month the money is for decides, not the way it was sent.
fn two_schemes_backpay(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, -4), "110", (-3, 0));
    for month in -3..=0 {
        s.payment(&actor, "170", "basic", month).adjust_type = "11".into();
    }
    s.hit("PEN-12", &actor);
}

/// What the residents' scheme paid in the common months came back.
fn two_schemes_refunded(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, -1), "110", (-3, 0));
    let (basic, _) = Scene::monthly(&actor, "170");
    for month in -3..=-1 {
        s.refund(&actor, Some(month), basic);
    }
    s.excused("PEN-12", "X-CLAWED", &actor);
}

fn two_schemes_survivor(s: &mut Scene<'_>) {
    let mut actor = s.person();
    actor.scheme = "110";
    s.enrol(&mut actor);
    s.paid(&actor, -11, 0);
    for month in -3..=-1 {
        s.payment(&actor, "170", "survivor", month);
    }
    s.excused("PEN-12", "X-FUNERAL", &actor);
}

fn scheme_changed_overlap(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, -5), "110", (-5, 0));
    s.excused("PEN-12", "X-TRANSFER", &actor);
}

fn scheme_changed(s: &mut Scene<'_>) {
    let actor = in_two(s, (-11, -6), "110", (-5, 0));
    s.near_miss("PEN-12", &actor);
}

fn two_schemes_without_residents(s: &mut Scene<'_>) {
    let actor = s.person();
    for scheme in ["110", "120"] {
        s.enrol_in(&actor, scheme);
        s.paid_in(&actor, scheme, -5, 0);
    }
    s.near_miss("PEN-12", &actor);
}

// --- PEN-13 ---

fn paid_twice(s: &mut Scene<'_>) {
    let actor = paid(s);
    let again = s.day(-4, 21);
    s.payment(&actor, actor.scheme, "basic", -4).paid_date = Some(again);
    s.hit("PEN-13", &actor);
}

fn paid_twice_for_three_months(s: &mut Scene<'_>) {
    let actor = paid(s);
    for month in -6..=-4 {
        s.payment(&actor, actor.scheme, "basic", month);
    }
    s.hit("PEN-13", &actor);
}

/// The account of one belongs to the other's name as well; the birth dates differ, so ID-03 cannot tell
/// them for one person. PEN-22 sees the account.
fn paid_twice_to_namesake(s: &mut Scene<'_>) {
    let first = paid(s);
    let mut second = s.aged(61);
    s.rename(&mut second, first.name.clone());
    second.scheme = first.scheme;
    second.account = first.account.clone();
    s.enrol(&mut second);
    s.paid(&second, -11, 0);
    let fen = Scene::monthly(&first, first.scheme);
    let account = first.account.clone();
    for row in s.rows.payments.iter_mut().rev().take_while(|row| row.account_no == account) {
        row.amount = Some(Fen(if row.item == "basic" { fen.0 } else { fen.1.unwrap_or_default() }));
    }
    s.hit("PEN-13", &first);
    s.hit("PEN-13", &second);
    s.note("hit", "PEN-22", true, None, &first.number(), &first.account);
}

/// A pensioner for one month of which a second row stands in another state.
fn second_row(s: &mut Scene<'_>, state: &'static str) -> Actor {
    let actor = paid(s);
    s.payment(&actor, actor.scheme, "basic", -4).pay_state = state.into();
    actor
}

fn retry_after_failure(s: &mut Scene<'_>) {
    let actor = second_row(s, "2");
    s.excused("PEN-13", "X-CLAWED", &actor);
}

fn retry_after_reversal(s: &mut Scene<'_>) {
    let actor = second_row(s, "3");
    s.excused("PEN-13", "X-CLAWED", &actor);
}

/// What was paid twice was taken back by a red entry: once was paid.
fn set_off(s: &mut Scene<'_>) {
    let actor = second_row(s, "1");
    let back = s.payment(&actor, actor.scheme, "basic", -4);
    back.amount = back.amount.map(|Fen(fen)| Fen(-fen));
    s.excused("PEN-13", "X-SINGLE", &actor);
}

fn one_waiting(s: &mut Scene<'_>) {
    let actor = second_row(s, "0");
    s.near_miss("PEN-13", &actor);
}

fn raise_paid_later(s: &mut Scene<'_>) {
    let actor = paid(s);
    let paid = s.day(-1, 21);
    let row = s.payment(&actor, actor.scheme, "basic", -4);
    row.adjust_type = "11".into();
    row.paid_date = Some(paid);
    s.excused("PEN-13", "X-BACKPAY", &actor);
}

fn two_items(s: &mut Scene<'_>) {
    let actor = paid(s);
    s.payment(&actor, actor.scheme, "arrears_other", -4);
    s.near_miss("PEN-13", &actor);
}

// --- PEN-17 ---

/// A pensioner who got a funeral grant in this month and a pension until `last`.
fn granted(s: &mut Scene<'_>, grant: i32, last: i32) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, last);
    s.payment(&actor, actor.scheme, "funeral_grant", grant);
    actor
}

fn grant_then_pension(s: &mut Scene<'_>) {
    let actor = granted(s, -6, 0);
    s.hit("PEN-17", &actor);
}

fn grant_long_ago(s: &mut Scene<'_>) {
    let actor = granted(s, -13, 0);
    s.paid(&actor, -14, -12);
    s.hit("PEN-17", &actor);
}

fn grant_but_alive(s: &mut Scene<'_>) {
    let actor = granted(s, -6, 0);
    let (admitted, left) = (s.day(-2, 5), s.day(-2, 11));
    s.stay(&actor, admitted, left);
    s.excused("PEN-17", "X-ALIVE", &actor);
}

/// The grant belongs to the relative whose cremation the pensioner applied for a month before.
fn grant_for_relative(s: &mut Scene<'_>) {
    let actor = granted(s, -6, 0);
    let relative = s.partner(&actor);
    let died = s.day(-7, 9);
    s.cancel(&relative, "1", after(died, 10), Some(died));
    s.cremation(&relative, after(died, 3)).applicant_id = actor.number().into();
    s.excused("PEN-17", "X-KIN", &actor);
}

fn grant_then_backpay(s: &mut Scene<'_>) {
    let actor = granted(s, -6, -6);
    s.payee(&actor).status = "3".into();
    for month in -5..=-3 {
        s.payment(&actor, actor.scheme, "basic", month).adjust_type = "11".into();
    }
    s.hit("PEN-17", &actor);
}

fn grant_then_refunded(s: &mut Scene<'_>) {
    let actor = granted(s, -6, -3);
    s.payee(&actor).status = "3".into();
    s.refunded(&actor, -5, -3);
    s.excused("PEN-17", "X-CLAWED", &actor);
}

/// The payer knew of the death: months later a single month is no transit.
fn grant_then_one_month(s: &mut Scene<'_>) {
    let actor = granted(s, -6, -5);
    s.payee(&actor).status = "3".into();
    s.hit("PEN-17", &actor);
}

fn grant_in_transit(s: &mut Scene<'_>) {
    let actor = granted(s, -1, 0);
    s.excused("PEN-17", "X-LAG", &actor);
}

fn grant_at_the_end(s: &mut Scene<'_>) {
    let actor = granted(s, -6, -6);
    s.payee(&actor).status = "3".into();
    s.near_miss("PEN-17", &actor);
}

fn grant_failed(s: &mut Scene<'_>) {
    let actor = granted(s, -6, 0);
    if let Some(row) = s.rows.payments.last_mut() {
        row.pay_state = "2".into();
    }
    s.near_miss("PEN-17", &actor);
}

// --- PEN-22 ---

/// One more pensioner who is paid into the account of the first.
fn joins(s: &mut Scene<'_>, first: &Actor) -> Actor {
    let mut actor = s.partner(first);
    actor.account = first.account.clone();
    s.enrol(&mut actor);
    s.paid(&actor, -11, 0);
    actor
}

fn shared(s: &mut Scene<'_>, first: &Actor) {
    s.note("hit", "PEN-22", true, None, &first.number(), &first.account);
}

fn not_shared(s: &mut Scene<'_>, first: &Actor, exclusion: Option<&'static str>) {
    s.note(exclusion.unwrap_or("near_miss"), "PEN-22", false, exclusion, &first.number(), &first.account);
}

fn strangers_share(s: &mut Scene<'_>) {
    let first = paid(s);
    joins(s, &first);
    shared(s, &first);
}

fn three_share(s: &mut Scene<'_>) {
    let first = paid(s);
    // Even a couple among them does not explain the third.
    let second = joins(s, &first);
    marry(s, &first, &second);
    joins(s, &second);
    shared(s, &first);
}

/// Head and spouse of one household.
fn marry(s: &mut Scene<'_>, head: &Actor, spouse: &Actor) {
    let household = head.household();
    let row = s.registry(spouse);
    row.household_no = household.into();
    row.relation = "10".into();
}

/// One household may have one account, whoever its members are.
fn father_and_son_share(s: &mut Scene<'_>) {
    let father = paid(s);
    let son = joins(s, &father);
    marry(s, &father, &son);
    s.registry(&son).relation = "20".into();
    not_shared(s, &father, Some("X-FAMILY"));
}

fn couple_shares(s: &mut Scene<'_>) {
    let head = paid(s);
    let spouse = joins(s, &head);
    marry(s, &head, &spouse);
    not_shared(s, &head, Some("X-FAMILY"));
}

fn care_home_shares(s: &mut Scene<'_>) {
    let first = paid(s);
    s.payee(&first).residence = "4".into();
    for _ in 0..2 {
        let other = joins(s, &first);
        s.payee(&other).residence = "4".into();
    }
    not_shared(s, &first, Some("X-CARE"));
}

fn stopped_holder(s: &mut Scene<'_>) {
    let first = paid(s);
    let mut second = s.partner(&first);
    second.account = first.account.clone();
    s.enrol(&mut second);
    s.paid(&second, -11, -4);
    s.stopped(&second, -4);
    not_shared(s, &first, None);
}

/// 110 and 120, which PEN-12 does not ask about.
fn own_account_twice(s: &mut Scene<'_>) {
    let actor = s.person();
    for scheme in ["110", "120"] {
        s.enrol_in(&actor, scheme);
    }
    s.paid_in(&actor, "110", -11, -6);
    s.paid_in(&actor, "120", -5, 0);
    not_shared(s, &actor, None);
}

/// Serial numbers of accounts follow each other.
fn neighbouring_accounts(s: &mut Scene<'_>) {
    let first = paid(s);
    paid(s);
    not_shared(s, &first, None);
}
