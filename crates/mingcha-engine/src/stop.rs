//! Why something that was to be made is not there: cancelled, failed, or held for want of memory. What was not made
//! carries its reason along, and whatever reads it ends for the same one. Knows no plan, no table and no rule.

use std::error::Error;
use std::fmt;

use datafusion::common::DataFusionError;
use mingcha_rules::Text;

/// Why a plan stopped, or a table was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody stopped the run.
    Cancelled,
    /// It cannot be made.
    Failed(Text),
    /// More memory than it may have.
    Held(Text),
}

impl Stop {
    /// Of a table that nobody made or delivered: a plan that reads it would take it for an empty one.
    pub(crate) fn never_made(table: &str) -> Self {
        Self::Failed(Text {
            zh: format!("程序内部错误：表 `{table}` 没有生成就被读取"),
            en: format!("an internal error: table `{table}` was read before it was made"),
        })
    }

    /// As an error of the plan that reads what was not made.
    pub(crate) fn into_error(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }

    /// The reason that an error of a plan hands on, if it read something that was not made.
    pub(crate) fn handed_on(error: &DataFusionError) -> Option<&Self> {
        match error {
            DataFusionError::External(inner) => inner.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Failed(text) | Self::Held(text) => f.write_str(&text.en),
        }
    }
}

impl Error for Stop {}
