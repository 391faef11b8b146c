//! A vendor that does exactly what a test says, connection by connection.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

const CERTIFICATE: &[u8] = include_bytes!("../../../tests/certificates/server.pem");
const KEY: &[u8] = include_bytes!("../../../tests/certificates/server.key");

/// One thing that happens on a connection. After the last it is closed.
#[derive(Clone)]
pub(super) enum Step {
    /// Reads one request to its end.
    Read,
    /// Reads a request but for its last byte. Closing then resets the connection, for the
    /// system knows of a byte that nobody read.
    ReadAllButOne,
    /// Waits for the first byte and leaves it where it is: closing resets.
    Peek,
    /// Writes.
    Write(Vec<u8>),
    /// Writes a byte every few milliseconds for as long as there is somebody to read.
    Trickle,
    /// Reads on until the client closes.
    Hold,
    /// Reads nothing for a while: what the client writes stays where it is.
    Stall,
}

impl Step {
    pub(super) fn write(bytes: impl AsRef<[u8]>) -> Self {
        Self::Write(bytes.as_ref().to_vec())
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: JoinHandle<()>,
}

impl Server {
    /// Serves as many connections as there are scripts, one after the other.
    pub(super) fn start(scripts: impl IntoIterator<Item = Vec<Step>> + Send + 'static) -> Self {
        Self::serve(scripts, |stream| Ok(Box::new(stream)))
    }

    /// The same with TLS.
    pub(super) fn start_tls(scripts: Vec<Vec<Step>>) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        Self::serve(scripts, move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            Ok(Box::new(Tls(StreamOwned::new(connection, stream))))
        })
    }

    fn serve(
        scripts: impl IntoIterator<Item = Vec<Step>> + Send + 'static,
        open: impl Fn(TcpStream) -> io::Result<Box<dyn Connection>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let connections = thread::spawn(move || {
            for script in scripts {
                let (stream, _) = listener.accept().unwrap();
                let Ok(mut connection) = open(stream) else { continue };
                for step in script {
                    // The client may go at any time: then the rest of a script is moot.
                    if play(&step, connection.as_mut(), &seen).is_err() {
                        break;
                    }
                }
            }
        });
        Self { address, requests, connections }
    }

    /// Waits until every connection was served, and tells the requests that were read.
    pub(super) async fn finish(self) -> Vec<String> {
        // The runtime's thread may have connections to close yet, and is not to wait for ever
        // for one that never comes.
        let begun = std::time::Instant::now();
        while !self.connections.is_finished() {
            assert!(
                begun.elapsed() < std::time::Duration::from_secs(20),
                "a connection never came"
            );
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        self.connections.join().unwrap();
        self.requests.lock().unwrap().clone()
    }
}

trait Connection: Read + Write {
    fn peek(&mut self) -> io::Result<()>;
}

impl Connection for TcpStream {
    fn peek(&mut self) -> io::Result<()> {
        TcpStream::peek(self, &mut [0]).map(|_| ())
    }
}

struct Tls(StreamOwned<ServerConnection, TcpStream>);

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Connection for Tls {
    fn peek(&mut self) -> io::Result<()> {
        self.0.sock.peek(&mut [0]).map(|_| ())
    }
}

fn play(step: &Step, stream: &mut dyn Connection, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    match step {
        Step::Read => read_request(stream, 0).map(|text| seen.lock().unwrap().push(text)),
        Step::ReadAllButOne => {
            read_request(stream, 1).map(|text| seen.lock().unwrap().push(text))?;
            stream.peek()
        }
        Step::Peek => stream.peek(),
        Step::Write(bytes) => stream.write_all(bytes).and_then(|()| stream.flush()),
        Step::Trickle => loop {
            stream.write_all(b"x")?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(5));
        },
        Step::Stall => {
            thread::sleep(std::time::Duration::from_millis(200));
            Ok(())
        }
        Step::Hold => io::copy(stream, &mut io::sink()).map(|_| ()),
    }
}

fn read_request(stream: &mut dyn Connection, leave: usize) -> io::Result<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse::<usize>().unwrap());
    let mut body = vec![0; length - leave];
    stream.read_exact(&mut body)?;
    request.extend(body);
    Ok(String::from_utf8(request).unwrap())
}
