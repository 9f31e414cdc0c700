//! Names and seals that only this ledger can make: they hang on its secret, so nobody outside can search a name back,
//! forge a seal, or foresee a draw. Knows no lead and no sheet; texts go in, texts come out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::record::hex;

/// The ledger's secret, for those inside this crate who make names and seals with it.
pub(crate) struct Keys(pub(super) String);

impl Keys {
    /// What a masked list calls a lead.
    pub(crate) fn alias(&self, finding_id: &str) -> String {
        super::alias(&self.0, finding_id)
    }

    /// What a visit sheet calls a person, whether there is a lead about them or not.
    pub(crate) fn person(&self, subject_id: &str) -> String {
        self.mac("mingcha person 1", &[subject_id], 32)
    }

    /// Where a person stands on the visit sheet of the export `number`: by another measure than in the draw, or those who
    /// were drawn would all stand at its top.
    pub(crate) fn place(&self, number: &str, subject_id: &str) -> String {
        self.mac("mingcha place 1", &[number, subject_id], 32)
    }

    /// Where a person stands in the draw of the export `number`.
    pub(crate) fn rank(&self, number: &str, subject_id: &str) -> String {
        self.mac("mingcha draw 1", &[number, subject_id], 32)
    }

    /// Stands for one locked cell, or for a whole text: who changes it cannot make it anew.
    pub(crate) fn seal(&self, parts: &[&str]) -> String {
        self.mac("mingcha seal 1", parts, 8)
    }

    /// Stands for an answer that was taken in. The answer itself lies in the lead's history, where it can be destroyed.
    pub(crate) fn answer(&self, about: &str, field: &str, value: &str) -> String {
        self.mac("mingcha answer 1", &[about, field, value], 16)
    }

    fn mac(&self, purpose: &str, parts: &[&str], digits: usize) -> String {
        // A key of any length fits.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return String::new() };
        for part in [purpose].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes()[..digits / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_purpose_by_secret_and_by_where_a_text_ends() {
        let (a, b) = (Keys("one".to_owned()), Keys("two".to_owned()));
        assert_eq!(a.person("x"), a.person("x"));
        assert_ne!(a.person("x"), b.person("x"));
        assert_ne!(a.seal(&["ab", "c"]), a.seal(&["a", "bc"]));
        assert_ne!(a.rank("E0001", "x"), a.rank("E0002", "x"));
        assert_eq!((a.person("x").len(), a.seal(&["x"]).len(), a.answer("x", "by", "y").len()), (32, 8, 16));
    }
}
