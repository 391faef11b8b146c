//! The connection of commands that talk to a running gateway.

use std::time::Duration;

use clap::Args;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// Which gateway is meant.
#[derive(Debug, Clone, Args)]
pub(super) struct Server {
    /// Where the gateway listens: http://HOST:PORT, or unix:/PATH.
    #[arg(
        long,
        env = "DIALPLANE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    server: String,
}

impl Server {
    /// Connects.
    ///
    /// # Errors
    /// With a sentence for people.
    pub(super) async fn connect(&self) -> Result<Channel, String> {
        let server = &self.server;
        if !server.starts_with("http://") && !server.starts_with("unix:/") {
            return Err(format!(
                "--server {server}: expected http://HOST:PORT or unix:/PATH, such as \
                 http://127.0.0.1:50051"
            ));
        }
        let endpoint = Endpoint::from_shared(server.clone())
            .map_err(|error| format!("--server {server}: {error}"))?;
        endpoint.connect_timeout(CONNECT).timeout(ANSWER).connect().await.map_err(|error| {
            let why = std::error::Error::source(&error)
                .map_or_else(String::new, |source| format!(" ({source})"));
            format!("no gateway answers at {server}{why}; is \"dialplane serve\" running there?")
        })
    }
}

/// What a gateway refused, for people: the code, the reason, the message, each wrong field.
pub(super) fn explain(status: &Status) -> String {
    let code = name(status.code());
    let mut text = match status.get_details_error_info() {
        Some(info) => format!("{code}, {}: {}", info.reason, status.message()),
        None => format!("{code}: {}", status.message()),
    };
    // The first one is the message already.
    let fields = status.get_details_bad_request().map(|bad| bad.field_violations);
    for field in fields.iter().flatten().skip(1) {
        text.push_str(&format!("\n  {}: {}", field.field, field.description));
    }
    text
}

/// As it is written everywhere else: `INVALID_ARGUMENT`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_to_read() {
        let details =
            tonic_types::ErrorDetails::with_bad_request_violation("numbers[3]", "is empty");
        let mut details = details;
        details.add_bad_request_violation("reason", "is too long");
        details.set_error_info("INVALID_REQUEST", "dialplane", [("a".to_owned(), "b".to_owned())]);
        let status =
            Status::with_error_details(Code::InvalidArgument, "numbers[3]: is empty", details);
        assert_eq!(
            explain(&status),
            "INVALID_ARGUMENT, INVALID_REQUEST: numbers[3]: is empty\n  reason: is too long"
        );
        assert_eq!(explain(&Status::unavailable("gone")), "UNAVAILABLE: gone");
    }

    #[tokio::test]
    async fn what_is_no_address_is_said() {
        for server in ["127.0.0.1:50051", "https://x", "unix:x"] {
            let error = Server { server: server.into() }.connect().await.unwrap_err();
            assert!(error.contains("expected http://HOST:PORT"), "{error}");
        }
    }
}
