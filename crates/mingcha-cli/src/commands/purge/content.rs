//! What lies in a folder, to the file: names, sizes, sums, and whatever is neither a file nor a folder. Judges nothing.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::anchor::{Folder, Identity, Kind, identity};

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Every byte.
    Whole,
    /// Names and sizes: for a count, not for a deed.
    Sizes,
}

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its place below the folder.
    pub(super) place: PathBuf,
    pub(super) bytes: u64,
    /// Absent where only sizes were looked at.
    pub(super) sha256: Option<String>,
    pub(super) identity: Identity,
}

impl Seen {
    /// Its place with `/`, as records write it; none where the name is no text.
    pub(super) fn name(&self) -> Option<String> {
        text(&self.place)
    }
}

pub(super) fn text(place: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = place.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/"))
}

/// All of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// In order of their places.
    pub(super) files: Vec<Seen>,
    /// The folders in it, each before what it holds.
    pub(super) folders: Vec<PathBuf>,
    /// Links and whatever else is no file.
    pub(super) odd: Vec<(PathBuf, Kind)>,
}

impl Content {
    pub(super) fn of(folder: &Folder, look: Look) -> io::Result<Self> {
        let mut content = Self::default();
        let mut open: Vec<(PathBuf, Folder)> = vec![(PathBuf::new(), folder.again()?)];
        while let Some((above, folder)) = open.pop() {
            for (name, kind) in folder.entries()? {
                let place = above.join(&name);
                match kind {
                    Kind::File => content.files.push(seen(&folder, &name, place, look)?),
                    Kind::Folder => {
                        open.push((place.clone(), folder.folder(&name)?));
                        content.folders.push(place);
                    }
                    kind => content.odd.push((place, kind)),
                }
            }
        }
        content.files.sort_by(|a, b| a.place.cmp(&b.place));
        content.folders.sort();
        Ok(content)
    }
}

/// A file in `folder`, as it is now.
pub(super) fn seen(folder: &Folder, name: &OsStr, place: PathBuf, look: Look) -> io::Result<Seen> {
    let mut file = folder.file(name)?;
    let before = identity(&file)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    if look == Look::Sizes {
        let bytes = file.metadata()?.len();
        return Ok(Seen { place, bytes, sha256: None, identity: before });
    }
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
    if identity(&file)? != before {
        return Err(io::Error::other("changed while it was read"));
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Seen { place, bytes, sha256: Some(sha256), identity: before })
}

/// The bytes of a small file in `folder`; none where it is not there, is a link or too large for what it should be.
pub(super) fn bytes(folder: &Folder, place: &Path) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 28;
    let above = folder.below(place.parent().unwrap_or(Path::new(""))).ok()?;
    let file = above.file(place.file_name()?).ok()?;
    let mut out = Vec::new();
    file.take(MOST).read_to_end(&mut out).ok()?;
    ((out.len() as u64) < MOST).then_some(out)
}

/// The last bytes of a file in `folder`.
pub(super) fn end(folder: &Folder, name: &OsStr) -> Option<Vec<u8>> {
    use std::io::{Seek, SeekFrom};
    let mut file = folder.file(name).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(16))).ok()?;
    let mut out = Vec::new();
    file.read_to_end(&mut out).ok()?;
    Some(out)
}
