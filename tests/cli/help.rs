//! What the command says of itself.

use std::path::Path;

use insta::assert_snapshot;

use crate::harness::{command, mingcha, names, told};

fn here() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn help_is_chinese_for_those_who_ask_for_chinese() {
    assert_snapshot!(mingcha(here(), &["--lang", "zh", "--help"]).all(), @r"
    exit 0
    明察：比对各部门数据，给出有依据、可复核的线索清单

    用法：mingcha [选项] <命令>

    命令：
      demo         合成一座城市，全程跑一遍，并与真值对照
      synth        生成合成的原始数据和真值表
      init         建立工作目录：配置、规则、数据契约、指南
      check        检查规则和数据契约，不需要数据
      test         运行规则自带的示例
      rules        规则目录、规则说明、新规则
      prepare      把原始数据整理入库：校验、人员索引、分片
      plan         将要运行什么：数据是否齐全、是否过期、如何执行
      run          运行规则，得到线索清单
      findings     查看和办理线索：为什么列出，为什么没有列出，谁在查
      ledger       台账：逐夜记入运行结果，查看每夜的变化
      export       导出线索清单，默认脱敏
      import       导入填好的清单：先看会改变什么，再记入台账
      verify       核对数据仓、运行结果或台账是否完整、未被改动
      config       查看配置及其来源
      schema       输出编辑器使用的 JSON Schema
      completions  输出命令行补全脚本
      man          生成手册页
      scorecard    规则成绩单：属实率、金额、天数，建议保留、调整或停用
      report       从台账生成报告：夜间简报、月报、地区、单位、规则
      nightly      一夜的全部工作：等数据、入库、运行、记台账、导出、通知
      serve        常驻进程，按计划每夜运行
      purge        销毁到期的线索、导出、运行结果和数据，台账中留下凭证

    选项：
          --lang <zh|en>   界面语言［可选：zh、en］
          --config <FILE>  配置文件，默认是当前目录的 mingcha.toml
      -q, --quiet          不显示进度
      -h, --help           显示帮助
      -V, --version        显示版本

    第一次使用：`mingcha demo` 用合成城市演示全过程；`mingcha init 目录` 建立自己的工作目录。
    线索不是结论：Mingcha 从不停发待遇。
    ");
}

#[test]
fn help_is_english_for_those_who_ask_for_english() {
    assert_snapshot!(mingcha(here(), &["--lang", "en", "--help"]).all(), @r"
    exit 0
    Mingcha: compares agencies' extracts and lists graded leads with their evidence

    Usage: mingcha [OPTIONS] <COMMAND>

    Commands:
      demo         a synthetic city, prepared, scanned, exported and compared with the truth
      synth        raw extracts of a synthetic city, and the truth about them
      init         set up a workspace: configuration, rules, contracts, guide
      check        check rules and contracts; no data needed
      test         run the examples inside the rules
      rules        the catalogue, a rule's page, a new rule
      prepare      extracts to store: checked, indexed by person, in shards
      plan         what would run: inputs, freshness, shard-local or not
      run          run the rules and list the findings
      findings     look at findings and work on them: why flagged, why not, who checks
      ledger       the ledger: take runs in, see what each night changed
      export       write lists of findings; masked by default
      import       take filled lists back: see what would change, then write it into the ledger
      verify       prove that a store, a run or a ledger is whole and unchanged
      config       the configuration and where it comes from
      schema       JSON Schema for editors
      completions  completion script for a shell
      man          write the man pages
      scorecard    what rules are worth: precision, money, days; keep, tune or retire
      report       reports from the ledger: night, month, area, unit, rule
      nightly      the whole night: wait for extracts, prepare, run, ledger, lists, messages
      serve        stay in memory and run nights as scheduled
      purge        destroy what is due: leads, lists, runs, extracts; the ledger keeps a certificate

    Options:
          --lang <zh|en>   language of messages [possible values: zh, en]
          --config <FILE>  configuration; by default mingcha.toml in the current folder
      -q, --quiet          show no progress
      -h, --help           print help
      -V, --version        print the version

    First time: `mingcha demo` shows the whole way on a synthetic city; `mingcha init DIR` sets up your
    own workspace.
    A finding is a lead, not a verdict: Mingcha never stops a payment.
    ");
}

#[test]
fn every_flag_of_run_is_explained_in_both_languages() {
    assert_snapshot!(mingcha(here(), &["run", "--help", "--lang", "zh"]).all(), @r"
    exit 0
    运行规则，得到线索清单

    用法：mingcha run [选项]

    选项：
          --out <DIR>                  结果目录；成功后替换原有的
          --fail-on <SEVERITY>         有线索达到此级别时以 1 退出［可选：info、low、medium、high、critical］
          --since <DIR>                以前一次运行的结果目录：未变的人和规则沿用其结果
          --resume                     接着上次被中断的同一次运行：已完成的部分不再计算；数据、规则或日期变了则从头开始
          --ledger <FILE>              台账文件；run 会把结果记入其中
          --as <NAME>                  办理人；本程序没有登录，姓名以此为准
          --at <TIME>                  办理时间，YYYY-MM-DD 或 RFC 3339；默认现在
          --store <DIR>                数据仓，由 prepare 生成
          --data <DIR>                 原始数据目录；先整理到临时数据仓，用后删除
          --as-of <YYYY-MM-DD>         核查基准日；必须给出，不取当前时间
          --only <ID>                  只运行这些规则，用逗号分隔
          --plain-plans                只用通用算子执行规则：较慢，线索相同，用于核对
          --rules <DIR>                规则目录；其中的规则优先于自带的
          --datasets <DIR>             数据契约目录；其中的契约优先于自带的
          --accept-damaged-ids         身份证号列已损坏（存成数字、尾号成片为 000）时仍然入库，坏行进入拒收表
          --shards <N>                 分片数；默认按数据量决定
          --extract-date <YYYY-MM-DD>  未注明提取日期的数据按此日期计
          --encoding <NAME>            文本文件的编码，如 utf-8、gb18030；默认自动识别
          --memory <SIZE>              内存上限，如 2GiB、512MB；默认 2GiB
          --threads <N>                线程数；默认全部核
          --format <FORMAT>            输出形式［可选：human、json］［默认：human］
          --lang <zh|en>               界面语言［可选：zh、en］
          --config <FILE>              配置文件，默认是当前目录的 mingcha.toml
      -q, --quiet                      不显示进度
      -h, --help                       显示帮助
    ");
    assert_snapshot!(mingcha(here(), &["run", "--help", "--lang", "en"]).all(), @r"
    exit 0
    run the rules and list the findings

    Usage: mingcha run [OPTIONS]

    Options:
          --out <DIR>                  where the run goes; replaced when the run is complete
          --fail-on <SEVERITY>         end with 1 when a finding is this grave or graver [possible
                                       values: info, low, medium, high, critical]
          --since <DIR>                the folder of an earlier run: what has not changed since is taken
                                       over from it
          --resume                     go on from the parts that an interrupted run into the same folder
                                       finished; with other data, rules or day it starts afresh
          --ledger <FILE>              the ledger; run takes its result into it
          --as <NAME>                  who acts; there is no login here, so the name is taken as given
          --at <TIME>                  when, as YYYY-MM-DD or RFC 3339; by default now
          --store <DIR>                the store that prepare wrote
          --data <DIR>                 folder of extracts; prepared into a temporary store, removed
                                       afterwards
          --as-of <YYYY-MM-DD>         the day as of which facts are judged; must be given, never taken
                                       from the clock
          --only <ID>                  only these rules, separated by commas
          --plain-plans                run rules without the operators made for persons: slower, the
                                       same findings, to check by
          --rules <DIR>                folder of rules; they stand before the shipped ones
          --datasets <DIR>             folder of contracts; they stand before the shipped ones
          --accept-damaged-ids         store a file whose identity column is damaged (numbers, series of
                                       ...000); bad rows go to the rejects
          --shards <N>                 number of shards; by default from the amount of data
          --extract-date <YYYY-MM-DD>  extract date of files that do not carry one
          --encoding <NAME>            encoding of text files such as utf-8, gb18030; by default
                                       detected
          --memory <SIZE>              memory limit such as 2GiB, 512MB; by default 2GiB
          --threads <N>                threads; by default all cores
          --format <FORMAT>            form of the output [default: human] [possible values: human,
                                       json]
          --lang <zh|en>               language of messages [possible values: zh, en]
          --config <FILE>              configuration; by default mingcha.toml in the current folder
      -q, --quiet                      show no progress
      -h, --help                       print help
    ");
}

#[test]
fn the_language_comes_from_the_locale_and_a_flag_stands_before_it() {
    let title = |args: &[&str], variables: &[(&str, &str)]| {
        let output = command(here(), args).envs(variables.iter().copied()).output().unwrap();
        told(output).well().out.lines().next().unwrap().to_owned()
    };
    let zh = title(&["--help"], &[("LANG", "zh_CN.UTF-8")]);
    assert!(zh.starts_with("明察"), "{zh}");
    assert_eq!(title(&["--help"], &[("LANG", "en_US.UTF-8"), ("LC_ALL", "zh_CN.UTF-8")]), zh);
    assert_eq!(title(&["--help"], &[("MINGCHA_LANG", "zh")]), zh);
    let en = title(&["--help"], &[]);
    assert!(en.starts_with("Mingcha"), "{en}");
    assert_eq!(title(&["--help", "--lang", "en"], &[("LANG", "zh_CN.UTF-8")]), en);
    assert_eq!(title(&["--help", "--lang=zh"], &[("MINGCHA_LANG", "en")]), zh);
}

#[test]
fn mistakes_are_explained_in_the_language_of_the_user() {
    assert_snapshot!(mingcha(here(), &["--lang", "zh", "chekc"]).all(), @r"
    exit 2
    错误：没有命令 `chekc`
      是不是要用 `schema`、`check`？

    用法：mingcha [选项] <命令>

    更多说明见 `--help`。
    ");
    assert_snapshot!(mingcha(here(), &["--lang", "en", "chekc"]).all(), @r"
    exit 2
    error: unrecognized subcommand 'chekc'

      tip: some similar subcommands exist: 'schema', 'check'

    Usage: mingcha [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(mingcha(here(), &["run", "--fail-on", "grave", "--lang", "zh"]).all(), @r"
    exit 2
    错误：参数 --fail-on <SEVERITY> 不接受 `grave`
      可选：info、low、medium、high、critical

    更多说明见 `--help`。
    ");
    assert_snapshot!(mingcha(here(), &["run", "--out", "x", "--lang", "zh"]).all(), @r"
    exit 2
    错误[MC095]: 需要 `--as-of`，但没有给出
    建议: 加上 `--as-of`，或在 mingcha.toml 中设置 `as_of`，或设置环境变量 `MINGCHA_AS_OF`
    ");
    assert_snapshot!(mingcha(here(), &["run", "--out", "x", "--as-of", "31.10.2026"]).all(), @r"
    exit 2
    error[MC094]: argument `--as-of`: wanted a date as YYYY-MM-DD, got `31.10.2026`
    ");
}

#[test]
fn without_a_verb_the_help_is_shown_in_the_language_of_the_user() {
    let told = told(command(here(), &[]).env("MINGCHA_LANG", "zh").output().unwrap());
    assert_eq!(told.code, Some(2));
    assert!(
        told.err.contains("用法：mingcha") && told.err.contains("核对数据仓、运行结果或台账"),
        "{}",
        told.err
    );
    let told = mingcha(here(), &["findings", "--lang", "zh"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("用法：mingcha findings") && !told.err.contains("Usage"), "{}", told.err);
}

#[test]
fn completions_and_man_pages_know_every_verb() {
    let verbs = [
        "demo",
        "synth",
        "init",
        "check",
        "test",
        "rules",
        "prepare",
        "plan",
        "run",
        "findings",
        "ledger",
        "export",
        "import",
        "verify",
        "config",
        "scorecard",
        "report",
        "nightly",
        "serve",
        "purge",
    ];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = mingcha(here(), &["completions", shell]).well().out;
        for verb in verbs {
            assert!(script.contains(verb), "{shell} does not know {verb}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    mingcha(dir.path(), &["man", "--out", "man", "--lang", "zh"]).well();
    let pages = names(&dir.path().join("man"));
    for verb in verbs {
        assert!(pages.contains(&format!("mingcha-{verb}.1")), "{pages:?}");
    }
    let page = std::fs::read_to_string(dir.path().join("man/mingcha-run.1")).unwrap();
    assert!(page.contains(".SH 选项") && page.contains("核查基准日"), "{page}");
}

#[test]
fn schemas_are_draft_07() {
    for what in ["rule", "view", "pack", "contract"] {
        let schema = mingcha(here(), &["schema", what]).well().json();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{what}");
    }
}
