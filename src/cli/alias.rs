//! `perennial alias`: names that point to versions: set, list, delete, and who moved them when.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::table::{table, text_at, whole_at};

#[derive(Debug, Args)]
pub struct AliasArguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: AliasCommand,
}

#[derive(Debug, Subcommand)]
enum AliasCommand {
    /// Let an alias name a version; it is made if it is not there. Moving `live` back pins it.
    Set {
        /// The learner.
        learner: String,
        /// The alias: lower-case letters, digits, `-` and `_`.
        alias: String,
        /// The version's number, or another alias: what it names now.
        version: String,
        /// Pin it there: the trainer does not move `live`, and nobody an alias, until it is unpinned.
        #[arg(long, conflicts_with = "no_pin")]
        pin: bool,
        /// Do not pin it, and take a pin away.
        #[arg(long)]
        no_pin: bool,
        /// Only if it is still in this generation (`alias list` shows it); 0: only if it is not there yet.
        #[arg(long, value_name = "N")]
        if_generation: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// List a learner's aliases.
    List {
        /// The learner.
        learner: String,
    },
    /// Delete an alias; its history stays. `live` and pinned aliases stay.
    Delete {
        /// The learner.
        learner: String,
        /// The alias.
        alias: String,
        /// Only if it is still in this generation.
        #[arg(long, value_name = "N")]
        if_generation: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Show who moved an alias, when and why.
    History {
        /// The learner.
        learner: String,
        /// The alias.
        #[arg(default_value = "live")]
        alias: String,
        /// Only what it named at this time (RFC 3339, such as 2026-03-01T12:00:00Z).
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

/// Who changes something, and why: kept in the history.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; kept in the alias's history.
    #[arg(long)]
    pub reason: Option<String>,
    /// Who; kept in the alias's history.
    #[arg(long, env = "PERENNIAL_ACTOR", value_name = "NAME")]
    pub actor: Option<String>,
}

impl Why {
    /// The headers that say who asks and what the alias must be.
    pub fn headers(&self, if_generation: Option<u64>) -> Vec<(&'static str, String)> {
        let actor = self.actor.clone().map(|actor| ("perennial-actor", actor));
        let condition = if_generation.map(|generation| match generation {
            0 => ("if-none-match", "*".to_owned()),
            generation => ("if-match", format!("\"{generation}\"")),
        });
        actor.into_iter().chain(condition).collect()
    }
}

pub async fn run(arguments: AliasArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let json_wanted = arguments.connection.json;
    match arguments.command {
        AliasCommand::Set { learner, alias, version, pin, no_pin, if_generation, why } => {
            let mut body = json!({ "version": version.parse::<u64>().map_or_else(|_| json!(version), |n| json!(n)) });
            if pin || no_pin {
                body["pin"] = json!(pin);
            }
            if let Some(reason) = &why.reason {
                body["reason"] = json!(reason);
            }
            let path = alias_path(&learner, &alias, "");
            let headers = why.headers(if_generation);
            let answer = client.send_with(Method::PUT, &path, Some(Body::json(&body)), &headers).await?;
            show_change(&answer, json_wanted);
        }
        AliasCommand::List { learner } => {
            let aliases = all(&client, &learner_path(&learner, "/aliases"), "aliases").await?;
            list(&aliases, json_wanted);
        }
        AliasCommand::Delete { learner, alias, if_generation, why } => {
            let reason = why.reason.as_ref().map(|reason| format!("?reason={}", escaped(reason))).unwrap_or_default();
            let path = alias_path(&learner, &alias, &reason);
            client.send_with(Method::DELETE, &path, None, &why.headers(if_generation)).await?;
            match json_wanted {
                true => println!("{:#}", json!({ "deleted": alias })),
                false => println!("deleted {alias}"),
            }
        }
        AliasCommand::History { learner, alias, at: Some(at) } => {
            let then = client.get(&alias_path(&learner, &alias, &format!("/history?at={}", escaped(&at)))).await?;
            match json_wanted {
                true => println!("{then:#}"),
                false if then["version"].is_null() => println!("{alias} named nothing at {at}"),
                false => println!("{alias} named version {} at {at}", whole_at(&then, "/version")),
            }
        }
        AliasCommand::History { learner, alias, at: None } => {
            let changes = all(&client, &alias_path(&learner, &alias, "/history"), "changes").await?;
            history(&changes, json_wanted);
        }
    }
    Ok(())
}

/// The path of an alias's resource.
pub fn alias_path(learner: &str, alias: &str, rest: &str) -> String {
    learner_path(learner, &format!("/aliases/{}{rest}", escaped(alias)))
}

/// Says what an alias is after a change.
pub fn show_change(alias: &Value, json_wanted: bool) {
    if json_wanted {
        println!("{alias:#}");
        return;
    }
    let pinned = if alias["pinned"] == true { ", pinned" } else { "" };
    let (name, version) = (text_at(alias, "/alias"), whole_at(alias, "/version"));
    println!("{name} names version {version}{pinned} (generation {})", whole_at(alias, "/generation"));
}

fn list(aliases: &[Value], json_wanted: bool) {
    if json_wanted {
        println!("{:#}", json!({ "aliases": aliases }));
        return;
    }
    let mut rows = table(&["alias", "version", "pinned", "waiting", "generation", "changed at"], &[1, 3, 4]);
    for alias in aliases {
        rows.add_row(vec![
            text_at(alias, "/alias"),
            whole_at(alias, "/version"),
            yes_at(alias, "/pinned"),
            whole_at(alias, "/waiting"),
            whole_at(alias, "/generation"),
            text_at(alias, "/changed_at"),
        ]);
    }
    println!("{rows}");
}

fn history(changes: &[Value], json_wanted: bool) {
    if json_wanted {
        println!("{:#}", json!({ "changes": changes }));
        return;
    }
    let mut rows = table(&["generation", "action", "from", "to", "pinned", "actor", "reason", "at"], &[0, 2, 3]);
    for change in changes {
        rows.add_row(vec![
            whole_at(change, "/generation"),
            text_at(change, "/action"),
            whole_at(change, "/from"),
            whole_at(change, "/to"),
            yes_at(change, "/pinned"),
            text_at(change, "/actor"),
            text_at(change, "/reason"),
            text_at(change, "/at"),
        ]);
    }
    println!("{rows}");
}

fn yes_at(document: &Value, pointer: &str) -> String {
    if document.pointer(pointer) == Some(&Value::Bool(true)) { "yes".into() } else { String::new() }
}

/// Every entry of a list, page by page.
async fn all(client: &Client, path: &str, key: &str) -> anyhow::Result<Vec<Value>> {
    let mut entries: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let mut page = client.get(&format!("{path}?limit=1000{after}")).await?;
        if let Some(Value::Array(more)) = page.get_mut(key).map(Value::take) {
            entries.extend(more);
        }
        after = match &page["next_after"] {
            Value::String(name) => format!("&after={}", escaped(name)),
            Value::Number(number) => format!("&after={number}"),
            _ => return Ok(entries),
        };
    }
}

/// A text as a part of a path or query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_reads_otherwise_is_escaped() {
        assert_eq!(alias_path("digits", "../live", "/pin"), "/v1/learners/digits/aliases/%2E%2E%2Flive/pin");
        assert_eq!(escaped("2026-01-01T00:00:00+01:00"), "2026-01-01T00%3A00%3A00%2B01%3A00");
    }

    #[test]
    fn a_generation_is_a_condition_and_none_means_new() {
        let why = Why { reason: None, actor: Some("anna".into()) };
        let actor = ("perennial-actor", "anna".to_owned());
        assert_eq!(why.headers(None), std::slice::from_ref(&actor));
        assert_eq!(why.headers(Some(7)), [actor.clone(), ("if-match", "\"7\"".into())]);
        assert_eq!(why.headers(Some(0)), [actor, ("if-none-match", "*".into())]);
    }
}
