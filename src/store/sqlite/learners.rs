//! The table of learners.

use sqlx::SqliteConnection;

use super::{SqliteStore, aliases, blobs, commit, versions};
use crate::store::values::{json, kept, now, time};
use crate::store::{commits, rows};
use crate::stream::{LearnerId, LearnerName, Schema, Seq, StoreError};
use crate::training::{Change, Checkpoint, CreateError, LearnerDocument, LearnerRecord, NewVersion};

impl SqliteStore {
    pub(super) async fn insert_learner(
        &self,
        document: &LearnerDocument,
        first: NewVersion,
        checkpoint: Checkpoint,
    ) -> Result<LearnerRecord, CreateError> {
        let at = now();
        let mut transaction = self.write().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO learners (name, document, revision, created_at) VALUES (?, ?, 1, ?)
             ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .bind(document.name.as_str().to_owned())
        .bind(json(document)?)
        .bind(at)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        let Some(id) = id else {
            transaction.roll_back().await?;
            return Err(CreateError::Duplicate);
        };
        let learner = LearnerId(id);
        sqlx::query("INSERT INTO streams (learner_id, head) VALUES (?, 0)")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        for digest in commits::mentions(&checkpoint, std::slice::from_ref(&first)) {
            blobs::name(&mut transaction, digest).await?;
        }
        versions::insert(&mut transaction, learner, &first, at).await?;
        aliases::accept(&mut transaction, learner, first.version, at).await?;
        commit::replace_checkpoint(&mut transaction, learner, &checkpoint).await?;
        transaction.tell(Change::Learner(learner));
        transaction.commit().await?;
        Ok(LearnerRecord {
            id: learner,
            document: document.clone(),
            revision: 1,
            created_at: time(at, "a new learner")?,
            head: Seq(0),
        })
    }

    pub(super) async fn learner_named(&self, name: &LearnerName) -> Result<Option<LearnerRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id
             WHERE name = ?",
        )
        .bind(name.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(rows::learner).transpose()
    }

    pub(super) async fn learner_numbered(&self, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
        numbered(&mut *self.readers.acquire().await?, learner).await
    }

    pub(super) async fn learners_after(
        &self,
        after: Option<&LearnerName>,
        limit: i64,
    ) -> Result<Vec<LearnerRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id
             WHERE name > ? ORDER BY name LIMIT ?",
        )
        .bind(after.map_or("", LearnerName::as_str).to_owned())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(rows::learner).collect()
    }

    pub(super) async fn replace_document(
        &self,
        learner: LearnerId,
        revision: u64,
        document: &LearnerDocument,
    ) -> Result<Option<LearnerRecord>, StoreError> {
        let mut transaction = self.write().await?;
        let record = match numbered(&mut transaction, learner).await? {
            // A document cannot rename its learner.
            Some(record) if record.revision == revision && record.document.name == document.name => {
                // A growth may have added features since the document was read.
                let document = LearnerDocument { schema: record.document.schema.clone(), ..document.clone() };
                let record = LearnerRecord { document, revision: revision + 1, ..record };
                write_document(&mut transaction, &record).await?;
                transaction.tell(Change::Learner(learner));
                Some(record)
            }
            _ => None,
        };
        transaction.commit().await?;
        Ok(record)
    }
}

/// Gives a learner this schema, whatever its revision: settings and schema change independently of each other.
pub(super) async fn replace_schema(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    schema: &Schema,
) -> Result<(), StoreError> {
    let record = numbered(connection, learner).await?;
    let mut record = record.ok_or_else(|| StoreError::Unavailable("there is no such learner".into()))?;
    record.document.schema = schema.clone();
    write_document(connection, &record).await
}

async fn write_document(connection: &mut SqliteConnection, record: &LearnerRecord) -> Result<(), StoreError> {
    sqlx::query("UPDATE learners SET document = ?, revision = ? WHERE id = ?")
        .bind(json(&record.document)?)
        .bind(kept(record.revision)?)
        .bind(record.id.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn numbered(connection: &mut SqliteConnection, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id WHERE id = ?",
    )
    .bind(learner.0)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::learner).transpose()
}
