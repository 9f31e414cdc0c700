//! A ledger belongs to one zone: its days are days there, on every machine.

use mingcha_ledger::Zone;
use mingcha_ledger::book::{Book, Moment};

use crate::book::{Desk, Tonight, acts_in, by, one};

#[test]
fn a_ledger_dates_by_its_zone_and_is_written_from_no_other() {
    let (finding, id) = one();
    let desk = Desk::new();
    let there: Zone = "America/Los_Angeles".parse().unwrap();
    let run = Tonight::new("2026-07-31", vec![finding]).write(desk.dir.path());
    // Ten in the evening of 31 July there; Greenwich and Shanghai have August.
    let evening = acts_in(there, "zhang", "2026-08-01T05:00:00Z");
    let mut book = Book::open(&desk.path(), evening).unwrap();
    let (night, _) = book.absorb(&run, &desk.policy, None, evening).unwrap();
    drop(book);
    assert_eq!(desk.lead(&id).opened, "2026-07-31");
    let book = Book::read(&desk.path()).unwrap();
    assert_eq!(book.zone(), there);
    assert_eq!(book.end_of(&night.night).unwrap().1, "2026-07-31");
    let mut known = 0;
    book.courses(Moment::Day("2026-07-31"), |_| known += 1).unwrap();
    assert_eq!(known, 1, "the night of 31 July was dated into August");
    drop(book);
    assert_eq!(Book::open(&desk.path(), by("2026-08-02")).unwrap_err().code, "MC941");
    desk.whole();
}
