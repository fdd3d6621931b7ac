//! The answers to a batch of questions, one per asked ID.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Index;

use foldhash::quality::RandomState;

use crate::{AcsId, Error, ErrorKind, Resolution, Result};

/// What a resolver says of one ACS ID: found, absent (`Ok(None)`), or failed. Three different things.
pub type Answer = Result<Option<Resolution>>;

/// One [`Answer`] for each asked ACS ID, in the order in which they were asked, duplicates kept.
///
/// Built by ID, never by position, so that rows that come back in another order can't hand one person's
/// answer to another. It also keeps the IDs that it was built for, so that whoever asked finds the answers
/// [by ID](Self::in_order_of), too: a resolver may have sorted what it was asked, or left duplicates out.
///
/// ```
/// use acs_identity_core::{AcsId, Answers, CustomerId, Resolution};
/// let ids = [AcsId::new("8:acs:r_1")?, AcsId::new("8:acs:r_2")?, AcsId::new("8:acs:r_1")?];
/// let found = [("8:acs:r_1", Resolution::from(CustomerId::new("bob")?))];
/// let answers = Answers::by_id(&ids, found);
/// assert_eq!(answers[0].clone()?, answers[2].clone()?);
/// assert_eq!(answers[1].clone()?, None);
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Answers {
    /// For which ID each is.
    ids: Vec<AcsId>,
    each: Vec<Answer>,
}

impl Answers {
    /// Answers from what was found. An asked ID that is not among it is absent; what was not asked is ignored.
    pub fn by_id<K: Borrow<str>>(ids: &[AcsId], found: impl IntoIterator<Item = (K, Resolution)>) -> Self {
        Self::each_by_id(ids, found.into_iter().map(|(id, resolution)| (id, Ok(Some(resolution)))), &Ok(None))
    }

    /// Answers of which each may be found, absent or failed. An asked ID that is not among them gets `missing`; of several answers
    /// for one ID, the last is given.
    ///
    /// For a resolver of several parts, of which one may fail alone.
    pub fn each_by_id<K: Borrow<str>>(
        ids: &[AcsId],
        answers: impl IntoIterator<Item = (K, Answer)>,
        missing: &Answer,
    ) -> Self {
        let answers: HashMap<Key<K>, Answer, RandomState> =
            answers.into_iter().map(|(id, answer)| (Key(id), answer)).collect();
        let each = ids.iter().map(|id| answers.get(id.as_str()).unwrap_or(missing).clone()).collect();
        Self { ids: ids.to_vec(), each }
    }

    /// The same failure for each asked ID.
    pub fn failed(ids: &[AcsId], error: &Error) -> Self {
        Self { ids: ids.to_vec(), each: ids.iter().map(|_| Err(error.clone())).collect() }
    }

    /// The answers for these IDs, whatever the order and the duplicates of those that this was built for. For whoever has asked
    /// somebody else's resolver, and is about to read the answers by their place.
    ///
    /// ```
    /// # use acs_identity_core::{AcsId, Answers, CustomerId, Resolution};
    /// let asked = [AcsId::new("b")?, AcsId::new("a")?];
    /// let sorted = [AcsId::new("a")?, AcsId::new("b")?];
    /// let answers = Answers::by_id(&sorted, [("a", Resolution::from(CustomerId::new("anna")?))]);
    /// assert!(answers.in_order_of(&asked)?[1].clone()?.is_some());
    /// # Ok::<(), acs_identity_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Internal` if one of the IDs is not among those that this was built for: then the resolver was not asked what it believes.
    pub fn in_order_of(self, asked: &[AcsId]) -> Result<Self> {
        if self.ids == asked {
            return Ok(self);
        }
        let answers: HashMap<AcsId, Answer, RandomState> = self.ids.into_iter().zip(self.each).collect();
        let answer = |id: &AcsId| answers.get(id).cloned();
        let each: Option<Vec<Answer>> = asked.iter().map(answer).collect();
        let each = each.ok_or_else(|| Error::new(ErrorKind::Internal, "the resolver did not answer each ID"))?;
        Ok(Self { ids: asked.to_vec(), each })
    }

    /// How many IDs were asked.
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether none was asked.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// The answers in the order of the asked IDs.
    pub fn iter(&self) -> std::slice::Iter<'_, Answer> {
        self.each.iter()
    }
}

/// The answer for the ID at this place among the asked ones.
impl Index<usize> for Answers {
    type Output = Answer;
    fn index(&self, place: usize) -> &Answer {
        &self.each[place]
    }
}

impl IntoIterator for Answers {
    type Item = Answer;
    type IntoIter = std::vec::IntoIter<Answer>;
    fn into_iter(self) -> Self::IntoIter {
        self.each.into_iter()
    }
}

impl<'a> IntoIterator for &'a Answers {
    type Item = &'a Answer;
    type IntoIter = std::slice::Iter<'a, Answer>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Compares and hashes a key by its text, whatever type a driver's row gave it.
struct Key<K>(K);

impl<K: Borrow<str>> Borrow<str> for Key<K> {
    fn borrow(&self) -> &str {
        self.0.borrow()
    }
}

impl<K: Borrow<str>> PartialEq for Key<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.borrow() == other.0.borrow()
    }
}

impl<K: Borrow<str>> Eq for Key<K> {}

impl<K: Borrow<str>> Hash for Key<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.borrow().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::CustomerId;

    fn person(name: &str) -> Resolution {
        Resolution::from(CustomerId::new(name).unwrap())
    }

    proptest! {
        /// The customer of ID n is n, whatever the order of rows, the duplicates and the gaps.
        #[test]
        fn nobody_gets_another_ones_answer(
            asked in prop::collection::vec(0..20_u8, 0..40),
            known in Just((0..20_u8).collect::<Vec<_>>()).prop_shuffle(),
            count in 0..20_usize,
        ) {
            let ids: Vec<AcsId> = asked.iter().map(|n| AcsId::new(format!("8:acs:r_{n}")).unwrap()).collect();
            let known = &known[..count];
            let answers = Answers::by_id(&ids, known.iter().map(|n| (format!("8:acs:r_{n}"), person(&n.to_string()))));
            prop_assert_eq!(answers.len(), asked.len());
            for (n, answer) in asked.iter().zip(&answers) {
                let expected = known.contains(n).then(|| person(&n.to_string()));
                prop_assert_eq!(answer.as_ref().unwrap(), &expected);
            }
        }
    }

    proptest! {
        /// Neither does one who reads by place what was built for the same IDs in another order, or once each.
        #[test]
        fn who_reads_by_place_finds_the_answer_of_the_id(
            asked in prop::collection::vec(0..10_u8, 1..20),
            order in Just((0..10_u8).collect::<Vec<_>>()).prop_shuffle(),
            count in 0..=10_usize,
        ) {
            let id = |n: &u8| AcsId::new(format!("8:acs:r_{n}")).unwrap();
            let ids: Vec<AcsId> = asked.iter().map(id).collect();
            let built: Vec<AcsId> = order[..count].iter().map(id).collect();
            let found = built.iter().map(|id| (id.as_str(), person(id.as_str())));
            let answers = Answers::by_id(&built, found).in_order_of(&ids);
            prop_assert_eq!(answers.is_ok(), asked.iter().all(|n| order[..count].contains(n)));
            for (id, answer) in ids.iter().zip(answers.iter().flatten()) {
                prop_assert_eq!(answer.as_ref().unwrap(), &Some(person(id.as_str())));
            }
        }
    }

    #[test]
    fn an_id_that_is_asked_and_told_twice_has_one_answer() {
        let ids = ["a", "b", "a"].map(|id| AcsId::new(id).unwrap());
        let found = [("a", person("x")), ("b", person("bob")), ("a", person("y"))];
        let told_once_more = [found.to_vec(), vec![("b", person("bob"))]].concat();
        for found in [found.to_vec(), told_once_more] {
            let answers = Answers::by_id(&ids, found);
            let each: Vec<_> = answers.iter().map(|answer| answer.clone().unwrap().unwrap()).collect();
            assert_eq!(each, ["y", "bob", "y"].map(person));
        }
    }

    #[test]
    fn a_failure_stays_with_its_id() {
        let ids = [AcsId::new("a").unwrap(), AcsId::new("b").unwrap(), AcsId::new("c").unwrap()];
        let down = Error::new(ErrorKind::Unavailable, "shard down");
        let answers = Answers::each_by_id(&ids, [("b", Ok(Some(person("bob")))), ("c", Err(down))], &Ok(None));
        assert_eq!(answers[0].as_ref().unwrap(), &None);
        assert_eq!(answers[1].as_ref().unwrap(), &Some(person("bob")));
        assert_eq!(answers[2].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(Answers::failed(&ids, &Error::unsupported("x")).iter().all(Result::is_err));
    }
}
