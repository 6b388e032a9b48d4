//! The desktop program: windows and widgets over the client's engine. No protocol here, no sockets, and no I/O in `update`.
//!
//! | module | what it is |
//! |---|---|
//! | [`app`], [`action`] | the window as a value: messages in, actions out. Start reading here |
//! | [`screens`] | what there is to see: the way to an account, the password, the main window |
//! | [`order`] | what the window asks for, and what it is told |
//! | [`bridge`] | carries that out, on a thread of its own |
//! | [`window`], [`geometry`] | the same as an iced program: actions become tasks, the system's events messages; where it was |
//! | [`desktop`] | what the program has beside its window: notifications and the tray |
//! | [`focus`] | keys for what can be pressed, and how the keyboard goes from one thing to the next |
//! | [`timings`] | how long things take, for measurements |
//! | [`theme`], [`ui`], [`identicon`], [`qr`], [`square`], [`picture`], [`waveform`], [`one_line`] | how things look |
//! | [`strings`], [`failure`], [`calendar`], [`strength`] | what is said: words, what went wrong, moments, passwords |
//! | [`said`], [`emoji`] | what people say: marks and links in it, and the emoji that come with the program |
//! | [`preferences`], [`recent`] | what was chosen; which servers were used |
//! | [`secret`], [`clipboard`], [`fault`] | what nobody else may read; what does not stay where others look; what a fault may say |

pub mod action;
pub mod app;
pub mod bridge;
pub mod calendar;
pub mod clipboard;
pub mod desktop;
pub mod emoji;
pub mod failure;
pub mod fault;
pub mod focus;
pub mod geometry;
pub mod identicon;
pub mod one_line;
pub mod order;
pub mod picture;
pub mod preferences;
pub mod qr;
pub mod recent;
pub mod said;
pub mod screens;
pub mod secret;
pub mod square;
pub mod strength;
pub mod strings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_glass;
pub mod theme;
pub mod timings;
pub mod ui;
pub mod waveform;
pub mod window;
