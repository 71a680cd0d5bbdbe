//! The three bodies as a whole: keys, counts, broken JSON.

use super::*;
use crate::stream::example::{Label, Pixels, Value};

fn row() -> Row {
    vec![
        Value::Number(1.5),
        Value::Category("red".into()),
        Value::Vector(vec![1.0, 2.0]),
        Value::Image(Pixels::Bytes(vec![3, 4])),
    ]
}

fn line(label: &str) -> String {
    format!(r#"{{"inputs":{INPUTS},"label":{label}}}"#)
}

#[test]
fn both_bodies_of_examples_make_the_same_rows() {
    let learner = Learner::new();
    let with_id = format!(r#"{{"id":"x-1","label":"b","inputs":{INPUTS}}}"#);
    let json = format!(r#"{{"examples":[{},{with_id}]}}"#, line(r#""a""#));
    let expected = vec![
        NewExample { id: None, row: row(), label: Label::Class("a".into()) },
        NewExample { id: Some("x-1".into()), row: row(), label: Label::Class("b".into()) },
    ];
    assert_eq!(learner.examples(&json), Ok(expected.clone()));
    assert_eq!(learner.lines(&format!("{}\r\n\n  \n{with_id}", line(r#""a""#))), Ok(expected));
}

#[test]
fn a_prediction_has_rows_and_maybe_a_version() {
    let learner = Learner::new();
    let body = |version: &str| format!(r#"{{"inputs":[{INPUTS},{INPUTS}]{version}}}"#);
    let read = |version: &str| learner.predict(&body(version)).map(|body| (body.rows.len(), body.version));
    assert_eq!(learner.predict(&body("")).unwrap().rows, [row(), row()]);
    assert_eq!(read(""), Ok((2, None)));
    assert_eq!(read(r#","version":null"#), Ok((2, None)));
    assert_eq!(read(r#","version":3"#), Ok((2, Some(3.into()))));
    assert_eq!(read(r#","version":"live""#), Ok((2, Some("live".into()))));
    for wrong in ["-1", "1.5", "[1]", "{}", "true"] {
        assert_eq!(pointers(learner.predict(&body(&format!(r#","version":{wrong}"#)))), ["/version"], "{wrong}");
    }
}

#[test]
fn an_empty_body_points_at_what_is_missing() {
    let learner = Learner::new();
    assert_eq!(pointers(learner.examples(r#"{"examples":[]}"#)), ["/examples"]);
    assert_eq!(pointers(learner.examples("{}")), ["/examples"]);
    assert_eq!(pointers(learner.predict(r#"{"inputs":[]}"#)), ["/inputs"]);
    assert_eq!(pointers(learner.predict("{}")), ["/inputs"]);
    for blank in ["", "\n", " \r\n\n"] {
        assert_eq!(pointers(learner.lines(blank)), [""], "{blank:?}");
    }
    assert_eq!(malformed(learner.examples("")).pointer, "");
}

#[test]
fn a_body_of_another_type_is_invalid_as_a_whole() {
    let learner = Learner::new();
    for wrong in ["[]", "3", "null", "true", r#""text""#] {
        assert_eq!(pointers(learner.examples(wrong)), [""], "{wrong}");
        assert_eq!(pointers(learner.predict(wrong)), [""], "{wrong}");
        assert_eq!(pointers(learner.lines(wrong)), ["/0"], "{wrong}");
    }
    assert_eq!(pointers(learner.examples(r#"{"examples":{}}"#)), ["/examples"]);
    assert_eq!(pointers(learner.examples(r#"{"examples":[[],3]}"#)), ["/examples/0", "/examples/1"]);
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    let learner = Learner::new();
    let body = r#"{"examples":[{"weight":[1],"inputs":{"m":{},"v":[1,2],"i":[1,2]},"label":"a"}],"x":1}"#;
    assert_eq!(pointers(learner.examples(body)), ["/examples/0/weight", "/examples/0/inputs/m", "/x"]);
    let body = format!(r#"{{"inputs":[{INPUTS}],"verison":1}}"#);
    assert_eq!(pointers(learner.predict(&body)), ["/verison"]);
}

#[test]
fn a_key_that_stands_there_twice_is_refused_at_every_level() {
    let learner = Learner::new();
    let twice = r#"{"inputs":{"n":1,"n":2,"v":[1,2],"i":[1,2]},"label":"a","label":"b","id":null,"id":"x"}"#;
    assert_eq!(pointers(learner.lines(&format!("\n{twice}"))), ["/1/inputs/n", "/1/label", "/1/id"]);
    let example = line(r#""a""#);
    assert_eq!(
        pointers(learner.examples(&format!(r#"{{"examples":[{example}],"examples":[{example}]}}"#))),
        ["/examples"]
    );
    assert_eq!(
        pointers(learner.predict(&format!(r#"{{"inputs":[{INPUTS}],"inputs":[{INPUTS}],"version":1,"version":1}}"#))),
        ["/inputs", "/version"]
    );
}

#[test]
fn missing_parts_of_an_example_are_pointed_at() {
    assert_eq!(pointers(Learner::new().lines("{}")), ["/0/inputs", "/0/label"]);
}

#[test]
fn an_id_has_one_to_two_hundred_characters() {
    let learner = Learner::new();
    let with = |id: &str| learner.lines(&format!(r#"{{"id":{id},"inputs":{INPUTS},"label":"a"}}"#));
    assert_eq!(with("null").unwrap()[0].id, None);
    assert_eq!(with(&format!("\"{}\"", "é".repeat(200))).unwrap()[0].id, Some("é".repeat(200)));
    let long = format!("\"{}\"", "x".repeat(201));
    for wrong in ["\"\"", "7", "[]", "true", r#""a\u0000""#, &long] {
        assert_eq!(pointers(with(wrong)), ["/0/id"], "{wrong}");
    }
}

#[test]
fn more_rows_than_allowed_are_refused_without_reading_on() {
    let learner = Learner::new();
    let too_many = DecodeError::TooManyRows { limit: 10 };
    let rows = |count: usize| vec![line(r#""a""#); count].join(",");
    assert_eq!(learner.examples(&format!(r#"{{"examples":[{}]}}"#, rows(10))).unwrap().len(), 10);
    assert_eq!(learner.examples(&format!(r#"{{"examples":[{},no json"#, rows(11))), Err(too_many.clone()));
    let lines = vec![line(r#""a""#); 500].join("\n");
    assert_eq!(learner.lines(&lines).unwrap().len(), 500, "a stream has any number of rows");
    assert_eq!(learner.predict(&format!(r#"{{"inputs":[{}]}}"#, ["{}"; 11].join(","))), Err(too_many));
}

#[test]
fn malformed_json_in_line_seven_of_ten_is_found_there() {
    let mut lines = vec![line(r#""a""#); 10];
    lines[6] = r#"{"inputs":{"n":secret}}"#.into();
    let fault = malformed(Learner::new().lines(&lines.join("\n")));
    assert_eq!(fault.pointer, "/6");
    assert_eq!(fault.detail, "line 7: expected value at column 16");
}

#[test]
fn malformed_json_points_at_the_value_that_was_being_read() {
    let learner = Learner::new();
    let fault = malformed(learner.examples("{\"examples\":[\n{\"inputs\":{\"n\":1,\"v\":[1,}"));
    assert_eq!(fault.pointer, "/examples/0/inputs/v/1");
    assert_eq!(fault.detail, "line 2: expected value at column 25");
    let truncated = malformed(learner.examples(r#"{"examples":[{"inputs":{"c":"re"#));
    assert_eq!(truncated.pointer, "/examples/0/inputs/c");
    assert!(truncated.detail.starts_with("line 1: EOF while parsing a string"), "{}", truncated.detail);
    let trailing = malformed(learner.examples(&format!(r#"{{"examples":[{}]}} x"#, line(r#""a""#))));
    assert!(trailing.detail.contains("trailing characters"), "{}", trailing.detail);
}

#[test]
fn what_json_does_not_have_is_malformed() {
    let learner = Learner::new();
    for wrong in ["NaN", "Infinity", "-Infinity", "nan", "1.", ".5", "01", "+1", "0x1", "'a'", "\"\u{1}\"", "\"\\x\""] {
        let fault = malformed(learner.example(&format!(r#"{{"n":{wrong}}}"#), "\"a\""));
        assert!(fault.pointer.starts_with("/examples/0/inputs"), "{wrong}: {}", fault.pointer);
    }
    let no_text = [br#"{"examples":[{"label":""#, &b"\xff\xfe\"}]}"[..]].concat();
    malformed(learner.decode(Format::Json, [&no_text[..]]));
}

#[test]
fn deep_json_is_malformed_wherever_it_stands() {
    let learner = Learner::new();
    let deep = |open: &str, close: &str, times: usize| format!("{}0{}", open.repeat(times), close.repeat(times));
    for deep in [deep("[", "]", 100_000), deep("{\"a\":", "}", 100_000), "[".repeat(1_000_000)] {
        for body in [
            deep.clone(),
            format!(r#"{{"examples":{deep}}}"#),
            format!(r#"{{"unknown":{deep}}}"#),
            format!(r#"{{"examples":[{{"inputs":{{"i":{deep}}}}}]}}"#),
            format!(r#"{{"examples":[{{"inputs":{{"v":{deep}}}}}]}}"#),
            format!(r#"{{"examples":[{{"label":{deep}}}]}}"#),
            format!(r#"{{"examples":[{{"id":{deep}}}]}}"#),
        ] {
            let fault = malformed(learner.examples(&body));
            assert!(fault.detail.contains("nested deeper than 127 levels"), "{}", fault.detail);
        }
        malformed(learner.predict(&format!(r#"{{"inputs":[{INPUTS}],"version":{deep}}}"#)));
    }
}

#[test]
fn faults_of_many_rows_come_at_once_but_at_most_a_hundred() {
    let learner = Learner::new();
    let body = [r#"{"label":"secret"}"#; 3].join("\n");
    let expected = ["/0/inputs", "/0/label", "/1/inputs", "/1/label", "/2/inputs", "/2/label"];
    let mut found = pointers(learner.lines(&body));
    found.sort();
    assert_eq!(found, expected);
    let vector = Learner::of(FeatureKind::Vector { size: 500 });
    let wrong = vec!["\"secret\""; 500].join(",");
    assert_eq!(pointers(vector.example(&format!(r#"{{"x":[{wrong}]}}"#), "1")).len(), 100);
}

#[test]
fn no_fault_quotes_a_value() {
    let learner = Learner::new();
    let bodies = [
        r#"{"examples":[{"inputs":{"n":"secret","c":["secret"],"v":"secret","i":{"secret":1}},"label":"secret","id":["secret"]}]}"#,
        r#"{"examples":[{"inputs":"secret"}]}"#,
        r#"{"examples":"secret"}"#,
        r#"{"examples":[secret]}"#,
        r#"{"examples":[{"label":"secret"secret}]}"#,
        r#"{"examples":[{"label":"\ud800secret"}]}"#,
    ];
    for body in bodies {
        let text = format!("{:?}", learner.examples(body).unwrap_err()).replace("/secret", "");
        assert!(!text.contains("secret"), "{text}");
    }
}
