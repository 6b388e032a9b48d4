//! What is on other nodes: devices, their claims, and the way there.

mod forwards;
mod seen;
mod unwoken;
