//! `dialplane cancel`: takes calls back.

use clap::Args;

use super::{How, Part, Selected, code, note, short};
use crate::{
    cli::client::Failed,
    proto::{Call, CallState, CancelCallsRequest},
};

/// What is taken back.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    selected: Selected,
    /// Show what would become of the calls, and take none of them back.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    how: How,
}

pub(in crate::cli) async fn run(arguments: &Arguments) -> Result<u8, Failed> {
    let Arguments { selected, validate_only, how } = arguments;
    let parts = selected.some()?;
    let mut client = how.client().await?;
    let mut out = how.out();
    let (mut all_well, mut canceled) = (true, 0);
    for part in parts {
        let Part { call_ids, request_id, client_references } = part;
        let request = CancelCallsRequest {
            call_ids,
            request_id,
            client_references,
            validate_only: *validate_only,
        };
        let answer = how.ask(request, async |r| client.cancel_calls(r).await).await;
        let answer = answer.map_err(|status| match canceled {
            0 => Failed::from(status),
            _ if *validate_only => Failed::from(status),
            _ => Failed::from(status).and(format!("{canceled} calls were taken back before")),
        })?;
        for call in &answer.calls {
            // An output that was closed is no reason to stop: the rest is to be taken back too.
            let _ = out.call(call);
            match call.state() {
                CallState::Canceled => canceled += 1,
                // As a call ends that waited to be dialled again.
                CallState::Busy | CallState::NoAnswer => {
                    canceled += 1;
                    let state = short(call.state());
                    note(format!(
                        "{}: ended as {state}, and is not dialled any more",
                        call.call_id
                    ));
                }
                _ => {
                    all_well = false;
                    note(format!("{}: {}", call.call_id, why_not(call)));
                }
            }
        }
        all_well &= answer.not_found.is_empty();
        answer.not_found.iter().for_each(|name| note(format!("no such call: {name}")));
        if answer.calls.is_empty() && answer.not_found.is_empty() {
            note("no calls");
            all_well = false;
        }
    }
    Ok(code(all_well))
}

fn why_not(call: &Call) -> String {
    let state = short(call.state());
    match call.state() {
        CallState::Dispatching => {
            format!(
                "not taken back, for it is being handed over ({state}); cancel it again if it comes back"
            )
        }
        _ if super::is_over(call) => format!("is over ({state})"),
        _ => format!("not taken back, for the vendor has it ({state})"),
    }
}
