//! `mingcha run`: the rules over a store (or over extracts, through a temporary store), into a run folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use mingcha_engine::{Carried, PartsFolder, RunEnd, RunOptions, Sink};
use mingcha_intake::{Store, Tables};
use mingcha_ledger::{Counts, InputFile, Manifest, RunFolder, RunRecord, RunWriter};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::{Excused, Finding, OutcomeKind};
use mingcha_rules::rule::Severity;
use mingcha_rules::text::{Lang, Text};
use serde_json::json;
use tempfile::TempDir;

use super::since::{self, Earlier, Parameters};
use super::{Context, filter, ledger, prepare};
use crate::args::{Format, Power, Run, Scope, SeverityArg};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::{self, Lock};
use crate::packs::Shelf;
use crate::progress::Bars;
use crate::render::{Table, count, many, yuan};
use crate::{clock, config};

pub(super) fn run(context: &Context, args: &Run) -> Outcome {
    let mut made = make(context, args)?;
    let night = made.absorb()?;
    made.show(context, night.as_ref(), args.scope.shape.format);
    Ok(made.exit)
}

/// A run that is complete and stands in its place.
pub(super) struct Made {
    pub(super) out: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) end: RunEnd,
    /// How it ended.
    pub(super) exit: Exit,
    faults: Vec<Diagnostic>,
    source: Source,
    /// The ledger that it is to be taken into.
    desk: Option<ledger::Desk>,
    _lock: Lock,
}

impl Made {
    /// Takes the run into the ledger, if there is one.
    pub(super) fn absorb(&mut self) -> Result<Option<ledger::Absorbed>, Failure> {
        self.desk.take().map(|desk| desk.absorb(&self.out, Some(&self.source.store))).transpose()
    }

    /// Shows it, with what the ledger made of it.
    pub(super) fn show(&self, context: &Context, night: Option<&ledger::Absorbed>, format: Format) {
        show(
            context,
            &Shown {
                faults: &self.faults,
                outcomes: &self.end.outcomes,
                carried: &self.end.carried,
                resumed: self.end.resumed,
                manifest: &self.manifest,
                out: &self.out,
                night,
                exit: self.exit,
                format,
            },
        );
    }
}

/// Runs into the folder that `args` names.
pub(super) fn make(context: &Context, args: &Run) -> Result<Made, Failure> {
    let scope = &args.scope;
    let as_of = config::as_of(&context.config, scope.as_of.as_deref())?;
    let out = context.config.needed("paths.run", "--out", args.out.as_deref())?;
    let fail_on = context.config.choice("fail_on", args.fail_on);
    let mut shelf = Shelf::open(context, &scope.packs);
    shelf.settle();
    let only = shelf.only(&scope.only)?.unwrap_or_default();
    let faults = shelf.faults_of(&only);
    let lock = Lock::take(&out)?;
    super::left_alone(context, &mingcha_ledger::sweep(&out).map_err(unwritable)?);
    // A ledger that cannot be written must be known before the night, not after it.
    let desk = ledger::Desk::asked(context, &args.desk, &shelf)?;
    // Asked before the work, so that a place that cannot be used is known at once.
    let mut writer = RunWriter::create(&out).map_err(unwritable)?;
    let parts = mingcha_ledger::parts_folder(&out);
    let bars = Bars::new(context, context.shows_progress(scope.shape.format));
    let source = Source::open(context, scope, &shelf, beside(&out), &bars)?;
    let _reading = args.since.as_deref().and_then(lock::reading);
    let earlier =
        args.since.as_deref().map(RunFolder::open).transpose().map_err(|f| Failure::inputs(vec![f]))?;
    let earlier = earlier.map(Earlier::new);
    let job = Job {
        shelf: &shelf,
        as_of,
        only,
        power: &scope.power,
        plain_plans: scope.plain_plans,
        since: earlier.as_ref(),
        parts: Some(Parts { folder: &parts, resume: args.resume }),
    };
    let (end, manifest) = job
        .run(context, &source.store, &bars, &mut writer)
        .and_then(|done| context.interrupt.check().map(|()| done))
        .map_err(|failure| resumable(failure, &parts))?;
    writer.commit().map_err(unwritable)?;
    // From here on the run is complete; what cannot be taken away now is taken away by the next run.
    let _ = mingcha_engine::stash::clear_all(&parts);
    let exit = ending(&end.outcomes, &manifest.counts, fail_on);
    Ok(Made { out, manifest, end, exit, faults, source, desk, _lock: lock })
}

/// A failure that left finished parts behind says how to go on.
fn resumable(mut failure: Failure, parts: &Path) -> Failure {
    if failure.exit == Exit::Interrupted && parts.exists() {
        let said = |d: Diagnostic| {
            d.with_help(
                "加 --resume 再次运行，可从已完成的部分接着算",
                "run again with --resume to go on from the parts that were finished",
            )
        };
        failure.diagnostics = failure.diagnostics.into_iter().map(said).collect();
    }
    failure
}

pub(super) fn unwritable(fault: Diagnostic) -> Failure {
    // A place that is somebody else's folder is wrong usage; everything else is the disk.
    let exit = if fault.code == "MC802" { Exit::Usage } else { Exit::Internal };
    Failure::new(exit, fault)
}

/// The folder that `out` lies in: the same disk, and somebody looks there.
fn beside(out: &Path) -> PathBuf {
    out.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A store, and the temporary folder it lies in where it was made for this run only.
pub(super) struct Source {
    pub(super) store: Arc<Store>,
    /// While it is read, nobody destroys it.
    _reading: Option<File>,
    _temporary: Option<TempDir>,
}

impl Source {
    /// The store that `scope` names, or one made from its extracts below `near`.
    pub(super) fn open(
        context: &Context,
        scope: &Scope,
        shelf: &Shelf,
        near: PathBuf,
        bars: &Bars,
    ) -> Result<Self, Failure> {
        if scope.data.is_none() {
            filter::of_store(&scope.intake)?;
        }
        let (store, temporary) = match (&scope.store, &scope.data) {
            (Some(store), _) => (store.clone(), None),
            (None, Some(data)) => {
                let temporary = tempfile::Builder::new()
                    .prefix(".mingcha-store-")
                    .tempdir_in(&near)
                    .map_err(|e| Failure::disk(&near, &e))?;
                let store = temporary.path().join("store");
                let prepared =
                    prepare::into_store(context, shelf, data, &store, &scope.intake, &scope.power, bars)?;
                if scope.shape.format == Format::Human {
                    context.screen.diagnostics(&prepared.warnings);
                }
                (store, Some(temporary))
            }
            (None, None) => (context.config.needed("paths.store", "--store", None)?, None),
        };
        let reading = lock::reading(&store);
        let store = Store::open(&store).map_err(|fault| Failure::inputs(vec![fault]))?;
        same_contracts(&store, shelf)?;
        Ok(Self { store: Arc::new(store), _reading: reading, _temporary: temporary })
    }
}

/// A store that was typed by other contracts than the rules were checked against would give wrong answers.
fn same_contracts(store: &Store, shelf: &Shelf) -> Result<(), Failure> {
    let differs = |name: &str| {
        let (Some(then), Some(now)) =
            (store.contracts().iter().find(|c| c.name == name), shelf.library.contract(name))
        else {
            return false;
        };
        let typed =
            |c: &mingcha_rules::Contract| c.fields.iter().map(|f| (f.name.clone(), f.ty)).collect::<Vec<_>>();
        typed(then) != typed(now) || then.person != now.person || then.versions != now.versions
    };
    let faults: Vec<Diagnostic> = store
        .manifest()
        .datasets
        .keys()
        .filter(|name| differs(name))
        .map(|name| {
            Diagnostic::error(
                "MC087",
                format!("数据仓整理时，`{name}` 用的是另一版数据契约"),
                format!("the store was prepared with another contract of `{name}`"),
            )
            .in_file(store.path().display())
            .with_help("请重新运行 `mingcha prepare`", "run `mingcha prepare` again")
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::inputs(faults)) }
}

/// What is to be run.
pub(super) struct Job<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) as_of: NaiveDate,
    pub(super) only: Vec<String>,
    pub(super) power: &'a Power,
    pub(super) plain_plans: bool,
    /// The run to build upon.
    pub(super) since: Option<&'a Earlier>,
    /// Where finished parts are kept; absent: in memory.
    pub(super) parts: Option<Parts<'a>>,
}

/// Where finished parts are kept, and whether those of an interrupted run are used.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) folder: &'a Path,
    pub(super) resume: bool,
}

impl Job<'_> {
    /// The engine's options for this job.
    pub(super) fn options(&self, context: &Context) -> Result<RunOptions, Failure> {
        let mut options = RunOptions::new(self.as_of);
        options.only = self.only.clone();
        options.threads = context.config.count("threads", self.power.threads)?.unwrap_or_else(cores);
        options.memory = context.config.size("memory", self.power.memory.as_deref())?;
        options.plain_plans = self.plain_plans;
        options.params = context.config.params.clone();
        Ok(options)
    }

    /// Runs into `writer`, which is left to be committed.
    pub(super) fn run(
        &self,
        context: &Context,
        store: &Arc<Store>,
        bars: &Bars,
        writer: &mut RunWriter,
    ) -> Result<(RunEnd, Manifest), Failure> {
        let parameters = self.parameters(context)?;
        let mut options = self.options(context)?;
        options.parts = self.parts.map(|parts| PartsFolder {
            folder: parts.folder.to_path_buf(),
            tables: store.digest().to_owned(),
            resume: parts.resume,
        });
        let environment = BTreeMap::from([
            ("threads".to_owned(), options.threads.to_string()),
            ("memory".to_owned(), options.memory.map_or_else(String::new, |m| m.to_string())),
            ("zone".to_owned(), context.zone.to_string()),
            (since::BUILD.to_owned(), mingcha_engine::BUILD.to_owned()),
            (since::STORE.to_owned(), store.digest().to_owned()),
        ]);
        let inputs_wrong = |fault| Failure::inputs(vec![fault]);
        let lent =
            self.since.map(|earlier| earlier.since(store, &parameters)).transpose().map_err(inputs_wrong)?;
        let nothing = lent.as_ref().and_then(|lent| lent.as_ref().err()).cloned();
        let lent = lent.and_then(Result::ok);
        let record = RunRecord {
            engine: engine(),
            as_of: self.as_of.to_string(),
            started: clock::now().into(),
            parameters,
            inputs: inputs(store),
            environment,
        };
        let tables: Arc<dyn Tables> = Arc::<Store>::clone(store);
        let mut kept = Kept { record, writer };
        let library = &self.shelf.library;
        let result = mingcha_engine::run_since(&tables, library, &options, bars, lent.as_ref(), &mut kept);
        bars.clear();
        context.screen.diagnostics(&bars.remarks());
        context.interrupt.check()?;
        let mut end = result.map_err(|diagnostics| Failure { exit: Exit::Internal, diagnostics })?;
        if let Some(why) = nothing {
            let ids = end.outcomes.iter().map(|o| o.rule_id.clone());
            end.carried = ids.map(|id| (id, Carried::Full(why.clone()))).collect();
        }
        if let Some(earlier) = self.since {
            writer.note(since::environment(earlier.run_id(), &end.carried));
        }
        if let Some((done, of)) = end.resumed {
            writer.note(BTreeMap::from([("resumed".to_owned(), format!("{done} of {of} parts"))]));
        }
        let manifest = writer.finish(&end.outcomes, clock::now().as_stored()).map_err(unwritable)?;
        Ok((end, manifest))
    }

    /// The parameters in force, checked: a parameter that no rule has is wrong configuration.
    fn parameters(&self, context: &Context) -> Result<Parameters, Failure> {
        let set = &context.config.params;
        let mut faults = Vec::new();
        for id in set.keys() {
            let known = self.shelf.library.rule(id).is_some()
                || self.shelf.library.left_out.iter().any(|r| r.id == *id);
            if !known {
                faults.extend(self.shelf.unknown(id).diagnostics);
            }
        }
        let mut out = BTreeMap::new();
        let none = BTreeMap::new();
        for rule in
            self.shelf.library.rules.iter().filter(|r| self.only.is_empty() || self.only.contains(&r.rule.id))
        {
            let own = set.get(&rule.rule.id).unwrap_or(&none);
            if let Err(wrong) = rule.effective_params(own) {
                faults.extend(wrong);
                continue;
            }
            let values = rule
                .rule
                .params
                .iter()
                .map(|(name, p)| (name.clone(), scalar(own.get(name).unwrap_or(&p.default))));
            out.insert(rule.rule.id.clone(), values.collect());
        }
        if faults.is_empty() { Ok(out) } else { Err(Failure { exit: Exit::Usage, diagnostics: faults }) }
    }
}

/// What the engine finds goes to the ledger as it comes.
struct Kept<'a> {
    record: RunRecord,
    writer: &'a mut RunWriter,
}

impl Sink for Kept<'_> {
    fn begin(&mut self, rules: &[mingcha_rules::Outcome]) -> Result<(), Diagnostic> {
        self.writer.begin(&self.record, rules)
    }

    fn rule(
        &mut self,
        findings: Vec<Finding>,
        excused: &mut dyn Iterator<Item = Excused>,
    ) -> Result<(), Diagnostic> {
        self.writer.add(findings, excused)
    }
}

/// What names this program in a run folder.
pub(super) fn engine() -> String {
    format!("mingcha {}", env!("CARGO_PKG_VERSION"))
}

fn scalar(value: &mingcha_rules::rule::Scalar) -> String {
    use mingcha_rules::rule::Scalar::{Bool, Int, Text};
    match value {
        Bool(value) => value.to_string(),
        Int(value) => value.to_string(),
        Text(value) => value.clone(),
    }
}

fn inputs(store: &Store) -> Vec<InputFile> {
    let of = |f: &mingcha_intake::InputFile| InputFile {
        dataset: f.dataset.clone(),
        path: f.path.clone(),
        bytes: f.bytes,
        rows: f.rows,
        sha256: f.sha256.clone(),
    };
    store.manifest().files.iter().map(of).collect()
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The exit code of a run that was written.
pub(super) fn ending(
    outcomes: &[mingcha_rules::Outcome],
    counts: &Counts,
    fail_on: Option<SeverityArg>,
) -> Exit {
    let of_rules = outcomes.iter().map(|o| match o.outcome {
        OutcomeKind::Found | OutcomeKind::Clean => Exit::Done,
        OutcomeKind::Failed => Exit::Rules,
        OutcomeKind::Held => Exit::Held,
        OutcomeKind::NotEvaluated => Exit::Inputs,
    });
    let limit = fail_on.map(severity);
    let found = counts.by_severity.keys().filter_map(|word| Severity::parse(word));
    let passed = limit.is_some_and(|limit| found.into_iter().any(|found| found >= limit));
    Exit::first(of_rules.chain(passed.then_some(Exit::Threshold)))
}

pub(super) fn severity(word: SeverityArg) -> Severity {
    match word {
        SeverityArg::Info => Severity::Info,
        SeverityArg::Low => Severity::Low,
        SeverityArg::Medium => Severity::Medium,
        SeverityArg::High => Severity::High,
        SeverityArg::Critical => Severity::Critical,
    }
}

struct Shown<'a> {
    faults: &'a [Diagnostic],
    outcomes: &'a [mingcha_rules::Outcome],
    carried: &'a BTreeMap<String, Carried>,
    /// Parts that an interrupted run had finished, and all parts.
    resumed: Option<(usize, usize)>,
    manifest: &'a Manifest,
    out: &'a Path,
    night: Option<&'a ledger::Absorbed>,
    exit: Exit,
    format: Format,
}

fn show(context: &Context, shown: &Shown<'_>) {
    let screen = &context.screen;
    let (counts, out) = (&shown.manifest.counts, shown.out.display());
    if shown.format == Format::Json {
        let mut value = json!({"run_id": shown.manifest.run_id, "as_of": shown.manifest.as_of, "out": out.to_string(), "exit_code": shown.exit.code(),
            "counts": counts, "amount_note": mingcha_ledger::once_per_rule(), "rules": shown.outcomes, "night": shown.night.map(|n| &n.night)});
        if let Some((parts, of)) = shown.resumed {
            value["resumed"] = json!({"parts": parts, "of": of});
        }
        screen.json(&value);
        return;
    }
    screen.diagnostics(shown.faults);
    screen.table(&outcomes(context, shown.outcomes));
    remarks(context, shown.outcomes);
    if !shown.carried.is_empty() {
        since::lines(screen.lang, shown.carried).iter().for_each(|line| screen.line(line));
    }
    if let Some((parts, of)) = shown.resumed {
        screen.line(resumed(screen.lang, parts, of));
    }
    screen.line(totals(screen.lang, counts.findings, counts.amount_fen));
    if let Some(night) = shown.night {
        ledger::lines(context, night).iter().for_each(|line| screen.line(line));
    }
    screen.line("");
    screen.line(screen.say(
        &format!("结果：{out}\n下一步：mingcha findings list --run {out}\n        mingcha export --run {out} --out DIR"),
        &format!("written to: {out}\nnext: mingcha findings list --run {out}\n      mingcha export --run {out} --out DIR"),
    ));
}

/// Said when a run begins, and once more when it has ended.
pub(crate) fn resumed(lang: Lang, parts: usize, of: usize) -> String {
    match lang {
        Lang::Zh => format!("接着上次中断的运行：{of} 个部分中 {parts} 个已完成"),
        Lang::En => format!("resumed: {parts} of {of} parts were done already"),
    }
}

fn totals(lang: Lang, findings: u64, fen: i64) -> String {
    let note = mingcha_ledger::once_per_rule();
    match lang {
        Lang::Zh => {
            format!("共 {} 条线索，各规则金额合计 {} 元。{}", count(findings), yuan(fen), note.zh)
        }
        Lang::En => {
            format!("{}, {} yuan over all rules. {}", many(findings, "finding"), yuan(fen), note.en)
        }
    }
}

/// One row per rule.
fn outcomes(context: &Context, outcomes: &[mingcha_rules::Outcome]) -> Table {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("名称", "title"),
        screen.say("结果", "outcome"),
        screen.say("#候选", "#candidates"),
        screen.say("#排除", "#excluded"),
        screen.say("#线索", "#findings"),
        screen.say("#金额（元）", "#yuan at risk"),
    ]);
    for outcome in outcomes {
        table.row([
            outcome.rule_id.clone(),
            screen.text(&outcome.title).to_owned(),
            super::outcome_word(outcome.outcome, screen.lang).to_owned(),
            count(outcome.candidates),
            count(outcome.excluded.values().sum()),
            count(outcome.findings),
            yuan(outcome.amount_fen),
        ]);
    }
    table
}

/// Reasons and warnings, each once, with the rules it is about.
pub(super) fn remarks(context: &Context, outcomes: &[mingcha_rules::Outcome]) {
    let screen = &context.screen;
    let mut said: BTreeMap<(u8, &str), Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        let kind = u8::from(!matches!(outcome.outcome, OutcomeKind::Failed));
        let reasons = outcome.reason.iter().map(|t: &Text| (kind, screen.text(t)));
        for remark in reasons.chain(outcome.warnings.iter().map(|t| (2, screen.text(t)))) {
            said.entry(remark).or_default().push(&outcome.rule_id);
        }
    }
    for ((kind, text), rules) in said {
        let weight = match kind {
            0 => screen.say("失败", "failed"),
            1 => screen.say("说明", "note"),
            _ => screen.say("提醒", "warning"),
        };
        let rules = rules.join(screen.say("、", ", "));
        screen.line(
            screen.say(&format!("{weight}：{text}（{rules}）"), &format!("{weight}: {text} ({rules})")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(kinds: &[OutcomeKind], fail_on: Option<SeverityArg>) -> Exit {
        let outcome = |kind: &OutcomeKind| mingcha_rules::Outcome {
            rule_id: "PEN-01".to_owned(),
            rule_version: 1,
            title: Text::default(),
            rule_hash: String::new(),
            outcome: *kind,
            reason: None,
            warnings: Vec::new(),
            candidates: 0,
            excluded: BTreeMap::new(),
            findings: 0,
            amount_fen: 0,
            rows_read: 0,
            seconds: 0.0,
            peak_memory: 0,
            shard_local: true,
            not_local_because: None,
        };
        let outcomes: Vec<_> = kinds.iter().map(outcome).collect();
        let counts = Counts { by_severity: BTreeMap::from([("medium".to_owned(), 1)]), ..Counts::default() };
        ending(&outcomes, &counts, fail_on)
    }

    #[test]
    fn a_run_ends_as_its_worst_rule_did() {
        use OutcomeKind::{Clean, Failed, Found, Held, NotEvaluated};
        assert_eq!(end(&[Found, Clean], None), Exit::Done);
        assert_eq!(end(&[Found, Held], None), Exit::Held);
        assert_eq!(end(&[Held, NotEvaluated], None), Exit::Inputs);
        assert_eq!(end(&[NotEvaluated, Failed, Found], None), Exit::Rules);
        assert_eq!(end(&[Found], Some(SeverityArg::Critical)), Exit::Done);
        assert_eq!(end(&[Found], Some(SeverityArg::Medium)), Exit::Threshold);
    }
}
