//! Which cases a run takes, by profile, id and target.

use crate::case::Case;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Profile name; every profile when none.
    pub profile: Option<String>,
    /// Case ids; an area (`metrics`) stands for its cases. Everything of the profile when empty.
    pub cases: Vec<String>,
}

/// Why a selection selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name is neither a case nor an area.
    #[error("there is no case or area `{name}`; {hint}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest, or where to look.
        hint: String,
    },
    /// No case belongs to the profile.
    #[error("no case belongs to the profile `{profile}`; the profiles are {known}")]
    EmptyProfile {
        /// The profile asked for.
        profile: String,
        /// The profiles there are.
        known: String,
    },
}

/// The cases selected, in the order of the suite.
///
/// Cases named outright are taken whatever their profile.
pub fn select(cases: &[Case], selection: &Selection) -> Result<Vec<Case>, PlanError> {
    if !selection.cases.is_empty() {
        for name in &selection.cases {
            if !cases.iter().any(|case| named(case, name)) {
                return Err(PlanError::Unknown {
                    name: name.clone(),
                    hint: hint(cases, name),
                });
            }
        }
        return Ok(cases
            .iter()
            .filter(|case| selection.cases.iter().any(|name| named(case, name)))
            .cloned()
            .collect());
    }
    let Some(profile) = &selection.profile else {
        return Ok(cases.to_vec());
    };
    let selected: Vec<Case> = cases
        .iter()
        .filter(|case| case.profiles.contains(&profile.as_str()))
        .cloned()
        .collect();
    if selected.is_empty() {
        let mut known: Vec<_> = cases
            .iter()
            .flat_map(|case| case.profiles.iter().copied())
            .collect();
        known.sort_unstable();
        known.dedup();
        return Err(PlanError::EmptyProfile {
            profile: profile.clone(),
            known: known.join(", "),
        });
    }
    Ok(selected)
}

fn named(case: &Case, name: &str) -> bool {
    case.id == name || case.area() == name
}

fn hint(cases: &[Case], name: &str) -> String {
    let wanted = name.rsplit('/').next().unwrap_or(name);
    cases.iter().find(|case| case.id.contains(wanted)).map_or_else(
        || "`cargo conform list` shows them".to_owned(),
        |case| format!("did you mean `{}`?", case.id),
    )
}
