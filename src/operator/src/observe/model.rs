//! The world of a Model: its part in Azure, and what its promotions say of its stages.
use std::time::Duration;

use api::Model;
use api::model::ModelStage;
use jiff::Timestamp;
use plan::Next;
use plan::decision::{missing, pruned};
use plan::model::{alone, is_alone, stages};
use serde_json::{Value, json};

use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::kinds::Kind;
use crate::object::{ObjectName, Primary};
use crate::observe::azure;
use crate::observe::model_promotion::promotions_of;
use crate::store::Source;

/// Observes a Model and decides what to do about it. Its stages go on while Azure does not answer.
pub(crate) async fn decide(
    context: &Context,
    kind: &Kind,
    name: &ObjectName,
    fresh: &mut Fresh,
) -> anyhow::Result<Option<Decision>> {
    let Some(object) = context.store.object(Source::Primary(Primary::Model), name)? else { return Ok(None) };
    let (metadata, old_status) = (object.metadata.clone(), object.status.clone());
    let whole = azure::whole(kind, object)?;
    let promotions = promotions_of(&context.store, &name.namespace, &name.name)?;
    if metadata.deletion_timestamp.is_none() {
        let steps = missing(&serde_json::from_value(whole.clone())?, &promotions);
        if !steps.is_empty() {
            // Nothing that was decided takes effect before the log says so.
            let next = Next::After(Duration::ZERO);
            return Ok(Some(Decision { steps, next, ..Decision::unplanned(metadata, old_status) }));
        }
    }
    let decision = if is_alone(&whole) {
        if metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let model: Model = serde_json::from_value(whole)?;
        Some(Decision::new(metadata, old_status.clone(), alone(Timestamp::now(), &model))?)
    } else {
        azure::decide(context, kind, name, fresh).await?
    };
    let Some(mut decision) = decision else { return Ok(None) };
    let old: Vec<ModelStage> = serde_json::from_value(old_status["stages"].clone()).unwrap_or_default();
    let now = stages(&old, &promotions);
    // Endpoints and promotions go by the stages.
    decision.tells = now != old;
    if !now.is_empty() && decision.status != Value::Null {
        decision.status["stages"] = json!(now);
    }
    let log = serde_json::from_value(old_status["decisions"].clone()).ok().flatten();
    if let Some(log) = pruned(log, &promotions).filter(|_| decision.status != Value::Null) {
        decision.status["decisions"] = json!(log);
    }
    Ok(Some(decision))
}
