//! The table of learners.

use sqlx::PgConnection;

use super::write::WriteTransaction;
use super::{PostgresStore, aliases, blobs, commit, versions};
use crate::store::columns::Columns as _;
use crate::store::values::{json, kept, time};
use crate::store::{commits, rows};
use crate::stream::{LearnerId, LearnerName, Schema, Seq, StoreError};
use crate::training::{Change, Checkpoint, CreateError, LearnerDocument, LearnerRecord, NewVersion};

impl PostgresStore {
    pub(super) async fn insert_learner(
        &self,
        document: &LearnerDocument,
        first: &NewVersion,
        checkpoint: &Checkpoint,
    ) -> Result<LearnerRecord, CreateError> {
        let mut transaction = self.write().await?;
        let created = sqlx::query(
            "INSERT INTO learners (name, document, revision, created_at) VALUES ($1, $2, 1, micros())
             ON CONFLICT (name) DO NOTHING RETURNING id, created_at",
        )
        .bind(document.name.as_str())
        .bind(json(document)?)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        let Some(created) = created else {
            transaction.roll_back().await?;
            return Err(CreateError::Duplicate);
        };
        let learner = LearnerId(created.integer("id")?);
        sqlx::query("INSERT INTO streams (learner_id, head) VALUES ($1, 0)")
            .bind(learner.0)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        blobs::name(&mut transaction, commits::mentions(checkpoint, std::slice::from_ref(first))).await?;
        versions::insert(&mut transaction, learner, first).await?;
        aliases::accept(&mut transaction, learner, first.version).await?;
        commit::replace_checkpoint(&mut transaction, learner, checkpoint).await?;
        transaction.tell(Change::Learner(learner));
        transaction.commit().await?;
        Ok(LearnerRecord {
            id: learner,
            document: document.clone(),
            revision: 1,
            created_at: time(created.integer("created_at")?, "a new learner")?,
            head: Seq(0),
        })
    }

    pub(super) async fn learner_named(&self, name: &LearnerName) -> Result<Option<LearnerRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id
             WHERE name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(rows::learner).transpose()
    }

    pub(super) async fn learner_numbered(&self, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
        numbered(&mut *self.pool.acquire().await?, learner).await
    }

    pub(super) async fn learners_after(
        &self,
        after: Option<&LearnerName>,
        limit: i64,
    ) -> Result<Vec<LearnerRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id
             WHERE name > $1 ORDER BY name LIMIT $2",
        )
        .bind(after.map_or("", LearnerName::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
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
        let record = match locked(&mut transaction, learner).await? {
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
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    schema: &Schema,
) -> Result<(), StoreError> {
    let record = locked(transaction, learner).await?;
    let mut record = record.ok_or_else(|| StoreError::Unavailable("there is no such learner".into()))?;
    record.document.schema = schema.clone();
    write_document(transaction, &record).await
}

async fn write_document(connection: &mut PgConnection, record: &LearnerRecord) -> Result<(), StoreError> {
    sqlx::query("UPDATE learners SET document = $1, revision = $2 WHERE id = $3")
        .bind(json(&record.document)?)
        .bind(kept(record.revision)?)
        .bind(record.id.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// A learner as it is committed last, locked: what is decided from its document still holds when it is written.
async fn locked(transaction: &mut WriteTransaction, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
    if transaction.lock_learner(learner).await? { numbered(transaction, learner).await } else { Ok(None) }
}

async fn numbered(connection: &mut PgConnection, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT id, document, revision, created_at, head FROM learners JOIN streams ON learner_id = id WHERE id = $1",
    )
    .bind(learner.0)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::learner).transpose()
}
