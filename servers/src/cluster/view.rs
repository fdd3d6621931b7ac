//! What a node of a cluster knows of all nodes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// The answer to `CLUSTER NODES`, <https://redis.io/docs/latest/commands/cluster-nodes/>.
#[derive(Debug)]
pub(super) struct View {
    me: Member,
    others: Vec<Member>,
}

/// A node, as one of them sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    /// Such as `127.0.0.1:7000@17000`.
    address: String,
    /// Whether it answers, and is known by its real name.
    well: bool,
    /// The id of its master, if it is a replica.
    pub(super) master: Option<String>,
    /// The number of its claim to its slots: a newer claim has a higher one.
    epoch: u64,
    slots: Vec<RangeInclusive<u16>>,
}

impl View {
    /// `None` if it is not such an answer.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut me, mut others) = (None, Vec::new());
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [id, address, flags, master, _ping, _pong, epoch, _link, slots @ ..] = words.as_slice() else {
                return None;
            };
            let flags: Vec<&str> = flags.split(',').collect();
            let member = Member {
                id: (*id).to_owned(),
                address: (*address).to_owned(),
                well: !flags.iter().any(|flag| ["fail?", "fail", "handshake", "noaddr"].contains(flag)),
                master: (*master != "-").then(|| (*master).to_owned()),
                epoch: epoch.parse().ok()?,
                // In brackets: those that are being moved, which are still where they were.
                slots: slots
                    .iter()
                    .filter(|slot| !slot.starts_with('['))
                    .map(|slot| range(slot))
                    .collect::<Option<_>>()?,
            };
            if flags.contains(&"myself") { me = Some(member) } else { others.push(member) }
        }
        Some(Self { me: me?, others })
    }

    /// The node whose view it is.
    pub(super) fn me(&self) -> &Member {
        &self.me
    }

    /// Whether it knows exactly these nodes, and all are well.
    pub(super) fn knows(&self, ids: &[String]) -> bool {
        let known: BTreeSet<&String> = self.members().filter(|member| member.well).map(|member| &member.id).collect();
        known == ids.iter().collect() && self.members().count() == ids.len()
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.me).chain(&self.others)
    }
}

/// The node with a slot, by what each says of itself: the one with the newest claim.
pub(super) fn owner(views: &[Option<View>], slot: u16) -> Option<usize> {
    let mine = |view: &View| view.me.master.is_none() && view.me.slots.iter().any(|range| range.contains(&slot));
    let claims = views.iter().enumerate().filter_map(|(node, view)| view.as_ref().map(|view| (node, view)));
    claims.filter(|(_, view)| mine(view)).max_by_key(|(_, view)| view.me.epoch).map(|(node, _)| node)
}

/// Whether all of these nodes are seen by each other as they see themselves.
pub(super) fn agree(views: &[&View]) -> bool {
    // A replica has no claim of its own: it shows its master's, which others may know a moment later.
    let same = |one: &Member, other: &Member| {
        one.well
            && (&one.id, &one.address, &one.master, &one.slots)
                == (&other.id, &other.address, &other.master, &other.slots)
    };
    views.iter().all(|view| views.iter().all(|seen| view.members().any(|member| same(member, &seen.me))))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aa 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-8000 8002 [8002->-bb]\n\
                     bb 127.0.0.1:7001@17001 master - 0 5 2 connected 8001 8003-16383\n\
                     cc 127.0.0.1:7002@17002 slave aa 0 5 1 connected\n";
    const B: &str = "bb 127.0.0.1:7001@17001 myself,master - 0 5 2 connected 8001 8003-16383\n\
                     aa 127.0.0.1:7000@17000 master - 0 0 1 connected 0-8000 8002\n\
                     cc 127.0.0.1:7002@17002 slave,fail? aa 0 5 1 connected\n";
    const C: &str = "cc 127.0.0.1:7002@17002 myself,master - 0 0 3 connected 0-8000 8002\n\
                     aa 127.0.0.1:7000@17000 master,fail - 0 0 1 disconnected\n";

    fn view(text: &str) -> Option<View> {
        View::parse(text)
    }

    #[test]
    fn a_slot_is_where_the_newest_claim_is() {
        let views = [view(A), view(B), view(C)];
        let owners = [0, 8000, 8001, 8002, 8003, 16_383].map(|slot| owner(&views, slot));
        assert_eq!(owners, [Some(2), Some(2), Some(1), Some(2), Some(1), Some(1)]);
        assert_eq!(owner(&views[..1], 8002), Some(0));
        assert_eq!(owner(&views[..1], 8001), None);
        assert_eq!(owner(&[None, view(B)], 0), None);
    }

    #[test]
    fn nodes_agree_if_each_is_seen_as_it_sees_itself_and_well() {
        let views = [view(A), view(B), view(C)].map(|view| view.expect("a view"));
        assert!(agree(&[&views[0], &views[1]]));
        assert!(!agree(&[&views[0], &views[2]]));
        let ids = ["cc", "aa", "bb"].map(str::to_owned);
        assert!(views[0].knows(&ids) && !views[0].knows(&ids[..2]));
        assert!(!views[1].knows(&ids), "one is not well");
    }

    #[test]
    fn what_is_no_view_is_none() {
        for text in ["", "aa 127.0.0.1:7000@17000 master", &A.replace("myself,", ""), &A.replace("0-8000", "0-x")] {
            assert!(view(text).is_none(), "{text}");
        }
    }
}
