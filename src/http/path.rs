//! The values in a path. What cannot be the name of anything is simply not found.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::unbroken::unbroken;
use crate::registry::AliasName;
use crate::stream::LearnerName;
use crate::training::LearnerRecord;

/// The values in the path of a request, decoded.
pub struct PathValues(Vec<(String, String)>);

impl PathValues {
    /// The learner that the path names, as the store has it now.
    pub async fn learner(&self, state: &AppState) -> Result<LearnerRecord, Problem> {
        let name = self.learner_name()?;
        state.store.learner(&name).await?.ok_or_else(Problem::learner_not_found)
    }

    /// The learner that the path names, from memory where it is known: enough for what rows are decoded by
    /// ([`super::decoding`]). One that another server created a moment ago is taken up here and now.
    pub async fn known_learner(&self, state: &AppState) -> Result<Arc<LearnerRecord>, Problem> {
        if let Some(record) = state.directory.get(&self.learner_name()?) {
            return Ok(record);
        }
        let record = self.learner(state).await?;
        let taken_up = {
            let (state, record) = (state.clone(), record.clone());
            // A client that goes away must not leave a learner half taken up.
            tokio::spawn(async move {
                state.take_up(record).await;
                Ok(())
            })
        };
        unbroken(taken_up).await?;
        Ok(Arc::new(record))
    }

    /// The alias that the path names.
    pub fn alias(&self) -> Result<AliasName, Problem> {
        self.value("alias").and_then(AliasName::parse).ok_or_else(Problem::alias_not_found)
    }

    /// A number in the path; anything else there is a `missing`.
    pub fn number(&self, name: &str, missing: Kind) -> Result<u64, Problem> {
        let digits = |text: &str| !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        self.value(name)
            .filter(|text| digits(text))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Problem::new(missing, "the path names none by its number"))
    }

    fn learner_name(&self) -> Result<LearnerName, Problem> {
        let text = self.value("learner").ok_or_else(Problem::learner_not_found)?;
        LearnerName::parse(text).map_err(|_| Problem::learner_not_found())
    }

    /// The text of a value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequestParts<AppState> for PathValues {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let values = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Kind::NotFound, "the path is no UTF-8"))?;
        Ok(Self(values.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }
}
