//! A synthetic city: the raw extracts of an invented population, with planted cases of every rule of the
//! founding pack and of every exclusion, and the complete truth about them.
//!
//! The city is written as offices would deliver it (untidy spellings, several formats, damaged numbers) and
//! depends on no other Mingcha crate: its truth comes from planting, never from a query, and its reading of
//! the rules is its own. People, names and places are invented; all numbers use area codes that are never issued.
//!
//! Equal options give equal bytes, on any number of threads. The same seed in another [`CityFormat`] is the
//! same city, row by row, apart from the spelling of dates, months and money.

mod calendar;
mod cases;
mod dice;
mod identity;
mod life;
mod names;
mod people;
mod places;
mod records;
mod truth;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use rayon::prelude::*;

pub use truth::{TruthRow, read_truth};

use calendar::{Clock, Month};
use identity::Registrar;
use life::Chronicle;
use people::Census;
use records::{Coverage, DATASETS, Rows};
use write::TableWriter;

/// Months before the extract day that the extracts say they cover.
const COVERED_MONTHS: i32 = 60;

/// The smallest city.
pub const MIN_PERSONS: u64 = 500;

/// What city to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CityOptions {
    /// Ordinary people, at least [`MIN_PERSONS`]. The people of planted cases come on top.
    pub persons: u64,
    /// Chooses the city among all cities of the same size.
    pub seed: u64,
    /// The day the extracts were made.
    pub as_of: NaiveDate,
    /// The file formats.
    pub format: CityFormat,
    /// Whether spellings are untidy, and damaged numbers (the cases of ID-01) are planted.
    pub dirt: bool,
    /// Threads to use; 0 for as many as the machine has. The city does not depend on it.
    pub threads: usize,
}

/// The file formats of a city.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CityFormat {
    /// As a real delivery: mostly Parquet, payments in several files, some CSV (GB18030, UTF-8), one workbook.
    Mixed,
    /// Parquet, one file for each dataset.
    Parquet,
    /// Parquet as other writers make it: other text types, dates as timestamps or text, small row groups, several files.
    ParquetVariant,
    /// CSV in UTF-8, every other file with a byte order mark.
    CsvUtf8,
    /// CSV in GB18030.
    CsvGb18030,
    /// XLSX; for small cities.
    Xlsx,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CityReport {
    /// Rows by dataset.
    pub rows: BTreeMap<String, u64>,
    /// Verdicts of the truth table by rule and kind (`hit`, `near_miss`, `X-LAG`).
    pub planted: BTreeMap<(String, String), u64>,
}

/// Why a city could not be written, or a truth table not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// Fewer people than a city needs.
    #[error("a city needs at least {MIN_PERSONS} persons, got {0}; ask for more")]
    TooFewPersons(u64),
    /// All numbers of some day and county have been given out.
    #[error("no identity numbers are left for some day of birth; ask for fewer persons")]
    TooManyPersons,
    /// The folder already holds something, which would become part of the delivery.
    #[error("{} is not empty; name a folder that is new or empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A character that the encoding of a file does not have.
    #[error("{} holds a character that its encoding lacks; choose UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a truth table.
    #[error("{} is no truth table: wanted a column {column} of the right type; write it with `mingcha synth`", path.display())]
    NotATruthTable {
        /// The file.
        path: PathBuf,
        /// The first column that is missing or of another type.
        column: &'static str,
    },
    /// No threads could be started.
    #[error("the threads could not be started: {0}; ask for fewer")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Arrow refused the rows.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// A Parquet file could not be written or read.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A CSV file could not be written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A workbook could not be written.
    #[error(transparent)]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
}

impl SynthError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn not_a_truth_table(path: &Path, column: &'static str) -> Self {
        Self::NotATruthTable { path: path.to_owned(), column }
    }
}

/// Writes a city into the folder `out`: the extracts, `truth.parquet` and `delivery.json` (extract day and
/// period of every dataset). `progress` is told the stage (`census`, `cases`, `population`, `files`), how far
/// it is, and its whole.
///
/// # Errors
/// When the options make no city, the folder is not empty, or a file cannot be written. What was written
/// until then stays.
pub fn write_city(
    options: &CityOptions,
    out: &Path,
    progress: &dyn Fn(&str, u64, u64),
) -> Result<CityReport, SynthError> {
    if options.persons < MIN_PERSONS {
        return Err(SynthError::TooFewPersons(options.persons));
    }
    prepare_folder(out)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let clock = Clock::at(options.as_of);

    progress("census", 0, options.persons);
    let mut registrar = Registrar::new(places::codes(), options.as_of);
    let census = Census::take(options.seed, clock, options.persons, &mut registrar)?;
    progress("cases", 0, 1);
    let (mut planted, mut truth) =
        cases::plant(options.seed, clock, options.persons, options.dirt, &mut registrar)?;
    planted.coverage = coverage(clock);
    truth.sort();

    let mut writers = DATASETS
        .iter()
        .enumerate()
        .map(|(index, dataset)| TableWriter::new(options.format, index, dataset, out, options.dirt))
        .collect::<Result<Vec<_>, _>>()?;
    write_population(options, clock, &census, &pool, &mut writers, progress)?;
    append(&pool, &mut writers, &[planted])?;

    progress("files", 0, 1);
    let counts =
        pool.install(|| writers.into_par_iter().map(TableWriter::finish).collect::<Result<Vec<_>, _>>())?;
    truth::write(&truth, &out.join("truth.parquet"))?;
    write_delivery(clock, out)?;
    Ok(report(&counts, &truth))
}

fn prepare_folder(out: &Path) -> Result<(), SynthError> {
    std::fs::create_dir_all(out).map_err(|e| SynthError::io(out, e))?;
    let mut entries = std::fs::read_dir(out).map_err(|e| SynthError::io(out, e))?;
    if entries.next().is_some() { Err(SynthError::NotEmpty { path: out.to_owned() }) } else { Ok(()) }
}

/// Generates the chunks side by side and writes them in their order, some at a time, so that memory holds
/// a few chunks however large the city is.
fn write_population(
    options: &CityOptions,
    clock: Clock,
    census: &Census,
    pool: &rayon::ThreadPool,
    writers: &mut [TableWriter],
    progress: &dyn Fn(&str, u64, u64),
) -> Result<(), SynthError> {
    let chronicle = Chronicle { seed: options.seed, clock, dirt: options.dirt };
    let together = pool.current_num_threads() * 2;
    let total = census.chunks.len() as u64;
    for (batch, chunks) in census.chunks.chunks(together).enumerate() {
        let first = batch * together;
        progress("population", first as u64 * options.persons / total, options.persons);
        let rows: Vec<Rows> = pool.install(|| {
            let generate = |chunk| {
                let mut rows = Rows::default();
                for household in census.households(chunk) {
                    chronicle.write(&household, &mut rows);
                }
                rows
            };
            chunks.par_iter().map(generate).collect()
        });
        append(pool, writers, &rows)?;
    }
    progress("population", options.persons, options.persons);
    Ok(())
}

/// Writes chunks, each dataset by itself.
fn append(pool: &rayon::ThreadPool, writers: &mut [TableWriter], chunks: &[Rows]) -> Result<(), SynthError> {
    pool.install(|| {
        writers.par_iter_mut().try_for_each(|writer| chunks.iter().try_for_each(|rows| writer.append(rows)))
    })
}

/// Which feed of life signs came from which county in which month.
fn coverage(clock: Clock) -> Vec<Coverage> {
    let now = Month::of(clock.as_of);
    let mut rows = Vec::new();
    for (feed, dataset) in places::FEEDS.into_iter().enumerate() {
        for (county, place) in places::COUNTIES.iter().enumerate() {
            for months_ago in 0..COVERED_MONTHS {
                let Some(delivered) = places::delivered(feed, county, months_ago.cast_unsigned()) else {
                    continue;
                };
                rows.push(Coverage {
                    dataset: dataset.into(),
                    area_code: place.code.to_string().into(),
                    month: Some(now.plus(-months_ago)),
                    delivered,
                });
            }
        }
    }
    rows
}

fn write_delivery(clock: Clock, out: &Path) -> Result<(), SynthError> {
    let from = Month::of(clock.as_of).plus(1 - COVERED_MONTHS).first();
    let datasets: BTreeMap<&str, serde_json::Value> = DATASETS
        .iter()
        .map(|dataset| {
            let dates = serde_json::json!({
                "as_of": clock.as_of.to_string(),
                "covers_from": from.to_string(),
                "covers_to": clock.as_of.to_string(),
            });
            (*dataset, dates)
        })
        .collect();
    let path = out.join("delivery.json");
    let text = format!("{:#}\n", serde_json::json!({ "datasets": datasets }));
    std::fs::write(&path, text).map_err(|e| SynthError::io(&path, e))
}

fn report(counts: &[u64], truth: &[TruthRow]) -> CityReport {
    let rows = DATASETS.iter().map(|d| (*d).to_owned()).zip(counts.iter().copied()).collect();
    let mut planted = BTreeMap::new();
    for row in truth {
        *planted.entry((row.rule_id.clone(), row.kind.clone())).or_default() += 1;
    }
    CityReport { rows, planted }
}
