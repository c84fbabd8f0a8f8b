//! `inspect`: what a library says of itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::cli::{Format, Outcome, Output, loader};
use crate::problems::Problems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The library
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) fn inspect(arguments: &Arguments) -> Outcome {
    let loader = loader()?;
    let report = loader
        .inspect(&arguments.file)
        .map_err(|refusal| Problems::refused("", None, &refusal))?;
    match arguments.output.format {
        // The report ends its last line itself.
        Format::Text => print!("{report}"),
        Format::Json => {
            let mut document =
                serde_json::to_value(&report).context("the report cannot be written as JSON")?;
            document["ok"] = report.is_ok().into();
            println!("{document}");
        }
    }
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
