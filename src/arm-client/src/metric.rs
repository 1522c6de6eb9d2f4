//! Reads of Azure Monitor's platform metrics.
use arm::{ErrorClass, METRICS_API_VERSION, MetricQuery, MetricSeries, ResourceId};
use http::Method;

use crate::call::Request;
use crate::error::Error;
use crate::session::Session;

impl Session {
    /// Reads a metric of a resource. It takes from the same bucket as every other read, and callers must ask rarely: such
    /// reads are a common cause of throttling.
    pub async fn metric(&self, id: &ResourceId, query: &MetricQuery) -> Result<Vec<MetricSeries>, Error> {
        let what = format!("failed to read the metric {} of {id}", query.name);
        let mut url = self.url(&format!("{id}/providers/Microsoft.Insights/metrics"), METRICS_API_VERSION)?;
        url.query_pairs_mut().extend_pairs(query.parameters());
        let request = Request {
            method: Method::GET,
            url,
            body: None,
            subscription: id.subscription(),
            resource_type: "Microsoft.Insights/metrics",
            what: &what,
            has_turn: false,
        };
        let response = self.send(request).await?;
        if !(200..300).contains(&response.status) {
            return Err(response.error(&what));
        }
        response
            .json()
            .and_then(|answer| query.series(answer))
            .ok_or_else(|| Error { class: ErrorClass::InvalidResponse, ..response.error(&what) })
    }
}
