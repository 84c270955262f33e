//! The life of a control plane: open the store, serve gRPC and HTTP on one port, stop within a deadline.
//!
//! The tasks that last as long as the process are spawned here; one per connection in [`crate::connections`], one per engine's stream in
//! [`crate::engine_service`], one per update in [`crate::updates`]. They stop in this order: no new connections and updates; the update
//! under way ends; engines are told to come back later; connections end. What has not ended at the deadline is dropped: an engine's stream never ends by itself, and a
//! client that does not answer must not hold up the process.

use crate::api::Api;
use crate::arriving::Arriving;
use crate::browsers::{Browsers, HostName};
use crate::connections::Connections;
use crate::engine_service;
use crate::fleet::{Fleet, NamedMap};
use crate::http::{self, Http};
use crate::json::Mapping;
use crate::limits;
use crate::map_id::MapId;
use crate::metrics::Metrics;
use crate::store::{Committed, Store, StoreError, StoreLocation};
use crate::update_error::UpdateError;
use crate::updates::{Shown, UpdateSettings, Updates};
use crate::validate::Validator;
use bytes::Bytes;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tracing::{info, warn};
use veltrix_proto::v1::control_plane_server::ControlPlaneServer;

/// How often engines are looked for that do not answer, that are to be asked again, or that can't be brought to the version in force.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a store that failed is tried again.
const TRY_STORE_EVERY: Duration = Duration::from_secs(2);

/// Settings of a control plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where versions are kept.
    pub store: StoreLocation,
    /// The newest so many versions keep their bytes. The record of a version is kept for ever.
    pub keep_versions: NonZeroU64,
    /// How long an engine may take to say whether it can use a map.
    pub prepare_timeout: Duration,
    /// How long an engine may take to switch before its outcome is told as unconfirmed.
    pub commit_timeout: Duration,
    /// Connections at once, engines included.
    pub connections: usize,
    /// By which names with dots it may be called over plain HTTP/1, which browsers speak.
    pub allowed_hosts: Vec<HostName>,
    /// How long stopping may take.
    pub stop_timeout: Duration,
    /// Committed as the first version if none is in force.
    pub initial_route_map: Option<Bytes>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            store: StoreLocation::Memory,
            keep_versions: NonZeroU64::MIN.saturating_add(999),
            prepare_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(30),
            connections: limits::CONNECTIONS,
            allowed_hosts: Vec::new(),
            stop_timeout: Duration::from_secs(10),
            initial_route_map: None,
        }
    }
}

/// Why a control plane could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ServeError {
    #[error("the versions of the RouteMap can't be used")]
    Store(#[from] StoreError),
    #[error("the map to start with can't be used")]
    InitialRouteMap(#[source] UpdateError),
    #[error("the listener has no address; bind it first")]
    Listener(#[source] std::io::Error),
    #[error("this program was built wrongly, please report it")]
    Built(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves until `shutdown` is done, and stops then. `listener` is the caller's, so that it knows the port.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let metrics = Arc::new(Metrics::new().map_err(|fault| ServeError::Built(Box::new(fault)))?);
    let (updates, fleet) = start(&config, &metrics).await?;
    let mapping = Mapping::new().map_err(|fault| ServeError::Built(Box::new(fault)))?;
    let api = Api { updates: Arc::clone(&updates), fleet: Arc::clone(&fleet) };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ControlPlaneServer<Api>>().await;
    health.set_service_status(engine_service::NAME, ServingStatus::Serving).await;
    let map_reads = Arc::new(Semaphore::new(limits::MAP_READS));
    let browsers = Browsers::new(&config.allowed_hosts);
    let http = Http { api, mapping, metrics: Arc::clone(&metrics), browsers, arriving: Arriving::default(), map_reads };
    let router = router(http, health_service).map_err(|fault| ServeError::Built(Box::new(fault)))?;

    let address = listener.local_addr().map_err(ServeError::Listener)?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let mut tasks = JoinSet::new();
    tasks.spawn(look_after_engines(Arc::clone(&fleet)));
    tasks.spawn(renumber_for_engines_ahead(Arc::clone(&updates)));
    tasks.spawn(try_failed_store_again(Arc::clone(&updates)));
    let (stopping, _) = watch::channel(false);
    let connections = Connections::new(router, metrics, stopping.clone(), config.connections);
    let mut open = connections.accept_until(listener, shutdown).await;

    let deadline = Instant::now() + config.stop_timeout;
    info!(timeout = ?config.stop_timeout, connections = open.len(), "stopping");
    stopping.send_replace(true);
    health.set_not_serving::<ControlPlaneServer<Api>>().await;
    health.set_service_status(engine_service::NAME, ServingStatus::NotServing).await;
    if tokio::time::timeout_at(deadline.into(), updates.stop()).await.is_err() {
        warn!("the update under way is given up: the time to stop is over");
    }
    updates.give_up();
    fleet.end_all("the control plane is stopping; connect again when it is back");
    // Even when the time is up, let the engines' streams end with their reason.
    let last = deadline.max(Instant::now() + Duration::from_millis(200));
    let all_closed = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout_at(last.into(), all_closed).await.is_err() {
        warn!(connections = open.len(), "connections are dropped: the time to stop is over");
    }
    open.shutdown().await;
    tasks.shutdown().await;
    info!("stopped");
    Ok(())
}

async fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<(Arc<Updates>, Arc<Fleet>), ServeError> {
    let location = config.store.clone();
    let open = move || {
        let store = Store::open(&location)?;
        let in_force = store.in_force()?;
        // Another release may have other limits: then the map in force is the engines' business until it is replaced.
        let usage = in_force.as_ref().and_then(|committed| {
            let checked = Validator::default().check(&committed.map);
            checked.inspect_err(|refused| warn!(%refused, "this release would refuse the map that is in force")).ok()
        });
        Ok((store, in_force, usage.map(|checked| checked.usage)))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let place = || format!("{:?}", config.store);
    let (store, in_force, usage) = opened.unwrap_or_else(|_| Err(StoreError::Panicked { place: place() }))?;
    let shown =
        Shown { in_force: in_force.as_ref().map(|committed| committed.record.clone()), usage, store_fault: None };
    info!(
        store = store.place(),
        version = shown.in_force.as_ref().map_or(0, |record| record.version),
        "the store is open"
    );
    let fleet = Fleet::new(in_force.and_then(named), config.prepare_timeout, Arc::clone(metrics));
    let settings = UpdateSettings { commit_timeout: config.commit_timeout, keep_versions: config.keep_versions.get() };
    let updates = Updates::new(Arc::new(store), Arc::clone(&fleet), Arc::clone(metrics), settings, shown);
    if let (Some(map), None) = (&config.initial_route_map, fleet.in_force()) {
        updates.begin_with(map.clone()).await.map_err(ServeError::InitialRouteMap)?;
    }
    Ok((updates, fleet))
}

fn named(committed: Committed) -> Option<NamedMap> {
    let id = MapId::from_wire(committed.record.version, &committed.record.sha256)?;
    Some(NamedMap { id, map: committed.map })
}

fn router<H: tonic_health::pb::health_server::Health>(
    http: Http,
    health: tonic_health::pb::health_server::HealthServer<H>,
) -> Result<axum::Router, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(veltrix_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let control_plane = ControlPlaneServer::new(http.api.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits::REQUEST_BYTES);
    let engines = engine_service::router(Arc::clone(&http.api.fleet));
    let routes = Routes::new(control_plane)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let admit = axum::middleware::from_fn_with_state(http.clone(), http::admit);
    let not_found = {
        let http = http.clone();
        move |request| async move { http::not_found(&http, &request) }
    };
    Ok(routes.into_axum_router().merge(engines).merge(http::router(http)).fallback(not_found).layer(admit))
}

async fn look_after_engines(fleet: Arc<Fleet>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        fleet.look_after();
    }
}

async fn renumber_for_engines_ahead(updates: Arc<Updates>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        updates.renumber().await;
    }
}

async fn try_failed_store_again(updates: Arc<Updates>) {
    let mut ticks = tokio::time::interval(TRY_STORE_EVERY);
    loop {
        ticks.tick().await;
        updates.try_store_again().await;
    }
}
