//! What is compared: ways to grow, and rules for the learning rate after a growth.

use perennial::compute::optimizer::Rate;
use perennial::growth::{Deeper, DeeperKind, Extent, GrowthRequest, NewNorm, Nodes, Split, Wider};
use perennial::training::TrainingSettings;
use perennial::training::rates::Rates;

/// A way to grow, with the name that the table gives it.
pub struct Way {
    pub name: String,
    pub request: GrowthRequest,
}

/// All hidden layers twice as wide: the three exact splits, the paper's with its noise, and its baseline (§3.2).
pub fn wider(noise: f64) -> Vec<Way> {
    let way = |name: String, split: Split| {
        let wider = Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split };
        Way { name, request: GrowthRequest::Wider(wider) }
    };
    vec![
        way("replicate".into(), Split::Replicate),
        way("paper".into(), Split::Paper { noise: 0.0 }),
        way(format!("paper, noise {noise}"), Split::Paper { noise }),
        way("fresh".into(), Split::Fresh),
        way("random pad".into(), Split::RandomPad),
    ]
}

/// A new layer behind every hidden one: the two exact kinds and the paper's baseline (§3.3). Where the network normalises,
/// new layers do as well, as the paper's do, and an identity without a norm stands beside them.
pub fn deeper(norm: NewNorm) -> Vec<Way> {
    let way = |name: &str, kind: DeeperKind, norm: NewNorm| {
        let deeper = Deeper { norm, ..Deeper::plain(Nodes::All, kind) };
        Way { name: name.into(), request: GrowthRequest::Deeper(deeper) }
    };
    let mut ways = vec![
        way("identity", DeeperKind::Identity, norm),
        way("residual", DeeperKind::Residual, norm),
        way("random", DeeperKind::Random, norm),
    ];
    if norm != NewNorm::None {
        ways.insert(1, way("identity, no norm", DeeperKind::Identity, NewNorm::None));
    }
    ways
}

/// How the learning rate goes on after a growth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RateRule {
    /// A tenth, warmed back to the whole rate: what a learner does unless it is told otherwise.
    Warmed,
    /// A tenth for good: the paper's own words (appendix A).
    Tenth,
    /// The whole rate at once.
    Full,
}

impl RateRule {
    pub const ALL: [Self; 3] = [Self::Warmed, Self::Tenth, Self::Full];

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warmed => "1/10, warmed back",
            Self::Tenth => "1/10 for good",
            Self::Full => "full",
        }
    }

    /// The rate of every step after a growth that came when `grown_at` steps were done.
    pub fn rate(self, learning_rate: f64, grown_at: u64) -> Rate {
        let mut rates = Rates::default();
        rates.grown(grown_at);
        let settings = TrainingSettings { learning_rate, ..TrainingSettings::default() };
        match self {
            Self::Warmed => rates.rate(&settings),
            Self::Tenth => Rate::constant(learning_rate * settings.growth_lr_factor),
            Self::Full => Rate::constant(learning_rate),
        }
    }
}
