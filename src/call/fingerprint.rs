//! What a request asked for, in short: to tell its repetition from another request.

/// The fingerprint of a request's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of everything that was asked for. Decides alone whether two are the same.
    pub digest: [u8; 32],
    /// A few bytes for each field, to name the first one that differs. Empty where it is not
    /// known.
    pub fields: Vec<u8>,
}
