//! What can be written, and how the script is told.

use acs_identity_core::rules::{self, LinkPlan, Present};
use acs_identity_core::{AcsId, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, Result, Timestamp, When};
use redis::Cmd;

use crate::error::Failure;
use crate::{member, record};

/// How an item is told to the script; see there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) what: &'static str,
    pub(crate) condition: String,
    /// For which customer the record is written, or expected to be.
    pub(crate) customer: Option<CustomerId>,
    pub(crate) properties: String,
    pub(crate) expiry: String,
    pub(crate) revision: String,
    pub(crate) created: String,
}

impl Told {
    /// Whether it is a link if free, and there is nothing more to be told than the customer.
    pub(super) fn is_bare(&self) -> bool {
        self.what == "c" && [&self.properties, &self.expiry].iter().all(|value| value.is_empty())
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
        let spec: String = self.what.chars().chain(values.clone().map(|(letter, _)| *letter)).collect();
        command.arg(spec).arg(member::of(id.as_str()));
        for (_, value) in values {
            command.arg(*value);
        }
    }

    /// When a record ends that is written at a time; `None` if never.
    pub(super) fn expires(&self, now: Timestamp) -> Option<Timestamp> {
        let micros: u64 = self.expiry.parse().ok()?;
        let from = if self.what == "i" { 0 } else { now.as_micros() };
        Some(Timestamp::from_micros(from.saturating_add(micros)))
    }

    /// The customer whom the record is to map the ACS ID to.
    pub(super) fn becomes(&self) -> Option<&CustomerId> {
        self.customer.as_ref().filter(|_| ["c", "r", "v", "i"].contains(&self.what))
    }
}

/// What can be written.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    fn acs_id(&self) -> &AcsId;
    fn told(&self) -> Result<Told, Failure>;

    /// What was to be written by the rules, if anything, and the answer.
    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Self::Answer)>;
}

impl Item for Link {
    type Answer = Linked;

    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    fn told(&self) -> Result<Told, Failure> {
        let (what, condition) = match self.when {
            When::CreateOnly => ("c", String::new()),
            When::Replace => ("r", String::new()),
            When::IfRevision(revision) => ("v", revision.get().to_string()),
            _ => return Err(Error::unsupported("this store does not know the condition of the link").into()),
        };
        // A shorter time than a microsecond is none, as for all stores.
        let lifetime = self.expires.map(|lifetime| u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX));
        Ok(Told {
            what,
            condition,
            customer: Some(self.customer_id.clone()),
            properties: record::json(&self.properties)?,
            expiry: lifetime.map(|lifetime| lifetime.min(Timestamp::MAX.as_micros()).to_string()).unwrap_or_default(),
            ..Told::default()
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

    fn told(&self) -> Result<Told, Failure> {
        Ok(Told {
            what: "i",
            customer: Some(self.customer_id.clone()),
            properties: record::json(&self.properties)?,
            expiry: self.expires_at.map(|at| at.as_micros().to_string()).unwrap_or_default(),
            revision: self.revision.get().to_string(),
            created: self.created_at.as_micros().to_string(),
            ..Told::default()
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

    fn told(&self) -> Result<Told, Failure> {
        let told = Told { what: "u", ..Told::default() };
        Ok(match &self.1 {
            Expect::Any => told,
            Expect::Customer(customer) => Told { customer: Some(customer.clone()), ..told },
            Expect::Revision(revision) => Told { condition: revision.get().to_string(), ..told },
            _ => return Err(Error::unsupported("this store does not know what is expected").into()),
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Option<Mapping>)> {
        let unlinked = rules::plan_unlink(&self.1, present, now)?;
        Ok((unlinked.is_some(), unlinked.and_then(|_| present.live(now).cloned())))
    }
}
