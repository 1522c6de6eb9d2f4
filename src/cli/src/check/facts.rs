//! What `check` sees, as plain values.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::connect::Problem;

/// What was seen of a cluster where the operator should run.
pub(super) struct Installation {
    pub(super) server: String,
    pub(super) version: Result<Version, Problem>,
    /// Each CustomResourceDefinition that this plugin knows, and the one that the cluster has.
    pub(super) definitions: Vec<(CustomResourceDefinition, Result<CustomResourceDefinition, Problem>)>,
    pub(super) operators: Result<Vec<Operator>, Problem>,
    pub(super) runtimes: Result<Vec<DefaultRuntime>, Problem>,
    pub(super) namespace: String,
    pub(super) rights: Vec<(Right, Result<bool, Problem>)>,
}

/// What was seen of a cluster where the operator is to be installed.
pub(super) struct BeforeInstallation {
    pub(super) server: String,
    pub(super) version: Result<Version, Problem>,
    pub(super) namespace: String,
    /// What the installation creates.
    pub(super) rights: Vec<(Right, Result<bool, Problem>)>,
    /// What the operator is given: the API server lets nobody give a right that they do not have.
    pub(super) grants: Vec<(Right, Result<bool, Problem>)>,
    /// Whether the user may give rights beyond their own.
    pub(super) may_escalate: Result<bool, Problem>,
}

/// The API server's version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// As the API server writes it, such as `v1.33.2`.
    pub(super) text: String,
    /// Major and minor, when they are numbers.
    pub(super) number: Option<(u32, u32)>,
}

/// One Deployment of the operator.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) wanted: i32,
    pub(super) available: i32,
    /// The label `app.kubernetes.io/version`.
    pub(super) version: Option<String>,
}

/// A ServingRuntime in the operator's namespace.
#[derive(Clone, Debug)]
pub(super) struct DefaultRuntime {
    pub(super) name: String,
    pub(super) formats: Vec<&'static str>,
}

/// Something that a user may or may not do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    /// The plural, with `/status` for the status alone.
    pub(super) resource: &'static str,
    /// None for the whole cluster.
    pub(super) namespace: Option<String>,
}

impl Right {
    /// `create endpoints.mlops-operator.dev`.
    pub(super) fn text(&self) -> String {
        match self.group {
            "" => format!("{} {}", self.verb, self.resource),
            group => format!("{} {}.{group}", self.verb, self.resource),
        }
    }
}
