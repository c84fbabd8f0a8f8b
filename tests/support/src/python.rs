//! Python programs from `PyPI`, each in a virtual environment of its own below the target directory, made once.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::artifacts;
use crate::process::Process;

const INSTALL_DEADLINE: Duration = Duration::from_mins(5);

/// The Python of an environment that has `requirement`, such as `matrix-nio==0.26.0`. Made when it is not there.
///
/// The error says why there can be none: no Python 3, or one without its module `venv`. An installation that fails is
/// a panic.
pub fn with(name: &str, requirement: &str) -> Result<PathBuf, String> {
    let environment = artifacts::kept_directory(name);
    let python = environment.join("bin/python");
    let installed = environment.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|found| found == requirement) && python.exists() {
        return Ok(python);
    }
    let made = Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment)
        .output()
        .map_err(|_| "python3 is not installed".to_owned())?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stdout).into_owned());
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.arg(requirement);
    Process::start(pip).wait(INSTALL_DEADLINE).expect_code(0);
    fs::write(&installed, requirement).expect("the environment can be written to");
    Ok(python)
}
