//! Where the server listens: TCP addresses and Unix sockets, and what each serves.
//!
//! Owns binding, before anything is served: a [`Bound`] proves that the address is ours.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};

use crate::config::{Bind, Listener, Resource};

/// How many connections to a Unix socket wait in the system until they are accepted.
const BACKLOG: u32 = 1_024;

/// Why the server cannot listen where it is told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody listens there.
    #[error(
        "cannot listen on http://{address}: it is in use; stop what listens there, or choose another `port`"
    )]
    TcpInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses the address; the source says why.
    #[error("cannot listen on http://{address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses the socket; the source says why.
    #[error("cannot listen on unix:{}", path.display())]
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody listens on the socket.
    #[error(
        "cannot listen on unix:{}: a process listens on it already; stop that one or choose another path",
        path.display()
    )]
    UnixInUse {
        /// The socket's file.
        path: PathBuf,
    },
    /// The path is taken by a file of another kind.
    #[error(
        "cannot listen on unix:{}: the file there is not a socket; remove it or choose another path",
        path.display()
    )]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
}

/// Binds every address of every listener, or none: on an error, those bound before are given back.
pub async fn bind(listeners: &[Listener]) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for listener in listeners {
        let acceptors = match &listener.bind {
            Bind::Tcp { addresses, port } => bind_tcp(addresses, *port).await?,
            Bind::Unix { path, mode } => {
                let (listener, file) = bind_unix(path, *mode).await?;
                vec![Acceptor::Unix { listener, file }]
            }
        };
        bound.extend(acceptors.into_iter().map(|acceptor| Bound {
            acceptor,
            resources: listener.resources.clone(),
        }));
    }
    Ok(bound)
}

/// An address that is ours and waits to be served. Connections queue in the system until then.
#[derive(Debug)]
pub struct Bound {
    pub(super) acceptor: Acceptor,
    pub(super) resources: BTreeSet<Resource>,
}

impl Bound {
    /// What is served here.
    pub fn resources(&self) -> &BTreeSet<Resource> {
        &self.resources
    }
}

/// As a client would write it: `http://127.0.0.1:8008` or `unix:/run/presence-router.sock`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.acceptor {
            Acceptor::Tcp { address, .. } => write!(f, "http://{address}"),
            Acceptor::Unix { file, .. } => write!(f, "unix:{}", file.path.display()),
        }
    }
}

#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp {
        listener: TcpListener,
        address: SocketAddr,
    },
    Unix {
        listener: UnixListener,
        file: SocketFile,
    },
}

/// The file of a socket of ours, removed when it is dropped, unless another server has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            // Left behind, the file does no harm: the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn bind_tcp(addresses: &[IpAddr], port: u16) -> Result<Vec<Acceptor>, BindError> {
    // `::` first: on most systems it takes `0.0.0.0` too.
    let mut addresses = addresses.to_vec();
    addresses.sort_by_key(|address| *address != IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let mut acceptors = Vec::with_capacity(addresses.len());
    for ip in &addresses {
        let address = SocketAddr::new(*ip, port);
        let covered = *ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            && addresses.contains(&IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        match TcpListener::bind(address).await {
            Ok(listener) => acceptors.push(Acceptor::Tcp {
                address: listener.local_addr().unwrap_or(address),
                listener,
            }),
            Err(error) if covered && error.kind() == io::ErrorKind::AddrInUse => {
                tracing::debug!(%address, "not listening on the address by itself: `::` covers it");
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::TcpInUse { address });
            }
            Err(source) => return Err(BindError::Tcp { address, source }),
        }
    }
    Ok(acceptors)
}

/// Makes a socket of this mode. At no moment has it a wider one.
pub(super) async fn bind_unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |source| BindError::Unix {
        path: path.to_owned(),
        source,
    };
    remove_stale(path).await?;
    let listener = make_socket(path, mode).map_err(failed)?;
    let file = SocketFile::new(path);
    // What the process's umask has taken away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok((listener, file))
}

/// Linux gives the file the mode that the socket has when it is bound, less the umask.
fn make_socket(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

/// Removes the socket at `path` if nobody listens on it.
async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Unix {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "replacing a socket that nobody listens on");
            fs::remove_file(path).map_err(failed)
        }
        // Its queue is full: somebody listens, and is slow.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
        _ => Err(BindError::UnixInUse {
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn tcp(addresses: &[&str], port: u16) -> Listener {
        let addresses = addresses
            .iter()
            .map(|ip| ip.parse().expect("an address"))
            .collect();
        Listener {
            bind: Bind::Tcp { addresses, port },
            resources: BTreeSet::new(),
        }
    }

    fn unix(path: &Path) -> Listener {
        Listener {
            bind: Bind::Unix {
                path: path.to_owned(),
                mode: 0o660,
            },
            resources: BTreeSet::new(),
        }
    }

    async fn bind_one(listener: Listener) -> Result<Bound, BindError> {
        bind(&[listener])
            .await
            .map(|mut bound| bound.pop().expect("one address"))
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let first = bind_one(tcp(&["127.0.0.1"], 0)).await.expect("a free port");
        let Acceptor::Tcp { address, .. } = first.acceptor else {
            panic!("not TCP")
        };
        assert_eq!(first.to_string(), format!("http://{address}"));
        let error = bind_one(tcp(&["127.0.0.1"], address.port()))
            .await
            .expect_err("the port is taken");
        let expected = format!(
            "cannot listen on http://{address}: it is in use; stop what listens there, or choose another `port`"
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.source().is_none());
    }

    #[tokio::test]
    async fn all_addresses_of_both_families_may_be_given_at_once() {
        let probe = bind_one(tcp(&["::"], 0)).await;
        // A system without IPv6 has nothing to show here.
        let Ok(Acceptor::Tcp { address, .. }) = probe.as_ref().map(|bound| &bound.acceptor) else {
            return;
        };
        let port = address.port();
        drop(probe);
        let bound = bind(&[tcp(&["0.0.0.0", "::"], port)])
            .await
            .expect("both are covered");
        assert_eq!(bound[0].to_string(), format!("http://[::]:{port}"));
    }

    #[tokio::test]
    async fn a_socket_is_replaced_only_when_nobody_listens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");

        let stale = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let error = bind_one(unix(&path)).await.expect_err("somebody listens");
        assert!(matches!(error, BindError::UnixInUse { .. }), "{error}");

        drop(stale);
        let bound = bind_one(unix(&path)).await.expect("nobody listens");
        assert_eq!(bound.to_string(), format!("unix:{}", path.display()));
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);

        drop(bound);
        assert!(!path.exists(), "the file is left behind");
    }

    #[tokio::test]
    async fn a_socket_is_never_wider_than_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");
        // As it is before `bind_unix` sets the mode: without care, only the umask would have narrowed it.
        let _listener = make_socket(&path, 0o600).expect("bound");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777 & !0o600, 0, "{mode:o}");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");
        let old = bind_one(unix(&path)).await.expect("bound");
        let aside = directory.path().join("aside.sock");
        fs::rename(&path, aside).expect("moved away");
        let new = bind_one(unix(&path)).await.expect("bound");
        drop(old);
        assert!(path.exists(), "the successor's file is gone");
        drop(new);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("precious");
        fs::write(&path, "data").expect("written");
        let error = bind_one(unix(&path)).await.expect_err("a file is in the way");
        assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "data");
    }
}
