//! How files and folders come into being here: what names people is its owner's only ([`private`]), and what is being
//! made lies apart, under a mark, until it is complete ([`unfinished`]). Knows nothing of what is written in them.

pub mod private;
pub mod unfinished;
