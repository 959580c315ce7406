//! Tokens of the API as they are written down: who has it, what it is good for, and the token or
//! its digest. Once read, only the digest is kept.

use std::fmt;

use super::secret::MASK;
use super::setting::{Bare, Setting, Shape, must_be};
use crate::api::{Scope, Token};

/// Most tokens: each request is held against all of them.
const TOKENS_MAX: usize = 100;

/// Shorter ones can be guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// The tokens of a list.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tokens(pub Vec<Token>);

fn entry(text: &str) -> Result<Token, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(name), Some(scopes), Some(token)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(must_be::<Tokens>());
    };
    let scopes = scopes.split('+').map(Scope::parse).collect::<Option<Vec<_>>>();
    let scopes = scopes.ok_or("the scopes are read, submit, worker and admin, joined by +")?;
    if name.is_empty() {
        return Err("each token has a name before its scopes".into());
    }
    let digest = if let Some(digest) = token.strip_prefix("sha256=") {
        digest_of_hex(digest).ok_or("sha256= is followed by 64 hexadecimal digits")?
    } else {
        if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("a token has at least {TOKEN_CHARS_MIN} visible characters"));
        }
        Token::digest(token)
    };
    Ok(Token::new(digest, &scopes))
}

fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Setting for Tokens {
    const FORM: &'static str =
        "a list of NAME:SCOPE+SCOPE:TOKEN, where the token may be sha256= and its digest";
    const SHAPE: Shape = Shape::List;
    const SECRET: bool = true;

    fn read(text: &str, _: Bare) -> Result<Tokens, String> {
        // A file has one a line, with comments; a variable has them in a row.
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty()).enumerate();
        let read = |(at, text)| entry(text).map_err(|why| format!("entry {}: {why}", at + 1));
        let tokens = entries.map(read).collect::<Result<Vec<_>, String>>()?;
        if tokens.len() > TOKENS_MAX {
            return Err(format!("there may be at most {TOKENS_MAX} tokens"));
        }
        Ok(Tokens(tokens))
    }

    fn write(&self) -> String {
        if self.0.is_empty() { String::new() } else { MASK.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_or_its_digest_mean_the_same() {
        let plain = Tokens::read("ci:read+submit:0123456789abcdef", Bare::Refused).unwrap();
        // As `printf 0123456789abcdef | sha256sum` says it.
        let digest = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        let hashed = format!("# rotated in May\n\n  ci:submit+read:sha256={digest}\n");
        assert_eq!(Tokens::read(&hashed, Bare::Refused), Ok(plain.clone()));
        assert_eq!((plain.write(), format!("{plain:?}")), (MASK.into(), "1 tokens".into()));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for bad in [
            "canary0123456789",
            "ci:read",
            "ci:root:canary0123456789",
            ":read:canary0123456789",
            "ci:read:canary",
            "ci:read:canary 0123456789",
            "ci:read:sha256=canary",
            "ci::canary0123456789",
        ] {
            let wrong = Tokens::read(bad, Bare::Refused).unwrap_err();
            assert!(!wrong.contains("canary"), "{bad}: {wrong}");
        }
        let many = vec!["a:read:0123456789abcdef"; TOKENS_MAX + 1].join(",");
        assert!(Tokens::read(&many, Bare::Refused).is_err());
    }
}
