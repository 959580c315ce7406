//! The known name that a mistyped one probably means.

/// The nearest of `known`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // Long names are no typing errors, and the distance costs the product of the lengths.
    if name.len() > 40 {
        return None;
    }
    let name = plain(name);
    let ranked = known.iter().map(|known| (distance(&name, &plain(known)), *known));
    let (distance, nearest) = ranked.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + nearest.len() / 4).then_some(nearest)
}

/// Letters and digits in lower case: `task_name` and `TaskName` both mean `taskName`.
fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters must be added, dropped or exchanged (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let known = ["taskName", "taskType", "priority", "tags"];
        assert_eq!(nearest("task_name", &known), Some("taskName"));
        assert_eq!(nearest("prioirty", &known), Some("priority"));
        assert_eq!(nearest("tasktypes", &known), Some("taskType"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }
}
