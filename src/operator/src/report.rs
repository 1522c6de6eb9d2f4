//! Writes the status when it changed, and publishes events on transitions.
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as ClusterEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{ApiResource, Patch, PatchParams, PostParams};
use plan::failure::Failure;
use plan::{Event, EventType};
use serde_json::json;

use crate::decision::Decision;
use crate::execute::Executor;
use crate::object::Primary;
use crate::store::{Sight, Source};

/// Who reports.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) executor: Executor,
    pub(crate) instance: String,
}

impl Reporter {
    /// Writes the status and publishes the events of a decision; whether the object has changed since it was decided
    /// upon.
    pub(crate) async fn report(
        &self,
        primary: Primary,
        resource: &ApiResource,
        decision: &Decision,
    ) -> Result<bool, Failure> {
        if decision.status == decision.old_status {
            return Ok(false);
        }
        let name = decision.metadata.name.as_deref().unwrap_or_default();
        let namespace = decision.metadata.namespace.as_deref().unwrap_or_default();
        let what = format!("write the status of {} {namespace}/{name}", resource.kind);
        let body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            // Without its identity, the status of a deleted object could end up on its successor.
            "metadata": {"name": name, "namespace": namespace, "uid": decision.uid()},
            "status": decision.status,
        });
        let api = self.executor.api(namespace, resource);
        let parameters = PatchParams::apply(api::meta::MANAGER).force();
        let written =
            self.executor.call(&what, api.patch_status(name, &parameters, &Patch::Apply(&body))).await?;
        let is_changed = self.executor.store.answered(Source::Primary(primary), Sight::from(written));
        for event in &decision.events {
            // The status says the same; an event that is lost is not worth another round.
            if let Err(failure) = self.publish(resource, decision, event).await {
                tracing::warn!(message = %failure.message, "an event was not published");
            }
        }
        Ok(is_changed)
    }

    async fn publish(
        &self,
        resource: &ApiResource,
        decision: &Decision,
        event: &Event,
    ) -> Result<(), Failure> {
        let name = decision.metadata.name.clone().unwrap_or_default();
        let namespace = decision.metadata.namespace.clone().unwrap_or_default();
        let now = Timestamp::now();
        let regarding = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: decision.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let body = ClusterEvent {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(event.action.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(event.note.clone()),
            reason: Some(event.reason.name().to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some(api::meta::MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(match event.type_ {
                EventType::Normal => "Normal".to_owned(),
                EventType::Warning => "Warning".to_owned(),
            }),
            ..ClusterEvent::default()
        };
        let events: Api<ClusterEvent> = Api::namespaced(self.executor.client.clone(), &namespace);
        let what = format!("publish an event of {} {namespace}/{name}", resource.kind);
        self.executor.call(&what, events.create(&PostParams::default(), &body)).await.map(drop)
    }
}
