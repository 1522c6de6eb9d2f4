//! Rows of `Microsoft.MachineLearningServices`, as api-version 2025-12-01 has them.
use super::{Action, Exclusive, Family, PLAIN, Parent, Reply, Row, Shape};
use crate::rules::{asset, compute, endpoint, job, no_values, registry, workspace};

const ASYNC: Option<(Reply, Reply)> =
    Some((Reply::Later(201, Shape::AsyncOperation), Reply::Later(200, Shape::AsyncOperation)));
const LOCATION: Option<Reply> = Some(Reply::Later(202, Shape::Location));

const fn family(status: &'static str, results: &'static str, prefix: &'static str) -> Family {
    Family { status, results, prefix }
}

const WORKSPACE: Family = family("workspaceOperationsStatus", "workspaceOperationsStatus", "");
const COMPUTE: Family = family("computeOperationsStatus", "computeOperationsStatus", "");
const REGISTRY: Family = family("registryOperationsStatus", "registryOperationsStatus", "");
const FRONTEND: Family = family("mfeOperationsStatus", "mfeOperationResults", "");

const fn frontend(prefix: &'static str) -> Family {
    family("mfeOperationsStatus", "mfeOperationResults", prefix)
}

const ENDPOINT_NAME: &str = "^[a-zA-Z][-a-zA-Z0-9]{1,30}[a-zA-Z0-9]$";
const MAPS: &[(&str, &str)] = &[("/properties/tags", "{}"), ("/properties/properties", "{}")];

/// A container of versions in a workspace.
const CONTAINER: Row = Row {
    family: FRONTEND,
    provisioned: true,
    read_only: &["/properties/latestVersion", "/properties/nextVersion"],
    defaults: &[
        ("/properties/tags", "{}"),
        ("/properties/properties", "{}"),
        ("/properties/isArchived", "false"),
    ],
    ..PLAIN
};

/// A version of an asset in a workspace.
const VERSION: Row = Row {
    family: FRONTEND,
    provisioned: true,
    parent: Parent::Created,
    defaults: VERSION_DEFAULTS,
    remove: asset::remove_version,
    actions: &[Action::later("publish", registry::publish)],
    ..PLAIN
};

const VERSION_DEFAULTS: &[(&str, &str)] = &[
    ("/properties/tags", "{}"),
    ("/properties/properties", "{}"),
    ("/properties/isArchived", "false"),
    ("/properties/isAnonymous", "false"),
    ("/properties/description", "null"),
];
const MODEL_DEFAULTS: &[(&str, &str)] = &[
    ("/properties/tags", "{}"),
    ("/properties/properties", "{}"),
    ("/properties/flavors", "{}"),
    ("/properties/isArchived", "false"),
    ("/properties/isAnonymous", "false"),
    ("/properties/modelType", "\"custom_model\""),
    ("/properties/description", "null"),
];

const UPLOAD: Action = Action::post("startPendingUpload", asset::pending_upload).absent();

const MODEL: Row = Row {
    required: &["/properties/modelUri"],
    fixed: &["/properties/modelUri", "/properties/modelType", "/properties/isAnonymous"],
    defaults: MODEL_DEFAULTS,
    write: asset::model,
    ..VERSION
};
const ENVIRONMENT: Row = Row {
    fixed: &[
        "/properties/image",
        "/properties/build",
        "/properties/condaFile",
        "/properties/osType",
        "/properties/inferenceConfig",
        "/properties/isAnonymous",
    ],
    defaults: &[
        ("/properties/tags", "{}"),
        ("/properties/properties", "{}"),
        ("/properties/isArchived", "false"),
        ("/properties/isAnonymous", "false"),
        ("/properties/osType", "\"Linux\""),
        ("/properties/autoRebuild", "\"Disabled\""),
        ("/properties/description", "null"),
    ],
    write: asset::environment,
    ..VERSION
};
const DATA: Row = Row {
    required: &["/properties/dataType", "/properties/dataUri"],
    fixed: &["/properties/dataType", "/properties/dataUri", "/properties/isAnonymous"],
    write: asset::data,
    ..VERSION
};
const COMPONENT: Row = Row {
    required: &["/properties/componentSpec"],
    fixed: &["/properties/componentSpec", "/properties/isAnonymous"],
    ..VERSION
};
const CODE: Row = Row { fixed: &["/properties/codeUri"], ..VERSION };

/// The same in a registry, where all writes are operations.
const SHARED: Row = Row { put: ASYNC, delete: LOCATION, family: REGISTRY, actions: &[], ..VERSION };
const SHARED_CONTAINER: Row = Row { put: ASYNC, delete: LOCATION, family: REGISTRY, ..CONTAINER };

/// What is made and removed by operations in a workspace.
const OPERATED: Row = Row { put: ASYNC, delete: LOCATION, family: FRONTEND, provisioned: true, ..PLAIN };

const ENDPOINT: Row = Row {
    patch: LOCATION,
    patchable: &["/tags", "/identity"],
    required: &["/location", "/properties/authMode"],
    fixed: &["/location", "/properties/authMode", "/properties/compute"],
    secret: &["/properties/keys"],
    exclusive: Exclusive::Ancestor(2),
    name: ENDPOINT_NAME,
    defaults: &[("/tags", "{}"), ("/properties/properties", "{}")],
    ..OPERATED
};

const DEPLOYMENT: Row = Row {
    patch: LOCATION,
    required: &["/location", "/properties"],
    fixed: &["/location"],
    exclusive: Exclusive::Ancestor(2),
    name: ENDPOINT_NAME,
    defaults: &[("/tags", "{}"), ("/properties/properties", "{}")],
    ..OPERATED
};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: workspace::KIND,
        family: WORKSPACE,
        put: Some((Reply::Later(202, Shape::Location), Reply::Later(202, Shape::Location))),
        patch: LOCATION,
        delete: LOCATION,
        required: &["/location", "/properties"],
        fixed: &[
            "/location",
            "/kind",
            "/properties/storageAccount",
            "/properties/keyVault",
            "/properties/hbiWorkspace",
            "/properties/hubResourceId",
        ],
        read_only: &[
            "/properties/workspaceId",
            "/properties/discoveryUrl",
            "/properties/mlFlowTrackingUri",
            "/properties/tenantId",
            "/properties/privateLinkCount",
            "/properties/notebookInfo",
            "/properties/storageHnsEnabled",
        ],
        defaults: &[
            ("/properties/publicNetworkAccess", "\"Enabled\""),
            ("/properties/hbiWorkspace", "false"),
            ("/properties/v1LegacyMode", "false"),
            ("/properties/enableDataIsolation", "false"),
            ("/properties/systemDatastoresAuthMode", "\"AccessKey\""),
            ("/properties/allowPublicAccessWhenBehindVnet", "false"),
            ("/sku", "{\"name\":\"Basic\",\"tier\":\"Basic\"}"),
        ],
        provisioned: true,
        name: "^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$",
        actions: &[
            Action::post("listKeys", workspace::list_keys),
            Action::post("listNotebookKeys", workspace::notebook_keys),
            Action::post("listNotebookAccessToken", workspace::notebook_token),
            Action::post("listStorageAccountKeys", workspace::storage_keys),
            Action::later("diagnose", workspace::diagnose),
            Action::later("resyncKeys", workspace::accept),
            Action::later("provisionManagedNetwork", workspace::provision_network),
            Action::later("prepareNotebook", workspace::prepare_notebook),
            Action::get("outboundNetworkDependenciesEndpoints", workspace::network_dependencies),
            Action::get("privateLinkResources", workspace::private_links),
            Action::get("features", no_values),
        ],
        write: workspace::write,
        remove: workspace::remove,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/computes",
        family: COMPUTE,
        patch: Some(Reply::Later(200, Shape::Both)),
        patchable: &["/properties/properties/scaleSettings"],
        delete: Some(Reply::Later(202, Shape::Both)),
        required: &["/properties/computeType"],
        fixed: &[
            "/location",
            "/properties/computeType",
            "/properties/computeLocation",
            "/properties/disableLocalAuth",
            "/properties/resourceId",
            "/properties/properties/vmSize",
            "/properties/properties/vmPriority",
            "/properties/properties/subnet",
        ],
        secret: &["/properties/properties/userAccountCredentials/adminUserPassword"],
        read_only: &["/properties/properties/state", "/properties/properties/lastOperation"],
        name: "^[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]$",
        actions: &[
            Action::post("listNodes", compute::list_nodes),
            Action::post("listKeys", compute::list_keys),
            Action::later("start", compute::start),
            Action::later("stop", compute::stop),
            Action::later("restart", compute::restart),
        ],
        write: compute::write,
        remove: compute::remove,
        ..OPERATED
    },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/models", ..CONTAINER },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/models/versions", ..MODEL },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/environments", ..CONTAINER },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/environments/versions", ..ENVIRONMENT },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/data",
        required: &["/properties/dataType"],
        fixed: &["/properties/dataType"],
        provisioned: false,
        write: asset::data,
        ..CONTAINER
    },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/data/versions", provisioned: false, ..DATA },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/components", ..CONTAINER },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/components/versions", ..COMPONENT },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/codes", ..CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/codes/versions",
        actions: &[Action::later("publish", registry::publish), UPLOAD],
        ..CODE
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/datastores",
        required: &["/properties/datastoreType", "/properties/credentials"],
        fixed: &[
            "/properties/datastoreType",
            "/properties/accountName",
            "/properties/containerName",
            "/properties/filesystem",
            "/properties/fileShareName",
        ],
        secret: &["/properties/credentials/secrets"],
        read_only: &["/properties/isDefault"],
        actions: &[Action::post("listSecrets", asset::datastore_secrets)],
        write: asset::datastore,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/connections",
        put: Some((Reply::Now(200), Reply::Now(200))),
        patch: Some(Reply::Now(200)),
        required: &["/properties/authType"],
        secret: &["/properties/credentials"],
        actions: &[Action::post("listsecrets", asset::connection_secrets)],
        write: asset::connection,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/outboundRules",
        family: WORKSPACE,
        put: Some((Reply::Later(202, Shape::Location), Reply::Later(202, Shape::Location))),
        delete: LOCATION,
        required: &["/properties/type"],
        write: workspace::outbound_rule,
        remove: workspace::remove_outbound_rule,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/privateEndpointConnections",
        put: Some((Reply::Now(200), Reply::Now(200))),
        provisioned: true,
        ..PLAIN
    },
    Row {
        kind: endpoint::ONLINE,
        family: frontend("oeidp"),
        actions: &[
            Action::post("listKeys", endpoint::list_keys),
            Action::later("regenerateKeys", endpoint::regenerate),
            Action::post("token", endpoint::token),
        ],
        write: endpoint::online,
        ..ENDPOINT
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        family: frontend("odidp"),
        patchable: &["/tags", "/sku"],
        required: &["/location", "/properties/endpointComputeType"],
        fixed: &["/location", "/properties/endpointComputeType", "/properties/instanceType"],
        actions: &[Action::post("getLogs", endpoint::logs), Action::get("skus", endpoint::skus)],
        write: endpoint::online_deployment,
        remove: endpoint::remove_online_deployment,
        ..DEPLOYMENT
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
        family: frontend("beidp"),
        actions: &[Action::post("listkeys", endpoint::list_keys)],
        write: endpoint::batch,
        ..ENDPOINT
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments",
        family: frontend("bdidp"),
        patchable: &["/tags", "/properties/description"],
        write: endpoint::batch_deployment,
        remove: endpoint::remove_batch_deployment,
        ..DEPLOYMENT
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/serverlessEndpoints",
        patchable: &["/tags", "/identity", "/sku"],
        actions: &[
            Action::post("listKeys", endpoint::list_keys),
            Action::later("regenerateKeys", endpoint::regenerate),
        ],
        read_only: &["/properties/endpointState", "/properties/inferenceEndpoint"],
        write: endpoint::serverless,
        ..ENDPOINT
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/jobs",
        family: FRONTEND,
        delete: LOCATION,
        required: &["/properties/jobType"],
        fixed: &[
            "/properties/jobType",
            "/properties/command",
            "/properties/environmentId",
            "/properties/computeId",
            "/properties/codeId",
            "/properties/experimentName",
            "/properties/componentId",
        ],
        read_only: &["/properties/status"],
        actions: &[Action::later("cancel", job::cancel)],
        write: job::write,
        remove: job::remove,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/schedules",
        required: &["/properties/action", "/properties/trigger"],
        write: job::schedule,
        ..OPERATED
    },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/capabilityHosts", ..OPERATED },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/marketplaceSubscriptions", ..OPERATED },
    Row { kind: "Microsoft.MachineLearningServices/workspaces/featuresets", defaults: MAPS, ..OPERATED },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/featuresets/versions",
        parent: Parent::Created,
        defaults: MAPS,
        actions: &[Action::later("backfill", workspace::accept), Action::get("features", no_values)],
        ..OPERATED
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/featurestoreEntities",
        defaults: MAPS,
        ..OPERATED
    },
    Row {
        kind: "Microsoft.MachineLearningServices/workspaces/featurestoreEntities/versions",
        parent: Parent::Created,
        defaults: MAPS,
        ..OPERATED
    },
    Row {
        kind: registry::KIND,
        family: REGISTRY,
        put: ASYNC,
        patch: Some(Reply::Now(200)),
        patchable: &["/tags", "/identity", "/sku"],
        delete: LOCATION,
        required: &["/location", "/properties"],
        fixed: &["/location"],
        provisioned: true,
        name: "^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$",
        actions: &[
            Action::later("removeRegions", registry::remove_regions),
            Action::later("import", registry::import),
        ],
        write: registry::write,
        ..PLAIN
    },
    Row { kind: "Microsoft.MachineLearningServices/registries/models", ..SHARED_CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/models/versions",
        required: MODEL.required,
        fixed: MODEL.fixed,
        defaults: MODEL_DEFAULTS,
        write: asset::model,
        actions: &[UPLOAD],
        ..SHARED
    },
    Row { kind: "Microsoft.MachineLearningServices/registries/environments", ..SHARED_CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/environments/versions",
        fixed: ENVIRONMENT.fixed,
        defaults: ENVIRONMENT.defaults,
        write: asset::environment,
        ..SHARED
    },
    Row { kind: "Microsoft.MachineLearningServices/registries/data", ..SHARED_CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/data/versions",
        required: DATA.required,
        fixed: DATA.fixed,
        write: asset::data,
        actions: &[UPLOAD],
        ..SHARED
    },
    Row { kind: "Microsoft.MachineLearningServices/registries/components", ..SHARED_CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/components/versions",
        required: COMPONENT.required,
        fixed: COMPONENT.fixed,
        ..SHARED
    },
    Row { kind: "Microsoft.MachineLearningServices/registries/codes", ..SHARED_CONTAINER },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/codes/versions",
        fixed: CODE.fixed,
        actions: &[UPLOAD],
        ..SHARED
    },
    Row {
        kind: "Microsoft.MachineLearningServices/registries/datareferences/versions",
        put: None,
        delete: None,
        parent: Parent::Free,
        actions: &[Action::post("", registry::data_reference).absent()],
        ..PLAIN
    },
];
