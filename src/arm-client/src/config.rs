//! What a client is made with.
use std::sync::Arc;
use std::time::Duration;

use arm::Cloud;

/// What a client is made with. `Config::default()` is right for the global cloud.
#[derive(Clone)]
pub struct Config {
    /// The cloud that is talked to, and that gives the tokens.
    pub cloud: Cloud,
    /// Certificates (PEM) that are trusted beside those of the system.
    pub ca: Option<Vec<u8>>,
    /// How calls introduce themselves.
    pub user_agent: String,
    /// How long one call may take, and how long a token.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub body_limit: usize,
    /// How fast each subscription is called by each identity.
    pub limits: Limits,
    /// How long a call waits for a bucket that the server closed, before it fails as throttled.
    pub patience: Duration,
    /// Whether reads of one collection that wait for their bucket are answered by one list.
    pub coalesce: bool,
    /// Whether Azure Resource Manager may be reached by plain HTTP on this host. For tests.
    pub loopback_http: bool,
    /// What is told of every call.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cloud: Cloud::default(),
            ca: None,
            user_agent: concat!("mlops-operator/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(20),
            body_limit: 16 << 20,
            limits: Limits::default(),
            patience: Duration::from_secs(30),
            coalesce: true,
            loopback_http: false,
            observer: None,
        }
    }
}

/// The token buckets of one identity in one subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// GET.
    pub reads: Limit,
    /// PUT, PATCH and POST.
    pub writes: Limit,
    /// DELETE.
    pub deletes: Limit,
}

/// One token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// How many calls it holds.
    pub burst: u32,
    /// How many calls it regains in a second.
    pub per_second: f64,
}

impl Default for Limits {
    /// The buckets that Azure Resource Manager has for each identity in each subscription and region.
    fn default() -> Self {
        Self {
            reads: Limit { burst: 250, per_second: 25.0 },
            writes: Limit { burst: 200, per_second: 10.0 },
            deletes: Limit { burst: 200, per_second: 10.0 },
        }
    }
}

/// Is told of every call, for metrics.
pub trait Observer: Send + Sync {
    /// A call ended.
    fn on_call(&self, call: &Call<'_>);
}

/// A call that ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call<'a> {
    /// Such as `GET`, or `TOKEN` for a request for a token.
    pub method: &'static str,
    /// The resource type as the table of types has it, or `other`; so that there are few of them.
    pub resource_type: &'a str,
    /// The status, or why there was none: `timeout`, `connect`, `broken`.
    pub outcome: &'a str,
    /// How long the answer took.
    pub duration: Duration,
    /// How long the call had waited for its bucket.
    pub waited: Duration,
}
