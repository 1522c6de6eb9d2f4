//! What a decision may look at and call.
use std::collections::BTreeMap;
use std::sync::Arc;

use arm::{ResourceId, Seen};
use plan::Settings;

use crate::azure::Azure;
use crate::execute::Executor;
use crate::gateway::Gateway;
use crate::monitor::Monitor;
use crate::store::Store;

/// What a decision may look at and call. Cheap to share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) executor: Executor,
    pub(crate) azure: Arc<Azure>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) monitor: Arc<Monitor>,
}

/// What own writes of this very reconcile have answered, so that it need not be read.
pub(crate) type Fresh = BTreeMap<ResourceId, Seen>;
