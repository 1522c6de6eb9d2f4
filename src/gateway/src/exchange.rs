//! One request and its answer: what is counted at the end, and what is kept aside for mirrors and captures.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{Inbound, locked};
use crate::grpc::{self, Dialect};
use crate::metrics::Series;
use crate::state::State;
use crate::table::Endpoint;
use crate::traces::Trace;

/// The largest body that is kept aside.
pub const MOST_KEPT: usize = 1024 * 1024;

/// The bound of all bytes that are kept aside.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// A bound of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The copy of a body. It gives up rather than hold more than it may.
#[derive(Debug)]
pub struct Recording {
    bytes: BytesMut,
    taken: usize,
    is_whole: bool,
    is_lost: bool,
    budget: Arc<Budget>,
}

impl Recording {
    /// An empty copy.
    pub fn new(budget: &Arc<Budget>) -> Self {
        let budget = Arc::clone(budget);
        Self { bytes: BytesMut::new(), taken: 0, is_whole: false, is_lost: false, budget }
    }

    /// Adds a part. It is copied: the part itself would keep the whole buffer of its connection alive.
    pub fn push(&mut self, part: &[u8]) {
        if self.is_lost {
            return;
        }
        if self.taken + part.len() > MOST_KEPT || !self.budget.take(part.len()) {
            self.is_lost = true;
            self.bytes = BytesMut::new();
            self.budget.give(std::mem::take(&mut self.taken));
            return;
        }
        self.taken += part.len();
        self.bytes.extend_from_slice(part);
    }

    /// Nothing is missing.
    pub fn finish(&mut self) {
        self.is_whole = true;
    }

    /// The body, if nothing of it is missing.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.is_whole && !self.is_lost).then_some(&self.bytes[..])
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

/// What a request was, for logs, mirrors and captures.
pub struct Asked {
    /// The endpoint as it was.
    pub endpoint: Arc<Endpoint>,
    /// The place of the revision that answered.
    pub place: usize,
    /// The id that goes with the request everywhere.
    pub request_id: String,
    /// What its caller speaks.
    pub dialect: Dialect,
    /// The method.
    pub method: Method,
    /// The path and query as the revision got them.
    pub path: String,
    /// When it came.
    pub at: Timestamp,
    /// The place of the revision that gets a copy.
    pub mirror: Option<usize>,
    /// Whether it is captured.
    pub is_captured: bool,
    /// The headers, for a copy.
    pub headers: HeaderMap,
    /// Its span, if it is traced.
    pub trace: Option<Arc<Trace>>,
}

/// A request and its answer, whole.
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// Its body.
    pub request: Recording,
    /// The answer's status, or the one that stands for its code.
    pub status: u16,
    /// The answer's body.
    pub answer: Recording,
}

/// A request in progress: counted as such for as long as it lives.
pub struct InFlight {
    series: Arc<Series>,
    started: Instant,
    _slot: OwnedSemaphorePermit,
}

impl InFlight {
    /// Counts a request that has got its room.
    pub fn new(series: &Arc<Series>, started: Instant, slot: OwnedSemaphorePermit) -> Self {
        series.in_flight.inc();
        Self { series: Arc::clone(series), started, _slot: slot }
    }

    /// Counts an answer, at its end.
    pub fn count(&self, status: u16) {
        self.series.count(status);
        self.series.observe(self.started.elapsed());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.series.in_flight.dec();
    }
}

/// What happens when an answer has ended, however it did.
pub struct Ending {
    state: Arc<State>,
    in_flight: InFlight,
    asked: Option<Asked>,
    inbound: Arc<Mutex<Inbound>>,
    status: u16,
    code: Option<u16>,
    bytes: u64,
    answer: Option<Recording>,
    is_complete: bool,
    is_broken: bool,
}

impl Ending {
    /// The end of an answer whose head has come.
    pub fn new(
        state: &Arc<State>,
        in_flight: InFlight,
        asked: Asked,
        inbound: Arc<Mutex<Inbound>>,
        status: u16,
    ) -> Self {
        let is_kept = asked.mirror.is_some() || asked.is_captured;
        let answer = is_kept.then(|| Recording::new(&state.budget));
        let state = Arc::clone(state);
        Self {
            state,
            in_flight,
            asked: Some(asked),
            inbound,
            status,
            code: None,
            bytes: 0,
            answer,
            is_complete: false,
            is_broken: false,
        }
    }

    /// A part of the answer.
    pub fn push(&mut self, part: &Bytes) {
        self.bytes += part.len() as u64;
        if let Some(answer) = &mut self.answer {
            answer.push(part);
        }
    }

    /// Headers or trailers of the answer, which tell how a call ended.
    pub fn note(&mut self, headers: &HeaderMap) {
        if self.asked.as_ref().is_some_and(|asked| asked.dialect == Dialect::Grpc) {
            self.code = grpc::told(headers).or(self.code);
        }
    }

    /// The revision did not end its answer. Returns the trailers that say so, if the caller understands them.
    pub fn fail(&mut self, is_idle: bool) -> Option<HeaderMap> {
        let is_call = self.asked.as_ref().is_some_and(|asked| asked.dialect == Dialect::Grpc);
        let (is_too_large, is_cut, is_ended) = {
            let inbound = locked(&self.inbound);
            (inbound.is_too_large, inbound.is_cut, inbound.is_ended())
        };
        let (status, message) = match (is_too_large, is_cut) {
            (true, _) => (StatusCode::PAYLOAD_TOO_LARGE, "a message is too large; raise limits.bodyBytes"),
            (_, true) => (StatusCode::BAD_REQUEST, "the request ended too early"),
            // Both may have been silent: the revision may wait for the next message.
            _ if is_idle && !is_ended => (StatusCode::REQUEST_TIMEOUT, "nobody said anything for too long"),
            _ => (StatusCode::BAD_GATEWAY, "the revision stopped in the middle of its answer"),
        };
        // What its caller brought about is no failure of the revision.
        if is_call && status.is_client_error() {
            self.status = status.as_u16();
        } else {
            self.is_broken = true;
        }
        is_call.then(|| grpc::trailers(status, message))
    }

    /// The status for statistics. An answer that its revision cut off is a failure, whatever its head said; a caller that
    /// goes away is none.
    fn outcome(&self) -> u16 {
        let is_call = self.asked.as_ref().is_some_and(|asked| asked.dialect == Dialect::Grpc);
        match self.code {
            _ if self.is_broken => self.status.max(502),
            Some(code) => grpc::status(code),
            None if is_call && self.is_complete && self.status == 200 => grpc::status(2),
            None => self.status,
        }
    }

    /// The answer has ended as it should.
    pub fn complete(&mut self) {
        self.is_complete = true;
        if let Some(answer) = &mut self.answer {
            answer.finish();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let status = self.outcome();
        let Some(mut asked) = self.asked.take() else { return };
        if let Some(trace) = asked.trace.take() {
            trace.end(self.status, self.code, status >= 500);
        }
        self.in_flight.count(status);
        let mut inbound = locked(&self.inbound);
        inbound.close();
        self.in_flight.series.received.inc_by(inbound.bytes);
        self.in_flight.series.sent.inc_by(self.bytes);
        tracing::info!(
            target: "access",
            endpoint = &*asked.endpoint.key,
            revision = asked.endpoint.targets.get(asked.place).map(|target| &*target.revision),
            method = asked.method.as_str(),
            path = asked.path.split('?').next(),
            status = self.status,
            grpc = self.code,
            complete = self.is_complete,
            micros = self.in_flight.started.elapsed().as_micros() as u64,
            received = inbound.bytes,
            sent = self.bytes,
            request_id = asked.request_id,
        );
        let (Some(request), Some(answer)) = (inbound.recording.take(), self.answer.take()) else { return };
        drop(inbound);
        let exchange = Arc::new(Exchange { asked, request, status, answer });
        if exchange.asked.is_captured {
            self.state.captures.offer(&self.state.metrics, &exchange);
        }
        if exchange.asked.mirror.is_some() {
            self.state.mirrors.start(&self.state, exchange);
        }
    }
}
