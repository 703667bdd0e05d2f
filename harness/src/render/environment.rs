//! The environment variables of a container as a plain process has them.

use super::changes::{Changes, shown};
use crate::deploy::Object;
use crate::deploy::kinds::pod::Variable;

/// The variables with a value of their own, in order. What comes out of a Secret or out of the pod is left
/// out and listed, and so is every variable that `left_out` names.
pub(super) fn environment(
    object: &Object,
    at: &str,
    declared: &[Variable],
    left_out: impl Fn(&str) -> Option<&'static str>,
    changes: &mut Changes,
) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    for variable in declared {
        let field = format!("{at}[{}]", variable.name);
        if let Some(why) = left_out(&variable.name) {
            let from = match (&variable.value, &variable.value_from) {
                (Some(value), _) => value.0.clone(),
                (None, Some(source)) => shown(source),
                (None, None) => String::new(),
            };
            changes.add(object, field, from, "not set", why);
        } else if let Some(source) = &variable.value_from {
            changes.add(
                object,
                field,
                shown(source),
                "not set",
                "a plain process has neither Secrets nor a pod",
            );
        } else {
            let value = variable.value.as_ref().map(|v| v.0.clone()).unwrap_or_default();
            environment.push((variable.name.clone(), value));
        }
    }
    environment
}
