//! The files that a configuration names: what they hold, and who can read them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().to_string(), "it is much too long");
    }

    #[test]
    fn a_file_is_everybodys_when_its_folders_are_too() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, file) = (folder.path(), folder.path().join("password"));
        fs::write(&file, "p").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
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
