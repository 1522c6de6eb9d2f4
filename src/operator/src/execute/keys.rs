//! The step that writes keys of an Endpoint into its Secret.
//!
//! Invariant: nothing of a key is logged, and no answer of the API server is kept.
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plan::WriteKeys;
use plan::failure::{Class, Failure};
use serde_json::{Value, json};

use super::{Done, Executor};
use crate::azure::KEYS_HINT;

/// Makes the Secret, unless one of its name exists; or changes it, unless somebody else has since it was seen.
pub(super) async fn write(executor: &Executor, step: &WriteKeys) -> Result<Done, Failure> {
    let api: Api<Secret> = Api::namespaced(executor.client.clone(), &step.namespace);
    let mut body = step.body.clone();
    let field = |(field, key): (&&'static str, &plan::endpoint::keys::Key)| {
        ((*field).to_owned(), json!(ByteString(key.reveal().as_bytes().to_vec())))
    };
    body["data"] = Value::Object(step.keys.iter().map(field).collect());
    let manager = Some(api::meta::MANAGER.to_owned());
    let written = if step.create {
        let what = format!("create Secret {}/{}", step.namespace, step.name);
        let secret: Secret = serde_json::from_value(body).map_err(|_| Failure {
            class: Class::Panicked,
            message: format!("failed to {what}: it is not a Secret"),
        })?;
        let parameters = PostParams { field_manager: manager, ..PostParams::default() };
        executor.call(&what, api.create(&parameters, &secret)).await.map(drop)
    } else {
        let what = format!("patch Secret {}/{}", step.namespace, step.name);
        let parameters = PatchParams { field_manager: manager, ..PatchParams::default() };
        executor
            .call(&what, api.patch_metadata(&step.name, &parameters, &Patch::Merge(&body)))
            .await
            .map(drop)
    };
    written.map(|()| Done::Written).map_err(|failure| match failure.class {
        Class::Denied => Failure { message: format!("{}; {KEYS_HINT}", failure.message), ..failure },
        _ => failure,
    })
}
