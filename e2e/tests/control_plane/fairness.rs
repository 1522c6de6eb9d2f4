//! What one tenant does to others: a backlog of a hundred (row S14), and objects that fail for ever (row R20).
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::audit::Entry;
use e2e::azure::sized;
use e2e::context::{CONVERGES, Place, conditions, spec};
use e2e::{Context, Fault, Operator, until};

/// How many objects may come up before the quiet namespace's: one for each of the operator's workers, and as many again.
const BEFORE: usize = 16;

/// The objects in the order in which the operator made their first child, as `NAMESPACE/NAME`.
fn turns(requests: &[Entry]) -> Vec<String> {
    let mut made: Vec<&Entry> = requests
        .iter()
        .filter(|it| it.verb == "patch" && it.resource == "serviceaccounts" && it.code == 201)
        .collect();
    made.sort_by(|left, right| left.time.cmp(&right.time));
    made.into_iter().map(|it| format!("{}/{}", it.namespace, it.name)).collect()
}

async fn all_ready(place: &Place, count: usize) -> anyhow::Result<()> {
    until(&format!("readiness of all in {}", place.namespace), 5 * CONVERGES, async || {
        let list = place.get(&place.endpoint("")).await?.unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let ready = items.iter().filter(|it| conditions(it).contains(&"Ready=True/Ready".to_owned())).count();
        Ok(if ready == count { Ok(()) } else { Err(format!("{ready} of {count} are ready")) })
    })
    .await
}

/// The quiet namespace's object was made last, and is among the first that are looked at.
pub(crate) async fn a_backlog_of_one_namespace_does_not_hold_up_another(
    context: &mut Context,
) -> anyhow::Result<()> {
    let (backlog, quiet) = (sized(150, 1000), context.place("quiet").await?);
    for index in 0..backlog {
        context.create(&format!("churn-{index}"), &spec(1)).await?;
    }
    quiet.create("churn", &spec(1)).await?;
    let mut options = context.options()?;
    options.arguments.push(format!("--watch-namespace={}", quiet.namespace));
    let mut operator = Operator::start(options)?;
    quiet.says("churn", "Ready=True/Ready").await?;
    // While the others still wait, or at the latest behind the last of them.
    quiet.create("second", &spec(1)).await?;
    quiet.says("second", "Ready=True/Ready").await?;
    all_ready(context, backlog).await?;
    operator.check_alive()?;
    let turns = turns(&context.requests()?);
    let place = |name: &str| turns.iter().position(|it| *it == format!("{}/{name}", quiet.namespace));
    let first = place("churn").context("the quiet namespace's object has no child")?;
    ensure!(turns.len() == backlog + 2, "{} objects came up", turns.len());
    ensure!(first < BEFORE, "{first} objects of the backlog went before: {:?}", &turns[..first]);
    context.tell(format!("{first} of {backlog} objects of the noisy namespace went before the quiet one's"));
    quiet.truth.verify()
}

/// Ten Endpoints whose Deployments the API server never takes, among many that are well: those are looked at as often
/// as without them, and the ten are tried ever more rarely.
pub(crate) async fn what_fails_for_ever_holds_up_nobody_and_is_tried_ever_more_rarely(
    context: &mut Context,
) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let operator = context.operator_behind(&proxy).await?;
    proxy.set_rule(|seen| {
        let fails = seen.resource == "deployments" && seen.is_write() && seen.name.starts_with("poisoned-");
        if fails { Fault::Answer(500, "no", 0) } else { Fault::Pass }
    });
    let (well, started) = (sized(40, 200), Instant::now());
    for index in 0..10 {
        context.create(&format!("poisoned-{index}"), &spec(1)).await?;
    }
    for index in 0..10 {
        context.says(&format!("poisoned-{index}"), "Ready=False/ApplyFailed").await?;
    }
    for index in 0..well {
        context.create(&format!("well-{index}"), &spec(1)).await?;
    }
    for index in 0..well {
        context.says(&format!("well-{index}"), "Ready=True/Ready").await?;
    }
    let elapsed = started.elapsed();
    let mut writes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for seen in proxy.seen().into_iter().filter(|seen| seen.is_write() && seen.resource != "events") {
        *writes.entry((seen.name, seen.resource)).or_default() += 1;
    }
    for ((name, resource), count) in &writes {
        let most = match resource.as_str() {
            // From 0.2 s on, each wait is twice as long as the one before; its own first status brings it back once.
            "deployments" if name.starts_with("poisoned-") => attempts(elapsed) + 2,
            "endpoints/status" if name.starts_with("poisoned-") => 3,
            "endpoints/status" => 5,
            _ => 1,
        };
        ensure!(*count <= most, "{count} writes of {resource} {name} in {elapsed:?}: {most} are enough");
    }
    let poisoned =
        writes.iter().filter(|((name, kind), _)| name.starts_with("poisoned-") && kind == "deployments");
    let attempts: usize = poisoned.map(|(_, count)| count).sum();
    ensure!(attempts >= 20, "what failed was tried {attempts} times in all: is it tried again?");
    context.tell(format!("{attempts} attempts on what fails for ever in {:.0} s", elapsed.as_secs_f64()));
    drop(operator);
    Ok(())
}

/// How often something is tried within a time, when each wait is twice as long as the one before.
fn attempts(elapsed: Duration) -> usize {
    let mut waited = Duration::ZERO;
    let waits = (0..40).map(|attempt| Duration::from_millis(200).saturating_mul(1 << attempt.min(10)));
    1 + waits
        .take_while(|wait| {
            waited += *wait;
            waited <= elapsed
        })
        .count()
}
