//! Callers as they should be: each request has an id, and is repeated under it until it is
//! answered. And some as they are: impatient ones, and ones that die themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dialplane::proto::{
    Call, CallSpec, CreateCallsRequest, CreateCallsResponse, call_service_client::CallServiceClient,
};
use prost::Message;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::pb;

use crate::{
    chance::Chance,
    town::{PATIENCE, ROUTES, Town},
};

/// How many there are.
const CALLERS: u64 = 12;
/// How many people each of them may call.
const NUMBERS: u64 = 80_000;

/// One request and what its caller knows of it.
#[derive(Debug)]
pub struct Placed {
    pub id: String,
    /// Whom each of its calls is for; nobody is called by two.
    pub numbers: Vec<String>,
    /// The ids that its calls were given, as far as an answer told them. None: it was never
    /// answered.
    pub told: Option<Vec<String>>,
    /// How often it was sent.
    pub sent: u64,
    /// What a repetition told that it must not.
    pub wrong: Vec<String>,
}

/// The callers, at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Vec<Placed>>,
}

/// Lets them begin.
pub fn start(town: &Town, mut chance: Chance) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let caller = Caller {
            name: caller,
            orders: chance.branch(),
            chance: chance.branch(),
            client: town.client(),
            numbers: 0,
        };
        callers.spawn(caller.work(Arc::clone(&stop)));
    }
    Load { stop, callers }
}

impl Load {
    /// Lets each finish the request it has begun. Gives all requests there were.
    pub async fn finish(mut self) -> Vec<Placed> {
        self.stop.store(true, Relaxed);
        let mut all = Vec::new();
        while let Some(placed) = self.callers.join_next().await {
            all.extend(placed.unwrap());
        }
        all
    }
}

struct Caller {
    name: u64,
    /// Of what it asks for; of its own, so that a seed gives the same requests again however
    /// often each has to be repeated.
    orders: Chance,
    /// Of how it behaves.
    chance: Chance,
    client: CallServiceClient<Channel>,
    /// How many numbers it has used.
    numbers: u64,
}

impl Caller {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Vec<Placed> {
        let mut all = Vec::new();
        while !stop.load(Relaxed) {
            let request = self.request(all.len());
            all.push(self.place(request).await);
            sleep(Duration::from_millis(self.chance.below(20))).await;
        }
        all
    }

    fn request(&mut self, count: usize) -> CreateCallsRequest {
        let size = match self.orders.below(10) {
            0..5 => 1,
            5..8 => 2 + self.orders.below(7),
            _ => 9 + self.orders.below(52),
        };
        // One bad number may spoil a whole batch, so most requests have none.
        let troubled = self.orders.one_in(4);
        let calls = (0..size).map(|n| self.call(n, troubled && n == size / 2)).collect();
        CreateCallsRequest {
            request_id: format!("caller-{}-{count}", self.name),
            route: self.orders.pick(&ROUTES).0.to_owned(),
            calls,
            ..Default::default()
        }
    }

    fn call(&mut self, n: u64, troubled: bool) -> CallSpec {
        // The sandbox goes by the last two digits.
        let ending = if troubled {
            10 + self.orders.below(8)
        } else {
            self.orders.pick(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 20])
        };
        assert!(self.numbers < NUMBERS, "out of numbers");
        let number = self.name * NUMBERS + self.numbers;
        self.numbers += 1;
        CallSpec {
            to: vec![format!("+9199{number:06}{ending:02}")],
            client_reference: format!("order-{n}"),
            variables: [("name".to_owned(), "Asha".to_owned()), ("due".to_owned(), n.to_string())]
                .into(),
            labels: [("batch".to_owned(), self.name.to_string())].into(),
            ..Default::default()
        }
    }

    /// Sends a request until it is answered, and sometimes once more.
    async fn place(&mut self, request: CreateCallsRequest) -> Placed {
        let numbers = request.calls.iter().map(|call| call.to[0].clone()).collect();
        let id = request.request_id.clone();
        let mut placed = Placed { id, numbers, told: None, sent: 0, wrong: Vec::new() };
        // One that dies after it has sent it: nobody repeats it.
        let dies = self.chance.one_in(40);
        let begun = Instant::now();
        while placed.told.is_none() {
            assert!(begun.elapsed() < PATIENCE, "no answer to {}", placed.id);
            let answer = self.send(&request, &mut placed).await;
            match answer {
                Some(answer) => placed.note(answer),
                None if dies => return placed,
                None => sleep(Duration::from_millis(5 + self.chance.below(40))).await,
            }
        }
        if self.chance.one_in(10)
            && let Some(again) = self.send(&request, &mut placed).await
        {
            placed.note(again);
        }
        placed
    }

    /// Sends it once. None: it is not known what became of it.
    async fn send(
        &mut self,
        request: &CreateCallsRequest,
        placed: &mut Placed,
    ) -> Option<CreateCallsResponse> {
        placed.sent += 1;
        let mut request = Request::new(request.clone());
        let patience = match self.chance.below(20) {
            // A deadline that the gateway is told.
            0 => {
                request.set_timeout(Duration::from_millis(1 + self.chance.below(60)));
                PATIENCE
            }
            // A caller that hangs up.
            1 => Duration::from_millis(self.chance.below(60)),
            _ => PATIENCE,
        };
        match timeout(patience, self.client.create_calls(request)).await {
            Ok(Ok(answer)) => Some(answer.into_inner()),
            Ok(Err(status)) => answered(&status, placed),
            Err(_) => None,
        }
    }
}

impl Placed {
    fn note(&mut self, answer: CreateCallsResponse) {
        let ids: Vec<String> = answer.calls.iter().map(|call| call.call_id.clone()).collect();
        let Some(told) = &mut self.told else {
            if answer.request_id != self.id {
                self.wrong.push(format!("{} is answered as {}", self.id, answer.request_id));
            }
            for (call, number) in answer.calls.iter().zip(&self.numbers) {
                if !is_for(call, number) {
                    self.wrong.push(format!("{}: the answer has another's calls", self.id));
                }
            }
            self.told = Some(ids);
            return;
        };
        // An error has room for some of them only.
        let both = told.len().min(ids.len());
        if told[..both] != ids[..both] {
            self.wrong.push(format!("{}: a repetition has other calls", self.id));
        }
        if !answer.replayed {
            self.wrong.push(format!("{}: a repetition is not marked", self.id));
        }
        if ids.len() > told.len() {
            *told = ids;
        }
    }
}

/// Whether a call is the one for this number.
pub fn is_for(call: &Call, number: &str) -> bool {
    call.to.len() == 1 && call.to[0].trim_start_matches('+') == number.trim_start_matches('+')
}

/// What an error says: that all calls were refused, which is an answer and packed into it;
/// or that it is not known, or not done, which has to be repeated.
fn answered(status: &Status, placed: &mut Placed) -> Option<CreateCallsResponse> {
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let packed = details.iter().find(|any| any.type_url.ends_with("CreateCallsResponse"));
    if let Some(any) = packed {
        return Some(CreateCallsResponse::decode(any.value.as_slice()).unwrap());
    }
    let again = matches!(
        status.code(),
        // A broken connection is any of these, whichever layer noticed it.
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::ResourceExhausted
    );
    if !again {
        placed.wrong.push(format!("{}: {status:?}", placed.id));
    }
    None
}
