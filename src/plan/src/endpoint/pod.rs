//! What matters of a pod: which revision it runs, whether it answers, and if not, why.
use api::Reason;
use api::meta::{MODEL_ANNOTATION, REVISION_LABEL};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition,
};
use serde::Deserialize;

/// Restarts after which a failure that could have passed by itself counts as settled.
const SETTLED_RESTARTS: i32 = 2;

/// What matters of a pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// The revision that it runs.
    pub revision: String,
    /// The URI of its model, without any query.
    pub model: Option<String>,
    /// Whether it answers requests.
    pub ready: bool,
    /// Whether it is on its way out, or has ended for good.
    pub leaving: bool,
    /// Why it does not answer, when that is known.
    pub cause: Option<Cause>,
}

/// Why a pod does not answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cause {
    /// The reason of the condition.
    pub reason: Reason,
    /// The cause in words.
    pub message: String,
    /// Whether it stays as it is until a person acts.
    pub settled: bool,
}

impl PodFacts {
    /// Reads what matters of a pod.
    pub fn from_pod(pod: &Pod) -> Self {
        let label = |name: &str| pod.metadata.labels.as_ref()?.get(name).cloned();
        let annotation = |name: &str| pod.metadata.annotations.as_ref()?.get(name).cloned();
        let status = pod.status.as_ref();
        let condition =
            |type_: &str| status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_);
        let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
        let ended = status
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|phase| matches!(phase, "Failed" | "Succeeded"));
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            revision: label(REVISION_LABEL).unwrap_or_default(),
            model: annotation(MODEL_ANNOTATION),
            ready,
            leaving: ended || pod.metadata.deletion_timestamp.is_some(),
            cause: if ready {
                None
            } else {
                unschedulable(condition("PodScheduled")).or_else(|| containers(pod))
            },
        }
    }
}

fn unschedulable(condition: Option<&PodCondition>) -> Option<Cause> {
    let condition = condition.filter(|condition| {
        condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = condition.message.clone().unwrap_or_default();
    // A claim that does not exist is reported by the scheduler, and no node can help.
    let settled = message.contains("persistentvolumeclaim") && message.contains("not found");
    let reason = if settled { Reason::ContainerConfigInvalid } else { Reason::Unschedulable };
    Some(Cause { reason, message: format!("no node takes the pod: {message}"), settled })
}

fn containers(pod: &Pod) -> Option<Cause> {
    let status = pod.status.as_ref()?;
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    statuses.filter(|container| !container.ready).find_map(container)
}

fn container(status: &ContainerStatus) -> Option<Cause> {
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let said = waiting.message.as_deref().unwrap_or("no details");
        match reason {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable" => {
                return Some(Cause {
                    reason: Reason::ImagePullFailed,
                    message: format!("image {} can't be pulled: {said}", status.image),
                    settled: reason != "ErrImagePull",
                });
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                return Some(Cause {
                    reason: Reason::ContainerConfigInvalid,
                    message: format!("container {} can't be created: {said}", status.name),
                    settled: true,
                });
            }
            _ => {}
        }
    }
    let ended = terminated(state).or_else(|| terminated(status.last_state.as_ref()?))?;
    (ended.exit_code != 0 || status.restart_count > 0).then(|| crash(status, ended))
}

fn terminated(state: &ContainerState) -> Option<&ContainerStateTerminated> {
    state.terminated.as_ref()
}

/// What the model server writes as its last word.
#[derive(Deserialize)]
struct LastWord {
    reason: String,
    message: String,
}

impl LastWord {
    /// The reason of the condition: any container may write what it likes, so only the known words count.
    fn reason(&self) -> Option<Reason> {
        match self.reason.as_str() {
            "ModelFetchFailed" => Some(Reason::ModelFetchFailed),
            "DigestMismatch" => Some(Reason::DigestMismatch),
            "ModelLoadFailed" => Some(Reason::ModelLoadFailed),
            "WarmUpFailed" => Some(Reason::WarmUpFailed),
            "InvalidArguments" => Some(Reason::ContainerConfigInvalid),
            _ => None,
        }
    }
}

fn crash(status: &ContainerStatus, ended: &ContainerStateTerminated) -> Cause {
    if ended.reason.as_deref() == Some("OOMKilled") {
        let message =
            format!("container {} was ended because it needs more memory than its limit", status.name);
        return Cause { reason: Reason::OutOfMemory, message, settled: true };
    }
    let said = ended.message.as_deref().unwrap_or_default().trim();
    if let Ok(last_word) = serde_json::from_str::<LastWord>(said)
        && let Some(reason) = last_word.reason()
    {
        // A fetch can fail because the other side is away for a moment; the rest does not change by itself.
        let settled = reason != Reason::ModelFetchFailed || status.restart_count >= SETTLED_RESTARTS;
        return Cause { reason, message: last_word.message, settled };
    }
    let end = match ended.signal {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit code {}", ended.exit_code),
    };
    let said = if said.is_empty() { "read its log".to_owned() } else { said.to_owned() };
    Cause {
        reason: Reason::ContainerCrashed,
        message: format!(
            "container {} ended with {end} after {} restarts: {said}",
            status.name, status.restart_count
        ),
        settled: status.restart_count >= SETTLED_RESTARTS,
    }
}
