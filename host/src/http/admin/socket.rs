//! The socket of the operator's API: mode 0600 from its first moment, and whoever connects is asked who they are.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::admin::{Operate, refusal, routes};
use crate::http::connection::connection;
use crate::http::front::Front;
use crate::http::listen::{BindError, SocketFile, bind_unix};
use crate::http::serve::ACCEPT_PAUSE;

/// Read and written by its owner alone.
const MODE: u32 = 0o600;
const ROOT: u32 = 0;

/// The socket, bound and not yet served. Its file is removed with it.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

impl AdminSocket {
    /// Binds it. A socket that nobody listens on is replaced.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let (listener, file) = bind_unix(path, MODE).await?;
        Ok(Self { listener, file })
    }

    /// Serves until `shutdown` is cancelled, as a [`Bound`](crate::http::Bound) does. Operations run among `tasks`, which may
    /// be waited for: one that runs then ends, although nobody is told.
    pub async fn serve(self, operations: impl Operate, tasks: TaskTracker, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting = self.accept(routes(operations, tasks), &connections, &shutdown);
        shutdown.run_until_cancelled(accepting).await;
        drop(self);
        connections.close();
        connections.wait().await;
    }

    async fn accept(&self, front: Front, connections: &TaskTracker, shutdown: &CancellationToken) {
        let own = geteuid().as_raw();
        let refusing = refusal();
        loop {
            let accepted = self.listener.accept().await.and_then(|(stream, _)| {
                let uid = uid_of(&stream)?;
                Ok((stream, uid))
            });
            match accepted {
                Ok((stream, uid)) => {
                    let front = if is_admitted(uid, own) {
                        &front
                    } else {
                        // The file's mode keeps them out, so somebody has changed it.
                        tracing::warn!(uid, "refused a connection of another user to the admin socket");
                        &refusing
                    };
                    connections.spawn(connection(stream, front.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// As `run` prints it.
impl fmt::Display for AdminSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.file.path().display())
    }
}

/// Who was at the other end when it connected.
fn uid_of(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|peer| peer.uid())
}

fn is_admitted(uid: u32, own: u32) -> bool {
    uid == own || uid == ROOT
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_own_user_and_root_are_admitted_and_nobody_else() {
        for (uid, own, admitted) in [
            (0, 0, true),
            (0, 1_000, true),
            (1_000, 1_000, true),
            (1_001, 1_000, false),
            (1_000, 0, false),
        ] {
            assert_eq!(is_admitted(uid, own), admitted, "{uid} at a server of {own}");
        }
    }

    #[tokio::test]
    async fn who_connects_is_known() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(uid_of(&one).expect("known"), geteuid().as_raw());
    }

    #[tokio::test]
    async fn only_its_owner_may_open_it_and_it_goes_with_the_server() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).await.expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = AdminSocket::bind(&path).await.expect_err("taken");
        assert!(matches!(error, BindError::UnixInUse { .. }), "{error}");
        drop(socket);
        assert!(!path.exists());
    }
}
