//! Objects with resources in Azure: the operator on a real API server, and Azure as the emulator answers it.
use std::process::ExitCode;

#[path = "azure/lifecycle.rs"]
mod lifecycle;

fn main() -> ExitCode {
    let cases = e2e::cases![
        lifecycle::a_workspace_and_its_data_are_made_changed_and_deleted,
        lifecycle::what_is_changed_in_azure_is_named_and_set_back,
        lifecycle::a_settled_object_is_read_once_per_sync_and_never_written,
        lifecycle::the_mode_plan_tells_every_write_and_makes_none,
        ; alone
    ];
    e2e::run("azure", cases)
}
