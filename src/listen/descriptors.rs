//! How many connections the system lets this process have.

/// Descriptors for everything but connections to a listener: the ledger, vendors, logs.
const RESERVE: usize = 256;

/// A listener's part of the descriptors that there are for connections, in eighths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Of those who place calls.
    Calls = 5,
    /// Of vendors that post.
    Callbacks = 2,
    /// Of those who look after the gateway.
    Admin = 1,
}

/// So many connections of those that were configured: as many as the system has descriptors
/// for. Without one left, nothing could be sent to a vendor either.
pub fn fitting(configured: usize, share: Share) -> usize {
    limit().map_or(configured, |limit| part(limit, share).min(configured))
}

fn part(limit: usize, share: Share) -> usize {
    let free = limit.saturating_sub(RESERVE).max(limit / 2);
    (free.saturating_mul(share as usize) / 8).max(1)
}

/// The soft limit of open files, where the system tells it in a file.
fn limit() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_and_vendors_have_theirs() {
        let all = [Share::Calls, Share::Callbacks, Share::Admin];
        for (limit, parts) in [(1_024, [480, 192, 96]), (64, [20, 8, 4]), (0, [1, 1, 1])] {
            assert_eq!(all.map(|share| part(limit, share)), parts);
        }
        assert_eq!(fitting(1, Share::Admin), 1);
        assert!(part(usize::MAX, Share::Calls) > 1_000_000);
    }
}
