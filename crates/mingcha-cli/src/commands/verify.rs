//! `mingcha verify`: a store, a run or a ledger, proved whole and unchanged.

use std::path::Path;

use mingcha_intake::Store;
use mingcha_ledger::{Book, RunFolder};
use serde_json::json;

use super::Context;
use super::ledger::refused;
use crate::args::{Format, Verify};
use crate::exit::{Exit, Failure, Outcome};
use crate::render::count;

pub(super) fn run(context: &Context, args: &Verify) -> Outcome {
    if let Some(path) = &args.what.ledger {
        return ledger(context, path, args);
    }
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

fn ledger(context: &Context, path: &Path, args: &Verify) -> Outcome {
    let mut proof = Book::verify(path, args.head.as_deref()).map_err(refused)?;
    let screen = &context.screen;
    // A ledger that cannot be trusted says nothing about where its runs are.
    let runs = proof.faults.is_empty().then(|| Book::verify_runs(path, args.runs.as_deref())).transpose();
    let runs = runs.map_err(refused)?.unwrap_or_default();
    proof.faults.extend(runs.faults);
    proof.remarks.extend(runs.remarks);
    let whole = proof.faults.is_empty();
    if args.shape.format == Format::Json {
        screen.json(&json!({"ledger": path.display().to_string(), "whole": whole, "faults": proof.faults, "remarks": proof.remarks,
            "events": proof.events, "head": proof.head, "runs": runs.events}));
    } else {
        screen.diagnostics(&proof.faults);
        screen.diagnostics(&proof.remarks);
        if whole {
            let (path, events, head) = (path.display(), count(proof.events), &proof.head);
            let runs = count(runs.events);
            screen.line(screen.say(
                &format!("完整，未被改动：{path}（{events} 个事件，{runs} 个运行结果）\n链头：{head}\n把链头抄存在别处，日后用 `mingcha verify --ledger {path} --head HASH` 可证明此前的历史没有被换过"),
                &format!("whole and unchanged: {path} ({events} events, {runs} run folders)\nhead: {head}\nkeep the head elsewhere; `mingcha verify --ledger {path} --head HASH` proves later that the history up to it was not exchanged"),
            ));
        }
    }
    Ok(if whole { Exit::Done } else { Exit::Inputs })
}
