//! Samples of workspaces and registries.
use super::Sample;

/// The samples.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        file: "mlworkspace.yaml",
        head: "A workspace for development in a resource group that exists, with what it stands on. The datastore and the \
            connection need the Secret `churn-sources` with the keys `storage-key` and `git-token`.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: MLWorkspace
metadata:
  name: churn-dev
spec:
  environment: Development
  resourceGroup: churn
  location: westeurope
  friendlyName: Churn, development
  tags:
    team: churn
  storageAccount:
    create:
      sku: Standard_LRS
  keyVault:
    create:
      tenantId: 00000000-0000-0000-0000-000000000000
  applicationInsights:
    create:
      retentionInDays: 30
  containerRegistry:
    create:
      sku: Standard
  identity:
    type: SystemAssigned
  publicNetworkAccess: Enabled
  managedNetwork:
    isolationMode: AllowOnlyApprovedOutbound
    outboundRules:
      - name: packages
        type: FQDN
        fqdn: '*.packages.example.com'
  systemDatastoresAuthMode: AccessKey
  datastores:
    - name: customers
      type: AzureBlob
      accountName: churnsource
      containerName: customers
      credentials:
        accountKey:
          name: churn-sources
          key: storage-key
  connections:
    - name: code
      category: Git
      target: https://git.example.com/churn
      authType: PAT
      secrets:
        - field: pat
          valueFrom:
            name: churn-sources
            key: git-token
  softDelete:
    onDelete: SoftDelete
  export:
    configMapName: churn-dev-workspace
",
    },
    Sample {
        file: "mlworkspace-production.yaml",
        head: "A workspace for production on accounts that exist. Deleting this object leaves everything in Azure.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: MLWorkspace
metadata:
  name: churn-prod
spec:
  environment: Production
  management:
    adoption: IfUnowned
    deletion: Orphan
  resourceGroup: churn-prod
  location: westeurope
  storageAccount:
    id: /subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/churn-prod/providers/Microsoft.Storage/storageAccounts/churnprod
  keyVault:
    id: /subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/churn-prod/providers/Microsoft.KeyVault/vaults/churn-prod
  publicNetworkAccess: Disabled
  diagnosticSettings:
    - name: audit
      workspaceId: /subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/audit
      logs:
        - categoryGroup: audit
          enabled: true
",
    },
    Sample {
        file: "modelregistry.yaml",
        head: "A registry that workspaces in two regions share.",
        manifest: r"apiVersion: mlops-operator.dev/v1alpha1
kind: ModelRegistry
metadata:
  name: contoso-models
spec:
  resourceGroup: models
  location: westeurope
  regionDetails:
    - location: westeurope
      storageAccount:
        storageAccountType: Standard_GRS
    - location: northeurope
  publicNetworkAccess: Enabled
  export:
    configMapName: contoso-models-registry
",
    },
];
