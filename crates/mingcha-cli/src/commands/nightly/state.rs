//! What is written down of nights, so that one that was killed goes on where it was: the open night and its step, the
//! last night that was finished, messages that could not be delivered. And the sign of life for monitoring. Every file
//! is replaced as a whole; knows no step's work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::text::Text;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::exit::{Exit, Failure};

/// Seconds between signs of life.
const BEAT: u64 = 15;

/// The steps of a night, in order. The one that stands in the file is the one to be done next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Extracts are waited for.
    #[default]
    Arrive,
    /// Extracts into the store.
    Prepare,
    /// Rules over the store.
    Run,
    /// The run into the ledger.
    Ledger,
    /// Lists for people.
    Export,
    /// The report of the night.
    Report,
    /// Messages.
    Tell,
    /// Nothing is left.
    Done,
}

impl Step {
    /// For a reader.
    pub(crate) fn title(self) -> Text {
        let (zh, en) = match self {
            Self::Arrive => ("等待数据", "waiting for extracts"),
            Self::Prepare => ("整理入库", "preparing the store"),
            Self::Run => ("运行规则", "running rules"),
            Self::Ledger => ("记入台账", "writing the ledger"),
            Self::Export => ("导出清单", "writing lists"),
            Self::Report => ("编写报告", "writing the report"),
            Self::Tell => ("发送通知", "sending messages"),
            Self::Done => ("完成", "done"),
        };
        Text { zh: zh.to_owned(), en: en.to_owned() }
    }
}

/// One night. Holds counts, names of rules and datasets, places of files; nothing about anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NightRecord {
    /// The day by which facts are judged.
    pub(crate) as_of: String,
    /// When it was due, RFC 3339.
    pub(crate) due: String,
    /// When it was first started.
    pub(crate) began: String,
    /// When it was finished.
    pub(crate) ended: String,
    /// Nights that nobody ran before this one.
    pub(crate) missed: u64,
    /// Whether it makes up for missed nights or began long after it was due.
    pub(crate) late: bool,
    /// How often it was started.
    pub(crate) attempts: u64,
    /// What is to be done next.
    pub(crate) step: Step,
    /// Expected extracts that did not come.
    pub(crate) missing: Vec<String>,
    /// Datasets set aside because a file of theirs was broken, and the codes of the faults.
    pub(crate) without: BTreeMap<String, BTreeSet<String>>,
    /// Where the run is.
    pub(crate) run: String,
    /// Its number in the ledger.
    pub(crate) number: u64,
    /// Leads by mark.
    pub(crate) marks: BTreeMap<String, u64>,
    /// Rules without an answer.
    pub(crate) not_evaluated: BTreeMap<String, String>,
    /// Findings by rule; of a rule without an answer those of the last night that had one.
    pub(crate) findings: BTreeMap<String, u64>,
    /// Leads that somebody holds and that stand no more.
    pub(crate) cancellations: u64,
    /// Rules whose lists are held back, and why.
    pub(crate) held: BTreeMap<String, Vec<String>>,
    /// Where the lists are.
    pub(crate) lists: String,
    /// Findings in the lists.
    pub(crate) listed: u64,
    /// Numbers of the lists that were handed out.
    pub(crate) handed_out: Vec<String>,
    /// Entries of `[[list]]`, by their place from 1, for whom no list could be made, and the code of the fault.
    pub(crate) not_handed_out: BTreeMap<usize, String>,
    /// Open leads that no list has, though there are lists.
    pub(crate) unlisted: u64,
    /// The report, if one was written.
    pub(crate) report: String,
    /// Things whose clock has run out.
    pub(crate) to_purge: u64,
    /// The exit code it ended with.
    pub(crate) exit: u8,
    /// Why it stopped, where it did: code of the fault.
    pub(crate) fault: String,
    /// The exit code of that; none of it is left once it goes on.
    pub(crate) fault_exit: u8,
    /// What of that was told already.
    pub(crate) told: String,
}

/// A message on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letter {
    /// To which listener, by its place in the configuration.
    pub(crate) to: usize,
    /// What it says in one line.
    pub(crate) subject: String,
    /// What it says.
    pub(crate) text: String,
    /// The same for machines.
    pub(crate) facts: serde_json::Value,
    /// Whether something is wrong.
    pub(crate) trouble: bool,
    /// How often it could not be delivered.
    pub(crate) failed: u64,
}

/// Everything that is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct State {
    /// The night that is going on, or was killed, or stopped.
    pub(crate) open: Option<NightRecord>,
    /// The last one that was finished.
    pub(crate) last: Option<NightRecord>,
    /// Messages that could not be delivered yet.
    pub(crate) letters: Vec<Letter>,
}

impl State {
    /// What is written down in `folder`; nothing where there is nothing yet.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = place(folder);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::disk(&path, &error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| unreadable(&path)),
        }
    }

    /// Writes it down, as a whole or not at all.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        replace(&place(folder), self)
    }
}

fn place(folder: &Path) -> PathBuf {
    folder.join("night.json")
}

fn unreadable(path: &Path) -> Failure {
    Failure::new(
        Exit::Internal,
        Diagnostic::error(
            "MC907",
            "应为夜间工作的记录，实际无法读取",
            "wanted the record of the nights, but it cannot be read",
        )
        .in_file(path.display())
        .with_help(
            "从备份恢复，或移走它：下一夜从头开始，不影响台账",
            "restore it, or move it away: the next night then begins anew, and the ledger is not touched",
        ),
    )
}

/// Replaces a small JSON file in one step.
fn replace(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::disk(path, &e);
    let text = serde_json::to_string_pretty(value).map_err(|e| failed(e.into()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        // The name itself must outlive a power cut.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(failed)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The sign of life: what goes on now, and when that was last so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sign {
    /// The night.
    pub(crate) as_of: String,
    /// The step that goes on.
    pub(crate) step: Step,
    /// Since when it has been going on.
    pub(crate) since: String,
    /// When this was written.
    pub(crate) beat: String,
    /// By which process.
    pub(crate) process: u32,
}

impl Sign {
    /// The last one.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        read_json(&folder.join("status.json"))
    }
}

/// Writes a sign of life every few seconds until it is dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    folder: PathBuf,
    sign: Arc<Mutex<Sign>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// Begins to beat for the night of `as_of`.
    pub(crate) fn start(folder: &Path, as_of: &str, step: Step) -> Self {
        let now = String::from(clock::now());
        let sign = Sign {
            as_of: as_of.to_owned(),
            step,
            since: now.clone(),
            beat: now,
            process: std::process::id(),
        };
        let sign = Arc::new(Mutex::new(sign));
        let (stop, stopped) = channel();
        let (shared, place) = (Arc::clone(&sign), folder.to_path_buf());
        let beat = move || beats(&place, &shared, &stopped);
        let thread = std::thread::Builder::new().name("heart".to_owned()).spawn(beat).ok();
        let heart = Self { folder: folder.to_path_buf(), sign, stop: Some(stop), thread };
        heart.write();
        heart
    }

    /// Another step goes on.
    pub(crate) fn at(&self, step: Step) {
        {
            let mut sign = self.sign.lock().unwrap_or_else(PoisonError::into_inner);
            sign.step = step;
            sign.since = clock::now().into();
            sign.beat = sign.since.clone();
        }
        self.write();
    }

    fn write(&self) {
        let sign = self.sign.lock().unwrap_or_else(PoisonError::into_inner);
        // A sign that cannot be written is missed by who looks for it.
        let _ = replace(&self.folder.join("status.json"), &*sign);
    }
}

fn beats(folder: &Path, sign: &Mutex<Sign>, stopped: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_secs(BEAT)) {
        let mut sign = sign.lock().unwrap_or_else(PoisonError::into_inner);
        sign.beat = clock::now().into();
        let _ = replace(&folder.join("status.json"), &*sign);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_half_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), State::default());
        let night =
            NightRecord { as_of: "2026-07-01".to_owned(), step: Step::Ledger, ..NightRecord::default() };
        let state = State { open: Some(night), ..State::default() };
        state.write(dir.path()).unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), state);
        let bytes = fs::read(place(dir.path())).unwrap();
        fs::write(place(dir.path()), &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(State::read(dir.path()).unwrap_err().diagnostics[0].code, "MC907");
    }

    #[test]
    fn a_heart_says_what_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let heart = Heart::start(dir.path(), "2026-07-01", Step::Arrive);
        assert_eq!(Sign::read(dir.path()).unwrap().step, Step::Arrive);
        heart.at(Step::Run);
        drop(heart);
        let sign = Sign::read(dir.path()).unwrap();
        assert_eq!(
            (sign.step, sign.as_of.as_str(), sign.process),
            (Step::Run, "2026-07-01", std::process::id())
        );
    }

    #[test]
    fn steps_follow_one_another_in_the_order_of_the_night() {
        let order = [
            Step::Arrive,
            Step::Prepare,
            Step::Run,
            Step::Ledger,
            Step::Export,
            Step::Report,
            Step::Tell,
            Step::Done,
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
    }
}
