//! What a caller sends and nobody else may read.

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use acs_identity_core::Redacted;

/// Texts are found also where they are escaped, such as in an address or in JSON, and where that is escaped once more.
const ESCAPED: usize = 2;

/// No byte that is escaped so often takes more than this, as anybody writes it.
const LONGEST_ESCAPE: usize = 16;

/// The private texts of one call, to be taken out of what the service answers.
#[derive(Default)]
pub(crate) struct Scrubber(Mutex<Vec<String>>);

impl Scrubber {
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        // With room for what is added: most calls have one text and one try.
        let mut all = Vec::with_capacity(4);
        all.extend(texts.into_iter().map(str::to_owned));
        Self(Mutex::new(all))
    }

    fn texts(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, that a single try is sent with.
    pub(crate) fn add(&self, text: &str) {
        let mut texts = self.texts();
        if !texts.iter().any(|known| known == text) {
            texts.push(text.to_owned());
        }
    }

    /// Each as it is, and as an access token's claim has an ACS ID.
    fn parts(&self) -> Vec<String> {
        let mut parts = self.texts().clone();
        for index in 0..parts.len() {
            if let Some(id) = parts[index].strip_prefix("8:") {
                // The last part alone tells who it is.
                let more = [Some(id), id.rsplit('_').next()].map(|part| part.map(str::to_owned));
                parts.extend(more.into_iter().flatten());
            }
        }
        // Short ones would be found everywhere, and tell nothing.
        parts.retain(|part| part.len() >= 3);
        parts
    }

    /// The text without private ones, without characters that begin lines or turn the direction of writing, and with so many characters at most. Of a text that is much longer,
    /// only the beginning is looked at.
    pub(crate) fn scrub(&self, text: &str, max: usize) -> String {
        let parts = self.parts();
        let longest = LONGEST_ESCAPE * parts.iter().map(String::len).max().unwrap_or_default();
        // Nothing that begins before the end is private, unless it is found; what is beyond is there to find it.
        let end = text.floor_char_boundary(4 * max + longest);
        let mut layer = Layer::new(&text[..text.floor_char_boundary(end + longest)]);
        let mut found = Vec::new();
        for level in 0..=ESCAPED {
            if level > 0 {
                layer = layer.unescaped();
            }
            for part in &parts {
                found.extend(layer.find(part).map(|(from, to)| (from, to, part)));
            }
        }
        // The longest first, so that none is left half.
        found.sort_unstable_by_key(|&(from, to, _)| (from, Reverse(to)));

        let (mut shown, mut done) = (String::new(), 0);
        for (from, to, part) in found.into_iter().filter(|&(from, ..)| from < end) {
            if from >= done {
                shown.push_str(text.get(done..from).unwrap_or_default());
                shown.push_str(&Redacted(part).to_string());
            }
            done = done.max(to);
        }
        shown.push_str(text.get(done..end).unwrap_or_default());
        shown.chars().take(max).map(|one| if is_layout(one) { ' ' } else { one }).collect()
    }
}

/// Whether it changes how the text around it is shown.
fn is_layout(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The bytes of a text, in small letters as far as they are ASCII, and from where in the text each is.
struct Layer {
    bytes: Vec<u8>,
    /// One more than there are bytes: the last is the text's end.
    from: Vec<usize>,
}

impl Layer {
    fn new(text: &str) -> Self {
        Self { bytes: text.to_ascii_lowercase().into_bytes(), from: (0..=text.len()).collect() }
    }

    /// The same with what its escapes stand for.
    fn unescaped(&self) -> Self {
        let (mut bytes, mut from) = (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.from.len()));
        let mut rest = &*self.bytes;
        while !rest.is_empty() {
            let start = self.from[self.bytes.len() - rest.len()];
            let length = unescape(rest, &mut bytes);
            rest = &rest[length..];
            from.resize(bytes.len(), start);
        }
        from.extend(self.from.last());
        bytes.make_ascii_lowercase();
        Self { bytes, from }
    }

    /// Where in the text there is this part. By the algorithm of Knuth, Morris and Pratt: the time it takes does not grow with the
    /// square of a text that repeats itself.
    fn find(&self, part: &str) -> impl Iterator<Item = (usize, usize)> {
        let part = part.to_ascii_lowercase().into_bytes();
        // Of each beginning of the part, how long an end of it is a beginning, too.
        let mut borders = vec![0; part.len()];
        let mut length = 0;
        for at in 1..part.len() {
            while length > 0 && part[at] != part[length] {
                length = borders[length - 1];
            }
            length += usize::from(part[at] == part[length]);
            borders[at] = length;
        }
        let mut same = 0;
        self.bytes.iter().enumerate().filter_map(move |(at, byte)| {
            while same > 0 && part.get(same) != Some(byte) {
                same = borders[same - 1];
            }
            same += usize::from(part[same] == *byte);
            (same == part.len()).then(|| (self.from[at + 1 - same], self.from[at + 1]))
        })
    }
}

/// Takes a byte of a text that is not empty, or what its first escape stands for; how many bytes it is of.
fn unescape(text: &[u8], into: &mut Vec<u8>) -> usize {
    if let Some(byte) = hexadecimal(text, b"%", 2).and_then(|byte| u8::try_from(byte).ok()) {
        into.push(byte);
        return 3;
    }
    let unit = |at| hexadecimal(text.get(at..)?, b"\\u", 4);
    // Characters of two units are escaped as two.
    if let Some(Ok(one)) = char::decode_utf16([0, 6].into_iter().map_while(unit)).next() {
        into.extend_from_slice(one.encode_utf8(&mut [0; 4]).as_bytes());
        return 6 * one.len_utf16();
    }
    match text {
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => {
            into.push(*byte);
            2
        }
        _ => {
            into.push(text[0]);
            1
        }
    }
}

/// The number in so many digits after a mark.
fn hexadecimal(text: &[u8], mark: &[u8], digits: usize) -> Option<u16> {
    let digits = text.strip_prefix(mark)?.get(..digits)?;
    let number = digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?));
    u16::try_from(number?).ok()
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_of_an_id_is_found() {
        let scrubber = Scrubber::of(["8:acs:res_user-42", "bob@contoso.com"]);
        let text = scrubber.scrub("8%3aACS%3ares_user-42, acs:res_user-42; user-42! BOB@contoso.com bob", 1000);
        assert!(!text.to_lowercase().contains("user-42") && !text.to_lowercase().contains("bob@"), "{text}");
        assert!(text.ends_with(" bob"));
    }

    #[test]
    fn texts_are_cut_and_have_one_line() {
        assert_eq!(Scrubber::default().scrub("a\nü\u{0}cd", 4), "a ü ");
        // Those that turn the direction of what follows make a text look like another one.
        assert_eq!(Scrubber::default().scrub("a\u{202e}b\u{2066}c\u{200f}d\u{2028}e\u{61c}f", 99), "a b c d e f");
    }

    #[test]
    fn escapes_hide_nothing() {
        let scrubber = Scrubber::of([r#"o'neil+acs@"ü😀".com"#]);
        for escaped in [
            r#"O'NEIL+ACS@"ü😀".COM"#,
            r#"o'neil+acs@\"ü😀\".com"#,
            r"o\u0027neil\u002Bacs@\u0022\u00FC\uD83D\uDE00\u0022.com",
            r"o\\u0027neil\\u002Bacs@\\u0022\\u00FC\\uD83D\\uDE00\\u0022.com",
            "o'neil%2bacs%40%22%C3%BC%F0%9F%98%80%22.com",
            "o%2527neil%252Bacs%2540%2522%25C3%25BC%25F0%259F%2598%2580%2522.com",
        ] {
            let shown = scrubber.scrub(&format!("a {escaped} b"), 1000);
            assert!(
                shown.starts_with("a <") && shown.ends_with("> b") && !shown.contains("neil"),
                "{escaped}: {shown}"
            );
        }
        // What only looks like one is none.
        let text = r"100% of %zz \x \u12 \uD83D é";
        assert_eq!(scrubber.scrub(text, 1000), text);
    }

    #[test]
    fn private_texts_that_overlap_leave_nothing_of_each_other() {
        let scrubber = Scrubber::of(["abcdef", "defghi", "cde"]);
        let shown = scrubber.scrub("xabcdefghix cde", 1000);
        assert!(shown.starts_with("x<6 bytes ") && shown.contains(">x <3 bytes "), "{shown}");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        let secret = "s".repeat(5000);
        let scrubber = Scrubber::of(["bob", secret.as_str()]);
        let text = scrubber.scrub(&"bob ".repeat(250_000), 1000);
        assert!(text.starts_with("<3 bytes ") && text.chars().count() == 1000 && !text.contains("bob"), "{text}");
        // One that reaches beyond all that is shown is not shown in part.
        let text = scrubber.scrub(&format!("{}{secret}", "ü".repeat(990)), 1000);
        assert!(text.contains("ü<5000") && !text.contains("sss"), "{text}");
        let text = scrubber.scrub(&format!("{secret} and {}", "more ".repeat(200_000)), 1000);
        assert!(text.contains("> and more"), "{text}");
    }

    #[test]
    fn one_that_is_added_later_is_found() {
        let scrubber = Scrubber::of(["bob"]);
        scrubber.add("alice");
        assert!(!scrubber.scrub("bob and alice", 1000).contains("alice"));
    }

    /// As addresses have it.
    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    /// As JSON may have it, and some writers of JSON do.
    fn json(text: &str) -> String {
        text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
    }

    proptest! {
        #[test]
        fn nothing_private_is_left_and_nothing_panics(
            private in r#"[a-zäé%\\"+😀]{6,12}"#, before in "\\PC{0,20}", after in "\\PC{0,20}"
        ) {
            let scrubbed = Scrubber::of([private.as_str()]).scrub(&format!("{before}{private}{after}"), 1000);
            prop_assert!(!scrubbed.contains(&private));
        }

        #[test]
        fn nothing_that_is_escaped_is_left(private in "\\PC{3,12}", first in 0..3, second in 0..3, before in "[g-z ]{0,9}") {
            let escaped = |text: String, how| match how {
                0 => text,
                1 => percent(&text),
                _ => json(&text),
            };
            let text = escaped(escaped(private.clone(), first), second);
            let scrubbed = Scrubber::of([private.as_str()]).scrub(&format!("{before}{text}, {text}."), 1000);
            let shown = Redacted(&private);
            prop_assert_eq!(scrubbed, format!("{before}{shown}, {shown}."));
        }

        #[test]
        fn every_place_is_found(part in "[ab]{1,4}", text in "[ab]{0,40}") {
            let expected = (0..text.len()).filter(|at| text[*at..].starts_with(&part)).map(|at| (at, at + part.len()));
            prop_assert!(Layer::new(&text).find(&part).eq(expected));
        }
    }
}
