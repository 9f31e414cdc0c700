//! A run: which rules can be evaluated, the walk over the shards, the rules that need everything at once, and
//! the gathering of findings. Every rule is isolated: one that fails or panics is an outcome, the others run.
//!
//! ```text
//! before    views over everything that the shards need (by hospital, by applicant ...)
//! shards    workers take shards: decode each needed column once, evaluate each view once, run every local rule
//! after     views and rules that need all shards' rows
//! findings  candidates left -> grouped, graded, with evidence   (gather.rs)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use mingcha_intake::{Part, Tables};
use mingcha_rules::rule::{Input, Status};
use mingcha_rules::{Contract, Diagnostic, Library, LoadedRule, Outcome, OutcomeKind, Text};

use crate::context::{Budget, Workplace};
use crate::gather::{self, Harvest};
use crate::plan::{self, BUILTIN};
use crate::program::{CANDIDATES, Order, Place, Program, RulePlan, ViewPlan};
use crate::report::{RunOptions, RunProgress, RunReport};
use crate::tables::{Content, Rows, Scene, Slots, compact};

/// Share of the memory limit that plans may reserve; the rest is for what no pool sees.
const POOL_SHARE: f64 = 0.6;
/// How often a long plan asks whether the run was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);
/// Stack of a worker: planning recurses as deep as a rule's expressions.
const WORKER_STACK: usize = 64 << 20;
/// Below this many persons a limit per mille says nothing.
const PER_MILLE_FROM: u64 = 10_000;

/// Runs the rules of `library` over `tables`.
///
/// # Errors
/// Only what stops the whole run: an unknown rule id, or a session that cannot be opened. What goes wrong in
/// one rule is that rule's outcome.
pub fn run(
    tables: &Arc<dyn Tables>,
    library: &Library,
    options: &RunOptions,
    progress: &dyn RunProgress,
) -> Result<RunReport, Vec<Diagnostic>> {
    let selected = select(library, options)?;
    let mut books = Books::open(tables.as_ref(), library, &selected, options);
    let runnable = books.runnable();
    let internal = |e: &DataFusionError| {
        vec![Diagnostic::error(
            "MC701",
            format!("引擎无法启动：{e}"),
            format!("the engine cannot start: {e}"),
        )]
    };
    let workers = workers_of(options);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a byte count"
    )]
    let pool = options.memory.map(|m| (m as f64 * POOL_SHARE) as usize);
    let order = Order {
        library,
        rules: &runnable,
        tables: Some(tables.as_ref()),
        as_of: options.as_of,
        params: &options.params,
        plain_plans: options.plain_plans,
    };
    let budget = Budget { memory: pool.map(|p| p / workers), spill_dir: options.spill_dir.clone() };
    let program = Program::new(&order).map_err(|e| internal(&e))?;
    for (id, faults) in &program.broken {
        let reasons: Vec<&crate::sql::SqlFault> = faults.iter().map(|f| &f.fault).collect();
        if let Some(first) = reasons.first() {
            books.fail(id, Text { zh: first.zh.clone(), en: first.en.clone() });
        }
    }
    books.place(&program, tables.as_ref());
    books.announce(progress);
    let stage = Stage { tables, library, options, progress, program: &program, budget: &budget };
    let local: Vec<&RulePlan> = program.rules.iter().filter(|r| r.place == Place::Local).collect();
    let later: Vec<&RulePlan> = program.rules.iter().filter(|r| r.place != Place::Local).collect();
    let kept_views = views_kept_for(&program, &later);
    // One part more than there are shards: the rows that lead to no person, all together.
    let shards = if local.is_empty() && kept_views.is_empty() { 0 } else { tables.n_shards() + 1 };
    progress.begin((shards * local.len().max(1) + later.len()) as u64);

    let everything = stage.everything();
    let before = stage.views(Place::is_before, &everything, &mut books)?;
    let (mut harvests, views) = stage.shards(shards, workers, &before, &kept_views, &mut books)?;
    for (name, batches) in views {
        match Rows::new(batches) {
            Ok(rows) => everything.put(&name, rows),
            Err(error) => books.fail_readers(&program, &name, &error.into()),
        }
    }
    stage.views(Place::is_after, &everything, &mut books)?;
    stage.later(later, &everything, &mut harvests, &mut books)?;
    if progress.cancelled() {
        return Ok(RunReport { cancelled: true, ..RunReport::default() });
    }
    let mut report = RunReport::default();
    stage.gather(harvests, workers, &mut books, &mut report);
    report.findings.sort_by(|a, b| {
        (&a.rule_id, &a.subject_id, &a.finding_id).cmp(&(&b.rule_id, &b.subject_id, &b.finding_id))
    });
    report
        .excused
        .sort_by(|a, b| (&a.rule_id, &a.subject_id, &a.code).cmp(&(&b.rule_id, &b.subject_id, &b.code)));
    report.outcomes = books.close();
    Ok(report)
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

/// Local views whose rows are needed again once all shards are done.
fn views_kept_for(program: &Program, later: &[&RulePlan]) -> BTreeSet<String> {
    let late_views = program.views.iter().filter(|v| matches!(v.place, Place::After(_)));
    let readers = later
        .iter()
        .map(|r| &r.candidates)
        .chain(later.iter().flat_map(|r| &r.counters))
        .chain(late_views.map(|v| &v.compiled));
    let read: BTreeSet<&String> = readers.flat_map(|c| c.columns.keys()).collect();
    program
        .views
        .iter()
        .filter(|v| v.place == Place::Local && read.contains(&v.name))
        .map(|v| v.name.clone())
        .collect()
}

/// Why a plan stopped.
enum Stop {
    Cancelled,
    Failed(Text),
    /// More memory than it may have.
    Held(Text),
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
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
fn panicked() -> Text {
    Text {
        zh: "程序内部错误，其他规则不受影响".to_owned(),
        en: "an internal error; the other rules are not affected".to_owned(),
    }
}

/// What every part of a run needs.
struct Stage<'a> {
    tables: &'a Arc<dyn Tables>,
    library: &'a Library,
    options: &'a RunOptions,
    progress: &'a dyn RunProgress,
    program: &'a Program,
    budget: &'a Budget,
}

/// What the shards gave: by rule the harvests in order of shard, and the rows of views that are needed again.
type FromShards = (BTreeMap<String, Vec<Harvest>>, BTreeMap<String, Vec<RecordBatch>>);

/// What one shard gave.
struct ShardResult {
    shard: usize,
    harvests: Vec<(String, Result<Harvest, Stop>, Duration, u64)>,
    views: Vec<(String, Vec<RecordBatch>)>,
    broken_views: Vec<(String, Stop)>,
}

impl<'a> Stage<'a> {
    fn gathering(&self, loaded: &'a LoadedRule, plan: &'a RulePlan) -> gather::Task<'a> {
        gather::Task {
            loaded,
            schema: Arc::clone(&plan.schema),
            tables: self.tables.as_ref(),
            as_of: self.options.as_of,
            params: self.options.params.get(&loaded.rule.id),
        }
    }

    /// The tables, every dataset to be read whole.
    fn everything(&self) -> Arc<Slots> {
        let slots = Slots::default();
        let names = self.library.contracts.iter().map(|c| c.name.as_str()).chain(BUILTIN.iter().copied());
        for name in names.filter(|name| self.tables.rows(name).is_some()) {
            slots.put(name, Content::Whole(Arc::clone(self.tables)));
        }
        Arc::new(slots)
    }

    /// Makes the views of one place over everything, several at a time, and puts them among the tables.
    fn views(
        &self,
        place: fn(&Place) -> bool,
        everything: &Arc<Slots>,
        books: &mut Books,
    ) -> Result<BTreeMap<String, Content>, Vec<Diagnostic>> {
        let mut waiting: Vec<&ViewPlan> = self.program.views.iter().filter(|v| place(&v.place)).collect();
        let mut made = BTreeMap::new();
        while !waiting.is_empty() {
            let names: BTreeSet<&String> = waiting.iter().map(|v| &v.name).collect();
            let reads_waiting = |v: &&ViewPlan| v.compiled.columns.keys().any(|name| names.contains(name));
            let (later, now): (Vec<_>, Vec<_>) = waiting.into_iter().partition(reads_waiting);
            let results = in_parallel(workers_of(self.options), now, |view| {
                let worker = Worker::new(self.program, self.budget, Arc::clone(everything))?;
                Ok::<_, Vec<Diagnostic>>((view, worker.rows(&view.compiled.physical, self.progress)))
            });
            for result in results {
                match result? {
                    (view, Ok(rows)) => {
                        everything.put(&view.name, rows.clone());
                        made.insert(view.name.clone(), rows);
                    }
                    (view, Err(stop)) => books.fail_readers(self.program, &view.name, &stop),
                }
            }
            waiting = later;
        }
        Ok(made)
    }

    /// Runs the rules that need everything at once, several at a time.
    fn later(
        &self,
        rules: Vec<&RulePlan>,
        everything: &Arc<Slots>,
        harvests: &mut BTreeMap<String, Vec<Harvest>>,
        books: &mut Books,
    ) -> Result<(), Vec<Diagnostic>> {
        let open: Vec<&RulePlan> = rules.into_iter().filter(|r| books.is_open(&r.id)).collect();
        let results = in_parallel(workers_of(self.options), open, |rule| {
            // Each rule has candidates of its own among the tables.
            let worker = Worker::new(self.program, self.budget, Arc::new(everything.copy()))?;
            let started = Instant::now();
            let harvest = worker.harvest(self, rule);
            self.progress.advance(1);
            Ok::<_, Vec<Diagnostic>>((rule, harvest, started.elapsed(), worker.place.take_peak()))
        });
        for result in results {
            let (rule, harvest, spent, peak) = result?;
            books.worked(&rule.id, spent, peak);
            match harvest {
                Ok(harvest) => harvests.entry(rule.id.clone()).or_default().push(harvest),
                Err(stop) => books.stop(&rule.id, &stop),
            }
        }
        Ok(())
    }

    /// Makes findings of what the rules left, several rules at a time, and enters them in order of rule.
    fn gather(
        &self,
        harvests: BTreeMap<String, Vec<Harvest>>,
        workers: usize,
        books: &mut Books,
        report: &mut RunReport,
    ) {
        type Waiting<'p> = (&'p RulePlan, &'p LoadedRule, Vec<Harvest>);
        let mut harvests = harvests;
        let open = self.program.rules.iter().filter(|plan| books.is_open(&plan.id));
        let waiting: Vec<Waiting<'_>> = open
            .filter_map(|plan| {
                Some((plan, self.library.rule(&plan.id)?, harvests.remove(&plan.id).unwrap_or_default()))
            })
            .collect();
        let gathered = in_parallel(workers, waiting, |(plan, loaded, parts)| {
            let started = Instant::now();
            let task = self.gathering(loaded, plan);
            let found = catch_unwind(AssertUnwindSafe(|| gather::findings(&task, Harvest::join(parts))));
            (plan, loaded, found, started.elapsed())
        });
        for (plan, loaded, found, spent) in gathered {
            books.worked(&plan.id, spent, 0);
            match found {
                Ok(Ok(gathered)) => books.settle(loaded, plan, gathered, self.tables.n_persons(), report),
                Ok(Err(fault)) => books.fail(&plan.id, Text { zh: fault.zh, en: fault.en }),
                Err(_) => books.fail(&plan.id, panicked()),
            }
            books.announce(self.progress);
        }
    }

    /// Walks the shards with `workers` threads.
    fn shards(
        &self,
        n_shards: usize,
        workers: usize,
        before: &BTreeMap<String, Content>,
        kept: &BTreeSet<String>,
        books: &mut Books,
    ) -> Result<FromShards, Vec<Diagnostic>> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<ShardResult>> = Mutex::new(Vec::new());
        let troubles: Mutex<Vec<Diagnostic>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers.min(n_shards) {
                let worker = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, || {
                    let work = || {
                        let worker = Worker::new(self.program, self.budget, Arc::default())?;
                        worker.references(self)?;
                        for (name, rows) in before {
                            worker.slots.put(name, rows.clone());
                        }
                        loop {
                            let shard = next.fetch_add(1, Ordering::Relaxed);
                            if shard >= n_shards || self.progress.cancelled() {
                                return Ok(());
                            }
                            let result = worker.shard(self, shard, kept)?;
                            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                        }
                    };
                    let worked: Result<(), Vec<Diagnostic>> = work();
                    if let Err(faults) = worked {
                        next.store(n_shards, Ordering::Relaxed);
                        troubles.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
                    }
                });
                if let Err(e) = worker {
                    let fault = Diagnostic::error(
                        "MC701",
                        format!("无法启动线程：{e}"),
                        format!("a thread cannot be started: {e}"),
                    );
                    troubles.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
                }
            }
        });
        let mut troubles = troubles.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !troubles.is_empty() {
            troubles.dedup();
            return Err(troubles);
        }
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|r| r.shard);
        let mut harvests: BTreeMap<String, Vec<Harvest>> = BTreeMap::new();
        let mut views: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for result in results {
            for (name, stop) in &result.broken_views {
                for rule in self
                    .library
                    .rules
                    .iter()
                    .filter(|r| self.library.needed_views(r).iter().any(|v| v.view.name == *name))
                {
                    books.stop(&rule.rule.id, stop);
                }
            }
            for (id, harvest, spent, peak) in result.harvests {
                books.worked(&id, spent, peak);
                match harvest {
                    Ok(harvest) => harvests.entry(id).or_default().push(harvest),
                    Err(stop) => books.stop(&id, &stop),
                }
            }
            for (name, batches) in result.views {
                views.entry(name).or_default().extend(batches);
            }
        }
        Ok((harvests, views))
    }
}

/// What one thread has of its own: what the tables hold, its memory, and the runtime that plans run on.
struct Worker<'p> {
    program: &'p Program,
    slots: Arc<Slots>,
    place: Workplace,
    runtime: tokio::runtime::Runtime,
    /// Columns to decode: dataset -> names.
    columns: BTreeMap<String, BTreeSet<String>>,
}

impl<'p> Worker<'p> {
    fn new(program: &'p Program, budget: &Budget, slots: Arc<Slots>) -> Result<Self, Vec<Diagnostic>> {
        let cannot = |e: &dyn std::fmt::Display| {
            let (zh, en) = (format!("引擎无法启动：{e}"), format!("the engine cannot start: {e}"));
            vec![Diagnostic::error("MC701", zh, en)]
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| cannot(&e))?;
        let place = Workplace::new(&program.catalog.session, budget).map_err(|e| cannot(&e))?;
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let views = program.views.iter().filter(|v| v.place == Place::Local).map(|v| &v.compiled);
        let rules = program
            .rules
            .iter()
            .filter(|r| r.place == Place::Local)
            .flat_map(|r| std::iter::once(&r.candidates).chain(&r.counters));
        for compiled in views.chain(rules) {
            for (table, names) in &compiled.columns {
                columns.entry(table.clone()).or_default().extend(names.iter().cloned());
            }
        }
        Ok(Self { program, slots, place, runtime, columns })
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

    fn load(&self, stage: &Stage<'_>, dataset: &str, part: Part) -> Result<usize, Diagnostic> {
        let Some(wanted) = self.columns.get(dataset) else { return Ok(0) };
        let mut columns: Vec<&str> = wanted.iter().map(String::as_str).collect();
        if columns.is_empty() {
            // A plan that only counts rows still needs their number.
            columns.push(if dataset == "persons" { "pid" } else { "src" });
        }
        let batches = match stage.tables.rows(dataset) {
            Some(_) => stage.tables.read(dataset, part, &columns)?,
            None => Vec::new(),
        };
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
        self.slots.put(dataset, Rows::new(batches).map_err(|e| unreadable(&e))?);
        Ok(n_rows)
    }

    /// One shard: load, views, rules. The last "shard" holds the rows of all datasets that lead to no person;
    /// where there are none it is passed over.
    fn shard(
        &self,
        stage: &Stage<'_>,
        shard: usize,
        kept: &BTreeSet<String>,
    ) -> Result<ShardResult, Vec<Diagnostic>> {
        let by_person = |name: &str| {
            name == "persons" || stage.library.contract(name).is_some_and(|c: &Contract| c.person.is_some())
        };
        let without_person = shard == stage.tables.n_shards();
        let part = if without_person { Part::Unassigned } else { Part::Shard(shard) };
        let mut n_rows = 0;
        for name in self.columns.keys().filter(|name| is_dataset(stage.library, name) && by_person(name)) {
            if without_person && name == "persons" {
                self.slots.put(name, Content::Empty);
            } else {
                n_rows += self.load(stage, name, part).map_err(|d| vec![d])?;
            }
        }
        let mut result =
            ShardResult { shard, harvests: Vec::new(), views: Vec::new(), broken_views: Vec::new() };
        if without_person && n_rows == 0 {
            let units = self.program.rules.iter().filter(|r| r.place == Place::Local).count();
            stage.progress.advance(units as u64);
            return Ok(result);
        }
        for view in self.program.views.iter().filter(|v| v.place == Place::Local) {
            self.slots.put(&view.name, Content::Empty);
            let made = self.collect(&view.compiled.physical, stage.progress).and_then(|batches| {
                if kept.contains(&view.name) {
                    result.views.push((view.name.clone(), batches.iter().map(compact).collect()));
                }
                Ok(Rows::new(batches)?)
            });
            match made {
                Ok(rows) => self.slots.put(&view.name, rows),
                Err(stop) => result.broken_views.push((view.name.clone(), stop)),
            }
        }
        for rule in self.program.rules.iter().filter(|r| r.place == Place::Local) {
            if stage.progress.cancelled() {
                break;
            }
            let started = Instant::now();
            let harvest = self.harvest(stage, rule);
            result.harvests.push((rule.id.clone(), harvest, started.elapsed(), self.place.take_peak()));
            stage.progress.advance(1);
        }
        for name in self.columns.keys().filter(|name| by_person(name)) {
            self.slots.put(name, Content::Empty);
        }
        Ok(result)
    }

    /// Candidates, exclusions and counter-evidence of one rule on what the tables hold now.
    fn harvest(&self, stage: &Stage<'_>, rule: &RulePlan) -> Result<Harvest, Stop> {
        let Some(loaded) = stage.library.rule(&rule.id) else { return Ok(Harvest::default()) };
        let candidates = self.collect(&rule.candidates.physical, stage.progress)?;
        let sorted =
            catch_unwind(AssertUnwindSafe(|| gather::sift(&stage.gathering(loaded, rule), &candidates)));
        let mut harvest = match sorted {
            Ok(sifted) => sifted?,
            Err(_) => return Err(Stop::Failed(panicked())),
        };
        if harvest.has_candidates() && !rule.counters.is_empty() {
            self.slots.put(CANDIDATES, Rows::new(harvest.remaining.clone())?);
            for counter in &rule.counters {
                harvest.counters.push(self.collect(&counter.physical, stage.progress)?);
            }
            self.slots.put(CANDIDATES, Content::Empty);
        }
        Ok(harvest)
    }

    /// The rows of a view, to be kept: nothing but the rows themselves stays in memory.
    fn rows(&self, plan: &Arc<dyn ExecutionPlan>, progress: &dyn RunProgress) -> Result<Content, Stop> {
        let batches = self.collect(plan, progress)?;
        Ok(Rows::new(batches.iter().map(compact).collect())?)
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

/// Threads that the options allow.
fn workers_of(options: &RunOptions) -> usize {
    options.threads.max(1)
}

/// `work` on every item, on up to `workers` threads; the results in the order of the items.
fn in_parallel<T: Send, R: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = workers.min(items.len());
    if workers < 2 {
        return items.into_iter().map(work).collect();
    }
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let one = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // Where no thread can be had, this one does the work.
            let _ = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, one);
        }
        one();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn unreadable(error: &DataFusionError) -> Diagnostic {
    Diagnostic::error(
        "MC701",
        format!("数据无法装入内存：{error}"),
        format!("the rows cannot be held: {error}"),
    )
}

fn is_dataset(library: &Library, name: &str) -> bool {
    BUILTIN.contains(&name) || library.contract(name).is_some()
}

/// The outcome of each rule as it becomes known.
struct Books {
    outcomes: BTreeMap<String, Outcome>,
    open: BTreeSet<String>,
    announced: BTreeSet<String>,
}

impl Books {
    /// Opens the books: rules whose inputs are missing or stale are settled at once.
    fn open(tables: &dyn Tables, library: &Library, selected: &[&LoadedRule], options: &RunOptions) -> Self {
        let mut books = Self { outcomes: BTreeMap::new(), open: BTreeSet::new(), announced: BTreeSet::new() };
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
            Stop::Cancelled => {}
            Stop::Failed(text) => self.end(id, OutcomeKind::Failed, text.clone()),
            Stop::Held(text) => self.end(id, OutcomeKind::Held, text.clone()),
        }
    }

    fn fail_readers(&mut self, program: &Program, view: &str, stop: &Stop) {
        for rule in program.rules.iter().filter(|r| r.views.contains(view)) {
            self.stop(&rule.id, stop);
        }
    }

    fn worked(&mut self, id: &str, spent: Duration, peak: u64) {
        if let Some(outcome) = self.outcomes.get_mut(id) {
            outcome.seconds += spent.as_secs_f64();
            outcome.peak_memory = outcome.peak_memory.max(peak);
        }
    }

    /// Enters what a rule found, unless its breaker trips.
    fn settle(
        &mut self,
        loaded: &LoadedRule,
        plan: &RulePlan,
        gathered: gather::Gathered,
        n_persons: u64,
        report: &mut RunReport,
    ) {
        self.open.remove(&plan.id);
        let Some(outcome) = self.outcomes.get_mut(&plan.id) else { return };
        outcome.candidates = gathered.candidates;
        outcome.excluded = gathered.excluded;
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
            return;
        }
        report.findings.extend(gathered.findings);
        report.excused.extend(gathered.excused);
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

    fn close(self) -> Vec<Outcome> {
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
