//! The folder of one run: written beside its final name, sealed, renamed when complete; opened only when every
//! seal still fits. A run that was killed leaves nothing that looks finished. Knows no exports.

pub mod key;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use mingcha_files::{private, unfinished};
use mingcha_rules::{Diagnostic, Excused, Finding, Outcome};

use crate::fault;
use crate::names::Names;
use crate::record::{FORMAT, FORMAT_VERSION, Fields, Manifest, RunRecord};
use crate::table::{self, Only, Scribe};

const MANIFEST: &str = "manifest.json";
const FINDINGS: &str = "findings.parquet";
const EXCUSED: &str = "excused.parquet";
const RULES: &str = "rules.parquet";

/// Writes a run folder as the run goes: [`begin`](RunWriter::begin), [`add`](RunWriter::add) for every rule,
/// [`finish`](RunWriter::finish), [`commit`](RunWriter::commit). Dropped before that, it takes away what it wrote.
#[derive(Debug)]
pub struct RunWriter {
    out: PathBuf,
    aside: PathBuf,
    parent: PathBuf,
    open: Option<Open>,
    written: bool,
    done: bool,
}

/// What is written while the rules run.
#[derive(Debug)]
struct Open {
    manifest: Manifest,
    findings: Scribe<Finding>,
    excused: Scribe<Excused>,
    /// Ids of all findings so far.
    ids: HashSet<String>,
    /// Rule, subject and id of the last finding.
    last_finding: [String; 3],
    /// Rule, subject and code of the last excused.
    last_excused: [String; 3],
}

impl RunWriter {
    /// Begins a run folder that will stand at `out`; for now it is written beside it.
    ///
    /// # Errors
    /// `MC802` where something stands at `out` that is not a run folder (it would be replaced), `MC801` where the
    /// disk refuses.
    pub fn create(out: &Path) -> Result<Self, Diagnostic> {
        let name = out.file_name().ok_or_else(|| {
            Diagnostic::error(
                "MC802",
                "输出位置应为一个文件夹名",
                "wanted the name of a folder to write the run to",
            )
            .in_file(out.display())
        })?;
        if out.symlink_metadata().is_ok() && !is_run_folder(out) {
            return Err(Diagnostic::error(
                "MC802",
                "输出位置应不存在，或是以前的运行结果文件夹；实际存在别的内容，不予覆盖",
                "wanted a place that does not exist or holds an earlier run and nothing else, got something else, which is left alone",
            )
            .in_file(out.display())
            .with_help("换一个输出位置，或自行移走原有内容", "choose another place, or move what is there yourself"));
        }
        let parent = parent_of(out);
        fs::create_dir_all(&parent)
            .map_err(|e| fault::disk("MC801", ("创建文件夹", "create the folder"), &parent, &e))?;
        let aside = unfinished::create(&parent, &name.to_string_lossy(), "partial")
            .map_err(|e| fault::disk("MC801", ("创建文件夹", "create the folder"), &parent, &e))?;
        Ok(Self { out: out.to_path_buf(), aside, parent, open: None, written: false, done: false })
    }

    /// The folder as it is being written. It goes away unless committed.
    pub fn folder(&self) -> &Path {
        &self.aside
    }

    /// Begins to write. `rules`: an outcome for every rule that was asked for, of which only rule, version and hash
    /// count; the run's id follows from them and from `record`.
    ///
    /// # Errors
    /// `MC801` where the disk refuses.
    pub fn begin(&mut self, record: &RunRecord, rules: &[Outcome]) -> Result<(), Diagnostic> {
        let manifest = Manifest::begin(record, rules);
        let marks = marks(&manifest);
        let findings = Scribe::create(&self.aside.join(FINDINGS), &manifest.run_id, &marks)?;
        let excused = Scribe::create(&self.aside.join(EXCUSED), &manifest.run_id, &marks)?;
        self.open = Some(Open {
            manifest,
            findings,
            excused,
            ids: HashSet::new(),
            last_finding: Default::default(),
            last_excused: Default::default(),
        });
        Ok(())
    }

    /// Adds findings and excused. Over all calls findings are ordered by rule, subject and id, the excused by rule,
    /// subject and code.
    ///
    /// # Errors
    /// `MC807` where two findings share an id, the order is another or a value does not fit its column, `MC808`
    /// before the beginning, `MC801`/`MC811` where the disk refuses.
    pub fn add(
        &mut self,
        findings: impl IntoIterator<Item = Finding>,
        excused: impl IntoIterator<Item = Excused>,
    ) -> Result<(), Diagnostic> {
        let open = self.open.as_mut().ok_or_else(nothing_written)?;
        for finding in findings {
            if !open.ids.insert(finding.finding_id.clone()) {
                return Err(Diagnostic::error(
                    "MC807",
                    format!("线索编号应唯一，规则 {} 有一个实际重复", finding.rule_id),
                    format!("wanted every finding id once, rule {} has one twice", finding.rule_id),
                ));
            }
            follow(&mut open.last_finding, [&finding.rule_id, &finding.subject_id, &finding.finding_id])?;
            open.manifest.counts.add(&finding)?;
            open.findings.add(finding)?;
        }
        for excused in excused {
            follow(&mut open.last_excused, [&excused.rule_id, &excused.subject_id, &excused.code])?;
            open.manifest.counts.excused += 1;
            open.excused.add(excused)?;
        }
        Ok(())
    }

    /// Adds to what is said of how the run was made.
    pub fn note(&mut self, environment: BTreeMap<String, String>) {
        if let Some(open) = &mut self.open {
            open.manifest.environment.extend(environment);
        }
    }

    /// Writes how the rules ended, in any order, and seals the run. The manifest tells the run's id.
    ///
    /// # Errors
    /// `MC807` where the rules are not those the run began with or a value does not fit its column, `MC808` before
    /// the beginning, `MC801`/`MC811` where the disk refuses.
    pub fn finish(&mut self, outcomes: &[Outcome], ended: &str) -> Result<Manifest, Diagnostic> {
        let Open { mut manifest, findings, excused, .. } = self.open.take().ok_or_else(nothing_written)?;
        manifest.end(outcomes, ended)?;
        let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
        sorted.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
        let rules = sorted.into_iter().map(Ok);
        let rules =
            table::write::<Outcome, _>(&self.aside.join(RULES), rules, &manifest.run_id, &marks(&manifest))?;
        let seals = [(FINDINGS, findings.seal()?), (EXCUSED, excused.seal()?), (RULES, rules)];
        manifest.files = seals.into_iter().map(|(name, seal)| (name.to_owned(), seal)).collect();
        self.close_to_others()?;
        key::inherit(&self.aside, &self.out)?;
        manifest.seal = seal_of(&manifest)?;
        write_manifest(&self.aside.join(MANIFEST), &manifest)?;
        self.written = true;
        Ok(manifest)
    }

    /// Puts the folder in its place: flushed to the disk, renamed, and the rename flushed. An earlier run that
    /// stood there is replaced.
    ///
    /// # Errors
    /// `MC808` where nothing was written, `MC801` where the disk refuses; then the earlier run still stands.
    pub fn commit(mut self) -> Result<(), Diagnostic> {
        if !self.written {
            return Err(nothing_written());
        }
        let failed = |path: &Path, e: &io::Error| {
            fault::disk("MC801", ("保存运行结果", "put the run in its place"), path, e)
        };
        sync_folder(&self.aside).map_err(|e| failed(&self.aside, &e))?;
        let earlier = self.set_earlier_aside().map_err(|e| failed(&self.out, &e))?;
        if let Err(e) = fs::rename(&self.aside, &self.out) {
            if let Some(earlier) = &earlier {
                // If this fails too, the earlier run still stands under its other name.
                let _ = fs::rename(earlier.join("run"), &self.out);
                let _ = fs::remove_dir_all(earlier);
            }
            return Err(failed(&self.out, &e));
        }
        self.done = true;
        unfinished::finish(&self.out).map_err(|e| failed(&self.out, &e))?;
        sync_folder(&self.parent).map_err(|e| failed(&self.parent, &e))?;
        match earlier {
            Some(earlier) => fs::remove_dir_all(&earlier).map_err(|e| failed(&earlier, &e)),
            None => Ok(()),
        }
    }

    /// The folder is its owner's only; files that are copied out of it are to be so, too.
    fn close_to_others(&self) -> Result<(), Diagnostic> {
        for name in [FINDINGS, EXCUSED, RULES] {
            let path = self.aside.join(name);
            File::open(&path)
                .and_then(|file| private::make_private(&file))
                .map_err(|e| fault::disk("MC801", ("限制权限", "restrict the rights"), &path, &e))?;
        }
        Ok(())
    }

    fn set_earlier_aside(&self) -> io::Result<Option<PathBuf>> {
        if self.out.symlink_metadata().is_err() {
            return Ok(None);
        }
        let name = self.out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Something may have been put into it meanwhile.
        if !is_run_folder(&self.out) {
            return Err(io::Error::other("it is no longer a run folder with nothing else in it"));
        }
        let box_ = unfinished::create(&self.parent, &name, "replaced")?;
        fs::rename(&self.out, box_.join("run"))?;
        Ok(Some(box_))
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        // Nothing may write into the folder while it goes away.
        self.open = None;
        if !self.done {
            // Best effort: its name already says that it is not a finished run.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

/// A finished run folder whose seals all fit.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    manifest: Manifest,
}

impl RunFolder {
    /// Opens the run folder at `path` and checks every seal.
    ///
    /// # Errors
    /// `MC803` where it is no run folder, `MC805` where another version wrote it, `MC804` naming the file that was
    /// changed since.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let manifest = read_manifest(path)?;
        let file = path.join(MANIFEST);
        if seal_of(&manifest)? != manifest.seal {
            return Err(changed(&file));
        }
        for name in [FINDINGS, EXCUSED, RULES] {
            let file = path.join(name);
            let seal = manifest.files.get(name).ok_or_else(|| changed(&path.join(MANIFEST)))?;
            let (sha256, bytes) = table::hash_file(&file)
                .map_err(|e| fault::disk("MC803", ("打开运行结果", "open the run"), &file, &e))?;
            if sha256 != seal.sha256 || bytes != seal.bytes {
                return Err(changed(&file));
            }
        }
        Ok(Self { path: path.to_path_buf(), manifest })
    }

    /// Opens the run folder at `path` and checks every byte of it: also those of the manifest that mean nothing.
    ///
    /// # Errors
    /// As [`RunFolder::open`], and `MC823` where the key of the names is damaged.
    pub fn prove(path: &Path) -> Result<Self, Diagnostic> {
        let run = Self::open(path)?;
        let file = path.join(MANIFEST);
        let bytes =
            fs::read(&file).map_err(|e| fault::disk("MC803", ("打开运行结果", "open the run"), &file, &e))?;
        if manifest_text(&file, &run.manifest)?.as_bytes() != bytes {
            return Err(changed(&file));
        }
        run.known_names()?;
        Ok(run)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What masked lists call the findings of this run where there is no ledger. A run that an older build wrote, or that
    /// was copied without its secret, gets one now.
    ///
    /// # Errors
    /// `MC822` where there is none and none can be made, or it cannot be read; `MC823` where it is damaged.
    pub fn names(&self) -> Result<Names, Diagnostic> {
        self.known_names()?.map_or_else(|| key::make(&self.path), Ok)
    }

    /// [`RunFolder::names`], if any list can have used them yet.
    ///
    /// # Errors
    /// `MC822` where they cannot be read, `MC823` where they are damaged.
    pub fn known_names(&self) -> Result<Option<Names>, Diagnostic> {
        key::read(&self.path)
    }

    /// The findings, ordered by rule, subject and id.
    ///
    /// # Errors
    /// `MC806` where the file cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>, Diagnostic> {
        table::read(&self.path.join(FINDINGS), None)
    }

    /// The findings as they lie in the file; with `only`, those with these ids.
    pub(crate) fn packed(
        &self,
        only: Option<HashSet<String>>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Diagnostic>> + use<>, Diagnostic> {
        table::batches(&self.path.join(FINDINGS), only.map(|ids| ("finding_id", ids)))
    }

    /// The finding called `finding_id`, if the run has it.
    ///
    /// # Errors
    /// `MC806` where the file cannot be read.
    pub fn finding(&self, finding_id: &str) -> Result<Option<Finding>, Diagnostic> {
        Ok(table::read(&self.path.join(FINDINGS), one("finding_id", finding_id))?.pop())
    }

    /// Everything that was looked at and excused.
    ///
    /// # Errors
    /// `MC806` where the file cannot be read.
    pub fn excused(&self) -> Result<Vec<Excused>, Diagnostic> {
        table::read(&self.path.join(EXCUSED), None)
    }

    /// What was excused of one subject.
    ///
    /// # Errors
    /// `MC806` where the file cannot be read.
    pub fn excused_of(&self, subject_id: &str) -> Result<Vec<Excused>, Diagnostic> {
        table::read(&self.path.join(EXCUSED), one("subject_id", subject_id))
    }

    /// The findings of one rule, and everything that it excused.
    ///
    /// # Errors
    /// `MC806` where the files cannot be read.
    pub fn of_rule(&self, rule_id: &str) -> Result<(Vec<Finding>, Vec<Excused>), Diagnostic> {
        Ok((self.findings_of(rule_id)?, self.excused_by(rule_id)?))
    }

    pub(crate) fn findings_of(&self, rule_id: &str) -> Result<Vec<Finding>, Diagnostic> {
        table::read(&self.path.join(FINDINGS), one("rule_id", rule_id))
    }

    pub(crate) fn excused_by(&self, rule_id: &str) -> Result<Vec<Excused>, Diagnostic> {
        table::read(&self.path.join(EXCUSED), one("rule_id", rule_id))
    }

    /// The outcomes, ordered by rule.
    ///
    /// # Errors
    /// `MC806` where the file cannot be read.
    pub fn outcomes(&self) -> Result<Vec<Outcome>, Diagnostic> {
        table::read(&self.path.join(RULES), None)
    }
}

fn one(column: &'static str, text: &str) -> Only {
    Some((column, HashSet::from([text.to_owned()])))
}

/// Where the results of finished parts are kept while the run at `out` is not complete: beside it, hidden. Nothing is
/// made.
pub fn parts_folder(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    parent_of(out).join(format!(".{name}.parts"))
}

/// Takes away what killed runs into `out` had begun to write. Only for who knows that no other run into `out` is going
/// on. Gives what has such a name and not the mark: that is left alone.
///
/// # Errors
/// `MC801` where the disk refuses.
pub fn sweep(out: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let parent = parent_of(out);
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    unfinished::sweep(&parent, &name, "partial").map_err(|e| {
        fault::disk("MC801", ("清理未完成的结果", "take away what was not finished"), &parent, &e)
    })
}

fn parent_of(out: &Path) -> PathBuf {
    match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Flushes a folder's list of names.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What every table of a run says of it.
fn marks(manifest: &Manifest) -> [(&str, &str); 2] {
    [("mingcha.run_id", &manifest.run_id), ("mingcha.rule_pack_hash", &manifest.rule_pack_hash)]
}

fn nothing_written() -> Diagnostic {
    Diagnostic::error(
        "MC808",
        "运行结果尚未写出，不能提交",
        "nothing was written, so nothing can be committed",
    )
}

/// Equal runs give equal bytes only in one order: the next row comes after the last one.
fn follow(last: &mut [String; 3], next: [&String; 3]) -> Result<(), Diagnostic> {
    if last.iter().cmp(next).is_ge() {
        return Err(Diagnostic::error(
            "MC807",
            format!("结果应按规则、对象、编号排列，实际在规则 {} 处乱序或重复", next[0]),
            format!(
                "wanted rows in order of rule, subject and id, got one out of order or twice in rule {}",
                next[0]
            ),
        ));
    }
    for (last, next) in last.iter_mut().zip(next) {
        last.clone_from(next);
    }
    Ok(())
}

/// A run, with nothing beside its files that somebody else put there: replacing it would take that, too.
fn is_run_folder(path: &Path) -> bool {
    let real = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let ours = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            [MANIFEST, FINDINGS, EXCUSED, RULES, key::KEY, unfinished::MARK].iter().any(|ours| *ours == name)
        })
    };
    real && fs::read_dir(path).is_ok_and(|mut entries| entries.all(ours))
        && fs::read(path.join(MANIFEST))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .is_some_and(|value| value.get("format").and_then(|f| f.as_str()) == Some(FORMAT))
}

/// What a run's manifest says, if the bytes are one that nobody changed. Whether the other files of the folder are still
/// those that it names is for the caller to see.
#[must_use]
pub fn proven(bytes: &[u8]) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
    let whole = manifest.format == FORMAT
        && manifest.format_version == FORMAT_VERSION
        && seal_of(&manifest).is_ok_and(|seal| seal == manifest.seal);
    whole.then_some(manifest)
}

fn read_manifest(path: &Path) -> Result<Manifest, Diagnostic> {
    let file = path.join(MANIFEST);
    let not_a_run = || {
        Diagnostic::error(
            "MC803",
            "应为一次运行的结果文件夹，实际不是",
            "wanted the folder of a finished run, got something else",
        )
        .in_file(path.display())
        .with_help("给出 `mingcha run --out` 写出的文件夹", "give the folder that `mingcha run --out` wrote")
    };
    let bytes = fs::read(&file).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_a_run(),
        _ => fault::disk("MC803", ("打开运行结果", "open the run"), &file, &e),
    })?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| changed(&file))?;
    if value.get("format").and_then(|f| f.as_str()) != Some(FORMAT) {
        return Err(not_a_run());
    }
    let version = value.get("format_version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(FORMAT_VERSION)) {
        let got = version.map_or_else(|| "?".to_owned(), |v| v.to_string());
        return Err(Diagnostic::error(
            "MC805",
            format!("运行结果的格式版本应为 {FORMAT_VERSION}，实际为 {got}"),
            format!("wanted a run folder of format version {FORMAT_VERSION}, got {got}"),
        )
        .in_file(file.display())
        .with_help(
            "用写出它的版本打开，或重新运行",
            "open it with the version that wrote it, or run again",
        ));
    }
    serde_json::from_value(value).map_err(|_| changed(&file))
}

fn changed(file: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC804",
        "文件应与写出时一致，实际已被改动或损坏",
        "wanted the file as it was written, but it was changed or damaged since",
    )
    .in_file(file.display())
    .with_help("从备份恢复，或重新运行", "restore it from a backup, or run again")
}

fn seal_of(manifest: &Manifest) -> Result<String, Diagnostic> {
    let open = Manifest { seal: String::new(), ..manifest.clone() };
    let text = serde_json::to_string(&open).map_err(|e| fault::unwritable(Path::new(MANIFEST), e))?;
    let mut hash = Fields::new("mingcha manifest 1");
    hash.add(&text);
    Ok(hash.finish())
}

fn manifest_text(path: &Path, manifest: &Manifest) -> Result<String, Diagnostic> {
    let mut text = serde_json::to_string_pretty(manifest).map_err(|e| fault::unwritable(path, e))?;
    text.push('\n');
    Ok(text)
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), Diagnostic> {
    let text = manifest_text(path, manifest)?;
    let write = || -> io::Result<()> {
        let mut file = private::new_file(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| fault::disk("MC801", ("写文件", "write the file"), path, &e))
}
