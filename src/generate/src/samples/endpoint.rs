//! Samples of Endpoints in Azure. Each names the MLWorkspace of the sample `mlworkspace.yaml`.
use super::Sample;

/// The samples.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        file: "endpoint-managed-online.yaml",
        head: "Serves a registered model on two virtual machines that Azure manages, and writes the address and the keys \
            into a Secret. Set `target.type` to `Kubernetes`, and remove what applies to Azure, to move the model here.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: churn-managed
spec:
  target:
    type: ManagedOnline
    workspaceRef:
      name: churn-dev
    instanceType: Standard_DS3_v2
    environment:
      image: registry.example.com/churn-server:1.4.0
      livenessRoute:
        path: /v2/health/live
        port: 8080
      readinessRoute:
        path: /v2/health/ready
        port: 8080
      scoringRoute:
        path: /v2/models/churn/infer
        port: 8080
    requestSettings:
      maxConcurrentRequestsPerInstance: 4
      requestTimeout: PT5S
    dataCollector:
      collections:
        model_inputs:
          dataCollectionMode: Enabled
          samplingRate: 0.1
  model:
    uri: azureml://registries/contoso/models/churn/versions/7
    format: ONNX
  scaling:
    replicas: 2
  auth:
    mode: Key
  export:
    secretName: churn-scoring
",
    },
    Sample {
        file: "endpoint-managed-canary.yaml",
        head: "Lets a new version of a registered model take over step by step on virtual machines that Azure manages: \
            first on copies of requests, then on a tenth once a person has agreed, then on half of them. Each step is judged by \
            the metrics of Azure Monitor. The version before is kept for an hour, so that a person can go back to it at once.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: churn-canary
spec:
  target:
    type: ManagedOnline
    workspaceRef:
      name: churn-dev
    instanceType: Standard_DS3_v2
    environment:
      image: registry.example.com/churn-server:1.4.0
      livenessRoute:
        path: /v2/health/live
        port: 8080
      readinessRoute:
        path: /v2/health/ready
        port: 8080
      scoringRoute:
        path: /v2/models/churn/infer
        port: 8080
  model:
    uri: azureml://registries/contoso/models/churn/versions/7
    format: ONNX
  scaling:
    replicas: 2
  rollout:
    strategy: Canary
    steps:
      - mirror: 20
        hold: 30m
      - pause: true
      - traffic: 10
        hold: 1h
      - traffic: 50
        hold: 1h
    analysis:
      minRequests: 200
      maxErrorRate: 0.01
      maxP95LatencyRatio: 1.5
    onFailure: Rollback
    scaleDownDelaySeconds: 3600
",
    },
    Sample {
        file: "endpoint-managed-batch.yaml",
        head: "Scores files by jobs on the Compute of the sample `compute.yaml`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: churn-batch
spec:
  mode: Batch
  target:
    type: ManagedBatch
    workspaceRef:
      name: churn-dev
    computeRef:
      name: cpu-cluster
  model:
    uri: azureml://registries/contoso/models/churn/versions/7
    format: MLflow
  batch:
    miniBatchSize: 10
    outputAction: AppendRow
    outputFileName: scores.csv
    retrySettings:
      maxRetries: 3
      timeout: PT30S
",
    },
    Sample {
        file: "endpoint-arc.yaml",
        head: "Serves the Model `churn` on a Kubernetes cluster that is attached to the workspace, between two and five \
            instances.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: churn-arc
spec:
  target:
    type: ArcKubernetes
    workspaceRef:
      name: churn-dev
    computeRef:
      name: factory
  model:
    modelRef:
      name: churn
    format: ONNX
  resources:
    requests:
      cpu: '1'
      memory: 2Gi
  scaling:
    minReplicas: 2
    maxReplicas: 5
    target:
      cpuUtilization: 70
",
    },
];
