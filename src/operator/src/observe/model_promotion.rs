//! The worlds of a ModelPromotion and of an Approval.
use std::collections::BTreeMap;

use api::{Approval, Endpoint, Model, ModelPromotion};
use jiff::Timestamp;
use plan::ChildKind;
use plan::model_promotion::{World, plan, plan_approval};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::decision::Decision;
use crate::kinds::KINDS;
use crate::object::{ObjectName, Primary};
use crate::observe::azure::whole;
use crate::observe::endpoint::{runtimes, seen};
use crate::store::{Source, Store};

/// Observes a ModelPromotion and decides what to do about it.
pub(crate) fn decide(context: &Context, name: &ObjectName) -> anyhow::Result<Option<Decision>> {
    let store = &context.store;
    let Some(promotion) = read::<ModelPromotion>(store, Primary::ModelPromotion, name)? else {
        return Ok(None);
    };
    if promotion.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let beside = |other: &str| ObjectName::new(&name.namespace, other);
    let model = &promotion.spec.model.name;
    let mut endpoints = BTreeMap::new();
    let stages = &promotion.spec.stages;
    let likes = stages.iter().flat_map(|stage| &stage.checks).filter_map(|check| check.endpoint_ref.as_ref());
    for reference in stages.iter().flat_map(|stage| &stage.endpoint_refs).chain(likes) {
        if let Some(endpoint) = read::<Endpoint>(store, Primary::Endpoint, &beside(&reference.name))? {
            endpoints.insert(reference.name.clone(), endpoint);
        }
    }
    let (mut jobs, mut pods) = (BTreeMap::new(), Vec::new());
    for (source, object) in store.checks_of(name)? {
        if source == Source::CheckPods {
            pods.push(serde_json::from_value(serde_json::to_value(object)?)?);
        } else {
            let job = object.metadata.name.clone().unwrap_or_default();
            jobs.insert(job, seen(ChildKind::Job, object)?);
        }
    }
    let others = promotions_of(store, &name.namespace, model)?;
    let approvals: Vec<Approval> = all(store, Primary::Approval, &name.namespace)?;
    let world = World {
        now: Timestamp::now(),
        model: read::<Model>(store, Primary::Model, &beside(model))?,
        others: others.into_iter().filter(|it| it.metadata.uid != promotion.metadata.uid).collect(),
        approvals: approvals.into_iter().filter(|it| it.spec.promotion == *name.name).collect(),
        endpoints,
        jobs,
        pods,
        runtimes: runtimes(store, &name.namespace)?,
        settings: context.settings.as_ref().clone(),
        promotion,
    };
    let metadata = world.promotion.metadata.clone();
    let old_status = serde_json::to_value(&world.promotion.status)?;
    let mut decision = Decision::new(metadata, old_status, plan(&world))?;
    // The Model takes over what a stage gets, and votes say whether they count.
    decision.tells = decision.status != decision.old_status;
    Ok(Some(decision))
}

/// Observes an Approval and decides what to say about it.
pub(crate) fn decide_approval(context: &Context, name: &ObjectName) -> anyhow::Result<Option<Decision>> {
    let store = &context.store;
    let Some(approval) = read::<Approval>(store, Primary::Approval, name)? else { return Ok(None) };
    if approval.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let promotion = ObjectName::new(&name.namespace, &approval.spec.promotion);
    let promotion = read::<ModelPromotion>(store, Primary::ModelPromotion, &promotion)?;
    let old_status = serde_json::to_value(&approval.status)?;
    let plan = plan_approval(Timestamp::now(), &approval, promotion.as_ref());
    Decision::new(approval.metadata, old_status, plan).map(Some)
}

/// The promotions of a Model.
pub(crate) fn promotions_of(
    store: &Store,
    namespace: &str,
    model: &str,
) -> anyhow::Result<Vec<ModelPromotion>> {
    let promotions: Vec<ModelPromotion> = all(store, Primary::ModelPromotion, namespace)?;
    Ok(promotions.into_iter().filter(|it| it.spec.model.name == model).collect())
}

fn read<T: DeserializeOwned>(
    store: &Store,
    primary: Primary,
    name: &ObjectName,
) -> anyhow::Result<Option<T>> {
    let Some(object) = store.object(Source::Primary(primary), name)? else { return Ok(None) };
    typed(primary, object).map(Some)
}

fn all<T: DeserializeOwned>(store: &Store, primary: Primary, namespace: &str) -> anyhow::Result<Vec<T>> {
    store.objects_in(primary, namespace)?.into_iter().map(|object| typed(primary, object)).collect()
}

fn typed<T: DeserializeOwned>(primary: Primary, object: crate::resource::Object) -> anyhow::Result<T> {
    let kind = KINDS.iter().find(|kind| kind.primary == primary);
    let whole = match kind {
        Some(kind) => whole(kind, object)?,
        None => serde_json::to_value(object)?,
    };
    Ok(serde_json::from_value(whole)?)
}
