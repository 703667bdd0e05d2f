//! `CronJob` (batch/v1).

use serde::Deserialize;
use serde_json::Value;

use super::pod::PodTemplate;
use super::{ClusterOnly, Spec, instead, without_effect};

/// A job that runs again and again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CronJobSpec {
    pub(crate) job_template: JobTemplate,
}

/// The job of one run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JobTemplate {
    #[serde(default)]
    #[expect(dead_code, reason = "labels and annotations mean something in a cluster only")]
    pub(crate) metadata: Option<Value>,
    pub(crate) spec: JobSpec,
}

/// What a job is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what means something in a cluster only is known, so that it is not refused"
)]
pub(crate) struct JobSpec {
    pub(crate) template: PodTemplate,
    pub(crate) backoff_limit: Option<Value>,
    pub(crate) active_deadline_seconds: Option<Value>,
    pub(crate) completions: Option<Value>,
    pub(crate) parallelism: Option<Value>,
    pub(crate) ttl_seconds_after_finished: Option<Value>,
}

impl Spec for CronJobSpec {
    const KIND: &'static str = "CronJob";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        instead(
            "schedule",
            "when a case asks for it",
            "no scheduler runs beside a plain process; the job is run as declared, at once",
        ),
        without_effect("concurrencyPolicy"),
        without_effect("failedJobsHistoryLimit"),
        without_effect("startingDeadlineSeconds"),
        without_effect("successfulJobsHistoryLimit"),
        without_effect("suspend"),
        without_effect("timeZone"),
    ];
}
