//! What an Endpoint wants in Azure: an endpoint, a deployment named after what it runs, and all requests sent to it.
//!
//! A changed spec makes a new deployment beside the old one. Requests move once the new one is there, at once or as a
//! rollout says, and the old one is let go once a read of the endpoint shows that they have moved: Azure may answer a
//! read from before the move.

mod body;
pub(super) mod traffic;

use std::collections::BTreeMap;

use api::azure::ManagementMode;
use api::endpoint::{AuthMode, TargetType};
use api::{Endpoint, EndpointSpec, Reason};
use arm::ResourceId;
use serde_json::{Value, json};

use super::Refusal;
use super::model_uri::{self, Registered};
use crate::azure::reference::{id, read, workspace};
use crate::azure::{
    Compiled, Export, ExportValue, Facts, FailureLog, OWNER_TAG, Output, Read, Sight, Wanted, tracked_ids,
};
use crate::digest;

/// The tag of a deployment that was taken over, with the name that it would have if it had been made here.
const REVISION_TAG: &str = "mlops-operator-revision";

/// What an Endpoint has to do with Azure at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AzurePart {
    /// Nothing, and it never had.
    Nothing,
    /// It runs there, or is being deleted and ran there.
    Wanted,
    /// It ran there, and stays until this cluster serves it.
    Kept,
    /// It ran there, and this cluster serves it: what is left in Azure goes.
    Retired,
}

/// Tells what an Endpoint has to do with Azure, from the whole object.
pub fn azure_part(object: &Value) -> AzurePart {
    let Ok(endpoint) = serde_json::from_value::<Endpoint>(object.clone()) else { return AzurePart::Nothing };
    let status = endpoint.status.as_ref();
    let tracks = status.and_then(|status| status.azure.as_ref()).is_some_and(|it| !it.resources.is_empty());
    let has_finalizer = endpoint.metadata.finalizers.iter().flatten().any(|it| it == api::azure::FINALIZER);
    if endpoint.metadata.deletion_timestamp.is_some() {
        return if has_finalizer { AzurePart::Wanted } else { AzurePart::Nothing };
    }
    if endpoint.spec.target.type_.is_azure() {
        return AzurePart::Wanted;
    }
    match (tracks, has_finalizer) {
        (false, false) => AzurePart::Nothing,
        (false, true) => AzurePart::Retired,
        // A plan that is only shown must not forget what is there.
        (true, _) if endpoint.spec.management.mode == ManagementMode::Plan => AzurePart::Kept,
        (true, _) if is_served_here(&endpoint) => AzurePart::Retired,
        (true, _) => AzurePart::Kept,
    }
}

/// Whether this very spec was seen to be served by pods of this cluster.
fn is_served_here(endpoint: &Endpoint) -> bool {
    let Some(status) = &endpoint.status else { return false };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    status.ready_replicas.is_some_and(|replicas| replicas > 0)
        && ready.is_some_and(|ready| {
            ready.status == "True" && ready.observed_generation == endpoint.metadata.generation
        })
}

/// Says what an Endpoint wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let endpoint: Endpoint = read(object)?;
    if !endpoint.spec.target.type_.is_azure() {
        return kept(&endpoint, facts);
    }
    let spec = &endpoint.spec;
    let reference = spec.target.workspace_ref.as_ref().ok_or_else(|| {
        invalid("a target in Azure needs spec.target.workspaceRef, the MLWorkspace that it belongs to")
    })?;
    let workspace = workspace(facts, &reference.name)?;
    let collection = if is_batch(spec) { "batchEndpoints" } else { "onlineEndpoints" };
    let main = id(workspace.id.child(collection, name(&endpoint)?))?;
    let registered = model_uri::registered(spec, facts)?;
    let environment = environment(&endpoint, &registered, &workspace.id)?;
    let parts = body::Parts {
        location: &workspace.location,
        model: &registered,
        environment: environment.as_ref().map(|(id, _)| id.clone()),
        compute: body::compute(spec, facts)?,
    };
    let mut deployment = body::deployment(spec, &parts);
    let (runs, revision) = revision(&endpoint, &deployment);
    let mut scene =
        Scene { endpoint: &endpoint, facts, deployment: id(main.child("deployments", &revision))?, main };
    if let Some(same) = scene.same(&runs, &revision) {
        scene.deployment = same;
        if spec.management.mode == ManagementMode::Manage {
            deployment["tags"][REVISION_TAG] = json!(revision);
        }
    }
    let mut wanted: Vec<Wanted> = environment.into_iter().filter_map(|(_, wanted)| wanted).collect();
    let after: Vec<ResourceId> = wanted.iter().map(|wanted| wanted.id.clone()).collect();
    wanted.push(scene.one_at_a_time(Wanted::new(scene.main.clone(), scene.endpoint_body(&parts))));
    if !scene.is_given_up() {
        wanted.push(Wanted {
            after,
            patchable: if is_batch(spec) { &[] } else { &["/sku"] },
            on_failure: if is_batch(spec) { Vec::new() } else { logs() },
            ..scene.one_at_a_time(Wanted::new(scene.deployment.clone(), deployment))
        });
    }
    wanted.extend(scene.still_needed());
    Ok(Compiled {
        reads: scene.reads(),
        requires: Vec::new(),
        outputs: outputs(&scene),
        exports: exports(&scene),
        wanted,
        revision: Some(scene.deployment.name().to_owned()),
        main: scene.main.clone(),
    })
}

fn invalid(message: &str) -> Refusal {
    Refusal { reason: Reason::Invalid, message: message.to_owned() }
}

fn is_batch(spec: &EndpointSpec) -> bool {
    spec.target.type_ == TargetType::ManagedBatch
}

/// The endpoint's name in Azure, which has narrower rules than an object's.
fn name(endpoint: &Endpoint) -> Result<&str, Refusal> {
    let own = endpoint.spec.target.endpoint_name.as_deref();
    let name = own.or(endpoint.metadata.name.as_deref()).unwrap_or_default();
    if (3..=32).contains(&name.len()) {
        return Ok(name);
    }
    Err(invalid(&format!(
        "Azure takes names of endpoints of 3 to 32 characters, and {name} has {}: set spec.target.endpointName",
        name.len()
    )))
}

/// What the deployment runs, whatever its size; and its name: the object's, and a digest of that.
fn revision(endpoint: &Endpoint, deployment: &Value) -> (Value, String) {
    let mut runs = deployment["properties"].clone();
    if let Some(runs) = runs.as_object_mut() {
        // What can be changed without another container makes no new revision.
        runs.retain(|field, _| field != "scaleSettings" && !body::BATCH_FIELDS.contains(&field.as_str()));
    }
    let name: String = endpoint.metadata.name.iter().flat_map(|name| name.chars()).take(23).collect();
    let revision = format!("{name}-{}", digest::of(&runs, 8));
    (json!({"properties": runs}), revision)
}

/// The environment: the one that is named, that of an image, or that of the Model.
fn environment(
    endpoint: &Endpoint,
    model: &Registered,
    workspace: &ResourceId,
) -> Result<Option<(String, Option<Wanted>)>, Refusal> {
    let Some(environment) = &endpoint.spec.target.environment else {
        return Ok(model.environment.clone().map(|id| (id, None)));
    };
    if let Some(id) = &environment.environment_id {
        return Ok(Some((id.clone(), None)));
    }
    let routes = [
        ("livenessRoute", &environment.liveness_route),
        ("readinessRoute", &environment.readiness_route),
        ("scoringRoute", &environment.scoring_route),
    ];
    let routes: BTreeMap<&str, Value> =
        routes.into_iter().filter_map(|(name, route)| Some((name, json!(route.as_ref()?)))).collect();
    let properties = json!({
        "image": environment.image,
        "osType": "Linux",
        "inferenceConfig": (!routes.is_empty()).then_some(routes),
    });
    let name = format!("mlops-{}", endpoint.metadata.name.as_deref().unwrap_or_default());
    let environments = id(workspace.child("environments", &name))?;
    let version = id(environments.child("versions", &digest::of(&properties, 12)))?;
    let mut body = json!({"properties": properties});
    // An archived version that is wanted again comes back.
    body["properties"]["isArchived"] = json!(false);
    let wanted = Wanted { archivable: true, ..Wanted::new(version.clone(), body) };
    Ok(Some((version.to_string(), Some(wanted))))
}

/// What tells why a deployment failed: the server's log or, when it never started, that of the model's download.
fn logs() -> Vec<FailureLog> {
    let log = |container: &str| FailureLog {
        action: "getLogs",
        body: json!({"containerType": container, "tail": 50}),
        pointer: "/content",
    };
    vec![log("InferenceServer"), log("StorageInitializer")]
}

/// What the status tells of the endpoint, and what the plan of the whole Endpoint reads again.
fn outputs(scene: &Scene) -> Vec<Output> {
    let of = |name, id: &ResourceId, pointer| Output { name, id: id.clone(), pointer };
    let mut outputs = vec![
        of("scoringUri", &scene.main, "/properties/scoringUri"),
        of("swaggerUri", &scene.main, "/properties/swaggerUri"),
    ];
    if is_batch(&scene.endpoint.spec) {
        outputs.push(of("defaultDeployment", &scene.main, "/properties/defaults/deploymentName"));
    } else {
        outputs.extend([
            of("traffic", &scene.main, "/properties/traffic"),
            of("mirrorTraffic", &scene.main, "/properties/mirrorTraffic"),
            of("capacity", &scene.counted(), "/sku/capacity"),
        ]);
    }
    outputs
}

fn exports(scene: &Scene) -> Vec<Export> {
    let spec = &scene.endpoint.spec;
    let Some(export) = &spec.export else { return Vec::new() };
    let field = |pointer| ExportValue::Field(scene.main.clone(), pointer);
    let mut values = BTreeMap::from([("scoringUri".to_owned(), field("/properties/scoringUri"))]);
    if !is_batch(spec) {
        values.insert("swaggerUri".to_owned(), field("/properties/swaggerUri"));
    }
    let config_map = export.config_map_name.iter().map(|name| Export {
        secret: false,
        name: name.clone(),
        values: values.clone(),
    });
    let mut exports: Vec<Export> = config_map.collect();
    if let Some(name) = &export.secret_name {
        if body::auth_mode(spec) == AuthMode::Key {
            let key = |pointer| ExportValue::Action(scene.main.clone(), "listKeys", pointer);
            values.insert("primaryKey".to_owned(), key("/primaryKey"));
            values.insert("secondaryKey".to_owned(), key("/secondaryKey"));
        }
        exports.push(Export { secret: true, name: name.clone(), values });
    }
    exports
}

/// Everything in Azure stays as it is, until this cluster serves.
fn kept(endpoint: &Endpoint, facts: &Facts) -> Result<Compiled, Refusal> {
    let status = endpoint.status.as_ref().and_then(|status| status.azure.clone()).unwrap_or_default();
    let main = status.id.as_deref().and_then(|id| ResourceId::parse(id).ok());
    let tracked = tracked_ids(&status);
    let main = main.or_else(|| tracked.first().cloned()).ok_or_else(|| {
        invalid(
            "the target Kubernetes has nothing in Azure: remove spec.azure, or set another spec.target.type",
        )
    })?;
    let is_there = |id: &&ResourceId| !matches!(facts.seen.get(*id), Some(Sight::Absent));
    let wanted: Vec<Wanted> = tracked
        .iter()
        .filter(is_there)
        .map(|id| Wanted { one_at_a_time_with: Some(main.clone()), ..Wanted::new(id.clone(), json!({})) })
        .collect();
    let of = |name, pointer| Output { name, id: main.clone(), pointer };
    let outputs = vec![
        of("scoringUri", "/properties/scoringUri"),
        of("defaultDeployment", "/properties/defaults/deploymentName"),
        of("traffic", "/properties/traffic"),
    ];
    Ok(Compiled {
        reads: vec![Read::Get(main.clone())],
        requires: Vec::new(),
        outputs,
        exports: Vec::new(),
        revision: None,
        wanted,
        main,
    })
}

/// What is seen of an endpoint whose wanted deployment is known.
struct Scene<'a> {
    endpoint: &'a Endpoint,
    facts: &'a Facts<'a>,
    main: ResourceId,
    deployment: ResourceId,
}

impl Scene<'_> {
    /// The service takes one write at a time on an endpoint and all its deployments.
    fn one_at_a_time(&self, wanted: Wanted) -> Wanted {
        Wanted { one_at_a_time_with: Some(self.main.clone()), ..wanted }
    }

    /// A deployment that somebody else made, that gets requests and runs just what is wanted: it need not be made a second
    /// time to be managed. Once it is ours, its tag says of which revision it is.
    fn same(&self, runs: &Value, revision: &str) -> Option<ResourceId> {
        if self.body(&self.deployment).is_some() {
            return None;
        }
        let type_ = arm::resource_type(&self.deployment.type_())?;
        let live = self.live().into_iter().filter_map(|name| self.main.child("deployments", &name).ok());
        live.into_iter().find(|id| {
            self.body(id).is_some_and(|body| match body["tags"][REVISION_TAG].as_str() {
                Some(tag) => self.is_ours(body) && tag == revision,
                None => !self.is_ours(body) && arm::differences(runs, body, type_).is_empty(),
            })
        })
    }

    fn body(&self, id: &ResourceId) -> Option<&Value> {
        match self.facts.seen.get(id)? {
            Sight::Present(body) => Some(body),
            Sight::Absent => None,
        }
    }

    /// Whether the wanted deployment can answer.
    fn is_deployed(&self) -> bool {
        self.body(&self.deployment).is_some_and(|body| state(body) == "Succeeded")
    }

    /// The deployments that get requests, as far as the endpoint was read.
    fn live(&self) -> Vec<String> {
        let Some(body) = self.body(&self.main) else { return Vec::new() };
        if is_batch(&self.endpoint.spec) {
            let default = body.pointer("/properties/defaults/deploymentName").and_then(Value::as_str);
            return default.filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect();
        }
        shares(body.pointer("/properties/traffic"))
    }

    /// The deployments that get a copy of requests.
    fn mirrored(&self) -> Vec<String> {
        self.body(&self.main)
            .map(|body| shares(body.pointer("/properties/mirrorTraffic")))
            .unwrap_or_default()
    }

    /// The share of requests to copy to the wanted deployment, while another one answers them.
    fn mirror(&self) -> Option<i32> {
        let live = self.live();
        let name = self.deployment.name();
        let waits = !live.is_empty() && !live.iter().any(|it| it == name);
        self.endpoint.spec.target.mirror_traffic.filter(|_| waits)
    }

    /// Where requests go: to the wanted deployment once it can answer, and until then as they go now.
    fn endpoint_body(&self, parts: &body::Parts) -> Value {
        let spec = &self.endpoint.spec;
        let mut body = body::endpoint(spec, parts);
        if self.is_progressive() {
            self.share_out(&mut body["properties"]);
            return body;
        }
        if !self.is_deployed() {
            return body;
        }
        let name = self.deployment.name();
        if is_batch(spec) {
            body["properties"]["defaults"] = json!({"deploymentName": name});
            return body;
        }
        let share = |percent: i32| Value::Object([(name.to_owned(), json!(percent))].into_iter().collect());
        let mirror = self.mirror();
        if mirror.is_none() {
            body["properties"]["traffic"] = share(100);
        }
        if spec.target.type_ == TargetType::ManagedOnline {
            body["properties"]["mirrorTraffic"] = mirror.map_or_else(|| json!({}), share);
        }
        body
    }

    /// Deployments of ours from before that can't go yet: they get requests, or have only just been found.
    fn still_needed(&self) -> Vec<Wanted> {
        let (live, mirrored) = (self.live(), self.mirrored());
        let status =
            self.endpoint.status.as_ref().and_then(|status| status.azure.clone()).unwrap_or_default();
        let tracked = tracked_ids(&status);
        let given_up = self.is_given_up();
        let others = self.facts.seen.iter().filter(|(id, _)| {
            id.parent().as_ref() == Some(&self.main)
                && (given_up || **id != self.deployment)
                && id.type_().to_ascii_lowercase().ends_with("/deployments")
        });
        let is_needed = |id: &ResourceId| {
            let is_named = |names: &[String]| names.iter().any(|name| name == id.name());
            is_named(&live) || is_named(&mirrored) || !tracked.contains(id) || self.is_kept(id)
        };
        let mut needed: Vec<&ResourceId> = others
            .filter(|(id, sight)| {
                matches!(sight, Sight::Present(body) if self.is_ours(body)) && is_needed(id)
            })
            .map(|(id, _)| id)
            .collect();
        needed.sort_by_key(|id| !self.is_stable(id));
        needed.into_iter().map(|id| self.one_at_a_time(Wanted::new(id.clone(), json!({})))).collect()
    }

    /// Whether a deployment's tag names this Endpoint; which cluster's, the tag of the endpoint above it tells.
    fn is_ours(&self, body: &Value) -> bool {
        let metadata = &self.endpoint.metadata;
        let (namespace, name) =
            (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
        let tag = body["tags"][OWNER_TAG].as_str().unwrap_or_default();
        tag.ends_with(&format!("/Endpoint/{namespace}/{name}"))
    }

    /// Beside what is wanted: the endpoint also while an operation runs on it, every deployment that gets requests and,
    /// unless all was as wanted, every other.
    fn reads(&self) -> Vec<Read> {
        let mut reads = vec![Read::Get(self.main.clone())];
        let others = self.live().into_iter().chain(self.mirrored());
        reads.extend(others.filter_map(|name| self.main.child("deployments", &name).ok()).map(Read::Get));
        if !self.was_settled() {
            reads.push(Read::List(self.main.clone(), "deployments"));
        }
        reads
    }

    fn was_settled(&self) -> bool {
        let status = self.endpoint.status.as_ref().and_then(|status| status.azure.as_ref());
        let ready = status.and_then(|status| status.conditions.iter().find(|it| it.type_ == "Ready"));
        ready.is_some_and(|ready| {
            ready.status == "True" && ready.observed_generation == self.endpoint.metadata.generation
        })
    }
}

/// How far a deployment has come, in Azure's words.
fn state(body: &Value) -> &str {
    body.pointer("/properties/provisioningState").and_then(Value::as_str).unwrap_or_default()
}

/// The names with a share above nought.
fn shares(map: Option<&Value>) -> Vec<String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter(|(_, share)| share.as_f64().unwrap_or_default() > 0.0)
        .map(|(name, _)| name.clone())
        .collect()
}
