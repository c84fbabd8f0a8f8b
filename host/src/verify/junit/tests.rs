//! A report with one check of each verdict, as XML.

use std::path::PathBuf;

use super::*;
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::{Check, Level};

fn report(level: Level) -> Report {
    let check = |check, verdict, finding: Option<Finding>| CheckReport {
        check,
        verdict,
        seconds: 0.25,
        outcome: Outcome {
            findings: finding.into_iter().collect(),
            notes: vec!["a note".to_owned()],
        },
    };
    Report {
        file: PathBuf::from("/modules/lib<x>.so"),
        router: None,
        level,
        seed: 7,
        checks: vec![
            check(Check::Inspect, Verdict::Passed, None),
            check(Check::Load, Verdict::Warned, Some(Finding::warning("not nice"))),
            check(
                Check::Answers,
                Verdict::Failed,
                Some(Finding::failure("says \"<&>\" and \u{1b}[1m").detail("a\nline")),
            ),
            check(
                Check::BadConfig,
                Verdict::Crashed,
                Some(Finding::failure("killed by SIGSEGV")),
            ),
            check(Check::Reload, Verdict::Skipped, None),
        ],
    }
}

#[test]
fn each_verdict_has_its_element_and_no_text_breaks_the_form() {
    insta::assert_snapshot!(junit(&report(Level::Standard)).expect("writes"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuite name="lib&lt;x&gt;.so" tests="5" failures="1" errors="1" skipped="1" time="1.250">
      <properties>
        <property name="seed" value="7"/>
      </properties>
      <testcase name="inspect" classname="lib&lt;x&gt;.so" time="0.250">
        <system-out>ok      inspect         a note</system-out>
      </testcase>
      <testcase name="load" classname="lib&lt;x&gt;.so" time="0.250">
        <system-out>warned  load            a note
            warning: not nice</system-out>
      </testcase>
      <testcase name="answers" classname="lib&lt;x&gt;.so" time="0.250">
        <failure message="says &quot;&lt;&amp;&gt;&quot; and �[1m">FAILED  answers         a note
            failure: says &quot;&lt;&amp;&gt;&quot; and �[1m
                a�line</failure>
      </testcase>
      <testcase name="bad-config" classname="lib&lt;x&gt;.so" time="0.250">
        <error message="killed by SIGSEGV">CRASHED bad-config      a note
            failure: killed by SIGSEGV</error>
      </testcase>
      <testcase name="reload" classname="lib&lt;x&gt;.so" time="0.250">
        <skipped message="a note">skipped reload          a note</skipped>
      </testcase>
    </testsuite>
    "#);
}

#[test]
fn a_warning_fails_at_the_strict_level() {
    let xml = junit(&report(Level::Strict)).expect("writes");
    assert!(xml.contains("failures=\"2\""), "{xml}");
    assert!(xml.contains("<failure message=\"not nice\">"), "{xml}");
}
