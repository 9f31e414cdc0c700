//! Names and seals that only this ledger can make: they hang on its secret, so nobody outside can search a name back,
//! forge a seal, or foresee a draw. Knows no lead and no sheet; texts go in, texts come out.

use std::hash::Hasher;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher24;

use crate::names::alias;
use crate::record::hex;

/// The ledger's secret, for those inside this crate who make names and seals with it.
pub(crate) struct Keys {
    secret: String,
    /// With the secret in it already: to put it there costs as much as a short text.
    keyed: Hmac<Sha256>,
}

impl Keys {
    /// With a ledger's secret, of 64 bytes at most.
    pub(super) fn new(secret: String) -> Self {
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key.iter_mut().zip(secret.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { keyed: Hmac::new(&key), secret }
    }

    /// What a masked list calls a lead.
    pub(crate) fn alias(&self, finding_id: &str) -> String {
        alias(&self.secret, finding_id)
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

    /// Stands for a whole text: who changes it cannot make it anew.
    pub(crate) fn seal(&self, parts: &[&str]) -> String {
        self.mac("mingcha seal 1", parts, 8)
    }

    /// What stands for the locked cells of a list of the export `number`, in its file for `area` (empty: for all).
    pub(crate) fn cells(&self, number: &str, list: &str, area: &str) -> CellSeals {
        let key = self.raw("mingcha cells 1", &[number, list, area]);
        let mut half = [0; 16];
        half.copy_from_slice(&key[..16]);
        CellSeals(SipHasher24::new_with_key(&half))
    }

    /// Stands for an answer that was taken in. The answer itself lies in the lead's history, where it can be destroyed.
    pub(crate) fn answer(&self, about: &str, field: &str, value: &str) -> String {
        self.mac("mingcha answer 1", &[about, field, value], 16)
    }

    fn mac(&self, purpose: &str, parts: &[&str], digits: usize) -> String {
        hex(&self.raw(purpose, parts)[..digits / 2])
    }

    fn raw(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for part in [purpose].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// Seals of the cells of one list. SipHash-2-4 under a key of the list's own: made for just this, many short texts under
/// a secret, and a list has millions of cells.
#[derive(Clone)]
pub(crate) struct CellSeals(SipHasher24);

impl CellSeals {
    /// Signs of one seal: 24 bits. Who guesses one has to hand the file in to learn whether it was right.
    pub(crate) const SIGNS: usize = 4;

    /// Adds the seal of the cell in column `at` of the list's row `nth`.
    pub(crate) fn add(&self, seals: &mut String, nth: u64, at: usize, content: &str) {
        const SIGN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut hasher = self.0;
        hasher.write_u64(nth);
        hasher.write_u64(at as u64);
        hasher.write(content.as_bytes());
        let hash = hasher.finish();
        seals.extend((0..Self::SIGNS).map(|n| char::from(SIGN[(hash >> (6 * n)) as usize % 64])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_purpose_by_secret_and_by_where_a_text_ends() {
        let (a, b) = (Keys::new("one".to_owned()), Keys::new("two".to_owned()));
        assert_eq!(a.person("x"), a.person("x"));
        assert_ne!(a.person("x"), b.person("x"));
        assert_ne!(a.seal(&["ab", "c"]), a.seal(&["a", "bc"]));
        assert_ne!(a.rank("E0001", "x"), a.rank("E0002", "x"));
        assert_eq!((a.person("x").len(), a.seal(&["x"]).len(), a.answer("x", "by", "y").len()), (32, 8, 16));
    }

    #[test]
    fn the_seal_of_a_cell_hangs_on_everything_that_says_which_cell_it_is() {
        let (a, b) = (Keys::new("one".to_owned()), Keys::new("two".to_owned()));
        let seal = |keys: &Keys, (number, list, area), nth, at, content| {
            let mut seal = String::new();
            keys.cells(number, list, area).add(&mut seal, nth, at, content);
            assert_eq!(seal.len(), CellSeals::SIGNS);
            seal
        };
        let all = [
            seal(&a, ("E0001", "findings", ""), 1, 2, "text"),
            seal(&b, ("E0001", "findings", ""), 1, 2, "text"),
            seal(&a, ("E0002", "findings", ""), 1, 2, "text"),
            seal(&a, ("E0001", "evidence", ""), 1, 2, "text"),
            seal(&a, ("E0001", "findings", "880101"), 1, 2, "text"),
            seal(&a, ("E0001", "findings", ""), 2, 1, "text"),
            seal(&a, ("E0001", "findings", ""), 1, 3, "text"),
            seal(&a, ("E0001", "findings", ""), 1, 2, "Text"),
            seal(&a, ("E0001", "findings", ""), 1, 2, ""),
        ];
        assert_eq!(all[0], seal(&a, ("E0001", "findings", ""), 1, 2, "text"));
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
