//! The tokens of one identity: one request in flight, renewed before they end, failures remembered.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arm::ErrorClass;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::config::{Call, Observer};
use crate::credential::{CredentialSource, Secret};
use crate::provider::{Token, TokenError};

#[cfg(test)]
mod tests;

/// A token is renewed this long before it ends, or at half of its life if that is later: ten minutes in which the
/// authority may be down, and five by which clocks may differ.
const MARGIN: Duration = Duration::from_mins(15);

/// Tokens are not asked for more often than this, unless what proves the identity has changed.
const SPACING: Duration = Duration::from_mins(1);

/// The waits after the first, second, third and further failures in a row. They stay below one request a minute on
/// the average, and the longest is short enough that the end of an outage is noticed.
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(30), Duration::from_mins(1), Duration::from_secs(90)];

/// How a token is got.
pub(crate) type Fetch =
    dyn Fn(CredentialSource) -> BoxFuture<'static, Result<Token, TokenError>> + Send + Sync;

/// One identity, with its token.
pub(crate) struct Identity {
    pub(crate) source: CredentialSource,
    fetch: Arc<Fetch>,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
    /// Held while a token is fetched, so that there is one request in flight.
    fetching: tokio::sync::Mutex<()>,
}

struct State {
    used: Instant,
    token: Option<Held>,
    failure: Option<Failure>,
    forced: Option<Instant>,
}

#[derive(Clone)]
struct Held {
    value: Secret,
    renew_at: Instant,
    ends_at: Instant,
}

struct Failure {
    error: TokenError,
    until: Instant,
    in_a_row: usize,
    proof: u64,
}

impl Identity {
    pub(crate) fn new(
        source: CredentialSource,
        fetch: Arc<Fetch>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let state = Mutex::new(State { used: Instant::now(), token: None, failure: None, forced: None });
        Self { source, fetch, observer, state, fetching: tokio::sync::Mutex::default() }
    }

    /// Whether it was used a short time ago, so that its token is worth keeping.
    pub(crate) fn is_recent(&self) -> bool {
        self.state().used.elapsed() < Duration::from_hours(1)
    }

    /// A token that is valid, as far as is known here.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Secret, TokenError> {
        self.state().used = Instant::now();
        if let Some(held) = self.held() {
            if held.renew_at <= Instant::now() {
                self.renew_in_background();
            }
            return Ok(held.value);
        }
        let _alone = self.fetching.lock().await;
        match self.held() {
            Some(held) => Ok(held.value),
            None => self.fetch().await,
        }
    }

    /// Another token than one that the server refused; the same one if it was renewed a moment ago, since then the
    /// reason is not its age.
    pub(crate) async fn replace(self: &Arc<Self>, refused: &Secret) -> Result<Secret, TokenError> {
        let _alone = self.fetching.lock().await;
        if let Some(held) = self.held() {
            let now = Instant::now();
            let mut state = self.state();
            let recently = state.forced.is_some_and(|at| now < at + SPACING);
            if held.value != *refused || recently {
                return Ok(held.value);
            }
            state.forced = Some(now);
            state.token = None;
        }
        self.fetch().await
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Option<Held> {
        self.state().token.clone().filter(|held| Instant::now() < held.ends_at)
    }

    fn renew_in_background(self: &Arc<Self>) {
        let identity = self.clone();
        tokio::spawn(async move {
            let Ok(_alone) = identity.fetching.try_lock() else { return };
            let due = identity.held().is_none_or(|held| held.renew_at <= Instant::now());
            if due && let Err(error) = identity.fetch().await {
                tracing::debug!(error = error.message, "the token is not renewed yet");
            }
        });
    }

    /// A new token. The caller holds `fetching`.
    async fn fetch(&self) -> Result<Secret, TokenError> {
        let proof = self.proof().await;
        if let Some(failure) = &self.state().failure
            && failure.proof == proof
            && Instant::now() < failure.until
        {
            return Err(failure.error.clone());
        }
        let begun = Instant::now();
        let fetched = (self.fetch)(self.source.clone()).await;
        self.observe(&fetched, begun.elapsed());
        match fetched {
            Ok(token) => Ok(self.keep(token)),
            Err(error) => {
                tracing::warn!(identity = self.source.principal(), error = error.message, "no token");
                self.remember(&error, proof);
                Err(error)
            }
        }
    }

    fn keep(&self, token: Token) -> Secret {
        let now = Instant::now();
        // A clock that is ahead of the authority's makes a token look ended that has just been given; the server is
        // the judge of that.
        let lifetime = token.lifetime.clamp(2 * SPACING, Duration::from_hours(24));
        let renew_at = now + lifetime.saturating_sub(MARGIN).max(lifetime / 2);
        let mut state = self.state();
        state.failure = None;
        state.token = Some(Held { value: token.value.clone(), renew_at, ends_at: now + lifetime });
        token.value
    }

    fn remember(&self, error: &TokenError, proof: u64) {
        let mut state = self.state();
        let in_a_row = state.failure.as_ref().map_or(0, |failure| failure.in_a_row + 1);
        let wait = BACK_OFF[in_a_row.min(BACK_OFF.len() - 1)].mul_f64(0.8 + 0.4 * fastrand::f64());
        let until = Instant::now() + wait;
        state.failure = Some(Failure { error: error.clone(), until, in_a_row, proof });
        // Until the token ends, it is used while its renewal fails.
        if let Some(held) = &mut state.token {
            held.renew_at = until;
        }
    }

    /// What proves the identity and can change under it: the file of its service account token. A change ends the wait
    /// after a failure. A client secret that changes makes another identity.
    async fn proof(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for link in self.source.links() {
            if let CredentialSource::WorkloadIdentity { token_file, .. } = link {
                tokio::fs::read(token_file).await.ok().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn observe(&self, fetched: &Result<Token, TokenError>, duration: Duration) {
        let outcome = match fetched {
            Ok(_) => "200",
            Err(TokenError { class: ErrorClass::Unreachable, .. }) => "unreachable",
            Err(_) => "refused",
        };
        if let Some(observer) = &self.observer {
            let waited = Duration::ZERO;
            observer.on_call(&Call { method: "TOKEN", resource_type: "token", outcome, duration, waited });
        }
    }
}
