//! Samples of every kind: a manifest without comments, explained by the schema's own descriptions.
mod azure;
mod endpoint;
mod promotion;
mod workspace;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::crds::Kind;
use super::{Output, wrapped};

const WIDTH: usize = 100;

struct Sample {
    file: &'static str,
    /// What it shows, and what must be there before it is applied.
    head: &'static str,
    /// The manifest; `@NAME@` stands for the digest of that demo model.
    manifest: &'static str,
}

const SAMPLES: [Sample; 7] = [
    Sample {
        file: "endpoint.yaml",
        head: "Serves an ONNX model over HTTP. `cargo xtask demo` serves the model's file at this address; \
            put the address and the digest of a model of your own in its place.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer
spec:
  model:
    uri: http://models.default.svc/model-v1.onnx
    digest: sha256:@model-v1.onnx@
    format: ONNX
  resources:
    requests:
      cpu: 100m
      memory: 128Mi
  scaling:
    replicas: 2
",
    },
    Sample {
        file: "endpoint-autoscaled.yaml",
        head: "Follows the CPU load between two and ten replicas, which go one by one, and gives up on a rollout after five minutes.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer-autoscaled
spec:
  model:
    uri: http://models.default.svc/model-v1.onnx
    digest: sha256:@model-v1.onnx@
    format: ONNX
  resources:
    requests:
      cpu: 250m
      memory: 256Mi
    limits:
      memory: 512Mi
  scaling:
    minReplicas: 2
    maxReplicas: 10
    target:
      cpuUtilization: 70
    behavior:
      scaleDown:
        stabilizationWindowSeconds: 600
        policies:
          - type: Pods
            value: 1
            periodSeconds: 60
  rollout:
    strategy: RollingUpdate
    progressDeadlineSeconds: 300
",
    },
    Sample {
        file: "endpoint-canary.yaml",
        head: "Lets a new model prove itself before it takes over: first on copies of requests, then on a tenth, \
            then on half of them. Needs the inference gateway, and the chart's value `endpointKeys.enabled`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer-canary
spec:
  model:
    uri: http://models.default.svc/model-v1.onnx
    digest: sha256:@model-v1.onnx@
    format: ONNX
  scaling:
    replicas: 2
  auth:
    mode: Key
  routing:
    stickyHeader: x-customer
    rateLimit:
      requestsPerSecond: 100
  rollout:
    strategy: Canary
    steps:
      - mirror: 20
        hold: 5m
      - traffic: 10
        hold: 5m
      - pause: true
      - traffic: 50
        hold: 10m
    analysis:
      minRequests: 200
      maxErrorRate: 0.01
      maxP95LatencyRatio: 1.2
      maxPredictionDisagreement: 0.05
    onFailure: Rollback
",
    },
    Sample {
        file: "endpoint-gateway-api.yaml",
        head: "Lets a gateway of your own split the requests: the operator writes an HTTPRoute for it. Needs the Gateway \
            API's standard channel, the chart with `gatewayApi.enabled=true` and, to judge, with `prometheusUrl`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer-routed
spec:
  model:
    uri: http://models.default.svc/model-v1.onnx
    digest: sha256:@model-v1.onnx@
    format: ONNX
  scaling:
    replicas: 2
  routing:
    gatewayApi:
      parentRef:
        name: public
        namespace: gateways
        sectionName: https
      url: https://models.example.com
  rollout:
    strategy: Canary
    steps:
      - mirror: 20
        hold: 5m
      - traffic: 10
        hold: 5m
      - traffic: 50
        hold: 10m
    analysis:
      queries:
        - name: errors
          query: sum(rate(gateway_requests_total{service='$revision',code=~'5..'}[2m])) or vector(0)
          max: 0.1
",
    },
    Sample {
        file: "endpoint-claim.yaml",
        head: "Serves an ONNX model from a PersistentVolumeClaim named `models` of the same namespace.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer-claim
spec:
  model:
    uri: pvc://models/breast-cancer/model-v1.onnx
    digest: sha256:@model-v1.onnx@
    format: ONNX
",
    },
    Sample {
        file: "endpoint-container.yaml",
        head: "Serves a model of any other format with a container of your own, which finds the model at \
            `$(MODEL_PATH)` and answers on `$(HTTP_PORT)`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: churn
spec:
  model:
    uri: pvc://models/churn
    format: MLflow
  runtimeRef:
    name: container
  container:
    image: registry.example.com/churn-server:1.4.0
    args:
      - --model=$(MODEL_PATH)
      - --port=$(HTTP_PORT)
    env:
      - name: OMP_NUM_THREADS
        value: '1'
",
    },
    Sample {
        file: "servingruntime.yaml",
        head: "A runtime of one's own: Endpoints of this namespace with the format Triton use it without a `container`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: ServingRuntime
metadata:
  name: triton
spec:
  supportedFormats:
    - Triton
  image: nvcr.io/nvidia/tritonserver:25.10-py3
  command:
    - tritonserver
  args:
    - --model-repository=$(MODEL_PATH)
    - --http-port=$(HTTP_PORT)
    - --grpc-port=$(GRPC_PORT)
  modelDelivery: Mounted
  port: 8000
  grpcPort: 8001
  readinessPath: /v2/health/ready
  livenessPath: /v2/health/live
  startupSeconds: 600
",
    },
];

/// The samples, each checked against its type.
pub(super) fn outputs(root: &Path, kinds: &[Kind]) -> anyhow::Result<Vec<Output>> {
    let digests = root.join("config/models/breast-cancer/digests.txt");
    let digests =
        std::fs::read_to_string(&digests).with_context(|| format!("failed to read {}", digests.display()))?;
    SAMPLES
        .iter()
        .chain(azure::SAMPLES)
        .chain(endpoint::SAMPLES)
        .chain(workspace::SAMPLES)
        .chain(promotion::SAMPLES)
        .map(|sample| output(sample, &digests, kinds))
        .collect()
}

fn output(sample: &Sample, digests: &str, kinds: &[Kind]) -> anyhow::Result<Output> {
    let manifest = with_digests(sample.manifest, digests)?;
    let text = explained(&manifest, kinds).with_context(|| format!("failed to explain {}", sample.file))?;
    let head: Vec<String> =
        wrapped(sample.head, WIDTH).into_iter().map(|line| format!("# {line}\n")).collect();
    let note = "# Made by `cargo xtask gen`. Every field: crds/README.md, or `kubectl explain`.\n";
    Ok(Output::new(format!("config/samples/{}", sample.file), head.concat() + note + &text))
}

/// Puts the digests of the committed models, `DIGEST  FILE` by line, where the manifest names them.
fn with_digests(manifest: &str, digests: &str) -> anyhow::Result<String> {
    let mut text = manifest.to_owned();
    for line in digests.lines() {
        let Some((digest, file)) = line.split_once(char::is_whitespace) else { continue };
        text = text.replace(&format!("@{}@", file.trim()), digest.trim_start_matches("sha256:"));
    }
    if text.contains("sha256:@") {
        bail!("a model of this sample is not in digests.txt: {text}");
    }
    Ok(text)
}

/// The manifest with the description of each field of its spec above it. A field that the schema does not know is an
/// error, because the API server would drop it silently.
pub(super) fn explained(manifest: &str, kinds: &[Kind]) -> anyhow::Result<String> {
    let value: Value = serde_saphyr::from_str(manifest).context("the manifest is not YAML")?;
    let kind =
        kinds.iter().find(|kind| value["kind"] == *kind.name).context("the manifest has no known kind")?;
    let (head, spec) = manifest.split_once("spec:\n").context("the manifest has no spec")?;
    let mut text = format!("{head}spec:\n");
    // The fields that enclose the present line, each with its column.
    let mut path: Vec<(usize, &Value)> = vec![(0, &kind.schema()["properties"]["spec"])];
    for line in spec.lines() {
        let item = line.trim_start();
        let body = item.trim_start_matches("- ");
        let column = line.len() - body.len();
        path.retain(|(enclosing, _)| *enclosing < column);
        let (_, parent) = path.last().context("the spec is not indented")?;
        if let Some((key, _)) = body.split_once(':').filter(|(key, _)| is_key(key)) {
            let schema = field(parent, key).with_context(|| format!("{} has no field {key}", kind.name))?;
            // The keys of a map are the author's own words, so only fields are explained.
            if parent.get("additionalProperties").is_none() {
                text.push_str(&comment(schema, line.len() - item.len()));
            }
            path.push((column, schema));
        }
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

fn comment(schema: &Value, margin: usize) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    wrapped(description, WIDTH.saturating_sub(margin)).iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{:margin$}# {line}", "");
        text
    })
}

fn is_key(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || "-./".contains(character))
}

fn field<'a>(parent: &'a Value, key: &str) -> Option<&'a Value> {
    let parent = parent.get("items").unwrap_or(parent);
    let values = parent.get("additionalProperties").filter(|values| values.is_object());
    parent["properties"].get(key).or(values)
}
