//! What is past its time, and what of that may go: on record, reached through no link, held by nobody, and neither the
//! workspace nor anything in it that the office works with. The rest is named, hidden things included. Reads, and deletes
//! nothing.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};
use mingcha_ledger::export;

use super::super::Context;
use super::super::nightly::Plan;
use super::anchor::{Folder, Kind};
use super::content::{self, Content, Look};
use super::record::{self, Files, MarksOf, Why};
use crate::clock;
use crate::config::{Place, places, real};
use crate::exit::Failure;
use crate::lock;

/// What lies outside the ledger and has a clock: its kind, and the setting that says how long it is kept.
pub(super) const KINDS: [(&str, &str); 4] = [
    ("exports", "retention.exports"),
    ("runs", "retention.runs"),
    ("extracts", "retention.extracts"),
    ("stores", "retention.stores"),
];

/// For how many days things are kept, by the setting; none: for good.
pub(super) fn days(context: &Context, key: &str) -> Option<u32> {
    context.config.setting(key, None).and_then(|s| s.text.parse().ok())
}

/// Something that is due and may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thing {
    pub(super) kind: &'static str,
    /// As the configuration leads there.
    pub(super) path: PathBuf,
    /// Where it really is.
    pub(super) real: PathBuf,
    /// The day from which its clock ran.
    pub(super) since: NaiveDate,
    /// Whether it is a folder; else a single file.
    pub(super) is_folder: bool,
    /// What of it goes: its files; of a file, itself.
    pub(super) content: Content,
    /// Whether nothing of it stays.
    pub(super) whole: bool,
    /// What the ledger calls it, where it is a run.
    pub(super) seal: Option<String>,
}

/// Something that is due, or was condemned, and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) kind: String,
    pub(super) path: PathBuf,
    pub(super) why: Why,
    /// Whether the ledger announced that it goes.
    pub(super) announced: bool,
}

/// What is due: to be destroyed, and to be left.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) due: Vec<Thing>,
    pub(super) left: Vec<Left>,
}

impl Survey {
    fn leave(&mut self, kind: &str, path: PathBuf, why: Why) {
        self.left.push(Left { kind: kind.to_owned(), path, why, announced: false });
    }

    fn take(&mut self, found: Result<(Thing, Vec<Left>), Left>) {
        match found {
            Ok((thing, left)) => {
                self.left.extend(left);
                // Where all that is on record went before, the rest is only named.
                if thing.whole || !thing.content.files.is_empty() {
                    self.due.push(thing);
                }
            }
            Err(left) => self.left.push(left),
        }
    }
}

/// A folder in which things of a kind lie.
struct Root {
    /// As configured.
    path: PathBuf,
    /// Without links.
    real: PathBuf,
    folder: Folder,
}

/// What the records say of a folder.
struct Judged {
    going: Content,
    staying: Vec<(PathBuf, Why)>,
    seal: Option<String>,
}

impl Judged {
    fn all(going: Content, seal: Option<String>) -> Self {
        Self { going, staying: Vec::new(), seal }
    }
}

pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with('.')
}

/// Whose parts or unfinished work this hidden folder holds, by its name.
fn made_for(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let name = name.strip_prefix('.')?;
    let of_parts = name.strip_suffix(".parts");
    let mut unfinished = [".partial-", ".replaced-", ".lists-"].iter();
    let last = of_parts.or_else(|| unfinished.find_map(|what| Some(name.rsplit_once(what)?.0)))?;
    Some(path.with_file_name(last))
}

/// Whoever looks for what is due.
pub(super) struct Surveyor<'a> {
    context: &'a Context,
    plan: &'a Plan,
    today: NaiveDate,
    look: Look,
    in_use: Vec<Place>,
    /// Runs that a night is at, or that the next one builds upon.
    needed: Vec<PathBuf>,
}

impl<'a> Surveyor<'a> {
    pub(super) fn new(
        context: &'a Context,
        plan: &'a Plan,
        today: NaiveDate,
        look: Look,
    ) -> Result<Self, Failure> {
        let mut in_use = places(&context.config);
        in_use.push(Place::kept("nightly.folder", &plan.folder));
        in_use.extend(std::env::current_dir().ok().map(|here| Place::kept(".", &here)));
        let needed = plan.runs_at_work()?.iter().map(|run| real(run)).collect();
        Ok(Self { context, plan, today, look, in_use, needed })
    }

    /// Everything outside the ledger whose clock has run out.
    pub(super) fn survey(&self) -> Result<Survey, Failure> {
        let mut survey = Survey::default();
        for (kind, key) in KINDS {
            let Some(days) = days(self.context, key) else { continue };
            match kind {
                "runs" => self.runs(days, &mut survey)?,
                "exports" => self.exports(days, &mut survey)?,
                "extracts" => self.extracts(days, &mut survey)?,
                _ => self.store(days, &mut survey),
            }
        }
        survey.due.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        survey.left.sort_by(|a, b| (&a.kind, &a.path).cmp(&(&b.kind, &b.path)));
        Ok(survey)
    }

    /// Where things of a kind lie, as configured; of a store, the folder that it lies in.
    pub(super) fn root_of(&self, kind: &str) -> Option<PathBuf> {
        let config = &self.context.config;
        match kind {
            "runs" => Some(self.plan.folder.join("runs")),
            "exports" => config.path("paths.export", None),
            "extracts" => config.path("paths.data", None),
            "stores" => real(&config.path("paths.store", None)?).parent().map(Path::to_path_buf),
            _ => None,
        }
    }

    fn open(&self, kind: &str) -> Result<Option<Root>, Failure> {
        let Some(path) = self.root_of(kind) else { return Ok(None) };
        let real = real(&path);
        match Folder::root(&real) {
            Ok(folder) => Ok(Some(Root { path, real, folder })),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::disk(&path, &e)),
        }
    }

    fn over(&self, since: NaiveDate, days: u32) -> bool {
        since.checked_add_days(Days::new(u64::from(days))).is_some_and(|end| end <= self.today)
    }

    /// The clock of a thing runs from the day that its name begins with, else from its last change.
    fn since(&self, path: &Path) -> Option<NaiveDate> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let begins = name.split_at_checked(10).and_then(|(day, _)| crate::config::parse_date(day));
        begins.or_else(|| clock::changed_on(path, self.context.zone))
    }

    /// Why a thing at this real path must stay, whatever it is.
    pub(super) fn in_use(&self, kind: &str, real: &Path) -> Result<(), Why> {
        let own = |place: &Place| kind == "stores" && place.key == "paths.store" && place.path == real;
        match self.in_use.iter().find(|place| place.path.starts_with(real) && !own(place)) {
            Some(place) => Err(Why::InUse(place.key.clone())),
            None if self.needed.iter().any(|run| run == real) => Err(Why::Needed),
            None => Ok(()),
        }
    }

    /// Whether somebody is at it now: who writes it, who reads it.
    pub(super) fn free(&self, kind: &str, path: &Path) -> Result<(), Why> {
        let held = match kind {
            "exports" => {
                let above = path.parent().is_some_and(export::is_going_on);
                above || export::is_going_on(path) || lock::alone(path).is_err()
            }
            "extracts" => self.extracts_held(),
            _ => lock::is_held(path) || lock::alone(path).is_err(),
        };
        if held { Err(Why::Held) } else { Ok(()) }
    }

    /// Whether no export goes on into it.
    pub(super) fn free_of_exports(&self, path: &Path) -> Result<(), Why> {
        if export::is_going_on(path) { Err(Why::Held) } else { Ok(()) }
    }

    /// The folder beside which the lock of a thing lies: a store's beside the name that the configuration has for it, that
    /// of kept parts and of unfinished work is that of the name which it was made for.
    pub(super) fn locked_by(&self, kind: &str, path: &Path) -> PathBuf {
        match (kind, made_for(path)) {
            ("stores", _) => {
                self.context.config.path("paths.store", None).unwrap_or_else(|| path.to_path_buf())
            }
            (_, Some(last)) => last,
            _ => path.to_path_buf(),
        }
    }

    /// Whether this is the store of the configuration.
    pub(super) fn is_store(&self, path: &Path) -> bool {
        self.context.config.path("paths.store", None).is_some_and(|store| real(&store) == path)
    }

    /// What the records say of a folder of this kind, `place` below its root.
    pub(super) fn on_record(
        &self,
        kind: &str,
        root: &Path,
        place: &Path,
        folder: &Folder,
        content: &Content,
    ) -> Result<Content, Why> {
        let is_parts = place.to_string_lossy().ends_with(".parts");
        let all = |()| content.clone();
        match kind {
            "runs" if is_parts => record::parts(folder, content).map(all),
            "runs" | "exports" if is_hidden(place.as_os_str()) => record::leftover(content).map(all),
            "runs" => record::run(folder, content).map(|_| content.clone()),
            "stores" => record::store(folder, content).map(all),
            "exports" => {
                let root = Folder::root(root).map_err(|e| Why::Unreadable(e.to_string()))?;
                record::lists(&root, place, content).map(|sorted| sorted.going)
            }
            _ => Err(Why::NotOnRecord(place.to_path_buf())),
        }
    }

    /// Whoever prepares holds the lock of the store and reads the extracts.
    fn extracts_held(&self) -> bool {
        let store = self.context.config.path("paths.store", None);
        let data = self.context.config.path("paths.data", None);
        store.is_some_and(|store| lock::is_held(&store))
            || data.is_some_and(|data| lock::alone(&data).is_err())
    }

    /// A folder that is a thing, if `judge` finds it on record; and what of it stays.
    fn folder(
        &self,
        kind: &'static str,
        root: &Root,
        name: &OsStr,
        since: NaiveDate,
        judge: impl Fn(&Folder, Content) -> Result<Judged, Why>,
    ) -> Result<(Thing, Vec<Left>), Left> {
        let (path, real) = (root.path.join(name), root.real.join(name));
        let left = |path: PathBuf, why: Why| Left { kind: kind.to_owned(), path, why, announced: false };
        let judged = || -> Result<Judged, Why> {
            self.in_use(kind, &real)?;
            self.free(kind, &path)?;
            let unreadable = |e: std::io::Error| Why::Unreadable(e.to_string());
            let folder = root.folder.folder(name).map_err(unreadable)?;
            let content = Content::of(&folder, self.look).map_err(unreadable)?;
            judge(&folder, content)
        };
        match judged() {
            Ok(Judged { going: content, staying, seal }) => {
                let whole = staying.is_empty();
                let stays = staying.into_iter().map(|(place, why)| left(path.join(place), why)).collect();
                Ok((Thing { kind, path, real, since, is_folder: true, content, whole, seal }, stays))
            }
            Err(why) => Err(left(path, why)),
        }
    }

    /// What is hidden in a folder of things and past its time: unfinished work that somebody's death left goes, if it
    /// bears the mark; anything else is named.
    fn hidden(
        &self,
        kind: &'static str,
        root: &Root,
        (name, is): (&OsStr, Kind),
        days: u32,
        survey: &mut Survey,
    ) {
        let path = root.path.join(name);
        let since = clock::changed_on(&path, self.context.zone);
        let Some(since) = since.filter(|since| self.over(*since, days)) else { return };
        match is {
            Kind::Folder => {
                let judge = |_: &Folder, content: Content| {
                    self.free_of_maker(kind, &root.real, &path)?;
                    let unknown = |why| match why {
                        Why::NotOnRecord(_) => Why::NotOnRecord(PathBuf::from(name)),
                        why => why,
                    };
                    record::leftover(&content).map_err(unknown)?;
                    Ok(Judged::all(content, None))
                };
                survey.take(self.folder(kind, root, name, since, judge));
            }
            // Of the living: locks, and the record of the lists beside it.
            Kind::File if name.to_string_lossy().ends_with(".lock") => {}
            Kind::File if kind == "exports" && record::is_record_of_lists(&root.folder, name) => {}
            Kind::Link => survey.leave(kind, path, Why::Link(PathBuf::from(name))),
            _ => survey.leave(kind, path, Why::NotOnRecord(PathBuf::from(name))),
        }
    }

    /// Whether nobody is at unfinished work, and whether it is not all that is left of what the office works with.
    fn free_of_maker(&self, kind: &str, root: &Path, path: &Path) -> Result<(), Why> {
        let Some(last) = made_for(path) else { return Ok(()) };
        if lock::is_held(&last) || (kind == "exports" && export::is_going_on(root)) {
            return Err(Why::Held);
        }
        let real = root.join(last.file_name().unwrap_or_default());
        if real.symlink_metadata().is_err() { self.in_use(kind, &real) } else { Ok(()) }
    }

    /// A file that is a thing.
    fn file(
        &self,
        kind: &'static str,
        (path, real): (PathBuf, PathBuf),
        above: &Folder,
        since: NaiveDate,
        judge: impl FnOnce(&content::Seen) -> Result<(), Why>,
    ) -> Result<(Thing, Vec<Left>), Left> {
        let judged = || -> Result<Content, Why> {
            self.in_use(kind, &real)?;
            let name = path.file_name().unwrap_or_default().to_owned();
            let seen = content::seen(above, &name, PathBuf::from(&name), self.look)
                .map_err(|e| Why::Unreadable(e.to_string()))?;
            record::one_name(&seen)?;
            judge(&seen)?;
            Ok(Content { files: vec![seen], ..Content::default() })
        };
        match judged() {
            Ok(content) => {
                let (is_folder, whole, seal) = (false, true, None);
                Ok((Thing { kind, path, real, since, is_folder, content, whole, seal }, Vec::new()))
            }
            Err(why) => Err(Left { kind: kind.to_owned(), path, why, announced: false }),
        }
    }

    fn runs(&self, days: u32, survey: &mut Survey) -> Result<(), Failure> {
        let Some(root) = self.open("runs")? else { return Ok(()) };
        let entries = root.folder.entries().map_err(|e| Failure::disk(&root.path, &e))?;
        let is_run = |name: &OsString| {
            let folder = root.folder.folder(name).ok()?;
            let manifest = content::bytes(&folder, Path::new("manifest.json"))?;
            mingcha_ledger::run::proven(&manifest).map(|_| (self.since(&root.path.join(name)), name.clone()))
        };
        let runs = entries.iter().filter(|(name, kind)| *kind == Kind::Folder && !is_hidden(name));
        let newest = runs.filter_map(|(name, _)| is_run(name)).max().map(|(_, name)| name);
        for (name, kind) in entries {
            let path = root.path.join(&name);
            let text = name.to_string_lossy().into_owned();
            let parts_of = text.strip_prefix('.').and_then(|text| text.strip_suffix(".parts"));
            let hidden = is_hidden(&name);
            if hidden && parts_of.is_none() {
                self.hidden("runs", &root, (&name, kind), days, survey);
                continue;
            }
            let since = if hidden { clock::changed_on(&path, self.context.zone) } else { self.since(&path) };
            let Some(since) = since.filter(|since| self.over(*since, days)) else { continue };
            match (kind, parts_of) {
                (Kind::Folder, Some(run)) => {
                    let run = root.path.join(run);
                    let judge = |folder: &Folder, content: Content| {
                        if lock::is_held(&run) {
                            return Err(Why::Held);
                        }
                        record::parts(folder, &content)?;
                        Ok(Judged::all(content, None))
                    };
                    survey.take(self.folder("runs", &root, &name, since, judge));
                }
                (Kind::Folder, None) if newest.as_ref() == Some(&name) => {
                    survey.leave("runs", path, Why::Needed);
                }
                (Kind::Folder, None) => {
                    let judge = |folder: &Folder, content: Content| {
                        let seal = record::run(folder, &content)?;
                        Ok(Judged::all(content, Some(seal)))
                    };
                    survey.take(self.folder("runs", &root, &name, since, judge));
                }
                (Kind::Link, _) => survey.leave("runs", path, Why::Link(PathBuf::from(name))),
                _ => survey.leave("runs", path, Why::NotOnRecord(PathBuf::from(name))),
            }
        }
        Ok(())
    }

    fn exports(&self, days: u32, survey: &mut Survey) -> Result<(), Failure> {
        let Some(root) = self.open("exports")? else { return Ok(()) };
        let mut marks = MarksOf::new(&root.folder);
        let busy = export::is_going_on(&root.real);
        for (name, kind) in root.folder.entries().map_err(|e| Failure::disk(&root.path, &e))? {
            let path = root.path.join(&name);
            if is_hidden(&name) {
                self.hidden("exports", &root, (&name, kind), days, survey);
                continue;
            }
            let Some(since) = self.since(&path).filter(|since| self.over(*since, days)) else { continue };
            match kind {
                Kind::Folder => {
                    let judge = |_: &Folder, content: Content| {
                        let sorted = record::lists(&root.folder, Path::new(&name), &content)?;
                        Ok(Judged { going: sorted.going, staying: sorted.staying, seal: None })
                    };
                    survey.take(self.folder("exports", &root, &name, since, judge));
                }
                Kind::File => {
                    let at = (path, root.real.join(&name));
                    let judge = |file: &content::Seen| {
                        if busy { Err(Why::Held) } else { marks.knows(Path::new(&name), file) }
                    };
                    survey.take(self.file("exports", at, &root.folder, since, judge));
                }
                Kind::Link => survey.leave("exports", path, Why::Link(PathBuf::from(name))),
                Kind::Other => survey.leave("exports", path, Why::Odd(PathBuf::from(name))),
            }
        }
        Ok(())
    }

    fn extracts(&self, days: u32, survey: &mut Survey) -> Result<(), Failure> {
        let Some(root) = self.open("extracts")? else { return Ok(()) };
        let record = self.read_by_us()?;
        let held = self.extracts_held();
        let again = root.folder.again().map_err(|e| Failure::disk(&root.path, &e))?;
        let mut open = vec![(PathBuf::new(), again)];
        while let Some((above, folder)) = open.pop() {
            for (name, kind) in folder.entries().map_err(|e| Failure::disk(folder.path(), &e))? {
                let place = above.join(&name);
                let path = root.path.join(&place);
                if kind == Kind::Folder {
                    let inside = folder.folder(&name).map_err(|e| Failure::disk(&path, &e))?;
                    open.push((place, inside));
                    continue;
                }
                let since = clock::changed_on(&path, self.context.zone);
                let Some(since) = since.filter(|since| self.over(*since, days)) else { continue };
                match kind {
                    Kind::File => {
                        let at = (path, root.real.join(&place));
                        let judge = |file: &content::Seen| match held {
                            true => Err(Why::Held),
                            false => record.knows(&content::Seen { place: place.clone(), ..file.clone() }),
                        };
                        survey.take(self.file("extracts", at, &folder, since, judge));
                    }
                    Kind::Link => survey.leave("extracts", path, Why::Link(place)),
                    _ => survey.leave("extracts", path, Why::Odd(place)),
                }
            }
        }
        Ok(())
    }

    /// The files that the store and the runs name as read.
    fn read_by_us(&self) -> Result<Files, Failure> {
        let mut record = Files::default();
        let config = &self.context.config;
        let manifest =
            |folder: &Path| content::bytes(&Folder::root(&real(folder)).ok()?, Path::new("manifest.json"));
        let store = config.path("paths.store", None).and_then(|store| manifest(&store));
        if let Some((store, _)) = store.and_then(|bytes| mingcha_intake::record::files_of(&bytes)) {
            store.files.iter().for_each(|file| record.add(&file.path, file.bytes, &file.sha256));
        }
        let mut runs: Vec<PathBuf> = config.path("paths.run", None).into_iter().collect();
        if let Some(root) = self.open("runs")? {
            let entries = root.folder.entries().map_err(|e| Failure::disk(&root.path, &e))?;
            let folders = entries.into_iter().filter(|(_, kind)| *kind == Kind::Folder);
            runs.extend(folders.map(|(name, _)| root.real.join(name)));
        }
        for run in runs.iter().filter_map(|run| manifest(run)) {
            let inputs = mingcha_ledger::run::proven(&run).map(|run| run.inputs).unwrap_or_default();
            inputs.iter().for_each(|file| record.add(&file.path, file.bytes, &file.sha256));
        }
        Ok(record)
    }

    fn store(&self, days: u32, survey: &mut Survey) {
        let Some(path) = self.context.config.path("paths.store", None) else { return };
        let whole = real(&path);
        let since = clock::changed_on(&whole.join("manifest.json"), self.context.zone);
        let Some(since) = since.filter(|since| self.over(*since, days)) else { return };
        let (Some(above), Some(name)) = (whole.parent(), whole.file_name()) else { return };
        let folder = match Folder::root(above) {
            Ok(folder) => folder,
            Err(e) => return survey.leave("stores", path, Why::Unreadable(e.to_string())),
        };
        let root = Root { path: above.to_path_buf(), real: above.to_path_buf(), folder };
        // The lock lies beside the name that the configuration has for it.
        if lock::is_held(&path) {
            return survey.leave("stores", path, Why::Held);
        }
        let judge = |folder: &Folder, content: Content| {
            record::store(folder, &content)?;
            Ok(Judged::all(content, None))
        };
        let found = self.folder("stores", &root, name, since, judge);
        survey.take(match found {
            Ok((thing, left)) => Ok((Thing { path, ..thing }, left)),
            Err(left) => Err(Left { path, ..left }),
        });
    }
}
