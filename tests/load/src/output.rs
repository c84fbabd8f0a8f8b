//! Results on standard output, as JSON, as a table, or both.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::table::Table;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Table,
    /// JSON on standard output, the table on standard error
    Both,
}

pub(crate) fn print(format: Format, result: &impl Serialize, table: &Table) -> Result<()> {
    if format == Format::Table {
        print!("{table}");
        return Ok(());
    }
    let json = serde_json::to_string_pretty(result).context("the result cannot be written as JSON")?;
    println!("{json}");
    if format == Format::Both {
        eprint!("{table}");
    }
    Ok(())
}
