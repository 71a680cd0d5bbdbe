//! [`FleetStore`] on SQLite: one look at every learner, from rows and indexes alone: no document is read.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use crate::registry::VersionId;
use crate::store::failure::damaged;
use crate::store::values::{bound, kept, later, now, number};
use crate::stream::{LearnerId, LearnerName, Seq, StoreError};
use crate::training::fleet::{Failure, Holder};
use crate::training::{Change, Fence, FleetStore, Overview};

#[async_trait]
impl FleetStore for SqliteStore {
    async fn overview(&self, after: LearnerId, limit: usize) -> Result<Vec<Overview>, StoreError> {
        let at = now();
        let rows = sqlx::query(
            "SELECT id, name, revision, head, position, trained_seq, last_version, aliases.version AS live,
                    token, owner, expires_at, failure, retry_at,
                    (SELECT count(*) FROM tickets WHERE tickets.learner_id = id AND state = 'planned') AS orders
             FROM learners JOIN streams ON streams.learner_id = id
             LEFT JOIN checkpoints ON checkpoints.learner_id = id
             LEFT JOIN aliases ON aliases.learner_id = id AND alias = 'live'
             LEFT JOIN leases ON leases.learner_id = id
             WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(after.0)
        .bind(bound(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| overview(row, at)).collect()
    }

    async fn fail_lease(&self, fence: Fence, kind: &str, pause: Duration) -> Result<(), StoreError> {
        let pause = time::Duration::try_from(pause).unwrap_or(time::Duration::MAX);
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE leases SET owner = NULL, expires_at = 0, failure = ?, retry_at = ?
             WHERE learner_id = ? AND token = ? AND owner IS NOT NULL",
        )
        .bind(kind.to_owned())
        .bind(later(now(), pause))
        .bind(fence.learner.0)
        .bind(kept(fence.token)?)
        .execute(&mut *transaction)
        .await?;
        transaction.tell(Change::Lease(fence.learner));
        transaction.commit().await
    }
}

fn overview(row: &SqliteRow, at: i64) -> Result<Overview, StoreError> {
    let id: i64 = row.try_get("id")?;
    let what = format!("learner {id}");
    let whole = |column| number(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0), &what);
    // Microseconds from now on; none if it is past.
    let ahead = |column| -> Result<Duration, StoreError> {
        let time: Option<i64> = row.try_get(column)?;
        Ok(Duration::from_micros(time.map_or(0, |time| time.saturating_sub(at)).max(0).unsigned_abs()))
    };
    let text = |column| row.try_get::<Option<String>, _>(column);
    let name: String = row.try_get("name")?;
    let live = whole("live")?;
    let expires_in = ahead("expires_at")?;
    let retry_in = ahead("retry_at")?;
    Ok(Overview {
        learner: LearnerId(id),
        name: LearnerName::parse(&name).map_err(|_| damaged(&what, "its name is none"))?,
        revision: whole("revision")?,
        head: Seq(whole("head")?),
        trained_seq: Seq(whole("trained_seq")?),
        position: whole("position")?,
        last_version: VersionId(whole("last_version")?),
        live: (live > 0).then_some(VersionId(live)),
        orders: whole("orders")?,
        token: whole("token")?,
        holder: text("owner")?.map(|owner| Holder { owner, expires_in }),
        failure: text("failure")?.map(|kind| Failure { kind, retry_in }),
    })
}
