//! The part that somebody has in an event.

use std::fmt;

use super::name::is_plain;
use crate::redact::Redacted;

/// The part that somebody has in an event.
///
/// `Debug` shows the name of any other role only if it is made of letters and cannot be a private key of a table.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sent a message.
    Sender,
    /// The user for whom the event is; user-level chat events come once for each.
    Recipient,
    /// Made a chat thread.
    CreatedBy,
    /// Deleted a chat thread or a message.
    DeletedBy,
    /// Edited a message.
    EditedBy,
    /// Added a participant.
    AddedBy,
    /// Removed a participant.
    RemovedBy,
    /// Started a call.
    StartedBy,
    /// Takes part in a thread or a call, or was added to it or removed from it.
    Participant,
    /// The user whom another event is about, such as one who disconnected.
    User,
    /// The caller, or the number that sent an SMS.
    From,
    /// The callee, or the number to which an SMS went.
    To,
    /// Any other: the name of the property, without `CommunicationIdentifier`, `Identifier`, `RawId` or `Id`.
    Other(Box<str>),
}

impl Role {
    /// The role for which a property stands.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "sender" => Self::Sender,
            "recipient" => Self::Recipient,
            "createdBy" => Self::CreatedBy,
            "deletedBy" => Self::DeletedBy,
            "editedBy" => Self::EditedBy,
            "addedBy" => Self::AddedBy,
            "removedBy" => Self::RemovedBy,
            "startedBy" => Self::StartedBy,
            // `members` is what older versions call the participants.
            "participant"
            | "participants"
            | "participantAdded"
            | "participantsAdded"
            | "participantRemoved"
            | "participantsRemoved"
            | "member"
            | "members" => Self::Participant,
            "user" => Self::User,
            "from" => Self::From,
            "to" => Self::To,
            other => Self::Other(other.into()),
        }
    }

    /// Its name, as ACS writes it: `sender`, `createdBy`, …
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::CreatedBy => "createdBy",
            Self::DeletedBy => "deletedBy",
            Self::EditedBy => "editedBy",
            Self::AddedBy => "addedBy",
            Self::RemovedBy => "removedBy",
            Self::StartedBy => "startedBy",
            Self::Participant => "participant",
            Self::User => "user",
            Self::From => "from",
            Self::To => "to",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) if !is_plain(name) => write!(f, "Other({})", Redacted(name)),
            role => f.write_str(role.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_read_from_its_own_name() {
        let names = [
            "sender",
            "recipient",
            "createdBy",
            "deletedBy",
            "editedBy",
            "addedBy",
            "removedBy",
            "startedBy",
            "participant",
            "user",
            "from",
            "to",
            "onBehalfOfCallee",
        ];
        for name in names {
            assert_eq!(Role::of(name).to_string(), name);
            assert_eq!(matches!(Role::of(name), Role::Other(_)), name == "onBehalfOfCallee");
        }
    }
}
