//! What a server that is not the vendor's distribution lacks against it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A feature of Elasticsearch's distribution that an assembly may lack; each is a module of its own,
/// named as the distribution names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Snapshots by policy (x-pack-slm).
    SnapshotLifecycle,
    /// Data streams (data-streams).
    DataStreams,
    /// Processors of ingest pipelines (ingest-common).
    IngestProcessors,
    /// The scripting language Painless (lang-painless).
    Painless,
    /// Reindex, update by query and delete by query (reindex).
    Reindex,
    /// Analyzers beyond the standard ones (analysis-common).
    Analyzers,
    /// The aggregations derivative, `moving_fn`, `bucket_sort`, `auto_date_histogram` and the like (aggregations).
    FurtherAggregations,
    /// Field types such as `scaled_float` (mapper-extras).
    FurtherFieldTypes,
    /// Searches that go on without their client (x-pack-async-search).
    AsyncSearch,
    /// SQL and ES|QL (x-pack-sql, x-pack-esql).
    Sql,
    /// Authentication, authorisation and TLS (x-pack-security).
    Security,
    /// Entitlements, bootstrap checks and the keystore, which the vendor's launcher brings.
    BootstrapChecks,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SnapshotLifecycle => "snapshot lifecycle",
            Self::DataStreams => "data streams",
            Self::IngestProcessors => "ingest processors",
            Self::Painless => "Painless",
            Self::Reindex => "reindex, update and delete by query",
            Self::Analyzers => "analyzers beyond the standard ones",
            Self::FurtherAggregations => "some aggregations",
            Self::FurtherFieldTypes => "some field types",
            Self::AsyncSearch => "async search",
            Self::Sql => "SQL",
            Self::Security => "security",
            Self::BootstrapChecks => "bootstrap checks",
        })
    }
}
