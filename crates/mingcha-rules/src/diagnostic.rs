//! Diagnostics are data: a code, a sentence in both languages, a place, a way out. They are drawn only at
//! the rim (the command line), so that a web page and a build server show the same object.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::text::{Lang, Text};

/// Something wrong with a rule, a contract, a configuration or an extract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `MC203`: family and number, never reused. MC0xx file and YAML, MC1xx metadata, MC2xx SQL and plan,
    /// MC3xx personal data and law, MC4xx examples, MC5xx waivers, MC6xx datasets and extracts, MC7xx store and
    /// engine, MC8xx run folders, exports and the ledger.
    pub code: String,
    /// Whether it stops the thing it is about.
    pub level: Level,
    /// What is wrong: wanted, then got. Lower case, no full stop, never a personal value.
    pub message: Text,
    /// Where.
    pub place: Place,
    /// The next step.
    pub help: Option<Text>,
}

/// Weight of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth a look.
    Warning,
    /// Must be mended.
    Error,
}

/// A place in a rule file or in an extract. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// File, as the user would name it.
    pub file: Option<String>,
    /// Line (text files, from 1) or data row (extracts, from 1).
    pub line: Option<u64>,
    /// Column: a character position (text files, from 1) or a heading (extracts).
    pub column: Option<String>,
    /// Bytes in the file, for a caret under the text.
    pub span: Option<Range<usize>>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: &str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            level: Level::Error,
            message: Text { zh: zh.into(), en: en.into() },
            place: Place::default(),
            help: None,
        }
    }

    /// A warning without a place.
    pub fn warning(code: &str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, zh, en) }
    }

    /// The same, in `file`.
    pub fn in_file(mut self, file: impl fmt::Display) -> Self {
        self.place.file = Some(file.to_string());
        self
    }

    /// The same, at a line (or data row).
    pub fn at_line(mut self, line: u64) -> Self {
        self.place.line = Some(line);
        self
    }

    /// The same, at a column.
    pub fn at_column(mut self, column: impl fmt::Display) -> Self {
        self.place.column = Some(column.to_string());
        self
    }

    /// The same, over a span of bytes.
    pub fn over(mut self, span: Range<usize>) -> Self {
        self.place.span = Some(span);
        self
    }

    /// The same, with a next step.
    pub fn with_help(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.help = Some(Text { zh: zh.into(), en: en.into() });
        self
    }

    /// One line for logs and plain terminals: `error[MC601] file:row:column: message (help)`.
    pub fn line(&self, lang: Lang) -> String {
        let mut out = match self.level {
            Level::Error => format!("error[{}]", self.code),
            Level::Warning => format!("warning[{}]", self.code),
        };
        let place: Vec<String> =
            [self.place.file.clone(), self.place.line.map(|n| n.to_string()), self.place.column.clone()]
                .into_iter()
                .flatten()
                .collect();
        if !place.is_empty() {
            out.push(' ');
            out.push_str(&place.join(":"));
        }
        out.push_str(": ");
        out.push_str(self.message.get(lang));
        if let Some(help) = &self.help {
            out.push_str(match lang {
                Lang::Zh => "；建议：",
                Lang::En => "; help: ",
            });
            out.push_str(help.get(lang));
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(Lang::En))
    }
}

impl std::error::Error for Diagnostic {}
