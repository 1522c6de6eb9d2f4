"""Every operation of the types that are served, called once by the client of 2025-12-01, with its exact statuses."""

import inspect
import os
import time
import unittest

from azure.ai.ml._restclient.arm_ml_service import operations
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

import emulator
from emulator import LOCATION as REGION
from emulator import PROVIDER, arm_id
from statuses import ASYNC, LOCATION, Lifecycle, StatusCase

GROUP = "statuses"
WORKSPACE = "status-workspace"
REGISTRY = "status-registry"
IDENTITY = {"type": "SystemAssigned"}

# Operation groups that nothing of this project calls, each with the reason.
OUT_OF_SCOPE = {
    "capability_hosts": "agents are not managed",
    "features": "feature stores are made, their features are not managed",
    "featureset_containers": "feature stores are made, their features are not managed",
    "featureset_versions": "feature stores are made, their features are not managed",
    "featurestore_entity_containers": "feature stores are made, their features are not managed",
    "featurestore_entity_versions": "feature stores are made, their features are not managed",
    "marketplace_subscriptions": "no marketplace models are deployed",
    "serverless_endpoints": "no marketplace models are deployed",
    "private_endpoint_connections": "private endpoints belong to the network's owner",
    "private_link_resources": "private endpoints belong to the network's owner",
    "workspace_features": "feature switches of the studio",
    "operations": "the list of operations is for the portal",
}


def workspace_body(name):
    return {
        "location": REGION,
        "kind": "Default",
        "identity": IDENTITY,
        "tags": {"suite": "statuses"},
        "properties": {
            "friendlyName": name,
            "description": "made by the suite",
            "storageAccount": arm_id(GROUP, "Microsoft.Storage", "storageAccounts", "statusstore"),
            "keyVault": arm_id(GROUP, "Microsoft.KeyVault", "vaults", "status-keys"),
            "applicationInsights": arm_id(GROUP, "Microsoft.Insights", "components", "status-insights"),
            "publicNetworkAccess": "Enabled",
        },
    }


def model(kind="workspaces", owner=WORKSPACE, name="served", version="1"):
    return arm_id(GROUP, PROVIDER, kind, owner, "models", name, "versions", version)


# A model that is there, where deployments really run.
MODEL_URI = os.environ.get("MODEL_URI", "azureml://datastores/workspaceblobstore/paths/models/churn/")
IMAGE = {"image": "registry.example.com/base:1", "osType": "Linux"}
COMPONENT = {
    "componentSpec": {
        "name": "train",
        "version": "1",
        "type": "command",
        "command": "echo trained",
        "environment": "azureml:base:1",
    }
}

# The containers and versions of one kind of asset: the name of the groups, the container's and the version's properties.
ASSETS = [
    ("code", {"description": "code"}, {"codeUri": "https://store.blob.example.com/code/train"}),
    ("component", {"description": "steps"}, COMPONENT),
    ("data", {"dataType": "uri_folder"}, {"dataType": "uri_folder", "dataUri": "azureml://datastores/d/paths/p/"}),
    ("environment", {"description": "images"}, IMAGE),
    ("model", {"description": "models"}, {"modelUri": MODEL_URI, "modelType": "custom_model", "tags": {"a": "b"}}),
]


def versions(owner):
    """The lifecycles of all containers and versions, in a workspace or in a registry."""
    prefix, later = ("", {}) if owner == WORKSPACE else ("registry_", {"create": ASYNC, "delete": LOCATION})
    for asset, container, version in ASSETS:
        name = f"{asset}-asset"
        yield Lifecycle(
            f"{prefix}{asset}_versions", (GROUP, owner, name, "3"), {"properties": version}, **later
        )
        yield Lifecycle(
            f"{prefix}{asset}_containers", (GROUP, owner, f"{asset}-alone"), {"properties": container}, **later
        )


def computes():
    scale = {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT5M"}
    cluster = {"vmSize": "Standard_DS3_v2", "vmPriority": "Dedicated", "scaleSettings": scale}
    instance = {"vmSize": "Standard_DS3_v2", "applicationSharingPolicy": "Personal"}
    arc = arm_id(GROUP, "Microsoft.Kubernetes", "connectedClusters", "edge")
    bodies = {
        "cluster": ({"computeType": "AmlCompute", "properties": cluster}, "Delete"),
        "instance": ({"computeType": "ComputeInstance", "properties": instance}, "Delete"),
        "attached": (
            {"computeType": "Kubernetes", "resourceId": arc, "properties": {"namespace": "ml"}},
            "Detach",
        ),
    }
    for name, (properties, action) in bodies.items():
        yield Lifecycle(
            "compute",
            (GROUP, WORKSPACE, name),
            {"location": REGION, "properties": properties},
            create=ASYNC,
            delete=LOCATION,
            deleting={"underlying_resource_action": action},
            patch={"properties": {"properties": {"scaleSettings": {"maxNodeCount": 4}}}} if name == "cluster" else None,
            patched=(200,),
        )


CRON = {"triggerType": "Cron", "expression": "0 3 * * *", "timeZone": "UTC", "startTime": "2030-01-01T00:00:00"}
ENVIRONMENT = arm_id(GROUP, PROVIDER, "workspaces", WORKSPACE, "environments", "base", "versions", "1")
COMMAND = {"jobType": "Command", "command": "echo trained", "environmentId": ENVIRONMENT}
MONITOR = {
    "actionType": "CreateMonitor",
    "monitorDefinition": {
        "computeConfiguration": {
            "computeType": "ServerlessSpark",
            "instanceType": "standard_e4s_v3",
            "runtimeVersion": "3.4",
            "computeIdentity": {"computeIdentityType": "AmlToken"},
        },
        "monitoringTarget": {"taskType": "Classification"},
        "alertNotificationSettings": {"emailNotificationSettings": {"emails": ["ml@example.com"]}},
        "signals": {
            "drift": {
                "signalType": "DataDrift",
                "notificationTypes": ["AmlNotification"],
                "metricThresholds": [
                    {
                        "dataType": "Numerical",
                        "metric": "NormalizedWassersteinDistance",
                        "threshold": {"value": 0.1},
                    }
                ],
                "productionData": {
                    "inputDataType": "Rolling",
                    "jobInputType": "uri_folder",
                    "uri": "azureml://datastores/d/paths/production/",
                    "dataContext": "model_inputs",
                    "windowSize": "P7D",
                    "windowOffset": "P0D",
                },
                "referenceData": {
                    "inputDataType": "Fixed",
                    "jobInputType": "mltable",
                    "uri": "azureml://datastores/d/paths/reference/",
                    "dataContext": "training",
                },
            }
        },
    },
}


def others():
    """Everything else that lives in a workspace and has the usual operations."""
    key = {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "a2V5"}}
    store = {"datastoreType": "AzureBlob", "accountName": "statusstore", "containerName": "models", "credentials": key}
    yield Lifecycle(
        "datastores",
        (GROUP, WORKSPACE, "models"),
        {"properties": store},
        secret=(("properties", "credentials", "secrets"),),
    )
    connection = {"category": "Git", "target": "https://git.example.com/team/repo", "authType": "PAT"}
    yield Lifecycle(
        "workspace_connections",
        (GROUP, WORKSPACE, "sources"),
        {"properties": connection | {"credentials": {"pat": "secret-pat"}}},
        created=200,
        put="create",
        secret=(("properties", "credentials"),),
        patch={"properties": connection | {"target": "https://git.example.com/team/other"}},
        patched=(200,),
    )
    for name, rule in {
        "fqdn": {"type": "FQDN", "category": "UserDefined", "destination": "pypi.example.com"},
        "service": {
            "type": "ServiceTag",
            "category": "UserDefined",
            "destination": {"serviceTag": "DataFactory", "protocol": "TCP", "portRanges": "80, 8080-8089"},
        },
    }.items():
        yield Lifecycle(
            "managed_network_settings_rule",
            (GROUP, WORKSPACE, name),
            {"properties": rule},
            create=LOCATION,
            delete=LOCATION,
            created=202,
            updated=202,
        )
    for name, action in {"nightly": {"actionType": "CreateJob", "jobDefinition": COMMAND}, "watch": MONITOR}.items():
        yield Lifecycle(
            "schedules",
            (GROUP, WORKSPACE, name),
            {"properties": {"displayName": name, "trigger": CRON, "action": action, "tags": {"a": "b"}}},
            create=ASYNC,
            delete=LOCATION,
        )


class Statuses(StatusCase):
    """In the order of the alphabet: first the owners, last the check that nothing was left out."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        body = workspace_body(WORKSPACE)
        body["properties"]["managedNetwork"] = {"isolationMode": "AllowOnlyApprovedOutbound"}
        cls.raw.workspaces.begin_create_or_update(GROUP, WORKSPACE, body, polling_interval=emulator.POLL).result(30)
        cls.raw.registries.begin_create_or_update(
            GROUP, REGISTRY, registry_body(), polling_interval=emulator.POLL
        ).result(30)
        emulator.connect_cluster(cls.raw, GROUP, "edge")
        cls.raw.model_versions.create_or_update(
            GROUP, WORKSPACE, "served", "1", {"properties": {"modelUri": MODEL_URI, "modelType": "custom_model"}}
        )

    def test_assets_of_a_registry(self):
        for kind in versions(REGISTRY):
            with self.subTest(kind.group):
                self.run_lifecycle(kind)

    def test_assets_of_a_workspace(self):
        for kind in versions(WORKSPACE):
            with self.subTest(kind.group):
                self.run_lifecycle(kind)

    def test_batch(self):
        endpoint = Lifecycle(
            "batch_endpoints",
            (GROUP, WORKSPACE, "status-batch"),
            {"location": REGION, "properties": {"authMode": "AADToken", "description": "scores files"}},
            create=ASYNC,
            delete=LOCATION,
            patch={"tags": {"stage": "test"}},
        )
        properties = {
            "model": {"referenceType": "Id", "assetId": model()},
            "resources": {"instanceCount": 1},
            "miniBatchSize": 10,
            "errorThreshold": -1,
            "outputAction": "AppendRow",
            "outputFileName": "predictions.csv",
            "retrySettings": {"maxRetries": 3, "timeout": "PT30S"},
        }
        deployment = Lifecycle(
            "batch_deployments",
            (GROUP, WORKSPACE, "status-batch", "first"),
            {"location": REGION, "properties": properties},
            create=ASYNC,
            delete=LOCATION,
            patch={"properties": {"description": "patched"}},
        )
        self.run_creation(endpoint)
        self.run_update(endpoint)
        self.run_lifecycle(deployment)
        keys = self.call("batch_endpoints", "list_keys", *endpoint.names, statuses=(200,))
        self.assertTrue(keys.primary_key and keys.secondary_key)
        self.run_deletion(endpoint)

    def test_computes(self):
        for kind in computes():
            with self.subTest(kind.names[-1]):
                self.run_creation(kind)
                self.run_update(kind)
                self.run_actions(kind)
                self.run_deletion(kind)

    def run_actions(self, kind):
        name = kind.names[-1]
        if name == "cluster":
            self.assertEqual([], list(self.call("compute", "list_nodes", *kind.names, statuses=(200,))))
        if name == "attached":
            self.call("compute", "list_keys", *kind.names, statuses=(200,))
        if name == "instance":
            for action, state in (("stop", "Stopped"), ("start", "Running"), ("restart", "Running")):
                self.call("compute", f"begin_{action}", *kind.names, statuses=(202,), header=LOCATION)
                found = self.call("compute", "get", *kind.names, statuses=(200,))
                self.assertEqual(state, found.as_dict()["properties"]["properties"].get("state"), action)

    def test_jobs(self):
        names = (GROUP, WORKSPACE, "status-job")
        body = {"properties": COMMAND | {"displayName": "one", "experimentName": "suite", "tags": {"a": "b"}}}
        kind = Lifecycle("jobs", names, body, delete=LOCATION)
        self.run_creation(kind)
        changed = {"properties": body["properties"] | {"tags": {"a": "c"}}}
        answer = self.call("jobs", "create_or_update", *names, changed, statuses=(200,))
        self.assertEqual("c", answer.as_dict()["properties"]["tags"]["a"])
        running = (GROUP, WORKSPACE, "status-canceled")
        long = {"properties": COMMAND | {"command": "sleep 600", "displayName": "long"}}
        self.call("jobs", "create_or_update", *running, long, statuses=(201,))
        self.call("jobs", "begin_cancel", *running, statuses=(200, 202))
        status = self.call("jobs", "get", *running, statuses=(200,)).as_dict()["properties"]["status"]
        self.assertIn(status, ("Canceled", "CancelRequested"))
        self.end_job(names)
        self.run_deletion(kind)

    def end_job(self, names):
        """A job that runs can't be deleted."""
        for _ in range(300):
            job = self.call("jobs", "get", *names, statuses=(200,)).as_dict()["properties"]
            if job["status"] in ("Completed", "Failed", "Canceled"):
                return
            time.sleep(emulator.POLL)
        self.fail(f"the job is still {job['status']}")

    def test_online(self):
        endpoint = Lifecycle(
            "online_endpoints",
            (GROUP, WORKSPACE, "status-online"),
            {"location": REGION, "identity": IDENTITY, "properties": {"authMode": "Key", "description": "scores"}},
            create=ASYNC,
            delete=LOCATION,
            patch={"tags": {"stage": "test"}},
        )
        self.run_creation(endpoint)
        self.run_update(endpoint)
        deployment = self.online_deployment()
        self.run_creation(deployment)
        self.run_update(deployment)
        self.run_online_actions(endpoint, deployment)
        self.run_traffic(endpoint, deployment)
        self.run_deletion(deployment)
        self.run_deletion(endpoint)

    def online_deployment(self):
        probe = {"failureThreshold": 30, "initialDelay": "PT1S", "period": "PT1S", "successThreshold": 1, "timeout": "PT2S"}
        return Lifecycle(
            "online_deployments",
            (GROUP, WORKSPACE, "status-online", "blue"),
            {
                "location": REGION,
                "sku": {"name": "Default", "capacity": 1},
                "properties": {
                    "endpointComputeType": "Managed",
                    "model": model(),
                    "instanceType": "Standard_DS3_v2",
                    "environmentVariables": {"LOG_LEVEL": "info"},
                    "requestSettings": {"maxConcurrentRequestsPerInstance": 2, "requestTimeout": "PT5S"},
                    "scaleSettings": {"scaleType": "Default"},
                    "livenessProbe": probe,
                    "readinessProbe": probe,
                    "dataCollector": {"collections": {"model_inputs": {"dataCollectionMode": "Enabled", "samplingRate": 1.0}}},
                },
            },
            create=ASYNC,
            delete=LOCATION,
            patch={"sku": {"capacity": 2}},
        )

    def run_online_actions(self, endpoint, deployment):
        before = self.call("online_endpoints", "list_keys", *endpoint.names, statuses=(200,))
        self.call(
            "online_endpoints", "begin_regenerate_keys", *endpoint.names, {"keyType": "Primary"}, statuses=(200, 202)
        )
        after = self.call("online_endpoints", "list_keys", *endpoint.names, statuses=(200,))
        self.assertNotEqual(before.primary_key, after.primary_key)
        self.assertEqual(before.secondary_key, after.secondary_key)
        logs = {"containerType": "InferenceServer", "tail": 10}
        answer = self.call("online_deployments", "get_logs", *deployment.names, logs, statuses=(200,))
        self.assertIsNotNone(answer.content)
        skus = self.call("online_deployments", "list_skus", *deployment.names, statuses=(200,))
        self.assertTrue(skus)
        token = (GROUP, WORKSPACE, "status-token")
        body = {"location": REGION, "identity": IDENTITY, "properties": {"authMode": "AMLToken"}}
        self.call("online_endpoints", "begin_create_or_update", *token, body, statuses=(201,))
        answer = self.call("online_endpoints", "get_token", *token, statuses=(200,))
        self.assertTrue(answer.access_token and answer.expiry_time_utc)
        self.call("online_endpoints", "begin_delete", *token, statuses=(202,))

    def run_traffic(self, endpoint, deployment):
        """A deployment with traffic stays, and traffic sums up to 100."""
        all_of_it = endpoint.body | {"properties": endpoint.body["properties"] | {"traffic": {"blue": 100}}}
        answer = self.call("online_endpoints", "begin_create_or_update", *endpoint.names, all_of_it, statuses=(200,))
        self.assertEqual({"blue": 100}, answer.as_dict()["properties"]["traffic"])
        with self.assertRaises(HttpResponseError) as refused:
            self.call("online_deployments", "begin_delete", *deployment.names, statuses=(400, 409))
        self.assertIn(refused.exception.status_code, (400, 409))
        for traffic in ({"blue": 50}, {"nobody": 100}):
            wrong = endpoint.body | {"properties": endpoint.body["properties"] | {"traffic": traffic}}
            with self.assertRaises(HttpResponseError) as refused:
                self.call("online_endpoints", "begin_create_or_update", *endpoint.names, wrong, statuses=(400,))
            self.assertEqual(400, refused.exception.status_code)
        none = endpoint.body | {"properties": endpoint.body["properties"] | {"traffic": {"blue": 0}}}
        self.call("online_endpoints", "begin_create_or_update", *endpoint.names, none, statuses=(200,))

    def test_others(self):
        for kind in others():
            with self.subTest(f"{kind.group} {kind.names[-1]}"):
                self.run_creation(kind)
                self.run_update(kind)
                if kind.group == "datastores":
                    secrets = self.call(kind.group, "list_secrets", *kind.names, {}, statuses=(200,))
                    self.assertEqual("a2V5", secrets.as_dict()["key"])
                if kind.group == "workspace_connections":
                    secrets = self.call(kind.group, "list_secrets", *kind.names, statuses=(200,))
                    self.assertEqual("secret-pat", secrets.as_dict()["properties"]["credentials"]["pat"])
                self.run_deletion(kind)

    def test_publish(self):
        for asset, _, version in ASSETS:
            with self.subTest(asset):
                names = (GROUP, WORKSPACE, f"{asset}-shared", "7")
                self.call(f"{asset}_versions", "create_or_update", *names, {"properties": version}, statuses=(201,))
                to = {"registryName": REGISTRY, "destinationName": f"{asset}-published", "destinationVersion": "7"}
                publish = (f"{asset}_versions", "begin_publish", *names, to)
                self.call(*publish, statuses=(200, 202), header=LOCATION)
                there = (GROUP, REGISTRY, f"{asset}-published", "7")
                self.call(f"registry_{asset}_versions", "get", *there, statuses=(200,))
                with self.assertRaises(HttpResponseError):
                    self.call(*publish, statuses=(200, 202, 400, 409))

    def test_quotas(self):
        self.assertTrue(self.call("usages", "list", REGION, statuses=(200,)))
        sizes = self.call("virtual_machine_sizes", "list", REGION, statuses=(200,)).as_dict()
        self.assertIn("Standard_DS3_v2", [size["name"] for size in sizes.get("value", sizes.get("amlCompute", []))])
        self.assertTrue(self.call("quotas", "list", REGION, statuses=(200,)))
        family = "standardFSv2Family"
        quota = {
            "id": f"{arm_id(GROUP, PROVIDER, 'workspaces', WORKSPACE)}/quotas/{family}",
            "type": f"{PROVIDER}/workspaces/quotas",
            "limit": 12,
            "unit": "Count",
        }
        answer = self.call("quotas", "update", REGION, {"value": [quota], "location": REGION}, statuses=(200,))
        self.assertEqual([12], [one["limit"] for one in answer.as_dict()["value"]])

    def test_registries(self):
        kind = Lifecycle(
            "registries",
            (GROUP, "status-second"),
            registry_body(),
            create=ASYNC,
            delete=LOCATION,
            patch={"tags": {"stage": "test"}},
            patched=(200,),
        )
        self.run_creation(kind)
        self.assertIn("status-second", [one.name for one in self.call("registries", "list_by_subscription", statuses=(200,))])
        self.run_update(kind)
        regions = registry_body()["properties"]["regionDetails"] + [region("northeurope")]
        two = registry_body() | {"properties": {"regionDetails": regions}}
        self.call("registries", "begin_create_or_update", *kind.names, two, statuses=(200,))
        # The body is the registry as it is to be.
        self.call("registries", "begin_remove_regions", *kind.names, registry_body(), statuses=(200, 202))
        left = self.call("registries", "get", *kind.names, statuses=(200,)).as_dict()["properties"]["regionDetails"]
        self.assertEqual([REGION], [one["location"] for one in left])
        self.run_deletion(kind)

    def test_uploads(self):
        request = {"pendingUploadType": "TemporaryBlobReference"}
        for group, owner in (
            ("code_versions", WORKSPACE),
            ("registry_code_versions", REGISTRY),
            ("registry_data_versions", REGISTRY),
            ("registry_model_versions", REGISTRY),
        ):
            with self.subTest(group):
                answer = self.call(
                    group, "create_or_get_start_pending_upload", GROUP, owner, "uploaded", "1", request, statuses=(200,)
                ).as_dict()
                self.assertTrue(answer["pendingUploadId"])
                self.assertTrue(answer["blobReferenceForConsumption"]["credential"]["sasUri"])
        body = {"properties": {"modelUri": "https://store.blob.example.com/models/m", "modelType": "custom_model"}}
        names = (GROUP, REGISTRY, "referenced", "1")
        self.call("registry_model_versions", "begin_create_or_update", *names, body, statuses=(201,))
        asset = {"assetId": f"azureml://registries/{REGISTRY}/models/referenced/versions/1", "blobUri": body["properties"]["modelUri"]}
        answer = self.call("registry_data_references", "get_blob_reference_sas", *names, asset, statuses=(200,)).as_dict()
        self.assertTrue(answer["blobReferenceForConsumption"]["blobUri"])

    def test_workspaces(self):
        name = "status-second"
        kind = Lifecycle(
            "workspaces",
            (GROUP, name),
            workspace_body(name),
            create=LOCATION,
            delete=LOCATION,
            created=202,
            updated=202,
            patch={"tags": {"stage": "test"}, "properties": {"description": "patched"}},
            listing="list_by_resource_group",
            deleting={"force_to_purge": True},
        )
        self.run_creation(kind)
        self.assertIn(name, [one.name for one in self.call("workspaces", "list_by_subscription", statuses=(200,))])
        self.run_update(kind)
        self.run_workspace_actions(kind.names)
        self.run_deletion(kind)

    def run_workspace_actions(self, names):
        for operation in (
            "list_keys",
            "list_notebook_access_token",
            "list_notebook_keys",
            "list_storage_account_keys",
            "list_outbound_network_dependencies_endpoints",
        ):
            with self.subTest(operation):
                self.call("workspaces", operation, *names, statuses=(200,))
        for operation, body in (("diagnose", {"value": {}}), ("prepare_notebook", None), ("resync_keys", None)):
            with self.subTest(operation):
                arguments = names if body is None else (*names, body)
                self.call("workspaces", f"begin_{operation}", *arguments, statuses=(200, 202), header=LOCATION)
        self.call(
            "managed_network_provisions",
            "begin_provision_managed_network",
            GROUP,
            WORKSPACE,
            {"includeSpark": False},
            statuses=(200, 202),
            header=LOCATION,
        )

    def test_workspaces_leave_a_twin(self):
        """Without a purge the name of a deleted workspace is taken."""
        name = "status-twin"
        body = workspace_body(name)
        self.call("workspaces", "begin_create_or_update", GROUP, name, body, statuses=(202,))
        self.call("workspaces", "begin_delete", GROUP, name, statuses=(202,))
        with self.assertRaises(ResourceNotFoundError):
            self.call("workspaces", "get", GROUP, name, statuses=(404,))
        with self.assertRaises(HttpResponseError) as refused:
            self.call("workspaces", "begin_create_or_update", GROUP, name, body, statuses=(400, 409))
        self.assertIn("Soft-deleted workspace exists", str(refused.exception))

    def test_zz_every_operation_was_called(self):
        """Only worth asking after a whole run."""
        if len(StatusCase.called) < 20:
            self.skipTest("the other tests did not run")
        served = {
            (group, operation)
            for group, instance in vars(self.raw).items()
            if type(instance).__name__ in operations.__all__ and group not in OUT_OF_SCOPE
            for operation, _ in inspect.getmembers(type(instance), inspect.isfunction)
            if not operation.startswith("_")
        }
        self.assertEqual(set(), served - StatusCase.called)


def region(location):
    return {
        "location": location,
        "acrDetails": [{"systemCreatedAcrAccount": {"acrAccountSku": "Premium"}}],
        "storageAccountDetails": [{"systemCreatedStorageAccount": {"storageAccountType": "Standard_LRS"}}],
    }


def registry_body():
    return {"location": REGION, "identity": IDENTITY, "tags": {"a": "b"}, "properties": {"regionDetails": [region(REGION)]}}


if __name__ == "__main__":
    unittest.main()
