//! The table of kinds that are reconciled: a further kind is a further line.
use api::{Endpoint, ServingRuntime};
use jiff::Timestamp;
use kube::api::ApiResource;
use plan::Settings;

use crate::decision::Decision;
use crate::object::{ObjectName, Primary};
use crate::observe;
use crate::store::Store;

/// What the loop needs to know of a kind.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Which kind.
    pub primary: Primary,
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// Its coordinates in the API.
    pub resource: fn() -> ApiResource,
    /// Observes one object and decides what to do about it; `None` when it does not exist or is on its way out.
    pub decide: fn(&Store, &ObjectName, &Settings, Timestamp) -> anyhow::Result<Option<Decision>>,
}

/// Every kind that is reconciled.
pub const KINDS: [Kind; 2] = [
    Kind {
        primary: Primary::Endpoint,
        name: "endpoint",
        resource: || ApiResource::erase::<Endpoint>(&()),
        decide: observe::endpoint::decide,
    },
    Kind {
        primary: Primary::ServingRuntime,
        name: "servingruntime",
        resource: || ApiResource::erase::<ServingRuntime>(&()),
        decide: observe::serving_runtime::decide,
    },
];
