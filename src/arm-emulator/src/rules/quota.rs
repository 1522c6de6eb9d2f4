//! Quotas: cores by family of machines, endpoints and deployments, and the calls that show and set them.
use serde_json::{Value, json};

use crate::answer::{Failure, Outcome};
use crate::call::Call;
use crate::core::Core;
use crate::engine::Change;
use crate::state::{Record, State, text};

/// A size of machine: name, family, cores, GPUs, memory in GB.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) family: &'static str,
    pub(crate) cores: i64,
    gpus: i64,
    memory: f64,
}

const fn machine(name: &'static str, family: &'static str, cores: i64, gpus: i64, memory: f64) -> Size {
    Size { name, family, cores, gpus, memory }
}

const SIZES: &[Size] = &[
    machine("Standard_DS1_v2", "standardDSv2Family", 1, 0, 3.5),
    machine("Standard_DS2_v2", "standardDSv2Family", 2, 0, 7.0),
    machine("Standard_DS3_v2", "standardDSv2Family", 4, 0, 14.0),
    machine("Standard_DS4_v2", "standardDSv2Family", 8, 0, 28.0),
    machine("Standard_DS5_v2", "standardDSv2Family", 16, 0, 56.0),
    machine("Standard_DS11_v2", "standardDSv2Family", 2, 0, 14.0),
    machine("Standard_D2s_v3", "standardDSv3Family", 2, 0, 8.0),
    machine("Standard_D4s_v3", "standardDSv3Family", 4, 0, 16.0),
    machine("Standard_D2as_v4", "standardDASv4Family", 2, 0, 8.0),
    machine("Standard_D4as_v4", "standardDASv4Family", 4, 0, 16.0),
    machine("Standard_D2s_v5", "standardDSv5Family", 2, 0, 8.0),
    machine("Standard_D4s_v5", "standardDSv5Family", 4, 0, 16.0),
    machine("Standard_E2s_v3", "standardESv3Family", 2, 0, 16.0),
    machine("Standard_E4s_v3", "standardESv3Family", 4, 0, 32.0),
    machine("Standard_E8s_v3", "standardESv3Family", 8, 0, 64.0),
    machine("Standard_F2s_v2", "standardFSv2Family", 2, 0, 4.0),
    machine("Standard_F4s_v2", "standardFSv2Family", 4, 0, 8.0),
    machine("Standard_F8s_v2", "standardFSv2Family", 8, 0, 16.0),
    machine("Standard_F16s_v2", "standardFSv2Family", 16, 0, 32.0),
    machine("Standard_NC6s_v3", "standardNCSv3Family", 6, 1, 112.0),
    machine("Standard_NC24ads_A100_v4", "StandardNCADSA100v4Family", 24, 1, 220.0),
    machine("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4, 1, 28.0),
];

/// Cores of one family in one subscription, unless a limit was set.
const CORES: i64 = 300;
const GPU_CORES: i64 = 24;
/// Managed endpoints and deployments of one subscription in one region.
const ENDPOINTS: i64 = 50;
const DEPLOYMENTS: i64 = 200;

/// A size by its name.
pub(crate) fn size(name: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name))
}

fn limit(state: &State, name: &str, preset: i64) -> i64 {
    state.limits.get(&name.to_ascii_lowercase()).copied().unwrap_or(preset)
}

fn family_limit(state: &State, family: &str) -> i64 {
    let gpu = SIZES.iter().any(|size| size.family == family && size.gpus > 0);
    limit(state, family, if gpu { GPU_CORES } else { CORES })
}

/// How many cores of a family a resource holds.
fn held(record: &Record, family: &str) -> i64 {
    let (name, count) = match record.text("/properties/computeType").to_ascii_lowercase().as_str() {
        "amlcompute" => {
            let most = record.body.pointer("/properties/properties/scaleSettings/maxNodeCount");
            (record.text("/properties/properties/vmSize"), most.and_then(Value::as_i64).unwrap_or(0))
        }
        "computeinstance" => (record.text("/properties/properties/vmSize"), 1),
        _ => {
            let count = record.body.pointer("/sku/capacity").and_then(Value::as_i64).unwrap_or(1);
            (record.text("/properties/instanceType"), count)
        }
    };
    size(name).filter(|size| size.family == family).map_or(0, |size| size.cores * count)
}

const HOLDERS: [&str; 2] = [
    "Microsoft.MachineLearningServices/workspaces/computes",
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
];

fn used(state: &State, subscription: &str, family: &str, except: &str) -> i64 {
    let prefix = format!("/subscriptions/{}/", subscription.to_ascii_lowercase());
    HOLDERS
        .iter()
        .flat_map(|kind| state.of_kind(kind))
        .filter(|record| record.key().starts_with(&prefix) && record.key() != except)
        .map(|record| held(record, family))
        .sum()
}

/// Refuses what would take more cores of a family than the subscription has.
pub(crate) fn reserve(change: &Change<'_>, name: &str, count: i64) -> Outcome<()> {
    let Some(size) = size(name) else { return Ok(()) };
    let subscription = change.address.subscription();
    let limit = family_limit(change.state, size.family);
    let used = used(change.state, subscription, size.family, &change.address.key());
    let needed = size.cores * count;
    if used + needed <= limit {
        return Ok(());
    }
    if change.row.kind == HOLDERS[0] {
        let message = format!(
            "The specified subscription has a total vCPU quota of {limit} for the family {} and is less than the \
             requested compute training cluster and/or compute instance's max nodes of {count} which maps to {needed} \
             vCPUs. {used} vCPUs are in use.",
            size.family
        );
        return Err(Failure::new(400, "ClusterCoreQuotaReached", message));
    }
    let message = format!(
        "Not enough quota available for {name} in SubscriptionId {subscription}. Current usage/limit: {used}/{limit}. \
         Additional needed: {needed} Please see troubleshooting guide, available here: \
         https://aka.ms/oe-tsg#error-outofquota"
    );
    Err(Failure::new(400, "OutOfQuota", message))
}

/// Refuses one more of a kind than the subscription may have in a region.
pub(crate) fn count(change: &Change<'_>, what: &str) -> Outcome<()> {
    let preset = if what == "onlineEndpoints" { ENDPOINTS } else { DEPLOYMENTS };
    let limit = limit(change.state, what, preset);
    let prefix = format!("/subscriptions/{}/", change.address.subscription().to_ascii_lowercase());
    let location = change.location();
    let there = change
        .state
        .of_kind(change.row.kind)
        .filter(|one| one.key().starts_with(&prefix) && one.text("/location").eq_ignore_ascii_case(&location))
        .count();
    if i64::try_from(there).unwrap_or(i64::MAX) < limit {
        return Ok(());
    }
    let message = format!(
        "Not enough quota available for {what} in SubscriptionId {}. Current usage/limit: {there}/{limit}. \
         Additional needed: 1",
        change.address.subscription()
    );
    Err(Failure::new(400, "OutOfQuota", message))
}

fn families() -> Vec<&'static str> {
    let mut families: Vec<&str> = SIZES.iter().map(|size| size.family).collect();
    families.dedup();
    families
}

pub(crate) fn usages(_: &Core, state: &State, subscription: &str, location: &str) -> Value {
    let one = |family: &str| {
        json!({
            "id": format!("/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}/usages/{family}"),
            "type": "Microsoft.MachineLearningServices/vmFamily/dedicatedCores/usages",
            "amlWorkspaceLocation": location,
            "unit": "Count",
            "currentValue": used(state, subscription, family, ""),
            "limit": family_limit(state, family),
            "name": {"value": family, "localizedValue": family},
        })
    };
    json!({"value": families().into_iter().map(one).collect::<Vec<_>>()})
}

pub(crate) fn quotas(state: &State, subscription: &str, location: &str) -> Value {
    let one = |family: &str| {
        json!({
            "id": format!("/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}/quotas/{family}"),
            "type": "Microsoft.MachineLearningServices/vmFamily/dedicatedCores/quotas",
            "amlWorkspaceLocation": location,
            "unit": "Count",
            "limit": family_limit(state, family),
            "name": {"value": family, "localizedValue": family},
        })
    };
    json!({"value": families().into_iter().map(one).collect::<Vec<_>>()})
}

pub(crate) fn update(state: &mut State, call: &Call, _location: &str) -> Value {
    let wanted = call.body.as_ref().and_then(|body| body["value"].as_array()).cloned().unwrap_or_default();
    let mut values = Vec::new();
    for one in wanted {
        let family = super::last(text(&one, "/id")).to_owned();
        let known = families().iter().any(|known| known.eq_ignore_ascii_case(&family));
        let limit = one["limit"].as_i64().unwrap_or(0);
        if known {
            state.limits.insert(family.to_ascii_lowercase(), limit);
        }
        let status = if known { "Success" } else { "InvalidVMFamilyName" };
        values.push(
            json!({"id": one["id"], "type": one["type"], "limit": limit, "unit": "Count", "status": status}),
        );
    }
    json!({"value": values, "nextLink": null})
}

pub(crate) fn sizes() -> Value {
    let one = |size: &Size| {
        json!({
            "name": size.name, "family": size.family, "vCPUs": size.cores, "gpus": size.gpus,
            "memoryGB": size.memory, "osVhdSizeMB": 1_047_552, "maxResourceVolumeMB": 32_768,
            "lowPriorityCapable": true, "premiumIO": true, "estimatedVMPrices": null,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
        })
    };
    json!({"value": SIZES.iter().map(one).collect::<Vec<_>>()})
}
