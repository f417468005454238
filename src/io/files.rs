//! The files that a configuration names: what they hold, and who can read them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::config::Access;

/// No configuration, password or certificate is nearly as long, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Where the unit's sandbox shows nothing of the machine (`ProtectHome=`, `PrivateTmp=`).
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
/// Others may search a folder.
const SEARCH: u32 = 0o001;
/// Others may read a file.
const READ: u32 = 0o004;

/// Reads a file, if it is of a sensible size.
///
/// # Errors
///
/// As the system says, or that it is too long.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(io::Error::other("it is much too long")) } else { Ok(bytes) }
}

/// Writes a file so that it is there whole or not at all; a new one gets `mode`, one that is replaced keeps its own.
///
/// # Errors
///
/// As the system says.
pub fn write(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(&path).map_or(mode, |about| about.mode() & 0o7777);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let draft = folder.join(format!(".{}.{}", name.display(), std::process::id()));
    let written = write_draft(&draft, text, mode).and_then(|()| fs::rename(&draft, &path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_draft(draft: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes a folder and those above it, if it is not there; only the folder itself gets `mode`.
///
/// # Errors
///
/// As the system says.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Returns who can read a file, as far as its permissions and those of its folders say; nobody, if it is not there.
pub fn access(path: &Path, by_unit: bool) -> Access {
    let Ok(path) = fs::canonicalize(path) else { return Access::default() };
    let lets_others = |path: &Path, what| fs::metadata(path).is_ok_and(|about| about.mode() & what != 0);
    let closed = path.ancestors().skip(1).find(|folder| !lets_others(folder, SEARCH));
    let readable = lets_others(&path, READ);
    let hidden = HIDDEN.into_iter().find(|folder| path.starts_with(folder));
    let not_by_unit = if let Some(folder) = hidden {
        Some(format!("the sandbox hides everything below {folder}"))
    } else if let Some(folder) = closed {
        Some(format!("others may not enter {}", folder.display()))
    } else {
        (!readable).then(|| "others may not read it".to_owned())
    };
    Access { by_everybody: closed.is_none() && readable, not_by_unit: not_by_unit.filter(|_| by_unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().to_string(), "it is much too long");
    }

    #[test]
    fn a_file_is_written_whole_with_its_mode_and_keeps_the_one_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        write(&file, b"one", 0o644).unwrap();
        assert_eq!(mode(&file), 0o644);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"two", 0o600).unwrap();
        assert_eq!((fs::read(&file).unwrap().as_slice(), mode(&file)), (&b"two"[..], 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left behind");
        assert!(write(&folder.path().join("nothing/file"), b"", 0o600).is_err());
        make_folder(&folder.path().join("a/b"), 0o700).unwrap();
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    }

    #[test]
    fn a_file_is_everybodys_when_its_folders_are_too() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, file) = (folder.path(), folder.path().join("password"));
        fs::write(&file, "p").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (of_folder, of_file, by_everybody) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o700, 0o644, false), (0o711, 0o604, true)]
        {
            set(folder, of_folder);
            set(&file, of_file);
            assert_eq!(access(&file, false).by_everybody, by_everybody, "{of_folder:o} {of_file:o}");
        }
        assert_eq!(access(&folder.join("nothing"), true), Access::default());
    }
}
