//! Every diagnostic code of the rule language, with its meaning. Numbers are never reused.
//! Families: MC0xx file and YAML, MC1xx metadata, MC3xx personal data, MC4xx examples, MC65x contracts.

use crate::text::{Lang, Text};

/// (code, Chinese, English), in order.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("MC001", "文件不是有效的 YAML", "the file is not valid YAML"),
    ("MC002", "未知的键", "an unknown key"),
    ("MC003", "缺少必需的键", "a required key is missing"),
    ("MC004", "值的类型或用词不对", "a value of the wrong type, or a word that is not known"),
    ("MC005", "同一个键写了两次", "the same key twice"),
    ("MC006", "使用了锚点、别名、合并键或标签", "an anchor, alias, merge key or tag"),
    ("MC007", "键没有按固定顺序书写", "keys out of the fixed order"),
    ("MC008", "文件太大", "the file is too large"),
    ("MC009", "文件不是 UTF-8", "the file is not UTF-8"),
    ("MC010", "文件不在已知的位置", "a file in no known place"),
    ("MC011", "符号链接指向文件夹之外", "a symbolic link that leads out of the folder"),
    ("MC012", "文件或文件夹无法读取", "a file or folder cannot be read"),
    ("MC013", "文件是空的，或含多个文档", "the file is empty, or holds several documents"),
    ("MC014", "文件嵌套太深或内容太多", "the file is nested too deep or holds too much"),
    (
        "MC015",
        "SELECT 没有写，写了两处，或 SQL 文件不对",
        "the SELECT is missing, there twice, or its file is not right",
    ),
    ("MC016", "没有规则使用的 SQL 文件", "an SQL file that no rule uses"),
    ("MC017", "规则包没有 pack.yaml", "a pack without pack.yaml"),
    ("MC101", "编号或名称与文件位置不符", "an id or name that differs from the place of the file"),
    ("MC102", "编号前缀不属于这个规则包", "an id whose prefix does not belong to the pack"),
    ("MC103", "编号或名称重复使用", "an id or name used twice"),
    ("MC104", "标题太长", "the title is too long"),
    ("MC105", "中文或英文没有写", "one of the two languages is empty"),
    ("MC106", "状态日期不是日期", "the day of the status is not a date"),
    ("MC107", "启用的规则没有法律依据", "an active rule without legal basis"),
    ("MC108", "没有写正常情形的解释", "no innocent explanation is named"),
    ("MC109", "没有写核实方法", "no step for the investigator"),
    ("MC110", "数据集没有契约", "a dataset without contract"),
    ("MC111", "视图不存在或不能使用", "a view that is not there or cannot be used"),
    ("MC112", "视图读取的数据集没有列入 inputs", "a view reads a dataset that is not among the inputs"),
    ("MC113", "参数值的类型或范围不对", "a parameter of the wrong type or outside its bounds"),
    ("MC114", "参数没有声明", "a parameter that is not declared"),
    ("MC115", "参数没有被使用，或不能声明", "a parameter that is not used, or cannot be declared"),
    ("MC116", "排除代码的写法不对或重复", "an exclusion code that is misshapen or there twice"),
    ("MC117", "排除应有 when 或 having 之一", "an exclusion needs exactly one of `when` and `having`"),
    ("MC118", "instead 不是规则编号", "`instead` is not the id of a rule"),
    ("MC119", "有一档严重程度永远轮不到", "a severity band that is never reached"),
    ("MC120", "没有证据行或证据字段", "no evidence, or evidence without columns"),
    ("MC121", "消息里的占位符没有来源", "a placeholder of the message without source"),
    ("MC122", "两种语言的占位符不同", "the placeholders differ between the languages"),
    ("MC123", "版本号为零", "the version is zero"),
    ("MC125", "视图名称不合用", "the name of a view cannot be used"),
    ("MC126", "视图读到自己", "a view that reads itself"),
    ("MC127", "名称不能用作 SQL 名称", "a name that cannot stand in SQL"),
    ("MC128", "参数与共用视图的同名参数不同", "a parameter that differs from that of a shared view"),
    ("MC129", "SQL 没有写", "an SQL text is empty"),
    ("MC130", "模板里的空白还没有填写", "a blank of the scaffold is not filled in"),
    ("MC131", "同一名称列了两次", "a name listed twice"),
    (
        "MC290",
        "经办、复核、审批人的字段没有用约定的名称",
        "a field that says who handled a row does not bear one of the names for it",
    ),
    ("MC301", "文件里像是有真实的身份证号", "what looks like a real identity number in a file"),
    ("MC302", "身份证号字段没有标明为个人信息", "an identity number that is not marked as personal data"),
    ("MC401", "没有命中的例子", "no example of a hit"),
    ("MC402", "没有相似而不命中的例子", "no example of a near miss"),
    ("MC403", "有一项排除没有例子", "an exclusion without example"),
    ("MC404", "例子里的数据集不可用", "a dataset of an example that cannot be used"),
    ("MC405", "例子里的字段不存在", "a field of an example that does not exist"),
    ("MC406", "例子给出了不属于 inputs 的数据集", "an example gives a dataset that is no input"),
    ("MC407", "例子里的日期不对", "a date of the examples that is not right"),
    ("MC408", "例子期望的度量不存在", "an example expects a measure that does not exist"),
    ("MC409", "例子的种类与期望不符", "the kind of an example and what it expects do not agree"),
    ("MC410", "例子设置的参数不对", "an example sets a parameter that is not right"),
    ("MC411", "例子里的人员代号不对", "a person of an example that is not right"),
    ("MC412", "例子期望的值写法不对", "an expected value that is misspelled"),
    ("MC413", "两个例子同名", "two examples with the same name"),
    ("MC651", "数据集名称不合用", "the name of a dataset cannot be used"),
    ("MC652", "字段名称重复或不合用", "the name of a field is there twice or cannot be used"),
    ("MC653", "key 里的字段不存在", "a field of `key` that does not exist"),
    ("MC654", "person 字段不存在或不是 id", "the field of `person` does not exist or is no `id`"),
    ("MC655", "经由的数据集不合用", "the dataset that leads to the person cannot be used"),
    (
        "MC656",
        "versions 的字段不存在或类型不对",
        "a field of `versions` that does not exist or has another type",
    ),
    ("MC657", "一个列名指两个字段", "a heading that means two fields"),
    ("MC658", "码表不对", "a code table that is not right"),
    ("MC659", "有效天数为零", "the days until staleness are zero"),
];

/// All codes of the rule language with their meanings, in order.
pub fn all() -> impl Iterator<Item = (&'static str, Text)> {
    MEANINGS.iter().map(|(code, zh, en)| (*code, Text { zh: (*zh).to_owned(), en: (*en).to_owned() }))
}

/// What `code` means; absent for codes of other crates.
pub fn meaning(code: &str, lang: Lang) -> Option<&'static str> {
    let (_, zh, en) = MEANINGS.iter().find(|(c, _, _)| *c == code)?;
    Some(match lang {
        Lang::Zh => zh,
        Lang::En => en,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every `MCnnn` between quotes in the sources below `folder`, tests and this table aside.
    fn used_in(folder: &Path, out: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used_in(&path, out);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "codes.rs" || name == "tests.rs" {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (at, _) in text.match_indices("\"MC") {
                let code = &text[at + 1..text[at + 1..].find('"').unwrap() + at + 1];
                assert!(code.len() == 5 && code[2..].bytes().all(|b| b.is_ascii_digit()), "{code}");
                out.insert(code.to_owned());
            }
        }
    }

    #[test]
    fn every_code_that_is_used_is_explained_and_every_explained_one_is_used() {
        let mut used = BTreeSet::new();
        used_in(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src"), &mut used);
        let explained: BTreeSet<String> = all().map(|(code, _)| code.to_owned()).collect();
        assert_eq!(used, explained);
        assert_eq!(explained.len(), MEANINGS.len(), "a code is explained twice");
    }

    #[test]
    fn the_table_is_in_order_and_speaks_both_languages() {
        assert!(MEANINGS.is_sorted_by_key(|(code, _, _)| *code));
        for (code, zh, en) in MEANINGS {
            assert!(zh.chars().any(|c| c > '\u{2e7f}') && en.is_ascii() && !en.ends_with('.'), "{code}");
        }
        assert_eq!(meaning("MC103", Lang::En), Some("an id or name used twice"));
        assert_eq!(meaning("MC999", Lang::Zh), None);
    }
}
