#!/usr/bin/env bash
# What run.sh and swap.sh are made of: steps, and a server that goes with them. To be sourced, with the name of the script in
# $script; it ends the script when a step is not as expected, and leaves nothing running.
set -euo pipefail

for tool in cargo curl; do
    if ! command -v "$tool" >/dev/null; then
        echo "$script: needs $tool, which is not installed" >&2
        exit 1
    fi
done

# The server refuses a module that others than its owner can write. With this, what is made here is not.
umask 022

cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null
work=$(mktemp -d)
log=$work/server.log
step=0 title="" server="" poll="" url=""

# --- What the steps are made of ----------------------------------------------------------------------

# begin TITLE: starts a step.
begin() {
    step=$((step + 1)) title=$1
    printf '\n%d. %s\n' "$step" "$title"
}

ok() { printf '   ok: %s\n' "$1"; }

# fail WHAT: names the step that was not as expected, shows the server's log, and ends.
fail() {
    printf '\n%s: step %d (%s) was not as expected: %s\n' "$script" "$step" "$title" "$1" >&2
    if [[ -s $log ]]; then
        printf '%s\n' "--- the server's log" >&2
        cat "$log" >&2
    fi
    exit 1
}

clean_up() {
    local status=$?
    trap - EXIT
    if [[ -n $poll ]]; then kill "$poll" 2>/dev/null || true; fi
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf -- "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'fail "a command failed in line $LINENO"' ERR

# build_all: builds the server and the module; they are $binary and $library.
build_all() {
    local built
    # Cargo itself says where it puts things: CARGO_TARGET_DIR and the like are honoured.
    built=$(cargo build -p presence-router -p presence-router-broadcast --message-format json-render-diagnostics) ||
        fail "cargo could not build"
    binary=$(sed -n 's/.*"executable":"\([^"]*\/presence-router\)".*/\1/p' <<<"$built")
    library=$(sed -n 's/.*"\([^"]*\/libbroadcast\.so\)".*/\1/p' <<<"$built")
    [[ -x $binary && -f $library ]] || fail "cargo did not say where the server and the module are"
}

# start CONFIG...: starts the server and reads what it prints until it is ready. Fails when it is not.
start() {
    local arguments=() line file
    for file in "$@"; do arguments+=(-c "$file"); done
    rm -f "$work/out"
    mkfifo "$work/out"
    printf '   $ presence-router run%s\n' "$(printf ' %s' "${arguments[@]}")"
    # It puts its copy of the module into TMPDIR; so that goes with all else.
    TMPDIR=$work "$binary" run "${arguments[@]}" >"$work/out" 2>"$log" &
    server=$!
    exec {out}<"$work/out"
    url=""
    while IFS= read -r -t 60 -u "$out" line; do
        printf '   %s\n' "$line"
        case $line in
            "listening on http"*) url=${line#listening on } url=${url%% *} ;;
            ready) return 0 ;;
        esac
    done
    exec {out}<&-
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=""
    return 1
}
