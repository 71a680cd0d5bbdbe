//! What holds for any body and any row.

use proptest::prelude::*;

use super::*;
use crate::stream::Timestamp;
use crate::stream::example::{Pixels, Value};

fn finite() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("finite", |number| number.is_finite())
}

fn any_row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![
        finite().prop_map(|number| Value::Number(f64::from(number))),
        (-1e30f64..1e30).prop_map(Value::Number),
        (-1000i32..1000).prop_map(|number| Value::Number(f64::from(number))),
        Just(Value::Number(-0.0)),
        Just(Value::Missing)
    ];
    let text = prop_oneof![".{0,40}".prop_map(Value::Category), Just(Value::Missing)];
    let vector = prop::collection::vec(finite(), 2).prop_map(Value::Vector);
    let pixels = prop_oneof![
        prop::collection::vec(any::<u8>(), 12).prop_map(Pixels::Bytes),
        // One pixel between whole numbers keeps the image from being bytes.
        prop::collection::vec(0.0f32..=255.0, 11).prop_map(|mut pixels| {
            pixels.push(0.5);
            Pixels::Floats(pixels)
        })
    ];
    let words = ".{0,40}".prop_map(Value::Text);
    let time = prop_oneof![
        (-62_135_596_800_000_000i64..253_402_300_800_000_000)
            .prop_map(|micros| Value::Time(Timestamp::from_micros(micros).unwrap())),
        Just(Value::Missing)
    ];
    (number, text, vector, pixels, words, time).prop_map(|(number, text, vector, pixels, words, time)| {
        vec![number, text, vector, Value::Image(pixels), words, time]
    })
}

fn learner(channels: usize) -> Learner {
    let mut learner = Learner::new();
    learner.schema.features[3].kind = FeatureKind::Image { height: 2, width: 6 / channels, channels, max: 255.0 };
    learner.schema.features.push(Feature::new("t", FeatureKind::Text(TextFeature::default())));
    learner.schema.features.push(Feature::new("d", FeatureKind::Timestamp(TimestampFeature::default())));
    learner
}

fn json_like() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e999".to_owned()),
        Just("-".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "[a-c\\\\]{0,3}".prop_map(|text| format!("\"{text}\"")),
    ];
    let keys = prop::sample::select(vec!["examples", "inputs", "label", "id", "n", "c", "v", "i", "version", "x"]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((keys.clone(), inner), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", items.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_shown_is_accepted_again_and_makes_the_same_row(row in any_row(), channels in 1usize..=3) {
        let learner = learner(channels);
        let shown = inputs_to_json(&learner.schema, &row);
        let read = learner.example(&shown.to_string(), "\"a\"");
        let read = read.map(|example| example.row);
        prop_assert_eq!(read.as_ref(), Ok(&row));
        prop_assert_eq!(inputs_to_json(&learner.schema, &read.unwrap()), shown);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let learner = Learner::new();
        for format in [Format::Json, Format::Ndjson, Format::Csv(Table::default()), Format::Arrow(Table::default())] {
            let _ = learner.decode(format, [&bytes[..]]);
        }
        let _ = predict_json(&bytes, learner.expected());
    }

    #[test]
    fn any_json_is_answered_and_what_is_refused_has_a_fault(text in json_like()) {
        let learner = Learner::new();
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let answers = [learner.examples(&text).err(), learner.lines(&text).err(), learner.predict(&text).err()];
        for answer in answers {
            match answer {
                None => prop_assert!(is_json),
                Some(DecodeError::Invalid(faults)) => prop_assert!((1..=101).contains(&faults.len())),
                Some(DecodeError::Malformed(_)) => prop_assert!(!is_json, "{}", text),
                Some(DecodeError::TooManyRows { .. } | DecodeError::TooLong { .. }) => prop_assert!(false, "there are few rows"),
            }
        }
    }
}

#[test]
fn values_are_shown_as_people_write_them() {
    let row = vec![
        Value::Number(3.0),
        Value::Missing,
        Value::Vector(vec![0.1, -2.0]),
        Value::Image(Pixels::Bytes((0..12).collect())),
        Value::Text("a \"b\"".into()),
        Value::Time(Timestamp::from_micros(1_500_000).unwrap()),
    ];
    let shown = inputs_to_json(&learner(3).schema, &row).to_string();
    let image = "[[[0,4,8],[1,5,9]],[[2,6,10],[3,7,11]]]";
    let expected = format!(r#"{{"c":null,"d":"1970-01-01T00:00:01.5Z","i":{image},"n":3,"t":"a \"b\"","v":[0.1,-2]}}"#);
    assert_eq!(shown, expected);
}
