//! What there is to see. A screen has a state, messages that say what happened, and a view; what it wants to be done outside it
//! gives back as actions.

pub mod first_run;
pub mod home;
pub mod network;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod snapshots_faces;
#[cfg(test)]
mod snapshots_keys;
#[cfg(test)]
mod snapshots_network;
#[cfg(test)]
mod snapshots_over;
#[cfg(test)]
mod snapshots_scripts;
#[cfg(test)]
mod snapshots_sizes;
#[cfg(test)]
mod tests_focus;
#[cfg(test)]
mod tests_reach;
pub mod unlock;
