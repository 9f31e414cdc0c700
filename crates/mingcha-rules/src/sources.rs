//! Where rules and contracts come from: folders, or texts embedded in the binary. The only module of the
//! rule language that touches the disk. Knows file places and names, nothing of what the files say.
//!
//! A file has one known place: `datasets/<name>.yaml`, `rules/<pack>/pack.yaml`,
//! `rules/<pack>/<ID>-<fault>.yaml` (with its `.sql`), `rules/<pack>/views/<name>.yaml`. A YAML or SQL file
//! anywhere else in these folders is refused by name rather than passed over: whoever wrote it believes that
//! it runs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;

/// Greatest size of a file, bytes.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Folders below `rules` or `datasets` that are looked into (for misplaced files).
const MAX_FOLDERS_DEEP: usize = 4;

/// What a file is, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    Contract,
    Pack,
    View,
    Rule,
    Sql,
}

/// One file: where it stands and its text.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) kind: FileKind,
    /// As the user would name it.
    pub(crate) file: String,
    /// Folder below `rules`; empty for contracts.
    pub(crate) pack: String,
    /// File name without `.yaml` or `.sql`.
    pub(crate) stem: String,
    pub(crate) text: String,
    /// 0 is the layer on top. SQL files belong to rules of their own layer.
    pub(crate) layer: usize,
}

impl SourceFile {
    /// What stands before or behind another layer's file of the same name. Taken from the file name and not
    /// from the text: a broken rule of a workspace must not let the built-in one run in its place.
    fn identity(&self) -> &str {
        match self.kind {
            FileKind::Pack => &self.pack,
            FileKind::Rule | FileKind::Sql => rule_id_of(&self.stem).unwrap_or(&self.stem),
            FileKind::Contract | FileKind::View => &self.stem,
        }
    }
}

/// The rule id at the head of a file stem: `PEN-01` of `PEN-01-paid-after-death`.
pub(crate) fn rule_id_of(stem: &str) -> Option<&str> {
    let (prefix, rest) = stem.split_once('-')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let shaped = (2..=5).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_uppercase())
        && (2..=3).contains(&digits)
        && (digits == rest.len() || rest[digits..].starts_with('-'));
    shaped.then(|| &stem[..prefix.len() + 1 + digits])
}

/// Files to be loaded, and what was wrong with getting them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) faults: Vec<Diagnostic>,
}

impl Sources {
    /// The files of a rules folder and a datasets folder. A folder that is not given has no files; one that
    /// is given and cannot be read is a fault, reported by [`crate::load`] with all others.
    pub fn from_dirs(rules: Option<&Path>, datasets: Option<&Path>) -> Self {
        let mut sources = Self::default();
        for (root, top) in [(datasets, "datasets"), (rules, "rules")] {
            let Some(root) = root else { continue };
            match root.canonicalize() {
                Ok(real) => {
                    let mut walk = Walk { real_root: real, shown_root: root, top, sources: &mut sources };
                    walk.folder(root, &mut Vec::new());
                }
                Err(error) => sources.faults.push(unreadable(root, &error)),
            }
        }
        sources
    }

    /// Files given as (path, text), such as `("rules/pension/pack.yaml", "...")`. They are shown as
    /// `built-in:rules/pension/pack.yaml`.
    pub fn from_embedded<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sources = Self::default();
        let mut files: Vec<(&str, &str)> = files.into_iter().collect();
        files.sort_unstable();
        for (path, text) in files {
            let shown = format!("built-in:{path}");
            let mut parts = path.split(['/', '\\']).filter(|p| !p.is_empty());
            let top = parts.next().unwrap_or_default();
            let parts: Vec<&str> = parts.collect();
            sources.take(top, &parts, shown, || Ok(text.to_owned()));
        }
        sources
    }

    /// Both, where a file of `over` stands before the file of `under` for the same rule id, or the same name
    /// of view, contract or pack.
    pub fn layered(over: Self, under: Self) -> Self {
        let taken: BTreeSet<(FileKind, String)> =
            over.files.iter().map(|f| (f.kind, f.identity().to_owned())).collect();
        let mut out = over;
        let below = 1 + out.files.iter().map(|f| f.layer).max().unwrap_or(0);
        out.files.extend(
            under
                .files
                .into_iter()
                .filter(|f| {
                    // the SQL file of a rule goes with it
                    let kind = if f.kind == FileKind::Sql { FileKind::Rule } else { f.kind };
                    !taken.contains(&(kind, f.identity().to_owned()))
                })
                .map(|f| SourceFile { layer: f.layer + below, ..f }),
        );
        out.faults.extend(under.faults);
        out
    }

    /// Files of one kind, in order of their names.
    pub(crate) fn of(&self, kind: FileKind) -> impl Iterator<Item = &SourceFile> {
        let mut files: Vec<&SourceFile> = self.files.iter().filter(|f| f.kind == kind).collect();
        files.sort_by(|a, b| (a.layer, &a.pack, &a.stem, &a.file).cmp(&(b.layer, &b.pack, &b.stem, &b.file)));
        files.into_iter()
    }

    /// The SQL file called `name` in the folder of `rule`.
    pub(crate) fn sql_beside(&self, rule: &SourceFile, name: &str) -> Option<&SourceFile> {
        let stem = name.strip_suffix(".sql")?;
        self.files.iter().find(|f| {
            f.kind == FileKind::Sql && f.layer == rule.layer && f.pack == rule.pack && f.stem == stem
        })
    }

    /// Takes one file by its place below `top`, or says why not. Files of other kinds (`README.md`,
    /// schemas) are none of our business.
    fn take(
        &mut self,
        top: &str,
        parts: &[&str],
        shown: String,
        text: impl FnOnce() -> Result<String, Box<Diagnostic>>,
    ) {
        let Some(name) = parts.last() else { return };
        let Some((stem, extension)) = name.rsplit_once('.') else { return };
        if !matches!(extension, "yaml" | "yml" | "sql") {
            return;
        }
        let (kind, pack) = match (top, parts, extension) {
            ("datasets", [_], "yaml") => (FileKind::Contract, ""),
            ("rules", [pack, "pack.yaml"], _) => (FileKind::Pack, *pack),
            ("rules", [pack, _], "yaml") if rule_id_of(stem).is_some() => (FileKind::Rule, *pack),
            ("rules", [pack, _], "sql") if rule_id_of(stem).is_some() => (FileKind::Sql, *pack),
            ("rules", [pack, "views", _], "yaml") => (FileKind::View, *pack),
            _ => return self.faults.push(unknown_place(top, extension).in_file(shown)),
        };
        let (stem, pack) = (stem.to_owned(), pack.to_owned());
        match text() {
            Ok(text) => self.files.push(SourceFile { kind, file: shown, pack, stem, text, layer: 0 }),
            Err(fault) => {
                // an unreadable file still stands before the one of a lower layer
                self.faults.push(fault.in_file(&shown));
                self.files.push(SourceFile { kind, file: shown, pack, stem, text: String::new(), layer: 0 });
            }
        }
    }
}

fn unknown_place(top: &str, extension: &str) -> Diagnostic {
    let fault = Diagnostic::error(
        "MC010",
        "这个文件不在已知的位置，不会被读取",
        "this file is in no known place and would not be read",
    );
    if extension == "yml" {
        return fault.with_help("改用扩展名 .yaml", "use the extension .yaml");
    }
    if top == "datasets" {
        return fault.with_help("数据契约放在 datasets/<名称>.yaml", "contracts are datasets/<name>.yaml");
    }
    fault.with_help(
        "可用位置：rules/<规则包>/pack.yaml、<编号>-<问题>.yaml（及 .sql）、views/<名称>.yaml",
        "known places are rules/<pack>/pack.yaml, <ID>-<fault>.yaml (and .sql), views/<name>.yaml",
    )
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error("MC012", format!("无法读取：{error}"), format!("cannot be read: {error}"))
        .in_file(path.display())
        .with_help("检查路径和权限", "check the path and its permissions")
}

/// A walk over one folder of the user's.
struct Walk<'a> {
    real_root: PathBuf,
    shown_root: &'a Path,
    top: &'static str,
    sources: &'a mut Sources,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, below: &mut Vec<String>) {
        let mut names: Vec<String> = match fs::read_dir(path) {
            Ok(entries) => {
                entries.filter_map(Result::ok).filter_map(|e| e.file_name().into_string().ok()).collect()
            }
            Err(error) => return self.sources.faults.push(unreadable(path, &error)),
        };
        names.sort_unstable();
        for name in names {
            if name.starts_with('.') {
                continue;
            }
            let path = path.join(&name);
            let real = match path.canonicalize() {
                Ok(real) => real,
                Err(error) => {
                    self.sources.faults.push(unreadable(&path, &error));
                    continue;
                }
            };
            if !real.starts_with(&self.real_root) {
                self.sources.faults.push(
                    Diagnostic::error(
                        "MC011",
                        "符号链接指向文件夹之外",
                        "a symbolic link that leads out of the folder",
                    )
                    .in_file(path.display())
                    .with_help("把文件复制进来", "copy the file in"),
                );
                continue;
            }
            below.push(name);
            if real.is_dir() {
                if below.len() < MAX_FOLDERS_DEEP {
                    self.folder(&path, below);
                }
            } else {
                self.file(&path, below);
            }
            below.pop();
        }
    }

    fn file(&mut self, path: &Path, below: &[String]) {
        let parts: Vec<&str> = below.iter().map(String::as_str).collect();
        let shown = self.shown_root.join(parts.join("/")).display().to_string();
        self.sources.take(self.top, &parts, shown, || read_text(path));
    }
}

/// The text of a file of bounded size.
fn read_text(path: &Path) -> Result<String, Box<Diagnostic>> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Box::new(unreadable(path, &error)))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Box::new(Diagnostic::error(
            "MC008",
            format!("文件超过 {} KB", MAX_FILE_BYTES / 1024),
            format!("the file is larger than {} KB", MAX_FILE_BYTES / 1024),
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        let fault = Diagnostic::error("MC009", "文件不是 UTF-8 编码", "the file is not UTF-8");
        Box::new(fault.at_line(line as u64).with_help("另存为 UTF-8", "save it as UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken, and what is refused with which code, of files at these places.
    fn check(paths: &[&str], taken: &[&str], refused: &[(&str, &str)]) {
        let sources = Sources::from_embedded(paths.iter().map(|p| (*p, "x")));
        let got: Vec<&str> = sources.files.iter().map(|f| f.file.trim_start_matches("built-in:")).collect();
        assert_eq!(got, taken);
        let faults: Vec<(&str, &str)> = sources
            .faults
            .iter()
            .map(|f| (f.place.file.as_deref().unwrap().trim_start_matches("built-in:"), f.code.as_str()))
            .collect();
        assert_eq!(faults, refused);
    }

    #[test]
    fn files_in_known_places_are_taken() {
        check(
            &[
                "datasets/a.yaml",
                "rules/p/P-01-short-prefix.md",
                "rules/p/PEN-01-x.sql",
                "rules/p/PEN-01-x.yaml",
                "rules/p/PEN-01.yaml",
                "rules/p/pack.yaml",
                "rules/p/views/v.yaml",
                "rules/rule.schema.json",
            ],
            &[
                "datasets/a.yaml",
                "rules/p/PEN-01-x.sql",
                "rules/p/PEN-01-x.yaml",
                "rules/p/PEN-01.yaml",
                "rules/p/pack.yaml",
                "rules/p/views/v.yaml",
            ],
            &[],
        );
    }

    #[test]
    fn yaml_and_sql_files_anywhere_else_are_refused_by_name() {
        let misplaced = [
            "datasets/a.yml",
            "datasets/deep/a.yaml",
            "other/a.yaml",
            "rules/PEN-01-x.yaml",
            "rules/p/PEN-1-x.yaml",
            "rules/p/PEN-01-x.yml",
            "rules/p/PEN-01x.yaml",
            "rules/p/notes.yaml",
            "rules/p/pen-01-x.yaml",
            "rules/p/views/deep/v.yaml",
            "rules/p/views/v.sql",
        ];
        let mut refused: Vec<(&str, &str)> = misplaced.iter().map(|p| (*p, "MC010")).collect();
        refused.sort_unstable();
        check(&misplaced, &[], &refused);
    }

    #[test]
    fn an_upper_layer_stands_before_the_lower_by_id_and_name() {
        let upper = Sources::from_embedded([
            ("rules/p/PEN-01-mine.yaml", "mine"),
            ("rules/p/views/v.yaml", "mine"),
            ("datasets/a.yaml", "mine"),
        ]);
        let lower = Sources::from_embedded([
            ("rules/p/PEN-01-theirs.sql", "theirs"),
            ("rules/p/PEN-01-theirs.yaml", "theirs"),
            ("rules/p/PEN-02-theirs.sql", "theirs"),
            ("rules/p/PEN-02-theirs.yaml", "theirs"),
            ("rules/q/views/v.yaml", "theirs"),
            ("datasets/a.yaml", "theirs"),
            ("datasets/b.yaml", "theirs"),
            ("rules/p/pack.yaml", "theirs"),
        ]);
        let both = Sources::layered(upper, lower);
        let got: Vec<(&str, &str)> =
            [FileKind::Contract, FileKind::Pack, FileKind::View, FileKind::Rule, FileKind::Sql]
                .into_iter()
                .flat_map(|kind| both.of(kind))
                .map(|f| (f.stem.as_str(), f.text.as_str()))
                .collect();
        let wanted = [
            ("a", "mine"),
            ("b", "theirs"),
            ("pack", "theirs"),
            ("v", "mine"),
            ("PEN-01-mine", "mine"),
            ("PEN-02-theirs", "theirs"),
            ("PEN-02-theirs", "theirs"),
        ];
        assert_eq!(got, wanted);
    }

    #[test]
    fn folders_are_read_and_what_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir_all(rules.join("p/views")).unwrap();
        fs::write(rules.join("p/PEN-01-x.yaml"), "text").unwrap();
        fs::write(rules.join("p/PEN-02-x.yaml"), vec![b' '; 1 + MAX_FILE_BYTES as usize]).unwrap();
        fs::write(rules.join("p/PEN-03-x.yaml"), b"id: a\n\xff").unwrap();
        fs::write(rules.join("p/.hidden.yaml"), "").unwrap();
        let sources = Sources::from_dirs(Some(&rules), Some(&dir.path().join("none")));
        assert_eq!(sources.files.iter().filter(|f| f.text == "text").count(), 1);
        let faults: Vec<(&str, Option<u64>)> =
            sources.faults.iter().map(|f| (f.code.as_str(), f.place.line)).collect();
        assert_eq!(faults, [("MC012", None), ("MC008", None), ("MC009", Some(2))]);
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_the_folder_are_followed_and_links_out_of_it_refused() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir_all(rules.join("p")).unwrap();
        fs::write(dir.path().join("secret.yaml"), "secret").unwrap();
        fs::write(rules.join("p/PEN-01-x.yaml"), "text").unwrap();
        symlink(dir.path().join("secret.yaml"), rules.join("p/PEN-02-x.yaml")).unwrap();
        symlink(rules.join("p/PEN-01-x.yaml"), rules.join("p/PEN-03-x.yaml")).unwrap();
        symlink(rules.join("gone.yaml"), rules.join("p/PEN-04-x.yaml")).unwrap();
        symlink(&rules, rules.join("p/views")).unwrap();
        let sources = Sources::from_dirs(Some(&rules), None);
        let texts: Vec<(&str, &str)> =
            sources.of(FileKind::Rule).map(|f| (f.stem.as_str(), f.text.as_str())).collect();
        assert_eq!(texts, [("PEN-01-x", "text"), ("PEN-03-x", "text")]);
        let codes: BTreeSet<&str> = sources.faults.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, BTreeSet::from(["MC010", "MC011", "MC012"]));
        assert!(!format!("{:?}", sources.files).contains("secret"));
    }
}
