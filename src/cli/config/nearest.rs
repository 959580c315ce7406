//! The known name that a mistyped one probably meant.

/// The candidate with the least edits from `text`, if it is near enough to be meant.
pub fn nearest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // More than a third of the letters wrong is another word, not a typing error.
    let limit = (text.chars().count() / 3).max(2);
    let scored = candidates.map(|candidate| (edits(text, candidate), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour
/// (optimal string alignment, one row at a time).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (n, letter) in from.chars().flat_map(char::to_lowercase).enumerate() {
        let mut row = vec![n + 1];
        for (m, other) in to.iter().enumerate() {
            let replaced = above[m] + usize::from(letter != *other);
            let mut least = replaced.min(above[m + 1] + 1).min(row[m] + 1);
            let swapped = m > 0 && last == Some(*other) && to[m - 1] == letter;
            if swapped {
                least = least.min(before[m - 1] + 1);
            }
            row.push(least);
        }
        last = Some(letter);
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word_and_another_word_finds_nothing() {
        let words = ["api.listen", "engine.cores", "database.pool-max", "database.pool-min"];
        let find = |text| nearest(text, words.into_iter());
        assert_eq!(find("api.lisen"), Some("api.listen"));
        assert_eq!(find("api.lsiten"), Some("api.listen"));
        assert_eq!(find("ENGINE.CORE"), Some("engine.cores"));
        assert_eq!(find("database.poolmax"), Some("database.pool-max"));
        assert_eq!(find("kubernetes.replicas"), None);
    }

    #[test]
    fn edits_are_counted_as_a_person_would() {
        for (from, to, count) in [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("abc", "axcd", 2)] {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }
}
