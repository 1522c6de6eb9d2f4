//! The order in which objects are reconciled: each at most once at a time, namespaces in turn.
//!
//! Pure: the caller says what time it is, so that its tests need no clock.
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use tokio::time::Instant;

use crate::object::Item;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Due(Instant),
    Ready,
    Running,
    /// Running, and asked for again at this time.
    Again(Instant),
}

/// Objects that wait, are due later, or are being reconciled.
#[derive(Default)]
pub(crate) struct Queue {
    states: HashMap<Item, State>,
    due: BTreeSet<(Instant, Item)>,
    /// Objects that must not be looked at before a time, whatever happens meanwhile.
    held: HashMap<Item, Instant>,
    /// Those that go before the others of their namespace once they are due.
    first: HashSet<Item>,
    ready: HashMap<Arc<str>, VecDeque<Item>>,
    /// The namespaces that have something ready, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

impl Queue {
    /// As [`Queue::push`], but ahead of the others of its namespace: what its pods do is news that people wait for,
    /// and must not wait behind a burst of new objects.
    pub(crate) fn push_first(&mut self, item: Item, at: Instant) {
        if !matches!(self.states.get(&item), Some(State::Ready)) {
            self.first.insert(item.clone());
        }
        self.push(item, at);
    }

    /// Asks for an object to be reconciled at a time, or before when it is due earlier already.
    pub(crate) fn push(&mut self, item: Item, at: Instant) {
        match self.states.get(&item).copied() {
            Some(State::Ready) => {}
            Some(State::Due(before)) if before <= self.allowed(&item, at) => {}
            Some(State::Due(before)) => {
                self.due.remove(&(before, item.clone()));
                self.wait(item, at);
            }
            Some(State::Running) => {
                self.states.insert(item, State::Again(at));
            }
            Some(State::Again(before)) => {
                self.states.insert(item, State::Again(before.min(at)));
            }
            None => self.wait(item, at),
        }
    }

    /// Keeps an object that is running from being reconciled again before a time: the API server asked to wait.
    pub(crate) fn hold(&mut self, item: &Item, until: Instant) {
        self.held.insert(item.clone(), until);
    }

    /// The next object to reconcile now; its namespace then waits for its next turn.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Item> {
        while let Some((at, item)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            self.due.pop_first();
            self.states.insert(item.clone(), State::Ready);
            let namespace = item.object.namespace.clone();
            let waiting = self.ready.entry(namespace.clone()).or_default();
            if waiting.is_empty() {
                self.turns.push_back(namespace);
            }
            if self.first.remove(&item) {
                waiting.push_front(item);
            } else {
                waiting.push_back(item);
            }
        }
        let namespace = self.turns.pop_front()?;
        let waiting = self.ready.get_mut(&namespace)?;
        let item = waiting.pop_front()?;
        if waiting.is_empty() {
            self.ready.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.states.insert(item.clone(), State::Running);
        self.held.remove(&item);
        Some(item)
    }

    /// An object is done; it waits again when it was asked for meanwhile.
    pub(crate) fn done(&mut self, item: &Item) {
        if let Some(State::Again(at)) = self.states.remove(item) {
            self.wait(item.clone(), at);
        }
    }

    /// When the next object is due, if none is ready.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The time asked for, or the end of a hold.
    fn allowed(&self, item: &Item, at: Instant) -> Instant {
        self.held.get(item).map_or(at, |held| at.max(*held))
    }

    fn wait(&mut self, item: Item, at: Instant) {
        let at = self.allowed(&item, at);
        self.states.insert(item.clone(), State::Due(at));
        self.due.insert((at, item));
    }
}

/// Counts failures in a row.
pub(crate) struct Attempts<K>(HashMap<K, u32>);

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Attempts<K> {
    /// The failures before this one.
    pub(crate) fn failed(&mut self, key: &K) -> u32 {
        let count = self.0.entry(key.clone()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// It went well, or is gone; gives the failures before that.
    pub(crate) fn clear(&mut self, key: &K) -> u32 {
        self.0.remove(key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
