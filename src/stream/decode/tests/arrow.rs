//! Arrow IPC streams, sound and evil.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, FixedSizeListBuilder, Float32Builder, ListBuilder, UInt8Builder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int64Array, LargeStringArray,
    NullArray, RecordBatch, StringArray, StringViewArray, UInt8Array, UInt64Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use proptest::prelude::*;

use super::*;
use crate::stream::example::{Label, Pixels, Value};

fn written(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn pairs(rows: usize) -> ArrayRef {
    let mut list = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    for _ in 0..rows {
        list.values().append_slice(&[1.0, 2.0]);
        list.append(true);
    }
    Arc::new(list.finish())
}

fn pixels(rows: usize) -> ArrayRef {
    let mut bytes = FixedSizeBinaryBuilder::new(2);
    (0..rows).for_each(|_| bytes.append_value([3, 4]).unwrap());
    Arc::new(bytes.finish())
}

/// The columns of rows that are all alike.
fn columns(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let red: DictionaryArray<Int32Type> = vec!["red"; rows].into_iter().collect();
    vec![
        ("n", Arc::new(Float64Array::from(vec![1.5; rows]))),
        ("c", Arc::new(red)),
        ("v", pairs(rows)),
        ("i", pixels(rows)),
        ("label", Arc::new(StringArray::from(vec!["a"; rows]))),
    ]
}

/// A stream of so many rows in two batches.
pub fn stream(rows: usize) -> Vec<u8> {
    let first = rows / 2;
    let batches: Vec<RecordBatch> =
        [first, rows - first].into_iter().filter(|&rows| rows > 0).map(|rows| batch(columns(rows))).collect();
    written(&batches, IpcWriteOptions::default())
}

fn with(name: &'static str, array: ArrayRef) -> Vec<u8> {
    let mut columns = columns(array.len());
    match columns.iter_mut().find(|(column, _)| *column == name) {
        Some(column) => column.1 = array,
        None => columns.push((name, array)),
    }
    written(&[batch(columns)], IpcWriteOptions::default())
}

fn read(body: &[u8]) -> Result<Vec<NewExample>, DecodeError> {
    Learner::new().decode(Format::Arrow(Table::default()), [body])
}

fn value(body: &[u8], feature: usize) -> Vec<Value> {
    read(body).unwrap().into_iter().map(|example| example.row[feature].clone()).collect()
}

#[test]
fn every_row_is_an_example() {
    let row = vec![
        Value::Number(1.5),
        Value::Category("red".into()),
        Value::Vector(vec![1.0, 2.0]),
        Value::Image(Pixels::Bytes(vec![3, 4])),
    ];
    let expected = NewExample { id: None, row, label: Label::Class("a".into()) };
    assert_eq!(read(&stream(5)).unwrap(), vec![expected; 5]);
}

#[test]
fn packed_batches_are_read() {
    for compression in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
        let options = IpcWriteOptions::default().try_with_compression(Some(compression)).unwrap();
        let body = written(&[batch(columns(1_000))], options);
        assert_eq!(read(&body).unwrap(), read(&stream(1_000)).unwrap());
    }
}

#[test]
fn columns_of_many_types_are_read() {
    let numbers = |array: ArrayRef| value(&with("n", array), 0);
    let two = vec![Value::Number(2.0), Value::Missing];
    assert_eq!(numbers(Arc::new(UInt8Array::from(vec![Some(2), None]))), two);
    assert_eq!(numbers(Arc::new(Int64Array::from(vec![Some(2), None]))), two);
    assert_eq!(numbers(Arc::new(Float32Array::from(vec![Some(2.0), None]))), two);
    let truth = [Value::Number(1.0), Value::Number(0.0)];
    assert_eq!(numbers(Arc::new(BooleanArray::from(vec![true, false]))), truth);

    let texts = |array: ArrayRef| value(&with("c", array), 1);
    let blue = [Value::Category("blue".into()), Value::Missing];
    assert_eq!(texts(Arc::new(StringArray::from(vec![Some("blue"), None]))), blue);
    assert_eq!(texts(Arc::new(LargeStringArray::from(vec![Some("blue"), None]))), blue);
    assert_eq!(texts(Arc::new(StringViewArray::from(vec![Some("blue"), None]))), blue);
    let dictionary: DictionaryArray<Int32Type> = vec![Some("blue"), None].into_iter().collect();
    assert_eq!(texts(Arc::new(dictionary)), blue);
    let all_null: DictionaryArray<Int32Type> = vec![None::<&str>, None].into_iter().collect();
    assert_eq!(texts(Arc::new(all_null)), [Value::Missing, Value::Missing]);
    assert_eq!(texts(Arc::new(Int64Array::from(vec![-7]))), [Value::Category("-7".into())]);

    let mut list = ListBuilder::new(UInt8Builder::new());
    list.values().append_slice(&[3, 4]);
    list.append(true);
    assert_eq!(value(&with("i", Arc::new(list.finish())), 3), [Value::Image(Pixels::Bytes(vec![3, 4]))]);
    let binary = BinaryArray::from(vec![&[3u8, 4][..]]);
    assert_eq!(value(&with("i", Arc::new(binary)), 3), [Value::Image(Pixels::Bytes(vec![3, 4]))]);
    let mut list = ListBuilder::new(Float32Builder::new());
    list.values().append_slice(&[0.5, 4.0]);
    list.append(true);
    let list: ArrayRef = Arc::new(list.finish());
    assert_eq!(value(&with("i", list.clone()), 3), [Value::Image(Pixels::Floats(vec![0.5, 4.0]))]);
    assert_eq!(value(&with("v", list), 2), [Value::Vector(vec![0.5, 4.0])]);
}

#[test]
fn labels_and_ids_may_be_texts_or_numbers() {
    let label = |array: ArrayRef| read(&with("label", array)).map(|rows| rows[0].label.clone());
    assert_eq!(label(Arc::new(Int64Array::from(vec![7]))), Ok(Label::Class("7".into())));
    assert_eq!(label(Arc::new(BooleanArray::from(vec![true]))), Ok(Label::Class("true".into())));
    assert_eq!(pointers(label(Arc::new(Float64Array::from(vec![7.0])))), ["/0/label"]);
    assert_eq!(pointers(label(Arc::new(StringArray::from(vec![None::<&str>])))), ["/0/label"]);
    let id = |array: ArrayRef| read(&with("id", array)).map(|rows| rows[0].id.clone());
    assert_eq!(id(Arc::new(StringArray::from(vec!["x"]))), Ok(Some("x".into())));
    assert_eq!(id(Arc::new(UInt64Array::from(vec![u64::MAX]))), Ok(Some(u64::MAX.to_string())));
    assert_eq!(id(Arc::new(StringArray::from(vec![None::<&str>]))), Ok(None));
    assert_eq!(pointers(id(Arc::new(StringArray::from(vec![""])))), ["/0/id"]);
}

#[test]
fn a_fault_is_pointed_at_by_row_and_feature() {
    let nan = Float64Array::from(vec![0.0, f64::NAN, 1e39]);
    assert_eq!(pointers(read(&with("n", Arc::new(nan)))), ["/1/inputs/n", "/2/inputs/n"]);
    let mut list = ListBuilder::new(Float32Builder::new());
    list.values().append_slice(&[0.5, f32::INFINITY]);
    list.append(true);
    list.values().append_value(0.5);
    list.append(true);
    list.values().append_option(None);
    list.values().append_value(-1.0);
    list.append(true);
    list.append(false);
    let list: ArrayRef = Arc::new(list.finish());
    let vector = ["/0/inputs/v/1", "/1/inputs/v", "/2/inputs/v/0", "/3/inputs/v"];
    assert_eq!(pointers(read(&with("v", list.clone()))), vector);
    let image = ["/0/inputs/i/1", "/1/inputs/i", "/2/inputs/i/0", "/2/inputs/i/1", "/3/inputs/i"];
    assert_eq!(pointers(read(&with("i", list))), image);
}

#[test]
fn a_column_that_cannot_hold_its_feature_is_pointed_at() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    assert_eq!(pointers(read(&with("n", text.clone()))), ["/columns/n"]);
    assert_eq!(pointers(read(&with("v", text.clone()))), ["/columns/v"]);
    assert_eq!(pointers(read(&with("i", text.clone()))), ["/columns/i"]);
    assert_eq!(pointers(read(&with("x", text))), ["/columns/x"]);
    assert_eq!(pointers(read(&with("n", Arc::new(NullArray::new(1))))), ["/columns/n"]);
    assert_eq!(pointers(read(&with("c", Arc::new(Float64Array::from(vec![1.0]))))), ["/columns/c"]);
    assert_eq!(pointers(read(&with("label", pairs(1)))), ["/columns/label"]);
    let mut bytes = FixedSizeBinaryBuilder::new(3);
    bytes.append_value([1, 2, 3]).unwrap();
    assert_eq!(pointers(read(&with("i", Arc::new(bytes.finish())))), ["/columns/i"]);
    let without: Vec<_> = columns(1).into_iter().filter(|(name, _)| *name != "label").collect();
    assert_eq!(pointers(read(&written(&[batch(without)], IpcWriteOptions::default()))), ["/columns/label"]);
}

#[test]
fn an_empty_stream_and_one_that_breaks_off_or_goes_on_are_refused() {
    assert_eq!(pointers(read(&[])), [""]);
    assert_eq!(pointers(read(&written(&[batch(columns(0))], IpcWriteOptions::default()))), [""]);
    let body = stream(3);
    malformed(read(&[&body[..], b"more"].concat()));
    malformed(read(&[&body[..], &body].concat()));
    malformed(read(&body[..body.len() - 20]));
    malformed(read(b"PAR1 and what follows in such a file"));
}

#[test]
fn dictionaries_are_bounded_together() {
    let many: Vec<String> = (0..60_000).map(|number| format!("category {number:030}")).collect();
    let dictionary: DictionaryArray<Int32Type> = many.iter().map(|text| text.as_str()).collect();
    let body = with("c", Arc::new(dictionary));
    assert_eq!(read(&body), Err(DecodeError::TooLong { limit: LONGEST }));
}

#[test]
fn a_buffer_that_unpacks_to_more_than_a_message_may_have_is_refused() {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let body = written(&[batch(columns(100_000))], options);
    assert!(body.len() < LONGEST / 2, "{} bytes: it is small as it comes", body.len());
    assert_eq!(read(&body), Err(DecodeError::TooLong { limit: LONGEST }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_damaged_stream_is_refused_or_read(
        packed in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        word in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(vec![-1i64, 0, 1, 1 << 31, 1 << 40, i64::MAX, i64::MIN]))),
    ) {
        let compression = packed.then_some(CompressionType::LZ4_FRAME);
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut body = written(&[batch(columns(3)), batch(columns(2))], options);
        for (at, with) in flips {
            let at = at.index(body.len());
            body[at] ^= with;
        }
        if let Some((at, word)) = word {
            let at = at.index(body.len() - 8) & !7;
            body[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Ok(examples) = read(&body) {
            for example in examples {
                prop_assert_eq!(example.row.len(), 4);
            }
        }
    }
}
