//! A person's word to the operator: an annotation of an object, and the wait for what becomes of it.
//!
//! Invariant: one annotation is written and nothing else.
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::connect::{Cluster, Problem};
use crate::failure::Failure;

/// A kind of object that words are said of.
pub(crate) trait Listener:
    Clone + fmt::Debug + DeserializeOwned + Resource<DynamicType = ()> + Send + 'static
{
}

impl<K: Clone + fmt::Debug + DeserializeOwned + Resource<DynamicType = ()> + Send + 'static> Listener for K {}

/// The field manager of the one write.
const MANAGER: &str = "kubectl-mlops";
/// How long the operator has to take a word up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A word, and the annotation that holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word {
    annotation: &'static str,
    pub(crate) value: String,
}

impl Word {
    /// A word. The time makes it differ from the last one.
    pub(crate) fn new(annotation: &'static str, what: &impl fmt::Display, now: Timestamp) -> Self {
        Self { annotation, value: format!("{what}@{now:.3}") }
    }

    fn patch(&self) -> Value {
        json!({"metadata": {"annotations": {self.annotation: self.value}}})
    }

    /// Says it of an object.
    pub(crate) async fn say<K: Listener>(
        &self,
        cluster: &Cluster,
        api: &Api<K>,
        name: &str,
    ) -> Result<(), Failure> {
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let body = Patch::Merge(self.patch());
        let answer = cluster.ask(api.patch_metadata(name, &parameters, &body)).await;
        answer.map(|_| ()).map_err(|problem| {
            Failure::Error(match problem {
                Problem::Forbidden(message) => format!(
                    "{message}: ask the cluster's administrator for the right to patch {} in namespace {}",
                    K::plural(&()),
                    cluster.namespace
                ),
                Problem::NotFound(message) | Problem::Other(message) => message,
            })
        })
    }

    /// Waits until the status names it as handled; nothing when nobody takes it up in time.
    pub(crate) async fn heard<K: Listener>(
        &self,
        api: &Api<K>,
        name: &str,
        handled: fn(&K) -> Option<&str>,
    ) -> Result<Option<K>, Failure> {
        let value = &self.value;
        let answered =
            |object: Option<&K>| object.is_none_or(|object| handled(object) == Some(value.as_str()));
        match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, answered)).await {
            Err(_) => Ok(None),
            Ok(Ok(None)) => Err(Failure::Error(format!("{} {name} was deleted", K::kind(&())))),
            Ok(Ok(object)) => Ok(object),
            Ok(Err(error)) => {
                Err(Failure::Error(format!("{value} was said, but not whether it was heard: {error}")))
            }
        }
    }
}

/// What is told of a word that nobody took up.
pub(crate) fn unheard(what: &impl fmt::Display) -> String {
    format!(
        "{what}: said, but not taken up within {} s; the operator obeys it once it runs: look with `kubectl mlops check`\n",
        PATIENCE.as_secs()
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use api::Endpoint;
    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;

    use super::*;
    use crate::objects;

    /// What was asked of the API server: the method, the path with its query, and the body.
    type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

    /// An API server that answers every request alike.
    pub(crate) fn cluster(code: u16, answer: &Value) -> (Cluster, Asked) {
        let (asked, answer) = (Asked::default(), answer.to_string());
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let body = serde_json::from_slice(&body).unwrap_or_default();
                log.lock().unwrap().push((parts.method.to_string(), parts.uri.to_string(), body));
                Ok::<_, kube::Error>(
                    Response::builder().status(code).body(Body::from(answer.into_bytes())).unwrap(),
                )
            }
        });
        let client = Client::new(service, "team");
        (
            Cluster { client, namespace: "team".to_owned(), server: "https://cluster.example".to_owned() },
            asked,
        )
    }

    pub(crate) fn endpoints(cluster: &Cluster) -> Api<Endpoint> {
        objects::scoped(cluster, Some("team"))
    }

    fn word() -> Word {
        Word { annotation: "mlops-operator.dev/rollout-action", value: "pause@t".to_owned() }
    }

    #[test]
    fn a_word_is_what_is_asked_and_the_time() {
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(Word::new("a", &"skip-step", now).value, "skip-step@2026-01-02T03:04:05.678Z");
    }

    #[tokio::test]
    async fn a_word_is_a_merge_of_one_annotation() {
        let metadata = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "churn", "namespace": "team"},
        });
        let (cluster, asked) = cluster(200, &metadata);
        word().say(&cluster, &endpoints(&cluster), "churn").await.unwrap();
        let asked = asked.lock().unwrap().clone();
        let path =
            "/apis/mlops-operator.dev/v1alpha1/namespaces/team/endpoints/churn?&fieldManager=kubectl-mlops";
        let written = json!({"metadata": {"annotations": {"mlops-operator.dev/rollout-action": "pause@t"}}});
        assert_eq!(asked, [("PATCH".to_owned(), path.to_owned(), written)]);
    }

    #[tokio::test]
    async fn who_may_not_act_is_told_whom_to_ask() {
        let message = "endpoints \"churn\" is forbidden: User \"jo\" cannot patch resource";
        let refused = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": "Forbidden", "code": 403,
        });
        let (cluster, _) = cluster(403, &refused);
        let failure = word().say(&cluster, &endpoints(&cluster), "churn").await.unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert_eq!(
            failure.to_string(),
            format!(
                "{message}: ask the cluster's administrator for the right to patch endpoints in namespace team"
            )
        );
    }
}
