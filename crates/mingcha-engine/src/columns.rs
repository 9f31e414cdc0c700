//! Columns that a rule names outside its SQL: its subject, what tells its findings apart, evidence. They must be among
//! those that its SQL gives, and of the right type. Knows no data.

use arrow::datatypes::{DataType, SchemaRef};
use mingcha_rules::LoadedRule;

use crate::program::{PieceFault, is_text};
use crate::sql::{self, SqlFault};

/// What is wrong with the columns that a rule names outside its SQL: subject, matter, evidence.
pub(crate) fn faults(loaded: &LoadedRule, schema: &SchemaRef, counters: &[SchemaRef]) -> Vec<PieceFault> {
    let rule = &loaded.rule;
    let mut faults = Vec::new();
    let mut need = |path: String, name: &str, wanted: &dyn Fn(&DataType) -> bool, kind: (&str, &str)| {
        let fault = match schema.field_with_name(name) {
            Err(_) => {
                let fault = SqlFault::new(
                    "MC207",
                    format!("查询结果中没有列 `{name}`"),
                    format!("the SELECT has no column `{name}`"),
                );
                match sql::nearest(name, schema.fields().iter().map(|f| f.name().as_str())) {
                    Some(near) => {
                        fault.help(format!("是不是想写 `{near}`"), format!("did you mean `{near}`"))
                    }
                    None => fault,
                }
            }
            Ok(field) if !wanted(field.data_type()) => SqlFault::new(
                "MC208",
                format!("列 `{name}` 应为{}，实际为 {}", kind.0, field.data_type()),
                format!("column `{name}` must be {}, it is {}", kind.1, field.data_type()),
            ),
            Ok(_) => return,
        };
        faults.push(PieceFault { path, fault });
    };
    let any = |_: &DataType| true;
    let locator = |t: &DataType| *t == DataType::Int64;
    if rule.subject.key == "pid" {
        need("subject.key".to_owned(), "pid", &|t| *t == DataType::Int32, ("人员编号", "the person number"));
    } else {
        need("subject.key".to_owned(), &rule.subject.key, &is_text, ("文本", "text"));
    }
    for (path, column) in [("subject.name", &rule.subject.name), ("subject.area", &rule.subject.area)] {
        if let Some(column) = column {
            need(path.to_owned(), column, &is_text, ("文本", "text"));
        }
    }
    for name in &rule.matter {
        need("matter".to_owned(), name, &any, ("", ""));
    }
    for (name, across) in &rule.across {
        need(format!("across.{name}.by"), &across.by, &any, ("", ""));
    }
    for (i, evidence) in rule.evidence.iter().enumerate() {
        need(
            format!("evidence[{i}].src"),
            &evidence.src,
            &locator,
            ("行定位（src）", "a row locator (`src`)"),
        );
        for column in &evidence.columns {
            need(format!("evidence[{i}].columns"), column, &any, ("", ""));
        }
    }
    for (i, schema) in counters.iter().enumerate() {
        for name in ["src", rule.subject.key.as_str()] {
            if schema.field_with_name(name).is_err() {
                faults.push(PieceFault {
                    path: format!("counter_evidence[{i}].sql"),
                    fault: SqlFault::new(
                        "MC207",
                        format!("反证查询结果中没有列 `{name}`"),
                        format!("the counter-evidence SELECT has no column `{name}`"),
                    ),
                });
            }
        }
    }
    faults
}
