//! Leader election by a Lease: one replica works, the others are ready to take over.
//!
//! Invariant: a replica that could not renew its lease stops writing before another may take it. Its own right ends
//! [`RIGHT`] after the last renewal was sent, by the monotonic clock; another takes over only after it has watched the
//! lease stand still for [`LEASE_SECONDS`], by its own clock. No clock is compared with another.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

/// The name of the Lease in the operator's namespace.
const LEASE_NAME: &str = "mlops-operator";
/// How long a lease must stand still before another replica takes it.
const LEASE_SECONDS: i32 = 15;
/// How long a renewal gives the right to write: with the longest call added, it ends before the lease does.
const RIGHT: Duration = Duration::from_secs(9);
/// The time between renewals, and between looks at another's lease.
const PERIOD: Duration = Duration::from_secs(2);
/// The longest that a call about the lease may take.
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// Whether this replica may write.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// For a replica that is the only one.
    pub(crate) fn always() -> Self {
        let far = Instant::now() + Duration::from_hours(24 * 365 * 30);
        Self { until: watch::Sender::new(Some(far)).subscribe() }
    }

    /// Whether this replica may write now.
    pub(crate) fn holds(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica leads.
    pub(crate) async fn acquired(&mut self) {
        while !self.holds() {
            if self.until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this replica's right has ended.
    pub(crate) async fn lost(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                // Nobody elects any more: what holds, holds until its end.
                changed = self.until.changed() => if changed.is_err() { tokio::time::sleep_until(until).await },
            }
        }
    }
}

/// Takes part in the election.
pub(crate) struct Elector {
    leases: Api<Lease>,
    identity: String,
    until: watch::Sender<Option<Instant>>,
    seen: Option<(Lease, Instant)>,
}

impl Elector {
    /// A candidate, and whether it leads.
    pub(crate) fn new(client: Client, namespace: &str, identity: String) -> (Self, Leadership) {
        let until = watch::Sender::new(None);
        let leadership = Leadership { until: until.subscribe() };
        (Self { leases: Api::namespaced(client, namespace), identity, until, seen: None }, leadership)
    }

    /// Takes part until told to stop, then gives the lease back so that another need not wait.
    pub(crate) async fn run(mut self, stop: Arc<tokio::sync::Notify>) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(error = %format!("{error:#}"), "the lease could not be read or renewed");
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.notified() => break,
            }
        }
        let leads = self.until.borrow().is_some();
        self.until.send_replace(None);
        if leads && let Err(error) = self.release().await {
            tracing::warn!(error = %format!("{error:#}"), "the lease was not given back");
        }
    }

    async fn round(&mut self) -> anyhow::Result<()> {
        let sent = Instant::now();
        let Some(lease) = limited(self.leases.get_opt(LEASE_NAME)).await? else {
            let lease = Lease { metadata: named(), spec: Some(self.held(None)) };
            limited(self.leases.create(&PostParams::default(), &lease)).await?;
            self.lead(sent);
            return Ok(());
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder == self.identity || holder.is_empty() || self.stands_still(&lease) {
            let renewed = Lease { metadata: lease.metadata, spec: Some(self.held(lease.spec.as_ref())) };
            // The resource version makes a write fail that somebody else was faster than.
            limited(self.leases.replace(LEASE_NAME, &PostParams::default(), &renewed)).await?;
            self.lead(sent);
        } else if self.until.borrow().is_some() {
            tracing::warn!(holder, "another replica holds the lease");
            self.until.send_replace(None);
        }
        Ok(())
    }

    /// Whether another's lease has not been renewed for its whole duration, as watched by this replica.
    fn stands_still(&mut self, lease: &Lease) -> bool {
        match &self.seen {
            Some((seen, since)) if seen.metadata.resource_version == lease.metadata.resource_version => {
                let seconds =
                    lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(LEASE_SECONDS);
                since.elapsed() >= Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
            }
            _ => {
                self.seen = Some((lease.clone(), Instant::now()));
                false
            }
        }
    }

    fn lead(&mut self, sent: Instant) {
        if self.until.send_replace(Some(sent + RIGHT)).is_none() {
            tracing::info!(identity = self.identity, "this replica leads");
        }
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            acquire_time: same.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            lease_transitions: Some(if same.is_some() { transitions } else { transitions + 1 }),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) -> anyhow::Result<()> {
        let lease = limited(self.leases.get(LEASE_NAME)).await?;
        let mut spec = lease.spec.unwrap_or_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            let lease = Lease { metadata: lease.metadata, spec: Some(spec) };
            limited(self.leases.replace(LEASE_NAME, &PostParams::default(), &lease)).await?;
        }
        Ok(())
    }
}

fn named() -> ObjectMeta {
    ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() }
}

async fn limited<T>(call: impl Future<Output = Result<T, kube::Error>>) -> anyhow::Result<T> {
    Ok(tokio::time::timeout(CALL_LIMIT, call).await??)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Leadership;

    #[tokio::test]
    async fn the_only_replica_never_loses_its_lead() {
        let mut leadership = Leadership::always();
        leadership.acquired().await;
        let lost = tokio::time::timeout(Duration::from_millis(50), leadership.lost()).await;
        assert!(lost.is_err() && leadership.holds());
    }
}
