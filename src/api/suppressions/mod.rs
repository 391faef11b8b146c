//! `dialplane.v1.SuppressionService`: the numbers that must not be called.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{
    callers,
    deadline::{self, within},
    refusal,
    render::timestamp,
};
use crate::{
    call::{E164, MAX_SELECTED, Suppression, SuppressionReason, SuppressionReasonError, Violation},
    gateway::Gateway,
    proto::{
        self, AddSuppressionsRequest, AddSuppressionsResponse, ListSuppressionsRequest,
        ListSuppressionsResponse, RemoveSuppressionsRequest, RemoveSuppressionsResponse,
        suppression_service_server::SuppressionService,
    },
};

mod place;

/// The most numbers that are added or removed at once.
pub const MAX_SUPPRESSED: usize = 5_000;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: i32 = 1_000;

/// `dialplane.v1.SuppressionService`.
#[derive(Debug, Clone)]
pub struct SuppressionApi {
    gateway: Gateway,
}

impl SuppressionApi {
    /// The service of a gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn add(
        &self,
        request: AddSuppressionsRequest,
        deadline: Option<Instant>,
    ) -> Result<AddSuppressionsResponse, Status> {
        let mut wrong = Vec::new();
        let numbers = some_numbers(&request.numbers, &mut wrong);
        let reason: Result<SuppressionReason, SuppressionReasonError> = request.reason.parse();
        let (Ok(reason), true) = (&reason, wrong.is_empty()) else {
            wrong.extend(reason.err().map(|e| Violation::new("reason", e.to_string())));
            return Err(refusal::invalid_request(&wrong));
        };
        if request.validate_only {
            let would_be = within(deadline, self.would_be(&numbers, reason)).await;
            return would_be.unwrap_or_else(|| Err(refusal::read_too_late()));
        }
        let added = within(deadline, self.gateway.suppress(numbers, reason.clone())).await;
        let added = added.ok_or_else(refusal::list_too_late)?;
        let added = added.map_err(|error| refusal::unlisted(&error))?;
        Ok(AddSuppressionsResponse { suppressions: added.iter().map(shown).collect() })
    }

    async fn remove(
        &self,
        request: RemoveSuppressionsRequest,
        deadline: Option<Instant>,
    ) -> Result<RemoveSuppressionsResponse, Status> {
        let mut wrong = Vec::new();
        let numbers = some_numbers(&request.numbers, &mut wrong);
        if !wrong.is_empty() {
            return Err(refusal::invalid_request(&wrong));
        }
        // A check changes nothing, however it ends.
        let gone: HashSet<_> = match request.validate_only {
            true => {
                let listed = within(deadline, self.gateway.suppressed(numbers.clone())).await;
                let listed = listed.ok_or_else(refusal::read_too_late)?;
                let listed = listed.map_err(|error| refusal::list_unread(&error))?;
                listed.into_iter().map(|suppression| suppression.number).collect()
            }
            false => {
                let removed = within(deadline, self.gateway.unsuppress(numbers.clone())).await;
                let removed = removed.ok_or_else(refusal::list_too_late)?;
                removed.map_err(|error| refusal::unlisted(&error))?.into_iter().collect()
            }
        };
        let (removed, not_found): (Vec<_>, Vec<_>) =
            numbers.iter().partition(|number| gone.contains(*number));
        let plus = |numbers: Vec<&E164>| numbers.into_iter().map(E164::plus).collect();
        Ok(RemoveSuppressionsResponse { removed: plus(removed), not_found: plus(not_found) })
    }

    /// The numbers as they would be on the list.
    async fn would_be(
        &self,
        numbers: &[E164],
        reason: &SuppressionReason,
    ) -> Result<AddSuppressionsResponse, Status> {
        let listed = self.gateway.suppressed(numbers.to_vec()).await;
        let listed = listed.map_err(|error| refusal::list_unread(&error))?;
        let listed: HashMap<_, _> = listed.iter().map(|s| (&s.number, s)).collect();
        let suppressions = numbers.iter().map(|number| {
            let before = listed.get(number);
            let kept = before.filter(|_| reason.as_str().is_empty()).map(|s| &s.reason);
            proto::Suppression {
                number: number.plus(),
                reason: kept.unwrap_or(reason).as_str().to_owned(),
                create_time: before.map(|s| timestamp(s.create_time)),
            }
        });
        Ok(AddSuppressionsResponse { suppressions: suppressions.collect() })
    }

    async fn list(
        &self,
        request: ListSuppressionsRequest,
    ) -> Result<ListSuppressionsResponse, Status> {
        let query = query(&request).map_err(|wrong| refusal::invalid_request(&wrong))?;
        let Query { numbers, after, limit } = query;
        let failed = |error| refusal::list_unread(&error);
        let (page, more) = if numbers.is_empty() {
            self.gateway.suppressions(after, limit).await.map_err(failed)?
        } else {
            let later = numbers.iter().filter(|number| Some(*number) > after.as_ref());
            let listed = self.gateway.suppressed(later.cloned().collect()).await;
            let mut listed = listed.map_err(failed)?;
            let more = listed.len() > limit;
            listed.truncate(limit);
            (listed, more)
        };
        let last = page.last().filter(|_| more);
        Ok(ListSuppressionsResponse {
            next_page_token: last.map_or_else(String::new, |s| place::write(&numbers, &s.number)),
            suppressions: page.iter().map(shown).collect(),
        })
    }
}

#[tonic::async_trait]
impl SuppressionService for SuppressionApi {
    async fn add_suppressions(
        &self,
        request: Request<AddSuppressionsRequest>,
    ) -> Result<Response<AddSuppressionsResponse>, Status> {
        may_suppress(&request)?;
        let deadline = deadline::of(&request);
        self.add(request.into_inner(), deadline).await.map(Response::new)
    }

    async fn remove_suppressions(
        &self,
        request: Request<RemoveSuppressionsRequest>,
    ) -> Result<Response<RemoveSuppressionsResponse>, Status> {
        may_suppress(&request)?;
        let deadline = deadline::of(&request);
        self.remove(request.into_inner(), deadline).await.map(Response::new)
    }

    async fn list_suppressions(
        &self,
        request: Request<ListSuppressionsRequest>,
    ) -> Result<Response<ListSuppressionsResponse>, Status> {
        may_suppress(&request)?;
        let deadline = deadline::of(&request);
        let listed = within(deadline, self.list(request.into_inner())).await;
        listed.unwrap_or_else(|| Err(refusal::read_too_late())).map(Response::new)
    }
}

fn may_suppress<T>(request: &Request<T>) -> Result<(), Status> {
    match callers::may_suppress(request) {
        true => Ok(()),
        false => Err(refusal::suppressions_not_allowed()),
    }
}

/// What a page is to show.
struct Query {
    /// Those that are asked about, in the order of the list; empty for all of it.
    numbers: Vec<E164>,
    after: Option<E164>,
    limit: usize,
}

fn query(request: &ListSuppressionsRequest) -> Result<Query, Vec<Violation>> {
    let mut wrong = Vec::new();
    let limit = match request.page_size {
        0 => DEFAULT_PAGE,
        size => usize::try_from(size.min(MAX_PAGE)).unwrap_or_else(|_| {
            wrong.push(Violation::new("page_size", "is negative; expected 0 or more"));
            DEFAULT_PAGE
        }),
    };
    let mut numbers = numbers(&request.numbers, MAX_SELECTED, &mut wrong);
    numbers.sort_unstable();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let Some(after) = place::read(&numbers, &request.page_token) else {
        let description = "is not one of these numbers; expected next_page_token of the page \
                           before, with the same numbers";
        return Err(vec![Violation::new("page_token", description)]);
    };
    Ok(Query { numbers, after, limit })
}

/// 1 to [`MAX_SUPPRESSED`] numbers.
fn some_numbers(texts: &[String], wrong: &mut Vec<Violation>) -> Vec<E164> {
    if texts.is_empty() {
        let description = format!("is empty; expected 1 to {MAX_SUPPRESSED} E.164 numbers");
        wrong.push(Violation::new("numbers", description));
    }
    numbers(texts, MAX_SUPPRESSED, wrong)
}

/// The numbers in their order, each once.
fn numbers(texts: &[String], most: usize, wrong: &mut Vec<Violation>) -> Vec<E164> {
    if texts.len() > most {
        let description = format!("has {} entries; at most {most} are allowed", texts.len());
        wrong.push(Violation::new("numbers", description));
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(texts.len());
    let mut numbers = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        match text.parse::<E164>() {
            Ok(number) if seen.insert(number.clone()) => numbers.push(number),
            Ok(_) => {}
            Err(error) => wrong.push(Violation::new(format!("numbers[{i}]"), error.to_string())),
        }
    }
    numbers
}

fn shown(suppression: &Suppression) -> proto::Suppression {
    proto::Suppression {
        number: suppression.number.plus(),
        reason: suppression.reason.as_str().to_owned(),
        create_time: Some(timestamp(suppression.create_time)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use prost::Message;

    use super::*;
    use crate::{api::MAX_MESSAGE_BYTES, call::MAX_SUPPRESSION_REASON};

    #[test]
    fn the_longest_answers_fit() {
        let longest = shown(&Suppression {
            number: "999999999999999".parse().unwrap(),
            reason: "\u{10ffff}".repeat(MAX_SUPPRESSION_REASON).parse().unwrap(),
            create_time: Timestamp::MAX,
        });
        let answer = AddSuppressionsResponse { suppressions: vec![longest; MAX_SUPPRESSED] };
        assert!(answer.encoded_len() < MAX_MESSAGE_BYTES, "{}", answer.encoded_len());
    }

    #[test]
    fn every_mistake_has_its_path() {
        let request = |size: i32, token: &str, numbers: &[&str]| ListSuppressionsRequest {
            page_size: size,
            page_token: token.to_owned(),
            numbers: numbers.iter().map(|text| (*text).to_owned()).collect(),
        };
        for (request, fields) in [
            (
                request(-1, "", &["+919900000001", "x", ""]),
                vec!["page_size", "numbers[1]", "numbers[2]"],
            ),
            (request(0, "nonsense", &[]), vec!["page_token"]),
            (request(0, "", &["+919900000001"; 1_001]), vec!["numbers"]),
        ] {
            let wrong = query(&request).map(drop).unwrap_err();
            let named: Vec<_> = wrong.iter().map(|violation| violation.field.as_str()).collect();
            assert_eq!(named, fields);
        }
        let Query { numbers, after, limit } =
            query(&request(7_000, "", &["+20000000", "10000000", "+10000000"])).ok().unwrap();
        let digits: Vec<_> = numbers.iter().map(E164::digits).collect();
        assert_eq!((digits, after, limit), (vec!["10000000", "20000000"], None, 1_000));
    }
}
