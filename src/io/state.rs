//! The state directory: what survives a restart of the process.
//!
//! Nothing here is needed to run: what is missing or damaged is treated as absent, and a directory that cannot be
//! written costs a warning and the memory of the next run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::navilink::devices::{Device, DeviceList, write_heaters};
use crate::product;
use crate::tokens::SignInBudget;

const TOKENS: &str = "tokens.json";
const SIGN_INS: &str = "sign-ins.json";
const HEATERS: &str = "heaters.json";
const MEMORY: &str = "memory.json";
const OUTAGE: &str = "outage.json";
const REJECTION: &str = "rejected.json";
const CLIENT_ID: &str = "client-id.json";
const DISCOVERY: &str = "discovery.json";
const HISTORY: &str = "history.json";
const FILES: [&str; 9] = [TOKENS, SIGN_INS, HEATERS, MEMORY, OUTAGE, REJECTION, CLIENT_ID, DISCOVERY, HISTORY];
/// How often, and after what pause, the lock is asked for.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// None of the files is nearly as long.
const MAX_FILE: u64 = 1 << 20;

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
    failed: Arc<AtomicBool>,
}

/// The tokens of an account, as they are kept; the times are seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenFile {
    /// Whose they are, in lower case; for another account they are worthless.
    pub email: String,
    /// `accessToken`.
    pub access: String,
    /// `refreshToken`.
    pub refresh: String,
    /// When they were issued.
    pub jwt_issued: u64,
    /// How many seconds they live.
    pub jwt_life: u64,
    /// `accessKeyId`, `secretKey` and `sessionToken`.
    pub aws: Option<[String; 3]>,
    /// When those were issued.
    pub aws_issued: u64,
    /// How many seconds those live.
    pub aws_life: u64,
    /// `userType`, which one query wants.
    pub user_type: String,
}

/// A password that the cloud rejected, by its salted digest.
#[derive(Serialize, Deserialize)]
struct Rejection {
    at: u64,
    salt: u128,
    digest: Vec<u8>,
}

impl Rejection {
    fn digest(salt: u128, email: &str, password: &SecretString) -> Vec<u8> {
        let mut hash = Sha256::new_with_prefix(salt.to_be_bytes());
        hash.update(email.to_lowercase());
        hash.update([0]);
        hash.update(password.expose_secret());
        hash.finalize().to_vec()
    }
}

impl StateDirectory {
    /// Takes the directory, which is made when it is written to for the first time.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), failed: Arc::default() }
    }

    /// Removes the drafts of processes that were killed while they wrote.
    pub async fn remove_drafts(&self) {
        let folder = self.path.clone();
        // A directory that is not there has none, and a failure costs a file that is never read.
        let _ = tokio::task::spawn_blocking(move || remove_drafts(&folder)).await;
    }

    /// Returns the kept tokens.
    pub fn tokens(&self) -> Option<TokenFile> {
        self.read(TOKENS)
    }

    /// Keeps the tokens.
    pub async fn keep_tokens(&self, tokens: TokenFile) {
        self.write(TOKENS, tokens).await;
    }

    /// Changes the budget of sign-ins that all processes share, and keeps it, while no other process can.
    ///
    /// # Errors
    ///
    /// When it cannot be kept.
    pub async fn update_sign_ins<T: Send + 'static>(
        &self,
        now: Duration,
        change: impl FnOnce(&mut SignInBudget) -> T + Send + 'static,
    ) -> io::Result<T> {
        let state = self.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            make_folder(&state.path)?;
            let locked = lock(&state.path)?;
            let earlier: Vec<f64> = state.read(SIGN_INS).unwrap_or_default();
            let earlier = earlier.into_iter().filter_map(|at| Duration::try_from_secs_f64(at).ok());
            let mut budget = SignInBudget::restore(earlier, now);
            let outcome = change(&mut budget);
            let used: Vec<f64> = budget.used().iter().map(Duration::as_secs_f64).collect();
            write_whole(&state.path, &locked, SIGN_INS, &serde_json::to_vec(&used).map_err(io::Error::other)?)?;
            Ok(outcome)
        });
        let outcome = outcome.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.note(outcome.as_ref().err());
        outcome
    }

    /// Returns whether the last attempt to write failed.
    pub fn is_failing(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns when the cloud rejected this email and password, and how long ago that is; a time in the future, which a
    /// clock step made up, counts as `now`.
    pub fn rejection(&self, email: &str, password: &SecretString, now: SystemTime) -> Option<(SystemTime, Duration)> {
        let kept: Rejection = self.read(REJECTION)?;
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(kept.at))?.min(now);
        let same = Rejection::digest(kept.salt, email, password) == kept.digest;
        same.then(|| (at, now.duration_since(at).unwrap_or_default()))
    }

    /// Keeps that the cloud rejected this email and password.
    pub async fn keep_rejection(&self, email: &str, password: &SecretString, now: SystemTime) {
        let mut salt = [0; 16];
        // Without randomness the digest is merely easier to guess; the tokens lie beside it.
        let _ = getrandom::fill(&mut salt);
        let salt = u128::from_be_bytes(salt);
        let digest = Rejection::digest(salt, email, password);
        self.write(REJECTION, Rejection { at: unix(now), salt, digest }).await;
    }

    /// Returns the heaters that an earlier run knew.
    pub fn heaters(&self) -> Vec<Device> {
        let mut list = DeviceList::default();
        list.take_page(&self.read(HEATERS).unwrap_or_default(), product::is_known);
        list.heaters
    }

    /// Keeps the heaters.
    pub async fn keep_heaters(&self, heaters: &[Device]) {
        self.write(HEATERS, write_heaters(heaters)).await;
    }

    /// Returns what an earlier run knew of the heaters.
    pub fn memories<T: DeserializeOwned + Default>(&self) -> T {
        self.read(MEMORY).unwrap_or_default()
    }

    /// Keeps what is known of the heaters.
    pub async fn keep_memories<T: Serialize + Send + 'static>(&self, memories: T) {
        self.write(MEMORY, memories).await;
    }

    /// Returns what an earlier run knew of the outage.
    pub fn outage<T: DeserializeOwned + Default>(&self) -> T {
        self.read(OUTAGE).unwrap_or_default()
    }

    /// Keeps what is known of the outage.
    pub async fn keep_outage<T: Serialize + Send + 'static>(&self, outage: T) {
        self.write(OUTAGE, outage).await;
    }

    /// Returns where an earlier run published discovery.
    pub fn discovery<T: DeserializeOwned>(&self) -> Option<T> {
        self.read(DISCOVERY)
    }

    /// Keeps where discovery is published.
    pub async fn keep_discovery<T: Serialize + Send + 'static>(&self, discovery: T) {
        self.write(DISCOVERY, discovery).await;
    }

    /// Returns what an earlier run knew of the time before it.
    pub fn history<T: DeserializeOwned + Default>(&self) -> T {
        self.read(HISTORY).unwrap_or_default()
    }

    /// Keeps what is known of the time until now.
    pub async fn keep_history<T: Serialize + Send + 'static>(&self, history: T) {
        self.write(HISTORY, history).await;
    }

    /// Returns how many sign-ins of all processes are left of the hour that ends at `now`, since 1970, if they are kept.
    pub fn sign_ins_left(&self, now: Duration) -> usize {
        let earlier: Vec<f64> = self.read(SIGN_INS).unwrap_or_default();
        let earlier = earlier.into_iter().filter_map(|at| Duration::try_from_secs_f64(at).ok());
        SignInBudget::restore(earlier, now).left(now)
    }

    /// Returns the client id of this installation; the first call makes it out of `random`.
    pub async fn client_id(&self, random: [u8; 8]) -> String {
        let good =
            |id: &String| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(id) = self.read::<String>(CLIENT_ID).filter(good) {
            return id;
        }
        let id = format!("navien2mqtt-{:016x}", u64::from_be_bytes(random));
        self.write(CLIENT_ID, id.clone()).await;
        id
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path.join(name);
        match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!("{} cannot be read and counts as absent: {error}", path.display());
                None
            }
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(value) => Some(value),
                // The parser's own words can quote what it read.
                Err(error) => {
                    warn!("{} is damaged (line {}) and counts as absent", path.display(), error.line());
                    None
                }
            },
        }
    }

    async fn write<T: Serialize + Send + 'static>(&self, name: &'static str, value: T) {
        let folder = self.path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let text = serde_json::to_vec(&value).map_err(io::Error::other)?;
            make_folder(&folder)?;
            write_whole(&folder, &lock(&folder)?, name, &text)
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
        self.note(written.as_ref().err());
    }

    /// Says once that the directory cannot be written, until it can.
    fn note(&self, error: Option<&io::Error>) {
        let failed_before = self.failed.swap(error.is_some(), Ordering::Relaxed);
        if let Some(error) = error.filter(|_| !failed_before) {
            let path = self.path.display();
            warn!("{path} cannot be written, so a restart will sign in afresh: {error}");
        }
    }
}

/// Returns the seconds since 1970.
pub fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Reads a regular file: opening it neither follows a link nor waits for a writer, as that of a FIFO would.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(io::Error::other("it is a symbolic link, and a regular file is expected"));
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE { Err(io::Error::other("it is much too long")) } else { Ok(text) }
}

/// Keeps other processes from writing to the directory until the returned handle is dropped.
fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    // Nobody holds it for longer than a file takes to be written.
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"))
}

/// Removes every draft; whoever writes one holds the lock.
fn remove_drafts(folder: &Path) -> io::Result<()> {
    let _locked = lock(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_draft) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn draft_name(name: &str) -> String {
    format!(".{name}.{}", std::process::id())
}

/// Returns whether [`draft_name`] makes such names.
fn is_draft(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, process)| FILES.contains(&name) && process.parse::<u32>().is_ok())
}

/// Writes a file of the locked directory so that it is there whole or not at all, readable by its owner only.
fn write_whole(folder: &Path, locked: &File, name: &str, text: &[u8]) -> io::Result<()> {
    let draft = folder.join(draft_name(name));
    let outcome = write_draft(locked, &draft, text).and_then(|()| fs::rename(&draft, folder.join(name)));
    if outcome.is_err() {
        let _ = fs::remove_file(&draft);
    }
    outcome?;
    locked.sync_all()
}

fn write_draft(folder: &File, draft: &Path, text: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let (owner, ours) = (folder.metadata()?, file.metadata()?);
    if ours.uid() == 0 && owner.uid() != 0 {
        // A command that root runs by hand must not lock the daemon out of its own state; nobody else may give away.
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tokens() -> TokenFile {
        TokenFile {
            email: "you@example.com".into(),
            access: "a".into(),
            refresh: "r".into(),
            jwt_issued: 1,
            jwt_life: 3600,
            aws: None,
            aws_issued: 0,
            aws_life: 0,
            user_type: "O".into(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_there_for_the_next_run_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("navien2mqtt");
        let state = StateDirectory::new(&path);
        assert!(state.tokens().is_none());
        state.keep_tokens(tokens()).await;
        state.keep_tokens(TokenFile { access: "b".into(), ..tokens() }).await;
        assert_eq!(StateDirectory::new(&path).tokens().unwrap().access, "b");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path.join(TOKENS)), 0o600);
        assert_eq!(mode(&path), 0o700);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft is left behind");
    }

    #[tokio::test]
    async fn the_client_id_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let id = state.client_id([1; 8]).await;
        assert_eq!(id, "navien2mqtt-0101010101010101");
        assert_eq!(state.client_id([2; 8]).await, id);
        fs::write(folder.path().join(CLIENT_ID), "\"with space/#\"").unwrap();
        assert_eq!(state.client_id([2; 8]).await, "navien2mqtt-0202020202020202");
    }

    #[tokio::test]
    async fn only_the_rejected_password_counts_as_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let (wrong, other) = (SecretString::from("wrong"), SecretString::from("other"));
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let later = at + Duration::from_secs(90);
        state.keep_rejection("You@example.com", &wrong, at).await;
        assert_eq!(state.rejection("you@example.com", &wrong, later), Some((at, Duration::from_secs(90))));
        assert_eq!(state.rejection("you@example.com", &other, later), None);
        assert_eq!(state.rejection("me@example.com", &wrong, later), None);
        let earlier = at - Duration::from_secs(9);
        assert_eq!(state.rejection("you@example.com", &wrong, earlier), Some((earlier, Duration::ZERO)));
        assert!(!fs::read_to_string(folder.path().join(REJECTION)).unwrap().contains("wrong"));
    }

    #[tokio::test]
    async fn damaged_files_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        for text in ["", "{", "[]", "\"\""] {
            fs::write(folder.path().join(TOKENS), text).unwrap();
            assert!(state.tokens().is_none());
        }
        for text in ["nonsense", "[-1, 1e300]", "{}"] {
            fs::write(folder.path().join(SIGN_INS), text).unwrap();
            let used = state.update_sign_ins(Duration::from_secs(1000), |budget| budget.used().to_vec()).await;
            assert!(used.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn only_regular_files_are_read_and_nothing_else_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let (client_id, elsewhere) = (folder.path().join(CLIENT_ID), folder.path().join("elsewhere"));
        fs::write(&elsewhere, "\"navien2mqtt-elsewhere\"").unwrap();
        let fifo = || assert!(std::process::Command::new("mkfifo").arg(&client_id).status().unwrap().success());
        let link = |target: &Path| std::os::unix::fs::symlink(target, &client_id).unwrap();
        let not_regular: [&dyn Fn(); 3] = [&fifo, &|| link(&elsewhere), &|| link(Path::new("/dev/zero"))];
        for make in not_regular {
            make();
            assert_eq!(state.client_id([3; 8]).await, "navien2mqtt-0303030303030303");
            assert!(fs::symlink_metadata(&client_id).unwrap().is_file(), "it is replaced");
            fs::remove_file(&client_id).unwrap();
        }
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "\"navien2mqtt-elsewhere\"");
    }

    #[tokio::test]
    async fn a_file_that_is_much_too_long_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let long = format!("\"a\"{}", " ".repeat(1 << 20));
        fs::write(folder.path().join(CLIENT_ID), long).unwrap();
        assert_eq!(state.client_id([3; 8]).await, "navien2mqtt-0303030303030303");
    }

    #[tokio::test]
    async fn drafts_of_killed_writes_are_removed_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        for draft in FILES {
            fs::write(folder.path().join(format!(".{draft}.4711")), "{").unwrap();
        }
        let kept = [".tokens.json.old", "tokens.json.1", ".notes.4711", TOKENS];
        for other in kept {
            fs::write(folder.path().join(other), "{}").unwrap();
        }
        state.remove_drafts().await;
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".notes.4711", ".tokens.json.old", TOKENS, "tokens.json.1"]);
    }

    #[test]
    fn a_draft_that_is_being_written_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let draft = folder.path().join(".tokens.json.4711");
        fs::write(&draft, "{").unwrap();
        let locked = lock(folder.path()).unwrap();
        assert_eq!(remove_drafts(folder.path()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(draft.exists());
        drop(locked);
        remove_drafts(folder.path()).unwrap();
        assert!(!draft.exists());
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let state = StateDirectory::new(file.join("below"));
        state.keep_tokens(tokens()).await;
        assert!(state.tokens().is_none());
        assert!(!state.client_id([3; 8]).await.is_empty());
    }

    /// Shows its teeth when run as root; nobody else may give files away.
    #[tokio::test]
    async fn a_command_run_by_root_leaves_the_files_to_the_owner_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.gid())).unwrap();
        if owner(folder.path()).0 == 0 {
            std::os::unix::fs::chown(folder.path(), Some(4711), Some(4712)).unwrap();
        }
        StateDirectory::new(folder.path()).keep_tokens(tokens()).await;
        assert_eq!(owner(&folder.path().join(TOKENS)), owner(folder.path()));
    }

    #[tokio::test]
    async fn heaters_are_there_for_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let mut listed = DeviceList::default();
        listed.take_page(
            &serde_json::json!([{ "deviceInfo": { "macAddress": "04786332FCA0", "deviceType": 52 } }]),
            product::is_known,
        );
        let heaters = listed.heaters;
        assert_eq!(heaters.len(), 1);
        state.keep_heaters(&heaters).await;
        assert_eq!(StateDirectory::new(folder.path()).heaters(), heaters);
    }
}
