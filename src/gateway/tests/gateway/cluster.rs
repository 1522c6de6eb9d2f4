//! Routing documents from ConfigMaps of an API server that comes and goes.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gateway::body::{Answered, whole};
use gateway::source::Source;
use http::{Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Backend, Behaviour, Gateway, document, serve, until};

#[derive(Default)]
struct Server {
    maps: Mutex<Vec<Value>>,
    paths: Mutex<Vec<String>>,
    is_away: AtomicBool,
    watches: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

impl Server {
    async fn start(self: &Arc<Self>) -> kube::Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::clone(self);
        serve(listener, move |request| {
            let answer = server.answer(&request.uri().to_string());
            async move { answer }
        });
        kube::Client::try_from(kube::Config::new(address.parse().unwrap())).unwrap()
    }

    fn answer(&self, uri: &str) -> Response<Answered> {
        self.paths.lock().unwrap().push(uri.to_owned());
        let mut response = if self.is_away.load(Ordering::SeqCst) {
            let mut response = Response::new(whole("{}"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        } else if uri.contains("watch=true") {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.watches.lock().unwrap().push(sender);
            let parts = futures::stream::unfold(receiver, |mut receiver| async move {
                let part: Bytes = receiver.recv().await?;
                Some((Ok::<_, gateway::body::Error>(Frame::data(part)), receiver))
            });
            Response::new(Answered::new(StreamBody::new(parts)))
        } else {
            let list = json!({
                "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                "items": *self.maps.lock().unwrap(),
            });
            Response::new(whole(list.to_string()))
        };
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        response
    }

    fn tell(&self, kind: &str, map: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": map}));
        for watch in &*self.watches.lock().unwrap() {
            let _ = watch.send(line.clone().into());
        }
    }
}

fn map(version: &str, documents: &[(&str, Value)]) -> Value {
    let data: serde_json::Map<String, Value> =
        documents.iter().map(|(key, document)| ((*key).to_owned(), json!(document.to_string()))).collect();
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": data,
        "metadata": {"name": "routes", "namespace": "mlops", "resourceVersion": version},
    })
}

#[tokio::test]
async fn labelled_maps_of_one_namespace_are_followed_and_stay_in_force_while_the_server_is_away() {
    let backend = Backend::start("a", Behaviour::Echo).await;
    let churn = document(&[backend.revision("a", 1)], &json!({}));
    let fraud = document(&[backend.revision("a", 1)], &json!({"name": "fraud"}));
    let server = Arc::<Server>::default();
    server
        .maps
        .lock()
        .unwrap()
        .push(map("1", &[("churn.json", churn.clone()), ("notes.txt", json!("no route"))]));
    let gateway = Gateway::start(&document(&[], &json!({"name": "former"}))).await;
    let source = Source::Cluster(server.start().await, "mlops".to_owned());
    tokio::spawn(source.run(Arc::clone(&gateway.state)));
    let has = |name: &str| gateway.state.table().endpoints.contains_key(name);
    until("the map is in force", || has("team/churn")).await;
    until("the watch is open", || !server.watches.lock().unwrap().is_empty()).await;
    for path in &*server.paths.lock().unwrap() {
        assert!(path.starts_with("/api/v1/namespaces/mlops/configmaps?"), "{path}");
        assert!(path.contains("labelSelector=mlops-operator.dev%2Fgateway-route%3Dtrue"), "{path}");
    }

    server.tell("MODIFIED", &map("2", &[("fraud.json", fraud.clone())]));
    until("one document came and one went", || has("team/fraud") && !has("team/churn")).await;

    server.is_away.store(true, Ordering::SeqCst);
    server.maps.lock().unwrap().clear();
    let before = server.paths.lock().unwrap().len();
    server.watches.lock().unwrap().clear();
    until("the server was asked in vain", || server.paths.lock().unwrap().len() > before).await;
    let answer = gateway.caller().post("/endpoints/team/fraud/score", &[], "{}").await;
    assert_eq!(answer.status, 200);

    server.is_away.store(false, Ordering::SeqCst);
    until("the watch is back", || !server.watches.lock().unwrap().is_empty()).await;
    server.tell("DELETED", &map("3", &[("fraud.json", fraud)]));
    until("the endpoint is gone", || !has("team/fraud")).await;
}
