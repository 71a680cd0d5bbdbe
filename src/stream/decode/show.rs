//! A stored row as the JSON that it came in as: what is shown is accepted again and makes the same row.

use serde_json::{Map, Value as Json};

use crate::stream::example::{Pixels, Row, Value};
use crate::stream::schema::{FeatureKind, Schema};

/// The object under `inputs`. Missing values are null; images are nested, channels last.
pub(super) fn inputs(schema: &Schema, row: &Row) -> Json {
    let features = schema.features.iter().enumerate();
    let values = features.map(|(index, feature)| {
        let value = match row.get(index).unwrap_or(&Value::Missing) {
            Value::Missing => Json::Null,
            Value::Number(number) => json_number(*number),
            Value::Category(text) => text.as_str().into(),
            Value::Vector(numbers) => numbers.iter().map(|&number| json_float(number)).collect(),
            Value::Text(text) => text.as_str().into(),
            Value::Time(time) => time.to_string().into(),
            Value::Image(Pixels::Bytes(pixels)) => nested(&feature.kind, pixels, |&pixel| pixel.into()),
            Value::Image(Pixels::Floats(pixels)) => nested(&feature.kind, pixels, |&pixel| json_float(pixel)),
        };
        (feature.name.clone(), value)
    });
    Json::Object(values.collect::<Map<_, _>>())
}

/// Planes of pixels as `[height][width]` for one channel, `[height][width][channels]` for more.
fn nested<T>(kind: &FeatureKind, planes: &[T], shown: impl Fn(&T) -> Json) -> Json {
    let FeatureKind::Image { height, width, channels, .. } = *kind else {
        return planes.iter().map(shown).collect();
    };
    let pixel =
        |channel: usize, position: usize| planes.get(channel * height * width + position).map_or(Json::Null, &shown);
    let at = |position: usize| match channels {
        1 => pixel(0, position),
        _ => (0..channels).map(|channel| pixel(channel, position)).collect(),
    };
    (0..height).map(|y| (0..width).map(|x| at(y * width + x)).collect::<Json>()).collect()
}

/// Whole numbers without a point, as most people write them.
fn json_number(number: f64) -> Json {
    let is_whole = number.fract() == 0.0 && number.abs() < 9e15 && !(number == 0.0 && number.is_sign_negative());
    if is_whole { (number as i64).into() } else { number.into() }
}

/// The shortest number that makes the same f32 again.
fn json_float(number: f32) -> Json {
    let shortest = number.to_string().parse::<f64>().ok().filter(|shortest| *shortest as f32 == number);
    json_number(shortest.unwrap_or_else(|| f64::from(number)))
}
