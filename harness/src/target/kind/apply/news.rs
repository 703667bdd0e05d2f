//! What those who look on a set that comes up are told: what changed since they were told last, and not all that is still
//! to come. Pure.

use std::collections::BTreeMap;

/// How many objects a line names.
const NAMED: usize = 3;

/// What is to come, and what of it was told.
#[derive(Debug, Default)]
pub(super) struct News {
    told: BTreeMap<String, String>,
    line: Option<String>,
}

impl News {
    /// Takes what is to come now, objects with what they lack; the whole account of it.
    pub(super) fn note(&mut self, now: Vec<(String, String)>) -> String {
        let said = |(object, what): &(String, String)| format!("{object}: {what}");
        let changed: Vec<String> = now
            .iter()
            .filter(|(object, what)| self.told.get(object) != Some(what))
            .map(said)
            .collect();
        if !changed.is_empty() {
            let named = changed.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            let others = now.len() - changed.len().min(NAMED);
            self.line = Some(match others {
                0 => named,
                others => format!("{named}; and {others} more"),
            });
        }
        let whole = now.iter().map(said).collect::<Vec<_>>().join("; ");
        self.told = now.into_iter().collect();
        whole
    }

    /// The line to tell, once.
    pub(super) fn take(&mut self) -> Option<String> {
        self.line.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(objects: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(object, what): &(&str, &str)| ((*object).to_owned(), (*what).to_owned());
        objects.iter().map(owned).collect()
    }

    #[test]
    fn only_what_changed_is_told_and_the_account_is_whole() {
        let mut news = News::default();
        let whole = news.note(open(&[("a", "0 of 1"), ("b", "0 of 1")]));
        assert_eq!(whole, "a: 0 of 1; b: 0 of 1");
        assert_eq!(news.take().as_deref(), Some("a: 0 of 1; b: 0 of 1"));
        assert_eq!(news.take(), None);

        news.note(open(&[("a", "0 of 1"), ("b", "not available")]));
        assert_eq!(news.take().as_deref(), Some("b: not available; and 1 more"));
        // One that is ready is no news while others are not.
        news.note(open(&[("a", "0 of 1")]));
        assert_eq!(news.take(), None);
    }

    #[test]
    fn a_line_names_few() {
        let mut news = News::default();
        news.note(open(&[
            ("a", "1"),
            ("b", "1"),
            ("c", "1"),
            ("d", "1"),
            ("e", "1"),
        ]));
        assert_eq!(news.take().as_deref(), Some("a: 1; b: 1; c: 1; and 2 more"));
    }
}
