//! Sockets that listen, whatever is spoken over them: addresses, TLS, who may come in and how
//! many at once. Anybody may reach a port, so everything here is bounded.

mod current;
mod der;
mod descriptors;
mod peer;
mod room;
mod socket;
mod stream;
mod tls;
mod validity;

pub use current::Current;
pub use descriptors::{Share, fitting};
pub use peer::{Origin, Peer};
pub use room::{Full, Place, Room};
pub use socket::{BindError, Socket};
pub use stream::{Handshake, HandshakeError, Protocol, Stream};
pub use tls::{Looked, Tls};
