//! Who may act, what is answered, and what is on record, from outside: bars on every judgement, receipts, names that fit
//! several leads, and a disk that fills at every moment there is.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::city::city;
use crate::harness::{BINARY, Told, mingcha, told};

const LEDGER: &str = "book/ledger.sqlite";

/// A folder with a ledger that has taken the city's run in, and the office's rules of conduct.
fn desk(conduct: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let run = city().join("run").display().to_string();
    let absorb = ["ledger", "absorb", &run, "--ledger", LEDGER, "--as", "nightly", "--at", "2026-11-01"];
    mingcha(dir.path(), &absorb).well();
    if !conduct.is_empty() {
        fs::write(dir.path().join("mingcha.toml"), conduct).unwrap();
    }
    dir
}

fn step(at: &Path, args: &[&str]) -> Told {
    mingcha(at, &[&["findings"], args, &["--ledger", LEDGER, "--at", "2026-11-02"]].concat())
}

fn leads(at: &Path, more: &[&str]) -> Vec<Value> {
    let list = ["list", "--format", "json", "--limit", "0", "--profile", "investigator"];
    step(at, &[&list, more].concat()).well().json().as_array().unwrap().clone()
}

fn confirmed(at: &Path, id: &str) {
    step(at, &["assign", id, "--to", "li", "--as", "chief"]).well();
    step(at, &["visit", id, "--as", "li", "--how", "papers", "--text", "seen"]).well();
    step(at, &["confirm", id, "--as", "li", "--how", "papers", "--document", "2026-7"]).well();
}

#[test]
fn a_handler_neither_clears_nor_closes_nor_waives_in_whatever_digits_the_name_is_given() {
    let dir = desk("[[ledger.handlers]]\nname = \"窗口01\"\narea = \"88\"\n");
    let at = dir.path();
    let all = leads(at, &[]);
    // Every lead, also those that do not say where they lie.
    let somewhere = all.iter().find(|l| l["area_code"].is_string()).unwrap();
    let nowhere = all.iter().find(|l| l["area_code"].is_null()).unwrap();
    for lead in [somewhere, nowhere] {
        let id = lead["finding_id"].as_str().unwrap();
        confirmed(at, id);
        for who in ["窗口01", "窗口０１", "窗 口·01"] {
            for verb in [
                &["clear", "--reason", "legitimate", "--text", "lawful"][..],
                &["close", "--text", "done"],
                &["transfer", "--to", "police", "--document", "T-1"],
                &["recover", "--amount", "1", "--document", "R-1"],
            ] {
                let told = step(at, &[&[verb[0], id, "--as", who], &verb[1..]].concat());
                assert!(
                    told.code == Some(2) && told.err.contains("MC854"),
                    "{} by {who}: {}",
                    verb[0],
                    told.err
                );
            }
        }
        step(at, &["close", id, "--as", "chief", "--text", "done"]).well();
        let told = step(at, &["reopen", id, "--as", "窗口０１", "--text", "no"]);
        assert!(told.code == Some(2) && told.err.contains("MC854"), "{}", told.err);
    }
    let waive = ["waive", "--rule", "PEN-01", "--reason", "known", "--expires", "2027-01-01"];
    for people in [["--as", "窗口０１", "--approver", "wang"], ["--as", "wang", "--approver", "窗口０１"]]
    {
        let told = step(at, &[&waive[..], &people].concat());
        assert!(told.code == Some(2) && told.err.contains("MC854"), "{}", told.err);
    }
}

#[test]
fn a_receipt_books_once_and_no_more_than_was_at_risk_without_a_reason() {
    let dir = desk("");
    let at = dir.path();
    let all = leads(at, &["--rule", "PEN-01"]);
    let ids: Vec<&str> = all.iter().take(2).map(|l| l["finding_id"].as_str().unwrap()).collect();
    ids.iter().for_each(|id| confirmed(at, id));
    let recover = |id: &str, amount: &str, receipt: &str, more: &[&str]| {
        let args = ["recover", id, "--as", "li", "--amount", amount, "--document", receipt];
        step(at, &[&args, more].concat())
    };
    recover(ids[0], "1.50", "收据 R-1", &[]).well();
    for (id, receipt) in [(ids[0], "收据 R-1"), (ids[1], "收据R－１")] {
        let told = recover(id, "1.50", receipt, &[]);
        assert_eq!(told.code, Some(2), "the receipt booked twice: {}", told.out);
        assert!(told.err.contains("MC862") && told.err.contains("by li on 2026-11-02"), "{}", told.err);
    }
    let told = recover(ids[1], "99999999.99", "R-2", &[]);
    assert!(told.code == Some(2) && told.err.contains("--more-than-owed"), "{}", told.err);
    recover(ids[1], "99999999.99", "R-2", &["--more-than-owed", "a fine"]).well();
    let shown = step(at, &["show", ids[1], "--format", "json"]).well().json();
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["why"]["more_than_owed"], "a fine");
}

/// For a full disk stands a limit on the size of files: whatever would be written behind it fails, whoever writes it.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_at_any_moment_leaves_what_was_answered() {
    let dir = desk("");
    let at = dir.path();
    let book = at.join("book");
    let names = ["ledger.sqlite", "ledger.sqlite.seal"];
    let clean = names.map(|name| fs::read(book.join(name)).unwrap());
    let id = leads(at, &["--rule", "PEN-01"])[0]["finding_id"].as_str().unwrap().to_owned();
    let events =
        || mingcha(at, &["verify", "--ledger", LEDGER, "--format", "json"]).well().json()["events"].as_u64();
    let before = events().unwrap();
    let size = clean[0].len() as u64 / 512;
    // Small limits one by one, where the log and the seal are written; then up to the end of the ledger, where the log goes
    // into the file.
    let mut limits: Vec<u64> = (0..24).map(|n| n * 16).collect();
    limits.extend((0..16).map(|n| 384 + (size.saturating_sub(384)) * n / 15));
    limits.extend([size + 31, size + 32, size + 64, size + 512]);
    let (mut refused, mut late) = (0, 0);
    for limit in limits {
        for beside in ["-wal", "-shm", ".seal.partial"] {
            let _ = fs::remove_file(book.join(format!("ledger.sqlite{beside}")));
        }
        for (name, bytes) in names.iter().zip(&clean) {
            fs::write(book.join(name), bytes).unwrap();
        }
        let script = format!(
            "trap '' XFSZ; ulimit -f {limit}; exec {BINARY} findings note {id} --as li --text seen --ledger {LEDGER} --at 2026-11-02"
        );
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script]).current_dir(at).env_clear().env("NO_COLOR", "1").env("LANG", "C");
        let answer = told(shell.output().unwrap());
        let now = events().unwrap();
        match answer.code {
            Some(0) => assert_eq!(now, before + 1, "{limit} blocks: answered, and not on record"),
            code => {
                assert_eq!(
                    now, before,
                    "{limit} blocks: refused with {code:?}, and on record all the same: {}",
                    answer.err
                );
                refused += 1;
            }
        }
        late += u64::from(answer.err.contains("MC861"));
        // Once there is room, it goes on, whatever was left behind.
        step(at, &["note", &id, "--as", "li", "--text", "again"]).well();
        assert_eq!(events().unwrap(), now + 1);
    }
    assert!(refused > 3, "the disk was never full in time");
    assert!(late > 0, "the disk was never full after the step was on record");
}
