//! HTTP/2 as no client library writes it: frame by frame.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::house::soon;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection that does what a test says.
pub struct Wire {
    pub stream: TcpStream,
    /// Answers nothing that HTTP/2 wants answered.
    deaf: bool,
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Wire {
    /// Connects, and says nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), deaf: false }
    }

    /// Connects, and says that it speaks HTTP/2.
    pub async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::silent(address).await;
        assert!(wire.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await);
        wire
    }

    /// The same, with the limits that the other end has told of.
    pub async fn agreed(address: SocketAddr) -> Self {
        let mut wire = Self::open(address).await;
        while wire.frame().await.expect("settings").kind != SETTINGS {}
        wire
    }

    /// Answers no ping.
    pub fn deaf(self) -> Self {
        Self { deaf: true, ..self }
    }

    /// Writes, and tells whether anybody takes it.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        soon("a write", self.stream.write_all(bytes)).await.is_ok()
    }

    /// The next frame; none when the connection has ended.
    pub async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon("a frame", self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        soon("a frame", self.stream.read_exact(&mut payload)).await.ok()?;
        let (kind, flags) = (head[3], head[4]);
        let is_answer = flags & ACK != 0;
        if matches!(kind, SETTINGS | PING) && !is_answer && !self.deaf {
            let answer = if kind == PING { payload.as_slice() } else { &[] };
            self.write(&frame(kind, ACK, 0, answer)).await;
        }
        Some(Frame { kind, flags, payload })
    }

    /// Waits until the connection has ended; the code that it ended with, if it told one.
    pub async fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            if frame.kind == GOAWAY {
                let told: [u8; 4] = frame.payload[4..8].try_into().unwrap();
                code = Some(u32::from_be_bytes(told));
            }
        }
        code
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of an RPC: of the static table what is there, and the rest as it is.
pub fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04];
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, "localhost");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        field(&mut block, name, value);
    }
    block
}

pub fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

fn text(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).unwrap());
    assert!(text.len() < 127);
    block.extend(text.as_bytes());
}
