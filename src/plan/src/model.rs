//! What a Model wants in Azure: a container, and versions after the environments and code that they depend on.
mod dependency;
mod stages;

use api::azure::AzureStatus;
use api::meta::{ConditionType, ModelFormat};
use api::model::ModelVersion;
use api::{Model, ModelStatus, Reason};
use arm::ResourceId;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::dependency::Dependencies;
pub use self::stages::stages;
use crate::azure::reference::{id, of_group, read, ready, workspace};
use crate::azure::{Compiled, Facts, Output, Read, Refusal, Sight, Wanted};
use crate::condition::{self, Statement};
use crate::step::{Next, Plan};

/// The property that keeps the digest of a version.
const DIGEST: &str = "mlops-operator-digest";

/// Whether a Model is known to this cluster alone: it names no workspace and no registry, and has left nothing in Azure.
pub fn is_alone(object: &Value) -> bool {
    let spec = &object["spec"];
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    spec["workspaceRef"].is_null()
        && spec["registryRef"].is_null()
        && !finalizers.into_iter().any(|it| it == api::azure::FINALIZER)
}

/// Decides what to say about a Model that is known to this cluster alone: nothing has to be done for it.
pub fn alone(now: Timestamp, model: &Model) -> Plan<ModelStatus> {
    let old = model.status.clone().unwrap_or_default();
    let versions: Vec<&str> = model.spec.versions.iter().map(|it| it.version.as_str()).collect();
    let message = match versions.as_slice() {
        [] => "it lists no version yet".to_owned(),
        versions => format!("endpoints and promotions can use {}", versions.join(", ")),
    };
    let statements = [Statement::new(ConditionType::Ready, true, Reason::Accepted, message)];
    let generation = model.metadata.generation;
    let conditions = condition::merge(&old.azure.conditions, &statements, generation, now);
    let azure = AzureStatus { observed_generation: generation, conditions, ..AzureStatus::default() };
    Plan { steps: Vec::new(), status: ModelStatus { azure, ..old }, events: Vec::new(), next: Next::OnChange }
}

/// Says what a Model wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let model: Model = read(object)?;
    let spec = &model.spec;
    let place = place(&model, facts)?;
    let name = spec.name.as_deref().or(model.metadata.name.as_deref()).unwrap_or_default();
    let main = id(place.child("models", name))?;
    let container = json!({"properties": {
        "description": spec.description,
        "tags": spec.tags,
        "isArchived": false,
    }});
    let mut dependencies = Dependencies::default();
    let mut versions = Vec::new();
    for version in &spec.versions {
        let after = dependencies.add(&place, name, version)?;
        let version_id = id(main.child("versions", &version.version))?;
        same_digest(facts, &version_id, version)?;
        versions.push(Wanted {
            after,
            archivable: true,
            ..Wanted::new(version_id, json!({"properties": body(name, version)}))
        });
    }
    let mut wanted = vec![Wanted { archivable: true, ..Wanted::new(main.clone(), container) }];
    wanted.append(&mut dependencies.wanted);
    wanted.append(&mut versions);
    // Versions that others made keep the container from being deleted.
    let is_deleted = model.metadata.deletion_timestamp.is_some();
    Ok(Compiled {
        reads: is_deleted.then(|| Read::List(main.clone(), "versions")).into_iter().collect(),
        requires: dependencies.requires,
        outputs: outputs(&main, spec.versions.last()),
        exports: Vec::new(),
        revision: None,
        wanted,
        main,
    })
}

/// The workspace or registry that the model belongs to.
fn place(model: &Model, facts: &Facts) -> Result<ResourceId, Refusal> {
    match (&model.spec.workspace_ref, &model.spec.registry_ref) {
        (Some(reference), None) => Ok(workspace(facts, &reference.name)?.id),
        (None, Some(reference)) => {
            id(of_group(&ready(facts, "ModelRegistry", &reference.name)?, facts, "registries"))
        }
        _ => Err(Refusal {
            reason: Reason::Invalid,
            message: "a Model belongs to one place: set either workspaceRef or registryRef".to_owned(),
        }),
    }
}

fn body(model: &str, version: &ModelVersion) -> Value {
    let flavors: Map<String, Value> =
        version.flavors.iter().map(|(name, data)| (name.clone(), json!({"data": data}))).collect();
    let mut properties = version.properties.clone();
    properties.extend(version.digest.iter().map(|digest| (DIGEST.to_owned(), digest.clone())));
    let mut tags = version.tags.clone();
    tags.extend(dependency::tags(model, version));
    json!({
        "modelUri": version.uri,
        "modelType": match version.format {
            ModelFormat::Onnx | ModelFormat::Custom => "custom_model",
            ModelFormat::MLflow => "mlflow_model",
            ModelFormat::Triton => "triton_model",
        },
        "jobName": version.job_name,
        "stage": version.stage,
        "flavors": flavors,
        "description": version.description,
        "tags": tags,
        "properties": properties,
        // An archived version that is wanted again comes back.
        "isArchived": false,
    })
}

/// A digest that Azure keeps for a version can't become another: it would be another model.
fn same_digest(facts: &Facts, id: &ResourceId, version: &ModelVersion) -> Result<(), Refusal> {
    let Some(Sight::Present(body)) = facts.seen.get(id) else { return Ok(()) };
    let kept = body.pointer("/properties/properties").and_then(|it| it[DIGEST].as_str());
    match (kept, version.digest.as_deref()) {
        (Some(kept), Some(wanted)) if kept != wanted => Err(Refusal {
            reason: Reason::Immutable,
            message: format!(
                "version {} was registered with the digest {kept}, which can't become {wanted}: another file needs a new version",
                version.version
            ),
        }),
        _ => Ok(()),
    }
}

/// What Azure tells of the model, and of the version that the manifest lists last.
fn outputs(main: &ResourceId, last: Option<&ModelVersion>) -> Vec<Output> {
    let of_model =
        [("latestVersion", "/properties/latestVersion"), ("nextVersion", "/properties/nextVersion")];
    let of_version = [
        ("modelUri", "/properties/modelUri"),
        ("jobName", "/properties/jobName"),
        ("stage", "/properties/stage"),
        ("createdBy", "/systemData/createdBy"),
        ("createdAt", "/systemData/createdAt"),
    ];
    let output = |id: &ResourceId, (name, pointer)| Output { name, id: id.clone(), pointer };
    let mut outputs: Vec<Output> = of_model.map(|it| output(main, it)).to_vec();
    if let Some(id) = last.and_then(|version| main.child("versions", &version.version).ok()) {
        outputs.extend(of_version.map(|it| output(&id, it)));
    }
    outputs
}
