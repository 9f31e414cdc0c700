//! Folders held open, so that what is looked at and what is destroyed is the same: everything below one is reached by
//! name from it and never through a link, and a link that is put in a folder's place meanwhile leads nobody elsewhere.
//! Knows no record.
//!
//! On Unix by `openat` and `unlinkat` (rustix; the standard library has no such calls). Elsewhere by path, with a look at
//! the thing itself before each step.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// By what a file is the same file as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change of its content and of itself.
    times: [i64; 4],
    /// How many names it has.
    pub(super) names: u64,
}

/// A folder that is held open.
#[derive(Debug)]
pub(super) struct Folder {
    #[cfg(unix)]
    fd: std::os::fd::OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Where it was when it was opened: for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that lies so many names below, each of them a folder and none a link.
    pub(super) fn below(&self, names: &Path) -> io::Result<Self> {
        let mut at = self.again()?;
        for name in names.components() {
            match name {
                Component::Normal(name) => at = at.folder(name)?,
                _ => return Err(io::Error::other("no name")),
            }
        }
        Ok(at)
    }
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

    use super::{File, Folder, Identity, Kind, OsString, Path, io};

    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    // A pipe that somebody put there must not keep us waiting.
    const FILE: OFlags =
        OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

    impl Folder {
        /// A folder that the configuration names: by its real path.
        pub(in super::super) fn root(path: &Path) -> io::Result<Self> {
            let fd = rustix::fs::open(path, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(Self { fd, path: path.to_path_buf() })
        }

        pub(in super::super) fn again(&self) -> io::Result<Self> {
            Ok(Self { fd: self.fd.try_clone()?, path: self.path.clone() })
        }

        /// A folder in it; a link is refused.
        pub(in super::super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
            let fd = rustix::fs::openat(&self.fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(Self { fd, path: self.path.join(name) })
        }

        /// A file in it; a link is refused.
        pub(in super::super) fn file(&self, name: &OsStr) -> io::Result<File> {
            let file = File::from(rustix::fs::openat(&self.fd, name, FILE, Mode::empty())?);
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no file")) }
        }

        /// What it holds, by name.
        pub(in super::super) fn entries(&self) -> io::Result<Vec<(OsString, Kind)>> {
            let mut out = Vec::new();
            for entry in Dir::read_from(&self.fd)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat,
                    // Gone since.
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(e) => return Err(e.into()),
                };
                let kind = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Folder,
                    FileType::Symlink => Kind::Link,
                    _ => Kind::Other,
                };
                out.push((name.to_owned(), kind));
            }
            out.sort();
            Ok(out)
        }

        /// Destroys a file of this identity; another one under its name stays.
        pub(in super::super) fn remove_file(&self, name: &OsStr, was: Identity) -> io::Result<()> {
            if identity(&self.file(name)?)? != was {
                return Err(io::Error::other("changed meanwhile"));
            }
            Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
        }

        /// Removes an empty folder.
        pub(in super::super) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
        }

        /// A certificate must not outlive a power cut that brings the file back.
        pub(in super::super) fn sync(&self) -> io::Result<()> {
            Ok(rustix::fs::fsync(self.fd.as_fd())?)
        }
    }

    /// Which file this is.
    pub(in super::super) fn identity(file: &File) -> io::Result<Identity> {
        let meta = file.metadata()?;
        Ok(Identity {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.size(),
            times: [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()],
            names: meta.nlink(),
        })
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::fs;
    use std::time::SystemTime;

    use super::{File, Folder, Identity, Kind, OsString, Path, io};

    impl Folder {
        /// A folder that the configuration names: by its real path.
        pub(in super::super) fn root(path: &Path) -> io::Result<Self> {
            if path.symlink_metadata()?.is_dir() {
                Ok(Self { path: path.to_path_buf() })
            } else {
                Err(io::Error::other("no folder"))
            }
        }

        pub(in super::super) fn again(&self) -> io::Result<Self> {
            Self::root(&self.path)
        }

        /// A folder in it; a link is refused.
        pub(in super::super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
            Self::root(&self.path.join(name))
        }

        /// A file in it; a link is refused.
        pub(in super::super) fn file(&self, name: &OsStr) -> io::Result<File> {
            let path = self.path.join(name);
            if path.symlink_metadata()?.is_file() {
                File::open(path)
            } else {
                Err(io::Error::other("no file"))
            }
        }

        /// What it holds, by name.
        pub(in super::super) fn entries(&self) -> io::Result<Vec<(OsString, Kind)>> {
            let mut out = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                let kind = match () {
                    () if kind.is_symlink() => Kind::Link,
                    () if kind.is_dir() => Kind::Folder,
                    () if kind.is_file() => Kind::File,
                    () => Kind::Other,
                };
                out.push((entry.file_name(), kind));
            }
            out.sort();
            Ok(out)
        }

        /// Destroys a file of this identity; another one under its name stays.
        pub(in super::super) fn remove_file(&self, name: &OsStr, was: Identity) -> io::Result<()> {
            if identity(&self.file(name)?)? != was {
                return Err(io::Error::other("changed meanwhile"));
            }
            fs::remove_file(self.path.join(name))
        }

        /// Removes an empty folder.
        pub(in super::super) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
            fs::remove_dir(self.folder(name)?.path)
        }

        /// Not every system can flush a folder.
        pub(in super::super) fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which file this is, as far as the standard library says so here.
    pub(in super::super) fn identity(file: &File) -> io::Result<Identity> {
        let meta = file.metadata()?;
        let changed = meta.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(changed.as_secs()).unwrap_or(i64::MAX);
        let times = [seconds, i64::from(changed.subsec_nanos()), 0, 0];
        Ok(Identity { device: 0, inode: 0, bytes: meta.len(), times, names: 1 })
    }
}

pub(super) use system::identity;
