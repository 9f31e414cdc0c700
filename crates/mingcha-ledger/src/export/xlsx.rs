//! Workbooks: a list to work through and to hand back. Heading frozen and filtered, numbers of people and accounts
//! as text, the outcome columns open and everything else locked. Rows go to the disk as they come
//! (constant memory), into the export's own folder: personal data never touches the system's temporary folder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use mingcha_rules::{Diagnostic, Lang, Severity};
use rust_xlsxwriter::{
    Color, DataValidation, DataValidationErrorStyle, DataValidationRule, DocProperties, ExcelDateTime,
    Format, FormatAlign, FormatBorder, Formula, IntoCustomDateTime, ProtectionOptions, Workbook, Worksheet,
    XlsxError,
};

use super::counts::{self, Count};
use super::issue::Addressee;
use super::list::{self, Answer, Cell, Column, Field, Kind, Show, Table};
use super::sheaf::Part;
use super::visits::{self, Cancelled};
use super::{Job, SCHEMA_VERSION, SEVERITIES};
use crate::book::{CellSeals, Keys};
use crate::fault;
use crate::mask::Profile;
use crate::words::{self, CHOICES, clip, say};

/// The sheet that tells an import what it needs.
pub(crate) const META: &str = "_meta";
/// The last column of a list that bears a number: what stands for its locked cells.
pub(crate) const SEAL: &str = "_seal";

/// The most characters that a cell can hold.
const CELL: usize = 32_767;
/// How hard to pack, out of 9: with 6, which is usual, a workbook of 70 MB is 3 % smaller and takes a quarter longer.
const COMPRESSION: u8 = 4;
/// Rows that are handed from thread to thread at a time, and how many such lots may wait.
const CHUNK: usize = 256;
const CHUNKS: usize = 8;
/// Lines of a row beyond which it is cut off on the sheet (not in the cell).
const LINES: usize = 12;

/// Writes a workbook; where the disk is full the library panics in the middle.
pub(super) fn guarded(path: &Path, write: impl FnOnce() -> Result<(), Diagnostic>) -> Result<(), Diagnostic> {
    catch_unwind(AssertUnwindSafe(write))
        .unwrap_or_else(|_| Err(fault::unwritable(path, "the workbook could not be finished")))
}

/// Writes the findings of the whole run, or of one area.
pub(super) fn write(
    job: &Job<'_>,
    area: Option<&str>,
    part: &Part<'_>,
    cancelled: &[Cancelled],
    path: &Path,
) -> Result<(), Diagnostic> {
    let lang = job.lang();
    let mut book = Book::new(job, area, path)?;
    if !cancelled.is_empty() {
        // First, so that it is seen before anybody sets out.
        let (title, table) = (say(lang, "撤销", "Cancelled"), visits::cancelled(job, cancelled));
        book.add(title, table, Some(Kind::Cancelled), Layout { frozen: 5, pages: 1 })?;
    }
    let findings = || {
        let (title, list) = (say(lang, "线索清单", "Findings"), list::findings(job, part));
        book.sheets(title, list, Some(Kind::Findings), Layout { frozen: 5, pages: 2 })
    };
    let evidence = || {
        let (title, evidence) = (say(lang, "证据明细", "Evidence"), list::evidence(job, part));
        book.sheets(title, evidence, Some(Kind::Evidence), Layout { frozen: 3, pages: 1 })
    };
    // Together they are nearly all of the work.
    let (findings, evidence) = rayon::join(findings, evidence);
    book.push(findings?);
    book.push(evidence?);
    let tables = [
        (say(job.lang(), "按严重程度", "By severity"), list::by_severity(job, part)?),
        (say(job.lang(), "按规则", "By rule"), list::by_rule(job, part, job.is_whole(area))?),
        (say(job.lang(), "按地区", "By area"), list::by_area(job, part)?),
    ];
    book.summary(tables.into(), words::once_per_rule().get(lang))?;
    book.choices()?;
    book.meta(part.lines.len() as u64)?;
    book.save()
}

/// Writes the sheet of persons to be visited, with no word of why.
pub(super) fn write_visits(job: &Job<'_>, persons: &[visits::Person], path: &Path) -> Result<(), Diagnostic> {
    let lang = job.lang();
    let area = match &job.addressee {
        Addressee::Area(code) => Some(code.as_str()),
        _ => None,
    };
    let mut book = Book { for_visitors: true, ..Book::new(job, area, path)? };
    let properties = DocProperties::new()
        .set_title(say(lang, "入户核查表", "Visit sheet"))
        .set_author("Mingcha 明察")
        .set_comment(format!("export {}", job.export_id))
        .set_creation_datetime(AsOf(&job.manifest.as_of));
    book.workbook().set_properties(&properties);
    let title = say(lang, "入户核查", "Visits");
    book.add(title, visits::visits(job, persons), Some(Kind::Visits), Layout { frozen: 4, pages: 1 })?;
    book.notes()?;
    book.choices()?;
    book.meta(persons.len() as u64)?;
    book.save()
}

/// Writes the public counts.
pub(super) fn write_counts(job: &Job<'_>, cells: &[Count], path: &Path) -> Result<(), Diagnostic> {
    let mut book = Book::new(job, None, path)?;
    book.add(
        say(job.lang(), "线索统计", "Counts"),
        counts::table(job, cells),
        None,
        Layout { frozen: 0, pages: 1 },
    )?;
    let (title, table) = (say(job.lang(), "规则执行", "Rules"), counts::outcomes(job));
    book.add(title, table, None, Layout { frozen: 0, pages: 1 })?;
    book.meta(cells.len() as u64)?;
    book.save()
}

/// Columns that stay in sight, and pages side by side on paper.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) frozen: u16,
    pub(crate) pages: u16,
}

/// A sheet that was written, and the list of which it is a part.
struct Written {
    sheet: Worksheet,
    name: String,
    kind: Option<Kind>,
    rows: u32,
}

struct Book<'a> {
    job: &'a Job<'a>,
    area: Option<&'a str>,
    path: &'a Path,
    /// Sheets that are not yet in it can be written side by side.
    workbook: Mutex<Workbook>,
    styles: Styles,
    /// Whether it is shown at doors: then it says nothing of leads.
    for_visitors: bool,
    /// Name, kind and rows of every list.
    lists: Vec<(String, Kind, u32)>,
}

impl<'a> Book<'a> {
    fn new(job: &'a Job<'a>, area: Option<&'a str>, path: &'a Path) -> Result<Self, Diagnostic> {
        let mut workbook = Workbook::new();
        workbook.set_zip_compression_level(COMPRESSION);
        let folder = path.parent().unwrap_or(path);
        workbook.set_tempdir(folder).map_err(|e| fault::unwritable(path, e))?;
        // The library would read the clock; the run's own day is the same in every repetition.
        let properties = DocProperties::new()
            .set_title(say(job.lang(), "疑点线索清单", "List of findings"))
            .set_author("Mingcha 明察")
            .set_comment(format!("export {} run {}", job.export_id, job.manifest.run_id))
            .set_creation_datetime(AsOf(&job.manifest.as_of));
        workbook.set_properties(&properties);
        let styles = Styles::new();
        // Numbered here, and not by whichever sheet comes first to use one: equal findings give equal bytes.
        styles.all().for_each(|style| workbook.register_format(style));
        let workbook = Mutex::new(workbook);
        Ok(Self { job, area, path, workbook, styles, for_visitors: false, lists: Vec::new() })
    }

    fn workbook(&mut self) -> &mut Workbook {
        self.workbook.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_sheet(&self) -> Result<Worksheet, XlsxError> {
        let mut workbook = self.workbook.lock().unwrap_or_else(PoisonError::into_inner);
        workbook.new_worksheet_with_constant_memory()
    }

    fn fail(&self) -> impl Fn(XlsxError) -> Diagnostic + use<> {
        let path = self.path.to_path_buf();
        move |e| fault::unwritable(&path, e)
    }

    /// Writes a list and adds it.
    fn add(
        &mut self,
        title: &str,
        table: Table<'_>,
        kind: Option<Kind>,
        layout: Layout,
    ) -> Result<(), Diagnostic> {
        let sheets = self.sheets(title, table, kind, layout)?;
        self.push(sheets);
        Ok(())
    }

    fn push(&mut self, sheets: Vec<Written>) {
        for Written { sheet, name, kind, rows } in sheets {
            self.workbook().push_worksheet(sheet);
            self.lists.extend(kind.map(|kind| (name, kind, rows)));
        }
    }

    /// Writes a list into as many sheets as its rows need; at least one.
    fn sheets(
        &self,
        title: &str,
        table: Table<'_>,
        kind: Option<Kind>,
        layout: Layout,
    ) -> Result<Vec<Written>, Diagnostic> {
        let job = self.job;
        let table = match (&job.issued, kind) {
            (Some(mark), Some(kind)) => {
                sealed(table, mark.keys.cells(mark.number, kind.as_str(), self.area.unwrap_or("")))
            }
            _ => table,
        };
        let Table { columns, rows } = table;
        let (sender, chunks) = sync_channel(CHUNKS);
        // Unpacking and wording the next rows while these are written: either takes half of the time.
        std::thread::scope(|scope| {
            let words = std::thread::Builder::new().spawn_scoped(scope, move || {
                let mut rows = rows;
                let chunk = || rows.by_ref().take(CHUNK).collect::<Vec<_>>();
                // Whoever takes no more rows has failed, and says so.
                std::iter::repeat_with(chunk)
                    .take_while(|chunk| !chunk.is_empty())
                    .try_for_each(|chunk| sender.send(chunk))
                    .ok();
            });
            words.map_err(|e| fault::unwritable(self.path, e))?;
            self.written(title, &columns, &mut chunks.into_iter().flatten(), kind, layout)
        })
    }

    fn written(
        &self,
        title: &str,
        columns: &[Column],
        rows: &mut dyn Iterator<Item = Result<Vec<Cell>, Diagnostic>>,
        kind: Option<Kind>,
        layout: Layout,
    ) -> Result<Vec<Written>, Diagnostic> {
        let (fail, lang) = (self.fail(), self.job.lang());
        let most = self.job.options.sheet_rows.max(2) - 1;
        let mut rows = rows.peekable();
        let mut written = Vec::new();
        while written.is_empty() || rows.peek().is_some() {
            let part = written.len() + 1;
            let name = if part == 1 { title.to_owned() } else { format!("{title} {part}") };
            let mut sheet = self.new_sheet().map_err(&fail)?;
            sheet.set_name(&name).map_err(&fail)?;
            sheet.set_default_row_height(height_of(1));
            let mut last = 0;
            heading(&mut sheet, &self.styles, columns).map_err(&fail)?;
            while last < most
                && let Some(cells) = rows.next()
            {
                last += 1;
                line(&mut sheet, &self.styles, columns, last, &cells?, lang).map_err(&fail)?;
            }
            finish(&mut sheet, columns, last, layout, lang).map_err(&fail)?;
            page(&mut sheet, (&self.page_header(), &self.page_footer()), layout).map_err(&fail)?;
            written.push(Written { sheet, name, kind, rows: last });
        }
        Ok(written)
    }

    /// `caveat` stands over every table: what is to be known of their sums.
    fn summary(&mut self, tables: Vec<(&str, Table<'_>)>, caveat: &str) -> Result<(), Diagnostic> {
        let fail = self.fail();
        let facts = self.facts();
        let (header, footer, lang) = (self.page_header(), self.page_footer(), self.job.lang());
        let mut blocks = Vec::new();
        for (title, Table { columns, rows }) in tables {
            blocks.push((title, columns, rows.collect::<Result<Vec<_>, _>>()?));
        }
        let styles = &self.styles;
        let workbook = self.workbook.get_mut().unwrap_or_else(PoisonError::into_inner);
        let sheet = workbook.add_worksheet();
        sheet.set_name(say(lang, "汇总", "Summary")).map_err(&fail)?;
        sheet.set_default_row_height(height_of(1));
        let mut write = || -> Result<(), XlsxError> {
            let mut row = top(sheet, styles, say(lang, "疑点线索汇总", "Summary of findings"), &facts)?;
            for (title, columns, rows) in &blocks {
                row += 1;
                sheet.write_string_with_format(row, 0, *title, &styles.section)?;
                row += 1;
                sheet.write_string_with_format(row, 0, caveat, &styles.caveat)?;
                row += 1;
                for (at, column) in (0_u16..).zip(columns) {
                    sheet.write_string_with_format(row, at, &column.title, &styles.head)?;
                }
                for cells in rows {
                    row += 1;
                    line(sheet, styles, columns, row, cells, lang)?;
                }
                row += 1;
            }
            for (column, width) in [(0, 24), (1, 36), (2, 20), (3, 12), (4, 12), (5, 18), (6, 50)] {
                sheet.set_column_width(column, width)?;
            }
            page(sheet, (&header, &footer), Layout { frozen: 0, pages: 1 })
        };
        write().map_err(fail)
    }

    /// What a reader must know before reading figures.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let (job, lang) = (self.job, self.job.lang());
        let mut facts = vec![
            (say(lang, "数据截止日期", "As of"), job.manifest.as_of.clone()),
            (say(lang, "运行编号", "Run"), job.manifest.run_id.clone()),
            (say(lang, "导出编号", "Export"), job.export_id.clone()),
            (
                say(lang, "显示方式", "Personal data"),
                match job.options.profile {
                    Profile::Investigator => say(lang, "完整显示，仅限核查人员", "shown in full, for investigators only"),
                    _ => say(lang, "个人信息已遮盖", "masked"),
                }
                .to_owned(),
            ),
            (
                say(lang, "说明", "Note"),
                say(
                    lang,
                    "本清单列出的是需要核查的线索，不是结论；核实之前不得据此停发待遇。",
                    "These are leads to be checked, not verdicts; no payment may be stopped on the strength of this list alone.",
                )
                .to_owned(),
            ),
        ];
        if self.for_visitors {
            facts.pop();
        }
        if let Some(area) = self.area {
            facts.insert(0, (say(lang, "地区", "Area"), job.area_label(area)));
        }
        if let Addressee::Person(name) = &job.addressee {
            facts.insert(0, (say(lang, "承办人", "Assigned to"), name.clone()));
        }
        if let Some(recipient) = &job.options.recipient {
            facts.insert(0, (say(lang, "接收人", "For"), recipient.clone()));
        }
        if let Some(mark) = &job.issued {
            facts.push((say(lang, "导出时间", "Exported at"), mark.zone.shown(mark.at)));
            facts.push((say(lang, "有效期至", "Valid until"), mark.expires.to_owned()));
        }
        facts
    }

    /// How a visit sheet is filled in.
    fn notes(&mut self) -> Result<(), Diagnostic> {
        let fail = self.fail();
        let facts = self.facts();
        let (header, footer, lang) = (self.page_header(), self.page_footer(), self.job.lang());
        let styles = &self.styles;
        let workbook = self.workbook.get_mut().unwrap_or_else(PoisonError::into_inner);
        let sheet = workbook.add_worksheet();
        sheet.set_name(say(lang, "填写说明", "How to fill in")).map_err(&fail)?;
        let mut write = || -> Result<(), XlsxError> {
            let title = say(lang, "入户核查表填写说明", "How to fill in the visit sheet");
            let mut row = top(sheet, styles, title, &facts)?;
            row += 1;
            for (zh, en) in visits::NOTES {
                sheet.write_string_with_format(row, 1, say(lang, zh, en), &styles.prose)?;
                row += 1;
            }
            sheet.set_column_width(0, 16)?;
            sheet.set_column_width(1, 90)?;
            page(sheet, (&header, &footer), Layout { frozen: 0, pages: 1 })
        };
        write().map_err(fail)
    }

    /// The lists behind the drop-downs, in both languages.
    fn choices(&mut self) -> Result<(), Diagnostic> {
        let fail = self.fail();
        let sheet = self.workbook().add_worksheet();
        sheet.set_name(LISTS).map_err(&fail)?;
        for (first, labels) in (0_u16..).step_by(3).zip(CHOICES) {
            for (row, (code, zh, en)) in (0_u32..).zip([("code", "zh", "en")].iter().chain(labels)) {
                for (column, text) in (first..).zip([code, zh, en]) {
                    sheet.write_string(row, column, *text).map_err(&fail)?;
                }
            }
        }
        sheet.set_hidden(true);
        Ok(())
    }

    /// What an import must know; nobody else sees it.
    fn meta(&mut self, rows: u64) -> Result<(), Diagnostic> {
        let fail = self.fail();
        let job = self.job;
        let mut facts = vec![
            ("schema_version", SCHEMA_VERSION.to_string()),
            ("export_id", job.export_id.clone()),
            ("run_id", job.manifest.run_id.clone()),
            ("as_of", job.manifest.as_of.clone()),
            ("rule_pack_hash", job.manifest.rule_pack_hash.clone()),
            ("engine", job.manifest.engine.clone()),
            ("profile", job.options.profile.as_str().to_owned()),
            ("lang", say(job.lang(), "zh", "en").to_owned()),
            ("area", self.area.unwrap_or("").to_owned()),
            ("recipient", job.options.recipient.clone().unwrap_or_default()),
            ("rows", rows.to_string()),
        ];
        for (name, kind, rows) in &self.lists {
            facts.push(("list", format!("{} {rows} {name}", kind.as_str())));
        }
        if let Some(mark) = &job.issued {
            facts.push(("ledger", mark.ledger.clone()));
            facts.push(("issued_at", mark.at.as_stored().to_owned()));
            facts.push(("expires", mark.expires.to_owned()));
            let seal = seal_of_meta(mark.keys, facts.iter().map(|(name, value)| (*name, value.as_str())));
            facts.push(("seal", seal));
        }
        let sheet = self.workbook().add_worksheet();
        sheet.set_name(META).map_err(&fail)?;
        for (row, (name, value)) in (0_u32..).zip(&facts) {
            sheet.write_string(row, 0, *name).map_err(&fail)?;
            sheet.write_string(row, 1, value).map_err(&fail)?;
        }
        sheet.set_very_hidden(true);
        Ok(())
    }

    fn page_header(&self) -> String {
        let (job, lang) = (self.job, self.job.lang());
        let title = match self.for_visitors {
            true => say(lang, "入户核查表", "Visit sheet"),
            false => say(lang, "疑点线索，须经核实，不是结论", "Leads to be checked, not verdicts"),
        };
        let mut parts = vec![title.to_owned()];
        if let Some(recipient) = &job.options.recipient {
            parts.push(format!("{}{recipient}", say(lang, "接收人：", "for ")));
        }
        parts.push(format!("{}{}", say(lang, "导出编号：", "export "), job.export_id));
        if let Some(mark) = &job.issued {
            parts.push(mark.zone.shown(mark.at));
            parts.push(format!("{}{}", say(lang, "有效期至：", "valid until "), mark.expires));
        }
        // `&` begins a code in headers; 255 characters are the most a header takes.
        clip(&parts.join("  "), 180).replace('&', "&&")
    }

    fn page_footer(&self) -> String {
        let job = self.job;
        let pages = page_numbers(job.lang());
        match (&job.issued, &job.options.recipient) {
            (Some(mark), Some(recipient)) => {
                let recipient = clip(recipient, 60).replace('&', "&&");
                // A blank before what may begin with a figure: it would be read as part of the size.
                format!("&L&9{} {recipient}{pages}&R&9 {}", mark.number, mark.zone.shown(mark.at))
            }
            _ => pages,
        }
    }

    fn save(mut self) -> Result<(), Diagnostic> {
        let fail = self.fail();
        let path = self.path;
        self.workbook().save(path).map_err(fail)
    }
}

/// The title and the facts at the head of a sheet; gives the row after them.
fn top(
    sheet: &mut Worksheet,
    styles: &Styles,
    title: &str,
    facts: &[(&'static str, String)],
) -> Result<u32, XlsxError> {
    sheet.write_string_with_format(0, 0, title, &styles.title)?;
    sheet.set_row_height(0, 26)?;
    let mut row = 1;
    for (name, value) in facts {
        sheet.write_string_with_format(row, 0, *name, &styles.fact)?;
        sheet.write_string(row, 1, value)?;
        row += 1;
    }
    Ok(row)
}

/// The middle of a footer.
pub(crate) fn page_numbers(lang: Lang) -> String {
    format!("&C&9{}", say(lang, "第 &P 页，共 &N 页", "Page &P of &N"))
}

/// The list with a hidden column more, which stands for the locked cells of its row, each by itself: so an edited cell
/// can be named when the list comes back.
fn sealed<'t>(table: Table<'t>, seals: CellSeals) -> Table<'t> {
    let Table { mut columns, rows } = table;
    let locked: Vec<bool> = columns.iter().map(|column| column.show.field().is_none()).collect();
    columns.push(Column { title: SEAL.to_owned(), width: 20, show: Show::Hidden });
    let rows = (1_u64..).zip(rows).map(move |(nth, cells)| {
        let mut cells = cells?;
        let mut seal = format!("{nth}:");
        for (at, (cell, _)) in cells.iter().zip(&locked).enumerate().filter(|(_, (_, locked))| **locked) {
            seals.add(&mut seal, nth, at, &plain_cell(cell));
        }
        cells.push(Cell::Text(seal));
        Ok(cells)
    });
    Table { columns, rows: Box::new(rows) }
}

/// A cell as it is compared: the same for every program that may save it.
fn plain_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => plain(&clip(text, CELL)),
        Cell::Date(date) => match ExcelDateTime::parse_from_str(date) {
            Ok(day) => hundredths(day.to_excel()),
            Err(_) => plain(date),
        },
        Cell::Money(fen) => format!("n{fen}"),
        Cell::Count(count) => format!("n{}", u128::from(*count) * 100),
        Cell::Blank => String::new(),
    }
}

/// Text as it is compared: line ends and the blanks around it do not count.
pub(crate) fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    match text.trim() {
        "" => String::new(),
        text => format!("t{text}"),
    }
}

/// A number as it is compared: dates are numbers to a spreadsheet, and money has two places.
pub(crate) fn hundredths(number: f64) -> String {
    format!("n{:.0}", (number * 100.0).round() + 0.0)
}

/// Stands for everything that `_meta` says before it.
pub(crate) fn seal_of_meta<'m>(keys: &Keys, facts: impl Iterator<Item = (&'m str, &'m str)>) -> String {
    let parts: Vec<&str> =
        ["meta"].into_iter().chain(facts.flat_map(|(name, value)| [name, value])).collect();
    keys.seal(&parts)
}

/// The run's day as a document's creation time.
pub(crate) struct AsOf<'a>(pub(crate) &'a str);

impl IntoCustomDateTime for AsOf<'_> {
    fn utc_datetime(self) -> String {
        format!("{}T00:00:00Z", self.0)
    }
}

const LISTS: &str = "_lists";

fn heading(sheet: &mut Worksheet, styles: &Styles, columns: &[Column]) -> Result<(), XlsxError> {
    for (at, column) in (0_u16..).zip(columns) {
        sheet.set_column_width(at, column.width)?;
        if column.show == Show::Hidden {
            sheet.set_column_hidden(at)?;
        }
        let style = if column.show.field().is_some() { &styles.head_fill } else { &styles.head };
        sheet.write_string_with_format(0, at, &column.title, style)?;
    }
    sheet.set_row_height(0, 30)?;
    Ok(())
}

pub(crate) fn line(
    sheet: &mut Worksheet,
    styles: &Styles,
    columns: &[Column],
    row: u32,
    cells: &[Cell],
    lang: Lang,
) -> Result<(), XlsxError> {
    let mut lines = 1;
    for ((at, column), cell) in (0_u16..).zip(columns).zip(cells) {
        let style = styles.of(column.show, cell, lang);
        match cell {
            Cell::Text(text) => {
                let text = clip(text, CELL);
                if column.show == Show::Wrapped {
                    lines = lines.max(height(&text, usize::from(column.width)));
                }
                sheet.write_string_with_format(row, at, text, style)?;
            }
            Cell::Date(date) => match ExcelDateTime::parse_from_str(date) {
                Ok(day) => sheet.write_datetime_with_format(row, at, &day, style).map(|_| ())?,
                // A day before 1900 is beyond a spreadsheet's calendar.
                Err(_) => sheet.write_string_with_format(row, at, date, style).map(|_| ())?,
            },
            Cell::Money(fen) => {
                // A double holds every amount below 90 billion yuan to the fen.
                #[expect(clippy::cast_precision_loss, reason = "14 digits fit into the 53 bits of a double")]
                sheet.write_number_with_format(row, at, *fen as f64 / 100.0, style)?;
            }
            Cell::Count(count) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "counts of rows fit into the 53 bits of a double"
                )]
                sheet.write_number_with_format(row, at, *count as f64, style)?;
            }
            Cell::Blank => {
                sheet.write_blank(row, at, style)?;
            }
        }
    }
    // The library keeps half a kilobyte for every height that it is told; one line is the sheet's own.
    if lines > 1 {
        sheet.set_row_height(row, height_of(lines.min(LINES)))?;
    }
    Ok(())
}

/// The height of a row with so many lines, in points. A sheet that [`line`] writes has that of one as its own.
#[expect(clippy::cast_precision_loss, reason = "at most a handful of lines")]
pub(crate) fn height_of(lines: usize) -> f64 {
    4.0 + 15.0 * lines as f64
}

/// Lines that `text` takes in a column of `width` characters.
fn height(text: &str, width: usize) -> usize {
    text.lines().map(|line| words::width(line).div_ceil(width.saturating_sub(1).max(1)).max(1)).sum()
}

fn finish(
    sheet: &mut Worksheet,
    columns: &[Column],
    last: u32,
    layout: Layout,
    lang: Lang,
) -> Result<(), XlsxError> {
    let right = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    sheet.autofilter(0, 0, last, right)?;
    sheet.set_freeze_panes(1, layout.frozen)?;
    sheet.protect_with_options(&ProtectionOptions {
        use_autofilter: true,
        sort: true,
        format_columns: true,
        format_rows: true,
        ..ProtectionOptions::default()
    });
    if last == 0 {
        return Ok(());
    }
    for (at, column) in (0_u16..).zip(columns) {
        if let Some(validation) = validation(column.show, lang)? {
            sheet.add_data_validation(1, at, last, at, &validation)?;
        }
    }
    Ok(())
}

fn validation(show: Show, lang: Lang) -> Result<Option<DataValidation>, XlsxError> {
    let Some(field) = show.field() else { return Ok(None) };
    let rule = match field.answer() {
        Answer::Choice(labels) => {
            let place = CHOICES.iter().position(|known| *known == labels).unwrap_or(0);
            let column = char::from(b'A' + u8::try_from(3 * place).unwrap_or(0) + say_index(lang));
            let range = format!("'{LISTS}'!${column}$2:${column}${}", labels.len() + 1);
            let message = say(lang, "请从下拉列表中选择", "Choose from the list");
            DataValidation::new()
                .allow_list_formula(Formula::new(range))
                .set_input_title(input_title(field, lang))?
                .set_input_message(message)?
                .set_error_message(message)?
        }
        Answer::Day => DataValidation::new()
            .allow_date(DataValidationRule::GreaterThanOrEqualTo(ExcelDateTime::from_ymd(2000, 1, 1)?))
            .set_error_message(say(
                lang,
                "请填写日期，例如 2026-01-31",
                "Please enter a date such as 2026-01-31",
            ))?,
        Answer::Money => DataValidation::new()
            .allow_decimal_number(DataValidationRule::GreaterThanOrEqualTo(0.0))
            .set_error_message(say(
                lang,
                "请填写金额（元），只填数字",
                "Please enter an amount in yuan, figures only",
            ))?,
        Answer::Text => return Ok(None),
    };
    Ok(Some(
        rule.set_error_title(say(lang, "填写有误", "Not accepted"))?
            .set_error_style(DataValidationErrorStyle::Stop),
    ))
}

fn say_index(lang: Lang) -> u8 {
    match lang {
        Lang::Zh => 1,
        Lang::En => 2,
    }
}

fn input_title(field: Field, lang: Lang) -> &'static str {
    match field {
        Field::State => say(lang, "人员状态", "The person is"),
        Field::Card => say(lang, "社保卡持有人", "Card held by"),
        Field::How => say(lang, "核查方式", "How"),
        _ => say(lang, "结论", "Conclusion"),
    }
}

/// A4 across, the heading (and whom a row is about) on each page.
pub(crate) fn page(
    sheet: &mut Worksheet,
    (header, footer): (&str, &str),
    layout: Layout,
) -> Result<(), XlsxError> {
    sheet.set_landscape();
    sheet.set_paper_size(9);
    sheet.set_print_fit_to_pages(layout.pages, 0);
    sheet.set_repeat_rows(0, 0)?;
    if layout.pages > 1 && layout.frozen > 0 {
        sheet.set_repeat_columns(0, layout.frozen - 1)?;
    }
    sheet.set_margins(0.4, 0.4, 0.6, 0.6, 0.3, 0.3);
    sheet.set_header(format!("&L&9{header}"));
    sheet.set_footer(footer);
    Ok(())
}

pub(crate) struct Styles {
    pub(crate) title: Format,
    pub(crate) section: Format,
    pub(crate) fact: Format,
    pub(crate) prose: Format,
    pub(crate) caveat: Format,
    pub(crate) head: Format,
    head_fill: Format,
    wrapped: Format,
    centred: Format,
    date: Format,
    money: Format,
    count: Format,
    fill_text: Format,
    fill_date: Format,
    fill_money: Format,
    severities: Vec<(Severity, Format)>,
}

impl Styles {
    pub(crate) fn new() -> Self {
        let cell = Format::new()
            .set_align(FormatAlign::Top)
            .set_border(FormatBorder::Thin)
            .set_border_color(Color::RGB(0x00D0_D7DE));
        let fill = cell.clone().set_unlocked().set_background_color(Color::RGB(0x00FF_FBE6)).set_text_wrap();
        let head = Format::new()
            .set_bold()
            .set_font_color(Color::White)
            .set_background_color(Color::RGB(0x001F_3A5F))
            .set_align(FormatAlign::Center)
            .set_align(FormatAlign::VerticalCenter)
            .set_border(FormatBorder::Thin)
            .set_border_color(Color::RGB(0x00D0_D7DE))
            .set_text_wrap();
        let centred = cell.clone().set_align(FormatAlign::Center);
        let colours = [0x00F4_B6B6, 0x00FB_D5B5, 0x00FF_F2CC, 0x00E2_EFDA, 0x00ED_EDED];
        let severities = SEVERITIES.into_iter().zip(colours);
        Self {
            title: Format::new().set_bold().set_font_size(16),
            section: Format::new().set_bold().set_font_size(12),
            fact: Format::new().set_bold().set_align(FormatAlign::Top),
            prose: Format::new().set_align(FormatAlign::Top).set_text_wrap(),
            caveat: Format::new().set_italic().set_font_color(Color::RGB(0x007A_3E00)),
            head_fill: head.clone().set_background_color(Color::RGB(0x00B4_5F06)),
            head,
            wrapped: cell.clone().set_num_format("@").set_text_wrap(),
            centred: centred.clone().set_num_format("@"),
            date: centred.clone().set_num_format("yyyy-mm-dd"),
            money: cell.clone().set_num_format("#,##0.00").set_align(FormatAlign::Right).set_indent(1),
            count: centred.clone().set_num_format("0"),
            fill_text: fill.clone().set_num_format("@"),
            fill_date: fill.clone().set_num_format("yyyy-mm-dd").set_align(FormatAlign::Center),
            fill_money: fill.set_num_format("#,##0.00").set_align(FormatAlign::Right),
            severities: severities
                .map(|(level, colour)| {
                    (level, centred.clone().set_bold().set_background_color(Color::RGB(colour)))
                })
                .collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Format> {
        let Self {
            title, section, fact, prose, head, head_fill, wrapped, centred, date, money, count, ..
        } = self;
        let shown = [title, section, fact, prose, head, head_fill, wrapped, centred, date, money, count];
        let filled = [&self.fill_text, &self.fill_date, &self.fill_money];
        shown.into_iter().chain(filled).chain(self.severities.iter().map(|(_, style)| style))
    }

    fn of(&self, show: Show, cell: &Cell, lang: Lang) -> &Format {
        match (show, cell) {
            // "<3" stands in a column of counts.
            (Show::Count | Show::Money | Show::Date, Cell::Text(_)) => &self.centred,
            (Show::Hidden | Show::Wrapped, _) => &self.wrapped,
            (Show::Centred, _) => &self.centred,
            (Show::Date, _) => &self.date,
            (Show::Money, _) => &self.money,
            (Show::Count, _) => &self.count,
            (Show::Fill(field), _) => match field.answer() {
                Answer::Day => &self.fill_date,
                Answer::Money => &self.fill_money,
                Answer::Choice(_) | Answer::Text => &self.fill_text,
            },
            (Show::Severity, Cell::Text(word)) => {
                let known = self.severities.iter().find(|(level, _)| words::severity(*level, lang) == word);
                known.map_or(&self.centred, |(_, style)| style)
            }
            (Show::Severity, _) => &self.centred,
        }
    }
}
