//! An Endpoint parsed into a form that can't be invalid, or the sentence that says why it can't.
use std::collections::BTreeMap;

use api::endpoint::{Auth, Capture, GatewayApi, Resources, RolloutStrategy, Routing, ScalingBehavior};
use api::meta::{EnvironmentVariable, ModelFormat};
use api::{EndpointSpec, Reason, ServingRuntimeSpec};

use super::{RuntimeFacts, World, autoscaler, keys, load, model_uri};
pub use crate::azure::Refusal;
use crate::quantity;
use crate::settings::{Gateway, Settings};

/// Amounts of resources, by name.
type Amounts = BTreeMap<String, String>;

/// The longest address that a status holds.
const URL_LIMIT: usize = 1024;

/// A valid Endpoint: the API server has no reason to refuse the objects built from it.
#[derive(Clone, Debug)]
pub(super) struct Valid<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) format: ModelFormat,
    pub(super) source: ModelSource<'a>,
    pub(super) digest: Option<&'a str>,
    /// The Secret with what opens the model's store.
    pub(super) credentials: Option<&'a str>,
    /// The client id of a managed identity that the pods have.
    pub(super) identity: Option<&'a str>,
    pub(super) runtime: &'a ServingRuntimeSpec,
    pub(super) container: Container<'a>,
    pub(super) requests: Amounts,
    pub(super) limits: Amounts,
    pub(super) replicas: Replicas,
    pub(super) behavior: Option<&'a ScalingBehavior>,
    pub(super) strategy: RolloutStrategy,
    pub(super) progress_deadline_seconds: i32,
    /// The inference gateway, when requests come through it.
    pub(super) gateway: Option<&'a Gateway>,
    /// The gateway of the user's own, when requests come through it.
    pub(super) own_gateway: Option<&'a GatewayApi>,
    /// What decides about requests.
    pub(super) traffic: Traffic<'a>,
    pub(super) settings: &'a Settings,
}

/// What the spec says about requests.
#[derive(Clone, Debug)]
pub(super) struct Traffic<'a> {
    pub(super) auth: Option<&'a Auth>,
    pub(super) routing: Option<&'a Routing>,
    pub(super) capture: Option<&'a Capture>,
    /// SHA-256 digests of the keys, in hexadecimal.
    pub(super) keys: Vec<String>,
}

/// Where a model lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ModelSource<'a> {
    Url { uri: &'a str, port: u16 },
    Claim { claim: &'a str, path: &'a str },
}

impl ModelSource<'_> {
    /// The URI without a query, which may hold a signature, for people to read.
    pub(super) fn display(&self) -> String {
        match self {
            Self::Url { uri, .. } => uri.split(['?', '#']).next().unwrap_or(uri).to_owned(),
            Self::Claim { claim, path } => format!("pvc://{claim}/{path}"),
        }
    }

    /// The last part of the path, when it can be a file name on its own.
    pub(crate) fn file_name(&self) -> &str {
        let path = match self {
            Self::Url { uri, .. } => uri.split(['?', '#']).next().unwrap_or(uri),
            Self::Claim { path, .. } => path,
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        // A URL without a path ends with its host.
        let is_host = matches!(self, Self::Url { .. }) && path.matches('/').count() <= 2;
        let usable = !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain);
        if usable && !is_host { name } else { "model" }
    }
}

impl Valid<'_> {
    /// The address that answers requests: the gateway's when they come through it, else the Service's. Where a gateway of
    /// the user's own has its address, only the user knows.
    pub(super) fn url(&self) -> Option<String> {
        let path = self.inference_path();
        let shared = |root: &str| format!("{root}/endpoints/{}/{}{path}", self.namespace, self.name);
        let Some(own) = self.own_gateway else {
            return Some(match self.gateway {
                Some(gateway) => shared(&gateway.url),
                None => format!("http://{}.{}.svc{path}", self.name, self.namespace),
            });
        };
        let host = self.traffic.routing.and_then(|routing| routing.hosts.first());
        match (&own.url, host) {
            (Some(root), None) => Some(shared(root)),
            (Some(root), Some(_)) => Some(format!("{root}{path}")),
            (None, Some(host)) => Some(format!("http://{host}{path}")),
            (None, None) => None,
        }
    }

    /// Where a pod answers requests.
    pub(super) fn inference_path(&self) -> String {
        self.runtime.inference_path.replace("{name}", self.name)
    }
}

/// The container that serves the model.
#[derive(Clone, Debug)]
pub(super) struct Container<'a> {
    pub(super) image: &'a str,
    pub(super) command: &'a [String],
    pub(super) args: &'a [String],
    pub(super) env: Vec<&'a EnvironmentVariable>,
}

/// How many pods there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Replicas {
    Fixed(i32),
    Range {
        min: i32,
        max: i32,
        cpu_utilization: i32,
    },
    /// An autoscaler of somebody else's sets the number.
    Elsewhere {
        min: i32,
    },
}

impl Replicas {
    pub(super) fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// The fewest pods that make the Endpoint ready.
    pub(super) fn minimum(self) -> i32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Range { min, .. } | Self::Elsewhere { min } => min,
        }
    }
}

/// Parses an Endpoint and what it refers to.
pub(super) fn validate(world: &World) -> Result<Valid<'_>, Refusal> {
    let spec = &world.endpoint.spec;
    let namespace = world.endpoint.metadata.namespace.as_deref().unwrap_or_default();
    let runtime = runtime(world, spec, namespace)?;
    let (requests, limits) = amounts(&spec.resources)?;
    let (uri, digest) = model(world)?;
    let own_gateway = own_gateway(world, spec, namespace)?;
    let gateway = if own_gateway.is_some() { None } else { gateway(world, spec, namespace)? };
    let valid = Valid {
        name: world.endpoint.metadata.name.as_deref().unwrap_or_default(),
        namespace,
        uid: world.endpoint.metadata.uid.as_deref().unwrap_or_default(),
        format: spec.model.format,
        source: source(uri)?,
        digest: spec.model.digest.as_deref().or(digest),
        credentials: spec.model.credentials_ref.as_ref().map(|secret| secret.name.as_str()),
        identity: spec.model.workload_identity_client_id.as_deref(),
        runtime: &runtime.spec,
        container: container(spec, runtime)?,
        requests,
        limits,
        replicas: replicas(world),
        behavior: spec.scaling.behavior.as_ref(),
        strategy: spec.rollout.strategy,
        progress_deadline_seconds: spec.rollout.progress_deadline_seconds,
        gateway,
        own_gateway,
        traffic: Traffic {
            auth: spec.auth.as_ref(),
            routing: spec.routing.as_ref(),
            capture: spec.capture.as_ref(),
            keys: keys::digests(world)?,
        },
        settings: &world.settings,
    };
    if valid.url().is_some_and(|url| url.len() > URL_LIMIT) {
        let message = format!(
            "the address made from the ServingRuntime's inferencePath is longer than {URL_LIMIT} characters: shorten spec.inferencePath of ServingRuntime {}",
            runtime.name
        );
        return Err(Refusal { reason: Reason::RuntimeUnsuitable, message });
    }
    Ok(valid)
}

/// The inference gateway, when the spec asks for what only it can do.
fn gateway<'a>(
    world: &'a World,
    spec: &EndpointSpec,
    namespace: &str,
) -> Result<Option<&'a Gateway>, Refusal> {
    let asks = [
        (spec.rollout.strategy.is_progressive(), "spec.rollout.strategy"),
        (spec.auth.is_some(), "spec.auth"),
        (spec.routing.is_some(), "spec.routing"),
        (spec.capture.is_some(), "spec.capture"),
        (load::is_measured(spec), "spec.scaling.target"),
    ];
    let Some((_, field)) = asks.into_iter().find(|(asks, _)| *asks) else { return Ok(None) };
    let Some(gateway) = &world.settings.gateway else {
        let reason = Reason::GatewayNeeded;
        let message = format!(
            "{field} needs the inference gateway, which is not installed: install the chart with gateway.enabled=true, or remove the field"
        );
        return Err(Refusal { reason, message });
    };
    hosts(spec, namespace, gateway.domain.as_deref())?;
    if let Some(capture) = &spec.capture {
        let within = |store: &&String| {
            let store = store.trim_end_matches('/');
            let rest = capture.store.uri.strip_prefix(store);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !gateway.capture_stores.iter().any(|store| within(&store)) {
            let message = format!(
                "spec.capture.store.uri names {}, which the chart does not list (gateway.capture.stores): {}",
                capture.store.uri,
                match gateway.capture_stores.as_slice() {
                    [] => "it lists none".to_owned(),
                    stores => format!("use a folder of {}", stores.join(" or ")),
                }
            );
            return Err(Refusal { reason: Reason::Invalid, message });
        }
    }
    Ok(Some(gateway))
}

/// The gateway of the user's own, when the spec names one.
fn own_gateway<'a>(
    world: &'a World,
    spec: &'a EndpointSpec,
    namespace: &str,
) -> Result<Option<&'a GatewayApi>, Refusal> {
    let Some(own) = spec.routing.as_ref().and_then(|routing| routing.gateway_api.as_ref()) else {
        return Ok(None);
    };
    let missing = |what: &str| {
        let message = format!("spec.routing.gatewayApi needs {what}, or remove the field");
        Refusal { reason: Reason::GatewayApiNeeded, message }
    };
    let Some(settings) = &world.settings.gateway_api else {
        return Err(missing(
            "the operator's right to write HTTPRoutes: install the chart with gatewayApi.enabled=true",
        ));
    };
    if !world.knows_http_routes {
        return Err(missing(
            "a kind that this cluster does not know: install the Gateway API's standard channel CRDs (HTTPRoute gateway.networking.k8s.io/v1)",
        ));
    }
    // The operator writes in its own name what a tenant may be barred from writing. The Gateway's owner decides who may
    // attach which host name; where that is not enough, the chart narrows it.
    if settings.domain.is_some() {
        hosts(spec, namespace, settings.domain.as_deref())?;
    }
    Ok(Some(own))
}

/// Refuses host names beyond those that a domain gives to a namespace.
fn hosts(spec: &EndpointSpec, namespace: &str, domain: Option<&str>) -> Result<(), Refusal> {
    let hosts = spec.routing.as_ref().map(|routing| routing.hosts.as_slice()).unwrap_or_default();
    let end = domain.map(|domain| format!(".{namespace}.{domain}"));
    let is_beyond = |host: &&String| end.as_ref().is_none_or(|end| !host.ends_with(end.as_str()));
    let Some(host) = hosts.iter().find(is_beyond) else { return Ok(()) };
    let allowed = end.as_ref().map_or_else(
        || "the chart gives none to anybody (gateway.domain)".to_owned(),
        |end| format!("those of this namespace end in {end}"),
    );
    let message = format!("spec.routing.hosts may not name {host}: {allowed}");
    Err(Refusal { reason: Reason::Invalid, message })
}

/// Where the model lies, and the digest that its registration gives.
fn model(world: &World) -> Result<(&str, Option<&str>), Refusal> {
    let spec = &world.endpoint.spec;
    if !model_uri::is_registered(spec) {
        return Ok((&spec.model.uri, None));
    }
    match &world.model {
        Some(Ok(model)) => Ok((&model.url, model.digest.as_deref())),
        Some(Err(refusal)) => Err(refusal.clone()),
        None => Err(Refusal {
            reason: Reason::DependencyNotReady,
            message: format!(
                "Azure has not told yet where the model {} lies",
                model_uri::display(&spec.model)
            ),
        }),
    }
}

fn runtime<'a>(world: &'a World, spec: &EndpointSpec, namespace: &str) -> Result<&'a RuntimeFacts, Refusal> {
    let format = spec.model.format;
    let operator_namespace = &world.settings.operator_namespace;
    let among = |place: &str, fits: &dyn Fn(&RuntimeFacts) -> bool| {
        let mut fitting: Vec<&RuntimeFacts> =
            world.runtimes.iter().filter(|runtime| runtime.namespace == place && fits(runtime)).collect();
        fitting.sort_by(|left, right| left.name.cmp(&right.name));
        fitting.into_iter().next()
    };
    let find = |fits: &dyn Fn(&RuntimeFacts) -> bool| {
        among(namespace, fits).or_else(|| among(operator_namespace, fits))
    };
    let Some(reference) = &spec.runtime_ref else {
        return find(&|runtime| runtime.spec.supported_formats.contains(&format)).ok_or_else(|| Refusal {
            reason: Reason::RuntimeNotFound,
            message: format!(
                "no ServingRuntime supports the format {}: create one in namespace {namespace}, or install the chart with its default runtimes",
                format.name()
            ),
        });
    };
    let runtime = find(&|runtime| runtime.name == reference.name).ok_or_else(|| Refusal {
        reason: Reason::RuntimeNotFound,
        message: format!(
            "ServingRuntime {} exists neither in namespace {namespace} nor among the defaults in {operator_namespace}: create it, or correct spec.runtimeRef",
            reference.name
        ),
    })?;
    if !runtime.spec.supported_formats.contains(&format) {
        let supported: Vec<&str> =
            runtime.spec.supported_formats.iter().map(|format| format.name()).collect();
        let message = format!(
            "ServingRuntime {} serves {}, not {}: correct spec.model.format or spec.runtimeRef",
            runtime.name,
            supported.join(", "),
            format.name()
        );
        return Err(Refusal { reason: Reason::RuntimeUnsuitable, message });
    }
    Ok(runtime)
}

fn container<'a>(spec: &'a EndpointSpec, runtime: &'a RuntimeFacts) -> Result<Container<'a>, Refusal> {
    let own = spec.container.as_ref();
    let image = own.and_then(|own| own.image.as_deref()).or(runtime.spec.image.as_deref()).ok_or_else(|| Refusal {
        reason: Reason::RuntimeUnsuitable,
        message: format!(
            "ServingRuntime {} names no image: set spec.container.image to the image that serves the model",
            runtime.name
        ),
    })?;
    let command = own.map(|own| own.command.as_slice()).filter(|command| !command.is_empty());
    let args = own.map(|own| own.args.as_slice()).filter(|args| !args.is_empty());
    let own_env = own.map(|own| own.env.as_slice()).unwrap_or_default();
    let inherited =
        runtime.spec.env.iter().filter(|variable| !own_env.iter().any(|own| own.name == variable.name));
    Ok(Container {
        image,
        command: command.unwrap_or(&runtime.spec.command),
        args: args.unwrap_or(&runtime.spec.args),
        env: inherited.chain(own_env).collect(),
    })
}

pub(crate) fn source(uri: &str) -> Result<ModelSource<'_>, Refusal> {
    if let Some(rest) = uri.strip_prefix("pvc://") {
        let (claim, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_claim_name(claim) {
            let message = format!(
                "spec.model.uri names the claim '{claim}': use the name of a PersistentVolumeClaim of this namespace"
            );
            return Err(Refusal { reason: Reason::Invalid, message });
        }
        return Ok(ModelSource::Claim { claim, path: path.trim_matches('/') });
    }
    if uri.starts_with("az://") || uri.starts_with("abfss://") {
        return Ok(ModelSource::Url { uri, port: 443 });
    }
    let (rest, default_port) = match (uri.strip_prefix("https://"), uri.strip_prefix("http://")) {
        (Some(rest), _) => (rest, 443),
        (_, Some(rest)) => (rest, 80),
        _ => {
            let message =
                "spec.model.uri must start with https://, http://, pvc://, az:// or abfss://".to_owned();
            return Err(Refusal { reason: Reason::Invalid, message });
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let port = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => {
            port.parse().ok().filter(|number| *number > 0).ok_or_else(|| Refusal {
                reason: Reason::Invalid,
                message: format!("spec.model.uri names the port '{port}': use a number from 1 to 65535"),
            })?
        }
        _ => default_port,
    };
    Ok(ModelSource::Url { uri, port })
}

/// Whether a name is a DNS subdomain, as the API server asks of claims.
fn is_claim_name(name: &str) -> bool {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.');
    let part = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-');
    name.len() <= 253 && name.chars().all(plain) && name.split('.').all(part)
}

fn replicas(world: &World) -> Replicas {
    let scaling = &world.endpoint.spec.scaling;
    if let Some(other) = autoscaler::of_pods(world) {
        // It may let the last pod go.
        return Replicas::Elsewhere { min: autoscaler::replicas(world, other).min(1) };
    }
    if let Some(scaled) = load::scale(world) {
        return Replicas::Fixed(scaled.replicas);
    }
    match scaling.max_replicas {
        Some(max) => Replicas::Range {
            min: scaling.min_replicas.unwrap_or(1),
            max,
            cpu_utilization: scaling.target.as_ref().and_then(|it| it.cpu_utilization).unwrap_or(70),
        },
        None => Replicas::Fixed(scaling.replicas.unwrap_or(1)),
    }
}

/// Requests and limits with their defaults: a limit alone is also the request, memory is limited to its request, and
/// a device, whose name has a domain, is requested and limited alike.
pub(crate) fn amounts(resources: &Resources) -> Result<(Amounts, Amounts), Refusal> {
    let (mut requests, mut limits) = (resources.requests.clone(), resources.limits.clone());
    for (name, limit) in &limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    requests.entry("cpu".into()).or_insert_with(|| "100m".into());
    requests.entry("memory".into()).or_insert_with(|| "256Mi".into());
    for (name, request) in &requests {
        if name == "memory" || name.contains('/') {
            limits.entry(name.clone()).or_insert_with(|| request.clone());
        }
    }
    let uneven = requests
        .iter()
        .find(|(name, amount)| name.contains('/') && !quantity::equal(amount, &limits[name.as_str()]));
    match uneven {
        None => Ok((requests, limits)),
        Some((name, _)) => {
            let message =
                format!("spec.resources must request as much of {name} as it limits: a device is not shared");
            Err(Refusal { reason: Reason::Invalid, message })
        }
    }
}
