//! Who handled what a finding rests on. Whoever entered, checked or released a payment must not judge a lead about it,
//! so every finding carries them, whatever columns its rule shows: a row of evidence, for or against, shows the fields
//! that name a handler, and the rows of its persons in datasets that have such fields stand beside it. No rule asks for
//! this and none can leave it out. Knows contracts and rows, and not what a rule looks for.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use mingcha_intake::{Part, RowLocator, Tables};
use mingcha_rules::{Contract, Diagnostic, EvidenceRow, LoadedRule};

use crate::gather::cell;

/// Column name -> who, of one row.
type Names = BTreeMap<String, String>;

/// A dataset whose rows say who handled them.
struct Source {
    dataset: String,
    fields: Vec<String>,
    of_persons: bool,
}

/// The datasets whose rows say who handled them, and the fields that do.
fn sources(tables: &dyn Tables) -> Vec<Source> {
    let fields = |c: &Contract| c.handlers().map(|f| f.name.clone()).collect::<Vec<_>>();
    let all = tables.contracts().iter().map(|c| Source {
        dataset: c.name.clone(),
        fields: fields(c),
        of_persons: c.person.is_some(),
    });
    all.filter(|s| !s.fields.is_empty()).collect()
}

/// The same as tables and their columns, for whoever asks what a rule's findings follow from: also of what was not
/// delivered, for it may have been before.
pub(crate) fn columns_read(tables: &dyn Tables) -> BTreeMap<String, BTreeSet<String>> {
    sources(tables).into_iter().map(|s| (s.dataset, s.fields.into_iter().collect())).collect()
}

/// The columns of a rule's candidates that name persons: `pid`, and every other number of a person (`other_pid`).
pub(crate) fn person_columns(schema: &Schema) -> impl Iterator<Item = usize> + '_ {
    let names_person = |name: &str| name == "pid" || name.ends_with("_pid");
    let fields = schema.fields().iter().enumerate();
    fields.filter(move |(_, f)| *f.data_type() == DataType::Int32 && names_person(f.name())).map(|(at, _)| at)
}

/// Who handled the rows of some persons.
#[derive(Default)]
pub(crate) struct Handlers {
    sources: Vec<Source>,
    /// Person, place in `named`, row; ascending. Sixteen bytes for each row of a person whom a candidate names.
    rows: Vec<(i32, u32, i64)>,
    /// The clerks of an office are few.
    named: Vec<Names>,
}

impl Handlers {
    /// Looks up `persons` (ascending), shard by shard.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(crate) fn look_up(tables: &dyn Tables, persons: &[i32]) -> Result<Self, Diagnostic> {
        let delivered = sources(tables).into_iter().filter(|s| tables.rows(&s.dataset).is_some());
        let mut found = Self { sources: delivered.collect(), ..Self::default() };
        let mut known: BTreeMap<Names, u32> = BTreeMap::new();
        for source in found.sources.iter().filter(|s| s.of_persons) {
            let mut columns = vec!["pid", "src"];
            columns.extend(source.fields.iter().map(String::as_str));
            for shard in 0..tables.n_shards() {
                let (from, to) = tables.shard_persons(shard).unwrap_or_default();
                let of_shard =
                    &persons[persons.partition_point(|p| *p < from)..persons.partition_point(|p| *p < to)];
                if of_shard.is_empty() {
                    continue;
                }
                for batch in tables.read_persons(&source.dataset, shard, &columns, of_shard)? {
                    let (pids, srcs) = (batch.column(0).as_primitive::<Int32Type>(), src_of(&batch, 1));
                    for row in (0..batch.num_rows()).filter(|row| pids.is_valid(*row)) {
                        let names = names_of(&batch, &source.fields, row);
                        // Also where nobody is named: a row that was seen is not looked for once more.
                        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                        let place = *known.entry(names).or_insert(next);
                        found.rows.push((pids.value(row), place, srcs.value(row)));
                    }
                }
            }
        }
        found.rows.sort_unstable();
        let mut named: Vec<(u32, Names)> = known.into_iter().map(|(names, place)| (place, names)).collect();
        named.sort();
        found.named = named.into_iter().map(|(_, names)| names).collect();
        Ok(found)
    }

    fn of(&self, person: i32) -> impl Iterator<Item = (&Names, i64)> {
        let from = self.rows.partition_point(|(pid, ..)| *pid < person);
        let own = self.rows[from..].iter().take_while(move |(pid, ..)| *pid == person);
        own.filter_map(|(_, place, src)| Some((self.named.get(*place as usize)?, *src)))
    }

    /// Who handled what one rule's findings rest on: `candidates` are what is left of it, `counters` the rows against.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(crate) fn behind(
        &self,
        tables: &dyn Tables,
        loaded: &LoadedRule,
        candidates: &[RecordBatch],
        counters: &[Vec<RecordBatch>],
    ) -> Result<Behind, Diagnostic> {
        let mut behind = Behind::default();
        if self.sources.is_empty() {
            return Ok(behind);
        }
        for person in candidates.iter().flat_map(|batch| persons_of(batch, None)) {
            if behind.of.contains_key(&person) {
                continue;
            }
            let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
            for (names, src) in self.of(person) {
                if let Some(place) = tables.locate(src) {
                    behind.rows.insert(place.clone(), names.clone());
                    // Who it was matters, and not how often: the first row of a dataset that says so stands for all.
                    if !names.is_empty() && seen.insert((place.dataset.clone(), names)) {
                        rows.push(place);
                    }
                }
            }
            behind.of.insert(person, rows);
        }
        let evidence = loaded.rule.evidence.iter().map(|e| e.src.as_str());
        let shown = evidence.flat_map(|src| candidates.iter().filter_map(move |b| b.column_by_name(src)));
        let against = counters.iter().flatten().filter_map(|b| b.column_by_name("src"));
        let mut open: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        let locators = shown.chain(against).filter_map(|c| c.as_primitive_opt::<Int64Type>());
        for src in locators.flat_map(|c| c.iter().flatten()).collect::<BTreeSet<i64>>() {
            let Some(place) = tables.locate(src).filter(|place| !behind.rows.contains_key(place)) else {
                continue;
            };
            if let Some(source) = self.sources.iter().find(|s| s.dataset == place.dataset) {
                open.entry(&source.dataset).or_default().insert(src);
            }
        }
        if !open.is_empty() {
            rejected(tables, &mut open, &mut behind.rows)?;
        }
        for source in &self.sources {
            if let Some(open) = open.remove(source.dataset.as_str()) {
                search(tables, source, open, &mut behind.rows)?;
            }
        }
        Ok(behind)
    }
}

/// Takes rows that were not stored out of `open`: what was refused says who handled it, too.
fn rejected(
    tables: &dyn Tables,
    open: &mut BTreeMap<&str, BTreeSet<i64>>,
    rows: &mut BTreeMap<RowLocator, Names>,
) -> Result<(), Diagnostic> {
    if tables.rows("rejects").is_none_or(|rows| rows == 0) {
        return Ok(());
    }
    for batch in tables.read("rejects", Part::Whole, &["src", "handlers"])? {
        let srcs = src_of(&batch, 0);
        for row in 0..batch.num_rows() {
            let src = srcs.value(row);
            let wanted = open.values_mut().any(|open| open.remove(&src));
            let Some(text) = cell(batch.column(1), row) else { continue };
            let names = text.lines().filter_map(|line| line.split_once('='));
            let names: Names = names.map(|(field, who)| (field.to_owned(), who.to_owned())).collect();
            if let (true, Some(place)) = (wanted, tables.locate(src)) {
                rows.insert(place, names);
            }
        }
    }
    open.retain(|_, open| !open.is_empty());
    Ok(())
}

/// Looks for rows of a dataset whose person, if they have one, no candidate names.
fn search(
    tables: &dyn Tables,
    source: &Source,
    open: BTreeSet<i64>,
    rows: &mut BTreeMap<RowLocator, Names>,
) -> Result<(), Diagnostic> {
    let mut open = open;
    let mut columns = vec!["src"];
    columns.extend(source.fields.iter().map(String::as_str));
    let parts: Vec<Part> = if source.of_persons {
        std::iter::once(Part::Unassigned).chain((0..tables.n_shards()).map(Part::Shard)).collect()
    } else {
        vec![Part::Whole]
    };
    for part in parts {
        if open.is_empty() {
            break;
        }
        for batch in tables.read(&source.dataset, part, &columns)? {
            let srcs = src_of(&batch, 0);
            for row in 0..batch.num_rows() {
                if !open.remove(&srcs.value(row)) {
                    continue;
                }
                let names = names_of(&batch, &source.fields, row);
                if let (false, Some(place)) = (names.is_empty(), tables.locate(srcs.value(row))) {
                    rows.insert(place, names);
                }
            }
        }
    }
    Ok(())
}

fn src_of(batch: &RecordBatch, at: usize) -> &arrow::array::Int64Array {
    batch.column(at).as_primitive::<Int64Type>()
}

/// Who handled a row, by column; blank is nobody.
fn names_of(batch: &RecordBatch, fields: &[String], row: usize) -> Names {
    let named = fields.iter().filter_map(|field| {
        let name = cell(batch.column_by_name(field)?, row)?;
        (!name.trim().is_empty()).then(|| (field.clone(), name))
    });
    named.collect()
}

/// The persons that candidates name: those of one row, or all.
fn persons_of(batch: &RecordBatch, row: Option<usize>) -> Vec<i32> {
    let schema = batch.schema();
    let columns: Vec<&Int32Array> =
        person_columns(&schema).map(|at| batch.column(at).as_primitive::<Int32Type>()).collect();
    match row {
        Some(row) => columns.iter().filter(|c| c.is_valid(row)).map(|c| c.value(row)).collect(),
        None => columns.iter().flat_map(|c| c.iter().flatten()).collect(),
    }
}

/// Who handled what the findings of one rule rest on.
#[derive(Default)]
pub(crate) struct Behind {
    rows: BTreeMap<RowLocator, Names>,
    /// For each person the rows that stand beside the evidence: the first of each dataset that names somebody.
    of: BTreeMap<i32, Vec<RowLocator>>,
}

impl Behind {
    /// Rows of evidence, each with who handled it, and the rows that say who handled things for `persons`; each once and
    /// in order.
    pub(crate) fn beside(
        &self,
        evidence: Vec<EvidenceRow>,
        candidates: &[RecordBatch],
        of_finding: &[(u32, u32)],
    ) -> Vec<EvidenceRow> {
        let mut evidence = self.named(&evidence);
        let there: BTreeSet<RowLocator> = evidence.iter().map(place_of).collect();
        let persons: BTreeSet<i32> = of_finding
            .iter()
            .flat_map(|(batch, row)| persons_of(&candidates[*batch as usize], Some(*row as usize)))
            .collect();
        for place in persons.iter().filter_map(|person| self.of.get(person)).flatten() {
            if let Some(names) = self.rows.get(place).filter(|_| !there.contains(place)) {
                let RowLocator { dataset, file, row } = place.clone();
                evidence.push(EvidenceRow { dataset, file, row, columns: names.clone(), title: None });
            }
        }
        evidence.sort();
        evidence.dedup();
        evidence
    }

    /// Rows with who handled them.
    pub(crate) fn named(&self, rows: &[EvidenceRow]) -> Vec<EvidenceRow> {
        let mut rows = rows.to_vec();
        if !self.rows.is_empty() {
            for row in &mut rows {
                if let Some(names) = self.rows.get(&place_of(row)) {
                    row.columns.extend(names.clone());
                }
            }
        }
        rows.sort();
        rows
    }
}

fn place_of(row: &EvidenceRow) -> RowLocator {
    RowLocator { dataset: row.dataset.clone(), file: row.file.clone(), row: row.row }
}
