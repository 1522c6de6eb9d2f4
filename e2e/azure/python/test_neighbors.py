"""Cluster extensions by azure-mgmt-kubernetesconfiguration, alerts and action groups by azure-mgmt-monitor."""

import unittest

from azure.ai.ml._restclient.arm_ml_service import MachineLearningServicesMgmtClient
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.kubernetesconfiguration import SourceControlConfigurationClient
from azure.mgmt.monitor import MonitorManagementClient

import emulator
from emulator import POLL, arm_id

GROUP = "neighbors"
CLUSTER = ("Microsoft.Kubernetes", "connectedClusters", "edge")


def client(kind, recorder, **more):
    """An official client of the emulator."""
    return kind(
        credential=emulator.credential(),
        subscription_id=emulator.SUBSCRIPTION,
        base_url=emulator.ENDPOINT,
        credential_scopes=[f"{emulator.ENDPOINT}/.default"],
        polling_interval=POLL,
        retry_total=0,
        raw_response_hook=recorder,
        **more,
    )


class Extensions(unittest.TestCase):
    """The extension that attaching a cluster needs."""

    @classmethod
    def setUpClass(cls):
        cls.recorder = emulator.Recorder()
        cls.client = client(SourceControlConfigurationClient, cls.recorder)
        cls.addClassCleanup(cls.client.close)

    def first(self, mark):
        return self.recorder.since(mark)[0]

    def test_extension_is_installed_changed_and_removed(self):
        with MachineLearningServicesMgmtClient(
            emulator.credential(),
            emulator.SUBSCRIPTION,
            emulator.ENDPOINT,
            credential_scopes=[f"{emulator.ENDPOINT}/.default"],
        ) as service:
            emulator.connect_cluster(service, GROUP, "edge", extended=False)
        extensions, names = self.client.extensions, (GROUP, *CLUSTER, "azureml")
        body = {
            "extension_type": "Microsoft.AzureML.Kubernetes",
            "auto_upgrade_minor_version": True,
            "release_train": "Stable",
            "scope": {"cluster": {"release_namespace": "azureml"}},
            "configuration_settings": {"enableTraining": "True", "enableInference": "False"},
            "configuration_protected_settings": {"sslKeyPemFile": "a secret"},
        }
        with self.assertRaises(ResourceNotFoundError):
            extensions.get(*names)
        mark = self.recorder.mark()
        made = extensions.begin_create(*names, body, polling_interval=POLL).result(30)
        answer = self.first(mark)
        self.assertEqual(201, answer.status)
        self.assertIn("azure-asyncoperation", answer.headers)
        self.assertEqual("Succeeded", made.provisioning_state)
        found = extensions.get(*names)
        self.assertEqual(body["configuration_settings"], found.configuration_settings)
        self.assertNotEqual("a secret", (found.configuration_protected_settings or {}).get("sslKeyPemFile"))
        self.assertEqual("azureml", found.scope.cluster.release_namespace)
        self.assertTrue(found.current_version, "an installed extension has a version")
        self.assertIn("azureml", [one.name for one in extensions.list(GROUP, *CLUSTER)])
        patch = {"configuration_settings": {"inferenceRouterHA": "False"}}
        mark = self.recorder.mark()
        extensions.begin_update(*names, patch, polling_interval=POLL).result(30)
        self.assertIn(self.first(mark).status, (200, 202))
        settings = extensions.get(*names).configuration_settings
        self.assertEqual("False", settings.get("inferenceRouterHA"))
        mark = self.recorder.mark()
        extensions.begin_delete(*names, polling_interval=POLL).result(30)
        self.assertIn(self.first(mark).status, (200, 202))
        with self.assertRaises(ResourceNotFoundError):
            extensions.get(*names)


class Monitoring(unittest.TestCase):
    """What tells people that an endpoint is slow."""

    @classmethod
    def setUpClass(cls):
        cls.recorder = emulator.Recorder()
        cls.client = client(MonitorManagementClient, cls.recorder)
        cls.addClassCleanup(cls.client.close)

    def status(self):
        return self.recorder.exchanges[-1].status

    def test_action_group_is_made_listed_and_deleted(self):
        groups, names = self.client.action_groups, (GROUP, "team-churn")
        body = {
            "location": "Global",
            "properties": {
                "groupShortName": "churn",
                "enabled": True,
                "emailReceivers": [
                    {"name": "ml", "emailAddress": "ml@example.com", "useCommonAlertSchema": True}
                ],
                "webhookReceivers": [{"name": "hook", "serviceUri": "https://hook.example.com/alerts"}],
            },
        }
        made = groups.create_or_update(*names, body)
        self.assertEqual(201, self.status())
        self.assertEqual("ml@example.com", made.email_receivers[0].email_address)
        groups.create_or_update(*names, body)
        self.assertEqual(200, self.status())
        self.assertEqual("churn", groups.get(*names).group_short_name)
        self.assertIn("team-churn", [one.name for one in groups.list_by_resource_group(GROUP)])
        groups.delete(*names)
        self.assertEqual(200, self.status())
        with self.assertRaises(ResourceNotFoundError):
            groups.get(*names)
        groups.delete(*names)
        self.assertEqual(204, self.status())

    def test_metric_alert_is_made_changed_listed_and_deleted(self):
        alerts, names = self.client.metric_alerts, (GROUP, "churn-latency")
        endpoint = arm_id(
            GROUP, emulator.PROVIDER, "workspaces", "churn", "onlineEndpoints", "churn"
        )
        criterion = {
            "criterionType": "StaticThresholdCriterion",
            "name": "p95",
            "metricName": "RequestLatency_P95",
            "metricNamespace": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            "operator": "GreaterThan",
            "threshold": 200,
            "timeAggregation": "Average",
        }
        body = {
            "location": "global",
            "tags": {"a": "b"},
            "properties": {
                "description": "slow",
                "severity": 2,
                "enabled": True,
                "scopes": [endpoint],
                "evaluationFrequency": "PT1M",
                "windowSize": "PT5M",
                "criteria": {
                    "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                    "allOf": [criterion],
                },
                "actions": [
                    {"actionGroupId": arm_id(GROUP, "Microsoft.Insights", "actionGroups", "team-churn")}
                ],
            },
        }
        alerts.create_or_update(*names, body)
        self.assertEqual(200, self.status())
        found = alerts.get(*names)
        self.assertEqual((2, "PT5M", [endpoint]), (found.severity, self.recorder.exchanges[-1].body["properties"]["windowSize"], found.scopes))
        self.assertEqual(200, found.criteria.all_of[0].threshold)
        alerts.create_or_update(*names, body | {"properties": body["properties"] | {"severity": 1}})
        self.assertEqual(1, alerts.get(*names).severity)
        self.assertIn("churn-latency", [one.name for one in alerts.list_by_resource_group(GROUP)])
        alerts.delete(*names)
        self.assertEqual(200, self.status())
        with self.assertRaises(ResourceNotFoundError):
            alerts.get(*names)
        alerts.delete(*names)
        self.assertEqual(204, self.status())


if __name__ == "__main__":
    unittest.main()
