//! A bar: a figure, and what it should be. And how two things are compared.

use std::fmt;
use std::time::Duration;

/// A figure with what is wanted of it.
pub(crate) struct Bar {
    /// What was measured.
    pub(crate) name: String,
    /// What came out.
    pub(crate) figure: f64,
    /// What should have.
    pub(crate) wanted: Wanted,
}

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Nothing: it is for the reader, in this unit.
    Known(&'static str),
}

impl Bar {
    /// A figure of which nothing is wanted.
    pub(crate) fn known(name: String, figure: f64, unit: &'static str) -> Self {
        let wanted = Wanted::Known(unit);
        Self { name, figure, wanted }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, figure, wanted } = self;
        let met = |met: bool| if met { "met" } else { "missed" };
        match wanted {
            Wanted::AtMost(bound) => {
                let met = met(figure <= bound);
                write!(f, "bar {name}: {figure:.3} (wanted <= {bound}): {met}")
            }
            Wanted::AtLeast(bound) => {
                let met = met(figure >= bound);
                write!(f, "bar {name}: {figure:.0} (wanted >= {bound}): {met}")
            }
            Wanted::Known(unit) if *figure >= 100.0 => write!(f, "figure {name}: {figure:.0} {unit}"),
            Wanted::Known(unit) => write!(f, "figure {name}: {figure:.3} {unit}"),
        }
    }
}

/// What came out of measuring two things by turns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compared {
    first: Vec<f64>,
    second: Vec<f64>,
    ratios: Vec<f64>,
}

impl Compared {
    /// Measures both so many times: one, the other; the other, the one; and so on.
    pub(crate) fn by_turns(
        pairs: usize,
        mut first: impl FnMut() -> Duration,
        mut second: impl FnMut() -> Duration,
    ) -> Self {
        let mut compared = Self::default();
        for pair in 0..pairs {
            let (one, other) = if pair % 2 == 0 {
                let one = first();
                (one, second())
            } else {
                let other = second();
                (first(), other)
            };
            let (one, other) = (one.as_secs_f64(), other.as_secs_f64());
            compared.first.push(one);
            compared.second.push(other);
            compared.ratios.push(other / one);
        }
        compared
    }

    /// Adds what came out of measuring the same again.
    pub(crate) fn extend(&mut self, other: Self) {
        self.first.extend(other.first);
        self.second.extend(other.second);
        self.ratios.extend(other.ratios);
    }

    /// The median of how much longer the second took, turn by turn.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// The median of what the first took, in seconds.
    pub(crate) fn first(&self) -> f64 {
        median(&self.first)
    }

    /// The median of what the second took, in seconds.
    pub(crate) fn second(&self) -> f64 {
        median(&self.second)
    }
}

/// The value in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
