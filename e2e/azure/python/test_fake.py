"""The official Go fake server behind its adapter, polled by a client that is not Go's.

Needs FAKE_ENDPOINT; the server has the core operations alone.
"""

import os
import unittest

from azure.ai.ml._restclient.arm_ml_service import MachineLearningServicesMgmtClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy

import emulator
from emulator import LOCATION as REGION
from statuses import ASYNC, LOCATION, Lifecycle, StatusCase

GROUP, WORKSPACE = "fake", "fake-workspace"


class Plain(SansIOHTTPPolicy):
    """Sends a token over HTTP, which the client's own policy refuses."""

    def on_request(self, request):
        request.context.options.pop("enforce_https", None)
        request.http_request.headers["Authorization"] = "Bearer made-up"


class Credential:
    """Asked by nobody, but the client wants one."""

    def get_token(self, *_scopes, **_options):
        return AccessToken("made-up", 4_000_000_000)


class Fake(StatusCase):
    """What our own client relies on, shown to a third."""

    @classmethod
    def setUpClass(cls):
        cls.recorder = emulator.Recorder()
        cls.raw = MachineLearningServicesMgmtClient(
            credential=Credential(),
            subscription_id=emulator.SUBSCRIPTION,
            base_url=os.environ["FAKE_ENDPOINT"],
            authentication_policy=Plain(),
            polling_interval=emulator.POLL,
            retry_total=0,
            raw_response_hook=cls.recorder,
        )
        cls.addClassCleanup(cls.raw.close)
        body = {"location": REGION, "kind": "Default", "properties": {"friendlyName": "fake"}}
        cls.kind = Lifecycle(
            "workspaces",
            (GROUP, WORKSPACE),
            body,
            create=LOCATION,
            delete=LOCATION,
            created=202,
            updated=202,
            patch={"tags": {"a": "b"}, "properties": {"description": "patched"}},
            listing="list_by_resource_group",
        )

    def setUp(self):
        name = self.id().rsplit("_", maxsplit=1)[-1]
        self.workspace = f"{WORKSPACE}-{name}"
        self.call(
            "workspaces", "begin_create_or_update", GROUP, self.workspace, self.kind.body, statuses=(202,), header=LOCATION
        )

    def test_lifecycle_of_workspace(self):
        self.run_lifecycle(self.kind)

    def test_lifecycle_of_compute(self):
        scale = {"minNodeCount": 0, "maxNodeCount": 2}
        properties = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2", "scaleSettings": scale}}
        self.run_lifecycle(
            Lifecycle(
                "compute",
                (GROUP, self.workspace, "cluster"),
                {"location": REGION, "properties": properties},
                create=ASYNC,
                delete=LOCATION,
                updated=201,
                deleting={"underlying_resource_action": "Delete"},
            )
        )

    def test_lifecycle_of_model(self):
        body = {"properties": {"modelUri": "azureml://datastores/d/paths/m/", "modelType": "custom_model"}}
        self.run_lifecycle(Lifecycle("model_versions", (GROUP, self.workspace, "churn", "1"), body))

    def test_lifecycle_of_endpoint(self):
        endpoint = Lifecycle(
            "online_endpoints",
            (GROUP, self.workspace, "fake-online"),
            {"location": REGION, "properties": {"authMode": "Key"}},
            create=ASYNC,
            delete=LOCATION,
            updated=201,
        )
        properties = {"endpointComputeType": "Managed", "model": "m", "scaleSettings": {"scaleType": "Default"}}
        deployment = Lifecycle(
            "online_deployments",
            (*endpoint.names, "blue"),
            {"location": REGION, "sku": {"name": "Default", "capacity": 1}, "properties": properties},
            create=ASYNC,
            delete=LOCATION,
            updated=201,
            patch={"sku": {"capacity": 2}},
        )
        self.run_creation(endpoint)
        self.run_creation(deployment)
        self.run_update(deployment)
        full = {"location": REGION, "properties": {"authMode": "Key", "traffic": {"blue": 100}}}
        self.call("online_endpoints", "begin_create_or_update", *endpoint.names, full, statuses=(201,), header=ASYNC)
        with self.assertRaises(HttpResponseError):
            self.call("online_deployments", "begin_delete", *deployment.names, statuses=(400,))
        self.call(
            "online_endpoints", "begin_create_or_update", *endpoint.names, endpoint.body, statuses=(201,), header=ASYNC
        )
        self.run_deletion(deployment)
        self.run_deletion(endpoint)


if __name__ == "__main__":
    unittest.main()
