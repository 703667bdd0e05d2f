//! `StatefulSet` (apps/v1).

use serde::Deserialize;

use super::pod::PodTemplate;
use super::{ClusterOnly, Spec, instead, without_effect};

/// A server with volumes of its own.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StatefulSetSpec {
    pub(crate) template: PodTemplate,
}

impl Spec for StatefulSetSpec {
    const KIND: &'static str = "StatefulSet";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        instead(
            "replicas",
            "1",
            "one process stands for the replicas of an object",
        ),
        instead(
            "volumeClaimTemplates",
            "a folder of the run, as large as its file system",
            "a plain process has no persistent volume claim",
        ),
        without_effect("minReadySeconds"),
        without_effect("ordinals"),
        without_effect("persistentVolumeClaimRetentionPolicy"),
        without_effect("podManagementPolicy"),
        without_effect("revisionHistoryLimit"),
        without_effect("selector"),
        without_effect("serviceName"),
        without_effect("updateStrategy"),
    ];
}
