//! Exports on record, and workbooks filled in as people fill them: an exported file with cells written into its XML, so
//! that everything else is what the export wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use calamine::{Reader, Xlsx, open_workbook};
use mingcha_ledger::book::{Book, Policy};
use mingcha_ledger::{Addressee, Dispatch, ExportOptions, Issued, Payee, Profile, issue, reissue};
use mingcha_rules::{Diagnostic, Finding, Lang};
use rust_xlsxwriter::ExcelDateTime;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::book::{acts, findings};
use crate::fixture::{catalogue, contracts, rule};

/// What is put into a cell.
#[derive(Debug, Clone)]
pub(crate) enum Put {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// A day, as a spreadsheet keeps it.
    Day(&'static str),
}

pub(crate) fn text(text: &str) -> Put {
    Put::Text(text.to_owned())
}

/// Sheet, cell, content.
pub(crate) type Edit = (String, String, Put);

pub(crate) fn edit(sheet: &str, cell: &str, put: Put) -> Edit {
    (sheet.to_owned(), cell.to_owned(), put)
}

/// Writes `from` to `to` with `edits`.
pub(crate) fn fill(from: &Path, to: &Path, edits: &[Edit]) {
    let book: Xlsx<_> = open_workbook(from).unwrap();
    let names = book.sheet_names();
    drop(book);
    let part = |sheet: &str| {
        let at = names.iter().position(|name| name == sheet).unwrap();
        format!("xl/worksheets/sheet{}.xml", at + 1)
    };
    rewrite(from, to, |name, mut xml| {
        for (_, cell, put) in edits.iter().filter(|(sheet, ..)| part(sheet) == name) {
            xml = with_cell(&xml, cell, put);
        }
        xml
    });
}

/// Writes `from` to `to`, every XML part passed through `change`.
pub(crate) fn rewrite(from: &Path, to: &Path, change: impl Fn(&str, String) -> String) {
    let mut archive = ZipArchive::new(File::open(from).unwrap()).unwrap();
    let mut out = ZipWriter::new(File::create(to).unwrap());
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let name = file.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let bytes = match String::from_utf8(bytes) {
            Ok(xml) => change(&name, xml).into_bytes(),
            Err(other) => other.into_bytes(),
        };
        out.start_file(name, SimpleFileOptions::default()).unwrap();
        out.write_all(&bytes).unwrap();
    }
    out.finish().unwrap();
}

fn with_cell(xml: &str, cell: &str, put: &Put) -> String {
    let row = cell.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let begins = format!("<c r=\"{cell}\"");
    let body = |style: &str| match put {
        Put::Text(text) => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!(
                "<c r=\"{cell}\"{style} t=\"inlineStr\"><is><t xml:space=\"preserve\">{text}</t></is></c>"
            )
        }
        Put::Number(n) => format!("<c r=\"{cell}\"{style}><v>{n}</v></c>"),
        Put::Day(day) => {
            let serial = ExcelDateTime::parse_from_str(day).unwrap().to_excel();
            format!("<c r=\"{cell}\"{style}><v>{serial}</v></c>")
        }
    };
    if let Some(from) = xml.find(&begins) {
        let head = from + xml[from..].find('>').unwrap();
        let to =
            if xml[..head].ends_with('/') { head + 1 } else { head + xml[head..].find("</c>").unwrap() + 4 };
        let style = xml[from..head].split(" s=\"").nth(1).and_then(|rest| rest.split('"').next());
        let style = style.map(|s| format!(" s=\"{s}\"")).unwrap_or_default();
        return format!("{}{}{}", &xml[..from], body(&style), &xml[to..]);
    }
    let open = format!("<row r=\"{row}\"");
    if let Some(from) = xml.find(&open) {
        let end = from + xml[from..].find("</row>").unwrap();
        return format!("{}{}{}", &xml[..end], body(""), &xml[end..]);
    }
    let end = xml.find("</sheetData>").unwrap();
    format!("{}<row r=\"{row}\">{}</row>{}", &xml[..end], body(""), &xml[end..])
}

/// Cells of a sheet, by name (`B2`), as text.
pub(crate) fn sheet(path: &Path, name: &str) -> BTreeMap<String, String> {
    let mut book: Xlsx<_> = open_workbook(path).unwrap();
    let range = book.worksheet_range(name).unwrap();
    let mut out = BTreeMap::new();
    for (row, column, data) in range.used_cells() {
        let letter = char::from(b'A' + u8::try_from(column).unwrap());
        out.insert(format!("{letter}{}", row + 1), data.to_string());
    }
    out
}

/// `each` findings in each of `villages` villages of one township.
pub(crate) fn villages(villages: u32, each: u32) -> Vec<Finding> {
    let mut all = findings(villages * each);
    for (i, finding) in (0_u32..).zip(&mut all) {
        let village = i / each;
        finding.area_code = Some(village_code(village));
        finding.subject_id = format!("88010119500101{i:04}");
        finding.subject_name = Some(format!("赵{}", ["一", "二", "三", "四"][(i % each) as usize % 4]));
    }
    all
}

pub(crate) fn village_code(n: u32) -> String {
    format!("880101001{n:03}")
}

/// `n` payees of a village, none of whom has a lead.
pub(crate) fn payees(village: u32, n: u32) -> Vec<Payee> {
    let payee = |i: u32| Payee {
        id_number: format!("8801011951{village:02}{i:02}{:04}", 5000 + i),
        name: format!("钱{i}"),
        area_code: village_code(village),
    };
    (0..n).map(payee).collect()
}

/// A list that is to be made.
pub(crate) struct Order<'a> {
    pub(crate) addressee: Addressee,
    pub(crate) recipient: &'a str,
    pub(crate) expires: &'a str,
    pub(crate) profile: Profile,
    pub(crate) lang: Lang,
    pub(crate) payees: Option<Vec<Payee>>,
    pub(crate) controls: Option<usize>,
    pub(crate) only_new: bool,
    pub(crate) occasion: Option<&'a str>,
    pub(crate) at: &'a str,
}

impl Default for Order<'_> {
    fn default() -> Self {
        Self {
            addressee: Addressee::Area("880101001".to_owned()),
            recipient: "城关镇",
            expires: "2026-12-02",
            profile: Profile::Investigator,
            lang: Lang::Zh,
            payees: None,
            controls: None,
            only_new: false,
            occasion: None,
            at: "2026-11-02T09:30:00Z",
        }
    }
}

impl Order<'_> {
    /// Makes it, into a folder of its own below `out`.
    pub(crate) fn make(self, book: &mut Book, out: &Path) -> Result<Issued, Diagnostic> {
        let policy = Policy::default();
        let options = ExportOptions { profile: self.profile, lang: self.lang, ..ExportOptions::default() };
        let dispatch = Dispatch {
            addressee: self.addressee,
            recipient: self.recipient.to_owned(),
            expires: self.expires.to_owned(),
            run: None,
            policy: &policy,
            payees: self
                .payees
                .map(|all| -> mingcha_ledger::Payees<'_> { Box::new(all.into_iter().map(Ok)) }),
            controls: self.controls,
            only_new: self.only_new,
            occasion: self.occasion.map(str::to_owned),
        };
        let (contracts, rules) = (contracts(), [rule()]);
        let catalogue = catalogue(&contracts, &rules);
        issue(book, dispatch, out, &options, &catalogue, acts("zhang", self.at))
    }
}

/// Writes a list on record again, asking for everything in full and in English.
pub(crate) fn again(book: &mut Book, number: &str, out: &Path) -> Result<Issued, Diagnostic> {
    let options =
        ExportOptions { profile: Profile::Investigator, lang: Lang::En, ..ExportOptions::default() };
    let (contracts, rules) = (contracts(), [rule()]);
    let catalogue = catalogue(&contracts, &rules);
    let at = "2027-01-01T00:00:00Z";
    reissue(book, number, None, &Policy::default(), out, &options, &catalogue, acts("zhang", at))
}

/// The file of an export whose name ends so.
pub(crate) fn file(issued: &Issued, ending: &str) -> PathBuf {
    let found = issued.files.iter().find(|f| f.path.to_string_lossy().ends_with(ending));
    found.unwrap().path.clone()
}
