//! The only module that writes to the terminal: results to stdout, diagnostics to stderr, in the reader's
//! language. Knows how things look and not what they mean.
//!
//! Whatever is shown may come from an extract: what would act on a terminal instead of being seen is a blank, also in a
//! pipe, and in JSON an escape. Everything goes through [`shown`], [`inside`] or [`escaped`].
//!
//! A pipe that closes early (`mingcha ... | head`) is no error; any other failed write is kept and reported
//! at the end by [`Screen::finish`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level as Weight, Origin, Renderer, Snippet};
use comfy_table::{Cell, CellAlignment, ContentArrangement, TableComponent, presets};
use mingcha_rules::diagnostic::{Diagnostic, Level};
use mingcha_rules::text::{Lang, Text, is_unseen, printable};
use serde::Serialize;

use crate::exit::{Failure, disk_error};

/// Where everything is shown.
pub(crate) struct Screen {
    /// The reader's language.
    pub(crate) lang: Lang,
    colour: bool,
    texts: RefCell<BTreeMap<String, String>>,
    broken: RefCell<Option<io::Error>>,
}

impl Screen {
    /// The terminal, or what stands in its place.
    pub(crate) fn new(lang: Lang, no_colour: bool) -> Self {
        let colour = !no_colour && io::stderr().is_terminal();
        Self { lang, colour, texts: RefCell::default(), broken: RefCell::default() }
    }

    /// The text in the reader's language.
    pub(crate) fn say<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        match self.lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// The text in the reader's language.
    pub(crate) fn text<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.lang)
    }

    /// Remembers the text of a file that is not on the disk (a shipped rule), for excerpts.
    pub(crate) fn remember(&self, file: &str, text: &str) {
        self.texts.borrow_mut().insert(file.to_owned(), text.to_owned());
    }

    /// One line of the result.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        self.write(&mut io::stdout().lock(), &shown(text.as_ref()), true);
    }

    /// A result that is already whole lines.
    pub(crate) fn raw(&self, text: &[u8]) {
        let result = io::stdout().lock().write_all(text);
        self.keep(result);
    }

    /// A result for machines: one JSON value.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.write(&mut io::stdout().lock(), &escaped(&text), true),
            Err(error) => self.keep(Err(error.into())),
        }
    }

    /// A remark beside the result.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.write(&mut io::stderr().lock(), &shown(text.as_ref()), true);
    }

    /// A remark that is already whole lines.
    pub(crate) fn note_raw(&self, text: &str) {
        self.write(&mut io::stderr().lock(), &shown(text), false);
    }

    /// Diagnostics, each with its excerpt where there is one.
    pub(crate) fn diagnostics(&self, all: &[Diagnostic]) {
        for diagnostic in all {
            // With colours in it, and therefore cleaned before.
            self.write(&mut io::stderr().lock(), &self.drawn(diagnostic), true);
            self.note("");
        }
    }

    /// A table of the result.
    pub(crate) fn table(&self, table: &Table) {
        self.line(table.drawn(io::stdout().is_terminal()));
    }

    /// An error if some output could not be written.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let flushed = io::stdout().lock().flush();
        self.keep(flushed);
        match self.broken.borrow_mut().take() {
            None => Ok(()),
            Some(error) => {
                Err(Failure::new(crate::exit::Exit::Internal, disk_error(Path::new("stdout"), &error)))
            }
        }
    }

    fn write(&self, to: &mut dyn Write, text: &str, newline: bool) {
        let mut result = to.write_all(text.as_bytes());
        if newline {
            result = result.and_then(|()| to.write_all(b"\n"));
        }
        self.keep(result);
    }

    fn keep(&self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.broken.borrow_mut().get_or_insert(error);
        }
    }

    fn drawn(&self, diagnostic: &Diagnostic) -> String {
        let weight = match diagnostic.level {
            Level::Error => Weight::ERROR.with_name(self.say("错误", "error")),
            Level::Warning => Weight::WARNING.with_name(self.say("警告", "warning")),
        };
        let mut group = weight
            .primary_title(shown(self.text(&diagnostic.message)))
            .id(diagnostic.code.as_str())
            .elements(Vec::<Origin<'_>>::new());
        let place = &diagnostic.place;
        let text = place.file.as_deref().and_then(|file| self.source(file)).map(|text| inside(&text));
        let excerpt = match (&place.file, &text, &place.span) {
            (Some(file), Some(text), Some(span))
                if span.end <= text.len()
                    && text.is_char_boundary(span.start)
                    && text.is_char_boundary(span.end) =>
            {
                Some(
                    Snippet::source(text.as_str())
                        .path(printable(file))
                        .annotation(AnnotationKind::Primary.span(span.clone())),
                )
            }
            _ => None,
        };
        let drawn = excerpt.is_some();
        match excerpt {
            Some(snippet) => group = group.element(snippet),
            None => {
                if let Some(place) = self.place(diagnostic) {
                    group = group.element(Origin::path(printable(&place).into_owned()));
                }
            }
        }
        let help = diagnostic.help.as_ref().map(|help| {
            Group::with_title(
                Weight::HELP.with_name(self.say("建议", "help")).secondary_title(shown(self.text(help))),
            )
        });
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        // Two groups are joined by a gutter, which looks lost where there is no excerpt.
        let (first, rest): (Vec<Group<'_>>, Vec<Group<'_>>) = match (help, drawn) {
            (Some(help), true) => (vec![group, help], Vec::new()),
            (Some(help), false) => (vec![group], vec![help]),
            (None, _) => (vec![group], Vec::new()),
        };
        let mut text = renderer.render(&first);
        if !rest.is_empty() {
            text.push('\n');
            text.push_str(&renderer.render(&rest));
        }
        text
    }

    /// `file, row 12, column 身份证号`, or `file:12:3` for text files.
    fn place(&self, diagnostic: &Diagnostic) -> Option<String> {
        let place = &diagnostic.place;
        let mut out = place.file.clone()?;
        let is_text = [".yaml", ".yml", ".sql", ".toml"].iter().any(|end| out.ends_with(end));
        if is_text {
            for part in [place.line.map(|n| n.to_string()), place.column.clone()].into_iter().flatten() {
                out.push(':');
                out.push_str(&part);
            }
            return Some(out);
        }
        if let Some(row) = place.line {
            out.push_str(&match self.lang {
                Lang::Zh => format!("，数据第 {row} 行"),
                Lang::En => format!(", data row {row}"),
            });
        }
        // A cell of a workbook, `线索清单!R5`, or a column of an extract.
        if let Some(cell) = place.column.as_ref().filter(|column| column.contains('!')) {
            out.push_str(&match self.lang {
                Lang::Zh => format!("，单元格 {cell}"),
                Lang::En => format!(", cell {cell}"),
            });
        } else if let Some(column) = &place.column {
            out.push_str(&match self.lang {
                Lang::Zh => format!("，“{column}”列"),
                Lang::En => format!(", column {column}"),
            });
        }
        Some(out)
    }

    /// Text of a small file that a diagnostic points into.
    fn source(&self, file: &str) -> Option<String> {
        if let Some(text) = self.texts.borrow().get(file) {
            return Some(text.clone());
        }
        let is_text = [".yaml", ".yml", ".sql", ".toml"].iter().any(|end| file.ends_with(end));
        is_text.then(|| std::fs::read_to_string(file).ok()).flatten()
    }
}

/// Whole lines as they may be shown.
fn shown(text: &str) -> Cow<'_, str> {
    let unseen = |c: char| c != '\n' && is_unseen(c);
    if text.contains(unseen) { Cow::Owned(text.replace(unseen, " ")) } else { Cow::Borrowed(text) }
}

/// The same for a text into which places point: none of them moves.
fn inside(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c == '\n' || !is_unseen(c) => out.push(c),
            c => out.extend(std::iter::repeat_n(' ', c.len_utf8())),
        }
    }
    out
}

/// JSON as it may be shown: it escapes some of what is not seen by itself, and the rest stands inside strings, where an
/// escape means the same.
fn escaped(json: &str) -> Cow<'_, str> {
    let unseen = |c: char| c != '\n' && is_unseen(c);
    if !json.contains(unseen) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if unseen(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A table: headings, rows, and which columns are numbers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    numbers: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; a heading that begins with `#` stands over numbers.
    pub(crate) fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        for (i, word) in head.into_iter().enumerate() {
            if word.starts_with('#') {
                table.numbers.push(i);
            }
            table.head.push(word.trim_start_matches('#').to_owned());
        }
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn drawn(&self, terminal: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, ' ');
        table.set_content_arrangement(if terminal {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        table.set_header(self.cells(&self.head));
        for row in &self.rows {
            table.add_row(self.cells(row));
        }
        table.trim_fmt()
    }

    fn cells(&self, row: &[String]) -> Vec<Cell> {
        let aligned = |(i, text): (usize, &String)| {
            let align = if self.numbers.contains(&i) { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(printable(text)).set_alignment(align)
        };
        row.iter().enumerate().map(aligned).collect()
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 error`, `1,234 errors`: for English, where the word takes an `s`.
pub(crate) fn many(n: u64, word: &str) -> String {
    format!("{} {word}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Fen as yuan: `123456` as `1,234.56`.
pub(crate) fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", count(fen / 100), fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 1_000].map(|n| many(n, "error")), ["0 errors", "1 error", "1,000 errors"]);
        assert_eq!([0, 5, 123_456, -100].map(yuan), ["0.00", "0.05", "1,234.56", "-1.00"]);
    }

    #[test]
    fn nothing_that_is_shown_acts_on_a_terminal() {
        let name = "王\u{1b}[2J\u{9b}31m\u{202e}明\u{200b}\u{7}\u{8}\n\t\u{2066}";
        let mut table = Table::new(["name"]);
        table.row([name.to_owned()]);
        let drawn = table.drawn(false);
        assert!(!drawn.contains(|c: char| c != '\n' && is_unseen(c)), "{drawn:?}");
        assert_eq!(drawn.lines().count(), 3, "a name of two lines is one row: {drawn:?}");
        assert_eq!(shown("a\u{1b}[0mb\nc"), "a [0mb\nc");
        assert_eq!(inside("é\u{202e}x").len(), "é\u{202e}x".len());
        let json = serde_json::to_string_pretty(&[name]).unwrap();
        assert!(!escaped(&json).contains(|c: char| c != '\n' && is_unseen(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped(&json)).unwrap(), [name]);
        let screen = Screen::new(Lang::En, true);
        let fault = Diagnostic::error("MC601", "值", format!("bad {name}")).in_file(name).with_help("", name);
        let drawn = screen.drawn(&fault);
        assert!(!drawn.contains(|c: char| c != '\n' && is_unseen(c)), "{drawn:?}");
    }

    #[test]
    fn a_fault_in_a_remembered_text_is_drawn_with_its_line() {
        let screen = Screen::new(Lang::Zh, true);
        screen.remember("shipped.yaml", "id: PEN-01\ntitel: x\n");
        let fault = Diagnostic::error("MC010", "不认识 `titel`", "unknown `titel`")
            .in_file("shipped.yaml")
            .at_line(2)
            .over(11..16)
            .with_help("写 `title`", "write `title`");
        let drawn = screen.drawn(&fault);
        assert!(drawn.starts_with("错误[MC010]: 不认识 `titel`"), "{drawn}");
        assert!(
            drawn.contains("shipped.yaml:2:1")
                && drawn.contains("^^^^^")
                && drawn.contains("建议: 写 `title`"),
            "{drawn}"
        );
    }

    #[test]
    fn a_fault_in_an_extract_names_file_row_and_column() {
        let screen = Screen::new(Lang::En, true);
        let fault =
            Diagnostic::error("MC601", "值", "bad value").in_file("a.csv").at_line(12).at_column("金额");
        assert!(screen.drawn(&fault).contains("a.csv, data row 12, column 金额"));
    }
}
