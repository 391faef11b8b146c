//! The scenarios with tonic. What is connected with, and the first scenario, are the example's.

mod gateway;
mod harness;
mod placing;
mod refusing;
mod telling;

use std::{env, time::Duration};

use dialplane_example::{Connection, api::call_service_client::CallServiceClient, connect};

use harness::Outcome;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let connection = connect()?;
    for name in env::var("INTEROP_SCENARIOS")?.split_whitespace() {
        let outcome = tokio::time::timeout(LIMIT, run(name, &connection)).await;
        match outcome.unwrap_or_else(|_| Err(format!("not done after {LIMIT:?}").into())) {
            Ok(()) => println!("ok {name}"),
            Err(why) => println!("FAILED {name}: {}", why.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

async fn run(name: &str, connection: &Connection) -> Outcome {
    let client = &mut CallServiceClient::new(connection.clone());
    match name {
        "create" => placing::create(client).await,
        "reused" => placing::reused(client).await,
        "partial" => placing::partial(client).await,
        "all-failed" => placing::all_failed(client).await,
        "deadline" => placing::deadline(client).await,
        "bad-request" => refusing::bad_request(client).await,
        "validate" => refusing::validate(client).await,
        "retry-info" => refusing::retry_info(client).await,
        "cancel" => refusing::cancel(client).await,
        "results" => telling::results(client).await,
        "watch" => telling::watch(client).await,
        "health" => telling::health(connection.clone()).await,
        "reflection" => telling::reflection(connection.clone()).await,
        _ => Err("this client does not know it".into()),
    }
}
