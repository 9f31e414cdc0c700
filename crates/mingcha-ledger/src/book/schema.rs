//! The SQLite file: opened, recognised, brought to the present layout, committed and sealed. One place opens
//! connections and sets their pragmas. Knows tables, and not what stands in them.
//!
//! An older ledger is migrated as a copy: the old file stays beside it as a backup, and the new one takes its name
//! in one step.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mingcha_rules::Diagnostic;
use refinery::{Runner, Target};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::chain::{self, By};
use super::seal::{self, Fit, Seal, beside};
use super::zone;
use crate::fault;
use crate::record::hex;

mod embedded {
    //! The migrations, numbered; a released one is never changed.
    refinery::embed_migrations!("migrations");
}

/// The layout that this build writes.
pub(super) const VERSION: i64 = 3;
/// "MCLG".
const MARK: i64 = 0x4d43_4c47;

/// How long somebody waits for another program that works in the file.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long somebody waits for readers who stand in the way.
const LONG: Duration = Duration::from_secs(5);

/// A failure of the database as a diagnostic. That somebody else has the file is no failure of it.
pub(super) fn broken(path: &Path, error: impl std::fmt::Display + 'static) -> Diagnostic {
    let known = (&error as &dyn std::any::Any).downcast_ref::<rusqlite::Error>();
    if known.and_then(rusqlite::Error::sqlite_error_code).is_some_and(is_busy) {
        return super::lock::taken_by_stranger(path);
    }
    Diagnostic::error(
        "MC842",
        format!("台账无法读写：{error}"),
        format!("the ledger cannot be read or written: {error}"),
    )
    .in_file(path.display())
    .with_help(
        "用 `mingcha verify --ledger` 检查；磁盘已满时先腾出空间",
        "check it with `mingcha verify --ledger`; if the disk is full, free some space first",
    )
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
}

/// The migrations up to `version`.
pub(super) fn build(conn: &mut Connection, version: i64, at: &str) -> Result<(), Box<dyn std::error::Error>> {
    let target = Target::Version(i32::try_from(version)?);
    let runner: Runner = embedded::migrations::runner().set_target(target).set_grouped(true);
    runner.run(conn)?;
    // refinery notes the clock's time; here the time is the caller's, so that equal histories give equal ledgers.
    conn.execute("UPDATE refinery_schema_history SET applied_on = ?1 WHERE applied_on <> ?1", [at])?;
    Ok(())
}

/// Opens for writing. The caller holds the lock.
pub(super) fn writer(path: &Path) -> Result<Connection, Diagnostic> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| broken(path, e))?;
    let set = || -> rusqlite::Result<()> {
        conn.busy_timeout(PATIENCE)?;
        // Whoever closes it last must not bring the log into the file behind the seal's back.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", "ON")?;
        // A lead takes two or three thousand bytes: small pages would be half empty. Heeded when the file is made.
        conn.pragma_update(None, "page_size", 16_384)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        // What was purged must not lie in free pages.
        conn.pragma_update(None, "secure_delete", "ON")?;
        // The file changes only where the seal is made anew.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "trusted_schema", "OFF")?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(())
    };
    set().map_err(|e| broken(path, e))?;
    Ok(conn)
}

/// Opens for reading, beside a writer if there is one.
pub(super) fn reader(path: &Path) -> Result<Connection, Diagnostic> {
    if !path.is_file() {
        return Err(none_there(path));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| broken(path, e))?;
    conn.busy_timeout(PATIENCE).map_err(|e| broken(path, e))?;
    Ok(conn)
}

/// The version of the layout; refused where the file is no ledger or one of a later build.
pub(super) fn version(conn: &Connection, path: &Path) -> Result<i64, Diagnostic> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let no_ledger = || {
        Diagnostic::error("MC843", "应为台账文件，实际不是", "wanted a ledger, got something else")
            .in_file(path.display())
            .with_help(
                "给出 `mingcha run --ledger` 建立的文件",
                "give the file that `mingcha run --ledger` made",
            )
    };
    if pragma("application_id").map_err(|_| no_ledger())? != MARK {
        return Err(no_ledger());
    }
    let version = pragma("user_version").map_err(|e| broken(path, e))?;
    if !(1..=VERSION).contains(&version) {
        return Err(Diagnostic::error(
            "MC843",
            format!("台账的格式版本应不高于 {VERSION}，实际为 {version}"),
            format!("wanted a ledger of layout version {VERSION} or lower, got {version}"),
        )
        .in_file(path.display())
        .with_help("用写出它的版本打开", "open it with the version that wrote it"));
    }
    Ok(version)
}

pub(super) fn none_there(path: &Path) -> Diagnostic {
    Diagnostic::error("MC843", "台账不存在", "there is no ledger here").in_file(path.display()).with_help(
        "`mingcha run --ledger FILE` 会建立它；检查路径",
        "`mingcha run --ledger FILE` makes one; check the path",
    )
}

/// How much of the log is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    /// All, and the log is empty.
    Emptied,
    /// All; somebody still reads the log.
    Whole,
    /// Not all: somebody reads an earlier state.
    Partly,
}

/// Brings as much of the log into the file as no reader stands in the way of, waiting for nobody, and seals the file as it
/// then lies, with the number and hash of the last event. What is not in the file yet is in the log: the seal proves the
/// bytes of the one, and its head that nothing is missing from the other. Called after a commit, and by whoever finds a
/// ledger unsealed.
pub(super) fn settle(conn: &Connection, path: &Path) -> Result<Folded, Diagnostic> {
    let (seq, head) = chain::head(conn, path)?;
    if let Some(seal) = Seal::read(path)? {
        seal.awaiting(&head).write(path)?;
    }
    let folded = fold(conn, path)?;
    let seal = Seal::of(path, seq, &head)?;
    let seal = if folded == Folded::Partly { seal.of_unfolded() } else { seal };
    seal.write(path)?;
    Ok(folded)
}

/// [`settle`], until the log is empty or patience is at its end.
pub(super) fn settle_patiently(conn: &Connection, path: &Path) -> Result<Folded, Diagnostic> {
    // How long to wait is no fact about the data: this clock only counts.
    let begun = Instant::now();
    loop {
        let folded = settle(conn, path)?;
        if folded == Folded::Emptied || begun.elapsed() > LONG {
            return Ok(folded);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn fold(conn: &Connection, path: &Path) -> Result<Folded, Diagnostic> {
    let failed = |e: rusqlite::Error| broken(path, e);
    conn.busy_timeout(Duration::ZERO).map_err(failed)?;
    let counts = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    conn.busy_timeout(PATIENCE).map_err(failed)?;
    match counts {
        Ok((0, ..)) => Ok(Folded::Emptied),
        Ok((_, log, done)) if log >= 0 && done >= log => Ok(Folded::Whole),
        Ok(_) => Ok(Folded::Partly),
        Err(e) if e.sqlite_error_code().is_some_and(is_busy) => Ok(Folded::Partly),
        Err(e) => Err(failed(e)),
    }
}

/// Before a writer goes: what is still in the log is brought in, if nobody stands in the way by now, and an empty log goes
/// with its last user. What cannot be done here is done by the next opening.
pub(super) fn leave(conn: &Connection, path: &Path) {
    let log = || beside(path, "-wal").metadata().map_or(0, |log| log.len());
    if log() > 0 {
        drop(settle(conn, path));
    }
    if log() == 0 {
        drop(conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false));
    }
}

/// Takes off the end of the log what a refused commit may have left there: frames that count for nobody now and would, once
/// all are gone and the log is read anew.
pub(super) fn cut_log(conn: &Connection, path: &Path) -> Result<(), Diagnostic> {
    let failed = |e: rusqlite::Error| broken(path, e);
    let disk = |e: std::io::Error| fault::disk("MC840", ("清理日志", "clean the log"), path, &e);
    let log = beside(path, "-wal");
    if !log.exists() {
        return Ok(());
    }
    // Another writer puts its own frames there.
    let Ok(held) = Transaction::new_unchecked(conn, TransactionBehavior::Immediate) else { return Ok(()) };
    let other = writer(path)?;
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(1);
    let frames: i64 = other.query_row("PRAGMA wal_checkpoint(NOOP)", [], count).map_err(failed)?;
    let page: i64 = other.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(failed)?;
    // A head of 32 bytes, and 24 before every page.
    let counts = if frames > 0 { 32 + frames * (24 + page) } else { 0 };
    let counts = u64::try_from(counts).unwrap_or(0);
    let cut = || -> std::io::Result<()> {
        let file = fs::File::options().write(true).open(&log)?;
        if file.metadata()?.len() > counts {
            file.set_len(counts)?;
            file.sync_all()?;
        }
        Ok(())
    };
    cut().map_err(disk)?;
    held.rollback().map_err(failed)
}

/// What a writer has to know before it adds to what is there: that it is what the last writer left. `false` where that
/// one was interrupted before it could seal it.
pub(super) fn check_seal(conn: &Connection, path: &Path) -> Result<bool, Diagnostic> {
    let Some(seal) = Seal::read(path)? else { return Err(unsealed(path)) };
    let (seq, head) = chain::head(conn, path)?;
    match seal.fits(path)? {
        // A log that somebody took away.
        Fit::Whole if !holds(conn, path, seal.seq, &seal.head)? => {
            Err(super::verify::cut(path, seal.seq, seq))
        }
        Fit::Whole => Ok(seal.pending.is_none() && seal.head == hex(&head)),
        // The last writer died while the log went into the file: then the chain has to prove it.
        Fit::Differs(..) if interrupted(conn, path, &seal)? => {
            let faults = super::verify::logical(conn, path);
            faults.into_iter().next().map_or(Ok(false), Err)
        }
        Fit::Differs(from, to) => Err(differs(path, from, to)),
    }
}

/// Whether the event `seq` has this hash.
fn holds(conn: &Connection, path: &Path, seq: i64, hash: &str) -> Result<bool, Diagnostic> {
    let sql = "SELECT count(*) FROM events WHERE seq = ?1 AND lower(hex(hash)) = ?2";
    let found: i64 =
        conn.query_row(sql, rusqlite::params![seq, hash], |row| row.get(0)).map_err(|e| broken(path, e))?;
    Ok(found > 0)
}

/// Whether the ledger is what a writer was about to seal, or that with later steps in its log; or what was sealed, with
/// the log that was missing in the file brought in by somebody else, who left none.
pub(super) fn interrupted(conn: &Connection, path: &Path, seal: &Seal) -> Result<bool, Diagnostic> {
    let log = || beside(path, "-wal").metadata().map_or(0, |log| log.len());
    if seal.unfolded && log() == 0 {
        return Ok(true);
    }
    let Some(pending) = &seal.pending else { return Ok(false) };
    let sql = "SELECT count(*) FROM events WHERE seq >= ?1 AND lower(hex(hash)) = ?2";
    let found: i64 = conn
        .query_row(sql, rusqlite::params![seal.seq, pending], |row| row.get(0))
        .map_err(|e| broken(path, e))?;
    Ok(found > 0)
}

pub(super) fn unsealed(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC844",
        "台账应有封存记录，实际没有",
        "wanted a ledger with its seal, but the seal is missing",
    )
    .in_file(seal::place(path).display())
    .with_help(
        "台账和 `.seal` 文件要一起复制、一起恢复",
        "copy and restore a ledger together with its `.seal` file",
    )
}

pub(super) fn differs(path: &Path, from: u64, to: u64) -> Diagnostic {
    Diagnostic::error(
        "MC844",
        format!("台账应与封存时一致，实际第 {from} 至 {} 字节之间已被改动或损坏", to.saturating_sub(1)),
        format!(
            "wanted the ledger as it was sealed, but it was changed or damaged between bytes {from} and {}",
            to.saturating_sub(1)
        ),
    )
    .in_file(path.display())
    .with_help(
        "用 `mingcha verify --ledger` 查看是哪些记录，再从备份恢复",
        "`mingcha verify --ledger` names the records; then restore a backup",
    )
}

/// Brings an older ledger to the present layout, as a copy. Returns the backup's place.
pub(super) fn migrate(path: &Path, from: i64, by: By<'_>) -> Result<PathBuf, Diagnostic> {
    let disk = |e: std::io::Error| fault::disk("MC840", ("迁移台账", "migrate the ledger"), path, &e);
    {
        // Whatever a writer of the older build left in its log comes along.
        let conn = writer(path)?;
        check_seal(&conn, path)?;
        // The copy below is of the file alone, and a log that stays would be taken for that of the new file.
        if settle_patiently(&conn, path)? != Folded::Emptied {
            return Err(super::lock::taken_by_reader(path));
        }
        leave(&conn, path);
    }
    let backup = beside(path, &format!(".v{from}"));
    let copy = beside(path, ".migrating");
    for leftover in [copy.clone(), beside(&copy, "-wal"), beside(&copy, "-shm"), seal::place(&copy)] {
        if leftover.exists() {
            fs::remove_file(&leftover).map_err(disk)?;
        }
    }
    fs::copy(path, &copy).map_err(disk)?;
    let mut conn = writer(&copy)?;
    build(&mut conn, VERSION, by.at.as_stored()).map_err(|e| broken(path, e))?;
    let tx = conn.transaction().map_err(|e| broken(path, e))?;
    zone::enter(&tx, path, by.zone)?;
    let mut pen = chain::Pen::new(&tx, path, by)?;
    pen.write(&chain::Entry {
        what: "migrated",
        register: chain::Register::Ledger,
        key: "ledger",
        run: "",
        old: None,
        new: None,
        why: serde_json::json!({"from": from, "to": VERSION, "zone": by.zone.to_string()}),
    })?;
    tx.commit().map_err(|e| broken(path, e))?;
    let (_, head) = chain::head(&conn, &copy)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| broken(path, e))?;
    leave(&conn, &copy);
    drop(conn);
    fs::File::open(&copy).and_then(|f| f.sync_all()).map_err(disk)?;
    if !backup.exists() {
        fs::hard_link(path, &backup).or_else(|_| fs::copy(path, &backup).map(drop)).map_err(disk)?;
        fs::copy(seal::place(path), seal::place(&backup)).map_err(disk)?;
    }
    // From here on either file under the ledger's name is provable: the old one by its seal, the new one by its head.
    if let Some(seal) = Seal::read(path)? {
        seal.awaiting(&head).write(path)?;
    }
    fs::rename(&copy, path).map_err(disk)?;
    crate::run::sync_folder(seal::parent(path)).map_err(disk)?;
    let conn = writer(path)?;
    settle(&conn, path)?;
    Ok(backup)
}
