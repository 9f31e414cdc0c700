//! The house's rules of conduct: deadlines, who may not judge what, who works where. Given by the caller with
//! every act (they stand in `mingcha.toml`, not in the ledger); plain data and the questions put to it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Days;
use mingcha_rules::rule::Severity;

use super::given::{among, person, same_person};
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
    /// Handles payments in an area, and of the lead it is not known in which area it lies.
    AreaUnknown,
    /// Handles payments at an agency, and the evidence of the lead names nobody who handled it.
    AgencyUnknown,
    /// Wrote the rule, or answers for it.
    WroteRule,
    /// Lives there.
    AtHome,
}

/// Whether something lies in an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Yes,
    No,
    /// Its own area is not known, or so wide that it may lie there.
    Unknown,
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

    /// Why `name` must not judge `lead`: neither confirm it nor clear, close, hand over, or take it up again.
    pub(super) fn may_not_judge(&self, name: &str, lead: &Lead) -> Option<Conflict> {
        if self.answers_for(name, &lead.rule_id) {
            return Some(Conflict::WroteRule);
        }
        self.handled(name, lead)
    }

    /// Why `name` must not waive what will be found under `rule` (none: any) in `area` (none: anywhere). Who answers for the
    /// rule is said first.
    pub(super) fn may_not_waive(
        &self,
        name: &str,
        rule: Option<&str>,
        area: Option<&str>,
    ) -> Option<Conflict> {
        let wrote = match rule {
            Some(rule) => self.answers_for(name, rule),
            // Under any rule: also under their own.
            None => self.owners.keys().any(|rule| self.answers_for(name, rule)),
        };
        if wrote {
            return Some(Conflict::WroteRule);
        }
        let own = self.handlers.iter().filter(|h| same_person(&h.name, name));
        let conflict = |h: &Handler| match (&h.area, &h.agency) {
            (None, None) => Some(Conflict::Handled),
            (Some(place), _) => match inside(area, place) {
                Inside::Yes => Some(Conflict::Handled),
                Inside::Unknown => Some(Conflict::AreaUnknown),
                Inside::No => None,
            },
            (None, Some(_)) => Some(Conflict::AgencyUnknown),
        };
        own.filter_map(conflict).next()
    }

    fn answers_for(&self, name: &str, rule: &str) -> bool {
        self.owners.get(rule).is_some_and(|owners| owners.iter().any(|owner| same_person(owner, name)))
    }

    /// Whether `name` handled what `lead` is about, or may have: who cannot be shown to have had no hand in it had one.
    pub(super) fn handled(&self, name: &str, lead: &Lead) -> Option<Conflict> {
        if lead.handlers.iter().any(|field| among(field, name)) {
            return Some(Conflict::Handled);
        }
        let conflict = |h: &Handler| {
            let (place, agency) = (h.area.as_ref(), h.agency.as_ref());
            if place.is_none() && agency.is_none() {
                return Some(Conflict::Handled);
            }
            let there = place.map(|place| inside(lead.area_code.as_deref(), place));
            let named = agency.is_some_and(|agency| lead.handlers.iter().any(|field| among(field, agency)));
            match there {
                _ if named => Some(Conflict::Handled),
                Some(Inside::Yes) => Some(Conflict::Handled),
                Some(Inside::Unknown) => Some(Conflict::AreaUnknown),
                _ if agency.is_some() && lead.handlers.is_empty() => Some(Conflict::AgencyUnknown),
                _ => None,
            }
        };
        let own = self.handlers.iter().filter(|h| same_person(&h.name, name));
        // What is certain is said first.
        let found: Vec<Conflict> = own.filter_map(conflict).collect();
        found.iter().find(|c| **c == Conflict::Handled).or(found.first()).copied()
    }

    /// Why `name` must not be sent to `lead`.
    pub(super) fn may_not_check(&self, name: &str, lead: &Lead) -> Option<Conflict> {
        let at_home = |one: &Investigator| {
            let (Some(home), Some(area)) = (&one.home, &lead.area_code) else { return false };
            same_person(&one.name, name) && inside(Some(area), home) != Inside::No
        };
        if self.away_from_home && self.people.iter().any(at_home) {
            return Some(Conflict::AtHome);
        }
        self.handled(name, lead)
    }

    /// Who checks `lead`: of those whose area fits best, whoever has least to do (`load`, by [`person`]); ties go by name.
    pub(super) fn nearest(&self, lead: &Lead, load: &BTreeMap<String, u64>) -> Option<String> {
        let area = lead.area_code.as_deref()?;
        let fits = |p: &&Investigator| self.may_not_check(&p.name, lead).is_none();
        let best =
            |p: &Investigator| p.areas.iter().filter(|a| area.starts_with(a.as_str())).map(String::len).max();
        let candidates = self.people.iter().filter(fits).filter_map(|p| Some((best(p)?, p)));
        candidates
            .min_by_key(|(depth, p)| {
                (std::cmp::Reverse(*depth), load.get(&person(&p.name)).copied().unwrap_or(0), p.name.clone())
            })
            .map(|(_, p)| p.name.clone())
    }
}

/// Whether something in `area` lies in `place`; both are codes, or beginnings of codes.
fn inside(area: Option<&str>, place: &str) -> Inside {
    let (area, place) = (stem(area.unwrap_or("")), stem(place));
    if area.starts_with(&place) {
        Inside::Yes
    } else if place.starts_with(&area) {
        Inside::Unknown
    } else {
        Inside::No
    }
}

/// An area code without the noughts that say "all of it": `880102000000` is the county 880102.
fn stem(code: &str) -> String {
    let mut code = super::given::number(code);
    for level in [9, 6, 4, 2] {
        if code.len() > level && code.is_char_boundary(level) && code[level..].bytes().all(|b| b == b'0') {
            code.truncate(level);
        }
    }
    code
}

pub(crate) use crate::time::parse_day as parse;
