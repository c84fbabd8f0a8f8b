//! A config that is wrong in one thing is refused with the name of a key, or taken and lived with. Never does it panic
//! or hang.

use presence_router_api::UserId;
use serde_json::Value;

use crate::modules::{ConfigureError, Configured, StartError};
use crate::verify::bench::{Bench, config_refused, configure};
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::server::Mood;
use crate::verify::variants::{Kind, Variant, variants};

/// How a detail begins that tells which config it was.
const CONFIG: &str = "config: the given one ";
/// How many of the configs that are accepted are started with.
const MAX_STARTS: usize = 24;

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let variants = variants(&bench.subject.config, &mut bench.random());
    let opened = bench.open()?;
    let keys = keys(&bench.subject.config);
    let (mut refused, mut accepted, mut started) = (0, 0, 0);
    let (mut warnings, mut failures) = (Vec::new(), Vec::new());
    for variant in &variants {
        bench.step(format!("parse_config of the config {}", variant.what));
        match configure(&opened, &variant.config) {
            Ok(configured) => {
                accepted += 1;
                warnings.extend(taken_silently(variant));
                if started < MAX_STARTS {
                    started += 1;
                    failures.extend(start(bench, configured, variant).await);
                }
            }
            Err(ConfigureError::Refused { path, message }) => {
                refused += 1;
                failures.extend(names_no_key(variant, &keys, &path, &message));
            }
            Err(error @ (ConfigureError::Panicked(_) | ConfigureError::TimedOut)) => {
                failures
                    .push(Finding::failure(error.to_string()).detail(format!("{CONFIG}{}", variant.what)));
            }
            Err(error @ ConfigureError::Thread(_)) => return Err(config_refused(&error)),
        }
    }
    outcome.note(format!(
        "{} bad configs: {refused} refused, {accepted} accepted, {started} of these started",
        variants.len()
    ));
    failures
        .into_iter()
        .chain(warnings)
        .for_each(|finding| find_once(outcome, finding));
    bench.step("loading it with the given config after all of these");
    let instance = bench.start(&opened, "verified").await?;
    bench.end(instance).await.map(drop)
}

/// Of findings that say the same of several configs, the first stands for all.
fn find_once(outcome: &mut Outcome, finding: Finding) {
    const ALSO: &str = "also with the config ";
    let same = outcome
        .findings
        .iter_mut()
        .find(|other| other.message == finding.message);
    let Some(same) = same else {
        return outcome.find(finding);
    };
    if !same.details.iter().any(|detail| detail.starts_with(ALSO)) {
        let config = finding
            .details
            .into_iter()
            .find_map(|detail| Some(detail.strip_prefix(CONFIG)?.to_owned()));
        same.details
            .extend(config.map(|config| format!("{ALSO}{config}, and perhaps more")));
    }
}

/// It was accepted; with these, an operator's slip of the pen goes unnoticed.
fn taken_silently(variant: &Variant) -> Option<Finding> {
    let message = match variant.kind {
        Kind::Unknown => "a key that it does not know is taken without a word",
        Kind::NotAUser => "what is no user id is taken without a word",
        Kind::Removed | Kind::Renamed | Kind::Retyped | Kind::Repeated => return None,
    };
    let advice = match variant.kind {
        Kind::Unknown => "#[serde(deny_unknown_fields)] on the config's type refuses it",
        _ => "the type presence_router_api::UserId in the config refuses it",
    };
    Some(
        Finding::warning(message)
            .detail(format!("{CONFIG}{}", variant.what))
            .detail(advice),
    )
}

fn names_no_key(variant: &Variant, keys: &[String], path: &str, message: &str) -> Option<Finding> {
    let names_one = !path.is_empty()
        || message.contains(&variant.key)
        || keys.iter().any(|key| message.contains(key.as_str()));
    (!names_one).then(|| {
        Finding::failure("a refusal names no key, so that nobody can tell what to mend")
            .detail(format!("{CONFIG}{}", variant.what))
            .detail(format!("refusal: {message}"))
    })
}

/// A config that it has accepted may be refused by `new`, but no more.
async fn start(bench: &Bench, configured: Configured, variant: &Variant) -> Option<Finding> {
    bench.step(format!("starting with the config {}", variant.what));
    let config = format!("{CONFIG}{}", variant.what);
    match bench.start_on(configured, "verified", Mood::Answer).await {
        Ok(instance) => match bench.end(instance).await {
            Ok(_) => None,
            Err(finding) => Some(finding.detail(config)),
        },
        Err(StartError::Refused(_)) => None,
        Err(error) => Some(Finding::failure(error.to_string()).detail(config)),
    }
}

/// The keys of a config, those within its mappings too. User ids and single letters are none: a message may hold them
/// by chance.
fn keys(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![config];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(entries) => {
                let named = entries
                    .keys()
                    .filter(|key| key.len() > 1 && UserId::parse(key).is_err());
                found.extend(named.cloned());
                left.extend(entries.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    found
}
