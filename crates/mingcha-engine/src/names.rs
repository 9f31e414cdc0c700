//! Comparing two names of the same identity number. The question is never "who is this", only "may these
//! two spellings be one person's name", since the number already agrees (`rules.md` 1.2, grades I1 to I3).
//! Refuses to know anything of datasets or of persons without a number.

use pinyin::ToPinyin;
use unicode_normalization::UnicodeNormalization;

/// How two names of one identity number agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameGrade {
    /// The same after normalisation.
    I1,
    /// A variant of the same name, or one of them is not given.
    I2,
    /// Another name: an identity conflict, never a death and never a fraud.
    I3,
}

impl NameGrade {
    /// As rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
        }
    }
}

/// Variant characters met in names, each with the form they are compared by. Pairs that are different
/// characters in most names (昇 and 升 are given names of different people) count as variants all the same:
/// the number agrees, and a reviewer is shown both spellings.
const VARIANTS: &[(char, char)] = &[
    ('閆', '闫'),
    ('閻', '闫'),
    ('阎', '闫'),
    ('蕭', '肖'),
    ('萧', '肖'),
    ('傅', '付'),
    ('葉', '叶'),
    ('戴', '代'),
    ('範', '范'),
    ('鍾', '钟'),
    ('鐘', '钟'),
    ('錢', '钱'),
    ('趙', '赵'),
    ('孫', '孙'),
    ('吳', '吴'),
    ('鄭', '郑'),
    ('馮', '冯'),
    ('陳', '陈'),
    ('衛', '卫'),
    ('蔣', '蒋'),
    ('楊', '杨'),
    ('許', '许'),
    ('呂', '吕'),
    ('張', '张'),
    ('嚴', '严'),
    ('華', '华'),
    ('謝', '谢'),
    ('鄒', '邹'),
    ('竇', '窦'),
    ('雲', '云'),
    ('蘇', '苏'),
    ('魯', '鲁'),
    ('韋', '韦'),
    ('馬', '马'),
    ('鳳', '凤'),
    ('劉', '刘'),
    ('龍', '龙'),
    ('萬', '万'),
    ('盧', '卢'),
    ('羅', '罗'),
    ('畢', '毕'),
    ('鄧', '邓'),
    ('賀', '贺'),
    ('賴', '赖'),
    ('龔', '龚'),
    ('龐', '庞'),
    ('紀', '纪'),
    ('項', '项'),
    ('黃', '黄'),
    ('顧', '顾'),
    ('譚', '谭'),
    ('齊', '齐'),
    ('賈', '贾'),
    ('婁', '娄'),
    ('聶', '聂'),
    ('關', '关'),
    ('國', '国'),
    ('蘭', '兰'),
    ('麗', '丽'),
    ('貴', '贵'),
    ('寶', '宝'),
    ('強', '强'),
    ('偉', '伟'),
    ('東', '东'),
    ('軍', '军'),
    ('傑', '杰'),
    ('榮', '荣'),
    ('連', '连'),
    ('蓮', '莲'),
    ('鳴', '鸣'),
    ('長', '长'),
    ('慶', '庆'),
    ('玉', '玉'),
    ('珮', '佩'),
    ('琍', '莉'),
    ('喆', '哲'),
    ('昇', '升'),
    ('陞', '升'),
    ('峯', '峰'),
    ('羣', '群'),
    ('淼', '淼'),
    ('㛃', '洁'),
    ('潔', '洁'),
    ('靜', '静'),
    ('愛', '爱'),
    ('義', '义'),
    ('興', '兴'),
    ('學', '学'),
    ('書', '书'),
    ('雙', '双'),
    ('鳯', '凤'),
    ('發', '发'),
    ('財', '财'),
    ('樹', '树'),
    ('樂', '乐'),
    ('紅', '红'),
    ('綠', '绿'),
    ('蕓', '芸'),
    ('𠮷', '吉'),
    ('祐', '佑'),
    ('澂', '澄'),
    ('煥', '焕'),
    ('燦', '灿'),
    ('輝', '辉'),
    ('暉', '晖'),
    ('剛', '刚'),
    ('鋼', '钢'),
    ('鋒', '锋'),
    ('銀', '银'),
    ('鑫', '鑫'),
    ('鐵', '铁'),
    ('飛', '飞'),
    ('維', '维'),
    ('偉', '伟'),
    ('勝', '胜'),
    ('進', '进'),
    ('達', '达'),
    ('運', '运'),
    ('遠', '远'),
    ('時', '时'),
    ('順', '顺'),
    ('願', '愿'),
    ('賢', '贤'),
    ('質', '质'),
    ('業', '业'),
    ('廣', '广'),
    ('應', '应'),
    ('穎', '颖'),
];

/// Grades two names of one number. `None` and blanks mean that a source does not give the name.
pub fn grade(a: Option<&str>, b: Option<&str>) -> NameGrade {
    let (Some(a), Some(b)) = (a, b) else { return NameGrade::I2 };
    if a == b && !a.trim().is_empty() {
        return NameGrade::I1;
    }
    let (a, b) = (normalise(a), normalise(b));
    if a.is_empty() || b.is_empty() {
        return NameGrade::I2;
    }
    if a == b {
        return NameGrade::I1;
    }
    // A newborn is entered under the mother's number as "her name + 之子": another person, not a longer spelling.
    if is_newborn(&a) != is_newborn(&b) {
        return NameGrade::I3;
    }
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().filter(|c| !is_dot(*c)).collect(), b.chars().filter(|c| !is_dot(*c)).collect());
    if a.is_empty() || b.is_empty() || same_shape(&a, &b) || truncated(&a, &b) || same_words(&a, &b) {
        NameGrade::I2
    } else {
        NameGrade::I3
    }
}

/// NFKC, no spaces, Latin in upper case.
fn normalise(name: &str) -> String {
    name.nfkc().filter(|c| !c.is_whitespace() && !is_invisible(*c)).flat_map(char::to_uppercase).collect()
}

/// `李秀兰之子`, `李秀兰之次女`: a child without a name of its own yet.
fn is_newborn(name: &str) -> bool {
    name.rsplit_once('之').is_some_and(|(mother, child)| {
        let child = child.trim_start_matches(['长', '次', '三', '四', '双', '大', '小', '胞', '幼']);
        mother.chars().count() >= 2 && matches!(child, "子" | "女" | "婴" | "儿" | "婴儿" | "新生儿")
    })
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

fn is_dot(c: char) -> bool {
    matches!(c, '·' | '•' | '‧' | '・' | '.' | '。' | '●' | '∙' | '⋅' | '-' | '\'')
}

/// A character that some system could not store, or masked.
fn is_unreadable(c: char) -> bool {
    matches!(c, '?' | '*' | '□' | '■' | '〓' | '\u{FFFD}')
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFD}')
}

/// Same length, and every pair is equal, a variant, a homophone, or unreadable on one side (not all of it).
fn same_shape(a: &[char], b: &[char]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(&x, &y)| fold(x) == fold(y) || is_unreadable(x) || is_unreadable(y) || homophones(x, y))
        && a.iter().zip(b).any(|(&x, &y)| fold(x) == fold(y))
}

fn fold(c: char) -> char {
    VARIANTS.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)
}

/// Same syllable with the same tone: the slip of a typist who chose the wrong character.
fn homophones(x: char, y: char) -> bool {
    match (x.to_pinyin(), y.to_pinyin()) {
        (Some(x), Some(y)) => x.with_tone() == y.with_tone(),
        _ => false,
    }
}

/// One is the beginning of the other: a field that was too short, or a given name left out.
fn truncated(a: &[char], b: &[char]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.len() < long.len() && short.iter().zip(long).all(|(&x, &y)| fold(x) == fold(y))
}

/// The same Latin letters in another order of words cannot be told once spaces are gone; the same multiset
/// of letters in a purely Latin name of some length is taken as that.
fn same_words(a: &[char], b: &[char]) -> bool {
    if a.len() != b.len() || a.len() < 6 || !a.iter().chain(b).all(char::is_ascii_alphabetic) {
        return false;
    }
    // A rotation is exactly what swapping two words does.
    (1..a.len()).any(|k| a[k..].iter().chain(&a[..k]).eq(b.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, want: &str) {
        assert_eq!(grade(Some(a), Some(b)).as_str(), want, "{a} / {b}");
        assert_eq!(grade(Some(b), Some(a)).as_str(), want, "{b} / {a}");
    }

    #[test]
    fn equal_after_normalisation_is_i1() {
        check("张三丰", "张三丰", "I1");
        check("张 三 丰", "张三丰", "I1");
        check("Ｌｉ Lei", "LI LEI", "I1");
    }

    #[test]
    fn variants_homophones_dots_and_gaps_are_i2() {
        check("阎国强", "闫國強", "I2");
        check("买买提·吐尔逊", "买买提吐尔逊", "I2");
        check("买买提·吐尔逊", "买买提•吐尔", "I2");
        check("王伟", "王玮", "I2");
        check("王?", "王喆", "I2");
        check("李", "李建国", "I2");
        check("WANG XIAOMING", "XIAOMING WANG", "I2");
        assert_eq!(grade(None, Some("李四")), NameGrade::I2);
        assert_eq!(grade(Some("  "), Some("李四")), NameGrade::I2);
    }

    #[test]
    fn other_names_are_i3() {
        check("张三丰", "李四光", "I3");
        check("王伟", "王芳", "I3");
        check("??", "王芳", "I3");
        check("刘桂英", "刘桂兰", "I3");
        check("陈建国", "陈建军", "I3");
        check("李秀兰", "李秀兰之子", "I3");
        check("李秀兰", "李秀兰之次女", "I3");
    }
}
