//! What shells and `man` know of the command line: made from it, so that they are true.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::failure::Failure;

/// Completions for a shell, on standard output.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// The page of the program on standard output, or with `to` one for it and one for each command, in that folder.
pub(crate) fn man(to: Option<&Path>) -> Result<(), Failure> {
    match to {
        Some(folder) => Ok(clap_mangen::generate_to(Arguments::command(), folder)?),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            Ok(std::io::stdout().write_all(&page)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man(Some(folder.path())).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = folder.path().join(format!("endtoend-cli-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        assert!(folder.path().join("endtoend-cli.1").exists());
    }
}
