//! `mingcha purge`: what is past its time is destroyed, on somebody's authority and with somebody else's consent. What
//! is about to go is entered into the ledger first, then deleted, then certified; whoever was interrupted in between is
//! found by the next purge, which finishes that first. Deletes only what lies directly in the folders of the
//! configuration and follows no link out of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Days, NaiveDate, Utc};
use mingcha_ledger::Book;
use mingcha_ledger::book::{Certificate, Destroyed};
use mingcha_rules::diagnostic::Diagnostic;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::nightly::Plan;
use super::{Context, ledger};
use crate::args::{Format, Purge};
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::Lock;
use crate::packs::Shelf;
use crate::render::{Table, count};

/// What lies outside the ledger and has a clock: its kind, and the setting that says how long it is kept.
const KINDS: [(&str, &str); 4] = [
    ("exports", "retention.exports"),
    ("runs", "retention.runs"),
    ("extracts", "retention.extracts"),
    ("stores", "retention.stores"),
];

/// Something outside the ledger that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thing {
    kind: &'static str,
    path: PathBuf,
    since: NaiveDate,
}

pub(super) fn run(context: &Context, args: &Purge) -> Outcome {
    let plan = Plan::read(context)?;
    let shelf = Shelf::open(context, &args.packs);
    let desk = ledger::Desk::needed(context, &args.desk, &shelf)?;
    let at = desk.by().at.to_owned();
    let today = at.get(..10).unwrap_or(&at);
    if !args.dry_run {
        agreed(args, desk.by().who)?;
    }
    // Nobody may be writing what is about to be deleted.
    let _lock = Lock::named(&plan.folder, &format!("mingcha purge, process {}", std::process::id()))?;
    let things = things(context, &plan, today)?;
    let book = Book::read(&desk.path).map_err(ledger::refused)?;
    let leads = leads(context, &book, today)?;
    let begun = book.condemned().map_err(ledger::refused)?;
    drop(book);
    let mut done: Vec<(String, u64)> = Vec::new();
    if !args.dry_run {
        let authority = authority(args);
        let mut book = desk.open()?;
        for (seq, certificate) in begun {
            destroy(&certificate)?;
            book.certify(seq, desk.by()).map_err(ledger::refused)?;
            done.push((certificate.kind, certificate.items.len() as u64));
        }
        for (kind, _) in KINDS {
            let items =
                things.iter().filter(|t| t.kind == kind).map(sealed).collect::<Result<Vec<_>, _>>()?;
            if items.is_empty() {
                continue;
            }
            let certificate = Certificate { kind: kind.to_owned(), authority: authority.clone(), items };
            let seq = book.condemn(&certificate, desk.by()).map_err(ledger::refused)?;
            destroy(&certificate)?;
            book.certify(seq, desk.by()).map_err(ledger::refused)?;
            done.push((kind.to_owned(), certificate.items.len() as u64));
        }
        if !leads.is_empty() {
            book.purge(&leads, &authority, desk.by()).map_err(ledger::refused)?;
            done.push(("findings".to_owned(), leads.len() as u64));
        }
    }
    show(context, args, &things, &leads, &done);
    Ok(Exit::Done)
}

/// How much is due on `today`, for a message: what cannot be looked at is not counted.
pub(super) fn count_due(context: &Context, plan: &Plan, today: &str) -> u64 {
    let things = things(context, plan, today).map_or(0, |things| things.len() as u64);
    let book = context.config.path("ledger.path", None).and_then(|path| Book::read(&path).ok());
    things + book.and_then(|book| leads(context, &book, today).ok()).map_or(0, |leads| leads.len() as u64)
}

fn leads(context: &Context, book: &Book, today: &str) -> Result<Vec<String>, Failure> {
    match days(context, "retention.findings") {
        Some(days) => book.due(days, today).map_err(ledger::refused),
        None => Ok(Vec::new()),
    }
}

fn days(context: &Context, key: &str) -> Option<u32> {
    context.config.setting(key, None).and_then(|s| s.text.parse().ok())
}

/// Who destroys does so on an authority, and not alone.
fn agreed(args: &Purge, who: &str) -> Result<(), Failure> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let needed = [("--authority", given(&args.authority)), ("--approver", given(&args.approver))];
    if let Some((flag, _)) = needed.iter().find(|(_, given)| !given) {
        return Err(Failure::usage(
            Diagnostic::error(
                "MC915",
                format!("销毁需要 `{flag}`，但没有给出"),
                format!("a purge needs `{flag}`, but it was not given"),
            )
            .with_help("只看不销毁用 --dry-run", "--dry-run shows what is due and destroys nothing"),
        ));
    }
    let name = |text: &str| text.split_whitespace().collect::<String>().to_lowercase();
    if args.approver.as_deref().is_some_and(|approver| name(approver) == name(who)) {
        return Err(Failure::usage(Diagnostic::error(
            "MC916",
            "销毁的批准人应与办理人不同，实际相同",
            "wanted an approver other than whoever acts, got the same person",
        )));
    }
    Ok(())
}

fn authority(args: &Purge) -> String {
    let (authority, approver) =
        (args.authority.as_deref().unwrap_or_default(), args.approver.as_deref().unwrap_or_default());
    format!("{authority}; approved by {approver}")
}

/// Everything outside the ledger whose clock has run out on the day `today`.
fn things(context: &Context, plan: &Plan, today: &str) -> Result<Vec<Thing>, Failure> {
    let Some(today) = config::parse_date(today) else { return Ok(Vec::new()) };
    let mut due = Vec::new();
    for (kind, key) in KINDS {
        let Some(days) = days(context, key) else { continue };
        let mut found = match kind {
            "runs" => {
                let mut runs = inside(&plan.folder.join("runs"), kind)?;
                // The last one is what the next night builds upon.
                runs.sort_by_key(|run| run.since);
                runs.pop();
                runs
            }
            "exports" => match context.config.path("paths.export", None) {
                Some(folder) => inside(&folder, kind)?,
                None => Vec::new(),
            },
            "extracts" => files(&context.config.needed("paths.data", "--data", None)?, kind)?,
            _ => {
                let store = context.config.needed("paths.store", "--store", None)?;
                let made = changed(&store.join("manifest.json"));
                made.map(|since| Thing { kind: "stores", path: store, since }).into_iter().collect()
            }
        };
        let over = |since: NaiveDate| {
            since.checked_add_days(Days::new(u64::from(days))).is_some_and(|end| end <= today)
        };
        found.retain(|thing| over(thing.since));
        found.sort_by(|a, b| a.path.cmp(&b.path));
        due.extend(found);
    }
    Ok(due)
}

/// What lies directly in `folder`, hidden things aside. Its clock runs from the day that its name begins with, else
/// from the last change.
fn inside(folder: &Path, kind: &'static str) -> Result<Vec<Thing>, Failure> {
    let mut out = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let since = name.get(..10).and_then(config::parse_date).or_else(|| changed(&path));
        out.extend(since.map(|since| Thing { kind, path, since }));
    }
    Ok(out)
}

/// The files below `folder`, links aside.
fn files(folder: &Path, kind: &'static str) -> Result<Vec<Thing>, Failure> {
    let mut out = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for path in entries(&folder)? {
            let Ok(meta) = path.symlink_metadata() else { continue };
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_file()
                && let Some(since) = changed(&path)
            {
                out.push(Thing { kind, path, since });
            }
        }
    }
    Ok(out)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e: io::Error| Failure::disk(folder, &e);
    match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(failed)?.map(|e| e.map(|e| e.path()).map_err(failed)).collect(),
    }
}

fn changed(path: &Path) -> Option<NaiveDate> {
    let time: SystemTime = path.symlink_metadata().ok()?.modified().ok()?;
    Some(DateTime::<Utc>::from(time).date_naive())
}

/// A thing as its certificate names it.
fn sealed(thing: &Thing) -> Result<Destroyed, Failure> {
    let failed = |e: io::Error| Failure::disk(&thing.path, &e);
    let (sha256, bytes) = match run_seal(&thing.path).filter(|_| thing.kind == "runs") {
        Some(seal) => (seal, weigh(&thing.path).map_err(failed)?),
        None => digest(&thing.path).map_err(failed)?,
    };
    // Where it really is: an interrupted purge may be finished from another folder.
    let name = fs::canonicalize(&thing.path).map_err(failed)?.display().to_string();
    Ok(Destroyed { name, sha256, bytes, since: thing.since.to_string() })
}

/// What the ledger calls a run, also one that is damaged.
fn run_seal(folder: &Path) -> Option<String> {
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).ok()?).ok()?;
    manifest["seal"].as_str().map(str::to_owned)
}

fn weigh(path: &Path) -> io::Result<u64> {
    Ok(all_files(path)?.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum())
}

fn all_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.symlink_metadata()?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut out, mut open) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.symlink_metadata()?.is_dir() { open.push(path) } else { out.push(path) }
        }
    }
    out.sort();
    Ok(out)
}

/// SHA-256 of a file, or over names and content of the files of a folder; and the bytes.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let folder = path.symlink_metadata()?.is_dir();
    let mut buffer = vec![0; 1 << 16];
    for file in all_files(path)? {
        if folder {
            hash.update(file.strip_prefix(path).unwrap_or(&file).to_string_lossy().as_bytes());
            hash.update([0]);
        }
        let mut open = File::open(&file)?;
        loop {
            let n = open.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            bytes += n as u64;
        }
    }
    let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, bytes))
}

/// Deletes what `certificate` names; what is gone already is gone.
fn destroy(certificate: &Certificate) -> Result<(), Failure> {
    for item in &certificate.items {
        let path = Path::new(&item.name);
        let Ok(meta) = path.symlink_metadata() else { continue };
        let gone = if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        gone.map_err(|e| Failure::disk(path, &e))?;
        if let Some(parent) = path.parent() {
            // The certificate must not outlive a power cut that brings the file back.
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(|e| Failure::disk(parent, &e))?;
        }
    }
    Ok(())
}

fn show(context: &Context, args: &Purge, things: &[Thing], leads: &[String], done: &[(String, u64)]) {
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        let due: Vec<_> = things
            .iter()
            .map(|t| json!({"kind": t.kind, "path": t.path.display().to_string(), "since": t.since.to_string()}))
            .collect();
        let done: std::collections::BTreeMap<&str, u64> =
            done.iter().fold(std::collections::BTreeMap::new(), |mut all, (kind, n)| {
                *all.entry(kind.as_str()).or_default() += n;
                all
            });
        screen.json(&json!({"due": due, "findings": leads.len(), "destroyed": done}));
        return;
    }
    let mut table =
        Table::new([screen.say("种类", "kind"), screen.say("起算日", "since"), screen.say("位置", "where")]);
    for thing in things {
        table.row([thing.kind.to_owned(), thing.since.to_string(), thing.path.display().to_string()]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
    if !leads.is_empty() {
        let n = count(leads.len() as u64);
        screen.line(screen.say(&format!("到期的线索：{n} 条"), &format!("leads past their time: {n}")));
    }
    if things.is_empty() && leads.is_empty() && done.is_empty() {
        screen.line(screen.say("没有到期的", "nothing is due"));
    }
    for (kind, n) in done {
        screen.line(screen.say(
            &format!("已销毁 {kind}：{n}，台账中有凭证"),
            &format!("destroyed {kind}: {n}, with a certificate in the ledger"),
        ));
    }
}
