//! The chart's RBAC, made of the rights that the controllers declare.
use std::fmt::Write as _;

use plan::rights::{
    Right, cluster_rights, config_map_rights, http_route_rights, key_rights, own_namespace_rights, rights,
    secret_rights,
};

use super::Output;
use super::crds::Kind;

const HEAD: &str =
    "{{- /* Made by `cargo xtask gen` from the rights that src/plan/src/rights.rs declares. */ -}}\n";

const BODY: &str = r#"{{- $name := include "mlops-operator.fullname" . -}}
{{- $labels := include "mlops-operator.labels" . -}}
{{- $account := include "mlops-operator.serviceAccountName" . -}}
{{- if .Values.watchNamespaces }}
{{- range .Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- include "mlops-operator.rules" $ | nindent 2 }}
  {{- if $.Values.azure.secrets }}
  {{- include "mlops-operator.secretRules" $ | nindent 2 }}
  {{- end }}
  {{- if $.Values.endpointKeys.enabled }}
  {{- include "mlops-operator.keyRules" $ | nindent 2 }}
  {{- end }}
  {{- if $.Values.azure.configMaps }}
  {{- include "mlops-operator.configMapRules" $ | nindent 2 }}
  {{- end }}
  {{- if $.Values.gatewayApi.enabled }}
  {{- include "mlops-operator.httpRouteRules" $ | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $account }}
    namespace: {{ $.Release.Namespace }}
{{- end }}
{{- else }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- include "mlops-operator.rules" . | nindent 2 }}
  {{- if not .Values.azure.clusterId }}
  {{- include "mlops-operator.clusterRules" . | nindent 2 }}
  {{- end }}
  {{- if .Values.azure.secrets }}
  {{- include "mlops-operator.secretRules" . | nindent 2 }}
  {{- end }}
  {{- if .Values.endpointKeys.enabled }}
  {{- include "mlops-operator.keyRules" . | nindent 2 }}
  {{- end }}
  {{- if .Values.azure.configMaps }}
  {{- include "mlops-operator.configMapRules" . | nindent 2 }}
  {{- end }}
  {{- if .Values.gatewayApi.enabled }}
  {{- include "mlops-operator.httpRouteRules" . | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $account }}
    namespace: {{ .Release.Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}-view
  labels:
    {{- $labels | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-view: "true"
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
  {{- include "mlops-operator.viewRules" . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}-edit
  labels:
    {{- $labels | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
  {{- include "mlops-operator.editRules" . | nindent 2 }}
---
# Who votes on promotions: bind it in a namespace, to a person or a group.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}-approver
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- include "mlops-operator.approverRules" . | nindent 2 }}
{{- end }}
{{- if or .Values.leaderElection .Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}-own
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- if .Values.leaderElection }}
  {{- include "mlops-operator.leaseRules" . | nindent 2 }}
  {{- end }}
  {{- if .Values.watchNamespaces }}
  {{- include "mlops-operator.defaultRuntimeRules" . | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}-own
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}-own
subjects:
  - kind: ServiceAccount
    name: {{ $account }}
    namespace: {{ .Release.Namespace }}
{{- end }}
"#;

/// The template.
pub(super) fn output(kinds: &[Kind]) -> Output {
    let defaults: Vec<Right> = rights().into_iter().filter(concerns_default_runtimes).collect();
    let text = [
        HEAD.to_owned(),
        define("rules", &operator_rules(&rights())),
        define("clusterRules", &operator_rules(&cluster_rights())),
        define("secretRules", &operator_rules(&secret_rights())),
        define("keyRules", &operator_rules(&key_rights())),
        define("configMapRules", &operator_rules(&config_map_rights())),
        define("httpRouteRules", &operator_rules(&http_route_rights())),
        define("leaseRules", &operator_rules(&own_namespace_rights())),
        define("defaultRuntimeRules", &operator_rules(&defaults)),
        define("viewRules", &rule(&read_resources(kinds), &["get", "list", "watch"])),
        define("editRules", &edit_rules(kinds)),
        define("approverRules", &approver_rules()),
        BODY.to_owned(),
    ];
    Output::new("charts/mlops-operator/templates/rbac.yaml", text.concat())
}

/// An operator of a few namespaces still reads the default ServingRuntimes of its own, and reports on them.
fn concerns_default_runtimes(right: &Right) -> bool {
    right.resource.starts_with("servingruntimes") || right.resource == "events"
}

fn define(name: &str, rules: &str) -> String {
    format!("{{{{- define \"mlops-operator.{name}\" }}}}\n{rules}{{{{- end }}}}\n")
}

/// What `kubectl mlops approve` needs.
fn approver_rules() -> String {
    let resources = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    [
        rule(
            &resources(&["modelpromotions", "models", "approvals", "decisionrecords"]),
            &["get", "list", "watch"],
        ),
        rule(&resources(&["modelpromotions"]), &["approve"]),
        rule(&resources(&["approvals"]), &["create", "delete"]),
    ]
    .concat()
}

fn operator_rules(rights: &[Right]) -> String {
    rights.iter().fold(String::new(), |mut text, right| {
        let _ = write!(
            text,
            "# {}\n- apiGroups: [{:?}]\n  resources: [{:?}]\n  verbs: {}\n",
            right.why,
            right.group,
            right.resource,
            list(right.verbs)
        );
        if !right.names.is_empty() {
            let _ = writeln!(text, "  resourceNames: {}", list(right.names));
        }
        text
    })
}

fn read_resources(kinds: &[Kind]) -> Vec<String> {
    let names = kinds.iter().flat_map(|kind| {
        let scale = kind.has_scale().then(|| format!("{}/scale", kind.plural));
        let status = kind.is_wanted().then(|| format!("{}/status", kind.plural));
        [Some(kind.plural.clone()), status, scale]
    });
    names.flatten().collect()
}

/// What the owners of a namespace may do; the status stays the operator's.
fn edit_rules(kinds: &[Kind]) -> String {
    let whole = kinds.iter().filter(|kind| kind.is_wanted()).map(|kind| kind.plural.clone());
    let whole: Vec<String> = whole.collect();
    let scales: Vec<String> =
        kinds.iter().filter(|kind| kind.has_scale()).map(|kind| format!("{}/scale", kind.plural)).collect();
    rule(&whole, &["create", "delete", "deletecollection", "patch", "update"])
        + &rule(&scales, &["patch", "update"])
}

fn rule(resources: &[String], verbs: &[&str]) -> String {
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    format!("- apiGroups: [{:?}]\n  resources: {}\n  verbs: {}\n", api::GROUP, list(&resources), list(verbs))
}

fn list(words: &[&str]) -> String {
    format!("{words:?}")
}
