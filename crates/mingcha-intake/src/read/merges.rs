//! Merged cells. A file holds their value in the first cell only, though people see it in all of them. What describes a
//! group (a household, an area, a place) is taken for every row that it covers; what belongs to one row (an identity
//! number, a name, an account, an amount, a day, a code) is refused, because two people must not become one, nor one
//! amount two, nor one death several. Cells merged over several columns are refused where they hide something of a row
//! that would be stored; titles, totals and footers are none. Knows the columns that are read, and no value.

use std::collections::VecDeque;

use calamine::Dimensions;
use mingcha_rules::contract::PiiClass;
use mingcha_rules::{Contract, Diagnostic, Field, FieldType, PersonKey};

use super::cells::{Row, cell_name, is_blank};
use crate::batch::Cell;
use crate::discover::Found;
use crate::fault;
use crate::headings::Matched;
use crate::identifiers;
use crate::identity;

/// Ranges that a message names.
const SHOWN: usize = 10;

/// What becomes of the rows that a range covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All get the value.
    Fill,
    /// The value belongs to one of them.
    Own,
    /// It covers several columns.
    Sideways,
    /// It begins in the headings.
    Headings,
}

/// One range over columns that are read.
#[derive(Debug, Clone)]
struct Range {
    top: u32,
    bottom: u32,
    left: u32,
    right: u32,
    way: Way,
    value: Cell,
    /// Whether a row was filled or refused.
    met: bool,
}

impl Range {
    fn name(&self) -> String {
        format!("{}:{}", cell_name(self.top, self.left), cell_name(self.bottom, self.right))
    }
}

/// The merged cells of a sheet, as far as they matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Merges {
    /// In order of their first row.
    waiting: VecDeque<Range>,
    under_way: Vec<Range>,
    /// Columns without which no row is stored.
    needed: Vec<u32>,
    /// The column with the person's identity number.
    id: Option<u32>,
    filled: Names,
    refused: Names,
}

#[derive(Debug, Clone, Default)]
struct Names {
    count: u64,
    first: Vec<String>,
}

impl Names {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(name);
        }
    }

    fn listed(&self, and: &str) -> String {
        let more = if self.count > self.first.len() as u64 { " …" } else { "" };
        format!("{}{more}", self.first.join(and))
    }
}

/// Whether a value of the field may be that of a group of rows. A day, a month or a code never: it may be somebody's
/// death.
fn describes_a_group(field: &Field) -> bool {
    let household = field.name.starts_with("household");
    match (field.ty, field.pii) {
        (FieldType::Area, _) => true,
        (FieldType::Text, None | Some(PiiClass::Location)) => household || identifiers::kind(field).is_none(),
        (FieldType::Text, Some(PiiClass::QuasiId)) => household,
        _ => false,
    }
}

impl Merges {
    /// Of all merged cells of a sheet those that cover rows of data in columns that are read.
    pub(super) fn plan(all: &[Dimensions], contract: &Contract, matched: &Matched, header_row: u32) -> Self {
        let fields: Vec<(u32, &Field)> = contract
            .fields
            .iter()
            .zip(&matched.columns)
            .filter_map(|(field, column)| Some((u32::try_from((*column)?).ok()?, field)))
            .collect();
        let mut ranges: Vec<Range> = all.iter().filter_map(|d| planned(d, &fields, header_row)).collect();
        ranges.sort_by_key(|r| (r.top, r.left));
        let person = match &contract.person {
            Some(PersonKey::Field(name)) => Some(name),
            _ => None,
        };
        let id = fields.iter().find(|(_, field)| Some(&field.name) == person).map(|(column, _)| *column);
        let needed = fields.iter().filter(|(_, field)| field.required).map(|(column, _)| *column).collect();
        Self { waiting: ranges.into(), needed, id, ..Self::default() }
    }

    /// Whether a row has what every row needs. One that has not goes to the rejects, whatever is merged in it.
    fn would_be_stored(&self, row: &Row) -> bool {
        let known = |id| matches!(row.at(id), Cell::Text(text) if identity::normalise(text).is_ok());
        self.needed.iter().all(|column| !is_blank(row.at(*column))) && self.id.is_none_or(known)
    }

    /// Fills a row of data. Rows come in order.
    pub(super) fn fill(&mut self, number: u32, row: &mut Row) {
        self.finish_before(number);
        while self.waiting.front().is_some_and(|r| r.top <= number) {
            let Some(mut range) = self.waiting.pop_front() else { break };
            if range.top == number {
                range.value = row.at(range.left).clone();
            }
            self.under_way.push(range);
        }
        if self.under_way.is_empty() || row.is_blank() {
            return;
        }
        for range in self.under_way.iter_mut().filter(|r| r.top < number) {
            let own = row.at(range.left);
            match range.way {
                Way::Headings => range.met = true,
                _ if is_blank(&range.value) || own == &range.value => {}
                // Something else lies below, where nobody sees it.
                Way::Fill if !is_blank(own) => (range.way, range.met) = (Way::Own, true),
                Way::Fill => {
                    row.set(range.left, range.value.clone());
                    range.met = true;
                }
                Way::Own => range.met = true,
                Way::Sideways => {}
            }
        }
        if self.under_way.iter().any(|r| r.way == Way::Sideways) && self.would_be_stored(row) {
            let sideways = self.under_way.iter_mut().filter(|r| r.way == Way::Sideways);
            sideways.for_each(|r| r.met |= !is_blank(&r.value));
        }
    }

    fn finish_before(&mut self, number: u32) {
        let (filled, refused) = (&mut self.filled, &mut self.refused);
        self.under_way.retain(|range| {
            let over = range.bottom < number;
            if over && range.met {
                if range.way == Way::Fill { filled.add(range.name()) } else { refused.add(range.name()) }
            }
            !over
        });
    }

    /// What is to be said at the end.
    ///
    /// # Errors
    /// When a value belongs to one of the rows that it covers.
    pub(super) fn said(mut self, found: &Found, sheet: &str) -> Result<Option<Diagnostic>, Diagnostic> {
        self.finish_before(u32::MAX);
        if self.refused.count > 0 {
            let (zh, en) = (self.refused.listed("、"), self.refused.listed(", "));
            return Err(Diagnostic::error(
                "MC669",
                format!("工作表「{sheet}」的证件号码、姓名、账号、金额、日期、代码等应每行各填，表头应在一行，实际有合并单元格：{zh}"),
                format!("wanted identity numbers, names, accounts, amounts, days and codes of the sheet `{sheet}` in every row, and headings in one row, got merged cells: {en}"),
            )
            .in_file(&found.name)
            .with_help(
                "取消合并，逐行填写后重新提交",
                "take the cells apart, fill in every row, and deliver it again",
            ));
        }
        let (zh, en) = (self.filled.listed("、"), self.filled.listed(", "));
        Ok((self.filled.count > 0).then(|| {
            Diagnostic::warning(
                "MC668",
                format!("工作表「{sheet}」有合并单元格，其值用于所含各行：{zh}"),
                format!("the sheet `{sheet}` has merged cells; their value was taken for every row that they cover: {en}"),
            )
            .in_file(&found.name)
            .with_help("核对这些行是否确为同一值", "see whether these rows really have that value")
        }))
    }
}

/// Headings that are merged, where they were not found in one row: they may stand over several.
pub(super) fn in_headings(
    all: &[Dimensions],
    found: &Found,
    sheet: &str,
    header_row: u32,
) -> Option<Diagnostic> {
    let mut names = Names::default();
    let mut last = header_row;
    for range in all.iter().filter(|d| (d.start.0..=d.end.0).contains(&header_row)) {
        let ((top, left), (bottom, right)) = (range.start, range.end);
        names.add(format!("{}:{}", cell_name(top, left), cell_name(bottom, right)));
        last = last.max(bottom);
    }
    let (zh, en) = (names.listed("、"), names.listed(", "));
    let (from, to) = (u64::from(header_row) + 1, u64::from(last) + 1);
    let lines = fault::source_lines(found, found.mapping.sheet.as_deref(), to);
    (to > from).then(|| {
        Diagnostic::error(
            "MC670",
            format!("工作表「{sheet}」的表头应在一行，实际占第 {from} 至 {to} 行，有合并单元格：{zh}"),
            format!("wanted the headings of the sheet `{sheet}` in one row, got them over the rows {from} to {to}, with merged cells: {en}"),
        )
        .in_file(&found.name)
        .with_help(
            format!("把每列的列名写在同一行；最后一行表头即为列名时，在 mingcha.toml 中写明：\n{lines}"),
            format!("write the name of each column into one row; where the last of them names the columns, say it in mingcha.toml:\n{lines}"),
        )
    })
}

/// What becomes of one merged range. `None`: nothing is lost by it.
fn planned(all: &Dimensions, fields: &[(u32, &Field)], header_row: u32) -> Option<Range> {
    let ((top, left), (bottom, right)) = (all.start, all.end);
    if bottom <= header_row || right < left {
        return None;
    }
    let mut covered = fields.iter().filter(|(column, _)| (left..=right).contains(column));
    let (column, field) = covered.next()?;
    let way = if top <= header_row {
        Way::Headings
    } else if covered.next().is_some() || *column != left {
        Way::Sideways
    } else if top == bottom {
        return None;
    } else if describes_a_group(field) {
        Way::Fill
    } else {
        Way::Own
    };
    Some(Range { top, bottom, left, right, way, value: Cell::Empty, met: false })
}
