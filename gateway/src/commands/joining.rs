//! How a node or an edge is told which cluster it is to join, and by what.

use std::path::PathBuf;

use clap::Args;
use endtoend_cluster::{For, JoinToken};
use zeroize::Zeroizing;

use super::{Environment, Failure};
use crate::node::Joining;

/// Where a join token may be in the environment.
const TOKEN_VARIABLE: &str = "ENDTOEND_JOIN_TOKEN";
/// The cluster does not want this node or edge: starting it again changes nothing.
pub const REFUSED: u8 = 3;

/// `--join`, and where its token is.
#[derive(Args, Debug)]
pub struct Join {
    /// Ask the node at this address, the `[cluster] listen` of any node of a cluster, to be let in.
    #[arg(long, value_name = "HOST:PORT")]
    join: Option<String>,
    /// What `endtoend cluster token create` has shown. Others on this machine may see it here: prefer --token-file, or the
    /// variable ENDTOEND_JOIN_TOKEN.
    #[arg(long, value_name = "TOKEN", requires = "join", conflicts_with = "token_file")]
    token: Option<String>,
    /// File with the token in its first line.
    #[arg(long, value_name = "FILE", requires = "join")]
    token_file: Option<PathBuf>,
}

impl Join {
    /// Which cluster is to be joined, if one is. The token comes from where it was given, and goes nowhere else.
    ///
    /// # Errors
    /// When there is no token, or it is none for whom it is to let in.
    pub fn wanted(&self, whom: For, environment: &Environment) -> Result<Option<Joining>, Failure> {
        let Some(seed) = self.join.clone() else { return Ok(None) };
        let variable = || environment.all().find(|(name, _)| name == TOKEN_VARIABLE).map(|(_, value)| value);
        let text = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::new(format!("cannot read the token in {}", path.display())).because(error.to_string())
                })?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            (None, None) => match variable() {
                Some(value) => value.to_string_lossy().into_owned(),
                None => {
                    let text = format!("--join needs a token: --token, --token-file or {TOKEN_VARIABLE}");
                    return Err(Failure::new(text));
                }
            },
        };
        let text = Zeroizing::new(text);
        let token = text.parse::<JoinToken>()?;
        match (whom, token.whom()) {
            (For::Node, For::Edge) => {
                Err(Failure::new("this token is for an edge: make one for a node with `endtoend cluster token create`"))
            }
            (For::Edge, For::Node) => Err(Failure::new(
                "this token is for a node: make one for an edge with `endtoend cluster token create --edge`",
            )),
            (For::Node, For::Node) | (For::Edge, For::Edge) => Ok(Some(Joining { seed, token })),
        }
    }
}
