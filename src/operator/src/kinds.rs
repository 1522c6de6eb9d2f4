//! The table of kinds that are reconciled: a further kind is a further line.
use api::{
    Approval, Compute, DataAsset, Endpoint, MLWorkspace, Model, ModelPromotion, ModelRegistry, ServingRuntime,
};
use futures::future::BoxFuture;
use kube::api::ApiResource;
use plan::azure::AzureKind;

use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::object::{ObjectName, Primary};
use crate::observe;

/// Observes one object and decides what to do about it; `None` when it does not exist or is on its way out.
pub(crate) type Decide = for<'a> fn(
    &'a Context,
    &'a Kind,
    &'a ObjectName,
    &'a mut Fresh,
) -> BoxFuture<'a, anyhow::Result<Option<Decision>>>;

/// What the loop needs to know of a kind.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Which kind.
    pub(crate) primary: Primary,
    /// Its name in metrics and logs.
    pub(crate) name: &'static str,
    /// Its coordinates in the API.
    pub(crate) resource: fn() -> ApiResource,
    /// Observes and decides.
    pub(crate) decide: Decide,
}

const fn azure(primary: Primary, name: &'static str, resource: fn() -> ApiResource) -> Kind {
    let decide: Decide =
        |context, kind, name, fresh| Box::pin(observe::azure::decide(context, kind, name, fresh));
    Kind { primary, name, resource, decide }
}

/// Every kind that is reconciled.
pub(crate) const KINDS: [Kind; 9] = [
    Kind {
        primary: Primary::Endpoint,
        name: "endpoint",
        resource: || ApiResource::erase::<Endpoint>(&()),
        decide: |context, kind, name, fresh| Box::pin(observe::endpoint::decide(context, kind, name, fresh)),
    },
    Kind {
        primary: Primary::ServingRuntime,
        name: "servingruntime",
        resource: || ApiResource::erase::<ServingRuntime>(&()),
        decide: |context, _, name, _| Box::pin(async { observe::serving_runtime::decide(context, name) }),
    },
    azure(Primary::MlWorkspace, "mlworkspace", || ApiResource::erase::<MLWorkspace>(&())),
    azure(Primary::Compute, "compute", || ApiResource::erase::<Compute>(&())),
    azure(Primary::DataAsset, "dataasset", || ApiResource::erase::<DataAsset>(&())),
    Kind {
        primary: Primary::Model,
        name: "model",
        resource: || ApiResource::erase::<Model>(&()),
        decide: |context, kind, name, fresh| Box::pin(observe::model::decide(context, kind, name, fresh)),
    },
    Kind {
        primary: Primary::ModelPromotion,
        name: "modelpromotion",
        resource: || ApiResource::erase::<ModelPromotion>(&()),
        decide: |context, _, name, _| Box::pin(async { observe::model_promotion::decide(context, name) }),
    },
    Kind {
        primary: Primary::Approval,
        name: "approval",
        resource: || ApiResource::erase::<Approval>(&()),
        decide: |context, _, name, _| {
            Box::pin(async { observe::model_promotion::decide_approval(context, name) })
        },
    },
    azure(Primary::ModelRegistry, "modelregistry", || ApiResource::erase::<ModelRegistry>(&())),
];

impl Kind {
    /// The line of a kind, by the name that manifests give.
    pub(crate) fn named(kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|it| it.name == kind.to_ascii_lowercase())
    }

    /// How the part of it that is in Azure is planned.
    pub(crate) fn azure_kind(&self) -> Option<&'static AzureKind> {
        plan::azure::KINDS.iter().find(|it| it.kind.to_ascii_lowercase() == self.name)
    }
}
