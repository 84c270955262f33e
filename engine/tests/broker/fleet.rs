//! A broker, a control plane, and engines as processes of their own, which can be stopped and killed.
//!
//! The broker is a real Kafka if `VELTRIX_TEST_BOOTSTRAP` names one (`make test` sees to that), else librdkafka's mock in this process.
//! The engines are the `veltrix` binary, started as a user starts it.

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCoordinator;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use veltrix_control_plane::StoreLocation;
use veltrix_engine::audit::{Audit, Reader, ReaderSettings};
use veltrix_engine::dev::broker::{EmbeddedBroker, Tuning};
use veltrix_engine::dev::game::Game;
use veltrix_engine::dev::storm::{RunningStorm, Storm, StormSettings};
use veltrix_engine::dev::updates::Versions;
use veltrix_proto::v1::control_plane_client::ControlPlaneClient;
use veltrix_proto::v1::{
    EngineStatus, ListEnginesRequest, RouteMap, UpdateRouteMapRequest, UpdateRouteMapResponse, destination,
    engine_outcome,
};
use veltrix_route_table::compile;

/// How long anything may take that is waited for. A test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) enum Broker {
    Real(String),
    Embedded(EmbeddedBroker),
    /// Like the embedded one, with a second machine that has one of the topics, and can go.
    Two {
        owner: BaseProducer,
        bootstrap: String,
    },
}

impl Broker {
    /// The real broker, if there is one to be had. Says so on standard error if not, past the test runner's capture.
    pub(crate) fn real(test: &str) -> Option<Broker> {
        let bootstrap = std::env::var("VELTRIX_TEST_BOOTSTRAP").ok();
        if bootstrap.is_none() {
            assert!(std::env::var_os("VELTRIX_TEST_REQUIRE_KAFKA").is_none(), "VELTRIX_TEST_BOOTSTRAP is not set");
            let _ =
                writeln!(std::io::stderr(), "left out, since it needs a real Kafka: {test}; run `make test` for it");
        }
        bootstrap.map(Broker::Real)
    }

    pub(crate) fn bootstrap(&self) -> &str {
        match self {
            Broker::Real(bootstrap) => bootstrap,
            Broker::Embedded(broker) => broker.bootstrap_servers(),
            Broker::Two { bootstrap, .. } => bootstrap,
        }
    }
}

pub(crate) struct Fleet {
    pub(crate) broker: Broker,
    /// Before the names of topics and group, so that tests do not meet on the broker.
    pub(crate) prefix: String,
    pub(crate) partitions: u16,
    pub(crate) map: RouteMap,
    pub(crate) topics: Vec<String>,
    pub(crate) versions: Arc<Versions>,
    control_plane: Option<ControlPlane>,
    address: String,
    directory: tempfile::TempDir,
}

struct ControlPlane {
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), veltrix_control_plane::ServeError>>,
}

/// An engine process. Killed when it is dropped.
pub(crate) struct EngineProcess {
    child: Child,
    log: PathBuf,
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl EngineProcess {
    /// As by `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks by SIGTERM, and returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The engine's metrics whose line begins with `name`, by the rest of the line.
    pub(crate) fn metrics(&self, name: &str) -> BTreeMap<String, f64> {
        let log = self.log();
        let address = log.rsplit_once("/readyz").and_then(|(before, _)| before.rsplit_once("http://")).unwrap().1;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let lines = answer.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        lines.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
    }

    /// Waits until the engine has logged `text`.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not in the log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Fleet {
    /// A control plane with the example's map in force, and its topics on the broker.
    pub(crate) async fn start(broker: Broker, name: &str, partitions: u16) -> Fleet {
        Fleet::start_with(broker, name, partitions, |_| {}).await
    }

    /// The same with another map: what `change` makes of the example's.
    pub(crate) async fn start_with(
        broker: Broker,
        name: &str,
        partitions: u16,
        change: impl FnOnce(&mut RouteMap),
    ) -> Fleet {
        let prefix = format!("{name}-{}", std::process::id());
        let mut map: RouteMap = prost::Message::decode(veltrix_engine::EMBEDDED_ROUTES).unwrap();
        change(&mut map);
        for destination in &mut map.destinations {
            if let Some(destination::Kind::Kafka(kafka)) = &mut destination.kind {
                kafka.topic = format!("{prefix}-{}", kafka.topic);
            }
        }
        let table = compile(&map).unwrap();
        let mut topics: Vec<String> = table.destinations().map(|destination| destination.topic.to_owned()).collect();
        topics.push(format!("{prefix}-dead-letters"));
        let versions = Arc::new(Versions::new());
        let mut fleet = Fleet {
            broker,
            prefix,
            partitions,
            map,
            topics,
            versions,
            control_plane: None,
            address: "127.0.0.1:0".to_owned(),
            directory: tempfile::tempdir().unwrap(),
        };
        fleet.create_topics().await;
        fleet.start_control_plane().await;
        let map = prost::Message::encode_to_vec(&fleet.map);
        let version = fleet.push(map).await.unwrap();
        fleet.versions.add(version, Arc::new(table));
        fleet
    }

    pub(crate) fn source(&self) -> String {
        format!("{}-game-events", self.prefix)
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.broker.bootstrap().to_owned()
    }

    async fn create_topics(&self) {
        if !matches!(self.broker, Broker::Real(_)) {
            return;
        }
        let admin = self.admin();
        let source = self.source();
        let replication = || TopicReplication::Fixed(1);
        let new = self.topics.iter().map(|topic| NewTopic::new(topic, 3, replication()));
        let source = NewTopic::new(&source, i32::from(self.partitions), replication());
        let new: Vec<NewTopic<'_>> = new.chain([source]).collect();
        for result in admin.create_topics(&new, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
        // A broker that was started just now says so before it tells others of them, and an engine takes its word.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
            let is_there = |name: &str| {
                let known = metadata.topics().iter().find(|topic| topic.name() == name);
                known.is_some_and(|topic| topic.error().is_none() && !topic.partitions().is_empty())
            };
            if new.iter().all(|topic| is_there(topic.name)) {
                return;
            }
            assert!(Instant::now() < deadline, "topics that were created are not there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create().unwrap()
    }

    /// Sets a property of a topic on a real broker.
    pub(crate) async fn configure(&self, topic: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        for result in self.admin().alter_configs([&change], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    }

    /// Deletes a topic of a real broker.
    pub(crate) async fn delete(&self, topic: &str) {
        for result in self.admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    }

    /// Takes the second of two machines away, or brings it back.
    pub(crate) fn second_machine(&self, is_up: bool) {
        let Broker::Two { owner, .. } = &self.broker else { panic!("this fleet's broker is one machine") };
        let cluster = owner.client().mock_cluster().unwrap();
        if is_up { cluster.broker_up(SECOND) } else { cluster.broker_down(SECOND) }.unwrap();
    }

    pub(crate) async fn start_control_plane(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let config = veltrix_control_plane::Config {
            store: StoreLocation::Directory(self.directory.path().join("control-plane")),
            stop_timeout: Duration::from_millis(200),
            ..veltrix_control_plane::Config::default()
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let shutdown = async move { stopped.cancelled().await };
        let serving = tokio::spawn(veltrix_control_plane::serve(config, listener, shutdown));
        self.control_plane = Some(ControlPlane { stop, serving });
    }

    pub(crate) async fn stop_control_plane(&mut self) {
        let control_plane = self.control_plane.take().unwrap();
        control_plane.stop.cancel();
        control_plane.serving.await.unwrap().unwrap();
    }

    pub(crate) async fn client(&self) -> ControlPlaneClient<Channel> {
        let url = format!("http://{}", self.address);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ControlPlaneClient::connect(url.clone()).await {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Puts a map in force, and returns its version.
    pub(crate) async fn push(&self, route_map: Vec<u8>) -> Result<u64, tonic::Status> {
        Ok(self.update(route_map).await?.version)
    }

    async fn update(&self, route_map: Vec<u8>) -> Result<UpdateRouteMapResponse, tonic::Status> {
        let request = UpdateRouteMapRequest { route_map: Bytes::from(route_map), ..UpdateRouteMapRequest::default() };
        Ok(self.client().await.update_route_map(request).await?.into_inner())
    }

    /// Puts the fleet's map in force once more, under another name: a new version that every engine has to confirm. The very map that
    /// is in force would be none.
    pub(crate) async fn push_again(&self) {
        static PUSHES: AtomicU64 = AtomicU64::new(1);
        let mut map = self.map.clone();
        map.name = format!("{}-{}", map.name, PUSHES.fetch_add(1, Ordering::Relaxed));
        let response = self.update(prost::Message::encode_to_vec(&map)).await.unwrap();
        self.versions.add(response.version, Arc::new(compile(&self.map).unwrap()));
        assert!(!response.engines.is_empty(), "no engine is connected");
        let in_force = |outcome: i32| outcome == i32::from(engine_outcome::Outcome::InForce);
        assert!(response.engines.iter().all(|engine| in_force(engine.outcome)), "{:#?}", response.engines);
    }

    /// Starts an engine of this fleet; `number` has its own state directory, which a later one of that number finds again.
    pub(crate) fn start_engine(&self, number: usize) -> EngineProcess {
        self.start_engine_with(number, &[])
    }

    /// The same, with further flags.
    pub(crate) fn start_engine_with(&self, number: usize, flags: &[&str]) -> EngineProcess {
        self.start_engine_in(number, flags, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_engine_in(&self, number: usize, flags: &[&str], variables: &[(&str, &str)]) -> EngineProcess {
        let state = self.directory.path().join(format!("engine-{number}"));
        let log = self.directory.path().join(format!("engine-{number}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_veltrix"))
            .arg("run")
            .args(["--brokers", self.broker.bootstrap()])
            .args(["--source", &self.source()])
            .args(["--control-plane", &format!("http://{}", self.address)])
            .args(["--control-plane-wait-ms", "1000"])
            .args(["--group", &self.prefix])
            .args(["--dead-letter-topic", &format!("{}-dead-letters", self.prefix)])
            .args(["--listen", "127.0.0.1:0"])
            .args(["--state-dir", &state.display().to_string()])
            .args(["--engine-id", &format!("engine-{number}")])
            // A member that was killed leaves its group by this timeout.
            .args(["--kafka-property", "consumer.session.timeout.ms=2000"])
            .args(["--kafka-property", "consumer.heartbeat.interval.ms=300"])
            .args(flags)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        EngineProcess { child, log }
    }

    /// Waits until so many engines are connected and share all partitions, each with some.
    pub(crate) async fn wait_for_engines(&self, count: usize) {
        let mut client = self.client().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let engines = client.list_engines(ListEnginesRequest {}).await.unwrap().into_inner().engines;
            let held = engines.iter().map(|engine| engine.health.as_ref().map_or(0, |health| health.partitions));
            let held: Vec<u32> = held.collect();
            if held.len() == count && !held.contains(&0) && held.iter().sum::<u32>() == u32::from(self.partitions) {
                return;
            }
            assert!(Instant::now() < deadline, "the engines do not get their partitions: {engines:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the one engine that is connected has read events since its start.
    pub(crate) async fn wait_for_consumption(&self) {
        let has_read = |engine: &EngineStatus| engine.health.as_ref().is_some_and(|health| health.events_consumed > 0);
        self.wait_for("an engine reads events", |engines| engines.len() == 1 && engines.iter().all(has_read)).await;
    }

    /// Waits until the control plane has seen that an engine is gone.
    pub(crate) async fn wait_for_no_engine(&self) {
        self.wait_for("no engine is connected", <[EngineStatus]>::is_empty).await;
    }

    async fn wait_for(&self, what: &str, is_so: impl Fn(&[EngineStatus]) -> bool) {
        let mut client = self.client().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let engines = client.list_engines(ListEnginesRequest {}).await.unwrap().into_inner().engines;
            if is_so(&engines) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {engines:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts a storm of `rate` events per second for `duration`, and an audit that judges all of it.
    pub(crate) fn start_storm(&self, rate: u64, duration: Duration) -> (RunningStorm, Reader) {
        let run = std::process::id() ^ rate as u32;
        let origin = Instant::now();
        let tuning = Tuning::for_rate(rate);
        let properties = |own: Vec<(&'static str, String)>| match self.broker {
            Broker::Embedded(_) | Broker::Two { .. } => own,
            Broker::Real(_) => Vec::new(),
        };
        let settings = StormSettings {
            bootstrap_servers: self.bootstrap(),
            properties: properties(tuning.producer()),
            topic: self.source(),
            game: Game::new(run, 7, self.partitions),
            events_per_second: rate,
            duration: Some(duration),
            // What the mock would delete is not known here; its tests are small enough.
            read: Box::new(|| u64::MAX),
            unread_max: u64::MAX,
        };
        let storm = Storm::new(settings, origin).unwrap();
        let dead_letters = format!("{}-dead-letters", self.prefix);
        let tables = Arc::clone(&self.versions);
        let audit = Audit::new(storm.workload(), tables, self.topics.clone(), Some(&dead_letters)).unwrap();
        let settings = ReaderSettings {
            bootstrap_servers: self.bootstrap(),
            properties: properties(tuning.consumer()),
            run,
            origin,
            from_beginning: true,
        };
        let reader = Reader::start(settings, audit).unwrap();
        (storm.start(CancellationToken::new()).unwrap(), reader)
    }

    /// Waits until the group has committed every event of the source: nothing is left to do, and nothing was passed over. A broker
    /// that is still setting up the group's coordinator is asked again.
    pub(crate) fn wait_until_committed(&self) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("group.id", &self.prefix)
            .create()
            .unwrap();
        let (source, deadline) = (self.source(), Instant::now() + PATIENCE);
        let timeout = Duration::from_secs(10);
        loop {
            let mut list = TopicPartitionList::new();
            (0..i32::from(self.partitions)).for_each(|partition| {
                list.add_partition(&source, partition);
            });
            let committed = consumer.committed_offsets(list, timeout);
            let is_done = |partition: i32| {
                let (_, end) = consumer.fetch_watermarks(&source, partition, timeout).unwrap();
                let element = committed.as_ref().ok().and_then(|list| list.find_partition(&source, partition));
                end == 0 || element.is_some_and(|element| element.offset() == Offset::Offset(end))
            };
            if (0..i32::from(self.partitions)).all(is_done) {
                return;
            }
            assert!(Instant::now() < deadline, "events are not committed: {committed:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

const DESTINATIONS: [&str; 6] =
    ["hunt-leaderboard", "hunt-anti-cheat", "hunt-analytics", "hunt-rewards", "hunt-live-ops", "dead-letters"];

/// Starts an embedded broker with the topics that a fleet of this name will use.
pub(crate) fn embedded(name: &str, partitions: u16) -> Broker {
    embedded_with(name, partitions, &[])
}

/// The same, with further topics.
pub(crate) fn embedded_with(name: &str, partitions: u16, further: &[&str]) -> Broker {
    let prefix = format!("{name}-{}", std::process::id());
    let names: Vec<String> = DESTINATIONS.iter().map(|topic| format!("{prefix}-{topic}")).collect();
    let source = format!("{prefix}-game-events");
    let mut topics: Vec<(&str, NonZeroU16)> = names.iter().map(|topic| (topic.as_str(), NonZeroU16::MIN)).collect();
    topics.push((&source, NonZeroU16::new(partitions).unwrap()));
    topics.extend(further.iter().map(|topic| (*topic, NonZeroU16::new(3).unwrap())));
    Broker::Embedded(EmbeddedBroker::start(&topics).unwrap())
}

const FIRST: i32 = 1;
const SECOND: i32 = 2;

/// The same on two machines: one of the destinations is on the second, everything else on the first.
pub(crate) fn on_two_machines(name: &str, partitions: u16, on_second: &str) -> Broker {
    let prefix = format!("{name}-{}", std::process::id());
    let owner: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "2").create().unwrap();
    let cluster = owner.client().mock_cluster().unwrap();
    let destinations = DESTINATIONS.iter().map(|topic| (*topic, 1));
    for (topic, partitions) in destinations.chain([("game-events", partitions)]) {
        let machine = if topic == on_second { SECOND } else { FIRST };
        let topic = format!("{prefix}-{topic}");
        cluster.create_topic(&topic, i32::from(partitions), 1).unwrap();
        for partition in 0..i32::from(partitions) {
            cluster.partition_leader(&topic, partition, Some(machine)).unwrap();
        }
    }
    cluster.coordinator(MockCoordinator::Group(prefix), FIRST).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    drop(cluster);
    Broker::Two { owner, bootstrap }
}
