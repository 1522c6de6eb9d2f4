//! The watches: one task for each source and namespace, feeding the store and the queue.
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::meta::{
    ENDPOINT_LABEL, ENDPOINT_NAMESPACE_LABEL, GATEWAY_ROUTE_LABEL, MANAGED_BY_LABEL, MANAGER, PROMOTION_LABEL,
};
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, ListParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use plan::ChildKind;
use tokio::sync::watch;

use crate::arguments::Options;
use crate::kinds::KINDS;
use crate::metrics::Metrics;
use crate::object::{Item, ObjectName, Primary};
use crate::resource::{Object, child_resource};
use crate::store::{Sight, Source, Store, is_own};

/// Seconds after which the server ends a watch. With the client's read time-out a little above, a connection that died
/// without a word is noticed within 70 s; the library's own default is 295 s.
pub(crate) const WATCH_SECONDS: u32 = 55;
/// Objects on one page of a list: the larger, the more memory a restart takes.
const PAGE_SIZE: u32 = 100;

/// The source whose kind not every cluster knows.
const HTTP_ROUTES: Source = Source::Child(ChildKind::HttpRoute);
/// What the API server answers about a kind that it does not know.
const NOT_FOUND: u16 = 404;
/// How often to look whether the cluster knows a kind by now.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Where the watches put what they see.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    /// Called with what must be reconciled.
    pub(crate) wake: Arc<dyn Fn(Source, Vec<Item>) + Send + Sync>,
    synced: Arc<AtomicUsize>,
    done: watch::Sender<bool>,
}

impl Sink {
    pub(crate) fn new(
        store: Store,
        metrics: Metrics,
        wake: Arc<dyn Fn(Source, Vec<Item>) + Send + Sync>,
    ) -> Self {
        Self { store, metrics, wake, synced: Arc::default(), done: watch::Sender::new(false) }
    }

    /// Notes that a watch has listed its objects, when it is the first time.
    fn listed(&self, first: &mut bool) {
        if std::mem::take(first) && self.synced.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.done.send_replace(true);
        }
    }

    /// Becomes true once every watch has listed its objects.
    pub(crate) fn synced(&self) -> watch::Receiver<bool> {
        self.done.subscribe()
    }
}

/// Starts every watch. With no namespaces, each watches the whole cluster; routing documents are watched in the
/// namespace of the gateway alone, and HTTPRoutes only where the operator may write them.
pub(crate) fn start(client: &Client, options: &Options, sink: &Sink) {
    let namespaces = options.watch_namespaces.as_slice();
    let everywhere = [String::new()];
    let scopes = if namespaces.is_empty() { &everywhere[..] } else { namespaces };
    let mut watches = Vec::new();
    for scope in scopes {
        watches.extend(KINDS.iter().map(|kind| (scope.clone(), Source::Primary(kind.primary))));
        watches.extend(ChildKind::ALL.map(|kind| (scope.clone(), Source::Child(kind))));
        let checks = [Source::Child(ChildKind::Job), Source::CheckPods];
        watches.extend([Source::Pods].into_iter().chain(checks).map(|source| (scope.clone(), source)));
        if options.gateway_api {
            watches.push((scope.clone(), HTTP_ROUTES));
        }
    }
    let defaults = sink.store.operator_namespace().to_owned();
    if !namespaces.is_empty() && !namespaces.contains(&defaults) {
        watches.push((defaults, Source::Primary(Primary::ServingRuntime)));
    }
    if let Some(gateway) = options.gateway() {
        watches.push((gateway.namespace, Source::Child(ChildKind::ConfigMap)));
    }
    sink.synced.store(watches.len(), Ordering::SeqCst);
    for (namespace, source) in watches {
        tokio::spawn(watch_one(client.clone(), namespace, source, sink.clone()));
    }
}

async fn watch_one(client: Client, namespace: String, source: Source, sink: Sink) {
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
    let ours = config.clone().labels(&format!("{MANAGED_BY_LABEL}={MANAGER},{ENDPOINT_LABEL}"));
    let of_checks = config.clone().labels(&format!("{MANAGED_BY_LABEL}={MANAGER},{PROMOTION_LABEL}"));
    match source {
        Source::Primary(primary) => {
            let kind = KINDS.iter().find(|kind| kind.primary == primary);
            if let Some(kind) = kind {
                let api = objects(client, &namespace, &(kind.resource)());
                feed(watcher(api, config), &namespace, source, &sink).await;
            }
        }
        Source::Child(ChildKind::HorizontalPodAutoscaler) => {
            // Those of others too: the operator must not fight them.
            let api = objects(client, &namespace, &child_resource(ChildKind::HorizontalPodAutoscaler));
            let sort = |object: Object| {
                if is_own(&object.metadata) {
                    (source, object.into())
                } else {
                    (Source::Autoscalers, Sight::autoscaler(&object))
                }
            };
            let feed = Feed { namespace: &namespace, sources: &[source, Source::Autoscalers], sink: &sink };
            feed.take(watcher(api, config), sort, &mut true).await;
        }
        HTTP_ROUTES => {
            let api = objects(client, &namespace, &child_resource(ChildKind::HttpRoute));
            watch_where_known(&api, ours, &namespace, &sink).await;
        }
        Source::Child(ChildKind::Job) => {
            let api = objects(client, &namespace, &child_resource(ChildKind::Job));
            feed(watcher(api, of_checks), &namespace, source, &sink).await;
        }
        Source::CheckPods => {
            let api = objects(client, &namespace, &ApiResource::erase::<Pod>(&()));
            feed(watcher(api, of_checks), &namespace, source, &sink).await;
        }
        Source::Child(kind) => {
            let api = objects(client, &namespace, &child_resource(kind));
            let routes = config.labels(&format!("{GATEWAY_ROUTE_LABEL}=true,{ENDPOINT_NAMESPACE_LABEL}"));
            let config = if kind == ChildKind::ConfigMap { routes } else { ours };
            feed(watcher(api, config), &namespace, source, &sink).await;
        }
        // They come with the operator's own.
        Source::Autoscalers => {}
        Source::Pods => {
            let api = pods(client, &namespace);
            feed(watcher(api, ours), &namespace, source, &sink).await;
        }
    }
}

/// Watches HTTPRoutes as long as the cluster knows them, and looks now and then whether it does.
async fn watch_where_known(api: &Api<Object>, config: watcher::Config, namespace: &str, sink: &Sink) {
    let mut first = true;
    loop {
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => {
                let feed = Feed { namespace, sources: &[HTTP_ROUTES], sink };
                let sort = |object: Object| (HTTP_ROUTES, object.into());
                feed.take(watcher(api.clone(), config.clone()), sort, &mut first).await;
            }
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => {
                // What was there went with its definition.
                sink.store.begin_relist(HTTP_ROUTES, namespace);
                (sink.wake)(HTTP_ROUTES, sink.store.end_relist(HTTP_ROUTES, namespace));
                (sink.wake)(HTTP_ROUTES, sink.store.set_knows_http_routes(false));
                sink.listed(&mut first);
            }
            Err(error) => {
                sink.metrics.watch_failed(HTTP_ROUTES);
                tracing::warn!(source = ?HTTP_ROUTES, %error, "it can't be seen whether the cluster knows the kind");
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether a watch failed because its kind is not known.
fn is_unknown(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == NOT_FOUND,
        _ => false,
    }
}

fn objects(client: Client, namespace: &str, resource: &ApiResource) -> Api<Object> {
    if namespace.is_empty() {
        Api::all_with(client, resource)
    } else {
        Api::namespaced_with(client, namespace, resource)
    }
}

fn pods(client: Client, namespace: &str) -> Api<Pod> {
    if namespace.is_empty() { Api::all(client) } else { Api::namespaced(client, namespace) }
}

async fn feed<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    namespace: &str,
    source: Source,
    sink: &Sink,
) where
    K: Resource + Into<Sight>,
{
    let feed = Feed { namespace, sources: &[source], sink };
    feed.take(events, |object: K| (source, object.into()), &mut true).await;
}

/// Where the objects of one watch go.
struct Feed<'a> {
    namespace: &'a str,
    /// The sources that they belong to.
    sources: &'a [Source],
    sink: &'a Sink,
}

impl Feed<'_> {
    /// Feeds until the stream ends or, of HTTPRoutes, until the kind is not known any more. `first` holds until all
    /// objects have been listed once.
    async fn take<K: Resource>(
        &self,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
        sort: impl Fn(K) -> (Source, Sight),
        first: &mut bool,
    ) {
        let &Self { namespace, sources, sink } = self;
        let mut events = pin!(events.default_backoff());
        loop {
            match events.try_next().await {
                Ok(Some(Event::Init)) => {
                    for source in sources {
                        sink.store.begin_relist(*source, namespace);
                    }
                }
                Ok(Some(Event::InitApply(object) | Event::Apply(object))) => {
                    let (name, version) = (ObjectName::of(object.meta()), Object::version(object.meta()));
                    let (source, sight) = sort(object);
                    (sink.wake)(source, sink.store.apply(source, sight));
                    for other in sources.iter().filter(|other| **other != source) {
                        (sink.wake)(*other, sink.store.delete(*other, &name, version));
                    }
                }
                Ok(Some(Event::Delete(object))) => {
                    let (name, version) = (ObjectName::of(object.meta()), Object::version(object.meta()));
                    for source in sources {
                        (sink.wake)(*source, sink.store.delete(*source, &name, version));
                    }
                }
                Ok(Some(Event::InitDone)) => {
                    for source in sources {
                        (sink.wake)(*source, sink.store.end_relist(*source, namespace));
                    }
                    if sources == [HTTP_ROUTES] {
                        (sink.wake)(HTTP_ROUTES, sink.store.set_knows_http_routes(true));
                    }
                    sink.listed(first);
                }
                Ok(None) => return,
                Err(error) if sources == [HTTP_ROUTES] && is_unknown(&error) => return,
                Err(error) => {
                    sources.iter().take(1).for_each(|source| sink.metrics.watch_failed(*source));
                    tracing::warn!(?sources, %error, "a watch ended and is started again");
                }
            }
        }
    }
}
