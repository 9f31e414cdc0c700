//! Formulas whose value nobody has computed: programs write workbooks so and leave the computing to whoever opens them.
//! Such a cell looks empty, or like 0, and is neither. Also tells whether a workbook asks to be computed when it is
//! opened; computes nothing itself.

use std::fs::File;
use std::io::{BufReader, Read};

use mingcha_rules::Diagnostic;
use zip::ZipArchive;

use super::cells::{Row, cell_name};
use crate::batch::Cell;
use crate::discover::Found;
use crate::headings::Matched;

/// Cells that a message names.
const SHOWN: usize = 10;
const HELP: (&str, &str) = (
    "用电子表格程序打开该工作簿，保存后重新提交",
    "open the workbook in a spreadsheet program, save it, and deliver it again",
);
/// What describes a workbook is far shorter.
const LONGEST: u64 = 1 << 24;

/// Cells of columns that are read, counted.
#[derive(Default)]
pub(super) struct Formulas {
    uncomputed: Cells,
    stale: Cells,
}

#[derive(Default)]
struct Cells {
    count: u64,
    first: Vec<String>,
}

impl Cells {
    fn add(&mut self, row: u32, column: u32) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(cell_name(row, column));
        }
    }

    fn listed(&self, and: &str) -> String {
        let more = if self.count > self.first.len() as u64 { " …" } else { "" };
        format!("{}{more}", self.first.join(and))
    }

    /// The refusal of a sheet with such formulas without a value.
    fn uncomputed(&self, found: &Found, sheet: &str) -> Diagnostic {
        let (n, zh, en) = (self.count, self.listed("、"), self.listed(", "));
        Diagnostic::error(
            "MC667",
            format!("工作表「{sheet}」的公式应有计算结果，实际有 {n} 个没有：{zh}"),
            format!("wanted the formulas of the sheet `{sheet}` with their results, got {n} without: {en}"),
        )
        .in_file(&found.name)
        .with_help(HELP.0, HELP.1)
    }
}

/// Refuses headings that nobody has computed: the column would seem to be missing.
///
/// # Errors
/// When there is one.
pub(super) fn none_in_headings(
    found: &Found,
    sheet: &str,
    row: u32,
    headings: &[Cell],
) -> Result<(), Diagnostic> {
    let mut cells = Cells::default();
    for (column, _) in (0..).zip(headings).filter(|(_, cell)| **cell == Cell::Formula) {
        cells.add(row, column);
    }
    if cells.count == 0 { Ok(()) } else { Err(cells.uncomputed(found, sheet)) }
}

impl Formulas {
    /// Takes note of the formulas of a row.
    pub(super) fn see(&mut self, number: u32, row: &Row, matched: &Matched) {
        for column in matched.columns.iter().flatten().filter_map(|c| u32::try_from(*c).ok()) {
            if row.at(column) == &Cell::Formula {
                self.uncomputed.add(number, column);
            } else if row.stale.contains(&column) {
                self.stale.add(number, column);
            }
        }
    }

    /// What is to be said at the end.
    ///
    /// # Errors
    /// When there is a formula without a value.
    pub(super) fn said(&self, found: &Found, sheet: &str) -> Result<Option<Diagnostic>, Diagnostic> {
        if self.uncomputed.count > 0 {
            return Err(self.uncomputed.uncomputed(found, sheet));
        }
        let Cells { count, .. } = self.stale;
        let (zh, en) = (self.stale.listed("、"), self.stale.listed(", "));
        Ok((count > 0).then(|| {
            Diagnostic::warning(
                "MC667",
                format!("工作簿要求打开时重新计算，工作表「{sheet}」有 {count} 个公式的结果可能是旧的：{zh}"),
                format!("the workbook asks to be computed when it is opened; the results of {count} formulas of the sheet `{sheet}` may be old: {en}"),
            )
            .in_file(&found.name)
            .with_help(HELP.0, HELP.1)
        }))
    }
}

/// Whether a workbook asks to be computed when it is opened: then the values of its formulas are not to be trusted.
///
/// # Errors
/// When the archive cannot be read.
pub(super) fn computed_on_opening(file: File) -> Result<bool, zip::result::ZipError> {
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let described = |name: &str| name.to_lowercase().rsplit('/').next() == Some("workbook.xml");
    let mut names = archive.file_names().filter_map(Result::ok);
    let Some(name) = names.find(|name| described(name)).map(|name| name.into_owned()) else {
        return Ok(false);
    };
    drop(names);
    let mut text = Vec::new();
    archive.by_name(&name)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(asks(&String::from_utf8_lossy(&text)))
}

fn asks(workbook: &str) -> bool {
    let Some((_, rest)) = workbook.split_once("calcPr") else { return false };
    let element = rest.split('>').next().unwrap_or_default();
    let Some((_, value)) = element.split_once("fullCalcOnLoad") else { return false };
    let value = value.trim_start().trim_start_matches('=').trim_start();
    ["\"1\"", "'1'", "\"true\"", "'true'"].iter().any(|yes| value.starts_with(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workbook_asks_in_one_attribute_of_one_element() {
        assert!(asks("<workbook><calcPr calcId=\"1\" fullCalcOnLoad=\"1\"/></workbook>"));
        assert!(asks("<x:calcPr fullCalcOnLoad = 'true' />"));
        for other in [
            "<calcPr calcId=\"1\"/><x fullCalcOnLoad=\"1\"/>",
            "<calcPr fullCalcOnLoad=\"0\"/>",
            "<workbook/>",
        ] {
            assert!(!asks(other), "{other}");
        }
    }
}
