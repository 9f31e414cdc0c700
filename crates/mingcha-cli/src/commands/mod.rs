//! One module per verb, and what they share: the language, the configuration, the screen, the way out.
//! A verb parses nothing and prints only through the screen.

mod check;
mod config;
mod demo;
mod export;
mod extracts;
mod filter;
mod findings;
mod import;
mod init;
mod leads;
mod learning;
mod ledger;
mod nightly;
mod plan;
mod prepare;
mod purge;
mod report;
mod rules;
mod run;
mod schema;
mod serve;
mod shell;
mod since;
mod synth;
mod test;
mod verify;

pub(crate) use run::resumed;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mingcha_ledger::Zone;
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::finding::OutcomeKind;
use mingcha_rules::rule::Severity;
use mingcha_rules::text::Lang;

use crate::args::{self, Cli, Verb};
use crate::config::Config;
use crate::exit::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::render::Screen;

/// What every verb is given.
pub(crate) struct Context {
    /// Where things are shown, and in which language.
    pub(crate) screen: Screen,
    /// The settings.
    pub(crate) config: Config,
    /// Where the office is: its days are days there.
    pub(crate) zone: Zone,
    /// Whether the user asked to stop.
    pub(crate) interrupt: Interrupt,
    /// `--lang`, as given.
    pub(crate) lang_flag: Option<String>,
    quiet: bool,
}

impl Context {
    /// Whether progress is shown: for a person at a terminal, and not for a machine.
    pub(crate) fn shows_progress(&self, format: args::Format) -> bool {
        !self.quiet && format == args::Format::Human && std::io::stderr().is_terminal()
    }
}

/// Runs the command line `raw` and says how it ended.
pub(crate) fn main(raw: &[OsString]) -> Exit {
    let place = keep_panics_quiet();
    let lang_flag = args::early(raw, "lang").map(|v| v.to_string_lossy().into_owned());
    let config = Config::read(args::early(raw, "config").map(PathBuf::from).as_deref(), variable);
    let lang = language(lang_flag.as_deref(), config.as_ref().ok());
    let screen = Screen::new(lang, variable("NO_COLOR").is_some_and(|v| !v.is_empty()));
    let work = || guarded(raw, screen, config, lang_flag);
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let place = place.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let fault = Diagnostic::error(
            "MC099",
            format!("程序内部出错（{place}），没有留下未完成的结果"),
            format!("internal error ({place}); nothing unfinished is left behind"),
        )
        .with_help(
            "请把这一行和所用的命令告诉维护者；其中不含个人信息",
            "tell the maintainers this line and the command; it holds no personal data",
        );
        Screen::new(lang, true).diagnostics(&[fault]);
        Exit::Internal
    })
}

/// Parses and runs, and shows why where it fails.
fn guarded(
    raw: &[OsString],
    screen: Screen,
    config: Result<Config, Vec<Diagnostic>>,
    lang_flag: Option<String>,
) -> Exit {
    let cli = match args::parse(raw, screen.lang) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            screen.note_raw(&args::usage_error(&error, screen.lang));
            return Exit::Usage;
        }
        Err(help) => {
            screen.raw(help.render().to_string().as_bytes());
            return Exit::Done;
        }
    };
    let config = match config {
        Ok(config) => config,
        Err(faults) => {
            screen.diagnostics(&faults);
            return Exit::Usage;
        }
    };
    // The demonstration shows the shipped rules on its own city, wherever it is started.
    let config = if matches!(cli.verb, Verb::Demo(_)) { config.without_workspace() } else { config };
    let context = Context {
        screen,
        zone: crate::clock::zone(&config),
        config,
        interrupt: Interrupt::listen(),
        lang_flag,
        quiet: cli.global.quiet,
    };
    let result = dispatch(&context, cli).and_then(|exit| context.screen.finish().map(|()| exit));
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            context.screen.diagnostics(&failure.diagnostics);
            failure.exit
        }
    }
}

fn dispatch(context: &Context, cli: Cli) -> Outcome {
    match cli.verb {
        Verb::Demo(args) => demo::run(context, &args),
        Verb::Synth(args) => synth::run(context, &args),
        Verb::Init(args) => init::run(context, &args),
        Verb::Check(args) => check::run(context, &args),
        Verb::Test(args) => test::run(context, &args),
        Verb::Rules(args) => rules::run(context, &args),
        Verb::Prepare(args) => prepare::run(context, &args),
        Verb::Plan(args) => plan::run(context, &args),
        Verb::Run(args) => run::run(context, &args),
        Verb::Findings(args) => findings::run(context, &args),
        Verb::Ledger(args) => ledger::run(context, &args),
        Verb::Export(args) => export::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::Verify(args) => verify::run(context, &args),
        Verb::Config(args) => config::run(context, &args),
        Verb::Schema(args) => schema::run(context, &args),
        Verb::Completions(args) => shell::completions(context, &args),
        Verb::Man(args) => shell::man(context, &args),
        Verb::Scorecard(args) => learning::scorecard(context, &args),
        Verb::Report(args) => report::run(context, &args),
        Verb::Nightly(args) => nightly::run(context, &args),
        Verb::Serve(args) => serve::run(context, &args),
        Verb::Purge(args) => purge::run(context, &args),
    }
}

/// `--lang`, then `MINGCHA_LANG` and `mingcha.toml`, then the locale, then English.
fn language(flag: Option<&str>, config: Option<&Config>) -> Lang {
    let set = || config.map_or_else(|| variable("MINGCHA_LANG"), |c| c.setting("lang", None).map(|s| s.text));
    let locale = || {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|v| !v.is_empty()))
    };
    flag.and_then(crate::config::parse_lang)
        .or_else(|| set().as_deref().and_then(crate::config::parse_lang))
        .unwrap_or_else(|| if locale().is_some_and(|l| l.starts_with("zh")) { Lang::Zh } else { Lang::En })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A panic says where in our sources it happened, and not what it was about: that might be personal.
/// Those of single rules are caught by the engine and must not be heard at all.
fn keep_panics_quiet() -> Arc<Mutex<Option<String>>> {
    let place = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        let at = info.location().map(|l| format!("{}:{}", Path::new(l.file()).display(), l.line()));
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }));
    place
}

/// Says what bears the name of something unfinished and not its mark.
fn left_alone(context: &Context, paths: &[PathBuf]) {
    let said = |path: &PathBuf| {
        Diagnostic::warning(
            "MC945",
            "名称像未完成的工作，但没有明察的标记，不予清理",
            "named like unfinished work, but without Mingcha's mark: left alone",
        )
        .in_file(path.display())
        .with_help("确认不再需要后自行移走", "move it away yourself if nobody needs it")
    };
    context.screen.diagnostics(&paths.iter().map(said).collect::<Vec<_>>());
}

/// A folder that must be new or empty.
fn must_be_empty(folder: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::disk(folder, &error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::usage(
                Diagnostic::error(
                    "MC089",
                    format!("需要空的或不存在的目录，但 `{}` 里有文件", folder.display()),
                    format!("wanted an empty or new folder, but `{}` is not empty", folder.display()),
                )
                .with_help(
                    "换一个目录；这里的文件不会被改动",
                    "choose another folder; nothing here is touched",
                ),
            )),
        },
    }
}

/// A severity, in the reader's words.
fn severity_word(context: &Context, severity: Severity) -> &'static str {
    let (zh, en) = match severity {
        Severity::Info => ("提示", "info"),
        Severity::Low => ("低", "low"),
        Severity::Medium => ("中", "medium"),
        Severity::High => ("高", "high"),
        Severity::Critical => ("严重", "critical"),
    };
    context.screen.say(zh, en)
}

/// How a rule ended, in words.
pub(crate) fn outcome_word(kind: OutcomeKind, lang: Lang) -> &'static str {
    let (zh, en) = match kind {
        OutcomeKind::Found => ("有线索", "findings"),
        OutcomeKind::Clean => ("未发现", "nothing found"),
        OutcomeKind::Failed => ("执行失败", "failed"),
        OutcomeKind::Held => ("超限暂存", "held by its limits"),
        OutcomeKind::NotEvaluated => ("未评估", "not evaluated"),
    };
    match lang {
        Lang::Zh => zh,
        Lang::En => en,
    }
}
