//! Files and folders that only their owner may open, whatever the process would give to others by default. Where the
//! system knows no such rights (Windows), the rights of the folder above count.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// A file that only its owner reads and writes; one that is there is emptied and keeps its rights.
///
/// # Errors
/// Where the disk refuses.
pub fn file(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

/// The same, where nothing of that name may be there.
///
/// # Errors
/// Where there is a file of that name, or the disk refuses.
pub fn new_file(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

/// A new folder that only its owner may open.
///
/// # Errors
/// Where something of that name is there, or the disk refuses.
pub fn new_folder(path: &Path) -> io::Result<()> {
    builder().create(path)
}

/// The folder and those above it, as far as they are not there; new ones only for their owner.
///
/// # Errors
/// Where the disk refuses.
pub fn folders(path: &Path) -> io::Result<()> {
    builder().recursive(true).create(path)
}

/// A folder for the time of the work, taken away when dropped.
///
/// # Errors
/// Where the disk refuses.
pub fn temporary(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o700));
    }
    builder.tempdir_in(parent)
}

/// Takes from a file what others may do with it, where whoever wrote it asks the system for a file like any other.
///
/// # Errors
/// Where the disk refuses.
pub fn make_private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}
