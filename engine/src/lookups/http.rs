//! Answers by HTTP: each call bounded in time, all of a lookup bounded in number, and one for a key however many events ask.
//!
//! All calls of an engine are made by one thread of their own ([`Calls`]), so that they neither wait for the engine's other tasks nor
//! hold these up. Whoever waits for a call is told by a [`Bell`].

use super::remembered::Remembered;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::{Condvar, Mutex};
use prometheus::Histogram;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{self, Handle};
use tokio::sync::{Semaphore, oneshot};
use veltrix_route_table::LookupCache;
use veltrix_route_table::limits::{LOOKUP_ANSWER_BYTES, LOOKUP_CALLS};

/// Connections that are kept for a host while they have nothing to do.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// How much later than its time a call may be found to have failed by those who wait for it: nobody waits for a thread that is gone.
const LATE: Duration = Duration::from_secs(1);
/// Between two log lines that say that calls of a lookup fail.
const SAY_EVERY: Duration = Duration::from_secs(10);

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

/// One call, or one that is over.
#[derive(Debug)]
pub(crate) struct Call {
    began: Instant,
    answer: OnceLock<Answer>,
    waiting: Mutex<Vec<Arc<Bell>>>,
}

impl Call {
    /// The first answer counts.
    fn end(&self, answer: Answer) {
        let _first = self.answer.set(answer);
        // In this order: who puts a bell here after that finds the answer.
        std::mem::take(&mut *self.waiting.lock()).iter().for_each(|bell| bell.ring());
    }
}

/// The thread that makes calls, and what it makes them with.
#[derive(Debug)]
pub(super) struct Calls {
    handle: Handle,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Ends the thread when it is dropped.
    _running: oneshot::Sender<()>,
}

impl Calls {
    pub(super) fn start() -> io::Result<Calls> {
        // The trust of this machine: most lookups go to the operator's own services, whose certificates are of an authority that only the
        // operator knows. Without any trust, what is called by `http://` can still be called.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(io::Error::other)?;
        let tls = match tls.clone().with_native_roots() {
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(
                    "this machine has no certificates to trust, so that no lookup by `https://` can be made: {error}"
                );
                tls.with_root_certificates(rustls::RootCertStore::empty())
            }
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth()).https_or_http();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector.enable_http1().build());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("lookup-calls".to_owned()).spawn(move || {
            let _gone = runtime.block_on(ended);
        })?;
        Ok(Calls { handle, client, _running: running })
    }
}

/// A lookup by HTTP.
#[derive(Debug)]
pub(crate) struct Caller {
    id: String,
    before: String,
    after: String,
    timeout: Duration,
    remembered: Option<Remembered>,
    under_way: Mutex<HashMap<Box<[u8]>, Arc<Call>>>,
    permits: Semaphore,
    failures: Mutex<Failures>,
    calls: Arc<Calls>,
    seconds: Histogram,
}

/// What the log was told of failures.
#[derive(Debug, Default)]
struct Failures {
    said: Option<Instant>,
    not_shown: u64,
}

/// What is called: an `http` URL around the key.
pub(super) struct Target<'t> {
    pub(super) before: &'t str,
    pub(super) after: &'t str,
    pub(super) timeout: Duration,
}

impl Caller {
    pub(super) fn new(
        id: &str,
        target: &Target<'_>,
        cache: Option<&LookupCache>,
        calls: Arc<Calls>,
        seconds: Histogram,
    ) -> Caller {
        Caller {
            id: id.to_owned(),
            before: target.before.to_owned(),
            after: target.after.to_owned(),
            timeout: target.timeout,
            remembered: cache.map(Remembered::new),
            under_way: Mutex::default(),
            permits: Semaphore::new(LOOKUP_CALLS.max as usize),
            failures: Mutex::default(),
            calls,
            seconds,
        }
    }

    /// The answer that is remembered, if one is.
    pub(crate) fn remembered(&self, key: &[u8]) -> Option<Answer> {
        let value = self.remembered.as_ref()?.get(key)?;
        Some(value.map_or(Answer::NotFound, Answer::Found))
    }

    /// The call for `key` that is under way, or a new one. `bell` rings when it is over.
    pub(crate) fn call(self: &Arc<Self>, key: &[u8], bell: &Arc<Bell>) -> Arc<Call> {
        let mut under_way = self.under_way.lock();
        if let Some(call) = under_way.get(key) {
            call.waiting.lock().push(Arc::clone(bell));
            return Arc::clone(call);
        }
        let waiting = Mutex::new(vec![Arc::clone(bell)]);
        let call = Arc::new(Call { began: Instant::now(), answer: OnceLock::new(), waiting });
        under_way.insert(key.into(), Arc::clone(&call));
        drop(under_way);
        let ending = Ending { caller: Arc::clone(self), key: key.into(), call: Arc::clone(&call) };
        self.calls.handle.spawn(ending.make());
        call
    }

    /// What came of a call; `None`: it is under way.
    pub(crate) fn answer_of(&self, call: &Call) -> Option<Answer> {
        let is_late = || call.began.elapsed() > self.timeout + LATE;
        call.answer.get().cloned().or_else(|| is_late().then(|| Answer::Failed("the call was never made".into())))
    }

    /// Asks for one key. `None`: nothing is known of it.
    async fn get(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, String> {
        let Ok(_permit) = self.permits.acquire().await else { return Err("no call can be made".to_owned()) };
        if matches!(key, b"." | b"..") {
            // Even percent-encoded they would lead to another path.
            return Err("the key is a step in a path".to_owned());
        }
        let url = url_of(&self.before, key, &self.after);
        let url: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
        let response = self.calls.client.get(url).await.map_err(|error| chain(&error))?;
        let (head, body) = response.into_parts();
        // Also of answers that say nothing: a connection whose answer was not read can't be used again.
        let body = Limited::new(body, LOOKUP_ANSWER_BYTES.max as usize).collect().await;
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => {
                let body = body.map_err(|error| format!("the answer can't be read: {error}"))?.to_bytes();
                match serde_json::from_slice::<IgnoredAny>(&body) {
                    Ok(_) => Ok(Some((*body).into())),
                    Err(error) => Err(format!("the answer is no JSON: {error}")),
                }
            }
            status => Err(format!("the answer is {status}")),
        }
    }

    /// Says that calls fail, not for each of them.
    fn say_failed(&self, why: &str) {
        let mut failures = self.failures.lock();
        if failures.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            failures.not_shown += 1;
            return;
        }
        let Failures { not_shown, .. } =
            std::mem::replace(&mut *failures, Failures { said: Some(Instant::now()), not_shown: 0 });
        drop(failures);
        tracing::warn!(lookup = self.id, not_shown, "a call has failed: {why}");
    }
}

/// Sees to it that a call ends, whatever becomes of the task that makes it.
struct Ending {
    caller: Arc<Caller>,
    key: Box<[u8]>,
    call: Arc<Call>,
}

impl Ending {
    async fn make(self) {
        let Ending { caller, key, call } = &self;
        let result = tokio::time::timeout(caller.timeout, caller.get(key)).await;
        caller.seconds.observe(call.began.elapsed().as_secs_f64());
        let answer = match result.unwrap_or_else(|_| Err(format!("no answer within {:?}", caller.timeout))) {
            Ok(value) => {
                if let Some(remembered) = &caller.remembered {
                    remembered.put(key.clone(), value.clone());
                }
                value.map_or(Answer::NotFound, Answer::Found)
            }
            Err(why) => {
                caller.say_failed(&why);
                Answer::Failed(why.into())
            }
        };
        let _first = call.answer.set(answer);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Remembered before it is under way no more: who asks meanwhile finds one of the two.
        self.caller.under_way.lock().remove(&self.key);
        self.call.end(Answer::Failed("the call was given up".into()));
    }
}

/// The URL of a key, which is percent-encoded but for what never needs it.
fn url_of(before: &str, key: &[u8], after: &str) -> String {
    let mut url = String::with_capacity(before.len() + 3 * key.len() + after.len());
    url.push_str(before);
    for byte in key {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(*byte)),
            byte => {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url.push_str(after);
    url
}

/// An error and what it is because of.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{Path, State};
    use axum::http::StatusCode;
    use axum::routing::get;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How often the server was asked, and whether it answers.
    struct Server {
        asked: AtomicUsize,
        gate: Semaphore,
    }

    async fn answer(State(server): State<Arc<Server>>, Path(key): Path<String>) -> (StatusCode, String) {
        server.asked.fetch_add(1, Ordering::Relaxed);
        match key.as_str() {
            "404" => (StatusCode::NOT_FOUND, "{}".to_owned()),
            "204" => (StatusCode::NO_CONTENT, String::new()),
            "500" => (StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
            "302" => (StatusCode::FOUND, "{}".to_owned()),
            "text" => (StatusCode::OK, "no json".to_owned()),
            "large" => (StatusCode::OK, format!("\"{}\"", "x".repeat(LOOKUP_ANSWER_BYTES.max as usize))),
            "never" => std::future::pending().await,
            "gate" => {
                let _open = server.gate.acquire().await;
                (StatusCode::OK, "1".to_owned())
            }
            other => (StatusCode::OK, format!("{{\"key\": {other:?}}}")),
        }
    }

    async fn serve() -> (Arc<Server>, String) {
        let server = Arc::new(Server { asked: AtomicUsize::new(0), gate: Semaphore::new(0) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let before = format!("http://{}/players/", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/players/{key}", get(answer)).with_state(Arc::clone(&server));
        tokio::spawn(axum::serve(listener, router).into_future());
        (server, before)
    }

    fn caller(before: &str, timeout: Duration, cache: Option<&LookupCache>) -> Arc<Caller> {
        let target = Target { before, after: "?v=2", timeout };
        let seconds = crate::metrics::Metrics::new().unwrap().lookup_seconds.with_label_values(&["player"]);
        Arc::new(Caller::new("player", &target, cache, Arc::new(Calls::start().unwrap()), seconds))
    }

    /// Waits until the call is over.
    fn answer_of(caller: &Caller, call: &Call, bell: &Bell) -> String {
        let answer = loop {
            match caller.answer_of(call) {
                Some(answer) => break answer,
                None => bell.wait(Duration::from_secs(60)),
            }
        };
        match answer.as_result() {
            Ok(value) => value.map_or("nothing".to_owned(), |value| String::from_utf8_lossy(value).into_owned()),
            Err(why) => format!("failed: {why}"),
        }
    }

    fn ask(caller: &Arc<Caller>, key: &[u8]) -> String {
        let bell = Arc::default();
        let call = caller.call(key, &bell);
        answer_of(caller, &call, &bell)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_answered_means_what_the_contract_says() {
        let (_server, before) = serve().await;
        let patient = caller(&before, Duration::from_secs(60), None);
        assert_eq!(ask(&patient, b"p7"), "{\"key\": \"p7\"}");
        assert_eq!(ask(&patient, "a/b ?%\u{e9}".as_bytes()), "{\"key\": \"a/b ?%\u{e9}\"}");
        assert_eq!((ask(&patient, b"404"), ask(&patient, b"204")), ("nothing".to_owned(), "nothing".to_owned()));
        for (key, why) in
            [("500", "500"), ("302", "302"), ("text", "no JSON"), ("large", "can't be read"), ("..", "step")]
        {
            let told = ask(&patient, key.as_bytes());
            assert!(told.starts_with("failed: ") && told.contains(why), "{key}: {told}");
        }
        let hurried = caller(&before, Duration::from_millis(50), None);
        assert_eq!(ask(&hurried, b"never"), "failed: no answer within 50ms");
        let nobody = caller("http://127.0.0.1:1/", Duration::from_secs(60), None);
        assert!(ask(&nobody, b"p7").contains("refused"), "{}", ask(&nobody, b"p7"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_is_asked_for_once_however_many_wait_and_not_again_while_it_is_remembered() {
        let (server, before) = serve().await;
        let long = Duration::from_secs(3_600);
        let cache = LookupCache { entries: 10, ttl: long, negative_ttl: Duration::ZERO };
        let caller = caller(&before, Duration::from_secs(60), Some(&cache));
        let bells = [Arc::<Bell>::default(), Arc::default()];
        let calls = bells.each_ref().map(|bell| caller.call(b"gate", bell));
        server.gate.close();
        for (call, bell) in calls.iter().zip(&bells) {
            assert_eq!(answer_of(&caller, call, bell), "1");
        }
        assert_eq!(server.asked.load(Ordering::Relaxed), 1);
        assert!(matches!(caller.remembered(b"gate"), Some(Answer::Found(value)) if *value == *b"1"));
        // What was not found is not remembered here, nor what failed.
        for _ in 0..2 {
            assert_eq!(ask(&caller, b"404"), "nothing");
            assert!(ask(&caller, b"500").starts_with("failed"));
        }
        assert_eq!(server.asked.load(Ordering::Relaxed), 5);
        assert!(caller.remembered(b"404").is_none() && caller.remembered(b"500").is_none());
        assert_eq!(caller.under_way.lock().len(), 0);
    }
}
