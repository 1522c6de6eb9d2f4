"""Where the service is, and official clients of it that remember what was answered.

Everything comes from the environment, so that the same suites run against any Azure Resource Manager:
ARM_ENDPOINT, ARM_AUTHORITY (default: the endpoint), REQUESTS_CA_BUNDLE, ARM_SUBSCRIPTION, ARM_TENANT, ARM_CLIENT_ID,
ARM_CLIENT_SECRET. With BODIES_OUT every body that the service answered is appended there for the Go models to judge.
"""

import base64
import dataclasses
import json
import os
import re
import threading
import time
import urllib.parse

from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential

ENDPOINT = os.environ["ARM_ENDPOINT"].rstrip("/")
AUTHORITY = os.environ.get("ARM_AUTHORITY", ENDPOINT).rstrip("/")
SUBSCRIPTION = os.environ.get("ARM_SUBSCRIPTION", "11111111-1111-1111-1111-111111111111")
TENANT = os.environ.get("ARM_TENANT", "72f988bf-0000-4000-8000-2d7cd011db47")
CLIENT = os.environ.get("ARM_CLIENT_ID", "c11e0000-0000-4000-8000-000000000001")
SECRET = os.environ.get("ARM_CLIENT_SECRET", "emulator-secret")
LOCATION = "westeurope"
PROVIDER = "Microsoft.MachineLearningServices"

# The seconds between two polls, which the clients take where the service names none.
POLL = 0.1


def credential():
    """A service principal's, through the official identity library and the service's own token endpoint."""
    return ClientSecretCredential(TENANT, CLIENT, SECRET, authority=AUTHORITY, disable_instance_discovery=True)


def arm_id(group, provider, *path):
    """The id of a resource in this subscription."""
    return "/".join(["", "subscriptions", SUBSCRIPTION, "resourceGroups", group, "providers", provider, *path])


@dataclasses.dataclass
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    query: dict
    status: int
    headers: dict
    body: object


class Recorder:
    """Remembers every exchange of the clients that it is given to as `raw_response_hook`."""

    def __init__(self):
        self.exchanges = []
        self.lock = threading.Lock()

    def __call__(self, response):
        request, answer = response.http_request, response.http_response
        url = urllib.parse.urlsplit(request.url)
        if hasattr(answer, "read"):
            # The answer that begins an operation is a stream, which can be read more than once.
            answer.read()
        try:
            body = json.loads(answer.text())
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        query = dict(urllib.parse.parse_qsl(url.query))
        exchange = Exchange(request.method, url.path, query, answer.status_code, headers, body)
        with self.lock:
            self.exchanges.append(exchange)
        keep(exchange)

    def mark(self):
        """The place in the record from which `since` reads."""
        return len(self.exchanges)

    def since(self, mark):
        """The exchanges after a mark."""
        return self.exchanges[mark:]


# The Go model of what is at an id, by the types in it.
MODELS = [
    (r"/workspaces/[^/]+$", "Workspace"),
    (r"/workspaces/[^/]+/computes/[^/]+$", "ComputeResource"),
    (r"/workspaces/[^/]+/datastores/[^/]+$", "Datastore"),
    (r"/workspaces/[^/]+/connections/[^/]+$", "WorkspaceConnectionPropertiesV2BasicResource"),
    (r"/workspaces/[^/]+/outboundRules/[^/]+$", "OutboundRuleBasicResource"),
    (r"/(workspaces|registries)/[^/]+/models/[^/]+$", "ModelContainer"),
    (r"/(workspaces|registries)/[^/]+/models/[^/]+/versions/[^/]+$", "ModelVersion"),
    (r"/(workspaces|registries)/[^/]+/environments/[^/]+$", "EnvironmentContainer"),
    (r"/(workspaces|registries)/[^/]+/environments/[^/]+/versions/[^/]+$", "EnvironmentVersion"),
    (r"/(workspaces|registries)/[^/]+/data/[^/]+$", "DataContainer"),
    (r"/(workspaces|registries)/[^/]+/data/[^/]+/versions/[^/]+$", "DataVersionBase"),
    (r"/(workspaces|registries)/[^/]+/codes/[^/]+$", "CodeContainer"),
    (r"/(workspaces|registries)/[^/]+/codes/[^/]+/versions/[^/]+$", "CodeVersion"),
    (r"/(workspaces|registries)/[^/]+/components/[^/]+$", "ComponentContainer"),
    (r"/(workspaces|registries)/[^/]+/components/[^/]+/versions/[^/]+$", "ComponentVersion"),
    (r"/onlineEndpoints/[^/]+$", "OnlineEndpoint"),
    (r"/onlineEndpoints/[^/]+/deployments/[^/]+$", "OnlineDeployment"),
    (r"/batchEndpoints/[^/]+$", "BatchEndpoint"),
    (r"/batchEndpoints/[^/]+/deployments/[^/]+$", "BatchDeployment"),
    (r"/workspaces/[^/]+/schedules/[^/]+$", "Schedule"),
    (r"/workspaces/[^/]+/jobs/[^/]+$", "JobBase"),
    (r"/registries/[^/]+$", "Registry"),
    (r"/Microsoft.KubernetesConfiguration/extensions/[^/]+$", "Extension"),
    (r"/Microsoft.Insights/metricAlerts/[^/]+$", "MetricAlertResource"),
    (r"/Microsoft.Insights/actionGroups/[^/]+$", "ActionGroupResource"),
    (r"/Microsoft.Authorization/roleAssignments/[^/]+$", "RoleAssignment"),
    (r"/Microsoft.Authorization/roleDefinitions/[^/]+$", "RoleDefinition"),
]
STABLE = {"2025-12-01", "2023-05-01", "2018-03-01", "2023-01-01", "2022-04-01"}
keeping = threading.Lock()


def keep(exchange):
    """Hands the answered resource to the Go models, unless the api-version is not theirs."""
    path = os.environ.get("BODIES_OUT")
    body = exchange.body
    if not path or not isinstance(body, dict) or exchange.query.get("api-version") not in STABLE:
        return
    resources = body["value"] if isinstance(body.get("value"), list) else [body]
    lines = []
    for resource in resources:
        name = resource.get("id") if isinstance(resource, dict) else None
        found = [model for pattern, model in MODELS if name and re.search(pattern, name, re.IGNORECASE)]
        if found:
            named = f"{exchange.method} {exchange.path}"
            lines.append(json.dumps({"type": found[-1], "name": named, "body": resource}))
    with keeping, open(path, "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def contains(sent, got, path=""):
    """What of a sent value is not in the answer, as sentences."""
    if isinstance(sent, dict):
        if not isinstance(got, dict):
            return [f"{path or '/'}: sent an object, got {got!r}"]
        return [line for key, value in sent.items() for line in contains(value, got.get(key), f"{path}/{key}")]
    if isinstance(sent, list):
        if not isinstance(got, list) or len(sent) != len(got):
            return [f"{path}: sent {sent!r}, got {got!r}"]
        return [line for index, value in enumerate(sent) for line in contains(value, got[index], f"{path}/{index}")]
    same = sent == got or (isinstance(sent, str) and isinstance(got, str) and sent.lower() == got.lower())
    return [] if same else [f"{path}: sent {sent!r}, got {got!r}"]


def connect_cluster(client, group, name, extended=True):
    """Connects a cluster as its agents would, and if `extended` installs the extension that attaching needs.

    `client` is any official client with `send_request`: neither call is in its own operations.
    """
    cluster = arm_id(group, "Microsoft.Kubernetes", "connectedClusters", name)
    extension = f"{cluster}/providers/Microsoft.KubernetesConfiguration/extensions/azureml"
    certificate = base64.b64encode(b"the public key of the agents").decode()
    settings = {"enableTraining": "True", "enableInference": "True", "inferenceRouterServiceType": "ClusterIP"}
    bodies = [
        (
            cluster,
            "2021-10-01",
            {
                "location": LOCATION,
                "identity": {"type": "SystemAssigned"},
                "properties": {"agentPublicKeyCertificate": certificate},
            },
        ),
        (
            extension,
            "2023-05-01",
            {"properties": {"extensionType": "Microsoft.AzureML.Kubernetes", "configurationSettings": settings}},
        ),
    ]
    for path, version, body in bodies[: 2 if extended else 1]:
        put_and_wait(client, f"{path}?api-version={version}", body)
    return cluster


def put_and_wait(client, path, body):
    """Puts a resource and reads it until it is provisioned."""
    answer = client.send_request(HttpRequest("PUT", ENDPOINT + path, json=body))
    answer.raise_for_status()
    for _ in range(200):
        found = client.send_request(HttpRequest("GET", ENDPOINT + path)).json()
        if found["properties"].get("provisioningState", "Succeeded") == "Succeeded":
            return
        time.sleep(POLL)
    raise AssertionError(f"{path} is not provisioned: {found}")

