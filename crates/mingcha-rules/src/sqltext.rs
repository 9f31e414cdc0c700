//! SQL as text: where its words and `$parameters` stand, comments and quoted strings left aside. Knows no
//! grammar; what the SQL means is the engine's business.

/// A word or parameter of an SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The word; for `$name`, the name.
    pub(crate) word: &'a str,
    pub(crate) is_param: bool,
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// The words and parameters of `sql`, in order.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        let len = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '\'' || first == '"' {
            rest[1..].find(first).map_or(rest.len(), |end| end + 2)
        } else if first == '$' || is_word(first) {
            let skip = if first == '$' { 1 } else { 0 };
            let end = rest[skip..].find(|c| !is_word(c)).map_or(rest.len(), |end| end + skip);
            let before = &sql[..at];
            let line_start = before.rfind('\n').map_or(0, |n| n + 1);
            out.push(Token {
                word: &rest[skip..end],
                is_param: skip == 1,
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
            });
            end
        } else {
            first.len_utf8()
        };
        at += len.max(1);
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, wanted: &[(&str, bool, usize, usize)]) {
        let got: Vec<_> = tokens(sql).into_iter().map(|t| (t.word, t.is_param, t.line, t.column)).collect();
        assert_eq!(got, wanted, "{sql}");
    }

    #[test]
    fn words_and_parameters_are_found_with_their_places() {
        check("a >=\n  $grace", &[("a", false, 1, 1), ("grace", true, 2, 3)]);
        check("死亡 $x", &[("死亡", false, 1, 1), ("x", true, 1, 4)]);
    }

    #[test]
    fn comments_and_strings_hold_no_parameters() {
        check("'$a' -- $b\n/* $c */ \"$d\" e", &[("e", false, 2, 15)]);
        check("'it''s $a' $b", &[("b", true, 1, 12)]);
        check("'open $a", &[]);
    }
}
