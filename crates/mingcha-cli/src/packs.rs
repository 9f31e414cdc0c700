//! Rules and contracts at hand: those shipped inside the binary, and before them those of the workspace.
//! Knows where they lie and in which order they stand; what they say is the business of `mingcha-rules`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use include_dir::{Dir, DirEntry, include_dir};
use mingcha_rules::diagnostic::{Diagnostic, Level};
use mingcha_rules::{Library, Sources};

use crate::args;
use crate::commands::Context;
use crate::exit::{Exit, Failure};

static RULES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../rules");
static DATASETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../datasets");

/// The shipped files as (path, text), such as `("rules/pension/pack.yaml", "...")`, in order of their paths.
pub(crate) fn shipped() -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    for (top, dir) in [("datasets", &DATASETS), ("rules", &RULES)] {
        collect(top, dir, &mut out);
    }
    out.sort();
    out
}

fn collect(top: &str, dir: &'static Dir<'static>, out: &mut Vec<(String, &'static str)>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(top, dir, out),
            DirEntry::File(file) => {
                let path = file.path().to_string_lossy().replace('\\', "/");
                if let Some(text) = file.contents_utf8() {
                    out.push((format!("{top}/{path}"), text));
                }
            }
        }
    }
}

/// Everything that can be used, and what is wrong with the rest.
pub(crate) struct Shelf {
    /// Rules, views and contracts that can be used.
    pub(crate) library: Library,
    /// Faults and warnings of all files.
    pub(crate) faults: Vec<Diagnostic>,
}

impl Shelf {
    /// Shipped files under those of `--rules` and `--datasets` (or of the configuration).
    pub(crate) fn open(context: &Context, packs: &args::Packs) -> Self {
        Self::over(context, packs, Sources::default())
    }

    /// The same under `top`.
    pub(crate) fn over(context: &Context, packs: &args::Packs, top: Sources) -> Self {
        let files = shipped();
        for (path, text) in &files {
            context.screen.remember(&format!("built-in:{path}"), text);
        }
        let embedded = Sources::from_embedded(files.iter().map(|(path, text)| (path.as_str(), *text)));
        let rules = context.config.path("paths.rules", packs.rules.as_deref());
        let datasets = context.config.path("paths.datasets", packs.datasets.as_deref());
        let own = Sources::from_dirs(rules.as_deref(), datasets.as_deref());
        let sources = Sources::layered(top, Sources::layered(own, embedded));
        let (library, faults) = mingcha_rules::load(&sources);
        Self { library, faults }
    }

    /// The same after the checks that need no data: what they refuse moves to the rules left out.
    pub(crate) fn settle(&mut self) {
        let (library, faults) = mingcha_rules::check::settle(std::mem::take(&mut self.library));
        self.library = library;
        self.faults.extend(faults);
    }

    /// Faults, but for those in files of rules that `only` leaves out. Empty: all.
    pub(crate) fn faults_of(&self, only: &[String]) -> Vec<Diagnostic> {
        let rules = self.library.rules.iter().map(|r| (&r.rule.id, r.file.as_str()));
        let lost = self.library.left_out.iter().map(|r| (&r.id, r.file.as_str()));
        let others: BTreeSet<&str> = rules
            .chain(lost)
            .filter(|(id, _)| !only.is_empty() && !only.contains(id))
            .map(|(_, file)| file)
            .collect();
        self.faults
            .iter()
            .filter(|f| f.place.file.as_deref().is_none_or(|file| !others.contains(file)))
            .cloned()
            .collect()
    }

    /// Whether anything must be mended.
    pub(crate) fn has_errors(&self) -> bool {
        self.faults.iter().any(|f| f.level == Level::Error)
    }

    /// The ids in `only`, in order and once; an unknown one is wrong usage.
    pub(crate) fn only(&self, only: &[String]) -> Result<Option<Vec<String>>, Failure> {
        if only.is_empty() {
            return Ok(None);
        }
        let known: BTreeSet<&str> = self
            .library
            .rules
            .iter()
            .map(|r| r.rule.id.as_str())
            .chain(self.library.left_out.iter().map(|r| r.id.as_str()))
            .collect();
        let wanted: BTreeSet<String> = only.iter().map(|id| id.trim().to_owned()).collect();
        let faults: Vec<Diagnostic> = wanted
            .iter()
            .filter(|id| !known.contains(id.as_str()))
            .map(|id| unknown_rule(id, &known))
            .collect();
        if faults.is_empty() {
            Ok(Some(wanted.into_iter().collect()))
        } else {
            Err(Failure { exit: Exit::Usage, diagnostics: faults })
        }
    }

    /// A wrong id, and the one that was probably meant.
    pub(crate) fn unknown(&self, id: &str) -> Failure {
        let known: BTreeSet<&str> = self.library.rules.iter().map(|r| r.rule.id.as_str()).collect();
        Failure::usage(unknown_rule(id, &known))
    }
}

fn unknown_rule(id: &str, known: &BTreeSet<&str>) -> Diagnostic {
    let fault = Diagnostic::error("MC096", format!("没有规则 `{id}`"), format!("there is no rule `{id}`"));
    match crate::config::nearest(id, known.iter().copied()) {
        Some(near) => fault.with_help(
            format!("是不是 `{near}`？全部规则见 `mingcha rules list`"),
            format!("did you mean `{near}`? all rules: `mingcha rules list`"),
        ),
        None => fault.with_help("全部规则见 `mingcha rules list`", "all rules: `mingcha rules list`"),
    }
}

/// The files and folders that a user names on the command line, as sources, and the test whether a file
/// belongs to them.
pub(crate) struct Named {
    /// What was named, with the rest of its pack.
    pub(crate) sources: Sources,
    paths: Vec<PathBuf>,
}

impl Named {
    /// Finds the rules and datasets folders that `paths` belong to.
    pub(crate) fn find(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut roots: Vec<(Option<PathBuf>, Option<PathBuf>)> = Vec::new();
        for path in paths {
            if !path.exists() {
                return Err(Failure::usage(Diagnostic::error(
                    "MC097",
                    format!("需要规则或契约的文件、目录，但 `{}` 不存在", path.display()),
                    format!(
                        "wanted a file or folder of rules or contracts, but `{}` does not exist",
                        path.display()
                    ),
                )));
            }
            for root in roots_of(path)? {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        let mut sources = Sources::default();
        for (rules, datasets) in &roots {
            sources = Sources::layered(sources, Sources::from_dirs(rules.as_deref(), datasets.as_deref()));
        }
        let real = |p: &PathBuf| std::fs::canonicalize(p).map_err(|e| Failure::disk(p, &e));
        Ok(Self { sources, paths: paths.iter().map(real).collect::<Result<_, _>>()? })
    }

    /// Whether `file` is one of those named, or lies below one.
    pub(crate) fn holds(&self, file: &str) -> bool {
        let inside = |real: PathBuf| self.paths.iter().any(|p| real.starts_with(p));
        self.paths.is_empty() || std::fs::canonicalize(file).is_ok_and(inside)
    }
}

type Roots = (Option<PathBuf>, Option<PathBuf>);

/// A workspace has `rules/` and `datasets/`; a rules folder has packs below it; a pack has `pack.yaml`;
/// everything else with YAML in it is a folder of contracts.
fn roots_of(path: &Path) -> Result<Vec<Roots>, Failure> {
    if path.is_file() {
        let folder = above(path);
        let in_views = std::fs::canonicalize(&folder).is_ok_and(|real| real.ends_with("views"));
        let pack = if in_views { above(&folder) } else { folder.clone() };
        return match (is_pack(&pack), looks_like_rule(path)) {
            (true, _) => Ok(vec![(Some(above(&pack)), None)]),
            (false, false) => Ok(vec![(None, Some(folder))]),
            (false, true) => Err(Failure::new(
                Exit::Rules,
                Diagnostic::error(
                    "MC098",
                    format!("规则 `{}` 需要放在规则包目录里（目录中有 pack.yaml）", path.display()),
                    format!(
                        "the rule `{}` must lie in the folder of a pack (one with pack.yaml)",
                        path.display()
                    ),
                ),
            )),
        };
    }
    if is_pack(path) {
        return Ok(vec![(Some(above(path)), None)]);
    }
    let (rules, datasets) = (path.join("rules"), path.join("datasets"));
    if rules.is_dir() || datasets.is_dir() {
        return Ok(vec![(Some(rules).filter(|p| p.is_dir()), Some(datasets).filter(|p| p.is_dir()))]);
    }
    let has_packs = std::fs::read_dir(path)
        .map_err(|e| Failure::disk(path, &e))?
        .filter_map(Result::ok)
        .any(|e| is_pack(&e.path()));
    Ok(vec![if has_packs { (Some(path.to_path_buf()), None) } else { (None, Some(path.to_path_buf())) }])
}

/// The folder that `path` lies in, also where the name alone was given.
fn above(path: &Path) -> PathBuf {
    match (path.file_name(), path.parent()) {
        (None, _) | (_, None) => path.join(".."),
        (Some(_), Some(parent)) if parent.as_os_str().is_empty() => PathBuf::from("."),
        (Some(_), Some(parent)) => parent.to_path_buf(),
    }
}

fn is_pack(folder: &Path) -> bool {
    folder.join("pack.yaml").is_file()
}

fn looks_like_rule(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.chars().next().is_some_and(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_rule_is_answered_with_the_nearest_one() {
        let fault = unknown_rule("PEN-1", &BTreeSet::from(["PEN-01", "MED-02"]));
        assert!(fault.help.unwrap().en.contains("`PEN-01`"));
    }

    #[test]
    fn a_rule_outside_a_pack_is_refused_and_one_inside_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let pack = dir.path().join("rules/own");
        std::fs::create_dir_all(&pack).unwrap();
        let rule = pack.join("OWN-01-x.yaml");
        std::fs::write(&rule, "").unwrap();
        assert_eq!(roots_of(&rule).unwrap_err().exit, Exit::Rules);
        std::fs::write(pack.join("pack.yaml"), "").unwrap();
        assert_eq!(roots_of(&rule).unwrap(), [(Some(dir.path().join("rules")), None)]);
        assert_eq!(roots_of(dir.path()).unwrap(), [(Some(dir.path().join("rules")), None)]);
    }
}
