//! Equal rows in two files of one dataset. A payment that is delivered twice counts twice and accuses everybody in it,
//! whatever form the second file has: rows are compared as they are stored, by a hash over the columns that both files
//! have; what a third file lacks is no matter to the two. What stands twice within one file is the sender's business.
//! Knows runs and counts; reads no extract.
//!
//! Between the passes 16 bytes a row lie on the disk (hash and place), of datasets in several files only; 8 more for each
//! further set of columns over which the file is compared with others. They are compared in as many rounds as fit into
//! the memory granted: at most half of it is held at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use mingcha_rules::{Contract, Diagnostic, PersonKey};
use rayon::prelude::*;

use crate::fault;
use crate::progress::Progress;
use crate::read::Opened;
use crate::row_hash::hash_into;
use crate::runs::{Run, RunWriter};
use crate::schema::{CODE, ID_LENGTH, KEY, SRC};
use crate::tables::file_and_row;

/// So many equal rows, and at least such a part (one in so many) of the smaller file, refuse the second one.
const FEW: u64 = 5;
const PART: u64 = 10;
/// So many refuse it whatever part they are; and so does the whole of the smaller file, however short.
const MANY: u64 = 1_000;
/// Rows that a message names.
const SHOWN: usize = 5;
/// Files with the same row that are compared each with each; of more, each is compared with one earlier only.
const EACH_WITH_EACH: usize = 8;
/// Bytes of a row while rows are compared.
const WEIGHT: u64 = 16;
/// Less than this is never asked of the comparison.
const LEAST: u64 = 1 << 10;

/// Writes down the hashes of the rows of one part of a file.
pub(crate) struct Hashes {
    out: RunWriter,
    schema: SchemaRef,
    /// What is left out, for each column of hashes.
    without: Vec<Absent>,
}

/// Columns that one of two files does not have.
type Absent = BTreeSet<String>;

/// What is left out when two files are compared.
fn absent(contract: &Contract, one: &Opened, other: &Opened) -> Absent {
    let missing = one.matched.missing.iter().chain(&other.matched.missing);
    let absent: Absent = missing.cloned().collect();
    // Without what leads to the person, rows of different people would be equal.
    match &contract.person {
        Some(PersonKey::Via(via)) if absent.contains(&via.on) => Absent::new(),
        _ => absent,
    }
}

/// The column with the hashes of what is left.
fn column_of(absent: &Absent) -> String {
    let names: Vec<&str> = absent.iter().map(String::as_str).collect();
    format!("hash without {}", names.join(","))
}

/// One file of a dataset, as it was read.
pub(crate) struct FileRows<'a> {
    /// Its number.
    pub(crate) id: u32,
    /// The file.
    pub(crate) opened: &'a Opened,
    /// Rows stored.
    pub(crate) stored: u64,
    /// Its hashes.
    pub(crate) hashes: Vec<&'a Run>,
}

/// Files that are compared with each other, by their numbers, the smaller first.
type Pairs = BTreeSet<(u32, u32)>;

/// What two files have in common.
#[derive(Default)]
struct Common {
    rows: u64,
    /// The first rows, of the first and of the second file.
    places: BTreeSet<(u64, u64)>,
}

impl Hashes {
    /// Begins. `None` where there is nothing to compare with.
    pub(crate) fn begin(
        path: PathBuf,
        contract: &Contract,
        mine: &Opened,
        files: &[Opened],
    ) -> Result<Option<Self>, Diagnostic> {
        let others =
            files.iter().filter(|f| f.found.dataset == contract.name && f.found.name != mine.found.name);
        let without: BTreeSet<Absent> = others.map(|other| absent(contract, mine, other)).collect();
        if without.is_empty() {
            return Ok(None);
        }
        let hashes = without.iter().map(|absent| Field::new(column_of(absent), DataType::UInt64, false));
        let columns: Vec<Field> = hashes.chain([Field::new(SRC, DataType::Int64, false)]).collect();
        let schema: SchemaRef = Arc::new(Schema::new(columns));
        let without = without.into_iter().collect();
        Ok(Some(Self { out: RunWriter::create(path, &schema)?, schema, without }))
    }

    /// Adds the rows of a typed batch. Rows of nobody in particular accuse nobody and may well be equal.
    pub(crate) fn see(&mut self, batch: &RecordBatch) -> Result<(), Diagnostic> {
        let Some(srcs) = batch.column_by_name(SRC).map(|c| c.as_primitive::<Int64Type>()) else {
            return Ok(());
        };
        let codes = batch.column_by_name(CODE);
        let rows: Vec<usize> =
            (0..batch.num_rows()).filter(|row| codes.is_none_or(|c| c.is_valid(*row))).collect();
        let mut columns: Vec<Arc<dyn Array>> = Vec::with_capacity(self.without.len() + 1);
        for absent in &self.without {
            let hashers = row_hashers(batch, absent);
            let hashes = rows.iter().map(|row| hashers[*row].finish());
            columns.push(Arc::new(UInt64Array::from_iter_values(hashes)));
        }
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| srcs.value(*row)))));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| fault::cannot_write(std::path::Path::new("hashes"), &e))?;
        self.out.write(&batch)
    }

    /// Ends.
    pub(crate) fn finish(self) -> Result<Run, Diagnostic> {
        self.out.finish()
    }
}

/// Adds up the columns of a batch but those that are absent.
fn row_hashers(batch: &RecordBatch, absent: &Absent) -> Vec<DefaultHasher> {
    let mut hashers = vec![DefaultHasher::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        if !matches!(name, SRC | KEY | ID_LENGTH) && !absent.contains(name) {
            hash_into(column, &mut hashers);
        }
    }
    hashers
}

/// Compares the files of one dataset, each two of them over the columns that both have. What is to be said of each file
/// that has rows of an earlier one: an error where it is too much, a remark otherwise.
pub(crate) fn compare(
    files: &[FileRows<'_>],
    contract: &Contract,
    memory: u64,
    progress: &dyn Progress,
) -> Result<Vec<(u32, Diagnostic)>, Diagnostic> {
    let mut pairs: BTreeMap<Absent, Pairs> = BTreeMap::new();
    for (place, one) in files.iter().enumerate() {
        for other in &files[place + 1..] {
            let both = (one.id.min(other.id), one.id.max(other.id));
            pairs.entry(absent(contract, one.opened, other.opened)).or_default().insert(both);
        }
    }
    let mut common = BTreeMap::new();
    for (absent, pairs) in &pairs {
        let concerned = |file: &&FileRows<'_>| pairs.iter().any(|(a, b)| *a == file.id || *b == file.id);
        let runs: Vec<&Run> = files.iter().filter(concerned).flat_map(|f| f.hashes.iter().copied()).collect();
        compare_over(&column_of(absent), &runs, pairs, memory, progress, &mut common)?;
    }
    Ok(verdicts(files, &common))
}

/// Compares by the hashes of one column; only these files with each other.
fn compare_over(
    column: &str,
    runs: &[&Run],
    pairs: &Pairs,
    memory: u64,
    progress: &dyn Progress,
    common: &mut BTreeMap<(u32, u32), Common>,
) -> Result<(), Diagnostic> {
    let rows: u64 = runs.iter().map(|r| r.rows).sum();
    let rounds = rows.saturating_mul(WEIGHT).div_ceil((memory / 2).max(LEAST)).max(1);
    for round in 0..rounds {
        let mut seen: Vec<(u64, i64)> = Vec::with_capacity(usize::try_from(rows / rounds).unwrap_or(0));
        for run in runs {
            run.each(None, |batch| {
                if progress.cancelled() {
                    return Err(fault::cancelled());
                }
                let (Some(hashes), Some(srcs)) = (batch.column_by_name(column), batch.column_by_name(SRC))
                else {
                    return Err(fault::damaged(run.path(), &column));
                };
                let hashes = hashes.as_primitive::<UInt64Type>().values();
                let srcs = srcs.as_primitive::<Int64Type>().values();
                let mine = |hash: u64| ((u128::from(hash) * u128::from(rounds)) >> 64) as u64 == round;
                seen.extend(hashes.iter().copied().zip(srcs.iter().copied()).filter(|(hash, _)| mine(*hash)));
                Ok(())
            })?;
        }
        seen.par_sort_unstable();
        for equal in seen.chunk_by(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
            note(equal, pairs, common);
        }
    }
    Ok(())
}

/// Takes note of rows that are equal.
fn note(equal: &[(u64, i64)], pairs: &Pairs, common: &mut BTreeMap<(u32, u32), Common>) {
    // They come in order of place, so those of one file lie together.
    let files: Vec<&[(u64, i64)]> =
        equal.chunk_by(|a, b| file_and_row(a.1).0 == file_and_row(b.1).0).collect();
    let firsts = if files.len() <= EACH_WITH_EACH { usize::MAX } else { 1 };
    let both = |a: &[(u64, i64)], b: &[(u64, i64)]| (file_and_row(a[0].1).0, file_and_row(b[0].1).0);
    for (place, second) in files.iter().enumerate() {
        let earlier = files[..place].iter().filter(|first| pairs.contains(&both(first, second)));
        for first in earlier.take(firsts) {
            let pair = common.entry(both(first, second)).or_default();
            pair.rows += first.len().min(second.len()) as u64;
            pair.places.extend(
                first.iter().zip(second.iter()).map(|(a, b)| (file_and_row(a.1).1, file_and_row(b.1).1)),
            );
            while pair.places.len() > SHOWN {
                pair.places.pop_last();
            }
        }
    }
}

/// Of each file the earlier one with which it has most in common.
fn verdicts(files: &[FileRows<'_>], common: &BTreeMap<(u32, u32), Common>) -> Vec<(u32, Diagnostic)> {
    let mut out = Vec::new();
    let of = |id: u32| files.iter().find(|f| f.id == id);
    for second in files {
        let pairs = common.iter().filter(|((_, b), _)| *b == second.id);
        let judged = pairs.filter_map(|((a, _), pair)| {
            let first = of(*a)?;
            Some((too_much(first, second, pair.rows), pair.rows, first, pair))
        });
        if let Some((refused, _, first, pair)) = judged.max_by_key(|(refused, rows, ..)| (*refused, *rows)) {
            out.push((second.id, said(first, second, pair, refused)));
        }
    }
    out
}

fn accepted(first: &FileRows<'_>, second: &FileRows<'_>) -> bool {
    first.opened.found.mapping.accept_overlap || second.opened.found.mapping.accept_overlap
}

fn too_much(first: &FileRows<'_>, second: &FileRows<'_>, rows: u64) -> bool {
    let smaller = first.stored.min(second.stored);
    let part = rows >= FEW && rows.saturating_mul(PART) >= smaller;
    !accepted(first, second) && (part || rows >= MANY || rows >= smaller)
}

fn said(first: &FileRows<'_>, second: &FileRows<'_>, common: &Common, refused: bool) -> Diagnostic {
    let (rows, name) = (common.rows, &first.opened.found.name);
    let smaller = first.stored.min(second.stored).max(1);
    let share = rows as f64 * 100.0 / smaller as f64;
    let listed = |side: fn(&(u64, u64)) -> u64, and: &str| {
        let all: Vec<String> = common.places.iter().map(|p| side(p).to_string()).collect();
        let more = if rows > common.places.len() as u64 { " …" } else { "" };
        format!("{}{more}", all.join(and))
    };
    let (there, here) = (|p: &(u64, u64)| p.0, |p: &(u64, u64)| p.1);
    let zh = format!(
        "同一数据集的两个文件不应有相同的行，实际有 {rows} 行与 {name} 的行完全相同（占较小文件的 {share:.1} %）：本文件数据第 {} 行，即该文件数据第 {} 行",
        listed(here, "、"),
        listed(there, "、")
    );
    let en = format!(
        "wanted no row in two files of one dataset, got {rows} that stand in {name} as well ({share:.1} % of the smaller file): data rows {} here are data rows {} there",
        listed(here, ", "),
        listed(there, ", ")
    );
    let out = if refused { Diagnostic::error("MC664", zh, en) } else { Diagnostic::warning("MC664", zh, en) };
    let out = out.in_file(&second.opened.found.name);
    if refused {
        let lines = format!("{}\noverlap = \"accept\"", fault::source_lines(&second.opened.found, None, 1));
        return out.with_help(
            format!("这些行会算两次：请发送方提供互不重叠的文件，或删去重复的部分；确为各自独立的记录时，在 mingcha.toml 中写明：\n{lines}"),
            format!("they would count twice: have files delivered that do not overlap, or take the rows out of one; where they are records of their own, say it in mingcha.toml:\n{lines}"),
        );
    }
    out.with_help(
        "这些行各算一次，共两次：核对是否重复交付",
        "each of them counts in both files: see whether they were delivered twice",
    )
}
