//! The rule language of Mingcha 明察: contracts of datasets, rules, shared views, their checks, their pages.
//!
//! Knows nothing of Arrow, SQL engines, networks or terminals, so that an editor, a web page or a build
//! server can check rules without an engine. Only [`sources`] touches the disk.

pub mod check;
pub mod codes;
pub mod contract;
pub mod diagnostic;
pub mod finding;
pub mod handler;
pub mod library;
pub mod page;
pub mod reject;
pub mod rule;
pub mod scaffold;
pub mod schema;
pub mod sources;
mod sqltext;
pub mod text;
mod value;
mod yaml;

pub use contract::{Contract, Field, FieldType, PersonKey};
pub use diagnostic::{Diagnostic, Level, Place};
pub use finding::{EvidenceRow, Excused, Finding, Outcome, OutcomeKind};
pub use library::{BUILTIN_TABLES, LeftOut, Library, LoadedRule, LoadedView, load};
pub use rule::{Rule, Severity, View};
pub use sources::Sources;
pub use text::{Lang, Text};
pub use value::ParamValue;
pub use yaml::Document;
