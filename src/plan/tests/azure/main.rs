//! The engine of everything in Azure, against an Azure in memory.

mod engine;
mod properties;
