//! Invented names, of common characters at about their frequency. Knows spelling variants and how to make
//! a name that nobody could take for another one; knows no person.

use crate::dice::Dice;
use crate::identity::Sex;

/// Surnames with their rough share per mille.
const SURNAMES: &[(&str, u32)] = &[
    ("王", 72),
    ("李", 71),
    ("张", 68),
    ("刘", 54),
    ("陈", 46),
    ("杨", 31),
    ("赵", 23),
    ("黄", 22),
    ("周", 21),
    ("吴", 20),
    ("徐", 17),
    ("孙", 15),
    ("胡", 13),
    ("朱", 12),
    ("高", 12),
    ("林", 11),
    ("何", 11),
    ("郭", 11),
    ("马", 10),
    ("罗", 9),
    ("梁", 8),
    ("宋", 8),
    ("郑", 8),
    ("谢", 7),
    ("韩", 7),
    ("唐", 6),
    ("冯", 6),
    ("于", 6),
    ("董", 6),
    ("程", 5),
    ("曹", 5),
    ("袁", 5),
    ("邓", 5),
    ("许", 5),
    ("沈", 5),
    ("曾", 5),
    ("彭", 5),
    ("吕", 5),
    ("苏", 5),
    ("卢", 4),
    ("蒋", 4),
    ("蔡", 4),
    ("贾", 4),
    ("丁", 4),
    ("魏", 4),
    ("薛", 4),
    ("叶", 4),
    ("余", 4),
    ("潘", 4),
    ("杜", 4),
    ("戴", 4),
    ("夏", 4),
    ("钟", 3),
    ("汪", 3),
    ("田", 3),
    ("任", 3),
    ("姜", 3),
    ("范", 3),
    ("方", 3),
    ("石", 3),
    ("姚", 3),
    ("谭", 3),
    ("廖", 3),
    ("邹", 3),
    ("熊", 3),
    ("金", 3),
    ("陆", 3),
    ("郝", 3),
    ("孔", 3),
    ("白", 3),
    ("崔", 3),
    ("康", 3),
    ("毛", 3),
    ("邱", 3),
    ("秦", 3),
    ("江", 3),
    ("史", 3),
    ("顾", 3),
    ("侯", 3),
    ("邵", 3),
    ("孟", 3),
    ("龙", 3),
    ("万", 3),
    ("段", 2),
    ("雷", 2),
    ("钱", 2),
    ("汤", 2),
    ("尹", 2),
    ("易", 2),
    ("常", 2),
    ("武", 2),
    ("乔", 2),
    ("贺", 2),
    ("赖", 2),
    ("龚", 2),
    ("文", 2),
    ("欧阳", 1),
    ("司马", 1),
    ("诸葛", 1),
    ("上官", 1),
];

const MALE: &[&str] = &[
    "伟", "强", "军", "勇", "杰", "涛", "明", "超", "刚", "平", "辉", "鹏", "华", "飞", "鑫", "波", "斌",
    "宇", "浩", "凯", "健", "俊", "帆", "帅", "旭", "宁", "龙", "林", "建", "国", "志", "永", "德", "福",
    "成", "荣", "光", "海", "山", "仁", "庆", "祥", "根", "富", "贵", "文", "武", "安", "康", "启", "立",
    "学", "树", "松", "柏", "良", "忠", "民", "先", "长",
];

const FEMALE: &[&str] = &[
    "芳", "娜", "敏", "静", "丽", "艳", "娟", "霞", "秀", "英", "桂", "兰", "玉", "珍", "凤", "梅", "红",
    "琴", "云", "莲", "洁", "琳", "燕", "萍", "雪", "倩", "颖", "慧", "婷", "雅", "菊", "翠", "淑", "惠",
    "珠", "碧", "春", "香", "月", "莉", "素", "爱", "美", "金", "彩", "巧", "银", "花", "竹", "青", "芬",
    "蓉", "欣", "怡", "瑶", "佳", "露", "冰", "晶", "妍",
];

/// Parts of long names of the west, put together at random.
const LONG_MALE: &[&str] = &["买买提", "吐尔逊", "艾力", "热合曼", "依明", "卡德尔", "托合提", "阿不都"];
const LONG_FEMALE: &[&str] = &["阿依古丽", "古丽娜尔", "热依汗", "帕提古丽", "再娜普", "阿米娜"];

/// Surnames whose traditional form is still met on paper.
const TRADITIONAL: &[(&str, &str)] = &[
    ("张", "張"),
    ("刘", "劉"),
    ("陈", "陳"),
    ("杨", "楊"),
    ("赵", "趙"),
    ("黄", "黃"),
    ("吴", "吳"),
    ("孙", "孫"),
    ("马", "馬"),
    ("罗", "羅"),
    ("郑", "鄭"),
    ("谢", "謝"),
    ("冯", "馮"),
    ("邓", "鄧"),
    ("许", "許"),
    ("苏", "蘇"),
    ("卢", "盧"),
    ("蒋", "蔣"),
];

/// A surname, by frequency.
pub(crate) fn surname(dice: &mut Dice) -> &'static str {
    let total: u32 = SURNAMES.iter().map(|(_, weight)| *weight).sum();
    let mut rest = dice.below(u64::from(total));
    for (surname, weight) in SURNAMES {
        if rest < u64::from(*weight) {
            return surname;
        }
        rest -= u64::from(*weight);
    }
    SURNAMES[0].0
}

/// A given name of one character in five cases, else of two.
pub(crate) fn given(dice: &mut Dice, sex: Sex) -> String {
    let characters = if sex == Sex::Male { MALE } else { FEMALE };
    let first = *dice.pick(characters);
    if dice.percent(20) { first.to_owned() } else { format!("{first}{}", dice.pick(characters)) }
}

/// A whole name.
pub(crate) fn name(dice: &mut Dice, sex: Sex) -> String {
    if dice.ppm(6_000) { dotted(dice, sex) } else { format!("{}{}", surname(dice), given(dice, sex)) }
}

/// A name of two parts with a dot between them.
pub(crate) fn dotted(dice: &mut Dice, sex: Sex) -> String {
    let own = dice.pick(if sex == Sex::Male { LONG_MALE } else { LONG_FEMALE });
    format!("{own}·{}", dice.pick(LONG_MALE))
}

/// A name whose surname has a traditional form, in both spellings.
pub(crate) fn with_traditional(dice: &mut Dice, sex: Sex) -> (String, String) {
    let (plain, old) = dice.pick(TRADITIONAL);
    let given = given(dice, sex);
    (format!("{plain}{given}"), format!("{old}{given}"))
}

/// A name that no grading may take for a variant of `name`: of another length, and without one common
/// character (so neither homophones, nor a cut field, nor unreadable characters explain it).
pub(crate) fn stranger(dice: &mut Dice, name: &str, sex: Sex) -> String {
    let length = |n: &str| n.chars().filter(|c| *c != '·').count();
    let strange = |n: &str| length(n) != length(name) && !n.chars().any(|c| name.contains(c));
    (0..256)
        .map(|_| format!("{}{}", surname(dice), given(dice, sex)))
        .find(|n| strange(n))
        .unwrap_or_else(|| if length(name) == 4 { "甘棠".to_owned() } else { "甘棠晚照".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Purpose;

    #[test]
    fn a_stranger_shares_no_character_and_no_length() {
        let mut dice = Dice::new(3, Purpose::Case, 0);
        for _ in 0..500 {
            let own = name(&mut dice, Sex::Female);
            let other = stranger(&mut dice, &own, Sex::Male);
            assert_ne!(own.chars().count(), other.chars().count());
            assert!(!other.chars().any(|c| own.contains(c)), "{own} {other}");
        }
    }
}
