//! No real person's identity number may stand in a rule, a view or a contract. Made-up ones of the reserved
//! areas 880000 to 889999 may.

use super::Found;
use crate::yaml::Document;

/// Weights of the check digit (GB 11643, MOD 11-2).
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK_DIGITS: [u8; 11] = *b"10X98765432";

/// Whether `text` is 18 characters with a right check digit and an area outside the reserved ones: the
/// number of a real person, perhaps.
pub fn is_real_looking_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 18 || !bytes[..17].iter().all(u8::is_ascii_digit) || text.starts_with("88") {
        return false;
    }
    let sum: u32 = bytes.iter().zip(WEIGHTS).map(|(b, weight)| u32::from(b - b'0') * weight).sum();
    CHECK_DIGITS.get((sum % 11) as usize) == Some(&bytes[17].to_ascii_uppercase())
}

/// The number is not repeated in the message: the place is enough.
pub(super) fn no_real_ids(document: &Document) -> Vec<Found> {
    let text = document.text();
    let mut out = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_ascii_alphanumeric() {
            start.get_or_insert(at);
            continue;
        }
        let Some(from) = start.take() else { continue };
        if is_real_looking_id(&text[from..at]) {
            out.push(
                Found::new(
                    document.place_of(from..at),
                    "像是真实的身份证号",
                    "this looks like a real identity number",
                )
                .help(
                    "示例里写 P1、P2 这样的代号，或用保留地区 880000-889999 的号码",
                    "write tokens such as P1, P2, or a number of the reserved areas 880000-889999",
                ),
            );
        }
    }
    out
}
