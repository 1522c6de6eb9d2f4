//! The queue's promises.
use std::time::{Duration, Instant};

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
