//! Azure Monitor's metrics of online endpoints, from what the data plane really served.
//!
//! Names, dimensions and the one aggregation are those of Microsoft's list of supported metrics; the form of an answer,
//! with dimensions in lower case, is that of answers that were recorded.
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::filter::Filter;
use super::endpoint::ONLINE;
use crate::address::Address;
use crate::answer::{Answer, Failure, Outcome};
use crate::call::Call;
use crate::clock::{Milliseconds, rfc3339, wall};
use crate::core::Core;
use crate::data_plane::Served;
use crate::state::State;

mod filter;

/// The most points of time that one call can ask for.
const POINTS: i64 = 20_000;
/// How many series are answered when a call says nothing.
const TOP: usize = 10;

/// A metric of an online endpoint.
struct Metric {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    /// The percentile of latencies, from 0 to 100; none counts requests.
    percentile: Option<f64>,
    dimensions: &'static [&'static str],
}

const LATENCY: Metric = Metric {
    name: "RequestLatency",
    title: "Request Latency",
    unit: "MilliSeconds",
    percentile: Some(50.0),
    dimensions: &["deployment"],
};

const METRICS: [Metric; 5] = [
    Metric {
        name: "RequestsPerMinute",
        title: "Requests Per Minute",
        unit: "Count",
        percentile: None,
        dimensions: &["deployment", "statusCode", "statusCodeClass", "modelStatusCode"],
    },
    Metric { name: "RequestLatency_P50", title: "Request Latency P50", ..LATENCY },
    Metric { name: "RequestLatency_P90", title: "Request Latency P90", percentile: Some(90.0), ..LATENCY },
    Metric { name: "RequestLatency_P95", title: "Request Latency P95", percentile: Some(95.0), ..LATENCY },
    Metric { name: "RequestLatency_P99", title: "Request Latency P99", percentile: Some(99.0), ..LATENCY },
];

/// Whether a path asks for the metrics of a resource.
pub(crate) fn is_asked(address: &Address) -> bool {
    address.kind() == "microsoft.insights/metrics" && address.names.is_empty()
}

/// What is asked about.
struct Question<'a> {
    metrics: Vec<&'static Metric>,
    filter: Filter,
    from: Milliseconds,
    to: Milliseconds,
    interval: &'a str,
    top: usize,
}

/// Answers a call for metrics.
pub(crate) fn serve(core: &Core, state: &State, call: &Call, address: &Address) -> Outcome<Answer> {
    if call.method != "GET" {
        return Err(bad("Metrics are only read."));
    }
    crate::versions::check(&address.namespace, call, address)?;
    let target = address.parent().ok_or_else(|| bad("Metrics are asked for of a resource."))?;
    let record = state.get(&target.key()).ok_or_else(|| crate::engine::not_found(&target))?;
    if !record.kind.eq_ignore_ascii_case(ONLINE) {
        return Err(bad(format!("No metrics are emulated of the type {}.", record.kind)));
    }
    let question = question(core, call)?;
    let known = wall() - core.settings.metric_lag;
    let plane = core.data_plane();
    let served = plane.map_or_else(Vec::new, |plane| plane.served(&record.id, (question.from, question.to)));
    let value: Vec<Value> = question
        .metrics
        .iter()
        .map(|metric| {
            json!({
                "id": format!("{}/providers/Microsoft.Insights/metrics/{}", record.id, metric.name),
                "type": "Microsoft.Insights/metrics",
                "name": {"value": metric.name, "localizedValue": metric.title},
                "displayDescription": metric.title,
                "unit": metric.unit,
                "timeseries": all_series(metric, &question, &served, (core.settings.metric_grain, known)),
                "errorCode": "Success",
            })
        })
        .collect();
    Ok(Answer::json(
        200,
        json!({
            "cost": 0,
            "timespan": format!("{}/{}", rfc3339(question.from), rfc3339(question.to)),
            "interval": question.interval,
            "value": value,
            "namespace": ONLINE,
            "resourceregion": crate::engine::location(state, &target, &core.settings.region),
        }),
    ))
}

fn bad(message: impl Into<String>) -> Box<Failure> {
    Failure::new(400, "BadRequest", message)
}

fn question<'a>(core: &Core, call: &'a Call) -> Outcome<Question<'a>> {
    let names = call.query("metricnames").ok_or_else(|| bad("The parameter metricnames is required."))?;
    let find = |name: &str| {
        let known = METRICS.iter().map(|metric| metric.name).collect::<Vec<_>>().join(",");
        METRICS.iter().find(|metric| metric.name.eq_ignore_ascii_case(name.trim())).ok_or_else(|| {
            bad(format!(
                "Failed to find metric configuration for provider: Microsoft.MachineLearningServices, resource Type: \
                 workspaces/onlineEndpoints, metric: {name}, Valid metrics: {known}"
            ))
        })
    };
    let metrics: Vec<&Metric> = names.split(',').map(find).collect::<Outcome<_>>()?;
    let aggregation = call.query("aggregation").unwrap_or("Average");
    if !aggregation.split(',').all(|one| one.trim().eq_ignore_ascii_case("Average")) {
        return Err(bad(format!("The aggregation {aggregation} is not supported, Average is.")));
    }
    let interval = call.query("interval").unwrap_or("PT1M");
    let grain = interval.parse::<SignedDuration>().map(|it| it.as_millis()).unwrap_or_default();
    if grain != i128::from(core.settings.metric_grain) {
        return Err(bad(format!("The interval {interval} is not supported.")));
    }
    let (from, to) = call.query("timespan").and_then(span).ok_or_else(|| {
        bad("The parameter timespan is required, as two times of ISO 8601 with a slash between.")
    })?;
    let from = from - from.rem_euclid(core.settings.metric_grain);
    if to <= from || (to - from) / core.settings.metric_grain > POINTS {
        return Err(bad("The timespan is empty, or too long for its interval."));
    }
    let filter = Filter::parse(call.query("$filter").unwrap_or_default()).map_err(bad)?;
    for (metric, dimension) in metrics.iter().flat_map(|it| filter.dimensions().map(move |name| (it, name))) {
        if !metric.dimensions.iter().any(|known| known.eq_ignore_ascii_case(dimension)) {
            return Err(bad(format!("The metric {} has no dimension {dimension}.", metric.name)));
        }
    }
    let top = call.query("top").and_then(|text| text.parse().ok()).unwrap_or(TOP);
    Ok(Question { metrics, filter, from, to, interval, top })
}

fn span(text: &str) -> Option<(Milliseconds, Milliseconds)> {
    let (from, to) = text.split_once('/')?;
    let read = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    Some((read(from)?, read(to)?))
}

/// What one point of a series rests on.
#[derive(Default)]
struct Point {
    count: u64,
    latencies: Vec<f64>,
}

/// The series of a metric, one for each way in which the dimensions of the filter differ. What is younger than `known`
/// is not measured yet.
fn all_series(
    metric: &Metric,
    question: &Question<'_>,
    served: &[Served],
    (grain, known): (Milliseconds, Milliseconds),
) -> Vec<Value> {
    let mut series: BTreeMap<Vec<(String, String)>, BTreeMap<Milliseconds, Point>> = BTreeMap::new();
    for one in served {
        let value = |dimension: &str| match dimension {
            "deployment" => one.deployment.clone(),
            "statuscode" => one.status.to_string(),
            "statuscodeclass" => format!("{}xx", one.status / 100),
            _ => one.model_status.to_string(),
        };
        let Some(labels) = question.filter.labels(value) else { continue };
        let at = one.at - one.at.rem_euclid(grain);
        let point = series.entry(labels).or_default().entry(at).or_default();
        point.count += one.count;
        point.latencies.extend(&one.latencies);
    }
    let last = (question.to - question.from - 1) / grain;
    let times: Vec<Milliseconds> = (0..=last).map(|index| question.from + index * grain).collect();
    let one = |(labels, points): (&Vec<(String, String)>, &BTreeMap<Milliseconds, Point>)| {
        let label = |(name, value): &(String, String)| json!({"name": {"value": name, "localizedValue": name}, "value": value});
        let data = times.iter().map(|at| {
            let mut data = json!({"timeStamp": rfc3339(*at)});
            let value = average(metric, points.get(at)).filter(|_| at + grain <= known);
            if let Some(value) = value {
                data["average"] = json!(value);
            }
            data
        });
        json!({
            "metadatavalues": labels.iter().map(label).collect::<Vec<_>>(),
            "data": data.collect::<Vec<_>>(),
        })
    };
    series.iter().take(question.top).map(one).collect()
}

/// Requests are none where there were none; latencies are then unknown.
fn average(metric: &Metric, point: Option<&Point>) -> Option<f64> {
    let Some(percentile) = metric.percentile else {
        return Some(point.map_or(0.0, |point| point.count as f64));
    };
    let mut latencies = point?.latencies.clone();
    latencies.sort_by(f64::total_cmp);
    let rank = (latencies.len() as f64 * percentile / 100.0).ceil() as usize;
    latencies.get(rank.saturating_sub(1)).copied()
}
