//! The network that is looked at: of a builder with its settings, or of a file, which may hold a learner's document, its
//! `network`, or a whole graph as versions have it.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::learner::read_document;
use crate::network::builders::NetworkSpec;
use crate::network::{Network, Shape};
use crate::training::LearnerDocument;

/// How many classes a network is built for that says nothing of them.
const CLASSES: usize = 10;

#[derive(Debug, Args)]
pub struct SubjectArguments {
    /// A network by the name of its kind: `mlp`, `cnn`, `resnet`, `inception_bn`.
    builder: Option<String>,
    /// A file (TOML or JSON) with a learner's document, a `network` as such documents have it, or a whole graph.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// A setting of the network's kind, as in documents: `--set width=0.5477`, `--set hidden=64,32`, `--set hidden=[64]`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What enters: `16` for a row of features, `3x32x32` for an image of three channels. Unless set, 16 for `mlp` and
    /// 3x32x32 for others.
    #[arg(long, value_name = "SHAPE")]
    input: Option<String>,
    /// How many classes the network tells apart (10 unless set).
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// The seed of every random choice (a learner's document has its own; otherwise 0 unless set).
    #[arg(long)]
    seed: Option<u64>,
}

/// A network to plan for.
#[derive(Debug)]
pub struct Subject {
    /// The network, without weights.
    pub network: Network,
    /// The seed of the plan, and of weights where there must be some.
    pub seed: u64,
}

impl SubjectArguments {
    /// The network that the arguments name.
    ///
    /// # Errors
    /// A file that cannot be read or holds no network, settings that the kind does not have, a network that cannot be built.
    pub fn read(&self) -> anyhow::Result<Subject> {
        match (&self.builder, &self.network) {
            (Some(builder), _) => self.built(json!({ "kind": builder.replace('-', "_") })),
            (None, Some(file)) => {
                let document = read_document(file)?;
                self.described(document).with_context(|| format!("{} describes no network", file.display()))
            }
            (None, None) => bail!("name a network"),
        }
    }

    /// The network of a document, whichever kind of document that is.
    fn described(&self, mut document: Value) -> anyhow::Result<Subject> {
        if document.get("schema").is_some() {
            return self.of_learner(document);
        }
        if let Some(network) = document.get_mut("network").filter(|network| network.is_object()) {
            return self.described(network.take());
        }
        if document.get("kind").is_some() {
            return self.built(document);
        }
        self.stored(document)
    }

    fn of_learner(&self, mut document: Value) -> anyhow::Result<Subject> {
        self.refuse_shapes("a learner's document")?;
        self.add_settings(document.get_mut("network").context("it has no `network`")?)?;
        let document: LearnerDocument = serde_json::from_value(document)?;
        if let Some((pointer, detail)) = document.faults().first() {
            bail!("{pointer}: {detail}");
        }
        let seed = self.seed.unwrap_or(document.training.seed);
        Ok(Subject { network: document.first_model()?.network, seed })
    }

    fn built(&self, mut document: Value) -> anyhow::Result<Subject> {
        self.add_settings(&mut document)?;
        let spec: NetworkSpec = serde_json::from_value(document)?;
        let input = match (&self.input, &spec) {
            (Some(text), _) => shape(text)?,
            (None, NetworkSpec::Mlp { .. }) => Shape::flat(16),
            (None, _) => Shape::image(3, 32, 32),
        };
        let network = spec.build(&input, self.classes.unwrap_or(CLASSES))?;
        Ok(Subject { network, seed: self.seed.unwrap_or_default() })
    }

    /// A graph with its input, beside which a version tells more of it.
    fn stored(&self, mut document: Value) -> anyhow::Result<Subject> {
        self.refuse_shapes("a whole graph")?;
        if !self.set.is_empty() {
            bail!("a whole graph has no settings; `--set` belongs to the kinds of networks");
        }
        let mut part = |key: &str| document.get_mut(key).map(Value::take).with_context(|| format!("it has no `{key}`"));
        let network = serde_json::from_value(json!({ "input": part("input")?, "nodes": part("nodes")? }))?;
        Ok(Subject { network, seed: self.seed.unwrap_or_default() })
    }

    fn refuse_shapes(&self, what: &str) -> anyhow::Result<()> {
        if self.input.is_some() || self.classes.is_some() {
            bail!("{what} says itself what enters and what comes out; leave out `--input` and `--classes`");
        }
        Ok(())
    }

    fn add_settings(&self, document: &mut Value) -> anyhow::Result<()> {
        let members = document.as_object_mut().context("the network is no object")?;
        for setting in &self.set {
            add_setting(members, setting)?;
        }
        Ok(())
    }
}

fn add_setting(members: &mut Map<String, Value>, setting: &str) -> anyhow::Result<()> {
    let (key, value) = setting.split_once('=').with_context(|| format!("`{setting}` is no KEY=VALUE"))?;
    let list = || serde_json::from_str(&format!("[{value}]"));
    let value = match serde_json::from_str(value) {
        Ok(value) => value,
        Err(_) if value.contains(',') => {
            list().with_context(|| format!("`{setting}`: the list is no list of numbers"))?
        }
        Err(_) => Value::from(value),
    };
    members.insert(key.to_owned(), value);
    Ok(())
}

/// `16`, or `3x32x32`: channels, height, width.
fn shape(text: &str) -> anyhow::Result<Shape> {
    let wrong =
        || anyhow!("`{text}` is no shape: `16` is a row of features, `3x32x32` an image (channels, height, width)");
    let axes: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    match axes.map_err(|_| wrong())?[..] {
        [features] => Ok(Shape::flat(features)),
        [channels, height, width] => Ok(Shape::image(channels, height, width)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        subject: SubjectArguments,
    }

    fn subject(line: &str) -> SubjectArguments {
        Line::try_parse_from(std::iter::once("line").chain(line.split_whitespace())).unwrap().subject
    }

    fn read(line: &str) -> anyhow::Result<Subject> {
        subject(line).read()
    }

    #[test]
    fn a_builder_is_built_with_its_settings() {
        for (line, summary) in [
            ("mlp", "16-16-10"),
            ("mlp --set hidden=8,4 --input 5 --classes 3", "5-8-4-3"),
            ("mlp --set hidden=[8]", "16-8-10"),
            ("cnn --set channels=2,3 --input 1x6x6", "1x6x6-2-3-10"),
            ("resnet --set blocks=[1] --set width=2 --set style=pre", "3x32x32-2-2-2-10"),
        ] {
            assert_eq!(read(line).unwrap().network.summary(), summary, "{line}");
        }
        assert_eq!(read("inception-bn").unwrap().network, read("inception_bn").unwrap().network);
        assert_eq!((read("mlp").unwrap().seed, read("mlp --seed 7").unwrap().seed), (0, 7));
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        for (line, reason) in [
            ("perceptron", "unknown variant `perceptron`"),
            ("mlp --set wide=3", "unknown field `wide`"),
            ("mlp --set hidden", "no KEY=VALUE"),
            ("mlp --set hidden=8,x", "no list of numbers"),
            ("mlp --input 3x3", "is no shape"),
            ("mlp --input x", "is no shape"),
            ("inception_bn --input 16", "needs an image"),
        ] {
            let error = format!("{:#}", read(line).unwrap_err());
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn a_document_may_be_a_learner_its_network_or_a_graph() {
        let spec = json!({"kind": "mlp", "hidden": [4]});
        let learner = json!({
            "name": "cats", "task": {"kind": "classification", "classes": ["a", "b", "c"]},
            "schema": {"features": [{"name": "x", "kind": "vector", "size": 5}]},
            "network": spec, "training": {"seed": 9},
        });
        let described = |line: &str, document: &Value| subject(line).described(document.clone());
        let of_learner = described("", &learner).unwrap();
        assert_eq!((of_learner.network.summary().as_str(), of_learner.seed), ("5-4-3", 9));
        assert_eq!(described("--set hidden=[6] --seed 2", &learner).unwrap().network.summary(), "5-6-3");
        let of_spec = described("--input 5 --classes 3", &spec).unwrap().network;
        assert_eq!(of_spec, of_learner.network);
        let mut version = serde_json::to_value(&of_spec).unwrap();
        version["parameters"] = json!(39);
        assert_eq!(described("", &json!({"version": 3, "network": version})).unwrap().network, of_spec);
        assert_eq!(described("", &version).unwrap().network, of_spec);
    }

    #[test]
    fn a_document_that_says_its_shapes_is_not_told_others() {
        let graph = serde_json::to_value(&read("mlp").unwrap().network).unwrap();
        for line in ["--input 16", "--classes 3", "--set hidden=[3]"] {
            assert!(subject(line).described(graph.clone()).is_err(), "{line}");
        }
        assert!(subject("").described(json!({"nodes": []})).is_err());
        assert!(subject("").described(json!(3)).is_err());
    }
}
