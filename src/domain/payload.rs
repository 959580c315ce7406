//! What a task carries: bytes the engine hands on and never reads.

use std::sync::Arc;

/// How a payload was sent, and so how it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A JSON string: the bytes are its text.
    Text,
    /// Any other JSON value: the bytes are the JSON as it was sent.
    Json,
}

/// The bytes of a payload or a result, shared rather than copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How to read the bytes.
    pub form: Form,
    /// UTF-8, either plain text or one JSON value.
    pub bytes: Arc<str>,
}

impl Payload {
    /// A plain text.
    pub fn text(text: &str) -> Payload {
        Payload { form: Form::Text, bytes: text.into() }
    }

    /// JSON; the caller vouches that it is one well-formed value.
    pub fn json(json: &str) -> Payload {
        Payload { form: Form::Json, bytes: json.into() }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
