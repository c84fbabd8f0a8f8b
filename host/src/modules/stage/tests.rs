//! Tests of the private copy.

use insta::assert_snapshot;

use super::*;
use crate::modules::refusal::Refusal;

struct Bench {
    dir: TempDir,
    cache: ModuleCache,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let bench = Self {
            dir,
            cache: ModuleCache::new().unwrap(),
        };
        bench.write("libm.so", b"content");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
        self.mode(name, 0o644);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn stage(&self, name: &str, trust: Trust, pinned: Option<Sha256>) -> Result<Staged, StageError> {
        self.cache
            .stage(Located::at(&self.path(name)).unwrap(), trust, pinned)
    }

    /// The refusal of `name`, with the directory's name taken out.
    fn check(&self, name: &str, pinned: Option<Sha256>) -> String {
        let error = self.stage(name, Trust::OwnFiles, pinned).unwrap_err();
        Refusal::from(error)
            .to_string()
            .replace(&self.dir.path().display().to_string(), "DIR")
    }
}

#[test]
fn the_copy_is_private_named_by_hash_and_never_by_an_old_name() {
    let bench = Bench::new();
    let first = bench.stage("libm.so", Trust::OwnFiles, None).unwrap();
    let second = bench.stage("libm.so", Trust::OwnFiles, None).unwrap();
    assert_eq!(fs::read(first.path()).unwrap(), b"content");
    assert_eq!(first.sha256(), Sha256::of(b"content"));
    assert_eq!(first.size(), 7);
    let names =
        [&first, &second].map(|staged| staged.path().file_name().unwrap().to_str().unwrap().to_owned());
    assert_snapshot!(names.join("\n"), @r"
    libm-ed7002b439e9-1.so
    libm-ed7002b439e9-2.so
    ");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(bench.cache.path()), mode(first.path())), (0o700, 0o400));
}

#[test]
fn the_copy_goes_with_its_holder_and_the_directory_with_the_cache() {
    let bench = Bench::new();
    let staged = bench.stage("libm.so", Trust::OwnFiles, None).unwrap();
    let (copy, dir) = (staged.path().to_owned(), bench.cache.path().to_owned());
    drop(staged);
    assert!(!copy.exists());
    let wrong = Sha256::of(b"other");
    bench.stage("libm.so", Trust::OwnFiles, Some(wrong)).unwrap_err();
    let left = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["lock"], "a refused copy is removed");
    drop(bench);
    assert!(!dir.exists());
}

#[test]
fn a_later_change_of_the_original_does_not_reach_the_copy() {
    let bench = Bench::new();
    let located = Located::at(&bench.path("libm.so")).unwrap();
    fs::remove_file(bench.path("libm.so")).unwrap();
    bench.write("libm.so", b"another");
    let error = bench.cache.stage(located, Trust::OwnFiles, None).unwrap_err();
    assert!(
        matches!(error, StageError::Changed { .. }),
        "replaced between finding and copying: {error}"
    );

    let staged = bench.stage("libm.so", Trust::OwnFiles, None).unwrap();
    bench.write("libm.so", b"yet more");
    assert_eq!(fs::read(staged.path()).unwrap(), b"another");
}

#[test]
fn a_pinned_hash_must_match() {
    let bench = Bench::new();
    let pinned = Sha256::of(b"content").to_string().to_uppercase().parse().unwrap();
    assert!(bench.stage("libm.so", Trust::OwnFiles, Some(pinned)).is_ok());
    assert_snapshot!(bench.check("libm.so", Some(Sha256::of(b"other"))), @r"
    `DIR/libm.so` has sha256 ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73, the config pins d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa
      change: the operator of this server
      fix:    put the pinned file back, or, if this one is meant, write `sha256: ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73`
    ");
}

#[test]
fn what_others_can_write_is_refused_unless_allowed() {
    let bench = Bench::new();
    bench.mode("libm.so", 0o664);
    assert_snapshot!(bench.check("libm.so", None), @r"
    `DIR/libm.so` can be written by others (mode 664)
      change: the operator of this server
      fix:    chmod go-w DIR/libm.so (or, knowing the risk: `allow_insecure_permissions: true`)
    ");
    assert!(bench.stage("libm.so", Trust::Anyone, None).is_ok());

    bench.mode("libm.so", 0o644);
    bench.mode("", 0o777);
    assert_snapshot!(bench.check("libm.so", None), @r"
    others can replace files in directory `DIR` (mode 777)
      change: the operator of this server
      fix:    chmod go-w DIR (or, knowing the risk: `allow_insecure_permissions: true`)
    ");
    bench.mode("", 0o1777);
    assert!(bench.stage("libm.so", Trust::OwnFiles, None).is_ok(), "sticky");
}

#[test]
fn a_link_into_a_directory_of_others_is_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.path("open")).unwrap();
    bench.write("open/libn.so", b"content");
    bench.mode("open", 0o777);
    std::os::unix::fs::symlink("open/libn.so", bench.path("link.so")).unwrap();
    assert_snapshot!(bench.check("link.so", None), @r"
    others can replace files in directory `DIR/open` (mode 777)
      change: the operator of this server
      fix:    chmod go-w DIR/open (or, knowing the risk: `allow_insecure_permissions: true`)
    ");
}

#[test]
fn a_directory_further_up_that_others_can_write_is_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.path("up")).unwrap();
    fs::create_dir(bench.path("up/own")).unwrap();
    bench.write("up/own/libn.so", b"content");
    bench.mode("up/own", 0o755);
    bench.mode("up", 0o775);
    assert_snapshot!(bench.check("up/own/libn.so", None), @"
    others can replace files in directory `DIR/up` (mode 775)
      change: the operator of this server
      fix:    chmod go-w DIR/up (or, knowing the risk: `allow_insecure_permissions: true`)
    ");
    std::os::unix::fs::symlink("up/own", bench.path("link")).unwrap();
    assert_snapshot!(bench.check("link/libn.so", None), @"
    others can replace files in directory `DIR/up` (mode 775)
      change: the operator of this server
      fix:    chmod go-w DIR/up (or, knowing the risk: `allow_insecure_permissions: true`)
    ");
    bench.mode("up", 0o1777);
    assert!(
        bench.stage("up/own/libn.so", Trust::OwnFiles, None).is_ok(),
        "sticky"
    );
}

#[test]
fn a_file_past_the_bound_is_refused() {
    let bench = Bench::new();
    File::options()
        .write(true)
        .open(bench.path("libm.so"))
        .unwrap()
        .set_len(MAX_MODULE_BYTES + 1)
        .unwrap();
    assert_snapshot!(bench.check("libm.so", None), @r"
    `DIR/libm.so` has 536870913 bytes, more than the 536870912 that a module may have
      change: the author of the module, or who builds it
      fix:    cargo build --release, with `strip = true` under [profile.release]
    ");
}

#[test]
fn a_name_of_any_characters_becomes_a_plain_one() {
    assert_eq!(plain_stem(Path::new("/x/lib a\n;é.so")), "lib_a___");
    assert_eq!(plain_stem(Path::new(&"x".repeat(200))).len(), 100);
}
