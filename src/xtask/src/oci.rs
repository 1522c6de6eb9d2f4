//! OCI image archives, written without a container engine.
