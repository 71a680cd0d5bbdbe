//! What the encoder promises.

mod growth;

use proptest::prelude::*;

use super::*;
use crate::stream::example::Pixels;
use crate::stream::schema::{Feature, TextFeature, TimePart, TimeParts, TimestampFeature};
use crate::stream::timestamp::Timestamp;

fn schema(kinds: Vec<FeatureKind>) -> Schema {
    let feature = |(index, kind)| Feature::new(format!("f{index}"), kind);
    Schema { features: kinds.into_iter().enumerate().map(feature).collect() }
}

fn categorical(max_categories: usize) -> FeatureKind {
    FeatureKind::Categorical { max_categories }
}

fn text(buckets: usize) -> FeatureKind {
    FeatureKind::Text(TextFeature { buckets, characters: Some([2, 3]), ..TextFeature::default() })
}

fn timestamp(parts: &[TimePart]) -> FeatureKind {
    FeatureKind::Timestamp(TimestampFeature { parts: TimeParts(parts.to_vec()), offset_minutes: 60 })
}

fn at(text: &str) -> Value {
    Value::Time(Timestamp::parse(text, 0).unwrap())
}

fn category(text: &str) -> Value {
    Value::Category(text.into())
}

fn encoded(encoder: &Encoder, row: &Row) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; 3];
    encoder.encode_into(row, &mut numbers);
    numbers.split_off(3)
}

fn observed(kinds: Vec<FeatureKind>, rows: &[Row]) -> Encoder {
    let mut encoder = Encoder::new(&schema(kinds));
    encoder.observe(rows);
    encoder
}

fn numbers(values: &[f64]) -> Vec<Row> {
    values.iter().map(|&value| vec![Value::Number(value)]).collect()
}

#[test]
fn a_number_is_standardised_with_an_indicator_of_missing() {
    let encoder = observed(vec![FeatureKind::Numeric], &numbers(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]));
    assert_eq!(encoder.shape(), Shape::flat(2));
    assert_eq!(encoded(&encoder, &vec![Value::Number(7.0)]), [1.0, 0.0]);
    assert_eq!(encoded(&encoder, &vec![Value::Missing]), [0.0, 1.0]);
}

#[test]
fn missing_numbers_do_not_enter_the_statistics() {
    let rows = [vec![Value::Number(1.0)], vec![Value::Missing], vec![Value::Number(3.0)]];
    let with_gaps = observed(vec![FeatureKind::Numeric], &rows);
    assert_eq!(with_gaps, observed(vec![FeatureKind::Numeric], &numbers(&[1.0, 3.0])));
}

#[test]
fn a_number_is_clipped_at_ten_deviations() {
    let encoder = observed(vec![FeatureKind::Numeric], &numbers(&[-1.0, 1.0]));
    assert_eq!(encoded(&encoder, &vec![Value::Number(1e30)])[0], 10.0);
    assert_eq!(encoded(&encoder, &vec![Value::Number(-1e30)])[0], -10.0);
}

#[test]
fn before_anything_was_seen_a_number_is_taken_as_it_is() {
    let encoder = Encoder::new(&schema(vec![FeatureKind::Numeric, FeatureKind::Vector { size: 2 }]));
    let row = vec![Value::Number(3.0), Value::Vector(vec![-2.0, 50.0])];
    assert_eq!(encoded(&encoder, &row), [3.0, 0.0, -2.0, 10.0]);
}

#[test]
fn a_feature_that_never_varied_is_zero_whatever_comes() {
    for constant in [0.0, 0.1, 1e9, -3.4e38] {
        let encoder = observed(vec![FeatureKind::Numeric], &numbers(&[constant; 1000]));
        assert_eq!(encoded(&encoder, &vec![Value::Number(constant)])[0], 0.0);
        assert_eq!(encoded(&encoder, &vec![Value::Number(17.0)])[0], 0.0);
    }
}

#[test]
fn every_number_of_a_vector_has_its_own_statistics() {
    let rows = [vec![Value::Vector(vec![0.0, 100.0, 5.0])], vec![Value::Vector(vec![2.0, 300.0, 5.0])]];
    let encoder = observed(vec![FeatureKind::Vector { size: 3 }], &rows);
    assert_eq!(encoded(&encoder, &vec![Value::Vector(vec![3.0, 100.0, 6.0])]), [2.0, -1.0, 0.0]);
}

#[test]
fn a_text_takes_its_buckets_and_a_missing_one_is_zeros() {
    let encoder = Encoder::new(&schema(vec![text(16), FeatureKind::Numeric]));
    assert_eq!(encoder.shape(), Shape::flat(18));
    let of = |value: Value| encoded(&encoder, &vec![value, Value::Number(1.0)]);
    let words = of(Value::Text("one or two words".into()));
    assert!(words[..16].iter().any(|&number| number != 0.0) && words[16..] == [1.0, 0.0]);
    for nothing in [Value::Missing, Value::Text(String::new()), category("one or two words")] {
        assert_eq!(of(nothing)[..16], [0.0; 16]);
    }
    let mut observed = encoder.clone();
    observed.observe(&[vec![Value::Text("seen".into())]]);
    assert_eq!(observed, encoder, "a text leaves nothing behind");
}

#[test]
fn a_time_is_parts_of_its_own_wall_clock_with_a_trend_and_an_indicator_of_missing() {
    let kind = timestamp(&[TimePart::TimeOfDay, TimePart::Trend]);
    let rows = [vec![at("2024-01-01T00:00:00Z")], vec![Value::Missing], vec![at("2024-01-03T00:00:00Z")]];
    let encoder = observed(vec![kind], &rows);
    assert_eq!(encoder.shape(), Shape::flat(4));
    // One hour ahead of UTC this is noon.
    let noon = encoded(&encoder, &vec![at("2024-01-03T12:00:00+01:00")]);
    let expected = [0.0, -1.0, 35.0 / 24.0, 0.0];
    assert!(noon.iter().zip(expected).all(|(number, expected)| (number - expected).abs() < 1e-6), "{noon:?}");
    assert_eq!(encoded(&encoder, &vec![Value::Missing]), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(encoded(&encoder, &vec![at("9999-01-01T00:00:00Z")])[2], 10.0);
}

#[test]
fn the_only_image_keeps_its_shape_and_is_scaled_to_one() {
    let image = FeatureKind::Image { height: 1, width: 2, channels: 3, max: 16.0 };
    let encoder = Encoder::new(&schema(vec![image.clone()]));
    assert_eq!(encoder.shape(), Shape::image(3, 1, 2));
    let bytes = vec![Value::Image(Pixels::Bytes(vec![0, 4, 8, 12, 16, 2]))];
    assert_eq!(encoded(&encoder, &bytes), [0.0, 0.25, 0.5, 0.75, 1.0, 0.125]);
    let floats = vec![Value::Image(Pixels::Floats(vec![0.5, 4.0, 8.0, 12.0, 16.0, 2.0]))];
    assert_eq!(encoded(&encoder, &floats)[0], 0.03125);
    let beside_another = Encoder::new(&schema(vec![image, FeatureKind::Numeric]));
    assert_eq!(beside_another.shape(), Shape::flat(8));
}

#[test]
fn unseen_and_missing_categories_share_a_column() {
    let mut encoder = Encoder::new(&schema(vec![categorical(8), FeatureKind::Numeric]));
    let rows = [vec![category("b"), Value::Number(0.0)], vec![category("a"), Value::Number(0.0)]];
    let new = encoder.new_categories(&rows);
    assert_eq!(new.values, [(0, "b".to_owned()), (0, "a".to_owned())]);
    encoder.adopt(&new);
    assert_eq!(encoder.shape(), Shape::flat(5));
    assert_eq!(encoded(&encoder, &vec![category("b"), Value::Missing]), [0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(encoded(&encoder, &vec![category("a"), Value::Missing]), [0.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(encoded(&encoder, &vec![category("c"), Value::Missing]), [1.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(encoded(&encoder, &vec![Value::Missing, Value::Missing]), [1.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_feature_has_at_most_max_categories_columns_of_its_own() {
    let mut encoder = Encoder::new(&schema(vec![categorical(2), categorical(1)]));
    let row = |first: &str, second: &str| vec![category(first), category(second)];
    encoder.adopt(&encoder.new_categories(&[row("a", "x"), row("a", "y")]));
    assert_eq!(encoder.adopted, [(0, "a".to_owned()), (1, "x".to_owned())]);
    let new = encoder.new_categories(&[row("b", "z"), row("c", "x"), row("b", "y")]);
    assert_eq!(new.values, [(0, "b".to_owned())]);
    encoder.adopt(&new);
    assert_eq!(encoder.new_categories(&[row("d", "e")]), NewCategories::default());
}

#[test]
fn named_categories_of_a_feature_are_found_like_met_ones() {
    let mut encoder = Encoder::new(&schema(vec![FeatureKind::Numeric, categorical(2)]));
    let named = ["a", "a", "b", "c"].map(String::from);
    assert_eq!(encoder.new_categories_of("f0", &named), None);
    assert_eq!(encoder.new_categories_of("f9", &named), None);
    let new = encoder.new_categories_of("f1", &named).unwrap();
    assert_eq!(new.values, [(1, "a".to_owned()), (1, "b".to_owned())]);
    encoder.adopt(&new);
    assert_eq!(encoder.new_categories_of("f1", &named), Some(NewCategories::default()));
}

#[test]
fn a_category_is_adopted_once() {
    let mut encoder = Encoder::new(&schema(vec![categorical(8), FeatureKind::Numeric]));
    let values = vec![(0, "a".to_owned()), (0, "a".to_owned()), (1, "a".to_owned()), (9, "a".to_owned())];
    encoder.adopt(&NewCategories { values });
    assert_eq!(encoder.shape(), Shape::flat(4));
}

#[test]
fn a_damaged_document_is_refused() {
    let kinds = vec![FeatureKind::Vector { size: 2 }, categorical(8), text(4), timestamp(&TimePart::ALL)];
    let mut encoder = observed(kinds, &[]);
    encoder.adopt(&NewCategories { values: vec![(1, "a".into())] });
    let document = serde_json::to_value(&encoder).unwrap();
    assert_eq!(serde_json::from_value::<Encoder>(document.clone()).unwrap(), encoder);
    let damages: [(&str, serde_json::Value); 7] = [
        ("/statistics", serde_json::json!([])),
        ("/statistics/0/vector/mean", serde_json::json!([0.0])),
        ("/statistics/0/vector/m2", serde_json::json!([0.0, -1.0])),
        ("/statistics/1", serde_json::json!({"numeric": {"count": 0, "mean": 0.0, "m2": 0.0}})),
        ("/statistics/1/timestamp/m2", serde_json::json!(-1.0)),
        ("/categories", serde_json::json!([[0, "a"]])),
        ("/categories", serde_json::json!([[1, "a"], [1, "a"]])),
    ];
    for (pointer, value) in damages {
        let mut damaged = document.clone();
        *damaged.pointer_mut(pointer).unwrap() = value;
        assert!(serde_json::from_value::<Encoder>(damaged).is_err(), "{pointer}");
    }
}

fn any_finite() -> impl Strategy<Value = f64> {
    let largest = f64::from(f32::MAX);
    prop_oneof![
        (-largest..=largest),
        (-1.0..1.0),
        Just(0.0),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(largest),
        Just(-largest)
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![any_finite().prop_map(Value::Number), Just(Value::Missing)];
    let text = prop_oneof!["[a-e]{0,2}".prop_map(Value::Category), Just(Value::Missing)];
    let vector = prop::collection::vec(any_finite().prop_map(|number| number as f32), 3).prop_map(Value::Vector);
    let pixels = prop_oneof![
        prop::collection::vec(any::<u8>(), 4).prop_map(Pixels::Bytes),
        prop::collection::vec(0.0f32..=255.0, 4).prop_map(Pixels::Floats)
    ];
    let words = prop_oneof![".{0,30}".prop_map(Value::Text), Just(Value::Missing)];
    let time = prop_oneof![any_time().prop_map(Value::Time), Just(Value::Missing)];
    (number, text, vector, pixels, words, time).prop_map(|(number, text, vector, pixels, words, time)| {
        vec![number, text, vector, Value::Image(pixels), words, time]
    })
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800i64..=253_402_300_799).prop_map(|seconds| Timestamp::from_micros(seconds * 1_000_000).unwrap())
}

fn any_schema() -> Schema {
    let image = FeatureKind::Image { height: 2, width: 2, channels: 1, max: 255.0 };
    let kinds = [FeatureKind::Numeric, categorical(4), FeatureKind::Vector { size: 3 }, image];
    schema([&kinds[..], &[text(6), timestamp(&TimePart::ALL)]].concat())
}

proptest! {
    #[test]
    fn every_stored_row_is_encoded_to_as_many_finite_numbers_as_the_shape_says(
        seen in prop::collection::vec(any_row(), 0..8),
        row in any_row(),
    ) {
        let mut encoder = Encoder::new(&any_schema());
        encoder.observe(&seen);
        encoder.adopt(&encoder.new_categories(&seen));
        let numbers = encoded(&encoder, &row);
        prop_assert_eq!(numbers.len(), encoder.shape().elements());
        prop_assert!(numbers.iter().all(|number| number.abs() <= 10.0), "{:?}", numbers);
    }

    #[test]
    fn a_row_of_another_schema_is_encoded_to_the_right_length(row in any_row(), cut in 0usize..7, by in 0usize..6) {
        let mut wrong: Row = row.into_iter().take(cut).collect();
        let by = by.min(wrong.len());
        wrong.rotate_left(by);
        let encoder = Encoder::new(&any_schema());
        let numbers = encoded(&encoder, &wrong);
        prop_assert_eq!(numbers.len(), encoder.shape().elements());
        prop_assert!(numbers.iter().all(|number| number.is_finite()));
    }

    #[test]
    fn adopting_categories_only_appends_columns(seen in prop::collection::vec(any_row(), 1..8), row in any_row()) {
        let mut encoder = Encoder::new(&any_schema());
        let mut before = encoded(&encoder, &row);
        for adopted in &seen {
            let known = |encoder: &Encoder| match &row[1] {
                Value::Category(category) => encoder.features[1].column(category).is_some(),
                _ => false,
            };
            let was_known = known(&encoder);
            encoder.adopt(&encoder.new_categories([adopted]));
            let mut after = encoded(&encoder, &row);
            let appended = after.split_off(before.len());
            if known(&encoder) != was_known {
                // The row's own category moved from `other` to its new column.
                prop_assert_eq!(&appended[..], [1.0]);
                prop_assert_eq!(before[2], 1.0);
                before[2] = 0.0;
            } else {
                prop_assert!(appended.iter().all(|&number| number == 0.0));
            }
            prop_assert_eq!(&before, &after);
            before.extend(appended);
        }
    }

    #[test]
    fn statistics_read_back_to_the_last_bit(seen in prop::collection::vec(any_row(), 0..20)) {
        let mut encoder = Encoder::new(&any_schema());
        encoder.observe(&seen);
        encoder.adopt(&encoder.new_categories(&seen));
        let text = serde_json::to_string(&encoder).unwrap();
        let read: Encoder = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &encoder);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn rows_in_parts_make_the_same_statistics(seen in prop::collection::vec(any_row(), 1..20), cut in 0usize..20) {
        let mut whole = Encoder::new(&any_schema());
        whole.observe(&seen);
        let mut parts = Encoder::new(&any_schema());
        let (first, second) = seen.split_at(cut.min(seen.len()));
        parts.observe(first);
        parts.observe(second);
        prop_assert_eq!(whole, parts);
    }
}
