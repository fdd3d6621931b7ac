//! P12: bad input.

use acs_identity_core::{
    AcsId, Cursor, CustomerId, Error, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, Namespace, PageRequest,
    Properties, Revision, Timestamp,
};

use crate::support::{acs, create, customer, customer_of, failure, ids_of, namespace, replace, scanned};
use crate::{Fixture, Verdict};

/// Texts that are legal, and that a careless store would take for something else than text.
const HOSTILE: [&str; 20] = [
    "'; drop table mappings; --",
    "\" or \"\"=\"",
    "x' or 1=1 --",
    "\\'; select 1; --",
    "1; flushall",
    "$1",
    "?1",
    ":id",
    "@id",
    "%s%n",
    "{0}",
    "${jndi:ldap://localhost/a}",
    "{}}{:*?[a-z]",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "a\u{2028}b\u{2029}c",
    "\u{202e}right to left",
    "\u{feff}mark",
    "x\u{fffd}\u{ffff}\u{10fffd}",
    "*3 $3 set",
];

/// P12: bad input (empty, too long, control characters, too many properties, a hostile string) gets `InvalidInput`
/// before any I/O; nothing is changed. What is legal is kept byte for byte.
pub async fn p12_bad_input_is_refused_and_changes_nothing(fixture: &dyn Fixture) -> Verdict {
    let store = fixture.open(namespace("p12")).await;
    store.link(create("8:acs:p12_bystander", "bystander")).await.expect("link");
    illegal_values_cannot_be_made();
    hostile_texts_are_texts(&*store).await;
    the_longest_values_fit(&*store).await;
    duplicates_are_refused_everywhere(&*store).await;
    the_greatest_revision_is_the_last(&*store).await;

    bad_cursors_are_refused(&*store).await;
    assert_eq!(ids_of(&*store, "bystander").await, ["8:acs:p12_bystander"]);
    Ok(())
}

fn invalid<T>(what: &str, result: Result<T, Error>) {
    let error = failure(what, result);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
}

fn illegal_values_cannot_be_made() {
    for bad in [String::new(), "x".repeat(513), "x".repeat(10_000_000), "a\0".into(), "a\nb".into(), "\u{85}".into()] {
        invalid("an illegal ACS ID", AcsId::new(bad.as_str()));
        invalid("an illegal customer ID", CustomerId::new(bad.as_str()));
        invalid("an illegal namespace", Namespace::new(&bad));
    }
    invalid("17 properties", Properties::new((0..17).map(|n| (n.to_string(), ""))));
    invalid("properties of 4097 bytes", Properties::new([("n", "x".repeat(4096))]));
    invalid("a page of nothing", PageRequest::first(0));
    invalid("a page of 1001", PageRequest::first(1001));
}

/// Stored and handed back byte for byte, or refused; never anything else.
async fn hostile_texts_are_texts(store: &dyn MappingStore) {
    for text in HOSTILE {
        // A value may hold control characters, too.
        let properties = [(text, format!("{text}\n")), ("nul", format!("a\0{text}"))];
        for properties in [&properties[..1], &properties[1..], &[]] {
            let properties = Properties::new(properties.iter().cloned()).expect("legal properties");
            let bystanders = scanned(store).await;
            let link = Link::replace(acs(text), customer(text)).with_properties(properties.clone());
            match store.link(link).await {
                Ok(_) => {
                    let found = store.resolve(&acs(text)).await.expect("resolve").expect("it was linked");
                    assert_eq!(found.customer_id().as_str(), text, "the customer of a hostile ACS ID");
                    assert_eq!(found.properties(), &properties, "the properties of {text:?}");
                    assert_eq!(ids_of(store, text).await, [text], "the ACS IDs of a hostile customer ID");
                    let removed = store.unlink(&acs(text), Expect::Customer(customer(text))).await.expect("unlink");
                    assert!(removed.is_some_and(|it| it.acs_id.as_str() == text && it.properties == properties));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?} is refused: {error}"),
            }
            assert!(scanned(store).await == bystanders, "{text:?} has changed other mappings");
        }
    }
}

async fn the_longest_values_fit(store: &dyn MappingStore) {
    let (id, of) = ("i".repeat(512), "é".repeat(256));
    let many = Properties::new((0..16).map(|n| (format!("{n:064}"), "v".repeat(192)))).expect("4096 bytes");
    store.link(create(&id, &of).with_properties(many.clone())).await.expect("the longest legal values");
    let found = store.resolve(&acs(&id)).await.expect("resolve").expect("it was linked");
    assert_eq!((found.customer_id().as_str(), found.properties()), (of.as_str(), &many), "the longest legal values");
    assert_eq!(ids_of(store, &of).await, [id], "the longest legal values");
}

async fn duplicates_are_refused_everywhere(store: &dyn MappingStore) {
    const IDS: [&str; 3] = ["8:acs:p12_twice", "8:acs:p12_once", "8:acs:p12_last"];
    let order = [0, 1, 0, 2, 0];
    let links: Vec<Link> =
        order.iter().zip(["ann", "bea", "cleo", "dora", "ann"]).map(|(n, to)| replace(IDS[*n], to)).collect();
    for (place, result) in store.link_many(&links).await.into_iter().enumerate() {
        if order[place] == 0 {
            invalid(&format!("link_many with an ACS ID twice, in place {place}"), result);
        } else {
            assert!(result.expect("link_many of an ACS ID that is there once").changed);
        }
    }
    let expected = [None, Some("bea"), Some("dora")];
    for (id, expected) in IDS.iter().zip(expected) {
        assert_eq!(customer_of(store, id).await.as_deref(), expected, "{id} after link_many");
    }

    let revision = Revision::new(Revision::MAX.get() / 2);
    let mapping =
        |(n, to): (&usize, &str)| Mapping::new(acs(IDS[*n]), customer(to), revision, Timestamp::from_micros(1));
    let mappings: Vec<Mapping> = order.iter().zip(["ann", "eve", "cleo", "fay", "ann"]).map(mapping).collect();
    for (place, result) in store.import(&mappings).await.into_iter().enumerate() {
        if order[place] == 0 {
            invalid(&format!("import with an ACS ID twice, in place {place}"), result);
        } else {
            assert_eq!(result.expect("import of an ACS ID that is there once"), Imported::Written);
        }
    }
    let expected = [None, Some("eve"), Some("fay")];
    for (id, expected) in IDS.iter().zip(expected) {
        assert_eq!(customer_of(store, id).await.as_deref(), expected, "{id} after import");
    }
}

/// A forged import can give an ID the greatest revision there is. No link can follow it, but it can be removed: nothing may
/// keep a customer from being forgotten.
async fn the_greatest_revision_is_the_last(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p12_greatest";
    let mapping = Mapping::new(acs(ID), customer("ann"), Revision::MAX, Timestamp::from_micros(1));
    assert_eq!(store.import(&[mapping]).await.swap_remove(0).expect("import"), Imported::Written);
    invalid("a link after the greatest revision", store.link(replace(ID, "bea")).await);
    assert_eq!(customer_of(store, ID).await.as_deref(), Some("ann"), "the customer after a refused write");
    let removed = store.unlink(&acs(ID), Expect::Any).await.expect("an unlink after the greatest revision");
    assert!(removed.is_some(), "an unlink of the greatest revision removed nothing");
    assert_eq!(customer_of(store, ID).await, None, "the customer after an unlink of the greatest revision");
}

async fn bad_cursors_are_refused(store: &dyn MappingStore) {
    for n in 0..3 {
        store.link(create(&format!("8:acs:p12_listed_{n}"), "gina")).await.expect("link");
        store.link(create(&format!("8:acs:p12_other_{n}"), "hera")).await.expect("link");
    }
    let all = scanned(store).await;
    let first = PageRequest::first(1).expect("a page of one");
    let gina = customer("gina");
    let of_scan = store.scan(first.clone()).await.expect("scan").next.expect("there is more");
    let of_gina = store.mappings_of(&gina, first.clone()).await.expect("mappings_of").next.expect("there is more");

    invalid("mappings_of with a cursor of scan", store.mappings_of(&gina, first.clone().after(of_scan.clone())).await);
    invalid("scan with a cursor of mappings_of", store.scan(first.clone().after(of_gina.clone())).await);
    let long = "9".repeat(10_000);
    for text in
        ["", " ", ":", "::", "0", "-1", "garbage", "null", "[]", "' or 1=1 --", "18446744073709551616:", &long, "\0"]
    {
        let request = first.clone().after(Cursor::new(text));
        invalid(&format!("scan with a cursor of {} bytes, {text:.20?}", text.len()), store.scan(request.clone()).await);
        let what = format!("mappings_of with a cursor of {} bytes, {text:.20?}", text.len());
        invalid(&what, store.mappings_of(&gina, request).await);
    }

    // A change may make another legal place of it; then the page still holds nothing but what belongs to the listing.
    for (cursor, scan) in [(of_scan, true), (of_gina, false)] {
        for tampered in tampered(cursor.as_str()) {
            let request = PageRequest::default().after(Cursor::new(tampered));
            let page = if scan { store.scan(request).await } else { store.mappings_of(&gina, request).await };
            match page {
                Ok(page) => {
                    let belongs = |mapping: &Mapping| all.contains(mapping) && (scan || mapping.customer_id == gina);
                    assert!(page.items.iter().all(belongs), "a cursor that was tampered with shows something else");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "a cursor that was tampered with: {error}")
                }
            }
        }
    }
    assert!(scanned(store).await == all, "a bad cursor has changed a mapping");
}

/// A text with one byte changed, at each place, and cut at each place.
fn tampered(text: &str) -> Vec<String> {
    let mut made = Vec::new();
    for (at, character) in text.char_indices() {
        made.push(text[..at].to_owned());
        for other in ['0', '\'', '%', '\0', '\u{e9}'] {
            made.push(format!("{}{other}{}", &text[..at], &text[at + character.len_utf8()..]));
        }
    }
    made
}
