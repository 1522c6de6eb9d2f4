//! Least privilege: every right that is granted is used, and none is missing.
use std::collections::BTreeSet;

use anyhow::ensure;
use e2e::azure::{data_spec, workspace_spec};
use e2e::context::{APPLY, spec};
use e2e::{Azure, Context, Operator, PATIENCE, until};
use plan::ChildKind;
use plan::rights::{
    Right, cluster_rights, config_map_rights, http_route_rights, key_rights, own_namespace_rights, rights,
    secret_rights,
};
use serde_json::{Value, json};

/// Gives a user the rights that the chart gives the operator, as far as `keep` says: in all namespaces, and those in the
/// namespace of the operator and its gateway.
pub(crate) async fn grant(
    context: &Context,
    user: &str,
    own: &str,
    keep: &(dyn Fn(&str, &str) -> bool + Sync),
) -> anyhow::Result<()> {
    let rules = |rights: Vec<Right>| -> Vec<Value> {
        let rule = |right: Right| {
            let verbs: Vec<&str> =
                right.verbs.iter().copied().filter(|verb| keep(right.resource, verb)).collect();
            json!({
                "apiGroups": [right.group], "resources": [right.resource], "resourceNames": right.names, "verbs": verbs,
            })
        };
        rights.into_iter().map(rule).collect()
    };
    let root = "/apis/rbac.authorization.k8s.io/v1";
    let within = format!("{root}/namespaces/{own}");
    for (kind, folder, rights) in
        [("ClusterRole", root, everywhere()), ("Role", within.as_str(), own_namespace_rights())]
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

/// The rights in all namespaces, those that are given when asked for included.
fn everywhere() -> Vec<Right> {
    [rights(), cluster_rights(), secret_rights(), key_rights(), config_map_rights(), http_route_rights()]
        .concat()
}

/// What the table of rights grants, as `GROUP RESOURCE VERB`.
fn granted() -> BTreeSet<String> {
    let all = everywhere().into_iter().chain(own_namespace_rights());
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

async fn default_runtimes(context: &Context) -> anyhow::Result<()> {
    for runtime in testkit::runtimes() {
        let body =
            e2e::context::manifest("ServingRuntime", &runtime.name, &serde_json::to_value(&runtime.spec)?);
        context.must("POST", &context.runtime(""), e2e::context::JSON, &body).await?;
    }
    Ok(())
}

/// Through the gateway and back, so that a routing document is made, changed and taken away.
async fn through_the_gateway(context: &Context) -> anyhow::Result<()> {
    for routing in [json!({"queueTimeoutSeconds": 5}), json!({"queueTimeoutSeconds": 6}), Value::Null] {
        context.merge(&context.endpoint("churn"), &json!({"spec": {"routing": routing}})).await?;
        context.says("churn", "Ready=True/Ready").await?;
    }
    Ok(())
}

/// Through a gateway of one's own and back, so that an HTTPRoute is made, changed and taken away.
async fn through_an_own_gateway(context: &Context) -> anyhow::Result<()> {
    let route = context.child(ChildKind::HttpRoute, "churn");
    for port in [80, 81] {
        let routing = json!({"gatewayApi": {"parentRef": {"name": "public", "port": port}}});
        context.merge(&context.endpoint("churn"), &json!({"spec": {"routing": routing}})).await?;
        until("the HTTPRoute", PATIENCE, async || {
            let seen =
                context.get(&route).await?.unwrap_or_default()["spec"]["parentRefs"][0]["port"].clone();
            Ok(if seen == port { Ok(()) } else { Err(seen.to_string()) })
        })
        .await?;
    }
    context.merge(&context.endpoint("churn"), &json!({"spec": {"routing": null}})).await?;
    context.gone(&route).await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// Runs create, update, scale and delete with exactly these rights, and compares with the audit log, both ways.
pub(crate) async fn every_right_is_used_and_none_is_missing(context: &mut Context) -> anyhow::Result<()> {
    let user = context.user();
    grant(context, &user, &context.namespace, &|_, _| true).await?;
    let kubeconfig = context.plane.user(&user, &[])?;
    let azure = Azure::start(context).await?;
    let mut options = azure.options_with(context.options_for(&context.namespace, &kubeconfig)?);
    // An operator of its own: with the lease, and with the default runtimes in the namespace that it watches.
    let own = format!("--operator-namespace={}", context.namespace);
    options.arguments.extend([own, "--gateway-url=http://gateway.example".to_owned()]);
    options.arguments.retain(|it| !it.ends_with(e2e::plane::OPERATOR_NAMESPACE) && !it.contains("election"));
    options.arguments.push("--gateway-api=true".to_owned());
    context.plane.install_gateway_api().await?;
    default_runtimes(context).await?;
    let mut operator = Operator::start(options)?;
    let mut wanted = spec(1);
    wanted["scaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
    context.create("churn", &wanted).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for kind in ChildKind::ALL {
        let path = context.child(kind, "churn");
        let back = context.get(&path).await?.unwrap_or_default()["metadata"]["uid"].clone();
        context.delete(&path).await?;
        until(&format!("the return of the {kind}"), PATIENCE, async || {
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
    azure_objects(context).await?;
    through_the_gateway(context).await?;
    through_an_own_gateway(context).await?;
    let ranged = json!({"replicas": null, "minReplicas": 1, "maxReplicas": 3});
    context.merge(&context.endpoint("churn"), &json!({"spec": {"scaling": ranged}})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let moved = json!({
        "target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "instanceType": "Standard_F4s_v2"},
        "model": {"uri": null, "digest": null, "modelRef": {"name": "churn", "version": "1"}, "format": "MLflow"},
        "scaling": {"replicas": 1, "minReplicas": null, "maxReplicas": null},
    });
    context.merge(&context.endpoint("churn"), &json!({"spec": moved})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    context.is_empty().await?;
    context.delete(&context.endpoint("churn")).await?;
    context.gone(&context.endpoint("churn")).await?;
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

/// Brings a version to a stage, after a vote.
async fn promotion(context: &Context) -> anyhow::Result<()> {
    // The administrator asks, in whose name this context writes, so that the vote does not count.
    let spec = json!({
        "requester": "admin", "model": {"name": "churn", "version": "1"},
        "stages": [{"name": "production"}, {"name": "guarded", "approval": {"required": 1}}],
    });
    context.make("ModelPromotion", "modelpromotions", "churn", &spec).await?;
    let path = context.own("modelpromotions", "churn");
    let waiting = context.object_says(&path, "ApprovalRequired=True/ApprovalRequired").await?;
    let vote = json!({
        "promotion": "churn", "stage": "guarded", "evidence": waiting["status"]["stages"][1]["evidence"],
        "decision": "Approve", "reason": "mine", "approver": "admin",
    });
    context.make("Approval", "approvals", "churn", &vote).await?;
    context.object_says(&context.own("approvals", "churn"), "Ready=False/Void").await?;
    log_is_taken_up(context).await?;
    checked(context).await
}

/// Entries of the log that no status knows of, as after a crash, are taken up as they are.
async fn log_is_taken_up(context: &Context) -> anyhow::Result<()> {
    let path = context.own("models", "churn");
    let log = || async {
        until("three entries of the log", PATIENCE, async || {
            let model = context.get(&path).await?.unwrap_or_default();
            let log = model["status"]["decisions"].clone();
            Ok(if log["count"] == 3 { Ok(log) } else { Err(log.to_string()) })
        })
        .await
    };
    let before = log().await?;
    context.merge(&format!("{path}/status"), &json!({"status": {"decisions": null}})).await?;
    let after = log().await?;
    ensure!(before == after, "{before} {after}");
    let entries = context.get(&context.own("decisionrecords", "")).await?.unwrap_or_default();
    ensure!(entries["items"].as_array().is_some_and(|it| it.len() == 3), "{entries}");
    Ok(())
}

/// A promotion whose check has a Job, which goes when somebody ends the promotion.
async fn checked(context: &Context) -> anyhow::Result<()> {
    let data = json!({"uri": "https://data.example/rows.csv"});
    let check = json!({"name": "data", "type": "DataQuality", "data": data, "expect": [{"metric": "rows", "min": 1}]});
    let spec = json!({
        "requester": "admin", "model": {"name": "churn", "version": "1"},
        "stages": [{"name": "checked", "checks": [check]}],
    });
    context.make("ModelPromotion", "modelpromotions", "churn-checked", &spec).await?;
    let path = context.own("modelpromotions", "churn-checked");
    context.object_says(&path, "Ready=False/Checking").await?;
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", context.namespace);
    let count = async |wanted: usize| {
        e2e::until(&format!("{wanted} Jobs"), e2e::context::CONVERGES, async || {
            let found = context.get(&jobs).await?.unwrap_or_default();
            let found = found["items"].as_array().map_or(0, Vec::len);
            Ok(if found == wanted { Ok(()) } else { Err(found.to_string()) })
        })
        .await
    };
    count(1).await?;
    let word = json!({"metadata": {"annotations": {"mlops-operator.dev/promotion-action": "abort"}}});
    context.must("PATCH", &path, e2e::context::MERGE, &word).await?;
    context.object_says(&path, "Ready=False/Aborted").await?;
    count(0).await
}

/// Makes one object of each kind that lives in Azure, with a Secret that it names and others that it exports; and brings
/// the model to a stage.
async fn azure_objects(context: &Context) -> anyhow::Result<()> {
    let settings = arm_emulator::Settings::default();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "team"},
        "stringData": {
            "AZURE_TENANT_ID": settings.tenant,
            "AZURE_CLIENT_ID": arm_emulator::CLIENT,
            "AZURE_CLIENT_SECRET": arm_emulator::SECRET,
        },
    });
    let secrets = format!("/api/v1/namespaces/{}/secrets", context.namespace);
    context.must("POST", &secrets, e2e::context::JSON, &secret).await?;
    let mut workspace = workspace_spec();
    workspace["azure"] = json!({"credentialsRef": {"name": "team"}});
    workspace["export"] = json!({"secretName": "dev-keys", "configMapName": "dev-ids"});
    let of_workspace = json!({"workspaceRef": {"name": "dev"}});
    let with = |more: Value| -> Value {
        let mut spec = of_workspace.clone();
        let fields = more.as_object().into_iter().flatten();
        fields.for_each(|(key, value)| spec[key] = value.clone());
        spec
    };
    let scale = json!({"minNodeCount": 0, "maxNodeCount": 1});
    let compute = with(
        json!({"type": "AmlCompute", "amlCompute": {"vmSize": "Standard_DS3_v2", "scaleSettings": scale}}),
    );
    let uri = "azureml://datastores/workspaceblobstore/paths/churn/model";
    let model = with(json!({"versions": [{"version": "1", "uri": uri, "format": "MLflow"}]}));
    let registry = json!({
        "resourceGroup": "ml", "location": "westeurope", "regionDetails": [{"location": "westeurope"}],
    });
    let objects = [
        ("MLWorkspace", "mlworkspaces", "dev", workspace),
        ("Compute", "computes", "cpu", compute),
        ("DataAsset", "dataassets", "churn", data_spec("dev", 1)),
        ("Model", "models", "churn", model),
        ("ModelRegistry", "modelregistries", "contoso", registry),
    ];
    for (kind, plural, name, spec) in &objects {
        context.make(kind, plural, name, spec).await?;
    }
    for (_, plural, name, _) in &objects {
        context.object_says(&context.own(plural, name), "Ready=True/Ready").await?;
    }
    promotion(context).await
}
