//! The course of a lead: what happened to it, act by act, and how it stood at any moment of the past. Read from the
//! chain, so that a report about a month gone by says today what it said then. Knows nothing of what is counted.
//!
//! A lead is read as it stands and taken back event by event (each event keeps what was before), so the long content of
//! the event that found it is never read. An act counts on the day on which it was entered, and never before the act
//! that it follows: somebody who enters an old day does not change a month that was reported.

use mingcha_rules::Diagnostic;
use rusqlite::params;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

use super::lead::{Clearance, Lead, Stage};
use super::schema::broken;
use super::{Book, night};
use crate::time::{Day, Instant};

/// Up to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment<'a> {
    /// Everything that is known.
    Now,
    /// The end of a day, YYYY-MM-DD.
    Day(&'a str),
    /// An event, this one included.
    Event(i64),
}

/// What happened to a lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A night found it for the first time.
    Found,
    /// A night found it, and something weighed differently: what, by name.
    Changed(Vec<String>),
    /// Its rule no longer finds it.
    Resolved,
    /// Its source took back what it stood on.
    Withdrawn,
    /// It had gone, and is found again on evidence on which a person has judged.
    Returned,
    /// A night learned of somebody more who handled what it stands on; nothing else weighed differently.
    Handled,
    /// A night made it a lead again.
    Reopened {
        /// Whether on new evidence, after a person had judged: then its life begins anew.
        anew: bool,
    },
    /// A person took it up again after it was judged.
    ReopenedByHand,
    /// Somebody is to check it.
    Assigned(String),
    /// Somebody checked.
    Checked,
    /// It is so.
    Confirmed,
    /// It is not so, or lawful.
    Cleared(Clearance),
    /// Another body has it.
    Transferred(String),
    /// Money came back: fen.
    Recovered(i64),
    /// Done.
    Closed,
    /// Anything else, by its word.
    Other(String),
}

impl Deed {
    /// Whether a person did it.
    #[must_use]
    pub fn is_a_persons(&self) -> bool {
        !matches!(
            self,
            Self::Found
                | Self::Changed(_)
                | Self::Resolved
                | Self::Withdrawn
                | Self::Returned
                | Self::Handled
                | Self::Reopened { .. }
        )
    }
}

/// A deed, and how the lead stood after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Number of the event.
    pub seq: i64,
    /// The day on which it counts.
    pub day: String,
    /// The night that brought it; empty for the deeds of people.
    pub night: String,
    /// What.
    pub deed: Deed,
    /// Version of the rule that the lead then carried.
    pub rule_version: u32,
    /// Fen at risk then.
    pub amount_fen: Option<i64>,
}

/// A lead as it stood, and its acts until then.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The lead, without what it stands on.
    pub lead: Lead,
    /// What happened, in order.
    pub acts: Vec<Act>,
}

/// An event as it is read.
struct Read {
    seq: i64,
    day: String,
    what: String,
    night: String,
    body: Value,
}

impl Book {
    /// Hands over the course of every lead that was there at `until`, by id. Returns how many leads had their content
    /// destroyed: they are in no figure.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn courses(&self, until: Moment<'_>, mut take: impl FnMut(Course)) -> Result<u64, Diagnostic> {
        let failed = |e: rusqlite::Error| broken(&self.path, e);
        let mut events = self
            .conn
            .prepare(
                "SELECT key, seq, at, what, run, CASE WHEN what <> 'new' THEN (SELECT body FROM contents WHERE contents.seq = events.seq) END FROM events WHERE register = 'leads' ORDER BY key, seq",
            )
            .map_err(failed)?;
        let mut events = events.query([]).map_err(failed)?;
        let mut leads = self.conn.prepare("SELECT key, body FROM leads ORDER BY key").map_err(failed)?;
        let mut leads = leads.query([]).map_err(failed)?;
        let mut destroyed = 0;
        let mut next: Option<(String, Read)> = None;
        let mut over = false;
        while let Some(row) = leads.next().map_err(failed)? {
            let key: String = row.get(0).map_err(failed)?;
            let mut of_lead: Vec<Read> = Vec::new();
            let mut last_stranger = String::new();
            loop {
                if next.is_none() && !over {
                    next = match events.next().map_err(failed)? {
                        Some(row) => Some(self.read_event(row)?),
                        None => None,
                    };
                    over = next.is_none();
                }
                match next.take() {
                    Some((of, event)) if of == key => of_lead.push(event),
                    // Events without a lead: it was destroyed.
                    Some((of, _)) if of < key => {
                        destroyed += u64::from(of != last_stranger);
                        last_stranger = of;
                    }
                    later => {
                        next = later;
                        break;
                    }
                }
            }
            let unlike = || broken(&self.path, "an entry of `leads` is damaged");
            let body = row.get_ref(1).map_err(failed)?.as_bytes().map_err(|_| unlike())?;
            if let Some(course) = course(body, of_lead, until).map_err(|_| unlike())? {
                take(course);
            }
        }
        let mut last_stranger = next.map(|(of, _)| of);
        destroyed += u64::from(last_stranger.is_some());
        while let Some(row) = events.next().map_err(failed)? {
            let of: String = row.get(0).map_err(failed)?;
            destroyed += u64::from(last_stranger.as_ref() != Some(&of));
            last_stranger = Some(of);
        }
        Ok(destroyed)
    }

    /// The nights, by number, that evaluated each rule.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn evaluations(&self) -> Result<BTreeMap<String, BTreeSet<u64>>, Diagnostic> {
        let numbers: BTreeMap<String, u64> =
            night::all(&self.conn, &self.path)?.into_iter().map(|n| (n.night, n.number)).collect();
        let mut out: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut collect = || -> rusqlite::Result<()> {
            let mut statement = self
                .conn
                .prepare("SELECT key, run FROM events WHERE register = 'rules' AND what = 'evaluated'")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (rule, night): (String, String) = (row.get(0)?, row.get(1)?);
                if let Some(number) = numbers.get(&night) {
                    out.entry(rule).or_default().insert(*number);
                }
            }
            Ok(())
        };
        collect().map_err(|e| broken(&self.path, e))?;
        Ok(out)
    }

    /// Number and day of the event that ended a night.
    ///
    /// # Errors
    /// `MC842` where the database refuses.
    pub fn end_of(&self, night: &str) -> Result<(i64, String), Diagnostic> {
        let sql = "SELECT seq, at FROM events WHERE register = 'runs' AND key = ?1 ORDER BY seq DESC LIMIT 1";
        let (seq, at): (i64, String) = self
            .conn
            .query_row(sql, params![night], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|e| broken(&self.path, e))?;
        Ok((seq, self.day_of(&at)?.into()))
    }

    /// The day of an event in the office.
    fn day_of(&self, at: &str) -> Result<Day, Diagnostic> {
        let at: Instant = at.parse().map_err(|_| broken(&self.path, "the time of an event is damaged"))?;
        Ok(self.zone.day(&at))
    }

    fn read_event(&self, row: &rusqlite::Row<'_>) -> Result<(String, Read), Diagnostic> {
        let read = || -> rusqlite::Result<_> {
            let body: Option<String> = row.get(5)?;
            let body = body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or(Value::Null);
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?, row.get(4)?, body))
        };
        let (key, seq, at, what, night, body) = read().map_err(|e| broken(&self.path, e))?;
        Ok((key, Read { seq, day: self.day_of(&at)?.into(), what, night, body }))
    }
}

/// The lead that `body` is now and to which `events` led, as it stood at `until`; none where it was not there yet.
fn course(
    body: &[u8],
    mut events: Vec<Read>,
    until: Moment<'_>,
) -> Result<Option<Course>, serde_json::Error> {
    // What was destroyed tells nothing; a lead that was found again afterwards begins there.
    if let Some(at) = events.iter().rposition(|event| event.what == "purged") {
        events.drain(..=at);
    }
    let mut latest = String::new();
    for event in &mut events {
        if event.day < latest {
            event.day.clone_from(&latest);
        }
        latest.clone_from(&event.day);
    }
    let within = events
        .iter()
        .take_while(|event| match until {
            Moment::Now => true,
            Moment::Day(day) => event.day.as_str() <= day,
            Moment::Event(seq) => event.seq <= seq,
        })
        .count();
    if within == 0 {
        return Ok(None);
    }
    let mut lead: Lead = if within == events.len() {
        serde_json::from_slice(body)?
    } else {
        let mut fields: Map<String, Value> = serde_json::from_slice(body)?;
        for event in events[within..].iter().rev() {
            undo(&mut fields, &event.body);
        }
        Lead::deserialize(Value::Object(fields))?
    };
    events.truncate(within);
    let (mut version, mut amount) = (lead.rule_version, lead.amount_fen);
    let mut acts: Vec<Act> = Vec::with_capacity(within);
    for event in events.into_iter().rev() {
        let (before, after) = (&event.body["before"], &event.body["after"]);
        let (was_version, was_amount) = (before["rule_version"].as_u64(), before.get("amount_fen"));
        let deed = deed(&event.what, before, after, &event.body["why"]);
        acts.push(Act {
            seq: event.seq,
            day: event.day,
            night: event.night,
            deed,
            rule_version: version,
            amount_fen: amount,
        });
        if let Some(was) = was_version.and_then(|v| u32::try_from(v).ok()) {
            version = was;
        }
        match (was_amount, after.get("amount_fen")) {
            (Some(was), _) => amount = was.as_i64(),
            (None, Some(_)) => amount = None,
            (None, None) => {}
        }
    }
    acts.reverse();
    // Half of a lead, and nothing of it is asked for here.
    lead.evidence.clear();
    lead.judged_on = None;
    Ok(Some(Course { lead, acts }))
}

/// Takes an event back.
fn undo(fields: &mut Map<String, Value>, body: &Value) {
    for name in body["after"].as_object().into_iter().flat_map(Map::keys) {
        fields.remove(name);
    }
    for (name, value) in body["before"].as_object().into_iter().flatten() {
        fields.insert(name.clone(), value.clone());
    }
}

fn deed(what: &str, before: &Value, after: &Value, why: &Value) -> Deed {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match what {
        "new" => Deed::Found,
        "changed" => Deed::Changed(
            why["changed"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .filter(|name| !name.is_empty())
                .collect(),
        ),
        "resolved" => Deed::Resolved,
        "withdrawn" => Deed::Withdrawn,
        "returned" => Deed::Returned,
        "handled" => Deed::Handled,
        "reopened" => {
            Deed::Reopened { anew: after["stage"] == Stage::New.as_str() && !before["stage"].is_null() }
        }
        "reopened_by_hand" => Deed::ReopenedByHand,
        "assigned" => Deed::Assigned(text(&after["assignee"])),
        "checked" => Deed::Checked,
        "confirmed" => Deed::Confirmed,
        "cleared" => match Clearance::parse(&text(&why["reason"])) {
            Some(reason) => Deed::Cleared(reason),
            None => Deed::Other(what.to_owned()),
        },
        "transferred" => Deed::Transferred(text(&why["to"])),
        "recovered" => Deed::Recovered(why["amount_fen"].as_i64().unwrap_or(0)),
        "closed" => Deed::Closed,
        other => Deed::Other(other.to_owned()),
    }
}
