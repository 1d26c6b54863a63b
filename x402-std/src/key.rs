//! Private keys: read from a file or a variable, wiped when dropped, never shown.

use core::fmt;
use std::path::{Path, PathBuf};

use x402_core::hex;
use x402_core::secp256k1::K256Signer;
use zeroize::Zeroizing;

/// How many bytes of a key file are read at most: a key has 66 digits, and a line end may follow.
const MAX_FILE_BYTES: u64 = 128;

/// A private key of secp256k1: 32 bytes, wiped when dropped. Nothing shows it.
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Reads a key from a file that holds 64 hexadecimal digits, with or without `0x` before them
    /// and a line end behind them.
    ///
    /// On Unix the file must be closed to group and others (`chmod 600`).
    ///
    /// # Errors
    ///
    /// [`KeyError`], which names the file and never its content.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        refuse_open_mode(path, &metadata)?;
        let text = read_bounded(file).map_err(unreadable)?;
        let text = core::str::from_utf8(&text).unwrap_or_default();
        Self::parse(text).ok_or_else(|| KeyError::Malformed { origin: path.display().to_string() })
    }

    /// Reads a key from an environment variable; the form is that of [`Self::from_file`].
    ///
    /// # Errors
    ///
    /// [`KeyError::Missing`] or [`KeyError::Malformed`], which name the variable.
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        let missing = |_| KeyError::Missing { name: name.to_owned() };
        let text = Zeroizing::new(std::env::var(name).map_err(missing)?);
        Self::from_text(name, &text)
    }

    /// Reads a key from a text; `origin` is where the text came from, for errors.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] with that origin.
    pub fn from_text(origin: &str, text: &str) -> Result<Self, KeyError> {
        Self::parse(text).ok_or_else(|| KeyError::Malformed { origin: origin.to_owned() })
    }

    /// Wraps 32 bytes, big-endian.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, big-endian, for the one who signs with them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A signer with this key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Invalid`] where the number is zero or not below the order of the curve.
    pub fn signer(&self) -> Result<K256Signer, KeyError> {
        K256Signer::from_bytes(&self.0).map_err(|_| KeyError::Invalid)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        let digits = line.strip_prefix("0x").unwrap_or(line);
        let mut prefixed = Zeroizing::new(String::with_capacity(2 + digits.len()));
        prefixed.push_str("0x");
        prefixed.push_str(digits);
        let mut key = Self(Zeroizing::new([0; 32]));
        match hex::decode_into(&prefixed, &mut *key.0) {
            Ok(bytes) if bytes.len() == 32 => Some(key),
            _ => None,
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Reads the whole of a short file into memory that is wiped.
fn read_bounded(file: std::fs::File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use std::io::Read as _;
    // The room is taken at once, so that no half-filled copy is left behind by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 32));
    file.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_open_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_open_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// Why there is no key. Names the place it was to come from, never what is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Others may read the file.
    #[error("the key file {path} may be read by others (mode {mode:03o}); close it: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The number is no private key of secp256k1.
    #[error("the key is zero or too large to be a private key of secp256k1")]
    Invalid,
    /// Not 64 hexadecimal digits.
    #[error("no key in {origin}: it must hold 64 hexadecimal digits, with or without 0x")]
    Malformed {
        /// The file or variable.
        origin: String,
    },
    /// The environment variable is not set, or no text.
    #[error("the environment variable {name} holds no key")]
    Missing {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("the key file {path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
