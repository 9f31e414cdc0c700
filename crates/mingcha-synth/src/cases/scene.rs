//! The stage that cases are played on: makes fresh people, writes their rows, notes the truth.
//! Knows how a row of a controlled life looks; knows no rule.

use chrono::NaiveDate;

use crate::SynthError;
use crate::calendar::{Clock, Month, moment};
use crate::dice::{Dice, Purpose};
use crate::identity::{Identity, Registrar, Sex};
use crate::names;
use crate::places::{self, COUNTIES};
use crate::records::{
    Certificate, Cremation, Custody, Fen, Payee, Payment, Refund, Registry, Renewal, Ride, Rows, Stay, Visit,
};
use crate::truth::TruthRow;

/// Deaths booked to one small hospital; far below the hundred discharges from which a share is judged.
const DEATHS_PER_HOSPITAL: u64 = 20;

/// Somebody in a case.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) county: usize,
    pub(crate) scheme: &'static str,
    /// Where the pension goes; one's own unless a case shares it.
    pub(crate) account: String,
    /// Number of this actor in the city; account, card and household are made of it.
    serial: u64,
    registry: usize,
    payee: Option<usize>,
}

impl Actor {
    pub(crate) fn number(&self) -> String {
        self.identity.number()
    }

    pub(crate) fn card(&self) -> String {
        format!("B99{:010}", self.serial)
    }

    pub(crate) fn household(&self) -> String {
        format!("99{:010}", self.serial)
    }

    /// The 15 digits; every actor was born in the years that had them.
    pub(crate) fn old_number(&self) -> String {
        self.identity.old_number().unwrap_or_else(|| self.number())
    }
}

/// The stage.
pub(crate) struct Scene<'a> {
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) rows: Rows,
    seed: u64,
    registrar: &'a mut Registrar,
    truth: Vec<TruthRow>,
    name: &'static str,
    serial: u64,
    hospital_deaths: u64,
    failed: bool,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(seed: u64, clock: Clock, registrar: &'a mut Registrar) -> Self {
        Self {
            clock,
            dice: Dice::new(seed, Purpose::Case, 0),
            rows: Rows::default(),
            seed,
            registrar,
            truth: Vec::new(),
            name: "",
            serial: 0,
            hospital_deaths: 0,
            failed: false,
        }
    }

    /// Begins a kind of case, with chance of its own: a new kind does not change the others.
    pub(crate) fn open(&mut self, kind: u64, name: &'static str) {
        self.dice = Dice::new(self.seed, Purpose::Case, kind + 1);
        self.name = name;
    }

    /// Ends the play.
    pub(crate) fn close(self) -> Result<(Rows, Vec<TruthRow>), SynthError> {
        if self.failed { Err(SynthError::TooManyPersons) } else { Ok((self.rows, self.truth)) }
    }

    // --- the truth ---

    /// The rule must flag this person.
    pub(crate) fn hit(&mut self, rule: &str, actor: &Actor) {
        let number = actor.number();
        self.note("hit", rule, true, None, &number, &number);
    }

    /// The rule must not flag this person, because this exclusion holds.
    pub(crate) fn excused(&mut self, rule: &str, exclusion: &str, actor: &Actor) {
        let number = actor.number();
        self.note(exclusion, rule, false, Some(exclusion), &number, &number);
    }

    /// The rule must not flag this person, who is close to it.
    pub(crate) fn near_miss(&mut self, rule: &str, actor: &Actor) {
        let number = actor.number();
        self.note("near_miss", rule, false, None, &number, &number);
    }

    /// A verdict about a subject that is not a person.
    pub(crate) fn note(
        &mut self,
        kind: &str,
        rule: &str,
        expected: bool,
        exclusion: Option<&str>,
        id_number: &str,
        subject: &str,
    ) {
        self.truth.push(TruthRow {
            kind: kind.to_owned(),
            id_number: id_number.to_owned(),
            rule_id: rule.to_owned(),
            expected,
            exclusion: exclusion.map(str::to_owned),
            subject_id: subject.to_owned(),
            note: self.name.to_owned(),
        });
    }

    /// Verdicts so far that a rule must flag somebody.
    pub(crate) fn hits(&self) -> usize {
        self.truth.iter().filter(|row| row.expected).count()
    }

    /// Adds to the note of the last verdict.
    pub(crate) fn annotate(&mut self, note: &str) {
        if let Some(row) = self.truth.last_mut() {
            row.note = format!("{}: {note}", row.note);
        }
    }

    // --- time ---

    /// The month so many months after the last one paid (before it, if negative).
    pub(crate) fn month(&self, offset: i32) -> Month {
        self.clock.paid.plus(offset)
    }

    /// A day of such a month.
    pub(crate) fn day(&self, offset: i32, day: u32) -> NaiveDate {
        self.month(offset).day(day)
    }

    // --- people ---

    /// Somebody of 62 to 68 in the registry, in a county without gaps.
    pub(crate) fn person(&mut self) -> Actor {
        let years = self.dice.between(62, 68).unsigned_abs() as u32;
        self.aged(years)
    }

    /// Somebody of this age.
    pub(crate) fn aged(&mut self, years: u32) -> Actor {
        let days = self.dice.between(40, 300).unsigned_abs();
        let birth = self.clock.birth(years, days);
        self.born(birth, places::COVERED)
    }

    /// Somebody of this age in a certain county.
    pub(crate) fn aged_in(&mut self, years: u32, county: usize) -> Actor {
        let birth = self.clock.birth(years, 100);
        let mut actor = self.born(birth, places::COVERED);
        actor.county = county;
        self.registry(&actor).area_code = COUNTIES[county].code.to_string().into();
        actor
    }

    fn born(&mut self, birth: NaiveDate, counties: usize) -> Actor {
        let sex = if self.dice.percent(50) { Sex::Male } else { Sex::Female };
        let county = self.dice.below(counties as u64) as usize;
        let name = names::name(&mut self.dice, sex);
        self.enter(county, birth, sex, name)
    }

    /// Somebody with a new number but the same name, birth date and sex.
    pub(crate) fn namesake(&mut self, of: &Actor) -> Actor {
        self.namesake_in(of, of.county)
    }

    /// The same, with a number issued by another county, whose sequence is not near either.
    pub(crate) fn namesake_elsewhere(&mut self, of: &Actor) -> Actor {
        let county = (of.county + 1) % places::COVERED;
        let Identity { birth, sequence, .. } = of.identity;
        // Numbers in between belong to people who do not appear.
        for _ in 0..8 {
            let unused = self.registrar.issue(county, birth, of.identity.sex());
            if unused.is_some_and(|u| u.sequence.abs_diff(sequence) > 6) {
                break;
            }
        }
        self.namesake_in(of, county)
    }

    fn namesake_in(&mut self, of: &Actor, county: usize) -> Actor {
        let Identity { birth, .. } = of.identity;
        self.enter(county, birth, of.identity.sex(), of.name.clone())
    }

    /// Somebody of the other sex and about the same age, whose name differs.
    pub(crate) fn partner(&mut self, of: &Actor) -> Actor {
        let sex = of.identity.sex().other();
        let name = names::stranger(&mut self.dice, &of.name, sex);
        let birth = crate::calendar::after(of.identity.birth, self.dice.between(30, 300).unsigned_abs());
        self.enter(of.county, birth, sex, name)
    }

    /// Gives an actor another name before any row but the registry's is written.
    pub(crate) fn rename(&mut self, actor: &mut Actor, name: String) {
        self.registry(actor).name = name.clone().into();
        actor.name = name;
    }

    fn enter(&mut self, county: usize, birth: NaiveDate, sex: Sex, name: String) -> Actor {
        let identity = self.registrar.issue(county, birth, sex).unwrap_or_else(|| {
            self.failed = true;
            Identity { area: 0, birth, sequence: 0 }
        });
        self.serial += 1;
        let actor = Actor {
            identity,
            name,
            county,
            scheme: if self.serial.is_multiple_of(3) { "110" } else { "170" },
            account: format!("621799{:013}", self.serial),
            serial: self.serial,
            registry: self.rows.registry.len(),
            payee: None,
        };
        self.rows.registry.push(Registry {
            id_number: actor.number().into(),
            name: actor.name.clone().into(),
            sex: sex.code().into(),
            birth_date: Some(birth),
            area_code: COUNTIES[county].code.to_string().into(),
            household_no: actor.household().into(),
            relation: "02".into(),
            status: "正常".into(),
            ..Registry::default()
        });
        actor
    }

    /// A name that cannot be this actor's.
    pub(crate) fn strange_name(&mut self, actor: &Actor) -> String {
        names::stranger(&mut self.dice, &actor.name, actor.identity.sex())
    }

    // --- rows about a person ---

    /// The registry row, to be changed.
    pub(crate) fn registry(&mut self, actor: &Actor) -> &mut Registry {
        &mut self.rows.registry[actor.registry]
    }

    /// Cancels the registry row.
    pub(crate) fn cancel(
        &mut self,
        actor: &Actor,
        category: &'static str,
        cancelled: NaiveDate,
        died: Option<NaiveDate>,
    ) {
        let row = self.registry(actor);
        row.status = "注销".into();
        row.cancel_category = category.into();
        row.cancel_date = Some(cancelled);
        row.death_date = died;
    }

    /// Somebody of 62 to 68 with a pension in payment and nothing else.
    pub(crate) fn pensioner(&mut self) -> Actor {
        let mut actor = self.person();
        self.enrol(&mut actor);
        actor
    }

    /// Enters an actor with the payer, in the actor's own scheme.
    pub(crate) fn enrol(&mut self, actor: &mut Actor) {
        actor.payee = Some(self.rows.payees.len());
        self.enrol_in(actor, actor.scheme);
    }

    /// One more row with the payer, in this scheme.
    pub(crate) fn enrol_in(&mut self, actor: &Actor, scheme: &'static str) -> &mut Payee {
        let start = Month::of(actor.identity.birth).plus(60 * 12 + 1);
        let cert = self.month(-40);
        self.push(
            |rows| &mut rows.payees,
            Payee {
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                sex: actor.identity.sex().code().into(),
                birth_date: Some(actor.identity.birth),
                scheme: scheme.into(),
                status: "1".into(),
                start_month: Some(start),
                account_no: actor.account.clone().into(),
                bank: "云栖农商银行".into(),
                area_code: COUNTIES[actor.county].code.to_string().into(),
                village: "青禾村".into(),
                phone: format!("101{:08}", actor.serial).into(),
                // Long ago: a sign of life, but of nothing that happens in a case.
                last_cert_month: Some(cert),
                cert_type: "01".into(),
                next_cert_month: Some(cert.plus(12)),
                residence: "1".into(),
                operator: "窗口01".into(),
                ..Payee::default()
            },
        )
    }

    /// The payer's row of an enrolled actor, to be changed.
    pub(crate) fn payee(&mut self, actor: &Actor) -> &mut Payee {
        let index = actor.payee.unwrap_or_default();
        &mut self.rows.payees[index]
    }

    /// The pension has been stopped; this was the last month paid.
    pub(crate) fn stopped(&mut self, actor: &Actor, last: i32) {
        let month = self.month(last);
        let row = self.payee(actor);
        row.status = "3".into();
        row.stop_month = Some(month);
        row.stop_reason = "1401".into();
    }

    /// The pension has been paused; this was the first month not paid.
    pub(crate) fn paused(&mut self, actor: &Actor, first: i32) {
        let month = self.month(first);
        let row = self.payee(actor);
        row.status = "2".into();
        row.pause_month = Some(month);
        row.stop_reason = "1201".into();
    }

    /// The last certification of an enrolled actor.
    pub(crate) fn certified(&mut self, actor: &Actor, month: Option<i32>, kind: &'static str) {
        let month = month.map(|m| self.month(m));
        let row = self.payee(actor);
        row.last_cert_month = month;
        row.cert_type = if month.is_some() { kind } else { "" }.into();
        row.next_cert_month = month.map(|m| m.plus(12));
    }

    /// What an actor gets each month, in fen: basic pension and, in scheme 110, personal account.
    pub(crate) fn monthly(actor: &Actor, scheme: &str) -> (i64, Option<i64>) {
        let basic = if scheme == "170" { 16_500 } else { 240_000 } + (actor.serial % 400).cast_signed() * 10;
        (basic, (scheme != "170").then_some(basic / 6))
    }

    /// Ordinary payments for every month from `first` to `last`.
    pub(crate) fn paid(&mut self, actor: &Actor, first: i32, last: i32) {
        self.paid_in(actor, actor.scheme, first, last);
    }

    /// The same in a certain scheme.
    pub(crate) fn paid_in(&mut self, actor: &Actor, scheme: &'static str, first: i32, last: i32) {
        for month in first..=last {
            self.payment(actor, scheme, "basic", month);
            if scheme != "170" {
                self.payment(actor, scheme, "personal_account", month);
            }
        }
    }

    /// One payment, to be changed.
    pub(crate) fn payment(
        &mut self,
        actor: &Actor,
        scheme: &'static str,
        item: &'static str,
        month: i32,
    ) -> &mut Payment {
        let (basic, personal) = Self::monthly(actor, scheme);
        let fen = match item {
            "basic" => basic,
            "personal_account" => personal.unwrap_or_default(),
            _ => 300_000 + (actor.serial % 900).cast_signed() * 100,
        };
        let month = self.month(month);
        self.push(
            |rows| &mut rows.payments,
            Payment {
                id_number: actor.number().into(),
                scheme: scheme.into(),
                item: item.into(),
                period_month: Some(month),
                paid_date: Some(month.day(12)),
                amount: Some(Fen(fen)),
                pay_state: "1".into(),
                adjust_type: "".into(),
                account_no: actor.account.clone().into(),
            },
        )
    }

    /// Money that came back for a month, or for no month in particular.
    pub(crate) fn refund(&mut self, actor: &Actor, month: Option<i32>, fen: i64) -> &mut Refund {
        let credited = self.day(0, 16);
        let month = month.map(|m| self.month(m));
        self.push(
            |rows| &mut rows.refunds,
            Refund {
                id_number: actor.number().into(),
                period_month: month,
                scheme: "".into(),
                amount: Some(Fen(fen)),
                state: "1".into(),
                credited_date: Some(credited),
            },
        )
    }

    /// All the money of each of these months came back.
    pub(crate) fn refunded(&mut self, actor: &Actor, first: i32, last: i32) {
        let (basic, personal) = Self::monthly(actor, actor.scheme);
        for month in first..=last {
            self.refund(actor, Some(month), basic + personal.unwrap_or_default());
        }
    }

    /// A death certificate, version 1.
    pub(crate) fn certificate(&mut self, actor: &Actor, died: NaiveDate) -> &mut Certificate {
        self.push(
            |rows| &mut rows.certificates,
            Certificate {
                certificate_no: format!("C99{:010}", actor.serial).into(),
                version: Some(1),
                status: "有效".into(),
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                death_time: Some(moment(died, 400)),
                issuing_org: places::certifier(actor.county).into(),
                issue_date: Some(died),
                kin_id_number: "".into(),
            },
        )
    }

    /// A cremation on this day.
    pub(crate) fn cremation(&mut self, actor: &Actor, day: NaiveDate) -> &mut Cremation {
        self.push(
            |rows| &mut rows.cremations,
            Cremation {
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                cremation_date: Some(day),
                applicant_id: "".into(),
                funeral_home: places::funeral_home(actor.county).into(),
            },
        )
    }

    /// A stay in the first hospital of the actor's county, discharged home.
    pub(crate) fn stay(&mut self, actor: &Actor, admitted: NaiveDate, discharged: NaiveDate) -> &mut Stay {
        let fund = 420_000 + (actor.serial % 700).cast_signed() * 100;
        self.push(
            |rows| &mut rows.stays,
            Stay {
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                hospital_code: places::hospital(actor.county, 0).into(),
                admit_time: Some(moment(admitted, 9 * 60)),
                discharge_time: Some(moment(discharged, 15 * 60)),
                discharge_mode: "1".into(),
                ward_type: "general".into(),
                diagnosis: "肺部感染".into(),
                total_cost: Some(Fen(fund + 150_000)),
                fund_paid: Some(Fen(fund)),
                self_paid: Some(Fen(150_000)),
            },
        )
    }

    /// A stay that the patient paid alone.
    pub(crate) fn own_stay(&mut self, actor: &Actor, admitted: NaiveDate, discharged: NaiveDate) {
        let row = self.stay(actor, admitted, discharged);
        row.self_paid = row.total_cost;
        row.fund_paid = Some(Fen(0));
    }

    /// A death in a small hospital, after four days there.
    pub(crate) fn hospital_death(&mut self, actor: &Actor, died: NaiveDate) -> &mut Stay {
        let hospital = format!("T88{:05}", self.hospital_deaths / DEATHS_PER_HOSPITAL);
        self.hospital_deaths += 1;
        let row = self.stay(actor, crate::calendar::before(died, 4), died);
        row.hospital_code = hospital.into();
        row.discharge_mode = "5".into();
        row
    }

    /// A visit (`clinic` or `pharmacy`) for which the fund paid so much.
    pub(crate) fn visit(
        &mut self,
        actor: &Actor,
        day: NaiveDate,
        kind: &'static str,
        fund: i64,
    ) -> &mut Visit {
        self.push(
            |rows| &mut rows.visits,
            Visit {
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                org_code: places::clinic(actor.county, actor.serial).into(),
                visit_time: Some(moment(day, 10 * 60)),
                visit_type: kind.into(),
                total_cost: Some(Fen(fund + 3_000)),
                fund_paid: Some(Fen(fund)),
            },
        )
    }

    /// A renewal of the actor's card.
    pub(crate) fn renewal(&mut self, actor: &Actor, day: NaiveDate, channel: &'static str) -> &mut Renewal {
        self.push(
            |rows| &mut rows.renewals,
            Renewal {
                card_no: actor.card().into(),
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                renewal_date: Some(day),
                channel: channel.into(),
            },
        )
    }

    /// A tap of the actor's card, whose owner a renewal must tell.
    pub(crate) fn ride(&mut self, actor: &Actor, day: NaiveDate) {
        self.rows.rides.push(Ride {
            card_no: actor.card().into(),
            tap_time: Some(moment(day, 8 * 60)),
            line: "7路".into(),
            stop: "青禾村站".into(),
        });
    }

    /// A sentence.
    pub(crate) fn custody(
        &mut self,
        actor: &Actor,
        kind: &'static str,
        start: NaiveDate,
        end: Option<NaiveDate>,
    ) -> &mut Custody {
        self.push(
            |rows| &mut rows.custody,
            Custody {
                id_number: actor.number().into(),
                name: actor.name.clone().into(),
                sentence_type: kind.into(),
                custody_start: Some(start),
                custody_end: end,
                place: "归湖监狱".into(),
                ..Custody::default()
            },
        )
    }

    /// Adds a row and gives it back to be changed.
    fn push<T>(&mut self, list: fn(&mut Rows) -> &mut Vec<T>, row: T) -> &mut T {
        let list = list(&mut self.rows);
        list.push(row);
        let last = list.len() - 1;
        &mut list[last]
    }
}
