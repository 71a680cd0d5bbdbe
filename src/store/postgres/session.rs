//! What every connection is set to, and what a server must be to keep what is acknowledged. For the files of this folder
//! alone.

use sqlx::{PgConnection, Row as _};

use crate::stream::StoreError;

/// How long a statement waits for a row that another process holds.
const LOCK_WAIT: &str = "15s";

/// How long a transaction may stand still before the server ends it: a process that was stopped in the middle of one must
/// not hold up the others.
const STANDSTILL: &str = "10s";

/// Sets a new connection up.
///
/// A commit waits until the log is synced, whatever the server, the database or the user are set to (`remote_apply`, which
/// waits for more, is left). Plans are made for the values at hand, and along indexes in their order: every statement has one
/// that fits, and a server that has no statistics yet of a stream that was just loaded would rather read and sort all of it
/// for every page (1.4 s instead of 0.6 ms at 300,000 rows). Statements are short, so compiling them does not pay.
pub(super) async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT CASE WHEN current_setting('synchronous_commit') <> 'remote_apply'
                THEN set_config('synchronous_commit', 'on', FALSE) END,
                set_config('lock_timeout', $1, FALSE),
                set_config('idle_in_transaction_session_timeout', $2, FALSE),
                set_config('default_transaction_isolation', 'read committed', FALSE),
                set_config('plan_cache_mode', 'force_custom_plan', FALSE),
                set_config('enable_seqscan', 'off', FALSE),
                set_config('enable_bitmapscan', 'off', FALSE),
                set_config('jit', 'off', FALSE)",
    )
    .bind(LOCK_WAIT)
    .bind(STANDSTILL)
    .execute(connection)
    .await?;
    Ok(())
}

/// Has every statement planned once instead of for the values at hand, after [`set_up`]: for the connection that appends. Its
/// statements look each row up along an index whatever the values are, and the server, which cannot know how long their arrays
/// will be, guesses ten.
pub(super) async fn keep_plans(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SET plan_cache_mode = force_generic_plan").execute(connection).await?;
    Ok(())
}

/// Refuses a server that cannot keep what is acknowledged, and a database that cannot hold every text.
pub(super) async fn check_server(connection: &mut PgConnection) -> Result<(), String> {
    let row = sqlx::query(
        "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
                current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| error.to_string())?;
    let text = |column| row.try_get::<&str, _>(column).map_err(|error| error.to_string());
    if text("fsync")? != "on" {
        return Err(
            "the server runs with fsync off, so a crash of its machine loses what was acknowledged; set fsync to \
                    on"
            .into(),
        );
    }
    if text("pages")? != "on" {
        tracing::warn!("the server runs with full_page_writes off: is its file system safe from torn pages?");
    }
    if text("encoding")? != "UTF8" {
        return Err("its encoding is not UTF8; create the database with ENCODING 'UTF8'".into());
    }
    if row.try_get("standby").map_err(|error| error.to_string())? {
        return Err("the server is a standby, which takes no writes; connect to the primary".into());
    }
    Ok(())
}

/// Refuses a database that other programs have tables in, before anything is written into it. New databases are nobody's.
pub(super) async fn check_owner(connection: &mut PgConnection) -> Result<(), StoreError> {
    let foreign: bool = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
             AND relname <> '_sqlx_migrations')
         AND COALESCE(obj_description(to_regclass('learners'), 'pg_class') <> 'perennial', TRUE)",
    )
    .fetch_one(connection)
    .await?;
    if foreign {
        return Err(StoreError::Unavailable(
            "it has tables of another program; create a database for perennial alone".into(),
        ));
    }
    Ok(())
}
