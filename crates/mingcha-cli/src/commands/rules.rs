//! `mingcha rules`: the catalogue, the page of one rule, the scaffold of a new one.

use std::fs;

use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::rule::Status;
use serde_json::json;

use super::Context;
use crate::args::{Format, Rules, RulesExplain, RulesList, RulesNew, RulesVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::render::Table;

pub(super) fn run(context: &Context, args: &Rules) -> Outcome {
    match &args.verb {
        RulesVerb::List(args) => list(context, args),
        RulesVerb::Explain(args) => explain(context, args),
        RulesVerb::New(args) => new(context, args),
    }
}

fn list(context: &Context, args: &RulesList) -> Outcome {
    let screen = &context.screen;
    let shelf = Shelf::open(context, &args.packs);
    if args.shape.format == Format::Json {
        let rules: Vec<_> = shelf
            .library
            .rules
            .iter()
            .map(|r| {
                json!({"id": r.rule.id, "title": r.rule.title, "version": r.rule.version, "status": r.rule.status,
                    "severity": r.rule.severity.default, "pack": r.pack, "inputs": r.rule.inputs.keys().collect::<Vec<_>>(),
                    "file": r.file, "hash": r.hash})
            })
            .collect();
        screen.json(&rules);
        return Ok(ending(context, &shelf));
    }
    let mut table = Table::new([
        screen.say("编号", "id"),
        screen.say("名称", "title"),
        screen.say("状态", "status"),
        screen.say("级别", "severity"),
        screen.say("规则包", "pack"),
        screen.say("#版本", "#version"),
    ]);
    for rule in &shelf.library.rules {
        let severity = rule.rule.severity.default;
        table.row([
            rule.rule.id.clone(),
            screen.text(&rule.rule.title).to_owned(),
            status(context, rule.rule.status).to_owned(),
            super::severity_word(context, severity).to_owned(),
            rule.pack.clone(),
            rule.rule.version.to_string(),
        ]);
    }
    screen.table(&table);
    Ok(ending(context, &shelf))
}

/// Rules that cannot be read are named after those that can.
fn ending(context: &Context, shelf: &Shelf) -> Exit {
    context.screen.diagnostics(&shelf.faults);
    if shelf.has_errors() { Exit::Rules } else { Exit::Done }
}

fn explain(context: &Context, args: &RulesExplain) -> Outcome {
    let shelf = Shelf::open(context, &args.packs);
    let Some(rule) = shelf.library.rule(&args.id) else {
        let of_this = |f: &&Diagnostic| f.place.file.as_deref().is_some_and(|file| file.contains(&args.id));
        let faults: Vec<Diagnostic> = shelf.faults.iter().filter(of_this).cloned().collect();
        if faults.is_empty() {
            return Err(shelf.unknown(&args.id));
        }
        return Err(Failure { exit: Exit::Rules, diagnostics: faults });
    };
    context.screen.line(mingcha_rules::page::markdown(rule, context.screen.lang));
    Ok(Exit::Done)
}

fn new(context: &Context, args: &RulesNew) -> Outcome {
    let screen = &context.screen;
    if !is_rule_id(&args.id) {
        return Err(Failure::usage(Diagnostic::error(
            "MC088",
            format!("需要规则编号，如 `PEN-90`，但得到 `{}`", args.id),
            format!("wanted a rule id such as `PEN-90`, got `{}`", args.id),
        )));
    }
    let folder = args
        .pack
        .as_ref()
        .and_then(|p| p.file_name())
        .map_or_else(|| "<pack>".into(), |n| n.to_string_lossy());
    let title = |title: &Option<String>| title.clone().unwrap_or_default();
    let text =
        mingcha_rules::scaffold::new_rule(&args.id, &title(&args.title_zh), &title(&args.title_en), &folder);
    let Some(pack) = &args.pack else {
        screen.line(text);
        return Ok(Exit::Done);
    };
    let header = pack.join("pack.yaml");
    if !header.is_file() {
        return Err(Failure::usage(
            Diagnostic::error(
                "MC098",
                format!("需要规则包目录，但 `{}` 里没有 pack.yaml", pack.display()),
                format!("wanted the folder of a pack, but `{}` has no pack.yaml", pack.display()),
            )
            .with_help(
                "先建好规则包，或不加 `--pack` 把骨架输出到屏幕",
                "make the pack first, or leave `--pack` out to print the scaffold",
            ),
        ));
    }
    let file = pack.join(format!("{}-new.yaml", args.id));
    let taken = fs::read_dir(pack)
        .map_err(|e| Failure::disk(pack, &e))?
        .filter_map(Result::ok)
        .find(|e| e.file_name().to_string_lossy().starts_with(&format!("{}-", args.id)));
    if let Some(taken) = taken {
        return Err(Failure::usage(Diagnostic::error(
            "MC088",
            format!("编号 `{}` 已被 `{}` 使用；编号从不重用", args.id, taken.path().display()),
            format!("the id `{}` is taken by `{}`; ids are never reused", args.id, taken.path().display()),
        )));
    }
    fs::write(&file, text).map_err(|e| Failure::disk(&file, &e))?;
    screen.line(file.display().to_string());
    screen.note(screen.say(
        "填好空白处，再运行 `mingcha check` 和 `mingcha test`；文件名可改为能说明问题的名字",
        "fill the blanks, then run `mingcha check` and `mingcha test`; rename the file after the fault",
    ));
    Ok(Exit::Done)
}

/// Two to five capitals, a hyphen, two or three digits.
fn is_rule_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(prefix, number)| {
        (2..=5).contains(&prefix.len())
            && prefix.bytes().all(|b| b.is_ascii_uppercase())
            && (2..=3).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn status(context: &Context, status: Status) -> &'static str {
    let (zh, en) = match status {
        Status::Draft => ("草稿", "draft"),
        Status::Trial => ("试行", "trial"),
        Status::Active => ("正式", "active"),
        Status::Deprecated => ("停用中", "deprecated"),
        Status::Retired => ("已停用", "retired"),
    };
    context.screen.say(zh, en)
}
