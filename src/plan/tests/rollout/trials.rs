//! A hundred rollouts of each seed, of which at most two may end with the wrong verdict.
use api::endpoint::{Analysis, Check};
use fastrand::Rng;
use plan::endpoint::rollout::judge::{Measures, Verdict, checks, verdict};

use crate::traffic::{Gateway, Model, STABLE, arrivals};

/// How often the operator looks, in seconds.
const PERIOD: f64 = 5.0;
/// How many requests come within the hold of a step, on average.
const REQUESTS: f64 = 2000.0;
/// A step that has no verdict after so many times its hold waits for a person.
const PATIENCE: f64 = 3.0;
/// The candidate and the stable revision.
const PAIR: (&str, &str) = ("candidate", "stable");

/// A step: what it measures, the candidate's share, and its hold in seconds.
type Step = (Measures, f64, f64);

const SHADOW: Step = (Measures::Mirror, 0.2, 300.0);
const CANARY: [Step; 2] = [(Measures::Traffic, 0.1, 300.0), (Measures::Traffic, 0.5, 600.0)];

/// How a rollout ended, and in which step.
#[derive(Debug)]
struct End {
    step: usize,
    verdict: Verdict,
    checks: Vec<Check>,
}

fn analysis() -> Analysis {
    Analysis {
        min_requests: 200,
        max_error_rate: Some(0.01),
        max_p95_latency_ratio: Some(1.2),
        max_prediction_disagreement: Some(0.05),
        ..Analysis::default()
    }
}

fn run(rng: &mut Rng, candidate: Model, steps: &[Step]) -> End {
    let mut end = End { step: 0, verdict: Verdict::Inconclusive, checks: Vec::new() };
    for (step, &(measures, share, hold)) in steps.iter().enumerate() {
        let (verdict, checks) = run_step(rng, candidate, (measures, share, hold));
        end = End { step, verdict, checks };
        if end.verdict != Verdict::Passed {
            break;
        }
    }
    end
}

fn run_step(rng: &mut Rng, candidate: Model, (measures, share, hold): Step) -> (Verdict, Vec<Check>) {
    let (mut gateway, mut look) = (Gateway::default(), 0_u32);
    loop {
        look += 1;
        for _ in 0..arrivals(rng, REQUESTS * PERIOD / hold) {
            let chosen = rng.f64() < share;
            match measures {
                Measures::Traffic if chosen => gateway.answer(rng, candidate, true),
                Measures::Traffic => gateway.answer(rng, STABLE, false),
                Measures::Mirror => {
                    gateway.answer(rng, STABLE, false);
                    if chosen {
                        gateway.copy(rng, candidate);
                    }
                }
                Measures::Copies => {
                    gateway.answer(rng, STABLE, false);
                    if chosen {
                        gateway.answer(rng, candidate, true);
                    }
                }
            }
        }
        let at = f64::from(look) * PERIOD / hold;
        let checks = checks(&analysis(), measures, PAIR, Some(&gateway.evidence()), at >= 1.0);
        match verdict(&checks) {
            // What is fine before the end has to hold until then.
            Verdict::Passed if at >= 1.0 => return (Verdict::Passed, checks),
            Verdict::Failed => return (Verdict::Failed, checks),
            _ if at >= PATIENCE => return (Verdict::Inconclusive, checks),
            _ => {}
        }
    }
}

/// What is tried: a candidate, through which steps, and how it must end.
fn kinds() -> [(&'static str, Model, Vec<Step>, Verdict); 4] {
    let whole = [vec![SHADOW], CANARY.to_vec()].concat();
    [
        ("equal", STABLE, whole, Verdict::Passed),
        // Labels are flipped on a tenth of the inputs.
        ("worse", Model { disagreement: 0.1045, ..STABLE }, vec![SHADOW], Verdict::Failed),
        ("slower", Model { median: STABLE.median * 1.5, ..STABLE }, CANARY.to_vec(), Verdict::Failed),
        ("failing", Model { errors: 0.05, ..STABLE }, CANARY.to_vec(), Verdict::Failed),
    ]
}

fn wrong_verdicts(seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let mut wrong = Vec::new();
    for (kind, model, steps, expected) in kinds() {
        for trial in 0..25 {
            let end = run(&mut rng, model, &steps);
            if end.verdict != expected {
                wrong.push(format!("{kind} {trial}: {end:?}"));
            }
        }
    }
    wrong
}

fn check(seed: u64) {
    let wrong = wrong_verdicts(seed);
    assert!(wrong.len() <= 2, "{}", wrong.join("\n"));
}

#[test]
fn verdicts_are_right_in_98_of_100_rollouts() {
    check(1);
}

#[test]
fn verdicts_are_right_with_a_second_seed() {
    check(2);
}

#[test]
fn verdicts_are_right_with_a_third_seed() {
    check(3);
}

#[test]
fn verdicts_are_right_with_a_fourth_seed() {
    check(4);
}

#[test]
fn a_candidate_that_fails_every_request_goes_back_on_ten_of_them() {
    let mut rng = Rng::with_seed(6);
    for _ in 0..100 {
        let end = run(&mut rng, Model { errors: 1.0, ..STABLE }, &CANARY);
        assert_eq!((end.step, end.verdict), (0, Verdict::Failed));
        assert!(end.checks[0].samples < Some(30), "{end:?}");
    }
}

/// Looks are many, and each could be the unlucky one.
#[test]
fn a_candidate_that_is_as_bad_as_is_allowed_is_seldom_given_up() {
    let [shadow, canary] = [vec![SHADOW], CANARY.to_vec()];
    let kinds = [
        ("errors", Model { errors: 0.01, ..STABLE }, &canary),
        ("disagreement", Model { disagreement: 0.05, ..STABLE }, &shadow),
        ("latency", Model { median: STABLE.median * 1.2, ..STABLE }, &canary),
    ];
    for (kind, model, steps) in kinds {
        let mut rng = Rng::with_seed(7);
        let failed = (0..200).filter(|_| run(&mut rng, model, steps).verdict == Verdict::Failed).count();
        assert!(failed <= 10, "{kind}: {failed} of 200 were given up");
    }
}
