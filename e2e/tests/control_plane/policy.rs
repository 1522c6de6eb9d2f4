//! The one error policy, seen from outside: a missing right, a server that asks to wait, a refused object.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::{CONVERGES, message, spec};
use e2e::{Context, Fault, Operator, holds_for, in_time, until};

use crate::rights;

/// The reason is `Denied`, the message names the right, and granting it heals without a hand.
pub(crate) async fn a_missing_right_is_said_and_heals(context: &mut Context) -> anyhow::Result<()> {
    let user = context.user();
    let denied = |resource: &str| resource == "networkpolicies";
    rights::grant(context, &user, &context.namespace, &|resource, verb| {
        !(denied(resource) && verb == "create")
    })
    .await?;
    let kubeconfig = context.plane.user(&user, &[])?;
    let _operator = Operator::start(context.options_for(&context.namespace, &kubeconfig)?)?;
    context.create("churn", &spec(1)).await?;
    let said = context.says("churn", "Stalled=True/Denied").await?;
    let words = message(&said, "Ready");
    ensure!(words.contains("cannot") && words.contains("networkpolicies"), "{words}");
    rights::grant(context, &user, &context.namespace, &|_, _| true).await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// A 429 with `Retry-After` is not followed by the same request before that time.
pub(crate) async fn the_server_s_word_to_wait_is_obeyed(context: &mut Context) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let _operator = context.operator_behind(&proxy).await?;
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen_at = Arc::clone(&times);
    proxy.set_rule(move |seen| {
        if seen.resource != "services" || !seen.is_write() {
            return Fault::Pass;
        }
        let mut times = seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(Instant::now());
        if times.len() <= 2 { Fault::Answer(429, "too many requests", 3) } else { Fault::Pass }
    });
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Reconciling=True/ApplyFailed").await?;
    context.says("churn", "Ready=True/Ready").await?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ensure!(waits.len() >= 2, "{} requests", times.len());
    for wait in &waits[..2] {
        ensure!(*wait >= Duration::from_secs(3), "waits: {waits:?}");
        in_time("a retry", *wait, Duration::from_secs(8))?;
    }
    Ok(())
}

/// A 422 needs a person, and is tried again in case that the server's mind changed.
pub(crate) async fn a_refused_object_is_said(context: &mut Context) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let _operator = context.operator_behind(&proxy).await?;
    proxy.set_rule(|seen| {
        let refused = seen.resource == "deployments" && seen.is_write();
        if refused { Fault::Answer(422, "spec.template is not liked", 0) } else { Fault::Pass }
    });
    context.create("churn", &spec(1)).await?;
    let said = context.says("churn", "Stalled=True/Rejected").await?;
    ensure!(message(&said, "Ready").contains("spec.template is not liked"), "{}", said["status"]);
    holds_for(Duration::from_secs(3), async || {
        let tries =
            proxy.seen().iter().filter(|seen| seen.resource == "deployments" && seen.is_write()).count();
        Ok(if tries <= 3 { Ok(()) } else { Err(format!("{tries} tries of what is refused")) })
    })
    .await?;
    proxy.clear_rule();
    context.says("churn", "Ready=True/Ready").await?;
    until("the event", CONVERGES, async || {
        let events = context.events().await?;
        let told = events.iter().any(|line| line.contains("Warning") && line.contains("Rejected"));
        Ok(if told { Ok(()) } else { Err(events.join("\n")) })
    })
    .await
}
