//! Everything that fuzzing has kept, run again. `BLESS=1` writes the seeds anew.
#![expect(clippy::expect_used, reason = "test code: what fails here fails the test")]

use std::path::{Path, PathBuf};

use endtoend_fuzz_targets::TARGETS;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(kind).join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("a folder of ours").path()).collect()
}

fn replay(name: &str) {
    let (_, run, seeds) = TARGETS.into_iter().find(|(target, ..)| *target == name).expect("a target");
    let corpus = folder("corpus", name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(&corpus).expect("created");
        for (number, seed) in seeds().iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number:02}")), seed).expect("written");
        }
    }
    let kept = [files(&corpus), files(&folder("regressions", name))].concat();
    assert!(kept.len() >= seeds().len(), "the corpus of {name} is incomplete");
    for file in kept {
        run(&std::fs::read(&file).expect("read"));
    }
    run(&[]);
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|(name, ..)| name));
        }
    };
}
replays! { frames content texts credentials accounts sealed handshake records letter bundle spqr_part edge links images }
