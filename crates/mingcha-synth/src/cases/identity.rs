//! ID-01 to ID-04: damaged numbers, one number with two names, one person with two numbers, and files that
//! disagree with the number.

use std::collections::BTreeSet;

use super::scene::{Actor, Scene};
use super::{Case, each};
use crate::calendar::{after, before, moment};
use crate::identity::with_check;
use crate::names;
use crate::records::{Fen, Payment, Registry, Visit};

/// All kinds of this family.
pub(crate) const CASES: &[Case] = &[
    each("a number of 15 digits", fifteen_digits),
    each("a lower-case x, full-width digits, an apostrophe, blanks", odd_spellings),
    each("another name with the payer", payer_other_name),
    each("another name in hospital", hospital_other_name),
    each("another name on a transit card", card_other_name),
    each("a new given name since", changed_name),
    each("two names with the payer, both in payment", payer_two_names),
    each("the traditional form of the surname", traditional),
    each("a dot more or less", dot_missing),
    each("a long name cut short", cut_short),
    each("a character that could not be stored", unreadable),
    each("no name at the source", name_missing),
    each("spaces within the name", spaces),
    each("one person with two numbers and one account", two_numbers_one_account),
    each("one person with two numbers, both paid the same", two_numbers_both_paid),
    each("one person twice in a household", two_numbers_one_household),
    each("active under 15 and under 18 characters", both_lengths),
    each("paid under 15 and under 18 characters", both_lengths_paid),
    each("twins entered under one name", twins_one_name),
    each("twins", twins),
    each("same name and birth date in another household", namesake),
    each("the entry with 15 digits has been stopped", old_entry_stopped),
    each("same name and account, another birth date", same_account_other_birth),
    each("birth date in the registry one day off", registry_birth),
    each("birth date with the payer five years earlier", payer_birth_earlier),
    each("the other sex in the registry", registry_sex),
    each("the other sex with the payer", payer_sex),
    each("the personnel archive decides the birth date", archive),
    each("sex not stated", sex_not_stated),
    each("no birth date and unknown sex", nothing_on_file),
];

// --- ID-01 ---

fn fifteen_digits(s: &mut Scene<'_>) {
    let actor = s.person();
    s.registry(&actor).id_number = actor.old_number().into();
    s.near_miss("ID-01", &actor);
}

fn odd_spellings(s: &mut Scene<'_>) {
    let actor = s.person();
    let number = actor.number();
    let wide: String = number.chars().filter_map(|c| char::from_u32(c as u32 + 0xFEE0)).collect();
    let spellings = [
        number.to_lowercase(),
        wide,
        format!("'{number}"),
        format!(" {number} "),
        format!("{number}\u{200B}"),
    ];
    for (month, spelling) in (-6..).zip(spellings) {
        let day = s.day(month, 9);
        s.visit(&actor, day, "clinic", 2_000).id_number = spelling.into();
    }
    s.near_miss("ID-01", &actor);
}

/// What befalls the number of a row.
type Damage = fn(&str) -> String;

/// Writes a row that bears such a number.
type Bearer = fn(&mut Scene<'_>, &str);

/// Ways to ruin a number so that no normalisation can save it, and the dataset where each is met.
const DAMAGES: [(Damage, Bearer); 8] = [
    (wrong_check, payment),
    (zero_tail, payment),
    (letter, payment),
    (scientific, payment),
    (month_thirteen, registry),
    (thirtieth_of_february, registry),
    (too_short, visit),
    (too_long, visit),
];

/// Damaged numbers; their rows must be rejected. Nobody else depends on them.
pub(crate) fn damaged(s: &mut Scene<'_>, count: u64) {
    let mut seen = BTreeSet::new();
    for (damage, row) in DAMAGES {
        for _ in 0..count {
            // Two people's numbers may be ruined alike, and one in eleven zero tails looks sound.
            let raw =
                (0..100).map(|_| damage(&fresh(s))).find(|raw| !looks_sound(raw) && seen.insert(raw.clone()));
            if let Some(raw) = raw {
                row(s, &raw);
            }
        }
    }
}

fn looks_sound(raw: &str) -> bool {
    raw.len() == 18 && raw.ends_with("000") && with_check(&raw[..17]) == raw
}

fn wrong_check(sound: &str) -> String {
    format!("{}{}", &sound[..17], if sound.ends_with('5') { '6' } else { '5' })
}

/// The number went through a spreadsheet that keeps 15 digits.
fn zero_tail(sound: &str) -> String {
    format!("{}000", &sound[..15])
}

fn letter(sound: &str) -> String {
    format!("{}O{}", &sound[..12], &sound[13..])
}

fn scientific(sound: &str) -> String {
    format!("{}.{}E+17", &sound[..1], &sound[1..14])
}

fn month_thirteen(sound: &str) -> String {
    with_check(&format!("{}13{}", &sound[..10], &sound[12..17]))
}

fn thirtieth_of_february(sound: &str) -> String {
    with_check(&format!("{}0230{}", &sound[..10], &sound[14..17]))
}

fn too_short(sound: &str) -> String {
    sound[..17].to_owned()
}

fn too_long(sound: &str) -> String {
    format!("{sound}1")
}

/// The number of somebody who appears nowhere else.
fn fresh(s: &mut Scene<'_>) -> String {
    let actor = s.person();
    s.rows.registry.pop();
    actor.number()
}

fn payment(s: &mut Scene<'_>, raw: &str) {
    let month = s.month(-3);
    s.rows.payments.push(Payment {
        id_number: raw.to_owned().into(),
        scheme: "170".into(),
        item: "basic".into(),
        period_month: Some(month),
        paid_date: Some(month.day(12)),
        amount: Some(Fen(16_500)),
        pay_state: "1".into(),
        ..Payment::default()
    });
    damaged_row(s, raw, "pension_payments");
}

fn registry(s: &mut Scene<'_>, raw: &str) {
    s.rows.registry.push(Registry {
        id_number: raw.to_owned().into(),
        name: "佚名".into(),
        area_code: "880101".into(),
        status: "正常".into(),
        ..Registry::default()
    });
    damaged_row(s, raw, "household_registry");
}

fn visit(s: &mut Scene<'_>, raw: &str) {
    let day = s.day(-3, 9);
    s.rows.visits.push(Visit {
        id_number: raw.to_owned().into(),
        org_code: "P880101001".into(),
        visit_time: Some(moment(day, 600)),
        visit_type: "clinic".into(),
        total_cost: Some(Fen(5_000)),
        fund_paid: Some(Fen(2_000)),
        ..Visit::default()
    });
    damaged_row(s, raw, "outpatient_visits");
}

fn damaged_row(s: &mut Scene<'_>, raw: &str, dataset: &str) {
    s.note("hit", "ID-01", true, None, raw, raw);
    s.annotate(dataset);
}

// --- ID-02 ---

fn payer_other_name(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let name = s.strange_name(&actor);
    s.payee(&actor).name = name.into();
    s.hit("ID-02", &actor);
}

fn hospital_other_name(s: &mut Scene<'_>) {
    let actor = s.person();
    let name = s.strange_name(&actor);
    let (admitted, left) = (s.day(-4, 5), s.day(-4, 9));
    s.stay(&actor, admitted, left).name = name.into();
    s.hit("ID-02", &actor);
}

fn card_other_name(s: &mut Scene<'_>) {
    let actor = s.person();
    let name = s.strange_name(&actor);
    let day = s.day(-4, 5);
    s.renewal(&actor, day, "in_person").name = name.into();
    s.hit("ID-02", &actor);
}

/// The surname stays, the given name is new, and no register of changes tells so: somebody has to look.
fn changed_name(s: &mut Scene<'_>) {
    let mut actor = s.person();
    let surname = names::surname(&mut s.dice).to_owned();
    s.rename(&mut actor, format!("{surname}桂芝"));
    let day = s.day(-10, 5);
    s.visit(&actor, day, "clinic", 2_000).name = format!("{surname}雨桐").into();
    s.hit("ID-02", &actor);
}

/// Two rows in payment, months apart from each other so that PEN-12 has nothing to say.
fn payer_two_names(s: &mut Scene<'_>) {
    let actor = s.person();
    s.enrol_in(&actor, "170");
    let name = s.strange_name(&actor);
    s.enrol_in(&actor, "110").name = name.into();
    s.paid_in(&actor, "170", -11, -6);
    s.paid_in(&actor, "110", -5, 0);
    s.hit("ID-02", &actor);
}

/// A visit under another spelling of a name.
fn spelt(s: &mut Scene<'_>, name: String, other: String) -> Actor {
    let mut actor = s.person();
    s.rename(&mut actor, name);
    let day = s.day(-4, 5);
    s.visit(&actor, day, "clinic", 2_000).name = other.into();
    actor
}

fn traditional(s: &mut Scene<'_>) {
    let (plain, old) = names::with_traditional(&mut s.dice, crate::identity::Sex::Female);
    let actor = spelt(s, plain, old);
    s.excused("ID-02", "X-VARIANT", &actor);
}

fn dot_missing(s: &mut Scene<'_>) {
    let name = names::dotted(&mut s.dice, crate::identity::Sex::Male);
    let other = name.replace('·', "");
    let actor = spelt(s, name, other);
    s.excused("ID-02", "X-VARIANT", &actor);
}

fn cut_short(s: &mut Scene<'_>) {
    let name = names::dotted(&mut s.dice, crate::identity::Sex::Female);
    let other = name.chars().take(5).collect();
    let actor = spelt(s, name, other);
    s.excused("ID-02", "X-VARIANT", &actor);
}

fn unreadable(s: &mut Scene<'_>) {
    let surname = names::surname(&mut s.dice);
    let actor = spelt(s, format!("{surname}喆"), format!("{surname}?"));
    s.excused("ID-02", "X-VARIANT", &actor);
}

fn name_missing(s: &mut Scene<'_>) {
    let name = names::name(&mut s.dice, crate::identity::Sex::Male);
    let actor = spelt(s, name, String::new());
    s.near_miss("ID-02", &actor);
}

fn spaces(s: &mut Scene<'_>) {
    let surname = names::surname(&mut s.dice);
    let actor = spelt(s, format!("{surname}明"), format!("{surname}\u{3000}明 "));
    s.near_miss("ID-02", &actor);
}

// --- ID-03 ---

/// Somebody known under two numbers, paid under both into one account. PEN-22 sees the account.
fn under_two_numbers(s: &mut Scene<'_>) -> (Actor, Actor) {
    let mut first = s.person();
    first.scheme = "170";
    s.enrol(&mut first);
    let mut second = s.namesake_elsewhere(&first);
    second.scheme = "170";
    second.account = first.account.clone();
    s.enrol(&mut second);
    s.hit("ID-03", &first);
    s.hit("ID-03", &second);
    s.note("hit", "PEN-22", true, None, &first.number(), &first.account);
    (first, second)
}

/// Different sums, so PEN-13 has nothing to say.
fn two_numbers_one_account(s: &mut Scene<'_>) {
    let (first, second) = under_two_numbers(s);
    s.paid(&first, -11, 0);
    s.paid(&second, -11, 0);
}

/// The same sum on the same day: PEN-13 as well.
fn two_numbers_both_paid(s: &mut Scene<'_>) {
    let (first, second) = under_two_numbers(s);
    s.paid(&first, -11, 0);
    s.paid(&second, -11, 0);
    let account = first.account.clone();
    for row in s.rows.payments.iter_mut().rev().take_while(|row| row.account_no == account) {
        row.amount = Some(Fen(17_770));
    }
    s.hit("PEN-13", &first);
    s.hit("PEN-13", &second);
}

fn two_numbers_one_household(s: &mut Scene<'_>) {
    let first = s.person();
    let second = s.namesake_elsewhere(&first);
    let household = first.household();
    s.registry(&second).household_no = household.into();
    s.hit("ID-03", &first);
    s.hit("ID-03", &second);
}

/// Two rows of one scheme for one person, the second under 15 digits.
fn twice_in_scheme(s: &mut Scene<'_>) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    s.enrol_in(&actor, actor.scheme).id_number = actor.old_number().into();
    actor
}

fn both_lengths(s: &mut Scene<'_>) {
    let actor = twice_in_scheme(s);
    s.hit("ID-03", &actor);
}

/// Both entries are paid for the same three months: PEN-13 as well.
fn both_lengths_paid(s: &mut Scene<'_>) {
    let actor = twice_in_scheme(s);
    for month in -2..=0 {
        s.payment(&actor, actor.scheme, "basic", month).id_number = actor.old_number().into();
    }
    s.hit("ID-03", &actor);
    s.hit("PEN-13", &actor);
}

/// Numbers next to each other in one household: the clerk wrote one twin's name twice.
fn twins_one_name(s: &mut Scene<'_>) {
    let first = s.person();
    let second = s.namesake(&first);
    let household = first.household();
    s.registry(&second).household_no = household.into();
    s.excused("ID-03", "X-TWIN", &first);
    s.excused("ID-03", "X-TWIN", &second);
}

fn twins(s: &mut Scene<'_>) {
    let first = s.person();
    let mut second = s.namesake(&first);
    let name = s.strange_name(&first);
    s.rename(&mut second, name);
    let household = first.household();
    s.registry(&second).household_no = household.into();
    s.near_miss("ID-03", &first);
}

fn namesake(s: &mut Scene<'_>) {
    let first = s.person();
    s.namesake_elsewhere(&first);
    s.near_miss("ID-03", &first);
}

fn old_entry_stopped(s: &mut Scene<'_>) {
    let actor = twice_in_scheme(s);
    let month = s.month(-20);
    if let Some(row) = s.rows.payees.last_mut() {
        row.status = "3".into();
        row.stop_month = Some(month);
        row.stop_reason = "1499".into();
    }
    s.near_miss("ID-03", &actor);
}

/// Two people by their birth dates; the account is the business of PEN-22.
fn same_account_other_birth(s: &mut Scene<'_>) {
    let first = s.pensioner();
    s.paid(&first, -11, 0);
    let mut second = s.aged(61);
    s.rename(&mut second, first.name.clone());
    second.scheme = first.scheme;
    second.account = first.account.clone();
    s.enrol(&mut second);
    s.near_miss("ID-03", &first);
    s.near_miss("ID-03", &second);
    s.note("hit", "PEN-22", true, None, &first.number(), &first.account);
}

// --- ID-04 ---

fn registry_birth(s: &mut Scene<'_>) {
    let actor = s.person();
    s.registry(&actor).birth_date = Some(after(actor.identity.birth, 1));
    s.hit("ID-04", &actor);
}

/// By the file the pension began in time, by the number five years too early.
fn payer_birth_earlier(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let earlier = before(actor.identity.birth, 1_826);
    let row = s.payee(&actor);
    row.birth_date = Some(earlier);
    row.start_month = row.start_month.map(|m| m.plus(-60));
    s.hit("ID-04", &actor);
}

fn registry_sex(s: &mut Scene<'_>) {
    let actor = s.person();
    s.registry(&actor).sex = actor.identity.sex().other().code().into();
    s.hit("ID-04", &actor);
}

fn payer_sex(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    s.payee(&actor).sex = actor.identity.sex().other().code().into();
    s.hit("ID-04", &actor);
}

/// Employees retire by the earliest record of their archive.
fn archive(s: &mut Scene<'_>) {
    let mut actor = s.person();
    actor.scheme = "110";
    s.enrol(&mut actor);
    s.paid(&actor, -11, 0);
    let by_archive = before(actor.identity.birth, 365);
    let row = s.payee(&actor);
    row.birth_date = Some(by_archive);
    row.archive_birth = Some(by_archive);
    s.excused("ID-04", "X-ARCHIVE", &actor);
}

fn sex_not_stated(s: &mut Scene<'_>) {
    let actor = s.person();
    s.registry(&actor).sex = "9".into();
    s.near_miss("ID-04", &actor);
}

fn nothing_on_file(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let row = s.payee(&actor);
    row.birth_date = None;
    row.sex = "0".into();
    let row = s.registry(&actor);
    row.birth_date = None;
    row.sex = "".into();
    s.near_miss("ID-04", &actor);
}
