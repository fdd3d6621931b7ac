//! What the emulator knows: users, their tokens, and who may sign in as whom.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use acs_identity_core::{AcsId, Timestamp};

use crate::assignments::Assignments;
use crate::keys::KeyType;
use crate::user::{IssuedToken, TokenState, User};

/// How long tokens that have expired are remembered.
const EXPIRED_KEPT: Duration = Duration::from_secs(3600);

/// What the emulator knows. Each call takes a moment, whatever it holds; a lock around it is never held across a wait.
pub(crate) struct World {
    records: HashMap<AcsId, Record>,
    /// Usually one for each `customId`; more where the race was lost.
    by_custom_id: HashMap<String, Vec<AcsId>>,
    created: u64,
    /// The number of the next token. It begins anywhere, so that no token of an earlier emulator is valid in this one.
    next_token: u64,
    pub(crate) assignments: Assignments,
}

struct Record {
    user: User,
    /// The place in the order of creation.
    position: u64,
    /// By number.
    tokens: VecDeque<Token>,
}

struct Token {
    number: u64,
    scopes: Vec<String>,
    issued_at: Timestamp,
    expires_on: Timestamp,
    revoked_at: Option<Timestamp>,
    /// The access key that the request for it was signed with.
    signer: Option<KeyType>,
}

impl Token {
    /// Revokes it from then on, unless it is revoked earlier.
    fn revoke(&mut self, from: Timestamp) {
        self.revoked_at = Some(self.revoked_at.map_or(from, |at| at.min(from)));
    }

    fn state(&self, now: Timestamp) -> TokenState {
        match self.revoked_at {
            // Whichever came first is what has become of it.
            Some(revoked) if revoked <= now && revoked < self.expires_on => TokenState::Revoked,
            _ if self.expires_on <= now => TokenState::Expired,
            _ => TokenState::Valid,
        }
    }
}

/// The users with a `customId`.
pub(crate) enum Known {
    Nobody,
    One(User),
    Several,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            records: HashMap::new(),
            by_custom_id: HashMap::new(),
            created: 0,
            next_token: RandomState::new().hash_one(0) >> 16,
            assignments: Assignments::default(),
        }
    }

    /// Adds a user, or replaces the one with that ID.
    pub(crate) fn create(&mut self, id: AcsId, custom_id: Option<String>, now: Timestamp) -> User {
        if let Some(custom_id) = &custom_id {
            self.by_custom_id.entry(custom_id.clone()).or_default().push(id.clone());
        }
        let user = User { id: id.clone(), custom_id, created_at: now, last_token_issued_at: None };
        let record = Record { user: user.clone(), position: self.created, tokens: VecDeque::new() };
        self.created += 1;
        self.records.insert(id, record);
        user
    }

    pub(crate) fn with_custom_id(&self, custom_id: &str) -> Known {
        match self.by_custom_id.get(custom_id).map_or(&[][..], Vec::as_slice) {
            [] => Known::Nobody,
            [id] => self.user(id.as_str()).map_or(Known::Nobody, |user| Known::One(user.clone())),
            _ => Known::Several,
        }
    }

    pub(crate) fn user(&self, id: &str) -> Option<&User> {
        self.records.get(id).map(|record| &record.user)
    }

    /// In the order of their creation.
    pub(crate) fn users(&self) -> Vec<User> {
        let mut records: Vec<&Record> = self.records.values().collect();
        records.sort_unstable_by_key(|record| record.position);
        records.into_iter().map(|record| record.user.clone()).collect()
    }

    /// Deletes a user with its tokens; whether there was one.
    pub(crate) fn delete(&mut self, id: &str) -> bool {
        let Some(record) = self.records.remove(id) else {
            return false;
        };
        if let Some(custom_id) = &record.user.custom_id
            && let Some(ids) = self.by_custom_id.get_mut(custom_id)
        {
            ids.retain(|one| one.as_str() != id);
            if ids.is_empty() {
                self.by_custom_id.remove(custom_id);
            }
        }
        true
    }

    /// Notes a token, and returns its number and whose it is; `None` if there is no such user.
    pub(crate) fn issue(
        &mut self,
        id: &str,
        scopes: Vec<String>,
        now: Timestamp,
        expires_on: Timestamp,
        signer: Option<KeyType>,
    ) -> Option<(AcsId, u64)> {
        let record = self.records.get_mut(id)?;
        while record.tokens.front().is_some_and(|token| token.expires_on.saturating_add(EXPIRED_KEPT) < now) {
            record.tokens.pop_front();
        }
        let number = self.next_token;
        self.next_token += 1;
        record.tokens.push_back(Token { number, scopes, issued_at: now, expires_on, revoked_at: None, signer });
        record.user.last_token_issued_at = Some(now);
        Some((record.user.id.clone(), number))
    }

    /// Revokes a user's tokens from a moment on; whether there is such a user.
    pub(crate) fn revoke(&mut self, id: &str, from: Timestamp) -> bool {
        let Some(record) = self.records.get_mut(id) else {
            return false;
        };
        record.tokens.iter_mut().for_each(|token| token.revoke(from));
        true
    }

    /// Revokes all tokens, whoever has them, that were issued with this access key.
    pub(crate) fn revoke_all_of(&mut self, key: KeyType, from: Timestamp) {
        let tokens = self.records.values_mut().flat_map(|record| &mut record.tokens);
        tokens.filter(|token| token.signer == Some(key)).for_each(|token| token.revoke(from));
    }

    /// In the order in which they were issued.
    pub(crate) fn tokens(&self, id: &str, now: Timestamp) -> Vec<IssuedToken> {
        let tokens = self.records.get(id).map(|record| &record.tokens);
        let seen = |token: &Token| IssuedToken {
            scopes: token.scopes.clone(),
            issued_at: token.issued_at,
            expires_on: token.expires_on,
            state: token.state(now),
        };
        tokens.into_iter().flatten().map(seen).collect()
    }

    pub(crate) fn is_valid(&self, id: &str, number: u64, now: Timestamp) -> bool {
        let find = |record: &Record| {
            let at = record.tokens.binary_search_by_key(&number, |token| token.number).ok()?;
            Some(record.tokens[at].state(now) == TokenState::Valid)
        };
        self.records.get(id).and_then(find).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn id(text: &str) -> AcsId {
        AcsId::new(text).unwrap()
    }

    fn later(seconds: u64) -> Timestamp {
        NOW.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn a_revocation_reaches_the_tokens_before_it_and_no_later_one() {
        let mut world = World::new();
        world.create(id("u"), None, NOW);
        let issue = |world: &mut World| world.issue("u", vec![], NOW, later(3600), None).unwrap().1;
        let (one, two) = (issue(&mut world), issue(&mut world));
        assert!(world.revoke("u", later(10)));
        let three = issue(&mut world);
        assert!(world.revoke("u", later(20)));
        let four = issue(&mut world);
        let valid = |seconds| [one, two, three, four].map(|number| world.is_valid("u", number, later(seconds)));
        assert_eq!(valid(9), [true, true, true, true]);
        assert_eq!(valid(10), [false, false, true, true]);
        assert_eq!(valid(20), [false, false, false, true]);
        assert_eq!(valid(3600), [false; 4]);
        assert!(!world.revoke("v", NOW));
    }

    #[test]
    fn tokens_that_expired_long_ago_are_forgotten() {
        let mut world = World::new();
        world.create(id("u"), None, NOW);
        world.issue("u", vec![], NOW, later(60), None).unwrap();
        world.issue("u", vec![], later(3660), later(9999), None).unwrap();
        assert_eq!(world.tokens("u", later(3660)).len(), 2);
        world.issue("u", vec![], later(3661), later(9999), None).unwrap();
        assert_eq!(world.tokens("u", later(3661)).len(), 2);
    }

    #[test]
    fn a_custom_id_is_free_again_when_its_last_user_is_deleted() {
        let mut world = World::new();
        world.create(id("a"), Some("bob".into()), NOW);
        world.create(id("b"), Some("bob".into()), NOW);
        assert!(matches!(world.with_custom_id("bob"), Known::Several));
        assert!(world.delete("a") && !world.delete("a"));
        assert!(matches!(world.with_custom_id("bob"), Known::One(user) if user.id().as_str() == "b"));
        assert!(world.delete("b"));
        assert!(matches!(world.with_custom_id("bob"), Known::Nobody));
    }
}
