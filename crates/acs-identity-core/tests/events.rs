//! Events in, identifiers out.

use acs_identity_core::{AcsId, CommunicationIdentifierModel, ErrorKind, Event, IdentityType, Mismatch, Role};
use serde_json::{Value, json};

const BOB: &str = "8:acs:r_bob";
const ANN: &str = "8:acs:r_ann";
const JOE: &str = "8:acs:r_joe";

/// A participant as the tests write it: role, ACS ID, display name.
type Seen = (String, String, Option<String>);

fn seen(event: &Event) -> Vec<Seen> {
    let seen = event
        .participants()
        .iter()
        .map(|one| (one.role().to_string(), one.acs_id().as_str().to_owned(), one.display_name().map(str::to_owned)));
    seen.collect()
}

fn expected(participants: &[(&str, &str, Option<&str>)]) -> Vec<Seen> {
    participants.iter().map(|(role, id, name)| (role.to_string(), id.to_string(), name.map(str::to_owned))).collect()
}

fn event(event_type: &str, data: Value) -> Event {
    let event_type = format!("Microsoft.Communication.{event_type}");
    Event::from_value(&json!({"id": "1", "eventType": event_type, "subject": "s", "data": data})).expect("an event")
}

/// Checks everyone in an event, and that nothing was refused.
#[track_caller]
fn holds(event_type: &str, data: Value, participants: &[(&str, &str, Option<&str>)]) {
    let event = event(event_type, data);
    assert_eq!(seen(&event), expected(participants), "{event_type}");
    assert!(event.rejected().is_empty(), "{:?}", event.rejected());
}

#[track_caller]
fn file_holds(json: &[u8], event_type: &str, participants: &[(&str, &str, Option<&str>)]) {
    let events = Event::parse_all(json).expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type(), format!("Microsoft.Communication.{event_type}"));
    assert_eq!(seen(&events[0]), expected(participants));
    assert!(events[0].rejected().is_empty());
}

fn model(id: &str) -> Value {
    serde_json::to_value(CommunicationIdentifierModel::from(&AcsId::new(id).expect("a legal ID"))).expect("JSON")
}

/// `{communicationIdentifier, role}`, as calling events have had it since 2022.
fn nested(id: &str) -> Value {
    json!({"communicationIdentifier": model(id), "role": "{role}"})
}

/// `{rawId, …, role}`, as calling events had it in 2021.
fn inlined(id: &str) -> Value {
    let mut model = model(id);
    model["role"] = json!("{role}");
    model
}

#[test]
fn the_sample_of_a_received_message_is_read() {
    file_holds(
        include_bytes!("events/chat-message-received.json"),
        "ChatMessageReceived",
        &[
            ("recipient", "8:acs:109f0644-b956-4cd9-87b1-71024f6e2f44_00000008-578d-7d05-83fe-084822000f6d", None),
            (
                "sender",
                "8:acs:109f0644-b956-4cd9-87b1-71024f6e2f44_00000008-578d-7caf-07fd-084822001724",
                Some("Bob(Admin)"),
            ),
        ],
    );
}

#[test]
fn the_sample_of_a_made_thread_is_read() {
    let bob = "8:acs:3d703c91-9657-4b3f-b19c-ef9d53f99710_00000008-576c-286d-e1fe-0848220013b9";
    file_holds(
        include_bytes!("events/chat-thread-created-with-user.json"),
        "ChatThreadCreatedWithUser",
        &[
            ("createdBy", bob, None),
            ("participant", bob, Some("Bob")),
            (
                "participant",
                "8:acs:3d703c91-9657-4b3f-b19c-ef9d53f99710_00000008-576c-289b-07fd-0848220015ea",
                Some("John"),
            ),
            ("recipient", "8:acs:3d703c91-9657-4b3f-b19c-ef9d53f99710_00000008-576c-286e-84f5-08482200181c", None),
        ],
    );
}

#[test]
fn the_samples_of_calls_are_read() {
    let edge = "8:acs:bc360ba8-d29b-4ef2-b698-769ebef85521_0000000c-1fb9-4878-07fd-0848220077e1";
    file_holds(include_bytes!("events/call-started.json"), "CallStarted", &[("startedBy", edge, None)]);
    file_holds(
        include_bytes!("events/call-participant-added.json"),
        "CallParticipantAdded",
        &[("startedBy", edge, None), ("participant", edge, Some("Sharif Edge"))],
    );
    file_holds(
        include_bytes!("events/incoming-call.json"),
        "IncomingCall",
        &[
            (
                "from",
                "8:acs:98e4cbef-70e7-4733-8594-063c4a72d711_00000014-2033-438d-1000-343a0d006e10",
                Some("John Doe"),
            ),
            ("to", "8:acs:98e4cbef-70e7-4733-8594-063c4a72d711_00000014-1889-f3a7-6a0b-343a0d0061f3", None),
        ],
    );
}

#[test]
fn the_sample_of_an_sms_is_read() {
    let json = include_bytes!("events/sms-received.json");
    file_holds(json, "SMSReceived", &[("from", "4:15555555555", None), ("to", "4:15555555555", None)]);
    let event = &Event::parse_all(json).unwrap()[0];
    assert_eq!(event.id(), Some("d29ebbea-3afc-4d89-a0bb-34fbaa23b2aa"));
    assert!(event.participants().iter().all(|one| one.acs_id().identity_type() == IdentityType::Pstn));
}

#[test]
fn message_events_name_sender_and_recipient() {
    for event_type in ["ChatMessageReceived", "ChatMessageEdited", "ChatMessageDeleted"] {
        let data = json!({
            "senderId": BOB, "senderCommunicationIdentifier": model(BOB), "senderDisplayName": "Bob",
            "recipientId": ANN, "recipientCommunicationIdentifier": model(ANN),
            "messageId": "1613694358927", "threadId": "19:x@thread.v2", "transactionId": "4.1.1", "messageBody": BOB,
        });
        holds(event_type, data, &[("recipient", ANN, None), ("sender", BOB, Some("Bob"))]);
    }
    for event_type in ["ChatMessageReceivedInThread", "ChatMessageEditedInThread", "ChatMessageDeletedInThread"] {
        let data = json!({"senderCommunicationIdentifier": model(BOB), "senderDisplayName": "Bob"});
        holds(event_type, data, &[("sender", BOB, Some("Bob"))]);
    }
}

#[test]
fn thread_events_name_who_did_it_and_who_is_in_it() {
    let data = json!({
        "createdByCommunicationIdentifier": model(BOB), "recipientCommunicationIdentifier": model(ANN),
        "participants": [{"displayName": "Ann", "participantCommunicationIdentifier": model(ANN)}],
    });
    let participants = [("createdBy", BOB, None), ("participant", ANN, Some("Ann")), ("recipient", ANN, None)];
    holds("ChatThreadCreatedWithUser", data.clone(), &participants);
    holds("ChatThreadCreated", data, &participants);
    let data = json!({
        "deletedBy": BOB, "deletedByCommunicationIdentifier": model(BOB),
        "recipientId": ANN, "recipientCommunicationIdentifier": model(ANN),
    });
    holds("ChatThreadWithUserDeleted", data.clone(), &[("deletedBy", BOB, None), ("recipient", ANN, None)]);
    holds("ChatThreadDeleted", data, &[("deletedBy", BOB, None), ("recipient", ANN, None)]);
    for event_type in ["ChatThreadPropertiesUpdated", "ChatThreadPropertiesUpdatedPerUser"] {
        let data =
            json!({"updatedBy": BOB, "updatedByCommunicationIdentifier": model(BOB), "properties": {"topic": "x"}});
        holds(event_type, data, &[("updatedBy", BOB, None)]);
    }
    holds("ChatMessageEdited", json!({"editedBy": "28:some-bot"}), &[("editedBy", "28:some-bot", None)]);
}

#[test]
fn threads_that_gain_or_lose_somebody_name_him() {
    let one = json!({"displayName": "Joe", "participantCommunicationIdentifier": model(JOE)});
    for event_type in
        ["ChatParticipantAddedToThreadWithUser", "ChatThreadParticipantAdded", "ChatParticipantAddedToThread"]
    {
        let data = json!({"addedBy": BOB, "addedByCommunicationIdentifier": model(BOB), "participantAdded": one});
        holds(event_type, data, &[("addedBy", BOB, None), ("participant", JOE, Some("Joe"))]);
    }
    for event_type in ["ChatParticipantRemovedFromThreadWithUser", "ChatThreadParticipantRemoved"] {
        let data = json!({
            "removedByCommunicationIdentifier": model(BOB), "participantRemoved": one, "recipientId": ANN
        });
        holds(
            event_type,
            data,
            &[("participant", JOE, Some("Joe")), ("recipient", ANN, None), ("removedBy", BOB, None)],
        );
    }
    let data = json!({"memberAdded": null, "members": [{"displayName": "Joe", "memberId": JOE}]});
    holds("ChatMemberAddedToThreadWithUser", data, &[("participant", JOE, Some("Joe"))]);
}

#[test]
fn both_nestings_of_call_participants_are_read() {
    for form in [nested, inlined] {
        for event_type in ["CallStarted", "CallEnded"] {
            let data = json!({"startedBy": form(BOB), "serverCallId": "aHR0cHM6", "durationOfCall": 1.5});
            holds(event_type, data, &[("startedBy", BOB, None)]);
        }
        for event_type in ["CallParticipantAdded", "CallParticipantRemoved"] {
            let data = json!({
                "user": form(ANN), "displayName": "Ann", "participantId": "041e3b8a-1cce-4ebf-b587-131312c39410",
                "startedBy": form(BOB), "group": {"id": "0"}, "room": {"id": "8:acs:room_x"}
            });
            holds(event_type, data, &[("startedBy", BOB, None), ("participant", ANN, Some("Ann"))]);
        }
    }
}

#[test]
fn other_parties_of_an_incoming_call_are_read() {
    let data = json!({
        "to": model("4:+14255550123"), "from": model("8:orgid:u"), "callerDisplayName": "Ann",
        "onBehalfOfCallee": model("28:orgid:queue"),
        "customContext": {"sipHeaders": {"userId": BOB}, "voipHeaders": {"from": model(BOB)}},
    });
    holds(
        "IncomingCall",
        data,
        &[
            ("from", "8:orgid:u", Some("Ann")),
            ("onBehalfOfCallee", "28:orgid:queue", None),
            ("to", "4:+14255550123", None),
        ],
    );
}

#[test]
fn a_user_who_disconnected_is_the_user() {
    holds("UserDisconnected", json!({"userCommunicationIdentifier": model(BOB)}), &[("user", BOB, None)]);
}

#[test]
fn sms_numbers_are_taken_exactly_as_received() {
    for (from, to) in [("from", "to"), ("From", "To")] {
        let data =
            json!({from: "15555555555", to: "+15555555556", "Tag": BOB, "message": BOB, "deliveryAttempts": [{}]});
        for event_type in ["SMSReceived", "SMSDeliveryReportReceived"] {
            holds(event_type, data.clone(), &[("from", "4:15555555555", None), ("to", "4:+15555555556", None)]);
        }
    }
    // Short codes and names of senders are no E.164 numbers either.
    holds(
        "SMSReceived",
        json!({"from": "CONTOSO", "to": "12345"}),
        &[("from", "4:CONTOSO", None), ("to", "4:12345", None)],
    );
    // Texts are numbers in SMS events only.
    holds("AdvancedMessageReceived", json!({"from": "15555555555", "to": "channel"}), &[]);
    let event = event("SMSReceived", json!({"from": "", "to": 15555555555_u64}));
    let paths: Vec<_> = event.rejected().iter().map(|rejected| rejected.path()).collect();
    assert_eq!((event.participants().len(), paths), (0, vec!["data.from", "data.to"]));
}

#[test]
fn an_unknown_type_yields_what_its_data_holds() {
    let data = json!({
        "organizer": nested(BOB),
        "guestCommunicationIdentifier": model("8:teamsvisitor:v"),
        "details": {"approvedBy": JOE, "delegates": [model(ANN), inlined("28:orgid:bot")]},
        "hostId": "8:orgid:host", "backupRawId": "4:+1", "participantIds": [ANN, "not an ID"],
        "messageId": "1", "threadId": "19:x@thread.v2", "participantId": "041e3b8a-1cce-4ebf-b587-131312c39410",
        "signedBy": "somebody", "count": 3, "flag": true, "nothing": null,
    });
    let participants = [
        ("backup", "4:+1", None),
        ("approvedBy", JOE, None),
        ("delegates", ANN, None),
        ("delegates", "28:orgid:bot", None),
        ("guest", "8:teamsvisitor:v", None),
        ("host", "8:orgid:host", None),
        ("organizer", BOB, None),
        ("participant", ANN, None),
    ];
    holds("SomethingNew", data, &participants);
    // Also where the data is an identifier or a list itself.
    holds("SomethingNew", model(BOB), &[("data", BOB, None)]);
    holds("SomethingNew", json!([{"senderId": BOB}]), &[("sender", BOB, None)]);
    holds("SomethingNew", json!(BOB), &[("data", BOB, None)]);
}

#[test]
fn an_unknown_type_yields_the_plain_ids_of_any_property() {
    let data = json!({
        "targetUser": BOB, "actor": {"identifier": ANN, "displayName": "Ann"}, "from": ANN, "to": BOB, "user": ANN,
        "callee": {"communicationUser": JOE}, "guestCommunicationIdentifier": JOE, "party": {"Id": "28:orgid:bot"},
        "watchers": [[JOE], {"id": ANN}], "hostIdentifier": BOB, "count": "3", "state": "8:acs", "kind": "user",
    });
    let participants = [
        ("actor", ANN, Some("Ann")),
        ("callee", JOE, None),
        ("from", ANN, None),
        ("guest", JOE, None),
        ("host", BOB, None),
        ("party", "28:orgid:bot", None),
        ("targetUser", BOB, None),
        ("to", BOB, None),
        ("user", ANN, None),
        ("watchers", JOE, None),
        ("watchers", ANN, None),
    ];
    holds("Foo", data, &participants);
    let data = json!({"from": "4:+14255550123", "to": ANN, "callerDisplayName": "Joe", "serverCallId": "aHR0cHM6"});
    holds("IncomingCall", data, &[("from", "4:+14255550123", Some("Joe")), ("to", ANN, None)]);
}

#[test]
fn ids_as_keys_are_in_the_role_of_their_table() {
    let data = json!({
        "participants": {BOB: {"displayName": "Bob", "invitedBy": ANN}, "4:+14255550123": "Presenter"},
        "delegates": {JOE: ANN, "not an ID": {"id": BOB}, "8:acs:r_tag": null},
        "threadIds": {BOB: BOB},
    });
    let participants = [
        ("delegates", JOE, None),
        ("delegates", ANN, None),
        ("delegates", "8:acs:r_tag", None),
        ("delegates", BOB, None),
        ("participant", "4:+14255550123", None),
        ("participant", BOB, Some("Bob")),
        ("invitedBy", ANN, None),
    ];
    holds("Foo", data, &participants);
}

#[test]
fn what_only_begins_like_a_phone_number_is_none() {
    for phone in [
        "4:+14255550123",
        "4:14255550123",
        "4:12345",
        "4:+14255550123_7",
        "4:14255550123_a_b",
        "4:anonymous",
        "4:207ffef6-9444-41fb-92ab-20eacaae2768",
        "4:207ffef6-9444-41fb-92ab-20eacaae2768_7",
    ] {
        holds("Foo", json!({"note": phone}), &[("note", phone, None)]);
    }
    for other in
        ["4:", "4:30", "4:30 pm", "4:3", "4:+", "4:1234", "4:12345 times", "4:anonymous_1", "4:_12345", "4:++12345"]
    {
        holds("Foo", json!({"from": other, "slotId": other, "at": [other], "table": {other: 1}}), &[]);
        // What is a raw ID by its name is one.
        holds("Foo", json!({"senderId": other}), &[("sender", other, None)]);
    }
}

#[test]
fn ids_of_things_are_nobody() {
    let names = [
        "messageId",
        "MessageId",
        "threadId",
        "threadIds",
        "transactionId",
        "documentId",
        "serverCallId",
        "callId",
        "callConnectionId",
        "correlationId",
        "conversationId",
        "groupId",
        "roomId",
        "recordingId",
        "sessionId",
        "operationId",
        "requestId",
    ];
    for name in names {
        holds("Foo", json!({name: BOB, "participants": [{name: BOB}]}), &[]);
    }
    for thing in ["message", "thread", "call", "group", "room"] {
        holds("Foo", json!({thing: {"id": BOB}}), &[]);
    }
    for things in ["messages", "rooms", "groups"] {
        holds("Foo", json!({things: [{"id": BOB}]}), &[]);
    }
    for text in
        ["userAgent", "speech", "recognizedPhrase", "payload", "url", "name", "endReason", "incomingCallContext"]
    {
        holds("Foo", json!({text: BOB}), &[]);
    }
    // Whom such a property names is somebody still.
    holds("Foo", json!({"conversationRawId": BOB}), &[("conversation", BOB, None)]);
    holds("Foo", json!({"agent": BOB, "userAgent": ANN}), &[("agent", BOB, None)]);
    holds("Foo", json!({"callerId": BOB, "thread": {"ownerId": ANN}}), &[("caller", BOB, None), ("owner", ANN, None)]);
}

#[test]
fn events_without_identifiers_hold_nobody() {
    let handshake = br#"{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
        "data":{"validationCode":"512d38b6","validationUrl":"https://example.com"}}"#;
    let events = Event::parse_all(handshake).unwrap();
    assert!(events[0].participants().is_empty() && events[0].rejected().is_empty());
    assert!(Event::parse_all(br#"{"eventType":"X"}"#).unwrap()[0].participants().is_empty());
    assert!(Event::parse_all(b" [] ").unwrap().is_empty());
}

#[test]
fn objects_in_messages_and_contexts_are_looked_into() {
    for container in ["message", "callContext", "content", "body"] {
        let data = json!({container: {"senderCommunicationIdentifier": model(BOB), "from": ANN}});
        holds("Foo", data, &[("from", ANN, None), ("sender", BOB, None)]);
    }
}

#[test]
fn a_sender_cannot_plant_an_identifier_in_what_he_writes() {
    let planted = json!({
        "senderId": ANN, "senderCommunicationIdentifier": model(ANN), "senderDisplayName": "Ann",
        "participants": [{"rawId": ANN}], "communicationUser": {"id": ANN}, "rawId": ANN,
    });
    for container in [
        "metadata",
        "Metadata",
        "messageMetadata",
        "properties",
        "customProperties",
        "customContext",
        "messageBody",
        "displayName",
        "senderDisplayname",
        "topic",
        "Tag",
        "tags",
        "labels",
        "sipHeaders",
        "voip-headers",
        "caption",
        "title",
        "description",
        "fileName",
    ] {
        let data = json!({
            "senderId": BOB, container: planted,
            "participants": [{"participantCommunicationIdentifier": model(JOE), container: planted}],
        });
        holds("ChatMessageReceived", data, &[("participant", JOE, None), ("sender", BOB, None)]);
        for text in [json!(ANN), json!([ANN]), json!({ANN: ANN})] {
            let event = event("ChatMessageReceived", json!({"senderId": BOB, container: text}));
            assert_eq!(event.participants().len(), 1, "{container}");
        }
    }
    // A text that holds JSON is a text.
    let data = json!({"senderId": BOB, "senderDisplayName": planted.to_string(), "topic": planted.to_string()});
    let event = event("ChatMessageReceived", data);
    assert_eq!(event.participants().len(), 1);
}

#[test]
fn each_id_comes_once_in_each_role_with_its_name() {
    let data = json!({
        "createdBy": BOB,
        "createdByCommunicationIdentifier": model(BOB),
        "members": [{"memberId": BOB}, {"memberId": ANN, "displayName": "Ann"}],
        "participants": [
            {"displayName": "Bob", "participantCommunicationIdentifier": model(BOB)},
            {"displayName": "", "participantCommunicationIdentifier": model(ANN)},
        ],
    });
    holds(
        "ChatThreadCreated",
        data,
        &[("createdBy", BOB, None), ("participant", BOB, Some("Bob")), ("participant", ANN, Some("Ann"))],
    );
}

#[test]
fn a_plain_id_and_a_model_that_disagree_are_both_kept() {
    let data = json!({"senderId": BOB, "senderCommunicationIdentifier": model(ANN), "senderDisplayName": "Bob"});
    holds("ChatMessageReceived", data, &[("sender", ANN, Some("Bob")), ("sender", BOB, Some("Bob"))]);
    // Of a model that contradicts itself, the ID that the SDKs read.
    let data = json!({"senderCommunicationIdentifier": {"rawId": ANN, "communicationUser": {"id": BOB}}});
    holds("ChatMessageReceived", data, &[("sender", BOB, None)]);
}

#[test]
fn a_model_that_contradicts_itself_is_reported_with_its_participant() {
    let data = json!({
        "senderId": BOB,
        "senderCommunicationIdentifier": {"rawId": ANN, "communicationUser": {"id": BOB}},
        "participants": [
            {"kind": "phoneNumber", "rawId": JOE},
            {"rawId": JOE, "communicationUser": {"id": JOE}},
            model(ANN),
            ANN,
        ],
    });
    let event = event("ChatMessageReceived", data);
    let seen: Vec<_> = event.participants().iter().map(|one| (one.acs_id().as_str(), one.mismatch())).collect();
    // Told wherever the same participant stands once more.
    assert_eq!(seen, [(JOE, Some(Mismatch::Kind)), (ANN, None), (BOB, Some(Mismatch::RawId))]);
    assert!(format!("{event:?}").contains("RawId"));
}

#[test]
fn a_name_is_given_only_to_whom_it_belongs() {
    let data = json!({"participants": [model(BOB), model(ANN)], "displayName": "Joe", "startedBy": inlined(JOE)});
    holds("CallEnded", data, &[("participant", BOB, None), ("participant", ANN, None), ("startedBy", JOE, None)]);
}

#[test]
fn an_illegal_id_is_reported_and_loses_no_other() {
    let participant = |id: Value| json!({"displayName": "x", "participantCommunicationIdentifier": id});
    let data = json!({
        "senderId": "", "recipientId": "x".repeat(10_000_000), "createdBy": "8:acs:a\u{1}", "addedBy": 7,
        "deletedByCommunicationIdentifier": "somebody",
        "editedByCommunicationIdentifier": null,
        "removedBy": {"communicationIdentifier": {"rawId": 5}},
        "participants": [
            participant(model(BOB)),
            participant(json!({})),
            participant(json!({"rawId": ANN, "communicationUser": {"id": ANN}, "phoneNumber": {"value": "1"}})),
            participant(json!({"phoneNumber": {}})),
            {"rawId": ""},
            participant(model(ANN)),
        ],
    });
    let event = event("ChatThreadCreated", data);
    assert_eq!(seen(&event), expected(&[("participant", BOB, Some("x")), ("participant", ANN, Some("x"))]));
    let rejected: Vec<_> = event.rejected().iter().map(|one| (one.path(), one.reason().message())).collect();
    for (at, (path, reason)) in [
        ("data.addedBy", "must be a string, not a number"),
        ("data.createdBy", "control character at byte 7"),
        ("data.deletedByCommunicationIdentifier", "must be an object, not a string"),
        ("data.participants[1].participantCommunicationIdentifier", "`rawId` is missing"),
        ("data.participants[2].participantCommunicationIdentifier", "exclude each other"),
        ("data.participants[3].participantCommunicationIdentifier", "`phoneNumber.value` is missing"),
        ("data.participants[4]", "`rawId`: ACS ID is empty"),
        ("data.recipientId", "10000000 bytes"),
        ("data.removedBy.communicationIdentifier", "`rawId` must be a string"),
        ("data.senderId", "empty"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(rejected[at].0, path);
        assert!(rejected[at].1.contains(reason), "{path}: {}", rejected[at].1);
    }
    assert_eq!(rejected.len(), 10);
    assert!(event.rejected().iter().all(|one| one.to_string().len() < 250));
}

#[test]
fn keys_that_are_data_are_not_shown() {
    let broken = json!({"rawId": ""});
    for key in [
        "8:acs:private",
        "4:+14255550123",
        "private14255550123",
        "private-key",
        "private key",
        "priváte",
        "private_private_private_private_private_private",
    ] {
        let event = event("Foo", json!({"roster": {key: broken, "4:+24255550123": {"userOf": broken}}}));
        assert_eq!(event.rejected().len(), 2);
        for rejected in event.rejected() {
            let shown = rejected.to_string();
            assert!(shown.starts_with("data.roster[<"), "{shown}");
            assert!(!shown.contains("priv") && !shown.contains("4255550123"), "{shown}");
        }
    }
    let event = event("Foo", json!({"roster_of_all": {"userOf": [broken]}}));
    assert_eq!(event.rejected()[0].path(), "data.roster_of_all.userOf[0]");
}

#[test]
fn an_id_that_cannot_be_used_is_reported_wherever_it_stands() {
    let event = event("Foo", json!({"note": "8:acs:a\u{1}", "table": {format!("8:acs:{}", "x".repeat(600)): 1}}));
    let paths: Vec<_> = event.rejected().iter().map(|one| one.to_string()).collect();
    assert!(paths[0].starts_with("data.note: ") && paths[1].starts_with("data.table[<606 bytes"), "{paths:?}");
    assert!(paths.iter().all(|shown| shown.len() < 250) && event.participants().is_empty());
}

#[test]
fn cloud_events_are_read_like_the_others() {
    let data = json!({"senderId": BOB, "senderDisplayName": "Bob"});
    let envelope = |data_key: &str, data: Value| json!({"specversion": "1.0", "type": "Microsoft.Communication.ChatMessageReceived", "source": "/s", "id": "7", data_key: data});
    // The data above, sorted by key, in base64.
    let base64 = "eyJzZW5kZXJEaXNwbGF5TmFtZSI6IkJvYiIsInNlbmRlcklkIjoiODphY3M6cl9ib2IifQ==";
    for event in [envelope("data", data), envelope("data_base64", json!(base64))] {
        let events = Event::parse_all(json!([event]).to_string().as_bytes()).unwrap();
        assert_eq!(
            (events[0].event_type(), events[0].id()),
            ("Microsoft.Communication.ChatMessageReceived", Some("7"))
        );
        assert_eq!(seen(&events[0]), expected(&[("sender", BOB, Some("Bob"))]));
    }
    for (bad, named) in [
        (json!("%"), "not base64"),
        (json!(5), "not base64"),
        (json!("e30"), "not base64"),
        (json!("ew=="), "line 1 column"),
    ] {
        let error = Event::from_value(&envelope("data_base64", bad)).unwrap_err();
        assert!(error.message().contains("`data_base64`") && error.message().contains(named), "{error}");
    }
}

#[test]
fn events_of_both_schemas_may_stand_in_one_array() {
    let json = json!([
        {"eventType": "Microsoft.Communication.ChatMessageReceived", "data": {"senderId": BOB}},
        {"specversion": "1.0", "type": "Microsoft.Communication.CallStarted", "data": {"startedBy": nested(ANN)}},
    ]);
    let events = Event::parse_all(json.to_string().as_bytes()).unwrap();
    let roles: Vec<_> = events.iter().map(|event| event.participants()[0].role().clone()).collect();
    assert_eq!(roles, [Role::Sender, Role::StartedBy]);
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let garbage = "x".repeat(10_000_000);
    let quoted = format!("\"{garbage}\"");
    let deep = "[".repeat(100_000);
    let deep_data = format!(r#"{{"eventType":"X","data":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let cases: [(&[u8], &str); 19] = [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (garbage.as_bytes(), "line 1 column 1"),
        (quoted.as_bytes(), "must be an object, not a string"),
        (deep.as_bytes(), "recursion limit exceeded at line 1 column 128"),
        (deep_data.as_bytes(), "recursion limit exceeded"),
        (b"{\"eventType\":\"X\xff\"}", "not UTF-8 at byte 15, line 1"),
        (b"[\n{\"eventType\":\n\"\xff\"}]", "not UTF-8 at byte 17, line 3"),
        (b"\xef\xbb\xbf ", "empty"),
        (b"\xef\xbb\xbf\xef\xbb\xbf[]", "line 1 column 1"),
        (b"[\n{\"eventType\":\"X\"},\n{\"eventType\":}\n]", "line 3 column 14"),
        (b"[{\"eventType\":\"X\"}", "EOF while parsing a list at line 1"),
        (b"{\"eventType\":\"\x00\"}", "control character"),
        (b"{\"data\":{}}", "`eventType` is missing"),
        (b"{\"specversion\":\"1.0\"}", "`type` of the CloudEvent is missing"),
        (b"{\"eventType\":5}", "must be a string, not a number"),
        (b"[{\"eventType\":\"X\"},{\"id\":\"private\"}]", "event [1]: `eventType` is missing"),
        (b"[[]]", "event [0]: an event must be an object, not an array"),
        (b"17", "must be an object, not a number"),
    ];
    for (json, place) in cases {
        let error = Event::parse_all(json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(place), "{place}: {error}");
        assert!(error.to_string().len() < 200 && !error.to_string().contains("private"), "{error}");
    }
}

#[test]
fn a_value_that_is_too_deep_is_reported() {
    let mut data = json!({"senderId": BOB});
    for _ in 0..1000 {
        data = json!({"in": data});
    }
    let event = event("X", json!({"deep": data, "senderId": ANN}));
    assert_eq!(seen(&event), expected(&[("sender", ANN, None)]));
    assert!(event.rejected()[0].reason().message().contains("deep"));
}

#[test]
fn a_large_roster_keeps_its_order() {
    let roster: Vec<_> = (0..50_000).map(|n| model(&format!("8:acs:r_{n}"))).collect();
    let event = event("CallEnded", json!({"participants": roster, "members": roster}));
    assert_eq!(event.participants().len(), 50_000);
    assert!(event.participants().iter().enumerate().all(|(n, one)| one.acs_id().as_str() == format!("8:acs:r_{n}")));
}

#[test]
fn debug_shows_no_id_and_no_name() {
    let data = json!({"senderId": "4:+14255550123", "senderDisplayName": "Robert", "recipientId": "4:+14255550123\n"});
    let event = event("ChatMessageReceived", data);
    let shown = format!("{:?}", event.participants());
    assert!(!shown.contains("4255550123") && !shown.contains("Robert"), "{shown}");
    assert!(!format!("{event:?}").contains("Robert"));
}

#[test]
fn debug_of_an_event_is_bounded_and_still_tells_what_it_is() {
    let long = "x".repeat(100_000);
    let data = json!({"private14255550123": model(BOB), "onBehalfOf": model(ANN), "senderId": JOE});
    let usual = format!("{:?}", event("ChatMessageReceived", data.clone()));
    for shown in ["Microsoft.Communication.ChatMessageReceived", "sender", "onBehalfOf"] {
        assert!(usual.contains(shown), "{usual}");
    }
    assert!(!usual.contains("4255550123"), "{usual}");
    let envelope = json!({"id": format!("{long}\n"), "eventType": format!("a.{long}"), "data": data});
    let shown = format!("{:?}", Event::from_value(&envelope).unwrap());
    assert!(shown.len() < 1000 && !shown.contains('\n'), "{}", shown.len());
}

#[test]
fn a_byte_order_mark_at_the_start_is_no_fault() {
    let events = Event::parse_all(b"\xef\xbb\xbf[{\"eventType\":\"A\"}]").unwrap();
    assert_eq!(events[0].event_type(), "A");
}

#[test]
fn one_broken_envelope_does_not_lose_the_other_events_of_a_delivery() {
    let json = br#"[{"eventType":"A"}, {"id":"no type"}, 7, {"specversion":"1.0","type":"B"}]"#;
    let events = Event::parse_each(json).unwrap();
    let types: Vec<_> =
        events.iter().map(|event| event.as_ref().map(Event::event_type).map_err(|e| e.message())).collect();
    assert_eq!((types[0], types[3]), (Ok("A"), Ok("B")));
    assert!(types[1].is_err_and(|message| message.starts_with("event [1]: ")), "{types:?}");
    assert!(types[2].is_err_and(|message| message.starts_with("event [2]: ")), "{types:?}");
    assert!(Event::parse_each(b"[").is_err());
}
