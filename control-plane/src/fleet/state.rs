//! What every engine runs, is asked and is told: the whole of the prepare/commit protocol, without a clock, a task or a socket.
//!
//! It is driven by level, not by edge: after every event [`State::advance`] looks at what each engine runs and at what it should run,
//! and asks those that differ. So an engine that connects in the middle of an update needs no case of its own: when the update is
//! decided, the map in force is another, and the engine is brought to it like any that lags.
//!
//! Not here: waiting and deadlines ([`super::Fleet`]).

use super::round::{Part, Progress, Round};
use super::session::{Asked, Mailbox, Session, SessionSerial, highest_version};
use crate::limits;
use crate::map_id::MapId;
use bytes::Bytes;
use prost_types::Duration as WireDuration;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::Status;
use veltrix_proto::v1::{self, route_update::Update};

/// A map and its name.
#[derive(Clone, Debug)]
pub struct NamedMap {
    /// Number and digest.
    pub id: MapId,
    /// A serialized RouteMap. Shared by all who send it.
    pub map: Bytes,
}

/// What an engine did that someone should know of.
#[derive(Debug, PartialEq)]
pub(super) enum Notable {
    Nothing,
    /// It can't use the map in force, and stays with what it has.
    RefusedInForce(MapId, Vec<v1::RefusedField>),
    Invalid(&'static str),
}

#[derive(Default)]
pub(super) struct State {
    /// By engine id.
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) in_force: Option<NamedMap>,
    pub(super) round: Option<Round>,
    /// The highest version that any engine has run when it connected.
    pub(super) highest_said: u64,
    /// When the last of the engines went.
    pub(super) deserted_at: Option<Instant>,
    serials: u64,
}

impl State {
    pub(super) fn new(in_force: Option<NamedMap>) -> State {
        State { in_force, ..State::default() }
    }

    /// Takes in a new connection. An older one of the same engine ends.
    pub(super) fn join(&mut self, hello: v1::Hello, now: Instant) -> (SessionSerial, Mailbox) {
        let engine_id = hello.engine_id.clone();
        self.end(
            &engine_id,
            Status::already_exists(format!("engine `{engine_id}` connected again; the newer connection stays")),
        );
        self.serials = self.serials.saturating_add(1);
        let serial = SessionSerial(self.serials);
        self.highest_said = self.highest_said.max(highest_version(&hello));
        let (session, mailbox) = Session::new(serial, hello);
        let in_force = self.in_force.as_ref().map(|map| map.id);
        let welcome = v1::Welcome {
            version: in_force.map_or(0, |id| id.version.get()),
            sha256: in_force.map_or(Bytes::new(), |id| id.sha256.to_bytes()),
        };
        self.sessions.insert(engine_id.clone(), session);
        self.send(&engine_id, Update::Welcome(welcome));
        self.advance(now);
        (serial, mailbox)
    }

    /// The connection is gone.
    pub(super) fn leave(&mut self, engine_id: &str, serial: SessionSerial, now: Instant) {
        if self.session(engine_id, serial).is_some() {
            self.sessions.remove(engine_id);
            self.lost(engine_id, serial);
            self.advance(now);
        }
    }

    /// Ends an engine's connection, if there is one.
    pub(super) fn end(&mut self, engine_id: &str, status: Status) {
        if let Some(session) = self.sessions.remove(engine_id) {
            self.lost(engine_id, session.serial);
            session.end(status);
        }
    }

    pub(super) fn prepared(
        &mut self,
        engine_id: &str,
        serial: SessionSerial,
        report: &v1::Prepared,
        now: Instant,
    ) -> Notable {
        let Some(id) = MapId::from_wire(report.version, &report.sha256) else {
            return Notable::Invalid("Prepared without a version or a SHA-256");
        };
        let Some(asked) = self.answered(engine_id, serial, id) else {
            return Notable::Nothing;
        };
        match self.round.as_mut().filter(|round| round.id == id && !round.decided) {
            _ if asked.aborted => {}
            Some(round) => {
                if let Some(part) = round.part(engine_id, serial) {
                    part.progress = Progress::Prepared;
                    part.prepare = report.took;
                }
            }
            None => self.caught_up(engine_id, id, report.took),
        }
        self.advance(now);
        Notable::Nothing
    }

    pub(super) fn rejected(
        &mut self,
        engine_id: &str,
        serial: SessionSerial,
        report: v1::Rejected,
        now: Instant,
    ) -> Notable {
        let Some(id) = MapId::from_wire(report.version, &report.sha256) else {
            return Notable::Invalid("Rejected without a version or a SHA-256");
        };
        let reasons = bounded(report.reasons);
        let asked = self.answered(engine_id, serial, id);
        // Also a Commit can be rejected, though an engine that prepared the map should not.
        let told = self.session(engine_id, serial).is_some_and(|session| session.told == Some(id));
        if asked.is_some_and(|asked| asked.aborted) {
            self.advance(now);
            return Notable::Nothing;
        }
        if asked.is_none() && !told {
            return Notable::Nothing;
        }
        if let Some(part) =
            self.round.as_mut().filter(|round| round.id == id).and_then(|round| round.part(engine_id, serial))
        {
            part.progress = Progress::Refused(reasons.clone());
        }
        let in_force = self.in_force.as_ref().is_some_and(|map| map.id == id);
        if let Some(session) = self.session(engine_id, serial).filter(|_| in_force) {
            let reasons = reasons.iter().take(limits::REASONS_IN_STATUS).cloned().collect();
            session.refuses(id, reasons, now);
        }
        self.advance(now);
        if in_force { Notable::RefusedInForce(id, reasons) } else { Notable::Nothing }
    }

    pub(super) fn in_force(
        &mut self,
        engine_id: &str,
        serial: SessionSerial,
        report: v1::InForce,
        now: Instant,
    ) -> Notable {
        let Some(id) = MapId::from_wire(report.version, &report.sha256) else {
            return Notable::Invalid("InForce without a version or a SHA-256");
        };
        if report.version > limits::ENGINE_VERSION {
            return Notable::Invalid("InForce says a version above all that there can be");
        }
        if !self.session(engine_id, serial).is_some_and(|session| session.confirmed(id)) {
            return Notable::Nothing;
        }
        let round = self.round.as_mut().filter(|round| round.id == id && round.decided);
        if let Some(part) = round.and_then(|round| round.part(engine_id, serial)) {
            part.progress = Progress::InForce;
            part.swap = report.took;
        }
        self.advance(now);
        Notable::Nothing
    }

    /// Begins an update with every engine that is connected now.
    pub(super) fn begin(&mut self, map: NamedMap, dry_run: bool, now: Instant) {
        let part = |(engine_id, session): (&String, &Session)| {
            // It connected after the number had been given.
            let progress = match session.is_ahead_of(map.id) {
                true => Progress::Refused(vec![session.ahead_of(map.id)]),
                false => Progress::Waiting,
            };
            (engine_id.clone(), Part::new(session.serial, progress))
        };
        let parts = self.sessions.iter().map(part).collect();
        self.round = Some(Round { id: map.id, map: map.map, decided: false, dry_run, parts });
        self.advance(now);
    }

    /// Whether this engine runs a version that was not given here, as far as can be told.
    pub(super) fn is_ahead(&self, engine_id: &str) -> bool {
        self.sessions.get(engine_id).is_some_and(|session| match &self.in_force {
            Some(map) => session.is_ahead_of(map.id),
            None => session.highest > 0,
        })
    }

    /// The highest version among the engines that run one which is not below the one in force, and whose it is.
    pub(super) fn ahead(&self) -> Option<(&str, u64)> {
        let in_force = self.in_force.as_ref()?.id;
        let ahead = self.sessions.iter().filter(|(_, session)| session.is_ahead_of(in_force));
        ahead.map(|(engine_id, session)| (engine_id.as_str(), session.highest)).max_by_key(|(_, version)| *version)
    }

    /// Ends the update: nobody switches.
    pub(super) fn abort(&mut self, reason: &str, now: Instant) {
        let Some(round) = self.round.take() else {
            return;
        };
        for (engine_id, part) in &round.parts {
            if !matches!(part.progress, Progress::Asked | Progress::Prepared) {
                continue;
            }
            // One that was asked still owes its answer, and is asked nothing else before.
            if let Some(session) = self.session(engine_id, part.serial) {
                if let Some(asked) = &mut session.asked {
                    asked.aborted = true;
                }
                self.send(engine_id, abort(round.id, reason, round.dry_run));
            }
        }
        self.advance(now);
    }

    /// The decision is stored: the update's map is in force from here on. Whoever is connected is told, or brought to it.
    pub(super) fn commit(&mut self, now: Instant) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        round.decided = true;
        self.in_force = Some(NamedMap { id: round.id, map: round.map.clone() });
        let ahead_by = |session: &Session| session.is_ahead_of(round.id).then(|| session.ahead_of(round.id));
        let connected = self.sessions.iter().map(|(id, session)| (id.clone(), session.serial, ahead_by(session)));
        let connected: Vec<_> = connected.collect();
        for (engine_id, serial, ahead) in connected {
            match (round.part(&engine_id, serial), ahead) {
                (Some(part), _) => {
                    part.progress = Progress::Told;
                    self.tell(&engine_id, round.id);
                }
                // It came too late to be asked, and `advance` sees to it, or can't.
                (None, ahead) => {
                    let progress = ahead.map_or(Progress::Told, |reason| Progress::Refused(vec![reason]));
                    round.parts.insert(engine_id, Part::new(serial, progress));
                }
            }
        }
        // A connection that was cut off by the telling had been told as well as any that is lost on the way.
        for (engine_id, part) in &mut round.parts {
            let is_there = self.sessions.get(engine_id).is_some_and(|session| session.serial == part.serial);
            if part.progress == Progress::Told && !is_there {
                part.progress = Progress::Lost;
            }
        }
        self.round = Some(round);
        self.advance(now);
    }

    /// Cuts off those that were asked to prepare a map longer than `timeout` ago, and returns their ids. An engine that hangs would
    /// hold up every update. While an update waits for answers itself, its engines are left to it, and to its deadline: here they
    /// would be lost, and their silence no reason against the update.
    pub(super) fn expire(&mut self, timeout: Duration, now: Instant) -> Vec<String> {
        let undecided = self.round.as_ref().filter(|round| !round.decided).map(|round| round.id);
        let late = |asked: Asked| Some(asked.id) != undecided && now.saturating_duration_since(asked.at) >= timeout;
        self.cut_off_if(late, timeout, now)
    }

    /// Cuts off those that have not answered the update, whose time is up.
    pub(super) fn cut_off_silent(&mut self, timeout: Duration, now: Instant) -> Vec<String> {
        let undecided = self.round.as_ref().map(|round| round.id);
        self.cut_off_if(|asked| Some(asked.id) == undecided, timeout, now)
    }

    fn cut_off_if(&mut self, is_late: impl Fn(Asked) -> bool, timeout: Duration, now: Instant) -> Vec<String> {
        let is_late = |session: &Session| session.asked.is_some_and(&is_late);
        let late = self.sessions.iter().filter(|(_, session)| is_late(session));
        let late: Vec<String> = late.map(|(engine_id, _)| engine_id.clone()).collect();
        for engine_id in &late {
            let message = format!("no answer to Prepare within {timeout:?}; connect again when the engine can answer");
            self.end(engine_id, Status::deadline_exceeded(message));
        }
        self.advance(now);
        late
    }

    /// Those that have refused the map in force are asked again, without waiting for their time.
    pub(super) fn reconsider(&mut self, now: Instant) {
        self.sessions.values_mut().for_each(|session| session.reconsider(now));
        self.advance(now);
    }

    /// Asks every engine that should run another map than it does, as far as it may be asked now. Time alone can change that, for one
    /// that has refused: so this is to be called every now and then, too.
    pub(super) fn advance(&mut self, now: Instant) {
        let mut cut_off = Vec::new();
        let asked = self.sessions.values().filter(|session| session.asked.is_some()).count();
        let mut room = limits::PREPARES_AT_ONCE.saturating_sub(asked);
        for (engine_id, session) in &mut self.sessions {
            if room == 0 {
                break;
            }
            if session.asked.is_some() {
                continue;
            }
            let Some(next) = next_map(engine_id, session, self.round.as_mut(), self.in_force.as_ref(), now) else {
                continue;
            };
            room -= 1;
            session.asked = Some(Asked { id: next.id, at: now, aborted: false });
            let prepare =
                v1::Prepare { version: next.id.version.get(), sha256: next.id.sha256.to_bytes(), route_map: next.map };
            if !session.send(Update::Prepare(prepare)) {
                cut_off.push(engine_id.clone());
            }
        }
        for engine_id in cut_off {
            self.end(&engine_id, unread());
        }
    }

    /// The question that this is the answer to. There is one open question at most, and a stream keeps the order, so that no answer
    /// needs to name its question more closely than by the map.
    fn answered(&mut self, engine_id: &str, serial: SessionSerial, id: MapId) -> Option<Asked> {
        self.session(engine_id, serial)?.asked.take_if(|asked| asked.id == id)
    }

    /// An engine outside the update has prepared a map: that in force, or one that no longer is.
    fn caught_up(&mut self, engine_id: &str, id: MapId, took: Option<WireDuration>) {
        if self.in_force.as_ref().is_none_or(|map| map.id != id) {
            return self.send(engine_id, abort(id, "another version came in force meanwhile", false));
        }
        if let Some(part) =
            self.round.as_mut().filter(|round| round.id == id).and_then(|round| round.parts.get_mut(engine_id))
        {
            part.prepare = took;
        }
        self.tell(engine_id, id);
    }

    fn tell(&mut self, engine_id: &str, id: MapId) {
        if let Some(session) = self.sessions.get_mut(engine_id) {
            session.tell(id);
        }
        self.send(engine_id, Update::Commit(v1::Commit { version: id.version.get(), sha256: id.sha256.to_bytes() }));
    }

    fn send(&mut self, engine_id: &str, update: Update) {
        if self.sessions.get(engine_id).is_some_and(|session| !session.send(update)) {
            self.end(engine_id, unread());
        }
    }

    fn session(&mut self, engine_id: &str, serial: SessionSerial) -> Option<&mut Session> {
        self.sessions.get_mut(engine_id).filter(|session| session.serial == serial)
    }

    fn lost(&mut self, engine_id: &str, serial: SessionSerial) {
        let Some(round) = &mut self.round else { return };
        let decided = round.decided;
        let Some(part) = round.part(engine_id, serial) else {
            return;
        };
        match part.progress {
            Progress::Refused(_) | Progress::InForce => {}
            _ => part.progress = if decided { Progress::Lost } else { Progress::Gone },
        }
    }
}

/// What this engine is to be asked for next, if anything.
fn next_map(
    engine_id: &str,
    session: &Session,
    round: Option<&mut Round>,
    in_force: Option<&NamedMap>,
    now: Instant,
) -> Option<NamedMap> {
    if let Some(round) = round.filter(|round| !round.decided) {
        let refused = round.is_refused();
        let next = NamedMap { id: round.id, map: round.map.clone() };
        if let Some(part) = round.part(engine_id, session.serial) {
            if part.progress == Progress::Waiting && !refused {
                part.progress = Progress::Asked;
                return Some(next);
            }
            // It holds the update's map, or has refused it: nothing else until the decision.
            return None;
        }
    }
    let in_force = in_force?;
    let lags = session.told != Some(in_force.id) && session.may_be_asked(in_force.id, now);
    lags.then(|| in_force.clone())
}

fn abort(id: MapId, reason: &str, dry_run: bool) -> Update {
    Update::Abort(v1::Abort { version: id.version.get(), sha256: id.sha256.to_bytes(), reason: reason.into(), dry_run })
}

fn unread() -> Status {
    Status::resource_exhausted(format!(
        "{} updates were left unread; connect again when the engine reads its updates",
        limits::UPDATES_PER_ENGINE
    ))
}

fn bounded(reasons: Vec<v1::RefusedField>) -> Vec<v1::RefusedField> {
    let cut = |text: String| limits::cut(&text, limits::ENGINE_REASON_BYTES).to_owned();
    reasons
        .into_iter()
        .take(limits::REASONS_PER_ENGINE)
        .map(|reason| v1::RefusedField { path: cut(reason.path), message: cut(reason.message) })
        .collect()
}

#[cfg(test)]
mod tests;
