//! Rules over data, on Apache DataFusion: plans the rules of a library, walks the shards of prepared tables,
//! gathers findings. Same inputs, same rules, same `as_of`: the same findings, whatever the number of workers
//! and shards. Refuses to know: the clock, the ledger of past runs, files and formats, terminals.

mod carry;
mod check;
mod clauses;
mod columns;
mod context;
mod day;
mod dialect;
mod examples;
mod fault;
mod functions;
mod gather;
mod handlers;
mod key;
mod keyed;
mod local;
pub mod names;
mod needed;
mod parallel;
mod person;
mod plan;
mod planned;
mod program;
mod rekey;
mod report;
mod run;
mod sql;
pub mod stash;
mod stop;
mod subquery;
mod tables;
mod weights;
mod worker;

pub use carry::{BUILD, Carried, Records, Since};
pub use check::check_sql;
pub use examples::{ExampleResult, test_examples};
pub use planned::{PlannedInput, PlannedRule, plan};
pub use report::{PartsFolder, RunEnd, RunOptions, RunProgress, RunReport, Silent, Sink};
pub use run::{run, run_into, run_since};
