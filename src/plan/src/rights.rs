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
    /// Why it is needed.
    pub why: &'static str,
}

/// The rights in every namespace that is watched.
pub fn rights() -> Vec<Right> {
    let own = |resource, verbs, why| Right { group: api::GROUP, resource, verbs, why };
    let mut rights = vec![
        own("endpoints", &["list", "watch"][..], "to see what is wanted"),
        own("endpoints/status", &["patch"], "to report"),
        own("servingruntimes", &["list", "watch"], "to see how formats are served"),
        own("servingruntimes/status", &["patch"], "to report"),
    ];
    rights.extend(ChildKind::ALL.into_iter().map(child));
    rights.push(Right {
        group: "",
        resource: "pods",
        verbs: &["list", "watch"],
        why: "to say why a revision does not answer",
    });
    rights.push(Right {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create"],
        why: "to publish transitions",
    });
    rights
}

/// Server-side apply needs `create` and `patch`; only what a plan deletes needs `delete`, and only what could be
/// adopted silently needs `get`.
fn child(kind: ChildKind) -> Right {
    let verbs: &[&str] = match kind {
        ChildKind::ServiceAccount => &["create", "get", "list", "patch", "watch"],
        ChildKind::HorizontalPodAutoscaler => &["create", "delete", "get", "list", "patch", "watch"],
        ChildKind::NetworkPolicy
        | ChildKind::Service
        | ChildKind::PodDisruptionBudget
        | ChildKind::Deployment => &["create", "list", "patch", "watch"],
    };
    let coordinates = kind.coordinates();
    Right { group: coordinates.group, resource: coordinates.plural, verbs, why: "an object of an Endpoint" }
}

/// The rights in the operator's own namespace.
pub fn own_namespace_rights() -> Vec<Right> {
    vec![Right {
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["create", "get", "update"],
        why: "to elect a leader",
    }]
}
