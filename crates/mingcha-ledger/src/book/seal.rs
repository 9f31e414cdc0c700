//! The seal beside the ledger: a digest of every block of the file, so that a byte changed anywhere is found, also
//! where the database itself never looks (free pages, slack). Knows bytes and nothing of what they mean.
//!
//! Order of a commit: the transaction is durable in the write-ahead log; the seal is marked *pending* with the new
//! head of the chain; as much of the log as no reader stands in the way of goes into the file; the seal is written anew,
//! over the file as it then lies, with the head of the chain. So a log that is not all in the file yet is proven too: the
//! seal says which event it must end in. Whoever dies in between leaves a ledger that still proves itself by its chain,
//! and the next writer seals it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mingcha_files::private;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fault;
use crate::record::{Fields, hex};
use crate::run::sync_folder;

/// Bytes that share a digest.
const BLOCK: usize = 64 * 1024;
const FORMAT: &str = "mingcha-ledger-seal 1";

/// What the ledger was when it was last written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    format: String,
    /// Size of the file.
    pub(super) bytes: u64,
    /// Number of the last event.
    pub(super) seq: i64,
    /// Its hash.
    pub(super) head: String,
    /// Hash of the last event of a commit that was about to go into the file.
    pub(super) pending: Option<String>,
    /// Whether a reader kept part of the log from going into the file. Whoever closes the file last brings it in, also
    /// a program that knows nothing of this seal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) unfolded: bool,
    /// A digest per block, 16 digits each.
    blocks: Vec<String>,
    /// Digest of this seal with this field empty.
    seal: String,
}

/// How a file compares with its seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it was sealed.
    Whole,
    /// Something else, between these bytes.
    Differs(u64, u64),
}

impl Seal {
    /// The seal of the file at `path` as it is.
    pub(super) fn of(path: &Path, seq: i64, head: &[u8]) -> Result<Self, Diagnostic> {
        let (bytes, blocks) = blocks(path)?;
        Ok(Self {
            format: FORMAT.to_owned(),
            bytes,
            seq,
            head: hex(head),
            pending: None,
            unfolded: false,
            blocks,
            seal: String::new(),
        })
    }

    /// The same, while a commit that ends in `head` goes into the file.
    pub(super) fn awaiting(self, head: &[u8]) -> Self {
        Self { pending: Some(hex(head)), ..self }
    }

    /// The same, of a file that lacks part of its log.
    pub(super) fn of_unfolded(self) -> Self {
        Self { unfolded: true, ..self }
    }

    /// Reads the seal of the ledger at `path`. `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Diagnostic> {
        let place = place(path);
        let text = match fs::read(&place) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault::disk("MC840", ("读取封存记录", "read the seal"), &place, &e)),
        };
        let seal: Self = serde_json::from_slice(&text).map_err(|_| damaged(&place))?;
        // The text itself, and not only what it says: a byte changed between the words counts too.
        if seal.format != FORMAT || seal.text() != text {
            return Err(damaged(&place));
        }
        Ok(Some(seal))
    }

    /// Puts the seal in its place, in one step.
    pub(super) fn write(&self, path: &Path) -> Result<(), Diagnostic> {
        let place = place(path);
        let aside = place.with_extension("seal.partial");
        let write = || -> io::Result<()> {
            let mut file = private::file(&aside)?;
            file.write_all(&self.text())?;
            file.sync_all()?;
            drop(file);
            fs::rename(&aside, &place)?;
            sync_folder(parent(&place))
        };
        write().map_err(|e| fault::disk("MC840", ("写封存记录", "write the seal"), &place, &e))
    }

    /// How the file at `path` compares.
    pub(super) fn fits(&self, path: &Path) -> Result<Fit, Diagnostic> {
        let (bytes, blocks) = blocks(path)?;
        if bytes == self.bytes && blocks == self.blocks {
            return Ok(Fit::Whole);
        }
        let longest = blocks.len().max(self.blocks.len());
        let differs = |at: &usize| blocks.get(*at) != self.blocks.get(*at);
        let first = (0..longest).find(differs).unwrap_or(0) as u64;
        let last = (0..longest).rev().find(differs).unwrap_or(0) as u64;
        let block = BLOCK as u64;
        Ok(Fit::Differs(first * block, (last * block + block).min(bytes.max(self.bytes))))
    }

    fn text(&self) -> Vec<u8> {
        let open = Self { seal: String::new(), ..self.clone() };
        let mut fields = Fields::new(FORMAT);
        fields.add(&serde_json::to_string(&open).unwrap_or_default());
        let sealed = Self { seal: fields.finish(), ..open };
        let mut text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// `ledger.sqlite` is sealed by `ledger.sqlite.seal`.
pub(super) fn place(path: &Path) -> PathBuf {
    beside(path, ".seal")
}

/// `path` with `more` after its name.
pub(super) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn blocks(path: &Path) -> Result<(u64, Vec<String>), Diagnostic> {
    let failed = |e: io::Error| fault::disk("MC840", ("读取台账", "read the ledger"), path, &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0_u8; BLOCK];
    let (mut bytes, mut out) = (0_u64, Vec::new());
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match file.read(&mut buffer[filled..]).map_err(failed)? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            return Ok((bytes, out));
        }
        bytes += filled as u64;
        out.push(hex(&Sha256::digest(&buffer[..filled])[..8]));
    }
}

fn damaged(place: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC844",
        "封存记录应与写出时一致，实际已被改动或损坏",
        "wanted the seal as it was written, but it was changed or damaged since",
    )
    .in_file(place.display())
    .with_help(
        "先查明原因；用 `mingcha verify --ledger` 看事件链是否完整，再从备份恢复",
        "find out why first; `mingcha verify --ledger` tells whether the chain is whole; then restore a backup",
    )
}
