//! What names resolve to, as the system's name servers say.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};

/// For how long a name server may be waited for, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// How many questions to a name server may be open: more than servers are called at once.
const MAX_QUESTIONS: usize = 1024;

/// What a question of [`Names`] is answered by.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = io::Result<Vec<T>>> + Send + 'a>>;

/// Who knows what names resolve to. Keeps answers for as long as they hold; bounds its own time.
pub trait Names: Send + Sync + 'static {
    /// The addresses of a host; none when there is no such host.
    fn addresses<'a>(&'a self, host: &'a str) -> Lookup<'a, IpAddr>;

    /// The SRV records of a service such as `_matrix-fed._tcp.example.org`, in any order; none when there is no such
    /// service.
    fn services<'a>(&'a self, service: &'a str) -> Lookup<'a, Service>;
}

/// An SRV record ([RFC 2782](https://www.rfc-editor.org/rfc/rfc2782)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The lowest is tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without a dot at the end; empty when the service is said not to exist.
    pub target: String,
}

/// The name servers of `/etc/resolv.conf`, and `/etc/hosts`. Names are looked up as they are, without search domains.
#[derive(Clone)]
pub struct SystemNames(TokioResolver);

/// The system says of no name servers.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of /etc/resolv.conf cannot be used")]
pub struct NamesError(#[source] NetError);

impl SystemNames {
    /// Reads the system's settings.
    pub fn new() -> Result<Self, NamesError> {
        Self::of(TokioResolver::builder_tokio().map_err(NamesError)?)
    }

    fn of(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NamesError> {
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.max_active_requests = MAX_QUESTIONS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Self).map_err(NamesError)
    }
}

impl Names for SystemNames {
    fn addresses<'a>(&'a self, host: &'a str) -> Lookup<'a, IpAddr> {
        Box::pin(async move {
            match self.0.lookup_ip(absolute(host)).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) => none_or(error),
            }
        })
    }

    fn services<'a>(&'a self, service: &'a str) -> Lookup<'a, Service> {
        Box::pin(async move {
            let found = match self.0.srv_lookup(absolute(service)).await {
                Ok(found) => found,
                Err(error) => return none_or(error),
            };
            let services = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii().trim_end_matches('.').to_owned(),
                }),
                _ => None,
            });
            Ok(services.collect())
        })
    }
}

impl std::fmt::Debug for SystemNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemNames").finish_non_exhaustive()
    }
}

fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// That there is no such name is an answer.
fn none_or<T>(error: NetError) -> io::Result<Vec<T>> {
    if error.is_no_records_found() {
        Ok(Vec::new())
    } else {
        Err(io::Error::other(error))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
    use hickory_resolver::proto::rr::{Name, Record, RecordType};
    use tokio::net::UdpSocket;

    use super::*;

    /// What the name server of the test says of a name.
    fn answer(name: &str, kind: RecordType) -> Result<Vec<RData>, ResponseCode> {
        let srv = |priority, port, target: &str| {
            let target = Name::from_ascii(target).expect("is a name");
            RData::SRV(SRV::new(priority, 5, port, target))
        };
        match (name, kind) {
            ("a.test.", RecordType::A) => Ok(vec![RData::A(A::new(1, 1, 1, 1))]),
            ("a.test.", RecordType::AAAA) => {
                Ok(vec![RData::AAAA(AAAA::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 1))])
            }
            ("_x._tcp.a.test.", RecordType::SRV) => Ok(vec![srv(1, 7, "B.test."), srv(2, 8, "c.test.")]),
            ("_x._tcp.none.test.", RecordType::SRV) => Ok(vec![srv(0, 0, ".")]),
            ("empty.test.", _) => Ok(Vec::new()),
            ("failing.test.", _) => Err(ResponseCode::ServFail),
            _ => Err(ResponseCode::NXDomain),
        }
    }

    /// A resolver that asks a name server on the loopback.
    async fn names() -> SystemNames {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().expect("is bound").port();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let mut message = Message::from_vec(&buffer[..length])
                    .expect("is a question")
                    .into_response();
                let question = message.queries[0].clone();
                match answer(&question.name().to_ascii().to_lowercase(), question.query_type()) {
                    Ok(found) => {
                        let record = |data| Record::from_rdata(question.name().clone(), 60, data);
                        message.add_answers(found.into_iter().map(record));
                    }
                    Err(code) => message.metadata.response_code = code,
                }
                let answer = message.to_vec().expect("is an answer");
                socket.send_to(&answer, from).await.expect("is sent");
            }
        });
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        SystemNames::of(TokioResolver::builder_with_config(
            config,
            TokioRuntimeProvider::default(),
        ))
        .expect("is made")
    }

    #[tokio::test]
    async fn a_host_has_the_addresses_of_both_kinds() {
        let mut found = names().await.addresses("a.test").await.expect("is looked up");
        found.sort();
        let expected: [IpAddr; 2] = ["1.1.1.1", "2606:4700::1"].map(|address| address.parse().unwrap());
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_service_has_its_records_and_no_target_says_that_there_is_none() {
        let names = names().await;
        let mut found = names.services("_x._tcp.a.test").await.expect("is looked up");
        found.sort_by_key(|service| service.priority);
        let service = |priority, port, target: &str| Service {
            priority,
            weight: 5,
            port,
            target: target.to_owned(),
        };
        assert_eq!(found, [service(1, 7, "B.test"), service(2, 8, "c.test")]);
        let none = names.services("_x._tcp.none.test").await.expect("is looked up");
        assert_eq!(none, [service(0, 0, "")]);
    }

    #[tokio::test]
    async fn that_there_is_nothing_is_an_answer_and_a_failure_is_none() {
        let names = names().await;
        for name in ["nowhere.test", "empty.test"] {
            assert!(names.addresses(name).await.expect("is an answer").is_empty());
            assert!(names.services(name).await.expect("is an answer").is_empty());
        }
        for outcome in [
            names.addresses("failing.test").await.err(),
            names.services("failing.test").await.err(),
        ] {
            assert!(outcome.is_some(), "a failure is not taken for nothing");
        }
        assert!(names.addresses("no name").await.is_err());
    }

    #[tokio::test]
    async fn the_systems_hosts_are_known() {
        let names = SystemNames::new().expect("the system has settings");
        let found = names.addresses("localhost").await.expect("is looked up");
        assert!(
            !found.is_empty() && found.iter().all(IpAddr::is_loopback),
            "{found:?}"
        );
    }
}
