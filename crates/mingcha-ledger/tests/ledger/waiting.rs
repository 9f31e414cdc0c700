//! Readers and strangers beside a writer: nobody waits for a reader, a ledger that somebody else writes is busy and not
//! broken, and what is not folded into the file yet is proven all the same.

use std::fs;
use std::time::{Duration, Instant};

use mingcha_ledger::book::{Action, Book, Filter};
use rusqlite::Connection;

use crate::book::{Desk, Tonight, by, findings, of};

const DAY: &str = "2026-11-01";

fn desk() -> (Desk, String) {
    let desk = Desk::new();
    let all = findings(40);
    let id = all[0].finding_id.clone();
    desk.absorb(&Tonight::new(DAY, all));
    (desk, id)
}

fn note(desk: &Desk, id: &str) -> Duration {
    let begun = Instant::now();
    let note = Action::Note { text: "seen".to_owned() };
    desk.open().act(&of(id), &note, &desk.policy, by(DAY)).unwrap();
    begun.elapsed()
}

/// A reader in the middle of something.
fn reader(desk: &Desk) -> Book {
    let book = Book::read(&desk.path()).unwrap();
    assert!(!book.leads(&Filter::default(), &desk.policy, DAY).unwrap().is_empty());
    book
}

#[test]
fn a_note_waits_for_no_reader() {
    let (desk, id) = desk();
    let long = reader(&desk);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        slowest = slowest.max(note(&desk, &id));
    }
    // Readers one after another, each still reading when the next one begins.
    let mut last = reader(&desk);
    for _ in 0..3 {
        slowest = slowest.max(note(&desk, &id));
        let next = reader(&desk);
        drop(std::mem::replace(&mut last, next));
        slowest = slowest.max(note(&desk, &id));
    }
    // A checkpoint that waits takes five seconds; a busy machine not nearly as long.
    assert!(slowest < Duration::from_millis(2500), "a note took {slowest:?}");
    // While they read, the ledger proves itself, every byte of it.
    let proof = Book::verify(&desk.path(), None).unwrap();
    assert!(proof.faults.is_empty() && proof.remarks.is_empty(), "{proof:?}");
    assert_eq!(long.history(&id).unwrap().len(), 1, "the reader sees another state than it began with");
    drop((long, last));
    assert_eq!(Book::read(&desk.path()).unwrap().history(&id).unwrap().len(), 10);
    // Once they are gone, the next writer leaves one file and its seal.
    note(&desk, &id);
    desk.whole();
    assert_eq!(fs::metadata(desk.dir.path().join("ledger.sqlite-wal")).map_or(0, |log| log.len()), 0);
}

#[test]
fn a_stranger_who_writes_makes_the_ledger_busy_and_not_broken() {
    let (desk, id) = desk();
    let stranger = Connection::open(desk.path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut book = desk.open();
    let note = Action::Note { text: "seen".to_owned() };
    let fault = book.act(&of(&id), &note, &desk.policy, by(DAY)).unwrap_err();
    assert_eq!(fault.code, "MC841", "{}", fault.message.en);
    assert!(fault.message.en.contains("another program") && fault.message.en.contains("no name"));
    stranger.execute_batch("ROLLBACK").unwrap();
    book.act(&of(&id), &note, &desk.policy, by(DAY)).unwrap();
    drop((book, stranger));
    desk.whole();
}

// Who opens a database as usual brings its log into the file on closing; after a step that a reader of that kind had kept
// from going in, the file was no longer what was sealed, and every writer was refused from then on.
#[test]
fn a_stranger_who_only_reads_and_closes_last_does_the_ledger_no_harm() {
    let (desk, id) = desk();
    for steps in 1..4 {
        let stranger = Connection::open(desk.path()).unwrap();
        stranger.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
        for _ in 0..steps {
            note(&desk, &id);
        }
        drop(stranger);
        let proof = Book::verify(&desk.path(), None).unwrap();
        assert!(proof.faults.is_empty(), "{proof:?}");
        note(&desk, &id);
        desk.whole();
    }
    assert_eq!(Book::read(&desk.path()).unwrap().history(&id).unwrap().len(), 10);
    // What is changed beside that is found all the same.
    let bytes = fs::read(desk.path()).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(desk.path(), changed).unwrap();
    assert!(!Book::verify(&desk.path(), None).unwrap().faults.is_empty());
}

#[test]
fn a_log_that_is_not_in_the_file_yet_is_part_of_what_the_seal_proves() {
    let (desk, id) = desk();
    let long = reader(&desk);
    note(&desk, &id);
    let there = tempfile::tempdir().unwrap();
    let name = |more: &str| format!("ledger.sqlite{more}");
    let files: Vec<(String, Vec<u8>)> = ["", ".seal", "-wal"]
        .iter()
        .map(|more| (name(more), fs::read(desk.dir.path().join(name(more))).unwrap()))
        .collect();
    let path = there.path().join("ledger.sqlite");
    let put = |changed: &dyn Fn(&str, &mut Vec<u8>)| {
        let _ = fs::remove_file(there.path().join(name("-shm")));
        let _ = fs::remove_file(there.path().join(name("-wal")));
        for (name, bytes) in &files {
            let mut bytes = bytes.clone();
            changed(name, &mut bytes);
            fs::write(there.path().join(name), bytes).unwrap();
        }
    };
    put(&|_, _| {});
    let proof = Book::verify(&path, None).unwrap();
    assert!(proof.faults.is_empty() && proof.remarks.is_empty(), "{proof:?}");
    assert_eq!(Book::open(&path, by(DAY)).unwrap().history(&id).unwrap().len(), 2);
    // The log left out of a copy: an acknowledged step is missing, and nobody writes on top of that.
    put(&|_, _| {});
    fs::remove_file(there.path().join(name("-wal"))).unwrap();
    let faults = Book::verify(&path, None).unwrap().faults;
    assert!(faults.iter().any(|f| f.code == "MC846"), "{faults:?}");
    assert_eq!(Book::open(&path, by(DAY)).unwrap_err().code, "MC846");
    // A byte changed anywhere in the log, or in the file beside it.
    let len = files[2].1.len();
    for nth in 0..60 {
        let place = (nth * 7919 * 13) % len;
        put(&|name, bytes| {
            if name.ends_with("-wal") {
                bytes[place] ^= 16;
            }
        });
        assert!(!Book::verify(&path, None).unwrap().faults.is_empty(), "byte {place} of the log");
        put(&|name, bytes| {
            if name == "ledger.sqlite" {
                let place = (nth * 104_729) % bytes.len();
                bytes[place] ^= 16;
            }
        });
        assert!(!Book::verify(&path, None).unwrap().faults.is_empty());
    }
    drop(long);
}

#[test]
fn whoever_dies_after_several_steps_beside_a_reader_leaves_a_ledger_that_proves_itself() {
    let (desk, id) = desk();
    let long = reader(&desk);
    note(&desk, &id);
    // A second reader of a later state: part of the log can go into the file.
    let later = reader(&desk);
    drop(long);
    note(&desk, &id);
    note(&desk, &id);
    let there = tempfile::tempdir().unwrap();
    for more in ["", ".seal", "-wal"] {
        let name = format!("ledger.sqlite{more}");
        fs::copy(desk.dir.path().join(&name), there.path().join(&name)).unwrap();
    }
    let path = there.path().join("ledger.sqlite");
    assert!(Book::verify(&path, None).unwrap().faults.is_empty());
    assert_eq!(Book::open(&path, by(DAY)).unwrap().history(&id).unwrap().len(), 4);
    let proof = Book::verify(&path, None).unwrap();
    assert!(proof.faults.is_empty() && proof.remarks.is_empty(), "{proof:?}");
    drop(later);
}
