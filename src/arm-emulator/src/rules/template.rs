//! Deployments of templates: their resources are put one after another, as if the client had put them.
use serde_json::{Value, json};

use crate::address::Address;
use crate::answer::{Failure, Outcome};
use crate::call::Call;
use crate::clock::rfc3339;
use crate::engine::{self, Change};
use crate::operation::{self, Fate};
use crate::state::{State, text};
use crate::template::{Scope, Template, invalid};

/// Templates within templates, and resources of one template.
const NESTED: usize = 5;
const RESOURCES: usize = 800;

/// The world as a template sees it at one moment.
struct World<'a> {
    state: &'a State,
    address: &'a Address,
    tenant: &'a str,
    region: &'a str,
}

impl Scope for World<'_> {
    fn subscription(&self) -> Value {
        let id = self.address.subscription();
        json!({"id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": self.tenant})
    }

    fn resource_group(&self) -> Value {
        let name = self.address.resource_group();
        let id = format!("/subscriptions/{}/resourceGroups/{name}", self.address.subscription());
        let location =
            self.state.get(&id.to_ascii_lowercase()).map_or(self.region, |group| group.text("/location"));
        json!({"id": id, "name": name, "location": location})
    }

    fn reference(&self, id: &str) -> Option<Value> {
        Some(self.state.get(&id.to_ascii_lowercase())?.body["properties"].clone())
    }
}

pub(crate) fn deploy(change: &mut Change<'_>) -> Outcome<()> {
    let depth = change.call.query("depth").and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth > NESTED {
        return Err(invalid("the deployments are nested too deeply."));
    }
    let template = change.body["properties"]["template"].take();
    let given = change.body["properties"]["parameters"].take();
    let resources = flattened(&template);
    if resources.len() > RESOURCES {
        return Err(invalid(format!("a template can have {RESOURCES} resources at most.")));
    }
    let mut made = Vec::new();
    for resource in ordered(resources) {
        match put(change, (&template, &given), &resource, depth) {
            Ok(id) => made.extend(id),
            Err(failure) if failure.code == "InvalidTemplate" => return Err(failure),
            Err(failure) => {
                let message = format!(
                    "At least one resource deployment operation failed. {}: {}",
                    failure.code, failure.message
                );
                change.fate = Fate::Failed { code: "DeploymentFailed".to_owned(), message };
                break;
            }
        }
    }
    let keys: Vec<String> = made.iter().map(|id| id.to_ascii_lowercase()).collect();
    let due = change.state.running().filter(|one| keys.contains(&one.key)).filter_map(|one| one.due).max();
    change.duration = Some(due.map_or(0, |due| due - change.now) + 1);
    let shown: Vec<Value> = made.iter().map(|id| json!({"id": id})).collect();
    change.body["properties"] = json!({
        "mode": "Incremental", "timestamp": rfc3339(change.now), "duration": "PT1S",
        "correlationId": change.call.request_id, "outputResources": shown, "outputs": {}, "parameters": {},
    });
    Ok(())
}

/// The resources of a template, those within others behind them with their full types and names.
fn flattened(template: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for resource in template["resources"].as_array().into_iter().flatten() {
        let mut outer = resource.clone();
        let inner = outer.as_object_mut().and_then(|outer| outer.remove("resources"));
        let (kind, name) = (text(&outer, "/type").to_owned(), outer["name"].clone());
        found.push(outer);
        for mut child in inner.as_ref().and_then(Value::as_array).cloned().unwrap_or_default() {
            child["type"] = json!(format!("{kind}/{}", text(&child, "/type")));
            child["parentName"] = name.clone();
            found.push(child);
        }
    }
    found
}

/// Those that others depend on come first: deployments within the deployment and role assignments last.
fn ordered(mut resources: Vec<Value>) -> Vec<Value> {
    let rank = |resource: &Value| match text(resource, "/type").to_ascii_lowercase().as_str() {
        "microsoft.resources/deployments" => 2,
        "microsoft.authorization/roleassignments" => 3,
        kind if kind.starts_with("microsoft.machinelearningservices/") => 1,
        _ => 0,
    };
    resources.sort_by_key(rank);
    resources
}

/// Puts one resource, unless its condition says not to, and gives its id.
fn put(
    change: &mut Change<'_>,
    (template, given): (&Value, &Value),
    resource: &Value,
    depth: usize,
) -> Outcome<Option<String>> {
    let (path, body, version) = {
        let settings = &change.core.settings;
        let world = World {
            state: change.state,
            address: &change.address,
            tenant: &settings.tenant,
            region: &settings.region,
        };
        let language = Template::new(template, given, &world)?;
        if let Some(condition) = resource.get("condition")
            && language.evaluate(condition)? != json!(true)
        {
            return Ok(None);
        }
        let resource = language.evaluate(resource)?;
        (path(&change.address, &resource)?, body(&resource), text(&resource, "/apiVersion").to_owned())
    };
    finish(change, &path);
    let call = Call {
        method: "PUT".to_owned(),
        path: path.clone(),
        query: vec![("api-version".to_owned(), version), ("depth".to_owned(), (depth + 1).to_string())],
        body: Some(body),
        base: change.call.base.clone(),
        principal: change.call.principal.clone(),
        request_id: change.call.request_id.clone(),
        directives: Vec::new(),
    };
    engine::within(change, &call)?;
    Ok(Some(path))
}

/// Azure waits for what a deployment has begun on a resource before it writes that again; here the wait is skipped.
fn finish(change: &mut Change<'_>, path: &str) {
    let key = path.to_ascii_lowercase();
    let running: Vec<String> =
        change.state.running().filter(|one| one.lock == key).map(|one| one.id.clone()).collect();
    for id in running {
        change.events.extend(operation::end(change.state, &id, change.now).and_then(engine::ended));
    }
}

/// Where a resource of a template is, once its expressions are worked out.
fn path(deployment: &Address, resource: &Value) -> Outcome<String> {
    let or = |pointer: &str, own: &str| match text(resource, pointer) {
        "" => own.to_owned(),
        given => given.to_owned(),
    };
    let scope = match text(resource, "/scope") {
        "" => format!(
            "/subscriptions/{}/resourceGroups/{}",
            or("/subscriptionId", deployment.subscription()),
            or("/resourceGroup", deployment.resource_group())
        ),
        scope => scope.to_owned(),
    };
    let parent = text(resource, "/parentName");
    let names = [parent, text(resource, "/name")]
        .iter()
        .filter(|name| !name.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("/");
    let mut kinds = text(resource, "/type").split('/');
    let mut path = format!("{scope}/providers/{}", kinds.next().unwrap_or(""));
    let (kinds, names): (Vec<&str>, Vec<&str>) = (kinds.collect(), names.split('/').collect());
    if kinds.is_empty() || kinds.len() != names.len() {
        let message =
            format!("the type '{}' does not fit the name '{}'.", text(resource, "/type"), names.join("/"));
        return Err(Failure::new(400, "InvalidTemplate", message));
    }
    for (kind, name) in kinds.iter().zip(names) {
        path.push_str(&format!("/{kind}/{name}"));
    }
    Ok(path)
}

/// What is put: the resource without the words that only templates have.
fn body(resource: &Value) -> Value {
    let mut body = resource.clone();
    if let Some(body) = body.as_object_mut() {
        for word in [
            "condition",
            "type",
            "apiVersion",
            "name",
            "dependsOn",
            "parentName",
            "scope",
            "resourceGroup",
            "subscriptionId",
        ] {
            body.remove(word);
        }
        body.entry("properties").or_insert_with(|| json!({}));
    }
    without_null(&mut body);
    body
}

/// A template says null where a client would say nothing.
fn without_null(value: &mut Value) {
    if let Value::Object(values) = value {
        values.retain(|_, value| !value.is_null());
        values.values_mut().for_each(without_null);
    }
}

/// What the deployment did, one resource at a time.
pub(crate) fn operations(change: &mut Change<'_>) -> Outcome<Value> {
    let Some(old) = &change.old else { return Ok(Value::Null) };
    let made = old.body["properties"]["outputResources"].as_array().cloned().unwrap_or_default();
    let one = |(index, resource): (usize, &Value)| {
        let id = text(resource, "/id");
        let state = change.state.get(&id.to_ascii_lowercase()).map_or("Succeeded", |record| {
            match record.text("/properties/provisioningState") {
                "Failed" => "Failed",
                "Creating" | "Updating" => "Running",
                _ => "Succeeded",
            }
        });
        let kind =
            Address::parse(id).map(|address| format!("{}/{}", address.namespace, address.types.join("/")));
        json!({
            "id": format!("{}/operations/{index}", old.id), "operationId": index.to_string(),
            "properties": {
                "provisioningOperation": "Create", "provisioningState": state, "duration": "PT1S",
                "timestamp": rfc3339(old.modified), "statusCode": "OK",
                "targetResource": {"id": id, "resourceName": super::last(id), "resourceType": kind},
            },
        })
    };
    Ok(json!({"value": made.iter().enumerate().map(one).collect::<Vec<_>>()}))
}
