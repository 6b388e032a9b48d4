//! How `tests/vectors/member-1` was made: what a member leaves on its disk, with the program of that time beside this one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it stops where something fails"
)]

use std::path::PathBuf;

use endtoend_testkit::Cluster;
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;

/// Apart from where its database is.
const LEFT: [&str; 3] = ["control.db", "node.key", "endtoend.cluster"];

#[tokio::main]
async fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write to"));
    let (postgres, redis) = (Postgres::start(Settings { durable: true }), Redis::start());
    let mut cluster = Cluster::of(2, &postgres.database().await, &redis.url());
    cluster.command(0, &["elections", "loopback"]).done();
    cluster.command(1, &["drain", "node-2"]).done();
    cluster.command(0, &["undrain", "node-2"]).done();
    cluster.command(0, &["rotate", "--yes"]).done();
    cluster.command(0, &["token", "create", "--expires", "1h"]).done();
    cluster.command(0, &["remove", "node-2", "--yes"]).done();
    cluster.wait(0, "secrets without the other", |status| status["secrets"] == 3);
    let mut facts = cluster.status(0);
    facts["address"] = cluster.nodes[0].address().into();
    assert!(cluster.nodes[0].terminate().success());
    std::fs::create_dir_all(&folder).unwrap();
    for name in LEFT {
        std::fs::copy(cluster.nodes[0].data_dir().join(name), folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("status.json"), format!("{facts:#}\n")).unwrap();
}
