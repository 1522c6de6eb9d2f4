//! The world of an Endpoint.
use api::{Endpoint, ServingRuntimeSpec};
use jiff::Timestamp;
use plan::endpoint::{RuntimeFacts, World, plan};
use plan::{ChildKind, Children, Observed};

use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::kinds::Kind;
use crate::object::{ObjectName, Primary};
use crate::resource::Object;
use crate::store::{Source, Store};

/// Observes an Endpoint and decides what to do about it.
pub(crate) async fn decide(
    context: &Context,
    _kind: &Kind,
    name: &ObjectName,
    _fresh: &mut Fresh,
) -> anyhow::Result<Option<Decision>> {
    let (store, settings, now) = (&context.store, &*context.settings, Timestamp::now());
    let Some(object) = store.object(Source::Primary(Primary::Endpoint), name)? else { return Ok(None) };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let old_status = object.status.clone();
    let endpoint = Endpoint {
        metadata: object.metadata,
        spec: serde_json::from_value(object.spec)?,
        status: (!object.status.is_null()).then(|| serde_json::from_value(object.status)).transpose()?,
    };
    let metadata = endpoint.metadata.clone();
    let world = World {
        now,
        endpoint,
        runtimes: runtimes(store, &name.namespace)?,
        children: children(store, name)?,
        pods: store.pods_of(name),
        settings: settings.clone(),
        azure: None,
        model: None,
    };
    Decision::new(metadata, old_status, plan(&world)).map(Some)
}

fn runtimes(store: &Store, namespace: &str) -> anyhow::Result<Vec<RuntimeFacts>> {
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

fn children(store: &Store, name: &ObjectName) -> anyhow::Result<Children> {
    let mut children = Children::new();
    for kind in ChildKind::ALL {
        if let Some(object) = store.object(Source::Child(kind), name)? {
            let mut body = serde_json::to_value(object)?;
            let coordinates = kind.coordinates();
            body["apiVersion"] = coordinates.api_version.into();
            body["kind"] = coordinates.kind.into();
            children.insert(kind, Observed::from_body(body));
        }
    }
    Ok(children)
}
