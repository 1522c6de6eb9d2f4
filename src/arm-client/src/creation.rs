//! Creations that are asked about at the same time, answered by lists of their collection.
//!
//! What was absent before it was created shows in a list how far it is. Invariant: a creation is answered only by a list
//! that began after it, with the same identity; what a list does not tell, the operation itself is asked.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arm::{Operation, Progress, ResourceId};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::coalesce::{WORTH, collection};
use crate::error::Error;
use crate::identity::Identity;
use crate::session::Session;

/// For how long a list answers, for each of its pages: so that lists leave most of the calls to others.
const FRESH: Duration = Duration::from_millis(250);
/// The shortest time between two questions about one creation.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time between two questions about one creation.
const LONGEST: Duration = Duration::from_secs(30);

/// The newest list of each collection in which something is being created, by identity.
#[derive(Default)]
pub(crate) struct Creations(Mutex<HashMap<String, (Weak<Identity>, Shared)>>);

type Shared = Arc<tokio::sync::Mutex<Round>>;

impl Creations {
    fn round(&self, key: String, identity: &Arc<Identity>) -> Shared {
        let mut rounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !rounds.contains_key(&key) {
            rounds.retain(|_, (identity, _)| identity.strong_count() > 0);
        }
        // The key holds the address of the identity, which is nobody else's as long as it is referred to.
        let new = || (Arc::downgrade(identity), Shared::default());
        rounds.entry(key).or_insert_with(new).1.clone()
    }
}

/// The newest list of a collection.
#[derive(Default)]
struct Round {
    began: Option<Instant>,
    /// How many pages it had.
    pages: usize,
    /// How many questions came since it began.
    asked: usize,
    found: HashMap<ResourceId, Shown>,
}

/// What a list shows of a resource.
enum Shown {
    /// It is still being made.
    Running,
    /// It is made; its body as compact JSON, since there may be many that nobody asks for.
    Made(Box<[u8]>),
}

impl Shown {
    /// `None` for what has failed, since its operation knows why, and for what has no state.
    fn of(item: &Value) -> Option<Self> {
        let state = item.pointer("/properties/provisioningState")?.as_str()?;
        match state.to_ascii_lowercase().as_str() {
            "succeeded" => Some(Self::Made(serde_json::to_vec(item).ok()?.into())),
            "failed" | "canceled" => None,
            _ => Some(Self::Running),
        }
    }
}

impl Round {
    fn is_fresh(&self) -> bool {
        let lasts = FRESH.saturating_mul(self.pages.max(1).try_into().unwrap_or(u32::MAX));
        self.began.is_some_and(|began| began.elapsed() < lasts)
    }

    /// Whether a list would save calls.
    fn is_worth_it(&self) -> bool {
        self.asked > WORTH * self.pages.max(1)
    }

    /// What the list tells of a creation, if it tells enough.
    fn progress(&self, id: &ResourceId, operation: &Operation) -> Option<Progress> {
        let now = Timestamp::now();
        let taken = Duration::try_from(now.duration_since(operation.started)).ok()?;
        if self.began?.elapsed() >= taken {
            return None;
        }
        match self.found.get(id)? {
            Shown::Made(body) => Some(Progress::Succeeded(serde_json::from_slice(body).ok())),
            Shown::Running => {
                let poll_at = now + (taken / 8).clamp(SHORTEST, LONGEST);
                Some(Progress::Running(Operation { poll_at, ..operation.clone() }))
            }
        }
    }
}

impl Session {
    /// Asks how far the creation of a resource is that did not exist before. Where many of one collection are asked about
    /// at once, lists answer, with the resource itself once it exists.
    pub async fn poll_creation(&self, id: &ResourceId, operation: &Operation) -> Result<Progress, Error> {
        if self.client.0.config.coalesce && self.is_listed(id) {
            let round = self.client.0.creations.round(self.collection_key(id)?, &self.identity);
            if let Some(progress) = self.by_round(&round, id, operation).await {
                return Ok(progress);
            }
        }
        self.poll(operation).await
    }

    async fn by_round(&self, shared: &Shared, id: &ResourceId, operation: &Operation) -> Option<Progress> {
        // Whoever comes while a list is read waits for it.
        let mut round = shared.lock().await;
        round.asked += 1;
        if !round.is_fresh() {
            if !round.is_worth_it() {
                return None;
            }
            *round = self.list_round(id, round.asked).await;
            forget_later(shared);
        }
        round.progress(id, operation)
    }

    /// Lists the collection of a resource, by fewer calls than it saves.
    async fn list_round(&self, id: &ResourceId, limit: usize) -> Round {
        let mut round = Round { began: Some(Instant::now()), ..Round::default() };
        let Ok(mut pages) = self.pages(collection(id)) else { return round };
        while round.pages < limit {
            // What can't be listed is asked about one by one.
            let Ok(Some(items)) = pages.next(self).await else { return round };
            round.pages += 1;
            for item in items {
                let id = item.get("id").and_then(Value::as_str).and_then(|text| ResourceId::parse(text).ok());
                round.found.extend(id.and_then(|id| Some((id, Shown::of(&item)?))));
            }
        }
        // It has more pages than were read; nobody knows how many.
        round.pages *= 2;
        round
    }
}

/// Frees what a list gave once it answers no more.
fn forget_later(round: &Shared) {
    let round = Arc::downgrade(round);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SHORTEST).await;
            let Some(round) = round.upgrade() else { return };
            let mut round = round.lock().await;
            if !round.is_fresh() {
                round.found = HashMap::new();
                return;
            }
        }
    });
}
