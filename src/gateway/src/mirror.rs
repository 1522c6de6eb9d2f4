//! Copies of requests for a revision that answers nobody: after the caller has its answer, bounded, compared, counted.
use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, HeaderName};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::sync::Semaphore;

use crate::body::Lent;
use crate::compare::compare;
use crate::exchange::{Exchange, MOST_KEPT};
use crate::forward::Head;
use crate::grpc::{self, Dialect};
use crate::metrics::Mirrored;
use crate::state::State;
use crate::table::Target;

/// Tells the revision that nobody waits for its answer.
const MIRRORED: HeaderName = HeaderName::from_static("x-mlops-mirrored");

/// How a copy waits for a revision that can't be reached, since nobody waits for the copy: a node's rules know a new Service
/// only some time after its pods are ready, and that is no fault of the revision.
const REACHED: ConstantBuilder =
    ConstantBuilder::new().with_delay(Duration::from_millis(200)).with_max_times(25);

/// The bound of copies that are under way.
pub struct Mirrors(Arc<Semaphore>);

impl Mirrors {
    /// At most so many at once; further ones are dropped.
    pub fn new(copies: usize) -> Self {
        Self(Arc::new(Semaphore::new(copies)))
    }

    /// Sends the copy of an exchange, or drops it.
    pub fn start(&self, state: &Arc<State>, exchange: Arc<Exchange>) {
        let asked = &exchange.asked;
        let Some(target) = asked.mirror.and_then(|place| asked.endpoint.targets.get(place)) else { return };
        let dropped = || target.shadow(&state.metrics).count(Mirrored::Dropped);
        if exchange.request.whole().is_none() {
            return dropped();
        }
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return dropped() };
        let (state, target) = (Arc::clone(state), Arc::clone(target));
        tokio::spawn(async move {
            let result = run(&state, &target, &exchange).await;
            target.shadow(&state.metrics).count(result);
            drop(permit);
        });
    }
}

async fn run(state: &State, target: &Target, exchange: &Exchange) -> Mirrored {
    let time = Duration::from_millis(exchange.asked.endpoint.route.timeouts.request_milliseconds);
    let Ok(Some((status, body))) = tokio::time::timeout(time, send(target, exchange)).await else {
        return Mirrored::Failed;
    };
    // Errors have no predictions; that only the copy failed is the finding.
    let is_good = |status: u16| (200..300).contains(&status);
    match (is_good(exchange.status), is_good(status)) {
        (true, true) => {}
        (true, false) => return Mirrored::Failed,
        (false, _) => return Mirrored::Incomparable,
    }
    // The messages of gRPC are not read: what is in them is the model's own.
    if exchange.asked.dialect == Dialect::Grpc {
        return Mirrored::Incomparable;
    }
    let Some(found) = exchange.answer.whole().and_then(|answer| compare(answer, &body)) else {
        return Mirrored::Incomparable;
    };
    target.shadow(&state.metrics).compared(&found);
    if found.disagreements == 0 { Mirrored::Agreed } else { Mirrored::Disagreed }
}

async fn send(target: &Target, exchange: &Exchange) -> Option<(u16, Bytes)> {
    let asked = &exchange.asked;
    let revision = asked.endpoint.route.revisions.get(asked.mirror?)?;
    let body = Bytes::copy_from_slice(exchange.request.whole()?);
    let mut headers = asked.headers.clone();
    headers.insert(MIRRORED, HeaderValue::from_static("true"));
    headers.remove(CONTENT_LENGTH);
    let head =
        Head { method: asked.method.clone(), uri: crate::proxy::uri(revision, &asked.path).ok()?, headers };
    let port = target.port(asked.dialect)?;
    let lease = (|| port.lease()).retry(REACHED).await.ok()?;
    let response = lease.send(head.request(Lent::Whole(Full::new(body)))).await.ok()?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_KEPT).collect().await.ok()?;
    let status = match asked.dialect {
        Dialect::Http => head.status.as_u16(),
        Dialect::Grpc => {
            let code = body.trailers().and_then(grpc::told).or_else(|| grpc::told(&head.headers));
            code.map_or(502, grpc::status)
        }
    };
    Some((status, body.to_bytes()))
}
