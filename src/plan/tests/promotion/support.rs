//! A namespace with one Model, its promotions, votes and Endpoints, and the operator that looks at them.
use std::collections::BTreeMap;

use api::meta::ConditionType;
use api::model_promotion::{PromotionPhase, StageStatus};
use api::{Approval, DecisionRecord, Endpoint, Model, ModelPromotion, ModelPromotionStatus, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use plan::decision::{Anchor, advanced, audit, missing, pruned};
use plan::model::stages;
use plan::model_promotion::{World, plan, plan_approval};
use plan::{Event, Next, Observed, Step};
use serde_json::{Value, json};

/// The namespace.
pub(crate) struct Scene {
    pub(crate) now: Timestamp,
    pub(crate) model: Option<Model>,
    pub(crate) promotions: BTreeMap<String, ModelPromotion>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) jobs: BTreeMap<String, Observed>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) events: Vec<Event>,
    /// The log of decisions.
    pub(crate) records: Vec<DecisionRecord>,
}

/// A Model with the versions 1 to 3.
pub(crate) fn scene() -> Scene {
    let version = |number: u32| json!({"version": number.to_string(), "uri": format!("https://models.example/{number}.onnx"), "format": "ONNX"});
    let versions: Vec<Value> = (1..=3).map(version).collect();
    let model = json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Model",
        "metadata": {"name": "churn", "namespace": "team", "uid": "uid-of-churn"}, "spec": {"versions": versions},
    });
    Scene {
        now: "2026-03-01T08:00:00Z".parse().unwrap(),
        model: serde_json::from_value(model).unwrap(),
        promotions: BTreeMap::new(),
        approvals: Vec::new(),
        endpoints: BTreeMap::new(),
        jobs: BTreeMap::new(),
        pods: Vec::new(),
        events: Vec::new(),
        records: Vec::new(),
    }
}

impl Scene {
    /// A promotion that Rita asks for.
    pub(crate) fn promote(&mut self, name: &str, version: &str, stages: &Value) {
        let promotion = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ModelPromotion",
            "metadata": {"name": name, "namespace": "team", "uid": format!("uid-of-{name}"), "generation": 1, "creationTimestamp": self.now},
            "spec": {"requester": "rita", "model": {"name": "churn", "version": version}, "stages": stages},
        });
        self.promotions.insert(name.to_owned(), serde_json::from_value(promotion).unwrap());
    }

    /// A vote on the evidence that the status shows now.
    pub(crate) fn vote(
        &mut self,
        approver: &str,
        groups: &[&str],
        decision: &str,
        promotion: &str,
        stage: &str,
    ) {
        let evidence = self.stage(promotion, stage).evidence.expect("there is something to vote on");
        self.vote_on(&evidence, approver, groups, decision, promotion, stage);
    }

    /// A word that goes beyond the rules of a stage.
    pub(crate) fn vote_for_check(
        &mut self,
        approver: &str,
        decision: &str,
        check: Option<&str>,
        promotion: &str,
        stage: &str,
    ) {
        self.vote(approver, &[], decision, promotion, stage);
        if let Some(approval) = self.approvals.last_mut() {
            approval.spec.check = check.map(str::to_owned);
        }
    }

    pub(crate) fn vote_on(
        &mut self,
        evidence: &str,
        approver: &str,
        groups: &[&str],
        decision: &str,
        promotion: &str,
        stage: &str,
    ) {
        let name = format!("vote-{}", self.approvals.len());
        let approval = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": name, "namespace": "team", "generation": 1, "creationTimestamp": self.now},
            "spec": {"promotion": promotion, "stage": stage, "evidence": evidence, "decision": decision,
                "reason": "I have looked at it", "approver": approver, "groups": groups},
        });
        self.approvals.push(serde_json::from_value(approval).unwrap());
    }

    /// An Endpoint that follows a stage.
    pub(crate) fn follow(&mut self, name: &str, stage: &str) {
        let endpoint = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Endpoint",
            "metadata": {"name": name, "namespace": "team", "generation": 1},
            "spec": {"model": {"modelRef": {"name": "churn", "stage": stage}, "format": "ONNX"}},
        });
        self.endpoints.insert(name.to_owned(), serde_json::from_value(endpoint).unwrap());
    }

    /// What an Endpoint says of a version: its condition Ready, and more of its status.
    pub(crate) fn says(&mut self, endpoint: &str, version: &str, ready: &str, more: &Value) {
        let mut status = json!({
            "observedGeneration": 1,
            "resolvedModel": {"source": format!("models/churn/versions/{version}"), "url": "https://models.example"},
            "conditions": [{"type": "Ready", "status": ready, "reason": "Ready", "message": "as the Endpoint says", "lastTransitionTime": self.now}],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            status[field] = value.clone();
        }
        self.endpoints.get_mut(endpoint).unwrap().status = serde_json::from_value(status).unwrap();
    }

    /// The API server takes a step.
    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(apply) => {
                let mut body = apply.body;
                body["metadata"]["uid"] = json!(format!("uid-of-{}", apply.name));
                self.jobs.insert(apply.name, Observed::from_body(body));
            }
            Step::Delete(delete) => {
                self.jobs.remove(&delete.name);
                self.pods.retain(|pod| pod.metadata.name.as_ref() != Some(&delete.name));
            }
            other => unreachable!("{other}"),
        }
    }

    /// The Jobs of a check, as their names.
    pub(crate) fn jobs_of(&self, check: &str) -> Vec<String> {
        let of_check = |name: &&String| name.contains(&format!("-{check}-"));
        self.jobs.keys().filter(of_check).cloned().collect()
    }

    /// The pod of a Job, whose containers are in a state.
    pub(crate) fn pod(&mut self, job: &str, container: &str, state: &Value) {
        let body = &self.jobs[job].body;
        let spec = &body["spec"]["template"]["spec"];
        let is_first =
            spec["initContainers"].as_array().is_some_and(|it| it.iter().any(|it| it["name"] == container));
        let list = if is_first { "initContainerStatuses" } else { "containerStatuses" };
        let status = json!({"name": container, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = json!({
            "metadata": {"name": job, "labels": body["spec"]["template"]["metadata"]["labels"], "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": format!("uid-of-{job}"), "controller": true},
            ]},
            "spec": spec, "status": {list: [status]},
        });
        self.pods.retain(|pod| pod.metadata.name.as_deref() != Some(job));
        self.pods.push(serde_json::from_value(pod).unwrap());
    }

    /// The pod of a check's last Job has reported.
    pub(crate) fn reports(&mut self, check: &str, report: &Value) {
        let job = self.jobs_of(check).pop().expect("the check has a Job");
        self.pod(&job, "checker", &json!({"terminated": {"exitCode": 0, "message": report.to_string()}}));
    }

    pub(crate) fn pass(&mut self, minutes: i64) {
        self.now = self.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
    }

    /// One look at a promotion, as after a restart: nothing is known but what the objects say.
    pub(crate) fn look(&mut self, name: &str) -> Next {
        let mut others = self.promotions.clone();
        let promotion = others.remove(name).unwrap();
        let world = World {
            now: self.now,
            promotion,
            model: self.model.clone(),
            others: others.into_values().collect(),
            approvals: self.approvals.iter().filter(|it| it.spec.promotion == name).cloned().collect(),
            endpoints: self.endpoints.clone(),
            jobs: self.jobs.clone(),
            pods: self.pods.clone(),
            runtimes: testkit::runtimes(),
            settings: testkit::settings(),
        };
        let made = plan(&world);
        assert_eq!(made, plan(&world), "the same world gives the same plan");
        for step in made.steps {
            self.take(step);
        }
        self.events.extend(made.events);
        self.promotions.get_mut(name).unwrap().status = Some(made.status);
        made.next
    }

    /// The Model takes over what the promotions say.
    pub(crate) fn look_at_model(&mut self) {
        let promotions: Vec<ModelPromotion> = self.promotions.values().cloned().collect();
        let Some(model) = &mut self.model else { return };
        for step in missing(model, &promotions) {
            let Step::Record(record) = step else { unreachable!("{step}") };
            let status = model.status.get_or_insert_default();
            status.decisions = Some(advanced(status.decisions.take(), &record.spec));
            self.records.push(*record);
        }
        assert_eq!(missing(model, &promotions), [], "what is in the log is not added again");
        let status = model.status.get_or_insert_default();
        status.stages = stages(&status.stages, &promotions);
        status.decisions = pruned(status.decisions.take(), &promotions);
    }

    /// What an audit says of the log, held against the Model's status.
    pub(crate) fn audit(&self, records: &[DecisionRecord]) -> Vec<String> {
        let log =
            self.model.as_ref().and_then(|it| it.status.as_ref()?.decisions.clone()).unwrap_or_default();
        let anchor = Anchor { count: log.count, head: log.head };
        let anchors = BTreeMap::from([("uid-of-churn".to_owned(), vec![anchor])]);
        audit(records, &anchors).into_iter().flat_map(|it| it.problems).collect()
    }

    /// Looks at everything until nothing changes.
    pub(crate) fn settle(&mut self) {
        let names: Vec<String> = self.promotions.keys().cloned().collect();
        for _ in 0..20 {
            let before = (self.promotions.clone(), self.model.clone());
            for name in &names {
                self.look(name);
            }
            self.look_at_model();
            if before == (self.promotions.clone(), self.model.clone()) {
                assert_eq!(self.audit(&self.records), [""; 0]);
                return;
            }
        }
        unreachable!("still busy: {:?}", self.promotions)
    }

    pub(crate) fn status(&self, name: &str) -> ModelPromotionStatus {
        self.promotions[name].status.clone().unwrap_or_default()
    }

    pub(crate) fn phase(&self, name: &str) -> PromotionPhase {
        self.status(name).phase
    }

    pub(crate) fn stage(&self, promotion: &str, stage: &str) -> StageStatus {
        self.status(promotion).stages.into_iter().find(|it| it.name == stage).unwrap_or_default()
    }

    /// A condition: whether it holds, why, and its message.
    pub(crate) fn condition(&self, name: &str, type_: ConditionType) -> Option<(bool, String, String)> {
        let conditions = self.status(name).conditions;
        let found = conditions.into_iter().find(|it| it.type_ == type_.name())?;
        Some((found.status == "True", found.reason, found.message))
    }

    pub(crate) fn message(&self, name: &str) -> String {
        self.condition(name, ConditionType::Ready).map(|it| it.2).unwrap_or_default()
    }

    /// The version that a stage of the Model runs.
    pub(crate) fn runs(&self, stage: &str) -> Option<String> {
        let status = self.model.as_ref()?.status.as_ref()?;
        status.stages.iter().find(|it| it.name == stage)?.version.clone()
    }

    /// What a vote is told: whether it counts, and why not.
    pub(crate) fn told(&self, place: usize) -> (Reason, String) {
        let approval = &self.approvals[place];
        let plan = plan_approval(self.now, approval, self.promotions.get(&approval.spec.promotion));
        let ready = &plan.status.conditions[0];
        let reason = if ready.status == "True" { Reason::Counted } else { Reason::Void };
        assert_eq!(ready.reason, reason.name());
        (reason, ready.message.clone())
    }
}
