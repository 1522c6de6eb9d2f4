//! Conditions: built from facts, merged so that a transition time moves only when a status does.
use api::Reason;
use api::meta::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::step::{Event, EventType};

/// The longest message of a condition, in bytes; tools cut longer ones.
const MESSAGE_LIMIT: usize = 4096;
/// The longest note of an event, in bytes: the API refuses more than 1 kB.
const NOTE_LIMIT: usize = 1000;

/// What a condition says, before it gets its times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// The type of condition.
    pub type_: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// The cause in words, and what to change.
    pub message: String,
}

impl Statement {
    /// A statement.
    pub fn new(type_: ConditionType, holds: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self { type_, holds, reason, message: message.into() }
    }
}

/// The conditions of a new status: `statements` in the order given, with the transition time of the old condition where
/// the status is the same. Conditions that are not stated go.
pub fn merge(
    old: &[Condition],
    statements: &[Statement],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |statement: &Statement| {
        let status = if statement.holds { "True" } else { "False" };
        let same = find(old, statement.type_).filter(|old| old.status == status);
        Condition {
            type_: statement.type_.name().to_owned(),
            status: status.to_owned(),
            reason: statement.reason.name().to_owned(),
            message: cut(&statement.message, MESSAGE_LIMIT),
            observed_generation: generation,
            last_transition_time: same
                .map_or_else(|| Time(second(now)), |old| old.last_transition_time.clone()),
        }
    };
    statements.iter().map(condition).collect()
}

/// The condition of a type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.name())
}

/// The event for a change of `Ready`: none when neither its status nor its reason changed.
pub fn transition(old: &[Condition], statements: &[Statement], action: &'static str) -> Vec<Event> {
    let ready = statements.iter().find(|statement| statement.type_ == ConditionType::Ready);
    let Some(ready) = ready else { return Vec::new() };
    let status = if ready.holds { "True" } else { "False" };
    let same = |old: &Condition| old.reason == ready.reason.name() && old.status == status;
    if find(old, ConditionType::Ready).is_some_and(same) {
        return Vec::new();
    }
    let stalled =
        statements.iter().any(|statement| statement.type_ == ConditionType::Stalled && statement.holds);
    let bad = stalled || (!ready.holds && !ready.reason.action().is_empty());
    let type_ = if bad { EventType::Warning } else { EventType::Normal };
    vec![Event { type_, reason: ready.reason, action, note: cut(&ready.message, NOTE_LIMIT) }]
}

fn second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let progress = Statement::new(ConditionType::Ready, false, Reason::Creating, "a");
        let first = merge(&[], &[progress], Some(1), at(10));
        let rolling = Statement::new(ConditionType::Ready, false, Reason::RollingOut, "b");
        let second = merge(&first, &[rolling], Some(2), at(20));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!((second[0].reason.as_str(), second[0].observed_generation), ("RollingOut", Some(2)));
        let ready = Statement::new(ConditionType::Ready, true, Reason::Ready, "c");
        assert_eq!(merge(&second, &[ready], Some(2), at(30))[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let message = "ü".repeat(5000);
        let conditions =
            merge(&[], &[Statement::new(ConditionType::Ready, true, Reason::Ready, message)], None, at(1));
        assert!(conditions[0].message.len() <= MESSAGE_LIMIT);
        assert!(conditions[0].message.ends_with('…'));
    }
}
