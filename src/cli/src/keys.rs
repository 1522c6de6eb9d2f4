//! `keys`: a new key in place of one of the two that open an Endpoint of this cluster.
use std::fmt;

use api::Endpoint;
use api::endpoint::AuthMode;
use api::meta::KEYS_ACTION_ANNOTATION;
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::{Global, KeyChoice, RegenerateOptions};
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::objects;
use crate::output;
use crate::rollout::{find, name};
use crate::word::{self, Word};

/// What a person asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Regenerate(KeyChoice);

impl fmt::Display for Regenerate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            KeyChoice::Primary => "regenerate=primary",
            KeyChoice::Secondary => "regenerate=secondary",
        })
    }
}

impl Regenerate {
    fn field(self) -> &'static str {
        match self.0 {
            KeyChoice::Primary => "primaryKey",
            KeyChoice::Secondary => "secondaryKey",
        }
    }
}

/// What became of it. Its shape is that of `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    namespace: String,
    name: String,
    /// The value of the annotation.
    action: String,
    /// Whether the operator has taken it up.
    handled: bool,
    /// Why the operator refused it, if it did.
    refused: Option<String>,
    /// The Secret with the keys.
    secret_name: Option<String>,
}

/// Asks for a new key, and waits for it.
pub(crate) async fn regenerate(global: &Global, options: &RegenerateOptions) -> Result<Outcome, Failure> {
    let (name, action) = (name(Some(&options.name))?, Regenerate(options.key));
    let cluster = connect::connect(global).await?;
    let endpoint = find(&cluster, &name).await?;
    if let Some(refusal) = refusal(&endpoint, action) {
        return Err(Failure::Error(format!("{action} makes no sense now: {refusal}")));
    }
    let api = objects::scoped::<Endpoint>(&cluster, Some(&cluster.namespace));
    let word = Word::new(KEYS_ACTION_ANNOTATION, &action, Timestamp::now());
    word.say(&cluster, &api, &name).await?;
    let endpoint = word.heard(&api, &name, handled).await?;
    let report = report(&cluster.namespace, &name, &word, endpoint.as_ref());
    output::print(&output::document(global.output, &report, |report| text(report, action))?)?;
    Ok(Outcome::from_health(report.handled && report.refused.is_none()))
}

fn handled(endpoint: &Endpoint) -> Option<&str> {
    endpoint.status.as_ref()?.keys.as_ref()?.handled_action.as_deref()
}

fn report(namespace: &str, name: &str, word: &Word, endpoint: Option<&Endpoint>) -> Report {
    let keys = endpoint.and_then(|endpoint| endpoint.status.as_ref()?.keys.as_ref());
    Report {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        action: word.value.clone(),
        handled: endpoint.is_some(),
        refused: keys.and_then(|keys| keys.action_refused.clone()),
        secret_name: keys.and_then(|keys| keys.secret_name.clone()),
    }
}

fn text(report: &Report, action: Regenerate) -> String {
    match (&report.refused, &report.secret_name) {
        _ if !report.handled => word::unheard(&action),
        (Some(refused), _) => format!("{action}: refused: {}\n", output::one_line(refused)),
        (None, secret) => {
            let (secret, field, namespace) =
                (secret.as_deref().unwrap_or("NAME-keys"), action.field(), &report.namespace);
            format!(
                "{action}: Secret {secret} has a new {field}; the gateway takes it within seconds, and the one before no more\n\
                 kubectl get secret {secret} -n {namespace} -o jsonpath='{{.data.{field}}}' | base64 -d\n"
            )
        }
    }
}

/// Why it makes no sense now, and what to do instead.
fn refusal(endpoint: &Endpoint, action: Regenerate) -> Option<String> {
    let spec = &endpoint.spec;
    if spec.target.type_.is_azure() {
        return Some(
            "Azure holds the keys of this endpoint: `az ml online-endpoint regenerate-keys` makes a new one"
                .to_owned(),
        );
    }
    let Some(auth) = spec.auth.as_ref().filter(|auth| auth.mode == AuthMode::Key) else {
        return Some("the Endpoint has no keys; set spec.auth.mode to Key".to_owned());
    };
    auth.secret_ref.as_ref().map(|secret| {
        format!(
            "spec.auth.secretRef names the Secret {}, which is yours; write a new {} into it",
            secret.name,
            action.field()
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(spec: &serde_json::Value, status: &serde_json::Value) -> Endpoint {
        let mut object = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Endpoint",
            "metadata": {"name": "churn", "namespace": "team"},
            "spec": {"model": {"uri": "https://models.example/churn.onnx", "format": "ONNX"}},
            "status": status,
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn keys_that_are_not_the_operator_s_are_refused_with_what_to_do() {
        let why = |spec: &serde_json::Value| {
            refusal(&endpoint(spec, &json!({})), Regenerate(KeyChoice::Secondary)).unwrap_or_default()
        };
        assert_eq!(why(&json!({"auth": {"mode": "Key"}})), "");
        assert!(why(&json!({})).contains("auth.mode"));
        assert!(why(&json!({"auth": {"mode": "None"}})).contains("auth.mode"));
        let given = json!({"auth": {"mode": "Key", "secretRef": {"name": "mine"}}});
        assert_eq!(
            why(&given),
            "spec.auth.secretRef names the Secret mine, which is yours; write a new secondaryKey into it"
        );
        let azure = json!({"auth": {"mode": "Key"}, "target": {"type": "ManagedOnline"}});
        assert!(why(&azure).contains("az ml online-endpoint regenerate-keys"));
    }

    #[test]
    fn the_answer_says_how_to_read_the_key_and_never_what_it_is() {
        let action = Regenerate(KeyChoice::Primary);
        let word = Word::new(KEYS_ACTION_ANNOTATION, &action, "2026-01-02T03:04:05Z".parse().unwrap());
        let status = json!({"keys": {"secretName": "churn-keys", "handledAction": word.value}});
        let endpoint = endpoint(&json!({"auth": {"mode": "Key"}}), &status);
        assert_eq!(handled(&endpoint), Some(word.value.as_str()));
        let told = text(&report("team", "churn", &word, Some(&endpoint)), action);
        assert_eq!(
            told,
            "regenerate=primary: Secret churn-keys has a new primaryKey; the gateway takes it within seconds, and the one \
             before no more\nkubectl get secret churn-keys -n team -o jsonpath='{.data.primaryKey}' | base64 -d\n"
        );
        let unheard = text(&report("team", "churn", &word, None), action);
        assert!(unheard.contains("not taken up within 30 s"), "{unheard}");
    }
}
