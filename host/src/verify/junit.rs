//! A report in the form of `JUnit`, which CI systems show: a test suite, with a test case a check.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::verify::report::{CheckReport, Report, Verdict, printable};

/// The report as XML.
pub fn junit(report: &Report) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (mut failures, mut errors, mut skipped, mut seconds) = (0, 0, 0, 0.0);
    for check in &report.checks {
        seconds += check.seconds;
        match check.verdict {
            Verdict::Skipped => skipped += 1,
            Verdict::Crashed | Verdict::Late => errors += 1,
            verdict if !report.accepts(verdict) => failures += 1,
            _ => {}
        }
    }
    let name = report.file.file_name().unwrap_or_default().to_string_lossy();
    writer
        .create_element("testsuite")
        .with_attributes([
            ("name", &*printable(&name)),
            ("tests", &report.checks.len().to_string()),
            ("failures", &failures.to_string()),
            ("errors", &errors.to_string()),
            ("skipped", &skipped.to_string()),
            ("time", &format!("{seconds:.3}")),
        ])
        .write_inner_content(|writer| {
            writer
                .create_element("properties")
                .write_inner_content(|writer| {
                    let seed = report.seed.to_string();
                    let property = writer.create_element("property");
                    property
                        .with_attributes([("name", "seed"), ("value", &*seed)])
                        .write_empty()?;
                    Ok(())
                })?;
            report
                .checks
                .iter()
                .try_for_each(|check| case(writer, report, check, &name))
        })?;
    String::from_utf8(writer.into_inner()).map_err(io::Error::other)
}

fn case(writer: &mut Writer<Vec<u8>>, report: &Report, check: &CheckReport, module: &str) -> io::Result<()> {
    let element = writer.create_element("testcase").with_attributes([
        ("name", check.check.name()),
        ("classname", &*printable(module)),
        ("time", &format!("{:.3}", check.seconds)),
    ]);
    let kind = match check.verdict {
        Verdict::Crashed | Verdict::Late => Some("error"),
        verdict if !report.accepts(verdict) => Some("failure"),
        Verdict::Skipped => Some("skipped"),
        _ => None,
    };
    let text = check.to_string();
    element.write_inner_content(|writer| {
        match kind {
            Some(kind) => {
                let finding = check.outcome.findings.first();
                let message = finding.map_or_else(
                    || check.outcome.notes.join("; "),
                    |finding| finding.message.clone(),
                );
                writer
                    .create_element(kind)
                    .with_attribute(("message", &*printable(&message)))
                    .write_text_content(BytesText::new(&text))?;
            }
            None => {
                writer
                    .create_element("system-out")
                    .write_text_content(BytesText::new(&text))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
