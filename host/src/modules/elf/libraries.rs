//! Where the dynamic linker of Linux looks for the libraries that a module needs (ld.so(8)), asked without
//! loading anything. Follows one level: what a needed library needs itself is found out by opening.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::modules::elf::{HEADER_BYTES, HOST_MACHINE, identify};

/// Where this process would find shared libraries.
#[derive(Debug, Clone, Default)]
pub struct LibrarySearch {
    /// `LD_LIBRARY_PATH`, in order.
    library_path: Vec<PathBuf>,
    /// The files that `/etc/ld.so.cache` lists.
    cached: Vec<PathBuf>,
    /// The directories that are searched last.
    standard: Vec<PathBuf>,
    /// The files mapped into this process.
    loaded: Vec<PathBuf>,
}

/// Where a needed library is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The dynamic linker will find it there.
    Found(PathBuf),
    /// This process has it already.
    Loaded(PathBuf),
    /// It is in this directory, which the module finds from its own place but not from its private copy's.
    BesideOriginal(PathBuf),
    /// Nowhere.
    Missing,
}

/// The directories that a library names for those that it needs, as written.
#[derive(Debug, Clone, Default)]
pub(in crate::modules) struct RunPaths {
    pub(in crate::modules) rpath: Option<String>,
    pub(in crate::modules) runpath: Option<String>,
}

impl LibrarySearch {
    /// As this process has it now: its environment, the system's cache, what is loaded.
    pub fn of_this_process() -> Self {
        let library_path = std::env::var_os("LD_LIBRARY_PATH")
            .filter(|paths| !paths.is_empty())
            .map(|paths| {
                paths
                    .as_bytes()
                    .split(|byte| matches!(byte, b':' | b';'))
                    .map(path)
                    .collect()
            });
        let multiarch = format!("{HOST_MACHINE}-linux-gnu");
        let standard = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(PathBuf::from);
        let nested = [
            Path::new("/lib").join(&multiarch),
            Path::new("/usr/lib").join(&multiarch),
        ];
        Self {
            library_path: library_path.unwrap_or_default(),
            cached: cached_files(&fs::read("/etc/ld.so.cache").unwrap_or_default()),
            standard: standard.into_iter().chain(nested).collect(),
            loaded: loaded_files(&fs::read("/proc/self/maps").unwrap_or_default()),
        }
    }

    /// Where `needed` is for a library at `copy` whose original is at `original`.
    pub(in crate::modules) fn resolve(
        &self,
        needed: &str,
        run_paths: &RunPaths,
        copy: &Path,
        original: &Path,
    ) -> Resolution {
        if let Some(loaded) = named(&self.loaded, needed).next() {
            return Resolution::Loaded(loaded.to_owned());
        }
        if needed.contains('/') {
            let path = PathBuf::from(needed);
            return if fits(&path) {
                Resolution::Found(path)
            } else {
                Resolution::Missing
            };
        }
        // An RPATH counts only without a RUNPATH, and then before all others.
        let rpath = run_paths.rpath.as_deref().filter(|_| run_paths.runpath.is_none());
        let runpath = run_paths.runpath.as_deref();
        let found = (expand(rpath, copy).into_iter())
            .chain(self.library_path.iter().cloned())
            .chain(expand(runpath, copy))
            .map(|dir| dir.join(needed))
            .chain(named(&self.cached, needed).map(Path::to_owned))
            .chain(self.standard.iter().map(|dir| dir.join(needed)))
            .find(|path| fits(path));
        if let Some(path) = found {
            return Resolution::Found(path);
        }
        expand(rpath.or(runpath), original)
            .into_iter()
            .chain(original.parent().map(Path::to_owned))
            .find(|dir| fits(&dir.join(needed)))
            .map_or(Resolution::Missing, Resolution::BesideOriginal)
    }
}

/// The directories of a run path, `$ORIGIN` being the directory of `library`. Those with `$LIB` or `$PLATFORM`
/// are left out: what they stand for is known to the dynamic linker alone.
fn expand(run_path: Option<&str>, library: &Path) -> Vec<PathBuf> {
    let Some(run_path) = run_path.filter(|path| !path.is_empty()) else {
        return Vec::new();
    };
    let origin = library.parent().unwrap_or(Path::new(".")).to_string_lossy();
    run_path
        .split(':')
        .map(|dir| dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
        .filter(|dir| !dir.contains('$'))
        .map(|dir| path(dir.as_bytes()))
        .collect()
}

/// An empty entry of a search path is the current directory.
fn path(bytes: &[u8]) -> PathBuf {
    if bytes.is_empty() {
        PathBuf::from(".")
    } else {
        PathBuf::from(OsStr::from_bytes(bytes))
    }
}

fn named<'a>(paths: &'a [PathBuf], name: &str) -> impl Iterator<Item = &'a Path> {
    paths
        .iter()
        .map(PathBuf::as_path)
        .filter(move |path| path.file_name() == Some(OsStr::new(name)))
}

/// Whether the dynamic linker would take the file: it passes over those for other machines.
fn fits(path: &Path) -> bool {
    let mut start = Vec::with_capacity(HEADER_BYTES);
    fs::metadata(path).is_ok_and(|found| found.is_file())
        && File::open(path).is_ok_and(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut start).is_ok())
        && identify(&start).is_ok()
}

/// The paths in `/etc/ld.so.cache`: it holds them as strings that end in NUL.
fn cached_files(cache: &[u8]) -> Vec<PathBuf> {
    cache
        .split(|byte| *byte == 0)
        .filter(|text| text.starts_with(b"/"))
        .map(path)
        .collect()
}

/// The libraries in `/proc/self/maps`, each once: the sixth field of each line, when it is a path.
fn loaded_files(maps: &[u8]) -> Vec<PathBuf> {
    let mut files: Vec<_> = maps
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            line.iter()
                .position(|byte| *byte == b'/')
                .and_then(|at| line.get(at..))
        })
        .filter(|text| !text.ends_with(b" (deleted)"))
        .map(path)
        .collect();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::fixture::valid;

    /// Where `libneeded.so` resolves for a module `original/libm.so` whose copy is `copy/libm-0.so`, when the
    /// library is in `dir`.
    fn check(
        dir: &str,
        search: impl FnOnce(&Path) -> LibrarySearch,
        run_paths: impl FnOnce(&Path) -> RunPaths,
    ) -> String {
        let root = tempfile::tempdir().unwrap();
        for name in ["original", "copy", dir] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join(dir).join("libneeded.so"), valid()).unwrap();
        let at = |path: &str| root.path().join(path);
        let resolution = search(root.path()).resolve(
            "libneeded.so",
            &run_paths(root.path()),
            &at("copy/libm-0.so"),
            &at("original/libm.so"),
        );
        format!("{resolution:?}").replace(&root.path().display().to_string(), "ROOT")
    }

    fn nowhere(_: &Path) -> LibrarySearch {
        LibrarySearch::default()
    }

    fn runpath(text: &str) -> impl FnOnce(&Path) -> RunPaths {
        let text = text.to_owned();
        move |root| RunPaths {
            runpath: Some(text.replace("ROOT", &root.display().to_string())),
            rpath: Some("/ignored/with/a/runpath".into()),
        }
    }

    #[test]
    fn each_place_is_searched() {
        let none = |_: &Path| RunPaths::default();
        let found = r#"Found("ROOT/here/libneeded.so")"#;
        let path = |root: &Path| LibrarySearch {
            library_path: vec![root.join("here")],
            ..LibrarySearch::default()
        };
        assert_eq!(check("here", path, none), found);
        let last = |root: &Path| LibrarySearch {
            standard: vec![root.join("here")],
            ..LibrarySearch::default()
        };
        assert_eq!(check("here", last, none), found);
        let cache = |root: &Path| LibrarySearch {
            cached: vec![root.join("gone/libneeded.so"), root.join("here/libneeded.so")],
            ..LibrarySearch::default()
        };
        assert_eq!(check("here", cache, none), found);
        assert_eq!(check("here", nowhere, runpath("/x:ROOT/here")), found);
        let rpath = |root: &Path| RunPaths {
            rpath: Some(root.join("here").display().to_string()),
            runpath: None,
        };
        assert_eq!(check("here", nowhere, rpath), found);
        let loaded = |_: &Path| LibrarySearch {
            loaded: vec!["/a/libneeded.so".into()],
            ..LibrarySearch::default()
        };
        assert_eq!(check("here", loaded, none), r#"Loaded("/a/libneeded.so")"#);
        assert_eq!(check("here", nowhere, none), "Missing");
    }

    #[test]
    fn a_library_found_from_the_original_only_is_told_apart() {
        assert_eq!(
            check("original", nowhere, runpath("$ORIGIN")),
            r#"BesideOriginal("ROOT/original")"#
        );
        assert_eq!(
            check("original", nowhere, |_| RunPaths::default()),
            r#"BesideOriginal("ROOT/original")"#
        );
        assert_eq!(
            check("original/deps", nowhere, runpath("${ORIGIN}/deps")),
            r#"BesideOriginal("ROOT/original/deps")"#
        );
        assert_eq!(
            check("copy", nowhere, runpath("$ORIGIN")),
            r#"Found("ROOT/copy/libneeded.so")"#
        );
        assert_eq!(check("here", nowhere, runpath("ROOT/$LIB:")), "Missing");
    }

    #[test]
    fn a_file_for_another_machine_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = valid().to_vec();
        other[18] ^= 0xff;
        fs::write(dir.path().join("libneeded.so"), other).unwrap();
        let search = LibrarySearch {
            standard: vec![dir.path().to_owned()],
            ..LibrarySearch::default()
        };
        let found = search.resolve(
            "libneeded.so",
            &RunPaths::default(),
            Path::new("/c/m"),
            Path::new("/o/m"),
        );
        assert_eq!(found, Resolution::Missing);
    }

    #[test]
    fn the_cache_and_the_maps_are_read() {
        assert_eq!(
            cached_files(b"glibc-ld.so.cache1.1\0\x02\0libc.so.6\0/lib/libc.so.6\0libm.so\0/lib/libm.so\0"),
            [Path::new("/lib/libc.so.6"), Path::new("/lib/libm.so")],
        );
        assert_eq!(
            loaded_files(
                b"1-2 r--p 0 08:01 1 /lib/a b.so\n2-3 r-xp 0 08:01 1 /lib/a b.so\n3-4 rw-p 0 00:00 0 [heap]\n\
                  4-5 r--p 0 08:01 2 /lib/gone.so (deleted)\n"
            ),
            [Path::new("/lib/a b.so")],
        );
    }

    #[test]
    fn this_process_finds_its_own_libc() {
        let search = LibrarySearch {
            loaded: Vec::new(),
            ..LibrarySearch::of_this_process()
        };
        let name = if cfg!(target_env = "gnu") {
            "libc.so.6"
        } else {
            "libc.so"
        };
        let found = search.resolve(name, &RunPaths::default(), Path::new("/c/m"), Path::new("/o/m"));
        assert!(matches!(found, Resolution::Found(_)), "{found:?}");
    }
}
