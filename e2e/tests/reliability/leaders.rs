//! Two replicas, one leader: handed over, lost, cut off.
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::{JSON, manifest, spec};
use e2e::{Context, Operator, PATIENCE, Proxy, in_time, until};
use serde_json::{Value, json};

/// Two replicas, each behind a proxy with a user of its own; the first leads.
struct Pair {
    proxies: Vec<Proxy>,
    operators: Vec<Operator>,
    users: Vec<String>,
}

async fn pair(context: &Context) -> anyhow::Result<Pair> {
    let runtime = json!({"supportedFormats": ["ONNX"], "image": "a"});
    let body = manifest("ServingRuntime", "onnx", &runtime);
    context.must("POST", &context.runtime(""), JSON, &body).await?;
    let mut pair = Pair { proxies: Vec::new(), operators: Vec::new(), users: Vec::new() };
    for name in ["a", "b"] {
        let name = format!("{}-{name}", context.namespace);
        let proxy = context.proxy_named(&name).await?;
        let mut options = context.options_for(&context.namespace, proxy.kubeconfig())?;
        options.arguments.retain(|it| !it.contains("election") && !it.starts_with("--operator-namespace"));
        options.arguments.push(format!("--operator-namespace={}", context.namespace));
        options.arguments.push(format!("--identity={name}"));
        let operator = Operator::start(options)?;
        operator.ready().await?;
        leads(context, &format!("{}-a", context.namespace)).await?;
        pair.proxies.push(proxy);
        pair.operators.push(operator);
        pair.users.push(format!("operator-{name}"));
    }
    context.create("before", &spec(1)).await?;
    context.says("before", "Ready=True/Ready").await?;
    Ok(pair)
}

async fn holder(context: &Context) -> anyhow::Result<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/mlops-operator", context.namespace);
    let lease = context.get(&path).await?.unwrap_or(Value::Null);
    Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

async fn leads(context: &Context, identity: &str) -> anyhow::Result<()> {
    until(&format!("the lead of {identity}"), PATIENCE, async || {
        let holder = holder(context).await?;
        Ok(if holder == identity { Ok(()) } else { Err(holder) })
    })
    .await
}

/// The second replica leads, and works.
async fn taken_over(context: &Context) -> anyhow::Result<Duration> {
    let started = Instant::now();
    leads(context, &format!("{}-b", context.namespace)).await?;
    let took = started.elapsed();
    context.create("after", &spec(1)).await?;
    context.says("after", "Ready=True/Ready").await?;
    Ok(took)
}

/// SIGTERM gives the lease back.
pub(crate) async fn a_leader_that_stops_hands_over_within_three_seconds(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut pair = pair(context).await?;
    let started = Instant::now();
    pair.operators[0].terminate().await?;
    taken_over(context).await?;
    in_time("the hand-over with the work behind it", started.elapsed(), Duration::from_secs(5))?;
    let writes = context.requests_of(&pair.users[1])?;
    let lead = writes.iter().find(|it| it.verb == "update" && it.code == 200);
    ensure!(lead.is_some(), "the second replica wrote no lease");
    let early: Vec<_> = writes
        .iter()
        .filter(|it| {
            it.is_write() && !it.is_lease() && it.time < lead.map_or(String::new(), |it| it.time.clone())
        })
        .collect();
    ensure!(early.is_empty(), "it wrote before it led: {early:?}");
    Ok(())
}

/// A kill -9 lets the lease run out.
pub(crate) async fn a_killed_leader_is_replaced_within_17_seconds(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut pair = pair(context).await?;
    pair.operators[0].kill()?;
    let took = taken_over(context).await?;
    in_time("the end of the lease", took, Duration::from_millis(18_500))?;
    Ok(())
}

/// A leader that the API server does not hear is no leader: no write of its own once another may lead.
pub(crate) async fn a_partitioned_leader_stops_writing_and_another_takes_over(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut pair = pair(context).await?;
    pair.proxies[0].partition(true);
    taken_over(context).await?;
    // It hears of work again, but must learn first that it does not lead.
    pair.proxies[0].partition(false);
    for index in 0..5 {
        context.create(&format!("later-{index}"), &spec(1)).await?;
    }
    for index in 0..5 {
        context.says(&format!("later-{index}"), "Ready=True/Ready").await?;
    }
    let second = context.requests_of(&pair.users[1])?;
    let since = second.iter().find(|it| it.verb == "update" && it.code == 200).map(|it| it.time.clone());
    let since = since.unwrap_or_default();
    ensure!(!since.is_empty(), "the second replica never led");
    let first = context.requests_of(&pair.users[0])?;
    let late: Vec<_> = first.iter().filter(|it| it.is_write() && !it.is_lease() && it.time > since).collect();
    ensure!(late.is_empty(), "{} writes of the former leader, such as {:?}", late.len(), late[0]);
    ensure!(first.iter().any(|it| it.is_write() && !it.is_lease()), "the first replica never worked");
    pair.operators[0].check_alive()
}
