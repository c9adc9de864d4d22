//! Secrets whose values are known, taken out of what a program says that was given them.
//!
//! A value is looked for as it is, and as it stands in an address and in base64: steps of a build
//! print it in all three.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::REDACTED;
use crate::forms::log_ins;
use crate::names::is_harmless;

/// Values shorter than this are words of their own: taking them out would leave nothing readable.
const SHORTEST: usize = 4;
/// The same for a line or a field of a secret file.
const SHORTEST_PART: usize = 8;
/// Most that a [`StreamRedactor`] holds back, in bytes, unless a value is longer.
const MOST_HELD: usize = 64 << 10;

/// Values that are never to be shown.
#[derive(Clone, Default)]
pub struct KnownSecrets {
    values: BTreeSet<Vec<u8>>,
    /// Finds them; `None` where there are none.
    finder: Option<AhoCorasick>,
}

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownSecrets({})", self.values.len())
    }
}

impl KnownSecrets {
    /// Of values: passwords, tokens, contents of secret files. A value of several lines is known by
    /// each of them too, and by what stands behind the `=` or `:` of a line.
    pub fn new<T: AsRef<[u8]>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let mut values = BTreeSet::new();
        for secret in secrets {
            add_secret(&mut values, secret.as_ref());
        }
        // It fails for gigabytes of values only.
        let finder = AhoCorasick::new(&values).ok();
        Self {
            finder: finder.filter(|_| !values.is_empty()),
            values,
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// Where they stand, in order; what overlaps or touches is one place.
    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(finder) = &self.finder else {
            return Vec::new();
        };
        let mut found: Vec<Range<usize>> = finder
            .find_overlapping_iter(text)
            .map(|found| found.range())
            .collect();
        found.sort_by_key(|place| place.start);
        let mut places: Vec<Range<usize>> = Vec::new();
        for place in found {
            match places.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => places.push(place),
            }
        }
        places
    }

    /// The bytes without them.
    pub fn redact_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let places = self.places(text);
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(without(text, &places))
    }

    /// The text without them.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Length of the longest value.
    fn longest(&self) -> usize {
        self.values.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Where the longest end of `text` begins that may be the beginning of a value.
    fn open_end(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest().saturating_sub(1));
        let begins = |end: &[u8]| {
            let next = self.values.range(end.to_vec()..).next();
            next.is_some_and(|value| value.starts_with(end))
        };
        (first..text.len())
            .find(|&at| begins(&text[at..]))
            .unwrap_or(text.len())
    }
}

/// The passwords of addresses in a text, as they stand there and decoded.
pub fn passwords_of_addresses(text: &str) -> Vec<String> {
    let mut passwords = Vec::new();
    for password in log_ins(text) {
        let decoded = percent_decoded(password);
        passwords.extend(decoded.filter(|decoded| decoded != password));
        passwords.push(password.to_owned());
    }
    passwords
}

fn add_secret(values: &mut BTreeSet<Vec<u8>>, secret: &[u8]) {
    let secret = secret.trim_ascii();
    add_value(values, secret, SHORTEST);
    let Ok(text) = std::str::from_utf8(secret) else {
        return;
    };
    for password in passwords_of_addresses(text) {
        add_value(values, password.as_bytes(), SHORTEST);
    }
    let lines = text.lines().map(str::trim);
    // Of a file, not of a password with such a character in it.
    let is_file = text.contains(['\n', ' ', '{']);
    for line in lines.filter(|_| is_file) {
        add_part(values, line);
        for (at, _) in line.match_indices(['=', ':']) {
            add_part(
                values,
                line[at + 1..].trim_matches(|c: char| " \t\"',;}{".contains(c)),
            );
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            // As netrc has it.
            if word == "password" {
                add_part(values, words.next().unwrap_or_default());
            }
        }
    }
}

/// A line or a field, unless it is an address: its password is known by itself.
fn add_part(values: &mut BTreeSet<Vec<u8>>, part: &str) {
    if !part.contains("://") && !part.starts_with("-----") {
        add_value(values, part.as_bytes(), SHORTEST_PART);
    }
}

fn add_value(values: &mut BTreeSet<Vec<u8>>, value: &[u8], shortest: usize) {
    let is_word = std::str::from_utf8(value).is_ok_and(|text| {
        // A long number is a number of an account or a card, or a password.
        let is_number = text.len() >= SHORTEST_PART && text.parse::<f64>().is_ok();
        is_harmless(text) && !is_number && !text.starts_with(['/', '$', '<', '{', '~', '*', '['])
    });
    if value.len() < shortest || is_word {
        return;
    }
    values.insert(value.to_vec());
    values.insert(percent_encoded(value));
    let encoded = base64(value);
    // Shorter ones are parts of other words.
    if encoded.len() >= SHORTEST_PART {
        values.insert(encoded);
    }
}

/// All but what an address takes anywhere, in percent-encoding (RFC 3986, 2.3).
fn percent_encoded(value: &[u8]) -> Vec<u8> {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    percent_encode(value, ENCODED).to_string().into_bytes()
}

/// `None` where it isn't UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Without what fills it up at the end, and without the last character, which depends on what follows.
fn base64(value: &[u8]) -> Vec<u8> {
    let whole = value.len() / 3 * 3;
    STANDARD_NO_PAD.encode(&value[..whole]).into_bytes()
}

fn without(text: &[u8], places: &[Range<usize>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for place in places {
        out.extend_from_slice(&text[done..place.start]);
        out.extend_from_slice(REDACTED.as_bytes());
        done = place.end;
    }
    out.extend_from_slice(&text[done..]);
    out
}

/// Takes known secrets out of a text that comes in pieces: what may be the beginning of one is held
/// back until more is known.
#[derive(Debug, Default)]
pub struct StreamRedactor {
    held: Vec<u8>,
}

impl StreamRedactor {
    /// Takes a piece, and returns what can be shown by now.
    pub fn push(&mut self, piece: &[u8], known: &KnownSecrets) -> Vec<u8> {
        if known.is_empty() && self.held.is_empty() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        let mut places = known.places(&self.held);
        let mut end = known.open_end(&self.held);
        let is_full = self.held.len() > MOST_HELD.max(2 * known.longest());
        // What reaches into the part that is held is shown with it, unless it never ends.
        while let Some(last) = places.last().filter(|last| last.end > end) {
            if is_full {
                end = last.end;
            } else {
                end = last.start;
                places.pop();
            }
        }
        let rest = self.held.split_off(end);
        let shown = std::mem::replace(&mut self.held, rest);
        without(&shown, &places)
    }

    /// What was held back, at the end.
    pub fn finish(&mut self, known: &KnownSecrets) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        known.redact_bytes(&held).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_in_each_form() {
        let known = KnownSecrets::new(["p@ss/word1", "true", "ab"]);
        for (text, shown) in [
            ("x p@ss/word1 y", "x <redacted> y"),
            ("https://u:p%40ss%2Fword1@h", "https://u:<redacted>@h"),
            ("cEBzcy93b3JkMQ==", "<redacted>MQ=="),
            ("true ab", "true ab"),
        ] {
            assert_eq!(known.redact(text), shown);
        }
        let numbers = KnownSecrets::new(["5000", "8.25", "493827165012", "0000000000e0"]);
        let text = "5000 8.25 493827165012 0000000000e0";
        assert_eq!(numbers.redact(text), "5000 8.25 <redacted> <redacted>");
    }

    #[test]
    fn parts_of_a_secret_file_are_known() {
        let known = KnownSecrets::new([
            "machine h.example login me password netrc-hunter2\n",
            "[default]\naws_secret_access_key = wJalrXUtnFEMI/K7\nregion = eu\n",
            "{\"auth\": \"dXNlcjpwYXNz\"}",
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkqh\n-----END KEY-----\n",
            "https://robot:s3cr3t%21@index.example/simple",
        ]);
        let text =
            "netrc-hunter2 wJalrXUtnFEMI/K7 dXNlcjpwYXNz MIIEvQIBADANBgkqh s3cr3t! region eu";
        let shown = known.redact(text);
        assert_eq!(
            shown,
            "<redacted> <redacted> <redacted> <redacted> <redacted> region eu"
        );
    }

    #[test]
    fn what_overlaps_is_taken_out_whole() {
        let known = KnownSecrets::new(["abcd1234", "1234wxyz"]);
        assert_eq!(known.redact("-abcd1234wxyz-"), "-<redacted>-");
        let mut stream = StreamRedactor::default();
        let mut shown = stream.push(b"-abcd1234", &known);
        shown.extend(stream.push(b"-", &known));
        shown.extend(stream.finish(&known));
        assert_eq!(shown, b"-<redacted>-");
    }

    #[test]
    fn a_stream_that_repeats_a_secret_for_ever_is_not_kept() {
        let known = KnownSecrets::new(["aaaaaaaa"]);
        let mut stream = StreamRedactor::default();
        for _ in 0..12 {
            let shown = stream.push(&[b'a'; 20_000], &known);
            assert!(shown.iter().filter(|&&b| b == b'a').count() < 16, "shown");
        }
        assert!(stream.held.len() <= MOST_HELD);
    }

    proptest! {
        /// Secrets among other text, cut anywhere: the same as in one piece, and no secret in it.
        #[test]
        fn no_cut_lets_a_secret_through(
            secrets in prop::collection::vec("[a-c]{4,7}|[a-z0-9/+]{12,20}|[a-z]{5}\n[a-z]{9}", 1..4),
            between in prop::collection::vec("[a-d \n]{0,9}", 5),
            order in prop::collection::vec(0_usize..4, 4),
            cuts in prop::collection::vec(1_usize..9, 0..40),
        ) {
            let known = KnownSecrets::new(&secrets);
            let mut text = between[0].clone();
            for (at, between) in order.iter().zip(&between[1..]) {
                text += secrets.get(*at).map_or("", String::as_str);
                text += between;
            }
            let mut stream = StreamRedactor::default();
            let (mut shown, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                shown.extend(stream.push(piece, &known));
                rest = after;
            }
            shown.extend(stream.push(rest, &known));
            shown.extend(stream.finish(&known));
            let shown = String::from_utf8(shown).unwrap();
            prop_assert_eq!(&shown, &known.redact(&text));
            for secret in &secrets {
                prop_assert!(!shown.contains(secret.trim()), "{secret:?} in {shown:?}");
            }
        }
    }
}
