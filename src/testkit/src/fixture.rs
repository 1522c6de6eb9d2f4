//! Endpoints, ServingRuntimes and settings in one line each.
use api::endpoint::{ContainerOverride, RolloutStrategy, RuntimeReference, ScalingTarget};
use api::meta::{EnvironmentVariable, ModelFormat};
use api::{Endpoint, EndpointSpec, ServingRuntimeSpec};
use jiff::Timestamp;
use plan::endpoint::RuntimeFacts;
use plan::settings::{Gateway, GatewayApi, Settings};
use serde_json::{Value, json};

/// The namespace of every fixture.
pub const NAMESPACE: &str = "team";
/// The namespace of the default runtimes.
pub const OPERATOR_NAMESPACE: &str = "mlops-system";
/// A digest that is well formed.
pub const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The time at which every world begins.
pub fn now() -> Timestamp {
    Timestamp::constant(1_767_225_600, 0)
}

/// What the operator was started with.
pub fn settings() -> Settings {
    Settings {
        operator_namespace: OPERATOR_NAMESPACE.to_owned(),
        model_server_image: "mlops-model-server:test".to_owned(),
        model_allowed_hosts: Vec::new(),
        gateway: Some(Gateway {
            url: "http://mlops-gateway.mlops-system.svc".to_owned(),
            namespace: OPERATOR_NAMESPACE.to_owned(),
            domain: Some("models.example".to_owned()),
            capture_stores: vec!["https://telemetry.blob.core.windows.net/captures".to_owned()],
        }),
        gateway_api: Some(GatewayApi::default()),
    }
}

/// The runtimes that the chart installs.
pub fn runtimes() -> Vec<RuntimeFacts> {
    let onnx = json!({
        "supportedFormats": ["ONNX"],
        "image": "mlops-model-server:test",
        "modelDelivery": "Fetched",
        "args": [
            "--model-uri=$(MODEL_URI)", "--model-name=$(MODEL_NAME)", "--model-digest=$(MODEL_DIGEST)",
            "--http=0.0.0.0:$(HTTP_PORT)",
        ],
    });
    let container = json!({"supportedFormats": ["MLflow", "Triton", "Custom"], "modelDelivery": "Mounted"});
    [("container", container), ("onnx", onnx)]
        .into_iter()
        .filter_map(|(name, spec)| runtime(OPERATOR_NAMESPACE, name, spec))
        .collect()
}

/// A runtime from its spec as it stands in a manifest; none when the spec is malformed.
pub fn runtime(namespace: &str, name: &str, spec: Value) -> Option<RuntimeFacts> {
    let spec: ServingRuntimeSpec = serde_json::from_value(spec).ok()?;
    Some(RuntimeFacts { namespace: namespace.to_owned(), name: name.to_owned(), spec })
}

/// An Endpoint under construction: an ONNX model from a URL, everything else at its default.
pub fn endpoint(name: &str) -> EndpointFixture {
    let model = api::endpoint::ModelReference {
        uri: format!("https://models.example/{name}/1/model.onnx"),
        model_ref: None,
        workspace_ref: None,
        registry_ref: None,
        digest: None,
        format: ModelFormat::Onnx,
        credentials_ref: None,
        workload_identity_client_id: None,
    };
    let spec = EndpointSpec {
        azure: api::azure::AzureAccess::default(),
        management: api::azure::Management::default(),
        mode: api::endpoint::EndpointMode::default(),
        target: api::endpoint::Target::default(),
        model,
        runtime_ref: None,
        container: None,
        resources: api::endpoint::Resources::default(),
        scaling: api::endpoint::Scaling::default(),
        rollout: api::endpoint::Rollout::default(),
        auth: None,
        routing: None,
        capture: None,
        batch: None,
        export: None,
    };
    let mut endpoint = Endpoint::new(name, spec);
    endpoint.metadata.namespace = Some(NAMESPACE.to_owned());
    endpoint.metadata.uid = Some(format!("{name}-uid-1"));
    endpoint.metadata.generation = Some(1);
    EndpointFixture(endpoint)
}

/// An Endpoint under construction.
#[derive(Clone, Debug)]
#[must_use]
pub struct EndpointFixture(Endpoint);

impl From<Endpoint> for EndpointFixture {
    fn from(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }
}

impl EndpointFixture {
    /// An ONNX model.
    pub fn onnx(self, uri: &str) -> Self {
        self.model(ModelFormat::Onnx, uri)
    }

    /// A model in any format.
    pub fn model(mut self, format: ModelFormat, uri: &str) -> Self {
        self.0.spec.model.format = format;
        uri.clone_into(&mut self.0.spec.model.uri);
        self
    }

    /// The digest that the model must have.
    pub fn digest(mut self, digest: &str) -> Self {
        self.0.spec.model.digest = Some(digest.to_owned());
        self
    }

    /// The Secret that opens the model's store.
    pub fn credentials(mut self, secret: &str) -> Self {
        self.0.spec.model.credentials_ref = Some(api::azure::LocalReference { name: secret.to_owned() });
        self
    }

    /// The managed identity that the pods have.
    pub fn identity(mut self, client: &str) -> Self {
        self.0.spec.model.workload_identity_client_id = Some(client.to_owned());
        self
    }

    /// The runtime by name.
    pub fn runtime(mut self, name: &str) -> Self {
        self.0.spec.runtime_ref = Some(RuntimeReference { name: name.to_owned() });
        self
    }

    /// An image of its own.
    pub fn image(mut self, image: &str) -> Self {
        self.container().image = Some(image.to_owned());
        self
    }

    /// An environment variable of its own.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let variable = EnvironmentVariable { name: name.to_owned(), value: value.to_owned() };
        self.container().env.push(variable);
        self
    }

    fn container(&mut self) -> &mut ContainerOverride {
        self.0.spec.container.get_or_insert_default()
    }

    /// A fixed number of replicas.
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.0.spec.scaling =
            api::endpoint::Scaling { replicas: Some(replicas), ..api::endpoint::Scaling::default() };
        self
    }

    /// A range of replicas that follows the CPU use.
    pub fn range(mut self, min: i32, max: i32) -> Self {
        self.0.spec.scaling = api::endpoint::Scaling {
            replicas: None,
            min_replicas: Some(min),
            max_replicas: Some(max),
            target: Some(ScalingTarget { cpu_utilization: Some(60), ..ScalingTarget::default() }),
            behavior: None,
        };
        self
    }

    /// A request of a resource.
    pub fn request(mut self, name: &str, amount: &str) -> Self {
        self.0.spec.resources.requests.insert(name.to_owned(), amount.to_owned());
        self
    }

    /// A limit of a resource.
    pub fn limit(mut self, name: &str, amount: &str) -> Self {
        self.0.spec.resources.limits.insert(name.to_owned(), amount.to_owned());
        self
    }

    /// The old revision stops before the new one starts.
    pub fn recreate(mut self) -> Self {
        self.0.spec.rollout.strategy = RolloutStrategy::Recreate;
        self
    }

    /// Revisions take over step by step, each step a `{mirror, traffic, hold, pause}` of a manifest.
    pub fn canary(mut self, steps: &Value) -> Self {
        self.0.spec.rollout.strategy = RolloutStrategy::Canary;
        self.0.spec.rollout.steps = serde_json::from_value(steps.clone()).unwrap_or_default();
        self
    }

    /// What a new revision must prove, as in a manifest.
    pub fn analysis(mut self, analysis: &Value) -> Self {
        self.0.spec.rollout.analysis = serde_json::from_value(analysis.clone()).ok();
        self
    }

    /// How gateways treat requests, as in a manifest.
    pub fn routing(mut self, routing: &Value) -> Self {
        self.0.spec.routing = serde_json::from_value(routing.clone()).ok();
        self
    }

    /// How callers prove who they are, as in a manifest.
    pub fn auth(mut self, auth: &Value) -> Self {
        self.0.spec.auth = serde_json::from_value(auth.clone()).ok();
        self
    }

    /// The finished object.
    pub fn build(self) -> Endpoint {
        self.0
    }
}
