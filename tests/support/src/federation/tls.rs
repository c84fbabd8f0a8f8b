//! A small HTTPS server: a request a connection, a thread a connection.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::federation::authority::Authority;

/// How long a client may take for its request, and for reading the answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
/// The longest body that is read.
const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// A request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method, in capitals.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The lines of the headers.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer with this status and body.
    Answer(u16, String),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// The connection ends without an answer.
    HangUp,
}

/// A server; it takes no more connections when dropped.
#[derive(Debug)]
pub(super) struct TlsServer {
    pub(super) address: SocketAddr,
    is_ending: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TlsServer {
    pub(super) fn start(
        authority: &Authority,
        answer: impl Fn(Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let config = authority.certify("127.0.0.1").server_config();
        let answer = Arc::new(answer);
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                // A client that goes away in the middle is none that a test looks at.
                thread::spawn(move || stream.and_then(|stream| serve(stream, config, &*answer)));
            }
        });
        Self {
            address,
            is_ending,
            thread: Some(thread),
        }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: &(dyn Fn(Received) -> Reply + Send + Sync),
) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let request = read_request(&mut reader)?;
    let bytes = match answer(request) {
        Reply::HangUp => return Ok(()),
        Reply::Raw(bytes) => bytes,
        Reply::Answer(status, body) => format!(
            "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    };
    let mut stream = reader.into_inner();
    stream.write_all(&bytes)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let mut first = first.split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<String> = lines.collect();
    let length = headers.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0).min(LONGEST_BODY)];
    reader.read_exact(&mut body)?;
    Ok(Received {
        method,
        path,
        headers,
        body,
    })
}
