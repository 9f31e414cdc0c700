//! The cells of one sheet, row by row: only those that are there, so that a blank in the last column or the last row
//! costs nothing. What lies outside of any spreadsheet is refused. Knows neither headings nor contracts.

use std::fs::File;
use std::io::BufReader;

use calamine::{Data, DataRef, ExcelDateTime, HeaderRow, Reader, Xls, Xlsx};
use chrono::NaiveDate;
use mingcha_rules::Diagnostic;

use super::sheet::WANTED;
use crate::batch::Cell;
use crate::discover::Found;
use crate::fault;

/// Rows and columns of a spreadsheet.
const MOST_ROWS: u32 = 1 << 20;
const MOST_COLUMNS: u32 = 1 << 14;

static NOTHING: Cell = Cell::Empty;

/// One row: its cells by column, from 0, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    cells: Vec<(u32, Cell)>,
    /// Columns with the value of a formula in a workbook that asks to be computed when it is opened.
    pub(super) stale: Vec<u32>,
}

/// What to do with one row: its number from 0 and its cells. `false`: enough.
pub(super) type EachRow<'a> = dyn FnMut(u32, Row) -> Result<bool, Diagnostic> + 'a;

impl Row {
    /// The cell of a column.
    pub(super) fn at(&self, column: u32) -> &Cell {
        self.cells.binary_search_by_key(&column, |c| c.0).map_or(&NOTHING, |place| &self.cells[place].1)
    }

    /// Puts a value into a column.
    pub(super) fn set(&mut self, column: u32, cell: Cell) {
        match self.cells.binary_search_by_key(&column, |c| c.0) {
            Ok(place) => self.cells[place].1 = cell,
            Err(place) => self.cells.insert(place, (column, cell)),
        }
    }

    /// Whether no cell says anything.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|c| is_blank(&c.1))
    }

    /// All cells from the first column to the last that says something.
    pub(super) fn dense(&self) -> Vec<Cell> {
        let end = self.cells.iter().rev().find(|c| !is_blank(&c.1)).map_or(0, |c| c.0 + 1);
        (0..end).map(|column| self.at(column).clone()).collect()
    }
}

/// Whether a cell says nothing.
pub(super) fn is_blank(cell: &Cell) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// The name of a cell: `B3`.
pub(super) fn cell_name(row: u32, column: u32) -> String {
    let (mut letters, mut rest) = (Vec::new(), u64::from(column) + 1);
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.iter().rev().collect::<String>() + &(u64::from(row) + 1).to_string()
}

/// Hands out the rows of a sheet that have cells. `on_opening`: the workbook asks to be computed when it is opened.
pub(super) fn of_new(
    book: &mut Xlsx<BufReader<File>>,
    found: &Found,
    sheet: &str,
    on_opening: bool,
    each: &mut EachRow<'_>,
) -> Result<(), Diagnostic> {
    let failed = |e: &dyn std::fmt::Display| fault::cannot_read(&found.name, WANTED, e);
    let mut reader = book.worksheet_cells_reader(sheet).map_err(|e| failed(&e))?;
    let mut current: Option<(u32, Row)> = None;
    while let Some(cell) = reader.next_cell_with_formula_metadata().map_err(|e| failed(&e))? {
        let (number, column) = cell.pos;
        if number >= MOST_ROWS || column >= MOST_COLUMNS {
            return Err(outside(found, sheet, number, column));
        }
        if let Some((before, row)) = current.take_if(|c| c.0 != number) {
            if before > number {
                return Err(unordered(found, sheet, number));
            }
            if !each(before, row)? {
                return Ok(());
            }
        }
        let row = &mut current.get_or_insert_with(|| (number, Row::default())).1;
        let mut value = cell_of(&cell.value);
        if cell.formula.is_some() {
            if is_uncomputed(&cell.value, on_opening) {
                value = Cell::Formula;
            } else if on_opening {
                row.stale.push(column);
            }
        }
        match row.cells.last() {
            _ if value == Cell::Empty => {}
            Some(last) if last.0 >= column => row.set(column, value),
            _ => row.cells.push((column, value)),
        }
    }
    if let Some((number, row)) = current {
        each(number, row)?;
    }
    Ok(())
}

/// The same of the old kind, whose reader holds the whole sheet.
pub(super) fn of_old(
    book: &mut Xls<BufReader<File>>,
    found: &Found,
    sheet: &str,
    each: &mut EachRow<'_>,
) -> Result<(), Diagnostic> {
    book.with_header_row(HeaderRow::Row(0));
    let range = book.worksheet_range(sheet).map_err(|e| fault::cannot_read(&found.name, WANTED, &e))?;
    let (top, left) = range.start().unwrap_or((0, 0));
    for (number, values) in range.rows().enumerate() {
        let cells = values.iter().enumerate().filter(|(_, value)| !matches!(value, Data::Empty));
        let cells = cells.map(|(column, value)| (left + column as u32, old_cell(value))).collect();
        if !each(top + number as u32, Row { cells, stale: Vec::new() })? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether nobody has computed the formula of a cell: it has no value, or the nought that programs put there while they
/// leave the computing to whoever opens the workbook. A formula that gives no text has a value: an empty text.
fn is_uncomputed(value: &DataRef<'_>, on_opening: bool) -> bool {
    match value {
        DataRef::Empty => true,
        DataRef::Int(n) => on_opening && *n == 0,
        DataRef::Float(n) => on_opening && *n == 0.0,
        DataRef::DateTime(n) => on_opening && n.as_f64() == 0.0,
        DataRef::String(text) => on_opening && text.is_empty(),
        _ => false,
    }
}

fn cell_of(value: &DataRef<'_>) -> Cell {
    match value {
        DataRef::Int(n) => Cell::Number(*n as f64),
        DataRef::Float(n) => Cell::Number(*n),
        DataRef::String(text) => Cell::Text(text.clone()),
        DataRef::SharedString(text) => Cell::Text((*text).to_owned()),
        DataRef::Bool(b) => Cell::Bool(*b),
        DataRef::DateTime(moment) => moment_of(moment),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Cell::Text(text.clone()),
        DataRef::Error(_) => Cell::Error,
        DataRef::Empty => Cell::Empty,
    }
}

fn old_cell(value: &Data) -> Cell {
    match value {
        Data::Int(n) => Cell::Number(*n as f64),
        Data::Float(n) => Cell::Number(*n),
        Data::String(text) => Cell::Text(text.clone()),
        Data::Bool(b) => Cell::Bool(*b),
        Data::DateTime(moment) => moment_of(moment),
        Data::DateTimeIso(text) | Data::DurationIso(text) => Cell::Text(text.clone()),
        Data::Error(_) => Cell::Error,
        Data::Empty => Cell::Empty,
    }
}

/// A number in a cell that is formatted as a date. Nought and below, a time of day without a day, and the first two
/// months of 1900, about which spreadsheets disagree, stay numbers: a format makes no day of them.
fn moment_of(moment: &ExcelDateTime) -> Cell {
    let serial = moment.as_f64();
    let first = NaiveDate::from_ymd_opt(1900, 3, 1);
    match moment.as_datetime() {
        Some(day) if moment.is_datetime() && serial >= 1.0 && Some(day.date()) >= first => Cell::Moment(day),
        _ => Cell::Number(serial),
    }
}

fn outside(found: &Found, sheet: &str, row: u32, column: u32) -> Diagnostic {
    let cell = cell_name(row, column);
    Diagnostic::error(
        "MC666",
        format!("工作表「{sheet}」的单元格应在 XFD1048576 之内，实际有 {cell}"),
        format!("wanted the cells of the sheet `{sheet}` within XFD1048576, got {cell}"),
    )
    .in_file(&found.name)
    .with_help("在电子表格程序中打开，另存后再用", "open it in a spreadsheet program and save it again")
}

fn unordered(found: &Found, sheet: &str, row: u32) -> Diagnostic {
    let row = u64::from(row) + 1;
    Diagnostic::error(
        "MC666",
        format!("工作表「{sheet}」的行应由上而下存放，实际第 {row} 行出现在更下面的行之后"),
        format!("wanted the rows of the sheet `{sheet}` from top to bottom, got row {row} after a lower one"),
    )
    .in_file(&found.name)
    .with_help("在电子表格程序中打开，另存后再用", "open it in a spreadsheet program and save it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_named_as_spreadsheets_name_them() {
        let names =
            [(0, 0), (2, 25), (2, 26), (9, 701), (0, 702), (1_048_575, 16_383)].map(|(r, c)| cell_name(r, c));
        assert_eq!(names, ["A1", "Z3", "AA3", "ZZ10", "AAA1", "XFD1048576"]);
    }

    #[test]
    fn a_row_holds_what_is_there_only() {
        let mut row = Row::default();
        row.set(16_383, Cell::Text(" ".into()));
        row.set(2, Cell::Number(1.0));
        assert_eq!((row.dense().len(), row.cells.len(), row.is_blank()), (3, 2, false));
        assert_eq!(row.at(1), &Cell::Empty);
    }
}
