//! A stored resource as a client sees it.
use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::rfc3339;
use crate::state::Record;

/// The prefix of stored URLs that lead to this emulator, before the slash of their path; it becomes the scheme and
/// authority that the client used.
pub(crate) const HERE: &str = "emulator:/";

/// Types whose models have no `systemData`.
const WITHOUT_SYSTEM_DATA: &[&str] = &[
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/metricAlerts",
];

/// Types whose models have no `properties.provisioningState`, though operations run on them: only the operation tells.
const WITHOUT_STATE: &[&str] = &[
    "Microsoft.MachineLearningServices/registries",
    "Microsoft.MachineLearningServices/registries/data",
    "Microsoft.MachineLearningServices/registries/data/versions",
];

/// The body of GET.
pub(crate) fn render(record: &Record, call: &Call) -> Value {
    let mut body = record.body.clone();
    here(&mut body, &call.base);
    body["id"] = json!(id(record, call));
    body["name"] = json!(record.name());
    body["type"] = json!(record.kind);
    if !is_any_of(&record.kind, WITHOUT_SYSTEM_DATA) {
        body["systemData"] = json!({
            "createdAt": rfc3339(record.created),
            "createdBy": record.created_by,
            "createdByType": "Application",
            "lastModifiedAt": rfc3339(record.modified),
            "lastModifiedBy": record.created_by,
            "lastModifiedByType": "Application",
        });
    }
    if is_any_of(&record.kind, WITHOUT_STATE)
        && let Some(properties) = body["properties"].as_object_mut()
    {
        properties.remove("provisioningState");
    }
    body
}

fn is_any_of(kind: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|one| one.eq_ignore_ascii_case(kind))
}

/// ARM's id, or the asset's id where the registry's own data plane was asked.
fn id(record: &Record, call: &Call) -> String {
    let asset = record.kind.starts_with("Microsoft.MachineLearningServices/registries/");
    if asset && call.api_version().ends_with("dataplanepreview") {
        let path = record.id.split("/registries/").nth(1).unwrap_or("");
        return format!("azureml://registries/{path}");
    }
    record.id.clone()
}

/// Puts the client's own authority into every URL that leads here.
pub(crate) fn here(value: &mut Value, base: &str) {
    match value {
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(HERE) {
                *text = format!("{base}{rest}");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| here(value, base)),
        Value::Object(values) => values.values_mut().for_each(|value| here(value, base)),
        _ => {}
    }
}
