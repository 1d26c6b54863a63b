//! The file of a payment: written before it is sent, gone when it is known what came of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Uri};
use serde_json::Value;
use x402_core::Address;
use x402_core::hex::Hex;
use x402_hyper::client::Payment;

use crate::exit::Failure;

const PREFIX: &str = "x402-payment-";
const SUFFIX: &str = ".json";
/// What a file has in which nothing is open any more.
const CONCLUDED: &str = "concluded";
/// What a file has to which a redirect led: the URL that was asked for.
const ASKED: &str = "asked";

/// A file, with a lock on it for as long as this process works on its payment: by that another one knows
/// that it is being looked after.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// Whether somebody else named it, whose it is to remove.
    is_named: bool,
    _locked: Option<File>,
}

impl Kept {
    /// Writes a payment to a new file that nobody else can read: here, or where temporary files go. `asked`
    /// is what the user gave, by which the payment is found again.
    pub(super) fn write(payment: &Payment, asked: &Uri) -> io::Result<Self> {
        let nonce = Hex(payment.nonce.as_bytes().get(..8).unwrap_or_default()).to_string();
        let name = format!("{PREFIX}{}{SUFFIX}", nonce.trim_start_matches("0x"));
        let here = PathBuf::from(&name);
        let text = match asked == payment.uri() {
            true => payment.save(),
            false => with(&payment.save(), ASKED, &asked.to_string())?,
        };
        let written = match write_private(&here, &text) {
            Ok(file) => (here, file),
            Err(_) => {
                let there = std::env::temp_dir().join(&name);
                let file = write_private(&there, &text)?;
                (there, file)
            }
        };
        let (path, file) = written;
        Ok(Self { path, is_named: false, _locked: Some(file) })
    }

    /// The payment in a file that the user names.
    pub(super) fn load(path: &Path) -> Result<(Self, Payment), Failure> {
        let unreadable = |error| Failure::usage(format!("{error}")).at_file(path);
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let payment = Payment::load(&text).map_err(|error| Failure::usage(error).at_file(path))?;
        Ok((Self { path: path.to_owned(), is_named: true, _locked: None }, payment))
    }

    /// The payment that this payer has made for this request and that is open still, of those that were
    /// kept here and that no process is working on. It is for its own URL, where a redirect led to that.
    pub(super) fn find(request: &Request<Bytes>, payer: Address) -> Option<(Self, Payment)> {
        let places = [PathBuf::from("."), std::env::temp_dir()];
        places.iter().find_map(|place| Self::find_in(place, request, payer))
    }

    fn find_in(folder: &Path, request: &Request<Bytes>, payer: Address) -> Option<(Self, Payment)> {
        let is_shared = is_open_to(0o002, &std::fs::metadata(folder).ok()?);
        std::fs::read_dir(folder).ok()?.filter_map(Result::ok).find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
            if !is_ours || !entry.file_type().ok()?.is_file() {
                return None;
            }
            let file = OpenOptions::new().read(true).open(entry.path()).ok()?;
            // Where others can put one, it is ours if nobody else could read it.
            if is_shared && is_open_to(0o077, &file.metadata().ok()?) {
                return None;
            }
            file.try_lock().ok()?;
            let text = io::read_to_string(&file).ok()?;
            let payment = Payment::load(&text).ok()?;
            let saved: Value = serde_json::from_str(&text).ok()?;
            let is_open = saved.get(CONCLUDED).is_none();
            let asked = saved.get(ASKED).and_then(Value::as_str);
            let is_same = payment.payer == payer && is_for(&payment, asked, request);
            let path = entry.path();
            let path = path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned);
            let kept = Self { path, is_named: false, _locked: Some(file) };
            (is_open && is_same).then_some((kept, payment))
        })
    }

    /// Nobody will present the payment again: removes the file, or notes it there where it is not ours.
    pub(super) fn conclude(&self, outcome: &str) {
        // A file left over does no harm: the payment is good for one answer.
        if self.is_named {
            drop(note(&self.path, outcome));
        } else {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Whether a payment was signed for this request, or for where it was redirected within its origin.
fn is_for(payment: &Payment, asked: Option<&str>, request: &Request<Bytes>) -> bool {
    let origin = |uri: &Uri| (uri.scheme().cloned(), uri.authority().cloned());
    let is_asked = asked.is_some_and(|asked| *request.uri() == *asked);
    if !is_asked || origin(payment.uri()) != origin(request.uri()) {
        return payment.differs_from(request).is_none();
    }
    let mut redirected = request.clone();
    *redirected.uri_mut() = payment.uri().clone();
    payment.differs_from(&redirected).is_none()
}

/// Whether users whom these bits are of may do something with it. Elsewhere than on Unix folders for
/// temporary files are a user's own.
fn is_open_to(bits: u32, metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::mode(metadata) & bits != 0;
    #[cfg(not(unix))]
    {
        let _ = (bits, metadata);
        false
    }
}

/// The text of a payment, with one member more.
fn with(text: &str, name: &str, value: &str) -> io::Result<String> {
    let mut saved: Value = serde_json::from_str(text)?;
    if let Some(saved) = saved.as_object_mut() {
        saved.insert(name.to_owned(), value.into());
    }
    Ok(format!("{saved:#}\n"))
}

/// Adds what came of the payment to its file.
fn note(path: &Path, outcome: &str) -> io::Result<()> {
    let text = with(&std::fs::read_to_string(path)?, CONCLUDED, outcome)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    drop(write_private(Path::new(&name), &text)?);
    std::fs::rename(&name, path)
}

/// A file that is safe on disk, with its name, and locked.
fn write_private(path: &Path, text: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.lock().and_then(|()| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if cfg!(unix) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    });
    if written.is_err() {
        // The disk is full, say: half a payment is of no use.
        drop(std::fs::remove_file(path));
    }
    written.map(|()| file)
}
