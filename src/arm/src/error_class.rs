//! What sort of failure an error is, so that callers decide by a word rather than by status and text.
use serde::{Deserialize, Serialize};

use crate::ArmError;

#[cfg(test)]
mod tests;

/// A sort of failure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ErrorClass {
    /// Too many calls: wait as long as the server says.
    Throttled,
    /// No answer, or one that breaks off, or one that only says that the service is in trouble. Whether a write happened
    /// is not known.
    Unreachable,
    /// No token could be had, or it was refused.
    Unauthorized,
    /// The identity, the subscription or the resource is of another tenant.
    WrongTenant,
    /// The identity lacks a right.
    Forbidden,
    /// A policy of the organisation forbids it.
    PolicyDenied,
    /// A lock on the resource, its group or its subscription forbids it.
    Locked,
    /// The subscription is not registered for the resource provider, or is not active.
    NotRegistered,
    /// A quota or the capacity of a region is used up.
    Quota,
    /// The name is taken by another, perhaps elsewhere.
    NameTaken,
    /// A soft-deleted twin holds the name.
    SoftDeleted,
    /// Another operation runs on the same resource: the same call will do later.
    Busy,
    /// The change touches what can't be changed.
    Immutable,
    /// The call is wrong, and will be until it changes.
    Invalid,
    /// It is in conflict with what exists.
    Conflict,
    /// What the call needs does not exist, such as the parent.
    NotFound,
    /// The answer could not be understood.
    InvalidResponse,
}

/// Codes that tell the class by themselves, wherever in the error they are. The first row that matches wins, so that
/// the more telling codes come first; compared without regard to case.
const CODES: &[(&str, ErrorClass)] = &[
    ("RequestDisallowedByPolicy", ErrorClass::PolicyDenied),
    ("PolicyViolation", ErrorClass::PolicyDenied),
    ("RequestDisallowedByAzure", ErrorClass::PolicyDenied),
    ("ScopeLocked", ErrorClass::Locked),
    ("CannotDeleteScopeLocked", ErrorClass::Locked),
    ("InvalidAuthenticationTokenTenant", ErrorClass::WrongTenant),
    ("InvalidAuthenticationTokenTenantMismatch", ErrorClass::WrongTenant),
    ("LinkedAccessCheckFailed", ErrorClass::Forbidden),
    ("LinkedAuthorizationFailed", ErrorClass::Forbidden),
    ("AuthorizationFailed", ErrorClass::Forbidden),
    ("AuthorizationPermissionMismatch", ErrorClass::Forbidden),
    ("MissingSubscriptionRegistration", ErrorClass::NotRegistered),
    ("SubscriptionNotRegistered", ErrorClass::NotRegistered),
    ("DisabledSubscription", ErrorClass::NotRegistered),
    ("ReadOnlyDisabledSubscription", ErrorClass::NotRegistered),
    ("NoRegisteredProviderFound", ErrorClass::Invalid),
    ("QuotaExceeded", ErrorClass::Quota),
    ("OutOfQuota", ErrorClass::Quota),
    ("OutOfCapacity", ErrorClass::Quota),
    ("QuotaLimitReached", ErrorClass::Quota),
    ("ResourceQuotaExceeded", ErrorClass::Quota),
    ("OperationNotAllowedQuotaExceeded", ErrorClass::Quota),
    ("SkuNotAvailable", ErrorClass::Quota),
    ("AllocationFailed", ErrorClass::Quota),
    ("ZonalAllocationFailed", ErrorClass::Quota),
    ("OverconstrainedAllocationRequest", ErrorClass::Quota),
    ("MaxStorageAccountsCountPerSubscriptionExceeded", ErrorClass::Quota),
    ("VaultAlreadyExists", ErrorClass::NameTaken),
    ("StorageAccountAlreadyTaken", ErrorClass::NameTaken),
    ("StorageAccountAlreadyExists", ErrorClass::NameTaken),
    ("StorageAccountInAnotherResourceGroup", ErrorClass::NameTaken),
    ("NameNotAvailable", ErrorClass::NameTaken),
    ("NameUnavailable", ErrorClass::NameTaken),
    ("NameAlreadyInUse", ErrorClass::NameTaken),
    ("AlreadyInUse", ErrorClass::NameTaken),
    ("EndpointAlreadyExists", ErrorClass::NameTaken),
    ("InvalidResourceLocation", ErrorClass::NameTaken),
    ("InUse", ErrorClass::Conflict),
    ("SoftDeletedWorkspaceExists", ErrorClass::SoftDeleted),
    ("ConflictError_SoftDeleted", ErrorClass::SoftDeleted),
    ("AnotherOperationInProgress", ErrorClass::Busy),
    ("RetryableErrorDueToAnotherOperation", ErrorClass::Busy),
    ("OperationInProgress", ErrorClass::Busy),
    ("OperationNotAllowedOnUpdatingResource", ErrorClass::Busy),
    ("OperationCanceled", ErrorClass::Busy),
    ("OperationPreempted", ErrorClass::Busy),
    ("ResourceGroupBeingDeleted", ErrorClass::Busy),
    ("ParentResourceNotReady", ErrorClass::Busy),
    ("PropertyChangeNotAllowed", ErrorClass::Immutable),
    ("ImmutableProperty", ErrorClass::Immutable),
    ("CannotChangeImmutableProperty", ErrorClass::Immutable),
    ("SubscriptionRequestsThrottled", ErrorClass::Throttled),
    ("TooManyRequests", ErrorClass::Throttled),
    ("OperationNotAllowedThrottled", ErrorClass::Throttled),
    ("ResourceGroupNotFound", ErrorClass::NotFound),
    ("ParentResourceNotFound", ErrorClass::NotFound),
    ("SubscriptionNotFound", ErrorClass::NotFound),
];

/// Words that tell the class where codes are as vague as `BadRequest`; only looked for in answers of 4xx.
const WORDS: &[(&str, ErrorClass)] = &[
    ("soft-deleted workspace exists", ErrorClass::SoftDeleted),
    ("soft deleted", ErrorClass::SoftDeleted),
    ("name needs to be unique", ErrorClass::NameTaken),
    ("already an endpoint with this name", ErrorClass::NameTaken),
    ("name is already in use", ErrorClass::NameTaken),
    ("name is already taken", ErrorClass::NameTaken),
    ("another operation", ErrorClass::Busy),
    ("operation already in progress", ErrorClass::Busy),
    ("operation is in progress", ErrorClass::Busy),
    ("operation in progress", ErrorClass::Busy),
    ("provisioning state", ErrorClass::Busy),
    ("exceeding approved", ErrorClass::Quota),
    ("quota", ErrorClass::Quota),
    ("cannot be changed", ErrorClass::Immutable),
    ("can't be changed", ErrorClass::Immutable),
    ("is immutable", ErrorClass::Immutable),
    ("are immutable", ErrorClass::Immutable),
    ("disallowed by policy", ErrorClass::PolicyDenied),
];

/// The class of an answer. `error` is empty where the answer had none.
pub fn classify(status: u16, error: &ArmError) -> ErrorClass {
    let told = |(code, class): &(&str, ErrorClass)| error.has_code(code).then_some(*class);
    let said = |(words, class): &(&str, ErrorClass)| error.says(words).then_some(*class);
    match status {
        408 | 500.. => ErrorClass::Unreachable,
        // An operation that failed has an error and no status of its own.
        0 | 400..500 => CODES
            .iter()
            .find_map(told)
            .or_else(|| {
                matches!(status, 0 | 400 | 403 | 405 | 409 | 422).then(|| WORDS.iter().find_map(said))?
            })
            .unwrap_or_else(|| by_status(status)),
        _ => ErrorClass::InvalidResponse,
    }
}

fn by_status(status: u16) -> ErrorClass {
    match status {
        401 => ErrorClass::Unauthorized,
        403 => ErrorClass::Forbidden,
        404 | 410 => ErrorClass::NotFound,
        409 | 412 => ErrorClass::Conflict,
        423 => ErrorClass::Locked,
        429 => ErrorClass::Throttled,
        _ => ErrorClass::Invalid,
    }
}

/// Whether an answer of 404 says that the resource itself, or what holds it, does not exist, and not that the call names
/// a subscription, a resource type or a version that the server doesn't know.
pub fn is_absence(error: &ArmError) -> bool {
    let others = [
        "SubscriptionNotFound",
        "InvalidSubscriptionId",
        "InvalidResourceType",
        "InvalidResourceNamespace",
        "NoRegisteredProviderFound",
        "MissingSubscription",
        "InvalidApiVersionParameter",
    ];
    !others.iter().any(|code| error.has_code(code))
}
