//! The few rows of an example as prepared data, through the same typing as a delivery. Holds everything in
//! memory and in one shard; reads no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatchOptions};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use mingcha_rules::{Contract, Diagnostic, PersonKey};

use crate::batch::{Column, RawBatch};
use crate::days::NO_DAY;
use crate::fault::nearest;
use crate::rejects::{self, ROW_REJECTED, Reject, VALUE_DROPPED};
use crate::schema::{CODE, ID_NUMBER, IS_LATEST, PID, SRC, builtin_schema, sql_schema};
use crate::shards::{self, Helpers, Index, Links, Newest};
use crate::store::{no_such_part, of_persons, pick};
use crate::tables::{Part, RowLocator, Tables, file_and_row};
use crate::typing::Typer;

/// The file that rows of an example come from.
const FILE: &str = "example";

/// Prepared data in memory. Every contract is delivered, with no rows where none are given.
#[derive(Debug, Clone)]
pub struct MemoryTables {
    contracts: Vec<Contract>,
    datasets: BTreeMap<String, Dataset>,
    persons: RecordBatch,
    rejects: RecordBatch,
    as_of: Option<NaiveDate>,
}

#[derive(Debug, Clone)]
struct Dataset {
    /// Rows with a person, or all rows of a dataset without persons.
    rows: RecordBatch,
    unassigned: RecordBatch,
}

struct TypedRows {
    batch: RecordBatch,
    rejects: Vec<Reject>,
}

impl MemoryTables {
    /// Types rows given as raw text by field name. A row with a bad identity number goes to `rejects`, as it
    /// would in a delivery; any other value that cannot be read is a mistake of the example.
    ///
    /// # Errors
    /// Unknown datasets and fields, and values that cannot be read, all in one list.
    pub fn build(
        contracts: &[Contract],
        rows: &BTreeMap<String, Vec<BTreeMap<String, String>>>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut contracts = contracts.to_vec();
        contracts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut faults = unknown_names(&contracts, rows);
        let mut typed = BTreeMap::new();
        for (file, contract) in (1u32..).zip(&contracts) {
            let given = rows.get(&contract.name).map(Vec::as_slice).unwrap_or_default();
            match type_rows(contract, given, file) {
                Ok(done) => {
                    faults.extend(mistakes(contract, given, &done.rejects));
                    typed.insert(contract.name.clone(), done);
                }
                Err(e) => faults.push(unfit(&e).in_file(&contract.name)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        assemble(contracts, &typed).map_err(|e| vec![unfit(&e)])
    }

    /// The same, with this extract date for every dataset.
    #[must_use]
    pub fn with_extract_date(mut self, as_of: NaiveDate) -> Self {
        self.as_of = Some(as_of);
        self
    }

    fn part(&self, dataset: &str, part: Part) -> Result<&RecordBatch, Diagnostic> {
        match (dataset, part) {
            ("persons", Part::Shard(0)) => return Ok(&self.persons),
            ("rejects", Part::Whole) => return Ok(&self.rejects),
            _ => {}
        }
        let person = self.contracts.iter().find(|c| c.name == dataset).is_some_and(|c| c.person.is_some());
        match (self.datasets.get(dataset), part, person) {
            (Some(d), Part::Shard(0), true) | (Some(d), Part::Whole, false) => Ok(&d.rows),
            (Some(d), Part::Unassigned, true) => Ok(&d.unassigned),
            _ => Err(no_such_part(dataset, part)),
        }
    }
}

impl Tables for MemoryTables {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn n_persons(&self) -> u64 {
        self.persons.num_rows() as u64
    }

    fn n_shards(&self) -> usize {
        1
    }

    fn rows(&self, dataset: &str) -> Option<u64> {
        match dataset {
            "persons" => Some(self.n_persons()),
            "rejects" => Some(self.rejects.num_rows() as u64),
            _ => self.datasets.get(dataset).map(|d| (d.rows.num_rows() + d.unassigned.num_rows()) as u64),
        }
    }

    fn shard_persons(&self, shard: usize) -> Option<(i32, i32)> {
        (shard == 0).then(|| (0, self.persons.num_rows() as i32))
    }

    fn part_rows(&self, dataset: &str, shard: usize) -> Option<u64> {
        self.part(dataset, Part::Shard(shard)).ok().map(|b| b.num_rows() as u64)
    }

    fn part_digest(&self, _dataset: &str, _part: Part) -> Option<String> {
        None
    }

    fn read(&self, dataset: &str, part: Part, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic> {
        if let Part::Slice { shard, from, to } = part {
            let inside = self.shard_persons(shard).is_some_and(|r| r.0 <= from && from <= to && to <= r.1);
            if !inside {
                return Err(no_such_part(dataset, part));
            }
            let all = self.part(dataset, Part::Shard(shard))?;
            let rows = of_persons(all, &(from..to)).unwrap_or_else(|| all.slice(0, 0));
            return Ok(vec![chosen(dataset, &rows, columns)?]);
        }
        chosen(dataset, self.part(dataset, part)?, columns).map(|b| vec![b])
    }

    fn read_persons(
        &self,
        dataset: &str,
        shard: usize,
        columns: &[&str],
        persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        // What is in memory for an example is never read in part.
        let mut with_pid = columns.to_vec();
        with_pid.push("pid");
        let mut out = Vec::new();
        for batch in self.read(dataset, Part::Shard(shard), &with_pid)? {
            let pids = batch.column(columns.len()).as_primitive::<arrow::datatypes::Int32Type>();
            let mine = pids.iter().map(|pid| pid.map(|pid| persons.binary_search(&pid).is_ok())).collect();
            let kept = arrow::compute::filter_record_batch(&batch, &mine)
                .and_then(|b| b.project(&(0..columns.len()).collect::<Vec<_>>()));
            out.push(kept.map_err(|e| crate::fault::damaged(std::path::Path::new(dataset), &e))?);
        }
        Ok(out)
    }

    fn locate(&self, src: i64) -> Option<RowLocator> {
        let (file, row) = file_and_row(src);
        let contract = self.contracts.get((file as usize).checked_sub(1)?)?;
        Some(RowLocator { dataset: contract.name.clone(), file: FILE.to_owned(), row })
    }

    fn id_number(&self, pid: i32) -> Result<Option<String>, Diagnostic> {
        let Ok(row) = usize::try_from(pid) else { return Ok(None) };
        let numbers = self.persons.column_by_name(ID_NUMBER).map(|c| c.as_string_view());
        Ok(numbers.filter(|n| row < n.len()).map(|n| n.value(row).to_owned()))
    }

    fn extract_date(&self, dataset: &str) -> Option<NaiveDate> {
        self.as_of.filter(|_| self.datasets.contains_key(dataset))
    }
}

/// The columns asked for.
fn chosen(dataset: &str, batch: &RecordBatch, columns: &[&str]) -> Result<RecordBatch, Diagnostic> {
    let wanted = pick(dataset, &batch.schema(), columns)?;
    let picked: Vec<ArrayRef> = columns.iter().filter_map(|c| batch.column_by_name(c)).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(wanted, picked, &options).map_err(|e| unfit(&e))
}

fn unknown_names(
    contracts: &[Contract],
    rows: &BTreeMap<String, Vec<BTreeMap<String, String>>>,
) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (dataset, rows) in rows {
        let Some(contract) = contracts.iter().find(|c| c.name == *dataset) else {
            let near = nearest(dataset, contracts.iter().map(|c| c.name.as_str()));
            faults.push(unknown(dataset, near));
            continue;
        };
        for (i, row) in rows.iter().enumerate() {
            for field in row.keys().filter(|f| contract.field(f).is_none()) {
                let near = nearest(field, contract.fields.iter().map(|f| f.name.as_str()));
                faults.push(unknown(field, near).in_file(dataset).at_line(i as u64 + 1).at_column(field));
            }
        }
    }
    faults
}

fn unknown(name: &str, near: Option<&str>) -> Diagnostic {
    let out = Diagnostic::error(
        "MC647",
        format!("示例中有未知的名称 {name}"),
        format!("the example uses the unknown name {name}"),
    );
    match near {
        Some(near) => out.with_help(format!("是否应为 {near}？"), format!("did you mean {near}?")),
        None => out,
    }
}

fn unfit(cause: &ArrowError) -> Diagnostic {
    Diagnostic::error(
        "MC645",
        format!("示例数据无法整理：{cause}"),
        format!("the rows of the example cannot be put together: {cause}"),
    )
}

fn type_rows(
    contract: &Contract,
    rows: &[BTreeMap<String, String>],
    file: u32,
) -> Result<TypedRows, ArrowError> {
    let columns = contract
        .fields
        .iter()
        .map(|f| {
            let texts: StringArray = rows.iter().map(|r| r.get(&f.name).map(String::as_str)).collect();
            Column::Array(Arc::new(texts))
        })
        .collect();
    let raw = RawBatch { first_row: 1, rows: rows.len(), columns, broken: Vec::new(), blank: Vec::new() };
    let typed = Typer::new(contract, None, false).type_batch(&raw, file)?;
    let mut rejects = typed.rejects;
    rejects.extend(typed.area_remarks);
    Ok(TypedRows { batch: typed.batch, rejects })
}

/// Faults that are no dirty data but mistakes of whoever wrote the example.
fn mistakes(contract: &Contract, rows: &[BTreeMap<String, String>], rejects: &[Reject]) -> Vec<Diagnostic> {
    let lost = |r: &&Reject| {
        let dirt = r.reason.starts_with("id_") || (r.outcome == VALUE_DROPPED && r.reason == NO_DAY);
        (r.outcome == ROW_REJECTED || r.outcome == VALUE_DROPPED) && !dirt
    };
    rejects
        .iter()
        .filter(lost)
        .map(|r| {
            let row = file_and_row(r.src).1;
            let field = r.field.as_deref().unwrap_or_default();
            let given = rows.get(row as usize - 1).is_some_and(|r| r.contains_key(field));
            let ty = contract.field(field).map(|f| format!("{:?}", f.ty)).unwrap_or_default();
            Diagnostic::error(
                "MC648",
                format!(
                    "示例数据 {} 第 {row} 行：{field} 应为 {ty} 类型的值，实际{}（{}）",
                    contract.name,
                    if given { "无法识别" } else { "缺失" },
                    r.reason
                ),
                format!(
                    "example rows of {}, row {row}: wanted a value of type {ty} for {field}, got {} ({})",
                    contract.name,
                    if given { "one that cannot be read" } else { "none" },
                    r.reason
                ),
            )
            .in_file(&contract.name)
            .at_line(row)
            .at_column(field)
            .with_help(
                "按原始数据的写法填写，如 2026-01-31、202601、100.00",
                "write values as extracts do, like 2026-01-31, 202601, 100.00",
            )
        })
        .collect()
}

fn assemble(
    contracts: Vec<Contract>,
    typed: &BTreeMap<String, TypedRows>,
) -> Result<MemoryTables, ArrowError> {
    let mut codes = Vec::new();
    for done in typed.values() {
        if let Some(column) = done.batch.column_by_name(CODE) {
            codes.extend(column.as_primitive::<UInt64Type>().iter().flatten());
        }
    }
    let index = Index::new(codes);
    let range = index.ranges(1).remove(0);
    let persons = viewed(&index.persons(&range)?, "persons")?;
    let mut rejected = Vec::new();
    let mut datasets = BTreeMap::new();
    for contract in &contracts {
        let Some(done) = typed.get(&contract.name) else { continue };
        rejected.push(rejects::to_batch(&contract.name, FILE, &done.rejects)?);
        datasets.insert(contract.name.clone(), dataset(contract, &done.batch, &index, typed)?);
    }
    let rejects = viewed(&concat_batches(&rejects::schema(), &rejected)?, "rejects")?;
    Ok(MemoryTables { contracts, datasets, persons, rejects, as_of: None })
}

fn viewed(batch: &RecordBatch, table: &str) -> Result<RecordBatch, ArrowError> {
    let schema = builtin_schema(table).unwrap_or_else(|| Arc::new(Schema::empty()));
    let columns: Result<Vec<_>, _> =
        schema.fields().iter().zip(batch.columns()).map(|(f, c)| cast(c, f.data_type())).collect();
    RecordBatch::try_new(schema, columns?)
}

fn dataset(
    contract: &Contract,
    batch: &RecordBatch,
    index: &Index,
    typed: &BTreeMap<String, TypedRows>,
) -> Result<Dataset, ArrowError> {
    let rows = batch.num_rows();
    let pids = person_column(contract, batch, index, typed);
    let schema = sql_schema(contract);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match field.name().as_str() {
            PID => Arc::new(pids.clone()),
            ID_NUMBER if contract.person.is_some() => {
                let number = |pid: Option<i32>| index.number(usize::try_from(pid?).ok()?);
                Arc::new(pids.iter().map(number).collect::<arrow::array::StringViewArray>())
            }
            IS_LATEST => latest(contract, batch),
            name => {
                let column =
                    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(name.to_owned()))?;
                cast(column, field.data_type())?
            }
        });
    }
    let all = RecordBatch::try_new(schema, columns)?;
    if contract.person.is_none() {
        let none = all.slice(0, 0);
        return Ok(Dataset { rows: all, unassigned: none });
    }
    // Rows are in order of `src` already, and sorting by person keeps that order only if it is asked for.
    let srcs = src_column(&all);
    let mut with: Vec<u32> = (0..rows as u32).filter(|r| pids.is_valid(*r as usize)).collect();
    with.sort_by_key(|r| (pids.value(*r as usize), srcs.value(*r as usize)));
    let without: Vec<u32> = (0..rows as u32).filter(|r| pids.is_null(*r as usize)).collect();
    Ok(Dataset {
        rows: take_record_batch(&all, &UInt32Array::from(with))?,
        unassigned: take_record_batch(&all, &UInt32Array::from(without))?,
    })
}

fn src_column(batch: &RecordBatch) -> Int64Array {
    batch
        .column_by_name(SRC)
        .map(|c| c.as_primitive::<Int64Type>().clone())
        .unwrap_or_else(|| Int64Array::new_null(0))
}

fn person_column(
    contract: &Contract,
    batch: &RecordBatch,
    index: &Index,
    typed: &BTreeMap<String, TypedRows>,
) -> Int32Array {
    let mut links = Links::new();
    if let Some(PersonKey::Via(via)) = &contract.person
        && let Some(source) = typed.get(&via.dataset)
    {
        shards::note_links(&source.batch, &via.on, &mut links);
    }
    let helpers = Helpers { index, links: Some(&links), newest: None };
    Int32Array::from(shards::pids(contract, batch, &helpers))
}

fn latest(contract: &Contract, batch: &RecordBatch) -> ArrayRef {
    let mut newest = Newest::new();
    shards::note_newest(contract, batch, &mut newest);
    let versions = contract.versions.as_ref();
    let column = |name: Option<&String>| name.and_then(|n| batch.column_by_name(n));
    match (column(versions.map(|v| &v.key)), column(versions.map(|v| &v.by))) {
        (Some(keys), Some(by)) => shards::latest_of(keys, by, &newest),
        _ => Arc::new(BooleanArray::from(vec![true; batch.num_rows()])),
    }
}
