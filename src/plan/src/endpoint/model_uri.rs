//! Where a registered model lies: ids and addresses of Azure Machine Learning, resolved to the address of a blob.
use api::endpoint::{ModelReference, ResolvedModel};
use api::{Endpoint, EndpointSpec, Reason};
use arm::ResourceId;
use serde_json::Value;

use super::Refusal;
use crate::azure::reference::{MACHINE_LEARNING, id, of_group, read, ready, workspace};
use crate::azure::{Facts, Read, Sight};

/// The property of a version that keeps the digest of its file.
const DIGEST: &str = "mlops-operator-digest";
/// The datastore in which a workspace keeps what its jobs wrote.
const ARTIFACTS: &str = "workspaceartifactstore";

/// What is known of where a model lies, and what must be read to know more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolution {
    /// What must be read before it can be said.
    pub reads: Vec<Read>,
    /// Where the model lies, once that is known.
    pub model: Option<ResolvedModel>,
}

/// A model as deployments in Azure name it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Registered {
    /// The id of the version.
    pub(super) id: String,
    /// The id of the environment that the Model names.
    pub(super) environment: Option<String>,
    /// The code that the Model names.
    pub(super) code: Option<RegisteredCode>,
}

/// Code that a Model names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RegisteredCode {
    pub(super) id: String,
    pub(super) scoring_script: String,
}

/// Whether the address of an Endpoint's model must be asked of Azure before pods can fetch it.
pub fn is_registered(spec: &EndpointSpec) -> bool {
    let uri = spec.model.uri.as_str();
    !spec.target.type_.is_azure()
        && (spec.model.model_ref.is_some()
            || uri.starts_with("azureml://")
            || uri.starts_with("/subscriptions/"))
}

/// The model as people read it, without the query of an address: a signature there gives access, and terminals are shared.
pub fn display(model: &ModelReference) -> String {
    match &model.model_ref {
        Some(reference) => match (&reference.version, &reference.stage) {
            (Some(version), _) => format!("{}:{version}", reference.name),
            (None, Some(stage)) => format!("{} ({stage})", reference.name),
            (None, None) => reference.name.clone(),
        },
        None => model.uri.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}

/// Where the model of an Endpoint of this cluster lies. It may be asked repeatedly, with more and more seen. An address
/// that the status remembers needs no read, because the place of a registered version can't change.
pub fn resolve(object: &Value, facts: &Facts) -> Result<Resolution, Refusal> {
    let endpoint: Endpoint = read(object)?;
    if !is_registered(&endpoint.spec) {
        return Ok(Resolution::default());
    }
    if let Some(model) = alone(&endpoint.spec.model, facts)? {
        return Ok(Resolution { reads: Vec::new(), model: Some(model) });
    }
    let place = place(&endpoint.spec, facts)?;
    let source = place.source();
    let known = endpoint.status.and_then(|status| status.resolved_model);
    if let Some(known) = known.filter(|known| known.source == source) {
        return Ok(Resolution { reads: Vec::new(), model: Some(known) });
    }
    Search { facts, source }.find(place)
}

/// Where a version lies of a Model that is known to this cluster alone.
fn alone(model: &ModelReference, facts: &Facts) -> Result<Option<ResolvedModel>, Refusal> {
    let Some(reference) = &model.model_ref else { return Ok(None) };
    let Some(object) = facts.objects.find("Model", &reference.name).filter(crate::model::is_alone) else {
        return Ok(None);
    };
    let version = chosen(&object, model, facts)?;
    let entry = listed(&object).find(|entry| entry["version"] == version.as_str()).ok_or_else(|| {
        let message =
            format!("Model {} lists no version {version}: add it to its spec.versions", reference.name);
        refuse(Reason::DependencyNotReady, message)
    })?;
    let text = |field: &str| entry[field].as_str().map(str::to_owned);
    Ok(Some(ResolvedModel {
        source: format!("models/{}/versions/{version}", reference.name),
        url: text("uri").unwrap_or_default(),
        digest: text("digest"),
    }))
}

fn refuse(reason: Reason, message: String) -> Refusal {
    Refusal { reason, message }
}

/// What an id or address names.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// A version of a model, and the workspace's own identity when the id names it.
    Version(ResourceId, Option<String>),
    /// A path in a datastore.
    Path(ResourceId, String),
}

impl Place {
    fn source(&self) -> String {
        match self {
            Self::Version(id, _) => id.to_string(),
            Self::Path(store, path) => format!("{store}/paths/{path}"),
        }
    }
}

struct Search<'a> {
    facts: &'a Facts<'a>,
    source: String,
}

impl Search<'_> {
    fn find(&self, place: Place) -> Result<Resolution, Refusal> {
        match place {
            Place::Path(store, path) => self.in_datastore(&store, &path, None),
            Place::Version(version, workspace_guid) => {
                let Some(body) = self.body(&version)? else { return Ok(reading(&version)) };
                if let Some(wanted) = workspace_guid
                    && let Some(waits) = self.check_workspace(&version, &wanted)?
                {
                    return Ok(waits);
                }
                self.of_version(&version, &body)
            }
        }
    }

    /// A resource's body: none before it was read, a refusal when there is no such resource.
    fn body(&self, id: &ResourceId) -> Result<Option<Value>, Refusal> {
        match self.facts.seen.get(id) {
            None => Ok(None),
            Some(Sight::Present(body)) => Ok(Some(body.clone())),
            Some(Sight::Absent) => Err(refuse(
                Reason::DependencyNotReady,
                format!(
                    "the model can't be found: Azure has no {id}; correct spec.model, or register the model"
                ),
            )),
        }
    }

    /// An id that names a workspace by its own identity must mean the workspace that is referred to.
    fn check_workspace(&self, version: &ResourceId, wanted: &str) -> Result<Option<Resolution>, Refusal> {
        let Some(workspace) = version.ancestor("workspaces") else { return Ok(None) };
        let Some(body) = self.body(&workspace)? else { return Ok(Some(reading(&workspace))) };
        let actual = body.pointer("/properties/workspaceId").and_then(Value::as_str).unwrap_or_default();
        if actual.eq_ignore_ascii_case(wanted) || workspace.name().eq_ignore_ascii_case(wanted) {
            return Ok(None);
        }
        Err(refuse(
            Reason::Invalid,
            format!(
                "spec.model.uri names the workspace {wanted}, but {workspace} is {actual}: correct the uri or spec.model.workspaceRef"
            ),
        ))
    }

    fn of_version(&self, version: &ResourceId, body: &Value) -> Result<Resolution, Refusal> {
        let uri = body.pointer("/properties/modelUri").and_then(Value::as_str).unwrap_or_default();
        let digest = body.pointer("/properties/properties").and_then(|it| it[DIGEST].as_str());
        if uri.starts_with("https://") || uri.starts_with("http://") {
            return Ok(self.found(uri.to_owned(), digest));
        }
        let workspace = version.ancestor("workspaces");
        match path(uri, workspace.as_ref())? {
            Some(Place::Path(store, path)) => self.in_datastore(&store, &path, digest),
            _ => Err(refuse(
                Reason::ModelFetchFailed,
                format!(
                    "{version} lies at '{uri}', from where this cluster can't fetch it: register the model from a datastore or from the https address of a blob"
                ),
            )),
        }
    }

    fn in_datastore(
        &self,
        store: &ResourceId,
        path: &str,
        digest: Option<&str>,
    ) -> Result<Resolution, Refusal> {
        let Some(body) = self.body(store)? else { return Ok(reading(store)) };
        let properties = &body["properties"];
        let text = |field: &str| properties[field].as_str().filter(|text| !text.is_empty());
        let (service, container) = match text("datastoreType") {
            Some("AzureBlob") => ("blob", text("containerName")),
            Some("AzureDataLakeGen2") => ("dfs", text("filesystem")),
            other => {
                let message = format!(
                    "the datastore {store} is of the type {}, from which no model can be fetched: use AzureBlob or AzureDataLakeGen2",
                    other.unwrap_or("nothing")
                );
                return Err(refuse(Reason::ModelFetchFailed, message));
            }
        };
        let (Some(account), Some(container)) = (text("accountName"), container) else {
            let message =
                format!("the datastore {store} names no account and container: correct it in Azure");
            return Err(refuse(Reason::ModelFetchFailed, message));
        };
        let (protocol, endpoint) =
            (text("protocol").unwrap_or("https"), text("endpoint").unwrap_or("core.windows.net"));
        let url = format!("{protocol}://{account}.{service}.{endpoint}/{container}/{}", escaped(path));
        Ok(self.found(url, digest))
    }

    fn found(&self, url: String, digest: Option<&str>) -> Resolution {
        let is_digest = |it: &&str| it.len() == 71 && it.starts_with("sha256:");
        let digest = digest.filter(is_digest).map(str::to_owned);
        let model = ResolvedModel { source: self.source.clone(), url, digest };
        Resolution { reads: Vec::new(), model: Some(model) }
    }
}

fn reading(id: &ResourceId) -> Resolution {
    Resolution { reads: vec![Read::Get(id.clone())], model: None }
}

/// A path as part of an address.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte);
    path.trim_start_matches('/').bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

/// The version that a spec names, for deployments in Azure.
pub(super) fn registered(spec: &EndpointSpec, facts: &Facts) -> Result<Registered, Refusal> {
    if spec.model.model_ref.is_some() {
        return of_model(&spec.model, facts);
    }
    Ok(Registered { id: spec.model.uri.clone(), ..Registered::default() })
}

/// What a Model object of the namespace says of one of its versions.
fn of_model(model: &ModelReference, facts: &Facts) -> Result<Registered, Refusal> {
    let Some(reference) = &model.model_ref else { return Ok(Registered::default()) };
    let (object, main) = model_object(&reference.name, facts)?;
    let version = version(&object, model, facts)?;
    let place = main.parent().ok_or_else(|| refuse(Reason::Invalid, format!("{main} is no model")))?;
    let named = |type_: &str, name: &str, version: &str| {
        // Deployments name what lies in a registry by its short id.
        if place.is_a(&format!("{MACHINE_LEARNING}/registries")) {
            format!("azureml://registries/{}/{type_}/{name}/versions/{version}", place.name())
        } else {
            format!("{place}/{type_}/{name}/versions/{version}")
        }
    };
    let listed = object["spec"]["versions"].as_array().into_iter().flatten();
    let entry = listed.into_iter().find(|entry| entry["version"] == version.as_str());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let environment = entry.and_then(|entry| {
        let environment = &entry["environment"];
        Some(named("environments", environment["name"].as_str()?, environment["version"].as_str()?))
    });
    let code = entry.and_then(|entry| {
        let code = &entry["code"];
        let scoring_script = text(&code["scoringScript"])?;
        let name = code["name"].as_str().unwrap_or(main.name());
        Some(RegisteredCode {
            id: named("codes", name, code["version"].as_str().unwrap_or(&version)),
            scoring_script,
        })
    });
    Ok(Registered { id: named("models", main.name(), &version), environment, code })
}

/// A Model of the namespace and its id in Azure.
fn model_object(name: &str, facts: &Facts) -> Result<(Value, ResourceId), Refusal> {
    let object = ready(facts, "Model", name)?;
    if let Some(text) = object["status"]["id"].as_str() {
        let main = id(ResourceId::parse(text))?;
        return Ok((object, main));
    }
    let spec = &object["spec"];
    let place = match (spec["workspaceRef"]["name"].as_str(), spec["registryRef"]["name"].as_str()) {
        (Some(reference), _) => workspace(facts, reference)?.id,
        (None, Some(reference)) => registry(reference, facts)?,
        (None, None) => {
            let message = format!(
                "Model {name} is known to this cluster alone: for a target in Azure, set its workspaceRef or registryRef"
            );
            return Err(refuse(Reason::Invalid, message));
        }
    };
    let main = id(place.child("models", spec["name"].as_str().unwrap_or(name)))?;
    Ok((object, main))
}

fn registry(name: &str, facts: &Facts) -> Result<ResourceId, Refusal> {
    id(of_group(&ready(facts, "ModelRegistry", name)?, facts, "registries"))
}

/// The version that is meant: the one that is named, else the one that the Model stands for.
fn version(object: &Value, model: &ModelReference, facts: &Facts) -> Result<String, Refusal> {
    let name = model.model_ref.as_ref().map(|it| it.name.as_str()).unwrap_or_default();
    let version = chosen(object, model, facts)?;
    let is_listed = listed(object).any(|entry| entry["version"] == version);
    let end = format!("/versions/{version}").to_ascii_lowercase();
    let exists = object["status"]["resources"].as_array().into_iter().flatten().any(|resource| {
        let id = resource["id"].as_str().unwrap_or_default().to_ascii_lowercase();
        id.contains("/models/")
            && id.ends_with(&end)
            && matches!(resource["state"].as_str(), Some("Ready" | "Differs" | "Updating"))
    });
    if is_listed && !exists && !facts.assume_ready {
        let message = format!("version {version} of Model {name} is not registered yet");
        return Err(refuse(Reason::DependencyNotReady, message));
    }
    Ok(version)
}

/// The versions that a Model lists.
fn listed(object: &Value) -> impl Iterator<Item = &Value> {
    object["spec"]["versions"].as_array().into_iter().flatten()
}

/// The version that is named, or that the stage runs which is followed, or the one that the Model stands for.
fn chosen(object: &Value, model: &ModelReference, facts: &Facts) -> Result<String, Refusal> {
    let reference = model.model_ref.as_ref();
    let name = reference.map(|it| it.name.as_str()).unwrap_or_default();
    if let Some(stage) = reference.and_then(|it| it.stage.as_deref()) {
        let mut stages = object["status"]["stages"].as_array().into_iter().flatten();
        if let Some(version) = stages.find(|it| it["name"] == stage).and_then(|it| it["version"].as_str()) {
            return Ok(version.to_owned());
        }
        if !facts.assume_ready {
            let message = format!("no version of Model {name} has come to stage {stage} yet: promote one");
            return Err(refuse(Reason::DependencyNotReady, message));
        }
    }
    let last = || listed(object).last().and_then(|entry| entry["version"].as_str());
    let latest = || object["status"]["outputs"]["latestVersion"].as_str();
    let version = reference.and_then(|it| it.version.as_deref()).or_else(latest).or_else(last);
    version.map(str::to_owned).ok_or_else(|| {
        let message =
            format!("Model {name} has no version yet: register one, or set spec.model.modelRef.version");
        refuse(Reason::DependencyNotReady, message)
    })
}

/// What the model of a spec names.
fn place(spec: &EndpointSpec, facts: &Facts) -> Result<Place, Refusal> {
    let model = &spec.model;
    if let Some(reference) = &model.model_ref {
        let (object, main) = model_object(&reference.name, facts)?;
        let version = version(&object, model, facts)?;
        return Ok(Place::Version(id(main.child("versions", &version))?, None));
    }
    let uri = model.uri.as_str();
    if uri.starts_with("/subscriptions/") {
        return Ok(Place::Version(id(ResourceId::parse(uri))?, None));
    }
    let parts: Vec<&str> = uri.trim_start_matches("azureml://").split('/').collect();
    match parts.as_slice() {
        ["registries", registry_name, "models", name, "versions", version] => {
            let reference = model.registry_ref.as_ref().ok_or_else(|| {
                let message = format!("spec.model.uri names the registry {registry_name}: set spec.model.registryRef to the ModelRegistry that stands for it");
                refuse(Reason::Invalid, message)
            })?;
            let registry = registry(&reference.name, facts)?;
            if !registry.name().eq_ignore_ascii_case(registry_name) {
                let message = format!(
                    "spec.model.uri names the registry {registry_name}, but ModelRegistry {} stands for {}: correct one of them",
                    reference.name,
                    registry.name()
                );
                return Err(refuse(Reason::Invalid, message));
            }
            Ok(Place::Version(
                id(registry.child("models", name).and_then(|it| it.child("versions", version)))?,
                None,
            ))
        }
        ["locations", _, "workspaces", guid, "models", name, "versions", version] => {
            let workspace = referred(spec, facts)?;
            let version = id(workspace.child("models", name).and_then(|it| it.child("versions", version)))?;
            Ok(Place::Version(version, Some((*guid).to_owned())))
        }
        ["datastores" | "jobs", ..] => path(uri, Some(&referred(spec, facts)?))?.ok_or_else(|| unknown(uri)),
        _ => path(uri, None)?.ok_or_else(|| unknown(uri)),
    }
}

fn unknown(uri: &str) -> Refusal {
    let message = format!(
        "spec.model.uri is {uri}, which names no model: use azureml://registries/REGISTRY/models/NAME/versions/VERSION, azureml://locations/REGION/workspaces/ID/models/NAME/versions/VERSION, azureml://datastores/STORE/paths/PATH, or /subscriptions/…/models/NAME/versions/VERSION"
    );
    refuse(Reason::Invalid, message)
}

/// The workspace in which an address that names none is looked up.
fn referred(spec: &EndpointSpec, facts: &Facts) -> Result<ResourceId, Refusal> {
    let reference = spec.model.workspace_ref.as_ref().or(spec.target.workspace_ref.as_ref());
    let reference = reference.ok_or_else(|| {
        let message = format!(
            "spec.model.uri is {}, which is looked up in a workspace: set spec.model.workspaceRef",
            spec.model.uri
        );
        refuse(Reason::Invalid, message)
    })?;
    Ok(workspace(facts, &reference.name)?.id)
}

/// The path in a datastore that an address names; none for an address of another form.
fn path(uri: &str, workspace: Option<&ResourceId>) -> Result<Option<Place>, Refusal> {
    let in_store = |workspace: &ResourceId, store: &str, path: String| {
        Ok(Some(Place::Path(id(workspace.child("datastores", store))?, path)))
    };
    let (scheme, rest) = uri.split_once(":/").unwrap_or_default();
    let parts: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    match (scheme, parts.as_slice(), workspace) {
        (
            "azureml",
            [
                "subscriptions",
                subscription,
                groups,
                group,
                "workspaces",
                name,
                "datastores",
                store,
                "paths",
                path @ ..,
            ],
            _,
        ) if groups.eq_ignore_ascii_case("resourcegroups") => {
            let group = id(ResourceId::resource_group_of(subscription, group))?;
            let workspace = id(group.with_provider(&format!("{MACHINE_LEARNING}/workspaces"), name))?;
            in_store(&workspace, store, path.join("/"))
        }
        ("azureml", ["datastores", store, "paths", path @ ..], Some(workspace)) => {
            in_store(workspace, store, path.join("/"))
        }
        ("azureml", ["jobs", job, "outputs", "artifacts", "paths", path @ ..], Some(workspace))
        | ("runs", [job, path @ ..], Some(workspace)) => {
            in_store(workspace, ARTIFACTS, format!("ExperimentRun/dcid.{job}/{}", path.join("/")))
        }
        _ => Ok(None),
    }
}
