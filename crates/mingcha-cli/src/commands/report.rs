//! `mingcha report`: what the ledger tells of a night, a month, an area, a unit or a rule, as a page and a workbook.

use mingcha_ledger::report::{Asked, Subject, report};
use mingcha_ledger::{Book, Profile};
use mingcha_rules::diagnostic::Diagnostic;

use super::{Context, export, ledger};
use crate::args::{FromRun, Report, ReportVerb};
use crate::clock;
use crate::exit::{Failure, Outcome};
use crate::packs::Shelf;
use crate::render::Table;

pub(super) fn run(context: &Context, args: &Report) -> Outcome {
    let (subject, common) = match &args.verb {
        ReportVerb::Night(args) => (Subject::Night(args.night), &args.common),
        ReportVerb::Month(args) => (Subject::Month(args.month.clone()), &args.common),
        ReportVerb::Area(args) => (Subject::Area(args.area.clone(), args.month.clone()), &args.common),
        ReportVerb::Unit(args) => (Subject::Unit(args.unit.clone()), &args.common),
        ReportVerb::Rule(args) => (Subject::Rule(args.rule.clone()), &args.common),
    };
    let path = context.config.needed("ledger.path", "--ledger", common.ledger.as_deref())?;
    let out = context.config.needed("paths.export", "--out", common.out.as_deref())?;
    let shelf = Shelf::open(context, &common.packs);
    let book = Book::read(&path).map_err(ledger::refused)?;
    let asked = Asked {
        subject,
        profile: export::profile(context, &FromRun { run: None, profile: common.profile }),
        lang: context.screen.lang,
        today: common.at.clone().unwrap_or_else(|| book.zone().day(&clock::now()).into()),
        limit: if common.limit == 0 { usize::MAX } else { common.limit },
        replace: common.replace,
    };
    let policy = ledger::policy(context, Some(&shelf));
    let files = report(&book, &policy, &asked, &export::catalogue(&shelf), &out).map_err(refused)?;
    let screen = &context.screen;
    let mut table = Table::new([screen.say("文件", "file")]);
    for file in &files {
        table.row([file.path.display().to_string()]);
    }
    if common.shape.format == crate::args::Format::Json {
        screen.json(&files);
    } else {
        screen.table(&table);
    }
    screen.note(match asked.profile {
        Profile::Investigator => screen.say(
            "含完整个人信息：只交给核查人员，用后妥善保管",
            "holds full personal data: for those who check the cases only; keep it safe",
        ),
        Profile::Supervisor => screen.say(
            "个人信息已脱敏；完整报告用 `--profile investigator`",
            "personal data is masked; `--profile investigator` writes it in full",
        ),
        Profile::Public => screen.say("仅合计数，不含个案", "sums only, no cases"),
    });
    Ok(crate::exit::Exit::Done)
}

fn refused(fault: Diagnostic) -> Failure {
    match fault.code.as_str() {
        "MC871" | "MC872" | "MC873" | "MC874" => Failure::usage(fault),
        "MC811" | "MC812" => export::refused(fault),
        _ => ledger::refused(fault),
    }
}
