//! Files: sealed before they are sent, opened to be saved.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use endtoend_benches::Stopwatch;
use endtoend_client::database::{Account, AccountState, Database, DatabaseError};
use endtoend_client::engine::{Attaching, Engine, Options};
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_client::profile::{Profile, ProfileError};
use endtoend_crypto_core::stream::PART_BYTES;
use endtoend_crypto_e2e::{attachment_opener, attachment_sealer};
use endtoend_protocol::{AccountTag, DeviceId};
use tokio::runtime::Builder;
use zeroize::Zeroizing;

use crate::{heading, row};

const ROUNDS: usize = 3;

/// MiB per second, the best of some rounds.
fn best(mib: usize, mut round: impl FnMut()) -> f64 {
    let rates = (0..ROUNDS).map(|_| {
        let watch = Stopwatch::start();
        round();
        mib as f64 / watch.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

fn account(database: &mut Database) -> Result<(), DatabaseError> {
    let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64));
    database.write(|store| {
        store.put_account(&Account {
            server: server.parse().map_err(|_| DatabaseError::Invalid("server"))?,
            handle: "alice".parse().map_err(|_| DatabaseError::Invalid("handle"))?,
            tag: Some(AccountTag::new([1; 32])),
            oprf_key: Some([2; 32]),
            server_password: None,
            device: DeviceId::FIRST,
            state: AccountState::Registered,
            seed: Box::new(Zeroizing::new([3; 64])),
        })
    })
}

/// Written and synced, a part at a time.
fn write(path: &Path, parts: usize) {
    let mut file = File::create(path).expect("a file");
    (0..parts).for_each(|_| file.write_all(&[7; PART_BYTES]).expect("written"));
    file.sync_all().expect("synced");
}

pub(crate) fn measure(folder: &Path, mib: usize) {
    let (parts, source, target) = (mib * 1024 * 1024 / PART_BYTES, folder.join("source"), folder.join("target"));
    let part = vec![7; PART_BYTES];
    let sealed = best(mib, || {
        let mut sealer = attachment_sealer([1; 32], &[2; 16]);
        (0..parts).for_each(|_| drop(std::hint::black_box(sealer.seal(&part).expect("sealed"))));
    });
    let chunk = attachment_sealer([1; 32], &[2; 16]).seal(&part).expect("sealed");
    let opened = best(mib, || {
        (0..parts).for_each(|_| {
            let opened = attachment_opener([1; 32], &[2; 16], 0).open(&chunk).expect("opened");
            drop(std::hint::black_box(opened));
        });
    });
    let written = best(mib, || write(&target, parts));
    let read = best(mib, || {
        let (mut file, mut part) = (File::open(&target).expect("a file"), vec![0; PART_BYTES]);
        while file.read(&mut part).expect("read") > 0 {}
    });
    write(&source, parts);

    let create = |database: &mut Database| account(database).map_err(|_| ProfileError::Derive);
    let (profile, ()) = Profile::create_filled(&folder.join("files"), b"password", create).expect("a profile");
    let options = Options {
        password: Zeroizing::new("password".to_owned()),
        online: false,
        connect_timeout: std::time::Duration::from_secs(1),
    };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let engine = Engine::start(profile, options).expect("an engine");
    let (handle, bob): (_, Handle) = (engine.handle(), "bob".parse().expect("a handle"));
    let mut id = None;
    let attached = best(mib, || {
        let attaching =
            Attaching { to: bob.clone(), source: Source::File(source.clone()), manner: Manner::Usual, reply_to: None };
        id = Some(runtime.block_on(handle.attach(attaching)).expect("sealed"));
    });
    let id = id.expect("something was sent");
    let saved = best(mib, || {
        runtime.block_on(handle.save_file(bob.clone(), id, target.clone(), true)).expect("saved");
    });
    runtime.block_on(engine.stop());
    for path in [&source, &target] {
        // The folder goes with the program; there may be little room.
        let _gone = fs::remove_file(path);
    }
    heading(&format!("a file of {mib} MiB, MiB/s, the best of {ROUNDS}"));
    row("sealed to be sent, beside the AEAD alone", sealed, attached, "MiB/s", attached / sealed);
    row("the same beside writing and syncing it alone", written, attached, "MiB/s", attached / written);
    row("opened and saved, beside the AEAD alone", opened, saved, "MiB/s", saved / opened);
    row("the same beside writing and syncing it alone", written, saved, "MiB/s", saved / written);
    println!("{:<58} {read:>10.1}", "reading it again, MiB/s");
}
