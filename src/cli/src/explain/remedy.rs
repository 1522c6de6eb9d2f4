//! The table of remedies: for each reason, who can act and where to look.
use api::Reason;
use serde::Serialize;

/// Who acts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum Persona {
    /// Runs endpoints.
    #[serde(rename = "ML engineer")]
    MlEngineer,
    /// Trained and exported the model.
    #[serde(rename = "data scientist")]
    DataScientist,
    /// Decides what goes to production.
    #[serde(rename = "project lead")]
    ProjectLead,
    /// Owns the cluster and the installation.
    #[serde(rename = "infrastructure engineer")]
    InfrastructureEngineer,
}

impl Persona {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MlEngineer => "ML engineer",
            Self::DataScientist => "data scientist",
            Self::ProjectLead => "project lead",
            Self::InfrastructureEngineer => "infrastructure engineer",
        }
    }
}

/// Where more is to be seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// The object itself.
    Spec,
    /// The pods and their events.
    Pods,
    /// The log of the containers.
    Log,
    /// The ServingRuntimes.
    Runtimes,
    /// The quotas and limits of the namespace.
    Quota,
    /// The operator and its rights.
    Installation,
    /// The resource in Azure.
    Portal,
}

/// Who can act, and where to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Remedy {
    pub(super) who: Option<Persona>,
    pub(super) look: Option<Place>,
}

/// The remedy for a reason. What to do is `Reason::action`.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn remedy(reason: Reason) -> Remedy {
    let ask = |who, look| Remedy { who: Some(who), look: Some(look) };
    let nobody = |look| Remedy { who: None, look };
    match reason {
        Reason::Invalid
        | Reason::Rejected
        | Reason::Conflict
        | Reason::Paused
        | Reason::Planned
        | Reason::DependencyNotReady
        | Reason::DeletionProtected
        | Reason::NameTaken
        | Reason::NotOwned
        | Reason::Immutable
        | Reason::AzureRejected
        | Reason::SecretNotFound
        | Reason::AwaitingPerson
        | Reason::RolledBack
        | Reason::CheckFailed
        | Reason::ActionRefused
        | Reason::MetricUnavailable
        | Reason::ScaledElsewhere
        | Reason::RouteNotAccepted
        | Reason::StageFailed
        | Reason::StageCheckFailed
        | Reason::StageCheckInconclusive
        | Reason::VoteRejected
        | Reason::VoteExpired
        | Reason::BundleChanged
        | Reason::Drifted => ask(Persona::MlEngineer, Place::Spec),
        Reason::ApprovalRequired | Reason::Void => ask(Persona::ProjectLead, Place::Spec),
        Reason::SoftDeleted | Reason::OperationFailed | Reason::OperationStuck => {
            ask(Persona::MlEngineer, Place::Portal)
        }
        Reason::AzureUnreachable
        | Reason::AuthenticationFailed
        | Reason::WrongTenant
        | Reason::AzureDenied
        | Reason::PolicyDenied
        | Reason::Locked
        | Reason::ProviderNotRegistered
        | Reason::QuotaExceeded
        | Reason::ClusterNotConnected => ask(Persona::InfrastructureEngineer, Place::Portal),
        Reason::ApplyFailed => nobody(Some(Place::Installation)),
        Reason::RuntimeNotFound | Reason::RuntimeUnsuitable => ask(Persona::MlEngineer, Place::Runtimes),
        Reason::NoReadyPods
        | Reason::ImagePullFailed
        | Reason::ContainerConfigInvalid
        | Reason::OutOfMemory
        | Reason::DeadlineExceeded => ask(Persona::MlEngineer, Place::Pods),
        Reason::ModelFetchFailed
        | Reason::DigestMismatch
        | Reason::ContainerCrashed
        | Reason::NotAnswering => ask(Persona::MlEngineer, Place::Log),
        Reason::ModelLoadFailed | Reason::WarmUpFailed => ask(Persona::DataScientist, Place::Log),
        Reason::Degraded | Reason::Unschedulable => ask(Persona::InfrastructureEngineer, Place::Pods),
        Reason::PodsRefused => ask(Persona::InfrastructureEngineer, Place::Quota),
        Reason::Denied | Reason::Panicked | Reason::GatewayNeeded | Reason::GatewayApiNeeded => {
            ask(Persona::InfrastructureEngineer, Place::Installation)
        }
        // The others ask nobody to act; the test below finds one that does.
        _ => nobody(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_needs_action_names_who_acts_and_where_to_look() {
        for &reason in Reason::ALL {
            let remedy = remedy(reason);
            assert_eq!(remedy.who.is_some(), !reason.action().is_empty(), "{}", reason.name());
            assert!(remedy.who.is_none() || remedy.look.is_some(), "{}", reason.name());
        }
    }
}
