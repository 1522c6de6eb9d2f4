//! What versions of a model depend on: environments and code, which several versions may share.
use api::Reason;
use api::model::{CodeDependency, EnvironmentDependency, ModelVersion, Route};
use arm::ResourceId;
use serde_json::{Value, json};

use crate::azure::reference::id;
use crate::azure::{Refusal, Requirement, Wanted};

/// The tag of a version that names its environment.
const ENVIRONMENT_TAG: &str = "mlops-operator-environment";
/// The tag of a version that names its code.
const CODE_TAG: &str = "mlops-operator-code";
/// The tag of a version that names the script in its code.
const SCRIPT_TAG: &str = "mlops-operator-scoring-script";

/// The dependencies of all versions, each once.
#[derive(Default)]
pub(super) struct Dependencies {
    pub(super) wanted: Vec<Wanted>,
    pub(super) requires: Vec<Requirement>,
}

impl Dependencies {
    /// Adds what a version depends on, and says which of it must be made before.
    pub(super) fn add(
        &mut self,
        place: &ResourceId,
        model: &str,
        version: &ModelVersion,
    ) -> Result<Vec<ResourceId>, Refusal> {
        let mut after = Vec::new();
        if let Some(it) = &version.environment {
            let environment = asset(place, "environments", &it.name, &it.version)?;
            match &it.image {
                Some(image) => {
                    let body = json!({"properties": environment_body(it, image)});
                    after.push(self.want(environment, body, &version.version)?);
                }
                None => self.require(environment, it),
            }
        }
        if let Some(it) = &version.code {
            let (name, code_version) = code_names(model, version, it);
            let body = json!({"properties": {"codeUri": it.uri, "isArchived": false}});
            after.push(self.want(asset(place, "codes", name, code_version)?, body, &version.version)?);
        }
        Ok(after)
    }

    fn want(&mut self, asset: ResourceId, body: Value, version: &str) -> Result<ResourceId, Refusal> {
        match self.wanted.iter().find(|it| it.id == asset) {
            None => self.wanted.push(Wanted { archivable: true, ..Wanted::new(asset.clone(), body) }),
            Some(other) if other.body == body => {}
            Some(_) => {
                let of = asset.parent().unwrap_or_else(|| asset.clone());
                let message = format!(
                    "version {version} describes {}:{} otherwise than a version before it: give it a name or version of its own",
                    of.name(),
                    asset.name()
                );
                return Err(Refusal { reason: Reason::Invalid, message });
            }
        }
        Ok(asset)
    }

    fn require(&mut self, environment: ResourceId, it: &EnvironmentDependency) {
        if self.requires.iter().all(|other| other.id != environment) {
            self.requires.push(Requirement {
                id: environment,
                pointer: "",
                one_of: &[],
                reason: Reason::DependencyNotReady,
                message: format!(
                    "there is no environment {}:{} yet; register it, or give it an image",
                    it.name, it.version
                ),
            });
        }
    }
}

/// The tags by which a version names its dependencies. Unlike properties, they may change.
pub(super) fn tags(model: &str, version: &ModelVersion) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    if let Some(it) = &version.environment {
        tags.push((ENVIRONMENT_TAG.to_owned(), format!("azureml:{}:{}", it.name, it.version)));
    }
    if let Some(it) = &version.code {
        let (name, code_version) = code_names(model, version, it);
        tags.push((CODE_TAG.to_owned(), format!("azureml:{name}:{code_version}")));
        tags.push((SCRIPT_TAG.to_owned(), it.scoring_script.clone()));
    }
    tags
}

fn asset(place: &ResourceId, type_: &str, name: &str, version: &str) -> Result<ResourceId, Refusal> {
    id(place.child(type_, name).and_then(|container| container.child("versions", version)))
}

fn code_names<'a>(model: &'a str, version: &'a ModelVersion, it: &'a CodeDependency) -> (&'a str, &'a str) {
    (it.name.as_deref().unwrap_or(model), it.version.as_deref().unwrap_or(&version.version))
}

fn environment_body(it: &EnvironmentDependency, image: &str) -> Value {
    let route = |route: &Route| json!({"path": route.path, "port": route.port});
    json!({
        "image": image,
        "condaFile": it.conda_file,
        "osType": "Linux",
        "inferenceConfig": it.inference_config.as_ref().map(|config| json!({
            "livenessRoute": route(&config.liveness_route),
            "readinessRoute": route(&config.readiness_route),
            "scoringRoute": route(&config.scoring_route),
            "startupRoute": config.startup_route.as_ref().map(route),
        })),
        "description": it.description,
        "tags": it.tags,
        "isArchived": false,
    })
}
