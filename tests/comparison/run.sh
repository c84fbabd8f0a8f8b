#!/usr/bin/env bash
# Runs the scripts of this directory against a real Synapse and against our host, and prints where they differ.
# Fails when they differ in what is not listed. Installs Synapse from PyPI below the target directory, once.
set -euo pipefail
cd "$(dirname "$0")/../.."

exec cargo test -p presence-router-tests --test it -- --ignored --exact --nocapture \
    comparison::synapse_and_our_host_answer_alike_but_for_what_is_listed
