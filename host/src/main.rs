//! The binary `presence-router`; all of it is in the library, where tests can reach it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    presence_router::cli::main()
}
