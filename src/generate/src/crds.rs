//! CustomResourceDefinitions as YAML: plain ones for `kubectl apply`, and as templates of both charts.
use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Output, indented, yaml};

/// Below this, `kubectl apply` can keep the whole definition in its annotation.
pub(super) const MAXIMUM_BYTES: usize = 256 * 1024;

/// One kind, read from its definition.
pub(super) struct Kind {
    /// The whole definition.
    pub(super) definition: Value,
    /// `endpoints`.
    pub(super) plural: String,
    /// `Endpoint`.
    pub(super) name: String,
}

impl Kind {
    /// The version that is stored.
    pub(super) fn version(&self) -> &Value {
        &self.definition["spec"]["versions"][0]
    }

    /// The schema of the stored version.
    pub(super) fn schema(&self) -> &Value {
        &self.version()["schema"]["openAPIV3Schema"]
    }

    /// Whether people write it: what has no status is written by the operator alone.
    pub(super) fn is_wanted(&self) -> bool {
        self.version()["subresources"].get("status").is_some()
    }

    /// Whether it has a scale subresource.
    pub(super) fn has_scale(&self) -> bool {
        self.version()["subresources"].get("scale").is_some()
    }
}

/// Every kind of the API.
pub(super) fn all() -> anyhow::Result<Vec<Kind>> {
    let kinds = api::crds().into_iter().map(|crd| {
        let (plural, name) = (crd.spec.names.plural.clone(), crd.spec.names.kind.clone());
        let definition = serde_json::to_value(crd).context("failed to write a definition as JSON")?;
        Ok(Kind { definition, plural, name })
    });
    kinds.collect()
}

/// The definitions, and the templates made of them.
pub(super) fn outputs(kinds: &[Kind]) -> anyhow::Result<Vec<Output>> {
    let mut outputs = Vec::new();
    for kind in kinds {
        let text = yaml(&kind.definition)?;
        if text.len() >= MAXIMUM_BYTES {
            bail!(
                "the definition of {} has {} bytes; `kubectl apply` takes {MAXIMUM_BYTES}",
                kind.name,
                text.len()
            );
        }
        outputs.push(Output::new(format!("crds/{}.{}.yaml", kind.plural, api::GROUP), text));
        let guarded = format!("{{{{- if .Values.crds.enabled }}}}\n{}{{{{- end }}}}\n", template(kind)?);
        outputs
            .push(Output::new(format!("charts/mlops-operator/templates/crds/{}.yaml", kind.plural), guarded));
        outputs.push(Output::new(
            format!("charts/mlops-operator-crds/templates/{}.yaml", kind.plural),
            template(kind)?,
        ));
    }
    Ok(outputs)
}

/// The policies that prove who asks and who votes: plain ones, and in both charts.
pub(super) fn policies() -> anyhow::Result<Vec<Output>> {
    let mut text = String::new();
    for (policy, binding) in api::policies() {
        for document in [serde_json::to_value(policy)?, serde_json::to_value(binding)?] {
            if !text.is_empty() {
                text.push_str("---\n");
            }
            text.push_str(&yaml(&document)?);
        }
    }
    if text.contains("{{") {
        bail!("a policy contains a template's braces");
    }
    let guarded = format!("{{{{- if .Values.crds.enabled }}}}\n{text}{{{{- end }}}}\n");
    Ok(vec![
        Output::new("crds/policies.yaml", text.clone()),
        Output::new("charts/mlops-operator/templates/crds/policies.yaml", guarded),
        Output::new("charts/mlops-operator-crds/templates/policies.yaml", text),
    ])
}

/// A definition that stays when the chart is removed, unless told otherwise: every object of its kind goes with it.
fn template(kind: &Kind) -> anyhow::Result<String> {
    let metadata = kind.definition["metadata"].as_object().context("a definition has no metadata")?;
    if metadata.keys().any(|key| key != "name")
        || kind.definition.as_object().map_or(0, serde_json::Map::len) != 4
    {
        bail!(
            "the chart's template of a definition knows metadata.name and spec only; extend it for {}",
            kind.name
        );
    }
    let spec = yaml(&kind.definition["spec"])?;
    if spec.contains("{{") {
        bail!("the definition of {} contains a template's braces", kind.name);
    }
    Ok(format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {}.{}\n  \
         {{{{- if .Values.crds.keep }}}}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{{{- end }}}}\n\
         spec:\n{}",
        kind.plural,
        api::GROUP,
        indented(&spec, 2)
    ))
}
