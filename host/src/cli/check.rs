//! `check`: is the config right, and would all of its modules load?

use std::process::ExitCode;

use crate::cli::{Configured, Format, Outcome, federation, loader};
use crate::config;
use crate::operations::accept_all;

pub(super) fn check(arguments: &Configured) -> Outcome {
    let (config, origins) = config::load(&arguments.config)?;
    if let Some(identity) = federation::identity(&config, &origins)? {
        federation::client(&config, identity)?;
    }
    let accepted = accept_all(&loader()?, &config, &origins)?;
    let identities: Vec<_> = accepted
        .iter()
        .map(|accepted| accepted.configured.identity())
        .collect();
    match arguments.output.format {
        Format::Text => {
            for identity in &identities {
                println!("module {identity}: ok");
            }
            for file in &arguments.config {
                println!("config {}: ok", file.display());
            }
        }
        Format::Json => println!(
            "{}",
            serde_json::json!({ "ok": true, "modules": identities, "errors": [] })
        ),
    }
    Ok(ExitCode::SUCCESS)
}
