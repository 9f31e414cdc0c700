//! How a step gets into the ledger: one transaction, all of it or nothing, and an answer that says which. What the log
//! holds durably is done; whatever fails afterwards (the log's way into the file, the seal) is a warning and is healed by
//! the next opening. What failed before is refused, and nothing of it is left that could come back.

use std::path::Path;

use mingcha_rules::Diagnostic;
use rusqlite::{Connection, TransactionBehavior};

use super::chain::{self, Hash, Pen};
use super::schema::{self, Folded, broken};
use super::{Book, By};

impl Book {
    /// One transaction: all of it, sealed, or nothing.
    pub(super) fn write<T>(
        &mut self,
        by: By<'_>,
        work: impl FnOnce(&Connection, &Path, &mut Pen<'_>) -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        if self.lock.is_none() {
            return Err(broken(&self.path, "opened for reading only"));
        }
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| broken(&self.path, e))?;
        let mut pen = Pen::new(&tx, &self.path, by)?;
        let result = work(&tx, &self.path, &mut pen)?;
        let head = pen.head();
        let committed = tx.commit();
        if let Err(error) = committed {
            let fault = broken(&self.path, error);
            self.after_failure(&head, fault)?;
        }
        if let Err(fault) = schema::settle(&self.conn, &self.path) {
            self.warnings.push(done(fault));
        }
        Ok(result)
    }

    /// What was done and could not be finished: it is on record, and what is missing is made up for by the next opening.
    pub fn take_warnings(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.warnings)
    }

    /// A commit failed with `fault`. Whether it is written is decided by the log, as whoever opens the ledger next reads it.
    fn after_failure(&mut self, head: &Hash, fault: Diagnostic) -> Result<(), Diagnostic> {
        // The connection that saw the failure goes first: what it believes of the log is not what is there.
        let nothing = Connection::open_in_memory().map_err(|e| broken(&self.path, e))?;
        drop(std::mem::replace(&mut self.conn, nothing));
        match schema::writer(&self.path) {
            Ok(conn) => self.conn = conn,
            Err(_) => return Err(fault),
        }
        if chain::head(&self.conn, &self.path)?.1 == *head {
            self.warnings.push(done(fault));
            return Ok(());
        }
        schema::cut_log(&self.conn, &self.path)?;
        Err(fault)
    }

    /// Empties the log, waiting for readers a while: what was destroyed must not lie there. Says so where it still does.
    pub(super) fn clear_log(&mut self) {
        match schema::settle_patiently(&self.conn, &self.path) {
            Ok(Folded::Emptied) => {}
            Ok(_) => self.warnings.push(still_there(&self.path)),
            Err(fault) => self.warnings.push(done(fault)),
        }
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        if self.lock.is_some() {
            schema::leave(&self.conn, &self.path);
        }
    }
}

/// What could not be finished after the step was on record.
fn done(fault: Diagnostic) -> Diagnostic {
    let (zh, en) = (fault.message.zh, fault.message.en);
    let mut told = Diagnostic::warning(
        "MC861",
        format!("已记入台账，但未能封存：{zh}"),
        format!("it is on record, but the ledger could not be sealed: {en}"),
    )
    .with_help(
        "不要重复办理；下次写入时自动补封。磁盘已满的，先腾出空间",
        "do not enter it again; the next command that writes seals the ledger. If the disk is full, free some space first",
    );
    told.place = fault.place;
    told
}

fn still_there(path: &Path) -> Diagnostic {
    Diagnostic::warning(
        "MC866",
        "内容已销毁，但有程序正在读取台账，其日志中可能仍有旧内容",
        "the content is destroyed, but somebody reads the ledger, and its log may still hold what was there",
    )
    .in_file(path.display())
    .with_help(
        "读取结束后再执行一次任何写入命令，日志即被清空",
        "once the reader has finished, any command that writes empties the log",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::LazyLock;

    use super::*;
    use crate::book::seal::beside;
    use crate::book::{Action, Filter, Policy};
    use crate::time::{Instant, Zone};

    static NOON: LazyLock<By<'static>> = LazyLock::new(|| {
        static AT: LazyLock<Instant> = LazyLock::new(|| "2026-11-01T12:00:00Z".parse().unwrap());
        By { who: "zhang", at: &AT, zone: Zone::default() }
    });

    /// A ledger of which a reader keeps the log from being emptied, its log after one step, and after two.
    fn two_steps(dir: &Path) -> (std::path::PathBuf, Vec<u8>, Vec<u8>) {
        let path = dir.join("ledger.sqlite");
        let mut book = Book::open(&path, *NOON).unwrap();
        let reader = schema::reader(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
        let log = || fs::read(beside(&path, "-wal")).unwrap();
        book.release("2026-11-01", &["PEN-01".to_owned()], *NOON).unwrap();
        let one = log();
        book.release("2026-11-02", &["PEN-02".to_owned()], *NOON).unwrap();
        let two = log();
        assert!(two.len() > one.len() && two.starts_with(&one));
        let apart = dir.join("apart.sqlite");
        fs::copy(&path, &apart).unwrap();
        (apart, one, two)
    }

    fn last(path: &Path) -> i64 {
        let conn = schema::writer(path).unwrap();
        chain::head(&conn, path).unwrap().0
    }

    #[test]
    fn what_a_refused_commit_left_in_the_log_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, one, two) = two_steps(dir.path());
        let log = beside(&path, "-wal");
        for cut in [false, true] {
            fs::write(&log, &one).unwrap();
            let _ = fs::remove_file(beside(&path, "-shm"));
            let conn = schema::writer(&path).unwrap();
            assert_eq!(chain::head(&conn, &path).unwrap().0, 2);
            // The frames reach the disk; the step itself fails.
            fs::write(&log, &two).unwrap();
            if cut {
                schema::cut_log(&conn, &path).unwrap();
                assert_eq!(fs::read(&log).unwrap(), one);
            }
            assert_eq!(chain::head(&conn, &path).unwrap().0, 2);
            drop(conn);
            assert_eq!(last(&path), if cut { 2 } else { 3 }, "cut: {cut}");
        }
    }

    #[test]
    fn a_failed_commit_that_is_in_the_log_is_answered_as_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let mut book = Book::open(&path, *NOON).unwrap();
        book.release("2026-11-01", &["PEN-01".to_owned()], *NOON).unwrap();
        let head = chain::head(&book.conn, &path).unwrap().1;
        let fault = || broken(&path, "database or disk is full");
        book.after_failure(&head, fault()).unwrap();
        assert_eq!(book.take_warnings().iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["MC861"]);
        assert_eq!(book.after_failure(&[7; 32], fault()).unwrap_err().code, "MC842");
        // It goes on as if nothing had happened.
        book.release("2026-11-02", &["PEN-01".to_owned()], *NOON).unwrap();
        let note = Action::Note { text: "seen".to_owned() };
        assert_eq!(book.act(&Filter::default(), &note, &Policy::default(), *NOON).unwrap_err().code, "MC855");
        drop(book);
        let proof = Book::verify(&path, None).unwrap();
        assert!(proof.faults.is_empty() && proof.remarks.is_empty() && proof.events == 3, "{proof:?}");
    }
}
