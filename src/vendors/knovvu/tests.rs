use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use proptest::prelude::*;
use toml::de::DeTable;

use super::*;
use crate::{
    call::{CallId, Recipient, Retry},
    config::{Problem, Source},
};

const LEAST: &str = "base_url = \"https://va.example.test:22222\"\nproject = \"DemoProject\"\n\
                     orchestrator_url = \"https://orchestrator.example.test\"\n";
const TOKEN: &str = "access_token = \"tok-1\"\n";
const OAUTH: &str = "oauth = { identity_url = \"https://identity.test\", client_id = \"a\", \
                     client_secret = \"b\" }\n";
const SCENARIO: &str =
    "scenario_path = \"https://ivr.example.test/scenario\"\ndisplay_number = \"200\"\n";

fn vendor(parts: &[&str]) -> Arc<dyn Vendor> {
    let text = format!("{LEAST}{}", parts.concat());
    let environment = |_: &str| None;
    let source = Source::new(&text, Path::new("."), &environment);
    let table = DeTable::parse(&text).unwrap();
    let mut section = Section::new(&source, "vendors.k", 0, table.get_ref());
    let vendor = (REGISTRATION.build)(&mut section);
    section.finish();
    assert_eq!(source.into_problems(), Vec::<Problem>::new());
    vendor.unwrap()
}

fn usual() -> Arc<dyn Vendor> {
    vendor(&[TOKEN, SCENARIO])
}

fn order() -> Order {
    Order {
        client_reference: None,
        to: vec!["+905000000000".parse().unwrap()],
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

const CONTEXT: Context<'_> = Context { now: Timestamp::UNIX_EPOCH, token: None };

fn id() -> CallId {
    "3f0c2b1e-0000-4000-8000-000000000001".parse().unwrap()
}

fn place(vendor: &dyn Vendor, order: &Order) -> HttpRequest {
    vendor.place(&[Outgoing { id: id(), dial: 0, order }], &CONTEXT).unwrap()
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

fn placed<'a>(id: Option<&'a str>) -> Placed<'a> {
    Placed {
        vendor_call_id: id,
        to: &[],
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries: false,
    }
}

#[test]
fn the_smallest_call_is_written() {
    let request = place(&*usual(), &order());
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url.as_str(), "https://va.example.test:22222/v2/call");
    assert_eq!(headers(&request), [("Project", "DemoProject".to_owned())]);
    assert_eq!(
        body(&request),
        concat!(
            r#"{"Project":"DemoProject","ConversationId":"3f0c2b1e-0000-4000-8000-000000000001","#,
            r#""AccessToken":"tok-1","ScenarioPath":"https://ivr.example.test/scenario","#,
            r#""OrchestratorUrl":"https://orchestrator.example.test","Tenant":"Default","#,
            r#""EndUser":{"Phone":"905000000000"},"#,
            r#""ScenarioInputParameters":[{"Name":"_DisplayNumber","Value":"200"},"#,
            r#"{"Name":"_Destination","Value":"905000000000"}],"SendResultImmediately":false}"#,
        )
    );
    assert!(!format!("{request:?}").contains("tok-1"));
}

#[test]
fn everything_a_call_can_have_is_written() {
    let vendor = vendor(&[
        TOKEN,
        SCENARIO,
        "tenant = \"Acme\"\nlocale = \"en-US\"\nproject_header = \"empty\"\n",
        "result_destination = \"https://gateway.test/callbacks/k/t0k3n-of-sixteen\"\n",
        "number_format = { national = \"90\", prefix = \"0\" }\n",
    ]);
    let mut order = order();
    order.caller_id = Some("+902120000000".parse().unwrap());
    order.script = Some(Script::Flow("https://ivr.example.test/other".to_owned()));
    order.locale = Some("tr-TR".to_owned());
    order.recipient =
        Recipient { name: "Jane \"J\" Roe".to_owned(), email: "jane@example.test".to_owned() };
    for (name, value) in [("zone", "2"), ("customer_name", "Ünal"), ("_first", "")] {
        order.variables.insert(name.to_owned(), value.to_owned());
    }
    let request = place(&*vendor, &order);
    assert_eq!(headers(&request), [("Project", String::new())]);
    assert_eq!(
        body(&request),
        concat!(
            r#"{"Project":"DemoProject","ConversationId":"3f0c2b1e-0000-4000-8000-000000000001","#,
            r#""AccessToken":"tok-1","ScenarioPath":"https://ivr.example.test/other","#,
            r#""OrchestratorUrl":"https://orchestrator.example.test","Tenant":"Acme","#,
            r#""EndUser":{"Name":"Jane \"J\" Roe","Phone":"05000000000","#,
            r#""Email":"jane@example.test"},"Locale":"tr-TR","#,
            r#""ScenarioInputParameters":[{"Name":"_DisplayNumber","Value":"+902120000000"},"#,
            r#"{"Name":"_Destination","Value":"05000000000"},{"Name":"_first","Value":""},"#,
            r#"{"Name":"customer_name","Value":"Ünal"},{"Name":"zone","Value":"2"}],"#,
            r#""ResultDestination":"https://gateway.test/callbacks/k/t0k3n-of-sixteen","#,
            r#""SendResultImmediately":true}"#,
        )
    );
    assert!(vendor.capabilities().push_results);
}

#[test]
fn the_header_of_the_project_has_three_forms() {
    for (choice, expected) in [
        ("name", vec![("Project", "DemoProject".to_owned())]),
        ("empty", vec![("Project", String::new())]),
        ("none", vec![]),
    ] {
        let vendor = vendor(&[TOKEN, SCENARIO, &format!("project_header = \"{choice}\"")]);
        assert_eq!(headers(&place(&*vendor, &order())), expected);
        let question = vendor.ask(&[placed(Some("a1"))], &CONTEXT).unwrap();
        assert_eq!(headers(&question), expected);
    }
}

#[test]
fn a_fetched_token_is_used() {
    let vendor = vendor(&[OAUTH, SCENARIO, "locale = \"en-US\"\n"]);
    let order = order();
    let outgoing = [Outgoing { id: id(), dial: 0, order: &order }];
    let fault = vendor.place(&outgoing, &CONTEXT).unwrap_err();
    assert_eq!((fault.cause, &*fault.reason), (Cause::Operator, "NO_TOKEN"));
    let token = Secret::new("fetched");
    let context = Context { token: Some(&token), ..CONTEXT };
    let text = body(&vendor.place(&outgoing, &context).unwrap());
    assert!(text.contains(r#""AccessToken":"fetched""#), "{text}");
    assert!(text.contains(r#""Locale":"en-US""#), "{text}");

    let request = vendor.token_request().unwrap();
    assert_eq!(request.url.as_str(), "https://identity.test/connect/token");
    let reply = HttpReply::json(200, r#"{"access_token":"x","expires_in":86399}"#);
    assert_eq!(vendor.read_token(&reply).unwrap().secret.expose(), "x");
    assert!(usual().token_request().is_none());
    usual().read_token(&reply).unwrap_err();
}

#[test]
fn what_the_vendor_can_not_do_is_named() {
    let bare = vendor(&[TOKEN]);
    assert_eq!(
        fields(&order(), &*bare),
        [(Cause::InvalidCall, "caller_id".to_owned()), (Cause::InvalidCall, "script".to_owned())]
    );
    let mut complete = order();
    complete.caller_id = Some("200".parse().unwrap());
    complete.script = Some(Script::Flow("https://ivr.example.test/s".to_owned()));
    assert_eq!(fields(&complete, &*bare), []);

    let mut wrong = order();
    wrong.to.push("+905000000001".parse().unwrap());
    wrong.script = Some(Script::Audio("https://sounds.test/a.mp3".to_owned()));
    wrong.retry = Some(Retry { interval: Duration::from_secs(300), max_attempts: 2 });
    for name in ["_Destination", "_displaynumber", "_other"] {
        wrong.variables.insert(name.to_owned(), "1".to_owned());
    }
    assert_eq!(
        fields(&wrong, &*usual()),
        [
            (Cause::Unsupported, "to".to_owned()),
            (Cause::Unsupported, "audio".to_owned()),
            (Cause::InvalidCall, "variables[\"_Destination\"]".to_owned()),
            (Cause::InvalidCall, "variables[\"_displaynumber\"]".to_owned()),
        ],
        "who dials again is the gateway, if need be"
    );
    let outgoing = [Outgoing { id: id(), dial: 0, order: &wrong }];
    assert_eq!(usual().place(&outgoing, &CONTEXT).unwrap_err().cause, Cause::InvalidCall);

    let mut single = order();
    single.retry = Some(Retry { interval: Duration::ZERO, max_attempts: 1 });
    assert_eq!(fields(&single, &*usual()), []);
    single.to.clear();
    assert_eq!(fields(&single, &*usual()), [(Cause::InvalidCall, "to".to_owned())]);
}

#[test]
fn numbers_of_another_country_are_named() {
    let turkish = vendor(&[TOKEN, SCENARIO, "number_format = { national = \"90\" }\n"]);
    assert_eq!(fields(&order(), &*turkish), []);
    let mut foreign = order();
    foreign.to = vec!["+919900000002".parse().unwrap()];
    assert_eq!(fields(&foreign, &*turkish), [(Cause::InvalidCall, "to[0]".to_owned())]);
    let outgoing = [Outgoing { id: id(), dial: 0, order: &foreign }];
    turkish.place(&outgoing, &CONTEXT).unwrap_err();
    let plus = vendor(&[TOKEN, SCENARIO, "number_format = \"e164\"\n"]);
    let text = body(&place(&*plus, &foreign));
    assert!(text.contains(r#""Phone":"+919900000002""#), "{text}");
    assert!(text.contains(r#"{"Name":"_Destination","Value":"+919900000002"}"#), "{text}");
}

#[test]
fn one_call_goes_in_one_request() {
    let order = order();
    let outgoing = [1, 2].map(|_| Outgoing { id: id(), dial: 0, order: &order });
    assert_eq!(usual().batches(&outgoing), [[0], [1]]);
    assert_eq!(usual().place(&outgoing, &CONTEXT).unwrap_err().cause, Cause::Unsupported);
    let reply = HttpReply::json(200, r#"{"UniqueId":"a1"}"#);
    for placement in usual().read_placement(&outgoing, &reply) {
        assert!(matches!(placement, Placement::Fault(fault) if fault.cause == Cause::InDoubt));
    }
    let placement = usual().read_placement(&outgoing[..1], &reply);
    assert!(matches!(&placement[..], [Placement::Accepted { .. }]));
}

#[test]
fn an_answer_that_quotes_the_request_shows_no_token() {
    let order = order();
    let outgoing = [Outgoing { id: id(), dial: 0, order: &order }];
    let quoted = body(&place(&*usual(), &order));
    let placement = usual().read_placement(&outgoing, &HttpReply::json(400, quoted));
    let [Placement::Fault(fault)] = &placement[..] else { panic!() };
    assert!(fault.message.contains(r#""AccessToken":"***""#), "{}", fault.message);
    assert!(!fault.message.contains("tok-1"));
}

#[test]
fn questions_are_asked_fifty_at_a_time() {
    let names: Vec<String> = (0..120).map(|n| format!("id-{n}")).collect();
    let mut calls: Vec<Placed<'_>> = names.iter().map(|name| placed(Some(name))).collect();
    calls[3] = placed(None);
    calls[4] = placed(Some(""));
    let questions = usual().questions(&calls);
    assert_eq!(questions.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 18]);
    let asked: Vec<usize> = questions.concat();
    let expected: Vec<usize> = (0..120).filter(|n| ![3, 4].contains(n)).collect();
    assert_eq!(asked, expected);

    let request = usual().ask(&calls[..4], &CONTEXT).unwrap();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url.as_str(), "https://va.example.test:22222/v2/callresult");
    assert_eq!(body(&request), r#"{"UniqueIds":["id-0","id-1","id-2"]}"#);
    assert!(usual().ask(&calls[3..5], &CONTEXT).is_none());
    assert!(usual().ask(&[], &CONTEXT).is_none());
    let reply = HttpReply::json(200, r#"{"CallResults":[]}"#);
    assert_eq!(usual().read_answer(&calls, &reply).unwrap().len(), 120);
}

#[test]
fn says_who_it_is() {
    let vendor = usual();
    assert_eq!((vendor.kind(), vendor.domain()), ("knovvu", "knovvu.com"));
    let can = vendor.capabilities();
    assert!(can.flows && can.caller_id && can.pull_results);
    assert!(!can.audio && !can.retries && !can.push_results && !can.schedules && !can.cancels);
}

proptest! {
    #[test]
    fn as_many_placements_as_orders(count in 0_usize..4, status in 100_u16..600, body: Vec<u8>) {
        let order = order();
        let outgoing = vec![Outgoing { id: id(), dial: 0, order: &order }; count];
        let reply = HttpReply::json(status, body);
        prop_assert_eq!(usual().read_placement(&outgoing, &reply).len(), count);
    }
}
