//! Checks over the text of any file: both languages, and the blanks that a scaffold leaves.

use std::collections::BTreeMap;

use super::Found;
use crate::yaml::Document;

/// Every text has a Chinese and an English wording. That both keys are there is a matter of form; here they
/// must say something.
pub(super) fn both_languages(document: &Document) -> Vec<Found> {
    // an identifier called `zh` elsewhere has no sibling `en`
    let scalars: BTreeMap<&str, &str> = document.scalars().collect();
    let mut out = Vec::new();
    for (path, text) in &scalars {
        let pair = [("zh", "en"), ("en", "zh")].iter().find_map(|(own, other)| {
            let stem = path.strip_suffix(own).filter(|s| s.is_empty() || s.ends_with('.'))?;
            scalars.contains_key(format!("{stem}{other}").as_str()).then_some(*own)
        });
        if let Some(language) = pair.filter(|_| text.trim().is_empty()) {
            let (zh, en) = if language == "zh" { ("中文", "Chinese") } else { ("英文", "English") };
            out.push(Found::new(
                document.place(path),
                format!("缺少{zh}内容"),
                format!("the {en} text is empty"),
            ));
        }
    }
    out
}

/// `<...>` is what a scaffold leaves to be filled in. A draft may still have blanks: it does not run, and its
/// SQL and examples are worth trying meanwhile.
pub(super) fn blanks(document: &Document) -> Vec<Found> {
    let is_draft = document.scalars().any(|(path, text)| path == "status" && text == "draft");
    let mut out = Vec::new();
    for (path, text) in document.scalars() {
        for (n, line) in text.lines().enumerate() {
            for (start, blank) in blanks_in(line) {
                let column = line[..start].chars().count() + 1;
                let mut place = document.place_in(path, n + 1, column);
                let at = place.span.as_ref().map_or(0, |span| span.start);
                if document.text().get(at..).is_some_and(|rest| rest.starts_with(blank)) {
                    place.span = Some(at..at + blank.len());
                }
                let found = Found::new(
                    place,
                    format!("`{path}` 还没有填写：{blank}"),
                    format!("`{path}` is still blank: {blank}"),
                )
                .help("填写后删去尖括号", "fill it in and drop the angle brackets");
                out.push(if is_draft { found.warning() } else { found });
            }
        }
    }
    out
}

/// Whether a value is (or holds) a blank: then its other faults are not worth telling.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().any(|line| !blanks_in(line).is_empty())
}

/// `<...>` standing like a word of its own; `a < b and c > d` is none.
fn blanks_in(line: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(start) = line[at..].find('<').map(|n| at + n) {
        at = start + 1;
        let Some(end) = line[at..].find('>').map(|n| at + n) else { break };
        let inner = &line[at..end];
        let opens =
            line[..start].chars().next_back().is_none_or(|c| c.is_whitespace() || "\"'（(".contains(c));
        let closes = line[end + 1..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '=');
        let worded = inner.starts_with(char::is_alphanumeric) && !inner.ends_with(char::is_whitespace);
        if opens && closes && worded {
            out.push((start, &line[start..=end]));
            at = end + 1;
        }
    }
    out
}
