//! One writer per folder: a lock file beside the folder that is about to be written. Knows nothing of what
//! is written there.
//!
//! The lock is the operating system's: it goes with the process that holds it, however that process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use mingcha_rules::diagnostic::Diagnostic;

use crate::exit::{Exit, Failure};

/// Tries before somebody else is taken to hold it.
const TRIES: u32 = 5;

/// Held while a folder is being written; let go when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder`, or says that somebody else holds it (exit code 6).
    pub(crate) fn take(folder: &Path) -> Result<Self, Failure> {
        Self::named(folder, "")
    }

    /// The same, leaving a word about the holder for whoever comes second.
    pub(crate) fn named(folder: &Path, holder: &str) -> Result<Self, Failure> {
        let path = beside(folder);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| Failure::disk(parent, &e))?;
        }
        let mut tries = 0;
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|e| Failure::disk(&path, &e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    // Whoever only asks whether it is held (`is_held`) holds it for a moment.
                    tries += 1;
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(taken(folder, &holder_of(&mut file))),
                Err(TryLockError::Error(e)) => return Err(Failure::disk(&path, &e)),
            }
            // Whoever held it before may have removed the file between our opening and our locking.
            if same_file(&file, &path) {
                // Best effort: the lock holds without the word.
                let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
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

/// Held by whoever reads `folder`, any number at a time, until it is dropped; none where the system locks no folders.
pub(crate) fn reading(folder: &Path) -> Option<File> {
    let open = File::open(folder).ok()?;
    open.try_lock_shared().is_ok().then_some(open)
}

/// Held by the one who destroys what is in `folder`, while nobody reads it; none where somebody does.
pub(crate) fn alone(folder: &Path) -> Result<Option<File>, Taken> {
    let Ok(open) = File::open(folder) else { return Ok(None) };
    match open.try_lock() {
        Ok(()) => Ok(Some(open)),
        Err(TryLockError::WouldBlock) => Err(Taken),
        // The system locks no folders: then nobody can hold one.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Somebody else reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken;

/// Whether somebody holds the lock of `folder` now. Nothing is made or taken away.
pub(crate) fn is_held(folder: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(beside(folder)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

fn holder_of(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn taken(folder: &Path, holder: &str) -> Failure {
    let folder = folder.display();
    let holder = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
    Failure::new(
        Exit::Locked,
        Diagnostic::error(
            "MC085",
            format!("需要独占 `{folder}`，但另一个 mingcha 正在写它{holder}"),
            format!("needed `{folder}` for itself, but another mingcha is writing it{holder}"),
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
