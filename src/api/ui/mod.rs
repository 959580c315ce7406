//! The pages for people, served from the binary: how the server is, live, and what its API is.
//!
//! Promise: the page asks nobody but the server it came from, and nothing that a client ever sent
//! is read as markup: the policy below allows scripts and styles from these files alone, and the
//! scripts write texts, never HTML. Absent on purpose: anything that has to be built or fetched.

use super::exchange::Exchange;
use super::reply::{Media, Reply};

/// One file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asset {
    Page,
    Style,
    Icon,
    Main,
    Ask,
    Lists,
    Words,
    Docs,
    DocsStyle,
    DocsMain,
}

/// What a browser may do with the page: take these files, ask this server, and nothing else.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

impl Asset {
    /// The file at this path.
    pub(crate) fn at(path: &str) -> Option<Asset> {
        Some(match path {
            "/" => Asset::Page,
            "/ui/style.css" => Asset::Style,
            "/ui/icon.svg" => Asset::Icon,
            "/ui/main.js" => Asset::Main,
            "/ui/ask.js" => Asset::Ask,
            "/ui/lists.js" => Asset::Lists,
            "/ui/words.js" => Asset::Words,
            "/docs" => Asset::Docs,
            "/ui/docs.css" => Asset::DocsStyle,
            "/ui/docs.js" => Asset::DocsMain,
            _ => return None,
        })
    }

    fn content(self) -> (Media, &'static [u8]) {
        match self {
            Asset::Page => (Media::Html, include_bytes!("index.html")),
            Asset::Style => (Media::Css, include_bytes!("style.css")),
            Asset::Icon => (Media::Svg, include_bytes!("icon.svg")),
            Asset::Main => (Media::Script, include_bytes!("main.js")),
            Asset::Ask => (Media::Script, include_bytes!("ask.js")),
            Asset::Lists => (Media::Script, include_bytes!("lists.js")),
            Asset::Words => (Media::Script, include_bytes!("words.js")),
            Asset::Docs => (Media::Html, include_bytes!("../docs/docs.html")),
            Asset::DocsStyle => (Media::Css, include_bytes!("../docs/docs.css")),
            Asset::DocsMain => (Media::Script, include_bytes!("../docs/docs.js")),
        }
    }
}

/// `GET /`, `GET /docs` and what these pages load. They tell nothing that needs a token.
pub(crate) fn serve(exchange: Exchange, asset: Asset) {
    let (media, bytes) = asset.content();
    exchange.answer(Reply { media, policy: POLICY, ..Reply::new(200, bytes.to_vec()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Asset, &str); 10] = [
        (Asset::Page, "/"),
        (Asset::Style, "/ui/style.css"),
        (Asset::Icon, "/ui/icon.svg"),
        (Asset::Main, "/ui/main.js"),
        (Asset::Ask, "/ui/ask.js"),
        (Asset::Lists, "/ui/lists.js"),
        (Asset::Words, "/ui/words.js"),
        (Asset::Docs, "/docs"),
        (Asset::DocsStyle, "/ui/docs.css"),
        (Asset::DocsMain, "/ui/docs.js"),
    ];

    fn text(asset: Asset) -> &'static str {
        std::str::from_utf8(asset.content().1).unwrap()
    }

    #[test]
    fn every_file_is_at_its_path_and_names_only_files_that_are_there() {
        for (asset, path) in ALL {
            assert_eq!(Asset::at(path), Some(asset));
            for (at, _) in text(asset).match_indices("/ui/") {
                let rest = &text(asset)[at..];
                let end = rest.find(['"', '\'']).unwrap();
                assert!(Asset::at(&rest[..end]).is_some(), "{path} names {}", &rest[..end]);
            }
        }
    }

    #[test]
    fn nothing_in_the_page_asks_others_or_reads_texts_as_markup() {
        for (asset, path) in ALL {
            let text = text(asset).replace("http://www.w3.org/2000/svg", "");
            let banned = [
                "http://",
                "https://",
                "//cdn",
                "@import",
                "innerHTML",
                "outerHTML",
                "eval(",
                "insertAdjacentHTML",
                "document.write",
                "style=\"",
                "onclick=",
                "javascript:",
            ];
            for word in banned {
                assert!(!text.contains(word), "{path} contains {word}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{path}: a long line");
        }
    }
}
