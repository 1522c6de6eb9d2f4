//! Creations that are asked about at once.
use std::time::Duration;

use arm::{Operation, OperationShape, Progress, Verb};
use arm_client::Session;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::server::{COLLECTION, Reply, Server, workspace};

/// A server with workspaces in several states, whose operations all still run but that of `broken`.
async fn server() -> Server {
    let item = |name: &str, state: &str| json!({"id": workspace(name).as_str(), "name": name, "properties": {"provisioningState": state}});
    let value = [item("made", "Succeeded"), item("running", "Creating"), item("broken", "Failed")];
    Server::start(move |asked, _| {
        if asked.target.starts_with(&format!("{COLLECTION}?")) {
            return Reply::json(200, &json!({"value": value})).delay(Duration::from_millis(50));
        }
        let broken = asked.target.ends_with("/broken");
        let word = if broken { "Failed" } else { "InProgress" };
        Reply::json(200, &json!({"status": word, "error": {"code": "Quota", "message": "none is left"}}))
    })
    .await
}

async fn ask(server: &Server, session: &Session, name: &str, age: i64) -> Progress {
    let now = Timestamp::now();
    let operation = Operation {
        verb: Verb::Put,
        shape: OperationShape::AzureAsyncOperation,
        url: format!("{}/status/{name}", server.url().trim_end_matches('/')),
        started: now - SignedDuration::from_secs(age),
        deadline: None,
        poll_at: now,
    };
    session.poll_creation(&workspace(name), &operation).await.unwrap()
}

fn targets(server: &Server) -> Vec<String> {
    server.asked().into_iter().map(|it| it.target.split('?').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn what_is_made_together_is_answered_by_one_list() {
    let server = server().await;
    let session = server.session();
    let names = ["one", "two", "three", "made", "running", "broken", "missing"];
    let answers = join_all(names.map(|name| ask(&server, &session, name, 60))).await;
    let Progress::Succeeded(Some(body)) = &answers[3] else { panic!("{:?}", answers[3]) };
    assert_eq!(body["name"], "made");
    assert!(matches!(&answers[4], Progress::Running(_)), "{:?}", answers[4]);
    assert!(matches!(&answers[5], Progress::Failed(error) if error.code == "Quota"), "{:?}", answers[5]);
    let mut asked = targets(&server);
    asked.sort();
    // The first three are too few for a list; the last two it does not tell enough of.
    let alone = ["one", "two", "three", "broken", "missing"].map(|name| format!("/status/{name}"));
    let mut wanted: Vec<String> = alone.into_iter().chain([COLLECTION.to_owned()]).collect();
    wanted.sort();
    assert_eq!(asked, wanted);
}

#[tokio::test]
async fn a_list_from_before_a_creation_says_nothing_of_it() {
    let server = server().await;
    let session = server.session();
    join_all(["one", "two", "three", "running"].map(|name| ask(&server, &session, name, 60))).await;
    assert!(matches!(ask(&server, &session, "made", 0).await, Progress::Running(_)));
    assert_eq!(targets(&server).last().map(String::as_str), Some("/status/made"));
}

#[tokio::test]
async fn one_creation_is_asked_about_by_its_operation() {
    let server = server().await;
    assert!(matches!(ask(&server, &server.session(), "made", 60).await, Progress::Running(_)));
    assert_eq!(targets(&server), ["/status/made"]);
}
