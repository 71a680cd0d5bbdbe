//! What `growth explain` says, as it says it.

use clap::Parser;

use super::*;
use crate::growth::NodeChange;
use crate::network::NodeId;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    explain: ExplainArguments,
}

fn explain(line: &str) -> anyhow::Result<Explained> {
    let line = Line::try_parse_from(std::iter::once("line").chain(line.split_whitespace()))?;
    Explained::of(&line.explain)
}

fn explained(line: &str) -> Explained {
    explain(line).unwrap()
}

/// As a terminal of any width would show it if it were wide enough.
fn text(line: &str) -> String {
    let view = PlanView::from(&explained(line).plan);
    let mut table = plan_table(&view);
    format!("{}\n{}", table.force_no_tty(), summary(&view))
}

const MLP: &str = "mlp --set hidden=[8] --input 4 --classes 3";

#[test]
fn a_wider_mlp_reads_like_this() {
    let expected = "\
┌──────────────┬────────┬─────────┬────────┬────────────┬──────────┐
│ node         ┆ op     ┆ what    ┆ shape  ┆ parameters ┆    FLOPs │
╞══════════════╪════════╪═════════╪════════╪════════════╪══════════╡
│ hidden1      ┆ linear ┆ wider   ┆ 8 → 12 ┆    40 → 60 ┆ 72 → 108 │
│ hidden1_relu ┆ relu   ┆ carried ┆ 8 → 12 ┆          0 ┆   8 → 12 │
│ output       ┆ linear ┆ columns ┆ 3      ┆    27 → 39 ┆  51 → 75 │
└──────────────┴────────┴─────────┴────────┴────────────┴──────────┘
wider: 3 nodes are touched
  parameters    67 → 99 (x1.48)
  FLOPs a row   131 → 195 (x1.49)
  layers        2
  preserves     every logit but for rounding, in training too (dropout aside)
  grow alone    hidden1 (8 → 12)
";
    assert_eq!(text(&format!("{MLP} --wider hidden1 --to 12")), expected);
}

#[test]
fn a_deeper_mlp_reads_like_this() {
    let expected = "\
┌──────────────────────┬────────────┬─────────┬───────┬────────────┬─────────┐
│ node                 ┆ op         ┆ what    ┆ shape ┆ parameters ┆   FLOPs │
╞══════════════════════╪════════════╪═════════╪═══════╪════════════╪═════════╡
│ hidden1_deeper1      ┆ linear     ┆ new     ┆ 12    ┆    0 → 108 ┆ 0 → 204 │
│ hidden1_deeper1_norm ┆ batch_norm ┆ new     ┆ 12    ┆     0 → 24 ┆  0 → 24 │
│ hidden1_deeper1_relu ┆ relu       ┆ new     ┆ 12    ┆          0 ┆  0 → 12 │
│ output               ┆ linear     ┆ columns ┆ 3     ┆    27 → 39 ┆ 51 → 75 │
└──────────────────────┴────────────┴─────────┴───────┴────────────┴─────────┘
deeper: 4 nodes are touched
  parameters    67 → 211 (x3.15)
  FLOPs a row   131 → 395 (x3.02)
  layers        2 → 3 (x1.50)
  preserves     every logit but for rounding, in evaluation only
  grow alone    hidden1_deeper1 (8 → 12)
";
    assert_eq!(text(&format!("{MLP} --deeper hidden1 --norm batch --factor 1.5")), expected);
}

#[test]
fn channels_that_are_summed_are_said_to_grow_together() {
    let plan = explained("resnet --set blocks=1,1 --set width=2 --input 1x8x8 --wider stem --factor 2").plan;
    let text = summary(&(&plan).into());
    assert!(text.contains("grow together stem, stage1_block1_b (2 → 4)\n"), "{text}");
    let alone = summary(&(&explained("inception_bn --wider all").plan).into());
    assert!(alone.contains("module1_b_reduce (16 → 32), ") && alone.contains("and 35 more\n"), "{alone}");
}

#[test]
fn the_paper_widens_all_of_its_modules_and_leaves_the_stem_alone() {
    let plan = explained("inception_bn --set width=0.5477 --wider module* --factor 1.8257").plan;
    let change = |node: &str| {
        let touched = plan.touched.iter().find(|touched| touched.node.as_str() == node);
        touched.map(|touched| touched.change)
    };
    let convolutions: Vec<&NodeId> =
        plan.student().nodes().iter().filter(|node| node.op.kind() == "conv2d").map(|node| &node.id).collect();
    assert_eq!(convolutions.len(), 1 + 4 * 10);
    for id in convolutions {
        let expected = (id.as_str() != "stem").then_some(NodeChange::Wider);
        assert_eq!(change(id.as_str()), expected, "{id}");
    }
    assert_eq!((change("stem_norm"), change("output")), (None, Some(NodeChange::Columns)));
    assert_eq!((change("module1_a_norm"), change("module1")), (Some(NodeChange::Carried), Some(NodeChange::Carried)));
    let ratio = plan.parameters_after as f64 / plan.parameters_before as f64;
    assert!((3.0..3.7).contains(&ratio), "a third of the parameters, but for the stem and rounding: {ratio}");
}

#[test]
fn every_promise_is_certified_on_random_rows() {
    for (growth, preserves) in [
        ("--wider all", Preserves::Function),
        ("--wider all --split fresh", Preserves::Bits),
        ("--deeper all --norm batch", Preserves::Evaluation),
        ("--deeper all --kind residual", Preserves::Bits),
        ("--new-inputs 2", Preserves::Bits),
        ("--new-classes 2", Preserves::Bits),
    ] {
        let explained = explained(&format!("{MLP} {growth} --certify"));
        assert_eq!(explained.plan.preserves, preserves, "{growth}");
        assert!(explained.certificate.as_ref().unwrap().preserved, "{growth}: {explained:?}");
        assert!(explained.check().is_ok());
    }
}

#[test]
fn a_baseline_promises_nothing_and_breaks_no_promise() {
    let explained = explained(&format!("{MLP} --wider all --split random-pad --certify"));
    assert!(!explained.certificate.as_ref().unwrap().preserved);
    assert!(explained.check().is_ok());
    let text = certified::text(explained.certificate.as_ref().unwrap());
    assert!(text.starts_with("certificate on 64 random rows and new weights: not preserved\n"), "{text}");
}

#[test]
fn a_refusal_names_the_node_and_the_reason() {
    let error = explain(&format!("{MLP} --wider hidden1 --to 8")).unwrap_err().to_string();
    assert_eq!(error, "node hidden1: it has 8 channels already; a widening goes to more");
    let error = explain(&format!("{MLP} --wider output")).unwrap_err().to_string();
    assert!(error.starts_with("node output: "), "{error}");
}

#[test]
fn a_printed_plan_is_what_another_is_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let against = |line: &str| explained(&format!("{line} --against {}", file.display())).difference.unwrap();
    for stored in [format!("{MLP} --wider all"), format!("{MLP} --wider all --certify")] {
        std::fs::write(&file, explained(&stored).document().unwrap().to_string()).unwrap();
        assert_eq!(difference_text::text(&against(&stored)), "the plans are the same\n");
        let expected = "\
request: {\"wider\":{\"nodes\":\"all\",\"extent\":{\"factor\":2.0},\"split\":\"replicate\"}} → \
{\"wider\":{\"nodes\":\"all\",\"extent\":{\"to\":9},\"split\":\"replicate\"}}
parameters after: 131 → 75
FLOPs after: 259 → 147
hidden1: shape after 16 → 9, parameters after 80 → 45, FLOPs after 144 → 81
hidden1_relu: shape after 16 → 9, FLOPs after 16 → 9
output: parameters after 51 → 30, FLOPs after 99 → 57
step 1: another graph, other units grow
";
        assert_eq!(difference_text::text(&against(&format!("{MLP} --wider all --to 9"))), expected);
    }
    std::fs::write(&file, "{}").unwrap();
    assert!(explain(&format!("{MLP} --wider all --against {}", file.display())).is_err());
}
