//! Which slots a node of a cluster has, and which are on their way, as it says itself (`CLUSTER NODES`).

/// The slots of the node that was asked; `None` if it is giving keys away or getting some, which its own line tells in
/// brackets.
pub(crate) fn slots(nodes: &str) -> Option<Vec<(u16, u16)>> {
    let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")))?;
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    own.split_ascii_whitespace().skip(8).map(range).collect()
}

/// Whether the node that was asked is giving keys away to one that has no slots, and so is nobody's to listen to yet.
pub(crate) fn is_leaving(nodes: &str) -> bool {
    let fields = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let nodes: Vec<_> = nodes.lines().map(fields).collect();
    let has_slots = |id: &str| {
        let node = nodes.iter().find(|node| node.first().is_some_and(|first| first == id));
        node.is_some_and(|node| node.iter().skip(8).any(|slots| !slots.starts_with('[')))
    };
    let own = nodes.iter().find(|node| node.get(2).is_some_and(|flags| flags.contains("myself")));
    let leaving = |slot: &String| {
        // `[5460->-aa]`
        slot.split_once("->-").and_then(|(_, to)| to.strip_suffix(']')).is_some_and(|to| !has_slots(to))
    };
    own.is_some_and(|own| own.iter().skip(8).any(leaving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_for_a_node_without_slots_are_told_from_others() {
        let nodes = "aa 127.0.0.1:7001@17001 master - 0 1 2 connected 5461-10922\n\
            cc 127.0.0.1:7002@17002 master - 0 1 2 connected\n\
            bb 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5459";
        assert!(!is_leaving(nodes));
        for (to, expected) in [("[5->-aa]", false), ("[5->-cc]", true), ("[5->-dd]", true), ("[6000-<-cc]", false)] {
            assert_eq!(is_leaving(&format!("{nodes} {to}")), expected, "{to}");
        }
        assert!(is_leaving(&format!("{nodes} [5->-aa] [6->-cc]")));
    }

    #[test]
    fn a_node_tells_its_slots_and_whether_they_move() {
        let nodes = "aa 127.0.0.1:7001@17001 master - 0 1 2 connected 5461-10922\n\
            bb 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5459 5461";
        assert_eq!(slots(nodes), Some(vec![(0, 5459), (5461, 5461)]));
        assert_eq!(slots(&format!("{nodes} [5460->-aa]")), None);
        assert_eq!(slots("aa 127.0.0.1:7001@17001 master - 0 1 2 connected 0-16383"), None);
    }
}
