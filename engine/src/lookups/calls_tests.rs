//! Calls over real sockets, by HTTP and by gRPC.

use super::super::circuit::FAILURES_IN_A_ROW;
use super::*;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use veltrix_proto::v1::lookup_service_server::{LookupService, LookupServiceServer};
use veltrix_proto::v1::{LookupAnswer, LookupRequest, LookupResponse};
use veltrix_route_table::limits::LOOKUP_ANSWER_BYTES;

const PATIENCE: Duration = Duration::from_secs(60);

/// How often the server was asked, and whether it answers.
struct Server {
    asked: AtomicUsize,
    hangs: AtomicBool,
    gate: Semaphore,
}

async fn answer(State(server): State<Arc<Server>>, Path(key): Path<String>) -> (StatusCode, Vec<u8>) {
    server.asked.fetch_add(1, Ordering::Relaxed);
    if server.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let (status, body) = match key.as_str() {
        "404" => (StatusCode::NOT_FOUND, "{}".to_owned()),
        "204" => (StatusCode::NO_CONTENT, String::new()),
        "500" => (StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
        "302" => (StatusCode::FOUND, "{}".to_owned()),
        "text" => (StatusCode::OK, "no json".to_owned()),
        "latin" => return (StatusCode::OK, b"{\"tier\":\"gold\xff\"}".to_vec()),
        "large" => (StatusCode::OK, format!("\"{}\"", "x".repeat(LOOKUP_ANSWER_BYTES.max as usize))),
        "never" => std::future::pending().await,
        "gate" => {
            let _open = server.gate.acquire().await;
            (StatusCode::OK, "1".to_owned())
        }
        other => (StatusCode::OK, format!("{{\"key\": {other:?}}}")),
    };
    (status, body.into_bytes())
}

async fn serve() -> (Arc<Server>, String) {
    let server =
        Arc::new(Server { asked: AtomicUsize::new(0), hangs: AtomicBool::new(false), gate: Semaphore::new(0) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let before = format!("http://{}/players/", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/players/{key}", get(answer)).with_state(Arc::clone(&server));
    tokio::spawn(axum::serve(listener, router).into_future());
    (server, before)
}

fn caller(before: &str, timeout: Duration, cache: Option<&LookupCache>) -> Arc<Caller> {
    let network = Arc::new(Network::start().unwrap());
    let transport = Transport::Http(Http::new(before, "?v=2", Arc::clone(&network)));
    Arc::new(Caller::new("player", transport, timeout, cache, network, &Metrics::new().unwrap()))
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
    caller.send();
    answer_of(caller, &call, &bell)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_means_what_the_contract_says() {
    let (_server, before) = serve().await;
    let patient = caller(&before, Duration::from_secs(60), None);
    assert_eq!(ask(&patient, b"p7"), "{\"key\": \"p7\"}");
    assert_eq!(ask(&patient, "a/b ?%\u{e9}".as_bytes()), "{\"key\": \"a/b ?%\u{e9}\"}");
    assert_eq!((ask(&patient, b"404"), ask(&patient, b"204")), ("nothing".to_owned(), "nothing".to_owned()));
    for (key, why) in [
        ("500", "500"),
        ("302", "302"),
        ("text", "no JSON"),
        ("latin", "no JSON: byte 13"),
        ("large", "can't be read"),
        ("..", "step"),
    ] {
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
    caller.send();
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

/// As the other one, by gRPC. What it was asked: each call's keys.
#[derive(Default)]
struct GrpcServer {
    calls: Mutex<Vec<Vec<String>>>,
    hangs: AtomicBool,
}

#[tonic::async_trait]
impl LookupService for GrpcServer {
    async fn lookup(&self, request: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        let timeout = request.metadata().get("grpc-timeout").map(|value| value.to_str().unwrap().to_owned());
        let LookupRequest { lookup, keys } = request.into_inner();
        assert_eq!(lookup, "player");
        self.calls.lock().push(keys.clone());
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let mut answers = Vec::new();
        for key in keys {
            let mut answer = LookupAnswer::default();
            match key.as_str() {
                "nobody" => {}
                "busy" => answer.failed = "try again".to_owned(),
                "text" => answer.json = Some("no json".to_owned()),
                "large" => answer.json = Some(format!("\"{}\"", "x".repeat(LOOKUP_ANSWER_BYTES.max as usize - 1))),
                "deadline" => answer.json = Some(format!("{timeout:?}").replace("Some(", "").replace(')', "")),
                "never" => std::future::pending().await,
                "few" => continue,
                key => match key.strip_prefix("status ") {
                    Some(code) => return Err(Status::new(Code::from_bytes(code.as_bytes()), "because")),
                    None => answer.json = Some(format!("{{\"key\": {key:?}}}")),
                },
            }
            answers.push(answer);
        }
        Ok(Response::new(LookupResponse { answers }))
    }
}

async fn serve_grpc() -> (Arc<GrpcServer>, String) {
    let server = Arc::new(GrpcServer::default());
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let service = LookupServiceServer::from_arc(Arc::clone(&server));
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    (server, endpoint)
}

fn grpc_caller(endpoint: &str, timeout: Duration, cache: Option<&LookupCache>) -> Arc<Caller> {
    let network = Arc::new(Network::start().unwrap());
    let transport = Transport::Grpc(Grpc::new("player", network.peer(endpoint).unwrap()));
    Arc::new(Caller::new("player", transport, timeout, cache, network, &Metrics::new().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grpc_service_says_means_what_the_contract_says() {
    let (server, endpoint) = serve_grpc().await;
    let patient = grpc_caller(&endpoint, PATIENCE, None);
    for key in ["p7", "a/b ?%\u{e9}", "..", ""] {
        assert_eq!(ask(&patient, key.as_bytes()), format!("{{\"key\": {key:?}}}"));
    }
    assert_eq!((ask(&patient, b"nobody"), ask(&patient, b"status 5")), ("nothing".to_owned(), "nothing".to_owned()));
    let deadline = ask(&patient, b"deadline");
    assert!(deadline.starts_with("\"59") && deadline.ends_with('"'), "{deadline}");
    let cases = [
        ("busy", "failed: try again"),
        ("text", "the answer is no JSON"),
        ("large", "the limit `lookup_answer_bytes`"),
        ("few", "0 answer(s) to 1 key(s)"),
        ("status 13", "the status is Internal: "),
        ("status 3", "the status is InvalidArgument: "),
        ("status 3", "because"),
    ];
    for (key, why) in cases {
        let told = ask(&patient, key.as_bytes());
        assert!(told.starts_with("failed: ") && told.contains(why), "{key}: {told}");
    }
    let before = server.calls.lock().len();
    assert_eq!(ask(&patient, b"\xff"), "failed: the key is not UTF-8 text");
    assert_eq!(server.calls.lock().len(), before);
    let hurried = grpc_caller(&endpoint, Duration::from_millis(50), None);
    assert_eq!(ask(&hurried, b"never"), "failed: no answer within 50ms");
    let nobody = grpc_caller("http://127.0.0.1:1", PATIENCE, None);
    assert!(ask(&nobody, b"p7").contains("refused"), "{}", ask(&nobody, b"p7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_asked_for_together_go_in_one_call_and_each_has_its_own_answer() {
    let (server, endpoint) = serve_grpc().await;
    let cache = LookupCache { entries: 1_000, ttl: PATIENCE, negative_ttl: PATIENCE };
    let caller = grpc_caller(&endpoint, PATIENCE, Some(&cache));
    let ask_all = |keys: &[&str]| -> Vec<String> {
        let bell = Arc::default();
        let calls: Vec<_> = keys.iter().map(|key| caller.call(key.as_bytes(), &bell)).collect();
        caller.send();
        calls.iter().map(|call| answer_of(&caller, call, &bell)).collect()
    };
    assert_eq!(
        ask_all(&["a", "busy", "nobody", "a"]),
        ["{\"key\": \"a\"}", "failed: try again", "nothing", "{\"key\": \"a\"}"]
    );
    assert_eq!(*server.calls.lock(), [["a", "busy", "nobody"]]);
    assert!(matches!(caller.remembered(b"a"), Some(Answer::Found(_))));
    assert!(matches!(caller.remembered(b"nobody"), Some(Answer::NotFound)));
    assert!(caller.remembered(b"busy").is_none());
    // The status of a call is that of all of its keys.
    assert_eq!(ask_all(&["b", "status 5"]), ["nothing", "nothing"]);
    assert!(ask_all(&["b", "status 14"]).iter().all(|told| told.contains("Unavailable")));
    // No call has more keys than the contract says, and every key is in one.
    server.calls.lock().clear();
    let many: Vec<String> = (0..2 * Grpc::KEYS_PER_CALL + 7).map(|number| format!("k{number}")).collect();
    let told = ask_all(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told.iter().zip(&many).all(|(told, key)| *told == format!("{{\"key\": {key:?}}}")), "{told:?}");
    let mut lengths: Vec<usize> = server.calls.lock().iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [7, Grpc::KEYS_PER_CALL, Grpc::KEYS_PER_CALL]);
    assert_eq!(caller.under_way.lock().len(), 0);
}

/// So long is a service waited for that does not answer.
const HURRY: Duration = Duration::from_millis(100);

/// A service that hangs, then answers again: what it was asked while it did not, and that it is asked when it does.
async fn hangs_and_recovers(caller: Arc<Caller>, calls: impl Fn() -> usize, recover: impl Fn()) {
    let is_refused = |told: &str| told.contains("is not asked until it does");
    let mut made = 0;
    let told = loop {
        let told = ask(&caller, format!("never {made}").as_bytes());
        if is_refused(&told) {
            break told;
        }
        made += 1;
        assert!(told.contains("no answer within 100ms") && made <= FAILURES_IN_A_ROW, "{told}");
    };
    assert_eq!(made, FAILURES_IN_A_ROW);
    assert!(told.contains("the last call said: no answer within 100ms"), "{told}");
    // So many events, and no call but probes, which wait for the service as long as it takes.
    let before = calls();
    for number in 0..10_000 {
        assert!(is_refused(&ask(&caller, format!("never {number}").as_bytes())));
    }
    let began = Instant::now();
    while calls() == before {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let probes = calls() - before;
    assert!(is_refused(&ask(&caller, b"p7")) && probes < 100, "{probes} probes");
    recover();
    while is_refused(&ask(&caller, b"p7")) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while ask(&caller, b"p8").starts_with("failed") {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_is_left_in_peace_until_it_answers_again() {
    let (server, before) = serve().await;
    server.hangs.store(true, Ordering::Relaxed);
    let caller = caller(&before, HURRY, None);
    let calls = || server.asked.load(Ordering::Relaxed);
    hangs_and_recovers(caller, calls, || server.hangs.store(false, Ordering::Relaxed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_service_that_hangs_is_left_in_peace_until_it_answers_again() {
    let (server, endpoint) = serve_grpc().await;
    server.hangs.store(true, Ordering::Relaxed);
    let caller = grpc_caller(&endpoint, HURRY, None);
    let calls = || server.calls.lock().len();
    hangs_and_recovers(caller, calls, || server.hangs.store(false, Ordering::Relaxed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_something_against_keys_is_asked_for_the_next_one() {
    let (server, before) = serve().await;
    let http = caller(&before, PATIENCE, None);
    for key in ["302", "text", ".."].repeat(FAILURES_IN_A_ROW as usize) {
        assert!(ask(&http, key.as_bytes()).starts_with("failed"));
    }
    assert_eq!(ask(&http, b"p7"), "{\"key\": \"p7\"}");
    assert_eq!(server.asked.load(Ordering::Relaxed), 2 * FAILURES_IN_A_ROW as usize + 1);
    let (_server, endpoint) = serve_grpc().await;
    let grpc = grpc_caller(&endpoint, PATIENCE, None);
    for key in ["status 3", "text", "busy", "few"].repeat(FAILURES_IN_A_ROW as usize) {
        assert!(ask(&grpc, key.as_bytes()).starts_with("failed"));
    }
    assert_eq!(ask(&grpc, b"p7"), "{\"key\": \"p7\"}");
}

/// A way to `server` that loses every connection made so far without a word when it is told to: nothing is sent and nothing closed.
async fn way_to(server: &str) -> (String, Arc<tokio::sync::Notify>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (way, lost) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(tokio::sync::Notify::new()));
    let (server, losing) = (server.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&lost));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (server, losing) = (server.clone(), Arc::clone(&losing));
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    () = losing.notified() => std::future::pending().await,
                }
            });
        }
    });
    (way, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_service_is_found_again_when_its_connection_was_lost_without_a_word() {
    let (_server, endpoint) = serve_grpc().await;
    let (way, lost) = way_to(&endpoint).await;
    let caller = grpc_caller(&way, HURRY, None);
    let began = Instant::now();
    let wait_until = |is_answered: bool| {
        while ask(&caller, b"p7").starts_with("failed") == is_answered {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_until(true);
    lost.notify_waiters();
    wait_until(false);
    wait_until(true);
}
