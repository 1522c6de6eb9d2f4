//! The only code that talks to Azure Resource Manager: identity, tokens, throttling, calls, operations.
//!
//! Invariant: a token is sent to the configured Azure Resource Manager only, whatever an answer says.
//! Invariant: a call is tried once; whether it is tried again is for the caller to decide, by the class of its error.

mod bucket;
mod call;
mod client;
mod coalesce;
mod config;
mod creation;
mod credential;
mod error;
mod identity;
mod metric;
mod pages;
mod provider;
mod session;
mod settings;

pub use client::Client;
pub use config::{Call, Config, Limit, Limits, Observer};
pub use credential::{CredentialSource, InvalidCredential, Secret};
pub use error::{BuildError, Error};
pub use session::Session;
pub use settings::{
    cloud_from_environment, credential_from_environment, credential_from_secret, subscription,
};
