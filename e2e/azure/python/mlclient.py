"""The official high-level client, as people use it: over HTTPS, told of a cloud of our own, with telemetry off."""

import logging
import os
import time
import unittest
import warnings

os.environ.setdefault("AZURE_TELEMETRY_DISABLED", "true")
warnings.filterwarnings("ignore")
logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)

from azure.ai.ml import MLClient  # noqa: E402
from azure.ai.ml._restclient.arm_ml_service import MachineLearningServicesMgmtClient  # noqa: E402
from azure.ai.ml.constants._common import STORAGE_ACCOUNT_URLS, LROConfigurations  # noqa: E402

import emulator  # noqa: E402
from emulator import ENDPOINT, POLL, arm_id  # noqa: E402

# The client waits five seconds between two polls, which is right for Azure and long for a service on this machine.
LROConfigurations.POLL_INTERVAL = POLL
LROConfigurations.SLEEP_TIME = POLL

# Whether deployments and jobs run: then blobs are in a service on this machine.
BLOBS = os.environ.get("BLOB_ENDPOINT")
if BLOBS:
    # The client makes an address of the account's name and a domain; here the account is the path, as on every
    # local blob service.
    STORAGE_ACCOUNT_URLS["AzureBlob"] = BLOBS + "/{0}"

GROUP = "mlclient"
CLOUD = {
    "resource_manager": ENDPOINT,
    "active_directory": emulator.AUTHORITY,
    "aml_resource_id": ENDPOINT,
    "azure_portal": ENDPOINT,
    "storage_endpoint": "core.local",
    "registry_discovery_endpoint": ENDPOINT,
}


def client(workspace=None, registry=None, group=GROUP):
    """An MLClient of a workspace, of a registry, or of the resource group."""
    where = {"registry_name": registry} if registry else {}
    return MLClient(
        emulator.credential(),
        emulator.SUBSCRIPTION,
        group,
        workspace,
        enable_telemetry=False,
        polling_interval=POLL,
        cloud="LocalCloud",
        cloud_metadata=CLOUD,
        **where,
    )


class WorkspaceCase(unittest.TestCase):
    """A test in a workspace of its class."""

    workspace = "mlclient"
    kind = "Default"

    @classmethod
    def setUpClass(cls):
        with raw() as service:
            body = {
                "location": emulator.LOCATION,
                "kind": cls.kind,
                "identity": {"type": "SystemAssigned"},
                "properties": {
                    "friendlyName": cls.workspace,
                    "storageAccount": arm_id(GROUP, "Microsoft.Storage", "storageAccounts", "mlopsstore"),
                    "keyVault": arm_id(GROUP, "Microsoft.KeyVault", "vaults", "mlclient-keys"),
                },
            }
            service.workspaces.begin_create_or_update(GROUP, cls.workspace, body, polling_interval=POLL).result(30)
        cls.ml = client(cls.workspace)

    def wait(self, poller):
        """The result of an operation."""
        return poller.result(timeout=60)

    def ended(self, name):
        """The status of a job that is over."""
        for _ in range(600):
            status = self.ml.jobs.get(name).status
            if status in ("Completed", "Failed", "Canceled"):
                return status
            time.sleep(POLL)
        raise AssertionError(f"{name} is still {status}")


def raw():
    """The client inside, for what the outer one can't do."""
    return MachineLearningServicesMgmtClient(
        credential=emulator.credential(),
        subscription_id=emulator.SUBSCRIPTION,
        base_url=ENDPOINT,
        credential_scopes=[f"{ENDPOINT}/.default"],
        retry_total=0,
    )
