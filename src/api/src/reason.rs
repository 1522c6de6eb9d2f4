//! The closed list of reasons that conditions and events carry, each with its meaning and what to do.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident => $action:literal,)+) => {
        /// Why a condition has its status: a stable word of the API.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word as it stands in `status.conditions[].reason`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)+ }
            }

            /// What a person does about it; empty when there is nothing to do.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)+ }
            }
        }
    };
}

reasons! {
    /// A stage waits for people's votes.
    ApprovalRequired => "Look at it with kubectl mlops promotion NAME, then approve or reject it.",
    /// The checks of a stage run.
    Checking => "",
    /// A check that must pass has failed.
    StageCheckFailed => "Read what it measured. Then mend the version and promote another one, run the check again with kubectl mlops promotion NAME --retry, or have it skipped.",
    /// A check that must pass could not tell.
    StageCheckInconclusive => "Read why. Then run it again with kubectl mlops promotion NAME --retry, or have it skipped.",
    /// A stage waits for the end of a freeze.
    Frozen => "",
    /// Somebody with the right has let a stage go on in spite of its rules.
    Overridden => "",
    /// A promotion waits for another one of the same model.
    Queued => "",
    /// A stage has got a version, and its Endpoints roll it out.
    Releasing => "",
    /// A version runs in a stage for a while before the next one begins.
    Soaking => "",
    /// Every stage of a promotion is done.
    Succeeded => "",
    /// A stage could not run the version, and has the one from before.
    StageFailed => "Read the message, mend the version, and promote another one.",
    /// Somebody voted against a promotion.
    VoteRejected => "Read the reason of the vote.",
    /// The votes on a promotion did not come in time.
    VoteExpired => "Make another ModelPromotion.",
    /// Somebody ended a promotion.
    Aborted => "",
    /// A newer promotion of the same model took the place of this one.
    Superseded => "",
    /// A part of the version changed while it was promoted.
    BundleChanged => "Make another ModelPromotion, of a version whose parts stay.",
    /// A vote counts.
    Counted => "",
    /// A vote does not count.
    Void => "Read the message; delete the vote, and vote again if you still may.",
    /// Everything is as the spec says.
    Ready => "",
    /// The object is valid and can be used.
    Accepted => "",
    /// The objects of a new Endpoint have been applied, and its first pods are on their way.
    Creating => "",
    /// A new revision is replacing the one before.
    RollingOut => "",
    /// A rollout waits for a person: at a step with `pause`, because somebody paused it, or because it failed or came to
    /// no verdict.
    AwaitingPerson => "Look at it with kubectl mlops rollout NAME, then say resume, skip-step, promote or abort.",
    /// A new revision has proven itself, and answers all requests.
    Promoted => "",
    /// The wanted revision was given up, and the one before answers all requests.
    RolledBack => "Change the spec, or try it again with kubectl mlops rollout retry NAME.",
    /// A check of a rollout that only warns has failed.
    CheckFailed => "Look at the revision before it gets all requests.",
    /// What a person asked for by an annotation was done.
    ActionTaken => "",
    /// What a person asked for by an annotation makes no sense now.
    ActionRefused => "Read the message; kubectl mlops rollout NAME tells of a rollout.",
    /// The spec needs the inference gateway, and the operator knows of none.
    GatewayNeeded => "Install the chart with gateway.enabled=true, or remove the field that the message names.",
    /// The spec asks for an HTTPRoute, and the operator has no right to write one, or the cluster does not know the kind.
    GatewayApiNeeded => "Install the Gateway API's standard channel CRDs, and the chart with gatewayApi.enabled=true, as the message says.",
    /// The Gateway that spec.routing.gatewayApi names has not taken in the HTTPRoute yet, or refuses it.
    RouteNotAccepted => "Check that the Gateway exists, and that the host names and allowedRoutes of its listeners allow the route.",
    /// The number of pods is on its way to the wanted one.
    Scaling => "",
    /// A number that scaling goes by can't be read. Meanwhile pods may come, and none goes.
    MetricUnavailable => "Correct scaling.target.query, or the chart's prometheusUrl, as the message says.",
    /// Another autoscaler sets the number of pods, so that the operator leaves it alone.
    ScaledElsewhere => "Delete the autoscaler that the message names, or let it scale the Endpoint.",
    /// Fewer pods answer than wanted, although nothing was changed.
    Degraded => "Look at the pods: a node may be gone, or a container restarting.",
    /// At least one pod answers requests.
    Answering => "",
    /// No pod answers requests.
    NoReadyPods => "Read the message of the condition Ready.",
    /// The spec contradicts itself in a way that admission can't see.
    Invalid => "Change the spec as the message says.",
    /// The named ServingRuntime does not exist, or none supports the model's format.
    RuntimeNotFound => "Create the ServingRuntime, or correct runtimeRef.",
    /// The ServingRuntime exists but can't serve this Endpoint.
    RuntimeUnsuitable => "Change the Endpoint or the ServingRuntime as the message says.",
    /// An object of the same name exists and belongs to somebody else.
    Conflict => "Rename the Endpoint, or delete the other object.",
    /// The container's image can't be pulled.
    ImagePullFailed => "Check the image's name and tag, and that the nodes may pull it.",
    /// The model can't be fetched from its URI.
    ModelFetchFailed => "Check model.uri, and that the cluster can reach it.",
    /// The model's file is not the one that the digest names.
    DigestMismatch => "Check who changed the file, or correct model.digest.",
    /// The model was fetched but can't be loaded.
    ModelLoadFailed => "Check model.format, and export the model again.",
    /// The model was loaded but did not answer a first request.
    WarmUpFailed => "Check that the model runs with inputs of its own signature.",
    /// The container was ended because it needs more memory than its limit.
    OutOfMemory => "Raise resources.limits.memory.",
    /// No node has room for a pod.
    Unschedulable => "Lower resources.requests, add a node, or free room.",
    /// The container can't be created as described.
    ContainerConfigInvalid => "Read the message: a claim or a name may be wrong.",
    /// The container ends by itself again and again.
    ContainerCrashed => "Read the container's log.",
    /// The API server refuses the pods, for example because of a quota.
    PodsRefused => "Raise the quota, or change what the message names.",
    /// The pods run, but do not become ready.
    NotAnswering => "Read the container's log; check the runtime's readinessPath.",
    /// The rollout made no progress within its deadline.
    DeadlineExceeded => "Read the message, then change the spec or raise rollout.progressDeadlineSeconds.",
    /// A write failed and is tried again.
    ApplyFailed => "",
    /// The operator lacks the right to write an object.
    Denied => "Install the chart's RBAC, or ask the cluster's administrator.",
    /// The API server refuses an object of the operator's.
    Rejected => "Change the spec as the message says.",
    /// An operation in Azure is under way.
    InProgress => "",
    /// Nothing is read or written, because `spec.management.mode` is `Paused`.
    Paused => "Set spec.management.mode to Manage when the operator may go on.",
    /// Nothing is written, because `spec.management.mode` is `Plan`; `status.plan` holds what would be.
    Planned => "Read status.plan, then set spec.management.mode to Manage.",
    /// Another object that this one needs does not exist or is not ready.
    DependencyNotReady => "Create the object that the message names, or wait for it.",
    /// The Kubernetes cluster that is to be attached can't be reached by Azure, or does not exist.
    ClusterNotConnected => "Connect the cluster: az connectedk8s connect; or wait until its agents answer again.",
    /// The resources in Azure are being deleted.
    Deleting => "",
    /// The object is being deleted, and its resources in Azure may not be.
    DeletionProtected => "Remove the annotation mlops-operator.dev/protect, or set spec.management.deletion to Orphan.",
    /// Azure can't be reached, or is in trouble. What runs goes on running.
    AzureUnreachable => "Check the network to Azure, and Azure's own status page.",
    /// Azure answers.
    AzureReachable => "",
    /// Azure asks to wait.
    Throttled => "",
    /// Azure gives no token, or does not take it.
    AuthenticationFailed => "Check the identity, its secret and its federation as the message says.",
    /// The identity belongs to another tenant than the subscription.
    WrongTenant => "Use an identity of the subscription's tenant: correct AZURE_TENANT_ID.",
    /// The identity lacks a right in Azure.
    AzureDenied => "Grant the identity the right that the message names; new role assignments take minutes.",
    /// A policy of the organization forbids it.
    PolicyDenied => "Change the spec so that it obeys the policy, or ask for an exemption.",
    /// A lock forbids it.
    Locked => "Remove the lock, or set spec.management.deletion to Orphan.",
    /// The subscription is not registered for the resource provider.
    ProviderNotRegistered => "Register the resource provider in the subscription: az provider register.",
    /// A quota is used up.
    QuotaExceeded => "Ask for more quota, or use less.",
    /// The name is taken by somebody else.
    NameTaken => "Choose another name.",
    /// A deleted resource of the same name can still be recovered, and blocks the name.
    SoftDeleted => "Recover or purge the deleted resource, or choose another name.",
    /// A resource of the same name exists and was not made for this object.
    NotOwned => "Rename the resource, or set spec.management.adoption to take it over.",
    /// A field was changed that Azure can't change once the resource exists.
    Immutable => "Undo the change, or make the resource anew.",
    /// Azure started an operation that failed.
    OperationFailed => "Read the message; change the spec, and it is tried again.",
    /// An operation in Azure does not end.
    OperationStuck => "Look at the resource in the portal; ask Azure's support if it stays.",
    /// Another operation is running on the resource; it is tried again when that has ended.
    AzureBusy => "",
    /// Azure refuses what was sent.
    AzureRejected => "Change the spec as the message says.",
    /// Somebody changed the resource in Azure after it was ready.
    Drifted => "Change the spec instead, or set spec.management.mode to Plan.",
    /// A Secret, or a key in it, is missing.
    SecretNotFound => "Create the Secret, or correct its name.",
    /// The operator failed inside. It goes on with the other objects and tries this one again.
    Panicked => "Report the message as a bug.",
}
