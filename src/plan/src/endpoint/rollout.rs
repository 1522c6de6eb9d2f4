//! Rollouts that move requests from one revision to another: what is known of them, and how they are judged.

pub mod evidence;
pub mod judge;
