//! What happens to ordinary people: names, deaths that were handled properly, pensions, certifications,
//! illness, buses, sentences. Everything here is lawful and complete enough that no rule may flag it:
//! the truth of a city relies on that.
//!
//! The promises to the truth, each kept by the code below:
//! - all sources of a death tell one day (a cremation follows after 3 to 5 days), and nothing happens later;
//! - a pension ends with the month of death or one month after (the ordinary lag);
//! - every payee of 70 or more has a desk certification within 12 months, or a telephone one within 4;
//! - nobody is older than 99; nobody in custody has a pension; nobody is paid by two schemes;
//! - stays of one person never overlap; accounts and cards are never shared;
//! - names differ between sources by spaces and dots only; birth dates and sexes on file agree with the
//!   number, or are not given.

use std::borrow::Cow;

use chrono::NaiveDate;

use crate::calendar::{Clock, Month, after, age, back, before, moment};
use crate::dice::{Dice, Purpose};
use crate::identity::{Identity, Sex};
use crate::names;
use crate::people::{Household, Person, Relation};
use crate::places::{self, COUNTIES};
use crate::records::{
    Certificate, Cremation, Custody, Fen, Payee, Payment, Refund, Registry, Renewal, Ride, Rows, Stay, Text,
    Visit,
};

const DIAGNOSES: &[&str] = &[
    "高血压",
    "2型糖尿病",
    "脑梗死",
    "肺部感染",
    "冠心病",
    "腰椎间盘突出",
    "白内障",
    "胆囊结石",
    "骨折",
    "慢性阻塞性肺疾病",
];
const BANKS: &[&str] = &["云栖农商银行", "归湖城市银行", "双溪村镇银行"];
const OPERATORS: &[&str] = &["窗口01", "窗口02", "窗口03", "窗口04", "系统批量"];

/// Months of stays and visits that the extracts hold.
const HISTORY: i32 = 24;
/// Months of ordinary payments that the extracts hold.
const PAID_MONTHS: i32 = 12;

/// A person with everything that was decided about them.
struct Subject {
    person: Person,
    name: String,
    death: Option<NaiveDate>,
}

impl Subject {
    fn number(&self) -> String {
        self.person.identity.number()
    }
}

/// Writes the lives of households.
pub(crate) struct Chronicle {
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    /// Whether spellings are as untidy as in real extracts.
    pub(crate) dirt: bool,
}

impl Chronicle {
    /// The rows that a household leaves in the extracts.
    pub(crate) fn write(&self, household: &Household, rows: &mut Rows) {
        let dice = Dice::new(self.seed, Purpose::Life, household.index);
        let mut writer = Writer { chronicle: self, household, dice, rows };
        let subjects = writer.subjects();
        for (i, subject) in subjects.iter().enumerate() {
            let kin = subjects.iter().enumerate().find(|(j, other)| *j != i && other.death.is_none());
            writer.live(subject, kin.map(|(_, other)| other));
        }
    }
}

struct Writer<'a> {
    chronicle: &'a Chronicle,
    household: &'a Household,
    dice: Dice,
    rows: &'a mut Rows,
}

impl Writer<'_> {
    fn clock(&self) -> Clock {
        self.chronicle.clock
    }

    fn subjects(&mut self) -> Vec<Subject> {
        let family = names::surname(&mut self.dice);
        let mut subjects: Vec<Subject> = Vec::with_capacity(self.household.people.len());
        for person in &self.household.people {
            let name = loop {
                let name = self.name(family, person);
                if subjects.iter().all(|other| other.name != name) {
                    break name;
                }
            };
            let death = self.death(person.identity.birth);
            subjects.push(Subject { person: *person, name, death });
        }
        subjects
    }

    fn name(&mut self, family: &str, person: &Person) -> String {
        let sex = person.identity.sex();
        match person.relation {
            Relation::Spouse | Relation::Mother => names::name(&mut self.dice, sex),
            _ => format!("{family}{}", names::given(&mut self.dice, sex)),
        }
    }

    /// The day of death, if it fell into the last three years: the hazard of Gompertz, whole-numbered.
    fn death(&mut self, birth: NaiveDate) -> Option<NaiveDate> {
        let as_of = self.clock().as_of;
        for years in (1..=3).rev() {
            let start = back(as_of, years * 12);
            let reached = age(birth, start);
            if reached < 0 {
                continue;
            }
            if self.dice.ppm(hazard(reached)) {
                let day = after(start, self.dice.below(365));
                return (day > birth).then_some(day);
            }
        }
        None
    }

    fn live(&mut self, subject: &Subject, kin: Option<&Subject>) {
        self.register(subject);
        let died_in_hospital = subject.death.filter(|_| self.dice.percent(25));
        self.hospital(subject, died_in_hospital);
        self.outpatient(subject);
        if let Some(death) = subject.death {
            self.certify_death(subject, kin, death);
        }
        let years = age(subject.person.identity.birth, subject.death.unwrap_or(self.clock().as_of));
        let early = years >= 55 && subject.person.identity.sex() == Sex::Female && self.dice.percent(30);
        let pensioner = early || (years >= 60 && self.dice.percent(92));
        if pensioner {
            self.pension(subject, years);
        } else if subject.death.is_none() && (20..55).contains(&years) && self.dice.ppm(1_500) {
            self.sentence(subject);
        }
        if years >= 65 && self.dice.percent(50) {
            self.buses(subject);
        }
    }

    /// How a number is spelt in one row. Everything here normalises to the same number.
    fn spelt(&mut self, identity: &Identity) -> Text {
        let number = identity.number();
        if !self.chronicle.dirt || !self.dice.ppm(6_000) {
            return number.into();
        }
        match self.dice.below(5) {
            0 => number.to_lowercase(),
            1 => number.chars().map(full_width).collect(),
            2 => format!("'{number}"),
            3 => format!("{number}  "),
            _ => identity.old_number().unwrap_or(number),
        }
        .into()
    }

    /// How a name is spelt in one row: as it is, but for spaces and the shape of a dot.
    fn written(&mut self, name: &str) -> Text {
        if !self.chronicle.dirt || !self.dice.ppm(6_000) {
            return name.to_owned().into();
        }
        match self.dice.below(3) {
            0 => format!("{name} "),
            1 if name.chars().count() == 2 => {
                name.chars().map(String::from).collect::<Vec<_>>().join("\u{3000}")
            }
            _ => name.replace('·', "•"),
        }
        .into()
    }

    fn register(&mut self, subject: &Subject) {
        let Subject { person, name, death } = subject;
        let id_number = self.spelt(&person.identity);
        let name = self.written(name);
        let sex = if self.dice.ppm(2_000) { "9" } else { person.identity.sex().code() };
        let birth_date = (!self.dice.ppm(3_000)).then_some(person.identity.birth);
        let mut row = Registry {
            id_number,
            name,
            sex: sex.into(),
            birth_date,
            area_code: COUNTIES[self.household.county].code.to_string().into(),
            household_no: format!("88{:010}", self.household.index).into(),
            relation: person.relation.code().into(),
            status: "正常".into(),
            ..Registry::default()
        };
        let (category, date, death_date) = match death {
            Some(day) => {
                let reported = after(*day, self.dice.between(4, 35).cast_unsigned());
                ("1", reported, (!self.dice.percent(4)).then_some(*day))
            }
            None if self.dice.ppm(10_000) => ("3", before(self.clock().as_of, self.dice.below(1_000)), None),
            None if self.dice.ppm(200) => ("2", before(self.clock().as_of, self.dice.below(1_000)), None),
            None => ("", self.clock().as_of, None),
        };
        if !category.is_empty() && date <= self.clock().as_of {
            row.status = "注销".into();
            row.cancel_category = category.into();
            row.cancel_date = Some(date);
            row.death_date = death_date;
        }
        self.rows.registry.push(row);
    }

    fn certify_death(&mut self, subject: &Subject, kin: Option<&Subject>, death: NaiveDate) {
        let county = self.household.county;
        if self.dice.percent(85) {
            let row = Certificate {
                certificate_no: format!("C88{:010}", subject.person.index).into(),
                version: Some(1),
                status: "有效".into(),
                id_number: self.spelt(&subject.person.identity),
                name: self.written(&subject.name),
                death_time: Some(moment(death, self.dice.below(1440) as u32)),
                issuing_org: places::certifier(county).into(),
                issue_date: Some(death),
                kin_id_number: kin.map(|k| k.number()).unwrap_or_default().into(),
            };
            self.rows.certificates.push(row);
        }
        let day = after(death, self.dice.between(3, 5).cast_unsigned());
        if self.dice.percent(75) && day <= self.clock().as_of {
            let row = Cremation {
                id_number: self.spelt(&subject.person.identity),
                name: self.written(&subject.name),
                cremation_date: Some(day),
                applicant_id: kin.map(|k| k.number()).unwrap_or_default().into(),
                funeral_home: places::funeral_home(county).into(),
            };
            self.rows.cremations.push(row);
        }
    }

    fn hospital(&mut self, subject: &Subject, died_in_hospital: Option<NaiveDate>) {
        let now = Month::of(self.clock().as_of);
        // Stays are kept apart from a death by a whole month, so that none reaches into the last one.
        let last = subject.death.map_or(now.plus(-1), |d| Month::of(d).plus(-2));
        let first = Month::of(subject.person.identity.birth).plus(1).max(now.plus(1 - HISTORY));
        let years = age(subject.person.identity.birth, self.clock().as_of);
        let expected = match years {
            ..50 => 60,
            50..65 => 200,
            65..80 => 500,
            _ => 800,
        };
        let mut month = first;
        for _ in 0..self.dice.events(expected) {
            month = month.plus(self.dice.between(0, 7) as i32);
            if month > last {
                break;
            }
            let admitted = month.day(self.dice.between(1, 12) as u32);
            let days = self.dice.between(3, 13).cast_unsigned();
            let mode = ["1", "1", "1", "1", "1", "1", "2", "3", "4", "9"][self.dice.below(10) as usize];
            self.stay(subject, admitted, after(admitted, days), mode);
            month = month.plus(1);
        }
        if let Some(death) = died_in_hospital.filter(|d| Month::of(*d) > now.plus(1 - HISTORY)) {
            let days = self.dice.between(1, 12).cast_unsigned();
            self.stay(subject, before(death, days).max(subject.person.identity.birth), death, "5");
        }
    }

    fn stay(&mut self, subject: &Subject, admitted: NaiveDate, discharged: NaiveDate, mode: &'static str) {
        let total = self.dice.between(1_500, 30_000) * 100 + self.dice.between(0, 99);
        let fund = total * self.dice.between(50, 85) / 100;
        let county =
            if self.dice.percent(85) { self.household.county } else { places::county(&mut self.dice) };
        let row = Stay {
            id_number: self.spelt(&subject.person.identity),
            name: self.written(&subject.name),
            hospital_code: places::hospital(county, self.dice.below(3)).into(),
            admit_time: Some(moment(admitted, self.dice.between(420, 700) as u32)),
            discharge_time: Some(moment(discharged, self.dice.between(720, 1_020) as u32)),
            discharge_mode: mode.into(),
            ward_type: "general".into(),
            diagnosis: Cow::Borrowed(*self.dice.pick(DIAGNOSES)),
            total_cost: Some(Fen(total)),
            fund_paid: Some(Fen(fund)),
            self_paid: Some(Fen(total - fund)),
        };
        self.rows.stays.push(row);
    }

    fn outpatient(&mut self, subject: &Subject) {
        let birth = subject.person.identity.birth;
        let end = subject.death.unwrap_or(self.clock().as_of);
        let start = back(self.clock().as_of, HISTORY.cast_unsigned()).max(birth);
        let days = (end - start).num_days();
        if days < 1 {
            return;
        }
        let expected = match age(birth, self.clock().as_of) {
            ..50 => 1_200,
            50..65 => 2_000,
            _ => 4_000,
        };
        let expected = (expected * days.cast_unsigned()) / 730;
        for _ in 0..self.dice.events(expected) {
            let day = after(start, self.dice.below(days.cast_unsigned()));
            let total = self.dice.between(20, 600) * 100 + self.dice.between(0, 99);
            let pharmacy = self.dice.percent(35);
            let row = Visit {
                id_number: self.spelt(&subject.person.identity),
                name: self.written(&subject.name),
                org_code: places::clinic(self.household.county, self.dice.below(40)).into(),
                visit_time: Some(moment(day, self.dice.between(450, 1_080) as u32)),
                visit_type: if pharmacy { "pharmacy" } else { "clinic" }.into(),
                total_cost: Some(Fen(total)),
                fund_paid: Some(Fen(total * self.dice.between(0, 70) / 100)),
            };
            self.rows.visits.push(row);
        }
    }

    fn sentence(&mut self, subject: &Subject) {
        let start = before(self.clock().as_of, self.dice.between(30, 1_400).cast_unsigned());
        let end = after(start, self.dice.between(180, 2_000).cast_unsigned());
        let kinds =
            ["imprisonment", "imprisonment", "imprisonment", "suspended", "control", "parole", "outside"];
        let row = Custody {
            id_number: self.spelt(&subject.person.identity),
            name: self.written(&subject.name),
            sentence_type: Cow::Borrowed(*self.dice.pick(&kinds)),
            custody_start: Some(start),
            custody_end: (end <= self.clock().as_of).then_some(end),
            term_end: Some(end),
            place: "归湖监狱".into(),
            ..Custody::default()
        };
        self.rows.custody.push(row);
    }

    fn buses(&mut self, subject: &Subject) {
        let as_of = self.clock().as_of;
        let end = subject.death.unwrap_or(as_of);
        let card = format!("B88{:010}", subject.person.index);
        let known = self.rows.renewals.len();
        for years in 0..3_u32 {
            let day = before(back(as_of, years * 12), self.dice.below(300));
            if day >= end || !self.dice.percent(80) {
                continue;
            }
            let channel = *self.dice.pick(&["in_person", "in_person", "in_person", "online", "proxy"]);
            let row = Renewal {
                card_no: card.clone().into(),
                id_number: self.spelt(&subject.person.identity),
                name: self.written(&subject.name),
                renewal_date: Some(day),
                channel: channel.into(),
            };
            self.rows.renewals.push(row);
        }
        let days = (end - back(as_of, 3)).num_days();
        // Nobody could tell whose card it is that was never renewed.
        if days < 1 || self.rows.renewals.len() == known {
            return;
        }
        for _ in 0..self.dice.events(6_000) {
            let day = before(end, 1 + self.dice.below(days.cast_unsigned()));
            let row = Ride {
                card_no: card.clone().into(),
                tap_time: Some(moment(day, self.dice.between(360, 1_260) as u32)),
                line: format!("{}路", self.dice.between(1, 68)).into(),
                stop: format!("{}站", places::village(&mut self.dice)).into(),
            };
            self.rows.rides.push(row);
        }
    }

    fn pension(&mut self, subject: &Subject, years: i32) {
        let clock = self.clock();
        let identity = subject.person.identity;
        let retired = if years < 60 { 55 } else { 60 };
        let start = Month::of(identity.birth).plus(retired * 12 + 1);
        let scheme = if years < 60 { "110" } else { ["170", "110", "120"][self.dice.weighted(&[62, 32, 6])] };
        let mut payee = Payee {
            id_number: self.spelt(&identity),
            name: self.written(&subject.name),
            sex: identity.sex().code().into(),
            birth_date: (!self.dice.ppm(5_000)).then_some(identity.birth),
            scheme: scheme.into(),
            status: "1".into(),
            start_month: Some(start),
            account_no: format!("621788{:013}", subject.person.index).into(),
            bank: Cow::Borrowed(*self.dice.pick(BANKS)),
            area_code: COUNTIES[self.household.county].code.to_string().into(),
            village: places::village(&mut self.dice).into(),
            // No telephone number begins with 100.
            phone: format!("100{:08}", self.dice.below(100_000_000)).into(),
            residence: ["1", "2", "3", "4"][self.dice.weighted(&[945, 35, 3, 17])].into(),
            operator: Cow::Borrowed(*self.dice.pick(OPERATORS)),
            ..Payee::default()
        };
        self.certification(&mut payee, subject, years);
        let last = match subject.death {
            Some(death) => {
                let due = Month::of(death).plus(i32::from(self.dice.percent(30)));
                if due < clock.paid {
                    payee.status = "3".into();
                    payee.stop_month = Some(due);
                    payee.stop_reason = "1401".into();
                }
                due.min(clock.paid)
            }
            None if self.dice.percent(1) => {
                payee.status = "2".into();
                payee.pause_month = Some(clock.paid.plus(-2));
                payee.stop_reason = "1201".into();
                clock.paid.plus(-3)
            }
            None => clock.paid,
        };
        self.payments(&payee, subject, start, last);
        self.rows.payees.push(payee);
    }

    /// Of the living aged 70 or more everybody has a sign of life that no rule about silence may overlook.
    fn certification(&mut self, payee: &mut Payee, subject: &Subject, years: i32) {
        let month = match subject.death {
            Some(death) => Month::of(death).plus(-1 - self.dice.between(0, 9) as i32),
            None => self.clock().paid,
        };
        let (kind, months) = match (subject.death, years) {
            (Some(_), _) => ("01", 0),
            (None, 70..) if self.dice.percent(70) => ("01", self.dice.between(0, 10)),
            (None, 70..) => (["02", "03"][self.dice.below(2) as usize], self.dice.between(0, 2)),
            _ => (["01", "02", "03", "05"][self.dice.weighted(&[40, 40, 15, 5])], self.dice.between(0, 14)),
        };
        if years < 70 && self.dice.percent(5) {
            return;
        }
        let month = month.plus(-(months as i32));
        payee.last_cert_month = Some(month);
        payee.cert_type = kind.into();
        payee.next_cert_month = Some(month.plus(12));
    }

    fn payments(&mut self, payee: &Payee, subject: &Subject, start: Month, last: Month) {
        let first = start.max(self.clock().paid.plus(1 - PAID_MONTHS));
        let id_number = self.spelt(&subject.person.identity);
        let basic = match payee.scheme.as_ref() {
            "170" => self.dice.between(14_300, 32_000),
            "110" => self.dice.between(160_000, 420_000),
            _ => self.dice.between(350_000, 720_000),
        };
        // Those who had retired before personal accounts began have none.
        let years = age(subject.person.identity.birth, self.clock().as_of);
        let personal = (payee.scheme != "170" && years < 85).then_some(basic / 6);
        let row = |item: &'static str, month: Month, fen: i64| Payment {
            id_number: id_number.clone(),
            scheme: payee.scheme.clone(),
            item: item.into(),
            period_month: Some(month),
            paid_date: Some(month.day(12)),
            amount: Some(Fen(fen)),
            pay_state: "1".into(),
            adjust_type: "".into(),
            account_no: payee.account_no.clone(),
        };
        for month in first.through(last) {
            if self.dice.ppm(2_000) {
                let failed = Payment { pay_state: "2".into(), ..row("basic", month, basic) };
                self.rows.payments.push(failed);
                let retry = Payment { paid_date: Some(month.day(15)), ..row("basic", month, basic) };
                self.rows.payments.push(retry);
            } else {
                self.rows.payments.push(row("basic", month, basic));
            }
            if let Some(fen) = personal {
                self.rows.payments.push(row("personal_account", month, fen));
            }
        }
        match subject.death {
            Some(death) => self.settle(subject, death, last, basic + personal.unwrap_or(0), &row),
            None if payee.scheme == "110" && first <= last && self.dice.percent(2) => {
                let raise = Payment {
                    adjust_type: "11".into(),
                    paid_date: Some(last.day(14)),
                    ..row("basic", first, basic / 25)
                };
                self.rows.payments.push(raise);
            }
            None => {}
        }
    }

    /// After a death: the month too many is asked back, and the family gets the grant.
    fn settle(
        &mut self,
        subject: &Subject,
        death: NaiveDate,
        last: Month,
        monthly: i64,
        row: &impl Fn(&'static str, Month, i64) -> Payment,
    ) {
        let month = Month::of(death);
        if last > month && last < self.clock().paid && self.dice.percent(50) {
            let refund = Refund {
                id_number: self.spelt(&subject.person.identity),
                period_month: Some(last),
                scheme: "".into(),
                amount: Some(Fen(monthly)),
                state: "1".into(),
                credited_date: Some(last.plus(1).day(20)),
            };
            self.rows.refunds.push(refund);
        }
        let grant = month.plus(2);
        if grant <= self.clock().paid && self.dice.percent(70) {
            let fen = self.dice.between(2_000, 30_000) * 100;
            self.rows.payments.push(row("funeral_grant", grant, fen));
        }
    }
}

fn full_width(c: char) -> char {
    char::from_u32(c as u32 + 0xFEE0).unwrap_or(c)
}

/// Chance to die within a year, in millionths: 25e-6 * 1.1^age (Gompertz), at most 40 %.
fn hazard(age: i32) -> u64 {
    let mut ppm = 25_000_u64; // thousandths of a millionth
    for _ in 0..age {
        ppm = ppm * 11 / 10;
    }
    let infant = if age == 0 { 3_000 } else { 0 };
    (ppm / 1_000 + infant).min(400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mortality_looks_like_a_city() {
        assert!((5_000..12_000).contains(&hazard(60)), "{}", hazard(60));
        assert!((40_000..70_000).contains(&hazard(80)), "{}", hazard(80));
        assert!(hazard(30) < 1_000);
        assert_eq!(hazard(130), 400_000);
    }
}
