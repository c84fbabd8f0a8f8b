//! What the config says of other homeservers, made ready: who we are to them, and how they are asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ruma_common::{OwnedServerName, ServerName};
use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Origins};
use crate::engine::Engine;
use crate::federation::{FederationClient, Identity, KeyRing, Seen, Sender, SystemNames};
use crate::http::{self, OurKeys};
use crate::problems::Problems;

/// Who we are, and how we say so.
struct Ours {
    identity: Arc<Identity>,
    valid_for: Duration,
}

impl OurKeys for Ours {
    fn server_name(&self) -> &ServerName {
        self.identity.server_name()
    }

    fn key_response(&self, now_ms: u64) -> Value {
        self.identity.key_response(now_ms, self.valid_for)
    }
}

/// Reads the signing key; `None` without `signing_key_path`: there is no federation then.
pub(super) fn identity(config: &Config, origins: &Origins) -> Result<Option<Identity>, Problems> {
    if config.federation.signing_key_path.is_none() {
        let serves = |listener: &config::Listener| listener.resources.contains(&config::Resource::Federation);
        let Some(index) = config.listeners.iter().position(serves) else {
            return Ok(None);
        };
        let key = format!("listeners[{index}]");
        let place = origins.locate(&key);
        let place = place.map(|origin| format!(" ({origin})")).unwrap_or_default();
        return Err(Problems::other(format!(
            "{key}: serves the resource federation, and there is no signing_key_path{place}; make a key by \
             `presence-router generate-keys -o FILE`, and name it"
        )));
    }
    let identity = Identity::load(&config.server_name, &config.federation).map_err(|error| {
        let place = origins.locate("signing_key_path");
        let place = place.map(|origin| format!(" ({origin})")).unwrap_or_default();
        Problems::other(format!("{:#}{place}", anyhow::Error::new(error)))
    })?;
    Ok(Some(identity))
}

/// How other homeservers are asked.
pub(super) fn client(
    config: &Config,
    identity: Identity,
) -> Result<(Arc<Identity>, Arc<FederationClient>), Problems> {
    let identity = Arc::new(identity);
    let names = SystemNames::new().map_err(anyhow::Error::new)?;
    let client = FederationClient::new(config, Arc::clone(&identity), Arc::new(names));
    let client = client.map_err(anyhow::Error::new)?;
    Ok((identity, Arc::new(client)))
}

/// Begins to speak to other homeservers: what waits for them is sent, and what they send may be taken.
pub(super) fn begin(
    config: &Config,
    engine: &Engine,
    identity: Arc<Identity>,
    client: Arc<FederationClient>,
) -> (http::Federation, Sender) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sender = engine.send_by(Arc::<FederationClient>::clone(&client));
    let allowed = config.federation.domain_whitelist.as_ref().map(|names| {
        let names = names
            .iter()
            .filter_map(|name| OwnedServerName::try_from(name.as_str()).ok());
        Arc::new(names.collect::<BTreeSet<_>>())
    });
    let federation = http::Federation {
        keys: KeyRing::new(Arc::clone(&clock), client),
        clock,
        ours: Arc::new(Ours {
            identity,
            valid_for: config.federation.key_refresh_interval,
        }),
        allowed,
        sender: Some(sender.clone()),
        seen: Seen::new(),
    };
    (federation, sender)
}
