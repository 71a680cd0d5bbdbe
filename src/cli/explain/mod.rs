//! `perennial growth explain`: what a growth would do, without doing it. Offline for any network that a document
//! describes, or for a running learner by a dry run on its server; the same table for both.

mod certified;
mod difference_text;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::growth_request::RequestArguments;
use super::learner::read_document;
use super::plan_text::{plan_table, summary};
use crate::growth::{Certificate, GrowthRequest, Plan, PlanDiff, Preserves, plan};
use crate::http::growth_view::{PlanView, Preview};
use subject::SubjectArguments;

/// The probability that new classes may take at most, as trainers grow them.
const EPSILON: f64 = 1e-3;

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("network_of").required(true).args(["builder", "network", "learner"])),
    group(ArgGroup::new("what").required(true).args(["wider", "deeper", "new_inputs", "new_classes"])),
)]
pub struct ExplainArguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// A learner of the server: what it would answer to `grow --dry-run` with the same flags.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["set", "input", "classes", "seed", "new_inputs", "new_classes"])]
    learner: Option<String>,
    #[command(flatten)]
    request: RequestArguments,
    /// So many new input features (`grow` takes them by name).
    #[arg(long, value_name = "N", conflicts_with = "manner")]
    new_inputs: Option<usize>,
    /// So many new classes (`grow` takes them by name).
    #[arg(long, value_name = "N", conflicts_with = "manner")]
    new_classes: Option<usize>,
    /// Give the network new weights by the seed, grow them, and measure on random rows what changed.
    #[arg(long, conflicts_with = "learner")]
    certify: bool,
    /// Show in what the plan differs from this one, as `--json` printed it.
    #[arg(long, value_name = "FILE", conflicts_with = "learner")]
    against: Option<PathBuf>,
}

pub async fn run(arguments: ExplainArguments, connection: &Connection) -> anyhow::Result<()> {
    match &arguments.learner {
        Some(learner) => dry_run(learner, &arguments.request, connection).await,
        None => offline(&arguments, connection),
    }
}

async fn dry_run(learner: &str, request: &RequestArguments, connection: &Connection) -> anyhow::Result<()> {
    let order = request.document()?.context("name what to grow by `--wider` or `--deeper`")?;
    let path = learner_path(learner, "/growth?dry_run=true");
    let answer = Client::new(&connection.server)?.send(Method::POST, &path, Some(Body::json(&order))).await?;
    if connection.json {
        println!("{answer:#}");
        return Ok(());
    }
    let preview: Preview = serde_json::from_value(answer).context("the answer is no dry run; is the server older?")?;
    show(&preview.plan);
    Ok(())
}

fn offline(arguments: &ExplainArguments, connection: &Connection) -> anyhow::Result<()> {
    let explained = Explained::of(arguments)?;
    if connection.json {
        println!("{:#}", explained.document()?);
    } else {
        match &explained.difference {
            Some(difference) => print!("{}", difference_text::text(difference)),
            None => show(&(&explained.plan).into()),
        }
        if let Some(certificate) = &explained.certificate {
            print!("{}", certified::text(certificate));
        }
    }
    explained.check()
}

/// A plan, and what else was asked about it.
#[derive(Debug)]
struct Explained {
    plan: Plan,
    certificate: Option<Certificate>,
    difference: Option<PlanDiff>,
}

impl Explained {
    fn of(arguments: &ExplainArguments) -> anyhow::Result<Self> {
        let subject = arguments.subject.read()?;
        let plan = plan(&subject.network, &request(arguments)?, subject.seed)?;
        let (plan, certificate) = match arguments.certify {
            true => certified::certify_on_random_rows(plan, &subject).map(|(plan, found)| (plan, Some(found)))?,
            false => (plan, None),
        };
        let other = arguments.against.as_deref().map(read_plan).transpose()?;
        let difference = other.map(|other| PlanDiff::between(&other, &plan));
        Ok(Self { plan, certificate, difference })
    }

    /// The plan by itself, as other commands read it; beside it what else was asked for.
    fn document(&self) -> anyhow::Result<Value> {
        let mut document = serde_json::to_value(&self.plan)?;
        if self.certificate.is_some() || self.difference.is_some() {
            document = json!({ "plan": document });
            if let Some(certificate) = &self.certificate {
                document["certificate"] = serde_json::to_value(certificate)?;
            }
            if let Some(difference) = &self.difference {
                document["difference"] = serde_json::to_value(difference)?;
            }
        }
        Ok(document)
    }

    /// An error if the certificate found that a promise is not kept.
    fn check(&self) -> anyhow::Result<()> {
        match &self.certificate {
            Some(certificate) if !certificate.preserved && self.plan.preserves != Preserves::Nothing => {
                bail!("the grown network differs by more than the plan allows")
            }
            _ => Ok(()),
        }
    }
}

/// The plan as a table and in words.
pub fn show(plan: &PlanView) {
    println!("{}\n{}", plan_table(plan), summary(plan).trim_end());
}

fn request(arguments: &ExplainArguments) -> anyhow::Result<GrowthRequest> {
    if let Some(add) = arguments.new_inputs {
        return Ok(GrowthRequest::Inputs { add });
    }
    if let Some(add) = arguments.new_classes {
        // What the old logits are, only data can tell; shapes, costs and promise do not depend on it.
        return Ok(GrowthRequest::Classes { add, epsilon: EPSILON, log_sum_exp: 0.0 });
    }
    arguments.request.request()?.context("nothing is asked for")
}

/// A plan as `--json` prints it: alone, or beside its certificate.
fn read_plan(file: &Path) -> anyhow::Result<Plan> {
    let mut document = read_document(file)?;
    let plan = match document.get_mut("plan") {
        Some(plan) => plan.take(),
        None => document,
    };
    serde_json::from_value::<Plan>(plan).with_context(|| format!("{} holds no plan", file.display()))
}

#[cfg(test)]
mod tests;
