//! A run: which rules can be evaluated, the walk over the shards, the rules that need everything at once, and
//! the gathering of findings. Every rule is isolated: one that fails or panics is an outcome, the others run.
//!
//! ```text
//! by key    parts of plans that are local to an account, a household ..., bucket by bucket   (rekey.rs)
//! before    views over everything that the shards need (by hospital, by applicant ...)
//! shards    workers take shards: decode each needed column once, evaluate each view once, run every local rule
//! after     views and rules that need all shards' rows
//! findings  candidates left -> grouped, graded, with evidence   (gather.rs)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::DataFusionError;
use mingcha_intake::{OfPersons, Tables};
use mingcha_rules::rule::{Input, Status};
use mingcha_rules::{Contract, Diagnostic, Library, LoadedRule, Outcome, OutcomeKind, Text};

use crate::carry::{self, Carried, Since, Standing};
use crate::context::Budget;
use crate::gather::{self, Numbers};
use crate::handlers::Handlers;
use crate::key::Subject;
use crate::keyed::entered;
use crate::needed::{before_views, views_kept_for};
use crate::parallel::{in_parallel, in_turn};
use crate::plan::BUILTIN;
use crate::program::{Order, Place, Program, RulePlan, ViewPlan};
use crate::report::{RunEnd, RunOptions, RunProgress, RunReport, Sink};
use crate::stash::{Finished, Stash};
use crate::stop::Stop;
use crate::tables::{Content, Slots};
use crate::weights::{Weights, weight_of_rule};
use crate::worker::{Crop, Walk, Walked, Worker, joined, panicked};

/// What the process takes before the first row: the program, plans, the allocator's own.
const FIXED_BYTES: u64 = 48 << 20;
/// Below this many persons a limit per mille says nothing.
const PER_MILLE_FROM: u64 = 10_000;

/// Runs the rules of `library` over `tables` and collects what they find.
///
/// # Errors
/// As [`run_into`].
pub fn run(
    tables: &Arc<dyn Tables>,
    library: &Library,
    options: &RunOptions,
    progress: &dyn RunProgress,
) -> Result<RunReport, Vec<Diagnostic>> {
    let mut report = RunReport::default();
    let end = run_into(tables, library, options, progress, &mut report)?;
    if end.cancelled {
        return Ok(RunReport { cancelled: true, ..RunReport::default() });
    }
    report.outcomes = end.outcomes;
    Ok(report)
}

/// Runs the rules of `library` over `tables` and hands what they find to `sink`, rule by rule.
///
/// # Errors
/// Only what stops the whole run: an unknown rule id, a session that cannot be opened, or a sink that refuses.
/// What goes wrong in one rule is that rule's outcome.
pub fn run_into(
    tables: &Arc<dyn Tables>,
    library: &Library,
    options: &RunOptions,
    progress: &dyn RunProgress,
    sink: &mut dyn Sink,
) -> Result<RunEnd, Vec<Diagnostic>> {
    run_since(tables, library, options, progress, None, sink)
}

/// [`run_into`], building upon an earlier run where there is one: the same answers, with less work.
///
/// # Errors
/// As [`run_into`].
pub fn run_since(
    tables: &Arc<dyn Tables>,
    library: &Library,
    options: &RunOptions,
    progress: &dyn RunProgress,
    since: Option<&Since<'_>>,
    sink: &mut dyn Sink,
) -> Result<RunEnd, Vec<Diagnostic>> {
    let selected = select(library, options)?;
    let mut books = Books::open(tables.as_ref(), library, &selected, options);
    sink.begin(&books.outcomes.values().cloned().collect::<Vec<_>>()).map_err(|fault| vec![fault])?;
    let runnable = books.runnable();
    let internal = |e: &DataFusionError| {
        vec![Diagnostic::error(
            "MC701",
            format!("引擎无法启动：{e}"),
            format!("the engine cannot start: {e}"),
        )]
    };
    let workers = workers_of(options);
    let order = Order {
        library,
        rules: &runnable,
        tables: Some(tables.as_ref()),
        as_of: options.as_of,
        params: &options.params,
        plain_plans: options.plain_plans,
    };
    // Half of what a worker has is for what plans reserve; the rows of a part come at most to a third of the other
    // half, since they are held more than once while they are decoded, and views stand beside them.
    let share = options.memory.map(|m| m.saturating_sub(FIXED_BYTES).max(m / 4) / workers as u64);
    let budget = Budget {
        memory: share.map(|s| usize::try_from(s / 2).unwrap_or(usize::MAX)),
        spill_dir: options.spill_dir.clone(),
    };
    let whole = Program::new(&order).map_err(|e| internal(&e))?;
    for (id, faults) in &whole.broken {
        let reasons: Vec<&crate::sql::SqlFault> = faults.iter().map(|f| &f.fault).collect();
        if let Some(first) = reasons.first() {
            books.fail(id, Text { zh: first.zh.clone(), en: first.en.clone() });
        }
    }
    books.place(&whole, tables.as_ref());
    books.announce(progress);
    let division = carry::divide(since, &whole, library, tables.as_ref(), options);
    let program = whole.only(&division.ids(|c| matches!(c, Carried::Full(_))));
    let partial = whole.only(&division.ids(|c| matches!(c, Carried::Partial(_))));
    let narrowed = division.narrowed(tables);
    let standing = since
        .map(|since| Standing::new(since, &division, narrowed.as_deref()))
        .transpose()
        .map_err(|fault| vec![fault])?;
    let part_bytes = share.map(|s| s / 6);
    let stage = Stage { tables, library, options, progress, program: &program, budget: &budget, part_bytes };
    let local: Vec<&RulePlan> = program.rules.iter().filter(|r| r.place == Place::Local).collect();
    let later: Vec<&RulePlan> = program.rules.iter().filter(|r| r.place != Place::Local).collect();
    let kept_views = views_kept_for(&program, &later);
    let walk_needed = !local.is_empty() || !kept_views.is_empty();
    let weights = if walk_needed { Weights::new(&stage) } else { Weights::default() };
    let again = match &narrowed {
        Some(narrowed) => {
            let tables: Arc<dyn Tables> = Arc::<OfPersons>::clone(narrowed);
            Weights::new(&Stage { tables: &tables, program: &partial, ..stage })
        }
        None => Weights::default(),
    };
    let of_later: u64 = later.iter().map(|rule| weight_of_rule(&stage, rule)).sum();
    let of_keys = stage.weight_by_key() + Stage { program: &partial, ..stage }.weight_by_key();
    progress.begin(weights.sum() + again.sum() + of_later + of_keys);

    let everything = stage.everything();
    let mut before = stage.by_key(&everything, workers, &mut books)?;
    let (needed, beside) = before_views(&program);
    before.extend(stage.views(needed, &everything, &mut books)?);
    let (stash, finished) =
        if walk_needed { stage.stash(WALK, &kept_views, &before, "")? } else { (None, Vec::new()) };
    let walk = Walk {
        stage: &stage,
        before: &before,
        kept: &kept_views,
        beside,
        everything: &everything,
        stash: stash.as_ref(),
        weights: &weights,
    };
    let walked = if walk_needed { walk.run(workers, finished)? } else { Walked::default() };
    let mut resumed = walked.resumed;
    let mut harvests = stage.enter(walked, &kept_views, &everything, &mut books)?;
    if let Some(narrowed) = narrowed {
        // The same walk, with the persons that changed and nobody else.
        let stage = Stage { program: &partial, ..stage };
        let (needed, _) = before_views(&partial);
        let (made, missing): (Vec<_>, Vec<_>) = needed.into_iter().partition(|v| everything.has(&v.name));
        let mut before = stage.by_key(&everything, workers, &mut books)?;
        before.extend(made.into_iter().map(|v| (v.name.clone(), everything.get(&v.name))));
        before.extend(stage.views(missing, &everything, &mut books)?);
        let tables: Arc<dyn Tables> = narrowed;
        let stage = Stage { tables: &tables, ..stage };
        let (kept, beside) = (BTreeSet::new(), Vec::new());
        let (stash, finished) = stage.stash(WALK_AGAIN, &kept, &before, &division.persons_sum())?;
        let walk = Walk {
            stage: &stage,
            before: &before,
            kept: &kept,
            beside,
            everything: &everything,
            stash: stash.as_ref(),
            weights: &again,
        };
        let walked = walk.run(workers, finished)?;
        resumed = match (resumed, walked.resumed) {
            (Some(a), Some(b)) => Some((a.0 + b.0, a.1 + b.1)),
            (a, b) => a.or(b),
        };
        let more = stage.enter(walked, &kept, &everything, &mut books)?;
        harvests.crops.extend(more.crops);
        harvests.persons.extend(more.persons);
    }
    let left = program
        .views
        .iter()
        .filter(|v| matches!(v.place, Place::Before | Place::After(_)) && !everything.has(&v.name));
    stage.views(left.collect(), &everything, &mut books)?;
    stage.later(later, &everything, &mut harvests, &mut books)?;
    if !progress.cancelled() && !books.left {
        let stage = Stage { program: &whole, ..stage };
        stage.gather(harvests, workers, standing.as_ref(), &mut books, sink).map_err(|fault| vec![fault])?;
    }
    if progress.cancelled() || books.left {
        return Ok(RunEnd { cancelled: true, ..RunEnd::default() });
    }
    let carried = if since.is_some() { division.rules } else { BTreeMap::new() };
    Ok(RunEnd { outcomes: books.close(), carried, resumed, cancelled: false })
}

/// The rules that the options name, or all that run.
fn select<'a>(library: &'a Library, options: &RunOptions) -> Result<Vec<&'a LoadedRule>, Vec<Diagnostic>> {
    let known = |id: &String| library.rule(id).is_some() || library.left_out.iter().any(|l| l.id == *id);
    let unknown: Vec<Diagnostic> = options
        .only
        .iter()
        .filter(|id| !known(id))
        .map(|id| {
            let fault =
                Diagnostic::error("MC702", format!("没有规则 `{id}`"), format!("there is no rule `{id}`"));
            match crate::sql::nearest(id, library.rules.iter().map(|r| r.rule.id.as_str())) {
                Some(near) => fault.with_help(
                    format!("是不是想写 `{near}`；用 mingcha rules list 查看全部"),
                    format!("did you mean `{near}`; `mingcha rules list` shows all"),
                ),
                None => fault.with_help("用 mingcha rules list 查看全部", "`mingcha rules list` shows all"),
            }
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    Ok(library
        .rules
        .iter()
        .filter(|r| {
            if options.only.is_empty() {
                !matches!(r.rule.status, Status::Draft | Status::Retired)
            } else {
                options.only.contains(&r.rule.id)
            }
        })
        .collect())
}

/// Folders of the two walks: over everybody, and over those who changed since an earlier run.
const WALK: &str = "all";
const WALK_AGAIN: &str = "changed";

/// What the rules gave, before it is gathered.
#[derive(Default)]
struct Harvests {
    /// By rule, in order of part.
    crops: BTreeMap<String, Vec<Crop>>,
    /// Persons named in crops that are not in memory.
    persons: Vec<i32>,
}

/// A rule that is to be gathered.
type Waiting<'a> = (&'a RulePlan, &'a LoadedRule, Vec<Crop>);

/// What every part of a run needs.
#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) tables: &'a Arc<dyn Tables>,
    pub(crate) library: &'a Library,
    pub(crate) options: &'a RunOptions,
    pub(crate) progress: &'a dyn RunProgress,
    pub(crate) program: &'a Program,
    pub(crate) budget: &'a Budget,
    /// Bytes that the rows of one part may take, for one worker; absent: a shard is walked whole.
    pub(crate) part_bytes: Option<u64>,
}

impl<'a> Stage<'a> {
    pub(crate) fn gathering(&self, loaded: &'a LoadedRule, plan: &'a RulePlan) -> gather::Task<'a> {
        gather::Task {
            loaded,
            schema: Arc::clone(&plan.schema),
            tables: self.tables.as_ref(),
            as_of: self.options.as_of,
            params: self.options.params.get(&loaded.rule.id),
        }
    }

    /// What a view or rule may use that runs alone, because its share of the memory was not enough.
    fn whole_budget(&self) -> Budget {
        let workers = workers_of(self.options);
        Budget { memory: self.budget.memory.map(|m| m.saturating_mul(workers)), ..self.budget.clone() }
    }

    /// The tables, every dataset to be read whole. One that was not delivered has no rows: rules that need it are not
    /// evaluated at all.
    fn everything(&self) -> Arc<Slots> {
        let slots = Slots::default();
        let names = self.library.contracts.iter().map(|c| c.name.as_str()).chain(BUILTIN.iter().copied());
        for name in names {
            let content = match self.tables.rows(name) {
                Some(_) => Content::Whole(Arc::clone(self.tables)),
                None => Content::Empty,
            };
            slots.put(name, content);
        }
        Arc::new(slots)
    }

    /// Makes views over everything, several at a time, and puts them among the tables.
    fn views(
        &self,
        views: Vec<&'a ViewPlan>,
        everything: &Arc<Slots>,
        books: &mut Books,
    ) -> Result<BTreeMap<String, Content>, Vec<Diagnostic>> {
        let mut waiting = views;
        let mut made = BTreeMap::new();
        while !waiting.is_empty() {
            let names: BTreeSet<&String> = waiting.iter().map(|v| &v.name).collect();
            let reads_waiting = |v: &&ViewPlan| v.compiled.columns.keys().any(|name| names.contains(name));
            let (later, now): (Vec<_>, Vec<_>) = waiting.into_iter().partition(reads_waiting);
            let make = |view: &'a ViewPlan, budget: &Budget| {
                let worker = Worker::new(self.program, budget, Arc::clone(everything))?;
                Ok::<_, Vec<Diagnostic>>((view, worker.rows(&view.compiled.physical, self.progress)))
            };
            let results = in_parallel(workers_of(self.options), now, |view| make(view, self.budget));
            for result in results {
                let (view, rows) = result?;
                let alone = matches!(rows, Err(Stop::Held(_)));
                match if alone { make(view, &self.whole_budget())? } else { (view, rows) } {
                    (view, Ok(rows)) => {
                        everything.put(&view.name, rows.clone());
                        made.insert(view.name.clone(), rows);
                    }
                    (view, Err(stop)) => {
                        books.fail_readers(self.program, &view.name, &stop);
                        everything.put(&view.name, Content::Unmade(stop.clone()));
                        made.insert(view.name.clone(), Content::Unmade(stop));
                    }
                }
            }
            waiting = later;
        }
        Ok(made)
    }

    /// Where the results of finished parts of a walk are kept, and those that an interrupted run left.
    fn stash(
        &self,
        walk: &str,
        kept: &BTreeSet<String>,
        before: &BTreeMap<String, Content>,
        persons: &str,
    ) -> Result<(Option<Stash>, Vec<Finished>), Vec<Diagnostic>> {
        let Some(parts) = &self.options.parts else { return Ok((None, Vec::new())) };
        let Self { program, library, options, .. } = *self;
        let subject = Subject { program, library, options, kept, before, persons };
        let key = subject.key(parts).map_err(|fault| vec![fault])?;
        let opened = Stash::open(&parts.folder.join(walk), key, parts.resume, self.progress);
        opened.map(|(stash, finished)| (Some(stash), finished)).map_err(|fault| vec![fault])
    }

    /// Enters what the walk over the shards gave. `kept`: the local views that it was to keep.
    fn enter(
        &self,
        mut walked: Walked,
        kept: &BTreeSet<String>,
        everything: &Arc<Slots>,
        books: &mut Books,
    ) -> Result<Harvests, Vec<Diagnostic>> {
        if walked.left {
            books.leave();
        }
        for (name, stop) in &walked.broken_views {
            books.fail_readers(self.program, name, stop);
            // One of those beside the shards: what reads it must not wait for it.
            if !kept.contains(name) && self.program.view(name).is_some_and(|v| v.place == Place::Before) {
                everything.put(name, Content::Unmade(stop.clone()));
            }
        }
        let mut crops: BTreeMap<String, Vec<Crop>> = BTreeMap::new();
        for (id, crop, spent, peak) in std::mem::take(&mut walked.harvests) {
            books.worked(&id, spent, peak);
            match crop {
                Ok(crop) => crops.entry(id).or_default().push(crop),
                Err(stop) => books.stop(&id, &stop),
            }
        }
        let persons = std::mem::take(&mut walked.persons);
        for (name, content) in entered(walked, kept.iter())? {
            everything.put(&name, content);
        }
        Ok(Harvests { crops, persons })
    }

    /// Runs the rules that need everything at once, several at a time.
    fn later(
        &self,
        rules: Vec<&'a RulePlan>,
        everything: &Arc<Slots>,
        harvests: &mut Harvests,
        books: &mut Books,
    ) -> Result<(), Vec<Diagnostic>> {
        let open: Vec<&'a RulePlan> = rules.into_iter().filter(|r| books.is_open(&r.id)).collect();
        let make = |rule: &'a RulePlan, budget: &Budget| {
            // Each rule has candidates of its own among the tables.
            let worker = Worker::new(self.program, budget, Arc::new(everything.copy()))?;
            let started = Instant::now();
            let harvest = worker.harvest(self, rule);
            Ok::<_, Vec<Diagnostic>>((rule, harvest, started.elapsed(), worker.place.take_peak()))
        };
        let results = in_parallel(workers_of(self.options), open, |rule| {
            let made = make(rule, self.budget);
            self.progress.advance(weight_of_rule(self, rule));
            made
        });
        for result in results {
            let (rule, harvest, spent, peak) = result?;
            let alone = matches!(harvest, Err(Stop::Held(_)));
            let (rule, harvest, spent, peak) =
                if alone { make(rule, &self.whole_budget())? } else { (rule, harvest, spent, peak) };
            books.worked(&rule.id, spent, peak);
            match harvest {
                Ok(harvest) => {
                    harvests.crops.entry(rule.id.clone()).or_default().push(Crop::Here(harvest));
                }
                Err(stop) => books.stop(&rule.id, &stop),
            }
        }
        Ok(())
    }

    /// Makes findings of what the rules left, several rules at a time, and hands them over in order of rule.
    fn gather(
        &self,
        harvests: Harvests,
        workers: usize,
        standing: Option<&Standing<'_>>,
        books: &mut Books,
        sink: &mut dyn Sink,
    ) -> Result<(), Diagnostic> {
        let mut harvests = harvests;
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        for plan in &self.program.rules {
            if !books.is_open(&plan.id) {
                continue;
            }
            // Where nothing was evaluated, finding nothing says nothing: only what is taken over whole may be without.
            let nothing = standing.filter(|s| s.is_kept(&plan.id)).map(|_| Vec::new());
            match (self.library.rule(&plan.id), harvests.crops.remove(&plan.id).or(nothing)) {
                (Some(loaded), Some(crops)) => waiting.push((plan, loaded, crops)),
                _ => books.fail(&plan.id, panicked()),
            }
        }
        waiting.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        let persons = persons_of(harvests.persons, &waiting);
        let numbers = self.numbers(&persons, workers);
        let handlers = Handlers::look_up(self.tables.as_ref(), &persons);
        drop(persons);
        let mut refused = Ok(());
        let work = |(plan, loaded, crops)| {
            let started = Instant::now();
            let task = self.gathering(loaded, plan);
            // What one rule left is in memory only while its findings are made.
            let found = joined(crops).map(|harvest| {
                catch_unwind(AssertUnwindSafe(|| {
                    let mut found = gather::findings(&task, &numbers, handlers.as_ref(), harvest)?;
                    standing.map_or(Ok(()), |s| s.merge(&plan.id, &mut found)).map(|()| found)
                }))
            });
            (plan, loaded, found, started.elapsed())
        };
        in_turn(workers, waiting, work, |(plan, loaded, found, spent)| {
            if refused.is_err() || self.progress.cancelled() {
                return;
            }
            books.worked(&plan.id, spent, 0);
            let found = match found {
                Ok(found) => found,
                Err(fault) => {
                    refused = Err(fault);
                    return;
                }
            };
            match found {
                Ok(Ok(gathered)) => {
                    if let Some(gathered) = books.settle(loaded, plan, gathered, self.tables.n_persons()) {
                        refused = gathered.hand_over(&self.gathering(loaded, plan), sink);
                    }
                }
                Ok(Err(fault)) => books.fail(&plan.id, Text { zh: fault.zh, en: fault.en }),
                Err(_) => books.fail(&plan.id, panicked()),
            }
            books.announce(self.progress);
        });
        refused
    }

    /// The identity numbers of `persons`.
    fn numbers(&self, persons: &[i32], workers: usize) -> Numbers {
        let of_shard = |shard| {
            let (from, to) = self.tables.shard_persons(shard).unwrap_or_default();
            &persons[persons.partition_point(|p| *p < from)..persons.partition_point(|p| *p < to)]
        };
        let shards = (0..self.tables.n_shards()).map(of_shard).collect();
        let found = in_parallel(workers, shards, |persons| Numbers::look_up(self.tables.as_ref(), persons));
        let mut numbers = Numbers::default();
        found.iter().for_each(|of_shard| numbers.append(of_shard));
        numbers
    }
}

/// All persons that are named in what the rules left, each once and in order.
fn persons_of(persons: Vec<i32>, waiting: &[Waiting<'_>]) -> Vec<i32> {
    let mut persons = persons;
    for crop in waiting.iter().flat_map(|(_, _, crops)| crops) {
        if let Crop::Here(harvest) = crop {
            harvest.persons(&mut persons);
        }
    }
    persons.sort_unstable();
    persons.dedup();
    persons
}

/// Threads that the options allow.
pub(crate) fn workers_of(options: &RunOptions) -> usize {
    options.threads.max(1)
}

/// The outcome of each rule as it becomes known.
pub(crate) struct Books {
    outcomes: BTreeMap<String, Outcome>,
    open: BTreeSet<String>,
    announced: BTreeSet<String>,
    /// Whether somebody stopped the run: what is missing then says nothing.
    left: bool,
}

impl Books {
    /// Opens the books: rules whose inputs are missing or stale are settled at once.
    fn open(tables: &dyn Tables, library: &Library, selected: &[&LoadedRule], options: &RunOptions) -> Self {
        let (outcomes, open, announced) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut books = Self { outcomes, open, announced, left: false };
        for loaded in selected {
            let id = loaded.rule.id.clone();
            let mut outcome =
                blank_outcome(&id, loaded.rule.version, loaded.rule.title.clone(), &loaded.hash);
            let mut blocks = Vec::new();
            for dataset in library.needed_datasets(loaded) {
                let input = loaded.rule.inputs.get(&dataset);
                outcome.rows_read += tables.rows(&dataset).unwrap_or(0);
                match judge_input(tables, library.contract(&dataset), input, &dataset, options) {
                    Judgement::Fine => {}
                    Judgement::Warn(text) => outcome.warnings.push(text),
                    Judgement::Block(text) => blocks.push(text),
                }
            }
            if blocks.is_empty() {
                books.open.insert(id.clone());
            } else {
                outcome.outcome = OutcomeKind::NotEvaluated;
                outcome.reason = Some(Text {
                    zh: blocks.iter().map(|b| b.zh.as_str()).collect::<Vec<_>>().join("；"),
                    en: blocks.iter().map(|b| b.en.as_str()).collect::<Vec<_>>().join("; "),
                });
            }
            books.outcomes.insert(id, outcome);
        }
        for lost in
            library.left_out.iter().filter(|l| options.only.is_empty() || options.only.contains(&l.id))
        {
            let mut outcome =
                blank_outcome(&lost.id, 0, Text { zh: lost.id.clone(), en: lost.id.clone() }, "");
            outcome.outcome = OutcomeKind::Failed;
            outcome.reason = Some(Text {
                zh: format!("规则文件有错：{}", lost.file),
                en: format!("the rule file has errors: {}", lost.file),
            });
            books.outcomes.entry(lost.id.clone()).or_insert(outcome);
        }
        books
    }

    fn runnable(&self) -> BTreeSet<String> {
        self.open.clone()
    }

    fn is_open(&self, id: &str) -> bool {
        self.open.contains(id)
    }

    fn end(&mut self, id: &str, kind: OutcomeKind, reason: Text) {
        if self.open.remove(id)
            && let Some(outcome) = self.outcomes.get_mut(id)
        {
            outcome.outcome = kind;
            outcome.reason = Some(reason);
        }
    }

    fn fail(&mut self, id: &str, reason: Text) {
        self.end(id, OutcomeKind::Failed, reason);
    }

    fn stop(&mut self, id: &str, stop: &Stop) {
        match stop {
            Stop::Cancelled => self.leave(),
            Stop::Failed(text) => self.end(id, OutcomeKind::Failed, text.clone()),
            Stop::Held(text) => self.end(id, OutcomeKind::Held, text.clone()),
        }
    }

    /// Notes that somebody stopped the run.
    pub(crate) fn leave(&mut self) {
        self.left = true;
    }

    /// Ends the rules that read a view, directly or not, as the view ended.
    pub(crate) fn fail_readers(&mut self, program: &Program, view: &str, stop: &Stop) {
        for rule in program.rules.iter().filter(|r| r.views.contains(view) || r.pieces.contains(view)) {
            self.stop(&rule.id, stop);
        }
    }

    fn worked(&mut self, id: &str, spent: Duration, peak: u64) {
        if let Some(outcome) = self.outcomes.get_mut(id) {
            outcome.seconds += spent.as_secs_f64();
            outcome.peak_memory = outcome.peak_memory.max(peak);
        }
    }

    /// Enters what a rule found, and gives it back unless the rule's breaker trips.
    fn settle<'g>(
        &mut self,
        loaded: &LoadedRule,
        plan: &RulePlan,
        gathered: gather::Gathered<'g>,
        n_persons: u64,
    ) -> Option<gather::Gathered<'g>> {
        self.open.remove(&plan.id);
        let outcome = self.outcomes.get_mut(&plan.id)?;
        outcome.candidates = gathered.candidates;
        outcome.excluded.clone_from(&gathered.excluded);
        outcome.findings = gathered.findings.len() as u64;
        outcome.amount_fen =
            gathered.findings.iter().filter_map(|f| f.amount_fen).fold(0_i64, i64::saturating_add);
        outcome.outcome = if gathered.findings.is_empty() { OutcomeKind::Clean } else { OutcomeKind::Found };
        let limits = &loaded.rule.limits;
        let per_mille = limits
            .max_per_mille
            .filter(|_| n_persons >= PER_MILLE_FROM)
            .map(|m| m.saturating_mul(n_persons) / 1000);
        if let Some(limit) = [limits.max_findings, per_mille]
            .into_iter()
            .flatten()
            .min()
            .filter(|limit| outcome.findings > *limit)
        {
            outcome.outcome = OutcomeKind::Held;
            outcome.reason = Some(Text {
                zh: format!(
                    "发现 {} 条，超过规则上限 {limit} 条，已扣下待查：请先核对数据和参数",
                    outcome.findings
                ),
                en: format!(
                    "{} findings exceed the rule's limit of {limit}; they are held back: check the data and the parameters first",
                    outcome.findings
                ),
            });
            return None;
        }
        Some(gathered)
    }

    /// Notes where each rule runs, and which columns it reads that no extract (or not every one) has.
    fn place(&mut self, program: &Program, tables: &dyn Tables) {
        for rule in &program.rules {
            let Some(outcome) = self.outcomes.get_mut(&rule.id) else { continue };
            outcome.shard_local = rule.place == Place::Local;
            outcome.not_local_because = rule.not_local_because();
            let views = rule.views.iter().filter_map(|name| program.view(name)).map(|v| &v.compiled);
            let mut read: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for compiled in std::iter::once(&rule.candidates).chain(views) {
                for (table, columns) in &compiled.columns {
                    read.entry(table).or_default().extend(columns.iter().map(String::as_str));
                }
            }
            for (dataset, columns) in read {
                let absent: Vec<String> = tables
                    .absent_columns(dataset)
                    .into_iter()
                    .filter(|c| columns.contains(c.as_str()))
                    .collect();
                if !absent.is_empty() {
                    let list = absent.join(", ");
                    outcome.warnings.push(Text {
                        zh: format!("数据 {dataset} 缺少本规则要用的列：{list}，按空值处理"),
                        en: format!("dataset `{dataset}` lacks columns that this rule reads: {list}; they count as empty"),
                    });
                }
            }
        }
    }

    /// Tells of the rules that ended since the last call.
    fn announce(&mut self, progress: &dyn RunProgress) {
        for (id, outcome) in &self.outcomes {
            if !self.open.contains(id) && self.announced.insert(id.clone()) {
                progress.rule_done(outcome);
            }
        }
    }

    /// How all rules ended. One of which nothing became known has not come out clean.
    fn close(mut self) -> Vec<Outcome> {
        for id in std::mem::take(&mut self.open) {
            if let Some(outcome) = self.outcomes.get_mut(&id) {
                (outcome.outcome, outcome.reason) = (OutcomeKind::Failed, Some(panicked()));
            }
        }
        self.outcomes.into_values().collect()
    }
}

fn blank_outcome(id: &str, version: u32, title: Text, hash: &str) -> Outcome {
    Outcome {
        rule_id: id.to_owned(),
        rule_version: version,
        title,
        rule_hash: hash.to_owned(),
        outcome: OutcomeKind::Clean,
        reason: None,
        warnings: Vec::new(),
        candidates: 0,
        excluded: BTreeMap::new(),
        findings: 0,
        amount_fen: 0,
        rows_read: 0,
        seconds: 0.0,
        peak_memory: 0,
        shard_local: false,
        not_local_because: None,
    }
}

/// What the state of an input means for a rule.
pub(crate) enum Judgement {
    Fine,
    Warn(Text),
    /// X-STALE: the rule is not evaluated.
    Block(Text),
}

/// Whether an input is there and fresh enough (exclusion X-STALE: "not run" is never "no hits").
pub(crate) fn judge_input(
    tables: &dyn Tables,
    contract: Option<&Contract>,
    input: Option<&Input>,
    dataset: &str,
    options: &RunOptions,
) -> Judgement {
    let title =
        contract.map_or_else(|| Text { zh: dataset.to_owned(), en: dataset.to_owned() }, |c| c.title.clone());
    let optional = input.is_some_and(|i| i.optional);
    if tables.rows(dataset).is_none() {
        let text = Text {
            zh: format!("未提供数据“{}”（{dataset}）", title.zh),
            en: format!("dataset `{dataset}` ({}) was not delivered", title.en),
        };
        return if optional { Judgement::Warn(text) } else { Judgement::Block(text) };
    }
    let absent = tables.absent_columns(dataset);
    let needed: Vec<&str> = input
        .into_iter()
        .flat_map(|i| &i.columns)
        .filter(|c| absent.contains(*c))
        .map(String::as_str)
        .collect();
    if !needed.is_empty() {
        let list = needed.join(", ");
        return Judgement::Block(Text {
            zh: format!("数据“{}”（{dataset}）缺少列 {list}，没有它就不能说“没有发现”", title.zh),
            en: format!(
                "dataset `{dataset}` ({}) lacks {list}, without which silence would mean nothing",
                title.en
            ),
        });
    }
    let empty = (tables.rows(dataset) == Some(0)).then(|| Text {
        zh: format!("数据“{}”（{dataset}）一行也没有", title.zh),
        en: format!("dataset `{dataset}` ({}) has no rows", title.en),
    });
    let Some(limit) = input.and_then(|i| i.max_age_days).or(contract.map(|c| c.max_age_days)) else {
        return Judgement::Fine;
    };
    let Some(extracted) = tables.extract_date(dataset) else {
        return Judgement::Warn(Text {
            zh: format!("数据“{}”（{dataset}）未注明提取日期，无法判断是否过期", title.zh),
            en: format!(
                "dataset `{dataset}` ({}) does not say when it was extracted; its freshness is unknown",
                title.en
            ),
        });
    };
    let age = (options.as_of - extracted).num_days();
    if age < 0 {
        return Judgement::Warn(Text {
            zh: format!(
                "数据“{}”（{dataset}）提取于 {extracted}，晚于运行日 {}：其中运行日之后的事实也在内",
                title.zh, options.as_of
            ),
            en: format!(
                "dataset `{dataset}` ({}) was extracted on {extracted}, after the run date {}; it may hold facts of later days",
                title.en, options.as_of
            ),
        });
    }
    if age <= i64::from(limit) {
        return empty.map_or(Judgement::Fine, Judgement::Warn);
    }
    let text = Text {
        zh: format!(
            "数据“{}”（{dataset}）提取于 {extracted}，距 {} 已 {age} 天，超过 {limit} 天的时限",
            title.zh, options.as_of
        ),
        en: format!(
            "dataset `{dataset}` ({}) was extracted on {extracted}, {age} days before {}; the limit is {limit}",
            title.en, options.as_of
        ),
    };
    if optional { Judgement::Warn(text) } else { Judgement::Block(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_handed_over_in_order_and_a_panic_does_not_block_the_others() {
        let mut seen = Vec::new();
        in_turn(
            3,
            (0..20_u64).collect(),
            |n| {
                std::thread::sleep(Duration::from_millis(20 - n));
                n
            },
            |n| seen.push(n),
        );
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        let broken = catch_unwind(|| in_turn(2, vec![1, 2, 3], |n| assert_ne!(n, 1), |()| {}));
        assert!(broken.is_err());
    }
}
