//! From a text to its words: which characters make a word, and which stand for the same.
//!
//! The rules are fixed here, by ranges of code points, and never follow a table that is brought up to date: a version
//! encodes a text tomorrow as it does today, whatever built the program. White space and control characters part words.
//! Letters, digits, marks and whatever else is not named below run together. Ideographs and kana are words by
//! themselves, since no space parts them, and so is every punctuation mark and symbol: they tell something too. Used by
//! the encoder of texts.

use std::ops::RangeInclusive;

/// What a character does in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It parts words.
    Space,
    /// It is a word.
    Alone,
    /// It runs together with its neighbours.
    Letter,
}

/// White space and control characters beyond ASCII.
const SPACES: [RangeInclusive<u32>; 8] = [
    0x80..=0xA0,
    0xAD..=0xAD,
    0x1680..=0x1680,
    0x2000..=0x200B,
    0x200E..=0x200F,
    0x2028..=0x202F,
    0x205F..=0x206F,
    0x3000..=0x3000,
];

/// Punctuation, symbols, ideographs, kana and pictures, in order. What lies between runs together.
const ALONE: [RangeInclusive<u32>; 26] = [
    0xA1..=0xA9,
    0xAB..=0xAC,
    0xAE..=0xB4,
    0xB6..=0xB9,
    0xBB..=0xBF,
    0xD7..=0xD7,
    0xF7..=0xF7,
    0x055A..=0x055F,
    0x060C..=0x060C,
    0x061B..=0x061F,
    0x066A..=0x066D,
    0x0964..=0x0965,
    0x2010..=0x2027,
    0x2030..=0x205E,
    0x20A0..=0x20CF,
    0x2190..=0x2BFF,
    0x2E00..=0x2E7F,
    0x3001..=0x303F,
    0x3040..=0x30FF,
    0x31F0..=0x31FF,
    0x3400..=0x9FFF,
    0xF900..=0xFAFF,
    0xFE10..=0xFE1F,
    0xFE30..=0xFE6F,
    0x1F000..=0x1FAFF,
    0x20000..=0x3FFFF,
];

/// Full-width forms that are punctuation.
const FULL_WIDTH: [RangeInclusive<u32>; 5] =
    [0xFF00..=0xFF0F, 0xFF1A..=0xFF20, 0xFF3B..=0xFF40, 0xFF5B..=0xFF65, 0xFFE0..=0xFFEF];

/// Whether capital letters stand for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Kept,
    /// Capital letters of Latin, Greek, Cyrillic and Armenian stand for small ones.
    Folded,
}

/// Calls back with every word of a text, in order, as UTF-8.
pub(super) fn for_each_word(text: &str, case: Case, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut buffer = [0; 4];
    for character in text.chars() {
        let character = if case == Case::Folded { fold(character) } else { character };
        match role(character) {
            Role::Letter => {
                word.push(character);
                continue;
            }
            role => {
                if !word.is_empty() {
                    each(&word);
                    word.clear();
                }
                if role == Role::Alone {
                    each(character.encode_utf8(&mut buffer));
                }
            }
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

fn role(character: char) -> Role {
    let code = u32::from(character);
    let within = |ranges: &[RangeInclusive<u32>]| ranges.iter().any(|range| range.contains(&code));
    if code < 0x80 {
        return match character {
            '0'..='9' | 'A'..='Z' | 'a'..='z' => Role::Letter,
            '!'..='~' => Role::Alone,
            _ => Role::Space,
        };
    }
    if within(&SPACES) {
        Role::Space
    } else if within(&ALONE) || within(&FULL_WIDTH) {
        Role::Alone
    } else {
        Role::Letter
    }
}

/// The small letter of a capital one. `ς` is the `σ` that ends a word, and `İ` has no other single small letter than `i`.
fn fold(character: char) -> char {
    let code = u32::from(character);
    let is_even = code.is_multiple_of(2);
    let by = match code {
        0x41..=0x5A => 32,
        // Nothing below this is a capital letter: most characters end here.
        ..0xC0 => 0,
        0xD7 => 0,
        0xC0..=0xDE => 32,
        0x130 => return 'i',
        0x100..=0x137 | 0x14A..=0x177 if is_even => 1,
        0x139..=0x148 | 0x179..=0x17E if !is_even => 1,
        0x178 => return 'ÿ',
        0x386 => return 'ά',
        0x388..=0x38A => 37,
        0x38C => return 'ό',
        0x38E..=0x38F => 63,
        0x391..=0x3A1 | 0x3A3..=0x3AB => 32,
        0x3C2 => 1,
        0x400..=0x40F => 80,
        0x410..=0x42F => 32,
        0x460..=0x481 | 0x48A..=0x4BF | 0x4D0..=0x52F if is_even => 1,
        0x4C0 => 15,
        0x4C1..=0x4CE if !is_even => 1,
        0x531..=0x556 => 48,
        0x1E00..=0x1E95 | 0x1EA0..=0x1EFF if is_even => 1,
        0xFF21..=0xFF3A => 32,
        _ => 0,
    };
    char::from_u32(code + by).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, case: Case) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, case, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn a_text_is_parted_as_people_read_it() {
        for (text, expected) in [
            ("", vec![]),
            (" \t\n\u{0}\u{a0}\u{2003}", vec![]),
            ("Win £100 NOW!!", vec!["win", "£", "100", "now", "!", "!"]),
            ("don't", vec!["don", "'", "t"]),
            ("Ärger in Ελλάδα", vec!["ärger", "in", "ελλάδα"]),
            ("ПРИВЕТ, мир…", vec!["привет", ",", "мир", "…"]),
            ("東京タワー へ", vec!["東", "京", "タ", "ワ", "ー", "へ"]),
            ("नमस्ते। สวัสดี", vec!["नमस्ते", "।", "สวัสดี"]),
            ("ok👍👍🏽", vec!["ok", "👍", "👍", "🏽"]),
            ("ＡＢＣ！", vec!["ａｂｃ", "！"]),
            ("e\u{301}te\u{301}", vec!["e\u{301}te\u{301}"]),
        ] {
            assert_eq!(words(text, Case::Folded), expected, "{text}");
        }
        assert_eq!(words("Win NOW", Case::Kept), ["Win", "NOW"]);
    }

    #[test]
    fn ranges_stand_in_order_and_never_overlap() {
        for ranges in [&SPACES[..], &ALONE, &FULL_WIDTH] {
            assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        }
        let alone = ALONE.iter().chain(&FULL_WIDTH);
        let overlaps = |alone: &RangeInclusive<u32>| {
            SPACES.iter().any(|space| space.start() <= alone.end() && alone.start() <= space.end())
        };
        assert!(!alone.clone().any(overlaps));
    }

    #[test]
    fn a_capital_letter_stands_for_what_unicode_says() {
        for code in 0..=0x10_FFFF {
            let Some(character) = char::from_u32(code) else { continue };
            let folded = fold(character);
            assert_eq!(fold(folded), folded, "folding once is enough: U+{code:04X}");
            if folded == character || matches!(character, 'ς' | 'İ') {
                continue;
            }
            let mut lower = character.to_lowercase();
            assert_eq!((lower.next(), lower.next()), (Some(folded), None), "U+{code:04X}");
        }
        for character in "ÀÖØÞĀĶĹŇŊŶŸŹŽΆΈΌΎΏΑΡΣΫЀЏАЯѠҀҊҾӀӁӍӐԮԱՖẀẔẠỸＡＺ".chars()
        {
            assert_ne!(fold(character), character, "{character}");
        }
    }

    #[test]
    fn no_letter_or_digit_of_a_common_script_stands_alone() {
        for text in ["azAZ09", "ªµºÀöøÿ", "Ωω", "Жж", "אב", "عربي", "हिन्दी", "ไทย", "한국어", "ქართული", "አማርኛ"]
        {
            assert_eq!(words(text, Case::Kept), [text]);
        }
    }
}
