//! Tests of which calls are hit.
use super::*;

fn hits(faults: &Faults, calls: &[(&str, &str)]) -> Vec<bool> {
    calls.iter().map(|(method, path)| !faults.take(method, path).is_empty()).collect()
}

#[test]
fn the_nth_matching_call_is_hit_and_as_many_after_it_as_asked() {
    let faults = Faults::default();
    let id =
        faults.set(Fault::new("PUT", "/workspaces/[^/]+$", Action::Reset).nth(2).count(Some(2))).unwrap();
    let put = ("PUT", "/x/WORKSPACES/w");
    let calls = [put, ("GET", "/x/workspaces/w"), put, put, put, ("PUT", "/x/workspaces/w/jobs/j")];
    assert_eq!(hits(&faults, &calls), [false, false, true, true, false, false]);
    assert_eq!(faults.hits(id), 2);
}

#[test]
fn a_fault_without_a_count_hits_until_it_is_removed() {
    let faults = Faults::default();
    let id = faults.set(Fault::new("GET", "", Action::PolicyDenied).count(None)).unwrap();
    assert_eq!(hits(&faults, &[("GET", "/a"), ("GET", "/b")]), [true, true]);
    assert!(faults.remove(id));
    assert_eq!(hits(&faults, &[("GET", "/a")]), [false]);
}

#[test]
fn a_fault_is_read_from_json() {
    let fault: Fault = serde_json::from_value(json!({
        "method": "PUT", "path": "/jobs/", "action": {"type": "Answer", "status": 429, "headers": {"Retry-After": "7"}}
    }))
    .unwrap();
    assert_eq!((fault.nth, fault.count), (1, Some(1)));
    let answer = answer(&fault.action).unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers, [("Retry-After".to_owned(), "7".to_owned())]);
    assert!(serde_json::from_value::<Fault>(json!({"methd": "PUT", "action": {"type": "Reset"}})).is_err());
}

#[test]
fn a_share_of_the_calls_is_hit_and_the_same_ones_with_the_same_seed() {
    let draw = |seed| {
        let faults = Faults::default();
        faults.set(Fault::every("/x", Action::Reset).percent(30, seed)).unwrap();
        hits(&faults, &vec![("GET", "/x"); 1000])
    };
    let first = draw(1);
    let share = first.iter().filter(|hit| **hit).count();
    assert!((250..350).contains(&share), "{share} of 1000 are hit");
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
}

#[test]
fn a_path_that_is_no_regular_expression_is_refused() {
    assert!(
        Faults::default()
            .set(Fault::new("GET", "(", Action::Reset))
            .unwrap_err()
            .contains("regular expression")
    );
}
