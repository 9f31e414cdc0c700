//! Workbooks that say they are larger than they are: cells at the far end of a sheet, parts that unpack to a thousand times
//! their size, one text shared by many cells. Each is refused by name, and the others of the same import are judged.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use mingcha_ledger::Addressee;
use mingcha_ledger::book::Book;
use mingcha_ledger::import::{Brought, Mode, import};

use crate::book::{Desk, Tonight, acts};
use crate::filled::{Order, edit, file, fill, rewrite, text, village_code, villages};

const LIST: &str = "线索清单";

/// An office with one list that left it, and what came back.
struct House {
    desk: Desk,
    list: PathBuf,
}

impl House {
    fn new() -> Self {
        let desk = Desk::new();
        desk.absorb(&Tonight::new("2026-11-01", villages(1, 4)));
        let order = Order { addressee: Addressee::Area(village_code(0)), ..Order::default() };
        let issued = order.make(&mut desk.open(), &desk.dir.path().join("lists")).unwrap();
        Self { list: file(&issued, "findings.xlsx"), desk }
    }

    fn back(&self, name: &str) -> PathBuf {
        self.desk.dir.path().join(name)
    }

    /// A list as anybody fills it in.
    fn good(&self) -> PathBuf {
        let path = self.back("good.xlsx");
        let cells = [("R2", "正在核查"), ("S2", "li"), ("U2", "入户")];
        fill(&self.list, &path, &cells.map(|(cell, said)| edit(LIST, cell, text(said))));
        path
    }

    fn look(&self, files: &[&Path]) -> Vec<Brought> {
        let mut book = Book::read(&self.desk.path()).unwrap();
        let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
        let by = acts("office", "2026-11-20T08:00:00Z");
        import(&mut book, &files, Mode::Look, &self.desk.policy, by).unwrap()
    }

    /// The one fault of a bad file that came together with a good one, which has as many as it has alone.
    #[track_caller]
    fn fault(&self, bad: &Path) -> (String, String) {
        let good = self.good();
        let alone = self.look(&[&good]).remove(0);
        let brought = self.look(&[bad, &good]);
        assert_eq!(brought[1], alone, "the good file is judged as if it had come alone");
        assert_eq!(brought[0].faults.len(), 1, "{:?}", brought[0].faults);
        let fault = &brought[0].faults[0];
        let said = format!("{} {} {:?}", fault.message.zh, fault.message.en, fault.place);
        assert!(fault.help.is_some() && said.contains(bad.file_name().unwrap().to_str().unwrap()), "{said}");
        (fault.code.clone(), said)
    }
}

#[test]
fn a_blank_at_the_far_end_of_a_sheet_is_nothing() {
    let house = House::new();
    for cell in ["XFD8000", "XFD1048576"] {
        let far = house.back(&format!("{cell}.xlsx"));
        fill(&house.list, &far, &[edit(LIST, cell, text(" "))]);
        let brought = house.look(&[&far]).remove(0);
        assert_eq!((brought.faults.as_slice(), brought.empty), (&[][..], 4), "{cell}");
    }
}

#[test]
fn a_word_at_the_far_end_of_a_sheet_is_named_with_its_cell() {
    let house = House::new();
    let far = house.back("far.xlsx");
    fill(&house.list, &far, &[edit(LIST, "XFD1048576", text("x"))]);
    let (code, said) = house.fault(&far);
    assert!(code == "MC884" || code == "MC885", "{code} {said}");
    assert!(said.contains("线索清单!XFD1048576"), "{said}");
}

#[test]
fn a_part_that_unpacks_without_end_is_refused_before_it_is_read() {
    let house = House::new();
    let bomb = house.back("bomb.xlsx");
    let many = format!("<si><t>{}</t></si></sst>", "a".repeat(120 << 20));
    rewrite(&house.list, &bomb, |name, xml| match name {
        "xl/sharedStrings.xml" => xml.replace("</sst>", &many),
        _ => xml,
    });
    assert!(fs::metadata(&bomb).unwrap().len() < 1 << 20, "it is small until it is unpacked");
    let (code, said) = house.fault(&bomb);
    assert!(code == "MC824" && said.contains("xl/sharedStrings.xml"), "{code} {said}");
}

#[test]
fn one_text_in_very_many_cells_is_refused_with_its_sheet() {
    let house = House::new();
    let bomb = house.back("shared.xlsx");
    let mut archive = zip::ZipArchive::new(fs::File::open(&house.list).unwrap()).unwrap();
    let mut strings = String::new();
    archive.by_name("xl/sharedStrings.xml").unwrap().read_to_string(&mut strings).unwrap();
    let nth = strings.matches("<si>").count();
    let long = format!("<si><t>{}</t></si></sst>", "a".repeat(30_000));
    let rows: String = (100..6_100)
        .map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\" t=\"s\"><v>{nth}</v></c></row>"))
        .collect();
    rewrite(&house.list, &bomb, |name, xml| match name {
        "xl/sharedStrings.xml" => xml.replace("</sst>", &long),
        "xl/worksheets/sheet1.xml" => xml.replace("</sheetData>", &format!("{rows}</sheetData>")),
        _ => xml,
    });
    let (code, said) = house.fault(&bomb);
    assert!(code == "MC824" && said.contains(LIST), "{code} {said}");
}

#[test]
fn what_is_no_file_or_no_workbook_keeps_nobody_else_away() {
    let house = House::new();
    let (folder, broken) = (house.back("folder.xlsx"), house.back("broken.xlsx"));
    fs::create_dir(&folder).unwrap();
    let bytes = fs::read(&house.list).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    for bad in [&folder, &broken] {
        let (code, said) = house.fault(bad);
        assert_eq!(code, "MC880", "{said}");
    }
}
