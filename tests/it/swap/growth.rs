//! What a swap costs, and does not give back: memory, threads, mappings, descriptors, space on the disk.

use std::time::Instant;

use presence_router_tests::{Admin, Host, PATIENCE, artifacts};

use crate::swap::config;
use crate::swap::library::Library;

/// Swaps so many times, alternating two builds.
fn swap(host: &Host, library: &Library, times: usize) {
    let mut operator = Admin::of(host).connect();
    for build in artifacts::two_builds().iter().rev().cycle().take(times) {
        library.put(build);
        operator.reload("broadcast");
    }
}

#[test]
fn a_swap_leaves_no_thread_descriptor_or_copy_behind() {
    let library = Library::of(&artifacts::two_builds()[0]);
    let host = Host::start(&config(&library));
    // Threads that the server starts when there is work for them are there then.
    swap(&host, &library, 10);
    let before = host.footprint();
    swap(&host, &library, 20);
    // The threads of the last that was swapped away end beside it.
    let after = host.footprint_when(PATIENCE, |after| {
        after.threads <= before.threads && after.descriptors <= before.descriptors
    });
    assert!(after.mappings > before.mappings, "libraries stay mapped: {after}");
    // What serves, and what could be rolled back to.
    assert_eq!(after.copies, 2, "{after}");
}

/// Prints a table. By the command that docs/swap.md gives.
#[test]
#[ignore = "measures, and takes minutes"]
fn what_a_thousand_swaps_cost() {
    let library = Library::of(&artifacts::two_builds()[0]);
    let host = Host::start(&config(&library));
    swap(&host, &library, 10);
    let (start, begun) = (host.footprint(), Instant::now());
    println!("{:>5} swaps: {start}", 0);
    let mut done = 0;
    for swaps in [100, 500, 1_000] {
        swap(&host, &library, swaps - done);
        done = swaps;
        println!("{swaps:>5} swaps: {}", host.footprint());
    }
    let end = host.footprint();
    println!(
        "a thousand swaps: {:.1} s, {} kB resident, {} kB anonymous, {} mappings",
        begun.elapsed().as_secs_f64(),
        end.resident_kb - start.resident_kb,
        end.anonymous_kb - start.anonymous_kb,
        end.mappings - start.mappings,
    );
}
