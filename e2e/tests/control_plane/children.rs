//! The objects of an Endpoint: made, kept, left to others where they are theirs, and gone in the end.
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::context::{JSON, conditions, manifest, message, spec};
use e2e::{Context, Mode, PATIENCE, holds_for, in_time, until};
use plan::ChildKind;
use serde_json::{Value, json};

fn ranged(version: u32) -> Value {
    let mut spec = spec(version);
    spec["scaling"] = json!({"minReplicas": 1, "maxReplicas": 5});
    spec
}

/// All six kinds, with an owner and by server-side apply; deleting the Endpoint leaves none.
pub(crate) async fn an_endpoint_gets_its_objects_and_leaves_nothing(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let endpoint = context.create("churn", &ranged(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let children = context.children("churn").await?;
    ensure!(children.len() == ChildKind::ALL.len(), "made: {:?}", children.keys());
    for (kind, child) in &children {
        let owner = &child["metadata"]["ownerReferences"][0];
        ensure!(
            owner["uid"] == endpoint["metadata"]["uid"] && owner["controller"] == true,
            "{kind}: {owner}"
        );
        let managers = child["metadata"]["managedFields"].as_array().context("no managed fields")?;
        let applied = |manager: &&Value| {
            manager["manager"] == "mlops-operator"
                && manager["operation"] == "Apply"
                && manager.get("subresource").is_none()
        };
        ensure!(managers.iter().any(|manager| applied(&manager)), "{kind} is not applied: {managers:?}");
    }
    ensure!(context.events().await?.iter().any(|line| line.contains("Ready")), "no event tells of Ready");
    context.delete(&context.endpoint("churn")).await?;
    context.is_empty().await
}

/// Each kind, one by one.
pub(crate) async fn what_is_deleted_by_hand_is_back_within_five_seconds(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.create("churn", &ranged(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for kind in ChildKind::ALL {
        let path = context.child(kind, "churn");
        let before = context.get(&path).await?.with_context(|| format!("no {kind}"))?;
        let started = Instant::now();
        context.delete(&path).await?;
        until(&format!("the return of the {kind}"), PATIENCE, async || {
            let uid = context.get(&path).await?.map(|it| it["metadata"]["uid"].clone());
            Ok(if uid.as_ref().is_some_and(|uid| *uid != before["metadata"]["uid"]) {
                Ok(())
            } else {
                Err(format!("{uid:?}"))
            })
        })
        .await?;
        in_time(&format!("the return of the {kind}"), started.elapsed(), Duration::from_secs(5))?;
    }
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// Labels and annotations of others, and the number of replicas that an autoscaler has set.
pub(crate) async fn what_others_set_survives(context: &mut Context) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.create("churn", &ranged(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for kind in ChildKind::ALL {
        let metadata = json!({"labels": {"theirs": "yes"}, "annotations": {"theirs": "yes"}});
        context.merge(&context.child(kind, "churn"), &json!({"metadata": metadata})).await?;
    }
    let scale = format!("{}/scale", context.child(ChildKind::Deployment, "churn"));
    context.merge(&scale, &json!({"spec": {"replicas": 4}})).await?;
    context.merge(&context.endpoint("churn"), &json!({"spec": ranged(2)})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for (kind, child) in context.children("churn").await? {
        let metadata = &child["metadata"];
        ensure!(metadata["labels"]["theirs"] == "yes", "{kind} lost a label: {metadata}");
        ensure!(metadata["annotations"]["theirs"] == "yes", "{kind} lost an annotation: {metadata}");
    }
    let deployment = context.get(&context.child(ChildKind::Deployment, "churn")).await?.unwrap_or_default();
    ensure!(deployment["spec"]["replicas"] == 4, "replicas: {}", deployment["spec"]["replicas"]);
    // What is ours is put back.
    let service = context.child(ChildKind::Service, "churn");
    context
        .merge(
            &service,
            &json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 81}]}}),
        )
        .await?;
    until("the Service's own port", PATIENCE, async || {
        let ports = context.get(&service).await?.unwrap_or_default()["spec"]["ports"].clone();
        let list = ports.as_array().cloned().unwrap_or_default();
        Ok(if list.iter().any(|it| it["port"] == 80 && it["targetPort"] == "http") {
            Ok(())
        } else {
            Err(ports.to_string())
        })
    })
    .await
}

/// From a fixed number to a range and back: the number never falls on the way, and the autoscaler comes and goes.
pub(crate) async fn replicas_survive_the_hand_over_to_an_autoscaler_and_back(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let mut fixed = spec(1);
    fixed["scaling"] = json!({"replicas": 3});
    context.create("churn", &fixed).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let (path, endpoint) = (context.child(ChildKind::Deployment, "churn"), context.endpoint("churn"));
    let replicas = async || {
        Ok::<_, anyhow::Error>(context.get(&path).await?.unwrap_or_default()["spec"]["replicas"].clone())
    };
    let range = json!({"spec": {"scaling": {"replicas": null, "minReplicas": 1, "maxReplicas": 5}}});
    context.merge(&endpoint, &range).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let autoscaler = context.child(ChildKind::HorizontalPodAutoscaler, "churn");
    ensure!(context.get(&autoscaler).await?.is_some(), "there is no autoscaler");
    holds_for(Duration::from_secs(1), async || {
        let found = replicas().await?;
        Ok(if found == 3 { Ok(()) } else { Err(format!("the replicas became {found}")) })
    })
    .await?;
    let scale = format!("{path}/scale");
    context.merge(&scale, &json!({"spec": {"replicas": 5}})).await?;
    let fixed = json!({"spec": {"scaling": {"replicas": 2, "minReplicas": null, "maxReplicas": null}}});
    context.merge(&endpoint, &fixed).await?;
    until("two replicas and no autoscaler", PATIENCE, async || {
        let (found, left) = (replicas().await?, context.get(&autoscaler).await?.is_some());
        Ok(if found == 2 && !left { Ok(()) } else { Err(format!("{found} replicas, autoscaler: {left}")) })
    })
    .await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// An object of the same name that is not ours stays as it is, and the Endpoint says so.
pub(crate) async fn objects_of_strangers_are_refused_and_untouched(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let labels = json!({"app": "theirs"});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let strangers = [
        (ChildKind::ServiceAccount, json!({"automountServiceAccountToken": true})),
        (ChildKind::Service, json!({"spec": {"ports": [{"port": 90}], "selector": labels}})),
        (
            ChildKind::Deployment,
            json!({"spec": {"replicas": 7, "selector": {"matchLabels": labels}, "template": pod}}),
        ),
        (
            ChildKind::HorizontalPodAutoscaler,
            json!({"spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}}}),
        ),
    ];
    for (kind, mut body) in strangers {
        let name = kind.to_string().to_lowercase();
        body["apiVersion"] = json!(kind.coordinates().api_version);
        body["kind"] = json!(kind.coordinates().kind);
        body["metadata"] = json!({"name": name});
        context.must("POST", &context.child(kind, ""), JSON, &body).await?;
        let path = context.child(kind, &name);
        let essence = |object: &Value| {
            json!([
                object["metadata"]["uid"],
                object["metadata"]["labels"],
                object["metadata"]["ownerReferences"],
                object["spec"],
                object["automountServiceAccountToken"]
            ])
        };
        let before = essence(&context.get(&path).await?.unwrap_or_default());
        let endpoint = context.create(&name, &ranged(1)).await?;
        ensure!(endpoint["metadata"]["name"] == name.as_str(), "no Endpoint");
        let said = context.says(&name, "Stalled=True/Conflict").await?;
        ensure!(message(&said, "Ready").contains("belongs to somebody else"), "{:?}", said["status"]);
        let after = essence(&context.get(&path).await?.unwrap_or_default());
        ensure!(before == after, "{kind} was touched:\n{before}\n{after}");
        // Once the stranger is gone, the Endpoint comes up by itself.
        context.delete(&path).await?;
        context.says(&name, "Ready=True/Ready").await?;
    }
    Ok(())
}

/// A runtime that does not exist is said, its creation heals, and its change rolls over.
pub(crate) async fn a_change_of_a_runtime_reaches_its_endpoints(context: &mut Context) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let mut wanted = spec(1);
    wanted["runtimeRef"] = json!({"name": "mine"});
    context.create("churn", &wanted).await?;
    let said = context.says("churn", "Stalled=True/RuntimeNotFound").await?;
    ensure!(message(&said, "Ready").contains("ServingRuntime mine exists neither"), "{}", said["status"]);
    ensure!(context.labelled().await?.is_empty(), "objects were made without a runtime");
    let runtime =
        manifest("ServingRuntime", "mine", &json!({"supportedFormats": ["ONNX"], "image": "mine:1"}));
    context.must("POST", &context.runtime(""), JSON, &runtime).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let image = async || {
        let deployment = context.get(&context.child(ChildKind::Deployment, "churn")).await?;
        let pod = deployment.unwrap_or_default()["spec"]["template"]["spec"].clone();
        Ok::<_, anyhow::Error>(pod["containers"][0]["image"].clone())
    };
    ensure!(image().await? == "mine:1", "image: {}", image().await?);
    context.stand_in.set(Mode::Stuck);
    context.merge(&context.runtime("mine"), &json!({"spec": {"image": "mine:2"}})).await?;
    context.says("churn", "Reconciling=True").await?;
    context.stand_in.set(Mode::Ready);
    until("the new image", PATIENCE, async || {
        let found = image().await?;
        Ok(if found == "mine:2" { Ok(()) } else { Err(found.to_string()) })
    })
    .await?;
    context.says("churn", "Ready=True/Ready").await?;
    until("the runtime's own status", PATIENCE, async || {
        let runtime = context.get(&context.runtime("mine")).await?.unwrap_or_default();
        let said = conditions(&runtime);
        let current = runtime["status"]["observedGeneration"] == runtime["metadata"]["generation"];
        Ok(if current && said == ["Ready=True/Accepted"] { Ok(()) } else { Err(format!("{said:?}")) })
    })
    .await
}
