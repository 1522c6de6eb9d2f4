//! The managed network of a workspace, and its outbound rules as resources of their own.
use api::ml_workspace::{MLWorkspaceSpec, OutboundRule};
use serde_json::{Value, json};

use super::Scene;
use crate::azure::reference::id;
use crate::azure::{Refusal, Wanted};

/// The network's settings in the workspace's body.
pub(super) fn settings(spec: &MLWorkspaceSpec) -> Option<Value> {
    let network = spec.managed_network.as_ref()?;
    Some(json!({"isolationMode": network.isolation_mode, "firewallSku": network.firewall_sku}))
}

/// The rules. Azure changes one at a time.
pub(super) fn rules(scene: &Scene) -> Result<Vec<Wanted>, Refusal> {
    let rules = scene.spec.managed_network.iter().flat_map(|network| &network.outbound_rules);
    rules
        .map(|rule| {
            let rule_id = id(scene.main.child("outboundRules", &rule.name))?;
            let body = json!({"properties": properties(rule)});
            Ok(Wanted { one_at_a_time_with: Some(scene.main.clone()), ..Wanted::new(rule_id, body) })
        })
        .collect()
}

fn properties(rule: &OutboundRule) -> Value {
    let (destination, fqdns) = match (&rule.service_tag, &rule.private_endpoint) {
        (Some(tag), _) => {
            let destination = json!({
                "serviceTag": tag.service_tag,
                "protocol": tag.protocol,
                "portRanges": tag.port_ranges,
                "addressPrefixes": tag.address_prefixes,
            });
            (destination, None)
        }
        (None, Some(endpoint)) => {
            let destination = json!({
                "serviceResourceId": endpoint.service_resource_id,
                "subresourceTarget": endpoint.subresource_target,
                "sparkEnabled": endpoint.spark_enabled,
            });
            (destination, Some(&endpoint.fqdns))
        }
        (None, None) => (json!(rule.fqdn), None),
    };
    json!({"type": rule.type_, "category": "UserDefined", "destination": destination, "fqdns": fqdns})
}
