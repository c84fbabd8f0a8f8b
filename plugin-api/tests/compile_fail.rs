//! What the export macros refuse, and in which words. `TRYBUILD=overwrite` writes the expected output anew.

/// The compiler whose words stand in the expected output of the cases that are the compiler's to refuse.
const RECORDED_WITH: &str = "rustc 1.95.";

#[test]
fn a_wrong_export_is_refused_in_words_that_help() {
    let cases = trybuild::TestCases::new();
    for ours in ["a_path", "no_name", "no_routers"] {
        cases.compile_fail(format!("tests/ui/{ours}.rs"));
    }
    if env!("PRESENCE_ROUTER_RUSTC").starts_with(RECORDED_WITH) {
        for the_compilers in ["exported_twice", "not_a_router"] {
            cases.compile_fail(format!("tests/ui/{the_compilers}.rs"));
        }
    }
}
