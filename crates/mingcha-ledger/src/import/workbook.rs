//! A filled workbook, cell by cell: what it says of itself, whether its locked cells are as they left the house, and the
//! rows with what was written into the open ones. Knows no lead and no meaning of an answer; every fault is named with
//! file, sheet and cell, and repeats nothing that stands in one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use calamine::Data;
use mingcha_rules::Diagnostic;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};

use super::cells::{self, Grid};
use crate::book::{CellSeals, Handout, Keys};
use crate::export::{Field, Kind, META, SCHEMA_VERSION, SEAL, hundredths, plain, seal_of_meta};
use crate::record::hex;

/// A workbook that says which export it is, before anything in it is believed.
pub(super) struct Workbook {
    /// Name of the file, as the user gave it.
    pub(super) file: String,
    /// SHA-256 of the file.
    pub(super) sha256: String,
    meta: Vec<(String, String)>,
    /// Those that it says are lists.
    sheets: BTreeMap<String, Grid>,
}

/// A row of a list, with what was filled in.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// What the list calls its lead or its person.
    pub(super) key: String,
    /// The open cells that hold something, with their columns.
    pub(super) answers: BTreeMap<Field, Data>,
}

/// Where a row is: enough to name each of its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) sheet: String,
    /// From 1, as a spreadsheet counts.
    pub(super) row: u32,
    kind: Kind,
}

impl Place {
    /// `线索清单!R5`.
    pub(super) fn cell(&self, field: Field) -> String {
        let column = self.kind.columns().iter().position(|spec| spec.3.field() == Some(field)).unwrap_or(0);
        cell(&self.sheet, self.row - 1, column)
    }

    /// A fault in one of its cells.
    pub(super) fn fault(
        &self,
        field: Field,
        code: &str,
        zh: impl Into<String>,
        en: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, zh, en).in_file(&self.file).at_column(self.cell(field))
    }
}

impl Workbook {
    /// Reads the whole file.
    pub(super) fn open(path: &Path) -> Result<Self, Diagnostic> {
        let file = path.display().to_string();
        let cells = cells::File::open(path)?;
        let sha256 = hex(&Sha256::digest(cells.bytes()));
        let mut names = cells.sheets()?;
        if !names.iter().any(|name| name == META) {
            return Err(not_ours(&file));
        }
        let meta = cells.read(vec![META.to_owned()])?.get(META).map(facts).unwrap_or_default();
        let mut book = Self { file, sha256, meta, sheets: BTreeMap::new() };
        // What it does not call a list is nobody's answer.
        let lists: BTreeSet<String> = book.lists().map(|(.., name)| name.to_owned()).collect();
        names.retain(|name| lists.contains(name));
        book.sheets = cells.read(names)?;
        Ok(book)
    }

    /// The number of the export, unproven.
    pub(super) fn number(&self) -> Option<&str> {
        self.fact("export_id")
    }

    /// The ledger from which it says it comes; none where it was exported without one.
    pub(super) fn ledger(&self) -> Option<&str> {
        self.fact("ledger")
    }

    fn fact(&self, wanted: &str) -> Option<&str> {
        self.meta.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// Its rows, and everything that is not as it was when it left the house. A row with an edited locked cell is a
    /// fault and no row.
    pub(super) fn rows(&self, handout: &Handout, keys: &Keys) -> (Vec<Row>, Vec<Diagnostic>) {
        let (mut rows, mut faults) = (Vec::new(), Vec::new());
        if self.fact("schema_version") != Some(SCHEMA_VERSION.to_string().as_str()) {
            faults.push(other_version(&self.file));
            return (rows, faults);
        }
        let said = self.meta.iter().filter(|(name, _)| name != "seal");
        let seal = seal_of_meta(keys, said.map(|(name, value)| (name.as_str(), value.as_str())));
        if self.fact("seal") != Some(seal.as_str()) {
            let place = format!("{META}!B1");
            faults.push(edited(&self.file, place, "工作簿的说明信息", "what the workbook says of itself"));
            return (rows, faults);
        }
        let area = self.fact("area").unwrap_or("");
        let mut lists: BTreeMap<Kind, (u64, BTreeSet<u64>)> = BTreeMap::new();
        for (kind, claimed, name) in self.lists() {
            let seen = lists.entry(kind).or_default();
            seen.0 += u64::from(claimed);
            let Some(grid) = self.sheets.get(name) else {
                faults.push(no_sheet(&self.file, name));
                continue;
            };
            let sheet = Sheet {
                file: &self.file,
                name,
                kind,
                grid,
                seals: keys.cells(&handout.id, kind.as_str(), area),
            };
            sheet.read(&mut seen.1, &mut rows, &mut faults);
        }
        for (kind, (claimed, seen)) in &lists {
            let missing: Vec<String> =
                (1..=*claimed).filter(|n| !seen.contains(n)).take(20).map(|n| n.to_string()).collect();
            let name = self.lists().find(|(k, ..)| k == kind).map_or("", |(_, _, name)| name);
            if !missing.is_empty() && self.sheets.contains_key(name) {
                faults.push(rows_gone(&self.file, name, &missing));
            }
        }
        (rows, faults)
    }

    /// Kind, rows and name of every list that the export wrote into this file.
    fn lists(&self) -> impl Iterator<Item = (Kind, u32, &str)> {
        self.meta.iter().filter(|(name, _)| name == "list").filter_map(|(_, value)| {
            let (kind, rest) = value.split_once(' ')?;
            let (rows, name) = rest.split_once(' ')?;
            Some((Kind::parse(kind)?, rows.parse().ok()?, name))
        })
    }
}

struct Sheet<'a> {
    file: &'a str,
    name: &'a str,
    kind: Kind,
    grid: &'a Grid,
    seals: CellSeals,
}

/// What a row of a sheet shows before anything is said of it.
struct Looked {
    /// Cells beside the table that hold something.
    beside: Vec<String>,
    /// The first of its cells that holds something.
    filled: Option<usize>,
    /// Which row of the list it was, and its locked cells that are not what they were.
    sealed: Option<(u64, Vec<String>)>,
}

impl Sheet<'_> {
    fn at(&self, row: u32, column: usize) -> &Data {
        self.grid.at(row, column)
    }

    fn read(&self, seen: &mut BTreeSet<u64>, rows: &mut Vec<Row>, faults: &mut Vec<Diagnostic>) {
        let columns = self.kind.columns();
        for (at, (zh, en, ..)) in columns.iter().enumerate() {
            let title = self.at(0, at).to_string();
            if title.trim() != *zh && title.trim() != *en {
                faults.push(edited(self.file, cell(self.name, 0, at), "标题", "a heading"));
                return;
            }
        }
        if *self.at(0, columns.len()) != *SEAL {
            faults.push(edited(self.file, cell(self.name, 0, columns.len()), "标题", "a heading"));
            return;
        }
        let filled: Vec<u32> = self.grid.rows().filter(|row| *row > 0).collect();
        // What stands for a cell costs more than the cell; the order of rows and faults is the sheet's.
        let looked: Vec<(u32, Looked)> = filled.into_par_iter().map(|row| (row, self.look(row))).collect();
        for (row, looked) in looked {
            faults.extend(looked.beside.into_iter().map(|place| beside(self.file, place)));
            let Some(filled) = looked.filled else { continue };
            match looked.sealed {
                None => faults.push(added(self.file, cell(self.name, row, filled))),
                Some((nth, _)) if !seen.insert(nth) => {
                    faults.push(doubled(self.file, cell(self.name, row, 0), nth));
                }
                Some((_, places)) if places.is_empty() => rows.extend(self.row(row)),
                Some((_, places)) => faults.extend(
                    places.into_iter().map(|place| edited(self.file, place, "锁定的单元格", "a locked cell")),
                ),
            }
        }
    }

    fn look(&self, row: u32) -> Looked {
        let columns = self.kind.columns().len();
        let holds = |column: &usize| !plain_data(self.at(row, *column)).is_empty();
        Looked {
            beside: (self.grid.row(row).iter())
                .map(|(column, _)| *column as usize)
                .filter(|column| *column > columns)
                .filter(holds)
                .map(|column| cell(self.name, row, column))
                .collect(),
            filled: (0..=columns).find(holds),
            sealed: self.nth(row).map(|(nth, seals)| (nth, self.unlike(row, nth, &seals))),
        }
    }

    /// Which row of the list it was, and what stands for each locked cell.
    fn nth(&self, row: u32) -> Option<(u64, Vec<String>)> {
        let text = self.at(row, self.kind.columns().len()).to_string();
        let (nth, seals) = text.split_once(':')?;
        if !seals.is_ascii() {
            return None;
        }
        let seals = seals
            .as_bytes()
            .chunks(CellSeals::SIGNS)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect();
        Some((nth.parse().ok()?, seals))
    }

    /// Locked cells that are not what they were.
    fn unlike(&self, row: u32, nth: u64, seals: &[String]) -> Vec<String> {
        let locked: Vec<usize> = (self.kind.columns().iter().enumerate())
            .filter(|(_, spec)| spec.3.field().is_none())
            .map(|(at, _)| at)
            .collect();
        let expected = |at: usize| {
            let mut seal = String::new();
            self.seals.add(&mut seal, nth, at, &plain_data(self.at(row, at)));
            seal
        };
        let unlike: Vec<usize> = (locked.iter().enumerate())
            .filter(|(i, at)| seals.get(*i) != Some(&expected(**at)))
            .map(|(_, at)| *at)
            .collect();
        if unlike.len() == locked.len() || seals.len() != locked.len() {
            // Then it is the seal itself, or a row of another list.
            return vec![cell(self.name, row, self.kind.columns().len())];
        }
        unlike.into_iter().map(|at| cell(self.name, row, at)).collect()
    }

    fn row(&self, row: u32) -> Option<Row> {
        if !matches!(self.kind, Kind::Findings | Kind::Visits) {
            return None;
        }
        let open =
            self.kind.columns().iter().enumerate().filter_map(|(at, spec)| Some((spec.3.field()?, at)));
        let answers = open
            .map(|(field, at)| (field, self.at(row, at)))
            .filter(|(_, data)| !plain_data(data).is_empty())
            .map(|(field, data)| (field, data.clone()))
            .collect();
        Some(Row {
            place: Place {
                file: self.file.to_owned(),
                sheet: self.name.to_owned(),
                row: row + 1,
                kind: self.kind,
            },
            kind: self.kind,
            key: self.at(row, 0).to_string(),
            answers,
        })
    }
}

/// A cell as it is compared; see `export::xlsx`, which writes the same.
fn plain_data(data: &Data) -> String {
    match data {
        Data::Empty => String::new(),
        Data::String(text) | Data::DurationIso(text) => plain(text),
        #[expect(clippy::cast_precision_loss, reason = "a spreadsheet's numbers are doubles")]
        Data::Int(n) => hundredths(*n as f64),
        Data::Float(n) => hundredths(*n),
        Data::DateTime(day) => hundredths(day.as_f64()),
        Data::DateTimeIso(text) => match rust_xlsxwriter::ExcelDateTime::parse_from_str(text) {
            Ok(day) => hundredths(day.to_excel()),
            Err(_) => plain(text),
        },
        Data::Bool(_) | Data::Error(_) => format!("x{data}"),
    }
}

fn facts(grid: &Grid) -> Vec<(String, String)> {
    let fact = |row| (grid.at(row, 0).to_string(), grid.at(row, 1).to_string());
    grid.rows().map(fact).filter(|(name, _)| !name.is_empty()).collect()
}

/// `线索清单!R5`, from row and column counted from 0.
fn cell(sheet: &str, row: u32, column: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + u8::try_from(rest % 26).unwrap_or(0)));
        rest /= 26;
    }
    let letters: String = letters.into_iter().rev().collect();
    format!("{sheet}!{letters}{}", row + 1)
}

const AGAIN: (&str, &str) = (
    "把填写的内容抄到原来导出的文件中再导入，或重新导出",
    "copy what was filled in into the file as it was exported and import that, or export again",
);

fn not_ours(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC880",
        format!("应为 `mingcha export` 写出的工作簿，但缺少工作表 {META}"),
        format!("wanted a workbook written by `mingcha export`, but its sheet {META} is missing"),
    )
    .in_file(file)
    .with_help(AGAIN.0, AGAIN.1)
}

fn other_version(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC880",
        format!("应为第 {SCHEMA_VERSION} 版的清单，实际由其他版本的程序写出"),
        format!("wanted a list of layout version {SCHEMA_VERSION}, got one that another build wrote"),
    )
    .in_file(file)
    .with_help("重新导出", "export it again")
}

fn edited(file: &str, place: String, zh: &str, en: &str) -> Diagnostic {
    Diagnostic::error("MC883", format!("{zh}已被改动"), format!("{en} was edited"))
        .in_file(file)
        .at_column(place)
        .with_help(AGAIN.0, AGAIN.1)
}

fn no_sheet(file: &str, name: &str) -> Diagnostic {
    Diagnostic::error(
        "MC883",
        format!("工作表“{name}”已被删除或改名"),
        format!("the sheet {name} was removed or renamed"),
    )
    .in_file(file)
    .with_help(AGAIN.0, AGAIN.1)
}

fn rows_gone(file: &str, sheet: &str, missing: &[String]) -> Diagnostic {
    let (zh, en) = (missing.join("、"), missing.join(", "));
    Diagnostic::error(
        "MC883",
        format!("锁定的行已被删除：导出时本表（不计标题）的第 {zh} 行"),
        format!("locked rows were removed: no. {en} of this list as exported (without the heading)"),
    )
    .in_file(file)
    .at_column(format!("{sheet}!A1"))
    .with_help(AGAIN.0, AGAIN.1)
}

fn added(file: &str, place: String) -> Diagnostic {
    Diagnostic::error("MC884", "这一行不是导出的清单中的", "this row is not one of the exported list")
        .in_file(file)
        .at_column(place)
        .with_help(
            "删去添加的行；新的情况用 `mingcha findings note` 记录",
            "remove rows that were added; `mingcha findings note` records what is new",
        )
}

fn doubled(file: &str, place: String, nth: u64) -> Diagnostic {
    Diagnostic::error(
        "MC884",
        format!("序号 {nth} 的行出现了两次"),
        format!("the row no. {nth} stands here twice"),
    )
    .in_file(file)
    .at_column(place)
    .with_help("保留一行", "keep one of them")
}

fn beside(file: &str, place: String) -> Diagnostic {
    Diagnostic::warning("MC885", "表格之外的内容不会导入", "what stands beside the table is not taken in")
        .in_file(file)
        .at_column(place)
        .with_help("需要保留的，写入备注列", "what shall be kept belongs into the remarks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_named_as_a_spreadsheet_names_them() {
        assert_eq!(cell("S", 0, 0), "S!A1");
        assert_eq!(cell("S", 4, 25), "S!Z5");
        assert_eq!(cell("S", 9, 26), "S!AA10");
    }

    #[test]
    fn a_cell_compares_alike_whatever_program_saved_it() {
        assert_eq!(plain_data(&Data::Int(3)), plain_data(&Data::Float(3.0)));
        assert_eq!(plain_data(&Data::Float(12345.67)), "n1234567");
        assert_eq!(plain_data(&Data::Float(0.1 + 0.2)), "n30");
        assert_eq!(plain_data(&Data::String(" a\r\nb ".to_owned())), "ta\nb");
        assert_eq!(plain_data(&Data::String(" ".to_owned())), plain_data(&Data::Empty));
        assert_eq!(plain_data(&Data::DateTimeIso("2025-04-01".to_owned())), "n4574800");
        assert_eq!(plain_data(&Data::Float(-0.0)), "n0");
    }
}
