//! The two access keys of a resource, and their rotation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use acs_identity_core::{Error, Result};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;

/// Reads a key as clients do, some of which need no padding, and writes it as all of them read it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Which of the two access keys of a resource. A request may be signed with either, so that one can be replaced while
/// the other is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// The one in the connection string of the emulator.
    Primary,
    /// The other one.
    Secondary,
}

/// Both keys.
pub(crate) struct Keys(Mutex<[Key; 2]>);

struct Key {
    which: KeyType,
    base64: String,
    hmac: hmac::Key,
}

impl Key {
    fn new(which: KeyType, secret: &[u8]) -> Self {
        Self { which, base64: BASE64.encode(secret), hmac: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }
}

impl Keys {
    /// # Errors
    /// `InvalidInput` if the primary key is empty or not base64.
    pub(crate) fn new(primary: &str, secondary: &[u8]) -> Result<Self> {
        let secret = BASE64.decode(primary.trim()).ok().filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| Error::invalid_input("the access key is empty or not base64"))?;
        let keys = [Key::new(KeyType::Primary, &secret), Key::new(KeyType::Secondary, secondary)];
        Ok(Self(Mutex::new(keys)))
    }

    /// In base64, with padding.
    pub(crate) fn base64(&self, which: KeyType) -> String {
        let found = self.keys().iter().find(|key| key.which == which).map(|key| key.base64.clone());
        found.unwrap_or_default()
    }

    /// The key with which a text was signed.
    pub(crate) fn signer(&self, text: &[u8], signature: &[u8]) -> Option<KeyType> {
        let keys = self.keys();
        keys.iter().find(|key| hmac::verify(&key.hmac, text, signature).is_ok()).map(|key| key.which)
    }

    pub(crate) fn replace(&self, which: KeyType, secret: &[u8]) {
        for key in self.keys().iter_mut().filter(|key| key.which == which) {
            *key = Key::new(which, secret);
        }
    }

    fn keys(&self) -> MutexGuard<'_, [Key; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
