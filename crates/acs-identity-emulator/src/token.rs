//! Access tokens: JWTs signed with a key that everybody knows.

use std::sync::LazyLock;

use acs_identity_core::{AcsId, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dates;

/// A PUBLIC TEST KEY: it comes with the source of this crate and protects nothing. Making one takes too long for a
/// start of a few milliseconds.
const PUBLIC_TEST_KEY: &[u8] = include_bytes!("public-test-key.der");
/// A certificate that this key has signed for itself. Tokens name their key by its thumbprint.
const PUBLIC_TEST_CERTIFICATE: &[u8] = include_bytes!("public-test-certificate.der");

/// The key, and what is told of it.
struct Signer {
    key: RsaKeyPair,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// The first part of every token.
    header: String,
    /// The thumbprint of the certificate in the form of `kid`, and in that of `x5t`.
    kid: String,
    x5t: String,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let key =
        RsaKeyPair::from_pkcs8(PUBLIC_TEST_KEY).expect("the embedded key is one that ring takes, as a test shows");
    let PublicKeyComponents { n: modulus, e: exponent } = PublicKeyComponents::<Vec<u8>>::from(key.public());
    // RFC 7515, section 4.1.7, says SHA-1. Nothing relies on its strength: it is a name.
    let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, PUBLIC_TEST_CERTIFICATE);
    let kid: String = thumbprint.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let x5t = encode(thumbprint.as_ref());
    let header = json!({ "alg": "RS256", "kid": kid, "x5t": x5t, "typ": "JWT" });
    Signer { key, modulus, exponent, header: encode(header.to_string().as_bytes()), kid, x5t }
});

/// What a token says: the claims that tokens of the service were seen to have, and one more.
#[derive(Serialize, Deserialize)]
struct Claims {
    skypeid: String,
    scp: u32,
    csi: String,
    exp: u64,
    rgn: String,
    #[serde(rename = "acsScope")]
    scopes: String,
    #[serde(rename = "resourceId")]
    resource_id: String,
    #[serde(rename = "resourceLocation")]
    resource_location: String,
    iat: u64,
    /// Tells apart tokens of one second, whose texts would be equal; not in tokens of the service.
    jti: String,
}

/// What is told of a token in it.
pub(crate) struct Content<'a> {
    pub(crate) id: &'a AcsId,
    pub(crate) scopes: &'a [String],
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_on: Timestamp,
    pub(crate) resource_id: &'a str,
    /// One number for each token of an emulator.
    pub(crate) number: u64,
}

/// Makes a token.
pub(crate) fn sign(content: &Content<'_>) -> Result<String, error::Unspecified> {
    let issued = dates::to_jwt(content.issued_at);
    let claims = Claims {
        skypeid: content.id.as_str().strip_prefix("8:").unwrap_or(content.id.as_str()).to_owned(),
        scp: 1792,
        csi: issued.to_string(),
        exp: dates::to_jwt(content.expires_on),
        rgn: "amer".to_owned(),
        scopes: content.scopes.join(","),
        resource_id: content.resource_id.to_owned(),
        resource_location: "unitedstates".to_owned(),
        iat: issued,
        jti: content.number.to_string(),
    };
    let payload = serde_json::to_vec(&claims).map_err(|_| error::Unspecified)?;
    let mut token = format!("{}.{}", SIGNER.header, encode(&payload));
    let mut signature = vec![0; SIGNER.key.public().modulus_len()];
    SIGNER.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Whose a token is, and its number, if it was made by [`sign`].
pub(crate) fn verify(token: &str) -> Option<(AcsId, u64)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let components = PublicKeyComponents { n: &SIGNER.modulus, e: &SIGNER.exponent };
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    components.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).ok()?;
    if header != SIGNER.header {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some((AcsId::new(format!("8:{}", claims.skypeid)).ok()?, claims.jti.parse().ok()?))
}

/// The set of keys with which tokens can be verified (RFC 7517).
pub(crate) fn key_set() -> Value {
    json!({ "keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": SIGNER.kid,
        "x5t": SIGNER.x5t,
        "x5c": [STANDARD.encode(PUBLIC_TEST_CERTIFICATE)],
        "n": encode(&SIGNER.modulus),
        "e": encode(&SIGNER.exponent),
    }] })
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of Entra ID, of which only these are looked at. Its signature is not: the emulator has nobody to ask.
#[derive(Deserialize)]
pub(crate) struct EntraClaims {
    /// In seconds; it may have a fraction (RFC 7519, section 2).
    exp: f64,
    pub(crate) oid: Option<String>,
    pub(crate) tid: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
}

impl EntraClaims {
    /// Reads a token; `None` if it is none.
    pub(crate) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
    }

    pub(crate) fn expires_on(&self) -> Timestamp {
        // What is before 1970 or after all timestamps becomes the first or the last one.
        Timestamp::from_micros((self.exp * 1e6) as u64)
    }

    /// The application that it was issued to: `appid` in version 1 of these tokens, `azp` in version 2.
    pub(crate) fn client(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }
}

/// A token as Entra ID would issue it, without a signature that could be verified.
pub(crate) fn entra(tenant: &str, object: &str, client: &str, expires_on: Timestamp) -> String {
    let header = encode(br#"{"alg":"none","typ":"JWT"}"#);
    let claims = json!({ "tid": tenant, "oid": object, "appid": client, "exp": dates::to_jwt(expires_on) });
    format!("{header}.{}.{}", encode(claims.to_string().as_bytes()), encode(b"no signature"))
}
