//! Promotions: which votes count, when a stage gets the version, and what the Model makes of it.
mod ends;
mod stages;
mod support;
mod votes;
