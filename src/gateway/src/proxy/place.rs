//! A place for a request: the revision that answers, once it is ready and has room.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Call;

use crate::answer::Refusal;
use crate::grpc::Dialect;
use crate::metrics::Series;
use crate::pick::{CHOSEN, Choice, NoChoice, pick};
use crate::port::Port;
use crate::table::{Endpoint, Target};

/// Where a request goes.
pub(super) struct Place {
    /// The endpoint as it was when the revision was ready.
    pub(super) endpoint: Arc<Endpoint>,
    /// The revision.
    pub(super) choice: Choice,
    /// Its room.
    pub(super) slot: OwnedSemaphorePermit,
}

/// Why there is none: the answer, and the revision that it counts for if one was chosen.
pub(super) struct NoPlace {
    pub(super) refusal: Refusal,
    pub(super) of: Option<(Arc<Endpoint>, usize)>,
}

impl From<Refusal> for NoPlace {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, of: None }
    }
}

/// Counts a waiting request for as long as it lives, also when the caller goes away.
struct Waiting {
    series: Arc<Series>,
    _place: OwnedSemaphorePermit,
}

/// Counts a request that waits for a revision to be ready, which may have to be started for it.
struct Asleep(Arc<AtomicUsize>);

impl Asleep {
    fn new(endpoint: &Endpoint) -> Self {
        endpoint.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&endpoint.waiting))
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    fn new(endpoint: &Endpoint, series: &Arc<Series>) -> Result<Self, Refusal> {
        let queue = Arc::clone(&endpoint.queue);
        let place = queue.try_acquire_owned().map_err(|_| {
            let message = "too many requests wait already; try again, add replicas, or raise limits.queued";
            unavailable("QueueFull", message.to_owned())
        })?;
        series.queued.inc();
        Ok(Self { series: Arc::clone(series), _place: place })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.series.queued.dec();
    }
}

fn unavailable(code: &'static str, message: String) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message).again(Duration::from_secs(1))
}

/// No revision of the endpoint has any share.
pub(super) fn no_traffic(endpoint: &Endpoint) -> Refusal {
    let message =
        format!("no revision of `{}` has traffic; give one a weight, or name one in {CHOSEN}", endpoint.key);
    unavailable("NoTraffic", message)
}

/// The revision answers nothing in gRPC. It counts as the caller's error: it says nothing about the revision.
fn not_grpc(target: &Target) -> Refusal {
    let message = format!(
        "the revision `{}` does not speak gRPC; set grpcPort in its ServingRuntime, or send HTTP requests",
        target.revision
    );
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NoGrpc", message)
}

/// Chooses a revision, another one than `without` if any other can answer, and waits for it, no longer than
/// the endpoint lets a request wait in all.
pub(super) async fn choose(
    call: &Call<'_>,
    mut endpoint: Arc<Endpoint>,
    headers: &HeaderMap,
    without: Option<usize>,
) -> Result<Place, NoPlace> {
    let (state, dialect) = (call.state, call.dialect);
    let patience = Duration::from_millis(endpoint.route.timeouts.queue_milliseconds);
    let deadline = tokio::time::Instant::now() + call.patience.map_or(patience, |time| time.min(patience));
    let mut versions = None;
    let (mut waiting, mut asleep) = (None::<Waiting>, None);
    loop {
        let choice = picked(&endpoint, headers, dialect, without)?;
        let (Some(target), Some(revision)) =
            (endpoint.targets.get(choice.place), endpoint.route.revisions.get(choice.place))
        else {
            return Err(no_traffic(&endpoint).into());
        };
        let of_revision = |refusal| NoPlace { refusal, of: Some((Arc::clone(&endpoint), choice.place)) };
        let port = target.port(dialect).ok_or_else(|| of_revision(not_grpc(target)))?;
        let series = target.series(&state.metrics);
        if revision.ready {
            // Its place in the queue is free again: it may need one once more, to wait for room.
            drop(waiting.take());
            drop(asleep.take());
            let slot = room(&endpoint, (target, port), series, deadline).await.map_err(of_revision)?;
            return Ok(Place { endpoint, choice, slot });
        }
        if !waiting.as_ref().is_some_and(|waiting| Arc::ptr_eq(&waiting.series, series)) {
            // The former place is given back first: a full queue must not refuse who is in it.
            drop(waiting.take());
            waiting = Some(Waiting::new(&endpoint, series).map_err(of_revision)?);
        }
        asleep.get_or_insert_with(|| Asleep::new(&endpoint));
        if let Some(versions) = &mut versions {
            let changed = tokio::sync::watch::Receiver::changed(versions);
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let message = format!(
                    "no revision of `{}` is ready; try again, or look at why `{}` does not start",
                    endpoint.key, revision.name
                );
                return Err(of_revision(unavailable("NoReadyRevision", message)));
            }
        } else {
            // A table may have come between the choice and here: the loop looks once more before it waits.
            versions = Some(state.versions());
        }
        let now = state.table().endpoints.get(&*endpoint.key).map(Arc::clone);
        endpoint = now.ok_or_else(|| {
            let message = format!("the endpoint `{}` was deleted while the request waited", endpoint.key);
            Refusal::new(StatusCode::NOT_FOUND, "EndpointNotFound", message)
        })?;
    }
}

fn picked(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    dialect: Dialect,
    without: Option<usize>,
) -> Result<Choice, Refusal> {
    let (route, now) = (&endpoint.route, Instant::now());
    let is_available = |place| Some(place) != without && endpoint.is_available(place, dialect, now);
    let sticky = route.sticky_header.as_deref();
    pick(&route.revisions, sticky, headers, fastrand::f64(), is_available).map_err(|none| match none {
        NoChoice::Unknown(name) => {
            let names: Vec<&str> = route.revisions.iter().map(|revision| &*revision.name).collect();
            let message = format!("no revision `{name}`; name one of {} in {CHOSEN}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "RevisionNotFound", message)
        }
        NoChoice::NoTraffic => no_traffic(endpoint),
    })
}

/// Room at a revision that is ready.
async fn room(
    endpoint: &Endpoint,
    (target, port): (&Target, &Port),
    series: &Arc<Series>,
    deadline: tokio::time::Instant,
) -> Result<OwnedSemaphorePermit, Refusal> {
    if !port.circuit.admit(Instant::now()) {
        let message =
            format!("the revision `{}` could not be reached and is left alone; try again", target.revision);
        let wait = Duration::from_millis(endpoint.route.circuit.open_milliseconds);
        return Err(unavailable("CircuitOpen", message).again(wait));
    }
    if let Ok(slot) = Arc::clone(&target.slots).try_acquire_owned() {
        return Ok(slot);
    }
    let _waiting = Waiting::new(endpoint, series)?;
    let slot = Semaphore::acquire_owned(Arc::clone(&target.slots));
    if let Ok(Ok(slot)) = tokio::time::timeout_at(deadline, slot).await {
        return Ok(slot);
    }
    let name = &target.revision;
    let message =
        format!("the revision `{name}` has no room; try again, add replicas, or raise limits.inFlight");
    Err(unavailable("NoRoom", message))
}
