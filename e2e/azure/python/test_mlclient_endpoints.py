"""Online and batch endpoints, by MLClient, up to the answer of a model."""

import csv
import json
import pathlib
import tempfile
import unittest

from azure.ai.ml import Input
from azure.ai.ml.constants import AssetTypes, BatchDeploymentOutputAction
from azure.ai.ml.entities import (
    BatchEndpoint,
    BatchRetrySettings,
    Data,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from mlclient import BLOBS, WorkspaceCase

PROBE = ProbeSettings(failure_threshold=30, success_threshold=1, timeout=2, period=1, initial_delay=1)


MODELS = pathlib.Path(__file__).parents[3] / "config/models/breast-cancer"
ROWS = json.loads((MODELS / "rows.json").read_text())["rows"]


class EndpointCase(WorkspaceCase):
    """A workspace with two versions of a model, whose files the client uploads."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ml.environments.create_or_update(Environment(name="base", version="1", image="registry.example.com/base:1"))
        for version in ("1", "2"):
            body = Model(
                name="nuclei", version=version, path=MODELS / f"model-v{version}.onnx", type=AssetTypes.CUSTOM_MODEL
            )
            cls.ml.models.create_or_update(body)


class Online(EndpointCase):
    """From an endpoint to its answers, and back."""

    workspace = "mlclient-online"
    endpoint = "mlclient-online"

    def test_endpoint_serves_and_moves_its_traffic(self):
        made = self.wait(
            self.ml.online_endpoints.begin_create_or_update(
                ManagedOnlineEndpoint(name=self.endpoint, auth_mode="key", description="scores", tags={"a": "b"})
            )
        )
        self.assertEqual(("Succeeded", "key"), (made.provisioning_state, made.auth_mode))
        self.assertTrue(made.scoring_uri)
        for version, name in (("1", "blue"), ("2", "green")):
            deployed = self.wait(self.ml.online_deployments.begin_create_or_update(self.deployment(name, version)))
            self.assertEqual(("Succeeded", 1), (deployed.provisioning_state, deployed.instance_count))
        self.assertEqual(
            {"blue", "green"}, {one.name for one in self.ml.online_deployments.list(self.endpoint)}
        )
        self.move({"blue": 90, "green": 10})
        self.check_invocation("blue", ("1",))
        self.check_invocation("green", ("2",))
        self.check_invocation(None, ("1", "2"))
        self.check_scaling()
        self.check_keys()
        self.assertIsInstance(self.ml.online_deployments.get_logs("blue", self.endpoint, lines=10), str)
        self.check_mirror()
        with self.assertRaises(HttpResponseError):
            self.wait(self.ml.online_deployments.begin_delete("blue", self.endpoint))
        self.move({"blue": 0, "green": 100})
        self.wait(self.ml.online_deployments.begin_delete("blue", self.endpoint))
        with self.assertRaises(ResourceNotFoundError):
            self.ml.online_deployments.get("blue", self.endpoint)
        self.wait(self.ml.online_endpoints.begin_delete(self.endpoint))
        with self.assertRaises(ResourceNotFoundError):
            self.ml.online_endpoints.get(self.endpoint)

    def deployment(self, name, version):
        """A deployment of a version of the model."""
        return ManagedOnlineDeployment(
            name=name,
            endpoint_name=self.endpoint,
            model=f"azureml:nuclei:{version}",
            environment="azureml:base:1",
            instance_type="Standard_DS3_v2",
            instance_count=1,
            environment_variables={"LOG_LEVEL": "info"},
            request_settings=OnlineRequestSettings(request_timeout_ms=5000, max_concurrent_requests_per_instance=2),
            liveness_probe=PROBE,
            readiness_probe=PROBE,
        )

    def move(self, traffic):
        """Splits the traffic."""
        endpoint = self.ml.online_endpoints.get(self.endpoint)
        endpoint.traffic = traffic
        self.wait(self.ml.online_endpoints.begin_create_or_update(endpoint))
        self.assertEqual(traffic, self.ml.online_endpoints.get(self.endpoint).traffic)

    def check_scaling(self):
        """Two instances of one deployment."""
        deployed = self.ml.online_deployments.get("green", self.endpoint)
        deployed.instance_count = 2
        self.wait(self.ml.online_deployments.begin_create_or_update(deployed))
        self.assertEqual(2, self.ml.online_deployments.get("green", self.endpoint).instance_count)

    def check_mirror(self):
        """A copy of some traffic for a deployment that answers nobody."""
        endpoint = self.ml.online_endpoints.get(self.endpoint)
        endpoint.traffic, endpoint.mirror_traffic = {"blue": 100, "green": 0}, {"green": 20}
        self.wait(self.ml.online_endpoints.begin_create_or_update(endpoint))
        self.assertEqual({"green": 20}, self.ml.online_endpoints.get(self.endpoint).mirror_traffic)
        endpoint = self.ml.online_endpoints.get(self.endpoint)
        endpoint.mirror_traffic = {}
        self.wait(self.ml.online_endpoints.begin_create_or_update(endpoint))

    def check_keys(self):
        """The client asks for the key that is there already, so nothing but the operation is to be seen."""
        before = self.ml.online_endpoints.get_keys(self.endpoint)
        self.wait(self.ml.online_endpoints.begin_regenerate_keys(self.endpoint, key_type="primary"))
        after = self.ml.online_endpoints.get_keys(self.endpoint)
        self.assertTrue(after.primary_key)
        self.assertEqual(before.secondary_key, after.secondary_key)

    def check_invocation(self, deployment_name, versions):
        """The answers are those of a version of the model, for every row."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            for row in ROWS[:4]:
                file.seek(0)
                file.truncate()
                json.dump(row["request"], file)
                file.flush()
                answer = self.ml.online_endpoints.invoke(
                    self.endpoint, request_file=file.name, deployment_name=deployment_name
                )
                self.assertIn(read(answer), [rounded(row["expected"][version]) for version in versions])


def read(answer):
    """The label and the probabilities in an answer of the Open Inference Protocol."""
    outputs = {one["name"]: one["data"] for one in json.loads(answer)["outputs"]}
    return rounded({"label": outputs["label"][0], "probabilities": outputs["probabilities"]})


def rounded(expected):
    """To what the two agree on."""
    return expected["label"], tuple(round(one, 4) for one in expected["probabilities"])


class Batch(EndpointCase):
    """From an endpoint to scored files."""

    workspace = "mlclient-batch"
    endpoint = "mlclient-batch"

    def test_endpoint_is_made_and_its_default_is_set(self):
        made = self.wait(
            self.ml.batch_endpoints.begin_create_or_update(BatchEndpoint(name=self.endpoint, description="scores files"))
        )
        self.assertEqual("Succeeded", made.provisioning_state)
        deployment = ModelBatchDeployment(
            name="first",
            endpoint_name=self.endpoint,
            model="azureml:nuclei:1",
            environment="azureml:base:1",
            settings=ModelBatchDeploymentSettings(
                instance_count=1,
                mini_batch_size=2,
                output_action=BatchDeploymentOutputAction.APPEND_ROW,
                output_file_name="predictions.csv",
                retry_settings=BatchRetrySettings(max_retries=3, timeout=30),
            ),
        )
        deployed = self.wait(self.ml.batch_deployments.begin_create_or_update(deployment))
        self.assertEqual("Succeeded", deployed.provisioning_state)
        endpoint = self.ml.batch_endpoints.get(self.endpoint)
        endpoint.defaults.deployment_name = "first"
        self.wait(self.ml.batch_endpoints.begin_create_or_update(endpoint))
        self.assertEqual("first", self.ml.batch_endpoints.get(self.endpoint).defaults.deployment_name)
        self.assertEqual(["first"], [one.name for one in self.ml.batch_deployments.list(self.endpoint)])
        self.check_invocation()
        self.wait(self.ml.batch_endpoints.begin_delete(self.endpoint))
        with self.assertRaises(ResourceNotFoundError):
            self.ml.batch_endpoints.get(self.endpoint)

    def check_invocation(self):
        """The rows of the files in a folder are scored by a job, which leaves its answers in a file."""
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            (work / "in").mkdir()
            for part in (0, 2):
                with open(work / f"in/part-{part}.csv", "w", newline="", encoding="utf-8") as file:
                    cells = [row["request"]["inputs"][0]["data"] for row in ROWS[part : part + 2]]
                    csv.writer(file).writerows([[f"x{index}" for index in range(30)], *cells])
            body = Data(name="rows", version="1", path=work / "in", type=AssetTypes.URI_FOLDER)
            data = self.ml.data.create_or_update(body)
            job = self.ml.batch_endpoints.invoke(
                self.endpoint, input=Input(type=AssetTypes.URI_FOLDER, path=data.path)
            )
            self.assertEqual("Completed", self.ended(job.name))
            self.assertIn(job.name, [one.name for one in self.ml.batch_endpoints.list_jobs(self.endpoint)])
            self.check_predictions(self.ml.jobs.get(job.name).outputs)

    def check_predictions(self, outputs):
        """One line for each row, where the job says that its output is."""
        uri = outputs["score"].path
        store = self.ml.datastores.get(uri.split("/datastores/")[1].split("/")[0], include_secrets=True)
        credentials = store.credentials
        key = getattr(credentials, "account_key", None) or getattr(credentials, "sas_token", None)
        container = ContainerClient(f"{BLOBS}/{store.account_name}", store.container_name, credential=key)
        path = uri.split("/paths/")[1].strip("/")
        found = [blob.name for blob in container.list_blobs(path) if blob.name.endswith("predictions.csv")]
        self.assertEqual(1, len(found), uri)
        lines = container.download_blob(found[0]).readall().decode().strip().splitlines()
        labels = [int(line["label"]) for line in csv.DictReader(lines)]
        self.assertEqual([row["expected"]["1"]["label"] for row in ROWS[:4]], labels)

if __name__ == "__main__":
    unittest.main()
