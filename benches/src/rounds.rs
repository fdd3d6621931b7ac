//! Interleaved rounds: ours, theirs, theirs, ours, …, so that whatever else the machine does hits both alike.

use serde_json::{Value, json};

/// How many rounds are measured, after one that is thrown away.
pub const ROUNDS: usize = 7;

/// What two things cost, round by round, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Comparison {
    /// Measures both in turns. Each closure runs its work once and answers with its cost.
    pub fn measure(ours: impl FnMut() -> f64, theirs: impl FnMut() -> f64) -> Self {
        Self::measure_in_turns(1, ours, theirs)
    }

    /// The same with so many turns of each in a round, where what the server does now and then would hit one of them alone.
    pub fn measure_in_turns(turns: usize, mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> Self {
        let mut comparison = Self::default();
        ours();
        theirs();
        for round in 0..ROUNDS {
            let (mut our_cost, mut their_cost) = (0.0, 0.0);
            for turn in 0..turns {
                // Who comes first changes, so that neither always has the warmer machine.
                if (round + turn) % 2 == 0 {
                    our_cost += ours();
                    their_cost += theirs();
                } else {
                    their_cost += theirs();
                    our_cost += ours();
                }
            }
            comparison.ours.push(our_cost / turns as f64);
            comparison.theirs.push(their_cost / turns as f64);
        }
        comparison
    }

    /// The median of the rounds' ratios, ours over theirs.
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    /// The median of the rounds' ratios of throughput, ours over theirs: what costs half as much has a ratio of two.
    pub fn throughput_ratio(&self) -> f64 {
        median(self.ratios().into_iter().map(f64::recip).collect())
    }

    /// Median costs, the ratios of the costs of all rounds, and their spread (greatest minus smallest).
    pub fn details(&self, unit: &str) -> Value {
        let ratios = self.ratios();
        let (least, most) =
            ratios.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
        json!({
            "ours": median(self.ours.clone()),
            "theirs": median(self.theirs.clone()),
            "cost_unit": unit,
            "cost_ratios": ratios,
            "spread": most - least,
        })
    }

    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect()
    }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
