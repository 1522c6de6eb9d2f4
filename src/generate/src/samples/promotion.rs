//! Samples of promotions. The Endpoint of the sample `endpoint-stage.yaml` follows the stage `production`.
use super::Sample;

/// The samples.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        file: "model-cluster.yaml",
        head: "A model that this cluster alone knows: its versions are files that pods fetch, and nothing is done in Azure.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Model
metadata:
  name: breast-cancer
spec:
  description: Tells malign from benign tumours.
  versions:
    - version: '1'
      uri: http://models.default.svc/model-v1.onnx
      digest: sha256:@model-v1.onnx@
      format: ONNX
    - version: '2'
      uri: http://models.default.svc/model-v2.onnx
      digest: sha256:@model-v2.onnx@
      format: ONNX
",
    },
    Sample {
        file: "endpoint-stage.yaml",
        head: "Follows the stage production of the Model of `model-cluster.yaml`: a promotion brings the version, and nobody \
            writes this manifest.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Endpoint
metadata:
  name: breast-cancer-production
spec:
  model:
    modelRef:
      name: breast-cancer
      stage: production
    format: ONNX
  resources:
    requests:
      cpu: 100m
      memory: 128Mi
",
    },
    Sample {
        file: "modelpromotion.yaml",
        head: "Brings version 2 to production once its checks have passed and two people have approved it, one of them of the \
            group owners, and not at weekends. Put your own name in place of anna: `kubectl auth whoami` says it.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: ModelPromotion
metadata:
  name: breast-cancer-v2
spec:
  requester: anna
  model:
    name: breast-cancer
    version: '2'
  stages:
    - name: staging
      soak: 30m
    - name: production
      endpointRefs:
        - name: breast-cancer-production
      timeout: 2h
      checks:
        - name: data
          type: DataQuality
          data:
            uri: https://data.example/evaluation.csv
          baseline:
            uri: https://data.example/training.csv
          expect:
            - metric: nullRate
              max: 0.05
            - metric: unseenCategoryRate
              max: 0.01
        - name: bias
          type: ResponsibleAI
          data:
            uri: https://data.example/evaluation.csv
          label: malignant
          positive: '1'
          exclude: [sex]
          sensitiveFeatures: [sex]
          expect:
            - metric: accuracy
              min: 0.9
            - metric: equalOpportunityDifference
              max: 0.1
        - name: load
          type: EndpointPerformance
          mode: Warn
          data:
            uri: https://data.example/requests.csv
          requestsPerSecond: 50
          duration: 2m
          expect:
            - metric: p95LatencySeconds
              max: 0.2
            - metric: errorRate
              max: 0
      freeze:
        - cron: 0 16 * * FRI
          duration: 64h
          timeZone: Europe/Berlin
      approval:
        required: 2
        groups: [owners]
        requiredVoters: [olga]
        expiresAfter: 72h
  supersession: Cancel
",
    },
    Sample {
        file: "approval.yaml",
        head: "A vote on the stage production of the promotion of `modelpromotion.yaml`, as `kubectl mlops approve` writes \
            it. Put your own name in place of olga, and the evidence that the promotion's status shows.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: Approval
metadata:
  name: breast-cancer-v2-production-olga
spec:
  promotion: breast-cancer-v2
  stage: production
  evidence: sha256:0000000000000000000000000000000000000000000000000000000000000000
  decision: Approve
  reason: The error rate in staging is below that of version 1.
  approver: olga
  groups: [owners]
",
    },
];
