//! A Rust file as its tokens, with lines; comments and the insides of strings are gone.
//!
//! Only as much of the language as the rules need: words, marks and where they stand. Lifetimes
//! are words with their quote, literals are the mark `"`.

use std::fs;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the package, with `/`.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

/// A place where a rule is broken.
#[derive(Debug)]
pub struct Finding {
    pub line: usize,
    pub what: String,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }

    /// The parts of the path below `src`, without `.rs` and `mod`; none for other files.
    pub fn module(&self) -> Option<Vec<&str>> {
        let below = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut parts: Vec<&str> = below.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        Some(parts)
    }

    /// Part of the product, and not only of its tests.
    pub fn is_product(&self) -> bool {
        let parts = self.module().unwrap_or_default();
        !parts.is_empty() && !parts.contains(&"tests")
    }

    pub fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    pub fn finding(&self, at: usize, what: impl Into<String>) -> Finding {
        Finding { line: self.tokens[at].line, what: what.into() }
    }

    /// Where these tokens stand in a row.
    pub fn find<'a>(&'a self, row: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(|at| {
            row.iter().enumerate().all(|(offset, word)| self.word(at + offset) == *word)
        })
    }

    /// The index of the mark that closes the one at `open`, or the last token.
    pub fn closing(&self, open: usize) -> usize {
        let (left, right) = match self.word(open) {
            "{" => ("{", "}"),
            "(" => ("(", ")"),
            _ => ("[", "]"),
        };
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.word(at) {
                word if word == left => depth += 1,
                word if word == right => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return at;
            }
        }
        self.tokens.len().saturating_sub(1)
    }
}

/// Every `.rs` file below these folders, in the order of their paths.
pub fn read_tree(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut todo: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            todo.extend(entries.map(|entry| entry.expect("a readable entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable UTF-8 file");
            let below = path.strip_prefix(root).expect("a path below the package");
            sources.push(Source::parse(&below.to_string_lossy().replace('\\', "/"), &text));
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut scan = Scan { chars: &chars, at: 0, line: 1, tokens: Vec::new() };
    while scan.at < chars.len() {
        scan.next();
    }
    scan.tokens
}

struct Scan<'a> {
    chars: &'a [char],
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn push(&mut self, text: impl Into<String>, line: usize) {
        self.tokens.push(Token { text: text.into(), line });
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == '\n' {
                self.line += 1;
            }
            self.at += 1;
        }
    }

    fn next(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.skip_while(|c| c != '\n'),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(line),
            ('\'', _) => self.quote(line),
            (c, _) if c == '_' || c.is_alphabetic() => self.identifier(line),
            (c, _) if c.is_numeric() => {
                self.skip_while(|c| c == '_' || c.is_alphanumeric());
                self.push("0", line);
            }
            (':', ':') => {
                self.skip(2);
                self.push("::", line);
            }
            (c, _) => {
                self.skip(1);
                if !c.is_whitespace() {
                    self.push(c, line);
                }
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && keep(self.peek(0)) {
            self.skip(1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.skip(1);
                    continue;
                }
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self, line: usize) {
        self.skip(1);
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.skip(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.skip(1);
        self.push("\"", line);
    }

    fn raw_string(&mut self, line: usize) {
        let start = self.at;
        self.skip_while(|c| c == '#');
        let hashes = self.at - start;
        self.skip(1);
        while self.at < self.chars.len() {
            let ends = self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#');
            self.skip(1);
            if ends {
                break;
            }
        }
        self.skip(hashes);
        self.push("\"", line);
    }

    /// A character, or a lifetime: `'a'` against `'a`.
    fn quote(&mut self, line: usize) {
        if self.peek(1) == '\\' {
            self.skip(3);
            self.skip_while(|c| c != '\'');
            self.skip(1);
            self.push("\"", line);
        } else if self.peek(2) == '\'' {
            self.skip(3);
            self.push("\"", line);
        } else {
            self.skip(1);
            let start = self.at;
            self.skip_while(|c| c == '_' || c.is_alphanumeric());
            let name: String = self.chars[start..self.at].iter().collect();
            self.push(format!("'{name}"), line);
        }
    }

    fn identifier(&mut self, line: usize) {
        let start = self.at;
        self.skip_while(|c| c == '_' || c.is_alphanumeric());
        let word: String = self.chars[start..self.at].iter().collect();
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("r" | "br" | "cr", '"', _) | ("r" | "br" | "cr", '#', '"' | '#') => {
                self.raw_string(line);
            }
            ("b" | "c", '"', _) => self.string(line),
            ("b", '\'', _) => self.quote(line),
            _ => self.push(word, line),
        }
    }
}
