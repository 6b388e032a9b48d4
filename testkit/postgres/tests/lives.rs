//! The server lives as long as the test that started it, and no longer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use endtoend_testkit_postgres::{Server, Settings};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

async fn numbers(url: &str) -> Result<i64, sqlx::Error> {
    let mut connection = url.parse::<PgConnectOptions>()?.connect().await?;
    let sum = sqlx::query_scalar("SELECT sum(n)::bigint FROM numbers").fetch_one(&mut connection).await;
    connection.close().await?;
    sum
}

#[tokio::test]
async fn databases_are_apart_and_a_template_is_copied() {
    let server = Server::shared();
    let (first, second) = (server.database().await, server.database().await);
    let name = first.rsplit('/').next().expect("a name");
    server.execute(name, "CREATE TABLE numbers AS SELECT 7 AS n").await;
    assert_eq!(numbers(&first).await.expect("read"), 7);
    numbers(&second).await.expect_err("another database");
    assert_eq!(numbers(&server.database_like(name).await).await.expect("read"), 7);
}

#[tokio::test]
async fn tcp_asks_for_the_password() {
    let server = Server::shared();
    for (password, lets_in) in [(Server::PASSWORD, true), ("another", false)] {
        let options: PgConnectOptions = server.tcp_url("postgres", password).parse().expect("a connection URL");
        assert_eq!(options.connect().await.is_ok(), lets_in);
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_rows() {
    let server = Server::start(Settings { durable: true });
    let url = server.database().await;
    server.execute(url.rsplit('/').next().expect("a name"), "CREATE TABLE numbers AS SELECT 7 AS n").await;
    server.kill_9();
    numbers(&url).await.expect_err("nobody there");
    server.restart();
    assert_eq!(numbers(&url).await.expect("read"), 7);
}

const CHILD: &str = "ENDTOEND_TESTKIT_POSTGRES_CHILD";

/// Not a test of its own: what the next one starts and kills.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_some() {
        println!("folder {}", Server::shared().url("postgres"));
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}

#[tokio::test]
async fn a_killed_test_leaves_no_server() {
    use std::io::{BufRead as _, BufReader};
    let mut test = Command::new(std::env::current_exe().expect("a path"))
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(test.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.split_once("folder ")?.1.to_owned())).expect("a server");
    let folder = url.split(['@', ':']).nth(2).expect("a folder").replace("%2F", "/");
    assert!(Path::new(&folder).join("data").is_dir(), "{folder}");
    test.kill().expect("killed");
    test.wait().expect("killed");
    for _ in 0..600 {
        if !Path::new(&folder).exists() {
            url.parse::<PgConnectOptions>().expect("a URL").connect().await.expect_err("nobody there");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{folder} is still there");
}
