//! What a ledger proves: every change after the fact is found and named, and whoever dies in between leaves a ledger.

use std::fs;
use std::path::Path;

use mingcha_ledger::book::{Action, Book, Filter, Proof};
use mingcha_ledger::{Manifest, RunFolder};
use rusqlite::Connection;

use crate::book::{Desk, Tonight, by, findings, of, one};

/// A ledger of two nights and some acts.
fn desk() -> Desk {
    let desk = Desk::new();
    let all = findings(40);
    desk.absorb(&Tonight::new("2026-11-01", all.clone()));
    let area = Filter { area: Some("880101".to_owned()), ..Filter::default() };
    desk.open()
        .act(&area, &Action::Assign { to: Some("li".to_owned()) }, &desk.policy, by("2026-11-01"))
        .unwrap();
    desk.absorb(&Tonight::new("2026-11-02", all[..30].to_vec()));
    desk.whole();
    desk
}

fn proof(path: &Path) -> Proof {
    Book::verify(path, None).unwrap()
}

/// Does `sql` to the ledger as somebody who knows SQLite would, with the guards taken away and put back.
fn tamper(path: &Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let guards: Vec<(String, String)> = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, _) in &guards {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    conn.execute_batch(sql).unwrap();
    for (_, guard) in &guards {
        conn.execute_batch(guard).unwrap();
    }
    drop(conn);
}

#[test]
fn the_database_itself_refuses_to_change_or_remove_an_event() {
    let desk = desk();
    let conn = Connection::open(desk.path()).unwrap();
    for sql in [
        "UPDATE events SET actor = 'somebody' WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE contents SET body = '{}' WHERE seq = 3",
        "DELETE FROM contents WHERE seq = 3",
        "UPDATE ledger SET value = ''",
        "DELETE FROM ledger",
        "INSERT INTO purged VALUES (3, 2)",
    ] {
        assert!(conn.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn every_kind_of_tampering_is_found_and_named() {
    let desk = desk();
    let clean = fs::read(desk.path()).unwrap();
    let seal = fs::read(desk.path().with_extension("sqlite.seal")).unwrap();
    let last = proof(&desk.path()).events;
    let cut = format!("DELETE FROM events WHERE seq > {0}; DELETE FROM contents WHERE seq > {0}", last - 2);
    let cut_told = format!("events {} to {last} are missing: the end of the chain was cut off", last - 1);
    let cases = [
        ("UPDATE events SET actor = 'somebody' WHERE seq = 7", "MC845", "event 7 (new) was changed"),
        ("UPDATE events SET at = '2026-11-01T00:00:00Z' WHERE seq = 7", "MC845", "event 7 (new) was changed"),
        ("DELETE FROM events WHERE seq = 7", "MC846", "event 7 is missing"),
        ("DELETE FROM events WHERE seq BETWEEN 7 AND 9", "MC846", "events 7 to 9 are missing"),
        // Two events change places, with all that they say.
        (
            "UPDATE events SET seq = 9999 WHERE seq = 7; UPDATE events SET seq = 7 WHERE seq = 8; UPDATE events SET seq = 8 WHERE seq = 9999",
            "MC845",
            "event 7 (new) was changed",
        ),
        (
            "INSERT INTO events SELECT 100000, at, actor, what, register, key, run, digest, prev, hash FROM events WHERE seq = 7",
            "MC845",
            "event 100000 (new) was changed",
        ),
        (
            "UPDATE contents SET body = replace(body, 'PEN-13', 'PEN-14') WHERE seq = 7",
            "MC848",
            "the content of event 7 (new) was changed",
        ),
        (
            "DELETE FROM contents WHERE seq = 7",
            "MC848",
            "the content of event 7 (new) is missing, without a certificate",
        ),
        (
            "UPDATE leads SET body = json_set(body, '$.stage', 'cleared') WHERE key = (SELECT key FROM events WHERE seq = 7)",
            "MC849",
            "of the register leads is not what the events make of it",
        ),
        (
            "DELETE FROM leads WHERE key = (SELECT key FROM events WHERE seq = 7)",
            "MC849",
            "of the register leads is not what the events make of it",
        ),
        ("DELETE FROM runs", "MC849", "of the register runs is not what the events make of it"),
        (
            "UPDATE ledger SET value = '00' WHERE key = 'secret'",
            "MC849",
            "of the register ledger is not what the events make of it",
        ),
        ("CREATE TABLE more (x)", "MC850", "the table `more` differs, is missing or was added"),
        ("DROP INDEX leads_by_rule", "MC850", "the index `leads_by_rule` differs, is missing or was added"),
        (cut.as_str(), "MC846", cut_told.as_str()),
    ];
    for (sql, code, told) in cases {
        tamper(&desk.path(), sql);
        let faults = proof(&desk.path()).faults;
        assert!(faults.iter().any(|f| f.code == "MC844"), "{sql}: the seal fits");
        assert!(
            faults.iter().any(|f| f.code == code && f.message.en.contains(told)),
            "{sql}: {:?}",
            faults.iter().map(|f| &f.message.en).collect::<Vec<_>>()
        );
        let refused = Book::open(&desk.path(), by("2026-11-03"));
        assert!(refused.is_err(), "{sql}: somebody may go on writing");
        fs::write(desk.path(), &clean).unwrap();
        fs::write(desk.path().with_extension("sqlite.seal"), &seal).unwrap();
        let _ = fs::remove_file(desk.path().with_extension("sqlite-wal"));
        desk.whole();
    }
    // A guard that was taken away.
    Connection::open(desk.path()).unwrap().execute_batch("DROP TRIGGER events_stay").unwrap();
    assert!(proof(&desk.path()).faults.iter().any(|f| f.message.en.contains("trigger `events_stay`")));
}

#[test]
fn an_event_of_another_history_of_the_same_ledger_is_found_where_the_next_one_does_not_follow() {
    let desk = desk();
    let note = |text: &str| {
        let mut book = desk.open();
        let id =
            book.leads(&Filter::default(), &desk.policy, "2026-11-02").unwrap()[0].lead.finding_id.clone();
        book.act(&of(&id), &Action::Note { text: text.to_owned() }, &desk.policy, by("2026-11-02")).unwrap();
    };
    let (path, seal) = (desk.path(), desk.path().with_extension("sqlite.seal"));
    let before = (fs::read(&path).unwrap(), fs::read(&seal).unwrap());
    // What somebody would rather have written.
    note("something else");
    let other = desk.dir.path().join("other.sqlite");
    fs::copy(&path, &other).unwrap();
    fs::write(&path, before.0).unwrap();
    fs::write(&seal, before.1).unwrap();
    note("what was written");
    let seq = proof(&path).events;
    note("and then");
    tamper(
        &path,
        &format!(
            "ATTACH '{}' AS other; DELETE FROM contents WHERE seq = {seq}; DELETE FROM events WHERE seq = {seq};
             INSERT INTO events SELECT * FROM other.events WHERE seq = {seq}; INSERT INTO contents SELECT * FROM other.contents WHERE seq = {seq}; DETACH other",
            other.display()
        ),
    );
    let faults = proof(&path).faults;
    let told = format!("event {} (noted) does not follow the one before", seq + 1);
    assert!(faults.iter().any(|f| f.code == "MC847" && f.message.en.contains(&told)), "{faults:?}");
    assert!(!faults.iter().any(|f| f.code == "MC845"), "each event fits its own hash: {faults:?}");
}

#[test]
fn a_history_that_was_exchanged_as_a_whole_is_found_by_a_head_kept_elsewhere() {
    let (first, second) = (desk(), desk());
    let head = first.open().head().unwrap();
    assert!(Book::verify(&first.path(), Some(&head)).unwrap().faults.is_empty());
    let faults = Book::verify(&second.path(), Some(&head)).unwrap().faults;
    assert_eq!(faults.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["MC846"]);
    // It stays provable when the ledger goes on.
    first.absorb(&Tonight::new("2026-11-03", findings(40)));
    assert!(Book::verify(&first.path(), Some(&head)).unwrap().faults.is_empty());
}

/// Places spread over `len` bytes, the same every time.
fn places(len: usize, n: usize) -> Vec<(usize, u8)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..n).map(|_| (usize::try_from(next() % len as u64).unwrap(), 1 << (next() % 8))).collect()
}

#[test]
fn a_byte_changed_anywhere_in_the_ledger_is_found() {
    let desk = desk();
    let mut missed = Vec::new();
    for (file, tries) in [("ledger.sqlite", 900), ("ledger.sqlite.seal", 100)] {
        let path = desk.dir.path().join(file);
        let clean = fs::read(&path).unwrap();
        for (place, bit) in places(clean.len(), tries) {
            let mut damaged = clean.clone();
            damaged[place] ^= bit;
            fs::write(&path, &damaged).unwrap();
            if proof(&desk.path()).faults.is_empty() {
                missed.push((file, place));
            }
        }
        fs::write(&path, &clean).unwrap();
    }
    assert_eq!(missed, []);
    desk.whole();
}

#[test]
fn a_byte_changed_anywhere_in_a_run_folder_is_found() {
    let desk = desk();
    let folder = desk.dir.path().join("run-2026-11-01");
    let mut missed = Vec::new();
    for name in ["manifest.json", "findings.parquet", "excused.parquet", "rules.parquet"] {
        let path = folder.join(name);
        let clean = fs::read(&path).unwrap();
        for (place, bit) in places(clean.len(), 250) {
            let mut damaged = clean.clone();
            damaged[place] ^= bit;
            fs::write(&path, &damaged).unwrap();
            if RunFolder::open(&folder).is_ok() {
                missed.push((name, place));
            }
        }
        fs::write(&path, &clean).unwrap();
    }
    assert_eq!(missed, []);
    RunFolder::open(&folder).unwrap();
}

#[test]
fn the_ledger_knows_the_run_folder_it_took_in() {
    let desk = desk();
    let nights = desk.open().nights().unwrap();
    for night in nights {
        let folder = desk.dir.path().join(&night.folder);
        let manifest: Manifest = RunFolder::open(&folder).unwrap().manifest().clone();
        assert_eq!((manifest.seal, manifest.run_id), (night.seal, night.run_id));
    }
}

#[test]
fn destroyed_content_leaves_a_certificate_and_a_whole_chain() {
    let (finding, id) = one();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", vec![finding.clone()]));
    let mut book = desk.open();
    book.act(&of(&id), &Action::Assign { to: Some("li".to_owned()) }, &desk.policy, by("2026-11-01"))
        .unwrap();
    assert_eq!(
        book.purge(std::slice::from_ref(&id), "retention schedule 2026", by("2026-11-02")).unwrap(),
        2
    );
    assert!(book.leads(&Filter::default(), &desk.policy, "2026-11-02").unwrap().is_empty());
    drop(book);
    desk.whole();
    let bytes = fs::read(desk.path()).unwrap();
    let number = finding.subject_id.as_bytes();
    assert!(!bytes.windows(number.len()).any(|window| window == number), "the number is still in the file");
}

#[test]
fn readers_see_one_state_while_a_writer_goes_on() {
    let desk = desk();
    let (early, late) = (Book::read(&desk.path()).unwrap(), Book::read(&desk.path()).unwrap());
    let seen = early.leads(&Filter::default(), &desk.policy, "2026-11-03").unwrap();
    let mut book = desk.open();
    let run = Tonight::new("2026-11-03", findings(60)).write(desk.dir.path());
    book.absorb(&run, &desk.policy, None, by("2026-11-03")).unwrap();
    assert_eq!(early.leads(&Filter::default(), &desk.policy, "2026-11-03").unwrap(), seen);
    drop((early, late));
    assert_eq!(desk.leads(&Filter::default(), "2026-11-03").len(), 60);
    drop(book);
    // The readers stood in the way of sealing; the next writer does it.
    drop(desk.open());
    desk.whole();
}

#[test]
fn a_second_writer_is_told_who_holds_the_ledger() {
    let desk = desk();
    let first = desk.open();
    let second = Book::open(&desk.path(), by("2026-11-02")).unwrap_err();
    assert_eq!(second.code, "MC841");
    assert!(second.message.en.contains("zhang, process "), "{}", second.message.en);
    drop(first);
    desk.open();
}

#[test]
fn whoever_dies_before_sealing_leaves_a_ledger_that_proves_itself() {
    let desk = desk();
    let (path, seal) = (desk.path(), desk.path().with_extension("sqlite.seal"));
    let (old_file, old_seal) = (fs::read(&path).unwrap(), fs::read(&seal).unwrap());
    let before = desk.open().fingerprint().unwrap();
    // A reader keeps the log from going into the file: as after a death between commit and sealing.
    let reader = Book::read(&path).unwrap();
    reader.leads(&Filter::default(), &desk.policy, "2026-11-03").unwrap();
    let mut book = desk.open();
    let run = Tonight::new("2026-11-03", findings(60)).write(desk.dir.path());
    book.absorb(&run, &desk.policy, None, by("2026-11-03")).unwrap();
    let after = book.fingerprint().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let there = copy.path().join("ledger.sqlite");
    let wal = path.with_extension("sqlite-wal");
    // Committed, not yet in the file.
    fs::copy(&path, &there).unwrap();
    fs::copy(&wal, there.with_extension("sqlite-wal")).unwrap();
    fs::write(there.with_extension("sqlite.seal"), &old_seal).unwrap();
    assert_eq!(proof(&there).faults, []);
    assert_eq!(Book::open(&there, by("2026-11-04")).unwrap().fingerprint().unwrap(), after);
    assert_eq!(proof(&there).faults, []);
    // The log torn off in the middle: the old state, whole.
    fs::write(&there, &old_file).unwrap();
    fs::write(there.with_extension("sqlite.seal"), &old_seal).unwrap();
    let log = fs::read(&wal).unwrap();
    fs::write(there.with_extension("sqlite-wal"), &log[..log.len() / 2]).unwrap();
    assert_eq!(Book::open(&there, by("2026-11-04")).unwrap().fingerprint().unwrap(), before);
    assert_eq!(proof(&there).faults, []);
    drop((reader, book));
}
