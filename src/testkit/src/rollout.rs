//! The Deployment controller in miniature: it starts and stops pods, and reports.
use k8s_openapi::api::core::v1::Pod;
use plan::ChildKind;
use serde_json::{Value, json};

use crate::{Trouble, World};

/// The label by which the controller tells the pods of its templates apart.
const TEMPLATE_LABEL: &str = "pod-template-hash";

impl World {
    /// The controller sees the Deployment, stops what is too much and starts what is missing; new pods are not ready.
    pub fn start_pods(&mut self) {
        let Some(deployment) = self.object(ChildKind::Deployment).cloned() else { return };
        let template = deployment["spec"]["template"].clone();
        let hash = plan::digest::of(&template, 10);
        let wanted = count(&deployment["spec"]["replicas"]);
        let (mut new, mut old): (Vec<Pod>, Vec<Pod>) = std::mem::take(&mut self.pods)
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .partition(|pod| is_of(pod, &hash));
        new.truncate(wanted);
        let mut room = wanted + wanted.div_ceil(4);
        if deployment["spec"]["strategy"]["type"] == "Recreate" {
            old.clear();
            room = wanted;
        }
        old.sort_by_key(|pod| !is_ready(pod));
        let answering = new.iter().filter(|pod| is_ready(pod)).count();
        old.truncate(wanted.saturating_sub(answering));
        while new.len() < wanted && new.len() + old.len() < room && self.refused.is_none() {
            self.counter += 1;
            new.push(pod(
                &self.endpoint.metadata.name.clone().unwrap_or_default(),
                self.counter,
                &template,
                &hash,
            ));
        }
        self.pods = new.into_iter().chain(old).collect();
        self.report_deployment();
    }

    /// Every pod becomes ready in its turn until the rollout is complete.
    pub fn finish_rollout(&mut self) {
        self.refused = None;
        self.late = false;
        loop {
            let before = self.pods.clone();
            self.start_pods();
            self.ready_pods(usize::MAX);
            if self.pods == before {
                break;
            }
        }
        self.start_pods();
    }

    /// So many of the new pods that are not ready become ready.
    pub fn ready_pods(&mut self, number: usize) {
        let hash = self.template_hash();
        let waiting = self.pods.iter_mut().filter(|pod| is_of(pod, &hash) && !is_ready(pod));
        for pod in waiting.take(number) {
            set_status(
                pod,
                &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            );
        }
        self.report_deployment();
    }

    /// The new pods that are not ready run into trouble.
    pub fn fail_pods(&mut self, trouble: &Trouble) {
        let hash = self.template_hash();
        for pod in self.pods.iter_mut().filter(|pod| is_of(pod, &hash) && !is_ready(pod)) {
            let status = trouble.status(pod);
            set_status(pod, &status);
        }
        self.report_deployment();
    }

    /// Of the pods of a revision so many answer, and one more runs into trouble.
    pub fn trouble(&mut self, revision: &str, answering: i32, trouble: &Trouble) {
        let of_name = self.objects.iter_mut().filter(|(kind, _)| **kind == ChildKind::Deployment);
        let further = self.further.iter_mut().filter(|((kind, _), _)| *kind == ChildKind::Deployment);
        let deployments = of_name.map(|(_, object)| object).chain(further.map(|(_, object)| object));
        for deployment in deployments.filter(|it| {
            it.body["spec"]["template"]["metadata"]["labels"][api::meta::REVISION_LABEL] == *revision
        }) {
            deployment.body["status"]["readyReplicas"] = json!(answering);
            deployment.body["status"]["availableReplicas"] = json!(answering);
            let template = &deployment.body["spec"]["template"];
            let made = json!({"metadata": template["metadata"], "spec": template["spec"]});
            let Ok(mut pod) = serde_json::from_value::<Pod>(made) else { continue };
            let status = trouble.status(&pod);
            set_status(&mut pod, &status);
            self.pods.push(pod);
        }
    }

    /// A ready pod stops answering.
    pub fn lose_pod(&mut self) {
        if let Some(pod) = self.pods.iter_mut().find(|pod| is_ready(pod)) {
            set_status(
                pod,
                &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
            );
        }
        self.report_deployment();
    }

    /// The autoscaler sets the number of pods.
    pub fn autoscale(&mut self, replicas: i32) {
        self.edit(ChildKind::Deployment, "kube-controller-manager", |body| {
            body["spec"]["replicas"] = json!(replicas);
        });
    }

    /// The rollout makes no progress within its deadline.
    pub fn pass_deadline(&mut self) {
        self.late = true;
        self.report_deployment();
    }

    /// The API server refuses new pods.
    pub fn refuse_pods(&mut self, why: &str) {
        self.refused = Some(why.to_owned());
        self.start_pods();
    }

    fn template_hash(&self) -> String {
        let template = self.object(ChildKind::Deployment).map(|body| body["spec"]["template"].clone());
        plan::digest::of(&template.unwrap_or_default(), 10)
    }

    /// The controller writes the Deployment's status, for the generation that it has seen.
    pub fn report_deployment(&mut self) {
        let hash = self.template_hash();
        let updated: Vec<&Pod> = self.pods.iter().filter(|pod| is_of(pod, &hash)).collect();
        let ready = self.pods.iter().filter(|pod| is_ready(pod)).count();
        let progressing = if self.late {
            json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"})
        } else {
            json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"})
        };
        let refused = self.refused.as_ref().map(|why| {
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why})
        });
        let mut status = json!({
            "replicas": self.pods.len(),
            "updatedReplicas": updated.len(),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": std::iter::once(progressing).chain(refused).collect::<Vec<Value>>(),
        });
        if let Some(object) = self.objects.get_mut(&ChildKind::Deployment) {
            status["observedGeneration"] = object.body["metadata"]["generation"].clone();
            object.body["status"] = status;
        }
    }
}

fn count(value: &Value) -> usize {
    value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(1)
}

fn is_of(pod: &Pod, hash: &str) -> bool {
    pod.metadata.labels.as_ref().is_some_and(|labels| labels.get(TEMPLATE_LABEL).is_some_and(|it| it == hash))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn pod(name: &str, number: u32, template: &Value, hash: &str) -> Pod {
    let mut body = template.clone();
    body["metadata"]["name"] = json!(format!("{name}-{number}"));
    body["metadata"]["labels"][TEMPLATE_LABEL] = json!(hash);
    body["status"] = json!({"phase": "Pending"});
    serde_json::from_value(body).unwrap_or_default()
}

fn set_status(pod: &mut Pod, status: &Value) {
    pod.status = serde_json::from_value(status.clone()).ok();
}
