//! Whether a ledger is what was written to it: the seal (every byte), the database's own check, the layout, the chain
//! event by event, and the registers derived anew from the events. Every fault names what is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use mingcha_rules::Diagnostic;
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::chain::{self, COLUMNS, NOTHING, Register, Stored};
use super::schema::{self, broken};
use super::seal::{Fit, Seal};
use super::zone;
use crate::names::alias;
use crate::record::hex;

/// Faults listed before "and more".
const MOST: usize = 100;

/// What a ledger proved to be.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// What is wrong; empty where it is whole.
    pub faults: Vec<Diagnostic>,
    /// What is worth knowing and no fault.
    pub remarks: Vec<Diagnostic>,
    /// Events in the chain.
    pub events: u64,
    /// Hash of the last one: who keeps it elsewhere can prove later that nothing before was changed.
    pub head: String,
}

/// Checks the ledger at `path`; the caller holds its lock.
pub(super) fn verify(path: &Path, earlier_head: Option<&str>) -> Proof {
    let mut proof = Proof::default();
    let seal = match Seal::read(path) {
        Ok(Some(seal)) => Some(seal),
        Ok(None) => {
            proof.faults.push(schema::unsealed(path));
            None
        }
        Err(fault) => {
            proof.faults.push(fault);
            None
        }
    };
    let fit = seal.as_ref().map(|seal| seal.fits(path));
    let conn = match schema::reader(path) {
        Ok(conn) => conn,
        Err(fault) => {
            proof.faults.push(fault);
            return proof;
        }
    };
    let interrupted = seal.as_ref().is_some_and(|s| schema::interrupted(&conn, path, s).unwrap_or(false));
    match fit {
        Some(Ok(Fit::Differs(from, to))) if !interrupted => {
            proof.faults.push(schema::differs(path, from, to))
        }
        Some(Ok(Fit::Differs(..))) => proof.remarks.push(unfinished(path)),
        Some(Err(fault)) => proof.faults.push(fault),
        Some(Ok(Fit::Whole)) | None => {}
    }
    let faults = logical(&conn, path);
    proof.faults.extend(faults);
    if let Ok((seq, head)) = chain::head(&conn, path) {
        proof.events = u64::try_from(seq).unwrap_or(0);
        proof.head = hex(&head);
        let of = |seq: i64| {
            conn.query_row("SELECT hash FROM events WHERE seq = ?1", [seq], |row| row.get::<_, Vec<u8>>(0))
                .map(|hash| hex(&hash))
                .ok()
        };
        if let Some(seal) = &seal
            && of(seal.seq).as_ref() != Some(&seal.head)
        {
            proof.faults.push(cut(path, seal.seq, seq));
        }
        if let Some(wanted) = earlier_head {
            let wanted = wanted.trim().to_ascii_lowercase();
            let known = "SELECT count(*) FROM events WHERE lower(hex(hash)) = ?1";
            let found: i64 = conn.query_row(known, [&wanted], |row| row.get(0)).unwrap_or(0);
            if found == 0 {
                proof.faults.push(forked(path));
            }
        }
    }
    if proof.faults.len() > MOST {
        let more = proof.faults.len() - MOST;
        proof.faults.truncate(MOST);
        proof.faults.push(Diagnostic::error("MC845", format!("另有 {more} 处"), format!("and {more} more")));
    }
    proof
}

/// Everything but the bytes.
pub(super) fn logical(conn: &Connection, path: &Path) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    if let Err(fault) = schema::version(conn, path) {
        return vec![fault];
    }
    faults.extend(pages(conn, path));
    faults.extend(layout(conn, path).unwrap_or_else(|fault| vec![fault]));
    faults.extend(secret(conn, path));
    match Chain::walk(conn, path) {
        Ok(chain) => {
            faults.extend(chain.faults.clone());
            faults.extend(registers(conn, path, chain.entries).unwrap_or_else(|fault| vec![fault]));
        }
        Err(fault) => faults.push(fault),
    }
    faults
}

/// The database's own check of its pages.
fn pages(conn: &Connection, path: &Path) -> Vec<Diagnostic> {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect()
    };
    match check() {
        Ok(lines) => lines
            .into_iter()
            .filter(|line| line != "ok")
            // SQLite's words name tables and pages, never a value.
            .map(|line| broken(path, line))
            .collect(),
        Err(e) => vec![broken(path, e)],
    }
}

/// The name and the secret are those that the chain began with.
fn secret(conn: &Connection, path: &Path) -> Option<Diagnostic> {
    let value = |key: &str| {
        conn.query_row("SELECT value FROM ledger WHERE key = ?1", [key], |row| row.get::<_, String>(0)).ok()
    };
    let body: Option<String> =
        conn.query_row("SELECT body FROM contents WHERE seq = 1", [], |row| row.get(0)).ok();
    let genesis: Value = body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or(Value::Null);
    let said = |key: &str| genesis["why"][key].as_str().map(str::to_owned);
    let entries: i64 = conn.query_row("SELECT count(*) FROM ledger", [], |row| row.get(0)).unwrap_or(0);
    let (zoned, of_zone) = schema::version(conn, path).map_or((false, 0), |v| zone::proves(conn, v));
    let whole = zoned
        && entries == 2 + of_zone
        && value("name").is_some_and(|name| said("name") == Some(name))
        && value("secret").is_some_and(|s| said("secret_sha256") == Some(super::sha256(&s)));
    (!whole).then(|| differs(path, Register::Ledger, "name/secret/zone"))
}

type Objects = BTreeMap<(String, String), String>;

/// Tables, indexes and triggers are those of the migrations: a guard that was taken away is a fault.
fn layout(conn: &Connection, path: &Path) -> Result<Vec<Diagnostic>, Diagnostic> {
    let objects = |conn: &Connection| -> rusqlite::Result<Objects> {
        let mut statement = conn.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema")?;
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        rows.collect()
    };
    let version = schema::version(conn, path)?;
    let mut fresh = Connection::open_in_memory().map_err(|e| broken(path, e))?;
    schema::build(&mut fresh, version, "-").map_err(|e| broken(path, e))?;
    let is = objects(conn).map_err(|e| broken(path, e))?;
    let mut should = objects(&fresh).map_err(|e| broken(path, e))?;
    // The database's own, there or not as it pleases.
    let ours = |(_, name): &(String, String)| !name.starts_with("sqlite_");
    should.retain(|key, _| ours(key));
    let mut names: Vec<&(String, String)> =
        should.iter().filter(|(k, sql)| is.get(k) != Some(sql)).map(|(k, _)| k).collect();
    names.extend(is.keys().filter(|key| ours(key) && !should.contains_key(*key)));
    let fault = |(kind, name): &(String, String)| {
        Diagnostic::error(
            "MC850",
            format!("台账的结构应与建立时一致，实际 {kind} `{name}` 不同、多出或缺少"),
            format!(
                "wanted the layout as it was made, but the {kind} `{name}` differs, is missing or was added"
            ),
        )
        .in_file(path.display())
    };
    Ok(names.into_iter().map(fault).collect())
}

/// The chain, walked from its first event.
struct Chain {
    faults: Vec<Diagnostic>,
    entries: BTreeMap<(Register, String), Map<String, Value>>,
}

impl Chain {
    fn walk(conn: &Connection, path: &Path) -> Result<Self, Diagnostic> {
        let failed = |e: rusqlite::Error| broken(path, e);
        let mut chain = Self { faults: Vec::new(), entries: BTreeMap::new() };
        let sql = format!(
            "SELECT {COLUMNS}, c.salt, c.body, p.certificate FROM events LEFT JOIN contents c USING (seq) LEFT JOIN purged p USING (seq) ORDER BY seq"
        );
        let mut statement = conn.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let (mut next, mut last) = (1, NOTHING.to_vec());
        while let Some(row) = rows.next().map_err(failed)? {
            let event = Stored::read(row).map_err(failed)?;
            let (salt, body): (Option<Vec<u8>>, Option<String>) =
                (row.get(10).map_err(failed)?, row.get(11).map_err(failed)?);
            let certificate: Option<i64> = row.get(12).map_err(failed)?;
            if event.seq != next {
                chain.faults.push(missing(path, next, event.seq - 1));
            }
            if event.expected().as_slice() != event.hash {
                chain.faults.push(changed(path, &event));
            } else if event.prev != last && event.seq == next {
                chain.faults.push(follows_another(path, &event));
            }
            chain.content(path, &event, salt.as_deref(), body.as_deref(), certificate);
            (next, last) = (event.seq + 1, event.hash);
        }
        let orphans = "SELECT seq FROM contents WHERE seq NOT IN (SELECT seq FROM events) UNION SELECT seq FROM purged WHERE seq NOT IN (SELECT seq FROM events) ORDER BY 1 LIMIT 20";
        let mut statement = conn.prepare(orphans).map_err(failed)?;
        let rows = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(failed)?;
        for seq in rows {
            let seq = seq.map_err(failed)?;
            chain.faults.push(missing(path, seq, seq));
        }
        Ok(chain)
    }

    fn content(
        &mut self,
        path: &Path,
        event: &Stored,
        salt: Option<&[u8]>,
        body: Option<&str>,
        certificate: Option<i64>,
    ) {
        let Some(register) = Register::parse(&event.register) else {
            self.faults.push(changed(path, event));
            return;
        };
        let (Some(salt), Some(body)) = (salt, body) else {
            if certificate.is_none() {
                self.faults.push(content_gone(path, event));
            }
            return;
        };
        if chain::digest(salt, body).as_slice() != event.digest {
            self.faults.push(content_changed(path, event));
            return;
        }
        let Ok(body) = serde_json::from_str::<Value>(body) else {
            self.faults.push(content_changed(path, event));
            return;
        };
        if register == Register::Ledger {
            return;
        }
        let key = (register, event.key.clone());
        let mut entry = self.entries.remove(&key);
        if !chain::replay(&mut entry, &body) {
            self.faults.push(contradicts(path, event));
        }
        if let Some(entry) = entry {
            self.entries.insert(key, entry);
        }
    }
}

/// The registers as they stand against what the events make of them.
fn registers(
    conn: &Connection,
    path: &Path,
    mut entries: BTreeMap<(Register, String), Map<String, Value>>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let failed = |e: rusqlite::Error| broken(path, e);
    let mut faults = Vec::new();
    let present = schema::version(conn, path)?;
    for register in Register::TABLES {
        if present < 2 && matches!(register, Register::Waivers | Register::Handouts) {
            continue;
        }
        let sql = format!("SELECT key, body FROM {} ORDER BY key", register.as_str());
        let mut statement = conn.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (key, body): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let expected = entries.remove(&(register, key.clone()));
            if expected.map(|e| Value::Object(e).to_string()).as_deref() != Some(body.as_str()) {
                faults.push(differs(path, register, &called(conn, register, &key)));
            }
        }
    }
    let missing =
        entries.keys().map(|(register, key)| differs(path, *register, &called(conn, *register, key)));
    faults.extend(missing);
    Ok(faults)
}

/// What an entry may be called in an answer that leaves the house: a lead by the name that masked lists have for it.
fn called(conn: &Connection, register: Register, key: &str) -> String {
    if register != Register::Leads {
        return key.to_owned();
    }
    let secret =
        conn.query_row("SELECT value FROM ledger WHERE key = 'secret'", [], |row| row.get::<_, String>(0));
    secret.map_or_else(|_| "?".to_owned(), |secret| alias(&secret, key))
}

fn fault(path: &Path, code: &str, zh: String, en: String) -> Diagnostic {
    Diagnostic::error(code, zh, en)
        .in_file(path.display())
        .with_help("从备份恢复，并查明是谁改动的", "restore a backup, and find out who changed it")
}

fn changed(path: &Path, e: &Stored) -> Diagnostic {
    fault(
        path,
        "MC845",
        format!("第 {} 号事件（{}）已被改动", e.seq, e.what),
        format!("event {} ({}) was changed", e.seq, e.what),
    )
}

fn missing(path: &Path, from: i64, to: i64) -> Diagnostic {
    let (zh, en) = if from == to {
        (format!("第 {from} 号事件缺失"), format!("event {from} is missing"))
    } else {
        (format!("第 {from} 至 {to} 号事件缺失"), format!("events {from} to {to} are missing"))
    };
    fault(path, "MC846", zh, en)
}

pub(super) fn cut(path: &Path, sealed: i64, last: i64) -> Diagnostic {
    let (zh, en) = if last < sealed {
        (
            format!("第 {} 至 {sealed} 号事件缺失：链尾被截断", last + 1),
            format!("events {} to {sealed} are missing: the end of the chain was cut off", last + 1),
        )
    } else {
        (
            format!("第 {sealed} 号事件不是封存时的那一个"),
            format!("event {sealed} is not the one that was sealed"),
        )
    };
    let log = super::seal::beside(path, "-wal");
    let log = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fault(path, "MC846", zh, en).with_help(
        format!("复制或恢复时漏掉了日志 {log} 的，把它放回原处；否则从备份恢复，并查明是谁改动的"),
        format!("if the log {log} was left out of a copy, put it back; else restore a backup, and find out who changed it"),
    )
}

fn follows_another(path: &Path, e: &Stored) -> Diagnostic {
    let (seq, what) = (e.seq, &e.what);
    fault(
        path,
        "MC847",
        format!("第 {seq} 号事件（{what}）接不上前一号：前面有事件被替换"),
        format!("event {seq} ({what}) does not follow the one before: that one was replaced"),
    )
}

fn content_gone(path: &Path, e: &Stored) -> Diagnostic {
    fault(
        path,
        "MC848",
        format!("第 {} 号事件（{}）的内容缺失，且没有销毁凭证", e.seq, e.what),
        format!("the content of event {} ({}) is missing, without a certificate", e.seq, e.what),
    )
}

fn content_changed(path: &Path, e: &Stored) -> Diagnostic {
    fault(
        path,
        "MC848",
        format!("第 {} 号事件（{}）的内容已被改动", e.seq, e.what),
        format!("the content of event {} ({}) was changed", e.seq, e.what),
    )
}

fn contradicts(path: &Path, e: &Stored) -> Diagnostic {
    fault(
        path,
        "MC848",
        format!("第 {} 号事件（{}）的“之前”与此前的事件不符", e.seq, e.what),
        format!("what event {} ({}) says was before is not what the events before it say", e.seq, e.what),
    )
}

fn differs(path: &Path, register: Register, key: &str) -> Diagnostic {
    let register = register.as_str();
    fault(
        path,
        "MC849",
        format!("登记表 {register} 中的 `{key}` 与事件不符"),
        format!("entry `{key}` of the register {register} is not what the events make of it"),
    )
}

fn forked(path: &Path) -> Diagnostic {
    fault(
        path,
        "MC846",
        "链中没有所给的链头：此后的历史被换过".to_owned(),
        "the chain does not hold the head that was given: its history was exchanged since".to_owned(),
    )
}

fn unfinished(path: &Path) -> Diagnostic {
    Diagnostic::warning(
        "MC858",
        "上一次写入在封存前中断；事件链完整，下次写入时重新封存",
        "the last writer was interrupted before it sealed the ledger; the chain is whole, and the next writer seals it",
    )
    .in_file(path.display())
}
