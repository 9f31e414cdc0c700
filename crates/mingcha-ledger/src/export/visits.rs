//! The sheet for a visit and the list of what is cancelled, as tables. A visit sheet asks how a person was found and
//! says nothing of why they are on it: so nobody is accused at the door, and those of the control sample cannot be told
//! from the others. Knows no file format; gets what is masked already.

use super::Job;
use super::list::{Cell, Kind, Table, columns};
use crate::words::say;

/// A person to be visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// The name that the ledger gives them.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) id_number: String,
    pub(super) area_code: String,
}

/// A lead that its holder need not check any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cancelled {
    pub(super) finding_id: String,
    pub(super) handouts: String,
    pub(super) name: String,
    pub(super) subject_id: String,
    pub(super) rule_id: String,
    /// Whether its source took it back; else the data do not show it any more.
    pub(super) withdrawn: bool,
}

/// How a visit sheet is filled in, in words.
pub(super) const NOTES: [(&str, &str); 8] = [
    (
        "名单中的人员只是需要走访，被列入名单不说明任何问题；任何待遇都不得因本表停发。",
        "The persons on this sheet are to be visited, which says nothing about them; no payment may be stopped because of it.",
    ),
    (
        "只填橙色标题的列，其余各列已锁定；改动锁定的单元格，整份表会被退回。",
        "Fill in the columns with orange headings only; a sheet with edited locked cells is sent back.",
    ),
    (
        "人员状态、社保卡持有人、核查方式：从下拉列表中选择。",
        "State, card and way of the visit are chosen from the lists.",
    ),
    (
        "健在的，不填死亡日期；已死亡的，填死亡日期，查不到的在备注中说明。",
        "Alive: no date of death. Dead: the date, or a remark why it is not known.",
    ),
    ("选择“其他”的，必须填写备注。", "Whoever chooses \"other\" writes a remark."),
    (
        "每人填写核查人、核查日期、核查方式；尚未走访的整行留空。",
        "Every visit has its visitor, day and way; rows not visited yet are left empty.",
    ),
    (
        "可以分几次交回，也可以分给几个人填写；同一人的两份表说法不同，会退回核对。",
        "The sheet may come back in several parts and from several people; where two of them disagree about somebody, both are asked again.",
    ),
    (
        "交回后请删除本文件；有效期过后不再接收。",
        "Delete this file when it has been taken back; after the last day of its validity it is refused.",
    ),
];

/// Persons to be visited, with the questions.
pub(super) fn visits<'t>(job: &'t Job<'_>, persons: &'t [Person]) -> Table<'t> {
    let rows = (1_u64..).zip(persons).map(move |(number, person)| {
        let mut row = vec![
            Cell::Text(person.key.clone()),
            Cell::Count(number),
            text(&person.name),
            text(&person.id_number),
            text(&job.area_label(&person.area_code)),
        ];
        row.resize(Kind::Visits.columns().len(), Cell::Blank);
        row
    });
    Table::new(columns(job.lang(), Kind::Visits.columns()), rows)
}

/// What its holder is told to let go.
pub(super) fn cancelled<'t>(job: &'t Job<'_>, leads: &'t [Cancelled]) -> Table<'t> {
    let lang = job.lang();
    let rows = (1_u64..).zip(leads).map(move |(number, lead)| {
        let why = match lead.withdrawn {
            true => say(
                lang,
                "数据来源已撤回或更正。请停止核查；如已据此采取措施，请立即恢复并告知本人。",
                "Its source took it back or corrected it. Stop checking; whatever was done because of it is to be undone at once, and the person told.",
            ),
            false => say(
                lang,
                "最新数据中已不再出现。请停止核查；已经核实的情况仍请填报。",
                "The data do not show it any more. Stop checking; what was found out already is still to be reported.",
            ),
        };
        vec![
            Cell::Text(lead.finding_id.clone()),
            Cell::Count(number),
            text(&lead.handouts),
            text(&lead.name),
            text(&lead.subject_id),
            text(&lead.rule_id),
            text(job.rule_title(&lead.rule_id).get(lang)),
            text(why),
        ]
    });
    Table::new(columns(lang, Kind::Cancelled.columns()), rows)
}

fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::Blank } else { Cell::Text(text.to_owned()) }
}
