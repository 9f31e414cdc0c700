//! XLSX with Chinese headings: numbers and accounts as text, money as numbers, dates as dates or as text
//! side by side. A table that outgrows a sheet goes on in a further file.

use std::path::{Path, PathBuf};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook};

use crate::SynthError;
use crate::records::{Cell, Column, Record};

use super::text;

/// Data rows of one sheet; Excel ends at 1,048,576 with the heading.
const SHEET_ROWS: u32 = 1_000_000;

/// A workbook being written.
pub(crate) struct XlsxFile {
    path: PathBuf,
    workbook: Workbook,
    columns: &'static [Column],
    dirt: bool,
    day: Format,
    minute: Format,
    /// Rows of this file without the heading.
    rows: u32,
    /// Files that are already full.
    full: u32,
}

impl XlsxFile {
    pub(crate) fn create<R: Record>(path: &Path, dirt: bool) -> Result<Self, SynthError> {
        let workbook = open(R::COLUMNS)?;
        let (day, minute) =
            (Format::new().set_num_format("yyyy-mm-dd"), Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"));
        Ok(Self { path: path.to_owned(), workbook, columns: R::COLUMNS, dirt, day, minute, rows: 0, full: 0 })
    }

    pub(crate) fn append<R: Record>(&mut self, rows: &[R]) -> Result<(), SynthError> {
        for row in rows {
            if self.rows == SHEET_ROWS {
                self.next_file()?;
            }
            self.row(row)?;
        }
        Ok(())
    }

    fn row<R: Record>(&mut self, row: &R) -> Result<(), SynthError> {
        self.rows += 1;
        let line = self.rows;
        let turn = if self.dirt { u64::from(line) } else { 0 };
        let sheet = self.workbook.worksheet_from_index(0)?;
        let mut result = Ok(());
        row.cells(|column, cell| {
            if result.is_err() {
                return;
            }
            let column = column as u16;
            let written = match cell {
                Cell::Date(Some(date)) if turn % 2 == 0 => sheet
                    .write_number_with_format(line, column, serial(date.and_time(NaiveTime::MIN)), &self.day)
                    .map(drop),
                Cell::Moment(Some(at)) if turn % 2 == 0 => {
                    sheet.write_number_with_format(line, column, serial(at), &self.minute).map(drop)
                }
                Cell::Money(Some(fen)) => sheet.write_number(line, column, fen.0 as f64 / 100.0).map(drop),
                Cell::Int(Some(value)) => sheet.write_number(line, column, value as f64).map(drop),
                other => {
                    let mut value = String::new();
                    text::write(other, turn, &mut value);
                    if value.is_empty() { Ok(()) } else { sheet.write_string(line, column, value).map(drop) }
                }
            };
            result = written;
        });
        Ok(result?)
    }

    fn next_file(&mut self) -> Result<(), SynthError> {
        let fresh = open(self.columns)?;
        let mut full = std::mem::replace(&mut self.workbook, fresh);
        self.full += 1;
        self.rows = 0;
        Ok(full.save(self.numbered(self.full))?)
    }

    /// `table-2.xlsx` for the second file of a table.
    fn numbered(&self, number: u32) -> PathBuf {
        let stem = self.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        self.path.with_file_name(format!("{stem}-{number}.xlsx"))
    }

    pub(crate) fn finish(mut self) -> Result<(), SynthError> {
        let path = if self.full == 0 { self.path.clone() } else { self.numbered(self.full + 1) };
        Ok(self.workbook.save(path)?)
    }
}

/// A workbook with one sheet and its headings. The day of making is fixed, so that equal cities are equal bytes.
fn open(columns: &[Column]) -> Result<Workbook, SynthError> {
    let mut workbook = Workbook::new();
    let made = ExcelDateTime::from_ymd(2026, 1, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&made));
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    for (column, heading) in columns.iter().enumerate() {
        sheet.write_string(0, column as u16, heading.heading)?;
    }
    Ok(workbook)
}

/// The number by which Excel keeps a moment: days since 30 December 1899.
fn serial(at: NaiveDateTime) -> f64 {
    let epoch = NaiveDate::from_ymd_opt(1899, 12, 30).unwrap_or_default().and_time(NaiveTime::MIN);
    (at - epoch).num_seconds() as f64 / 86_400.0
}
