#!/usr/bin/env bash
# Measures this server, and Synapse and Prosody beside it, and says for each bar whether it is met. docs/performance.md
# says what the bars are and how they are measured.
#
#   tests/performance/run.sh               all bars, then the plots and the tables of docs/performance.md
#   tests/performance/run.sh BAR...        only these
#   tests/performance/run.sh --list        the bars
#   tests/performance/run.sh --check       only whether these scripts can be read, for CI: nothing is built or measured
#   tests/performance/run.sh --help        what else there is
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ ${1:-} == --check ]]; then
    bash -n tests/performance/run.sh
    # Compiled into nothing: no files are left behind.
    python3 -B - tests/performance/*.py <<'CHECK'
import sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        compile(file.read(), path, "exec")
CHECK
    python3 -B tests/performance/main.py --list
    python3 -B tests/performance/selftest.py
    exit
fi
exec python3 -B tests/performance/main.py "$@"
