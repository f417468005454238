//! The descriptors of the whole process.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

const FIRST_AFTER_STANDARD: RawFd = 3;

/// Closes every descriptor but the three standard ones in programs that are executed from now on. The MQTT engine opens
/// its sockets without this flag.
///
/// # Errors
///
/// When the list of descriptors cannot be read.
pub fn close_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        let Some(number) = number.filter(|number| *number >= FIRST_AFTER_STANDARD) else { continue };
        #[expect(unsafe_code, reason = "there is no safe way to name a descriptor of somebody else")]
        // SAFETY: used for one system call, which sets a flag and reports a descriptor that was closed meanwhile.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
    Ok(())
}

/// Returns whether the process, or the system, has none left.
pub fn exhausted() -> bool {
    File::open("/dev/null").is_err_and(|error| {
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
            .iter()
            .any(|full| error.raw_os_error() == Some(full.raw_os_error()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::Command;

    use rustix::io::fcntl_getfd;

    use super::*;

    #[test]
    fn a_child_inherits_no_descriptor_that_was_opened_without_the_flag() {
        let file = File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        close_on_exec().unwrap();
        assert!(fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert!(!Command::new("test").args(["-e", &path]).status().unwrap().success());
        assert!(!fcntl_getfd(io::stdout()).unwrap().contains(FdFlags::CLOEXEC), "the standard ones are kept");
    }

    #[test]
    fn a_process_without_a_descriptor_left_is_exhausted_until_one_is_closed() {
        let alone = "ulimit -n 64; exec \"$0\" --ignored --exact io::descriptors::tests::alone_in_its_process";
        let output = Command::new("sh").args(["-c", alone]).arg(std::env::current_exe().unwrap()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "is run by the test above, with few descriptors"]
    fn alone_in_its_process() {
        let mut held = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        assert!(exhausted());
        held.pop();
        assert!(!exhausted());
    }
}
