//! What tests share: endpoints in one line, a world that behaves like an API server with its controllers, an Azure in
//! memory, a fixed clock.
//!
//! Invariant: no IO, no clock and no randomness; a test dependency only.

mod apply;
pub mod azure;
mod defaults;
mod fixture;
mod render;
mod rollout;
pub mod schema;
pub mod specs;
mod trouble;
mod truth;
mod world;

pub use fixture::{
    DIGEST, EndpointFixture, NAMESPACE, OPERATOR_NAMESPACE, endpoint, now, runtime, runtimes, settings,
};
pub use render::render;
pub use trouble::Trouble;
pub use truth::lies;
pub use world::World;
