//! The calls of a list, followed to their ends: as changes of their route, on one stream however
//! many requests they are of.

use super::{Arguments, Client, Failed, Outcome};
use crate::cli::calls::{Part, watch::Watch};

/// What an empty route means.
const DEFAULT_ROUTE: &str = "default";

/// The cursor of now.
pub(super) async fn begin(arguments: &Arguments, client: &Client) -> Result<String, Failed> {
    let mut cursor = String::new();
    let mut watch = Watch::new(Part::default(), Some(route(arguments)), None);
    watch
        .streams(&arguments.how, &mut client.clone(), |change| {
            cursor.clone_from(&change.cursor);
            false
        })
        .await?;
    Ok(cursor)
}

/// What changed since, until all calls are over.
pub(super) async fn until_all_are_over(
    arguments: &Arguments,
    client: &Client,
    since: String,
    outcome: &mut Outcome,
) -> Result<(), Failed> {
    if outcome.open() == 0 {
        return Ok(());
    }
    let mut watch = Watch::new(Part::default(), Some(route(arguments)), Some(since));
    watch
        .streams(&arguments.how, &mut client.clone(), |change| {
            outcome.change(change);
            outcome.open() > 0
        })
        .await
}

fn route(arguments: &Arguments) -> String {
    match arguments.route.as_str() {
        "" => DEFAULT_ROUTE.to_owned(),
        route => route.to_owned(),
    }
}
