//! `mingcha export`: lists of findings out of a run, masked unless asked otherwise; with a ledger on record, and for an
//! area or a person with a visit sheet.

use std::fs::File;
use std::path::Path;

use chrono::Days;
use mingcha_intake::{Store, texts};
use mingcha_ledger::{
    Addressee, Book, Catalogue, Dispatch, Encoding, ExportOptions, Exported, Format, Issued, Payee, Payees,
    Profile, RunFolder,
};
use mingcha_rules::diagnostic::Diagnostic;

use super::ledger::{self, Desk};
use super::{Context, filter};
use crate::args::{self, EncodingArg, Export, ExportFormat, ProfileArg};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock;
use crate::packs::Shelf;
use crate::render::{Table, count};

pub(super) fn run(context: &Context, args: &Export) -> Outcome {
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
    let recorded = args.addressee.is_some()
        || args.number.is_some()
        || context.config.path("ledger.path", args.desk.ledger.as_deref()).is_some();
    filter::of_export(args, &options, recorded)?;
    if recorded {
        return on_record(context, args, &out, &options, &shelf);
    }
    let run = open(context, &args.from)?;
    let files = mingcha_ledger::export(&run, &out, &options, &catalogue(&shelf)).map_err(refused)?;
    show(context, &files, options.profile);
    Ok(Exit::Done)
}

/// Days for which a list is valid unless it is said otherwise.
const VALID_DAYS: u64 = 30;
/// Whom the control sample is drawn from, and what is to be known of them.
const PAYEES: (&str, [&str; 4]) = ("pension_payees", ["id_number", "name", "area_code", "status"]);
/// `status` of those who are being paid.
const PAID: &str = "1";

/// A list with a number, that the ledger knows of.
fn on_record(
    context: &Context,
    args: &Export,
    out: &Path,
    options: &ExportOptions,
    shelf: &Shelf,
) -> Outcome {
    let desk = Desk::needed(context, &args.desk, shelf)?;
    let addressee = args.addressee.as_deref().map_or(Addressee::Everything, Addressee::parse);
    let run = match (&args.from.run, &addressee) {
        (None, Addressee::Area(_) | Addressee::Person(_)) => None,
        _ if args.number.is_some() => None,
        _ => context.config.path("paths.run", args.from.run.as_deref()),
    };
    let _reading_run = run.as_deref().and_then(lock::reading);
    let run = run.map(|path| RunFolder::open(&path)).transpose().map_err(|f| Failure::inputs(vec![f]))?;
    let visits =
        args.number.is_some() || (addressee != Addressee::Everything && options.format == Format::Xlsx);
    let store = match context.config.path("paths.store", args.store.as_deref()).filter(|_| visits) {
        // A store that is only configured may not have been made yet.
        Some(path) if args.store.is_some() || path.exists() => {
            Some(Store::open(&path).map_err(|fault| Failure::inputs(vec![fault]))?)
        }
        _ => None,
    };
    let _reading = store.as_ref().and_then(|store| lock::reading(store.path()));
    // What is not there is not made for a list; an older one is migrated.
    if !desk.path.exists() {
        Book::read(&desk.path).map_err(ledger::refused)?;
    }
    let mut book = desk.open()?;
    let catalogue = catalogue(shelf);
    let issued = match &args.number {
        Some(number) => {
            let payees = store.as_ref().map(|store| -> Payees<'_> { Box::new(payees(store)) });
            let (number, by) = (number.trim(), desk.by());
            mingcha_ledger::reissue(&mut book, number, payees, &desk.policy, out, options, &catalogue, by)
        }
        None => {
            let order = Order {
                addressee,
                recipient: args.recipient.clone(),
                expires: expires(args, &desk)?,
                run,
                store: store.as_ref(),
                controls: args.controls.map(|n| n as usize),
                only_new: args.new,
                occasion: None,
            };
            hand_out(&mut book, &desk, order, out, options, &catalogue)
        }
    };
    let issued = issued.map_err(not_issued)?;
    ledger::unfinished(context, &mut book);
    show(context, &issued.files, issued.profile);
    tell(context, &issued, issued.persons > 0);
    Ok(Exit::Done)
}

/// A list on record that was not written: the disk and the formats, or the ledger says no.
pub(super) fn not_issued(fault: Diagnostic) -> Failure {
    match fault.code.as_str() {
        "MC806" | "MC811" | "MC812" | "MC813" => refused(fault),
        _ => ledger::refused(fault),
    }
}

/// A list on record, as the command line or a night asks for it.
pub(super) struct Order<'a> {
    pub(super) addressee: Addressee,
    /// None: the addressee.
    pub(super) recipient: Option<String>,
    /// Its last day.
    pub(super) expires: String,
    pub(super) run: Option<RunFolder>,
    /// Out of which the control sample is drawn.
    pub(super) store: Option<&'a Store>,
    pub(super) controls: Option<usize>,
    pub(super) only_new: bool,
    pub(super) occasion: Option<String>,
}

/// Writes a list into `out` and into the ledger.
pub(super) fn hand_out(
    book: &mut Book,
    desk: &Desk,
    order: Order<'_>,
    out: &Path,
    options: &ExportOptions,
    catalogue: &Catalogue<'_>,
) -> Result<Issued, Diagnostic> {
    let Order { addressee, recipient, expires, run, store, controls, only_new, occasion } = order;
    let recipient = recipient.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let recipient = recipient.unwrap_or_else(|| match &addressee {
        Addressee::Everything => desk.by().who.to_owned(),
        Addressee::Area(name) | Addressee::Person(name) => name.clone(),
    });
    let payees = store.map(|store| -> Payees<'_> { Box::new(payees(store)) });
    let policy = &desk.policy;
    let dispatch =
        Dispatch { addressee, recipient, expires, run, policy, payees, controls, only_new, occasion };
    mingcha_ledger::issue(book, dispatch, out, options, catalogue, desk.by())
}

fn payees(store: &Store) -> impl Iterator<Item = Result<Payee, Diagnostic>> + '_ {
    texts(store, PAYEES.0, &PAYEES.1).filter_map(|row| match row {
        Err(fault) => Some(Err(fault)),
        Ok(row) => match row.as_slice() {
            [id_number, name, area_code, status] if status == PAID && !id_number.is_empty() => {
                Some(Ok(Payee {
                    id_number: id_number.clone(),
                    name: name.clone(),
                    area_code: area_code.clone(),
                }))
            }
            _ => None,
        },
    })
}

/// The last day of a list that leaves now and is valid for so many days.
pub(super) fn last_day(desk: &Desk, days: Option<u64>) -> String {
    let by = desk.by();
    let today = by.zone.date(by.at);
    today.checked_add_days(Days::new(days.unwrap_or(VALID_DAYS))).unwrap_or(today).to_string()
}

fn expires(args: &Export, desk: &Desk) -> Result<String, Failure> {
    let Some(last) = args.expires.clone() else { return Ok(last_day(desk, None)) };
    if *last >= *desk.by().day() {
        return Ok(last);
    }
    Err(Failure::usage(
        Diagnostic::error(
            "MC893",
            format!("有效期的最后一天应不早于今天，实际为 {last}"),
            format!("wanted a last day that is not over yet, got {last}"),
        )
        .with_help("给出今后的日期，或不写 `--expires`", "give a later day, or leave `--expires` out"),
    ))
}

/// What the ledger now knows of the list.
fn tell(context: &Context, issued: &Issued, visits: bool) {
    let screen = &context.screen;
    let (number, recipient, expires) = (&issued.number, &issued.recipient, &issued.expires);
    let leads = count(issued.leads);
    screen.line(screen.say(
        &format!("导出编号 {number}，接收人 {recipient}，有效期至 {expires}，线索 {leads} 条；已记入台账"),
        &format!("export {number} for {recipient}, valid until {expires}, {leads} leads; it is on record"),
    ));
    let more = |n: u64, zh: &str, en: &str| {
        if n > 0 {
            let n = count(n);
            screen.line(screen.say(&format!("{zh}：{n}"), &format!("{en}: {n}")));
        }
    };
    more(
        issued.cancelled,
        "撤销此前发出的线索，见“撤销”表",
        "leads of earlier lists cancelled, on a sheet of their own",
    );
    more(
        issued.untold,
        "应撤销而未告知的线索：这种格式写不下，请另用 xlsx 或 csv 导出一次",
        "leads that should be cancelled and are not: this format has no place for them; export once more as xlsx or csv",
    );
    more(
        issued.bare,
        "证据所在的运行结果已不在，只列出说明",
        "leads whose run is not there any more: listed without their evidence",
    );
    match issued.controls {
        Some((drawn, population)) => {
            let (drawn, population, persons) = (count(drawn), count(population), count(issued.persons));
            screen.line(screen.say(
                &format!("入户核查表：线索涉及 {persons} 人，另从未列出的 {population} 人中抽取对照样本 {drawn} 人"),
                &format!("visit sheet: {persons} persons of the leads, and a control sample of {drawn} out of {population} without a lead"),
            ));
        }
        None if visits => screen.note(screen.say(
            "入户核查表没有对照样本，无法估计漏查；加上 `--store` 即可抽取",
            "the visit sheet has no control sample, so what is missed cannot be estimated; `--store` draws one",
        )),
        None => {}
    }
}

/// An export as the configuration wants it.
pub(super) fn options(context: &Context) -> ExportOptions {
    ExportOptions {
        profile: usual_profile(context),
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

/// A run that is being read: nobody destroys it meanwhile.
pub(super) struct Reading {
    run: RunFolder,
    _held: Option<File>,
}

impl std::ops::Deref for Reading {
    type Target = RunFolder;

    fn deref(&self) -> &RunFolder {
        &self.run
    }
}

/// The run that is asked for.
pub(super) fn open(context: &Context, from: &args::FromRun) -> Result<Reading, Failure> {
    let path = context.config.needed("paths.run", "--run", from.run.as_deref())?;
    let _held = lock::reading(&path);
    let run = RunFolder::open(&path).map_err(|fault| Failure::inputs(vec![fault]))?;
    Ok(Reading { run, _held })
}

/// Who reads.
pub(super) fn profile(context: &Context, from: &args::FromRun) -> Profile {
    match context.config.choice("export.profile", from.profile) {
        Some(ProfileArg::Investigator) => Profile::Investigator,
        Some(ProfileArg::Public) => Profile::Public,
        _ => Profile::Supervisor,
    }
}

/// Who reads what no `--profile` is asked for.
pub(super) fn usual_profile(context: &Context) -> Profile {
    profile(context, &args::FromRun { run: None, profile: None })
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
        "MC806" | "MC822" | "MC823" => Exit::Inputs,
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
