//! A local socket for one connection of our own, which nobody else on the machine can take.
//!
//! It is a Unix-domain socket: no address, route, name lookup or firewall has a part in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::io::{clock, descriptors};

/// The folder that worked last is tried first.
static WORKED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A listener in a folder of its own, both gone with the value.
#[derive(Debug)]
pub struct OneShot {
    listener: UnixListener,
    folder: Folder,
}

/// A folder that only this user may enter; removed with all that is in it when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

impl Folder {
    fn make(inside: &Path) -> io::Result<Self> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = inside.join(format!(".navien2mqtt-{:016x}", u64::from_ne_bytes(random)));
        // One that exists already is an error: nobody can have put it there for us.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("mqtt")
    }
}

impl OneShot {
    /// Opens the listener in the first folder that takes it.
    ///
    /// # Errors
    ///
    /// Names each folder and why it cannot be used.
    pub fn open() -> io::Result<Self> {
        let remembered = WORKED.lock().ok().and_then(|worked| worked.clone());
        let others = places().filter(|place| Some(place) != remembered.as_ref()).collect::<Vec<_>>();
        Self::open_in(remembered.into_iter().chain(others))
    }

    fn open_in(places: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut failures = Vec::new();
        for place in places {
            match Self::at(&place) {
                Ok(socket) => {
                    if let Ok(mut worked) = WORKED.lock() {
                        *worked = Some(place);
                    }
                    return Ok(socket);
                }
                Err(error) => failures.push(format!("{}: {error}", place.display())),
            }
        }
        Err(io::Error::other(format!("no folder takes a Unix-domain socket ({})", failures.join("; "))))
    }

    fn at(place: &Path) -> io::Result<Self> {
        let folder = Folder::make(place)?;
        let listener = UnixListener::bind(folder.socket())?;
        Ok(Self { listener, folder })
    }

    /// Returns the address in the form that the MQTT engine takes.
    pub fn uri(&self) -> String {
        format!("unix://{}", self.folder.socket().display())
    }

    /// Accepts the first connection within `limit` and closes the listener.
    ///
    /// # Errors
    ///
    /// When nobody connects, or when somebody else than this process does.
    pub async fn accept(self, limit: Duration) -> io::Result<UnixStream> {
        let (stream, _) = clock::within(limit, self.listener.accept())
            .await
            .map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))??;
        if stream.peer_cred()?.pid() != Some(std::process::id().cast_signed()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "another process connected to the local socket of the MQTT engine",
            ));
        }
        // The engine opens its end without close-on-exec.
        descriptors::close_on_exec()?;
        Ok(stream)
    }
}

/// The folders in which a daemon may usually write, with an absolute path.
fn places() -> impl Iterator<Item = PathBuf> {
    ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR", "STATE_DIRECTORY"]
        .iter()
        .filter_map(|name| std::env::var_os(name).map(PathBuf::from))
        .chain(["/tmp", "/run", "/dev/shm", "/var/tmp"].map(PathBuf::from))
        .filter(|place| place.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn our_own_connection_is_accepted_and_nothing_is_left_in_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let socket = OneShot::at(place.path()).unwrap();
        let _ours = UnixStream::connect(socket.folder.socket()).await.unwrap();
        assert!(socket.accept(SECOND).await.is_ok());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_connection_of_another_process_is_refused() {
        let socket = OneShot::open().unwrap();
        let connect = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; <STDIN>";
        let mut stranger = tokio::process::Command::new("perl")
            .args(["-e", connect])
            .arg(socket.folder.socket())
            .stdin(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let refused = socket.accept(5 * SECOND).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        stranger.kill().await.unwrap();
    }

    #[tokio::test]
    async fn nobody_coming_is_an_error_in_time() {
        let socket = OneShot::open().unwrap();
        let refused = socket.accept(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_passed_over_and_named_when_no_other_is_left() {
        let good = tempfile::tempdir().unwrap();
        let long = good.path().join("n".repeat(120));
        fs::create_dir(&long).unwrap();
        let missing = PathBuf::from("/nowhere/at/all");
        let socket = OneShot::open_in([missing.clone(), long.clone(), good.path().to_owned()]).unwrap();
        assert_eq!(socket.folder.0.parent(), Some(good.path()));
        let error = OneShot::open_in([missing, long.clone()]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all: ") && error.contains(&long.display().to_string()), "{error}");
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0, "a folder of a failed attempt is left");
    }
}
