//! The HTTPRoute on the cluster: whether it is as wanted, and what the user's gateway says of it.
use api::Reason;
use api::endpoint::GatewayApi;
use serde_json::Value;

use super::build::Speech;
use super::build::http_route::http_route;
use super::build::route::RoutedRevision;
use super::status::{Outcome, Verdict};
use super::valid::Valid;
use super::{World, apply, apply_over, is_predecessor, reason_to_apply};
use crate::child::{ChildKind, Observed};
use crate::step::{Delete, Step};

/// Fields that change what a route does, and that the API server never fills in where they are left out.
const TELLING: [&str; 11] = [
    "filters",
    "headers",
    "method",
    "namespace",
    "port",
    "queryParams",
    "requestMirror",
    "retry",
    "sectionName",
    "sessionPersistence",
    "timeouts",
];
/// The longest word of a gateway that is passed on.
const WORD_LIMIT: usize = 1024;

/// Where an HTTPRoute stands.
pub(super) struct Standing {
    /// Whether the route on the cluster is the wanted one.
    pub(super) written: bool,
    /// What the gateway says of it.
    pub(super) word: Word,
    /// The Gateway, for people.
    gateway: String,
}

/// What a gateway says of a route, in the route's status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// It has taken it in.
    Accepted,
    /// No controller has said anything.
    Unanswered,
    /// Its word is about an older version.
    Pending,
    /// It refuses it, or a part of it.
    Refused(String),
    /// It took it in, and does not find what it refers to.
    Unresolved(String),
}

impl Standing {
    /// Of a route that should say this.
    pub(super) fn new(world: &World, valid: &Valid, gateway: &GatewayApi, wanted: &Value) -> Self {
        let place = gateway.parent_ref.namespace.as_deref().unwrap_or(valid.namespace);
        let seen = present(world);
        let written = seen.is_some_and(|seen| why(wanted, seen).is_none());
        let word = seen.map_or(Word::Unanswered, |seen| word(seen, gateway, valid.namespace));
        let word = if written || word == Word::Unanswered { word } else { Word::Pending };
        Self { written, word, gateway: format!("{place}/{}", gateway.parent_ref.name) }
    }

    /// Whether the shares are in force, as far as can be told: a gateway that reports must have reported this route.
    pub(super) fn is_in_force(&self) -> bool {
        self.written && matches!(self.word, Word::Accepted | Word::Unanswered)
    }

    /// Whether the gateway has taken in the wanted route.
    pub(super) fn is_accepted(&self) -> bool {
        self.written && self.word == Word::Accepted
    }

    /// What is in the way, for people.
    pub(super) fn trouble(&self) -> Option<String> {
        let gateway = &self.gateway;
        match &self.word {
            Word::Accepted => None,
            Word::Unanswered => Some(format!(
                "no controller has taken in the HTTPRoute yet: check that the Gateway {gateway} exists and has a controller"
            )),
            Word::Pending => {
                Some(format!("the Gateway {gateway} has not taken in the changed HTTPRoute yet"))
            }
            Word::Refused(said) => Some(format!("the Gateway {gateway} refuses the HTTPRoute: {said}")),
            Word::Unresolved(said) => {
                Some(format!("the Gateway {gateway} can't follow the HTTPRoute: {said}"))
            }
        }
    }

    /// What the status says, in view of the gateway's word.
    pub(super) fn judge(&self, outcome: Outcome) -> Outcome {
        let Some(trouble) = self.trouble() else { return outcome };
        match (outcome.verdict, &self.word) {
            (Verdict::Stalled, _) => outcome,
            (_, Word::Refused(_)) => Outcome::stalled(Reason::RouteNotAccepted, trouble),
            (Verdict::Ready, _) => Outcome::reconciling(Reason::RouteNotAccepted, trouble),
            (Verdict::Reconciling, _) => outcome,
        }
    }
}

/// The route on the cluster, unless it is about to go.
fn present(world: &World) -> Option<&Observed> {
    let seen = world.children.get(&ChildKind::HttpRoute)?;
    (!seen.deleting && !is_predecessor(seen, &world.endpoint)).then_some(seen)
}

/// The route that sends everything to the Service of the Endpoint's name.
pub(super) fn whole(valid: &Valid, gateway: &GatewayApi) -> Value {
    let (name, service) = (valid.name.to_owned(), valid.name.to_owned());
    let speech = Speech::wanted(valid);
    http_route(valid, gateway, &[RoutedRevision { name, service, weight: 100, ready: true, speech }], None)
}

/// The step that brings the route up to date, if any is needed.
pub(super) fn keep(world: &World, valid: &Valid, wanted: Value) -> Option<Step> {
    let Some(seen) = present(world) else {
        // One that is on its way out must be gone before it can be made anew.
        let is_gone = !world.children.contains_key(&ChildKind::HttpRoute);
        return is_gone.then(|| apply(valid, ChildKind::HttpRoute, wanted, "it does not exist"));
    };
    let why = why(&wanted, seen)?;
    Some(apply_over(valid, ChildKind::HttpRoute, wanted, why))
}

/// The step that takes a route of ours away, if there is one.
pub(super) fn remove(world: &World, valid: &Valid) -> Option<Step> {
    let seen = present(world)?;
    let ours = seen.controller.as_ref().is_some_and(|controller| controller.uid == valid.uid);
    ours.then(|| {
        Step::Delete(Delete {
            kind: ChildKind::HttpRoute,
            namespace: valid.namespace.to_owned(),
            name: valid.name.to_owned(),
            uid: seen.uid.clone(),
            why: "requests do not come through a gateway of your own any more",
        })
    })
}

fn why(wanted: &Value, seen: &Observed) -> Option<&'static str> {
    reason_to_apply(wanted, seen)
        .or_else(|| (!is_same(&wanted["spec"], &seen.body["spec"])).then_some("somebody changed it"))
}

/// Whether a route does what is wanted and nothing else: its lists are whole, unlike those of other kinds, so that an
/// element more is a change. What later versions of the Gateway API fill in is none.
fn is_same(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            let has_more =
                TELLING.iter().any(|field| seen.contains_key(*field) && !wanted.contains_key(*field));
            // The core group is the empty one, which may as well be left out.
            let holds = |(field, value): (&String, &Value)| match seen.get(field) {
                Some(seen) => is_same(value, seen),
                None => value == "",
            };
            !has_more && wanted.iter().all(holds)
        }
        (Value::Array(wanted), Value::Array(seen)) => {
            wanted.len() == seen.len() && wanted.iter().zip(seen).all(|(one, other)| is_same(one, other))
        }
        (wanted, seen) => wanted == seen,
    }
}

/// What the status of a route says about the wanted Gateway.
fn word(seen: &Observed, gateway: &GatewayApi, namespace: &str) -> Word {
    let generation = seen.body["metadata"]["generation"].as_i64();
    let parents = seen.body["status"]["parents"].as_array().into_iter().flatten();
    let words = parents.filter(|it| is_of(&it["parentRef"], gateway, namespace));
    let mut words: Vec<Word> = words.map(|it| word_of(&it["conditions"], generation)).collect();
    // Several listeners may answer, and several controllers: one that takes it in is enough.
    let accepted = words.iter().position(|it| *it == Word::Accepted);
    match accepted {
        Some(_) => Word::Accepted,
        None if words.is_empty() => Word::Unanswered,
        None => words.swap_remove(0),
    }
}

/// Whether a parent of a route is the wanted Gateway.
fn is_of(parent: &Value, gateway: &GatewayApi, namespace: &str) -> bool {
    let wanted = &gateway.parent_ref;
    let place = |text: Option<&str>| text.unwrap_or(namespace).to_owned();
    parent["name"] == *wanted.name
        && place(parent["namespace"].as_str()) == place(wanted.namespace.as_deref())
        && parent["sectionName"].as_str() == wanted.section_name.as_deref()
        && parent["port"].as_i64() == wanted.port.map(i64::from)
}

/// What one controller says.
fn word_of(conditions: &Value, generation: Option<i64>) -> Word {
    let current = |type_: &str| {
        let mut all = conditions.as_array().into_iter().flatten();
        let found = all.find(|it| it["type"] == type_)?;
        let observed = found["observedGeneration"].as_i64();
        (observed.is_none() || observed >= generation).then_some(found)
    };
    let is = |condition: Option<&Value>, status: &str| condition.is_some_and(|it| it["status"] == status);
    let told = |condition: Option<&Value>| {
        let text = |field: &str| condition.and_then(|it| it[field].as_str()).unwrap_or_default();
        let said = format!("{} ({})", text("message").trim_end_matches('.'), text("reason"));
        said.chars().take(WORD_LIMIT).collect::<String>()
    };
    let (accepted, resolved, partial) =
        (current("Accepted"), current("ResolvedRefs"), current("PartiallyInvalid"));
    let is_final = accepted.is_some_and(|it| it["reason"] != "Pending");
    match () {
        () if is(accepted, "False") && is_final => Word::Refused(told(accepted)),
        () if !is(accepted, "True") => Word::Pending,
        () if is(partial, "True") => Word::Refused(told(partial)),
        () if is(resolved, "False") => Word::Unresolved(told(resolved)),
        // What is not said is not settled: a gateway that has taken a route in says both.
        () if !is(resolved, "True") => Word::Pending,
        () => Word::Accepted,
    }
}
