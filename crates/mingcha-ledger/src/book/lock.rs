//! One writer per ledger. The lock is the operating system's and goes with its process; its file says who holds
//! it. Knows nothing of what is written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use mingcha_rules::Diagnostic;

use super::seal::beside;
use crate::fault;

/// Held while a ledger is open for writing.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the ledger at `path` for `who`, waiting up to `patience` for another writer.
    pub(super) fn take(path: &Path, who: &str, patience: Duration) -> Result<Self, Diagnostic> {
        let place = beside(path, ".lock");
        let failed = |e: &std::io::Error| fault::disk("MC840", ("锁定台账", "lock the ledger"), &place, e);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&place)
            .map_err(|e| failed(&e))?;
        // How long to wait is no fact about the data: this clock only counts.
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(taken(path, &holder(&mut file))),
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
            }
        }
        // Best effort: the lock holds without the name.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{who}, process {}", std::process::id());
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text.lines().next().unwrap_or("?").trim().to_owned()
}

fn taken(path: &Path, holder: &str) -> Diagnostic {
    held(path, (holder, holder))
}

/// Somebody writes who does not know this lock.
pub(super) fn taken_by_stranger(path: &Path) -> Diagnostic {
    let holder = (
        "另一个用 SQLite 打开它的程序（不是明察，没有留下名字）",
        "another program that opened it with SQLite, none of ours, and left no name",
    );
    held(path, holder)
}

/// Somebody reads an earlier state, where the file has to be whole by itself.
pub(super) fn taken_by_reader(path: &Path) -> Diagnostic {
    held(path, ("正在读取它的程序", "somebody who reads it"))
}

fn held(path: &Path, (zh, en): (&str, &str)) -> Diagnostic {
    Diagnostic::error(
        "MC841",
        format!("需要独占台账，但正被占用：{zh}"),
        format!("needed the ledger for itself, but it is held by: {en}"),
    )
    .in_file(path.display())
    .with_help(
        "等它结束后重试；查看线索不受影响",
        "try again when it has finished; reading goes on meanwhile",
    )
}
