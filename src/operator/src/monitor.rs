//! What Azure Monitor measured of a rollout's step in Azure: asked rarely, and kept until there is more to know.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use api::{Endpoint, Reason};
use arm::ResourceId;
use arm_client::Session;
use jiff::{SignedDuration, Timestamp};
use plan::endpoint::rollout::evidence::{Evidence, Sample};
use plan::endpoint::rollout::monitor::{Pace, Wanted, Window, samples, wanted};
use plan::failure::Class;

use crate::arguments::Options;
use crate::azure::classify;
use crate::gateway;
use crate::object::ObjectName;

/// Azure Monitor, as far as the operator asks it.
pub(crate) struct Monitor {
    pace: Pace,
    looks: Mutex<BTreeMap<ObjectName, Look>>,
}

/// What was found when a step was last asked about.
#[derive(Clone)]
struct Look {
    /// Which step of which rollout.
    step: String,
    window: Window,
    latency: bool,
    found: Found,
}

/// What each deployment did, or why that is not known.
type Found = Result<BTreeMap<String, Sample>, String>;

impl Monitor {
    /// It asks nothing yet.
    pub(crate) fn new(options: &Options) -> Self {
        let pace = Pace {
            interval: SignedDuration::from_secs(options.azure_metrics_interval_seconds.into()),
            lag: SignedDuration::from_secs(options.azure_metrics_lag_seconds.into()),
        };
        Self { pace, looks: Mutex::default() }
    }

    /// Adds what was measured in the step that an Endpoint's rollout is in, when its checks need that. A step is asked
    /// about once for each interval at most, and no endpoint outside of a step.
    pub(crate) async fn measure(
        &self,
        endpoint: &Endpoint,
        azure: Option<(&Session, &ResourceId)>,
        evidence: Option<Evidence>,
    ) -> Option<Evidence> {
        let name = ObjectName::of(&endpoint.metadata);
        let rollout = endpoint.status.as_ref().and_then(|status| status.rollout.as_ref());
        let step = rollout.and_then(|rollout| gateway::step(endpoint, rollout));
        let (Some(wanted), Some(step)) = (wanted(endpoint), step) else {
            self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            return evidence;
        };
        let mut evidence = Evidence { since: wanted.since, ..evidence.unwrap_or_default() };
        match self.found(name, step, wanted, azure).await {
            Ok(revisions) => evidence.revisions = revisions,
            Err(cause) => evidence.unavailable = Some(cause),
        }
        Some(evidence)
    }

    async fn found(
        &self,
        name: ObjectName,
        step: String,
        wanted: Wanted,
        azure: Option<(&Session, &ResourceId)>,
    ) -> Found {
        let Some(window) = self.pace.window(wanted.since, Timestamp::now()) else {
            let (interval, lag) = (self.pace.interval.as_secs(), self.pace.lag.as_secs());
            return Err(format!(
                "Azure Monitor has numbers for whole spans of {interval} s, {lag} s later: none of this step yet"
            ));
        };
        let looks = || self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = looks().get(&name).cloned();
        if let Some(known) = known.filter(|known| known.step == step && known.latency == wanted.latency)
            && !self.pace.is_due(window, known.window)
        {
            return known.found;
        }
        let Some((session, id)) = azure else {
            return Err("Azure Monitor was not asked, since Azure is not read now".to_owned());
        };
        let found = self.ask(session, id, window, wanted).await.map_err(|error| told(&error));
        looks().insert(name, Look { step, window, latency: wanted.latency, found: found.clone() });
        found
    }

    async fn ask(
        &self,
        session: &Session,
        id: &ResourceId,
        window: Window,
        wanted: Wanted,
    ) -> Result<BTreeMap<String, Sample>, arm_client::Error> {
        let requests = session.metric(id, &self.pace.requests(window)).await?;
        let latencies =
            if wanted.latency { session.metric(id, &self.pace.latencies(window)).await? } else { Vec::new() };
        Ok(samples(&requests, &latencies))
    }
}

/// Why Azure Monitor told nothing, and who can mend that.
fn told(error: &arm_client::Error) -> String {
    // The id of a request differs each time, and a status must not be written for that.
    let error = arm_client::Error { request_id: None, correlation_id: None, ..error.clone() };
    let failure = classify(&error);
    let hint = match failure.class {
        Class::Refused(Reason::AzureDenied) => {
            "give the operator's identity the role Monitoring Reader on the workspace; "
        }
        _ => "",
    };
    format!("Azure Monitor can't be asked: {hint}{}", failure.message)
}
