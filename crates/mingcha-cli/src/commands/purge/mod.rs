//! `mingcha purge`: what is past its time is destroyed, on somebody's authority and with somebody else's consent. What
//! is about to go is entered into the ledger first, to the file, then deleted, then certified; whoever was interrupted in
//! between is found by the next purge, which finishes that first.
//!
//! Only what is on record as made by Mingcha goes, and extracts that it read (`record`); never through a link, never
//! while somebody is at it, never what the office works with (`due`, `anchor`). Everything else that is past its time is
//! named and left. A dry run and the run after it speak of the same files.

mod anchor;
mod content;
mod destroy;
mod due;
mod made;
mod record;
mod show;

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use mingcha_ledger::Book;
use mingcha_ledger::book::{Announced, Certificate, same_person};
use mingcha_rules::diagnostic::Diagnostic;

use super::nightly::Plan;
use super::{Context, ledger};
use crate::args::Purge;
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::Lock;
use crate::packs::Shelf;
use content::Look;
use due::{KINDS, Surveyor, Thing, days};
use show::{Told, show};

pub(super) use made::{Listing, Made, listing, stranger};

pub(super) fn run(context: &Context, args: &Purge) -> Outcome {
    let plan = Plan::read(context)?;
    let shelf = Shelf::open(context, &args.packs);
    let desk = ledger::Desk::needed(context, &args.desk, &shelf)?;
    let by = desk.by();
    let today = by.zone.date(by.at);
    if !args.dry_run {
        agreed(args, by.who)?;
    }
    // Nobody may be writing what is about to be deleted.
    let _lock = Lock::named(&plan.folder, &format!("mingcha purge, process {}", std::process::id()))?;
    let surveyor = Surveyor::new(context, &plan, today, Look::Whole)?;
    let book = Book::read(&desk.path).map_err(ledger::refused)?;
    let leads = leads(context, &book, today)?;
    let begun = book.condemned().map_err(ledger::refused)?;
    drop(book);
    let mut told = Told { leads: leads.len(), ..Told::default() };
    let mut exit = Exit::Done;
    if args.dry_run {
        planned(&surveyor, &begun, &mut told)?;
    } else {
        let mut act = Act { surveyor: &surveyor, desk: &desk, book: desk.open()?, told: &mut told };
        for (seq, certificate) in begun {
            act.execute(seq, &certificate, &[])?;
        }
        let survey = surveyor.survey()?;
        act.told.left.extend(survey.left);
        let authority = authority(args);
        for (kind, _) in KINDS {
            act.condemn(kind, &survey.due, &authority)?;
        }
        // What was announced and stays is not what was agreed upon.
        if act.told.left.iter().any(|left| left.announced) {
            exit = Exit::Inputs;
        }
        if !leads.is_empty() {
            act.book.purge(&leads, &authority, desk.by()).map_err(ledger::refused)?;
            *act.told.destroyed.entry("findings".to_owned()).or_default() += leads.len() as u64;
        }
        ledger::unfinished(context, &mut act.book);
        told.due = survey.due;
    }
    show(context, args.shape.format, &told);
    Ok(exit)
}

/// What a purge would do now.
fn planned(surveyor: &Surveyor<'_>, begun: &[Announced], told: &mut Told) -> Result<(), Failure> {
    for (kind, item) in begun.iter().flat_map(|(_, c)| c.items.iter().map(move |item| (&c.kind, item))) {
        match destroy::look(surveyor, kind, item) {
            Ok(files) => told.unfinished.extend(files.into_iter().map(|file| (kind.clone(), file))),
            Err(left) => told.left.push(left),
        }
    }
    let survey = surveyor.survey()?;
    // What an interrupted purge announced goes first; what of the same things is due besides, after that.
    let announced: BTreeSet<&PathBuf> = told.unfinished.iter().map(|(_, file)| file).collect();
    for mut thing in survey.due {
        let (real, is_folder) = (thing.real.clone(), thing.is_folder);
        let is_anew = |file: &content::Seen| {
            !announced.contains(&if is_folder { real.join(&file.place) } else { real.clone() })
        };
        let before = thing.content.files.len();
        thing.content.files.retain(is_anew);
        if before == 0 || !thing.content.files.is_empty() {
            told.due.push(thing);
        }
    }
    told.left.extend(survey.left);
    Ok(())
}

/// A purge under way.
struct Act<'a> {
    surveyor: &'a Surveyor<'a>,
    desk: &'a ledger::Desk,
    book: Book,
    told: &'a mut Told,
}

impl Act<'_> {
    /// Announces the things of a kind, destroys them, certifies it.
    fn condemn(&mut self, kind: &str, due: &[Thing], authority: &str) -> Result<(), Failure> {
        let things: Vec<&Thing> = due.iter().filter(|thing| thing.kind == kind).collect();
        if things.is_empty() {
            return Ok(());
        }
        let items = things.iter().map(|thing| destroy::sealed(thing)).collect();
        let certificate = Certificate { kind: kind.to_owned(), authority: authority.to_owned(), items };
        let seq = self.book.condemn(&certificate, self.desk.by()).map_err(ledger::refused)?;
        self.execute(seq, &certificate, &things)
    }

    /// Destroys what was announced and certifies it, but for what had to be left. `things`: as they were found just now,
    /// in the order of the items; none for an announcement of an earlier purge.
    fn execute(&mut self, seq: i64, certificate: &Certificate, things: &[&Thing]) -> Result<(), Failure> {
        let mut spared = Vec::new();
        for (nth, item) in certificate.items.iter().enumerate() {
            let left = destroy::destroy(self.surveyor, &certificate.kind, item, things.get(nth).copied());
            if left.is_empty() {
                *self.told.destroyed.entry(certificate.kind.clone()).or_default() += 1;
            }
            spared.extend(left.iter().map(|left| left.path.display().to_string()));
            self.told.left.extend(left);
        }
        self.book.certify(seq, &spared, self.desk.by()).map_err(ledger::refused).map(drop)
    }
}

/// How much is due on `today`, for a message: what cannot be looked at is not counted.
pub(super) fn count_due(context: &Context, plan: &Plan, today: NaiveDate) -> u64 {
    let surveyor = Surveyor::new(context, plan, today, Look::Sizes);
    let things = surveyor.and_then(|surveyor| surveyor.survey()).map_or(0, |survey| survey.due.len() as u64);
    let book = context.config.path("ledger.path", None).and_then(|path| Book::read(&path).ok());
    things + book.and_then(|book| leads(context, &book, today).ok()).map_or(0, |leads| leads.len() as u64)
}

fn leads(context: &Context, book: &Book, today: NaiveDate) -> Result<Vec<String>, Failure> {
    match days(context, "retention.findings") {
        Some(days) => book.due(days, &today.to_string()).map_err(ledger::refused),
        None => Ok(Vec::new()),
    }
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
    if args.approver.as_deref().is_some_and(|approver| same_person(approver, who)) {
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
