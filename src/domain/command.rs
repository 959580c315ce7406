//! What a person can ask of one task, and the words it is kept in where it waits.

use super::StatusKind;

/// What a person can ask of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// End it; a running one is asked to stop.
    Cancel,
    /// Try it again although it ended, or now although it waits.
    Retry,
    /// Move it to this status, as far as the table of moves allows.
    Put(StatusKind),
}

impl Command {
    /// The command in one word, as a store keeps it.
    pub fn word(self) -> &'static str {
        match self {
            Command::Cancel => "CANCEL",
            Command::Retry => "RETRY",
            Command::Put(status) => status.name(),
        }
    }

    /// The command that is kept as this word.
    pub fn from_word(word: &str) -> Option<Command> {
        match word {
            "CANCEL" => Some(Command::Cancel),
            "RETRY" => Some(Command::Retry),
            status => {
                let known = StatusKind::ALL.into_iter().find(|kind| kind.name() == status);
                known.map(Command::Put)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_survives_its_word() {
        let puts = StatusKind::ALL.into_iter().map(Command::Put);
        for command in puts.chain([Command::Cancel, Command::Retry]) {
            assert_eq!(Command::from_word(command.word()), Some(command));
        }
        assert_eq!(Command::from_word("cancel"), None);
    }
}
