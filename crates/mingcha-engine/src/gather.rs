//! From candidates to findings: who is excused and why, what is left grouped by subject, graded, given its
//! message, and the source rows for and against it. Works on the few candidates of one rule; the many rows of
//! the datasets never come here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Builder, Int64Array, RecordBatch, RecordBatchOptions,
    StringBuilder, StringViewArray, UInt32Builder, UInt64Builder,
};
use arrow::compute::{filter_record_batch, interleave, interleave_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Schema, SchemaRef, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use futures::executor::block_on;
use mingcha_intake::Tables;
use mingcha_rules::finding::ExclusionChecked;
use mingcha_rules::rule::{MOST_EXCLUSIONS, Scalar, Severity, SubjectType};
use mingcha_rules::{Diagnostic, EvidenceRow, Excused, Finding, LoadedRule, ParamValue, Text};
use sha2::{Digest, Sha256};

use crate::context::{Budget, Workplace};
use crate::functions;
use crate::handlers::{Behind, Handlers, person_columns};
use crate::local::Spread;
use crate::plan::{self, Catalog, Compiled};
use crate::program::{CANDIDATES, EXCLUSION, PieceFault, expression, with_as_of};
use crate::report::Sink;
use crate::sql::{self, SqlFault};
use crate::tables::{Rows, Scene, Slots, compact};

/// Code under which candidates without a subject are counted.
pub(crate) const NO_SUBJECT: &str = "X-NOID";
/// Groups that are judged at a time.
const JUDGED_AT_ONCE: usize = 2048;
/// Hex digits of a finding's id.
const ID_DIGITS: usize = 32;

/// One rule and what is needed to judge its candidates.
pub(crate) struct Task<'a> {
    pub loaded: &'a LoadedRule,
    /// Columns of the candidates.
    pub schema: SchemaRef,
    pub tables: &'a dyn Tables,
    pub as_of: NaiveDate,
    /// Parameters that the workspace sets.
    pub params: Option<&'a BTreeMap<String, Scalar>>,
}

/// A subject, before its number is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Person(i32),
    Text(Box<str>),
}

/// Where the rows that are shown for an excused subject come from: one candidate, or a group of candidates.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// A row of one of the harvest's lots.
    Candidate {
        lot: u32,
        row: u32,
    },
    Group(u32),
}

/// Candidates of one subject that one exclusion excused first. There may be a million of them before a run is
/// written: what they show stays in columns until then.
#[derive(Debug)]
struct Part {
    key: Key,
    /// Place of the exclusion in its rule.
    code: u32,
    candidates: u64,
    /// Bits: further exclusions that hold.
    also: u64,
    /// The candidate whose locators come first, so that the order of rows and shards does not matter.
    origin: Origin,
}

/// Sorts by subject and exclusion, and makes one part of those that have both in common. `earlier` tells whether
/// its first argument is the one to be shown.
fn merge(parts: &mut Vec<Part>, earlier: impl Fn(Origin, Origin) -> bool) {
    parts.sort_by(|a, b| (&a.key, a.code).cmp(&(&b.key, b.code)));
    parts.dedup_by(|next, kept| {
        let same = next.code == kept.code && next.key == kept.key;
        if same {
            kept.candidates += next.candidates;
            kept.also |= next.also;
            if earlier(next.origin, kept.origin) {
                kept.origin = next.origin;
            }
        }
        same
    });
}

/// What one rule gave on one shard, or on everything.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// Candidates that no row exclusion excused.
    pub remaining: Vec<RecordBatch>,
    /// Rows of each counter-evidence query.
    pub counters: Vec<Vec<RecordBatch>>,
    candidates: u64,
    without_subject: u64,
    excused: Vec<Part>,
    /// Candidates that show why somebody was excused, with nothing but the columns of the evidence.
    lots: Vec<RecordBatch>,
}

/// The excused of a harvest as columns, to be kept outside memory.
pub(crate) struct Excusals {
    pub rows: Vec<RecordBatch>,
    pub lots: Vec<RecordBatch>,
}

impl Harvest {
    /// Candidates, and those of them without a subject.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.candidates, self.without_subject)
    }

    /// The excused as columns.
    pub(crate) fn excusals(&self) -> Result<Excusals, ArrowError> {
        let n = self.excused.len();
        let mut pid = Int32Builder::with_capacity(n);
        let mut text = StringBuilder::new();
        let mut code = UInt32Builder::with_capacity(n);
        let mut candidates = UInt64Builder::with_capacity(n);
        let mut also = UInt64Builder::with_capacity(n);
        let (mut lots, mut rows) = (UInt32Builder::with_capacity(n), UInt32Builder::with_capacity(n));
        for part in &self.excused {
            match &part.key {
                Key::Person(person) => {
                    pid.append_value(*person);
                    text.append_null();
                }
                Key::Text(name) => {
                    pid.append_null();
                    text.append_value(name);
                }
            }
            code.append_value(part.code);
            candidates.append_value(part.candidates);
            also.append_value(part.also);
            // Groups are formed when everything is gathered, not before.
            let (lot, row) = match part.origin {
                Origin::Candidate { lot, row } => (lot, row),
                Origin::Group(at) => (u32::MAX, at),
            };
            lots.append_value(lot);
            rows.append_value(row);
        }
        let columns: [(&str, ArrayRef); 7] = [
            ("pid", Arc::new(pid.finish())),
            ("text", Arc::new(text.finish())),
            ("code", Arc::new(code.finish())),
            ("candidates", Arc::new(candidates.finish())),
            ("also", Arc::new(also.finish())),
            ("lot", Arc::new(lots.finish())),
            ("row", Arc::new(rows.finish())),
        ];
        let rows = if n == 0 { Vec::new() } else { vec![RecordBatch::try_from_iter(columns)?] };
        Ok(Excusals { rows, lots: self.lots.clone() })
    }

    /// What [`excusals`](Self::excusals) and the fields beside them tell of.
    pub(crate) fn of(
        (candidates, without_subject): (u64, u64),
        remaining: Vec<RecordBatch>,
        counters: Vec<Vec<RecordBatch>>,
        Excusals { rows, lots }: Excusals,
    ) -> Result<Self, ArrowError> {
        let mut excused = Vec::with_capacity(rows.iter().map(RecordBatch::num_rows).sum());
        for batch in &rows {
            let wrong = || ArrowError::SchemaError("these are not the excused".to_owned());
            let column = |name: &str| batch.column_by_name(name).ok_or_else(wrong);
            let pid = column("pid")?.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
            let text = column("text")?.as_string_opt::<i32>().ok_or_else(wrong)?;
            let u32s = |name: &str| column(name)?.as_primitive_opt::<UInt32Type>().ok_or_else(wrong);
            let u64s = |name: &str| column(name)?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong);
            let (code, lot, row) = (u32s("code")?, u32s("lot")?, u32s("row")?);
            let (candidates, also) = (u64s("candidates")?, u64s("also")?);
            for i in 0..batch.num_rows() {
                let key =
                    if pid.is_valid(i) { Key::Person(pid.value(i)) } else { Key::Text(text.value(i).into()) };
                let (lot, row) = (lot.value(i), row.value(i));
                let origin =
                    if lot == u32::MAX { Origin::Group(row) } else { Origin::Candidate { lot, row } };
                let (candidates, also) = (candidates.value(i), also.value(i));
                excused.push(Part { key, code: code.value(i), candidates, also, origin });
            }
        }
        Ok(Self { remaining, counters, candidates, without_subject, excused, lots })
    }

    /// Whether any candidate is left.
    pub(crate) fn has_candidates(&self) -> bool {
        self.remaining.iter().any(|b| b.num_rows() > 0)
    }

    /// The harvests of all shards as one, in their order.
    pub(crate) fn join(parts: Vec<Self>) -> Self {
        let mut whole = Self::default();
        whole.excused.reserve_exact(parts.iter().map(|p| p.excused.len()).sum());
        for part in parts {
            whole.candidates += part.candidates;
            whole.without_subject += part.without_subject;
            whole.remaining.extend(part.remaining);
            for (i, batches) in part.counters.into_iter().enumerate() {
                if whole.counters.len() <= i {
                    whole.counters.resize_with(i + 1, Vec::new);
                }
                whole.counters[i].extend(batches);
            }
            let before = index(whole.lots.len());
            whole.excused.extend(part.excused.into_iter().map(|mut p| {
                if let Origin::Candidate { lot, .. } = &mut p.origin {
                    *lot += before;
                }
                p
            }));
            whole.lots.extend(part.lots);
        }
        whole
    }

    /// Adds the persons whose numbers, or whose handlers, will be asked for.
    pub(crate) fn persons(&self, persons: &mut Vec<i32>) {
        persons.extend(self.excused.iter().filter_map(|p| match p.key {
            Key::Person(pid) => Some(pid),
            Key::Text(_) => None,
        }));
        for batch in &self.remaining {
            let schema = batch.schema();
            for column in person_columns(&schema) {
                persons.extend(batch.column(column).as_primitive::<Int32Type>().iter().flatten());
            }
        }
    }
}

/// Batches and rows of one rule's candidates are counted in 32 bits.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The row locators of candidates' evidence.
struct Locators<'a>(Vec<Option<&'a Int64Array>>);

impl<'a> Locators<'a> {
    fn of(task: &Task<'_>, batch: &'a RecordBatch) -> Self {
        let evidence = task.loaded.rule.evidence.iter();
        Self(evidence.map(|e| batch.column_by_name(&e.src)?.as_primitive_opt::<Int64Type>()).collect())
    }

    /// Those of one candidate; a missing one comes last.
    fn at(&self, row: usize) -> impl Iterator<Item = i64> {
        self.0.iter().map(move |c| c.filter(|c| c.is_valid(row)).map_or(i64::MAX, |c| c.value(row)))
    }
}

/// Separates the excused candidates from those that are left.
pub(crate) fn sift(task: &Task<'_>, batches: &[RecordBatch]) -> Result<Harvest, DataFusionError> {
    let exclusions = &task.loaded.rule.exclusions;
    if exclusions.len() > MOST_EXCLUSIONS {
        return Err(DataFusionError::NotImplemented(format!("more than {MOST_EXCLUSIONS} exclusions")));
    }
    let mut harvest = Harvest::default();
    let mut sources = Vec::with_capacity(batches.len());
    for batch in batches {
        harvest.candidates += batch.num_rows() as u64;
        let holds: Vec<Option<&BooleanArray>> = (0..exclusions.len())
            .map(|i| batch.column_by_name(&format!("{EXCLUSION}{i}")).map(|c| c.as_boolean()))
            .collect();
        let keys = Keys::of(task, batch)?;
        let mut keep = Vec::with_capacity(batch.num_rows());
        let own = own_columns(task, batch)?;
        for row in 0..batch.num_rows() {
            let Some(key) = keys.at(row) else {
                harvest.without_subject += 1;
                keep.push(false);
                continue;
            };
            let held = holds.iter().enumerate().filter(|(_, c)| c.is_some_and(|c| c.value(row)));
            let held = held.fold(0_u64, |bits, (i, _)| bits | 1 << i);
            keep.push(held == 0);
            if held != 0 {
                harvest.excused.push(Part {
                    key,
                    code: held.trailing_zeros(),
                    candidates: 1,
                    also: held & (held - 1),
                    origin: Origin::Candidate { lot: index(sources.len()), row: index(row) },
                });
            }
        }
        let left = filter_record_batch(&own, &BooleanArray::from(keep))?;
        if left.num_rows() > 0 {
            // What is left waits for the other shards: it must not keep theirs in memory.
            harvest.remaining.push(compact(&left));
        }
        sources.push(shown_columns(task, &own)?);
    }
    let locators: Vec<Locators<'_>> = sources.iter().map(|s| Locators::of(task, s)).collect();
    // The rows of one excused candidate are enough to show what was looked at.
    merge(&mut harvest.excused, |a, b| match (a, b) {
        (Origin::Candidate { lot: a, row: i }, Origin::Candidate { lot: b, row: j }) => {
            locators[a as usize].at(i as usize).lt(locators[b as usize].at(j as usize))
        }
        _ => false,
    });
    harvest.excused.shrink_to_fit();
    harvest.lots.extend(take_shown(&mut harvest.excused, &sources)?);
    Ok(harvest)
}

/// The columns that evidence is made of.
fn shown_columns(task: &Task<'_>, own: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let schema = own.schema();
    let mut wanted = BTreeSet::new();
    for evidence in &task.loaded.rule.evidence {
        wanted.insert(schema.index_of(&evidence.src)?);
        wanted.extend(evidence.columns.iter().filter_map(|name| schema.index_of(name).ok()));
    }
    Ok(own.project(&wanted.into_iter().collect::<Vec<_>>())?)
}

/// The candidates that `parts` show, one row each in the order of the parts, in a batch of their own: nothing of
/// the shard stays in memory with them.
fn take_shown(parts: &mut [Part], sources: &[RecordBatch]) -> Result<Option<RecordBatch>, DataFusionError> {
    let Some(first) = sources.first().filter(|_| !parts.is_empty()) else { return Ok(None) };
    let mut rows = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter_mut().enumerate() {
        if let Origin::Candidate { lot, row } = part.origin {
            rows.push((lot as usize, row as usize));
            part.origin = Origin::Candidate { lot: 0, row: index(i) };
        }
    }
    let columns = (0..first.num_columns()).map(|c| {
        let columns: Vec<&dyn Array> = sources.iter().map(|s| s.column(c).as_ref()).collect();
        interleave(&columns, &rows)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(Some(compact(&RecordBatch::try_new_with_options(first.schema(), columns, &options)?)))
}

/// The candidate columns without those of the exclusions.
fn own_columns(task: &Task<'_>, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let columns = task
        .schema
        .fields()
        .iter()
        .map(|f| {
            batch
                .column_by_name(f.name())
                .cloned()
                .ok_or_else(|| DataFusionError::Internal(format!("no column {}", f.name())))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .filter(|f| task.schema.field_with_name(f.name()).is_ok())
        .cloned()
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The subjects of a batch.
struct Keys(ArrayRef);

impl Keys {
    fn of(task: &Task<'_>, batch: &RecordBatch) -> Result<Self, DataFusionError> {
        let name = &task.loaded.rule.subject.key;
        batch
            .column_by_name(name)
            .cloned()
            .map(Self)
            .ok_or_else(|| DataFusionError::Internal(format!("no column {name}")))
    }

    fn at(&self, row: usize) -> Option<Key> {
        if self.0.is_null(row) {
            return None;
        }
        match self.0.data_type() {
            DataType::Int32 => Some(Key::Person(self.0.as_primitive::<Int32Type>().value(row))),
            _ => cell(&self.0, row).map(|text| Key::Text(text.into())),
        }
    }
}

/// How values are written for an investigator.
fn notation() -> FormatOptions<'static> {
    FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

/// A value as an investigator reads it; `None` for NULL.
pub(crate) fn cell(array: &ArrayRef, row: usize) -> Option<String> {
    Cells::of(array)?.at(row)
}

/// The values of one column as an investigator reads them.
enum Cells<'a> {
    Text(&'a StringViewArray),
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        match array.as_string_view_opt() {
            Some(text) => Some(Self::Text(text)),
            // Its formatter is asked for no NULL.
            None => Some(Self::Other(array, ArrayFormatter::try_new(array.as_ref(), &notation()).ok()?)),
        }
    }

    fn at(&self, row: usize) -> Option<String> {
        match self {
            Self::Text(text) => text.is_valid(row).then(|| text.value(row).to_owned()),
            Self::Other(array, format) => array.is_valid(row).then(|| format.value(row).to_string()),
        }
    }
}

/// Source rows that one locator and the columns beside it tell of.
struct SourceRows<'a> {
    locator: Option<&'a Int64Array>,
    columns: Vec<(&'a str, Cells<'a>)>,
    title: Option<&'a Text>,
}

impl<'a> SourceRows<'a> {
    fn of(
        batch: &'a RecordBatch,
        locator: &str,
        columns: impl Iterator<Item = &'a str>,
        title: Option<&'a Text>,
    ) -> Result<Self, DataFusionError> {
        let Some(locator) = batch.column_by_name(locator) else {
            return Err(DataFusionError::Internal(format!("no column {locator}")));
        };
        let columns = columns.filter_map(|name| Some((name, Cells::of(batch.column_by_name(name)?)?)));
        Ok(Self { locator: locator.as_primitive_opt(), columns: columns.collect(), title })
    }

    fn at(&self, tables: &dyn Tables, row: usize) -> Option<EvidenceRow> {
        let src = self.locator.filter(|a| a.is_valid(row))?.value(row);
        let found = tables.locate(src)?;
        let columns = self.columns.iter();
        Some(EvidenceRow {
            dataset: found.dataset,
            file: found.file,
            row: found.row,
            columns: columns.filter_map(|(name, cells)| Some(((*name).to_owned(), cells.at(row)?))).collect(),
            title: self.title.cloned(),
        })
    }
}

/// Candidates and the source rows that each of them stands on.
struct Shown<'a> {
    tables: &'a dyn Tables,
    rows: Vec<SourceRows<'a>>,
    locators: Locators<'a>,
}

impl<'a> Shown<'a> {
    fn of(task: &Task<'a>, batch: &'a RecordBatch) -> Result<Self, DataFusionError> {
        let evidence = task.loaded.rule.evidence.iter();
        let rows = evidence
            .map(|e| SourceRows::of(batch, &e.src, e.columns.iter().map(String::as_str), None))
            .collect::<Result<_, _>>()?;
        Ok(Self { tables: task.tables, rows, locators: Locators::of(task, batch) })
    }

    fn at(&self, row: usize) -> impl Iterator<Item = EvidenceRow> {
        self.rows.iter().filter_map(move |s| s.at(self.tables, row))
    }
}

/// Every source row once, in order.
fn in_order(rows: impl Iterator<Item = EvidenceRow>) -> Vec<EvidenceRow> {
    let mut rows: Vec<EvidenceRow> = rows.collect();
    rows.sort();
    rows.dedup();
    rows
}

/// What a rule found.
pub(crate) struct Gathered<'a> {
    /// Ordered by subject and id.
    pub findings: Vec<Finding>,
    pub candidates: u64,
    pub excluded: BTreeMap<String, u64>,
    /// The excused with their subjects' numbers, ordered by subject and code.
    excused: Vec<(Cow<'a, str>, Part)>,
    lots: Vec<RecordBatch>,
    remaining: Vec<RecordBatch>,
    groups: Vec<Group>,
    /// Of an earlier run, in the same order, about other subjects.
    pub standing: Vec<Excused>,
}

/// Groups what is left and makes findings of it.
pub(crate) fn findings<'a>(
    task: &Task<'_>,
    numbers: &'a Numbers,
    handlers: Result<&Handlers, &Diagnostic>,
    harvest: Harvest,
) -> Result<Gathered<'a>, SqlFault> {
    let internal = |e: DataFusionError| plan::planning_fault(&e);
    let Harvest { remaining, counters, candidates, without_subject, mut excused, lots } = harvest;
    let rule = &task.loaded.rule;
    let mut excluded: BTreeMap<String, u64> = BTreeMap::new();
    if without_subject > 0 {
        excluded.insert(NO_SUBJECT.to_owned(), without_subject);
    }
    for part in &excused {
        *excluded.entry(rule.exclusions[part.code as usize].code.clone()).or_default() += part.candidates;
    }
    // Candidates left, one group after the other, and those that were excused as a whole.
    let groups = Groups::of(task, &remaining).map_err(internal)?;
    let shown = Evidence::of(task, &lots, &remaining, &groups.all).map_err(internal)?;
    merge(&mut excused, |a, b| shown.earlier(a, b));
    let (mut findings, mut whole) = if groups.all.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        let against = counter_rows(task, &counters).map_err(internal)?;
        let behind = handlers
            .map_err(Clone::clone)
            .and_then(|all| all.behind(task.tables, task.loaded, &remaining, &counters))
            .map_err(|d| internal(DataFusionError::External(Box::new(d))))?;
        judged(task, numbers, &remaining, &groups, (&excused, &shown, &against, &behind))?
    };
    for part in &whole {
        *excluded.entry(rule.exclusions[part.code as usize].code.clone()).or_default() += part.candidates;
    }
    excused.append(&mut whole);
    findings.sort_by(|a, b| (&a.subject_id, &a.finding_id).cmp(&(&b.subject_id, &b.finding_id)));
    if findings.windows(2).any(|pair| pair[0].finding_id == pair[1].finding_id) {
        return Err(SqlFault::new(
            "MC209",
            "同一对象有两条线索无法区分，请在 matter 中补充能区分的列",
            "two findings of one subject cannot be told apart; name a column under `matter` that tells them apart",
        ));
    }
    // A code may stand twice in a rule: there is one record per subject and code.
    let first_of = |code: u32| {
        rule.exclusions.iter().position(|e| e.code == rule.exclusions[code as usize].code).map_or(code, index)
    };
    for part in &mut excused {
        part.code = first_of(part.code);
    }
    merge(&mut excused, |a, b| shown.earlier(a, b));
    drop(shown);
    let named = excused.into_iter().map(|part| Ok((numbers.of(task, &part.key)?, part)));
    let mut excused = named.collect::<Result<Vec<_>, DataFusionError>>().map_err(internal)?;
    let code = |part: &Part| &rule.exclusions[part.code as usize].code;
    excused.sort_by(|a, b| (&a.0, code(&a.1)).cmp(&(&b.0, code(&b.1))));
    let groups = groups.all;
    let standing = Vec::new();
    Ok(Gathered { findings, candidates, excluded, excused, lots, remaining, groups, standing })
}

/// The findings, and the groups that are excused as a whole.
fn judged(
    task: &Task<'_>,
    numbers: &Numbers,
    remaining: &[RecordBatch],
    groups: &Groups,
    (excused, shown, against, behind): (&[Part], &Evidence<'_>, &BTreeMap<Key, Vec<EvidenceRow>>, &Behind),
) -> Result<(Vec<Finding>, Vec<Part>), SqlFault> {
    let internal = |e: DataFusionError| plan::planning_fault(&e);
    let batches = judge(task, remaining, &groups.all)?;
    let verdicts: Vec<Verdicts<'_>> =
        batches.iter().map(|b| Verdicts::of(task, b)).collect::<Result<_, _>>().map_err(internal)?;
    // First whom an exclusion excuses as a whole: a finding tells of all that was excused of its subject, in whatever
    // order groups are judged.
    let (mut left, mut whole) = (Vec::new(), Vec::new());
    for (batch, verdicts) in batches.iter().zip(&verdicts) {
        for row in 0..batch.num_rows() {
            let named = verdicts.group(row);
            let Some(at) = groups.at(&named) else {
                return Err(internal(DataFusionError::Internal(format!("group {row} has no candidates"))));
            };
            let (key, _) = named;
            let candidates = groups.all[at as usize].candidates;
            match verdicts.excused_by(row) {
                Some(code) => whole.push(Part {
                    key,
                    code: index(code),
                    candidates,
                    also: verdicts.also(row, code),
                    origin: Origin::Group(at),
                }),
                None => left.push((verdicts, row, at, key, candidates)),
            }
        }
    }
    let tally = Tally::of(excused, &whole);
    let mut findings = Vec::with_capacity(left.len());
    for (verdicts, row, at, key, candidates) in left {
        let subject = numbers.of(task, &key).map_err(internal)?.into_owned();
        let rows = in_order(shown.rows(Origin::Group(at)));
        let rows = behind.beside(rows, remaining, &groups.all[at as usize].rows);
        let counter = behind.named(against.get(&key).map_or(&[] as &[_], Vec::as_slice));
        let checked = (tally.checked(task, &key), candidates);
        findings.push(finding(task, subject, verdicts, row, (rows, counter), checked));
    }
    Ok((findings, whole))
}

/// How many candidates of a subject each exclusion excused.
struct Tally<'a> {
    /// One candidate at a time, in order of subject and exclusion.
    rows: &'a [Part],
    /// As groups.
    groups: BTreeMap<(Key, u32), u64>,
}

impl<'a> Tally<'a> {
    /// `rows`: in order of subject and exclusion; `whole`: in any order.
    fn of(rows: &'a [Part], whole: &[Part]) -> Self {
        let mut groups: BTreeMap<(Key, u32), u64> = BTreeMap::new();
        for part in whole {
            *groups.entry((part.key.clone(), part.code)).or_default() += part.candidates;
        }
        Self { rows, groups }
    }

    /// Every exclusion of the rule once, in the rule's order. A code may stand twice in a rule, for single candidates
    /// and for the whole subject.
    fn checked(&self, task: &Task<'_>, key: &Key) -> Vec<ExclusionChecked> {
        let from = self.rows.partition_point(|p| p.key < *key);
        let own: Vec<&Part> = self.rows[from..].iter().take_while(|p| p.key == *key).collect();
        let mut list: Vec<ExclusionChecked> = Vec::new();
        for (i, exclusion) in (0..).zip(&task.loaded.rule.exclusions) {
            let single: u64 = own.iter().filter(|p| p.code == i).map(|p| p.candidates).sum();
            let count = single + self.groups.get(&(key.clone(), i)).copied().unwrap_or_default();
            match list.iter_mut().find(|x| x.code == exclusion.code) {
                Some(same) => same.excused += count,
                None => list.push(ExclusionChecked { code: exclusion.code.clone(), excused: count }),
            }
        }
        list
    }
}

/// The source rows behind the candidates of a rule.
struct Evidence<'a> {
    lots: Vec<Shown<'a>>,
    remaining: Vec<Shown<'a>>,
    groups: &'a [Group],
}

impl<'a> Evidence<'a> {
    fn of(
        task: &Task<'a>,
        lots: &'a [RecordBatch],
        remaining: &'a [RecordBatch],
        groups: &'a [Group],
    ) -> Result<Self, DataFusionError> {
        let all =
            |batches: &'a [RecordBatch]| batches.iter().map(|b| Shown::of(task, b)).collect::<Result<_, _>>();
        Ok(Self { lots: all(lots)?, remaining: all(remaining)?, groups })
    }

    /// The source rows, in no order.
    fn rows(&self, origin: Origin) -> Box<dyn Iterator<Item = EvidenceRow> + '_> {
        match origin {
            Origin::Candidate { lot, row } => Box::new(self.lots[lot as usize].at(row as usize)),
            Origin::Group(at) => {
                let rows = self.groups[at as usize].rows.iter();
                Box::new(rows.flat_map(|(batch, row)| self.remaining[*batch as usize].at(*row as usize)))
            }
        }
    }

    fn locators(&self, origin: Origin) -> Vec<i64> {
        match origin {
            Origin::Candidate { lot, row } => self.lots[lot as usize].locators.at(row as usize).collect(),
            Origin::Group(at) => {
                let rows = self.groups[at as usize].rows.iter();
                rows.map(|(batch, row)| {
                    self.remaining[*batch as usize].locators.at(*row as usize).collect::<Vec<_>>()
                })
                .min()
                .unwrap_or_default()
            }
        }
    }

    /// Whether `a` comes before `b`: by locators, and where they are the same, by what the rows say.
    fn earlier(&self, a: Origin, b: Origin) -> bool {
        let order = self.locators(a).cmp(&self.locators(b));
        order.then_with(|| in_order(self.rows(a)).cmp(&in_order(self.rows(b)))).is_lt()
    }
}

impl Gathered<'_> {
    /// Hands all of it to `sink`. The record of an excused subject is made when it is asked for.
    pub(crate) fn hand_over(self, task: &Task<'_>, sink: &mut dyn Sink) -> Result<(), Diagnostic> {
        let rule = &task.loaded.rule;
        let shown = Evidence::of(task, &self.lots, &self.remaining, &self.groups).map_err(|e| {
            let fault = plan::planning_fault(&e);
            Diagnostic::error("MC701", fault.zh, fault.en)
        })?;
        let excused = self.excused.iter().map(|(subject, part)| {
            let code = &rule.exclusions[part.code as usize].code;
            let held = rule.exclusions.iter().enumerate().filter(|(i, _)| part.also >> i & 1 == 1);
            let also: BTreeSet<&String> = held.map(|(_, e)| &e.code).filter(|c| *c != code).collect();
            Excused {
                rule_id: rule.id.clone(),
                subject_type: rule.subject.ty,
                subject_id: subject.to_string(),
                code: code.clone(),
                also: also.into_iter().cloned().collect(),
                candidates: part.candidates,
                evidence: in_order(shown.rows(part.origin)),
            }
        });
        let mut found = excused.peekable();
        let mut standing = self.standing.into_iter().peekable();
        let place = |e: &Excused| (e.subject_id.clone(), e.code.clone());
        let mut both = std::iter::from_fn(|| match (found.peek(), standing.peek()) {
            (Some(a), Some(b)) if place(a) > place(b) => standing.next(),
            (None, _) => standing.next(),
            _ => found.next(),
        });
        sink.rule(self.findings, &mut both)
    }
}

/// Identity numbers of the persons that the rules of a run ask for: looked up once, shard by shard, because the
/// numbers of a shard are read as one.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    persons: Vec<i32>,
    /// Where each number ends in `text`.
    ends: Vec<usize>,
    text: String,
}

impl Numbers {
    /// Looks up `persons`, which are sorted. A number that cannot be read is not here; who asks for it is told why.
    pub(crate) fn look_up(tables: &dyn Tables, persons: &[i32]) -> Self {
        let mut numbers = Self::default();
        for pid in persons {
            if let Ok(Some(number)) = tables.id_number(*pid) {
                numbers.persons.push(*pid);
                numbers.text.push_str(&number);
                numbers.ends.push(numbers.text.len());
            }
        }
        numbers
    }

    /// These and those of persons that come later.
    pub(crate) fn append(&mut self, later: &Self) {
        let before = self.text.len();
        self.persons.extend_from_slice(&later.persons);
        self.ends.extend(later.ends.iter().map(|end| end + before));
        self.text.push_str(&later.text);
    }

    fn of(&self, task: &Task<'_>, key: &Key) -> Result<Cow<'_, str>, DataFusionError> {
        let pid = match key {
            Key::Text(text) => return Ok(Cow::Owned(text.to_string())),
            Key::Person(pid) => *pid,
        };
        if let Ok(at) = self.persons.binary_search(&pid) {
            let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            return Ok(Cow::Borrowed(&self.text[from..self.ends[at]]));
        }
        let number = task.tables.id_number(pid).map_err(|d| DataFusionError::External(Box::new(d)))?;
        number
            .map(Cow::Owned)
            .ok_or_else(|| DataFusionError::Internal(format!("person {pid} is not in the index")))
    }
}

/// The candidates of a subject (and matter).
struct Group {
    candidates: u64,
    /// Batch and row of each.
    rows: Vec<(u32, u32)>,
}

struct Groups {
    /// Places in `all`.
    by_name: BTreeMap<(Key, Vec<Option<String>>), u32>,
    all: Vec<Group>,
}

impl Groups {
    fn of(task: &Task<'_>, batches: &[RecordBatch]) -> Result<Self, DataFusionError> {
        let mut groups = Self { by_name: BTreeMap::new(), all: Vec::new() };
        for (batch, at) in batches.iter().zip(0..) {
            let keys = Keys::of(task, batch)?;
            let matter = task.loaded.rule.matter.iter();
            let matter: Vec<_> = matter.map(|name| batch.column_by_name(name).and_then(Cells::of)).collect();
            for row in 0..batch.num_rows() {
                let Some(key) = keys.at(row) else { continue };
                let next = index(groups.all.len());
                let matter = matter.iter().map(|cells| cells.as_ref()?.at(row)).collect();
                let place = *groups.by_name.entry((key, matter)).or_insert(next);
                if place == next {
                    groups.all.push(Group { candidates: 0, rows: Vec::new() });
                }
                let group = &mut groups.all[place as usize];
                group.candidates += 1;
                group.rows.push((at, index(row)));
            }
        }
        Ok(groups)
    }

    fn at(&self, group: &(Key, Vec<Option<String>>)) -> Option<u32> {
        self.by_name.get(group).copied()
    }
}

/// Rows of counter-evidence by subject, each once and in order.
fn counter_rows(
    task: &Task<'_>,
    counters: &[Vec<RecordBatch>],
) -> Result<BTreeMap<Key, Vec<EvidenceRow>>, DataFusionError> {
    let mut rows: BTreeMap<Key, Vec<EvidenceRow>> = BTreeMap::new();
    for (counter, batches) in task.loaded.rule.counter_evidence.iter().zip(counters) {
        for batch in batches {
            let keys = Keys::of(task, batch)?;
            let schema = batch.schema_ref();
            let names = schema.fields().iter().map(|f| f.name().as_str());
            let names = names.filter(|n| *n != "src" && *n != task.loaded.rule.subject.key);
            let sources = SourceRows::of(batch, "src", names, Some(&counter.title))?;
            for row in 0..batch.num_rows() {
                if let Some(key) = keys.at(row)
                    && let Some(found) = sources.at(task.tables, row)
                {
                    rows.entry(key).or_default().push(found);
                }
            }
        }
    }
    for rows in rows.values_mut() {
        rows.sort();
        rows.dedup();
    }
    Ok(rows)
}

/// The figures, bands and grades of each group, in the order in which the groups begin.
fn judge(task: &Task<'_>, remaining: &[RecordBatch], groups: &[Group]) -> Result<Vec<RecordBatch>, SqlFault> {
    let fault = |e: &DataFusionError| plan::planning_fault(e);
    let mut catalog = Catalog::new(&[], None).map_err(|e| fault(&e))?;
    let compiled = compile_grouping(&mut catalog, task.loaded, &task.schema, task.as_of, task.params)
        .map_err(|faults| {
            faults
                .into_iter()
                .next()
                .map_or_else(|| SqlFault::new("MC203", "分组语句有错", "the grouping is broken"), |f| f.fault)
        })?;
    let place = Workplace::new(&catalog.session, &Budget::default()).map_err(|e| fault(&e))?;
    let judged = |candidates: Vec<RecordBatch>| {
        let slots = Arc::new(Slots::default());
        slots.put(CANDIDATES, Rows::content(candidates)?);
        let context = place.execution(Scene::new(&slots));
        let plan = reset_plan_states(Arc::clone(&compiled.physical))?;
        block_on(datafusion::physical_plan::collect(plan, context))
    };
    let failed = |e: DataFusionError| {
        let text = plan::execution_text(&e);
        SqlFault::new("MC203", text.zh, text.en)
    };
    // `count(DISTINCT)` has a set for each group, of some 14 kB before the first value: not for all groups at a time.
    // What looks across subjects needs the candidates of all.
    if groups.len() <= JUDGED_AT_ONCE || !task.loaded.rule.across.is_empty() {
        return judged(remaining.to_vec()).map_err(failed);
    }
    let mut out = Vec::new();
    for some in groups.chunks(JUDGED_AT_ONCE) {
        let candidates = candidates_of(some, remaining).map_err(|e| fault(&e))?;
        out.extend(judged(vec![candidates]).map_err(failed)?);
    }
    Ok(out)
}

/// The candidates of some groups, in the order in which they stand.
fn candidates_of(groups: &[Group], remaining: &[RecordBatch]) -> Result<RecordBatch, DataFusionError> {
    let mut rows: Vec<(usize, usize)> =
        groups.iter().flat_map(|g| &g.rows).map(|(batch, row)| (*batch as usize, *row as usize)).collect();
    rows.sort_unstable();
    Ok(interleave_record_batch(&remaining.iter().collect::<Vec<_>>(), &rows)?)
}

/// Plans the grouping of a rule over the table `candidates`. Every fault names the part of the rule it is in.
pub(crate) fn compile_grouping(
    catalog: &mut Catalog,
    loaded: &LoadedRule,
    schema: &SchemaRef,
    as_of: NaiveDate,
    overrides: Option<&BTreeMap<String, Scalar>>,
) -> Result<Compiled, Vec<PieceFault>> {
    let at = |path: &str, faults: Vec<SqlFault>| {
        faults.into_iter().map(|fault| PieceFault { path: path.to_owned(), fault }).collect::<Vec<_>>()
    };
    let none = BTreeMap::new();
    let params = with_as_of(loaded.effective_params(overrides.unwrap_or(&none)), as_of)
        .map_err(|f| at("params", f))?;
    catalog
        .define(CANDIDATES, Arc::clone(schema), Some(&Spread::Everywhere), None)
        .map_err(|e| at("sql", vec![plan::planning_fault(&e)]))?;
    let text = grouping_sql(loaded, &params)?;
    let statement = sql::parse(&text).map_err(|f| at("measures", vec![f]))?;
    plan::compile(catalog, statement, None, plan::Cut::Nothing).map_err(|faults| {
        at(
            "measures",
            faults
                .into_iter()
                .map(|mut f| {
                    f.at = None;
                    f
                })
                .collect(),
        )
    })
}

/// ```sql
/// SELECT g.*, <having>, <bands>, <shift>, <grade>
/// FROM (SELECT key, matter, measures, amount, period, identity FROM candidates + across GROUP BY key, matter) g
/// ```
pub(crate) fn grouping_sql(
    loaded: &LoadedRule,
    params: &BTreeMap<String, ParamValue>,
) -> Result<String, Vec<PieceFault>> {
    let rule = &loaded.rule;
    let mut faults = Vec::new();
    let mut bound = |path: String, text: &str| match expression(text, params) {
        Ok(text) => text,
        Err(found) => {
            faults.extend(found.into_iter().map(|fault| PieceFault { path: path.clone(), fault }));
            "NULL".to_owned()
        }
    };
    let mut source = CANDIDATES.to_owned();
    let mut extra = String::new();
    for (i, (name, across)) in rule.across.iter().enumerate() {
        let expr = bound(format!("across.{name}.expr"), &across.expr);
        extra.push_str(&format!(", a{i}.v AS \"{name}\""));
        source.push_str(&format!(" LEFT JOIN (SELECT \"{0}\" AS k, {expr} AS v FROM {CANDIDATES} GROUP BY \"{0}\") AS a{i} ON a{i}.k = {CANDIDATES}.\"{0}\"", across.by));
    }
    let keys: Vec<String> =
        std::iter::once(&rule.subject.key).chain(&rule.matter).map(|k| format!("\"{k}\"")).collect();
    let mut columns: Vec<String> =
        keys.iter().enumerate().map(|(i, k)| format!("{k} AS \"__k{i}\"")).collect();
    for (alias, column) in [("__name", &rule.subject.name), ("__area", &rule.subject.area)] {
        if let Some(column) = column {
            columns.push(format!("min(\"{column}\") AS \"{alias}\""));
        }
    }
    for (name, measure) in &rule.measures {
        columns.push(format!("{} AS \"{name}\"", bound(format!("measures.{name}"), measure)));
    }
    if let Some(amount) = &rule.amount {
        columns.push(format!("CAST({} AS DECIMAL(18, 2)) AS \"amount\"", bound("amount".to_owned(), amount)));
    }
    if let Some(period) = &rule.period {
        columns.push(format!(
            "CAST({} AS DATE) AS \"period_from\"",
            bound("period.from".to_owned(), &period.from)
        ));
        columns.push(format!("CAST({} AS DATE) AS \"period_to\"", bound("period.to".to_owned(), &period.to)));
    }
    columns.push(format!("{} AS \"identity\"", bound("identity".to_owned(), &rule.identity)));
    let mut verdicts = String::new();
    for (i, exclusion) in rule.exclusions.iter().enumerate() {
        if let Some(having) = &exclusion.having {
            verdicts.push_str(&format!(
                ", coalesce(({}), false) AS \"__h{i}\"",
                bound(format!("exclusions[{i}].having"), having)
            ));
        }
    }
    for (i, band) in rule.severity.bands.iter().enumerate() {
        verdicts.push_str(&format!(
            ", coalesce(({}), false) AS \"__b{i}\"",
            bound(format!("severity.bands[{i}].when"), &band.when)
        ));
    }
    if let Some(shift) = &rule.severity.shift {
        verdicts.push_str(&format!(
            ", CAST(coalesce(({}), 0) AS BIGINT) AS \"__shift\"",
            bound("severity.shift".to_owned(), shift)
        ));
    }
    verdicts.push_str(&format!(", ({}) AS \"__grade\"", bound("grade".to_owned(), &rule.grade)));
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(format!(
        "SELECT g.*{verdicts} FROM (SELECT {} FROM (SELECT {CANDIDATES}.*{extra} FROM {source}) AS c GROUP BY {}) AS g",
        columns.join(", "),
        keys.join(", ")
    ))
}

/// One batch of judged groups.
struct Verdicts<'a> {
    task: &'a Task<'a>,
    batch: &'a RecordBatch,
}

impl<'a> Verdicts<'a> {
    fn of(task: &'a Task<'a>, batch: &'a RecordBatch) -> Result<Self, DataFusionError> {
        match batch.column_by_name("__k0") {
            Some(_) => Ok(Self { task, batch }),
            None => Err(DataFusionError::Internal("a grouping without its key".to_owned())),
        }
    }

    fn column(&self, name: &str) -> Option<&'a ArrayRef> {
        self.batch.column_by_name(name)
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        self.column(name).and_then(|c| cell(c, row))
    }

    fn holds(&self, name: &str, row: usize) -> bool {
        self.column(name).is_some_and(|c| c.as_boolean_opt().is_some_and(|b| b.is_valid(row) && b.value(row)))
    }

    fn group(&self, row: usize) -> (Key, Vec<Option<String>>) {
        let key =
            self.column("__k0").and_then(|c| Keys(Arc::clone(c)).at(row)).unwrap_or(Key::Text("".into()));
        let matter =
            (1..=self.task.loaded.rule.matter.len()).map(|i| self.text(&format!("__k{i}"), row)).collect();
        (key, matter)
    }

    fn excused_by(&self, row: usize) -> Option<usize> {
        (0..self.task.loaded.rule.exclusions.len()).find(|i| self.holds(&format!("__h{i}"), row))
    }

    /// Bits.
    fn also(&self, row: usize, first: usize) -> u64 {
        (first + 1..self.task.loaded.rule.exclusions.len())
            .filter(|i| self.holds(&format!("__h{i}"), row))
            .fold(0, |bits, i| bits | 1 << i)
    }

    fn severity(&self, row: usize) -> Severity {
        let rule = &self.task.loaded.rule.severity;
        let base = rule
            .bands
            .iter()
            .enumerate()
            .find(|(i, _)| self.holds(&format!("__b{i}"), row))
            .map_or(rule.default, |(_, b)| b.level);
        let shift = self
            .column("__shift")
            .filter(|c| c.is_valid(row))
            .map_or(0, |c| c.as_primitive::<Int64Type>().value(row));
        shifted(base, shift)
    }

    fn day(&self, name: &str, row: usize) -> Option<String> {
        let column = self.column(name)?;
        column.is_valid(row).then(|| functions::date_text(column.as_primitive::<Date32Type>().value(row)))
    }

    /// Fen; the plan has cast it to decimal(18, 2).
    fn amount(&self, row: usize) -> Option<i64> {
        let column = self.column("amount")?;
        column
            .is_valid(row)
            .then(|| i64::try_from(column.as_primitive::<Decimal128Type>().value(row)).ok())?
    }
}

/// `severity` raised or lowered by `levels`, within the scale.
fn shifted(severity: Severity, levels: i64) -> Severity {
    const SCALE: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let at = SCALE.iter().position(|s| *s == severity).unwrap_or(0);
    let moved = i64::try_from(at).unwrap_or(0).saturating_add(levels).clamp(0, 4);
    SCALE[usize::try_from(moved).unwrap_or(0)]
}

fn finding(
    task: &Task<'_>,
    subject_id: String,
    verdicts: &Verdicts<'_>,
    row: usize,
    (evidence, counter_evidence): (Vec<EvidenceRow>, Vec<EvidenceRow>),
    (exclusions_checked, candidates): (Vec<ExclusionChecked>, u64),
) -> Finding {
    let rule = &task.loaded.rule;
    let (_, matter) = verdicts.group(row);
    let subject_name = verdicts.text("__name", row);
    let amount_fen = verdicts.amount(row);
    let measures: BTreeMap<String, String> =
        rule.measures.keys().filter_map(|name| Some((name.clone(), verdicts.text(name, row)?))).collect();
    let (period_from, period_to) = (verdicts.day("period_from", row), verdicts.day("period_to", row));
    let mut values = measures.clone();
    for (name, value) in
        [("subject_name", &subject_name), ("period_from", &period_from), ("period_to", &period_to)]
    {
        values.insert(name.to_owned(), value.clone().unwrap_or_else(|| "—".to_owned()));
    }
    values.insert("amount".to_owned(), amount_fen.map_or_else(|| "—".to_owned(), yuan));
    Finding {
        finding_id: finding_id(&rule.id, rule.subject.ty, &subject_id, &matter),
        rule_id: rule.id.clone(),
        rule_version: rule.version,
        severity: verdicts.severity(row),
        grade: verdicts.text("__grade", row).unwrap_or_else(|| "C".to_owned()),
        identity: verdicts.text("identity", row).unwrap_or_else(|| "I5".to_owned()),
        subject_type: rule.subject.ty,
        subject_id,
        subject_name,
        area_code: verdicts.text("__area", row),
        period_from,
        period_to,
        amount_fen,
        message: Text { zh: fill(&rule.message.zh, &values), en: fill(&rule.message.en, &values) },
        measures,
        candidates,
        evidence,
        counter_evidence,
        exclusions_checked,
    }
}

/// Depends on rule, subject and matter; never on wording, order or run.
fn finding_id(rule: &str, subject_type: SubjectType, subject: &str, matter: &[Option<String>]) -> String {
    let mut hash = Sha256::new();
    for part in [rule, subject_type.as_str(), subject] {
        hash.update(part.as_bytes());
        hash.update([0x1f]);
    }
    for part in matter {
        // An absent value is not an empty one.
        hash.update(part.as_deref().unwrap_or("\u{0}").as_bytes());
        hash.update([0x1f]);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(ID_DIGITS).collect()
}

/// `1234.50` from fen.
fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

/// Puts values in place of `{name}`, in one pass: a value that holds braces is copied as it is.
fn fill(template: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, tail)) => {
                match values.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&format!("{{{name}}}")),
                }
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_subject_and_code_become_one_whatever_their_order() {
        let part = |pid, code, also, row| Part {
            key: Key::Person(pid),
            code,
            candidates: 1,
            also,
            origin: Origin::Candidate { lot: 0, row },
        };
        let row = |origin| match origin {
            Origin::Candidate { row, .. } | Origin::Group(row) => row,
        };
        let merged = |mut parts: Vec<Part>| {
            merge(&mut parts, |a, b| row(a) < row(b));
            let shown = |p: &Part| (p.key.clone(), p.code, p.candidates, p.also, row(p.origin));
            parts.iter().map(shown).collect::<Vec<_>>()
        };
        let parts = || vec![part(7, 1, 0b100, 5), part(3, 1, 0, 9), part(7, 1, 0b1000, 2), part(7, 0, 0, 1)];
        let expected =
            [(Key::Person(3), 1, 1, 0, 9), (Key::Person(7), 0, 1, 0, 1), (Key::Person(7), 1, 2, 0b1100, 2)];
        assert_eq!(merged(parts()), expected);
        assert_eq!(merged(parts().into_iter().rev().collect()), expected);
    }

    #[test]
    fn severity_moves_within_its_scale() {
        assert_eq!(shifted(Severity::Medium, 1), Severity::High);
        assert_eq!(shifted(Severity::Critical, 1), Severity::Critical);
        assert_eq!(shifted(Severity::Info, -3), Severity::Info);
    }

    #[test]
    fn a_finding_keeps_its_id_whatever_is_written_about_it_and_matters_differ() {
        let id = |matter: &[Option<String>]| {
            finding_id("PEN-01", SubjectType::Person, "880101194001010014", matter)
        };
        assert_eq!(id(&[]), id(&[]));
        assert_ne!(id(&[]), id(&[Some("170".to_owned())]));
        assert_eq!(id(&[]).len(), ID_DIGITS);
    }

    #[test]
    fn a_name_that_looks_like_a_placeholder_is_copied_as_it_is() {
        let values =
            BTreeMap::from([("name".to_owned(), "{zzz}".to_owned()), ("zzz".to_owned(), "999".to_owned())]);
        assert_eq!(fill("{name} {zzz} {other} {", &values), "{zzz} 999 {other} {");
    }

    #[test]
    fn amounts_read_as_yuan() {
        assert_eq!(yuan(123_450), "1234.50");
        assert_eq!(yuan(-5), "-0.05");
    }
}
