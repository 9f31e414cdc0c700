//! What a folder of lists is known by: a hidden file in it that names every file which Mingcha put there, with size and
//! SHA-256. It is written before the first of them gets its name, so that a crash leaves a name without a file and never
//! a file without a name. Whoever cleans up later takes what stands here and is still the same, and nothing else: a list
//! that was filled in since is somebody's work. Knows nothing of lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use mingcha_files::private;
use mingcha_rules::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::fault;
use crate::record::Fields;
use crate::table::hash_file;

/// Its name.
pub const NAME: &str = ".mingcha-lists.json";
const FORMAT: &str = "mingcha-lists";
const VERSION: u32 = 1;

/// The files that Mingcha put into a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    format: String,
    version: u32,
    /// By path from the folder, with `/`; several times where one replaced another.
    files: BTreeMap<String, BTreeSet<Made>>,
    seal: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    sha256: String,
    bytes: u64,
}

impl Marks {
    fn new() -> Self {
        let format = FORMAT.to_owned();
        Self { format, version: VERSION, files: BTreeMap::new(), seal: String::new() }
    }

    /// What the content of the file says; none where it is no such file, of another version, or was changed by hand.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let marks: Self = serde_json::from_slice(bytes).ok()?;
        let whole = marks.format == FORMAT && marks.version == VERSION && marks.seal == marks.sealed();
        whole.then_some(marks)
    }

    /// Whether Mingcha put a file of this content there; `sha256`: none where only sizes were looked at.
    #[must_use]
    pub fn knows(&self, path: &str, bytes: u64, sha256: Option<&str>) -> bool {
        let same = |made: &Made| made.bytes == bytes && sha256.is_none_or(|sha256| made.sha256 == sha256);
        self.files.get(path).is_some_and(|made| made.iter().any(same))
    }

    /// Whether a file of this name was put there, whatever is in it now.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn sealed(&self) -> String {
        let mut hash = Fields::new("mingcha lists 1");
        for (path, made) in &self.files {
            for Made { sha256, bytes } in made {
                hash.add(path);
                hash.add(sha256);
                hash.add(&bytes.to_string());
            }
        }
        hash.finish()
    }
}

/// Adds `files`, by their path from the folder, each as it lies at its second place now, to what is known of `folder`.
pub(super) fn add<'f>(
    folder: &Path,
    files: impl Iterator<Item = (String, &'f Path)>,
) -> Result<(), Diagnostic> {
    let place = folder.join(NAME);
    let failed = |e: io::Error| fault::disk("MC811", ("保存导出文件", "save the export"), &place, &e);
    // One at a time; where a folder cannot be locked, nobody else can either.
    let turn = File::open(folder).map_err(failed)?;
    let _ = turn.lock();
    let mut marks = match fs::read(&place) {
        Ok(bytes) => Marks::parse(&bytes).ok_or_else(|| foreign(&place))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Marks::new(),
        Err(e) => return Err(failed(e)),
    };
    for (path, at) in files {
        let (sha256, bytes) = hash_file(at).map_err(failed)?;
        marks.files.entry(path).or_default().insert(Made { sha256, bytes });
    }
    marks.seal = marks.sealed();
    let text = serde_json::to_string(&marks).map_err(|e| failed(e.into()))?;
    let aside = folder.join(format!("{NAME}.new"));
    let write = || -> io::Result<()> {
        let mut file = private::file(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &place)
    };
    write().map_err(failed)
}

fn foreign(place: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC944",
        "应为明察记录本文件夹中各清单的文件，实际不是或已被改动",
        "wanted the file by which Mingcha knows its lists in this folder, got something else or a changed one",
    )
    .in_file(place.display())
    .with_help(
        "换一个输出文件夹；或移走这个文件，此前的清单就不再由 `mingcha purge` 销毁",
        "choose another folder; or move this file away, then `mingcha purge` leaves the earlier lists alone",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_there_is_known_and_what_was_changed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("findings.csv");
        fs::write(&list, "a").unwrap();
        add(dir.path(), [("findings.csv".to_owned(), list.as_path())].into_iter()).unwrap();
        fs::write(&list, "b").unwrap();
        add(dir.path(), [("areas/1.csv".to_owned(), list.as_path())].into_iter()).unwrap();
        let text = fs::read(dir.path().join(NAME)).unwrap();
        let marks = Marks::parse(&text).unwrap();
        let (a, _) = hash_file(&list).unwrap();
        assert!(marks.knows("areas/1.csv", 1, Some(&a)) && !marks.knows("findings.csv", 1, Some(&a)));
        assert!(marks.knows("findings.csv", 1, None) && !marks.knows("findings.csv", 2, None));
        let changed = String::from_utf8(text).unwrap().replace("areas/1.csv", "areas/2.csv");
        assert_eq!(Marks::parse(changed.as_bytes()), None);
    }
}
