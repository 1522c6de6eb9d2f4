//! Model servers that cost next to nothing: HTTP/1.1 with one answer of about a kilobyte, as text on a socket.
use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

/// Classes and probabilities of ten rows.
fn answer() -> String {
    let probabilities: Vec<f64> = (0..100).map(|place| f64::from(place * 37 % 1_000) / 1_000.0).collect();
    let labels: Vec<u32> = (0..10).collect();
    let body = json!({"outputs": [
        {"name": "label", "datatype": "INT64", "shape": [10], "data": labels},
        {"name": "probability", "datatype": "FP32", "shape": [10, 10], "data": probabilities},
    ]})
    .to_string();
    // Spaces to a full kilobyte.
    let body = format!("{body:<1024}");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server on a port of its own, for as long as this process lives.
pub(crate) async fn start() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer: &'static [u8] = answer().leak().as_bytes();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let mut message = Message::default();
    while let Ok(true) = message.read(&mut stream).await {
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// A reader of one message after another, which keeps nothing but its buffer.
#[derive(Default)]
pub(crate) struct Message {
    buffer: Vec<u8>,
    head: usize,
}

impl Message {
    /// Reads a whole message in place of the last one. Returns whether there was one.
    pub(crate) async fn read(&mut self, stream: &mut TcpStream) -> Result<bool, Failure> {
        self.buffer.clear();
        let head = loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let length = length(&self.buffer[..head]).ok_or("a message without content-length")?;
        while self.buffer.len() < head + length {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        self.head = head;
        Ok(true)
    }

    /// The first line and the headers.
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer[..self.head]
    }
}

fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let lines = head.split(|byte| *byte == b'\n');
    let mut lengths =
        lines.filter(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    std::str::from_utf8(&lengths.next()?[NAME.len()..]).ok()?.trim().parse().ok()
}
