//! Row Z10: whatever an answer says, a token goes to the configured Azure only.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Fault};
use e2e::azure::{Fleet, WORKSPACE, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context};
use tokio::net::TcpListener;

/// Addresses that an answer may name to lure a token away. `SINK` is a listening server, `HOME` the configured one.
const PAYLOADS: [&str; 12] = [
    "https://SINK/operations/o",
    "http://SINK/operations/o",
    "//SINK/operations/o",
    "///SINK/operations/o",
    r"\\SINK\operations\o",
    r"/\SINK/operations/o",
    "https:SINK/operations/o",
    "https://HOME@SINK/operations/o",
    "https://user:password@HOME/operations/o",
    "https://SINK#@HOME/operations/o",
    r"https://SINK\@HOME/operations/o",
    "http://HOME/operations/o",
];

/// Where an answer may name an address.
const PLACES: [(&str, &str, &str); 4] = [
    ("put", "PUT", "Azure-AsyncOperation"),
    ("located", "PUT", "Location"),
    ("moved", "GET", "Location"),
    ("deleted", "DELETE", "Location"),
];

/// A server that counts who comes.
async fn sink() -> anyhow::Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let visits = Arc::new(AtomicUsize::new(0));
    let counter = visits.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok((address, visits))
}

/// The fault by which an answer names an address.
fn lure(path: &str, method: &str, header: &str, address: &str) -> Fault {
    let set = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let mut headers = vec![set("Azure-AsyncOperation", None), set("Location", None)];
    headers.retain(|(name, _)| name != header);
    headers.push(set(header, Some(address)));
    // A read is redirected, a write goes on elsewhere.
    let (status, count) = if method == "GET" { (307, None) } else { (202, Some(1)) };
    Fault::new(method, path, Action::Edit { status: Some(status), headers: headers.into_iter().collect() })
        .count(count)
}

pub(crate) async fn no_answer_lures_a_token_away(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let (sink, visits) = sink().await?;
    let home = azure.emulator.address().to_string();
    let mut names = Vec::new();
    for (place, method, header) in PLACES {
        for (number, payload) in PAYLOADS.iter().enumerate() {
            let name = format!("{place}-{number}");
            let address = payload.replace("SINK", &sink).replace("HOME", &home);
            azure.fault(lure(&format!("/workspaces/{name}$"), method, header, &address))?;
            names.push(name);
        }
    }
    let mut operator = azure.operator(context).await?;
    let limit = Duration::from_mins(1);
    let (moved, others): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|it| it.starts_with("moved"));
    let others = Fleet::make(context, WORKSPACE, &others, |_| workspace_spec()).await?;
    let moved = Fleet::make(context, WORKSPACE, &moved, |_| workspace_spec()).await?;
    // A redirected read can't go on, and says why.
    for object in moved.all_say("Ready=False/AzureUnreachable", limit).await? {
        let told = message(&object, "Ready");
        ensure!(told.contains("redirected, which is not followed"), "{told}");
    }
    // An operation that is elsewhere is followed by the resource at home.
    others.all_say("Ready=True/Ready", limit).await?;
    others.delete().await?;
    others.gone(limit).await?;
    let said = operator.log().matches("at another server").count();
    ensure!(said > 0, "the operator's log does not tell of it");
    let visits = visits.load(Ordering::SeqCst);
    ensure!(visits == 0, "{visits} connections to another server");
    context.tell(format!(
        "{} payloads in {} places: 0 connections to the sink",
        PAYLOADS.len(),
        PLACES.len()
    ));
    operator.check_alive()
}
