//! Readers: one file, whatever its format, as raw batches. Opening looks at everything that can be refused
//! before any row is read; reading streams. A reader that breaks on a damaged file refuses the file.

mod cells;
pub(crate) mod columnar;
mod formulas;
mod merges;
pub(crate) mod sheet;
pub(crate) mod text;

use std::fs::File;
use std::io::Read;

use mingcha_rules::{Contract, Diagnostic};
use sha2::{Digest, Sha256};

use crate::batch::RawBatch;
use crate::discover::{Dates, Format, Found};
use crate::fault;
use crate::headings::Matched;
use crate::store::hex;

/// Rows of a raw batch.
pub(crate) const BATCH_ROWS: usize = 16_384;

/// Takes raw batches; an error stops the reading.
pub(crate) type Sink<'a> = dyn FnMut(RawBatch) -> Result<(), Diagnostic> + 'a;

/// A file that has been looked at and can be read.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// The file.
    pub(crate) found: Found,
    /// Its columns.
    pub(crate) matched: Matched,
    /// How it is read.
    pub(crate) how: How,
    /// Length.
    pub(crate) bytes: u64,
    /// Hash.
    pub(crate) sha256: String,
    /// Rows, where the file says so.
    pub(crate) rows: Option<u64>,
    /// Days that the file carries.
    pub(crate) dates: Dates,
    /// What should be known about it.
    pub(crate) notes: Vec<Diagnostic>,
    /// Parts that may be read side by side, in order.
    pub(crate) units: Vec<Unit>,
}

/// How a file is read.
#[derive(Debug, Clone)]
pub(crate) enum How {
    Parquet,
    Text(text::TextFacts),
    Sheet(sheet::SheetFacts),
}

/// A part of a file: row groups of Parquet, or the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// First data row, from 1.
    pub(crate) first_row: u64,
    /// Row groups.
    pub(crate) row_groups: Vec<usize>,
}

impl Unit {
    /// The whole of a file that has no parts.
    pub(crate) fn whole() -> Self {
        Self { first_row: 1, row_groups: Vec::new() }
    }
}

impl How {
    /// The word in the manifest.
    pub(crate) fn format(&self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Text(facts) if facts.delimiter == b'\t' => "tsv",
            Self::Text(_) => "csv",
            Self::Sheet(facts) if facts.old => "xls",
            Self::Sheet(_) => "xlsx",
        }
    }
}

/// Looks at a file.
///
/// # Errors
/// Everything that speaks against it.
pub(crate) fn open(
    found: &Found,
    contract: &Contract,
    encoding: Option<&str>,
) -> Result<Opened, Vec<Diagnostic>> {
    let name = found.name.clone();
    let looked = fault::guarded(&name, || {
        Ok(match found.format {
            Format::Parquet => columnar::open(found, contract),
            Format::Csv | Format::Tsv => text::open(found, contract, encoding),
            Format::Workbook => sheet::open(found, contract),
        })
    });
    looked.map_err(|d| vec![d])?
}

/// Reads one part of a file; what should be known about it besides.
///
/// # Errors
/// When the file turns out to be damaged, or the sink refuses.
pub(crate) fn read(opened: &Opened, unit: &Unit, sink: &mut Sink<'_>) -> Result<Vec<Diagnostic>, Diagnostic> {
    let found = &opened.found;
    let nothing = |()| Vec::new();
    fault::guarded(&found.name, || match &opened.how {
        How::Parquet => columnar::read(found, &opened.matched, unit, sink).map(nothing),
        How::Text(facts) => text::read(found, &opened.matched, facts, sink).map(nothing),
        How::Sheet(facts) => sheet::read(found, &opened.matched, facts, sink),
    })
}

/// Length and hash of a file, streamed; `each` sees the bytes as they pass.
pub(crate) fn fingerprint(found: &Found, mut each: impl FnMut(&[u8])) -> Result<(u64, String), Diagnostic> {
    let failed =
        |e: std::io::Error| fault::cannot_read(&found.name, ("可读的文件", "a file that can be read"), &e);
    let mut file = File::open(&found.path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(&buffer[..n]);
        each(&buffer[..n]);
        bytes += n as u64;
    }
}
