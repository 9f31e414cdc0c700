//! What is on record as made by Mingcha, or, of extracts, as read by it. A run is what its sealed manifest names, a store
//! what its manifest names, lists what the hidden file beside them names, kept parts what bears their mark; an extract is
//! on record where a store or a run has read a file of this place, size and SHA-256. Everything else is somebody's own.
//! Deletes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mingcha_ledger::export::marks::{self, Marks};
use mingcha_ledger::run::key;
use mingcha_rules::text::Text;

use super::anchor::{Folder, Kind};
use super::content::{self, Content, Seen, text};

/// Why something stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It, or something in it, is a link.
    Link(PathBuf),
    /// It, or something in it, is no file.
    Odd(PathBuf),
    /// No record says that Mingcha made it.
    NotOnRecord(PathBuf),
    /// A record knows it, but with other content.
    Changed(PathBuf),
    /// It has another name elsewhere: what is in it would not be destroyed.
    OtherNames(PathBuf),
    /// Somebody is at it.
    Held,
    /// It is, or holds, what the office works with.
    InUse(String),
    /// The next night builds upon it.
    Needed,
    /// It lies outside the folders of the configuration.
    Outside,
    /// The disk says no.
    Unreadable(String),
    /// More than one of these.
    Several(Vec<Why>),
}

/// How many of several reasons are told; of the rest their number.
const TOLD: usize = 5;

impl Why {
    pub(super) fn text(&self) -> Text {
        let (zh, en) = match self {
            Self::Link(at) => (format!("有链接：{}", at.display()), format!("a link: {}", at.display())),
            Self::Odd(at) => {
                (format!("不是普通文件：{}", at.display()), format!("no file: {}", at.display()))
            }
            Self::NotOnRecord(at) => (
                format!("没有记录表明由明察生成或读取：{}", at.display()),
                format!("not on record as made or read by Mingcha: {}", at.display()),
            ),
            Self::Changed(at) => (
                format!("内容与记录不符：{}", at.display()),
                format!("not as it is on record: {}", at.display()),
            ),
            Self::OtherNames(at) => (
                format!("还有别的硬链接，删除后内容仍在：{}", at.display()),
                format!("has another name elsewhere, so its content would stay: {}", at.display()),
            ),
            Self::Held => ("正被使用".to_owned(), "somebody is using it".to_owned()),
            Self::InUse(key) => (format!("正在使用（`{key}`）"), format!("it is, or holds, `{key}`")),
            Self::Needed => (
                "最近一夜的结果，下一夜要用".to_owned(),
                "the last night, on which the next one builds".to_owned(),
            ),
            Self::Outside => {
                ("不在配置的文件夹之内".to_owned(), "outside the folders of the configuration".to_owned())
            }
            Self::Unreadable(why) => (format!("无法读取：{why}"), format!("cannot be read: {why}")),
            Self::Several(all) => {
                let told: Vec<Text> = all.iter().take(TOLD).map(Self::text).collect();
                let mut zh: Vec<String> = told.iter().map(|text| text.zh.clone()).collect();
                let mut en: Vec<String> = told.into_iter().map(|text| text.en).collect();
                let more = all.len().saturating_sub(TOLD);
                if more > 0 {
                    zh.push(format!("另有 {more} 处"));
                    en.push(format!("and {more} more"));
                }
                (zh.join("；"), en.join("; "))
            }
        };
        Text { zh, en }
    }

    /// Nothing to say against it, or all there is.
    pub(super) fn none_of(mut all: Vec<Self>) -> Result<(), Self> {
        match all.len() {
            0 => Ok(()),
            1 => all.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(all)),
        }
    }
}

/// What a process that died may have left in a folder that it had finished.
fn is_mark(file: &Seen) -> bool {
    file.name().is_some_and(|name| mingcha_files::unfinished::is_mark(&name, file.sha256.as_deref()))
}

/// What no record can make up for: links, odd things, further names.
pub(super) fn sound(content: &Content) -> Result<(), Why> {
    let names = content.files.iter().filter_map(|file| one_name(file).err());
    Why::none_of(odd(content).map(|(_, why)| why).chain(names).collect())
}

fn odd(content: &Content) -> impl Iterator<Item = (PathBuf, Why)> + '_ {
    content.odd.iter().map(|(at, kind)| {
        let why = if *kind == Kind::Link { Why::Link(at.clone()) } else { Why::Odd(at.clone()) };
        (at.clone(), why)
    })
}

/// All that stands against taking a folder as a whole: what is not sound, files that `judge` does not know, folders that
/// hold nothing and are not `known`.
fn whole<'c>(
    content: &'c Content,
    judge: impl Fn(&'c Seen) -> Result<(), Why>,
    known: impl Fn(&Path) -> bool,
) -> Vec<Why> {
    let files = content.files.iter().filter_map(|file| one_name(file).and_then(|()| judge(file)).err());
    let folders = content.folders.iter().filter(|folder| is_empty(content, folder) && !known(folder));
    let folders = folders.map(|folder| Why::NotOnRecord(folder.clone()));
    odd(content).map(|(_, why)| why).chain(files).chain(folders).collect()
}

/// Whether a folder holds nothing, not even a folder.
fn is_empty(content: &Content, folder: &Path) -> bool {
    let files = content.files.iter().map(|file| &file.place);
    let mut all = files.chain(&content.folders).chain(content.odd.iter().map(|(place, _)| place));
    !all.any(|place| place != folder && place.starts_with(folder))
}

pub(super) fn one_name(file: &Seen) -> Result<(), Why> {
    if file.identity.names > 1 { Err(Why::OtherNames(file.place.clone())) } else { Ok(()) }
}

/// A record of files by place: with the same size and sum, the same file.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, BTreeSet<(u64, String)>>);

impl Files {
    pub(super) fn add(&mut self, place: &str, bytes: u64, sha256: &str) {
        self.0.entry(place.to_owned()).or_default().insert((bytes, sha256.to_owned()));
    }

    pub(super) fn knows(&self, file: &Seen) -> Result<(), Why> {
        let Some(made) = file.name().and_then(|name| self.0.get(&name)) else {
            return Err(Why::NotOnRecord(file.place.clone()));
        };
        let same = |(bytes, sha256): &(u64, String)| {
            *bytes == file.bytes && file.sha256.as_ref().is_none_or(|sum| sum == sha256)
        };
        if made.iter().any(same) { Ok(()) } else { Err(Why::Changed(file.place.clone())) }
    }
}

/// A folder of which every file is in a list.
pub(super) fn listed(record: &Files, content: &Content) -> Result<(), Why> {
    Why::none_of(whole(content, |file| record.knows(file), |_| true))
}

/// A run: its seal, and which of its files says what it is.
pub(super) fn run(folder: &Folder, content: &Content) -> Result<String, Why> {
    let place = Path::new("manifest.json");
    let unknown = || Why::NotOnRecord(place.to_path_buf());
    let manifest = content::bytes(folder, place).and_then(|bytes| mingcha_ledger::run::proven(&bytes));
    let manifest = manifest.ok_or_else(unknown)?;
    let mut record = Files::default();
    for (name, seal) in &manifest.files {
        record.add(name, seal.bytes, &seal.sha256);
    }
    let is_key = |file: &Seen| {
        file.place == Path::new(key::KEY)
            && content::bytes(folder, &file.place).is_some_and(|bytes| key::is_key(&bytes))
    };
    let judge = |file: &Seen| {
        let own = file.place == place || is_mark(file) || is_key(file);
        if own { Ok(()) } else { record.knows(file) }
    };
    Why::none_of(whole(content, judge, |_| false))?;
    Ok(manifest.seal)
}

/// The parts that a run kept until it was complete: of each of its walks, a folder with a key.
pub(super) fn parts(folder: &Folder, content: &Content) -> Result<(), Why> {
    sound(content)?;
    let key = Path::new("key.json");
    let mut walks = BTreeSet::new();
    for walk in &content.folders {
        let key = content::bytes(folder, &walk.join(key));
        if !key.is_some_and(|bytes| mingcha_engine::stash::is_key(&bytes)) {
            return Err(Why::NotOnRecord(walk.clone()));
        }
        walks.insert(walk.as_path());
    }
    for file in &content.files {
        let unknown = || Why::NotOnRecord(file.place.clone());
        let walk = file.place.parent().filter(|walk| walks.contains(walk)).ok_or_else(unknown)?;
        let name = file.place.file_name().ok_or_else(unknown)?;
        let inside = folder.below(walk).map_err(|e| Why::Unreadable(e.to_string()))?;
        let end = content::end(&inside, name).unwrap_or_default();
        if name != key.as_os_str() && !mingcha_engine::stash::is_part(&name.to_string_lossy(), &end) {
            return Err(unknown());
        }
    }
    if content.files.is_empty() { Err(Why::NotOnRecord(PathBuf::new())) } else { Ok(()) }
}

/// A store.
pub(super) fn store(folder: &Folder, content: &Content) -> Result<(), Why> {
    let read = |name: &str| content::bytes(folder, Path::new(name)).unwrap_or_default();
    let unknown = |name: &str| Why::NotOnRecord(PathBuf::from(name));
    let (_, files) =
        mingcha_intake::record::files_of(&read("manifest.json")).ok_or_else(|| unknown("manifest.json"))?;
    let mut record = Files::default();
    files.iter().for_each(|file| record.add(&file.path, file.bytes, &file.sha256));
    let judge = |file: &Seen| {
        let beside = file.name().is_some_and(|name| mingcha_intake::record::BESIDE.contains(&&*name));
        if beside { Ok(()) } else { record.knows(file) }
    };
    let mut against = whole(content, judge, |folder| MAY_BE_EMPTY.iter().any(|name| folder == *name));
    let has_report = content.files.iter().any(|file| file.place == Path::new("quality.txt"));
    if has_report && !mingcha_intake::record::is_quality(&read("quality.json"), &read("quality.txt")) {
        against.push(Why::Changed(PathBuf::from("quality.txt")));
    }
    Why::none_of(against)
}

/// Folders that a store may have for nothing: made before it was known whether anything goes into them.
const MAY_BE_EMPTY: [&str; 2] = ["changes", "persons"];

/// A folder of unfinished work: it bears the mark, and so everything in it is ours.
pub(super) fn leftover(content: &Content) -> Result<(), Why> {
    let mark = content.files.iter().find(|file| file.place == Path::new(mingcha_files::unfinished::MARK));
    // Whoever made it may have died before the mark was written.
    let alone = content.files.len() == 1 && content.folders.is_empty() && content.odd.is_empty();
    match mark {
        Some(file) if is_mark(file) || (alone && file.bytes == 0) => sound(content),
        _ => Err(Why::NotOnRecord(PathBuf::new())),
    }
}

/// What of a folder of lists goes, and what of it is somebody's own.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) going: Content,
    pub(super) staying: Vec<(PathBuf, Why)>,
}

/// Lists: each file is named in the hidden file of a folder above it, up to the folder of all lists; `beyond` are the
/// names from there to `folder`. Each file is judged for itself; where nothing in the folder is on record, the folder is
/// somebody's own as a whole.
pub(super) fn lists(root: &Folder, beyond: &Path, content: &Content) -> Result<Sorted, Why> {
    let mut marks = MarksOf::new(root);
    let is_record = |file: &Seen| file.place.file_name() == Some(marks::NAME.as_ref());
    let mut sorted = Sorted { staying: odd(content).collect(), ..Sorted::default() };
    let mut ours = false;
    for file in &content.files {
        let judged = one_name(file).and_then(|()| match () {
            () if is_mark(file) => Ok(false),
            () if is_of_leftover(content, file) => Ok(true),
            () if is_record(file) => {
                let above = beyond.join(file.place.parent().unwrap_or(Path::new("")));
                marks.of(&above).map(|_| true).ok_or_else(|| Why::Changed(file.place.clone()))
            }
            () => marks.knows(&beyond.join(&file.place), file).map(|()| true),
        });
        match judged {
            Ok(proves) => {
                ours |= proves;
                sorted.going.files.push(file.clone());
            }
            Err(why) => sorted.staying.push((file.place.clone(), why)),
        }
    }
    let empty = content.folders.iter().filter(|folder| is_empty(content, folder));
    sorted.staying.extend(empty.map(|folder| (folder.clone(), Why::NotOnRecord(folder.clone()))));
    if !ours {
        let all: Vec<Why> = sorted.staying.into_iter().map(|(_, why)| why).collect();
        Why::none_of(all)?;
        return Err(Why::NotOnRecord(beyond.to_path_buf()));
    }
    // What is known of a folder stays as long as something in it does: it may go another time.
    let staying = &sorted.staying;
    let stays_in = |folder: &Path| staying.iter().any(|(place, _)| place.starts_with(folder));
    sorted
        .going
        .files
        .retain(|file| !(is_record(file) && stays_in(file.place.parent().unwrap_or(Path::new("")))));
    sorted.going.folders = content.folders.iter().filter(|folder| !stays_in(folder)).cloned().collect();
    Ok(sorted)
}

/// Whether a file in the folder of all lists is what names those that lie there.
pub(super) fn is_record_of_lists(root: &Folder, name: &OsStr) -> bool {
    name == marks::NAME && MarksOf::new(root).of(Path::new("")).is_some()
}

/// Whether a file lies in what a killed export left in the folder: hidden, and with the mark.
fn is_of_leftover(content: &Content, file: &Seen) -> bool {
    let Some(above) = file.place.components().next().map(|first| Path::new(first.as_os_str())) else {
        return false;
    };
    let mark = above.join(mingcha_files::unfinished::MARK);
    let is_the_mark = |file: &Seen| {
        mingcha_files::unfinished::is_mark(mingcha_files::unfinished::MARK, file.sha256.as_deref())
    };
    above.to_string_lossy().starts_with('.')
        && content.files.iter().any(|file| file.place == mark && is_the_mark(file))
}

/// The hidden files of the folders of lists, each read once.
pub(super) struct MarksOf<'a> {
    root: &'a Folder,
    known: BTreeMap<PathBuf, Option<Marks>>,
}

impl<'a> MarksOf<'a> {
    pub(super) fn new(root: &'a Folder) -> Self {
        Self { root, known: BTreeMap::new() }
    }

    fn of(&mut self, folder: &Path) -> Option<&Marks> {
        let root = self.root;
        let read = || content::bytes(root, &folder.join(marks::NAME)).and_then(|bytes| Marks::parse(&bytes));
        self.known.entry(folder.to_path_buf()).or_insert_with(read).as_ref()
    }

    /// `place`: from the folder of all lists.
    pub(super) fn knows(&mut self, place: &Path, file: &Seen) -> Result<(), Why> {
        let mut named = false;
        for folder in place.ancestors().skip(1) {
            let Some(inside) = place.strip_prefix(folder).ok().and_then(text) else { continue };
            let Some(marks) = self.of(folder) else { continue };
            if marks.knows(&inside, file.bytes, file.sha256.as_deref()) {
                return Ok(());
            }
            named = named || marks.names(&inside);
        }
        let place = file.place.clone();
        Err(if named { Why::Changed(place) } else { Why::NotOnRecord(place) })
    }
}
