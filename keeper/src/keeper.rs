//! The shell that starts a program, and outlives whoever has asked for it for long enough to end it.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::error::KeeperError;
use crate::place::Place;
use crate::program::command;

/// Takes an order per line and says when it was carried out, with the number of the process. The end of the orders, which is
/// the end of whoever gives them, ends the program. The shell is its parent, so its process id is nobody else's before it was
/// waited for.
///
/// Its arguments: the folder, how the program is started, whether its children are ended too, whether the folder stays, and what
/// the start refers to.
const SCRIPT: &str = r#"
pid=
end() {
    if [ -n "$pid" ]; then
        kill -KILL "$pid"
        wait "$pid"
        pid=
    fi
}
while read -r order; do
    case $order in
    start)
        eval "exec $1" </dev/null >>"$0/log" 2>&1 &
        pid=$!
        ;;
    end) end ;;
    pid) ;;
    *) kill "-$order" "$pid" ;;
    esac
    echo "$pid"
done
end
[ "$3" = passing ] && rm -rf "$0"
# Children that stand still do not see that their parent is gone. The group is the shell's own.
[ "$2" = children ] && kill -KILL 0
"#;

/// A program to keep.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// What people call it.
    pub name: &'static str,
    /// A command of the shell, in which `$0` is the folder, and `$4` is the first of the further arguments. What it says goes to
    /// `log` there.
    pub start: &'static str,
    /// It has children of its own, which are ended with it.
    pub children: bool,
}

/// The other end of the shell's pipes. Dropping it ends the program and removes its folder if that does not stay, and so does
/// the end of this process.
#[derive(Debug)]
pub struct Keeper {
    name: &'static str,
    shell: Child,
    /// `None` at its end.
    orders: Option<ChildStdin>,
    done: BufReader<ChildStdout>,
}

impl Keeper {
    /// Nothing is started yet.
    ///
    /// # Errors
    /// Without a shell.
    pub fn of(place: &Place, kept: Kept, arguments: &[OsString]) -> Result<Self, KeeperError> {
        let Kept { name, start, children } = kept;
        let mut shell = command(Path::new("sh"))
            .args(["-c", SCRIPT])
            .arg(place.folder())
            .arg(start)
            .arg(if children { "children" } else { "alone" })
            .arg(place.word())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C that is meant for whoever asks.
            .process_group(0)
            .spawn()
            .map_err(KeeperError::io("start a shell"))?;
        let orders = shell.stdin.take();
        let done = BufReader::new(shell.stdout.take().ok_or(KeeperError::NotKept(name))?);
        Ok(Self { name, shell, orders, done })
    }

    /// `start`, `end`, `pid`, or the name of a signal. Returns when it was carried out, with the process that is kept now.
    ///
    /// # Errors
    /// When somebody has ended the shell.
    pub fn order(&mut self, order: &str) -> Result<Option<u32>, KeeperError> {
        let ended = || KeeperError::NotKept(self.name);
        let orders = self.orders.as_mut().ok_or_else(ended)?;
        writeln!(orders, "{order}").map_err(|_| ended())?;
        let mut said = String::new();
        match self.done.read_line(&mut said) {
            Ok(1..) => Ok(said.trim().parse().ok()),
            _ => Err(ended()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ended_already = self.shell.wait();
    }
}
