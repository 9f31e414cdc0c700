//! The gate for numbers by which rows are brought together: accounts, cards, certificates, households, telephones. A
//! value that many strangers have (a number that a spreadsheet has rounded, noughts, "cash") would make one person of
//! them. Decides about one text of one field, whatever file it came from; identity numbers have a gate of their own.

use std::borrow::Cow;

use mingcha_rules::contract::PiiClass;
use mingcha_rules::{Contract, Field, FieldType, PersonKey};
use unicode_normalization::UnicodeNormalization;

/// Reason code: the number became scientific notation.
pub(crate) const SCIENTIFIC: &str = "number_scientific";
/// Reason code: no number, but what is written where there is none.
pub(crate) const NO_NUMBER: &str = "no_number";
/// Reason code: the number is, or was, stored as a number.
pub(crate) const STORED_AS_NUMBER: &str = "stored_as_number";

/// Digits that survive a spreadsheet.
const SAFE_DIGITS: usize = 15;
/// From so many digits on the noughts that a spreadsheet leaves are too many for chance.
const LONG: usize = 18;
/// No account is shorter.
const SHORTEST_ACCOUNT: usize = 5;
/// So many X in a row hide digits.
const MASK: usize = 3;

/// What a field tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Accounts: money goes there.
    Account,
    /// Everything else.
    Other,
}

/// What a field tells apart; `None`: nothing. Accounts are known by their class of personal data, other numbers by
/// their name: the contracts call the same thing the same everywhere (`card_no`, `household_no`).
pub(crate) fn kind(field: &Field) -> Option<Kind> {
    if field.ty != FieldType::Text {
        return None;
    }
    let phone = || ["phone", "mobile", "tel"].iter().any(|word| field.name.contains(word));
    match field.pii {
        Some(PiiClass::Financial) => Some(Kind::Account),
        Some(PiiClass::Contact) if phone() => Some(Kind::Other),
        _ => field.name.ends_with("_no").then_some(Kind::Other),
    }
}

/// Whether a row says something without this field: then only the value goes when it is bad, never a payment with it.
pub(crate) fn is_spare(contract: &Contract, field: &Field) -> bool {
    let link = matches!(&contract.person, Some(PersonKey::Via(via)) if via.on == field.name);
    let version = contract.versions.as_ref().is_some_and(|v| v.key == field.name || v.by == field.name);
    !field.required && !link && !version && !contract.key.contains(&field.name)
}

/// The number that a text (without blanks around it) holds.
///
/// # Errors
/// The reason for which it is none.
pub(crate) fn number(kind: Kind, text: &str) -> Result<&str, &'static str> {
    let bytes = text.as_bytes();
    if bytes.iter().all(u8::is_ascii_digit) {
        return if plain(kind, bytes) { Ok(text) } else { Err(NO_NUMBER) };
    }
    let half: Cow<'_, str> =
        if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfkc().collect()) };
    if is_scientific(kind, &half) {
        return Err(SCIENTIFIC);
    }
    if let Some((whole, rest)) = text.split_once('.')
        && !rest.is_empty()
        && rest.bytes().all(|b| b == b'0')
        && !whole.is_empty()
        && whole.bytes().all(|b| b.is_ascii_digit())
    {
        return match kind {
            _ if !plain(kind, whole.as_bytes()) => Err(NO_NUMBER),
            Kind::Other if whole.len() <= SAFE_DIGITS => Ok(whole),
            _ => Err(STORED_AS_NUMBER),
        };
    }
    let digits: Vec<u8> = half.bytes().filter(u8::is_ascii_digit).collect();
    let hidden = half.contains(['*', '•', '●', '█', '×'])
        || half.as_bytes().windows(MASK).any(|run| run.iter().all(|b| matches!(b, b'X' | b'x')));
    let letters = half.chars().any(char::is_alphabetic);
    let good = match kind {
        _ if hidden || digits.is_empty() => false,
        // An account has the letters of a bank; words stand where there is none (`见附件1`).
        Kind::Account => {
            let word = half.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
            !word && !half.contains(['#', '?']) && plain(kind, &digits)
        }
        Kind::Other => letters || plain(kind, &digits),
    };
    if good { Ok(text) } else { Err(NO_NUMBER) }
}

/// Whether digits alone can be a number that somebody has.
fn plain(kind: Kind, digits: &[u8]) -> bool {
    let Some(first) = digits.first() else { return false };
    let one_digit = digits.iter().all(|b| b == first);
    match kind {
        _ if one_digit && *first == b'0' => false,
        Kind::Account => digits.len() >= SHORTEST_ACCOUNT && !one_digit && !counted(digits),
        Kind::Other => true,
    }
}

/// `123456`, `1234567890`: what is typed where something must stand.
fn counted(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| pair[1] == if pair[0] == b'9' { b'0' } else { pair[0] + 1 })
}

/// Whether a number is so long that a spreadsheet would have cut it, and then whether it looks cut: nothing but noughts
/// from the sixteenth digit on. Of true numbers with eighteen digits one in a thousand does.
pub(crate) fn cut(text: &str) -> Option<bool> {
    let bytes = text.as_bytes();
    (bytes.len() >= LONG && bytes.iter().all(u8::is_ascii_digit))
        .then(|| bytes[SAFE_DIGITS..].iter().all(|b| *b == b'0'))
}

/// `6.20088E+18`, `6E18`. A number of a household may be `12E05`: there it takes a sign or a point as well.
fn is_scientific(kind: Kind, text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let (power, signed) = match exponent.strip_prefix(['+', '-']) {
        Some(power) => (power, true),
        None => (exponent, false),
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    all_digits(power)
        && power.len() <= 3
        && all_digits(whole)
        && fraction.is_none_or(all_digits)
        && (kind == Kind::Account || signed || fraction.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_strangers_have_is_no_account() {
        for (text, reason) in [
            ("6.20088E+18", SCIENTIFIC),
            ("6.20088e18", SCIENTIFIC),
            ("6E+18", SCIENTIFIC),
            ("６.２Ｅ＋１８", SCIENTIFIC),
            ("0", NO_NUMBER),
            ("0000000000000000000", NO_NUMBER),
            ("0.00", NO_NUMBER),
            ("0000-0000", NO_NUMBER),
            ("００００００", NO_NUMBER),
            ("现金", NO_NUMBER),
            ("待录入", NO_NUMBER),
            ("***", NO_NUMBER),
            ("6200********0308", NO_NUMBER),
            ("########", NO_NUMBER),
            ("1", NO_NUMBER),
            ("9999999999999999", NO_NUMBER),
            ("88888", NO_NUMBER),
            ("1111111", NO_NUMBER),
            ("123456", NO_NUMBER),
            ("12345678901234567890", NO_NUMBER),
            ("6217XXXXXXXX0308", NO_NUMBER),
            ("6217xxxxxxxx0308", NO_NUMBER),
            ("6217ＸＸＸＸＸＸＸＸ0308", NO_NUMBER),
            ("账号1", NO_NUMBER),
            ("见附件1", NO_NUMBER),
            ("A1", NO_NUMBER),
            ("6200880100000031.0", STORED_AS_NUMBER),
        ] {
            assert_eq!(number(Kind::Account, text), Err(reason), "{text}");
        }
        for text in [
            "6200880100000308",
            "62008801 0000 0308",
            "0100000000000308",
            "6200000001",
            "NRA6200880100000308",
            "12345678902",
            "8800X100000308",
        ] {
            assert_eq!(number(Kind::Account, text), Ok(text));
        }
    }

    #[test]
    fn only_a_long_number_can_look_cut() {
        for (text, looks) in [
            ("6200880100000000000", Some(true)),
            ("620088010000000000", Some(true)),
            ("6200880100000010000", Some(true)),
            ("6200880100000000308", Some(false)),
            ("62008801000000000", None),
            ("NRA6200880100000000000", None),
        ] {
            assert_eq!(cut(text), looks, "{text}");
        }
    }

    #[test]
    fn households_and_cards_may_have_letters_but_need_a_digit() {
        for text in ["H88010001", "12E05", "3#201", "1", "00012345", "88E12"] {
            assert_eq!(number(Kind::Other, text), Ok(text));
        }
        assert_eq!(number(Kind::Other, "12345.0"), Ok("12345"));
        for (text, reason) in [
            ("1.2E+06", SCIENTIFIC),
            ("1.2E6", SCIENTIFIC),
            ("12E+05", SCIENTIFIC),
            ("00000000", NO_NUMBER),
            ("集体户", NO_NUMBER),
            ("8800****", NO_NUMBER),
            ("8801××××", NO_NUMBER),
            ("8801XXXX", NO_NUMBER),
            ("6200880100000031.0", STORED_AS_NUMBER),
        ] {
            assert_eq!(number(Kind::Other, text), Err(reason), "{text}");
        }
    }
}
