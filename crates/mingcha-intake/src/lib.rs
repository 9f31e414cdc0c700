//! From raw extracts to a clean, bounded, sorted store, and back: readers, identity numbers, typing, rejects,
//! person index, shards. The only crate that reads extracts and the only one that reads or writes a store.
//!
//! Knows contracts (from `mingcha-rules`), Arrow and Parquet. Knows no rule, no SQL and no query engine; reads
//! no clock; opens no network connection.
//!
//! The way of a row: [`prepare()`] finds the files, matches their headings with the contracts, types every value
//! (a bad one goes to the rejects with its reason), collects the identity numbers into one dense index, and
//! writes the rows sorted by person. [`Store`] reads them back; [`MemoryTables`] does the same for the few
//! rows of an example, through the same typing code.

mod batch;
mod changes;
mod days;
mod discover;
mod dropped;
mod earlier;
mod fault;
mod headings;
mod identifiers;
pub mod identity;
mod manifest;
mod memory;
mod options;
mod overlap;
mod parse;
mod prepare;
mod progress;
mod quality;
mod read;
pub mod record;
mod rejects;
mod row_hash;
mod runs;
pub mod schema;
mod shards;
mod store;
mod tables;
mod texts;
mod typing;

pub use changes::Changes;
pub use discover::datasets_at_fault;
pub use manifest::{
    ChangesEntry, DatasetChanges, DatasetEntry, InputFile, Manifest, STORE_VERSION, ShardEntry, StoreFile,
};
pub use memory::MemoryTables;
pub use options::{FileMapping, PrepareOptions};
pub use prepare::{Prepared, prepare, sweep};
pub use progress::{Progress, Quiet};
pub use quality::{DatasetQuality, FieldQuality, QualityReport, RejectedPlace};
pub use schema::{builtin_schema, sql_schema};
pub use store::Store;
pub use tables::{OfPersons, Part, RowLocator, Tables};
pub use texts::texts;
