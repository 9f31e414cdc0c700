//! The one table of verbs and arguments. Help, completions and man pages come from it, in Chinese and in
//! English: both texts stand beside the argument they explain. Does nothing with what it parses.
//!
//! The texts are chosen while clap builds the table, so the language is settled before ([`command`] takes
//! it). clap itself speaks English only; [`localise`] gives the Chinese table Chinese headings, usage lines
//! and remarks, and [`usage_error`] words the usual mistakes.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{
    ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use mingcha_ledger::Instant;
use mingcha_ledger::book::{Clearance, Light, Mark, Stage};
use mingcha_rules::text::Lang;

use crate::blank;

thread_local! {
    // Derived code builds the table through functions without parameters: this is how the language gets in.
    static LANG: Cell<Lang> = const { Cell::new(Lang::En) };
}

/// The text in the language the table is being built in.
fn say(zh: &'static str, en: &'static str) -> &'static str {
    match LANG.get() {
        Lang::Zh => zh,
        Lang::En => en,
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "mingcha",
    version,
    about = say("明察：比对各部门数据，给出有依据、可复核的线索清单", "Mingcha: compares agencies' extracts and lists graded leads with their evidence"),
    after_help = say(
        "第一次使用：`mingcha demo` 用合成城市演示全过程；`mingcha init 目录` 建立自己的工作目录。\n线索不是结论：Mingcha 从不停发待遇。",
        "First time: `mingcha demo` shows the whole way on a synthetic city; `mingcha init DIR` sets up your own workspace.\nA finding is a lead, not a verdict: Mingcha never stops a payment.",
    ),
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Read before the table is built; here so that the table knows it.
    #[arg(long, global = true, value_enum, value_name = "zh|en", display_order = 900, help = say("界面语言", "language of messages"))]
    pub(crate) lang: Option<LangArg>,
    #[arg(long, global = true, value_name = "FILE", display_order = 901, help = say("配置文件，默认是当前目录的 mingcha.toml", "configuration; by default mingcha.toml in the current folder"))]
    pub(crate) config: Option<PathBuf>,
    #[arg(short, long, global = true, display_order = 902, help = say("不显示进度", "show no progress"))]
    pub(crate) quiet: bool,
    #[arg(short, long, global = true, action = ArgAction::Help, display_order = 903, help = say("显示帮助", "print help"))]
    help: Option<bool>,
    #[arg(short = 'V', long, action = ArgAction::Version, display_order = 904, help = say("显示版本", "print the version"))]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(about = say("合成一座城市，全程跑一遍，并与真值对照", "a synthetic city, prepared, scanned, exported and compared with the truth"))]
    Demo(Demo),
    #[command(about = say("生成合成的原始数据和真值表", "raw extracts of a synthetic city, and the truth about them"))]
    Synth(Synth),
    #[command(about = say("建立工作目录：配置、规则、数据契约、指南", "set up a workspace: configuration, rules, contracts, guide"))]
    Init(Init),
    #[command(about = say("检查规则和数据契约，不需要数据", "check rules and contracts; no data needed"))]
    Check(Check),
    #[command(about = say("运行规则自带的示例", "run the examples inside the rules"))]
    Test(Test),
    #[command(about = say("规则目录、规则说明、新规则", "the catalogue, a rule's page, a new rule"), subcommand_required = true)]
    Rules(Rules),
    #[command(about = say("把原始数据整理入库：校验、人员索引、分片", "extracts to store: checked, indexed by person, in shards"))]
    Prepare(Prepare),
    #[command(about = say("将要运行什么：数据是否齐全、是否过期、如何执行", "what would run: inputs, freshness, shard-local or not"))]
    Plan(Plan),
    #[command(about = say("运行规则，得到线索清单", "run the rules and list the findings"))]
    Run(Run),
    #[command(about = say("查看和办理线索：为什么列出，为什么没有列出，谁在查", "look at findings and work on them: why flagged, why not, who checks"), subcommand_required = true)]
    Findings(Findings),
    #[command(about = say("台账：逐夜记入运行结果，查看每夜的变化", "the ledger: take runs in, see what each night changed"), subcommand_required = true)]
    Ledger(Ledger),
    #[command(about = say("导出线索清单，默认脱敏", "write lists of findings; masked by default"))]
    Export(Export),
    #[command(about = say("导入填好的清单：先看会改变什么，再记入台账", "take filled lists back: see what would change, then write it into the ledger"))]
    Import(Import),
    #[command(about = say("核对数据仓、运行结果或台账是否完整、未被改动", "prove that a store, a run or a ledger is whole and unchanged"))]
    Verify(Verify),
    #[command(about = say("查看配置及其来源", "the configuration and where it comes from"), subcommand_required = true)]
    Config(Config),
    #[command(about = say("输出编辑器使用的 JSON Schema", "JSON Schema for editors"))]
    Schema(Schema),
    #[command(about = say("输出命令行补全脚本", "completion script for a shell"))]
    Completions(Completions),
    #[command(about = say("生成手册页", "write the man pages"))]
    Man(Man),
    #[command(about = say("规则成绩单：属实率、金额、天数，建议保留、调整或停用", "what rules are worth: precision, money, days; keep, tune or retire"))]
    Scorecard(Scorecard),
    #[command(about = say("从台账生成报告：夜间简报、月报、地区、单位、规则", "reports from the ledger: night, month, area, unit, rule"), subcommand_required = true)]
    Report(Report),
    #[command(about = say("一夜的全部工作：等数据、入库、运行、记台账、导出、通知", "the whole night: wait for extracts, prepare, run, ledger, lists, messages"))]
    Nightly(Nightly),
    #[command(about = say("常驻进程，按计划每夜运行", "stay in memory and run nights as scheduled"))]
    Serve(Serve),
    #[command(about = say("销毁到期的线索、导出、运行结果和数据，台账中留下凭证", "destroy what is due: leads, lists, runs, extracts; the ledger keeps a certificate"))]
    Purge(Purge),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(500..=20_000_000), help = say("人数", "persons"))]
    pub(crate) persons: u64,
    #[arg(long, default_value_t = 1, help = say("随机种子，同一种子得到同一座城市", "seed; the same seed gives the same city"))]
    pub(crate) seed: u64,
    #[arg(long, value_name = "DIR", default_value = "mingcha-demo", help = say("结果目录；必须是空的、不存在的，或上一次演示留下的", "where the files go; empty, new, or left by an earlier demo"))]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) power: Power,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    #[arg(long, value_parser = clap::value_parser!(u64).range(500..=20_000_000), help = say("人数", "persons"))]
    pub(crate) persons: u64,
    #[arg(long, default_value_t = 1, help = say("随机种子，同一种子得到同一座城市", "seed; the same seed gives the same city"))]
    pub(crate) seed: u64,
    #[arg(long, value_name = "DIR", help = say("输出目录，必须为空或不存在", "where the extracts go; must be empty or new"))]
    pub(crate) out: PathBuf,
    #[arg(long, value_enum, default_value_t = CityFormat::Mixed, help = say("文件格式；mixed 为各格式混合", "file format; mixed is some of each"))]
    pub(crate) format: CityFormat,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("提取日期；默认 2026-10-31", "extract date; by default 2026-10-31"))]
    pub(crate) as_of: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[arg(value_name = "DIR", help = say("工作目录，必须为空或不存在", "the workspace; must be empty or new"))]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[arg(value_name = "PATH", help = say("规则或契约的文件、目录；默认检查自带的和工作目录的全部", "files or folders of rules and contracts; by default all shipped ones and the workspace's"))]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[arg(value_name = "PATH", help = say("规则文件或目录；默认全部规则", "files or folders of rules; by default all rules"))]
    pub(crate) paths: Vec<PathBuf>,
    #[arg(long, value_name = "ID", value_delimiter = ',', help = say("只测这些规则，用逗号分隔", "only these rules, separated by commas"))]
    pub(crate) only: Vec<String>,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Rules {
    #[command(subcommand)]
    pub(crate) verb: RulesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    #[command(about = say("列出全部规则", "list all rules"))]
    List(RulesList),
    #[command(about = say("显示一条规则的说明页", "print a rule's page"))]
    Explain(RulesExplain),
    #[command(about = say("生成一条新规则的骨架", "write the scaffold of a new rule"))]
    New(RulesNew),
}

#[derive(Debug, Args)]
pub(crate) struct RulesList {
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct RulesExplain {
    #[arg(value_name = "ID", help = say("规则编号，如 PEN-01", "rule id, such as PEN-01"))]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) packs: Packs,
}

#[derive(Debug, Args)]
pub(crate) struct RulesNew {
    #[arg(value_name = "ID", help = say("规则编号，如 PEN-90", "rule id, such as PEN-90"))]
    pub(crate) id: String,
    #[arg(long, value_name = "TEXT", help = say("中文名称", "Chinese title"))]
    pub(crate) title_zh: Option<String>,
    #[arg(long, value_name = "TEXT", help = say("英文名称", "English title"))]
    pub(crate) title_en: Option<String>,
    #[arg(long, value_name = "DIR", help = say("规则包目录，如 rules/pension；不给时输出到屏幕", "folder of the pack, such as rules/pension; without it the scaffold is printed"))]
    pub(crate) pack: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Prepare {
    #[arg(long, value_name = "DIR", help = say("原始数据目录", "folder of the extracts"))]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = say("数据仓目录；成功后替换原有的，未变的数据集沿用", "the store; replaced when everything went well, unchanged datasets are taken over from it"))]
    pub(crate) store: Option<PathBuf>,
    #[arg(long, help = say("全部重新读取，不沿用原有的数据仓", "read everything again and take nothing over from the store that is there"))]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) intake: Intake,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) power: Power,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Intake {
    #[arg(long, help = say("身份证号列已损坏（存成数字、尾号成片为 000）时仍然入库，坏行进入拒收表", "store a file whose identity column is damaged (numbers, series of ...000); bad rows go to the rejects"))]
    pub(crate) accept_damaged_ids: bool,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), help = say("分片数；默认按数据量决定", "number of shards; by default from the amount of data"))]
    pub(crate) shards: Option<u32>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("未注明提取日期的数据按此日期计", "extract date of files that do not carry one"))]
    pub(crate) extract_date: Option<String>,
    #[arg(long, value_name = "NAME", help = say("文本文件的编码，如 utf-8、gb18030；默认自动识别", "encoding of text files such as utf-8, gb18030; by default detected"))]
    pub(crate) encoding: Option<String>,
}

/// What `run` and `plan` share.
#[derive(Debug, Args)]
pub(crate) struct Scope {
    #[arg(long, value_name = "DIR", conflicts_with = "data", help = say("数据仓，由 prepare 生成", "the store that prepare wrote"))]
    pub(crate) store: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = say("原始数据目录；先整理到临时数据仓，用后删除", "folder of extracts; prepared into a temporary store, removed afterwards"))]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("核查基准日；必须给出，不取当前时间", "the day as of which facts are judged; must be given, never taken from the clock"))]
    pub(crate) as_of: Option<String>,
    #[arg(long, value_name = "ID", value_delimiter = ',', help = say("只运行这些规则，用逗号分隔", "only these rules, separated by commas"))]
    pub(crate) only: Vec<String>,
    #[arg(long, help = say("只用通用算子执行规则：较慢，线索相同，用于核对", "run rules without the operators made for persons: slower, the same findings, to check by"))]
    pub(crate) plain_plans: bool,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) intake: Intake,
    #[command(flatten)]
    pub(crate) power: Power,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[arg(long, help = say("同时显示每条规则的执行计划", "also print the plan of each rule"))]
    pub(crate) plans: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[arg(long, value_name = "DIR", help = say("结果目录；成功后替换原有的", "where the run goes; replaced when the run is complete"))]
    pub(crate) out: Option<PathBuf>,
    #[arg(long, value_enum, value_name = "SEVERITY", help = say("有线索达到此级别时以 1 退出", "end with 1 when a finding is this grave or graver"))]
    pub(crate) fail_on: Option<SeverityArg>,
    #[arg(long, value_name = "DIR", help = say("以前一次运行的结果目录：未变的人和规则沿用其结果", "the folder of an earlier run: what has not changed since is taken over from it"))]
    pub(crate) since: Option<PathBuf>,
    #[arg(long, help = say("接着上次被中断的同一次运行：已完成的部分不再计算；数据、规则或日期变了则从头开始", "go on from the parts that an interrupted run into the same folder finished; with other data, rules or day it starts afresh"))]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Which ledger, who writes into it, and when.
#[derive(Debug, Clone, Args)]
pub(crate) struct Desk {
    #[arg(long, value_name = "FILE", help = say("台账文件；run 会把结果记入其中", "the ledger; run takes its result into it"))]
    pub(crate) ledger: Option<PathBuf>,
    #[arg(long = "as", value_name = "NAME", help = say("办理人；本程序没有登录，姓名以此为准", "who acts; there is no login here, so the name is taken as given"))]
    pub(crate) who: Option<String>,
    #[arg(long, value_name = "TIME", value_parser = parse_time, help = say("办理时间，YYYY-MM-DD 或 RFC 3339；默认现在", "when, as YYYY-MM-DD or RFC 3339; by default now"))]
    pub(crate) at: Option<Instant>,
}

fn parse_day(text: &str) -> Result<String, String> {
    crate::config::parse_date(text).map(|day| day.to_string()).ok_or_else(|| "YYYY-MM-DD".to_owned())
}

fn parse_time(text: &str) -> Result<Instant, String> {
    Instant::given(text).ok_or_else(|| "YYYY-MM-DD / RFC 3339".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    pub(crate) verb: LedgerVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerVerb {
    #[command(about = say("把一次运行的结果记入台账；重复记入不改变任何内容", "take a run into the ledger; once more changes nothing"))]
    Absorb(LedgerAbsorb),
    #[command(about = say("列出各夜及其变化", "list the nights and what each changed"))]
    Nights(LedgerNights),
}

#[derive(Debug, Args)]
pub(crate) struct LedgerAbsorb {
    #[arg(value_name = "RUN", help = say("run 的结果目录", "folder that run wrote"))]
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerNights {
    #[arg(long, value_name = "FILE", help = say("台账文件", "the ledger"))]
    pub(crate) ledger: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Findings {
    #[command(subcommand)]
    pub(crate) verb: FindingsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FindingsVerb {
    #[command(about = say("列出线索", "list findings"))]
    List(FindingsList),
    #[command(about = say("显示一条线索及其证据", "show one finding with its evidence"))]
    Show(FindingsShow),
    #[command(about = say("解释一条线索，或逐条规则说明一个人为何（未）列出", "explain a finding, or why a person was or was not flagged, rule by rule"))]
    Explain(FindingsExplain),
    #[command(about = say("分派核查", "say who is to check"))]
    Assign(FindingsAssign),
    #[command(about = say("记一条备注", "add a note"))]
    Note(FindingsText),
    #[command(about = say("登记走访或核查", "enter a visit or a check"))]
    Visit(FindingsVisit),
    #[command(about = say("认定属实；须有核实人、日期、方式和文书号", "it is so; with who verified it, when, how, on which paper"))]
    Confirm(FindingsVisit),
    #[command(about = say("排除", "it is not so, or lawful"))]
    Clear(FindingsClear),
    #[command(about = say("移送", "hand over to another body"))]
    Transfer(FindingsTransfer),
    #[command(about = say("登记追回的钱", "enter money that came back"))]
    Recover(FindingsRecover),
    #[command(about = say("办结", "close"))]
    Close(FindingsText),
    #[command(about = say("重新办理已排除或办结的线索", "take up again what was cleared or closed"))]
    Reopen(FindingsText),
    #[command(about = say("豁免：已知且合法的情形，须另一人批准，最长 366 天", "a waiver: known and lawful; somebody else approves, 366 days at most"))]
    Waive(FindingsWaive),
    #[command(about = say("撤销豁免", "take a waiver back"))]
    Unwaive(FindingsUnwaive),
    #[command(about = say("列出豁免，含过期和无用的", "list waivers, expired and useless ones too"))]
    Waivers(FindingsWaivers),
}

/// Leads by id or by what they have in common.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    #[arg(value_name = "ID", help = say("线索编号，开头六位即可，可给多个", "finding ids; six digits of each will do"))]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long, value_name = "ID", value_delimiter = ',', help = say("只看这些规则", "only these rules"))]
    pub(crate) rule: Vec<String>,
    #[arg(long, value_enum, value_name = "SEVERITY", help = say("只看此级别及以上", "only this severity and above"))]
    pub(crate) severity: Option<SeverityArg>,
    #[arg(long, value_name = "CODE", help = say("只看区划代码以此开头的", "only areas whose code begins so"))]
    pub(crate) area: Option<String>,
}

/// What only the ledger knows of a lead.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[arg(long, value_name = "STAGE", value_delimiter = ',', value_parser = PossibleValuesParser::new(Stage::ALL.iter().map(|s| s.as_str())), help = say("只看处于这些阶段的", "only these stages"))]
    pub(crate) stage: Vec<String>,
    #[arg(long, value_name = "MARK", value_delimiter = ',', value_parser = PossibleValuesParser::new(Mark::ALL.iter().map(|m| m.as_str())), help = say("只看最近一夜如此标记的", "only those that the last night marked so"))]
    pub(crate) mark: Vec<String>,
    #[arg(long, value_name = "LIGHT", value_delimiter = ',', value_parser = PossibleValuesParser::new(Light::ALL.iter().map(|l| l.as_str())), help = say("只看期限如此的", "only deadlines that stand so"))]
    pub(crate) light: Vec<String>,
    #[arg(long, value_name = "NAME", help = say("只看分派给此人的", "only those assigned to this person"))]
    pub(crate) assignee: Option<String>,
    #[arg(long, value_name = "NUMBER", help = say("只看此对象的", "only those about this subject"))]
    pub(crate) subject: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsAssign {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "NAME", help = say("分派给谁；不给时按区划和工作量分派", "to whom; without it by area and load"))]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsText {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, help = say("说明", "in words"))]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsVisit {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "NAME", help = say("谁去核查；默认办理人", "who checked; by default whoever acts"))]
    pub(crate) by: Option<String>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("核查日期；默认办理之日", "the day; by default the day of acting"))]
    pub(crate) on: Option<String>,
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, help = say("核查方式：走访、电话、调卷……", "how: visit, telephone, papers, ..."))]
    pub(crate) how: String,
    #[arg(long, value_name = "NUMBER", help = say("文书号；认定属实时必需", "number of the paper; a confirmation must have one"))]
    pub(crate) document: Option<String>,
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, help = say("说明", "in words"))]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsClear {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(Clearance::ALL.iter().map(|c| c.as_str())), help = say("原因：合法、源数据有误、匹配有误", "why: legitimate, wrong data at source, wrong match"))]
    pub(crate) reason: String,
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, help = say("说明", "in words"))]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsTransfer {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "BODY", default_value = "", hide_default_value = true, help = say("移送给哪个单位", "to which body"))]
    pub(crate) to: String,
    #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true, help = say("移送函号", "number of the letter"))]
    pub(crate) document: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsRecover {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[arg(long, value_name = "YUAN", value_parser = parse_yuan, help = say("追回金额（元），如 1234.50", "yuan that came back, such as 1234.50"))]
    pub(crate) amount: i64,
    #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true, help = say("票据号，每张只登记一次", "number of the receipt; each is entered once"))]
    pub(crate) document: String,
    #[arg(long, value_name = "REASON", help = say("追回总额超过涉及金额的理由，如利息、罚款", "why more comes back in all than was at risk: interest, a fine"))]
    pub(crate) more_than_owed: Option<String>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// Yuan with at most two decimals, in fen.
fn parse_yuan(text: &str) -> Result<i64, String> {
    let (yuan, fen) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if yuan.is_empty() || fen.len() > 2 || !digits(yuan) || !digits(fen) {
        return Err("1234.50".to_owned());
    }
    format!("{yuan}{fen:0<2}").parse().map_err(|_| "1234.50".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct FindingsWaive {
    #[arg(long, value_name = "ID", help = say("规则", "the rule"))]
    pub(crate) rule: Option<String>,
    #[arg(long, value_name = "NUMBER", help = say("对象的号码", "the subject's number"))]
    pub(crate) subject: Option<String>,
    #[arg(long, value_name = "CODE", help = say("区划代码以此开头的", "areas whose code begins so"))]
    pub(crate) area: Option<String>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("只限此日及以后的事", "only matters of this day or later"))]
    pub(crate) period_from: Option<String>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("只限此日及以前的事", "only matters of this day or earlier"))]
    pub(crate) period_to: Option<String>,
    #[arg(long, value_name = "TEXT", help = say("为何合法", "why it is lawful"))]
    pub(crate) reason: String,
    #[arg(long, value_name = "NAME", help = say("批准人，不能是申请人", "who agreed; not whoever asks"))]
    pub(crate) approver: String,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("首日；默认办理之日", "first day; by default the day of acting"))]
    pub(crate) from: Option<String>,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("末日，最长 366 天", "last day, at most 366 days on"))]
    pub(crate) expires: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsUnwaive {
    #[arg(value_name = "ID", help = say("豁免编号，如 W0001", "number of the waiver, such as W0001"))]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) desk: Desk,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsWaivers {
    #[arg(long, value_enum, value_name = "PROFILE", help = say("谁来看：investigator 全部，supervisor 脱敏（默认）", "who reads: investigator all, supervisor masked (default)"))]
    pub(crate) profile: Option<ProfileArg>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsList {
    #[command(flatten)]
    pub(crate) from: FromRun,
    #[arg(long, value_name = "ID", value_delimiter = ',', help = say("只看这些规则", "only these rules"))]
    pub(crate) rule: Vec<String>,
    #[arg(long, value_enum, value_name = "SEVERITY", help = say("只看此级别及以上", "only this severity and above"))]
    pub(crate) severity: Option<SeverityArg>,
    #[arg(long, value_name = "CODE", help = say("只看区划代码以此开头的", "only areas whose code begins so"))]
    pub(crate) area: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[arg(long, help = say("台账中的全部线索，含已办结、已豁免的；默认只列待办的", "all leads of the ledger, closed and waived ones too; by default those still to be worked on"))]
    pub(crate) all: bool,
    #[arg(long, value_name = "N", default_value_t = 50, help = say("最多显示的条数；0 为全部", "most findings to show; 0 for all"))]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
    #[arg(long, value_enum, default_value_t = OrderArg::Severity, help = say("排列：按级别和期限，或按预计可追回金额（仅台账，说明理由）", "order: by severity and deadline, or by the money to be expected (ledger only, with the reason)"))]
    pub(crate) order: OrderArg,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsShow {
    #[arg(value_name = "ID", help = say("线索编号，开头几位即可", "finding id; its beginning will do"))]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) from: FromRun,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsExplain {
    #[arg(value_name = "ID", help = say("线索编号，或任意人员的证件号码、账号", "finding id, or the number of any person or account"))]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) from: FromRun,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct FromRun {
    #[arg(long = "run", value_name = "DIR", help = say("run 的结果目录", "folder that run wrote"))]
    pub(crate) run: Option<PathBuf>,
    #[arg(long, value_enum, value_name = "PROFILE", help = say("谁来看：investigator 全部，supervisor 脱敏（默认），public 仅统计", "who reads: investigator all, supervisor masked (default), public counts only"))]
    pub(crate) profile: Option<ProfileArg>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) from: FromRun,
    #[arg(long, value_name = "DIR", help = say("导出目录", "where the lists go"))]
    pub(crate) out: Option<PathBuf>,
    #[arg(long, value_enum, help = say("文件格式；默认 xlsx", "file format; by default xlsx"))]
    pub(crate) format: Option<ExportFormat>,
    #[arg(long, value_enum, help = say("CSV 的编码；默认 utf-8（带 BOM）", "encoding of CSV; by default utf-8 with BOM"))]
    pub(crate) encoding: Option<EncodingArg>,
    #[arg(long, help = say("另按区划各出一份", "also one file per area"))]
    pub(crate) by_area: bool,
    #[arg(long, value_name = "NAME", help = say("接收单位，印在每页上", "who receives the list; printed on every page"))]
    pub(crate) recipient: Option<String>,
    #[arg(long, help = say("替换上次导出的文件，连同其中已填写的内容", "replace files of an earlier export, with whatever was filled in there"))]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[arg(long = "for", value_name = "AREA|PERSON", help = say("导出某区划或某承办人的待办线索和入户核查表；需要台账", "what is open in an area or assigned to a person, with a visit sheet; needs a ledger"))]
    pub(crate) addressee: Option<String>,
    #[arg(long, value_name = "E0007", conflicts_with_all = ["addressee", "new", "expires", "controls", "recipient", "by_area", "run", "profile", "format"], help = say("按台账补写一份已登记的清单，例如文件丢失时", "write a list that is on record again, for one whose files were lost"))]
    pub(crate) number: Option<String>,
    #[arg(long, requires = "addressee", help = say("只发接收人尚未持有的，或此后有变化的", "only what the recipient does not hold yet, or what changed since"))]
    pub(crate) new: bool,
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day, help = say("有效期的最后一天；默认 30 天后", "last day on which the list is valid; by default 30 days from now"))]
    pub(crate) expires: Option<String>,
    #[arg(long, value_name = "DIR", help = say("数据仓，用来为入户核查表抽取对照样本", "the store, out of which the control sample of a visit sheet is drawn"))]
    pub(crate) store: Option<PathBuf>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help = say("对照样本的人数；默认每 10 人抽 1 人", "persons of the control sample; by default one for ten of the list"))]
    pub(crate) controls: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[arg(value_name = "FILE", required = true, help = say("填好的工作簿", "filled workbooks"))]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[arg(long, help = say("记入台账；不加则只显示会改变什么", "write into the ledger; without it, only say what would change"))]
    pub(crate) commit: bool,
    #[arg(long, requires = "commit", help = say("有错的文件也采用其中无误的行；不加则整份退回", "take the good rows of files with errors too; without it such a file is refused whole"))]
    pub(crate) partial: bool,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "verified")]
pub(crate) struct Verified {
    #[arg(long, value_name = "DIR", help = say("数据仓", "a store"))]
    pub(crate) store: Option<PathBuf>,
    #[arg(long = "run", value_name = "DIR", help = say("run 的结果目录", "folder that run wrote"))]
    pub(crate) run: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = say("台账", "a ledger"))]
    pub(crate) ledger: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) what: Verified,
    #[arg(long, value_name = "HASH", requires = "ledger", help = say("另处保存的链头：此后的历史没有被换过", "a head of the chain that was kept elsewhere: the history up to it was not exchanged"))]
    pub(crate) head: Option<String>,
    #[arg(long, value_name = "DIR", requires = "ledger", help = say("台账所记的运行结果现在在哪里；默认按台账所记的位置", "where the runs that the ledger names lie now; by default where it says"))]
    pub(crate) runs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    #[command(about = say("显示生效的配置", "print the settings in force"))]
    Show(ConfigShow),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    #[arg(long, help = say("同时显示每项来自哪里", "also where each comes from"))]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    #[arg(value_enum, help = say("哪一种文件", "for which files"))]
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    #[arg(value_enum, help = say("哪一种 shell", "for which shell"))]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    #[arg(long, value_name = "DIR", help = say("输出目录", "where the pages go"))]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Scorecard {
    #[arg(long, value_name = "FILE", help = say("台账文件", "the ledger"))]
    pub(crate) ledger: Option<PathBuf>,
    #[arg(long, value_name = "ID", value_delimiter = ',', help = say("只看这些规则", "only these rules"))]
    pub(crate) rule: Vec<String>,
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day, help = say("截至此日；默认全部", "as it stood at the end of this day; by default now"))]
    pub(crate) until: Option<String>,
    #[arg(long, value_name = "N,ANSWERED,MISSED", value_parser = parse_sample, help = say("未列出者的抽样：未列出人数、已答复人数、其中应查出的人数；据此估计查全率", "a random sample of persons whom no rule flagged: how many there are, how many were answered, how many of these should have been flagged; gives recall"))]
    pub(crate) sample: Option<[u64; 3]>,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

fn parse_sample(text: &str) -> Result<[u64; 3], String> {
    let wrong = || "100000,400,4".to_owned();
    let numbers: Vec<u64> =
        text.split(',').map(|n| n.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let sample: [u64; 3] = numbers.try_into().map_err(|_| wrong())?;
    if sample[2] <= sample[1] && sample[1] <= sample[0] { Ok(sample) } else { Err(wrong()) }
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(subcommand)]
    pub(crate) verb: ReportVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportVerb {
    #[command(about = say("夜间简报：新增、变化、消除、暂缓、未评估", "a night: new, changed, resolved, held over, not evaluated"))]
    Night(ReportNight),
    #[command(about = say("月报：办理漏斗、双向移送台账、回头看、规则成绩单", "a month: funnel, two-way ledger of clues, look-back, scorecard"))]
    Month(ReportMonth),
    #[command(about = say("地区简报", "an area"))]
    Area(ReportArea),
    #[command(about = say("单位档案：涉及某经办人、经办机构或单位的全部线索", "a unit: every lead of an operator, an agency or an organisation"))]
    Unit(ReportUnit),
    #[command(about = say("规则简报", "a rule"))]
    Rule(ReportRule),
}

#[derive(Debug, Args)]
pub(crate) struct ReportNight {
    #[arg(long, value_name = "N", help = say("第几夜；默认最近一夜", "which night; by default the last"))]
    pub(crate) night: Option<u64>,
    #[command(flatten)]
    pub(crate) common: ReportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct ReportMonth {
    #[arg(long, value_name = "YYYY-MM", help = say("月份；默认本月至今", "the month; by default this one, until today"))]
    pub(crate) month: Option<String>,
    #[command(flatten)]
    pub(crate) common: ReportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArea {
    #[arg(value_name = "CODE", help = say("区划代码或其开头", "an area code or its beginning"))]
    pub(crate) area: String,
    #[arg(long, value_name = "YYYY-MM", help = say("月份；默认本月至今", "the month; by default this one, until today"))]
    pub(crate) month: Option<String>,
    #[command(flatten)]
    pub(crate) common: ReportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct ReportUnit {
    #[arg(value_name = "NAME", help = say("经办人、经办机构或单位，与证据中的写法一致", "operator, agency or organisation, as the evidence writes it"))]
    pub(crate) unit: String,
    #[command(flatten)]
    pub(crate) common: ReportCommon,
}

#[derive(Debug, Args)]
pub(crate) struct ReportRule {
    #[arg(value_name = "ID", help = say("规则编号，如 PEN-01", "rule id, such as PEN-01"))]
    pub(crate) rule: String,
    #[command(flatten)]
    pub(crate) common: ReportCommon,
}

/// What every report takes.
#[derive(Debug, Args)]
pub(crate) struct ReportCommon {
    #[arg(long, value_name = "FILE", help = say("台账文件", "the ledger"))]
    pub(crate) ledger: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = say("报告目录；每份报告一个网页、一个工作簿", "where the report goes: a page and a workbook"))]
    pub(crate) out: Option<PathBuf>,
    #[arg(long, value_enum, value_name = "PROFILE", help = say("谁来看：investigator 全部，supervisor 脱敏（默认），public 仅合计", "who reads: investigator all, supervisor masked (default), public sums only"))]
    pub(crate) profile: Option<ProfileArg>,
    #[arg(long, value_name = "N", default_value_t = 50, help = say("清单最多列出的条数；0 为全部", "most leads in a list; 0 for all"))]
    pub(crate) limit: usize,
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day, help = say("生成之日；默认今天", "the day of making; by default today"))]
    pub(crate) at: Option<String>,
    #[arg(long, help = say("替换同名的报告", "replace a report of the same name"))]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Nightly {
    #[arg(long, help = say("只用一行说明目前状况，供监控使用", "only say in one line how things stand, for monitoring"))]
    pub(crate) status: bool,
    #[arg(long, help = say("重做最近一夜，例如数据补到之后", "do the last night once more, for instance when a late extract has come"))]
    pub(crate) again: bool,
    #[arg(long, value_name = "YYYY-MM-DD", help = say("做这一天的夜间工作，不看计划", "the night of this day, whatever the schedule says"))]
    pub(crate) as_of: Option<String>,
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with_all = ["status", "again", "as_of"], help = say("放行最近一夜被暂缓导出的规则", "let the lists go of rules that the last night held back"))]
    pub(crate) release: Vec<String>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) power: Power,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[arg(long, required = true, help = say("按 mingcha.toml 的 [nightly] 计划运行", "run nights by the schedule under [nightly] in mingcha.toml"))]
    pub(crate) schedule: bool,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) power: Power,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[arg(long, help = say("只列出到期的，不销毁", "only list what is due"))]
    pub(crate) dry_run: bool,
    #[arg(long, value_name = "TEXT", help = say("依据：制度或批文号", "by which rule or order"))]
    pub(crate) authority: Option<String>,
    #[arg(long, value_name = "NAME", help = say("批准人，不能是办理人", "who agreed; not whoever acts"))]
    pub(crate) approver: Option<String>,
    #[command(flatten)]
    pub(crate) desk: Desk,
    #[command(flatten)]
    pub(crate) packs: Packs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// Where rules and contracts come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Packs {
    #[arg(long, value_name = "DIR", help = say("规则目录；其中的规则优先于自带的", "folder of rules; they stand before the shipped ones"))]
    pub(crate) rules: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = say("数据契约目录；其中的契约优先于自带的", "folder of contracts; they stand before the shipped ones"))]
    pub(crate) datasets: Option<PathBuf>,
}

/// How much of the machine to use.
#[derive(Debug, Clone, Args)]
pub(crate) struct Power {
    #[arg(long, value_name = "SIZE", help = say("内存上限，如 2GiB、512MB；默认 2GiB", "memory limit such as 2GiB, 512MB; by default 2GiB"))]
    pub(crate) memory: Option<String>,
    #[arg(long, value_name = "N", help = say("线程数；默认全部核", "threads; by default all cores"))]
    pub(crate) threads: Option<usize>,
}

/// How the result is written on stdout.
#[derive(Debug, Args)]
pub(crate) struct Shape {
    #[arg(long, value_enum, default_value_t = Format::Human, help = say("输出形式", "form of the output"))]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LangArg {
    Zh,
    En,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CityFormat {
    Mixed,
    Parquet,
    ParquetVariant,
    Csv,
    CsvGb18030,
    Xlsx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    Investigator,
    Supervisor,
    Public,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Xlsx,
    Csv,
    Parquet,
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncodingArg {
    #[value(name = "utf-8")]
    Utf8,
    Gb18030,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    Severity,
    Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Rule,
    View,
    Pack,
    Contract,
}

/// `--name VALUE` or `--name=VALUE` among raw arguments, for what must be known before parsing.
pub(crate) fn early(raw: &[OsString], name: &str) -> Option<OsString> {
    let flag = format!("--{name}");
    let mut it = raw.iter().skip(1);
    while let Some(arg) = it.next() {
        let text = arg.to_string_lossy();
        if text == flag {
            return it.next().cloned();
        }
        if let Some(value) = text.strip_prefix(&format!("{flag}=")) {
            return Some(value.into());
        }
        if text == "--" {
            return None;
        }
    }
    None
}

/// The table in `lang`.
pub(crate) fn command(lang: Lang) -> Command {
    LANG.set(lang);
    let command = Cli::command();
    match lang {
        Lang::En => command,
        Lang::Zh => localise(command),
    }
}

/// The arguments, or what to print and whether it is an error.
pub(crate) fn parse(raw: &[OsString], lang: Lang) -> Result<Cli, clap::Error> {
    let mut command = command(lang);
    let matches: ArgMatches = command.try_get_matches_from_mut(raw)?;
    if let Some(error) = blank::blank(&command, &matches) {
        return Err(error);
    }
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

/// Headings, usage lines and remarks in Chinese, for `command` and everything below it.
fn localise(mut command: Command) -> Command {
    command.build();
    localise_built(command)
}

fn localise_built(command: Command) -> Command {
    let mut command = command;
    let usage = command.render_usage().to_string();
    let usage = usage
        .trim_start_matches("Usage:")
        .trim()
        .replace("[OPTIONS]", "[选项]")
        .replace("<COMMAND>", "<命令>")
        .replace("[COMMAND]", "[命令]");
    let mut template = String::from("{before-help}{about-with-newline}\n用法：{usage}\n");
    if command.get_subcommands().next().is_some() {
        template.push_str("\n命令：\n{subcommands}\n");
    }
    if command.get_positionals().next().is_some() {
        template.push_str("\n参数：\n{positionals}\n");
    }
    template.push_str("\n选项：\n{options}{after-help}");
    command = command.override_usage(usage).help_template(template);
    let ids: Vec<String> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
    for id in ids {
        command = command.mut_arg(id, |arg| {
            let remarks = remarks(&arg);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.hide_default_value(true)
                .hide_possible_values(true)
                .help(StyledStr::from(format!("{help}{remarks}")))
        });
    }
    let verbs: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for verb in verbs {
        command = command.mut_subcommand(verb, localise_built);
    }
    command
}

/// Default and choices of an argument, in Chinese brackets.
fn remarks(arg: &clap::Arg) -> String {
    let mut out = String::new();
    let takes_value = arg.get_action().takes_values();
    let choices: Vec<String> = if takes_value {
        arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect()
    } else {
        Vec::new()
    };
    if !choices.is_empty() {
        out.push_str(&format!("［可选：{}］", choices.join("、")));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|v| v.to_string_lossy().into_owned())
        .filter(|v| !v.is_empty())
        .collect();
    if takes_value && !defaults.is_empty() {
        out.push_str(&format!("［默认：{}］", defaults.join("、")));
    }
    out
}

/// A usage error in `lang`: what was wrong and the way to the help.
pub(crate) fn usage_error(error: &clap::Error, lang: Lang) -> String {
    match (lang, chinese(error)) {
        (Lang::Zh, Some(text)) => format!("错误：{text}\n\n更多说明见 `--help`。\n"),
        _ => error.render().to_string(),
    }
}

fn chinese(error: &clap::Error) -> Option<String> {
    let one = |kind| match error.get(kind) {
        Some(ContextValue::String(s)) => Some(s.clone()),
        Some(ContextValue::Strings(all)) => Some(all.join("、")),
        Some(ContextValue::StyledStr(s)) => Some(s.to_string()),
        Some(ContextValue::StyledStrs(all)) => {
            Some(all.iter().map(ToString::to_string).collect::<Vec<_>>().join("、"))
        }
        _ => None,
    };
    let arg = one(ContextKind::InvalidArg);
    let value = one(ContextKind::InvalidValue);
    let mut text = match error.kind() {
        ErrorKind::UnknownArgument => format!("不认识参数 `{}`", arg?),
        ErrorKind::InvalidSubcommand => format!("没有命令 `{}`", one(ContextKind::InvalidSubcommand)?),
        ErrorKind::MissingRequiredArgument => format!("缺少必需的参数：{}", arg?),
        ErrorKind::MissingSubcommand => "缺少命令".to_owned(),
        ErrorKind::InvalidValue if value.as_deref().unwrap_or_default().is_empty() => {
            format!("参数 {} 需要一个值", arg?)
        }
        ErrorKind::InvalidValue => format!("参数 {} 不接受 `{}`", arg?, value?),
        ErrorKind::ValueValidation => format!("参数 {} 的值 `{}` 不合要求", arg?, value?),
        ErrorKind::ArgumentConflict => {
            format!("参数 {} 不能与 {} 同时使用", arg?, one(ContextKind::PriorArg)?)
        }
        ErrorKind::TooManyValues => format!("参数 {} 多出一个值 `{}`", arg?, value?),
        ErrorKind::NoEquals => format!("参数 {} 要写成 `参数=值`", arg?),
        ErrorKind::InvalidUtf8 => "命令行里有不是 UTF-8 的字符".to_owned(),
        _ => return None,
    };
    if let Some(choices) = one(ContextKind::ValidValue).filter(|c| !c.is_empty()) {
        text.push_str(&format!("\n  可选：{choices}"));
    }
    let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(one);
    if let Some(near) = near {
        text.push_str(&format!("\n  是不是要用 `{}`？", near.replace('、', "`、`")));
    }
    if let Some(usage) = error.get(ContextKind::Usage) {
        let usage = usage.to_string();
        text.push_str(&format!("\n\n用法：{}", usage.trim_start_matches("Usage:").trim()));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn han(text: &str) -> bool {
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    }

    fn walk(command: &Command, path: &str, visit: &mut dyn FnMut(&str, &Command)) {
        let path = format!("{path} {}", command.get_name());
        visit(&path, command);
        for sub in command.get_subcommands() {
            walk(sub, &path, visit);
        }
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_table() {
        for lang in [Lang::Zh, Lang::En] {
            LANG.set(lang);
            Cli::command().debug_assert();
        }
    }

    #[test]
    fn every_verb_and_argument_has_help_in_both_languages() {
        for lang in [Lang::Zh, Lang::En] {
            walk(&command(lang), "", &mut |path, c| {
                let about = c.get_about().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty(), "{path} says nothing about itself");
                assert_eq!(han(&about), lang == Lang::Zh, "{path}: {about}");
                for arg in c.get_arguments() {
                    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                    assert!(!help.is_empty(), "{path} --{} has no help", arg.get_id());
                    assert_eq!(han(&help), lang == Lang::Zh, "{path} --{}: {help}", arg.get_id());
                }
            });
        }
    }

    #[test]
    fn no_verb_has_two_arguments_of_one_name() {
        walk(&command(Lang::En), "", &mut |path, c| {
            let mut seen = BTreeSet::new();
            for name in c.get_arguments().filter_map(|a| a.get_long()) {
                assert!(seen.insert(name), "{path} has --{name} twice");
            }
        });
    }

    #[test]
    fn chinese_help_holds_no_english_heading() {
        walk(&command(Lang::Zh), "", &mut |path, c| {
            let help = c.clone().render_long_help().to_string();
            for word in [
                "Usage",
                "Options:",
                "Commands:",
                "Arguments:",
                "[default",
                "[possible",
                "[OPTIONS]",
                "<COMMAND>",
            ] {
                assert!(!help.contains(word), "{path} says {word}:\n{help}");
            }
        });
    }

    #[test]
    fn values_needed_before_parsing_are_found_in_both_spellings() {
        let raw = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(early(&raw(&["mingcha", "run", "--lang", "zh"]), "lang"), Some("zh".into()));
        assert_eq!(early(&raw(&["mingcha", "--lang=en", "run"]), "lang"), Some("en".into()));
        assert_eq!(early(&raw(&["mingcha", "check", "--", "--lang", "zh"]), "lang"), None);
    }

    #[test]
    fn usual_mistakes_are_worded_in_chinese() {
        let words = |raw: &[&str]| {
            let raw: Vec<OsString> = raw.iter().map(OsString::from).collect();
            usage_error(&parse(&raw, Lang::Zh).unwrap_err(), Lang::Zh)
        };
        for (raw, wanted) in [
            (&["mingcha", "rnu"][..], "没有命令 `rnu`"),
            (&["mingcha", "run", "--sotre", "x"], "不认识参数 `--sotre`"),
            (&["mingcha", "run", "--fail-on", "grave"], "不接受 `grave`"),
            (&["mingcha", "run", "--store", "a", "--data", "b"], "不能与"),
            (&["mingcha", "synth", "--out", "x"], "缺少必需的参数"),
            (&["mingcha", "demo", "--persons", "3"], "不合要求"),
            (&["mingcha", "rules"], "用法：mingcha rules"),
        ] {
            let text = words(raw);
            assert!(text.contains(wanted), "{raw:?} gave:\n{text}");
            assert!(!text.contains("Usage") && !text.contains("error:"), "{raw:?} gave:\n{text}");
        }
    }
}
