//! Everything that stands in a database, as texts that can be compared: its schema and the rows of its tables.

use std::collections::BTreeMap;

use crate::storage::Look;

/// What stands in a database, but for what is another in every one: when it was migrated, and the name of its place in an
/// object store.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// The migrations that were applied.
    pub applied: Vec<String>,
    schema: Vec<String>,
    rows: BTreeMap<String, Vec<String>>,
}

/// How a kind of database is asked.
struct Queries {
    /// What its tables and indexes are.
    schema: &'static str,
    /// `table.column`, in order.
    columns: &'static str,
    is_sound: &'static str,
}

const SQLITE: Queries = Queries {
    schema: "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema
        WHERE tbl_name <> '_sqlx_migrations' ORDER BY 1",
    columns: "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid",
    is_sound: "PRAGMA integrity_check",
};

const POSTGRES: Queries = Queries {
    schema: "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
            || coalesce(' ' || column_default, '') || coalesce(' ' || collation_name, '')
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'
        UNION ALL SELECT conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('_sqlx_migrations')::oid, 0::oid)
        ORDER BY 1",
    columns: "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
    is_sound: "SELECT 'ok'",
};

impl Tables {
    /// Reads all of it.
    pub async fn read(look: &mut Look) -> Result<Self, String> {
        Self::asked(look).await.map_err(|error| format!("the tables cannot be read: {error}"))
    }

    async fn asked(look: &mut Look) -> Result<Self, sqlx::Error> {
        let (queries, row): (_, fn(&[String]) -> String) = match look {
            Look::Sqlite(_) => (SQLITE, |columns| {
                columns.iter().map(|column| format!("quote(\"{column}\")")).collect::<Vec<_>>().join(" || ' ' || ")
            }),
            Look::Postgres(_) => (POSTGRES, |columns| format!("ROW(\"{}\")::text", columns.join("\", \""))),
        };
        let mut rows = BTreeMap::new();
        for (table, columns) in columns(look, &queries).await? {
            if !["_sqlx_migrations", "object_space"].contains(&table.as_str()) {
                let query = format!("SELECT {} FROM \"{table}\" ORDER BY 1", row(&columns));
                rows.insert(table, look.texts(&query).await?);
            }
        }
        let sound = look.texts(queries.is_sound).await?;
        rows.insert("integrity".into(), sound);
        let applied = look.texts("SELECT CAST(version AS TEXT) FROM _sqlx_migrations ORDER BY version").await?;
        Ok(Self { applied, schema: look.texts(queries.schema).await?, rows })
    }
}

/// The columns of every table.
async fn columns(look: &mut Look, queries: &Queries) -> Result<BTreeMap<String, Vec<String>>, sqlx::Error> {
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in look.texts(queries.columns).await? {
        let (table, column) = name.split_once('.').expect("a table and a column");
        columns.entry(table.to_owned()).or_default().push(column.to_owned());
    }
    Ok(columns)
}

/// Copies all rows of a SQLite file of the first release into the same tables on Postgres.
pub async fn copy(from: &mut Look, to: &mut Look) -> Result<(), sqlx::Error> {
    let kinds = "SELECT table_name || '.' || column_name || '.' || data_type FROM information_schema.columns
        WHERE table_schema = 'public'";
    let kinds: BTreeMap<String, String> = to.texts(kinds).await?.into_iter().filter_map(split_kind).collect();
    // Rows come table by table; that they refer to each other rightly was made sure of where they come from.
    to.texts("SET session_replication_role = replica").await?;
    for (table, columns) in columns(from, &SQLITE).await? {
        if table == "_sqlx_migrations" {
            continue;
        }
        let value = |column: &String| {
            let literal = match kinds[&format!("{table}.{column}")].as_str() {
                "bytea" => format!("'''\\x' || hex(\"{column}\") || '''::bytea'"),
                "text" => format!("'convert_from(''\\x' || hex(\"{column}\") || '''::bytea, ''UTF8'')'"),
                "boolean" => format!("iif(\"{column}\", 'true', 'false')"),
                _ => format!("quote(\"{column}\")"),
            };
            format!("iif(\"{column}\" IS NULL, 'NULL', {literal})")
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        let query = format!("SELECT '(' || {} || ')' FROM \"{table}\"", values.join(" || ', ' || "));
        let names = columns.join("\", \"");
        for row in from.texts(&query).await? {
            to.texts(&format!("INSERT INTO \"{table}\" (\"{names}\") VALUES {row}")).await?;
        }
    }
    // Numbers that the database gives go on after those that are there.
    let identities =
        "SELECT format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT greatest(max(%I), 1) FROM %I))::text',
            table_name, column_name, column_name, table_name)
        FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'YES'";
    for query in to.texts(identities).await? {
        to.texts(&query).await?;
    }
    Ok(())
}

fn split_kind(name: String) -> Option<(String, String)> {
    name.rsplit_once('.').map(|(column, kind)| (column.to_owned(), kind.to_owned()))
}
