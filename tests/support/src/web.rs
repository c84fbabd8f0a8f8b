//! A web server on the loopback, for modules that call one: answers every request as the test last said.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a client may take for its request, and for reading the answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// A server; it ends when dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<(u16, String)>,
    requests: Mutex<Vec<Vec<String>>>,
    /// One more request.
    requested: Condvar,
    is_ending: AtomicBool,
}

impl Web {
    /// A server that answers 200 with this body.
    pub fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let shared = Arc::new(Shared::default());
        let web = Self {
            address: listener.local_addr().expect("a bound listener has an address"),
            shared: Arc::clone(&shared),
            thread: Some(thread::spawn(move || shared.serve(&listener))),
        };
        web.answer(200, body);
        web
    }

    /// Where it listens, such as `http://127.0.0.1:4711/services`.
    pub fn url(&self) -> String {
        format!("http://{}/services", self.address)
    }

    /// From now on, answers so.
    pub fn answer(&self, status: u16, body: &str) {
        *lock(&self.shared.answer) = (status, body.to_owned());
    }

    /// The requests so far, each as its lines without the body.
    pub fn requests(&self) -> Vec<Vec<String>> {
        lock(&self.shared.requests).clone()
    }

    /// Waits until there were so many requests. Panics when there are not, in time.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize, within: Duration) {
        let requests = lock(&self.shared.requests);
        let (requests, timeout) = self
            .shared
            .requested
            .wait_timeout_while(requests, within, |requests| requests.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} requests, not {count}", requests.len());
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_ending.load(Ordering::SeqCst) {
                return;
            }
            // A client that goes away in the middle is none that a test looks at.
            let _ = stream.and_then(|stream| self.answer_one(stream));
        }
    }

    fn answer_one(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
        stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
        let mut request = Vec::new();
        for line in BufReader::new(&stream).lines() {
            match line? {
                end if end.is_empty() => break,
                line => request.push(line),
            }
        }
        lock(&self.requests).push(request);
        self.requested.notify_all();
        let (status, body) = lock(&self.answer).clone();
        write!(
            stream,
            "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
