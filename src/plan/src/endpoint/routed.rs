//! The routing document of an Endpoint in the gateway's namespace: written, kept, and taken away.
use api::EndpointStatus;
use api::meta::ConditionType;

use super::build::route::{self, RoutedRevision};
use super::valid::Valid;
use super::{World, progressive, reason_to_apply};
use crate::child::{ChildKind, Observed};
use crate::condition;
use crate::step::{Apply, Delete, FieldManager, Step};

/// The step that brings the routing document of an Endpoint with one Deployment up to date, if any is needed.
pub(super) fn whole(world: &World, valid: &Valid, status: &EndpointStatus) -> Option<Step> {
    let serving = condition::find(&status.conditions, ConditionType::Serving);
    // While the Service still selects a revision with a Deployment of its own, that one answers.
    let before = progressive::selected(world, valid).is_some_and(|it| progressive::answers(world, &it));
    let revision = RoutedRevision {
        name: valid.name.to_owned(),
        service: valid.name.to_owned(),
        weight: 100,
        // Without pods, a request waits in the gateway for the first.
        ready: before || (serving.is_some_and(|it| it.status == "True") && status.ready_replicas > Some(0)),
    };
    write(world, valid, &[revision], None)
}

/// The step that brings the routing document up to date, if any is needed.
pub(super) fn write(
    world: &World,
    valid: &Valid,
    revisions: &[RoutedRevision],
    mirror: Option<(&str, i32)>,
) -> Option<Step> {
    let Some(gateway) = valid.gateway else { return remove(world.route.as_ref()?) };
    let body = route::config_map(valid, &gateway.namespace, revisions, mirror);
    let why = match &world.route {
        None => "the gateway does not know the Endpoint yet",
        Some(seen) if seen.deleting => return None,
        Some(seen) => reason_to_apply(&body, seen)?,
    };
    Some(Step::Apply(Apply {
        kind: ChildKind::ConfigMap,
        namespace: gateway.namespace.clone(),
        name: route::name(valid.namespace, valid.name),
        body,
        manager: FieldManager::Operator,
        // The namespace is the operator's own: nobody else's object can bear this name by chance.
        create: false,
        why,
    }))
}

/// The step that takes a routing document away.
pub fn remove(seen: &Observed) -> Option<Step> {
    let text = |field: &str| seen.body["metadata"][field].as_str().unwrap_or_default().to_owned();
    (!seen.deleting).then(|| {
        Step::Delete(Delete {
            kind: ChildKind::ConfigMap,
            namespace: text("namespace"),
            name: text("name"),
            uid: seen.uid.clone(),
            why: "requests do not come through the gateway any more",
        })
    })
}
