//! Performs the steps of a plan in order and stops at the first failure.
//!
//! Invariant: every write of an object that a plan asks for happens here, and only while the lease holds.
use std::time::Duration;

use api::azure::FINALIZER;
use api::{DecisionRecord, DecisionRecordSpec};
use arm::{Operation, ResourceId, Seen};
use kube::api::{
    ApiResource, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Api, Client};
use plan::failure::{Class, Failure};
use plan::{Apply, Delete, FieldManager, Step};
use serde_json::json;

use crate::decision::Decision;
use crate::failure::{classify, timed_out};
use crate::kinds::Kind;
use crate::lease::Leadership;
use crate::object::ObjectName;
use crate::resource::{Object, child_resource};
use crate::store::{Sight, Source, Store};

mod azure;
mod keys;

/// The longest that one call may take: shorter than what remains of a lease that was just renewed.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Done {
    /// It is written.
    Written,
    /// A resource in Azure is written, or gone.
    Resource(ResourceId, Seen),
    /// An operation in Azure has begun.
    Started(Operation),
    /// An entry of the log is there: the one that was wanted, or one from before a crash in its place.
    Recorded(Box<DecisionRecordSpec>),
    /// The object itself may be gone.
    Gone,
}

impl Done {
    /// The operation that has begun.
    pub(crate) fn operation(&self) -> Option<&Operation> {
        match self {
            Self::Started(operation) => Some(operation),
            Self::Written | Self::Resource(..) | Self::Recorded(_) | Self::Gone => None,
        }
    }
}

/// What the executor works with.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) leadership: Leadership,
}

impl Executor {
    /// Performs one step. What the API server answers is put into the store, so that the next plan sees it.
    pub(crate) async fn execute(
        &self,
        kind: &Kind,
        decision: &Decision,
        step: &Step,
    ) -> Result<Done, Failure> {
        match step {
            Step::Apply(apply) => self.apply(decision.uid(), apply).await.map(|()| Done::Written),
            Step::Delete(delete) => self.delete(delete).await.map(|()| Done::Written),
            Step::Finalizer(present) => self.finalizer(kind, decision, *present).await,
            Step::WriteKeys(write) => keys::write(self, write).await,
            Step::Record(record) => self.record(record).await,
            Step::ArmPut(_) | Step::ArmPatch(_) | Step::ArmDelete(_) | Step::Export(_) => {
                azure::execute(self, kind, decision, step).await
            }
        }
    }

    /// Adds the finalizer to an object, or removes it.
    async fn finalizer(&self, kind: &Kind, decision: &Decision, present: bool) -> Result<Done, Failure> {
        let resource = (kind.resource)();
        let metadata = &decision.metadata;
        let (namespace, name) =
            (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if present {
            finalizers.push(FINALIZER.to_owned());
        }
        let what = format!("write the finalizer of {} {namespace}/{name}", resource.kind);
        // The version makes sure that nobody else's finalizer is lost.
        let body =
            json!({"metadata": {"finalizers": finalizers, "resourceVersion": metadata.resource_version}});
        let api = self.api(namespace, &resource);
        let parameters =
            PatchParams { field_manager: Some(api::meta::MANAGER.to_owned()), ..PatchParams::default() };
        let object = match self.call_kube(&what, api.patch(name, &parameters, &Patch::Merge(&body))).await? {
            Ok(object) => object,
            Err(kube::Error::Api(status)) if status.code == 404 && !present => return Ok(Done::Gone),
            Err(error) => return Err(classify(&what, &error)),
        };
        let source = Source::Primary(kind.primary);
        let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
        if object.metadata.deletion_timestamp.is_some() && finalizers.is_empty() {
            self.store.delete(source, &ObjectName::new(namespace, name), u64::MAX);
            return Ok(Done::Gone);
        }
        // An object whose resources in Azure have gone may itself stay, served from this cluster.
        self.store.apply(source, Sight::from(object));
        Ok(Done::Written)
    }

    async fn apply(&self, owner_uid: &str, step: &Apply) -> Result<(), Failure> {
        let api: Api<Object> = self.api(&step.namespace, &child_resource(step.kind));
        let what = format!("apply {} {}/{}", step.kind, step.namespace, step.name);
        if step.create && step.kind.could_adopt_silently() {
            self.refuse_stranger(&api, owner_uid, step).await?;
        }
        let parameters = PatchParams {
            field_manager: Some(step.manager.name().to_owned()),
            // A new object must not take over a stranger's fields; on our own, what we want wins.
            force: !step.create,
            ..PatchParams::default()
        };
        let patch = Patch::Apply(&step.body);
        let written =
            self.call(&what, api.patch(&step.name, &parameters, &patch)).await.map_err(|failure| {
                let stranger = failure.class == Class::Conflict;
                if stranger { stranger_found(step, &failure.message) } else { failure }
            })?;
        if step.manager != FieldManager::HandOver {
            self.store.apply(Source::Child(step.kind), Sight::from(written));
        }
        Ok(())
    }

    /// Adds an entry to the log, unless it was added before a crash.
    async fn record(&self, record: &DecisionRecord) -> Result<Done, Failure> {
        let (namespace, name) = (
            record.metadata.namespace.as_deref().unwrap_or_default(),
            record.metadata.name.as_deref().unwrap_or_default(),
        );
        let what = format!("create DecisionRecord {namespace}/{name}");
        let api: Api<DecisionRecord> = Api::namespaced(self.client.clone(), namespace);
        let parameters =
            PostParams { field_manager: Some(api::meta::MANAGER.to_owned()), ..PostParams::default() };
        match self.call_kube(&what, api.create(&parameters, record)).await? {
            Ok(_) => return Ok(Done::Recorded(Box::new(record.spec.clone()))),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(classify(&what, &error)),
        }
        let found = self.call(&what, api.get(name)).await?;
        if plan::decision::follows(&found.spec, &record.spec) {
            return Ok(Done::Recorded(Box::new(found.spec)));
        }
        let message = format!(
            "DecisionRecord {name} is there already and does not follow the log: somebody else has written it. No stage \
             gets another version until it is gone; `kubectl mlops audit verify` says more"
        );
        Err(Failure { class: Class::Conflict, message })
    }

    /// Looks for an object of the same name that an apply would take over without a conflict.
    async fn refuse_stranger(&self, api: &Api<Object>, owner_uid: &str, step: &Apply) -> Result<(), Failure> {
        let what = format!("look for {} {}/{}", step.kind, step.namespace, step.name);
        let found = self.call(&what, api.get_metadata_opt(&step.name)).await?;
        let Some(found) = found else { return Ok(()) };
        let owners = found.metadata.owner_references.unwrap_or_default();
        if owners.iter().any(|owner| owner.uid == owner_uid) {
            return Ok(());
        }
        Err(stranger_found(step, "it has another owner or none"))
    }

    async fn delete(&self, step: &Delete) -> Result<(), Failure> {
        let api: Api<Object> = self.api(&step.namespace, &child_resource(step.kind));
        let what = format!("delete {} {}/{}", step.kind, step.namespace, step.name);
        let preconditions = Preconditions { uid: Some(step.uid.clone()), resource_version: None };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let name = ObjectName::new(&step.namespace, &step.name);
        match self.call_kube(&what, api.delete(&step.name, &parameters)).await? {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => return Err(classify(&what, &error)),
        }
        self.store.delete(Source::Child(step.kind), &name, u64::MAX);
        Ok(())
    }

    /// The API of a kind in a namespace.
    pub(crate) fn api(&self, namespace: &str, resource: &ApiResource) -> Api<Object> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// Makes a call that writes or precedes a write: within its limit, and only while the lease holds.
    pub(crate) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        self.call_kube(what, call).await?.map_err(|error| classify(what, &error))
    }

    async fn call_kube<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Result<T, kube::Error>, Failure> {
        if !self.leadership.holds() {
            let message = format!("failed to {what}: another replica leads");
            return Err(Failure { class: Class::Transient, message });
        }
        tokio::time::timeout(CALL_LIMIT, call).await.map_err(|_| timed_out(what, CALL_LIMIT))
    }
}

fn stranger_found(step: &Apply, detail: &str) -> Failure {
    let message = format!(
        "{} {} exists and belongs to somebody else ({detail}): rename the Endpoint, or delete the {}",
        step.kind, step.name, step.kind
    );
    Failure { class: Class::Conflict, message }
}
