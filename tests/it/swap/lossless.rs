//! A thousand swaps under load.

use std::time::Instant;

use presence_router_tests::{Admin, Host, artifacts};

use crate::swap::config;
use crate::swap::library::Library;
use crate::swap::load::{under_load, with_users};

/// How many; the environment variable of this name says otherwise.
const SWAPS: &str = "PRESENCE_ROUTER_SWAPS";
const USUALLY: u64 = 1_000;

#[test]
fn a_thousand_swaps_lose_nothing_and_nobody_waits() {
    let swaps = std::env::var(SWAPS).map_or(USUALLY, |swaps| swaps.parse().expect("a number"));
    let builds = artifacts::two_builds();
    let library = Library::of(&builds[0]);
    let host = Host::start(&with_users(config(&library)));
    let mut operator = Admin::of(&host).connect();
    let begun = Instant::now();
    let mut shown = Vec::new();
    let report = under_load(&host, |goes_on| {
        for (swap, build) in (1..=swaps).zip(builds.iter().rev().cycle()) {
            library.put(build);
            let answer = operator.reload("broadcast");
            assert_eq!(answer["before_has_ended"], true, "swap {swap}: {answer:#}");
            shown.push(answer["now"]["version"].as_str().map(str::to_owned));
            if !goes_on() {
                return;
            }
        }
    });
    println!("{swaps} swaps in {:?}: {report}", begun.elapsed());
    assert_eq!(shown.len() as u64, swaps);
    let alternate = shown.windows(2).all(|two| two[0] != two[1]);
    assert!(alternate, "each swap brings the other build: {shown:?}");
    assert!(
        report.counted >= swaps,
        "too little was counted for so many swaps: {report}"
    );
    let warnings = ["ERROR", "WARN"].map(|level| host.log().contains(&[level]));
    assert_eq!(warnings, [false, false], "{}", host.log().text());
    host.terminate().expect_code(0);
}
