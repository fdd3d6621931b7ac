//! The users that are there from the beginning.

use std::collections::HashMap;
use std::fmt;

use acs_identity_core::{AcsId, Error, Redacted, Result, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;

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
        /// Of the same shape, but only from objects: the derived code takes lists of their values, too.
        type Objects = HashMap<String, Vec<HashMap<String, IgnoredAny>>>;
        let seed = serde_json::from_str::<Objects>(text).and_then(|_| serde_json::from_str(text));
        seed.map_err(|error| {
            // Its text is no source of this one: it may quote what is private.
            let what = if error.is_data() { "of the documented form" } else { "JSON" };
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::invalid_input(format!("the seed is not {what} at {place}"))
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
        for (index, Planted { id, custom_id }) in self.users.into_iter().enumerate() {
            let id = match id {
                Some(id) => id,
                None => identities::new_id(resource_id, ids)?,
            };
            let refused = |why: &str| Err(Error::invalid_input(format!("user {} of the seed {why}", index + 1)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_of_another_form_is_refused_by_its_place_and_never_quoted() {
        for (text, place) in [
            ("", "not JSON at line 1, column 0"),
            (r#"{"users": [hidden]}"#, "not JSON at line 1, column 12"),
            (r#""hidden""#, "not of the documented form at line 1, column 8"),
            ("[]", "not of the documented form at line 1"),
            (r#"[[{"customId": "hidden"}]]"#, "not of the documented form at line 1"),
            (r#"{"users": [[null, "hidden"]]}"#, "not of the documented form at line 1"),
            ("{\"users\": [\n\"hidden\"]}", "not of the documented form at line 2, column 8"),
            (r#"{"hidden": []}"#, "not of the documented form at line 1, column 9"),
            (r#"{"users": [{"hidden": "hidden"}]}"#, "not of the documented form at line 1, column 20"),
            (r#"{"users": [{"customId": ["hidden"]}]}"#, "not of the documented form at line 1"),
            (r#"{"users": [{"id": "hid\u0000den"}]}"#, "not of the documented form at line 1"),
        ] {
            let error = Seed::from_json(text).unwrap_err();
            assert!(std::error::Error::source(&error).is_none());
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(place) && !shown.contains("hid"), "{shown}");
        }
    }
}
