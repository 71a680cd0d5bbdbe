//! Single values: numbers, categories, vectors, labels.

use super::*;
use crate::stream::Timestamp;
use crate::stream::example::{Label, Value};

fn value(kind: FeatureKind, json: &str) -> Result<Value, DecodeError> {
    let example = Learner::of(kind).example(&format!(r#"{{"x":{json}}}"#), "1");
    example.map(|mut example| example.row.pop().unwrap())
}

const X: &str = "/examples/0/inputs/x";

#[test]
fn a_number_may_be_missing() {
    assert_eq!(value(FeatureKind::Numeric, "-2"), Ok(Value::Number(-2.0)));
    assert_eq!(value(FeatureKind::Numeric, "0.1"), Ok(Value::Number(0.1)));
    assert_eq!(value(FeatureKind::Numeric, "null"), Ok(Value::Missing));
    assert_eq!(Learner::of(FeatureKind::Numeric).example("{}", "1").unwrap().row, [Value::Missing]);
    for wrong in ["\"1\"", "true", "[1]", "{}"] {
        assert_eq!(pointers(value(FeatureKind::Numeric, wrong)), [X], "{wrong}");
    }
}

#[test]
fn a_category_is_a_text_and_may_be_missing() {
    let kind = || FeatureKind::Categorical { max_categories: 4 };
    assert_eq!(value(kind(), "\"\""), Ok(Value::Category(String::new())));
    assert_eq!(value(kind(), r#""\u00e9\n""#), Ok(Value::Category("é\n".into())));
    assert_eq!(value(kind(), "null"), Ok(Value::Missing));
    assert_eq!(value(kind(), &format!("\"{}\"", "é".repeat(200))), Ok(Value::Category("é".repeat(200))));
    assert_eq!(Learner::of(kind()).example("{}", "1").unwrap().row, [Value::Missing]);
    for wrong in ["1", "true", "[\"a\"]", "{}", &format!("\"{}\"", "x".repeat(201))] {
        assert_eq!(pointers(value(kind(), wrong)), [X], "{wrong}");
    }
}

#[test]
fn a_vector_has_its_size_and_is_never_missing() {
    let kind = || FeatureKind::Vector { size: 3 };
    assert_eq!(value(kind(), "[1,-2.5,1e-50]"), Ok(Value::Vector(vec![1.0, -2.5, 0.0])));
    for wrong in ["[]", "[1,2]", "[1,2,3,4]", "null", "1", "\"1,2,3\"", "{}"] {
        assert_eq!(pointers(value(kind(), wrong)), [X], "{wrong}");
    }
    for wrong in ["null", "\"2\"", "[2]", "{}", "false"] {
        assert_eq!(pointers(value(kind(), &format!("[1,{wrong},3]"))), [format!("{X}/1")], "{wrong}");
    }
    assert_eq!(pointers(Learner::of(kind()).example("{}", "1")), [X]);
}

#[test]
fn a_text_is_taken_as_it_comes_up_to_its_length_and_is_never_missing() {
    let kind = || FeatureKind::Text(TextFeature { max_chars: 5, ..TextFeature::default() });
    for (json, text) in [("\"\"", ""), (r#""a\nB ""#, "a\nB "), (r#""\u0000é✓""#, "\u{0}é✓"), ("\"ééééé\"", "ééééé")]
    {
        assert_eq!(value(kind(), json), Ok(Value::Text(text.into())), "{json}");
    }
    for wrong in ["1", "null", "true", "[\"a\"]", "{}", "\"éééééé\"", "\"secret\""] {
        let refused = value(kind(), wrong);
        assert!(!format!("{refused:?}").contains("secret"), "a fault quotes nothing");
        assert_eq!(pointers(refused), [X], "{wrong}");
    }
    assert_eq!(pointers(Learner::of(kind()).example("{}", "1")), [X]);
}

#[test]
fn a_time_is_a_text_or_seconds_and_may_be_missing() {
    let kind = || FeatureKind::Timestamp(TimestampFeature { offset_minutes: 60, ..TimestampFeature::default() });
    let at = |seconds: i64| Ok(Value::Time(Timestamp::from_micros(seconds * 1_000_000).unwrap()));
    assert_eq!(value(kind(), "86400"), at(86_400));
    assert_eq!(value(kind(), "-0.5e1"), at(-5));
    assert_eq!(value(kind(), "\"1970-01-02T01:00:00+01:00\""), at(86_400));
    assert_eq!(value(kind(), "\"1970-01-02 01:00:00\""), at(86_400));
    assert_eq!(value(kind(), "null"), Ok(Value::Missing));
    assert_eq!(Learner::of(kind()).example("{}", "1").unwrap().row, [Value::Missing]);
    for wrong in ["\"\"", "\"noon, a secret\"", "1.7e12", "\"2025-02-29\"", "true", "[1]", "{}", "1e400"] {
        let refused = value(kind(), wrong);
        assert!(!format!("{refused:?}").contains("secret"), "a fault quotes nothing");
        assert_eq!(pointers(refused), [X], "{wrong}");
    }
}

#[test]
fn what_is_optional_may_be_missing_whatever_its_kind() {
    let image = FeatureKind::Image { height: 1, width: 1, channels: 1, max: 255.0 };
    let text = FeatureKind::Text(TextFeature::default());
    for (kind, value) in [(FeatureKind::Vector { size: 1 }, "[1]"), (image, "[[1]]"), (text, "\"a\"")] {
        let features = vec![Feature { optional: true, ..Feature::new("x", kind) }];
        let learner = Learner { schema: Schema { features }, task: Task::Regression };
        for missing in ["{}", r#"{"x":null}"#] {
            assert_eq!(learner.example(missing, "1").unwrap().row, [Value::Missing], "{missing}");
        }
        assert_ne!(learner.example(&format!(r#"{{"x":{value}}}"#), "1").unwrap().row, [Value::Missing]);
        for wrong in [r#"{"x":[]}"#, r#"{"x":false}"#] {
            let error = learner.example(wrong, "1").unwrap_err();
            assert!(!error.names_an_unknown_feature());
            assert_eq!(pointers(Err::<(), _>(error)), [X], "{wrong}");
        }
    }
}

#[test]
fn a_feature_that_the_schema_does_not_have_is_told_from_other_faults() {
    let learner = Learner::of(FeatureKind::Numeric);
    let unknown = learner.example(r#"{"x":1,"y":2}"#, "1").unwrap_err();
    assert!(unknown.names_an_unknown_feature());
    assert_eq!(pointers(Err::<(), _>(unknown)), ["/examples/0/inputs/y"]);
    for (inputs, label) in [(r#"{"x":"1"}"#, "1"), (r#"{"x":1}"#, "[]"), (r#"{"x":"#, "1")] {
        assert!(!learner.example(inputs, label).unwrap_err().names_an_unknown_feature(), "{inputs}");
    }
}

#[test]
fn numbers_beyond_f32_are_faults_at_their_place() {
    let large = f64::from(f32::MAX);
    assert_eq!(value(FeatureKind::Numeric, &large.to_string()), Ok(Value::Number(large)));
    let digits = format!("1{}", "0".repeat(400));
    for beyond in ["3.5e38", "-3.5e38", "1e308", "1e400", "-1e99999999999", &digits] {
        assert_eq!(pointers(value(FeatureKind::Numeric, beyond)), [X], "{beyond}");
        let vector = value(FeatureKind::Vector { size: 2 }, &format!("[0,{beyond}]"));
        assert_eq!(pointers(vector), [format!("{X}/1")], "{beyond}");
        let label = Learner::of(FeatureKind::Numeric).example("{}", beyond);
        assert_eq!(pointers(label), ["/examples/0/label"], "{beyond}");
        let lines =
            Learner::of(FeatureKind::Numeric).lines(&format!("\n{{\"label\":1,\"inputs\":{{\"x\":{beyond}}}}}"));
        assert_eq!(pointers(lines), ["/1/inputs/x"], "{beyond}");
    }
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    for text in ["0.1", "1.7976931348623157e30", "123456.78901234567", "2.2250738585072014e-308", "9007199254740993"] {
        let expected: f64 = text.parse().unwrap();
        assert_eq!(value(FeatureKind::Numeric, text), Ok(Value::Number(expected)), "{text}");
    }
}

#[test]
fn names_are_escaped_in_pointers() {
    let features = vec![Feature::new("a/b~c", FeatureKind::Numeric)];
    let learner = Learner { schema: Schema { features }, task: Task::Regression };
    assert_eq!(pointers(learner.example(r#"{"a/b~c":"x"}"#, "1")), ["/examples/0/inputs/a~1b~0c"]);
}

#[test]
fn an_integer_or_boolean_label_stands_for_the_class_of_that_text() {
    let learner = Learner::new();
    let label = |json: &str| learner.example(INPUTS, json).map(|example| example.label);
    assert_eq!(label("\"a\""), Ok(Label::Class("a".into())));
    assert_eq!(label("7"), Ok(Label::Class("7".into())));
    assert_eq!(label("true"), Ok(Label::Class("true".into())));
    let open = Learner::with_task(Task::Classification { classes: vec![], open_classes: true });
    let label = |json: &str| open.example(INPUTS, json).map(|example| example.label);
    assert_eq!(label("-3"), Ok(Label::Class("-3".into())));
    assert_eq!(label("18446744073709551615"), Ok(Label::Class("18446744073709551615".into())));
    assert_eq!(label("false"), Ok(Label::Class("false".into())));
}

#[test]
fn a_closed_task_refuses_classes_that_it_does_not_have() {
    let answer = Learner::new().example(INPUTS, "\"other\"");
    let Err(DecodeError::Invalid(faults)) = answer else { panic!("the class is unknown") };
    let detail = "the task does not have this class; tasks with `open_classes` take new ones";
    assert_eq!(faults, [Fault { pointer: "/examples/0/label".into(), detail: detail.into() }]);
    for wrong in ["8", "false", "7.0", "null", "[]", "{}", "\"A\""] {
        assert_eq!(pointers(Learner::new().example(INPUTS, wrong)), ["/examples/0/label"], "{wrong}");
    }
}

#[test]
fn an_open_task_takes_new_classes_but_no_evil_ones() {
    let open = Learner::with_task(Task::Classification { classes: vec![], open_classes: true });
    assert_eq!(open.example(INPUTS, "\"new\"").unwrap().label, Label::Class("new".into()));
    let long = format!("\"{}\"", "x".repeat(201));
    for wrong in ["\"\"", r#""a\u0000""#, "1.5", "null", "[\"a\"]", &long] {
        assert_eq!(pointers(open.example(INPUTS, wrong)), ["/examples/0/label"], "{wrong}");
    }
}

#[test]
fn a_regression_takes_numbers_only() {
    let learner = Learner::with_task(Task::Regression);
    assert_eq!(learner.example(INPUTS, "-1.5e3").unwrap().label, Label::Number(-1500.0));
    for wrong in ["\"1\"", "true", "null", "[1]"] {
        assert_eq!(pointers(learner.example(INPUTS, wrong)), ["/examples/0/label"], "{wrong}");
    }
}
