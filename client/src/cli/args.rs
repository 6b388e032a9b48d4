//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use endtoend_client::address::ServerAddress;
use endtoend_client::contact_link::ContactLink;
use endtoend_client::engine::Engine;
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_client::profile::ProfileName;
use endtoend_client::transport::keys::OnionName;
use endtoend_client::transport::{BridgeLine, Choice, Way};
use endtoend_protocol::{DeviceId, InviteCode, Lifetime, MessageId, UnixMillis};

use crate::failure::{Failure, Kind};

/// One attempt to connect: short enough that a retry fits the default time.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a command may take unless told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The same through Tor, which may have to start first.
const TIMEOUT_RELAYED: Duration = Duration::from_secs(180);

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
    /// Name of a further profile beside the first one, in the folder `profiles` of that: 1 to 32 of a-z, 0-9, '-' and '_'
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<ProfileName>,
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
    /// Way to the server; remembered: automatic (through Tor, but to this machine directly), tor, socks5://ADDRESS:PORT of a Tor that
    /// runs already, or direct, which shows server and network this machine's address
    #[arg(long, global = true, value_name = "WAY")]
    pub(crate) network: Option<Choice>,
    /// Do not ask about `--network direct`
    #[arg(long, global = true)]
    pub(crate) expose_address: bool,
    /// File with bridges, one a line or a picture of their QR code, at which Tor begins in the place of its public relays; remembered.
    /// none: at those
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) bridges: Option<PathBuf>,
    /// File with the key by which an onion service that is not for everybody lets this profile find it; remembered
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) onion_key: Option<PathBuf>,
    /// Give up after this long, like 30s or 2m [default: 30s, and 3m through Tor; attach and fetch: 30s in which nothing moves; listen and chat: never]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create an account, with this profile as its first device
    Register {
        /// 3 to 32 letters, digits, '.', '_' and '-', of one alphabet
        #[arg(long)]
        handle: Handle,
        /// Code of an invitation, for a server that asks for one
        #[arg(long, value_name = "CODE")]
        invite: Option<InviteCode>,
        /// File with the server's own password in its first line, for a server that asks for one
        #[arg(long, value_name = "PATH")]
        server_password_file: Option<PathBuf>,
    },
    /// Make this profile a further device of an account: shows a code for `devices --link` on an existing device
    Link {
        /// File with the server's own password in its first line, for a server that asks for one
        #[arg(long, value_name = "PATH")]
        server_password_file: Option<PathBuf>,
    },
    /// Come back with the account's password alone, where `recovery --on` was said before; the device may have to wait
    Recover {
        /// The account's handle
        #[arg(long, value_name = "NAME")]
        handle: Handle,
        /// File with the server's own password in its first line, for a server that asks for one
        #[arg(long, value_name = "PATH")]
        server_password_file: Option<PathBuf>,
    },
    /// Leave at the server, sealed with the password, what `recover` needs; a new password needs it anew
    Recovery {
        /// Leave it, as it is now: identity and contacts
        #[arg(long, required_unless_present = "off", conflicts_with = "off")]
        on: bool,
        /// Take it away
        #[arg(long)]
        off: bool,
    },
    /// Prove this profile's device and password to the server anew
    Login,
    /// Send a text, and wait until the server has accepted it
    Send(Send),
    /// Send a file, and wait until the server has accepted it with its message
    Attach(Attach),
    /// Fetch the file of a message and save it; nothing is ever replaced unless that is said
    Fetch(Fetch),
    /// Give a message of your own other words, on both sides
    Edit {
        #[arg(long)]
        with: Handle,
        /// Its id, as `history --json` and `send` print it
        #[arg(long, value_name = "ID")]
        message: MessageId,
        /// The new words
        #[arg(long)]
        text: String,
    },
    /// Delete a message, on this device or, if it is your own, for everyone
    Delete {
        #[arg(long)]
        with: Handle,
        /// Its id
        #[arg(long, value_name = "ID")]
        message: MessageId,
        /// On the other side too; what somebody has seen or copied before stays seen
        #[arg(long)]
        for_everyone: bool,
    },
    /// React to a message
    React {
        #[arg(long)]
        with: Handle,
        /// Its id
        #[arg(long, value_name = "ID")]
        message: MessageId,
        /// Up to 64 bytes without spaces
        #[arg(long, required_unless_present = "undo", conflicts_with = "undo")]
        emoji: Option<String>,
        /// Take it back
        #[arg(long)]
        undo: bool,
    },
    /// Show or set after what time messages disappear that either side writes from now on
    Timer {
        #[arg(long)]
        with: Handle,
        /// From a second to a year, like 1h or 7d
        #[arg(long, value_name = "DURATION", value_parser = lifetime)]
        after: Option<Lifetime>,
        /// Messages stay
        #[arg(long, conflicts_with = "after")]
        off: bool,
    },
    /// Show or change what others hear of you
    Settings {
        /// Whether they hear that their messages came and were seen
        #[arg(long, value_name = "on|off", value_parser = on_off)]
        receipts: Option<bool>,
        /// Whether they hear that you are writing
        #[arg(long, value_name = "on|off", value_parser = on_off)]
        typing: Option<bool>,
    },
    /// Print messages that were not printed before, then those that arrive
    Listen {
        /// Leave after this many
        #[arg(long)]
        count: Option<u64>,
    },
    /// End this device's login; the next command needs the password, which it asks for anyway
    Logout {
        /// End the logins of all devices of the account
        #[arg(long)]
        everywhere: bool,
    },
    /// List the devices of the account, or remove one
    Devices {
        /// Number of a device to remove: its keys, its login, and what waits for it
        #[arg(long, value_name = "NUMBER", value_parser = device)]
        remove: Option<DeviceId>,
        /// Code that `link` shows on a new device: lets it in, once its digits were typed here (a line of standard input)
        #[arg(long, value_name = "CODE", conflicts_with = "remove")]
        link: Option<String>,
        /// Number of a device, and what to call it; the server does not see the name
        #[arg(long, num_args = 2, value_names = ["NUMBER", "NAME"], conflicts_with_all = ["remove", "link"])]
        name: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the people that this device knows, decide about requests, and pass people on
    Contacts(Contacts),
    /// Keep somebody from writing; the server drops what they send, and does not tell them
    Block {
        #[arg(long)]
        with: Handle,
        /// Let them write again
        #[arg(long)]
        undo: bool,
    },
    /// Change the password, of the account and of this profile. Other devices are logged out
    Password {
        /// Read the new password from the first line of a file
        #[arg(long, value_name = "PATH")]
        new_password_file: Option<PathBuf>,
    },
    /// Delete the account on the server, with everything that waits there. Nothing brings it back
    DeleteAccount {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Pass somebody on inside a conversation, or accept somebody who was
    Card(Card),
    /// Show or change how this account shows itself to those whom it has accepted, or how one of them does
    #[command(visible_alias = "profile")]
    Face(Face),
    /// List the conversations; keep one above the others, tell nobody of its messages, or remove it
    Conversations(Conversations),
    /// Show, keep or drop what was begun for somebody and not sent; without `--with` list all of it
    Draft(Draft),
    /// Print the last messages of a conversation
    History {
        #[arg(long)]
        with: Handle,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// The page before the message with this id
        #[arg(long, value_name = "ID", conflicts_with = "after")]
        before: Option<MessageId>,
        /// The page after the message with this id
        #[arg(long, value_name = "ID")]
        after: Option<MessageId>,
    },
    /// List the messages that the server has not taken, and why; try one again, or give up one whose file has not got there
    Outbox {
        /// Id of a message to try again
        #[arg(long, value_name = "ID", requires = "with", group = "one")]
        retry: Option<MessageId>,
        /// Id of a message whose file has not got to the server: neither is sent
        #[arg(long, value_name = "ID", requires = "with", group = "one")]
        cancel: Option<MessageId>,
        /// To whom it is
        #[arg(long, requires = "one")]
        with: Option<Handle>,
    },
    /// Find messages by their words, best first; the last word may be the beginning of one
    Search {
        /// Words that a message must have, all of them; of a file, in its name
        #[arg(required_unless_present = "has_file")]
        words: Vec<String>,
        /// Only messages with a file; without words the latest
        #[arg(long)]
        has_file: bool,
        /// Only in the conversation with somebody
        #[arg(long)]
        with: Option<Handle>,
        /// Only what they wrote
        #[arg(long, conflicts_with = "own")]
        theirs: bool,
        /// Only what you wrote
        #[arg(long)]
        own: bool,
        /// Only what was written at or after, like 2026-11-01 or 2026-11-01T12:00:00Z
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<UnixMillis>,
        /// Only what was written before
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<UnixMillis>,
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Write to each other, line by line; Ctrl-D leaves
    Chat {
        #[arg(long)]
        with: Handle,
    },
    /// Print the safety number to compare with somebody, and remember that it was compared
    Verify(Verify),
    /// Write everything that this profile has into one file, sealed under a passphrase
    Backup {
        /// The file to make
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
        /// Read the passphrase from the first line of a file
        #[arg(long, value_name = "PATH")]
        passphrase_file: Option<PathBuf>,
    },
    /// Come back from a backup, as a new device of its account; the password is the account's
    Restore {
        /// The file that `backup` made
        #[arg(long, value_name = "PATH")]
        from: PathBuf,
        /// Read the passphrase from the first line of a file
        #[arg(long, value_name = "PATH")]
        passphrase_file: Option<PathBuf>,
        /// Only what was said, without the server: `link` or `recover` makes the profile a device later
        #[arg(long)]
        history_only: bool,
        /// File with the server's own password in its first line, for a server that asks for one
        #[arg(long, value_name = "PATH")]
        server_password_file: Option<PathBuf>,
    },
    /// Write people and messages into one file that anybody can read
    Export {
        /// The file to make
        #[arg(long, value_name = "PATH")]
        to: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the profiles that lie side by side
    Profiles,
    /// Print completions for a shell; needs no profile
    Completions { shell: clap_complete::Shell },
    /// Print the manual page; needs no profile
    Man {
        /// Write it there, with one for each command
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Look at the way through Tor, and change where it begins
    Tor {
        #[command(subcommand)]
        what: Tor,
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

#[derive(Subcommand)]
pub(crate) enum Tor {
    /// Start Tor, and print how far it gets and what hinders it
    Status,
    /// Start Tor, and reach the server through it
    Check,
    /// Reach the server on one circuit and then on another
    NewCircuit,
    /// Print or change the bridges at which Tor begins, and the programs that speak to them
    Bridges(Bridges),
    /// Print or change the keys by which onion services that are not for everybody let this profile find them
    Key {
        #[command(subcommand)]
        what: OnionKeys,
    },
}

#[derive(Subcommand)]
pub(crate) enum OnionKeys {
    /// Print the services, with the public key that each is to know
    List,
    /// Take a key that the service's operator has given, in the place of one that is there
    Add {
        /// File with it: descriptor:x25519:KEY, or NAME:descriptor:x25519:KEY [default: asks for it]
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// Whose it is, where it does not say that itself [default: the server's]
        #[arg(long, value_name = "NAME")]
        onion: Option<OnionName>,
    },
    /// Make a key, in the place of one that is there, and print the public one for the service's operator
    New {
        /// For which service [default: the server's]
        #[arg(long, value_name = "NAME")]
        onion: Option<OnionName>,
    },
    /// Forget the key for a service
    Remove {
        /// Of which service [default: the server's]
        #[arg(long, value_name = "NAME")]
        onion: Option<OnionName>,
    },
}

#[derive(Args)]
pub(crate) struct Bridges {
    /// Take those in a file, one a line or a picture of their QR code, in the place of all others
    #[arg(long, value_name = "PATH", conflicts_with = "clear")]
    pub(crate) set: Option<PathBuf>,
    /// Take one more
    #[arg(long, value_name = "LINE")]
    pub(crate) add: Vec<BridgeLine>,
    /// Use none, but public relays
    #[arg(long)]
    pub(crate) clear: bool,
    /// The program for a transport, where PATH has not the right one
    #[arg(long, value_name = "TRANSPORT=PATH", value_parser = program)]
    pub(crate) program: Vec<(String, PathBuf)>,
}

fn program(text: &str) -> Result<(String, PathBuf), String> {
    let (transport, path) =
        text.split_once('=').ok_or_else(|| "TRANSPORT=PATH, like obfs4=/opt/lyrebird".to_owned())?;
    let path = PathBuf::from(path);
    if transport.is_empty() || transport.len() > 32 || !path.is_absolute() {
        return Err("the name of a transport, and a path from the root".to_owned());
    }
    Ok((transport.to_owned(), path))
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    Lifetime::new(lifetime).ok_or_else(|| "from one second to 365 days".to_owned())
}

fn moment(text: &str) -> Result<UnixMillis, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let at = humantime::parse_rfc3339_weak(&whole).map_err(|error| error.to_string())?;
    let since = at.duration_since(std::time::UNIX_EPOCH).map_err(|_| "not before 1970".to_owned())?;
    u64::try_from(since.as_millis()).map(UnixMillis::new).map_err(|error| error.to_string())
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

fn device(text: &str) -> Result<DeviceId, String> {
    let number = text.parse().map_err(|_| "a device has a number from 1 to 127".to_owned())?;
    DeviceId::new(number).map_err(|error| error.to_string())
}

#[derive(Args)]
pub(crate) struct Contacts {
    /// Only those who have written and about whom nothing is decided
    #[arg(long)]
    pub(crate) requests: bool,
    /// Let somebody write
    #[arg(long, value_name = "HANDLE", conflicts_with = "requests")]
    pub(crate) accept: Option<Handle>,
    /// Leave somebody's request unanswered, and show no more of it
    #[arg(long, value_name = "HANDLE", conflicts_with_all = ["requests", "accept"])]
    pub(crate) ignore: Option<Handle>,
    /// Print this account's link, also as a QR code: who has it can add you and knows your identity
    #[arg(long, conflicts_with_all = ["requests", "accept", "ignore"])]
    pub(crate) own_link: bool,
    /// Let somebody write whose link you have: another identity than the one in it is not trusted
    #[arg(long, value_name = "LINK", conflicts_with_all = ["requests", "accept", "ignore", "own_link"])]
    pub(crate) add: Option<ContactLink>,
    /// You have the link from their own screen, so that nothing is left to compare
    #[arg(long, requires = "add")]
    pub(crate) compared: bool,
    /// What to call somebody on the devices of this account; an empty name takes it back
    #[arg(
        long, num_args = 2, value_names = ["HANDLE", "NAME"],
        conflicts_with_all = ["requests", "accept", "ignore", "own_link", "add"]
    )]
    pub(crate) nickname: Vec<String>,
    /// List the devices that somebody has, since when this one knows them, and which there were when his identity was compared
    #[arg(
        long, value_name = "HANDLE",
        conflicts_with_all = ["requests", "accept", "ignore", "own_link", "add", "nickname"]
    )]
    pub(crate) devices: Option<Handle>,
}

#[derive(Args)]
pub(crate) struct Card {
    /// To whom
    #[arg(long, value_name = "HANDLE", requires = "of", required_unless_present = "with")]
    pub(crate) to: Option<Handle>,
    /// Who: somebody whose identity is known here, or yourself
    #[arg(long, value_name = "HANDLE", requires = "to")]
    pub(crate) of: Option<Handle>,
    /// What to call him there
    #[arg(long, requires = "to")]
    pub(crate) name: Option<Nickname>,
    /// Id of the message that it answers
    #[arg(long, value_name = "ID", requires = "to")]
    pub(crate) reply_to: Option<MessageId>,
    /// Who has passed somebody on
    #[arg(long, value_name = "HANDLE", requires = "accept", conflicts_with = "to")]
    pub(crate) with: Option<Handle>,
    /// Id of the message with the card: lets that person write, and trusts the identity in it, which nobody has compared
    #[arg(long, value_name = "ID", requires = "with")]
    pub(crate) accept: Option<MessageId>,
}

#[derive(Args)]
pub(crate) struct Face {
    /// A name; an empty one takes it back
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A JPEG, PNG or WebP picture, of which the middle is made a small square without anything else that is in the file
    #[arg(long, value_name = "PATH")]
    pub(crate) picture: Option<PathBuf>,
    /// No picture any more
    #[arg(long, conflicts_with = "picture")]
    pub(crate) no_picture: bool,
    /// How somebody who is accepted shows himself
    #[arg(long, value_name = "HANDLE", conflicts_with_all = ["name", "picture", "no_picture"])]
    pub(crate) of: Option<Handle>,
    /// Write the picture there, which is a JPEG; none is replaced
    #[arg(long, value_name = "PATH")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Conversations {
    #[arg(long, default_value_t = 50, conflicts_with = "with")]
    pub(crate) limit: u32,
    /// Only the one with somebody, which may be changed
    #[arg(long, value_name = "HANDLE")]
    pub(crate) with: Option<Handle>,
    /// Keep it above the others, or not any more
    #[arg(long, value_name = "on|off", value_parser = on_off, requires = "with")]
    pub(crate) pin: Option<bool>,
    /// Tell nobody of its messages for so long, like 8h; `on`: until `off`
    #[arg(long, value_name = "DURATION|on|off", value_parser = mute, requires = "with")]
    pub(crate) mute: Option<Mute>,
    /// Remove it for good, here and on your other devices: messages, files, what waits to be sent. The other side is not told
    #[arg(long, requires = "with", conflicts_with_all = ["pin", "mute"])]
    pub(crate) remove: bool,
    /// And forget whom it was with: what he writes later comes as from a stranger
    #[arg(long, requires = "remove")]
    pub(crate) contact: bool,
    /// Do not ask
    #[arg(long, requires = "remove")]
    pub(crate) yes: bool,
}

/// How long nobody is told.
#[derive(Clone, Copy)]
pub(crate) enum Mute {
    Off,
    For(Duration),
    On,
}

fn mute(text: &str) -> Result<Mute, String> {
    match text {
        "on" => Ok(Mute::On),
        "off" => Ok(Mute::Off),
        _ => humantime::parse_duration(text).map(Mute::For).map_err(|error| error.to_string()),
    }
}

#[derive(Args)]
pub(crate) struct Draft {
    #[arg(long, value_name = "HANDLE")]
    pub(crate) with: Option<Handle>,
    /// Keep these words in place of those before; `send` sends them, and drops them then
    #[arg(long, requires = "with")]
    pub(crate) text: Option<String>,
    /// Id of the message that they are to answer
    #[arg(long, value_name = "ID", requires = "text")]
    pub(crate) reply_to: Option<MessageId>,
    /// Drop them
    #[arg(long, requires = "with", conflicts_with = "text")]
    pub(crate) drop: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[arg(long)]
    pub(crate) with: Handle,
    /// Trust the identity that has changed: compare the safety number first
    #[arg(long)]
    pub(crate) accept: bool,
    /// The number that they see: if it is the same, the contact counts as verified
    #[arg(long, value_name = "DIGITS", conflicts_with = "accept")]
    pub(crate) number: Option<String>,
    /// You have compared the number: the contact counts as verified until their identity changes
    #[arg(long, conflicts_with_all = ["accept", "number"])]
    pub(crate) mark: bool,
    /// The contact does not count as verified any more
    #[arg(long, conflicts_with_all = ["accept", "number", "mark"])]
    pub(crate) unmark: bool,
}

#[derive(Args)]
pub(crate) struct Send {
    /// To whom
    #[arg(long)]
    pub(crate) to: Handle,
    /// What to say; without it the text is read from standard input
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Id of the message that it answers
    #[arg(long, value_name = "ID")]
    pub(crate) reply_to: Option<MessageId>,
}

#[derive(Args)]
pub(crate) struct Attach {
    /// To whom
    #[arg(long)]
    pub(crate) to: Handle,
    /// The file. Its name goes with it, its folder does not
    #[arg(long, value_name = "PATH")]
    pub(crate) file: PathBuf,
    /// Byte for byte: a picture keeps what a camera or an editor has written into it, like the place where it was taken
    #[arg(long, conflicts_with = "voice")]
    pub(crate) as_it_is: bool,
    /// It was spoken, and takes so long, like 4s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) voice: Option<Duration>,
    /// How loud it is from its beginning to its end: up to 128 bytes in hexadecimal
    #[arg(long, value_name = "HEX", requires = "voice", default_value = "")]
    pub(crate) waveform: String,
    /// Id of the message that it answers
    #[arg(long, value_name = "ID")]
    pub(crate) reply_to: Option<MessageId>,
}

#[derive(Args)]
pub(crate) struct Fetch {
    #[arg(long)]
    pub(crate) with: Handle,
    /// Id of the message, as `history --json` and `listen --json` print it
    #[arg(long, value_name = "ID")]
    pub(crate) message: MessageId,
    /// Where to save it: a folder, or a name [default: its own name, here]
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,
    /// Replace what is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Fetch it no further, and forget what has come of it
    #[arg(long, conflicts_with_all = ["to", "overwrite"])]
    pub(crate) cancel: bool,
}

impl Arguments {
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// How long one attempt to connect may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        CONNECT_TIMEOUT.min(self.timeout())
    }

    /// How long a command may take that goes this way.
    pub(crate) fn timeout_by(&self, way: Way) -> Duration {
        self.timeout.unwrap_or(match way {
            Way::Direct => TIMEOUT_DEFAULT,
            Way::Tor | Way::Proxy(_) => TIMEOUT_RELAYED,
        })
    }

    /// How long a command may take on this engine.
    pub(crate) fn patience(&self, engine: &Engine) -> Duration {
        let way = engine.network().borrow().way;
        self.timeout_by(way.unwrap_or(Way::Direct))
    }

    /// The profile's folder. An error when the environment names no home.
    pub(crate) fn home(&self) -> Result<PathBuf, Failure> {
        let first = self.first_home()?;
        Ok(self.profile.as_ref().map_or_else(|| first.clone(), |name| name.folder(&first)))
    }

    /// The folder of the first profile. An error as with [`Arguments::home`].
    pub(crate) fn first_home(&self) -> Result<PathBuf, Failure> {
        let below = |variable: &str, rest: &str| {
            let base = PathBuf::from(std::env::var_os(variable).filter(|value| !value.is_empty())?);
            base.is_absolute().then(|| base.join(rest))
        };
        self.home
            .clone()
            .or_else(|| below("XDG_DATA_HOME", "endtoend"))
            .or_else(|| below("HOME", ".local/share/endtoend"))
            .ok_or_else(|| Failure::new(Kind::Usage, "no folder for the profile").hint("name one with --home"))
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
