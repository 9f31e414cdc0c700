//! Who handled a payment, as the evidence itself says. Knows rows of evidence and nothing of what follows from it.

use std::collections::BTreeSet;

use mingcha_rules::handler::names_handler;
use mingcha_rules::{EvidenceRow, Finding};

/// Whether a row stands there to say who handled it, and for nothing else.
pub(super) fn names_handlers_only(row: &EvidenceRow) -> bool {
    !row.columns.is_empty() && row.columns.keys().all(|column| names_handler(column))
}

/// Everybody whom the rows for and against a finding name as having handled something.
pub(super) fn handlers(finding: &Finding) -> BTreeSet<String> {
    let rows = finding.evidence.iter().chain(&finding.counter_evidence);
    let named = rows.flat_map(|row| row.columns.iter().filter(|(column, _)| names_handler(column)));
    named.map(|(_, name)| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}
