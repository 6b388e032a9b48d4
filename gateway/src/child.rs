//! Other programs, started with none of this one's settings and secrets.

/// A program to be started. Every child of the server is made here, or kept by that crate; a test sees to it.
pub(crate) use endtoend_keeper::command;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn nothing_else_starts_a_program() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let (mut files, mut starting) = (0, Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                    if fs::read_to_string(&path).unwrap().contains("Command::new(") {
                        starting.push(path);
                    }
                }
            }
        }
        assert!(files > 20);
        // This line is the only one.
        assert!(starting.iter().all(|path| path.ends_with("child.rs")), "use child::command: {starting:?}");
    }
}
