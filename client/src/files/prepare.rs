//! From a file of a person's to a sealed one, which does not change any more: whatever becomes of the file, the same bytes are sent,
//! however often that is begun anew, and no key ever seals two different ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use endtoend_crypto_core::stream::PART_BYTES;
use endtoend_crypto_e2e::attachment_sealer;
use endtoend_protocol::{self as protocol, BlobId, FileName, MediaType, Shown, Voice};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::images::{self, ImageError, copy_clean};
use super::media;
use super::seal::{SealedWriter, TooLong};
use super::spool::{LocalName, Spool};

/// What is sent as a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of a person's. Its name goes with it, its folder does not.
    File(PathBuf),
    /// What lies in no folder, as a picture from a clipboard: a name and the bytes. Nothing of it comes to a disk unsealed.
    Bytes(FileName, Zeroizing<Vec<u8>>),
}

/// Says what it is, and of bytes how many.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(_, bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// How a file is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A picture without its metadata, anything else as it is.
    Usual,
    /// Byte for byte, whatever it is.
    AsItIs,
    /// As something that was spoken.
    Voice(Voice),
}

/// Why a file was not sealed. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It cannot be read, or is a folder, a pipe or a device.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Longer than any message may name.
    #[error("the file is longer than {} bytes", protocol::limits::FILE_BYTES_MAX)]
    TooLong,
    /// Nobody can say what metadata is left in it.
    #[error("the file begins like a picture and is damaged")]
    DamagedPicture,
    /// The profile's folder does not take it.
    #[error("the sealed file could not be written")]
    Unwritable(#[source] io::Error),
    /// The profile was locked, or the program ended.
    #[error("given up")]
    GivenUp,
}

/// A file that is sealed.
pub(crate) struct Prepared {
    pub(crate) file: protocol::File,
    pub(crate) local: LocalName,
    /// Lets its blob be written and removed.
    pub(crate) secret: Zeroizing<[u8; 32]>,
}

/// A source that is given up when nobody wants it any more.
struct Watched<'a> {
    from: &'a mut dyn images::Source,
    stop: &'a dyn Fn() -> bool,
}

/// Tells what was read from what was written.
#[derive(Debug, thiserror::Error)]
#[error("given up")]
struct Stopped;

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other(Stopped));
        }
        self.from.read(into)
    }
}

impl io::Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.from.seek(to)
    }
}

/// Seals a file into the spool.
pub(crate) fn prepare(
    source: &Source,
    manner: Manner,
    spool: &Spool,
    stop: &dyn Fn() -> bool,
) -> Result<Prepared, PrepareError> {
    match source {
        Source::File(path) => {
            let opened = open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (bytes, mut file) =
                opened.map_err(|error| PrepareError::Unreadable { path: path.to_owned(), source: error })?;
            let name = FileName::new(&path.file_name().unwrap_or_default().to_string_lossy());
            into_spool(Watched { from: &mut file, stop }, bytes, name, manner, spool)
        }
        Source::Bytes(name, bytes) => {
            let mut from = io::Cursor::new(bytes.as_slice());
            into_spool(Watched { from: &mut from, stop }, bytes.len() as u64, name.clone(), manner, spool)
        }
    }
}

fn into_spool(
    source: Watched<'_>,
    bytes: u64,
    name: FileName,
    manner: Manner,
    spool: &Spool,
) -> Result<Prepared, PrepareError> {
    if bytes > protocol::limits::FILE_BYTES_MAX {
        return Err(PrepareError::TooLong);
    }
    let local = LocalName::random();
    let out = spool.create(local).map_err(PrepareError::Unwritable)?;
    let sealed = seal(source, out, name, manner).and_then(|sealed| {
        spool.sync()?;
        Ok(sealed)
    });
    match sealed {
        Ok((file, secret)) => Ok(Prepared { file, local, secret }),
        Err(error) => {
            // What stays is removed at the next start.
            let _removed = spool.remove(local);
            Err(match error {
                ImageError::Damaged => PrepareError::DamagedPicture,
                ImageError::Io(error) => match error.get_ref() {
                    Some(inner) if inner.is::<Stopped>() => PrepareError::GivenUp,
                    Some(inner) if inner.is::<TooLong>() => PrepareError::TooLong,
                    _ => PrepareError::Unwritable(error),
                },
            })
        }
    }
}

/// Opens a file and nothing else. To open a pipe waits for whoever writes into it, and to open a device may do anything: so it is
/// asked about first, and what has taken its place since does not hold anybody up either.
fn open(source: &Path) -> io::Result<File> {
    let file_only = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
    };
    file_only(fs::metadata(source)?)?;
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(source)?;
    file_only(file.metadata()?)?;
    Ok(file)
}

type Sealed = (protocol::File, Zeroizing<[u8; 32]>);

fn seal(mut source: Watched<'_>, out: File, name: FileName, manner: Manner) -> Result<Sealed, ImageError> {
    let (key, blob): (Zeroizing<[u8; 32]>, [u8; 16]) = (Zeroizing::new(rand::random()), rand::random());
    let mut sealed = SealedWriter::new(attachment_sealer(*key, &blob), out);
    let found = match manner {
        Manner::Usual => copy_clean(&mut source, &mut sealed)?,
        Manner::AsItIs | Manner::Voice(_) => None,
    };
    if found.is_none() {
        source.seek(SeekFrom::Start(0))?;
        let mut part = Zeroizing::new(vec![0; PART_BYTES]);
        loop {
            match source.read(&mut part)? {
                0 => break,
                count => sealed.write_all(part.get(..count).unwrap_or_default())?,
            }
        }
    }
    let (bytes, hash) = sealed.finish()?;
    let media_type = found.map_or_else(|| media::by_name(name.as_str()), |found| MediaType::new(found.media_type));
    let shown = match (manner, found.and_then(|found| found.picture)) {
        (Manner::Voice(voice), _) => Shown::Voice(voice),
        (_, Some(picture)) => Shown::Picture(picture),
        _ => Shown::File,
    };
    let file = protocol::File { blob: BlobId(blob), key: *key, hash, bytes, name, media_type, shown };
    Ok((file, Zeroizing::new(rand::random())))
}
