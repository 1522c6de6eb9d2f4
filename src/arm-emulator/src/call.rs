//! A call as the engine sees it: what was asked, by whom, and what a matched fault wants of it.
use serde_json::Value;

use crate::fault::Action;

/// Who calls: the claims of the token that count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Principal {
    /// The object id, by which throttling counts.
    pub(crate) object: String,
    pub(crate) application: String,
}

/// One request, read completely.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    /// The scheme and authority that the client used, so that links lead back the same way.
    pub(crate) base: String,
    pub(crate) principal: Principal,
    pub(crate) request_id: String,
    /// What matched faults ask the engine to do.
    pub(crate) directives: Vec<Action>,
}

impl Call {
    /// A query parameter, whose name ARM reads without regard to case.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn api_version(&self) -> &str {
        self.query("api-version").unwrap_or("")
    }
}

/// `a=b&c=d` with percent signs and pluses decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| crate::address::decode(&part.replace('+', " "));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}
