//! The files of a configuration, and whether they changed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

use crate::config::{Config, ConfigError};

/// How often they are looked at. What changed has to stay the same for as long, so that nothing
/// is read that is half written.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often they are read in a row at most, until the list of them stays the same.
const READS: usize = 3;

/// What tells a file from what it was: the file that is there, through all links (mounted
/// secrets are swapped by one), its times and its length. None of one that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<([i64; 4], [u64; 3])>);

/// The files that a configuration was read from, as they were then.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    path: PathBuf,
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    /// They changed to this.
    seen: Option<Vec<Stamp>>,
}

impl Watched {
    /// Reads a configuration, good or bad. May block.
    pub(super) fn read(path: &Path) -> (Result<Config, ConfigError>, Self) {
        let mut files = vec![path.to_owned()];
        // Before they are read: what changes while they are is seen as a change.
        let mut stamps = all(&files);
        let (mut config, mut named) = Config::load_with_files(path);
        for _ in 1..READS {
            if named == files {
                break;
            }
            files = named;
            stamps = all(&files);
            (config, named) = Config::load_with_files(path);
        }
        (config, Self { path: path.to_owned(), files, stamps, seen: None })
    }

    /// The same, without keeping anybody waiting.
    pub(super) async fn read_again(&self) -> Option<(Result<Config, ConfigError>, Self)> {
        let path = self.path.clone();
        spawn_blocking(move || Self::read(&path)).await.ok()
    }

    /// Ready once they changed. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        loop {
            sleep(INTERVAL).await;
            let files = self.files.clone();
            let Ok(now) = spawn_blocking(move || all(&files)).await else { continue };
            if self.has_settled(now) {
                return;
            }
        }
    }

    fn has_settled(&mut self, now: Vec<Stamp>) -> bool {
        if now == self.stamps {
            self.seen = None;
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(&now);
        self.seen = Some(now);
        is_settled
    }
}

fn all(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let Ok(found) = fs::metadata(file) else { return Stamp(None) };
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Stamp(Some((times, [found.dev(), found.ino(), found.len()])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[vendors.a]\nkind = \"knovvu\"\nbase_url = \"http://127.0.0.1:1\"\n\
                        project = \"P\"\naccess_token = { file = \"mount/token\" }\n\
                        scenario_path = \"https://s.example\"\norchestrator_url = \"https://o.example\"\n\
                        display_number = \"200\"\n\n[routes.default]\nvendors = [\"a\"]\n";

    #[test]
    fn a_change_is_seen_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("one")).unwrap();
        fs::create_dir(at("two")).unwrap();
        fs::write(at("one/token"), "first").unwrap();
        fs::write(at("two/token"), "other").unwrap();
        // As a mounted secret is.
        std::os::unix::fs::symlink("one", at("mount")).unwrap();
        fs::write(at("dialplane.toml"), TEXT).unwrap();
        let (config, mut watched) = Watched::read(&at("dialplane.toml"));
        let before = config.unwrap().vendors["a"].digests;
        let looked = |watched: &mut Watched| {
            let now = all(&watched.files);
            watched.has_settled(now)
        };
        assert!(!looked(&mut watched) && !looked(&mut watched));

        std::os::unix::fs::symlink("two", at("next")).unwrap();
        fs::rename(at("next"), at("mount")).unwrap();
        assert!(!looked(&mut watched) && looked(&mut watched));
        let (config, mut watched) = Watched::read(&at("dialplane.toml"));
        let after = config.unwrap().vendors["a"].digests;
        assert!(before.whole != after.whole && before.access != after.access);
        assert_eq!(before.address, after.address);
        assert_eq!(format!("{:?}", after.whole), "***");

        // One that is not there is waited for.
        fs::remove_file(at("two/token")).unwrap();
        assert!(!looked(&mut watched) && looked(&mut watched));
        let (config, mut watched) = Watched::read(&at("dialplane.toml"));
        assert!(config.is_err() && !looked(&mut watched) && !looked(&mut watched));
        fs::write(at("two/token"), "back").unwrap();
        assert!(!looked(&mut watched));
        // Not settled yet.
        fs::write(at("two/token"), "back again").unwrap();
        assert!(!looked(&mut watched) && looked(&mut watched));
    }
}
