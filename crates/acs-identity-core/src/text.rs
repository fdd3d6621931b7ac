//! Texts that are mostly short.

use std::ops::Deref;
use std::sync::Arc;

use arrayvec::ArrayString;

/// An immutable text, in its place up to so many bytes; a longer one is shared by its copies.
///
/// To copy a short one is to copy some bytes. A count of copies would be written to by all threads that are answered with the same customer,
/// and a text elsewhere is one more piece of memory to wait for.
#[derive(Clone)]
pub(crate) enum Text<const SHORT: usize> {
    Short(ArrayString<SHORT>),
    Long(Arc<str>),
}

impl<const SHORT: usize> Text<SHORT> {
    #[inline]
    pub(crate) fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Self {
        let short = ArrayString::from(text.as_ref()).ok();
        short.map_or_else(|| Self::Long(text.into()), Self::Short)
    }
}

impl<const SHORT: usize> Deref for Text<SHORT> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_long_text_is_elsewhere() {
        assert!(matches!(Text::<4>::new("1234"), Text::Short(_)));
        assert!(matches!(Text::<4>::new("12345"), Text::Long(_)));
    }

    proptest! {
        #[test]
        fn a_text_is_what_it_was_made_of_and_so_is_its_copy(text in "[a-zé🙂]{0,12}") {
            let kept = Text::<8>::new(text.as_str());
            prop_assert_eq!(&*kept.clone(), text.as_str());
            prop_assert_eq!(&*kept, text.as_str());
        }
    }
}
