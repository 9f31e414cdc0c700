//! `mingcha synth`: the raw extracts of a synthetic city, and the truth about them.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDate;
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_synth::{CityOptions, CityReport, SynthError};

use super::{Context, prepare};
use crate::args::{CityFormat, Format, Synth};
use crate::exit::{Exit, Failure, Outcome};
use crate::progress::Bars;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Synth) -> Outcome {
    super::must_be_empty(&args.out)?;
    let as_of = prepare::day("--as-of", args.as_of.as_deref())?.unwrap_or_else(extract_day);
    let options = CityOptions {
        persons: args.persons,
        seed: args.seed,
        as_of,
        format: format(args.format),
        dirt: true,
        threads: 0,
    };
    let bars = Bars::new(context, context.shows_progress(Format::Human));
    let report = city(context, &options, &args.out, &bars)?;
    show(context, &report, &args.out);
    Ok(Exit::Done)
}

/// The day of the extracts where none is given: fixed, so that the same seed gives the same city for ever.
pub(super) fn extract_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 10, 31).unwrap_or_default()
}

/// Writes the city.
pub(super) fn city(
    context: &Context,
    options: &CityOptions,
    out: &Path,
    bars: &Bars,
) -> Result<CityReport, Failure> {
    let result = mingcha_synth::write_city(options, out, &|stage, done, total| bars.city(stage, done, total));
    bars.clear();
    context.interrupt.check()?;
    result.map_err(|error| failed(&error))
}

/// What could not be done, in both languages.
pub(super) fn failed(error: &SynthError) -> Failure {
    let (exit, zh) = match error {
        SynthError::TooFewPersons(got) => {
            (Exit::Usage, format!("一座城市至少要 {} 人，但得到 {got}", mingcha_synth::MIN_PERSONS))
        }
        SynthError::TooManyPersons => (Exit::Usage, "某个出生日期的号码已经用完；请减少人数".to_owned()),
        SynthError::NotEmpty { path } => {
            (Exit::Usage, format!("需要空的或不存在的目录，但 `{}` 里有文件", path.display()))
        }
        SynthError::Io { path, source } => return Failure::disk(path, source),
        other => (Exit::Internal, format!("无法写出城市：{other}")),
    };
    Failure::new(exit, Diagnostic::error("MC089", zh, error.to_string()))
}

fn format(word: CityFormat) -> mingcha_synth::CityFormat {
    match word {
        CityFormat::Mixed => mingcha_synth::CityFormat::Mixed,
        CityFormat::Parquet => mingcha_synth::CityFormat::Parquet,
        CityFormat::ParquetVariant => mingcha_synth::CityFormat::ParquetVariant,
        CityFormat::Csv => mingcha_synth::CityFormat::CsvUtf8,
        CityFormat::CsvGb18030 => mingcha_synth::CityFormat::CsvGb18030,
        CityFormat::Xlsx => mingcha_synth::CityFormat::Xlsx,
    }
}

fn show(context: &Context, report: &CityReport, out: &Path) {
    let screen = &context.screen;
    let mut table = Table::new([screen.say("数据集", "dataset"), screen.say("#行数", "#rows")]);
    for (dataset, rows) in &report.rows {
        table.row([dataset.clone(), count(*rows)]);
    }
    screen.table(&table);
    let mut rules: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for ((rule, kind), n) in &report.planted {
        let planted = rules.entry(rule).or_default();
        if kind == "hit" { planted.0 += n } else { planted.1 += n }
    }
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("#应列出", "#must be flagged"),
        screen.say("#不应列出", "#must not be flagged"),
    ]);
    for (rule, (hits, others)) in rules {
        table.row([rule.to_owned(), count(hits), count(others)]);
    }
    screen.table(&table);
    let truth = out.join("truth.parquet");
    screen.line(screen.say(
        &format!("原始数据：{}\n真值表：{}", out.display(), truth.display()),
        &format!("extracts: {}\ntruth: {}", out.display(), truth.display()),
    ));
}
