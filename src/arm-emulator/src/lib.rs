//! An Azure Resource Manager in a process, for tests, demonstrations and work without an Azure account.
//!
//! It speaks the wire protocol: resources, long-running operations, errors, throttling, tokens. What it is asked
//! goes through one table of resource types. Invariant: nothing of Kubernetes and nothing of the operator is known.
mod address;
mod admin;
mod answer;
mod call;
mod clock;
pub mod command;
mod core;
pub mod data_plane;
mod emulator;
mod engine;
mod fault;
mod locations;
mod log;
mod operation;
mod persist;
mod rules;
mod server;
mod settings;
mod stale;
mod state;
mod storage;
mod subscriptions;
mod table;
mod template;
mod throttle;
mod tls;
mod token;
mod versions;
mod view;

pub use answer::{Answer, Body};
pub use emulator::{Builder, Emulator};
pub use fault::{Action, Fault, Faults};
pub use log::{Entry, Log};
pub use operation::Fate;
pub use settings::{CLIENT, Client, SECRET, Settings, TENANT};
pub use throttle::{Rate, Rates};
