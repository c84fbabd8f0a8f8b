//! With a real Synapse: presence to it and from it, over TLS, by the keys of both.
//!
//! Not among the ordinary tests, as Synapse is installed from `PyPI`, once, which takes a minute or more: `.ci/federation`
//! runs them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use presence_router_tests::cli::run_cli;
use presence_router_tests::federation::{Authority, Front, Signer};
use presence_router_tests::synapse::{Program, Synapse};
use presence_router_tests::{Client, Config, Host, PATIENCE, Request, SyncRequest, User, artifacts};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const TRANSACTION: &str = "/_matrix/federation/v1/send/";

/// Our server and a Synapse, which know each other by name.
///
/// By the modules of both, alice of ours and bob of Synapse see each other. Carol of ours shares a room with dora of
/// Synapse, as our directory has it; Synapse, which knows of no such room, shows her to dora by its module.
struct Neighbours {
    ours: Host,
    our_name: String,
    our_key: PathBuf,
    synapse: Synapse,
    synapses_name: String,
    synapses_front: Front,
    _our_front: Front,
    _files: TempDir,
}

fn program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        Program::installed().unwrap_or_else(|why| panic!("Synapse cannot be installed: {why}"))
    })
}

impl Neighbours {
    fn start() -> Self {
        let program = program();
        let files = tempfile::tempdir().expect("a temporary directory can be made");
        let authority = Authority::new();
        let ca = authority.write_into(files.path());
        let our_front = Front::terminate_tls(&authority.certify("localhost"));
        let synapses_front = Front::open();
        let (our_name, synapses_name) = (our_front.server_name(), synapses_front.server_name());
        let names = (our_name.as_str(), synapses_name.as_str());

        let our_key = files.path().join("our.key");
        run_cli(["generate-keys".as_ref(), "-o".as_ref(), our_key.as_os_str()]).expect_code(0);
        let ours = Host::start(&our_config(names, &ca, &our_key));
        our_front.lead_to(address(&ours.listeners()[1].address));

        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/federation");
        let certificate = authority.certify("localhost").write_into(files.path());
        let config = synapses_config(names, &ca, &certificate);
        let synapse = Synapse::start(program, &modules, &config);
        synapses_front.lead_to(([127, 0, 0, 1], synapse.tls_port()).into());
        Self {
            ours,
            our_name,
            our_key,
            synapse,
            synapses_name,
            synapses_front,
            _our_front: our_front,
            _files: files,
        }
    }

    fn our_user(&self, name: &str) -> User {
        let id = format!("@{name}:{}", self.our_name);
        User::of(self.ours.client(), &id, &token(name))
    }

    /// Registers a user of Synapse's.
    fn synapses_user(&self, name: &str) -> User {
        let token = self.synapse.register(name);
        let id = format!("@{name}:{}", self.synapses_name);
        User::of(self.synapse.client(), &id, &token)
    }

    /// What our metrics count.
    fn counted(&self, metric: &str) -> u64 {
        let listener = &self.ours.listeners()[2];
        let answer = Client::new(&listener.address).send(&Request::new("GET", "/_synapse/metrics"));
        let mut lines = answer.body.lines();
        let count = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        count.map_or(0, |count| count.parse().expect("a count is a whole number"))
    }
}

fn token(name: &str) -> String {
    format!("{name}-token")
}

fn address(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://").and_then(|rest| rest.parse().ok());
    address.unwrap_or_else(|| panic!("{url} has no address"))
}

fn our_config((ours, synapses): (&str, &str), ca: &Path, key: &Path) -> Config {
    let (alice, carol) = (format!("@alice:{ours}"), format!("@carol:{ours}"));
    let (bob, dora) = (format!("@bob:{synapses}"), format!("@dora:{synapses}"));
    let listener =
        |name: &str| json!({"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": [name]}]});
    Config::empty()
        .set(&["server_name"], json!(ours))
        .set(
            &["listeners"],
            json!([listener("client"), listener("federation"), listener("metrics")]),
        )
        .set(&["signing_key_path"], json!(key))
        .set(&["federation_custom_ca_list"], json!([ca]))
        .set(&["ip_range_whitelist"], json!(["127.0.0.0/8", "::1"]))
        .set(
            &["directory", "static"],
            json!({
                "users": {
                    &alice: {"access_tokens": [token("alice")]},
                    &carol: {"access_tokens": [token("carol")]},
                },
                "rooms": {format!("!shared:{ours}"): [carol, dora]},
            }),
        )
        .module(
            artifacts::plugin("pairs"),
            json!({"see_each_other": [[alice, bob]]}),
        )
}

fn synapses_config(
    (ours, synapses): (&str, &str),
    ca: &Path,
    (certificate, key): &(PathBuf, PathBuf),
) -> Map<String, Value> {
    let (alice, carol) = (format!("@alice:{ours}"), format!("@carol:{ours}"));
    let (bob, dora) = (format!("@bob:{synapses}"), format!("@dora:{synapses}"));
    let listener = |tls: Tls| {
        json!({
            "port": 0,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "tls": tls == Tls::On,
            "resources": [{"names": ["client", "federation"], "compress": false}],
        })
    };
    let config = json!({
        "server_name": synapses,
        "listeners": [listener(Tls::Off), listener(Tls::On)],
        "tls_certificate_path": certificate,
        "tls_private_key_path": key,
        "federation_custom_ca_list": [ca],
        "ip_range_whitelist": ["127.0.0.0/8", "::1"],
        "presence": {"presence_router": {
            "module": "pairs_router.PairsRouter",
            "config": {"sees": {&bob: [&alice], &alice: [&bob], dora: [carol]}},
        }},
    });
    let Value::Object(config) = config else {
        unreachable!("it is written above as a mapping")
    };
    config
}

#[derive(PartialEq, Eq)]
enum Tls {
    On,
    Off,
}

#[test]
#[ignore = "installs and starts a real Synapse: .ci/federation"]
fn presence_goes_to_synapse_and_comes_from_it() {
    let neighbours = Neighbours::start();
    let (alice, carol) = (neighbours.our_user("alice"), neighbours.our_user("carol"));
    let (bob, dora) = (neighbours.synapses_user("bob"), neighbours.synapses_user("dora"));
    let since = [&alice, &carol, &bob, &dora].map(User::now);

    // To Synapse, as our module has routed it.
    alice.set("online", Some("hello from ours"));
    let event = bob.sync_until_says(&since[2], alice.id(), "hello from ours");
    assert_eq!(event.presence, "online");
    assert_eq!(event.currently_active, Some(true));
    alice.set("unavailable", None);
    let event = bob.sync_until_state(&since[2], alice.id(), "unavailable");
    assert_eq!(event.status_msg, None);

    // To Synapse, because of a shared room.
    carol.set("online", Some("in a meeting"));
    let event = dora.sync_until_says(&since[3], carol.id(), "in a meeting");
    assert_eq!(event.presence, "online");
    let strangers = dora.sync(&SyncRequest::since(&since[3]));
    assert_eq!(strangers.of(alice.id()), None, "she is not routed to dora");

    // From Synapse.
    bob.set("online", Some("hello from Synapse"));
    let event = alice.sync_until_says(&since[0], bob.id(), "hello from Synapse");
    assert_eq!(event.presence, "online");
    bob.set("offline", None);
    alice.sync_until_state(&since[0], bob.id(), "offline");
    let others = carol.sync(&SyncRequest::since(&since[1]));
    assert_eq!(others.of(bob.id()), None, "he is not shown to carol");

    // Both knew who sent it: Synapse names whom it has authenticated.
    let by_us = format!("{{{}}} Processed request", neighbours.our_name);
    let put = format!(" 200 \"PUT {TRANSACTION}");
    neighbours.synapse.log().wait_for(&[&by_us, &put], PATIENCE);
    let transactions =
        |outcome| format!("presence_router_federation_transactions_total{{outcome=\"{outcome}\"}}");
    assert!(neighbours.counted(&transactions("ok")) >= 2);
    for outcome in ["unauthorized", "refused", "busy"] {
        assert_eq!(neighbours.counted(&transactions(outcome)), 0, "{outcome}");
    }
    neighbours.ours.terminate().expect_code(0);
}

#[test]
#[ignore = "installs and starts a real Synapse: .ci/federation"]
fn neither_takes_what_is_signed_by_another_key() {
    let neighbours = Neighbours::start();
    let (alice, bob) = (neighbours.our_user("alice"), neighbours.synapses_user("bob"));
    let as_us = Signer::from_file(&neighbours.our_name, &neighbours.our_key);
    let as_synapse = Signer::from_file(&neighbours.synapses_name, &neighbours.synapse.signing_key());
    let synapse = neighbours.synapse.client();
    let ours = Client::new(&neighbours.ours.listeners()[1].address);

    for (client, destination, signer, sender, reader) in [
        (&synapse, &neighbours.synapses_name, &as_us, &alice, &bob),
        (&ours, &neighbours.our_name, &as_synapse, &bob, &alice),
    ] {
        let since = reader.now();
        let says = |text: &str| {
            [json!({"user_id": sender.id(), "presence": "online", "status_msg": text, "last_active_ago": 0})]
        };
        let forged = signer.impostor().presence(destination, "forged", &says("forged"));
        let answer = client.send(&forged);
        assert_eq!((answer.status, &*answer.errcode()), (401, "M_UNAUTHORIZED"));
        // The same with the key itself, so it was the key.
        let real = signer.presence(destination, "real", &says("real"));
        assert_eq!(client.send(&real).expect(200), json!({"pdus": {}}));
        let event = reader.sync_until(&since, |event| event.sender == sender.id());
        assert_eq!(event.status_msg.as_deref(), Some("real"));
    }
    neighbours.ours.terminate().expect_code(0);
}

#[test]
#[ignore = "installs and starts a real Synapse: .ci/federation"]
fn synapse_gets_the_newest_state_when_it_is_back() {
    let mut neighbours = Neighbours::start();
    let (alice, bob) = (neighbours.our_user("alice"), neighbours.synapses_user("bob"));
    let (bob_since, alice_since) = (bob.now(), alice.now());
    alice.set("online", Some("before"));
    bob.sync_until_says(&bob_since, alice.id(), "before");

    neighbours.synapse.stop();
    neighbours.synapses_front.lead_nowhere();
    alice.set("online", Some("while it was away"));
    let log = neighbours.ours.log();
    log.wait_for(
        &["is not reached, and tried again later", &neighbours.synapses_name],
        PATIENCE,
    );
    alice.set("unavailable", Some("the newest"));
    neighbours.synapse.start_again();
    let port = neighbours.synapse.tls_port();
    neighbours.synapses_front.lead_to(([127, 0, 0, 1], port).into());

    // What Synapse sends tells that it is there again.
    let bob = bob.moved_to(neighbours.synapse.client());
    bob.set("online", Some("back again"));
    alice.sync_until_says(&alice_since, bob.id(), "back again");
    let event = bob.sync_until_says(&bob_since, alice.id(), "the newest");
    assert_eq!(event.presence, "unavailable");
    neighbours.ours.terminate().expect_code(0);
}
