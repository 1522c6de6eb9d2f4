//! What routes the requests of an Endpoint: the routing document in the inference gateway's namespace, or the HTTPRoute
//! for a gateway of the user's own. Each is written, kept, and taken away; when one takes the other's place, the old one
//! stays until the new one is in force and its address was told.
use std::time::Duration;

use api::EndpointStatus;
use api::endpoint::GatewayApi;
use api::meta::ConditionType;
use serde_json::Value;

use super::build::Speech;
use super::build::http_route::http_route;
use super::build::route::{self, RoutedRevision};
use super::http_route::{self as own, Standing};
use super::valid::Valid;
use super::{World, progressive, reason_to_apply};
use crate::child::{ChildKind, Observed};
use crate::condition;
use crate::settings::Gateway;
use crate::step::{Apply, Delete, FieldManager, Next, Step};

/// How soon to look at a route that is being written: no news comes of it where nobody reports.
const WRITTEN: Duration = Duration::from_secs(1);
/// How soon to look at a route of which the gateway has not said yet that it took it in.
const REPORTED: Duration = Duration::from_secs(30);
/// How long the status tells a new address before the old one goes.
const TOLD: Duration = Duration::from_secs(1);

/// What routes requests is to say this.
pub(super) struct Routes<'a> {
    world: &'a World,
    valid: &'a Valid<'a>,
    revisions: Vec<RoutedRevision>,
    mirror: Option<(&'a str, i32)>,
    /// The wanted HTTPRoute and where it stands, with a gateway of the user's own.
    own: Option<(Value, Standing)>,
}

impl<'a> Routes<'a> {
    pub(super) fn new(
        world: &'a World,
        valid: &'a Valid<'a>,
        revisions: Vec<RoutedRevision>,
        mirror: Option<(&'a str, i32)>,
    ) -> Self {
        let wanted = |gateway: &GatewayApi| {
            let wanted = http_route(valid, gateway, &revisions, mirror);
            let standing = Standing::new(world, valid, gateway, &wanted);
            (wanted, standing)
        };
        let own = valid.own_gateway.map(wanted);
        Self { world, valid, revisions, mirror, own }
    }

    /// Of an Endpoint with one Deployment.
    pub(super) fn whole(world: &'a World, valid: &'a Valid<'a>, status: &EndpointStatus) -> Self {
        let serving = condition::find(&status.conditions, ConditionType::Serving);
        // While the Service still selects a revision with a Deployment of its own, that one answers.
        let before = progressive::selected(world, valid).is_some_and(|it| progressive::answers(world, &it));
        let revision = RoutedRevision {
            name: valid.name.to_owned(),
            service: valid.name.to_owned(),
            weight: 100,
            // Without pods, a request waits in the gateway for the first.
            ready: before
                || (serving.is_some_and(|it| it.status == "True") && status.ready_replicas > Some(0)),
            speech: Speech::wanted(valid),
        };
        Self::new(world, valid, vec![revision], None)
    }

    /// Where the HTTPRoute stands, with a gateway of the user's own.
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.own.as_ref().map(|(_, standing)| standing)
    }

    /// When to look again whether the shares are in force; none when they are, as far as can be told. What the inference
    /// gateway is told, it does at once.
    pub(super) fn awaited(&self) -> Option<Duration> {
        let standing = self.standing().filter(|it| !it.is_in_force())?;
        // Where a gateway reports, its word brings the Endpoint back.
        Some(if standing.written { REPORTED } else { WRITTEN })
    }

    /// Whether nothing routes requests by what was said before, as far as can be told, so that what only that names may
    /// go.
    pub(super) fn let_go(&self) -> bool {
        match self.standing() {
            Some(standing) => standing.is_in_force(),
            None => !self.world.children.contains_key(&ChildKind::HttpRoute),
        }
    }

    /// The steps that bring what routes requests up to date.
    pub(super) fn steps(&self) -> Vec<Step> {
        let (world, valid) = (self.world, self.valid);
        let document = world.route.as_ref();
        let Some((wanted, standing)) = &self.own else {
            let written = match valid.gateway {
                Some(gateway) => self.document(gateway),
                None => document.and_then(remove),
            };
            let gone = if self.is_told() { own::remove(world, valid) } else { None };
            return written.into_iter().chain(gone).collect();
        };
        let mut steps = Vec::from_iter(own::keep(world, valid, wanted.clone()));
        if let Some(document) = document {
            let is_over = standing.is_accepted() && self.is_told();
            steps.extend(match &world.settings.gateway {
                Some(gateway) if !is_over => self.document(gateway),
                _ => remove(document),
            });
        }
        steps
    }

    /// The address that the status tells: the one before, as long as only that one answers.
    pub(super) fn url(&self) -> Option<String> {
        let only_before = self.world.route.is_some() && !self.standing().is_none_or(Standing::is_accepted);
        match &self.world.endpoint.status {
            Some(old) if only_before => old.url.clone(),
            _ => self.valid.url(),
        }
    }

    /// When to look again: one takes the other's place once the status has told the new address.
    pub(super) fn next(&self) -> Next {
        let goes = match self.standing() {
            Some(standing) => self.world.route.is_some() && standing.is_accepted(),
            None => own::remove(self.world, self.valid).is_some(),
        };
        if goes { Next::After(TOLD) } else { Next::OnChange }
    }

    /// Whether the new way was there, and its address told, before this plan.
    fn is_told(&self) -> bool {
        let old = self.world.endpoint.status.as_ref().and_then(|status| status.url.clone());
        (self.valid.gateway.is_none() || self.world.route.is_some()) && old == self.valid.url()
    }

    /// The step that brings the routing document up to date, if any is needed.
    fn document(&self, gateway: &Gateway) -> Option<Step> {
        let body = route::config_map(self.valid, &gateway.namespace, &self.revisions, self.mirror);
        let why = match &self.world.route {
            None => "the gateway does not know the Endpoint yet",
            Some(seen) if seen.deleting => return None,
            Some(seen) => reason_to_apply(&body, seen)?,
        };
        Some(Step::Apply(Apply {
            kind: ChildKind::ConfigMap,
            namespace: gateway.namespace.clone(),
            name: route::name(self.valid.namespace, self.valid.name),
            body,
            manager: FieldManager::Operator,
            // The namespace is the operator's own: nobody else's object can bear this name by chance.
            create: false,
            why,
        }))
    }
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
