//! JSON Schema (draft-07) of the files, for editors. Generated from the types, so that the two cannot differ;
//! the descriptions are those of the types, with their Chinese beside them.
//!
//! The committed copies (`rules/rule.schema.json` and so on) are kept current by a test: run it with
//! `MINGCHA_BLESS=1` to write them anew.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::contract::Contract;
use crate::rule::{PackHeader, Rule, View};

/// Schema of `rules/<pack>/<ID>-<fault>.yaml`.
pub fn rule() -> Value {
    of::<Rule>("Rule")
}

/// Schema of `rules/<pack>/views/<name>.yaml`.
pub fn view() -> Value {
    of::<View>("View")
}

/// Schema of `rules/<pack>/pack.yaml`.
pub fn pack() -> Value {
    of::<PackHeader>("PackHeader")
}

/// Schema of `datasets/<name>.yaml`.
pub fn contract() -> Value {
    of::<Contract>("Contract")
}

fn of<T: JsonSchema>(name: &str) -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    if let Some(definitions) = value.get_mut("definitions").and_then(Value::as_object_mut) {
        for (name, definition) in definitions.iter_mut() {
            translate(name, definition);
        }
    }
    translate(name, &mut value);
    tidy(value)
}

/// Puts the Chinese description of each property before the English one.
fn translate(name: &str, schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, property) in properties.iter_mut() {
        let (Some(chinese), Some(property)) = (chinese(name, key), property.as_object_mut()) else {
            continue;
        };
        let english =
            property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        property.insert("description".to_owned(), Value::from(format!("{chinese}\n{english}")));
    }
}

/// Sorted keys (two builds must write the same text), and no `null`: a key without value is refused.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let mut out = Map::new();
            for (key, value) in entries {
                let value = match (key.as_str(), value) {
                    ("type", Value::Array(types)) => without_null(types, |t| t == "null"),
                    ("anyOf", Value::Array(kinds)) => {
                        let kinds = without_null(kinds, |k| k.get("type").is_some_and(|t| t == "null"));
                        // what is left of `T or null` is `T`; beside siblings it must stay wrapped
                        let kinds = if kinds.is_array() { kinds } else { Value::Array(vec![kinds]) };
                        out.insert(key, tidy(kinds));
                        continue;
                    }
                    ("default", Value::Null) => continue,
                    (_, value) => value,
                };
                out.insert(key, tidy(value));
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        other => other,
    }
}

fn without_null(kinds: Vec<Value>, is_null: impl Fn(&Value) -> bool) -> Value {
    let mut kinds: Vec<Value> = kinds.into_iter().filter(|k| !is_null(k)).collect();
    match kinds.len() {
        1 => kinds.remove(0),
        _ => Value::Array(kinds),
    }
}

/// What a property is, in Chinese.
fn chinese(schema: &str, key: &str) -> Option<&'static str> {
    CHINESE.iter().find(|(s, k, _)| *s == schema && *k == key).map(|(_, _, text)| *text)
}

const CHINESE: &[(&str, &str, &str)] = &[
    ("Rule", "id", "规则目录里的编号，如 PEN-01；不得重复使用。"),
    ("Rule", "title", "问题的名称。"),
    ("Rule", "version", "查出的内容有变化时加一。"),
    ("Rule", "status", "规则所处的阶段。"),
    ("Rule", "since", "状态最近一次变化的日期，YYYY-MM-DD。"),
    ("Rule", "severity", "线索有多严重。"),
    ("Rule", "confidence", "编写者预计的准确度，待核实结果来衡量。"),
    ("Rule", "owner", "规则由谁负责。"),
    ("Rule", "legal", "所依据的法律或规程。"),
    ("Rule", "description", "查出什么，用平常的话写。"),
    ("Rule", "rationale", "为什么这样不对。"),
    ("Rule", "false_positives", "可能的正常解释。"),
    ("Rule", "verify", "核实人员依次做什么。"),
    ("Rule", "inputs", "规则（或所用视图）读取的数据集。"),
    ("Rule", "views", "SQL 读取的共用视图。"),
    ("Rule", "params", "命名参数，在 SQL 里写作 $name。"),
    ("Rule", "sql", "取出候选记录的只读 SELECT；与 sql_file 二选一。"),
    ("Rule", "sql_file", "规则旁边存放 SELECT 的文件。"),
    ("Rule", "exclusions", "不列为线索的各项理由，按先后次序。"),
    ("Rule", "subject", "线索是关于谁的。"),
    ("Rule", "matter", "区分同一对象不同事项的候选字段；属于线索身份的一部分。"),
    ("Rule", "across", "跨对象的数字，按 by 并回每条候选记录。"),
    ("Rule", "measures", "每条线索的度量：名称和对其候选记录的 SQL 聚合。"),
    ("Rule", "period", "所涉首日和末日的聚合表达式。"),
    ("Rule", "amount", "涉及金额（元）的聚合表达式；与钱无关时不写。"),
    ("Rule", "identity", "得出身份匹配等级 I1 至 I5 的聚合表达式。"),
    ("Rule", "grade", "由度量得出 A、B 或 C 的 SQL。"),
    ("Rule", "evidence", "支持线索的来源行。"),
    ("Rule", "counter_evidence", "与线索相反的来源行。"),
    (
        "Rule",
        "message",
        "线索的一句话；其中 {度量}、{period_from}、{period_to}、{amount}、{subject_name} 会被填入。",
    ),
    ("Rule", "limits", "到什么数量就暂扣。"),
    ("Rule", "references", "规则和数字的出处。"),
    ("Rule", "examples", "给出的行和期望的线索。"),
    ("View", "name", "在 SQL 里的名称。"),
    ("View", "description", "一行是什么。"),
    ("View", "inputs", "SQL 读取的数据集。"),
    ("View", "views", "SQL 读取的其他视图。"),
    ("View", "params", "命名参数。"),
    ("View", "sql", "只读的 SELECT。"),
    ("PackHeader", "id", "文件夹名。"),
    ("PackHeader", "title", "给人看的标题。"),
    ("PackHeader", "description", "规则包的用途。"),
    ("SeverityRule", "default", "各档都不适用时的程度。"),
    ("SeverityRule", "bands", "取第一个 when 成立的一档。"),
    ("SeverityRule", "shift", "关于度量的 SQL（整数）：在各档之后再升（负数为降）几级。"),
    ("Band", "level", "严重程度。"),
    ("Band", "when", "关于度量的 SQL。"),
    ("Legal", "instrument", "法律、法规或规程的名称。"),
    ("Legal", "article", "条款，知道时写。"),
    ("Legal", "says", "它对这件事的规定，用自己的话写。"),
    ("Input", "optional", "没有它时规则能否判断（那时当作空的，并在运行结果里说明）。"),
    ("Input", "columns", "缺了就不能说“没有发现”的列：数据没有这些列时，规则不作判断。"),
    ("Input", "max_age_days", "超过几天对本规则算过期；不写则用契约的天数。"),
    ("Input", "grain", "一行的时间粒度。"),
    ("Input", "coverage", "要覆盖什么，没有命中才说明问题。"),
    ("Param", "type", "类型。"),
    ("Param", "default", "工作区没有设置时的值；金额和日期写成文本。"),
    ("Param", "min", "允许的最小值。"),
    ("Param", "max", "允许的最大值。"),
    ("Param", "title", "含义。"),
    ("Param", "source", "默认值的出处。"),
    ("Exclusion", "code", "代码，如 X-LAG。"),
    ("Exclusion", "title", "给人看的理由。"),
    ("Exclusion", "when", "关于候选字段的 SQL：排除单条候选；与 having 二选一。"),
    ("Exclusion", "having", "关于度量的 SQL：排除整个对象（事项）。"),
    ("Exclusion", "instead", "转由哪条规则处理。"),
    ("Subject", "type", "对象的种类。"),
    ("Subject", "key", "候选字段：人员用 pid，其他用文本字段。"),
    ("Subject", "name", "含对象姓名或名称的候选字段。"),
    ("Subject", "area", "含处理地区的候选字段。"),
    ("Across", "by", "按哪个候选字段分组。"),
    ("Across", "expr", "SQL 聚合。"),
    ("Period", "from", "得出日期的 SQL 聚合。"),
    ("Period", "to", "得出日期的 SQL 聚合。"),
    ("Evidence", "src", "含行定位（数据集的 src）的候选字段。"),
    ("Evidence", "columns", "要展示的候选字段。"),
    ("CounterEvidence", "title", "这些行是什么。"),
    ("CounterEvidence", "sql", "对 candidates 表和视图的 SELECT：pid、行定位 src 和要展示的字段。"),
    ("Limits", "max_findings", "一次运行最多几条线索。"),
    ("Limits", "max_per_mille", "库中每千人最多几条线索。"),
    ("Examples", "as_of", "所有例子的判断日，YYYY-MM-DD。"),
    ("Examples", "defaults", "行里没有给出的字段的值：数据集、字段、值。"),
    ("Examples", "persons", "虚构的人：代号和出生日期、性别，据此生成保留地区的身份证号。"),
    ("Examples", "cases", "各个例子。"),
    ("ExamplePerson", "born", "YYYY-MM-DD。"),
    ("ExamplePerson", "sex", "性别，决定顺序码的奇偶。"),
    ("ExampleCase", "name", "一句话。"),
    ("ExampleCase", "kind", "这个例子表明什么。"),
    ("ExampleCase", "params", "与默认值不同的参数。"),
    (
        "ExampleCase",
        "given",
        "数据集的各行：字段和值。身份证号字段里的 P1 是虚构的人；月份字段里的 202601..202605 代表五行。",
    ),
    ("ExampleCase", "expect", "必须得出的结果，不能有别的。"),
    ("Expect", "findings", "全部线索。"),
    ("Expect", "excluded", "必须起作用的排除。"),
    ("ExpectedFinding", "subject", "对象的代号或键。"),
    ("ExpectedFinding", "severity", "严重程度。"),
    ("ExpectedFinding", "grade", "证据等级。"),
    ("ExpectedFinding", "identity", "身份匹配等级。"),
    ("ExpectedFinding", "amount", "元，两位小数，写成文本。"),
    ("ExpectedFinding", "evidence_rows", "证据行数。"),
    ("ExpectedFinding", "counter_rows", "相反证据的行数。"),
    ("ExpectedFinding", "measures", "度量：名称和写成文本的值。"),
    ("ExpectedExclusion", "subject", "对象的代号或键。"),
    ("ExpectedExclusion", "code", "排除代码。"),
    ("Text", "zh", "中文。"),
    ("Text", "en", "英文。"),
    ("Contract", "name", "数据集名称，规则和文件名都这样写。"),
    ("Contract", "title", "给人看的标题。"),
    ("Contract", "aliases", "数据集的其他名称，可作文件名或文件夹名。"),
    ("Contract", "description", "一行是什么，从哪里来。"),
    ("Contract", "person", "一行怎样对到人；不写则为不涉及人的参照表。"),
    ("Contract", "key", "合起来能区分各行的字段；空表示允许重复的行。"),
    ("Contract", "versions", "互相替代的行；会加上布尔列 is_latest。"),
    ("Contract", "max_age_days", "提取日之后几天算过期；规则可以要求更短。"),
    ("Contract", "fields", "各字段，按库中的次序。"),
    ("Via", "dataset", "另一个数据集。"),
    ("Via", "on", "两个数据集共有的字段。"),
    ("Versions", "key", "标识文书的字段。"),
    ("Versions", "by", "版本号字段（整数）；没有值算 0。"),
    ("Field", "name", "在库和 SQL 里的名称。"),
    ("Field", "title", "给人看的标题；中文标题也是可接受的列名。"),
    ("Field", "type", "类型。"),
    ("Field", "required", "这一列是否必须有、每行是否必填。"),
    ("Field", "aliases", "指这个字段的其他列名。"),
    ("Field", "codes", "type: code 的码表：代码和含义。"),
    ("Field", "open_codes", "码表之外的代码是否原样保留。"),
    ("Field", "pii", "个人信息类别，决定怎样遮盖。"),
    ("Field", "on_bad_value", "值读不懂时这一行怎么办。"),
    ("Field", "description", "标题没有说清的内容。"),
    ("CodeMeaning", "zh", "中文名称；也可代替代码出现在数据里。"),
    ("CodeMeaning", "en", "英文名称；也可代替代码出现在数据里。"),
    ("CodeMeaning", "aliases", "指这个代码的其他写法。"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The committed schema says what the types say; `MINGCHA_BLESS=1` writes it.
    fn check(path: &str, schema: Value) {
        let file = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").join(path);
        if std::env::var_os("MINGCHA_BLESS").is_some() {
            fs::write(&file, format!("{schema:#}\n")).unwrap();
        }
        let committed: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert!(committed == schema, "{path} is not current: run this test with MINGCHA_BLESS=1");
    }

    #[test]
    fn the_committed_schemas_are_current() {
        check("rules/rule.schema.json", rule());
        check("rules/view.schema.json", view());
        check("rules/pack.schema.json", pack());
        check("datasets/contract.schema.json", contract());
    }

    #[test]
    fn every_property_is_described_in_both_languages() {
        let mut described = BTreeSet::new();
        for (name, schema) in
            [("Rule", rule()), ("View", view()), ("PackHeader", pack()), ("Contract", contract())]
        {
            let definitions = schema["definitions"].as_object().unwrap();
            let all = definitions.iter().map(|(name, s)| (name.as_str(), s)).chain([(name, &schema)]);
            for (name, schema) in all {
                for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                    let text = property["description"].as_str().unwrap_or_default();
                    assert!(text.contains('\n') && !text.ends_with('\n'), "{name}.{key}: {text:?}");
                    described.insert((name.to_owned(), key.clone()));
                }
            }
        }
        for (schema, key, _) in CHINESE {
            assert!(
                described.contains(&(schema.to_string(), key.to_string())),
                "{schema}.{key} describes nothing"
            );
        }
    }

    #[test]
    fn unknown_keys_and_empty_values_are_refused_by_the_schema() {
        let text = rule().to_string();
        assert_eq!(rule()["additionalProperties"], false);
        assert!(!text.contains("\"null\""), "a null is allowed somewhere");
        assert_eq!(rule()["$schema"], "http://json-schema.org/draft-07/schema#");
    }
}
