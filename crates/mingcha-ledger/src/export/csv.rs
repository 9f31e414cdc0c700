//! CSV: byte order mark or GB 18030, CRLF, every field quoted, nothing that a spreadsheet would run as a formula.
//! Knows cells, not findings.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use csv::{QuoteStyle, Terminator, WriterBuilder};
use encoding_rs::GB18030;
use mingcha_rules::Diagnostic;

use super::list::{Cell, Table};
use super::{Encoding, Job};
use crate::fault;
use crate::words::plain_yuan;

/// Writes one list.
///
/// A spreadsheet that opens CSV by double click still rounds 18-digit numbers; that cannot be cured from inside
/// the file, which is why workbooks are the default.
pub(super) fn write(job: &Job<'_>, table: Table<'_>, path: &Path) -> Result<(), Diagnostic> {
    let failed = |e: std::io::Error| fault::disk("MC811", ("写文件", "write the file"), path, &e);
    let mut file = BufWriter::new(File::create_new(path).map_err(failed)?);
    if job.options.encoding == Encoding::Utf8 {
        file.write_all("\u{feff}".as_bytes()).map_err(failed)?;
    }
    let mut writer =
        WriterBuilder::new().quote_style(QuoteStyle::Always).terminator(Terminator::CRLF).from_writer(file);
    let titles: Vec<String> = table.columns.iter().map(|column| column.title.clone()).collect();
    let mut record = |row: u64, cells: Vec<Cell>| {
        let fields = cells.iter().enumerate().map(|(i, cell)| {
            let field = field(cell);
            encode(&field, job.options.encoding)
                .map(Cow::into_owned)
                .ok_or_else(|| lacking(&titles[i], row, cells.first()))
        });
        let fields = fields.collect::<Result<Vec<Vec<u8>>, _>>()?;
        writer.write_byte_record(&fields.into()).map_err(|e| fault::unwritable(path, e))
    };
    record(0, titles.iter().cloned().map(Cell::Text).collect())?;
    for (row, cells) in (1..).zip(table.rows) {
        record(row, cells?)?;
    }
    writer.flush().map_err(failed)
}

fn field(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Text(text) => guarded(text),
        Cell::Date(date) => Cow::Borrowed(date),
        Cell::Money(fen) => Cow::Owned(plain_yuan(*fen)),
        Cell::Count(count) => Cow::Owned(count.to_string()),
        Cell::Blank => Cow::Borrowed(""),
    }
}

/// Text that a spreadsheet would take for a formula gets an apostrophe before it. So does text that begins with
/// an apostrophe before such a sign: otherwise the two could not be told apart when read back.
pub(super) fn guarded(text: &str) -> Cow<'_, str> {
    let dangerous =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠');
    if text.trim_start_matches('\'').starts_with(dangerous) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// None where the encoding lacks a character. The quotation mark is no part of a longer GB 18030 character, so
/// quoting may follow encoding.
fn encode(field: &str, encoding: Encoding) -> Option<Cow<'_, [u8]>> {
    match encoding {
        Encoding::Utf8 => Some(Cow::Borrowed(field.as_bytes())),
        Encoding::Gb18030 => {
            let (bytes, _, lacking) = GB18030.encode(field);
            (!lacking).then_some(bytes)
        }
    }
}

fn lacking(title: &str, row: u64, first: Option<&Cell>) -> Diagnostic {
    let finding = match first {
        Some(Cell::Text(id)) if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) => id.as_str(),
        _ => "-",
    };
    Diagnostic::error(
        "MC813",
        format!("内容应能用 GB 18030 表示，实际含有无法表示的字符：线索 {finding}，列“{title}”"),
        format!("wanted text that GB 18030 can hold, got a character that it lacks: finding {finding}, column \"{title}\""),
    )
    .at_line(row)
    .at_column(title)
    .with_help("改用 UTF-8 编码，或导出 xlsx", "use UTF-8, or export xlsx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_can_be_taken_off_again() {
        for text in ["=1+1", "'=1+1", "''-x", "plain", "'plain", "", "'", "-5", "\t=x", "＝1"] {
            let guarded = guarded(text);
            let read = match guarded.strip_prefix('\'') {
                Some(rest) if guarded.as_ref() != text => rest,
                _ => guarded.as_ref(),
            };
            assert_eq!(read, text);
        }
        assert_eq!(guarded("=1+1"), "'=1+1");
        assert_eq!(guarded("plain"), "plain");
    }
}
