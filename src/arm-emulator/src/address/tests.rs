//! Tests of reading addresses.
use super::*;

const DEPLOYMENT: &str = "/subscriptions/s/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/ws/onlineEndpoints/ep/deployments/blue";

#[test]
fn an_address_is_read_without_regard_to_case() {
    let address = Address::parse(DEPLOYMENT).unwrap();
    assert_eq!(address.kind(), "microsoft.machinelearningservices/workspaces/onlineendpoints/deployments");
    assert_eq!(address.names, ["ws", "ep", "blue"]);
    assert_eq!(address.resource_group(), "rg");
    assert_eq!(address.key(), Address::parse(&DEPLOYMENT.to_uppercase()).unwrap().key());
    assert!(address.id().starts_with("/subscriptions/s/resourceGroups/rg/providers/"));
}

#[test]
fn an_action_is_told_from_a_resource() {
    let address = Address::parse(&format!("{DEPLOYMENT}/getLogs")).unwrap();
    let (target, action) = address.split_action().unwrap();
    assert_eq!((target.name(), action.as_str()), ("blue", "getLogs"));
    assert!(Address::parse(DEPLOYMENT).unwrap().split_action().is_none());
}

#[test]
fn an_extension_has_the_resource_it_is_about_as_parent() {
    let path = format!("{DEPLOYMENT}/providers/Microsoft.Insights/diagnosticSettings/d");
    let address = Address::parse(&path).unwrap();
    assert_eq!(address.kind(), "microsoft.insights/diagnosticsettings");
    assert_eq!(address.parent().unwrap().key(), DEPLOYMENT.to_ascii_lowercase());
}

#[test]
fn a_scope_covers_whole_segments_only() {
    assert!(covers("/subscriptions/s", "/subscriptions/s/resourcegroups/rg"));
    assert!(covers("", "/subscriptions/s"));
    assert!(!covers("/subscriptions/s", "/subscriptions/s2"));
}

#[test]
fn percent_signs_are_decoded() {
    let address = Address::parse("/subscriptions/s/providers/A.B/things/a%20b").unwrap();
    assert_eq!(address.name(), "a b");
}
