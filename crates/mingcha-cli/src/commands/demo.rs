//! `mingcha demo`: the whole way on a synthetic city, and the result held against the truth. The city, its
//! store, the run and the lists stay in the folder to be looked at. The next demonstration takes their place, unless
//! somebody has put something there meanwhile or changed it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mingcha_files::unfinished;
use mingcha_intake::Store;
use mingcha_ledger::{ExportOptions, RunFolder, RunWriter};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::text::Text;
use mingcha_synth::{CityFormat, CityOptions, CityReport};
use serde_json::json;

use super::purge::{self, Listing, Made};
use super::run::{Job, ending, unwritable};
use super::{Context, export, prepare, synth};
use crate::args::{Demo, Format, Intake, Packs};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::Lock;
use crate::packs::Shelf;
use crate::progress::Bars;
use crate::render::{Table, count};
use crate::truth::{self, Score};

/// Says that a folder is that of a demonstration, and which files its city is made of.
const MARK: &str = ".mingcha-demo";
/// What a demonstration writes.
const FOLDERS: [&str; 4] = ["city", "store", "run", "export"];

pub(super) fn run(context: &Context, args: &Demo) -> Outcome {
    let _lock = Lock::take(&args.dir)?;
    clear(context, &args.dir)?;
    let mut shelf = Shelf::open(context, &Packs { rules: None, datasets: None });
    shelf.settle();
    let bars = Bars::new(context, context.shows_progress(args.shape.format));
    let stages = Stages { context, args, bars: &bars, shelf: &shelf };
    stages.city()?;
    let store = stages.store()?;
    let run = stages.run(store)?;
    let files = stages.export(&run)?;
    let read = |fault| Failure::inputs(vec![fault]);
    let outcomes = run.outcomes().map_err(read)?;
    let truth =
        mingcha_synth::read_truth(&args.dir.join("city/truth.parquet")).map_err(|e| synth::failed(&e))?;
    let scores = truth::compare(&truth, &run.findings().map_err(read)?, &run.excused().map_err(read)?);
    let perfect = scores.values().all(Score::is_perfect) && !shelf.has_errors();
    let exit = Exit::first([
        ending(&outcomes, &run.manifest().counts, None),
        if perfect { Exit::Done } else { Exit::Rules },
    ]);
    if args.shape.format == Format::Json {
        context.screen.json(
            &json!({"agrees": perfect, "exit_code": exit.code(), "rules": scores, "outcomes": outcomes}),
        );
        return Ok(exit);
    }
    context.screen.diagnostics(&shelf.faults);
    show(context, &shelf, &scores, &outcomes);
    places(context, &args.dir, files, perfect);
    Ok(exit)
}

/// The stages of a demonstration, each in its folder.
struct Stages<'a> {
    context: &'a Context,
    args: &'a Demo,
    bars: &'a Bars,
    shelf: &'a Shelf,
}

impl Stages<'_> {
    fn city(&self) -> Result<(), Failure> {
        let options = CityOptions {
            persons: self.args.persons,
            seed: self.args.seed,
            as_of: synth::extract_day(),
            format: CityFormat::Mixed,
            dirt: true,
            threads: self.args.power.threads.unwrap_or(0),
        };
        let started = Instant::now();
        let city = self.laid_down(&options)?;
        let rows = count(city.rows.values().sum());
        self.done(
            started,
            &format!("合成城市：{rows} 行原始数据"),
            &format!("synthetic city: {rows} rows of extracts"),
        );
        Ok(())
    }

    /// The city appears as a whole, when it is on record: whoever is killed before leaves nothing that nobody knows.
    fn laid_down(&self, options: &CityOptions) -> Result<CityReport, Failure> {
        let dir = &self.args.dir;
        let failed = |e: std::io::Error| Failure::disk(dir, &e);
        let aside = unfinished::create(dir, "city", "partial").map_err(failed)?;
        let made = aside.join("city");
        let city = synth::city(self.context, options, &made, self.bars).and_then(|city| {
            let files = purge::listing(&made).map_err(failed)?;
            let text = serde_json::to_string(&files).map_err(|e| failed(e.into()))?;
            fs::write(dir.join(MARK), text).map_err(failed)?;
            fs::rename(&made, self.folder("city")).map_err(failed)?;
            Ok(city)
        });
        // Best effort where the city failed: the next demonstration takes it away.
        let removed = fs::remove_dir_all(&aside).map_err(failed);
        let city = city?;
        removed.map(|()| city)
    }

    fn store(&self) -> Result<Store, Failure> {
        let intake = Intake { accept_damaged_ids: false, shards: None, extract_date: None, encoding: None };
        let started = Instant::now();
        let folder = self.folder("store");
        let source = self.folder("city");
        let prepared = prepare::into_store(
            self.context,
            self.shelf,
            &source,
            &folder,
            &intake,
            &self.args.power,
            self.bars,
        )?;
        let stored = count(prepared.manifest.datasets.values().map(|d| d.rows_stored).sum());
        let rejected = count(prepared.manifest.datasets.values().map(|d| d.rows_rejected).sum());
        self.done(
            started,
            &format!("整理入库：{stored} 行，拒收 {rejected} 行"),
            &format!("prepared: {stored} rows, {rejected} rejected"),
        );
        Store::open(&folder).map_err(|fault| Failure::inputs(vec![fault]))
    }

    fn run(&self, store: Store) -> Result<RunFolder, Failure> {
        let mut writer = RunWriter::create(&self.folder("run")).map_err(unwritable)?;
        let started = Instant::now();
        let job = Job {
            shelf: self.shelf,
            as_of: synth::extract_day(),
            only: Vec::new(),
            power: &self.args.power,
            plain_plans: false,
            since: None,
            parts: None,
        };
        let (outcomes, manifest) = job.run(self.context, &Arc::new(store), self.bars, &mut writer)?;
        writer.commit().map_err(unwritable)?;
        let (rules, findings) = (outcomes.outcomes.len(), count(manifest.counts.findings));
        self.done(
            started,
            &format!("运行规则：{rules} 条规则，{findings} 条线索"),
            &format!("ran {rules} rules: {findings} findings"),
        );
        RunFolder::open(&self.folder("run")).map_err(|fault| Failure::inputs(vec![fault]))
    }

    fn export(&self, run: &RunFolder) -> Result<usize, Failure> {
        let started = Instant::now();
        let options =
            ExportOptions { lang: self.context.screen.lang, by_area: true, ..ExportOptions::default() };
        let files =
            mingcha_ledger::export(run, &self.folder("export"), &options, &export::catalogue(self.shelf));
        let files = files.map_err(export::refused)?.len();
        self.done(
            started,
            &format!("导出：{files} 个工作簿（已脱敏）"),
            &format!("exported {files} workbooks (masked)"),
        );
        Ok(files)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.args.dir.join(name)
    }

    /// A line on stderr: the times are not part of the result.
    fn done(&self, started: Instant, zh: &str, en: &str) {
        if self.args.shape.format == Format::Human {
            let seconds = started.elapsed().as_secs_f64();
            let screen = &self.context.screen;
            screen
                .note(screen.say(&format!("✓ {zh}（{seconds:.1} 秒）"), &format!("✓ {en} ({seconds:.1} s)")));
        }
    }
}

/// Makes room: what an earlier demonstration made is taken away, all of it or, where anything else is among it, nothing.
fn clear(context: &Context, dir: &Path) -> Result<(), Failure> {
    let mark = dir.join(MARK);
    let failed = |e: std::io::Error| Failure::disk(dir, &e);
    if !mark.is_file() {
        super::must_be_empty(dir)?;
        fs::create_dir_all(dir).map_err(failed)?;
        return fs::write(&mark, "").map_err(failed);
    }
    let city: Listing = serde_json::from_slice(&fs::read(&mark).map_err(failed)?).unwrap_or_default();
    for (name, made) in FOLDERS.into_iter().zip([Made::Listed(&city), Made::Store, Made::Run, Made::Lists]) {
        let folder = dir.join(name);
        let stranger = purge::stranger(made, &folder).map_err(|e| Failure::disk(&folder, &e))?;
        if let Some(stranger) = stranger {
            return Err(not_ours(&folder, &stranger));
        }
    }
    sweep(context, dir)?;
    for name in FOLDERS {
        if dir.join(name).symlink_metadata().is_err() {
            continue;
        }
        // Whoever is killed in the middle leaves nothing behind that has lost its record.
        let aside = unfinished::create(dir, name, "replaced").map_err(failed)?;
        fs::rename(dir.join(name), aside.join(name)).map_err(failed)?;
        fs::remove_dir_all(&aside).map_err(failed)?;
    }
    Ok(())
}

/// Takes away what a demonstration that was killed left unfinished.
fn sweep(context: &Context, dir: &Path) -> Result<(), Failure> {
    let mut left = Vec::new();
    for name in FOLDERS {
        for what in ["partial", "replaced"] {
            left.extend(unfinished::sweep(dir, name, what).map_err(|e| Failure::disk(dir, &e))?);
        }
    }
    super::left_alone(context, &left);
    prepare::sweep(context, &dir.join("store"))
}

fn not_ours(folder: &Path, stranger: &Text) -> Failure {
    let Text { zh, en } = stranger;
    Failure::usage(
        Diagnostic::error(
            "MC946",
            format!("演示要重做这个文件夹，其中应只有上次演示生成的文件，实际：{zh}；未作任何改动"),
            format!(
                "a demonstration replaces this folder and wanted only what the last one made in it, got: {en}; nothing was touched"
            ),
        )
        .in_file(folder.display())
        .with_help(
            "把这些文件移到别处再试，或用 `--dir` 换一个目录",
            "move these files elsewhere and try again, or choose another folder with `--dir`",
        ),
    )
}

fn show(
    context: &Context,
    shelf: &Shelf,
    scores: &std::collections::BTreeMap<String, Score>,
    outcomes: &[mingcha_rules::Outcome],
) {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("名称", "title"),
        screen.say("#埋设", "#planted"),
        screen.say("#找到", "#found"),
        screen.say("#漏掉", "#missed"),
        screen.say("#错列", "#wrong"),
        screen.say("#近似未列", "#near misses kept"),
        screen.say("#排除未列", "#exclusions kept"),
        screen.say("#排除原因相符", "#reason right"),
    ]);
    for (rule, score) in scores {
        let title =
            shelf.library.rule(rule).map(|r| screen.text(&r.rule.title).to_owned()).unwrap_or_default();
        table.row([
            rule.clone(),
            title,
            count(score.planted),
            count(score.found),
            count(score.missed),
            count(score.wrong),
            format!("{}/{}", score.near_kept, score.near),
            format!("{}/{}", score.excluded_kept, score.excluded),
            format!("{}/{}", score.excluded_named, score.excluded),
        ]);
    }
    screen.table(&table);
    super::run::remarks(context, outcomes);
}

fn places(context: &Context, dir: &Path, files: usize, perfect: bool) {
    let screen = &context.screen;
    screen.line(if perfect {
        screen.say(
            "与真值完全一致：没有漏掉，没有错列，排除原因全部相符",
            "agrees with the truth: nothing missed, nothing wrongly flagged, every exclusion for its reason",
        )
    } else {
        screen.say("与真值不一致，见上表", "does not agree with the truth, see the table")
    });
    let at = |name: &str| dir.join(name).display().to_string();
    let (city, store, run, export) = (at("city"), at("store"), at("run"), at("export"));
    screen.line("");
    screen.line(screen.say(
        &format!("原始数据和真值表  {city}\n数据仓和质量报告  {store}\n运行结果          {run}\n导出的清单        {export}（{files} 个文件）\n\n接着看：mingcha findings list --run {run}"),
        &format!("extracts and truth        {city}\nstore and quality report  {store}\nthe run                   {run}\nexported lists            {export} ({files} files)\n\nlook on: mingcha findings list --run {run}"),
    ));
}
