//! How a purge is told: what goes, to the file, what stays and why. Decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::super::Context;
use super::due::{Left, Thing};
use crate::args::Format;
use crate::render::{Table, count};

/// All that there is to tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) due: Vec<Thing>,
    /// Files that an interrupted purge announced and that are still there.
    pub(super) unfinished: Vec<(String, PathBuf)>,
    pub(super) left: Vec<Left>,
    pub(super) leads: usize,
    /// Things destroyed, by kind.
    pub(super) destroyed: BTreeMap<String, u64>,
}

pub(super) fn show(context: &Context, format: Format, told: &Told) {
    match format {
        Format::Json => machine(context, told),
        Format::Human => human(context, told),
    }
}

fn machine(context: &Context, told: &Told) {
    let files = |thing: &Thing| -> Vec<String> { files_of(thing).map(|f| f.display().to_string()).collect() };
    let due: Vec<_> = told
        .due
        .iter()
        .map(|t| {
            json!({"kind": t.kind, "path": t.path.display().to_string(), "since": t.since.to_string(), "files": files(t)})
        })
        .collect();
    let unfinished: Vec<_> = told
        .unfinished
        .iter()
        .map(|(kind, path)| json!({"kind": kind, "path": path.display().to_string()}))
        .collect();
    let left: Vec<_> = told
        .left
        .iter()
        .map(|l| json!({"kind": l.kind, "path": l.path.display().to_string(), "why": l.why.text()}))
        .collect();
    context.screen.json(&json!({"due": due, "unfinished": unfinished, "left": left, "findings": told.leads,
        "destroyed": told.destroyed}));
}

/// The files of a thing, as the configuration leads there.
fn files_of(thing: &Thing) -> impl Iterator<Item = PathBuf> + '_ {
    let whole = move |file: &super::content::Seen| match thing.is_folder {
        true => thing.path.join(&file.place),
        false => thing.path.clone(),
    };
    thing.content.files.iter().map(whole)
}

fn human(context: &Context, told: &Told) {
    let screen = &context.screen;
    let mut table =
        Table::new([screen.say("种类", "kind"), screen.say("起算日", "since"), screen.say("文件", "file")]);
    for thing in &told.due {
        for file in files_of(thing) {
            table.row([thing.kind.to_owned(), thing.since.to_string(), file.display().to_string()]);
        }
    }
    for (kind, path) in &told.unfinished {
        table.row([
            kind.clone(),
            screen.say("上次中断", "interrupted").to_owned(),
            path.display().to_string(),
        ]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
    if !told.left.is_empty() {
        screen.line(
            screen.say("到期但不动，请人工处理：", "past their time and left, for somebody to see to:"),
        );
        let mut table =
            Table::new([screen.say("种类", "kind"), screen.say("位置", "where"), screen.say("原因", "why")]);
        for left in &told.left {
            let why = left.why.text();
            table.row([left.kind.clone(), left.path.display().to_string(), screen.text(&why).to_owned()]);
        }
        screen.table(&table);
    }
    if told.leads > 0 {
        let n = count(told.leads as u64);
        screen.line(screen.say(&format!("到期的线索：{n} 条"), &format!("leads past their time: {n}")));
    }
    let nothing = told.due.is_empty() && told.unfinished.is_empty() && told.leads == 0;
    if nothing && told.destroyed.is_empty() {
        screen.line(screen.say("没有可销毁的", "nothing is due that may go"));
    }
    for (kind, n) in &told.destroyed {
        screen.line(screen.say(
            &format!("已销毁 {kind}：{n}，台账中有凭证"),
            &format!("destroyed {kind}: {n}, with a certificate in the ledger"),
        ));
    }
}
