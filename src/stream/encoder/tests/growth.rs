//! What growth never does to the columns that are there.

use super::*;

fn named(name: &str, kind: FeatureKind) -> Feature {
    Feature { optional: true, ..Feature::new(name, kind) }
}

#[test]
fn a_feature_whose_name_sorts_first_moves_no_column() {
    let schema = Schema { features: vec![Feature::new("m", FeatureKind::Numeric), Feature::new("z", categorical(4))] };
    let mut encoder = Encoder::new(&schema);
    encoder.observe(&[vec![Value::Number(1.0)], vec![Value::Number(3.0)]]);
    encoder.adopt(&encoder.new_categories(&[vec![Value::Missing, category("b")]]));
    let row = vec![Value::Number(3.0), category("b")];
    assert_eq!(encoded(&encoder, &row), [1.0, 0.0, 0.0, 1.0]);
    encoder.add(&[named("a", FeatureKind::Numeric), named("A", categorical(4))]);
    assert_eq!(encoded(&encoder, &row), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    let rows = [vec![Value::Missing, category("a"), Value::Missing, category("0")]];
    encoder.adopt(&encoder.new_categories(&rows));
    assert_eq!(encoded(&encoder, &row), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    let full = vec![Value::Number(3.0), category("a"), Value::Number(-0.5), category("0")];
    assert_eq!(encoded(&encoder, &full), [1.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0, 1.0, 1.0]);
    let names: Vec<&str> = encoder.schema().features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["m", "z", "a", "A"]);
}

#[test]
fn a_row_without_an_added_feature_has_it_missing() {
    let mut encoder = Encoder::new(&schema(vec![FeatureKind::Numeric]));
    let image = FeatureKind::Image { height: 1, width: 2, channels: 1, max: 255.0 };
    let time = timestamp(&[TimePart::DayOfWeek]);
    let kinds = [FeatureKind::Numeric, categorical(4), FeatureKind::Vector { size: 3 }, image, text(2), time];
    let added: Vec<Feature> = kinds.into_iter().map(|kind| named("added", kind)).collect();
    encoder.add(&added);
    let short = encoded(&encoder, &vec![Value::Number(2.0)]);
    assert_eq!(short, [2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let nulls: Row = [Value::Number(2.0)].into_iter().chain(vec![Value::Missing; 6]).collect();
    assert_eq!(encoded(&encoder, &nulls), short);
}

#[test]
fn rows_without_an_added_feature_do_not_enter_its_statistics() {
    let mut late = Encoder::new(&schema(vec![FeatureKind::Numeric]));
    late.observe(&numbers(&[1.0, 2.0]));
    late.add(&[named("late", FeatureKind::Numeric)]);
    late.observe(&numbers(&[3.0]));
    late.observe(&[vec![Value::Missing, Value::Number(4.0)], vec![Value::Missing, Value::Number(8.0)]]);
    assert_eq!(encoded(&late, &vec![Value::Missing, Value::Number(8.0)]), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn a_document_from_before_features_could_be_added_is_read() {
    let text = r#"{"schema":{"features":[{"name":"c","kind":"categorical","max_categories":8}]},
        "statistics":[],"categories":[[0,"a"],[0,"b"]]}"#;
    let encoder: Encoder = serde_json::from_str(text).unwrap();
    assert_eq!(encoded(&encoder, &vec![category("b")]), [0.0, 0.0, 1.0]);
    let written = serde_json::to_value(&encoder).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap(), "and written as it was");
}

#[test]
fn a_document_with_columns_in_another_order_of_birth_is_refused() {
    let mut encoder = Encoder::new(&schema(vec![categorical(8)]));
    encoder.adopt(&NewCategories { values: vec![(0, "a".into()), (0, "b".into())] });
    encoder.add(&[named("late", categorical(8))]);
    encoder.adopt(&NewCategories { values: vec![(1, "a".into())] });
    encoder.add(&[named("later", FeatureKind::Numeric)]);
    let document = serde_json::to_value(&encoder).unwrap();
    assert_eq!(document["added"], serde_json::json!([2, 3]));
    assert_eq!(serde_json::from_value::<Encoder>(document.clone()).unwrap(), encoder);
    for added in [[1, 0], [2, 4], [3, 2]] {
        let mut damaged = document.clone();
        damaged["added"] = serde_json::json!(added);
        assert!(serde_json::from_value::<Encoder>(damaged).is_err(), "{added:?}");
    }
    for (key, value) in [
        ("added", serde_json::json!([2, 2, 2, 2])),
        ("categories", serde_json::json!([[0, "a"], [1, "a"], [0, "b"]])),
        ("categories", serde_json::json!([[0, "a"], [0, "b"], [0, "b"]])),
    ] {
        let mut damaged = document.clone();
        damaged[key] = value;
        assert!(serde_json::from_value::<Encoder>(damaged).is_err(), "{key}");
    }
}

/// What a stream does to an encoder.
#[derive(Debug, Clone)]
enum Birth {
    Rows(Vec<Row>),
    Feature(FeatureKind),
}

fn births() -> impl Strategy<Value = Vec<Birth>> {
    let image = FeatureKind::Image { height: 2, width: 1, channels: 1, max: 255.0 };
    let time = timestamp(&[TimePart::Trend, TimePart::DayOfYear]);
    let kinds = vec![FeatureKind::Numeric, categorical(3), FeatureKind::Vector { size: 2 }, image, text(3), time];
    let row = prop::collection::vec(
        prop_oneof![
            Just(Value::Missing),
            any_finite().prop_map(Value::Number),
            "[a-e]".prop_map(Value::Category),
            prop::collection::vec(-9.0f32..9.0, 2).prop_map(Value::Vector),
            prop::collection::vec(any::<u8>(), 2).prop_map(|pixels| Value::Image(Pixels::Bytes(pixels))),
            "[a-c ]{0,8}".prop_map(Value::Text),
            any_time().prop_map(Value::Time),
        ],
        0..8,
    );
    let birth = prop_oneof![
        prop::collection::vec(row, 1..5).prop_map(Birth::Rows),
        prop::sample::select(kinds).prop_map(Birth::Feature)
    ];
    prop::collection::vec(birth, 1..10)
}

proptest! {
    /// Columns only ever come at the end, whatever is born in whatever order and whatever the rows hold: of statistics
    /// that do not move, every number stays where it stood, but for `other`, which a category leaves for its own column.
    #[test]
    fn whatever_is_born_comes_last_and_moves_nothing(births in births(), row in any_row()) {
        let mut encoder = Encoder::new(&any_schema());
        for (index, birth) in births.iter().enumerate() {
            let before = encoded(&encoder, &row);
            let known = encoder.features[1].categories();
            match birth {
                Birth::Rows(rows) => encoder.adopt(&encoder.new_categories(rows)),
                Birth::Feature(kind) => encoder.add(&[named(&format!("{}", 9 - index), kind.clone())]),
            }
            let after = encoded(&encoder, &row);
            prop_assert_eq!(after.len(), encoder.shape().elements());
            let moved: Vec<usize> = (0..before.len()).filter(|&column| before[column] != after[column]).collect();
            if moved.is_empty() {
                continue;
            }
            prop_assert_eq!((moved, after[2]), (vec![2], 0.0));
            prop_assert!(encoder.features[1].categories() > known);
            prop_assert_eq!(after[before.len()..].iter().sum::<f32>(), 1.0);
        }
    }

    /// The document holds the order of all births.
    #[test]
    fn an_encoder_that_grew_reads_back_to_the_last_bit(births in births(), row in any_row()) {
        let mut encoder = Encoder::new(&any_schema());
        for (index, birth) in births.iter().enumerate() {
            match birth {
                Birth::Rows(rows) => {
                    encoder.adopt(&encoder.new_categories(rows));
                    encoder.observe(rows);
                }
                Birth::Feature(kind) => encoder.add(&[named(&format!("{}", 9 - index), kind.clone())]),
            }
        }
        let text = serde_json::to_string(&encoder).unwrap();
        let read: Encoder = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &encoder);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        prop_assert_eq!(encoded(&read, &row), encoded(&encoder, &row));
    }

    /// A version whose encoder is older than the newest schema reads the rows of today.
    #[test]
    fn values_of_features_that_came_later_are_passed_over(row in any_row(), later in any_row()) {
        let encoder = Encoder::new(&any_schema());
        let long: Row = row.iter().chain(&later).cloned().collect();
        prop_assert_eq!(encoded(&encoder, &long), encoded(&encoder, &row));
        prop_assert_eq!(encoder.new_categories([&long]), encoder.new_categories([&row]));
        let mut observed = [encoder.clone(), encoder];
        observed[0].observe([&long]);
        observed[1].observe([&row]);
        prop_assert_eq!(&observed[0], &observed[1]);
    }
}
