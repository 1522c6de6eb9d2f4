//! The table of resource types that are managed or read.

/// What has to be known of a resource type to compare, write and own its resources.
#[derive(Debug, Eq, PartialEq)]
pub struct ResourceType {
    /// Its name, such as `Microsoft.MachineLearningServices/workspaces/computes`.
    pub name: &'static str,
    /// The version of the API by which it is read and written.
    pub api_version: &'static str,
    /// Where a resource says whose it is.
    pub owner: OwnerAt,
    /// Fields that can't be changed once the resource exists, as JSON pointers.
    pub create_only: &'static [&'static str],
    /// Fields that are never read back, as JSON pointers.
    pub write_only: &'static [&'static str],
    /// Fields that can only be read, beside those that every resource has, as JSON pointers.
    pub read_only: &'static [&'static str],
    /// Maps and lists that are compared and written as a whole, as JSON pointers: what is not wanted in them goes.
    pub whole: &'static [&'static str],
    /// Whether resources of this type are listed with all that a read of one of them gives.
    pub listed: bool,
}

/// Where a resource says whose it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnerAt {
    /// In `tags`.
    Tags,
    /// In `properties.tags`.
    PropertiesTags,
    /// In `properties.metadata`.
    PropertiesMetadata,
    /// Nowhere: it belongs to whoever owns what it is a part of.
    Parent,
    /// Nowhere: it is shared, so that it is only made when absent, and never deleted.
    Shared,
}

impl OwnerAt {
    /// The JSON pointer of the map that holds the owner.
    pub const fn pointer(self) -> Option<&'static str> {
        match self {
            Self::Tags => Some("/tags"),
            Self::PropertiesTags => Some("/properties/tags"),
            Self::PropertiesMetadata => Some("/properties/metadata"),
            Self::Parent | Self::Shared => None,
        }
    }
}

const MACHINE_LEARNING: &str = "2025-12-01";

const PLAIN: ResourceType = ResourceType {
    name: "",
    api_version: MACHINE_LEARNING,
    owner: OwnerAt::Tags,
    create_only: &["/location"],
    write_only: &[],
    read_only: &[],
    whole: &[],
    listed: true,
};

const ASSET: ResourceType = ResourceType { owner: OwnerAt::PropertiesTags, create_only: &[], ..PLAIN };

const MODEL_VERSION: &[&str] = &["/properties/modelUri", "/properties/modelType", "/properties/flavors"];

const ENVIRONMENT_VERSION: &[&str] = &[
    "/properties/image",
    "/properties/condaFile",
    "/properties/build",
    "/properties/osType",
    "/properties/inferenceConfig",
];

/// Every resource type that is managed or read.
pub const RESOURCE_TYPES: &[ResourceType] = &[
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces",
        create_only: &[
            "/location",
            "/kind",
            "/properties/storageAccount",
            "/properties/keyVault",
            "/properties/hbiWorkspace",
            "/properties/hubResourceId",
            "/properties/encryption",
        ],
        read_only: &[
            "/properties/workspaceId",
            "/properties/discoveryUrl",
            "/properties/mlFlowTrackingUri",
            "/properties/tenantId",
            "/properties/privateLinkCount",
            "/properties/notebookInfo",
            "/properties/storageHnsEnabled",
            "/properties/serviceProvisionedResourceGroup",
            "/properties/workspaceHubConfig/networkSettings",
        ],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/computes",
        create_only: &[
            "/location",
            "/properties/computeType",
            "/properties/computeLocation",
            "/properties/disableLocalAuth",
            "/properties/resourceId",
            "/properties/properties/vmSize",
            "/properties/properties/vmPriority",
            "/properties/properties/subnet",
            "/properties/properties/enableNodePublicIp",
            "/properties/properties/remoteLoginPortPublicAccess",
            "/properties/properties/personalComputeInstanceSettings",
            "/properties/properties/namespace",
            "/properties/properties/applicationSharingPolicy",
            "/properties/properties/sshSettings",
        ],
        // Accounts and scripts come back in part or not at all.
        write_only: &["/properties/properties/userAccountCredentials", "/properties/properties/setupScripts"],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/datastores",
        create_only: &["/properties/datastoreType"],
        write_only: &["/properties/credentials/secrets"],
        read_only: &["/properties/isDefault"],
        ..ASSET
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/connections",
        owner: OwnerAt::PropertiesMetadata,
        create_only: &["/properties/category"],
        write_only: &["/properties/credentials"],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/outboundRules",
        owner: OwnerAt::Parent,
        create_only: &["/properties/type"],
        read_only: &["/properties/status"],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/models", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/models/versions",
        create_only: MODEL_VERSION,
        ..ASSET
    },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/environments", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/environments/versions",
        create_only: ENVIRONMENT_VERSION,
        ..ASSET
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/data",
        create_only: &["/properties/dataType"],
        ..ASSET
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/data/versions",
        create_only: &["/properties/dataType", "/properties/dataUri"],
        ..ASSET
    },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/codes", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/codes/versions",
        create_only: &["/properties/codeUri"],
        ..ASSET
    },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/components", ..ASSET },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/components/versions", ..ASSET },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/schedules", ..ASSET },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/jobs", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        create_only: &["/location", "/properties/authMode", "/properties/compute"],
        write_only: &["/properties/keys"],
        read_only: &["/properties/scoringUri", "/properties/swaggerUri"],
        whole: &["/properties/traffic", "/properties/mirrorTraffic"],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        create_only: &["/location", "/properties/endpointComputeType"],
        whole: &["/properties/environmentVariables", "/properties/scaleSettings"],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
        create_only: &["/location", "/properties/authMode"],
        write_only: &["/properties/keys"],
        read_only: &["/properties/scoringUri", "/properties/swaggerUri"],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments", ..PLAIN },
    ResourceType {
        name: "Microsoft.MachineLearningServices/registries",
        read_only: &["/properties/discoveryUrl", "/properties/mlFlowRegistryUri"],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.MachineLearningServices/registries/models", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/registries/models/versions",
        create_only: MODEL_VERSION,
        ..ASSET
    },
    ResourceType { name: "Microsoft.MachineLearningServices/registries/environments", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/registries/environments/versions",
        create_only: ENVIRONMENT_VERSION,
        ..ASSET
    },
    ResourceType { name: "Microsoft.MachineLearningServices/registries/codes", ..ASSET },
    ResourceType {
        name: "Microsoft.MachineLearningServices/registries/codes/versions",
        create_only: &["/properties/codeUri"],
        ..ASSET
    },
    ResourceType {
        name: "Microsoft.KubernetesConfiguration/extensions",
        api_version: "2023-05-01",
        owner: OwnerAt::Shared,
        create_only: &["/properties/extensionType", "/properties/scope"],
        write_only: &["/properties/configurationProtectedSettings"],
        read_only: &[
            "/properties/currentVersion",
            "/properties/statuses",
            "/properties/errorInfo",
            "/properties/packageUri",
            "/properties/isSystemExtension",
        ],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.Kubernetes/connectedClusters", api_version: "2024-01-01", ..PLAIN },
    ResourceType { name: "Microsoft.ContainerService/managedClusters", api_version: "2024-05-01", ..PLAIN },
    ResourceType {
        name: "Microsoft.Insights/diagnosticSettings",
        api_version: "2021-05-01-preview",
        owner: OwnerAt::Parent,
        create_only: &[],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Insights/components",
        api_version: "2020-02-02",
        create_only: &["/location", "/kind"],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.OperationalInsights/workspaces", api_version: "2022-10-01", ..PLAIN },
    ResourceType {
        name: "Microsoft.Storage/storageAccounts",
        api_version: "2023-05-01",
        create_only: &["/location", "/kind", "/properties/isHnsEnabled"],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.KeyVault/vaults",
        api_version: "2023-07-01",
        create_only: &["/location", "/properties/tenantId"],
        ..PLAIN
    },
    ResourceType { name: "Microsoft.ContainerRegistry/registries", api_version: "2023-07-01", ..PLAIN },
];

/// The row of a resource type, without regard to case.
pub fn find(name: &str) -> Option<&'static ResourceType> {
    RESOURCE_TYPES.iter().find(|type_| type_.name.eq_ignore_ascii_case(name))
}
