use std::path::Path;

use jiff::Timestamp;
use proptest::prelude::*;
use toml::de::DeTable;

use super::*;
use crate::{
    call::{CallId, Recipient},
    config::{Problem, Source},
};

fn vendor(text: &str) -> Arc<dyn Vendor> {
    let environment = |_: &str| None;
    let source = Source::new(text, Path::new("."), &environment);
    let table = DeTable::parse(text).unwrap();
    let mut section = Section::new(&source, "vendors.m", 0, table.get_ref());
    let vendor = (REGISTRATION.build)(&mut section);
    section.finish();
    assert_eq!(source.into_problems(), Vec::<Problem>::new());
    vendor.unwrap()
}

fn usual() -> Arc<dyn Vendor> {
    vendor("access_token = \"abc123\"\nbridge = \"+918000000001\"\nflow_id = \"77\"")
}

fn order() -> Order {
    Order {
        client_reference: None,
        to: vec!["+919900000002".parse().unwrap()],
        caller_id: None,
        script: None,
        variables: BTreeMap::new(),
        start_time: None,
        expire_time: None,
        recipient: Recipient::default(),
        locale: None,
        retry: None,
        labels: BTreeMap::new(),
    }
}

fn retry(seconds: u64, max_attempts: u32) -> Option<Retry> {
    Some(Retry { interval: Duration::from_secs(seconds), max_attempts })
}

const CONTEXT: Context<'_> = Context { now: Timestamp::UNIX_EPOCH, token: None };

fn place(vendor: &dyn Vendor, order: &Order) -> HttpRequest {
    vendor.place(&[Outgoing { id: CallId::generate(), dial: 0, order }], &CONTEXT).unwrap()
}

fn body(request: &HttpRequest) -> String {
    assert!(matches!(request.body, Body::Json(_)));
    String::from_utf8(request.body.bytes().to_vec()).unwrap()
}

fn headers(request: &HttpRequest) -> Vec<(&'static str, String)> {
    let text = |header: &Header| match header {
        Header::Plain(text) => text.clone(),
        Header::Secret(prefix, secret) => format!("{prefix}{}", secret.expose()),
    };
    request.headers.iter().map(|(name, header)| (*name, text(header))).collect()
}

fn fields(order: &Order, vendor: &dyn Vendor) -> Vec<(Cause, String)> {
    vendor.check(order).into_iter().map(|o| (o.cause, o.violation.field)).collect()
}

#[test]
fn the_smallest_call_is_written() {
    let request = place(&*usual(), &order());
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url.as_str(), "https://portal.mobtexting.com/api/v2/outgoing/send");
    assert_eq!(
        headers(&request),
        [("Authorization", "Bearer abc123".to_owned()), ("Accept", "application/json".to_owned()),]
    );
    assert_eq!(body(&request), r#"{"bridge":"918000000001","to":"919900000002","flow_id":"77"}"#);
    assert!(!format!("{request:?}").contains("abc123"));
}

#[test]
fn everything_a_call_can_have_is_written() {
    let vendor = vendor(
        "base_url = \"http://127.0.0.1:9/reseller/api/v2\"\naccess_token = \"t\"\n\
         bridge = \"918000000001\"\nflow_id = \"77\"\nwebhook_id = \"0b6f\"",
    );
    let mut order = order();
    order.caller_id = Some("+918000000009".parse().unwrap());
    order.script = Some(Script::Audio("https://sounds.test/a.mp3".to_owned()));
    order.retry = retry(900, 3);
    for (name, value) in [("otp", "4711"), ("name", "Asha \"A\" é"), ("a.b-c_1", "")] {
        order.variables.insert(name.to_owned(), value.to_owned());
    }
    // Has no place in this vendor's request.
    order.recipient.name = "Jane".to_owned();
    order.locale = Some("en-IN".to_owned());
    let request = place(&*vendor, &order);
    assert_eq!(request.url.as_str(), "http://127.0.0.1:9/reseller/api/v2/outgoing/send");
    assert_eq!(
        body(&request),
        concat!(
            r#"{"bridge":"918000000009","to":"919900000002","audio":"https://sounds.test/a.mp3","#,
            r#""interval":15,"webhook_id":"0b6f","variables[a.b-c_1]":"","#,
            r#""variables[name]":"Asha \"A\" é","variables[otp]":"4711"}"#,
        )
    );
}

#[test]
fn an_unwanted_retry_is_not_sent() {
    let mut order = order();
    order.retry = retry(7, 1);
    assert_eq!(fields(&order, &*usual()), []);
    assert!(!body(&place(&*usual(), &order)).contains("interval"));
}

#[test]
fn only_documented_pauses_are_taken() {
    for minutes in RETRY_MINUTES {
        let mut order = order();
        order.retry = retry(minutes * 60, 0);
        assert_eq!(fields(&order, &*usual()), []);
        let text = body(&place(&*usual(), &order));
        assert!(text.contains(&format!(r#""interval":{minutes}"#)), "{text}");
    }
    for seconds in [0, 1, 299, 301, 600, 7_200] {
        let mut order = order();
        order.retry = retry(seconds, 2);
        assert_eq!(fields(&order, &*usual()), [(Cause::InvalidCall, "retry.interval".to_owned())]);
    }
}

#[test]
fn what_the_vendor_would_refuse_is_named() {
    let bare = vendor("access_token = \"t\"");
    assert_eq!(
        fields(&order(), &*bare),
        [(Cause::InvalidCall, "caller_id".to_owned()), (Cause::InvalidCall, "script".to_owned())]
    );
    let mut complete = order();
    complete.caller_id = Some("200".parse().unwrap());
    complete.script = Some(Script::Flow("9".to_owned()));
    assert_eq!(fields(&complete, &*bare), []);
    assert_eq!(
        body(&place(&*bare, &complete)),
        r#"{"bridge":"200","to":"919900000002","flow_id":"9"}"#
    );

    let mut order = order();
    order.to.push("+919900000003".parse().unwrap());
    order.script = Some(Script::Audio("hello.wav".to_owned()));
    assert_eq!(
        fields(&order, &*usual()),
        [(Cause::Unsupported, "to".to_owned()), (Cause::InvalidCall, "audio".to_owned())]
    );
    order.to.clear();
    order.script = Some(Script::Audio("0b6f3f0e-1111-4222-8333-444455556666".to_owned()));
    assert_eq!(fields(&order, &*usual()), [(Cause::InvalidCall, "to".to_owned())]);
    let outgoing = [Outgoing { id: CallId::generate(), dial: 0, order: &order }];
    usual().place(&outgoing, &CONTEXT).unwrap_err();
}

#[test]
fn one_call_goes_in_one_request() {
    let order = order();
    let outgoing = [1, 2, 3].map(|_| Outgoing { id: CallId::generate(), dial: 0, order: &order });
    assert_eq!(usual().batches(&outgoing), [[0], [1], [2]]);
    assert_eq!(usual().batches(&[]), Vec::<Vec<usize>>::new());
    let fault = usual().place(&outgoing, &CONTEXT).unwrap_err();
    assert_eq!(fault.cause, Cause::Unsupported);
    let reply = HttpReply::json(200, r#"{"status":"OK","data":[{"id":"x"}]}"#);
    let placements = usual().read_placement(&outgoing, &reply);
    assert_eq!(placements.len(), 3);
    for placement in placements {
        assert!(matches!(placement, Placement::Fault(fault) if fault.cause == Cause::InDoubt));
    }
    assert!(matches!(
        &usual().read_placement(&outgoing[..1], &reply)[..],
        [Placement::Accepted { .. }]
    ));
}

#[test]
fn questions_name_one_call_verbatim() {
    let placed = |id| Placed {
        vendor_call_id: id,
        to: &[],
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries: false,
    };
    let calls = [placed(Some("a/b c&d=é:1")), placed(None), placed(Some("")), placed(Some("x"))];
    assert_eq!(usual().questions(&calls), [[0], [3]]);
    let request = usual().ask(&calls[..1], &CONTEXT).unwrap();
    assert_eq!(request.method, Method::Get);
    assert_eq!(
        request.url.as_str(),
        "https://portal.mobtexting.com/api/v2/outgoing/callstatus?id=a%2Fb+c%26d%3D%C3%A9%3A1"
    );
    assert_eq!(headers(&request).len(), 2);
    assert_eq!(request.body.bytes(), b"");
    assert!(usual().ask(&calls, &CONTEXT).is_none());
    assert!(usual().ask(&calls[1..2], &CONTEXT).is_none());
    assert!(usual().ask(&[], &CONTEXT).is_none());
    let reports = usual().read_answer(&calls, &HttpReply::json(200, r#"{"status":200}"#));
    assert_eq!(reports.unwrap().len(), 4);
}

#[test]
fn says_who_it_is() {
    let vendor = usual();
    assert_eq!((vendor.kind(), vendor.domain()), ("mobtexting", "mobtexting.com"));
    let can = vendor.capabilities();
    assert!(can.flows && can.audio && can.retries && can.pull_results && !can.cancels);
    assert!(vendor.token_request().is_none());
}

proptest! {
    #[test]
    fn as_many_placements_as_orders(count in 0_usize..4, status in 100_u16..600, body: Vec<u8>) {
        let order = order();
        let outgoing = vec![Outgoing { id: CallId::generate(), dial: 0, order: &order }; count];
        let reply = HttpReply::json(status, body);
        prop_assert_eq!(usual().read_placement(&outgoing, &reply).len(), count);
    }
}
