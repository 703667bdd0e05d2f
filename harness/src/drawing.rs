//! What a person would rather look at, as data.
//!
//! Cases hand drawings over as values in the units of the thing drawn; the
//! HTML report turns them into SVG. Times are unix seconds unless a field says
//! otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A picture's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Drawing {
    /// TSDB blocks around a retention edge: which went, which stayed.
    BlockMap {
        /// Title of the picture.
        title: String,
        /// The instant of the edge.
        edge: f64,
        /// The blocks, in time order.
        blocks: Vec<BlockMark>,
    },
    /// Named instants on one or more lanes, each with the window it had to fall into.
    Timeline {
        /// Title of the picture.
        title: String,
        /// The lanes, top to bottom.
        lanes: Vec<Lane>,
    },
    /// Cells that are covered or not, for example one per rule.
    Coverage {
        /// Title of the picture.
        title: String,
        /// The cells, in reading order.
        cells: Vec<Cell>,
    },
    /// Observed values against a target and a tolerance, for example scrape gaps.
    Distribution {
        /// Title of the picture.
        title: String,
        /// Unit of the values.
        unit: String,
        /// The rows, each a series of values of its own.
        rows: Vec<DistributionRow>,
    },
    /// How many answers were there after how long, with percentiles, their bounds and budgets.
    Latencies {
        /// Title of the picture.
        title: String,
        /// The rows, each a distribution of its own.
        rows: Vec<LatencyRow>,
    },
    /// Hash buckets of a sampler: those below the edge are kept, all others dropped.
    Buckets {
        /// Title of the picture.
        title: String,
        /// Number of buckets.
        buckets: u32,
        /// The first bucket that is dropped.
        edge: u32,
        /// The buckets that traces fell into, in their order.
        seen: Vec<BucketMark>,
    },
    /// Rates that are steered towards a target, over time, each with the band it has to come into.
    Convergence {
        /// Title of the picture.
        title: String,
        /// Unit of the rates.
        unit: String,
        /// The rows, each a rate of its own.
        rows: Vec<ConvergenceRow>,
    },
    /// What was counted at each hop of a way, against what should have been.
    Hops {
        /// Title of the picture.
        title: String,
        /// What is counted, for example `spans`.
        unit: String,
        /// The hops, in the order of the way.
        hops: Vec<Hop>,
    },
}

/// One hop of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Name of the hop, for example `accepted by the Collector`.
    pub label: String,
    /// What was counted there.
    pub counted: u64,
    /// What should have been.
    pub expected: u64,
}

impl Hop {
    /// A hop.
    #[must_use]
    pub fn new(label: impl Into<String>, counted: u64, expected: u64) -> Self {
        Self {
            label: label.into(),
            counted,
            expected,
        }
    }
}

/// One rate of a convergence picture. Times are in seconds from the start of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvergenceRow {
    /// Name of the row.
    pub label: String,
    /// The rate to come to.
    pub target: f64,
    /// How far from it is still at it, in the unit of the rates.
    pub tolerance: f64,
    /// When it has to be there.
    pub within: f64,
    /// When it was there to stay, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<f64>,
    /// The shares that were set, each from its instant on, in time order.
    pub steps: Vec<ConvergenceStep>,
    /// The rates that were seen, in time order.
    pub seen: Vec<ConvergenceSeen>,
}

/// A share that was set, and the rate it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvergenceStep {
    /// From when on.
    pub at: f64,
    /// The share, from 0 to 1.
    pub share: f64,
    /// The rate it makes of what is offered.
    pub rate: f64,
}

/// A rate as it was seen over a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvergenceSeen {
    /// The end of the stretch.
    pub at: f64,
    /// The rate over it.
    pub rate: f64,
}

/// One distribution of a latency picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyRow {
    /// Name of the row.
    pub label: String,
    /// The latencies in milliseconds, shortest first.
    pub values: Vec<f64>,
    /// The percentiles that have a budget.
    pub marks: Vec<LatencyMark>,
}

/// A percentile, what is known of it, and its budget. All in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyMark {
    /// Name of the percentile.
    pub label: String,
    /// The percentile as a quantile between 0 and 1.
    pub quantile: f64,
    /// It is at least this; none with too few values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// It is at most this; none with too few values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// The budget as promised.
    pub promised: f64,
    /// The budget on the machine it was measured on; none where that is too slow to judge on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
}

/// What was seen of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketMark {
    /// Number of the bucket, from 0.
    pub bucket: u32,
    /// Its traces that were kept.
    pub kept: u64,
    /// Its traces that were dropped.
    pub dropped: u64,
}

/// One block of a block map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockMark {
    /// First instant of the block.
    pub from: f64,
    /// Last instant of the block.
    pub to: f64,
    /// What this block is there for.
    pub label: String,
    /// Whether it should have been kept.
    pub expected_kept: bool,
    /// Whether it was kept.
    pub kept: bool,
}

/// One lane of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Name of the lane.
    pub label: String,
    /// The instants, in time order, in seconds from the lane's own start.
    pub marks: Vec<Mark>,
}

/// One instant of a lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What happened.
    pub label: String,
    /// When, in seconds from the lane's start.
    pub at: f64,
    /// Earliest instant it was allowed to happen, if bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<f64>,
    /// Latest instant it was allowed to happen, if bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<f64>,
    /// Whether it was inside its window.
    pub holds: bool,
}

/// One cell of a coverage picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What the cell stands for.
    pub label: String,
    /// The group it is drawn in.
    pub group: String,
    /// Whether it is covered.
    pub covered: bool,
    /// What to show when it is pointed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One row of a distribution picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistributionRow {
    /// Name of the row.
    pub label: String,
    /// The value that was promised.
    pub target: f64,
    /// How far from the target is still inside the promise.
    pub tolerance: f64,
    /// The observed values.
    pub values: Vec<f64>,
}
