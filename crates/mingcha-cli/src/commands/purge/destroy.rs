//! Destroys what a certificate names, under the same guards as it was found: inside its folder of the configuration,
//! through no link, on record or as the certificate has it, held by nobody. Each file is looked at once more when it goes;
//! what is not as it was stays and is named. Knows no clock.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use mingcha_ledger::book::{Destroyed, DestroyedFile};
use sha2::{Digest, Sha256};

use super::anchor::{Folder, Kind};
use super::content::{self, Content, Look, Seen};
use super::due::{self, Left, Surveyor, Thing};
use super::record::{self, Files, Why};
use crate::config::real;
use crate::lock::{self, Lock};

/// Files by which a folder is known: they go last, so that an interrupted purge finds it known.
const LAST: [&str; 4] =
    ["manifest.json", "key.json", mingcha_ledger::export::marks::NAME, mingcha_files::unfinished::MARK];

/// A thing as its certificate names it.
pub(super) fn sealed(thing: &Thing) -> Destroyed {
    let files = &thing.content.files;
    let sum = |file: &Seen| file.sha256.clone().unwrap_or_default();
    let of_folder = || -> String {
        let mut hash = Sha256::new();
        for file in files {
            hash.update(file.place.to_string_lossy().as_bytes());
            hash.update([0]);
            hash.update(sum(file).as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let sha256 = match (&thing.seal, thing.is_folder) {
        (Some(seal), _) => seal.clone(),
        (None, true) => of_folder(),
        (None, false) => files.first().map(sum).unwrap_or_default(),
    };
    let each = files.iter().filter(|_| thing.is_folder).map(|file| DestroyedFile {
        name: file.name().unwrap_or_default(),
        sha256: sum(file),
        bytes: file.bytes,
    });
    Destroyed {
        // Where it really is: an interrupted purge may be finished from another folder.
        name: thing.real.display().to_string(),
        sha256,
        bytes: files.iter().map(|file| file.bytes).sum(),
        since: thing.since.to_string(),
        files: each.collect(),
    }
}

/// Destroys what `item` names. Gives what of it is left, and why; what is gone already is gone. `seen`: how it was found
/// just now, if it was.
pub(super) fn destroy(
    surveyor: &Surveyor<'_>,
    kind: &str,
    item: &Destroyed,
    seen: Option<&Thing>,
) -> Vec<Left> {
    let path = PathBuf::from(&item.name);
    match Deed::new(surveyor, kind, item, seen, &path) {
        Ok(None) => Vec::new(),
        Ok(Some(deed)) => deed.done(),
        Err(why) => vec![Left { kind: kind.to_owned(), path, why, announced: true }],
    }
}

/// The files that [`destroy`] would destroy; else what is left as a whole, and why.
pub(super) fn look(surveyor: &Surveyor<'_>, kind: &str, item: &Destroyed) -> Result<Vec<PathBuf>, Left> {
    let path = PathBuf::from(&item.name);
    match Deed::new(surveyor, kind, item, None, &path) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(deed)) if deed.inside.is_none() => Ok(vec![path]),
        Ok(Some(deed)) => Ok(deed.files.iter().map(|file| path.join(&file.place)).collect()),
        Err(why) => Err(Left { kind: kind.to_owned(), path, why, announced: true }),
    }
}

/// Everything that is needed to destroy one thing.
struct Deed {
    kind: String,
    path: PathBuf,
    /// The folder that it lies in.
    above: Folder,
    /// Itself, where it is a folder.
    inside: Option<Folder>,
    files: Vec<Seen>,
    /// Files that were announced and are not as they were.
    changed: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Whether nothing of it is to stay.
    whole: bool,
    _lock: Option<Lock>,
    _alone: Option<std::fs::File>,
}

impl Deed {
    /// None where it is gone already.
    fn new(
        surveyor: &Surveyor<'_>,
        kind: &str,
        item: &Destroyed,
        seen: Option<&Thing>,
        path: &Path,
    ) -> Result<Option<Self>, Why> {
        let root = surveyor.root_of(kind).map(|root| real(&root)).ok_or(Why::Outside)?;
        let place = path.strip_prefix(&root).map_err(|_| Why::Outside)?;
        let plain = place.components().all(|part| matches!(part, Component::Normal(_)));
        let name = place.file_name().filter(|_| plain).ok_or(Why::Outside)?;
        if kind == "stores" && !surveyor.is_store(path) {
            return Err(Why::Outside);
        }
        surveyor.in_use(kind, path)?;
        let _lock = match kind {
            "runs" | "stores" => Some(Lock::take(&surveyor.locked_by(kind, path)).map_err(|_| Why::Held)?),
            _ => None,
        };
        let above = match Folder::root(&root).and_then(|r| r.below(place.parent().unwrap_or(Path::new("")))) {
            Ok(above) => above,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Err(unreadable(e)),
            Err(_) => return Err(Why::Link(place.to_path_buf())),
        };
        let entries = above.entries().map_err(unreadable)?;
        let Some((_, is)) = entries.into_iter().find(|(entry, _)| entry == name) else { return Ok(None) };
        let (inside, found, alone) = match is {
            Kind::Folder => {
                let alone = lock::alone(path).map_err(|_| Why::Held)?;
                let inside = above.folder(name).map_err(unreadable)?;
                surveyor.free_of_exports(path)?;
                let found = Found::of(surveyor, kind, item, seen, (&root, place), &inside)?;
                (Some(inside), found, alone)
            }
            Kind::File => {
                surveyor.free(kind, path)?;
                (None, Found::whole(known_file(&above, name, item)?), None)
            }
            Kind::Link => return Err(Why::Link(place.to_path_buf())),
            Kind::Other => return Err(Why::Odd(place.to_path_buf())),
        };
        let Found { content: Content { mut files, folders, .. }, changed, whole } = found;
        files.sort_by_key(|file| (is_last(file), file.place.clone()));
        let (kind, path) = (kind.to_owned(), path.to_path_buf());
        Ok(Some(Self { kind, path, above, inside, files, changed, folders, whole, _lock, _alone: alone }))
    }

    fn done(self) -> Vec<Left> {
        let left =
            |path: PathBuf, why: Why| vec![Left { kind: self.kind.clone(), path, why, announced: true }];
        let Some(inside) = &self.inside else {
            let Some(file) = self.files.first() else { return Vec::new() };
            return match remove(&self.above, file.place.as_os_str(), file) {
                Ok(()) => Vec::new(),
                Err(why) => left(self.path.clone(), why),
            };
        };
        let all: Vec<Left> = self
            .files
            .iter()
            .filter_map(|file| {
                let folder = inside.below(file.place.parent().unwrap_or(Path::new("")));
                let name = file.place.file_name().unwrap_or_default();
                let gone = folder.map_err(unreadable).and_then(|folder| remove(&folder, name, file));
                gone.err().map(|why| left(self.path.join(&file.place), why))
            })
            .flatten()
            .chain(
                self.changed
                    .iter()
                    .flat_map(|place| left(self.path.join(place), Why::Changed(place.clone()))),
            )
            .collect();
        // Of lists the empty folders go also where something stays.
        if !all.is_empty() && self.whole {
            return all;
        }
        for folder in self.folders.iter().rev() {
            let name = folder.file_name().unwrap_or_default();
            let above = inside.below(folder.parent().unwrap_or(Path::new("")));
            match above.map_err(unreadable).and_then(|above| remove_folder(&above, name)) {
                Err(why) if self.whole => return left(self.path.join(folder), why),
                // What stays in it is named by whoever looks for what is due.
                _ => {}
            }
        }
        if !self.whole {
            return all;
        }
        let name = self.path.file_name().unwrap_or_default();
        match remove_folder(&self.above, name) {
            Ok(()) => Vec::new(),
            Err(why) => left(self.path.clone(), why),
        }
    }
}

fn is_last(file: &Seen) -> bool {
    file.place.file_name().is_some_and(|name| LAST.iter().any(|last| *last == name))
}

fn unreadable(error: io::Error) -> Why {
    Why::Unreadable(error.to_string())
}

fn remove(folder: &Folder, name: &OsStr, file: &Seen) -> Result<(), Why> {
    match folder.remove_file(name, file.identity) {
        Ok(()) => folder.sync().map_err(unreadable),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::Other => Err(Why::Changed(file.place.clone())),
        Err(e) => Err(unreadable(e)),
    }
}

fn remove_folder(above: &Folder, name: &OsStr) -> Result<(), Why> {
    match above.remove_folder(name) {
        Ok(()) => above.sync().map_err(unreadable),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // Somebody put something into it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Err(Why::NotOnRecord(PathBuf::from(name))),
        Err(e) => Err(unreadable(e)),
    }
}

/// What of a condemned thing is there.
struct Found {
    content: Content,
    changed: Vec<PathBuf>,
    whole: bool,
}

impl Found {
    /// In a folder.
    fn of(
        surveyor: &Surveyor<'_>,
        kind: &str,
        item: &Destroyed,
        seen: Option<&Thing>,
        (root, place): (&Path, &Path),
        inside: &Folder,
    ) -> Result<Self, Why> {
        match (kind, due::is_hidden(place.as_os_str())) {
            ("exports", false) => return known_lists(surveyor, item, seen, (root, place), inside),
            // Whoever is at unfinished lists has his lock in them.
            ("exports", true) => surveyor.free_of_exports(root)?,
            _ => {}
        }
        known_folder(surveyor, kind, item, seen, (root, place), inside).map(Self::whole)
    }

    fn whole(content: Content) -> Self {
        Self { content, changed: Vec::new(), whole: true }
    }
}

/// What of the lists that are condemned is there, each for itself: what came since is nobody's concern here.
fn known_lists(
    surveyor: &Surveyor<'_>,
    item: &Destroyed,
    seen: Option<&Thing>,
    (root, place): (&Path, &Path),
    inside: &Folder,
) -> Result<Found, Why> {
    let look = if seen.is_some() { Look::Sizes } else { Look::Whole };
    let content = Content::of(inside, look).map_err(unreadable)?;
    let mut record = Files::default();
    item.files.iter().for_each(|file| record.add(&file.name, file.bytes, &file.sha256));
    let going = match seen {
        None if item.files.is_empty() => Some(surveyor.on_record("exports", root, place, inside, &content)?),
        _ => None,
    };
    // Whether a file is as it was; none where it is not condemned.
    let judge = |file: &Seen| match (seen, &going) {
        (Some(thing), _) => {
            let before = thing.content.files.iter().find(|before| before.place == file.place)?;
            Some(before.identity == file.identity)
        }
        (None, Some(going)) => going.files.iter().any(|going| going.place == file.place).then_some(true),
        (None, None) => match record.knows(file) {
            Err(Why::NotOnRecord(_)) => None,
            known => Some(known.is_ok() && record::one_name(file).is_ok()),
        },
    };
    let (mut files, mut changed) = (Vec::new(), Vec::new());
    for file in &content.files {
        match judge(file) {
            Some(true) => files.push(file.clone()),
            Some(false) => changed.push(file.place.clone()),
            None => {}
        }
    }
    let stays = |folder: &Path| {
        let others = content.files.iter().filter(|file| files.iter().all(|going| going.place != file.place));
        let mut all = others.map(|file| &file.place).chain(content.odd.iter().map(|(place, _)| place));
        all.any(|place| place.starts_with(folder))
    };
    let ours = |folder: &Path| match (seen, &going) {
        (Some(thing), _) => thing.content.folders.iter().any(|going| going == folder),
        (None, Some(going)) => going.folders.iter().any(|going| going == folder),
        (None, None) => item.files.iter().any(|file| Path::new(&file.name).starts_with(folder)),
    };
    let folders: Vec<PathBuf> =
        content.folders.iter().filter(|folder| ours(folder) && !stays(folder)).cloned().collect();
    let whole = folders.len() == content.folders.len() && files.len() == content.files.len();
    let whole = whole && content.odd.is_empty() && changed.is_empty();
    Ok(Found { content: Content { files, folders, odd: Vec::new() }, changed, whole })
}

/// A file that is condemned, if it is the one that the certificate names.
fn known_file(above: &Folder, name: &OsStr, item: &Destroyed) -> Result<Content, Why> {
    let file = content::seen(above, name, PathBuf::from(name), Look::Whole).map_err(unreadable)?;
    record::one_name(&file)?;
    if file.sha256.as_ref() != Some(&item.sha256) || file.bytes != item.bytes {
        return Err(Why::Changed(file.place));
    }
    Ok(Content { files: vec![file], ..Content::default() })
}

/// What lies in a folder that is condemned: as it was found just now, or as the certificate has it file by file, or, by a
/// certificate of an earlier build, as the record of its kind has it.
fn known_folder(
    surveyor: &Surveyor<'_>,
    kind: &str,
    item: &Destroyed,
    seen: Option<&Thing>,
    (root, place): (&Path, &Path),
    inside: &Folder,
) -> Result<Content, Why> {
    if let Some(thing) = seen {
        let content = Content::of(inside, Look::Sizes).map_err(unreadable)?;
        record::sound(&content)?;
        for file in &content.files {
            match thing.content.files.iter().find(|before| before.place == file.place) {
                Some(before) if before.identity == file.identity => {}
                Some(_) => return Err(Why::Changed(file.place.clone())),
                None => return Err(Why::NotOnRecord(file.place.clone())),
            }
        }
        return Ok(content);
    }
    let content = Content::of(inside, Look::Whole).map_err(unreadable)?;
    record::sound(&content)?;
    if item.files.is_empty() {
        return surveyor.on_record(kind, root, place, inside, &content);
    }
    let mut record = Files::default();
    item.files.iter().for_each(|file| record.add(&file.name, file.bytes, &file.sha256));
    content.files.iter().try_for_each(|file| record.knows(file))?;
    Ok(content)
}
