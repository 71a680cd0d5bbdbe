//! The encoder as a document: schema, statistics in order of the features, adopted categories in order of their columns.
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
    /// Of the numeric and vector features, in order; the others have none.
    statistics: Vec<Statistics>,
    /// (feature index, category).
    categories: Vec<(usize, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Statistics {
    Numeric(Moments),
    Vector { count: u64, mean: Vec<f64>, m2: Vec<f64> },
}

impl From<Encoder> for EncoderDocument {
    fn from(encoder: Encoder) -> Self {
        let statistics = encoder.features.into_iter().filter_map(|state| match state {
            FeatureState::Numeric(moments) => Some(Statistics::Numeric(moments)),
            FeatureState::Vector(VectorMoments { count, mean, m2 }) => Some(Statistics::Vector { count, mean, m2 }),
            FeatureState::Categorical(_) | FeatureState::Image { .. } => None,
        });
        Self { schema: encoder.schema, statistics: statistics.collect(), categories: encoder.adopted }
    }
}

impl TryFrom<EncoderDocument> for Encoder {
    type Error = &'static str;

    fn try_from(document: EncoderDocument) -> Result<Self, &'static str> {
        let mut encoder = Self::new(&document.schema);
        let mut statistics = document.statistics.into_iter();
        for (feature, state) in document.schema.features.iter().zip(&mut encoder.features) {
            match feature.kind {
                FeatureKind::Numeric | FeatureKind::Vector { .. } => {
                    let own = statistics.next().ok_or("the encoder lacks the statistics of a feature")?;
                    *state = restored(own, state).ok_or("the encoder's statistics do not fit their feature")?;
                }
                FeatureKind::Categorical { .. } | FeatureKind::Image { .. } => {}
            }
        }
        if statistics.next().is_some() {
            return Err("the encoder has statistics of no feature");
        }
        let categories = NewCategories { values: document.categories };
        encoder.adopt(&categories);
        if encoder.adopted == categories.values {
            Ok(encoder)
        } else {
            Err("the encoder has a category twice, or one of a feature without categories")
        }
    }
}

fn restored(statistics: Statistics, fresh: &FeatureState) -> Option<FeatureState> {
    match (statistics, fresh) {
        (Statistics::Numeric(moments), FeatureState::Numeric(_)) if moments.is_sound() => {
            Some(FeatureState::Numeric(moments))
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
