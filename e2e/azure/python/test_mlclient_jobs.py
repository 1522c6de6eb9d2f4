"""Jobs, schedules and monitors, by MLClient."""

import unittest

from azure.ai.ml import Input, command, dsl
from azure.ai.ml.constants import AssetTypes, MonitorDatasetContext, MonitorTargetTasks
from azure.ai.ml.entities import (
    AlertNotification,
    CronTrigger,
    DataDriftMetricThreshold,
    DataDriftSignal,
    Environment,
    JobSchedule,
    MonitorDefinition,
    MonitoringTarget,
    MonitorSchedule,
    NumericalDriftMetrics,
    ProductionData,
    RecurrencePattern,
    RecurrenceTrigger,
    ReferenceData,
    ServerlessSparkCompute,
)
from azure.core.exceptions import ResourceNotFoundError

from mlclient import WorkspaceCase


class JobCase(WorkspaceCase):
    """A workspace with an environment for jobs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ml.environments.create_or_update(Environment(name="base", version="1", image="registry.example.com/base:1"))

    def step(self, text, name):
        """A command that needs no code."""
        return command(
            name=name, display_name=name, command=text, environment="azureml:base:1", experiment_name="suite"
        )

    def pipeline(self, name):
        """A pipeline of one step."""
        step = self.step("echo trained", "train")

        @dsl.pipeline(name=name, display_name=name, experiment_name="suite", default_compute="serverless")
        def train():
            step()

        return train()


class Jobs(JobCase):
    """A command and a pipeline."""

    workspace = "mlclient-jobs"

    def test_command_runs(self):
        job = self.ml.jobs.create_or_update(self.step("echo trained", "mlclient-command"))
        self.assertEqual("mlclient-command", job.name)
        self.assertIn(job.name, [one.name for one in self.ml.jobs.list()])
        found = self.ml.jobs.get(job.name)
        self.assertEqual("echo trained", found.command)
        found.tags = {"stage": "test"}
        self.ml.jobs.create_or_update(found)
        self.assertEqual({"stage": "test"}, dict(self.ml.jobs.get(job.name).tags))
        self.ml.jobs.archive(job.name)
        self.assertNotIn(job.name, [one.name for one in self.ml.jobs.list()])
        self.ml.jobs.restore(job.name)
        self.assertEqual("Completed", self.ended(job.name))

    def test_command_that_fails_is_failed(self):
        job = self.ml.jobs.create_or_update(self.step("exit 3", "mlclient-failed"))
        self.assertEqual("Failed", self.ended(job.name))

    def test_command_is_canceled(self):
        job = self.ml.jobs.create_or_update(self.step("sleep 600", "mlclient-canceled"))
        self.wait(self.ml.jobs.begin_cancel(job.name))
        self.assertIn(self.ml.jobs.get(job.name).status, ("Canceled", "CancelRequested"))

    def test_pipeline_runs(self):
        job = self.ml.jobs.create_or_update(self.pipeline("mlclient-pipeline"))
        self.assertEqual("mlclient-pipeline", job.display_name)
        self.assertEqual(["train"], list(self.ml.jobs.get(job.name).jobs))
        self.assertEqual("Completed", self.ended(job.name))

    def test_unknown_job_is_not_found(self):
        with self.assertRaises(ResourceNotFoundError):
            self.ml.jobs.get("mlclient-nobody")


class Schedules(JobCase):
    """A pipeline every night, and a monitor every day."""

    workspace = "mlclient-schedules"

    def test_schedule_is_made_disabled_and_deleted(self):
        trigger = CronTrigger(expression="0 3 * * *", time_zone="UTC", start_time="2030-01-01T00:00:00")
        body = JobSchedule(name="nightly", trigger=trigger, create_job=self.pipeline("scheduled"), tags={"a": "b"})
        made = self.wait(self.ml.schedules.begin_create_or_update(body))
        self.assertEqual((True, "0 3 * * *"), (made.is_enabled, made.trigger.expression))
        self.assertIn("nightly", [one.name for one in self.ml.schedules.list()])
        self.assertFalse(self.wait(self.ml.schedules.begin_disable("nightly")).is_enabled)
        self.assertTrue(self.wait(self.ml.schedules.begin_enable("nightly")).is_enabled)
        self.wait(self.ml.schedules.begin_disable("nightly"))
        self.wait(self.ml.schedules.begin_delete("nightly"))
        with self.assertRaises(ResourceNotFoundError):
            self.ml.schedules.get("nightly")

    def test_monitor_is_made_and_read(self):
        """The client speaks a preview here: trailing windows, and on or off for each signal."""
        signal = DataDriftSignal(
            production_data=ProductionData(
                input_data=Input(type=AssetTypes.URI_FOLDER, path="azureml://datastores/workspaceblobstore/paths/p/"),
                data_context=MonitorDatasetContext.MODEL_INPUTS,
            ),
            reference_data=ReferenceData(
                input_data=Input(type=AssetTypes.MLTABLE, path="azureml://datastores/workspaceblobstore/paths/r/"),
                data_context=MonitorDatasetContext.TRAINING,
            ),
            metric_thresholds=DataDriftMetricThreshold(
                numerical=NumericalDriftMetrics(normalized_wasserstein_distance=0.1)
            ),
            alert_enabled=True,
        )
        definition = MonitorDefinition(
            compute=ServerlessSparkCompute(instance_type="standard_e4s_v3", runtime_version="3.4"),
            monitoring_target=MonitoringTarget(ml_task=MonitorTargetTasks.CLASSIFICATION),
            monitoring_signals={"drift": signal},
            alert_notification=AlertNotification(emails=["ml@example.com"]),
        )
        trigger = RecurrenceTrigger(frequency="day", interval=1, schedule=RecurrencePattern(hours=3, minutes=15))
        body = MonitorSchedule(name="watch", trigger=trigger, create_monitor=definition)
        made = self.wait(self.ml.schedules.begin_create_or_update(body))
        found = self.ml.schedules.get("watch")
        for one in (made, found):
            drift = one.create_monitor.monitoring_signals["drift"]
            self.assertEqual(0.1, drift.metric_thresholds.numerical.normalized_wasserstein_distance)
            self.assertTrue(drift.alert_enabled)
            self.assertEqual(["ml@example.com"], one.create_monitor.alert_notification.emails)
        self.wait(self.ml.schedules.begin_disable("watch"))
        self.wait(self.ml.schedules.begin_delete("watch"))


if __name__ == "__main__":
    unittest.main()
