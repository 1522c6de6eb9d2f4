//! Tools built from pinned Go modules into the cache.
