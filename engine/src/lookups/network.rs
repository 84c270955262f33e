//! What calls are made with: one thread for all of an engine, so that they neither wait for the engine's other tasks nor hold
//! these up, connections, and the trust that they are made in.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// Connections that are kept for a host while they have nothing to do; those of gRPC are one each.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// A connection that takes longer is given up, so that the next one can be tried: packets to a machine that is gone are lost without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The thread that makes calls, and what it makes them with.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) handle: Handle,
    pub(super) http: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    tls: rustls::ClientConfig,
    /// By endpoint: lookups that have the same one share a connection.
    peers: Mutex<HashMap<String, Weak<Peer>>>,
    /// Ends the thread when it is dropped.
    _running: oneshot::Sender<()>,
}

impl Network {
    /// With the trust of this machine: most lookups go to the operator's own services, whose certificates are of an authority that only
    /// the operator knows. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    pub(super) fn start() -> io::Result<Network> {
        // Without any trust, what is called by `http://` can still be called.
        let tls = match tls()?.with_native_roots() {
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(
                    "this machine has no certificates to trust, so that no lookup by `https://` can be made; \
                     SSL_CERT_FILE can name a file of them: {error}"
                );
                tls()?.with_root_certificates(rustls::RootCertStore::empty())
            }
        };
        Network::start_with(tls.with_no_client_auth())
    }

    fn start_with(tls: rustls::ClientConfig) -> io::Result<Network> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1();
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector.wrap_connector(tcp()));
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("lookup-calls".to_owned()).spawn(move || {
            let _gone = runtime.block_on(ended);
        })?;
        Ok(Network { handle, http, tls, peers: Mutex::default(), _running: running })
    }

    /// The peer at this endpoint. It is not connected to before it is called.
    ///
    /// # Errors
    /// The endpoint is no URI.
    pub(super) fn peer(&self, endpoint: &str) -> Result<Arc<Peer>, tonic::transport::Error> {
        let mut peers = self.peers.lock();
        if let Some(known) = peers.get(endpoint).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http().enable_http2();
        let connector = connector.wrap_connector(tcp());
        let target = Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(CONNECT_TIMEOUT);
        // What a channel does besides calls is done on that thread, too.
        let _entered = self.handle.enter();
        let channel = Mutex::new(target.connect_with_connector_lazy(connector.clone()));
        let peer = Arc::new(Peer { target, connector, channel });
        peers.retain(|_, peer| peer.strong_count() > 0);
        peers.insert(endpoint.to_owned(), Arc::downgrade(&peer));
        Ok(peer)
    }
}

/// Whom gRPC calls go to.
#[derive(Debug)]
pub(super) struct Peer {
    target: Endpoint,
    connector: HttpsConnector<HttpConnector>,
    channel: Mutex<Channel>,
}

impl Peer {
    /// Its connection, or the one that the first call makes.
    pub(super) fn channel(&self) -> Channel {
        self.channel.lock().clone()
    }

    /// Calls from now on go by a new connection. A connection whose other end is gone looks alive for as long as nobody says otherwise.
    pub(super) fn renew(&self) {
        *self.channel.lock() = self.target.connect_with_connector_lazy(self.connector.clone());
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // Which are the business of what is around it.
    tcp.enforce_http(false);
    // Calls share a connection: none shall wait until what was sent before it has arrived.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

fn tls() -> io::Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    tls.map_err(io::Error::other)
}

/// An error and what it is because of, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let why = error.to_string();
        if !text.contains(&why) {
            let _ = write!(text, ": {why}");
        }
        source = error.source();
    }
    text
}
