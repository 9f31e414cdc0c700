//! The quality report: what the extracts are worth, dataset by dataset, for people and for programs. Adds up
//! what the passes have counted; judges nothing and holds no personal value.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Date32Type, TimestampNanosecondType};
use chrono::NaiveDate;
use mingcha_rules::{Diagnostic, Lang, Text};
use serde::{Deserialize, Serialize};

use crate::parse::day_of_nanos;
use crate::rejects::{KEPT, ROW_REJECTED, Reject, VALUE_DROPPED};
use crate::typing::IdTally;

/// The report on one preparation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// By dataset, in order of name.
    pub datasets: Vec<DatasetQuality>,
    /// Datasets of the contracts that were not delivered.
    pub not_delivered: Vec<String>,
    /// What should be known about single files.
    pub notes: Vec<Diagnostic>,
}

/// The report on one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetQuality {
    /// Name.
    pub dataset: String,
    /// Title.
    pub title: Text,
    /// Files.
    pub files: Vec<FileQuality>,
    /// Rows read, blank ones not counted.
    pub rows_in: u64,
    /// Rows stored.
    pub rows_stored: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Rows without any value, which are no rows.
    pub rows_blank: u64,
    /// Stored rows that lead to no person.
    pub rows_unassigned: u64,
    /// Entries of the rejects by reason, remarks included.
    pub reasons: BTreeMap<String, u64>,
    /// The first places that were rejected, at most [`LISTED_PLACES`].
    #[serde(default)]
    pub rejected_places: Vec<RejectedPlace>,
    /// Rows with an identity number.
    pub ids_given: u64,
    /// Of those, not valid.
    pub ids_invalid: u64,
    /// Of those, ending in `000`.
    pub ids_ending_000: u64,
    /// Extract date.
    pub as_of: Option<NaiveDate>,
    /// The fields, in order.
    pub fields: Vec<FieldQuality>,
}

/// A value or a row that was rejected: where and why, never what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPlace {
    /// Path, relative to the extracts folder.
    pub file: String,
    /// Data row, from 1.
    pub row: u64,
    /// Field; `None`: the row as a whole.
    pub field: Option<String>,
    /// Reason code.
    pub reason: String,
}

/// Rejected places that are named for one dataset; `rejects.csv` has all.
const LISTED_PLACES: usize = 5;
/// Unknown codes that are named for one field.
const LISTED_CODES: usize = 10;
/// Different unknown codes that are told apart while counting.
const COUNTED_CODES: usize = 1_000;

/// The report on one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileQuality {
    /// Path, relative to the extracts folder.
    pub path: String,
    /// Format.
    pub format: String,
    /// Encoding, for text files.
    pub encoding: Option<String>,
    /// Rows, blank ones not counted.
    pub rows: u64,
    /// Optional fields without a column.
    pub missing_columns: Vec<String>,
    /// Columns that no field claims, each with the field it comes near to.
    pub ignored_columns: Vec<(String, Option<String>)>,
}

/// The report on one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldQuality {
    /// Field.
    pub field: String,
    /// Stored rows without a value.
    pub nulls: u64,
    /// The same as a share of the stored rows, 0 to 1.
    pub null_share: f64,
    /// First day, for days and moments.
    pub first: Option<NaiveDate>,
    /// Last day, for days and moments.
    pub last: Option<NaiveDate>,
    /// Values of 9999-12-31, which mean an open end and are stored as none.
    #[serde(default)]
    pub open_ends: u64,
    /// Values outside the code table that were kept.
    #[serde(default)]
    pub unknown_codes: u64,
    /// The commonest of them, at most ten, with their counts.
    #[serde(default)]
    pub unknown_listed: Vec<(String, u64)>,
}

/// What was noticed about the values of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldNote {
    /// Values of 9999-12-31.
    pub(crate) open_ends: u64,
    /// Values of a code field.
    pub(crate) values: u64,
    /// Of those, outside the table and kept.
    pub(crate) unknown: u64,
    /// Accounts that a spreadsheet would have cut.
    pub(crate) long: u64,
    /// Of those, such as look cut.
    pub(crate) cut: u64,
    codes: BTreeMap<String, u64>,
}

impl FieldNote {
    /// Counts a value outside the table.
    pub(crate) fn unknown_code(&mut self, code: &str, n: u64) {
        self.unknown += n;
        if let Some(count) = self.codes.get_mut(code) {
            *count += n;
        } else if self.codes.len() < COUNTED_CODES {
            self.codes.insert(code.to_owned(), n);
        }
    }

    /// The commonest unknown codes. What is too long for a code is not spelled out: it might be a person's.
    pub(crate) fn listed(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(&String, u64)> = self.codes.iter().map(|(code, n)| (code, *n)).collect();
        all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let plain =
            |code: &str| code.chars().count() <= 24 && code.bytes().filter(u8::is_ascii_digit).count() < 11;
        let shown = |code: &String| if plain(code) { code.clone() } else { "…".to_owned() };
        all.into_iter().take(LISTED_CODES).map(|(code, n)| (shown(code), n)).collect()
    }
}

/// What was noticed, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldNotes(BTreeMap<String, FieldNote>);

impl FieldNotes {
    /// The notes on a field, if there are any.
    pub(crate) fn of(&self, field: &str) -> Option<&FieldNote> {
        self.0.get(field)
    }

    /// The notes on a field, to be added to.
    pub(crate) fn on(&mut self, field: &str) -> &mut FieldNote {
        self.0.entry(field.to_owned()).or_default()
    }

    /// Adds the notes of another part.
    pub(crate) fn add(&mut self, other: &Self) {
        for (field, note) in &other.0 {
            let mine = self.on(field);
            mine.open_ends += note.open_ends;
            mine.values += note.values;
            mine.long += note.long;
            mine.cut += note.cut;
            // The total is taken as it is: not every code of it may be told apart.
            let unknown = mine.unknown + note.unknown;
            for (code, n) in &note.codes {
                mine.unknown_code(code, *n);
            }
            mine.unknown = unknown;
        }
    }
}

/// How often a reason rejected rows, and the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blame {
    pub(crate) count: u64,
    pub(crate) row: u64,
}

/// Counters of one field, added up batch by batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FieldTally {
    nulls: u64,
    first: Option<i32>,
    last: Option<i32>,
}

/// Counters of one file or dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) stored: u64,
    pub(crate) rejected: u64,
    pub(crate) blank: u64,
    pub(crate) ids: IdTally,
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) fields: BTreeMap<String, FieldTally>,
    pub(crate) notes: FieldNotes,
    /// The first places rejected.
    pub(crate) places: Vec<RejectedPlace>,
    /// Rejected rows with more against them than their identity number.
    pub(crate) rejected_otherwise: u64,
    /// By reason and field.
    blames: BTreeMap<(&'static str, Option<String>), Blame>,
    /// Values that were dropped while their row was kept, by field and reason.
    pub(crate) dropped: BTreeMap<(String, &'static str), Blame>,
}

impl Tally {
    /// Counts the stored rows of a batch, column by column.
    pub(crate) fn see(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let tally = self.fields.entry(field.name().clone()).or_default();
            tally.nulls += column.null_count() as u64;
            let range = match column.data_type() {
                DataType::Date32 => {
                    let days = column.as_primitive::<Date32Type>();
                    min(days).zip(max(days))
                }
                DataType::Timestamp(..) => {
                    let nanos = column.as_primitive::<TimestampNanosecondType>();
                    min(nanos).zip(max(nanos)).map(|(a, b)| (day_of_nanos(a), day_of_nanos(b)))
                }
                _ => None,
            };
            tally.widen(range);
        }
    }

    /// Adds the counters of another part.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.stored += other.stored;
        self.rejected += other.rejected;
        self.blank += other.blank;
        self.ids.add(other.ids);
        for (reason, n) in &other.reasons {
            self.count(reason, *n);
        }
        for (name, field) in &other.fields {
            let tally = self.fields.entry(name.clone()).or_default();
            tally.nulls += field.nulls;
            tally.widen(field.first.zip(field.last));
        }
        self.notes.add(&other.notes);
        self.rejected_otherwise += other.rejected_otherwise;
        let room = LISTED_PLACES - self.places.len().min(LISTED_PLACES);
        self.places.extend(other.places.iter().take(room).cloned());
        for (key, blame) in &other.blames {
            let first = Blame { count: 0, row: blame.row };
            self.blames.entry(key.clone()).or_insert(first).count += blame.count;
        }
        for (key, blame) in &other.dropped {
            let first = Blame { count: 0, row: blame.row };
            self.dropped.entry(key.clone()).or_insert(first).count += blame.count;
        }
    }

    /// Counts the rejects of a batch, which come in order of row.
    pub(crate) fn blame(&mut self, rejects: &[Reject], file: &str) {
        let mut otherwise = None;
        for reject in rejects {
            self.count(reject.reason, 1);
            if reject.outcome == KEPT {
                continue;
            }
            if self.places.len() < LISTED_PLACES {
                self.places.push(RejectedPlace {
                    file: file.to_owned(),
                    row: reject.row(),
                    field: reject.field.clone(),
                    reason: reject.reason.to_owned(),
                });
            }
            if let (VALUE_DROPPED, Some(field)) = (reject.outcome, &reject.field) {
                let first = Blame { count: 0, row: reject.row() };
                self.dropped.entry((field.clone(), reject.reason)).or_insert(first).count += 1;
            }
            if reject.outcome == ROW_REJECTED {
                if !reject.is_of_id() && otherwise != Some(reject.src) {
                    otherwise = Some(reject.src);
                    self.rejected_otherwise += 1;
                }
                let first = Blame { count: 0, row: reject.row() };
                self.blames.entry((reject.reason, reject.field.clone())).or_insert(first).count += 1;
            }
        }
    }

    /// The commonest reason for which rows were rejected, with its field; `without_ids`: of the other reasons.
    pub(crate) fn commonest(&self, without_ids: bool) -> Option<(&'static str, Option<&str>, Blame)> {
        let kept = self.blames.iter().filter(|((reason, _), _)| !without_ids || !reason.starts_with("id_"));
        kept.rev()
            .max_by_key(|(_, blame)| blame.count)
            .map(|((reason, field), blame)| (*reason, field.as_deref(), *blame))
    }

    /// Counts entries of a reason.
    pub(crate) fn count(&mut self, reason: &str, n: u64) {
        if n > 0 {
            *self.reasons.entry(reason.to_owned()).or_default() += n;
        }
    }

    /// Stored rows with a value of a field.
    pub(crate) fn filled(&self, field: &str) -> u64 {
        self.stored - self.fields.get(field).map_or(self.stored, |f| f.nulls)
    }

    /// The report on one field.
    pub(crate) fn field(&self, name: &str, column: &str) -> FieldQuality {
        let tally = self.fields.get(column).copied().unwrap_or_default();
        let day = |day: Option<i32>| day.and_then(NaiveDate::from_epoch_days);
        FieldQuality {
            field: name.to_owned(),
            nulls: tally.nulls,
            null_share: share(tally.nulls, self.stored),
            first: day(tally.first),
            last: day(tally.last),
            open_ends: self.notes.of(name).map_or(0, |n| n.open_ends),
            unknown_codes: self.notes.of(name).map_or(0, |n| n.unknown),
            unknown_listed: self.notes.of(name).map(FieldNote::listed).unwrap_or_default(),
        }
    }
}

impl FieldTally {
    fn widen(&mut self, range: Option<(i32, i32)>) {
        if let Some((first, last)) = range {
            self.first = Some(self.first.map_or(first, |f| f.min(first)));
            self.last = Some(self.last.map_or(last, |l| l.max(last)));
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl QualityReport {
    /// The report as plain text in one language.
    pub fn text(&self, lang: Lang) -> String {
        let say = |zh: &str, en: &str| if lang == Lang::Zh { zh.to_owned() } else { en.to_owned() };
        let mut out = vec![say("数据质量报告", "Quality of the extracts"), String::new()];
        for dataset in &self.datasets {
            dataset.text(lang, &mut out);
        }
        if !self.not_delivered.is_empty() {
            out.push(format!(
                "{} {}",
                say("未提供的数据集：", "Not delivered:"),
                self.not_delivered.join(", ")
            ));
        }
        if !self.notes.is_empty() {
            out.push(String::new());
            out.push(say("需要留意：", "Worth a look:"));
            out.extend(self.notes.iter().map(|n| format!("  {}", n.line(lang))));
        }
        out.push(String::new());
        out.join("\n")
    }
}

impl DatasetQuality {
    /// The same, as it was read from JSON: decimals do not come back to the last digit there.
    pub(crate) fn taken_over(mut self) -> Self {
        for field in &mut self.fields {
            field.null_share = share(field.nulls, self.rows_stored);
        }
        self
    }

    fn text(&self, lang: Lang, out: &mut Vec<String>) {
        let zh = lang == Lang::Zh;
        out.push(format!("{} {}", self.dataset, self.title.get(lang)));
        out.push(if zh {
            format!(
                "  读入 {} 行 = 入库 {} + 退回 {}（另有空行 {}）",
                self.rows_in, self.rows_stored, self.rows_rejected, self.rows_blank
            )
        } else {
            format!(
                "  rows in {} = stored {} + rejected {} (blank rows besides: {})",
                self.rows_in, self.rows_stored, self.rows_rejected, self.rows_blank
            )
        });
        if self.rows_unassigned > 0 {
            let n = self.rows_unassigned;
            out.push(if zh {
                format!("  其中 {n} 行找不到对应的人")
            } else {
                format!("  of those stored, {n} lead to no person")
            });
        }
        if self.ids_given > 0 {
            let (invalid, tails) =
                (percent(self.ids_invalid, self.ids_given), percent(self.ids_ending_000, self.ids_given));
            out.push(if zh {
                format!("  证件号码 {} 个，无效 {invalid}，末三位为 000 的 {tails}", self.ids_given)
            } else {
                format!("  identity numbers: {}, invalid {invalid}, ending in 000 {tails}", self.ids_given)
            });
        }
        for (reason, n) in &self.reasons {
            let what = mingcha_rules::reject::meaning(reason)
                .map(|m| if zh { format!("（{}）", m.0) } else { format!(" ({})", m.1) });
            out.push(format!(
                "  {} {reason}{}: {n}",
                if zh { "退回或备注" } else { "rejects and remarks," },
                what.unwrap_or_default()
            ));
        }
        self.places(zh, out);
        for file in &self.files {
            file.text(zh, out);
        }
        self.unusual(zh, out);
        for field in self.fields.iter().filter(|f| f.nulls > 0 || f.first.is_some()) {
            let range = match (field.first, field.last) {
                (Some(a), Some(b)) if zh => format!("，{a} 至 {b}"),
                (Some(a), Some(b)) => format!(", {a} to {b}"),
                _ => String::new(),
            };
            let empty = percent(field.nulls, self.rows_stored);
            out.push(if zh {
                format!("  {}：空值 {empty}{range}", field.field)
            } else {
                format!("  {}: empty {empty}{range}", field.field)
            });
        }
        out.push(String::new());
    }

    /// The first rejected places, and where all of them are.
    fn places(&self, zh: bool, out: &mut Vec<String>) {
        for place in &self.rejected_places {
            let RejectedPlace { file, row, field, reason } = place;
            let column = field.as_deref().unwrap_or(if zh { "整行" } else { "the whole row" });
            out.push(if zh {
                format!("    {file} 第 {row} 行，{column}：{reason}")
            } else {
                format!("    {file}, data row {row}, {column}: {reason}")
            });
        }
        if !self.rejected_places.is_empty() {
            out.push(if zh {
                "    全部退回见数据仓中的 rejects.csv（行号不含表头）".to_owned()
            } else {
                "    all of them: rejects.csv in the store (rows are counted without the heading)".to_owned()
            });
        }
    }

    /// Open ends and codes outside their table.
    fn unusual(&self, zh: bool, out: &mut Vec<String>) {
        for field in &self.fields {
            let (name, ends, unknown) = (&field.field, field.open_ends, field.unknown_codes);
            if ends > 0 {
                out.push(if zh {
                    format!("  {name}：{ends} 个 9999-12-31 视为未结束（空值）")
                } else {
                    format!("  {name}: {ends} times 9999-12-31, taken as an open end (no value)")
                });
            }
            if unknown > 0 {
                let listed = field
                    .unknown_listed
                    .iter()
                    .map(|(code, n)| format!("{code} ({n})"))
                    .collect::<Vec<_>>()
                    .join(", ");
                out.push(if zh {
                    format!("  {name}：{unknown} 个值不在代码表中，原样保留：{listed}")
                } else {
                    format!("  {name}: {unknown} values outside the code table, kept as they are: {listed}")
                });
            }
        }
    }
}

impl FileQuality {
    fn text(&self, zh: bool, out: &mut Vec<String>) {
        let encoding = self.encoding.as_ref().map(|e| format!(" {e}")).unwrap_or_default();
        let rows = if zh { format!("{} 行", self.rows) } else { format!("{} rows", self.rows) };
        out.push(format!("  {} ({}{encoding}), {rows}", self.path, self.format));
        if !self.missing_columns.is_empty() {
            out.push(format!(
                "    {} {}",
                if zh { "没有的列：" } else { "columns not there:" },
                self.missing_columns.join(", ")
            ));
        }
        for (column, near) in &self.ignored_columns {
            let near = near
                .as_ref()
                .map(|n| if zh { format!("（是否为 {n}？）") } else { format!(" (is it {n}?)") });
            out.push(format!(
                "    {} {column}{}",
                if zh { "未使用的列：" } else { "column not used:" },
                near.unwrap_or_default()
            ));
        }
    }
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2} %", share(part, whole) * 100.0)
}
