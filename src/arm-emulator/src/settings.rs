//! What can be chosen when an emulator is started.
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::throttle::Rates;

/// A program that may ask for tokens.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Client {
    /// The application (client) id.
    pub id: String,
    /// Secrets that are accepted.
    pub secrets: Vec<String>,
    /// Whether a federated token is accepted in the place of a secret.
    pub federated: bool,
    /// The object id of the service principal, by which throttling counts.
    pub object: String,
}

/// The defaults are those of a quick test: operations take half a second, throttling is real.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tenant that exists.
    pub tenant: String,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// How long access tokens are good for, in seconds.
    pub token_lifetime: u64,
    /// Accept any bearer token, by its word alone.
    pub accept_any_token: bool,
    /// How long an operation takes, in milliseconds of the emulator's time.
    pub operation_duration: i64,
    /// The same for single types, by their names in lower case.
    pub operation_durations: BTreeMap<String, i64>,
    /// What `Retry-After` says while an operation runs, in seconds.
    pub retry_after: u64,
    /// Throttling; none turns it off.
    pub rates: Option<Rates>,
    /// The one interval of metrics, in milliseconds of the wall clock. Azure's is a minute.
    pub metric_grain: i64,
    /// How far metrics lag behind what they measure, in the same.
    pub metric_lag: i64,
    /// How many resources a page of a list holds.
    pub page_size: usize,
    /// The region of what says none.
    pub region: String,
    /// How many times as fast as the wall clock the emulator's time runs.
    pub time_scale: f64,
    /// Where the state is kept.
    pub state: Option<PathBuf>,
    /// The largest body of a request, in bytes.
    pub body_limit: usize,
    /// How many requests the log holds.
    pub log_capacity: usize,
    /// The domain of storage accounts, for what hands out links to blobs.
    pub storage_endpoint: String,
    /// The scheme of those links.
    pub storage_protocol: String,
    /// The one account of the blob service, where it has no other: every workspace's storage then has this name.
    pub storage_account: Option<String>,
    /// The key that every storage account has, in base64; one made from the tenant otherwise.
    pub storage_key: Option<String>,
}

/// The tenant of the defaults.
pub const TENANT: &str = "72f988bf-0000-4000-8000-2d7cd011db47";
/// The client of the defaults.
pub const CLIENT: &str = "c11e0000-0000-4000-8000-000000000001";
/// Its secret.
pub const SECRET: &str = "emulator-secret";

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: TENANT.to_owned(),
            clients: vec![Client::new(CLIENT, SECRET)],
            token_lifetime: 3600,
            accept_any_token: false,
            operation_duration: 500,
            operation_durations: BTreeMap::new(),
            retry_after: 1,
            rates: Some(Rates::default()),
            metric_grain: 60_000,
            metric_lag: 60_000,
            page_size: 100,
            region: "eastus".to_owned(),
            time_scale: 1.0,
            state: None,
            body_limit: 4 << 20,
            log_capacity: 50_000,
            storage_endpoint: "core.windows.net".to_owned(),
            storage_protocol: "https".to_owned(),
            storage_account: None,
            storage_key: None,
        }
    }
}

impl Client {
    /// A client with one secret, which may use federated tokens too.
    pub fn new(id: &str, secret: &str) -> Self {
        let object = crate::rules::guid(&["principal", id]);
        Self { id: id.to_owned(), secrets: vec![secret.to_owned()], federated: true, object }
    }
}

impl Settings {
    /// The key of every storage account.
    pub(crate) fn storage_key(&self) -> String {
        use base64::Engine as _;
        let made = || {
            base64::engine::general_purpose::STANDARD
                .encode(format!("{0}{0}", crate::rules::guid(&[&self.tenant])))
        };
        self.storage_key.clone().unwrap_or_else(made)
    }

    /// How long an operation on a type takes.
    pub(crate) fn duration(&self, kind: &str) -> i64 {
        let kind = kind.to_ascii_lowercase();
        let own = self.operation_durations.iter().find(|(name, _)| kind.ends_with(name.as_str()));
        own.map_or(self.operation_duration, |(_, duration)| *duration)
    }
}
