//! A kind of the tests' own, whose objects name the resources that they want, and what the engine does with them.
use api::azure::DeletionPolicy;
use arm::{ArmError, ResourceId};
use plan::Step;
use plan::azure::{AzureKind, Compiled, Export, ExportValue, Facts, Refusal, SecretValue, Wanted};
use serde_json::{Value, json};
use testkit::azure::{FakeAzure, Fault, Trace};

/// The kind.
pub(super) const ANYTHING: AzureKind =
    AzureKind { kind: "Anything", compile, deletion: |_| DeletionPolicy::Delete };

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g";
const WORKSPACE: &str = "providers/Microsoft.MachineLearningServices/workspaces/w";

/// Everything that an object of the kind may want: the path below the resource group, and the body.
pub(super) fn menu() -> Vec<(&'static str, ResourceId, Value)> {
    let row = |name, path: &str, body| {
        (name, ResourceId::parse(&format!("{GROUP}/{}", path.replace("WS", WORKSPACE))).unwrap(), body)
    };
    let settings = "WS/providers/Microsoft.Insights/diagnosticSettings/d";
    let extension = "providers/Microsoft.Kubernetes/connectedClusters/c/providers/Microsoft.KubernetesConfiguration/extensions/x";
    let online = json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {"authMode": "Key"}});
    let deployment = json!({"location": "westeurope", "properties": {"endpointComputeType": "Managed", "instanceType": "a"}});
    vec![
        row(
            "storage",
            "providers/Microsoft.Storage/storageAccounts/s",
            json!({"location": "westeurope", "kind": "StorageV2", "properties": {"accessTier": "Hot"}}),
        ),
        row(
            "workspace",
            "WS",
            json!({"location": "West Europe", "kind": "Default", "identity": {"type": "SystemAssigned"}, "properties": {"friendlyName": "one"}}),
        ),
        row(
            "store",
            "WS/datastores/one",
            json!({"properties": {"datastoreType": "AzureBlob", "accountName": "a", "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey"}}}}),
        ),
        row(
            "other-store",
            "WS/datastores/two",
            json!({"properties": {"datastoreType": "AzureFile", "description": "b"}}),
        ),
        row(
            "connection",
            "WS/connections/c",
            json!({"properties": {"category": "Git", "authType": "None", "target": "https://host"}}),
        ),
        row("rule", "WS/outboundRules/r", json!({"properties": {"type": "FQDN", "destination": "host"}})),
        row(
            "settings",
            settings,
            json!({"properties": {"logs": [{"category": "RunEvent", "enabled": true}]}}),
        ),
        row("endpoint", "WS/onlineEndpoints/e", online),
        row("blue", "WS/onlineEndpoints/e/deployments/blue", deployment.clone()),
        row("green", "WS/onlineEndpoints/e/deployments/green", deployment),
        row(
            "extension",
            extension,
            json!({"properties": {"extensionType": "Microsoft.AzureML.Kubernetes", "autoUpgradeMinorVersion": true}}),
        ),
    ]
}

/// The id of something on the menu.
pub(super) fn id(name: &str) -> ResourceId {
    menu().into_iter().find(|row| row.0 == name).unwrap().1
}

#[expect(clippy::unnecessary_wraps, reason = "the table of kinds wants a function that may refuse")]
fn compile(object: &Value, _: &Facts) -> Result<Compiled, Refusal> {
    let names: Vec<&str> =
        object["spec"]["wants"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let wanted: Vec<Wanted> = menu()
        .into_iter()
        .filter(|(name, ..)| names.contains(name))
        .map(|(name, id, body)| {
            let mut wanted = Wanted::new(id, body);
            for (pointer, value) in object["spec"]["changes"][name].as_object().into_iter().flatten() {
                if let Some(place) = wanted.body.pointer_mut(pointer) {
                    *place = value.clone();
                }
            }
            match name {
                "workspace" => {
                    wanted.after = vec![self::id("storage")]
                        .into_iter()
                        .filter(|_| names.contains(&"storage"))
                        .collect();
                }
                "endpoint" | "blue" | "green" => wanted.one_at_a_time_with = Some(self::id("endpoint")),
                "store" => {
                    let pointer = "/properties/credentials/secrets/key".to_owned();
                    wanted.secrets =
                        vec![SecretValue { pointer, secret: "keys".to_owned(), key: "key".to_owned() }];
                }
                _ => {}
            }
            wanted
        })
        .collect();
    let values = [("id".to_owned(), ExportValue::Field(id("workspace"), "/id"))].into_iter().collect();
    let exports =
        names.contains(&"workspace").then(|| Export { secret: false, name: "ids".to_owned(), values });
    Ok(Compiled {
        main: id("workspace"),
        wanted,
        reads: Vec::new(),
        requires: Vec::new(),
        outputs: Vec::new(),
        exports: exports.into_iter().collect(),
        revision: None,
    })
}

/// An object that wants some of the menu.
pub(super) fn object(wants: &[&str]) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "Anything",
        "metadata": {"name": "it", "namespace": "team", "generation": 1},
        "spec": {"wants": wants, "management": {}},
    })
}

/// The user changes the object.
pub(super) fn change(object: &mut Value, change: impl FnOnce(&mut Value)) {
    change(&mut object["spec"]);
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
}

/// The user deletes the object.
pub(super) fn delete(object: &mut Value) {
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
}

pub(super) fn azure() -> FakeAzure {
    let mut azure = FakeAzure::new();
    azure.add_kind(ANYTHING);
    azure.add_secret("keys", "1", &["key"]);
    let cluster = id("extension").parent().unwrap();
    azure
        .put(&cluster, &json!({"location": "westeurope", "properties": {"connectivityStatus": "Connected"}}));
    azure
}

fn settled(azure: &mut FakeAzure, object: &mut Value) -> Trace {
    let trace = azure.converge(object, 40);
    assert!(trace.converged, "{:#?}", object["status"]);
    trace
}

fn ready(object: &Value) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|it| it["type"] == "Ready").unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn refused() -> ArmError {
    ArmError { code: "BadRequest".to_owned(), message: "no".to_owned(), ..ArmError::default() }
}

#[test]
fn resources_are_made_in_order_and_go_in_reverse() {
    let mut azure = azure();
    azure.ticks = 2;
    let mut object = object(&["storage", "workspace", "store", "rule"]);
    let made = settled(&mut azure, &mut object).lines().join("\n").replace(GROUP, "");
    insta::assert_snapshot!(made);
    delete(&mut object);
    let gone = settled(&mut azure, &mut object).lines().join("\n").replace(GROUP, "");
    insta::assert_snapshot!(gone);
}

#[test]
fn a_deleted_object_leaves_the_part_of_a_foreign_workspace_alone() {
    let mut azure = azure();
    for (name, id, body) in menu() {
        if ["workspace", "rule", "settings"].contains(&name) {
            azure.put(&id, &body);
        }
    }
    let mut object = object(&["workspace", "rule", "settings"]);
    azure.converge(&mut object, 3);
    assert_eq!(ready(&object).0, "NotOwned");
    delete(&mut object);
    settled(&mut azure, &mut object);
    assert_eq!(azure.calls, Vec::<String>::new());
}

#[test]
fn a_new_version_of_a_secret_is_sent_although_it_had_to_wait() {
    let mut azure = azure();
    azure.ticks = 3;
    let mut object = object(&["workspace", "store"]);
    settled(&mut azure, &mut object);
    azure.add_secret("keys", "2", &["key"]);
    // The workspace is busy when the new version is seen, so that the datastore waits.
    change(&mut object, |spec| spec["changes"] = json!({"workspace": {"/properties/friendlyName": "two"}}));
    settled(&mut azure, &mut object);
    assert_eq!(azure.given(&id("store")).values().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn a_new_version_of_a_secret_is_sent_after_the_mode_plan() {
    let mut azure = azure();
    let mut object = object(&["workspace", "store"]);
    settled(&mut azure, &mut object);
    azure.add_secret("keys", "2", &["key"]);
    change(&mut object, |spec| spec["management"]["mode"] = json!("Plan"));
    azure.converge(&mut object, 3);
    assert_eq!(ready(&object).0, "Planned");
    change(&mut object, |spec| spec["management"]["mode"] = json!("Manage"));
    settled(&mut azure, &mut object);
    assert_eq!(azure.given(&id("store")).values().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn the_annotation_keeps_what_is_no_longer_wanted() {
    let mut azure = azure();
    let mut object = object(&["workspace", "other-store"]);
    object["metadata"]["annotations"][api::azure::PROTECT_ANNOTATION] = json!("true");
    settled(&mut azure, &mut object);
    change(&mut object, |spec| spec["wants"] = json!(["workspace"]));
    azure.converge(&mut object, 5);
    assert_eq!(ready(&object).0, "DeletionProtected");
    assert!(azure.get(&id("other-store")).is_some());
    object["metadata"]["annotations"] = json!({});
    settled(&mut azure, &mut object);
    assert!(azure.get(&id("other-store")).is_none());
}

#[test]
fn a_delete_that_fails_is_tried_again_later_and_later() {
    let mut azure = azure();
    azure.ticks = 1;
    let mut object = object(&["workspace", "rule"]);
    settled(&mut azure, &mut object);
    change(&mut object, |spec| spec["wants"] = json!(["workspace"]));
    for _ in 0..3 {
        azure.faults.push_back(Some(Fault::FailOperation(refused())));
    }
    let before = azure.now;
    let trace = settled(&mut azure, &mut object);
    let deletes = trace.lines().iter().filter(|line| line.starts_with("delete")).count();
    assert_eq!(deletes, 4);
    assert!(azure.now.duration_since(before).as_secs() > 30 + 60 + 120);
}

#[test]
fn looking_makes_nothing_one_s_own() {
    let mut azure = azure();
    let (_, extension, body) = menu().pop().unwrap();
    azure.put(&extension, &json!({"properties": {"extensionType": body["properties"]["extensionType"], "autoUpgradeMinorVersion": false}}));
    let mut object = object(&["extension"]);
    object["spec"]["management"] = json!({"mode": "Plan", "adoption": "Force"});
    azure.converge(&mut object, 3);
    change(&mut object, |spec| spec["management"] = json!({"mode": "Manage"}));
    azure.converge(&mut object, 3);
    delete(&mut object);
    settled(&mut azure, &mut object);
    assert_eq!(azure.calls, Vec::<String>::new());
}

#[test]
fn an_operation_that_azure_forgot_is_not_started_twice() {
    let mut azure = azure();
    azure.ticks = 5;
    let mut object = object(&["workspace"]);
    azure.reconcile(&mut object);
    azure.reconcile(&mut object);
    azure.forget_operations();
    let trace = settled(&mut azure, &mut object);
    assert_eq!(azure.calls.len(), 1, "{:?}", trace.lines());
}

#[test]
fn the_finalizer_comes_before_the_first_write() {
    let plan = plan::azure::plan(&azure().observe(&object(&["workspace"])));
    assert_eq!(plan.plan.steps[0], Step::Finalizer(true));
}
