//! A project's page in an index, as JSON (PEP 691) or HTML (PEP 503): which address a file has.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use regex::Regex;
use serde::Deserialize;
use url::Url;

/// The forms of a page that are read, best first.
pub(super) const KINDS: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
}

/// Where a file is, on a page that is `at` an address.
pub(super) fn find(page: &str, at: &Url, file: &str) -> Option<Url> {
    if let Ok(page) = serde_json::from_str::<Page>(page) {
        let found = page
            .files
            .into_iter()
            .find(|known| known.filename == file)?;
        return at.join(&found.url).ok();
    }
    static LINKS: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r#"(?is)<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)')"#;
        Regex::new(pattern).expect("a pattern")
    });
    let mut links = LINKS.captures_iter(page).filter_map(|found| {
        let link = found
            .get(1)
            .or(found.get(2))?
            .as_str()
            .replace("&amp;", "&");
        let mut url = at.join(&link).ok()?;
        url.set_fragment(None);
        Some(url)
    });
    links.find(|url| {
        let name = url.path().rsplit('/').next().unwrap_or_default();
        percent_decode_str(name).decode_utf8_lossy() == file
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_on_pages_of_either_form() {
        let at: Url = "https://index.example/simple/uv/".parse().unwrap();
        let json = r#"{"meta": {"api-version": "1.1"}, "files": [
            {"filename": "uv-1.tar.gz", "url": "https://files.example/uv-1.tar.gz"},
            {"filename": "uv-1-py3-none-any.whl", "url": "../../files/uv-1-py3-none-any.whl", "hashes": {}}]}"#;
        let html = "<!DOCTYPE html><a data-x='1' href=\"../../files/uv-1-py3-none-any.whl#sha256=00\">uv</a>\n\
                    <A HREF='/files/uv-1%2Bcpu-py3-none-any.whl?a=1&amp;b=2'>x</A>";
        let file = "https://index.example/files/uv-1-py3-none-any.whl";
        for page in [json, html] {
            let found = find(page, &at, "uv-1-py3-none-any.whl").map(String::from);
            assert_eq!(found.as_deref(), Some(file), "{page}");
            assert_eq!(find(page, &at, "uv-2-py3-none-any.whl"), None);
        }
        let quoted = find(html, &at, "uv-1+cpu-py3-none-any.whl").unwrap();
        assert_eq!(quoted.query(), Some("a=1&b=2"));
        for nothing in ["", "{}", "{\"files\": 1}", "<a>", "<a href=\"http://[\">"] {
            assert_eq!(find(nothing, &at, "x.whl"), None, "{nothing}");
        }
    }
}
