//! How the RouteMap of the whole fleet is replaced: check, store, prepare everywhere, decide, switch everywhere.
//!
//! One update at a time, in the order in which they were asked for. An update that has its turn runs to its end also when nobody
//! waits for the answer any more: it is a task of its own.
//!
//! Start at [`Updates::update`]. Not here: gRPC and HTTP ([`crate::api`]), and the protocol with the engines ([`crate::fleet`]).

use crate::fleet::{Fleet, NamedMap, Preparing, reasons_text};
use crate::limits;
use crate::map_id::{MapDigest, MapId};
use crate::metrics::Metrics;
use crate::store::{Decision, Proposal, Store, StoreError};
use crate::update_error::UpdateError;
use crate::validate::{Checked, Validator};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use veltrix_proto::v1::{self, engine_outcome::Outcome};
use veltrix_route_table::{RouteMapVersion, Usage};

/// How updates are made.
#[derive(Clone, Copy, Debug)]
pub struct UpdateSettings {
    /// How long an engine may take to switch before its outcome is told as unconfirmed.
    pub commit_timeout: Duration,
    /// How many versions keep their bytes.
    pub keep_versions: u64,
}

/// Replaces the RouteMap of the fleet.
pub struct Updates {
    store: Arc<Store>,
    fleet: Arc<Fleet>,
    validator: Arc<Validator>,
    metrics: Arc<Metrics>,
    settings: UpdateSettings,
    admission: Arc<Semaphore>,
    /// Fair: whoever waits longest comes first.
    turn: Arc<AsyncMutex<()>>,
    /// At most one that is not done.
    running: Mutex<JoinSet<()>>,
    stopping: AtomicBool,
    /// An operator has made the map in force in this process's life.
    made_here: AtomicBool,
    /// The highest version of an engine for which [`Updates::renumber`] has tried.
    renumbered_for: AtomicU64,
    shown: Mutex<Shown>,
}

/// What is told to those who ask, without a look at the disk.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The version in force.
    pub in_force: Option<v1::RouteMapVersion>,
    /// What it uses of the limits.
    pub usage: Option<Usage>,
    /// Why the store's last use failed.
    pub store_fault: Option<String>,
}

/// An update that was checked.
struct Checkable {
    request: v1::UpdateRouteMapRequest,
    sha256: MapDigest,
    size: v1::RouteMapSize,
    usage: Usage,
    times: v1::UpdateTimes,
}

impl Updates {
    /// Goes on from what the store holds.
    pub fn new(
        store: Arc<Store>,
        fleet: Arc<Fleet>,
        metrics: Arc<Metrics>,
        settings: UpdateSettings,
        shown: Shown,
    ) -> Arc<Updates> {
        Arc::new(Updates {
            store,
            fleet,
            validator: Arc::default(),
            metrics,
            settings,
            admission: Arc::new(Semaphore::new(limits::UPDATES_WAITING)),
            turn: Arc::default(),
            running: Mutex::default(),
            stopping: AtomicBool::new(false),
            made_here: AtomicBool::new(false),
            renumbered_for: AtomicU64::new(0),
            shown: Mutex::new(shown),
        })
    }

    /// What is told to those who ask.
    pub fn shown(&self) -> Shown {
        self.shown.lock().clone()
    }

    /// How many updates are checked, waiting or under way.
    pub fn waiting(&self) -> usize {
        limits::UPDATES_WAITING.saturating_sub(self.admission.available_permits())
    }

    /// To be asked for when an update's bytes are here, and held until it is answered.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, UpdateError> {
        Arc::clone(&self.admission).try_acquire_owned().map_err(|_| self.count(UpdateError::TooManyWaiting))
    }

    /// Makes one update. The answer comes when it is in force everywhere, or nowhere.
    pub async fn update(
        self: &Arc<Updates>,
        request: v1::UpdateRouteMapRequest,
    ) -> Result<v1::UpdateRouteMapResponse, UpdateError> {
        let started = Instant::now();
        let checkable = self.check(request).await.map_err(|error| self.count(error))?;
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if self.is_stopping() {
            return Err(self.count(UpdateError::Stopping));
        }
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        let update = async move {
            let made = this.make(checkable, started).await.map_err(|error| this.count(error));
            // Whoever asked may be gone.
            answer.send(made).ok();
            this.prune().await;
            drop(turn);
        };
        {
            let mut running = self.running.lock();
            while running.try_join_next().is_some() {}
            running.spawn(update);
        }
        answered.await.unwrap_or_else(|_| {
            Err(self.count(if self.is_stopping() { UpdateError::Stopping } else { UpdateError::Internal }))
        })
    }

    /// Makes `map` the one in force if none is, without asking engines: there are none yet.
    pub async fn begin_with(&self, map: Bytes) -> Result<(), UpdateError> {
        let request = v1::UpdateRouteMapRequest {
            route_map: map,
            note: "the map that the control plane was started with".into(),
            ..Default::default()
        };
        let checkable = self.check(request).await?;
        let proposed = self.propose(&checkable).await?;
        let named = self.named(&checkable, proposed.version)?;
        let committed = self.decide(named.id.version, Decision::Commit).await?;
        self.show(&checkable, committed);
        self.fleet.begin(named).commit(Duration::ZERO).await;
        Ok(())
    }

    /// Gives the map in force a higher number if an engine can't be brought to it otherwise: after the store was emptied, an operator
    /// may apply a map before the engines are back, and their versions are higher than its number. To be called every now and then.
    ///
    /// Only for a map that an operator made in this process's life, and once for each version that an engine comes with. A map that
    /// merely was in the store may be older than what the engines run: the store may have been put back from a copy, or belong to a
    /// control plane that was away. That numbers do not go back is what keeps such a map off the fleet; so whether it is wanted, an
    /// operator has to say, by applying it.
    pub async fn renumber(self: &Arc<Updates>) {
        let wanted =
            |said: u64| self.made_here.load(Ordering::Acquire) && said > self.renumbered_for.load(Ordering::Acquire);
        if !self.fleet.ahead().is_some_and(|(_, said)| wanted(said)) {
            return;
        }
        let _turn = self.turn.lock().await;
        let (Some((engine_id, said)), Some(in_force)) = (self.fleet.ahead(), self.fleet.in_force()) else { return };
        if self.is_stopping() || !wanted(said) {
            return;
        }
        self.renumbered_for.store(said, Ordering::Release);
        let version = in_force.id.version;
        warn!(%version, engine_id, engine_runs = said, "the map in force is numbered anew, above what the engine runs");
        let request = v1::UpdateRouteMapRequest {
            route_map: in_force.map,
            note: format!(
                "the map of version {version} under a higher number: engine `{engine_id}` ran version {said}"
            ),
            ..Default::default()
        };
        let made = match self.check(request).await {
            Ok(mut update) => self.switch(&mut update).await,
            Err(refused) => Err(refused),
        };
        match made {
            Ok((version, engines)) => info!(version, engines = engines.len(), "the map in force has a new number"),
            Err(failed) => {
                let reason = failed.to_string();
                warn!(%version, engine_id, reason, "the map in force keeps its number, and the engine its own map; apply the map again");
            }
        }
    }

    /// Tries whether the store works again, while its last use failed: until an operator comes, nobody else would use it. To be called
    /// every now and then.
    pub async fn try_store_again(&self) {
        if self.shown.lock().store_fault.is_none() {
            return;
        }
        // An update that is under way uses the store itself.
        let Ok(_turn) = self.turn.try_lock() else { return };
        // What it is about has been logged and is shown, if it fails once more.
        self.with_store(|store| store.list(u64::MAX, 1)).await.ok();
    }

    /// Whether [`Updates::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Refuses new updates, and waits for the one under way.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        drop(self.turn.lock().await);
    }

    /// Gives up the update under way. What it proposed is aborted when the store is opened again.
    pub fn give_up(&self) {
        self.running.lock().abort_all();
    }

    /// Runs `work` on the store where blocking is allowed.
    pub async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.unwrap_or_else(|_| Err(StoreError::Panicked { place: self.store.place().into() }));
        self.shown.lock().store_fault = done.as_ref().err().map(crate::with_sources);
        if let Err(fault) = &done {
            self.metrics.store_failures.inc();
            error!(error = crate::with_sources(fault), "the store failed");
        }
        done
    }

    async fn check(&self, request: v1::UpdateRouteMapRequest) -> Result<Checkable, UpdateError> {
        let started = Instant::now();
        if request.note.len() > limits::NOTE_BYTES {
            return Err(UpdateError::NoteTooLong { found: request.note.len() });
        }
        let validator = Arc::clone(&self.validator);
        let check = move || {
            let sha256 = MapDigest::of(&request.route_map);
            compare(&request.sha256, sha256)?;
            let checked = validator.check(&request.route_map).map_err(UpdateError::Refused)?;
            Ok((request, sha256, checked))
        };
        let checked = tokio::task::spawn_blocking(check).await;
        let (request, sha256, checked): (_, _, Checked) = checked.unwrap_or(Err(UpdateError::Internal))?;
        let times = v1::UpdateTimes { validate: since(started), ..Default::default() };
        Ok(Checkable { request, sha256, size: checked.size(), usage: checked.usage, times })
    }

    async fn make(&self, mut update: Checkable, started: Instant) -> Result<v1::UpdateRouteMapResponse, UpdateError> {
        let in_force = self.fleet.in_force();
        let version = in_force.as_ref().map_or(0, |map| map.id.version.get());
        if let Some(expected) = update.request.expected_version.filter(|expected| *expected != version) {
            return Err(UpdateError::VersionConflict { expected, in_force: version });
        }
        self.fleet.wait_for_return().await.map_err(|gone| UpdateError::EnginesAway { gone })?;
        self.enough_engines(&update, self.fleet.connected())?;
        // Engines that can't be brought to the version in force need these bytes under a higher number.
        let reaches_all = self.fleet.ahead().is_none();
        let unchanged = reaches_all && in_force.as_ref().is_some_and(|map| map.id.sha256 == update.sha256);
        let (version, engines) = if unchanged {
            if !update.request.dry_run {
                self.fleet.reconsider();
            }
            (version, self.as_they_are())
        } else if update.request.dry_run {
            (version, self.dry_run(&mut update, version).await?)
        } else {
            self.switch(&mut update).await?
        };
        update.times.total = since(started);
        self.metrics.observe(&update.times);
        let result = match (unchanged, update.request.dry_run) {
            (true, _) => "unchanged",
            (false, true) => "dry_run",
            (false, false) => "in_force",
        };
        self.metrics.updates.with_label_values(&[result]).inc();
        info!(version, result, engines = engines.len(), sha256 = %update.sha256, note = update.request.note, "an update is done");
        Ok(v1::UpdateRouteMapResponse {
            version,
            sha256: update.sha256.to_bytes(),
            unchanged,
            engines,
            times: Some(update.times),
            size: Some(update.size),
        })
    }

    /// Asks every engine whether it could, and lets go again. The number is only lent: none is given.
    async fn dry_run(&self, update: &mut Checkable, in_force: u64) -> Result<Vec<v1::EngineOutcome>, UpdateError> {
        let lent = in_force.max(self.fleet.highest_said()).saturating_add(1);
        let preparing = self.fleet.begin_dry_run(self.named(update, lent)?);
        let prepared = self.prepared(update, &preparing).await;
        let outcomes = preparing.outcomes();
        preparing.abort("it was a dry run");
        prepared.map(|()| outcomes)
    }

    async fn switch(&self, update: &mut Checkable) -> Result<(u64, Vec<v1::EngineOutcome>), UpdateError> {
        let storing = Instant::now();
        let proposed = self.propose(update).await?;
        let mut stored = storing.elapsed();
        let named = self.named(update, proposed.version)?;
        let version = named.id.version;
        let preparing = self.fleet.begin(named);
        if let Err(refused) = self.prepared(update, &preparing).await {
            let reason = refused.to_string();
            warn!(%version, reason, "an update is aborted");
            preparing.abort(limits::cut(&reason, limits::REASON_BYTES));
            let reason = limits::cut(&reason, limits::REASON_BYTES).to_owned();
            // If this fails, the proposal is aborted when the store works again. The caller is told of the refusal either way.
            self.decide(version, Decision::Abort { reason }).await.ok();
            return Err(refused);
        }
        let storing = Instant::now();
        let committed = match self.decide(version, Decision::Commit).await {
            Ok(committed) => committed,
            Err(failed) => {
                preparing.abort("the control plane could not store the decision");
                return Err(failed);
            }
        };
        stored += storing.elapsed();
        update.times.store = wire(stored);
        let committing = Instant::now();
        self.show(update, committed);
        self.made_here.store(true, Ordering::Release);
        let outcomes = preparing.commit(self.settings.commit_timeout).await;
        update.times.commit = since(committing);
        for unconfirmed in outcomes.iter().filter(|outcome| outcome.outcome() == Outcome::Unconfirmed) {
            warn!(%version, engine_id = unconfirmed.engine_id, detail = unconfirmed.detail, "an engine did not confirm the switch");
        }
        Ok((version.get(), outcomes))
    }

    /// Waits for the engines' answers, and says whether they allow a commit.
    async fn prepared(&self, update: &mut Checkable, preparing: &Preparing) -> Result<(), UpdateError> {
        let started = Instant::now();
        let answers = preparing.answers().await;
        update.times.prepare = since(started);
        let timeout = self.fleet.prepare_timeout();
        let prepared = answers.map_err(|refusals| UpdateError::EnginesRefused { refusals, timeout })?;
        // Some may have been lost meanwhile.
        self.enough_engines(update, prepared)
    }

    fn enough_engines(&self, update: &Checkable, found: usize) -> Result<(), UpdateError> {
        let minimum = update.request.minimum_engines;
        if found < minimum as usize { Err(UpdateError::TooFewEngines { minimum, found }) } else { Ok(()) }
    }

    /// What the engines do about a map that is in force already.
    fn as_they_are(&self) -> Vec<v1::EngineOutcome> {
        let in_force = self.fleet.in_force().map(|map| map.id);
        let outcome = |engine: v1::EngineStatus| {
            let is_there = MapId::from_wire(engine.version, &engine.sha256) == in_force;
            let detail = match engine.refused_reasons.as_slice() {
                _ if is_there => String::new(),
                [] => format!("it runs version {}", engine.version),
                reasons => {
                    let reasons = reasons_text(reasons);
                    format!("it runs version {}, and has refused this one: {reasons}", engine.version)
                }
            };
            v1::EngineOutcome {
                engine_id: engine.engine_id,
                outcome: if is_there { Outcome::InForce.into() } else { Outcome::Unconfirmed.into() },
                detail,
                ..Default::default()
            }
        };
        self.fleet.engines().into_iter().map(outcome).collect()
    }

    async fn propose(&self, update: &Checkable) -> Result<v1::RouteMapVersion, UpdateError> {
        let proposal = Proposal {
            map: update.request.route_map.clone(),
            sha256: update.sha256,
            note: update.request.note.clone(),
            size: update.size,
            above: self.fleet.highest_said(),
        };
        let stored = self.with_store(move |store| store.propose(&proposal, SystemTime::now().into())).await;
        stored.map_err(UpdateError::Store)
    }

    async fn decide(&self, version: RouteMapVersion, decision: Decision) -> Result<v1::RouteMapVersion, UpdateError> {
        let stored = self.with_store(move |store| store.decide(version, &decision, SystemTime::now().into())).await;
        stored.map_err(UpdateError::Store)
    }

    fn show(&self, update: &Checkable, committed: v1::RouteMapVersion) {
        let mut shown = self.shown.lock();
        (shown.in_force, shown.usage) = (Some(committed), Some(update.usage));
    }

    fn named(&self, update: &Checkable, version: u64) -> Result<NamedMap, UpdateError> {
        let version = RouteMapVersion::from_wire(version).ok_or(UpdateError::Internal)?;
        Ok(NamedMap { id: MapId { version, sha256: update.sha256 }, map: update.request.route_map.clone() })
    }

    /// Drops the bytes of old versions. That it failed is seen in the metric and the log; no update fails for it.
    async fn prune(&self) {
        let (keep, in_use) = (self.settings.keep_versions, self.fleet.versions_in_use());
        let pruned = self.with_store(move |store| store.prune(keep, &in_use)).await;
        self.metrics.maps_pruned.inc_by(pruned.unwrap_or(0) as u64);
    }

    fn count(&self, error: UpdateError) -> UpdateError {
        self.metrics.updates.with_label_values(&[error.result()]).inc();
        error
    }
}

fn compare(expected: &[u8], found: MapDigest) -> Result<(), UpdateError> {
    if expected.is_empty() {
        return Ok(());
    }
    let expected = MapDigest::from_wire(expected).ok_or(UpdateError::DigestLength { found: expected.len() })?;
    if expected == found { Ok(()) } else { Err(UpdateError::OtherDigest { expected, found }) }
}

fn since(started: Instant) -> Option<prost_types::Duration> {
    wire(started.elapsed())
}

fn wire(took: Duration) -> Option<prost_types::Duration> {
    took.try_into().ok()
}
