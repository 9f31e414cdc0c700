//! `mingcha ledger`, and what every command shares that touches a ledger: which one, who acts, when, and the rules of
//! conduct from the configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mingcha_intake::Store;
use mingcha_ledger::book::{By, Extracts, Mark, Night, Policy, WaiverState};
use mingcha_ledger::{Book, Day, Instant, Names, RunFolder, Zone};
use mingcha_rules::diagnostic::Diagnostic;
use serde_json::json;

use super::extracts::InStore;
use super::{Context, filter, since};
use crate::args::{self, Format, FromRun, Ledger, LedgerAbsorb, LedgerNights, LedgerVerb};
use crate::clock;
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Ledger) -> Outcome {
    match &args.verb {
        LedgerVerb::Absorb(args) => absorb(context, args),
        LedgerVerb::Nights(args) => nights(context, args),
    }
}

/// A ledger that is to be written, and by whom.
pub(super) struct Desk {
    pub(super) path: PathBuf,
    pub(super) policy: Policy,
    who: String,
    at: Instant,
    zone: Zone,
}

/// A night, and what the office has to know besides.
#[derive(Debug)]
pub(super) struct Absorbed {
    pub(super) night: Night,
    /// Whether it was written now.
    new: bool,
    ledger: PathBuf,
    backup: Option<PathBuf>,
    /// Leads that somebody holds and that stand no more.
    pub(super) cancellations: usize,
    /// Why the extracts could not be looked into.
    unseen: Option<Diagnostic>,
    waivers: Vec<(String, WaiverState)>,
    /// What was written and could not be finished.
    unfinished: Vec<Diagnostic>,
}

impl Desk {
    /// The ledger that a command writes.
    pub(super) fn needed(context: &Context, desk: &args::Desk, shelf: &Shelf) -> Result<Self, Failure> {
        let path = context.config.needed("ledger.path", "--ledger", desk.ledger.as_deref())?;
        let who = context.config.setting("ledger.as", desk.who.clone()).ok_or_else(nobody)?.text;
        Ok(Self {
            path,
            policy: policy(context, Some(shelf)),
            who,
            at: desk.at.clone().unwrap_or_else(clock::now),
            zone: context.zone,
        })
    }

    /// The ledger that a run is to be taken into, if there is one; refused at once where it cannot be written.
    pub(super) fn asked(
        context: &Context,
        desk: &args::Desk,
        shelf: &Shelf,
    ) -> Result<Option<Self>, Failure> {
        let Some(path) = context.config.path("ledger.path", desk.ledger.as_deref()) else {
            filter::of_desk(desk)?;
            return Ok(None);
        };
        let who = context
            .config
            .setting("ledger.as", desk.who.clone())
            .map_or("mingcha run".to_owned(), |s| s.text);
        let at = desk.at.clone().unwrap_or_else(clock::now);
        let desk = Self { path, policy: policy(context, Some(shelf)), who, at, zone: context.zone };
        desk.open().map(|_| Some(desk))
    }

    pub(super) fn by(&self) -> By<'_> {
        By { who: &self.who, at: &self.at, zone: self.zone }
    }

    pub(super) fn open(&self) -> Result<Book, Failure> {
        Book::open(&self.path, self.by()).map_err(refused)
    }

    /// Takes the run at `folder` in. `store`: what it ran upon, to look for rows that were taken back; another store is
    /// not asked.
    pub(super) fn absorb(&self, folder: &Path, store: Option<&Store>) -> Result<Absorbed, Failure> {
        let folder = RunFolder::open(folder).map_err(refused)?;
        let ran_upon = folder.manifest().environment.get(since::STORE);
        let store = store.filter(|store| ran_upon.is_some_and(|digest| digest == store.digest()));
        let extracts = store.map(InStore::new);
        let mut book = self.open().map_err(|failure| not_absorbed(failure, &folder))?;
        let (night, new) = book
            .absorb(&folder, &self.policy, extracts.as_ref().map(|e| e as &dyn Extracts), self.by())
            .map_err(|fault| not_absorbed(refused(fault), &folder))?;
        let cancellations = book.cancellations().map_err(refused)?.len();
        let idle = |state| matches!(state, WaiverState::Expired | WaiverState::Useless);
        let waivers = book.waivers(&self.by().day()).map_err(refused)?;
        Ok(Absorbed {
            night,
            new,
            ledger: self.path.clone(),
            backup: book.backup().map(Path::to_path_buf),
            cancellations,
            waivers: waivers.into_iter().filter(|w| idle(w.state)).map(|w| (w.id, w.state)).collect(),
            unseen: extracts.and_then(|e| e.fault()),
            unfinished: book.take_warnings(),
        })
    }
}

/// The rules of conduct: from the configuration, and who answers for which rule from the rules themselves.
pub(super) fn policy(context: &Context, shelf: Option<&Shelf>) -> Policy {
    let config = &context.config;
    let mut policy = Policy::default();
    policy.deadlines.extend(config.deadlines.clone());
    let text = |key: &str| config.setting(key, None).map(|s| s.text);
    if let Some(days) = text("ledger.yellow_days").and_then(|days| days.parse().ok()) {
        policy.yellow_days = days;
    }
    policy.away_from_home = text("ledger.away_from_home").as_deref() == Some("true");
    policy.handlers.clone_from(&config.handlers);
    policy.people.clone_from(&config.people);
    for loaded in shelf.iter().flat_map(|shelf| &shelf.library.rules) {
        let owner = &loaded.rule.owner;
        let names = BTreeSet::from([owner.zh.clone(), owner.en.clone()]);
        policy.owners.insert(loaded.rule.id.clone(), names);
    }
    policy
}

/// The ledger to look into, unless a run was asked for.
pub(super) fn instead_of_run(context: &Context, from: &FromRun, desk: &args::Desk) -> Option<PathBuf> {
    if from.run.is_some() {
        return None;
    }
    context.config.path("ledger.path", desk.ledger.as_deref())
}

/// The ledger of the office, if it has one that was begun.
fn begun(context: &Context, ledger: Option<&Path>) -> Option<PathBuf> {
    context.config.path("ledger.path", ledger).filter(|path| path.exists())
}

/// What masked lists call the findings of `run`: as the ledger does where there is one, else as the run's own secret has
/// it.
pub(super) fn names(context: &Context, ledger: Option<&Path>, run: &RunFolder) -> Result<Names, Failure> {
    match begun(context, ledger) {
        Some(path) => Book::read(&path).and_then(|book| book.names()).map_err(refused),
        None => run.names().map_err(refused),
    }
}

/// All names that masked lists may have used for the findings of `run`.
pub(super) fn all_names(
    context: &Context,
    ledger: Option<&Path>,
    run: &RunFolder,
) -> Result<Vec<Names>, Failure> {
    let of_run = run.known_names().map_err(refused)?;
    let of_ledger = match begun(context, ledger) {
        Some(path) => Some(Book::read(&path).and_then(|book| book.names()).map_err(refused)?),
        None => None,
    };
    Ok(of_ledger.into_iter().chain(of_run).collect())
}

/// The day of looking, where the ledger is at home.
pub(super) fn today(book: &Book, desk: &args::Desk) -> Day {
    book.zone().day(&desk.at.clone().unwrap_or_else(clock::now))
}

/// What the ledger says no to, with the exit code that fits.
pub(super) fn refused(fault: Diagnostic) -> Failure {
    let exit = match fault.code.as_str() {
        "MC841" => Exit::Locked,
        "MC840" | "MC842" => Exit::Internal,
        "MC501" | "MC502" | "MC503" | "MC504" | "MC851" | "MC852" | "MC853" | "MC854" | "MC855" | "MC856"
        | "MC857" | "MC859" | "MC862" | "MC863" | "MC864" | "MC865" | "MC891" | "MC892" | "MC893"
        | "MC894" | "MC895" | "MC941" => Exit::Usage,
        _ => Exit::Inputs,
    };
    Failure::new(exit, fault)
}

/// Says what was done and could not be finished.
pub(super) fn unfinished(context: &Context, book: &mut Book) {
    context.screen.diagnostics(&book.take_warnings());
}

fn not_absorbed(mut failure: Failure, run: &RunFolder) -> Failure {
    let run = run.path().display();
    failure.diagnostics.push(
        Diagnostic::warning(
            "MC860",
            format!("运行结果已保存在 {run}，但没有记入台账"),
            format!("the run stands at {run}, but was not taken into the ledger"),
        )
        .with_help(
            format!("之后执行：mingcha ledger absorb {run}"),
            format!("later: mingcha ledger absorb {run}"),
        ),
    );
    failure
}

pub(super) fn nobody() -> Failure {
    Failure::usage(
        Diagnostic::error("MC095", "需要 `--as`，但没有给出", "needed `--as`, but it was not given").with_help(
            "加上 `--as 姓名`，或在 mingcha.toml 的 [ledger] 中设置 `as`，或设置环境变量 `MINGCHA_AS`",
            "add `--as NAME`, or set `as` under [ledger] in mingcha.toml, or the environment variable `MINGCHA_AS`",
        ),
    )
}

fn absorb(context: &Context, args: &LedgerAbsorb) -> Outcome {
    let shelf = Shelf::open(context, &args.packs);
    let desk = Desk::asked(context, &args.desk, &shelf)?;
    let Some(desk) = desk else {
        context.config.needed("ledger.path", "--ledger", None)?;
        return Ok(Exit::Usage);
    };
    // The store of the workspace, if it is still the one that the run ran upon.
    let store = context.config.path("paths.store", None).and_then(|path| Store::open(path).ok());
    let absorbed = desk.absorb(&args.run, store.as_ref())?;
    if args.shape.format == Format::Json {
        context.screen.json(&json!({"new": absorbed.new, "night": absorbed.night}));
    } else {
        lines(context, &absorbed).iter().for_each(|line| context.screen.line(line));
    }
    Ok(Exit::Done)
}

/// A night in words.
pub(super) fn lines(context: &Context, absorbed: &Absorbed) -> Vec<String> {
    let screen = &context.screen;
    let night = &absorbed.night;
    let ledger = absorbed.ledger.display();
    let mut lines = Vec::new();
    if let Some(backup) = &absorbed.backup {
        let backup = backup.display();
        lines.push(
            screen
                .say(
                    &format!("台账已升级到新格式，旧文件保留为 {backup}"),
                    &format!("the ledger was migrated; the old file stays as {backup}"),
                )
                .to_owned(),
        );
    }
    let marks: Vec<String> = Mark::ALL
        .iter()
        .map(|mark| format!("{} {}", screen.text(&mark.title()), count(night.count(*mark))))
        .collect();
    let (number, as_of) = (night.number, &night.as_of);
    let marks = marks.join(screen.say("，", ", "));
    lines.push(match absorbed.new {
        true => screen
            .say(
                &format!("台账 {ledger}，第 {number} 夜（{as_of}）：{marks}"),
                &format!("ledger {ledger}, night {number} ({as_of}): {marks}"),
            )
            .to_owned(),
        false => screen
            .say(
                &format!("台账 {ledger} 已记入这次运行（第 {number} 夜），没有改变"),
                &format!("ledger {ledger} holds this run already (night {number}); nothing changed"),
            )
            .to_owned(),
    });
    let mut more = |n: u64, zh: &str, en: &str| {
        if n > 0 {
            let (zh, en) = (format!("{zh}：{}", count(n)), format!("{en}: {}", count(n)));
            lines.push(screen.say(&zh, &en).to_owned());
        }
    };
    more(night.waived, "其中已豁免", "of these waived");
    more(night.settled, "已排除或办结、证据未变", "cleared or closed, on the same evidence");
    more(
        night.held_over,
        "所依据的数据未交付，维持原状",
        "left as they are, because their dataset was not delivered",
    );
    more(
        night.not_evaluated.len() as u64,
        "没有结果的规则，其线索维持原状",
        "rules without an answer, whose leads stay as they are",
    );
    more(
        absorbed.cancellations as u64,
        "已发出而不再成立的线索，下次导出时通知持有人",
        "handed out and standing no more; the next export tells their holders",
    );
    if let Some(fault) = &absorbed.unseen {
        let why = fault.message.get(screen.lang);
        lines.push(
            screen
                .say(
                    &format!("未能查看今夜的数据，没有线索因此记为来源撤回：{why}"),
                    &format!("tonight's extracts could not be looked into, so nothing was taken for withdrawn by its source: {why}"),
                )
                .to_owned(),
        );
    }
    for fault in &absorbed.unfinished {
        lines.push(fault.message.get(screen.lang).to_owned());
    }
    for (id, state) in &absorbed.waivers {
        let (zh, en) = match state {
            WaiverState::Expired => ("已过期", "has expired"),
            _ => ("没有对应的线索", "covers no lead"),
        };
        lines.push(screen.say(&format!("豁免 {id} {zh}"), &format!("waiver {id} {en}")).to_owned());
    }
    lines
}

fn nights(context: &Context, args: &LedgerNights) -> Outcome {
    let path = context.config.needed("ledger.path", "--ledger", args.ledger.as_deref())?;
    let nights = Book::read(&path).and_then(|book| book.nights()).map_err(refused)?;
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(&nights);
        return Ok(Exit::Done);
    }
    let mut head = vec![screen.say("#夜", "#night").to_owned(), screen.say("基准日", "as of").to_owned()];
    head.extend(Mark::ALL.iter().map(|mark| format!("#{}", screen.text(&mark.title()))));
    head.push(screen.say("#豁免", "#waived").to_owned());
    head.push(screen.say("#无结果的规则", "#rules without answer").to_owned());
    let mut table = Table::new(head.iter().map(String::as_str));
    for night in &nights {
        let mut row = vec![count(night.number), night.as_of.clone()];
        row.extend(Mark::ALL.iter().map(|mark| count(night.count(*mark))));
        row.extend([count(night.waived), count(night.not_evaluated.len() as u64)]);
        table.row(row);
    }
    screen.table(&table);
    Ok(Exit::Done)
}
