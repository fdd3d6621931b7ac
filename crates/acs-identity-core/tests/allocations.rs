//! How often reading an ID allocates.

use std::hint::black_box;

use acs_identity_core::AcsId;
use allocation_counter::measure;

const RAW_IDS: [&str; 6] = [
    "8:acs:bbbcbc1e-9f06-482a-b5d8-20e3f26ef0cd_45ab2481-1c1c-4005-be24-0ffb879b1130",
    "8:gcch-acs:resource_tenant_user",
    "4:+112345556789_207ffef6-9444-41fb-92ab-20eacaae2768",
    "8:orgid:45ab2481-1c1c-4005-be24-0ffb879b1130",
    "28:dod:01234567-89ab-cdef-0123-456789abcdef",
    "48:unknown",
];

#[test]
fn making_an_id_allocates_nothing_unless_it_is_longer_than_they_are() {
    let making = |raw_id: &str| measure(|| drop(black_box(AcsId::new(raw_id)))).count_total;
    for raw_id in RAW_IDS {
        assert_eq!(making(raw_id), 0, "{raw_id}");
    }
    assert_eq!(making(&"x".repeat(512)), 1);
}

#[test]
fn reading_and_cloning_an_id_allocates_nothing() {
    for raw_id in RAW_IDS {
        let id = AcsId::new(raw_id).expect("a legal ACS ID");
        let info = measure(|| {
            black_box(id.identifier());
            black_box(id.identity_type());
            black_box(id.clone());
        });
        assert_eq!(info.count_total, 0, "{raw_id}");
    }
}
