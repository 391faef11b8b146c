//! How many connections the system lets this process have.

/// Descriptors for everything but connections to a listener: the ledger, vendors, logs.
const RESERVE: usize = 256;

/// So many connections of those that were configured: as many as the system has descriptors
/// for. Without one left, nothing could be sent to a vendor either.
pub fn fitting(configured: usize) -> usize {
    match limit() {
        Some(limit) => configured.min(limit.saturating_sub(RESERVE).max(limit / 2)).max(1),
        None => configured,
    }
}

/// The soft limit of open files, where the system tells it in a file.
fn limit() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok()
    })
}
