//! How private text (phone numbers, e-mail addresses, names) is shown in `Debug` and in errors: by its
//! length and a short tag, never by its characters.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// Shows a private text as its length and an eight-digit tag.
///
/// The tag is a keyed hash whose key is drawn once per process, so two log lines of one process can be
/// correlated, and nobody can test a guess against a log.
///
/// ```
/// use acs_identity_core::Redacted;
/// let line = format!("{:?}", Redacted("bob@contoso.com"));
/// assert!(line.starts_with("<15 bytes #") && !line.contains("bob"));
/// ```
#[derive(Clone, Copy)]
pub struct Redacted<'a>(pub &'a str);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(self.0);
        write!(f, "<{} bytes #{:08x}>", self.0.len(), hash >> 32)
    }
}

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The first bytes of an input that was refused, escaped, for an error message.
///
/// At most [`Excerpt::MAX`] characters of output come from the input, so a hostile or a private input
/// is never repeated whole.
#[derive(Clone, Copy)]
pub struct Excerpt<'a>(pub &'a [u8]);

impl Excerpt<'_> {
    /// The most bytes of output that come from the input.
    pub const MAX: usize = 32;
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        f.write_str("\"")?;
        for (position, byte) in self.0.iter().enumerate() {
            let escaped = byte.escape_ascii();
            if shown + escaped.len() > Self::MAX {
                return write!(f, "\"… ({} bytes more)", self.0.len() - position);
            }
            shown += escaped.len();
            write!(f, "{escaped}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_correlates_and_hides() {
        let one = format!("{:?}", Redacted("+14255550123"));
        assert_eq!(one, format!("{}", Redacted("+14255550123")));
        assert_ne!(one, format!("{:?}", Redacted("+14255550124")));
        assert!(!one.contains("4255550"));
    }

    #[test]
    fn an_excerpt_is_short_and_escaped() {
        assert_eq!(format!("{}", Excerpt(b"a\nb")), r#""a\nb""#);
        let long = vec![b'x'; 10_000_000];
        let text = format!("{}", Excerpt(&long));
        assert_eq!(text.matches('x').count(), Excerpt::MAX);
        assert!(text.ends_with("(9999968 bytes more)"));
        // An escape is never cut in the middle.
        let zeros = format!("{}", Excerpt(&[0u8; 100]));
        assert!(zeros.starts_with(r#""\x00\x00"#) && zeros.contains(r#"\x00""#));
    }
}
