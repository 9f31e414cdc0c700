//! Whether a folder holds nothing but what Mingcha made, for whoever puts something else in its place. By the same records
//! as a purge. Deletes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use mingcha_rules::text::Text;

use super::anchor::Folder;
use super::content::{Content, Look, Seen};
use super::record::{self, Files, Why};

/// Files by their place, with size and SHA-256.
pub(in super::super) type Listing = BTreeMap<String, (u64, String)>;

/// By what the files of a folder are known.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Made<'a> {
    /// By a list of them.
    Listed(&'a Listing),
    /// By the manifest of a store.
    Store,
    /// By the sealed manifest of a run.
    Run,
    /// By the hidden files beside lists.
    Lists,
}

/// What lies in `folder` now.
pub(in super::super) fn listing(folder: &Path) -> io::Result<Listing> {
    let content = Content::of(&Folder::root(folder)?, Look::Whole)?;
    let one = |file: Seen| Some((file.name()?, (file.bytes, file.sha256?)));
    Ok(content.files.into_iter().filter_map(one).collect())
}

/// What in `folder` is not as Mingcha made it; nothing where it is not there or holds no file.
pub(in super::super) fn stranger(made: Made<'_>, folder: &Path) -> io::Result<Option<Text>> {
    match folder.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
        Ok(meta) if meta.is_symlink() => return Ok(Some(Why::Link(folder.to_path_buf()).text())),
        Ok(meta) if !meta.is_dir() => return Ok(Some(Why::NotOnRecord(folder.to_path_buf()).text())),
        Ok(_) => {}
    }
    let open = Folder::root(folder)?;
    let content = Content::of(&open, Look::Whole)?;
    if content.files.is_empty() && content.odd.is_empty() {
        return Ok(None);
    }
    let judged = match made {
        Made::Listed(listing) => record::listed(&listed(listing), &content),
        Made::Store => record::store(&open, &content),
        Made::Run => record::run(&open, &content).map(drop),
        Made::Lists => lists(folder, &content)?,
    };
    Ok(judged.err().map(|why| why.text()))
}

fn listed(listing: &Listing) -> Files {
    let mut files = Files::default();
    listing.iter().for_each(|(place, (bytes, sha256))| files.add(place, *bytes, sha256));
    files
}

fn lists(folder: &Path, content: &Content) -> io::Result<Result<(), Why>> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Ok(Err(Why::Outside));
    };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let judged = record::lists(&Folder::root(&above.canonicalize()?)?, Path::new(name), content);
    Ok(judged.and_then(|sorted| {
        // In an empty folder there is nothing to lose: an export that was killed may have made it.
        let staying = sorted.staying.into_iter().filter(|(place, _)| !content.folders.contains(place));
        Why::none_of(staying.map(|(_, why)| why).collect())
    }))
}
