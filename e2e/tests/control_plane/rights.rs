//! Least privilege: every right that is granted is used, and none is missing.
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use e2e::context::{APPLY, spec};
use e2e::{Context, Operator, until};
use plan::ChildKind;
use plan::rights::{Right, own_namespace_rights, rights};
use serde_json::{Value, json};

/// Gives a user the rights that the chart gives the operator, as far as `keep` says: in all namespaces, and those of
/// its own namespace in the case's.
pub(crate) async fn grant(
    context: &Context,
    user: &str,
    keep: &(dyn Fn(&str, &str) -> bool + Sync),
) -> anyhow::Result<()> {
    let rules = |rights: Vec<Right>| -> Vec<Value> {
        let rule = |right: Right| {
            let verbs: Vec<&str> =
                right.verbs.iter().copied().filter(|verb| keep(right.resource, verb)).collect();
            json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": verbs})
        };
        rights.into_iter().map(rule).collect()
    };
    let root = "/apis/rbac.authorization.k8s.io/v1";
    let within = format!("{root}/namespaces/{}", context.namespace);
    for (kind, folder, rights) in
        [("ClusterRole", root, rights()), ("Role", within.as_str(), own_namespace_rights())]
    {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": user},
            "rules": rules(rights),
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let plural = kind.to_lowercase();
        for (path, body) in [
            (format!("{folder}/{plural}s/{user}"), role),
            (format!("{folder}/{plural}bindings/{user}"), binding),
        ] {
            context.must("PATCH", &format!("{path}?fieldManager=e2e&force=true"), APPLY, &body).await?;
        }
    }
    Ok(())
}

/// What the table of rights grants, as `GROUP RESOURCE VERB`.
fn granted() -> BTreeSet<String> {
    let all = rights().into_iter().chain(own_namespace_rights());
    all.flat_map(|right| {
        right.verbs.iter().map(move |verb| format!("{} {} {verb}", right.group, right.resource))
    })
    .collect()
}

/// What the operator asked for, as `GROUP RESOURCE VERB`.
fn used(context: &Context) -> anyhow::Result<BTreeSet<String>> {
    let requests = context.requests()?;
    let asked = requests.iter().map(|it| format!("{} {} {}", it.group, it.resource, it.verb));
    // A server-side apply that makes an object needs the right to create as well, and answers 201.
    let made = requests.iter().filter(|it| it.verb == "patch" && it.code == 201);
    Ok(asked.chain(made.map(|it| format!("{} {} create", it.group, it.resource))).collect())
}

/// Runs create, update, scale and delete with exactly these rights, and compares with the audit log, both ways.
pub(crate) async fn every_right_is_used_and_none_is_missing(context: &mut Context) -> anyhow::Result<()> {
    let user = context.user();
    grant(context, &user, &|_, _| true).await?;
    let kubeconfig = context.plane.user(&user, &[])?;
    let mut options = context.options_for(&context.namespace, &kubeconfig)?;
    // An operator of its own: with the lease, and with the default runtimes in the namespace that it watches.
    options.arguments.push(format!("--operator-namespace={}", context.namespace));
    options.arguments.retain(|it| !it.ends_with(e2e::plane::OPERATOR_NAMESPACE) && !it.contains("election"));
    for runtime in testkit::runtimes() {
        let body =
            e2e::context::manifest("ServingRuntime", &runtime.name, &serde_json::to_value(&runtime.spec)?);
        context.must("POST", &context.runtime(""), e2e::context::JSON, &body).await?;
    }
    let mut operator = Operator::start(options)?;
    let mut wanted = spec(1);
    wanted["scaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
    context.create("churn", &wanted).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for kind in ChildKind::ALL {
        let path = context.child(kind, "churn");
        let back = context.get(&path).await?.unwrap_or_default()["metadata"]["uid"].clone();
        context.delete(&path).await?;
        until(&format!("the return of the {kind}"), Duration::from_secs(10), async || {
            let found = context.get(&path).await?.map(|it| it["metadata"]["uid"].clone());
            Ok(if found.as_ref().is_some_and(|uid| *uid != back) { Ok(()) } else { Err("gone".to_owned()) })
        })
        .await?;
    }
    context.merge(&context.endpoint("churn"), &json!({"spec": {"model": spec(2)["model"]}})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let fixed = json!({"replicas": 2, "minReplicas": null, "maxReplicas": null});
    context.merge(&context.endpoint("churn"), &json!({"spec": {"scaling": fixed}})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    context.delete(&context.endpoint("churn")).await?;
    context.is_empty().await?;
    operator.terminate().await?;
    let (granted, used) = (granted(), used(context)?);
    let unused: Vec<_> = granted.difference(&used).collect();
    let missing: Vec<_> = used.difference(&granted).collect();
    ensure!(
        unused.is_empty() && missing.is_empty(),
        "granted but unused: {unused:?}\nused but not granted: {missing:?}"
    );
    let refused: Vec<_> = context.requests()?.into_iter().filter(|it| it.code == 403).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    Ok(())
}
