//! Delimited text. The encoding is settled over the whole file before a row is read: a byte-order mark decides;
//! else the file is UTF-8 if every byte fits; else its lines are looked at one by one, and a file that is UTF-8 in
//! one part and GB18030 in another is refused, because half of its names would be read as other names.
//! The bytes are turned into UTF-8 as a stream before they are split into fields (the second byte of a GB18030
//! character may be a comma's neighbour, `|` or `\`, but never a quote, a comma or a line end).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Decoder, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use mingcha_rules::{Contract, Diagnostic};

use super::{BATCH_ROWS, How, Opened, Sink, Unit, fingerprint};
use crate::batch::{BrokenRow, Column, RawBatch};
use crate::discover::{Dates, Format, Found};
use crate::fault;
use crate::headings::{LAST_HEADING_ROW, Matched, matched, recognised};

/// Lines whose bytes do not fit may make up one in this many of those that are not plain ASCII.
const TOLERATED: u64 = 100;
/// A row that runs over more lines than this has an open quote.
const LONGEST_ROW: u64 = 1_000;
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
const WANTED: (&str, &str) = ("文本文件（CSV/TSV）", "a text file (CSV, TSV)");

/// How a text file is read.
#[derive(Debug, Clone)]
pub(crate) struct TextFacts {
    /// Encoding.
    pub(crate) encoding: &'static Encoding,
    /// Delimiter.
    pub(crate) delimiter: u8,
    /// Line of the headings, from 1.
    header_row: u64,
    /// Headings.
    width: usize,
    /// Whether some bytes do not fit the encoding; rows with a replacement character are rejected then.
    lossy: bool,
}

/// Looks at the bytes and the headings.
pub(super) fn open(
    found: &Found,
    contract: &Contract,
    default: Option<&str>,
) -> Result<Opened, Vec<Diagnostic>> {
    let mut check = Utf8Check::default();
    let (bytes, sha256) = fingerprint(found, |chunk| check.feed(chunk)).map_err(|d| vec![d])?;
    if let Some(fault) = not_text(&found.name, &check.start) {
        return Err(vec![fault]);
    }
    let asked = found.mapping.encoding.as_deref().or(default);
    let (encoding, lossy) = encoding(found, &check, asked).map_err(|d| vec![d])?;
    let mut facts = TextFacts {
        encoding,
        delimiter: b',',
        header_row: u64::from(found.mapping.header_row.unwrap_or(1)),
        width: 0,
        lossy,
    };
    facts.delimiter = delimiter(found, contract, &facts).map_err(|d| vec![d])?;
    let headings = headings(found, &facts).map_err(|d| vec![d])?;
    facts.width = headings.len();
    let matched = matched(contract, &headings, &found.name).map_err(|faults| {
        match later_headings(found, contract, &facts) {
            Some(row) => vec![fault::later_headings(found, None, row)],
            None => faults,
        }
    })?;
    Ok(Opened {
        found: found.clone(),
        matched,
        how: How::Text(facts),
        bytes,
        sha256,
        rows: None,
        dates: Dates::default(),
        notes: Vec::new(),
        units: vec![Unit::whole()],
    })
}

/// Reads all rows.
pub(super) fn read(
    found: &Found,
    matched: &Matched,
    facts: &TextFacts,
    sink: &mut Sink<'_>,
) -> Result<(), Diagnostic> {
    let mut records = records(found, facts)?;
    heading_record(found, &mut records)?;
    let mut batch = Batch::new(matched);
    let mut record = csv::StringRecord::new();
    let mut line = records.position().line();
    let mut row = 0u64;
    let mut last_break = None;
    while records
        .read_record(&mut record)
        .map_err(|e| fault::cannot_read(&found.name, WANTED, &kind_of(&e)))?
    {
        row += 1;
        let next = records.position().line();
        if next.saturating_sub(line) > LONGEST_ROW {
            return Err(open_quote(&found.name, line_at(found, facts, beginning(&record))?));
        }
        line = next;
        last_break = broken_field(&record);
        if let Some((opened, field)) = last_break
            && swallows_rows(&record[field], facts)
        {
            return Err(open_quote(&found.name, line_at(found, facts, opened)?));
        }
        batch.push(&record, facts);
        if batch.rows == BATCH_ROWS {
            sink(batch.take(row))?;
        }
    }
    if batch.rows > 0 {
        sink(batch.take(row))?;
    }
    match last_break {
        Some((opened, _)) if ends_in_quotes(found, facts)? => {
            Err(open_quote(&found.name, line_at(found, facts, opened)?))
        }
        _ => Ok(()),
    }
}

/// Where a record begins, in bytes of decoded text from the headings on; the second half of the line end before it may come first.
fn beginning(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::byte)
}

/// The line, from 1, of the record that begins here.
fn line_at(found: &Found, facts: &TextFacts, byte: u64) -> Result<u64, Diagnostic> {
    let failed = |e: io::Error| fault::cannot_read(&found.name, WANTED, &e);
    let mut before = below_titles(found, facts)?;
    let (mut line, mut at, mut after_return) = (facts.header_row, 0, false);
    loop {
        let bytes = before.fill_buf().map_err(failed)?;
        if bytes.is_empty() {
            return Ok(line);
        }
        for b in bytes {
            if at >= byte && !matches!(b, b'\n' | b'\r') {
                return Ok(line);
            }
            // A carriage return and a line feed are one line end.
            line += u64::from(*b == b'\r' || (*b == b'\n' && !after_return));
            after_return = *b == b'\r';
            at += 1;
        }
        let n = bytes.len();
        before.consume(n);
    }
}

/// The first field with a line break: where its record begins, and its place.
fn broken_field(record: &csv::StringRecord) -> Option<(u64, usize)> {
    if !record.as_slice().contains(['\n', '\r']) {
        return None;
    }
    let field = record.iter().position(|f| f.contains(['\n', '\r']))?;
    Some((beginning(record), field))
}

/// Whether a field of several lines holds as many delimiters as a row: a stray quote has taken rows in. Those
/// before the line break count too, because the second stray quote may stand anywhere in a later row.
fn swallows_rows(field: &str, facts: &TextFacts) -> bool {
    let wanted = facts.width.saturating_sub(1).max(1);
    field.bytes().filter(|b| *b == facts.delimiter).count() >= wanted
}

/// Whether the file ends inside quotes. Asked only when the last row runs over several lines.
fn ends_in_quotes(found: &Found, facts: &TextFacts) -> Result<bool, Diagnostic> {
    enum At {
        FieldStart,
        Plain,
        Quoted,
        Quote,
    }
    let mut reader = below_titles(found, facts)?;
    let mut at = At::FieldStart;
    loop {
        let bytes = reader.fill_buf().map_err(|e| fault::cannot_read(&found.name, WANTED, &e))?;
        if bytes.is_empty() {
            return Ok(matches!(at, At::Quoted));
        }
        for byte in bytes {
            let ends = *byte == facts.delimiter || matches!(byte, b'\n' | b'\r');
            at = match (at, byte) {
                (At::FieldStart | At::Quote, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => At::Quoted,
                _ if ends => At::FieldStart,
                _ => At::Plain,
            };
        }
        let n = bytes.len();
        reader.consume(n);
    }
}

/// The columns of the rows read so far.
struct Batch<'a> {
    matched: &'a Matched,
    columns: Vec<StringBuilder>,
    broken: Vec<BrokenRow>,
    blank: Vec<usize>,
    rows: usize,
}

impl<'a> Batch<'a> {
    fn new(matched: &'a Matched) -> Self {
        let columns = matched.columns.iter().map(|_| StringBuilder::new()).collect();
        Self { matched, columns, broken: Vec::new(), blank: Vec::new(), rows: 0 }
    }

    fn push(&mut self, record: &csv::StringRecord, facts: &TextFacts) {
        let row = self.rows;
        let too_long =
            record.len() > facts.width && record.iter().skip(facts.width).any(|f| !f.trim().is_empty());
        if record.iter().all(|f| f.trim().is_empty()) {
            self.blank.push(row);
        } else if facts.lossy && record.as_slice().contains('\u{fffd}') {
            self.broken.push(BrokenRow { row, reason: "undecodable_bytes", value: shortened(record) });
        } else if record.len() < facts.width || too_long {
            self.broken.push(BrokenRow { row, reason: "ragged_row", value: shortened(record) });
        }
        for (builder, column) in self.columns.iter_mut().zip(&self.matched.columns) {
            match column.and_then(|c| record.get(c)) {
                Some(text) if !text.is_empty() => builder.append_value(text),
                _ => builder.append_null(),
            }
        }
        self.rows += 1;
    }

    /// The batch so far; `row` is its last row in the file.
    fn take(&mut self, row: u64) -> RawBatch {
        let columns = self
            .columns
            .iter_mut()
            .zip(&self.matched.columns)
            .map(|(builder, column)| {
                let array: ArrayRef = Arc::new(builder.finish());
                if column.is_some() { Column::Array(array) } else { Column::Missing }
            })
            .collect();
        let rows = std::mem::take(&mut self.rows);
        RawBatch {
            first_row: row + 1 - rows as u64,
            rows,
            columns,
            broken: std::mem::take(&mut self.broken),
            blank: std::mem::take(&mut self.blank),
        }
    }
}

/// The start of a row, for the rejects.
fn shortened(record: &csv::StringRecord) -> String {
    record.iter().collect::<Vec<_>>().join("|").chars().take(200).collect()
}

type Text = BufReader<Box<dyn Read>>;
type Records = csv::Reader<Text>;

/// The text from the line of the headings on. Lines are counted here and not by the splitting into fields, which
/// counts the two characters of a line end as if the second belonged to the next line.
fn below_titles(found: &Found, facts: &TextFacts) -> Result<Text, Diagnostic> {
    let failed = |e: io::Error| fault::cannot_read(&found.name, WANTED, &e);
    let mut text = BufReader::with_capacity(1 << 18, decoded(found, facts.encoding)?);
    for _ in 1..facts.header_row {
        loop {
            let bytes = text.fill_buf().map_err(failed)?;
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let ended_by_return = end.is_some_and(|end| bytes[end] == b'\r');
            let used = end.map_or(bytes.len(), |end| end + 1);
            text.consume(used);
            if ended_by_return && text.fill_buf().map_err(failed)?.first() == Some(&b'\n') {
                text.consume(1);
            }
            if end.is_some() || used == 0 {
                break;
            }
        }
    }
    Ok(text)
}

fn records(found: &Found, facts: &TextFacts) -> Result<Records, Diagnostic> {
    let reader = below_titles(found, facts)?;
    Ok(csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(facts.delimiter)
        .from_reader(reader))
}

fn heading_record(found: &Found, records: &mut Records) -> Result<csv::StringRecord, Diagnostic> {
    let mut record = csv::StringRecord::new();
    let any = records
        .read_record(&mut record)
        .map_err(|e| fault::cannot_read(&found.name, WANTED, &kind_of(&e)))?;
    if any { Ok(record) } else { Err(no_headings(&found.name)) }
}

fn headings(found: &Found, facts: &TextFacts) -> Result<Vec<String>, Diagnostic> {
    let mut records = records(found, facts)?;
    let record = heading_record(found, &mut records)?;
    let mut headings: Vec<String> = record.iter().map(str::to_owned).collect();
    // A delimiter at the end of each line is no column.
    while headings.len() > 1 && headings.last().is_some_and(|h| h.trim().is_empty()) {
        headings.pop();
    }
    Ok(headings)
}

/// The line below the first, among the first ten, that has all required headings.
fn later_headings(found: &Found, contract: &Contract, facts: &TextFacts) -> Option<u64> {
    if found.mapping.header_row.is_some() {
        return None;
    }
    let delimiters: Vec<u8> = match found.mapping.delimiter {
        Some(_) => vec![facts.delimiter],
        None => DELIMITERS.to_vec(),
    };
    let there = |row: &u64| {
        delimiters.iter().any(|delimiter| {
            let facts = TextFacts { header_row: *row, delimiter: *delimiter, ..facts.clone() };
            headings(found, &facts).is_ok_and(|headings| matched(contract, &headings, &found.name).is_ok())
        })
    };
    let first = (2..=LAST_HEADING_ROW).find(there)?;
    // Blank lines lead to the headings below them as well; the line itself is the last that does.
    (first..=LAST_HEADING_ROW).take_while(there).last()
}

/// The delimiter that makes most sense of the headings.
fn delimiter(found: &Found, contract: &Contract, facts: &TextFacts) -> Result<u8, Diagnostic> {
    if let Some(asked) = found.mapping.delimiter {
        return u8::try_from(asked).ok().filter(u8::is_ascii).ok_or_else(|| bad_delimiter(&found.name));
    }
    let mut best = if found.format == Format::Tsv { b'\t' } else { b',' };
    let mut best_score = (0, 0);
    for candidate in DELIMITERS {
        let facts = TextFacts { delimiter: candidate, ..facts.clone() };
        let headings = headings(found, &facts)?;
        let score = (recognised(contract, headings.iter().map(String::as_str)), headings.len());
        if score > best_score && score.1 > 1 {
            (best, best_score) = (candidate, score);
        }
    }
    Ok(best)
}

/// The bytes as UTF-8.
fn decoded(found: &Found, encoding: &'static Encoding) -> Result<Box<dyn Read>, Diagnostic> {
    let file = File::open(&found.path).map_err(|e| fault::cannot_read(&found.name, WANTED, &e))?;
    Ok(Box::new(Decoding::new(file, encoding)))
}

/// Turns a stream of bytes into a stream of UTF-8, without a byte-order mark.
struct Decoding {
    file: File,
    decoder: Decoder,
    input: Vec<u8>,
    from: usize,
    to: usize,
    output: String,
    given: usize,
    ended: bool,
}

impl Decoding {
    fn new(file: File, encoding: &'static Encoding) -> Self {
        Self {
            file,
            decoder: encoding.new_decoder_with_bom_removal(),
            input: vec![0; 1 << 16],
            from: 0,
            to: 0,
            output: String::with_capacity(1 << 18),
            given: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.ended {
            if self.from == self.to {
                self.to = self.file.read(&mut self.input)?;
                self.from = 0;
            }
            let last = self.to == 0;
            let (result, read, _) =
                self.decoder.decode_to_string(&self.input[self.from..self.to], &mut self.output, last);
            self.from += read;
            self.ended = last && result == CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl Read for Decoding {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.fill()?;
        }
        let rest = &self.output.as_bytes()[self.given..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

/// Whether a stream of bytes is UTF-8.
#[derive(Default)]
struct Utf8Check {
    start: Vec<u8>,
    carry: Vec<u8>,
    broken: bool,
}

impl Utf8Check {
    fn feed(&mut self, chunk: &[u8]) {
        if self.start.len() < 4 {
            self.start.extend(chunk.iter().take(4));
        }
        if self.broken {
            return;
        }
        let joined;
        let bytes = if self.carry.is_empty() {
            chunk
        } else {
            joined = [self.carry.as_slice(), chunk].concat();
            joined.as_slice()
        };
        let rest = match std::str::from_utf8(bytes) {
            Ok(_) => Vec::new(),
            Err(e) if e.error_len().is_none() => bytes[e.valid_up_to()..].to_vec(),
            Err(_) => {
                self.broken = true;
                Vec::new()
            }
        };
        self.carry = rest;
    }

    fn holds(&self) -> bool {
        !self.broken && self.carry.is_empty()
    }
}

/// The encoding, and whether some bytes do not fit it.
fn encoding(
    found: &Found,
    check: &Utf8Check,
    asked: Option<&str>,
) -> Result<(&'static Encoding, bool), Diagnostic> {
    if let Some(asked) = asked {
        let encoding = match asked.to_lowercase().as_str() {
            // GB18030 holds both.
            "gbk" | "gb2312" | "gb18030" | "cp936" => GB18030,
            label => {
                Encoding::for_label(label.as_bytes()).ok_or_else(|| unknown_encoding(&found.name, asked))?
            }
        };
        let clean = encoding == UTF_8 && check.holds();
        return Ok((encoding, !clean));
    }
    match Encoding::for_bom(&check.start) {
        Some((encoding, _)) if encoding == UTF_16LE || encoding == UTF_16BE => return Ok((encoding, true)),
        _ if check.holds() => return Ok((UTF_8, false)),
        _ => {}
    }
    let lines = Lines::of(found)?;
    lines.verdict(&found.name)
}

/// What the lines of a file that is not UTF-8 look like.
#[derive(Debug, Default)]
struct Lines {
    /// Lines that are not plain ASCII.
    foreign: u64,
    /// Of those, valid as UTF-8 with at least one Chinese character of three bytes.
    utf8: u64,
    /// Of those, with at least four: no accident.
    surely_utf8: u64,
    /// Not valid as UTF-8.
    not_utf8: u64,
    /// Not valid as GB18030.
    not_gb: u64,
    /// What the detector makes of the start of the file.
    guess: Option<&'static Encoding>,
}

impl Lines {
    fn of(found: &Found) -> Result<Self, Diagnostic> {
        const SAMPLE: usize = 1 << 22;
        let failed = |e: io::Error| fault::cannot_read(&found.name, WANTED, &e);
        let mut reader = BufReader::with_capacity(1 << 18, File::open(&found.path).map_err(failed)?);
        let mut out = Self::default();
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        let (mut line, mut fed) = (Vec::new(), 0);
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if !line.is_ascii() {
                out.classify(&line);
            }
            if fed < SAMPLE {
                detector.feed(&line, false);
                fed += line.len();
            }
            line.clear();
        }
        detector.feed(&[], true);
        out.guess = Some(detector.guess(Some(b"cn"), Utf8Detection::Deny));
        Ok(out)
    }

    fn classify(&mut self, line: &[u8]) {
        self.foreign += 1;
        match std::str::from_utf8(line) {
            Ok(text) => {
                let chinese = text.chars().filter(|c| ('\u{3000}'..='\u{9fff}').contains(c)).count();
                let others = text.chars().filter(|c| !c.is_ascii()).count() - chinese;
                if chinese > 0 && others == 0 {
                    self.utf8 += 1;
                    self.surely_utf8 += u64::from(chinese >= 4);
                }
            }
            Err(_) => self.not_utf8 += 1,
        }
        if GB18030.decode_without_bom_handling_and_without_replacement(line).is_none() {
            self.not_gb += 1;
        }
    }

    fn verdict(&self, file: &str) -> Result<(&'static Encoding, bool), Diagnostic> {
        let few = |n: u64| n.saturating_mul(TOLERATED) <= self.foreign;
        if few(self.not_utf8) {
            return Ok((UTF_8, true));
        }
        // A line of GB18030 passes as Chinese UTF-8 by accident less than once in a thousand.
        if self.surely_utf8 > 0 || self.utf8.saturating_mul(1_000) > self.foreign {
            return Err(mixed(file));
        }
        let chinese = self.guess.is_some_and(|g| g.name() == "GBK" || g.name() == "gb18030");
        let small = self.foreign < 64 && self.not_gb == 0;
        if few(self.not_gb) && (chinese || small) {
            return Ok((GB18030, self.not_gb > 0));
        }
        Err(not_recognised(file, self.guess.map_or("?", Encoding::name)))
    }
}

/// What csv says, without the values it might quote.
fn kind_of(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(e) => e.to_string(),
        csv::ErrorKind::Utf8 { .. } => "UTF-8".to_owned(),
        _ => "CSV".to_owned(),
    }
}

/// A file of another kind that bears the name of a text file.
fn not_text(file: &str, start: &[u8]) -> Option<Diagnostic> {
    let (zh, en, extension) = if start.starts_with(b"PAR1") {
        ("Parquet 文件", "a Parquet file", ".parquet")
    } else if start.starts_with(b"PK\x03\x04") {
        ("Excel 工作簿或压缩包", "a workbook or a ZIP archive", ".xlsx")
    } else {
        return None;
    };
    let fault = Diagnostic::error(
        "MC620",
        format!("需要文本文件（CSV/TSV），实际是{zh}"),
        format!("wanted a text file (CSV, TSV), got {en}"),
    );
    Some(fault.in_file(file).with_help(
        format!("如确为该类文件，把扩展名改为 {extension}；压缩包请先解压"),
        format!("if that is what it is, rename it to {extension}; unpack an archive first"),
    ))
}

fn mixed(file: &str) -> Diagnostic {
    Diagnostic::error(
        "MC621",
        "文件应只用一种编码，实际部分为 UTF-8、部分为 GB18030",
        "wanted one encoding, got UTF-8 in some lines and GB18030 in others",
    )
    .in_file(file)
    .with_help(
        "多半由两个文件拼接而成：请分成两个文件；或在映射中写明 encoding，不合编码的行会逐行退回",
        "it was probably joined from two files: split it; or say the encoding in a mapping, and the rows that do not fit are rejected one by one",
    )
}

fn not_recognised(file: &str, guess: &str) -> Diagnostic {
    Diagnostic::error(
        "MC622",
        format!("应为 UTF-8 或 GB18030/GBK 编码，实际都不符（像是 {guess}）"),
        format!("wanted UTF-8 or GB18030/GBK, got neither (it looks like {guess})"),
    )
    .in_file(file)
    .with_help("另存为 UTF-8，或在映射中写明 encoding", "save it as UTF-8, or say the encoding in a mapping")
}

fn unknown_encoding(file: &str, asked: &str) -> Diagnostic {
    Diagnostic::error("MC622", format!("不认识的编码 {asked}"), format!("unknown encoding {asked}"))
        .in_file(file)
        .with_help("如 utf-8、gb18030", "like utf-8, gb18030")
}

fn no_headings(file: &str) -> Diagnostic {
    Diagnostic::error("MC626", "需要一行表头，实际没有", "wanted a line of headings, got none")
        .in_file(file)
        .with_help(
            "表头不在第一行时，在映射中写明 header_row",
            "where it is not the first line, say header_row in a mapping",
        )
}

fn bad_delimiter(file: &str) -> Diagnostic {
    Diagnostic::error("MC626", "分隔符应为一个 ASCII 字符", "wanted one ASCII character as the delimiter")
        .in_file(file)
}

fn open_quote(file: &str, line: u64) -> Diagnostic {
    Diagnostic::error(
        "MC627",
        "此处的引号没有闭合，后面的行被吞入同一个单元格",
        "a quote is opened here and not closed, so that the following lines would end up in one field",
    )
    .in_file(file)
    .at_line(line)
    .with_help(
        "请发送方导出时把值里的英文引号写成两个（\"\"），或改用 .xlsx 导出；也可直接在该行删去多余的引号",
        "have quotes inside values doubled (\"\") by the export, or have it exported as .xlsx; or remove the stray quote on that line",
    )
}
