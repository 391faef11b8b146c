//! The encrypted form of a request (phonon.md 2b): a fresh AES key for each, wrapped
//! with the flow's RSA key.
//!
//! What the vendor's page calls AES-512 is AES-128: the key is the first half of the
//! SHA-256 of a passphrase, which is the base64 text of a random string. The mode is
//! ECB with PKCS#7 padding. That is weak, and it is what the vendor decrypts: TLS
//! protects the request, this satisfies an account that demands it.

use aws_lc_rs::{
    cipher::{AES_128, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest,
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::wire::Encrypted;

/// How the AES passphrase is padded before RSA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// PKCS#1 v1.5: Java's default for "RSA", which the vendor's page names.
    Pkcs1v15,
    /// OAEP with SHA-1 for both digests: Java's default for OAEP.
    Oaep,
}

/// Encrypts requests for one flow's key.
#[derive(Debug)]
pub(super) struct Encryption {
    key: RsaKey,
    key_bytes: usize,
}

#[derive(Debug)]
enum RsaKey {
    Pkcs1v15(Pkcs1PublicEncryptingKey),
    Oaep(OaepPublicEncryptingKey),
}

/// Random bytes behind a passphrase. In hex they are 64 characters: the vendor's page
/// allows 2048, its key has room for 501 (phonon.md 2b).
const RANDOM_BYTES: usize = 32;

impl Encryption {
    /// Reads the flow's `public_key.pem`.
    ///
    /// # Errors
    /// What is wrong with the file, as the rest of a sentence about it.
    pub(super) fn new(pem: &[u8], padding: Padding) -> Result<Self, String> {
        const EXPECTED: &str = "expected the flow's public_key.pem: one PUBLIC KEY block in PEM";
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|error| format!("is not readable as PEM ({error}); {EXPECTED}"))?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| {
            format!("holds no RSA key of 2048 to 8192 bits; {EXPECTED}, with an RSA key")
        })?;
        let key_bytes = key.key_size_bytes();
        let key = match padding {
            Padding::Pkcs1v15 => Pkcs1PublicEncryptingKey::new(key).map(RsaKey::Pkcs1v15),
            Padding::Oaep => OaepPublicEncryptingKey::new(key).map(RsaKey::Oaep),
        }
        .map_err(|Unspecified| format!("holds a key that can't be used; {EXPECTED}"))?;
        Ok(Self { key, key_bytes })
    }

    /// The whole encrypted body for a plain one.
    ///
    /// # Errors
    /// When the machine has no randomness or the key refuses; nothing was sent then.
    pub(super) fn body(&self, json: &[u8], flow_id: &str) -> Result<Vec<u8>, Unspecified> {
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random)?;
        let passphrase = passphrase(hex(&random).as_bytes());
        let value = encrypt(json, &passphrase)?;
        let wrapped_key = STANDARD.encode(self.wrap(passphrase.as_bytes())?);
        let body = Encrypted { value: &value, wrapped_key: &wrapped_key, flow_id };
        serde_json::to_vec(&body).map_err(|_| Unspecified)
    }

    /// How long [`Encryption::body`] is for a plain body of `json_bytes`, exactly.
    /// `envelope_bytes` is the length of the encrypted body with both values empty.
    pub(super) fn body_bytes(&self, json_bytes: usize, envelope_bytes: usize) -> usize {
        let padded = (base64_bytes(json_bytes) / BLOCK_BYTES + 1) * BLOCK_BYTES;
        envelope_bytes + base64_bytes(padded) + base64_bytes(self.key_bytes)
    }

    fn wrap(&self, passphrase: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut wrapped = vec![0; self.key_bytes];
        let length = match &self.key {
            RsaKey::Pkcs1v15(key) => key.encrypt(passphrase, &mut wrapped)?.len(),
            RsaKey::Oaep(key) => {
                key.encrypt(&OAEP_SHA1_MGF1SHA1, passphrase, &mut wrapped, None)?.len()
            }
        };
        wrapped.truncate(length);
        Ok(wrapped)
    }
}

const BLOCK_BYTES: usize = 16;

fn base64_bytes(plain: usize) -> usize {
    plain.div_ceil(3) * 4
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn passphrase(random: &[u8]) -> String {
    STANDARD.encode(random)
}

/// The base64 text of the JSON, encrypted, in base64.
fn encrypt(json: &[u8], passphrase: &str) -> Result<String, Unspecified> {
    let mut text = STANDARD.encode(json).into_bytes();
    let key = UnboundCipherKey::new(&AES_128, &aes_key(passphrase)?)?;
    PaddedBlockEncryptingKey::ecb_pkcs7(key)?.encrypt(&mut text)?;
    Ok(STANDARD.encode(text))
}

fn aes_key(passphrase: &str) -> Result<[u8; BLOCK_BYTES], Unspecified> {
    let hash = digest::digest(&digest::SHA256, passphrase.as_bytes());
    hash.as_ref().first_chunk().copied().ok_or(Unspecified)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use aws_lc_rs::{
        cipher::{DecryptionContext, PaddedBlockDecryptingKey},
        encoding::AsDer,
        rsa::{KeySize, OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
    };
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    static KEY: LazyLock<PrivateDecryptingKey> =
        LazyLock::new(|| PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());

    /// The public half of the tests' key, as the vendor's portal gives it.
    pub(in super::super) fn public_key_pem() -> String {
        let der = KEY.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|l| str::from_utf8(l).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// What the vendor makes of an encrypted body.
    pub(in super::super) fn decrypt(body: &[u8], padding: Padding) -> Vec<u8> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let field = |name: &str| STANDARD.decode(body[name].as_str().unwrap()).unwrap();
        let wrapped = field("requestDigitalSignatureValue");
        let mut plain = vec![0; KEY.key_size_bytes()];
        let passphrase = match padding {
            Padding::Pkcs1v15 => {
                let key = Pkcs1PrivateDecryptingKey::new(KEY.clone()).unwrap();
                key.decrypt(&wrapped, &mut plain).unwrap().to_vec()
            }
            Padding::Oaep => {
                let key = OaepPrivateDecryptingKey::new(KEY.clone()).unwrap();
                key.decrypt(&OAEP_SHA1_MGF1SHA1, &wrapped, &mut plain, None).unwrap().to_vec()
            }
        };
        let passphrase = String::from_utf8(passphrase).unwrap();
        let key = UnboundCipherKey::new(&AES_128, &aes_key(&passphrase).unwrap()).unwrap();
        let key = PaddedBlockDecryptingKey::ecb_pkcs7(key).unwrap();
        let mut value = field("requestEncryptedValue");
        let text = key.decrypt(&mut value, DecryptionContext::None).unwrap();
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn reproduces_the_vector() {
        // phonon.md 2b.
        let passphrase = passphrase(b"sample-key-01");
        assert_eq!(passphrase, "c2FtcGxlLWtleS0wMQ==");
        assert_eq!(hex(&aes_key(&passphrase).unwrap()), "b85b634581afac54606ac22a96ede255");
        assert_eq!(
            encrypt(br#"{"api-version":"1.0","flow-id":"AbCd1234"}"#, &passphrase).unwrap(),
            "rQU0SVIylaKftS7ST4dcDSY/zqEDp/OrdQopjLGwQ4PsWLp4uFR8Z89kpcHm8uaDLYj/oNUaxKBgDIXYITqQjg=="
        );
    }

    #[test]
    fn every_request_has_a_key_of_its_own() {
        let encryption = Encryption::new(public_key_pem().as_bytes(), Padding::Pkcs1v15).unwrap();
        let bodies = [(); 2].map(|()| encryption.body(b"{}", "AbCd1234").unwrap());
        assert_ne!(bodies[0], bodies[1]);
        let body: Value = serde_json::from_slice(&bodies[0]).unwrap();
        let names: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["flow-id", "requestDigitalSignatureValue", "requestEncryptedValue"]);
        assert_eq!(body["flow-id"], "AbCd1234");
    }

    #[test]
    fn refuses_what_is_not_a_public_rsa_key() {
        let ec = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAA\n-----END PUBLIC KEY-----\n";
        let cut = public_key_pem().replace("-----END PUBLIC KEY-----", "");
        let private = public_key_pem().replace("PUBLIC", "PRIVATE");
        for pem in ["", "hello", ec, &cut, &private] {
            let error = Encryption::new(pem.as_bytes(), Padding::Oaep).unwrap_err();
            assert!(error.contains("expected the flow's public_key.pem"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_vendor_reads_what_was_written(json in prop::collection::vec(any::<u8>(), 0..200), oaep: bool) {
            let padding = if oaep { Padding::Oaep } else { Padding::Pkcs1v15 };
            let encryption = Encryption::new(public_key_pem().as_bytes(), padding).unwrap();
            let body = encryption.body(&json, "AbCd1234").unwrap();
            prop_assert_eq!(decrypt(&body, padding), json.clone());
            let envelope = Encrypted { value: "", wrapped_key: "", flow_id: "AbCd1234" };
            let envelope_bytes = serde_json::to_vec(&envelope).unwrap().len();
            prop_assert_eq!(encryption.body_bytes(json.len(), envelope_bytes), body.len());
        }
    }
}
