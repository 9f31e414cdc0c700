//! Contracts: what a dataset is, field by field. A contract is data, written in
//! `datasets/<name>.yaml`; this module knows its shape and nothing of files, Arrow or SQL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::handler::names_handler;
use crate::text::Text;

/// The agreement with whoever sends a dataset: names, types, keys, freshness.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Name of the dataset, as rules and file stems spell it (`pension_payments`).
    pub name: String,
    /// Title for people.
    pub title: Text,
    /// Further names of the dataset, accepted as file stems and folders like its name and titles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What one row is, and where it comes from.
    pub description: Text,
    /// How a row leads to a person. Absent: the dataset is a reference table without persons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonKey>,
    /// Fields that together tell one row from another. Empty: rows may repeat.
    #[serde(default)]
    pub key: Vec<String>,
    /// Rows that replace each other; adds the SQL column `is_latest` (boolean).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// Days after its extract date when the dataset counts as stale. A rule may ask for less.
    pub max_age_days: u32,
    /// The fields, in the order of the store.
    pub fields: Vec<Field>,
}

/// Where the identity number of a row's person comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum PersonKey {
    /// This field of the row holds it.
    Field(String),
    /// Another dataset knows it, by a field that both share (a card number, say).
    Via(Via),
}

/// The person of a row is found in another dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Via {
    /// The other dataset.
    pub dataset: String,
    /// The field that both datasets have.
    pub on: String,
}

/// Of the rows that agree on `key`, only those with the greatest `by` are the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The field that names the document.
    pub key: String,
    /// The integer field that numbers its versions; absent values count as 0.
    pub by: String,
}

/// One field of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name in the store and in SQL.
    pub name: String,
    /// Title for people; the Chinese one is also an accepted heading.
    pub title: Text,
    /// Type.
    #[serde(rename = "type")]
    pub ty: FieldType,
    /// Whether the column must be there and every row must fill it.
    #[serde(default)]
    pub required: bool,
    /// Further headings that mean this field.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The code table, for `type: code`: code -> meaning.
    #[serde(default)]
    pub codes: BTreeMap<String, CodeMeaning>,
    /// Whether codes outside the table are kept as they are.
    #[serde(default)]
    pub open_codes: bool,
    /// Class of personal data, which decides masking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii: Option<PiiClass>,
    /// What becomes of a row whose value of this field cannot be read.
    #[serde(default)]
    pub on_bad_value: OnBadValue,
    /// More about the field, where its title does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
}

/// Meaning of one code.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeMeaning {
    /// Chinese label; also accepted in place of the code.
    pub zh: String,
    /// English label; also accepted in place of the code.
    pub en: String,
    /// Further spellings that mean this code.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Type of a field: how raw text is read and what the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Resident identity number (GB 11643) or a document of the same structure. Store: text, 18 characters.
    Id,
    /// Free text. Store: text.
    Text,
    /// Text from a code table. Store: text, the code.
    Code,
    /// Calendar day. Store: date.
    Date,
    /// Moment without a zone. Store: timestamp (nanosecond, no zone).
    Datetime,
    /// Month. Store: date, the first day of the month.
    Month,
    /// Yuan. Store: decimal(14, 2).
    Money,
    /// Administrative area code (GB/T 2260, 6 to 12 digits). Store: text.
    Area,
    /// Whole number. Store: 64-bit integer.
    Int,
    /// Number with decimals. Store: decimal(18, 4).
    Decimal,
    /// Yes or no. Store: boolean.
    Bool,
}

/// Class of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PiiClass {
    /// Names a person by itself: identity number, name.
    DirectId,
    /// Narrows a person down: birth date, sex, area, household.
    QuasiId,
    /// Telephone, address.
    Contact,
    /// Bank account.
    Financial,
    /// Diagnosis.
    Health,
    /// Whereabouts.
    Location,
}

/// What becomes of a row with an unreadable value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadValue {
    /// The row goes to the rejects.
    #[default]
    RejectRow,
    /// The row is stored without the value; the value goes to the rejects. For fields no rule decides on.
    DropValue,
}

impl Field {
    /// Whether it names who handled the row.
    #[must_use]
    pub fn names_handler(&self) -> bool {
        names_handler(&self.name)
    }
}

impl Contract {
    /// The fields that name who handled a row.
    pub fn handlers(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| f.names_handler())
    }

    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The field that holds the person's identity number in the row itself.
    pub fn id_field(&self) -> Option<&Field> {
        match &self.person {
            Some(PersonKey::Field(name)) => self.field(name),
            _ => None,
        }
    }
}
