//! `endtoend tunnel`: a node that the world does not reach, reached all the same, through another program.
//!
//! `way` says which program and what it says when it is through, `pause` when it is started again; both are rules. `run` keeps it,
//! `talk` is how others ask and end it. The program ends with this one, whatever ends that: `endtoend-keeper` sees to it.

mod pause;
mod run;
mod talk;
mod way;

pub(crate) use run::{Tunnel, run};
pub(crate) use talk::{State, Status, status, stop};
pub(crate) use way::Way;
