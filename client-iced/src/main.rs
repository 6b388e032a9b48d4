//! `endtoend-desktop`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use clap_complete::Shell;
use endtoend_client_iced::bridge::Places;
use endtoend_client_iced::desktop::Reach;
use endtoend_client_iced::geometry::Geometry;
use endtoend_client_iced::secret::Secret;
use endtoend_client_iced::window::{self, Start};
use zeroize::Zeroizing;

/// End-to-end encrypted messages, in a window.
#[derive(Debug, Parser)]
#[command(name = "endtoend-desktop", version)]
struct Arguments {
    /// Folder of the profile [default: $XDG_DATA_HOME/endtoend or ~/.local/share/endtoend]
    #[arg(long, env = "ENDTOEND_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// File of what was chosen in the settings [default: desktop.toml in $XDG_CONFIG_HOME/endtoend or ~/.config/endtoend]
    #[arg(long, env = "ENDTOEND_PREFERENCES", value_name = "FILE")]
    preferences: Option<PathBuf>,
    /// Folder for files that are saved [default: the system's for downloads]
    #[arg(long, env = "ENDTOEND_DOWNLOADS", value_name = "DIR")]
    downloads: Option<PathBuf>,
    /// Size and place of the window, WIDTHxHEIGHT or WIDTHxHEIGHT+X+Y, in logical pixels [default: as it was]
    #[arg(long, value_name = "WHERE")]
    geometry: Option<Geometry>,
    /// File with the password, for demonstrations and measurements: the profile opens without asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Say on standard error how long things take, for measurements
    #[arg(long)]
    timings: bool,
    /// Print completions for a shell, and open nothing
    #[arg(long, value_name = "SHELL")]
    completions: Option<Shell>,
    /// Print the page for man, and open nothing
    #[arg(long)]
    man: bool,
}

/// What shells and `man` know of the command line: made from it, so that it is true. Says whether that was asked for.
fn describe(arguments: &Arguments) -> std::io::Result<bool> {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    match (arguments.completions, arguments.man) {
        (Some(shell), _) => clap_complete::generate(shell, &mut command, "endtoend-desktop", &mut text),
        (None, true) => clap_mangen::Man::new(command).render(&mut text)?,
        (None, false) => return Ok(false),
    }
    std::io::stdout().write_all(&text)?;
    Ok(true)
}

/// Without the line end that editors put there.
fn read_password(path: &Path) -> std::io::Result<Secret> {
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    Ok(Secret::from(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// What another program on this profile is asked to do: show its window.
#[cfg(target_os = "linux")]
fn instance(home: &Path) -> (Reach, String, bool) {
    let name = endtoend_client_iced::desktop::instance::name(home);
    let shown = endtoend_client_iced::desktop::instance::wake(&Reach::Session, &name);
    (Reach::Session, name, shown)
}

/// Nobody can be asked there yet: the profile's lock tells the second one.
#[cfg(not(target_os = "linux"))]
fn instance(_: &Path) -> (Reach, String, bool) {
    (Reach::Session, String::new(), false)
}

/// The folder that the system has for downloads, by the file of the desktop's own folders (xdg-user-dirs).
fn downloads() -> Option<PathBuf> {
    let list = below("XDG_CONFIG_HOME", "user-dirs.dirs").or_else(|| below("HOME", ".config/user-dirs.dirs"));
    let list = list.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let named = list.lines().find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="));
    let named = named.map(|value| value.trim_matches('"'));
    let chosen = match named.and_then(|value| value.strip_prefix("$HOME/")) {
        Some(rest) => below("HOME", rest),
        None => named.map(PathBuf::from).filter(|path| path.is_absolute()),
    };
    chosen.or_else(|| below("HOME", "Downloads")).filter(|path| path.is_dir()).or_else(|| below("HOME", ""))
}

/// Below a folder that a variable names, if it names one from the root.
fn below(variable: &str, rest: &str) -> Option<PathBuf> {
    let base = PathBuf::from(std::env::var_os(variable).filter(|value| !value.is_empty())?);
    base.is_absolute().then(|| base.join(rest))
}

/// As the system names the language of its messages.
fn locale() -> String {
    let set = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set).unwrap_or_default()
}

fn main() -> ExitCode {
    endtoend_client_iced::fault::say_only_where();
    let arguments = Arguments::parse();
    match describe(&arguments) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("endtoend-desktop: cannot print: {error}");
            return ExitCode::FAILURE;
        }
    }
    let timings = arguments.timings;
    let home = arguments
        .home
        .or_else(|| below("XDG_DATA_HOME", "endtoend"))
        .or_else(|| below("HOME", ".local/share/endtoend"));
    let Some(home) = home else {
        eprintln!("endtoend-desktop: no folder for the profile\n  name one with --home");
        return ExitCode::from(2);
    };
    let preferences = arguments
        .preferences
        .or_else(|| below("XDG_CONFIG_HOME", "endtoend/desktop.toml"))
        .or_else(|| below("HOME", ".config/endtoend/desktop.toml"));
    let downloads = arguments.downloads.or_else(downloads).unwrap_or_else(|| home.join("downloads"));
    let password = match arguments.password_file.as_deref().map(read_password).transpose() {
        Ok(password) => password,
        Err(error) => {
            eprintln!("endtoend-desktop: the password cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (reach, name, shown) = instance(&home);
    if shown {
        // The window that has this profile open has come to the front.
        return ExitCode::SUCCESS;
    }
    // Where the system has such a folder, it is in memory, and only this person's.
    let played = format!("endtoend-{}", std::process::id());
    let played = below("XDG_RUNTIME_DIR", &played).unwrap_or_else(|| home.join("played"));
    let places = Places { home, preferences, downloads, played };
    match window::run(Start {
        places,
        locale: locale(),
        desktop: (reach, name),
        password,
        geometry: arguments.geometry,
        timings,
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("endtoend-desktop: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}
