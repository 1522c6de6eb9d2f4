//! What goes wrong in a pod, as the kubelet and the scheduler report it.
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// What goes wrong in a pod.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The first pull of the image failed.
    ImagePullOnce,
    /// The image can't be pulled.
    ImagePull,
    /// The image's name is malformed.
    InvalidImage,
    /// The model server, or the init container that fetches, gave up with a reason.
    LastWord {
        /// The word for machines.
        reason: &'static str,
        /// The sentence for people.
        message: &'static str,
        /// How often it was started again.
        restarts: i32,
    },
    /// The container needs more memory than its limit.
    OutOfMemory,
    /// No node has room.
    Unschedulable,
    /// The claim does not exist.
    ClaimMissing,
    /// The container can't be created.
    ConfigError,
    /// The container ends by itself.
    Crash {
        /// How often it was started again.
        restarts: i32,
    },
    /// The container runs and does not answer.
    Silent,
}

impl Trouble {
    /// The pod's status.
    pub(crate) fn status(&self, pod: &Pod) -> Value {
        let message = match self {
            Self::Unschedulable => "0/1 nodes are available: 1 Insufficient cpu.",
            Self::ClaimMissing => {
                "0/1 nodes are available: persistentvolumeclaim \"models\" not found. preemption is not helpful."
            }
            _ => return self.containers(pod),
        };
        let scheduled =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        json!({"phase": "Pending", "conditions": [scheduled]})
    }

    fn containers(&self, pod: &Pod) -> Value {
        let spec = pod.spec.clone().unwrap_or_default();
        let init = spec.init_containers.into_iter().flatten().next();
        let server = spec.containers.into_iter().next().unwrap_or_default();
        let conditions = [json!({"type": "Ready", "status": "False"})];
        let status = |name: &str, image: Option<String>, state: Value, last: Value, restarts: i32| {
            json!({
                "name": name, "image": image.unwrap_or_default(), "imageID": "", "ready": false,
                "restartCount": restarts, "state": state, "lastState": last,
            })
        };
        let (state, last, restarts) = self.state();
        match (self, init) {
            (Self::LastWord { .. }, Some(init)) => {
                let waiting = json!({"waiting": {"reason": "PodInitializing"}});
                json!({
                    "phase": "Pending",
                    "conditions": conditions,
                    "initContainerStatuses": [status(&init.name, init.image, state, last, restarts)],
                    "containerStatuses": [status(&server.name, server.image, waiting, json!({}), 0)],
                })
            }
            _ => json!({
                "phase": "Running",
                "conditions": conditions,
                "containerStatuses": [status(&server.name, server.image, state, last, restarts)],
            }),
        }
    }

    /// The state of the container, its state before, and its restarts.
    fn state(&self) -> (Value, Value, i32) {
        let waiting =
            |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let crash = |ended: Value, restarts: i32| {
            if restarts == 0 {
                (json!({"terminated": ended}), json!({}), 0)
            } else {
                let backoff = waiting("CrashLoopBackOff", "back-off 20s restarting failed container");
                (backoff, json!({"terminated": ended}), restarts)
            }
        };
        match self {
            Self::ImagePullOnce => (waiting("ErrImagePull", "registry.example: no such host"), json!({}), 0),
            Self::ImagePull => {
                (waiting("ImagePullBackOff", "Back-off pulling image: not found"), json!({}), 0)
            }
            Self::InvalidImage => (
                waiting("InvalidImageName", "couldn't parse image name: invalid reference format"),
                json!({}),
                0,
            ),
            Self::ConfigError => (
                waiting(
                    "CreateContainerConfigError",
                    "container has runAsNonRoot and image will run as root",
                ),
                json!({}),
                0,
            ),
            Self::LastWord { reason, message, restarts } => {
                let word = json!({"reason": reason, "message": message}).to_string();
                crash(json!({"exitCode": 10, "reason": "Error", "message": format!("{word}\n")}), *restarts)
            }
            Self::OutOfMemory => crash(json!({"exitCode": 137, "reason": "OOMKilled"}), 1),
            Self::Crash { restarts } => crash(
                json!({"exitCode": 3, "reason": "Error", "message": "no such option: --modle\n"}),
                *restarts,
            ),
            Self::Silent | Self::Unschedulable | Self::ClaimMissing => (json!({"running": {}}), json!({}), 0),
        }
    }
}
