//! P6: IDs byte for byte.

use std::collections::BTreeMap;

use acs_identity_core::{AcsId, CustomerId, Expect, Link};

use crate::support::{acs, customer, customer_of, ids_of, namespace, scanned};
use crate::{Fixture, Verdict};

/// Texts that a collation, a pattern or a key syntax may take for one another.
fn variants() -> Vec<String> {
    let near = [
        // Case and spaces.
        "bob",
        "Bob",
        "BOB",
        "bob ",
        "bob  ",
        " bob",
        "bob\u{a0}",
        "bob\u{3000}",
        "bo b",
        // Unicode: composed and decomposed, compatible and ignorable characters, case pairs of other scripts.
        "b\u{f3}b",
        "bo\u{301}b",
        "\u{ff42}ob",
        "bo\u{200b}b",
        "\u{feff}bob",
        "bo\u{ad}b",
        "straße",
        "strasse",
        "STRASSE",
        "\u{fb01}",
        "fi",
        "i",
        "I",
        "\u{131}",
        "\u{130}",
        "k",
        "\u{212a}",
        "å",
        "a\u{30a}",
        "\u{212b}",
        "σ",
        "ς",
        "Σ",
        "🙂",
        "🙃",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{e000}",
        // Patterns, quotes and separators.
        "b%b",
        "b_b",
        "%",
        "_",
        "b*b",
        "b?b",
        "b[o]b",
        "{bob}",
        "{bob",
        "bob}",
        "b:b",
        "b::b",
        ":",
        "b|b",
        "b/b",
        "b\\b",
        "b\\\\b",
        "'bob'",
        "\"bob\"",
        "`bob`",
        "b''b",
        "b'b",
        "b;b",
        "b--b",
        "b/**/b",
        "b\u{2028}b",
        "$1",
        "?1",
        ":1",
        "@b",
        // What might be read as a number or as nothing.
        "1",
        "01",
        "1.0",
        "+1",
        "1e0",
        "0",
        "-0",
        "null",
        "NULL",
    ];
    // Longer than any index prefix, and different in the last byte only.
    near.iter().map(ToString::to_string).chain(["x", "y", "X"].map(|last| "l".repeat(511) + last)).collect()
}

/// P6: IDs are compared byte for byte on every backend: `Bob`, `bob`, `bob ` and `bób` in its two Unicode forms are
/// different; no collation and no key syntax may change that.
pub async fn p06_ids_are_compared_byte_for_byte(fixture: &dyn Fixture) -> Verdict {
    let store = fixture.open(namespace("p06")).await;
    let variants = variants();
    // Each text is an ACS ID whose customer is the text that comes next, so both sides are looked up by every text.
    let next = |n: usize| &variants[(n + 1) % variants.len()];
    for (n, text) in variants.iter().enumerate() {
        assert_eq!(customer_of(&*store, text).await, None, "{text:?} is not linked yet");
        let linked = store.link(Link::create(acs(text), customer(next(n)))).await;
        assert!(linked.is_ok_and(|linked| linked.changed), "{text:?} was taken for another ID");
    }
    let ids: Vec<AcsId> = variants.iter().map(acs).collect();
    let answers = store.resolve_many(&ids).await;
    for (n, (text, answer)) in variants.iter().zip(answers).enumerate() {
        assert_eq!(customer_of(&*store, text).await.as_ref(), Some(next(n)), "the customer of {text:?}");
        let batch = answer.expect("resolve_many").map(|found| found.customer_id().as_str().to_owned());
        assert_eq!(batch.as_ref(), Some(next(n)), "the customer of {text:?} in a batch");
        assert_eq!(ids_of(&*store, next(n)).await, [text.as_str()], "the ACS IDs of customer {:?}", next(n));
    }
    let mut expected: Vec<_> = variants.iter().enumerate().map(|(n, text)| (text.clone(), next(n).clone())).collect();
    expected.sort();
    let stored = scanned(&*store).await;
    let stored: Vec<_> =
        stored.iter().map(|it| (it.acs_id.as_str().to_owned(), it.customer_id.as_str().to_owned())).collect();
    assert_eq!(stored, expected, "what a scan lists");

    let mut left: BTreeMap<String, String> = expected.into_iter().collect();
    for (n, text) in variants.iter().enumerate() {
        // In turn by ID and by customer.
        if n % 2 == 0 {
            let expect = Expect::Customer(CustomerId::new(next(n).as_str()).expect("a legal customer ID"));
            let removed = store.unlink(&acs(text), expect).await.expect("unlink");
            assert!(removed.is_some_and(|mapping| mapping.acs_id.as_str() == text), "unlink has not removed {text:?}");
        } else {
            let removed = store.unlink_customer(&customer(next(n))).await.expect("unlink_customer");
            assert_eq!(removed, 1, "how many ACS IDs of customer {:?} were removed", next(n));
        }
        left.remove(text);
        assert_eq!(customer_of(&*store, text).await, None, "{text:?} is unlinked");
        let near = &variants[(n + 2) % variants.len()];
        assert_eq!(customer_of(&*store, near).await.as_ref(), left.get(near), "{near:?} after {text:?} was unlinked");
    }
    assert!(scanned(&*store).await.is_empty(), "something is left");
    Ok(())
}
