//! An ACS ID as it stands in an index: shorter, so that a server keeps an index of a few in a compact form.
//!
//! Each UUID in lowercase digits, as ACS writes them, is a byte 2 and then its sixteen bytes. No ACS ID holds a byte 2
//! itself.

const UUID: u8 = 2;

/// The places of the hyphens in a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const LENGTH: usize = 36;

/// The short form of an ACS ID.
pub(crate) fn of(id: &str) -> Vec<u8> {
    let mut rest = id.as_bytes();
    let mut member = Vec::with_capacity(rest.len());
    while let Some((first, others)) = rest.split_first() {
        match uuid(rest) {
            Some(bytes) => {
                member.push(UUID);
                member.extend(bytes);
                rest = &rest[LENGTH..];
            }
            None => {
                member.push(*first);
                rest = others;
            }
        }
    }
    member
}

/// The UUID that a text begins with.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = text.get(..LENGTH)?;
    if HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits =
        text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
    for byte in &mut bytes {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    Some(bytes)
}

/// The ACS ID of a short form; `None` if it is none.
pub(crate) fn read(mut member: &[u8]) -> Option<String> {
    let mut id = Vec::with_capacity(2 * member.len());
    while let Some((first, rest)) = member.split_first() {
        if *first != UUID {
            id.push(*first);
            member = rest;
            continue;
        }
        let (bytes, rest) = rest.split_at_checked(16)?;
        for (place, byte) in bytes.iter().enumerate() {
            if [4, 6, 8, 10].contains(&place) {
                id.push(b'-');
            }
            id.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        member = rest;
    }
    String::from_utf8(id).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "8:acs:5e2c0a6c-8f4b-4d2e-9b1a-3c7d5e9f1a2b_00000005-578d-7caf-07fd-084822001724";

    #[test]
    fn an_acs_users_id_is_half_as_long() {
        assert_eq!(of(ID).len(), 41);
        assert_eq!(read(&of(ID)).unwrap(), ID);
        let upper = ID.to_uppercase();
        assert_eq!(of(&upper), upper.as_bytes());
    }

    #[test]
    fn what_is_cut_off_is_none() {
        assert_eq!(read(&of(ID)[..20]), None);
    }

    proptest! {
        #[test]
        fn every_id_is_read_as_it_was(id in "[ -~é]{0,20}([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}[_-]?){0,3}[0-9a-fA-F-]{0,40}") {
            prop_assert_eq!(read(&of(&id)).unwrap(), id);
        }

        #[test]
        fn two_users_of_a_resource_keep_their_order(one in any::<u128>(), other in any::<u128>()) {
            let user = |number: u128| {
                let digits = format!("{number:032x}");
                let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                format!("{}{}", &ID[..43], parts.join("-"))
            };
            prop_assert_eq!(of(&user(one)).cmp(&of(&user(other))), user(one).cmp(&user(other)));
        }
    }
}
