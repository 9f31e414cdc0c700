//! A workspace of one's own, and its settings.

use std::fs;

use insta::assert_snapshot;

use crate::harness::{command, files, mingcha, told};

#[test]
fn a_new_workspace_passes_its_own_check_in_both_languages() {
    let dir = tempfile::tempdir().unwrap();
    assert_snapshot!(mingcha(dir.path(), &["init", "ws", "--lang", "zh"]).all(), @r"
    exit 0
    工作目录已建好：ws
      extracts/     原始数据放这里
      mingcha.toml  配置
      rules/        规则，可以修改和增加
      datasets/     数据契约
      GUIDE.md      一页指南

    下一步：cd ws && mingcha check
    ");
    let ws = dir.path().join("ws");
    let checked = mingcha(&ws, &["check", "--lang", "zh"]).well();
    assert!(checked.out.contains("错误 0 处，警告 0 处"), "{}", checked.out);
    let again = mingcha(&ws, &["check"]).well();
    assert!(again.out.contains("0 errors, 0 warnings"), "{}", again.out);
    let all = mingcha(&ws, &["rules", "list", "--format", "json"]).well().json();
    let all = all.as_array().unwrap();
    assert!(
        all.iter().all(|r| r["file"].as_str().unwrap().starts_with("rules/")),
        "a shipped rule stood before the workspace's"
    );
}

#[test]
fn init_leaves_a_folder_that_holds_something_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "x").unwrap();
    assert_snapshot!(mingcha(dir.path(), &["init", ".", "--lang", "zh"]).all(), @r"
    exit 2
    错误[MC089]: 需要空的或不存在的目录，但 `.` 里有文件
    建议: 换一个目录；这里的文件不会被改动
    ");
    assert_snapshot!(mingcha(dir.path(), &["init", "."]).all(), @r"
    exit 2
    error[MC089]: wanted an empty or new folder, but `.` is not empty
    help: choose another folder; nothing here is touched
    ");
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("mingcha.toml"),
        "memory = '1GiB'\n[paths]\nstore = 'store'\n[params.PEN-01]\ngrace_months = 2\n",
    )
    .unwrap();
    let output = command(dir.path(), &["config", "show", "--origin", "--lang", "en"])
        .env("MINGCHA_THREADS", "3")
        .output()
        .unwrap();
    assert_snapshot!(told(output).all(), @r"
    exit 0
     setting                  value           from                          variable                     flag
    ──────────────────────── ─────────────── ───────────────────────────── ──────────────────────────── ───────────────
     lang                     en              command line                  MINGCHA_LANG                 --lang
     as_of                    -               not set                       MINGCHA_AS_OF                --as-of
     threads                  3               environment MINGCHA_THREADS   MINGCHA_THREADS              --threads
     memory                   1GiB            mingcha.toml:1                MINGCHA_MEMORY               --memory
     fail_on                  -               not set                       MINGCHA_FAIL_ON              --fail-on
     office.zone              Asia/Shanghai   default                       MINGCHA_ZONE                 -
     paths.data               -               not set                       MINGCHA_DATA                 --data
     paths.store              store           mingcha.toml:3                MINGCHA_STORE                --store
     paths.rules              -               not set                       MINGCHA_RULES                --rules
     paths.datasets           -               not set                       MINGCHA_DATASETS             --datasets
     paths.run                -               not set                       MINGCHA_RUN                  --out / --run
     paths.export             -               not set                       MINGCHA_EXPORT               --out
     ledger.path              -               not set                       MINGCHA_LEDGER               --ledger
     ledger.as                -               not set                       MINGCHA_AS                   --as
     ledger.yellow_days       5               default                       MINGCHA_YELLOW_DAYS          -
     ledger.away_from_home    false           default                       MINGCHA_AWAY_FROM_HOME       -
     export.profile           supervisor      default                       MINGCHA_PROFILE              --profile
     export.format            xlsx            default                       MINGCHA_FORMAT               --format
     export.encoding          utf-8           default                       MINGCHA_ENCODING             --encoding
     nightly.folder           -               not set                       MINGCHA_NIGHTLY              -
     nightly.schedule         -               not set                       MINGCHA_SCHEDULE             -
     nightly.rules            -               not set                       MINGCHA_NIGHTLY_RULES        --only
     nightly.wait_minutes     0               default                       MINGCHA_WAIT_MINUTES         -
     nightly.settle_seconds   30              default                       MINGCHA_SETTLE_SECONDS       -
     nightly.late_minutes     240             default                       MINGCHA_LATE_MINUTES         -
     nightly.by_area          true            default                       MINGCHA_NIGHTLY_BY_AREA      -
     nightly.link             -               not set                       MINGCHA_NIGHTLY_LINK         -
     retention.findings       -               not set                       MINGCHA_RETENTION_FINDINGS   -
     retention.exports        -               not set                       MINGCHA_RETENTION_EXPORTS    -
     retention.runs           -               not set                       MINGCHA_RETENTION_RUNS       -
     retention.extracts       -               not set                       MINGCHA_RETENTION_EXTRACTS   -
     retention.stores         -               not set                       MINGCHA_RETENTION_STORES     -
    configuration file: mingcha.toml
    [params.PEN-01] grace_months = 2
    ");
    let output = command(dir.path(), &["config", "show", "--origin", "--lang", "zh"])
        .env("MINGCHA_MEMORY", "2GB")
        .output()
        .unwrap();
    assert_snapshot!(told(output).all(), @r"
    exit 0
     配置项                   值              来源                      环境变量                     参数
    ──────────────────────── ─────────────── ───────────────────────── ──────────────────────────── ───────────────
     lang                     zh              命令行参数                MINGCHA_LANG                 --lang
     as_of                    -               未设置                    MINGCHA_AS_OF                --as-of
     threads                  -               未设置                    MINGCHA_THREADS              --threads
     memory                   2GB             环境变量 MINGCHA_MEMORY   MINGCHA_MEMORY               --memory
     fail_on                  -               未设置                    MINGCHA_FAIL_ON              --fail-on
     office.zone              Asia/Shanghai   默认值                    MINGCHA_ZONE                 -
     paths.data               -               未设置                    MINGCHA_DATA                 --data
     paths.store              store           mingcha.toml:3            MINGCHA_STORE                --store
     paths.rules              -               未设置                    MINGCHA_RULES                --rules
     paths.datasets           -               未设置                    MINGCHA_DATASETS             --datasets
     paths.run                -               未设置                    MINGCHA_RUN                  --out / --run
     paths.export             -               未设置                    MINGCHA_EXPORT               --out
     ledger.path              -               未设置                    MINGCHA_LEDGER               --ledger
     ledger.as                -               未设置                    MINGCHA_AS                   --as
     ledger.yellow_days       5               默认值                    MINGCHA_YELLOW_DAYS          -
     ledger.away_from_home    false           默认值                    MINGCHA_AWAY_FROM_HOME       -
     export.profile           supervisor      默认值                    MINGCHA_PROFILE              --profile
     export.format            xlsx            默认值                    MINGCHA_FORMAT               --format
     export.encoding          utf-8           默认值                    MINGCHA_ENCODING             --encoding
     nightly.folder           -               未设置                    MINGCHA_NIGHTLY              -
     nightly.schedule         -               未设置                    MINGCHA_SCHEDULE             -
     nightly.rules            -               未设置                    MINGCHA_NIGHTLY_RULES        --only
     nightly.wait_minutes     0               默认值                    MINGCHA_WAIT_MINUTES         -
     nightly.settle_seconds   30              默认值                    MINGCHA_SETTLE_SECONDS       -
     nightly.late_minutes     240             默认值                    MINGCHA_LATE_MINUTES         -
     nightly.by_area          true            默认值                    MINGCHA_NIGHTLY_BY_AREA      -
     nightly.link             -               未设置                    MINGCHA_NIGHTLY_LINK         -
     retention.findings       -               未设置                    MINGCHA_RETENTION_FINDINGS   -
     retention.exports        -               未设置                    MINGCHA_RETENTION_EXPORTS    -
     retention.runs           -               未设置                    MINGCHA_RETENTION_RUNS       -
     retention.extracts       -               未设置                    MINGCHA_RETENTION_EXTRACTS   -
     retention.stores         -               未设置                    MINGCHA_RETENTION_STORES     -
    配置文件：mingcha.toml
    [params.PEN-01] grace_months = 2
    ");
}

#[test]
fn a_wrong_setting_is_shown_under_its_line_with_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mingcha.toml"), "memroy = '1GiB'\nas_of = '2026-02-30'\n").unwrap();
    assert_snapshot!(mingcha(dir.path(), &["check", "--lang", "zh"]).all(), @r"
    exit 2
    错误[MC091]: 不认识配置项 `memroy`
     --> mingcha.toml:1:1
      |
    1 | memroy = '1GiB'
      | ^^^^^^
      |
    建议: 是不是要写 `memory`？

    错误[MC092]: 需要 YYYY-MM-DD 形式的日期，但得到 `2026-02-30`
     --> mingcha.toml:2:9
      |
    2 | as_of = '2026-02-30'
      |         ^^^^^^^^^^^^
    ");
    assert_snapshot!(mingcha(dir.path(), &["check", "--lang", "en"]).all(), @r"
    exit 2
    error[MC091]: unknown setting `memroy`
     --> mingcha.toml:1:1
      |
    1 | memroy = '1GiB'
      | ^^^^^^
      |
    help: did you mean `memory`?

    error[MC092]: wanted a date as YYYY-MM-DD, got `2026-02-30`
     --> mingcha.toml:2:9
      |
    2 | as_of = '2026-02-30'
      |         ^^^^^^^^^^^^
    ");
    let output = command(dir.path(), &["check", "--config", "other.toml"]).output().unwrap();
    assert_snapshot!(told(output).all(), @r"
    exit 2
    error[MC080]: needed the file or folder `other.toml`, but it does not exist
    ");
}

#[test]
fn a_parameter_of_the_workspace_changes_what_is_found_and_a_wrong_one_is_refused() {
    let city = crate::city::city();
    let store = city.join("store");
    let dir = tempfile::tempdir().unwrap();
    let run = |settings: &str| {
        fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
        mingcha(
            dir.path(),
            &[
                "run",
                "--store",
                store.to_str().unwrap(),
                "--as-of",
                "2026-10-31",
                "--out",
                "out",
                "--only",
                "PEN-01",
                "--format",
                "json",
            ],
        )
    };
    let findings = |settings: &str| run(settings).well().json()["rules"][0]["findings"].as_u64().unwrap();
    assert!(findings("") > findings("[params.PEN-01]\ngrace_months = 3\n"));
    assert_eq!(run("[params.PEN-01]\ngrace_monts = 3\n").code, Some(2));
    assert_eq!(run("[params.PEN-99]\ngrace_months = 3\n").code, Some(2));
}
