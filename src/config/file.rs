//! Files, read no further than anybody means them to go.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

const MIB: u64 = 1024 * 1024;
/// The largest secret, and the largest file of certificates, in MiB.
pub(super) const LARGEST: u64 = 1;

/// What is in a file of up to so many MiB. More of it is not read: a device has no end, and
/// a file that was named by mistake may not fit into memory.
///
/// # Errors
/// When it can't be read, or has more.
pub(super) fn read(path: &Path, mib: u64) -> io::Result<Vec<u8>> {
    let most = mib.saturating_mul(MIB);
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("it has more than {mib} MiB")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        for (size, is_read) in [(0, true), (MIB, true), (MIB + 1, false)] {
            File::create(&file).unwrap().set_len(size).unwrap();
            let found = read(&file, 1);
            assert_eq!(found.is_ok(), is_read, "{size}");
        }
        assert_eq!(
            read(Path::new("/dev/zero"), 1).unwrap_err().to_string(),
            "it has more than 1 MiB"
        );
        assert!(read(place.path(), 1).is_err());
    }
}
