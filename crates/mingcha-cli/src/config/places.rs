//! Whether the folders of the configuration can stand beside one another. What Mingcha makes, replaces and in the end
//! destroys (store, runs, lists) must not be, hold or lie in what it is given (extracts, rules, contracts, the ledger,
//! this configuration), nor in each other. Links are followed, because two names may be one folder. Also the settings
//! that had another name.

use std::path::{Component, Path, PathBuf};

use mingcha_rules::diagnostic::Diagnostic;

use super::{Config, Origin};

/// The present name of a setting.
pub(super) fn present_name(name: &str) -> &str {
    match name {
        "nightly.zone" => "office.zone",
        name => name,
    }
}

pub(super) fn said_twice(key: &str, one: &str, other: &str) -> Diagnostic {
    Diagnostic::error(
        "MC942",
        format!("`{key}` 写了两次且不同：`{one}`、`{other}`"),
        format!("`{key}` is given twice and differently: `{one}`, `{other}`"),
    )
    .with_help(
        "只保留 `[office]` 中的 `zone`；`nightly.zone` 是它以前的名称",
        "keep `zone` under `[office]` only; `nightly.zone` is what it was called before",
    )
}

/// A place of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its setting, as in `mingcha.toml`.
    pub(crate) key: String,
    /// Where it really is.
    pub(crate) path: PathBuf,
    /// Whether Mingcha makes what lies there, and may replace or destroy it.
    made: bool,
}

impl Place {
    /// A place where nothing may be replaced or destroyed.
    pub(crate) fn kept(key: &str, path: &Path) -> Self {
        Self { key: key.to_owned(), path: real(path), made: false }
    }
}

/// Every place that the configuration names.
pub(crate) fn places(config: &Config) -> Vec<Place> {
    let mut out = Vec::new();
    let mut add = |key: &str, path: Option<PathBuf>, made: bool| {
        out.extend(path.map(|path| Place { key: key.to_owned(), path: real(&path), made }));
    };
    let path = |key: &str| config.path(key, None);
    add("paths.store", path("paths.store"), true);
    add("paths.export", path("paths.export"), true);
    add("nightly.folder/runs", path("nightly.folder").map(|folder| folder.join("runs")), true);
    add("paths.run", path("paths.run"), true);
    for key in ["paths.data", "paths.rules", "paths.datasets", "ledger.path"] {
        add(key, path(key), false);
    }
    add(super::FILE, config.file.clone(), false);
    out
}

/// Places that are in each other's way.
pub(super) fn faults(config: &Config) -> Vec<Diagnostic> {
    let places = places(config);
    let mut out = Vec::new();
    for (nth, one) in places.iter().enumerate() {
        for other in &places[nth + 1..] {
            if dangerous(one, other) {
                out.push(in_the_way(config, one, other));
            }
        }
    }
    out
}

/// Of two places the first is always made, or neither is.
fn dangerous(one: &Place, other: &Place) -> bool {
    if !one.made {
        return false;
    }
    // The run that somebody works with is one of the nights.
    if one.key.ends_with("/runs") && other.key == "paths.run" && other.path != one.path {
        return one.path.starts_with(&other.path);
    }
    let holds_other = other.path.starts_with(&one.path);
    let in_other = one.path.starts_with(&other.path);
    holds_other || (in_other && (other.made || other.key == "paths.data"))
}

fn in_the_way(config: &Config, one: &Place, other: &Place) -> Diagnostic {
    let (a, b) = (&one.key, &other.key);
    let (zh, en) = if one.path == other.path {
        (format!("`{a}` 与 `{b}` 是同一处"), format!("`{a}` and `{b}` are the same place"))
    } else if other.path.starts_with(&one.path) {
        (format!("`{b}` 在 `{a}` 之内"), format!("`{b}` lies inside `{a}`"))
    } else {
        (format!("`{a}` 在 `{b}` 之内"), format!("`{a}` lies inside `{b}`"))
    };
    let mut fault = Diagnostic::error(
        "MC943",
        format!("{zh}：替换或销毁其中一处会连带另一处"),
        format!("{en}: replacing or destroying one would take the other"),
    )
    .with_help(
        "给每一处单独的文件夹，例如 extracts、store、nights、export，互不包含",
        "give each a folder of its own, none inside another, such as extracts, store, nights, export",
    );
    let keys = [a, b].map(|key| if key.ends_with("/runs") { "nightly.folder" } else { key.as_str() });
    let origin = keys.iter().find_map(|key| match config.values.get(key).map(|setting| &setting.origin) {
        Some(Origin::File(file, line)) => Some((file.clone(), *line)),
        _ => None,
    });
    if let Some((file, line)) = origin {
        fault = fault.in_file(file.display()).at_line(line);
    }
    fault
}

/// `path` without links, as far as it is there; without `.` and `..` beyond.
pub(crate) fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut there = whole.as_path();
    loop {
        if let Ok(real) = there.canonicalize() {
            return plain(&real, whole.strip_prefix(there).unwrap_or(Path::new("")));
        }
        match there.parent() {
            Some(parent) => there = parent,
            None => return plain(Path::new(""), &whole),
        }
    }
}

fn plain(from: &Path, rest: &Path) -> PathBuf {
    let mut out = from.to_path_buf();
    for part in rest.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(super::super::FILE);
        std::fs::write(&file, text).unwrap();
        match Config::read(Some(&file), |_| None) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|fault| fault.code).collect(),
        }
    }

    #[test]
    fn folders_that_are_in_each_others_way_are_refused() {
        for wrong in [
            "[paths]\nexport = '.'\n",
            "[paths]\ndata = 'in'\nstore = 'in/store'\n",
            "[paths]\ndata = 'in'\nexport = 'in'\n",
            "[paths]\nexport = 'out'\nstore = 'out/../out/store'\n",
            "[paths]\nexport = 'out'\n[nightly]\nfolder = 'out'\n",
            "[paths]\nexport = 'out'\nrun = 'out/run'\n",
            "[paths]\nstore = 'x'\n[ledger]\npath = 'x/ledger.sqlite'\n",
            "[paths]\nrules = 'x/rules'\nexport = 'x'\n",
            "[paths]\nrun = 'nights'\n[nightly]\nfolder = 'nights'\n",
        ] {
            assert!(codes(wrong).contains(&"MC943".to_owned()), "{wrong}");
        }
        for right in [
            "[paths]\ndata = 'in'\nstore = 'store'\nexport = 'out'\nrun = 'nights/runs/last'\nrules = 'rules'\n[ledger]\npath = 'ledger.sqlite'\n[nightly]\nfolder = 'nights'\n",
            "[paths]\ndata = 'in'\nstore = 'store'\n[nightly]\nfolder = '.'\n",
            "[paths]\ndata = '.'\n",
        ] {
            assert_eq!(codes(right), Vec::<String>::new(), "{right}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn two_names_of_one_folder_are_one_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::os::unix::fs::symlink("in", dir.path().join("lists")).unwrap();
        let file = dir.path().join(super::super::FILE);
        std::fs::write(&file, "[paths]\ndata = 'in'\nexport = 'lists'\n").unwrap();
        assert_eq!(Config::read(Some(&file), |_| None).unwrap_err()[0].code, "MC943");
    }

    #[test]
    fn the_zone_goes_by_its_earlier_name_too_and_by_one_value() {
        assert!(codes("[nightly]\nzone = 'Europe/Berlin'\n").is_empty());
        assert_eq!(codes("[nightly]\nzone = 'Europe/Berlin'\n[office]\nzone = 'Asia/Shanghai'\n"), ["MC942"]);
        assert_eq!(codes("[office]\nzone = 'Mars'\n"), ["MC092"]);
    }
}
