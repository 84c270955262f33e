//! Services that lookups ask: by gRPC, behind TLS, and down.

use crate::fleet::{Fleet, embedded};
use crate::lookups::{Service, fleet_with, http, judge, known_of, of_player, with_lookups};
use crate::records::{Sender, read};
use axum::Router;
use axum::extract::Path as UrlPath;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use veltrix_proto::v1::lookup_service_server::{LookupService, LookupServiceServer};
use veltrix_proto::v1::{GrpcCall, LookupAnswer, LookupCache, LookupRequest, LookupResponse, OnAbsent, lookup};

/// What knows players by gRPC.
#[derive(Default)]
struct Players {
    calls: AtomicU64,
    keys: AtomicU64,
}

#[tonic::async_trait]
impl LookupService for Players {
    async fn lookup(&self, request: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        let keys = request.into_inner().keys;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.keys.fetch_add(keys.len() as u64, Ordering::Relaxed);
        let json = |key: &String| known_of(key.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        let answer = |key| LookupAnswer { json: json(key), ..LookupAnswer::default() };
        Ok(Response::new(LookupResponse { answers: keys.iter().map(answer).collect() }))
    }
}

fn grpc(endpoint: &str, timeout_ms: u32) -> lookup::Source {
    lookup::Source::Grpc(GrpcCall { endpoint: endpoint.to_owned(), timeout_ms })
}

/// Sends events of as many players, and waits until all are routed.
async fn send(fleet: &Arc<Fleet>, players: std::ops::Range<u32>) {
    let fleet = Arc::clone(fleet);
    let sending = tokio::task::spawn_blocking(move || {
        queue(&fleet, players);
        fleet.wait_until_committed();
    });
    sending.await.unwrap();
}

fn queue(fleet: &Fleet, players: std::ops::Range<u32>) {
    let sender = Sender::new(&fleet.bootstrap());
    for number in players {
        let (key, event_type) = (format!("player-{number:06}"), [("ce_type", &b"hunt.clue.found"[..])]);
        sender.queue(&fleet.source(), Some(key.as_bytes()), b"", &event_type);
    }
    sender.flush();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_where_a_grpc_service_says_which_is_asked_for_many_at_once() {
    let players = Arc::new(Players::default());
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let service = LookupServiceServer::from_arc(Arc::clone(&players));
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));

    let mut player = of_player("player", grpc(&endpoint, 10_000));
    player.cache = Some(LookupCache { entries: 5_000, ttl_ms: 60_000, negative_ttl_ms: 60_000 });
    let fleet = fleet_with(embedded("grpc", 2), "grpc", 2, vec![player]).await;
    queue(&fleet, 0..1_000);
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let waiting = Arc::clone(&fleet);
    tokio::task::spawn_blocking(move || waiting.wait_until_committed()).await.unwrap();
    let [calls, keys] = [&players.calls, &players.keys].map(|count| count.load(Ordering::Relaxed));
    assert!(keys == 1_000 && calls < 200, "{calls} calls for {keys} keys");

    judge(&fleet, 1_000, 3, &engine).await;
    let counts = engine.metrics("veltrix_lookups_total");
    let of = |result: &str| counts[&format!("{{lookup=\"player\",result=\"{result}\"}}")];
    assert!(of("hit") > 0.0 && of("found") > of("not_found") && of("failed") == 0.0, "{counts:?}");
    let seen = engine.metrics("veltrix_lookup_seconds_count").values().sum::<f64>();
    assert_eq!(seen, players.calls.load(Ordering::Relaxed) as f64);
    assert_eq!(engine.metrics("veltrix_lookup_circuit_open")["{lookup=\"player\"}"], 0.0);
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_a_service_that_is_down_and_go_where_it_says_when_it_is_back() {
    let (service, url) = Service::start().await;
    service.gate.send_replace(false);
    let mut fleet = Fleet::start(embedded("down", 1), "down", 1).await;
    let mut map = with_lookups(&fleet, vec![of_player("player", http(&url, 300))]);
    map.routes.iter_mut().find(|route| route.id == "looked-up-0").unwrap().on_absent = OnAbsent::DeadLetter.into();
    fleet.push(map.encode_to_vec()).await.unwrap();
    fleet.map = map;
    let fleet = Arc::new(fleet);
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    send(&fleet, 0..5_000).await;
    // Without a circuit it would have been asked for each of them. So it is while it may yet answer, and then by probes.
    let asked = service.asked();
    assert!((3..1_000).contains(&asked), "{asked} calls\n{}", engine.log());
    assert_eq!(engine.metrics("veltrix_lookup_circuit_open")["{lookup=\"player\"}"], 1.0);
    engine.wait_for_log("its service is asked once a 1s until it answers").await;
    let (bootstrap, letters) = (fleet.bootstrap(), format!("{}-dead-letters", fleet.prefix));
    let letters = tokio::task::spawn_blocking(move || read(&bootstrap, &letters, 5_000)).await.unwrap();
    let without_a_call = letters.iter().filter(|letter| {
        assert_eq!(letter.headers["veltrix-dead-letter-cause"], "undecided");
        let reason = &letter.headers["veltrix-dead-letter-reason"];
        assert!(reason.contains("no answer within 300ms"), "{reason}");
        reason.contains("lookup `player` has failed: its service does not answer and is not asked until it does")
    });
    assert!(without_a_call.count() > 4_000);

    service.gate.send_replace(true);
    engine.wait_for_log("the service of the lookup answers again").await;
    assert_eq!(engine.metrics("veltrix_lookup_circuit_open")["{lookup=\"player\"}"], 0.0);
    send(&fleet, 0..300).await;
    let counts = engine.metrics("veltrix_lookups_total");
    let of = |result: &str| counts[&format!("{{lookup=\"player\",result=\"{result}\"}}")];
    assert_eq!((of("found"), of("not_found"), of("failed")), (200.0, 100.0, 5_000.0));
    assert_eq!(engine.terminate(), Some(0));
}

/// An authority of its own, and a server that it vouches for.
struct Authority {
    pem: String,
    tls: TlsAcceptor,
}

impl Authority {
    fn new() -> Authority {
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, server_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let pem = of_authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(of_authority, key);
        let of_server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = of_server.signed_by(&server_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(server_key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Authority { pem, tls: TlsAcceptor::from(Arc::new(tls)) }
    }

    /// Serves both kinds of calls behind TLS. Returns host and port.
    async fn serve(&self) -> String {
        let answer = |UrlPath(key): UrlPath<String>| async move {
            known_of(key.as_bytes()).map_or((StatusCode::NOT_FOUND, Vec::new()), |known| (StatusCode::OK, known))
        };
        let router = Router::new()
            .route("/players/{key}", get(answer))
            .route_service("/veltrix.v1.LookupService/Lookup", LookupServiceServer::new(Players::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, tls) = (listener.local_addr().unwrap().to_string(), self.tls.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    let Ok(socket) = tls.accept(socket).await else { return };
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        address
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_behind_tls_are_asked_if_the_machine_trusts_their_authority() {
    let (ours, others) = (Authority::new(), Authority::new());
    let address = ours.serve().await;
    let by_http = of_player("by_http", http(&format!("https://{address}/players/{{key}}"), 10_000));
    let by_grpc = of_player("by_grpc", grpc(&format!("https://{address}"), 10_000));
    let fleet = fleet_with(embedded("tls", 1), "tls", 1, vec![by_http, by_grpc]).await;
    let directory = tempfile::tempdir().unwrap();
    for (authority, is_trusted) in [(&ours, true), (&others, false)] {
        let file = directory.path().join("authority.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let engine = fleet.start_engine_in(0, &[], &[("SSL_CERT_FILE", &file.display().to_string())]);
        fleet.wait_for_engines(1).await;
        send(&fleet, 0..300).await;
        let counts = engine.metrics("veltrix_lookups_total");
        for lookup in ["by_http", "by_grpc"] {
            let of = |result: &str| counts[&format!("{{lookup=\"{lookup}\",result=\"{result}\"}}")];
            let expected = if is_trusted { (200.0, 100.0, 0.0) } else { (0.0, 0.0, 300.0) };
            assert_eq!((of("found"), of("not_found"), of("failed")), expected, "{lookup}\n{}", engine.log());
            let (log, says) = (engine.log(), format!("lookup=\"{lookup}\""));
            let refused = log.lines().any(|line| line.contains(&says) && line.contains("invalid peer certificate"));
            assert_ne!(refused, is_trusted, "{log}");
        }
        engine.kill();
        fleet.wait_for_no_engine().await;
    }
}
