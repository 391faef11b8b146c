//! Places one call, and prints what becomes of it: `cargo run -- NUMBER [ROUTE [REQUEST_ID]]`.

use std::{env, error::Error};

use dialplane_example::{
    api::{CallSpec, CreateCallsRequest, call_service_client::CallServiceClient},
    connect, follow, place,
};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let number = arguments.next().ok_or("usage: dialplane-example NUMBER [ROUTE [REQUEST_ID]]")?;
    let call = CallSpec { to: vec![number], ..Default::default() };
    let route = arguments.next().unwrap_or_default();
    // Made once for what is to be done, and kept with it. Printed before anything is sent: with
    // this id the same command may be given again, and dials nobody twice.
    let request_id = arguments.next().unwrap_or_else(|| Uuid::new_v4().to_string());
    println!("request {request_id}");
    let request = CreateCallsRequest { request_id, route, calls: vec![call], ..Default::default() };

    let mut client = CallServiceClient::new(connect()?);
    place(&mut client, &request).await?;
    follow(&mut client, &request.request_id, |call| {
        let why = call.error.as_ref().map_or("", |error| error.message.as_str());
        println!("{} {} {why}", call.call_id, call.state().as_str_name());
    })
    .await?;
    Ok(())
}
