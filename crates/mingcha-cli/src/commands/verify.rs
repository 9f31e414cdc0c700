//! `mingcha verify`: a store or a run, proved whole and unchanged.

use mingcha_intake::Store;
use mingcha_ledger::RunFolder;
use serde_json::json;

use super::Context;
use crate::args::{Format, Verify};
use crate::exit::{Exit, Failure, Outcome};
use crate::render::count;

pub(super) fn run(context: &Context, args: &Verify) -> Outcome {
    let (folder, faults, rows) = match (&args.what.store, &args.what.run) {
        (Some(path), _) => match Store::open(path) {
            Ok(store) => {
                (path, store.verify(), store.manifest().datasets.values().map(|d| d.rows_stored).sum::<u64>())
            }
            Err(fault) => (path, vec![fault], 0),
        },
        (None, Some(path)) => match RunFolder::open(path) {
            Ok(run) => (path, Vec::new(), run.manifest().counts.findings),
            Err(fault) => (path, vec![fault], 0),
        },
        (None, None) => return Err(Failure { exit: Exit::Usage, diagnostics: Vec::new() }),
    };
    let screen = &context.screen;
    if args.shape.format == Format::Json {
        screen.json(
            &json!({"folder": folder.display().to_string(), "whole": faults.is_empty(), "faults": faults}),
        );
    } else {
        screen.diagnostics(&faults);
        if faults.is_empty() {
            let (folder, rows) = (folder.display(), count(rows));
            screen.line(screen.say(
                &format!("完整，与写出时一致：{folder}（{rows} 行）"),
                &format!("whole and as it was written: {folder} ({rows} rows)"),
            ));
        }
    }
    Ok(if faults.is_empty() { Exit::Done } else { Exit::Inputs })
}
