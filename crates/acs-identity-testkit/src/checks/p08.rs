//! P8: batches.

use acs_identity_core::{AcsId, Link};

use crate::support::{acs, create, customer_of, namespace};
use crate::{Fixture, Verdict};

const LINKED: usize = 500;

fn id(n: usize) -> String {
    format!("8:acs:p08_{n:04}")
}

/// P8: `resolve_many` keeps order and duplicates, answers per ID, and agrees with `resolve`, for thousands of IDs as for
/// one. That it is one round trip is for the store's own tests.
pub async fn p08_a_batch_answers_each_id_in_order(fixture: &dyn Fixture) -> Verdict {
    let store = fixture.open(namespace("p08")).await;
    // Of a thousand IDs the even ones are linked, each to a customer of its own.
    let links: Vec<Link> = (0..LINKED).map(|n| create(&id(2 * n), &format!("customer-{}", 2 * n))).collect();
    for result in store.link_many(&links).await {
        result.expect("link_many");
    }
    let expected = |n: usize| n.is_multiple_of(2).then(|| format!("customer-{n}"));

    // Every ID once in a mixed order (389 has no common divisor with 1000), then some again, next to each other and far apart.
    let mixed = (0..1000).map(|n| n * 389 % 1000);
    let batches: [Vec<usize>; 6] = [
        Vec::new(),
        vec![4],
        vec![5],
        vec![4, 4, 5, 5, 4, 2, 3, 4],
        mixed.clone().collect(),
        mixed.clone().chain(mixed.clone().rev()).chain((0..500).flat_map(|n| [n, n])).collect(),
    ];
    for batch in batches {
        let asked: Vec<AcsId> = batch.iter().map(|n| acs(id(*n))).collect();
        let answers = store.resolve_many(&asked).await;
        assert_eq!(answers.len(), batch.len(), "answers for {} IDs", batch.len());
        for (place, (n, answer)) in batch.iter().zip(answers).enumerate() {
            let found = answer.expect("resolve_many").map(|found| found.customer_id().as_str().to_owned());
            assert_eq!(found, expected(*n), "the answer in place {place} of {}, for {}", batch.len(), id(*n));
        }
    }
    for n in (0..1000).step_by(7) {
        assert_eq!(customer_of(&*store, &id(n)).await, expected(n), "resolve of {}", id(n));
    }
    Ok(())
}
