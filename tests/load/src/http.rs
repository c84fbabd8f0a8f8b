//! One keep-alive HTTP/1.1 connection with one request at a time, at the least cost that this program can have.
//!
//! The program shares the machine with what it measures, so a request is bytes that stand ready, one write and one
//! read. Must not know what is asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take; that of a long-poll, so much longer than it waits.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How much room is made for a read. Most answers fit.
const READ_BYTES: usize = 4 * 1024;

/// The most that an answer may have. A first `/sync` of a large room is below it.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 64;

/// Where a server is: `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct Authority(Arc<str>);

impl Authority {
    /// Reads `http://host:port`.
    pub(crate) fn of(base_url: &str) -> Result<Self> {
        let rest = base_url
            .strip_prefix("http://")
            .with_context(|| format!("base_url must start with http://, not {base_url:?}"))?;
        Ok(Self(rest.trim_end_matches('/').into()))
    }

    /// What stands before a request's own headers. `target` is a path, with its query.
    pub(crate) fn head(&self, method: &str, target: &str, token: &str) -> String {
        let host = &self.0;
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n")
    }

    /// A whole `GET`.
    pub(crate) fn get(&self, target: &str, token: &str) -> Vec<u8> {
        (self.head("GET", target, token) + "\r\n").into_bytes()
    }
}

/// What becomes of the memory that an answer was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffers {
    /// Kept for the next answer.
    Kept,
    /// Given back until the next answer comes: for thousands of connections that wait.
    Released,
}

/// A connection, which opens itself when it is first used, and again when the server has closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    authority: Authority,
    patience: Duration,
    buffers: Buffers,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    chunked: Vec<u8>,
    opened: u64,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// The status and the start of the body, for messages.
    pub(crate) fn describe(&self) -> String {
        let start = self.body.get(..120).unwrap_or(self.body);
        format!("{} {}", self.status, String::from_utf8_lossy(start))
    }
}

impl Connection {
    /// A connection that waits for an answer for `patience` at most.
    pub(crate) fn new(authority: &Authority, buffers: Buffers, patience: Duration) -> Self {
        Self {
            authority: authority.clone(),
            patience,
            buffers,
            stream: None,
            read: Vec::new(),
            chunked: Vec::new(),
            opened: 0,
        }
    }

    /// How often it was opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Sends a request and reads the whole answer. A connection that the server has closed meanwhile is opened
    /// again, once.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        let answered = match timeout(self.patience, self.send_and_read(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(anyhow::anyhow!("no answer within {} s", self.patience.as_secs())),
        };
        let head = answered.inspect_err(|_| self.stream = None)?;
        if head.ends == Ends::Connection {
            self.stream = None;
        }
        let body = match head.ends {
            Ends::Chunk => &self.chunked[..],
            Ends::Length(length) => self.read.get(head.bytes..head.bytes + length).unwrap_or_default(),
            Ends::Connection => self.read.get(head.bytes..).unwrap_or_default(),
        };
        Ok(Answer {
            status: head.status,
            body,
        })
    }

    async fn send_and_read(&mut self, request: &[u8]) -> Result<Head> {
        self.read.clear();
        if self.buffers == Buffers::Released {
            self.read = Vec::new();
            self.chunked = Vec::new();
        }
        if let Some(stream) = &mut self.stream {
            let sent = stream.write_all(request).await.is_ok();
            if sent && fill(stream, &mut self.read).await.is_ok_and(|read| read > 0) {
                return self.read_on().await;
            }
            // Closed while nothing was on its way: what a server may do at any time.
        }
        let mut stream = TcpStream::connect(&*self.authority.0)
            .await
            .context("cannot connect")?;
        stream
            .set_nodelay(true)
            .context("cannot send small requests at once")?;
        self.opened += 1;
        stream.write_all(request).await.context("cannot send")?;
        self.stream = Some(stream);
        self.read_on().await
    }

    /// Reads until the answer is whole.
    async fn read_on(&mut self) -> Result<Head> {
        let stream = self.stream.as_mut().context("the connection is closed")?;
        let mut head = None;
        loop {
            if head.is_none() {
                head = Head::parse(&self.read)?;
            }
            if let Some(head) = &head {
                let body = self.read.get(head.bytes..).unwrap_or_default();
                let whole = match head.ends {
                    Ends::Length(length) => body.len() >= length,
                    Ends::Chunk => unchunk(body, &mut self.chunked)?,
                    Ends::Connection => false,
                };
                if whole {
                    return Ok(*head);
                }
            }
            if self.read.len() > MAX_ANSWER_BYTES {
                bail!("the answer has more than {MAX_ANSWER_BYTES} bytes");
            }
            if fill(stream, &mut self.read).await.context("cannot read")? == 0 {
                return match head {
                    Some(head) if head.ends == Ends::Connection => Ok(head),
                    _ => bail!("the connection was closed before the answer had ended"),
                };
            }
        }
    }
}

/// Reads what has come; makes room for it only when it is there.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    stream.readable().await?;
    buffer.reserve(READ_BYTES);
    stream.read_buf(buffer).await
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// How many bytes it has itself.
    bytes: usize,
    ends: Ends,
}

/// By what the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Length(usize),
    Chunk,
    Connection,
}

impl Head {
    /// Reads it, when it is all there.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) =
            response.parse(bytes).context("not an answer of HTTP/1.1")?
        else {
            return Ok(None);
        };
        let status = response.code.context("an answer without a status")?;
        let mut head = Self {
            status,
            bytes: length,
            ends: match status {
                204 | 304 => Ends::Length(0),
                _ => Ends::Connection,
            },
        };
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") && head.ends == Ends::Connection {
                let length = std::str::from_utf8(header.value).ok();
                let length = length.and_then(|length| length.parse::<usize>().ok());
                let length = length.filter(|length| *length <= MAX_ANSWER_BYTES);
                head.ends = Ends::Length(length.context("a content-length that is none, or too large")?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.ends = Ends::Chunk;
            }
        }
        Ok(Some(head))
    }
}

/// Puts the chunks of `body` together; answers whether the last one is there. Starts over with each call, as answers in
/// several reads are rare.
fn unchunk(mut body: &[u8], whole: &mut Vec<u8>) -> Result<bool> {
    whole.clear();
    loop {
        let parsed = httparse::parse_chunk_size(body);
        let Ok(parsed) = parsed else {
            bail!("not the size of a chunk");
        };
        let httparse::Status::Complete((start, size)) = parsed else {
            return Ok(false);
        };
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= MAX_ANSWER_BYTES);
        let size = size.context("a chunk that is too large")?;
        let Some(chunk) = body.get(start..start + size + 2) else {
            return Ok(false);
        };
        let Some(data) = chunk.strip_suffix(b"\r\n") else {
            bail!("a chunk without its end");
        };
        if size == 0 {
            return Ok(true);
        }
        whole.extend_from_slice(data);
        body = body.get(start + size + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
