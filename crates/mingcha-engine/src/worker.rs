//! The walk over the shards, and the worker that walks. A part of the walk is a shard, or some persons of one
//! where a shard would not fit into the memory that a worker has, or the rows that lead to no person. In every
//! part each needed column is decoded once, each view evaluated once, and every local rule runs. A rule or view
//! that runs out of memory all the same gets the part again in halves; one that cannot be held even so is held,
//! which is an outcome. Results are put together in order of part, whoever made them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use mingcha_intake::{Part, Tables};
use mingcha_rules::{Contract, Diagnostic, Library, Text};

use crate::context::{Budget, Workplace};
use crate::gather::{self, Harvest};
use crate::parallel::in_parallel;
use crate::plan::{self, BUILTIN};
use crate::program::{CANDIDATES, Place, Program, RulePlan, ViewPlan};
use crate::report::RunProgress;
use crate::run::Stage;
use crate::stash::{Contents, Finished, Stash, Stored, StoredView, gaps};
use crate::stop::Stop;
use crate::tables::{Content, Rows, Scene, Slots, compact};
use crate::weights::{Columns, Weights, bytes_of, local_columns};

/// How often a long plan asks whether the run was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);
/// How often a part is halved for what does not fit.
const DEEPEST: usize = 5;

/// What the walk needs beside the stage.
pub(crate) struct Walk<'a> {
    pub stage: &'a Stage<'a>,
    /// Views over everything that the shards read.
    pub before: &'a BTreeMap<String, Content>,
    /// Local views whose rows are needed again afterwards.
    pub kept: &'a BTreeSet<String>,
    /// Views over everything that nothing in the shards reads: made meanwhile.
    pub beside: Vec<&'a ViewPlan>,
    /// The tables that those read, and where they are put.
    pub everything: &'a Arc<Slots>,
    /// Where the results of finished parts are kept; absent: in memory.
    pub stash: Option<&'a Stash>,
    /// How much the progress of one part counts.
    pub weights: &'a Weights,
}

/// What the walk gave, in order of part.
#[derive(Default)]
pub(crate) struct Walked {
    pub harvests: Vec<(String, Result<Crop, Stop>, Duration, u64)>,
    pub views: BTreeMap<String, Vec<Kept>>,
    pub broken_views: Vec<(String, Stop)>,
    /// Persons that are named in harvests that are not in memory; in no order, some several times.
    pub persons: Vec<i32>,
    /// Parts that an interrupted run had finished, and all parts.
    pub resumed: Option<(usize, usize)>,
    /// Whether somebody stopped it before its end: then it says nothing of what is missing in it.
    pub left: bool,
}

impl Walked {
    fn add_here(&mut self, result: PartResult) {
        let harvests = result.harvests.into_iter();
        self.harvests.extend(harvests.map(|(id, h, spent, peak)| (id, h.map(Crop::Here), spent, peak)));
        self.broken_views.extend(result.broken_views);
        for (name, batches) in result.views {
            self.views.entry(name).or_default().push(Kept::Here(batches));
        }
    }

    fn add_there(&mut self, contents: Contents) {
        let rules = contents.rules.into_iter();
        self.harvests.extend(rules.map(|(id, h, spent, peak)| (id, h.map(Crop::There), spent, peak)));
        self.broken_views.extend(contents.broken_views);
        for (name, view) in contents.views {
            self.views.entry(name).or_default().push(Kept::There(view));
        }
    }
}

/// What one rule gave on one part: in memory, or where it can be had.
pub(crate) enum Crop {
    Here(Harvest),
    There(Stored),
}

impl Crop {
    /// The harvest, in memory.
    pub(crate) fn take(self) -> Result<Harvest, Diagnostic> {
        match self {
            Self::Here(harvest) => Ok(harvest),
            Self::There(stored) => stored.read(),
        }
    }
}

/// What one rule gave on all parts, in memory.
pub(crate) fn joined(crops: Vec<Crop>) -> Result<Harvest, Diagnostic> {
    Ok(Harvest::join(crops.into_iter().map(Crop::take).collect::<Result<_, _>>()?))
}

/// The rows of a kept view on one part: in memory, or where they can be had.
pub(crate) enum Kept {
    Here(Vec<RecordBatch>),
    There(StoredView),
}

impl Kept {
    /// The rows, in memory.
    pub(crate) fn take(self) -> Result<Vec<RecordBatch>, Diagnostic> {
        match self {
            Self::Here(batches) => Ok(batches),
            Self::There(stored) => stored.read(),
        }
    }
}

/// A part that was walked: what it gave, or where that is.
enum Made {
    Here(PartResult),
    There(Finished),
}

impl Made {
    fn part(&self) -> Part {
        match self {
            Self::Here(result) => result.part,
            Self::There(finished) => finished.part(),
        }
    }
}

/// What one part gave.
pub(crate) struct PartResult {
    pub part: Part,
    pub harvests: Vec<(String, Result<Harvest, Stop>, Duration, u64)>,
    pub views: Vec<(String, Vec<RecordBatch>)>,
    pub broken_views: Vec<(String, Stop)>,
    /// Whether it was left before its end.
    pub left: bool,
}

impl PartResult {
    /// Whether somebody stopped it: then it says nothing about the part.
    pub(crate) fn interrupted(&self) -> bool {
        let cancelled = |stop: &Stop| matches!(stop, Stop::Cancelled);
        self.left
            || self.broken_views.iter().any(|(_, stop)| cancelled(stop))
            || self.harvests.iter().any(|h| h.1.as_ref().is_err_and(cancelled))
    }

    /// The persons that its harvests name, each once and in order.
    fn persons(results: &[Self]) -> Vec<i32> {
        let mut persons = Vec::new();
        for harvest in results.iter().flat_map(|r| &r.harvests).filter_map(|h| h.1.as_ref().ok()) {
            harvest.persons(&mut persons);
        }
        persons.sort_unstable();
        persons.dedup();
        persons
    }

    /// Takes out what ran out of memory: the rules, and the views. What reads a view of `hopeless` stays: it would run
    /// into the same in any part.
    fn take_held(
        &mut self,
        rules: &[&RulePlan],
        hopeless: &BTreeSet<String>,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let held = |stop: &Stop| matches!(stop, Stop::Held(_));
        let views: BTreeSet<String> = self
            .broken_views
            .iter()
            .filter(|(name, stop)| held(stop) && !hopeless.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        let lost = |r: &&&RulePlan| !r.views.is_disjoint(hopeless);
        let lost: BTreeSet<&str> = rules.iter().filter(lost).map(|r| r.id.as_str()).collect();
        let readers = rules.iter().filter(|r| !r.views.is_disjoint(&views)).map(|r| r.id.clone());
        let stopped = self.harvests.iter().filter(|h| h.1.as_ref().is_err_and(held)).map(|h| h.0.clone());
        let again: BTreeSet<String> =
            readers.chain(stopped).filter(|id| !lost.contains(id.as_str())).collect();
        self.broken_views.retain(|(name, _)| !views.contains(name));
        self.harvests.retain(|h| !again.contains(&h.0));
        (again, views)
    }
}

impl Walk<'_> {
    /// Walks with `workers` threads.
    pub(crate) fn run(&self, workers: usize, finished: Vec<Finished>) -> Result<Walked, Vec<Diagnostic>> {
        let had: Vec<Part> = finished.iter().map(Finished::part).collect();
        let parts = self.parts(&had)?;
        let mut walked = Walked::default();
        if !had.is_empty() {
            let tables = self.stage.tables.as_ref();
            let units = had.iter().map(|part| self.weights.of(tables, *part)).sum();
            self.stage.progress.resumed(had.len(), had.len() + parts.len(), units);
            walked.resumed = Some((had.len(), had.len() + parts.len()));
        }
        let n_tasks = self.beside.len() + parts.len();
        let next = AtomicUsize::new(0);
        let left = AtomicBool::new(false);
        let finished: Vec<Made> = finished.into_iter().map(Made::There).collect();
        let done = Mutex::new((finished, Vec::new()));
        let results = in_parallel(workers.min(n_tasks), (0..workers.min(n_tasks)).collect(), |_| {
            let worker = Worker::new(self.stage.program, self.stage.budget, Arc::default())?;
            worker.references(self.stage)?;
            for (name, rows) in self.before {
                worker.slots.put(name, rows.clone());
            }
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= n_tasks {
                    return Ok(());
                }
                if self.stage.progress.cancelled() {
                    left.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                let made = match self.beside.get(task) {
                    Some(view) => self.beside(view).map(|broken| (Vec::new(), broken)),
                    None => {
                        let part = parts[task - self.beside.len()];
                        worker.part(self, part).and_then(|made| {
                            left.fetch_or(made.iter().any(PartResult::interrupted), Ordering::Relaxed);
                            Ok((self.keep(part, made)?, None))
                        })
                    }
                };
                let (made, broken) = made.inspect_err(|_| next.store(n_tasks, Ordering::Relaxed))?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.0.extend(made);
                done.1.extend(broken);
            }
        });
        results.into_iter().collect::<Result<Vec<()>, Vec<Diagnostic>>>()?;
        let (mut made, broken_views) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        made.sort_by_key(Made::part);
        walked.broken_views = broken_views;
        walked.left = left.into_inner();
        for made in made {
            match made {
                Made::Here(result) => walked.add_here(result),
                Made::There(finished) => {
                    walked.persons.extend(finished.persons().map_err(|fault| vec![fault])?);
                    finished.results().into_iter().for_each(|contents| walked.add_there(contents));
                }
            }
        }
        Ok(walked)
    }

    /// Puts what a part gave on the disk, where there is a place for it.
    fn keep(&self, part: Part, results: Vec<PartResult>) -> Result<Vec<Made>, Vec<Diagnostic>> {
        let Some(stash) = self.stash else { return Ok(results.into_iter().map(Made::Here).collect()) };
        let persons = PartResult::persons(&results);
        let finished = stash.keep(part, results, &persons).map_err(|fault| vec![fault])?;
        Ok(finished.into_iter().map(Made::There).collect())
    }

    /// Makes one of the views beside the shards; what is broken of it.
    fn beside(&self, view: &ViewPlan) -> Result<Option<(String, Stop)>, Vec<Diagnostic>> {
        let worker = Worker::new(self.stage.program, self.stage.budget, Arc::clone(self.everything))?;
        Ok(match worker.rows(&view.compiled.physical, self.stage.progress) {
            Ok(rows) => {
                self.everything.put(&view.name, rows);
                None
            }
            // It is made again after the shards, alone and with all the memory.
            Err(Stop::Held(_)) => None,
            Err(stop) => Some((view.name.clone(), stop)),
        })
    }

    /// Views that were to be there before the shards and were not made, and all that read them, at any depth.
    fn hopeless(&self) -> BTreeSet<String> {
        let unmade = self.before.iter().filter(|(_, content)| matches!(content, Content::Unmade(_)));
        let mut names: BTreeSet<String> = unmade.map(|(name, _)| name.clone()).collect();
        // Views stand in order: those that a view reads come before it.
        for view in &self.stage.program.views {
            if view.compiled.columns.keys().any(|read| names.contains(read)) {
                names.insert(view.name.clone());
            }
        }
        names
    }

    /// Whether a view is needed for one that is kept.
    fn read_by_kept(&self, name: &str) -> bool {
        let reads = |view: &ViewPlan| {
            view.compiled.columns.contains_key(name)
                && (self.kept.contains(&view.name) || self.read_by_kept(&view.name))
        };
        self.stage.program.views.iter().any(reads)
    }

    /// The parts of the walk that are not `finished`: shards, cut into slices of equally many persons where one would
    /// not fit.
    fn parts(&self, finished: &[Part]) -> Result<Vec<Part>, Vec<Diagnostic>> {
        let tables = self.stage.tables.as_ref();
        let worker = Worker::new(self.stage.program, self.stage.budget, Arc::default())?;
        let mut parts = Vec::new();
        for shard in 0..tables.n_shards() {
            let bytes = worker.expected_bytes(self.stage, shard);
            // A shard without rows is one piece too.
            let pieces = self.stage.part_bytes.map_or(1, |room| bytes.div_ceil(room.max(1))).max(1);
            let persons = tables.shard_persons(shard).filter(|(from, to)| to > from);
            let step = persons.map_or(0, |(from, to)| {
                i64::from(to - from).div_euclid(i64::try_from(pieces).unwrap_or(i64::MAX)).max(1)
            });
            match persons.map(|whole| (whole, gaps(shard, whole, finished))) {
                None if finished.contains(&Part::Shard(shard)) => {}
                Some((_, Some(gaps))) => gaps.into_iter().for_each(|gap| slice(&mut parts, shard, gap, step)),
                Some(((from, to), None)) if pieces > 1 => slice(&mut parts, shard, from..to, step),
                _ => parts.push(Part::Shard(shard)),
            }
        }
        if !finished.contains(&Part::Unassigned) {
            parts.push(Part::Unassigned);
        }
        Ok(parts)
    }
}

/// Cuts persons of a shard into slices of `step` persons.
fn slice(parts: &mut Vec<Part>, shard: usize, persons: Range<i32>, step: i64) {
    let mut at = i64::from(persons.start);
    while at < i64::from(persons.end) {
        let end = (at + step).min(i64::from(persons.end));
        // Both lie between two persons.
        let (from, to) = (at as i32, end as i32);
        parts.push(Part::Slice { shard, from, to });
        at = end;
    }
}

/// The two halves of the persons of a part.
fn halves(tables: &dyn Tables, part: Part) -> Option<[Part; 2]> {
    let (shard, (from, to)) = match part {
        Part::Shard(shard) => (shard, tables.shard_persons(shard)?),
        Part::Slice { shard, from, to } => (shard, (from, to)),
        _ => return None,
    };
    let middle = from + (to - from) / 2;
    let piece = |from, to| Part::Slice { shard, from, to };
    (middle > from).then(|| [piece(from, middle), piece(middle, to)])
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        let root = error.find_root();
        if let Some(stop) = Self::handed_on(root) {
            return stop.clone();
        }
        match root {
            DataFusionError::ResourcesExhausted(_) => Self::Held(Text {
                zh: "所需内存超过 --memory 的限制；请加大内存，或增加分片数后重新 prepare".to_owned(),
                en:
                    "it needs more memory than --memory allows; allow more, or prepare again with more shards"
                        .to_owned(),
            }),
            _ => Self::Failed(plan::execution_text(&error)),
        }
    }
}

/// What a panic said may quote a value of a row: it is not repeated.
pub(crate) fn panicked() -> Text {
    Text {
        zh: "程序内部错误，其他规则不受影响".to_owned(),
        en: "an internal error; the other rules are not affected".to_owned(),
    }
}

/// What one thread has of its own: what the tables hold, its memory, and the runtime that plans run on.
pub(crate) struct Worker<'p> {
    program: &'p Program,
    slots: Arc<Slots>,
    pub(crate) place: Workplace,
    runtime: tokio::runtime::Runtime,
    columns: Columns,
}

impl<'p> Worker<'p> {
    pub(crate) fn new(
        program: &'p Program,
        budget: &Budget,
        slots: Arc<Slots>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let cannot = |e: &dyn std::fmt::Display| {
            let (zh, en) = (format!("引擎无法启动：{e}"), format!("the engine cannot start: {e}"));
            vec![Diagnostic::error("MC701", zh, en)]
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| cannot(&e))?;
        let place = Workplace::new(&program.catalog.session, budget).map_err(|e| cannot(&e))?;
        Ok(Self { program, slots, place, runtime, columns: local_columns(program) })
    }

    /// Loads the reference tables that shards need.
    fn references(&self, stage: &Stage<'_>) -> Result<(), Vec<Diagnostic>> {
        let by_person = |name: &str| {
            name == "persons" || stage.library.contract(name).is_some_and(|c| c.person.is_some())
        };
        for name in self.columns.keys().filter(|name| is_dataset(stage.library, name) && !by_person(name)) {
            self.load(stage, name, Part::Whole).map_err(|d| vec![d])?;
        }
        Ok(())
    }

    /// Bytes that the rows of a shard are expected to take.
    fn expected_bytes(&self, stage: &Stage<'_>, shard: usize) -> u64 {
        bytes_of(&self.columns, stage, shard)
    }

    fn load(&self, stage: &Stage<'_>, dataset: &str, part: Part) -> Result<usize, Diagnostic> {
        let Some(wanted) = self.columns.get(dataset) else { return Ok(0) };
        let mut columns: Vec<&str> = wanted.iter().map(String::as_str).collect();
        if columns.is_empty() {
            // A plan that only counts rows still needs their number.
            columns.push(if dataset == "persons" { "pid" } else { "src" });
        }
        let batches = match stage.tables.rows(dataset) {
            Some(_) => stage.tables.read(dataset, part, &columns)?,
            // Rules that need it are not evaluated at all; to the others it says that it may be missing.
            None => Vec::new(),
        };
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
        self.slots.put(dataset, Rows::content(batches).map_err(|e| unreadable(dataset, &e))?);
        Ok(n_rows)
    }

    /// One part: load, views, rules. What needs more memory than there is gets it in smaller pieces of the part.
    fn part(&self, walk: &Walk<'_>, part: Part) -> Result<Vec<PartResult>, Vec<Diagnostic>> {
        let locals = || self.program.rules.iter().filter(|r| r.place == Place::Local);
        let rules: Vec<&RulePlan> = locals().collect();
        let (first, n_rows) = self.pass(walk, part, &rules, walk.kept, true)?;
        let mut done = vec![first];
        if n_rows == 0 {
            return Ok(done);
        }
        let hopeless = walk.hopeless();
        let mut waiting = vec![(part, 0)];
        while let Some((part, depth)) = waiting.pop() {
            let Some(result) = done.iter_mut().find(|r| r.part == part) else { continue };
            let Some(halves) = halves(walk.stage.tables.as_ref(), part).filter(|_| depth < DEEPEST) else {
                continue;
            };
            let (held, views) = result.take_held(&rules, &hopeless);
            let kept: BTreeSet<String> = views.intersection(walk.kept).cloned().collect();
            if held.is_empty() && kept.is_empty() {
                continue;
            }
            let again: Vec<&RulePlan> = locals().filter(|r| held.contains(&r.id)).collect();
            for half in halves {
                done.push(self.pass(walk, half, &again, &kept, false)?.0);
                waiting.push((half, depth + 1));
            }
        }
        done.sort_by_key(|r| r.part);
        Ok(done)
    }

    /// Some rules on one part, and the rows that it has.
    fn pass(
        &self,
        walk: &Walk<'_>,
        part: Part,
        rules: &[&RulePlan],
        kept: &BTreeSet<String>,
        counted: bool,
    ) -> Result<(PartResult, usize), Vec<Diagnostic>> {
        let stage = walk.stage;
        let by_person = |name: &str| {
            name == "persons" || stage.library.contract(name).is_some_and(|c: &Contract| c.person.is_some())
        };
        let mut n_rows = 0;
        for name in self.columns.keys().filter(|name| is_dataset(stage.library, name) && by_person(name)) {
            if part == Part::Unassigned && name == "persons" {
                self.slots.put(name, Content::Empty);
            } else {
                n_rows += self.load(stage, name, part).map_err(|d| vec![d])?;
            }
        }
        let mut result = PartResult {
            part,
            harvests: Vec::new(),
            views: Vec::new(),
            broken_views: Vec::new(),
            left: false,
        };
        let units = if counted { walk.weights.of(stage.tables.as_ref(), part) } else { 0 };
        let mut told = 0;
        let mut advance_to = |done: usize| {
            let now = units * done as u64 / rules.len().max(1) as u64;
            stage.progress.advance(now - told);
            told = now;
        };
        if n_rows == 0 {
            // Known to give nothing, which is not the same as not knowing what it gives.
            let none = |rule: &&RulePlan| (rule.id.clone(), Ok(Harvest::default()), Duration::ZERO, 0);
            result.harvests = rules.iter().map(none).collect();
            result.views = kept.iter().map(|name| (name.clone(), Vec::new())).collect();
            stage.progress.advance(units);
            return Ok((result, 0));
        }
        let wanted = |name: &String| kept.contains(name) || rules.iter().any(|r| r.views.contains(name));
        let of_kept = |name: &String| walk.read_by_kept(name);
        let locals = self.program.views.iter().filter(|v| v.place == Place::Local);
        for view in locals.filter(|v| wanted(&v.name) || of_kept(&v.name)) {
            // What another part left of it is not to be taken for its rows.
            self.slots.clear(&view.name);
            let made = self.collect(&view.compiled.physical, stage.progress).and_then(|batches| {
                let rows = kept.contains(&view.name).then(|| batches.iter().map(compact).collect());
                Ok((rows, Rows::content(batches)?))
            });
            match made {
                Ok((rows, content)) => {
                    result.views.extend(rows.map(|rows| (view.name.clone(), rows)));
                    self.slots.put(&view.name, content);
                }
                Err(stop) => {
                    // Views and rules that read it end for the same reason, at any depth.
                    self.slots.put(&view.name, Content::Unmade(stop.clone()));
                    result.broken_views.push((view.name.clone(), stop));
                }
            }
        }
        for (rule, done) in rules.iter().zip(1..) {
            if stage.progress.cancelled() {
                result.left = true;
                break;
            }
            let started = Instant::now();
            let harvest = self.harvest(stage, rule);
            result.harvests.push((rule.id.clone(), harvest, started.elapsed(), self.place.take_peak()));
            advance_to(done);
        }
        if rules.is_empty() {
            stage.progress.advance(units);
        }
        let views = self.program.views.iter().filter(|v| v.place == Place::Local).map(|v| &v.name);
        for name in self.columns.keys().filter(|name| by_person(name)).chain(views) {
            self.slots.clear(name);
        }
        Ok((result, n_rows))
    }

    /// Candidates, exclusions and counter-evidence of one rule on what the tables hold now.
    pub(crate) fn harvest(&self, stage: &Stage<'_>, rule: &RulePlan) -> Result<Harvest, Stop> {
        let Some(loaded) = stage.library.rule(&rule.id) else { return Err(Stop::Failed(panicked())) };
        let candidates = self.collect(&rule.candidates.physical, stage.progress)?;
        let sorted =
            catch_unwind(AssertUnwindSafe(|| gather::sift(&stage.gathering(loaded, rule), &candidates)));
        let mut harvest = match sorted {
            Ok(sifted) => sifted?,
            Err(_) => return Err(Stop::Failed(panicked())),
        };
        if harvest.has_candidates() && !rule.counters.is_empty() {
            self.slots.put(CANDIDATES, Rows::content(harvest.remaining.clone())?);
            for counter in &rule.counters {
                let rows = self.collect(&counter.physical, stage.progress)?;
                harvest.counters.push(rows.iter().map(compact).collect());
            }
            self.slots.clear(CANDIDATES);
        }
        Ok(harvest)
    }

    /// The rows of a view, to be kept: nothing but the rows themselves stays in memory.
    pub(crate) fn rows(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        progress: &dyn RunProgress,
    ) -> Result<Content, Stop> {
        let batches = self.collect(plan, progress)?;
        Ok(Rows::content(batches.iter().map(compact).collect())?)
    }

    /// Executes a plan from a clean state; panics and cancellation are errors.
    fn collect(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        progress: &dyn RunProgress,
    ) -> Result<Vec<RecordBatch>, Stop> {
        let plan = reset_plan_states(Arc::clone(plan))?;
        let context = self.place.execution(Scene::new(&self.slots));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(async {
                let work = collect(plan, context);
                tokio::pin!(work);
                loop {
                    match tokio::time::timeout(CANCEL_POLL, &mut work).await {
                        Ok(done) => return done.map_err(Stop::from),
                        Err(_) if progress.cancelled() => return Err(Stop::Cancelled),
                        Err(_) => {}
                    }
                }
            })
        }));
        match ran {
            Ok(result) => result.map(|batches| batches.into_iter().filter(|b| b.num_rows() > 0).collect()),
            Err(_) => Err(Stop::Failed(panicked())),
        }
    }
}

/// Rows of a table that cannot be put together. The engine's own text may quote a value of a row: it is not shown.
pub(crate) fn unreadable(table: &str, error: &DataFusionError) -> Diagnostic {
    let why = plan::execution_text(error);
    Diagnostic::error(
        "MC701",
        format!("`{table}` 的行无法装入内存（{}）", why.zh),
        format!("the rows of `{table}` cannot be held in memory ({})", why.en),
    )
    .with_help(
        "请运行 mingcha verify 检查数据仓；如数据无损，请减小 --memory 或增加分片数后重新 prepare",
        "run `mingcha verify` on the store; if it is sound, allow less `--memory` (smaller parts) or prepare with more shards",
    )
}

fn is_dataset(library: &Library, name: &str) -> bool {
    BUILTIN.contains(&name) || library.contract(name).is_some()
}
