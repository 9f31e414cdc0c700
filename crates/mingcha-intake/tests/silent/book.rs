//! Workbooks letter by letter, so that cells can be what no library would write: a stored archive with one sheet.

/// A text cell.
pub(crate) fn text(cell: &str, value: &str) -> String {
    format!("<c r=\"{cell}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{value}</t></is></c>")
}

/// A number.
pub(crate) fn number(cell: &str, value: &str) -> String {
    format!("<c r=\"{cell}\"><v>{value}</v></c>")
}

/// A number in a cell that is formatted as a date.
pub(crate) fn day(cell: &str, value: &str) -> String {
    format!("<c r=\"{cell}\" s=\"1\"><v>{value}</v></c>")
}

/// A row of cells as they are; the row's number is that of the cells.
pub(crate) fn row(number: u32, cells: &[String]) -> String {
    format!("<row r=\"{number}\">{}</row>", cells.concat())
}

/// A row of texts from column A.
pub(crate) fn texts(number: u32, values: &[&str]) -> String {
    let cells: Vec<String> = (b'A'..)
        .zip(values)
        .filter(|(_, value)| !value.is_empty())
        .map(|(column, value)| text(&format!("{}{number}", char::from(column)), value))
        .collect();
    row(number, &cells)
}

/// What else a workbook says.
#[derive(Default)]
pub(crate) struct More<'a> {
    pub(crate) merged: &'a [&'a str],
    pub(crate) computed_on_opening: bool,
    pub(crate) epoch_1904: bool,
}

/// The workbook with these rows.
pub(crate) fn book(rows: &[String], more: &More<'_>) -> Vec<u8> {
    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>";
    const MAIN: &str = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"";
    const REL: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"";
    let merged: String = more.merged.iter().map(|r| format!("<mergeCell ref=\"{r}\"/>")).collect();
    let merged = if merged.is_empty() { merged } else { format!("<mergeCells>{merged}</mergeCells>") };
    let sheet =
        format!("{HEAD}<worksheet {MAIN}><sheetData>{}</sheetData>{merged}</worksheet>", rows.concat());
    let calc = if more.computed_on_opening { "<calcPr calcId=\"1\" fullCalcOnLoad=\"1\"/>" } else { "" };
    let epoch = if more.epoch_1904 { "<workbookPr date1904=\"1\"/>" } else { "<workbookPr/>" };
    let workbook = format!(
        "{HEAD}<workbook {MAIN} xmlns:r=\"{REL}\">{epoch}<sheets><sheet name=\"数据\" sheetId=\"1\" r:id=\"rId1\"/></sheets>{calc}</workbook>"
    );
    let styles = format!(
        "{HEAD}<styleSheet {MAIN}><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\" applyNumberFormat=\"1\"/></cellXfs></styleSheet>"
    );
    let types = format!(
        "{HEAD}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"xml\" ContentType=\"application/xml\"/></Types>"
    );
    let rels = |target: &str, kind: &str, id: &str| {
        format!("<Relationship Id=\"{id}\" Type=\"{REL}/{kind}\" Target=\"{target}\"/>")
    };
    let top = format!(
        "{HEAD}<Relationships {PACKAGE}>{}</Relationships>",
        rels("xl/workbook.xml", "officeDocument", "rId1")
    );
    let inner = format!(
        "{HEAD}<Relationships {PACKAGE}>{}{}</Relationships>",
        rels("worksheets/sheet1.xml", "worksheet", "rId1"),
        rels("styles.xml", "styles", "rId2")
    );
    archive(&[
        ("[Content_Types].xml", &types),
        ("_rels/.rels", &top),
        ("xl/workbook.xml", &workbook),
        ("xl/_rels/workbook.xml.rels", &inner),
        ("xl/styles.xml", &styles),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

/// A zip archive without compression.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = out.len() as u32;
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        facts.extend(crc32(text.as_bytes()).to_le_bytes());
        facts.extend((text.len() as u32).to_le_bytes());
        facts.extend((text.len() as u32).to_le_bytes());
        facts.extend((name.len() as u16).to_le_bytes());
        facts.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&facts);
        out.extend(name.as_bytes());
        out.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((files.len() as u16).to_le_bytes());
    out.extend((files.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    })
}
