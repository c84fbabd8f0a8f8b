//! Who the config says that we are to other servers.

use crate::config::{Config, Origins};
use crate::federation::Identity;
use crate::problems::Problems;

/// `None` without `signing_key_path`: there is no federation then.
pub(super) fn load(config: &Config, origins: &Origins) -> Result<Option<Identity>, Problems> {
    if config.federation.signing_key_path.is_none() {
        return Ok(None);
    }
    let identity = Identity::load(&config.server_name, &config.federation).map_err(|error| {
        let place = origins.locate("signing_key_path");
        let place = place.map(|origin| format!(" ({origin})")).unwrap_or_default();
        Problems::other(format!("{:#}{place}", anyhow::Error::new(error)))
    })?;
    Ok(Some(identity))
}
