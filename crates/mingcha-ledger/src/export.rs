//! Lists that leave the ledger: what goes into them, for whom, and how they reach the disk (written aside, then
//! renamed, never over somebody's work unless told so). Each format has a module of its own; none of them words an
//! unmasked finding (the public counts add them up).

mod counts;
mod csv;
mod issue;
pub(crate) mod list;
pub mod marks;
mod ndjson;
mod parquet;
mod sheaf;
mod visits;
pub(crate) mod xlsx;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mingcha_files::{private, unfinished};
use mingcha_rules::{Contract, Diagnostic, Finding, Lang, Outcome, OutcomeKind, Rule, Severity, Text};
use serde::{Deserialize, Serialize};

use crate::fault;
use crate::mask::{Masker, Profile};
use crate::names::Names;
use crate::record::{Fields, Manifest};
use crate::run::{RunFolder, sync_folder};
use crate::words::{Glossary, say};

use issue::Mark;
pub use issue::{Addressee, Dispatch, Issued, Payee, Payees, issue, reissue};
pub(crate) use list::{Answer, Field, Kind};
use sheaf::{Line, Part, Sheaf};
pub(crate) use xlsx::{META, SEAL, hundredths, plain, seal_of_meta};

/// Version of the list's columns, in `_meta`: an import must know it.
pub const SCHEMA_VERSION: u32 = 3;

/// The most rows that a spreadsheet can hold, heading included.
pub const SPREADSHEET_ROWS: u32 = 1_048_576;

/// File format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Excel workbook, to be filled in and handed back.
    #[default]
    Xlsx,
    /// Comma-separated text.
    Csv,
    /// Parquet, with the columns of `findings.parquet`.
    Parquet,
    /// One JSON object per line.
    Ndjson,
}

impl Format {
    /// The word on the command line, and the ending of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Ndjson => "ndjson",
        }
    }

    /// The format called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Xlsx, Self::Csv, Self::Parquet, Self::Ndjson].into_iter().find(|f| f.as_str() == word)
    }
}

/// Encoding of CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8 with a byte order mark, so that spreadsheets recognise it.
    #[default]
    Utf8,
    /// GB 18030. A character that it lacks is an error.
    Gb18030,
}

impl Encoding {
    /// The encoding called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "gb18030" | "gbk" | "gb2312" => Some(Self::Gb18030),
            _ => None,
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// For whom; masked unless asked otherwise.
    pub profile: Profile,
    /// File format.
    pub format: Format,
    /// Language of headings and values. Parquet and NDJSON keep their field names and both sentences.
    pub lang: Lang,
    /// Encoding of CSV.
    pub encoding: Encoding,
    /// Whether each area gets a file of its own, beside the whole one. Public counts are one file always.
    pub by_area: bool,
    /// Digits of the area code that make an area: 6 county, 9 township, 12 village.
    pub area_digits: usize,
    /// Who receives the list; printed on every page.
    pub recipient: Option<String>,
    /// Whether files of an earlier export may be replaced, with whatever was filled in there.
    pub replace: bool,
    /// Rows of one sheet, heading included, after which a further sheet begins.
    pub sheet_rows: u32,
    /// Rules whose findings do not leave now; the list says so.
    pub held_back: BTreeSet<String>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            format: Format::default(),
            lang: Lang::default(),
            encoding: Encoding::default(),
            by_area: false,
            area_digits: 9,
            recipient: None,
            replace: false,
            sheet_rows: SPREADSHEET_ROWS,
            held_back: BTreeSet::new(),
        }
    }
}

/// What is known beside the run: titles, classes of personal data, names of areas.
#[derive(Debug, Clone, Default)]
pub struct Catalogue<'a> {
    /// Contracts: titles of datasets and fields, and what of them is personal.
    pub contracts: &'a [Contract],
    /// Rules: titles of exclusions, steps of verification.
    pub rules: Vec<&'a Rule>,
    /// Names of areas by code, as far as known.
    pub area_names: BTreeMap<String, String>,
}

impl Catalogue<'_> {
    pub(crate) fn rule(&self, rule_id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == rule_id).copied()
    }

    /// The name of the most exact area known that contains `code`.
    pub(crate) fn area_name(&self, code: &str) -> Option<&str> {
        [12, 9, 6, 4, 2].into_iter().filter_map(|digits| code.get(..digits.min(code.len()))).find_map(
            |prefix| {
                let full = |digits: usize| format!("{prefix:0<digits$}");
                [prefix.to_owned(), full(6), full(12)]
                    .iter()
                    .find_map(|key| self.area_names.get(key))
                    .map(String::as_str)
            },
        )
    }
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Where.
    pub path: PathBuf,
    /// Findings in it (public: cells of the count).
    pub rows: u64,
    /// The area, for a file of one area.
    pub area: Option<String>,
}

/// Writes the findings of `run` into the folder `out`, after `options`. Where they are masked, they go by names of the
/// run's own; a run folder without any gets some.
///
/// # Errors
/// `MC822`/`MC823` where the run has no names and can be given none, and as [`export_as`].
pub fn export(
    run: &RunFolder,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
) -> Result<Vec<Exported>, Diagnostic> {
    let names = if options.profile == Profile::Supervisor { Some(run.names()?) } else { None };
    export_as(run, names, out, options, catalogue)
}

/// [`export`], with masked findings going by these names: those of the ledger, in an office that has one. Without names
/// a masked list has no ids.
///
/// # Errors
/// `MC812` where a file is there already, `MC813` where GB 18030 lacks a character, `MC811` where the disk or a
/// format refuses, `MC806` where the run cannot be read. Nothing is left half-written.
pub fn export_as(
    run: &RunFolder,
    names: Option<Names>,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
) -> Result<Vec<Exported>, Diagnostic> {
    let job = Job::new(run, options, catalogue)?;
    let sheaf = Sheaf::whole(run, &options.held_back)?;
    let full = options.profile == Profile::Investigator;
    let mut staging = Staging::create(out, options.replace, full)?;
    if options.profile == Profile::Public {
        job.write_counts(&sheaf, &mut staging)?;
    } else {
        let masker = Masker::new(options.profile, catalogue.contracts);
        let masker = names.into_iter().fold(masker, Masker::named);
        job.write_lists(&sheaf, &masker, &[], &mut staging)?;
    }
    staging.publish()
}

/// One export as every format sees it.
struct Job<'a> {
    options: &'a ExportOptions,
    catalogue: &'a Catalogue<'a>,
    glossary: Glossary<'a>,
    manifest: &'a Manifest,
    outcomes: Vec<Outcome>,
    export_id: String,
    /// What the ledger knows of this export; none without a ledger.
    issued: Option<Mark<'a>>,
    /// Whose leads they are.
    addressee: Addressee,
}

impl<'a> Job<'a> {
    fn new(
        run: &'a RunFolder,
        options: &'a ExportOptions,
        catalogue: &'a Catalogue<'a>,
    ) -> Result<Self, Diagnostic> {
        Ok(Self {
            options,
            catalogue,
            glossary: Glossary::new(catalogue.contracts),
            manifest: run.manifest(),
            outcomes: run.outcomes()?.into_iter().map(|o| held_back(o, options)).collect(),
            export_id: export_id(run.manifest(), options),
            issued: None,
            addressee: Addressee::Everything,
        })
    }

    fn lang(&self) -> Lang {
        self.options.lang
    }

    /// The area whose file a finding belongs to; empty where the finding names none.
    fn area_of(&self, finding: &Finding) -> String {
        let code = finding.area_code.as_deref().unwrap_or("").trim();
        code.chars().take(self.options.area_digits).collect()
    }

    /// `880101001 城关镇`, or the code alone, or "area unknown".
    fn area_label(&self, code: &str) -> String {
        match (code.is_empty(), self.catalogue.area_name(code)) {
            (true, _) => say(self.lang(), "地区不明", "area unknown").to_owned(),
            (false, Some(name)) => format!("{code} {name}"),
            (false, None) => code.to_owned(),
        }
    }

    fn rule_title(&self, rule_id: &str) -> Text {
        let of_run = self.outcomes.iter().find(|o| o.rule_id == rule_id).map(|o| o.title.clone());
        of_run.or_else(|| self.catalogue.rule(rule_id).map(|r| r.title.clone())).unwrap_or_default()
    }

    /// The whole list, and one per area where asked for.
    fn write_lists(
        &self,
        sheaf: &Sheaf,
        masker: &Masker,
        cancelled: &[visits::Cancelled],
        staging: &mut Staging,
    ) -> Result<(), Diagnostic> {
        let area = match &self.addressee {
            Addressee::Area(code) => Some(code.as_str()),
            _ => None,
        };
        let lines = sheaf.lines(masker)?;
        let whole = Part { sheaf, masker, lines: lines.iter().collect() };
        self.write_part(&self.name("findings"), area, &whole, cancelled, staging)?;
        if self.options.by_area {
            let mut areas: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
            for line in &lines {
                areas.entry(self.area_of(&line.seen)).or_default().push(line);
            }
            for (area, lines) in areas {
                let stem = format!("areas/{}", self.name(&file_name(&self.area_label(&area))));
                self.write_part(&stem, Some(&area), &Part { sheaf, masker, lines }, &[], staging)?;
            }
        }
        Ok(())
    }

    /// The name of a file; one that has a number bears it, so that files of many exports can lie in one folder.
    fn name(&self, stem: &str) -> String {
        self.issued.as_ref().map_or_else(|| stem.to_owned(), |mark| format!("{}-{stem}", mark.number))
    }

    fn write_part(
        &self,
        stem: &str,
        area: Option<&str>,
        part: &Part<'_>,
        cancelled: &[visits::Cancelled],
        staging: &mut Staging,
    ) -> Result<(), Diagnostic> {
        let done = |path| Exported { path, rows: part.lines.len() as u64, area: area.map(str::to_owned) };
        match self.options.format {
            Format::Xlsx => {
                let path = staging.path(&format!("{stem}.xlsx"), done)?;
                xlsx::guarded(&path, || xlsx::write(self, area, part, cancelled, &path))
            }
            Format::Csv => {
                let path = staging.path(&format!("{stem}.csv"), done)?;
                csv::write(
                    self,
                    list::findings(self, part).with_column("_export_id", &self.export_id),
                    &path,
                )?;
                let path = staging.path(&format!("{stem}-evidence.csv"), done)?;
                csv::write(self, list::evidence(self, part), &path)?;
                let path = staging.path(&format!("{stem}-summary.csv"), done)?;
                csv::write(self, list::by_rule(self, part, self.is_whole(area))?, &path)?;
                if cancelled.is_empty() {
                    return Ok(());
                }
                let path = staging.path(&format!("{stem}-cancelled.csv"), done)?;
                csv::write(self, visits::cancelled(self, cancelled), &path)
            }
            Format::Parquet => parquet::write(self, part, &staging.path(&format!("{stem}.parquet"), done)?),
            Format::Ndjson => ndjson::write(self, part, &staging.path(&format!("{stem}.ndjson"), done)?),
        }
    }

    /// Whether a file with this area holds all of the run: only then do rules without findings stand in its summary.
    fn is_whole(&self, area: Option<&str>) -> bool {
        area.is_none() && self.addressee == Addressee::Everything
    }

    fn write_counts(&self, sheaf: &Sheaf, staging: &mut Staging) -> Result<(), Diagnostic> {
        let cells = counts::cells(sheaf)?;
        let name = |ending: &str| self.name(&format!("counts{ending}"));
        let done = |path| Exported { path, rows: cells.len() as u64, area: None };
        match self.options.format {
            Format::Xlsx => {
                let path = staging.path(&name(".xlsx"), done)?;
                xlsx::guarded(&path, || xlsx::write_counts(self, &cells, &path))
            }
            Format::Csv => {
                csv::write(self, counts::table(self, &cells), &staging.path(&name(".csv"), done)?)?;
                csv::write(self, counts::outcomes(self), &staging.path(&name("-rules.csv"), done)?)
            }
            Format::Parquet => parquet::write_counts(self, &cells, &staging.path(&name(".parquet"), done)?),
            Format::Ndjson => ndjson::write_counts(self, &cells, &staging.path(&name(".ndjson"), done)?),
        }
    }
}

/// Follows from run and options, so that the same export gives the same bytes.
fn export_id(manifest: &Manifest, options: &ExportOptions) -> String {
    let mut hash = Fields::new("mingcha export 1");
    hash.add(&manifest.run_id);
    hash.add(options.profile.as_str());
    hash.add(options.format.as_str());
    hash.add(say(options.lang, "zh", "en"));
    hash.add(options.recipient.as_deref().unwrap_or(""));
    options.held_back.iter().for_each(|rule| hash.add(rule));
    hash.finish()[..16].to_owned()
}

/// The outcome of a rule as a list tells of it that holds its findings back.
fn held_back(outcome: Outcome, options: &ExportOptions) -> Outcome {
    if !options.held_back.contains(&outcome.rule_id) {
        return outcome;
    }
    let reason = Text {
        zh: "已有结果，暂缓导出，待人工确认".to_owned(),
        en: "there is a result, but its list is held back until somebody has looked at it".to_owned(),
    };
    Outcome { outcome: OutcomeKind::Held, reason: Some(reason), findings: 0, amount_fen: 0, ..outcome }
}

/// `label` as a file name that every system takes.
pub fn file_name(label: &str) -> String {
    let safe: String = label
        .chars()
        .map(|c| if c.is_control() || c.is_whitespace() || r#"/\:*?"<>|."#.contains(c) { '-' } else { c })
        .take(60)
        .collect();
    let safe = safe.trim_matches('-').to_owned();
    if safe.is_empty() { "unnamed".to_owned() } else { safe }
}

/// Files on their way: written into a hidden folder, renamed when all of them are complete, taken away otherwise.
pub(crate) struct Staging {
    out: PathBuf,
    aside: PathBuf,
    replace: bool,
    private: bool,
    files: Vec<(PathBuf, Exported)>,
    _lock: File,
}

impl Staging {
    /// For files that will lie in `out`. With `private`, only their owner may open them and the folders made for them.
    pub(crate) fn create(out: &Path, replace: bool, private: bool) -> Result<Self, Diagnostic> {
        let failed = |e: std::io::Error| fault::disk("MC811", ("创建文件夹", "create the folder"), out, &e);
        folders(out, private).map_err(failed)?;
        sweep(out);
        let aside = unfinished::create(out, "export", "partial").map_err(failed)?;
        let lock = File::create_new(aside.join(LOCK)).map_err(failed)?;
        // Where the file system knows no locks, nobody else can take it either.
        let _ = lock.try_lock();
        Ok(Self { _lock: lock, out: out.to_path_buf(), aside, replace, private, files: Vec::new() })
    }

    /// Where to write the file that will be called `name` (`/` begins a folder).
    pub(crate) fn path(
        &mut self,
        name: &str,
        done: impl Fn(PathBuf) -> Exported,
    ) -> Result<PathBuf, Diagnostic> {
        let last = self.out.join(name);
        let taken = last.symlink_metadata().is_ok() && !self.replace;
        // Two areas whose labels differ only in forbidden characters.
        if taken || self.files.iter().any(|(_, exported)| exported.path == last) {
            return Err(Diagnostic::error(
                "MC812",
                "导出文件应尚不存在，实际已存在；其中可能有已填写的核查结论，不予覆盖",
                "wanted a file that does not exist yet, got one that may hold outcomes already filled in; it is left alone",
            )
            .in_file(last.display())
            .with_help("换一个输出文件夹，或明确要求覆盖", "choose another folder, or ask explicitly to replace"));
        }
        let path = self.aside.join(format!("{:06}", self.files.len()));
        self.files.push((path.clone(), done(last)));
        Ok(path)
    }

    pub(crate) fn publish(mut self) -> Result<Vec<Exported>, Diagnostic> {
        let failed = |path: &Path, e: &std::io::Error| {
            fault::disk("MC811", ("保存导出文件", "save the export"), path, e)
        };
        for (path, exported) in &self.files {
            let file = File::open(path).map_err(|e| failed(&exported.path, &e))?;
            if self.private {
                private::make_private(&file).map_err(|e| failed(&exported.path, &e))?;
            }
            file.sync_all().map_err(|e| failed(&exported.path, &e))?;
        }
        // First on record, then in its place: what nobody knows of would be nobody's to clean up.
        let places = self.files.iter().map(|(path, exported)| {
            let inside = exported.path.strip_prefix(&self.out).unwrap_or(&exported.path);
            (inside.to_string_lossy().replace('\\', "/"), path.as_path())
        });
        marks::add(&self.out, places)?;
        for (path, exported) in &self.files {
            if let Some(folder) = exported.path.parent() {
                folders(folder, self.private).map_err(|e| failed(folder, &e))?;
            }
            fs::rename(path, &exported.path).map_err(|e| failed(&exported.path, &e))?;
        }
        sync_folder(&self.out).map_err(|e| failed(&self.out, &e))?;
        Ok(std::mem::take(&mut self.files).into_iter().map(|(_, exported)| exported).collect())
    }
}

fn folders(path: &Path, private: bool) -> std::io::Result<()> {
    if private { private::folders(path) } else { fs::create_dir_all(path) }
}

/// The file by whose lock others see that the folder is being written; the lock goes with its process.
const LOCK: &str = "lock";

/// Whether an export into `out` is going on.
#[must_use]
pub fn is_going_on(out: &Path) -> bool {
    fs::read_dir(out).into_iter().flatten().flatten().any(|entry| {
        let begun = entry.file_name().to_str().is_some_and(|name| name.starts_with(".export.partial-"));
        let lock = File::open(entry.path().join(LOCK)).ok().filter(|_| begun);
        lock.is_some_and(|lock| lock.try_lock().is_err())
    })
}

/// Takes away what killed exports had begun here: it names people, and nothing else would ever look for it.
fn sweep(out: &Path) {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let begun = entry.file_name().to_str().is_some_and(|name| name.starts_with(".export.partial-"));
        let lock =
            File::open(entry.path().join(LOCK)).ok().filter(|_| begun && unfinished::is_ours(&entry.path()));
        if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
            // Best effort, as with one's own.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: whatever is in it was not published.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

/// From the gravest down.
const SEVERITIES: [Severity; 5] =
    [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_hold_nothing_that_a_system_refuses() {
        assert_eq!(file_name("880101001 城关镇"), "880101001-城关镇");
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(file_name("a:b*c?\"<>|\u{0}"), "a-b-c");
        assert_eq!(file_name("..."), "unnamed");
    }

    #[test]
    fn an_area_takes_the_name_of_the_nearest_area_known() {
        let names = [("880101", "城关区"), ("880101002000", "河东镇")];
        let catalogue = Catalogue {
            area_names: names.iter().map(|(c, n)| ((*c).to_owned(), (*n).to_owned())).collect(),
            ..Catalogue::default()
        };
        assert_eq!(catalogue.area_name("880101002"), Some("河东镇"));
        assert_eq!(catalogue.area_name("880101007"), Some("城关区"));
        assert_eq!(catalogue.area_name("990101"), None);
    }
}
