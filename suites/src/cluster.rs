//! What only a cluster can show: what its operators made of the tree, what it allows, and what it survives.

use harness::case::Case;

mod access;
mod discovery;
mod pod_kill;
mod rolling_restart;
mod scrape_configuration;
mod survival;

/// The profile of these cases.
const PROFILES: &[&str] = &["kind"];

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        scrape_configuration::case(),
        discovery::case(),
        access::case(),
        pod_kill::case(),
        rolling_restart::case(),
    ]
}

#[cfg(test)]
mod tests {
    use harness::contract::Contract;
    use harness::deploy::DeployTree;

    use super::*;

    #[test]
    fn every_mutant_changes_the_tree_and_leaves_one_that_can_be_applied() {
        let tree = DeployTree::load(&crate::root().join("deploy")).unwrap();
        for case in cases() {
            let mutants = (case.mutants)();
            assert!(!mutants.is_empty(), "{} has no mutant", case.id);
            for mutant in mutants {
                // A cluster has no servers that could be started otherwise than declared.
                assert!(
                    !mutant.edits.iter().any(harness::mutant::Edit::is_drift),
                    "{}",
                    mutant.id
                );
                let edited = tree.edited(&mutant.edits);
                assert!(edited.is_ok(), "{}: {:?}", mutant.id, edited.err());
            }
        }
    }

    #[test]
    fn the_cases_are_no_part_of_the_core_and_cover_promises_of_the_contract() {
        let contract = Contract::load(&crate::root().join("fixtures/contract.yaml")).unwrap();
        for case in cases() {
            assert_eq!(case.profiles, PROFILES);
            for promise in case.promises {
                assert!(contract.promise(promise).is_ok(), "{}: {promise}", case.id);
            }
        }
    }
}
