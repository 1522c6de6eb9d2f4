//! What a status says when a step failed: the one error policy of all kinds.
use std::time::Duration;

use api::Reason;
use api::meta::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::condition::{self, Statement};
use crate::step::{Event, Next};

/// Why a step failed, as far as what to do next depends on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Class {
    /// It may pass by itself: the network, a conflict, a server in trouble.
    Transient,
    /// The server asks to wait.
    Throttled(Duration),
    /// A right is missing.
    Denied,
    /// The server refuses what was sent.
    Invalid,
    /// An object of the same name belongs to somebody else.
    Conflict,
    /// The code panicked.
    Panicked,
    /// Azure does not answer, or is in trouble. What is ready stays ready.
    Unreachable,
    /// Azure asks to wait. What is ready stays ready.
    AzureThrottled(Duration),
    /// Something that passes by itself, for a reason of its own.
    Passing(Reason),
    /// Something that a person must mend, for a reason of its own.
    Refused(Reason),
}

/// A step that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// What was tried and what came back, for people.
    pub message: String,
}

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_mins(5);
/// The wait before the first retry.
const SHORTEST: Duration = Duration::from_millis(200);

impl Failure {
    /// The reason that the condition gives.
    pub fn reason(&self) -> Reason {
        match self.class {
            Class::Transient | Class::Throttled(_) => Reason::ApplyFailed,
            Class::Denied => Reason::Denied,
            Class::Invalid => Reason::Rejected,
            Class::Conflict => Reason::Conflict,
            Class::Panicked => Reason::Panicked,
            Class::Unreachable => Reason::AzureUnreachable,
            Class::AzureThrottled(_) => Reason::Throttled,
            Class::Passing(reason) | Class::Refused(reason) => reason,
        }
    }

    fn is_for_a_person(&self) -> bool {
        match self.class {
            Class::Transient
            | Class::Throttled(_)
            | Class::Unreachable
            | Class::AzureThrottled(_)
            | Class::Passing(_) => false,
            Class::Denied | Class::Invalid | Class::Conflict | Class::Panicked | Class::Refused(_) => true,
        }
    }

    /// Whether what the conditions said before still holds: that Azure was not asked says nothing about what it holds.
    pub fn keeps(&self, old: &[Condition]) -> bool {
        let ready = condition::find(old, ConditionType::Ready);
        match self.class {
            Class::Unreachable => ready.is_some(),
            Class::AzureThrottled(_) => ready.is_some_and(|ready| ready.status == "True"),
            _ => false,
        }
    }

    /// The conditions after this failure: those of the plan, with `Ready`, `Reconciling` and `Stalled` replaced.
    pub fn conditions(
        &self,
        planned: &[Condition],
        old: &[Condition],
        generation: Option<i64>,
        now: Timestamp,
    ) -> Vec<Condition> {
        let said = |type_, holds| Statement::new(type_, holds, self.reason(), self.message.clone());
        if self.keeps(old) {
            return match self.class {
                Class::Unreachable => self.unreachable(old, generation, now),
                _ => old.to_vec(),
            };
        }
        let progress =
            if self.is_for_a_person() { ConditionType::Stalled } else { ConditionType::Reconciling };
        let statements = [said(ConditionType::Ready, false), said(progress, true)];
        let mut conditions = condition::merge(old, &statements, generation, now);
        let replaced = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];
        let is_replaced =
            |condition: &&Condition| replaced.iter().any(|type_| condition.type_ == type_.name());
        conditions.extend(planned.iter().filter(|condition| !is_replaced(condition)).cloned());
        conditions
    }

    /// Azure's absence says nothing about what it holds: every condition stays, and one says since when it is away.
    fn unreachable(&self, old: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
        let type_ = ConditionType::AzureReachable.name();
        let mut conditions: Vec<Condition> =
            old.iter().filter(|condition| condition.type_ != type_).cloned().collect();
        conditions.extend(self.reachability(old, generation, now));
        conditions
    }

    /// The condition that says since when Azure could not be asked, and why.
    pub fn reachability(&self, old: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
        let type_ = ConditionType::AzureReachable;
        let statement = Statement::new(type_, false, self.reason(), self.message.clone());
        condition::merge(old, &[statement], generation, now)
    }

    /// The event for this failure, unless the old conditions say the same already.
    pub fn events(&self, old: &[Condition]) -> Vec<Event> {
        if matches!(self.class, Class::AzureThrottled(_)) {
            return Vec::new();
        }
        if self.class == Class::Unreachable {
            let known =
                condition::find(old, ConditionType::AzureReachable).is_some_and(|it| it.status == "False");
            let note = self.message.chars().take(900).collect();
            let event =
                Event { type_: crate::EventType::Warning, reason: self.reason(), action: "Execute", note };
            return if known { Vec::new() } else { vec![event] };
        }
        let statements = [
            Statement::new(ConditionType::Ready, false, self.reason(), self.message.clone()),
            Statement::new(
                ConditionType::Stalled,
                self.is_for_a_person(),
                self.reason(),
                self.message.clone(),
            ),
        ];
        condition::transition(old, &statements, "Execute")
    }

    /// When to try again after `attempts` failures in a row: capped exponential, spread by `jitter` in `0.0..1.0`.
    /// What needs a person is tried again at the cap, since rights and quotas change without an event.
    pub fn next(&self, attempts: u32, jitter: f64) -> Next {
        let wait = match self.class {
            Class::Throttled(wait) | Class::AzureThrottled(wait) => wait,
            Class::Unreachable | Class::Passing(_) => {
                Duration::from_secs(1).saturating_mul(1 << attempts.min(20)).min(LONGEST)
            }
            Class::Transient | Class::Panicked => SHORTEST.saturating_mul(1 << attempts.min(20)).min(LONGEST),
            Class::Denied | Class::Invalid | Class::Conflict | Class::Refused(_) => {
                Duration::from_secs(5).saturating_mul(1 << attempts.min(20)).min(LONGEST)
            }
        };
        Next::After(wait.mul_f64(1.0 + 0.5 * jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: Class) -> Failure {
        Failure { class, message: "failed to apply Deployment team/churn: busy".into() }
    }

    #[test]
    fn retries_grow_to_five_minutes_and_stay_there() {
        let waits: Vec<Next> =
            (0..30).map(|attempts| failure(Class::Transient).next(attempts, 0.0)).collect();
        assert_eq!(waits[0], Next::After(Duration::from_millis(200)));
        assert_eq!(waits[3], Next::After(Duration::from_millis(1600)));
        assert!(waits[12..].iter().all(|wait| *wait == Next::After(LONGEST)));
    }

    #[test]
    fn the_server_s_word_is_obeyed() {
        let wait = Duration::from_secs(7);
        let Next::After(next) = failure(Class::Throttled(wait)).next(0, 0.9) else { panic!("no wait") };
        assert!(next >= wait && next < wait * 2);
    }

    #[test]
    fn what_is_ready_stays_ready_while_azure_is_not_asked() {
        let now = Timestamp::from_second(5).unwrap();
        let conditions = |ready: bool| {
            let ready = Statement::new(ConditionType::Ready, ready, Reason::Ready, "as wanted");
            condition::merge(&[], &[ready], Some(3), now)
        };
        let wait = Class::AzureThrottled(Duration::from_secs(7));
        let throttled = |old: &[Condition]| failure(wait.clone()).conditions(&[], old, Some(4), now);
        assert_eq!(throttled(&conditions(true)), conditions(true));
        assert_eq!(throttled(&conditions(false))[0].reason, "Throttled");
        assert_eq!(failure(wait).events(&conditions(true)), []);
        let away = failure(Class::Unreachable).conditions(&[], &conditions(true), Some(4), now);
        assert_eq!((away[0].type_.as_str(), away[0].status.as_str()), ("Ready", "True"));
        assert_eq!((away[1].type_.as_str(), away[1].status.as_str()), ("AzureReachable", "False"));
    }

    #[test]
    fn serving_keeps_its_word_when_a_step_fails() {
        let now = Timestamp::from_second(5).unwrap();
        let serving = Statement::new(ConditionType::Serving, true, Reason::Answering, "answers");
        let ready = Statement::new(ConditionType::Ready, true, Reason::Ready, "ready");
        let planned = condition::merge(&[], &[ready, serving], Some(3), now);
        let types = |class| -> Vec<String> {
            let conditions = failure(class).conditions(&planned, &[], Some(3), now);
            conditions.iter().map(|it| format!("{}={}/{}", it.type_, it.status, it.reason)).collect()
        };
        assert_eq!(
            types(Class::Transient),
            ["Ready=False/ApplyFailed", "Reconciling=True/ApplyFailed", "Serving=True/Answering"]
        );
        assert_eq!(
            types(Class::Denied),
            ["Ready=False/Denied", "Stalled=True/Denied", "Serving=True/Answering"]
        );
    }
}
