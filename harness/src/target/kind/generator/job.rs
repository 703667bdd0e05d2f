//! The Job that emits: what it looks like, and whether it has ended. Pure.
//!
//! Facts about Jobs: Kubernetes 1.37, `batch/v1`: with `completionMode: Indexed` each pod has its number in
//! `JOB_COMPLETION_INDEX` and in the annotation [`INDEX`], and `backoffLimitPerIndex: 0` (since 1.33 in every cluster)
//! lets the other pods go on where one fails.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::apply::cluster::{condition, number, text};
use crate::emit::elsewhere::Elsewhere;
use crate::seed::Seed;

/// The annotation that has a pod's number.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The label by which a Job's pods are found.
pub const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// How long a Job stays after its end where nobody removes it: its logs can be read for so long.
const KEPT: Duration = Duration::from_mins(5);
/// How long pods may take to start and to hear the last answer, beside the time that sending takes.
const SPARE: Duration = Duration::from_mins(2);

/// What is to be emitted in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// Name of the Job.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The image of this program.
    pub image: String,
    /// What is emitted: `metrics`, `traces` or `logs`.
    pub command: &'static str,
    /// The command's arguments but for seed and share.
    pub arguments: Vec<String>,
    /// How many pods share the load.
    pub pods: u16,
    /// The load's seed; each pod derives one of its own.
    pub seed: Seed,
    /// When the Job is ended at the latest, from its beginning.
    pub deadline: Duration,
    /// Where a pod's report has the number of things that were acknowledged, as a JSON pointer.
    pub acknowledged: &'static str,
    /// What those things are.
    pub things: &'static str,
}

impl Emission {
    /// The emission of these options by so many pods.
    #[must_use]
    pub fn of<E: Elsewhere>(options: &E, (namespace, image): (&str, &str), pods: u16, seed: Seed) -> Self {
        Self {
            name: format!("conform-emit-{}-{seed}", E::COMMAND),
            namespace: namespace.to_owned(),
            image: image.to_owned(),
            command: E::COMMAND,
            arguments: options.arguments(),
            pods,
            seed,
            deadline: options.planned().saturating_mul(2).saturating_add(SPARE),
            acknowledged: E::ACKNOWLEDGED,
            things: E::THINGS,
        }
    }
}

/// The Job.
#[must_use]
pub fn render(emission: &Emission) -> Value {
    let labels = json!({
        "app.kubernetes.io/name": "conform-emit",
        "app.kubernetes.io/component": emission.command,
        "app.kubernetes.io/managed-by": "conform",
    });
    // The kubelet puts values of variables in place of $(NAME), and one dollar in place of two.
    let mut arguments: Vec<String> = ["emit", emission.command]
        .into_iter()
        .map(str::to_owned)
        .chain(
            emission
                .arguments
                .iter()
                .map(|argument| argument.replace('$', "$$")),
        )
        .collect();
    arguments.extend([
        format!("--seed={}", emission.seed),
        format!("--share=$(JOB_COMPLETION_INDEX)/{}", emission.pods),
        "--json".to_owned(),
    ]);
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": emission.name, "namespace": emission.namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": emission.pods,
            "parallelism": emission.pods,
            "backoffLimitPerIndex": 0,
            "activeDeadlineSeconds": emission.deadline.as_secs(),
            "ttlSecondsAfterFinished": KEPT.as_secs(),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 65_534, "runAsGroup": 65_534},
                    "containers": [{
                        "name": "generator",
                        "image": emission.image,
                        // It was loaded, and nobody else has it.
                        "imagePullPolicy": "Never",
                        "args": arguments,
                        // What the generators play is in the image.
                        "env": [{"name": "CONFORM_ROOT", "value": "/"}],
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }],
                },
            },
        },
    })
}

/// Whether all pods of a Job have ended, well or not.
#[must_use]
pub fn has_ended(job: &Value) -> bool {
    ["Complete", "Failed"]
        .iter()
        .any(|kind| condition(job, kind).is_some_and(|found| text(found, "/status") == "True"))
}

/// How far a Job is, in words.
#[must_use]
pub fn progress(job: &Value) -> String {
    format!(
        "of {} pods {} run, {} have ended well and {} have failed",
        number(job, "/spec/completions"),
        number(job, "/status/active"),
        number(job, "/status/succeeded"),
        number(job, "/status/failed")
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_job_is_rendered_whole() {
        let emission = Emission {
            name: "conform-emit-traces-0000000000000001".to_owned(),
            namespace: "default".to_owned(),
            image: "localhost/conform:0.1.0".to_owned(),
            command: "traces",
            arguments: vec![
                "--endpoint=http://otel-collector.monitoring:4317".to_owned(),
                "--service=$(HOME)".to_owned(),
            ],
            pods: 2,
            seed: Seed(1),
            deadline: Duration::from_secs(90),
            acknowledged: "/ledger/spans",
            things: "spans",
        };
        insta::assert_json_snapshot!(render(&emission));
    }

    #[rstest]
    #[case::without_a_status(json!({"spec": {"completions": 2}}), false)]
    #[case::while_pods_are_ended(json!({"status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}}), false)]
    #[case::well(json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}), true)]
    #[case::badly(json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}), true)]
    fn a_job_has_ended_with_its_last_pod(#[case] job: Value, #[case] ended: bool) {
        assert_eq!(has_ended(&job), ended);
    }

    #[test]
    fn its_progress_is_told() {
        let job = json!({"spec": {"completions": 3}, "status": {"active": 1, "succeeded": 2}});
        assert_eq!(
            progress(&job),
            "of 3 pods 1 run, 2 have ended well and 0 have failed"
        );
    }
}
