//! The choice of a revision: a pure function of the revisions, a number and the request's headers.
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::config::Revision;

/// The header that names a revision, asked for or answered, as Azure Machine Learning has it.
pub const CHOSEN: &str = "azureml-model-deployment";

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The place of the revision.
    pub place: usize,
    /// Whether the caller named it.
    pub is_forced: bool,
}

/// Why nothing was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// The caller named a revision that does not exist.
    Unknown(String),
    /// No revision has traffic.
    NoTraffic,
}

/// Chooses by the header that names a revision, or else by weight among the revisions that are available; when none
/// is, among all. `chance` is in `[0, 1)`; a sticky header's value takes its place.
pub fn pick(
    revisions: &[Revision],
    sticky_header: Option<&str>,
    headers: &HeaderMap,
    chance: f64,
    is_available: impl Fn(usize) -> bool,
) -> Result<Choice, NoChoice> {
    if let Some(name) = headers.get(CHOSEN) {
        let place = revisions.iter().position(|revision| revision.name.as_bytes() == name.as_bytes());
        let unknown =
            || NoChoice::Unknown(String::from_utf8_lossy(name.as_bytes()).chars().take(100).collect());
        return Ok(Choice { place: place.ok_or_else(unknown)?, is_forced: true });
    }
    let sticky = sticky_header.and_then(|header| headers.get(header));
    let chance = sticky.map_or(chance, |value| share(value.as_bytes()));
    let available: u64 = total(revisions, &is_available);
    let (sum, is_candidate): (u64, &dyn Fn(usize) -> bool) =
        if available > 0 { (available, &is_available) } else { (total(revisions, &|_| true), &|_| true) };
    if sum == 0 {
        return Err(NoChoice::NoTraffic);
    }
    let mut at = ((chance * sum as f64) as u64).min(sum - 1);
    for (place, revision) in revisions.iter().enumerate().filter(|(place, _)| is_candidate(*place)) {
        let weight = u64::from(revision.weight);
        if at < weight {
            return Ok(Choice { place, is_forced: false });
        }
        at -= weight;
    }
    Err(NoChoice::NoTraffic)
}

fn total(revisions: &[Revision], is_candidate: &dyn Fn(usize) -> bool) -> u64 {
    let candidates = revisions.iter().enumerate().filter(|(place, _)| is_candidate(*place));
    candidates.map(|(_, revision)| u64::from(revision.weight)).sum()
}

/// A number in `[0, 1)` that is always the same for the same value, in every replica.
fn share(value: &[u8]) -> f64 {
    let digest = Sha256::digest(value);
    let top = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    top as f64 / (1_u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(name: &str, weight: u32) -> Revision {
        let text = format!(r#"{{"name":"{name}","address":"a:1","weight":{weight}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn named(header: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(header), value.parse().unwrap())])
    }

    #[test]
    fn weights_that_do_not_sum_up_to_a_hundred_split_within_the_binomial_bound() {
        let revisions = [revision("a", 6), revision("zero", 0), revision("b", 1)];
        let (mut random, trials) = (fastrand::Rng::with_seed(7), 20_000_u32);
        let mut counts = [0_u32; 3];
        for _ in 0..trials {
            let choice = pick(&revisions, None, &HeaderMap::new(), random.f64(), |_| true).unwrap();
            counts[choice.place] += 1;
        }
        let share = 1.0 / 7.0;
        let deviation = (f64::from(trials) * share * (1.0 - share)).sqrt();
        assert!((f64::from(counts[2]) - f64::from(trials) * share).abs() < 4.0 * deviation, "{counts:?}");
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn a_named_revision_is_forced_even_without_traffic_and_an_unknown_one_is_an_error() {
        let revisions = [revision("a", 100), revision("b", 0)];
        let forced = pick(&revisions, None, &named(CHOSEN, "b"), 0.0, |_| false);
        assert_eq!(forced, Ok(Choice { place: 1, is_forced: true }));
        let unknown = pick(&revisions, None, &named(CHOSEN, "c"), 0.0, |_| true);
        assert_eq!(unknown, Err(NoChoice::Unknown("c".to_owned())));
    }

    #[test]
    fn a_sticky_caller_stays_and_callers_spread() {
        let revisions = [revision("a", 1), revision("b", 1)];
        let place = |user: &str, chance| {
            pick(&revisions, Some("x-user"), &named("x-user", user), chance, |_| true).unwrap().place
        };
        let places: Vec<usize> = (0..100).map(|user| place(&user.to_string(), 0.0)).collect();
        let again: Vec<usize> = (0..100).map(|user| place(&user.to_string(), 0.99)).collect();
        assert_eq!(places, again);
        let of_b: usize = places.iter().sum();
        assert!((30..=70).contains(&of_b), "{of_b}");
    }

    #[test]
    fn what_is_not_available_gets_nothing_unless_nothing_is() {
        let revisions = [revision("a", 90), revision("b", 10)];
        let pick = |chance, available: &[usize]| {
            pick(&revisions, None, &HeaderMap::new(), chance, |place| available.contains(&place))
                .unwrap()
                .place
        };
        assert_eq!((pick(0.0, &[1]), pick(0.0, &[]), pick(0.95, &[])), (1, 0, 1));
    }

    #[test]
    fn no_weight_is_no_traffic() {
        let revisions = [revision("a", 0)];
        let picked = pick(&revisions, None, &HeaderMap::new(), 0.5, |_| true);
        assert_eq!(picked, Err(NoChoice::NoTraffic));
    }
}
