"""Workspaces, computes, datastores and assets, by MLClient."""

import unittest

from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import (
    AccountKeyConfiguration,
    AmlCompute,
    AzureBlobDatastore,
    ComputeInstance,
    Data,
    Environment,
    IdentityConfiguration,
    KubernetesCompute,
    Model,
    Registry,
    RegistryRegionDetails,
    SystemCreatedAcrAccount,
    SystemCreatedStorageAccount,
    Workspace,
)
from azure.core.exceptions import ResourceNotFoundError

import emulator
from emulator import POLL
from mlclient import GROUP, WorkspaceCase, client, raw

MODELS = "azureml://datastores/models/paths/churn/"


class Workspaces(WorkspaceCase):
    """The workspace itself."""

    workspace = "mlclient-workspace"

    def test_workspace_is_read_and_listed(self):
        found = self.ml.workspaces.get(self.workspace)
        self.assertEqual((self.workspace, emulator.LOCATION), (found.name, found.location))
        self.assertTrue(found.discovery_url and found.mlflow_tracking_uri)
        self.assertIn(self.workspace, [one.name for one in self.ml.workspaces.list()])

    def test_workspace_is_updated(self):
        found = self.ml.workspaces.get(self.workspace)
        found.description, found.tags = "changed", {"stage": "test"}
        changed = self.wait(self.ml.workspaces.begin_update(found))
        self.assertEqual(("changed", "test"), (changed.description, changed.tags["stage"]))

    def test_creating_what_exists_updates_it(self):
        again = Workspace(name=self.workspace, location=emulator.LOCATION, display_name="again")
        made = self.wait(self.ml.workspaces.begin_create(again))
        self.assertEqual("again", made.display_name)

    def test_keys_are_listed_and_synchronized(self):
        self.assertTrue(self.ml.workspaces.get_keys(self.workspace).user_storage_key)
        self.wait(self.ml.workspaces.begin_sync_keys(self.workspace))

    def test_workspace_is_diagnosed(self):
        self.wait(self.ml.workspaces.begin_diagnose(self.workspace))


class Deleted(WorkspaceCase):
    """A workspace that goes away."""

    workspace = "mlclient-deleted"

    def test_workspace_is_deleted(self):
        poller = self.ml.workspaces.begin_delete(
            self.workspace, delete_dependent_resources=False, permanently_delete=True
        )
        self.wait(poller)
        with self.assertRaises(ResourceNotFoundError):
            self.ml.workspaces.get(self.workspace)


class Computes(WorkspaceCase):
    """The three kinds of compute."""

    workspace = "mlclient-compute"

    def test_cluster_is_made_scaled_and_deleted(self):
        body = AmlCompute(
            name="cluster", size="Standard_DS3_v2", min_instances=0, max_instances=2, idle_time_before_scale_down=120
        )
        made = self.wait(self.ml.compute.begin_create_or_update(body))
        self.assertEqual(("Succeeded", 2), (made.provisioning_state, made.max_instances))
        made.max_instances = 4
        self.wait(self.ml.compute.begin_update(made))
        self.assertEqual(4, self.ml.compute.get("cluster").max_instances)
        self.assertEqual(["cluster"], [one.name for one in self.ml.compute.list(compute_type="AMLCompute")])
        self.assertEqual([], list(self.ml.compute.list_nodes("cluster")))
        self.wait(self.ml.compute.begin_delete("cluster"))
        with self.assertRaises(ResourceNotFoundError):
            self.ml.compute.get("cluster")

    def test_instance_is_made_stopped_started_and_deleted(self):
        self.wait(self.ml.compute.begin_create_or_update(ComputeInstance(name="instance-of-one", size="Standard_DS3_v2")))
        self.assertEqual("Running", self.ml.compute.get("instance-of-one").state)
        self.wait(self.ml.compute.begin_stop("instance-of-one"))
        self.assertEqual("Stopped", self.ml.compute.get("instance-of-one").state)
        self.wait(self.ml.compute.begin_start("instance-of-one"))
        self.wait(self.ml.compute.begin_restart("instance-of-one"))
        self.assertEqual("Running", self.ml.compute.get("instance-of-one").state)
        self.wait(self.ml.compute.begin_delete("instance-of-one"))

    def test_cluster_is_attached_and_detached(self):
        with raw() as service:
            arc = emulator.connect_cluster(service, GROUP, "edge")
        body = KubernetesCompute(name="attached", resource_id=arc, namespace="ml")
        made = self.wait(self.ml.compute.begin_create_or_update(body))
        self.assertEqual((arc.lower(), "ml"), (made.resource_id.lower(), made.namespace))
        self.wait(self.ml.compute.begin_delete("attached", action="Detach"))
        self.assertNotIn("attached", [one.name for one in self.ml.compute.list()])

    def test_sizes_and_usage_are_listed(self):
        self.assertIn("Standard_DS3_v2", [size.name for size in self.ml.compute.list_sizes()])
        self.assertTrue(list(self.ml.compute.list_usage()))


class Assets(WorkspaceCase):
    """Datastores, data, environments, models."""

    workspace = "mlclient-assets"

    def test_datastore_is_made_and_its_key_is_hidden(self):
        store = AzureBlobDatastore(
            name="models",
            account_name="mlopsstore",
            container_name="models",
            credentials=AccountKeyConfiguration(account_key="a2V5"),
        )
        self.ml.datastores.create_or_update(store)
        found = self.ml.datastores.get("models")
        self.assertEqual(("mlopsstore", "models"), (found.account_name, found.container_name))
        self.assertNotEqual("a2V5", getattr(found.credentials, "account_key", None))
        secret = self.ml.datastores.get("models", include_secrets=True)
        self.assertEqual("a2V5", secret.credentials.account_key)
        self.assertIn("models", [one.name for one in self.ml.datastores.list()])
        self.ml.datastores.delete("models")
        with self.assertRaises(ResourceNotFoundError):
            self.ml.datastores.get("models")

    def test_workspace_has_its_default_datastore(self):
        self.assertEqual("workspaceblobstore", self.ml.datastores.get_default().name)

    def test_data_is_versioned(self):
        path = "azureml://datastores/workspaceblobstore/paths/training/"
        for version in ("1", "2"):
            body = Data(name="training", version=version, type=AssetTypes.URI_FOLDER, path=path, tags={"v": version})
            made = self.ml.data.create_or_update(body)
            self.assertEqual(("training", version), (made.name, made.version))
        self.assertEqual("2", self.ml.data.get("training", label="latest").version)
        self.assertIn("training/", self.ml.data.get("training", "1").path)
        self.assertEqual({"1", "2"}, {one.version for one in self.ml.data.list("training")})
        self.ml.data.archive("training", "1")
        self.assertEqual({"2"}, {one.version for one in self.ml.data.list("training")})
        self.ml.data.restore("training", "1")
        self.assertIn("training", [one.name for one in self.ml.data.list()])

    def test_environment_is_made_and_listed(self):
        body = Environment(name="base", version="1", image="registry.example.com/base:1", description="an image")
        self.ml.environments.create_or_update(body)
        found = self.ml.environments.get("base", "1")
        self.assertEqual("registry.example.com/base:1", found.image)
        self.assertEqual(["1"], [one.version for one in self.ml.environments.list("base")])
        self.ml.environments.archive("base")
        self.assertNotIn("base", [one.name for one in self.ml.environments.list()])

    def test_model_is_registered_listed_and_archived(self):
        body = Model(name="churn", version="7", path=MODELS, type=AssetTypes.CUSTOM_MODEL, tags={"auc": "0.9"})
        made = self.ml.models.create_or_update(body)
        self.assertEqual(("churn", "7", "0.9"), (made.name, made.version, made.tags["auc"]))
        made.tags["stage"] = "test"
        self.ml.models.create_or_update(made)
        self.assertEqual("test", self.ml.models.get("churn", "7").tags["stage"])
        self.assertEqual(["7"], [one.version for one in self.ml.models.list("churn")])
        self.ml.models.archive("churn", "7")
        self.assertEqual([], list(self.ml.models.list("churn")))
        self.ml.models.restore("churn", "7")
        self.assertEqual(["7"], [one.version for one in self.ml.models.list("churn")])

    def test_model_without_a_version_gets_the_next(self):
        versions = [
            self.ml.models.create_or_update(Model(name="counted", path=MODELS, type=AssetTypes.CUSTOM_MODEL)).version
            for _ in range(2)
        ]
        self.assertEqual(["1", "2"], versions)


class Registries(WorkspaceCase):
    """A registry, and a model on its way into it."""

    workspace = "mlclient-registry"

    def test_model_is_shared(self):
        name = "mlclient-shared"
        region = RegistryRegionDetails(
            location=emulator.LOCATION,
            acr_config=[SystemCreatedAcrAccount(acr_account_sku="Premium")],
            storage_config=SystemCreatedStorageAccount(
                storage_account_hns=False, storage_account_type="Standard_LRS"
            ),
        )
        body = Registry(
            name=name,
            location=emulator.LOCATION,
            identity=IdentityConfiguration(type="system_assigned"),
            replication_locations=[region],
        )
        outer = client()
        self.wait(outer.registries.begin_create(body))
        self.assertEqual(name, outer.registries.get(name).name)
        self.assertIn(name, [one.name for one in outer.registries.list()])
        self.ml.models.create_or_update(Model(name="churn", version="7", path=MODELS, type=AssetTypes.CUSTOM_MODEL))
        shared = self.ml.models.share(
            name="churn", version="7", registry_name=name, share_with_name="churn", share_with_version="7"
        )
        self.assertEqual(("churn", "7"), (shared.name, shared.version))
        inside = client(registry=name)
        self.assertEqual("7", inside.models.get("churn", "7").version)
        self.assertEqual(["7"], [one.version for one in inside.models.list("churn")])
        with self.assertRaisesRegex(Exception, "already exists"):
            self.ml.models.share(
                name="churn", version="7", registry_name=name, share_with_name="churn", share_with_version="7"
            )
        # This client takes no interval from anybody, and waits 30 seconds.
        outer.registries._operation._config.polling_interval = POLL
        self.wait(outer.registries.begin_delete(name=name))


if __name__ == "__main__":
    unittest.main()
