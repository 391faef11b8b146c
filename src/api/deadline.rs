//! The caller's deadline, as gRPC sends it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::{Request, codegen::http::HeaderMap};

use super::callers::Arrived;

/// The moment at which an answer has to be on its way, a little before the caller's
/// own clock runs out. None without a deadline.
pub(super) fn of<T>(request: &Request<T>) -> Option<Instant> {
    let given = parse(request.metadata().get("grpc-timeout")?.to_str().ok()?)?;
    let arrived =
        request.extensions().get().map_or_else(Instant::now, |arrived: &Arrived| arrived.at);
    // Before the caller's own timer, which would tell it nothing of what became of its calls.
    let margin = (given / 20).clamp(Duration::from_millis(2), Duration::from_millis(100));
    arrived.checked_add(given.saturating_sub(margin))
}

/// How long the caller means to wait, if it says so.
pub(super) fn given(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// What comes of it before the deadline. Nothing is begun after it.
pub(super) async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(at) if at <= Instant::now() => None,
        Some(at) => timeout_at(at, work).await.ok(),
    }
}

/// Up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::callers::Who;

    fn request(given: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert("grpc-timeout", given.parse().unwrap());
        request
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_runs_from_the_headers_on() {
        let arrived = Instant::now();
        tokio::time::advance(Duration::from_secs(9)).await;
        let mut late = request("10S");
        late.extensions_mut().insert(Arrived { at: arrived, who: Who::Anybody, from: None });
        assert_eq!(of(&late), arrived.checked_add(Duration::from_millis(9_900)));
        // Where nobody noted it, from now on.
        assert_eq!(of(&request("1S")), Instant::now().checked_add(Duration::from_millis(950)));
        assert_eq!(of(&Request::new(())), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_once_it_has_passed() {
        let now = Instant::now();
        let began = std::cell::Cell::new(false);
        assert_eq!(within(Some(now), async { began.set(true) }).await, None);
        assert!(!began.get());
        let soon = Some(now + Duration::from_millis(1));
        assert_eq!(within(soon, async { began.set(true) }).await, Some(()));
        assert_eq!(within(soon, std::future::pending::<()>()).await, None);
        assert_eq!(within(None, async { 7 }).await, Some(7));
    }

    #[test]
    fn reads_what_grpc_sends() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for text in ["", "S", "1", "1s", "-1S", "123456789S", "1ß", "ßS"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
