#!/usr/bin/env bash
# Builds the server and the module `broadcast`, starts them with homeserver.yaml, and shows by curl who sees
# whose presence. Each step says what it expects and checks it. README.md beside this file explains the steps.
#
# Needs bash, curl and cargo. Works from any directory, leaves nothing running, and ends with 0 only when all
# was as expected.
set -euo pipefail

script=quickstart
# shellcheck source=examples/quickstart/steps.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/steps.sh"

# --- What the steps are made of ----------------------------------------------------------------------

# curl without the user's own settings or proxies, and not for ever.
ask() { curl -q --noproxy '*' --silent --show-error --max-time 60 "$@"; }

# name USER: the user id. `gobbler` is short for the one that the module's documentation has.
name() { if [[ $1 == gobbler ]]; then echo "@presence_gobbler:example.org"; else echo "@$1:example.org"; fi; }

# request USER METHOD PATH [BODY]: asks as the user, below /_matrix/client/v3; the answer is in $status and $body.
request() {
    local user=$1 method=$2 path=$3 data=${4-} options=()
    if [[ -n $data ]]; then options=(--data "$data"); fi
    printf '   %s> %s %s\n' "$user" "$method" "$path${data:+ $data}"
    : >"$work/body"
    status=$(ask --request "$method" --header "Authorization: Bearer $user-token" "${options[@]}" \
        --output "$work/body" --write-out '%{http_code}' "$url/_matrix/client/v3$path") || fail "curl got no answer"
    body=$(<"$work/body")
}

# set_presence USER BODY
set_presence() {
    request "$1" PUT "/presence/$(name "$1")/status" "$2"
    printf '   %s %s\n' "$status" "$body"
    [[ $status == 200 ]] || fail "setting presence was refused"
}

# look_up USER TARGET STATUS: asks for one user's presence, and expects this status.
look_up() {
    request "$1" GET "/presence/$(name "$2")/status"
    printf '   %s %s\n' "$status" "$body"
    [[ $status == "$3" ]] || fail "the status is not $3"
}

# sync USER [QUERY]: what the user is told; without `since` in the query all, with it what is new. The answer
# says in $next where the next sync begins. With `set_presence=offline`, looking does not put the user online.
sync() {
    request "$1" GET "/sync?set_presence=offline${2:+&$2}"
    [[ $status == 200 ]] || fail "the sync answered $status $body"
    read_sync
}

# read_sync: takes $body apart.
read_sync() {
    local event events
    next=$(sed -n 's/.*"next_batch":"\([^"]*\)".*/\1/p' <<<"$body")
    [[ -n $next ]] || fail "the sync has no next_batch: $body"
    events=$(grep -o '{"type":"m.presence"[^}]*}}' <<<"$body" || true)
    if [[ -z $events ]]; then echo "   200 no presence events"; fi
    while IFS= read -r event; do
        if [[ -n $event ]]; then printf '   200 %s\n' "$event"; fi
    done <<<"$events"
}

# told_of USER: whether the last sync told of the user.
told_of() { [[ $body == *"\"sender\":\"$(name "$1")\""* ]]; }

# --- The steps ---------------------------------------------------------------------------------------

begin "Build the server and the module"
echo '   $ cargo build -p presence-router -p presence-router-broadcast'
build_all
module=$library
ok "there are presence-router and libbroadcast.so"

begin "Start the server"
# The config looks for the module where cargo puts it by default. A second config file may say otherwise, as
# several are merged.
configs=(homeserver.yaml)
modules=$(dirname "$module")
writable_by_others() { (( 8#$(stat -c %a "$1") & 8#022 )); }
owned_by_others() { local owner; owner=$(stat -c %u "$1"); (( owner != 0 && owner != EUID )); }
for path in "$module" "$modules"; do
    if writable_by_others "$path" || owned_by_others "$path"; then
        echo "   others can write $path, so the server would refuse the module; it gets a copy of its own"
        modules=$work/modules
        install -D -m 755 "$module" "$modules/libbroadcast.so"
        break
    fi
done
if ! [[ $modules -ef ../../target/debug ]]; then
    printf 'module_path: ["%s"]\n' "$modules" >"$work/modules.yaml"
    configs+=("$work/modules.yaml")
fi
if ! start "${configs[@]}"; then
    grep -q 'cannot listen' "$log" || fail "the server did not start"
    echo "   port 8008 is taken; once more, on one that the system chooses"
    printf 'listeners: [{port: 0}]\n' >"$work/any-port.yaml"
    start "${configs[@]}" "$work/any-port.yaml" || fail "the server did not start"
fi
[[ -n $url ]] || fail "the server did not say where it listens"
ok "the module is loaded, the server answers at $url"

begin "The gobbler syncs for the first time: nobody is online"
sync gobbler
if [[ $body == *m.presence* ]]; then fail "there is presence already"; fi
ok "nothing to tell"
since=$next

begin "Alice comes online"
set_presence alice '{"presence":"online","status_msg":"hello"}'
ok "the server takes it"

begin "The gobbler shares a room with nobody, and sees alice: the module says so"
sync gobbler "timeout=30000&since=$since"
told_of alice || fail "the sync does not tell of alice"
ok "the module routed alice to the gobbler"

begin "Bob sees alice too: they share the room !lobby"
sync bob
told_of alice || fail "the sync does not tell of alice"
ok "presence between people who share a room needs no module"

begin "Hidden, who is blacklisted in the module's config, comes online"
set_presence hidden '{"presence":"online","status_msg":"nobody sees me"}'
sync gobbler
told_of alice || fail "the sync does not tell of alice"
if told_of hidden; then fail "the sync tells of hidden"; fi
ok "the gobbler sees alice, and not hidden"
since=$next

begin "A long-poll of the gobbler wakes when alice changes, and not when hidden does"
path="/sync?set_presence=offline&timeout=30000&since=$since"
printf '   gobbler> GET %s ...\n' "$path"
# With --verbose, curl tells when the request is out.
exec {trace}< <(ask --verbose --header "Authorization: Bearer gobbler-token" --output "$work/poll" \
    "$url/_matrix/client/v3$path" 2>&1)
poll=$!
while IFS= read -r -t 30 -u "$trace" line && [[ $line != "> GET "* ]]; do :; done
set_presence hidden '{"presence":"unavailable"}'
kill -0 "$poll" 2>/dev/null || fail "the long-poll did not wait"
echo "   ... still waits"
set_presence alice '{"presence":"unavailable","status_msg":"at lunch"}'
# The trace ends with the answer.
while IFS= read -r -t 60 -u "$trace" line; do :; done
exec {trace}<&-
poll=""
[[ -s $work/poll ]] || fail "the long-poll was not answered"
body=$(<"$work/poll")
read_sync
told_of alice || fail "the long-poll does not tell of alice"
if told_of hidden; then fail "the long-poll tells of hidden"; fi
ok "it told of alice alone"

begin "One user's presence: the gobbler may see alice's, not hidden's"
look_up gobbler alice 200
[[ $body == *'"status_msg":"at lunch"'* ]] || fail "it is not alice's newest presence"
look_up gobbler hidden 403
ok "200 and 403"

begin "Carol is in no room, and the module does not name her: she sees nothing"
sync carol
if [[ $body == *m.presence* ]]; then fail "the sync tells of somebody"; fi
look_up carol alice 403
ok "no presence events, and 403"

begin "Stop the server"
echo "   \$ kill -TERM <the server>"
kill -TERM "$server"
# What it prints ends with it.
while IFS= read -r -t 60 -u "$out" line; do printf '   %s\n' "$line"; done
code=0
wait "$server" || code=$?
server=""
[[ $code == 0 ]] || fail "it ended with exit code $code"
ok "exit code 0"

printf '\nquickstart: all as expected\n'
