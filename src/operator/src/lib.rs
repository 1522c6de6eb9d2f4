//! Effects: watch, observe, execute, report. One loop, one executor, one reporter for all kinds.
//!
//! ```text
//! watch --> Store --observe--> World --plan--> Plan --execute--> API server
//!             ^                                  |
//!             +-------- own writes --------------+--report--> status, events, metrics
//! ```
//!
//! Invariant: `execute` and `report` are the only places that write, and write nothing once the lease has expired.
//! Invariant: no Secret and no ConfigMap is watched; a Secret is read only when an object of its namespace names it.

pub mod arguments;
mod azure;
mod context;
mod decision;
mod execute;
mod failure;
mod gateway;
mod kinds;
mod lease;
pub mod metrics;
mod monitor;
mod object;
mod observe;
mod queue;
mod reconcile;
mod report;
mod resource;
mod run;
mod server;
mod store;
mod telemetry;
mod watch;

pub use run::{check, run};
