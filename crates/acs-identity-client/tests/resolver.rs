//! `CustomIdResolver`: who an ACS ID is, by ACS itself.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_client::{CustomIdResolver, IdentityClient, IdentityClientCreateUserOptions};
use acs_identity_core::{AcsId, ErrorKind, IdentityMap, Resolver};
use acs_identity_emulator::{Emulator, Fault};
use common::{Canned, PREVIEW, client, client_on, id, with_version};

async fn user(client: &IdentityClient, custom_id: Option<&str>) -> AcsId {
    let custom_id = custom_id.map(|text| text.parse().unwrap());
    client.create_user(Some(IdentityClientCreateUserOptions { custom_id, ..Default::default() })).await.unwrap().id
}

#[tokio::test]
async fn found_absent_and_failed_are_three_answers() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, with_version(PREVIEW));
    let (bob, nobody) = (user(&client, Some("bob@contoso.com")).await, user(&client, None).await);
    let deleted = user(&client, Some("gone")).await;
    client.delete_user(&deleted, None).await.unwrap();
    let foreign = id("8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000");
    let resolver = CustomIdResolver::new(client).unwrap();

    let answers = resolver.resolve_many(&[bob.clone(), nobody, foreign, deleted, bob]).await;
    for place in [0, 4] {
        assert_eq!(answers[place].as_ref().unwrap().as_ref().unwrap().customer_id().as_str(), "bob@contoso.com");
    }
    assert_eq!(answers[1].as_ref().unwrap(), &None);
    let error = answers[2].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Denied, Some("resolve")));
    assert_eq!(answers[3].as_ref().unwrap(), &None, "a deleted user is nobody");
}

#[tokio::test]
async fn other_ids_are_absent_without_io() {
    let service = Canned::always(500, "");
    let resolver = CustomIdResolver::new(client_on(service.clone(), PREVIEW)).unwrap();
    for other in ["4:+14255550123", "4:anonymous", "28:orgid:a", "8:orgid:u", "8:teamsvisitor:u", "8:acs:r_t_u", "48:x"]
    {
        assert_eq!(resolver.resolve(&id(other)).await.unwrap(), None, "{other}");
        assert_eq!(resolver.resolve_now(&id(other)), Some(None));
    }
    assert_eq!(resolver.resolve_now(&id("8:acs:r_u")), None);
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn trouble_of_the_service_is_never_absence() {
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (204, ""),
        (301, ""),
        (400, ""),
        (401, r#"{"error":{"code":"Denied","message":"Denied by the resource provider."}}"#),
        (403, ""),
        (404, r#"{"error":{"code":"NotFound","message":""}}"#),
        (410, ""),
    ] {
        let resolver = CustomIdResolver::new(client_on(Canned::always(status, body), PREVIEW)).unwrap();
        let error = resolver.resolve(&id("8:acs:r_u")).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::OutcomeUnknown, "{status} {error}");
        // Whose ID it is was well asked, unless the service says otherwise.
        assert_eq!(error.kind() == ErrorKind::InvalidInput, status == 400, "{status} {error}");
    }
}

#[tokio::test]
async fn a_custom_id_that_is_no_customer_id_is_not_absence() {
    let long = format!(r#"{{"id":"8:acs:r_u","customId":"{}"}}"#, "\u{1f600}".repeat(256));
    let resolver = CustomIdResolver::new(client_on(Canned::always(200, long.leak()), PREVIEW)).unwrap();
    let error = resolver.resolve(&id("8:acs:r_u")).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Some("resolve")));
}

#[tokio::test]
async fn behind_a_cache_the_service_is_asked_once() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, with_version(PREVIEW));
    let bob = user(&client, Some("bob")).await;
    emulator.clear_calls();
    let map = IdentityMap::new(ReadThrough::new(CustomIdResolver::new(client).unwrap()));
    emulator.faults().next(Fault::Latency(Duration::from_millis(50)));
    let asked = (0..20).map(|_| {
        let identity = map.from_acs_id(bob.clone());
        tokio::spawn(async move { identity.identity().await.unwrap().unwrap().as_str().to_owned() })
    });
    for one in asked.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "bob");
    }
    assert_eq!(emulator.calls().len(), 1);
}
