//! What goes over the wire, field by field: the Rust client sends what an official client sends, but for the differences here.

use std::collections::{BTreeMap, BTreeSet};

use acs_identity::emulator::{Call, Emulator, Operation};
use serde_json::{Value, json};

use crate::stage::Sdk::{self, JavaScript, Python, PythonAsync};

/// A field in which the Rust client differs, always and only in the requests that `when` is true for.
struct Difference {
    from: &'static [Sdk],
    when: fn(&Call) -> bool,
    field: &'static str,
    ours: Option<&'static str>,
    theirs: Option<&'static str>,
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        from: &[Python, PythonAsync],
        when: |_| true,
        field: "accept-encoding",
        ours: None,
        theirs: Some("gzip, deflate"),
        why: "answers have a few hundred bytes, mostly of a token: nothing that could be compressed",
    },
    Difference {
        from: &[JavaScript],
        when: |_| true,
        field: "accept-encoding",
        ours: None,
        theirs: Some("gzip,deflate"),
        why: "as in Python",
    },
    Difference {
        from: &[Python, JavaScript],
        when: |_| true,
        field: "connection",
        ours: None,
        theirs: Some("keep-alive"),
        why: "HTTP/1.1 keeps connections unless it is told otherwise",
    },
    Difference {
        from: &[Python, PythonAsync],
        when: is_signed,
        field: "x-ms-return-client-request-id",
        ours: None,
        theirs: Some("true"),
        why: "asks the service to repeat the client's request ID, which the Rust client has kept",
    },
    Difference {
        from: &[Python, PythonAsync],
        when: |call| call.operation() == Some(Operation::DeleteUser),
        field: "content-length",
        ours: None,
        theirs: Some("the body's"),
        why: "a DELETE is without a body, and says so only by leaving the length out",
    },
    Difference {
        from: &[PythonAsync],
        when: |call| call.path().starts_with("/identities/"),
        field: "colons of the ID",
        ours: Some("%3A"),
        theirs: Some(":"),
        why: "aiohttp decodes them, before they are signed; the service takes both",
    },
];

/// Checks that what our client sent to the one emulator differs from what theirs sent to the other as said above.
pub(crate) fn assert_as_expected(sdk: Sdk, ours: &Emulator, theirs: &Emulator) {
    let (our_calls, their_calls) = (ours.calls(), theirs.calls());
    assert_eq!(our_calls.len(), their_calls.len());
    for (our_call, their_call) in our_calls.iter().zip(&their_calls) {
        let (mut our_fields, mut their_fields) = (fields(our_call, ours), fields(their_call, theirs));
        let names: BTreeSet<_> = our_fields.keys().chain(their_fields.keys()).cloned().collect();
        let found = names.into_iter().filter_map(|name| {
            let (our_value, their_value) = (our_fields.remove(&name), their_fields.remove(&name));
            (our_value != their_value).then_some((name, (our_value, their_value)))
        });
        let applies = |row: &&Difference| row.from.contains(&sdk) && (row.when)(their_call);
        let rows: Vec<_> = DIFFERENCES.iter().filter(applies).collect();
        let expected =
            rows.iter().map(|row| (row.field.to_owned(), (row.ours.map(Value::from), row.theirs.map(Value::from))));
        let reasons: Vec<_> = rows.iter().map(|row| (row.field, row.why)).collect();
        assert_eq!(
            found.collect::<BTreeMap<_, _>>(),
            expected.collect::<BTreeMap<_, _>>(),
            "{sdk:?}, {:?}; expected because of {reasons:#?}",
            their_call.operation()
        );
    }
}

fn is_signed(call: &Call) -> bool {
    call.header("authorization").is_some_and(|value| value.starts_with("HMAC-SHA256 "))
}

/// All of a request, with what is each request's own replaced by its form. That date, hash and signature are right is for
/// the emulator to check.
fn fields(call: &Call, emulator: &Emulator) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::from([
        ("method".to_owned(), json!(call.method())),
        ("path".to_owned(), json!(call.path().replace("%3A", ":"))),
        ("query".to_owned(), json!(call.query())),
    ]);
    if call.path().starts_with("/identities/") {
        fields.insert("colons of the ID".to_owned(), json!(if call.path().contains("%3A") { "%3A" } else { ":" }));
    }
    if !call.body().is_empty() {
        fields.insert("body".to_owned(), serde_json::from_slice(call.body()).unwrap());
    }
    for (name, value) in call.headers() {
        let value = std::str::from_utf8(value).unwrap();
        let shown = match name {
            "authorization" => value.split_inclusive("Signature=").next().unwrap(),
            "content-length" if value == call.body().len().to_string() => "the body's",
            "host" if emulator.endpoint() == format!("http://{value}") => "the emulator's",
            "user-agent" if value.starts_with("azsdk-") => "a client of Azure's form",
            "x-ms-client-request-id" if is_uuid(value) => "a UUID",
            "x-ms-content-sha256" => "the body's",
            "x-ms-date" => "a date",
            _ => value,
        };
        assert!(fields.insert(name.to_owned(), json!(shown)).is_none(), "{name} is there twice");
    }
    fields
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
