//! How many subjects some leads are about, and how many of the leads share theirs with another one. Until money is
//! counted payment by payment, this is what can be said truly beside a sum over several rules: the same payment stands
//! in it once for each rule that flags it. Says nothing of how much money that is.

use std::collections::BTreeMap;

use mingcha_rules::Lang;
use mingcha_rules::rule::SubjectType;
use serde::Serialize;

use crate::book::Lead;
use crate::words::{count, once_per_rule};

/// How far leads are about the same subjects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// Subjects that at least one lead is about.
    pub subjects: u64,
    /// Leads whose subject another lead is about, too.
    pub sharing: u64,
}

impl Sharing {
    /// What stands beside a sum over such leads.
    #[must_use]
    pub fn beside_sum(self, lang: Lang) -> String {
        let (subjects, sharing) = (count(self.subjects), count(self.sharing));
        let note = once_per_rule();
        match lang {
            Lang::Zh => {
                format!("{}涉及 {subjects} 个对象，其中 {sharing} 条线索的对象另有线索。", note.zh)
            }
            Lang::En => {
                format!(
                    "{} Subjects: {subjects}; leads that share theirs with another lead: {sharing}.",
                    note.en
                )
            }
        }
    }
}

/// The same in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subjects(BTreeMap<(&'static str, String), u64>);

impl Subjects {
    pub(crate) fn add(&mut self, lead: &Lead) {
        self.put(lead.subject_type, &lead.subject_id);
    }

    fn put(&mut self, kind: SubjectType, id: &str) {
        *self.0.entry((kind.as_str(), id.to_owned())).or_default() += 1;
    }

    pub(crate) fn sharing(&self) -> Sharing {
        let shared = self.0.values().filter(|leads| **leads > 1);
        Sharing { subjects: self.0.len() as u64, sharing: shared.sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_about_one_subject_share_it_and_an_account_is_no_person() {
        let mut subjects = Subjects::default();
        for (kind, id) in [
            (SubjectType::Person, "a"),
            (SubjectType::Person, "a"),
            (SubjectType::Person, "a"),
            (SubjectType::Person, "b"),
            (SubjectType::Account, "a"),
        ] {
            subjects.put(kind, id);
        }
        assert_eq!(subjects.sharing(), Sharing { subjects: 3, sharing: 3 });
        assert_eq!(Subjects::default().sharing(), Sharing::default());
        let words = subjects.sharing().beside_sum(Lang::En);
        assert!(words.ends_with("Subjects: 3; leads that share theirs with another lead: 3."), "{words}");
    }
}
