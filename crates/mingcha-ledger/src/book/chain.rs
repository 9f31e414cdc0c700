//! The chain: every change of the ledger as an event that names who, when, what, before and after, and whose
//! hash covers the event before. Knows no lead and no waiver: a register is a table of keys and JSON bodies.
//!
//! An event's content lies apart and enters the hash through a salted digest, so that content can be destroyed
//! (with a certificate) and the chain still proves order, time and author of what was there.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::schema::broken;
use crate::record::Fields;
use crate::time::{Day, Instant, Zone};
use mingcha_rules::Diagnostic;
use std::path::Path;

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// What a genesis event follows.
pub(super) const NOTHING: Hash = [0; 32];

/// A table that follows from the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Register {
    /// The ledger itself: events that change no entry.
    Ledger,
    /// Absorbed runs.
    Runs,
    /// Rules, and the last run that evaluated each.
    Rules,
    /// Leads.
    Leads,
    /// Waivers.
    Waivers,
    /// Lists that left the house.
    Handouts,
}

impl Register {
    pub(super) const TABLES: [Self; 5] =
        [Self::Runs, Self::Rules, Self::Leads, Self::Waivers, Self::Handouts];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Runs => "runs",
            Self::Rules => "rules",
            Self::Leads => "leads",
            Self::Waivers => "waivers",
            Self::Handouts => "handouts",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Ledger].into_iter().chain(Self::TABLES).find(|r| r.as_str() == word)
    }
}

/// Who acts, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The name given by `--as` or the configuration: Mingcha has no login of its own.
    pub who: &'a str,
    /// Read from the clock at the rim, or given.
    pub at: &'a Instant,
    /// Where the office is. A ledger belongs to one zone: who comes from another is refused.
    pub zone: Zone,
}

impl By<'_> {
    /// The day of `at` in the office.
    #[must_use]
    pub fn day(&self) -> Day {
        self.zone.day(self.at)
    }
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) at: String,
    pub(super) actor: String,
    pub(super) what: String,
    pub(super) register: String,
    pub(super) key: String,
    pub(super) run: String,
    pub(super) digest: Vec<u8>,
    pub(super) prev: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

impl Stored {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            what: row.get(3)?,
            register: row.get(4)?,
            key: row.get(5)?,
            run: row.get(6)?,
            digest: row.get(7)?,
            prev: row.get(8)?,
            hash: row.get(9)?,
        })
    }

    /// The hash that the event should have.
    pub(super) fn expected(&self) -> Hash {
        let mut fields = Fields::new("mingcha event 1");
        fields.add_bytes(&self.seq.to_be_bytes());
        for text in [&self.at, &self.actor, &self.what, &self.register, &self.key, &self.run] {
            fields.add(text);
        }
        fields.add_bytes(&self.digest);
        fields.add_bytes(&self.prev);
        fields.finish_bytes()
    }
}

/// Columns of [`Stored::read`].
pub(super) const COLUMNS: &str = "seq, at, actor, what, register, key, run, digest, prev, hash";

/// What stands for an event's content in its hash.
pub(super) fn digest(salt: &[u8], body: &str) -> Hash {
    let mut fields = Fields::new("mingcha content 1");
    fields.add_bytes(salt);
    fields.add(body);
    fields.finish_bytes()
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) what: &'a str,
    pub(super) register: Register,
    pub(super) key: &'a str,
    /// The run that brought it; empty for the acts of people.
    pub(super) run: &'a str,
    /// The entry as it stands; `None` where it is new.
    pub(super) old: Option<&'a Value>,
    /// The entry as it will stand; `None` where it goes.
    pub(super) new: Option<&'a Value>,
    /// What else is to be known; `Null` for nothing.
    pub(super) why: Value,
}

/// Appends events inside one transaction, each with the change of its register.
#[derive(Debug)]
pub(super) struct Pen<'c> {
    conn: &'c Connection,
    path: &'c Path,
    by: By<'c>,
    seq: i64,
    head: Hash,
}

impl<'c> Pen<'c> {
    pub(super) fn new(conn: &'c Connection, path: &'c Path, by: By<'c>) -> Result<Self, Diagnostic> {
        let (seq, head) = head(conn, path)?;
        Ok(Self { conn, path, by, seq, head })
    }

    /// Hash of the last event.
    pub(super) fn head(&self) -> Hash {
        self.head
    }

    /// Appends `entry`. An entry that changes nothing and says nothing is not written.
    pub(super) fn write(&mut self, entry: &Entry<'_>) -> Result<i64, Diagnostic> {
        let (before, after) = differences(entry.old, entry.new);
        let mut body = Map::new();
        body.insert("before".to_owned(), before);
        body.insert("after".to_owned(), after);
        if !entry.why.is_null() {
            body.insert("why".to_owned(), entry.why.clone());
        }
        let body = Value::Object(body).to_string();
        let mut salt = [0_u8; 16];
        getrandom::fill(&mut salt).map_err(|e| broken(self.path, e))?;
        let mut event = Stored {
            seq: self.seq + 1,
            at: self.by.at.as_stored().to_owned(),
            actor: self.by.who.to_owned(),
            what: entry.what.to_owned(),
            register: entry.register.as_str().to_owned(),
            key: entry.key.to_owned(),
            run: entry.run.to_owned(),
            digest: digest(&salt, &body).to_vec(),
            prev: self.head.to_vec(),
            hash: Vec::new(),
        };
        let hash = event.expected();
        event.hash = hash.to_vec();
        self.insert(&event, &salt, &body, entry).map_err(|e| broken(self.path, e))?;
        self.seq = event.seq;
        self.head = hash;
        Ok(event.seq)
    }

    fn insert(&self, e: &Stored, salt: &[u8], body: &str, entry: &Entry<'_>) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                e.seq, e.at, e.actor, e.what, e.register, e.key, e.run, e.digest, e.prev, e.hash
            ])?;
        self.conn
            .prepare_cached("INSERT INTO contents VALUES (?1, ?2, ?3)")?
            .execute(params![e.seq, salt, body])?;
        let table = entry.register.as_str();
        match (entry.register, entry.new) {
            (Register::Ledger, _) => {}
            (_, Some(new)) => {
                let sql = format!(
                    "INSERT INTO {table} (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body"
                );
                self.conn.prepare_cached(&sql)?.execute(params![entry.key, new.to_string()])?;
            }
            (_, None) => {
                let sql = format!("DELETE FROM {table} WHERE key = ?1");
                self.conn.prepare_cached(&sql)?.execute([entry.key])?;
            }
        }
        Ok(())
    }
}

/// Number and hash of the last event.
pub(super) fn head(conn: &Connection, path: &Path) -> Result<(i64, Hash), Diagnostic> {
    let last = conn
        .query_row("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()
        .map_err(|e| broken(path, e))?;
    let Some((seq, hash)) = last else { return Ok((0, NOTHING)) };
    let hash = Hash::try_from(hash).map_err(|_| broken(path, "the last event has no hash"))?;
    Ok((seq, hash))
}

/// What differs between two states of an entry: the earlier values, and the later ones. A value that is gone is
/// `null` in the later ones; an entry that is gone is `null` as a whole.
fn differences(old: Option<&Value>, new: Option<&Value>) -> (Value, Value) {
    let empty = Map::new();
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&empty).clone();
    let (was, is) = (fields(old), fields(new));
    if new.is_none() {
        return (Value::Object(was), Value::Null);
    }
    let differs = |key: &&String| was.get(*key) != is.get(*key);
    let before = was.iter().filter(|(key, _)| differs(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut after: Map<String, Value> =
        is.iter().filter(|(key, _)| differs(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    for key in was.keys().filter(|key| !is.contains_key(*key)) {
        after.insert(key.clone(), Value::Null);
    }
    (Value::Object(before), Value::Object(after))
}

/// What an event makes of an entry; says `false` where the event's "before" is not what stands.
pub(super) fn replay(entry: &mut Option<Map<String, Value>>, body: &Value) -> bool {
    let standing = entry.clone().unwrap_or_default();
    let fits = body["before"].as_object().is_none_or(|before| {
        before.iter().all(|(key, value)| standing.get(key).unwrap_or(&Value::Null) == value)
    });
    match &body["after"] {
        Value::Object(after) => {
            let fields = entry.get_or_insert_with(Map::new);
            for (key, value) in after {
                match value {
                    Value::Null => drop(fields.remove(key)),
                    value => drop(fields.insert(key.clone(), value.clone())),
                }
            }
        }
        _ => *entry = None,
    }
    fits
}

/// A value as an entry's body: no `null` inside, so that a field that is not there has one way to be written.
pub(super) fn body(value: &impl serde::Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_else(|_| json!({}));
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, v| !v.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replayed_difference_gives_the_later_state() {
        let states = [
            json!({"a": 1, "b": {"x": [1, 2]}, "c": "old"}),
            json!({"a": 1, "b": {"x": [2]}, "d": true}),
            json!({"a": 2}),
        ];
        let mut entry = None;
        let mut old: Option<&Value> = None;
        for new in &states {
            let (before, after) = differences(old, Some(new));
            assert!(replay(&mut entry, &json!({"before": before, "after": after})));
            assert_eq!(entry.clone().map(Value::Object).as_ref(), Some(new));
            old = Some(new);
        }
        assert!(!replay(&mut entry, &json!({"before": {"a": 7}, "after": {}})));
        let (before, after) = differences(old, None);
        assert!(replay(&mut entry, &json!({"before": before, "after": after})));
        assert_eq!(entry, None);
    }
}
