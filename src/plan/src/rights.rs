//! The rights that the controllers need, declared where they are planned; the chart's RBAC is made from this table.
use crate::child::ChildKind;

/// One rule: what may be done to a resource, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Right {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The plural, with `/status` for the status alone.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// The names that it is limited to; empty is all.
    pub names: &'static [&'static str],
    /// Why it is needed.
    pub why: &'static str,
}

/// The plurals of the kinds that live in Azure, and of their status.
const AZURE_KINDS: [(&str, &str); 5] = [
    ("computes", "computes/status"),
    ("dataassets", "dataassets/status"),
    ("mlworkspaces", "mlworkspaces/status"),
    ("modelregistries", "modelregistries/status"),
    ("models", "models/status"),
];

/// The rights in every namespace that is watched.
pub fn rights() -> Vec<Right> {
    let own = |resource, verbs, why| Right { group: api::GROUP, resource, verbs, names: &[], why };
    let mut rights = vec![
        own("endpoints", &["list", "patch", "watch"][..], "to see what is wanted, and to set the finalizer"),
        own("endpoints/status", &["patch"], "to report"),
        own("servingruntimes", &["list", "watch"], "to see how formats are served"),
        own("modelpromotions", &["list", "watch"], "to see which versions are promoted"),
        own("modelpromotions/status", &["patch"], "to report"),
        own("approvals", &["list", "watch"], "to count votes"),
        own("approvals/status", &["patch"], "to report"),
        own("servingruntimes/status", &["patch"], "to report"),
        own("decisionrecords", &["create", "get"], "to keep the log of decisions"),
    ];
    for (plural, status) in AZURE_KINDS {
        rights.push(own(
            plural,
            &["list", "patch", "watch"],
            "to see what is wanted, and to set the finalizer",
        ));
        rights.push(own(status, &["patch"], "to report"));
    }
    rights.extend(ChildKind::ALL.into_iter().chain([ChildKind::Job]).map(child));
    rights.push(Right {
        group: "",
        resource: "pods",
        verbs: &["list", "watch"],
        names: &[],
        why: "to say why a revision does not answer, and what a check has found",
    });
    rights.push(Right {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create"],
        names: &[],
        why: "to publish transitions",
    });
    rights
}

/// Server-side apply needs `create` and `patch`; an Endpoint that has moved to Azure needs `delete`, and only what could
/// be adopted silently needs `get`.
fn child(kind: ChildKind) -> Right {
    let verbs: &[&str] = match kind {
        ChildKind::ServiceAccount | ChildKind::HorizontalPodAutoscaler | ChildKind::HttpRoute => {
            &["create", "delete", "get", "list", "patch", "watch"]
        }
        ChildKind::NetworkPolicy
        | ChildKind::Service
        | ChildKind::PodDisruptionBudget
        | ChildKind::Deployment
        | ChildKind::Job
        | ChildKind::ConfigMap => &["create", "delete", "list", "patch", "watch"],
    };
    let coordinates = kind.coordinates();
    let why = match kind {
        ChildKind::Job => "a check of a ModelPromotion",
        _ => "an object of an Endpoint",
    };
    Right { group: coordinates.group, resource: coordinates.plural, verbs, names: &[], why }
}

/// The rights in the operator's own namespace.
pub fn own_namespace_rights() -> Vec<Right> {
    vec![
        Right {
            group: "coordination.k8s.io",
            resource: "leases",
            verbs: &["create", "get", "update"],
            names: &[],
            why: "to elect a leader",
        },
        Right { why: "to tell the gateway of Endpoints", ..child(ChildKind::ConfigMap) },
    ]
}

/// The rights in the whole cluster, without which its identity must be configured.
pub fn cluster_rights() -> Vec<Right> {
    vec![Right {
        group: "",
        resource: "namespaces",
        verbs: &["get"],
        names: &["kube-system"],
        why: "to know the cluster's identity, which the owner tags of resources in Azure name",
    }]
}

/// The rights for Endpoints behind a gateway of the user's own. They are given only when asked for.
pub fn http_route_rights() -> Vec<Right> {
    vec![child(ChildKind::HttpRoute)]
}

/// The rights for objects that name a Secret, or export into one. They are given only when asked for.
pub fn secret_rights() -> Vec<Right> {
    let why = "to read the Secrets that objects name, and to export ids and keys";
    vec![Right { group: "", resource: "secrets", verbs: &["create", "get", "patch"], names: &[], why }]
}

/// The rights for the keys of Endpoints on this cluster. They are given only when asked for: the names of the Secrets are
/// not known beforehand, so that they reach every Secret.
pub fn key_rights() -> Vec<Right> {
    let why = "to make the keys of Endpoints, and to read those that auth.secretRef names";
    vec![Right { group: "", resource: "secrets", verbs: &["create", "get", "patch"], names: &[], why }]
}

/// The rights for objects that export into a ConfigMap. They are given only when asked for.
pub fn config_map_rights() -> Vec<Right> {
    let why = "to export ids and addresses";
    vec![Right { group: "", resource: "configmaps", verbs: &["create", "get", "patch"], names: &[], why }]
}
