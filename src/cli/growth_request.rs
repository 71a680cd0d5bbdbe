//! The flags that ask for a wider or deeper network: the same for growths of a running learner (`grow`) and for plans
//! that are only looked at (`growth explain`).
//!
//! How (the group `manner`) goes with what (`layers`). clap does not ask for a required flag that another one excludes, so
//! the flags of a manner name what they exclude as well, and so do commands with further things to ask for.

use anyhow::{anyhow, bail};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::Value;

use crate::growth::{Deeper, DeeperKind, Extent, GrowthRequest, NewNorm, Nodes, Split, Wider};
use crate::http::growth_document;
use crate::network::NodeId;
use crate::training::GrowthOrder;

/// The factor of a widening that says nothing else.
const FACTOR: f64 = 2.0;

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("layers").args(["wider", "deeper"])),
    group(ArgGroup::new("manner").args(["factor", "to", "split", "noise", "kind", "norm"]).multiple(true)),
)]
pub struct RequestArguments {
    /// More channels for this node, for several (`--wider a --wider b`), for all that match (`'module*'`), or for `all`.
    #[arg(long, value_name = "NODE|PATTERN|all")]
    wider: Vec<String>,
    /// A new layer after this node, after several, after all that match, or after `all`.
    #[arg(long, value_name = "NODE|PATTERN|all")]
    deeper: Vec<String>,
    /// Widen by this factor (2 unless set); with `--deeper`, how much wider than what it stands behind a new layer is.
    #[arg(long, requires = "layers", conflicts_with = "to")]
    factor: Option<f64>,
    /// Widen to this many channels; with `--deeper`, how many a new layer has.
    #[arg(long, requires = "layers")]
    to: Option<usize>,
    /// How the copies of a widened unit share its outgoing weights.
    #[arg(long, requires = "wider", conflicts_with = "deeper", value_enum)]
    split: Option<SplitName>,
    /// The paper's noise, as a share of a weight's standard deviation; with `--split paper`.
    #[arg(long, requires = "split")]
    noise: Option<f64>,
    /// What the new layer is.
    #[arg(long, requires = "deeper", conflicts_with = "wider", value_enum)]
    kind: Option<KindName>,
    /// What stands between the new layer and its activation.
    #[arg(long, requires = "deeper", conflicts_with = "wider", value_enum)]
    norm: Option<NormName>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum SplitName {
    /// Unequal random shares.
    Replicate,
    /// Equal shares, and noise where it is asked for.
    Paper,
    /// New units with zero outgoing weights.
    Fresh,
    /// New units random in and out: a baseline, which learners refuse.
    RandomPad,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// An identity layer.
    Identity,
    /// A residual branch that begins as zero.
    Residual,
    /// A layer with new weights: a baseline, which learners refuse.
    Random,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NormName {
    /// Nothing.
    None,
    /// A BatchNorm.
    Batch,
}

impl RequestArguments {
    /// What is asked for; `None` if neither wider nor deeper is.
    ///
    /// # Errors
    /// Names that no node can have, several patterns, noise where no copies are made.
    pub fn request(&self) -> anyhow::Result<Option<GrowthRequest>> {
        if let Some(nodes) = nodes(&self.wider)? {
            let extent = self.extent().unwrap_or(Extent::Factor(FACTOR));
            return Ok(Some(GrowthRequest::Wider(Wider { nodes, extent, split: self.split()? })));
        }
        let Some(after) = nodes(&self.deeper)? else { return Ok(None) };
        let kind = match self.kind {
            None | Some(KindName::Identity) => DeeperKind::Identity,
            Some(KindName::Residual) => DeeperKind::Residual,
            Some(KindName::Random) => DeeperKind::Random,
        };
        let norm = match self.norm {
            None | Some(NormName::None) => NewNorm::None,
            Some(NormName::Batch) => NewNorm::Batch,
        };
        Ok(Some(GrowthRequest::Deeper(Deeper { after, kind, norm, width: self.extent() })))
    }

    /// The document that orders it over HTTP; `None` if neither wider nor deeper is asked for.
    ///
    /// # Errors
    /// Those of [`RequestArguments::request`].
    pub fn document(&self) -> anyhow::Result<Option<Value>> {
        Ok(match self.request()? {
            Some(GrowthRequest::Wider(wider)) => Some(growth_document::render(&GrowthOrder::Wider(wider))),
            Some(GrowthRequest::Deeper(deeper)) => Some(growth_document::render(&GrowthOrder::Deeper(deeper))),
            _ => None,
        })
    }

    fn extent(&self) -> Option<Extent> {
        self.to.map(Extent::To).or(self.factor.map(Extent::Factor))
    }

    fn split(&self) -> anyhow::Result<Split> {
        if self.noise.is_some() && self.split != Some(SplitName::Paper) {
            bail!("--noise belongs to --split paper");
        }
        Ok(match self.split {
            None | Some(SplitName::Replicate) => Split::Replicate,
            Some(SplitName::Paper) => Split::Paper { noise: self.noise.unwrap_or(0.0) },
            Some(SplitName::Fresh) => Split::Fresh,
            Some(SplitName::RandomPad) => Split::RandomPad,
        })
    }
}

/// Which nodes these names mean; `None` for no names.
fn nodes(names: &[String]) -> anyhow::Result<Option<Nodes>> {
    match names {
        [] => Ok(None),
        [all] if all == "all" => Ok(Some(Nodes::All)),
        [pattern] if pattern.contains('*') => Ok(Some(Nodes::Matching(pattern.clone()))),
        names => {
            if let Some(name) = names.iter().find(|name| name.contains('*') || *name == "all") {
                bail!("`{name}` stands alone: one pattern, or `all`, or nodes by their names");
            }
            let node = |name: &String| NodeId::parse(name).map_err(|reason| anyhow!("`{name}`: {reason}"));
            let mut ids = Vec::with_capacity(names.len());
            for id in names.iter().map(node) {
                let id = id?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Ok(Some(Nodes::These(ids)))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArguments,
    }

    fn read(line: &str) -> anyhow::Result<Option<Value>> {
        Line::try_parse_from(std::iter::once("line").chain(line.split_whitespace()))?.request.document()
    }

    #[test]
    fn flags_say_what_documents_say() {
        for (line, document) in [
            ("--wider all", json!({"wider": {"all": true, "factor": 2.0, "split": "replicate"}})),
            (
                "--wider module* --factor 1.5",
                json!({"wider": {"matching": "module*", "factor": 1.5, "split": "replicate"}}),
            ),
            (
                "--wider a --wider b --wider a --to 8",
                json!({"wider": {"nodes": ["a", "b"], "to": 8, "split": "replicate"}}),
            ),
            (
                "--wider a --split paper --noise 0.1",
                json!({"wider": {"nodes": ["a"], "factor": 2.0, "split": {"paper": {"noise": 0.1}}}}),
            ),
            ("--deeper all", json!({"deeper": {"all": true, "kind": "identity"}})),
            (
                "--deeper *_a --kind residual --norm batch --factor 1.5",
                json!({"deeper": {"matching": "*_a", "kind": "residual", "norm": "batch", "factor": 1.5}}),
            ),
            ("--deeper a --to 32", json!({"deeper": {"after": ["a"], "kind": "identity", "to": 32}})),
        ] {
            assert_eq!(read(line).unwrap(), Some(document.clone()), "{line}");
            assert!(growth_document::parse(&document).is_ok(), "{line}");
        }
        assert_eq!(read("").unwrap(), None);
    }

    #[test]
    fn flags_that_make_no_sense_together_are_refused() {
        for line in [
            "--wider a --deeper a",
            "--wider a --to 3 --factor 2",
            "--factor 2",
            "--wider a --kind identity",
            "--wider a --norm batch",
            "--deeper a --split fresh",
            "--wider a --noise 0.1",
            "--wider a --split fresh --noise 0.1",
            "--wider a --wider b*",
            "--wider all --wider b",
            "--wider a/b",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
