//! What an Endpoint has of keys. Their values are not looked at: a plan looks alike with any.
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use plan::child::Controller;
use plan::endpoint::keys::{Both, Key, Keys, SecretName, SecretSeen, secret};
use serde_json::Value;

use super::report::ObjectReport;
use super::{Scene, cluster, documents};
use crate::connect::Problem;
use crate::failure::Failure;

/// What is seen of the keys of an Endpoint, when it has any; and what stands for a key that is about to be made.
pub(super) async fn of(
    scene: &Scene,
    endpoint: &api::Endpoint,
    object: &Value,
    report: &mut ObjectReport,
) -> Result<Option<Keys>, Failure> {
    let Some(name) = secret(endpoint) else { return Ok(None) };
    let key = || Key::new("0".repeat(43));
    let fresh = Both { primary: key(), secondary: key() };
    let Some(cluster) = &scene.cluster else {
        if name.is_given {
            report.assume(format!("the Secret {} holds keys", name.name));
        }
        return Ok(Some(Keys { secret: name.is_given.then(|| assumed(object)), fresh }));
    };
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), documents::namespace(object));
    let secret = match cluster.ask(api.get_opt(&name.name)).await {
        Ok(found) => found.as_ref().map(SecretSeen::of),
        Err(Problem::Forbidden(_)) => {
            let SecretName { name, .. } = &name;
            report.assume(format!("the Secret {name} holds keys: you may not look at it"));
            Some(assumed(object))
        }
        Err(problem) => return Err(cluster::failed(&problem)),
    };
    Ok(Some(Keys { secret, fresh }))
}

/// A Secret of this very Endpoint with both keys.
fn assumed(endpoint: &Value) -> SecretSeen {
    let uid = endpoint["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let digest = || Some("0".repeat(64));
    SecretSeen {
        controller: Some(Controller { kind: "Endpoint".to_owned(), name: String::new(), uid }),
        digests: Both { primary: digest(), secondary: digest() },
        ..SecretSeen::default()
    }
}
