//! `generate-keys`: makes a key that requests to other servers are signed by.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::cli::{Format, Outcome, Output};
use crate::federation::NewKey;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to make; without it, the key goes to stdout. One that exists is not overwritten
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) fn generate_keys(arguments: &Arguments) -> Outcome {
    let key = NewKey::generate().map_err(anyhow::Error::new)?;
    let Some(file) = &arguments.file else {
        match arguments.output.format {
            Format::Text => print!("{}", key.line()),
            Format::Json => println!(
                "{}",
                serde_json::json!({ "ok": true, "key_id": key.id(), "public_key": key.public(), "line": key.line().trim_end() })
            ),
        }
        return Ok(ExitCode::SUCCESS);
    };
    key.write(file).context("no key was made")?;
    match arguments.output.format {
        Format::Text => println!(
            "{}: made, with the key {}, public key {}",
            file.display(),
            key.id(),
            key.public()
        ),
        Format::Json => println!(
            "{}",
            serde_json::json!({ "ok": true, "file": file.display().to_string(), "key_id": key.id(), "public_key": key.public() })
        ),
    }
    Ok(ExitCode::SUCCESS)
}
