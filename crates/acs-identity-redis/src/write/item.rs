//! What can be written, and how the script is told.

use acs_identity_core::rules::{self, LinkPlan, Present};
use acs_identity_core::{AcsId, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, Result, Timestamp, When};
use redis::Cmd;

use crate::error::Failure;
use crate::{member, record};

/// What the script is to do; see there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Create,
    Replace,
    LinkAtRevision,
    Import,
    Unlink,
    Forget,
    Bury,
    /// Changes no record.
    Check,
}

impl What {
    const fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Replace => 'r',
            Self::LinkAtRevision => 'v',
            Self::Import => 'i',
            Self::Unlink => 'u',
            Self::Forget => 'f',
            Self::Bury => 'b',
            Self::Check => 'x',
        }
    }

    const fn makes_a_mapping(self) -> bool {
        matches!(self, Self::Create | Self::Replace | Self::LinkAtRevision | Self::Import)
    }
}

/// What the script is told of an item.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) what: What,
    pub(crate) condition: String,
    /// For which customer the record is written, or expected to be.
    pub(crate) customer: Option<CustomerId>,
    pub(crate) properties: String,
    pub(crate) expiry: String,
    pub(crate) revision: String,
    pub(crate) created: String,
}

impl Instruction {
    /// Without any value.
    pub(crate) const fn new(what: What) -> Self {
        Self {
            what,
            condition: String::new(),
            customer: None,
            properties: String::new(),
            expiry: String::new(),
            revision: String::new(),
            created: String::new(),
        }
    }

    /// About the customer's mapping.
    pub(crate) fn of(what: What, customer: CustomerId) -> Self {
        Self { customer: Some(customer), ..Self::new(what) }
    }

    /// Whether it is a link if free, and there is nothing more to be told than the customer.
    pub(super) fn is_bare(&self) -> bool {
        self.what == What::Create && [&self.properties, &self.expiry].iter().all(|value| value.is_empty())
    }

    /// As arguments of the script. Where the customer's index is among its keys, that tells the customer.
    pub(super) fn write(&self, id: &AcsId, whole: bool, command: &mut Cmd) {
        let customer = self.customer.as_ref().filter(|_| !whole).map_or("", CustomerId::as_str);
        let values = [
            ('N', self.condition.as_str()),
            ('C', customer),
            ('P', &self.properties),
            ('E', &self.expiry),
            ('R', &self.revision),
            ('T', &self.created),
        ];
        let values = values.iter().filter(|(_, value)| !value.is_empty());
        let spec: String = [self.what.letter()].into_iter().chain(values.clone().map(|(letter, _)| *letter)).collect();
        command.arg(spec).arg(member::of(id.as_str()));
        for (_, value) in values {
            command.arg(*value);
        }
    }

    /// When a record ends that is written at a time; `None` if never.
    pub(super) fn expires(&self, now: Timestamp) -> Option<Timestamp> {
        let micros: u64 = self.expiry.parse().ok()?;
        let from = if self.what == What::Import { 0 } else { now.as_micros() };
        Some(Timestamp::from_micros(from.saturating_add(micros)))
    }

    /// The customer whom the record is to map the ACS ID to.
    pub(super) fn becomes(&self) -> Option<&CustomerId> {
        self.customer.as_ref().filter(|_| self.what.makes_a_mapping())
    }
}

/// What can be written.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    fn acs_id(&self) -> &AcsId;
    fn instruction(&self) -> Result<Instruction, Failure>;

    /// What was to be written by the rules, if anything, and the answer.
    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Self::Answer)>;
}

impl Item for Link {
    type Answer = Linked;

    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    fn instruction(&self) -> Result<Instruction, Failure> {
        let (what, condition) = match self.when {
            When::CreateOnly => (What::Create, String::new()),
            When::Replace => (What::Replace, String::new()),
            When::IfRevision(revision) => (What::LinkAtRevision, revision.get().to_string()),
            _ => return Err(Error::unsupported("this store does not know the condition of the link").into()),
        };
        // A shorter time than a microsecond is none, as for all stores.
        let lifetime = self.expires.map(|lifetime| u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX));
        Ok(Instruction {
            condition,
            properties: record::json(&self.properties)?,
            expiry: lifetime.map(|lifetime| lifetime.min(Timestamp::MAX.as_micros()).to_string()).unwrap_or_default(),
            ..Instruction::of(what, self.customer_id.clone())
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Linked)> {
        Ok(match rules::plan_link(self, present, now)? {
            LinkPlan::Write(_, linked) => (true, linked),
            LinkPlan::Keep(linked) => (false, linked),
        })
    }
}

impl Item for Mapping {
    type Answer = Imported;

    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    fn instruction(&self) -> Result<Instruction, Failure> {
        Ok(Instruction {
            properties: record::json(&self.properties)?,
            expiry: self.expires_at.map(|at| at.as_micros().to_string()).unwrap_or_default(),
            revision: self.revision.get().to_string(),
            created: self.created_at.as_micros().to_string(),
            ..Instruction::of(What::Import, self.customer_id.clone())
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Imported)> {
        let imported = rules::plan_import(self, present, now);
        Ok((imported == Imported::Written, imported))
    }
}

/// An ACS ID to be unlinked.
#[derive(Debug, Clone)]
pub(crate) struct Unlink(pub(crate) AcsId, pub(crate) Expect);

impl Item for Unlink {
    type Answer = Option<Mapping>;

    fn acs_id(&self) -> &AcsId {
        &self.0
    }

    fn instruction(&self) -> Result<Instruction, Failure> {
        let unlink = Instruction::new(What::Unlink);
        Ok(match &self.1 {
            Expect::Any => unlink,
            Expect::Customer(customer) => Instruction::of(What::Unlink, customer.clone()),
            Expect::Revision(revision) => Instruction { condition: revision.get().to_string(), ..unlink },
            _ => return Err(Error::unsupported("this store does not know what is expected").into()),
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Option<Mapping>)> {
        let unlinked = rules::plan_unlink(&self.1, present, now)?;
        Ok((unlinked.is_some(), unlinked.and_then(|_| present.live(now).cloned())))
    }
}
