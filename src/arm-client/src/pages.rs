//! Lists, page by page.
use std::collections::HashSet;

use arm::{ErrorClass, ResourceId};
use http::Method;
use reqwest::Url;
use serde_json::Value;

use crate::call::Request;
use crate::error::Error;
use crate::session::{Session, type_name};

/// How many pages a list may have.
const PAGES: usize = 1000;

impl Session {
    /// The pages of a collection.
    pub(crate) fn pages(&self, collection: &str) -> Result<Pages, Error> {
        let collection = collection.trim_end_matches('/');
        // A collection is what is left of the id of a member without its name.
        let member = ResourceId::parse(&format!("{collection}/member")).map_err(|error| {
            Error::new(ErrorClass::Invalid, format!("failed to list {collection}: {error}"))
        })?;
        let url = self.url(collection, self.version(&member)?)?;
        Ok(Pages {
            what: format!("failed to list {collection}"),
            member,
            next: Some(url),
            seen: HashSet::new(),
        })
    }
}

/// The pages of a list.
pub(crate) struct Pages {
    what: String,
    member: ResourceId,
    next: Option<Url>,
    seen: HashSet<Url>,
}

impl Pages {
    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self, session: &Session) -> Result<Option<Vec<Value>>, Error> {
        self.page(session, false).await
    }

    /// The same, where the turn of the first page may have been waited for already.
    pub(crate) async fn page(
        &mut self,
        session: &Session,
        has_turn: bool,
    ) -> Result<Option<Vec<Value>>, Error> {
        let Some(url) = self.next.take() else { return Ok(None) };
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            body: None,
            subscription: self.member.subscription(),
            resource_type: type_name(&self.member),
            what: &self.what,
            has_turn,
        };
        let response = session.send(request).await?;
        if !(200..300).contains(&response.status) {
            return Err(response.error(&self.what));
        }
        let refused =
            |problem: &str| Error::new(ErrorClass::InvalidResponse, format!("{}: {problem}", self.what));
        let mut body = response.into_body(&self.what)?.ok_or_else(|| refused("the answer is empty"))?;
        let Some(Value::Array(items)) = body.get_mut("value").map(Value::take) else {
            return Err(refused("the answer has no `value`"));
        };
        if let Some(link) = body.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
            let next = session
                .own_url(link)
                .and_then(|link| session.client.0.base.join(&link).ok())
                .ok_or_else(|| refused("its next page is on another server, which is never asked"))?;
            self.seen.insert(url);
            if self.seen.contains(&next) || self.seen.len() >= PAGES {
                return Err(refused("its pages have no end"));
            }
            self.next = Some(next);
        }
        Ok(Some(items))
    }
}
