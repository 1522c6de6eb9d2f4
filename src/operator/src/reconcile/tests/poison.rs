//! Row R20: objects that fail for ever don't hold up the others, and are tried ever more rarely. An hour passes in
//! moments: time goes on only when nobody has anything to do.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use plan::failure::{Class, Failure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::Memory;
use super::engine;
use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::kinds::Kind;
use crate::object::{Item, ObjectName, Primary};
use crate::store::Source;

/// How many objects fail for ever, in the namespace that most of the others are in too.
const POISONED: usize = 10;
/// How many are well.
const WELL: usize = 200;
/// How often those that are well change.
const PERIOD: Duration = Duration::from_secs(30);
/// How often they do so in the end: an hour.
const CHANGES: usize = 120;

/// When each object was looked at.
static LOOKS: Mutex<BTreeMap<String, Vec<Instant>>> = Mutex::new(BTreeMap::new());

/// The classes of failures that nobody but the operator itself gives a time for.
fn class(index: usize) -> Class {
    match index % 4 {
        0 => Class::Transient,
        1 => Class::Denied,
        2 => Class::Invalid,
        _ => Class::Panicked,
    }
}

fn decide<'a>(
    context: &'a Context,
    _kind: &'a Kind,
    name: &'a ObjectName,
    _fresh: &'a mut Fresh,
) -> BoxFuture<'a, anyhow::Result<Option<Decision>>> {
    Box::pin(async {
        let mut looks = LOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        looks.entry(name.name.to_string()).or_default().push(Instant::now());
        drop(looks);
        let object = context.store.object(Source::Primary(Primary::Endpoint), name)?.unwrap();
        let Some(index) = name.name.strip_prefix("poisoned-") else {
            return Ok(Some(Decision::unplanned(object.metadata, object.status)));
        };
        let class = class(index.parse()?);
        assert!(class != Class::Panicked, "always");
        let failure = Failure { class, message: "never".to_owned() };
        Ok(Some(Decision::failed(object.metadata, object.status, failure)))
    })
}

/// An API server in this very process that takes what it is given, and how often it was asked.
fn api_server() -> (Client, Arc<Mutex<usize>>) {
    let writes = Arc::<Mutex<usize>>::default();
    let counted = Arc::clone(&writes);
    let service = tower::service_fn(move |request: Request<Body>| {
        *counted.lock().unwrap() += 1;
        async move {
            let body = request.into_body().collect_bytes().await?;
            let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
            // What nobody sends, and the API server keeps.
            body["metadata"]["generation"] = json!(4);
            Ok::<_, kube::Error>(Response::new(Body::from(body.to_string().into_bytes())))
        }
    });
    (Client::new(service, "team"), writes)
}

fn well() -> Vec<ObjectName> {
    // A quarter has a namespace of its own.
    let namespace = |index: usize| if index.is_multiple_of(4) { "quiet" } else { "team" };
    (0..WELL).map(|index| ObjectName::new(namespace(index), &format!("well-{index}"))).collect()
}

fn items(names: &[ObjectName]) -> Vec<Item> {
    names.iter().map(|object| Item { primary: Primary::Endpoint, object: object.clone() }).collect()
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_ever_is_tried_ever_more_rarely_and_holds_up_nobody() {
    let poisoned: Vec<_> =
        (0..POISONED).map(|index| ObjectName::new("team", &format!("poisoned-{index}"))).collect();
    let (client, writes) = api_server();
    let names = poisoned.iter().cloned().chain(well());
    let engine = engine(client, |context, kind, name, fresh| decide(context, kind, name, fresh), names);
    let (stop, stopped) = watch::channel(false);
    let memory = Arc::new(Mutex::new(Memory::default()));
    let workers: Vec<_> =
        (0..2).map(|_| tokio::spawn(engine.clone().work(memory.clone(), stopped.clone()))).collect();
    engine.work.push(items(&poisoned), Instant::now());
    let mut changed = Vec::new();
    for _ in 0..CHANGES {
        changed.push(Instant::now());
        engine.work.push(items(&well()), Instant::now());
        tokio::time::sleep(PERIOD).await;
    }
    stop.send_replace(true);
    for worker in workers {
        worker.await.unwrap();
    }
    let looks = LOOKS.lock().unwrap().clone();
    for name in well() {
        // Not a moment later than it changed, and not once more.
        assert_eq!(looks[&*name.name], changed, "{name}");
    }
    for (index, name) in poisoned.iter().enumerate() {
        let looks = &looks[&*name.name];
        let waits: Vec<Duration> = looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let first = Duration::from_millis(if matches!(class(index), Class::Transient | Class::Panicked) {
            200
        } else {
            5000
        });
        for (attempt, wait) in waits.iter().enumerate() {
            let least = first.saturating_mul(1 << attempt.min(20)).min(Duration::from_mins(5));
            // The timer rounds up to a millisecond.
            let most = least.mul_f64(1.5) + Duration::from_millis(2);
            assert!(
                *wait >= least && *wait <= most,
                "{name}, attempt {attempt}: {wait:?} instead of {least:?}"
            );
        }
        assert!((12..=26).contains(&looks.len()), "{name} was looked at {} times in an hour", looks.len());
    }
    // A status and an event each, and not a word more for the same failure.
    assert_eq!(*writes.lock().unwrap(), 2 * POISONED);
}
