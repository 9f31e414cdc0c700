//! Filled workbooks on their way back into the ledger: which list each one is, what it says of which lead, what that
//! would change, and everything that speaks against taking it in. First a plan for all files, then one transaction per
//! file; the same file again changes nothing, and two that disagree about a lead change nothing of it.
//!
//! Knows no clock and no screen. A file with faults is refused as a whole unless its good rows are asked for; nothing of
//! a file is left out silently.

mod answers;
mod cells;
mod plan;
mod workbook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mingcha_rules::diagnostic::Level;
use mingcha_rules::{Diagnostic, Text};
use serde::Serialize;

use crate::book::{Action, Answer, Book, By, Handout, Keys, Lead, Policy, Receipts, Returned, Said, Stage};
use crate::export::{Field, Kind};
use crate::time::{Day, Zone};
use answers::{Answers, Span};
use workbook::Workbook;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Say what would change.
    Look,
    /// Take every file in that has no fault.
    Whole,
    /// Take in what has no fault, also of files that have some.
    Partial,
}

/// What a file brings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Brought {
    /// The file.
    pub file: PathBuf,
    /// Number of the export; none where the file does not say it.
    pub number: Option<String>,
    /// Who received it.
    pub recipient: Option<String>,
    /// What it changes, lead by lead.
    pub changes: Vec<Change>,
    /// Rows that say what is known already.
    pub known: u64,
    /// Rows that nobody filled in.
    pub empty: u64,
    /// Persons of the control sample about whom it says something new.
    pub controls: u64,
    /// Of these, dead or in custody: what the rules did not find. Sheet and row of each.
    pub missed: Vec<String>,
    /// What speaks against it, with file, sheet and cell.
    pub faults: Vec<Diagnostic>,
    /// Whether it was taken in, wholly or in part.
    pub taken: bool,
}

/// What a file changes of a lead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What masked lists call it.
    pub lead: String,
    /// Its rule.
    pub rule_id: String,
    /// `线索清单!R5`.
    pub cell: String,
    /// Where it stands.
    pub from: Stage,
    /// Where it will stand.
    pub to: Stage,
    /// Step by step.
    pub steps: Vec<Text>,
    #[serde(skip)]
    finding_id: String,
    #[serde(skip)]
    actions: Vec<Action>,
}

/// Takes filled workbooks in, in the order in which they are given; with [`Mode::Look`] only says what they would change,
/// and the ledger may be open for reading.
///
/// # Errors
/// `MC842` where the database refuses before anything is taken in; afterwards that is a fault of the file that could not be
/// taken in. What is wrong with a file is in its faults: `MC880` no workbook of ours, `MC824` more in it than in any list, `MC881`
/// no list of this ledger, `MC882` expired, `MC883` locked cells edited, `MC884` rows added or doubled, `MC886`/`MC887`
/// cells that cannot be read, `MC888` answers that do not go together, `MC889` two files that disagree, `MC890` the ledger
/// says otherwise, and what [`Book::act`] refuses.
pub fn import(
    book: &mut Book,
    files: &[PathBuf],
    mode: Mode,
    policy: &Policy,
    by: By<'_>,
) -> Result<Vec<Brought>, Diagnostic> {
    let office = Office::new(book, policy, by)?;
    let mut read: Vec<Parcel> = files.iter().map(|file| office.open(file)).collect();
    let mut known = Known::new(book.returned()?, book.receipts()?, book.zone());
    disagreements(book, &office, &known, &mut read)?;
    let mut brought = Vec::new();
    let mut stopped = false;
    for parcel in read {
        let mut planned = plan::plan(book, &office, &known, parcel)?;
        let refused = planned.brought.faults.iter().any(|fault| fault.level == Level::Error);
        let mut booked = None;
        let mut wanted = planned.says_something() && (!refused || mode == Mode::Partial);
        if wanted && stopped {
            planned.brought.faults.push(not_reached(&planned.brought.file));
            wanted = false;
        }
        if wanted && mode != Mode::Look {
            let steps: Vec<(String, Vec<Action>)> = planned
                .brought
                .changes
                .iter()
                .map(|change| (change.finding_id.clone(), change.actions.clone()))
                .collect();
            // What was taken in before this file stays, and is told.
            match book.take_back(&planned.returned, &steps, policy, by) {
                Ok(()) => {
                    planned.brought.taken = true;
                    // Now with the numbers of their events.
                    booked = Some(book.receipts()?);
                }
                Err(fault) => {
                    planned.brought.faults.push(fault);
                    (stopped, wanted) = (true, false);
                }
            }
        }
        if wanted || (mode == Mode::Look && !refused) {
            known.add(&planned);
        }
        if let Some(booked) = booked {
            known.receipts = booked;
        }
        brought.push(planned.brought);
    }
    Ok(brought)
}

/// What holds for all files of one import.
struct Office<'a> {
    handouts: BTreeMap<String, Handout>,
    name: String,
    keys: Keys,
    policy: &'a Policy,
    by: By<'a>,
}

/// A file that was read: its rows are good by themselves.
struct Parcel {
    file: PathBuf,
    sha256: String,
    handout: Option<Handout>,
    rows: Vec<Answers>,
    empty: u64,
    faults: Vec<Diagnostic>,
    /// Rows about which another file, or an earlier one, says something else.
    disputed: BTreeSet<usize>,
}

impl<'a> Office<'a> {
    fn new(book: &Book, policy: &'a Policy, by: By<'a>) -> Result<Self, Diagnostic> {
        let handouts = book.handouts()?.into_iter().map(|handout| (handout.id.clone(), handout)).collect();
        Ok(Self { handouts, name: book.name()?, keys: book.keys()?, policy, by })
    }

    fn open(&self, file: &Path) -> Parcel {
        let mut parcel = Parcel {
            file: file.to_path_buf(),
            sha256: String::new(),
            handout: None,
            rows: Vec::new(),
            empty: 0,
            faults: Vec::new(),
            disputed: BTreeSet::new(),
        };
        let workbook = match Workbook::open(file) {
            Ok(workbook) => workbook,
            Err(fault) => {
                parcel.faults.push(fault);
                return parcel;
            }
        };
        parcel.sha256.clone_from(&workbook.sha256);
        let handout = match self.handout(&workbook) {
            Ok(handout) => handout,
            Err(fault) => {
                parcel.faults.push(fault);
                return parcel;
            }
        };
        parcel.handout = Some(handout.clone());
        if *self.by.day() > *handout.expires {
            parcel.faults.push(expired(&workbook.file, handout));
            return parcel;
        }
        let (rows, faults) = workbook.rows(handout, &self.keys);
        parcel.faults.extend(faults);
        let (left, today) = (self.by.zone.day(&handout.at), self.by.day());
        let span = Span { from: &left, to: &today };
        for row in rows {
            match Answers::read(&row, span) {
                Ok(Some(answers)) => parcel.rows.push(answers),
                Ok(None) => parcel.empty += 1,
                Err(faults) => parcel.faults.extend(faults),
            }
        }
        parcel
    }

    /// The list on record that a workbook says it is.
    fn handout(&self, workbook: &Workbook) -> Result<&Handout, Diagnostic> {
        let known = workbook.number().and_then(|number| self.handouts.get(number));
        match (workbook.ledger(), known) {
            (Some(ledger), Some(handout)) if ledger == self.name => Ok(handout),
            (None, _) => Err(unknown(
                &workbook.file,
                (
                    "这份清单导出时没有台账，没有导出编号",
                    "this list was exported without a ledger and has no number",
                ),
            )),
            (Some(ledger), _) if ledger != self.name => {
                Err(unknown(&workbook.file, ("这份清单出自另一个台账", "this list is from another ledger")))
            }
            _ => Err(unknown(
                &workbook.file,
                ("台账中没有这份清单的导出编号", "the number of this export is not on record in the ledger"),
            )),
        }
    }
}

/// What a row says, as it is compared with others and kept on record. Money is known by its receipt, and remarks are no
/// facts.
fn said(keys: &Keys, about: &str, row: &Answers) -> Said {
    let digest = |(field, value): (&Field, &answers::Value)| {
        (field.as_str().to_owned(), keys.answer(about, field.as_str(), &value.plain()))
    };
    Said { facts: row.values.iter().map(digest).collect(), settled: row.is_settled() }
}

/// A fact that both state, and differently. Who has not settled the matter contradicts nobody; and who checked it after
/// another list checked it another day, which is no contradiction either.
fn dispute(a: &Said, b: &Said, same_list: bool) -> Option<Field> {
    if !a.settled || !b.settled {
        return None;
    }
    let matter = [Field::Conclusion, Field::State, Field::Died, Field::Card];
    let record = [Field::By, Field::On, Field::How, Field::Document];
    let fact = |said: &'_ Said, field: Field| said.facts.get(field.as_str()).cloned();
    let differs = |field: &Field| match (fact(a, *field), fact(b, *field)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    if let Some(field) = matter.into_iter().find(differs) {
        return Some(field);
    }
    // A later payment has a receipt of its own.
    let later_money = fact(a, Field::Recovered) != fact(b, Field::Recovered);
    let record = record.into_iter().filter(|field| same_list && !(later_money && *field == Field::Document));
    record.into_iter().find(|field| differs(field))
}

/// Finds every two rows, of these files or of earlier ones, that disagree; nothing of such a lead is taken.
fn disagreements(
    book: &Book,
    office: &Office<'_>,
    known: &Known,
    parcels: &mut [Parcel],
) -> Result<(), Diagnostic> {
    let mut all: BTreeMap<String, Vec<(usize, usize, Said)>> = BTreeMap::new();
    for (p, parcel) in parcels.iter().enumerate() {
        let Some(handout) = &parcel.handout else { continue };
        let names = Names::new(&office.keys, handout);
        for (r, row) in parcel.rows.iter().enumerate() {
            let Some(about) = names.about(handout, row) else { continue };
            let said = said(&office.keys, &about, row);
            all.entry(about).or_default().push((p, r, said));
        }
    }
    // What was said before a lead was opened anew was said of other evidence.
    let leads = book.leads_of(&all.keys().filter(|about| !known.of(about).is_empty()).cloned().collect())?;
    let mut found: Vec<(usize, usize, Diagnostic)> = Vec::new();
    for (about, rows) in &all {
        let opened = leads.get(about).map_or("", |lead| lead.opened.as_str());
        for (i, (p, r, said)) in rows.iter().enumerate() {
            let here = &parcels[*p].rows[*r];
            for (q, s, other) in rows.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, row)| row) {
                let number = |p: usize| parcels[p].handout.as_ref().map(|handout| &handout.id);
                if let Some(field) = dispute(said, other, number(*p) == number(*q)) {
                    let there = &parcels[*q].rows[*s];
                    let place = format!("{} {}", there.place.file, there.place.cell(field));
                    found.push((*p, *r, disagree(here, field, &place)));
                }
            }
            for earlier in known.of(about).iter().filter(|e| *e.day >= *opened) {
                let same_list =
                    parcels[*p].handout.as_ref().is_some_and(|handout| handout.id == earlier.handout);
                if let Some(field) = dispute(said, &earlier.said, same_list) {
                    let place = format!("{} ({})", earlier.file, earlier.day);
                    found.push((*p, *r, disagree(here, field, &place)));
                }
            }
        }
    }
    for (p, r, fault) in found {
        parcels[p].disputed.insert(r);
        parcels[p].faults.push(fault);
    }
    Ok(())
}

/// The leads of a list by what it calls them. Made once per file: a masked list of many leads has as many names.
struct Names(BTreeMap<String, String>);

impl Names {
    fn new(keys: &Keys, handout: &Handout) -> Self {
        let masked = handout.profile != crate::Profile::Investigator.as_str();
        let name = |id: &String| if masked { keys.alias(id) } else { id.clone() };
        Self(handout.leads.iter().map(|id| (name(id), id.clone())).collect())
    }

    fn about(&self, handout: &Handout, row: &Answers) -> Option<String> {
        match row.kind {
            Kind::Visits => Some(format!("{} person:{}", handout.id, row.key)),
            _ => self.0.get(&row.key).cloned(),
        }
    }
}

/// What is known from files that came back, earlier or just now.
struct Known {
    zone: Zone,
    rows: BTreeMap<String, Vec<Earlier>>,
    controls: BTreeMap<(String, String), Answer>,
    /// Leads as they stand after the files before.
    leads: BTreeMap<String, Lead>,
    /// Receipts on record, and those of the files before.
    receipts: Receipts,
}

/// What one file said.
struct Earlier {
    handout: String,
    file: String,
    /// The day on which it was taken in.
    day: Day,
    said: Said,
}

impl Known {
    fn new(files: Vec<Returned>, receipts: Receipts, zone: Zone) -> Self {
        let mut known =
            Self { zone, rows: BTreeMap::new(), controls: BTreeMap::new(), leads: BTreeMap::new(), receipts };
        for file in &files {
            known.remember(file);
        }
        known
    }

    fn remember(&mut self, file: &Returned) {
        for (about, said) in &file.rows {
            let earlier = Earlier {
                handout: file.handout.clone(),
                file: file.file.clone(),
                day: self.zone.day(&file.at),
                said: said.clone(),
            };
            self.rows.entry(about.clone()).or_default().push(earlier);
        }
        for (person, answer) in &file.controls {
            self.controls.insert((file.handout.clone(), person.clone()), answer.clone());
        }
    }

    fn add(&mut self, file: &plan::Planned) {
        self.remember(&file.returned);
        for change in &file.brought.changes {
            if let Some(lead) = file.leads.get(&change.finding_id) {
                self.leads.insert(change.finding_id.clone(), lead.clone());
            }
        }
        self.receipts.clone_from(&file.receipts);
    }

    fn of(&self, about: &str) -> &[Earlier] {
        self.rows.get(about).map_or(&[], Vec::as_slice)
    }

    /// Whether all of `said` was said before.
    fn holds(&self, about: &str, said: &Said) -> bool {
        let known: BTreeSet<(&String, &String)> =
            self.of(about).iter().flat_map(|earlier| &earlier.said.facts).collect();
        said.facts.iter().all(|fact| known.contains(&fact))
    }
}

fn not_reached(file: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC867",
        "前面的文件未能写入台账，这份文件没有处理",
        "a file before this one could not be written into the ledger, so this one was not taken in",
    )
    .in_file(file.display())
    .with_help(
        "排除故障后把全部文件再导入一次；已记入的不会重复",
        "mend that and import all files once more; what was taken in is not taken in twice",
    )
}

fn disagree(row: &Answers, field: Field, other: &str) -> Diagnostic {
    row.place
        .fault(
            field,
            "MC889",
            format!("与 {other} 的说法不同，这条线索（人员）两份都不采用"),
            format!("disagrees with {other}; nothing about this lead (person) is taken from either"),
        )
        .with_help(
            "请双方核对，改正其中一份后再导入；已记入台账的，用 `mingcha findings` 更正",
            "ask both, correct one of them and import again; what is in the ledger already is corrected with `mingcha findings`",
        )
}

fn unknown(file: &str, (zh, en): (&str, &str)) -> Diagnostic {
    Diagnostic::error("MC881", zh, en).in_file(file).with_help(
        "用 `mingcha export --for … --ledger 台账` 重新导出，把填写的内容抄过去再导入",
        "export it again with `mingcha export --for ... --ledger LEDGER`, copy what was filled in, and import that",
    )
}

fn expired(file: &str, handout: &Handout) -> Diagnostic {
    let (id, until) = (&handout.id, &handout.expires);
    Diagnostic::error(
        "MC882",
        format!("导出 {id} 的有效期到 {until} 为止，已过期"),
        format!("export {id} was valid until {until} and has expired"),
    )
    .in_file(file)
    .with_help(
        "重新导出（有效期用 `--expires` 设定），核对后把填写的内容抄过去再导入",
        "export it again (`--expires` sets how long it is valid), check and copy what was filled in, and import that",
    )
}
