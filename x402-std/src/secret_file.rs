/*!
Files that hold a secret: a private key, a bearer token.

A secret is sometimes given where the name of its file is wanted. So a name that may be a secret itself is
never shown: not in an error, and not by `Debug`.
*/

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// From how many hexadecimal digits in a row on a name may be a key.
const KEY_DIGITS: usize = 32;
/// From how many characters on a word may be a token.
const TOKEN_LEN: usize = 16;
/// A word of more than this is hardly a name.
const LONGEST_NAME: usize = 64;
/// A mnemonic has as many words at least.
const MNEMONIC_WORDS: usize = 12;

/// The name of a file. [`Debug`](fmt::Debug) and [`Display`](fmt::Display) show it, unless it may be a secret
/// that was given in its place.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretPath(PathBuf);

/// Why there is no secret. It never holds what is in the file, nor a name that may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// Others may read the file.
    #[error(
        "the file {path} may be read by others (mode {mode:03o}); close it: chmod 600 {path}. 0440 and 0444 \
         are taken in a folder that only its owner can enter"
    )]
    Exposed {
        /// The file.
        path: SecretPath,
        /// Its permission bits.
        mode: u32,
    },
    /// What was given as a name looks like the secret itself.
    #[error(
        "what should name a file looks like a secret itself, and is not shown: write it into a file that \
         only you can read (chmod 600), and name that file"
    )]
    NoName,
    /// A folder, a pipe, a device.
    #[error("{path} is no regular file: write the secret into one (chmod 600), and name that")]
    NotAFile {
        /// What was named.
        path: SecretPath,
    },
    /// It holds more than a secret.
    #[error("the file {path} is longer than the {most} bytes that a secret may have here")]
    TooLong {
        /// The file.
        path: SecretPath,
        /// How many bytes it may have.
        most: usize,
    },
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: SecretPath,
        /// Why.
        source: io::Error,
    },
}

/// Reads a file of `most` bytes at most, into memory that is wiped.
///
/// It has to be a regular file, or a link to one; what would have to be waited for, such as a pipe, is
/// refused at once. On Unix it has to be closed to group and others (`chmod 600`). Whoever passes secrets to a
/// service may hand it files that everybody could read, in a folder that nobody else can enter (systemd's
/// credentials): the modes 0440 and 0444 are taken there.
///
/// # Errors
///
/// [`SecretFileError`].
pub fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let shown = || SecretPath::from(path);
    let file = open(path).map_err(|source| match may_be_secret(&path.to_string_lossy()) {
        true => SecretFileError::NoName,
        false => SecretFileError::Unreadable { path: shown(), source },
    })?;
    let unreadable = |source| SecretFileError::Unreadable { path: shown(), source };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile { path: shown() });
    }
    refuse_open_mode(path, &metadata)?;
    // The room is taken at once, so that no half-filled copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 33));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() > most {
        true => Err(SecretFileError::TooLong { path: shown(), most }),
        false => Ok(bytes),
    }
}

/// Opens for reading, without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    options.open(path)
}

#[cfg(unix)]
fn refuse_open_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretFileError> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = metadata.mode() & 0o777;
    let is_handed_out = matches!(mode, 0o440 | 0o444) && is_in_closed_folder(path);
    if mode & 0o077 == 0 || is_handed_out {
        return Ok(());
    }
    Err(SecretFileError::Exposed { path: SecretPath::from(path), mode })
}

#[cfg(not(unix))]
fn refuse_open_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), SecretFileError> {
    Ok(())
}

/// Whether nobody but its owner can enter the folder in which the file itself is. Systemd gives its folder to
/// the service by an access list, whose mask stands where the group's bits do; the group is root's then.
#[cfg(unix)]
fn is_in_closed_folder(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let folder = std::fs::canonicalize(path).ok();
    let folder = folder.as_deref().and_then(Path::parent).and_then(|path| path.metadata().ok());
    folder.is_some_and(|folder| {
        let is_closed_to_group =
            folder.mode() & 0o070 == 0 || cfg!(target_os = "linux") && folder.gid() == 0;
        folder.mode() & 0o007 == 0 && is_closed_to_group && folder.mode() & 0o020 == 0
    })
}

/// Whether a text that should name a file may be a secret: a key, a token, the words of a mnemonic.
#[must_use]
pub fn may_be_secret(name: &str) -> bool {
    name.split_whitespace().count() >= MNEMONIC_WORDS
        || name.len() >= TOKEN_LEN && name.ends_with('=')
        || name.split(['/', '\\']).any(is_opaque)
}

/// Whether a text is a private key, but for a slip of the pen.
#[must_use]
pub fn is_like_key(text: &str) -> bool {
    let digits = text.trim().trim_start_matches("0x").trim_start_matches("0X");
    (60..=68).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a word looks drawn by lot.
fn is_opaque(word: &str) -> bool {
    let mut runs = word.split(|c: char| !c.is_ascii_hexdigit());
    if runs.any(|run| run.len() >= KEY_DIGITS) {
        return true;
    }
    if has_extension(word) {
        return false;
    }
    // Words change between small letters, capitals and digits now and then, lots all the time.
    word.len() > LONGEST_NAME || word.len() >= TOKEN_LEN && changes(word) * 5 >= word.len()
}

fn has_extension(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=6).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_lowercase())
    })
}

/// How often the kind of letter changes, without what separates words.
fn changes(word: &str) -> usize {
    let kind = |c: char| match c {
        _ if c.is_numeric() => Some(0),
        _ if c.is_uppercase() => Some(1),
        _ if c.is_alphabetic() => Some(2),
        _ => None,
    };
    let kinds: Vec<u8> = word.chars().filter_map(kind).collect();
    kinds.windows(2).filter(|pair| pair.first() != pair.last()).count()
}

impl From<&Path> for SecretPath {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl From<PathBuf> for SecretPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&str> for SecretPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl PartialEq<Path> for SecretPath {
    fn eq(&self, path: &Path) -> bool {
        self.0 == path
    }
}

impl Deref for SecretPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match may_be_secret(&self.0.to_string_lossy()) {
            true => f.write_str("(a name that looks like a secret, and is not shown)"),
            false => self.0.display().fmt(f),
        }
    }
}

impl fmt::Debug for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The second account of the development mnemonic, known to every Ethereum tool.
    const DIGITS: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

    #[test]
    fn names_that_may_be_secrets_are_told_from_others() {
        for secret in [
            DIGITS.to_owned(),
            format!("0x{DIGITS}"),
            format!("/etc/x402/0X{}", DIGITS.to_uppercase()),
            format!("{DIGITS}.key"),
            DIGITS[..63].to_owned(),
            "test test test test test test test test test test test junk".to_owned(),
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc".to_owned(),
            "hGY7mQ2v/Kx0PZs4dEw8tLr6Ju1N+b3Cf5Xa9iOqRyo=".to_owned(),
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
            "k3j9x0q7m2w8z5r1".to_owned(),
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
                .to_owned(),
            "a".repeat(65),
        ] {
            assert!(may_be_secret(&secret), "{secret}");
            let path = SecretPath::from(Path::new(&secret));
            let hidden = "(a name that looks like a secret, and is not shown)";
            assert_eq!(format!("{path} {path:?}"), format!("{hidden} {hidden}"));
        }
        for name in [
            "",
            "settler.key",
            "./settler.key",
            "/etc/x402/facilitator-token",
            "/run/secrets/x402_settler_key",
            "/run/credentials/x402.service/settler-key-2026",
            "x402-payment-0a1b2c3d4e5f6071.json",
            "/tmp/.tmpA1b2C3/settler.key",
            "C:\\Users\\me\\My Keys\\settler.key",
            "no/such/file",
        ] {
            assert!(!may_be_secret(name), "{name}");
            assert_eq!(SecretPath::from(Path::new(name)).to_string(), name);
        }
    }

    #[test]
    fn a_key_is_known_in_each_spelling() {
        for text in [
            DIGITS.to_owned(),
            format!("0X{DIGITS}\n"),
            format!("0x0x{DIGITS}"),
            DIGITS[1..].to_owned(),
        ] {
            assert!(is_like_key(&text), "{text}");
        }
        for text in ["", "x402.redb", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"] {
            assert!(!is_like_key(text), "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_place_of_a_name_is_not_shown() {
        for secret in [DIGITS, "sk_live_4eC39HqLyjWDarjtT1zdp7dc"] {
            for name in [secret.to_owned(), format!("no-such-folder/{secret}")] {
                let error = read(Path::new(&name), 256).unwrap_err();
                assert!(matches!(error, SecretFileError::NoName));
                assert!(!format!("{error} {error:?}").contains(&secret[3..9]));
            }
        }
        let error = read(Path::new("no/such.key"), 256).unwrap_err().to_string();
        assert!(error.starts_with("the file no/such.key cannot be read: "), "{error}");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
        use std::time::Duration;

        use super::*;

        fn set_mode(path: &Path, mode: u32) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn what_is_no_regular_file_is_refused_at_once() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            let (sender, told) = std::sync::mpsc::channel();
            let named = [pipe, folder.path().to_owned(), "/dev/null".into(), "/dev/tty".into()];
            std::thread::spawn(move || {
                for path in named {
                    sender.send(read(&path, 256).unwrap_err().to_string()).unwrap();
                }
            });
            for what in ["pipe", "folder", "null", "tty"] {
                let error = told.recv_timeout(Duration::from_secs(20)).expect(what);
                // Where there is no terminal, there is nothing to open.
                assert!(error.contains("is no regular file") || what == "tty", "{what}: {error}");
            }
        }

        #[test]
        fn a_link_is_followed_to_a_file_and_its_folder() {
            let folder = tempfile::tempdir().unwrap();
            let (open, closed) = (folder.path().join("open"), folder.path().join("closed"));
            for (path, mode) in [(&open, 0o755), (&closed, 0o700)] {
                std::fs::create_dir(path).unwrap();
                set_mode(path, mode);
                std::fs::write(path.join("key"), DIGITS).unwrap();
                set_mode(&path.join("key"), 0o444);
            }
            for (file, link, is_taken) in [(&open, &closed, false), (&closed, &open, true)] {
                let link = link.join("link");
                symlink(file.join("key"), &link).unwrap();
                assert_eq!(read(&link, 256).is_ok(), is_taken, "{}", link.display());
            }
            let loose = folder.path().join("loose");
            symlink(folder.path().join("nothing"), &loose).unwrap();
            assert!(matches!(read(&loose, 256), Err(SecretFileError::Unreadable { .. })));
        }

        #[test]
        fn modes_that_others_may_read_are_taken_in_a_closed_folder_alone() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            std::fs::write(&path, DIGITS).unwrap();
            // Systemd's folder, where the mask of an access list stands for root's group.
            let is_roots = folder.path().metadata().unwrap().gid() == 0;
            let is_closed_by_list = is_roots && cfg!(target_os = "linux");
            for (mode, in_closed, in_open) in [
                (0o400, true, true),
                (0o600, true, true),
                (0o440, true, false),
                (0o444, true, false),
                (0o640, false, false),
                (0o644, false, false),
                (0o404, false, false),
                (0o660, false, false),
                (0o601, false, false),
            ] {
                set_mode(&path, mode);
                for (of_folder, is_taken) in [
                    (0o700, in_closed),
                    (0o550, if is_closed_by_list { in_closed } else { in_open }),
                    (0o770, in_open),
                    (0o500, in_closed),
                    (0o755, in_open),
                    (0o701, in_open),
                    (0o1777, in_open),
                ] {
                    set_mode(folder.path(), of_folder);
                    match read(&path, 256) {
                        Ok(bytes) => assert!(is_taken && *bytes == DIGITS.as_bytes()),
                        Err(error) => {
                            assert!(!is_taken, "{mode:o} in {of_folder:o}: {error}");
                            assert!(matches!(error, SecretFileError::Exposed { .. }));
                            let help = format!("chmod 600 {}", path.display());
                            assert!(error.to_string().contains(&help), "{error}");
                        }
                    }
                }
            }
            set_mode(folder.path(), 0o700);
        }

        #[test]
        fn no_more_is_read_than_a_secret_has() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            for (len, is_taken) in [(0, true), (256, true), (257, false), (1 << 20, false)] {
                std::fs::write(&path, vec![b'a'; len]).unwrap();
                set_mode(&path, 0o600);
                match read(&path, 256) {
                    Ok(bytes) => assert!(is_taken && bytes.len() == len),
                    Err(error) => {
                        assert!(!is_taken && error.to_string().contains("256 bytes"), "{error}");
                    }
                }
            }
        }
    }
}
