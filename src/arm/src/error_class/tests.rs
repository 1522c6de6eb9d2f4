//! The errors that Azure is known to give, and what each comes to.
use super::*;
use crate::ErrorClass as Class;

fn error(code: &str, message: &str) -> ArmError {
    ArmError { code: code.to_owned(), message: message.to_owned(), ..ArmError::default() }
}

const KNOWN: &[(u16, &str, &str, Class)] = &[
    (429, "SubscriptionRequestsThrottled", "", Class::Throttled),
    (429, "", "", Class::Throttled),
    (429, "RetryableErrorDueToAnotherOperation", "", Class::Busy),
    (500, "InternalServerError", "quota service is down", Class::Unreachable),
    (503, "", "", Class::Unreachable),
    (408, "", "", Class::Unreachable),
    (401, "ExpiredAuthenticationToken", "", Class::Unauthorized),
    (
        401,
        "InvalidAuthenticationTokenTenant",
        "The access token is from the wrong issuer",
        Class::WrongTenant,
    ),
    (403, "AuthorizationFailed", "does not have authorization", Class::Forbidden),
    (403, "RequestDisallowedByPolicy", "was disallowed by policy", Class::PolicyDenied),
    (403, "LinkedAuthorizationFailed", "", Class::Forbidden),
    (
        409,
        "ScopeLocked",
        "cannot perform delete operation because following scope(s) are locked",
        Class::Locked,
    ),
    (409, "MissingSubscriptionRegistration", "", Class::NotRegistered),
    (403, "DisabledSubscription", "", Class::NotRegistered),
    (400, "QuotaExceeded", "", Class::Quota),
    (400, "BadRequest", "Operation results in exceeding approved Total Regional Cores quota", Class::Quota),
    (409, "VaultAlreadyExists", "", Class::NameTaken),
    (409, "StorageAccountAlreadyTaken", "", Class::NameTaken),
    (
        400,
        "BadRequest",
        "There is already an endpoint with this name, Endpoint name needs to be unique within a region",
        Class::NameTaken,
    ),
    (
        400,
        "BadRequest",
        "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete",
        Class::SoftDeleted,
    ),
    (409, "Conflict", "An operation already in progress", Class::Busy),
    (
        400,
        "BadRequest",
        "Cannot create a deployment in endpoint e because it is in Updating provisioning state",
        Class::Busy,
    ),
    (409, "OperationCanceled", "canceled by another operation that has a higher priority", Class::Busy),
    (409, "AnotherOperationInProgress", "", Class::Busy),
    (400, "UserError", "ModelUri cannot be changed", Class::Immutable),
    (409, "PropertyChangeNotAllowed", "", Class::Immutable),
    (400, "InvalidRequestContent", "", Class::Invalid),
    (422, "", "", Class::Invalid),
    (409, "Conflict", "something else", Class::Conflict),
    (412, "", "", Class::Conflict),
    (404, "ParentResourceNotFound", "", Class::NotFound),
    (404, "ResourceGroupNotFound", "", Class::NotFound),
    (302, "", "", Class::InvalidResponse),
    (0, "OutOfQuota", "not enough cores", Class::Quota),
    (0, "BadRequest", "nonsense", Class::Invalid),
];

#[test]
fn known_errors_have_their_class() {
    for (status, code, message, class) in KNOWN {
        assert_eq!(classify(*status, &error(code, message)), *class, "{status} {code} {message}");
    }
}

#[test]
fn the_cause_below_a_vague_code_tells_the_class() {
    let mut outer = error("BadRequest", "the request is invalid");
    outer.details = vec![error("outofquota", "")];
    assert_eq!(classify(400, &outer), ErrorClass::Quota);
}

#[test]
fn only_a_missing_resource_counts_as_absent() {
    for code in ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "NotFound", ""] {
        assert!(is_absence(&error(code, "")), "{code}");
    }
    for code in ["SubscriptionNotFound", "InvalidResourceType", "NoRegisteredProviderFound"] {
        assert!(!is_absence(&error(code, "")), "{code}");
    }
}
