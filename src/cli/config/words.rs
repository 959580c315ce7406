//! Settings that are one word out of a few.

use super::setting::{Bare, Setting, must_be};

macro_rules! words {
    ($(#[doc = $about:literal] $Name:ident: $form:literal {
        $(#[doc = $doc:literal] $Variant:ident = $word:literal,)+
    })+) => {$(
        #[doc = $about]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name {
            $(#[doc = $doc] $Variant,)+
        }

        impl Setting for $Name {
            const FORM: &'static str = $form;

            fn read(text: &str, _: Bare) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok($Name::$Variant),)+
                    _ => Err(must_be::<Self>()),
                }
            }

            fn write(&self) -> String {
                match self {
                    $($Name::$Variant => $word.into(),)+
                }
            }
        }
    )+};
}

words! {
    /// Whose habits the API keeps.
    Compatibility: "standard or java" {
        /// The contract as documented.
        Standard = "standard",
        /// Where the contract is stricter than the Java system was: as the Java system did.
        Java = "java",
    }
    /// What `serve` does about the store's schema.
    Migrate: "apply or check" {
        /// Brings it up to date.
        Apply = "apply",
        /// Refuses to start unless it is up to date.
        Check = "check",
    }
    /// How log lines look.
    LogFormat: "text or json" {
        /// For people and the journal.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    /// The least important lines that are still written.
    LogLevel: "error, warn, info, debug or trace" {
        /// Something was lost or refused that should not have been.
        Error = "error",
        /// Something a person should look at.
        Warn = "warn",
        /// Starts, stops and changes of state.
        Info = "info",
        /// For finding faults.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// A value that the server may choose by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<T> {
    /// The server chooses.
    Auto,
    /// A person has chosen.
    Set(T),
}

impl Setting for Choice<usize> {
    const FORM: &'static str = "a whole number from 1 to 4096, or auto";

    fn read(text: &str, bare: Bare) -> Result<Self, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            _ => match usize::read(text, bare) {
                Ok(n @ 1..=4096) => Ok(Choice::Set(n)),
                _ => Err(must_be::<Self>()),
            },
        }
    }

    fn write(&self) -> String {
        match self {
            Choice::Auto => "auto".into(),
            Choice::Set(n) => n.to_string(),
        }
    }
}
