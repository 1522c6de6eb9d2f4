//! Which api-versions are known, and what an unknown one is answered.
use std::sync::LazyLock;

use regex_lite::Regex;

use crate::address::Address;
use crate::answer::{Failure, Outcome};
use crate::call::Call;

/// What the official clients send to the machine learning provider, and the stable versions between.
const MACHINE_LEARNING: &[&str] = &[
    "2020-09-01-dataplanepreview",
    "2020-09-01-preview",
    "2021-10-01",
    "2021-10-01-dataplanepreview",
    "2022-02-01-preview",
    "2022-05-01",
    "2022-10-01",
    "2022-10-01-preview",
    "2022-12-01-preview",
    "2023-02-01-preview",
    "2023-04-01",
    "2023-04-01-preview",
    "2023-06-01-preview",
    "2023-08-01-preview",
    "2023-10-01",
    "2024-01-01-preview",
    "2024-04-01",
    "2024-04-01-preview",
    "2024-07-01-preview",
    "2024-10-01",
    "2024-10-01-preview",
    "2025-01-01-preview",
    "2025-04-01",
    "2025-04-01-preview",
    "2025-06-01",
    "2025-07-01-preview",
    "2025-09-01",
    "2025-12-01",
];

const KNOWN: &[(&str, &[&str])] = &[("Microsoft.MachineLearningServices", MACHINE_LEARNING)];

static DATE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^20[12][0-9]-[01][0-9]-[0-3][0-9](-[a-z]+)?$").ok());

/// Refuses a call without a version, with one that is no date, or with one that the provider never had.
pub(crate) fn check(namespace: &str, call: &Call, address: &Address) -> Outcome<()> {
    let Some(version) = call.query("api-version").filter(|version| !version.is_empty()) else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Failure::new(400, "MissingApiVersionParameter", message));
    };
    if !DATE.as_ref().is_some_and(|date| date.is_match(version)) {
        let message = format!("The api-version '{version}' is invalid. The supported versions are dates.");
        return Err(Failure::new(400, "InvalidApiVersionParameter", message));
    }
    let Some((_, versions)) = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(namespace)) else {
        return Ok(());
    };
    if versions.iter().any(|known| known.eq_ignore_ascii_case(version)) {
        return Ok(());
    }
    let message = format!(
        "No registered resource provider found for API version '{version}' for type '{}'. The supported \
         api-versions are '{}'.",
        address.types.join("/"),
        versions.join(", ")
    );
    Err(Failure::new(400, "NoRegisteredProviderFound", message))
}
