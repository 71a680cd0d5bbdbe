//! CSV bodies.

use super::*;
use crate::stream::example::{Label, Pixels, Value};

const HEADER: &str = "n,c,v.0,v.1,i.0,i.1,label";

fn read(learner: &Learner, text: &str) -> Result<Vec<NewExample>, DecodeError> {
    learner.decode(Format::Csv(Table::default()), [text.as_bytes()])
}

#[test]
fn a_record_is_an_example_and_an_empty_value_a_missing_one() {
    let learner = Learner::new();
    let rows = read(&learner, "id,n,c,v.1,v.0,i.0,i.1,label\nx-1,1.5,red,2,1,3,4,a\n, ,,2,1,3,4,7\n").unwrap();
    let row = vec![
        Value::Number(1.5),
        Value::Category("red".into()),
        Value::Vector(vec![1.0, 2.0]),
        Value::Image(Pixels::Bytes(vec![3, 4])),
    ];
    let other = [vec![Value::Missing, Value::Missing], row[2..].to_vec()].concat();
    let expected = vec![
        NewExample { id: Some("x-1".into()), row, label: Label::Class("a".into()) },
        NewExample { id: None, row: other, label: Label::Class("7".into()) },
    ];
    assert_eq!(rows, expected);
}

#[test]
fn columns_may_be_called_and_parted_otherwise() {
    let learner = Learner::new();
    let text = "key;species;n;c;v.0;v.1;i.0;i.1\nx;a;1,5;\"r;ed\";1;2;3;4";
    let table = Table { label: Some("species".into()), id: Some("key".into()), delimiter: None };
    let fault = pointers(learner.decode(Format::Csv(table.clone()), [text.as_bytes()]));
    assert_eq!(fault, ["/0/inputs/n"], "a comma is no decimal point");
    let rows = learner.decode(Format::Csv(table.clone()), [text.replace("1,5", "1.5").as_bytes()]).unwrap();
    assert_eq!((rows[0].id.as_deref(), &rows[0].row[1]), (Some("x"), &Value::Category("r;ed".into())));
    let piped = text.replace("1,5", "1.5").replace("\"r;ed\"", "red").replace(';', "|");
    let table = Table { delimiter: Some(b'|'), ..table };
    assert_eq!(learner.decode(Format::Csv(table), [piped.as_bytes()]).unwrap().len(), 1);
}

#[test]
fn a_fault_is_pointed_at_by_record_and_feature() {
    let learner = Learner::new();
    let with = |record: &str| read(&learner, &format!("{HEADER}\n1,red,1,2,3,4,a\n{record}\n"));
    for (record, pointer) in [
        ("x,red,1,2,3,4,a", "/1/inputs/n"),
        ("NaN,red,1,2,3,4,a", "/1/inputs/n"),
        ("inf,red,1,2,3,4,a", "/1/inputs/n"),
        ("1e39,red,1,2,3,4,a", "/1/inputs/n"),
        ("1,red,1,x,3,4,a", "/1/inputs/v/1"),
        ("1,red,1,,3,4,a", "/1/inputs/v/1"),
        ("1,red,,,3,4,a", "/1/inputs/v"),
        ("1,red,1,2,3,256,a", "/1/inputs/i/1"),
        ("1,red,1,2,3,-1,a", "/1/inputs/i/1"),
        ("1,red,1,2,3,4,", "/1/label"),
        ("1,red,1,2,3,4,other", "/1/label"),
        ("1,red,1,2,3,4", "/1"),
        ("1,red,1,2,3,4,a,5", "/1"),
    ] {
        assert_eq!(pointers(with(record)), [pointer], "{record}");
    }
    let long = "x".repeat(201);
    assert_eq!(pointers(with(&format!("1,{long},1,2,3,4,a"))), ["/1/inputs/c"]);
    let id = format!("id,{HEADER}\n{long},1,red,1,2,3,4,a\n");
    assert_eq!(pointers(read(&learner, &id)), ["/0/id"]);
}

#[test]
fn a_header_must_name_every_feature_and_nothing_else() {
    let learner = Learner::new();
    let record = "1,red,1,2,3,4,a";
    let with = |header: &str| pointers(read(&learner, &format!("{header}\n{record}\n")));
    assert_eq!(with("n,c,v.0,v.1,i.0,x,label"), ["/columns/x"]);
    assert_eq!(with("n,c,v.0,v.1,i.0,n,label"), ["/columns/n"]);
    assert_eq!(with("n,c,v.0,v.1,i.0,i.1,class"), ["/columns/label"]);
    assert_eq!(pointers(read(&learner, "")), [""]);
    assert_eq!(pointers(read(&learner, HEADER)), [""]);
    assert_eq!(pointers(read(&learner, "\n\n\n")), [""]);
    let no_text = [HEADER.as_bytes(), b"\n1,\xff,1,2,3,4,a\n"].concat();
    assert_eq!(malformed(learner.decode(Format::Csv(Table::default()), [&no_text[..]])).pointer, "/0");
}

#[test]
fn regression_labels_are_numbers() {
    let learner = Learner::with_task(Task::Regression);
    let with = |label: &str| read(&learner, &format!("{HEADER}\n1,red,1,2,3,4,{label}\n"));
    assert_eq!(with("-2.5e3").unwrap()[0].label, Label::Number(-2500.0));
    for wrong in ["high", "NaN", "1e39"] {
        assert_eq!(pointers(with(wrong)), ["/0/label"], "{wrong}");
    }
}

#[test]
fn a_quote_inside_a_value_is_a_character_like_others() {
    let learner = Learner::new();
    let text = format!("{HEADER}\n1,5\" disk,1,2,3,4,a\n2,\"a \"\"b\"\"\",1,2,3,4,b\n");
    let rows = learner.decode(Format::Csv(Table::default()), text.as_bytes().chunks(3)).unwrap();
    let categories: Vec<&Value> = rows.iter().map(|example| &example.row[1]).collect();
    assert_eq!(categories, [&Value::Category("5\" disk".into()), &Value::Category("a \"b\"".into())]);
}
