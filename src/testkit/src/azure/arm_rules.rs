//! How Azure Resource Manager takes a write: what it refuses, what runs for a while, what is seen meanwhile.
use std::collections::BTreeMap;

use api::azure::AzureStatus;
use arm::{ArmError, Operation, OperationShape, ResourceId, ResourceType, Verb};
use jiff::SignedDuration;
use plan::azure::{Polled, SecretValue, operation_of};
use plan::{ArmDelete, ArmPatch, ArmPut, Step};
use serde_json::{Value, json};

use super::{FakeAzure, Fault, fill};

/// An operation that was started.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    id: ResourceId,
    verb: Verb,
    left: u32,
    fails: Option<ArmError>,
    purges: bool,
}

type Refused = Box<(u16, ArmError)>;

#[expect(clippy::unnecessary_box_returns, reason = "errors are boxed, because they are large")]
fn error(status: u16, code: &str, message: String) -> Refused {
    Box::new((status, ArmError { code: code.to_owned(), message, ..ArmError::default() }))
}

/// The last words of types whose writes run for a while.
const LONG_RUNNING: [&str; 10] = [
    "workspaces",
    "computes",
    "onlineendpoints",
    "batchendpoints",
    "deployments",
    "outboundrules",
    "registries",
    "schedules",
    "extensions",
    "storageaccounts",
];

impl FakeAzure {
    /// A resource that somebody made: whole, ready, with what Azure adds.
    pub fn put(&mut self, id: &ResourceId, body: &Value) {
        let mut body = without_nulls(body);
        fill::fill(id, &mut body);
        if is_long_running(id) && body["properties"]["provisioningState"].is_null() {
            body["properties"]["provisioningState"] = json!("Succeeded");
        }
        self.resources.insert(id.clone(), body);
    }

    /// Somebody changes a resource.
    pub fn edit(&mut self, id: &ResourceId, change: impl FnOnce(&mut Value)) {
        if let Some(body) = self.resources.get_mut(id) {
            change(body);
        }
    }

    /// An operation runs on a resource that no status knows of; it ends after `ticks` rounds.
    pub fn put_in_progress(&mut self, id: &ResourceId, body: &Value, state: &str, ticks: u32) {
        self.put(id, body);
        self.edit(id, |body| body["properties"]["provisioningState"] = json!(state));
        let verb = if state == "Deleting" { Verb::Delete } else { Verb::Put };
        let running = Running { id: id.clone(), verb, left: ticks, fails: None, purges: true };
        self.operations.insert(format!("unknown/{id}"), running);
    }

    /// Somebody deletes a resource and all below it.
    pub fn remove(&mut self, id: &ResourceId) {
        self.resources.retain(|other, _| other != id && !is_below(id, other));
    }

    /// Azure no longer knows its operations, although they go on.
    pub fn forget_operations(&mut self) {
        let operations = std::mem::take(&mut self.operations);
        self.operations =
            operations.into_iter().map(|(url, running)| (format!("forgotten/{url}"), running)).collect();
    }

    /// Polls the operations that a status names.
    pub(super) fn poll(&self, status: &AzureStatus) -> BTreeMap<ResourceId, Polled> {
        let mut polled = BTreeMap::new();
        for resource in &status.resources {
            let (Ok(id), Some(operation)) = (ResourceId::parse(&resource.id), &resource.operation) else {
                continue;
            };
            let Some(mut operation) = operation_of(operation, self.now) else { continue };
            let found = match self.operations.get(&operation.url) {
                None => Polled::Lost,
                Some(running) if running.left > 0 => {
                    operation.poll_at =
                        self.now.saturating_add(SignedDuration::from_secs(10)).unwrap_or(self.now);
                    Polled::Running(operation)
                }
                Some(Running { fails: Some(error), .. }) => Polled::Failed(error.clone()),
                Some(_) => Polled::Succeeded,
            };
            polled.insert(id, found);
        }
        polled
    }

    /// A round goes by for every operation.
    pub(super) fn tick(&mut self) {
        let urls: Vec<String> = self.operations.keys().cloned().collect();
        for url in urls {
            let Some(running) = self.operations.get_mut(&url) else { continue };
            if running.left == 0 {
                continue;
            }
            running.left -= 1;
            if running.left == 0 {
                let running = running.clone();
                self.end(&running);
            }
        }
    }

    fn end(&mut self, running: &Running) {
        let state = |azure: &mut Self, state: &str| {
            azure.edit(&running.id, |body| body["properties"]["provisioningState"] = json!(state));
        };
        match (running.verb, &running.fails) {
            (Verb::Delete, None) => self.gone(&running.id, running.purges),
            // What could not be deleted is as it was.
            (_, None) | (Verb::Delete, Some(_)) => state(self, "Succeeded"),
            (_, Some(_)) => state(self, "Failed"),
        }
    }

    fn gone(&mut self, id: &ResourceId, purges: bool) {
        self.remove(id);
        if !purges && id.is_a("Microsoft.MachineLearningServices/workspaces") {
            self.soft_deleted.insert(id.clone());
        }
    }

    /// Takes a write.
    pub(super) fn write(&mut self, step: &Step) -> Result<Option<Operation>, Refused> {
        self.calls.push(step.to_string());
        let fault = self.faults.pop_front().flatten();
        if let Some(Fault::Refuse(status, error)) = fault {
            return Err(Box::new((status, error)));
        }
        let fails = if let Some(Fault::FailOperation(error)) = &fault { Some(error.clone()) } else { None };
        let operation = match step {
            Step::ArmPut(put) => self.take_put(put, fails)?,
            Step::ArmPatch(patch) => self.take_patch(patch, fails)?,
            Step::ArmDelete(delete) => self.take_delete(delete, fails)?,
            other => return Err(error(400, "BadRequest", format!("{other} is not a call to Azure"))),
        };
        if fault == Some(Fault::Lose) {
            return Err(error(503, "ServiceUnavailable", "the answer was lost".to_owned()));
        }
        Ok(operation)
    }

    fn take_put(&mut self, put: &ArmPut, fails: Option<ArmError>) -> Result<Option<Operation>, Refused> {
        let type_ = type_of(&put.id)?;
        self.refuse_busy(&put.id)?;
        if self.soft_deleted.contains(&put.id) {
            let message = "Soft-deleted workspace exists. Please purge or recover it.".to_owned();
            return Err(error(400, "BadRequest", message));
        }
        let body = without_nulls(&put.body);
        let old = self.resources.get(&put.id).cloned();
        if let Some(old) = &old {
            refuse_immutable(&body, old, type_)?;
        }
        self.refuse_traffic(&put.id, &body)?;
        let stored = stored(&put.id, &body, old.as_ref(), type_);
        self.give(&put.id, &put.secrets);
        let verb = Verb::Put;
        if old.is_none() && put.id.is_a("Microsoft.MachineLearningServices/workspaces") {
            self.default_datastore(&put.id);
        }
        if let Some(container) = put.id.parent().filter(|_| is_version(&put.id))
            && !self.resources.contains_key(&container)
        {
            self.put(&container, &json!({"properties": {}}));
        }
        self.resources.insert(put.id.clone(), stored);
        self.begin(&put.id, verb, if old.is_some() { "Updating" } else { "Creating" }, fails, true)
    }

    fn take_patch(
        &mut self,
        patch: &ArmPatch,
        fails: Option<ArmError>,
    ) -> Result<Option<Operation>, Refused> {
        let type_ = type_of(&patch.id)?;
        self.refuse_busy(&patch.id)?;
        let Some(old) = self.resources.get(&patch.id).cloned() else {
            return Err(error(404, "ResourceNotFound", format!("{} does not exist", patch.id)));
        };
        let mut body = old.clone();
        overlay(&mut body, &patch.body);
        let body = stored(&patch.id, &without_nulls(&body), Some(&old), type_);
        self.resources.insert(patch.id.clone(), body);
        self.begin(&patch.id, Verb::Patch, "Updating", fails, true)
    }

    fn take_delete(
        &mut self,
        delete: &ArmDelete,
        fails: Option<ArmError>,
    ) -> Result<Option<Operation>, Refused> {
        let id = &delete.id;
        if !self.resources.contains_key(id) {
            return Ok(None);
        }
        self.refuse_busy(id)?;
        if id.is_a("Microsoft.MachineLearningServices/workspaces/computes")
            && !delete.query.contains("underlyingResourceAction=")
        {
            return Err(error(400, "BadRequest", "underlyingResourceAction is required".to_owned()));
        }
        self.refuse_delete_with_traffic(id)?;
        let purges = delete.query.contains("forceToPurge=true");
        self.begin(id, Verb::Delete, "Deleting", fails, purges)
    }

    /// Starts an operation, or ends it at once.
    fn begin(
        &mut self,
        id: &ResourceId,
        verb: Verb,
        state: &str,
        fails: Option<ArmError>,
        purges: bool,
    ) -> Result<Option<Operation>, Refused> {
        let running = Running { id: id.clone(), verb, left: self.ticks, fails, purges };
        if !is_long_running(id) {
            if let Some(failed) = running.fails {
                return Err(Box::new((400, failed)));
            }
            if verb == Verb::Delete {
                self.gone(id, purges);
            }
            return Ok(None);
        }
        if self.ticks == 0 {
            let failed = running.fails.clone();
            self.end(&running);
            return failed.map_or(Ok(None), |failed| Err(Box::new((400, failed))));
        }
        self.edit(id, |body| body["properties"]["provisioningState"] = json!(state));
        self.counter += 1;
        let url = match self.shape {
            OperationShape::Body => id.to_string(),
            _ => format!("https://management.azure.com/operations/{}", self.counter),
        };
        self.operations.insert(url.clone(), running);
        let (shape, started) = (self.shape, self.now);
        Ok(Some(Operation { verb, shape, url, started, deadline: None, poll_at: started }))
    }

    /// One operation at a time on a resource, what is above it and, for endpoints, what is beside it.
    fn refuse_busy(&self, id: &ResourceId) -> Result<(), Refused> {
        let endpoint = id.ancestor("onlineEndpoints").or_else(|| id.ancestor("batchEndpoints"));
        let busy = self.operations.values().filter(|running| running.left > 0).find(|running| {
            running.id == *id
                || is_below(&running.id, id)
                || is_below(id, &running.id)
                || endpoint.as_ref().is_some_and(|it| running.id == *it || is_below(it, &running.id))
        });
        if let Some(busy) = busy {
            let message = format!("another operation is in progress on {}", busy.id);
            return Err(error(409, "Conflict", message));
        }
        let parent = id.parent().filter(|parent| parent.type_().split('/').count() > 1);
        match parent {
            // The container of an asset comes with its first version.
            Some(parent)
                if is_resource(&parent) && !is_version(id) && !self.resources.contains_key(&parent) =>
            {
                Err(error(404, "ParentResourceNotFound", format!("{parent} does not exist")))
            }
            _ => Ok(()),
        }
    }

    /// A deployment that gets traffic can't be deleted.
    fn refuse_delete_with_traffic(&self, id: &ResourceId) -> Result<(), Refused> {
        let endpoint = id.parent().and_then(|parent| self.resources.get(&parent));
        let Some(endpoint) = endpoint.filter(|_| id.type_().to_ascii_lowercase().ends_with("/deployments"))
        else {
            return Ok(());
        };
        let share = |map: &str| endpoint["properties"][map][id.name()].as_i64().unwrap_or_default();
        if share("traffic") + share("mirrorTraffic") > 0 {
            let message = format!("the deployment {} gets traffic and can't be deleted", id.name());
            return Err(error(400, "BadRequest", message));
        }
        Ok(())
    }

    /// Live traffic sums to 100 or to nothing, one deployment gets copies of half of it at most, none gets both, and each
    /// must be there and can answer when it gets more.
    fn refuse_traffic(&self, id: &ResourceId, body: &Value) -> Result<(), Refused> {
        if !id.type_().to_ascii_lowercase().ends_with("/onlineendpoints") {
            return Ok(());
        }
        let refuse = |message: String| Err(error(400, "UserError", message));
        let map = |name: &str| -> BTreeMap<String, i64> {
            let map = body["properties"][name].as_object().cloned().unwrap_or_default();
            map.into_iter().map(|(name, share)| (name, share.as_i64().unwrap_or(-1))).collect()
        };
        let (traffic, mirror) = (map("traffic"), map("mirrorTraffic"));
        let sum: i64 = traffic.values().sum();
        if sum != 0 && sum != 100 {
            return refuse(format!("the traffic sums to {sum}"));
        }
        if mirror.len() > 1 || mirror.values().any(|share| !(0..=50).contains(share)) {
            return refuse(format!("the mirror traffic is {mirror:?}"));
        }
        let live = |name: &String| traffic.get(name).is_some_and(|share| *share > 0);
        if let Some((name, _)) = mirror.iter().find(|(name, share)| **share > 0 && live(name)) {
            return refuse(format!("the deployment {name} has live traffic and mirror traffic"));
        }
        let before = self.resources.get(id);
        for (map, shares) in [("traffic", &traffic), ("mirrorTraffic", &mirror)] {
            for (name, share) in shares {
                let deployment = id.child("deployments", name).ok().and_then(|id| self.resources.get(&id));
                let Some(deployment) = deployment else {
                    return refuse(format!("the deployment {name} does not exist"));
                };
                let had = before.and_then(|it| it["properties"][map][name].as_i64()).unwrap_or(0);
                if *share > had && deployment["properties"]["provisioningState"] == "Failed" {
                    return refuse(format!("the deployment {name} has failed"));
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, id: &ResourceId, secrets: &[SecretValue]) {
        let version = |value: &SecretValue| {
            let version = self.secrets.get(&value.secret).map(|facts| facts.version.clone());
            (value.pointer.clone(), version.unwrap_or_default())
        };
        let given = secrets.iter().map(version).collect();
        self.given.insert(id.clone(), given);
    }

    /// Every new workspace has a datastore that nobody asked for.
    fn default_datastore(&mut self, workspace: &ResourceId) {
        if let Ok(id) = workspace.child("datastores", "workspaceblobstore") {
            let body = json!({"properties": {"datastoreType": "AzureBlob", "credentials": {"credentialsType": "None"}}});
            self.put(&id, &body);
        }
    }
}

fn type_of(id: &ResourceId) -> Result<&'static ResourceType, Refused> {
    arm::resource_type(&id.type_())
        .ok_or_else(|| error(400, "InvalidResourceType", format!("there is no type {}", id.type_())))
}

/// Whether it is a version of an asset.
fn is_version(id: &ResourceId) -> bool {
    id.type_().to_ascii_lowercase().ends_with("/versions")
}

fn is_resource(id: &ResourceId) -> bool {
    !id.is_a("Microsoft.Resources/resourceGroups") && !id.is_a("Microsoft.Resources/subscriptions")
}

/// Whether the writes of a resource's type run for a while.
fn is_long_running(id: &ResourceId) -> bool {
    let type_ = id.type_().to_ascii_lowercase();
    // Only the workspaces of machine learning, not those of log analytics.
    let last = type_.rsplit('/').next().unwrap_or_default();
    let is_in_registry = type_.starts_with("microsoft.machinelearningservices/registries/");
    is_in_registry || LONG_RUNNING.contains(&last) && !type_.starts_with("microsoft.operationalinsights")
}

fn is_below(above: &ResourceId, id: &ResourceId) -> bool {
    let mut parent = id.parent();
    while let Some(it) = parent {
        if it == *above {
            return true;
        }
        parent = it.parent();
    }
    false
}

fn refuse_immutable(body: &Value, old: &Value, type_: &ResourceType) -> Result<(), Refused> {
    let changed = arm::differences(body, old, type_).into_iter().find(|difference| difference.create_only);
    changed.map_or(Ok(()), |difference| {
        Err(error(400, "ImmutableProperty", format!("{} cannot be changed", difference.field)))
    })
}

/// What a read gives after a write: the body without what is never read back, with what Azure adds.
fn stored(id: &ResourceId, body: &Value, old: Option<&Value>, type_: &ResourceType) -> Value {
    let mut stored = body.clone();
    for pointer in type_.write_only {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(Value::Object(map)) = stored.pointer_mut(parent)
        {
            map.remove(key);
        }
    }
    for pointer in type_.read_only {
        let value = old.and_then(|old| old.pointer(pointer)).cloned();
        if let (Some(value), Some((parent, key))) = (value, pointer.rsplit_once('/'))
            && let Some(Value::Object(map)) = stored.pointer_mut(parent)
        {
            map.insert(key.to_owned(), value);
        }
    }
    fill::fill(id, &mut stored);
    if is_long_running(id) {
        stored["properties"]["provisioningState"] = json!("Succeeded");
    }
    stored
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}
