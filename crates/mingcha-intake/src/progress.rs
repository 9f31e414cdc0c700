//! How the work tells where it is. Knows no terminal.

use mingcha_rules::Text;

/// Somebody who watches: a bar on a terminal, a page, nobody.
pub trait Progress: Sync {
    /// A stage begins; `total` is the number of units it will take, where that is known.
    fn begin(&self, stage: Text, total: Option<u64>);
    /// `n` more units are done (rows, or files while they are checked). Called from several threads.
    fn advance(&self, n: u64);
    /// The stage is over.
    fn end(&self);
    /// Whether the work should stop; nothing that looks finished is left then.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _stage: Text, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn end(&self) {}
}
