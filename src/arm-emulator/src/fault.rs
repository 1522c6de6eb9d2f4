//! Faults that a test asks for: which call is hit, when, and how.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Answer, Body, Failure};

/// More faults than any test sets at once.
const FAULTS: usize = 1000;

/// What happens to a call that is hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Action {
    /// This answer instead of service.
    Answer {
        /// The status.
        status: u16,
        /// The body; an ARM error of that status when absent.
        #[serde(default)]
        body: Option<Value>,
        /// Further headers, `Retry-After` say.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// The call is executed, then the connection is closed without an answer.
    LoseResponse,
    /// The connection is reset before service.
    Reset,
    /// Nothing happens for this long, then the connection is closed.
    Stall {
        /// How long.
        milliseconds: u64,
    },
    /// Service begins this much later.
    Delay {
        /// How long.
        milliseconds: u64,
    },
    /// The call is executed, and half of the answer is sent.
    Truncate,
    /// The call is executed, and its answer changed before it is sent.
    Edit {
        /// Another status.
        #[serde(default)]
        status: Option<u16>,
        /// Headers that get another value; those of null are taken away.
        #[serde(default)]
        headers: BTreeMap<String, Option<String>>,
    },
    /// The call is executed, and answered by a page of HTML with this status.
    Html {
        /// The status.
        status: u16,
    },
    /// The resource that the call creates answers 404 to its next reads.
    HideAfterCreate {
        /// How many.
        reads: u32,
    },
    /// The next reads of the resource that the call changes show it as it was.
    StaleReads {
        /// How many.
        reads: u32,
    },
    /// The operation that the call starts fails.
    OperationFails {
        /// ARM's error code.
        code: String,
        /// The sentence beside it.
        message: String,
    },
    /// The operation that the call starts is canceled.
    OperationCanceled,
    /// The operation that the call starts never ends.
    OperationNeverEnds,
    /// The URL of the operation that the call starts answers 404, though the operation goes on.
    OperationUrlGone,
    /// The operation that the call starts takes this long, in the emulator's time.
    OperationTakes {
        /// How long.
        milliseconds: u64,
    },
    /// 403: the caller has no right.
    AuthorizationFailed,
    /// 403: a policy forbids it.
    PolicyDenied,
    /// 409: the provider is not registered in the subscription.
    UnregisteredProvider,
    /// 409: another operation is in progress.
    AnotherOperationInProgress,
    /// 400: the quota is used up.
    OutOfQuota,
}

/// Which calls, and what happens to them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The method; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// A regular expression on the path, without regard to case; any path when absent.
    #[serde(default)]
    pub path: Option<String>,
    /// The first matching call that is hit, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many matching calls are hit; all when null.
    #[serde(default = "once")]
    pub count: Option<u64>,
    /// The share of them that is hit, in percent.
    #[serde(default = "all")]
    pub percent: u8,
    /// Chooses which ones: the same number chooses the same.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub action: Action,
}

fn one() -> u64 {
    1
}

fn all() -> u8 {
    100
}

#[expect(clippy::unnecessary_wraps, reason = "serde takes the default of the field's own type")]
fn once() -> Option<u64> {
    Some(1)
}

impl Fault {
    /// Hits the next call.
    pub fn new(method: &str, path: &str, action: Action) -> Self {
        let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
        Self { method, path, nth: 1, count: Some(1), percent: 100, seed: 0, action }
    }

    /// Hits every call to a path, whatever its method.
    pub fn every(path: &str, action: Action) -> Self {
        Self { method: None, count: None, ..Self::new("", path, action) }
    }

    /// Hits the nth matching call and those after it.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// Hits a share of the calls, which the seed chooses.
    #[must_use]
    pub fn percent(self, percent: u8, seed: u64) -> Self {
        Self { percent, seed, ..self }
    }

    /// Hits so many calls; all when none.
    #[must_use]
    pub fn count(self, count: Option<u64>) -> Self {
        Self { count, ..self }
    }
}

#[derive(Debug)]
struct Armed {
    id: u64,
    fault: Fault,
    path: Option<Regex>,
    /// How many calls matched.
    seen: u64,
    /// How many were hit.
    hit: u64,
}

/// The faults that are set. Cheap to share.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<(u64, Vec<Armed>)>,
}

impl Faults {
    /// Sets a fault and gives its number, or says why not.
    pub fn set(&self, fault: Fault) -> Result<u64, String> {
        let path = fault.path.as_ref().map(|path| Regex::new(&format!("(?i){path}"))).transpose();
        let path = path.map_err(|error| format!("failed to read the path's regular expression: {error}"))?;
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.1.len() >= FAULTS {
            return Err(format!("at most {FAULTS} faults can be set at once; delete some"));
        }
        armed.0 += 1;
        let id = armed.0;
        armed.1.push(Armed { id, fault, path, seen: 0, hit: 0 });
        Ok(id)
    }

    /// Removes one fault; false where there is none of this number.
    pub fn remove(&self, id: u64) -> bool {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = armed.1.len();
        armed.1.retain(|one| one.id != id);
        armed.1.len() < before
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }

    /// Every fault with its number and how many calls it matched and hit.
    pub fn list(&self) -> Vec<Value> {
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed
            .1
            .iter()
            .map(|one| json!({"id": one.id, "fault": one.fault, "seen": one.seen, "hit": one.hit}))
            .collect()
    }

    /// How many calls a fault has hit.
    pub fn hits(&self, id: u64) -> u64 {
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.1.iter().find(|one| one.id == id).map_or(0, |one| one.hit)
    }

    /// Counts a call, and gives what happens to it.
    pub(crate) fn take(&self, method: &str, path: &str) -> Vec<Action> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut actions = Vec::new();
        for one in &mut armed.1 {
            let method = one.fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
            if !method || !one.path.as_ref().is_none_or(|regex| regex.is_match(path)) {
                continue;
            }
            one.seen += 1;
            let chosen = one.fault.percent >= 100 || draw(one.fault.seed, one.seen) < one.fault.percent;
            if chosen && one.seen >= one.fault.nth && one.fault.count.is_none_or(|count| one.hit < count) {
                one.hit += 1;
                actions.push(one.fault.action.clone());
            }
        }
        actions
    }
}

/// A number below 100 that looks like chance and is the same each time (the mixer of SplitMix64).
fn draw(seed: u64, call: u64) -> u8 {
    let mut mixed =
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(call).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) % 100) as u8
}

/// The answer that an action gives instead of service.
pub(crate) fn answer(action: &Action) -> Option<Answer> {
    let failure = |status: u16, code: &str, message: &str| Some(Failure::new(status, code, message).answer());
    match action {
        Action::Answer { status, body, headers } => {
            let body = body.clone().map_or_else(|| ordinary(*status), Body::Json);
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            Some(Answer { status: *status, headers, body })
        }
        Action::AuthorizationFailed => failure(
            403,
            "AuthorizationFailed",
            "The client does not have authorization to perform action over scope or the scope is invalid. If access was \
             recently granted, please refresh your credentials.",
        ),
        Action::PolicyDenied => Some(
            Failure::new(
                403,
                "RequestDisallowedByPolicy",
                "Resource was disallowed by policy. Policy identifiers: 'Allowed locations'.",
            )
            .additional("PolicyViolation", &json!({"policyDefinitionDisplayName": "Allowed locations"}))
            .answer(),
        ),
        Action::UnregisteredProvider => failure(
            409,
            "MissingSubscriptionRegistration",
            "The subscription is not registered to use namespace 'Microsoft.MachineLearningServices'. See \
             https://aka.ms/rps-not-found for how to register subscriptions.",
        ),
        Action::AnotherOperationInProgress => failure(
            409,
            "AnotherOperationInProgress",
            "Another operation on this or dependent resource is in progress. Please try again later.",
        ),
        Action::OutOfQuota => failure(
            400,
            "OutOfQuota",
            "Not enough quota available for Standard_F4s_v2. Current usage/limit: 4/4. Additional needed: 4",
        ),
        _ => None,
    }
}

/// The body of a status that a fault gives without one.
fn ordinary(status: u16) -> Body {
    let code = match status {
        401 => "InvalidAuthenticationToken",
        403 => "AuthorizationFailed",
        404 => "ResourceNotFound",
        409 => "Conflict",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        500 => "InternalServerError",
        502 => "BadGateway",
        503 => "ServerBusy",
        504 => "GatewayTimeout",
        200..300 => return Body::Empty,
        _ => "InjectedFault",
    };
    Failure::new(status, code, "A fault was injected by the test.").answer().body
}

#[cfg(test)]
mod tests;
