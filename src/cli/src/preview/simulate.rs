//! What becomes of one object, write by write: each plan is taken to be done, and the next is made from what it leaves.
//!
//! So the writes that wait for others, such as sending requests to a deployment that is ready, are shown too.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::azure::{AzureStatus, FINALIZER, Management, ManagementMode, PROTECT_ANNOTATION};
use api::meta::ConditionType;
use plan::azure::{
    AzureKind, Compiled, Facts, Owner, Refusal, SecretFacts, Sight, Subject, World, performed, planned,
};
use plan::endpoint::azure::{AzurePart, azure_part};
use plan::{Step, condition};
use serde_json::{Value, json};

use super::report::ObjectReport;
use super::{Scene, cluster, documents, local};
use crate::azure::Known;
use crate::failure::Failure;

/// How many plans follow each other at most.
const STAGES: usize = 6;

/// What happens to an object.
pub(super) async fn object(scene: &Scene, object: &Value, report: &mut ObjectReport) -> Result<(), Failure> {
    let kind = documents::kind(object);
    let part = match kind {
        "Endpoint" => azure_part(object),
        "ServingRuntime" | "ModelPromotion" | "Approval" => return Ok(()),
        "Model" if plan::model::is_alone(object) => return Ok(()),
        _ => AzurePart::Wanted,
    };
    let mut last = None;
    let mut first_steps = Vec::new();
    if let (Some(azure_kind), true) = (plan::azure::kind(kind), part != AzurePart::Nothing) {
        let mut run =
            Run { scene, kind: azure_kind, object: object.clone(), known: Known::default(), exported: None };
        let is_retired = matches!(part, AzurePart::Retired | AzurePart::Kept);
        (first_steps, last) = run.stages(is_retired, report).await?;
    }
    if kind == "Endpoint" {
        let steps = local::steps(scene, object, last, report).await?;
        first_steps.extend(steps);
    }
    report.hash = planned(&first_steps).map(|plan| plan.hash);
    Ok(())
}

/// An object on its way.
struct Run<'a> {
    scene: &'a Scene,
    kind: &'a AzureKind,
    object: Value,
    known: Known,
    /// The digests of what was exported.
    exported: Option<BTreeMap<String, String>>,
}

impl Run<'_> {
    /// Plans until nothing is left to do. Gives the writes of the first plan, and the last outcome.
    async fn stages(
        &mut self,
        is_retired: bool,
        report: &mut ObjectReport,
    ) -> Result<(Vec<Step>, Option<plan::azure::Outcome>), Failure> {
        let mut first = Vec::new();
        let mut last = None;
        for stage in 0..STAGES {
            let world = self.world(is_retired, report).await?;
            let outcome = plan::azure::plan(&world);
            let is_deleting = world.subject.deleting;
            let steps = if is_deleting { &outcome.plan.steps } else { &outcome.proposed };
            let steps: Vec<Step> =
                steps.iter().filter(|step| !matches!(step, Step::Finalizer(_))).cloned().collect();
            if stage == 0 {
                report.problems.extend(refusal(&world, &outcome.plan.status));
                if !is_deleting && !world.subject.finalizer && !steps.is_empty() {
                    report.add(&Step::Finalizer(true), 1);
                }
                first.clone_from(&steps);
            }
            for step in &steps {
                report.add(step, stage + 1);
            }
            let mut status = outcome.plan.status.clone();
            for step in &steps {
                self.take(step);
                performed(&mut status, step, None);
            }
            self.remember(&status);
            last = Some(outcome);
            if steps.is_empty() {
                break;
            }
        }
        Ok((first, last))
    }

    fn compile(&self, seen: &BTreeMap<arm::ResourceId, Sight>) -> Result<Compiled, Refusal> {
        let objects = self.scene.neighbours(&self.object);
        let facts = Facts {
            now: self.scene.now,
            objects: &objects,
            seen,
            subscription: self.scene.subscription.as_deref(),
            assume_ready: true,
        };
        (self.kind.compile)(&self.object, &facts)
    }

    async fn world(&mut self, is_retired: bool, report: &mut ObjectReport) -> Result<World, Failure> {
        let status = self.status();
        let mut known = std::mem::take(&mut self.known);
        let mut compiled = self.scene.reads.compile(&mut known, &status, |seen| self.compile(seen)).await?;
        if self.scene.reads.is_offline()
            && let Ok(compiled) = &mut compiled
        {
            for requirement in std::mem::take(&mut compiled.requires) {
                report.assume(format!("{} is there, as it must be", requirement.id));
            }
        }
        let secrets = self.secrets(compiled.as_ref().ok(), report).await?;
        let exported = self.exported(compiled.as_ref().ok()).await?;
        let world = World {
            now: self.scene.now,
            subject: self.subject(status, is_retired),
            compiled,
            seen: known.seen.clone(),
            polled: known.polled.clone(),
            secrets,
            exported,
            portal: self.scene.portal.clone(),
            sync: Duration::from_mins(10),
        };
        // What ran when it was first looked at is over once something more is written.
        self.known = known;
        Ok(world)
    }

    async fn secrets(
        &self,
        compiled: Option<&Compiled>,
        report: &mut ObjectReport,
    ) -> Result<BTreeMap<String, SecretFacts>, Failure> {
        let mut facts: BTreeMap<String, SecretFacts> = BTreeMap::new();
        let values =
            compiled.into_iter().flat_map(|compiled| &compiled.wanted).flat_map(|wanted| &wanted.secrets);
        for value in values {
            if let Some(cluster) = &self.scene.cluster {
                let namespace = documents::namespace(&self.object);
                if !facts.contains_key(&value.secret)
                    && let Some(found) = cluster::secret(cluster, namespace, &value.secret).await?
                {
                    facts.insert(value.secret.clone(), found);
                }
                continue;
            }
            report.assume(format!("the Secret {} has the key {}", value.secret, value.key));
            let entry = facts.entry(value.secret.clone());
            let entry = entry.or_insert(SecretFacts { version: String::new(), keys: BTreeSet::new() });
            entry.keys.insert(value.key.clone());
        }
        Ok(facts)
    }

    async fn exported(&mut self, compiled: Option<&Compiled>) -> Result<BTreeMap<String, String>, Failure> {
        if let Some(known) = &self.exported {
            return Ok(known.clone());
        }
        let mut digests = BTreeMap::new();
        if let (Some(cluster), Some(compiled)) = (&self.scene.cluster, compiled) {
            for export in &compiled.exports {
                let namespace = documents::namespace(&self.object);
                if let Some(digest) = cluster::export_digest(cluster, namespace, export).await? {
                    digests.insert(export.name.clone(), digest);
                }
            }
        }
        self.exported = Some(digests.clone());
        Ok(digests)
    }

    fn subject(&self, status: AzureStatus, is_retired: bool) -> Subject {
        let metadata = &self.object["metadata"];
        let mut management: Management =
            serde_json::from_value(self.object["spec"]["management"].clone()).unwrap_or_default();
        management.deletion = Some(management.deletion.unwrap_or_else(|| (self.kind.deletion)(&self.object)));
        if management.mode == ManagementMode::Plan {
            // The writes are the same; only nobody makes them.
            management.mode = ManagementMode::Manage;
        }
        let has_finalizer =
            metadata["finalizers"].as_array().into_iter().flatten().any(|finalizer| finalizer == FINALIZER);
        Subject {
            owner: Owner {
                cluster: self.scene.owner.clone(),
                kind: self.kind.kind.to_owned(),
                namespace: documents::namespace(&self.object).to_owned(),
                name: documents::name(&self.object).to_owned(),
            },
            generation: metadata["generation"].as_i64(),
            deleting: is_retired || !metadata["deletionTimestamp"].is_null(),
            finalizer: has_finalizer,
            protected: metadata["annotations"][PROTECT_ANNOTATION] == "true",
            management,
            status,
        }
    }

    fn status(&self) -> AzureStatus {
        let place = if self.kind.kind == "Endpoint" { "/status/azure" } else { "/status" };
        let status = self.object.pointer(place).cloned().unwrap_or_default();
        serde_json::from_value(status).unwrap_or_default()
    }

    /// The status that the next plan is made from: nothing runs and nothing has failed any more.
    fn remember(&mut self, status: &AzureStatus) {
        let mut status = status.clone();
        for resource in &mut status.resources {
            resource.operation = None;
            resource.failures = 0;
            resource.failed_at = None;
        }
        self.known.polled.clear();
        if self.kind.kind == "Endpoint" {
            self.object["status"]["azure"] = json!(status);
        } else {
            self.object["status"] = json!(status);
        }
    }

    /// Takes a step to be done.
    fn take(&mut self, step: &Step) {
        match step {
            Step::ArmPut(put) => {
                let mut body = without_null(&put.body);
                body["id"] = json!(put.id);
                body["name"] = json!(put.id.name());
                body["properties"]["provisioningState"] = json!("Succeeded");
                self.known.seen.insert(put.id.clone(), Sight::Present(body));
            }
            Step::ArmPatch(patch) => {
                if let Some(Sight::Present(body)) = self.known.seen.get_mut(&patch.id) {
                    merge(body, &patch.body);
                }
            }
            Step::ArmDelete(delete) => {
                self.known.seen.insert(delete.id.clone(), Sight::Absent);
            }
            Step::Export(export) => {
                let exported = self.exported.get_or_insert_default();
                exported.insert(export.name.clone(), export.digest.clone());
            }
            Step::Apply(_) | Step::Delete(_) | Step::Finalizer(_) | Step::WriteKeys(_) | Step::Record(_) => {}
        }
    }
}

/// Why it can't be done as the manifest says, in the operator's words.
fn refusal(world: &World, status: &AzureStatus) -> Option<String> {
    if let Err(refusal) = &world.compiled {
        return Some(format!("{}: {}", refusal.reason.name(), refusal.message));
    }
    let stalled = condition::find(&status.conditions, ConditionType::Stalled);
    let ready = condition::find(&status.conditions, ConditionType::Ready);
    let waits = ready.filter(|it| it.reason == api::Reason::DependencyNotReady.name());
    let told = stalled.filter(|it| it.status == "True").or(waits)?;
    Some(format!("{}: {}", told.reason, told.message))
}

/// What is sent: fields that are null say nothing.
pub(super) fn without_null(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_null(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_null).collect()),
        value => value.clone(),
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
