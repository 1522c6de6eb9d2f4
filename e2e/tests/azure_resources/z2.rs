//! Row Z2: half of all calls are throttled or fail for a while.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Entry, Fault};
use e2e::azure::{Fleet, WORKSPACE, says, seconds, sized, workspace_spec};
use e2e::context::Place;
use e2e::{Azure, Context, Operator, holds_for};
use futures::future::try_join_all;

use super::z1::no_write_is_repeated;

/// Each of these happens to this share of the calls, in percent; together they hit half of them.
const SHARE: u8 = 16;

fn faults() -> Vec<Action> {
    let answer = |status, headers| Action::Answer { status, body: None, headers };
    let wait = |seconds: &str| BTreeMap::from([("Retry-After".to_owned(), seconds.to_owned())]);
    vec![
        answer(429, wait("2")),
        answer(429, wait("4")),
        answer(500, BTreeMap::new()),
        answer(503, BTreeMap::new()),
    ]
}

/// What was seen of one run.
struct Run {
    calls: usize,
    /// The share of the calls that failed while some did.
    share: f64,
    /// How many were ready when the faults ended.
    during: usize,
    /// How long after that all were, in seconds.
    after: f64,
}

pub(crate) async fn half_of_all_calls_fail_and_everything_gets_ready(
    context: &mut Context,
) -> anyhow::Result<()> {
    let context = &*context;
    let seeds: &[u64] = sized(&[1], &[1, 2, 3]);
    let runs = [None].into_iter().chain(seeds.iter().copied().map(Some)).map(|seed| run(context, seed));
    let mut runs = try_join_all(runs).await?.into_iter();
    let Some(reference) = runs.next() else { return Ok(()) };
    for (seed, run) in seeds.iter().zip(runs) {
        let ratio = run.calls as f64 / reference.calls as f64;
        context.tell(format!(
            "seed {seed}: {:.0} % of the calls failed; {} of {} ready meanwhile, all {:.0} s after; {} calls, {ratio:.2} of the {} without faults",
            run.share * 100.0, run.during, sized(30, 200), run.after, run.calls, reference.calls
        ));
        ensure!(run.share > 0.4, "{:.2} of the calls failed", run.share);
        ensure!(ratio <= 2.0, "{ratio:.2} times the calls of a run without faults");
    }
    Ok(())
}

/// One run for some time, with the faults that a seed gives or none.
async fn run(context: &Context, seed: Option<u64>) -> anyhow::Result<Run> {
    let place: Place =
        context.place(&seed.map_or("reference".to_owned(), |seed| format!("seed-{seed}"))).await?;
    let azure = Azure::start_limited(context).await?.sync(sized(5, 60));
    for (number, action) in faults().into_iter().enumerate().take(seed.map_or(0, |_| usize::MAX)) {
        let seed = seed.unwrap_or_default() * 10 + number as u64;
        azure.fault(Fault::every("^/subscriptions/", action).percent(SHARE, seed))?;
    }
    let mut operator = Operator::start(azure.options_in(context, &place)?)?;
    operator.ready().await?;
    let started = std::time::Instant::now();
    let names: Vec<String> = (0..sized(30, 200)).map(|number| format!("ws-{number}")).collect();
    let fleet = Fleet::make(&place, WORKSPACE, &names, |_| workspace_spec()).await?;
    let storm = seconds(20, 600);
    holds_for(storm.saturating_sub(started.elapsed()), async || {
        Ok(operator.check_alive().map_err(|error| error.to_string()))
    })
    .await?;
    let hit = azure.calls(0).iter().filter(|call| call.fault).count();
    let share = hit as f64 / azure.calls(0).len() as f64;
    let during = ready(&fleet).await?;
    azure.emulator.faults().clear();
    fleet.all_say("AzureReachable=True/AzureReachable", Duration::from_mins(8)).await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(8)).await?;
    let calls = azure.calls(0);
    let after = started.elapsed().saturating_sub(storm).as_secs_f64();
    no_call_is_too_early(&calls)?;
    no_write_is_repeated(&calls)?;
    Ok(Run { calls: calls.len(), share, during, after })
}

/// How many are ready now.
async fn ready(fleet: &Fleet<'_>) -> anyhow::Result<usize> {
    Ok(fleet.objects().await?.iter().filter(|object| says(object, "Ready=True/Ready")).count())
}

/// No call of a bucket begins before the time that an answer of 429 gave.
fn no_call_is_too_early(calls: &[Entry]) -> anyhow::Result<()> {
    let is_read = |call: &Entry| call.method == "GET";
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.status == Some(429)) {
        let wait: i64 = call.headers.get("retry-after").and_then(|text| text.parse().ok()).unwrap_or(0);
        let answered = call.time + i64::try_from(call.milliseconds)?;
        let until = answered + wait * 1000;
        // What was under way when the answer came could not know of it, and a busy machine takes a while to tell.
        let is_early = |next: &&Entry| next.time > answered + 1000 && next.time < until - 50;
        let early = calls[index + 1..].iter().find(|next| is_read(next) == is_read(call) && is_early(next));
        ensure!(early.is_none(), "{early:?} came before the Retry-After of {call:?}");
    }
    Ok(())
}
