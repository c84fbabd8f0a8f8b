//! The comparison with Synapse: the scripts of `tests/comparison`, against our host, and against both.

use std::fs;
use std::path::Path;

use presence_router_tests::comparison::{Call, Ours, Outcome, Script, Synapse, run, scripts};
use presence_router_tests::synapse::Program;

/// Where our host, or Synapse, was not as its script says.
#[derive(Default)]
struct Report {
    /// How many calls were as they are to be.
    same: usize,
    intended: Vec<String>,
    pending: Vec<String>,
    wrong: Vec<String>,
}

#[test]
fn our_host_answers_every_call_as_the_scripts_say() {
    let mut report = Report::default();
    for script in scripts() {
        if let Some(reason) = &script.pending {
            report.check_pending(&script, reason);
            continue;
        }
        let ours = run(&script, &mut Ours::start(&script));
        for (call, outcome) in script.calls.iter().zip(&ours) {
            report.check_ours(&script, call, outcome);
            report.same += usize::from(*outcome == call.ours());
        }
    }
    report.conclude("as expected");
}

#[test]
fn every_difference_is_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/behaviour.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    let rows: Vec<_> = rows.iter().map(|row| row.replace('`', "")).collect();
    for script in scripts() {
        for call in &script.calls {
            let Some(reason) = call.differs.as_deref().filter(|_| call.pending.is_none()) else {
                continue;
            };
            assert!(
                rows.iter().any(|row| row.contains(reason)),
                "{}: {}: no row of docs/behaviour.md says {reason:?}",
                script.name,
                call.case
            );
        }
    }
}

/// A minute or two, and it installs Synapse: `tests/comparison/run.sh` runs it.
#[test]
#[ignore = "installs and starts a real Synapse: tests/comparison/run.sh"]
fn synapse_and_our_host_answer_alike_but_for_what_is_listed() {
    let program = Program::installed().unwrap_or_else(|why| panic!("Synapse cannot be installed: {why}"));
    let mut report = Report::default();
    for script in scripts() {
        let synapses = run(&script, &mut Synapse::start(&program, &script));
        if let Some(reason) = &script.pending {
            report.check_pending(&script, reason);
            for (call, synapse) in script.calls.iter().zip(&synapses) {
                report.check_synapses(&script, call, synapse);
            }
            continue;
        }
        let ours = run(&script, &mut Ours::start(&script));
        for ((call, ours), synapse) in script.calls.iter().zip(&ours).zip(&synapses) {
            let at = format!("{}: {}", script.name, call.case);
            report.check_ours(&script, call, ours);
            report.check_synapses(&script, call, synapse);
            match &call.differs {
                None if ours == synapse => report.same += 1,
                None => {}
                Some(_) if ours == synapse => report
                    .wrong
                    .push(format!("{at}: listed as different, and is not")),
                Some(reason) => {
                    let text = format!("{at}: {reason}\n    ours:    {ours}\n    Synapse: {synapse}");
                    report.intended.push(text);
                }
            }
        }
    }
    report.conclude("alike");
}

impl Report {
    fn check_pending(&mut self, script: &Script, reason: &str) {
        let calls = script.calls.iter();
        let done = Ours::takes(script)
            && calls
                .zip(run(script, &mut Ours::start(script)))
                .all(|(call, outcome)| outcome == call.ours());
        if done {
            let text = format!("{}: not pending any more, take the mark away", script.name);
            self.wrong.push(text);
        } else {
            self.pending.push(format!("{}: {reason}", script.name));
        }
    }

    fn check_ours(&mut self, script: &Script, call: &Call, found: &Outcome) {
        let at = format!("{}: {}", script.name, call.case);
        let as_expected = *found == call.ours();
        match &call.pending {
            None if as_expected => {}
            None => self.wrong.push(format!(
                "{at}\n    expected: {}\n    ours:     {found}",
                call.ours()
            )),
            Some(_) if as_expected => self
                .wrong
                .push(format!("{at}: not pending any more, take the mark away")),
            Some(reason) => self.pending.push(format!("{at}: {reason}")),
        }
    }

    fn check_synapses(&mut self, script: &Script, call: &Call, found: &Outcome) {
        if *found != call.synapses() {
            let at = format!("{}: {}", script.name, call.case);
            let text = format!("{at}\n    expected: {}\n    Synapse:  {found}", call.synapses());
            self.wrong.push(text);
        }
    }

    /// Prints it all, and panics when something is not as it should be.
    fn conclude(self, same: &str) {
        for (what, list) in [
            ("different, as intended", &self.intended),
            ("pending", &self.pending),
            ("WRONG", &self.wrong),
        ] {
            for text in list {
                println!("{what}: {text}");
            }
        }
        println!(
            "{} {same}, {} different as intended, {} pending, {} wrong",
            self.same,
            self.intended.len(),
            self.pending.len(),
            self.wrong.len()
        );
        assert!(
            self.wrong.is_empty(),
            "{} calls are not as they should be",
            self.wrong.len()
        );
    }
}
