//! The SQLite file: opened, recognised, brought to the present layout, committed and sealed. One place opens
//! connections and sets their pragmas. Knows tables, and not what stands in them.
//!
//! An older ledger is migrated as a copy: the old file stays beside it as a backup, and the new one takes its name
//! in one step.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mingcha_rules::Diagnostic;
use refinery::{Runner, Target};
use rusqlite::{Connection, OpenFlags};

use super::chain::{self, By};
use super::seal::{self, Fit, Seal, beside};
use crate::fault;
use crate::record::hex;

mod embedded {
    //! The migrations, numbered; a released one is never changed.
    refinery::embed_migrations!("migrations");
}

/// The layout that this build writes.
pub(super) const VERSION: i64 = 2;
/// "MCLG".
const MARK: i64 = 0x4d43_4c47;

/// A failure of the database as a diagnostic.
pub(super) fn broken(path: &Path, error: impl std::fmt::Display) -> Diagnostic {
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
        conn.busy_timeout(Duration::from_secs(5))?;
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
    conn.busy_timeout(Duration::from_secs(5)).map_err(|e| broken(path, e))?;
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

/// Brings the log into the file and seals it. Called after a commit, and by whoever finds one unsealed.
pub(super) fn settle(conn: &Connection, path: &Path) -> Result<(), Diagnostic> {
    let (seq, head) = chain::head(conn, path)?;
    if let Some(seal) = Seal::read(path)? {
        seal.awaiting(&head).write(path)?;
    }
    let busy: i64 = conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|e| broken(path, e))?;
    if busy != 0 {
        // A reader stands in the way. What is committed is safe in the log; the next writer brings it in.
        return Ok(());
    }
    Seal::of(path, seq, &head)?.write(path)
}

/// What a writer has to know before it adds to what is there: that it is what the last writer left. `false` where that
/// one was interrupted before it could seal it.
pub(super) fn check_seal(conn: &Connection, path: &Path) -> Result<bool, Diagnostic> {
    let Some(seal) = Seal::read(path)? else { return Err(unsealed(path)) };
    match seal.fits(path)? {
        Fit::Whole => Ok(true),
        // The last writer died while the log went into the file: then the chain has to prove it.
        Fit::Differs(..) if interrupted(conn, path, &seal)? => {
            let faults = super::verify::logical(conn, path);
            faults.into_iter().next().map_or(Ok(false), Err)
        }
        Fit::Differs(from, to) => Err(differs(path, from, to)),
    }
}

/// Whether the ledger is what a writer was about to seal.
pub(super) fn interrupted(conn: &Connection, path: &Path, seal: &Seal) -> Result<bool, Diagnostic> {
    let (_, head) = chain::head(conn, path)?;
    Ok(seal.pending.as_ref().is_some_and(|pending| *pending == hex(&head)))
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
        settle(&conn, path)?;
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
    build(&mut conn, VERSION, by.at).map_err(|e| broken(path, e))?;
    let tx = conn.transaction().map_err(|e| broken(path, e))?;
    let mut pen = chain::Pen::new(&tx, path, by)?;
    pen.write(&chain::Entry {
        what: "migrated",
        register: chain::Register::Ledger,
        key: "ledger",
        run: "",
        old: None,
        new: None,
        why: serde_json::json!({"from": from, "to": VERSION}),
    })?;
    tx.commit().map_err(|e| broken(path, e))?;
    let (_, head) = chain::head(&conn, &copy)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| broken(path, e))?;
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
