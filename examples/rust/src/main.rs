//! Places one call, and prints what becomes of it: `cargo run -- NUMBER [ROUTE]`.

use std::{env, error::Error};

use dialplane_example::{
    api::{CallSpec, CreateCallsRequest, call_service_client::CallServiceClient},
    connect, follow, place,
};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let number = arguments.next().ok_or("usage: dialplane-example NUMBER [ROUTE]")?;
    let call = CallSpec { to: vec![number], ..Default::default() };
    let request = CreateCallsRequest {
        // Made once for what is to be done, and kept with it: a program that may be started anew
        // in between writes it down.
        request_id: Uuid::new_v4().to_string(),
        route: arguments.next().unwrap_or_default(),
        calls: vec![call],
        ..Default::default()
    };

    let mut client = CallServiceClient::new(connect()?);
    let answer = place(&mut client, &request).await?;
    follow(&mut client, &answer.request_id, |call| {
        let why = call.error.as_ref().map_or("", |error| error.message.as_str());
        println!("{} {} {why}", call.call_id, call.state().as_str_name());
    })
    .await?;
    Ok(())
}
