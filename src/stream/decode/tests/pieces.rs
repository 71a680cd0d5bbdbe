//! How a body is cut into pieces makes no difference, and what is unfinished stays within its bound.

use proptest::prelude::*;

use super::*;

/// A body of every format with these many rows, with what is hard about each.
fn bodies(rows: usize) -> Vec<(Format, Vec<u8>)> {
    let line = format!(r#"{{"inputs":{INPUTS},"label":"a"}}"#);
    let json = format!(r#"{{"examples":[{}]}}"#, vec![line.as_str(); rows.min(10)].join(","));
    let lines = format!("\r\n{}\n\n{line}", vec![line.as_str(); rows].join("\r\n"));
    let record = "1.5,\"re\"\"d,\nred\",1,2,3,4,a\r\n";
    let csv = format!("\u{feff}n,c,v.0,v.1,i.0,i.1,label\n{}", record.repeat(rows));
    vec![
        (Format::Json, json.into_bytes()),
        (Format::Ndjson, lines.into_bytes()),
        (Format::Csv(Table::default()), csv.into_bytes()),
        (Format::Arrow(Table::default()), arrow::stream(rows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_body_is_the_same_however_it_is_cut(rows in 1usize..30, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        let learner = Learner::new();
        for (format, body) in bodies(rows) {
            let whole = learner.decode(format.clone(), [&body[..]]);
            prop_assert!(whole.is_ok(), "{:?}", whole);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
            prop_assert_eq!(learner.decode(format.clone(), pieces), whole.clone());
            prop_assert_eq!(learner.decode(format, body.chunks(1)), whole);
        }
    }

    #[test]
    fn a_body_that_is_flipped_or_cut_is_answered(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        piece in 1usize..200,
    ) {
        let learner = Learner::new();
        for (format, mut body) in bodies(3) {
            for (at, with) in &flips {
                let at = at.index(body.len());
                body[at] ^= with;
            }
            if let Some(cut) = &cut {
                body.truncate(cut.index(body.len()));
            }
            if let Ok(examples) = learner.decode(format, body.chunks(piece)) {
                for example in examples {
                    prop_assert_eq!(example.row.len(), 4);
                }
            }
        }
    }
}

#[test]
fn what_is_unfinished_is_refused_when_it_is_too_long() {
    let learner = Learner::new();
    let endless = |format: Format, begin: &[u8]| {
        let filler = vec![b'x'; 100_000];
        let pieces = std::iter::once(begin).chain(std::iter::repeat_n(&filler[..], 100));
        learner.decode(format, pieces)
    };
    let too_long = Err(DecodeError::TooLong { limit: LONGEST });
    assert_eq!(endless(Format::Json, b"{\"examples\":[\""), too_long);
    assert_eq!(endless(Format::Ndjson, b"{\"inputs\":\""), too_long);
    assert_eq!(endless(Format::Csv(Table::default()), b"n,c,v.0,v.1,i.0,i.1,label\n1,\"\n"), too_long);
    assert_eq!(endless(Format::Csv(Table::default()), b"n,c"), too_long);
    assert_eq!(endless(Format::Arrow(Table::default()), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), too_long);
    let older = endless(Format::Arrow(Table::default()), &[0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(older, Err(DecodeError::Malformed(_))), "a stream of before version 0.15: {older:?}");
}

#[test]
fn a_row_with_a_feature_that_came_since_waits_for_the_newest_schema() {
    let old = Learner::new();
    let mut new = Learner::new();
    new.schema = new.schema.with(&[Feature::new("more", FeatureKind::Numeric)]);
    let line = |more: &str| format!("{{\"inputs\":{},\"label\":\"a\"}}\n", INPUTS.replace('}', more));
    let lines = line("}") + &line(r#","more":7}"#) + &line("}");
    let csv = "n,c,v.0,v.1,i.0,i.1,more,label\n1.5,red,1,2,3,4,7,a\n";
    for (format, body, before, rows) in
        [(Format::Ndjson, lines.as_str(), 1, 3), (Format::Csv(Table::default()), csv, 0, 1)]
    {
        let mut decoder = format.clone().decoder(LONGEST);
        let mut found = Rows::default();
        decoder.feed(Bytes::copy_from_slice(body.as_bytes()));
        let progress = decoder.decode(old.expected(), SchemaAge::Remembered, &mut found);
        assert_eq!((progress, found.examples.len()), (Ok(Progress::UnknownFeature), before));
        assert_eq!(decoder.decode(new.expected(), SchemaAge::Newest, &mut found), Ok(Progress::Hungry));
        assert_eq!((found.examples.len(), found.faults.len()), (rows, 0));
        let refused = old.decode(format, [body.as_bytes()]);
        assert!(refused.unwrap_err().names_an_unknown_feature());
    }
}
