//! A result for people: a line a figure.

use std::fmt::{self, Display};

use crate::run::Errors;
use crate::stats::Latency;

/// Names and what they are, in two columns.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, String)>);

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.push((name.into(), value.to_string()));
    }

    /// A row, if there is a value.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.row(name, value);
        }
    }

    pub(crate) fn latency(&mut self, name: &str, latency: &Latency) {
        let Latency {
            p50_ms,
            p90_ms,
            p99_ms,
            p999_ms,
            max_ms,
            ..
        } = latency;
        let text = format!("p50 {p50_ms}, p90 {p90_ms}, p99 {p99_ms}, p99.9 {p999_ms}, at most {max_ms}");
        self.row(format!("{name}, ms"), text);
    }

    /// The rows of another table.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn errors(&mut self, errors: &Errors) {
        self.row("errors", errors.total());
        for (what, count) in errors.iter() {
            self.row("", format!("{count} x {what}"));
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        for (name, value) in &self.0 {
            writeln!(f, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_a_column_and_errors_below_their_number() {
        let mut errors = Errors::default();
        errors.add("PUT 500".to_owned());
        errors.add("PUT 500".to_owned());
        let mut table = Table::new();
        table.row("a", 1);
        table.maybe("not there", None);
        table.errors(&errors);
        assert_eq!(table.to_string(), "a       1\nerrors  2\n        2 x PUT 500\n");
    }
}
