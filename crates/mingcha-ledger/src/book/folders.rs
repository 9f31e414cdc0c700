//! Whether the run folders that the ledger names are the ones that it took in, to the last byte. The ledger keeps the
//! seal of each run's manifest, and the manifest those of its files. Knows no event.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mingcha_rules::Diagnostic;

use super::{Book, Night, Proof, night, seal};
use crate::run::RunFolder;

impl Book {
    /// Checks every run folder that the ledger at `path` names; `elsewhere`: the folder in which they lie now, where
    /// that is not where the ledger says. In the proof, events are folders that were read.
    ///
    /// # Errors
    /// `MC843` where there is no ledger.
    pub fn verify_runs(path: &Path, elsewhere: Option<&Path>) -> Result<Proof, Diagnostic> {
        let book = Self::read(path)?;
        let home = seal::parent(path);
        let certificates = book.destroyed()?;
        let destroyed: BTreeSet<&str> = certificates
            .iter()
            .filter(|c| c.kind == "runs")
            .flat_map(|c| c.items.iter().map(|item| item.sha256.as_str()))
            .collect();
        let mut places: BTreeMap<PathBuf, Vec<Night>> = BTreeMap::new();
        for night in book.nights()? {
            places.entry(place(home, elsewhere, &night.folder)).or_default().push(night);
        }
        let mut proof = Proof::default();
        for (folder, nights) in &places {
            let Some(last) = nights.last() else { continue };
            if !folder.exists() {
                let certified = destroyed.contains(last.seal.as_str());
                if certified {
                    proof.remarks.push(with_certificate(folder, last));
                } else {
                    proof.faults.push(missing(folder, last));
                }
                continue;
            }
            proof.events += 1;
            match RunFolder::prove(folder) {
                Ok(run) if run.manifest().seal == last.seal => {}
                // The same night made once more: what it says is the same, when it was made is not.
                Ok(run) if is_same(&night::name(run.manifest()), &last.night) => {
                    proof.remarks.push(made_again(folder, last));
                }
                Ok(_) => proof.faults.push(another(folder, last)),
                Err(fault) => proof.faults.push(fault),
            }
            let replaced = nights.iter().filter(|n| n.seal != last.seal).count();
            if replaced > 0 {
                proof.remarks.push(written_over(folder, replaced));
            }
        }
        Ok(proof)
    }
}

/// Whether `night` was entered for a run called `name`, for the first time or once more.
fn is_same(name: &str, night: &str) -> bool {
    night.strip_prefix(name).is_some_and(|more| more.is_empty() || more.starts_with('-'))
}

/// Where the folder of a night lies.
fn place(home: &Path, elsewhere: Option<&Path>, folder: &str) -> PathBuf {
    let said = home.join(folder);
    let Some(elsewhere) = elsewhere else { return said };
    let inside = elsewhere.join(folder.trim_start_matches('/'));
    if inside.exists() { inside } else { elsewhere.join(said.file_name().unwrap_or_default()) }
}

fn missing(folder: &Path, night: &Night) -> Diagnostic {
    let (n, day) = (night.number, &night.as_of);
    Diagnostic::error(
        "MC910",
        format!("应有第 {n} 夜（{day}）的运行结果，实际没有，也没有销毁凭证"),
        format!("wanted the run of night {n} ({day}), but it is not there, and no certificate says why"),
    )
    .in_file(folder.display())
    .with_help(
        "在别处时用 `--runs DIR` 指明；要删除请用 `mingcha purge`，它会留下凭证",
        "say where it is with `--runs DIR`; to delete runs use `mingcha purge`, which leaves a certificate",
    )
}

fn another(folder: &Path, night: &Night) -> Diagnostic {
    let n = night.number;
    Diagnostic::error(
        "MC911",
        format!("应为记入台账的第 {n} 夜的运行结果，实际是另一次运行"),
        format!("wanted the run that the ledger took in as night {n}, got another one"),
    )
    .in_file(folder.display())
    .with_help(
        "若是新的运行，用 `mingcha ledger absorb` 记入；否则从备份恢复",
        "take it in with `mingcha ledger absorb` if it is a new one; else restore a backup",
    )
}

fn made_again(folder: &Path, night: &Night) -> Diagnostic {
    let n = night.number;
    Diagnostic::warning(
        "MC914",
        format!("第 {n} 夜的运行重做过，内容与记入台账时相同，运行时间不同"),
        format!("the run of night {n} was made once more: it says the same, but not when it was made"),
    )
    .in_file(folder.display())
}

fn written_over(folder: &Path, nights: usize) -> Diagnostic {
    Diagnostic::warning(
        "MC912",
        format!("此前 {nights} 夜的运行结果写在同一目录，已被后来的替换，无从核对"),
        format!("the runs of {nights} earlier nights lay in the same folder and were replaced: they cannot be checked"),
    )
    .in_file(folder.display())
}

fn with_certificate(folder: &Path, night: &Night) -> Diagnostic {
    let n = night.number;
    Diagnostic::warning(
        "MC913",
        format!("第 {n} 夜的运行结果已按规定销毁，台账中有凭证"),
        format!("the run of night {n} was destroyed with a certificate"),
    )
    .in_file(folder.display())
}
