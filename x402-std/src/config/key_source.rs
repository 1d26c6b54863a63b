use core::fmt;

use zeroize::Zeroizing;

use crate::key::{KeyError, SecretKey};
use crate::secret_file::SecretPath;

/// Where a private key comes from.
pub enum KeySource {
    /// A file; see [`SecretKey::from_file`].
    File(SecretPath),
    /// The key itself, from the environment variable of that name.
    Text {
        /// The variable's name, for errors.
        name: &'static str,
        /// Its value.
        text: Zeroizing<String>,
    },
}

impl KeySource {
    /// Loads the key.
    ///
    /// # Errors
    ///
    /// [`KeyError`], which names the file or the variable and never the content.
    pub fn load(&self) -> Result<SecretKey, KeyError> {
        match self {
            Self::File(path) => SecretKey::from_file(path),
            Self::Text { name, text } => SecretKey::from_text(name, text),
        }
    }

    /// Loads a secret, and the one before it where that is there.
    ///
    /// # Errors
    ///
    /// [`KeyError`], as [`Self::load`].
    pub fn load_two(&self) -> Result<(SecretKey, Option<SecretKey>), KeyError> {
        match self {
            Self::File(path) => SecretKey::two_from_file(path),
            Self::Text { name, text } => SecretKey::two_from_text(name, text),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text { name, .. } => {
                f.debug_struct("Text").field("name", name).finish_non_exhaustive()
            }
        }
    }
}
