//! What the export macros refuse, and in which words. `TRYBUILD=overwrite` writes the expected output anew.

#[test]
fn a_wrong_export_is_refused_in_words_that_help() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
