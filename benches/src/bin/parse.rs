//! `core.parse_ns`: the time to check and classify one ACS ID that comes in as a `&str`.

use std::hint::black_box;
use std::time::Instant;

use acs_identity_bench::ids::acs_id;
use acs_identity_bench::print;
use acs_identity_bench::rounds::{ROUNDS, median};
use acs_identity_core::AcsId;
use serde_json::{Map, json};

const PER_ROUND: usize = 200_000;

fn main() {
    let guid = "207ffef6-9444-41fb-92ab-20eacaae2768";
    let kinds = [
        ("communicationUser", (0..1000).map(acs_id).collect::<Vec<_>>()),
        ("teamsExtensionUser", vec![format!("8:gcch-acs:{guid}_{guid}_{guid}")]),
        ("phoneNumber", vec!["4:+14255550123".to_owned(), format!("4:+14255550123_{guid}")]),
        ("microsoftTeamsUser", vec![format!("8:orgid:{guid}")]),
        ("microsoftTeamsApp", vec![format!("28:orgid:{guid}")]),
        ("unknown", vec![format!("28:{guid}")]),
    ];
    let mut by_kind = Map::new();
    let mut rounds_of_users = Vec::new();
    for (kind, texts) in &kinds {
        let rounds: Vec<f64> = (0..=ROUNDS).map(|_| round(texts)).skip(1).collect();
        if *kind == "communicationUser" {
            rounds_of_users.clone_from(&rounds);
        }
        by_kind.insert((*kind).to_owned(), json!(median(rounds)));
    }
    let most = rounds_of_users.iter().copied().fold(f64::MIN, f64::max);
    let least = rounds_of_users.iter().copied().fold(f64::MAX, f64::min);
    let details = json!({ "ns_by_kind": by_kind, "rounds": rounds_of_users, "spread": most - least, "of": "communicationUser, 79 bytes" });
    print("core.parse_ns", median(rounds_of_users), "ns", details);
}

/// Nanoseconds for one ID: the text is checked, copied, classified and dropped.
fn round(texts: &[String]) -> f64 {
    let started = Instant::now();
    for n in 0..PER_ROUND {
        let id = AcsId::new(black_box(texts[n % texts.len()].as_str()));
        black_box(id.map(|id| id.identity_type())).ok();
    }
    started.elapsed().as_nanos() as f64 / PER_ROUND as f64
}
