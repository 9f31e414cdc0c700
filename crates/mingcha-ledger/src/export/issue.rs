//! Lists that leave the house on record: numbered, for somebody, until some day. Chooses the leads of an area or of a
//! person, takes their evidence from the runs that found them, tells the holder what is cancelled, lets a control sample
//! ride along on the visit sheet, and writes all of that into the ledger before the first file has its name.
//!
//! Knows no extract: whoever can look into one hands over the payees.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Diagnostic, Finding, Severity};
use serde::Serialize;

use super::sheaf::{Eye, Sheaf};
use super::visits::{Cancelled, Person};
use super::{Catalogue, ExportOptions, Exported, Format, Job, Staging, xlsx};
use crate::book::{Book, By, Filter, Handout, Keys, Lead, Policy, Presence, Sample, Stage};
use crate::mask::{Masker, Profile};
use crate::run::RunFolder;

/// Whose leads leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// All of the run.
    Everything,
    /// What is open in an area: the beginning of its code.
    Area(String),
    /// What is open and assigned to somebody.
    Person(String),
}

/// Somebody who draws a pension, as the extracts have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    /// Identity number.
    pub id_number: String,
    /// Name.
    pub name: String,
    /// Where they live.
    pub area_code: String,
}

/// Payees, one after another, in any order; one person may come several times.
pub type Payees<'a> = Box<dyn Iterator<Item = Result<Payee, Diagnostic>> + 'a>;

/// What is to leave, for whom, until when.
pub struct Dispatch<'a> {
    /// Whose leads.
    pub addressee: Addressee,
    /// Who receives them.
    pub recipient: String,
    /// Last day on which they may be used and come back, YYYY-MM-DD.
    pub expires: String,
    /// The run to take them from; none: the runs that the ledger knows, newest first.
    pub run: Option<RunFolder>,
    /// Deadlines and waivers go by it.
    pub policy: &'a Policy,
    /// Out of whom the control sample is drawn; none: there is no sample.
    pub payees: Option<Payees<'a>>,
    /// How many are drawn; none: one for ten persons of the list, and at least one.
    pub controls: Option<usize>,
    /// Whether leads stay away that the recipient holds already: a list that is valid has them, and neither the data nor
    /// anybody has said anything new of them since.
    pub only_new: bool,
    /// What the list is made for, such as a night. Where the recipient's list for it is on record already, that one is
    /// written once more, as it was recorded: whoever made it may have died before its files were in their place.
    pub occasion: Option<String>,
}

/// What left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issued {
    /// Number of the export.
    pub number: String,
    /// Who received it.
    pub recipient: String,
    /// Last day on which it may be used.
    pub expires: String,
    /// The files.
    pub files: Vec<Exported>,
    /// Leads in it.
    pub leads: u64,
    /// Of these, leads whose evidence lies in no run that is still there: the list has the sentence and no rows.
    pub bare: u64,
    /// Leads of earlier lists that their holder is told to let go.
    pub cancelled: u64,
    /// Leads that should have been cancelled and could not be, because the format has no place for it.
    pub untold: u64,
    /// Persons on the visit sheet because of a lead.
    pub persons: u64,
    /// Persons of the control sample, and out of how many they were drawn; none: there is no visit sheet or no sample.
    pub controls: Option<(u64, u64)>,
}

/// What the ledger puts on every sheet.
pub(super) struct Mark<'a> {
    pub(super) number: &'a str,
    pub(super) at: &'a str,
    pub(super) expires: &'a str,
    pub(super) ledger: String,
    pub(super) keys: Keys,
}

/// How much of the run a list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Whole,
    Area(String),
    Person(String),
}

/// Writes a list on record into the folder `out`: everything of it, the record included, or nothing.
///
/// # Errors
/// `MC855` where there is nothing to hand out or the run is not in the ledger, `MC894` where the recipient holds all of it
/// already, `MC891` where a list for somebody is to
/// be counts only, `MC892` where no run is left that says what the leads stand on, and as [`super::export`] and
/// [`Book::hand_out`].
pub fn issue(
    book: &mut Book,
    mut dispatch: Dispatch<'_>,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
    by: By<'_>,
) -> Result<Issued, Diagnostic> {
    if options.profile == Profile::Public && dispatch.addressee != Addressee::Everything {
        return Err(counts_for_nobody());
    }
    let keys = book.keys()?;
    let runs = Runs::new(book, dispatch.run.take())?;
    let Load { mut handout, sheaf, gone, on_record } = load(book, &runs, &dispatch, options, by)?;
    let (leads, flagged) = contents(&sheaf, &keys)?;
    let options = ExportOptions { recipient: Some(dispatch.recipient.clone()), ..options.clone() };
    let mut job = Job::new(&runs.newest, &options, catalogue)?;
    job.export_id.clone_from(&handout.id);
    job.scope = match &dispatch.addressee {
        Addressee::Everything => Scope::Whole,
        Addressee::Area(code) => Scope::Area(code.clone()),
        Addressee::Person(name) => Scope::Person(name.clone()),
    };
    let (number, at, expires) = (handout.id.clone(), handout.at.clone(), handout.expires.clone());
    let (ledger, own) = (book.name()?, book.keys()?);
    job.issued = Some(Mark { number: &number, at: &at, expires: &expires, ledger, keys: own });
    let mut issued = Issued {
        number: number.clone(),
        recipient: dispatch.recipient.clone(),
        expires: expires.clone(),
        files: Vec::new(),
        leads: 0,
        bare: sheaf.bare(),
        cancelled: 0,
        untold: 0,
        persons: 0,
        controls: None,
    };
    let mut staging = Staging::create(out, options.replace)?;
    if options.profile == Profile::Public {
        job.write_counts(&sheaf, &mut staging)?;
    } else {
        let eye = Eye { masker: Masker::new(options.profile, catalogue.contracts), keys: Some(&keys) };
        handout.leads = leads;
        let mut gone = gone;
        if !matches!(options.format, Format::Xlsx | Format::Csv) {
            issued.untold = gone.len() as u64;
            gone.clear();
        }
        handout.cancels = gone.iter().map(|(lead, _)| lead.finding_id.clone()).collect();
        let told: Vec<Cancelled> = gone.iter().map(|(lead, handouts)| told(&eye, lead, handouts)).collect();
        job.write_lists(&sheaf, &eye, &told, &mut staging)?;
        if options.format == Format::Xlsx && dispatch.addressee != Addressee::Everything {
            issued.persons = flagged.len() as u64;
            let areas = match &dispatch.addressee {
                Addressee::Area(code) => BTreeSet::from([code.clone()]),
                _ => flagged
                    .values()
                    .map(|p| p.area_code.chars().take(options.area_digits).collect::<String>())
                    .filter(|area| !area.is_empty())
                    .collect(),
            };
            let drawn = match (dispatch.payees, on_record) {
                (None, _) => None,
                (Some(_), true) if handout.sample.is_none() => None,
                (Some(payees), on_record) => {
                    let wanted = match handout.sample.as_ref().filter(|_| on_record) {
                        Some(sample) => Wanted::Again(sample),
                        None => {
                            let tenth = flagged.len().div_ceil(10);
                            Wanted::Lot(&number, dispatch.controls.unwrap_or(tenth).max(1))
                        }
                    };
                    Some(draw(payees, &areas, &book.subjects()?, &keys, wanted)?)
                }
            };
            let mut all: Vec<(String, Person)> = flagged.into_iter().collect();
            if let Some((sample, controls)) = drawn {
                issued.controls = Some((controls.len() as u64, sample.population));
                all.extend(controls);
                handout.sample = Some(sample);
            }
            // By area, then in an order that means nothing.
            all.sort_by(|(a, p), (b, q)| {
                (&p.area_code, keys.place(&number, a)).cmp(&(&q.area_code, keys.place(&number, b)))
            });
            let sheet: Vec<Person> = all.into_iter().map(|(_, person)| shown(&eye, person)).collect();
            if !sheet.is_empty() {
                let area = areas.first().filter(|_| matches!(dispatch.addressee, Addressee::Area(_)));
                let done = |path: PathBuf| Exported { path, rows: sheet.len() as u64, area: area.cloned() };
                let path = staging.path(&format!("{}.xlsx", job.name("visits")), done)?;
                xlsx::write_visits(&job, &sheet, &path)?;
            }
        }
    }
    issued.leads = handout.leads.len() as u64;
    issued.cancelled = handout.cancels.len() as u64;
    // First on record, then into the world: what nobody knows of must not be out there.
    if !on_record {
        book.hand_out(&handout, by)?;
    }
    issued.files = staging.publish()?;
    Ok(issued)
}

/// What a list holds, before anybody has written it.
struct Load {
    /// Without its leads, where it is new.
    handout: Handout,
    sheaf: Sheaf,
    /// What its reader is told to let go, with the lists by which it came.
    gone: Vec<(Lead, Vec<String>)>,
    /// Whether the ledger has it already.
    on_record: bool,
}

fn load(
    book: &Book,
    runs: &Runs,
    dispatch: &Dispatch<'_>,
    options: &ExportOptions,
    by: By<'_>,
) -> Result<Load, Diagnostic> {
    let whose = match &dispatch.addressee {
        Addressee::Everything => "",
        Addressee::Area(whose) | Addressee::Person(whose) => whose,
    };
    let handouts = book.handouts()?;
    let occasion = dispatch.occasion.clone().unwrap_or_default();
    let is_same = |h: &&Handout| {
        !occasion.is_empty()
            && (&h.occasion, &h.recipient, h.whose.as_str()) == (&occasion, &dispatch.recipient, whose)
    };
    if let Some(handout) = handouts.iter().find(is_same) {
        let sheaf = Sheaf::of(&book.leads_of(&handout.leads)?, runs.each())?;
        let came_by = |lead: &Lead| {
            let theirs = handouts.iter().filter(|h| h.recipient == handout.recipient && h.id != handout.id);
            theirs.filter(|h| h.leads.contains(&lead.finding_id)).map(|h| h.id.clone()).collect()
        };
        let gone = book.leads_of(&handout.cancels)?.into_values().map(|lead| (came_by(&lead), lead));
        let gone = in_order(gone.map(|(handouts, lead)| (lead, handouts)).collect());
        return Ok(Load { handout: handout.clone(), sheaf, gone, on_record: true });
    }
    let mut held = BTreeMap::new();
    if dispatch.only_new {
        let valid =
            handouts.iter().filter(|h| h.recipient == dispatch.recipient && h.expires.as_str() >= by.day());
        for handout in valid {
            held.extend(handout.leads.iter().map(|lead| (lead.clone(), handout)));
        }
    }
    let sheaf = chosen(book, runs, dispatch, options, &held, by)?;
    let listed: BTreeSet<String> =
        sheaf.heads().map(|f| Ok(f?.finding_id)).collect::<Result<_, Diagnostic>>()?;
    let gone = cancelled(book, &dispatch.recipient, &listed)?;
    // A list without leads may still have something to cancel; with neither there is nothing to say.
    if listed.is_empty() && gone.is_empty() && dispatch.addressee != Addressee::Everything {
        return Err(if held.is_empty() {
            nobody_there(&dispatch.addressee)
        } else {
            nothing_new(&dispatch.recipient)
        });
    }
    let handout = Handout {
        id: book.next_number()?,
        recipient: dispatch.recipient.clone(),
        at: by.at.to_owned(),
        expires: dispatch.expires.clone(),
        profile: options.profile.as_str().to_owned(),
        whose: whose.to_owned(),
        nights: book.nights()?.len() as u64,
        occasion,
        ..Handout::default()
    };
    Ok(Load { handout, sheaf, gone, on_record: false })
}

/// Run folders that may hold the evidence, newest first.
struct Runs {
    newest: RunFolder,
    /// Opened when they are asked: each is read through for that.
    older: Vec<PathBuf>,
}

impl Runs {
    fn new(book: &Book, given: Option<RunFolder>) -> Result<Self, Diagnostic> {
        if let Some(newest) = given {
            return Ok(Self { newest, older: Vec::new() });
        }
        let home = book.path().parent().unwrap_or(Path::new(""));
        let nights = book.nights()?;
        // A run that was cleared away is no fault: then an older one is asked, and in the end the ledger itself.
        let mut folders = nights.iter().rev().map(|night| home.join(&night.folder));
        let newest = folders.find_map(|folder| RunFolder::open(&folder).ok()).ok_or_else(no_run)?;
        Ok(Self { newest, older: folders.collect() })
    }

    fn each(&self) -> impl Iterator<Item = Cow<'_, RunFolder>> {
        let older = self.older.iter().filter_map(|folder| RunFolder::open(folder).ok()).map(Cow::Owned);
        std::iter::once(Cow::Borrowed(&self.newest)).chain(older)
    }
}

fn no_run() -> Diagnostic {
    Diagnostic::error(
        "MC892",
        "导出需要一次运行的结果，但台账所记的运行文件夹都已不在原处",
        "an export needs the folder of a run, but none of those that the ledger knows is there any more",
    )
    .with_help("用 `--run` 指出一个", "name one with `--run`")
}

/// What is to leave. `held`: what the recipient holds already, by the list that brought it last.
fn chosen(
    book: &Book,
    runs: &Runs,
    dispatch: &Dispatch<'_>,
    options: &ExportOptions,
    held: &BTreeMap<String, &Handout>,
    by: By<'_>,
) -> Result<Sheaf, Diagnostic> {
    let open = Filter { open: true, ..Filter::default() };
    let filter = match &dispatch.addressee {
        Addressee::Everything => {
            let sheaf = Sheaf::whole(&runs.newest, &options.held_back)?;
            let ids =
                sheaf.heads().map(|f| Ok(f?.finding_id)).collect::<Result<BTreeSet<_>, Diagnostic>>()?;
            let unknown = book.lacking(&ids)?;
            return if unknown > 0 { Err(not_in_ledger(unknown)) } else { Ok(sheaf) };
        }
        Addressee::Area(code) => Filter { area: Some(code.clone()), ..open },
        Addressee::Person(name) => Filter { assignee: Some(name.clone()), ..open },
    };
    let nights: BTreeMap<String, u64> =
        book.nights()?.into_iter().map(|night| (night.night, night.number)).collect();
    let is_held = |lead: &Lead| {
        held.get(&lead.finding_id).is_some_and(|list| {
            let changed = nights.get(&lead.marked_in).is_some_and(|number| *number > list.nights);
            let opened_anew = lead.stage == Stage::New && lead.stage_since > list.at;
            !changed && !opened_anew
        })
    };
    // What the data do not show any more is no reason to visit anybody; its holder is told that it is cancelled.
    let listed = book.leads(&filter, dispatch.policy, by.day())?;
    let leads: BTreeMap<String, Lead> = listed
        .into_iter()
        .map(|listed| listed.lead)
        .filter(|lead| lead.presence == Presence::Live)
        .filter(|lead| !options.held_back.contains(&lead.rule_id) && !is_held(lead))
        .map(|lead| (lead.finding_id.clone(), lead))
        .collect();
    Sheaf::of(&leads, runs.each())
}

/// The leads, and the persons among their subjects, once each.
fn contents(sheaf: &Sheaf, keys: &Keys) -> Result<(BTreeSet<String>, BTreeMap<String, Person>), Diagnostic> {
    let mut leads = BTreeSet::new();
    let mut persons: BTreeMap<String, Person> = BTreeMap::new();
    for finding in sheaf.heads() {
        let finding = finding?;
        leads.insert(finding.finding_id);
        if finding.subject_type != SubjectType::Person {
            continue;
        }
        let person = persons.entry(finding.subject_id.clone()).or_insert_with(|| Person {
            key: keys.person(&finding.subject_id),
            name: String::new(),
            id_number: finding.subject_id.clone(),
            area_code: String::new(),
        });
        // One rule may know the name, another the place.
        if let Some(name) = finding.subject_name.filter(|_| person.name.is_empty()) {
            person.name = name;
        }
        if let Some(area) = finding.area_code.filter(|area| area.len() > person.area_code.len()) {
            person.area_code = area;
        }
    }
    Ok((leads, persons))
}

/// Who is drawn.
enum Wanted<'w> {
    /// So many, by the lot of this number.
    Lot(&'w str, usize),
    /// Those who were drawn before.
    Again(&'w Sample),
}

/// Draws persons without a lead. Whoever has the ledger draws the same again; the order of the payees does not matter.
fn draw(
    payees: Payees<'_>,
    areas: &BTreeSet<String>,
    known: &BTreeSet<String>,
    keys: &Keys,
    wanted: Wanted<'_>,
) -> Result<(Sample, Vec<(String, Person)>), Diagnostic> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut drawn: BTreeMap<String, Payee> = BTreeMap::new();
    for payee in payees {
        let payee = payee?;
        let there = areas.iter().any(|area| payee.area_code.starts_with(area.as_str()));
        if !there || known.contains(&payee.id_number) || !seen.insert(payee.id_number.clone()) {
            continue;
        }
        match &wanted {
            Wanted::Lot(number, most) => {
                drawn.insert(keys.rank(number, &payee.id_number), payee);
                if drawn.len() > *most {
                    drawn.pop_last();
                }
            }
            Wanted::Again(sample) => {
                let key = keys.person(&payee.id_number);
                if sample.drawn.contains_key(&key) {
                    drawn.insert(key, payee);
                }
            }
        }
    }
    let mut sample = Sample { population: seen.len() as u64, drawn: BTreeMap::new() };
    let mut controls = Vec::new();
    for payee in drawn.into_values() {
        let key = keys.person(&payee.id_number);
        sample.drawn.insert(key.clone(), payee.area_code.clone());
        let person =
            Person { key, name: payee.name, id_number: payee.id_number.clone(), area_code: payee.area_code };
        controls.push((payee.id_number, person));
    }
    Ok((sample, controls))
}

/// Leads that `recipient` holds, that stand no more, with the lists by which they came.
fn cancelled(
    book: &Book,
    recipient: &str,
    listed: &BTreeSet<String>,
) -> Result<Vec<(Lead, Vec<String>)>, Diagnostic> {
    let mut gone = book.cancellations()?;
    gone.retain(|c| c.recipient == recipient && !listed.contains(&c.finding_id));
    let leads = book.leads_of(&gone.iter().map(|c| c.finding_id.clone()).collect())?;
    Ok(in_order(
        gone.into_iter().filter_map(|c| Some((leads.get(&c.finding_id)?.clone(), c.handouts))).collect(),
    ))
}

/// Gravest first.
fn in_order(mut gone: Vec<(Lead, Vec<String>)>) -> Vec<(Lead, Vec<String>)> {
    gone.sort_by(|(a, _), (b, _)| {
        (b.severity, &a.rule_id, &a.finding_id).cmp(&(a.severity, &b.rule_id, &b.finding_id))
    });
    gone
}

fn told(eye: &Eye<'_>, lead: &Lead, handouts: &[String]) -> Cancelled {
    let seen = eye.finding(&lead.without_rows());
    Cancelled {
        finding_id: seen.finding_id,
        handouts: handouts.join(", "),
        name: seen.subject_name.unwrap_or_default(),
        subject_id: seen.subject_id,
        rule_id: seen.rule_id,
        withdrawn: lead.presence == Presence::Withdrawn,
    }
}

fn shown(eye: &Eye<'_>, person: Person) -> Person {
    let as_finding = Finding {
        subject_type: SubjectType::Person,
        subject_id: person.id_number.clone(),
        subject_name: Some(person.name.clone()),
        ..nothing()
    };
    let seen = eye.finding(&as_finding);
    Person { name: seen.subject_name.unwrap_or_default(), id_number: seen.subject_id, ..person }
}

fn nothing() -> Finding {
    Finding {
        finding_id: String::new(),
        rule_id: String::new(),
        rule_version: 0,
        severity: Severity::Info,
        grade: String::new(),
        identity: String::new(),
        subject_type: SubjectType::Person,
        subject_id: String::new(),
        subject_name: None,
        area_code: None,
        period_from: None,
        period_to: None,
        amount_fen: None,
        message: mingcha_rules::Text::default(),
        measures: BTreeMap::new(),
        candidates: 0,
        evidence: Vec::new(),
        counter_evidence: Vec::new(),
        exclusions_checked: Vec::new(),
    }
}

fn counts_for_nobody() -> Diagnostic {
    Diagnostic::error(
        "MC891",
        "`--for` 给出的是逐条办理的清单，不能只含统计数",
        "`--for` makes a list to be worked through, which cannot be counts only",
    )
    .with_help(
        "用 `--profile investigator`（完整）或 `supervisor`（脱敏）",
        "use `--profile investigator` (in full) or `supervisor` (masked)",
    )
}

fn nobody_there(addressee: &Addressee) -> Diagnostic {
    let (zh, en) = match addressee {
        Addressee::Area(code) => {
            (format!("区划 {code} 没有待办线索"), format!("area {code} has no lead to be worked on"))
        }
        Addressee::Person(name) => {
            (format!("{name} 名下没有待办线索"), format!("no lead to be worked on is assigned to {name}"))
        }
        Addressee::Everything => ("没有线索".to_owned(), "there is no lead".to_owned()),
    };
    Diagnostic::error("MC855", zh, en).with_help(
        "用 `mingcha findings list` 查看；先用 `mingcha findings assign` 分派",
        "`mingcha findings list` shows what there is; `mingcha findings assign` assigns",
    )
}

fn nothing_new(recipient: &str) -> Diagnostic {
    Diagnostic::error(
        "MC894",
        format!("{recipient} 已持有全部待办线索，没有新的可发"),
        format!("{recipient} holds all of the open leads already; there is nothing new to hand out"),
    )
    .with_help("要重发全部，去掉 `--new`", "leave `--new` out to hand all of them out once more")
}

fn not_in_ledger(n: usize) -> Diagnostic {
    Diagnostic::error(
        "MC855",
        format!("这次运行有 {n} 条线索不在台账中"),
        format!("{n} findings of this run are not in the ledger"),
    )
    .with_help(
        "先执行 `mingcha ledger absorb`，或去掉 `--ledger`",
        "run `mingcha ledger absorb` first, or leave `--ledger` out",
    )
}
