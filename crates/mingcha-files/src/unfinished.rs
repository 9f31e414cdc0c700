//! Folders of unfinished work: hidden, beside their final place, for their owner only, and with a mark inside that says
//! whose they are. What a killed process left is known by that mark and by nothing else: a name alone proves nothing,
//! and a link is never followed. Knows nothing of what is written in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::private;

/// The mark. A process that dies right after the folder got its name leaves it there; it means nothing then.
pub const MARK: &str = ".mingcha-unfinished";
const TEXT: &[u8] = b"mingcha unfinished 1\n";

/// A new, marked, hidden folder beside the final place. Unique by trying: no clock and no chance is needed.
///
/// # Errors
/// Where the disk refuses.
pub fn create(parent: &Path, name: &str, what: &str) -> io::Result<PathBuf> {
    let process = std::process::id();
    for attempt in 0_u32.. {
        let path = parent.join(format!(".{name}.{what}-{process}-{attempt}"));
        match private::new_folder(&path) {
            Ok(()) => {
                mark(&path)?;
                return Ok(path);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("no free name"))
}

/// Puts the mark into a folder that was made otherwise.
///
/// # Errors
/// Where the disk refuses.
pub fn mark(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(MARK), TEXT)
}

/// Whether the folder is one that bears the mark and nobody finished: no link, and the mark in it.
#[must_use]
pub fn is_ours(folder: &Path) -> bool {
    let is = |path: &Path, folder: bool| {
        path.symlink_metadata().is_ok_and(|meta| if folder { meta.is_dir() } else { meta.is_file() })
    };
    let mark = folder.join(MARK);
    is(folder, true)
        && is(&mark, false)
        && fs::read(&mark).is_ok_and(|text| text == TEXT || (text.is_empty() && is_alone(folder)))
}

/// Whoever made it died before the mark was written.
fn is_alone(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.count() == 1)
}

/// Whether a file of this name and content is the mark.
#[must_use]
pub fn is_mark(name: &str, sha256: Option<&str>) -> bool {
    let sum = || Sha256::digest(TEXT).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    name == MARK && sha256.is_none_or(|sha256| sha256 == sum())
}

/// The work is done, and the folder has its name.
///
/// # Errors
/// Where the disk refuses.
pub fn finish(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(MARK))
}

/// The work is done elsewhere, or given up: the folder goes with all that is in it.
///
/// # Errors
/// Where the folder does not bear the mark, or the disk refuses.
pub fn discard(folder: &Path) -> io::Result<()> {
    if is_ours(folder) {
        fs::remove_dir_all(folder)
    } else {
        Err(io::Error::other("not marked as unfinished"))
    }
}

/// Takes away what killed processes left of the work called `what` on `name`, see [`sweep_named`].
///
/// # Errors
/// Where the disk refuses.
pub fn sweep(parent: &Path, name: &str, what: &str) -> io::Result<Vec<PathBuf>> {
    sweep_named(parent, &format!(".{name}.{what}-"))
}

/// Takes away marked folders in `parent` whose name begins with `begun`. Only for who knows that nobody else is at
/// it. Gives what looks so and bears no mark: that is left alone.
///
/// # Errors
/// Where the disk refuses.
pub fn sweep_named(parent: &Path, begun: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut left = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(begun) {
            continue;
        }
        if is_ours(&entry.path()) {
            fs::remove_dir_all(entry.path())?;
        } else if fs::remove_dir(entry.path()).is_err() {
            // An empty folder is nobody's work: its maker died before it could mark it.
            left.push(entry.path());
        }
    }
    left.sort();
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_the_mark_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let killed = create(dir.path(), "tonight", "partial").unwrap();
        fs::write(killed.join("findings.parquet"), "half").unwrap();
        let foreign = dir.path().join(".tonight.partial-letters");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("letter"), "dear").unwrap();
        #[cfg(unix)]
        {
            let marked = create(dir.path(), "other", "partial").unwrap();
            std::os::unix::fs::symlink(&marked, dir.path().join(".tonight.partial-link")).unwrap();
        }
        let left = sweep(dir.path(), "tonight", "partial").unwrap();
        assert!(!killed.exists());
        assert!(left.contains(&foreign) && foreign.join("letter").exists());
        #[cfg(unix)]
        assert!(dir.path().join(".tonight.partial-link/.mingcha-unfinished").exists());
    }
}
