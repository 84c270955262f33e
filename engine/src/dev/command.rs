//! `veltrix dev`: puts broker, control plane, engine, storm and audit into one process, and tells what came of it.
//!
//! Nothing here is a stand-in: the engine is the one of `veltrix run`, over real sockets to a broker and a control plane that other
//! processes can use, too. It only starts with settings that suit the embedded broker (see [`Tuning`]).

use super::broker::{BrokerError, EmbeddedBroker, Tuning};
use super::game::{Game, SOURCE_TOPIC};
use super::players::{self, Players};
use super::storm::{RunningStorm, Storm, StormError, StormSettings, StormStatus};
use super::tables::FleetTables;
use super::updates::{UpdateCounts, Versions, push_updates};
use super::view::{View, ViewState};
use crate::audit::{Audit, AuditError, AuditReport, LatencyMillis, Reader, ReaderError, ReaderSettings};
use crate::config::{Config, at_least_1};
use crate::kafka::{KafkaSettings, PropertyError};
use crate::router::StartAt;
use crate::{EMBEDDED_ROUTES, Engine, EngineError, Numbers, Status};
use bytes::Bytes;
use clap::Args;
use prost::Message as _;
use serde::Serialize;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use veltrix_control_plane::ServeError;
use veltrix_proto::v1::control_plane_client::ControlPlaneClient;
use veltrix_proto::v1::{RouteMap, UpdateRouteMapRequest};
use veltrix_route_table::{Refused, compile};

/// The flags of `veltrix dev`.
#[derive(Args, Clone, Debug)]
pub struct DevArgs {
    /// Game events per second that the storm produces; 0: none, for events of your own
    #[arg(long, env = "VELTRIX_DEV_RATE", value_name = "N", default_value_t = 1_000)]
    pub rate: u64,

    /// Ends after so many seconds of storm [default: when it is told to]
    #[arg(long, env = "VELTRIX_DEV_SECONDS", value_name = "N", value_parser = at_least_1::<NonZeroU32>)]
    pub seconds: Option<NonZeroU32>,

    /// Prints one JSON object at the end, and nothing else on standard output
    #[arg(long)]
    pub json: bool,

    /// Pushes so many changed RouteMaps per second
    #[arg(long, env = "VELTRIX_DEV_UPDATES_PER_SECOND", value_name = "N", value_parser = at_least_1::<NonZeroU32>)]
    pub updates_per_second: Option<NonZeroU32>,

    /// Address of the control plane; port 0: any free one
    #[arg(long, env = "VELTRIX_DEV_CONTROL_PLANE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7070")]
    pub control_plane_listen: SocketAddr,

    /// Address of the engine's /healthz, /readyz and /metrics; port 0: any free one
    #[arg(long, env = "VELTRIX_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
}

/// Why `veltrix dev` could not run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DevError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the control plane can't listen on {address}; choose another address with --control-plane-listen")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the control plane has failed")]
    ControlPlane(#[from] ServeError),
    #[error("can't reach the control plane of this process")]
    Connect(#[from] tonic::transport::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Property(PropertyError),
    #[error(transparent)]
    Storm(#[from] StormError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Reader(#[from] ReaderError),
    #[error("can't write the demonstration's reference table to the temporary directory; TMPDIR can name another")]
    Players(#[source] std::io::Error),
    #[error("the routes in the binary can't be used")]
    Routes(#[from] Refused),
    #[error("the routes in the binary can't be read")]
    Decode(#[from] prost::DecodeError),
    #[error("the engine has no partitions after {} s; see the log above", READY_TIMEOUT.as_secs())]
    NotReady,
    #[error("a task of this process has failed")]
    Task(#[from] tokio::task::JoinError),
}

/// What came of a run. `lost`, `duplicated` and the like are the audit's, which reads what arrived and believes no counter.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DevReport {
    /// Seconds of storm.
    pub seconds: f64,
    /// Events that the broker acknowledged to the storm.
    pub produced: u64,
    /// Events that the engine read, other processes' included.
    pub consumed: u64,
    /// Deliveries that the engine sent, by its own account, other processes' events included.
    pub sent: u64,
    /// What the audit found; its fields stand beside these.
    #[serde(flatten)]
    pub audit: AuditReport,
    /// The version in force at the end.
    pub route_map_version: u64,
    /// RouteMaps that were pushed and are, or were, in force.
    pub updates_applied: u64,
    /// Pushes that were due while one before was not answered yet.
    pub updates_skipped: u64,
    /// Pushes that were refused.
    pub updates_failed: u64,
    /// Events produced per second of storm.
    pub events_per_second: f64,
    /// Seconds for which the storm waited, since the embedded broker would have deleted unread records.
    pub throttled_seconds: f64,
}

impl std::fmt::Display for DevReport {
    /// For people; `--json` has all of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let AuditReport { delivered, unmatched, lost, duplicated, misrouted, torn, foreign, unwatched, .. } =
            self.audit;
        let updates = counted(self.updates_applied, "update");
        let updates = format!("{updates} of the RouteMap, now version {}", self.route_map_version);
        if self.produced == 0 {
            let events = counted(self.consumed, "event");
            writeln!(f, "{events} of others in {} s, {} sent for them", self.seconds, counted(self.sent, "record"))?;
            writeln!(f, "no storm has produced any, so that nothing was audited")?;
            return f.write_str(&updates);
        }
        let events = counted(self.produced, "event");
        writeln!(f, "{events} in {} s ({} per second)", self.seconds, self.events_per_second)?;
        writeln!(f, "{delivered} delivered, {unmatched} wanted by no route")?;
        writeln!(f, "{lost} lost, {duplicated} duplicated, {misrouted} misrouted, {torn} torn")?;
        if foreign > 0 {
            writeln!(f, "besides these, {foreign} of other producers or runs arrived, which are not audited")?;
        }
        if unwatched > 0 {
            writeln!(f, "{} for destinations that the audit does not read", counted(unwatched, "event"))?;
        }
        writeln!(f, "{updates}")?;
        let LatencyMillis { p50, p99, p999, max } = self.audit.latency_ms;
        write!(f, "latency p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms, max {max} ms")?;
        if self.throttled_seconds > 0.0 {
            let seconds = self.throttled_seconds;
            write!(f, "\nthe storm waited {seconds} s, since the embedded broker keeps only 5 MiB a partition")?;
        }
        self.audit.examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

const DEAD_LETTER_TOPIC: &str = "veltrix-dead-letters";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the engine may take to work off what is left when the storm is over.
const WORK_OFF_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether the storm is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// When nothing has arrived for so long after that, nothing more will.
const QUIET: Duration = Duration::from_millis(700);

/// Runs until `stop`, or until `--seconds` are over.
///
/// # Errors
/// A part can't be started or has failed. What the audit found is in the report, not here.
pub async fn run(args: DevArgs, stop: CancellationToken) -> Result<DevReport, DevError> {
    let tuning = Tuning::for_rate(args.rate);
    let players = Players::write().map_err(DevError::Players)?;
    let mut base = RouteMap::decode(EMBEDDED_ROUTES)?;
    players.add_to(&mut base);
    let table = compile(&base)?;
    let mut topics: Vec<String> = table.destinations().map(|destination| destination.topic.to_owned()).collect();
    topics.push(DEAD_LETTER_TOPIC.to_owned());
    let broker = start_broker(&topics, &tuning)?;
    let end = CancellationToken::new();
    let (address, control_plane) =
        start_control_plane(args.control_plane_listen, base.encode_to_vec().into(), end.clone()).await?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let engine = Engine::start(engine_config(&args, &broker, &tuning, endpoint.clone())?).await?;
    let (status, admin) = (engine.status(), engine.admin_address());
    let engine_stop = CancellationToken::new();
    let engine = tokio::spawn(engine.run_until(engine_stop.clone()));
    wait_for_partitions(&status).await?;
    let client = ControlPlaneClient::new(endpoint.connect().await?);

    // To standard error, as all that is shown while it runs: standard output is for the report.
    eprintln!("Kafka          {}  topic {SOURCE_TOPIC}", broker.bootstrap_servers());
    eprintln!("control plane  http://{address}  gRPC, and HTTP under /v1");
    if let Some(admin) = admin {
        eprintln!("engine         http://{admin}  /healthz /readyz /metrics");
    }
    let versions = Arc::new(Versions::with_lookups(players::look_up));
    versions.add(1, Arc::new(table));
    let run = Run { args, tuning, broker: &broker, status: status.clone(), topics, versions, client, base };
    let report = run.storm(&stop).await?;

    engine_stop.cancel();
    engine.await??;
    end.cancel();
    control_plane.await??;
    // Its clients' ends may wait, which an async worker must not.
    tokio::task::spawn_blocking(move || drop(broker)).await?;
    Ok(report)
}

fn start_broker(destinations: &[String], tuning: &Tuning) -> Result<EmbeddedBroker, BrokerError> {
    let mut topics: Vec<(&str, NonZeroU16)> = vec![(SOURCE_TOPIC, tuning.source_partitions)];
    topics.extend(destinations.iter().map(|topic| (topic.as_str(), tuning.destination_partitions)));
    EmbeddedBroker::start(&topics)
}

async fn start_control_plane(
    address: SocketAddr,
    route_map: Bytes,
    end: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<Result<(), ServeError>>), DevError> {
    let refused = |source| DevError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let config = veltrix_control_plane::Config {
        initial_route_map: Some(route_map),
        stop_timeout: Duration::from_secs(1),
        ..veltrix_control_plane::Config::default()
    };
    let serving = veltrix_control_plane::serve(config, listener, async move { end.cancelled().await });
    Ok((address, tokio::spawn(serving)))
}

fn engine_config(
    args: &DevArgs,
    broker: &EmbeddedBroker,
    tuning: &Tuning,
    control_plane: Endpoint,
) -> Result<Config, DevError> {
    let own = |kind: &str, (name, value): (&str, String)| format!("{kind}.{name}={value}");
    let mut properties: Vec<String> = tuning.producer().into_iter().map(|pair| own("producer", pair)).collect();
    properties.extend(tuning.consumer().into_iter().map(|pair| own("consumer", pair)));
    let kafka = KafkaSettings::new(broker.bootstrap_servers(), None, &properties)
        .map_err(|errors| errors.into_iter().next().map_or(DevError::NotReady, DevError::Property))?;
    Ok(Config {
        kafka,
        sources: vec![SOURCE_TOPIC.to_owned()],
        group: "veltrix".to_owned(),
        start_at: StartAt::Earliest,
        dead_letter_topic: DEAD_LETTER_TOPIC.to_owned(),
        control_plane: Some(control_plane),
        control_plane_wait: READY_TIMEOUT,
        state_dir: None,
        engine_id: Some("dev".to_owned()),
        listen: Some(args.listen),
        routers: NonZeroUsize::MIN,
        batch_events_max: NonZeroUsize::MIN.saturating_add(511),
        in_flight_events_max: NonZeroUsize::MIN.saturating_add(49_999),
        in_flight_bytes_max: 64 << 20,
        grace: Duration::from_secs(10),
    })
}

async fn wait_for_partitions(status: &Status) -> Result<(), DevError> {
    let deadline = Instant::now() + READY_TIMEOUT;
    while status.numbers().partitions == 0 {
        if Instant::now() > deadline {
            return Err(DevError::NotReady);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// As the engine has it, so that those of other people count, too; the first map was no update.
fn updates_of(numbers: &Numbers) -> u64 {
    numbers.updates_applied.saturating_sub(1)
}

/// A run whose parts are all up.
struct Run<'b> {
    args: DevArgs,
    tuning: Tuning,
    broker: &'b EmbeddedBroker,
    status: Status,
    topics: Vec<String>,
    versions: Arc<Versions>,
    client: ControlPlaneClient<Channel>,
    base: RouteMap,
}

impl Run<'_> {
    async fn storm(self, stop: &CancellationToken) -> Result<DevReport, DevError> {
        let origin = Instant::now();
        let counts = Arc::new(UpdateCounts::default());
        let end = CancellationToken::new();
        let updates = self.args.updates_per_second.map(|rate| tokio::spawn(self.push(rate, &counts, &end)));
        let (storm, audit) = match self.args.rate {
            0 => (None, None),
            rate => {
                let (storm, audit) = self.start_storm(rate, origin, stop).await?;
                (Some(storm), Some(audit))
            }
        };
        self.watch(stop, storm.as_ref(), audit.as_ref()).await;
        let seconds = origin.elapsed().as_secs_f64();
        end.cancel();
        if let Some(updates) = updates {
            updates.await??;
        }
        let stormed = match storm {
            Some(storm) => tokio::task::spawn_blocking(move || storm.join()).await??,
            None => StormStatus::default(),
        };
        self.work_off(&stormed).await;
        let judged = match audit {
            Some(audit) => tokio::task::spawn_blocking(move || audit.finish(QUIET)).await??,
            None => AuditReport::default(),
        };
        Ok(self.report(seconds, &stormed, judged, &counts))
    }

    async fn start_storm(
        &self,
        rate: u64,
        origin: Instant,
        stop: &CancellationToken,
    ) -> Result<(RunningStorm, Reader), DevError> {
        // Tells this run's events from those that others produce, or that a run before has left behind.
        let number = std::process::id() ^ origin.elapsed().subsec_nanos();
        let game = Game::new(number, u64::from(number), self.tuning.source_partitions.get());
        let (status, consumed_before) = (self.status.clone(), self.status.consumed());
        let storm = Storm::new(
            StormSettings {
                bootstrap_servers: self.broker.bootstrap_servers().to_owned(),
                properties: self.tuning.producer(),
                topic: SOURCE_TOPIC.to_owned(),
                game,
                events_per_second: rate,
                duration: self.args.seconds.map(|seconds| Duration::from_secs(u64::from(seconds.get()))),
                read: Box::new(move || status.consumed() - consumed_before),
                unread_max: self.tuning.unread_events_max,
            },
            origin,
        )?;
        let tables =
            FleetTables::new(Arc::clone(&self.versions), self.client.clone(), self.status.clone(), Handle::current());
        let audit = Audit::new(storm.workload(), tables, self.topics.clone(), Some(DEAD_LETTER_TOPIC))?;
        let settings = ReaderSettings {
            bootstrap_servers: self.broker.bootstrap_servers().to_owned(),
            properties: self.tuning.consumer(),
            run: number,
            origin,
            from_beginning: true,
        };
        let audit = tokio::task::spawn_blocking(move || Reader::start(settings, audit)).await??;
        Ok((storm.start(stop.clone())?, audit))
    }

    fn push(
        &self,
        per_second: NonZeroU32,
        counts: &Arc<UpdateCounts>,
        end: &CancellationToken,
    ) -> impl Future<Output = Result<(), Refused>> + use<> {
        let client = self.client.clone();
        let push = move |route_map: Vec<u8>| {
            let mut client = client.clone();
            let request = UpdateRouteMapRequest {
                route_map: route_map.into(),
                note: "pushed by veltrix dev".to_owned(),
                ..UpdateRouteMapRequest::default()
            };
            async move { client.update_route_map(request).await.map(|answer| answer.into_inner().version) }
        };
        let (base, versions) = (self.base.clone(), Arc::clone(&self.versions));
        push_updates(base, per_second, versions, Arc::clone(counts), end.clone(), push)
    }

    /// Shows how things stand until the storm is over, or until it is told to stop.
    async fn watch(&self, stop: &CancellationToken, storm: Option<&RunningStorm>, audit: Option<&Reader>) {
        let began = Instant::now();
        let end = self.args.seconds.map(|seconds| began + Duration::from_secs(u64::from(seconds.get())));
        let over = || match storm {
            Some(storm) => storm.is_over(),
            None => end.is_some_and(|end| Instant::now() >= end),
        };
        let mut view = View::new();
        let show_every = if view.is_live() { LOOK_EVERY * 4 } else { LOOK_EVERY * 20 };
        let (mut shown_at, mut events_before) = (began, 0);
        let mut look = tokio::time::interval(LOOK_EVERY);
        while !over() && !stop.is_cancelled() {
            tokio::select! {
                _ = look.tick() => {}
                () = stop.cancelled() => break,
            }
            let since = shown_at.elapsed();
            if since >= show_every {
                let mut state = self.state(storm, audit);
                state.elapsed = began.elapsed();
                state.rate = (state.events_in - events_before) as f64 / since.as_secs_f64();
                (shown_at, events_before) = (Instant::now(), state.events_in);
                // Nobody to show it to is no reason to stop.
                let _ = view.show(&state);
            }
        }
        view.leave();
    }

    fn state(&self, storm: Option<&RunningStorm>, audit: Option<&Reader>) -> ViewState {
        let numbers = self.status.numbers();
        let live = audit.map(Reader::live).unwrap_or_default();
        let storm = storm.map(RunningStorm::status).unwrap_or_default();
        ViewState {
            updates_applied: updates_of(&numbers),
            // Foreign events are events, too.
            events_in: numbers.consumed,
            per_destination: numbers.deliveries.into_iter().collect(),
            unmatched: numbers.unmatched,
            p50_ms: live.recent_latency_ms.p50,
            p99_ms: live.recent_latency_ms.p99,
            lag: numbers.lag,
            route_map_version: numbers.route_map_version,
            throttled: storm.throttled,
            late: storm.late,
            lost: live.report.lost,
            duplicated: live.report.duplicated,
            misrouted: live.report.misrouted + live.report.torn + live.report.misstamped,
            ..ViewState::default()
        }
    }

    /// Waits until the engine has read and delivered what the storm has left.
    async fn work_off(&self, stormed: &StormStatus) {
        let deadline = Instant::now() + WORK_OFF_TIMEOUT;
        let left = || {
            let numbers = self.status.numbers();
            numbers.consumed < stormed.acknowledged || numbers.in_flight > 0
        };
        while left() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn report(&self, seconds: f64, stormed: &StormStatus, judged: AuditReport, counts: &UpdateCounts) -> DevReport {
        let numbers = self.status.numbers();
        let rounded = |number: f64| (number * 100.0).round() / 100.0;
        DevReport {
            seconds: rounded(seconds),
            produced: stormed.acknowledged,
            consumed: numbers.consumed,
            sent: numbers.deliveries.values().sum(),
            audit: judged,
            route_map_version: numbers.route_map_version,
            updates_applied: updates_of(&numbers),
            updates_skipped: counts.skipped(),
            updates_failed: counts.failed(),
            events_per_second: rounded(stormed.acknowledged as f64 / seconds),
            throttled_seconds: rounded(stormed.throttled.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_came_of_events_that_the_audit_does_not_judge() {
        let audit = AuditReport { delivered: 223, ..AuditReport::default() };
        let stormed = DevReport { produced: 200, audit: audit.clone(), updates_applied: 4, ..DevReport::default() };
        let text = stormed.to_string();
        assert!(text.contains("\n223 delivered, 0 wanted") && !text.contains("besides"), "{text}");
        assert!(text.contains("\n4 updates of the RouteMap, now version 0\nlatency"), "{text}");
        let audit = AuditReport { foreign: 8, unwatched: 2, ..audit };
        let text = DevReport { audit, updates_applied: 1, ..stormed }.to_string();
        assert!(text.contains("\nbesides these, 8 of other producers or runs arrived"), "{text}");
        assert!(text.contains("\n2 events for destinations that the audit does not read"), "{text}");
        assert!(text.contains("\n1 update of the RouteMap"), "{text}");
    }

    #[test]
    fn a_run_without_a_storm_reports_what_the_engine_did_with_others_events() {
        let report = DevReport { seconds: 4.5, consumed: 6, sent: 7, ..DevReport::default() };
        assert_eq!(
            report.to_string(),
            "6 events of others in 4.5 s, 7 records sent for them\nno storm has produced any, so that nothing was audited\n\
             0 updates of the RouteMap, now version 0"
        );
    }
}
