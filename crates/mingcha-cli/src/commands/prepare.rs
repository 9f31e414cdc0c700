//! `mingcha prepare`: extracts into a store. Also how `run` and `demo` make theirs.

use std::path::Path;

use mingcha_intake::{PrepareOptions, Prepared};
use mingcha_rules::diagnostic::Level;
use mingcha_rules::text::Lang;
use serde_json::json;

use super::Context;
use crate::args::{Format, Intake, Power, Prepare};
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::{self, Lock};
use crate::packs::Shelf;
use crate::progress::Bars;
use crate::render::{Table, count, many};

pub(super) fn run(context: &Context, args: &Prepare) -> Outcome {
    let data = context.config.needed("paths.data", "--data", args.data.as_deref())?;
    let store = context.config.needed("paths.store", "--store", args.store.as_deref())?;
    let shelf = Shelf::open(context, &args.packs);
    contracts_must_stand(&shelf)?;
    let _lock = Lock::take(&store)?;
    sweep(context, &store)?;
    let bars = Bars::new(context, context.shows_progress(args.shape.format));
    let mut options = options(context, &shelf, &data, &store, &args.intake, &args.power)?;
    options.full = args.full;
    let prepared = prepared(context, &options, &bars)?;
    show(context, &prepared, &store, args.shape.format);
    Ok(Exit::Done)
}

/// Takes away what killed preparations of `store` had begun to write. Only for who holds its lock.
pub(super) fn sweep(context: &Context, store: &Path) -> Result<(), Failure> {
    let left = mingcha_intake::sweep(store).map_err(|e| Failure::disk(store, &e))?;
    super::left_alone(context, &left);
    Ok(())
}

/// Prepares `data` into `store`. A refusal is exit code 4.
pub(super) fn into_store(
    context: &Context,
    shelf: &Shelf,
    data: &Path,
    store: &Path,
    intake: &Intake,
    power: &Power,
    bars: &Bars,
) -> Result<Prepared, Failure> {
    prepared(context, &options(context, shelf, data, store, intake, power)?, bars)
}

pub(super) fn options(
    context: &Context,
    shelf: &Shelf,
    data: &Path,
    store: &Path,
    intake: &Intake,
    power: &Power,
) -> Result<PrepareOptions, Failure> {
    let mut options = PrepareOptions::new(data, store, shelf.library.contracts.clone());
    options.mappings = context.config.sources.clone();
    options.encoding = intake.encoding.clone();
    options.accept_damaged_ids = intake.accept_damaged_ids;
    options.shards = intake.shards.map(|n| n as usize);
    options.threads = context.config.count("threads", power.threads)?;
    if let Some(memory) = context.config.size("memory", power.memory.as_deref())? {
        // Half of it for rows; the person index, sorting and writing take the rest.
        options.memory_bytes = memory / 2;
    }
    options.as_of = day("--extract-date", intake.extract_date.as_deref())?;
    Ok(options)
}

pub(super) fn prepared(
    context: &Context,
    options: &PrepareOptions,
    bars: &Bars,
) -> Result<Prepared, Failure> {
    // While they are read, nobody destroys them.
    let _reading = lock::reading(&options.data);
    let result = mingcha_intake::prepare(options, bars);
    bars.clear();
    context.interrupt.check()?;
    result.map_err(Failure::inputs)
}

/// Contracts with errors would type the extracts wrongly; rules with errors do no harm here.
pub(super) fn contracts_must_stand(shelf: &Shelf) -> Result<(), Failure> {
    let of_contract = |file: &str| file.contains("datasets") || !file.contains("rules");
    let faults: Vec<_> = shelf
        .faults
        .iter()
        .filter(|f| f.level == Level::Error && f.place.file.as_deref().is_none_or(of_contract))
        .cloned()
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure { exit: Exit::Rules, diagnostics: faults }) }
}

/// The day given by a flag that has no setting.
pub(super) fn day(flag: &str, text: Option<&str>) -> Result<Option<chrono::NaiveDate>, Failure> {
    let Some(text) = text else { return Ok(None) };
    config::parse_date(text).map(Some).ok_or_else(|| {
        Failure::usage(mingcha_rules::Diagnostic::error(
            "MC094",
            format!("参数 `{flag}`：需要 YYYY-MM-DD 形式的日期，但得到 `{text}`"),
            format!("argument `{flag}`: wanted a date as YYYY-MM-DD, got `{text}`"),
        ))
    })
}

fn show(context: &Context, prepared: &Prepared, store: &Path, format: Format) {
    let screen = &context.screen;
    let manifest = &prepared.manifest;
    if format == Format::Json {
        screen.json(&json!({"store": store.display().to_string(), "persons": manifest.persons, "shards": manifest.shards.len(),
            "datasets": manifest.datasets, "files": manifest.files, "warnings": prepared.warnings,
            "unchanged": prepared.unchanged, "full_because": prepared.full_because}));
        return;
    }
    screen.diagnostics(&prepared.warnings);
    let mut table = Table::new([
        screen.say("数据集", "dataset"),
        screen.say("#原始行", "#rows in"),
        screen.say("#入库", "#stored"),
        screen.say("#拒收", "#rejected"),
        screen.say("#无人员", "#without a person"),
        screen.say("提取日期", "extracted"),
        screen.say("来源", "from"),
    ]);
    for (name, entry) in &manifest.datasets {
        table.row([
            name.clone(),
            count(entry.rows_in),
            count(entry.rows_stored),
            count(entry.rows_rejected),
            count(entry.rows_unassigned),
            entry.as_of.map_or_else(|| screen.say("未注明", "not given").to_owned(), |d| d.to_string()),
            if prepared.unchanged.contains(name) {
                screen.say("未变，沿用", "unchanged").to_owned()
            } else {
                screen.say("读取", "read").to_owned()
            },
        ]);
    }
    screen.table(&table);
    if let Some(why) = &prepared.full_because {
        screen.line(why.get(screen.lang));
    }
    let (persons, shards, files) =
        (manifest.persons, manifest.shards.len() as u64, manifest.files.len() as u64);
    screen.line(match screen.lang {
        Lang::Zh => format!("人员 {} 名，分片 {shards} 个，文件 {files} 个", count(persons)),
        Lang::En => {
            format!("{}, {}, {}", many(persons, "person"), many(shards, "shard"), many(files, "file"))
        }
    });
    let quality = store.join("quality.txt");
    screen.line(screen.say(
        &format!("数据仓：{}\n质量报告：{}", store.display(), quality.display()),
        &format!("store: {}\nquality report: {}", store.display(), quality.display()),
    ));
    screen.line(screen.say(
        &format!("下一步：mingcha run --store {} --as-of YYYY-MM-DD --out DIR", store.display()),
        &format!("next: mingcha run --store {} --as-of YYYY-MM-DD --out DIR", store.display()),
    ));
}
