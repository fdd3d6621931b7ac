//! Commands, each of which goes to the node that has its key.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use redis::{Cmd, Pipeline, Value, cmd};
use tokio::time::{Instant, timeout_at};

use super::{Node, Nodes, Pauses, Topology};
use crate::error::{Elsewhere, Failure, Trouble};
use crate::script::Script;

/// A command about keys of one slot.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) slot: u16,
    pub(crate) command: Cmd,
    /// The script that the command runs, if it does.
    pub(crate) script: Option<&'static Script>,
}

/// Whether commands may be sent again when their answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// They change nothing. Once.
    Read,
    /// They change nothing, and an answer was lost already. Never.
    ReadAgain,
    /// Never: what became of them is unknown then. They are done when so many replicas have them as the settings say.
    Write,
    /// Never; but nobody minds if they are lost, as they only take away what is too much.
    Tidy,
}

/// A command that has no answer yet.
struct Pending {
    place: usize,
    elsewhere: Elsewhere,
    /// Whether the node has to be given the script first.
    load: bool,
    /// Why it has none.
    failure: Failure,
    /// Whether an answer was lost already.
    lost: bool,
}

/// Where a part of the commands goes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Node(usize),
    Asking(String, u16),
}

/// A part of the commands, with who is to carry it out.
type Part = (Arc<Node>, Vec<Pending>);

impl Nodes {
    /// Carries out commands, those for one node in one pipeline, the nodes at once, with an answer for each. What was
    /// certainly not carried out is sent again, to whom it may concern by then, until it is time to end.
    pub(crate) async fn each(&self, asks: &[Ask], sort: Sort, end: Instant) -> Vec<Result<Value, Failure>> {
        let mut answers: Vec<Option<Result<Value, Failure>>> = asks.iter().map(|_| None).collect();
        let mut pending: Vec<Pending> = (0..asks.len())
            .map(|place| Pending {
                place,
                elsewhere: Elsewhere::Here,
                load: false,
                failure: Failure::NoAnswer,
                lost: sort == Sort::ReadAgain,
            })
            .collect();
        let mut pauses = Pauses::default();
        let mut tried = false;
        while !pending.is_empty() {
            let topology = self.topology();
            if self.is_closed() {
                settle(&mut answers, &mut pending, |_| Failure::Closed);
                break;
            }
            // What is sent at the end may be done, and nobody learns it; which matters only for what nobody waits for.
            if Instant::now() >= end && (sort != Sort::Tidy || tried) {
                settle(&mut answers, &mut pending, |pending| pending.failure);
                break;
            }
            tried = true;
            let (parts, mut again) = self.parts(&topology, asks, std::mem::take(&mut pending));
            let sent = parts.into_iter().map(|(node, part)| async move {
                let answers = send(&node, asks, &part, sort, end).await;
                (part, answers)
            });
            for (part, sent) in join_all(sent).await {
                match sent {
                    Ok((values, acknowledged)) => {
                        for (pending, value) in part.into_iter().zip(values) {
                            let trouble = match value {
                                Value::ServerError(error) => Trouble::of(error),
                                value if !acknowledged => {
                                    answers[pending.place] = Some(Err(Failure::Unacknowledged(Arc::new(value))));
                                    continue;
                                }
                                value => {
                                    answers[pending.place] = Some(Ok(value));
                                    continue;
                                }
                            };
                            judge(pending, trouble, sort, &mut answers, &mut again);
                        }
                    }
                    Err(trouble) => {
                        for pending in part {
                            judge(pending, trouble.clone(), sort, &mut answers, &mut again);
                        }
                    }
                }
            }
            pending = again;
            if pending.is_empty() {
                break;
            }
            if pending.iter().any(|pending| pending.elsewhere == Elsewhere::Unknown) {
                // Whether or not something is found, there is a next time.
                let _ = timeout_at(end, self.look(topology.number)).await;
            }
            if pending
                .iter()
                .any(|pending| !pending.load && matches!(pending.elsewhere, Elsewhere::Here | Elsewhere::Unknown))
            {
                pauses.wait(end).await;
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Failure::Answer))).collect()
    }

    /// The commands by who is to carry them out; and those for which there is nobody now.
    fn parts(&self, topology: &Topology, asks: &[Ask], pending: Vec<Pending>) -> (Vec<Part>, Vec<Pending>) {
        let mut parts: BTreeMap<To, Vec<Pending>> = BTreeMap::new();
        let mut nowhere = Vec::new();
        for mut pending in pending {
            let owner = topology.owner(asks[pending.place].slot);
            let to = match (&pending.elsewhere, owner) {
                // No host: the one that was asked.
                (Elsewhere::Ask(host, port), Some(owner)) if host.is_empty() => {
                    Some(To::Asking(topology.nodes[owner].host.clone(), *port))
                }
                (Elsewhere::Ask(host, port), _) if !host.is_empty() => Some(To::Asking(host.clone(), *port)),
                (_, owner) => owner.map(To::Node),
            };
            match to {
                Some(to) => parts.entry(to).or_default().push(pending),
                None => {
                    (pending.elsewhere, pending.failure) = (Elsewhere::Unknown, Failure::Uncovered);
                    nowhere.push(pending);
                }
            }
        }
        let mut found = Vec::with_capacity(parts.len());
        for (to, part) in parts {
            let node = match to {
                To::Node(place) => Ok(topology.nodes[place].clone()),
                To::Asking(host, port) => self.asked(topology, &(host, port)),
            };
            match node {
                Ok(node) => found.push((node, part)),
                Err(failure) => nowhere.extend(part.into_iter().map(|pending| Pending {
                    elsewhere: Elsewhere::Unknown,
                    failure: failure.clone(),
                    ..pending
                })),
            }
        }
        (found, nowhere)
    }
}

/// Sends commands to one node, with an answer each; and whether what was written is acknowledged as it has to be.
async fn send(
    node: &Node,
    asks: &[Ask],
    part: &[Pending],
    sort: Sort,
    end: Instant,
) -> Result<(Vec<Value>, bool), Trouble> {
    let mut commands = Pipeline::with_capacity(part.len() + 1);
    let mut loads: Vec<&Script> = Vec::new();
    for pending in part.iter().filter(|pending| pending.load) {
        if let Some(script) = asks[pending.place].script
            && !loads.iter().any(|load| std::ptr::eq(*load, script))
        {
            loads.push(script);
            commands.add_command(script.load());
        }
    }
    // Which of the answers are those to the commands, and which to what had to come before.
    let mut wanted = Vec::with_capacity(part.len());
    for pending in part {
        let before = match &pending.elsewhere {
            Elsewhere::Ask(..) => {
                commands.add_command(cmd("ASKING"));
                Some(commands.len() - 1)
            }
            _ if pending.load => {
                asks[pending.place].script.and_then(|script| loads.iter().position(|load| std::ptr::eq(*load, script)))
            }
            _ => None,
        };
        wanted.push((commands.len(), before));
        commands.add_command(asks[pending.place].command.clone());
    }
    let (mut answers, acknowledged) = match sort {
        Sort::Read | Sort::ReadAgain | Sort::Tidy => (node.send(&commands, end).await?, true),
        Sort::Write => node.write(&mut commands, end).await?,
    };
    if answers.len() <= wanted.last().map_or(0, |(place, _)| *place) {
        return Err(Trouble::Lost(Failure::Answer));
    }
    let mut answer =
        |(place, before): (usize, Option<usize>)| match (&answers[place], before.map(|before| &answers[before])) {
            // The command fails for the same reason, but does not say it.
            (Value::ServerError(_), Some(Value::ServerError(error))) => Value::ServerError(error.clone()),
            _ => std::mem::replace(&mut answers[place], Value::Nil),
        };
    Ok((wanted.into_iter().map(&mut answer).collect(), acknowledged))
}

/// What becomes of a command that was not answered as it should be.
fn judge(
    mut pending: Pending,
    trouble: Trouble,
    sort: Sort,
    answers: &mut [Option<Result<Value, Failure>>],
    again: &mut Vec<Pending>,
) {
    let place = pending.place;
    match trouble {
        Trouble::NotDone(failure, elsewhere) => {
            let failure = telling(&pending, failure);
            // A script that is missing after it was loaded will be missing for ever.
            let missing = elsewhere == Elsewhere::WithScript;
            if missing && pending.load {
                answers[place] = Some(Err(Failure::Answer));
                return;
            }
            // It is given to whoever was asked, also where that is not the one whose slot it is.
            if !missing {
                pending.elsewhere = elsewhere;
            } else if !matches!(pending.elsewhere, Elsewhere::Ask(..)) {
                pending.elsewhere = Elsewhere::Here;
            }
            (pending.load, pending.failure) = (missing, failure);
            again.push(pending);
        }
        Trouble::Lost(_) if matches!(sort, Sort::Write | Sort::Tidy) => {
            answers[place] = Some(Err(Failure::OutcomeUnknown))
        }
        Trouble::Lost(failure) if pending.lost => answers[place] = Some(Err(failure)),
        Trouble::Lost(failure) => {
            pending.failure = telling(&pending, failure);
            (pending.elsewhere, pending.lost) = (Elsewhere::Unknown, true);
            again.push(pending);
        }
        Trouble::Final(failure) => answers[place] = Some(Err(failure)),
    }
}

/// The failure that tells more: what went wrong before, rather than that it then took too long.
fn telling(pending: &Pending, failure: Failure) -> Failure {
    match failure {
        Failure::NoAnswer if pending.elsewhere != Elsewhere::Here => pending.failure.clone(),
        failure => failure,
    }
}

fn settle(
    answers: &mut [Option<Result<Value, Failure>>],
    pending: &mut Vec<Pending>,
    failure: impl Fn(Pending) -> Failure,
) {
    for pending in pending.drain(..) {
        let place = pending.place;
        answers[place] = Some(Err(failure(pending)));
    }
}
