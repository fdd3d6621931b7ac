//! Synthetic ACS IDs and customers of the shapes that ACS and applications use.

/// The ACS ID of the n-th user of a resource: 79 bytes, as the service hands them out.
pub fn acs_id(n: usize) -> String {
    format!("8:acs:5e2c0a6c-8f4b-4d2e-9b1a-3c7d5e9f1a2b_{:08x}-578d-7caf-07fd-{:012x}", n % 65_536, n)
}

/// The customer behind the n-th user.
pub fn customer(n: usize) -> String {
    format!("user{n:07}@contoso.com")
}

/// The numbers 0 to `count`, each once, in an order without pattern that is the same in each run.
pub fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..count).rev() {
        // Xorshift: good enough to defeat a prefetcher.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}
