//! A small HTTP/1.1 client on plain TCP: enough for admin interfaces and for a load generator that must see every failure.
//!
//! Absent here: retries, redirects, TLS, connection pools. One request goes over one connection that the caller holds, and
//! everything that goes wrong is an error with its kind.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// The longest head of a response that is read.
const LONGEST_HEAD: usize = 64 * 1024;
/// The longest body that is read.
const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection can carry another request.
    pub keep_alive: bool,
}

impl Answer {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What was read and not used yet.
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, from the address `from` if one is given (its port 0 stands for any).
    pub async fn open(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(from)?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(1024),
        })
    }

    /// Whether the other side has closed an idle connection, or has sent what nobody asked for.
    pub fn is_stale(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends one GET request and reads its answer to the end.
    pub async fn get(&mut self, host: &str, path: &str, close: bool) -> io::Result<Answer> {
        self.get_with(host, path, "", close).await
    }

    /// The same with further headers, each a line that ends in CR and LF.
    pub async fn get_with(&mut self, host: &str, path: &str, headers: &str, close: bool) -> io::Result<Answer> {
        let connection = if close { "close" } else { "keep-alive" };
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n{headers}\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        let mut answer = self.head().await?;
        self.body(&mut answer).await?;
        answer.keep_alive = answer.keep_alive && !close && self.buffer.is_empty();
        Ok(answer)
    }

    /// Sends one POST request and reads its answer to the end. The connection carries no other request afterwards.
    pub async fn post(&mut self, host: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body).await?;
        let mut answer = self.head().await?;
        self.body(&mut answer).await?;
        Ok(answer)
    }

    async fn head(&mut self) -> io::Result<Answer> {
        let mut searched = 0;
        let end = loop {
            if let Some(found) = find(&self.buffer[searched..], b"\r\n\r\n") {
                break searched + found;
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > LONGEST_HEAD {
                return Err(invalid("the head of the response is too long"));
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..end]).map_err(|_| invalid("the head is not text"))?;
        let answer = parse_head(text)?;
        self.buffer.drain(..end + 4);
        Ok(answer)
    }

    async fn body(&mut self, answer: &mut Answer) -> io::Result<()> {
        if answer.status == 204 || answer.status == 304 {
            return Ok(());
        }
        if answer
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return self.chunks(answer).await;
        }
        if let Some(length) = answer.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| invalid("the content length is not a number"))?;
            answer.body = self.take(length).await?;
            return Ok(());
        }
        // Neither: the body ends with the connection.
        answer.keep_alive = false;
        while match self.more().await {
            Ok(()) => self.buffer.len() <= LONGEST_BODY,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        } {}
        answer.body = std::mem::take(&mut self.buffer);
        Ok(())
    }

    async fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("the size of a chunk is not a number"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {} // trailers
                return Ok(());
            }
            let chunk = self.take(size).await?;
            answer.body.extend(chunk);
            if answer.body.len() > LONGEST_BODY || !self.line().await?.is_empty() {
                return Err(invalid("a chunk is longer than it says, or the body too long"));
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > LONGEST_BODY {
            return Err(invalid("the body is too long"));
        }
        while self.buffer.len() < length {
            self.more().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed inside a response",
            )),
            _ => Ok(()),
        }
    }
}

/// One GET request on a connection of its own, with ten seconds for all of it. The answer may have any status.
pub async fn get(authority: &str, path: &str) -> Result<Answer> {
    let address: SocketAddr = authority
        .parse()
        .with_context(|| format!("{authority} is no address with a port"))?;
    let all = async { Connection::open(address, None).await?.get(authority, path, true).await };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .with_context(|| format!("GET http://{authority}{path}: no answer within 10 s"))?
        .with_context(|| format!("GET http://{authority}{path}"))
}

/// A text as it stands in the query of a URL.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn parse_head(text: &str) -> io::Result<Answer> {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| invalid("the response does not begin with a status line"))?;
    let mut answer = Answer {
        status,
        keep_alive: first.starts_with("HTTP/1.1"),
        ..Answer::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "connection" && value.eq_ignore_ascii_case("close") {
            answer.keep_alive = false;
        }
        answer.headers.push((name, value));
    }
    Ok(answer)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client sees of a server that sends this, in pieces of `piece` bytes, and closes.
    async fn answer_to(response: &'static str, piece: usize) -> io::Result<Answer> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the client connects");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            for part in response.as_bytes().chunks(piece) {
                stream.write_all(part).await.expect("the client reads");
                stream.flush().await.expect("the client reads");
                tokio::task::yield_now().await;
            }
        });
        let answer = Connection::open(address, None).await?.get("x", "/", false).await;
        server.await.expect("the server does not panic");
        answer
    }

    #[tokio::test]
    async fn every_framing_of_a_body_is_read_in_any_pieces() {
        let rows = [
            (
                "HTTP/1.1 200 OK\r\nX-Version: v1\r\nContent-Length: 5\r\n\r\nhello",
                200,
                "hello",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                200,
                "hello",
                true,
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
                502,
                "no",
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ];
        for (response, status, body, keep_alive) in rows {
            for piece in [1, 7, 1000] {
                let answer = answer_to(response, piece).await.expect("it is a valid response");
                let seen = (
                    answer.status,
                    String::from_utf8_lossy(&answer.body).into_owned(),
                    answer.keep_alive,
                );
                assert_eq!(
                    seen,
                    (status, body.to_owned(), keep_alive),
                    "{response:?} in pieces of {piece}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_broken_response_is_an_error_with_its_kind() {
        let rows = [
            ("", io::ErrorKind::UnexpectedEof),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                io::ErrorKind::UnexpectedEof,
            ),
            ("SSH-2.0-x\r\n\r\n", io::ErrorKind::InvalidData),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                io::ErrorKind::InvalidData,
            ),
        ];
        for (response, kind) in rows {
            let error = answer_to(response, 1000).await.expect_err("it is broken");
            assert_eq!(error.kind(), kind, "{response:?}: {error}");
        }
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(
            percent_encoded("rate(x{a=\"b\"}[10s])"),
            "rate%28x%7Ba%3D%22b%22%7D%5B10s%5D%29"
        );
    }
}
