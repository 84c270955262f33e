//! Puts an engine together, and sees it to its end.

use crate::EMBEDDED_ROUTES;
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::installer::Installer;
use crate::kafka::{self, ClientContext};
use crate::last_known_good::LastKnownGood;
use crate::metrics::Metrics;
use crate::route_updates::RouteUpdates;
use crate::router::{RouterContext, supervise};
use crate::snapshot::Published;
use crate::status::{Start, Status};
use crate::stop::Stop;
use parking_lot::Mutex;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use veltrix_route_table::{Compiler, RouteMapVersion};

/// Why an engine could not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The HTTP side has no address.
    #[error("can't listen on {address}; choose another address with --listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The state directory can't be used.
    #[error("can't use the state directory `{}`: {reason}; choose another one with --state-dir", path.display())]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Topics that the engine itself needs are missing.
    #[error("the cluster has no topic {}; create {} first, for example with kafka-topics.sh --create --topic NAME, or name others by these flags", quoted(.0), if .0.len() == 1 { "it" } else { "them" })]
    MissingTopics(Vec<NeededTopic>),
    /// A Kafka client can't be made.
    #[error("can't create a Kafka client")]
    Kafka(#[from] KafkaError),
    /// A mistake in the engine itself.
    #[error("can't register a metric")]
    Metrics(#[from] prometheus::Error),
    /// The binary's own map is refused; the build would have failed.
    #[error("the RouteMap in the binary can't be used")]
    Embedded(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A thread could not be started.
    #[error("can't start a router thread")]
    Thread(#[source] io::Error),
    /// Routers ended, or did not end in time, with events that they had taken and that are not committed.
    #[error(
        "{0} router(s) left events behind, for the reason that the log gives; these are repeated after the next start, none is lost"
    )]
    LeftEventsBehind(usize),
}

/// A topic that an engine can't do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededTopic {
    /// Its name.
    pub name: String,
    /// The flag that gives it, or what else names it.
    pub flag: &'static str,
}

fn quoted(topics: &[NeededTopic]) -> String {
    topics.iter().map(|topic| format!("`{}` ({})", topic.name, topic.flag)).collect::<Vec<_>>().join(", ")
}

/// A running engine, or one that is about to run.
pub struct Engine {
    config: Config,
    metrics: Metrics,
    status: Status,
    published: Arc<Published>,
    admin: Option<(SocketAddr, TcpListener)>,
    state: State,
}

/// What an engine keeps over restarts.
struct State {
    engine_id: String,
    last_known_good: Option<LastKnownGood>,
    /// Held as long as the engine lives, so that no second one uses the directory.
    _lock: Option<File>,
}

/// Between two questions while Kafka does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// On top of the grace period, for clients to close their connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

impl Engine {
    /// Takes what the engine needs of this machine: its directory and its address.
    ///
    /// # Errors
    /// Either can't be had.
    pub async fn start(config: Config) -> Result<Engine, EngineError> {
        let state = match &config.state_dir {
            Some(path) => open_state(path, config.engine_id.as_deref())
                .map_err(|reason| EngineError::StateDir { path: path.clone(), reason })?,
            None => State {
                engine_id: config.engine_id.clone().unwrap_or_else(|| "engine".to_owned()),
                last_known_good: None,
                _lock: None,
            },
        };
        let admin = match config.listen {
            None => None,
            Some(address) => {
                let refused = |source| EngineError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(refused)?;
                Some((listener.local_addr().map_err(refused)?, listener))
            }
        };
        let metrics = Metrics::new()?;
        let status = Status::new(metrics.clone(), config.routers.get());
        Ok(Engine { config, metrics, status, published: Arc::default(), admin, state })
    }

    /// The engine's numbers, now and while it runs.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Where its HTTP side listens.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(address, _)| *address)
    }

    /// Routes until `shutdown`, then drains.
    ///
    /// # Errors
    /// The engine can't begin, or could not end in time.
    pub async fn run_until(mut self, shutdown: CancellationToken) -> Result<(), EngineError> {
        let side_tasks = CancellationToken::new();
        let admin = self.admin.take().map(|(_, listener)| self.serve_admin(listener, side_tasks.clone()));
        let result = self.route_until(&shutdown, &side_tasks).await;
        side_tasks.cancel();
        if let Some(admin) = admin {
            let _ended = admin.await;
        }
        result
    }

    fn serve_admin(&self, listener: TcpListener, stop: CancellationToken) -> JoinHandle<()> {
        let admin = Admin {
            metrics: self.metrics.clone(),
            status: self.status.clone(),
            published: Arc::clone(&self.published),
            has_control_plane: self.config.control_plane.is_some(),
        };
        tokio::spawn(async move {
            tokio::select! {
                result = axum::serve(listener, admin::router(admin)).into_future() => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the HTTP side has stopped");
                    }
                }
                () = stop.cancelled() => {}
            }
        })
    }

    async fn route_until(
        &self,
        shutdown: &CancellationToken,
        side_tasks: &CancellationToken,
    ) -> Result<(), EngineError> {
        // Settings that contradict each other are found when a client is made; better now than again and again in a router.
        kafka::create::<BaseProducer<ClientContext>>(&self.config.kafka.producer())?;
        kafka::create::<BaseConsumer<ClientContext>>(&self.config.kafka.consumer(&self.config.group))?;
        let last_known_good = self.state.last_known_good.clone();
        let installer = Installer::new(
            &self.config.kafka,
            self.config.sources.clone(),
            Arc::clone(&self.published),
            last_known_good,
            self.metrics.clone(),
        )?;
        let found = installer.found();
        let installer = Arc::new(Mutex::new(installer));
        if !self.wait_for_topics(&installer, shutdown).await? {
            return Ok(());
        }
        let updates = self.follow_control_plane(&installer, found, side_tasks);
        if !self.first_map(&installer, shutdown).await? {
            return Ok(());
        }
        let result = self.run_routers(shutdown).await;
        side_tasks.cancel();
        if let Some(updates) = updates {
            let _ended = updates.await;
        }
        result
    }

    /// Waits until Kafka answers, and refuses to go on without the topics that the engine itself needs. False if it was told to stop.
    async fn wait_for_topics(
        &self,
        installer: &Arc<Mutex<Installer>>,
        shutdown: &CancellationToken,
    ) -> Result<bool, EngineError> {
        let mut needed = needed_topics(&self.config);
        let is_on_disk = self.state.last_known_good.as_ref().is_some_and(|store| store.load().is_some());
        if self.config.control_plane.is_none() && !is_on_disk {
            needed.extend(embedded_topics()?);
        }
        loop {
            let (installer, names) = (Arc::clone(installer), needed.clone());
            let ask = move || {
                let installer = installer.lock();
                let missing = installer.missing_topics(names.iter().map(|topic| topic.name.as_str()))?;
                let needed = names.iter().filter(|topic| missing.contains(&topic.name.as_str()));
                Ok::<_, KafkaError>(needed.cloned().collect::<Vec<NeededTopic>>())
            };
            match tokio::task::spawn_blocking(ask).await.unwrap_or_else(|_| Err(KafkaError::Canceled)) {
                Ok(missing) if missing.is_empty() => return Ok(true),
                Ok(missing) => return Err(EngineError::MissingTopics(missing)),
                Err(error) => {
                    tracing::warn!(%error, retry_in = ?ASK_AGAIN, "Kafka does not answer; are --brokers right, is it up?");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_AGAIN) => {}
                () = shutdown.cancelled() => return Ok(false),
            }
        }
    }

    fn follow_control_plane(
        &self,
        installer: &Arc<Mutex<Installer>>,
        found: Option<(RouteMapVersion, [u8; 32])>,
        stop: &CancellationToken,
    ) -> Option<JoinHandle<()>> {
        let updates = RouteUpdates {
            endpoint: self.config.control_plane.clone()?,
            engine_id: self.state.engine_id.clone(),
            installer: Arc::clone(installer),
            found,
            published: Arc::clone(&self.published),
            metrics: self.metrics.clone(),
            status: self.status.clone(),
        };
        Some(tokio::spawn(updates.run(stop.clone())))
    }

    /// Sees to it that there is a map: from the control plane, from disk, or from the binary. False if told to stop meanwhile.
    async fn first_map(
        &self,
        installer: &Arc<Mutex<Installer>>,
        shutdown: &CancellationToken,
    ) -> Result<bool, EngineError> {
        let has_control_plane = self.config.control_plane.is_some();
        self.status.set_start(Start::AsksControlPlane);
        if has_control_plane && self.wait_for_map(self.config.control_plane_wait, shutdown).await {
            return Ok(true);
        }
        let (installer, store) = (Arc::clone(installer), self.state.last_known_good.clone());
        let (published, metrics) = (Arc::clone(&self.published), self.metrics.clone());
        let from_here = move || begin_from_here(&mut installer.lock(), &published, store, has_control_plane, &metrics);
        match tokio::task::spawn_blocking(from_here).await {
            Ok(begun) => begun?,
            Err(error) => tracing::error!(%error, "taking a map from disk has failed"),
        }
        self.status.set_start(Start::FoundNone);
        while !self.wait_for_map(Duration::from_secs(10), shutdown).await {
            if shutdown.is_cancelled() {
                return Ok(false);
            }
            tracing::warn!("waiting for a first RouteMap: there is none on disk, and none came from the control plane");
        }
        Ok(true)
    }

    async fn wait_for_map(&self, timeout: Duration, shutdown: &CancellationToken) -> bool {
        let (published, cancelled) = (Arc::clone(&self.published), shutdown.clone());
        let waiting = tokio::task::spawn_blocking(move || published.wait_for_first(timeout));
        tokio::select! {
            there = waiting => there.unwrap_or(false),
            () = cancelled.cancelled() => false,
        }
    }

    async fn run_routers(&self, shutdown: &CancellationToken) -> Result<(), EngineError> {
        let config = &self.config;
        let stop = Arc::new(Stop::default());
        let context = RouterContext {
            kafka: config.kafka.clone(),
            group: config.group.clone(),
            sources: config.sources.clone(),
            first_seen: Arc::default(),
            dead_letter_topic: config.dead_letter_topic.clone(),
            start_at: config.start_at,
            batch_events_max: config.batch_events_max,
            in_flight_events_max: config.in_flight_events_max.get(),
            in_flight_bytes_max: config.in_flight_bytes_max,
            published: Arc::clone(&self.published),
            metrics: self.metrics.clone(),
            stop: Arc::clone(&stop),
            has_uncommitted: Arc::default(),
        };
        let start = |number| RouterThread::start(context.clone(), number);
        let routers: Vec<RouterThread> = (0..config.routers.get()).map(start).collect::<Result<_, _>>()?;
        shutdown.cancelled().await;
        tracing::info!(grace = ?config.grace, "stopping");
        stop.stop(config.grace);
        wait_for_end(&routers, tokio::time::Instant::now() + config.grace + CLOSE_TIMEOUT).await
    }
}

struct RouterThread {
    thread: std::thread::JoinHandle<()>,
    /// See [`RouterContext::has_uncommitted`].
    has_uncommitted: Arc<AtomicBool>,
}

impl RouterThread {
    fn start(mut context: RouterContext, number: usize) -> Result<RouterThread, EngineError> {
        let has_uncommitted = Arc::<AtomicBool>::default();
        context.has_uncommitted = Arc::clone(&has_uncommitted);
        let thread = std::thread::Builder::new().name(format!("router-{number}"));
        let thread = thread.spawn(move || supervise(&context, number)).map_err(EngineError::Thread)?;
        Ok(RouterThread { thread, has_uncommitted })
    }
}

/// Waits for routers that were told to stop, until `deadline`. What counts is what they have committed, not whether they have ended.
async fn wait_for_end(routers: &[RouterThread], deadline: tokio::time::Instant) -> Result<(), EngineError> {
    let is_running = || routers.iter().any(|router| !router.thread.is_finished());
    while is_running() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match routers.iter().filter(|router| router.has_uncommitted.load(Ordering::Acquire)).count() {
        0 if is_running() => {
            // A member can't leave its group while Kafka lets it wait for others to join.
            tracing::warn!(
                "everything is delivered and committed, but Kafka has not let go of a group member; its partitions are given on \
                 after session.timeout.ms"
            );
            Ok(())
        }
        0 => Ok(()),
        behind => Err(EngineError::LeftEventsBehind(behind)),
    }
}

fn needed_topics(config: &Config) -> Vec<NeededTopic> {
    let sources = config.sources.iter().map(|name| NeededTopic { name: name.clone(), flag: "--source" });
    let dead_letters = NeededTopic { name: config.dead_letter_topic.clone(), flag: "--dead-letter-topic" };
    sources.chain([dead_letters]).collect()
}

/// Where the map in the binary delivers to. Nobody has asked for them when it was built, unlike those of a map that was applied.
fn embedded_topics() -> Result<Vec<NeededTopic>, EngineError> {
    let table = Compiler::new().compile(EMBEDDED_ROUTES).map_err(|refused| EngineError::Embedded(refused.into()))?;
    let flag = "of the RouteMap in the binary, which is for use without --control-plane";
    Ok(table.destinations().map(|destination| NeededTopic { name: destination.topic.to_owned(), flag }).collect())
}

/// Begins with what this machine has: the last known good map, or, where there is no control plane to wait for, the binary's.
fn begin_from_here(
    installer: &mut Installer,
    published: &Published,
    store: Option<LastKnownGood>,
    has_control_plane: bool,
    metrics: &Metrics,
) -> Result<(), EngineError> {
    if published.current().is_some() {
        // The control plane has answered after all.
        return Ok(());
    }
    if let Some(map) = store.and_then(|store| store.load()) {
        match installer.begin_with(map.version, &map.route_map) {
            Ok(()) => {
                tracing::warn!(version = %map.version, "routing by the last known good RouteMap on disk");
                metrics.route_map_stale.set(i64::from(has_control_plane));
                return Ok(());
            }
            Err(refused) => tracing::error!(version = %map.version, "the RouteMap on disk can't be used: {refused}"),
        }
    }
    if has_control_plane {
        return Ok(());
    }
    tracing::warn!(
        "no control plane is set and no RouteMap is on disk; routing by the one that is compiled into the binary"
    );
    installer
        .begin_with(RouteMapVersion::EMBEDDED, EMBEDDED_ROUTES)
        .map_err(|refused| EngineError::Embedded(refused.into()))
}

fn open_state(path: &Path, engine_id: Option<&str>) -> Result<State, String> {
    fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let lock = File::create(path.join("lock")).map_err(|error| error.to_string())?;
    lock.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => "another engine is using it".to_owned(),
        fs::TryLockError::Error(error) => error.to_string(),
    })?;
    let engine_id = match engine_id {
        Some(id) => id.to_owned(),
        None => kept_engine_id(&path.join("engine-id")).map_err(|error| error.to_string())?,
    };
    Ok(State { engine_id, last_known_good: Some(LastKnownGood::new(path)), _lock: Some(lock) })
}

/// The id in the file, or a new one that is put there.
fn kept_engine_id(file: &Path) -> io::Result<String> {
    use std::hash::{BuildHasher as _, RandomState};
    match fs::read_to_string(file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = format!("{host}-{:08x}", RandomState::new().hash_one(std::process::id()) as u32);
    fs::write(file, &id)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_router_that_only_waits_to_leave_its_group_does_not_make_a_stop_fail() {
        let (_running, until_the_end) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || until_the_end.recv().unwrap_or_default());
        let routers = [RouterThread { thread, has_uncommitted: Arc::new(AtomicBool::new(true)) }];
        let now = tokio::time::Instant::now();
        assert!(matches!(wait_for_end(&routers, now).await, Err(EngineError::LeftEventsBehind(1))));
        routers[0].has_uncommitted.store(false, Ordering::Release);
        assert!(wait_for_end(&routers, now).await.is_ok());
    }

    #[tokio::test]
    async fn a_router_that_has_ended_with_events_left_makes_a_stop_fail() {
        let ended =
            |left| RouterThread { thread: std::thread::spawn(|| ()), has_uncommitted: Arc::new(AtomicBool::new(left)) };
        let in_time = tokio::time::Instant::now() + Duration::from_secs(60);
        let routers = [ended(true), ended(false), ended(true)];
        assert!(matches!(wait_for_end(&routers, in_time).await, Err(EngineError::LeftEventsBehind(2))));
        assert!(wait_for_end(&[ended(false)], in_time).await.is_ok());
    }

    #[test]
    fn a_missing_topic_is_named_with_the_flag_that_asks_for_it() {
        let needed = |name: &str, flag| NeededTopic { name: name.to_owned(), flag };
        let missing = vec![needed("events", "--source"), needed("letters", "--dead-letter-topic")];
        let text = EngineError::MissingTopics(missing).to_string();
        assert!(text.contains("`events` (--source), `letters` (--dead-letter-topic); create them first"), "{text}");
    }
}
