//! The world of a ServingRuntime.
use api::ServingRuntime;
use jiff::Timestamp;
use plan::serving_runtime::{World, plan};

use crate::context::Context;
use crate::decision::Decision;
use crate::object::{ObjectName, Primary};
use crate::store::Source;

/// Observes a ServingRuntime and decides what to do about it.
pub(crate) fn decide(context: &Context, name: &ObjectName) -> anyhow::Result<Option<Decision>> {
    let now = Timestamp::now();
    let Some(object) = context.store.object(Source::Primary(Primary::ServingRuntime), name)? else {
        return Ok(None);
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let old_status = object.status.clone();
    let metadata = object.metadata.clone();
    let runtime = ServingRuntime {
        metadata: object.metadata,
        spec: serde_json::from_value(object.spec)?,
        status: (!object.status.is_null()).then(|| serde_json::from_value(object.status)).transpose()?,
    };
    Decision::new(metadata, old_status, plan(&World { now, runtime })).map(Some)
}
