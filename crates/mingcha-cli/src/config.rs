//! Settings and where each comes from: flag, then environment, then `mingcha.toml`, then default. Knows the
//! names, kinds and defaults of all settings, in one table; what a setting does is the command's business.
//!
//! `mingcha.toml` is read by hand over its parsed tree and not through serde, because a wrong key or value
//! must be shown in the user's language, under its line, with the key that was probably meant.

mod night;
mod places;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::ValueEnum;
use mingcha_intake::FileMapping;
use mingcha_ledger::book::{Handler, Investigator};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::rule::{Scalar, Severity};
use mingcha_rules::text::Lang;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::{EncodingArg, ExportFormat, ProfileArg};
use crate::exit::{Failure, disk_error};

pub(crate) use night::{Breaker, Carrier, Expected, Listener, NightSettings};
pub(crate) use places::{Place, places, real};

/// Name of the configuration file in a workspace.
pub(crate) const FILE: &str = "mingcha.toml";

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file or folder; in the file, relative to the file.
    Path,
    /// `zh` or `en`.
    Lang,
    /// YYYY-MM-DD.
    Date,
    /// A whole number from 1.
    Count,
    /// A whole number from 0.
    Number,
    /// An amount of memory.
    Size,
    /// A severity.
    Severity,
    /// A masking profile.
    Profile,
    /// An export format.
    Format,
    /// An encoding of CSV.
    Encoding,
    /// Somebody's name.
    Name,
    /// `true` or `false`.
    Flag,
    /// A time zone.
    Zone,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its place in `mingcha.toml`.
    pub(crate) path: &'static str,
    /// Its environment variable.
    pub(crate) env: &'static str,
    /// Its flag.
    pub(crate) flag: &'static str,
    kind: Kind,
    default: Option<&'static str>,
}

const fn key(
    path: &'static str,
    env: &'static str,
    flag: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> Key {
    Key { path, env, flag, kind, default }
}

/// All settings.
pub(crate) const KEYS: &[Key] = &[
    key("lang", "MINGCHA_LANG", "--lang", Kind::Lang, None),
    key("as_of", "MINGCHA_AS_OF", "--as-of", Kind::Date, None),
    key("threads", "MINGCHA_THREADS", "--threads", Kind::Count, None),
    key("memory", "MINGCHA_MEMORY", "--memory", Kind::Size, Some("2GiB")),
    key("fail_on", "MINGCHA_FAIL_ON", "--fail-on", Kind::Severity, None),
    key("office.zone", "MINGCHA_ZONE", "-", Kind::Zone, Some("Asia/Shanghai")),
    key("paths.data", "MINGCHA_DATA", "--data", Kind::Path, None),
    key("paths.store", "MINGCHA_STORE", "--store", Kind::Path, None),
    key("paths.rules", "MINGCHA_RULES", "--rules", Kind::Path, None),
    key("paths.datasets", "MINGCHA_DATASETS", "--datasets", Kind::Path, None),
    key("paths.run", "MINGCHA_RUN", "--out / --run", Kind::Path, None),
    key("paths.export", "MINGCHA_EXPORT", "--out", Kind::Path, None),
    key("ledger.path", "MINGCHA_LEDGER", "--ledger", Kind::Path, None),
    key("ledger.as", "MINGCHA_AS", "--as", Kind::Name, None),
    key("ledger.yellow_days", "MINGCHA_YELLOW_DAYS", "-", Kind::Count, Some("5")),
    key("ledger.away_from_home", "MINGCHA_AWAY_FROM_HOME", "-", Kind::Flag, Some("false")),
    key("export.profile", "MINGCHA_PROFILE", "--profile", Kind::Profile, Some("supervisor")),
    key("export.format", "MINGCHA_FORMAT", "--format", Kind::Format, Some("xlsx")),
    key("export.encoding", "MINGCHA_ENCODING", "--encoding", Kind::Encoding, Some("utf-8")),
    key("nightly.folder", "MINGCHA_NIGHTLY", "-", Kind::Path, None),
    key("nightly.schedule", "MINGCHA_SCHEDULE", "-", Kind::Name, None),
    key("nightly.rules", "MINGCHA_NIGHTLY_RULES", "--only", Kind::Name, None),
    key("nightly.wait_minutes", "MINGCHA_WAIT_MINUTES", "-", Kind::Number, Some("0")),
    key("nightly.settle_seconds", "MINGCHA_SETTLE_SECONDS", "-", Kind::Number, Some("30")),
    key("nightly.late_minutes", "MINGCHA_LATE_MINUTES", "-", Kind::Count, Some("240")),
    key("nightly.by_area", "MINGCHA_NIGHTLY_BY_AREA", "-", Kind::Flag, Some("true")),
    key("nightly.link", "MINGCHA_NIGHTLY_LINK", "-", Kind::Name, None),
    key("retention.findings", "MINGCHA_RETENTION_FINDINGS", "-", Kind::Count, None),
    key("retention.exports", "MINGCHA_RETENTION_EXPORTS", "-", Kind::Count, None),
    key("retention.runs", "MINGCHA_RETENTION_RUNS", "-", Kind::Count, None),
    key("retention.extracts", "MINGCHA_RETENTION_EXTRACTS", "-", Kind::Count, None),
    key("retention.stores", "MINGCHA_RETENTION_STORES", "-", Kind::Count, None),
];

const HANDLER_KEYS: &[&str] = &["name", "area", "agency"];
const PERSON_KEYS: &[&str] = &["name", "areas", "home"];
const SOURCE_KEYS: &[&str] =
    &["path", "dataset", "encoding", "sheet", "header_row", "delimiter", "as_of", "overlap"];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// An environment variable.
    Env(&'static str),
    /// `mingcha.toml`, at a line.
    File(PathBuf, u64),
    /// Built in.
    Default,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As it was written; paths are already resolved.
    pub(crate) text: String,
    /// Where from.
    pub(crate) origin: Origin,
}

/// All settings but those of flags.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    values: BTreeMap<&'static str, Setting>,
    /// `[[sources]]`.
    pub(crate) sources: Vec<FileMapping>,
    /// `[params.RULE]`.
    pub(crate) params: BTreeMap<String, BTreeMap<String, Scalar>>,
    /// `[ledger.deadlines]`.
    pub(crate) deadlines: BTreeMap<String, u32>,
    /// `[[ledger.handlers]]`.
    pub(crate) handlers: Vec<Handler>,
    /// `[[ledger.people]]`.
    pub(crate) people: Vec<Investigator>,
    /// `[[expect]]`, `[breaker.*]`, `[[list]]`, `[[notify]]`.
    pub(crate) night: NightSettings,
}

impl Config {
    /// Reads `file` (or `mingcha.toml` in the current folder, if there) and the environment.
    pub(crate) fn read(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut config = Self::default();
        let mut faults = Vec::new();
        let found = match file {
            Some(path) => Some(path.to_path_buf()),
            None => Some(PathBuf::from(FILE)).filter(|p| p.exists()),
        };
        if let Some(path) = found {
            let text = fs::read_to_string(&path).map_err(|e| vec![disk_error(&path, &e)])?;
            faults
                .extend(Reader { path: &path, text: &text, config: &mut config, faults: Vec::new() }.read());
            config.file = Some(path);
        }
        for key in KEYS {
            let Some(text) = env(key.env) else { continue };
            if let Some((zh, en)) = key.kind.fault(&text) {
                faults.push(Diagnostic::error(
                    "MC093",
                    format!("环境变量 `{}`：{zh}", key.env),
                    format!("environment variable `{}`: {en}", key.env),
                ));
            }
            config.values.insert(key.path, Setting { text, origin: Origin::Env(key.env) });
        }
        if faults.is_empty() {
            faults = places::faults(&config);
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The same without what belongs to one workspace: its extracts, its rules, its parameters.
    pub(crate) fn without_workspace(mut self) -> Self {
        self.values.retain(|path, _| {
            !["paths.", "ledger.", "nightly.", "retention."].iter().any(|group| path.starts_with(group))
        });
        self.night = NightSettings::default();
        self.sources.clear();
        self.params.clear();
        self
    }

    /// The value of `key` in force, when the flag says `flag`.
    pub(crate) fn setting(&self, key: &str, flag: Option<String>) -> Option<Setting> {
        if let Some(text) = flag {
            return Some(Setting { text, origin: Origin::Flag });
        }
        if let Some(setting) = self.values.get(key) {
            return Some(setting.clone());
        }
        let default = KEYS.iter().find(|k| k.path == key).and_then(|k| k.default)?;
        Some(Setting { text: default.to_owned(), origin: Origin::Default })
    }

    /// A path.
    pub(crate) fn path(&self, key: &str, flag: Option<&Path>) -> Option<PathBuf> {
        match flag {
            Some(path) => Some(path.to_path_buf()),
            None => self.setting(key, None).map(|s| PathBuf::from(s.text)),
        }
    }

    /// A path that must be given somewhere.
    pub(crate) fn needed(&self, key: &str, flag_name: &str, flag: Option<&Path>) -> Result<PathBuf, Failure> {
        self.path(key, flag).ok_or_else(|| missing(key, flag_name))
    }

    /// A day.
    pub(crate) fn date(&self, key: &str, flag: Option<&str>) -> Result<Option<NaiveDate>, Failure> {
        self.parsed(key, Kind::Date, flag, parse_date)
    }

    /// An amount of memory, in bytes.
    pub(crate) fn size(&self, key: &str, flag: Option<&str>) -> Result<Option<u64>, Failure> {
        self.parsed(key, Kind::Size, flag, parse_size)
    }

    /// A number from 1.
    pub(crate) fn count(&self, key: &str, flag: Option<usize>) -> Result<Option<usize>, Failure> {
        self.parsed(key, Kind::Count, flag.map(|n| n.to_string()).as_deref(), parse_count)
    }

    /// One of the words of `T`.
    pub(crate) fn choice<T: ValueEnum>(&self, key: &str, flag: Option<T>) -> Option<T> {
        flag.or_else(|| self.setting(key, None).and_then(|s| T::from_str(&s.text, true).ok()))
    }

    fn parsed<T>(
        &self,
        key: &str,
        kind: Kind,
        flag: Option<&str>,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(setting) = self.setting(key, flag.map(str::to_owned)) else { return Ok(None) };
        if let (Some(value), None) = (parse(&setting.text), kind.fault(&setting.text)) {
            return Ok(Some(value));
        }
        let (zh, en) = kind.fault(&setting.text).unwrap_or_default();
        let name = KEYS.iter().find(|k| k.path == key).map_or(key, |k| k.flag);
        Err(Failure::usage(Diagnostic::error(
            "MC094",
            format!("参数 `{name}`：{zh}"),
            format!("argument `{name}`: {en}"),
        )))
    }
}

fn missing(key: &str, flag: &str) -> Failure {
    let env = KEYS.iter().find(|k| k.path == key).map_or("", |k| k.env);
    Failure::usage(
        Diagnostic::error(
            "MC095",
            format!("需要 `{flag}`，但没有给出"),
            format!("needed `{flag}`, but it was not given"),
        )
        .with_help(
            format!("加上 `{flag}`，或在 mingcha.toml 中设置 `{key}`，或设置环境变量 `{env}`"),
            format!("add `{flag}`, or set `{key}` in mingcha.toml, or the environment variable `{env}`"),
        ),
    )
}

/// The day that facts are judged by; there is no default.
pub(crate) fn as_of(config: &Config, flag: Option<&str>) -> Result<NaiveDate, Failure> {
    config.date("as_of", flag)?.ok_or_else(|| missing("as_of", "--as-of"))
}

impl Kind {
    /// What is wrong with `text`, in both languages; `None` when nothing is.
    fn fault(self, text: &str) -> Option<(String, String)> {
        let (good, zh, en) = match self {
            Self::Path => (!text.trim().is_empty(), "路径", "a path"),
            Self::Lang => (parse_lang(text).is_some(), " zh 或 en", "zh or en"),
            Self::Date => (parse_date(text).is_some(), " YYYY-MM-DD 形式的日期", "a date as YYYY-MM-DD"),
            Self::Count => (parse_count(text).is_some(), "从 1 起的整数", "a whole number from 1"),
            Self::Number => (text.parse::<u32>().is_ok(), "从 0 起的整数", "a whole number from 0"),
            Self::Size => (
                parse_size(text).is_some_and(|n| n >= 1 << 20),
                "至少 1MiB 的内存大小，如 512MB、2GiB",
                "a memory size of at least 1MiB, such as 512MB or 2GiB",
            ),
            Self::Severity => (
                Severity::parse(text).is_some(),
                " info、low、medium、high 或 critical",
                "info, low, medium, high or critical",
            ),
            Self::Profile => (
                ProfileArg::from_str(text, false).is_ok(),
                " investigator、supervisor 或 public",
                "investigator, supervisor or public",
            ),
            Self::Format => (
                ExportFormat::from_str(text, false).is_ok(),
                " xlsx、csv、parquet 或 ndjson",
                "xlsx, csv, parquet or ndjson",
            ),
            Self::Name => (!text.trim().is_empty(), "姓名", "a name"),
            Self::Flag => (text.parse::<bool>().is_ok(), " true 或 false", "true or false"),
            Self::Zone => (
                text.parse::<mingcha_ledger::Zone>().is_ok(),
                "时区名，如 Asia/Shanghai",
                "the name of a time zone, such as Asia/Shanghai",
            ),
            Self::Encoding => {
                (EncodingArg::from_str(text, false).is_ok(), " utf-8 或 gb18030", "utf-8 or gb18030")
            }
        };
        (!good).then(|| (format!("需要{zh}，但得到 `{text}`"), format!("wanted {en}, got `{text}`")))
    }
}

/// `zh` or `en`, also as a locale (`zh_CN.UTF-8`).
pub(crate) fn parse_lang(text: &str) -> Option<Lang> {
    match text {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    }
}

/// A calendar day written YYYY-MM-DD.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let shaped = text.len() == 10 && text.is_ascii();
    shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

fn parse_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| *n >= 1)
}

/// Bytes: `512MB` (millions), `2GiB` (powers of 1024), `1.5G` (as GiB), or a plain number.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale: u128 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 6 || number.ends_with('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    let divisor = 10u128.pow(u32::try_from(part.len()).ok()?);
    u64::try_from(digits.checked_mul(scale)? / divisor).ok()
}

/// The nearest of `words` to `word`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    words
        .into_iter()
        .map(|w| (strsim::damerau_levenshtein(word, w), w))
        .filter(|(d, w)| *d <= 1 + w.len() / 4)
        .min()
        .map(|(_, w)| w)
}

/// Walks the parsed file and collects all faults.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn read(mut self) -> Vec<Diagnostic> {
        let text = self.text;
        match DeTable::parse(text) {
            Ok(table) => self.top(table.get_ref()),
            Err(error) => {
                let said = error.message().to_owned();
                let fault = Diagnostic::error(
                    "MC090",
                    format!("不是合法的 TOML：{said}"),
                    format!("not valid TOML: {said}"),
                );
                self.fault(fault, error.span().unwrap_or(0..0));
            }
        }
        self.faults.sort_by_key(|f| f.place.line);
        self.faults
    }

    fn top(&mut self, table: &DeTable<'_>) {
        let mut known: Vec<&str> = KEYS.iter().map(|k| k.path.split('.').next().unwrap_or(k.path)).collect();
        known.extend(["sources", "params"]);
        known.extend(night::GROUPS);
        known.dedup();
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("sources", DeValue::Array(entries)) => {
                    for entry in entries.iter() {
                        self.source(entry);
                    }
                }
                ("params", DeValue::Table(rules)) => self.params(rules),
                ("ledger", DeValue::Table(inner)) => self.ledger(inner),
                (group, _) if night::GROUPS.contains(&group) => self.night(group, value),
                (
                    group @ ("office" | "paths" | "export" | "nightly" | "retention"),
                    DeValue::Table(inner),
                ) => {
                    let keys: Vec<&str> =
                        KEYS.iter().filter_map(|k| k.path.strip_prefix(group)?.strip_prefix('.')).collect();
                    for (name, value) in inner {
                        let full = format!("{group}.{}", name.get_ref());
                        self.plain(&full, name, value, &keys);
                    }
                }
                (
                    "sources" | "params" | "office" | "paths" | "export" | "ledger" | "nightly" | "retention",
                    other,
                ) => {
                    let got = other.type_str();
                    let wanted = if name.get_ref() == "sources" {
                        "[[sources]]".to_owned()
                    } else {
                        format!("[{}]", name.get_ref())
                    };
                    let fault = Diagnostic::error(
                        "MC092",
                        format!("需要写成 `{wanted}`，但得到 {got}"),
                        format!("wanted `{wanted}`, got {got}"),
                    );
                    self.fault(fault, value.span());
                }
                (key, _) => self.plain(key, name, value, &known),
            }
        }
    }

    fn plain(
        &mut self,
        full: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        known: &[&str],
    ) {
        let full = places::present_name(full);
        let Some(key) = KEYS.iter().find(|k| k.path == full) else {
            self.unknown(name, known);
            return;
        };
        let Some(mut text) = plain_text(value.get_ref()) else {
            let got = value.get_ref().type_str();
            let fault = Diagnostic::error(
                "MC092",
                format!("需要一个值，但得到 {got}"),
                format!("wanted a plain value, got {got}"),
            );
            self.fault(fault, value.span());
            return;
        };
        if let Some((zh, en)) = key.kind.fault(&text) {
            self.fault(Diagnostic::error("MC092", zh, en), value.span());
            return;
        }
        if key.kind == Kind::Path {
            text = self.path.parent().unwrap_or(Path::new("")).join(&text).to_string_lossy().into_owned();
        }
        let origin = Origin::File(self.path.to_path_buf(), self.line(value.span().start));
        if let Some(other) = self.config.values.get(key.path).filter(|other| other.text != text) {
            let fault = places::said_twice(key.path, &other.text, &text);
            self.fault(fault, value.span());
            return;
        }
        self.config.values.insert(key.path, Setting { text, origin });
    }

    fn source(&mut self, entry: &Spanned<DeValue<'_>>) {
        let Some(table) = entry.get_ref().as_table() else {
            let fault = Diagnostic::error("MC092", "需要写成 `[[sources]]`", "wanted `[[sources]]`");
            self.fault(fault, entry.span());
            return;
        };
        let mut source = FileMapping::default();
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            if !SOURCE_KEYS.contains(&word) {
                self.unknown(name, SOURCE_KEYS);
                continue;
            }
            let text = plain_text(value.get_ref()).unwrap_or_default();
            if let Some((zh, en)) = set_source(&mut source, word, &text) {
                let fault = Diagnostic::error(
                    "MC092",
                    format!("需要{zh}，但得到 `{text}`"),
                    format!("wanted {en}, got `{text}`"),
                );
                self.fault(fault, value.span());
            }
        }
        if source.pattern.is_empty() {
            let fault = Diagnostic::error("MC092", "`[[sources]]` 需要 `path`", "`[[sources]]` needs `path`");
            self.fault(fault, entry.span());
            return;
        }
        self.config.sources.push(source);
    }

    fn params(&mut self, rules: &DeTable<'_>) {
        for (rule, value) in rules {
            let Some(table) = value.get_ref().as_table() else {
                let id = rule.get_ref();
                let fault = Diagnostic::error(
                    "MC092",
                    format!("需要写成 `[params.{id}]`"),
                    format!("wanted `[params.{id}]`"),
                );
                self.fault(fault, value.span());
                continue;
            };
            for (name, value) in table {
                match scalar(value.get_ref()) {
                    Some(scalar) => {
                        let rule = self.config.params.entry(rule.get_ref().to_string()).or_default();
                        rule.insert(name.get_ref().to_string(), scalar);
                    }
                    None => {
                        let fault = Diagnostic::error(
                            "MC092",
                            "参数需要整数、文字、日期、true 或 false；小数请写成文字，如 \"0.3\"",
                            "a parameter must be a whole number, text, a date, true or false; write decimals as text, such as \"0.3\"",
                        );
                        self.fault(fault, value.span());
                    }
                }
            }
        }
    }

    fn ledger(&mut self, table: &DeTable<'_>) {
        let mut known: Vec<&str> = KEYS.iter().filter_map(|k| k.path.strip_prefix("ledger.")).collect();
        known.extend(["deadlines", "handlers", "people"]);
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("deadlines", DeValue::Table(days)) => self.deadlines(days),
                (list @ ("handlers" | "people"), DeValue::Array(entries)) => {
                    for entry in entries.iter() {
                        self.person(list, entry);
                    }
                }
                (word @ ("deadlines" | "handlers" | "people"), _) => {
                    let wanted = if word == "deadlines" {
                        "[ledger.deadlines]".to_owned()
                    } else {
                        format!("[[ledger.{word}]]")
                    };
                    let fault = Diagnostic::error(
                        "MC092",
                        format!("需要写成 `{wanted}`"),
                        format!("wanted `{wanted}`"),
                    );
                    self.fault(fault, value.span());
                }
                (word, _) => {
                    let full = format!("ledger.{word}");
                    self.plain(&full, name, value, &known);
                }
            }
        }
    }

    fn deadlines(&mut self, days: &DeTable<'_>) {
        for (name, value) in days {
            let class = name.get_ref().as_ref();
            let (severity, grade) = class.split_once('/').unwrap_or((class, "A"));
            let days = plain_text(value.get_ref()).and_then(|text| text.parse::<u32>().ok());
            let known = Severity::parse(severity).is_some() && ["A", "B", "C"].contains(&grade);
            match days.filter(|days| known && (1..=3660).contains(days)) {
                Some(days) => drop(self.config.deadlines.insert(class.to_owned(), days)),
                None => {
                    let fault = Diagnostic::error(
                        "MC092",
                        "期限需要写成 `级别 = 天数` 或 `\"级别/等级\" = 天数`，如 `\"high/A\" = 10`",
                        "a deadline is `severity = days` or `\"severity/grade\" = days`, such as `\"high/A\" = 10`",
                    );
                    self.fault(fault, value.span());
                }
            }
        }
    }

    fn person(&mut self, list: &str, entry: &Spanned<DeValue<'_>>) {
        let known = if list == "people" { PERSON_KEYS } else { HANDLER_KEYS };
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in entry.get_ref().as_table().into_iter().flatten() {
            let word = name.get_ref().as_ref();
            if !known.contains(&word) {
                self.unknown(name, known);
                continue;
            }
            let texts: Vec<String> = match value.get_ref() {
                DeValue::Array(all) if word == "areas" => {
                    all.iter().filter_map(|v| plain_text(v.get_ref())).collect()
                }
                other => plain_text(other).into_iter().collect(),
            };
            if texts.iter().any(|text| text.trim().is_empty()) {
                let fault = Diagnostic::error(
                    "MC092",
                    format!("`{word}` 需要一个值，但得到空白；空的区划会被当作全部区划"),
                    format!("`{word}` wants a value, got a blank one; an empty area would be every area"),
                );
                self.fault(fault, value.span());
                continue;
            }
            fields.insert(word.to_owned(), texts);
        }
        let mut first = |key: &str| fields.remove(key).and_then(|texts| texts.into_iter().next());
        let (name, area, agency, home) = (first("name"), first("area"), first("agency"), first("home"));
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
            let fault = Diagnostic::error(
                "MC092",
                format!("`[[ledger.{list}]]` 需要 `name`"),
                format!("`[[ledger.{list}]]` needs `name`"),
            );
            self.fault(fault, entry.span());
            return;
        };
        match list {
            "people" => {
                let areas = fields.remove("areas").unwrap_or_default();
                self.config.people.push(Investigator { name, areas, home });
            }
            _ => self.config.handlers.push(Handler { name, area, agency }),
        }
    }

    fn unknown(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str]) {
        let word = name.get_ref().as_ref();
        let mut fault =
            Diagnostic::error("MC091", format!("不认识配置项 `{word}`"), format!("unknown setting `{word}`"));
        fault = match nearest(word, known.iter().copied()) {
            Some(near) => {
                fault.with_help(format!("是不是要写 `{near}`？"), format!("did you mean `{near}`?"))
            }
            None => fault.with_help(
                format!("可用的有：{}", known.join("、")),
                format!("known are: {}", known.join(", ")),
            ),
        };
        self.fault(fault, name.span());
    }

    fn fault(&mut self, fault: Diagnostic, span: Range<usize>) {
        let line = self.line(span.start);
        self.faults.push(fault.in_file(self.path.display()).at_line(line).over(span));
    }

    fn line(&self, byte: usize) -> u64 {
        1 + self.text.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count() as u64
    }
}

/// Sets one key of a `[[sources]]` entry; what was wanted where `text` will not do.
fn set_source(source: &mut FileMapping, key: &str, text: &str) -> Option<(&'static str, &'static str)> {
    let filled = (!text.trim().is_empty()).then(|| text.to_owned());
    let (good, wanted) = match key {
        "header_row" => {
            source.header_row = text.parse().ok().filter(|n| *n >= 1);
            (source.header_row.is_some(), ("从 1 起的行号", "a row number from 1"))
        }
        "delimiter" => {
            let mut chars = text.chars();
            source.delimiter = chars.next().filter(|c| c.is_ascii() && chars.next().is_none());
            (
                source.delimiter.is_some(),
                ("单个 ASCII 字符，如 \"|\" 或 \"\\t\"", "one ASCII character, such as \"|\" or \"\\t\""),
            )
        }
        "as_of" => {
            source.as_of = parse_date(text);
            (source.as_of.is_some(), (" YYYY-MM-DD 形式的日期", "a date as YYYY-MM-DD"))
        }
        "overlap" => {
            source.accept_overlap = text == "accept";
            (source.accept_overlap, ("“accept”", "`accept`"))
        }
        "path" => {
            source.pattern = text.to_owned();
            (filled.is_some(), ("文件或通配符", "a file or a pattern"))
        }
        _ => {
            let good = filled.is_some();
            match key {
                "dataset" => source.dataset = filled,
                "encoding" => source.encoding = filled,
                _ => source.sheet = filled,
            }
            (good, ("文字", "text"))
        }
    };
    (!good).then_some(wanted)
}

fn plain_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(value) => Some(value.to_string()),
        DeValue::Float(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn scalar(value: &DeValue<'_>) -> Option<Scalar> {
    match value {
        DeValue::Boolean(value) => Some(Scalar::Bool(*value)),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(Scalar::Int)
        }
        other => plain_text(other).map(Scalar::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<Diagnostic>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        fs::write(&file, text).unwrap();
        let env: BTreeMap<String, String> =
            env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(Some(&file), |name| env.get(name).cloned())
    }

    #[test]
    fn flag_stands_before_environment_before_file_before_default() {
        let config = read("memory = '1GiB'\nthreads = 3\n", &[("MINGCHA_MEMORY", "512MB")]).unwrap();
        assert_eq!(config.setting("memory", Some("4GB".into())).unwrap().origin, Origin::Flag);
        assert_eq!(config.size("memory", Some("4GB")).unwrap(), Some(4_000_000_000));
        assert_eq!(config.setting("memory", None).unwrap().origin, Origin::Env("MINGCHA_MEMORY"));
        assert_eq!(config.size("memory", None).unwrap(), Some(512_000_000));
        assert!(matches!(config.setting("threads", None).unwrap().origin, Origin::File(_, 2)));
        assert_eq!(config.count("threads", None).unwrap(), Some(3));
        let bare = read("", &[]).unwrap();
        assert_eq!(
            bare.setting("memory", None).unwrap(),
            Setting { text: "2GiB".into(), origin: Origin::Default }
        );
        assert_eq!(bare.setting("fail_on", None), None);
    }

    #[test]
    fn paths_of_the_file_are_relative_to_the_file() {
        let config = read("[paths]\ndata = 'extracts'\n", &[]).unwrap();
        let file = config.file.clone().unwrap();
        assert_eq!(config.path("paths.data", None).unwrap(), file.parent().unwrap().join("extracts"));
        assert_eq!(config.path("paths.data", Some(Path::new("here"))).unwrap(), PathBuf::from("here"));
    }

    #[test]
    fn a_misspelt_setting_is_an_error_with_the_right_spelling() {
        let faults =
            read("memroy = '1GiB'\n[paths]\nstor = 'x'\n[[sources]]\npath = 'a'\ndatset = 'b'\n", &[])
                .unwrap_err();
        let lines: Vec<_> =
            faults.iter().map(|d| (d.place.line.unwrap(), d.help.clone().unwrap().en)).collect();
        assert_eq!(
            lines,
            [
                (1, "did you mean `memory`?".to_owned()),
                (3, "did you mean `store`?".to_owned()),
                (6, "did you mean `dataset`?".to_owned())
            ]
        );
    }

    #[test]
    fn wrong_values_are_named_in_both_languages() {
        let faults = read(
            "as_of = '2026-02-30'\nthreads = 0\nlang = 'fr'\nmemory = 1.5\n",
            &[("MINGCHA_FAIL_ON", "grave")],
        )
        .unwrap_err();
        let said: Vec<_> = faults.iter().map(|d| d.message.en.as_str()).collect();
        assert_eq!(
            said,
            [
                "wanted a date as YYYY-MM-DD, got `2026-02-30`",
                "wanted a whole number from 1, got `0`",
                "wanted zh or en, got `fr`",
                "wanted a plain value, got float",
                "environment variable `MINGCHA_FAIL_ON`: wanted info, low, medium, high or critical, got `grave`",
            ]
        );
        assert!(faults.iter().all(|d| d.message.zh != d.message.en));
    }

    #[test]
    fn sources_and_parameters_are_read() {
        let config = read(
            "[[sources]]\npath = '发放*.csv'\ndataset = 'pension_payments'\nencoding = 'gb18030'\nheader_row = 2\ndelimiter = '|'\nas_of = 2026-10-31\n[params.PEN-01]\ngrace_months = 2\n",
            &[],
        )
        .unwrap();
        let source = &config.sources[0];
        assert_eq!(
            (source.pattern.as_str(), source.header_row, source.delimiter),
            ("发放*.csv", Some(2), Some('|'))
        );
        assert_eq!(source.as_of, NaiveDate::from_ymd_opt(2026, 10, 31));
        assert_eq!(config.params["PEN-01"]["grace_months"], Scalar::Int(2));
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            if let Some(default) = key.default {
                assert_eq!(key.kind.fault(default), None, "{}", key.path);
            }
        }
    }

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        for (text, bytes) in [
            ("512MB", Some(512_000_000)),
            ("4GiB", Some(4 << 30)),
            ("1.5 GiB", Some(3 << 29)),
            ("2g", Some(2 << 30)),
            ("1048576", Some(1 << 20)),
            ("", None),
            ("GiB", None),
            ("1.GiB", None),
            ("-1GB", None),
            ("3 apples", None),
            ("99999999999999TB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
