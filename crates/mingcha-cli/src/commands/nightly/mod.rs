//! `mingcha nightly`: one night from the arrival of the extracts to the messages about it. Each step is idempotent and
//! the record (`state`) says which one is open, so that a night that was killed goes on where it was: whatever a step
//! had done before the record said so is found done. Knows the order of things; how each is done is the business of
//! `prepare`, `run`, the ledger and `export`.
//!
//! A night belongs to the moment at which it was due. Nights that nobody ran are made up for once, by the one that is
//! due now, which is marked late: yesterday's extracts are not there any more, and a night judges what it has. A night
//! that was killed while its extracts were being prepared is given up for the same reason when the next one is due;
//! one that got further is finished first.
//!
//! A broken file sets its dataset aside, as if it had not been delivered: its rules are not evaluated, the others run,
//! everybody is told. Half a dataset would look like silence of its source.

mod arrival;
mod breaker;
mod mail;
mod notify;
mod schedule;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use mingcha_files::unfinished;
use mingcha_intake::Store;
use mingcha_ledger::book::{Filter, Presence};
use mingcha_ledger::report::{Asked, Subject, report};
use mingcha_ledger::{Addressee, Book, ExportOptions, Instant, Names, Profile, RunFolder, Zone, file_name};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::OutcomeKind;
use serde_json::json;

use super::{Context, export, filter, ledger, prepare, purge, run};
use crate::args::{self, Format, Nightly, Packs, Power};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::{self, Lock};
use crate::packs::Shelf;
use crate::progress::Bars;
use crate::render::count;
use crate::{clock, config};
use arrival::Arrival;
use schedule::Schedule;
use state::{Heart, Letter, NightRecord, Sign, State, Step};

/// Without a sign of life for so long, a process that holds the lock is taken to hang.
const SILENCE: i64 = 300;
/// Leads that the report of a night lists at most.
const MOST_REPORTED: usize = 50;
/// Undelivered messages that are kept.
const MOST_LETTERS: usize = 200;

pub(super) fn run(context: &Context, args: &Nightly) -> Outcome {
    filter::of_nightly(args)?;
    let plan = Plan::read(context)?;
    let now = plan.moment(args.desk.at.as_ref());
    let office = Office {
        context,
        plan: &plan,
        packs: &args.packs,
        power: &args.power,
        desk: &args.desk,
        format: args.shape.format,
        now,
    };
    if args.status {
        return office.status();
    }
    if !args.release.is_empty() {
        return office.release(&args.release);
    }
    office.night(args.again, args.as_of.as_deref())
}

/// What the configuration says of nights.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where the record and the runs are.
    pub(super) folder: PathBuf,
    /// When nights are due.
    pub(super) schedule: Schedule,
    zone: Zone,
    data: PathBuf,
    store: PathBuf,
    lists: Option<PathBuf>,
    rules: Vec<String>,
    wait: Duration,
    settle: Duration,
    late: chrono::Duration,
    by_area: bool,
    link: Option<String>,
}

impl Plan {
    pub(super) fn read(context: &Context) -> Result<Self, Failure> {
        let config = &context.config;
        let text = |key: &str| config.setting(key, None).map(|s| s.text);
        let number = |key: &str| text(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        config.needed("ledger.path", "--ledger", None)?;
        let zone = context.zone;
        let schedule = Schedule::new(text("nightly.schedule").as_deref(), zone).map_err(Failure::usage)?;
        let rules = text("nightly.rules").unwrap_or_default();
        if !config.night.receivers.is_empty() {
            config.needed("paths.export", "paths.export", None)?;
            let public = export::options(context).profile == Profile::Public;
            if public && config.night.receivers.iter().any(|receiver| receiver.profile.is_none()) {
                return Err(Failure::usage(no_counts()));
            }
        }
        Ok(Self {
            folder: config.needed("nightly.folder", "nightly.folder", None)?,
            schedule,
            zone,
            data: config.needed("paths.data", "--data", None)?,
            store: config.needed("paths.store", "--store", None)?,
            lists: config.path("paths.export", None),
            rules: rules.split(',').map(|r| r.trim().to_owned()).filter(|r| !r.is_empty()).collect(),
            wait: Duration::from_secs(60 * number("nightly.wait_minutes")),
            settle: Duration::from_secs(number("nightly.settle_seconds")),
            late: chrono::Duration::minutes(i64::try_from(number("nightly.late_minutes")).unwrap_or(240)),
            by_area: text("nightly.by_area").as_deref() != Some("false"),
            link: text("nightly.link"),
        })
    }

    /// Runs that a night is at, or upon which the next one builds.
    pub(super) fn runs_at_work(&self) -> Result<Vec<PathBuf>, Failure> {
        let state = State::read(&self.folder)?;
        let runs = state.open.iter().chain(&state.last).map(|night| PathBuf::from(&night.run));
        Ok(runs.filter(|run| !run.as_os_str().is_empty()).collect())
    }

    /// The moment that is taken for now: as given, or read from the clock.
    pub(super) fn moment(&self, at: Option<&Instant>) -> DateTime<Utc> {
        self.zone.moment(&at.cloned().unwrap_or_else(clock::now))
    }
}

/// Whoever runs a night, and with what.
pub(super) struct Office<'a> {
    pub(super) context: &'a Context,
    pub(super) plan: &'a Plan,
    pub(super) packs: &'a Packs,
    pub(super) power: &'a Power,
    pub(super) desk: &'a args::Desk,
    pub(super) format: Format,
    pub(super) now: DateTime<Utc>,
}

impl Office<'_> {
    /// The night that is due, after one that was left open; nothing where it was done already.
    pub(super) fn night(&self, again: bool, as_of: Option<&str>) -> Outcome {
        let folder = &self.plan.folder;
        self.context.config.setting("ledger.as", self.desk.who.clone()).ok_or_else(ledger::nobody)?;
        fs::create_dir_all(folder.join("runs")).map_err(|e| Failure::disk(folder, &e))?;
        let holder =
            format!("mingcha nightly, process {}, since {}", std::process::id(), clock::now().as_stored());
        let _lock = Lock::named(folder, &holder)?;
        let mut state = State::read(folder)?;
        let mut due = self.due(&state, again, as_of)?;
        let mut exit = Exit::Done;
        if let Some(open) = state.open.take_if(|open| open.as_of != due.as_of) {
            if open.step > Step::Prepare {
                state.open = Some(open);
                exit = self.work(&mut state)?;
                due = self.due(&state, again, as_of)?;
            } else {
                self.context.screen.diagnostics(&[given_up(&open)]);
                state.write(folder)?;
            }
        }
        if state.open.is_none() {
            if !again && state.last.as_ref().is_some_and(|last| last.as_of >= due.as_of) {
                self.deliver(&mut state)?;
                self.nothing_due(&state);
                return Ok(exit);
            }
            // Chosen once and written down before anything is done: whatever is done again goes to the same places.
            due.run = free(&folder.join("runs"), &due.as_of).display().to_string();
            if let Some(root) = &self.plan.lists {
                due.lists = free(root, &due.as_of).display().to_string();
            }
            state.open = Some(due);
        }
        Ok(Exit::first([exit, self.work(&mut state)?]))
    }

    /// The night that is due now, as it would begin.
    fn due(&self, state: &State, again: bool, as_of: Option<&str>) -> Result<NightRecord, Failure> {
        let moment = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).ok();
        let mut night = NightRecord { began: self.at().into(), ..NightRecord::default() };
        if let (true, Some(last)) = (again, &state.last) {
            // Once more, beside what was there.
            night.as_of.clone_from(&last.as_of);
            night.due.clone_from(&last.due);
            return Ok(night);
        }
        let due = match prepare::day("--as-of", as_of)? {
            Some(day) => {
                night.as_of = day.to_string();
                self.plan.zone.beginning(day)
            }
            None => {
                let due = self.plan.schedule.last(self.now).ok_or_else(never)?;
                night.as_of = due.date_naive().to_string();
                due.with_timezone(&Utc)
            }
        };
        night.due = due.to_rfc3339();
        let last = state.last.as_ref().and_then(|last| moment(&last.due));
        if let Some(last) = last.filter(|_| as_of.is_none()) {
            night.missed = self.plan.schedule.missed(last, due);
        }
        let waited =
            self.plan.schedule.next(self.now).is_some() && as_of.is_none() && self.now - due > self.plan.late;
        night.late = night.missed > 0 || waited;
        Ok(night)
    }

    /// What the ledger notes as the time.
    fn at(&self) -> Instant {
        self.desk.at.clone().unwrap_or_else(clock::now)
    }

    /// An instant of the record, for a reader.
    fn shown(&self, at: &str) -> String {
        at.parse().map_or_else(|_| "?".to_owned(), |at| self.plan.zone.shown(&at))
    }

    /// The open night, from its open step to its end.
    fn work(&self, state: &mut State) -> Outcome {
        let folder = &self.plan.folder;
        let Some(night) = &mut state.open else { return Ok(Exit::Done) };
        night.attempts += 1;
        night.fault.clear();
        night.fault_exit = 0;
        let heart = Heart::start(folder, &night.as_of, night.step);
        if night.attempts > 1 {
            let (day, step) = (&night.as_of, night.step.title());
            let (zh, en) = (
                format!("接着 {day} 的夜间工作，从“{}”继续", step.zh),
                format!("the night of {day} goes on: {}", step.en),
            );
            self.context.screen.note(self.context.screen.say(&zh, &en));
        }
        state.write(folder)?;
        loop {
            let step = state.open.as_ref().map_or(Step::Done, |night| night.step);
            if step == Step::Done {
                break;
            }
            heart.at(step);
            let done = self.context.interrupt.check().and_then(|()| self.step(step, state));
            match done {
                Ok(next) => {
                    if let Some(night) = &mut state.open {
                        night.step = next;
                    }
                    state.write(folder)?;
                }
                Err(failure) => return Err(self.stopped(state, failure)),
            }
        }
        // The night is over from here on, whatever becomes of the messages.
        let Some(mut night) = state.open.take() else { return Ok(Exit::Done) };
        night.ended = self.at().into();
        let letter = notify::letter(&night, self.context.screen.lang, self.plan.link.as_deref());
        self.post(state, &letter);
        let exit = Exit::of_code(night.exit);
        state.last = Some(night);
        state.write(folder)?;
        self.deliver(state)?;
        self.show(state, &letter);
        Ok(exit)
    }

    /// A night that cannot go on stays open, and it is told once why.
    fn stopped(&self, state: &mut State, mut failure: Failure) -> Failure {
        let Some(night) = &mut state.open else { return failure };
        if failure.exit != Exit::Interrupted {
            let code = failure.diagnostics.first().map_or("?", |d| d.code.as_str()).to_owned();
            night.fault = code;
            night.fault_exit = failure.exit.code();
            let what = format!("{:?} {}", night.step, night.fault);
            if night.told != what {
                night.told = what;
                let letter = notify::letter(night, self.context.screen.lang, self.plan.link.as_deref());
                self.post(state, &letter);
            }
        }
        // What went wrong first is what matters; a record that cannot be written is said besides.
        for after in [state.write(&self.plan.folder), self.deliver(state)] {
            if let Err(more) = after {
                failure.diagnostics.extend(more.diagnostics);
            }
        }
        failure
    }

    /// Does one step; gives the next.
    fn step(&self, step: Step, state: &mut State) -> Result<Step, Failure> {
        let before = state.last.as_ref().map(|last| last.findings.clone()).unwrap_or_default();
        let since = state.last.as_ref().map(|last| PathBuf::from(&last.run));
        let Some(night) = &mut state.open else { return Ok(Step::Done) };
        Ok(match step {
            Step::Arrive => {
                self.arrive(night)?;
                Step::Prepare
            }
            Step::Prepare => {
                self.prepare(night)?;
                Step::Run
            }
            Step::Run => {
                self.run(night, since)?;
                Step::Ledger
            }
            Step::Ledger => {
                self.absorb(night, &before)?;
                Step::Export
            }
            Step::Export => {
                self.export(night, &before)?;
                Step::Report
            }
            Step::Report => {
                self.report(night)?;
                Step::Tell
            }
            Step::Tell | Step::Done => {
                // Counted only; what is due is destroyed by `mingcha purge`, on somebody's authority.
                let today = self.plan.zone.date(&self.at());
                night.to_purge = purge::count_due(self.context, self.plan, today);
                Step::Done
            }
        })
    }

    fn arrive(&self, night: &mut NightRecord) -> Result<(), Failure> {
        let as_of = day_of(night)?;
        let arrival = Arrival {
            data: &self.plan.data,
            expected: &self.context.config.night.expected,
            wait: self.plan.wait,
            settle: self.plan.settle,
        };
        let missing = arrival.wait(as_of, &self.context.interrupt)?;
        let required: Vec<Diagnostic> = missing
            .iter()
            .filter(|e| e.required)
            .map(|e| not_come("MC901", &arrival::dated(&e.path, as_of), true))
            .collect();
        if !required.is_empty() {
            return Err(Failure::inputs(required));
        }
        night.missing = missing.iter().map(|e| arrival::dated(&e.path, as_of)).collect();
        let warnings: Vec<Diagnostic> =
            night.missing.iter().map(|path| not_come("MC902", path, false)).collect();
        self.context.screen.diagnostics(&warnings);
        Ok(())
    }

    fn prepare(&self, night: &mut NightRecord) -> Result<(), Failure> {
        let (context, plan) = (self.context, self.plan);
        let shelf = Shelf::open(context, self.packs);
        prepare::contracts_must_stand(&shelf)?;
        let _lock = Lock::take(&plan.store)?;
        prepare::sweep(context, &plan.store)?;
        let bars = Bars::new(context, context.shows_progress(self.format));
        let intake =
            args::Intake { accept_damaged_ids: false, shards: None, extract_date: None, encoding: None };
        let mut options = prepare::options(context, &shelf, &plan.data, &plan.store, &intake, self.power)?;
        night.without.clear();
        loop {
            let failure = match prepare::prepared(context, &options, &bars) {
                Ok(_) => break,
                Err(failure) => failure,
            };
            let broken = mingcha_intake::datasets_at_fault(&options, &failure.diagnostics);
            let Some(broken) = broken.filter(|broken| !broken.is_subset(&options.without)) else {
                return Err(failure);
            };
            context.screen.diagnostics(&failure.diagnostics);
            context.screen.diagnostics(&[set_aside(&broken)]);
            let codes: BTreeSet<String> = failure.diagnostics.iter().map(|d| d.code.clone()).collect();
            for dataset in broken {
                night.without.entry(dataset.clone()).or_default().extend(codes.clone());
                options.without.insert(dataset);
            }
        }
        if !night.without.is_empty() || !night.missing.is_empty() {
            worse(night, Exit::Inputs);
        }
        Ok(())
    }

    fn run(&self, night: &mut NightRecord, since: Option<PathBuf>) -> Result<(), Failure> {
        let (context, plan) = (self.context, self.plan);
        let out = PathBuf::from(&night.run);
        if let Some(done) = self.complete(night, &out) {
            // It was complete before the record could say so.
            let fail_on = context.config.choice("fail_on", None);
            worse(night, run::ending(&done.outcomes().map_err(inputs)?, &done.manifest().counts, fail_on));
            return Ok(());
        }
        // An earlier run that was purged or damaged is not built upon.
        let since = since.filter(|run| RunFolder::open(run).is_ok());
        let args = args::Run {
            out: Some(out),
            fail_on: None,
            since,
            resume: true,
            desk: self.desk.clone(),
            scope: args::Scope {
                store: Some(plan.store.clone()),
                data: None,
                as_of: Some(night.as_of.clone()),
                only: plan.rules.clone(),
                plain_plans: false,
                packs: self.packs.clone(),
                intake: args::Intake {
                    accept_damaged_ids: false,
                    shards: None,
                    extract_date: None,
                    encoding: None,
                },
                power: self.power.clone(),
                shape: args::Shape { format: self.format },
            },
        };
        let made = run::make(context, &args)?;
        worse(night, made.exit);
        if self.format == Format::Human {
            made.show(context, None, self.format);
        }
        Ok(())
    }

    /// The run of this night, where it was made before the record could say so.
    fn complete(&self, night: &NightRecord, out: &Path) -> Option<RunFolder> {
        let run = RunFolder::open(out).ok()?;
        let store = Store::open(&self.plan.store).ok()?;
        let manifest = run.manifest();
        let same = manifest.as_of == night.as_of
            && manifest.environment.get(super::since::STORE).is_some_and(|digest| digest == store.digest());
        same.then_some(run)
    }

    fn absorb(&self, night: &mut NightRecord, before: &BTreeMap<String, u64>) -> Result<(), Failure> {
        let shelf = Shelf::open(self.context, self.packs);
        let Some(desk) = ledger::Desk::asked(self.context, self.desk, &shelf)? else { return Ok(()) };
        let store = Store::open(&self.plan.store).ok();
        let absorbed = desk.absorb(Path::new(&night.run), store.as_ref())?;
        night.number = absorbed.night.number;
        night.marks.clone_from(&absorbed.night.marks);
        night.not_evaluated.clone_from(&absorbed.night.not_evaluated);
        night.cancellations = absorbed.cancellations as u64;
        let run = RunFolder::open(Path::new(&night.run)).map_err(inputs)?;
        night.findings.clone_from(before);
        for rule in &run.manifest().rules {
            if matches!(rule.outcome, OutcomeKind::Found | OutcomeKind::Clean) {
                night.findings.insert(rule.rule_id.clone(), rule.findings);
            }
        }
        if self.format == Format::Human {
            ledger::lines(self.context, &absorbed).iter().for_each(|line| self.context.screen.line(line));
        }
        Ok(())
    }

    /// Lists for people, but for the rules that something holds back.
    fn export(&self, night: &mut NightRecord, before: &BTreeMap<String, u64>) -> Result<(), Failure> {
        let run = RunFolder::open(Path::new(&night.run)).map_err(inputs)?;
        // Where lists go may have been mended since the night began.
        if let Some(root) = &self.plan.lists
            && !Path::new(&night.lists).starts_with(root)
        {
            night.lists = free(root, &night.as_of).display().to_string();
        }
        night.held = self.trips(&run, before)?;
        if !night.held.is_empty() {
            worse(night, Exit::Held);
            let held: Vec<Diagnostic> = night.held.iter().map(|(rule, why)| held_back(rule, why)).collect();
            self.context.screen.diagnostics(&held);
        }
        if !night.lists.is_empty() {
            night.listed = self.lists(&run, Path::new(&night.lists), night.held.keys().cloned().collect())?;
        }
        let (out, held) = (PathBuf::from(&night.lists), night.held.keys().cloned().collect());
        let made = self.hand_out(&out, &held, true)?;
        for (place, fault) in &made.faults {
            night.not_handed_out.insert(*place, fault.code.clone());
            worse(night, export::not_issued(fault.clone()).exit);
        }
        night.handed_out = made.numbers;
        if let Some((cancellations, unlisted)) = made.left {
            (night.cancellations, night.unlisted) = (cancellations, unlisted);
        }
        Ok(())
    }

    /// A workbook on record, below `out`, for everybody in `[[list]]` for whom there is something new. Those of a night
    /// are made once: a night that died here and goes on writes them again. One that cannot be made keeps nobody else
    /// from theirs.
    fn hand_out(&self, out: &Path, held: &BTreeSet<String>, of_night: bool) -> Result<HandedOut, Failure> {
        let mut made = HandedOut::default();
        let receivers = &self.context.config.night.receivers;
        if receivers.is_empty() {
            return Ok(made);
        }
        let shelf = Shelf::open(self.context, self.packs);
        let desk = ledger::Desk::needed(self.context, self.desk, &shelf)?;
        let store = Store::open(&self.plan.store).map_err(inputs)?;
        let catalogue = export::catalogue(&shelf);
        let mut book = desk.open()?;
        let night = book.nights().map_err(ledger::refused)?.pop().map(|night| night.night);
        for (place, receiver) in (1..).zip(receivers) {
            self.context.interrupt.check()?;
            let usual = export::options(self.context);
            let options = ExportOptions {
                profile: receiver.profile.unwrap_or(usual.profile),
                // To be filled in and to come back.
                format: mingcha_ledger::Format::Xlsx,
                held_back: held.clone(),
                // Nobody has been told of it before the night is done.
                replace: true,
                ..usual
            };
            let order = export::Order {
                addressee: Addressee::parse(&receiver.whose),
                recipient: Some(receiver.name().to_owned()),
                expires: export::last_day(&desk, receiver.days),
                run: None,
                store: Some(&store),
                controls: receiver.controls,
                only_new: true,
                occasion: night.clone().filter(|_| of_night),
            };
            let out = out.join("for").join(file_name(receiver.name()));
            match export::hand_out(&mut book, &desk, order, &out, &options, &catalogue) {
                Ok(issued) => {
                    made.numbers.push(issued.number);
                    ledger::unfinished(self.context, &mut book);
                }
                // Nothing is open there, or the recipient has it all.
                Err(fault) if matches!(fault.code.as_str(), "MC855" | "MC894") => {}
                Err(fault) => {
                    self.context.screen.diagnostics(std::slice::from_ref(&fault));
                    made.faults.push((place, fault));
                }
            }
        }
        let count = || {
            let lists = book.handouts()?;
            let listed: BTreeSet<&String> =
                lists.iter().filter(|list| !list.whose.is_empty()).flat_map(|list| &list.leads).collect();
            let open = Filter { open: true, ..Filter::default() };
            let open = book.leads(&open, &desk.policy, &desk.by().day())?.into_iter().map(|open| open.lead);
            let unlisted = open.filter(|lead| {
                lead.presence == Presence::Live
                    && !held.contains(&lead.rule_id)
                    && !listed.contains(&lead.finding_id)
            });
            Ok((book.cancellations()?.len() as u64, unlisted.count() as u64))
        };
        made.left = Some(count().map_err(ledger::refused)?);
        Ok(made)
    }

    /// Writes the lists of `run` into `out`, which appears whole or not at all; gives the findings in them.
    fn lists(&self, run: &RunFolder, out: &Path, held_back: BTreeSet<String>) -> Result<u64, Failure> {
        let shelf = Shelf::open(self.context, self.packs);
        let options =
            ExportOptions { by_area: self.plan.by_area, held_back, ..export::options(self.context) };
        let held = |rule: &str| options.held_back.contains(rule);
        let rules = run.manifest().rules.iter().filter(|r| !held(&r.rule_id));
        let listed = rules.map(|r| r.findings).sum();
        if out.exists() {
            return Ok(listed);
        }
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let root = out.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(root).map_err(|e| Failure::disk(root, &e))?;
        let left = unfinished::sweep(root, &name, "lists").map_err(|e| Failure::disk(root, &e))?;
        super::left_alone(self.context, &left);
        let aside = unfinished::create(root, &name, "lists").map_err(|e| Failure::disk(root, &e))?;
        let names = self.names(run, options.profile)?;
        // In a folder of their own in there: who may open it follows from what their reader may see.
        let lists = aside.join("lists");
        mingcha_ledger::export_as(run, names, &lists, &options, &export::catalogue(&shelf))
            .map_err(export::refused)?;
        fs::rename(&lists, out).map_err(|e| Failure::disk(out, &e))?;
        unfinished::discard(&aside).map_err(|e| Failure::disk(&aside, &e))?;
        Ok(listed)
    }

    /// What masked lists of `run` call its findings: as all other lists of the office do.
    fn names(&self, run: &RunFolder, profile: Profile) -> Result<Option<Names>, Failure> {
        let masked = profile == Profile::Supervisor;
        masked.then(|| ledger::names(self.context, self.desk.ledger.as_deref(), run)).transpose()
    }

    /// Rules whose lists something holds back, and why.
    fn trips(
        &self,
        run: &RunFolder,
        before: &BTreeMap<String, u64>,
    ) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let breakers = &self.context.config.night.breakers;
        let mut held = BTreeMap::new();
        if breakers.is_empty() {
            return Ok(held);
        }
        let persons = Store::open(&self.plan.store).map_or(0, |store| store.manifest().persons);
        for rule in &run.manifest().rules {
            if !matches!(rule.outcome, OutcomeKind::Found | OutcomeKind::Clean) {
                continue;
            }
            let breaker = breaker::of(breakers, &rule.rule_id);
            let subjects = match breaker.per_mille {
                None => 0,
                Some(_) => {
                    let (findings, _) = run.of_rule(&rule.rule_id).map_err(inputs)?;
                    findings.iter().map(|f| f.subject_id.as_str()).collect::<BTreeSet<_>>().len() as u64
                }
            };
            let before = before.get(&rule.rule_id).copied();
            let tonight = breaker::Tonight { findings: rule.findings, subjects, persons, before };
            let why = breaker::trips(&breaker, &tonight);
            if !why.is_empty() {
                held.insert(rule.rule_id.clone(), why);
            }
        }
        Ok(held)
    }

    /// The report of the night, beside its lists; written anew where a killed night had begun it.
    fn report(&self, night: &mut NightRecord) -> Result<(), Failure> {
        if night.lists.is_empty() {
            return Ok(());
        }
        let path = self.context.config.needed("ledger.path", "--ledger", None)?;
        let shelf = Shelf::open(self.context, self.packs);
        let asked = Asked {
            subject: Subject::Night((night.number > 0).then_some(night.number)),
            profile: export::options(self.context).profile,
            lang: self.context.screen.lang,
            today: self.plan.zone.day(&self.at()).into(),
            limit: MOST_REPORTED,
            replace: true,
        };
        let policy = ledger::policy(self.context, Some(&shelf));
        let book = Book::read(&path).map_err(ledger::refused)?;
        let out = Path::new(&night.lists).join("report");
        let files =
            report(&book, &policy, &asked, &export::catalogue(&shelf), &out).map_err(ledger::refused)?;
        night.report = files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
        Ok(())
    }

    /// Puts a message to everybody who wants it among those to be delivered.
    fn post(&self, state: &mut State, letter: &Letter) {
        for (to, listener) in self.context.config.night.listeners.iter().enumerate() {
            if letter.trouble || !listener.trouble_only {
                state.letters.push(Letter { to, ..letter.clone() });
            }
        }
        let over = state.letters.len().saturating_sub(MOST_LETTERS);
        if over > 0 {
            state.letters.drain(..over);
            self.context.screen.diagnostics(&[too_many_letters(over)]);
        }
    }

    /// Delivers what can be delivered; the rest stays for the next time.
    fn deliver(&self, state: &mut State) -> Result<(), Failure> {
        if state.letters.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::new();
        for mut letter in std::mem::take(&mut state.letters) {
            let Some(listener) = self.context.config.night.listeners.get(letter.to) else { continue };
            if let Err(why) = notify::deliver(listener, &letter, clock::millis()) {
                letter.failed += 1;
                self.context.screen.diagnostics(&[notify::undelivered(letter.to, &why, letter.failed)]);
                kept.push(letter);
            }
        }
        state.letters = kept;
        state.write(&self.plan.folder)
    }

    fn show(&self, state: &State, letter: &Letter) {
        let screen = &self.context.screen;
        match self.format {
            Format::Json => screen.json(&json!({"night": state.last, "undelivered": state.letters.len()})),
            Format::Human => screen.line(&letter.text),
        }
    }

    fn nothing_due(&self, state: &State) {
        let screen = &self.context.screen;
        if self.format == Format::Json {
            screen
                .json(&json!({"night": state.last, "undelivered": state.letters.len(), "nothing_due": true}));
            return;
        }
        let day = state.last.as_ref().map_or("", |last| last.as_of.as_str());
        let next = self.plan.schedule.next(self.now).map(|next| next.to_rfc3339());
        let (zh, en) = match next {
            Some(next) => (
                format!("{day} 的夜间工作已完成；下一次：{next}"),
                format!("the night of {day} is done; the next one is due at {next}"),
            ),
            None => (
                format!("{day} 的夜间工作已完成；重做用 --again"),
                format!("the night of {day} is done; --again does it once more"),
            ),
        };
        screen.line(screen.say(&zh, &en));
    }

    /// The lists of rules that the last night held back, now that somebody has looked.
    fn release(&self, rules: &[String]) -> Outcome {
        let folder = &self.plan.folder;
        let _lock =
            Lock::named(folder, &format!("mingcha nightly --release, process {}", std::process::id()))?;
        let mut state = State::read(folder)?;
        let shelf = Shelf::open(self.context, self.packs);
        let desk = ledger::Desk::needed(self.context, self.desk, &shelf)?;
        let Some(night) = &mut state.last else { return Err(Failure::usage(not_held(&rules.join(",")))) };
        if let Some(rule) = rules.iter().find(|rule| !night.held.contains_key(*rule)) {
            return Err(Failure::usage(not_held(rule)));
        }
        let (Some(root), run) = (&self.plan.lists, RunFolder::open(Path::new(&night.run)).map_err(inputs)?)
        else {
            return Err(Failure::usage(not_held(&rules.join(","))));
        };
        let all = run.manifest().rules.iter().map(|r| r.rule_id.clone());
        let others = all.filter(|rule| !rules.contains(rule)).collect();
        let names = (1..).map(|n| root.join(format!("{}-released-{n}", night.as_of)));
        let out =
            names.into_iter().find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| root.clone());
        let listed = self.lists(&run, &out, others)?;
        desk.open()?.release(&night.as_of, rules, desk.by()).map_err(ledger::refused)?;
        night.held.retain(|rule, _| !rules.contains(rule));
        let still: BTreeSet<String> = night.held.keys().cloned().collect();
        state.write(folder)?;
        let made = self.hand_out(&out, &still, false)?;
        let (out, listed) = (out.display(), count(listed));
        let screen = &self.context.screen;
        screen.line(screen.say(
            &format!("已放行 {}：{listed} 条线索，{out}", rules.join("、")),
            &format!("released {}: {listed} findings in {out}", rules.join(", ")),
        ));
        if !made.numbers.is_empty() {
            let (zh, en) = (made.numbers.join("、"), made.numbers.join(", "));
            screen.line(
                screen.say(&format!("已生成的下发清单：{zh}"), &format!("lists to be handed out: {en}")),
            );
        }
        match made.faults.into_iter().next() {
            // Each was shown when it happened.
            Some((_, fault)) => Ok(export::not_issued(fault).exit),
            None => Ok(Exit::Done),
        }
    }

    /// One line for whoever watches, and an exit code.
    fn status(&self) -> Outcome {
        let folder = &self.plan.folder;
        let state = State::read(folder)?;
        let sign = Sign::read(folder);
        let health = self.health(&state, sign.as_ref(), lock::is_held(folder));
        let screen = &self.context.screen;
        let (zh, en) = match state.letters.len() {
            0 => (health.zh, health.en),
            n => (
                format!("{}；{n} 条通知未送达", health.zh),
                format!("{}; {n} messages undelivered", health.en),
            ),
        };
        if self.format == Format::Json {
            screen.json(&json!({"state": health.word, "exit_code": health.exit.code(), "sign": sign, "open": state.open,
                "last": state.last, "undelivered": state.letters.len()}));
        } else {
            screen.line(screen.say(&zh, &en));
        }
        Ok(health.exit)
    }

    fn health(&self, state: &State, sign: Option<&Sign>, held: bool) -> Health {
        let moment = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).ok();
        if let (true, Some(sign)) = (held, sign) {
            let step = sign.step.title();
            let (day, since) = (&sign.as_of, self.shown(&sign.since));
            let beat = self.shown(&sign.beat);
            let now = self.plan.moment(None);
            let silent = moment(&sign.beat).map_or(0, |beat| (now - beat).num_seconds());
            return if silent > SILENCE {
                Health::new(
                    "silent",
                    Exit::Internal,
                    format!(
                        "无响应：{day} 夜间工作停在“{}”，最后一次报告在 {beat}；检查进程 {}",
                        step.zh, sign.process
                    ),
                    format!(
                        "silent: the night of {day} is {}, last sign of life at {beat}; look at process {}",
                        step.en, sign.process
                    ),
                )
            } else {
                Health::new(
                    "running",
                    Exit::Done,
                    format!("运行中：{day} 夜间工作，{since} 起{}", step.zh),
                    format!("running since {since}: the night of {day}, {}", step.en),
                )
            };
        }
        if let Some(open) = &state.open {
            let (day, step) = (&open.as_of, open.step.title());
            let (why_zh, why_en, exit) = if open.fault.is_empty() {
                ("进程被终止".to_owned(), "its process ended".to_owned(), Exit::Internal)
            } else {
                (open.fault.clone(), open.fault.clone(), Exit::of_code(open.fault_exit))
            };
            return Health::new(
                "failed",
                exit,
                format!(
                    "失败：{day} 夜间工作停在“{}”（{why_zh}）；再次执行 mingcha nightly，从这一步继续",
                    step.zh
                ),
                format!(
                    "failed: the night of {day} stopped while {} ({why_en}); start `mingcha nightly` again to go on",
                    step.en
                ),
            );
        }
        let due = self.plan.schedule.last(self.now).filter(|_| self.plan.schedule.next(self.now).is_some());
        let done = state.last.as_ref().map_or("", |last| last.as_of.as_str());
        if let Some(due) = due {
            let day = due.date_naive().to_string();
            if done < day.as_str() && self.now - due.with_timezone(&Utc) > self.plan.late {
                let last = if done.is_empty() { "-" } else { done };
                return Health::new(
                    "late",
                    Exit::Inputs,
                    format!(
                        "迟误：{day} 的夜间工作没有运行，最近一次是 {last}；执行 mingcha nightly，并检查定时任务"
                    ),
                    format!(
                        "late: the night of {day} did not run, the last one was {last}; start `mingcha nightly` and look at the timer"
                    ),
                );
            }
        }
        let next = self.plan.schedule.next(self.now).map(|next| next.to_rfc3339());
        let (next_zh, next_en) = next.map_or_else(
            || (String::new(), String::new()),
            |next| (format!("；下一次 {next}"), format!("; next at {next}")),
        );
        match &state.last {
            None => Health::new(
                "ok",
                Exit::Done,
                format!("正常：还没有运行过{next_zh}"),
                format!("ok: no night so far{next_en}"),
            ),
            Some(last) => {
                let (day, ended, code) = (&last.as_of, self.shown(&last.ended), last.exit);
                let exit = Exit::of_code(code);
                if matches!(exit, Exit::Done | Exit::Threshold) {
                    Health::new(
                        "ok",
                        Exit::Done,
                        format!("正常：{day} 夜间工作完成于 {ended}{next_zh}"),
                        format!("ok: the night of {day} was done at {ended}{next_en}"),
                    )
                } else {
                    Health::new(
                        "trouble",
                        exit,
                        format!("有问题：{day} 夜间工作完成于 {ended}，退出码 {code}{next_zh}"),
                        format!(
                            "trouble: the night of {day} was done at {ended} with exit code {code}{next_en}"
                        ),
                    )
                }
            }
        }
    }
}

/// What `[[list]]` came to.
#[derive(Debug, Default)]
struct HandedOut {
    numbers: Vec<String>,
    /// By the place of the entry, from 1.
    faults: Vec<(usize, Diagnostic)>,
    /// Leads that somebody still holds and that stand no more; open ones that are on nobody's list.
    left: Option<(u64, u64)>,
}

/// How things stand.
#[derive(Debug)]
struct Health {
    word: &'static str,
    exit: Exit,
    zh: String,
    en: String,
}

impl Health {
    fn new(word: &'static str, exit: Exit, zh: String, en: String) -> Self {
        Self { word, exit, zh, en }
    }
}

/// `2026-07-01` in `folder`, or `2026-07-01-2` where that is taken.
fn free(folder: &Path, name: &str) -> PathBuf {
    let names = std::iter::once(name.to_owned()).chain((2_u32..).map(|n| format!("{name}-{n}")));
    let mut places = names.map(|name| folder.join(name));
    places.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| folder.join(name))
}

/// Keeps the graver of two endings.
fn worse(night: &mut NightRecord, exit: Exit) {
    night.exit = Exit::first([Exit::of_code(night.exit), exit]).code();
}

fn inputs(fault: Diagnostic) -> Failure {
    Failure::inputs(vec![fault])
}

fn day_of(night: &NightRecord) -> Result<NaiveDate, Failure> {
    config::parse_date(&night.as_of).ok_or_else(never)
}

fn never() -> Failure {
    Failure::usage(
        Diagnostic::error(
            "MC906",
            "`nightly.schedule` 中没有到期的时刻",
            "`nightly.schedule` names no moment that has come",
        )
        .with_help(
            "改正 cron 表达式，或用 --as-of 指定日期",
            "mend the cron expression, or give a day with --as-of",
        ),
    )
}

fn given_up(night: &NightRecord) -> Diagnostic {
    let day = &night.as_of;
    Diagnostic::warning(
        "MC909",
        format!("放弃 {day} 未完成的夜间工作：它的数据已被新的代替，计入漏掉的一夜"),
        format!(
            "the unfinished night of {day} is given up: its extracts have made way for newer ones; it counts as missed"
        ),
    )
}

fn not_come(code: &str, path: &str, required: bool) -> Diagnostic {
    let (zh, en) = (
        format!("需要数据 `{path}`，但没有送到"),
        format!("wanted the extract `{path}`, but it did not come"),
    );
    let fault = if required { Diagnostic::error(code, zh, en) } else { Diagnostic::warning(code, zh, en) };
    if required {
        fault.with_help(
            "送到后再次执行 mingcha nightly；等待时间见 nightly.wait_minutes",
            "start `mingcha nightly` again when it is there; nightly.wait_minutes says how long is waited",
        )
    } else {
        fault.with_help(
            "依赖它的规则本夜不评估；补到后用 mingcha nightly --again 重做",
            "rules that need it are not evaluated tonight; when it has come, `mingcha nightly --again` does the night once more",
        )
    }
}

fn set_aside(datasets: &BTreeSet<String>) -> Diagnostic {
    let names: Vec<&str> = datasets.iter().map(String::as_str).collect();
    Diagnostic::warning(
        "MC903",
        format!("文件有误，本夜不采用这些数据集：{}", names.join("、")),
        format!("left out tonight for a broken file: {}", names.join(", ")),
    )
    .with_help(
        "依赖它们的规则不评估，其线索维持原状；改正后用 mingcha nightly --again 重做",
        "rules that need them are not evaluated and their leads stay as they are; when mended, `mingcha nightly --again` does the night once more",
    )
}

fn held_back(rule: &str, why: &[String]) -> Diagnostic {
    let why = why.join("; ");
    Diagnostic::warning(
        "MC905",
        format!("规则 {rule} 的清单暂缓导出：{why}"),
        format!("the list of rule {rule} is held back: {why}"),
    )
    .with_help(
        format!("结果已记入台账；核对后用 mingcha nightly --release {rule} --as 姓名 放行"),
        format!("the result stands in the ledger; after a look, `mingcha nightly --release {rule} --as NAME` lets it go"),
    )
}

fn not_held(rule: &str) -> Diagnostic {
    Diagnostic::error(
        "MC908",
        format!("最近一夜没有暂缓规则 {rule} 的清单"),
        format!("the last night holds no list of rule {rule} back"),
    )
    .with_help(
        "用 `mingcha nightly --status --format json` 查看",
        "`mingcha nightly --status --format json` shows which",
    )
}

fn no_counts() -> Diagnostic {
    Diagnostic::error(
        "MC891",
        "`export.profile` 为 public，而 `[[list]]` 没有写明 `profile`：下发的清单不能只含统计数",
        "`export.profile` is public and a `[[list]]` names no `profile`: a list to be worked through cannot be counts only",
    )
    .with_help("在 `[[list]]` 中写明 profile", "give that `[[list]]` a profile")
}

fn too_many_letters(n: usize) -> Diagnostic {
    Diagnostic::warning(
        "MC904",
        format!("未送达的通知过多，丢弃最早的 {n} 条"),
        format!("too many messages are undelivered; the oldest {n} are dropped"),
    )
}
