//! Files that somebody else writes: read whole, but never waited for and never without a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// The content of the regular file at `path`, none if that is more than `longest` bytes. It may be secret, so it is wiped
/// on drop.
pub(crate) fn read(path: &Path, longest: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Otherwise, opening a pipe waits for its other end. What was opened is judged, as a look before could be outrun.
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(longest);
    // With room to see the end in, as growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(64)));
    let bound = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= longest).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType};

    use super::*;

    #[test]
    fn no_more_than_the_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for (length, fits) in [(0, true), (1, true), (99, true), (100, true), (101, false), (100_000, false)] {
            std::fs::write(&path, vec![b'x'; length]).expect("written");
            let content = read(&path, 100).expect("read");
            assert_eq!(content.map(|content| content.len()), fits.then_some(length));
        }
        // Without an end, and of no length that could be known.
        assert!(read(Path::new("/dev/zero"), 100).is_err());
        assert!(read(Path::new("/proc/self/mountinfo"), 1).expect("read").is_none());
    }

    /// This test would hang, not fail.
    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
        let error = read(&path, 100).expect_err("a pipe").to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let folder = read(folder.path(), 100).expect_err("a folder").to_string();
        assert!(folder.contains("not a regular file"), "{folder}");
    }
}
