//! A gRPC server and a gRPC caller, down to the bytes.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use gateway::body::{Answered, Error};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// The path of a call with one message each way.
pub(crate) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// The path of a call whose messages come back one by one.
pub(crate) const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A message as it travels.
pub(crate) fn message(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

/// The messages in bytes that hold them whole.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (text, rest) = rest.split_at(length);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a message is cut");
    found
}

pub(crate) fn trailers(code: &str) -> HeaderMap {
    HeaderMap::from_iter([
        ("grpc-status".parse().unwrap(), code.parse().unwrap()),
        ("x-served-by".parse().unwrap(), "model".parse().unwrap()),
    ])
}

/// What a model server with gRPC was asked.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) calls: Arc<Mutex<Vec<Value>>>,
    /// Calls that have neither ended nor been given up.
    pub(crate) open: Arc<AtomicUsize>,
}

/// A model server that speaks gRPC.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) seen: Seen,
}

impl Server {
    pub(crate) async fn start(name: &str) -> Self {
        Self::listen(name, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn listen(name: &str, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let (seen, name) = (Seen::default(), name.to_owned());
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                kept.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(stream, name.clone(), kept.clone()));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn revision(&self, name: &str, weight: u32) -> Value {
        json!({"name": name, "address": "127.0.0.1:1", "grpcAddress": self.address, "weight": weight})
    }

    pub(crate) fn calls(&self) -> Vec<Value> {
        self.seen.calls.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

async fn connection(stream: TcpStream, name: String, seen: Seen) {
    let leaves = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&leaves);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        if request.headers().contains_key("x-leave") {
            notify.notify_one();
        }
        let (name, seen) = (name.clone(), seen.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&name, request, &seen).await) }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => {}
        () = leaves.notified() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Counts a call for as long as its answer lives.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(name: &str, request: Request<Incoming>, seen: &Seen) -> Response<Answered> {
    seen.open.fetch_add(1, Ordering::SeqCst);
    let open = Open(Arc::clone(&seen.open));
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if header("x-hang").is_some() {
        std::future::pending::<()>().await;
    }
    let code = header("x-fail").unwrap_or_else(|| "0".to_owned());
    if parts.uri.path() == STREAM {
        return framed(echoed(body, open, code));
    }
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
        .collect();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = json!({
        "revision": name, "path": parts.uri.path(), "headers": headers, "messages": messages(&body),
        "version": format!("{:?}", parts.version),
    });
    seen.calls.lock().unwrap().push(said.clone());
    drop(open);
    if header("x-mute").is_some() {
        return framed(futures::stream::iter([Ok(Frame::data(message("no trailers follow")))]));
    }
    if header("x-break").is_some() {
        let parts = [Ok(Frame::data(message("the first part"))), Err("broken".into())];
        return framed(futures::stream::iter(parts));
    }
    if code != "0" {
        let mut response = framed(futures::stream::empty());
        response.headers_mut().extend(trailers(&code));
        return response;
    }
    let parts = [Frame::data(message(&said.to_string())), Frame::trailers(trailers("0"))];
    framed(futures::stream::iter(parts.map(Ok)))
}

fn framed(
    frames: impl futures::Stream<Item = Result<Frame<Bytes>, Error>> + Send + 'static,
) -> Response<Answered> {
    let mut response = Response::new(Answered::new(StreamBody::new(frames)));
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

/// Each part of a body as it comes, then trailers.
fn echoed(
    body: Incoming,
    open: Open,
    code: String,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Error>> + Send {
    futures::stream::unfold(Some((body, open, code)), |state| async move {
        let (mut body, open, code) = state?;
        match body.frame().await {
            Some(Ok(frame)) => Some((Ok(frame), Some((body, open, code)))),
            Some(Err(error)) => Some((Err(error.into()), None)),
            None => Some((Ok(Frame::trailers(trailers(&code))), None)),
        }
    })
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<String>,
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) trailers: HeaderMap,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.messages[0]).unwrap()
    }
}

/// A caller with one connection.
#[derive(Clone)]
pub(crate) struct Caller(SendRequest<Answered>);

/// The sending side of a call.
pub(crate) type Sending = futures::channel::mpsc::Sender<Bytes>;

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Begins a call; its messages go through the channel.
    pub(crate) fn begin(
        &self,
        path: &str,
        metadata: &[(&str, &str)],
    ) -> (Sending, impl Future<Output = hyper::Result<Response<Incoming>>> + use<>) {
        let (sender, receiver) = futures::channel::mpsc::channel::<Bytes>(16);
        let body = Answered::new(StreamBody::new(receiver.map(|bytes| Ok::<_, Error>(Frame::data(bytes)))));
        let host = metadata.iter().find(|(name, _)| *name == "host").map_or("gateway", |(_, host)| host);
        let mut request = Request::post(format!("http://{host}{path}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        (sender, self.0.clone().send_request(request.body(body).unwrap()))
    }

    /// A call with one message, to `team/churn` unless its metadata says otherwise.
    pub(crate) async fn infer(&self, metadata: &[(&str, &str)], text: &str) -> Ended {
        let named = metadata.iter().any(|(name, _)| ["host", "mlops-endpoint"].contains(name));
        let endpoint = (!named).then_some(("mlops-endpoint", "team/churn"));
        let metadata: Vec<(&str, &str)> = metadata.iter().copied().chain(endpoint).collect();
        let (mut sending, response) = self.begin(INFER, &metadata);
        sending.send(message(text)).await.unwrap();
        drop(sending);
        ended(response.await.unwrap()).await
    }
}

pub(crate) async fn ended(response: Response<Incoming>) -> Ended {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let told = |name: &str| {
        let value = trailers.get(name).or_else(|| parts.headers.get(name));
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    Ended {
        status: parts.status.as_u16(),
        code: told("grpc-status").map_or(u16::MAX, |code| code.parse().unwrap()),
        message: told("grpc-message").unwrap_or_default(),
        messages: messages(&body.to_bytes()),
        headers: parts.headers,
        trailers,
    }
}
