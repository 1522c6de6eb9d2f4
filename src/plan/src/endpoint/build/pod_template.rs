//! The pods of an Endpoint: restricted, spread over nodes, with the model delivered as the runtime asks.
use std::collections::BTreeMap;

use api::meta::EnvironmentVariable;
use api::serving_runtime::{ModelDelivery, Protocol};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    Lifecycle, LifecycleHandler, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext,
    SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{GRPC, H2C, PROTOCOL, Valid, labels, selector};
use crate::endpoint::valid::ModelSource;
use crate::settings::Settings;

/// Where the model's file or claim is mounted.
const MODEL_FOLDER: &str = "/mnt/model";
/// Where the claim is mounted while its file is verified into [`MODEL_FOLDER`].
const CLAIM_FOLDER: &str = "/mnt/claim";
/// The group of mounted volumes, so that a user other than root can write them.
const GROUP: i64 = 65532;
/// Seconds beyond the drain that requests in flight may take.
const GRACE_SECONDS: i64 = 30;
/// Asks the webhook of Azure Workload Identity for a token.
const IDENTITY_LABEL: &str = "azure.workload.identity/use";
/// The variable with the hosts that models may come from although they are not public.
const ALLOWED_HOSTS: &str = "MODEL_ALLOWED_HOSTS";
/// What a Secret may say about a model's store.
const CREDENTIALS: [&str; 11] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_USE_MANAGED_IDENTITY",
    "IDENTITY_ENDPOINT",
];
/// What the webhook of Azure Workload Identity sets, and only where nothing is set yet.
const OF_WEBHOOK: [&str; 4] =
    ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];

/// The pods, without the label of their revision, which is a digest of this very template.
pub(in crate::endpoint) fn pod_template(valid: &Valid) -> PodTemplateSpec {
    let drain = i64::from(valid.runtime.drain_seconds);
    let spec = PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![server(valid)],
        enable_service_links: Some(false),
        init_containers: is_fetched_first(valid).then(|| vec![fetch(valid)]),
        security_context: Some(pod_security_context()),
        service_account_name: Some(valid.name.to_owned()),
        termination_grace_period_seconds: Some(drain + GRACE_SECONDS),
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(|key| spread(valid, key)).into(),
        ),
        volumes: Some(volumes(valid)),
        ..PodSpec::default()
    };
    let mut labels = labels(valid);
    if valid.identity.is_some() {
        labels.insert(IDENTITY_LABEL.to_owned(), "true".to_owned());
    }
    let metadata = ObjectMeta { labels: Some(labels), ..ObjectMeta::default() };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

/// Whether an init container brings the model: the container does not fetch it, and it is not merely mounted.
fn is_fetched_first(valid: &Valid) -> bool {
    valid.runtime.model_delivery == ModelDelivery::Mounted
        && (matches!(valid.source, ModelSource::Url { .. }) || valid.digest.is_some())
}

/// Where the container finds the model: its path when mounted, else nothing.
fn model_path(valid: &Valid) -> String {
    match valid.source {
        _ if is_fetched_first(valid) => format!("{MODEL_FOLDER}/{}", valid.source.file_name()),
        ModelSource::Claim { path, .. } => format!("{MODEL_FOLDER}/{path}"),
        ModelSource::Url { .. } => String::new(),
    }
}

/// The URI that the server sees: once the model is verified, its claim is no longer mounted.
fn server_uri(valid: &Valid) -> String {
    match valid.source {
        ModelSource::Claim { .. } => format!("file://{}", model_path(valid)),
        ModelSource::Url { .. } => model_uri(valid),
    }
}

/// The URI from which the model comes: a claim is a path of the container's own file system.
fn model_uri(valid: &Valid) -> String {
    match valid.source {
        ModelSource::Url { uri, .. } => uri.to_owned(),
        ModelSource::Claim { path, .. } if is_fetched_first(valid) => format!("file://{CLAIM_FOLDER}/{path}"),
        ModelSource::Claim { path, .. } => format!("file://{MODEL_FOLDER}/{path}"),
    }
}

fn spread(valid: &Valid, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        label_selector: Some(selector(valid)),
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

fn server(valid: &Valid) -> Container {
    let runtime = valid.runtime;
    let port = |name: &str, port: i32| ContainerPort {
        container_port: port,
        name: Some(name.to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: "server".to_owned(),
        image: Some(valid.container.image.to_owned()),
        command: some_list(valid.container.command),
        args: some_list(valid.container.args),
        env: Some(environment(valid, &valid.container.env)),
        lifecycle: (runtime.drain_seconds > 0).then(|| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: i64::from(runtime.drain_seconds) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ports: Some(
            std::iter::once(port("http", runtime.port))
                .chain(runtime.grpc_port.map(|number| port(GRPC, number)))
                .collect(),
        ),
        startup_probe: Some(Probe {
            failure_threshold: Some(runtime.startup_seconds),
            period_seconds: Some(1),
            ..probe(&runtime.liveness_path)
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            ..probe(&runtime.liveness_path)
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(2),
            ..probe(&runtime.readiness_path)
        }),
        resources: Some(resources(valid)),
        security_context: Some(security_context()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(valid)),
        ..Container::default()
    }
}

/// Fetches the model and verifies its digest before the server starts.
fn fetch(valid: &Valid) -> Container {
    let mut mounts = vec![mount("model", MODEL_FOLDER, false), mount("tmp", "/tmp", false)];
    if matches!(valid.source, ModelSource::Claim { .. }) {
        mounts.push(mount("claim", CLAIM_FOLDER, true));
    }
    let args = ["fetch", "--to", MODEL_FOLDER, "--file-name", valid.source.file_name()];
    Container {
        name: "fetch-model".to_owned(),
        image: Some(valid.settings.model_server_image.clone()),
        args: Some(args.map(str::to_owned).into()),
        env: Some(
            [
                variable("MLOPS_MODEL_URI", &model_uri(valid)),
                variable("MLOPS_MODEL_DIGEST", valid.digest.unwrap_or_default()),
            ]
            .into_iter()
            .chain(of_store(valid))
            .collect(),
        ),
        resources: Some(resources(valid)),
        security_context: Some(security_context()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The variables that the operator sets come first, so that the others can refer to them, and win over theirs.
fn environment(valid: &Valid, others: &[&EnvironmentVariable]) -> Vec<EnvVar> {
    let own = [
        ("MODEL_NAME", valid.name.to_owned()),
        ("MODEL_URI", server_uri(valid)),
        ("MODEL_DIGEST", valid.digest.unwrap_or_default().to_owned()),
        ("MODEL_FORMAT", valid.format.name().to_owned()),
        ("MODEL_PATH", model_path(valid)),
        ("HTTP_PORT", valid.runtime.port.to_string()),
    ];
    // Only where they say something: a variable more makes another revision.
    let grpc = valid.runtime.grpc_port.map(|port| ("GRPC_PORT", port.to_string()));
    let protocol = (valid.runtime.protocol == Protocol::H2c).then(|| (PROTOCOL, H2C.to_owned()));
    let own: Vec<(&str, String)> = own.into_iter().chain(grpc).chain(protocol).collect();
    let own = own.iter().map(|(name, value)| variable(name, value));
    let own: Vec<EnvVar> = match valid.runtime.model_delivery {
        ModelDelivery::Fetched => own.chain(of_store(valid)).collect(),
        ModelDelivery::Mounted => own.collect(),
    };
    let is_own =
        |name: &str| [ALLOWED_HOSTS, PROTOCOL].contains(&name) || own.iter().any(|own| own.name == name);
    let others: Vec<EnvVar> = others
        .iter()
        .filter(|other| !is_own(&other.name))
        .map(|other| variable(&other.name, &other.value))
        .collect();
    own.into_iter().chain(others).collect()
}

/// What the container that fetches a model is told about its store: the hosts that are allowed, and the Secret.
fn of_store(valid: &Valid) -> Vec<EnvVar> {
    if matches!(valid.source, ModelSource::Claim { .. }) {
        return Vec::new();
    }
    store_variables(valid.settings, valid.credentials, valid.identity.is_some())
}

/// What whatever fetches a file is told about its store: the hosts that are allowed, and the Secret.
pub(crate) fn store_variables(
    settings: &Settings,
    credentials: Option<&str>,
    has_identity: bool,
) -> Vec<EnvVar> {
    let hosts = settings.model_allowed_hosts.join(",");
    let allowed = (!hosts.is_empty()).then(|| variable(ALLOWED_HOSTS, &hosts));
    let is_free = |name: &&str| !has_identity || !OF_WEBHOOK.contains(name);
    let of_secret = |secret: &str| {
        let key = |key: &str| SecretKeySelector {
            name: secret.to_owned(),
            key: key.to_owned(),
            optional: Some(true),
        };
        CREDENTIALS
            .into_iter()
            .filter(is_free)
            .map(|name| EnvVar {
                name: name.to_owned(),
                value: None,
                value_from: Some(EnvVarSource { secret_key_ref: Some(key(name)), ..EnvVarSource::default() }),
            })
            .collect::<Vec<_>>()
    };
    allowed.into_iter().chain(credentials.map(of_secret).unwrap_or_default()).collect()
}

pub(crate) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

fn resources(valid: &Valid) -> ResourceRequirements {
    requirements(&valid.requests, &valid.limits)
}

/// What a container is given, and may use at most.
pub(crate) fn requirements(
    requests: &BTreeMap<String, String>,
    limits: &BTreeMap<String, String>,
) -> ResourceRequirements {
    let quantities = |amounts: &BTreeMap<String, String>| {
        amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.clone()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(requests)),
        limits: Some(quantities(limits)),
        claims: None,
    }
}

/// What a pod may do: nothing beyond what its containers run.
pub(crate) fn pod_security_context() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(GROUP),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// What a container may do: nothing beyond what it runs.
pub(crate) fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

fn volumes(valid: &Valid) -> Vec<Volume> {
    let mut volumes = vec![empty("tmp")];
    match valid.source {
        ModelSource::Claim { claim: name, .. } if is_fetched_first(valid) => {
            volumes.extend([empty("model"), claim("claim", name)]);
        }
        ModelSource::Claim { claim: name, .. } => volumes.push(claim("model", name)),
        ModelSource::Url { .. } if is_fetched_first(valid) => volumes.push(empty("model")),
        ModelSource::Url { .. } => {}
    }
    volumes
}

/// An empty folder.
pub(crate) fn empty(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// A claim, to be read.
pub(crate) fn claim(name: &str, claim: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: Some(true),
        }),
        ..Volume::default()
    }
}

fn mounts(valid: &Valid) -> Vec<VolumeMount> {
    let mut mounts = vec![mount("tmp", "/tmp", false)];
    if is_fetched_first(valid) || matches!(valid.source, ModelSource::Claim { .. }) {
        mounts.push(mount("model", MODEL_FOLDER, true));
    }
    mounts
}

pub(crate) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn some_list(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
