//! What a caller sends and nobody else may read.

use std::fmt;

use acs_identity_core::Redacted;

use crate::endpoint::encoded;

/// The private texts of one call, to be taken out of what the service answers.
#[derive(Default)]
pub(crate) struct Scrubber(Vec<String>);

impl Scrubber {
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(str::to_owned).collect())
    }

    /// Each as it is, as it is in an address, and as an access token's claim has an ACS ID; the longest first, so that none is
    /// left half.
    fn forms(&self) -> Vec<String> {
        let mut forms: Vec<String> = Vec::new();
        for text in &self.0 {
            forms.extend([text.clone(), encoded(text)]);
            if let Some(id) = text.strip_prefix("8:") {
                // The last part alone tells who it is.
                forms.extend([Some(id), id.rsplit('_').next()].into_iter().flatten().map(str::to_owned));
            }
        }
        // Short ones would be found everywhere, and tell nothing.
        forms.retain(|text| text.len() >= 3);
        forms.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        forms
    }

    /// The text without private ones, without control characters, and with so many characters at most.
    pub(crate) fn scrub(&self, text: &str, max: usize) -> String {
        let mut text = text.to_owned();
        for private in self.forms() {
            let mut from = 0;
            while let Some(at) = find(&text[from..], &private).map(|at| from + at) {
                let shown = Redacted(&private).to_string();
                text.replace_range(at..at + private.len(), &shown);
                from = at + shown.len();
            }
        }
        text.chars().take(max).map(|one| if one.is_control() { ' ' } else { one }).collect()
    }
}

/// Whether upper or lower case, in ASCII.
fn find(text: &str, part: &str) -> Option<usize> {
    let same = |window: &[u8]| window.eq_ignore_ascii_case(part.as_bytes());
    text.as_bytes().windows(part.len()).position(same)
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
    }

    proptest! {
        #[test]
        fn nothing_private_is_left_and_nothing_panics(private in "[a-zäé]{6,12}", before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let scrubbed = Scrubber::of([private.as_str()]).scrub(&format!("{before}{private}{after}"), 1000);
            prop_assert!(!scrubbed.contains(&private));
        }
    }
}
