//! The zone of a ledger: entered once, with the event that made or migrated it, and never changed, so that whatever
//! follows from days (deadlines, months, medians) is the same on every machine. Knows no clock.

use std::path::Path;

use mingcha_rules::Diagnostic;
use rusqlite::Connection;
use serde_json::Value;

use super::Book;
use super::schema::broken;
use crate::time::Zone;

/// The first layout that has one.
const SINCE: i64 = 3;

/// Enters the zone of a ledger that has none. Whoever calls writes it into the event as well.
pub(super) fn enter(conn: &Connection, path: &Path, zone: Zone) -> Result<(), Diagnostic> {
    let sql = "INSERT INTO ledger VALUES ('zone', ?1)";
    conn.execute(sql, [zone.to_string()]).map(drop).map_err(|e| broken(path, e))
}

/// The zone of a ledger of the present layout.
pub(super) fn of(conn: &Connection, path: &Path) -> Result<Zone, Diagnostic> {
    let sql = "SELECT value FROM ledger WHERE key = 'zone'";
    let name: String = conn.query_row(sql, [], |row| row.get(0)).map_err(|e| broken(path, e))?;
    name.parse().map_err(|_| broken(path, "its time zone is damaged"))
}

/// Days here are days there, or nobody writes.
pub(super) fn must_be(found: Zone, office: Zone, path: &Path) -> Result<(), Diagnostic> {
    if found == office {
        return Ok(());
    }
    Err(Diagnostic::error(
        "MC941",
        format!("台账的日期按时区 {found} 计算，但本单位的时区是 {office}"),
        format!("the days of this ledger are days in {found}, but the office is in {office}"),
    )
    .in_file(path.display())
    .with_help(
        format!("在 mingcha.toml 中写明 `[office]` `zone = \"{found}\"`；换了时区的单位另建台账"),
        format!("set `zone = \"{found}\"` under `[office]` in mingcha.toml; an office that moved begins another ledger"),
    ))
}

/// Whether the zone is the one that the chain began or was migrated with, and how many entries a ledger of this
/// `version` has for it.
pub(super) fn proves(conn: &Connection, version: i64) -> (bool, i64) {
    if version < SINCE {
        return (true, 0);
    }
    let value: Option<String> =
        conn.query_row("SELECT value FROM ledger WHERE key = 'zone'", [], |row| row.get(0)).ok();
    let said = || -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT body FROM events JOIN contents USING (seq) WHERE register = 'ledger' AND what IN ('opened', 'migrated') ORDER BY seq";
        let mut statement = conn.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let bodies = said().unwrap_or_default();
    let zones = bodies.iter().filter_map(|body| serde_json::from_str::<Value>(body).ok());
    let zones: Vec<String> =
        zones.filter_map(|body| body["why"]["zone"].as_str().map(str::to_owned)).collect();
    (zones.len() == 1 && value.as_ref() == zones.first(), 1)
}

impl Book {
    /// The zone of the office: every day that follows from this ledger is a day there.
    #[must_use]
    pub fn zone(&self) -> Zone {
        self.zone
    }
}
