//! What is tried again by itself: only what can't dial anybody twice. Requests that place calls
//! have a request_id whenever they come here, and all others change nothing, or nothing more.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The trailer by which the gateway says when the same may be sent again; negative is never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// The pauses when nobody says how long to wait: from this one on, doubled up to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// After which wait the very same may go well; none if it can't.
pub(in crate::cli) fn wait_of(status: &Status) -> Option<Duration> {
    let said = status.metadata().get(PUSHBACK).and_then(|value| value.to_str().ok());
    match said.and_then(|text| text.parse::<i64>().ok()).map(u64::try_from) {
        Some(Ok(wait)) => return Some(Duration::from_millis(wait)),
        // Its calls are being placed: the same again waits for their answer.
        Some(Err(_)) => {
            return (status.code() == Code::DeadlineExceeded).then_some(Duration::ZERO);
        }
        None => {}
    }
    let is_transient = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        // Without details they are the transport's: a connection that was lost.
        Code::Unknown | Code::Cancelled | Code::Internal => {
            status.get_details_error_info().is_none()
        }
        _ => false,
    };
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    is_transient.then(|| wait.unwrap_or_default())
}

/// Whether the vendor has no turn for it within its deadline. Nothing is recorded of it.
pub(in crate::cli) fn has_no_turn(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == "PACE_EXHAUSTED")
}

/// After which wait the vendor may have a turn for such a one. No library is to wait beyond a
/// deadline: whoever has the time may.
pub(in crate::cli) fn turn_of(status: &Status) -> Option<Duration> {
    let wait = status.get_details_retry_info().filter(|_| has_no_turn(status))?;
    wait.retry_delay
}

/// Asks until there is an answer, an error that stays, or no time left. The question is
/// given the time that is left.
pub(in crate::cli) async fn patiently<T>(
    limit: Duration,
    mut ask: impl AsyncFnMut(Duration) -> Result<T, Status>,
) -> Result<T, Status> {
    let end = Instant::now() + limit;
    let mut pause = PAUSES.0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let status = match ask(left).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let Some(wait) = wait_of(&status) else { return Err(status) };
        let wait = wait.max(pause);
        if Instant::now() + wait >= end {
            return Err(status);
        }
        sleep(wait).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: Code, pushback: Option<&'static str>) -> Status {
        let mut status = Status::new(code, "x");
        if let Some(pushback) = pushback {
            status.metadata_mut().insert(PUSHBACK, pushback.parse().unwrap());
        }
        status
    }

    #[test]
    fn what_the_gateway_says_of_a_repetition_goes_first() {
        let wait = |code, pushback| wait_of(&status(code, pushback));
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(wait(Code::ResourceExhausted, Some("1500")), ms(1_500));
        assert_eq!(wait(Code::ResourceExhausted, None), None);
        assert_eq!(wait(Code::Unavailable, Some("-1")), None);
        assert_eq!(wait(Code::DeadlineExceeded, Some("-1")), ms(0));
        assert_eq!(wait(Code::Unavailable, None), ms(0));
        assert_eq!(wait(Code::Unknown, None), ms(0));
        assert_eq!(wait(Code::Unknown, Some("-1")), None);
        assert_eq!(wait(Code::InvalidArgument, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_time_and_waits_as_it_is_told() {
        let begun = Instant::now();
        let mut asked = Vec::new();
        let answer = patiently(Duration::from_secs(10), async |left| {
            // Timers are some milliseconds coarse.
            asked.push(begun.elapsed().as_millis() / 10);
            assert!(left <= Duration::from_secs(10) - begun.elapsed());
            match asked.len() {
                3 => Err::<(), _>(status(Code::Unavailable, Some("3000"))),
                4 => Err(status(Code::Unavailable, Some("60000"))),
                _ => Err(status(Code::Unavailable, None)),
            }
        });
        assert_eq!(answer.await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(asked, [0, 20, 60, 360]);
    }
}
