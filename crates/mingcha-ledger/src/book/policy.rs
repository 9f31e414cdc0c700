//! The house's rules of conduct: deadlines, who may not judge what, who works where. Given by the caller with
//! every act (they stand in `mingcha.toml`, not in the ledger); plain data and the questions put to it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use mingcha_rules::rule::Severity;

use super::lead::{Lead, Light, Stage};

/// What holds in this house.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Days to check a lead, by `severity` or `severity/grade` (`high/A`).
    pub deadlines: BTreeMap<String, u32>,
    /// A deadline is yellow this many days before it passes.
    pub yellow_days: u32,
    /// Who handled payments, by area or agency.
    pub handlers: Vec<Handler>,
    /// Who wrote or answers for a rule: rule -> names.
    pub owners: BTreeMap<String, BTreeSet<String>>,
    /// Who checks leads, and where.
    pub people: Vec<Investigator>,
    /// Never to one's own village.
    pub away_from_home: bool,
    /// Exclusions that mean that a source took its word back.
    pub withdrawn_codes: BTreeSet<String>,
    /// Datasets that state the fact a lead stands on (a death, a custody): when their row is taken back, so is the lead.
    pub grounds: BTreeSet<String>,
}

/// Somebody who handled payments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handler {
    /// Who.
    pub name: String,
    /// Where: the beginning of an area code.
    pub area: Option<String>,
    /// At which agency, as the evidence names it.
    pub agency: Option<String>,
}

/// Somebody who checks leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Investigator {
    /// Who.
    pub name: String,
    /// Where: beginnings of area codes.
    pub areas: Vec<String>,
    /// Home, as an area code.
    pub home: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        let days = [
            (Severity::Critical, 7),
            (Severity::High, 15),
            (Severity::Medium, 30),
            (Severity::Low, 60),
            (Severity::Info, 90),
        ];
        Self {
            deadlines: days.into_iter().map(|(s, n)| (s.as_str().to_owned(), n)).collect(),
            yellow_days: 5,
            handlers: Vec::new(),
            owners: BTreeMap::new(),
            people: Vec::new(),
            away_from_home: false,
            withdrawn_codes: ["X-RETRACTED", "X-WITHDRAWN"].map(str::to_owned).into(),
            grounds: [
                "death_certificates",
                "cremations",
                "household_registry",
                "hospital_admissions",
                "prison_custody",
            ]
            .map(str::to_owned)
            .into(),
        }
    }
}

/// Why somebody must not judge a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Handled the payment.
    Handled,
    /// Wrote the rule, or answers for it.
    WroteRule,
    /// Lives there.
    AtHome,
}

impl Policy {
    /// The day until which a lead is to be checked; none once it is judged.
    #[must_use]
    pub fn due(&self, lead: &Lead) -> Option<String> {
        if !matches!(lead.stage, Stage::New | Stage::Assigned | Stage::Checked) || !lead.is_open() {
            return None;
        }
        let severity = lead.severity.as_str();
        let days = self
            .deadlines
            .get(&format!("{severity}/{}", lead.grade))
            .or_else(|| self.deadlines.get(severity))?;
        let opened = parse(&lead.opened)?;
        opened.checked_add_days(Days::new(u64::from(*days))).map(|day| day.to_string())
    }

    /// How the deadline stands on the day `today`.
    #[must_use]
    pub fn light(&self, lead: &Lead, today: &str) -> Option<Light> {
        let (due, today) = (parse(&self.due(lead)?)?, parse(today)?);
        let left = (due - today).num_days();
        Some(match left {
            i64::MIN..=-1 => Light::Red,
            _ if left <= i64::from(self.yellow_days) => Light::Yellow,
            _ => Light::Green,
        })
    }

    /// Why `name` must not confirm `lead`.
    pub(super) fn may_not_judge(&self, name: &str, lead: &Lead) -> Option<Conflict> {
        if self.owners.get(&lead.rule_id).is_some_and(|owners| owners.iter().any(|o| same_person(o, name))) {
            return Some(Conflict::WroteRule);
        }
        let area = lead.area_code.as_deref().unwrap_or("");
        let handled = |h: &Handler| {
            same_person(&h.name, name)
                && match (&h.area, &h.agency) {
                    (None, None) => true,
                    (place, agency) => {
                        place.as_ref().is_some_and(|place| area.starts_with(place.as_str()))
                            || agency.as_ref().is_some_and(|agency| lead.handlers.contains(agency))
                    }
                }
        };
        let named = lead.handlers.iter().any(|h| same_person(h, name));
        (named || self.handlers.iter().any(handled)).then_some(Conflict::Handled)
    }

    /// Why `name` must not be sent to `lead`.
    pub(super) fn may_not_check(&self, name: &str, lead: &Lead) -> Option<Conflict> {
        let at_home = |person: &Investigator| {
            let (Some(home), Some(area)) = (&person.home, &lead.area_code) else { return false };
            same_person(&person.name, name)
                && (area.starts_with(home.as_str()) || home.starts_with(area.as_str()))
        };
        if self.away_from_home && self.people.iter().any(at_home) {
            return Some(Conflict::AtHome);
        }
        self.may_not_judge(name, lead).filter(|conflict| *conflict == Conflict::Handled)
    }

    /// Who checks `lead`: of those whose area fits best, whoever has least to do; ties go by name.
    pub(super) fn nearest(&self, lead: &Lead, load: &BTreeMap<String, u64>) -> Option<String> {
        let area = lead.area_code.as_deref()?;
        let fits = |p: &&Investigator| self.may_not_check(&p.name, lead).is_none();
        let best =
            |p: &Investigator| p.areas.iter().filter(|a| area.starts_with(a.as_str())).map(String::len).max();
        let candidates = self.people.iter().filter(fits).filter_map(|p| Some((best(p)?, p)));
        candidates
            .min_by_key(|(depth, p)| {
                (std::cmp::Reverse(*depth), load.get(&p.name).copied().unwrap_or(0), p.name.clone())
            })
            .map(|(_, p)| p.name.clone())
    }
}

/// Whether two names are one person's, however they are spaced and cased.
pub(super) fn same_person(a: &str, b: &str) -> bool {
    let name = |text: &str| text.split_whitespace().collect::<String>().to_lowercase();
    name(a) == name(b)
}

/// A day written YYYY-MM-DD.
pub(crate) fn parse(day: &str) -> Option<NaiveDate> {
    (day.len() == 10).then(|| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()).flatten()
}
