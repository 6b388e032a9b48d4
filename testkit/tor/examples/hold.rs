//! Holds a private Tor network until its standard input ends, and says what a client has to know of it: the file that leads there,
//! and a bridge. For scripts that show a client at work.

use std::io::Read as _;

use endtoend_testkit_tor::Network;

fn main() {
    let network = Network::start();
    println!("{}\n{}", network.arti_toml().display(), network.obfs4_bridge());
    let _ended = std::io::stdin().read_to_end(&mut Vec::new());
}
