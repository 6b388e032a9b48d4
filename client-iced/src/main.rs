//! `endtoend-desktop`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use endtoend_client_iced::bridge::Places;
use endtoend_client_iced::window;

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
    let arguments = Arguments::parse();
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
    match window::run(Places { home, preferences, downloads }, &locale()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("endtoend-desktop: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}
