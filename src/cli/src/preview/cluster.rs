//! What `plan --server` reads of the cluster: live objects, what they refer to, and how the operator was started.
use std::collections::{BTreeMap, BTreeSet};

use api::meta::{APPLIED_ANNOTATION, ENDPOINT_LABEL, ENDPOINT_NAMESPACE_LABEL};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use plan::azure::{Export, SecretFacts};
use plan::{ChildKind, Children, Gateway, GatewayApi, Observed, Settings};
use serde_json::{Value, json};

use super::{NO_CLUSTER, Scene, documents, local};
use crate::azure::{Environment, Reads};
use crate::connect::{Cluster, Problem};
use crate::failure::Failure;
use crate::output;

pub(super) fn failed(problem: &Problem) -> Failure {
    Failure::Error(problem.message().to_owned())
}

/// The scene of a cluster.
pub(super) async fn scene(
    cluster: Cluster,
    reads: Reads,
    environment: &Environment,
) -> Result<Scene, Failure> {
    let operator = operator(&cluster).await?;
    let arguments = operator.as_ref().map(arguments).unwrap_or_default();
    let argument = |name: &str| {
        let start = format!("--{name}=");
        arguments.iter().find_map(|it| it.strip_prefix(&start)).map(str::to_owned)
    };
    let owner = match argument("cluster-id") {
        Some(id) => id,
        None => identity(&cluster).await?,
    };
    let hosts = argument("model-allowed-hosts").unwrap_or_default();
    let portal = arm_client::cloud_from_environment(environment)
        .map(|cloud| cloud.endpoints().portal)
        .map_err(|error| Failure::Error(error.to_string()))?;
    if operator.is_none() {
        output::progress("the operator is not seen: what it was started with is not known");
    }
    let settings = Settings {
        operator_namespace: operator.as_ref().and_then(kube::ResourceExt::namespace).unwrap_or_default(),
        model_server_image: argument("model-server-image").unwrap_or_else(|| "MODEL-SERVER-IMAGE".to_owned()),
        model_allowed_hosts: listed(&hosts),
        gateway: argument("gateway-url").map(|url| Gateway {
            url,
            namespace: argument("gateway-namespace").unwrap_or_default(),
            domain: argument("gateway-domain"),
            capture_stores: listed(&argument("gateway-capture-store").unwrap_or_default()),
        }),
        gateway_api: (argument("gateway-api").as_deref() == Some("true"))
            .then(|| GatewayApi { domain: argument("gateway-api-domain") }),
    };
    let configured = operator.as_ref().and_then(subscription);
    Ok(Scene {
        now: Timestamp::now(),
        owner,
        subscription: configured.or_else(|| arm_client::subscription(environment)),
        portal,
        settings,
        reads,
        cluster: Some(cluster),
        objects: BTreeMap::new(),
    })
}

/// The values of an argument that takes several.
fn listed(text: &str) -> Vec<String> {
    text.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

async fn operator(cluster: &Cluster) -> Result<Option<Deployment>, Failure> {
    let api: Api<Deployment> = Api::all(cluster.client.clone());
    // The Deployment of an Endpoint carries the Endpoint's name in the same label.
    let selector = format!("app.kubernetes.io/name={},!{ENDPOINT_LABEL}", api::meta::MANAGER);
    match cluster.ask(api.list(&ListParams::default().labels(&selector))).await {
        Ok(found) => Ok(found.items.into_iter().next()),
        Err(Problem::Forbidden(_) | Problem::NotFound(_)) => Ok(None),
        Err(problem) => Err(failed(&problem)),
    }
}

fn arguments(deployment: &Deployment) -> Vec<String> {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let containers = pod.into_iter().flat_map(|pod| &pod.containers);
    containers.flat_map(|container| container.args.clone().unwrap_or_default()).collect()
}

fn subscription(deployment: &Deployment) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let variables = pod.containers.iter().flat_map(|container| container.env.iter().flatten());
    variables.into_iter().find(|variable| variable.name == "AZURE_SUBSCRIPTION_ID")?.value.clone()
}

/// The identity of the cluster, as the operator has it.
async fn identity(cluster: &Cluster) -> Result<String, Failure> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    match cluster.ask(api.get_metadata("kube-system")).await {
        Ok(found) => Ok(found.metadata.uid.unwrap_or_else(|| NO_CLUSTER.to_owned())),
        Err(problem) => Err(Failure::Error(format!(
            "failed to read the identity of the cluster from the namespace kube-system: {}",
            problem.message()
        ))),
    }
}

fn dynamic(cluster: &Cluster, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let kind_of = GroupVersionKind::gvk(api::GROUP, api::VERSION, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind_of, &local::plural(kind));
    Api::namespaced_with(cluster.client.clone(), namespace, &resource)
}

/// The manifest as the cluster would have it: with the status and the metadata of the live object, if there is one.
pub(super) async fn with_live(cluster: &Cluster, given: &Value) -> Result<Value, Failure> {
    let (kind, name) = (documents::kind(given), documents::name(given));
    if local::plural(kind).is_empty() || name.is_empty() {
        return Ok(given.clone());
    }
    let api = dynamic(cluster, kind, documents::namespace(given));
    let live = match cluster.ask(api.get_opt(name)).await {
        Ok(Some(live)) => live,
        Ok(None) | Err(Problem::NotFound(_)) => return Ok(given.clone()),
        Err(problem) => return Err(failed(&problem)),
    };
    let live = serde_json::to_value(live).map_err(|error| Failure::Error(error.to_string()))?;
    let mut object = given.clone();
    object["metadata"] = live["metadata"].clone();
    let annotations = given["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    for (key, value) in annotations {
        object["metadata"]["annotations"][key] = value;
    }
    if live["spec"] != given["spec"]
        && let Some(generation) = live["metadata"]["generation"].as_i64()
        && is_changed(&live["spec"], &given["spec"])
    {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    object["status"] = live["status"].clone();
    Ok(object)
}

/// Whether a manifest says something that the live spec, with its defaults, does not.
fn is_changed(live: &Value, given: &Value) -> bool {
    plan::subset::difference(given, live).is_some()
}

/// The objects of the namespaces that others may refer to, and the operator's ServingRuntimes.
pub(super) async fn neighbours(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
) -> Result<BTreeMap<String, BTreeMap<(String, String), Value>>, Failure> {
    let mut all: BTreeMap<String, BTreeMap<(String, String), Value>> = BTreeMap::new();
    let mut namespaces = namespaces.clone();
    namespaces.extend(operator(cluster).await?.and_then(|operator| operator.namespace()));
    for namespace in namespaces {
        for (kind, _) in local::NEIGHBOURS {
            let api = dynamic(cluster, kind, &namespace);
            let found = match cluster.ask(api.list(&ListParams::default())).await {
                Ok(found) => found.items,
                Err(Problem::NotFound(_) | Problem::Forbidden(_)) => Vec::new(),
                Err(problem) => return Err(failed(&problem)),
            };
            for object in found {
                let mut object =
                    serde_json::to_value(object).map_err(|error| Failure::Error(error.to_string()))?;
                object["kind"] = json!(kind);
                object["apiVersion"] = json!(format!("{}/{}", api::GROUP, api::VERSION));
                all.entry(namespace.clone()).or_default().insert(documents::key(&object), object);
            }
        }
    }
    Ok(all)
}

/// The version and the keys of a Secret; its values are not looked at.
pub(super) async fn secret(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<SecretFacts>, Failure> {
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
    let found = match cluster.ask(api.get_opt(name)).await {
        Ok(found) => found,
        Err(problem) => return Err(failed(&problem)),
    };
    Ok(found.map(|secret| SecretFacts {
        version: secret.metadata.resource_version.unwrap_or_default(),
        keys: secret.data.unwrap_or_default().into_keys().collect(),
    }))
}

/// The digest of what was exported before.
pub(super) async fn export_digest(
    cluster: &Cluster,
    namespace: &str,
    export: &Export,
) -> Result<Option<String>, Failure> {
    let client = cluster.client.clone();
    let found = if export.secret {
        let api: Api<Secret> = Api::namespaced(client, namespace);
        cluster.ask(api.get_metadata_opt(&export.name)).await
    } else {
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let found = cluster.ask(api.get_metadata_opt(&export.name)).await;
        let annotation = |metadata: kube::core::PartialObjectMeta<ConfigMap>| {
            metadata.annotations().get(APPLIED_ANNOTATION).cloned()
        };
        return found.map(|found| found.and_then(annotation)).map_err(|problem| failed(&problem));
    };
    let found = found.map_err(|problem| failed(&problem))?;
    Ok(found.and_then(|metadata| metadata.annotations().get(APPLIED_ANNOTATION).cloned()))
}

/// What the operator has on the cluster for an Endpoint.
#[derive(Default)]
pub(super) struct Owned {
    /// What bears its name.
    pub(super) children: Children,
    /// What bears another.
    pub(super) further: Vec<(ChildKind, Observed)>,
    /// Its routing document.
    pub(super) route: Option<Observed>,
    /// Whether the cluster knows HTTPRoutes.
    pub(super) knows_http_routes: bool,
}

/// What the operator has on the cluster for an Endpoint.
pub(super) async fn owned(
    cluster: &Cluster,
    endpoint: &Value,
    settings: &Settings,
) -> Result<Owned, Failure> {
    let (namespace, name) = (documents::namespace(endpoint), documents::name(endpoint));
    let (mut children, mut further) = (Children::new(), Vec::new());
    for kind in ChildKind::ALL {
        let selector = format!("{ENDPOINT_LABEL}={name}");
        for seen in labelled(cluster, kind, namespace, &selector).await?.unwrap_or_default() {
            if seen.body["metadata"]["name"] == *name {
                children.insert(kind, seen);
            } else {
                further.push((kind, seen));
            }
        }
    }
    let mut knows_http_routes = false;
    if settings.gateway_api.is_some() {
        let selector = format!("{ENDPOINT_LABEL}={name}");
        let routes = labelled(cluster, ChildKind::HttpRoute, namespace, &selector).await?;
        knows_http_routes = routes.is_some();
        let own = routes.unwrap_or_default().into_iter().find(|it| it.body["metadata"]["name"] == *name);
        children.extend(own.map(|own| (ChildKind::HttpRoute, own)));
    }
    let mut route = None;
    if let Some(gateway) = &settings.gateway {
        let selector = format!("{ENDPOINT_LABEL}={name},{ENDPOINT_NAMESPACE_LABEL}={namespace}");
        let routes = labelled(cluster, ChildKind::ConfigMap, &gateway.namespace, &selector).await?;
        route = routes.into_iter().flatten().next();
    }
    Ok(Owned { children, further, route, knows_http_routes })
}

/// The objects of a kind with labels; nothing when the cluster does not know the kind.
async fn labelled(
    cluster: &Cluster,
    kind: ChildKind,
    namespace: &str,
    selector: &str,
) -> Result<Option<Vec<Observed>>, Failure> {
    let coordinates = kind.coordinates();
    let kind_of = GroupVersionKind::gvk(coordinates.group, coordinates.version, coordinates.kind);
    let resource = ApiResource::from_gvk_with_plural(&kind_of, coordinates.plural);
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
    let found = cluster.ask(api.list(&ListParams::default().labels(selector))).await;
    let body = |object: DynamicObject| {
        let mut body = serde_json::to_value(object).map_err(|error| Failure::Error(error.to_string()))?;
        body["apiVersion"] = coordinates.api_version.into();
        body["kind"] = coordinates.kind.into();
        Ok(Observed::from_body(body))
    };
    match found {
        Ok(found) => found.items.into_iter().map(body).collect::<Result<_, _>>().map(Some),
        Err(Problem::NotFound(_)) => Ok(None),
        Err(problem) => Err(failed(&problem)),
    }
}
