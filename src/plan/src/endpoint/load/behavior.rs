//! How fast the number of replicas may follow the load: windows and policies, by the rules of a
//! HorizontalPodAutoscaler.
//!
//! A window is kept as steps: each number that the load asked for holds from its time until that of the next. Steps that
//! come close together are taken for one, to the side that changes less, so that a status is not written at each look.
use api::endpoint::{
    Asked, PolicyType, ScalingBehavior, ScalingChange, ScalingPolicy, ScalingRules, SelectPolicy,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Seconds for which fewer replicas must suffice, without another word.
const DOWN_SECONDS: i32 = 300;
/// Into how many steps a window is divided at most.
const STEPS: i32 = 20;
/// The most changes that are remembered.
const CHANGES: usize = 64;

/// A direction with its rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Direction {
    is_up: bool,
    seconds: i32,
    select: SelectPolicy,
    policies: Vec<ScalingPolicy>,
}

/// The rules upwards and downwards, with their defaults.
pub(super) fn directions(behavior: Option<&ScalingBehavior>) -> (Direction, Direction) {
    let percent = ScalingPolicy { type_: PolicyType::Percent, value: 100, period_seconds: 15 };
    let pods = ScalingPolicy { type_: PolicyType::Pods, value: 4, period_seconds: 15 };
    let direction = |rules: Option<&ScalingRules>, is_up: bool, seconds, default: Vec<ScalingPolicy>| {
        let rules = rules.cloned().unwrap_or_default();
        Direction {
            is_up,
            seconds: rules.stabilization_window_seconds.unwrap_or(seconds),
            select: rules.select_policy.unwrap_or(SelectPolicy::Max),
            policies: if rules.policies.is_empty() { default } else { rules.policies },
        }
    };
    let up = behavior.and_then(|it| it.scale_up.as_ref());
    let down = behavior.and_then(|it| it.scale_down.as_ref());
    (direction(up, true, 0, vec![percent.clone(), pods]), direction(down, false, DOWN_SECONDS, vec![percent]))
}

impl Direction {
    /// Whether nothing changes in this direction.
    pub(super) fn is_disabled(&self) -> bool {
        self.select == SelectPolicy::Disabled
    }

    /// What the window holds once the load asks for so many replicas: the least upwards, the most downwards.
    pub(super) fn remember(&self, old: &[Asked], now: Timestamp, replicas: i32) -> Vec<Asked> {
        if self.seconds == 0 {
            return Vec::new();
        }
        let mut steps = old.to_vec();
        // Only what goes further than all that came after it can still decide.
        let goes_further =
            |step: &Asked| if self.is_up { step.replicas < replicas } else { step.replicas > replicas };
        let is_same = steps.last().is_some_and(|last| last.replicas == replicas);
        if !is_same {
            let dropped: Vec<Asked> = steps.extract_if(.., |step| !goes_further(step)).collect();
            let close = i64::from((self.seconds / STEPS).max(1));
            match steps.last() {
                Some(last) if dropped.is_empty() && seconds(last.since.0, now) < close => {}
                // What it replaces ended the step before already.
                _ => {
                    let since = dropped.first().map_or_else(|| Time(second(now)), |it| it.since.clone());
                    steps.push(Asked { since, replicas });
                }
            }
        }
        let begins = self.begins(now);
        let is_over = |pair: &[Asked]| pair.get(1).is_some_and(|next| next.since.0 <= begins);
        while is_over(&steps) {
            steps.remove(0);
        }
        steps
    }

    fn begins(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_secs(i64::from(self.seconds))).unwrap_or(now)
    }

    /// The number that the window allows: no change that it does not ask for throughout.
    pub(super) fn stabilized(&self, window: &[Asked], replicas: i32) -> i32 {
        let numbers = window.iter().map(|step| step.replicas);
        if self.is_up {
            numbers.min().map_or(replicas, |least| least.min(replicas))
        } else {
            numbers.max().map_or(replicas, |most| most.max(replicas))
        }
    }

    /// The farthest number that the policies allow.
    pub(super) fn limit(&self, replicas: i32, changes: &[ScalingChange], now: Timestamp) -> i32 {
        if self.is_disabled() {
            return replicas;
        }
        let limits = self.policies.iter().map(|policy| self.allowed(policy, replicas, changes, now));
        let most = (self.select == SelectPolicy::Max) == self.is_up;
        let limit = if most { limits.max() } else { limits.min() }.unwrap_or(replicas);
        if self.is_up { limit.max(replicas) } else { limit.min(replicas).max(0) }
    }

    /// What one policy allows, counted from the number at the beginning of its period.
    fn allowed(
        &self,
        policy: &ScalingPolicy,
        replicas: i32,
        changes: &[ScalingChange],
        now: Timestamp,
    ) -> i32 {
        let recent = changes.iter().filter(|it| seconds(it.at.0, now) < i64::from(policy.period_seconds));
        let began = i64::from(replicas) - recent.map(|it| i64::from(it.by)).sum::<i64>();
        let value = i64::from(policy.value);
        let allowed = match (policy.type_, self.is_up) {
            (PolicyType::Pods, true) => began + value,
            (PolicyType::Pods, false) => began - value,
            (PolicyType::Percent, true) => began + (began * value + 99).div_euclid(100),
            (PolicyType::Percent, false) => (began * (100 - value)).div_euclid(100),
        };
        i32::try_from(allowed.clamp(0, i64::from(i32::MAX))).unwrap_or(i32::MAX)
    }

    fn longest(&self) -> i32 {
        self.policies.iter().map(|policy| policy.period_seconds).max().unwrap_or(0)
    }
}

/// The changes that policies may still count.
pub(super) fn recent(
    changes: &[ScalingChange],
    now: Timestamp,
    (up, down): (&Direction, &Direction),
) -> Vec<ScalingChange> {
    let longest = i64::from(up.longest().max(down.longest()));
    let mut recent: Vec<ScalingChange> =
        changes.iter().filter(|change| seconds(change.at.0, now) < longest).cloned().collect();
    while recent.len() >= CHANGES {
        // The oldest counts longer than it would, rather than not at all.
        let first = recent.remove(0);
        if let Some(second) = recent.first_mut() {
            second.by = second.by.saturating_add(first.by);
        }
    }
    recent
}

fn seconds(from: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(from).as_secs()
}

/// A time as a status holds it.
pub(super) fn second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
