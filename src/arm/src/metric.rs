//! Platform metrics of Azure Monitor as data: what is asked of a resource, and the series that are answered.
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

/// The version of the API by which metrics are read.
pub const METRICS_API_VERSION: &str = "2023-10-01";
/// How many series are asked for: without a word, Azure answers the first ten and leaves the rest out.
const SERIES: u32 = 1000;

/// What is asked of a metric of one resource: its average in each interval, a series for each value of its dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricQuery {
    /// Its name.
    pub name: &'static str,
    /// The dimensions that are told apart.
    pub dimensions: &'static [&'static str],
    /// From when.
    pub from: Timestamp,
    /// Until before when.
    pub to: Timestamp,
    /// The interval. Azure has minutes, and a few that are longer.
    pub interval: SignedDuration,
}

/// The values of a metric that have the values of its dimensions in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSeries {
    /// The dimensions, by their names in lower case, as Azure gives them back.
    pub labels: BTreeMap<String, String>,
    /// The beginnings of intervals, and the average in each. An interval of which nothing is known is left out.
    pub points: Vec<(Timestamp, f64)>,
}

impl MetricQuery {
    /// The parameters of the call, beside the version.
    pub fn parameters(&self) -> [(&'static str, String); 6] {
        let any: Vec<String> = self.dimensions.iter().map(|name| format!("{name} eq '*'")).collect();
        [
            ("metricnames", self.name.to_owned()),
            ("timespan", format!("{}/{}", self.from, self.to)),
            ("interval", self.interval.to_string()),
            ("aggregation", "Average".to_owned()),
            ("$filter", any.join(" and ")),
            ("top", SERIES.to_string()),
        ]
    }

    /// The series in an answer; none when it is no answer to this.
    pub fn series(&self, answer: &Value) -> Option<Vec<MetricSeries>> {
        let answer = Answer::deserialize(answer).ok()?;
        let metric = answer.value.into_iter().find(|it| it.name.value.eq_ignore_ascii_case(self.name))?;
        let is_good = metric.error_code.is_none_or(|code| code == "Success");
        is_good.then(|| metric.timeseries.into_iter().map(|series| self.one(series)).collect())
    }

    /// A series without what was not asked for.
    fn one(&self, series: Series) -> MetricSeries {
        let label = |it: Label| (it.name.value.to_ascii_lowercase(), it.value);
        let point = |it: Point| Some((it.time_stamp, it.average?));
        let is_within = |it: &(Timestamp, f64)| (self.from..self.to).contains(&it.0);
        MetricSeries {
            labels: series.metadatavalues.into_iter().map(label).collect(),
            points: series.data.into_iter().filter_map(point).filter(is_within).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    value: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    name: Name,
    #[serde(default)]
    timeseries: Vec<Series>,
    error_code: Option<String>,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metadatavalues: Vec<Label>,
    #[serde(default)]
    data: Vec<Point>,
}

#[derive(Deserialize)]
struct Label {
    name: Name,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    time_stamp: Timestamp,
    average: Option<f64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query() -> MetricQuery {
        MetricQuery {
            name: "RequestsPerMinute",
            dimensions: &["deployment", "statusCodeClass"],
            from: "2026-02-21T21:15:00Z".parse().unwrap(),
            to: "2026-02-21T21:18:00Z".parse().unwrap(),
            interval: SignedDuration::from_mins(1),
        }
    }

    #[test]
    fn a_question_names_whole_minutes_and_every_dimension() {
        let parameters = query().parameters().map(|(name, value)| format!("{name}={value}"));
        let wanted = [
            "metricnames=RequestsPerMinute",
            "timespan=2026-02-21T21:15:00Z/2026-02-21T21:18:00Z",
            "interval=PT1M",
            "aggregation=Average",
            "$filter=deployment eq '*' and statusCodeClass eq '*'",
            "top=1000",
        ];
        assert_eq!(parameters, wanted);
    }

    #[test]
    fn an_answer_of_azure_s_form_is_read_without_what_is_unknown_or_out_of_the_window() {
        let label = |name: &str, value: &str| json!({"name": {"value": name, "localizedValue": name}, "value": value});
        let at = |minute: &str| format!("2026-02-21T21:{minute}:00Z");
        let answer = json!({
            "cost": 24, "timespan": "2026-02-21T21:14:00Z/2026-02-21T21:19:00Z", "interval": "PT1M",
            "value": [{
                "id": "/x/providers/Microsoft.Insights/metrics/RequestsPerMinute", "type": "Microsoft.Insights/metrics",
                "name": {"value": "RequestsPerMinute", "localizedValue": "Requests Per Minute"}, "unit": "Count",
                "timeseries": [{
                    "metadatavalues": [label("deployment", "blue"), label("statuscodeclass", "5xx")],
                    "data": [
                        {"timeStamp": at("14"), "average": 7.0}, {"timeStamp": at("15"), "average": 2750.0},
                        {"timeStamp": at("16")}, {"timeStamp": at("17"), "average": 0.0},
                        {"timeStamp": at("18"), "average": 9.0},
                    ],
                }],
                "errorCode": "Success",
            }],
            "namespace": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints", "resourceregion": "eastus",
        });
        let series = query().series(&answer).unwrap();
        let labels = [("deployment", "blue"), ("statuscodeclass", "5xx")];
        let wanted = MetricSeries {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            points: vec![(at("15").parse().unwrap(), 2750.0), (at("17").parse().unwrap(), 0.0)],
        };
        assert_eq!(series, [wanted]);
        let mut failed = answer.clone();
        failed["value"][0]["errorCode"] = json!("InternalServerError");
        assert_eq!(query().series(&failed), None);
        assert_eq!(query().series(&json!({"value": []})), None);
        assert_eq!(query().series(&json!({})), None);
    }
}
