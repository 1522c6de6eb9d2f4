//! The world of an Endpoint.
use api::endpoint::ResolvedModel;
use api::{Endpoint, ServingRuntimeSpec};
use arm::ResourceId;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::endpoint::autoscaler::Autoscaler;
use plan::endpoint::azure::{AzurePart, azure_part};
use plan::endpoint::rollout::evidence::Evidence;
use plan::endpoint::{Refusal, RuntimeFacts, World, model_uri, plan};
use plan::failure::Failure;
use plan::{ChildKind, Children, Observed};
use serde_json::Value;

use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::kinds::Kind;
use crate::object::{Item, Lane, ObjectName, Primary};
use crate::observe::{azure, keys};
use crate::resource::Object;
use crate::store::{Source, Store};

/// Observes an Endpoint and decides what to do about it. Azure is asked only when it has to do with it; when it does not
/// answer, what runs on this cluster is planned all the same.
pub(crate) async fn decide(
    context: &Context,
    kind: &Kind,
    name: &ObjectName,
    fresh: &mut Fresh,
) -> anyhow::Result<Option<Decision>> {
    let store = &context.store;
    let further = store.further_of(name)?;
    let Some(object) = store.object(Source::Primary(Primary::Endpoint), name)? else {
        return Ok(without_endpoint(name, further));
    };
    if object.metadata.deletion_timestamp.is_some() && !azure::has_finalizer(&object) {
        return Ok(None);
    }
    let (metadata, old_status) = (object.metadata.clone(), object.status.clone());
    let whole = azure::whole(kind, object)?;
    let endpoint: Endpoint = serde_json::from_value(whole.clone())?;
    let mut failure = None;
    let (observed, model) =
        if store.lane(&Item { primary: kind.primary, object: name.clone() }) == Lane::Azure {
            let observed = in_azure(context, kind, name, &whole, fresh).await;
            let model = model(context, name, &endpoint, &whole, fresh).await;
            (take(observed, &mut failure).flatten(), take(model, &mut failure).flatten())
        } else {
            (None, None)
        };
    if let Some(failure) =
        failure.take_if(|_| endpoint.spec.target.type_.is_azure() || metadata.deletion_timestamp.is_some())
    {
        let mut decision = Decision::failed(metadata, old_status, failure);
        decision.azure_at = AZURE_AT;
        return Ok(Some(decision));
    }
    let keys = match keys::observe(context, &endpoint).await {
        Ok(keys) => keys,
        // What is told to the gateway stays until they can be read.
        Err(failure) => return Ok(Some(Decision::failed(metadata, old_status, failure))),
    };
    let session = observed.as_ref().and_then(|observed| observed.session.clone());
    let OnCluster { route, further, children, autoscalers } = OnCluster::new(store, name, further)?;
    let world = World {
        now: Timestamp::now(),
        further,
        route,
        knows_http_routes: store.knows_http_routes(),
        evidence: evidence(context, &endpoint, observed.as_ref()).await,
        keys,
        load: context.gateway.load(&endpoint).await,
        metric: context.gateway.metric(&endpoint).await,
        autoscalers,
        endpoint,
        runtimes: runtimes(store, &name.namespace)?,
        children,
        pods: store.pods_of(name),
        settings: context.settings.as_ref().clone(),
        azure: observed.map(|observed| observed.outcome),
        model,
    };
    let mut decision = Decision::new(metadata, old_status, plan(&world))?;
    decision.session = session;
    decision.azure_at = AZURE_AT;
    if let Some(failure) = failure {
        // What is on this cluster goes on; Azure is asked again later.
        decision.note(&failure, Timestamp::now());
    }
    Ok(Some(decision))
}

/// Where an Endpoint's status tells what it has in Azure.
const AZURE_AT: &str = "/azure";

/// The value, or the failure put aside.
fn take<T>(result: Result<T, Failure>, failure: &mut Option<Failure>) -> Option<T> {
    result.map_err(|error| *failure = Some(error)).ok()
}

/// What was decided about the part of an Endpoint that is in Azure, if there is one.
async fn in_azure(
    context: &Context,
    kind: &Kind,
    name: &ObjectName,
    whole: &Value,
    fresh: &mut Fresh,
) -> Result<Option<azure::Observed>, Failure> {
    let Some(azure_kind) = kind.azure_kind() else { return Ok(None) };
    let retired = match azure_part(whole) {
        AzurePart::Nothing => return Ok(None),
        AzurePart::Wanted | AzurePart::Kept => false,
        AzurePart::Retired => true,
    };
    let status = serde_json::from_value(whole["status"]["azure"].clone()).unwrap_or_default();
    let target = azure::Target { kind: azure_kind, object: whole, name, status, retired };
    azure::observe(context, &target, fresh).await.map(Some)
}

/// What was measured in the step that an Endpoint's rollout is in.
async fn evidence(
    context: &Context,
    endpoint: &Endpoint,
    observed: Option<&azure::Observed>,
) -> Option<Evidence> {
    let id = observed.and_then(|it| ResourceId::parse(it.outcome.plan.status.id.as_deref()?).ok());
    let session = observed.and_then(|it| it.session.as_ref());
    let evidence = context.gateway.evidence(endpoint).await;
    context.monitor.measure(endpoint, session.zip(id.as_ref()), evidence).await
}

/// Where the model of an Endpoint of this cluster lies, when Azure knows it.
async fn model(
    context: &Context,
    name: &ObjectName,
    endpoint: &Endpoint,
    whole: &Value,
    fresh: &mut Fresh,
) -> Result<Option<Result<ResolvedModel, Refusal>>, Failure> {
    if !model_uri::is_registered(&endpoint.spec) || endpoint.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    azure::resolve(context, name, whole, fresh).await.map(Some)
}

pub(super) fn runtimes(store: &Store, namespace: &str) -> anyhow::Result<Vec<RuntimeFacts>> {
    let mut objects = store.objects_in(Primary::ServingRuntime, namespace)?;
    if namespace != store.operator_namespace() {
        objects.extend(store.objects_in(Primary::ServingRuntime, store.operator_namespace())?);
    }
    let living = objects.into_iter().filter(|object| object.metadata.deletion_timestamp.is_none());
    living.map(runtime).collect()
}

fn runtime(object: Object) -> anyhow::Result<RuntimeFacts> {
    Ok(RuntimeFacts {
        namespace: object.metadata.namespace.unwrap_or_default(),
        name: object.metadata.name.unwrap_or_default(),
        spec: serde_json::from_value::<ServingRuntimeSpec>(object.spec)?,
    })
}

/// An Endpoint that is gone leaves nothing but its routing document, which lies in another namespace.
fn without_endpoint(name: &ObjectName, further: Vec<(ChildKind, Object)>) -> Option<Decision> {
    let routes = further.into_iter().filter(|(kind, _)| *kind == ChildKind::ConfigMap);
    let routes = routes.filter_map(|(kind, object)| seen(kind, object).ok());
    let steps: Vec<_> = routes.filter_map(|route| plan::endpoint::routed::remove(&route)).collect();
    let metadata = ObjectMeta {
        name: Some(name.name.to_string()),
        namespace: Some(name.namespace.to_string()),
        ..ObjectMeta::default()
    };
    (!steps.is_empty()).then(|| Decision { steps, ..Decision::unplanned(metadata, Value::Null) })
}

/// An object with its coordinates, as plans see it.
pub(super) fn seen(kind: ChildKind, object: Object) -> anyhow::Result<Observed> {
    let mut body = serde_json::to_value(object)?;
    let coordinates = kind.coordinates();
    body["apiVersion"] = coordinates.api_version.into();
    body["kind"] = coordinates.kind.into();
    Ok(Observed::from_body(body))
}

/// What an Endpoint has on this cluster.
struct OnCluster {
    route: Option<Observed>,
    further: Vec<(ChildKind, Observed)>,
    children: Children,
    autoscalers: Vec<Autoscaler>,
}

impl OnCluster {
    fn new(store: &Store, name: &ObjectName, further: Vec<(ChildKind, Object)>) -> anyhow::Result<Self> {
        let further = further.into_iter().map(|(kind, object)| Ok((kind, seen(kind, object)?)));
        let (routes, further): (Vec<_>, Vec<_>) = further
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .partition(|(kind, _)| *kind == ChildKind::ConfigMap);
        Ok(Self {
            route: routes.into_iter().next().map(|(_, seen)| seen),
            autoscalers: autoscalers(store, name, &further),
            children: children(store, name)?,
            further,
        })
    }
}

/// The autoscalers of others over the Endpoint or its Deployments.
fn autoscalers(store: &Store, name: &ObjectName, further: &[(ChildKind, Observed)]) -> Vec<Autoscaler> {
    let deployments = further.iter().filter(|(kind, _)| *kind == ChildKind::Deployment);
    let names = deployments.filter_map(|(_, seen)| seen.body["metadata"]["name"].as_str());
    let names = names.map(|it| ObjectName::new(&name.namespace, it)).chain([name.clone()]);
    names.flat_map(|name| store.autoscalers_of(&name)).collect()
}

fn children(store: &Store, name: &ObjectName) -> anyhow::Result<Children> {
    let mut children = Children::new();
    for kind in ChildKind::ALL.into_iter().chain([ChildKind::HttpRoute]) {
        if let Some(object) = store.object(Source::Child(kind), name)? {
            children.insert(kind, seen(kind, object)?);
        }
    }
    Ok(children)
}
