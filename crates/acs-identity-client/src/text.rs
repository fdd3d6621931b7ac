//! Names that the service may add to: those known here are constants, and others are taken as they are.

macro_rules! extensible {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$known_doc:meta])* $known:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(std::borrow::Cow<'static, str>);

        impl $name {
            $($(#[$known_doc])* pub const $known: Self = Self(std::borrow::Cow::Borrowed($text));)*

            /// Takes another one than those known here.
            ///
            /// # Errors
            /// `InvalidInput` unless it is 1 to 64 of letters, digits, `.`, `-` and `_` in ASCII.
            pub fn new(text: impl Into<String>) -> acs_identity_core::Result<Self> {
                let text = text.into();
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
                    return Err(acs_identity_core::Error::invalid_input(format!(
                        concat!($what, " is 1 to 64 letters, digits, dots, hyphens and underscores, not {}"),
                        acs_identity_core::Excerpt(text.as_bytes())
                    )));
                }
                Ok(Self(text.into()))
            }

            /// As it is on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        /// As [`new`](Self::new).
        impl std::str::FromStr for $name {
            type Err = acs_identity_core::Error;
            fn from_str(text: &str) -> acs_identity_core::Result<Self> {
                Self::new(text)
            }
        }
    };
}

pub(crate) use extensible;
