//! Samples of the kinds that have resources in Azure. Each names the MLWorkspace of the sample `mlworkspace.yaml`.
use super::Sample;

/// The samples.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        file: "compute.yaml",
        head: "A cluster of machines in Azure that grows to four when jobs wait, and costs nothing when none do.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Compute
metadata:
  name: cpu-cluster
spec:
  workspaceRef:
    name: churn-dev
  type: AmlCompute
  amlCompute:
    vmSize: Standard_DS3_v2
    vmPriority: LowPriority
    scaleSettings:
      minNodeCount: 0
      maxNodeCount: 4
      nodeIdleTimeBeforeScaleDown: PT5M
  identity:
    type: SystemAssigned
  tags:
    team: churn
",
    },
    Sample {
        file: "compute-instance.yaml",
        head: "One person's machine, which stops in the evening and after half an hour without work. Put the ids of \
            the person and of your tenant in their places.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Compute
metadata:
  name: anna-workbench
spec:
  workspaceRef:
    name: churn-dev
  type: ComputeInstance
  computeInstance:
    vmSize: Standard_DS3_v2
    assignedUser:
      objectId: 00000000-0000-0000-0000-0000000000aa
      tenantId: 00000000-0000-0000-0000-00000000000f
    schedules:
      - action: Stop
        cron:
          expression: 0 18 * * MON-FRI
          timeZone: W. Europe Standard Time
    idleTimeBeforeShutdown: PT30M
",
    },
    Sample {
        file: "compute-kubernetes.yaml",
        head: "Attaches a Kubernetes cluster that Azure Arc connects, and installs the extension of Azure Machine \
            Learning on it when it is not there. Put the id of your cluster in its place.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Compute
metadata:
  name: factory
spec:
  workspaceRef:
    name: churn-dev
  type: Kubernetes
  kubernetes:
    clusterId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/edge/providers/Microsoft.Kubernetes/connectedClusters/factory
    namespace: azureml-workloads
    extension:
      enableTraining: true
      enableInference: true
      inferenceRouterServiceType: LoadBalancer
      sslSecret: scoring-certificate
      sslCname: scoring.example.com
      inferenceRouterHA: false
    defaultInstanceType: small
    instanceTypes:
      small:
        nodeSelector:
          pool: ml
        resources:
          requests:
            cpu: 500m
            memory: 1Gi
          limits:
            cpu: '2'
            memory: 4Gi
",
    },
    Sample {
        file: "dataasset.yaml",
        head: "Names the folder of a datastore as version 2026-01 of a data set. For data of the next month, change \
            both `version` and `uri`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: DataAsset
metadata:
  name: churn-events
spec:
  workspaceRef:
    name: churn-dev
  version: '2026-01'
  type: Folder
  uri: azureml://datastores/workspaceblobstore/paths/churn/2026-01/
  description: Events of customers in January
  tags:
    team: churn
  management:
    deletion: Archive
",
    },
    Sample {
        file: "model.yaml",
        head: "Registers two versions of a model. The second names the environment and the code that serve it, \
            which are registered before it.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Model
metadata:
  name: churn
spec:
  workspaceRef:
    name: churn-dev
  description: Who is about to leave
  management:
    deletion: Archive
  versions:
    - version: '1'
      uri: azureml://datastores/workspaceblobstore/paths/models/churn/1/model.onnx
      format: ONNX
      digest: sha256:@model-v1.onnx@
    - version: '2'
      uri: azureml://jobs/churn-train-42/outputs/artifacts/paths/model
      format: MLflow
      stage: Staging
      environment:
        name: churn-scoring
        version: '2'
        image: contoso.azurecr.io/churn-scoring:2
        condaFile: '{channels: [conda-forge], dependencies: [python=3.11, scikit-learn=1.5]}'
      code:
        uri: https://churndev.blob.core.windows.net/code/churn/2
        scoringScript: score.py
",
    },
];
