//! Workbooks: XLSX as a stream of cells, XLS as a whole (its rows end at 65,536). Cells keep their kind: a
//! number is never taken for text, a date cell is a date in either of the two calendars. What is really inside a
//! file is told by its first bytes, since many systems call a web page `.xls`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use calamine::{Dimensions, Reader, SheetType, SheetVisible, Xls, Xlsx};
use mingcha_rules::{Contract, Diagnostic};

use super::cells::{self, EachRow, Row};
use super::formulas::{self, Formulas};
use super::merges::{self, Merges};
use super::{BATCH_ROWS, How, Opened, Sink, Unit, fingerprint};
use crate::batch::{Cell, Column, RawBatch, Value, Values};
use crate::discover::{Dates, Found};
use crate::fault;
use crate::headings::{LAST_HEADING_ROW, Matched, matched};

pub(super) const WANTED: (&str, &str) = ("Excel 工作簿", "a workbook");
const ZIP: &[u8] = b"PK\x03\x04";
const COMPOUND: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// How a workbook is read.
#[derive(Debug, Clone)]
pub(crate) struct SheetFacts {
    /// Whether it is of the old binary kind.
    pub(crate) old: bool,
    /// Sheet.
    pub(crate) sheet: String,
    /// Row of the headings, from 0.
    header_row: u32,
    /// Whether serial numbers count from 1904.
    epoch_1904: bool,
    /// Cells merged over rows of data.
    merges: Merges,
}

enum Book {
    /// The new kind; whether it asks to be computed when it is opened.
    New(Box<Xlsx<BufReader<File>>>, bool),
    Old(Box<Xls<BufReader<File>>>),
}

/// Looks at the sheets and the headings.
pub(super) fn open(found: &Found, contract: &Contract) -> Result<Opened, Vec<Diagnostic>> {
    let (bytes, sha256) = fingerprint(found, |_| {}).map_err(|d| vec![d])?;
    let mut book = Book::open(found).map_err(|d| vec![d])?;
    let names = book.sheets();
    let hidden = book.hidden();
    let sheet = chosen(found, &names, &hidden).map_err(|d| vec![d])?;
    let mut facts = SheetFacts {
        old: matches!(book, Book::Old(_)),
        sheet,
        header_row: found.mapping.header_row.unwrap_or(1).saturating_sub(1),
        epoch_1904: book.epoch_1904(),
        merges: Merges::default(),
    };
    let merged = book.merged(found, &facts.sheet).map_err(|d| vec![d])?;
    let headings = book.headings(found, &facts, &merged).map_err(|d| vec![d])?;
    let all = || names.iter().chain(&hidden);
    let matched = headings
        .ok_or_else(|| vec![no_headings(&found.name)])
        .and_then(|headings| matched(contract, &headings, &found.name))
        .map_err(|faults| {
            merges::in_headings(&merged, found, &facts.sheet, facts.header_row)
                .or_else(|| book.elsewhere(found, contract, &facts, all()))
                .map_or(faults, |d| vec![d])
        })?;
    facts.merges = Merges::plan(&merged, contract, &matched, facts.header_row);
    let mut notes = Vec::new();
    if found.mapping.sheet.is_none() {
        let twins: Vec<(String, u64)> = all()
            .filter(|name| **name != facts.sheet)
            .filter_map(|name| Some((name.clone(), book.heading_row(found, contract, name)?)))
            .collect();
        if !twins.is_empty() {
            return Err(vec![several_sheets(found, &facts.sheet, &twins)]);
        }
        let others = book.filled(found, names.iter().filter(|n| **n != facts.sheet));
        if !others.is_empty() {
            notes.push(other_sheets(&found.name, &facts.sheet, &others));
        }
    }
    Ok(Opened {
        found: found.clone(),
        matched,
        how: How::Sheet(facts),
        bytes,
        sha256,
        rows: None,
        dates: Dates::default(),
        notes,
        units: vec![Unit::whole()],
    })
}

/// Reads all rows of the sheet; what should be known about its cells.
pub(super) fn read(
    found: &Found,
    matched: &Matched,
    facts: &SheetFacts,
    sink: &mut Sink<'_>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut book = Book::open(found)?;
    let mut batch = Batch::new(matched, facts);
    let (mut merges, mut formulas) = (facts.merges.clone(), Formulas::default());
    book.rows(found, &facts.sheet, &mut |number, mut row| {
        if number > facts.header_row {
            // Rows without any cell are not in the file at all; they keep their number.
            while batch.next < number - facts.header_row {
                batch.push(&Row::default(), sink)?;
            }
            formulas.see(number, &row, matched);
            merges.fill(number, &mut row);
            batch.push(&row, sink)?;
        }
        Ok(true)
    })?;
    batch.flush(sink)?;
    let stale = formulas.said(found, &facts.sheet)?;
    let filled = merges.said(found, &facts.sheet)?;
    Ok(stale.into_iter().chain(filled).collect())
}

struct Batch<'a> {
    matched: &'a Matched,
    facts: &'a SheetFacts,
    columns: Vec<Vec<Cell>>,
    blank: Vec<usize>,
    rows: usize,
    /// Data row of the next row.
    next: u32,
}

impl<'a> Batch<'a> {
    fn new(matched: &'a Matched, facts: &'a SheetFacts) -> Self {
        let columns = vec![Vec::new(); matched.columns.len()];
        Self { matched, facts, columns, blank: Vec::new(), rows: 0, next: 1 }
    }

    fn push(&mut self, row: &Row, sink: &mut Sink<'_>) -> Result<(), Diagnostic> {
        if row.is_blank() {
            self.blank.push(self.rows);
        }
        for (out, column) in self.columns.iter_mut().zip(&self.matched.columns) {
            if let Some(column) = column {
                out.push(u32::try_from(*column).map_or(Cell::Empty, |column| row.at(column).clone()));
            }
        }
        self.rows += 1;
        self.next += 1;
        if self.rows == BATCH_ROWS { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Diagnostic> {
        if self.rows == 0 {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let epoch_1904 = self.facts.epoch_1904;
        let columns = self
            .columns
            .iter_mut()
            .zip(&self.matched.columns)
            .map(|(cells, column)| match column {
                Some(_) => Column::Cells { cells: std::mem::take(cells), epoch_1904 },
                None => Column::Missing,
            })
            .collect();
        let first_row = u64::from(self.next) - rows as u64;
        sink(RawBatch {
            first_row,
            rows,
            columns,
            broken: Vec::new(),
            blank: std::mem::take(&mut self.blank),
        })
    }
}

fn heading(cell: &Cell, epoch_1904: bool) -> String {
    match Values::Cells(std::slice::from_ref(cell), epoch_1904).at(0) {
        Value::Text(text) => text.to_owned(),
        other => other.shown().unwrap_or_default(),
    }
}

impl Book {
    fn open(found: &Found) -> Result<Self, Diagnostic> {
        let failed = |e: &dyn std::fmt::Display| fault::cannot_read(&found.name, WANTED, e);
        let mut file = File::open(&found.path).map_err(|e| failed(&e))?;
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head).map_err(|e| failed(&e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        if head.starts_with(ZIP) {
            let book = Xlsx::new(BufReader::new(file)).map_err(|e| failed(&e))?;
            let again = File::open(&found.path).map_err(|e| failed(&e))?;
            let on_opening = formulas::computed_on_opening(again).map_err(|e| failed(&e))?;
            return Ok(Self::New(Box::new(book), on_opening));
        }
        if head.starts_with(COMPOUND) {
            if is_encrypted(&mut file).map_err(|e| failed(&e))? {
                return Err(password(&found.name));
            }
            let book = Xls::new(BufReader::new(file)).map_err(|e| match e {
                calamine::XlsError::Password => password(&found.name),
                other => failed(&other),
            })?;
            return Ok(Self::Old(Box::new(book)));
        }
        Err(not_a_workbook(&found.name))
    }

    fn sheets(&self) -> Vec<String> {
        let all = match self {
            Self::New(book, _) => book.sheets_metadata(),
            Self::Old(book) => book.sheets_metadata(),
        };
        all.iter()
            .filter(|s| s.typ == SheetType::WorkSheet && s.visible == SheetVisible::Visible)
            .map(|s| s.name.clone())
            .collect()
    }

    fn hidden(&self) -> Vec<String> {
        let all = match self {
            Self::New(book, _) => book.sheets_metadata(),
            Self::Old(book) => book.sheets_metadata(),
        };
        all.iter()
            .filter(|s| s.typ == SheetType::WorkSheet && s.visible != SheetVisible::Visible)
            .map(|s| s.name.clone())
            .collect()
    }

    /// The headings, those included that are merged with cells above them.
    fn headings(
        &mut self,
        found: &Found,
        facts: &SheetFacts,
        merged: &[Dimensions],
    ) -> Result<Option<Vec<String>>, Diagnostic> {
        let last = facts.header_row;
        let mut above: Vec<(u32, Cell)> = Vec::new();
        let mut headings = None;
        self.rows(found, &facts.sheet, &mut |number, mut row| {
            if number < last {
                let down =
                    merged.iter().filter(|d| d.start.0 == number && d.end.0 == last && d.start.1 == d.end.1);
                above.extend(down.map(|d| (d.start.1, row.at(d.start.1).clone())));
            } else if number == last {
                for (column, cell) in above.drain(..) {
                    row.set(column, cell);
                }
                let cells = row.dense();
                formulas::none_in_headings(found, &facts.sheet, number, &cells)?;
                headings = Some(cells.iter().map(|c| heading(c, facts.epoch_1904)).collect());
            }
            Ok(number < last)
        })?;
        Ok(headings)
    }

    /// The row, from 1, of a sheet's first ten that has all required headings.
    fn heading_row(&mut self, found: &Found, contract: &Contract, sheet: &str) -> Option<u64> {
        let epoch_1904 = self.epoch_1904();
        let mut place = None;
        let looked = self.rows(found, sheet, &mut |row, cells| {
            let row = u64::from(row) + 1;
            let headings: Vec<String> = cells.dense().iter().map(|c| heading(c, epoch_1904)).collect();
            if row <= LAST_HEADING_ROW && matched(contract, &headings, &found.name).is_ok() {
                place = Some(row);
            }
            Ok(place.is_none() && row < LAST_HEADING_ROW)
        });
        looked.ok().and(place)
    }

    /// Where the headings are, when they are not where they were looked for: further down, or in one other sheet.
    fn elsewhere<'a>(
        &mut self,
        found: &Found,
        contract: &Contract,
        facts: &SheetFacts,
        all: impl Iterator<Item = &'a String>,
    ) -> Option<Diagnostic> {
        let asked = &found.mapping;
        if asked.header_row.is_none()
            && let Some(row) = self.heading_row(found, contract, &facts.sheet)
        {
            return Some(fault::later_headings(found, asked.sheet.as_deref(), row));
        }
        if asked.sheet.is_some() {
            return None;
        }
        let others: Vec<(&String, u64)> = all
            .filter(|name| **name != facts.sheet)
            .filter_map(|name| Some((name, self.heading_row(found, contract, name)?)))
            .collect();
        match others.as_slice() {
            [(sheet, row)] => Some(other_sheet(found, &facts.sheet, sheet, *row)),
            _ => None,
        }
    }

    fn epoch_1904(&self) -> bool {
        match self {
            Self::New(book, _) => book.has_1904_epoch(),
            Self::Old(book) => book.has_1904_epoch(),
        }
    }

    /// Hands out the rows that have cells.
    fn rows(&mut self, found: &Found, sheet: &str, each: &mut EachRow<'_>) -> Result<(), Diagnostic> {
        match self {
            Self::New(book, on_opening) => cells::of_new(book, found, sheet, *on_opening, each),
            Self::Old(book) => cells::of_old(book, found, sheet, each),
        }
    }

    /// The merged cells of a sheet.
    fn merged(&mut self, found: &Found, sheet: &str) -> Result<Vec<Dimensions>, Diagnostic> {
        let failed = |e: &dyn std::fmt::Display| fault::cannot_read(&found.name, WANTED, e);
        match self {
            Self::New(book, _) => book.merge_cells_by_sheet_name(sheet).map_err(|e| failed(&e)),
            Self::Old(book) => book.merge_cells_by_sheet_name(sheet).map_err(|e| failed(&e)),
        }
    }

    /// Of these sheets, those that hold anything.
    fn filled<'a>(&mut self, found: &Found, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        let mut out = Vec::new();
        for name in names {
            let mut any = false;
            let looked = self.rows(found, name, &mut |_, cells| {
                any |= !cells.is_blank();
                Ok(!any)
            });
            if any || looked.is_err() {
                out.push(name.clone());
            }
        }
        out
    }
}

/// An encrypted workbook is a compound file with a stream of this name (UTF-16).
fn is_encrypted(file: &mut File) -> std::io::Result<bool> {
    let needle: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut window = Vec::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut found = false;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        window.extend_from_slice(&buffer[..n]);
        if window.windows(needle.len()).any(|w| w == needle) {
            found = true;
            break;
        }
        let keep = window.len().saturating_sub(needle.len());
        window.drain(..keep);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

fn chosen(found: &Found, names: &[String], hidden: &[String]) -> Result<String, Diagnostic> {
    match &found.mapping.sheet {
        Some(asked) if names.contains(asked) || hidden.contains(asked) => Ok(asked.clone()),
        Some(asked) => Err(Diagnostic::error(
            "MC624",
            format!("应有工作表「{asked}」，实际只有：{}", names.join("、")),
            format!("wanted the sheet `{asked}`, got only: {}", names.join(", ")),
        )
        .in_file(&found.name)
        .with_help("改正映射中的 sheet", "mend `sheet` in the mapping")),
        None => names.first().cloned().ok_or_else(|| no_headings(&found.name)),
    }
}

/// Other sheets look like data of the dataset as well: reading only one would lose rows in silence.
fn several_sheets(found: &Found, read: &str, twins: &[(String, u64)]) -> Diagnostic {
    let names: Vec<&str> = std::iter::once(read).chain(twins.iter().map(|t| t.0.as_str())).collect();
    let header_row = u64::from(found.mapping.header_row.unwrap_or(1));
    let lines = fault::source_lines(found, Some(read), header_row);
    Diagnostic::error(
        "MC629",
        format!("应只有一个工作表（含隐藏的）有该数据集的表头，实际有：{}", names.join("、")),
        format!("wanted one sheet, hidden ones included, with the headings of the dataset, got: {}", names.join(", ")),
    )
    .in_file(&found.name)
    .with_help(
        format!("都是数据时，把每个工作表另存为单独的文件；只用其中一个时，在 mingcha.toml 中写明，如：\n{lines}"),
        format!("where all of them are data, save each as a file of its own; to read only one, say it in mingcha.toml, like:\n{lines}"),
    )
}

/// The headings are in another sheet.
fn other_sheet(found: &Found, first: &str, sheet: &str, row: u64) -> Diagnostic {
    let lines = fault::source_lines(found, Some(sheet), row);
    Diagnostic::error(
        "MC629",
        format!("首个工作表「{first}」应有该数据集的表头，实际表头在工作表「{sheet}」"),
        format!("wanted the headings in the first sheet `{first}`, got them in the sheet `{sheet}`"),
    )
    .in_file(&found.name)
    .with_help(format!("在 mingcha.toml 中写明：\n{lines}"), format!("say it in mingcha.toml:\n{lines}"))
}

fn other_sheets(file: &str, read: &str, others: &[String]) -> Diagnostic {
    Diagnostic::warning(
        "MC625",
        format!("只读取了工作表「{read}」，未读取：{}", others.join("、")),
        format!("only the sheet `{read}` was read, not: {}", others.join(", ")),
    )
    .in_file(file)
    .with_help(
        "如其他工作表也是数据，请另存为单独的文件，或在映射中写明 sheet",
        "where the others are data as well, save them as files of their own, or say the sheet in a mapping",
    )
}

fn password(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC623",
        "需要未加密的工作簿，实际有密码保护",
        "wanted a workbook without a password, got a protected one",
    )
    .in_file(file)
    .with_help("去掉密码后另存", "remove the password and save it again")
}

fn not_a_workbook(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC620",
        "需要 Excel 工作簿，实际是别的内容（网页或文本常被命名为 .xls）",
        "wanted a workbook, got something else (web pages and text are often called .xls)",
    )
    .in_file(file)
    .with_help(
        "在 Excel 中打开并另存为 .xlsx，或改为 .csv",
        "open it in a spreadsheet and save it as .xlsx, or rename it to .csv",
    )
}

fn no_headings(file: &str) -> Diagnostic {
    Diagnostic::error("MC626", "需要一行表头，实际没有", "wanted a row of headings, got none")
        .in_file(file)
        .with_help(
            "表头不在第一行时，在映射中写明 header_row",
            "where it is not the first row, say header_row in a mapping",
        )
}
