//! Names and numbers as people give them: whether two of them mean the same. The one place where a name given is compared
//! with another (who acts, who handled, who approves, who is to check, who holds a list). Knows no lead and no ledger.
//!
//! There is no login: a name is whatever somebody types. So width, case, blanks and dots between the parts of a name do
//! not make another person; when in doubt two names are one person's, because every such doubt is about a bar.

use unicode_normalization::UnicodeNormalization;

/// Whether two names are one person's, however they are spaced, cased, dotted, and in whatever width they are written.
#[must_use]
pub fn same_person(a: &str, b: &str) -> bool {
    person(a) == person(b)
}

/// What a name is compared by. A name of signs only is compared as it is.
pub(crate) fn person(name: &str) -> String {
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    // Composed once more: folding may leave letters apart that belong together.
    let plain: String = folded.nfkc().filter(|c| c.is_alphanumeric()).collect();
    if plain.is_empty() { folded.trim().to_owned() } else { plain }
}

/// Whether `name` is one of the persons that a field names: one, or several with signs between them.
pub(super) fn among(field: &str, name: &str) -> bool {
    let between = |c: char| matches!(c, '、' | ',' | '，' | ';' | '；' | '/' | '／' | '|' | '&' | '+' | '\n');
    let wanted = person(name);
    person(field) == wanted
        || field.split(between).any(|part| !part.trim().is_empty() && person(part) == wanted)
}

/// What the number of a receipt, a person or an account is compared by: width, case, blanks and kinds of dashes do not make
/// another number.
pub(crate) fn number(number: &str) -> String {
    let dash =
        |c: char| if matches!(c, '‐' | '‑' | '‒' | '–' | '—' | '―' | '−') { '-' } else { c };
    number
        .nfkc()
        .map(dash)
        .filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c))
        .flat_map(char::to_uppercase)
        .collect()
}

/// Signs without width, which come along when a number is copied.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_one_person_however_the_name_is_written() {
        for (a, b) in [
            ("窗口01", "窗口０１"),
            ("Zhao Liu", "zhaoliu"),
            ("ＬＩ", " li "),
            ("阿卜杜拉·买买提", "阿卜杜拉•买买提"),
            ("阿卜杜拉・买买提", "阿卜杜拉 买买提"),
            ("阿卜杜拉.买买提", "阿卜杜拉．买买提"),
            ("li\u{200b}", "li"),
            ("Jose\u{301}", "JOSÉ"),
        ] {
            assert!(same_person(a, b), "{a} / {b}");
        }
        for (a, b) in [("li", "liu"), ("窗口01", "窗口02"), ("", "li"), ("张三", "张叁"), ("-", "·")]
        {
            assert!(!same_person(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_field_may_name_several_persons() {
        assert!(among("张三、李 四", "李四") && among("qian/zhao", "ＺＨＡＯ") && among("qian", "Qian"));
        assert!(!among("张三、李四", "张") && !among("qian/", ""));
    }

    #[test]
    fn a_receipt_is_known_again_by_its_number_alone() {
        for same in ["Ｒ－１", " r-1", "R – 1", "R-1\u{200b}", "R\u{2010}1"] {
            assert_eq!(number(same), "R-1", "{same}");
        }
        assert_ne!(number("R-1"), number("R-11"));
        assert_ne!(number("R-1"), number("R1"));
    }
}
