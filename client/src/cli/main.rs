//! `endtoend-cli`: a skin on the headless engine, for terminals, bots and tests. docs/cli.md describes it.

mod account;
mod args;
mod chat;
mod chat_line;
mod commands;
mod conversation;
mod deeds;
mod faces;
mod failure;
mod files;
mod kept;
mod messages;
mod network;
mod opening;
mod outcome;
mod output;
mod password;
mod people;
mod qr;
mod sending;
mod shells;
mod tor;
mod transfer;
mod typed;
mod waiting;
mod whole;

use std::process::ExitCode;

use clap::Parser as _;

use args::Arguments;
use failure::Failure;

fn main() -> ExitCode {
    // Before anything may open a connection. A second call would be a harmless error.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(commands::run(arguments));
    // A thread that waits for the keyboard must not keep the program.
    runtime.shutdown_background();
    done
}
