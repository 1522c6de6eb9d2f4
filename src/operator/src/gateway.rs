//! What the inference gateway measured: its replicas are asked, and what they counted since a step began is summed up.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::Endpoint;
use api::endpoint::RolloutStatus;
use futures::future::join_all;
use jiff::Timestamp;
use plan::endpoint::load::{self, Load, is_measured};
use plan::endpoint::rollout::evidence::{Evidence, MirrorSample, Sample};
use serde::Deserialize;

use crate::arguments::Options;
use crate::object::ObjectName;

/// The longest wait for a replica, or for Prometheus.
const LIMIT: Duration = Duration::from_secs(2);

/// The inference gateway, as far as the operator asks it.
pub(crate) struct Gateway {
    admin: Vec<String>,
    prometheus: Option<String>,
    client: reqwest::Client,
    windows: Mutex<BTreeMap<ObjectName, Window>>,
    /// What each replica had counted of Endpoints that scale by it, when it was last looked at.
    looks: Mutex<BTreeMap<ObjectName, Look>>,
}

/// What was counted when the load was last looked at.
struct Look {
    at: Timestamp,
    replicas: BTreeMap<String, Stats>,
    /// What came out, for looks that follow too soon to tell more.
    load: Load,
}

/// The shortest time over which a load is measured.
const SHORTEST: i64 = 2;

/// The requests that wait for a pod, by `NAMESPACE/NAME` of the Endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    waiting: BTreeMap<String, u64>,
}

/// The span of time that a step's evidence covers. A restart of the operator begins a new one.
struct Window {
    /// Which step of which rollout.
    of: String,
    since: Timestamp,
    /// What each replica had counted when the span began, and what it has counted by now.
    replicas: BTreeMap<String, (Stats, Stats)>,
}

/// What a replica tells of an Endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    instance: String,
    uptime_milliseconds: u64,
    revisions: BTreeMap<String, RevisionStats>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RevisionStats {
    answers: BTreeMap<String, u64>,
    latency: Latency,
    in_flight: u64,
    queued: u64,
    mirror: Mirror,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Latency {
    sum_seconds: f64,
    buckets: Vec<(f64, u64)>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mirror {
    agreed: u64,
    disagreed: u64,
    failed: u64,
    incomparable: u64,
    dropped: u64,
    same_predictions: u64,
    different_predictions: u64,
}

impl Gateway {
    /// A client of the gateway's replicas; it asks nothing yet.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(LIMIT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            admin: options.gateway_admin.clone(),
            prometheus: options.prometheus_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
            client,
            windows: Mutex::default(),
            looks: Mutex::default(),
        })
    }

    /// What was measured in the step that an Endpoint's rollout is in, when it is judged.
    pub(crate) async fn evidence(&self, endpoint: &Endpoint) -> Option<Evidence> {
        let name = ObjectName::of(&endpoint.metadata);
        let status = endpoint.status.as_ref().and_then(|status| status.rollout.as_ref());
        let step = status.and_then(|status| step(endpoint, status));
        let (Some(step), Some(analysis)) = (step, &endpoint.spec.rollout.analysis) else {
            self.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            return None;
        };
        // No request comes through the inference gateway in Azure, or with a gateway of the user's own.
        let routing = endpoint.spec.routing.as_ref();
        let is_elsewhere = endpoint.spec.target.type_.is_azure()
            || routing.is_some_and(|routing| routing.gateway_api.is_some());
        let (stats, failures) = if is_elsewhere { (Vec::new(), Vec::new()) } else { self.ask(&name).await };
        let mut evidence = self.take_in(name, step, &stats);
        if stats.is_empty() && !is_elsewhere {
            let cause = match failures.as_slice() {
                [] => "the operator was not told where its replicas are (--gateway-admin)".to_owned(),
                failures => failures.join("; "),
            };
            evidence.unavailable = Some(format!("the gateway can't be asked: {cause}"));
        }
        let queries = analysis
            .queries
            .iter()
            .map(|query| async { (query.name.clone(), self.query(endpoint, &query.query).await) });
        evidence.queries = join_all(queries).await.into_iter().collect();
        Some(evidence)
    }

    /// What every replica tells of an Endpoint, and what kept others from telling.
    async fn ask(&self, name: &ObjectName) -> (Vec<Stats>, Vec<String>) {
        let mut failures = Vec::new();
        let mut addresses: BTreeSet<SocketAddr> = BTreeSet::new();
        for host in &self.admin {
            match tokio::time::timeout(LIMIT, tokio::net::lookup_host(host)).await {
                Ok(Ok(found)) => addresses.extend(found),
                Ok(Err(error)) => failures.push(format!("failed to look {host} up: {error}")),
                Err(_) => failures.push(format!("failed to look {host} up in time")),
            }
        }
        let ask = |address: SocketAddr| async move {
            let url = with(&format!("http://{address}/stats"), "endpoint", &name.to_string())?;
            let answer = self.client.get(url).send().await.and_then(reqwest::Response::error_for_status);
            let told = async { answer?.json::<Stats>().await };
            told.await.map_err(|error| error.without_url().to_string())
        };
        let mut stats = Vec::new();
        for answer in join_all(addresses.into_iter().map(ask)).await {
            match answer {
                Ok(answer) => stats.push(answer),
                Err(error) => failures.push(format!("failed to ask a replica: {error}")),
            }
        }
        (stats, failures)
    }

    /// What the callers of an Endpoint do, when it scales by that.
    pub(crate) async fn load(&self, endpoint: &Endpoint) -> Option<Load> {
        let name = ObjectName::of(&endpoint.metadata);
        if !is_measured(&endpoint.spec) {
            self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            return None;
        }
        let (stats, _) = self.ask(&name).await;
        if stats.is_empty() {
            return None;
        }
        let now = Timestamp::now();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = looks.get(&name);
        let seconds = before.map(|it| now.duration_since(it.at).as_secs_f64());
        let queued = stats.iter().flat_map(|it| it.revisions.values()).map(|it| it.queued).sum();
        if let (Some(before), Some(seconds)) = (before, seconds)
            && seconds < SHORTEST as f64
        {
            return Some(Load { queued, ..before.load });
        }
        let load = before.zip(seconds).map(|(before, seconds)| measured(before, seconds, &stats, queued));
        let replicas = stats.into_iter().map(|it| (it.instance.clone(), it)).collect();
        // A first look tells only who waits: what was counted before says nothing of the present.
        let told = load.unwrap_or(Load { queued, ..Load::default() });
        looks.insert(name, Look { at: now, replicas, load: told });
        load.or((queued > 0).then_some(told))
    }

    /// The Endpoints with requests that wait for a pod, asked of every replica.
    pub(crate) async fn waiting(&self) -> Vec<ObjectName> {
        let mut names = BTreeSet::new();
        for host in &self.admin {
            let Ok(Ok(addresses)) = tokio::time::timeout(LIMIT, tokio::net::lookup_host(host)).await else {
                continue;
            };
            let ask = |address: SocketAddr| async move {
                let answer = self.client.get(format!("http://{address}/stats/waiting")).send().await.ok()?;
                answer.json::<Waiting>().await.ok()
            };
            for waiting in join_all(addresses.map(ask)).await.into_iter().flatten() {
                names.extend(waiting.waiting.into_keys());
            }
        }
        let split = |name: &String| name.split_once('/').map(|(one, other)| ObjectName::new(one, other));
        names.iter().filter_map(split).collect()
    }

    /// Takes in what the replicas tell; returns what they counted since the step began.
    fn take_in(&self, name: ObjectName, step: String, stats: &[Stats]) -> Evidence {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        let window = windows.entry(name).or_insert_with(|| Window::new(String::new(), now));
        if window.of != step {
            *window = Window::new(step, now);
        }
        let elapsed = u64::try_from(now.duration_since(window.since).as_millis()).unwrap_or(0);
        let is_first = window.replicas.is_empty();
        for stats in stats {
            let began = if !is_first && stats.uptime_milliseconds < elapsed {
                // It has counted nothing but this step.
                Stats::default()
            } else {
                stats.clone()
            };
            window.replicas.entry(stats.instance.clone()).or_insert((began, Stats::default())).1 =
                stats.clone();
        }
        window.evidence()
    }

    /// What Prometheus tells of an Endpoint that scales by it.
    pub(crate) async fn metric(&self, endpoint: &Endpoint) -> Option<Result<f64, String>> {
        Some(self.query(endpoint, load::query(&endpoint.spec)?).await)
    }

    /// Asks Prometheus one number.
    async fn query(&self, endpoint: &Endpoint, query: &str) -> Result<f64, String> {
        let prometheus = self.prometheus.as_ref().ok_or("the chart names no Prometheus (prometheusUrl)")?;
        let rollout = endpoint.status.as_ref().and_then(|status| status.rollout.as_ref());
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let filled = query
            .replace("$revision", &text(rollout.and_then(|it| it.candidate.as_ref())))
            .replace("$stable", &text(rollout.map(|it| &it.stable)))
            .replace("$namespace", &text(endpoint.metadata.namespace.as_ref()))
            .replace("$endpoint", &text(endpoint.metadata.name.as_ref()));
        let ask = async {
            let url = with(&format!("{prometheus}/api/v1/query"), "query", &filled)?;
            let answer = self.client.get(url).send().await.and_then(reqwest::Response::error_for_status);
            let told = async { answer?.json::<serde_json::Value>().await };
            told.await.map_err(|error| error.without_url().to_string())
        };
        let answer: Result<serde_json::Value, String> = ask.await;
        number(&answer.map_err(|error| format!("failed to ask Prometheus: {error}"))?)
    }
}

/// What was done between two looks.
fn measured(before: &Look, seconds: f64, stats: &[Stats], queued: u64) -> Load {
    let mut sum = Sample::default();
    for now in stats {
        let began = before.replicas.get(&now.instance);
        for (name, revision) in &now.revisions {
            let began = began.and_then(|it| it.revisions.get(name)).cloned().unwrap_or_default();
            add(&mut sum, &began, revision);
        }
    }
    let requests = sum.answers();
    let by_time = sum.latency_sum / seconds.max(0.001);
    // Requests that take longer than a look have not ended yet.
    let concurrency = if requests < sum.in_flight { by_time.max(sum.in_flight as f64) } else { by_time };
    let p95_latency = plan::endpoint::rollout::judge::p95(&sum.latency);
    Load { concurrency, queued, requests, p95_latency }
}

/// An address with a query of one value.
fn with(address: &str, name: &str, value: &str) -> Result<reqwest::Url, String> {
    reqwest::Url::parse_with_params(address, [(name, value)]).map_err(|error| error.to_string())
}

/// The one number of an answer of Prometheus: a scalar, or a vector of one.
fn number(answer: &serde_json::Value) -> Result<f64, String> {
    let data = &answer["data"];
    let value = match data["resultType"].as_str() {
        Some("scalar") => &data["result"][1],
        Some("vector") => match data["result"].as_array().map(Vec::as_slice) {
            Some([one]) => &one["value"][1],
            Some([]) => return Err("the query has no result yet".to_owned()),
            _ => return Err("the query has several results: aggregate them, for example by sum()".to_owned()),
        },
        _ => return Err("the query's result is no number".to_owned()),
    };
    let number = value.as_str().and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| number.is_finite()).ok_or_else(|| "the query's result is no number".to_owned())
}

/// Names the step that is measured: one that is in force and waits for no person.
pub(crate) fn step(endpoint: &Endpoint, rollout: &RolloutStatus) -> Option<String> {
    let candidate = rollout.candidate.as_ref()?;
    let since = rollout.step_since.as_ref().filter(|_| rollout.pause.is_none())?;
    let uid = endpoint.metadata.uid.as_deref().unwrap_or_default();
    Some(format!("{uid} {candidate} {} {}", rollout.step.unwrap_or(0), since.0))
}

impl Window {
    fn new(of: String, since: Timestamp) -> Self {
        Self { of, since, replicas: BTreeMap::new() }
    }

    fn evidence(&self) -> Evidence {
        let mut revisions: BTreeMap<String, Sample> = BTreeMap::new();
        for (began, now) in self.replicas.values() {
            for (name, now) in &now.revisions {
                let began = began.revisions.get(name).cloned().unwrap_or_default();
                add(revisions.entry(name.clone()).or_default(), &began, now);
            }
        }
        Evidence { since: self.since, revisions, ..Evidence::default() }
    }
}

/// Adds what a replica counted of a revision since the step began.
fn add(sample: &mut Sample, began: &RevisionStats, now: &RevisionStats) {
    // A counter below its beginning began again at nothing.
    let since = |began: u64, now: u64| now.checked_sub(began).unwrap_or(now);
    for (class, count) in &now.answers {
        let count = since(began.answers.get(class).copied().unwrap_or(0), *count);
        match class.as_str() {
            "4xx" => sample.refused += count,
            "5xx" => sample.failed += count,
            _ => sample.good += count,
        }
    }
    let before: BTreeMap<u64, u64> =
        began.latency.buckets.iter().map(|(bound, count)| (bound.to_bits(), *count)).collect();
    for (bound, count) in &now.latency.buckets {
        let count = since(before.get(&bound.to_bits()).copied().unwrap_or(0), *count);
        match sample.latency.binary_search_by(|(known, _)| known.total_cmp(bound)) {
            Ok(place) => {
                if let Some((_, sum)) = sample.latency.get_mut(place) {
                    *sum += count;
                }
            }
            Err(place) => sample.latency.insert(place, (*bound, count)),
        }
    }
    sample.latency_sum += (now.latency.sum_seconds - began.latency.sum_seconds).max(0.0);
    sample.in_flight += now.in_flight;
    sample.queued += now.queued;
    let (mirror, began, now) = (&mut sample.mirror, began.mirror, now.mirror);
    *mirror = MirrorSample {
        agreed: mirror.agreed + since(began.agreed, now.agreed),
        disagreed: mirror.disagreed + since(began.disagreed, now.disagreed),
        failed: mirror.failed + since(began.failed, now.failed),
        incomparable: mirror.incomparable + since(began.incomparable, now.incomparable),
        dropped: mirror.dropped + since(began.dropped, now.dropped),
        same_predictions: mirror.same_predictions + since(began.same_predictions, now.same_predictions),
        different_predictions: mirror.different_predictions
            + since(began.different_predictions, now.different_predictions),
    };
}
