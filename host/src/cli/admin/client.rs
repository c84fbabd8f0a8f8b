//! One request over the admin socket, and what can be in its way. Knows HTTP, and nothing of what is asked.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::{self, StatusCode, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::problems::Problems;

/// More than any answer has.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A request without a body.
pub(super) struct Request {
    pub(super) method: &'static str,
    /// With its query, encoded.
    pub(super) path: String,
    /// How long the server may take to answer.
    pub(super) timeout: Duration,
}

/// What the server answers.
pub(super) struct Answer {
    status: StatusCode,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        self.status.is_success()
    }

    /// The body, as this version of the program knows it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        serde_json::from_str(&self.body).map_err(|error| {
            Problems::other(format!(
                "the server's answer ({}) cannot be read: {error}; is the server of another version than this command \
                 ({})?",
                self.status.as_u16(),
                env!("CARGO_PKG_VERSION")
            ))
        })
    }
}

/// Asks the server that listens on `socket`.
pub(super) fn ask(socket: &Path, request: &Request) -> Result<Answer, Problems> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime can be started")?;
    runtime.block_on(async {
        // A server that does not accept is as silent as one that does not answer.
        let Ok(answer) = timeout(request.timeout, exchange(socket, request)).await else {
            return Err(Problems::other(format!(
                "{}: the server has not answered within {} s; what was asked for may still be done: `presence-router \
                 modules list` shows it",
                socket.display(),
                request.timeout.as_secs()
            )));
        };
        answer
    })
}

async fn exchange(socket: &Path, request: &Request) -> Result<Answer, Problems> {
    let connected = UnixStream::connect(socket).await;
    let stream = connected.map_err(|error| Problems::other(cannot_connect(socket, &error)))?;
    let broken = |error| {
        let error = anyhow::Error::new(error);
        Problems::other(format!("{}: no answer of a server: {error:#}", socket.display()))
    };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = http::Request::builder()
        .method(request.method)
        .uri(&request.path)
        .header(header::HOST, "localhost")
        .body(Body::empty())
        .context("the request cannot be made")?;
    // The connection ends when its sender is dropped, with the exchange.
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER_BYTES);
        let broke_off = |_| Problems::other("the server's answer broke off; look at its log, and ask again");
        let body = body.await.map_err(broke_off)?;
        let body = String::from_utf8(body.into()).context("the server's answer is not UTF-8")?;
        Ok(Answer { status, body })
    };
    // The connection's own errors come out of the request too.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

fn cannot_connect(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{socket}: there is no such socket; is the server running, and was it started with this `admin_socket`?"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!("{socket}: nobody listens on it; the server is not running")
        }
        io::ErrorKind::PermissionDenied => format!(
            "{socket}: this user may not use it; run the command as the server's user or as root, such as by sudo"
        ),
        _ => format!("{socket}: cannot be connected to: {error}"),
    }
}

/// A text as a part of a path or of a query.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    use insta::assert_snapshot;

    use super::*;

    const REQUEST: Request = Request {
        method: "GET",
        path: String::new(),
        timeout: Duration::from_secs(30),
    };

    fn request() -> Request {
        Request {
            path: "/modules".to_owned(),
            ..REQUEST
        }
    }

    /// The next connection to `listener`, and the request that came with it. An answer sent before the request would be no
    /// answer to it.
    fn requested(listener: &UnixListener) -> (UnixStream, String) {
        let (mut stream, _) = listener.accept().expect("connected");
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            got.extend(byte);
        }
        (stream, String::from_utf8(got).expect("text"))
    }

    /// What a server gets that answers so, and what the client makes of it.
    fn answered(answer: &'static str) -> (String, Result<Answer, String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, got) = requested(&listener);
            stream.write_all(answer.as_bytes()).expect("sent");
            got
        });
        let answer = ask(&path, &request());
        let got = server.join().expect("no panic");
        let shown = |problems: Problems| {
            problems
                .to_string()
                .replace(&path.display().to_string(), "admin.sock")
        };
        (got, answer.map_err(shown))
    }

    #[test]
    fn an_answer_is_read() {
        let (request, answer) = answered("HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n[]");
        assert_snapshot!(request.replace('\r', ""), @r"
        GET /modules HTTP/1.1
        host: localhost
        ");
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((answer.status.as_u16(), &*answer.body), (409, "[]"));
        assert!(!answer.is_ok());
        let error = answer.read::<String>().expect_err("another type");
        assert_snapshot!(error, @"error: the server's answer (409) cannot be read: invalid type: sequence, expected a string at line 1 column 0; is the server of another version than this command (0.1.0)?");
    }

    #[test]
    fn a_connection_that_stays_open_does_not_hold_up_the_answer() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = requested(&listener);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
                .expect("sent");
            // Until the client closes.
            stream.read_to_end(&mut Vec::new()).expect("closed");
        });
        let answer = ask(&path, &request()).unwrap_or_else(|error| panic!("{error}"));
        assert!(answer.is_ok());
        server.join().expect("no panic");
    }

    #[test]
    fn a_server_that_is_none_is_told() {
        let failed = |answer| answered(answer).1.err().expect("no answer");
        assert_snapshot!(failed(""), @"error: admin.sock: no answer of a server: connection closed before message completed");
        assert_snapshot!(failed("220 mail.example.org ESMTP\r\n"), @"error: admin.sock: no answer of a server: invalid HTTP version parsed");
        assert_snapshot!(failed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n["), @"error: the server's answer broke off; look at its log, and ask again");
    }

    #[test]
    fn what_is_in_the_way_of_a_connection_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let check = |name: &str| {
            let path = directory.path().join(name);
            let error = ask(&path, &request()).err().expect("nobody is there");
            error
                .to_string()
                .replace(&directory.path().display().to_string(), "DIR")
        };
        assert_snapshot!(check("absent"), @"error: DIR/absent: there is no such socket; is the server running, and was it started with this `admin_socket`?");
        drop(UnixListener::bind(directory.path().join("stale")).expect("bound"));
        assert_snapshot!(check("stale"), @"error: DIR/stale: nobody listens on it; the server is not running");
        let denied = cannot_connect(Path::new("a.sock"), &io::ErrorKind::PermissionDenied.into());
        assert_snapshot!(denied, @"a.sock: this user may not use it; run the command as the server's user or as root, such as by sudo");
    }

    #[test]
    fn any_name_fits_into_a_path() {
        assert_eq!(percent_encoded("room-members_2.x~"), "room-members_2.x~");
        assert_eq!(
            percent_encoded("@a/b:c?d&e=f%é"),
            "%40a%2Fb%3Ac%3Fd%26e%3Df%25%C3%A9"
        );
    }
}
