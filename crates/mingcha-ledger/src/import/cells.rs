//! The cells of a workbook that somebody sent, as many as hold something, within bounds: a file may say that it has a
//! cell a million rows further on, or unpack to a thousand times its size. Knows no list and no meaning of a cell.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use calamine::{Data, DataRef, Reader, SheetType, Xlsx};
use mingcha_rules::Diagnostic;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use zip::ZipArchive;

use crate::fault;

/// The largest file that is read: the largest lists are packed into a third of it.
const LARGEST: u64 = 256 << 20;
/// What a file may unpack to, and what its cells may take: so much, and so many times its own size, and never more than
/// this. Lists unpack to ten or twenty times their size.
const ROOM: (u64, u64, u64) = (64 << 20, 100, 4 << 30);
/// What a cell takes beside its text.
const CELL: u64 = 48;

/// A workbook, not yet read.
pub(super) struct File {
    /// The file's name, as the user gave it.
    name: String,
    bytes: Vec<u8>,
    room: u64,
}

impl File {
    /// Reads the file at `path`, and makes sure that it unpacks to no more than a workbook of its size does.
    pub(super) fn open(path: &Path) -> Result<Self, Diagnostic> {
        let name = path.display().to_string();
        let failed = |e: io::Error| {
            fault::disk("MC880", ("读文件", "read the file"), path, &e)
                .with_help("检查路径", "check the path")
        };
        let about = fs::metadata(path).map_err(failed)?;
        if !about.is_file() {
            return Err(no_workbook(&name));
        }
        if about.len() > LARGEST {
            return Err(too_large(&name, LARGEST));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        let (least, times, most) = ROOM;
        let room = (least + times * bytes.len() as u64).min(most);
        let file = Self { name, bytes, room };
        file.unpacked()?;
        Ok(file)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a part says of its size may be a lie: all of it is unpacked, and thrown away.
    fn unpacked(&self) -> Result<(), Diagnostic> {
        let archive =
            ZipArchive::new(Cursor::new(self.bytes.as_slice())).map_err(|_| no_workbook(&self.name))?;
        let unpacked = AtomicU64::new(0);
        (0..archive.len()).into_par_iter().try_for_each(|at| {
            let mut archive = archive.clone();
            let mut part = archive.by_index(at).map_err(|_| no_workbook(&self.name))?;
            let name = part.name().map(std::borrow::Cow::into_owned).unwrap_or_default();
            let mut buffer = vec![0_u8; 1 << 16];
            loop {
                let n = part.read(&mut buffer).map_err(|_| no_workbook(&self.name))?;
                if n == 0 {
                    return Ok(());
                }
                if unpacked.fetch_add(n as u64, Ordering::Relaxed) + n as u64 > self.room {
                    return Err(unpacks_too_far(&self.name, &name, self.room));
                }
            }
        })
    }

    /// The names of its sheets.
    pub(super) fn sheets(&self) -> Result<Vec<String>, Diagnostic> {
        self.guarded(|| {
            let book = self.book()?;
            let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
            Ok(sheets.map(|sheet| sheet.name.clone()).collect())
        })
    }

    /// The cells of these sheets, each by a reader of its own: the list and its evidence are long, and each is one stream.
    pub(super) fn read(&self, sheets: Vec<String>) -> Result<BTreeMap<String, Grid>, Diagnostic> {
        let taken = AtomicU64::new(0);
        let read = sheets.into_par_iter().map(|name| {
            let grid = self.guarded(|| self.grid(&name, &taken))?;
            Ok((name, grid))
        });
        read.collect()
    }

    fn grid(&self, sheet: &str, taken: &AtomicU64) -> Result<Grid, Diagnostic> {
        let wrong = |_| no_workbook(&self.name);
        let mut book = self.book()?;
        let mut cells = book.worksheet_cells_reader(sheet).map_err(wrong)?;
        let mut grid = Grid::default();
        while let Some(cell) = cells.next_cell().map_err(wrong)? {
            let value = cell.get_value();
            let text = match value {
                DataRef::Empty => continue,
                DataRef::String(text) if text.trim().is_empty() => continue,
                DataRef::SharedString(text) if text.trim().is_empty() => continue,
                DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.len(),
                DataRef::SharedString(text) => text.len(),
                _ => 0,
            };
            // Many cells may share one text; here each has its own.
            let more = CELL + text as u64;
            if taken.fetch_add(more, Ordering::Relaxed) + more > self.room {
                return Err(sheet_too_full(&self.name, sheet));
            }
            let (row, column) = cell.get_position();
            grid.rows.entry(row).or_default().push((column, Data::from(value.clone())));
        }
        grid.settle();
        Ok(grid)
    }

    fn book(&self) -> Result<Xlsx<Cursor<&[u8]>>, Diagnostic> {
        Xlsx::new(Cursor::new(self.bytes.as_slice())).map_err(|_| no_workbook(&self.name))
    }

    /// What the reader cannot make sense of may stop it in the middle: that is this file's fault and no other's.
    fn guarded<T>(&self, read: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(no_workbook(&self.name)))
    }
}

/// The cells of a sheet that hold something; rows and columns are counted from 0.
#[derive(Default)]
pub(super) struct Grid {
    /// By column, in order.
    rows: BTreeMap<u32, Vec<(u32, Data)>>,
}

impl Grid {
    fn settle(&mut self) {
        for row in self.rows.values_mut() {
            // Of a cell that stands there twice the last counts, as in a spreadsheet program.
            row.reverse();
            row.sort_by_key(|(column, _)| *column);
            row.dedup_by_key(|(column, _)| *column);
        }
    }

    /// The rows in which something stands.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.rows.keys().copied()
    }

    /// The cells of a row in which something stands, with their columns.
    pub(super) fn row(&self, row: u32) -> &[(u32, Data)] {
        self.rows.get(&row).map_or(&[], Vec::as_slice)
    }

    /// What stands in a cell.
    pub(super) fn at(&self, row: u32, column: usize) -> &Data {
        const NOTHING: &Data = &Data::Empty;
        let cells = self.row(row);
        let found =
            u32::try_from(column).ok().and_then(|c| cells.binary_search_by_key(&c, |cell| cell.0).ok());
        found.map_or(NOTHING, |at| &cells[at].1)
    }
}

const AGAIN: (&str, &str) = (
    "把填写的内容抄到原来导出的文件中再导入",
    "copy what was filled in into the file as it was exported and import that",
);

fn no_workbook(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC880",
        "应为 xlsx 工作簿，实际无法读取",
        "wanted an xlsx workbook, got something that cannot be read as one",
    )
    .in_file(file)
    .with_help(
        "用 Excel、WPS 或 LibreOffice 打开，另存为 xlsx 后再导入",
        "open it in a spreadsheet program, save it as xlsx and import that",
    )
}

fn too_large(file: &str, most: u64) -> Diagnostic {
    let most = most >> 20;
    Diagnostic::error(
        "MC824",
        format!("填好的清单应不超过 {most} MB，实际更大"),
        format!("wanted a filled list of at most {most} MB, got a larger file"),
    )
    .in_file(file)
    .with_help(AGAIN.0, AGAIN.1)
}

fn unpacks_too_far(file: &str, part: &str, most: u64) -> Diagnostic {
    let most = most >> 20;
    Diagnostic::error(
        "MC824",
        format!("这样大小的工作簿解压后应不超过 {most} MB，实际更大（在 {part} 处停止）"),
        format!(
            "wanted a workbook of this size to unpack to at most {most} MB, got more (stopped in {part})"
        ),
    )
    .in_file(file)
    .with_help(AGAIN.0, AGAIN.1)
}

fn sheet_too_full(file: &str, sheet: &str) -> Diagnostic {
    Diagnostic::error(
        "MC824",
        format!("工作表“{sheet}”有内容的单元格太多，远超这样大小的清单"),
        format!("the sheet {sheet} has far more cells that hold something than a list of this size"),
    )
    .in_file(file)
    .at_column(format!("{sheet}!"))
    .with_help(AGAIN.0, AGAIN.1)
}
