//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use endtoend_client::address::ServerAddress;
use endtoend_client::handle::Handle;
use endtoend_protocol::InviteCode;

/// How long a command may take unless told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// End-to-end encrypted messages from a terminal.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the server, 4 unreachable, 5 timed out.
// No `Debug` here or below: `Send` holds what is said.
#[derive(Parser)]
#[command(name = "endtoend-cli", version)]
pub(crate) struct Arguments {
    /// Folder of the profile [default: $XDG_DATA_HOME/endtoend or ~/.local/share/endtoend]
    #[arg(long, global = true, env = "ENDTOEND_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Address that `endtoend serve` prints: endtoend://host:port/#pin=…; remembered after `register`
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) server: Option<ServerAddress>,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read the password from the first line of standard input
    #[arg(long, global = true, conflicts_with = "password_file")]
    pub(crate) password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) password_file: Option<PathBuf>,
    /// Give up after this long, like 30s or 2m [default: 30s; listen and chat: never]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create an account, with this profile as its first device
    Register {
        /// 3 to 32 of a-z, 0-9, '.', '_' and '-'
        #[arg(long)]
        handle: Handle,
        /// Code of an invitation, for a server that asks for one
        #[arg(long, value_name = "CODE")]
        invite: Option<InviteCode>,
        /// File with the server's own password in its first line, for a server that asks for one
        #[arg(long, value_name = "PATH")]
        server_password_file: Option<PathBuf>,
    },
    /// Prove this profile's device and password to the server anew
    Login,
    /// Send a text, and wait until the server has accepted it
    Send(Send),
    /// Print messages that were not printed before, then those that arrive
    Listen {
        /// Leave after this many
        #[arg(long)]
        count: Option<u64>,
    },
    /// Print the last messages of a conversation
    History {
        #[arg(long)]
        with: Handle,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Write to each other, line by line; Ctrl-D leaves
    Chat {
        #[arg(long)]
        with: Handle,
    },
    /// Print the safety number to compare with somebody
    Verify {
        #[arg(long)]
        with: Handle,
        /// Trust the identity that has changed: compare the safety number first
        #[arg(long)]
        accept: bool,
    },
    /// Print what is known of account, outbox and unread messages, without connecting
    Status,
    /// Destroy this profile: its keys first, then everything else. Needs no password
    Wipe {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct Send {
    /// To whom
    #[arg(long)]
    pub(crate) to: Handle,
    /// What to say; without it the text is read from standard input
    #[arg(long)]
    pub(crate) text: Option<String>,
}

impl Arguments {
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// The profile's folder. `None` when the environment names no home.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        let below = |variable: &str, rest: &str| {
            let base = PathBuf::from(std::env::var_os(variable).filter(|value| !value.is_empty())?);
            base.is_absolute().then(|| base.join(rest))
        };
        self.home
            .clone()
            .or_else(|| below("XDG_DATA_HOME", "endtoend"))
            .or_else(|| below("HOME", ".local/share/endtoend"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_command() {
        let arguments = Arguments::parse_from(["endtoend-cli", "listen", "--count", "2", "--timeout", "3s", "--json"]);
        assert_eq!(arguments.timeout(), Duration::from_secs(3));
        assert!(arguments.json);
    }
}
