//! Images: their three forms, their order, what is wrong with them.

use super::*;
use crate::stream::example::{Pixels, Value};

fn image(channels: usize, json: &str) -> Result<Pixels, DecodeError> {
    let kind = FeatureKind::Image { height: 2, width: 3, channels, max: 300.0 };
    let example = Learner::of(kind).example(&format!(r#"{{"x":{json}}}"#), "1")?;
    match &example.row[..] {
        [Value::Image(pixels)] => Ok(pixels.clone()),
        other => panic!("an image was expected: {other:?}"),
    }
}

const X: &str = "/examples/0/inputs/x";

#[test]
fn every_form_makes_the_same_image() {
    let expected = Ok(Pixels::Bytes(vec![1, 2, 3, 4, 5, 6]));
    for form in ["[1,2,3,4,5,6]", "[[1,2,3],[4,5,6]]", "[[[1],[2],[3]],[[4],[5],[6]]]"] {
        assert_eq!(image(1, form), expected, "{form}");
    }
}

#[test]
fn channels_come_last_and_are_kept_first() {
    let expected = Ok(Pixels::Bytes(vec![1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]));
    assert_eq!(image(2, "[1,11,2,12,3,13,4,14,5,15,6,16]"), expected);
    assert_eq!(image(2, "[[[1,11],[2,12],[3,13]],[[4,14],[5,15],[6,16]]]"), expected);
}

#[test]
fn whole_pixels_up_to_255_are_bytes_and_others_floats() {
    assert_eq!(image(1, "[0,255,1.0,2,-0.0,4]"), Ok(Pixels::Bytes(vec![0, 255, 1, 2, 0, 4])));
    assert_eq!(image(1, "[0,256,0,0,0,0]"), Ok(Pixels::Floats(vec![0.0, 256.0, 0.0, 0.0, 0.0, 0.0])));
    assert_eq!(image(1, "[0,0.5,0,0,0,0]"), Ok(Pixels::Floats(vec![0.0, 0.5, 0.0, 0.0, 0.0, 0.0])));
}

#[test]
fn a_pixel_outside_its_range_is_a_fault_at_its_place() {
    assert_eq!(pointers(image(1, "[0,301,0,0,-1,0]")), [format!("{X}/1"), format!("{X}/4")]);
    assert_eq!(pointers(image(1, "[[0,0,0],[0,0,300.001]]")), [format!("{X}/1/2")]);
    assert_eq!(pointers(image(1, "[0,1e400,0,0,0,0]")), [format!("{X}/1")]);
    assert_eq!(pointers(image(2, "[[[0,0],[0,-0.1],[0,0]],[[0,0],[0,0],[0,0]]]")), [format!("{X}/0/1/1")]);
}

#[test]
fn an_image_of_another_shape_is_one_fault() {
    let wrong = [
        "[]",
        "[[]]",
        "[[[]]]",
        "[1,2,3,4,5]",
        "[1,2,3,4,5,6,7]",
        "[[1,2,3]]",
        "[[1,2],[3,4],[5,6]]",
        "[[1,2,3],[4,5,6],[]]",
        "[[1,2,3],[4,5]]",
        "[[1,2,3,4],[5,6]]",
        "[[1,2,3],4,5,6]",
        "[1,[2,3],[4,5,6]]",
        "[[[1,2,3],[4,5,6]]]",
        "[[[[1]],[[2]],[[3]]],[[[4]],[[5]],[[6]]]]",
        "[[[1,2]],[[3,4]],[[5,6]]]",
    ];
    for wrong in wrong {
        assert_eq!(pointers(image(1, wrong)), [X], "{wrong}");
    }
    assert_eq!(pointers(image(2, "[[1,2,3],[4,5,6]]")), [X]);
    assert_eq!(pointers(image(2, "[1,2,3,4,5,6]")), [X]);
}

#[test]
fn an_image_is_a_list_of_numbers() {
    assert_eq!(pointers(image(1, "1")), [X]);
    for wrong in ["null", "\"png\"", "{}", "true"] {
        assert_eq!(pointers(image(1, wrong)), [X], "{wrong}");
        assert_eq!(pointers(image(1, &format!("[1,2,{wrong},4,5,6]"))), [format!("{X}/2")], "{wrong}");
    }
}
