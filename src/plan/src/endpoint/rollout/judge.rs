//! What the measurements of a step say about a new revision: each check by itself, and all of them together.
//!
//! Nothing is decided on noise. A check fails only if what was measured is beyond its threshold and the lower bound of
//! where the truth lies is, too: with little doubt at the end of a step, and with next to none before, since a step is
//! looked at again and again. It passes only at the end, on enough requests. Whatever is neither goes on.

mod statistics;
mod words;

#[cfg(test)]
mod tests;

use api::endpoint::{Analysis, AnalysisQuery, Check, CheckMode, CheckOutcome};

use self::statistics::{Share, mean_ratio, percentile, ratio};
use self::words::{Standing, query};
use super::evidence::{Evidence, Sample};

/// How many standard deviations of doubt are left for a failure at the end of a step: one in two hundred, since a step
/// without a verdict is looked at a few times more.
const AT_THE_END: f64 = 2.58;
/// The same before the end, where a look every few seconds gives noise many chances: one in four thousand.
const BEFORE: f64 = 3.5;
/// What fails a candidate on fewer answers than are asked for: more than this share of them.
const OVERWHELMING: f64 = 0.5;
/// The fewest answers that can be overwhelming.
const FEWEST: u64 = 10;

/// What a step measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measures {
    /// What callers got.
    Traffic,
    /// What the candidate answered to copies, compared with the stable revision's answers.
    Mirror,
    /// What the candidate answered to copies that Azure made: counted like answers to callers, and compared with nothing.
    Copies,
}

/// What the checks of a step come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The candidate may go on.
    Passed,
    /// The candidate is worse.
    Failed,
    /// It can't be told yet.
    Inconclusive,
}

/// The 95th percentile of latencies that were counted into buckets, in the unit of their bounds; none without any.
pub fn p95(latency: &[(f64, u64)]) -> Option<f64> {
    percentile(latency)
}

/// What the checks come to together: only those that are enforced count. Without one, nothing is in the way.
pub fn verdict(checks: &[Check]) -> Verdict {
    let mut verdict = Verdict::Passed;
    for check in checks.iter().filter(|check| check.mode == CheckMode::Enforce) {
        match check.outcome {
            CheckOutcome::Failed => return Verdict::Failed,
            CheckOutcome::Inconclusive => verdict = Verdict::Inconclusive,
            CheckOutcome::Passed => {}
        }
    }
    verdict
}

/// The checks that apply to a step with a candidate and a stable revision. `over` says whether the step has lasted as long as it must.
pub fn checks(
    analysis: &Analysis,
    measures: Measures,
    (candidate, stable): (&str, &str),
    evidence: Option<&Evidence>,
    over: bool,
) -> Vec<Check> {
    let modes = analysis.modes.clone().unwrap_or_default();
    let (mirrors, fewest) = (measures == Measures::Mirror, u64::try_from(analysis.min_requests).unwrap_or(0));
    let nothing = Sample::default();
    let sample = |name| evidence.and_then(|evidence| evidence.revisions.get(name)).unwrap_or(&nothing);
    let step = Step { candidate: sample(candidate), stable: sample(stable), fewest, over };
    let unknown = match evidence {
        None => Some("nothing was measured yet".to_owned()),
        Some(Evidence { unavailable: Some(cause), .. }) => Some(cause.clone()),
        Some(_) => None,
    };
    let check = |name: &str, mode, threshold: Option<f64>, finding: &dyn Fn(f64) -> Finding| {
        let threshold = finite(threshold?);
        let finding = match &unknown {
            Some(cause) => Finding::inconclusive(cause),
            None => finding(threshold),
        };
        Some(finding.check(name, mode, threshold))
    };
    let errors = |threshold| if mirrors { step.copy_errors(threshold) } else { step.errors(threshold) };
    let built_in = [
        check("errorRate", modes.error_rate, analysis.max_error_rate, &errors),
        check(
            "p95LatencyRatio",
            modes.p95_latency_ratio,
            analysis.max_p95_latency_ratio.filter(|_| measures == Measures::Traffic),
            &|threshold| step.latency(threshold),
        ),
        check(
            "predictionDisagreement",
            modes.prediction_disagreement,
            analysis.max_prediction_disagreement.filter(|_| mirrors),
            &|threshold| step.disagreement(threshold),
        ),
    ];
    let queries = analysis.queries.iter().map(|query| queried(query, evidence, over));
    built_in.into_iter().flatten().chain(queries).collect()
}

/// What was measured in a step.
struct Step<'a> {
    candidate: &'a Sample,
    stable: &'a Sample,
    /// The fewest requests that a verdict needs.
    fewest: u64,
    over: bool,
}

/// What a check came to.
struct Finding {
    outcome: CheckOutcome,
    value: Option<f64>,
    samples: Option<u64>,
    stable_samples: Option<u64>,
    message: String,
}

impl Finding {
    fn inconclusive(message: &str) -> Self {
        Self {
            outcome: CheckOutcome::Inconclusive,
            value: None,
            samples: None,
            stable_samples: None,
            message: message.to_owned(),
        }
    }

    fn check(self, name: &str, mode: CheckMode, threshold: f64) -> Check {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Check {
            name: name.to_owned(),
            mode,
            outcome: self.outcome,
            value: self.value.map(finite),
            threshold,
            samples: self.samples.map(number),
            stable_samples: self.stable_samples.map(number),
            // The schema's bound; what the gateway, Azure or Prometheus says of an error may be long.
            message: self.message.chars().take(512).collect(),
        }
    }
}

/// What an outcome depends on.
struct Facts {
    value: f64,
    threshold: f64,
    /// Where the truth lies at least.
    lower: Lower,
    samples: u64,
    /// Whether there is enough to compare with for the candidate to pass.
    comparable: bool,
    /// Whether too few requests may be overwhelming: only what is a share can be.
    share: bool,
}

/// Where the truth lies at least, by how much doubt is left.
struct Lower {
    before: f64,
    at_the_end: f64,
}

impl Lower {
    fn of(bound: impl Fn(f64) -> f64) -> Self {
        Self { before: bound(BEFORE), at_the_end: bound(AT_THE_END) }
    }
}

impl Facts {
    fn of_share(share: Share, samples: u64, threshold: f64) -> Self {
        let lower = Lower::of(|z| share.lower(z));
        Self { value: share.value(), threshold, lower, samples, comparable: true, share: true }
    }
}

impl Step<'_> {
    /// Of the answers to callers: status 5xx, and status 4xx beyond the stable revision's share of it. A candidate that
    /// refuses what the stable revision takes is broken; callers who ask for nonsense get 4xx from both.
    fn errors(&self, threshold: f64) -> Finding {
        let (candidate, stable) = (self.candidate, self.stable);
        let (answers, others) = (candidate.answers(), stable.answers());
        let failed = Share::new(candidate.failed, answers);
        let refused = Share::new(candidate.refused, answers);
        let either = Share::new(candidate.failed.saturating_add(candidate.refused), answers);
        let usual = Share::new(stable.refused, others);
        let beyond = (refused.value() - usual.value()).max(0.0);
        let facts = Facts {
            value: failed.value() + beyond,
            threshold,
            lower: Lower::of(|z| failed.lower(z).max(either.lower_difference(usual, z))),
            samples: answers,
            // Without what counts as usual, the candidate passes only if even all of its 4xx are within bounds.
            comparable: others >= self.fewest || either.value() <= threshold,
            share: true,
        };
        let errors = words::Errors {
            failed: failed.value(),
            beyond,
            stable: Share::new(stable.failed, others).value(),
            answers: others,
        };
        self.finding(&facts, "requests", Some(others), |value| errors.sentence(value, threshold, answers))
    }

    /// Of the copies that came to an end: those without a good answer. The stable revision answered each of them.
    fn copy_errors(&self, threshold: f64) -> Finding {
        let mirror = self.candidate.mirror;
        let failed = Share::new(mirror.failed, mirror.answers());
        let facts = Facts::of_share(failed, mirror.answers(), threshold);
        self.finding(&facts, "copies", None, |value| {
            words::share(value, threshold, &format!("{} copies are errors", words::count(mirror.answers())))
        })
    }

    /// Of the predictions for copies: those that differ from the stable revision's. Predictions for one request stand or
    /// fall together, so what counts as a sample is the copy.
    fn disagreement(&self, threshold: f64) -> Finding {
        let mirror = self.candidate.mirror;
        let compared = mirror.agreed.saturating_add(mirror.disagreed);
        if compared == 0 && mirror.incomparable > 0 {
            let copies = words::count(mirror.incomparable);
            return Finding::inconclusive(&format!(
                "none of {copies} copies has an answer that can be compared with the stable revision's"
            ));
        }
        let predictions = mirror.same_predictions.saturating_add(mirror.different_predictions);
        let different = Share::new(mirror.different_predictions, predictions).over(compared);
        let facts = Facts::of_share(different, compared, threshold);
        self.finding(&facts, "copies", None, |value| {
            let (predictions, copies) = (words::count(predictions), words::count(compared));
            words::share(value, threshold, &format!("{predictions} predictions for {copies} copies differ"))
        })
    }

    /// The 95th percentile of the time to the last byte, in multiples of the stable revision's. Where only that of each
    /// interval is known, the mean over all answers stands for it, which is an approximation.
    fn latency(&self, threshold: f64) -> Finding {
        let (candidate, stable) = (self.candidate, self.stable);
        let is_mean = !candidate.percentiles.is_empty() || !stable.percentiles.is_empty();
        let timed = |sample: &Sample| total(if is_mean { &sample.percentiles } else { &sample.latency });
        let (answers, others) = (timed(candidate), timed(stable));
        let at = |z| {
            if is_mean {
                mean_ratio(&candidate.percentiles, &stable.percentiles, z)
            } else {
                ratio(&candidate.latency, &stable.latency, z)
            }
        };
        let Some(found) = at(BEFORE) else {
            let message = match (answers, others) {
                (0, _) => "no answer of the candidate was timed yet",
                _ => "no answer of the stable revision was timed yet: there is nothing to compare with",
            };
            let mut finding = Finding::inconclusive(message);
            (finding.samples, finding.stable_samples) = (Some(answers), Some(others));
            return finding;
        };
        let facts = Facts {
            value: found.value,
            threshold,
            lower: Lower::of(|z| at(z).map_or(0.0, |ratio| ratio.lower)),
            samples: answers,
            comparable: others >= self.fewest,
            share: false,
        };
        let times = (found.candidate, found.stable);
        self.finding(&facts, "requests", Some(others), |value| {
            let what = if is_mean { "the mean 95th percentile" } else { "the 95th percentile" };
            format!("{what} {}", words::latency(value, threshold, times, (answers, others)))
        })
    }

    /// The one rule for every check of what was counted.
    fn finding(
        &self,
        facts: &Facts,
        unit: &str,
        stable_samples: Option<u64>,
        sentence: impl FnOnce(f64) -> String,
    ) -> Finding {
        let enough = facts.samples >= self.fewest;
        let beyond = facts.value > facts.threshold;
        let sure = if enough {
            (if self.over { facts.lower.at_the_end } else { facts.lower.before }) > facts.threshold
        } else {
            let bar = facts.threshold.max(OVERWHELMING);
            facts.share && facts.samples >= FEWEST && facts.lower.before > bar
        };
        let (outcome, standing) = match () {
            () if beyond && sure => (CheckOutcome::Failed, Standing::Settled),
            () if !enough => (CheckOutcome::Inconclusive, Standing::TooFew(facts.samples)),
            () if !self.over => (CheckOutcome::Inconclusive, Standing::SoFar { beyond }),
            () if !facts.comparable => {
                (CheckOutcome::Inconclusive, Standing::NothingToCompare(stable_samples.unwrap_or(0)))
            }
            () if beyond => (CheckOutcome::Inconclusive, Standing::Doubtful),
            () => (CheckOutcome::Passed, Standing::Settled),
        };
        Finding {
            outcome,
            value: (facts.samples > 0).then_some(facts.value),
            samples: Some(facts.samples),
            stable_samples,
            message: standing.say(&sentence(facts.value), self.fewest, unit),
        }
    }
}

/// A query has no samples, and may look back over more than the step: it is judged at the end alone.
fn queried(wanted: &AnalysisQuery, evidence: Option<&Evidence>, over: bool) -> Check {
    let answer = evidence.and_then(|evidence| evidence.queries.get(&wanted.name));
    let (max, min) = (wanted.max.map(finite), wanted.min.map(finite));
    let value = match answer {
        Some(Ok(value)) if value.is_finite() => Ok(*value),
        Some(Ok(value)) => Err(format!("the query answers {value}: there may be no data yet")),
        Some(Err(cause)) => Err(format!("the query is not answered: {cause}")),
        None => Err("the query was not asked yet".to_owned()),
    };
    let too_small = |value: f64| min.filter(|min| value < *min);
    let too_large = |value: f64| max.filter(|max| value > *max);
    let broken = value.as_ref().ok().and_then(|value| too_large(*value).or(too_small(*value)));
    let threshold = broken.or(max).or(min).unwrap_or(0.0);
    let outcome = match (&value, broken) {
        (Err(_), _) => CheckOutcome::Inconclusive,
        (Ok(_), _) if !over => CheckOutcome::Inconclusive,
        (Ok(_), Some(_)) => CheckOutcome::Failed,
        (Ok(_), None) => CheckOutcome::Passed,
    };
    let message = match &value {
        Err(cause) => cause.clone(),
        Ok(value) => query(*value, min, max, over),
    };
    let finding = Finding { outcome, value: value.ok(), samples: None, stable_samples: None, message };
    finding.check(&wanted.name, wanted.mode, threshold)
}

fn total(latency: &[(f64, u64)]) -> u64 {
    latency.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// JSON knows neither infinity nor what is no number.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
