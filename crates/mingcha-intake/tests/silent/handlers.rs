//! Columns that name who handled a row and that no contract knows: whoever stands there must not judge by oversight.

use crate::{World, person, says};

#[test]
fn a_column_with_those_who_handled_a_row_that_the_contract_does_not_know_is_told() {
    let line = |n| format!("{},200.00,陆某甲,陆某乙,备用\n", person(n));
    let lines: String = (0..3).map(line).collect();
    let world =
        World::new().with("pension_refunds.csv", format!("身份证号,退款金额,初审人,审批人,说明\n{lines}"));
    let said = world.remarked();
    says(&said, &["MC672", "初审人", "审批人", "pension_refunds", "operator", "aliases", "may judge"]);
    assert_eq!(said.matches("wanted columns that name who handled").count(), 2, "{said}");
    assert!(!said.contains("陆某"), "{said}");
}
