//! Lists that leave the house on record: numbered, for somebody, until some day. Chooses the leads of an area or of a
//! person, takes their evidence from the runs that found them, tells the holder what is cancelled, lets a control sample
//! ride along on the visit sheet, and writes all of that into the ledger before the first file has its name. A list that
//! is on record can be written again, as it was recorded: whoever made it may have died before its files were there.
//!
//! Knows no extract: whoever can look into one hands over the payees.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Diagnostic, Severity};
use serde::Serialize;

use super::sheaf::Sheaf;
use super::visits::{Cancelled, Person};
use super::{Catalogue, ExportOptions, Exported, Format, Job, Staging, xlsx};
use crate::book::{Book, By, Filter, Handout, Keys, Lead, Policy, Presence, Sample, holdings, same_person};
use crate::mask::{Masker, Profile};
use crate::run::RunFolder;
use crate::time::{Instant, Zone};

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

impl Addressee {
    /// Digits are the code of an area, other words a person, nothing is everything.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "" => Self::Everything,
            code if code.len() >= 2 && code.bytes().all(|b| b.is_ascii_digit()) => {
                Self::Area(code.to_owned())
            }
            name => Self::Person(name.to_owned()),
        }
    }

    /// As it is recorded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::Area(text) | Self::Person(text) => text,
        }
    }
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
    /// Whether leads stay away that the recipient holds already: by a list for an area or a person that is still valid and
    /// shows as much, where since then the data did not change them and nobody opened them anew.
    pub only_new: bool,
    /// What the list is made for, such as a night: one list for each recipient and occasion. Where that is on record
    /// already, it is written again.
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
    /// What its reader may see: of a list that is written again, what the record says.
    pub profile: Profile,
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
    pub(super) at: &'a Instant,
    /// Where the office is.
    pub(super) zone: Zone,
    pub(super) expires: &'a str,
    pub(super) ledger: String,
    pub(super) keys: &'a Keys,
}

/// Writes a list on record into the folder `out`: everything of it, the record included, or nothing.
///
/// # Errors
/// `MC855` where there is nothing to hand out or the run is not in the ledger, `MC894` where the recipient holds all of
/// it already, `MC891` where a list for somebody is to be counts only, `MC892` where no run is left that says what the
/// leads stand on, and as [`super::export`] and [`Book::hand_out`].
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
    let runs = Runs::new(book, dispatch.run.take())?;
    let handouts = book.handouts()?;
    let occasion = dispatch.occasion.as_deref().filter(|occasion| !occasion.is_empty());
    let made = handouts.iter().find(|handout| {
        occasion.is_some_and(|occasion| occasion == handout.occasion)
            && handout.recipient == dispatch.recipient
            && handout.whose == dispatch.addressee.as_str()
    });
    let load = match made {
        Some(handout) => Load::recorded(book, &runs, &handouts, handout)?,
        None => Load::new(book, &runs, &handouts, &dispatch, options, by)?,
    };
    write(book, load, dispatch, &runs, out, options, catalogue, by)
}

/// Writes the files of the list `number` again: the leads, the recipient, the last day and what its reader may see are
/// those of the record, the evidence that of the newest run that has it. Nothing is recorded.
///
/// # Errors
/// `MC895` where there is no such list or it was counts only, and as [`issue`].
pub fn reissue(
    book: &mut Book,
    number: &str,
    payees: Option<Payees<'_>>,
    policy: &Policy,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
    by: By<'_>,
) -> Result<Issued, Diagnostic> {
    let handouts = book.handouts()?;
    let handout = handouts.iter().find(|handout| handout.id == number).ok_or_else(|| no_such_list(number))?;
    if handout.profile == Profile::Public.as_str() {
        return Err(counts_are_not_kept(number));
    }
    let runs = Runs::new(book, None)?;
    let dispatch = Dispatch {
        addressee: Addressee::parse(&handout.whose),
        recipient: handout.recipient.clone(),
        expires: handout.expires.clone(),
        run: None,
        policy,
        payees,
        controls: None,
        only_new: false,
        occasion: None,
    };
    let load = Load::recorded(book, &runs, &handouts, handout)?;
    write(book, load, dispatch, &runs, out, options, catalogue, by)
}

fn write(
    book: &mut Book,
    load: Load,
    dispatch: Dispatch<'_>,
    runs: &Runs,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
    by: By<'_>,
) -> Result<Issued, Diagnostic> {
    let options = load.options(options);
    let keys = book.keys()?;
    let mut job = Job::new(&runs.newest, &options, catalogue)?;
    job.export_id.clone_from(&load.handout.id);
    job.addressee = dispatch.addressee.clone();
    let masker = Masker::new(options.profile, catalogue.contracts).named(book.names()?);
    let round = Round::new(book, &load, dispatch, &options, &keys, &masker)?;
    let Load { mut handout, sheaf, gone, untold, on_record } = load;
    if let Some(round) = round.as_ref().filter(|_| !on_record) {
        handout.sample.clone_from(&round.sample);
    }
    let ledger = book.name()?;
    job.issued = Some(Mark {
        number: &handout.id,
        at: &handout.at,
        zone: book.zone(),
        expires: &handout.expires,
        ledger,
        keys: &keys,
    });
    let full = options.profile == Profile::Investigator;
    let mut staging = Staging::create(out, options.replace, full)?;
    if options.profile == Profile::Public {
        job.write_counts(&sheaf, &mut staging)?;
    } else {
        job.write_lists(&sheaf, &masker, &told(&masker, &gone), &mut staging)?;
    }
    if let Some(round) = &round {
        let sheet: Vec<Person> = round.persons.iter().map(|person| shown(&masker, person)).collect();
        let area = match &job.addressee {
            Addressee::Area(code) => Some(code.clone()),
            _ => None,
        };
        let done = |path: PathBuf| Exported { path, rows: sheet.len() as u64, area: area.clone() };
        let path = staging.path(&format!("{}.xlsx", job.name("visits")), done)?;
        xlsx::guarded(&path, || xlsx::write_visits(&job, &sheet, &path))?;
    }
    // First on record, then into the world: what nobody knows of must not be out there.
    if !on_record {
        book.hand_out(&handout, by)?;
    }
    let files = staging.publish().map_err(|fault| on_record_without_files(fault, &handout.id))?;
    Ok(Issued {
        profile: options.profile,
        files,
        leads: handout.leads.len() as u64,
        bare: sheaf.bare(),
        cancelled: handout.cancels.len() as u64,
        untold,
        persons: round.as_ref().map_or(0, |round| round.flagged),
        controls: round.and_then(|round| Some((round.controls, round.sample?.population))),
        number: handout.id,
        recipient: handout.recipient,
        expires: handout.expires,
    })
}

/// What a list holds, before anybody has written it.
struct Load {
    /// As it is recorded, but for the sample of a new one.
    handout: Handout,
    sheaf: Sheaf,
    /// What its reader is told to let go, with the lists by which it came.
    gone: Vec<(Lead, Vec<String>)>,
    /// Leads that should be cancelled, for which the format has no place.
    untold: u64,
    /// Whether the ledger has it already.
    on_record: bool,
}

impl Load {
    fn new(
        book: &Book,
        runs: &Runs,
        handouts: &[Handout],
        dispatch: &Dispatch<'_>,
        options: &ExportOptions,
        by: By<'_>,
    ) -> Result<Self, Diagnostic> {
        let held =
            if dispatch.only_new { held(book, handouts, dispatch, options, by)? } else { BTreeSet::new() };
        let (sheaf, kept) = chosen(book, runs, dispatch, options, &held, by)?;
        let leads: BTreeSet<String> =
            sheaf.heads().map(|f| Ok(f?.finding_id)).collect::<Result<_, Diagnostic>>()?;
        let mut gone = cancelled(book, &dispatch.recipient, &leads)?;
        // What a rule does not find any more is as doubtful as what it finds while its list is held back.
        gone.retain(|(lead, _)| !options.held_back.contains(&lead.rule_id));
        let mut untold = 0;
        if !matches!(options.format, Format::Xlsx | Format::Csv) || options.profile == Profile::Public {
            untold = gone.len() as u64;
            gone.clear();
        }
        // A list without leads may still have something to cancel; with neither there is nothing to say.
        if leads.is_empty() && gone.is_empty() && dispatch.addressee != Addressee::Everything {
            return Err(if kept > 0 {
                nothing_new(handouts, &dispatch.recipient)
            } else {
                nobody_there(&dispatch.addressee)
            });
        }
        let public = options.profile == Profile::Public;
        let handout = Handout {
            id: book.next_number()?,
            recipient: dispatch.recipient.clone(),
            at: by.at.clone(),
            expires: dispatch.expires.clone(),
            profile: options.profile.as_str().to_owned(),
            format: Some(options.format),
            lang: Some(options.lang),
            whose: dispatch.addressee.as_str().to_owned(),
            occasion: dispatch.occasion.clone().unwrap_or_default(),
            seq: book.last_event(runs.given.then_some(runs.newest.manifest().run_id.as_str()))?,
            leads: if public { BTreeSet::new() } else { leads },
            cancels: gone.iter().map(|(lead, _)| lead.finding_id.clone()).collect(),
            sample: None,
        };
        Ok(Self { handout, sheaf, gone, untold, on_record: false })
    }

    /// A list that is on record, out of the newest runs that have its leads.
    fn recorded(
        book: &Book,
        runs: &Runs,
        handouts: &[Handout],
        handout: &Handout,
    ) -> Result<Self, Diagnostic> {
        let before: Vec<Handout> =
            handouts.iter().take_while(|other| other.id != handout.id).cloned().collect();
        let mut came_by = holdings(&before);
        let gone = book.leads_of(&handout.cancels)?.into_values().map(|lead| {
            let theirs = |holder: &(String, String)| {
                holder.1 == lead.finding_id && same_person(&holder.0, &handout.recipient)
            };
            let holder = came_by.keys().find(|holder| theirs(holder)).cloned();
            let by = holder.and_then(|holder| came_by.remove(&holder)).unwrap_or_default();
            (lead, by)
        });
        Ok(Self {
            gone: gone.collect(),
            sheaf: Sheaf::of(&book.leads_of(&handout.leads)?, runs.each())?,
            handout: handout.clone(),
            untold: 0,
            on_record: true,
        })
    }

    /// As they are asked for; those of a list that is on record are the record's.
    fn options(&self, asked: &ExportOptions) -> ExportOptions {
        let mut options = ExportOptions { recipient: Some(self.handout.recipient.clone()), ..asked.clone() };
        if self.on_record {
            options.profile = Profile::parse(&self.handout.profile).unwrap_or(options.profile);
            options.format = self.handout.format.unwrap_or(options.format);
            options.lang = self.handout.lang.unwrap_or(options.lang);
        }
        options
    }
}

/// What the recipient of a new list holds already, and nobody has said anything new of.
fn held(
    book: &Book,
    handouts: &[Handout],
    dispatch: &Dispatch<'_>,
    options: &ExportOptions,
    by: By<'_>,
) -> Result<BTreeSet<String>, Diagnostic> {
    // A list of a whole run, or a masked one, is not what somebody works with who is to get the full one.
    let shows =
        |profile: &str| profile == Profile::Investigator.as_str() || profile == options.profile.as_str();
    let today = by.day();
    let valid = handouts.iter().filter(|list| {
        same_person(&list.recipient, &dispatch.recipient)
            && !list.whose.is_empty()
            && *list.expires >= *today
            && shows(&list.profile)
    });
    let mut held: BTreeMap<&String, i64> = BTreeMap::new();
    for list in valid {
        for lead in &list.leads {
            let seq = held.entry(lead).or_default();
            *seq = list.seq.max(*seq);
        }
    }
    let news = match held.values().min() {
        Some(first) => book.news_since(*first)?,
        None => return Ok(BTreeSet::new()),
    };
    let stands = |(lead, seq): &(&String, i64)| news.get(*lead).is_none_or(|last| last <= seq);
    Ok(held.into_iter().filter(stands).map(|(lead, _)| lead.clone()).collect())
}

/// Run folders that may hold the evidence, newest first.
struct Runs {
    newest: RunFolder,
    /// Whether somebody asked for just this one.
    given: bool,
    /// Opened when they are asked: each is read through for that.
    older: Vec<PathBuf>,
}

impl Runs {
    fn new(book: &Book, given: Option<RunFolder>) -> Result<Self, Diagnostic> {
        if let Some(newest) = given {
            return Ok(Self { newest, given: true, older: Vec::new() });
        }
        let home = book.path().parent().unwrap_or(Path::new(""));
        let nights = book.nights()?;
        // A run that was cleared away is no fault: then an older one is asked, and in the end the ledger itself.
        let mut folders = nights.iter().rev().map(|night| home.join(&night.folder));
        let newest = folders.find_map(|folder| RunFolder::open(&folder).ok()).ok_or_else(no_run)?;
        Ok(Self { newest, given: false, older: folders.collect() })
    }

    fn each(&self) -> impl Iterator<Item = Cow<'_, RunFolder>> {
        let older = self.older.iter().filter_map(|folder| RunFolder::open(folder).ok()).map(Cow::Owned);
        std::iter::once(Cow::Borrowed(&self.newest)).chain(older)
    }
}

/// What is to leave, and how many leads stay because the recipient holds them.
fn chosen(
    book: &Book,
    runs: &Runs,
    dispatch: &Dispatch<'_>,
    options: &ExportOptions,
    held: &BTreeSet<String>,
    by: By<'_>,
) -> Result<(Sheaf, u64), Diagnostic> {
    let open = Filter { open: true, ..Filter::default() };
    let filter = match &dispatch.addressee {
        Addressee::Everything => {
            let sheaf = Sheaf::whole(&runs.newest, &options.held_back)?;
            let ids =
                sheaf.heads().map(|f| Ok(f?.finding_id)).collect::<Result<BTreeSet<_>, Diagnostic>>()?;
            let unknown = book.lacking(&ids)?;
            return if unknown > 0 { Err(not_in_ledger(unknown)) } else { Ok((sheaf, 0)) };
        }
        Addressee::Area(code) if !book.assignees_called(code)?.is_empty() => {
            return Err(area_or_person(code));
        }
        Addressee::Area(code) => Filter { area: Some(code.clone()), ..open },
        Addressee::Person(name) => Filter { assignee: Some(name.clone()), ..open },
    };
    // What the data do not show any more is no reason to visit anybody; its holder is told that it is cancelled.
    let listed = book.leads(&filter, dispatch.policy, &by.day())?.into_iter().map(|listed| listed.lead);
    let live =
        listed.filter(|lead| lead.presence == Presence::Live && !options.held_back.contains(&lead.rule_id));
    let (stay, leave): (Vec<Lead>, Vec<Lead>) = live.partition(|lead| held.contains(&lead.finding_id));
    let leads = leave.into_iter().map(|lead| (lead.finding_id.clone(), lead)).collect();
    Ok((Sheaf::of(&leads, runs.each())?, stay.len() as u64))
}

/// Who is to be visited because of a list, in the order of the sheet, and the sample among them.
struct Round {
    persons: Vec<Person>,
    flagged: u64,
    controls: u64,
    sample: Option<Sample>,
}

impl Round {
    /// None where nobody is to be visited: a sheet of nothing but the sample would say who is in it.
    fn new(
        book: &Book,
        load: &Load,
        dispatch: Dispatch<'_>,
        options: &ExportOptions,
        keys: &Keys,
        masker: &Masker,
    ) -> Result<Option<Self>, Diagnostic> {
        if options.format != Format::Xlsx || dispatch.addressee == Addressee::Everything {
            return Ok(None);
        }
        let flagged = persons(&load.sheaf, keys)?;
        if flagged.is_empty() {
            return Ok(None);
        }
        let areas: BTreeSet<String> = match &dispatch.addressee {
            Addressee::Area(code) => BTreeSet::from([code.clone()]),
            _ => flagged
                .values()
                .map(|person| person.area_code.chars().take(options.area_digits).collect::<String>())
                .filter(|area| !area.is_empty())
                .collect(),
        };
        let number = &load.handout.id;
        let wanted = match (load.on_record, &load.handout.sample) {
            (true, recorded) => recorded.as_ref().map(Wanted::Again),
            (false, _) => {
                let tenth = flagged.len().div_ceil(10);
                Some(Wanted::Lot(number, dispatch.controls.unwrap_or(tenth).max(1)))
            }
        };
        let drawn = match (dispatch.payees, wanted) {
            (Some(payees), Some(wanted)) => Some(draw(payees, &areas, &book.subjects()?, keys, &wanted)?),
            _ => None,
        };
        let mut round =
            Self { persons: Vec::new(), flagged: flagged.len() as u64, controls: 0, sample: None };
        let mut all: Vec<(String, Person)> = flagged.into_iter().collect();
        if let Some((sample, controls)) = drawn {
            round.controls = controls.len() as u64;
            round.sample = Some(sample);
            all.extend(controls);
        }
        // By area, as far as it is shown, then in an order that means nothing.
        all.sort_by_cached_key(|(id, person)| (masker.area(&person.area_code), keys.place(number, id)));
        round.persons = all.into_iter().map(|(_, person)| person).collect();
        Ok(Some(round))
    }
}

/// The persons among the subjects, once each.
fn persons(sheaf: &Sheaf, keys: &Keys) -> Result<BTreeMap<String, Person>, Diagnostic> {
    let mut persons: BTreeMap<String, Person> = BTreeMap::new();
    for finding in sheaf.heads() {
        let finding = finding?;
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
    Ok(persons)
}

/// Who is drawn.
enum Wanted<'w> {
    /// So many, by the lot of this number.
    Lot(&'w str, usize),
    /// Those who were drawn before.
    Again(&'w Sample),
}

/// Draws persons without a lead. Whoever has the ledger draws the same again. Of a person who comes several times the first
/// name and place count.
fn draw(
    payees: Payees<'_>,
    areas: &BTreeSet<String>,
    known: &BTreeSet<String>,
    keys: &Keys,
    wanted: &Wanted<'_>,
) -> Result<(Sample, Vec<(String, Person)>), Diagnostic> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut drawn: BTreeMap<String, Payee> = BTreeMap::new();
    for payee in payees {
        let payee = payee?;
        let there = areas.iter().any(|area| payee.area_code.starts_with(area.as_str()));
        let may_be_drawn = match wanted {
            Wanted::Lot(..) => there && !known.contains(&payee.id_number),
            // Whoever was drawn stays so, though there may be a lead about them by now.
            Wanted::Again(sample) => sample.drawn.contains_key(&keys.person(&payee.id_number)),
        };
        if !may_be_drawn || !seen.insert(payee.id_number.clone()) {
            continue;
        }
        match wanted {
            Wanted::Lot(number, most) => {
                drawn.insert(keys.rank(number, &payee.id_number), payee);
                if drawn.len() > *most {
                    drawn.pop_last();
                }
            }
            Wanted::Again(_) => drop(drawn.insert(keys.person(&payee.id_number), payee)),
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
    let sample = match wanted {
        Wanted::Lot(..) => sample,
        Wanted::Again(recorded) => (*recorded).clone(),
    };
    Ok((sample, controls))
}

/// Leads that `recipient` holds, that stand no more, with the lists by which they came.
fn cancelled(
    book: &Book,
    recipient: &str,
    listed: &BTreeSet<String>,
) -> Result<Vec<(Lead, Vec<String>)>, Diagnostic> {
    let mut gone = book.cancellations()?;
    gone.retain(|c| same_person(&c.recipient, recipient) && !listed.contains(&c.finding_id));
    let mut leads = book.leads_of(&gone.iter().map(|c| c.finding_id.clone()).collect())?;
    Ok(gone.into_iter().filter_map(|c| Some((leads.remove(&c.finding_id)?, c.handouts))).collect())
}

/// What is cancelled as its reader may see it, gravest first; then by names that tell nothing.
fn told(masker: &Masker, gone: &[(Lead, Vec<String>)]) -> Vec<Cancelled> {
    let mut told: Vec<(Severity, Cancelled)> = gone
        .iter()
        .map(|(lead, handouts)| {
            let seen = masker.finding(&lead.without_rows());
            let cancelled = Cancelled {
                finding_id: seen.finding_id,
                handouts: handouts.join(", "),
                name: seen.subject_name.unwrap_or_default(),
                subject_id: seen.subject_id,
                rule_id: seen.rule_id,
                withdrawn: lead.presence == Presence::Withdrawn,
            };
            (seen.severity, cancelled)
        })
        .collect();
    told.sort_by(|(a, x), (b, y)| (b, &x.rule_id, &x.finding_id).cmp(&(a, &y.rule_id, &y.finding_id)));
    told.into_iter().map(|(_, cancelled)| cancelled).collect()
}

fn shown(masker: &Masker, person: &Person) -> Person {
    Person {
        name: masker.name(&person.name),
        id_number: masker.id_number(&person.id_number),
        area_code: masker.area(&person.area_code),
        ..person.clone()
    }
}

fn on_record_without_files(fault: Diagnostic, number: &str) -> Diagnostic {
    fault.with_help(
        format!("清单 {number} 已记入台账而文件没有写成；排除故障后执行 `mingcha export --number {number}` 补写"),
        format!("the list {number} is on record without its files; when this is mended, `mingcha export --number {number}` writes them"),
    )
}

fn no_such_list(number: &str) -> Diagnostic {
    Diagnostic::error(
        "MC895",
        format!("台账中没有编号为 {number} 的清单"),
        format!("the ledger has no list of the number {number}"),
    )
    .with_help("编号如 E0007，见发出的文件名", "a number looks like E0007 and begins the names of its files")
}

fn counts_are_not_kept(number: &str) -> Diagnostic {
    Diagnostic::error(
        "MC895",
        format!("清单 {number} 只含统计数，台账不记其中的线索，无法补写"),
        format!("the list {number} was counts only; the ledger does not keep what was counted"),
    )
    .with_help("重新导出一份", "export once more")
}

fn no_run() -> Diagnostic {
    Diagnostic::error(
        "MC892",
        "导出需要一次运行的结果，但台账所记的运行文件夹都已不在原处",
        "an export needs the folder of a run, but none of those that the ledger knows is there any more",
    )
    .with_help("用 `--run` 指出一个", "name one with `--run`")
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

/// Whose list is meant decides what leaves: that is not guessed.
fn area_or_person(code: &str) -> Diagnostic {
    Diagnostic::error(
        "MC864",
        format!("`{code}` 既是区划代码，也是名下有线索的核查人员"),
        format!("`{code}` is the code of an area, and leads are assigned to a person of that name"),
    )
    .with_help(
        "用姓名重新分派（`mingcha findings assign --to`），再按区划或姓名导出",
        "assign them to a name that is no number (`mingcha findings assign --to`), then export by area or by name",
    )
}

fn nothing_new(handouts: &[Handout], recipient: &str) -> Diagnostic {
    let theirs =
        handouts.iter().rfind(|list| same_person(&list.recipient, recipient) && !list.whose.is_empty());
    let number = theirs.map_or("-", |list| list.id.as_str());
    Diagnostic::error(
        "MC894",
        format!("{recipient} 已持有全部待办线索（最近的清单 {number}），没有新的可发"),
        format!("{recipient} holds all of the open leads already (last list {number}); there is nothing new to hand out"),
    )
    .with_help(
        format!("要重发全部，去掉 `--new`；文件丢失时用 `--number {number}` 补写"),
        format!("leave `--new` out to hand all of them out once more; `--number {number}` writes lost files again"),
    )
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
