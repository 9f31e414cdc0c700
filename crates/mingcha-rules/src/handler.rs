//! Which columns name somebody who handled what a row is about. Whoever stands in such a column must not judge a lead that
//! rests on the row: by these names the engine knows what to show with every finding, and the ledger whom to refuse.
//! Knows names of columns and nothing of what they hold.
//!
//! Contracts have no mark for them; they are told by the words of their names, as the catalogue of datasets makes them:
//! `operator`, `approver_name`, `reviewed_by`. So no contract can forget to say it.

/// Words for somebody who had a hand in a payment.
const ROLES: [&str; 9] =
    ["operator", "handler", "approver", "reviewer", "checker", "clerk", "cashier", "auditor", "teller"];
/// What somebody did who had a hand in it, before `_by`.
const DEEDS: [&str; 10] = [
    "paid", "handled", "entered", "reviewed", "approved", "released", "checked", "audited", "operated",
    "verified",
];
/// What makes of such a word something else than a person's name.
const NO_NAME: [&str; 11] =
    ["id", "number", "no", "kind", "unit", "code", "phone", "on", "at", "type", "count"];

/// In headings of extracts, words for somebody who had a hand in a row.
const HEADINGS: [&str; 22] = [
    "经办人",
    "经办员",
    "经手人",
    "操作员",
    "操作人",
    "录入人",
    "录入员",
    "受理人",
    "复核人",
    "复核员",
    "初审人",
    "终审人",
    "审核人",
    "审核员",
    "审批人",
    "批准人",
    "制单人",
    "制表人",
    "放款人",
    "支付人",
    "出纳",
    "核查人",
];
/// What makes of such a heading something else than a person's name.
const NO_HEADING: [&str; 12] =
    ["电话", "手机", "身份证", "证件", "编号", "编码", "号码", "时间", "日期", "机构", "单位", "意见"];

/// Whether a heading of an extract says that its column names who handled the row.
#[must_use]
pub fn heads_handler(heading: &str) -> bool {
    HEADINGS.iter().any(|word| heading.contains(word))
        && !NO_HEADING.iter().any(|word| heading.contains(word))
}

/// Names to suggest for such a field.
pub const HANDLERS: [&str; 6] = ["operator", "handler", "reviewer", "approver", "released_by", "paid_by"];

/// Whether a column names somebody who handled what its row is about: entered it, checked it, approved it, or let the
/// money go.
#[must_use]
pub fn names_handler(column: &str) -> bool {
    let words: Vec<&str> = column.split('_').collect();
    let named = !words.iter().any(|word| NO_NAME.contains(word));
    let did = words.windows(2).any(|pair| pair[1] == "by" && DEEDS.contains(&pair[0]));
    named && (did || words.iter().any(|word| ROLES.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_that_name_a_handler_are_told_from_others() {
        for heading in ["经办人", "经办人姓名", " 复核人员", "录入人", "终审人", "制单人"]
        {
            assert!(heads_handler(heading), "{heading}");
        }
        for heading in ["经办机构", "经办人电话", "审核日期", "经办人身份证号", "姓名", "复核意见"]
        {
            assert!(!heads_handler(heading), "{heading}");
        }
    }

    #[test]
    fn columns_that_name_a_handler_are_told_from_others() {
        for column in
            ["operator", "handler", "approver", "paid_by", "reviewed_by", "cashier_name", "released_by"]
        {
            assert!(names_handler(column), "{column}");
        }
        for column in [
            "acquired_by",
            "operator_id_number",
            "operator_kind",
            "checked_on",
            "name",
            "scrap_by",
            "issued_by",
        ] {
            assert!(!names_handler(column), "{column}");
        }
    }
}
