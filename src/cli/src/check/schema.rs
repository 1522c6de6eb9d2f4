//! Whether the CustomResourceDefinition of a cluster is the one that this plugin knows.
use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// How a definition in the cluster differs from the one that this plugin knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Difference {
    /// It does not serve the version.
    NotServed,
    /// It lacks fields or rules, so it is older.
    Lacks(BTreeSet<String>),
    /// It has fields or rules that this plugin does not know, so it is newer.
    Adds(BTreeSet<String>),
}

/// The difference that matters most, if there is one. Descriptions do not matter.
pub(super) fn difference(
    wanted: &CustomResourceDefinition,
    found: &CustomResourceDefinition,
) -> Option<Difference> {
    let Some(found) = fields(found) else { return Some(Difference::NotServed) };
    let wanted = fields(wanted).unwrap_or_default();
    let lacks: BTreeSet<String> = wanted.difference(&found).cloned().collect();
    if !lacks.is_empty() {
        return Some(Difference::Lacks(lacks));
    }
    let adds: BTreeSet<String> = found.difference(&wanted).cloned().collect();
    (!adds.is_empty()).then_some(Difference::Adds(adds))
}

/// The fields of the version that is served, with their types, permitted values and rules.
fn fields(definition: &CustomResourceDefinition) -> Option<BTreeSet<String>> {
    let mut versions = definition.spec.versions.iter();
    let version = versions.find(|version| version.name == api::VERSION && version.served)?;
    let mut fields = BTreeSet::new();
    if let Some(schema) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) {
        collect(schema, "", &mut fields);
    }
    Some(fields)
}

fn collect(schema: &JSONSchemaProps, path: &str, fields: &mut BTreeSet<String>) {
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        fields.insert(format!("{path} ({})", property.type_.as_deref().unwrap_or("any")));
        collect(property, &path, fields);
    }
    for value in schema.enum_.iter().flatten() {
        fields.insert(format!("{path} = {}", value.0));
    }
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        fields.insert(format!("{path}: {}", rule.rule));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        collect(items, &format!("{path}[]"), fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> CustomResourceDefinition {
        let mut all = api::crds().into_iter();
        all.find(|definition| definition.spec.names.kind == "Endpoint").unwrap()
    }

    fn spec(definition: &mut CustomResourceDefinition) -> &mut JSONSchemaProps {
        let schema = definition.spec.versions[0].schema.as_mut().unwrap();
        let root = schema.open_api_v3_schema.as_mut().unwrap();
        root.properties.as_mut().unwrap().get_mut("spec").unwrap()
    }

    #[test]
    fn descriptions_make_no_difference() {
        let mut found = endpoint();
        spec(&mut found).description = Some("other words".to_owned());
        assert_eq!(difference(&endpoint(), &found), None);
    }

    #[test]
    fn a_missing_field_is_named_with_all_below_it() {
        let mut found = endpoint();
        spec(&mut found).properties.as_mut().unwrap().remove("rollout");
        let Some(Difference::Lacks(fields)) = difference(&endpoint(), &found) else { panic!("no lack") };
        assert!(fields.contains(".spec.rollout (object)"), "{fields:?}");
        assert!(fields.contains(".spec.rollout.strategy = \"Recreate\""), "{fields:?}");
    }

    #[test]
    fn a_missing_rule_is_a_lack() {
        let mut found = endpoint();
        spec(&mut found).x_kubernetes_validations = None;
        assert!(matches!(difference(&endpoint(), &found), Some(Difference::Lacks(_))));
    }

    #[test]
    fn an_additional_field_is_an_addition() {
        let mut wanted = endpoint();
        spec(&mut wanted).properties.as_mut().unwrap().remove("mode");
        assert!(matches!(difference(&wanted, &endpoint()), Some(Difference::Adds(_))));
    }

    #[test]
    fn a_version_that_is_not_served_is_told() {
        let mut found = endpoint();
        found.spec.versions[0].served = false;
        assert_eq!(difference(&endpoint(), &found), Some(Difference::NotServed));
    }
}
