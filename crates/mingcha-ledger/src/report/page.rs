//! A report as it lies on the desk: facts, figures, sections with a chart and a table each; and its two forms, a page
//! of HTML that needs nothing beside itself and prints on A4, and a workbook. Both show the same cells. Knows no ledger
//! and no person: what comes here is masked already.

use std::path::Path;

use mingcha_rules::{Diagnostic, Lang};
use minijinja::Environment;
use rust_xlsxwriter::{DocProperties, Workbook, XlsxError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::export::list::{Cell, Column, Show};
use crate::export::xlsx::{AsOf, Layout, Styles, height_of, line, page, page_numbers};
use crate::fault;
use crate::words::{clip, count, once_per_rule, say, yuan};

/// Apache ECharts 6.1.0, see `assets/README.md`.
const ECHARTS: &str = include_str!("../../assets/echarts-6.1.0.common.min.js");
const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("charts.js");

/// Figures below this are not for everybody: who knows the place would know the person.
pub(super) const LEAST_PUBLIC: u64 = 3;

/// A report.
#[derive(Debug, Clone)]
pub struct Page {
    pub(super) lang: Lang,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) day: String,
    pub(super) facts: Vec<(String, String)>,
    pub(super) cards: Vec<Card>,
    pub(super) sections: Vec<Section>,
}

/// A figure that stands for itself.
#[derive(Debug, Clone)]
pub(super) struct Card {
    pub(super) label: String,
    pub(super) value: Cell,
    pub(super) note: String,
}

/// A heading and what stands under it.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) title: String,
    /// How the figures were counted.
    pub(super) note: String,
    pub(super) chart: Option<Chart>,
    pub(super) grid: Option<Grid>,
    pub(super) words: Vec<String>,
    /// Whether everybody may see it, small figures withheld.
    pub(super) public: bool,
    /// Whether its money is counted once whatever rules there are: lead by lead, or as it came back by receipt.
    pub(super) exact: bool,
    /// What is to be known of its sums of money: stands on the table.
    pub(super) caveat: Option<String>,
}

/// A chart: what ECharts is told. Its figures stand in the table below it, too.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) option: Value,
    pub(super) height: usize,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether the last row sums up the others.
    pub(super) total: bool,
}

#[derive(Serialize)]
struct HtmlCell {
    class: &'static str,
    text: String,
}

impl Page {
    /// The name of its files, without ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tables, each with its heading and the heading of its columns: for those who check figures.
    #[must_use]
    pub fn tables(&self) -> Vec<(String, Vec<Vec<String>>)> {
        let table = |section: &Section| {
            let grid = section.grid.as_ref()?;
            let head = grid.columns.iter().map(|c| c.title.clone()).collect();
            let rows = grid.rows.iter().map(|row| row.iter().map(|cell| shown(cell).1).collect());
            Some((section.title.clone(), std::iter::once(head).chain(rows).collect()))
        };
        self.sections.iter().filter_map(table).collect()
    }

    /// Its single figures.
    #[must_use]
    pub fn figures(&self) -> Vec<(String, String)> {
        self.cards.iter().map(|card| (card.label.clone(), shown(&card.value).1)).collect()
    }

    /// Says on every table with sums of money that they are sums over several rules.
    pub(super) fn sums_over_rules(&mut self) {
        let sums = |grid: &Grid| grid.columns.iter().any(|column| matches!(column.show, Show::Money));
        for section in self.sections.iter_mut().filter(|section| !section.exact) {
            if section.grid.as_ref().is_some_and(sums) {
                section.caveat = Some(once_per_rule().get(self.lang).to_owned());
            }
        }
    }

    /// What is left of it for everybody: sums over everything, small ones withheld, no chart from which they could be
    /// read.
    pub(super) fn for_everybody(&mut self) {
        self.sections.retain(|section| section.public);
        let small = |cell: &Cell| matches!(cell, Cell::Count(n) if (1..LEAST_PUBLIC).contains(n));
        for card in &mut self.cards {
            withhold(std::slice::from_mut(&mut card.value), small);
        }
        self.cards.retain(|card| matches!(card.value, Cell::Count(_) | Cell::Text(_)));
        for section in &mut self.sections {
            section.chart = None;
            for row in section.grid.iter_mut().flat_map(|grid| &mut grid.rows) {
                withhold(row, small);
            }
        }
    }

    /// As a page that needs nothing beside itself: style, charts and the drawing of charts are in it.
    ///
    /// # Errors
    /// `MC811` where the template cannot be filled.
    pub fn html(&self) -> Result<String, Diagnostic> {
        let failed = |e: minijinja::Error| fault::unwritable(Path::new("page.html"), e);
        // Names ending in .html are escaped.
        let mut environment = Environment::new();
        environment.add_template("page.html", TEMPLATE).map_err(failed)?;
        let template = environment.get_template("page.html").map_err(failed)?;
        template.render(minijinja::value::Serde(self.context())).map_err(failed)
    }

    fn context(&self) -> Value {
        let lang = self.lang;
        let cell = |(cell, column): (&Cell, &Column)| {
            let (class, text) = shown(cell);
            let class = if matches!(column.show, Show::Centred | Show::Severity) { "code" } else { class };
            json!(HtmlCell { class, text })
        };
        let sections: Vec<Value> = self
            .sections
            .iter()
            .enumerate()
            .map(|(at, section)| {
                let grid = section.grid.as_ref().map(|grid| {
                    let head: Vec<Value> = grid
                        .columns
                        .iter()
                        .map(|c| json!({"text": c.title, "class": heading(c.show), "width": c.width}))
                        .collect();
                    let row = |row: &Vec<Cell>| row.iter().zip(&grid.columns).map(cell).collect();
                    let rows: Vec<Vec<Value>> = grid.rows.iter().map(row).collect();
                    json!({"head": head, "rows": rows, "total": grid.total, "size": size(grid.columns.len())})
                });
                json!({
                    "title": section.title, "note": section.note, "words": section.words, "grid": grid,
                    "caveat": section.caveat,
                    "chart": section.chart.as_ref().map(|chart| json!({
                        "id": format!("chart-{at}"), "option": for_script(&chart.option), "height": chart.height,
                    })),
                })
            })
            .collect();
        let cards: Vec<Value> = self
            .cards
            .iter()
            .map(|card| json!({"label": card.label, "value": shown(&card.value).1, "note": card.note}))
            .collect();
        json!({
            "lang": say(lang, "zh-CN", "en"), "title": self.title, "facts": self.facts, "cards": cards,
            "sections": sections, "style": STYLE, "script": SCRIPT, "echarts": ECHARTS,
            "nothing": say(lang, "没有", "none"),
            "charts": self.sections.iter().any(|section| section.chart.is_some()),
            "leads": leads_only(lang),
        })
    }

    /// As a workbook: a first sheet with the facts and the single figures, and a sheet for each table.
    ///
    /// # Errors
    /// `MC811` where the disk refuses.
    pub fn workbook(&self, path: &Path) -> Result<(), Diagnostic> {
        let write = || -> Result<(), XlsxError> {
            let mut workbook = Workbook::new();
            workbook.set_properties(
                &DocProperties::new()
                    .set_title(&self.title)
                    .set_author("Mingcha 明察")
                    .set_creation_datetime(AsOf(&self.day)),
            );
            let styles = Styles::new();
            let header = clip(&format!("{}  {}", self.title, leads_only(self.lang)), 180).replace('&', "&&");
            self.first_sheet(&mut workbook, &styles, &header)?;
            for (at, section) in self.sections.iter().enumerate() {
                let Some(grid) = &section.grid else { continue };
                let sheet = workbook.add_worksheet();
                sheet.set_default_row_height(height_of(1));
                sheet.set_name(sheet_name(at + 1, &section.title))?;
                sheet.write_string_with_format(0, 0, &section.title, &styles.section)?;
                sheet.write_string(1, 0, &section.note)?;
                let mut head = 2;
                if let Some(caveat) = &section.caveat {
                    sheet.write_string_with_format(head, 0, caveat, &styles.caveat)?;
                    head += 1;
                }
                for (at, column) in (0_u16..).zip(&grid.columns) {
                    sheet.set_column_width(at, column.width)?;
                    sheet.write_string_with_format(head, at, &column.title, &styles.head)?;
                }
                for (row, cells) in (head + 1..).zip(&grid.rows) {
                    line(sheet, &styles, &grid.columns, row, cells, self.lang)?;
                }
                page(sheet, (&header, &page_numbers(self.lang)), Layout { frozen: 0, pages: 1 })?;
                sheet.set_repeat_rows(2, head)?;
                sheet.set_freeze_panes(head + 1, 0)?;
            }
            workbook.save(path)
        };
        write().map_err(|e| fault::unwritable(path, e))
    }

    fn first_sheet(&self, workbook: &mut Workbook, styles: &Styles, header: &str) -> Result<(), XlsxError> {
        let sheet = workbook.add_worksheet();
        sheet.set_default_row_height(height_of(1));
        sheet.set_name(say(self.lang, "概览", "Overview"))?;
        sheet.write_string_with_format(0, 0, &self.title, &styles.title)?;
        sheet.set_row_height(0, 26)?;
        let mut row = 1;
        for (name, value) in &self.facts {
            sheet.write_string_with_format(row, 0, name, &styles.fact)?;
            sheet.write_string(row, 1, value)?;
            row += 1;
        }
        row += 1;
        let columns = [
            column(self.lang, "指标", "Figure", 30, Show::Wrapped),
            column(self.lang, "数值", "Value", 24, Show::Money),
            column(self.lang, "如何计数", "How it was counted", 80, Show::Wrapped),
        ];
        for (at, column) in (0_u16..).zip(&columns) {
            sheet.set_column_width(at, column.width)?;
            sheet.write_string_with_format(row, at, &column.title, &styles.head)?;
        }
        for card in &self.cards {
            row += 1;
            let mut columns = columns.clone();
            columns[1].show = match card.value {
                Cell::Count(_) => Show::Count,
                Cell::Money(_) => Show::Money,
                _ => Show::Centred,
            };
            let cells = [Cell::Text(card.label.clone()), card.value.clone(), Cell::Text(card.note.clone())];
            line(sheet, styles, &columns, row, &cells, self.lang)?;
        }
        for section in self.sections.iter().filter(|section| !section.words.is_empty()) {
            row += 2;
            sheet.write_string_with_format(row, 0, &section.title, &styles.section)?;
            for words in &section.words {
                row += 1;
                sheet.write_string(row, 0, words)?;
            }
        }
        page(sheet, (header, &page_numbers(self.lang)), Layout { frozen: 0, pages: 1 })
    }
}

/// What stands on every page.
fn leads_only(lang: Lang) -> &'static str {
    say(
        lang,
        "线索不是结论：须经核实；“属实”指已由人核实认定的线索，不得仅凭本报告停发待遇。",
        "Leads, not verdicts: each has to be checked; “confirmed” means that a person verified it. No payment may be stopped on the strength of this report alone.",
    )
}

/// A column, in the reader's language.
pub(super) fn column(lang: Lang, zh: &str, en: &str, width: u16, show: Show) -> Column {
    Column { title: say(lang, zh, en).to_owned(), width, show }
}

fn withhold(cells: &mut [Cell], small: impl Fn(&Cell) -> bool) {
    if !cells.iter().any(&small) {
        return;
    }
    for cell in cells {
        if small(cell) {
            *cell = Cell::Text(format!("<{LEAST_PUBLIC}"));
        } else if matches!(cell, Cell::Money(_)) {
            *cell = Cell::Blank;
        }
    }
}

/// A cell on the page, and how it is set.
fn shown(cell: &Cell) -> (&'static str, String) {
    match cell {
        Cell::Text(text) => ("text", text.clone()),
        Cell::Date(day) => ("date", day.clone()),
        Cell::Money(fen) => ("number", yuan(*fen)),
        Cell::Count(n) => ("number", count(*n)),
        Cell::Blank => ("text", String::new()),
    }
}

/// How small a table has to be set to fit the width of a page.
fn size(columns: usize) -> &'static str {
    match columns {
        0..=8 => "plain",
        9..=11 => "wide",
        _ => "dense",
    }
}

fn heading(show: Show) -> &'static str {
    match show {
        Show::Money | Show::Count => "number",
        Show::Date => "date",
        _ => "text",
    }
}

/// JSON that can stand inside a script element whatever it holds.
fn for_script(option: &Value) -> String {
    let mut out = String::new();
    for c in option.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A name that a sheet may have: 31 characters, none of seven.
fn sheet_name(number: usize, title: &str) -> String {
    let safe: String = title.chars().map(|c| if r"[]:*?/\'".contains(c) { '-' } else { c }).collect();
    clip(&format!("{number} {safe}"), 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_are_those_that_were_vendored() {
        use sha2::Digest;
        let digest = crate::record::hex(&sha2::Sha256::digest(ECHARTS.as_bytes()));
        assert_eq!(digest, "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5");
        assert!(include_str!("../../assets/README.md").contains(&digest));
        assert!(!ECHARTS.contains("</script"), "it would end its own element");
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let hostile = "<script>alert(\"x\")</script>'&\u{2028}";
        let page = Page {
            lang: Lang::En,
            name: "x".to_owned(),
            title: hostile.to_owned(),
            day: "2026-11-01".to_owned(),
            facts: vec![(hostile.to_owned(), hostile.to_owned())],
            cards: vec![Card {
                label: hostile.to_owned(),
                value: Cell::Text(hostile.to_owned()),
                note: hostile.to_owned(),
            }],
            sections: vec![Section {
                title: hostile.to_owned(),
                note: hostile.to_owned(),
                chart: Some(Chart { option: json!({"name": hostile}), height: 100 }),
                grid: Some(Grid {
                    columns: vec![column(Lang::En, hostile, hostile, 10, Show::Wrapped)],
                    rows: vec![vec![Cell::Text(hostile.to_owned())]],
                    total: false,
                }),
                words: vec![hostile.to_owned()],
                public: true,
                exact: false,
                caveat: Some(hostile.to_owned()),
            }],
        };
        let html = page.html().unwrap();
        let ours = html.replace(ECHARTS, "").replace(SCRIPT, "");
        assert_eq!(ours.matches("<script").count(), 3, "the data, ECharts and the drawing");
        assert!(!ours.contains("<script>alert") && !ours.contains("alert(\"x\")"));
        assert!(ours.contains("&lt;script&gt;"));
        // The chart gets the name back as it was.
        let data = ours.split("type=\"application/json\"").nth(1).unwrap();
        let data = data.split_once('>').unwrap().1.split("</script>").next().unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["name"], hostile);
        let dir = tempfile::tempdir().unwrap();
        page.workbook(&dir.path().join("x.xlsx")).unwrap();
    }

    #[test]
    fn sheets_have_names_that_a_spreadsheet_takes() {
        assert_eq!(sheet_name(3, "a/b:c[d]"), "3 a-b-c-d-");
        assert!(sheet_name(12, &"长".repeat(40)).chars().count() <= 31);
    }
}
