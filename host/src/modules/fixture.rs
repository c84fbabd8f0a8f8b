//! Tiny modules for the tests, built by the `rustc` that builds the tests; no SDK, no host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use abi_stable::library::ROOT_MODULE_LOADER_NAME;
use semver::Version;
use tempfile::TempDir;

use crate::modules::inspect::HostAbi;
use crate::modules::locate::Located;
use crate::modules::stage::{ModuleCache, Staged};
use crate::modules::trust::Trust;

pub(super) const MANIFEST: &str = r#"{"format":1,"name":"tiny","version":"1.2.3","description":"a fixture","routers":["Left","Right"],"sdk_version":"0.1.0","abi_hash":"0123456789abcdef","rustc":"rustc 1.95.0","target":"the-host-target","panic":"unwind"}"#;

/// The host that the fixture's manifest suits.
pub(super) fn host() -> HostAbi {
    HostAbi {
        sdk_version: Version::new(0, 1, 7),
        target: "the-host-target".into(),
    }
}

/// How one tiny module differs from the valid one.
pub(super) struct Recipe<'a> {
    pub(super) manifest: Option<&'a str>,
    pub(super) root_symbol: &'a str,
    pub(super) body: &'a str,
    pub(super) rustc: &'a [&'a str],
}

impl Default for Recipe<'_> {
    fn default() -> Self {
        Self {
            manifest: Some(MANIFEST),
            root_symbol: ROOT_MODULE_LOADER_NAME,
            body: "",
            rustc: &["--crate-type=cdylib"],
        }
    }
}

impl Recipe<'_> {
    /// Builds `libtiny.so` in `dir`.
    pub(super) fn build(&self, dir: &Path) -> PathBuf {
        let manifest = self.manifest.map_or(String::new(), |manifest| {
            format!(
                "#[used] #[unsafe(link_section = \".presence_router\")]\n\
                 static MANIFEST: [u8; {}] = *br####\"{manifest}\"####;\n",
                manifest.len()
            )
        });
        let source = format!(
            "{manifest}#[unsafe(export_name = \"{}\")] pub static ROOT: usize = 7;\n\
             #[unsafe(no_mangle)] pub extern \"C\" fn poke(n: usize) -> usize {{\n\
             std::panic::catch_unwind(|| if n > 3 {{ panic!(\"{{n}}\") }} else {{ n }}).unwrap_or(0) }}\n{}",
            self.root_symbol, self.body
        );
        let (input, output) = (dir.join("tiny.rs"), dir.join("libtiny.so"));
        fs::write(&input, source).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(rustc)
            .args(["--edition=2024", "-Cdebuginfo=0", "-Cstrip=symbols", "-o"])
            .arg(&output)
            .args(self.rustc)
            .arg(&input)
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        output
    }
}

/// The bytes of the valid module, built once.
pub(super) fn valid() -> &'static [u8] {
    static VALID: OnceLock<Vec<u8>> = OnceLock::new();
    VALID.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        fs::read(Recipe::default().build(dir.path())).unwrap()
    })
}

/// A directory for originals, and a cache.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) cache: ModuleCache,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            cache: ModuleCache::new().unwrap(),
        }
    }

    pub(super) fn stage(&self, path: &Path) -> Staged {
        self.cache
            .stage(Located::at(path).unwrap(), Trust::Anyone, None)
            .unwrap()
    }

    pub(super) fn stage_bytes(&self, bytes: &[u8]) -> Staged {
        let path = self.dir.path().join("libtiny.so");
        fs::write(&path, bytes).unwrap();
        self.stage(&path)
    }
}
