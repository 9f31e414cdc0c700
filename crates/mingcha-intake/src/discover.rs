//! Which files lie in the extracts folder, and which dataset each belongs to. Every file is taken by name or
//! refused by name: none is skipped in silence, because a skipped file is a missed case. Opens nothing but the
//! sidecar `delivery.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use mingcha_rules::diagnostic::Level;
use mingcha_rules::{Contract, Diagnostic};
use serde::{Deserialize, Serialize};

use crate::fault::nearest;
use crate::options::{FileMapping, PrepareOptions};

/// Kind of file, by its extension; what is really inside is looked at later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Tsv,
    Workbook,
}

/// One file that belongs to a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Relative to the extracts folder, with `/`.
    pub(crate) name: String,
    /// Dataset.
    pub(crate) dataset: String,
    /// Kind.
    pub(crate) format: Format,
    /// What the options say about it.
    pub(crate) mapping: FileMapping,
}

/// Days of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dates {
    /// Extract date.
    #[serde(default)]
    pub(crate) as_of: Option<NaiveDate>,
    /// First day covered.
    #[serde(default)]
    pub(crate) covers_from: Option<NaiveDate>,
    /// Last day covered.
    #[serde(default)]
    pub(crate) covers_to: Option<NaiveDate>,
}

/// What the folder holds.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// The files, in order of (dataset, path).
    pub(crate) files: Vec<Found>,
    /// Days by dataset, from `delivery.json`.
    pub(crate) dates: BTreeMap<String, Dates>,
    /// Files that are known and not data.
    pub(crate) notes: Vec<Diagnostic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    #[serde(default)]
    datasets: BTreeMap<String, Dates>,
}

/// Walks the extracts folder.
///
/// # Errors
/// Every file that cannot be placed, in one list.
pub(crate) fn discover(options: &PrepareOptions) -> Result<Discovery, Vec<Diagnostic>> {
    let mut walk = Walk {
        options,
        out: Discovery::default(),
        faults: Vec::new(),
        used: vec![false; options.mappings.len()],
    };
    walk.check_mappings();
    let root = match fs::canonicalize(&options.data) {
        Ok(root) => root,
        Err(e) => return Err(vec![unreadable(&options.data, &e)]),
    };
    walk.folder(&root, &root, &[]);
    walk.unused_mappings();
    if walk.out.files.is_empty() && walk.faults.is_empty() {
        walk.faults.push(nothing_there(&options.data));
    }
    if !walk.faults.is_empty() {
        return Err(walk.faults);
    }
    walk.out.files.sort_by(|a, b| (&a.dataset, &a.name).cmp(&(&b.dataset, &b.name)));
    Ok(walk.out)
}

/// The datasets whose files `faults` speak against: without these the others can be prepared. `None` where an error
/// is about no file, or about one that belongs to no dataset.
pub fn datasets_at_fault(options: &PrepareOptions, faults: &[Diagnostic]) -> Option<BTreeSet<String>> {
    let walk = Walk { options, out: Discovery::default(), faults: Vec::new(), used: Vec::new() };
    let root = fs::canonicalize(&options.data).ok()?;
    let mut out = BTreeSet::new();
    for fault in faults.iter().filter(|f| f.level == Level::Error) {
        let file = Path::new(fault.place.file.as_deref()?);
        let inner = file.strip_prefix(&root).or_else(|_| file.strip_prefix(&options.data)).unwrap_or(file);
        if inner.is_absolute() {
            return None;
        }
        let mut above: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let name = above.join("/");
        let file_name = above.pop()?;
        if !root.join(inner).is_file() || is_known_other(&file_name, &above) {
            return None;
        }
        let mapping = options.mappings.iter().find(|m| matches_pattern(&m.pattern, &name)).cloned();
        out.insert(walk.dataset(&name, &file_name, &above, &mapping.unwrap_or_default()).ok()?);
    }
    (!out.is_empty()).then_some(out)
}

struct Walk<'a> {
    options: &'a PrepareOptions,
    out: Discovery,
    faults: Vec<Diagnostic>,
    used: Vec<bool>,
}

impl Walk<'_> {
    fn check_mappings(&mut self) {
        for mapping in &self.options.mappings {
            if let Some(dataset) = &mapping.dataset
                && self.options.contracts.iter().all(|c| c.name != *dataset)
            {
                let fault = Diagnostic::error(
                    "MC609",
                    format!("映射 {} 指向未知的数据集 {dataset}", mapping.pattern),
                    format!("the mapping {} names the unknown dataset {dataset}", mapping.pattern),
                );
                self.faults.push(suggest_dataset(fault, &self.options.contracts, dataset));
            }
        }
    }

    fn unused_mappings(&mut self) {
        for (mapping, used) in self.options.mappings.iter().zip(&self.used) {
            if !used {
                self.faults.push(
                    Diagnostic::error(
                        "MC609",
                        format!("映射 {} 没有对应的文件", mapping.pattern),
                        format!("wanted a file for the mapping {}, got none", mapping.pattern),
                    )
                    .with_help("核对路径，或删除这条映射", "check the path, or remove the mapping"),
                );
            }
        }
    }

    /// One folder; `above` are the names of the folders down to it.
    fn folder(&mut self, root: &Path, folder: &Path, above: &[String]) {
        let mut entries: Vec<PathBuf> =
            match fs::read_dir(folder).and_then(|d| d.map(|e| e.map(|e| e.path())).collect()) {
                Ok(entries) => entries,
                Err(e) => {
                    self.faults.push(unreadable(folder, &e));
                    return;
                }
            };
        entries.sort();
        for path in entries {
            let Some(file_name) = path.file_name().and_then(|n| n.to_str()) else {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                let fault = refused("MC604", &name, "文件名不是合法的 UTF-8", "a name that is no UTF-8");
                self.faults.push(fault.with_help(
                    "多半由旧系统用 GBK 文件名打包：重命名该文件，或换支持 UTF-8 的工具重新解压",
                    "it was probably packed with GBK names: rename it, or unpack it again with a tool that knows UTF-8",
                ));
                continue;
            };
            let name = above.iter().map(String::as_str).chain([file_name]).collect::<Vec<_>>().join("/");
            let linked = fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            if linked && !inside(root, &path) {
                let fault = refused(
                    "MC608",
                    &name,
                    "指向数据目录之外的链接",
                    "a link that leads out of the extracts folder",
                );
                self.faults.push(fault.with_help("复制文件本身", "copy the file itself"));
            } else if path.is_dir() {
                if linked || file_name.starts_with('.') {
                    self.faults.push(refused(
                        "MC603",
                        &name,
                        "隐藏的或链接的文件夹",
                        "a hidden or linked folder",
                    ));
                } else {
                    let above: Vec<String> = above.iter().cloned().chain([file_name.to_owned()]).collect();
                    self.folder(root, &path, &above);
                }
            } else {
                self.file(&path, &name, file_name, above);
            }
        }
    }

    fn file(&mut self, path: &Path, name: &str, file_name: &str, above: &[String]) {
        if is_known_other(file_name, above) {
            if file_name == "delivery.json" {
                self.delivery(path, name);
            } else {
                self.out.notes.push(ignored(name));
            }
            return;
        }
        let place = self.options.mappings.iter().position(|m| matches_pattern(&m.pattern, name));
        if let Some(place) = place {
            self.used[place] = true;
        }
        let mapping = place.map(|p| self.options.mappings[p].clone()).unwrap_or_default();
        if !self.options.without.is_empty()
            && self.dataset(name, file_name, above, &mapping).is_ok_and(|d| self.options.without.contains(&d))
        {
            self.out.notes.push(left_out(name));
            return;
        }
        match self.placed(path, name, file_name, above, mapping) {
            Ok(found) => self.out.files.push(found),
            Err(fault) => self.faults.push(*fault),
        }
    }

    fn placed(
        &self,
        path: &Path,
        name: &str,
        file_name: &str,
        above: &[String],
        mapping: FileMapping,
    ) -> Result<Found, Box<Diagnostic>> {
        if is_temporary(file_name) {
            let fault =
                refused("MC603", name, "隐藏、临时或未传完的文件", "a hidden, temporary or unfinished file");
            return Err(Box::new(
                fault.with_help("等待传输完成，或删除它", "let the transfer finish, or delete it"),
            ));
        }
        let bytes = fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
        if bytes == 0 {
            let fault = refused("MC602", name, "0 字节的空文件", "an empty file of 0 bytes");
            return Err(Box::new(fault.with_help("请发送方重新导出", "have it exported again")));
        }
        let Some(format) = format_of(file_name) else {
            let fault = refused("MC604", name, "不认识的文件类型", "an unknown kind of file");
            return Err(Box::new(fault.with_help(
                "可用：parquet、csv、tsv、txt、xlsx、xls",
                "known: parquet, csv, tsv, txt, xlsx, xls",
            )));
        };
        let dataset = self.dataset(name, file_name, above, &mapping)?;
        Ok(Found { path: path.to_path_buf(), name: name.to_owned(), dataset, format, mapping })
    }

    /// The dataset that a mapping or the names say.
    fn dataset(
        &self,
        name: &str,
        file_name: &str,
        above: &[String],
        mapping: &FileMapping,
    ) -> Result<String, Diagnostic> {
        match &mapping.dataset {
            Some(dataset) => Ok(dataset.clone()),
            None => self.claimed(name, file_name, above),
        }
    }

    /// The dataset that the names say.
    fn claimed(&self, name: &str, file_name: &str, above: &[String]) -> Result<String, Diagnostic> {
        let contracts = &self.options.contracts;
        let stem = file_name.rsplit_once('.').map_or(file_name, |s| s.0);
        let mut claims: Vec<&str> = above.iter().filter_map(|folder| named(contracts, folder)).collect();
        claims.extend(named_by_stem(contracts, stem));
        claims.dedup();
        match claims.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => {
                let fault = refused("MC605", name, "没有数据集认领的文件", "a file that no dataset claims");
                Err(suggest_dataset(fault, contracts, above.last().map_or(stem, String::as_str)))
            }
            [a, b, ..] => Err(refused(
                "MC606",
                name,
                &format!("被两个数据集认领的文件：{a} 与 {b}"),
                &format!("a file that two datasets claim: {a} and {b}"),
            )
            .with_help(
                "移动或改名，或在 mingcha.toml 中写明映射",
                "move or rename it, or say it in a mapping of mingcha.toml",
            )),
        }
    }

    fn delivery(&mut self, path: &Path, name: &str) {
        let read = fs::read_to_string(path).map_err(|e| e.to_string());
        let parsed = read.and_then(|text| {
            let text = text.trim_start_matches('\u{feff}');
            serde_json::from_str::<Delivery>(text).map_err(|e| e.to_string())
        });
        match parsed {
            Ok(delivery) => {
                for dataset in delivery.datasets.keys() {
                    if self.options.contracts.iter().all(|c| c.name != *dataset) {
                        let fault = Diagnostic::error(
                            "MC611",
                            format!("未知的数据集 {dataset}"),
                            format!("unknown dataset {dataset}"),
                        );
                        self.faults.push(suggest_dataset(
                            fault.in_file(name),
                            &self.options.contracts,
                            dataset,
                        ));
                    }
                }
                self.out.dates = delivery.datasets;
            }
            Err(cause) => self.faults.push(
                Diagnostic::error(
                    "MC611",
                    format!("交付说明无法读取：{cause}"),
                    format!("the delivery note cannot be read: {cause}"),
                )
                .in_file(name)
                .with_help(
                    "形如 {\"datasets\":{\"pension_payments\":{\"as_of\":\"2026-03-31\"}}}",
                    "like {\"datasets\":{\"pension_payments\":{\"as_of\":\"2026-03-31\"}}}",
                ),
            ),
        }
    }
}

/// Files that may lie at the top of a delivery and are no data; and droppings of desktops, anywhere.
fn is_known_other(file_name: &str, above: &[String]) -> bool {
    if matches!(file_name, ".DS_Store" | "Thumbs.db" | "desktop.ini") {
        return true;
    }
    above.is_empty()
        && (matches!(file_name, "delivery.json" | "manifest.json" | "truth.parquet")
            || file_name.starts_with("README"))
}

fn is_temporary(file_name: &str) -> bool {
    let lower = file_name.to_lowercase();
    let ends = [".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", ".bak", "~"];
    file_name.starts_with(['.', '~', '_']) || ends.iter().any(|e| lower.ends_with(e))
}

fn format_of(file_name: &str) -> Option<Format> {
    let extension = file_name.rsplit_once('.')?.1.to_lowercase();
    Some(match extension.as_str() {
        "parquet" => Format::Parquet,
        "csv" | "txt" => Format::Csv,
        "tsv" => Format::Tsv,
        "xlsx" | "xls" => Format::Workbook,
        _ => return None,
    })
}

/// The names by which files and folders may call a dataset.
fn labels(contract: &Contract) -> impl Iterator<Item = &str> {
    [&contract.name, &contract.title.zh, &contract.title.en]
        .into_iter()
        .chain(&contract.aliases)
        .map(String::as_str)
        .filter(|label| !label.is_empty())
}

/// The dataset with this name, title or alias.
fn named<'a>(contracts: &'a [Contract], name: &str) -> Option<&'a str> {
    contracts.iter().find(|c| labels(c).any(|label| label == name)).map(|c| c.name.as_str())
}

/// What a desktop appends to the second copy of a file.
fn is_copy(rest: &str) -> bool {
    let lower = rest.to_lowercase();
    rest.contains(['(', '（']) || ["副本", "拷贝", "copy"].iter().any(|word| lower.contains(word))
}

/// Four digits of a year of this or the last century, then no fifth.
fn begins_with_year(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (rest.starts_with("19") || rest.starts_with("20")) && matches!(digits, 4 | 6 | 8)
}

/// The dataset that a stem names: itself, or followed by `-anything`, `_2025…`, a space and anything that does
/// not mark a copy, or a year. The longest name wins.
fn named_by_stem<'a>(contracts: &'a [Contract], stem: &str) -> Option<&'a str> {
    if let Some(name) = named(contracts, stem) {
        return Some(name);
    }
    let fits = |label: &str| {
        stem.strip_prefix(label).is_some_and(|rest| {
            let mut chars = rest.chars();
            match (chars.next(), chars.next()) {
                (Some('-'), Some(_)) => true,
                (Some('_'), Some(c)) => c.is_ascii_digit(),
                (Some(' ' | '\u{3000}'), Some(_)) => !is_copy(rest),
                (Some('1' | '2'), Some(_)) => begins_with_year(rest) && !is_copy(rest),
                _ => false,
            }
        })
    };
    contracts
        .iter()
        .filter_map(|c| labels(c).filter(|label| fits(label)).map(str::len).max().map(|len| (len, c)))
        .max_by_key(|(len, _)| *len)
        .map(|(_, c)| c.name.as_str())
}

fn inside(root: &Path, path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|target| target.starts_with(root))
}

/// `*` and `?` inside one name, `**` across folders.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    fn fits(p: &[char], n: &[char]) -> bool {
        match p {
            [] => n.is_empty(),
            ['*', '*', '/', rest @ ..] if fits(rest, n) => true,
            ['*', '*', rest @ ..] => (0..=n.len()).any(|i| fits(rest, &n[i..])),
            ['*', rest @ ..] => {
                let reach = n.iter().position(|c| *c == '/').unwrap_or(n.len());
                (0..=reach).any(|i| fits(rest, &n[i..]))
            }
            ['?', rest @ ..] => matches!(n, [c, tail @ ..] if *c != '/' && fits(rest, tail)),
            [c, rest @ ..] => matches!(n, [d, tail @ ..] if c == d && fits(rest, tail)),
        }
    }
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    fits(&p, &n)
}

fn refused(code: &str, name: &str, zh: &str, en: &str) -> Diagnostic {
    Diagnostic::error(
        code,
        format!("需要某个数据集的文件，实际为{zh}"),
        format!("wanted a file of a dataset, got {en}"),
    )
    .in_file(name)
}

fn suggest_dataset(fault: Diagnostic, contracts: &[Contract], got: &str) -> Diagnostic {
    let names = contracts
        .iter()
        .flat_map(|c| [&c.name, &c.title.zh].into_iter().chain(&c.aliases))
        .map(String::as_str);
    match nearest(got, names) {
        Some(near) => fault.with_help(
            format!("是否应为 {near}？文件名或文件夹名须与数据集一致，也可写映射"),
            format!("did you mean {near}? the file or its folder bears the name of the dataset, or a mapping says it"),
        ),
        None => fault.with_help(
            "文件名或文件夹名须与数据集一致，或在 mingcha.toml 中写映射；与数据无关的文件请移走",
            "name the file or its folder after the dataset, or write a mapping in mingcha.toml; move anything that is no data away",
        ),
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Diagnostic {
    Diagnostic::error(
        "MC601",
        format!("需要可以读取的文件或目录，实际无法读取：{cause}"),
        format!("wanted something that can be read, got: {cause}"),
    )
    .in_file(path.display())
    .with_help("检查路径和权限", "check the path and the rights")
}

fn nothing_there(path: &Path) -> Diagnostic {
    Diagnostic::error("MC610", "需要至少一个数据文件，实际没有", "wanted at least one extract, got none")
        .in_file(path.display())
        .with_help("把各单位提供的文件放进这个目录", "put the extracts into this folder")
}

fn left_out(name: &str) -> Diagnostic {
    Diagnostic::warning(
        "MC614",
        "按要求未读取：视同未交付",
        "left out as asked, as if it had not been delivered",
    )
    .in_file(name)
}

fn ignored(name: &str) -> Diagnostic {
    Diagnostic::warning("MC612", "不是数据，未读取", "not data, left alone").in_file(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_inside_one_name_unless_doubled() {
        for (pattern, name, fits) in [
            ("a.csv", "a.csv", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "x/a.csv", false),
            ("**/*.csv", "x/y/a.csv", true),
            ("**/*.csv", "a.csv", true),
            ("x/**", "x/y/a.csv", true),
            ("待遇?.xlsx", "待遇1.xlsx", true),
            ("x/*/a.csv", "x/y/a.csv", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), fits, "{pattern} {name}");
        }
    }
}
