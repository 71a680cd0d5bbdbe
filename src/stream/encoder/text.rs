//! Texts as numbers: hashed n-grams (Weinberger, Dasgupta, Langford, Smola and Attenberg 2009).
//!
//! Every n-gram of words, and every n-gram of the characters of a word, has a fixed 64-bit hash. Its upper bits name a
//! bucket, its lowest a sign, and the bucket counts it with that sign, so that what two n-grams share by chance cancels
//! out on average. Of a count the square root is taken, its sign kept: the tenth time a word says less than the first. Then all
//! buckets together are brought to the length 1. Nothing is learned here and nothing is kept: a text alone
//! decides its numbers, and nothing about this may ever change, since stored texts are encoded anew and weights rely on
//! it. A missing text, an empty one and one without words are all zeros. Used by the encoder alone.

use super::words::{Case, for_each_word};
use crate::stream::schema::TextFeature;

/// What begins the hash of an n-gram, so that a word and the same characters inside a word are two things.
const WORDS: u8 = 1;
const CHARACTERS: u8 = 2;

/// Stands around a word and between words: no byte of UTF-8.
const EDGE: u8 = 0xFF;

/// Writes a text into the buckets, which are 0 so far.
pub(super) fn encode(feature: &TextFeature, text: &str, buckets: &mut [f32]) {
    let case = if feature.lowercase { Case::Folded } else { Case::Kept };
    let mut counts = vec![0i32; buckets.len()];
    let mut count = |hash: Hash| {
        let (bucket, sign) = hash.place(counts.len());
        counts[bucket] += sign;
    };
    // The last words, each with the hash of the n-gram that began with it.
    let mut open: Vec<Hash> = Vec::new();
    for_each_word(text, case, |word| {
        if let Some([shortest, longest]) = feature.words {
            open.push(Hash::new(WORDS));
            let first = open.len().saturating_sub(longest);
            open.drain(..first);
            let length = open.len();
            for (index, hash) in open.iter_mut().enumerate() {
                *hash = hash.with(word.as_bytes()).with(&[EDGE]);
                if length - index >= shortest {
                    count(*hash);
                }
            }
        }
        if let Some(lengths) = feature.characters {
            for_each_of_characters(word, lengths, &mut count);
        }
    });
    write_scaled(&counts, buckets);
}

/// Every n-gram of a word with its two edges, each of which counts as a character.
fn for_each_of_characters(word: &str, [shortest, longest]: [usize; 2], count: &mut impl FnMut(Hash)) {
    let mut begins: Vec<usize> = word.char_indices().map(|(index, _)| index).collect();
    begins.push(word.len());
    let characters = begins.len() - 1;
    // Character 0 and the last one are the edges.
    for first in 0..characters + 2 {
        let mut hash = Hash::new(CHARACTERS);
        for (length, at) in (first..characters + 2).take(longest).enumerate() {
            hash = match at.checked_sub(1).filter(|&index| index < characters) {
                Some(index) => hash.with(&word.as_bytes()[begins[index]..begins[index + 1]]),
                None => hash.with(&[EDGE]),
            };
            if length + 1 >= shortest {
                count(hash);
            }
        }
    }
}

fn write_scaled(counts: &[i32], buckets: &mut [f32]) {
    // The squares of the roots: sums of whole numbers, exact in any order.
    let square: i64 = counts.iter().map(|&count| i64::from(count.unsigned_abs())).sum();
    if square == 0 {
        return;
    }
    let length = (square as f64).sqrt();
    for (bucket, &count) in buckets.iter_mut().zip(counts) {
        if count != 0 {
            *bucket = (f64::from(count).abs().sqrt() / length).copysign(f64::from(count)) as f32;
        }
    }
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo), stirred at the end by MurmurHash3's finaliser.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn new(kind: u8) -> Self {
        Self(0xCBF2_9CE4_8422_2325).with(&[kind])
    }

    fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)))
    }

    fn stirred(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        hash ^ (hash >> 33)
    }

    /// The bucket of so many, by the upper bits, and the sign, by the lowest.
    fn place(self, buckets: usize) -> (usize, i32) {
        let hash = self.stirred();
        let bucket = (u128::from(hash) * buckets as u128) >> 64;
        (bucket as usize, if hash & 1 == 0 { 1 } else { -1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feature(words: Option<[usize; 2]>, characters: Option<[usize; 2]>) -> TextFeature {
        TextFeature { words, characters, ..TextFeature::default() }
    }

    fn encoded(feature: &TextFeature, text: &str) -> Vec<f32> {
        let mut buckets = vec![0.0; feature.buckets];
        encode(feature, text, &mut buckets);
        buckets
    }

    fn filled(buckets: &[f32]) -> Vec<(usize, f32)> {
        buckets.iter().copied().enumerate().filter(|(_, number)| *number != 0.0).collect()
    }

    #[test]
    fn the_hash_does_not_change() {
        assert_eq!(Hash(0xCBF2_9CE4_8422_2325).with(b"foobar").0, 0x8594_4171_F739_67E8, "FNV-1a as published");
        assert_eq!(Hash(1).stirred(), 0xB456_BCFC_34C2_CB2C, "MurmurHash3's finaliser as published");
    }

    #[test]
    fn one_word_fills_one_bucket() {
        let words = feature(Some([1, 1]), None);
        let free = filled(&encoded(&words, "free"));
        assert_eq!((free.len(), free[0].1.abs()), (1, 1.0));
        assert_eq!(filled(&encoded(&words, "FREE free\tFree")), free, "a length is a length, however often");
        let kept = TextFeature { lowercase: false, ..words };
        assert_ne!(filled(&encoded(&kept, "FREE")), free);
    }

    #[test]
    fn n_grams_are_counted_by_words_and_by_characters() {
        let wide = |words, characters| TextFeature { buckets: 1 << 16, ..feature(words, characters) };
        let count = |feature: &TextFeature, text: &str| filled(&encoded(feature, text)).len();
        assert_eq!(count(&wide(Some([1, 2]), None), "a b c d"), 4 + 3);
        assert_eq!(count(&wide(Some([2, 3]), None), "a b c d"), 3 + 2);
        assert_eq!(count(&wide(Some([3, 3]), None), "a b"), 0);
        // `<ab>` has two pairs beside `ab`'s own, and two triples.
        assert_eq!(count(&wide(None, Some([2, 3])), "ab"), 3 + 2);
        assert_eq!(count(&wide(None, Some([3, 5])), "é"), 1);
        assert_eq!(count(&wide(Some([1, 1]), Some([3, 3])), "é"), 2, "a word and its n-grams are two things");
    }

    #[test]
    fn the_order_of_words_is_told_by_pairs_alone() {
        let single = feature(Some([1, 1]), None);
        assert_eq!(encoded(&single, "dog bites man"), encoded(&single, "man bites dog"));
        let pairs = feature(Some([1, 2]), None);
        assert_ne!(encoded(&pairs, "dog bites man"), encoded(&pairs, "man bites dog"));
    }

    #[test]
    fn what_has_no_words_is_zeros() {
        for text in ["", " \n\t ", "\u{0}"] {
            assert!(filled(&encoded(&TextFeature::default(), text)).is_empty());
        }
    }

    #[test]
    fn buckets_and_signs_are_used_evenly() {
        let mut counts = [0i32; 16];
        let mut signs = 0;
        for number in 0..16_000 {
            let (bucket, sign) = Hash::new(WORDS).with(number.to_string().as_bytes()).with(&[EDGE]).place(16);
            counts[bucket] += 1;
            signs += sign;
        }
        // Five standard deviations of a fair draw.
        assert!(counts.iter().all(|count| (count - 1_000).abs() < 155), "{counts:?}");
        assert!(signs.abs() < 633, "{signs}");
    }

    proptest! {
        #[test]
        fn any_text_has_the_length_or_none(text in ".{0,200}", buckets in 1usize..3_000, lowercase: bool) {
            let feature = TextFeature { buckets, lowercase, ..feature(Some([1, 3]), Some([2, 4])) };
            let numbers = encoded(&feature, &text);
            let length = numbers.iter().map(|&number| f64::from(number).powi(2)).sum::<f64>().sqrt();
            prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-5, "{}", length);
            prop_assert_eq!(&numbers, &encoded(&feature, &text));
        }

        #[test]
        fn counts_do_not_depend_on_what_stands_between_words(words in prop::collection::vec("[a-zà-ž]{1,6}", 0..12)) {
            let feature = feature(Some([1, 2]), Some([3, 5]));
            prop_assert_eq!(encoded(&feature, &words.join(" ")), encoded(&feature, &format!("\n{}\t", words.join("  "))));
        }
    }
}
