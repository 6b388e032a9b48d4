//! How fast is a file sealed before it is sent, and opened to be saved, against the bare AEAD and against the disk?
//!
//! `cargo run --profile bench -p endtoend-client --example files -- [MiB] [DIRECTORY]`; each figure is the best of three, in MiB/s.
//! The engine's are those of the real commands, with metadata, hash, fsync and database, without a server.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use endtoend_client::clock;
use endtoend_client::database::{Account, AccountState, Database, DatabaseError};
use endtoend_client::engine::{Attaching, Engine, Options};
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_client::profile::{Profile, ProfileError};
use endtoend_crypto_core::stream::PART_BYTES;
use endtoend_crypto_e2e::{attachment_opener, attachment_sealer};
use endtoend_protocol::{AccountTag, DeviceId};
use zeroize::Zeroizing;

const ROUNDS: usize = 3;

/// What goes wrong on the way: no path of this program has an answer to it.
type Failed = Box<dyn std::error::Error>;

fn best(mib: usize, mut round: impl FnMut() -> Result<(), Failed>) -> Result<f64, Failed> {
    let mut best = f64::MIN;
    for _ in 0..ROUNDS {
        let began = clock::monotonic();
        round()?;
        best = best.max(mib as f64 / clock::monotonic().duration_since(began).as_secs_f64());
    }
    Ok(best)
}

fn account(database: &mut Database) -> Result<(), DatabaseError> {
    database.write(|store| {
        let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64));
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
fn write(path: &Path, parts: usize) -> Result<(), Failed> {
    let mut file = File::create(path)?;
    for _ in 0..parts {
        file.write_all(&[7; PART_BYTES])?;
    }
    Ok(file.sync_all()?)
}

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let mib: usize = arguments.next().as_deref().unwrap_or("256").parse()?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("endtoend-files-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let measured = measure(mib, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(mib: usize, folder: &Path) -> Result<(), Failed> {
    let (parts, source, target) = (mib * 1024 * 1024 / PART_BYTES, folder.join("source"), folder.join("target"));
    let part = vec![7; PART_BYTES];
    let sealed = best(mib, || {
        let mut sealer = attachment_sealer([1; 32], &[2; 16]);
        for _ in 0..parts {
            std::hint::black_box(sealer.seal(&part)?);
        }
        Ok(())
    })?;
    let chunk = attachment_sealer([1; 32], &[2; 16]).seal(&part)?;
    let opened = best(mib, || {
        for _ in 0..parts {
            std::hint::black_box(attachment_opener([1; 32], &[2; 16], 0).open(&chunk)?);
        }
        Ok(())
    })?;
    let written = best(mib, || write(&target, parts))?;
    let read = best(mib, || {
        let (mut file, mut part) = (File::open(&target)?, vec![0; PART_BYTES]);
        while file.read(&mut part)? > 0 {}
        Ok(())
    })?;
    write(&source, parts)?;

    let create = |database: &mut Database| account(database).map_err(|_| ProfileError::Derive);
    let (profile, ()) = Profile::create_filled(&folder.join("profile"), b"password", create)?;
    let options = Options {
        password: Zeroizing::new("password".to_owned()),
        online: false,
        connect_timeout: std::time::Duration::from_secs(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let engine = Engine::start(profile, options)?;
    let (handle, bob): (_, Handle) = (engine.handle(), "bob".parse()?);
    let mut id = None;
    let attached = best(mib, || {
        let attaching =
            Attaching { to: bob.clone(), source: Source::File(source.clone()), manner: Manner::Usual, reply_to: None };
        id = Some(runtime.block_on(handle.attach(attaching))?);
        Ok(())
    })?;
    let id = id.ok_or("nothing was sent")?;
    let saved = best(mib, || Ok(runtime.block_on(handle.save_file(bob.clone(), id, target.clone(), true))?))?;
    runtime.block_on(engine.stop());
    println!("{mib} MiB, best of {ROUNDS}, MiB/s");
    for (what, rate) in [
        ("AEAD alone: seal", sealed),
        ("AEAD alone: open", opened),
        ("disk alone: write and sync", written),
        ("disk alone: read again", read),
        ("attach: read, seal, hash, write, sync, commit", attached),
        ("save: read, open, hash, write, sync", saved),
    ] {
        println!("{rate:8.0}  {what}");
    }
    Ok(())
}
