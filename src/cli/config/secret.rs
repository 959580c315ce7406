//! Secrets and how they stay out of every output.

use std::fmt;

use super::setting::{Bare, Setting};

/// What stands in every output where a secret is.
pub const MASK: &str = "********";

/// A text that no output shows; empty means that there is none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of every output.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The secret itself, for the connection it opens and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { MASK })
    }
}

impl Setting for Secret {
    const FORM: &'static str = "a text";
    const SECRET: bool = true;

    fn read(text: &str, _: Bare) -> Result<Secret, String> {
        Ok(Secret(text.into()))
    }

    fn write(&self) -> String {
        if self.is_empty() { String::new() } else { MASK.into() }
    }
}

impl Setting for String {
    const FORM: &'static str = "a text";

    fn read(text: &str, _: Bare) -> Result<String, String> {
        Ok(text.into())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret::new("canary".into());
        assert_eq!(format!("{secret:?} {}", secret.write()), "******** ********");
        assert_eq!(secret.reveal(), "canary");
    }
}
