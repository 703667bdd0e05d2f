//! Which of several names was probably meant.

/// The number of characters to insert, delete or replace to turn `one` into `other` (Levenshtein).
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// The candidate nearest to `name`, the first of equals.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates.into_iter().min_by_key(|c| distance(name, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall a, b: distance(a, b) = distance(b, a) <= max(|a|, |b|), and 0 <=> a = b
        #[test]
        fn distance_is_a_bounded_metric(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            let d = distance(&a, &b);
            prop_assert_eq!(d, distance(&b, &a));
            prop_assert!(d <= a.len().max(b.len()));
            prop_assert_eq!(d == 0, a == b);
        }
    }

    #[test]
    fn a_lost_letter_is_found() {
        assert_eq!(
            nearest("api-gatway", ["ml-service", "api-gateway"]),
            Some("api-gateway")
        );
    }
}
