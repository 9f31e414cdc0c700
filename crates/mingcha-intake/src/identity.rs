//! Identity numbers: GB 11643 and the documents of the same structure, from raw text to one canonical form of
//! 18 characters. Nothing is ever repaired by guessing: a number that fails a check stays unmatched.
//! Knows no file, no row and no dataset.
//!
//! The county part is checked against the historical list (5,893 codes since 1980, from the crate `id-card`,
//! asked at build time). A county outside the list is only a remark, because a list can be short; a province
//! that never existed is a fault. The codes 880000 to 889999 were never issued and are kept for invented
//! people: the synthetic city, the examples of rules, tests.

use std::borrow::Cow;
use std::fmt;

use chrono::{Datelike, NaiveDate};
use unicode_normalization::UnicodeNormalization;

/// One bit for each six-digit code.
static COUNTY_CODES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/county_codes.bits"));

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK: &[u8; 11] = b"10X98765432";
/// The first two digits that were ever issued on the mainland, and the three of the residence permits.
const PROVINCES: [u8; 36] = [
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
    61, 62, 63, 64, 65, 71, 81, 82, 83, 88,
];
const FIRST_YEAR: u16 = 1800;
const LAST_YEAR: u16 = 2199;

/// A number that passed every check, in its canonical form: 18 ASCII characters, `X` upper-case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    number: [u8; 18],
    raw_length: u8,
}

/// The kind of document a number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdKind {
    /// Resident of the mainland.
    Resident,
    /// Foreigner with permanent residence (leading 9).
    ForeignPermanent,
    /// Resident of Hong Kong, Macao or Taiwan with a residence permit (81, 82, 83 0000).
    HkMoTw,
    /// Invented (880000 to 889999).
    Reserved,
}

impl IdKind {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::ForeignPermanent => "foreign_permanent",
            Self::HkMoTw => "hk_mo_tw",
            Self::Reserved => "reserved",
        }
    }
}

/// Why a text is no identity number. The first check that fails counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdFault {
    /// Neither 15 nor 18 characters.
    Length,
    /// A character that cannot stand there.
    Characters,
    /// Scientific notation: a spreadsheet has destroyed it.
    Scientific,
    /// No such day, or a day after the extract.
    BirthDate,
    /// The check digit fails and the tail is `000`: a spreadsheet kept 15 digits.
    Tail000,
    /// The check digit fails.
    CheckDigit,
    /// The province never existed.
    Area,
}

impl IdFault {
    /// The reason code in the rejects table.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Length => "id_length",
            Self::Characters => "id_characters",
            Self::Scientific => "id_scientific",
            Self::BirthDate => "id_birth_date",
            Self::Tail000 => "id_tail_000",
            Self::CheckDigit => "id_check_digit",
            Self::Area => "id_area_unknown",
        }
    }
}

impl fmt::Display for IdFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "wanted 15 or 18 characters",
            Self::Characters => "wanted digits, and X at most in the last place",
            Self::Scientific => "wanted digits, got scientific notation",
            Self::BirthDate => "the birth date is no possible day",
            Self::Tail000 => "the check digit fails and the tail is 000",
            Self::CheckDigit => "the check digit fails",
            Self::Area => "the province never existed",
        })
    }
}

impl std::error::Error for IdFault {}

impl Identity {
    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits and X ever get in.
        std::str::from_utf8(&self.number).unwrap_or_default()
    }

    /// The number as an integer that sorts like the text: 17 digits, times 16, plus the check value.
    pub fn code(&self) -> u64 {
        let body = self.number[..17].iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
        let check = match self.number[17] {
            b'X' => 10,
            digit => u64::from(digit - b'0'),
        };
        body * 16 + check
    }

    /// The number back from [`Identity::code`]. `None` when the integer is no such code.
    pub fn from_code(code: u64) -> Option<Self> {
        let (mut body, check) = (code / 16, code % 16);
        if body >= 100_000_000_000_000_000 || check > 10 {
            return None;
        }
        let mut number = [b'0'; 18];
        for place in number[..17].iter_mut().rev() {
            *place = b'0' + (body % 10) as u8;
            body /= 10;
        }
        number[17] = if check == 10 { b'X' } else { b'0' + check as u8 };
        Some(Self { number, raw_length: 18 })
    }

    /// Length of the raw number: 15 or 18.
    pub fn raw_length(&self) -> u8 {
        self.raw_length
    }

    /// The kind of document.
    pub fn kind(&self) -> IdKind {
        match (self.number[0], self.number[1]) {
            (b'9', _) => IdKind::ForeignPermanent,
            (b'8', b'8') => IdKind::Reserved,
            (b'8', b'1'..=b'3') => IdKind::HkMoTw,
            _ => IdKind::Resident,
        }
    }

    /// The birth date.
    pub fn birth_date(&self) -> NaiveDate {
        let (year, month, day) = self.birth();
        NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day)).unwrap_or_default()
    }

    /// Sex after GB/T 2261.1: `1` male, `2` female.
    pub fn sex(&self) -> &'static str {
        if self.number[16] % 2 == 1 { "1" } else { "2" }
    }

    /// The area of first registration: six digits, never the present address.
    pub fn area_code(&self) -> &str {
        std::str::from_utf8(&self.number[..6]).unwrap_or_default()
    }

    /// Whether the county is on the historical list. Documents that are not issued by counties are known.
    pub fn area_known(&self) -> bool {
        match self.kind() {
            IdKind::Resident => {
                let code = digits(&self.number[..6]) as usize;
                COUNTY_CODES.get(code / 8).is_some_and(|byte| byte & (1 << (code % 8)) != 0)
            }
            IdKind::HkMoTw => &self.number[2..6] == b"0000",
            IdKind::ForeignPermanent | IdKind::Reserved => true,
        }
    }

    /// Whether the number ends in `000`, as numbers do that a spreadsheet has cut to 15 digits.
    pub fn ends_in_000(&self) -> bool {
        &self.number[15..] == b"000"
    }

    fn birth(&self) -> (u16, u8, u8) {
        let n = &self.number;
        (digits(&n[6..10]) as u16, digits(&n[10..12]) as u8, digits(&n[12..14]) as u8)
    }
}

impl fmt::Debug for Identity {
    /// Numbers stay out of logs: only the kind is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.kind().as_str())
    }
}

/// Reads a raw number: trims it, turns full-width into plain characters, removes zero-width characters, a
/// leading apostrophe and a spreadsheet's `="…"`, lifts 15 characters to 18, and checks everything.
///
/// # Errors
/// The first check that fails.
pub fn normalise(raw: &str) -> Result<Identity, IdFault> {
    if let Ok(bytes) = <&[u8; 18]>::try_from(raw.as_bytes())
        && bytes[..17].iter().all(u8::is_ascii_digit)
    {
        return checked(bytes);
    }
    normalise_slowly(raw)
}

/// Makes a number with the right check digit, for invented people.
///
/// `area` is six digits (880000 to 889999 are kept for this); `sequence` is taken modulo 1000, odd for men.
/// Anything in `area` that is not a digit counts as 0.
pub fn make(area: &str, birth: NaiveDate, sequence: u16) -> String {
    let mut number = [b'0'; 18];
    for (place, b) in number[..6].iter_mut().zip(area.bytes()) {
        *place = if b.is_ascii_digit() { b } else { b'0' };
    }
    let year = birth.year().clamp(0, 9999) as u32;
    let body =
        u64::from(year * 10_000 + birth.month() * 100 + birth.day()) * 1000 + u64::from(sequence % 1000);
    let mut rest = body;
    for place in number[6..17].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    number[17] = check_character(&number);
    String::from_utf8_lossy(&number).into_owned()
}

fn normalise_slowly(raw: &str) -> Result<Identity, IdFault> {
    let text = plain(raw);
    let bytes = text.as_bytes();
    if is_scientific(bytes) {
        return Err(IdFault::Scientific);
    }
    match bytes.len() {
        18 => {
            let bytes = <&[u8; 18]>::try_from(bytes).map_err(|_| IdFault::Length)?;
            checked(bytes)
        }
        15 => lifted(bytes),
        _ if !text.is_ascii() && matches!(text.chars().count(), 15 | 18) => Err(IdFault::Characters),
        _ => Err(IdFault::Length),
    }
}

/// 15 characters to 18. People of a hundred years and more had the sequences 996 to 999.
fn lifted(bytes: &[u8]) -> Result<Identity, IdFault> {
    if !bytes.iter().all(u8::is_ascii_digit) {
        return Err(IdFault::Characters);
    }
    let mut number = [b'0'; 18];
    number[..6].copy_from_slice(&bytes[..6]);
    number[6..8].copy_from_slice(if digits(&bytes[12..]) >= 996 { b"18" } else { b"19" });
    number[8..17].copy_from_slice(&bytes[6..]);
    number[17] = check_character(&number);
    let mut identity = checked(&number)?;
    identity.raw_length = 15;
    Ok(identity)
}

fn checked(bytes: &[u8; 18]) -> Result<Identity, IdFault> {
    if !bytes[..17].iter().all(u8::is_ascii_digit) {
        return Err(IdFault::Characters);
    }
    let mut number = *bytes;
    number[17] = match bytes[17] {
        b'x' | b'X' => b'X',
        digit if digit.is_ascii_digit() => digit,
        _ => return Err(IdFault::Characters),
    };
    let identity = Identity { number, raw_length: 18 };
    let (year, month, day) = identity.birth();
    if !is_day(year, month, day) {
        return Err(IdFault::BirthDate);
    }
    if check_character(&number) != number[17] {
        return Err(if identity.ends_in_000() { IdFault::Tail000 } else { IdFault::CheckDigit });
    }
    if !province_existed(&number) {
        return Err(IdFault::Area);
    }
    Ok(identity)
}

/// A foreigner's number has the province of the first application after the 9.
fn province_existed(number: &[u8; 18]) -> bool {
    let province = if number[0] == b'9' { &number[1..3] } else { &number[..2] };
    PROVINCES.contains(&(digits(province) as u8))
}

fn check_character(number: &[u8; 18]) -> u8 {
    let sum: u32 = number.iter().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    CHECK[(sum % 11) as usize]
}

fn is_day(year: u16, month: u8, day: u8) -> bool {
    if !(FIRST_YEAR..=LAST_YEAR).contains(&year) || day == 0 {
        return false;
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    day <= days
}

fn digits(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0'))
}

/// The text without what copying and exporting adds to it.
fn plain(raw: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(crate::parse::bare(raw));
    if !text.is_ascii() {
        text = Cow::Owned(text.nfkc().filter(|c| !crate::parse::is_invisible(*c)).collect());
    }
    if text.bytes().any(|b| b == b'\t' || b == b' ' || b == b'\'') {
        text = Cow::Owned(text.trim_matches(|c: char| c.is_whitespace() || c == '\'').to_owned());
    }
    text
}

/// `1.10105E+17` and the like.
fn is_scientific(bytes: &[u8]) -> bool {
    let Some(e) = bytes.iter().position(|b| matches!(b, b'e' | b'E')) else { return false };
    let (mantissa, exponent) = (&bytes[..e], &bytes[e + 1..]);
    let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
    !mantissa.is_empty()
        && mantissa.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && !exponent.is_empty()
        && exponent.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(y: i32, m: u32, d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(y, m, d).unwrap()
    }

    #[test]
    fn the_published_samples_hold() {
        for number in ["11010519491231002X", "440524188001010014"] {
            assert_eq!(normalise(number).unwrap().as_str(), number);
        }
        assert_eq!(normalise("34052419800101001X").unwrap().as_str(), "34052419800101001X");
        assert_eq!(normalise("440524188001010014").unwrap().birth_date(), day(1880, 1, 1));
    }

    #[test]
    fn the_accessors_read_the_parts() {
        let id = normalise("11010519491231002X").unwrap();
        assert_eq!((id.area_code(), id.sex(), id.kind()), ("110105", "2", IdKind::Resident));
        assert_eq!(id.birth_date(), day(1949, 12, 31));
        assert!(id.area_known());
    }

    #[test]
    fn fifteen_characters_are_lifted_and_centenarians_get_the_eighteenth_hundred() {
        let id = normalise("110105491231002").unwrap();
        assert_eq!((id.as_str(), id.raw_length()), ("11010519491231002X", 15));
        for sequence in 996..=999 {
            let id = normalise(&format!("110105801231{sequence}")).unwrap();
            assert_eq!(id.birth_date(), day(1880, 12, 31));
        }
        assert_eq!(normalise("110105801231995").unwrap().birth_date(), day(1980, 12, 31));
    }

    #[test]
    fn every_fault_has_its_reason() {
        for (raw, fault) in [
            ("1101051949123100", IdFault::Length),
            ("", IdFault::Length),
            ("11010519491231002", IdFault::Length),
            ("1101051949123100AX", IdFault::Characters),
            ("11010519491231002Y", IdFault::Characters),
            ("11010549123100X", IdFault::Characters),
            ("1.10105E+17", IdFault::Scientific),
            ("1.10105194912310e17", IdFault::Scientific),
            ("11010519490231002X", IdFault::BirthDate),
            ("11010517991231002X", IdFault::BirthDate),
            ("110105190002290021", IdFault::BirthDate),
            ("110105194912310000", IdFault::Tail000),
            ("110105194912310021", IdFault::CheckDigit),
        ] {
            assert_eq!(normalise(raw), Err(fault), "{raw}");
        }
        assert_eq!(normalise(&make("990105", day(1949, 12, 31), 2)), Err(IdFault::Area));
        assert_eq!(normalise(&make("010105", day(1949, 12, 31), 2)), Err(IdFault::Area));
    }

    #[test]
    fn other_documents_of_the_same_structure_are_read() {
        for (area, kind) in [
            ("810000", IdKind::HkMoTw),
            ("820000", IdKind::HkMoTw),
            ("830000", IdKind::HkMoTw),
            ("911840", IdKind::ForeignPermanent),
            ("880101", IdKind::Reserved),
        ] {
            let id = normalise(&make(area, day(1985, 5, 5), 123)).unwrap();
            assert_eq!(id.kind(), kind);
            assert!(id.area_known(), "{area}");
        }
    }

    #[test]
    fn retired_counties_are_known_and_unheard_of_ones_are_not() {
        for area in ["513022", "511722", "222426", "310226", "110103"] {
            assert!(normalise(&make(area, day(1950, 1, 1), 1)).unwrap().area_known(), "{area}");
        }
        assert!(!normalise(&make("110999", day(1950, 1, 1), 1)).unwrap().area_known());
        assert!(!normalise(&make("810001", day(1950, 1, 1), 1)).unwrap().area_known());
    }

    #[test]
    fn a_debug_text_never_shows_the_number() {
        let id = normalise("11010519491231002X").unwrap();
        assert!(!format!("{id:?}").contains("1949"));
    }

    fn numbers() -> impl Strategy<Value = String> {
        (880_000u32..890_000, 1800i32..2100, 1u32..=366, 0u16..1000)
            .prop_filter_map("no such day", |(a, y, d, s)| {
                Some(make(&a.to_string(), NaiveDate::from_yo_opt(y, d)?, s))
            })
    }

    /// Every way the exports of this country dress a number up.
    fn dressed(number: &str, how: usize) -> String {
        match how {
            0 => format!("  {number} "),
            1 => format!("'{number}"),
            2 => format!("\u{feff}{number}\u{200b}"),
            3 => number
                .chars()
                .map(|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).unwrap() } else { c })
                .collect(),
            4 => number.to_lowercase(),
            5 => format!("=\"{number}\""),
            6 => format!("\u{3000}{number}\t"),
            7 => format!("{}\u{200b}{}", &number[..6], &number[6..]),
            8 => format!("\u{2018}{number}"),
            _ => format!("\u{a0}'{number}\u{a0}"),
        }
    }

    proptest! {
        #[test]
        fn a_made_number_reads_back(number in numbers()) {
            let id = normalise(&number).unwrap();
            prop_assert_eq!(id.as_str(), number.as_str());
            let back = Identity::from_code(id.code()).unwrap();
            prop_assert_eq!(back.as_str(), number.as_str());
        }

        #[test]
        fn codes_sort_like_the_text(a in numbers(), b in numbers()) {
            let (x, y) = (normalise(&a).unwrap(), normalise(&b).unwrap());
            prop_assert_eq!(x.code().cmp(&y.code()), a.cmp(&b));
        }

        #[test]
        fn every_wrong_digit_is_caught(number in numbers(), place in 0usize..18, by in 1u8..10) {
            let mut bytes = number.clone().into_bytes();
            let old = if bytes[place] == b'X' { 10 } else { bytes[place] - b'0' };
            let new = (old + by) % 10;
            prop_assume!(new != old);
            bytes[place] = b'0' + new;
            prop_assert!(normalise(std::str::from_utf8(&bytes).unwrap()).is_err());
        }

        #[test]
        fn every_swap_of_neighbours_is_caught(number in numbers(), place in 0usize..17) {
            let mut bytes = number.clone().into_bytes();
            prop_assume!(bytes[place] != bytes[place + 1]);
            bytes.swap(place, place + 1);
            prop_assert!(normalise(std::str::from_utf8(&bytes).unwrap()).is_err());
        }

        #[test]
        fn dirt_does_not_change_the_number(number in numbers(), how in 0usize..10) {
            let read = normalise(&dressed(&number, how));
            prop_assert_eq!(read.map(|id| id.as_str().to_owned()), Ok(number));
        }

        #[test]
        fn fifteen_and_eighteen_meet(number in numbers()) {
            let sequence: u16 = number[14..17].parse().unwrap();
            let century = &number[6..8];
            prop_assume!((century == "19" && sequence < 996) || (century == "18" && sequence >= 996));
            let short = format!("{}{}", &number[..6], &number[8..17]);
            let id = normalise(&short).unwrap();
            prop_assert_eq!((id.as_str(), id.raw_length()), (number.as_str(), 15));
        }

        #[test]
        fn any_text_is_answered(raw in ".{0,24}") {
            if let Ok(id) = normalise(&raw) {
                prop_assert_eq!(id.as_str().len(), 18);
            }
        }
    }
}
