//! The users that are there from the beginning.

use std::fmt;

use acs_identity_core::{AcsId, Error, Excerpt, Redacted, Result, Timestamp};
use serde::Deserialize;

use crate::identities;
use crate::random::Ids;
use crate::world::{Known, World};

/// The users that an emulator has from the beginning.
///
/// ```
/// use acs_identity_emulator::{DEFAULT_RESOURCE_ID, Seed};
///
/// let id = format!("8:acs:{DEFAULT_RESOURCE_ID}_00000001-0000-0000-0000-000000000001");
/// let seed = Seed::from_json(&format!(r#"{{ "users": [{{ "id": "{id}" }}, {{ "customId": "bob" }}] }}"#))?;
/// assert_eq!(seed, Seed::default().user(id.parse()?).user_with_custom_id("bob", None));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    users: Vec<Planted>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Planted {
    id: Option<AcsId>,
    custom_id: Option<String>,
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let custom_id = self.custom_id.as_deref().map(Redacted);
        f.debug_struct("User").field("id", &self.id).field("custom_id", &custom_id).finish()
    }
}

impl Seed {
    /// Reads one from JSON: an object with a list `users` of objects with an `id`, a `customId`, both or none. A user
    /// without an `id` gets a new one.
    ///
    /// # Errors
    /// `InvalidInput` if the text is something else. It says in which line.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::invalid_input(format!("the seed is not of the documented form at {place}")).with_source(error)
        })
    }

    /// The same seed with one more user.
    #[must_use]
    pub fn user(mut self, id: AcsId) -> Self {
        self.users.push(Planted { id: Some(id), custom_id: None });
        self
    }

    /// The same seed with one more user who has a `customId`; without an ID it gets a new one.
    #[must_use]
    pub fn user_with_custom_id(mut self, custom_id: impl Into<String>, id: Option<AcsId>) -> Self {
        self.users.push(Planted { id, custom_id: Some(custom_id.into()) });
        self
    }

    /// Creates the users.
    pub(crate) fn plant(self, world: &mut World, ids: &Ids, resource_id: &str, now: Timestamp) -> Result<()> {
        for Planted { id, custom_id } in self.users {
            let id = match id {
                Some(id) => id,
                None => identities::new_id(resource_id, ids)?,
            };
            let refused = |why: &str| {
                let shown = Excerpt(id.as_str().as_bytes());
                Err(Error::invalid_input(format!("the user {shown} of the seed {why}")))
            };
            if !identities::is_own(resource_id, id.as_str()) {
                return refused(&format!("is not of the form 8:acs:{resource_id}_<user>"));
            }
            if world.user(id.as_str()).is_some() {
                return refused("is there twice");
            }
            if let Some(custom_id) = &custom_id {
                if !identities::is_custom_id(custom_id) {
                    return refused("has a customId that is empty or too long");
                }
                if !matches!(world.with_custom_id(custom_id), Known::Nobody) {
                    return refused("has the customId of another one");
                }
            }
            world.create(id, custom_id, now);
        }
        Ok(())
    }
}
