//! The secret of a run folder, under which masked lists name its findings, and who may read what lies in one.

use std::fs;
use std::path::Path;

use mingcha_ledger::report::{Asked, Subject, report};
use mingcha_ledger::{ExportOptions, Format, Names, Profile, RunFolder, RunWriter, export};
use mingcha_rules::Lang;

use crate::book::{Desk, Tonight, findings};
use crate::fixture::{CASE, case, catalogue, contracts, finished, record, rule};

const KEY: &str = "names.key";

fn name(names: &Names) -> String {
    names.alias(CASE)
}

#[test]
fn a_run_keeps_its_names_and_no_other_run_has_them() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (run, other) = (finished(one.path(), vec![case()]), finished(two.path(), vec![case()]));
    let first = name(&run.names().unwrap());
    assert_eq!(first.len(), CASE.len(), "a name can be given wherever an id can");
    assert_ne!(first, name(&other.names().unwrap()), "the same run made elsewhere has a secret of its own");
    // Made again in the same place, it takes the names over: lists made before can still be asked about.
    let out = one.path().join("run");
    let mut writer = RunWriter::create(&out).unwrap();
    record(vec![case()]).write(&mut writer).unwrap();
    writer.commit().unwrap();
    let run = RunFolder::prove(&out).unwrap();
    assert_eq!(name(&run.names().unwrap()), first);
    assert!(!format!("{:?}", run.names()).contains(fs::read_to_string(out.join(KEY)).unwrap().trim()));
}

#[test]
fn a_run_without_a_secret_gets_one_and_never_shows_a_plain_id() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let key = run.path().join(KEY);
    fs::remove_file(&key).unwrap();
    assert!(run.known_names().unwrap().is_none(), "no list can have used any");
    let (contracts, rules) = (contracts(), [rule()]);
    let catalogue = catalogue(&contracts, &rules);
    let write = |profile, out: &str| {
        let options = ExportOptions { profile, format: Format::Ndjson, ..ExportOptions::default() };
        export(&run, &folder.path().join(out), &options, &catalogue)
    };
    // Who sees everything, or no case at all, needs no names.
    write(Profile::Investigator, "full").unwrap();
    write(Profile::Public, "public").unwrap();
    assert!(!key.exists());
    let files = write(Profile::Supervisor, "masked").unwrap();
    let text = fs::read_to_string(&files[0].path).unwrap();
    assert!(text.contains(&name(&run.names().unwrap())) && !text.contains(CASE), "{text}");
    fs::write(&key, "half a key").unwrap();
    let fault = write(Profile::Supervisor, "damaged").unwrap_err();
    assert_eq!(fault.code, "MC823");
    assert!(!folder.path().join("damaged").exists(), "nothing is written under no name");
}

#[cfg(unix)]
#[test]
fn a_run_folder_that_cannot_be_given_a_secret_is_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let key = run.path().join(KEY);
    fs::remove_file(&key).unwrap();
    // A name that leads nowhere cannot be written by anybody, whatever their rights.
    symlink(folder.path().join("nowhere/key"), &key).unwrap();
    let fault = run.names().unwrap_err();
    assert!(["MC822", "MC823"].contains(&fault.code.as_str()), "{fault:?}");
    assert!(fault.help.is_some(), "{fault:?}");
}

/// What others may do with everything below `folder`, where it is more than nothing.
#[cfg(unix)]
fn open_to_others(folder: &Path, out: &mut Vec<String>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        // A lock names a process and nobody else.
        let is_lock = path.extension().is_some_and(|end| end == "lock");
        if mode & 0o077 != 0 && !is_lock {
            out.push(format!("{} {mode:o}", path.strip_prefix(folder).unwrap().display()));
        }
        if path.is_dir() {
            open_to_others(&path, out);
        }
    }
}

#[cfg(unix)]
#[test]
fn runs_lists_in_full_and_reports_in_full_are_their_owners_only() {
    let (contracts, rules) = (contracts(), [rule()]);
    let catalogue = catalogue(&contracts, &rules);
    let desk = Desk::new();
    let home = tempfile::tempdir().unwrap();
    let night = Tonight::new("2026-11-01", findings(4));
    desk.absorb(&night);
    let run = night.write(home.path());
    for format in [Format::Xlsx, Format::Csv, Format::Parquet, Format::Ndjson] {
        let options = ExportOptions {
            profile: Profile::Investigator,
            format,
            by_area: true,
            ..ExportOptions::default()
        };
        export(&run, &home.path().join("lists").join(format.as_str()), &options, &catalogue).unwrap();
    }
    let book = desk.open();
    for subject in [Subject::Night(None), Subject::Area("880101".to_owned(), Some("2026-11".to_owned()))] {
        let asked = Asked {
            subject,
            profile: Profile::Investigator,
            lang: Lang::Zh,
            today: "2026-11-02".to_owned(),
            limit: 50,
            replace: true,
        };
        report(&book, &desk.policy, &asked, &catalogue, &home.path().join("reports")).unwrap();
    }
    let mut open = Vec::new();
    open_to_others(home.path(), &mut open);
    open_to_others(desk.dir.path(), &mut open);
    assert!(open.is_empty(), "others may look into: {open:#?}");
}
