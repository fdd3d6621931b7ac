//! The example `custom_resolver`.

use acs_identity_tests::run;

#[test]
fn each_resolver_answers_and_the_cache_saves_requests() {
    let run = run("custom_resolver", &[] as &[&str]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for line in [
        "  8:acs:contoso_42 is 42",
        "  8:acs:contoso_guest is unknown",
        "  4:+14255550123 is +14255550123",
        "  a roster of 20 for the second time: 20 known, requests so far: 1",
        "  100 tasks that ask for one newcomer at once, requests so far: 2",
        "  8:acs:contoso_1 is bob@contoso.com",
        "  8:acs:contoso_2 is alice@contoso.com, on duty at the desk",
        "  8:acs:contoso_3 is unknown",
    ] {
        assert!(run.stdout.lines().any(|one| one == line), "{line} is not in\n{}", run.stdout);
    }
    let counters: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("  cache: ")).collect();
    assert_eq!(counters[0], "  cache: loaded 2; without asking again: 2 (hits 1, negative hits 1, joined 0)");
    assert!(counters[1].starts_with("  cache: loaded 21; without asking again: 119 "), "{}", counters[1]);
    assert_eq!(counters[2], "  cache: loaded 3; without asking again: 1 (hits 1, negative hits 0, joined 0)");
}
