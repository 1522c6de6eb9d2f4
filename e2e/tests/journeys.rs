//! Journeys of users on a real cluster with real pods, with the operator that the chart installed.
//!
//! `cargo xtask test` starts the cluster, shows the demo on it, and runs them; they leave nothing on it.
use std::process::ExitCode;

use case::Case;

#[path = "journeys/azure.rs"]
mod azure;
#[path = "journeys/case.rs"]
mod case;
#[path = "journeys/chart.rs"]
mod chart;
#[path = "journeys/failing.rs"]
mod failing;
#[path = "journeys/faults.rs"]
mod faults;
#[path = "journeys/journey.rs"]
mod journey;
#[path = "journeys/promotions.rs"]
mod promotions;
#[path = "journeys/rollouts.rs"]
mod rollouts;
#[path = "journeys/serving.rs"]
mod serving;
#[path = "journeys/sources.rs"]
mod sources;
#[path = "journeys/stage.rs"]
mod stage;

/// Those that run beside others; the longest first.
const TOGETHER: &[Case] = cases![
    promotions::a_version_that_passes_its_checks_is_served_and_one_that_does_not_is_held,
    failing::model_that_is_not_there_keeps_the_revision_before_serving,
    failing::image_that_can_not_be_pulled_keeps_the_revision_before_serving,
    failing::too_little_memory_keeps_the_revision_before_serving,
    rollouts::a_worse_model_is_given_up_and_a_person_has_the_last_word,
    rollouts::an_endpoint_without_requests_has_no_pod_and_the_first_request_brings_one,
    rollouts::a_better_model_takes_over_step_by_step_without_a_failed_request,
    serving::every_version_rolls_over_without_a_failed_request,
    failing::model_of_another_digest_keeps_the_revision_before_serving,
    failing::model_that_can_not_be_loaded_keeps_the_revision_before_serving,
    failing::pod_that_fits_no_node_keeps_the_revision_before_serving,
    sources::model_on_a_claim_is_verified_and_served,
    sources::container_of_one_s_own_finds_the_model_mounted,
    serving::model_answers_as_scikit_learn_does_and_leaves_nothing_behind,
];

/// Those that change the operator or measure, one after the other.
const ALONE: &[Case] = cases![
    serving::endpoint_is_ready_soon_after_its_last_pod,
    faults::rollouts_go_on_while_gateways_and_the_api_server_go_away,
    azure::model_moves_to_azure_while_it_answers_and_the_sdk_scores_it,
    chart::operator_runs_restricted_and_its_own_test_passes,
    chart::plugin_checks_shows_and_explains,
    chart::upgrade_disturbs_no_endpoint,
    chart::endpoints_outlive_the_chart_and_are_taken_over_again,
];

fn main() -> ExitCode {
    case::run(TOGETHER, ALONE)
}
