//! Text in the two languages of the readers, and what of a text can be shown. Knows no rule and no rendering.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The language that a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    #[default]
    En,
}

/// One sentence or word in Chinese and in English.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The Chinese text.
    pub zh: String,
    /// The English text.
    pub en: String,
}

impl Text {
    /// The text in `lang`.
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

/// Whether a character does something instead of being seen: it acts on a terminal, turns the order of the text around
/// it, or takes no room. In a name from an extract it is a mistake or a trick.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with a blank in the place of everything that is not seen, line ends too.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(is_unseen) { Cow::Owned(text.replace(is_unseen, " ")) } else { Cow::Borrowed(text) }
}
