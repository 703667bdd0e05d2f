//! What the stack promises about alerts: rules that can fire, and notifications that arrive.

use harness::case::Case;

mod declared;
mod for_edge;
mod grouping;
mod inhibition;
mod inputs_exposed;
mod live_path;
mod path;
mod pulse;
mod resolved;
mod routing;
mod silence;
mod tree;
mod virtual_time;
mod webhook_retry;

/// The object that holds Alertmanager's file, for mutants.
const SECRET: &str = "Secret/alertmanager-config";
/// Where the file stands in it.
const FILE: &str = "/stringData/alertmanager.yaml";

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        virtual_time::case(),
        declared::case(),
        inputs_exposed::case(),
        live_path::case(),
        for_edge::case(),
        routing::case(),
        grouping::case(),
        inhibition::case(),
        silence::case(),
        resolved::case(),
        webhook_retry::case(),
    ]
}
