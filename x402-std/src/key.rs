//! Private keys: read from a file or a variable, wiped when dropped, never shown.

use core::fmt;
use std::path::Path;

use x402_core::hex;
use x402_core::secp256k1::K256Signer;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError, SecretPath};

/// How many bytes a key file may have: a key has 66 digits, a line end may follow, and there may be two of
/// them.
const MAX_FILE_BYTES: usize = 256;

/// A private key of secp256k1: 32 bytes, wiped when dropped. Nothing shows it.
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Reads a key from a file that holds 64 hexadecimal digits, with or without `0x` before them
    /// and a line end behind them.
    ///
    /// The file is read as [`secret_file::read`] does: on Unix it must be closed to group and others
    /// (`chmod 600`).
    ///
    /// # Errors
    ///
    /// [`KeyError`], which names the file and never its content.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = secret_file::read(path, MAX_FILE_BYTES)?;
        let text = core::str::from_utf8(&text).unwrap_or_default();
        let origin = || SecretPath::from(path).to_string();
        Self::parse(text).ok_or_else(|| KeyError::Malformed { origin: origin() })
    }

    /// Reads a secret from a file, which may have the one before it in a second line; each is as a key in
    /// [`Self::from_file`].
    ///
    /// # Errors
    ///
    /// As [`Self::from_file`], with [`KeyError::MalformedSecret`] for what is neither one nor two of them.
    pub fn two_from_file(path: &Path) -> Result<(Self, Option<Self>), KeyError> {
        let text = secret_file::read(path, MAX_FILE_BYTES)?;
        Self::two_from_text(
            &SecretPath::from(path).to_string(),
            core::str::from_utf8(&text).unwrap_or_default(),
        )
    }

    /// As [`Self::two_from_file`], from a text; `origin` is where the text came from, for errors.
    ///
    /// # Errors
    ///
    /// [`KeyError::MalformedSecret`] with that origin.
    pub fn two_from_text(origin: &str, text: &str) -> Result<(Self, Option<Self>), KeyError> {
        let (first, second) = match text.split_once('\n') {
            None | Some((_, "")) => (text, None),
            Some((first, second)) => (first.strip_suffix('\r').unwrap_or(first), Some(second)),
        };
        let malformed = || KeyError::MalformedSecret { origin: origin.to_owned() };
        let parse = |text| Self::parse(text).ok_or_else(malformed);
        Ok((parse(first)?, second.map(parse).transpose()?))
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
        let line =
            text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
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

/// Why there is no key. Names the place it was to come from, never what is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be taken.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The number is no private key of secp256k1.
    #[error("the key is zero or too large to be a private key of secp256k1")]
    Invalid,
    /// Not 64 hexadecimal digits.
    #[error("no key in {origin}: it must hold 64 hexadecimal digits, with or without 0x")]
    Malformed {
        /// The file or variable.
        origin: String,
    },
    /// Neither 64 hexadecimal digits nor two lines of them.
    #[error(
        "no secret in {origin}: it must hold 64 hexadecimal digits, with or without 0x, and below them \
         at most one other such line: the secret before"
    )]
    MalformedSecret {
        /// The file or variable.
        origin: String,
    },
    /// The environment variable is not set, or no text.
    #[error("the environment variable {name} holds no key")]
    Missing {
        /// The variable.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use x402_core::Signer as _;

    use super::*;

    // The second account of the development mnemonic, known to every Ethereum tool.
    const DIGITS: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    const ADDRESS: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    fn address(key: &SecretKey) -> String {
        key.signer().unwrap().address().to_string()
    }

    #[cfg(unix)]
    fn file(content: &[u8], mode: u32) -> (PathBuf, tempfile::TempDir) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settler.key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (path, folder)
    }

    #[test]
    fn reads_each_spelling() {
        for text in [
            DIGITS.to_owned(),
            format!("0x{DIGITS}"),
            format!("{DIGITS}\n"),
            format!("0x{DIGITS}\r\n"),
            DIGITS.to_uppercase(),
        ] {
            assert_eq!(address(&SecretKey::from_text("X402_KEY", &text).unwrap()), ADDRESS);
        }
    }

    #[test]
    fn refuses_other_texts_and_shows_none_of_them() {
        for text in [
            String::new(),
            "\n".into(),
            format!(" {DIGITS}"),
            format!("{DIGITS}\n\n"),
            format!("0x0x{DIGITS}"),
            format!("0X{DIGITS}"),
            format!("{DIGITS}00"),
            DIGITS[1..].to_owned(),
            DIGITS.replace('9', "g"),
            "test test test test test test test test test test test junk".into(),
        ] {
            let error = SecretKey::from_text("X402_KEY", &text).unwrap_err();
            assert_eq!(
                error.to_string(),
                "no key in X402_KEY: it must hold 64 hexadecimal digits, with or without 0x"
            );
            assert!(!format!("{error:?}").contains("59c6"));
        }
    }

    #[test]
    fn refuses_numbers_that_are_no_key() {
        for bytes in [[0; 32], [0xff; 32]] {
            let error = SecretKey::from_bytes(bytes).signer().unwrap_err();
            assert!(matches!(error, KeyError::Invalid));
        }
    }

    #[test]
    fn shows_nothing() {
        let key = SecretKey::from_text("X402_KEY", DIGITS).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
        assert_eq!(format!("{:#?}", Some(&key)), "Some(\n    SecretKey(..),\n)");
    }

    #[test]
    fn a_secret_may_have_the_one_before_it_below_it() {
        let (old, other) = (DIGITS.replace('5', "6"), DIGITS.replace('5', "7"));
        let two = |text: &str| {
            let (first, second) = SecretKey::two_from_text("X402_SECRET", text)?;
            Ok::<_, KeyError>((*first.expose(), second.map(|second| *second.expose())))
        };
        let key = |digits: &str| *SecretKey::from_text("", digits).unwrap().expose();
        for text in [DIGITS.to_owned(), format!("{DIGITS}\n"), format!("0x{DIGITS}\r\n")] {
            assert_eq!(two(&text).unwrap(), (key(DIGITS), None));
        }
        for text in [
            format!("{DIGITS}\n{old}"),
            format!("0x{DIGITS}\n{old}\n"),
            format!("{DIGITS}\r\n0x{old}\r\n"),
        ] {
            assert_eq!(two(&text).unwrap(), (key(DIGITS), Some(key(&old))), "{text:?}");
        }
        for text in [
            String::new(),
            format!("\n{DIGITS}"),
            format!("{DIGITS}\n\n{old}"),
            format!("{DIGITS}\n{}", &old[1..]),
            format!("{}\n{old}", &DIGITS[1..]),
            format!("{DIGITS}\n{old}\n{other}"),
            format!("{DIGITS} {old}"),
        ] {
            let error = two(&text).unwrap_err().to_string();
            assert!(error.starts_with("no secret in X402_SECRET: it must hold 64 hex"), "{error}");
            assert!(!error.contains("59c6"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn reads_a_file_of_its_owner_alone() {
        for mode in [0o600, 0o400] {
            let (path, _folder) = file(format!("0x{DIGITS}\n").as_bytes(), mode);
            assert_eq!(address(&SecretKey::from_file(&path).unwrap()), ADDRESS);
            let two = format!("0x{DIGITS}\r\n0x{DIGITS}\r\n");
            let (path, _folder) = file(two.as_bytes(), mode);
            let (first, second) = SecretKey::two_from_file(&path).unwrap();
            assert_eq!([first, second.unwrap()].map(|key| address(&key)), [ADDRESS; 2]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn refuses_a_file_that_others_may_read() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
            let (path, _folder) = file(DIGITS.as_bytes(), mode);
            let error = SecretKey::from_file(&path).unwrap_err();
            assert!(matches!(error, KeyError::File(SecretFileError::Exposed { .. })));
            let help = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&help), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_the_file_and_not_what_is_in_it() {
        let long = format!("{DIGITS}{}", " ".repeat(100));
        for content in [b"\xff\xfe".as_slice(), b"", &DIGITS.as_bytes()[..60], long.as_bytes()] {
            let (path, _folder) = file(content, 0o600);
            let error = SecretKey::from_file(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }));
            let text = error.to_string();
            assert!(text.contains("settler.key") && !text.contains("59c6"), "{text}");
        }
    }

    #[test]
    fn says_that_there_is_no_file_or_variable() {
        let error = SecretKey::from_file(Path::new("no/such.key")).unwrap_err();
        assert!(error.to_string().starts_with("the file no/such.key cannot be read: "));
        let error = SecretKey::from_env("X402_NO_SUCH_KEY").unwrap_err();
        assert_eq!(error.to_string(), "the environment variable X402_NO_SUCH_KEY holds no key");
    }
}
