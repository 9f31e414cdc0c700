//! What finished parts of a walk gave, on disk until it is gathered: so that a night's harvests need not wait in
//! memory, and a run that was killed goes on from where it was. Refuses to know what a harvest means: rows go in and
//! the same rows come out, or nothing does.
//!
//! ```text
//! folder/key.json            what all results in the folder follow from; another key, and none of them is used
//! folder/part-<persons>      one finished part:
//!   │ rows of one rule       Arrow IPC streams one after another, a SHA-256 over them
//!   │ rows of the next ...
//!   │ rows of a kept view ...
//!   │ persons                those that any of the rules names
//!   │ index                  where all that stands, as JSON
//!   └ length of the index, its SHA-256, the mark
//! ```
//!
//! A file is written under another name and renamed, and read again only if every sum fits: what was torn or altered
//! is done again. A part says which persons it covers, so that a run with other memory or threads, which would cut
//! the shards otherwise, uses it all the same and cuts up what is left.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use mingcha_files::private;
use mingcha_intake::Part;
use mingcha_rules::{Diagnostic, Text};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gather::{Excusals, Harvest};
use crate::key::Key;
use crate::report::RunProgress;
use crate::stop::Stop;
use crate::worker::PartResult;

const KEY: &str = "key.json";
const PREFIX: &str = "part-";
/// Of a file that is being written.
const UNFINISHED: &str = "unfinished-";
/// The last bytes of every file; another layout, another mark.
const MARK: &[u8; 8] = b"MCPART01";
/// Length of the index, its sum, the mark.
const TAIL: usize = 8 + 32 + MARK.len();
const BUFFER: usize = 1 << 17;

/// Takes away what the walks of a run kept below `folder`, and the folder where nothing else is left in it.
///
/// # Errors
/// Where the disk refuses.
pub fn clear_all(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(meta) if !meta.is_dir() => return Ok(()),
        Ok(_) => {}
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let walk = entry.path();
        let ours = fs::read(walk.join(KEY)).is_ok_and(|bytes| is_key(&bytes));
        if ours && entry.file_type()?.is_dir() {
            clear(&walk)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        done => done,
    }
}

/// Takes away what a walk kept in `folder`, and the folder where nothing else is left in it. What bears none of our names
/// is somebody else's and stays, and so does what lies behind a link.
fn clear(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(meta) if !meta.is_dir() => return Ok(()),
        Ok(_) => {}
    }
    let mut all_ours = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name == KEY || name.starts_with(PREFIX) || name.starts_with(UNFINISHED);
        if ours && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        } else {
            all_ours = false;
        }
    }
    if all_ours { fs::remove_dir(folder) } else { Ok(()) }
}

/// Whether the bytes are the key of such a folder, be it of an earlier build, which said less or said it otherwise.
#[must_use]
pub fn is_key(bytes: &[u8]) -> bool {
    let key: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(bytes).ok();
    let has = |key: &serde_json::Map<_, _>| {
        ["build", "tables", "contracts", "as_of", "rules", "views"]
            .iter()
            .all(|field| key.contains_key(*field))
    };
    key.is_some_and(|key| has(&key))
}

/// Whether a file of such a folder bears our name, and, where it says that it is finished, our mark at its end.
#[must_use]
pub fn is_part(name: &str, end: &[u8]) -> bool {
    name.starts_with(UNFINISHED) || (name.starts_with(PREFIX) && end.ends_with(MARK))
}

/// The folder of one walk.
pub(crate) struct Stash {
    folder: PathBuf,
    key: Key,
}

impl Stash {
    /// Opens the folder for the walk that `key` describes; what is there already and can be used, if it may be. Says
    /// what cannot be used, and takes it away.
    pub(crate) fn open(
        folder: &Path,
        key: Key,
        resume: bool,
        progress: &dyn RunProgress,
    ) -> Result<(Self, Vec<Finished>), Diagnostic> {
        let stash = Self { folder: folder.to_path_buf(), key };
        let left = stash.parts_left().map_err(|e| refused(folder, &e))?;
        let then: Option<Key> =
            fs::read(folder.join(KEY)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let same = then.as_ref() == Some(&stash.key);
        if !left.is_empty() {
            match (resume, same) {
                (true, true) => return stash.take_up(left, progress),
                (false, true) => progress.remark(&abandoned(left.len())),
                (true, false) => progress.remark(&afresh(then.map(|then| stash.key.differs(&then)))),
                (false, false) => {}
            }
        }
        clear(folder).map_err(|e| refused(folder, &e))?;
        Ok((stash, Vec::new()))
    }

    /// Files of finished parts.
    fn parts_left(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)));
        paths.sort();
        Ok(paths)
    }

    fn take_up(
        self,
        left: Vec<PathBuf>,
        progress: &dyn RunProgress,
    ) -> Result<(Self, Vec<Finished>), Diagnostic> {
        let mut finished: Vec<Finished> = Vec::new();
        let (mut damaged, mut held) = (0, 0);
        for path in left {
            match Finished::open(&path) {
                Ok(one) if one.index.held => held += 1,
                Ok(one) if finished.iter().all(|other| !overlap(one.part(), other.part())) => {
                    finished.push(one);
                    continue;
                }
                _ => damaged += 1,
            }
            fs::remove_file(&path).map_err(|e| refused(&path, &e))?;
        }
        if damaged > 0 {
            progress.remark(&Diagnostic::warning(
                "MC710",
                format!("{damaged} 个部分的中间结果已损坏，将重新计算"),
                format!("the kept results of {damaged} parts are damaged; these parts are done again"),
            ));
        }
        if held > 0 {
            progress.remark(&Diagnostic::warning(
                "MC711",
                format!("{held} 个部分上次内存不足，将重新计算"),
                format!("{held} parts had not had memory enough; they are done again"),
            ));
        }
        Ok((self, finished))
    }

    /// Writes what a part gave. `None`: it was interrupted and gave nothing that counts.
    pub(crate) fn keep(
        &self,
        part: Part,
        results: Vec<PartResult>,
        persons: &[i32],
    ) -> Result<Option<Finished>, Diagnostic> {
        if results.iter().any(PartResult::interrupted) {
            return Ok(None);
        }
        let name = name_of(part);
        let path = self.folder.join(format!("{PREFIX}{name}"));
        let aside = self.folder.join(format!("{UNFINISHED}{name}"));
        let written = self.begin().and_then(|()| {
            let index = write_part(&aside, part, results, persons)?;
            fs::rename(&aside, &path)?;
            Ok(index)
        });
        let index = written.map_err(|e| refused(&path, &e))?;
        Ok(Some(Finished { path: Arc::new(path), index }))
    }

    /// Makes the folder when the first part is finished: a run that did nothing leaves nothing. What lies in it names
    /// people: only its owner may open it.
    fn begin(&self) -> io::Result<()> {
        let key = self.folder.join(KEY);
        if key.exists() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.create(&self.folder)?;
        // Several threads may come here at a time; each writes the same.
        let thread = std::thread::current().id();
        let aside = self.folder.join(format!("{UNFINISHED}{thread:?}"));
        private::file(&aside)?.write_all(&serde_json::to_vec_pretty(&self.key)?)?;
        fs::rename(&aside, &key)
    }
}

/// A part that is finished: where its rows lie on the disk.
pub(crate) struct Finished {
    path: Arc<PathBuf>,
    index: Index,
}

/// One rule's harvest on one part, on the disk.
pub(crate) struct Stored {
    path: Arc<PathBuf>,
    rows: HarvestRows,
}

/// A rule, what it gave (or why nothing), how long it took, and its peak of memory.
pub(crate) type OfRule = (String, Result<Stored, Stop>, Duration, u64);
/// A view, and where its rows are.
pub(crate) type OfView = (String, StoredView);

/// The rows of a kept view on one part, on the disk.
pub(crate) struct StoredView {
    path: Arc<PathBuf>,
    section: Section,
}

/// What a part, or a piece of it that was done apart, gave.
pub(crate) struct Contents {
    pub rules: Vec<OfRule>,
    pub views: Vec<OfView>,
    pub broken_views: Vec<(String, Stop)>,
}

impl Finished {
    /// Opens a file and compares every sum.
    fn open(path: &Path) -> Result<Self, Broken> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let tail_at = bytes.checked_sub(TAIL as u64).ok_or(Broken)?;
        let tail = read_at(&mut file, tail_at, TAIL as u64)?;
        let (length, rest) = tail.split_first_chunk::<8>().ok_or(Broken)?;
        let (sum, mark) = rest.split_first_chunk::<32>().ok_or(Broken)?;
        let length = u64::from_le_bytes(*length);
        let index_at = tail_at.checked_sub(length).filter(|_| mark == MARK).ok_or(Broken)?;
        let text = read_at(&mut file, index_at, length)?;
        if Sha256::digest(&text).as_slice() != sum {
            return Err(Broken);
        }
        let index: Index = serde_json::from_slice(&text).map_err(|_| Broken)?;
        for section in index.sections() {
            section.check(&mut file, index_at)?;
        }
        Ok(Self { path: Arc::new(path.to_path_buf()), index })
    }

    /// What it covers.
    pub(crate) fn part(&self) -> Part {
        self.index.part.part()
    }

    /// The persons that its rules name.
    pub(crate) fn persons(&self) -> Result<Vec<i32>, Diagnostic> {
        let bytes = self.index.persons.read(&self.path)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    /// What it holds, in order of the pieces that it was done in.
    pub(crate) fn results(self) -> Vec<Contents> {
        let path = self.path;
        let result = |result: ResultIndex| {
            let harvests = result.harvests.into_iter().map(|h| {
                let rows = match h.outcome {
                    Ended::Rows(rows) => Ok(Stored { path: Arc::clone(&path), rows }),
                    Ended::Failed(text) => Err(Stop::Failed(text)),
                    Ended::Held(text) => Err(Stop::Held(text)),
                };
                (h.rule, rows, Duration::from_nanos(h.nanos), h.peak)
            });
            let views = result
                .views
                .into_iter()
                .map(|(name, section)| (name, StoredView { path: Arc::clone(&path), section }));
            let broken = result.broken_views.into_iter().map(|(name, ended)| {
                let stop = match ended {
                    Ended::Held(text) => Stop::Held(text),
                    Ended::Failed(text) => Stop::Failed(text),
                    Ended::Rows(_) => Stop::Cancelled,
                };
                (name, stop)
            });
            Contents { rules: harvests.collect(), views: views.collect(), broken_views: broken.collect() }
        };
        self.index.results.into_iter().map(result).collect()
    }
}

impl Stored {
    /// The rows, in memory again.
    pub(crate) fn read(&self) -> Result<Harvest, Diagnostic> {
        let rows = &self.rows;
        let bytes = rows.section.read(&self.path)?;
        let mut rest = bytes.as_slice();
        let mut next = |length: u64| {
            let (now, later) =
                usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)).ok_or(Broken)?;
            rest = later;
            Ok(read_batches(now)?)
        };
        let mut all = || -> Result<Harvest, Broken> {
            let excused = next(rows.excused)?;
            let lots = next(rows.lots)?;
            let remaining = next(rows.remaining)?;
            let counters = rows.counters.iter().map(|n| next(*n)).collect::<Result<_, Broken>>()?;
            let counts = (rows.candidates, rows.without_subject);
            Ok(Harvest::of(counts, remaining, counters, Excusals { rows: excused, lots })?)
        };
        all().map_err(|_| damaged(&self.path))
    }
}

impl StoredView {
    /// The rows, in memory again.
    pub(crate) fn read(&self) -> Result<Vec<RecordBatch>, Diagnostic> {
        let bytes = self.section.read(&self.path)?;
        read_batches(&bytes).map_err(|_| damaged(&self.path))
    }
}

/// The index of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    part: Covered,
    /// Whether something in it found no memory: worth another try.
    held: bool,
    results: Vec<ResultIndex>,
    persons: Section,
}

#[derive(Debug, Serialize, Deserialize)]
struct ResultIndex {
    harvests: Vec<HarvestIndex>,
    views: Vec<(String, Section)>,
    broken_views: Vec<(String, Ended)>,
}

impl ResultIndex {
    fn sections(&self) -> impl Iterator<Item = &Section> {
        let rows = self.harvests.iter().filter_map(|h| match &h.outcome {
            Ended::Rows(rows) => Some(&rows.section),
            Ended::Failed(_) | Ended::Held(_) => None,
        });
        rows.chain(self.views.iter().map(|(_, section)| section))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct HarvestIndex {
    rule: String,
    nanos: u64,
    peak: u64,
    outcome: Ended,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ended {
    Rows(HarvestRows),
    Failed(Text),
    Held(Text),
}

/// Where the rows of one harvest are: lengths of the streams, in this order.
#[derive(Debug, Serialize, Deserialize)]
struct HarvestRows {
    section: Section,
    candidates: u64,
    without_subject: u64,
    excused: u64,
    lots: u64,
    remaining: u64,
    counters: Vec<u64>,
}

/// Some bytes of the file, and their sum.
#[derive(Debug, Serialize, Deserialize)]
struct Section {
    at: u64,
    bytes: u64,
    sha256: String,
}

impl Section {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Diagnostic> {
        let mut file = File::open(path).map_err(|e| refused(path, &e))?;
        let bytes = read_at(&mut file, self.at, self.bytes).map_err(|_| damaged(path))?;
        if hex(&Sha256::digest(&bytes)) != self.sha256 {
            return Err(damaged(path));
        }
        Ok(bytes)
    }

    /// Whether it lies before `end` and its sum fits; reads a little at a time.
    fn check(&self, file: &mut File, end: u64) -> Result<(), Broken> {
        self.at.checked_add(self.bytes).filter(|to| *to <= end).ok_or(Broken)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut left = file.take(self.bytes);
        let mut sum = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match left.read(&mut buffer)? {
                0 => break,
                n => sum.update(&buffer[..n]),
            }
        }
        if hex(&sum.finalize()) == self.sha256 { Ok(()) } else { Err(Broken) }
    }
}

impl Index {
    fn sections(&self) -> impl Iterator<Item = &Section> {
        self.results.iter().flat_map(ResultIndex::sections).chain([&self.persons])
    }
}

/// A [`Part`] as it is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Covered {
    Shard(usize),
    Slice { shard: usize, from: i32, to: i32 },
    Unassigned,
    Whole,
}

impl Covered {
    fn of(part: Part) -> Self {
        match part {
            Part::Shard(shard) => Self::Shard(shard),
            Part::Slice { shard, from, to } => Self::Slice { shard, from, to },
            Part::Unassigned => Self::Unassigned,
            Part::Whole => Self::Whole,
        }
    }

    fn part(self) -> Part {
        match self {
            Self::Shard(shard) => Part::Shard(shard),
            Self::Slice { shard, from, to } => Part::Slice { shard, from, to },
            Self::Unassigned => Part::Unassigned,
            Self::Whole => Part::Whole,
        }
    }
}

fn name_of(part: Part) -> String {
    match part {
        Part::Shard(shard) => format!("{shard:05}"),
        Part::Slice { shard, from, to } => format!("{shard:05}-{from:010}-{to:010}"),
        Part::Unassigned => "unassigned".to_owned(),
        Part::Whole => "whole".to_owned(),
    }
}

fn overlap(a: Part, b: Part) -> bool {
    let persons = |part: Part| match part {
        Part::Shard(shard) => Some((shard, i32::MIN..i32::MAX)),
        Part::Slice { shard, from, to } => Some((shard, from..to)),
        Part::Unassigned | Part::Whole => None,
    };
    match (persons(a), persons(b)) {
        (Some((a, x)), Some((b, y))) => a == b && x.start < y.end && y.start < x.end,
        _ => a == b,
    }
}

/// The persons `of` a shard that `finished` leaves. `None`: the shard is as it was, nothing of it is done.
pub(crate) fn gaps(shard: usize, of: (i32, i32), finished: &[Part]) -> Option<Vec<Range<i32>>> {
    let mut done: Vec<Range<i32>> = Vec::new();
    for part in finished {
        match *part {
            Part::Shard(other) if other == shard => return Some(Vec::new()),
            Part::Slice { shard: other, from, to } if other == shard => done.push(from..to),
            _ => {}
        }
    }
    if done.is_empty() {
        return None;
    }
    done.sort_by_key(|range| range.start);
    let mut left = Vec::new();
    let mut at = of.0;
    for range in done {
        if range.start > at {
            left.push(at..range.start);
        }
        at = at.max(range.end);
    }
    if at < of.1 {
        left.push(at..of.1);
    }
    Some(left)
}

/// What a file holds is not what was written. Why does not matter: it is done again.
#[derive(Debug)]
struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<ArrowError> for Broken {
    fn from(_: ArrowError) -> Self {
        Self
    }
}

/// Counts and sums up what goes through.
struct Summed<W> {
    inner: W,
    at: u64,
    from: u64,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    /// What was written since the last section.
    fn section(&mut self) -> Section {
        let sum = std::mem::take(&mut self.sum).finalize();
        let section = Section { at: self.from, bytes: self.at - self.from, sha256: hex(&sum) };
        self.from = self.at;
        section
    }

    /// Writes batches and tells how many bytes they took.
    fn batches(&mut self, batches: &[RecordBatch]) -> Result<u64, ArrowError> {
        let before = self.at;
        write_batches(self, batches)?;
        Ok(self.at - before)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.sum.update(&bytes[..n]);
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_part(path: &Path, part: Part, results: Vec<PartResult>, persons: &[i32]) -> io::Result<Index> {
    let file = BufWriter::with_capacity(BUFFER, private::file(path)?);
    // The sum is made of whole pieces: it goes before the buffer.
    let mut out = Summed { inner: file, at: 0, from: 0, sum: Sha256::new() };
    let mut index =
        Index { part: Covered::of(part), held: false, results: Vec::new(), persons: out.section() };
    let written = |e: ArrowError| match e {
        ArrowError::IoError(_, e) => e,
        other => io::Error::other(other),
    };
    for result in results {
        let mut mine = ResultIndex { harvests: Vec::new(), views: Vec::new(), broken_views: Vec::new() };
        let mut ended = |stop| match stop {
            Stop::Held(text) => {
                index.held = true;
                Ended::Held(text)
            }
            Stop::Failed(text) => Ended::Failed(text),
            Stop::Cancelled => Ended::Failed(Text::default()),
        };
        for (rule, harvest, spent, peak) in result.harvests {
            let outcome = match harvest {
                Ok(harvest) => Ended::Rows(write_harvest(&mut out, &harvest).map_err(written)?),
                Err(stop) => ended(stop),
            };
            let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            mine.harvests.push(HarvestIndex { rule, nanos, peak, outcome });
        }
        for (name, batches) in result.views {
            out.batches(&batches).map_err(written)?;
            mine.views.push((name, out.section()));
        }
        for (name, stop) in result.broken_views {
            mine.broken_views.push((name, ended(stop)));
        }
        index.results.push(mine);
    }
    for pid in persons {
        out.write_all(&pid.to_le_bytes())?;
    }
    index.persons = out.section();
    let text = serde_json::to_vec(&index)?;
    let mut file = out.inner;
    file.write_all(&text)?;
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&Sha256::digest(&text))?;
    file.write_all(MARK)?;
    // Not flushed to the disk: a killed process loses nothing, and what a power cut tears is found by its sum.
    file.flush()?;
    Ok(index)
}

fn write_harvest<W: Write>(out: &mut Summed<W>, harvest: &Harvest) -> Result<HarvestRows, ArrowError> {
    let Excusals { rows, lots } = harvest.excusals()?;
    let excused = out.batches(&rows)?;
    let lots = out.batches(&lots)?;
    let remaining = out.batches(&harvest.remaining)?;
    let counters = harvest.counters.iter().map(|c| out.batches(c)).collect::<Result<_, _>>()?;
    let (candidates, without_subject) = harvest.counts();
    Ok(HarvestRows {
        section: out.section(),
        candidates,
        without_subject,
        excused,
        lots,
        remaining,
        counters,
    })
}

/// Batches as streams, a new one wherever the schema changes; no batches, no bytes.
fn write_batches(out: &mut impl Write, batches: &[RecordBatch]) -> Result<(), ArrowError> {
    for alike in batches.chunk_by(|a, b| a.schema_ref() == b.schema_ref()) {
        let Some(first) = alike.first() else { continue };
        let mut writer = StreamWriter::try_new(&mut *out, first.schema_ref())?;
        for batch in alike {
            writer.write(batch)?;
        }
        writer.finish()?;
    }
    Ok(())
}

fn read_batches(mut bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let before = bytes.len();
        for batch in StreamReader::try_new(&mut bytes, None)? {
            out.push(batch?);
        }
        if bytes.len() == before {
            return Err(ArrowError::IpcError("a stream without an end".to_owned()));
        }
    }
    Ok(out)
}

fn read_at(file: &mut File, at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut out = Vec::new();
    // What the length says is believed only as far as the file goes.
    let n = file.take(bytes).read_to_end(&mut out)?;
    if n as u64 == bytes { Ok(out) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sum of what `parts` say, one after another.
pub(crate) fn sum_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    hex(&sum.finalize())
}

fn refused(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error(
        "MC707",
        format!("中间结果无法存取：{error}"),
        format!("the results of finished parts cannot be kept or read: {error}"),
    )
    .in_file(path.display())
    .with_help(
        "请检查磁盘空间和权限，然后加 --resume 继续",
        "check the disk's space and permissions, then go on with --resume",
    )
}

fn damaged(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "MC709",
        "中间结果读回时与写入时不同",
        "results of a finished part were read back otherwise than they were written",
    )
    .in_file(path.display())
    .with_help(
        "请检查磁盘，然后加 --resume 继续：该部分会重新计算",
        "check the disk, then go on with --resume: that part is done again",
    )
}

fn abandoned(parts: usize) -> Diagnostic {
    Diagnostic::warning(
        "MC712",
        format!("上次中断的同一次运行已完成 {parts} 个部分，现从头开始"),
        format!("an interrupted run of the same had finished {parts} parts; this one starts afresh"),
    )
    .with_help("下次加 --resume 可接着运行", "`--resume` would have continued it")
}

fn afresh(differs: Option<Text>) -> Diagnostic {
    let differs =
        differs.unwrap_or_else(|| Text { zh: "说明文件".to_owned(), en: "the key file".to_owned() });
    Diagnostic::warning(
        "MC713",
        format!("上次中断的运行不能接着运行，现从头开始；不同之处：{}", differs.zh),
        format!(
            "the interrupted run cannot be continued, this one starts afresh; what differs: {}",
            differs.en
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use arrow::array::{
        ArrayRef, Int32Array, RecordBatchOptions, StringArray, StringViewArray, UInt32Array, UInt64Array,
    };
    use arrow::datatypes::Schema;
    use mingcha_rules::Outcome;

    use super::*;
    use std::collections::BTreeMap;

    /// Remembers the codes of what was remarked.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Told {
        fn codes(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl RunProgress for Told {
        fn begin(&self, _units: u64) {}
        fn advance(&self, _units: u64) {}
        fn rule_done(&self, _outcome: &Outcome) {}
        fn remark(&self, remark: &Diagnostic) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(remark.code.clone());
        }
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> RecordBatch {
        batch(vec![("name", Arc::new(StringViewArray::from_iter(values.iter().copied())))])
    }

    fn without_columns(rows: usize) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap()
    }

    /// Excused persons and accounts.
    fn excused() -> RecordBatch {
        let u32s = |v: [u32; 3]| -> ArrayRef { Arc::new(UInt32Array::from(v.to_vec())) };
        let u64s = |v: [u64; 3]| -> ArrayRef { Arc::new(UInt64Array::from(v.to_vec())) };
        batch(vec![
            ("pid", Arc::new(Int32Array::from(vec![Some(7), None, Some(i32::MAX)]))),
            ("text", Arc::new(StringArray::from(vec![None, Some(""), None]))),
            ("code", u32s([0, 3, 63])),
            ("candidates", u64s([1, 2, u64::MAX])),
            ("also", u64s([0, 1 << 63, 5])),
            ("lot", u32s([0, 0, 1])),
            ("row", u32s([0, 1, 9])),
        ])
    }

    fn harvest() -> Harvest {
        let long = "a text that is longer than a view";
        let remaining = vec![texts(&[Some("x"), None, Some(long)]), texts(&[]), without_columns(4)];
        let counters = vec![vec![texts(&[None, None])], Vec::new()];
        let lots = vec![texts(&[Some("shown")]), without_columns(10)];
        Harvest::of((11, 2), remaining, counters, Excusals { rows: vec![excused()], lots }).unwrap()
    }

    fn result(part: Part, stop: Option<Stop>) -> PartResult {
        let mut harvests = vec![
            ("PEN-01".to_owned(), Ok(harvest()), Duration::from_nanos(1_000_000_007), 42),
            ("PEN-02".to_owned(), Ok(Harvest::default()), Duration::ZERO, 0),
        ];
        if let Some(stop) = stop {
            harvests.push(("PEN-03".to_owned(), Err(stop), Duration::from_millis(3), 1));
        }
        let views = vec![
            ("of_text".to_owned(), vec![texts(&[Some("k"), None])]),
            ("of_nothing".to_owned(), Vec::new()),
            ("of_rows".to_owned(), vec![without_columns(3)]),
        ];
        PartResult { part, harvests, views, broken_views: Vec::new(), left: false }
    }

    fn failed() -> Stop {
        Stop::Failed(Text { zh: "坏".to_owned(), en: "broken".to_owned() })
    }

    fn slice(from: i32, to: i32) -> Part {
        Part::Slice { shard: 3, from, to }
    }

    fn same(a: &Harvest, b: &Harvest) {
        assert_eq!(a.counts(), b.counts());
        assert_eq!(a.remaining, b.remaining);
        assert_eq!(a.counters, b.counters);
        let (a, b) = (a.excusals().unwrap(), b.excusals().unwrap());
        assert_eq!(a.rows, b.rows);
        assert_eq!(a.lots, b.lots);
    }

    fn key() -> Key {
        Key { as_of: "2026-06-30".to_owned(), ..Key::default() }
    }

    fn open(folder: &Path, key: Key, resume: bool) -> (Stash, Vec<Finished>, Vec<String>) {
        let told = Told::default();
        let (stash, finished) = Stash::open(folder, key, resume, &told).unwrap();
        (stash, finished, told.codes())
    }

    #[test]
    fn what_a_part_gave_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("parts/all");
        let (stash, none, _) = open(&folder, key(), true);
        assert!(none.is_empty() && !folder.exists(), "nothing is made before there is something to keep");
        let halves = vec![result(slice(0, 5), None), result(slice(5, 10), Some(failed()))];
        let kept = stash.keep(slice(0, 10), halves, &[1, 7, i32::MAX]).unwrap().unwrap();
        let read = open(&folder, key(), true).1.pop().unwrap();
        for finished in [kept, read] {
            assert_eq!(finished.part(), slice(0, 10));
            assert_eq!(finished.persons().unwrap(), [1, 7, i32::MAX]);
            let results = finished.results();
            assert_eq!(results.iter().map(|r| r.rules.len()).collect::<Vec<_>>(), [2, 3]);
            for Contents { rules, views, broken_views } in &results {
                assert_eq!(
                    (rules[0].0.as_str(), rules[0].2.as_nanos(), rules[0].3),
                    ("PEN-01", 1_000_000_007, 42)
                );
                same(&rules[0].1.as_ref().ok().unwrap().read().unwrap(), &harvest());
                same(&rules[1].1.as_ref().ok().unwrap().read().unwrap(), &Harvest::default());
                assert_eq!(views[0].1.read().unwrap(), [texts(&[Some("k"), None])]);
                assert!(views[1].1.read().unwrap().is_empty());
                assert_eq!(views[2].1.read().unwrap(), [without_columns(3)]);
                assert!(broken_views.is_empty());
            }
            let stop = &results[1].rules[2].1;
            assert!(matches!(stop, Err(Stop::Failed(text)) if text.en == "broken"));
        }
    }

    #[test]
    fn a_file_that_was_altered_or_torn_is_found_and_the_part_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("all");
        let (stash, ..) = open(&folder, key(), false);
        stash.keep(Part::Unassigned, vec![result(Part::Unassigned, None)], &[3]).unwrap();
        stash.keep(Part::Shard(1), vec![result(Part::Shard(1), None)], &[4]).unwrap();
        let path = folder.join("part-00001");
        let good = fs::read(&path).unwrap();
        assert!(Finished::open(&path).is_ok());
        for at in (0..good.len()).step_by(13).chain(good.len() - TAIL - 1..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, bad).unwrap();
            assert!(Finished::open(&path).is_err(), "byte {at} of {}", good.len());
        }
        for length in (0..good.len()).step_by(101) {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Finished::open(&path).is_err(), "{length} of {} bytes", good.len());
        }
        let (_, finished, told) = open(&folder, key(), true);
        assert_eq!(finished.iter().map(Finished::part).collect::<Vec<_>>(), [Part::Unassigned]);
        assert_eq!(told, ["MC710"]);
        assert!(!path.exists());
        // A byte that changes after the file was opened is found when the rows are read.
        let rules = finished.into_iter().next().unwrap().results().remove(0).rules;
        let path = folder.join("part-unassigned");
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(rules[0].1.as_ref().ok().unwrap().read().unwrap_err().code, "MC709");
    }

    #[test]
    fn what_found_no_memory_is_tried_again_and_what_was_interrupted_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("all");
        let (stash, ..) = open(&folder, key(), false);
        let held = result(Part::Shard(0), Some(Stop::Held(Text::default())));
        let kept = stash.keep(Part::Shard(0), vec![held], &[]).unwrap().unwrap();
        assert!(matches!(kept.results()[0].rules[2].1, Err(Stop::Held(_))), "this run takes it as it is");
        let stopped = result(Part::Shard(1), Some(Stop::Cancelled));
        assert!(stash.keep(Part::Shard(1), vec![stopped], &[]).unwrap().is_none());
        let left = PartResult { left: true, ..result(Part::Shard(2), None) };
        assert!(stash.keep(Part::Shard(2), vec![left], &[]).unwrap().is_none());
        let (_, finished, told) = open(&folder, key(), true);
        assert!(finished.is_empty());
        assert_eq!(told, ["MC711"]);
    }

    #[test]
    fn only_results_that_follow_from_the_same_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let rule = |hash: &str, set: &str| ("PEN-01".to_owned(), (hash.to_owned(), set.to_owned()));
        let view = |hash: &str| BTreeMap::from([("a_view".to_owned(), hash.to_owned())]);
        let key = Key { rules: BTreeMap::from([rule("a", "")]), views: view("as it was"), ..key() };
        let text = || "other".to_owned();
        let others = [
            (Key { build: text(), ..key.clone() }, "the program"),
            (Key { tables: text(), ..key.clone() }, "the store"),
            (Key { contracts: text(), ..key.clone() }, "the contracts"),
            (Key { as_of: text(), ..key.clone() }, "the day (--as-of)"),
            (Key { plain_plans: true, ..key.clone() }, "--plain-plans"),
            (
                Key { rules: BTreeMap::from([rule("b", "")]), ..key.clone() },
                "rules or their parameters: PEN-01",
            ),
            (
                Key { rules: BTreeMap::from([rule("a", "x")]), ..key.clone() },
                "rules or their parameters: PEN-01",
            ),
            (Key { rules: BTreeMap::new(), ..key.clone() }, "rules or their parameters: PEN-01"),
            (Key { views: BTreeMap::new(), ..key.clone() }, "the views that it reads: a_view"),
            (Key { views: view("as it is now"), ..key.clone() }, "the views that it reads: a_view"),
            (Key { before: view("as it is now"), ..key.clone() }, "the views that it reads: a_view"),
            (Key { persons: text(), ..key.clone() }, "the run built upon (--since)"),
        ];
        let folder = dir.path().join("all");
        let keep = || {
            let (stash, ..) = open(&folder, key.clone(), false);
            stash.keep(Part::Shard(0), vec![result(Part::Shard(0), None)], &[]).unwrap();
        };
        keep();
        assert_eq!(open(&folder, key.clone(), true).1.len(), 1);
        for (other, what) in others {
            assert_eq!(other.differs(&key).en, what);
            let (_, finished, told) = open(&folder, other, true);
            assert!(finished.is_empty() && !folder.exists(), "{what}");
            assert_eq!(told, ["MC713"], "{what}");
            keep();
        }
        let (_, finished, told) = open(&folder, key.clone(), false);
        assert!(finished.is_empty() && !folder.exists());
        assert_eq!(told, ["MC712"], "who did not ask for it is told that it could have been");
    }

    #[test]
    fn the_key_of_an_earlier_build_is_known_as_one() {
        let old = r#"{"build": "x", "tables": "t", "contracts": "c", "as_of": "2026-06-30", "plain_plans": false,
            "rules": {"PEN-01": ["a", ""]}, "views": ["a_view"], "before": [], "persons": ""}"#;
        assert!(is_key(old.as_bytes()) && is_key(&serde_json::to_vec(&key()).unwrap()));
        for other in ["", "{}", "[]", r#"{"build": "x", "rules": {}}"#] {
            assert!(!is_key(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn the_persons_that_are_left_are_those_that_no_part_covers() {
        let left = |parts: &[Part]| gaps(3, (0, 100), parts);
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[Part::Shard(2), Part::Unassigned]), None);
        assert_eq!(left(&[Part::Shard(3)]), Some(Vec::new()));
        assert_eq!(left(&[slice(40, 60), slice(0, 10), slice(10, 20)]), Some(vec![20..40, 60..100]));
        assert_eq!(left(&[slice(0, 50), slice(50, 100)]), Some(Vec::new()));
        assert!(overlap(slice(0, 10), slice(9, 12)) && overlap(Part::Shard(3), slice(5, 6)));
        assert!(!overlap(slice(0, 10), slice(10, 12)) && !overlap(Part::Shard(2), slice(5, 6)));
        assert!(overlap(Part::Unassigned, Part::Unassigned));
    }
}
