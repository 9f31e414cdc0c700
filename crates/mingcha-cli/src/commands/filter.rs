//! Filters that cannot apply: a flag that would change nothing is refused, because whoever gave it takes what comes for
//! the answer to it; and a filter that names something unknown is told. Filters nothing itself.

use std::collections::BTreeSet;

use mingcha_ledger::book::{Filter, several_subjects, subjects_called};
use mingcha_ledger::{Addressee, ExportOptions, Profile, RunFolder};
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::Finding;
use mingcha_rules::text::Text;

use crate::args::{self, Desk, Export, FindingsList, Intake};
use crate::exit::Failure;
use crate::packs::Shelf;

/// `flag` would change nothing here, and why; what to do instead.
fn idle(flag: &str, why: (&str, &str), instead: (&str, &str)) -> Failure {
    Failure::usage(
        Diagnostic::error(
            "MC825",
            format!("`{flag}` 在这里不起作用：{}", why.0),
            format!("`{flag}` has no effect here: {}", why.1),
        )
        .with_help(instead.0, instead.1),
    )
}

fn first<'f>(flags: impl IntoIterator<Item = (bool, &'f str)>) -> Option<&'f str> {
    flags.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
}

/// Whether the filters of a list can be asked of `run`, whose findings these are; what there is to say of them.
pub(super) fn of_run(
    args: &FindingsList,
    run: &RunFolder,
    findings: &[Finding],
) -> Result<Option<Text>, Failure> {
    let common = &args.common;
    let only_ledger = [
        (!common.stage.is_empty(), "--stage"),
        (!common.mark.is_empty(), "--mark"),
        (!common.light.is_empty(), "--light"),
        (common.assignee.is_some(), "--assignee"),
        (args.all, "--all"),
    ];
    if let Some(flag) = first(only_ledger) {
        return Err(idle(
            flag,
            (
                "只有台账知道线索办到哪一步、由谁办理",
                "only a ledger knows how far a lead has come and whose it is",
            ),
            (
                "用 `--ledger` 指明台账，不给 `--run`；对一次运行可用 `--rule`、`--severity`、`--area`、`--subject`",
                "name a ledger with `--ledger` and give no `--run`; of a run one can ask for `--rule`, `--severity`, `--area` and `--subject`",
            ),
        ));
    }
    let known: BTreeSet<&str> = run.manifest().rules.iter().map(|rule| rule.rule_id.as_str()).collect();
    if let Some(rule) = args.rule.iter().find(|rule| !known.contains(rule.as_str())) {
        return Err(no_such_rule(rule, ("这次运行", "this run has")));
    }
    let Some(area) = &args.area else { return Ok(None) };
    let there =
        |finding: &Finding| finding.area_code.as_ref().is_some_and(|code| code.starts_with(area.as_str()));
    Ok((!findings.iter().any(there)).then(|| no_such_area(area, ("这次运行", "this run"))))
}

/// The number of the subject that `given` means among `findings`, or what there is to say where it means nobody there.
/// `told`: what whoever asks may read of findings, of which there is one for each subject.
///
/// # Errors
/// `MC865` where a masked number fits several.
pub(super) fn subject_of_run(
    given: &str,
    findings: &[Finding],
    told: impl Fn(&[Finding]) -> String,
) -> Result<Result<String, Text>, Failure> {
    let mut meant = subjects_called(given, findings.iter().map(|finding| finding.subject_id.as_str()));
    if meant.len() > 1 {
        let n = meant.len();
        let first = findings.iter().filter(|finding| meant.remove(&finding.subject_id));
        let each: Vec<Finding> = first.cloned().collect();
        return Err(Failure::usage(several_subjects(n, &told(&each))));
    }
    // The number is somebody's: it is not repeated.
    Ok(meant.pop_first().ok_or_else(|| Text {
        zh: "这次运行中没有关于所给号码的线索：请核对号码；没有线索不等于没有问题".to_owned(),
        en: "this run has no finding about the number that was given: please check it; no finding does not mean that nothing is wrong".to_owned(),
    }))
}

/// What [`of_run`] asks, of a ledger in which `there` says whether any lead is so.
pub(super) fn of_ledger(
    args: &FindingsList,
    shelf: &Shelf,
    there: impl Fn(&Filter) -> Result<bool, Failure>,
) -> Result<Option<Text>, Failure> {
    for rule in args.rule.iter().filter(|rule| shelf.library.rule(rule).is_none()) {
        // A rule that was taken away has its leads still.
        if !there(&Filter { rules: vec![rule.clone()], ..Filter::default() })? {
            return Err(no_such_rule(rule, ("台账和规则库", "the ledger and the library have")));
        }
    }
    let Some(area) = &args.area else { return Ok(None) };
    let known = there(&Filter { area: Some(area.clone()), ..Filter::default() })?;
    Ok((!known).then(|| no_such_area(area, ("台账", "the ledger"))))
}

/// Rules of which a scorecard was asked for and nothing is known.
pub(super) fn of_scorecard(rules: &[String], known: impl Fn(&str) -> bool) -> Result<(), Failure> {
    match rules.iter().find(|rule| !known(rule)) {
        Some(rule) => Err(no_such_rule(rule, ("台账和规则库", "the ledger and the library have"))),
        None => Ok(()),
    }
}

/// Whether everything that was given with an export says something of it. `recorded`: whether it goes into a ledger.
pub(super) fn of_export(args: &Export, options: &ExportOptions, recorded: bool) -> Result<(), Failure> {
    let rewritten = args.number.is_some();
    if !recorded {
        let flags = [
            (args.expires.is_some(), "--expires"),
            (args.controls.is_some(), "--controls"),
            (args.store.is_some(), "--store"),
            (args.desk.who.is_some(), "--as"),
            (args.desk.at.is_some(), "--at"),
        ];
        if let Some(flag) = first(flags) {
            return Err(idle(
                flag,
                ("没有台账，清单不登记", "without a ledger no list is on record"),
                ("用 `--ledger` 指明台账，或去掉它", "name a ledger with `--ledger`, or leave it out"),
            ));
        }
    }
    let to_nobody =
        args.addressee.as_deref().is_none_or(|whose| Addressee::parse(whose) == Addressee::Everything);
    let visits = rewritten || (!to_nobody && options.format == mingcha_ledger::Format::Xlsx);
    let sample = [(args.controls.is_some(), "--controls"), (args.store.is_some(), "--store")];
    if let Some(flag) = first(sample).filter(|_| recorded && !visits) {
        return Err(idle(
            flag,
            (
                "只有 `--for` 的 xlsx 清单才有入户核查表和对照样本",
                "only a list with `--for`, as xlsx, has a visit sheet and a control sample",
            ),
            ("加上 `--for 区划|姓名`，或去掉它", "add `--for AREA|PERSON`, or leave it out"),
        ));
    }
    if args.encoding.is_some() && !rewritten && options.format != mingcha_ledger::Format::Csv {
        return Err(idle(
            "--encoding",
            ("只有 CSV 才有编码可选", "only CSV has an encoding to choose"),
            ("加上 `--format csv`，或去掉它", "add `--format csv`, or leave it out"),
        ));
    }
    if args.by_area && options.profile == Profile::Public {
        return Err(idle(
            "--by-area",
            ("公开统计总是一份文件，已按县分列", "public counts are one file always, by county already"),
            ("去掉它", "leave it out"),
        ));
    }
    Ok(())
}

/// Who acts and when, where there is no ledger to write that into.
pub(super) fn of_desk(desk: &Desk) -> Result<(), Failure> {
    match first([(desk.who.is_some(), "--as"), (desk.at.is_some(), "--at")]) {
        Some(flag) => Err(idle(
            flag,
            ("没有台账，不登记何人何时办理", "without a ledger nothing is entered, by nobody at no time"),
            ("用 `--ledger` 指明台账，或去掉它", "name a ledger with `--ledger`, or leave it out"),
        )),
        None => Ok(()),
    }
}

/// How extracts are to be read, where none are.
pub(super) fn of_store(intake: &Intake) -> Result<(), Failure> {
    let flags = [
        (intake.accept_damaged_ids, "--accept-damaged-ids"),
        (intake.shards.is_some(), "--shards"),
        (intake.extract_date.is_some(), "--extract-date"),
        (intake.encoding.is_some(), "--encoding"),
    ];
    match first(flags) {
        Some(flag) => Err(idle(
            flag,
            ("数据仓已整理好，不再读取原始数据", "the store is prepared already and no extract is read"),
            (
                "用 `--data` 指明原始数据，或在 `mingcha prepare` 时给出",
                "name extracts with `--data`, or give it to `mingcha prepare`",
            ),
        )),
        None => Ok(()),
    }
}

/// What a night that is only asked for does not look at.
pub(super) fn of_nightly(args: &args::Nightly) -> Result<(), Failure> {
    let given = [(args.again, "--again"), (args.as_of.is_some(), "--as-of")];
    match first(given).filter(|_| args.status) {
        Some(flag) => Err(idle(
            flag,
            (
                "`--status` 只说明目前状况，什么也不做",
                "`--status` only says how things stand and does nothing",
            ),
            ("去掉其中一个", "leave one of the two out"),
        )),
        None => Ok(()),
    }
}

fn no_such_rule(rule: &str, (zh, en): (&str, &str)) -> Failure {
    Failure::usage(
        Diagnostic::error("MC826", format!("{zh}中没有规则 `{rule}`"), format!("{en} no rule `{rule}`"))
            .with_help("用 `mingcha rules list` 查看规则编号", "`mingcha rules list` shows the ids of rules"),
    )
}

fn no_such_area(area: &str, (zh, en): (&str, &str)) -> Text {
    Text {
        zh: format!("{zh}中没有区划代码以 {area} 开头的线索：请核对代码；没有线索不等于没有问题"),
        en: format!(
            "no lead of {en} lies in an area whose code begins with {area}: please check the code; no lead does not mean that nothing is wrong"
        ),
    }
}
