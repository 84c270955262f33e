//! The connected engines, and how one update goes through all of them.
//!
//! Start at [`Fleet::begin`]: it asks every connected engine to prepare a map and gives a [`Preparing`], which ends in a commit or
//! in an abort, also if it is just dropped. The protocol is in [`state`], without clock or sockets; here are the lock around it, the
//! waiting, and what is logged.
//!
//! Not here: the engines' gRPC streams ([`crate::engine_service`]), and what decides over a commit ([`crate::updates`]).

mod round;
mod session;
mod state;

pub(crate) use round::reasons_text;
pub use round::{EngineRefusal, RefusalKind};
pub(crate) use session::{Mailbox, SessionSerial};
pub use state::NamedMap;

use crate::limits;
use crate::metrics::Metrics;
use parking_lot::Mutex;
use session::highest_version;
use state::{Notable, State};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;
use tracing::{debug, info, warn};
use veltrix_proto::v1::{self, engine_report::Report};

/// The connected engines.
pub struct Fleet {
    state: Mutex<State>,
    /// Marked after every change that an update may be waiting for.
    changed: watch::Sender<()>,
    prepare_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Fleet {
    /// A fleet without engines. An engine has `prepare_timeout` to say whether it can use a map.
    pub fn new(in_force: Option<NamedMap>, prepare_timeout: Duration, metrics: Arc<Metrics>) -> Arc<Fleet> {
        let state = Mutex::new(State::new(in_force));
        Arc::new(Fleet { state, changed: watch::Sender::new(()), prepare_timeout, metrics })
    }

    /// The map in force.
    pub fn in_force(&self) -> Option<NamedMap> {
        self.state.lock().in_force.clone()
    }

    /// How long an engine may take to say whether it can use a map.
    pub fn prepare_timeout(&self) -> Duration {
        self.prepare_timeout
    }

    /// How many engines are connected.
    pub fn connected(&self) -> usize {
        self.state.lock().sessions.len()
    }

    /// The highest version that any engine has run when it connected. A number up to this may be another map's.
    pub fn highest_said(&self) -> u64 {
        self.state.lock().highest_said
    }

    /// An engine that runs a version which is not below the one in force, though this control plane has not given it; and that
    /// version. Of several, the highest.
    pub fn ahead(&self) -> Option<(String, u64)> {
        self.state.lock().ahead().map(|(engine_id, version)| (engine_id.to_owned(), version))
    }

    /// Every connected engine, by id.
    pub fn engines(&self) -> Vec<v1::EngineStatus> {
        let state = self.state.lock();
        let in_force = state.in_force.as_ref().map(|map| map.id);
        state.sessions.iter().map(|(engine_id, session)| session.status(engine_id, in_force)).collect()
    }

    /// The versions that connected engines run, were told to run, or are asked about.
    pub fn versions_in_use(&self) -> BTreeSet<u64> {
        let state = self.state.lock();
        let versions = state.sessions.values().flat_map(|session| {
            let asked = session.asked.map(|asked| asked.id);
            [Some(session.version), session.told.map(|id| id.version.get()), asked.map(|id| id.version.get())]
        });
        versions.flatten().collect()
    }

    pub(crate) fn join(&self, hello: v1::Hello) -> Result<(SessionSerial, Mailbox), Status> {
        let engine_id = hello.engine_id.clone();
        check_engine_id(&engine_id)?;
        let (version, software_version) = (highest_version(&hello), hello.software_version.clone());
        if version > limits::ENGINE_VERSION {
            return Err(Status::invalid_argument(format!(
                "Hello says version {version}; no RouteMap has a number above {}",
                limits::ENGINE_VERSION
            )));
        }
        let joined = self.change(|state, now| {
            let known = state.sessions.contains_key(&engine_id);
            (known || state.sessions.len() < limits::ENGINES).then(|| {
                let joined = state.join(hello, now);
                (known, joined, state.is_ahead(&engine_id))
            })
        });
        let Some((replaces, joined, is_ahead)) = joined else {
            warn!(engine_id, limit = limits::ENGINES, "an engine is turned away: too many are connected");
            return Err(Status::resource_exhausted(format!(
                "{} engines are connected, and that is the limit",
                limits::ENGINES
            )));
        };
        info!(engine_id, version, software_version, replaces, "an engine connected");
        if is_ahead {
            warn!(
                engine_id,
                version,
                "the engine has routed by a version that was not given here: the store was emptied, or put back from an older copy. It \
                 stays on its map until the next update, which will be numbered above"
            );
        }
        self.metrics.sessions.inc();
        Ok(joined)
    }

    pub(crate) fn leave(&self, engine_id: &str, serial: SessionSerial) {
        info!(engine_id, "an engine's connection ended");
        self.change(|state, now| state.leave(engine_id, serial, now));
    }

    /// What an engine says after its Hello. An error ends its stream.
    pub(crate) fn report(
        &self,
        engine_id: &str,
        serial: SessionSerial,
        report: v1::EngineReport,
    ) -> Result<(), Status> {
        let notable = self.change(|state, now| {
            if let Some(session) = state.sessions.get_mut(engine_id).filter(|session| session.serial == serial) {
                session.heard();
                if let Some(Report::Health(health)) = &report.report {
                    session.set_health(*health);
                }
            }
            match report.report {
                Some(Report::Hello(_)) => Notable::Invalid("Hello comes first, and only once"),
                Some(Report::Prepared(report)) => state.prepared(engine_id, serial, &report, now),
                Some(Report::Rejected(report)) => state.rejected(engine_id, serial, report, now),
                Some(Report::InForce(report)) => state.in_force(engine_id, serial, report, now),
                // An empty one is a report that a newer engine knows and this release does not.
                Some(Report::Health(_)) | None => Notable::Nothing,
            }
        });
        match notable {
            Notable::Nothing => Ok(()),
            Notable::Invalid(fault) => Err(Status::invalid_argument(fault)),
            Notable::RefusedInForce(id, reasons) => {
                self.metrics.in_force_refused.inc();
                let reasons = reasons_text(&reasons);
                warn!(engine_id, version = %id.version, reasons, "an engine can't use the map in force, and stays with its own; it is asked again");
                Ok(())
            }
        }
    }

    /// Cuts off engines that do not answer, and asks those again that refused the map in force a while ago. To be called every now
    /// and then.
    pub fn look_after(&self) {
        let silent = self.change(|state, now| {
            let silent = state.expire(self.prepare_timeout, now);
            state.advance(now);
            silent
        });
        for engine_id in silent {
            warn!(engine_id, timeout = ?self.prepare_timeout, "an engine did not answer to Prepare, and is cut off");
        }
    }

    /// Asks those again that refused the map in force, now.
    pub fn reconsider(&self) {
        self.change(|state, now| state.reconsider(now));
    }

    /// Ends every engine's stream. For the end of the process.
    pub fn end_all(&self, reason: &str) {
        self.change(|state, _| {
            let engine_ids: Vec<String> = state.sessions.keys().cloned().collect();
            for engine_id in engine_ids {
                state.end(&engine_id, Status::unavailable(reason));
            }
        });
    }

    /// Asks every connected engine to prepare `map`. One at a time: a second one ends the first.
    pub fn begin(self: &Arc<Fleet>, map: NamedMap) -> Preparing {
        self.ask(map, false)
    }

    /// Asks every connected engine whether it could prepare `map`, only to know it.
    pub fn begin_dry_run(self: &Arc<Fleet>, map: NamedMap) -> Preparing {
        self.ask(map, true)
    }

    fn ask(self: &Arc<Fleet>, map: NamedMap, dry_run: bool) -> Preparing {
        debug!(version = %map.id.version, sha256 = %map.id.sha256, "every engine is asked to prepare a map");
        self.change(|state, now| {
            state.abort("another update began", now);
            state.begin(map, dry_run, now);
        });
        Preparing { fleet: Arc::clone(self), deadline: Instant::now() + self.prepare_timeout, decided: false }
    }

    /// If all engines have gone lately, waits for the first that comes back; an error says how long ago the last one went. Else a map
    /// that was refused a moment ago, by an engine that was then cut off, would go through for want of engines.
    pub(crate) async fn wait_for_return(&self) -> Result<(), Duration> {
        let away = |state: &State| {
            let gone = state.deserted_at.filter(|_| state.sessions.is_empty()).map(|at| at.elapsed());
            gone.filter(|gone| *gone < limits::ENGINES_AWAITED)
        };
        self.wait(Instant::now() + self.prepare_timeout, |state| away(state).is_none()).await;
        away(&self.state.lock()).map_or(Ok(()), Err)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let done = {
            let mut state = self.state.lock();
            let had_engines = !state.sessions.is_empty();
            let done = change(&mut state, now);
            if had_engines && state.sessions.is_empty() {
                state.deserted_at = Some(now);
            }
            done
        };
        self.changed.send_replace(());
        done
    }

    /// False if the time is up before `is_so`.
    async fn wait(&self, deadline: Instant, is_so: impl Fn(&State) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !is_so(&self.state.lock()) {
                // The sender lives as long as `self`.
                changed.changed().await.ok();
            }
        };
        tokio::time::timeout_at(deadline.into(), wait).await.is_ok()
    }
}

/// An update that the engines are asked about, and that is not decided. Dropped, it is aborted.
#[must_use = "an update that is dropped is aborted"]
pub struct Preparing {
    fleet: Arc<Fleet>,
    deadline: Instant,
    decided: bool,
}

impl Preparing {
    /// Waits until every engine has answered, or its time is up, or its connection is lost. Returns how many have prepared the map,
    /// or who is against it.
    pub async fn answers(&self) -> Result<usize, Vec<EngineRefusal>> {
        let answered = |state: &State| state.round.as_ref().is_none_or(|round| round.all_answered());
        self.fleet.wait(self.deadline, answered).await;
        let timeout = self.fleet.prepare_timeout;
        let (refusals, prepared, silent) = self.fleet.change(|state, now| {
            let overdue = !answered(state);
            let refusals = state.round.as_ref().map_or(Vec::new(), |round| round.refusals(overdue));
            let prepared = state.round.as_ref().map_or(0, |round| round.prepared());
            let silent = if overdue { state.cut_off_silent(timeout, now) } else { Vec::new() };
            (refusals, prepared, silent)
        });
        for engine_id in silent {
            warn!(engine_id, ?timeout, "an engine did not answer to Prepare, and is cut off");
        }
        if refusals.is_empty() { Ok(prepared) } else { Err(refusals) }
    }

    /// What each engine did so far.
    pub fn outcomes(&self) -> Vec<v1::EngineOutcome> {
        self.fleet.state.lock().round.as_ref().map_or(Vec::new(), |round| round.outcomes())
    }

    /// Nobody switches.
    pub fn abort(mut self, reason: &str) {
        self.decided = true;
        self.fleet.change(|state, now| state.abort(reason, now));
    }

    /// Everybody switches: there is no way back. Waits until every engine has confirmed it, at most for `timeout`.
    pub async fn commit(mut self, timeout: Duration) -> Vec<v1::EngineOutcome> {
        self.decided = true;
        self.fleet.change(|state, now| state.commit(now));
        let confirmed = |state: &State| state.round.as_ref().is_none_or(|round| round.all_confirmed());
        self.fleet.wait(Instant::now() + timeout, confirmed).await;
        self.fleet.change(|state, _| state.round.take()).map_or(Vec::new(), |round| round.outcomes())
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        if !self.decided {
            self.fleet.change(|state, now| state.abort("the update was given up", now));
        }
    }
}

fn check_engine_id(engine_id: &str) -> Result<(), Status> {
    if engine_id.is_empty() {
        return Err(Status::invalid_argument(
            "Hello without an engine_id; give each engine a name of its own that outlives it",
        ));
    }
    if engine_id.len() > limits::ENGINE_ID_BYTES || engine_id.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!(
            "the engine_id must have at most {} bytes and no control characters",
            limits::ENGINE_ID_BYTES
        )));
    }
    Ok(())
}
