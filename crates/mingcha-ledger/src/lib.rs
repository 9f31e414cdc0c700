//! Findings at rest: the folder of one run, the ledger that follows leads from night to night, the lists that leave,
//! and the answer to "why this person".
//!
//! Knows nothing of rules' SQL, of sessions or of extracts: it is handed plain findings and keeps, masks,
//! exports and explains them. Reads no clock and prints nothing.

pub mod book;
pub mod explain;
pub mod export;
mod fault;
pub mod import;
pub mod lookback;
pub mod mask;
mod names;
pub mod queue;
mod record;
pub mod report;
pub mod run;
pub mod score;
mod sharing;
mod table;
pub mod time;
mod words;

pub use book::Book;
pub use explain::{Explanation, FindingExplanation, Style, explain_finding, explain_person};
pub use export::{
    Addressee, Catalogue, Dispatch, Encoding, ExportOptions, Exported, Format, Issued, Payee, Payees, export,
    export_as, file_name, issue, reissue,
};
pub use import::import;
pub use mask::{Masker, Profile};
pub use names::Names;
pub use record::{Counts, InputFile, Manifest, ManifestRule, RunRecord, Seal};
pub use run::{RunFolder, RunWriter, parts_folder, sweep};
pub use sharing::Sharing;
pub use time::{Day, Instant, Zone};
pub use words::once_per_rule;
