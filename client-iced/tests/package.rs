//! The Debian package, made of the programs beside this test: it installs below a root of its own, and has what it should.

use std::path::Path;
use std::process::Command;

#[test]
fn the_package_installs_and_has_what_it_should() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        // Elsewhere than on Debian and its kin nobody makes one.
        return;
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_endtoend-desktop")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/package");
    let output = Command::new(script).arg("--check").arg(programs).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
