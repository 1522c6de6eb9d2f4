//! Calls in the name of an identity.
use std::sync::Arc;

use arm::{
    Answer, ErrorClass, Operation, OperationShape, Progress, ResourceId, Seen, Started, Verb, resource_type,
};
use http::Method;
use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;

use crate::call::{Request, Response};
use crate::client::Client;
use crate::error::Error;
use crate::identity::Identity;

/// Calls in the name of an identity. Every call is one attempt, after a wait for its turn.
#[derive(Clone)]
pub struct Session {
    pub(crate) client: Client,
    pub(crate) identity: Arc<Identity>,
    pub(crate) principal: Arc<str>,
    pub(crate) api_version: Option<Arc<str>>,
    pub(crate) query: Option<Arc<str>>,
}

impl Session {
    pub(crate) fn new(client: Client, identity: Arc<Identity>) -> Self {
        let principal = identity.source.principal().into();
        Self { client, identity, principal, api_version: None, query: None }
    }

    /// The same, with another version of the API than the table of resource types has.
    #[must_use]
    pub fn api_version(&self, version: &str) -> Self {
        Self { api_version: Some(version.into()), ..self.clone() }
    }

    /// The same, with more query parameters on every call, such as `skipValidation=true`.
    #[must_use]
    pub fn query(&self, query: &str) -> Self {
        Self { query: Some(query.into()), ..self.clone() }
    }

    /// Who calls, in words that hold no secret.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Reads a resource. Absence is data.
    pub async fn get(&self, id: &ResourceId) -> Result<Seen, Error> {
        if self.client.0.config.coalesce && self.is_listed(id) {
            return self.get_together(id).await;
        }
        self.get_alone(id, false).await
    }

    /// Reads all of a collection, such as `/subscriptions/S/resourceGroups/G/providers/P/workspaces`, page by page.
    pub async fn list(&self, collection: &str) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut pages = self.pages(collection)?;
        while let Some(mut page) = pages.next(self).await? {
            items.append(&mut page);
        }
        Ok(items)
    }

    /// Creates or replaces a resource.
    pub async fn put(&self, id: &ResourceId, body: &Value) -> Result<Started, Error> {
        self.write(Verb::Put, id, "", Some(body)).await
    }

    /// Changes a resource.
    pub async fn patch(&self, id: &ResourceId, body: &Value) -> Result<Started, Error> {
        self.write(Verb::Patch, id, "", Some(body)).await
    }

    /// Deletes a resource; `query` holds parameters such as `forceToPurge=true`, or nothing. What does not exist is
    /// deleted.
    pub async fn delete(&self, id: &ResourceId, query: &str) -> Result<Started, Error> {
        let mut session = self.clone();
        if !query.is_empty() {
            let joined = self.query.as_ref().map_or(query.to_owned(), |other| format!("{other}&{query}"));
            session.query = Some(joined.into());
        }
        session.write(Verb::Delete, id, "", None).await
    }

    /// Acts on a resource, such as `listKeys`. What an action answers at once is in [`Started::Done`].
    pub async fn post(&self, id: &ResourceId, action: &str, body: Option<&Value>) -> Result<Started, Error> {
        self.write(Verb::Post, id, action, body).await
    }

    /// Asks how far an operation is. It may have been started by another process, long ago.
    pub async fn poll(&self, operation: &Operation) -> Result<Progress, Error> {
        let what = format!("failed to poll an operation ({:?})", operation.verb);
        let Some((url, subscription, name)) = self.operation_url(operation)? else {
            return Ok(Progress::Lost);
        };
        let request = Request {
            method: Method::GET,
            url,
            body: None,
            subscription: &subscription,
            resource_type: name,
            what: &what,
            has_turn: false,
        };
        let response = self.send(request).await?;
        let silent = matches!(response.status, 300..=399 | 401 | 403 | 408 | 429 | 500..);
        if silent || matches!(response.body, crate::call::Body::Other(_)) {
            return Err(response.error(&what));
        }
        let answer = Answer { status: response.status, headers: &response.headers, body: response.json() };
        Ok(match arm::polled(operation, &answer, Timestamp::now()) {
            Progress::Running(next) if next.shape == OperationShape::Body => Progress::Running(next),
            Progress::Running(next) => match self.own_url(&next.url) {
                Some(url) => Progress::Running(Operation { url, ..next }),
                None => Progress::Lost,
            },
            other => other,
        })
    }

    /// Where to poll, with the subscription and the resource type of it; `None` if that is another server.
    fn operation_url(&self, operation: &Operation) -> Result<Option<(Url, String, &'static str)>, Error> {
        if operation.shape == OperationShape::Body {
            let id = ResourceId::parse(&operation.url)
                .map_err(|error| Error::new(ErrorClass::Invalid, error.to_string()))?;
            let url = self.resource_url(&id, "")?;
            return Ok(Some((url, id.subscription().to_owned(), type_name(&id))));
        }
        let Some(url) = self.own_url(&operation.url).and_then(|url| Url::parse(&url).ok()) else {
            let host = Url::parse(&operation.url).ok().and_then(|url| url.host_str().map(str::to_owned));
            tracing::warn!(host, "an operation is polled at another server, which is never asked");
            return Ok(None);
        };
        let mut segments = url.path().split('/').skip(1);
        let subscription = match segments.next() {
            Some(first) if first.eq_ignore_ascii_case("subscriptions") => segments.next().unwrap_or_default(),
            _ => "",
        };
        let subscription = subscription.to_owned();
        Ok(Some((url, subscription, "operation")))
    }

    /// An address that an answer named, made absolute; `None` if it is of another server.
    pub(crate) fn own_url(&self, text: &str) -> Option<String> {
        // What parsers of URLs read in different ways is no address.
        let odd = text.chars().any(|it| it.is_control() || it.is_whitespace() || it == '\\');
        if odd || !(text.starts_with('/') || text.contains("://")) {
            return None;
        }
        let url = self.client.0.base.join(text).ok()?;
        self.client.is_own(&url).then(|| url.to_string())
    }

    async fn write(
        &self,
        verb: Verb,
        id: &ResourceId,
        action: &str,
        body: Option<&Value>,
    ) -> Result<Started, Error> {
        let (method, word) = match verb {
            Verb::Put => (Method::PUT, "put"),
            Verb::Patch => (Method::PATCH, "patch"),
            Verb::Delete => (Method::DELETE, "delete"),
            Verb::Post => (Method::POST, "post"),
        };
        let slash = if action.is_empty() { "" } else { "/" };
        let what = format!("failed to {word} {id}{slash}{action}");
        let request = Request {
            method,
            url: self.resource_url(id, action)?,
            body,
            subscription: id.subscription(),
            resource_type: type_name(id),
            what: &what,
            has_turn: false,
        };
        let response = self.send(request).await?;
        match response.status {
            200..300 => {}
            404 if verb == Verb::Delete && is_absent(&response) => return Ok(Started::Done(None)),
            _ => return Err(response.error(&what)),
        }
        let (status, headers) = (response.status, response.headers.clone());
        let body = response.into_body(&what)?;
        let answer = Answer { status, headers: &headers, body: body.as_ref() };
        match arm::started(verb, id, &answer, Timestamp::now()) {
            Started::Running(operation) => self.keep_home(operation, id, &what),
            done @ Started::Done(_) => Ok(done),
        }
    }

    /// An operation that is to be polled at another server is followed by the resource itself: a token is for Azure
    /// Resource Manager only.
    fn keep_home(&self, operation: Operation, id: &ResourceId, what: &str) -> Result<Started, Error> {
        if operation.shape == OperationShape::Body {
            return Ok(Started::Running(operation));
        }
        if let Some(url) = self.own_url(&operation.url) {
            return Ok(Started::Running(Operation { url, ..operation }));
        }
        if operation.verb == Verb::Post {
            let what =
                format!("{what}: its operation is to be polled at another server, which is never asked");
            return Err(Error::new(ErrorClass::InvalidResponse, what));
        }
        tracing::warn!(%id, "the operation is to be polled at another server; the resource is read instead");
        let (shape, url) = (OperationShape::Body, id.to_string());
        Ok(Started::Running(Operation { shape, url, ..operation }))
    }

    /// Reads one resource by a call of its own.
    pub(crate) async fn get_alone(&self, id: &ResourceId, has_turn: bool) -> Result<Seen, Error> {
        let what = format!("failed to get {id}");
        let request = Request {
            method: Method::GET,
            url: self.resource_url(id, "")?,
            body: None,
            subscription: id.subscription(),
            resource_type: type_name(id),
            what: &what,
            has_turn,
        };
        let response = self.send(request).await?;
        match response.status {
            200..300 => match response.json() {
                Some(Value::Object(_)) => Ok(response.into_body(&what)?.map_or(Seen::Absent, Seen::Present)),
                _ => Err(Error { class: ErrorClass::InvalidResponse, ..response.error(&what) }),
            },
            404 if is_absent(&response) => Ok(Seen::Absent),
            _ => Err(response.error(&what)),
        }
    }

    pub(crate) fn version(&self, id: &ResourceId) -> Result<&str, Error> {
        let of_table = || resource_type(&id.type_()).map(|it| it.api_version);
        self.api_version.as_deref().or_else(of_table).ok_or_else(|| {
            let what = format!("failed to call {id}: the resource type {} is not known", id.type_());
            Error::new(ErrorClass::Invalid, what)
        })
    }

    fn resource_url(&self, id: &ResourceId, action: &str) -> Result<Url, Error> {
        let slash = if action.is_empty() { "" } else { "/" };
        self.url(&format!("{id}{slash}{action}"), self.version(id)?)
    }

    pub(crate) fn url(&self, path: &str, version: &str) -> Result<Url, Error> {
        let base = self.client.0.base.as_str().trim_end_matches('/');
        let mut text = format!("{base}{path}?api-version={version}");
        if let Some(query) = &self.query {
            text = format!("{text}&{query}");
        }
        Url::parse(&text).map_err(|error| {
            Error::new(ErrorClass::Invalid, format!("failed to call {path}: it makes no address: {error}"))
        })
    }
}

/// Whether an answer of 404 says that there is no such resource.
fn is_absent(response: &Response) -> bool {
    match &response.body {
        crate::call::Body::Other(_) => false,
        crate::call::Body::Empty | crate::call::Body::Json(_) => {
            arm::is_absence(&response.arm_error().unwrap_or_default())
        }
    }
}

/// The name of a resource type, of which there are few.
pub(crate) fn type_name(id: &ResourceId) -> &'static str {
    resource_type(&id.type_()).map_or("other", |it| it.name)
}
