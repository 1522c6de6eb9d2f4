//! Reads of one collection that wait for their bucket at the same time, answered by one list.
//!
//! Invariant: a read is answered only by a list that began after the read did, with the same identity.
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arm::{ErrorClass, ResourceId, Seen, resource_type};
use futures::future::join_all;
use http::Method;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::session::Session;

/// From how many reads on a list is worth it: it takes the time of the server for resources that nobody asked for.
pub(crate) const WORTH: usize = 3;

/// The reads that wait, by identity and collection.
#[derive(Default)]
pub(crate) struct Waiting {
    reads: Mutex<HashMap<String, BTreeMap<u64, Read>>>,
    tickets: AtomicU64,
}

struct Read {
    id: ResourceId,
    answer: oneshot::Sender<Outcome>,
}

/// What a list tells a read that waited; nothing means that the read has to be done by itself.
type Outcome = Option<Result<Seen, Error>>;

impl Waiting {
    fn reads(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<u64, Read>>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, key: &str, id: &ResourceId) -> (u64, oneshot::Receiver<Outcome>) {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        self.reads().entry(key.to_owned()).or_default().insert(ticket, Read { id: id.clone(), answer });
        (ticket, receiver)
    }

    /// Takes a read out, with all that wait beside it if they are enough for a list. `None` if a list took it already.
    fn take(&self, key: &str, ticket: u64) -> Option<Vec<Read>> {
        let mut reads = self.reads();
        let group = reads.get_mut(key)?;
        let own = group.remove(&ticket)?;
        let together = group.len() + 1 >= WORTH;
        let others = if together { std::mem::take(group) } else { BTreeMap::new() };
        if group.is_empty() {
            reads.remove(key);
        }
        Some(std::iter::once(own).chain(others.into_values()).collect())
    }
}

/// Takes a read out of the waiting ones when its caller goes away.
struct Ticket<'a> {
    waiting: &'a Waiting,
    key: &'a str,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut reads = self.waiting.reads();
        if let Some(group) = reads.get_mut(self.key) {
            group.remove(&self.number);
            if group.is_empty() {
                reads.remove(self.key);
            }
        }
    }
}

/// The collection that a resource is in.
pub(crate) fn collection(id: &ResourceId) -> &str {
    id.as_str().rsplit_once('/').map_or("", |(collection, _)| collection)
}

impl Session {
    pub(crate) fn is_listed(&self, id: &ResourceId) -> bool {
        self.query.is_none() && resource_type(&id.type_()).is_some_and(|it| it.listed)
    }

    /// What reads have in common that one list may answer.
    pub(crate) fn collection_key(&self, id: &ResourceId) -> Result<String, Error> {
        let (identity, version) = (Arc::as_ptr(&self.identity).addr(), self.version(id)?);
        Ok(format!("{identity} {version} {}", collection(id).to_ascii_lowercase()))
    }

    /// Reads several resources: those of one collection by one list, where that saves calls.
    pub async fn observe(&self, ids: &[ResourceId]) -> Vec<(ResourceId, Result<Seen, Error>)> {
        let mut groups: BTreeMap<String, Vec<&ResourceId>> = BTreeMap::new();
        for id in ids {
            let together = self.client.0.config.coalesce && self.is_listed(id);
            let key = if together { collection(id) } else { id.as_str() };
            groups.entry(key.to_ascii_lowercase()).or_default().push(id);
        }
        let found = join_all(groups.into_values().map(|group| self.observe_group(group))).await;
        found.into_iter().flatten().collect()
    }

    async fn observe_group(&self, ids: Vec<&ResourceId>) -> Vec<(ResourceId, Result<Seen, Error>)> {
        let listed = if ids.len() >= WORTH { self.by_list(&ids, false).await } else { vec![None; ids.len()] };
        join_all(ids.into_iter().zip(listed).map(|(id, outcome)| async {
            let seen = match outcome {
                Some(seen) => seen,
                None => self.get(id).await,
            };
            (id.clone(), seen)
        }))
        .await
    }

    /// Reads one resource; while it waits for its turn, a list for others may answer it.
    pub(crate) async fn get_together(&self, id: &ResourceId) -> Result<Seen, Error> {
        let what = format!("failed to get {id}");
        // Whoever has no token has no turn, and no share in what others are answered.
        self.identity.token().await.map_err(|error| error.of(&what))?;
        let waiting = &self.client.0.waiting;
        let key = self.collection_key(id)?;
        let bucket = self.bucket(&Method::GET, id.subscription());
        let (number, mut answer) = waiting.join(&key, id);
        let _ticket = Ticket { waiting, key: &key, number };
        tokio::select! {
            biased;
            outcome = &mut answer => return self.answered(id, outcome).await,
            turn = self.turn(&bucket, &what) => { turn?; }
        }
        let Some(reads) = waiting.take(&key, number) else {
            bucket.give_back();
            let outcome = answer.await;
            return self.answered(id, outcome).await;
        };
        if reads.len() < WORTH {
            return self.get_alone(id, true).await;
        }
        let ids: Vec<&ResourceId> = reads.iter().map(|read| &read.id).collect();
        let outcomes = self.by_list(&ids, true).await;
        for (read, outcome) in reads.into_iter().zip(outcomes) {
            // Whoever went away needs no answer.
            let _ = read.answer.send(outcome);
        }
        let outcome = answer.await;
        self.answered(id, outcome).await
    }

    /// What a list told, or a read of its own if it told nothing or never ended.
    async fn answered(
        &self,
        id: &ResourceId,
        outcome: Result<Outcome, oneshot::error::RecvError>,
    ) -> Result<Seen, Error> {
        match outcome {
            Ok(Some(seen)) => seen,
            Ok(None) | Err(_) => self.get_alone(id, false).await,
        }
    }

    /// What one list tells of several resources of a collection. It ends early when it would take more calls than it
    /// saves. What it does not have is not taken for absent, since lists may lag behind.
    async fn by_list(&self, ids: &[&ResourceId], has_turn: bool) -> Vec<Outcome> {
        let mut found: HashMap<ResourceId, Value> = HashMap::new();
        let failed = match self.read_pages(ids, has_turn, &mut found).await {
            Ok(()) => None,
            Err(error) => matches!(
                error.class,
                ErrorClass::Throttled
                    | ErrorClass::Unreachable
                    | ErrorClass::Unauthorized
                    | ErrorClass::WrongTenant
            )
            .then_some(error),
        };
        ids.iter()
            .map(|id| match found.remove(*id) {
                Some(body) => Some(Ok(Seen::Present(body))),
                None => failed.clone().map(Err),
            })
            .collect()
    }

    async fn read_pages(
        &self,
        ids: &[&ResourceId],
        has_turn: bool,
        found: &mut HashMap<ResourceId, Value>,
    ) -> Result<(), Error> {
        let Some(first) = ids.first() else { return Ok(()) };
        let mut pages = self.pages(collection(first))?;
        let mut left = ids.len();
        let mut has_turn = has_turn;
        for _ in 0..ids.len() - 1 {
            let Some(items) = pages.page(self, has_turn).await? else { break };
            has_turn = false;
            for item in items {
                let id = item.get("id").and_then(Value::as_str).and_then(|text| ResourceId::parse(text).ok());
                if let Some(id) = id.filter(|id| ids.contains(&id)) {
                    left -= usize::from(found.insert(id, item).is_none());
                }
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}
