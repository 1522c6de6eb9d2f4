//! The steps that write to Azure, and those that write what Azure gave.
use std::collections::BTreeMap;

use api::Reason;
use api::meta::{APPLIED_ANNOTATION, MANAGED_BY_LABEL, MANAGER};
use arm::{ResourceId, Seen, Started, Verb};
use arm_client::Session;
use k8s_openapi::ByteString;
use kube::api::{Patch, PatchParams};
use plan::azure::{ExportValue, SecretValue};
use plan::failure::{Class, Failure};
use plan::{ExportStep, Step};
use serde_json::{Value, json};

use super::{Done, Executor};
use crate::azure::{classify, export_metadata, export_resource, secret, values};
use crate::decision::Decision;
use crate::kinds::Kind;

/// Performs one step in Azure, in the name of the identity that the decision carries.
pub(super) async fn execute(
    executor: &Executor,
    kind: &Kind,
    decision: &Decision,
    step: &Step,
) -> Result<Done, Failure> {
    let session = decision.session.as_ref().ok_or_else(|| Failure {
        class: Class::Panicked,
        message: format!("no identity was chosen for: {step}"),
    })?;
    if !executor.leadership.holds() {
        return Err(Failure {
            class: Class::Transient,
            message: format!("failed to {step}: another replica leads"),
        });
    }
    let namespace = decision.metadata.namespace.as_deref().unwrap_or_default();
    let (id, verb, started) = match step {
        Step::ArmPut(put) => {
            let mut body = put.body.clone();
            fill(executor, namespace, &mut body, &put.secrets).await?;
            (&put.id, Verb::Put, session.put(&put.id, &without_nulls(body)).await)
        }
        Step::ArmPatch(patch) => (&patch.id, Verb::Patch, session.patch(&patch.id, &patch.body).await),
        Step::ArmDelete(delete) => {
            (&delete.id, Verb::Delete, session.delete(&delete.id, &delete.query).await)
        }
        Step::Export(export) => return export_values(executor, (kind, decision), session, export).await,
        Step::Apply(_) | Step::Delete(_) | Step::Finalizer(_) | Step::WriteKeys(_) | Step::Record(_) => {
            return Ok(Done::Written);
        }
    };
    match started.map_err(|error| classify(&error))? {
        Started::Running(operation) => Ok(Done::Started(operation)),
        Started::Done(body) => Ok(match (verb, body) {
            (Verb::Delete, _) => Done::Resource(id.clone(), Seen::Absent),
            (Verb::Put, Some(body)) if body["id"].is_string() => {
                Done::Resource(id.clone(), Seen::Present(body))
            }
            _ => Done::Written,
        }),
    }
}

/// Puts the values of Secrets into a body.
async fn fill(
    executor: &Executor,
    namespace: &str,
    body: &mut Value,
    wanted: &[SecretValue],
) -> Result<(), Failure> {
    let mut read: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for value in wanted {
        if !read.contains_key(value.secret.as_str()) {
            let found = secret(executor, namespace, &value.secret).await?;
            read.insert(&value.secret, found.map(values).unwrap_or_default());
        }
        let text =
            read.get(value.secret.as_str()).and_then(|values| values.get(&value.key)).ok_or_else(|| {
                Failure {
                    class: Class::Refused(Reason::SecretNotFound),
                    message: format!("the Secret {} has no key {}", value.secret, value.key),
                }
            })?;
        let mut place = &mut *body;
        for key in value.pointer.split('/').skip(1) {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[key];
        }
        *place = text.as_str().into();
    }
    Ok(())
}

/// A body without fields that are null, which Azure takes for an order to clear them.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Writes ids, addresses and keys into a Secret or ConfigMap that is the object's own.
async fn export_values(
    executor: &Executor,
    (kind, decision): (&Kind, &Decision),
    session: &Session,
    export: &ExportStep,
) -> Result<Done, Failure> {
    let resource = export_resource(export.secret);
    if let Some(metadata) = export_metadata(executor, &export.namespace, &export.name, export.secret).await?
        && !metadata.owner_references.iter().flatten().any(|owner| owner.uid == decision.uid())
    {
        // Somebody's Secret would be lost.
        let message = format!(
            "{} {} exists in this namespace and is not this object's: choose another name in spec.export, or delete it",
            resource.kind, export.name
        );
        return Err(Failure { class: Class::Conflict, message });
    }
    let data = resolve(session, &export.values).await?;
    let data = if export.secret {
        json!(
            data.into_iter()
                .map(|(key, text)| (key, ByteString(text.into_bytes())))
                .collect::<BTreeMap<_, _>>()
        )
    } else {
        json!(data)
    };
    let owner = (kind.resource)();
    let body = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": export.name,
            "namespace": export.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGER},
            "annotations": {APPLIED_ANNOTATION: export.digest},
            "ownerReferences": [{
                "apiVersion": owner.api_version,
                "kind": owner.kind,
                "name": decision.metadata.name,
                "uid": decision.uid(),
                "controller": true,
            }],
        },
        "data": data,
    });
    let what = format!("apply {} {}/{}", resource.kind, export.namespace, export.name);
    let api = executor.api(&export.namespace, &resource);
    executor
        .call(&what, api.patch(&export.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)))
        .await?;
    Ok(Done::Written)
}

/// The values as text; keys are asked of Azure, one call for all that come from one action.
async fn resolve(
    session: &Session,
    wanted: &BTreeMap<String, ExportValue>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut data = BTreeMap::new();
    let mut answers: BTreeMap<(ResourceId, &str), Value> = BTreeMap::new();
    for (key, value) in wanted {
        let text = match value {
            ExportValue::Text(text) => text.clone(),
            ExportValue::Field(..) => continue,
            ExportValue::Action(id, action, pointer) => {
                let place = (id.clone(), *action);
                if !answers.contains_key(&place) {
                    answers.insert(place.clone(), act(session, id, action).await?);
                }
                // What the answer does not have is left out, rather than exported as an empty key.
                answers[&place].pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            }
        };
        if !text.is_empty() {
            data.insert(key.clone(), text);
        }
    }
    Ok(data)
}

async fn act(session: &Session, id: &ResourceId, action: &str) -> Result<Value, Failure> {
    match session.post(id, action, None).await.map_err(|error| classify(&error))? {
        Started::Done(Some(body)) => Ok(body),
        Started::Done(None) | Started::Running(_) => Err(Failure {
            class: Class::Unreachable,
            message: format!("failed to {action} of {id}: the answer is empty"),
        }),
    }
}
