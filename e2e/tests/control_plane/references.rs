//! Row S2: whatever a tenant with limited rights writes into an Endpoint, or pretends beside it, the operator reads and
//! writes nothing of another namespace but the routing document with the Endpoint's own name.
use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use e2e::audit::{self, Entry};
use e2e::context::{APPLY, CONVERGES, JSON, MERGE, Place, ask, conditions, manifest, spec};
use e2e::{Context, Operator, plane, until};
use kube::Client;
use plan::ChildKind;
use serde_json::{Value, json};

use super::rights::grant;

/// Where the chart lets captures go.
const CAPTURES: &str = "https://telemetry.blob.core.windows.net/captures";
/// The domain of the gateway's host names.
const DOMAIN: &str = "models.example";

/// The namespaces, and who attacks.
struct Scene<'c> {
    context: &'c Context,
    victim: Place,
    gateway: Place,
    tenant: Client,
}

/// What must come of an attempt.
#[derive(Clone, Copy)]
enum Outcome {
    /// The API server refuses it, with these words.
    Refused(&'static str),
    /// The field is unknown: refused when checked strictly, dropped otherwise.
    Unknown,
    /// It is taken, and the Endpoint says so.
    Says(&'static str),
}

/// One attempt: a field, what it is set to, and what must come of it.
type Attempt = (&'static str, Value, Outcome);

/// Every reference that an Endpoint can make, in every form in which it could point elsewhere.
fn attempts(victim: &str) -> Vec<Attempt> {
    use Outcome::{Refused, Says, Unknown};
    let named = |name: String| json!({"mode": "Key", "secretRef": {"name": name}});
    let store = |uri: String| json!({"store": {"uri": uri}});
    let hosts = |host: String| json!({"hosts": [host]});
    vec![
        ("auth", named(format!("{victim}/keys")), Refused("should match")),
        ("auth", named("../keys".to_owned()), Refused("should match")),
        ("auth", named(format!("../../{victim}/secrets/keys")), Refused("should match")),
        ("auth", named(format!("keys%2F..%2F{victim}")), Refused("should match")),
        ("auth", named("keys?namespace=other".to_owned()), Refused("should match")),
        ("auth", named(format!("keys.{victim}")), Says("Stalled=True/SecretNotFound")),
        ("auth", named(victim.to_owned()), Says("Stalled=True/SecretNotFound")),
        ("auth", json!({"mode": "Key", "secretRef": {"name": "keys", "namespace": victim}}), Unknown),
        ("auth", json!({"mode": "Key", "secretRef": {"name": "keys"}, "namespace": victim}), Unknown),
        ("capture", store(format!("{CAPTURES}/../{victim}")), Refused("without '..'")),
        ("capture", store(format!("{CAPTURES}/x/../../other")), Refused("without '..'")),
        ("capture", store(format!("az://captures/{victim}")), Refused("capture.store.uri must be")),
        (
            "capture",
            store("https://telemetry.blob.core.windows.net/captures-of-others".to_owned()),
            Says("Stalled=True/Invalid"),
        ),
        (
            "capture",
            store("https://telemetry.blob.core.windows.net.evil.example/captures".to_owned()),
            Says("Stalled=True/Invalid"),
        ),
        ("capture", json!({"store": {"uri": format!("{CAPTURES}/a"), "namespace": victim}}), Unknown),
        ("routing", hosts(format!("churn.{victim}.{DOMAIN}")), Says("Stalled=True/Invalid")),
        ("routing", hosts(format!("{victim}.{DOMAIN}")), Says("Stalled=True/Invalid")),
        ("routing", hosts(format!("churn.other.{DOMAIN}")), Says("Stalled=True/Invalid")),
        ("routing", hosts(format!("../{victim}.{DOMAIN}")), Refused("should match")),
        ("routing", hosts(format!("{victim}/churn")), Refused("should match")),
        ("routing", hosts(format!("*.{DOMAIN}")), Refused("should match")),
        ("routing", json!({"hosts": [], "namespace": victim}), Unknown),
        ("runtimeRef", json!({"name": "theirs"}), Says("Stalled=True/RuntimeNotFound")),
        ("runtimeRef", json!({"name": format!("{victim}/theirs")}), Says("Stalled=True/RuntimeNotFound")),
        ("runtimeRef", json!({"name": "theirs", "namespace": victim}), Unknown),
        (
            "rollout",
            json!({"strategy": "Canary", "steps": [{"traffic": 5, "revisionRef": format!("{victim}/churn")}]}),
            Unknown,
        ),
    ]
}

/// Lets a user do as they like with Endpoints and common objects in one namespace, and nothing elsewhere.
async fn tenant(context: &Context) -> anyhow::Result<Client> {
    let user = format!("tenant-{}", context.namespace);
    let root = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", context.namespace);
    let all = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
    let rules = json!([
        {"apiGroups": ["mlops-operator.dev"], "resources": ["endpoints", "servingruntimes"], "verbs": all},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": all},
        {"apiGroups": [""], "resources": ["configmaps", "services", "secrets"], "verbs": all},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": user}, "rules": rules});
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}]});
    for (path, body) in
        [(format!("{root}/roles/{user}"), role), (format!("{root}/rolebindings/{user}"), binding)]
    {
        context.must("PATCH", &format!("{path}?fieldManager=e2e&force=true"), APPLY, &body).await?;
    }
    plane::client(&context.plane.user(&user, &[])?).await
}

impl Scene<'_> {
    async fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        ask(&self.tenant, method, path, kind, body).await
    }

    async fn must(&self, method: &str, path: &str, kind: &str, body: &Value) -> anyhow::Result<Value> {
        let (code, answer) = self.ask(method, path, kind, body).await?;
        ensure!((200..300).contains(&code), "{method} {path}: {code} {}", answer["message"]);
        Ok(answer)
    }

    /// Makes an attempt with an Endpoint of its own; says what is wrong with what came of it.
    async fn attempt(&self, number: usize, attempt: &Attempt) -> anyhow::Result<Option<String>> {
        let (field, value, outcome) = attempt;
        let (name, mut wanted) = (format!("attempt-{number}"), spec(1));
        wanted[*field] = value.clone();
        let path = self.context.endpoint("");
        let body = manifest("Endpoint", &name, &wanted);
        let strict = format!("{path}?fieldValidation=Strict");
        let (code, said) = self.ask("POST", &strict, JSON, &body).await?;
        let message = said["message"].as_str().unwrap_or_default();
        let wrong = |what: &str| Some(format!("{field}: {value} {what}: {code} {message}"));
        match outcome {
            Outcome::Refused(words) if code == 422 && message.contains(words) => return Ok(None),
            Outcome::Unknown if code == 400 && message.contains("unknown field") => {}
            Outcome::Says(_) if code == 201 => {}
            _ => return Ok(wrong("was not met as it should")),
        }
        if let Outcome::Says(wanted) = outcome {
            self.context.says(&name, wanted).await?;
            return Ok(None);
        }
        // Whoever does not ask for strictness gets an Endpoint without the field.
        let (code, kept) = self.ask("POST", &format!("{path}?fieldValidation=Ignore"), JSON, &body).await?;
        let is_dropped = !kept["spec"].to_string().contains(&self.victim.namespace);
        Ok(if code == 201 && is_dropped {
            None
        } else {
            wrong(&format!("was kept: {code} {}", kept["spec"]))
        })
    }

    /// Objects that pretend to belong to the other namespace's Endpoint, or to be its word.
    async fn spoof(&self) -> anyhow::Result<()> {
        let victim = self.victim.get(&self.victim.endpoint("churn")).await?.context("no victim")?;
        let labels = json!({
            "app.kubernetes.io/managed-by": "mlops-operator", "mlops-operator.dev/endpoint": "churn",
            "mlops-operator.dev/endpoint-namespace": self.victim.namespace, "mlops-operator.dev/gateway-route": "true",
            "mlops-operator.dev/rollout-action": "promote",
        });
        let owner = json!([{"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Endpoint", "name": "churn",
            "uid": victim["metadata"]["uid"], "controller": true}]);
        let route = self.routes().await?.into_iter().next().context("the victim has no route")?;
        let metadata = |name: &str| json!({"name": name, "labels": labels, "ownerReferences": owner});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("route-churn"), "data": route["data"]});
        let pods = json!({"metadata": {"labels": {"mlops-operator.dev/endpoint": "churn", "mlops-operator.dev/revision": "churn-spoof"}},
            "spec": {"containers": [{"name": "a", "image": "a"}]}});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("churn-spoof"),
            "spec": {"selector": {"matchLabels": pods["metadata"]["labels"]}, "template": pods}});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("churn-spoof"),
            "spec": {"selector": {"mlops-operator.dev/endpoint": "churn"}, "ports": [{"port": 80}]}});
        for (kind, body) in [
            (ChildKind::ConfigMap, &map),
            (ChildKind::Deployment, &deployment),
            (ChildKind::Service, &service),
        ] {
            let path = self.context.child(kind, "");
            self.must("POST", &path, JSON, body).await?;
            // The garbage collector knows that the owner is not there; what names none stays.
            let mut orphan = body.clone();
            orphan["metadata"]["name"] = json!("churn-orphan");
            orphan["metadata"]["ownerReferences"] = Value::Null;
            self.must("POST", &path, JSON, &orphan).await?;
        }
        // The gateway's and the victim's namespaces are closed to tenants.
        for place in [&self.gateway, &self.victim] {
            let (code, _) = self.ask("POST", &place.child(ChildKind::ConfigMap, ""), JSON, &map).await?;
            ensure!(code == 403, "a tenant may write into {}: {code}", place.namespace);
        }
        Ok(())
    }

    /// An Endpoint of the tenant's own that works, with everything that could be mistaken for a word to another's.
    async fn own(&self) -> anyhow::Result<()> {
        let mut wanted = spec(1);
        wanted["routing"] = json!({"queueTimeoutSeconds": 5});
        let mut body = manifest("Endpoint", "churn", &wanted);
        body["metadata"]["labels"] = json!({"mlops-operator.dev/endpoint": "churn",
            "mlops-operator.dev/endpoint-namespace": self.victim.namespace,
            "mlops-operator.dev/rollout-action": "promote"});
        body["metadata"]["annotations"] = json!({
            "mlops-operator.dev/rollout-action": format!("rollback={}/churn", self.victim.namespace),
            "mlops-operator.dev/endpoint-namespace": self.victim.namespace,
        });
        self.must("POST", &self.context.endpoint(""), JSON, &body).await?;
        self.context.says("churn", "Ready=True/Ready").await?;
        let change = json!({"spec": {"rollout": {"strategy": "Canary", "steps": [{"traffic": 50}]}}});
        self.must("PATCH", &self.context.endpoint("churn"), MERGE, &change).await?;
        self.context.says("churn", "Ready=True/Ready").await?;
        until("the refusal of the word", CONVERGES, async || {
            let events = self.context.events().await?;
            let refused = events.iter().any(|it| it.contains("ActionRefused"));
            Ok(if refused { Ok(()) } else { Err(events.join("\n")) })
        })
        .await
    }

    async fn routes(&self) -> anyhow::Result<Vec<Value>> {
        let list = self.gateway.get(&self.gateway.child(ChildKind::ConfigMap, "")).await?.unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().filter(|it| it["data"]["route.json"].is_string()).collect())
    }

    /// Everything of the victim that the operator could have changed.
    async fn victim(&self) -> anyhow::Result<Value> {
        let mut all = vec![self.victim.get(&self.victim.endpoint("churn")).await?.unwrap_or_default()];
        all.extend(self.victim.children("churn").await?.into_values());
        let of_victim = |it: &Value| {
            it["metadata"]["name"].as_str() == Some(&route_name(&self.victim.namespace, "churn"))
        };
        all.extend(self.routes().await?.into_iter().filter(of_victim));
        Ok(all
            .iter()
            .map(|it| json!([it["kind"], it["metadata"]["uid"], it["metadata"]["resourceVersion"]]))
            .collect())
    }
}

/// The name of a routing document.
fn route_name(namespace: &str, name: &str) -> String {
    format!("route-{name}-{}", plan::digest::of(&json!([namespace, name]), 10))
}

/// An operator with the rights of the chart, for the tenant's namespace and the victim's.
async fn operator(scene: &Scene<'_>) -> anyhow::Result<Operator> {
    let context = scene.context;
    let user = context.user();
    grant(context, &user, &scene.gateway.namespace, &|_, _| true).await?;
    let mut options = context.options_for(&context.namespace, &context.plane.user(&user, &[])?)?;
    options.arguments.extend([
        format!("--watch-namespace={}", scene.victim.namespace),
        "--gateway-url=http://gateway.example".to_owned(),
        format!("--gateway-namespace={}", scene.gateway.namespace),
        format!("--gateway-domain={DOMAIN}"),
        format!("--gateway-capture-store={CAPTURES}"),
    ]);
    let operator = Operator::start(options)?;
    operator.ready().await?;
    Ok(operator)
}

/// What the operator asked for by name, or changed, beyond the tenant's namespace; the tenant's own routing documents
/// are allowed.
fn beyond<'e>(requests: &'e [Entry], scene: &Scene<'_>, routes: &BTreeSet<String>) -> Vec<&'e Entry> {
    let is_allowed = |it: &Entry| {
        let is_own = it.namespace == scene.context.namespace;
        let is_watch = matches!(it.verb.as_str(), "list" | "watch") && it.resource != "secrets";
        let is_route = it.namespace == scene.gateway.namespace && it.resource == "configmaps";
        is_own || is_watch || (is_route && routes.contains(&it.name))
    };
    requests.iter().filter(|it| !is_allowed(it)).collect()
}

pub(crate) async fn nothing_that_a_tenant_writes_reaches_another_namespace(
    context: &mut Context,
) -> anyhow::Result<()> {
    let context = &*context;
    let (victim, gateway) = (context.place("victim").await?, context.place("gateway").await?);
    let scene = Scene { context, victim, gateway, tenant: tenant(context).await? };
    let secrets = format!("/api/v1/namespaces/{}/secrets", scene.victim.namespace);
    let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"primaryKey": "theirs"}});
    context.must("POST", &secrets, JSON, &keys).await?;
    let runtime = json!({"supportedFormats": ["ONNX"], "image": "theirs:1"});
    context
        .must("POST", &scene.victim.runtime(""), JSON, &manifest("ServingRuntime", "theirs", &runtime))
        .await?;
    let operator = operator(&scene).await?;
    let mut wanted = spec(1);
    wanted["routing"] = json!({"hosts": [format!("churn.{}.{DOMAIN}", scene.victim.namespace)]});
    scene.victim.create("churn", &wanted).await?;
    scene.victim.says("churn", "Ready=True/Ready").await?;
    settled(&scene).await?;
    let (before, position) = (scene.victim().await?, audit::position(context.plane.audit_log()));
    let attempts = attempts(&scene.victim.namespace);
    let mut wrong = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        wrong.extend(scene.attempt(number, attempt).await?);
    }
    ensure!(wrong.is_empty(), "{} of {} attempts:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    scene.spoof().await?;
    scene.own().await?;
    let requests = audit::since(context.plane.audit_log(), position, &context.user())?;
    let names = (0..attempts.len()).map(|number| format!("attempt-{number}")).chain(["churn".to_owned()]);
    let routes = names.map(|name| route_name(&context.namespace, &name)).collect();
    let beyond = beyond(&requests, &scene, &routes);
    ensure!(beyond.is_empty(), "{} requests reach beyond, such as {:?}", beyond.len(), beyond[0]);
    ensure!(
        requests.iter().any(|it| it.namespace == scene.gateway.namespace && it.is_write()),
        "no routing document was written"
    );
    ensure!(requests.iter().any(|it| it.resource == "secrets"), "no Secret was looked for");
    let refused: Vec<_> = requests.iter().filter(|it| it.code == 403).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    ensure!(scene.victim().await? == before, "what the victim has was changed");
    context.tell(format!("{} attempts, {} requests", attempts.len(), requests.len()));
    drop(operator);
    Ok(())
}

/// Waits until nothing is written about the victim any more.
async fn settled(scene: &Scene<'_>) -> anyhow::Result<()> {
    let (mut last, mut same) = (Value::Null, 0);
    until("a victim at rest", CONVERGES, async || {
        let now = scene.victim().await?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        let endpoint = scene.victim.get(&scene.victim.endpoint("churn")).await?.unwrap_or_default();
        Ok(if same >= 25 { Ok(()) } else { Err(format!("{:?}", conditions(&endpoint))) })
    })
    .await
}
