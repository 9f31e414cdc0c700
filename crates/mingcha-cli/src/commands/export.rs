//! `mingcha export`: lists of findings out of a run, masked unless asked otherwise.

use mingcha_ledger::{Catalogue, Encoding, ExportOptions, Exported, Format, Profile, RunFolder};
use mingcha_rules::diagnostic::Diagnostic;

use super::Context;
use crate::args::{self, EncodingArg, Export, ExportFormat, ProfileArg};
use crate::exit::{Exit, Failure, Outcome};
use crate::packs::Shelf;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Export) -> Outcome {
    let run = open(context, &args.from)?;
    let out = context.config.needed("paths.export", "--out", args.out.as_deref())?;
    let shelf = Shelf::open(context, &args.packs);
    let options = ExportOptions {
        profile: profile(context, &args.from),
        format: context.config.choice("export.format", args.format).map_or(Format::Xlsx, format),
        lang: context.screen.lang,
        encoding: encoding(context, args.encoding),
        by_area: args.by_area,
        replace: args.replace,
        recipient: args.recipient.clone(),
        ..ExportOptions::default()
    };
    let files = mingcha_ledger::export(&run, &out, &options, &catalogue(&shelf)).map_err(refused)?;
    show(context, &files, options.profile);
    Ok(Exit::Done)
}

/// An export as the configuration wants it.
pub(super) fn options(context: &Context) -> ExportOptions {
    ExportOptions {
        profile: profile(context, &args::FromRun { run: None, profile: None }),
        format: context.config.choice("export.format", None).map_or(Format::Xlsx, format),
        lang: context.screen.lang,
        encoding: encoding(context, None),
        ..ExportOptions::default()
    }
}

fn encoding(context: &Context, flag: Option<EncodingArg>) -> Encoding {
    match context.config.choice("export.encoding", flag) {
        Some(EncodingArg::Gb18030) => Encoding::Gb18030,
        _ => Encoding::Utf8,
    }
}

/// The run that is asked for.
pub(super) fn open(context: &Context, from: &args::FromRun) -> Result<RunFolder, Failure> {
    let path = context.config.needed("paths.run", "--run", from.run.as_deref())?;
    RunFolder::open(&path).map_err(|fault| Failure::inputs(vec![fault]))
}

/// Who reads.
pub(super) fn profile(context: &Context, from: &args::FromRun) -> Profile {
    match context.config.choice("export.profile", from.profile) {
        Some(ProfileArg::Investigator) => Profile::Investigator,
        Some(ProfileArg::Public) => Profile::Public,
        _ => Profile::Supervisor,
    }
}

/// Titles and classes of personal data, for lists and pages.
pub(super) fn catalogue(shelf: &Shelf) -> Catalogue<'_> {
    Catalogue {
        contracts: &shelf.library.contracts,
        rules: shelf.library.rules.iter().map(|r| &r.rule).collect(),
        ..Catalogue::default()
    }
}

fn format(word: ExportFormat) -> Format {
    match word {
        ExportFormat::Xlsx => Format::Xlsx,
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Ndjson => Format::Ndjson,
    }
}

/// A file that is there already is for the user to decide on; the rest is the disk.
pub(super) fn refused(fault: Diagnostic) -> Failure {
    let exit = match fault.code.as_str() {
        "MC812" => {
            let fault = fault.with_help(
                "换一个输出目录，或加上 `--replace`（其中已填写的内容会丢失）",
                "choose another folder, or add `--replace` (whatever was filled in there is lost)",
            );
            return Failure::usage(fault);
        }
        "MC813" => Exit::Usage,
        "MC806" => Exit::Inputs,
        _ => Exit::Internal,
    };
    Failure::new(exit, fault)
}

fn show(context: &Context, files: &[Exported], profile: Profile) {
    let screen = &context.screen;
    let mut table =
        Table::new([screen.say("文件", "file"), screen.say("#条数", "#rows"), screen.say("区划", "area")]);
    for file in files {
        let area = match file.area.as_deref() {
            None => screen.say("全部", "all").to_owned(),
            Some("") => screen.say("不明", "unknown").to_owned(),
            Some(area) => area.to_owned(),
        };
        table.row([file.path.display().to_string(), count(file.rows), area]);
    }
    screen.table(&table);
    screen.note(match profile {
        Profile::Investigator => screen.say(
            "含完整个人信息：只交给核查人员，用后妥善保管",
            "holds full personal data: for those who check the cases only; keep it safe",
        ),
        Profile::Supervisor => screen.say(
            "个人信息已脱敏；完整清单用 `--profile investigator`",
            "personal data is masked; `--profile investigator` writes it in full",
        ),
        Profile::Public => screen.say("仅含统计数，不含个案", "counts only, no cases"),
    });
}
