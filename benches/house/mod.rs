//! What benches of the whole gateway have in common: programs in processes of their own,
//! a vendor that answers at once, callers, and ledgers with many calls.

use std::net::SocketAddr;

use tokio::net::TcpListener;

pub mod bare;
pub mod filled;
pub mod load;
pub mod process;
pub mod setup;
pub mod vendor;

pub use load::{Load, Placed};
pub use process::Process;
pub use setup::Setup;
pub use vendor::Vendor;

/// Phonon's, of the form it has to have.
const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// How many exchanges with a vendor may be under way at the same time, of a gateway and of the
/// bare hop: as many as a vendor that answers at once needs.
pub const IN_FLIGHT: usize = 64;

/// An address that nobody has at this moment.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// The one in the middle, or the later of two.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
