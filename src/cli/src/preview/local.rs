//! What an Endpoint writes on the cluster.
use std::collections::BTreeMap;

use api::endpoint::ResolvedModel;
use api::{Endpoint, ServingRuntimeSpec};
use plan::Step;
use plan::azure::{Facts, Outcome, Read, Refusal, Sight};
use plan::endpoint::{RuntimeFacts, World, has_keys, model_uri, plan};
use serde_json::{Value, json};

use super::report::ObjectReport;
use super::{Scene, cluster};
use crate::failure::Failure;

/// How often Azure is asked where a model lies.
const ROUNDS: usize = 6;

/// The writes of an Endpoint on the cluster, once what it has in Azure is as it should be.
pub(super) async fn steps(
    scene: &Scene,
    object: &Value,
    azure: Option<Outcome>,
    report: &mut ObjectReport,
) -> Result<Vec<Step>, Failure> {
    let mut object = object.clone();
    // The API server gives an identity to every object.
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!("");
    }
    let is_paused = object["spec"]["management"]["mode"] == "Paused";
    if object["spec"]["management"]["mode"] == "Plan" {
        object["spec"]["management"]["mode"] = json!("Manage");
    }
    let endpoint: Endpoint = match serde_json::from_value(object.clone()) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            report.problems.push(format!("the object can't be read: {error}"));
            return Ok(Vec::new());
        }
    };
    let is_azure = endpoint.spec.target.type_.is_azure();
    let owned = match &scene.cluster {
        Some(cluster) => cluster::owned(cluster, &object, &scene.settings).await?,
        None => cluster::Owned { knows_http_routes: true, ..cluster::Owned::default() },
    };
    // The digests of keys are not shown, and a plan looks alike with any.
    let keys = has_keys(&endpoint).map(|_| Ok(vec!["0".repeat(64)]));
    let world = World {
        now: scene.now,
        runtimes: runtimes(scene, &endpoint, report),
        children: owned.children,
        further: owned.further,
        route: owned.route,
        knows_http_routes: owned.knows_http_routes,
        evidence: None,
        load: None,
        keys,
        pods: Vec::new(),
        settings: scene.settings.clone(),
        azure,
        model: model(scene, &endpoint, &object, report).await?,
        endpoint,
    };
    let plan = plan(&world);
    let is_write = |step: &&Step| matches!(step, Step::Apply(_) | Step::Delete(_));
    let steps: Vec<Step> = plan.steps.iter().filter(is_write).cloned().collect();
    if !is_azure && !is_paused {
        let stalled = plan.status.conditions.iter().find(|it| it.type_ == "Stalled" && it.status == "True");
        report.problems.extend(stalled.map(|it| format!("{}: {}", it.reason, it.message)));
    }
    for step in &steps {
        report.add(step, 1);
    }
    Ok(steps)
}

fn runtimes(scene: &Scene, endpoint: &Endpoint, report: &mut ObjectReport) -> Vec<RuntimeFacts> {
    let own = endpoint.metadata.namespace.clone().unwrap_or_default();
    let mut runtimes = Vec::new();
    for namespace in [&own, &scene.settings.operator_namespace] {
        for ((kind, name), object) in scene.objects.get(namespace).into_iter().flatten() {
            let spec = serde_json::from_value::<ServingRuntimeSpec>(object["spec"].clone());
            if let (Ok(spec), "ServingRuntime") = (spec, kind.as_str()) {
                runtimes.push(RuntimeFacts { namespace: namespace.clone(), name: name.clone(), spec });
            }
        }
        if own == scene.settings.operator_namespace {
            break;
        }
    }
    let format = endpoint.spec.model.format;
    let named = endpoint.spec.runtime_ref.as_ref().map(|reference| reference.name.clone());
    let has_one = runtimes.iter().any(|runtime| match &named {
        Some(name) => runtime.name == *name,
        None => runtime.spec.supported_formats.contains(&format),
    });
    if scene.reads.is_offline() && !endpoint.spec.target.type_.is_azure() && !has_one {
        // What an Endpoint names itself, a runtime need not have.
        let own_image = endpoint.spec.container.as_ref().is_some_and(|container| container.image.is_some());
        let spec = json!({"supportedFormats": [format], "image": (!own_image).then_some("RUNTIME-IMAGE")});
        if let Ok(spec) = serde_json::from_value(spec) {
            let name = named.unwrap_or_else(|| "default".to_owned());
            report.assume(format!("the operator has a ServingRuntime {name} for {}", format.name()));
            let namespace = scene.settings.operator_namespace.clone();
            runtimes.push(RuntimeFacts { namespace, name, spec });
        }
    }
    runtimes
}

/// Where the model lies, when Azure must be asked.
async fn model(
    scene: &Scene,
    endpoint: &Endpoint,
    object: &Value,
    report: &mut ObjectReport,
) -> Result<Option<Result<ResolvedModel, Refusal>>, Failure> {
    if !model_uri::is_registered(&endpoint.spec) {
        return Ok(None);
    }
    let objects = scene.neighbours(object);
    let mut seen: BTreeMap<arm::ResourceId, Sight> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let facts = Facts {
            now: scene.now,
            objects: &objects,
            seen: &seen,
            subscription: scene.subscription.as_deref(),
            assume_ready: true,
        };
        let resolution = match model_uri::resolve(object, &facts) {
            Ok(resolution) => resolution,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        if let Some(model) = resolution.model {
            return Ok(Some(Ok(model)));
        }
        if scene.reads.is_offline() {
            report.assume("Azure tells where the registered model lies".to_owned());
            let url = "https://MODEL-ADDRESS".to_owned();
            return Ok(Some(Ok(ResolvedModel { source: url.clone(), url, digest: None })));
        }
        for read in resolution.reads {
            match read {
                Read::Get(id) => {
                    let sight = scene.reads.get(&id).await?;
                    seen.insert(id, sight);
                }
                Read::List(parent, type_) => {
                    for (id, body) in scene.reads.list(&parent, type_).await? {
                        seen.insert(id, Sight::Present(body));
                    }
                }
            }
        }
    }
    Ok(None)
}

/// The kinds that a neighbour may be of.
pub(super) const NEIGHBOURS: [(&str, &str); 5] = [
    ("Compute", "computes"),
    ("MLWorkspace", "mlworkspaces"),
    ("Model", "models"),
    ("ModelRegistry", "modelregistries"),
    ("ServingRuntime", "servingruntimes"),
];

/// The plural of a kind.
pub(super) fn plural(kind: &str) -> String {
    let crds = api::crds();
    let found = crds.iter().find(|crd| crd.spec.names.kind == kind);
    found.map_or_else(String::new, |crd| crd.spec.names.plural.clone())
}
