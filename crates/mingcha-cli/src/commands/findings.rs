//! `mingcha findings`: lists of findings, one finding with its evidence, and the answer to "why this person,
//! or why not". Masked unless the reader is an investigator.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use mingcha_ledger::explain::{Answer, Verdict};
use mingcha_ledger::{Masker, Profile, RunFolder, Style, explain_finding, explain_person};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::Finding;
use mingcha_rules::text::Lang;
use serde_json::json;

use super::{Context, export, filter, leads, ledger};
use crate::args::{
    Findings, FindingsExplain, FindingsList, FindingsShow, FindingsVerb, Format, FromRun, OrderArg, Packs,
};
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count, many, yuan};

/// Digits of a finding id that lists show; enough to name one.
pub(super) const SHOWN_DIGITS: usize = 12;

const SHIPPED: Packs = Packs { rules: None, datasets: None };

pub(super) fn run(context: &Context, args: &Findings) -> Outcome {
    match &args.verb {
        FindingsVerb::List(args) => list(context, args),
        FindingsVerb::Show(args) => show(context, args),
        FindingsVerb::Explain(args) => explain(context, args),
        step => leads::act(context, step),
    }
}

fn list(context: &Context, args: &FindingsList) -> Outcome {
    if let Some(path) = ledger::instead_of_run(context, &args.from, &args.desk) {
        return leads::list(context, args, &path);
    }
    if args.order == OrderArg::Queue {
        return Err(Failure::usage(
            Diagnostic::error(
                "MC086",
                "`--order queue` 需要台账：次序要从核查结果中学习",
                "`--order queue` needs a ledger: the order is learned from what people found",
            )
            .with_help(
                "用 `--ledger` 指明台账，不要给 `--run`",
                "name one with `--ledger`, and give no `--run`",
            ),
        ));
    }
    let run = export::open(context, &args.from)?;
    let shelf = Shelf::open(context, &SHIPPED);
    let profile = export::profile(context, &args.from);
    let mut findings = read(run.findings())?;
    filter::of_run(args, &run, &findings)?
        .iter()
        .for_each(|note| context.screen.note(context.screen.text(note)));
    let least = args.severity.map(super::run::severity);
    let given = args.common.subject.as_deref();
    let subject = given.map(|given| meant(context, profile, given, &findings)).transpose()?;
    findings.retain(|f| {
        (args.rule.is_empty() || args.rule.contains(&f.rule_id))
            && least.is_none_or(|least| f.severity >= least)
            && subject.as_ref().is_none_or(|number| f.subject_id == *number)
            && args
                .area
                .as_ref()
                .is_none_or(|area| f.area_code.as_ref().is_some_and(|code| code.starts_with(area.as_str())))
    });
    if profile == Profile::Public {
        counts(context, &findings, args.shape.format);
        return Ok(Exit::Done);
    }
    let masker = masker(context, args.desk.ledger.as_deref(), &run, profile, &shelf)?;
    // Gravest first: the top of the list is where to begin. The order of numbers that are masked would tell of them.
    let number = |f: &Finding| masker.shows_all().then(|| f.subject_id.clone());
    findings.sort_by_cached_key(|f| {
        (Reverse(f.severity), f.rule_id.clone(), number(f), masker.id(&f.finding_id))
    });
    let all = findings.len();
    if args.limit > 0 {
        findings.truncate(args.limit);
    }
    let findings: Vec<Finding> = findings.iter().map(|f| masker.finding(f)).collect();
    if args.shape.format == Format::Json {
        context.screen.json(&findings);
        return Ok(Exit::Done);
    }
    context.screen.table(&rows(context, &findings));
    context.screen.line(match context.screen.lang {
        Lang::Zh => format!("共 {} 条线索，显示 {} 条", count(all as u64), count(findings.len() as u64)),
        Lang::En => format!("{}, {} shown", many(all as u64, "finding"), count(findings.len() as u64)),
    });
    Ok(Exit::Done)
}

/// The number of the subject that is meant; where it is nobody's here, that is said, and the number is none.
fn meant(context: &Context, profile: Profile, given: &str, findings: &[Finding]) -> Result<String, Failure> {
    // Counts only are for the public.
    let told = |each: &[Finding]| if profile == Profile::Public { String::new() } else { candidates(each) };
    Ok(filter::subject_of_run(given, findings, told)?.unwrap_or_else(|note| {
        context.screen.note(context.screen.text(&note));
        String::new()
    }))
}

/// What a reader of `run` may see, and what leads are called.
fn masker(
    context: &Context,
    ledger: Option<&Path>,
    run: &RunFolder,
    profile: Profile,
    shelf: &Shelf,
) -> Result<Masker, Failure> {
    let masker = Masker::new(profile, &shelf.library.contracts);
    if masker.shows_all() {
        return Ok(masker);
    }
    Ok(masker.named(ledger::names(context, ledger, run)?))
}

fn rows(context: &Context, findings: &[Finding]) -> Table {
    let screen = &context.screen;
    let mut table = Table::new([
        screen.say("编号", "id"),
        screen.say("规则", "rule"),
        screen.say("级别", "severity"),
        screen.say("对象", "subject"),
        screen.say("姓名", "name"),
        screen.say("区划", "area"),
        screen.say("#金额（元）", "#yuan at risk"),
        screen.say("说明", "message"),
    ]);
    for finding in findings {
        table.row([
            finding.finding_id.chars().take(SHOWN_DIGITS).collect(),
            finding.rule_id.clone(),
            super::severity_word(context, finding.severity).to_owned(),
            finding.subject_id.clone(),
            finding.subject_name.clone().unwrap_or_default(),
            finding.area_code.clone().unwrap_or_default(),
            finding.amount_fen.map(yuan).unwrap_or_default(),
            screen.text(&finding.message).to_owned(),
        ]);
    }
    table
}

/// Findings by rule and severity, for those who may not see cases.
fn counts(context: &Context, findings: &[Finding], format: Format) {
    let screen = &context.screen;
    let mut counts: BTreeMap<(&str, _), u64> = BTreeMap::new();
    for finding in findings {
        *counts.entry((&finding.rule_id, finding.severity)).or_default() += 1;
    }
    if format == Format::Json {
        let rows: Vec<_> = counts
            .iter()
            .map(|((rule, severity), n)| json!({"rule_id": rule, "severity": severity, "findings": n}))
            .collect();
        screen.json(&rows);
        return;
    }
    let mut table = Table::new([
        screen.say("规则", "rule"),
        screen.say("级别", "severity"),
        screen.say("#线索", "#findings"),
    ]);
    for ((rule, severity), n) in counts {
        table.row([rule.to_owned(), super::severity_word(context, severity).to_owned(), count(n)]);
    }
    screen.table(&table);
}

fn show(context: &Context, args: &FindingsShow) -> Outcome {
    if let Some(path) = ledger::instead_of_run(context, &args.from, &args.desk) {
        return leads::show(context, args, &path);
    }
    let run = export::open(context, &args.from)?;
    let asked = Asked {
        from: &args.from,
        packs: &SHIPPED,
        format: args.shape.format,
        ledger: args.desk.ledger.as_deref(),
    };
    let finding = named(context, &run, &args.id, asked.ledger)?.ok_or_else(|| nothing(&args.id))?;
    about_finding(context, &run, &finding.finding_id, &asked)
}

fn explain(context: &Context, args: &FindingsExplain) -> Outcome {
    let run = export::open(context, &args.from)?;
    let asked = Asked { from: &args.from, packs: &args.packs, format: args.shape.format, ledger: None };
    match named(context, &run, &args.id, None)? {
        Some(finding) => about_finding(context, &run, &finding.finding_id, &asked),
        None => about_person(context, &run, &args.id, &asked),
    }
}

/// What the verbs that explain have in common.
struct Asked<'a> {
    from: &'a FromRun,
    packs: &'a Packs,
    format: Format,
    ledger: Option<&'a Path>,
}

/// The finding whose id begins with `id`, or that a masked list calls so, if `id` looks like one. Two of them are wrong
/// usage.
fn named(
    context: &Context,
    run: &RunFolder,
    id: &str,
    ledger: Option<&Path>,
) -> Result<Option<Finding>, Failure> {
    let id = id.trim().to_ascii_lowercase();
    let looks_like_id = (6..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !looks_like_id {
        return Ok(None);
    }
    let mut found = read(run.findings())?;
    let begins = |finding: &Finding| finding.finding_id.starts_with(&id);
    let names = match ledger::all_names(context, ledger, run) {
        // Whoever gives the id itself needs no names.
        Err(_) if found.iter().any(begins) => Vec::new(),
        names => names?,
    };
    found.retain(|f| begins(f) || names.iter().any(|names| names.alias(&f.finding_id).starts_with(&id)));
    if found.len() > 1 {
        let (n, told) = (found.len(), candidates(&found));
        return Err(Failure::usage(Diagnostic::error(
            "MC086",
            format!("有 {n} 条线索的编号以此开头，请多写几位：{told}"),
            format!("{n} findings begin like this; give more digits: {told}"),
        )));
    }
    Ok(found.pop())
}

/// The first of several findings, each by what tells it from others, as anybody may read it.
fn candidates(found: &[Finding]) -> String {
    const MOST: usize = 5;
    let masker = Masker::new(Profile::Supervisor, &[]);
    let mut told: Vec<String> = (found.iter().take(MOST))
        .map(|finding| {
            let county: String = finding.area_code.as_deref().unwrap_or_default().chars().take(6).collect();
            let from = finding.period_from.clone().unwrap_or_default();
            let parts = [finding.rule_id.clone(), masker.finding(finding).subject_id, county, from];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    if found.len() > MOST {
        told.push(format!("… (+{})", found.len() - MOST));
    }
    told.join("; ")
}

fn about_finding(context: &Context, run: &RunFolder, finding_id: &str, asked: &Asked<'_>) -> Outcome {
    let shelf = Shelf::open(context, asked.packs);
    let profile = cases_only(context, asked.from)?;
    let contracts = &shelf.library.contracts;
    let rules: Vec<_> = shelf.library.rules.iter().map(|r| &r.rule).collect();
    let masker = masker(context, asked.ledger, run, profile, &shelf)?;
    let explanation = read(explain_finding(run, finding_id, &rules))?.masked(&masker);
    if asked.format == Format::Json {
        context.screen.json(&json!({"finding": explanation.finding, "outcome": explanation.outcome, "as_of": explanation.as_of, "excused": explanation.excused}));
    } else {
        context.screen.line(explanation.render(contracts, context.screen.lang, Style::Plain).trim_end());
    }
    Ok(Exit::Done)
}

fn about_person(context: &Context, run: &RunFolder, id: &str, asked: &Asked<'_>) -> Outcome {
    let shelf = Shelf::open(context, asked.packs);
    let profile = cases_only(context, asked.from)?;
    let contracts = &shelf.library.contracts;
    let rules: Vec<_> = shelf.library.rules.iter().map(|r| &r.rule).collect();
    // A person is asked for by any spelling of the number; accounts and damaged numbers are taken as written.
    let identity = mingcha_intake::identity::normalise(id);
    let valid = identity.is_ok();
    let number = identity.map_or_else(|_| id.trim().to_owned(), |identity| identity.as_str().to_owned());
    let explanation = read(explain_person(run, &rules, &number))?;
    let known = explanation
        .answers
        .iter()
        .any(|a| matches!(a.verdict, Verdict::Flagged { .. } | Verdict::Mentioned(_) | Verdict::Excused(_)));
    if !valid && !known {
        return Err(nothing_about());
    }
    let explanation = explanation.masked(&masker(context, asked.ledger, run, profile, &shelf)?);
    if asked.format == Format::Json {
        let answers: Vec<_> = explanation.answers.iter().map(answer).collect();
        context.screen.json(&json!({"subject_id": explanation.subject_id, "run_id": explanation.run_id, "as_of": explanation.as_of, "rules": answers}));
    } else {
        context.screen.line(explanation.render(contracts, context.screen.lang, Style::Plain).trim_end());
        if !known {
            context.screen.line(context.screen.say(
                "本次运行中没有关于此号码的记录；号码输错或不在数据中时也是如此，请再核对一遍号码。",
                "This run holds nothing about this number; a mistyped number, or one that no extract holds, reads the same: please check it once more.",
            ));
        }
    }
    Ok(Exit::Done)
}

/// What was typed is neither a finding, nor a valid number, nor the key of anything in the run: a clean bill
/// for it would be a lie.
fn nothing_about() -> Failure {
    Failure::usage(
        Diagnostic::error(
            "MC086",
            "需要线索编号、有效的证件号码或账号，实际输入的都不是，本次运行中也没有它",
            "wanted the id of a finding, a valid identity number or an account; what was given is none of them and this run holds nothing about it",
        )
        .with_help("检查号码的位数和校验码", "check its length and check digit"),
    )
}

fn answer(answer: &Answer) -> serde_json::Value {
    let mut out = json!({"rule_id": answer.rule_id, "title": answer.title, "remarks": answer.remarks});
    let (word, more) = match &answer.verdict {
        Verdict::Flagged { findings, excused } => {
            ("flagged", json!({"findings": findings, "excused": excused}))
        }
        Verdict::Mentioned(findings) => ("mentioned", json!({"findings": findings})),
        Verdict::Excused(excused) => ("excused", json!({"excused": excused})),
        Verdict::NoFact => ("no_fact", json!({})),
        Verdict::NoAnswer(kind, reason) => ("no_answer", json!({"outcome": kind, "reason": reason})),
        Verdict::NotRun => ("not_run", json!({})),
    };
    out["verdict"] = json!(word);
    if let (Some(out), Some(more)) = (out.as_object_mut(), more.as_object()) {
        out.extend(more.clone());
    }
    out
}

/// Single cases are not for the public.
pub(super) fn cases_only(context: &Context, from: &FromRun) -> Result<Profile, Failure> {
    match export::profile(context, from) {
        Profile::Public => Err(Failure::usage(Diagnostic::error(
            "MC086",
            "`--profile public` 只能看统计，不能看个案",
            "`--profile public` sees counts and no single case",
        ))),
        profile => Ok(profile),
    }
}

fn nothing(id: &str) -> Failure {
    // The word may be somebody's number: it is not repeated.
    let digits = id.trim().len();
    Failure::usage(
        Diagnostic::error(
            "MC086",
            format!("没有编号以所给 {digits} 位开头的线索"),
            format!("no finding begins with the {digits} characters given"),
        )
        .with_help(
            "用 `mingcha findings list` 查看编号；查人用 `mingcha findings explain`",
            "`mingcha findings list` shows the ids; for a person use `mingcha findings explain`",
        ),
    )
}

fn read<T>(result: Result<T, Diagnostic>) -> Result<T, Failure> {
    result.map_err(|fault| Failure::inputs(vec![fault]))
}
