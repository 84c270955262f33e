//! Who may be connected, and for how long.
//!
//! There are only so many places. A connection with a request under way, such as an engine's stream, keeps its place. One without is
//! idle: when all places are taken, the one that has been idle longest makes way for a new one, and one that has not made its first
//! request in time is closed anyway. So silent connections, however many, keep neither engines nor operators out: a new client needs
//! its place without a request only until its first bytes are here.
//!
//! Not here: what requests do, and how many there may be of a kind ([`crate::http::admit`]).

use crate::held_body::HeldBody;
use crate::limits;
use crate::metrics::Metrics;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// After an accept that failed, for want of file descriptors most likely, the next would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Files that the process needs beside its connections: the store, the log, the listener, the runtime.
const OTHER_FILES: usize = 64;

type Server = auto::Builder<TokioExecutor>;

pub(crate) struct Connections {
    router: axum::Router,
    metrics: Arc<Metrics>,
    stopping: watch::Sender<bool>,
    server: Server,
    places: Arc<Places>,
}

impl Connections {
    /// At most `limit` at once, and fewer if the process may not open so many files.
    pub(crate) fn new(
        router: axum::Router,
        metrics: Arc<Metrics>,
        stopping: watch::Sender<bool>,
        limit: usize,
    ) -> Connections {
        let allowed = open_files().map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(1));
        if allowed < limit {
            warn!(limit, allowed, "fewer connections than the limit: the process may not open more files (ulimit -n)");
        }
        let places = Arc::new(Places { limit: limit.min(allowed), taken: Mutex::default() });
        Connections { router, metrics, stopping, server: server(), places }
    }

    /// Until `shutdown`. Returns the connections that are open then.
    pub(crate) async fn accept_until(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> JoinSet<()> {
        let connections = Arc::new(self);
        let mut open = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return open,
                accepted = listener.accept() => accepted,
                // So that what is done doesn't pile up.
                Some(_) = open.join_next() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = connections.places.take() else {
                connections.metrics.connections_closed.with_label_values(&["no_place"]).inc();
                warn!(%peer, limit = connections.places.limit, "a connection is turned away: all others have requests under way");
                continue;
            };
            let connections = Arc::clone(&connections);
            open.spawn(async move {
                connections.metrics.connections.inc();
                if let Err(fault) = connections.serve(stream, &place).await {
                    debug!(%peer, fault, "a connection ended");
                }
                connections.metrics.connections.dec();
            });
        }
    }

    async fn serve(&self, stream: TcpStream, place: &Arc<Place>) -> Result<(), String> {
        // Prepare and Commit are small and must not wait for more.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let under_way = place.begin();
            let response = router.call(request);
            async { response.await.map(|response| response.map(|body| HeldBody::new(body, under_way))) }
        });
        let mut connection = std::pin::pin!(self.server.serve_connection(TokioIo::new(stream), service));
        let mut stopping = self.stopping.subscribe();
        let stopped = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let closed = |why| self.metrics.connections_closed.with_label_values(&[why]).inc();
        tokio::select! {
            done = &mut connection => return done.map_err(|error| error.to_string()),
            () = place.gives_way() => {
                closed("made_way");
                return Err("it was idle longest, and made way for another".into());
            }
            () = place.unused_for(limits::FIRST_REQUEST_TIMEOUT) => {
                closed("no_request");
                return Err(format!("no request within {:?}", limits::FIRST_REQUEST_TIMEOUT));
            }
            () = stopped => {}
        }
        if !place.is_used() {
            return Ok(());
        }
        connection.as_mut().graceful_shutdown();
        connection.await.map_err(|error| error.to_string())
    }
}

fn server() -> Server {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .max_header_list_size(limits::HEADER_BYTES)
        // A map of some megabytes must not wait for a round trip every 64 KiB.
        .adaptive_window(true)
        .keep_alive_interval(limits::KEEPALIVE.0)
        .keep_alive_timeout(limits::KEEPALIVE.1);
    // This begins when the first byte is here, and the client's choice between HTTP/1 and HTTP/2 is known. Until then there is no
    // timeout in hyper-util: that is `Place::unused_for`.
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEADER_TIMEOUT);
    server
}

/// The places for connections.
struct Places {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    count: usize,
    /// Of these, so many have been asked to make way and have not ended.
    leaving: usize,
    /// Idle connections that were not asked, the one that became idle first comes first.
    idle: BTreeMap<u64, Arc<MakesWay>>,
    next: u64,
}

/// Asks a connection to make way for another.
#[derive(Default)]
struct MakesWay {
    /// Changed only while the places are locked.
    asked: AtomicBool,
    notify: Notify,
}

impl Taken {
    /// `None` if it has been asked to make way, and will.
    fn idle(&mut self, makes_way: &Arc<MakesWay>, limit: usize) -> Option<u64> {
        if makes_way.asked.load(Ordering::Relaxed) {
            return None;
        }
        let since = self.next;
        self.next += 1;
        self.idle.insert(since, Arc::clone(makes_way));
        self.keep_to(limit);
        Some(since)
    }

    /// Asks as many idle connections to make way as there are too many. False if there are too few for that.
    fn keep_to(&mut self, limit: usize) -> bool {
        while self.count - self.leaving > limit {
            let Some((_, longest)) = self.idle.pop_first() else {
                return false;
            };
            longest.asked.store(true, Ordering::Relaxed);
            longest.notify.notify_one();
            self.leaving += 1;
        }
        true
    }
}

impl Places {
    /// A place for a new connection, from another if need be. `None` if none of the others is idle.
    fn take(self: &Arc<Places>) -> Option<Arc<Place>> {
        let makes_way = Arc::<MakesWay>::default();
        let mut taken = self.taken.lock();
        // The one that makes way is counted until it has ended.
        taken.count += 1;
        if !taken.keep_to(self.limit) {
            taken.count -= 1;
            return None;
        }
        let idle_since = taken.idle(&makes_way, self.limit);
        let requests = Mutex::new(Requests { under_way: 0, idle_since, first_seen: false });
        Some(Arc::new(Place { places: Arc::clone(self), makes_way, requests }))
    }
}

/// One connection's place.
struct Place {
    places: Arc<Places>,
    makes_way: Arc<MakesWay>,
    /// Locked before the places are.
    requests: Mutex<Requests>,
}

struct Requests {
    under_way: usize,
    /// Where it is among the idle ones.
    idle_since: Option<u64>,
    first_seen: bool,
}

impl Place {
    fn begin(self: &Arc<Place>) -> RequestUnderWay {
        let mut requests = self.requests.lock();
        requests.first_seen = true;
        requests.under_way += 1;
        if let Some(since) = requests.idle_since.take() {
            self.places.taken.lock().idle.remove(&since);
        }
        RequestUnderWay(Arc::clone(self))
    }

    /// Done when it is to make way for another.
    async fn gives_way(&self) {
        loop {
            self.makes_way.notify.notified().await;
            if self.is_still_idle() {
                return;
            }
        }
    }

    /// A connection that was asked to make way may have begun a request in the same moment. Then it stays, and another makes way as soon
    /// as one is idle.
    fn is_still_idle(&self) -> bool {
        let requests = self.requests.lock();
        if requests.under_way > 0 {
            let mut taken = self.places.taken.lock();
            self.makes_way.asked.store(false, Ordering::Relaxed);
            taken.leaving -= 1;
            taken.keep_to(self.places.limit);
        }
        requests.under_way == 0
    }

    /// There was a request.
    fn is_used(&self) -> bool {
        self.requests.lock().first_seen
    }

    /// Done if there was no request at all in this time.
    async fn unused_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if self.is_used() {
            std::future::pending().await
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.count -= 1;
        if self.makes_way.asked.load(Ordering::Relaxed) {
            taken.leaving -= 1;
        }
        if let Some(since) = self.requests.get_mut().idle_since {
            taken.idle.remove(&since);
        }
    }
}

struct RequestUnderWay(Arc<Place>);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.requests.lock();
        requests.under_way -= 1;
        if requests.under_way == 0 {
            requests.idle_since = self.0.places.taken.lock().idle(&self.0.makes_way, self.0.places.limit);
        }
    }
}

/// How many files the process may have open, where that can be known: beyond it no connection can be accepted.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_asked(place: &Place) -> bool {
        place.makes_way.asked.load(Ordering::Relaxed)
    }

    #[test]
    fn a_connection_that_begins_a_request_when_it_is_asked_to_make_way_stays_and_the_next_idle_one_goes() {
        let places = Arc::new(Places { limit: 2, taken: Mutex::default() });
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        let under_way = second.begin();
        let third = places.take().unwrap();
        assert!(is_asked(&first) && !is_asked(&second) && !is_asked(&third));
        let first_under_way = first.begin();
        let third_under_way = third.begin();
        assert!(!first.is_still_idle(), "its request would be cut off");
        assert!(places.take().is_none(), "all have requests under way");
        // There is one too many, until one is idle.
        drop(under_way);
        assert!(is_asked(&second) && second.is_still_idle());
        drop(second);
        drop((first_under_way, third_under_way));
        assert!(!is_asked(&first) && !is_asked(&third));
        drop((first, third));
        let taken = places.taken.lock();
        assert_eq!((taken.count, taken.leaving, taken.idle.len()), (0, 0, 0));
    }
}
