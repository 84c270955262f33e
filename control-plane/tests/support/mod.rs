//! A control plane in this process, engines that do as they are told, and maps for them.

#![allow(dead_code, unreachable_pub, reason = "every test file uses its part of this")]

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use veltrix_control_plane::{Config, ServeError, StoreLocation};
use veltrix_proto::v1::control_plane_client::ControlPlaneClient;
use veltrix_proto::v1::engine_report::Report;
use veltrix_proto::v1::route_update::Update;
use veltrix_proto::v1::route_updates_client::RouteUpdatesClient;
use veltrix_proto::v1::{self, destination};

/// Longer than anything here takes on a busy machine; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// A map of one route for events of type `event_type`.
pub fn map(event_type: &str) -> Bytes {
    let map = v1::RouteMap {
        name: "test".into(),
        destinations: vec![v1::Destination {
            id: "orders".into(),
            kind: Some(destination::Kind::Kafka(v1::KafkaTopic { topic: "orders".into(), ..Default::default() })),
        }],
        routes: vec![v1::Route {
            id: "route".into(),
            types: Some(v1::EventTypes { exact: vec![event_type.into()], ..Default::default() }),
            to: vec!["orders".into()],
            ..Default::default()
        }],
        ..Default::default()
    };
    map.encode_to_vec().into()
}

/// A map with so many routes of some 250 bytes each; `salt` makes it another one.
pub fn large_map(routes: usize, salt: u64) -> Bytes {
    let name = "x".repeat(200);
    let mut large = v1::RouteMap::decode(map("large")).unwrap();
    let route = large.routes[0].clone();
    large.routes = (0..routes).map(|id| v1::Route { id: format!("{salt}-{id}-{name}"), ..route.clone() }).collect();
    large.encode_to_vec().into()
}

pub fn sha256(map: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(map))
}

pub fn update(map: &Bytes) -> v1::UpdateRouteMapRequest {
    v1::UpdateRouteMapRequest { route_map: map.clone(), sha256: sha256(map), ..Default::default() }
}

/// Where a control plane listens, in this process or in another.
pub struct Remote {
    pub address: SocketAddr,
}

impl Remote {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.url()).unwrap().http2_max_header_list_size(16 << 10);
        in_time("a connection", endpoint.connect()).await.unwrap()
    }

    pub async fn operator(&self) -> Operator {
        Operator(ControlPlaneClient::new(self.channel().await))
    }

    pub async fn engine(&self, id: &str) -> Engine {
        self.engine_that_runs(id, 0, Bytes::new()).await
    }

    pub async fn engine_that_runs(&self, id: &str, version: u64, sha256: Bytes) -> Engine {
        let mut engine = self.dial().await;
        engine.say(Report::Hello(v1::Hello { engine_id: id.into(), version, sha256, ..Default::default() })).await;
        engine
    }

    /// An engine that has not said anything yet.
    pub async fn dial(&self) -> Engine {
        let (reports, receiver) = mpsc::channel(8);
        let mut client = RouteUpdatesClient::new(self.channel().await).max_decoding_message_size(usize::MAX);
        let updates = in_time("a stream", client.stream(ReceiverStream::new(receiver))).await.unwrap().into_inner();
        Engine { reports, updates }
    }
}

/// An exchange over plain HTTP: status and body.
pub async fn call(control_plane: &Remote, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    call_with(control_plane, method, path, "host: test\r\ncontent-type: application/json\r\n", body).await
}

/// The same with other headers, each with the end of its line.
pub async fn call_with(control_plane: &Remote, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(control_plane.address).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = in_time("an answer over HTTP", exchange).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Until so many updates are checked, waiting or under way.
pub async fn until_updates_wait(control_plane: &Remote, count: usize) {
    let line = format!("veltrix_control_plane_updates_waiting {count}");
    let poll =
        async { while !call(control_plane, "GET", "/metrics", b"").await.1.lines().any(|found| found == line) {} };
    in_time("the updates to be as many as expected", poll).await;
}

impl std::ops::Deref for ControlPlane {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

pub struct ControlPlane {
    remote: Remote,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl ControlPlane {
    pub async fn start() -> ControlPlane {
        ControlPlane::with(Config::default()).await
    }

    pub async fn on(directory: &std::path::Path) -> ControlPlane {
        ControlPlane::with(Config { store: StoreLocation::Directory(directory.into()), ..Config::default() }).await
    }

    pub async fn with(config: Config) -> ControlPlane {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(veltrix_control_plane::serve(config, listener, async { drop(stopped.await) }));
        ControlPlane { remote: Remote { address }, stop: Some(stop), serving }
    }

    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        in_time("the control plane to stop", self.serving).await.unwrap().unwrap();
    }

    /// How it ended by itself.
    pub async fn ended(self) -> Result<(), ServeError> {
        in_time("the control plane to end", self.serving).await.unwrap()
    }
}

#[derive(Clone)]
pub struct Operator(pub ControlPlaneClient<Channel>);

impl Operator {
    pub async fn update(&mut self, request: v1::UpdateRouteMapRequest) -> Result<v1::UpdateRouteMapResponse, Status> {
        in_time("an update", self.0.update_route_map(request)).await.map(tonic::Response::into_inner)
    }

    /// Begins an update whose answer is awaited later.
    pub fn begin(&self, request: v1::UpdateRouteMapRequest) -> JoinHandle<Result<v1::UpdateRouteMapResponse, Status>> {
        let mut this = self.clone();
        tokio::spawn(async move { this.update(request).await })
    }

    pub async fn versions(&mut self) -> Vec<v1::RouteMapVersion> {
        let request = v1::ListVersionsRequest::default();
        in_time("versions", self.0.list_versions(request)).await.unwrap().into_inner().versions
    }

    pub async fn engines(&mut self) -> v1::ListEnginesResponse {
        in_time("engines", self.0.list_engines(v1::ListEnginesRequest {})).await.unwrap().into_inner()
    }

    /// The version in force and its bytes, if any.
    pub async fn in_force(&mut self) -> Option<(u64, Bytes)> {
        match in_time("the map", self.0.get_route_map(v1::GetRouteMapRequest::default())).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Some((answer.version.unwrap().version, answer.route_map))
            }
            Err(status) if status.code() == tonic::Code::NotFound => None,
            Err(status) => panic!("{status}"),
        }
    }

    /// Until so many engines are connected.
    pub async fn until_connected(&mut self, count: usize) {
        self.until(|engines| engines.engines.len() == count).await;
    }

    pub async fn until(&mut self, is_so: impl Fn(&v1::ListEnginesResponse) -> bool) {
        let poll = async {
            while !is_so(&self.engines().await) {
                tokio::task::yield_now().await;
            }
        };
        in_time("the engines to be as expected", poll).await;
    }
}

pub struct Engine {
    reports: mpsc::Sender<v1::EngineReport>,
    updates: Streaming<v1::RouteUpdate>,
}

impl Engine {
    pub async fn say(&mut self, report: Report) {
        in_time("room for a report", self.reports.send(v1::EngineReport { report: Some(report) })).await.unwrap();
    }

    /// What the control plane says next, or why it hangs up.
    pub async fn hear(&mut self) -> Result<Update, Status> {
        let update = in_time("an update", self.updates.message()).await?;
        Ok(update.expect("a status at the end").update.expect("a known update"))
    }

    pub async fn welcome(&mut self) -> v1::Welcome {
        let heard = self.hear().await;
        let Ok(Update::Welcome(welcome)) = heard else { panic!("{heard:?} instead of Welcome") };
        welcome
    }

    pub async fn prepare(&mut self) -> v1::Prepare {
        let heard = self.hear().await;
        let Ok(Update::Prepare(prepare)) = heard else { panic!("{heard:?} instead of Prepare") };
        assert_eq!(prepare.sha256, sha256(&prepare.route_map));
        prepare
    }

    pub async fn commit(&mut self) -> v1::Commit {
        let heard = self.hear().await;
        let Ok(Update::Commit(commit)) = heard else { panic!("{heard:?} instead of Commit") };
        commit
    }

    pub async fn abort(&mut self) -> v1::Abort {
        let heard = self.hear().await;
        let Ok(Update::Abort(abort)) = heard else { panic!("{heard:?} instead of Abort") };
        abort
    }

    pub async fn end(&mut self) -> Status {
        loop {
            match self.hear().await {
                Ok(_) => {}
                Err(status) => return status,
            }
        }
    }

    pub async fn say_prepared(&mut self, prepare: &v1::Prepare) {
        let took = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
        self.say(Report::Prepared(v1::Prepared { version: prepare.version, sha256: prepare.sha256.clone(), took }))
            .await;
    }

    pub async fn say_rejected(&mut self, prepare: &v1::Prepare, path: &str, message: &str) {
        let reasons = vec![v1::RefusedField { path: path.into(), message: message.into() }];
        let (version, sha256) = (prepare.version, prepare.sha256.clone());
        self.say(Report::Rejected(v1::Rejected { version, sha256, reasons })).await;
    }

    pub async fn say_in_force(&mut self, commit: &v1::Commit) {
        let took = Some(prost_types::Duration { seconds: 0, nanos: 500_000 });
        self.say(Report::InForce(v1::InForce { version: commit.version, sha256: commit.sha256.clone(), took })).await;
    }

    /// Prepares the next map and switches to it. Returns its version.
    pub async fn follow(&mut self) -> u64 {
        let prepare = self.prepare().await;
        self.say_prepared(&prepare).await;
        let commit = self.commit().await;
        assert_eq!((prepare.version, &prepare.sha256), (commit.version, &commit.sha256));
        self.say_in_force(&commit).await;
        commit.version
    }
}
