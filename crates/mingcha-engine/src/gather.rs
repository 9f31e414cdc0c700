//! From candidates to findings: who is excused and why, what is left grouped by subject, graded, given its
//! message, and the source rows for and against it. Works on the few candidates of one rule; the many rows of
//! the datasets never come here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;
use datafusion::common::DataFusionError;
use futures::executor::block_on;
use mingcha_intake::Tables;
use mingcha_rules::finding::ExclusionChecked;
use mingcha_rules::rule::{Scalar, Severity, SubjectType};
use mingcha_rules::{EvidenceRow, Excused, Finding, LoadedRule, ParamValue, Text};
use sha2::{Digest, Sha256};

use crate::context::{Budget, Workplace};
use crate::functions;
use crate::local::Spread;
use crate::plan::{self, Catalog, Compiled};
use crate::program::{CANDIDATES, EXCLUSION, PieceFault, expression, is_text, with_as_of};
use crate::sql::{self, SqlFault};
use crate::tables::{Rows, Scene, Slots, compact};

/// Code under which candidates without a subject are counted.
const NO_SUBJECT: &str = "X-NOID";
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
    Text(String),
}

/// Candidates of one subject that one exclusion excused first.
#[derive(Debug, Clone, Default)]
struct ExcusedPart {
    candidates: u64,
    also: BTreeSet<usize>,
    /// The rows of the candidate whose locators come first, so that the order of rows and shards does not matter.
    evidence: Option<(Vec<i64>, Vec<EvidenceRow>)>,
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
    excused: BTreeMap<(Key, usize), ExcusedPart>,
}

impl Harvest {
    /// Whether any candidate is left.
    pub(crate) fn has_candidates(&self) -> bool {
        self.remaining.iter().any(|b| b.num_rows() > 0)
    }

    /// The harvests of all shards as one, in their order.
    pub(crate) fn join(parts: Vec<Self>) -> Self {
        let mut whole = Self::default();
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
            for (key, excused) in part.excused {
                let entry = whole.excused.entry(key).or_default();
                entry.candidates += excused.candidates;
                entry.also.extend(excused.also);
                entry.evidence = first_evidence(entry.evidence.take(), excused.evidence);
            }
        }
        whole
    }
}

/// The one whose locators come first.
fn first_evidence(
    a: Option<(Vec<i64>, Vec<EvidenceRow>)>,
    b: Option<(Vec<i64>, Vec<EvidenceRow>)>,
) -> Option<(Vec<i64>, Vec<EvidenceRow>)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The row locators of a candidate's evidence; a missing one comes last.
fn locators(task: &Task<'_>, batch: &RecordBatch, row: usize) -> Vec<i64> {
    let evidence = task.loaded.rule.evidence.iter();
    evidence
        .map(|e| {
            let column = batch.column_by_name(&e.src).and_then(|c| c.as_primitive_opt::<Int64Type>());
            column.filter(|c| c.is_valid(row)).map_or(i64::MAX, |c| c.value(row))
        })
        .collect()
}

/// Separates the excused candidates from those that are left.
pub(crate) fn sift(task: &Task<'_>, batches: &[RecordBatch]) -> Result<Harvest, DataFusionError> {
    let exclusions = &task.loaded.rule.exclusions;
    let mut harvest = Harvest::default();
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
            let mut codes =
                holds.iter().enumerate().filter(|(_, c)| c.is_some_and(|c| c.value(row))).map(|(i, _)| i);
            let first = codes.next();
            keep.push(first.is_none());
            if let Some(first) = first {
                let entry = harvest.excused.entry((key, first)).or_default();
                entry.candidates += 1;
                entry.also.extend(codes);
                // The rows of one excused candidate are enough to show what was looked at.
                let at = locators(task, &own, row);
                if entry.evidence.as_ref().is_none_or(|(best, _)| at < *best) {
                    entry.evidence = Some((at, evidence_of(task, &own, row)?.into_iter().collect()));
                }
            }
        }
        let left = filter_record_batch(&own, &BooleanArray::from(keep))?;
        if left.num_rows() > 0 {
            // What is left waits for the other shards: it must not keep theirs in memory.
            harvest.remaining.push(compact(&left));
        }
    }
    Ok(harvest)
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
    Ok(RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?)
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
            _ => cell(&self.0, row).map(Key::Text),
        }
    }
}

/// A value as an investigator reads it; `None` for NULL.
fn cell(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    ArrayFormatter::try_new(array.as_ref(), &options).ok().map(|f| f.value(row).to_string())
}

/// The source rows of one candidate.
fn evidence_of(
    task: &Task<'_>,
    batch: &RecordBatch,
    row: usize,
) -> Result<BTreeSet<EvidenceRow>, DataFusionError> {
    let mut rows = BTreeSet::new();
    for evidence in &task.loaded.rule.evidence {
        let Some(locator) = batch.column_by_name(&evidence.src) else {
            return Err(DataFusionError::Internal(format!("no column {}", evidence.src)));
        };
        if let Some(found) = source_row(task.tables, locator, batch, row, &evidence.columns, None) {
            rows.insert(found);
        }
    }
    Ok(rows)
}

fn source_row(
    tables: &dyn Tables,
    locator: &ArrayRef,
    batch: &RecordBatch,
    row: usize,
    columns: &[String],
    title: Option<&Text>,
) -> Option<EvidenceRow> {
    let src =
        (locator.is_valid(row)).then(|| locator.as_primitive_opt::<Int64Type>().map(|a| a.value(row)))??;
    let found = tables.locate(src)?;
    Some(EvidenceRow {
        dataset: found.dataset,
        file: found.file,
        row: found.row,
        columns: columns
            .iter()
            .filter_map(|name| Some((name.clone(), cell(batch.column_by_name(name)?, row)?)))
            .collect(),
        title: title.cloned(),
    })
}

/// What a rule found.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub findings: Vec<Finding>,
    pub excused: Vec<Excused>,
    pub candidates: u64,
    pub excluded: BTreeMap<String, u64>,
}

/// Groups what is left and makes findings of it.
pub(crate) fn findings(task: &Task<'_>, harvest: Harvest) -> Result<Gathered, SqlFault> {
    let internal = |e: DataFusionError| plan::planning_fault(&e);
    let mut gathered = Gathered { candidates: harvest.candidates, ..Gathered::default() };
    if harvest.without_subject > 0 {
        gathered.excluded.insert(NO_SUBJECT.to_owned(), harvest.without_subject);
    }
    let subjects = Subjects::new(task);
    let rule = &task.loaded.rule;
    let mut excused = harvest.excused;
    for ((_, code), part) in &excused {
        *gathered.excluded.entry(rule.exclusions[*code].code.clone()).or_default() += part.candidates;
    }
    if harvest.remaining.iter().any(|b| b.num_rows() > 0) {
        let groups = Groups::of(task, &harvest.remaining).map_err(internal)?;
        let against = counter_rows(task, &harvest.counters).map_err(internal)?;
        for (i, batch) in judge(task, &harvest.remaining)?.iter().enumerate() {
            let verdicts = Verdicts::of(task, batch).map_err(internal)?;
            for row in 0..batch.num_rows() {
                let Some(group) = groups.at(&verdicts.group(row)) else {
                    return Err(internal(DataFusionError::Internal(format!(
                        "group {i}:{row} has no candidates"
                    ))));
                };
                if let Some(code) = verdicts.excused_by(row) {
                    *gathered.excluded.entry(rule.exclusions[code].code.clone()).or_default() +=
                        group.candidates;
                    let also = verdicts.also(row, code);
                    let entry = excused.entry((group.key.clone(), code)).or_default();
                    entry.candidates += group.candidates;
                    entry.also.extend(also);
                    let rows = (group.first.clone(), group.evidence.iter().cloned().collect());
                    entry.evidence = first_evidence(entry.evidence.take(), Some(rows));
                } else {
                    let counter = against.get(&group.key);
                    gathered.findings.push(
                        finding(task, &subjects, &verdicts, row, group, counter, &excused)
                            .map_err(internal)?,
                    );
                }
            }
        }
    }
    let ids: BTreeSet<&str> = gathered.findings.iter().map(|f| f.finding_id.as_str()).collect();
    if ids.len() < gathered.findings.len() {
        return Err(SqlFault::new(
            "MC209",
            "同一对象有两条线索无法区分，请在 matter 中补充能区分的列",
            "two findings of one subject cannot be told apart; name a column under `matter` that tells them apart",
        ));
    }
    gathered.excused = by_code(task, &subjects, excused).map_err(internal)?;
    Ok(gathered)
}

/// The excused subjects as they are kept: one record per subject and code.
fn by_code(
    task: &Task<'_>,
    subjects: &Subjects<'_>,
    excused: BTreeMap<(Key, usize), ExcusedPart>,
) -> Result<Vec<Excused>, DataFusionError> {
    let rule = &task.loaded.rule;
    let mut merged: BTreeMap<(Key, &str), ExcusedPart> = BTreeMap::new();
    for ((key, at), part) in excused {
        let entry = merged.entry((key, rule.exclusions[at].code.as_str())).or_default();
        entry.candidates += part.candidates;
        entry.also.extend(part.also);
        entry.evidence = first_evidence(entry.evidence.take(), part.evidence);
    }
    merged
        .into_iter()
        .map(|((key, code), part)| {
            let also: BTreeSet<String> = part
                .also
                .into_iter()
                .map(|c| rule.exclusions[c].code.clone())
                .filter(|c| c != code)
                .collect();
            Ok(Excused {
                rule_id: rule.id.clone(),
                subject_type: rule.subject.ty,
                subject_id: subjects.id(&key)?,
                code: code.to_owned(),
                also: also.into_iter().collect(),
                candidates: part.candidates,
                evidence: part.evidence.map(|(_, rows)| rows).unwrap_or_default(),
            })
        })
        .collect()
}

/// Looks up identity numbers.
struct Subjects<'a> {
    tables: &'a dyn Tables,
}

impl<'a> Subjects<'a> {
    fn new(task: &Task<'a>) -> Self {
        Self { tables: task.tables }
    }

    fn id(&self, key: &Key) -> Result<String, DataFusionError> {
        match key {
            Key::Text(text) => Ok(text.clone()),
            Key::Person(pid) => self
                .tables
                .id_number(*pid)
                .map_err(|d| DataFusionError::External(Box::new(d)))?
                .ok_or_else(|| DataFusionError::Internal(format!("person {pid} is not in the index"))),
        }
    }
}

/// A subject (and matter) with its candidates.
struct Group {
    key: Key,
    candidates: u64,
    /// Locators of the candidate that comes first.
    first: Vec<i64>,
    evidence: BTreeSet<EvidenceRow>,
}

struct Groups(BTreeMap<(Key, Vec<Option<String>>), Group>);

impl Groups {
    fn of(task: &Task<'_>, batches: &[RecordBatch]) -> Result<Self, DataFusionError> {
        let mut groups = BTreeMap::new();
        for batch in batches {
            let keys = Keys::of(task, batch)?;
            for row in 0..batch.num_rows() {
                let Some(key) = keys.at(row) else { continue };
                let at = locators(task, batch, row);
                let matter = matter_of(task, batch, row);
                let group = groups.entry((key.clone(), matter)).or_insert_with(|| Group {
                    key,
                    candidates: 0,
                    first: at.clone(),
                    evidence: BTreeSet::new(),
                });
                group.candidates += 1;
                group.first = at.min(group.first.clone());
                group.evidence.extend(evidence_of(task, batch, row)?);
            }
        }
        Ok(Self(groups))
    }

    fn at(&self, group: &(Key, Vec<Option<String>>)) -> Option<&Group> {
        self.0.get(group)
    }
}

fn matter_of(task: &Task<'_>, batch: &RecordBatch, row: usize) -> Vec<Option<String>> {
    task.loaded.rule.matter.iter().map(|name| batch.column_by_name(name).and_then(|c| cell(c, row))).collect()
}

/// Rows of counter-evidence by subject.
fn counter_rows(
    task: &Task<'_>,
    counters: &[Vec<RecordBatch>],
) -> Result<BTreeMap<Key, BTreeSet<EvidenceRow>>, DataFusionError> {
    let mut rows: BTreeMap<Key, BTreeSet<EvidenceRow>> = BTreeMap::new();
    for (counter, batches) in task.loaded.rule.counter_evidence.iter().zip(counters) {
        for batch in batches {
            let keys = Keys::of(task, batch)?;
            let Some(locator) = batch.column_by_name("src") else {
                return Err(DataFusionError::Internal("no column src".to_owned()));
            };
            let shown: Vec<String> = batch
                .schema()
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .filter(|n| n != "src" && *n != task.loaded.rule.subject.key)
                .collect();
            for row in 0..batch.num_rows() {
                if let Some(key) = keys.at(row)
                    && let Some(found) =
                        source_row(task.tables, locator, batch, row, &shown, Some(&counter.title))
                {
                    rows.entry(key).or_default().insert(found);
                }
            }
        }
    }
    Ok(rows)
}

/// The figures, bands and grades of each group.
fn judge(task: &Task<'_>, remaining: &[RecordBatch]) -> Result<Vec<RecordBatch>, SqlFault> {
    let fault = |e: &DataFusionError| plan::planning_fault(e);
    let mut catalog = Catalog::new(&[], None).map_err(|e| fault(&e))?;
    let compiled = compile_grouping(&mut catalog, task.loaded, &task.schema, task.as_of, task.params)
        .map_err(|faults| {
            faults
                .into_iter()
                .next()
                .map_or_else(|| SqlFault::new("MC203", "分组语句有错", "the grouping is broken"), |f| f.fault)
        })?;
    let slots = Arc::new(Slots::default());
    slots.put(CANDIDATES, Rows::new(remaining.to_vec()).map_err(|e| fault(&e))?);
    let place = Workplace::new(&catalog.session, &Budget::default()).map_err(|e| fault(&e))?;
    let context = place.execution(Scene::new(&slots));
    block_on(datafusion::physical_plan::collect(compiled.physical, context)).map_err(|e| {
        let text = plan::execution_text(&e);
        SqlFault::new("MC203", text.zh, text.en)
    })
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
    plan::compile(catalog, statement, None).map_err(|faults| {
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
fn grouping_sql(
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
            self.column("__k0").and_then(|c| Keys(Arc::clone(c)).at(row)).unwrap_or(Key::Text(String::new()));
        let matter =
            (1..=self.task.loaded.rule.matter.len()).map(|i| self.text(&format!("__k{i}"), row)).collect();
        (key, matter)
    }

    fn excused_by(&self, row: usize) -> Option<usize> {
        (0..self.task.loaded.rule.exclusions.len()).find(|i| self.holds(&format!("__h{i}"), row))
    }

    fn also(&self, row: usize, first: usize) -> BTreeSet<usize> {
        (first + 1..self.task.loaded.rule.exclusions.len())
            .filter(|i| self.holds(&format!("__h{i}"), row))
            .collect()
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
    subjects: &Subjects<'_>,
    verdicts: &Verdicts<'_>,
    row: usize,
    group: &Group,
    against: Option<&BTreeSet<EvidenceRow>>,
    excused: &BTreeMap<(Key, usize), ExcusedPart>,
) -> Result<Finding, DataFusionError> {
    let rule = &task.loaded.rule;
    let subject_id = subjects.id(&group.key)?;
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
    Ok(Finding {
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
        evidence: group.evidence.iter().cloned().collect(),
        counter_evidence: against.map(|rows| rows.iter().cloned().collect()).unwrap_or_default(),
        exclusions_checked: checked(task, &group.key, excused),
    })
}

/// Every exclusion of the rule once, in the rule's order, and how many candidates of the subject it excused. A code
/// may stand twice in a rule, for single candidates and for the whole subject.
fn checked(
    task: &Task<'_>,
    key: &Key,
    excused: &BTreeMap<(Key, usize), ExcusedPart>,
) -> Vec<ExclusionChecked> {
    let mut list: Vec<ExclusionChecked> = Vec::new();
    for (i, exclusion) in task.loaded.rule.exclusions.iter().enumerate() {
        let count = excused.get(&(key.clone(), i)).map_or(0, |p| p.candidates);
        match list.iter_mut().find(|x| x.code == exclusion.code) {
            Some(same) => same.excused += count,
            None => list.push(ExclusionChecked { code: exclusion.code.clone(), excused: count }),
        }
    }
    list
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

/// What is wrong with the columns that a rule names outside its SQL: subject, matter, evidence.
pub(crate) fn column_faults(
    loaded: &LoadedRule,
    schema: &SchemaRef,
    counters: &[SchemaRef],
) -> Vec<PieceFault> {
    let rule = &loaded.rule;
    let mut faults = Vec::new();
    let mut need = |path: String, name: &str, wanted: &dyn Fn(&DataType) -> bool, kind: (&str, &str)| {
        let fault = match schema.field_with_name(name) {
            Err(_) => {
                let fault = SqlFault::new(
                    "MC207",
                    format!("查询结果中没有列 `{name}`"),
                    format!("the SELECT has no column `{name}`"),
                );
                match sql::nearest(name, schema.fields().iter().map(|f| f.name().as_str())) {
                    Some(near) => {
                        fault.help(format!("是不是想写 `{near}`"), format!("did you mean `{near}`"))
                    }
                    None => fault,
                }
            }
            Ok(field) if !wanted(field.data_type()) => SqlFault::new(
                "MC208",
                format!("列 `{name}` 应为{}，实际为 {}", kind.0, field.data_type()),
                format!("column `{name}` must be {}, it is {}", kind.1, field.data_type()),
            ),
            Ok(_) => return,
        };
        faults.push(PieceFault { path, fault });
    };
    let any = |_: &DataType| true;
    let locator = |t: &DataType| *t == DataType::Int64;
    if rule.subject.key == "pid" {
        need("subject.key".to_owned(), "pid", &|t| *t == DataType::Int32, ("人员编号", "the person number"));
    } else {
        need("subject.key".to_owned(), &rule.subject.key, &is_text, ("文本", "text"));
    }
    for (path, column) in [("subject.name", &rule.subject.name), ("subject.area", &rule.subject.area)] {
        if let Some(column) = column {
            need(path.to_owned(), column, &is_text, ("文本", "text"));
        }
    }
    for name in &rule.matter {
        need("matter".to_owned(), name, &any, ("", ""));
    }
    for (name, across) in &rule.across {
        need(format!("across.{name}.by"), &across.by, &any, ("", ""));
    }
    for (i, evidence) in rule.evidence.iter().enumerate() {
        need(
            format!("evidence[{i}].src"),
            &evidence.src,
            &locator,
            ("行定位（src）", "a row locator (`src`)"),
        );
        for column in &evidence.columns {
            need(format!("evidence[{i}].columns"), column, &any, ("", ""));
        }
    }
    for (i, schema) in counters.iter().enumerate() {
        for name in ["src", rule.subject.key.as_str()] {
            if schema.field_with_name(name).is_err() {
                faults.push(PieceFault {
                    path: format!("counter_evidence[{i}].sql"),
                    fault: SqlFault::new(
                        "MC207",
                        format!("反证查询结果中没有列 `{name}`"),
                        format!("the counter-evidence SELECT has no column `{name}`"),
                    ),
                });
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

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
