//! Opens encrypted requests (`phonon.md 2b`): a passphrase under RSA, and under the
//! passphrase the base64 of the JSON, by AES-128 in ECB mode.

use aws_lc_rs::{
    cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    digest,
    encoding::AsDer,
    encoding::PublicKeyX509Der,
    rsa::{
        KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
        Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
    },
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

/// Phonon's key pair.
pub(in crate::sandbox) struct Key {
    pkcs1: Pkcs1PrivateDecryptingKey,
    oaep: OaepPrivateDecryptingKey,
    public_pem: String,
}

impl Key {
    /// A new pair of 2048 bits.
    pub(in crate::sandbox) fn generate() -> Option<Self> {
        Self::new(PrivateDecryptingKey::generate(KeySize::Rsa2048).ok()?)
    }

    /// Reads PKCS#8 in PEM.
    pub(in crate::sandbox) fn from_pem(pem: &str) -> Option<Self> {
        let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
        let (text, _) = rest.split_once("-----END PRIVATE KEY-----")?;
        let text: String = text.split_ascii_whitespace().collect();
        Self::new(PrivateDecryptingKey::from_pkcs8(&BASE64.decode(&text).ok()?).ok()?)
    }

    fn new(key: PrivateDecryptingKey) -> Option<Self> {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
        let public_pem = pem("PUBLIC KEY", der.as_ref());
        let oaep = OaepPrivateDecryptingKey::new(key.clone()).ok()?;
        Some(Self { pkcs1: Pkcs1PrivateDecryptingKey::new(key).ok()?, oaep, public_pem })
    }

    /// The public half: a SubjectPublicKeyInfo in PEM.
    pub(in crate::sandbox) fn public_pem(&self) -> String {
        self.public_pem.clone()
    }

    /// Whatever one of the paddings in use makes of the ciphertext.
    fn unwrapped(&self, ciphertext: &[u8]) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; self.pkcs1.min_output_size()];
        let mut found = Vec::new();
        if let Ok(plain) = self.pkcs1.decrypt(ciphertext, &mut buffer) {
            found.push(plain.to_vec());
        }
        for algorithm in [&OAEP_SHA1_MGF1SHA1, &OAEP_SHA256_MGF1SHA256] {
            if let Ok(plain) = self.oaep.decrypt(algorithm, ciphertext, &mut buffer, None) {
                found.push(plain.to_vec());
            }
        }
        found
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The JSON in an encrypted request.
pub(super) fn open(key: &Key, wrapped_passphrase: &str, sealed: &str) -> Option<Vec<u8>> {
    let wrapped = BASE64.decode(wrapped_passphrase).ok()?;
    let passphrases = key.unwrapped(&wrapped);
    passphrases.iter().find_map(|passphrase| decrypt(passphrase, sealed))
}

fn decrypt(passphrase: &[u8], sealed: &str) -> Option<Vec<u8>> {
    let hash = digest::digest(&digest::SHA256, passphrase);
    let key = UnboundCipherKey::new(&AES_128, hash.as_ref().get(..16)?).ok()?;
    let cipher = PaddedBlockDecryptingKey::ecb_pkcs7(key).ok()?;
    let mut bytes = BASE64.decode(sealed).ok()?;
    let plain = cipher.decrypt(&mut bytes, DecryptionContext::None).ok()?;
    BASE64.decode(plain).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey};

    use super::*;

    const SEALED: &str =
        "rQU0SVIylaKftS7ST4dcDSY/zqEDp/OrdQopjLGwQ4PsWLp4uFR8Z89kpcHm8uaDLYj/oNUaxKBgDIXYITqQjg==";
    const JSON: &str = r#"{"api-version":"1.0","flow-id":"AbCd1234"}"#;
    const PASSPHRASE: &[u8] = b"c2FtcGxlLWtleS0wMQ==";

    #[test]
    fn the_vector_of_the_document() {
        assert_eq!(decrypt(PASSPHRASE, SEALED).as_deref(), Some(JSON.as_bytes()));
        assert_eq!(decrypt(b"another", SEALED), None);
        assert_eq!(decrypt(PASSPHRASE, "rQU0"), None);
    }

    #[test]
    fn either_padding_opens() {
        let key = Key::generate().unwrap();
        let pem = key.public_pem();
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let public = PublicEncryptingKey::from_der(&BASE64.decode(&text).unwrap()).unwrap();
        let mut buffer = vec![0; public.key_size_bytes()];
        let pkcs1 = Pkcs1PublicEncryptingKey::new(public.clone()).unwrap();
        let wrapped = pkcs1.encrypt(PASSPHRASE, &mut buffer).unwrap();
        assert!(open(&key, &BASE64.encode(wrapped), SEALED).is_some());
        let oaep = OaepPublicEncryptingKey::new(public).unwrap();
        for algorithm in [&OAEP_SHA1_MGF1SHA1, &OAEP_SHA256_MGF1SHA256] {
            let wrapped = oaep.encrypt(algorithm, PASSPHRASE, &mut buffer, None).unwrap();
            assert!(open(&key, &BASE64.encode(wrapped), SEALED).is_some());
        }
        assert_eq!(open(&key, &BASE64.encode([7; 256]), SEALED), None);
        assert_eq!(open(&key, "AAAA", SEALED), None);
    }
}
