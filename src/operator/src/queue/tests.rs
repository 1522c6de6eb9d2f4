//! The queue's promises.
use std::time::Duration;

use tokio::time::Instant;

use super::{Attempts, Queue};
use crate::object::{Item, ObjectName, Primary};

fn item(namespace: &str, name: &str) -> Item {
    Item { primary: Primary::Endpoint, object: ObjectName::new(namespace, name) }
}

fn names(queue: &mut Queue, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now)).map(|item| item.object.to_string()).collect()
}

#[test]
fn a_noisy_namespace_does_not_hold_up_another() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for name in ["1", "2", "3"] {
        queue.push(item("noisy", name), now);
    }
    queue.push(item("quiet", "1"), now);
    assert_eq!(names(&mut queue, now), ["noisy/1", "quiet/1", "noisy/2", "noisy/3"]);
}

#[test]
fn an_object_is_reconciled_once_however_often_it_is_asked_for() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(item("a", "1"), now + Duration::from_secs(9));
    queue.push(item("a", "1"), now);
    queue.push(item("a", "1"), now + Duration::from_secs(5));
    assert_eq!(names(&mut queue, now), ["a/1"]);
    assert_eq!(names(&mut queue, now + Duration::from_mins(1)), [""; 0]);
}

#[test]
fn what_is_asked_for_while_it_runs_runs_again_afterwards() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(item("a", "1"), now);
    let running = queue.pop(now).unwrap();
    queue.push(item("a", "1"), now);
    assert_eq!(queue.pop(now), None);
    queue.done(&running);
    assert_eq!(queue.pop(now), Some(running));
}

#[test]
fn a_later_time_is_waited_for() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let later = now + Duration::from_secs(30);
    queue.push(item("a", "1"), later);
    assert_eq!(queue.pop(now), None);
    assert_eq!(queue.next_due(), Some(later));
    assert_eq!(names(&mut queue, later), ["a/1"]);
}

#[test]
fn attempts_count_failures_in_a_row() {
    let mut attempts = Attempts::default();
    assert_eq!([attempts.failed(&1), attempts.failed(&1), attempts.failed(&2)], [0, 1, 0]);
    attempts.clear(&1);
    assert_eq!(attempts.failed(&1), 0);
}

#[test]
fn news_of_pods_does_not_wait_behind_a_burst_of_new_objects() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for name in ["1", "2", "3"] {
        queue.push(item("a", name), now);
    }
    let running = queue.pop(now).unwrap();
    queue.push_first(running.clone(), now);
    queue.done(&running);
    assert_eq!(names(&mut queue, now), ["a/1", "a/2", "a/3"]);
}

#[test]
fn what_is_held_is_not_looked_at_before_its_time_whatever_happens() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let until = now + Duration::from_secs(3);
    queue.push(item("a", "1"), now);
    let running = queue.pop(now).unwrap();
    queue.push(running.clone(), now);
    queue.hold(&running, until);
    queue.done(&running);
    queue.push(running.clone(), now);
    assert_eq!(names(&mut queue, now + Duration::from_millis(2999)), [""; 0]);
    assert_eq!(names(&mut queue, until), ["a/1"]);
    queue.done(&running);
    queue.push(running, now);
    assert_eq!(names(&mut queue, now), ["a/1"]);
}

/// The places at which the objects of a namespace come up.
fn places(order: &[String], namespace: &str) -> Vec<usize> {
    let mark = format!("{namespace}/");
    let found = order.iter().enumerate().filter(|(_, name)| name.starts_with(&mark));
    found.map(|(place, _)| place).collect()
}

#[test]
fn a_backlog_of_a_thousand_holds_up_no_other_namespace() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for index in 0..1000 {
        queue.push(item("noisy", &format!("{index:03}")), now);
    }
    for index in 0..3 {
        queue.push(item("quiet", &index.to_string()), now);
        queue.push(item("calm", &index.to_string()), now);
    }
    let order = names(&mut queue, now);
    assert_eq!(order.len(), 1006);
    // Three namespaces take turns as long as each has something.
    assert_eq!(places(&order, "quiet"), [2, 5, 8]);
    assert_eq!(places(&order, "calm"), [0, 3, 6]);
}

#[test]
fn what_comes_into_a_backlog_is_next_but_one_also_when_the_noisy_have_news() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let noisy: Vec<_> = (0..300).map(|index| item("noisy", &format!("{index:03}"))).collect();
    for item in &noisy {
        queue.push(item.clone(), now);
    }
    let mut order = Vec::new();
    for round in 0..600 {
        let popped = queue.pop(now).unwrap();
        order.push(popped.object.to_string());
        if &*popped.object.namespace == "noisy" {
            // Its own write comes back, and its pods change.
            queue.push(popped.clone(), now);
            queue.push_first(popped.clone(), now);
        }
        queue.push_first(noisy[round * 7 % noisy.len()].clone(), now);
        queue.done(&popped);
        if round % 50 == 10 {
            queue.push(item("quiet", &format!("{round:03}")), now);
        }
    }
    // It was asked for behind the place 10, 60, …: one of the noisy may be before it.
    let late: Vec<usize> = places(&order, "quiet").into_iter().map(|place| place % 50).collect();
    assert!(late.len() >= 12 && late.iter().all(|place| [11, 12].contains(place)), "{late:?}");
}

#[test]
fn what_fails_for_ever_waits_its_time_and_takes_no_turn_before() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for index in 0..10 {
        queue.push(item("a", &format!("poisoned-{index}")), now + Duration::from_mins(5));
    }
    for index in 0..20 {
        queue.push(item("a", &format!("well-{index}")), now);
    }
    let order = names(&mut queue, now);
    assert!(order.len() == 20 && order.iter().all(|name| name.contains("well")), "{order:?}");
}
