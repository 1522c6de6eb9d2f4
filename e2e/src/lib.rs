//! The harness of black-box tests: a real control plane, the operator as a process, faults on the wire between them.
//!
//! Invariant: nothing here reaches into the operator; it sees and does what a user, the API server or the network could.

pub mod audit;
pub mod azure;
pub mod bench;
pub mod case;
pub mod context;
pub mod gateway;
pub mod operator;
pub mod plane;
pub mod proxy;
pub mod stand_in;
pub mod truth;
pub mod wait;

pub use azure::Azure;
pub use case::{Case, run};
pub use context::Context;
pub use gateway::Measured;
pub use operator::Operator;
pub use plane::Plane;
pub use proxy::{Fault, Proxy, Seen};
pub use stand_in::Mode;
pub use wait::{PATIENCE, holds_for, in_time, until};
