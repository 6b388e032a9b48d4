//! Where the password comes from.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;

use endtoend_protocol::limits;
use zeroize::Zeroizing;

use crate::args::Arguments;
use crate::failure::{Failure, Kind};
use crate::output;

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// The server's own password.
pub(crate) fn server_password(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let password = from_file(path)?;
    match password.len() {
        1..=limits::SERVER_PASSWORD_BYTES_MAX => Ok(Zeroizing::new(password.as_bytes().to_vec())),
        _ => Err(Failure::new(Kind::Usage, format!("{} has no password of a server", path.display()))),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::new(Kind::Usage, format!("{} cannot be read: {error}", path.display())))?;
    first_line(&mut BufReader::new(file))
}

/// Asks for the password, twice when it is a new one and a person types it.
pub(crate) fn ask(arguments: &Arguments, new: bool) -> Result<Zeroizing<String>, Failure> {
    let password = match &arguments.password_file {
        _ if arguments.password_stdin => first_line(&mut io::stdin().lock())?,
        Some(path) => from_file(path)?,
        None if !io::stderr().is_terminal() && !io::stdin().is_terminal() => {
            return Err(Failure::new(Kind::Usage, "there is no terminal to ask for the password on")
                .hint("use --password-stdin or --password-file PATH"));
        }
        None => typed(new)?,
    };
    match password.len() {
        0 => Err(Failure::new(Kind::Usage, "the password is empty")),
        1..=PASSWORD_BYTES_MAX => Ok(password),
        _ => Err(Failure::new(Kind::Usage, format!("the password is longer than {PASSWORD_BYTES_MAX} bytes"))),
    }
}

/// The password to come.
pub(crate) fn new_password(path: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    another("new password", "--new-password-file", path, true)
}

/// The passphrase of a backup, twice when it is a new one and a person types it.
pub(crate) fn passphrase(path: Option<&Path>, new: bool) -> Result<Zeroizing<String>, Failure> {
    another("passphrase of the backup", "--passphrase-file", path, new)
}

/// The key by which an onion service is found.
pub(crate) fn onion_key(path: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    another("key of the onion service", "--file", path, false)
}

/// A secret beside the password.
fn another(what: &str, option: &str, path: Option<&Path>, new: bool) -> Result<Zeroizing<String>, Failure> {
    let secret = match path {
        Some(path) => from_file(path)?,
        None if !io::stderr().is_terminal() && !io::stdin().is_terminal() => {
            let text = format!("there is no terminal to ask for the {what} on");
            return Err(Failure::new(Kind::Usage, text).hint(format!("use {option} PATH")));
        }
        None => {
            output::note(&format!("The {what}:"));
            typed(new)?
        }
    };
    match secret.len() {
        1..=PASSWORD_BYTES_MAX => Ok(secret),
        _ => Err(Failure::new(Kind::Usage, format!("the {what} must have 1 to {PASSWORD_BYTES_MAX} bytes"))),
    }
}

fn typed(new: bool) -> Result<Zeroizing<String>, Failure> {
    let password = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    if new {
        let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
        if password != again {
            return Err(Failure::new(Kind::Usage, "the two passwords differ"));
        }
    }
    Ok(password)
}

/// The first line without its end. What follows stays unread.
fn first_line(input: &mut impl io::BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::with_capacity(PASSWORD_BYTES_MAX + 2));
    io::Read::take(&mut *input, PASSWORD_BYTES_MAX as u64 + 2).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_rest_of_the_input_stays() {
        let mut input = io::Cursor::new(b"pass word \r\nhello\nworld".to_vec());
        assert_eq!(**first_line(&mut input).unwrap(), *"pass word ");
        let mut rest = String::new();
        input.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "hello\nworld");
    }
}
