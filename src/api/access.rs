//! Who may do what: bearer tokens, of which only digests are kept, and what each may be used for.
//!
//! Promise: how long a comparison takes tells nothing about any token. Without tokens everybody
//! may do everything; whether that is allowed is decided before the port is opened.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What a token can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Looking at tasks, statistics and metrics.
    Read,
    /// Submitting, cancelling and retrying tasks.
    Submit,
    /// Leasing tasks and reporting what became of them.
    Worker,
    /// Everything, also forcing a status, deleting tasks and changing the server.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Submit, Scope::Worker, Scope::Admin];

    /// The word in configuration and answers.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Worker => "worker",
            Scope::Admin => "admin",
        }
    }

    /// The scope with this name.
    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// One token: its digest, and what it can be used for.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    digest: [u8; 32],
    scopes: u8,
}

impl Token {
    /// A token whose SHA-256 is `digest`.
    pub fn new(digest: [u8; 32], scopes: &[Scope]) -> Token {
        Token { digest, scopes: scopes.iter().fold(0, |bits, scope| bits | scope.bit()) }
    }

    /// The digest under which a token is kept.
    pub fn digest(token: &str) -> [u8; 32] {
        Sha256::digest(token).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// All tokens.
#[derive(Debug, Clone, Default)]
pub struct Access(Vec<Token>);

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Granted,
    /// It brought no token, or one that nobody has.
    Unknown,
    /// Its token is for other things.
    Forbidden,
}

impl Access {
    /// Access with these tokens; with none it is open.
    pub fn new(tokens: Vec<Token>) -> Access {
        Access(tokens)
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the bearer of what the `Authorization` head says may do what needs `scope`.
    pub(crate) fn check(&self, authorization: Option<&str>, scope: Scope) -> Verdict {
        if self.is_open() {
            return Verdict::Granted;
        }
        let Some(token) = authorization.and_then(bearer) else { return Verdict::Unknown };
        let digest = Token::digest(token);
        let (mut known, mut scopes) = (Choice::from(0), 0);
        // Every token is compared, and none earlier or later than another.
        for one in &self.0 {
            let same = one.digest.ct_eq(&digest);
            scopes = u8::conditional_select(&scopes, &(scopes | one.scopes), same);
            known |= same;
        }
        if !bool::from(known) {
            return Verdict::Unknown;
        }
        let may = scopes & (scope.bit() | Scope::Admin.bit()) != 0;
        if may { Verdict::Granted } else { Verdict::Forbidden }
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let token = |text, scopes: &[Scope]| Token::new(Token::digest(text), scopes);
        Access::new(vec![
            token("looks", &[Scope::Read]),
            token("looks-too", &[Scope::Read]),
            token("does", &[Scope::Submit, Scope::Worker]),
            token("rules", &[Scope::Admin]),
        ])
    }

    #[test]
    fn a_token_is_good_for_its_scopes_and_admin_for_all() {
        let access = access();
        let check = |token: &str, scope| access.check(Some(&format!("Bearer {token}")), scope);
        for scope in Scope::ALL {
            let for_reading =
                [Verdict::Granted, Verdict::Forbidden][usize::from(scope != Scope::Read)];
            assert_eq!(check("looks", scope), for_reading);
            assert_eq!(check("looks-too", scope), for_reading);
            assert_eq!(check("rules", scope), Verdict::Granted);
            assert_eq!(check("nobody", scope), Verdict::Unknown);
        }
        assert_eq!(check("does", Scope::Submit), Verdict::Granted);
        assert_eq!(check("does", Scope::Read), Verdict::Forbidden);
    }

    #[test]
    fn what_is_no_bearer_token_is_unknown_and_without_tokens_all_is_granted() {
        for bad in
            [None, Some(""), Some("looks"), Some("Basic looks"), Some("Bearer "), Some("Bearer")]
        {
            assert_eq!(access().check(bad, Scope::Read), Verdict::Unknown, "{bad:?}");
        }
        assert_eq!(access().check(Some("bearer looks"), Scope::Read), Verdict::Granted);
        assert_eq!(Access::default().check(None, Scope::Admin), Verdict::Granted);
    }

    #[test]
    fn a_token_never_shows() {
        assert_eq!(format!("{:?}", access().0[0]), "Token");
    }
}
