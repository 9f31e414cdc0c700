//! A workbook with a blank at its far end, and one with a cell outside of any spreadsheet.

use crate::book::{More, book, row, text, texts};
use crate::{World, person, says};

const CARDS: [&str; 3] = ["卡号", "身份证号", "年审日期"];

fn cards(last: String) -> World {
    let rows = [texts(1, &CARDS), texts(2, &["88000777", &person(1), "2026-04-05"]), last];
    World::new().with("transit_renewals.xlsx", book(&rows, &More::default()))
}

#[test]
fn a_blank_in_the_last_column_or_the_last_row_costs_nothing() {
    for (at, cell) in [(1, "XFD1"), (2, "XFD2"), (8_000, "XFD8000"), (1_048_576, "XFD1048576")] {
        let rows = match at {
            1 => vec![row(
                1,
                &[text("A1", CARDS[0]), text("B1", CARDS[1]), text("C1", CARDS[2]), text(cell, " ")],
            )],
            _ => vec![texts(1, &CARDS)],
        };
        let two = [text("A2", "88000777"), text("B2", &person(1)), text("C2", "2026-04-05")];
        let mut two = two.to_vec();
        two.extend((at == 2).then(|| text(cell, " ")));
        let mut rows = [rows, vec![row(2, &two)]].concat();
        rows.extend((at > 2).then(|| row(at, &[text(cell, " ")])));
        let world = World::new().with("transit_renewals.xlsx", book(&rows, &More::default()));
        world.remarked();
        assert_eq!(world.column("transit_renewals", "card_no"), ["88000777"], "{cell}");
    }
}

#[test]
fn a_cell_outside_of_any_spreadsheet_is_refused_with_its_sheet() {
    for (at, cell) in [(3, "XFE3"), (3, "ZZZZZ3"), (1_048_577, "A1048577")] {
        let said = cards(row(at, &[text(cell, "88000778")])).refused();
        says(&said, &["数据", cell, "transit_renewals.xlsx"]);
    }
}

#[test]
fn rows_that_lie_upside_down_are_refused() {
    let rows = [
        texts(1, &CARDS),
        texts(9, &["88000777", &person(1), "2026-04-05"]),
        texts(3, &["88000778", &person(2), "2026-04-05"]),
    ];
    let said = World::new().with("transit_renewals.xlsx", book(&rows, &More::default())).refused();
    says(&said, &["row 3", "数据"]);
}
