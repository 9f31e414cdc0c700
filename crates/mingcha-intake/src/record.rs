//! Which files of a store's folder are the store's own, by its manifest: for whoever replaces a store as a whole or
//! destroys one, and must take nothing else along. Reads no row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mingcha_files::unfinished;
use mingcha_rules::Lang;

use crate::manifest::{Manifest, STORE_FORMAT, StoreFile};
use crate::quality::QualityReport;

/// Files that stand beside the manifest and are not named in it.
pub const BESIDE: [&str; 4] = ["manifest.json", "quality.json", "quality.txt", unfinished::MARK];

/// The files that a manifest names, if the bytes are the manifest of a store.
#[must_use]
pub fn files_of(manifest: &[u8]) -> Option<(Manifest, Vec<StoreFile>)> {
    let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
    if manifest.format != STORE_FORMAT {
        return None;
    }
    let of_datasets = manifest.datasets.values().flat_map(|d| d.files.iter().chain(d.unassigned.iter()));
    let changed = manifest.changes.iter().flat_map(|step| step.datasets.values());
    let files = of_datasets
        .chain(&manifest.person_files)
        .chain([&manifest.rejects, &manifest.rejects_csv])
        .chain(changed.filter_map(|changes| changes.persons.as_ref()));
    let files = files.cloned().collect();
    Some((manifest, files))
}

/// Whether two files are the quality report of a store: the text is what the other one says.
#[must_use]
pub fn is_quality(json: &[u8], text: &[u8]) -> bool {
    let Ok(report) = serde_json::from_slice::<QualityReport>(json) else { return false };
    quality_text(&report).as_bytes() == text
}

pub(crate) fn quality_text(report: &QualityReport) -> String {
    format!("{}\n\n{}", report.text(Lang::Zh), report.text(Lang::En))
}

/// A file in the folder of a store that the store does not know. A store that this build cannot read is not asked.
pub(crate) fn stranger(store: &Path) -> Option<String> {
    let (_, files) = files_of(&fs::read(store.join("manifest.json")).ok()?)?;
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).chain(BESIDE).collect();
    let mut open = vec![String::new()];
    while let Some(above) = open.pop() {
        for entry in fs::read_dir(store.join(&above)).ok()?.flatten() {
            let name = format!("{above}{}", entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(format!("{name}/"));
            } else if !known.contains(name.as_str()) {
                return Some(name);
            }
        }
    }
    None
}
