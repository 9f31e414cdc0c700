//! One writer per folder: a lock file beside the folder that is about to be written. Knows nothing of what
//! is written there.
//!
//! The lock is the operating system's: it goes with the process that holds it, however that process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use mingcha_rules::diagnostic::Diagnostic;

use crate::exit::{Exit, Failure};

/// Held while a folder is being written; let go when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder`, or says that somebody else holds it (exit code 6).
    pub(crate) fn take(folder: &Path) -> Result<Self, Failure> {
        let path = beside(folder);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| Failure::disk(parent, &e))?;
        }
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| Failure::disk(&path, &e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(taken(folder)),
                Err(TryLockError::Error(e)) => return Err(Failure::disk(&path, &e)),
            }
            // Whoever held it before may have removed the file between our opening and our locking.
            if same_file(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays behind does no harm: the lock itself goes with the handle.
        let _ = fs::remove_file(&self.path);
    }
}

fn taken(folder: &Path) -> Failure {
    let folder = folder.display();
    Failure::new(
        Exit::Locked,
        Diagnostic::error(
            "MC085",
            format!("需要独占 `{folder}`，但另一个 mingcha 正在写它"),
            format!("needed `{folder}` for itself, but another mingcha is writing it"),
        )
        .with_help("请等它结束，或换一个目录", "wait until it has finished, or choose another folder"),
    )
}

/// `runs/tonight` is locked by `runs/.tonight.lock`.
fn beside(folder: &Path) -> PathBuf {
    let name =
        folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| "mingcha".to_owned());
    folder.parent().unwrap_or(Path::new("")).join(format!(".{name}.lock"))
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_file: &File, _path: &Path) -> bool {
    true // an open file cannot be removed there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("tonight");
        let first = Lock::take(&out).unwrap();
        let second = Lock::take(&out).unwrap_err();
        assert_eq!(second.exit, Exit::Locked);
        drop(first);
        assert!(!beside(&out).exists());
        Lock::take(&out).unwrap();
    }
}
