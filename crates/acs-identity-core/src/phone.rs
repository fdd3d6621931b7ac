//! Comparing phone numbers that were written with and without the `+`.

use crate::{AcsId, CommunicationIdentifier};

impl AcsId {
    /// Whether two IDs are the same phone number, written with or without the leading `+`.
    ///
    /// `4:+14255550123` and `4:14255550123` are two IDs, and stay two; but older SDKs added and took away
    /// the `+`, and SMS events leave it out, so a database can hold both for one telephone. This compares
    /// them without changing either:
    /// - both must be phone numbers;
    /// - the tail with the asserted ID, which tells apart the legs of a call, is not part of the number:
    ///   `4:+14255550123_7` is the number of `4:+14255550123`;
    /// - one leading `+` may be missing where all the rest is ASCII digits; anything else, such as a GUID,
    ///   must be equal byte for byte;
    /// - an anonymous or an empty number is not the same as any, itself included: nobody knows who it is.
    ///
    /// No country code is guessed: `4:4255550123` is another number.
    ///
    /// ```
    /// use acs_identity_core::AcsId;
    /// let (call, sms) = (AcsId::new("4:+14255550123")?, AcsId::new("4:14255550123")?);
    /// assert!(call != sms && call.same_phone_number(&sms));
    /// # Ok::<(), acs_identity_core::Error>(())
    /// ```
    pub fn same_phone_number(&self, other: &Self) -> bool {
        match (number(self), number(other)) {
            (Some(one), Some(two)) => one == two,
            _ => false,
        }
    }
}

/// The number of a phone's ID, without the optional `+` and the asserted ID; `None` if there is none to compare.
fn number(id: &AcsId) -> Option<&str> {
    let CommunicationIdentifier::PhoneNumber { value, asserted_id, .. } = id.identifier() else { return None };
    let number = match asserted_id {
        Some(tail) => &value[..value.len() - tail.len() - "_".len()],
        None => value,
    };
    match number.strip_prefix('+') {
        // Also after the asserted ID is gone: it then tells apart the anonymous legs.
        _ if number.is_empty() || number == "anonymous" => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits),
        _ => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(one: &str, two: &str) -> bool {
        let (one, two) = (AcsId::new(one).unwrap(), AcsId::new(two).unwrap());
        assert_eq!(one.same_phone_number(&two), two.same_phone_number(&one));
        one.same_phone_number(&two)
    }

    #[test]
    fn the_plus_and_the_asserted_id_make_no_other_number() {
        for form in ["4:14255550123", "4:+14255550123", "4:+14255550123_leg", "4:14255550123_7"] {
            assert!(same("4:+14255550123", form), "{form}");
        }
        assert!(same("4:207ffef6-9444-41fb-92ab-20eacaae2768_a", "4:207ffef6-9444-41fb-92ab-20eacaae2768"));
    }

    #[test]
    fn other_numbers_and_other_kinds_are_not_the_same() {
        for (one, two) in [
            ("4:+14255550123", "4:+14255550124"),
            ("4:+14255550123", "4:4255550123"),
            ("4:+14255550123", "4:++14255550123"),
            ("4:+1425555x", "4:1425555x"),
            ("4:+", "4:++"),
            ("4:14255550123", "8:acs:14255550123"),
            ("8:acs:a_b", "8:acs:a_b"),
        ] {
            assert!(!same(one, two), "{one} {two}");
        }
    }

    #[test]
    fn nobody_is_the_same_as_an_anonymous_or_an_empty_number() {
        for nobody in ["4:anonymous", "4:anonymous_123", "4:", "4:_123"] {
            assert!(!same(nobody, nobody), "{nobody}");
        }
        // Not what the SDKs call anonymous.
        assert!(same("4:anonymous123", "4:anonymous123"));
    }

    proptest! {
        #[test]
        fn digits_are_the_same_with_and_without_plus(digits in "[0-9]{1,20}", leg in "(_[a-z0-9]{1,5})?") {
            let with_plus = format!("4:+{digits}{leg}");
            let without = format!("4:{digits}");
            prop_assert!(same(&with_plus, &without));
        }
    }
}
