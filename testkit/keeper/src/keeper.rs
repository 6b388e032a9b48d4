//! The shell that starts the server, and outlives the test for long enough to end it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Takes an order per line and says when it was carried out. The end of the orders, which is the end of the test, ends the
/// server. The shell is its parent, so its process id is nobody else's before it was waited for.
///
/// Its arguments: the folder, how the server is started, whether its children are ended too.
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
    *) kill "-$order" "$pid" ;;
    esac
    echo
done
end
rm -rf "$0"
# Children that stand still do not see that their parent is gone. The group is the shell's own.
[ "$2" = children ] && kill -KILL 0
"#;

/// A program to keep.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// What people call it.
    pub name: &'static str,
    /// A command of the shell, in which `$0` is the folder. What it says goes to `log` there.
    pub start: &'static str,
    /// It has children of its own, which are ended with it.
    pub children: bool,
}

/// The other end of the shell's pipes. Dropping it ends the program and removes its folder, and so does the end of the test.
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
    /// # Panics
    /// Without a shell.
    pub fn of(folder: &Path, Kept { name, start, children }: Kept) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(folder)
            .arg(start)
            .arg(if children { "children" } else { "alone" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C that is meant for the tests.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let orders = shell.stdin.take();
        let done = BufReader::new(shell.stdout.take().expect("piped"));
        Self { name, shell, orders, done }
    }

    /// `start`, `end`, or the name of a signal. Returns when it was carried out.
    ///
    /// # Panics
    /// When somebody has ended the shell.
    pub fn order(&mut self, order: &str) {
        let mut orders = self.orders.as_ref().expect("open until it is dropped");
        writeln!(orders, "{order}").expect("sh listens");
        let said = self.done.read_line(&mut String::new()).expect("sh answers");
        assert!(said > 0, "the shell that keeps {} has ended", self.name);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ended_already = self.shell.wait();
    }
}
