//! `mingcha import`: filled workbooks back into the ledger. Shows what each would change and what speaks against it;
//! writes only when asked to. Names leads, cells and officials, and nobody who is on a list.

use mingcha_ledger::Book;
use mingcha_ledger::import::{self, Brought, Mode};
use mingcha_rules::diagnostic::{Diagnostic, Level};
use serde_json::json;

use super::Context;
use super::findings::SHOWN_DIGITS;
use super::ledger::{Desk, refused};
use crate::args::{Format, Import};
use crate::exit::{Exit, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Import) -> Outcome {
    let desk = Desk::needed(context, &args.desk, &Shelf::open(context, &args.packs))?;
    let (mode, mut book) = match (args.commit, args.partial) {
        (false, _) => (Mode::Look, Book::read(&desk.path).map_err(refused)?),
        (true, false) => (Mode::Whole, desk.open()?),
        (true, true) => (Mode::Partial, desk.open()?),
    };
    let brought = import::import(&mut book, &args.files, mode, &desk.policy, desk.by()).map_err(refused)?;
    super::ledger::unfinished(context, &mut book);
    let wrong = brought.iter().filter(|file| has_errors(file)).count();
    if args.shape.format == Format::Json {
        context.screen.json(&json!({"committed": args.commit, "files": brought}));
    } else {
        brought.iter().for_each(|file| show(context, file, args.commit));
        close(context, &brought, wrong, mode);
    }
    Ok(Exit::first(brought.iter().flat_map(|file| &file.faults).filter_map(ending)))
}

/// How a command ends that met this fault: what is wrong with a file is an input's fault, what kept it from being taken in
/// is not.
fn ending(fault: &Diagnostic) -> Option<Exit> {
    let errs = fault.level == Level::Error;
    errs.then(|| match fault.code.as_str() {
        "MC840" | "MC841" | "MC842" => refused(fault.clone()).exit,
        _ => Exit::Inputs,
    })
}

fn has_errors(file: &Brought) -> bool {
    file.faults.iter().any(|fault| fault.level == Level::Error)
}

fn show(context: &Context, file: &Brought, commit: bool) {
    let screen = &context.screen;
    let path = file.file.display();
    let of = match (&file.number, &file.recipient) {
        (Some(number), Some(recipient)) => format!(" · {number} · {recipient}"),
        _ => String::new(),
    };
    let errors = file.faults.iter().filter(|fault| fault.level == Level::Error).count();
    let verdict = match (file.taken, errors > 0, commit) {
        (true, true, _) => screen.say("已采用无误的部分", "the good rows were taken in"),
        (true, false, _) => screen.say("已记入台账", "taken in"),
        (false, true, true) => screen.say("整份退回，没有改变", "refused as a whole; nothing changed"),
        (false, true, false) => screen.say("有错，会整份退回", "has errors and would be refused as a whole"),
        (false, false, true) => screen.say("没有新内容，没有改变", "says nothing new; nothing changed"),
        (false, false, false) if file.changes.is_empty() && file.controls == 0 => {
            screen.say("没有新内容", "says nothing new")
        }
        (false, false, false) => screen.say("可以记入", "can be taken in"),
    };
    let colon = screen.say("：", ": ");
    screen.line(format!("{path}{of}{colon}{verdict}"));
    let mut table = Table::new([
        screen.say("单元格", "cell"),
        screen.say("线索", "lead"),
        screen.say("规则", "rule"),
        screen.say("原阶段", "from"),
        screen.say("新阶段", "to"),
        screen.say("步骤", "steps"),
    ]);
    for change in &file.changes {
        let steps: Vec<&str> = change.steps.iter().map(|step| screen.text(step)).collect();
        table.row([
            change.cell.clone(),
            change.lead.chars().take(SHOWN_DIGITS).collect(),
            change.rule_id.clone(),
            screen.text(&change.from.title()).to_owned(),
            screen.text(&change.to.title()).to_owned(),
            steps.join(screen.say("；", "; ")),
        ]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
    let (changes, known, empty) = (count(file.changes.len() as u64), count(file.known), count(file.empty));
    let (controls, errors) = (count(file.controls), count(errors as u64));
    screen.line(screen.say(
        &format!("改变 {changes} · 已知 {known} · 未填 {empty} · 对照样本 {controls} · 错误 {errors}"),
        &format!(
            "changes {changes} · known {known} · empty {empty} · control sample {controls} · errors {errors}"
        ),
    ));
    if !file.missed.is_empty() {
        let cells = file.missed.join(screen.say("、", ", "));
        screen.line(screen.say(
            &format!("对照样本中有已死亡或在押而规则没有查出的人，请另行核实：{cells}"),
            &format!("dead or in custody in the control sample, and found by no rule; look into it: {cells}"),
        ));
    }
    screen.line("");
    screen.diagnostics(&file.faults);
}

fn close(context: &Context, brought: &[Brought], wrong: usize, mode: Mode) {
    let screen = &context.screen;
    let (all, wrong_files) = (count(brought.len() as u64), count(wrong as u64));
    let changes = count(brought.iter().map(|file| file.changes.len() as u64).sum());
    match mode {
        Mode::Look => screen.line(screen.say(
            &format!("{all} 份文件，{wrong_files} 份有错，共涉及 {changes} 处改变；尚未写入，确认后加上 `--commit`"),
            &format!("{all} files, {wrong_files} with errors, {changes} changes; nothing is written yet, `--commit` writes it"),
        )),
        Mode::Whole | Mode::Partial => {
            let taken = count(brought.iter().filter(|file| file.taken).count() as u64);
            screen.line(screen.say(
                &format!("{all} 份文件，已记入 {taken} 份，有错 {wrong_files} 份"),
                &format!("{all} files, {taken} taken in, {wrong_files} with errors"),
            ));
        }
    }
    if wrong > 0 && mode != Mode::Partial {
        screen.note(screen.say(
            "有错的文件整份退回；改正后再导入，或用 `--commit --partial` 先采用无误的行",
            "a file with errors is refused as a whole; correct it and import again, or take its good rows with `--commit --partial`",
        ));
    }
}
