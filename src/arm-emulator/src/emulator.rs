//! Starting and stopping an emulator, and what tests do with one.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::core::Core;
use crate::data_plane::{Control, DataPlane};
use crate::fault::Faults;
use crate::log::Log;
use crate::persist::{self, Keys};
use crate::server::{self, Door};
use crate::settings::{Client, Settings};
use crate::throttle::Rates;
use crate::tls;
use crate::token::Issuer;

/// What an emulator is made of. Start with [`Emulator::builder`].
#[derive(Clone)]
pub struct Builder {
    settings: Settings,
    address: SocketAddr,
    hosts: Vec<String>,
    http: bool,
    certificate: Option<(PathBuf, PathBuf)>,
    data_plane: Option<Arc<dyn DataPlane>>,
}

impl Builder {
    /// All settings at once.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Where to listen; port 0 takes any that is free.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// A further name for the certificate, such as that of a Service.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }

    /// Plain HTTP.
    #[must_use]
    pub fn http(self) -> Self {
        Self { http: true, ..self }
    }

    /// A certificate and its key from files, instead of the emulator's own authority.
    #[must_use]
    pub fn certificate(self, certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate: Some((certificate, key)), ..self }
    }

    /// How long every operation takes, in milliseconds of the emulator's time.
    #[must_use]
    pub fn operation_duration(mut self, duration: i64) -> Self {
        self.settings.operation_duration = duration;
        self
    }

    /// How long the operations of one type take; the type may be shortened to its end, `onlineEndpoints` say.
    #[must_use]
    pub fn operation_duration_of(mut self, kind: &str, duration: i64) -> Self {
        self.settings.operation_durations.insert(kind.to_ascii_lowercase(), duration);
        self
    }

    /// Throttling; none turns it off.
    #[must_use]
    pub fn rates(mut self, rates: Option<Rates>) -> Self {
        self.settings.rates = rates;
        self
    }

    /// The one interval of metrics and how far they lag behind, in milliseconds of the wall clock.
    #[must_use]
    pub fn metrics(mut self, grain: i64, lag: i64) -> Self {
        (self.settings.metric_grain, self.settings.metric_lag) = (grain, lag);
        self
    }

    /// How many times as fast as the wall clock the emulator's time runs.
    #[must_use]
    pub fn time_scale(mut self, scale: f64) -> Self {
        self.settings.time_scale = scale;
        self
    }

    /// Keeps the state in a file.
    #[must_use]
    pub fn state(mut self, path: &Path) -> Self {
        self.settings.state = Some(path.to_owned());
        self
    }

    /// A further client that may ask for tokens.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.settings.clients.push(client);
        self
    }

    /// How long access tokens are good for, in seconds.
    #[must_use]
    pub fn token_lifetime(mut self, seconds: u64) -> Self {
        self.settings.token_lifetime = seconds;
        self
    }

    /// What runs behind the control plane.
    #[must_use]
    pub fn data_plane(self, data_plane: Arc<dyn DataPlane>) -> Self {
        Self { data_plane: Some(data_plane), ..self }
    }

    /// Starts it in the runtime of the caller.
    pub async fn start(self) -> anyhow::Result<Emulator> {
        let (keys, state) = persist::load(self.settings.state.as_deref())?;
        let issuer = Issuer::new(&keys.tokens, &self.settings)?;
        let listener = TcpListener::bind(self.address)
            .await
            .with_context(|| format!("failed to listen on {}", self.address))?;
        let address = listener.local_addr()?;
        let tls = self.tls(&keys, address)?;
        let core = Arc::new(Core::new(self.settings, state, issuer));
        if let Some(data_plane) = self.data_plane {
            core.set_data_plane(Arc::clone(&data_plane));
            data_plane.resume(Control { core: Arc::clone(&core) });
        }
        let authority = address.to_string();
        let door = Door {
            core: Arc::clone(&core),
            identity_header: keys.identity_header.as_str().into(),
            tls,
            authority: authority.as_str().into(),
        };
        let secure = door.tls.is_some();
        let mut tasks =
            vec![tokio::spawn(server::listen(listener, door)), tokio::spawn(Arc::clone(&core).tick())];
        if let Some(path) = core.settings.state.clone() {
            persist::save(&path, &keys, &core)
                .with_context(|| format!("failed to write {}", path.display()))?;
            tasks.push(tokio::spawn(persist::keep(path, keys.clone(), Arc::clone(&core))));
        }
        let url = format!("{}://{authority}", if secure { "https" } else { "http" });
        Ok(Emulator { core, keys, url, address, tasks })
    }

    fn tls(&self, keys: &Keys, address: SocketAddr) -> anyhow::Result<Option<TlsAcceptor>> {
        if self.http {
            return Ok(None);
        }
        let config = if let Some((certificate, key)) = &self.certificate {
            let read = |path: &Path| {
                std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
            };
            tls::given(&read(certificate)?, &read(key)?)?
        } else {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            if !address.ip().is_unspecified() {
                names.push(address.ip().to_string());
            }
            names.extend(self.hosts.iter().cloned());
            names.sort();
            names.dedup();
            keys.authority.server(&names)?
        };
        Ok(Some(TlsAcceptor::from(config)))
    }
}

/// A running emulator. It ends when it is dropped; [`Emulator::stop`] writes its state first.
pub struct Emulator {
    core: Arc<Core>,
    keys: Keys,
    url: String,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// An emulator on any free port of the loopback interface, over HTTPS.
    pub fn builder() -> Builder {
        Builder {
            settings: Settings::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            hosts: Vec::new(),
            http: false,
            certificate: None,
            data_plane: None,
        }
    }

    /// Where it listens: the endpoint of Resource Manager and the authority of tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its authority, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.keys.authority.certificate
    }

    /// What callers of the App Service identity endpoint send as `x-identity-header`.
    pub fn identity_header(&self) -> &str {
        &self.keys.identity_header
    }

    /// The faults that are set.
    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    /// Every request that was answered or refused.
    pub fn log(&self) -> &Log {
        &self.core.log
    }

    /// The state, to look at or to change behind the clients' backs.
    pub fn control(&self) -> Control {
        Control { core: Arc::clone(&self.core) }
    }

    /// A token of the first client for this emulator.
    pub fn token(&self) -> anyhow::Result<String> {
        let client = self.core.settings.clients.first().context("no client is configured")?;
        Ok(self.core.issuer.issue(client, &self.url, &self.url)?.0)
    }

    /// Adds a client, or changes the secrets of one: a rotation.
    pub fn set_client(&self, client: Client) {
        self.core.issuer.set_client(client);
    }

    /// How long tokens that are issued from now on are good for.
    pub fn set_token_lifetime(&self, seconds: u64) {
        self.core.issuer.set_lifetime(seconds);
    }

    /// How far the clock of this Azure is ahead of the wall's, or behind it: that of tokens and of the header `Date`.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.core.issuer.set_skew(seconds);
    }

    /// Sets a quota: a family of machines, `onlineEndpoints` or `onlineDeployments`.
    pub fn set_limit(&self, name: &str, limit: i64) {
        self.core.state().limits.insert(name.to_ascii_lowercase(), limit);
        self.core.touched();
    }

    /// A resource's stored body, as [`Control::resource`] gives it.
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.control().resource(id)
    }

    /// Closes all connections and writes the state.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for task in self.tasks.drain(..) {
            task.abort();
            // Aborted is what it is to be.
            let _ = task.await;
        }
        if let Some(data_plane) = self.core.data_plane() {
            data_plane.stop().await;
        }
        if let Some(path) = &self.core.settings.state {
            persist::save(path, &self.keys, &self.core)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(data_plane) = self.core.data_plane() {
            // It begins to end at the call; nobody is there to wait.
            drop(data_plane.stop());
        }
    }
}
