//! A token goes to the configured Azure Resource Manager, whatever an answer says.
use arm::{Operation, OperationShape, Progress, Started, Verb};
use jiff::Timestamp;
use serde_json::json;

use crate::server::{COLLECTION, Reply, Server, workspace};

/// Addresses that an answer may name to lure a token away: another host, other ports and schemes, and texts that parsers
/// of URLs read differently. `SINK` is a listening server, `HOME` the configured one.
const PAYLOADS: [&str; 14] = [
    "http://SINK/operations/o",
    "//SINK/operations/o",
    "///SINK/operations/o",
    r"\\SINK\operations\o",
    r"/\SINK/operations/o",
    "http:SINK/operations/o",
    "http://HOME@SINK/operations/o",
    "http://user:password@HOME/operations/o",
    "http://SINK#@HOME/operations/o",
    r"http://SINK\@HOME/operations/o",
    "\thttp://SINK/operations/o",
    "https://HOME/operations/o",
    "http://127.0.0.1:SINKPORT?HOME",
    "ftp://HOME/operations/o",
];

async fn sink() -> Server {
    Server::start(|_, _| Reply::json(200, &json!({"status": "Succeeded", "value": []}))).await
}

fn payload(text: &str, home: &str, sink: &Server) -> String {
    let port = sink.address.port().to_string();
    text.replace("SINKPORT", &port).replace("SINK", &sink.address.to_string()).replace("HOME", home)
}

/// A server that names a payload wherever a payload can be named.
async fn liar(text: &'static str, sink: &Server) -> Server {
    let sink = sink.clone();
    Server::start(move |asked, _| {
        let home = asked.headers["host"].to_str().unwrap();
        let payload = payload(text, home, &sink);
        let header = payload.trim();
        if asked.target.contains("/redirected?") {
            return Reply::new(307).header("location", header);
        }
        match asked.method.as_str() {
            "PUT" => Reply::json(201, &json!({"properties": {"provisioningState": "Creating"}}))
                .header("azure-asyncoperation", header),
            "DELETE" | "POST" => Reply::new(202).header("location", header),
            _ if asked.target.contains("/home/") => Reply::new(202).header("location", header),
            _ => Reply::json(200, &json!({"value": [], "nextLink": payload})),
        }
    })
    .await
}

fn operation(shape: OperationShape, url: String) -> Operation {
    let now = Timestamp::now();
    Operation { verb: Verb::Put, shape, url, started: now, deadline: None, poll_at: now }
}

#[tokio::test]
async fn no_answer_lures_a_token_away() {
    for text in PAYLOADS {
        let sink = sink().await;
        let home = liar(text, &sink).await;
        let session = home.session();
        let id = workspace("w");
        for started in [session.put(&id, &json!({})).await, session.delete(&id, "").await] {
            let Ok(Started::Running(operation)) = started else { panic!("{text}: {started:?}") };
            assert_eq!(
                (operation.shape, operation.url.as_str()),
                (OperationShape::Body, id.as_str()),
                "{text}"
            );
            // It is followed at home.
            session.poll(&operation).await.unwrap();
        }
        session.post(&id, "resyncKeys", None).await.unwrap_err();
        session.list(COLLECTION).await.unwrap_err();
        let redirected = workspace("redirected");
        session.get(&redirected).await.unwrap_err();
        session.put(&redirected, &json!({})).await.unwrap_err();
        // A status that someone has changed, and an operation that claims to have moved.
        let address = home.address.to_string();
        for shape in [OperationShape::AzureAsyncOperation, OperationShape::Location] {
            let stored = operation(shape, payload(text, &address, &sink));
            assert_eq!(session.poll(&stored).await.unwrap(), Progress::Lost, "{text}");
        }
        let moved = operation(OperationShape::Location, format!("http://{address}/home/o"));
        assert_eq!(session.poll(&moved).await.unwrap(), Progress::Lost, "{text}");
        assert_eq!(sink.lines(), Vec::<String>::new(), "{text}");
    }
}

#[tokio::test]
async fn an_address_of_the_same_server_is_followed() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "DELETE" => Reply::new(202).header("location", "/subscriptions/s/operations/o?api-version=1"),
        _ => Reply::new(204),
    })
    .await;
    let session = server.session();
    let Started::Running(operation) = session.delete(&workspace("w"), "").await.unwrap() else {
        panic!("it runs")
    };
    assert_eq!(operation.url, format!("{}/subscriptions/s/operations/o?api-version=1", server.url()));
    assert_eq!(session.poll(&operation).await.unwrap(), Progress::Succeeded(None));
}
