//! Index lifecycle: policies, where indices are in them, and moving them along.

use indexmap::IndexMap;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::component::ClientError;

/// Name of the step an index is at after a step failed.
const ERROR: &str = "ERROR";
/// Name of action and step once a phase's actions are done.
const COMPLETE: &str = "complete";

/// A step of a policy. Moving an index to a phase alone, or to a phase and an action, means their first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Phase, for example `warm`.
    pub phase: String,
    /// Action, for example `shrink`.
    pub action: Option<String>,
    /// Name of the step, for example `check-shrink-allocation`.
    pub name: Option<String>,
}

impl Step {
    /// The first step of a phase.
    #[must_use]
    pub fn phase(phase: &str) -> Self {
        Self {
            phase: phase.to_owned(),
            action: None,
            name: None,
        }
    }

    /// One step, named whole.
    #[must_use]
    pub fn named(phase: &str, action: &str, name: &str) -> Self {
        Self {
            phase: phase.to_owned(),
            action: Some(action.to_owned()),
            name: Some(name.to_owned()),
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({ "phase": self.phase });
        if let Value::Object(members) = &mut body {
            members.extend(
                self.action
                    .iter()
                    .map(|action| ("action".to_owned(), json!(action))),
            );
            members.extend(self.name.iter().map(|name| ("name".to_owned(), json!(name))));
        }
        body
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.phase)?;
        for part in [&self.action, &self.name].into_iter().flatten() {
            write!(f, "/{part}")?;
        }
        Ok(())
    }
}

/// What went wrong at a step.
///
/// A failed step that is retried by itself alternates between the step `ERROR` and the step that
/// failed, every poll; both are the same trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTrouble {
    /// The step that failed.
    pub step: String,
    /// Elasticsearch's type of the error, for example `illegal_argument_exception`.
    pub kind: String,
    /// Its reason.
    pub reason: String,
    /// How often it was tried again so far.
    pub retries: u32,
    /// Whether it is tried again by itself.
    pub retried: bool,
}

/// Where an index is, from `/_ilm/explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// The index.
    pub index: String,
    /// Whether a policy manages it.
    pub managed: bool,
    /// Name of the policy.
    pub policy: Option<String>,
    /// Since when it counts its age, unix milliseconds: its origination date, else its rollover, else its creation.
    pub since: Option<i64>,
    /// Phase; none for a moment after the index was made, by shrinking for example.
    pub phase: Option<String>,
    /// Action.
    pub action: Option<String>,
    /// Step.
    pub step: Option<String>,
    /// When it came into the phase, unix milliseconds.
    pub phase_at: Option<i64>,
    /// When it came to the step, unix milliseconds.
    pub step_at: Option<i64>,
    /// What the step says of itself, raw: what it waits for, or its error.
    pub step_info: Option<Value>,
    /// What went wrong, while it does.
    pub trouble: Option<StepTrouble>,
    /// The definition of the phase it works by, raw; a later policy counts from the next phase only.
    pub phase_definition: Option<Value>,
    /// The whole answer for the index.
    pub raw: Value,
}

impl Explain {
    /// Whether all actions of `phase` are done.
    #[must_use]
    pub fn completed(&self, phase: &str) -> bool {
        self.phase.as_deref() == Some(phase) && self.step.as_deref() == Some(COMPLETE)
    }

    /// Phase, action and step, as far as they are there, with the trouble: for people.
    #[must_use]
    pub fn place(&self) -> String {
        let parts: Vec<&str> = [&self.phase, &self.action, &self.step]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let place = match parts.as_slice() {
            [] if self.managed => "managed, in no phase yet".to_owned(),
            [] => "not managed".to_owned(),
            parts => parts.join("/"),
        };
        match &self.trouble {
            Some(trouble) => format!(
                "{place} ({}: {}; tried again {} times)",
                trouble.step, trouble.reason, trouble.retries
            ),
            None => place,
        }
    }
}

#[derive(Deserialize)]
struct WireExplain {
    index: String,
    managed: bool,
    policy: Option<String>,
    lifecycle_date_millis: Option<i64>,
    phase: Option<String>,
    phase_time_millis: Option<i64>,
    action: Option<String>,
    step: Option<String>,
    step_time_millis: Option<i64>,
    step_info: Option<Value>,
    previous_step_info: Option<Value>,
    failed_step: Option<String>,
    is_auto_retryable_error: Option<bool>,
    failed_step_retry_count: Option<u32>,
    phase_execution: Option<WirePhase>,
}

#[derive(Deserialize)]
struct WirePhase {
    phase_definition: Option<Value>,
}

/// Reads one index of the answer.
fn explained(raw: Value) -> Result<Explain, String> {
    let wire = WireExplain::deserialize(&raw).map_err(|error| error.to_string())?;
    let trouble = trouble(&wire);
    Ok(Explain {
        index: wire.index,
        managed: wire.managed,
        policy: wire.policy,
        since: wire.lifecycle_date_millis,
        phase: wire.phase,
        action: wire.action,
        step: wire.step,
        phase_at: wire.phase_time_millis,
        step_at: wire.step_time_millis,
        step_info: wire.step_info,
        trouble,
        phase_definition: wire.phase_execution.and_then(|phase| phase.phase_definition),
        raw,
    })
}

fn trouble(wire: &WireExplain) -> Option<StepTrouble> {
    let retries = wire.failed_step_retry_count.unwrap_or(0);
    let (step, info) = if wire.step.as_deref() == Some(ERROR) {
        (wire.failed_step.as_ref(), wire.step_info.as_ref())
    } else if retries > 0 {
        // Being tried again: the error is what the step before it, the step ERROR, said.
        (
            wire.step.as_ref(),
            wire.step_info
                .as_ref()
                .filter(|info| info.get("reason").is_some())
                .or(wire.previous_step_info.as_ref()),
        )
    } else {
        return None;
    };
    let text = |name: &str| {
        info.and_then(|info| info.get(name))
            .and_then(Value::as_str)
            .unwrap_or("not said")
            .to_owned()
    };
    Some(StepTrouble {
        step: step.map_or("not said", String::as_str).to_owned(),
        kind: text("type"),
        reason: text("reason"),
        retries,
        retried: wire.is_auto_retryable_error.unwrap_or(false),
    })
}

#[derive(Deserialize)]
struct WireIndices {
    indices: IndexMap<String, Value>,
}

impl Elasticsearch {
    /// Puts a lifecycle policy; `body` is `{"policy": {"phases": ...}}`.
    pub async fn put_policy(&self, name: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/_ilm/policy/{name}"), Some(body))
            .await
            .map(drop)
    }

    /// A lifecycle policy as the server has it, raw: `version`, `modified_date`, `policy`, `in_use_by`.
    pub async fn policy(&self, name: &str) -> Result<Value, ClientError> {
        let answer = self.server.get(&format!("/_ilm/policy/{name}")).await?;
        let mut policies: IndexMap<String, Value> = answer.json()?;
        policies
            .swap_remove(name)
            .ok_or_else(|| answer.unreadable(format!("the policy {name} is not in the answer")))
    }

    /// Deletes a lifecycle policy.
    pub async fn delete_policy(&self, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/_ilm/policy/{name}"), None)
            .await
            .map(drop)
    }

    /// Where the indices that match are in their lifecycles, by index.
    ///
    /// The name an index had before it was shrunk is an alias of the shrunken one, which answers for it.
    pub async fn explain(&self, pattern: &str) -> Result<IndexMap<String, Explain>, ClientError> {
        let answer = self.server.get(&format!("/{pattern}/_ilm/explain")).await?;
        let wire: WireIndices = answer.json()?;
        wire.indices
            .into_iter()
            .map(|(index, raw)| Ok((index, explained(raw).map_err(|why| answer.unreadable(why))?)))
            .collect()
    }

    /// Moves an index from the step it is at (refused where it is not) to another.
    pub async fn move_to_step(&self, index: &str, current: &Step, next: &Step) -> Result<(), ClientError> {
        let body = json!({ "current_step": current.body(), "next_step": next.body() });
        self.send(Method::POST, &format!("/_ilm/move/{index}"), Some(&body))
            .await
            .map(drop)
    }

    /// Tries the failed step of an index again.
    pub async fn retry(&self, index: &str) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/{index}/_ilm/retry"), None)
            .await
            .map(drop)
    }

    /// Lets the lifecycle walk.
    pub async fn start_lifecycle(&self) -> Result<(), ClientError> {
        self.send(Method::POST, "/_ilm/start", None).await.map(drop)
    }

    /// Asks the lifecycle to stop; it is stopped once [`Self::lifecycle_status`] says `STOPPED`.
    pub async fn stop_lifecycle(&self) -> Result<(), ClientError> {
        self.send(Method::POST, "/_ilm/stop", None).await.map(drop)
    }

    /// `RUNNING`, `STOPPING` or `STOPPED`.
    pub async fn lifecycle_status(&self) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            operation_mode: String,
        }
        let wire: Wire = self.server.get("/_ilm/status").await?.json()?;
        Ok(wire.operation_mode)
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;
    use rstest::rstest;

    fn recorded_explain(name: &str) -> Explain {
        let wire: WireIndices = recorded::response(name);
        explained(wire.indices.into_values().next().unwrap()).unwrap()
    }

    #[test]
    fn a_failed_step_and_its_retry_are_the_same_trouble() {
        let failed = recorded_explain("explain-noalias-1-hot-rollover-ERROR")
            .trouble
            .unwrap();
        let retried = recorded_explain("explain-noalias-1-hot-rollover-check-rollover-ready")
            .trouble
            .unwrap();
        assert_eq!(failed.step, "check-rollover-ready");
        assert_eq!(failed.kind, "illegal_argument_exception");
        assert!(failed.reason.contains("rollover_alias"), "{}", failed.reason);
        assert!(failed.retried);
        assert_eq!((failed.retries, retried.retries), (0, 1));
        assert_eq!(
            StepTrouble {
                retries: 0,
                ..retried
            },
            failed
        );
        let later = recorded_explain("final-noalias-1__ilm_explain").trouble.unwrap();
        assert_eq!(later.retries, 11);
    }

    #[test]
    fn what_an_earlier_step_waited_for_is_no_trouble() {
        let explain = recorded_explain("final-xjaeger-d8x__ilm_explain");
        assert!(explain.raw.get("previous_step_info").is_some());
        assert_eq!(explain.trouble, None);
        assert!(explain.completed("cold") && !explain.completed("warm"));
    }

    #[test]
    fn a_shrunken_index_is_in_no_phase_for_a_moment() {
        let explain = recorded_explain("explain-shrink-sor5-jaeger-d3-None-None-None");
        assert!(explain.managed);
        assert_eq!((explain.phase.clone(), explain.step.clone()), (None, None));
        assert_eq!(explain.since, Some(1_795_179_794_690));
        assert_eq!(explain.place(), "managed, in no phase yet");
    }

    #[test]
    fn a_shrunken_index_answers_for_its_old_name() {
        let explain = recorded_explain("final-jaeger-d3__ilm_explain");
        assert_eq!(explain.index, "shrink-sor5-jaeger-d3");
        assert!(explain.completed("warm"));
    }

    #[rstest]
    #[case("explain-jaeger-d3-warm-readonly-readonly", "warm/readonly/readonly")]
    #[case(
        "explain-jaeger-d3-warm-migrate-check-migration",
        "warm/migrate/check-migration"
    )]
    #[case(
        "explain-shrink-jzbi-jaeger-new31-delete-delete-delete",
        "delete/delete/delete"
    )]
    fn the_place_of_an_index_is_read(#[case] name: &str, #[case] expected: &str) {
        let explain = recorded_explain(name);
        assert_eq!(explain.place(), expected);
        assert_eq!(explain.policy.as_deref(), Some("jaeger-ilm-policy"));
        assert!(explain.step_at.is_some() && explain.phase_definition.is_some());
    }

    #[test]
    fn steps_are_named_as_far_as_they_are_known() {
        assert_eq!(Step::phase("warm").body(), json!({"phase": "warm"}));
        let step = Step::named("hot", "rollover", "check-rollover-ready");
        assert_eq!(step.to_string(), "hot/rollover/check-rollover-ready");
        assert_eq!(
            step.body(),
            json!({"phase": "hot", "action": "rollover", "name": "check-rollover-ready"})
        );
    }
}
