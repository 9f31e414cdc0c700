//! Something wrong in a piece of SQL, said in both languages. The owner of the piece knows which file it is in; nothing
//! here does.

use datafusion::sql::sqlparser::tokenizer::Span;

/// Something wrong in a piece of SQL; the owner of the piece knows which file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlFault {
    pub code: &'static str,
    pub zh: String,
    pub en: String,
    /// Line and column inside the piece, from 1.
    pub at: Option<(u64, u64)>,
    pub help: Option<(String, String)>,
}

impl SqlFault {
    pub(crate) fn new(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { code, zh: zh.into(), en: en.into(), at: None, help: None }
    }

    pub(crate) fn at(mut self, span: Span) -> Self {
        if span.start.line > 0 {
            self.at = Some((span.start.line, span.start.column));
        }
        self
    }

    pub(crate) fn help(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.help = Some((zh.into(), en.into()));
        self
    }
}
