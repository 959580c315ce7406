//! The words in which one node tells another what became of a wish.

use crate::domain::{StatusKind, TaskId};
use crate::persistence::{Answer, Refusal};

/// What became of a wish that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It is done.
    Now,
    /// It is on record, and done once the execution has stopped.
    Asked,
}

/// The words for an answer.
pub(super) fn of(answer: &Result<Answer, Refusal>) -> Box<str> {
    match answer {
        Ok(Answer::Asked(_)) => "asked".into(),
        Ok(_) => "done".into(),
        Err(Refusal::NotFound) => "not-found".into(),
        Err(Refusal::NoSpace) => "no-space".into(),
        Err(Refusal::IllegalMove { from }) => format!("illegal-move {}", from.name()).into(),
        Err(Refusal::UniqueTaken(holder)) => format!("unique-taken {holder}").into(),
        Err(other) => format!("refused {other}").into(),
    }
}

/// What the words say. A later version may use words that this one does not know.
pub(super) fn read(words: &str) -> Result<Done, Refusal> {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    let refusal = match word {
        "done" => return Ok(Done::Now),
        "asked" => return Ok(Done::Asked),
        "not-found" => Some(Refusal::NotFound),
        "no-space" => Some(Refusal::NoSpace),
        "illegal-move" => status(rest).map(|from| Refusal::IllegalMove { from }),
        "unique-taken" => TaskId::parse(rest).ok().map(Refusal::UniqueTaken),
        _ => None,
    };
    Err(refusal.unwrap_or_else(|| Refusal::Bad(rest.to_owned())))
}

fn status(name: &str) -> Option<StatusKind> {
    StatusKind::ALL.into_iter().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_its_words() {
        for refusal in [
            Refusal::NotFound,
            Refusal::NoSpace,
            Refusal::IllegalMove { from: StatusKind::Completed },
            Refusal::UniqueTaken(TaskId::new(77).unwrap()),
        ] {
            assert_eq!(read(&of(&Err(refusal.clone()))), Err(refusal));
        }
        let bad = of(&Err(Refusal::Bad("too odd".into())));
        assert!(matches!(read(&bad), Err(Refusal::Bad(why)) if why.contains("too odd")));
        assert_eq!((read("done"), read("asked")), (Ok(Done::Now), Ok(Done::Asked)));
        for odd in ["", "illegal-move NOWHERE", "unique-taken x", "later words"] {
            assert!(matches!(read(odd), Err(Refusal::Bad(_))), "{odd}");
        }
    }
}
