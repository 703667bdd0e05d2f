//! The steps of `kind create cluster`, as it prints them.

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It has begun.
    Begun,
    /// It is done.
    Done,
    /// It failed, and the command with it.
    Failed,
}

/// A step and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is, in kind's words, for example `Starting control-plane`.
    pub name: String,
    /// How far it is.
    pub state: StepState,
}

impl Step {
    /// Reads a line of standard error; none where it is about no step.
    ///
    /// kind v0.33.0 prints ` • NAME  ...` and then ` ✓ NAME` or ` ✗ NAME` where it writes to no terminal
    /// (`pkg/internal/cli/status.go`); names end in pictograms, which are left out here.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        let mut characters = line.chars();
        let state = match characters.next()? {
            // Remarks have the same mark and no dots.
            '•' if line.ends_with("...") => StepState::Begun,
            '✓' => StepState::Done,
            '✗' => StepState::Failed,
            _ => return None,
        };
        let name = characters.as_str().trim_end_matches("...");
        let name = name.trim_matches(|c: char| c.is_whitespace() || !c.is_ascii());
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        " • Ensuring node image (kindest/node:v1.37.2) 🖼️  ...",
        "Ensuring node image (kindest/node:v1.37.2)",
        StepState::Begun
    )]
    #[case(" ✓ Preparing nodes 📦 📦", "Preparing nodes", StepState::Done)]
    #[case(" ✗ Starting control-plane 🕹️", "Starting control-plane", StepState::Failed)]
    fn steps_are_read(#[case] line: &str, #[case] name: &str, #[case] state: StepState) {
        let step = Step::read(line).unwrap();
        assert_eq!((step.name.as_str(), step.state), (name, state));
    }

    #[rstest]
    #[case("Creating cluster \"x\" ...")]
    #[case(" • Ready after 1s 💚")]
    #[case(" • WARNING: Timed out waiting for Ready ⚠️")]
    #[case("")]
    #[case(" ✓ ")]
    fn other_lines_are_not(#[case] line: &str) {
        assert_eq!(Step::read(line), None);
    }
}
