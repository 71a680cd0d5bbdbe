//! Points in time as numbers: where they stand in the day, the week, the month and the year, and how far they have come.
//!
//! A part that comes round again is two numbers, the sine and the cosine of its phase, so that the last minute of a day lies
//! beside the first. `trend` is one, the seconds since 1970, standardised and clipped as other numbers are. The last
//! number says that the time is missing. Parts are those of the feature's own wall clock, whatever offset a time came with:
//! the same instant always gives the same numbers. Used by the encoder alone.

use std::f64::consts::TAU;

use crate::stream::moments::{Moments, Spread};
use crate::stream::schema::{TimePart, TimestampFeature};
use crate::stream::timestamp::Timestamp;

use super::state::standardised;

/// Writes a point in time into its columns, which are 0 so far.
pub(super) fn encode(feature: &TimestampFeature, seen: &Moments, at: Timestamp, into: &mut [f32]) {
    let phases = at.phases(feature.offset_minutes);
    let mut columns = into.iter_mut();
    let mut write = |number: f32| {
        if let Some(column) = columns.next() {
            *column = number;
        }
    };
    for part in feature.parts.in_order() {
        let phase = match part {
            TimePart::TimeOfDay => phases.day,
            TimePart::DayOfWeek => phases.week,
            TimePart::DayOfMonth => phases.month,
            TimePart::DayOfYear => phases.year,
            TimePart::Trend => {
                write(match seen.spread() {
                    // A time as it is would be a number of ten digits: before anything was seen there is no trend.
                    Spread::Unknown => 0.0,
                    spread => standardised(at.seconds(), seen.mean, spread),
                });
                continue;
            }
        };
        let (sine, cosine) = (TAU * phase).sin_cos();
        write(sine as f32);
        write(cosine as f32);
    }
}

/// Writes that the time is missing.
pub(super) fn encode_missing(into: &mut [f32]) {
    if let Some(indicator) = into.last_mut() {
        *indicator = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::schema::{FeatureKind, TimeParts};

    fn encoded(parts: &[TimePart], seen: &[f64], text: &str) -> Vec<f32> {
        let feature = TimestampFeature { parts: TimeParts(parts.to_vec()), offset_minutes: 0 };
        let mut moments = Moments::default();
        seen.iter().for_each(|&seconds| moments.observe(seconds));
        let mut into = vec![0.0; FeatureKind::Timestamp(feature.clone()).columns()];
        encode(&feature, &moments, Timestamp::parse(text, 0).unwrap(), &mut into);
        into
    }

    fn near(numbers: &[f32], expected: &[f32]) -> bool {
        numbers.len() == expected.len() && numbers.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn a_part_is_a_point_on_a_circle() {
        let day = |text| encoded(&[TimePart::TimeOfDay], &[], text);
        assert!(near(&day("2024-01-01T00:00:00Z"), &[0.0, 1.0, 0.0]));
        assert!(near(&day("2024-01-01T06:00:00Z"), &[1.0, 0.0, 0.0]));
        assert!(near(&day("2024-07-01T12:00:00Z"), &[0.0, -1.0, 0.0]));
        let week = encoded(&[TimePart::DayOfWeek], &[], "2024-01-04T12:00:00Z");
        assert!(near(&week, &[0.0, -1.0, 0.0]), "noon of a Thursday is half of a week: {week:?}");
    }

    #[test]
    fn parts_stand_in_their_own_order_whatever_the_document_says() {
        let text = "2024-02-11T17:03:09Z";
        let forth = encoded(&TimePart::ALL, &[0.0, 1e9], text);
        let back: Vec<TimePart> = TimePart::ALL.into_iter().rev().collect();
        assert_eq!(encoded(&back, &[0.0, 1e9], text), forth);
        assert_eq!(forth.len(), 10);
    }

    #[test]
    fn the_trend_is_standardised_and_nothing_before_anything_was_seen() {
        let trend = |seen: &[f64], text| encoded(&[TimePart::Trend], seen, text)[0];
        assert_eq!(trend(&[], "2024-01-01"), 0.0);
        assert_eq!(trend(&[0.0, 172_800.0], "1970-01-03"), 1.0);
        assert_eq!(trend(&[0.0, 172_800.0], "9999-01-01"), 10.0);
        assert_eq!(trend(&[86_400.0; 3], "2024-01-01"), 0.0, "what never varied is 0");
    }
}
