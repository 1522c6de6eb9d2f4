//! `explain`: one sentence of state, why it is so, what to do next, and who can do it.

mod remedy;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use api::meta::ConditionType;
use api::{Endpoint, Reason, ServingRuntime};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use plan::condition;
use serde::Serialize;

use self::remedy::{Persona, Place, remedy};
use crate::arguments::{ExplainOptions, Global};
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::health::Health;
use crate::objects::{self, AzureObject, Kind, Selection};
use crate::output::{self, Style, one_line};

/// What there is to say about an object. Its shape is that of `-o json`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    kind: &'static str,
    namespace: String,
    name: String,
    health: Health,
    /// How it is, in a sentence.
    sentence: String,
    /// The reason of the condition `Ready`.
    reason: Option<String>,
    /// The cause, in the words of the operator.
    why: Option<String>,
    /// Whether and by what requests are answered.
    serving: Option<Serving>,
    /// What to do next.
    next: String,
    /// Who can do it; None when there is nothing to do.
    who: Option<Persona>,
    /// A command that shows more.
    look: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Serving {
    answers: bool,
    message: String,
}

/// Explains one object.
pub(crate) async fn run(global: &Global, options: &ExplainOptions, style: Style) -> Result<Outcome, Failure> {
    let selection = Selection::parse(Some(&options.kind), options.name.as_deref())?;
    let Selection { kind: Some(kind), name: Some(name) } = selection else {
        return Err(Failure::Usage(format!("name the object: kubectl mlops explain {} NAME", options.kind)));
    };
    let cluster = connect::connect(global).await?;
    let namespace = cluster.namespace.as_str();
    let explanation = match kind {
        Kind::Endpoint => {
            let found = objects::list::<Endpoint>(&cluster, kind, Some(namespace)).await?;
            explain(&objects::find(found, kind, &name, namespace)?)
        }
        Kind::ServingRuntime => {
            let found = objects::list::<ServingRuntime>(&cluster, kind, Some(namespace)).await?;
            explain_runtime(&objects::find(found, kind, &name, namespace)?)
        }
        kind => {
            let found = objects::list_azure(&cluster, kind, Some(namespace)).await?;
            let found = found.ok_or_else(|| objects::unknown(kind))?;
            explain_azure(kind, &objects::find(found, kind, &name, namespace)?)
        }
    };
    output::print(&output::document(global.output, &explanation, |explanation| render(explanation, style))?)?;
    Ok(Outcome::Ok)
}

/// Explains an Endpoint.
fn explain(endpoint: &Endpoint) -> Explanation {
    let status = endpoint.status.clone().unwrap_or_default();
    let subject = Subject {
        kind: Kind::Endpoint,
        metadata: &endpoint.metadata,
        observed: status.observed_generation,
        conditions: &status.conditions,
    };
    subject.explanation()
}

/// Explains a ServingRuntime.
fn explain_runtime(runtime: &ServingRuntime) -> Explanation {
    let status = runtime.status.clone().unwrap_or_default();
    let subject = Subject {
        kind: Kind::ServingRuntime,
        metadata: &runtime.metadata,
        observed: status.observed_generation,
        conditions: &status.conditions,
    };
    subject.explanation()
}

/// Explains an object that lives in Azure alone.
fn explain_azure(kind: Kind, object: &AzureObject) -> Explanation {
    let status = object.status.clone().unwrap_or_default();
    let subject = Subject {
        kind,
        metadata: &object.metadata,
        observed: status.observed_generation,
        conditions: &status.conditions,
    };
    subject.explanation()
}

/// What of an object an explanation is made of.
struct Subject<'a> {
    kind: Kind,
    metadata: &'a ObjectMeta,
    observed: Option<i64>,
    conditions: &'a [Condition],
}

impl Subject<'_> {
    fn explanation(&self) -> Explanation {
        let health = Health::new(self.metadata, self.observed, self.conditions);
        let current = !matches!(health, Health::Unseen | Health::Deleting);
        let ready = condition::find(self.conditions, ConditionType::Ready).filter(|_| current);
        let reason = ready.and_then(|ready| parse(&ready.reason));
        let advice = self.advice(health, reason, ready.is_some());
        let serving = condition::find(self.conditions, ConditionType::Serving);
        Explanation {
            kind: self.kind.name(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
            health,
            sentence: self.sentence(health, reason),
            reason: ready.map(|ready| ready.reason.clone()),
            why: ready.map(|ready| without_advice(&ready.message, reason)),
            serving: serving.map(|serving| Serving {
                answers: serving.status == "True",
                message: serving.message.clone(),
            }),
            next: advice.next,
            who: advice.who,
            look: advice.look,
        }
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn sentence(&self, health: Health, reason: Option<Reason>) -> String {
        let object = format!("{} {}/{}", self.kind.name(), self.namespace(), self.name());
        let meaning = reason.map_or_else(
            || "the operator gives a reason that this plugin does not know".to_owned(),
            |reason| as_clause(reason.meaning()),
        );
        match health {
            Health::Ready => format!("{object} is ready: {meaning}."),
            Health::Reconciling if reason.is_some_and(|reason| !reason.action().is_empty()) => {
                format!("{object} is held up, and may still get there by itself: {meaning}.")
            }
            Health::Reconciling => format!("{object} is on its way: {meaning}."),
            Health::Stalled => format!("{object} needs a person: {meaning}."),
            Health::Unseen => {
                format!("{object} waits for the operator, which has not looked at its spec yet.")
            }
            Health::Deleting => format!("{object} is being deleted, and what belongs to it goes with it."),
        }
    }

    fn advice(&self, health: Health, reason: Option<Reason>, reported: bool) -> Advice {
        match (health, reason) {
            (Health::Deleting, _) => Advice::nothing(),
            (Health::Unseen, _) => Advice {
                next: "Wait a few seconds; if it lasts, check that the operator runs.".to_owned(),
                who: Some(Persona::InfrastructureEngineer),
                look: Some("kubectl mlops check".to_owned()),
            },
            (_, Some(reason)) => {
                let remedy = remedy(reason);
                Advice {
                    next: self.next(health, reason),
                    who: remedy.who.filter(|_| !reason.action().is_empty()),
                    look: remedy.look.map(|place| self.command(place)),
                }
            }
            (_, None) => Advice {
                next: "Use the plugin of the operator's version.".to_owned(),
                who: reported.then_some(Persona::MlEngineer),
                look: Some("kubectl mlops check".to_owned()),
            },
        }
    }

    fn next(&self, health: Health, reason: Reason) -> String {
        match (health, reason.action()) {
            (Health::Reconciling, "") => format!(
                "Nothing, it goes on by itself; follow it with `kubectl mlops status {} {} -n {} -w`.",
                self.kind.name().to_ascii_lowercase(),
                self.name(),
                self.namespace()
            ),
            (_, "") => "Nothing.".to_owned(),
            (_, action) => action.to_owned(),
        }
    }

    /// The command that shows more about a place.
    fn command(&self, place: Place) -> String {
        let (namespace, name, kind) = (self.namespace(), self.name(), self.kind.name().to_ascii_lowercase());
        let pods = format!("-n {namespace} -l {}={name}", api::meta::ENDPOINT_LABEL);
        match place {
            Place::Spec => format!("kubectl get {kind} {name} -n {namespace} -o yaml"),
            Place::Pods => format!("kubectl describe pods {pods}"),
            Place::Log => format!("kubectl logs {pods} --all-containers --prefix --tail=50"),
            Place::Runtimes => "kubectl mlops status servingruntime -A".to_owned(),
            Place::Quota => format!("kubectl describe resourcequota,limitrange -n {namespace}"),
            Place::Installation => "kubectl mlops check".to_owned(),
            Place::Portal => {
                let portal = "jsonpath={.status.portalUrl}{.status.azure.portalUrl}";
                format!("kubectl get {kind} {name} -n {namespace} -o {portal}")
            }
        }
    }
}

/// What to do, who can do it, and where to look.
struct Advice {
    next: String,
    who: Option<Persona>,
    look: Option<String>,
}

impl Advice {
    fn nothing() -> Self {
        Self { next: "Nothing.".to_owned(), who: None, look: None }
    }
}

fn parse(reason: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|known| known.name() == reason)
}

/// The meaning of a reason as a part of a sentence. A first word that is a name keeps its capital.
fn as_clause(meaning: &str) -> String {
    let meaning = meaning.trim_end_matches('.');
    let (first, rest) = meaning.split_at(meaning.find(' ').unwrap_or(meaning.len()));
    let is_name = first == "API" || first.chars().skip(1).any(char::is_uppercase);
    if is_name { meaning.to_owned() } else { format!("{}{rest}", first.to_lowercase()) }
}

/// The message less the advice, which an explanation gives in a line of its own, as it does with what keeps serving.
fn without_advice(message: &str, reason: Option<Reason>) -> String {
    let action = reason.map_or("", Reason::action);
    let message = if action.is_empty() { message.to_owned() } else { message.replace(action, "") };
    message.replace("The revision before keeps serving.", "").trim().trim_end_matches('.').to_owned()
}

fn render(explanation: &Explanation, style: Style) -> String {
    let mut text =
        format!("{} {}\n", style.mark(explanation.health.mark()), style.bold(&explanation.sentence));
    let mut fact = |name: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "   {name:<8} {}", one_line(value));
    };
    if let Some(reason) = &explanation.reason {
        fact("reason", reason);
    }
    if let Some(why) = &explanation.why {
        fact("why", why);
    }
    if let Some(serving) = &explanation.serving {
        let answers = if serving.answers { "yes" } else { "no" };
        fact("serving", &format!("{answers}, {}", serving.message));
    }
    fact("next", &explanation.next);
    if let Some(who) = explanation.who {
        fact("who", who.name());
    }
    if let Some(look) = &explanation.look {
        fact("look", look);
    }
    text
}
