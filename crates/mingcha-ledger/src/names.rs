//! What masked lists call a lead. A finding's own id follows from rule, subject and matter, so whoever guesses a number
//! can compute the id and compare; these names hang on a secret and say nothing to whoever lacks it. Knows no lead and
//! no place where a secret is kept.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::record::hex;

/// Names of leads under one secret: that of a ledger, or that of a run folder where there is no ledger.
#[derive(Clone)]
pub struct Names {
    secret: String,
}

impl Names {
    /// Under this secret.
    pub(crate) fn new(secret: String) -> Self {
        Self { secret }
    }

    /// What a masked list calls the lead `finding_id`: as long as an id, and nothing like it.
    #[must_use]
    pub fn alias(&self, finding_id: &str) -> String {
        alias(&self.secret, finding_id)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is no thing to be printed.
        f.write_str("Names")
    }
}

/// [`Names::alias`] under `secret`.
pub(crate) fn alias(secret: &str, finding_id: &str) -> String {
    // A key of any length fits.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(b"mingcha alias 1 ");
    mac.update(finding_id.as_bytes());
    hex(&mac.finalize().into_bytes()[..16])
}
