//! The encoder as a document: schema, statistics in order of the features, adopted categories in order of their columns,
//! and where among these the added features came.
//!
//! What is read is checked, so that a damaged document is an error and never a wrong column. Used by serde alone.

use serde::{Deserialize, Serialize};

use super::state::{FeatureState, VectorMoments};
use super::{Encoder, NewCategories};
use crate::stream::moments::{Moments, sound};
use crate::stream::schema::{FeatureKind, Schema};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncoderDocument {
    schema: Schema,
    /// Of the numeric, vector and timestamp features, in order; the others have none.
    statistics: Vec<Statistics>,
    /// (feature index, category).
    categories: Vec<(usize, String)>,
    /// Of every added feature, in order: how many of the categories had a column before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Statistics {
    Numeric(Moments),
    Vector { count: u64, mean: Vec<f64>, m2: Vec<f64> },
    Timestamp(Moments),
}

impl From<Encoder> for EncoderDocument {
    fn from(encoder: Encoder) -> Self {
        let statistics = encoder.features.into_iter().filter_map(|state| match state {
            FeatureState::Numeric(moments) => Some(Statistics::Numeric(moments)),
            FeatureState::Vector(VectorMoments { count, mean, m2 }) => Some(Statistics::Vector { count, mean, m2 }),
            FeatureState::Timestamp(_, moments) => Some(Statistics::Timestamp(moments)),
            FeatureState::Categorical(_) | FeatureState::Image { .. } | FeatureState::Text(_) => None,
        });
        Self {
            schema: encoder.schema,
            statistics: statistics.collect(),
            categories: encoder.adopted,
            added: encoder.added,
        }
    }
}

impl TryFrom<EncoderDocument> for Encoder {
    type Error = &'static str;

    fn try_from(document: EncoderDocument) -> Result<Self, &'static str> {
        let mut encoder = with_columns(&document)?;
        let mut statistics = document.statistics.into_iter();
        for (feature, state) in document.schema.features.iter().zip(&mut encoder.features) {
            match feature.kind {
                FeatureKind::Numeric | FeatureKind::Vector { .. } | FeatureKind::Timestamp(_) => {
                    let own = statistics.next().ok_or("the encoder lacks the statistics of a feature")?;
                    *state = restored(own, state).ok_or("the encoder's statistics do not fit their feature")?;
                }
                FeatureKind::Categorical { .. } | FeatureKind::Image { .. } | FeatureKind::Text(_) => {}
            }
        }
        if statistics.next().is_some() {
            return Err("the encoder has statistics of no feature");
        }
        Ok(encoder)
    }
}

/// An encoder that has seen nothing and has every column of the document, born in the same order.
fn with_columns(document: &EncoderDocument) -> Result<Encoder, &'static str> {
    let features = &document.schema.features;
    let first =
        features.len().checked_sub(document.added.len()).ok_or("the encoder has more features added than it has")?;
    let mut encoder = Encoder::new(&Schema { features: features[..first].to_vec() });
    let adopt = |encoder: &mut Encoder, until: usize| {
        let next = document.categories.get(encoder.adopted.len()..until);
        let values = next.ok_or("the encoder's features were not added in order")?.to_vec();
        encoder.adopt(&NewCategories { values });
        let adopted = document.categories.get(..until) == Some(&encoder.adopted[..]);
        if adopted { Ok(()) } else { Err("the encoder has a category twice, or one of a feature without categories") }
    };
    for (feature, &categories_before) in features[first..].iter().zip(&document.added) {
        adopt(&mut encoder, categories_before)?;
        encoder.add(std::slice::from_ref(feature));
    }
    adopt(&mut encoder, document.categories.len())?;
    Ok(encoder)
}

fn restored(statistics: Statistics, fresh: &FeatureState) -> Option<FeatureState> {
    match (statistics, fresh) {
        (Statistics::Numeric(moments), FeatureState::Numeric(_)) if moments.is_sound() => {
            Some(FeatureState::Numeric(moments))
        }
        (Statistics::Timestamp(moments), FeatureState::Timestamp(feature, _)) if moments.is_sound() => {
            Some(FeatureState::Timestamp(feature.clone(), moments))
        }
        (Statistics::Vector { count, mean, m2 }, FeatureState::Vector(fresh))
            if mean.len() == fresh.mean.len()
                && m2.len() == mean.len()
                && mean.iter().zip(&m2).all(|(&mean, &m2)| sound(mean, m2)) =>
        {
            Some(FeatureState::Vector(VectorMoments { count, mean, m2 }))
        }
        _ => None,
    }
}
