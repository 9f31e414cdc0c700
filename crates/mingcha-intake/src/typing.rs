//! Typing: raw columns to the columns of the contract, one batch at a time. Decides for every value whether it
//! can be taken and for every row whether it is stored. Knows the contract; knows no file and no store.
//!
//! A column that is typed and clean already passes through without being touched; only what needs reading is
//! read, and text is allocated only for what goes to the rejects.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Date32Array, Date32Builder, Decimal128Builder,
    Int32Array, Int64Array, Int64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder,
    UInt64Array, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, SchemaRef, TimeUnit, TimestampNanosecondType};
use chrono::{Datelike, NaiveDate};
use mingcha_rules::contract::OnBadValue;
use mingcha_rules::{Contract, Field, FieldType};

use crate::batch::{Column, RawBatch, Value, Values};
use crate::days::{self, NO_DAY};
use crate::identifiers::{self, NO_NUMBER, SCIENTIFIC, STORED_AS_NUMBER};
use crate::identity::{self, IdFault, Identity};
use crate::parse;
use crate::quality::FieldNotes;
use crate::rejects::{KEPT, ROW_REJECTED, Reject, VALUE_DROPPED};
use crate::row_hash::hash_into;
use crate::schema::{DECIMAL, MONEY, run_schema, stored_type};
use crate::tables::src_of;

/// Whole numbers above this may have lost digits in a spreadsheet.
const SPREADSHEET_DIGITS: f64 = 1e15;

/// Characters of a value that the rejects keep.
const LONGEST_SHOWN: usize = 200;

/// Types the batches of one dataset.
pub(crate) struct Typer {
    contract: Contract,
    schema: SchemaRef,
    codes: Vec<CodeTable>,
    id_index: Option<usize>,
    /// Nobody is born after this day.
    last_birth: Option<u32>,
    /// Numbers that end in `000` are rejected even when their check digit happens to fit.
    reject_tails: bool,
}

/// What became of one raw batch.
pub(crate) struct Typed {
    /// The rows that are stored, in the schema between the passes.
    pub(crate) batch: RecordBatch,
    /// Rows of the batch that are rows of the dataset.
    pub(crate) rows: u64,
    /// Rows rejected.
    pub(crate) rejected: u64,
    /// Blank rows.
    pub(crate) blank: u64,
    /// Entries for the rejects.
    pub(crate) rejects: Vec<Reject>,
    /// Remarks on counties outside the historical list: kept aside, because many of them in one file speak
    /// against the list.
    pub(crate) area_remarks: Vec<Reject>,
    /// The numbers.
    pub(crate) ids: IdTally,
    /// Open ends and unknown codes.
    pub(crate) notes: FieldNotes,
}

/// Identity numbers of a file, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdTally {
    /// Rows that have one.
    pub(crate) given: u64,
    /// Not valid.
    pub(crate) invalid: u64,
    /// End in `000`, valid or not.
    pub(crate) tails: u64,
    /// Stored as a number.
    pub(crate) numeric: u64,
    /// The numbers behind `invalid`, as far as they differ.
    pub(crate) invalid_kinds: Few,
    /// The numbers behind `tails`, as far as they differ.
    pub(crate) tail_kinds: Few,
}

/// Whether at least a few different numbers were met: one person with many rows says nothing about a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Few {
    n: usize,
    hashes: [u64; Self::ENOUGH],
}

impl Few {
    /// How many different numbers speak against a file.
    const ENOUGH: usize = 5;

    fn meet(&mut self, text: &str) {
        // FNV-1a: the same everywhere, and a collision only delays a suspicion.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        self.note(hash);
    }

    fn note(&mut self, hash: u64) {
        if self.n < Self::ENOUGH && !self.hashes[..self.n].contains(&hash) {
            self.hashes[self.n] = hash;
            self.n += 1;
        }
    }

    /// Whether there were enough.
    pub(crate) fn is_reached(&self) -> bool {
        self.n == Self::ENOUGH
    }
}

impl IdTally {
    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.given += other.given;
        self.invalid += other.invalid;
        self.tails += other.tails;
        self.numeric += other.numeric;
        for (mine, theirs) in
            [(&mut self.invalid_kinds, other.invalid_kinds), (&mut self.tail_kinds, other.tail_kinds)]
        {
            theirs.hashes[..theirs.n].iter().for_each(|hash| mine.note(*hash));
        }
    }
}

struct Fault {
    row: usize,
    field: Option<usize>,
    reason: &'static str,
    outcome: &'static str,
}

/// The person's numbers of a batch.
struct Numbers {
    codes: ArrayRef,
    lengths: ArrayRef,
    tally: IdTally,
    unknown_areas: Vec<usize>,
}

impl Typer {
    /// For one contract. `as_of` is the extract date, where it is known.
    pub(crate) fn new(contract: &Contract, as_of: Option<NaiveDate>, reject_tails: bool) -> Self {
        let id = contract.id_field().map(|f| f.name.clone());
        Self {
            schema: run_schema(contract),
            codes: contract.fields.iter().map(CodeTable::new).collect(),
            id_index: id.and_then(|id| contract.fields.iter().position(|f| f.name == id)),
            last_birth: as_of.map(|d| d.year().unsigned_abs() * 10_000 + d.month() * 100 + d.day()),
            reject_tails,
            contract: contract.clone(),
        }
    }

    /// The schema of the typed batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Types one batch of the file with this number.
    ///
    /// # Errors
    /// When Arrow refuses the columns; a fault of this program.
    pub(crate) fn type_batch(&self, raw: &RawBatch, file: u32) -> Result<Typed, arrow::error::ArrowError> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut fields = Vec::with_capacity(self.contract.fields.len());
        let mut numbers = None;
        let mut notes = FieldNotes::default();
        for (index, field) in self.contract.fields.iter().enumerate() {
            let column = &raw.columns[index];
            if Some(index) == self.id_index {
                let read = self.person_numbers(column, raw.rows, index, &mut faults);
                missing(field, index, read.codes.as_ref(), &mut faults);
                numbers = Some(read);
            } else {
                let array = self.type_column(index, field, column, raw.rows, &mut faults);
                let array = self.noted(index, field, column, array, &mut notes);
                missing(field, index, array.as_ref(), &mut faults);
                fields.push(array);
            }
        }
        let keep = settle(raw, &mut faults);
        let mut columns: Vec<ArrayRef> = vec![locators(raw, file)];
        columns.extend(numbers.as_ref().map(|n| Arc::clone(&n.codes)));
        if !self.contract.key.is_empty() {
            columns.push(self.key_hashes(raw.rows, &fields, numbers.as_ref()));
        }
        columns.extend(fields);
        columns.extend(numbers.as_ref().map(|n| Arc::clone(&n.lengths)));
        let mut batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        if let Some(keep) = &keep {
            batch = filter_record_batch(&batch, keep)?;
        }
        let rows = raw.rows - raw.blank.len();
        let stored = batch.num_rows();
        let area_remarks =
            numbers.as_ref().map_or_else(Vec::new, |n| self.remarks(raw, file, n, keep.as_ref()));
        Ok(Typed {
            batch,
            rows: rows as u64,
            rejected: (rows - stored) as u64,
            blank: raw.blank.len() as u64,
            rejects: faults.iter().map(|f| self.reject(raw, file, f)).collect(),
            area_remarks,
            ids: numbers.map(|n| n.tally).unwrap_or_default(),
            notes,
        })
    }

    fn reject(&self, raw: &RawBatch, file: u32, fault: &Fault) -> Reject {
        let text = |index: Option<usize>| {
            index.and_then(|i| raw.columns[i].values().at(fault.row).shown()).map(shortened)
        };
        let named = |name: &str| self.contract.fields.iter().position(|f| f.name == name);
        let broken = raw.broken.iter().find(|b| b.row == fault.row).map(|b| b.value.clone());
        let handled = self.contract.fields.iter().enumerate().filter(|(_, f)| f.names_handler());
        let one_line = |name: String| name.split_whitespace().collect::<Vec<_>>().join(" ");
        let handlers: Vec<String> = handled
            .filter_map(|(at, field)| Some((field, text(Some(at)).map(one_line)?)))
            .filter(|(_, name)| !name.is_empty())
            .map(|(field, name)| format!("{}={name}", field.name))
            .collect();
        Reject {
            src: src_of(file, raw.first_row + fault.row as u64),
            field: fault.field.map(|i| self.contract.fields[i].name.clone()),
            reason: fault.reason,
            outcome: fault.outcome,
            value: if fault.field.is_none() { broken } else { text(fault.field) },
            id_number: text(self.id_index),
            name: text(named("name")),
            area_code: text(named("area_code")),
            handlers: (!handlers.is_empty()).then(|| handlers.join("\n")),
        }
    }

    fn remarks(
        &self,
        raw: &RawBatch,
        file: u32,
        numbers: &Numbers,
        keep: Option<&BooleanArray>,
    ) -> Vec<Reject> {
        numbers
            .unknown_areas
            .iter()
            .filter(|row| keep.is_none_or(|k| k.value(**row)))
            .map(|row| {
                let fault =
                    Fault { row: *row, field: self.id_index, reason: IdFault::Area.reason(), outcome: KEPT };
                self.reject(raw, file, &fault)
            })
            .collect()
    }

    fn outcome(&self, field: &Field, reason: &'static str) -> &'static str {
        // Nothing was meant, or a number is lost that the row can do without: what else it says still counts.
        if matches!(reason, NO_DAY | SCIENTIFIC | NO_NUMBER | STORED_AS_NUMBER)
            && identifiers::is_spare(&self.contract, field)
        {
            return VALUE_DROPPED;
        }
        match field.on_bad_value {
            OnBadValue::RejectRow => ROW_REJECTED,
            OnBadValue::DropValue => VALUE_DROPPED,
        }
    }

    /// The numbers of the persons, as integers.
    fn person_numbers(&self, column: &Column, rows: usize, index: usize, faults: &mut Vec<Fault>) -> Numbers {
        let mut codes = Vec::with_capacity(rows);
        let mut lengths = Vec::with_capacity(rows);
        let mut tally = IdTally::default();
        let mut unknown_areas = Vec::new();
        let values = column.values();
        let mut last: Option<(&str, Identity)> = None;
        for row in 0..rows {
            let value = values.at(row);
            let read = match (value, last) {
                // Files are often sorted by person.
                (Value::Text(text), Some((before, id))) if text == before => Ok(Some(id)),
                (value, _) => self.number(value, &mut tally),
            };
            match read {
                Ok(None) => {
                    codes.push(None);
                    lengths.push(None);
                }
                Ok(Some(id)) => {
                    tally.given += 1;
                    if id.ends_in_000() {
                        tally.tails += 1;
                        tally.tail_kinds.meet(id.as_str());
                    }
                    if !id.area_known() {
                        unknown_areas.push(row);
                    }
                    codes.push(Some(id.code()));
                    lengths.push(Some(i32::from(id.raw_length())));
                    if let Value::Text(text) = value {
                        last = Some((text, id));
                    }
                }
                Err(reason) => {
                    tally.given += 1;
                    tally.invalid += 1;
                    codes.push(None);
                    lengths.push(None);
                    // A person is never left out of a row in silence: the row goes, whatever the contract says.
                    faults.push(Fault { row, field: Some(index), reason, outcome: ROW_REJECTED });
                }
            }
        }
        Numbers {
            codes: Arc::new(UInt64Array::from(codes)),
            lengths: Arc::new(Int32Array::from(lengths)),
            tally,
            unknown_areas,
        }
    }

    /// One number; the tally takes note of what the caller can no longer see.
    fn number(&self, value: Value<'_>, tally: &mut IdTally) -> Result<Option<Identity>, &'static str> {
        let text = match value {
            Value::Null => return Ok(None),
            Value::Text(text) => text,
            _ => {
                tally.numeric += 1;
                return Err("id_stored_as_number");
            }
        };
        match identity::normalise(text) {
            Ok(id) if self.last_birth.is_some_and(|last| born(&id) > last) => {
                Err(IdFault::BirthDate.reason())
            }
            Ok(id) if self.reject_tails && id.ends_in_000() => {
                tally.tails += 1;
                tally.tail_kinds.meet(id.as_str());
                Err(IdFault::Tail000.reason())
            }
            Ok(id) => Ok(Some(id)),
            Err(_) if parse::is_placeholder(parse::bare(text)) => Ok(None),
            Err(fault) => {
                let bare = parse::bare(text);
                tally.invalid_kinds.meet(bare);
                if bare.ends_with("000") {
                    tally.tails += 1;
                    tally.tail_kinds.meet(bare);
                }
                Err(fault.reason())
            }
        }
    }

    /// Takes note of open ends, which become no values, and of codes outside their table.
    fn noted(
        &self,
        index: usize,
        field: &Field,
        column: &Column,
        array: ArrayRef,
        notes: &mut FieldNotes,
    ) -> ArrayRef {
        match field.ty {
            FieldType::Date if !field.required => {
                let days = array.as_primitive::<Date32Type>();
                let ends = days.iter().flatten().filter(|day| *day == LAST_DAY).count();
                if ends == 0 {
                    return array;
                }
                notes.on(&field.name).open_ends += ends as u64;
                let kept: Date32Array = days.iter().map(|day| day.filter(|d| *d != LAST_DAY)).collect();
                Arc::new(kept)
            }
            FieldType::Datetime if !field.required => {
                // Such a moment does not fit into nanoseconds, so that the array has a gap there already.
                let values = column.values();
                let gaps = (0..array.len()).filter(|row| array.is_null(*row));
                let ends = gaps.filter(|row| is_open_end(values.at(*row))).count();
                if ends > 0 {
                    notes.on(&field.name).open_ends += ends as u64;
                }
                array
            }
            FieldType::Code if !field.codes.is_empty() => {
                let note = notes.on(&field.name);
                note.values += (array.len() - array.null_count()) as u64;
                if field.open_codes {
                    let table = &self.codes[index];
                    for code in array.as_string::<i32>().iter().flatten().filter(|c| !table.is_code(c)) {
                        note.unknown_code(code, 1);
                    }
                }
                array
            }
            FieldType::Text if identifiers::kind(field) == Some(identifiers::Kind::Account) => {
                let cut = || array.as_string::<i32>().iter().flatten().filter_map(identifiers::cut);
                let long = cut().count() as u64;
                if long > 0 {
                    let note = notes.on(&field.name);
                    note.long += long;
                    note.cut += cut().filter(|cut| *cut).count() as u64;
                }
                array
            }
            _ => array,
        }
    }

    fn type_column(
        &self,
        index: usize,
        field: &Field,
        column: &Column,
        rows: usize,
        faults: &mut Vec<Fault>,
    ) -> ArrayRef {
        let target = stored_type(field.ty);
        if let Some(array) = untouched(field, &self.codes[index], column) {
            return array;
        }
        if let Column::Missing = column {
            return new_null_array(&target, rows);
        }
        let mut fault = |row, reason| {
            faults.push(Fault { row, field: Some(index), reason, outcome: self.outcome(field, reason) })
        };
        let values = column.values();
        match field.ty {
            FieldType::Id | FieldType::Text | FieldType::Code | FieldType::Area => {
                self.text_column(index, field, &values, rows, &mut fault)
            }
            FieldType::Date => dates(&values, rows, DAYS, &mut fault),
            FieldType::Month if all_days(&values, rows) => {
                dates(&values, rows, DateForm { read: month_of_day, ..MONTHS }, &mut fault)
            }
            FieldType::Month => dates(&values, rows, MONTHS, &mut fault),
            FieldType::Datetime => moments(&values, rows, !field.required, &mut fault),
            FieldType::Money => decimals(&values, rows, MONEY, &mut fault, "bad_money"),
            FieldType::Decimal => decimals(&values, rows, DECIMAL, &mut fault, "bad_decimal"),
            FieldType::Int => integers(&values, rows, &mut fault),
            FieldType::Bool => booleans(&values, rows, &mut fault),
        }
    }

    fn text_column(
        &self,
        index: usize,
        field: &Field,
        values: &Values<'_>,
        rows: usize,
        fault: &mut impl FnMut(usize, &'static str),
    ) -> ArrayRef {
        let mut out = StringBuilder::with_capacity(rows, rows * 8);
        let table = &self.codes[index];
        let kind = identifiers::kind(field);
        for row in 0..rows {
            let value = values.at(row);
            let number;
            let text = match value {
                Value::Null => {
                    out.append_null();
                    continue;
                }
                Value::Text(text) if text.contains('\0') && field.ty != FieldType::Id => {
                    fault(row, "bad_text");
                    out.append_null();
                    continue;
                }
                Value::Text(text) => parse::bare(text),
                other => match number_as_text(field, kind, other) {
                    Ok(text) => {
                        number = text;
                        number.as_str()
                    }
                    Err(reason) => {
                        fault(row, reason);
                        out.append_null();
                        continue;
                    }
                },
            };
            let text = match kind {
                Some(kind) if !parse::is_placeholder(text) => identifiers::number(kind, text),
                _ => Ok(text),
            };
            match text.and_then(|text| self.text(field, table, text, &mut out)) {
                Ok(()) => {}
                Err(reason) => {
                    fault(row, reason);
                    out.append_null();
                }
            }
        }
        Arc::new(out.finish())
    }

    /// Appends one text in its canonical form.
    fn text(
        &self,
        field: &Field,
        table: &CodeTable,
        text: &str,
        out: &mut StringBuilder,
    ) -> Result<(), &'static str> {
        match field.ty {
            FieldType::Code => match table.code(text) {
                Some(code) => out.append_value(code),
                None if parse::is_placeholder(text) => out.append_null(),
                None if field.open_codes => out.append_value(text),
                None => return Err("unknown_code"),
            },
            _ if parse::is_placeholder(text) => out.append_null(),
            FieldType::Area => out.append_value(parse::area(text).ok_or("bad_area")?),
            FieldType::Id => match identity::normalise(text) {
                Ok(id) => out.append_value(id.as_str()),
                Err(fault) => return Err(fault.reason()),
            },
            _ => out.append_value(text),
        }
        Ok(())
    }

    /// A hash of the contract's key for each row.
    fn key_hashes(&self, rows: usize, fields: &[ArrayRef], numbers: Option<&Numbers>) -> ArrayRef {
        let mut hashers = vec![DefaultHasher::new(); rows];
        for key in &self.contract.key {
            let Some(index) = self.contract.fields.iter().position(|f| f.name == *key) else { continue };
            let array = match (self.id_index, numbers) {
                (Some(id), Some(numbers)) if id == index => &numbers.codes,
                (Some(id), _) if id < index => &fields[index - 1],
                _ => &fields[index],
            };
            hash_into(array, &mut hashers);
        }
        Arc::new(UInt64Array::from_iter_values(hashers.iter().map(Hasher::finish)))
    }
}

/// Rejects are read by people: a whole page in one field helps nobody.
fn shortened(value: String) -> String {
    match value.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => value[..end].to_owned(),
        None => value,
    }
}

fn born(id: &Identity) -> u32 {
    ((id.code() / 16 / 1000) % 100_000_000) as u32
}

fn locators(raw: &RawBatch, file: u32) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..raw.rows).map(|row| src_of(file, raw.first_row + row as u64))))
}

/// Notes the rows where a required field has no value and nothing else was wrong with it.
fn missing(field: &Field, index: usize, array: &dyn Array, faults: &mut Vec<Fault>) {
    if !field.required || array.null_count() == 0 {
        return;
    }
    let known: Vec<usize> = faults.iter().filter(|f| f.field == Some(index)).map(|f| f.row).collect();
    let mut known = known.into_iter().peekable();
    for row in (0..array.len()).filter(|row| array.is_null(*row)) {
        while known.next_if(|k| *k < row).is_some() {}
        if known.peek() != Some(&row) {
            faults.push(Fault { row, field: Some(index), reason: "missing_required", outcome: ROW_REJECTED });
        }
    }
}

/// Puts the faults in order, lets a broken row have only that one, and says which rows are kept. `None`: all.
fn settle(raw: &RawBatch, faults: &mut Vec<Fault>) -> Option<BooleanArray> {
    if faults.is_empty() && raw.broken.is_empty() && raw.blank.is_empty() {
        return None;
    }
    let mut keep = vec![true; raw.rows];
    for row in &raw.blank {
        keep[*row] = false;
    }
    for broken in &raw.broken {
        keep[broken.row] = false;
    }
    faults.retain(|f| keep[f.row]);
    for fault in faults.iter().filter(|f| f.outcome == ROW_REJECTED) {
        keep[fault.row] = false;
    }
    faults.extend(raw.broken.iter().map(|b| Fault {
        row: b.row,
        field: None,
        reason: b.reason,
        outcome: ROW_REJECTED,
    }));
    faults.sort_by_key(|f| (f.row, f.field));
    Some(BooleanArray::from(keep))
}

/// The column itself, when there is nothing to do.
fn untouched(field: &Field, table: &CodeTable, column: &Column) -> Option<ArrayRef> {
    let Column::Array(array) = column else { return None };
    let kind = identifiers::kind(field);
    let ready = match (field.ty, array.data_type()) {
        (FieldType::Text, DataType::Utf8) => array.as_string::<i32>().iter().flatten().all(|t| {
            parse::bare(t).len() == t.len()
                && !parse::is_placeholder(t)
                && !t.contains('\0')
                && kind.is_none_or(|kind| identifiers::number(kind, t) == Ok(t))
        }),
        (FieldType::Code, DataType::Utf8) => {
            array.as_string::<i32>().iter().flatten().all(|t| table.is_code(t))
        }
        (FieldType::Area, DataType::Utf8) => array
            .as_string::<i32>()
            .iter()
            .flatten()
            .all(|t| (6..=12).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit())),
        (FieldType::Date, DataType::Date32) => array
            .as_primitive::<Date32Type>()
            .iter()
            .flatten()
            .all(|day| (FIRST_DAY..=LAST_DAY).contains(&day) && !days::is_no_day(day)),
        (FieldType::Datetime, DataType::Timestamp(TimeUnit::Nanosecond, None)) => array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .flatten()
            .all(|nanos| !days::is_no_day(parse::day_of_nanos(nanos))),
        (FieldType::Int, DataType::Int64) | (FieldType::Bool, DataType::Boolean) => true,
        (FieldType::Money, DataType::Decimal128(_, 2)) => fits(array, MONEY.0),
        (FieldType::Decimal, DataType::Decimal128(_, 4)) => fits(array, DECIMAL.0),
        (FieldType::Month, DataType::Date32) => {
            array.as_primitive::<Date32Type>().iter().flatten().all(|day| {
                (FIRST_DAY..=LAST_DAY).contains(&day) && parse::is_first(day) && !days::is_no_month(day)
            })
        }
        _ => false,
    };
    if !ready {
        return None;
    }
    let target = stored_type(field.ty);
    match (array.data_type(), &target) {
        (DataType::Decimal128(..), DataType::Decimal128(p, s)) => {
            let same =
                array.as_primitive::<Decimal128Type>().clone().with_precision_and_scale(*p, *s).ok()?;
            Some(Arc::new(same))
        }
        _ => Some(Arc::clone(array)),
    }
}

/// 1000-01-01 and 9999-12-31, the days that a file may hold.
const FIRST_DAY: i32 = -354_285;
const LAST_DAY: i32 = 2_932_896;

fn fits(array: &ArrayRef, digits: u8) -> bool {
    let limit = 10i128.pow(u32::from(digits));
    array.as_primitive::<Decimal128Type>().iter().flatten().all(|v| v.abs() < limit)
}

fn in_range(day: i32) -> Option<i32> {
    (FIRST_DAY..=LAST_DAY).contains(&day).then_some(day)
}

/// What a numeric carrier gives for a text field; accounts and identity numbers never come as numbers.
fn number_as_text(
    field: &Field,
    kind: Option<identifiers::Kind>,
    value: Value<'_>,
) -> Result<String, &'static str> {
    let bad = match field.ty {
        FieldType::Id => "id_stored_as_number",
        FieldType::Code => "unknown_code",
        FieldType::Area => "bad_area",
        _ => "bad_text",
    };
    let as_text = |n: Option<i64>| n.map(|n| n.to_string()).ok_or(bad);
    match (field.ty, value) {
        (FieldType::Id, _) => Err(bad),
        (_, Value::Int(_) | Value::Number(..) | Value::Decimal(..) | Value::Float(_))
            if kind == Some(identifiers::Kind::Account) =>
        {
            Err(STORED_AS_NUMBER)
        }
        // `3-1` becomes the first of March in a spreadsheet.
        (_, Value::Day(_) | Value::Moment(..)) if kind.is_some() => Err(STORED_AS_NUMBER),
        (_, Value::Number(n, _)) if kind.is_some() && n.abs() >= SPREADSHEET_DIGITS => Err(STORED_AS_NUMBER),
        (_, Value::Int(n)) => Ok(n.to_string()),
        // pandas makes floats of whole numbers where some are absent.
        (FieldType::Code, Value::Float(n)) => as_text(parse::exact_integer(n)),
        (_, Value::Number(n, _)) if n.abs() < SPREADSHEET_DIGITS => as_text(parse::exact_integer(n)),
        (FieldType::Text, Value::Day(_) | Value::Moment(..)) => value.shown().ok_or(bad),
        _ => Err(bad),
    }
}

/// A day from any carrier.
fn day(value: Value<'_>) -> Result<Option<i32>, ()> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => {
            let text = parse::bare(text);
            match parse::moment(text) {
                Some((day, _)) => Some(day),
                None if parse::is_placeholder(text) => return Ok(None),
                None => None,
            }
        }
        Value::Day(day) | Value::Moment(day, _) => in_range(day),
        Value::Int(n) => parse::moment(&n.to_string()).map(|m| m.0),
        Value::Number(n, epoch_1904) => spreadsheet_number(n, epoch_1904).map(|m| m.0),
        _ => None,
    };
    found.map(Some).ok_or(())
}

/// The first day of a month from any carrier.
fn month(value: Value<'_>) -> Result<Option<i32>, ()> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => {
            let text = parse::bare(text);
            match parse::month(text) {
                Some(day) => Some(day),
                None if parse::is_placeholder(text) => return Ok(None),
                None => None,
            }
        }
        Value::Day(day) | Value::Moment(day, 0) => in_range(day).filter(|d| parse::is_first(*d)),
        Value::Int(n) => parse::month(&n.to_string()),
        Value::Number(n, _) => parse::exact_integer(n).and_then(|n| parse::month(&n.to_string())),
        _ => None,
    };
    found.map(Some).ok_or(())
}

/// Whether a column holds days or moments and nothing else: extract tools often put the first or the last day
/// of a month there.
fn all_days(values: &Values<'_>, rows: usize) -> bool {
    match values {
        Values::Day(_) | Values::Stamp(..) => true,
        Values::Cells(..) => (0..rows).all(|row| {
            let value = values.at(row);
            matches!(value, Value::Null | Value::Day(_) | Value::Moment(..)) || days::is_nought(value)
        }),
        _ => false,
    }
}

/// The first day of the month of a day.
fn month_of_day(value: Value<'_>) -> Result<Option<i32>, ()> {
    let day = match value {
        Value::Null => return Ok(None),
        Value::Day(day) | Value::Moment(day, _) => in_range(day).and_then(NaiveDate::from_epoch_days),
        _ => None,
    };
    day.and_then(|d| d.with_day(1)).map(|d| Some(d.to_epoch_days())).ok_or(())
}

/// 9999-12-31, at any time of day: systems write it for an end that is not yet known.
fn is_open_end(value: Value<'_>) -> bool {
    let day = match value {
        Value::Text(text) => parse::moment(parse::bare(text)).map(|m| m.0),
        Value::Day(day) | Value::Moment(day, _) => Some(day),
        Value::Int(n) => parse::moment(&n.to_string()).map(|m| m.0),
        Value::Number(n, epoch_1904) => spreadsheet_number(n, epoch_1904).map(|m| m.0),
        _ => None,
    };
    day == Some(LAST_DAY)
}

/// A number in a date column of a spreadsheet: `20240301`, or a serial number whose cell lost its format.
fn spreadsheet_number(number: f64, epoch_1904: bool) -> Option<(i32, i64)> {
    match parse::exact_integer(number) {
        Some(n) if n >= 10_000_000 => {
            parse::moment(&n.to_string()).map(|(day, time)| (day, time.unwrap_or(0)))
        }
        _ if (10_000.0..100_000.0).contains(&number) => parse::serial(number, epoch_1904),
        _ => None,
    }
}

/// How the values of a date column are read and judged.
#[derive(Clone, Copy)]
struct DateForm {
    read: fn(Value<'_>) -> Result<Option<i32>, ()>,
    /// Days that stand for none.
    none: fn(i32) -> bool,
    bad: &'static str,
}

const DAYS: DateForm = DateForm { read: day, none: days::is_no_day, bad: "bad_date" };
const MONTHS: DateForm = DateForm { read: month, none: days::is_no_month, bad: "bad_month" };

fn dates(
    values: &Values<'_>,
    rows: usize,
    form: DateForm,
    fault: &mut impl FnMut(usize, &'static str),
) -> ArrayRef {
    let mut out = Date32Builder::with_capacity(rows);
    let cells = matches!(values, Values::Cells(..));
    // Days repeat from row to row in most files.
    let mut last: Option<(&str, Option<i32>)> = None;
    for row in 0..rows {
        let value = values.at(row);
        if let (Value::Text(text), Some((before, day))) = (value, last)
            && text == before
        {
            out.append_option(day);
            continue;
        }
        let read = (form.read)(value).or_else(|()| if cells { serial_text(value, values) } else { Err(()) });
        match (days::judged(read, value, form.none, form.bad), value) {
            (Ok(day), Value::Text(text)) => {
                last = Some((text, day));
                out.append_option(day);
            }
            (Ok(day), _) => out.append_option(day),
            (Err(reason), _) => {
                fault(row, reason);
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

/// Five digits as text in a spreadsheet: a serial number that was pasted as text.
fn serial_text(value: Value<'_>, values: &Values<'_>) -> Result<Option<i32>, ()> {
    let (Value::Text(text), Values::Cells(_, epoch_1904)) = (value, values) else { return Err(()) };
    let text = parse::bare(text);
    if text.len() != 5 {
        return Err(());
    }
    let number: u32 = text.parse().map_err(|_| ())?;
    parse::serial(f64::from(number), *epoch_1904).map(|(day, _)| Some(day)).ok_or(())
}

/// `open_ends`: 9999-12-31 is an end that is not known, and no value.
fn moments(
    values: &Values<'_>,
    rows: usize,
    open_ends: bool,
    fault: &mut impl FnMut(usize, &'static str),
) -> ArrayRef {
    let mut out = TimestampNanosecondBuilder::with_capacity(rows);
    for row in 0..rows {
        let value = values.at(row);
        match moment(value) {
            Ok(Some(nanos)) if days::is_no_day(parse::day_of_nanos(nanos)) => {
                fault(row, NO_DAY);
                out.append_null();
            }
            Ok(nanos) => out.append_option(nanos),
            Err(()) if open_ends && is_open_end(value) => out.append_null(),
            Err(()) => {
                fault(row, if days::is_nought(value) { NO_DAY } else { "bad_datetime" });
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

fn moment(value: Value<'_>) -> Result<Option<i64>, ()> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => {
            let text = parse::bare(text);
            match parse::moment(text) {
                Some((day, time)) => Some((day, time.unwrap_or(0))),
                None if parse::is_placeholder(text) => return Ok(None),
                None => None,
            }
        }
        Value::Day(day) => Some((day, 0)),
        Value::Moment(day, time) => Some((day, time)),
        Value::Int(n) => parse::moment(&n.to_string()).map(|(day, time)| (day, time.unwrap_or(0))),
        Value::Number(n, epoch_1904) => spreadsheet_number(n, epoch_1904),
        _ => None,
    };
    found.and_then(|(day, time)| parse::nanos(day, time)).map(Some).ok_or(())
}

fn decimals(
    values: &Values<'_>,
    rows: usize,
    (digits, scale): (u8, i8),
    fault: &mut impl FnMut(usize, &'static str),
    reason: &'static str,
) -> ArrayRef {
    let mut out = Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(digits, scale));
    for row in 0..rows {
        match decimal(values.at(row), u32::from(digits), u32::from(scale.unsigned_abs())) {
            Ok(value) => out.append_option(value),
            Err(()) => {
                fault(row, reason);
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

fn decimal(value: Value<'_>, digits: u32, scale: u32) -> Result<Option<i128>, ()> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => {
            let text = parse::bare(text);
            match parse::decimal(text, scale, digits) {
                Some(value) => Some(value),
                None if parse::is_placeholder(text) => return Ok(None),
                None => None,
            }
        }
        Value::Int(n) => i128::from(n).checked_mul(10i128.pow(scale)),
        Value::Decimal(n, from) => rescaled(n, i32::from(from), scale as i32),
        Value::Float(n) | Value::Number(n, _) => parse::exact_decimal(n, scale, digits),
        _ => None,
    };
    found.filter(|v| v.abs() < 10i128.pow(digits)).map(Some).ok_or(())
}

fn rescaled(value: i128, from: i32, to: i32) -> Option<i128> {
    let power = 10i128.checked_pow(from.abs_diff(to))?;
    if to >= from { value.checked_mul(power) } else { (value % power == 0).then_some(value / power) }
}

fn integers(values: &Values<'_>, rows: usize, fault: &mut impl FnMut(usize, &'static str)) -> ArrayRef {
    let mut out = Int64Builder::with_capacity(rows);
    for row in 0..rows {
        let value = values.at(row);
        let read = match value {
            Value::Null => Ok(None),
            Value::Text(text) => {
                let text = parse::bare(text);
                match parse::whole(text) {
                    Some(n) => Ok(Some(n)),
                    None if parse::is_placeholder(text) => Ok(None),
                    None => Err(()),
                }
            }
            Value::Int(n) => Ok(Some(n)),
            Value::Decimal(n, from) => {
                rescaled(n, i32::from(from), 0).and_then(|n| i64::try_from(n).ok()).map(Some).ok_or(())
            }
            Value::Float(n) | Value::Number(n, _) => parse::exact_integer(n).map(Some).ok_or(()),
            _ => Err(()),
        };
        match read {
            Ok(n) => out.append_option(n),
            Err(()) => {
                fault(row, "bad_int");
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

fn booleans(values: &Values<'_>, rows: usize, fault: &mut impl FnMut(usize, &'static str)) -> ArrayRef {
    let mut out = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        let read = match values.at(row) {
            Value::Null => Ok(None),
            Value::Bool(b) => Ok(Some(b)),
            Value::Text(text) => {
                let text = parse::bare(text);
                match parse::yes_or_no(text) {
                    Some(b) => Ok(Some(b)),
                    None if parse::is_placeholder(text) => Ok(None),
                    None => Err(()),
                }
            }
            Value::Int(0) => Ok(Some(false)),
            Value::Int(1) => Ok(Some(true)),
            Value::Number(0.0, _) => Ok(Some(false)),
            Value::Number(1.0, _) => Ok(Some(true)),
            _ => Err(()),
        };
        match read {
            Ok(b) => out.append_option(b),
            Err(()) => {
                fault(row, "bad_bool");
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

/// The codes of one field and everything that means them.
struct CodeTable {
    codes: Vec<String>,
    /// Labels and aliases that mean exactly one code.
    spellings: BTreeMap<String, usize>,
}

impl CodeTable {
    fn new(field: &Field) -> Self {
        let codes: Vec<String> = field.codes.keys().cloned().collect();
        let mut meant: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (code, meaning)) in field.codes.iter().enumerate() {
            let labels = [&meaning.zh, &meaning.en].into_iter().chain(&meaning.aliases).chain([code]);
            for label in labels {
                let meanings = meant.entry(spelled(label)).or_default();
                if meanings.last() != Some(&index) {
                    meanings.push(index);
                }
            }
        }
        let spellings =
            meant.into_iter().filter(|(_, m)| m.len() == 1).map(|(label, m)| (label, m[0])).collect();
        Self { codes, spellings }
    }

    fn is_code(&self, text: &str) -> bool {
        self.codes.iter().any(|c| c == text)
    }

    fn code<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        if self.is_code(text) {
            return Some(text);
        }
        if let Some(index) = self.spellings.get(&spelled(text)) {
            return Some(&self.codes[*index]);
        }
        // Whole numbers that some tool has made floats of.
        text.strip_suffix(".0").filter(|whole| self.is_code(whole))
    }
}

/// A label without what differs from one export to the next.
fn spelled(label: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    label.nfkc().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}
