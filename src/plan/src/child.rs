//! The kinds of objects that the operator owns, and what is seen of them.
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;

/// The kinds of objects that the operator owns, in the order in which they are applied.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ChildKind {
    /// The identity of the pods.
    ServiceAccount,
    /// Who may talk to the pods, and to whom they may talk.
    NetworkPolicy,
    /// The stable address.
    Service,
    /// How many pods may be evicted at once.
    PodDisruptionBudget,
    /// The pods.
    Deployment,
    /// Scaling by load.
    HorizontalPodAutoscaler,
    /// What the inference gateway knows of an Endpoint. It lies in the gateway's namespace, out of the tenants' reach.
    ConfigMap,
    /// What a gateway of the user's own does with requests. Not every cluster knows the kind.
    HttpRoute,
    /// A check of a ModelPromotion.
    Job,
}

/// The coordinates of a kind in the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Coordinates {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// `group/version`, or the version alone.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The plural of URLs and RBAC rules.
    pub plural: &'static str,
}

const fn coordinates<K: Resource>(plural: &'static str) -> Coordinates {
    Coordinates { group: K::GROUP, version: K::VERSION, api_version: K::API_VERSION, kind: K::KIND, plural }
}

impl ChildKind {
    /// Every kind of the Endpoint's own namespace that each cluster knows, in the order in which they are applied.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::NetworkPolicy,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
    ];

    /// Its coordinates in the API.
    pub const fn coordinates(self) -> Coordinates {
        match self {
            Self::ServiceAccount => coordinates::<ServiceAccount>("serviceaccounts"),
            Self::NetworkPolicy => coordinates::<NetworkPolicy>("networkpolicies"),
            Self::Service => coordinates::<Service>("services"),
            Self::PodDisruptionBudget => coordinates::<PodDisruptionBudget>("poddisruptionbudgets"),
            Self::Deployment => coordinates::<Deployment>("deployments"),
            Self::HorizontalPodAutoscaler => {
                coordinates::<HorizontalPodAutoscaler>("horizontalpodautoscalers")
            }
            Self::ConfigMap => coordinates::<ConfigMap>("configmaps"),
            Self::Job => coordinates::<Job>("jobs"),
            Self::HttpRoute => Coordinates {
                group: "gateway.networking.k8s.io",
                version: "v1",
                api_version: "gateway.networking.k8s.io/v1",
                kind: "HTTPRoute",
                plural: "httproutes",
            },
        }
    }

    /// Whether an apply onto a stranger's object of the same name could pass without a conflict, so that the object
    /// must be looked up first. The others carry a selector of their own, which always conflicts.
    pub const fn could_adopt_silently(self) -> bool {
        matches!(self, Self::ServiceAccount | Self::HorizontalPodAutoscaler | Self::HttpRoute)
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.coordinates().kind)
    }
}

/// What is seen of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Its identity.
    pub uid: String,
    /// The identity of the object that controls it, if any.
    pub controller: Option<Controller>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// The whole object, less `metadata.managedFields`.
    pub body: Value,
}

/// The object that controls another, from its owner references.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Controller {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
}

/// The objects of one owner, one of each kind at most.
pub type Children = BTreeMap<ChildKind, Observed>;

impl Observed {
    /// Reads what matters of an object.
    pub fn from_body(body: Value) -> Self {
        let metadata = &body["metadata"];
        let controller = metadata["ownerReferences"].as_array().into_iter().flatten();
        let controller = controller.into_iter().find(|owner| owner["controller"] == true).map(|owner| {
            Controller { kind: text(&owner["kind"]), name: text(&owner["name"]), uid: text(&owner["uid"]) }
        });
        Self {
            uid: text(&metadata["uid"]),
            controller,
            deleting: metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()),
            body,
        }
    }

    /// An annotation of the object.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["annotations"].get(name)?.as_str()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
