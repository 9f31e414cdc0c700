//! The secret of a run folder, under which masked lists name its findings where there is no ledger. A file of its own
//! beside the findings, for its owner only: it is random, so it is no part of what the run found, and no seal covers it.
//! Whoever hands a run folder on hands the names on with it; without the file they are new.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mingcha_files::private;
use mingcha_rules::Diagnostic;
use sha2::{Digest, Sha256};

use crate::fault;
use crate::names::Names;
use crate::record::hex;

/// The file that holds it: one line, the secret and the beginning of its sum, so that damage is found.
pub const KEY: &str = "names.key";

/// The names under the secret of the run at `folder`; none where it has no secret.
pub(super) fn read(folder: &Path) -> Result<Option<Names>, Diagnostic> {
    let path = folder.join(KEY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(damaged(&path)),
        Err(e) => return Err(fault::disk("MC822", ("读取编号密钥", "read the key of the names"), &path, &e)),
    };
    secret(&text).map(|secret| Some(Names::new(secret.to_owned()))).ok_or_else(|| damaged(&path))
}

/// The secret of which this is the file's text, if it is one that nobody changed.
fn secret(text: &str) -> Option<&str> {
    let secret = text.get(..64).filter(|secret| secret.bytes().all(|b| b.is_ascii_hexdigit()))?;
    (line(secret) == text).then_some(secret)
}

fn line(secret: &str) -> String {
    format!("{secret} {}\n", &hex(&Sha256::digest(secret))[..8])
}

/// Whether the bytes are those of such a file.
#[must_use]
pub fn is_key(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| secret(text).is_some())
}

/// Gives the run that is being written at `folder` the secret of the run at `earlier`, whose place it takes, so that its
/// findings keep their names; or a new one.
pub(super) fn inherit(folder: &Path, earlier: &Path) -> Result<(), Diagnostic> {
    let path = folder.join(KEY);
    let kept = fs::read_to_string(earlier.join(KEY)).ok().filter(|_| matches!(read(earlier), Ok(Some(_))));
    let write = || -> io::Result<()> {
        let text = kept.map_or_else(fresh, Ok)?;
        write_new(&path, &text)
    };
    write().map_err(|e| fault::disk("MC801", ("写文件", "write the file"), &path, &e))
}

/// The names of a run that an older build wrote, or that was copied without its secret: it gets one.
pub(super) fn make(folder: &Path) -> Result<Names, Diagnostic> {
    let path = folder.join(KEY);
    put(folder, &path).map_err(|e| cannot_be_made(&path, &e))?;
    read(folder)?.ok_or_else(|| damaged(&path))
}

/// Whole or not at all, and never in the place of one that somebody else has just made.
fn put(folder: &Path, path: &Path) -> io::Result<()> {
    let text = fresh()?;
    let aside = aside(folder, &text)?;
    let linked = match fs::hard_link(&aside, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links.
        Err(_) => write_new(path, &text),
        linked => linked,
    };
    let taken = fs::remove_file(&aside);
    linked.and(taken)
}

fn aside(folder: &Path, text: &str) -> io::Result<PathBuf> {
    let process = std::process::id();
    for attempt in 0_u32.. {
        let path = folder.join(format!(".{KEY}.partial-{process}-{attempt}"));
        match write_new(&path, text) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("no free name"))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private::new_file(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn fresh() -> io::Result<String> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(line(&hex(&secret)))
}

fn cannot_be_made(path: &Path, error: &io::Error) -> Diagnostic {
    fault::disk("MC822", ("建立编号密钥", "make the key of the names"), path, error).with_help(
        "脱敏清单的线索编号须加密，而这个运行结果文件夹还没有密钥、也不能写入：使文件夹可写后重试，或用 `--ledger` 指明台账；有权查看全部的用 `--profile investigator`",
        "masked lists name findings under a key, which this run folder does not have and cannot be given: make the folder writable and try again, or name a ledger with `--ledger`; who may see everything takes `--profile investigator`",
    )
}

fn damaged(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC823",
        "编号密钥应为 64 位十六进制，实际已损坏",
        "wanted a key of 64 hexadecimal digits, got one that is damaged",
    )
    .in_file(path.display())
    .with_help(
        "从备份恢复；也可删除它，再次使用时会另建，此前脱敏清单中的编号从此查不回来",
        "restore it from a backup; or delete it and a new one is made, under which the ids of masked lists made before are not found any more",
    )
}
