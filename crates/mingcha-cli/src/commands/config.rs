//! `mingcha config show`: the settings in force and where each comes from.

use serde_json::json;

use super::Context;
use crate::args::{Config, ConfigShow, ConfigVerb, Format};
use crate::config::{KEYS, Origin};
use crate::exit::{Exit, Outcome};
use crate::render::Table;

pub(super) fn run(context: &Context, args: &Config) -> Outcome {
    match &args.verb {
        ConfigVerb::Show(args) => show(context, args),
    }
    Ok(Exit::Done)
}

fn show(context: &Context, args: &ConfigShow) {
    let screen = &context.screen;
    let mut head = vec![screen.say("配置项", "setting"), screen.say("值", "value")];
    if args.origin {
        head.extend([
            screen.say("来源", "from"),
            screen.say("环境变量", "variable"),
            screen.say("参数", "flag"),
        ]);
    }
    let mut table = Table::new(head);
    let mut list = Vec::new();
    for key in KEYS {
        let flag = context.lang_flag.clone().filter(|_| key.path == "lang");
        let setting = context.config.setting(key.path, flag);
        let value = setting.as_ref().map(|s| s.text.clone());
        let origin = setting
            .map_or_else(|| screen.say("未设置", "not set").to_owned(), |s| origin(context, &s.origin));
        list.push(json!({"setting": key.path, "value": value, "origin": origin, "variable": key.env, "flag": key.flag}));
        let mut row = vec![key.path.to_owned(), value.unwrap_or_else(|| "-".to_owned())];
        if args.origin {
            row.extend([origin, key.env.to_owned(), key.flag.to_owned()]);
        }
        table.row(row);
    }
    if args.shape.format == Format::Json {
        let params = &context.config.params;
        let file = context.config.file.as_ref().map(|f| f.display().to_string());
        screen.json(&json!({"file": file, "settings": list, "params": params, "sources": context.config.sources.len()}));
        return;
    }
    screen.table(&table);
    let file = context
        .config
        .file
        .as_ref()
        .map_or_else(|| screen.say("没有", "none").to_owned(), |f| f.display().to_string());
    screen.line(format!("{}{file}", screen.say("配置文件：", "configuration file: ")));
    for (rule, params) in &context.config.params {
        let words: Vec<String> =
            params.iter().map(|(name, value)| format!("{name} = {}", scalar(value))).collect();
        screen.line(format!("[params.{rule}] {}", words.join(", ")));
    }
}

fn scalar(value: &mingcha_rules::rule::Scalar) -> String {
    use mingcha_rules::rule::Scalar::{Bool, Int, Text};
    match value {
        Bool(value) => value.to_string(),
        Int(value) => value.to_string(),
        Text(value) => format!("\"{value}\""),
    }
}

fn origin(context: &Context, origin: &Origin) -> String {
    match origin {
        Origin::Flag => context.screen.say("命令行参数", "command line").to_owned(),
        Origin::Env(name) => format!("{} {name}", context.screen.say("环境变量", "environment")),
        Origin::File(path, line) => format!("{}:{line}", path.display()),
        Origin::Default => context.screen.say("默认值", "default").to_owned(),
    }
}
