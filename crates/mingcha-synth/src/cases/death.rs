//! PEN-01 to PEN-04: paid after a death that the registry, a crematorium, a certificate or a hospital tells.
//! The four share one shape, so most cases are played once for each source.

use super::scene::{Actor, Scene};
use super::{Case, Plant, each};
use crate::calendar::{after, moment};
use crate::records::{Fen, Registry, Text};
use chrono::NaiveDate;

/// Who tells of the death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Registry,
    Cremation,
    Certificate,
    Hospital,
}

const SOURCES: [Source; 4] = [Source::Registry, Source::Cremation, Source::Certificate, Source::Hospital];

impl Source {
    fn rule(self) -> &'static str {
        match self {
            Self::Registry => "PEN-01",
            Self::Cremation => "PEN-02",
            Self::Certificate => "PEN-03",
            Self::Hospital => "PEN-04",
        }
    }

    /// Writes the row that tells of the death, and lends its number and name to be changed.
    pub(crate) fn tell<'s>(
        self,
        s: &'s mut Scene<'_>,
        actor: &Actor,
        died: NaiveDate,
    ) -> (&'s mut Text, &'s mut Text) {
        match self {
            Self::Registry => {
                s.cancel(actor, "1", after(died, 12), Some(died));
                let row = s.registry(actor);
                (&mut row.id_number, &mut row.name)
            }
            Self::Cremation => {
                // The month of the cremation counts as the month of death; it is the same one here.
                let row = s.cremation(actor, after(died, 3));
                (&mut row.id_number, &mut row.name)
            }
            Self::Certificate => {
                let row = s.certificate(actor, died);
                (&mut row.id_number, &mut row.name)
            }
            Self::Hospital => {
                let row = s.hospital_death(actor, died);
                (&mut row.id_number, &mut row.name)
            }
        }
    }
}

type Shared = (&'static str, fn(&mut Scene<'_>, Source));

const SHARED: &[Shared] = &[
    ("paid five months after the death", five_months),
    ("paid two months after the death", two_months),
    ("paid fourteen months after the death", fourteen_months),
    ("five months too many, two of them refunded", partly_refunded),
    ("the refund has not been credited", refund_pending),
    ("the source of the death holds the old number of 15 digits", old_number),
    ("paid through the month of death only", death_month_only),
    ("died on the first day of a month, paid for that month", first_day_of_month),
    ("one month too many, then stopped", lag),
    ("died last month, paid this month", lag_at_the_end),
    ("survivor benefit and funeral grant after the death", funeral),
    ("back-pay after the death for a month before it", backpay),
    ("arrears after the death for months before it", arrears),
    ("payments after the death were reversed", reversed),
    ("payments after the death failed at the bank", failed),
    ("every month too many was refunded", refunded),
    ("one refund without a month covers everything", refunded_at_once),
    ("in hospital three months after the recorded death", alive),
    ("another name at the source of the death", other_name),
    ("somebody of the same name and birth date died", namesake_died),
    ("somebody whose number differs in one digit died", neighbour_died),
    ("payments after the death are only waiting", waiting),
];

const OWN: &[Case] = &[
    each("cancelled for death without a day of death", month_uncertain),
    each("dead by registry, crematorium, certificate and hospital alike", all_sources),
    each("funeral grant paid, pension goes on", grant_and_pension),
    each("cancelled because the person moved away", moved_away),
    each("cancelled because the person is missing", missing),
    each("cremated on the second of a month, two months too many from the next on", cremated_early),
    each("cremated on the second of a month, one month too many", cremated_later),
    each("the payee's number stands where the dead relative's should", applicant),
    each("the payee is the applicant for a relative", applied_for_relative),
    each("cremation without a name", nameless_cremation),
    each("certificate without a name", nameless_certificate),
    each("a certificate made out on the wrong number was voided", voided_certificate),
    each("a certificate was voided and issued again under another number", issued_again),
    each("in hospital a month after the recorded death and never seen again", seen_once_more),
    each("certified at the desk once after the recorded death", certified_after_death),
    each("a survivor's pension drawn until two years after the death", survivors_own),
    each("no payee entry left, and paid on", no_payee_entry),
    each("a refund from before the debt", refund_before_debt),
    each("the registry holds the former name that the payer has", former_name),
    each("a reissued certificate moved the death back", reissued_earlier),
    each("a reissued certificate moved the death on", reissued_later),
    each("died in the last minute of a month", last_minute),
    each("a second source confirms the hospital", hospital_and_certificate),
    each("left hospital against advice", against_advice),
    each("moved to another hospital", transferred),
    Case {
        name: "the hospital codes ordinary discharges as deaths",
        plant: Plant::Together(miscoded_hospital),
    },
];

/// All kinds of this family.
pub(crate) fn cases() -> Vec<Case> {
    let shared = SHARED
        .iter()
        .flat_map(|(name, plant)| SOURCES.map(|source| Case { name, plant: Plant::Death(*plant, source) }));
    shared.chain(OWN.iter().copied()).collect()
}

/// A pensioner of whose death in this month the source tells; paid from a year ago to `last`.
fn dead(s: &mut Scene<'_>, source: Source, died: i32, last: i32) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, last);
    let day = s.dice.between(5, 25) as u32;
    let died = s.day(died, day);
    source.tell(s, &actor, died);
    actor
}

fn five_months(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -5, 0);
    s.hit(source.rule(), &actor);
}

fn two_months(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -2, 0);
    s.hit(source.rule(), &actor);
}

fn fourteen_months(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -14, 0);
    s.paid(&actor, -18, -12);
    s.hit(source.rule(), &actor);
}

/// Three months stay unrecovered.
fn partly_refunded(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -5, 0);
    s.refunded(&actor, -4, -3);
    s.hit(source.rule(), &actor);
}

/// Only credited refunds are money back.
fn refund_pending(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -4, 0);
    for month in -3..=0 {
        let (basic, personal) = Scene::monthly(&actor, actor.scheme);
        let row = s.refund(&actor, Some(month), basic + personal.unwrap_or_default());
        row.state = "0".into();
        row.credited_date = None;
    }
    s.hit(source.rule(), &actor);
}

/// 15 and 18 digits are one number.
fn old_number(s: &mut Scene<'_>, source: Source) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(-6, 9);
    *source.tell(s, &actor, died).0 = actor.old_number().into();
    s.hit(source.rule(), &actor);
}

/// Entitled through the month of death; the pension was stopped with it.
fn death_month_only(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -4, -4);
    s.stopped(&actor, -4);
    s.near_miss(source.rule(), &actor);
}

fn first_day_of_month(s: &mut Scene<'_>, source: Source) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(0, 1);
    source.tell(s, &actor, died);
    s.near_miss(source.rule(), &actor);
}

fn lag(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -4, -3);
    s.stopped(&actor, -3);
    s.excused(source.rule(), "X-LAG", &actor);
}

fn lag_at_the_end(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -1, 0);
    s.excused(source.rule(), "X-LAG", &actor);
}

/// One-off items after a death are lawful; nothing periodic was paid after it.
fn funeral(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -5, -5);
    s.stopped(&actor, -5);
    s.payment(&actor, actor.scheme, "funeral_grant", -3);
    s.payment(&actor, actor.scheme, "survivor", -3);
    s.excused(source.rule(), "X-FUNERAL", &actor);
}

fn backpay(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -4, -4);
    s.stopped(&actor, -4);
    let paid = s.day(-2, 20);
    let row = s.payment(&actor, actor.scheme, "basic", -6);
    row.adjust_type = "11".into();
    row.paid_date = Some(paid);
    row.amount = Some(Fen(1_250));
    s.excused(source.rule(), "X-BACKPAY", &actor);
}

fn arrears(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -4, -4);
    s.stopped(&actor, -4);
    let paid = s.day(-2, 20);
    s.payment(&actor, actor.scheme, "arrears_other", -6).paid_date = Some(paid);
    s.excused(source.rule(), "X-BACKPAY", &actor);
}

/// Rows of three months after the death in a state that moved no money.
fn without_money(s: &mut Scene<'_>, source: Source, state: &'static str) -> Actor {
    let actor = dead(s, source, -4, -4);
    s.stopped(&actor, -4);
    for month in -3..=-1 {
        s.payment(&actor, actor.scheme, "basic", month).pay_state = state.into();
    }
    actor
}

fn reversed(s: &mut Scene<'_>, source: Source) {
    let actor = without_money(s, source, "3");
    s.excused(source.rule(), "X-CLAWED", &actor);
}

fn failed(s: &mut Scene<'_>, source: Source) {
    let actor = without_money(s, source, "2");
    s.excused(source.rule(), "X-CLAWED", &actor);
}

/// A payment that waits is no payment: not even a candidate.
fn waiting(s: &mut Scene<'_>, source: Source) {
    let actor = without_money(s, source, "0");
    s.near_miss(source.rule(), &actor);
}

fn refunded(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -6, -3);
    s.stopped(&actor, -6);
    s.refunded(&actor, -5, -3);
    s.excused(source.rule(), "X-CLAWED", &actor);
}

fn refunded_at_once(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -6, -3);
    s.stopped(&actor, -6);
    let (basic, personal) = Scene::monthly(&actor, actor.scheme);
    s.refund(&actor, None, 3 * (basic + personal.unwrap_or_default()));
    s.excused(source.rule(), "X-CLAWED", &actor);
}

/// A stay in hospital speaks for the citizen: PEN-07 and not this rule. The fund paid nothing, so MED-01 is silent.
fn alive(s: &mut Scene<'_>, source: Source) {
    let actor = dead(s, source, -5, 0);
    let (admitted, discharged) = (s.day(-2, 5), s.day(-2, 11));
    s.own_stay(&actor, admitted, discharged);
    s.excused(source.rule(), "X-ALIVE", &actor);
    s.hit("PEN-07", &actor);
}

/// The same number with another name is an identity conflict and never a death.
fn other_name(s: &mut Scene<'_>, source: Source) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(-6, 9);
    let name = s.strange_name(&actor);
    *source.tell(s, &actor, died).1 = name.into();
    s.excused(source.rule(), "X-IDCONF", &actor);
    s.hit("ID-02", &actor);
}

/// The dead namesake has another number, issued elsewhere, and lived elsewhere.
fn namesake_died(s: &mut Scene<'_>, source: Source) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let other = s.namesake_elsewhere(&actor);
    let died = s.day(-6, 9);
    source.tell(s, &other, died);
    s.near_miss(source.rule(), &actor);
}

/// The next number of the same area and day: one digit of the sequence and the check character differ.
fn neighbour_died(s: &mut Scene<'_>, source: Source) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let other = s.namesake(&actor);
    let died = s.day(-6, 9);
    source.tell(s, &other, died);
    s.near_miss(source.rule(), &actor);
}

/// The month of cancellation is all that is known.
fn month_uncertain(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let cancelled = s.day(-6, 9);
    s.cancel(&actor, "1", cancelled, None);
    s.hit("PEN-01", &actor);
}

fn all_sources(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(-5, 9);
    for source in SOURCES {
        source.tell(s, &actor, died);
        s.hit(source.rule(), &actor);
    }
}

/// The grant of the month after the death proves that the payer knew: PEN-17 as well.
fn grant_and_pension(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -7, 0);
    s.payment(&actor, actor.scheme, "funeral_grant", -6);
    s.hit("PEN-01", &actor);
    s.hit("PEN-17", &actor);
}

fn moved_away(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let cancelled = s.day(-6, 9);
    s.cancel(&actor, "3", cancelled, None);
    s.near_miss("PEN-01", &actor);
}

fn missing(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let cancelled = s.day(-6, 9);
    s.cancel(&actor, "2", cancelled, None);
    s.near_miss("PEN-01", &actor);
}

/// The day of the death is not known, so the month of the cremation counts as due.
fn cremated_early(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -1);
    s.payee(&actor).status = "3".into();
    let day = s.day(-3, 2);
    s.cremation(&actor, day);
    s.hit("PEN-02", &actor);
}

/// Whoever is cremated on the second died a month earlier as often as not; nobody is charged with that month.
fn cremated_later(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, -2);
    s.payee(&actor).status = "3".into();
    let day = s.day(-3, 2);
    s.cremation(&actor, day);
    s.excused("PEN-02", "X-LAG", &actor);
}

/// The clerk typed the applicant's number twice; the name is the dead father's.
fn applicant(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let day = s.day(-6, 9);
    let name = s.strange_name(&actor);
    let row = s.cremation(&actor, day);
    row.name = name.into();
    row.applicant_id = actor.number().into();
    s.excused("PEN-02", "X-APPLICANT", &actor);
    s.excused("ID-02", "X-APPLICANT", &actor);
}

fn applied_for_relative(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let relative = s.partner(&actor);
    let died = s.day(-6, 9);
    s.cancel(&relative, "1", after(died, 10), Some(died));
    s.cremation(&relative, after(died, 3)).applicant_id = actor.number().into();
    s.near_miss("PEN-02", &actor);
}

/// Without a name a cremation may be the applicant's number again: it must agree, not just not differ.
fn nameless_cremation(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let day = s.day(-6, 9);
    s.cremation(&actor, day).name = "".into();
    s.excused("PEN-02", "X-IDCONF", &actor);
}

/// A certificate without a name still counts by its number.
fn nameless_certificate(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let day = s.day(-6, 9);
    s.certificate(&actor, day).name = "".into();
    s.hit("PEN-03", &actor);
}

/// Nobody died: the office voided its slip.
fn voided_certificate(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let day = s.day(-6, 9);
    s.certificate(&actor, day).status = "作废".into();
    s.near_miss("PEN-03", &actor);
}

/// The day was mistyped; the form was voided and the new one has a number of its own.
fn issued_again(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let (wrong, died) = (s.day(-1, 9), s.day(-6, 9));
    s.certificate(&actor, wrong).status = "作废".into();
    let row = s.certificate(&actor, died);
    row.certificate_no = format!("C97{}", row.certificate_no).into();
    s.hit("PEN-03", &actor);
}

/// A stay proves life for its own month and no more.
fn seen_once_more(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -11, 0);
    let (admitted, left) = (s.day(-9, 5), s.day(-9, 11));
    s.own_stay(&actor, admitted, left);
    s.hit("PEN-01", &actor);
    s.hit("PEN-07", &actor);
}

/// What a clerk typed is no proof of life: both the payments and the certification are to be looked into.
fn certified_after_death(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -6, 0);
    s.certified(&actor, Some(-1), "01");
    s.hit("PEN-01", &actor);
    s.hit("PEN-07", &actor);
}

/// The survivor drew month by month while alive; the entitlement ended with the survivor.
fn survivors_own(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    for month in -11..=0 {
        s.payment(&actor, actor.scheme, "survivor", month);
    }
    let died = s.day(-5, 9);
    s.cancel(&actor, "1", after(died, 12), Some(died));
    s.hit("PEN-01", &actor);
}

/// No table carries a second name for the number, and none contradicts the registry.
fn no_payee_entry(s: &mut Scene<'_>) {
    let actor = s.person();
    s.paid(&actor, -11, 0);
    let died = s.day(-5, 9);
    s.cancel(&actor, "1", after(died, 12), Some(died));
    s.hit("PEN-01", &actor);
}

/// What came back before the death was for something else.
fn refund_before_debt(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -5, 0);
    let (basic, personal) = Scene::monthly(&actor, actor.scheme);
    let credited = s.day(-9, 16);
    s.refund(&actor, None, 5 * (basic + personal.unwrap_or_default())).credited_date = Some(credited);
    s.hit("PEN-01", &actor);
}

/// One person, two names in turn, both in the registry.
fn former_name(s: &mut Scene<'_>) {
    let actor = dead(s, Source::Registry, -5, 0);
    let former = s.registry(&actor).clone();
    let (name, moved) = (s.strange_name(&actor), s.day(-200, 9));
    s.registry(&actor).name = name.into();
    s.rows.registry.push(Registry {
        cancel_category: "3".into(),
        cancel_date: Some(moved),
        death_date: None,
        ..former
    });
    s.hit("PEN-01", &actor);
    s.excused("ID-02", "X-FORMER", &actor);
}

/// Two versions of one certificate.
fn reissued(s: &mut Scene<'_>, first: i32, second: i32) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    for (version, month) in [(1, first), (2, second)] {
        let died = s.day(month, 9);
        s.certificate(&actor, died).version = Some(version);
    }
    actor
}

/// The latest version counts: four months too many.
fn reissued_earlier(s: &mut Scene<'_>) {
    let actor = reissued(s, 0, -4);
    s.hit("PEN-03", &actor);
}

/// The latest version counts: one month too many, where the first had six.
fn reissued_later(s: &mut Scene<'_>) {
    let actor = reissued(s, -6, -1);
    s.excused("PEN-03", "X-LAG", &actor);
}

fn last_minute(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(-1, 31);
    s.certificate(&actor, died).death_time = Some(moment(died, 23 * 60 + 59));
    s.excused("PEN-03", "X-LAG", &actor);
}

fn hospital_and_certificate(s: &mut Scene<'_>) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let died = s.day(-4, 15);
    s.hospital_death(&actor, died);
    s.certificate(&actor, died);
    s.hit("PEN-04", &actor);
    s.hit("PEN-03", &actor);
}

/// A way of discharge that is not a death.
fn discharged(s: &mut Scene<'_>, mode: &'static str) {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let (admitted, left) = (s.day(-6, 2), s.day(-6, 9));
    s.stay(&actor, admitted, left).discharge_mode = mode.into();
    s.near_miss("PEN-04", &actor);
}

fn against_advice(s: &mut Scene<'_>) {
    discharged(s, "4");
}

fn transferred(s: &mut Scene<'_>) {
    discharged(s, "2");
}

/// One hospital with at least 110 discharges, of which more than a tenth are coded as deaths: its "dead"
/// are pensioners who live on. Ten patients with ten ordinary stays each give it the other discharges.
fn miscoded_hospital(s: &mut Scene<'_>, count: u64) {
    const HOSPITAL: &str = "H880101901";
    for _ in 0..10 {
        let patient = s.person();
        for month in -10..=-1 {
            let (admitted, left) = (s.day(month, 3), s.day(month, 6));
            s.stay(&patient, admitted, left).hospital_code = HOSPITAL.into();
        }
    }
    for _ in 0..count.max(14) {
        coded_as_dead(s, HOSPITAL);
    }
    // The same with a clinic visit afterwards: no sign of a wrongly registered death either, since nobody died.
    for _ in 0..count {
        let actor = coded_as_dead(s, HOSPITAL);
        let later = s.day(-2, 14);
        s.visit(&actor, later, "clinic", 0);
        s.excused("PEN-07", "X-CODEMAP", &actor);
    }
}

/// A pensioner whose ordinary stay that hospital coded as a death.
fn coded_as_dead(s: &mut Scene<'_>, hospital: &'static str) -> Actor {
    let actor = s.pensioner();
    s.paid(&actor, -11, 0);
    let (admitted, left) = (s.day(-5, 3), s.day(-5, 9));
    let row = s.stay(&actor, admitted, left);
    row.hospital_code = hospital.into();
    row.discharge_mode = "5".into();
    s.excused("PEN-04", "X-CODEMAP", &actor);
    actor
}
