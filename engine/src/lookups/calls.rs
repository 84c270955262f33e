//! Answers by calls: each bounded in time, all of a lookup bounded in number, and one for a key however many events ask.
//!
//! How a service is asked is the business of a [`Transport`]; what is remembered of its answers, who waits for them, and what becomes of
//! a service that gives none ([`circuit`](super::circuit)), is the same for all and stands here. Calls are made by a thread of their own
//! ([`network`](super::network)). Whoever waits for one is told by a [`Bell`].

use super::circuit::{Circuit, Opening, PROBE_EVERY};
use super::grpc::Grpc;
use super::http::Http;
use super::network::Network;
use super::remembered::Remembered;
use super::{SAY_EVERY, answer};
use crate::metrics::Metrics;
use crate::seldom::Seldom;
use parking_lot::{Condvar, Mutex};
use prometheus::Histogram;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use veltrix_route_table::LookupCache;
use veltrix_route_table::limits::LOOKUP_CALLS;

/// How much later than its time a call may be found to have failed by those who wait for it: nobody waits for a thread that is gone.
const LATE: Duration = Duration::from_secs(1);

/// What came of a call.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Found(Arc<[u8]>),
    NotFound,
    Failed(Arc<str>),
}

impl Answer {
    /// What was found, or why that could not be found out.
    pub(crate) fn as_result(&self) -> Result<Option<&[u8]>, &str> {
        match self {
            Answer::Found(value) => Ok(Some(value)),
            Answer::NotFound => Ok(None),
            Answer::Failed(why) => Err(why),
        }
    }
}

/// Wakes a router that waits for answers.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    has_rung: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.has_rung.lock() = true;
        self.rung.notify_one();
    }

    /// Waits until it has rung since the last time, or until `time` is over.
    pub(crate) fn wait(&self, time: Duration) {
        let mut has_rung = self.has_rung.lock();
        if !*has_rung {
            let _timed_out = self.rung.wait_for(&mut has_rung, time);
        }
        *has_rung = false;
    }
}

/// What is asked for one key: by one event or many, and alone or in a list.
#[derive(Debug)]
pub(crate) struct Call {
    began: Instant,
    answer: OnceLock<Answer>,
    waiting: Mutex<Vec<Arc<Bell>>>,
}

impl Call {
    fn new(bell: &Arc<Bell>) -> Call {
        Call { began: Instant::now(), answer: OnceLock::new(), waiting: Mutex::new(vec![Arc::clone(bell)]) }
    }

    /// One that is not made.
    fn refused(why: Arc<str>) -> Call {
        Call { began: Instant::now(), answer: Answer::Failed(why).into(), waiting: Mutex::default() }
    }

    /// The first answer counts.
    fn end(&self, answer: Answer) {
        let _first = self.answer.set(answer);
        // In this order: who puts a bell here after that finds the answer.
        std::mem::take(&mut *self.waiting.lock()).iter().for_each(|bell| bell.ring());
    }
}

/// What a service says of a key; `None`: it knows nothing.
pub(super) type Known = Option<Arc<[u8]>>;

/// Why a key has no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The service answers, but nothing that can be used for this key.
    OfKey(String),
    /// It does not answer, or says that it can't.
    OfService(String),
}

impl Failure {
    fn why(&self) -> &str {
        match self {
            Failure::OfKey(why) | Failure::OfService(why) => why,
        }
    }
}

/// How a service is asked.
#[derive(Debug)]
pub(super) enum Transport {
    Http(Http),
    Grpc(Grpc),
}

impl Transport {
    /// Why this key can't be asked for; `None`: it can.
    fn refuses(&self, key: &[u8]) -> Option<&'static str> {
        match self {
            Transport::Http(_) => Http::refuses(key),
            Transport::Grpc(_) => Grpc::refuses(key),
        }
    }

    fn keys_per_call(&self) -> usize {
        match self {
            Transport::Http(_) => 1,
            Transport::Grpc(_) => Grpc::KEYS_PER_CALL,
        }
    }

    /// Asks for keys, as many as go into one call; what comes of each, in their order.
    async fn ask(&self, keys: &[&[u8]], deadline: Instant) -> Vec<Result<Known, Failure>> {
        match self {
            Transport::Http(http) => {
                let mut all = Vec::with_capacity(keys.len());
                for key in keys {
                    all.push(http.get(key).await);
                }
                all
            }
            Transport::Grpc(grpc) => match grpc.ask(keys, deadline).await {
                Ok(all) => all,
                Err(failure) => keys.iter().map(|_| Err(failure.clone())).collect(),
            },
        }
    }

    /// Leaves connections behind that may be dead.
    fn renew(&self) {
        match self {
            // A connection whose answer was not waited for is not used again anyway.
            Transport::Http(_) => {}
            Transport::Grpc(grpc) => grpc.renew(),
        }
    }
}

/// An answer of a service, if it is one: this long at most, and JSON.
pub(super) fn value_of(json: &[u8]) -> Result<Arc<[u8]>, Failure> {
    match answer::check(json) {
        Ok(()) => Ok(json.into()),
        Err(unfit) => Err(Failure::OfKey(unfit.to_string())),
    }
}

/// A lookup by calls.
#[derive(Debug)]
pub(crate) struct Caller {
    id: String,
    transport: Transport,
    timeout: Duration,
    remembered: Option<Remembered>,
    under_way: Mutex<HashMap<Box<[u8]>, Arc<Call>>>,
    /// Those of `under_way` that [`Caller::send`] has not sent yet.
    unsent: Mutex<Asked>,
    /// One for each key.
    permits: Semaphore,
    circuit: Circuit,
    failures: Mutex<Seldom>,
    network: Arc<Network>,
    seconds: Histogram,
}

type Asked = Vec<(Box<[u8]>, Arc<Call>)>;

impl Caller {
    pub(super) fn new(
        id: &str,
        transport: Transport,
        timeout: Duration,
        cache: Option<&LookupCache>,
        network: Arc<Network>,
        metrics: &Metrics,
    ) -> Caller {
        Caller {
            id: id.to_owned(),
            transport,
            timeout,
            remembered: cache.map(Remembered::new),
            under_way: Mutex::default(),
            unsent: Mutex::default(),
            permits: Semaphore::new(LOOKUP_CALLS.max as usize),
            circuit: Circuit::new(id, metrics.lookup_circuit_open.with_label_values(&[id])),
            failures: Mutex::default(),
            network,
            seconds: metrics.lookup_seconds.with_label_values(&[id]),
        }
    }

    /// The answer that is remembered, if one is.
    pub(crate) fn remembered(&self, key: &[u8]) -> Option<Answer> {
        let value = self.remembered.as_ref()?.get(key)?;
        Some(value.map_or(Answer::NotFound, Answer::Found))
    }

    /// The call for `key` that is under way, or a new one, which [`Caller::send`] sends. `bell` rings when it is over.
    pub(crate) fn call(&self, key: &[u8], bell: &Arc<Bell>) -> Arc<Call> {
        let mut under_way = self.under_way.lock();
        if let Some(call) = under_way.get(key) {
            call.waiting.lock().push(Arc::clone(bell));
            return Arc::clone(call);
        }
        if let Some(why) = self.transport.refuses(key) {
            self.say_failed(why);
            return Arc::new(Call::refused(why.into()));
        }
        if let Some(why) = self.circuit.refuses(key) {
            return Arc::new(Call::refused(why));
        }
        let call = Arc::new(Call::new(bell));
        under_way.insert(key.into(), Arc::clone(&call));
        self.unsent.lock().push((key.into(), Arc::clone(&call)));
        call
    }

    /// Sends what was asked for and is not sent yet, whoever asked, in as few calls as there can be.
    pub(crate) fn send(self: &Arc<Self>) {
        let mut unsent = std::mem::take(&mut *self.unsent.lock());
        while !unsent.is_empty() {
            let rest = unsent.split_off(unsent.len().min(self.transport.keys_per_call()));
            let ending = Ending { caller: Arc::clone(self), calls: std::mem::replace(&mut unsent, rest) };
            self.network.handle.spawn(ending.make());
        }
    }

    /// What came of a call; `None`: it is under way.
    pub(crate) fn answer_of(&self, call: &Call) -> Option<Answer> {
        let is_late = || call.began.elapsed() > self.timeout + LATE;
        call.answer.get().cloned().or_else(|| is_late().then(|| Answer::Failed("the call was never made".into())))
    }

    /// Asks for keys in one call, and notes what that says of the service.
    async fn ask(self: &Arc<Self>, keys: &[&[u8]], began: Instant) -> Vec<Result<Known, Failure>> {
        let deadline = began + self.timeout;
        let asking = async {
            match self.permits.acquire_many(u32::try_from(keys.len()).unwrap_or(u32::MAX)).await {
                Ok(_permits) => self.transport.ask(keys, deadline).await,
                Err(_) => vec![Err(Failure::OfService("no call can be made".to_owned())); keys.len()],
            }
        };
        let result = tokio::time::timeout_at(deadline.into(), asking).await;
        let in_time = result.unwrap_or_else(|_| {
            let why = format!("no answer within {:?}", self.timeout);
            vec![Err(Failure::OfService(why)); keys.len()]
        });
        self.seconds.observe(began.elapsed().as_secs_f64());
        self.note(keys, began, &in_time);
        in_time
    }

    /// Notes what a call says of the service.
    fn note(self: &Arc<Self>, keys: &[&[u8]], began: Instant, results: &[Result<Known, Failure>]) {
        let of_service = results.iter().zip(keys).map(|(result, key)| match result {
            Err(Failure::OfService(why)) => Some((key, why)),
            _ => None,
        });
        // One that answers for some keys is alive.
        match of_service.collect::<Option<Vec<_>>>().as_deref() {
            Some([(key, why), ..]) => {
                if let Some(opening) = self.circuit.failed(began, key, why) {
                    self.transport.renew();
                    self.network.handle.spawn(Caller::probe(Arc::downgrade(self), opening));
                }
            }
            _ => self.circuit.answered(),
        }
    }

    /// Asks every now and then until there is an answer, or nobody needs any.
    async fn probe(caller: Weak<Caller>, opening: Opening) {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            let Some(caller) = caller.upgrade() else { return };
            let Some(key) = caller.circuit.probe(opening) else { return };
            for result in caller.ask(&[&key], Instant::now()).await {
                match result {
                    Ok(known) => caller.remember(&key, &known),
                    Err(Failure::OfService(_)) => caller.transport.renew(),
                    Err(Failure::OfKey(_)) => {}
                }
            }
        }
    }

    fn remember(&self, key: &[u8], known: &Known) {
        if let Some(remembered) = &self.remembered {
            remembered.put(key.into(), known.clone());
        }
    }

    /// Says that calls fail, not for each of them.
    fn say_failed(&self, why: &str) {
        let mut failures = self.failures.lock();
        failures.note();
        let told = failures.tell(SAY_EVERY, Instant::now());
        drop(failures);
        if let Some(count) = told {
            tracing::warn!(lookup = self.id, not_shown = count - 1, "a call has failed: {why}");
        }
    }
}

/// Sees to it that calls end, whatever becomes of the task that makes them.
struct Ending {
    caller: Arc<Caller>,
    /// Not empty.
    calls: Asked,
}

impl Ending {
    async fn make(self) {
        let Ending { caller, calls } = &self;
        let keys: Vec<&[u8]> = calls.iter().map(|(key, _)| &**key).collect();
        let began = calls.iter().map(|(_, call)| call.began).min().unwrap_or_else(Instant::now);
        let results = caller.ask(&keys, began).await;
        for ((key, call), result) in calls.iter().zip(results) {
            let answer = match result {
                Ok(known) => {
                    caller.remember(key, &known);
                    known.map_or(Answer::NotFound, Answer::Found)
                }
                Err(failure) => {
                    caller.say_failed(failure.why());
                    Answer::Failed(failure.why().into())
                }
            };
            let _first = call.answer.set(answer);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Remembered before it is under way no more: who asks meanwhile finds one of the two.
        let mut under_way = self.caller.under_way.lock();
        self.calls.iter().for_each(|(key, _)| {
            under_way.remove(key);
        });
        drop(under_way);
        self.calls.iter().for_each(|(_, call)| call.end(Answer::Failed("the call was given up".into())));
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
