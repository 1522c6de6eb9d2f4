//! The path of a request: endpoint, caller, limits, revision, answer.
mod place;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::answer::Refusal;
use crate::auth;
use crate::body::{Answered, Inbound, Outgoing, locked};
use crate::config::{Auth, Revision};
use crate::exchange::{Asked, Ending, InFlight, Recording};
use crate::forward::{self, Attempts, Head, Trouble};
use crate::grpc::{self, Dialect};
use crate::metrics::{Captured, Series};
use crate::pick::CHOSEN;
use crate::pool::Received;
use crate::port::{Lease, Port};
use crate::quiet::Quiet;
use crate::state::State;
use crate::table::{Endpoint, Table};
use crate::traces::{self, Trace};

use self::place::{NoPlace, Place};

/// The id of a request, passed on and answered.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Where endpoints are on hosts that are none's own.
const PREFIX: &str = "/endpoints/";

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The neighbour's address.
    pub peer: IpAddr,
    /// The same as a header's value, made once for each connection.
    forwarded: Option<HeaderValue>,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// The waker of the connection, where a request and its connection are one task.
    pub quiet: Option<Quiet>,
}

impl Origin {
    /// A connection's origin.
    pub fn new(peer: IpAddr, is_encrypted: bool) -> Self {
        Self { peer, forwarded: HeaderValue::from_str(&peer.to_string()).ok(), is_encrypted, quiet: None }
    }
}

/// Answers a request, whatever happens.
pub async fn handle(state: &Arc<State>, origin: Origin, request: Request<Incoming>) -> Response<Answered> {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    let dialect = Dialect::of(&parts);
    let table = Arc::clone(&state.table());
    let path = parts.uri.path().to_owned();
    let method = parts.method.clone();
    let trace = state.traces.as_ref().and_then(|traces| traces.begin(&parts.headers, &method, &path));
    let result = match resolve(&table, &parts) {
        Ok((endpoint, rest)) => {
            let key = Arc::clone(&endpoint.key);
            if let Some(trace) = &trace {
                trace.name(&endpoint.route.namespace, &endpoint.route.name, &request_id);
            }
            let patience = (dialect == Dialect::Grpc).then(|| grpc::patience(&parts.headers)).flatten();
            let (request_id, trace) = (&*request_id, trace.as_ref());
            let call = Call { state, origin, started, request_id, rest, dialect, patience, trace };
            call.answer(endpoint, &mut parts, body).await.map_err(|refusal| (key, refusal))
        }
        Err(refusal) => Err(("".into(), refusal)),
    };
    let mut response = result.unwrap_or_else(|(key, refusal)| {
        state.metrics.refused(&key, refusal.status.as_u16());
        if let Some(trace) = &trace {
            trace.end(refusal.status.as_u16(), None, refusal.status.is_server_error());
        }
        let (status, micros) = (refusal.status.as_u16(), started.elapsed().as_micros() as u64);
        let (method, code) = (method.as_str(), refusal.code);
        tracing::info!(target: "access", endpoint = &*key, method, path, status, code, micros, request_id);
        refusal.response(dialect)
    });
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The caller's id of the request, or one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given.filter(fits).map_or_else(new_id, str::to_owned)
}

/// 128 bits that nobody else has, in hexadecimal.
fn new_id() -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut id = String::with_capacity(32);
    for byte in fastrand::u128(..).to_be_bytes() {
        id.push(DIGITS[usize::from(byte >> 4)]);
        id.push(DIGITS[usize::from(byte & 15)]);
    }
    id
}

/// The endpoint of a request by its host, or else by its path, and what remains of path and query. A call of gRPC, whose
/// path its method fixes, may name it in a header.
fn resolve(table: &Table, parts: &Parts) -> Result<(Arc<Endpoint>, String), Refusal> {
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let whole = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if let Some(endpoint) = table.hosts.get(&host) {
        return Ok((Arc::clone(endpoint), whole.to_owned()));
    }
    let unknown = |message: String| Refusal::new(StatusCode::NOT_FOUND, "EndpointNotFound", message);
    let Some(rest) = whole.strip_prefix(PREFIX) else {
        if Dialect::of(parts) == Dialect::Http {
            let message = "no such path; use /endpoints/NAMESPACE/NAME/score or a host of the endpoint";
            return Err(unknown(message.to_owned()));
        }
        let named = parts.headers.get(grpc::ENDPOINT).and_then(|name| name.to_str().ok());
        let endpoint = named.and_then(|name| table.endpoints.get(name)).ok_or_else(|| {
            unknown(match named {
                Some(name) => format!(
                    "no endpoint `{}`; check the namespace and the name in the metadata `mlops-endpoint`",
                    name.chars().take(200).collect::<String>()
                ),
                None => {
                    "which endpoint? send `mlops-endpoint: NAMESPACE/NAME` as metadata, or use a host of it"
                        .to_owned()
                }
            })
        })?;
        return Ok((Arc::clone(endpoint), whole.to_owned()));
    };
    let end = rest.find('?').unwrap_or(rest.len());
    let name = rest.find('/').map(|slash| slash + 1).filter(|start| *start <= end).unwrap_or(end);
    let end = rest[name..end].find('/').map_or(end, |length| name + length);
    let (key, rest) = rest.split_at(end);
    let endpoint = table.endpoints.get(key).ok_or_else(|| {
        let shown: String = key.chars().take(200).collect();
        unknown(format!(
            "no endpoint `{shown}`; check the namespace and the name, as /endpoints/NAMESPACE/NAME/score"
        ))
    })?;
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    Ok((Arc::clone(endpoint), rest))
}

/// A request whose endpoint is known.
struct Call<'c> {
    state: &'c Arc<State>,
    origin: Origin,
    started: Instant,
    request_id: &'c str,
    rest: String,
    dialect: Dialect,
    /// How long the caller waits, when it says so.
    patience: Option<Duration>,
    trace: Option<&'c Arc<Trace>>,
}

/// A revision with room, and a connection to it.
struct Reached {
    place: Place,
    lease: Lease,
    /// Further attempts to connect.
    made: u32,
    /// When it must have answered.
    deadline: tokio::time::Instant,
}

/// How a request gets to its revision.
struct Way<'e> {
    port: &'e Port,
    revision: &'e Revision,
    series: &'e Arc<Series>,
}

impl Call<'_> {
    /// Lets the caller in, within its rate and with a body that is not too large.
    async fn admit(&self, endpoint: &Endpoint, parts: &Parts) -> Result<(), Refusal> {
        let issuers = &self.state.issuers;
        let caller = auth::admit(&endpoint.route.auth, &parts.headers, self.origin.peer, issuers).await?;
        if let Some(limiter) = &endpoint.limiter {
            limiter.take(&caller, Instant::now()).map_err(|wait| {
                let message =
                    "this caller sends more than its limit; wait as Retry-After says, or raise rateLimit";
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).again(wait)
            })?;
        }
        let limit = endpoint.route.limits.body_bytes;
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(too_large(limit));
        }
        Ok(())
    }

    async fn answer(
        &self,
        endpoint: Arc<Endpoint>,
        parts: &mut Parts,
        body: Incoming,
    ) -> Result<Response<Answered>, Refusal> {
        self.admit(&endpoint, parts).await?;
        let waits = self.trace.map(|_| Instant::now());
        let Reached { place, lease, made, deadline } = match self.reach(endpoint, &parts.headers).await {
            Ok(reached) => reached,
            Err(NoPlace { refusal, of: None }) => return Err(refusal),
            Err(NoPlace { refusal, of: Some((endpoint, place)) }) => {
                return Ok(self.failed(&refusal, &endpoint, place, parts));
            }
        };
        let (endpoint, choice) = (place.endpoint, place.choice);
        let Some(way) = self.way(&endpoint, choice.place) else { return Err(place::no_traffic(&endpoint)) };
        if let (Some(trace), Some(since)) = (self.trace, waits) {
            trace.choose(&way.revision.name, since.elapsed());
        }
        let in_flight = InFlight::new(way.series, self.started, place.slot);
        let head = self.head(parts, &endpoint, way.revision)?;
        let asked = self.asked(&endpoint, choice, &head);
        let is_kept = asked.mirror.is_some() || asked.is_captured;
        let recording = is_kept.then(|| Recording::new(&self.state.budget));
        let limit = endpoint.route.limits.body_bytes;
        let inbound = Inbound::new(body, limit, recording, self.dialect, way.port.is_http_2());
        let inbound = Arc::new(Mutex::new(inbound));
        if !way.port.is_http_2() {
            locked(&inbound).quiet.clone_from(&self.origin.quiet);
        }
        let attempts =
            Attempts { series: way.series, most: endpoint.route.retries, made: AtomicU32::new(made) };
        let sent = self.within(deadline, &endpoint, &way, async {
            forward::send(way.port, &attempts, lease, head, &inbound).await
        });
        let sent = sent.await;
        if let Some(trace) = self.trace {
            trace.retried(attempts.made.load(Ordering::Relaxed));
        }
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                let ending = Ending::new(self.state, in_flight, asked, inbound, status);
                let idle = Duration::from_millis(endpoint.route.timeouts.idle_milliseconds);
                Ok(passed_on(response, way.revision, idle, ending))
            }
            // Counted as the revision's: whoever judges it must see what its callers saw.
            Err(refusal) => {
                locked(&inbound).close();
                way.series.observe(self.started.elapsed());
                Ok(self.failed(&refusal, &endpoint, choice.place, parts))
            }
        }
    }

    /// The way to a revision that answers what the caller speaks.
    fn way<'e>(&self, endpoint: &'e Endpoint, place: usize) -> Option<Way<'e>> {
        let target = endpoint.targets.get(place)?;
        let (port, revision) = (target.port(self.dialect)?, endpoint.route.revisions.get(place)?);
        Some(Way { port, revision, series: target.series(&self.state.metrics) })
    }

    /// Chooses a revision and connects to it. One that can't be reached was sent nothing, so that the request goes on to
    /// another one that has a share, once. The failure counts for the first: whoever judges it must see it.
    async fn reach(&self, mut endpoint: Arc<Endpoint>, headers: &HeaderMap) -> Result<Reached, NoPlace> {
        let mut without = None;
        loop {
            let place = place::choose(self, endpoint, headers, without).await?;
            let (chosen, made) = (place.choice.place, AtomicU32::new(0));
            let Some(way) = self.way(&place.endpoint, chosen) else {
                return Err(place::no_traffic(&place.endpoint).into());
            };
            let attempts = Attempts { series: way.series, most: place.endpoint.route.retries, made };
            let deadline = self.deadline(&place.endpoint);
            let connected =
                self.within(deadline, &place.endpoint, &way, forward::connect(way.port, &attempts));
            let refusal = match connected.await {
                Ok(lease) => return Ok(Reached { lease, made: attempts.made.into_inner(), deadline, place }),
                Err(refusal) => refusal,
            };
            way.series.observe(self.started.elapsed());
            let is_late = tokio::time::Instant::now() >= deadline;
            let has_other = place.endpoint.has_other(chosen, self.dialect, Instant::now());
            if without.is_some() || place.choice.is_forced || is_late || !has_other {
                return Err(NoPlace { refusal, of: Some((place.endpoint, chosen)) });
            }
            way.series.count(refusal.status.as_u16());
            without = Some(chosen);
            endpoint = place.endpoint;
        }
    }

    /// When the revision must have answered.
    fn deadline(&self, endpoint: &Endpoint) -> tokio::time::Instant {
        let time = Duration::from_millis(endpoint.route.timeouts.request_milliseconds);
        let left = self.patience.map(|patience| patience.saturating_sub(self.started.elapsed()));
        tokio::time::Instant::now() + left.map_or(time, |left| left.min(time))
    }

    /// Lets the revision do something, until its time is over.
    async fn within<T>(
        &self,
        deadline: tokio::time::Instant,
        endpoint: &Endpoint,
        way: &Way<'_>,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Refusal> {
        let late = |_| {
            let message = format!(
                "the revision `{}` did not answer within {} ms; send fewer rows, add replicas, or raise \
                 timeouts.requestMilliseconds",
                way.revision.name,
                self.allowed(endpoint).as_millis()
            );
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "RevisionTimeout", message)
        };
        let done = tokio::time::timeout_at(deadline, work).await;
        done.map_err(late)?.map_err(|trouble| refusal(trouble, endpoint, way.revision))
    }

    /// How long the revision may take in all.
    fn allowed(&self, endpoint: &Endpoint) -> Duration {
        let time = Duration::from_millis(endpoint.route.timeouts.request_milliseconds);
        self.patience.map_or(time, |patience| patience.min(time))
    }

    /// The answer in place of the revision's. Its time is counted only where the revision was asked: that of a refusal
    /// at once would make it look fast.
    fn failed(
        &self,
        refusal: &Refusal,
        endpoint: &Endpoint,
        place: usize,
        parts: &Parts,
    ) -> Response<Answered> {
        let status = refusal.status.as_u16();
        let target = endpoint.targets.get(place);
        if let Some(target) = target {
            target.series(&self.state.metrics).count(status);
        }
        if let Some(trace) = self.trace {
            trace.end(status, None, status >= 500);
        }
        let (endpoint, code) = (&*endpoint.key, refusal.code);
        let revision = target.map(|target| &*target.revision);
        let (path, method) = (self.rest.split('?').next(), parts.method.as_str());
        let (micros, request_id) = (self.started.elapsed().as_micros() as u64, self.request_id);
        tracing::info!(target: "access", endpoint, revision, method, path, status, code, micros, request_id);
        refusal.response(self.dialect)
    }

    /// What the revision gets: no key or token that was meant for the gateway.
    fn head(&self, parts: &mut Parts, endpoint: &Endpoint, revision: &Revision) -> Result<Head, Refusal> {
        let mut headers = std::mem::take(&mut parts.headers);
        let host = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let host = host.or_else(|| headers.get(header::HOST).cloned());
        forward::strip(&mut headers);
        if self.dialect == Dialect::Grpc {
            // A server may take a call without it for one that some proxy has mangled.
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if endpoint.route.auth != Auth::None {
            headers.remove(header::AUTHORIZATION);
        }
        if let Some(trace) = self.trace {
            headers.insert(traces::PARENT, trace.parent());
        }
        if let Ok(id) = HeaderValue::from_str(self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(peer) = &self.origin.forwarded {
            headers.append(FORWARDED_FOR, peer.clone());
        }
        if let Some(host) = host {
            headers.insert(FORWARDED_HOST, host);
        }
        let scheme = if self.origin.is_encrypted { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        let uri = uri(revision, &self.rest)?;
        Ok(Head { method: parts.method.clone(), uri, headers })
    }

    fn asked(&self, endpoint: &Arc<Endpoint>, choice: crate::pick::Choice, head: &Head) -> Asked {
        let is_chosen = |percent: f64| head.method == Method::POST && fastrand::f64() * 100.0 < percent;
        let capture = endpoint.route.capture.as_ref();
        let mut is_captured = capture.is_some_and(|capture| is_chosen(capture.percent));
        if is_captured && self.dialect == Dialect::Grpc {
            // Its messages have no columns that could be told, or masked.
            self.state.metrics.captured(&endpoint.key, Captured::Unfit, 1);
            is_captured = false;
        }
        let mirror = endpoint.route.mirror.as_ref().filter(|_| !choice.is_forced);
        let mirror = mirror.filter(|mirror| is_chosen(mirror.percent));
        let mirror =
            mirror.and_then(|mirror| endpoint.place(&mirror.revision)).filter(|place| *place != choice.place);
        Asked {
            place: choice.place,
            request_id: self.request_id.to_owned(),
            dialect: self.dialect,
            method: head.method.clone(),
            path: self.rest.clone(),
            at: jiff::Timestamp::now(),
            mirror,
            is_captured,
            headers: mirror.map(|_| head.headers.clone()).unwrap_or_default(),
            trace: self.trace.map(Arc::clone),
            endpoint: Arc::clone(endpoint),
        }
    }
}

/// The revision's answer, watched to its end.
fn passed_on(
    response: Response<Received>,
    revision: &Revision,
    idle: Duration,
    mut ending: Ending,
) -> Response<Answered> {
    let (mut head, body) = response.into_parts();
    ending.note(&head.headers);
    forward::strip(&mut head.headers);
    if let Ok(name) = HeaderValue::from_str(&revision.name) {
        head.headers.insert(CHOSEN, name);
    }
    let mut response = Response::new(Answered::new(Outgoing::new(body, idle, ending)));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Where a revision has what was asked for.
pub(crate) fn uri(revision: &Revision, rest: &str) -> Result<Uri, Refusal> {
    let score = rest.strip_prefix("/score").filter(|more| more.is_empty() || more.starts_with('?'));
    let made = match (score, &revision.score_path) {
        (Some(query), Some(path)) => format!("{path}{query}").parse(),
        _ => rest.parse(),
    };
    made.map_err(|_: http::uri::InvalidUri| {
        Refusal::new(StatusCode::BAD_REQUEST, "BadPath", "the path is malformed; encode it as URLs are")
    })
}

fn too_large(limit: u64) -> Refusal {
    let message =
        format!("the request has more than {limit} bytes; send fewer rows, or raise limits.bodyBytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge", message)
}

fn refusal(trouble: Trouble, endpoint: &Endpoint, revision: &Revision) -> Refusal {
    let name = &revision.name;
    match trouble {
        Trouble::Unreachable(cause) => {
            tracing::warn!(endpoint = &*endpoint.key, revision = name, cause, "a revision can't be reached");
            let message = format!("the revision `{name}` can't be reached; try again, or look at its pods");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "RevisionUnreachable", message)
                .again(Duration::from_secs(1))
        }
        Trouble::Broken(cause) => {
            tracing::warn!(
                endpoint = &*endpoint.key,
                revision = name,
                cause,
                "a revision ended a connection"
            );
            let message =
                format!("the revision `{name}` ended the connection before it answered; look at its pods");
            Refusal::new(StatusCode::BAD_GATEWAY, "RevisionFailed", message)
        }
        Trouble::TooLarge => too_large(endpoint.route.limits.body_bytes),
        Trouble::Cut => Refusal::new(
            StatusCode::BAD_REQUEST,
            "BodyCut",
            "the request's body ended too early; send as much as Content-Length says",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    fn table() -> Table {
        let route =
            Route::parse(r#"{"namespace":"team","name":"churn","hosts":["churn.example"],"revisions":[]}"#);
        let endpoint = Arc::new(Endpoint::new(route.unwrap(), None));
        let mut table = Table::default();
        table.endpoints.insert("team/churn".to_owned(), Arc::clone(&endpoint));
        table.hosts.insert("churn.example".to_owned(), endpoint);
        table
    }

    fn rest(uri: &str, host: &str) -> Option<String> {
        let request = Request::builder().uri(uri).header("host", host).body(()).unwrap();
        resolve(&table(), &request.into_parts().0).ok().map(|(_, rest)| rest)
    }

    #[test]
    fn paths_lose_their_prefix_and_hosts_keep_their_paths() {
        let any = "gateway:8080";
        assert_eq!(rest("/endpoints/team/churn/score?a=/b", any).as_deref(), Some("/score?a=/b"));
        assert_eq!(rest("/endpoints/team/churn", any).as_deref(), Some("/"));
        assert_eq!(rest("/endpoints/team/churn?a=1", any).as_deref(), Some("/?a=1"));
        assert_eq!(
            rest("/endpoints/team/churn/v2/models/m/infer", any).as_deref(),
            Some("/v2/models/m/infer")
        );
        assert_eq!(rest("/score", "Churn.Example:8443").as_deref(), Some("/score"));
        for unknown in [
            "/",
            "/endpoints",
            "/endpoints/",
            "/endpoints/team",
            "/endpoints/team?/churn",
            "/endpoints/a/b/score",
        ] {
            assert_eq!(rest(unknown, any), None, "{unknown}");
        }
    }

    #[test]
    fn an_id_is_passed_on_if_it_fits_in_a_header_and_a_log() {
        let with = |id: &str| request_id(&HeaderMap::from_iter([(REQUEST_ID, id.parse().unwrap())]));
        assert_eq!(with("abc-1"), "abc-1");
        assert_eq!(with("a b").len(), 32);
        assert_ne!(with(&"a".repeat(129)), "a".repeat(129));
    }

    #[test]
    fn score_goes_where_the_revision_has_it() {
        let mut revision: Revision =
            serde_json::from_str(r#"{"name":"a","address":"server:80","weight":1}"#).unwrap();
        assert_eq!(uri(&revision, "/score?x=1").unwrap(), "/score?x=1");
        revision.score_path = Some("/v2/models/m/infer".to_owned());
        assert_eq!(uri(&revision, "/score").unwrap(), "/v2/models/m/infer");
        assert_eq!(uri(&revision, "/v2").unwrap(), "/v2");
    }
}
