//! Lists, and reads that are answered by one.
use std::collections::BTreeMap;
use std::time::Duration;

use arm::{ErrorClass, ResourceId, Seen};
use arm_client::{Config, Limit, Limits, Session};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Asked, COLLECTION, Reply, Server, session, workspace};

fn item(name: &str) -> Value {
    // Azure gives ids back in a case of its own.
    json!({"id": workspace(name).as_str().replace("resourceGroups", "resourcegroups"), "name": name})
}

fn is_list(asked: &Asked) -> bool {
    asked.target.starts_with(&format!("{COLLECTION}?"))
}

/// A server with some workspaces, which all reads and lists agree on.
async fn server_with(names: &'static [&'static str]) -> Server {
    Server::start(move |asked, _| {
        if is_list(asked) {
            let value: Vec<Value> = names.iter().map(|name| item(name)).collect();
            return Reply::json(200, &json!({"value": value})).delay(Duration::from_millis(50));
        }
        match names.iter().find(|name| asked.target.contains(&format!("/{name}?"))) {
            Some(name) => Reply::json(200, &item(name)),
            None => Reply::json(404, &json!({"error": {"code": "ResourceNotFound", "message": "no"}})),
        }
    })
    .await
}

/// A session whose reads have to wait from the first on.
fn slow(server: &Server) -> Session {
    let reads = Limit { burst: 1, per_second: 5.0 };
    session(Config { limits: Limits { reads, ..Limits::default() }, ..server.config() })
}

async fn get_all(session: &Session, names: &[&str]) -> Vec<Result<Seen, arm_client::Error>> {
    join_all(names.iter().map(|name| {
        let (session, id) = (session.clone(), workspace(name));
        async move { session.get(&id).await }
    }))
    .await
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = Server::start(|asked, _| {
        let page = asked.target.rsplit_once("$skip=").map_or(0, |(_, page)| page.parse::<u8>().unwrap());
        let mut body = json!({"value": [page]});
        if page < 2 {
            let host = asked.headers["host"].to_str().unwrap();
            body["nextLink"] = json!(format!("http://{host}{COLLECTION}?api-version=1&$skip={}", page + 1));
        }
        Reply::json(200, &body)
    })
    .await;
    let items = server.session().list(COLLECTION).await.unwrap();
    assert_eq!(items, [json!(0), json!(1), json!(2)]);
}

#[tokio::test]
async fn a_list_without_end_or_value_is_refused() {
    let circle = Server::start(|asked, _| {
        let host = asked.headers["host"].to_str().unwrap();
        Reply::json(200, &json!({"value": [], "nextLink": format!("http://{host}{}", asked.target)}))
    })
    .await;
    let error = circle.session().list(COLLECTION).await.unwrap_err();
    assert_eq!((error.class, circle.asked().len()), (ErrorClass::InvalidResponse, 1));
    let empty = Server::start(|_, _| Reply::json(200, &json!({}))).await;
    let error = empty.session().list(COLLECTION).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::InvalidResponse);
    let error = empty.session().list("/subscriptions/s/..").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
}

#[tokio::test]
async fn reads_that_wait_are_answered_by_one_list() {
    let server = server_with(&["a", "b", "c", "d", "e"]).await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let found = get_all(&session, &["a", "b", "c", "d", "e"]).await;
    let names: Vec<Value> =
        found.iter().map(|it| it.as_ref().unwrap().body().unwrap()["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let lists = server.asked().iter().filter(|it| is_list(it)).count();
    assert_eq!((server.asked().len(), lists), (2, 1), "{:?}", server.lines());
}

#[tokio::test]
async fn a_read_that_begins_during_a_list_is_not_answered_by_it() {
    let server = server_with(&["a", "b", "c", "d"]).await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let late = async {
        while !server.asked().iter().any(is_list) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        session.get(&workspace("d")).await.unwrap()
    };
    let (_, late) = tokio::join!(get_all(&session, &["a", "b", "c"]), late);
    assert_eq!(late.body().unwrap()["name"], "d");
    let last = server.lines().pop().unwrap();
    assert!(last.contains("/d?"), "{last}");
}

#[tokio::test]
async fn what_a_list_lacks_is_read_by_itself() {
    let server = server_with(&["a", "b"]).await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let found = get_all(&session, &["a", "b", "missing"]).await;
    assert_eq!(found[2].as_ref().unwrap(), &Seen::Absent);
    let last = server.lines().pop().unwrap();
    assert!(last.contains("/missing?"), "{last}");
}

#[tokio::test]
async fn a_right_to_list_is_not_needed() {
    let server = Server::start(|asked, _| {
        if is_list(asked) {
            return Reply::json(403, &json!({"error": {"code": "AuthorizationFailed", "message": "no"}}));
        }
        Reply::json(200, &json!({"properties": {}}))
    })
    .await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let found = get_all(&session, &["a", "b", "c"]).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
}

#[tokio::test]
async fn trouble_of_a_list_is_the_trouble_of_all() {
    let server =
        Server::start(|asked, _| if is_list(asked) { Reply::new(503) } else { Reply::json(200, &json!({})) })
            .await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let found = get_all(&session, &["a", "b", "c"]).await;
    assert!(found.iter().all(|it| it.as_ref().unwrap_err().class == ErrorClass::Unreachable), "{found:?}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_others_their_answers() {
    let server = server_with(&["a", "b", "c", "d"]).await;
    let session = slow(&server);
    session.get(&workspace("a")).await.unwrap();
    let leader = tokio::spawn({
        let session = session.clone();
        async move { session.get(&workspace("a")).await }
    });
    let others = tokio::spawn({
        let session = session.clone();
        async move { get_all(&session, &["b", "c", "d"]).await }
    });
    while !server.asked().iter().any(is_list) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    leader.abort();
    let found = others.await.unwrap();
    assert!(found.iter().all(|it| it.as_ref().unwrap().body().is_some()), "{found:?}");
}

#[tokio::test]
async fn several_reads_at_once_are_one_list_for_each_collection() {
    let server = server_with(&["a", "b", "c"]).await;
    let child = workspace("a").child("computes", "cpu").unwrap();
    let ids = [workspace("a"), workspace("b"), workspace("c"), workspace("missing"), child.clone()];
    let found: BTreeMap<ResourceId, bool> = server
        .session()
        .observe(&ids)
        .await
        .into_iter()
        .map(|(id, seen)| (id, seen.unwrap().body().is_some()))
        .collect();
    let expected: BTreeMap<ResourceId, bool> =
        ids.iter().map(|id| (id.clone(), *id != child && id.name() != "missing")).collect();
    assert_eq!(found, expected);
    let lists = server.asked().iter().filter(|it| is_list(it)).count();
    assert_eq!((server.asked().len(), lists), (3, 1), "{:?}", server.lines());
}

#[tokio::test]
async fn a_list_of_many_pages_ends_when_it_saves_nothing() {
    let server = Server::start(|asked, before| {
        if asked.target.contains("/workspaces/") {
            return Reply::json(200, &json!({"properties": {}}));
        }
        let host = asked.headers["host"].to_str().unwrap();
        let next = format!("http://{host}{COLLECTION}?api-version=1&$skip={before}");
        Reply::json(200, &json!({"value": [], "nextLink": next}))
    })
    .await;
    let found = server.session().observe(&[workspace("a"), workspace("b"), workspace("c")]).await;
    assert!(found.iter().all(|(_, seen)| seen.is_ok()));
    assert_eq!(server.asked().len(), 2 + 3);
}
