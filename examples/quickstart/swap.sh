#!/usr/bin/env bash
# Shows on a running server, with the config of the quickstart, how a module is replaced: a swap, a swap that is refused,
# and a rollback. It prints what an operator sees, and checks each step. README.md beside this file explains the steps.
#
# Needs bash, curl and cargo. Works from any directory, leaves nothing running, and ends with 0 only when all was as expected.
set -euo pipefail

script=swap
# shellcheck source=examples/quickstart/steps.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/steps.sh"

socket=$work/admin.sock
module=$work/modules/libbroadcast.so
since="" shown=""

# --- What the steps are made of ----------------------------------------------------------------------

# build FILE: builds a workspace of the contract and of the module, which is in $work/source, and keeps the library as FILE.
build() {
    local built
    built=$(cargo build --manifest-path "$work/source/Cargo.toml" -p presence-router-broadcast \
        --target-dir "$target/quickstart" --message-format json-render-diagnostics) || fail "cargo could not build"
    install -m 755 "$(sed -n 's/.*"\([^"]*\/libbroadcast\.so\)".*/\1/p' <<<"$built")" "$1"
}

# put FILE: replaces the module's file as a package manager does, at once.
put() {
    printf '   $ mv %s %s\n' "$(basename "$1")" modules/libbroadcast.so
    install -m 755 "$1" "$work/modules/next"
    mv "$work/modules/next" "$module"
}

# modules STATUS COMMAND...: runs `presence-router modules`, and expects this exit code; the output is in $shown.
modules() {
    local expected=$1 code=0
    shift
    printf '   $ presence-router modules %s --socket admin.sock\n' "$*"
    shown=$("$binary" modules "$@" --socket "$socket" 2>&1) || code=$?
    sed 's/^/   /' <<<"$shown"
    [[ $code == "$expected" ]] || fail "the exit code is $code, not $expected"
}

# serves VERSION: which version `modules list` shows.
serves() {
    modules 0 list
    [[ $shown == *"Broadcast"*" $1 "* ]] || fail "version $1 does not serve"
}

# ask USER METHOD PATH [BODY]: a client's request; the answer is in $body.
ask() {
    local data=()
    if [[ -n ${4-} ]]; then data=(--data "$4"); fi
    body=$(curl -q --noproxy '*' --silent --show-error --fail --max-time 60 --request "$2" \
        --header "Authorization: Bearer $1-token" "${data[@]}" "$url/_matrix/client/v3$3") ||
        fail "$2 $3 was not answered with 200"
}

# sync [TIMEOUT]: the gobbler syncs on.
sync() {
    ask gobbler GET "/sync?set_presence=offline&timeout=${1:-0}${since:+&since=$since}"
    since=$(sed -n 's/.*"next_batch":"\([^"]*\)".*/\1/p' <<<"$body")
}

# tell TEXT: alice says something, and the gobbler, whom the module alone tells, must hear of it.
tell() {
    ask alice PUT "/presence/@alice:example.org/status" "{\"presence\":\"online\",\"status_msg\":\"$1\"}"
    sync 30000
    [[ $body == *"\"status_msg\":\"$1\""* ]] || fail "the gobbler is not told: $body"
    sync
    if [[ $body == *m.presence* ]]; then fail "the gobbler is told twice: $body"; fi
    ok "alice says \"$1\", and the gobbler is told, once"
}

# --- The steps ---------------------------------------------------------------------------------------

begin "Build the server, and three builds of the module: 0.1.0, 0.2.0, and one with another layout of the contract"
build_all
target=$(dirname "$(dirname "$binary")")
mkdir -p "$work/modules" "$work/source/plugins"
cp -R ../../plugin-api ../../Cargo.lock "$work/source/"
cp -R ../../plugins/broadcast "$work/source/plugins/"
sed -e 's/^members = .*/members = ["plugin-api", "plugins\/broadcast"]/' -e '/^exclude = /d' \
    -e 's/^version = "0.1.0"$/version = "0.2.0"/' ../../Cargo.toml >"$work/source/Cargo.toml"
build "$work/broadcast-0.2.0.so"
sed -i 's/^\( *\)\/\/\/ Milliseconds since the Unix epoch\.$/\1\/\/\/ Inserted.\n\1fn moon_phase(\&self) -> u8;\n\n&/' \
    "$work/source/plugin-api/src/abi/host.rs"
grep -q moon_phase "$work/source/plugin-api/src/abi/host.rs" || fail "the contract was not changed"
build "$work/other-layout.so"
install -m 755 "$library" "$module"
ok "there are presence-router and three libraries"

begin "Start the server with the first"
printf 'listeners: [{port: 0}]\nmodule_path: ["%s"]\nadmin_socket: "%s"\n' "$work/modules" "$socket" >"$work/swap.yaml"
start homeserver.yaml "$work/swap.yaml" || fail "the server did not start"
serves 0.1.0
sync
tell "first"

begin "Swap: another build in its place, and the running server takes it"
put "$work/broadcast-0.2.0.so"
modules 0 reload broadcast
serves 0.2.0
tell "second"

begin "A swap that is refused: its types are laid out otherwise"
put "$work/other-layout.so"
modules 1 reload broadcast
[[ $shown == *'refused at the step "open"'* && $shown == *"serves on, unchanged"* ]] || fail "it does not say so"
serves 0.2.0
tell "third"

begin "Roll back to what served before the swap"
modules 0 rollback broadcast
serves 0.1.0
tell "fourth"

begin "Stop the server"
kill -TERM "$server"
while IFS= read -r -t 60 -u "$out" line; do :; done
code=0
wait "$server" || code=$?
server=""
[[ $code == 0 ]] || fail "it ended with exit code $code"
ok "exit code 0; what it has logged:"
sed -n 's/^[^ ]* *//; s/^/   /; /generation\|rolled back\|taken over/p' "$log"

printf '\nswap: all as expected\n'
